"""The documented routines, once: doors.py writes the C and ctypes doors from this table, `pybuf.windll` takes its
argument types from it, and a test compares pybuf.h with it.

A row holds the prototype as the Windows headers have it and the name of the function of the family's `.pxd` that is
the routine. Its parameters are, in this order:

* what the routine acts on: `machine_t *` (NetApi), `session_t *` (RAS), `device_t *` (VideoPort), `client_t *`
  (HD Audio). VideoPort's and HD Audio's first parameter is looked up to find it, and is not passed on;
* `uint32_t wchar_bytes`, if the prototype has text or answers a structure with text (`has_text`);
* every other parameter in the order of C. KINDS says as what: numbers by value, addresses and handles as uint64_t,
  everything behind a pointer of this process as that pointer, which may be NULL;
* what `extra` names: `hold` (`hold_t *`, NULL from C), `bug` (`bug_check_t *`), `abi` (ABI_* of callbacks).

A routine is there once its family's .pxd declares that function. The module imports nothing, so that setup.py can run
it without a build. Which rows of the conformance matrix are a routine's is said by the matrix.
"""

from __future__ import annotations

from typing import NamedTuple

# What a C type is: its kind, and what the compiled doors and the families' functions call it.
# value: a number; address: a pointer or handle that is looked up and never followed; out: this process' memory, written
# (and read where the page says so); text: wide characters; struct: a structure or array that is read; callback: code.
KINDS = {
    "DWORD": ("value", "uint32_t"),
    "ULONG": ("value", "uint32_t"),
    "UCHAR": ("value", "uint8_t"),
    "BOOLEAN": ("value", "uint8_t"),
    "SIZE_T": ("value", "uint64_t"),
    "VP_POOL_TYPE": ("value", "uint32_t"),
    "HDAUDIO_STREAM_STATE": ("value", "uint32_t"),
    "HANDLE": ("address", "uint64_t"),
    "HWND": ("address", "uint64_t"),
    "PVOID": ("address", "uint64_t"),
    "LPVOID": ("address", "uint64_t"),
    "PBYTE": ("address", "uint64_t"),
    "PMDL": ("address", "uint64_t"),
    "PKEVENT": ("address", "uint64_t"),
    "PBYTE *": ("out", "uint64_t *"),
    "PVOID *": ("out", "uint64_t *"),
    "LPVOID *": ("out", "uint64_t *"),
    "LPBYTE *": ("out", "uint64_t *"),
    "LPWSTR *": ("out", "uint64_t *"),
    "PMDL *": ("out", "uint64_t *"),
    "PULONG *": ("out", "uint64_t *"),
    "PHDAUDIO_BUFFER_DESCRIPTOR *": ("out", "uint64_t *"),
    "PDOMAIN_CONTROLLER_INFOW *": ("out", "uint64_t *"),
    "PHANDLE": ("out", "uint64_t *"),
    "PSIZE_T": ("out", "uint64_t *"),
    "PDWORD_PTR": ("out", "uint64_t *"),
    "PDWORD": ("out", "uint32_t *"),
    "LPDWORD": ("out", "uint32_t *"),
    "PULONG": ("out", "uint32_t *"),
    "PNETSETUP_JOIN_STATUS": ("out", "uint32_t *"),
    "PHDAUDIO_CONVERTER_FORMAT": ("out", "uint16_t *"),
    "PUCHAR": ("out", "uint8_t *"),
    "PHDAUDIO_DEVICE_INFORMATION": ("out", "void *"),
    "PHDAUDIO_CODEC_TRANSFER": ("out", "void *"),
    "LPCWSTR": ("text", "const void *"),
    "LMSTR": ("text", "const void *"),
    "LMCSTR": ("text", "const void *"),
    "RASCOMMSETTINGS *": ("struct", "const void *"),
    "RASDIALPARAMS *": ("struct", "const void *"),
    "GUID *": ("struct", "const void *"),
    "PHDAUDIO_STREAM_FORMAT": ("struct", "const void *"),
    "PFNRASGETBUFFER": ("callback", "void *"),
    "PFNRASFREEBUFFER": ("callback", "void *"),
    "PFNRASSENDBUFFER": ("callback", "void *"),
    "PFNRASRECEIVEBUFFER": ("callback", "void *"),
    "PFNRASRETRIEVEBUFFER": ("callback", "void *"),
    "PHDAUDIO_BDL_ISR": ("callback", "void *"),
    "PHDAUDIO_TRANSFER_COMPLETE_CALLBACK": ("callback", "void *"),
    "PHDAUDIO_UNSOLICITED_RESPONSE_CALLBACK": ("callback", "void *"),
}

# What a routine answers: a C type, or None.
RESULTS = {
    "DWORD": "uint32_t",
    "NET_API_STATUS": "uint32_t",
    "VP_STATUS": "int32_t",
    "NTSTATUS": "int32_t",
    "PVOID": "uint64_t",
    "VOID": None,
}

FAMILIES = ("ras", "netapi", "videoport", "hdaudio")


class Parameter(NamedTuple):
    """One parameter of a prototype."""

    type: str
    """As the Windows headers call it, with a `*` set off by a space."""
    name: str

    @property
    def kind(self) -> str:
        """What stands behind the type: value, address, out, text, struct or callback."""
        return KINDS[self.type][0]

    @property
    def compiled(self) -> str:
        """The type by which the family's function takes it."""
        return KINDS[self.type][1]


class Routine(NamedTuple):
    """One documented routine."""

    name: str
    family: str
    header: str
    """The Windows header that declares it."""
    result: str
    """The type of what it answers; a key of RESULTS."""
    parameters: tuple[Parameter, ...]
    core: str
    """The family's function; empty when pybuf calls the routine and does not have it."""
    page: str
    """The last part of its page's address; empty when it has none."""
    extra: tuple[str, ...]
    irql: str
    """The levels at which its page allows it; empty outside of the kernel."""
    has_text: bool

    @property
    def url(self) -> str:
        """The address of its page, or an empty string."""
        if not self.page:
            return ""
        part = "windows-hardware/drivers/ddi" if self.irql else "windows/win32/api"
        return f"https://learn.microsoft.com/{part}/{self.header.removesuffix('.h')}/{self.page}"


def parameters_of(prototype: str) -> tuple[Parameter, ...]:
    """The parameters of a prototype's text: "DWORD ByteCount, LPVOID *Buffer"."""
    found = []
    for part in prototype.split(",") if prototype else ():
        ctype, _, name = part.strip().rpartition(" ")
        stars = len(name) - len(name.lstrip("*"))
        found.append(Parameter(f"{ctype} {'*' * stars}".strip(), name.lstrip("*")))
    return tuple(found)


def ras(name: str, prototype: str, core: str, *extra: str, page: str = "") -> Routine:
    """A function pointer that RAS hands to a custom script."""
    slug = page or f"nc-ras-pfn{name.lower()}"
    return Routine(name, "ras", "ras.h", "DWORD", parameters_of(prototype), core, slug, extra, "", False)


def netapi(name: str, header: str, prototype: str, core: str, *extra: str, result: str = "NET_API_STATUS",
           text: bool = True, page: str | None = None) -> Routine:
    """A function of netapi32.dll."""
    slug = f"nf-{header.removesuffix('.h')}-{name.lower()}" if page is None else page
    return Routine(name, "netapi", header, result, parameters_of(prototype), core, slug, extra, "", text)


def video(name: str, result: str, prototype: str, core: str, irql: str, *extra: str) -> Routine:
    """A function of videoprt.sys."""
    return Routine(name, "videoport", "video.h", result, parameters_of("PVOID HwDeviceExtension, " + prototype), core,
                   f"nf-video-{name.lower()}", extra, irql, False)


def audio(name: str, prototype: str, core: str, irql: str, page: str, *extra: str, result: str = "NTSTATUS") -> Routine:
    """A member of one of the HD Audio bus interfaces."""
    whole = "PVOID context" + (f", {prototype}" if prototype else "")
    return Routine(name, "hdaudio", "hdaudio.h", result, parameters_of(whole), core, f"nc-hdaudio-{page}", extra, irql,
                   False)


PASSIVE = "PASSIVE_LEVEL"
DISPATCH = "<= DISPATCH_LEVEL"

ROUTINES = (
    ras("RasGetBuffer", "PBYTE *ppBuffer, PDWORD pdwSize", "ras_get_buffer"),
    ras("RasFreeBuffer", "PBYTE pBufer", "ras_free_buffer"),
    ras("RasSendBuffer", "HANDLE hPort, PBYTE pBuffer, DWORD dwSize", "ras_send_buffer"),
    ras("RasReceiveBuffer", "HANDLE hPort, PBYTE pBuffer, PDWORD pdwSize, DWORD dwTimeOut, HANDLE hEvent",
        "ras_receive_buffer"),
    ras("RasRetrieveBuffer", "HANDLE hPort, PBYTE pBuffer, PDWORD pdwSize", "ras_retrieve_buffer"),
    ras("RasSetCommSettings", "HANDLE hPort, RASCOMMSETTINGS *pRasCommSettings, PVOID pvReserved",
        "ras_set_comm_settings"),
    ras("RasCustomScriptExecute",
        "HANDLE hPort, LPCWSTR lpszPhonebook, LPCWSTR lpszEntryName, PFNRASGETBUFFER pfnRasGetBuffer, "
        "PFNRASFREEBUFFER pfnRasFreeBuffer, PFNRASSENDBUFFER pfnRasSendBuffer, "
        "PFNRASRECEIVEBUFFER pfnRasReceiveBuffer, PFNRASRETRIEVEBUFFER pfnRasRetrieveBuffer, HWND hWnd, "
        "RASDIALPARAMS *pRasDialParams, PVOID pvReserved", "", page="nc-ras-rascustomscriptexecutefn"),

    netapi("NetApiBufferAllocate", "lmapibuf.h", "DWORD ByteCount, LPVOID *Buffer", "netapi_allocate", text=False),
    netapi("NetapipBufferAllocate", "lmapibuf.h", "DWORD ByteCount, LPVOID *Buffer", "netapi_allocate", text=False,
           page=""),
    netapi("NetApiBufferFree", "lmapibuf.h", "LPVOID Buffer", "netapi_free", text=False),
    netapi("NetApiBufferReallocate", "lmapibuf.h", "LPVOID OldBuffer, DWORD NewByteCount, LPVOID *NewBuffer",
           "netapi_reallocate", text=False),
    netapi("NetApiBufferSize", "lmapibuf.h", "LPVOID Buffer, LPDWORD ByteCount", "netapi_size", text=False),
    netapi("NetServerEnum", "lmserver.h",
           "LMCSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
           "LPDWORD totalentries, DWORD servertype, LMCSTR domain, LPDWORD resume_handle", "netapi_server_enum"),
    netapi("NetServerGetInfo", "lmserver.h", "LMSTR servername, DWORD level, LPBYTE *bufptr", "netapi_server_get_info"),
    netapi("NetWkstaGetInfo", "lmwksta.h", "LMSTR servername, DWORD level, LPBYTE *bufptr", "netapi_wksta_get_info"),
    netapi("NetWkstaUserGetInfo", "lmwksta.h", "LMSTR reserved, DWORD level, LPBYTE *bufptr",
           "netapi_wksta_user_get_info"),
    netapi("NetWkstaTransportEnum", "lmwksta.h",
           "LMSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
           "LPDWORD totalentries, LPDWORD resume_handle", "netapi_wksta_transport_enum"),
    netapi("NetUserEnum", "lmaccess.h",
           "LPCWSTR servername, DWORD level, DWORD filter, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
           "LPDWORD totalentries, LPDWORD resume_handle", "netapi_user_enum"),
    netapi("NetUserGetInfo", "lmaccess.h", "LPCWSTR servername, LPCWSTR username, DWORD level, LPBYTE *bufptr",
           "netapi_user_get_info"),
    netapi("NetShareEnum", "lmshare.h",
           "LMSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
           "LPDWORD totalentries, LPDWORD resume_handle", "netapi_share_enum"),
    netapi("NetLocalGroupEnum", "lmaccess.h",
           "LPCWSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
           "LPDWORD totalentries, PDWORD_PTR resumehandle", "netapi_local_group_enum"),
    netapi("NetQueryDisplayInformation", "lmaccess.h",
           "LPCWSTR ServerName, DWORD Level, DWORD Index, DWORD EntriesRequested, DWORD PreferredMaximumLength, "
           "LPDWORD ReturnedEntryCount, PVOID *SortedBuffer", "netapi_query_display"),
    netapi("NetGetJoinInformation", "lmjoin.h",
           "LPCWSTR lpServer, LPWSTR *lpNameBuffer, PNETSETUP_JOIN_STATUS BufferType", "netapi_get_join"),
    netapi("DsGetDcNameW", "dsgetdc.h",
           "LPCWSTR ComputerName, LPCWSTR DomainName, GUID *DomainGuid, LPCWSTR SiteName, ULONG Flags, "
           "PDOMAIN_CONTROLLER_INFOW *DomainControllerInfo", "netapi_get_dc", result="DWORD"),
    netapi("NetUserGetLocalGroups", "lmaccess.h",
           "LPCWSTR servername, LPCWSTR username, DWORD level, DWORD flags, LPBYTE *bufptr, DWORD prefmaxlen, "
           "LPDWORD entriesread, LPDWORD totalentries", "netapi_user_local_groups"),
    netapi("NetLocalGroupGetMembers", "lmaccess.h",
           "LPCWSTR servername, LPCWSTR localgroupname, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, "
           "LPDWORD entriesread, LPDWORD totalentries, PDWORD_PTR resumehandle", "netapi_local_group_members"),
    netapi("NetGroupEnum", "lmaccess.h",
           "LPCWSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, "
           "LPDWORD totalentries, PDWORD_PTR resume_handle", "netapi_group_enum"),

    video("VideoPortAllocateBuffer", "VP_STATUS", "ULONG Size, PVOID *Buffer", "video_allocate_buffer", PASSIVE, "bug"),
    video("VideoPortReleaseBuffer", "VOID", "PVOID Buffer", "video_release_buffer", PASSIVE, "bug"),
    video("VideoPortAllocatePool", "PVOID", "VP_POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag",
          "video_allocate_pool", DISPATCH, "bug"),
    video("VideoPortFreePool", "VOID", "PVOID Ptr", "video_free_pool", DISPATCH, "bug"),

    audio("TransferCodecVerbs",
          "ULONG Count, PHDAUDIO_CODEC_TRANSFER CodecTransfer, PHDAUDIO_TRANSFER_COMPLETE_CALLBACK Callback, "
          "PVOID Context", "audio_transfer_verbs", DISPATCH, "ptransfer_codec_verbs", "abi"),
    audio("AllocateCaptureDmaEngine",
          "UCHAR CodecAddress, PHDAUDIO_STREAM_FORMAT StreamFormat, PHANDLE Handle, "
          "PHDAUDIO_CONVERTER_FORMAT ConverterFormat", "audio_allocate_capture", PASSIVE,
          "pallocate_capture_dma_engine"),
    audio("AllocateRenderDmaEngine",
          "PHDAUDIO_STREAM_FORMAT StreamFormat, BOOLEAN Stripe, PHANDLE Handle, "
          "PHDAUDIO_CONVERTER_FORMAT ConverterFormat", "audio_allocate_render", PASSIVE, "pallocate_render_dma_engine"),
    audio("ChangeBandwidthAllocation",
          "HANDLE Handle, PHDAUDIO_STREAM_FORMAT StreamFormat, PHDAUDIO_CONVERTER_FORMAT ConverterFormat",
          "audio_change_bandwidth", PASSIVE, "pchange_bandwidth_allocation"),
    audio("AllocateDmaBuffer",
          "HANDLE Handle, SIZE_T RequestedBufferSize, PMDL *BufferMdl, PSIZE_T AllocatedBufferSize, PUCHAR StreamId, "
          "PULONG FifoSize", "audio_allocate_dma", PASSIVE, "pallocate_dma_buffer"),
    audio("FreeDmaBuffer", "HANDLE Handle", "audio_free_dma", PASSIVE, "pfree_dma_buffer"),
    audio("AllocateDmaBufferWithNotification",
          "HANDLE Handle, ULONG NotificationCount, SIZE_T RequestedBufferSize, PMDL *BufferMdl, "
          "PSIZE_T AllocatedBufferSize, PSIZE_T OffsetFromFirstPage, PUCHAR StreamId, PULONG FifoSize",
          "audio_allocate_dma_notified", PASSIVE, "pallocate_dma_buffer_with_notification"),
    audio("FreeDmaBufferWithNotification", "HANDLE Handle, PMDL BufferMdl, SIZE_T BufferSize",
          "audio_free_dma_notified", PASSIVE, "pfree_dma_buffer_with_notification"),
    audio("AllocateContiguousDmaBuffer",
          "HANDLE Handle, ULONG RequestedBufferSize, PVOID *DataBuffer, PHDAUDIO_BUFFER_DESCRIPTOR *BdlBuffer",
          "audio_allocate_contiguous", PASSIVE, "pallocate_contiguous_dma_buffer"),
    audio("SetupDmaEngineWithBdl",
          "HANDLE Handle, ULONG BufferLength, ULONG Lvi, PHDAUDIO_BDL_ISR Isr, PVOID Context, PUCHAR StreamId, "
          "PULONG FifoSize", "audio_setup_bdl", PASSIVE, "psetup_dma_engine_with_bdl", "abi"),
    audio("FreeContiguousDmaBuffer", "HANDLE Handle", "audio_free_contiguous", PASSIVE, "pfree_contiguous_dma_buffer"),
    audio("SetDmaEngineState", "HDAUDIO_STREAM_STATE StreamState, ULONG NumberOfHandles, PHANDLE Handles",
          "audio_set_state", DISPATCH, "pset_dma_engine_state"),
    audio("FreeDmaEngine", "HANDLE Handle", "audio_free_engine", DISPATCH, "pfree_dma_engine"),
    audio("GetLinkPositionRegister", "HANDLE Handle, PULONG *Position", "audio_link_position", DISPATCH,
          "pget_link_position_register"),
    audio("GetWallClockRegister", "PULONG *Wallclock", "audio_wall_clock", DISPATCH, "pget_wall_clock_register",
          result="VOID"),
    audio("GetResourceInformation", "PUCHAR CodecAddress, PUCHAR FunctionGroupStartNode",
          "audio_resource_information", PASSIVE, "pget_resource_information", result="VOID"),
    audio("GetDeviceInformation", "PHDAUDIO_DEVICE_INFORMATION DeviceInformation", "audio_device_information", PASSIVE,
          "pget_device_information"),
    audio("RegisterEventCallback", "PHDAUDIO_UNSOLICITED_RESPONSE_CALLBACK Routine, PVOID Context, PUCHAR Tag",
          "audio_register_callback", PASSIVE, "pregister_event_callback", "abi"),
    audio("UnregisterEventCallback", "UCHAR Tag", "audio_unregister_callback", PASSIVE, "punregister_event_callback"),
    audio("RegisterNotificationEvent", "HANDLE Handle, PKEVENT NotificationEvent", "audio_register_event", PASSIVE,
          "pregister_notification_event"),
    audio("UnregisterNotificationEvent", "HANDLE Handle, PKEVENT NotificationEvent", "audio_unregister_event",
          PASSIVE, "punregister_notification_event"),
)

NUMBERS = {routine.name: number for number, routine in enumerate(ROUTINES, 1)}
"""A routine's number: what a block's note says of who made it."""
