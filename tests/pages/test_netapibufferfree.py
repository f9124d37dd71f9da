"""The sentences of the page NetApiBufferFree, a test each."""

from __future__ import annotations

import ctypes

import pytest

import pybuf
from pybuf import (
    Caller,
    Domain,
    Machine,
    NetApiBufferAllocate,
    NetApiBufferFree,
    NetApiBufferReallocate,
    NetApiBufferSize,
    NetServerEnum,
    NetStatus,
    Network,
    Server,
    User,
)

ALL = 0xFFFFFFFF


@pytest.fixture
def machine():
    machine = Machine(clock="manual")
    machine.network = Network(servers=[Server("ONE", "first", users=[User("zoe")]), Server("TWO", "second")],
                              domains=[Domain("WORKGROUP", controller="DC")])
    with machine:
        yield machine
    assert machine.live() == []
    assert machine.check() is None
    machine.close()


def enumerated():
    return NetServerEnum(None, 101, -1, ALL, None, 0)[1]


def test_frees_the_memory_that_netapibufferallocate_allocates(machine) -> None:
    block = NetApiBufferAllocate(1024)[1]
    address = block.address
    assert len(machine.live()) == 1
    assert NetApiBufferFree(block) == 0
    assert machine.live() == []
    assert NetApiBufferSize(address)[0] == 87


@pytest.mark.parametrize("produce", [
    lambda: NetServerEnum(None, 100, -1, ALL, None, 0)[1],
    lambda: pybuf.NetServerGetInfo(None, 101)[1],
    lambda: pybuf.NetWkstaGetInfo(None, 100)[1],
    lambda: pybuf.NetWkstaUserGetInfo(None, 1)[1],
    lambda: pybuf.NetWkstaTransportEnum(None, 0, -1, 0)[1],
    lambda: pybuf.NetUserEnum(None, 3, 0, -1, 0)[1],
    lambda: pybuf.NetUserGetInfo(None, "Guest", 4)[1],
    lambda: pybuf.NetShareEnum(None, 502, -1, 0)[1],
    lambda: pybuf.NetLocalGroupEnum(None, 1, -1, 0)[1],
    lambda: pybuf.NetLocalGroupGetMembers(None, "Administrators", 2, -1, 0)[1],
    lambda: pybuf.NetGroupEnum(None, 2, -1, 0)[1],
    lambda: pybuf.NetUserGetLocalGroups(None, "Administrator", 0, 0, -1)[1],
    lambda: pybuf.NetQueryDisplayInformation(None, 1, 0, 10, -1)[2],
    lambda: pybuf.NetGetJoinInformation(None)[1],
    lambda: pybuf.DsGetDcNameW(None, None, None, None, 0)[1],
])
def test_frees_the_memory_that_other_network_management_functions_use(machine, produce) -> None:
    block = produce()
    assert [each.address for each in machine.live()] == [block.address]
    assert NetApiBufferFree(block) == 0
    assert machine.live() == []


def test_buffer_is_in_only(machine) -> None:
    variable = ctypes.c_void_p()
    assert pybuf.windll.netapi32.NetApiBufferAllocate(16, ctypes.byref(variable)) == 0
    before = variable.value
    assert pybuf.windll.netapi32.NetApiBufferFree(variable) == 0
    assert variable.value == before


def test_success_is_nerr_success(machine) -> None:
    assert NetApiBufferFree(NetApiBufferAllocate(1)[1]) is NetStatus.NERR_Success


def test_failure_is_a_system_error_code(machine) -> None:
    assert NetApiBufferFree(0x1000) is NetStatus.ERROR_INVALID_PARAMETER


def test_information_of_a_local_computer_or_of_a_remote_server(machine) -> None:
    for server in (None, "\\\\ONE"):
        assert NetApiBufferFree(pybuf.NetUserEnum(server, 0, 0, -1, 0)[1]) == 0


def test_netserverenum_returns_an_array_of_structures_pointed_to_by_bufptr(machine) -> None:
    block = enumerated()
    with memoryview(block) as view:
        names = [int.from_bytes(view[40 * i + 8:40 * i + 16], "little") - block.address for i in range(2)]
        texts = [bytes(view[at:at + 8]).decode("utf-16-le") for at in names]
    assert texts == ["ONE\0", "TWO\0"]
    assert NetApiBufferFree(block) == 0


@pytest.mark.parametrize(("produce", "count"), [
    (lambda: pybuf.NetServerGetInfo(None, 101)[1], 1),              # a complex structure
    (lambda: pybuf.NetUserEnum(None, 0, 0, -1, 0)[1], 2),           # an array of structures
    (lambda: pybuf.NetUserEnum(None, 3, 0, -1, 0)[1], 2),           # and of such as point to others
])
def test_a_buffer_holds_all_that_its_structures_point_to(machine, produce, count) -> None:
    block = produce()
    (live,) = machine.live()
    assert (live.address, live.size, block.count) == (block.address, block.size, count)
    layout = block.dtype
    with memoryview(block) as view:
        for i in range(count):
            for name, form, offset in zip(layout["names"], layout["formats"], layout["offsets"], strict=True):
                at = i * layout["itemsize"] + offset
                pointer = int.from_bytes(view[at:at + 8], "little") if form == "<u8" else 0
                assert pointer == 0 or 0 <= pointer - block.address < block.size, name
    assert NetApiBufferFree(block) == 0


def test_one_call_frees_nested_structures_strings_and_other_data(machine) -> None:
    block = pybuf.NetUserEnum(None, 3, 0, -1, 0)[1]
    assert len(machine.live()) == 1
    assert machine.live()[0].size == block.size > 2 * 184
    assert NetApiBufferFree(block) == 0
    assert machine.live() == []


@pytest.mark.parametrize("caller", [Caller("Nobody", (), interactive=False), Caller("Guest", ("Guests",))])
def test_no_group_membership_is_needed(machine, caller) -> None:
    machine.caller = caller
    assert NetApiBufferFree(enumerated()) == 0
    status, block = NetApiBufferAllocate(10)
    assert status == 0
    status, block = NetApiBufferReallocate(block, 20)
    assert status == 0
    assert NetApiBufferSize(block) == (0, 20)
    assert NetApiBufferFree(block) == 0


def test_the_sample_that_allocates(machine) -> None:
    pointer = ctypes.c_void_p()
    netapi32 = pybuf.windll.netapi32
    assert netapi32.NetApiBufferAllocate(1024, ctypes.byref(pointer)) == 0
    size = ctypes.c_uint32()
    assert netapi32.NetApiBufferSize(pointer, ctypes.byref(size)) == 0
    assert size.value >= 1024
    assert netapi32.NetApiBufferReallocate(pointer, 1500, ctypes.byref(pointer)) == 0
    assert netapi32.NetApiBufferFree(pointer) == 0


def test_the_sample_that_enumerates_servers(machine) -> None:
    pointer, read, total = ctypes.c_void_p(), ctypes.c_uint32(), ctypes.c_uint32()
    netapi32 = pybuf.windll.netapi32
    assert netapi32.NetServerEnum(None, 101, ctypes.byref(pointer), -1, ctypes.byref(read), ctypes.byref(total),
                                  ALL, None, None) == 0
    assert (read.value, total.value) == (2, 2)
    for i, name in enumerate(("ONE", "TWO")):
        at = ctypes.c_void_p.from_address(pointer.value + 40 * i + 8).value
        assert ctypes.wstring_at(at) == name
    assert netapi32.NetApiBufferFree(pointer) == 0
