"""Every status and bug-check code that a routine answers, once: name, number, header, meaning.

One enum a number space, because the spaces overlap: 87 is ERROR_INVALID_PARAMETER in three of them, and 601 of RAS is
nothing to NetApi. A member is equal to its number, and prints and formats as its name.
"""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """A number with a name, of one of the spaces below."""

    header: str
    meaning: str

    def __new__(cls, value: int, header: str = "", meaning: str = "") -> Status:
        """A member: its number, the header or page that defines it, and what it says in a sentence."""
        self = int.__new__(cls, value)
        self._value_ = value
        self.header = header
        self.meaning = meaning
        return self

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        """The name, or the number in a format of numbers, such as ``f"{status:#x}"``."""
        return format(int(self), spec) if spec[-1:] in tuple("bcdeEfFgGnoxX%") else format(self.name, spec)


class RasStatus(Status):
    """What the RAS routines answer."""

    ERROR_SUCCESS = 0, "raserror.h", "The call succeeded."
    SUCCESS = 0, "raserror.h", "The call succeeded."
    PENDING = 600, "raserror.h", "The operation is still pending."
    ERROR_INVALID_PORT_HANDLE = 601, "raserror.h", "The port handle is not valid."
    ERROR_PORT_ALREADY_OPEN = 602, "raserror.h", "The port is open already."
    ERROR_BUFFER_TOO_SMALL = 603, "raserror.h", "The caller's buffer is too small."
    ERROR_WRONG_INFO_SPECIFIED = 604, "raserror.h", "The information given is of the wrong kind."
    ERROR_CANNOT_SET_PORT_INFO = 605, "raserror.h", "The port's settings cannot be changed."
    ERROR_PORT_NOT_CONNECTED = 606, "raserror.h", "The port is not connected."
    ERROR_EVENT_INVALID = 607, "raserror.h", "The event is not valid."
    ERROR_DEVICE_DOES_NOT_EXIST = 608, "raserror.h", "The device does not exist."
    ERROR_BUFFER_INVALID = 610, "raserror.h", "The buffer is not valid."
    ERROR_ROUTE_NOT_AVAILABLE = 611, "raserror.h", "The route is not available."
    ERROR_ROUTE_NOT_ALLOCATED = 612, "raserror.h", "The route is not allocated."
    ERROR_OUT_OF_BUFFERS = 614, "raserror.h", "RAS cannot allocate any more buffer space."
    ERROR_PORT_NOT_FOUND = 615, "raserror.h", "The port was not found."
    ERROR_ASYNC_REQUEST_PENDING = 616, "raserror.h", "An asynchronous request is pending."
    ERROR_PORT_NOT_OPEN = 618, "raserror.h", "The port is not open."
    ERROR_PORT_DISCONNECTED = 619, "raserror.h", "The port was disconnected."
    ERROR_DISCONNECTION = 628, "raserror.h", "The connection was closed."
    ERROR_REMOTE_DISCONNECTION = 629, "raserror.h", "The remote side closed the connection."
    ERROR_HARDWARE_FAILURE = 630, "raserror.h", "The hardware failed."
    ERROR_USER_DISCONNECTION = 631, "raserror.h", "The user closed the connection."
    ERROR_INVALID_SIZE = 632, "raserror.h", "The structure's size is not valid."
    ERROR_REQUEST_TIMEOUT = 638, "raserror.h", "The request timed out."
    ERROR_SERVER_OUT_OF_RESOURCES = 641, "raserror.h", "The server has no resources left."
    ERROR_ALLOCATING_MEMORY = 664, "raserror.h", "The system is out of memory."
    ERROR_RECV_BUF_FULL = 699, "raserror.h", "The modem's buffer is full."
    ERROR_INVALID_PARAMETER = 87, "winerror.h", "A parameter is not valid."


class NetStatus(Status):
    """What the NetApi routines answer: numbers of lmerr.h and of winerror.h."""

    NERR_Success = 0, "lmerr.h", "The call succeeded."
    ERROR_SUCCESS = 0, "winerror.h", "The call succeeded."
    ERROR_ACCESS_DENIED = 5, "winerror.h", "The caller does not have the right."
    ERROR_INVALID_HANDLE = 6, "winerror.h", "The handle is not valid."
    ERROR_NOT_ENOUGH_MEMORY = 8, "winerror.h", "There is not enough memory."
    ERROR_OUTOFMEMORY = 14, "winerror.h", "There is not enough memory to complete this operation."
    ERROR_NOT_SUPPORTED = 50, "winerror.h", "The request is not supported."
    ERROR_BAD_NETPATH = 53, "winerror.h", "The network path was not found."
    ERROR_INVALID_PARAMETER = 87, "winerror.h", "A parameter is not valid."
    ERROR_INSUFFICIENT_BUFFER = 122, "winerror.h", "The buffer is too small."
    ERROR_INVALID_NAME = 123, "winerror.h", "The name is ill-formed."
    ERROR_INVALID_LEVEL = 124, "winerror.h", "The information level is not one of the routine's."
    ERROR_MORE_DATA = 234, "winerror.h", "More entries are available."
    ERROR_NO_MORE_ITEMS = 259, "winerror.h", "There are no more items."
    ERROR_NOACCESS = 998, "winerror.h", "Access to the memory location is not valid."
    ERROR_INVALID_FLAGS = 1004, "winerror.h", "The flags are not valid."
    ERROR_INVALID_COMPUTERNAME = 1210, "winerror.h", "The computer name is ill-formed."
    ERROR_INVALID_DOMAINNAME = 1212, "winerror.h", "The domain name is ill-formed."
    ERROR_NETWORK_UNREACHABLE = 1231, "winerror.h", "The network cannot be reached."
    ERROR_NO_SUCH_DOMAIN = 1355, "winerror.h", "The domain does not exist or cannot be contacted."
    RPC_S_INVALID_NET_ADDR = 1707, "winerror.h", "The network address is not valid."
    RPC_S_SERVER_UNAVAILABLE = 1722, "winerror.h", "The RPC server is not available."
    RPC_X_NULL_REF_POINTER = 1780, "winerror.h", "A null reference pointer was given."
    NERR_NetNotStarted = 2102, "lmerr.h", "The workstation driver is not installed."
    NERR_ServerNotStarted = 2114, "lmerr.h", "The server service is not started."
    NERR_BufTooSmall = 2123, "lmerr.h", "The preferred length is too small for one entry."
    NERR_RemoteErr = 2127, "lmerr.h", "An error occurred on the remote computer."
    NERR_WkstaNotStarted = 2138, "lmerr.h", "The workstation service is not started."
    NERR_InternalError = 2140, "lmerr.h", "An internal error occurred."
    NERR_InvalidAPI = 2142, "lmerr.h", "The remote computer does not support the routine."
    NERR_ServiceNotInstalled = 2184, "lmerr.h", "The service is not started."
    NERR_BadUsername = 2202, "lmerr.h", "The user name or group name is ill-formed."
    NERR_GroupNotFound = 2220, "lmerr.h", "The group does not exist."
    NERR_UserNotFound = 2221, "lmerr.h", "The user does not exist."
    NERR_UserExists = 2224, "lmerr.h", "The user exists already."
    NERR_NotPrimary = 2226, "lmerr.h", "The operation is only allowed on the primary domain controller."
    NERR_PasswordTooShort = 2245, "lmerr.h", "The password is too short."
    NERR_NetNameNotFound = 2310, "lmerr.h", "The share does not exist."
    NERR_ClientNameNotFound = 2312, "lmerr.h", "No session with that computer name exists."
    NERR_InvalidComputer = 2351, "lmerr.h", "The computer name is ill-formed."
    NERR_DCNotFound = 2453, "lmerr.h", "The domain controller could not be found."
    ERROR_NO_BROWSER_SERVERS_FOUND = 6118, "winerror.h", "No browser servers were found."


class VpStatus(Status):
    """What VideoPortAllocateBuffer answers: a LONG with numbers of winerror.h, no NTSTATUS."""

    NO_ERROR = 0, "winerror.h", "The call succeeded."
    ERROR_INVALID_FUNCTION = 1, "winerror.h", "The function is not valid."
    ERROR_NOT_ENOUGH_MEMORY = 8, "winerror.h", "There is not enough memory."
    ERROR_DEV_NOT_EXIST = 55, "winerror.h", "The device does not exist."
    ERROR_INVALID_PARAMETER = 87, "winerror.h", "A parameter is not valid."
    ERROR_INSUFFICIENT_BUFFER = 122, "winerror.h", "The device's allowance is exhausted."


class NtStatus(Status):
    """What the HD Audio routines answer, unsigned."""

    STATUS_SUCCESS = 0x00000000, "ntstatus.h", "The call succeeded."
    STATUS_TIMEOUT = 0x00000102, "ntstatus.h", "The wait timed out."
    STATUS_PENDING = 0x00000103, "ntstatus.h", "The operation is pending."
    STATUS_UNSUCCESSFUL = 0xC0000001, "ntstatus.h", "The operation was unsuccessful: the IRQL is too high."
    STATUS_NOT_IMPLEMENTED = 0xC0000002, "ntstatus.h", "The operation is not implemented."
    STATUS_ACCESS_VIOLATION = 0xC0000005, "ntstatus.h", "The memory may not be accessed."
    STATUS_INVALID_HANDLE = 0xC0000008, "ntstatus.h", "The handle is not valid."
    STATUS_INVALID_PARAMETER = 0xC000000D, "ntstatus.h", "A parameter is not valid."
    STATUS_NO_SUCH_DEVICE = 0xC000000E, "ntstatus.h", "The context is not that of a device."
    STATUS_INVALID_DEVICE_REQUEST = 0xC0000010, "ntstatus.h", "The request is not valid in the present state."
    STATUS_NO_MEMORY = 0xC0000017, "ntstatus.h", "There is not enough memory."
    STATUS_BUFFER_TOO_SMALL = 0xC0000023, "ntstatus.h", "The buffer is too small."
    STATUS_INSUFFICIENT_RESOURCES = 0xC000009A, "ntstatus.h", "There are not enough resources."
    STATUS_DEVICE_NOT_CONNECTED = 0xC000009D, "ntstatus.h", "The device is not connected."
    STATUS_DEVICE_NOT_READY = 0xC00000A3, "ntstatus.h", "The device is not ready."
    STATUS_IO_TIMEOUT = 0xC00000B5, "ntstatus.h", "The device did not answer in time."
    STATUS_NOT_SUPPORTED = 0xC00000BB, "ntstatus.h", "The request is not supported."
    STATUS_NOT_FOUND = 0xC0000225, "ntstatus.h", "The object was not found."


class BugCheckCode(Status):
    """What a kernel stops with."""

    IRQL_NOT_LESS_OR_EQUAL = 0x0A, "bugcodes.h", "Memory was accessed at an IRQL that is too high."
    BAD_POOL_HEADER = 0x19, "bugcodes.h", "A pool header is damaged."
    PAGE_FAULT_IN_NONPAGED_AREA = 0x50, "bugcodes.h", "Memory that does not exist was referenced."
    SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION = 0xC1, "bugcodes.h", "Memory outside a special pool block was written."
    BAD_POOL_CALLER = 0xC2, "bugcodes.h", "A driver made a bad pool request."
    DRIVER_VERIFIER_DETECTED_VIOLATION = 0xC4, "bug-check-0xc4", "Driver Verifier found a violation."
    DRIVER_CORRUPTED_EXPOOL = 0xC5, "bugcodes.h", "A driver damaged the system pool."
    DRIVER_CAUGHT_MODIFYING_FREED_POOL = 0xC6, "bugcodes.h", "A driver wrote to pool that it had freed."
    PAGE_FAULT_IN_FREED_SPECIAL_POOL = 0xCC, "bug-check-0xcc", "Freed special pool was referenced."
    PAGE_FAULT_BEYOND_END_OF_ALLOCATION = 0xCD, "bug-check-0xcd", "Memory past the end of a block was referenced."
    DRIVER_CORRUPTED_MMPOOL = 0xD0, "bugcodes.h", "A driver damaged the system pool."
    DRIVER_IRQL_NOT_LESS_OR_EQUAL = 0xD1, "bugcodes.h", "A driver touched pageable memory at too high an IRQL."
    DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL = 0xD5, "bug-check-0xd5", "A driver touched special pool that it had freed."
    DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION = 0xD6, "bug-check-0xd6", "A driver touched memory past a block."


# By the numbers that _status.pxd gives the spaces.
SPACES: tuple[type[Status], ...] = (RasStatus, NetStatus, VpStatus, NtStatus, BugCheckCode)


def NT_SUCCESS(status: int) -> bool:  # noqa: N802
    """Whether an NTSTATUS is a success or information: its top bit is clear.

    Parameters
    ----------
    status : NtStatus or int
        Signed or unsigned.

    Raises
    ------
    TypeError
        A member of another space, whose failures would all be successes here: compare it with 0.
    """
    if isinstance(status, Status) and not isinstance(status, NtStatus):
        raise TypeError(f"NT_SUCCESS is for an NtStatus, not the {type(status).__name__} {status}: compare that with 0")
    return int(status) & 0x80000000 == 0


def __getattr__(name: str) -> Status:
    """A member by its name alone, of the first space that has it."""
    for space in SPACES:
        member = space.__members__.get(name)
        if member is not None:
            return member
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
