"""The NetApi functions, and what is easier in Python: blocks read and freed."""

from __future__ import annotations

import pybuf.network  # noqa: F401
from pybuf._netapi import (
    DsGetDcNameW,
    NetBuffer,
    NetGetJoinInformation,
    NetGroupEnum,
    NetLocalGroupEnum,
    NetLocalGroupGetMembers,
    NetQueryDisplayInformation,
    NetServerEnum,
    NetServerGetInfo,
    NetShareEnum,
    NetUserEnum,
    NetUserGetInfo,
    NetUserGetLocalGroups,
    NetWkstaGetInfo,
    NetWkstaTransportEnum,
    NetWkstaUserGetInfo,
    entries,
)
from pybuf.layouts import NETSETUP_JOIN_STATUS

__all__ = [
    "NETSETUP_JOIN_STATUS",
    "DsGetDcNameW",
    "NetGetJoinInformation",
    "NetGroupEnum",
    "NetLocalGroupEnum",
    "NetLocalGroupGetMembers",
    "NetQueryDisplayInformation",
    "NetServerGetInfo",
    "NetShareEnum",
    "NetUserEnum",
    "NetUserGetInfo",
    "NetUserGetLocalGroups",
    "NetWkstaGetInfo",
    "NetWkstaTransportEnum",
    "NetWkstaUserGetInfo",
    "NetBuffer",
    "NetServerEnum",
    "entries",
]
