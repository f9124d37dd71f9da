"""RAS for people: ports and sessions of a machine, what a port is connected to, and buffers that a with statement
frees. The routines themselves are `pybuf.RasGetBuffer` and so on.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import operator
import os
import platform
import select
import selectors
import socket
import sys
import threading
import time
import weakref
from _thread import start_new_thread
from contextvars import copy_context
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pybuf._machine import current_machine
from pybuf._ras import (
    Port,
    RasCommSettings,
    RasGetBuffer,
    Session,
    after_fork,
    api_address,
    buffer_release,
    has_manual_clock,
    run_due,
    script_call,
    service_of,
    service_set,
    transport_raised,
)
from pybuf.errors import RasError
from pybuf.status import RasStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from poolcore import Buffer
    from pybuf._machine import Block, MachineBase

__all__ = [
    "Memory", "Peer", "Port", "Pty", "Ras", "RasCommSettings", "RasError", "ScriptResult", "Session",
    "Tcp", "Transport", "buffer", "run_script",
]


class Transport:
    """What a port is connected to. A class of its own overrides `send`, and calls `deliver` and `drop`.

    A transport serves one port. Its methods are called by the thread that called the routine, `fileno` and
    `on_readable` by the one that polls; no lock is held meanwhile, and any routine may be called. An OSError of `send`
    ends the connection with ERROR_REMOTE_DISCONNECTION; any other exception of a method is a failed device, reaches the
    Python caller of the routine, and else sys.unraisablehook.

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
        """Takes bytes to the other side, all of them: RasSendBuffer answers when this returns.

        Parameters
        ----------
        data : bytes
            At least one.

        Raises
        ------
        OSError
            There is no other side any more.
        """
        raise NotImplementedError(f"{type(self).__name__} has no send(data)")

    def set_comm_settings(self, settings: RasCommSettings) -> bool:
        """Sets the line; what has none may say yes to everything.

        Parameters
        ----------
        settings : RasCommSettings
            Of values that Windows knows.

        Returns
        -------
        bool
            False: it cannot be set so. RasSetCommSettings answers ERROR_CANNOT_SET_PORT_INFO.
        """
        return True

    def fileno(self) -> int | None:
        """What is polled for bytes from the other side; None: nothing is. Asked before every wait."""
        return None

    def on_readable(self) -> None:
        """`fileno` is readable: reads without waiting, and calls `deliver` or `drop`."""

    def hang_up(self) -> None:
        """Ends the connection from here, and a `send` that waits: for `Port.hang_up`, and before the thread that polls
        is waited for, when the machine is closed or the interpreter ends.
        """

    def close(self) -> None:
        """The port is closed: lets go of what the transport holds."""

    def deliver(self, data: bytes) -> bool:
        """Bytes from the other side: `Port.deliver`. False: the port is not connected any more."""
        port = self.port
        return port is not None and port.deliver(data)

    def drop(self, status: int = RasStatus.ERROR_PORT_DISCONNECTED) -> bool:
        """The connection ended: `Port.drop`. False: it had before."""
        port = self.port
        return port is not None and port.drop(status)


class Peer:
    """The other end of a `Memory` transport: nothing but calls, so that what happens is always the same."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.received = b""
        """What the port has sent, and nobody took away by assigning."""

    def send(self, data: bytes) -> bool:
        """Sends to the port. The bytes are there, and an event set, before this returns.

        Parameters
        ----------
        data : bytes-like
            What the next receives bring.

        Returns
        -------
        bool
            False: the port is closed or not connected any more.
        """
        return self._memory.deliver(data)

    def close(self) -> bool:
        """Ends the connection: the port says ERROR_REMOTE_DISCONNECTION. False: it had ended before."""
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
        Its name or address.
    port : int
        Its port, from 1 to 65535.
    timeout : float, optional
        Seconds that connecting may take; default: what the system allows.

    Raises
    ------
    OSError
        There is no such server.
    """

    def __init__(self, host: str, port: int, timeout: float | None = None) -> None:
        super().__init__()
        self._process = os.getpid()
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
            data = self._socket.recv(65536, getattr(socket, "MSG_DONTWAIT", 0))
        except BlockingIOError:
            # It was readable a moment ago.
            return
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
        if os.getpid() == self._process:
            # The child of a fork would end its parent's connection.
            self.hang_up()
        self._socket.close()


def descriptors_close(*descriptors: int) -> None:
    """Closes them."""
    for each in descriptors:
        os.close(each)


class Pty(Transport):
    """A pseudo-terminal: another program opens `name`, as it would a serial line. Not on Windows.

    Bytes pass unchanged both ways. The line stays up when the other program closes it.

    Raises
    ------
    OSError
        The system has none to give.
    """

    def __init__(self) -> None:
        super().__init__()
        import pty
        import tty

        self._own, other = pty.openpty()
        self._closing = weakref.finalize(self, descriptors_close, self._own, other)
        self._closing.atexit = False
        self._is_hung_up = False
        os.set_blocking(self._own, False)
        tty.setraw(other)
        self.name: str = os.ttyname(other)
        """The path of its other end."""

    def send(self, data: bytes) -> None:
        """Takes bytes to the other end; waits while it has no room."""
        while data:
            if self._is_hung_up or self._own < 0:
                raise ConnectionAbortedError("the line was hung up")
            try:
                data = data[os.write(self._own, data):]
            except BlockingIOError:
                # So long that it costs nothing, so short that a hang-up is soon seen.
                room = select.poll()
                room.register(self._own, select.POLLOUT)
                room.poll(50)

    def hang_up(self) -> None:
        """Ends what waits in `send`."""
        self._is_hung_up = True

    def fileno(self) -> int | None:
        """Its own end."""
        return None if self._own < 0 else self._own

    def on_readable(self) -> None:
        """Reads what is there."""
        try:
            data = os.read(self._own, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.deliver(data)
        else:
            self.drop(RasStatus.ERROR_REMOTE_DISCONNECTION)

    def close(self) -> None:
        """Closes both ends."""
        self._own = -1
        self._closing()


class Service:
    """Polls the sockets of a machine's ports, and fires what is due on a real clock, in one thread."""

    def __init__(self, machine: MachineBase) -> None:
        self.machine = weakref.ref(machine)
        # One call copies it; a WeakSet that is copied raises when another thread opens a port meanwhile.
        self.ports: set[weakref.ref[Port]] = set()
        self.is_stopping = False
        self.woken, self.waker = socket.socketpair()
        self.woken.setblocking(False)
        self.waker.setblocking(False)
        self.thread = threading.Thread(target=self.run, name="pybuf ras", daemon=True)
        self.thread.start()
        try:
            service_set(machine, self, self.waker.fileno())
        except BaseException:
            self.stop()
            raise
        services.add(self)

    def wake(self) -> None:
        """Makes the thread look again."""
        try:
            self.waker.send(b"x")
        except OSError:
            # It is full: the thread will look. Or closed: it looks no more.
            return

    def forget(self) -> None:
        """In the child of a fork: there is no thread."""
        self.is_stopping = True
        self.woken.close()
        self.waker.close()

    def stop(self, is_waited_for: bool = True) -> None:
        """Ends the thread, and waits for that: a `send` that one of its transports waits in ends with the connection.

        Whoever cannot know what this thread is in the middle of, and what the other needs to end, must not wait.
        """
        self.is_stopping = True
        self.wake()
        if not is_waited_for or threading.current_thread() is self.thread:
            return
        for known in list(self.ports):
            port = known()
            if port is not None and not port.is_closed:
                try:
                    port.transport.hang_up()
                except BaseException:
                    transport_raised(port)
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
                    try:
                        port.transport.on_readable()
                    except BaseException:
                        transport_raised(port)
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
        for known in list(self.ports):
            port = known()
            if port is None or port.is_full or port.status:
                continue
            try:
                descriptor = port.transport.fileno()
                if descriptor is not None:
                    polled.register(descriptor, selectors.EVENT_READ, weakref.ref(port))
            except BaseException:
                transport_raised(port)
        if sys.platform == "win32":
            # Nobody can wake it there.
            return 0.05 if timeout is None else min(timeout, 0.05)
        return timeout


# A signal handler may open a port, or fork, while the thread that it interrupts makes a service.
making = threading.RLock()
services: weakref.WeakSet[Service] = weakref.WeakSet()


@atexit.register
def services_stop() -> None:
    """The interpreter ends: a thread would find modules without names."""
    with making:
        running = list(services)
    for service in running:
        service.stop()


def services_forget() -> None:
    """In the child of a fork."""
    for service in after_fork():
        service.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=making.acquire, after_in_parent=making.release, after_in_child=making.release)
    os.register_at_fork(after_in_child=services_forget)


def service_for(machine: MachineBase) -> Service:
    """What polls a machine's sockets."""
    with making:
        made: Service | None = service_of(machine)
        if made is None:
            try:
                made = Service(machine)
            except RuntimeError:
                # A signal handler was faster, or there is no thread to be had.
                made = service_of(machine)
                if made is None:
                    raise
        return made


class Ras:
    """RAS of a machine, `machine.ras`: where its ports and sessions are opened. Any thread may."""

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
        TypeError
            `transport` is none.
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
            service = service_for(machine)
            service.ports.add(weakref.ref(port, service.ports.discard))
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


# ---- custom scripts ---------------------------------------------------------------------------------------------

SLICE_SECONDS = 0.05
NAMES = ("RasGetBuffer", "RasFreeBuffer", "RasSendBuffer", "RasReceiveBuffer", "RasRetrieveBuffer")


class RASDIALPARAMSW(ctypes.Structure):
    """What a custom script gets of the connection, and may change: its user name, password and domain."""

    _pack_ = 4
    _fields_: ClassVar[Sequence[Any]] = [
        ("dwSize", ctypes.c_uint32),
        ("szEntryName", ctypes.c_uint16 * 257),
        ("szPhoneNumber", ctypes.c_uint16 * 129),
        ("szCallbackNumber", ctypes.c_uint16 * 129),
        ("szUserName", ctypes.c_uint16 * 257),
        ("szPassword", ctypes.c_uint16 * 257),
        ("szDomain", ctypes.c_uint16 * 16),
        ("dwSubEntry", ctypes.c_uint32),
        ("dwCallbackId", ctypes.c_size_t),
        ("dwIfIndex", ctypes.c_uint32),
    ]

    def put(self, name: str, text: str) -> None:
        """Writes a text; ValueError when it has no room."""
        room = getattr(self, name)
        data = text.encode("utf-16-le", "surrogatepass")
        if len(data) // 2 >= len(room):
            raise ValueError(f"{name} is {text!r}; at most {len(room) - 1} characters of UTF-16 have room")
        ctypes.memset(room, 0, ctypes.sizeof(room))
        ctypes.memmove(room, data, len(data))

    def text(self, name: str) -> str:
        """Reads a text."""
        return wide(bytes(getattr(self, name)))


class RASCUSTOMSCRIPTEXTENSIONS(ctypes.Structure):
    """The last parameter of a custom script: the pointer of RasSetCommSettings."""

    _pack_ = 4
    _fields_: ClassVar[Sequence[Any]] = [("dwSize", ctypes.c_uint32), ("pfnRasSetCommSettings", ctypes.c_void_p)]


def wide(data: bytes) -> str:
    """The text of wide characters, up to their NUL."""
    units = (data[i : i + 2] for i in range(0, len(data), 2))
    found = bytearray()
    for unit in units:
        if unit == b"\0\0":
            break
        found += unit
    return found.decode("utf-16-le", "replace")


class DialParams:
    """RASDIALPARAMS as a script in Python gets it: what it leaves in szUserName, szPassword and szDomain is taken over.

    Attributes
    ----------
    szEntryName, szUserName, szPassword, szDomain : str
    """

    def __init__(self, entry: str, user_name: str, password: str, domain: str) -> None:
        self.szEntryName = entry
        self.szUserName = user_name
        self.szPassword = password
        self.szDomain = domain


class Extensions:
    """RASCUSTOMSCRIPTEXTENSIONS as a script in Python gets it.

    Attributes
    ----------
    dwSize : int
    pfnRasSetCommSettings : callable
    """

    def __init__(self, session: Session) -> None:
        self.dwSize = ctypes.sizeof(RASCUSTOMSCRIPTEXTENSIONS)
        self.pfnRasSetCommSettings = session.RasSetCommSettings


class ScriptResult(NamedTuple):
    """How a custom script ended."""

    status: int
    """What it answered: a RasStatus where it is one."""
    user_name: str
    """What it left in szUserName."""
    password: str
    """What it left in szPassword."""
    domain: str
    """What it left in szDomain."""
    unfreed: list[Block]
    """The buffers that it did not free. They are free now."""


def run_script(
    script: str | os.PathLike[str] | Callable[..., int],
    *,
    port: Port | None = None,
    phonebook: str = "",
    entry: str = "",
    user_name: str = "",
    password: str = "",
    domain: str = "",
    timeout: float | None = None,
    abi: str = "platform",
) -> ScriptResult:
    """Does what RAS does with a custom script: calls its RasCustomScriptExecute, in a session of its own.

    Parameters
    ----------
    script : path or callable
        A shared library that has RasCustomScriptExecute; or a function of Python that is called with the eleven
        parameters of it in their order: port, phonebook, entry, the five routines, None, a `DialParams`, an
        `Extensions`.
    port : Port, optional
        The port that it talks over; default: a new one in memory, on the current machine.
    phonebook, entry : str
        Of the connection.
    user_name, password, domain : str
        Of the connection; at most 256, 256 and 15 characters of UTF-16.
    timeout : float, optional
        Seconds of real time after which the port is hung up, as by Ctrl-C: what the script waits for ends with
        ERROR_USER_DISCONNECTION. It is waited for on; a second Ctrl-C leaves it behind.
    abi : str
        The convention of a library: "platform", or "ms" for Microsoft's, on x86-64.

    Returns
    -------
    ScriptResult

    Raises
    ------
    OSError
        The library cannot be loaded; FileNotFoundError: it is not there.
    TypeError, ValueError
        It has no RasCustomScriptExecute, or another argument cannot be used.
    RasError
        64 sessions are open.
    KeyboardInterrupt
        Ctrl-C, once the script has ended, or a second time.
    Exception
        What a script in Python raised.

    Notes
    -----
    The last parameter, pvReserved in the header, is a RASCUSTOMSCRIPTEXTENSIONS of 12 bytes with the pointer of
    RasSetCommSettings; hWnd is NULL. What the script leaves in szUserName, szPassword and szDomain is in the result
    whatever it answered; RAS resumes dialling on ERROR_SUCCESS.

    The script runs on a thread of its own, one of C without the GIL, and its library stays loaded. A library that
    exports a variable ``const pybuf_api *pybuf`` finds the table of pybuf.h in it: events for RasReceiveBuffer, above
    all. Its thread has entered the port's machine.

    Source: ras.h, https://learn.microsoft.com/windows/win32/api/ras/nc-ras-rascustomscriptexecutefn
    """
    if abi not in ("platform", "ms"):
        raise ValueError(f"abi is {abi!r}; it is 'platform' or 'ms'")
    if abi == "ms" and platform.machine() not in ("x86_64", "AMD64"):
        raise ValueError("abi='ms' is a convention of x86-64, which this processor is not")
    for name, text in (("phonebook", phonebook), ("entry", entry), ("user_name", user_name), ("password", password),
                       ("domain", domain)):
        if not isinstance(text, str):
            raise TypeError(f"{name} is a str, not {type(text).__name__} ({text!r})")
        if "\0" in text:
            raise ValueError(f"{name} has a NUL, where a script would see its end")
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout is {timeout!r}; it is seconds, 0 or more, or None")
    if port is None:
        port = Ras(current_machine()).open_port()
    if not isinstance(port, Port):
        raise TypeError(f"port is a Port or None, not {type(port).__name__} ({port!r})")
    params = RASDIALPARAMSW(dwSize=ctypes.sizeof(RASDIALPARAMSW))
    params.put("szEntryName", entry)
    params.put("szUserName", user_name)
    params.put("szPassword", password)
    params.put("szDomain", domain)
    function = None if callable(script) else script_function(os.fspath(script))
    session = Session(port.machine, port)
    ended = threading.Event()
    found: list[int] = []
    raised: list[BaseException] = []

    def library() -> int:
        form = f"session_{'ms_' if abi == 'ms' else ''}{session.number}_"
        entries = import_module("pybuf._doors").ENTRIES
        extensions = RASCUSTOMSCRIPTEXTENSIONS(ctypes.sizeof(RASCUSTOMSCRIPTEXTENSIONS),
                                               entries[f"{form}RasSetCommSettings"])
        book, name = (ctypes.create_string_buffer(text.encode("utf-16-le", "surrogatepass") + b"\0")
                      for text in (phonebook, entry))
        assert function is not None
        return script_call(port, function, abi == "ms", ctypes.addressof(book), ctypes.addressof(name),
                           [entries[form + each] for each in NAMES], ctypes.addressof(params),
                           ctypes.addressof(extensions))

    def python() -> int:
        given = DialParams(entry, user_name, password, domain)
        assert callable(script)
        with port.machine:
            answer = script(port, phonebook, entry, *(getattr(session, name) for name in NAMES), None, given,
                            Extensions(session))
        try:
            answer = operator.index(answer) & 0xFFFFFFFF
        except TypeError:
            raise TypeError(f"the script answered {answer!r}; it answers a status, an int") from None
        for name in ("szUserName", "szPassword", "szDomain"):
            params.put(name, getattr(given, name))
        return answer

    def work() -> None:
        try:
            found.append((python if function is None else library)())
        except BaseException as error:
            raised.append(error)
        finally:
            ended.set()

    # Thread.start() would wait for the thread, and a Ctrl-C meanwhile be no reason to hang up.
    start_new_thread(copy_context().run, (work,))
    interrupt = waited_for(ended, port, timeout)
    unfreed = session.live()
    session.end()
    if interrupt is not None:
        raise interrupt from (raised[0] if raised else None)
    if raised:
        raise raised[0]
    status = int(found[0])
    if status in RasStatus._value2member_map_:
        status = RasStatus(status)
    return ScriptResult(status, params.text("szUserName"), params.text("szPassword"), params.text("szDomain"), unfreed)


def waited_for(ended: threading.Event, port: Port, timeout: float | None) -> KeyboardInterrupt | None:
    """Waits for the end of a script, and hangs its port up when that takes too long; the Ctrl-C that came meanwhile."""
    until = None if timeout is None else time.monotonic() + timeout
    interrupt = None
    while True:
        try:
            # In slices: a Ctrl-C that comes when a wait is about to begin does not end it.
            left = SLICE_SECONDS if until is None else until - time.monotonic()
            if ended.wait(max(0.0, min(left, SLICE_SECONDS))):
                return interrupt
            if until is None or left > SLICE_SECONDS:
                continue
            until = None
            port.hang_up()
        except KeyboardInterrupt as caught:
            if interrupt is not None:
                raise KeyboardInterrupt("the script is left behind: it runs on, and its session stays open") from None
            interrupt = caught
            port.hang_up()


def script_function(path: str | bytes) -> int:
    """The address of a library's RasCustomScriptExecute."""
    path = os.fsdecode(path)
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, "there is no such library", path)
    # A name without a folder would be looked for among the system's libraries.
    library = ctypes.CDLL(os.path.abspath(path))
    try:
        function = library.RasCustomScriptExecute
    except AttributeError:
        raise ValueError(f"{path} exports no RasCustomScriptExecute") from None
    table = api_address()
    with contextlib.suppress(ValueError):
        # A library that has no such variable does without.
        ctypes.c_void_p.in_dll(library, "pybuf").value = table
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address
