"""The NetApi functions, and what is easier in Python: ``for server in pybuf.netapi.servers(): ...``.

The iterators ask for a part at a time, follow resume handles, free every block as soon as it is read, however the loop
ends, and raise NetApiError. They give the named tuples of `NetBuffer.entries`, and stay with the machine that they
began with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pybuf.network  # noqa: F401
from pybuf._machine import current_machine
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

    from pybuf._machine import MachineBase

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

    Parameters
    ----------
    routine : str
        Its name, for the exception.
    status, buffer
        What it answered.

    Returns
    -------
    list
        Named tuples, as `NetBuffer.entries`; none for a `buffer` of None.

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
    """The entries of all parts, of the machine that is the current one now."""
    return _parts_of(current_machine(), routine, call)


def _parts_of(machine: MachineBase, routine: str, call: Callable[[int, int], tuple[Any, ...]]) -> Iterator[Any]:
    resume, length = 0, PART_BYTES
    while True:
        with machine:
            status, buffer, _, _, following = call(length, resume)
            if status == NetStatus.NERR_BufTooSmall and length != MAX_PREFERRED_LENGTH:
                length = MAX_PREFERRED_LENGTH
                continue
            found = taken(routine, status, buffer)
        yield from found
        if status != NetStatus.ERROR_MORE_DATA:
            return
        resume = following


def servers(domain: str | None = None, type: int = 0xFFFFFFFF, level: int = 101) -> Iterator[Any]:  # noqa: A002
    """The servers of a domain, as NetServerEnum lists them.

    Parameters
    ----------
    domain : str, optional
        Its NetBIOS name; default: the computer's own.
    type : int
        SV_TYPE_* of those that are looked for, any of them; default: all. 0x80000000: the domains instead.
    level : int
        100 or 101.

    Yields
    ------
    SERVER_INFO_100 or SERVER_INFO_101

    Raises
    ------
    NetApiError
        When the first is asked for, NetServerEnum fails. ERROR_INVALID_LEVEL: another level. ERROR_NOT_SUPPORTED:
        `domain` is a DNS name. NERR_WkstaNotStarted, NERR_ServerNotStarted, NERR_ServiceNotInstalled: a service does
        not run. ERROR_NO_BROWSER_SERVERS_FOUND: there is no list. NERR_RemoteErr, ERROR_ACCESS_DENIED: the domain
        fails, or refuses. ERROR_NOT_ENOUGH_MEMORY: no room.

    Notes
    -----
    All come of one call, and so of one moment. The machine is the one that was current when this was called.

    Source: lmserver.h, https://learn.microsoft.com/windows/win32/api/lmserver/nf-lmserver-netserverenum
    """
    # It takes no resume handle, so that it has no parts.
    return _parts("NetServerEnum", lambda length, resume: NetServerEnum(
        None, level, MAX_PREFERRED_LENGTH, type, domain, resume))


def users(server: str | None = None, level: int = 20, filter: int = 0) -> Iterator[Any]:  # noqa: A002
    """The users of a computer, as NetUserEnum lists them.

    Parameters
    ----------
    server : str, optional
        The computer, with or without two backslashes; default: this one.
    level : int
        0, 1, 2, 3, 10, 11 or 20.
    filter : int
        Types of accounts, as NetUserEnum has them; default: all.

    Yields
    ------
    USER_INFO_ of the level

    Raises
    ------
    NetApiError
        NetUserEnum fails, for any of the parts. ERROR_INVALID_LEVEL: another level. NERR_InvalidComputer: `server` is
        ill-formed. ERROR_INVALID_NAME: it is backslashes only. ERROR_BAD_NETPATH: it is not known. ERROR_ACCESS_DENIED:
        the caller is not logged on interactively, and no Administrator or Operator. ERROR_INVALID_PARAMETER: the
        network was replaced between two parts. ERROR_NOT_ENOUGH_MEMORY: no room.

    Notes
    -----
    Every part is asked for when it is needed. The machine is the one that was current when this was called.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netuserenum
    """
    return _parts("NetUserEnum", lambda length, resume: NetUserEnum(server, level, filter, length, resume))


def groups(server: str | None = None, level: int = 2) -> Iterator[Any]:
    """The global groups of a computer, as NetGroupEnum lists them.

    Parameters
    ----------
    server : str, optional
        The computer, with or without two backslashes; default: this one.
    level : int
        0, 1 or 2.

    Yields
    ------
    GROUP_INFO_ of the level

    Raises
    ------
    NetApiError
        NetGroupEnum fails, for any of the parts. ERROR_INVALID_LEVEL: another level. NERR_InvalidComputer: `server` is
        ill-formed. ERROR_INVALID_NAME: it is backslashes only. ERROR_BAD_NETPATH: it is not known. ERROR_ACCESS_DENIED:
        the caller is not logged on interactively, and no Administrator or Operator. ERROR_INVALID_PARAMETER: the
        network was replaced between two parts. ERROR_NOT_ENOUGH_MEMORY: no room.

    Notes
    -----
    Every part is asked for when it is needed. The machine is the one that was current when this was called.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netgroupenum
    """
    return _parts("NetGroupEnum", lambda length, resume: NetGroupEnum(server, level, length, resume))


def local_groups(server: str | None = None, level: int = 1) -> Iterator[Any]:
    """The local groups of a computer, as NetLocalGroupEnum lists them.

    Parameters
    ----------
    server : str, optional
        The computer, with or without two backslashes; default: this one.
    level : int
        0 or 1.

    Yields
    ------
    LOCALGROUP_INFO_ of the level

    Raises
    ------
    NetApiError
        NetLocalGroupEnum fails, for any of the parts. ERROR_INVALID_LEVEL: another level. NERR_InvalidComputer:
        `server` is ill-formed. ERROR_INVALID_NAME: it is backslashes only. ERROR_BAD_NETPATH: it is not known.
        ERROR_ACCESS_DENIED: the caller is not logged on interactively, and no Administrator or Operator.
        ERROR_INVALID_PARAMETER: the network was replaced between two parts. ERROR_NOT_ENOUGH_MEMORY: no room.

    Notes
    -----
    Every part is asked for when it is needed. The machine is the one that was current when this was called.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netlocalgroupenum
    """
    return _parts("NetLocalGroupEnum", lambda length, resume: NetLocalGroupEnum(server, level, length, resume))


def members(group: str, server: str | None = None, level: int = 2) -> Iterator[Any]:
    """The members of a local group, as NetLocalGroupGetMembers lists them.

    Parameters
    ----------
    group : str
        Its name.
    server : str, optional
        The computer, with or without two backslashes; default: this one.
    level : int
        0, 1, 2 or 3.

    Yields
    ------
    LOCALGROUP_MEMBERS_INFO_ of the level

    Raises
    ------
    NetApiError
        NetLocalGroupGetMembers fails, for any of the parts. ERROR_INVALID_LEVEL: another level. NERR_InvalidComputer:
        `server` is ill-formed. ERROR_INVALID_NAME: it is backslashes only. ERROR_BAD_NETPATH: it is not known.
        ERROR_ACCESS_DENIED: the caller is not logged on interactively, and no Administrator or Operator.
        NERR_GroupNotFound: there is no such group. ERROR_INVALID_PARAMETER: the network was replaced between two parts.
        ERROR_NOT_ENOUGH_MEMORY: no room.

    Notes
    -----
    Every part is asked for when it is needed. The machine is the one that was current when this was called.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netlocalgroupgetmembers
    """
    return _parts("NetLocalGroupGetMembers", lambda length, resume: NetLocalGroupGetMembers(
        server, group, level, length, resume))


def shares(server: str | None = None, level: int = 1) -> Iterator[Any]:
    """The shared resources of a computer, as NetShareEnum lists them.

    Parameters
    ----------
    server : str, optional
        The computer, with or without two backslashes; default: this one.
    level : int
        0, 1, 2, 502 or 503.

    Yields
    ------
    SHARE_INFO_ of the level

    Raises
    ------
    NetApiError
        NetShareEnum fails, for any of the parts. ERROR_INVALID_LEVEL: another level. ERROR_INVALID_NAME: `server` is
        ill-formed. ERROR_BAD_NETPATH: it is not known. ERROR_ACCESS_DENIED: at level 2, 502 or 503, the caller is not
        logged on interactively, and no Administrator or Operator. ERROR_INVALID_PARAMETER: the network was replaced
        between two parts. ERROR_NOT_ENOUGH_MEMORY: no room.

    Notes
    -----
    Every part is asked for when it is needed. The machine is the one that was current when this was called.

    Source: lmshare.h, https://learn.microsoft.com/windows/win32/api/lmshare/nf-lmshare-netshareenum
    """
    return _parts("NetShareEnum", lambda length, resume: NetShareEnum(server, level, length, resume))


def transports(server: str | None = None) -> Iterator[Any]:
    """The transport protocols of a computer, as NetWkstaTransportEnum lists them.

    Parameters
    ----------
    server : str, optional
        The computer, with or without two backslashes; default: this one.

    Yields
    ------
    WKSTA_TRANSPORT_INFO_0

    Raises
    ------
    NetApiError
        NetWkstaTransportEnum fails, for any of the parts. ERROR_INVALID_NAME: `server` is ill-formed.
        ERROR_BAD_NETPATH: it is not known. ERROR_NETWORK_UNREACHABLE: it has no adapter. ERROR_NOT_SUPPORTED: it does
        not support the request. ERROR_INVALID_PARAMETER: the network was replaced between two parts.
        ERROR_NOT_ENOUGH_MEMORY: no room.

    Notes
    -----
    Every part is asked for when it is needed. The machine is the one that was current when this was called.

    Source: lmwksta.h, https://learn.microsoft.com/windows/win32/api/lmwksta/nf-lmwksta-netwkstatransportenum
    """
    return _parts("NetWkstaTransportEnum", lambda length, resume: NetWkstaTransportEnum(server, 0, length, resume))
