"""pybuf.netapi: blocks read and freed, parts followed, failures raised."""

from __future__ import annotations

import pytest

import pybuf
from pybuf import Caller, LocalGroup, Machine, NetApiError, NetStatus, Network, Server, Share, Transport, User

MANY = [User(f"user{i:04}", "x" * 50) for i in range(3000)]


@pytest.fixture
def machine():
    machine = Machine(clock="manual")
    machine.network = Network(
        servers=[Server("ONE"), Server("TWO", type=2)], users=MANY, transports=[Transport("T" * 40_000)],
        shares=[Share("DATA")], local_groups=[LocalGroup("Staff", members=["user0000"])])
    with machine:
        yield machine
    assert machine.live() == []
    assert machine.check() is None
    machine.close()


def test_every_entry_once_through_all_parts(machine) -> None:
    assert [user.name for user in pybuf.netapi.users()] == [user.name for user in MANY]


def test_what_each_lists(machine) -> None:
    assert [each.name for each in pybuf.netapi.servers()] == ["ONE", "TWO"]
    assert [each.name for each in pybuf.netapi.servers(type=1, level=100)] == ["ONE"]
    assert [each.name for each in pybuf.netapi.local_groups()] == ["Staff"]
    assert [each.domainandname for each in pybuf.netapi.members("staff")] == ["PYBUF\\user0000"]
    assert [each.netname for each in pybuf.netapi.shares()] == ["DATA"]
    assert [each.name for each in pybuf.netapi.groups()] == ["None"]
    assert [each.name for each in pybuf.netapi.users("ONE")] == []


def test_an_entry_longer_than_a_part(machine) -> None:
    assert [len(each.transport_name) for each in pybuf.netapi.transports()] == [40_000]


def test_a_loop_that_ends_early_leaves_nothing(machine) -> None:
    for user in pybuf.netapi.users():
        if user.name == "user0002":
            break
    assert machine.live() == []


def test_a_loop_stays_with_its_machine(machine) -> None:
    found = pybuf.netapi.users()
    other = Machine(clock="manual")
    with other:
        assert [user.name for user in found] == [user.name for user in MANY]
        assert next(pybuf.netapi.users()).name == "Administrator"
        assert other.live() == []
    other.close()


def test_a_loop_that_the_network_is_changed_under(machine) -> None:
    found = pybuf.netapi.users()
    next(found)
    machine.network = Network()
    with pytest.raises(NetApiError, match="ERROR_INVALID_PARAMETER"):
        list(found)


def test_failures_are_raised(machine) -> None:
    machine.caller = Caller("Nobody", (), interactive=False)
    with pytest.raises(NetApiError, match=r"NetUserEnum: ERROR_ACCESS_DENIED \(5\)") as caught:
        next(pybuf.netapi.users())
    assert caught.value.status is NetStatus.ERROR_ACCESS_DENIED
    machine.services = ()
    with pytest.raises(NetApiError, match="NetServerEnum: NERR_WkstaNotStarted"):
        list(pybuf.netapi.servers())


def test_a_name_is_the_block_itself(machine) -> None:
    written: dict[int, bytes] = {}
    guest = Machine(memory=pybuf.Guest(pybuf.AddressSpace(0x2000_0000, 1 << 26), on_write=written.__setitem__))
    guest.network = Network(domain="CORP", joined="domain")
    with guest:
        status, block, kind = pybuf.NetGetJoinInformation(None)
        assert (status, kind) == (0, pybuf.netapi.NETSETUP_JOIN_STATUS.NetSetupDomainName)
        assert written == {block.address: "CORP\0".encode("utf-16-le")}
        assert pybuf.NetApiBufferFree(block) == 0
    guest.close()
    block = pybuf.NetGetJoinInformation(None)[1]
    assert (block.struct, block.entries, block.size) == ("TEXT", [("WORKGROUP",)], 20)
    assert block.dtype == {"names": ["name"], "formats": ["<u2"], "offsets": [0], "itemsize": 2}
    assert pybuf.NetApiBufferFree(block) == 0


def test_guests_get_final_addresses_once(machine) -> None:
    memory: dict[int, bytes] = {}
    with_4_byte = pybuf.Guest(
        pybuf.AddressSpace(0x2000_0000, 1 << 26), on_write=lambda address, data: memory.update({address: bytes(data)}),
        on_read=lambda address, size: memory[address][:size], pointer_bytes=4, wchar_bytes=4)
    guest = Machine(memory=with_4_byte)
    guest.network = Network(users=[User("ann", "Ann \U0001f600")])
    with guest:
        block = pybuf.NetUserGetInfo(None, "ann", 4)[1]
        assert len(memory) == 1
        assert block.entries[0].full_name == "Ann \U0001f600"
        assert len(block.entries[0].user_sid) == 28
        name = int.from_bytes(memory[block.address][:4], "little") - block.address
        assert memory[block.address][name:name + 16].decode("utf-32-le") == "ann\0"
        assert pybuf.NetApiBufferFree(block) == 0
        assert guest.live() == []
    guest.close()


def test_a_guest_that_cannot_be_written(machine) -> None:
    def fails(address: int, data: bytes) -> None:
        raise OSError("no such page")

    guest = Machine(memory=pybuf.Guest(pybuf.AddressSpace(0x2000_0000, 1 << 26), on_write=fails))
    with guest:
        with pytest.raises(OSError, match="no such page"):
            pybuf.NetServerGetInfo(None, 101)
        assert guest.live() == []
    guest.close()
