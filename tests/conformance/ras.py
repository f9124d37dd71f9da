"""Scenarios of the RAS rows. See conftest.py."""

import ctypes
import shlex
import subprocess
import sysconfig
import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path

from conformance import World, row
from doors import IS_X86_64

import pybuf
import pybuf.ras

NEVER = 0xFFFFFFFF


class Settings(ctypes.Structure):
    """RASCOMMSETTINGS."""

    _fields_ = [("dwSize", ctypes.c_uint32), *((name, ctypes.c_uint8) for name in (
        "bParity", "bStop", "bByteSize", "bAlign"))]


def memory(world: World):
    """A port of the machine, and its other end."""
    port = world.machine.ras.open_port()
    return port, port.transport.peer


def waiting(world: World, timeout: int = NEVER, size: int = 100):
    """A receive that is outstanding: port, other end, event, buffer."""
    port, peer = memory(world)
    event = pybuf.Event(world.machine)
    block = world.got("RasGetBuffer", size)
    assert world.RasReceiveBuffer(port, block, timeout, event) == (0, 0)
    return port, peer, event, block


def freed(world: World, answer, *blocks: int):
    """An answer, after these blocks were freed."""
    assert [world.RasFreeBuffer(block)[0] for block in blocks] == [0] * len(blocks)
    return answer


def retrieved(world: World, port, block: int, data: bytes):
    """The answer of a RasRetrieveBuffer that brings these bytes."""
    answer = world.RasRetrieveBuffer(port, block)
    assert answer[1] == len(data)
    assert world.bytes_at(block, len(data)) in (data, None)
    return answer


@row(1)
def grants_what_is_asked_for(world: World):
    for size in (1, 100, 1499):
        answer = world.RasGetBuffer(size)
        assert answer[1] is not None
        assert answer[2] == size
        assert [block.size for block in world.live()] == [size]
        assert world.RasFreeBuffer(answer[1])[0] == 0
    return answer


@row(2)
def grants_the_largest(world: World):
    answer = world.RasGetBuffer(1500)
    assert answer[2] == 1500
    world.fill(answer[1], bytes(1500))
    assert world.RasFreeBuffer(answer[1])[0] == 0
    return answer


@row(3)
def grants_a_single_byte(world: World):
    answer = world.RasGetBuffer(1)
    assert answer[2] == 1
    assert world.RasFreeBuffer(answer[1])[0] == 0
    return answer


@row(4)
def cuts_what_is_too_large(world: World):
    for size in (0xFFFFFFFF, 1501):
        answer = world.RasGetBuffer(size)
        assert answer[2] == 1500
        assert [block.size for block in world.live()] == [1500]
        assert world.RasFreeBuffer(answer[1])[0] == 0
    return answer


@row(5)
def nothing_is_a_buffer_of_its_own(world: World):
    answer, other = world.RasGetBuffer(0), world.RasGetBuffer(0)
    assert (answer[2], other[2]) == (0, 0)
    assert None not in (answer[1], other[1])
    assert answer[1] != other[1]
    assert [world.RasFreeBuffer(each[1])[0] for each in (answer, other)] == [0, 0]
    return answer


@row(6, ras_buffers=2)
def count_is_used_up(world: World):
    blocks = [world.got("RasGetBuffer", 10) for _ in range(2)]
    answer = world.RasGetBuffer(10)
    assert answer[1:] == (None, 10)
    assert answer.written in (None, {"ppBuffer": True, "pdwSize": True})
    assert [world.RasFreeBuffer(block)[0] for block in blocks] == [0, 0]
    world.machine.refuse("ras", nth=1)
    assert world.RasGetBuffer(10)[0] == 614
    return answer


@row(7)
def refuses_what_is_too_large(world: World):
    answer = world.RasGetBuffer(1501)
    assert answer[1:] == (None, 1501)
    return answer


@row(8, ras_buffers=1)
def serves_again_after_a_free(world: World):
    block = world.got("RasGetBuffer", 10)
    assert world.RasGetBuffer(10)[0] == 614
    assert world.RasFreeBuffer(block)[0] == 0
    answer = world.RasGetBuffer(10)
    assert world.RasFreeBuffer(answer[1])[0] == 0
    return answer


@row(9)
def null_for_the_buffer(world: World):
    answer = world.RasGetBuffer(1500, missing="ppBuffer")
    assert answer[1] == 1500
    return answer


@row(10)
def null_for_the_size(world: World):
    return world.RasGetBuffer(1500, missing="pdwSize")


@row(326, ras_bytes=3000)
def bytes_are_used_up(world: World):
    blocks = [world.got("RasGetBuffer", 1500) for _ in range(2)]
    answer = world.RasGetBuffer(1)
    assert answer[1] is None
    assert [world.RasFreeBuffer(block)[0] for block in blocks] == [0, 0]
    return answer


@row(11)
def frees(world: World):
    return world.RasFreeBuffer(world.got("RasGetBuffer", 1500))


@row(12)
def pointer_from_nowhere(world: World):
    assert world.RasFreeBuffer(0xFFFFFFFFFFFFFFF0)[0] == 610
    return world.RasFreeBuffer(0x1000)


@row(13)
def frees_once(world: World):
    block = world.got("RasGetBuffer", 1500)
    assert world.RasFreeBuffer(block)[0] == 0
    return world.RasFreeBuffer(block)


@row(14, live=1)
def null_is_no_buffer(world: World):
    world.got("RasGetBuffer", 1500)
    return world.RasFreeBuffer(None)


@row(15, live=1)
def interior_pointer(world: World):
    block = world.got("RasGetBuffer", 1500)
    assert world.RasFreeBuffer(block + 16)[0] == 610
    return world.RasFreeBuffer(block + 1)


@row(16)
def pointer_of_another_family(world: World):
    block = world.got("NetApiBufferAllocate", 1500)
    answer = world.RasFreeBuffer(block)
    assert world.NetApiBufferFree(block)[0] == 0
    return answer


@row(320, live=1)
def stale_buffer(world: World):
    _, stale, _ = pybuf.RasGetBuffer(1500)
    assert pybuf.RasFreeBuffer(stale) == 0
    old = world.got("RasGetBuffer", 1500)
    assert [block.address for block in world.live()] == [old]
    return (pybuf.RasFreeBuffer(stale),)


@row(17)
def frees_through_an_ended_session(world: World):
    port, _ = memory(world)
    session = world.machine.ras.open_session(port)
    block = world.on(session).RasGetBuffer(100)[1]
    assert len(session.pointers._fields_) == 6
    session.end()
    assert world.live() == []
    return world.on(session).RasFreeBuffer(block)


@row(18)
def frees_while_a_receive_is_outstanding(world: World):
    port, peer, _, block = waiting(world)
    answer = world.RasFreeBuffer(block)
    peer.send(b"login:")
    assert world.RasFreeBuffer(block)[0] == answer[0]
    retrieved(world, port, block, b"login:")
    return freed(world, answer, block)


row(19)(frees_while_a_receive_is_outstanding)


@row(321)
def frees_another_sessions_buffer(world: World):
    port, _ = memory(world)
    session, other = world.machine.ras.open_session(port), world.machine.ras.open_session(port)
    block = world.on(session).RasGetBuffer(100)[1]
    assert world.on(other).RasFreeBuffer(block)[0] == 610
    answer = world.RasFreeBuffer(block)
    own = world.got("RasGetBuffer", 100)
    assert world.on(session).RasFreeBuffer(own)[0] == 610
    assert world.on(session).RasFreeBuffer(block)[0] == 0
    return freed(world, answer, own)


@row(322)
def gets_through_an_ended_session(world: World):
    answer = ended(world).RasGetBuffer(100)
    assert answer[1:] == (None, 100)
    return answer


def ended(world: World):
    """The routines of a session that has ended."""
    port, _ = memory(world)
    session = world.machine.ras.open_session(port)
    assert len(session.pointers._fields_) == 6
    session.end()
    return world.on(session)


@row(323)
def sends_through_an_ended_session(world: World):
    port, peer = memory(world)
    block = world.got("RasGetBuffer", 100)
    answer = ended(world).RasSendBuffer(port, block, 1)
    assert peer.received == b""
    return freed(world, answer, block)


@row(324)
def receives_through_an_ended_session(world: World):
    port, _ = memory(world)
    block = world.got("RasGetBuffer", 100)
    answer = ended(world).RasReceiveBuffer(port, block, 0, pybuf.Event(world.machine))
    return freed(world, answer, block)


@row(325)
def retrieves_through_an_ended_session(world: World):
    port, _, _, block = waiting(world, 0)
    answer = ended(world).RasRetrieveBuffer(port, block)
    assert world.RasRetrieveBuffer(port, block)[0] == 638
    return freed(world, answer, block)


@row(20)
def sends(world: World):
    port, peer = memory(world)
    block = world.got("RasGetBuffer", 5)
    world.fill(block, b"hello")
    answer = world.RasSendBuffer(port, block, 5)
    assert world.RasSendBuffer(port, block, 1)[0] == 0
    assert peer.received == (bytes(6) if world.door.is_guest else b"helloh")
    return freed(world, answer, block)


@row(21)
def sends_nothing(world: World):
    port, peer = memory(world)
    block = world.got("RasGetBuffer", 5)
    answer = world.RasSendBuffer(port, block, 0)
    assert peer.received == b""
    return freed(world, answer, block)


@row(22)
def sends_what_is_no_buffer(world: World):
    port, peer = memory(world)
    block = world.got("RasGetBuffer", 100)
    assert world.RasSendBuffer(port, None, 1)[0] == 610
    assert world.RasSendBuffer(port, block + 1, 1)[0] == 610
    assert world.RasSendBuffer(port, ctypes.addressof(ctypes.create_string_buffer(10)), 1)[0] == 610
    assert world.RasFreeBuffer(block)[0] == 0
    answer = world.RasSendBuffer(port, block, 1)
    assert peer.received == b""
    return answer


@row(23)
def sends_more_than_there_is(world: World):
    port, peer = memory(world)
    block = world.got("RasGetBuffer", 5)
    answer = world.RasSendBuffer(port, block, 6)
    assert peer.received == b""
    return freed(world, answer, block)


@row(24)
def sends_any_memory(world: World):
    port, peer = memory(world)
    stack = ctypes.create_string_buffer(b"user")
    answer = world.RasSendBuffer(port, ctypes.addressof(stack) + 1, 3)
    assert peer.received == (bytes(3) if world.door.is_guest else b"ser")
    return answer


@row(25)
def sends_to_no_port(world: World):
    port, _ = memory(world)
    block = world.got("RasGetBuffer", 5)
    for handle in (None, 0xFFFFFFFFFFFFFFFF, port.handle + 1, pybuf.Event(world.machine).handle):
        assert world.RasSendBuffer(handle, block, 1)[0] == 601
    handle = port.handle
    port.close()
    return freed(world, world.RasSendBuffer(handle, block, 1), block)


@row(26)
def sends_nothing_good_to_no_port(world: World):
    return world.RasSendBuffer(None, None, 1)


@row(27)
def sends_when_the_link_dropped(world: World):
    port, peer = memory(world)
    block = world.got("RasGetBuffer", 5)
    port.drop()
    answer = world.RasSendBuffer(port, block, 5)
    assert peer.received == b""
    return freed(world, answer, block)


@row(28)
def receives(world: World):
    port, peer = memory(world)
    event, block = pybuf.Event(world.machine), world.got("RasGetBuffer", 100)
    answer = world.RasReceiveBuffer(port, block, NEVER, event)
    assert answer[1] == 0
    assert not event.is_set()
    peer.send(b"login:")
    assert event.is_set()
    retrieved(world, port, block, b"login:")
    return freed(world, answer, block)


@row(29)
def port_drops_while_receiving(world: World):
    port, _ = memory(world)
    event, block = pybuf.Event(world.machine), world.got("RasGetBuffer", 100)
    answer = world.RasReceiveBuffer(port, block, NEVER, event)
    assert not event.is_set()
    port.drop()
    assert event.is_set()
    assert world.RasRetrieveBuffer(port, block)[0] == 619
    return freed(world, answer, block)


@row(30)
def receives_into_no_buffer(world: World):
    port, _ = memory(world)
    event, block = pybuf.Event(world.machine), world.got("RasGetBuffer", 100)
    assert world.RasReceiveBuffer(port, None, NEVER, event)[0] == 610
    assert world.RasReceiveBuffer(port, block + 1, NEVER, event)[0] == 610
    assert world.RasFreeBuffer(block)[0] == 0
    return world.RasReceiveBuffer(port, block, NEVER, event)


@row(31)
def receives_from_no_port(world: World):
    block = world.got("RasGetBuffer", 100)
    answer = world.RasReceiveBuffer(None, block, NEVER, pybuf.Event(world.machine))
    assert answer[1] is None
    return freed(world, answer, block)


@row(32)
def receives_twice(world: World):
    port, peer, event, block = waiting(world)
    answer = world.RasReceiveBuffer(port, block, NEVER, event)
    peer.send(b"1")
    retrieved(world, port, block, b"1")
    return freed(world, answer, block)


@row(33)
def receives_with_no_event(world: World):
    port, _ = memory(world)
    block = world.got("RasGetBuffer", 100)
    assert world.RasReceiveBuffer(port, block, NEVER, None)[0] == 607
    return freed(world, world.RasReceiveBuffer(port, block, NEVER, port.handle), block)


@row(34)
def receives_a_size_into_null(world: World):
    port, _ = memory(world)
    block = world.got("RasGetBuffer", 100)
    answer = world.RasReceiveBuffer(port, block, NEVER, pybuf.Event(world.machine), missing="pdwSize")
    return freed(world, answer, block)


@row(327)
def receives_from_a_port_that_is_down(world: World):
    port, _ = memory(world)
    event, block = pybuf.Event(world.machine), world.got("RasGetBuffer", 100)
    port.drop()
    answer = world.RasReceiveBuffer(port, block, NEVER, event)
    assert event.is_set()
    assert world.RasRetrieveBuffer(port, block)[0] == 619
    return freed(world, answer, block)


@row(35)
def retrieves(world: World):
    port, peer, event, block = waiting(world)
    peer.send(bytes(range(100)) + b"more")
    assert event.is_set()
    answer = retrieved(world, port, block, bytes(range(100)))
    assert world.RasReceiveBuffer(port, block, 0, event)[0] == 0
    retrieved(world, port, block, b"more")
    return freed(world, answer, block)


@row(36)
def retrieves_into_another_buffer(world: World):
    port, peer, _, block = waiting(world)
    other = world.got("RasGetBuffer", 6)
    peer.send(b"login:")
    return freed(world, retrieved(world, port, other, b"login:"), block, other)


@row(37)
def retrieves_a_nul_as_windows_2000_does(world: World):
    port, _, event, block = waiting(world, 100)
    world.machine.advance(1)
    assert event.is_set()
    return freed(world, retrieved(world, port, block, b"\0"), block)


@row(38)
def retrieves_into_no_buffer(world: World):
    port, peer, _, block = waiting(world)
    peer.send(b"1")
    for pointer in (None, block + 1, 0x1000):
        assert world.RasRetrieveBuffer(port, pointer)[0] == 610
    other = world.got("RasGetBuffer", 100)
    assert world.RasFreeBuffer(other)[0] == 0
    answer = world.RasRetrieveBuffer(port, other)
    retrieved(world, port, block, b"1")
    return freed(world, answer, block)


@row(39)
def retrieves_from_no_port(world: World):
    block = world.got("RasGetBuffer", 100)
    return freed(world, world.RasRetrieveBuffer(0x1234, block), block)


@row(40)
def port_dropped_before_data(world: World):
    return dropped(world, lambda port, peer: port.drop())


@row(41)
def remote_end_dropped(world: World):
    return dropped(world, lambda port, peer: peer.close())


@row(42)
def device_failed(world: World):
    return dropped(world, lambda port, peer: port.fail())


@row(43)
def user_hung_up(world: World):
    return dropped(world, lambda port, peer: port.hang_up())


def dropped(world: World, drop):
    port, peer, event, block = waiting(world)
    drop(port, peer)
    assert event.is_set()
    answer = world.RasRetrieveBuffer(port, block)
    assert answer[1] is None
    assert int(port.status) == answer[0]
    assert not peer.send(b"late")
    return freed(world, answer, block)


@row(44)
def time_is_over(world: World):
    port, _, event, block = waiting(world, 100)
    world.machine.advance(Fraction(99, 1000))
    assert not event.is_set()
    assert world.RasRetrieveBuffer(port, block)[0] == 600
    world.machine.advance(Fraction(1, 1000))
    assert event.is_set()
    return freed(world, world.RasRetrieveBuffer(port, block), block)


@row(45)
def retrieves_before_the_event(world: World):
    port, peer, _, block = waiting(world)
    answer = world.RasRetrieveBuffer(port, block)
    assert answer[1] is None
    peer.send(b"1")
    retrieved(world, port, block, b"1")
    return freed(world, answer, block)


@row(46)
def retrieves_into_too_little(world: World):
    port, peer, _, block = waiting(world)
    peer.send(b"login:")
    small = world.got("RasGetBuffer", 5)
    answer = world.RasRetrieveBuffer(port, small)
    assert answer[1] == 6
    retrieved(world, port, block, b"login:")
    return freed(world, answer, block, small)


@row(329)
def retrieves_into_enough_after_too_little(world: World):
    port, peer, _, block = waiting(world)
    peer.send(b"login:")
    small = world.got("RasGetBuffer", 5)
    assert world.RasRetrieveBuffer(port, small)[0] == 603
    return freed(world, retrieved(world, port, block, b"login:"), block, small)


@row(328)
def retrieves_twice(world: World):
    port, peer, _, block = waiting(world)
    peer.send(b"1")
    retrieved(world, port, block, b"1")
    return freed(world, world.RasRetrieveBuffer(port, block), block)


@row(330)
def frees_after_the_time_is_over(world: World):
    port, _, _, block = waiting(world, 1)
    assert world.RasFreeBuffer(block)[0] == 610
    world.machine.advance(1)
    assert world.RasRetrieveBuffer(port, block)[0] == 638
    return world.RasFreeBuffer(block)


@row(47)
def sets_the_line(world: World):
    port, _ = memory(world)
    answer = world.RasSetCommSettings(port, Settings(8, 2, 2, 7, 0), None)
    assert port.settings == (8, 2, 2, 7, 0)
    return answer


@row(48)
def sets_no_port(world: World):
    return world.RasSetCommSettings(None, Settings(8, 0, 0, 8, 0), None)


@row(49)
def sets_the_line_by_another_structure(world: World):
    port, _ = memory(world)
    return world.RasSetCommSettings(port, Settings(12, 0, 0, 8, 0), None)


@row(50)
def line_cannot_be_set_so(world: World):
    port, _ = memory(world)
    for settings in ((8, 5, 0, 8, 0), (8, 0, 3, 8, 0), (8, 0, 0, 4, 0), (8, 0, 0, 9, 0)):
        assert world.RasSetCommSettings(port, Settings(*settings), None)[0] == 605
    port.transport.set_comm_settings = lambda settings: False
    answer = world.RasSetCommSettings(port, Settings(8, 0, 0, 8, 0), None)
    assert port.settings is None
    return answer


@row(51)
def sets_the_line_with_something_reserved(world: World):
    port, _ = memory(world)
    return world.RasSetCommSettings(port, Settings(8, 0, 0, 8, 0), 1)


@cache
def library(abi: str) -> Path:
    """script.c, compiled in a convention."""
    made = Path(tempfile.mkdtemp(prefix="pybuf-script-")) / f"{abi}.so"
    done = subprocess.run([*shlex.split(sysconfig.get_config_var("CC") or "cc"), "-shared", "-fPIC", "-Wall", "-Wextra",
                           "-Werror", f"-I{pybuf.get_include()}", *(["-DPYBUF_MS_ABI"] if abi == "ms" else []),
                           str(Path(__file__).with_name("script.c")), "-o", str(made)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return made


def in_python(port, phonebook, entry, get, free, send, receive, retrieve, window, params, extensions):
    assert (phonebook, entry, window, params.szEntryName, extensions.dwSize) == ("b", "€", None, "€", 12)
    status = int(params.szUserName)
    _, buffer, size = get(10)
    assert (size, send(port, buffer, size), retrieve(port, buffer)[0]) == (10, 0, 610)
    assert (receive(port, buffer, 0, None)[0], free(buffer), free(buffer)) == (607, 0, 610)
    params.szUserName, params.szPassword, params.szDomain = "taken", "over", "HERE"
    return status


def script(world: World, status: int):
    """What a script answers, in each convention that it can have."""
    for abi in ("platform", "ms") if world.door.form == "library" and IS_X86_64 else ("platform",):
        port, peer = memory(world)
        result = pybuf.ras.run_script(
            library(abi) if world.door.form == "library" else in_python, port=port, phonebook="b", entry="€",
            user_name=str(status), abi=abi)
        assert result[1:] == ("taken", "over", "HERE", [])
        assert len(peer.received) == 10
    return (result.status,)


@row(52)
def script_is_done(world: World):
    return script(world, 0)


@row(53)
def script_answers_any_code(world: World):
    return script(world, 631)
