"""Scripts written for ctypes on Windows, in the shapes that such scripts have, run as they are."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

import pybuf
from pybuf import Caller, Group, LocalGroup, Machine, Network, Server, Share, User, windll

USERS = [User(f"user{i}", f"User {i}", "c" * i) for i in range(30)]


@pytest.fixture
def machine():
    machine = Machine(clock="manual")
    machine.network = Network(
        "HERE", domain="CORP", joined="domain", users=[*USERS, User("admin", priv=2)], groups=[Group("Writers")],
        local_groups=[LocalGroup("Administrators", "who may", ["admin", "user1"]), LocalGroup("Others")],
        shares=[Share("DATA", "C:\\data", "all of it"), Share("IPC$", type=0x80000003)],
        servers=[Server("ONE", "first"), Server("TWO")])
    with machine:
        yield machine
    assert machine.live() == []
    assert machine.check() is None
    machine.close()


def run(script: str, longs: bool = False) -> dict[str, Any]:
    """What a script has in the end, which is imported where ctypes looks as it does on Windows."""
    found: dict[str, Any] = {}
    with windll.install(longs=longs):
        exec(compile(script, "script.py", "exec"), found)
    return found


def test_loop_over_parts_with_a_structure_of_its_own(machine):
    assert run("""
from ctypes import *
from ctypes.wintypes import *

class USER_INFO_1(Structure):
    _fields_ = [("name", LPWSTR), ("password", LPWSTR), ("password_age", DWORD), ("priv", DWORD),
                ("home_dir", LPWSTR), ("comment", LPWSTR), ("flags", DWORD), ("script_path", LPWSTR)]

names, parts, resume = [], 0, DWORD(0)
while True:
    bufptr, read, total = POINTER(USER_INFO_1)(), DWORD(), DWORD()
    res = windll.netapi32.NetUserEnum(None, 1, 2, byref(bufptr), 2000, byref(read), byref(total), byref(resume))
    assert res in (0, 234)
    for i in range(read.value):
        names.append((bufptr[i].name, bufptr[i].comment, bufptr[i].flags))
    first = bufptr.contents.name
    parts += 1
    assert windll.netapi32.NetApiBufferFree(bufptr) == 0
    if res != 234:
        break
    """)["names"] == [*((user.name, user.comment, 0x201) for user in USERS), ("admin", "", 0x201)]


def test_structures_of_longs(machine):
    found = run("""
from ctypes import *

class USER_INFO_20(Structure):
    _fields_ = [("name", c_wchar_p), ("full_name", c_wchar_p), ("comment", c_wchar_p), ("flags", c_ulong),
                ("user_id", c_ulong)]

bufptr = c_void_p()
read, total, resume = c_ulong(), c_ulong(), c_ulong(0)
res = windll["netapi32"].NetUserEnum(None, 20, 0, byref(bufptr), c_ulong(-1), byref(read), byref(total), byref(resume))
users = cast(bufptr, POINTER(USER_INFO_20 * read.value)).contents
found = [(user.name, user.user_id) for user in users]
freed = windll.NETAPI32.NetApiBufferFree(bufptr)
    """, longs=True)
    assert (found["res"], found["freed"], found["read"].value, found["total"].value) == (0, 0, 31, 31)
    assert found["found"][:2] == [("user0", 1000), ("user1", 1001)]
    assert ctypes.sizeof(ctypes.c_long) == 8 or ctypes.c_long is ctypes.c_int


def test_name_into_a_c_wchar_p(machine):
    found = run("""
import ctypes
from ctypes import byref, c_wchar_p, c_int
netapi32 = ctypes.WinDLL("Netapi32.dll", use_last_error=True)
name, kind = c_wchar_p(), c_int()
status = netapi32.NetGetJoinInformation(None, byref(name), byref(kind))
domain = name.value
freed = netapi32.NetApiBufferFree(name)
    """)
    assert (found["status"], found["domain"], found["kind"].value, found["freed"]) == (0, "CORP", 3, 0)


def test_types_and_a_check_of_errors_of_its_own(machine):
    found = run("""
import ctypes
from ctypes import wintypes

class SERVER_INFO_101(ctypes.Structure):
    _fields_ = [("sv101_platform_id", wintypes.DWORD), ("sv101_name", wintypes.LPWSTR),
                ("sv101_version_major", wintypes.DWORD), ("sv101_version_minor", wintypes.DWORD),
                ("sv101_type", wintypes.DWORD), ("sv101_comment", wintypes.LPWSTR)]

def check(result, function, arguments):
    if result not in (0, 234):
        raise ctypes.WinError(result)
    return result

netapi32 = ctypes.WinDLL("netapi32")
enum = netapi32.NetServerEnum
enum.restype = wintypes.DWORD
enum.argtypes = [wintypes.LPCWSTR, wintypes.DWORD, ctypes.POINTER(ctypes.POINTER(SERVER_INFO_101)), wintypes.DWORD,
                 ctypes.POINTER(wintypes.DWORD), ctypes.POINTER(wintypes.DWORD), wintypes.DWORD, wintypes.LPCWSTR,
                 ctypes.POINTER(wintypes.DWORD)]
enum.errcheck = check
free = netapi32.NetApiBufferFree
free.argtypes = [ctypes.c_void_p]
free.restype = wintypes.DWORD

def servers(level, domain=None):
    info, read, total = ctypes.POINTER(SERVER_INFO_101)(), wintypes.DWORD(), wintypes.DWORD()
    enum(None, level, ctypes.byref(info), -1, ctypes.byref(read), ctypes.byref(total), 0xFFFFFFFF, domain, None)
    try:
        return [(info[i].sv101_name, info[i].sv101_comment) for i in range(read.value)]
    finally:
        free(info)

found = servers(101)
try:
    servers(7)
except OSError as error:
    refused = error.errno
    """)
    assert (found["found"], found["refused"]) == ([("ONE", "first"), ("TWO", "")], 124)


def test_one_structure_behind_a_plain_pointer(machine):
    found = run("""
from ctypes import *
from ctypes import wintypes
netapi32 = windll.LoadLibrary("netapi32.dll")
info = wintypes.LPBYTE()
answers = []
for server in (None, "", "\\\\\\\\HERE", create_unicode_buffer("ONE"), c_wchar_p("TWO")):
    status = netapi32.NetServerGetInfo(server, 101, byref(info))
    answers.append((status, c_wchar_p.from_address(addressof(info.contents) + 8).value))
    assert netapi32.NetApiBufferFree(info) == 0
status = netapi32.NetWkstaGetInfo(None, 100, byref(info))
answers.append((status, c_wchar_p.from_address(addressof(info.contents) + 16).value))
assert netapi32.NetApiBufferFree(info) == 0
    """)
    assert found["answers"] == [(0, "HERE")] * 3 + [(0, "ONE"), (0, "TWO"), (0, "CORP")]


def test_is_the_user_an_administrator(machine):
    found = run("""
import ctypes, ctypes.wintypes as wt
net = ctypes.windll.netapi32

class LOCALGROUP_MEMBERS_INFO_3(ctypes.Structure):
    _fields_ = [("lgrmi3_domainandname", ctypes.c_wchar_p)]

class LOCALGROUP_USERS_INFO_0(ctypes.Structure):
    _fields_ = [("name", wt.LPWSTR)]

def members(group):
    found, resume = [], ctypes.c_size_t(0)
    more = True
    while more:
        buf, read, total = ctypes.POINTER(LOCALGROUP_MEMBERS_INFO_3)(), wt.DWORD(), wt.DWORD()
        status = net.NetLocalGroupGetMembers(None, group, 3, ctypes.byref(buf), 40, ctypes.byref(read),
                                             ctypes.byref(total), ctypes.byref(resume))
        more = status == 234
        if status not in (0, 234):
            raise ctypes.WinError(status)
        found += [entry.lgrmi3_domainandname for entry in buf[:read.value]]
        net.NetApiBufferFree(buf)
    return found

def groups(user):
    buf, read, total = ctypes.POINTER(LOCALGROUP_USERS_INFO_0)(), wt.DWORD(), wt.DWORD()
    status = net.NetUserGetLocalGroups(None, user, 0, 1, ctypes.byref(buf), -1, ctypes.byref(read), ctypes.byref(total))
    try:
        return [buf[i].name for i in range(read.value)]
    finally:
        net.NetApiBufferFree(buf)

administrators, of_user, of_nobody = members("Administrators"), groups("user1"), groups("nobody")
    """)
    assert found["administrators"] == ["HERE\\admin", "HERE\\user1"]
    assert (found["of_user"], found["of_nobody"]) == (["Administrators"], [])


def test_shares_and_groups_without_the_right(machine):
    machine.caller = Caller("guest", (), interactive=False)
    found = run("""
from ctypes import *
from ctypes.wintypes import DWORD
buf, read, total = c_void_p(), DWORD(), DWORD()
share = windll.netapi32.NetShareEnum(None, 2, byref(buf), -1, byref(read), byref(total), None)
group = windll.netapi32.NetLocalGroupEnum(None, 1, byref(buf), -1, byref(read), byref(total), None)
plain = windll.netapi32.NetShareEnum(None, 1, byref(buf), -1, byref(read), byref(total), None)
freed = windll.netapi32.NetApiBufferFree(buf.value)
try:
    windll.netapi32.NetMessageBufferSend
except AttributeError as error:
    missing = str(error)
    """)
    assert [found[name] for name in ("share", "group", "plain", "freed")] == [5, 5, 0, 0]
    assert found["missing"] == "function 'NetMessageBufferSend' not found"


def test_longs_are_put_back():
    before = ctypes.c_long, ctypes.c_ulong
    with windll.install() as installed:
        assert (ctypes.c_long, ctypes.c_ulong) == before
        assert windll.install(longs=True) is installed
        assert (ctypes.sizeof(ctypes.c_long), ctypes.sizeof(ctypes.c_ulong)) == (4, 4)
        assert windll.install(longs=True) is installed
    assert (ctypes.c_long, ctypes.c_ulong) == before
    assert not hasattr(ctypes, "windll")


@pytest.mark.parametrize("number", [ctypes.c_ulong(-1), ctypes.c_long(-1), ctypes.c_uint32(-1), ctypes.c_int(-1), -1])
def test_minus_one_of_any_type_is_the_longest_preferred_length(machine, number):
    block, read = ctypes.c_void_p(), ctypes.c_uint32()
    assert windll.netapi32.NetUserEnum(None, 0, 0, ctypes.byref(block), number, ctypes.byref(read), ctypes.byref(read),
                                       None) == 0
    assert read.value == 31
    assert pybuf.NetApiBufferFree(block.value) == 0
