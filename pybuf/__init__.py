"""Simulated Windows machines: the documented buffer routines with every status, over poolcore; and the benchmarks.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

_HOMES = {
    "AddressSpace": "poolcore",
    "Buffer": "poolcore",
    # pybuf.machine
    "Block": "pybuf.machine",
    "Caller": "pybuf.machine",
    "Event": "pybuf.machine",
    "Guest": "pybuf.machine",
    "Machine": "pybuf.machine",
    "WINE": "pybuf.machine",
    "APC_LEVEL": "pybuf.machine",
    "DISPATCH_LEVEL": "pybuf.machine",
    "PASSIVE_LEVEL": "pybuf.machine",
    # pybuf._netapi
    "NetApiBufferAllocate": "pybuf._netapi",
    "NetApiBufferFree": "pybuf._netapi",
    "NetApiBufferReallocate": "pybuf._netapi",
    "NetApiBufferSize": "pybuf._netapi",
    "NetapipBufferAllocate": "pybuf._netapi",
    # pybuf._videoport
    "VideoPortAllocateBuffer": "pybuf._videoport",
    "VideoPortAllocatePool": "pybuf._videoport",
    "VideoPortFreePool": "pybuf._videoport",
    "VideoPortReleaseBuffer": "pybuf._videoport",
    # pybuf._ras
    "RasCommSettings": "pybuf._ras",
    "RasFreeBuffer": "pybuf._ras",
    "RasGetBuffer": "pybuf._ras",
    "RasReceiveBuffer": "pybuf._ras",
    "RasRetrieveBuffer": "pybuf._ras",
    "RasSendBuffer": "pybuf._ras",
    "RasSetCommSettings": "pybuf._ras",
    # pybuf.netapi and pybuf.network
    "NetBuffer": "pybuf.netapi",
    "DsGetDcNameW": "pybuf.netapi",
    "NetGetJoinInformation": "pybuf.netapi",
    "NetGroupEnum": "pybuf.netapi",
    "NetLocalGroupEnum": "pybuf.netapi",
    "NetLocalGroupGetMembers": "pybuf.netapi",
    "NetQueryDisplayInformation": "pybuf.netapi",
    "NetServerEnum": "pybuf.netapi",
    "NetServerGetInfo": "pybuf.netapi",
    "NetShareEnum": "pybuf.netapi",
    "NetUserEnum": "pybuf.netapi",
    "NetUserGetInfo": "pybuf.netapi",
    "NetUserGetLocalGroups": "pybuf.netapi",
    "NetWkstaGetInfo": "pybuf.netapi",
    "NetWkstaTransportEnum": "pybuf.netapi",
    "NetWkstaUserGetInfo": "pybuf.netapi",
    "NETSETUP_JOIN_STATUS": "pybuf.netapi",
    "Domain": "pybuf.network",
    "Group": "pybuf.network",
    "LocalGroup": "pybuf.network",
    "Network": "pybuf.network",
    "Server": "pybuf.network",
    "Share": "pybuf.network",
    "Transport": "pybuf.network",
    "User": "pybuf.network",
    # pybuf.hdaudio
    "Codec": "pybuf.hdaudio",
    "CodecResponse": "pybuf.hdaudio",
    "CodecTransfer": "pybuf.hdaudio",
    "HDAUDIO_BUS_INTERFACE": "pybuf.hdaudio",
    "HDAUDIO_BUS_INTERFACE_BDL": "pybuf.hdaudio",
    "HDAUDIO_BUS_INTERFACE_V2": "pybuf.hdaudio",
    "HDAUDIO_STREAM_FORMAT": "pybuf.hdaudio",
    "HdAudioBus": "pybuf.hdaudio",
    "LoopbackCodec": "pybuf.hdaudio",
    # pybuf.ras
    "ScriptResult": "pybuf.ras",
    # pybuf._doors
    "C_API": "pybuf._doors",
    # pybuf.errors
    "BlockOwner": "pybuf.errors",
    "BugCheck": "pybuf.errors",
    "HdAudioError": "pybuf.errors",
    "NetApiError": "pybuf.errors",
    "PybufError": "pybuf.errors",
    "RasError": "pybuf.errors",
    "VideoPortError": "pybuf.errors",
    # pybuf.status; so are the names of all statuses and bug checks
    "BugCheckCode": "pybuf.status",
    "NT_SUCCESS": "pybuf.status",
    "NetStatus": "pybuf.status",
    "NtStatus": "pybuf.status",
    "RasStatus": "pybuf.status",
    "VpStatus": "pybuf.status",
}

_MODULES = ("hdaudio", "netapi", "network", "ras", "videoport", "windll")

__all__ = sorted([*_HOMES, "get_include"])


def get_include():
    """The directory of pybuf.h, for the include_dirs of an extension in C or Cython."""
    return f"{__path__[0]}/include"


def __getattr__(name):
    home = _HOMES.get(name)
    if name in _MODULES:
        return __import__(f"pybuf.{name}", None, None, ("",))
    if home is None:
        if not name[:1].isupper():
            raise AttributeError(f"module 'pybuf' has no attribute {name!r}")
        home = "pybuf.status"
    try:
        value = getattr(__import__(home, None, None, (name,)), name)
    except AttributeError:
        raise AttributeError(f"module 'pybuf' has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
