"""Networks: what is refused, and what a file says."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

import pybuf
from pybuf import Domain, Group, LocalGroup, Machine, Network, Server, Share, User


@pytest.mark.parametrize(("kind", "values", "says"), [
    (Server, {"name": "A", "type": -1}, r"Server\('A'\): type is -1; it is 0 to 2\*\*32 - 1"),
    (Server, {"name": "A B"}, "none of"),
    (Server, {"name": ""}, "needs a name"),
    (User, {"name": "A\0"}, "ends at its first NUL"),
    (User, {"name": "A", "logon_hours": b"1"}, "has 1 bytes; a week's has 21"),
    (Network, {"joined": "up"}, "it is one of unknown, unjoined, workgroup, domain"),
    (Network, {"servers": [Server("A"), Server("a")]}, "two servers are called 'a'"),
    (Network, {"users": [User("A"), User("a")], "local_groups": ()}, "two users are called 'a'"),
    (Network, {"local_groups": [LocalGroup("G", members=["Nobody"])]}, "'G' has the member 'Nobody'"),
    (Network, {"groups": [Group("G", members=["Nobody"])]}, "'G' has the member 'Nobody'"),
])
def test_values_that_no_network_has(kind: Any, values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(**values)


@pytest.mark.parametrize(("kind", "values", "says"), [
    (Server, {"name": 7}, "name is text, not int"),
    (Server, {"name": "A", "type": "1"}, "type is an int, not str"),
    (Domain, {"name": "A", "refuses": 1}, "refuses is True or False"),
    (Network, {"servers": "ABC"}, "servers is a sequence of Server"),
    (Network, {"users": 5}, "users is a sequence of User, not 5"),
    (Network, {"servers": ["ABC"]}, "servers has items of Server, not str"),
])
def test_wrong_types(kind: Any, values: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        kind(**values)


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "network.toml").write_text("""
        name = "HERE"
        domain = "CORP"
        [[domains]]
        name = "CORP"
        dns_name = "corp.example"
        [[servers]]
        name = "ONE"
        comment = "first"
        [[servers.shares]]
        name = "DATA"
        security_descriptor = "0100"
        [[users]]
        name = "ann"
        [[local_groups]]
        name = "Staff"
        members = ["ann"]
    """)
    network = Network.from_toml(tmp_path / "network.toml")
    assert network == Network(
        "HERE", domain="CORP", domains=[Domain("CORP", dns_name="corp.example")], users=[User("ann")],
        servers=[Server("ONE", "first", shares=[Share("DATA", security_descriptor=b"\1\0")])],
        local_groups=[LocalGroup("Staff", members=["ann"])])


@pytest.mark.parametrize(("text", "says"), [
    ("[[servers]]\nnam = 'A'", "servers: Server has no 'nam'; it has name, comment"),
    ("[[servers]]\ncomment = 'A'", "servers: a Server has no 'name', which it needs"),
    ("[[users]]\nname = 'A'\nlogon_hours = 'zz'", "users: logon_hours is 'zz'; it is bytes in hexadecimal"),
])
def test_a_file_with_a_mistake(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "network.toml").write_text(text)
    with pytest.raises(ValueError, match=says):
        Network.from_toml(tmp_path / "network.toml")


def test_a_machine_has_a_network_and_takes_another() -> None:
    machine = Machine()
    assert machine.network.name == "PYBUF"
    machine.network = Network(servers=[Server("ONE", "\U0001f600")])
    with machine:
        status, block, read, total, _ = pybuf.NetServerEnum(None, 101, -1, 0xFFFFFFFF, None, None)
        assert (status, read, total) == (0, 1, 1)
        machine.network = Network(servers=[])
        assert [(each.name, each.comment) for each in block.entries] == [("ONE", "\U0001f600")]
        assert pybuf.NetApiBufferFree(block) == 0
        assert pybuf.NetServerEnum(None, 101, -1, 0xFFFFFFFF, None, None)[1] is None
    with pytest.raises(TypeError, match="network is a Network"):
        machine.network = 1  # type: ignore[assignment]
    with pytest.raises(ValueError, match="the services are workstation, server, browser"):
        machine.services = {"mail"}
    machine.close()
    with pytest.raises(ValueError, match="closed"):
        machine.network = Network()


def test_a_block_somebody_wrote_over_is_read_without_a_crash() -> None:
    machine = Machine()
    machine.network = Network(servers=[Server("ONE"), Server("TWO")])
    with machine:
        block = pybuf.NetServerEnum(None, 101, -1, 0xFFFFFFFF, None, None)[1]
        with memoryview(block) as view:
            view[8:16] = (block.address - 1).to_bytes(8, "little")
            view[48:56] = (block.address + block.size - 1).to_bytes(8, "little")
            view[80:] = b"\xff" * (block.size - 80)
        assert [each.name for each in block.entries] == [None, ""]
        assert pybuf.NetApiBufferFree(block) == 0
        for read in (lambda: block.entries, lambda: block.size, lambda: pybuf.netapi.entries(1 << 40)):
            with pytest.raises(ValueError, match=r"freed|no live block"):
                read()
    machine.close()


def test_a_view_keeps_a_block() -> None:
    machine = Machine()
    with machine:
        block = pybuf.NetServerEnum(None, 100, -1, 0xFFFFFFFF, None, None)[1]
        with memoryview(block) as view:
            assert len(view) == block.size
            with pytest.raises(BufferError):
                pybuf.NetApiBufferFree(block)
        address = block.address
        del block
        gc.collect()
        assert [each.address for each in machine.live()] == [address]
        assert pybuf.netapi.entries(address)[0].name == "PYBUF"
        assert pybuf.NetApiBufferFree(address) == 0
    machine.close()
