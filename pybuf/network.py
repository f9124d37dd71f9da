"""What the NetApi functions report: the computers of a network with their users, groups and shares, and its
domains. Plain data: `machine.network = Network(...)` compiles it once, and a change assigns another.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from pybuf._netapi import network_default

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Domain", "Group", "LocalGroup", "Network", "Server", "Share", "Transport", "User"]

FOREVER = 0xFFFFFFFF
ENTRIES_MAX = 1 << 20

T = TypeVar("T")


def _sid(authorities: Iterable[int]) -> bytes:
    """S-1-5-... as bytes."""
    numbers = list(authorities)
    return struct.pack(f"<BB6s{len(numbers)}I", 1, len(numbers), b"\0\0\0\0\0\5", *numbers)


def _sid_of(name: str, *more: int) -> bytes:
    """The SID of a computer, made from its name, or of one of its accounts."""
    numbers = [21, *(sum(map(ord, name.upper())) * 7919 * place % FOREVER for place in (1, 2, 3)), *more]
    return _sid(numbers)


def _item_of(declared: str) -> Any:
    """The class that a field declared as Sequence[...] holds."""
    name = declared.partition("[")[2].partition("]")[0]
    return str if name == "str" else globals()[name]


def _check(given: Any) -> None:
    """Raises unless every field of a dataclass is of its declared kind: an int has 32 bits, text no NUL."""
    for each in fields(given):
        value = getattr(given, each.name)
        where = f"{type(given).__name__}({getattr(given, 'name', '')!r}): {each.name}"
        optional = each.type.endswith("| None")
        if value is None and optional:
            continue
        if each.type.startswith("int"):
            if not isinstance(value, int):
                raise TypeError(f"{where} is an int, not {type(value).__name__} ({value!r})")
            if not 0 <= value <= FOREVER:
                raise ValueError(f"{where} is {value}; it is 0 to 2**32 - 1")
        elif each.type.startswith("bool"):
            if not isinstance(value, bool):
                raise TypeError(f"{where} is True or False, not {value!r}")
        elif each.type.startswith("str"):
            if not isinstance(value, str):
                raise TypeError(f"{where} is text, not {type(value).__name__} ({value!r})")
            if "\0" in value:
                raise ValueError(f"{where} is {value!r}; a wide string ends at its first NUL character")
            if each.name == "name" and not value:
                raise ValueError(f"{where} is empty; it needs a name")
        elif each.type.startswith("bytes"):
            if not isinstance(value, bytes):
                raise TypeError(f"{where} is bytes, not {type(value).__name__} ({value!r})")
        elif each.type.startswith("Sequence"):
            wanted = _item_of(str(each.type))
            if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
                raise TypeError(f"{where} is a sequence of {wanted.__name__}, not {value!r}")
            items = tuple(value)
            for item in items:
                if not isinstance(item, wanted):
                    raise TypeError(f"{where} has items of {wanted.__name__}, not {type(item).__name__} ({item!r})")
            object.__setattr__(given, each.name, items)


def _names_differ(owner: str, what: str, items: Iterable[Any]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.name.upper() in seen:
            raise ValueError(f"{owner}: two {what} are called {item.name!r}; names differ in more than their case")
        seen.add(item.name.upper())


@dataclass(frozen=True)
class Transport:
    """A transport protocol of a computer's workstation service, as NetWkstaTransportEnum reports it.

    Parameters
    ----------
    name, address : str
        The device's name, and the adapter's address in hexadecimal.
    quality_of_service : int
        Larger is searched first.
    number_of_vcs : int
        Clients that use it now.
    wan : bool
        Whether it can be routed over a wide area network.

    Raises
    ------
    TypeError, ValueError
        As Network.
    """

    name: str
    address: str = "000000000000"
    quality_of_service: int = 0
    number_of_vcs: int = 0
    wan: bool = False

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Share:
    """A shared resource, as NetShareEnum reports it.

    Parameters
    ----------
    name, path, remark : str
        What it is called, where it is, and what is said of it.
    type : int
        STYPE_*: 0 a disk, 1 a print queue, 2 a device, 3 IPC$; and 0x80000000 for one of the system's own.
    permissions : int
        ACCESS_*, of a server with security of shares.
    max_uses, current_uses : int
        Connections that it takes, 0xFFFFFFFF any number, and that it has.
    password : str, optional
        None is a NULL pointer.
    server : str
        Whose it is, where a computer has several names; "*": all.
    security_descriptor : bytes, optional
        Self-relative; None is a NULL pointer.

    Raises
    ------
    TypeError, ValueError
        As Network.
    """

    name: str
    path: str = ""
    remark: str = ""
    type: int = 0
    permissions: int = 0
    max_uses: int = FOREVER
    current_uses: int = 0
    password: str | None = None
    server: str = "*"
    security_descriptor: bytes | None = None

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Group:
    """A global group, as NetGroupEnum reports it.

    Parameters
    ----------
    name, comment : str
        What it is called, and what is said of it.
    id : int, optional
        Its relative identifier; None: one that is free, from 5000.
    attributes : int
        SE_GROUP_*; 7: mandatory, enabled by default, enabled.
    members : sequence of str
        Names of users of the same computer.

    Raises
    ------
    TypeError, ValueError
        As Network.
    """

    name: str
    comment: str = ""
    id: int | None = None
    attributes: int = 7
    members: Sequence[str] = ()

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class LocalGroup:
    """A local group, as NetLocalGroupEnum reports it.

    Parameters
    ----------
    name, comment : str
        What it is called, and what is said of it.
    members : sequence of str
        Names of users, or of global groups, of the same computer.

    Raises
    ------
    TypeError, ValueError
        As Network.
    """

    name: str
    comment: str = ""
    members: Sequence[str] = ()

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class User:
    """An account, as NetUserEnum and NetUserGetInfo report it: the members of USER_INFO_3 and 4 by their names.

    Parameters
    ----------
    name, full_name, comment, usr_comment : str
        What it is called, and what is said of it.
    priv : int
        USER_PRIV_*: 0 a guest, 1 a user, 2 an administrator.
    flags : int
        UF_*: 0x200 a normal account, 0x100 a temporary duplicate, 0x800, 0x1000, 0x2000 those of domains, 2 disabled.
    id : int, optional
        Its relative identifier, from which its SID is made; None: one that is free, from 1000.
    password_age : int
        Seconds.
    last_logon, last_logoff, acct_expires : int
        Seconds since 1970; 0 unknown, and 0xFFFFFFFF never.
    max_storage : int
        Bytes; 0xFFFFFFFF any number.
    units_per_week, logon_hours
        Into how many units a week is cut, and 21 bytes with a bit for each in which the user may log on.
    internet_provider, internet_name : str, optional
        Of an internet identity, for USER_INFO_24; without a name it is none.
    home_dir, script_path, parms, workstations, logon_server, profile, home_dir_drive : str
    auth_flags, bad_pw_count, num_logons, country_code, code_page, primary_group_id : int
    password_expired : bool
        As USER_INFO_3 has them. Passwords are NULL pointers at every level.

    Raises
    ------
    TypeError, ValueError
        As Network.
    """

    name: str
    full_name: str = ""
    comment: str = ""
    usr_comment: str = ""
    priv: int = 1
    flags: int = 0x201
    id: int | None = None
    password_age: int = 0
    home_dir: str = ""
    script_path: str = ""
    auth_flags: int = 0
    parms: str = ""
    workstations: str = ""
    last_logon: int = 0
    last_logoff: int = 0
    acct_expires: int = FOREVER
    max_storage: int = FOREVER
    units_per_week: int = 168
    logon_hours: bytes = b"\xff" * 21
    bad_pw_count: int = 0
    num_logons: int = 0
    logon_server: str = "\\\\*"
    country_code: int = 0
    code_page: int = 0
    primary_group_id: int = 513
    profile: str = ""
    home_dir_drive: str = ""
    password_expired: bool = False
    internet_provider: str | None = None
    internet_name: str | None = None

    def __post_init__(self) -> None:
        _check(self)
        if len(self.logon_hours) != 21:
            raise ValueError(f"User({self.name!r}): logon_hours has {len(self.logon_hours)} bytes; a week's has 21")


@dataclass(frozen=True)
class Server:
    """Another computer of the network, and what it answers when it is asked by name.

    Parameters
    ----------
    name : str
        At most 255 characters, without backslashes.
    comment : str
        What is said of it.
    type : int
        SV_TYPE_*; 0x1003: a workstation, a server, of Windows NT's family.
    version_major, version_minor, platform_id : int
        Of its system; platform 500 is Windows NT's family.
    domain : str, optional
        Its domain; None: the network's own.
    users, groups, local_groups, shares : sequence
        Of User, Group, LocalGroup and Share.
    transports : sequence of Transport, optional
        None: it does not support NetWkstaTransportEnum. Without any it has no network adapter.

    Raises
    ------
    TypeError, ValueError
        As Network.
    """

    name: str
    comment: str = ""
    type: int = 0x1003
    version_major: int = 10
    version_minor: int = 0
    platform_id: int = 500
    domain: str | None = None
    users: Sequence[User] = ()
    groups: Sequence[Group] = ()
    local_groups: Sequence[LocalGroup] = ()
    shares: Sequence[Share] = ()
    transports: Sequence[Transport] | None = None

    def __post_init__(self) -> None:
        _check(self)
        _check_computer(f"Server({self.name!r})", self)


@dataclass(frozen=True)
class Domain:
    """A domain, as NetServerEnum lists it and DsGetDcNameW finds it.

    Parameters
    ----------
    name, comment : str
        Its NetBIOS name, and what is said of it.
    refuses : bool
        Its browser denies everybody: ERROR_ACCESS_DENIED.
    is_failing : bool
        Its browser fails: NERR_RemoteErr.
    dns_name : str, optional
        By which it is found, too.
    controller : str, optional
        The name of its domain controller; without one DsGetDcNameW finds nothing.
    address, site : str
        Of the controller.
    flags : int
        DS_*_FLAG: what the controller is.

    Raises
    ------
    TypeError, ValueError
        As Network.
    """

    name: str
    comment: str = ""
    refuses: bool = False
    is_failing: bool = False
    dns_name: str | None = None
    controller: str | None = None
    address: str = "\\\\127.0.0.1"
    site: str = "Default-First-Site-Name"
    flags: int = 0x1FD

    def __post_init__(self) -> None:
        _check(self)


def is_privileged(groups: Iterable[str]) -> bool:
    """Whether one of a caller's groups may read everything: Administrators, or Account, Print or Server Operators."""
    wanted = {"administrators", "account operators", "print operators", "server operators"}
    return any(group.lower() in wanted for group in groups)


def caller_tables(network: Network, name: str) -> dict[str, list[tuple[Any, ...]]]:
    """The table that NetWkstaUserGetInfo answers from, for a caller's name."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"a Caller's name is {name!r}; it is a text without NUL characters, and not empty")
    return {"caller": [(name, network.domain, "", network.name)]}


def _check_computer(where: str, computer: Any) -> None:
    if len(computer.name) > 255 or re.search(r'[\x00-\x20/:*?"<>|\\]', computer.name):
        raise ValueError(f'{where}: a computer\'s name has at most 255 characters, and none of / : * ? " < > | \\ '
                         f"nor spaces")
    for what in ("users", "groups", "shares"):
        _names_differ(where, what, getattr(computer, what))
    _names_differ(where, "local groups", computer.local_groups)
    users = {user.name.upper() for user in computer.users}
    both = users | {group.name.upper() for group in computer.groups}
    for groups, known in ((computer.groups, users), (computer.local_groups, both)):
        for group, member in ((each, name) for each in groups for name in each.members):
            if member.upper() not in known:
                raise ValueError(f"{where}: {group.name!r} has the member {member!r}, which is no user or group there")


@dataclass(frozen=True)
class Network:
    """The local computer, the others, and their domains.

    Parameters
    ----------
    name, comment, type, version_major, version_minor, platform_id
        The local computer, as Server has them.
    domain : str
        The domain or workgroup of the local computer.
    joined : str
        What that is: "domain", "workgroup", "unjoined" or "unknown".
    servers : sequence of Server
        The computers that NetServerEnum finds. None: the local one alone.
    domains : sequence of Domain
        What is to be said of domains; those that servers name exist all the same.
    users, groups, local_groups, shares, transports
        Of the local computer. Without transports it has no network adapter; `local_groups` of None are Administrators,
        who are the users whose `priv` is 2, and Users.
    site : str
        Its site, for DsGetDcNameW.
    browse_list : bool
        Whether the browser has a list.

    Raises
    ------
    TypeError, ValueError
        A field is of the wrong kind, two names are the same, a member is unknown; or there are 2**20 rows or more.
    """

    name: str = "PYBUF"
    comment: str = ""
    domain: str = "WORKGROUP"
    joined: str = "workgroup"
    servers: Sequence[Server] | None = None
    domains: Sequence[Domain] = ()
    users: Sequence[User] = field(default=(User("Administrator", priv=2, id=500), User("Guest", priv=0, id=501)))
    groups: Sequence[Group] = field(default=(Group("None", "Ordinary users", 513),))
    local_groups: Sequence[LocalGroup] | None = None
    shares: Sequence[Share] = field(
        default=(Share("ADMIN$", "C:\\Windows", "Remote Admin", 0x80000000),
                 Share("IPC$", "", "Remote IPC", 0x80000003)))
    transports: Sequence[Transport] = field(default=(Transport("\\Device\\NetBT_Tcpip", "020000000001", wan=True),))
    type: int = 0x1003
    version_major: int = 10
    version_minor: int = 0
    platform_id: int = 500
    site: str = "Default-First-Site-Name"
    browse_list: bool = True

    def __post_init__(self) -> None:
        _check(self)
        if self.local_groups is None:
            administrators = tuple(user.name for user in self.users if user.priv == 2)
            usual = (LocalGroup("Administrators", members=administrators), LocalGroup("Users"))
            object.__setattr__(self, "local_groups", usual)
        _check_computer(f"Network({self.name!r})", self)
        if self.joined not in JOINED:
            raise ValueError(f"Network({self.name!r}): joined is {self.joined!r}; it is one of {', '.join(JOINED)}")
        _names_differ(f"Network({self.name!r})", "servers", self.servers or ())
        _names_differ(f"Network({self.name!r})", "domains", self.domains)

    @classmethod
    def from_toml(cls, path: str | Path) -> Network:
        """A network from a file: the fields of the classes are its keys, ``[[servers]]``, ``[[users]]`` and the like
        its tables, and ``[[servers.users]]`` those of a server; bytes are text in hexadecimal.

        Parameters
        ----------
        path : str or Path
            The file, in UTF-8.

        Returns
        -------
        Network

        Raises
        ------
        OSError, tomllib.TOMLDecodeError
            The file cannot be read, or is no TOML.
        TypeError, ValueError
            As Network; a key that is no field is named with those that are.
        """
        import tomllib

        with open(path, "rb") as file:
            return _from_table(cls, tomllib.load(file), str(path))

    def compiled(self) -> tuple[list[dict[str, Any]], bool]:
        """The computers' tables, the local one's first, and whether the browser has a list."""
        domains = list(dict.fromkeys([self.domain.upper(), *(each.name.upper() for each in self.domains),
                                      *(each.domain.upper() for each in self.servers or () if each.domain)]))
        known = {each.name.upper(): each for each in self.domains}
        local = _computer(self, self.domain)
        local["name"] = self.name
        servers = local["server"] if self.servers is None else [
            _server_row(each, domains.index((each.domain or self.domain).upper())) for each in self.servers]
        local["servers"] = servers
        local["domains"] = [
            (500, name if name not in known else known[name].name, 10, 0, 0x80000000,
             known[name].comment if name in known else "", 0, 0, 0, 0, 0, 0, "", place,
             name in known and known[name].refuses, name in known and known[name].is_failing)
            for place, name in enumerate(domains)]
        local["controllers"] = [
            ("\\\\" + each.controller, each.address, 1,
             UUID(bytes=_sid_of(each.name)[8:24].ljust(16, b"\1"), version=4).bytes_le,
             each.dns_name or each.name, each.dns_name or "", each.flags, each.site, self.site,
             each.name)
            for each in sorted(self.domains, key=lambda domain: domain.name.upper() != self.domain.upper())
            if each.controller is not None]
        others = [{**_computer(each, each.domain or self.domain), "name": each.name} for each in self.servers or ()
                  if each.name.upper() != self.name.upper()]
        for computer in (local, *others):
            for name, rows in computer.items():
                if isinstance(rows, list) and len(rows) >= ENTRIES_MAX:
                    raise ValueError(f"Network({self.name!r}): {computer['name']!r} has {len(rows)} {name}; "
                                     f"{ENTRIES_MAX - 1} is the most")
        return [local, *others], self.browse_list


JOINED = {"unknown": 0, "unjoined": 1, "workgroup": 2, "domain": 3}


def _from_table(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in known:
            raise ValueError(f"{where}: {kind.__name__} has no {key!r}; it has {', '.join(known)}")
        declared = str(known[key].type)
        if declared.startswith("Sequence") and isinstance(value, list):
            item = _item_of(declared)
            value = [_from_table(item, each, f"{where}: {key}") if isinstance(each, dict) else each for each in value]
        elif declared.startswith("bytes") and isinstance(value, str):
            try:
                value = bytes.fromhex(value)
            except ValueError:
                raise ValueError(f"{where}: {key} is {value!r}; it is bytes in hexadecimal, such as '01ff'") from None
        values[key] = value
    for name, each in known.items():
        if name not in values and each.default is MISSING:
            raise ValueError(f"{where}: a {kind.__name__} has no {name!r}, which it needs: {dict(table)!r}")
    return kind(**values)


def _server_row(server: Any, domain: int) -> tuple[Any, ...]:
    return (server.platform_id, server.name, server.version_major, server.version_minor, server.type, server.comment,
            FOREVER, 15, 0, 240, 3000, 0, "", domain, 0, 0)


def _computer(computer: Any, domain: str) -> dict[str, Any]:
    """The tables of one computer: rows in the order of layouts.COLUMNS."""
    name = computer.name
    user_ids = {user.name.upper(): 1000 + place if user.id is None else user.id
                for place, user in enumerate(computer.users)}
    group_ids = {group.name.upper(): 5000 + place if group.id is None else group.id
                 for place, group in enumerate(computer.groups)}
    groups_of: dict[str, list[str]] = {}
    for group in computer.groups:
        for member in group.members:
            groups_of.setdefault(member.upper(), []).append(group.name.upper())
    direct: dict[str, list[str]] = {}
    members: list[tuple[Any, ...]] = []
    local_groups = []
    for local in computer.local_groups:
        local_groups.append((local.name, local.comment, len(members), len(local.members)))
        for member in local.members:
            key = member.upper()
            number, usage = (user_ids[key], 1) if key in user_ids else (group_ids[key], 2)
            members.append((_sid_of(name, number), usage, member, f"{name}\\{member}"))
            direct.setdefault(key, []).append(local.name)
    users_groups: list[tuple[Any, ...]] = []
    users = []
    for user in computer.users:
        key = user.name.upper()
        own = direct.get(key, [])
        through = [each for group in groups_of.get(key, []) for each in direct.get(group, []) if each not in own]
        through = list(dict.fromkeys(through))
        users.append((user, len(users_groups), len(own), len(own) + len(through)))
        users_groups += [(each, "", 0, 0) for each in (*own, *through)]
    group_rows = [(group.name, group.comment, group_ids[group.name.upper()], group.attributes)
                  for group in computer.groups]
    by_name = sorted(users, key=lambda row: row[0].name.upper())
    normal = [row for row in by_name if row[0].flags & 0x200]
    machines = [row for row in by_name if row[0].flags & 0x3000]
    return {
        "server": [_server_row(computer, 0)],
        "workstation": [(computer.platform_id, name, domain, computer.version_major, computer.version_minor, "", 1)],
        "supports_transports": computer.transports is not None,
        "transports": [(each.quality_of_service, each.number_of_vcs, each.name, each.address, each.wan)
                       for each in computer.transports or ()],
        "users": [_user_row(name, user_ids, *row, 0) for row in users],
        "shares": [(each.name, each.type, each.remark, each.permissions, each.max_uses, each.current_uses, each.path,
                    each.password, 0, each.security_descriptor, each.server) for each in computer.shares],
        "local_groups": local_groups,
        "members": members,
        "users_groups": users_groups,
        "groups": [(*row, 0) for row in group_rows],
        "display_users": [_user_row(name, user_ids, *row, place) for place, row in enumerate(normal, 1)],
        "display_machines": [_user_row(name, user_ids, *row, place) for place, row in enumerate(machines, 1)],
        "display_groups": [(*row, place) for place, row in
                           enumerate(sorted(group_rows, key=lambda row: row[0].upper()), 1)],
        "join": [(domain, JOINED[getattr(computer, "joined", "workgroup")])],
    }


def _user_row(computer: str, ids: Mapping[str, int], user: User, first_group: int, direct: int, groups: int,
              next_index: int) -> tuple[Any, ...]:
    number = ids[user.name.upper()]
    return (user.name, None, user.password_age, user.priv, user.home_dir, user.comment, user.flags, user.script_path,
            user.auth_flags, user.full_name, user.usr_comment, user.parms, user.workstations, user.last_logon,
            user.last_logoff, user.acct_expires, user.max_storage, user.units_per_week, user.logon_hours,
            user.bad_pw_count, user.num_logons, user.logon_server, user.country_code, user.code_page, number,
            user.primary_group_id, user.profile, user.home_dir_drive, user.password_expired,
            _sid_of(computer, number), user.internet_name is not None, user.internet_provider, user.internet_name,
            next_index, first_group, direct, groups)


DEFAULT = Network()
network_default(DEFAULT.compiled(), caller_tables(DEFAULT, "Administrator"))
