"""The structures that NetApi functions answer, as the Windows headers have them: once, for both widths of a pointer.

A structure is the set of columns that it is filled from, the prefix of its members in C, and its members in order: a
plain name is a DWORD, `$` a wide string, `*` counted bytes behind a pointer, `#` a GUID, `=` a wide string without a
pointer to it, which is all of its block. Offsets follow from natural alignment. The module imports nothing of pybuf.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

NUMBER, TEXT, BYTES, GUID, WHOLE = range(5)
_KINDS = {"$": TEXT, "*": BYTES, "#": GUID, "=": WHOLE}

_SERVER = "platform_id name$ version_major version_minor type comment$"
_WKSTA = "platform_id computername$ langroup$ ver_major ver_minor"
_USER_1 = "name$ password$ password_age priv home_dir$ comment$ flags script_path$"
_USER_2 = (f"{_USER_1} auth_flags full_name$ usr_comment$ parms$ workstations$ last_logon last_logoff acct_expires "
           "max_storage units_per_week logon_hours* bad_pw_count num_logons logon_server$ country_code code_page")
_SHARE_2 = "netname$ type remark$ permissions max_uses current_uses path$ passwd$"
_GROUP = "name$ comment$ group_id attributes"

_STRUCTS = {
    "TEXT": ("names", "", "name="),
    "SERVER_INFO_100": ("servers", "sv100_", "platform_id name$"),
    "SERVER_INFO_101": ("servers", "sv101_", _SERVER),
    "SERVER_INFO_102": ("servers", "sv102_", f"{_SERVER} users disc hidden announce anndelta licenses userpath$"),
    "WKSTA_INFO_100": ("workstations", "wki100_", _WKSTA),
    "WKSTA_INFO_101": ("workstations", "wki101_", f"{_WKSTA} lanroot$"),
    "WKSTA_INFO_102": ("workstations", "wki102_", f"{_WKSTA} lanroot$ logged_on_users"),
    "WKSTA_USER_INFO_0": ("callers", "wkui0_", "username$"),
    "WKSTA_USER_INFO_1": ("callers", "wkui1_", "username$ logon_domain$ oth_domains$ logon_server$"),
    "WKSTA_USER_INFO_1101": ("callers", "wkui1101_", "oth_domains$"),
    "WKSTA_TRANSPORT_INFO_0": (
        "transports", "wkti0_", "quality_of_service number_of_vcs transport_name$ transport_address$ wan_ish"),
    "USER_INFO_0": ("users", "usri0_", "name$"),
    "USER_INFO_1": ("users", "usri1_", _USER_1),
    "USER_INFO_2": ("users", "usri2_", _USER_2),
    "USER_INFO_3": (
        "users", "usri3_", f"{_USER_2} user_id primary_group_id profile$ home_dir_drive$ password_expired"),
    "USER_INFO_4": (
        "users", "usri4_", f"{_USER_2} user_sid* primary_group_id profile$ home_dir_drive$ password_expired"),
    "USER_INFO_10": ("users", "usri10_", "name$ comment$ usr_comment$ full_name$"),
    "USER_INFO_11": (
        "users", "usri11_",
        "name$ comment$ usr_comment$ full_name$ priv auth_flags password_age home_dir$ parms$ last_logon last_logoff "
        "bad_pw_count num_logons logon_server$ country_code workstations$ max_storage units_per_week logon_hours* "
        "code_page"),
    "USER_INFO_20": ("users", "usri20_", "name$ full_name$ comment$ flags user_id"),
    "USER_INFO_23": ("users", "usri23_", "name$ full_name$ comment$ flags user_sid*"),
    "USER_INFO_24": (
        "users", "usri24_",
        "internet_identity flags internet_provider_name$ internet_principal_name$ user_sid*"),
    "SHARE_INFO_0": ("shares", "shi0_", "netname$"),
    "SHARE_INFO_1": ("shares", "shi1_", "netname$ type remark$"),
    "SHARE_INFO_2": ("shares", "shi2_", _SHARE_2),
    "SHARE_INFO_502": ("shares", "shi502_", f"{_SHARE_2} reserved security_descriptor*"),
    "SHARE_INFO_503": ("shares", "shi503_", f"{_SHARE_2} servername$ reserved security_descriptor*"),
    "LOCALGROUP_INFO_0": ("local_groups", "lgrpi0_", "name$"),
    "LOCALGROUP_INFO_1": ("local_groups", "lgrpi1_", "name$ comment$"),
    "NET_DISPLAY_USER": ("users", "usri1_", "name$ comment$ flags full_name$ user_id next_index"),
    "NET_DISPLAY_MACHINE": ("users", "usri2_", "name$ comment$ flags user_id next_index"),
    "NET_DISPLAY_GROUP": ("groups", "grpi3_", f"{_GROUP} next_index"),
    "LOCALGROUP_MEMBERS_INFO_0": ("members", "lgrmi0_", "sid*"),
    "LOCALGROUP_MEMBERS_INFO_1": ("members", "lgrmi1_", "sid* sidusage name$"),
    "LOCALGROUP_MEMBERS_INFO_2": ("members", "lgrmi2_", "sid* sidusage domainandname$"),
    "LOCALGROUP_MEMBERS_INFO_3": ("members", "lgrmi3_", "domainandname$"),
    "LOCALGROUP_USERS_INFO_0": ("local_groups", "lgrui0_", "name$"),
    "GROUP_INFO_0": ("groups", "grpi0_", "name$"),
    "GROUP_INFO_1": ("groups", "grpi1_", "name$ comment$"),
    "GROUP_INFO_2": ("groups", "grpi2_", _GROUP),
    "DOMAIN_CONTROLLER_INFOW": (
        "controllers", "",
        "DomainControllerName$ DomainControllerAddress$ DomainControllerAddressType DomainGuid# DomainName$ "
        "DnsForestName$ Flags DcSiteName$ ClientSiteName$"),
}

# Columns that no structure shows. `domain` is a domain's place.
_HIDDEN = {
    "servers": "domain refuses failing",
    "local_groups": "first_member members",
    "users": "first_group direct_groups groups",
    "names": "kind",
    "controllers": "flat$",
}


class NETSETUP_JOIN_STATUS(IntEnum):  # noqa: N801
    """What a computer is joined to, as lmjoin.h has it."""

    NetSetupUnknownStatus = 0
    NetSetupUnjoined = 1
    NetSetupWorkgroupName = 2
    NetSetupDomainName = 3


class Member(NamedTuple):
    """A member of a structure."""

    name: str
    kind: int
    """NUMBER, TEXT, BYTES, GUID or WHOLE."""
    offsets: tuple[int, int]
    """With pointers of 8 and of 4 bytes."""


class Struct(NamedTuple):
    """The layout of a structure."""

    name: str
    columns: str
    """The columns that it is filled from: a key of COLUMNS."""
    prefix: str
    """What its members' names begin with in C."""
    members: tuple[Member, ...]
    sizes: tuple[int, int]
    """With pointers of 8 and of 4 bytes."""


def _column(word: str) -> tuple[str, int]:
    return word.rstrip("$*#="), _KINDS.get(word[-1], NUMBER)


def _struct(name: str, columns: str, prefix: str, text: str) -> Struct:
    places = []
    sizes = []
    for pointer in (8, 4):
        end, widest, offsets = 0, 4, []
        for word in text.split():
            kind = _column(word)[1]
            size, align = {NUMBER: (4, 4), GUID: (16, 4), WHOLE: (0, 1)}.get(kind, (pointer, pointer))
            end = -(-end // align) * align
            offsets.append(end)
            end += size
            widest = max(widest, align)
        places.append(offsets)
        sizes.append(-(-end // widest) * widest)
    members = (Member(*_column(word), (wide, narrow)) for word, wide, narrow in zip(text.split(), *places, strict=True))
    return Struct(name, columns, prefix, tuple(members), (sizes[0], sizes[1]))


STRUCTS = {name: _struct(name, *row) for name, row in _STRUCTS.items()}
"""Every structure, by its name in C; TEXT is a name alone."""

COLUMNS: dict[str, dict[str, int]] = {}
"""The kind of each column by name, of each set of columns."""

for _row in STRUCTS.values():
    COLUMNS.setdefault(_row.columns, {}).update((member.name, member.kind) for member in _row.members)
for _name, _text in _HIDDEN.items():
    COLUMNS[_name].update(map(_column, _text.split()))

# The tables of a computer, and the columns of each. The first three are the local computer's alone.
TABLES = {
    "servers": "servers",
    "domains": "servers",
    "controllers": "controllers",
    "server": "servers",
    "workstation": "workstations",
    "transports": "transports",
    "users": "users",
    "shares": "shares",
    "local_groups": "local_groups",
    "members": "members",
    "users_groups": "local_groups",
    "groups": "groups",
    "display_users": "users",
    "display_machines": "users",
    "display_groups": "groups",
    "join": "names",
    "caller": "callers",
}
