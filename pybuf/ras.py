"""RAS for people: ports and sessions of a machine, what a port is connected to, and buffers that a with statement
frees. The routines themselves are `pybuf.RasGetBuffer` and so on.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
import weakref
from typing import TYPE_CHECKING

from pybuf._machine import current_machine
from pybuf._ras import (
    Port,
    RasCommSettings,
    RasGetBuffer,
    Session,
    after_fork,
    buffer_release,
    has_manual_clock,
    run_due,
    service_of,
    service_set,
)
from pybuf.errors import RasError
from pybuf.status import RasStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from poolcore import Buffer
    from pybuf._machine import MachineBase

__all__ = [
    "Memory", "Peer", "Port", "Pty", "Ras", "RasCommSettings", "RasError", "Session", "Tcp", "Transport", "buffer",
]


class Transport:
    """What a port is connected to. A class of its own overrides `send`, and calls `deliver` and `drop`.

    Attributes
    ----------
    port : Port or None
        The port, once there is one.
    """

    def __init__(self) -> None:
        self._port: weakref.ref[Port] | None = None

    @property
    def port(self) -> Port | None:
        """The port that it serves."""
        return None if self._port is None else self._port()

    def send(self, data: bytes) -> None:
        """Takes bytes to the other side. An OSError ends the connection."""
        raise NotImplementedError(f"{type(self).__name__} has no send(data)")

    def set_comm_settings(self, settings: RasCommSettings) -> bool:
        """Whether it can be set so."""
        return True

    def fileno(self) -> int | None:
        """What is polled for bytes from the other side; None: nothing is."""
        return None

    def on_readable(self) -> None:
        """`fileno` is readable."""

    def hang_up(self) -> None:
        """Ends the connection from here."""

    def close(self) -> None:
        """The port is closed."""

    def deliver(self, data: bytes) -> bool:
        """Bytes from the other side; False: the port is not connected any more."""
        port = self.port
        return port is not None and port.deliver(data)

    def drop(self, status: int = RasStatus.ERROR_PORT_DISCONNECTED) -> bool:
        """The connection ended; False: it had before."""
        port = self.port
        return port is not None and port.drop(status)


class Peer:
    """The other end of a `Memory` transport: nothing but calls, so that what happens is always the same."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.received = b""
        """What the port has sent, and nobody took away by assigning."""

    def send(self, data: bytes) -> bool:
        """Bytes for the port. They are there, and an event set, before this returns."""
        return self._memory.deliver(data)

    def close(self) -> bool:
        """Ends the connection: the port says ERROR_REMOTE_DISCONNECTION."""
        return self._memory.drop(RasStatus.ERROR_REMOTE_DISCONNECTION)


class Memory(Transport):
    """A connection to a `Peer` in this process.

    Parameters
    ----------
    on_data : callable, optional
        ``on_data(peer, data)`` is called with what the port sends, which is then not kept in `Peer.received`.
    """

    def __init__(self, on_data: Callable[[Peer, bytes], object] | None = None) -> None:
        super().__init__()
        self.on_data = on_data
        self.peer = Peer(self)

    def send(self, data: bytes) -> None:
        """Takes bytes to the peer."""
        if self.on_data is None:
            self.peer.received += data
        else:
            self.on_data(self.peer, data)


class Tcp(Transport):
    """A connection to a server.

    Parameters
    ----------
    host : str
    port : int
    timeout : float, optional
        Seconds that connecting may take.

    Raises
    ------
    OSError
        There is no such server.
    """

    def __init__(self, host: str, port: int, timeout: float | None = None) -> None:
        super().__init__()
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.settimeout(None)

    def send(self, data: bytes) -> None:
        """Takes bytes to the server."""
        self._socket.sendall(data)

    def fileno(self) -> int | None:
        """The socket."""
        number = self._socket.fileno()
        return None if number < 0 else number

    def on_readable(self) -> None:
        """Reads what is there."""
        try:
            data = self._socket.recv(65536)
        except OSError:
            data = b""
        if data:
            self.deliver(data)
        else:
            self.drop(RasStatus.ERROR_REMOTE_DISCONNECTION)

    def hang_up(self) -> None:
        """Shuts the connection."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The server was faster.
            return

    def close(self) -> None:
        """Closes the socket."""
        self.hang_up()
        self._socket.close()


class Pty(Transport):
    """A pseudo-terminal: another program opens `name`, as it would a serial line."""

    def __init__(self) -> None:
        super().__init__()
        import pty
        import tty

        self._own, self._other = pty.openpty()
        tty.setraw(self._other)
        self.name: str = os.ttyname(self._other)
        """The path of its other end."""

    def send(self, data: bytes) -> None:
        """Takes bytes to the other end."""
        while data:
            data = data[os.write(self._own, data):]

    def fileno(self) -> int | None:
        """Its own end."""
        return None if self._own < 0 else self._own

    def on_readable(self) -> None:
        """Reads what is there."""
        try:
            data = os.read(self._own, 65536)
        except OSError:
            data = b""
        if data:
            self.deliver(data)
        else:
            self.drop(RasStatus.ERROR_REMOTE_DISCONNECTION)

    def close(self) -> None:
        """Closes both ends."""
        if self._own >= 0:
            os.close(self._own)
            os.close(self._other)
            self._own = self._other = -1


class Service:
    """Polls the sockets of a machine's ports, and fires what is due on a real clock, in one thread."""

    def __init__(self, machine: MachineBase) -> None:
        self.machine = weakref.ref(machine)
        self.ports: weakref.WeakSet[Port] = weakref.WeakSet()
        self.is_stopping = False
        self.woken, self.waker = socket.socketpair()
        self.woken.setblocking(False)
        self.waker.setblocking(False)
        self.thread = threading.Thread(target=self.run, name="pybuf ras", daemon=True)
        service_set(machine, self, self.waker.fileno())
        self.thread.start()

    def wake(self) -> None:
        """Makes the thread look again."""
        try:
            self.waker.send(b"x")
        except OSError:
            # It is full: the thread will look.
            return

    def stop(self) -> None:
        """Ends the thread."""
        self.is_stopping = True
        self.wake()
        if threading.current_thread() is not self.thread:
            self.thread.join()

    def run(self) -> None:
        """What the thread does. It holds on to neither the machine nor a port while it waits."""
        selector = selectors.PollSelector if hasattr(selectors, "PollSelector") else selectors.SelectSelector
        while not self.is_stopping:
            with selector() as polled:
                polled.register(self.woken, selectors.EVENT_READ)
                timeout = self.prepare(polled)
                found = [key for key, _ in polled.select(timeout)]
            for key in found:
                port = key.data and key.data()
                if port is not None and not self.is_stopping:
                    port.transport.on_readable()
                elif key.data is None:
                    self.woken.recv(4096)
                del port
        self.woken.close()
        self.waker.close()

    def prepare(self, polled: selectors.BaseSelector) -> float | None:
        """Fires what is due; how long there is nothing else to do but to wait for a descriptor."""
        machine = self.machine()
        if machine is None or machine.is_closed:
            self.is_stopping = True
            return 0.0
        timeout = run_due(machine)
        for port in list(self.ports):
            descriptor = port.transport.fileno()
            if descriptor is not None and not port.is_full and not port.status:
                polled.register(descriptor, selectors.EVENT_READ, weakref.ref(port))
        if sys.platform == "win32":
            # Nobody can wake it there.
            return 0.05 if timeout is None else min(timeout, 0.05)
        return timeout


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)


class Ras:
    """RAS of a machine: `machine.ras`."""

    def __init__(self, machine: MachineBase) -> None:
        self._machine = machine

    def open_port(self, transport: Transport | None = None) -> Port:
        """Opens a port.

        Parameters
        ----------
        transport : Transport, optional
            What it is connected to: `Tcp`, `Pty`, or the default, a `Memory`.

        Returns
        -------
        Port
            Losing it closes it.

        Raises
        ------
        ValueError
            The machine is closed, or the transport has a port.
        """
        machine = self._machine
        if transport is None:
            transport = Memory()
        if not isinstance(transport, Transport):
            raise TypeError(f"transport is a Transport or None, not {type(transport).__name__} ({transport!r})")
        if transport.port is not None:
            raise ValueError(f"{transport!r} is the transport of {transport.port!r} already")
        port = Port(machine, transport)
        transport._port = weakref.ref(port)
        # Time and descriptors need somebody to look at them; a manual clock and calls do not.
        if transport.fileno() is not None or not has_manual_clock(machine):
            service = service_of(machine) or Service(machine)
            service.ports.add(port)
            service.wake()
        return port

    def open_session(self, port: Port) -> Session:
        """Opens a session: function pointers of its own, as RAS hands them to a custom script.

        Parameters
        ----------
        port : Port
            The port that the script is about.

        Returns
        -------
        Session
            Losing it ends it.

        Raises
        ------
        RasError
            64 are open in this process.
        ValueError
            The port is closed, or another machine's.
        """
        return Session(self._machine, port)


class buffer:  # noqa: N801
    """A buffer of RasGetBuffer, from the entry of a with statement to its end: ``with ras.buffer(1500) as b: ...``.

    Parameters
    ----------
    size : int
        Bytes; the buffer has at most 1500.

    Raises
    ------
    RasError
        On entering: RasGetBuffer failed. On leaving: RasFreeBuffer did.

    Notes
    -----
    It is of the machine that is current on entering. Where views of it are alive at the end its memory serves again
    after the last one; where RasFreeBuffer freed it already, nothing happens at the end.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entered: list[tuple[MachineBase, Buffer]] = []

    def __enter__(self) -> Buffer:
        machine = current_machine()
        status, made, _ = RasGetBuffer(self.size)
        if made is None:
            raise RasError("RasGetBuffer", status, "Free buffers, or raise the machine's ras_buffers or ras_bytes.")
        self._entered.append((machine, made))
        return made

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
                 ) -> None:
        machine, made = self._entered.pop()
        if made.is_live and not machine.is_closed:
            status = buffer_release(machine, made)
            if status:
                raise RasError("RasFreeBuffer", status)
