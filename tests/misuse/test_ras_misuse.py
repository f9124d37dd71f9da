"""RAS given what it does not expect: a status where one is documented, an exception where not, and nothing lost."""

import random
import sys
import threading
import time

import pytest

import pybuf
from pybuf import (
    RasFreeBuffer,
    RasGetBuffer,
    RasReceiveBuffer,
    RasRetrieveBuffer,
    RasSendBuffer,
    RasSetCommSettings,
    ras,
)


@pytest.fixture
def machine():
    made = pybuf.Machine(clock="manual", ras_buffers=8)
    with made:
        yield made
    assert made.check() is None
    made.close()


@pytest.mark.parametrize("size", [None, "1500", 1.5, b"", object()])
def test_size_of_another_type(machine, size):
    with pytest.raises(TypeError, match="size"):
        RasGetBuffer(size)


def test_sizes_count_modulo_two_to_the_32nd(machine):
    assert RasGetBuffer(2**32 + 5)[2] == 5
    assert RasGetBuffer(-(2**32))[2] == 0
    assert RasGetBuffer(-1)[2] == 1500
    assert RasGetBuffer(True)[2] == 1
    for size in (2**33, -(2**32) - 1):
        with pytest.raises(OverflowError):
            RasGetBuffer(size)


@pytest.mark.parametrize("buffer", ["", 1.5, b"abc", object()])
def test_buffer_of_another_type(machine, buffer):
    with pytest.raises(TypeError):
        RasFreeBuffer(buffer)


@pytest.mark.parametrize("buffer", [None, 0, -1, 1, 8, 2**63, 2**64, -(2**64)])
def test_any_integer_as_a_buffer(machine, buffer):
    assert RasFreeBuffer(buffer) == 610
    with pytest.raises(OverflowError):
        RasFreeBuffer(2**65)


def test_views_keep_a_buffer(machine):
    _, buffer, _ = RasGetBuffer(10)
    with memoryview(buffer):
        for given in (buffer, buffer.address):
            with pytest.raises(BufferError, match="RasFreeBuffer"):
                RasFreeBuffer(given)
        assert len(machine.live()) == 1
    assert RasFreeBuffer(buffer) == 0


def test_another_machines_buffer(machine):
    other = pybuf.Machine()
    with other:
        _, buffer, _ = RasGetBuffer(10)
    assert RasFreeBuffer(buffer) == RasFreeBuffer(buffer.address) == 610
    assert len(other.live()) == 1
    other.close()
    assert RasFreeBuffer(buffer) == 610


def test_closed_machine():
    machine = pybuf.Machine()
    with machine:
        _, buffer, _ = RasGetBuffer(10)
        machine.close()
        with pytest.raises(ValueError, match="closed"):
            RasGetBuffer(10)
        with pytest.raises(ValueError, match="closed"):
            RasFreeBuffer(buffer)


def test_lost_buffer_is_listed_and_can_be_freed(machine):
    RasGetBuffer(77)
    RasGetBuffer(0)
    lost = [block for block in machine.live() if block.size == 77]
    assert lost[0].routine == "RasGetBuffer"
    assert RasFreeBuffer(lost[0]) == 0


def test_what_a_caller_keeps_of_an_answer_stays_as_it_is(machine):
    first = RasGetBuffer(10)
    second = RasGetBuffer(20)
    assert (len(first[1]), first[2], len(second[1]), second[2]) == (10, 10, 20, 20)


def test_with_statement_frees(machine):
    with ras.buffer(1500) as buffer:
        assert len(buffer) == 1500
        assert len(machine.live()) == 1
    assert machine.live() == []


def test_with_statement_frees_under_views_and_after_a_free(machine):
    with ras.buffer(10) as buffer:
        view = memoryview(buffer)
    assert RasFreeBuffer(buffer) == 610
    view.release()
    assert machine.live() == []
    with ras.buffer(10) as buffer:
        RasFreeBuffer(buffer)
        RasGetBuffer(10)
    assert len(machine.live()) == 1


def test_with_statement_raises_what_failed(machine):
    machine.refuse("ras")
    with pytest.raises(pybuf.RasError, match="ERROR_OUT_OF_BUFFERS") as caught, ras.buffer(10):
        pass
    assert (caught.value.status, caught.value.routine) == (614, "RasGetBuffer")


def test_numbered_machine_numbers_its_buffers():
    machine = pybuf.Machine(numbered=True)
    with machine:
        for size in (10, 20):
            RasGetBuffer(size)
        assert {block.size: block.sequence for block in machine.live()} == {10: 1, 20: 2}
    machine.close()


@pytest.mark.parametrize("seed", range(5))
def test_any_integers_as_handles_addresses_sizes_and_events(machine, seed):
    port = machine.ras.open_port()
    session = machine.ras.open_session(port)
    _, buffer, _ = RasGetBuffer(10)
    rng = random.Random(seed)
    known = [port.handle, buffer.address, buffer.address + 1, buffer.address - 16, 0, -1, 2**32, 2**64 - 1]

    def number():
        return rng.choice(known) + rng.choice([0, 0, 1, 4, 1 << 20]) if rng.random() < 0.5 else rng.getrandbits(64)

    for _ in range(2000):
        given = [number() & 2**64 - 1 for _ in range(3)]
        # The one that is good is not to be freed here, nor the one event there could be.
        for free in (RasFreeBuffer, session.RasFreeBuffer):
            if given[0] != buffer.address:
                assert free(given[0]) == 610
        where = rng.choice([pybuf, session])
        assert where.RasSendBuffer(given[0], given[1], given[2] & 2**32 - 1) in (0, 601, 610)
        assert where.RasReceiveBuffer(given[0], given[1], given[2] & 2**32 - 1, given[2])[0] in (601, 607, 610)
        assert where.RasRetrieveBuffer(given[0], given[1])[0] in (601, 610)
        assert where.RasSetCommSettings(given[0], pybuf.RasCommSettings(), given[1]) in (0, 87, 601)
    assert [block.address for block in machine.live()] == [buffer.address]


def test_another_machines_event_session_and_buffer(machine):
    other = pybuf.Machine(clock="manual")
    port = machine.ras.open_port()
    session = other.ras.open_session(other.ras.open_port())
    _, foreign, _ = session.RasGetBuffer(10)
    with ras.buffer(10) as buffer:
        assert RasReceiveBuffer(port, buffer, 0, pybuf.Event(other))[0] == 607
        assert RasSendBuffer(port, foreign, 1) == 610
        assert session.RasSendBuffer(port, foreign, 1) == 601
        assert session.RasFreeBuffer(buffer) == 610
    other.close()


def test_callback_that_sends_again_without_end(machine):
    def again(peer, data):
        RasSendBuffer(port, buffer, 1)

    port = machine.ras.open_port(ras.Memory(again))
    _, buffer, _ = RasGetBuffer(1)
    with pytest.raises(RecursionError):
        RasSendBuffer(port, buffer, 1)
    assert port.status == pybuf.RasStatus.ERROR_HARDWARE_FAILURE


def test_callback_that_ends_what_it_is_called_by(machine):
    def end(peer, data):
        session.end()
        port.close()

    port = machine.ras.open_port(ras.Memory(end))
    session = machine.ras.open_session(port)
    _, buffer, _ = session.RasGetBuffer(1)
    assert session.RasSendBuffer(port, buffer, 1) == 0
    assert session.RasSendBuffer(port, buffer, 1) == 601
    assert RasSendBuffer(port, buffer, 1) == 601
    assert machine.live() == []


def test_guest_that_ends_the_session_while_it_gets_a_buffer():
    def on_map(address, size):
        session.end()

    machine = pybuf.Machine(clock="manual", memory=pybuf.Guest(
        pybuf.AddressSpace(0x2000_0000, 1 << 26, on_map=on_map), on_write=lambda address, data: None))
    session = machine.ras.open_session(machine.ras.open_port())
    assert session.RasGetBuffer(10) == (pybuf.RasStatus.ERROR_OUT_OF_BUFFERS, None, 10)
    assert machine.live() == []
    assert machine.check() is None
    machine.close()


def test_numbers_that_end_no_connection(machine):
    port = machine.ras.open_port()
    for status in (0, 600, 2**32):
        with pytest.raises(ValueError, match="failure"):
            port.drop(status)
    assert port.status == 0
    for wrong in (None, "x"):
        with pytest.raises(TypeError, match="transport"):
            machine.ras.open_port(wrong or 5)
    with pytest.raises(ValueError, match="already"):
        machine.ras.open_port(port.transport)
    with pytest.raises(RuntimeError, match="once"):
        port.__init__(machine, port.transport)
    for session in (None, port.handle):
        with pytest.raises(TypeError, match="port"):
            machine.ras.open_session(session)
    port.close()
    assert RasSetCommSettings(port, None) == RasRetrieveBuffer(port, None)[0] == 601


def test_ports_are_opened_while_the_others_are_looked_at(monkeypatch):
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda hook: raised.append(hook.exc_value))
    machine = pybuf.Machine()                       # a real clock: a thread looks at all ports whenever one is opened
    ports = [machine.ras.open_port() for _ in range(3000)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(1000):
            ports.append(machine.ras.open_port())
            time.sleep(0.0002)
    finally:
        sys.setswitchinterval(before)
    assert raised == []
    machine.close()


@pytest.mark.parametrize("given", [5, "8n1", b"", object(), {"dwSize": 8}], ids=lambda given: type(given).__name__)
def test_settings_of_a_wrong_type_are_a_type_error(machine, given):
    port = machine.ras.open_port()
    with pytest.raises(TypeError, match=f"not {type(given).__name__}.*which has no dwSize"):
        RasSetCommSettings(port, given)
    assert port.settings is None
    port.close()
