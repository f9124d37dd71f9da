"""The workloads by name, what each can be told, and the words that it comes to.

A workload at the level of C is words (see traces.py), as a recorded trace is, only that they are drawn: the same
compiled loops play both, and what a seed decides is decided before anything is measured. The words of a lane,
which is one thread's, are in three parts: setting up, a body that is timed and can be played again and again,
and freeing what is left.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pybuf.bench import capture, sizes

Parameters = Mapping[str, Any]

#: Steps of a body whose steps are all alike: its words stay in the second cache.
BODY_STEPS = 1 << 13
#: What a body of random steps has before it begins again: more than branches can be learned by heart for.
LONG_BODY_STEPS = 1 << 17
SUFFIXES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
CAPTURES = (".pcap", ".pcap.xz", ".pcap.gz", ".cap")


class WorkloadError(ValueError):
    """A workload or one of its parameters is not as it should be; its text is one line for a person."""


@dataclass
class Plan:
    """Words to play, and how.

    way: "alone", each lane by a thread of its own; "handoff", two lanes, the first allocates what the second
        frees; "generations", one lane, a new thread for the words between two breaks; "threads", a lane for each
        thread of a recording (see order.py).
    lanes: the words of each lane as bytes. bodies: of each lane, where the body begins and ends; a pass is all of
        them ``repeats`` times.
    """

    way: str
    lanes: list[bytes]
    bodies: list[tuple[int, int]]
    slots: int
    repeats: int = 1
    ring: int = 0
    live: int = 0
    breaks: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Workload:
    """What is known of a workload before it runs.

    isolation: "shared", all contenders in one process, or "process", a fresh one for each.
    threads: the fewest and the most that it runs with.
    contenders: those of a workload in Python, by the kind of their buffers, the base first; empty: all
        that have C functions. series: what of a round is compared; lower is better.
    draw: the words, from parameters, a seed and a number of threads.
    event_ns: what one of its events, or one of its ``count`` in Python, takes about, for the estimate; in Python with
        the time before, when as much is done and not timed.
    """

    name: str
    what: str
    parameters: dict[str, Any]
    unit: str = "ns per event"
    isolation: str = "shared"
    threads: tuple[int, int] = (1, 64)
    is_default: bool = False
    contenders: tuple[str, ...] = ()
    series: str = "wall_ns"
    draw: Callable[[Parameters, int, int], Plan] | None = None
    event_ns: float = 12

    @property
    def base(self) -> str:
        """The contender that the others are compared with."""
        return self.contenders[0] if self.contenders else "glibc"

    @property
    def metrics(self) -> tuple[str, ...]:
        """What can be measured of it."""
        return ("time",) if self.contenders else ("time", "latency", "memory", "check")

    def isolation_of(self, metric: str, threads: int) -> str:
        """The isolation of one comparison: threads, latency and resident bytes want a process each."""
        return "shared" if self.isolation == "shared" and metric == "time" and threads == 1 else "process"

    def threads_of(self, asked: Sequence[int]) -> list[int]:
        """Of the numbers of threads that were asked for, those to run: each brought into its limits, once."""
        fewest, most = self.threads
        return sorted({min(max(threads, fewest), most) for threads in asked})


# ---- words ---------------------------------------------------------------------------------


def _drawing(seed: int, lane: int) -> Any:
    from pybuf.bench import _workloads

    return _workloads.Drawing((seed * 64 + lane) & 0xFFFFFFFFFFFFFFFF)


def _repeated(
    parameters: Parameters, seed: int, threads: int, set_up: Callable[[Any], None], body: Callable[[Any], None]
) -> Plan:
    """Lanes alike but for what is drawn; as many bodies to a pass as make ``events``."""
    lanes, bodies, slots = [], [], 0
    for lane in range(threads):
        drawing = _drawing(seed, lane)
        set_up(drawing)
        start = drawing.count
        body(drawing)
        stop = drawing.count
        drawing.drain()
        lanes.append(drawing.taken())
        bodies.append((start, stop))
        slots = max(slots, drawing.slots)
    start, stop = bodies[0]
    return Plan("alone", lanes, bodies, slots, repeats=max(1, round(parameters["events"] / (stop - start))))


def _steps(parameters: Parameters, limit: int, cycle: int = 1) -> int:
    """Steps of a body, two events each: a multiple of ``cycle``, and no more than ``events`` need."""
    events: int = parameters["events"]
    return max(1, min(limit, events // 2) // cycle) * cycle


def _lifo_pair(p: Parameters, seed: int, threads: int) -> Plan:
    low, high, live = p["size"], p["size"], p["live"]
    return _repeated(p, seed, threads, lambda d: d.fill(live, low, high),
                     lambda d: d.pairs(live, low, high, _steps(p, BODY_STEPS)))  # fmt: skip


def _fifo(p: Parameters, seed: int, threads: int) -> Plan:
    low, high, live = p["low"], p["high"], p["live"]
    return _repeated(p, seed, threads, lambda d: d.fill(live, low, high),
                     lambda d: d.fifo(live, low, high, _steps(p, LONG_BODY_STEPS, live)))  # fmt: skip


def _random(p: Parameters, seed: int, threads: int) -> Plan:
    low, high, live = p["low"], p["high"], p["live"]
    return _repeated(p, seed, threads, lambda d: d.fill(live, low, high),
                     lambda d: d.replace(live, low, high, _steps(p, LONG_BODY_STEPS)))  # fmt: skip


def _batch(p: Parameters, seed: int, threads: int) -> Plan:
    low, high, live = p["low"], p["high"], p["live"]
    return _repeated(p, seed, threads, lambda d: None,
                     lambda d: d.batch(live, low, high, _steps(p, LONG_BODY_STEPS, live) // live))  # fmt: skip


def _ramps(p: Parameters, seed: int, threads: int) -> Plan:
    return _repeated(p, seed, threads, lambda d: None, lambda d: d.ramp(p["live"], p["low"], p["high"]))


def _shifts(p: Parameters, seed: int, threads: int) -> Plan:
    live = p["live"]

    def body(drawing: Any) -> None:
        drawing.replace(live, p["small_low"], p["small_high"], 3 * live)
        drawing.replace(live, p["large_low"], p["large_high"], 3 * live)

    return _repeated(p, seed, threads, lambda d: d.fill(live, p["small_low"], p["large_high"]), body)


def _size_table(p: Parameters, seed: int, threads: int) -> Plan:
    table = sizes.read(p["table"] or sizes.default_path())
    some_sizes, some_rates, some_live = table.scaled(p["live_bytes"] // threads, p["clip"])
    kinds, rates, live = array("Q", some_sizes), array("d", some_rates), array("Q", some_live)
    return _repeated(p, seed, threads, lambda d: d.populate(kinds, live),
                     lambda d: d.table(kinds, rates, live, _steps(p, LONG_BODY_STEPS)))  # fmt: skip


def _capture(p: Parameters) -> str:
    path: str = p["capture"]
    if not path:
        raise WorkloadError("network-bursts needs a capture: network-bursts:capture=FILE.pcap")
    return path


def _network_bursts(p: Parameters, seed: int, threads: int) -> Plan:
    frames = capture.read(_capture(p))
    return _repeated(p, seed, threads, lambda d: None,
                     lambda d: d.bursts(frames.lengths, frames.times_ns, p["hold_us"] * 1000))  # fmt: skip


def _producer_consumer(p: Parameters, seed: int, threads: int) -> Plan:
    low, high, live = p["low"], p["high"], p["live"]
    ring = 2 * live
    count = max(1, p["events"] // 2 // ring) * ring
    producer, consumer = _drawing(seed, 0), _drawing(seed, 1)
    producer.produce(ring, low, high, live + count)
    consumer.consume(ring, count + live)
    return Plan("handoff", [producer.taken(), consumer.taken()], [(live, live + count), (0, count)], ring,
                ring=ring, live=live)  # fmt: skip


def _outliving(p: Parameters, seed: int, threads: int) -> Plan:
    low, high, live = p["low"], p["high"], p["live"]
    drawing = _drawing(seed, 0)
    drawing.fill(live, low, high)
    breaks = [drawing.count]
    for _ in range(max(1, p["events"] // (2 * live))):
        drawing.replace_each(live, low, high)
        breaks.append(drawing.count)
    drawing.drain()
    return Plan("generations", [drawing.taken()], [(breaks[0], breaks[-1])], drawing.slots, breaks=breaks)


# ---- the registry --------------------------------------------------------------------------

#: Python: the kinds of buffers that a program would use where a pool could stand.
BUFFERS = ("bytearray", "numpy", "pyarrow", "deque-pool", "poolcore", "empty")
NETWORK = ("bytes", "bytearray", "reused", "deque-pool", "poolcore")

_PAIR = {"size": 1500, "live": 64, "events": 100_000}
_MIX = {"low": 16, "high": 1500, "live": 1000, "events": 400_000}

#: In the order of the tables.
WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("lifo-pair", "one block allocated and freed, beside live ones of its size", _PAIR,
                 is_default=True, draw=_lifo_pair),
        Workload("random", "a random one of the live blocks freed, one of another size allocated", _MIX,
                 is_default=True, draw=_random),
        Workload("size-table", "sizes, rates and live blocks of a table, scaled and clipped; Google's fleet by default",
                 {"table": "", "live_bytes": 64 << 20, "clip": 256 << 10, "events": 262_144},
                 is_default=True, isolation="process", draw=_size_table, event_ns=15),
        Workload("fifo", "the oldest of the live blocks freed, one of another size allocated", _MIX, draw=_fifo),
        Workload("batch", "blocks allocated, then freed in random order", {**_MIX, "low": 1500}, draw=_batch),
        Workload("ramps", "up to the live blocks and down to none, again and again",
                 {**_MIX, "live": 20_000}, isolation="process", draw=_ramps),
        Workload("shifts", "the mix of sizes shifts from small to large and back, at a constant number of blocks",
                 {"small_low": 16, "small_high": 300, "large_low": 1000, "large_high": 1500, "live": 10_000,
                  "events": 400_000}, isolation="process", draw=_shifts, event_ns=25),
        Workload("network-bursts", "a block for each frame of a packet capture, held for a time of the capture's clock",
                 {"capture": "", "hold_us": 200, "events": 400_000}, isolation="process", draw=_network_bursts),
        Workload("producer-consumer", "blocks that one thread allocates and another frees",
                 {"low": 1500, "high": 1500, "live": 512, "events": 400_000}, isolation="process", threads=(2, 2),
                 draw=_producer_consumer, event_ns=120),
        Workload("outliving", "blocks that outlive their thread: each generation frees those of the one before",
                 {**_MIX, "live": 8192}, isolation="process", threads=(1, 1), draw=_outliving),
        Workload("buffers", "Python: a buffer made, written to through a memoryview and dropped",
                 {"size": 1500, "live": 64, "count": 20_000}, "ns per buffer", threads=(1, 1), contenders=BUFFERS,
                 event_ns=500),
        Workload("asyncio-echo", "Python: messages to a server of this process and back, over loopback",
                 {"size": 1500, "count": 1000}, "ns per message", "process", (1, 1), contenders=NETWORK,
                 event_ns=55_000),
        Workload("asyncio-proxy", "Python: messages through a proxy to an echo server and back, over loopback",
                 {"size": 1500, "count": 500}, "ns per message", "process", (1, 1), contenders=NETWORK,
                 event_ns=100_000),
        Workload("udp-burst", "Python: bursts of datagrams over loopback, each received into a buffer of its own",
                 {"size": 1400, "burst": 32, "count": 100}, "ns per datagram", "process", (1, 1), contenders=NETWORK,
                 event_ns=260_000),
        Workload("audio-period", "Python: periods of audio mixed from fresh buffers; how many miss their deadline",
                 {"frames": 128, "rate": 48_000, "voices": 64, "deadline_us": 300, "count": 200},
                 "missed deadlines of all periods", "process", (1, 1),
                 contenders=("bytearray", "numpy", "deque-pool", "poolcore"), series="misses"),
    )
}  # fmt: skip

#: The three that run when none is named.
DEFAULTS = tuple(workload.name for workload in WORKLOADS.values() if workload.is_default)


def find(name: str) -> Workload:
    """The workload ``name``; WorkloadError, naming what there is, when there is none."""
    if name not in WORKLOADS:
        raise WorkloadError(f"unknown workload {name!r}; there are {', '.join(WORKLOADS)}")
    return WORKLOADS[name]


def parsed(text: str) -> tuple[Workload, dict[str, Any]] | None:
    """What a person names: ``NAME``, ``NAME:KEY=VALUE,KEY=VALUE``, a capture or a size table.

    None for the path of anything else, which may be a trace. Raises WorkloadError for unknown names and parameters
    and for a capture or a table that cannot be used.
    """
    name, _, settings = text.partition(":")
    if name in WORKLOADS:
        given = {}
        for setting in filter(None, settings.split(",")):
            key, equals, value = setting.partition("=")
            if not equals:
                raise WorkloadError(f"{text}: {setting!r} is no KEY=VALUE")
            given[key.strip()] = value.strip()
        return WORKLOADS[name], _readable(WORKLOADS[name], given)
    if text.endswith(CAPTURES):
        return WORKLOADS["network-bursts"], _readable(WORKLOADS["network-bursts"], {"capture": text})
    if text.endswith(".csv"):
        return WORKLOADS["size-table"], _readable(WORKLOADS["size-table"], {"table": text})
    if Path(text).exists():
        return None
    find(text)
    return None


def _readable(workload: Workload, given: Parameters) -> dict[str, Any]:
    """The complete parameters; the files that they name have been read to see that they can be."""
    parameters = complete(workload, given)
    try:
        if "table" in parameters:
            table = sizes.read(parameters["table"] or sizes.default_path())
            try:
                table.scaled(parameters["live_bytes"], parameters["clip"])
            except sizes.SizeTableError as failure:
                raise WorkloadError(f"{parameters['table'] or workload.name}: {failure}") from None
        if "capture" in parameters:
            capture.read(_capture(parameters))
    except (capture.CaptureError, sizes.SizeTableError) as failure:
        raise WorkloadError(str(failure)) from None
    return parameters


def complete(workload: Workload, given: Parameters) -> dict[str, Any]:
    """The parameters of a run: the given ones, as numbers where numbers belong, and the rest as they are by default.

    Numbers may end in K, M or G. Raises WorkloadError for names that the workload does not have and for values
    that are none.
    """
    parameters = dict(workload.parameters)
    for key, value in given.items():
        if key not in parameters:
            known = ", ".join(parameters)
            raise WorkloadError(f"{workload.name} has no parameter {key!r}; it has {known}")
        parameters[key] = value if isinstance(parameters[key], str) else _number(workload, key, value)
    for low, high in (("low", "high"), ("small_low", "small_high"), ("large_low", "large_high")):
        if low in parameters and parameters[low] > parameters[high]:
            raise WorkloadError(f"{workload.name}: {low}={parameters[low]} is above {high}={parameters[high]}")
    if workload.name == "producer-consumer" and parameters["live"] < 16:
        raise WorkloadError("producer-consumer: live must be 16 at least, as many as are handed over at once")
    return parameters


def _number(workload: Workload, key: str, value: Any) -> int:
    found = re.fullmatch(r"(\d+)([KMG]?)", str(value).strip().upper())
    if found is None or not 1 <= int(found[1]) * SUFFIXES.get(found[2], 1) <= 1 << 34:
        raise WorkloadError(f"{workload.name}: {key}={value}: expected a whole number from 1 to 16G")
    return int(found[1]) * SUFFIXES.get(found[2], 1)


def draw(workload: Workload, parameters: Parameters, seed: int, threads: int) -> Plan:
    """The words of a workload at the level of C. The same arguments give the same words everywhere.

    Raises WorkloadError, capture.CaptureError or sizes.SizeTableError for what cannot be drawn from.
    """
    fewest, most = workload.threads
    if workload.draw is None:
        raise WorkloadError(f"{workload.name} runs in Python: it has no words")
    if not fewest <= threads <= most:
        raise WorkloadError(f"{workload.name} runs with {fewest} to {most} threads; {threads} were asked for")
    return workload.draw(complete(workload, parameters), seed, threads)
