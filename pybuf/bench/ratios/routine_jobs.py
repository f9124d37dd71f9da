"""The jobs that time Windows' routines through their doors; `pybuf.bench.ratios.jobs` runs them beside poolcore's.

A job imports the door that it goes through: the module of the C doors, once it is there, shares the default machine
with code that has no GIL, which costs Python's door some nanoseconds.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from fractions import Fraction
from itertools import repeat
from typing import Any

from pybuf.bench.ratios import _loops
from pybuf.bench.ratios.callees import callee
from pybuf.bench.ratios.timed import Timed, per_operation, timed_loop

VIDEO_TAG = 0x7A797844  # 'zyxD'
NONPAGED = 0
SERVERS_ALL = 0xFFFFFFFF
WHOLE = 0xFFFFFFFF  # MAX_PREFERRED_LENGTH
NOTIFIED_HZ = 100


def ras_pair(name: str, size: int, count: int) -> Timed:
    """RasGetBuffer and RasFreeBuffer with `if status:` on both, beside 64 live buffers; ns per pair.

    `no-op` is two compiled functions of the same shape that do nothing, and `bytearray` one bytearray. `entered` is
    ours on a machine of a with statement; from the first of those on a process' default machine is slower, too.
    """
    if name == "bytearray":

        def fresh(count: int) -> None:
            for _ in repeat(None, count):
                bytearray(size)

        return timed_loop(fresh, count)
    from pybuf._ras import RasFreeBuffer, RasGetBuffer
    from pybuf.machine import Machine
    from pybuf.status import RasStatus

    get: Any = RasGetBuffer
    free: Any = RasFreeBuffer
    entered = ExitStack()
    if name == "entered":
        machine = entered.enter_context(Machine())
        entered.callback(machine.close)
    if name == "no-op":
        _loops.no_op_ready(RasStatus.ERROR_SUCCESS, object(), size)
        get, free = _loops.no_op_get_buffer, _loops.no_op_free_buffer
    neighbours = [get(size)[1] for _ in range(64)]

    def pairs(count: int) -> None:
        for _ in repeat(None, count):
            status, buffer, granted = get(size)
            if status:
                raise RuntimeError(f"RasGetBuffer({size}) answered {status!r}, {buffer}, {granted}")
            status = free(buffer)
            if status:
                raise RuntimeError(f"RasFreeBuffer answered {status!r}")

    timed = timed_loop(pairs, count, neighbours=(free, neighbours))

    def close() -> None:
        timed.close()
        entered.close()

    return Timed(timed.run, close)


def door_pair(name: str, size: int, count: int) -> Timed:
    """Two routines through their function pointers in C, beside 64 live blocks; ns per pair.

    The name says which: `RAS`, `NetApi`, `video`, with ` ms` behind it those of the Microsoft convention. `poolcore`
    is the pair of a pool, `poolcore aligned` that of blocks aligned as VideoPortAllocatePool aligns them.
    """
    if name == "poolcore":
        target = callee(name, size)
        _loops.verify(target, 256, size, size)
        pairs = _loops.Pair(target, size)
        return Timed(lambda: per_operation(pairs.run(count), count), pairs.close)
    owner: Any
    more: tuple[int, ...] = ()
    if name == "poolcore aligned":
        import poolcore

        owner = poolcore.Pool()
        table = owner.c_functions()
        prototype, get, free = "aligned", table.aligned, table.free
        more = (table.pool, 1 << (size - 1).bit_length())
    else:
        from pybuf._doors import ENTRIES
        from pybuf.machine import Machine

        owner = Machine.current()
        family, _, convention = name.partition(" ")
        prototype = f"{family.lower()}_{convention}".rstrip("_")
        form = "now_ms" if convention else "now"
        names = {
            "RAS": ("RasGetBuffer", "RasFreeBuffer"),
            "NetApi": ("NetApiBufferAllocate", "NetApiBufferFree"),
            "video": ("VideoPortAllocatePool", "VideoPortFreePool"),
        }[family]
        get, free = (ENTRIES[f"{form}_{each}"] for each in names)
        if family == "video":
            owner = owner.video_device()
            more = (owner.extension, NONPAGED, VIDEO_TAG)

    def run() -> tuple[float, float]:
        return per_operation(_loops.run_routines(prototype, get, free, size, count, more), count)

    def close() -> None:
        nonlocal owner
        owner = None

    run()
    return Timed(run, close)


def windll_pair(name: str, size: int, count: int) -> Timed:
    """NetApiBufferAllocate and NetApiBufferFree of windll, or `malloc`: the C library's pair, with argtypes."""
    if name == "malloc":
        library = ctypes.CDLL(None)
        malloc, free = library["malloc"], library["free"]
        malloc.argtypes, malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
        free.argtypes, free.restype = (ctypes.c_void_p,), None

        def peers(count: int) -> None:
            for _ in repeat(None, count):
                block = malloc(size)
                if not block:
                    raise RuntimeError(f"malloc({size}) answered NULL")
                free(block)

        return timed_loop(peers, count, neighbours=(free, [malloc(size) for _ in range(64)]))
    from pybuf import windll

    allocate, release = windll.netapi32.NetApiBufferAllocate, windll.netapi32.NetApiBufferFree
    byref = ctypes.byref
    block = ctypes.c_void_p()
    neighbours = []
    for _ in range(64):
        allocate(size, byref(block))
        neighbours.append(block.value)

    def pairs(count: int) -> None:
        for _ in repeat(None, count):
            if allocate(size, byref(block)):
                raise RuntimeError(f"NetApiBufferAllocate({size}) failed")
            if release(block):
                raise RuntimeError("NetApiBufferFree failed")

    return timed_loop(pairs, count, neighbours=(release, neighbours))


def rows_of(servers: int) -> list[tuple[int, str, int, int, int, str]]:
    """What NetServerEnum reports of so many servers at level 101."""
    return [(500, f"SERVER{number:05d}", 10, 0, 0x1003, f"Rack {number % 40}") for number in range(servers)]


def network_of(servers: int) -> Any:
    """The network whose servers are those of `rows_of`."""
    from pybuf.network import Network, Server

    return Network(servers=[Server(name, comment) for _, name, _, _, _, comment in rows_of(servers)])


def server_enum(name: str, servers: int, count: int) -> Timed:
    """NetServerEnum of so many servers at level 101 and its free; ns for all. `ctypes` makes the same array there."""
    from pybuf import windll

    info = windll.SERVER_INFO_101
    if name == "ctypes":
        rows = rows_of(servers)

        def arrays(count: int) -> None:
            for _ in repeat(None, count):
                (info * servers)(*[info(*row) for row in rows])

        return timed_loop(arrays, count)
    from pybuf.machine import Machine
    from pybuf.netapi import NetApiBufferFree, NetServerEnum

    machine = Machine()
    machine.network = network_of(servers)
    enumerate_servers: Any = NetServerEnum
    free: Any = NetApiBufferFree

    def blocks(count: int) -> None:
        for _ in repeat(None, count):
            status, block, read, _, _ = enumerate_servers(None, 101, WHOLE, SERVERS_ALL, None, 0)
            if status or read != servers or free(block):
                raise RuntimeError(f"NetServerEnum answered {status!r} and {read} servers")

    with machine:
        _, block, *_ = enumerate_servers(None, 101, WHOLE, SERVERS_ALL, None, 0)
        if [tuple(entry) for entry in block.entries] != rows_of(servers):
            raise RuntimeError("NetServerEnum answered other servers")
        free(block)
        timed = timed_loop(blocks, count)

    def run() -> tuple[float, float]:
        with machine:
            return timed.run()

    return Timed(run, timed.close)


def server_names(name: str, servers: int, count: int) -> Timed:
    """The names of so many servers, from `.entries` of NetServerEnum's block or with a ctypes array over it."""
    from pybuf import windll
    from pybuf.machine import Machine
    from pybuf.netapi import NetServerEnum

    machine = Machine()
    machine.network = network_of(servers)
    expected = [row[1] for row in rows_of(servers)]
    if name == "ctypes":
        block, read, total = ctypes.c_void_p(), ctypes.c_uint32(), ctypes.c_uint32()
        with machine:
            windll.netapi32.NetServerEnum(None, 101, ctypes.byref(block), WHOLE, ctypes.byref(read),
                                          ctypes.byref(total), SERVERS_ALL, None, None)
        array: Any = (windll.SERVER_INFO_101 * read.value).from_address(block.value)

        def names() -> list[str]:
            return [entry.sv101_name for entry in array]
    else:
        with machine:
            buffer: Any = NetServerEnum(None, 101, WHOLE, SERVERS_ALL, None, 0)[1]

        def names() -> list[str]:
            return [entry.name for entry in buffer.entries]

    if names() != expected:
        raise RuntimeError(f"{name} reads other names")

    def reads(count: int) -> None:
        for _ in repeat(None, count):
            names()

    # The machine, whose memory the array lies in, is closed by the end.
    return Timed(timed_loop(reads, count).run, machine.close)


def stream(name: str, seconds: int) -> Timed:
    """`machine.advance(seconds)` with a stream of 48 kHz stereo and notifications every 10 ms: times real time.

    `sink` is with a codec that takes the bytes in Python.
    """
    from pybuf.errors import HdAudioError
    from pybuf.hdaudio import HDAUDIO_BUS_INTERFACE_V2, HDAUDIO_STREAM_FORMAT, Codec, HdAudioBus
    from pybuf.machine import Event, Machine

    machine = Machine(clock="manual")
    sent = [0]

    def sink(stream_id: int, data: bytes) -> None:
        sent[0] += len(data)

    if name == "sink":
        machine.hdaudio = HdAudioBus(codecs=[Codec(sink=sink)])
    bus = machine.hdaudio.query_interface(HDAUDIO_BUS_INTERFACE_V2)
    form = HDAUDIO_STREAM_FORMAT(48000, 16, 16, 2)
    _, engine, _ = bus.AllocateRenderDmaEngine(form, False)
    status, _, size, *_ = bus.AllocateDmaBufferWithNotification(engine, 2, 2 * 48000 // NOTIFIED_HZ * 4)
    event = Event(machine)
    for routine, answer in (
        ("AllocateDmaBufferWithNotification", status),
        ("RegisterNotificationEvent", bus.RegisterNotificationEvent(engine, event)),
        ("SetDmaEngineState", bus.SetDmaEngineState(1, [engine])),
        ("SetDmaEngineState", bus.SetDmaEngineState(2, [engine])),
    ):
        if answer:
            raise HdAudioError(routine, answer)
    for _ in range(NOTIFIED_HZ):
        machine.advance(Fraction(1, 2 * NOTIFIED_HZ))
        early = event.wait(0)
        machine.advance(Fraction(1, 2 * NOTIFIED_HZ))
        if early or not event.wait(0):
            raise RuntimeError("the notification did not come at its instant")

    advance = machine.advance

    def advanced(count: int) -> None:
        for _ in repeat(None, count):
            advance(seconds)

    timed = timed_loop(advanced, 1)

    def run() -> tuple[float, float]:
        wall_ns, idle = timed.run()
        return seconds * 1e9 / wall_ns, idle

    def close() -> None:
        timed.close()
        played = int(bus.GetLinkPositionRegister(engine)[1])
        if played % size or (name == "sink" and sent[0] % (48000 * 4)):
            raise RuntimeError(f"the stream stands at {played} of {size} bytes; {sent[0]} were sent")
        bus.FreeDmaEngine(engine)
        machine.close()

    return Timed(run, close)
