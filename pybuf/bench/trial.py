"""One trial: one trace, one contender, one fresh process.

    python -m pybuf.bench.trial '{"contender": "glibc", "words": FILE, ...}'

prints one JSON object. The process imports the standard library, the harness and poolcore, nothing
else, and has one thread. All memory of the harness itself (the trace, the table of live blocks) is
mapped and touched before the first event, so that none of its page faults are the contender's.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import sys
import time
from typing import Any, TypedDict

from pybuf.bench import _replay
from pybuf.bench.contenders import CONTENDERS, ContenderMissingError, Functions, load
from pybuf.bench.processor import pin

PAGE_BYTES = mmap.PAGESIZE
#: In a run that measures resident bytes: looks at them, beside the one at the peak of live bytes.
SAMPLES = 32


class Order(TypedDict):
    """What a trial is to do. ``words`` is a file of trace words, ``recorded`` how many are timed."""

    workload: str
    parameters: dict[str, Any]
    contenders: list[dict[str, Any]]
    metric: str
    touch: str
    threads: int
    passes: int
    rounds: int
    cpus: list[int]
    offset: int
    seed: int
    words: str
    recorded: int
    slots: int
    peak: int


def _table(size: int) -> mmap.mmap:
    """Zeroed memory of ``size`` bytes at least, all of it resident."""
    table = mmap.mmap(-1, max(size, 1))
    for page in range(0, size, PAGE_BYTES):
        table[page] = 0
    return table


def _trace(path: str) -> mmap.mmap:
    with open(path, "rb") as file:
        words = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    for page in range(0, len(words), PAGE_BYTES):
        words[page]
    return words


class _Resident:
    """Bytes of this process that are in memory. Reading them again allocates nothing that stays."""

    def __init__(self) -> None:
        # smaps_rollup is exact; the counters of statm lag behind by some pages for each processor.
        try:
            self.file = os.open("/proc/self/smaps_rollup", os.O_RDONLY)
        except OSError:
            self.file = -1
        self.read()

    def read(self) -> int:
        if self.file < 0:
            return 0
        os.lseek(self.file, 0, os.SEEK_SET)
        for line in os.read(self.file, 4096).splitlines():
            if line.startswith(b"Rss:"):
                return int(line.split()[1]) << 10
        return 0


class _Player:
    """Replays parts of one trace through one contender."""

    def __init__(self, order: Order, functions: Functions) -> None:
        self.functions = functions.malloc, functions.free, functions.realloc, functions.pool
        (entry,) = order["contenders"]
        self.name: str = entry["name"]
        known = CONTENDERS.get(entry.get("same_as") or self.name)
        self.is_gil_held = known is not None and known.is_gil_needed
        self.touch = "check" if order["metric"] == "check" else order["touch"]
        self.words = _trace(order["words"])
        self.slots = _table(order["slots"] * 8)
        self.marks = _table(order["slots"] * _replay.MARK_BYTES if self.touch == "check" else 0)
        self.last = len(self.words) // 8

    def play(self, first: int, last: int) -> None:
        stopped = _replay.replay(
            self.functions, self.words, self.slots, self.marks, first, last, self.touch, self.is_gil_held
        )
        if stopped != last:
            raise RuntimeError(self._failure(stopped))

    def _failure(self, index: int) -> str:
        word = int.from_bytes(self.words[index * 8:index * 8 + 8], sys.byteorder)
        slot, size = word >> 2 & 0x3FFFFFF, word >> 28
        where = f"at call {index + 1:,}"
        if size and not any(self.slots[slot * 8:slot * 8 + 8]):
            return f"gave no memory for {size:,} bytes {where}"
        return f"changed the bytes of a live block, seen {where}"


def _occupy(functions: Functions, size: int) -> None:
    """Allocate one block that stays: it shifts what comes after it, differently in every process."""
    if functions.pool is None:
        ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(functions.malloc)(size)
    else:
        call = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(functions.malloc)
        call(functions.pool, size)


def _timed(player: _Player, order: Order) -> dict[str, Any]:
    wall_ns: list[int] = []
    cpu_ns: list[int] = []
    for _ in range(order["passes"]):
        cpu = time.thread_time_ns()
        wall = time.perf_counter_ns()
        player.play(0, order["recorded"])
        wall_ns.append(time.perf_counter_ns() - wall)
        cpu_ns.append(time.thread_time_ns() - cpu)
        player.play(order["recorded"], player.last)
    measured = {"wall_ns": wall_ns, "cpu_ns": cpu_ns, "operations": order["recorded"]}
    return {"rounds": [{player.name: measured}]}


def _measured(player: _Player, order: Order) -> dict[str, Any]:
    # Freed memory of the interpreter is given back first: what is used again would cost nothing.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    resident = _Resident()
    if trim is not None:
        trim(0)
    before = resident.read()
    recorded = order["recorded"]
    stops = sorted({order["peak"], *(recorded * sample // SAMPLES for sample in range(1, SAMPLES + 1))})
    first, timeline = 0, []
    for stop in stops:
        player.play(first, stop)
        timeline.append([stop, 0, None, resident.read() - before])
        first = stop
    peak = max(point[3] or 0 for point in timeline)
    return {"memory": {player.name: {"timeline": timeline, "peak_resident_bytes": peak}}}


def run(order: Order) -> dict[str, Any]:
    """Do as ordered. A contender that cannot be had answers "missing", one that fails "disqualified"."""
    pin(order["cpus"][0])
    (entry,) = order["contenders"]
    name = entry["name"]
    try:
        functions = load(**entry)
    except ContenderMissingError as missing:
        return {"missing": {name: str(missing)}}
    answer: dict[str, Any] = {"origins": {name: functions.origin}}
    player = _Player(order, functions)
    _occupy(functions, order["offset"])
    try:
        answer.update(_measured(player, order) if order["metric"] == "memory" else _timed(player, order))
    except RuntimeError as failure:
        answer["disqualified"] = {name: str(failure)}
    return answer


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
