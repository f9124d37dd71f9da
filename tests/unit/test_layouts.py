"""The structures of NetApi lie as the Windows headers have them, with pointers of 8 and of 4 bytes."""

from __future__ import annotations

import ctypes

import pytest

import pybuf
from pybuf import windll
from pybuf.layouts import STRUCTS

# Name, sizes and offsets: 8-byte pointers / 4-byte ones.
PRINTED = """
SERVER_INFO_100 16/8: platform_id 0/0, name 8/4
SERVER_INFO_101 40/24: platform_id 0/0, name 8/4, version_major 16/8, version_minor 20/12, type 24/16, comment 32/20
SERVER_INFO_102 72/52: platform_id 0/0, name 8/4, version_major 16/8, version_minor 20/12, type 24/16, comment
    32/20, users 40/24, disc 44/28, hidden 48/32, announce 52/36, anndelta 56/40, licenses 60/44, userpath 64/48
WKSTA_INFO_100 32/20: platform_id 0/0, computername 8/4, langroup 16/8, ver_major 24/12, ver_minor 28/16
WKSTA_INFO_101 40/24: platform_id 0/0, computername 8/4, langroup 16/8, ver_major 24/12, ver_minor 28/16, lanroot
    32/20
WKSTA_INFO_102 48/28: platform_id 0/0, computername 8/4, langroup 16/8, ver_major 24/12, ver_minor 28/16, lanroot
    32/20, logged_on_users 40/24
WKSTA_USER_INFO_0 8/4: username 0/0
WKSTA_USER_INFO_1 32/16: username 0/0, logon_domain 8/4, oth_domains 16/8, logon_server 24/12
WKSTA_USER_INFO_1101 8/4: oth_domains 0/0
WKSTA_TRANSPORT_INFO_0 32/20: quality_of_service 0/0, number_of_vcs 4/4, transport_name 8/8, transport_address
    16/12, wan_ish 24/16
USER_INFO_0 8/4: name 0/0
USER_INFO_1 56/32: name 0/0, password 8/4, password_age 16/8, priv 20/12, home_dir 24/16, comment 32/20, flags
    40/24, script_path 48/28
USER_INFO_2 152/96: name 0/0, password 8/4, password_age 16/8, priv 20/12, home_dir 24/16, comment 32/20, flags
    40/24, script_path 48/28, auth_flags 56/32, full_name 64/36, usr_comment 72/40, parms 80/44, workstations 88/48,
    last_logon 96/52, last_logoff 100/56, acct_expires 104/60, max_storage 108/64, units_per_week 112/68,
    logon_hours 120/72, bad_pw_count 128/76, num_logons 132/80, logon_server 136/84, country_code 144/88, code_page
    148/92
USER_INFO_3 184/116: name 0/0, password 8/4, password_age 16/8, priv 20/12, home_dir 24/16, comment 32/20, flags
    40/24, script_path 48/28, auth_flags 56/32, full_name 64/36, usr_comment 72/40, parms 80/44, workstations 88/48,
    last_logon 96/52, last_logoff 100/56, acct_expires 104/60, max_storage 108/64, units_per_week 112/68,
    logon_hours 120/72, bad_pw_count 128/76, num_logons 132/80, logon_server 136/84, country_code 144/88, code_page
    148/92, user_id 152/96, primary_group_id 156/100, profile 160/104, home_dir_drive 168/108, password_expired
    176/112
USER_INFO_4 192/116: name 0/0, password 8/4, password_age 16/8, priv 20/12, home_dir 24/16, comment 32/20, flags
    40/24, script_path 48/28, auth_flags 56/32, full_name 64/36, usr_comment 72/40, parms 80/44, workstations 88/48,
    last_logon 96/52, last_logoff 100/56, acct_expires 104/60, max_storage 108/64, units_per_week 112/68,
    logon_hours 120/72, bad_pw_count 128/76, num_logons 132/80, logon_server 136/84, country_code 144/88, code_page
    148/92, user_sid 152/96, primary_group_id 160/100, profile 168/104, home_dir_drive 176/108, password_expired
    184/112
USER_INFO_10 32/16: name 0/0, comment 8/4, usr_comment 16/8, full_name 24/12
USER_INFO_11 128/80: name 0/0, comment 8/4, usr_comment 16/8, full_name 24/12, priv 32/16, auth_flags 36/20,
    password_age 40/24, home_dir 48/28, parms 56/32, last_logon 64/36, last_logoff 68/40, bad_pw_count 72/44,
    num_logons 76/48, logon_server 80/52, country_code 88/56, workstations 96/60, max_storage 104/64, units_per_week
    108/68, logon_hours 112/72, code_page 120/76
USER_INFO_20 32/20: name 0/0, full_name 8/4, comment 16/8, flags 24/12, user_id 28/16
USER_INFO_23 40/20: name 0/0, full_name 8/4, comment 16/8, flags 24/12, user_sid 32/16
USER_INFO_24 32/20: internet_identity 0/0, flags 4/4, internet_provider_name 8/8, internet_principal_name 16/12,
    user_sid 24/16
SHARE_INFO_0 8/4: netname 0/0
SHARE_INFO_1 24/12: netname 0/0, type 8/4, remark 16/8
SHARE_INFO_2 56/32: netname 0/0, type 8/4, remark 16/8, permissions 24/12, max_uses 28/16, current_uses 32/20, path
    40/24, passwd 48/28
SHARE_INFO_502 72/40: netname 0/0, type 8/4, remark 16/8, permissions 24/12, max_uses 28/16, current_uses 32/20,
    path 40/24, passwd 48/28, reserved 56/32, security_descriptor 64/36
LOCALGROUP_INFO_0 8/4: name 0/0
LOCALGROUP_INFO_1 16/8: name 0/0, comment 8/4
NET_DISPLAY_USER 40/24: name 0/0, comment 8/4, flags 16/8, full_name 24/12, user_id 32/16, next_index 36/20
NET_DISPLAY_MACHINE 32/20: name 0/0, comment 8/4, flags 16/8, user_id 20/12, next_index 24/16
NET_DISPLAY_GROUP 32/20: name 0/0, comment 8/4, group_id 16/8, attributes 20/12, next_index 24/16
LOCALGROUP_MEMBERS_INFO_0 8/4: sid 0/0
LOCALGROUP_MEMBERS_INFO_1 24/12: sid 0/0, sidusage 8/4, name 16/8
LOCALGROUP_MEMBERS_INFO_2 24/12: sid 0/0, sidusage 8/4, domainandname 16/8
LOCALGROUP_MEMBERS_INFO_3 8/4: domainandname 0/0
LOCALGROUP_USERS_INFO_0 8/4: name 0/0
GROUP_INFO_0 8/4: name 0/0
GROUP_INFO_1 16/8: name 0/0, comment 8/4
GROUP_INFO_2 24/16: name 0/0, comment 8/4, group_id 16/8, attributes 20/12
DOMAIN_CONTROLLER_INFOW 80/48: DomainControllerName 0/0, DomainControllerAddress 8/4, DomainControllerAddressType
    16/8, DomainGuid 20/12, DomainName 40/28, DnsForestName 48/32, Flags 56/36, DcSiteName 64/40, ClientSiteName
    72/44
SHARE_INFO_503 80/44: netname 0/0, type 8/4, remark 16/8, permissions 24/12, max_uses 28/16, current_uses 32/20,
    path 40/24, passwd 48/28, servername 56/32, reserved 64/36, security_descriptor 72/40
"""
LINES = PRINTED.replace("\n    ", " ").strip().split("\n")


def test_every_structure_is_printed() -> None:
    assert {line.split()[0] for line in LINES} == set(STRUCTS) - {"TEXT"}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split()[0])
def test_sizes_and_offsets(line: str) -> None:
    head, _, members = line.partition(": ")
    layout = STRUCTS[head.split()[0]]
    assert head == f"{layout.name} {layout.sizes[0]}/{layout.sizes[1]}"
    assert members == ", ".join(f"{each.name} {each.offsets[0]}/{each.offsets[1]}" for each in layout.members)


@pytest.mark.parametrize("name", sorted(set(STRUCTS) - {"TEXT"}))
def test_the_class_of_ctypes_has_the_same_offsets(name: str) -> None:
    kind, layout = getattr(windll, name), STRUCTS[name]
    assert getattr(windll, name) is kind
    width = 0 if ctypes.sizeof(ctypes.c_void_p) == 8 else 1
    assert ctypes.sizeof(kind) == layout.sizes[width]
    for member in layout.members:
        assert getattr(kind, layout.prefix + member.name).offset == member.offsets[width]


def test_a_block_read_by_ctypes() -> None:
    with pybuf.Machine() as machine:
        pointer, read, total = ctypes.POINTER(windll.SERVER_INFO_101)(), ctypes.c_uint32(), ctypes.c_uint32()
        assert windll.netapi32.NetServerEnum(None, 101, ctypes.byref(pointer), -1, ctypes.byref(read),
                                             ctypes.byref(total), 0xFFFFFFFF, None, None) == 0
        assert [pointer[i].sv101_name for i in range(read.value)] == ["PYBUF"]
        assert windll.netapi32.NetApiBufferFree(pointer) == 0
        assert machine.live() == []
    machine.close()
