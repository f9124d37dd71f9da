from poolcore import AddressSpace as AddressSpace
from poolcore import Buffer as Buffer
from pybuf._doors import C_API as C_API
from pybuf._netapi import NetApiBufferAllocate as NetApiBufferAllocate
from pybuf._netapi import NetApiBufferFree as NetApiBufferFree
from pybuf._netapi import NetApiBufferReallocate as NetApiBufferReallocate
from pybuf._netapi import NetApiBufferSize as NetApiBufferSize
from pybuf._netapi import NetapipBufferAllocate as NetapipBufferAllocate
from pybuf._ras import RasCommSettings as RasCommSettings
from pybuf._ras import RasFreeBuffer as RasFreeBuffer
from pybuf._ras import RasGetBuffer as RasGetBuffer
from pybuf._ras import RasReceiveBuffer as RasReceiveBuffer
from pybuf._ras import RasRetrieveBuffer as RasRetrieveBuffer
from pybuf._ras import RasSendBuffer as RasSendBuffer
from pybuf._ras import RasSetCommSettings as RasSetCommSettings
from pybuf._videoport import VideoPortAllocateBuffer as VideoPortAllocateBuffer
from pybuf._videoport import VideoPortAllocatePool as VideoPortAllocatePool
from pybuf._videoport import VideoPortFreePool as VideoPortFreePool
from pybuf._videoport import VideoPortReleaseBuffer as VideoPortReleaseBuffer
from pybuf.errors import BlockOwner as BlockOwner
from pybuf.errors import BugCheck as BugCheck
from pybuf.errors import HdAudioError as HdAudioError
from pybuf.errors import NetApiError as NetApiError
from pybuf.errors import PybufError as PybufError
from pybuf.errors import RasError as RasError
from pybuf.errors import VideoPortError as VideoPortError
from pybuf.hdaudio import HDAUDIO_BUS_INTERFACE as HDAUDIO_BUS_INTERFACE
from pybuf.hdaudio import HDAUDIO_BUS_INTERFACE_BDL as HDAUDIO_BUS_INTERFACE_BDL
from pybuf.hdaudio import HDAUDIO_BUS_INTERFACE_V2 as HDAUDIO_BUS_INTERFACE_V2
from pybuf.hdaudio import HDAUDIO_STREAM_FORMAT as HDAUDIO_STREAM_FORMAT
from pybuf.hdaudio import Codec as Codec
from pybuf.hdaudio import CodecResponse as CodecResponse
from pybuf.hdaudio import CodecTransfer as CodecTransfer
from pybuf.hdaudio import HdAudioBus as HdAudioBus
from pybuf.hdaudio import LoopbackCodec as LoopbackCodec
from pybuf.machine import APC_LEVEL as APC_LEVEL
from pybuf.machine import DISPATCH_LEVEL as DISPATCH_LEVEL
from pybuf.machine import PASSIVE_LEVEL as PASSIVE_LEVEL
from pybuf.machine import WINE as WINE
from pybuf.machine import Block as Block
from pybuf.machine import Caller as Caller
from pybuf.machine import Event as Event
from pybuf.machine import Guest as Guest
from pybuf.machine import Machine as Machine
from pybuf.netapi import NETSETUP_JOIN_STATUS as NETSETUP_JOIN_STATUS
from pybuf.netapi import DsGetDcNameW as DsGetDcNameW
from pybuf.netapi import NetBuffer as NetBuffer
from pybuf.netapi import NetGetJoinInformation as NetGetJoinInformation
from pybuf.netapi import NetGroupEnum as NetGroupEnum
from pybuf.netapi import NetLocalGroupEnum as NetLocalGroupEnum
from pybuf.netapi import NetLocalGroupGetMembers as NetLocalGroupGetMembers
from pybuf.netapi import NetQueryDisplayInformation as NetQueryDisplayInformation
from pybuf.netapi import NetServerEnum as NetServerEnum
from pybuf.netapi import NetServerGetInfo as NetServerGetInfo
from pybuf.netapi import NetShareEnum as NetShareEnum
from pybuf.netapi import NetUserEnum as NetUserEnum
from pybuf.netapi import NetUserGetInfo as NetUserGetInfo
from pybuf.netapi import NetUserGetLocalGroups as NetUserGetLocalGroups
from pybuf.netapi import NetWkstaGetInfo as NetWkstaGetInfo
from pybuf.netapi import NetWkstaTransportEnum as NetWkstaTransportEnum
from pybuf.netapi import NetWkstaUserGetInfo as NetWkstaUserGetInfo
from pybuf.network import Domain as Domain
from pybuf.network import Group as Group
from pybuf.network import LocalGroup as LocalGroup
from pybuf.network import Network as Network
from pybuf.network import Server as Server
from pybuf.network import Share as Share
from pybuf.network import Transport as Transport
from pybuf.network import User as User
from pybuf.ras import ScriptResult as ScriptResult
from pybuf.status import NT_SUCCESS as NT_SUCCESS
from pybuf.status import BugCheckCode as BugCheckCode
from pybuf.status import NetStatus as NetStatus
from pybuf.status import NtStatus as NtStatus
from pybuf.status import RasStatus as RasStatus
from pybuf.status import Status
from pybuf.status import VpStatus as VpStatus

__all__ = [
    "APC_LEVEL",
    "AddressSpace",
    "Block",
    "BlockOwner",
    "Buffer",
    "BugCheck",
    "BugCheckCode",
    "C_API",
    "Caller",
    "Codec",
    "CodecResponse",
    "CodecTransfer",
    "DISPATCH_LEVEL",
    "Domain",
    "DsGetDcNameW",
    "Event",
    "Group",
    "Guest",
    "HDAUDIO_BUS_INTERFACE",
    "HDAUDIO_BUS_INTERFACE_BDL",
    "HDAUDIO_BUS_INTERFACE_V2",
    "HDAUDIO_STREAM_FORMAT",
    "HdAudioBus",
    "HdAudioError",
    "LocalGroup",
    "LoopbackCodec",
    "Machine",
    "NETSETUP_JOIN_STATUS",
    "NT_SUCCESS",
    "NetApiBufferAllocate",
    "NetApiBufferFree",
    "NetApiBufferReallocate",
    "NetApiBufferSize",
    "NetApiError",
    "NetBuffer",
    "NetGetJoinInformation",
    "NetGroupEnum",
    "NetLocalGroupEnum",
    "NetLocalGroupGetMembers",
    "NetQueryDisplayInformation",
    "NetServerEnum",
    "NetServerGetInfo",
    "NetShareEnum",
    "NetStatus",
    "NetUserEnum",
    "NetUserGetInfo",
    "NetUserGetLocalGroups",
    "NetWkstaGetInfo",
    "NetWkstaTransportEnum",
    "NetWkstaUserGetInfo",
    "NetapipBufferAllocate",
    "Network",
    "NtStatus",
    "PASSIVE_LEVEL",
    "PybufError",
    "RasCommSettings",
    "RasError",
    "RasFreeBuffer",
    "RasGetBuffer",
    "RasReceiveBuffer",
    "RasRetrieveBuffer",
    "RasSendBuffer",
    "RasSetCommSettings",
    "RasStatus",
    "ScriptResult",
    "Server",
    "Share",
    "Transport",
    "User",
    "VideoPortAllocateBuffer",
    "VideoPortAllocatePool",
    "VideoPortError",
    "VideoPortFreePool",
    "VideoPortReleaseBuffer",
    "VpStatus",
    "WINE",
    "get_include",
]

ERROR_SUCCESS: Status
SUCCESS: Status
PENDING: Status
ERROR_INVALID_PORT_HANDLE: Status
ERROR_PORT_ALREADY_OPEN: Status
ERROR_BUFFER_TOO_SMALL: Status
ERROR_WRONG_INFO_SPECIFIED: Status
ERROR_CANNOT_SET_PORT_INFO: Status
ERROR_PORT_NOT_CONNECTED: Status
ERROR_EVENT_INVALID: Status
ERROR_DEVICE_DOES_NOT_EXIST: Status
ERROR_BUFFER_INVALID: Status
ERROR_ROUTE_NOT_AVAILABLE: Status
ERROR_ROUTE_NOT_ALLOCATED: Status
ERROR_OUT_OF_BUFFERS: Status
ERROR_PORT_NOT_FOUND: Status
ERROR_ASYNC_REQUEST_PENDING: Status
ERROR_PORT_NOT_OPEN: Status
ERROR_PORT_DISCONNECTED: Status
ERROR_DISCONNECTION: Status
ERROR_REMOTE_DISCONNECTION: Status
ERROR_HARDWARE_FAILURE: Status
ERROR_USER_DISCONNECTION: Status
ERROR_INVALID_SIZE: Status
ERROR_REQUEST_TIMEOUT: Status
ERROR_SERVER_OUT_OF_RESOURCES: Status
ERROR_ALLOCATING_MEMORY: Status
ERROR_RECV_BUF_FULL: Status
ERROR_INVALID_PARAMETER: Status
NERR_Success: Status
ERROR_ACCESS_DENIED: Status
ERROR_INVALID_HANDLE: Status
ERROR_NOT_ENOUGH_MEMORY: Status
ERROR_OUTOFMEMORY: Status
ERROR_NOT_SUPPORTED: Status
ERROR_BAD_NETPATH: Status
ERROR_INSUFFICIENT_BUFFER: Status
ERROR_INVALID_NAME: Status
ERROR_INVALID_LEVEL: Status
ERROR_MORE_DATA: Status
ERROR_NO_MORE_ITEMS: Status
ERROR_NOACCESS: Status
ERROR_INVALID_FLAGS: Status
ERROR_INVALID_COMPUTERNAME: Status
ERROR_INVALID_DOMAINNAME: Status
ERROR_NETWORK_UNREACHABLE: Status
ERROR_NO_SUCH_DOMAIN: Status
RPC_S_INVALID_NET_ADDR: Status
RPC_S_SERVER_UNAVAILABLE: Status
RPC_X_NULL_REF_POINTER: Status
NERR_NetNotStarted: Status
NERR_ServerNotStarted: Status
NERR_BufTooSmall: Status
NERR_RemoteErr: Status
NERR_WkstaNotStarted: Status
NERR_InternalError: Status
NERR_InvalidAPI: Status
NERR_ServiceNotInstalled: Status
NERR_BadUsername: Status
NERR_GroupNotFound: Status
NERR_UserNotFound: Status
NERR_UserExists: Status
NERR_NotPrimary: Status
NERR_PasswordTooShort: Status
NERR_NetNameNotFound: Status
NERR_ClientNameNotFound: Status
NERR_InvalidComputer: Status
NERR_DCNotFound: Status
ERROR_NO_BROWSER_SERVERS_FOUND: Status
NO_ERROR: Status
ERROR_INVALID_FUNCTION: Status
ERROR_DEV_NOT_EXIST: Status
STATUS_SUCCESS: Status
STATUS_TIMEOUT: Status
STATUS_PENDING: Status
STATUS_UNSUCCESSFUL: Status
STATUS_NOT_IMPLEMENTED: Status
STATUS_ACCESS_VIOLATION: Status
STATUS_INVALID_HANDLE: Status
STATUS_INVALID_PARAMETER: Status
STATUS_NO_SUCH_DEVICE: Status
STATUS_INVALID_DEVICE_REQUEST: Status
STATUS_NO_MEMORY: Status
STATUS_BUFFER_TOO_SMALL: Status
STATUS_INSUFFICIENT_RESOURCES: Status
STATUS_DEVICE_NOT_CONNECTED: Status
STATUS_DEVICE_NOT_READY: Status
STATUS_IO_TIMEOUT: Status
STATUS_NOT_SUPPORTED: Status
STATUS_NOT_FOUND: Status
IRQL_NOT_LESS_OR_EQUAL: Status
BAD_POOL_HEADER: Status
PAGE_FAULT_IN_NONPAGED_AREA: Status
SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION: Status
BAD_POOL_CALLER: Status
DRIVER_VERIFIER_DETECTED_VIOLATION: Status
DRIVER_CORRUPTED_EXPOOL: Status
DRIVER_CAUGHT_MODIFYING_FREED_POOL: Status
PAGE_FAULT_IN_FREED_SPECIAL_POOL: Status
PAGE_FAULT_BEYOND_END_OF_ALLOCATION: Status
DRIVER_CORRUPTED_MMPOOL: Status
DRIVER_IRQL_NOT_LESS_OR_EQUAL: Status
DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL: Status
DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION: Status

def get_include() -> str: ...
