"""Workloads in Python: what a program gains, or does not, by taking its buffers from somewhere else.

Each kind of buffers is used as a program would write it: who drops a bytearray calls nothing, the pool by hand is a
deque used last in, first out, and nobody sits behind a wrapper. Sockets are those of this host's loopback; what
is sent is decided by the seed, and compared with what arrives.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import random
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

Parameters = Mapping[str, Any]
#: A timed pass; its figures are wall_ns, cpu_ns and what the workload has besides.
Pass = Callable[[], dict[str, Any]]

HOST = "127.0.0.1"
#: So long a socket is waited for; a datagram that is later is lost.
PATIENCE_S = 10.0
#: Verified before anything is timed: so many blocks at once, each with a pattern of its own.
CHECKED = 64


class MissingError(Exception):
    """The library that a kind of buffers comes from is not here; its text says how to get it."""


class WrongError(Exception):
    """A buffer did not hold what was written into it, or a message did not arrive as it was sent."""


class Source:
    """Where buffers come from: ``take(size)`` and ``give(buffer)``, None where dropping it is all.

    ``keep`` are what they belong to.
    """

    def __init__(
        self, take: Callable[[int], Any], give: Callable[[Any], object] | None = None, keep: object = None
    ) -> None:
        self.take = take
        self.give = give
        self.keep = keep


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as failure:
        raise MissingError(f"{failure}; pip install {name}") from None


def source(kind: str, size: int) -> Source:
    """A source of the kind, for buffers of ``size`` bytes. MissingError when its library is not here."""
    if kind == "bytearray":
        return Source(bytearray)
    if kind == "numpy":
        numpy = _library("numpy")
        empty, byte = numpy.empty, numpy.uint8
        return Source(lambda size: empty(size, byte))
    if kind == "pyarrow":
        return Source(_library("pyarrow").allocate_buffer)
    if kind == "deque-pool":
        spare: deque[bytearray] = deque()
        return Source(lambda size: spare.pop() if spare else bytearray(size), spare.append, spare)
    if kind == "poolcore":
        pool = _library("poolcore").Pool()
        return Source(pool.get, pool.free, pool)
    if kind in ("reused", "empty"):
        one = bytearray(size)
        return Source(lambda size: one)
    raise ValueError(f"{kind!r} is no kind of buffers")


def check(kind: str, size: int, seed: int) -> None:
    """Fill several buffers of a kind at once, each with a pattern of its own, and look whether all kept it."""
    if kind in ("bytes", "reused", "empty"):  # hold one buffer at a time
        return
    draw = random.Random(seed)
    some = source(kind, size)
    patterns = [draw.randbytes(size) for _ in range(CHECKED)]
    buffers = [some.take(size) for _ in patterns]
    for buffer, pattern in zip(buffers, patterns, strict=True):
        with memoryview(buffer).cast("B") as view:
            view[:] = pattern
    for number, (buffer, pattern) in enumerate(zip(buffers, patterns, strict=True)):
        with memoryview(buffer) as view:
            if view.tobytes() != pattern:
                raise WrongError(f"changed the bytes of buffer {number} of {CHECKED} that live at once")
        if some.give is not None:
            some.give(buffer)


def _clocked(body: Callable[[], object]) -> dict[str, Any]:
    cpu_ns = time.thread_time_ns()
    wall_ns = time.perf_counter_ns()
    body()
    wall_ns = time.perf_counter_ns() - wall_ns
    return {"wall_ns": wall_ns, "cpu_ns": time.thread_time_ns() - cpu_ns}


# ---- buffers -------------------------------------------------------------------------------


def _buffers(kind: str, p: Parameters, seed: int) -> Pass:
    """Made, eight bytes written through a view, dropped; beside live ones. Every kind has the loop it deserves."""
    size, count = p["size"], p["count"]
    stamp = random.Random(seed).randbytes(min(8, size))
    end = len(stamp)
    some = source(kind, size)
    neighbours = [some.take(size) for _ in range(p["live"])]

    if kind == "poolcore":
        get, free = some.keep.get, some.keep.free  # type: ignore[attr-defined]

        def body() -> None:
            for _ in range(count):
                buffer = get(size)
                view = memoryview(buffer)
                view[:end] = stamp
                view.release()
                free(buffer)
    elif kind == "deque-pool":
        spare: Any = some.keep
        pop, append = spare.pop, spare.append

        def body() -> None:
            for _ in range(count):
                buffer = pop() if spare else bytearray(size)
                view = memoryview(buffer)
                view[:end] = stamp
                view.release()
                append(buffer)
    elif kind == "bytearray":

        def body() -> None:
            for _ in range(count):
                buffer = bytearray(size)
                view = memoryview(buffer)
                view[:end] = stamp
                view.release()
    elif kind == "numpy":
        numpy = _library("numpy")
        empty, byte = numpy.empty, numpy.uint8

        def body() -> None:
            for _ in range(count):
                buffer = empty(size, byte)
                view = memoryview(buffer)
                view[:end] = stamp
                view.release()
    elif kind == "pyarrow":
        allocate = _library("pyarrow").allocate_buffer

        def body() -> None:
            for _ in range(count):
                buffer = allocate(size)
                view = memoryview(buffer).cast("B")  # its own bytes are signed, and take no others
                view[:end] = stamp
                view.release()
    else:
        one = some.take(size)

        def body() -> None:
            for _ in range(count):
                view = memoryview(one)
                view[:end] = stamp
                view.release()

    def run() -> dict[str, Any]:
        if not all(len(neighbour) == size for neighbour in neighbours):
            raise WrongError("gave a buffer of another size")
        return _clocked(body)

    return run


# ---- messages ------------------------------------------------------------------------------


class _Echo(asyncio.Protocol):
    """Sends back what comes, as the bytes that asyncio makes."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.peer: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self.peer is None:
            self.peer = transport

    def data_received(self, data: bytes) -> None:
        self.peer.write(data)


class _BufferedEcho(asyncio.BufferedProtocol):
    """Sends back what comes, received into a buffer of a source."""

    def __init__(self, some: Source, size: int) -> None:
        self.take, self.give, self.size = some.take, some.give, size
        self.transport: Any = None
        self.peer: Any = None
        self.buffer: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self.peer is None:
            self.peer = transport

    def get_buffer(self, sizehint: int) -> Any:
        self.buffer = self.take(self.size)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        buffer = self.buffer
        self.buffer = None
        with memoryview(buffer) as view, view[:nbytes] as part:
            # A transport that cannot send at once may keep a view of what it was given.
            self.peer.write(part if not self.peer.get_write_buffer_size() else part.tobytes())
        if self.peer.get_write_buffer_size():
            raise WrongError("a message was not sent at once; give a smaller size")
        if self.give is not None:
            self.give(buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.buffer is not None and self.give is not None:
            self.give(self.buffer)
        self.buffer = None


def _protocol(kind: str, size: int) -> Callable[[], Any]:
    if kind == "bytes":
        return _Echo
    some = source(kind, size)
    return lambda: _BufferedEcho(some, size)


async def _messages(loop: asyncio.AbstractEventLoop, port: int, p: Parameters, seed: int) -> dict[str, Any]:
    """Send messages and wait for each to come back as it was."""
    draw = random.Random(seed)
    size = p["size"]
    sent = [draw.randbytes(size) for _ in range(8)]
    received = bytearray(size)
    view = memoryview(received)
    with socket.socket() as client:
        client.setblocking(False)
        await asyncio.wait_for(loop.sock_connect(client, (HOST, port)), PATIENCE_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        cpu_ns = time.thread_time_ns()
        wall_ns = time.perf_counter_ns()
        for number in range(p["count"]):
            message = sent[number % 8]
            await loop.sock_sendall(client, message)
            arrived = 0
            while arrived < size:
                more = await loop.sock_recv_into(client, view[arrived:])
                if not more:
                    raise WrongError(f"message {number + 1:,} did not come back: the connection was closed")
                arrived += more
            if received != message:
                raise WrongError(f"message {number + 1:,} came back changed")
        wall_ns = time.perf_counter_ns() - wall_ns
        return {"wall_ns": wall_ns, "cpu_ns": time.thread_time_ns() - cpu_ns}


def _reported(loop: asyncio.AbstractEventLoop, raised: list[BaseException]) -> None:
    def keep(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        raised.append(context.get("exception") or WrongError(context["message"]))

    loop.set_exception_handler(keep)


async def _served(protocol: Callable[[], Any], p: Parameters, seed: int, is_proxied: bool) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    raised: list[BaseException] = []
    _reported(loop, raised)
    made: list[Any] = []

    async def connected(proxy: Any, port: int) -> Any:
        upstream = protocol()
        upstream.peer = proxy.transport
        made.append(upstream)
        await loop.create_connection(lambda: upstream, HOST, port)
        proxy.peer = upstream.transport
        return upstream

    servers = []
    try:
        if not is_proxied:
            def served() -> Any:
                made.append(protocol())
                return made[-1]

            front = await loop.create_server(served, HOST, 0)
        else:
            echo = await loop.create_server(_Echo, HOST, 0)
            servers.append(echo)
            echo_port = echo.sockets[0].getsockname()[1]
            pending: set[asyncio.Task[Any]] = set()

            def accepted() -> Any:
                proxy = protocol()
                made.append(proxy)
                plain = proxy.connection_made

                def connection_made(transport: Any) -> None:
                    plain(transport)
                    transport.pause_reading()  # until there is somewhere to send to
                    task = loop.create_task(connected(proxy, echo_port))
                    pending.add(task)
                    task.add_done_callback(pending.discard)
                    task.add_done_callback(lambda _: transport.resume_reading())

                proxy.connection_made = connection_made
                return proxy

            front = await loop.create_server(accepted, HOST, 0)
        servers.append(front)
        port = front.sockets[0].getsockname()[1]
        try:
            taken = await asyncio.wait_for(_messages(loop, port, p, seed), 60 + p["count"] / 100)
        except TimeoutError:
            raise (raised[0] if raised else WrongError("messages stopped coming back")) from None
        if raised:
            raise raised[0]
        return taken
    finally:
        for one in made:
            if one.transport is not None:
                one.transport.abort()
        for server in servers:
            server.close()
        await asyncio.sleep(0)


def _asyncio_echo(kind: str, p: Parameters, seed: int) -> Pass:
    protocol = _protocol(kind, p["size"])
    return lambda: asyncio.run(_served(protocol, p, seed, is_proxied=False))


def _asyncio_proxy(kind: str, p: Parameters, seed: int) -> Pass:
    protocol = _protocol(kind, p["size"])
    return lambda: asyncio.run(_served(protocol, p, seed, is_proxied=True))


def _udp_burst(kind: str, p: Parameters, seed: int) -> Pass:
    """A burst is sent, then received, each datagram into a buffer of its own; then all are looked at and given back."""
    size, burst = p["size"], p["burst"]
    draw = random.Random(seed)
    sent = [draw.randbytes(size) for _ in range(burst)]
    some = None if kind == "bytes" else source(kind, size)

    def body(sender: socket.socket, receiver: socket.socket) -> None:
        send, recv, recv_into = sender.send, receiver.recv, receiver.recv_into
        for _ in range(p["count"]):
            for datagram in sent:
                send(datagram)
            if some is None:
                if [recv(size) for _ in sent] != sent:
                    raise WrongError("a datagram arrived changed")
                continue
            take, give = some.take, some.give
            if kind == "reused":  # one buffer: looked at before the next datagram comes
                for datagram in sent:
                    buffer = take(size)
                    if recv_into(buffer) != size or buffer != datagram:
                        raise WrongError("a datagram arrived changed")
                continue
            buffers = []
            for _ in sent:
                buffer = take(size)
                recv_into(buffer)
                buffers.append(buffer)
            for buffer, datagram in zip(buffers, sent, strict=True):
                with memoryview(buffer) as view:
                    if view != datagram:
                        raise WrongError("a datagram arrived changed")
                if give is not None:
                    give(buffer)

    def run() -> dict[str, Any]:
        with socket.socket(type=socket.SOCK_DGRAM) as receiver, socket.socket(type=socket.SOCK_DGRAM) as sender:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * burst * (size + 1024))
            receiver.bind((HOST, 0))
            receiver.settimeout(PATIENCE_S)
            sender.connect(receiver.getsockname())
            try:
                return _clocked(lambda: body(sender, receiver))
            except TimeoutError:
                raise WrongError("a datagram was lost: the bursts are larger than the socket takes") from None

    return run


# ---- audio ---------------------------------------------------------------------------------


def _audio_period(kind: str, p: Parameters, seed: int) -> Pass:
    """Every period a buffer for each voice is filled and mixed; late is what ends after the deadline.

    A period that was woken too late counts as the others do: a listener hears no difference.
    """
    size = p["frames"] * 4
    period_ns = p["frames"] * 1_000_000_000 // p["rate"]
    deadline_ns = p["deadline_us"] * 1000
    draw = random.Random(seed)
    tones = [draw.randbytes(size) for _ in range(p["voices"])]
    expected = sum(tone[0] for tone in tones)
    some = source(kind, size)
    take, give = some.take, some.give

    def period() -> None:
        voices = []
        for tone in tones:
            buffer = take(size)
            with memoryview(buffer) as view:
                view[:] = tone
            voices.append(buffer)
        mixed = 0
        for voice in voices:
            mixed += int(voice[0])
            if give is not None:
                give(voice)
        if mixed != expected:
            raise WrongError("a voice was changed before it was mixed")

    def run() -> dict[str, Any]:
        misses = worst_ns = work_ns = 0
        cpu_ns = time.thread_time_ns()
        start_ns = time.perf_counter_ns() + period_ns
        for number in range(p["count"]):
            due_ns = start_ns + number * period_ns
            wait_ns = due_ns - time.perf_counter_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            woken_ns = time.perf_counter_ns()
            period()
            done_ns = time.perf_counter_ns()
            work_ns += done_ns - woken_ns
            worst_ns = max(worst_ns, done_ns - due_ns)
            misses += done_ns - due_ns > deadline_ns
        return {"wall_ns": work_ns, "cpu_ns": time.thread_time_ns() - cpu_ns, "misses": misses, "worst_ns": worst_ns}

    return run


# ---- a trial -------------------------------------------------------------------------------

PREPARE: dict[str, Callable[[str, Parameters, int], Pass]] = {
    "buffers": _buffers,
    "asyncio-echo": _asyncio_echo,
    "asyncio-proxy": _asyncio_proxy,
    "udp-burst": _udp_burst,
    "audio-period": _audio_period,
}


def run(
    name: str, parameters: Parameters, contenders: Mapping[str, str], rounds: int, passes: int, seed: int
) -> dict[str, Any]:
    """A trial's answer: every contender prepared and checked, then ``rounds`` in random order.

    ``contenders`` has the kind of buffers of each. Beside ``wall_ns``, ``cpu_ns`` and ``operations`` a round may
    hold ``misses`` and ``worst_ns``. A kind whose library is not here is under "missing", one that changes bytes
    under "disqualified".
    """
    answer: dict[str, Any] = {"origins": {}, "rounds": []}
    ready: dict[str, Pass] = {}
    size = parameters["frames"] * 4 if "frames" in parameters else parameters["size"]
    for contender, kind in contenders.items():
        try:
            check(kind, size, seed)
            made = PREPARE[name](kind, parameters, seed)
            made()  # what is made once is not timed
        except MissingError as missing:
            answer.setdefault("missing", {})[contender] = str(missing)
        except (WrongError, OSError) as wrong:
            answer.setdefault("disqualified", {})[contender] = str(wrong)
        else:
            ready[contender] = made
            answer["origins"][contender] = kind
    shuffle = random.Random(seed).sample
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            taken: dict[str, Any] = {}
            for contender in shuffle(list(ready), len(ready)):
                try:
                    seen = [ready[contender]() for _ in range(passes)]
                except (WrongError, OSError) as wrong:
                    answer.setdefault("disqualified", {})[contender] = str(wrong)
                    del ready[contender]
                    continue
                taken[contender] = {key: [one[key] for one in seen] for key in seen[0]}
                taken[contender]["operations"] = parameters["count"] * parameters.get("burst", 1)
            answer["rounds"].append(taken)
    finally:
        gc.enable()
    return answer
