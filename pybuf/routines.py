"""The routines that pybuf models, once: name, family, prototype, header, IRQL, page. Imports nothing of ours.

What else lists them is made of this table or compared with it. A routine's number is its place here, from 1.
"""

from __future__ import annotations

from typing import NamedTuple


class Routine(NamedTuple):
    """A documented routine."""

    name: str
    family: str
    """"ras", "netapi", "videoport" or "hdaudio"."""
    returns: str
    """The C type."""
    parameters: str
    """The C parameters, in the header's own types."""
    header: str
    irql: str | None
    """The page's level; None in user mode."""
    page: str
    """Its name in Microsoft's reference, the last part of the address."""


ROUTINES: tuple[Routine, ...] = (
    Routine(
        "RasGetBuffer", "ras", "DWORD",
        "PBYTE *ppBuffer, PDWORD pdwSize",
        "ras.h", None, "nc-ras-pfnrasgetbuffer",
    ),
    Routine(
        "RasFreeBuffer", "ras", "DWORD",
        "PBYTE pBuffer",
        "ras.h", None, "nc-ras-pfnrasfreebuffer",
    ),
    Routine(
        "RasSendBuffer", "ras", "DWORD",
        "HANDLE hPort, PBYTE pBuffer, DWORD dwSize",
        "ras.h", None, "nc-ras-pfnrassendbuffer",
    ),
    Routine(
        "RasReceiveBuffer", "ras", "DWORD",
        "HANDLE hPort, PBYTE pBuffer, PDWORD pdwSize, DWORD dwTimeOut, HANDLE hEvent",
        "ras.h", None, "nc-ras-pfnrasreceivebuffer",
    ),
    Routine(
        "RasRetrieveBuffer", "ras", "DWORD",
        "HANDLE hPort, PBYTE pBuffer, PDWORD pdwSize",
        "ras.h", None, "nc-ras-pfnrasretrievebuffer",
    ),
    Routine(
        "RasSetCommSettings", "ras", "DWORD",
        "HANDLE hPort, RASCOMMSETTINGS *pRasCommSettings, PVOID pvReserved",
        "ras.h", None, "nc-ras-rassetcommsettings",
    ),
    Routine(
        "RasCustomScriptExecute", "ras", "DWORD",
        "HANDLE hPort, LPCWSTR lpszPhonebook, LPCWSTR lpszEntryName, PFNRASGETBUFFER pfnRasGetBuffer, "
        "PFNRASFREEBUFFER pfnRasFreeBuffer, PFNRASSENDBUFFER pfnRasSendBuffer, "
        "PFNRASRECEIVEBUFFER pfnRasReceiveBuffer, PFNRASRETRIEVEBUFFER pfnRasRetrieveBuffer, HWND hWnd, "
        "RASDIALPARAMS *pRasDialParams, PVOID pvReserved",
        "ras.h", None, "nc-ras-rascustomscriptexecutefn",
    ),
    Routine(
        "NetApiBufferAllocate", "netapi", "NET_API_STATUS",
        "DWORD ByteCount, LPVOID *Buffer",
        "lmapibuf.h", None, "nf-lmapibuf-netapibufferallocate",
    ),
    Routine(
        "NetapipBufferAllocate", "netapi", "NET_API_STATUS",
        "DWORD ByteCount, LPVOID *Buffer",
        "lmapibuf.h", None, "nf-lmapibuf-netapibufferallocate",
    ),
    Routine(
        "NetApiBufferFree", "netapi", "NET_API_STATUS",
        "LPVOID Buffer",
        "lmapibuf.h", None, "nf-lmapibuf-netapibufferfree",
    ),
    Routine(
        "NetApiBufferReallocate", "netapi", "NET_API_STATUS",
        "LPVOID OldBuffer, DWORD NewByteCount, LPVOID *NewBuffer",
        "lmapibuf.h", None, "nf-lmapibuf-netapibufferreallocate",
    ),
    Routine(
        "NetApiBufferSize", "netapi", "NET_API_STATUS",
        "LPVOID Buffer, LPDWORD ByteCount",
        "lmapibuf.h", None, "nf-lmapibuf-netapibuffersize",
    ),
    Routine(
        "NetServerEnum", "netapi", "NET_API_STATUS",
        "LMCSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
        "LPDWORD totalentries, DWORD servertype, LMCSTR domain, LPDWORD resume_handle",
        "lmserver.h", None, "nf-lmserver-netserverenum",
    ),
    Routine(
        "NetServerGetInfo", "netapi", "NET_API_STATUS",
        "LMSTR servername, DWORD level, LPBYTE *bufptr",
        "lmserver.h", None, "nf-lmserver-netservergetinfo",
    ),
    Routine(
        "NetWkstaGetInfo", "netapi", "NET_API_STATUS",
        "LMSTR servername, DWORD level, LPBYTE *bufptr",
        "lmwksta.h", None, "nf-lmwksta-netwkstagetinfo",
    ),
    Routine(
        "NetWkstaUserGetInfo", "netapi", "NET_API_STATUS",
        "LMSTR reserved, DWORD level, LPBYTE *bufptr",
        "lmwksta.h", None, "nf-lmwksta-netwkstausergetinfo",
    ),
    Routine(
        "NetWkstaTransportEnum", "netapi", "NET_API_STATUS",
        "LMCSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
        "LPDWORD totalentries, LPDWORD resume_handle",
        "lmwksta.h", None, "nf-lmwksta-netwkstatransportenum",
    ),
    Routine(
        "NetUserEnum", "netapi", "NET_API_STATUS",
        "LMCSTR servername, DWORD level, DWORD filter, LPBYTE *bufptr, DWORD prefmaxlen, "
        "LPDWORD entriesread, LPDWORD totalentries, LPDWORD resume_handle",
        "lmaccess.h", None, "nf-lmaccess-netuserenum",
    ),
    Routine(
        "NetUserGetInfo", "netapi", "NET_API_STATUS",
        "LMCSTR servername, LMCSTR username, DWORD level, LPBYTE *bufptr",
        "lmaccess.h", None, "nf-lmaccess-netusergetinfo",
    ),
    Routine(
        "NetShareEnum", "netapi", "NET_API_STATUS",
        "LMSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
        "LPDWORD totalentries, LPDWORD resume_handle",
        "lmshare.h", None, "nf-lmshare-netshareenum",
    ),
    Routine(
        "NetLocalGroupEnum", "netapi", "NET_API_STATUS",
        "LMCSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
        "LPDWORD totalentries, PDWORD_PTR resumehandle",
        "lmaccess.h", None, "nf-lmaccess-netlocalgroupenum",
    ),
    Routine(
        "NetQueryDisplayInformation", "netapi", "NET_API_STATUS",
        "LPCWSTR ServerName, DWORD Level, DWORD Index, DWORD EntriesRequested, DWORD PreferredMaximumLength, "
        "LPDWORD ReturnedEntryCount, PVOID *SortedBuffer",
        "lmaccess.h", None, "nf-lmaccess-netquerydisplayinformation",
    ),
    Routine(
        "NetGetJoinInformation", "netapi", "NET_API_STATUS",
        "LPCWSTR lpServer, LPWSTR *lpNameBuffer, PNETSETUP_JOIN_STATUS BufferType",
        "lmjoin.h", None, "nf-lmjoin-netgetjoininformation",
    ),
    Routine(
        "DsGetDcNameW", "netapi", "DWORD",
        "LPCWSTR ComputerName, LPCWSTR DomainName, GUID *DomainGuid, LPCWSTR SiteName, ULONG Flags, "
        "PDOMAIN_CONTROLLER_INFOW *DomainControllerInfo",
        "dsgetdc.h", None, "nf-dsgetdc-dsgetdcnamew",
    ),
    Routine(
        "NetUserGetLocalGroups", "netapi", "NET_API_STATUS",
        "LPCWSTR servername, LPCWSTR username, DWORD level, DWORD flags, LPBYTE *bufptr, DWORD prefmaxlen, "
        "LPDWORD entriesread, LPDWORD totalentries",
        "lmaccess.h", None, "nf-lmaccess-netusergetlocalgroups",
    ),
    Routine(
        "NetLocalGroupGetMembers", "netapi", "NET_API_STATUS",
        "LPCWSTR servername, LPCWSTR localgroupname, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, "
        "LPDWORD entriesread, LPDWORD totalentries, PDWORD_PTR resumehandle",
        "lmaccess.h", None, "nf-lmaccess-netlocalgroupgetmembers",
    ),
    Routine(
        "NetGroupEnum", "netapi", "NET_API_STATUS",
        "LPCWSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
        "LPDWORD totalentries, PDWORD_PTR resume_handle",
        "lmaccess.h", None, "nf-lmaccess-netgroupenum",
    ),
    Routine(
        "VideoPortAllocateBuffer", "videoport", "VP_STATUS",
        "PVOID HwDeviceExtension, ULONG Size, PVOID *Buffer",
        "video.h", "PASSIVE_LEVEL", "nf-video-videoportallocatebuffer",
    ),
    Routine(
        "VideoPortReleaseBuffer", "videoport", "VOID",
        "PVOID HwDeviceExtension, PVOID Buffer",
        "video.h", "PASSIVE_LEVEL", "nf-video-videoportreleasebuffer",
    ),
    Routine(
        "VideoPortAllocatePool", "videoport", "PVOID",
        "PVOID HwDeviceExtension, VP_POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag",
        "video.h", "<= DISPATCH_LEVEL", "nf-video-videoportallocatepool",
    ),
    Routine(
        "VideoPortFreePool", "videoport", "VOID",
        "PVOID HwDeviceExtension, PVOID Ptr",
        "video.h", "<= DISPATCH_LEVEL", "nf-video-videoportfreepool",
    ),
    Routine(
        "TransferCodecVerbs", "hdaudio", "NTSTATUS",
        "PVOID Context, ULONG Count, PHDAUDIO_CODEC_TRANSFER CodecTransfer, "
        "PHDAUDIO_TRANSFER_COMPLETE_CALLBACK Callback, PVOID CallbackContext",
        "hdaudio.h", "<= DISPATCH_LEVEL", "nc-hdaudio-ptransfer_codec_verbs",
    ),
    Routine(
        "AllocateCaptureDmaEngine", "hdaudio", "NTSTATUS",
        "PVOID Context, UCHAR CodecAddress, PHDAUDIO_STREAM_FORMAT StreamFormat, PHANDLE Handle, "
        "PHDAUDIO_CONVERTER_FORMAT ConverterFormat",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pallocate_capture_dma_engine",
    ),
    Routine(
        "AllocateRenderDmaEngine", "hdaudio", "NTSTATUS",
        "PVOID Context, PHDAUDIO_STREAM_FORMAT StreamFormat, BOOLEAN Stripe, PHANDLE Handle, "
        "PHDAUDIO_CONVERTER_FORMAT ConverterFormat",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pallocate_render_dma_engine",
    ),
    Routine(
        "ChangeBandwidthAllocation", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle, PHDAUDIO_STREAM_FORMAT StreamFormat, "
        "PHDAUDIO_CONVERTER_FORMAT ConverterFormat",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pchange_bandwidth_allocation",
    ),
    Routine(
        "AllocateDmaBuffer", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle, SIZE_T RequestedBufferSize, PMDL *BufferMdl, "
        "PSIZE_T AllocatedBufferSize, PUCHAR StreamId, PULONG FifoSize",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pallocate_dma_buffer",
    ),
    Routine(
        "FreeDmaBuffer", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pfree_dma_buffer",
    ),
    Routine(
        "FreeDmaEngine", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle",
        "hdaudio.h", "<= DISPATCH_LEVEL", "nc-hdaudio-pfree_dma_engine",
    ),
    Routine(
        "SetDmaEngineState", "hdaudio", "NTSTATUS",
        "PVOID Context, HDAUDIO_STREAM_STATE StreamState, ULONG NumberOfHandles, PHANDLE Handles",
        "hdaudio.h", "<= DISPATCH_LEVEL", "nc-hdaudio-pset_dma_engine_state",
    ),
    Routine(
        "GetWallClockRegister", "hdaudio", "VOID",
        "PVOID Context, PULONG *Wallclock",
        "hdaudio.h", "<= DISPATCH_LEVEL", "nc-hdaudio-pget_wall_clock_register",
    ),
    Routine(
        "GetLinkPositionRegister", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle, PULONG *Position",
        "hdaudio.h", "<= DISPATCH_LEVEL", "nc-hdaudio-pget_link_position_register",
    ),
    Routine(
        "RegisterEventCallback", "hdaudio", "NTSTATUS",
        "PVOID Context, PHDAUDIO_UNSOLICITED_RESPONSE_CALLBACK Routine, PVOID CallbackContext, PUCHAR Tag",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pregister_event_callback",
    ),
    Routine(
        "UnregisterEventCallback", "hdaudio", "NTSTATUS",
        "PVOID Context, UCHAR Tag",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-punregister_event_callback",
    ),
    Routine(
        "GetDeviceInformation", "hdaudio", "NTSTATUS",
        "PVOID Context, PHDAUDIO_DEVICE_INFORMATION DeviceInformation",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pget_device_information",
    ),
    Routine(
        "GetResourceInformation", "hdaudio", "VOID",
        "PVOID Context, PUCHAR CodecAddress, PUCHAR FunctionGroupStartNode",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pget_resource_information",
    ),
    Routine(
        "AllocateDmaBufferWithNotification", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle, ULONG NotificationCount, SIZE_T RequestedBufferSize, PMDL *BufferMdl, "
        "PSIZE_T AllocatedBufferSize, PSIZE_T OffsetFromFirstPage, PUCHAR StreamId, PULONG FifoSize",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pallocate_dma_buffer_with_notification",
    ),
    Routine(
        "FreeDmaBufferWithNotification", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle, PMDL BufferMdl, SIZE_T BufferSize",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pfree_dma_buffer_with_notification",
    ),
    Routine(
        "RegisterNotificationEvent", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle, PKEVENT NotificationEvent",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pregister_notification_event",
    ),
    Routine(
        "UnregisterNotificationEvent", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle, PKEVENT NotificationEvent",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-punregister_notification_event",
    ),
    Routine(
        "AllocateContiguousDmaBuffer", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle, ULONG RequestedBufferSize, PVOID *DataBuffer, "
        "PHDAUDIO_BUFFER_DESCRIPTOR *BdlBuffer",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pallocate_contiguous_dma_buffer",
    ),
    Routine(
        "SetupDmaEngineWithBdl", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle, ULONG BufferLength, ULONG Lvi, PHDAUDIO_BDL_ISR Isr, PVOID Context, "
        "PUCHAR StreamId, PULONG FifoSize",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-psetup_dma_engine_with_bdl",
    ),
    Routine(
        "FreeContiguousDmaBuffer", "hdaudio", "NTSTATUS",
        "PVOID Context, HANDLE Handle",
        "hdaudio.h", "PASSIVE_LEVEL", "nc-hdaudio-pfree_contiguous_dma_buffer",
    ),
)

NUMBER_OF: dict[str, int] = {routine.name: number for number, routine in enumerate(ROUTINES, start=1)}
