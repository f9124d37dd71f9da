"""Ports, what they are connected to, and sessions."""

import ctypes
import gc
import os
import socket
import subprocess
import sys
import threading
from fractions import Fraction

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

NEVER = 0xFFFFFFFF


@pytest.fixture(params=["real", "manual"])
def machine(request):
    made = pybuf.Machine(clock=request.param)
    with made:
        yield made
    assert made.check() is None
    made.close()


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def receive(port, size=1500):
    """What comes next, or the status."""
    event = pybuf.Event(port.machine)
    with ras.buffer(size) as buffer:
        assert RasReceiveBuffer(port, buffer, NEVER, event)[0] == 0
        assert event.wait(30)
        status, count = RasRetrieveBuffer(port, buffer)
        return bytes(buffer[:count]) if status == 0 else status


def send(port, data):
    with ras.buffer(len(data)) as buffer:
        buffer[:] = data
        return RasSendBuffer(port, buffer, len(data))


def test_tcp_carries_bytes_both_ways(machine, server):
    port = machine.ras.open_port(ras.Tcp(*server.getsockname()))
    peer, _ = server.accept()
    with peer:
        assert send(port, b"hello") == 0
        assert peer.recv(100) == b"hello"
        peer.sendall(b"login:")
        assert receive(port) == b"login:"
    assert receive(port) == pybuf.RasStatus.ERROR_REMOTE_DISCONNECTION
    assert send(port, b"late") == pybuf.RasStatus.ERROR_PORT_DISCONNECTED


def test_tcp_brings_every_byte_of_a_flood(machine, server):
    port = machine.ras.open_port(ras.Tcp(*server.getsockname()))
    peer, _ = server.accept()
    data = os.urandom(3 << 20)
    sender = threading.Thread(target=lambda: (peer.sendall(data), peer.close()))
    sender.start()
    found = bytearray()
    while (part := receive(port)) != 629:
        assert port.queued < 2 << 20
        found += part
    sender.join()
    assert found == data


def test_hanging_up_ends_the_servers_connection(machine, server):
    port = machine.ras.open_port(ras.Tcp(*server.getsockname()))
    peer, _ = server.accept()
    with peer:
        port.hang_up()
        assert peer.recv(10) == b""
    assert receive(port) == pybuf.RasStatus.ERROR_USER_DISCONNECTION


def test_pseudo_terminal_carries_bytes_both_ways(machine):
    port = machine.ras.open_port(ras.Pty())
    other = os.open(port.transport.name, os.O_RDWR | os.O_NOCTTY)
    os.write(other, b"login:")
    assert receive(port) == b"login:"
    assert send(port, b"user\r") == 0
    assert os.read(other, 100) == b"user\r"
    os.close(other)


def test_time_is_over_on_a_real_clock():
    machine = pybuf.Machine()
    with machine:
        port = machine.ras.open_port()
        event, (_, buffer, _) = pybuf.Event(machine), RasGetBuffer(10)
        assert RasReceiveBuffer(port, buffer, 20, event)[0] == 0
        assert event.wait(30)
        assert RasRetrieveBuffer(port, buffer) == (pybuf.RasStatus.ERROR_REQUEST_TIMEOUT, None)
    machine.close()


def test_deadline_of_a_retrieved_receive_is_gone():
    machine = pybuf.Machine(clock="manual")
    with machine:
        port = machine.ras.open_port()
        event, (_, buffer, _) = pybuf.Event(machine), RasGetBuffer(10)
        RasReceiveBuffer(port, buffer, 100, event)
        port.transport.peer.send(b"1")
        assert RasRetrieveBuffer(port, buffer)[0] == 0
        RasReceiveBuffer(port, buffer, NEVER, event)
        event.reset()
        machine.advance(Fraction(1))
        assert not event.is_set()
        assert RasRetrieveBuffer(port, buffer)[0] == 600
        assert machine.check() is None
    machine.close()


def test_transport_that_raises_ends_the_connection(machine):
    class Broken(ras.Transport):
        def send(self, data):
            raise error

    for error, why in ((BrokenPipeError(), 629), (KeyError("x"), 630)):
        port = machine.ras.open_port(Broken())
        if isinstance(error, OSError):
            assert send(port, b"1") == 619
        else:
            with pytest.raises(KeyError):
                send(port, b"1")
        assert port.status == why


def test_lost_port_is_closed(machine):
    handle = machine.ras.open_port().handle
    gc.collect()
    with ras.buffer(1) as buffer:
        assert RasSendBuffer(handle, buffer, 1) == 601


def test_closing_a_port_sets_the_event_of_its_receive(machine):
    port = machine.ras.open_port()
    event, (_, buffer, _) = pybuf.Event(machine), RasGetBuffer(10)
    RasReceiveBuffer(port, buffer, NEVER, event)
    port.close()
    port.close()
    assert event.is_set()
    assert RasRetrieveBuffer(port, buffer)[0] == 601
    assert RasFreeBuffer(buffer) == 0
    assert (port.status, port.queued, port.deliver(b"1"), port.drop()) == (601, 0, False, False)


def test_another_machines_port_is_none(machine):
    other = pybuf.Machine(clock="manual")
    port = other.ras.open_port()
    with ras.buffer(1) as buffer:
        assert RasSendBuffer(port, buffer, 1) == 601
        assert RasSendBuffer(port.handle, buffer, 1) == 601
    with pytest.raises(ValueError, match="no open port"):
        machine.ras.open_session(port)
    other.close()
    assert port.is_closed


def test_session_owns_what_it_got_until_it_ends(machine):
    port = machine.ras.open_port()
    own = RasGetBuffer(10)[1]
    with machine.ras.open_session(port) as session:
        _, buffer, _ = session.RasGetBuffer(100)
        assert [block.size for block in session.live()] == [100]
        view = memoryview(buffer)
    assert session.is_ended
    assert [block.size for block in machine.live()] == [10]
    assert session.RasFreeBuffer(buffer) == 601
    assert RasFreeBuffer(buffer) == 610
    view.release()
    assert RasFreeBuffer(own) == 0


def test_ended_session_gives_its_receive_up(machine):
    port = machine.ras.open_port()
    session = machine.ras.open_session(port)
    event = pybuf.Event(machine)
    _, buffer, _ = session.RasGetBuffer(100)
    assert session.RasReceiveBuffer(port, buffer, NEVER, event)[0] == 0
    session.end()
    assert event.is_set()
    with ras.buffer(10) as other:
        assert RasReceiveBuffer(port, other, 0, event)[0] == 0
        assert RasRetrieveBuffer(port, other)[0] == 638


def test_sixty_five_sessions_are_too_many(machine):
    port = machine.ras.open_port()
    sessions = [machine.ras.open_session(port) for _ in range(64)]
    assert sorted(session.number for session in sessions) == list(range(1, 65))
    with pytest.raises(pybuf.RasError, match="64 sessions"):
        machine.ras.open_session(port)
    sessions[7].end()
    assert machine.ras.open_session(port).number == sessions[7].number


def test_closed_machine_ends_sessions_and_ports():
    machine = pybuf.Machine()
    port = machine.ras.open_port()
    session = machine.ras.open_session(port)
    pointers = session.pointers
    machine.close()
    assert port.is_closed
    assert session.is_ended
    assert pointers.RasFreeBuffer(0x1000) == 601
    with pytest.raises(ValueError, match="closed"):
        machine.ras.open_port()


def in_child(work):
    """Whether a child of a fork got through."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_ports_are_not_connected_in_the_child_of_a_fork(server):
    machine = pybuf.Machine()
    port = machine.ras.open_port(ras.Tcp(*server.getsockname()))
    peer, _ = server.accept()

    def child():
        with machine:
            event, (_, buffer, _) = pybuf.Event(machine), RasGetBuffer(10)
            is_down = port.status == send(port, b"1") == receive(port) == 619
            # What polls is made anew for the child.
            again = machine.ras.open_port()
            is_over = RasReceiveBuffer(again, buffer, 10, event)[0] == 0 and event.wait(30)
            return is_down and is_over and RasRetrieveBuffer(again, buffer)[0] == 638 and machine.check() is None

    assert in_child(child)
    assert port.status == 0
    peer.close()
    machine.close()


def test_child_that_closes_a_port_leaves_its_parent_connected(server):
    machine = pybuf.Machine()
    port = machine.ras.open_port(ras.Tcp(*server.getsockname()))
    peer, _ = server.accept()
    with peer, machine:
        assert in_child(lambda: port.close() is machine.close())
        assert send(port, b"still here") == 0
        assert peer.recv(100) == b"still here"
        peer.sendall(b"yes")
        assert receive(port) == b"yes"
    machine.close()


@pytest.mark.parametrize("keep", ["", "import sys; sys.keep = machine, port, session, event, buffer"])
def test_interpreter_ends_with_a_port_that_is_polled_and_an_open_session(server, keep):
    program = f"""
import pybuf
from pybuf import ras
machine = pybuf.Machine()
port = machine.ras.open_port(ras.Tcp("127.0.0.1", {server.getsockname()[1]}))
session = machine.ras.open_session(port)
event = pybuf.Event(machine)
buffer = session.RasGetBuffer(10)[1]
assert session.RasReceiveBuffer(port, buffer, 1_000_000, event)[0] == 0
{keep}
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_thread_that_polls_ends_with_the_machine(machine):
    def polling():
        return [thread for thread in threading.enumerate() if thread.name == "pybuf ras"]

    before = len(polling())
    other = pybuf.Machine()
    ports = [other.ras.open_port(ras.Pty()) for _ in range(3)]
    assert len(polling()) == before + 1
    other.close()
    assert len(polling()) == before
    assert all(port.is_closed for port in ports)


def test_a_machine_that_the_collector_finds_does_not_wait_for_the_thread_that_polls():
    """That thread may need, to end, what the one in which the collector runs has: here the table of threads."""
    program = """
import gc, threading, weakref
import pybuf

machine = pybuf.Machine()
machine.itself, machine.port = machine, machine.ras.open_port()
polling = [thread for thread in threading.enumerate() if thread.name == "pybuf ras"]
known = weakref.ref(machine)
del machine
while known() is not None:      # the thread may just look at it
    with threading._active_limbo_lock:
        gc.collect()
polling[0].join()
"""
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("end", ["machine.close()", "del port; machine = None", "pass"])
def test_the_thread_that_polls_is_not_waited_for_while_it_sends_to_a_peer_that_does_not_read(end):
    program = f"""
import socket, threading
import pybuf
from pybuf import ras

class Echo(ras.Tcp):
    def on_readable(self):
        self._socket.recv(65536)
        inside.set()
        try:
            self.send(b"x" * (1 << 26))
        except OSError:
            self.drop()

inside = threading.Event()
machine = pybuf.Machine()
with socket.create_server(("127.0.0.1", 0)) as listening:
    transport = Echo(*listening.getsockname())
    peer, _ = listening.accept()
port = machine.ras.open_port(transport)
peer.send(b"hello")
inside.wait()
{end}
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_signal_handler_opens_a_port_while_the_thread_that_polls_is_being_started(monkeypatch):
    """What the handler does is done here by what it interrupts."""
    class Interrupted(ras.Service):
        def __init__(self, machine):
            monkeypatch.undo()
            opened.append(machine.ras.open_port())
            super().__init__(machine)

    opened = []
    machine = pybuf.Machine()
    before = threading.active_count()
    monkeypatch.setattr(ras, "Service", Interrupted)
    opened.append(machine.ras.open_port())
    assert [port.deliver(b"x") for port in opened] == [True, True]
    machine.close()
    assert threading.active_count() == before


def test_closing_a_machine_closes_its_transports_once():
    class Kept(ras.Transport):
        closed = 0

        def close(self):
            self.closed += 1
            machine.close()
            self.port.close()
            raise KeyError("told to sys.unraisablehook")

    machine = pybuf.Machine(clock="manual")
    ports = [machine.ras.open_port(Kept()) for _ in range(2)]
    told = []
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: told.append(unraisable.exc_type)
    try:
        machine.close()
    finally:
        sys.unraisablehook = before
    assert [port.transport.closed for port in ports] == [1, 1]
    assert told == [KeyError] * 2
    lines = pybuf.Machine(clock="manual")
    line = lines.ras.open_port(ras.Pty())
    descriptor = line.transport.fileno()
    lines.close()
    assert line.transport.fileno() is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_threads_that_close_the_same_port_and_machine(machine):
    for _ in range(50):
        other = pybuf.Machine(clock="manual")
        port = other.ras.open_port()
        together = threading.Barrier(4)
        raised = []

        def work(close, together=together, raised=raised):
            together.wait()
            try:
                close()
            except BaseException as error:
                raised.append(error)

        threads = [threading.Thread(target=work, args=(each,)) for each in (port.close, other.close) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert raised == []
        assert port.is_closed
        assert other.is_closed


def test_machine_is_closed_while_what_is_due_on_a_real_clock_happens():
    entered, closing = threading.Event(), threading.Event()

    class Events:
        def is_valid(self, handle):
            return True

        def signal(self, handle):
            entered.set()
            closing.wait(30)

    machine = pybuf.Machine(events=Events())
    with machine:
        port = machine.ras.open_port()
        assert RasReceiveBuffer(port, RasGetBuffer(1)[1], 1, 1)[0] == 0
    assert entered.wait(30)
    timer = threading.Timer(0.05, closing.set)
    timer.start()
    machine.close()
    timer.join()
    assert machine.is_closed


def test_transport_that_raises_when_it_is_polled_fails_alone(machine, server, monkeypatch):
    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: told.append(unraisable.exc_type))

    class Broken(ras.Transport):
        def __init__(self, descriptor):
            super().__init__()
            self.descriptor = descriptor

        def fileno(self):
            if self.descriptor is None and self.port is not None:
                raise ValueError("no descriptor")
            return 1 << 20 if self.descriptor is None else self.descriptor

        def on_readable(self):
            raise KeyError("not read")

    out, into = os.pipe()
    os.write(into, b"x")
    good = machine.ras.open_port(ras.Tcp(*server.getsockname()))
    peer, _ = server.accept()
    read = machine.ras.open_port(Broken(out))
    assert receive(read) == pybuf.RasStatus.ERROR_HARDWARE_FAILURE
    with pytest.raises(ValueError, match="no descriptor"):
        machine.ras.open_port(Broken(None))
    with peer:
        peer.sendall(b"still polled")
        assert receive(good) == b"still polled"
    assert told == [KeyError]
    os.close(out)
    os.close(into)


def test_hanging_up_ends_what_waits_for_room_on_a_line(machine):
    port = machine.ras.open_port(ras.Pty())
    answered = []

    def work():
        with machine:
            while not (status := send(port, b"x" * 1500)):
                pass
            answered.append(status)

    thread = threading.Thread(target=work)
    thread.start()
    port.hang_up()
    thread.join()
    assert answered == [pybuf.RasStatus.ERROR_PORT_DISCONNECTED]
    assert receive(port) == pybuf.RasStatus.ERROR_USER_DISCONNECTION


def test_what_a_session_held_serves_others_after_its_end():
    machine = pybuf.Machine(clock="manual", ras_buffers=3, ras_bytes=3000)
    with machine:
        session = machine.ras.open_session(machine.ras.open_port())
        assert [session.RasGetBuffer(1500)[0] for _ in range(3)] == [0, 0, 614]
        assert RasGetBuffer(1)[0] == 614
        session.end()
        assert [RasGetBuffer(10)[0] for _ in range(4)] == [0, 0, 0, 614]
        assert machine.check() is None
    machine.close()


def test_callers_events_are_set():
    class Events:
        seen = ()

        def is_valid(self, handle):
            return handle == 77

        def signal(self, handle):
            self.seen += (handle,)

    events = Events()
    machine = pybuf.Machine(clock="manual", events=events)
    with machine:
        port = machine.ras.open_port()
        _, buffer, _ = RasGetBuffer(10)
        assert RasReceiveBuffer(port, buffer, NEVER, 77)[0] == 0
        port.transport.peer.send(b"1")
        assert events.seen == (77,)
        assert RasReceiveBuffer(port, buffer, NEVER, 78)[0] == 607
    machine.close()


def test_memory_peer_may_answer_at_once():
    machine = pybuf.Machine(clock="manual")
    with machine:
        port = machine.ras.open_port(ras.Memory(lambda peer, data: peer.send(data.upper())))
        assert send(port, b"echo") == 0
        assert receive(port) == b"ECHO"
    machine.close()


@pytest.mark.parametrize("port", ["", 1.5, object()])
def test_port_of_another_type(machine, port):
    for call in (lambda: RasSendBuffer(port, None, 1), lambda: RasRetrieveBuffer(port, None),
                 lambda: RasReceiveBuffer(port, None, 0, None), lambda: RasSetCommSettings(port, None)):
        with pytest.raises(TypeError):
            call()


def test_settings_of_another_type(machine):
    port = machine.ras.open_port()
    assert RasSetCommSettings(port, None) == 87
    with pytest.raises(TypeError, match="has no dwSize"):
        RasSetCommSettings(port, object())
    assert RasSetCommSettings(port, pybuf.RasCommSettings(bParity=2)) == 0
    assert port.settings.bParity == 2


def test_any_memory_that_cannot_be_read_is_no_buffer():
    machine = pybuf.Machine(clock="manual", quirks={"ras_send": "any"})
    with machine:
        port = machine.ras.open_port()
        assert RasSendBuffer(port, 0x1000, 5000) == 610
        assert RasSendBuffer(port, None, 1) == 610
        assert RasSendBuffer(port, b"hello", 5) == 0
        assert RasSendBuffer(port, b"hello", 6) == 610
        assert RasSendBuffer(port, 0x1000, -1) == 610
        assert pybuf.windll.pointers.RasSendBuffer(port.handle, 0x1000, 1) == 610
        text = ctypes.create_string_buffer(b" and more" * 1000)
        assert pybuf.windll.pointers.RasSendBuffer(port.handle, ctypes.addressof(text), 9000) == 0
        assert port.transport.peer.received == b"hello" + b" and more" * 1000
    machine.close()


def test_many_threads_send_receive_and_free(machine):
    failures = []
    finished = []

    def work():
        with machine:
            port = machine.ras.open_port(ras.Memory(lambda peer, data: peer.send(data)))
            session = machine.ras.open_session(port)
            event = pybuf.Event(machine)
            for i in range(300):
                _, buffer, _ = session.RasGetBuffer(4)
                data = i.to_bytes(4, "little")
                buffer[:] = data
                ok = session.RasSendBuffer(port, buffer, 4) == 0
                ok &= session.RasReceiveBuffer(port, buffer, NEVER, event)[0] == 0
                ok &= event.wait(30)
                ok &= session.RasRetrieveBuffer(port, buffer) == (0, 4) and bytes(buffer) == data
                ok &= i % 7 == 0 or session.RasFreeBuffer(buffer) == 0
                if not ok:
                    failures.append(i)
        finished.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(finished) == 4
    gc.collect()
    assert machine.live() == []
