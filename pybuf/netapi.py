"""The NetApi functions, and what is easier in Python: ``for server in pybuf.netapi.servers(): ...``.

The iterators ask for a part at a time, follow resume handles, free every block as soon as it is read, however the loop
ends, and raise NetApiError. They give the named tuples of `NetBuffer.entries`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pybuf.network  # noqa: F401
from pybuf._netapi import (
    DsGetDcNameW,
    NetApiBufferFree,
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
from pybuf.errors import NetApiError
from pybuf.layouts import NETSETUP_JOIN_STATUS
from pybuf.status import NetStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "MAX_PREFERRED_LENGTH",
    "NETSETUP_JOIN_STATUS",
    "DsGetDcNameW",
    "NetApiBufferFree",
    "NetBuffer",
    "NetGetJoinInformation",
    "NetGroupEnum",
    "NetLocalGroupEnum",
    "NetLocalGroupGetMembers",
    "NetQueryDisplayInformation",
    "NetServerEnum",
    "NetServerGetInfo",
    "NetShareEnum",
    "NetUserEnum",
    "NetUserGetInfo",
    "NetUserGetLocalGroups",
    "NetWkstaGetInfo",
    "NetWkstaTransportEnum",
    "NetWkstaUserGetInfo",
    "entries",
    "groups",
    "local_groups",
    "members",
    "servers",
    "shares",
    "taken",
    "transports",
    "users",
]

MAX_PREFERRED_LENGTH = 0xFFFFFFFF
PART_BYTES = 1 << 16


def taken(routine: str, status: NetStatus, buffer: NetBuffer | None) -> list[Any]:
    """The entries of an answer, whose block is freed.

    Raises
    ------
    NetApiError
        The status is neither NERR_Success nor ERROR_MORE_DATA.
    """
    if status not in (NetStatus.NERR_Success, NetStatus.ERROR_MORE_DATA):
        raise NetApiError(routine, status)
    if buffer is None:
        return []
    try:
        return buffer.entries
    finally:
        NetApiBufferFree(buffer)


def _parts(routine: str, call: Callable[[int, int], tuple[Any, ...]]) -> Iterator[Any]:
    resume, length = 0, PART_BYTES
    while True:
        status, buffer, _, _, following = call(length, resume)
        if status == NetStatus.NERR_BufTooSmall and length != MAX_PREFERRED_LENGTH:
            length = MAX_PREFERRED_LENGTH
            continue
        yield from taken(routine, status, buffer)
        if status != NetStatus.ERROR_MORE_DATA:
            return
        resume = following


def servers(domain: str | None = None, type: int = 0xFFFFFFFF, level: int = 101) -> Iterator[Any]:  # noqa: A002
    """The servers of a domain, as NetServerEnum finds them.

    Parameters
    ----------
    domain : str, optional
        Its NetBIOS name; default: the computer's own.
    type : int
        SV_TYPE_* of those that are looked for; default: all.
    level : int
        100 or 101.

    Yields
    ------
    SERVER_INFO_100 or SERVER_INFO_101

    Raises
    ------
    NetApiError
        NetServerEnum fails; when the first server is asked for.
    """
    status, buffer, *_ = NetServerEnum(None, level, MAX_PREFERRED_LENGTH, type, domain, 0)
    yield from taken("NetServerEnum", status, buffer)


def users(server: str | None = None, level: int = 20, filter: int = 0) -> Iterator[Any]:  # noqa: A002
    """The users of a computer, as NetUserEnum lists them: USER_INFO_ of the level, 0, 1, 2, 3, 10, 11 or 20.

    Raises
    ------
    NetApiError
        NetUserEnum fails.
    """
    return _parts("NetUserEnum", lambda length, resume: NetUserEnum(server, level, filter, length, resume))


def groups(server: str | None = None, level: int = 2) -> Iterator[Any]:
    """The global groups of a computer, as NetGroupEnum lists them: GROUP_INFO_0, 1 or 2.

    Raises
    ------
    NetApiError
        NetGroupEnum fails.
    """
    return _parts("NetGroupEnum", lambda length, resume: NetGroupEnum(server, level, length, resume))


def local_groups(server: str | None = None, level: int = 1) -> Iterator[Any]:
    """The local groups of a computer, as NetLocalGroupEnum lists them: LOCALGROUP_INFO_0 or 1.

    Raises
    ------
    NetApiError
        NetLocalGroupEnum fails.
    """
    return _parts("NetLocalGroupEnum", lambda length, resume: NetLocalGroupEnum(server, level, length, resume))


def members(group: str, server: str | None = None, level: int = 2) -> Iterator[Any]:
    """The members of a local group, as NetLocalGroupGetMembers lists them: LOCALGROUP_MEMBERS_INFO_0 to 3.

    Raises
    ------
    NetApiError
        NetLocalGroupGetMembers fails.
    """
    return _parts("NetLocalGroupGetMembers",
                  lambda length, resume: NetLocalGroupGetMembers(server, group, level, length, resume))


def shares(server: str | None = None, level: int = 1) -> Iterator[Any]:
    """The shared resources of a computer, as NetShareEnum lists them: SHARE_INFO_0, 1, 2, 502 or 503.

    Raises
    ------
    NetApiError
        NetShareEnum fails.
    """
    return _parts("NetShareEnum", lambda length, resume: NetShareEnum(server, level, length, resume))


def transports(server: str | None = None) -> Iterator[Any]:
    """The transport protocols of a computer, as NetWkstaTransportEnum lists them: WKSTA_TRANSPORT_INFO_0.

    Raises
    ------
    NetApiError
        NetWkstaTransportEnum fails.
    """
    return _parts("NetWkstaTransportEnum", lambda length, resume: NetWkstaTransportEnum(server, 0, length, resume))
