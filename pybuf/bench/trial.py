"""One trial: one workload in one fresh process, with one contender or with several in turn.

    python -m pybuf.bench.trial '{"workload": "lifo-pair", "contenders": [{"name": "glibc"}], ...}'

prints one JSON object. The process imports the standard library, the harness and poolcore, nothing else
(workloads in Python also import what they measure), and has one thread unless the workload has more. All
memory of the harness itself (words, the table of live blocks) is mapped and touched before the first
event, so that none of its page faults are a contender's; words are drawn by a process of their own, so that the heap
of this one is as a fresh program's.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, cast

from pybuf.bench import _replay, children
from pybuf.bench import order as order_of
from pybuf.bench.contenders import CONTENDERS, ContenderMissingError, Functions, load
from pybuf.bench.processor import end_with_parent, pin
from pybuf.bench.score import (
    PAGE_BYTES,
    WINDOW_WORDS,
    Entry,
    Order,
    Score,
    feed,
    make_resident,
    mapped_path,
    score_of,
    zeroed,
)
from pybuf.bench.workloads import WORKLOADS, complete

#: In a run that measures memory: looks at it, beside the one at the peak of live bytes.
SAMPLES = 64
OPERATIONS = ("allocate", "free", "reallocate")
FREE, REALLOCATE, ZEROED = 1, 2, 3


class FailedError(Exception):
    """A contender did not do as an allocator must; its text says what."""


# ---- playing -------------------------------------------------------------------------------


class Player:
    """Plays the words of a workload through one contender: `set_up`, `play` as often as wanted, `tear_down`.

    FailedError from each of them when the contender did not do as an allocator must.
    """

    def __init__(self, order: Order, score: Score, functions: Functions, is_gil_held: bool) -> None:
        self.score = score
        self.touch = "page" if order["metric"] == "memory" and order["touch"] == "line" else order["touch"]
        self.is_gil_held = is_gil_held
        self.owner = functions.owner
        lacks = _lacking(score, functions)
        self.emulated = sorted(lacks)
        self.kind = {"latency": "latency", "check": "check"}.get(order["metric"], "plain")
        if self.kind == "plain" and (lacks or score.has_alignments or ZEROED in score.operations):
            self.kind = "full"
        # What sets up is not timed, but leaves the marks that the body needs.
        self.set_up_kind = "full" if self.kind == "latency" else self.kind
        self.blocks: list[mmap.mmap] = []
        self.counts: list[mmap.mmap] = []
        self.slots: list[mmap.mmap] = []
        self.lanes: list[_replay.Lane] = []
        addresses: tuple[int | None, ...] = (
            functions.malloc, functions.free, functions.realloc, functions.pool, functions.calloc, functions.aligned)
        is_shared = score.plan.way in ("handoff", "threads")
        marks: mmap.mmap | None = None
        for lane in score.lanes:
            if not self.slots or not is_shared:
                self.slots.append(zeroed(score.slots * 8))
                marks = None if self.kind == "plain" else zeroed(score.slots * _replay.MARK_BYTES)
            self.counts.append(zeroed(_replay.HISTOGRAM_BYTES))
            if score.layout is not None and functions.malloc == _replay.empty_functions()[0]:
                addresses = self._empty_functions()
            self.lanes.append(
                _replay.Lane(addresses, lane.words, self.slots[-1], marks, lane.alignments or score.alignments,
                             self.counts[-1])
            )
        self.cpus = order["cpus"]
        threads = order["threads"]
        self.team: Any = None
        self.waiting: list[float] = []
        self.is_played = False
        if score.layout is not None:
            self.points = memoryview(mapped_path(score.layout.points))
            self.team = order_of.crew(score.layout, self.lanes, self.points, self.cpus)
        elif score.plan.way == "handoff" or threads > 1:
            from pybuf.bench._workloads import Team

            self.team = Team([self.cpus[thread % len(self.cpus)] for thread in range(len(self.lanes))])

    def _empty_functions(self) -> tuple[int, ...]:
        block = zeroed(PAGE_BYTES) if self.touch == "line" else mmap.mmap(-1, max(self.score.largest, PAGE_BYTES))
        malloc, free, realloc = order_of.empty_functions()
        self.blocks.append(block)
        return malloc, free, realloc, ctypes.addressof(ctypes.c_char.from_buffer(block)), realloc, realloc

    def set_up(self) -> None:
        """Allocate what lives before the body."""
        if self.score.plan.way == "threads":
            return
        if self.score.plan.way == "handoff":
            producer = self.score.lanes[0]
            self._together([(0, producer.start), (0, 0)], self.set_up_kind)
        elif self.score.plan.way == "generations":
            self._generations([0, self.score.lanes[0].start], self.set_up_kind)
        else:
            self._together([(0, lane.start) for lane in self.score.lanes], self.set_up_kind)

    def play(self) -> tuple[int, int, float]:
        """One pass: (wall_ns, cpu_ns, the worst thread's wall / processor time)."""
        plan = self.score.plan
        bodies = [(lane.start, lane.stop) for lane in self.score.lanes]
        if plan.way == "handoff":
            return self._handed_over(bodies)
        if plan.way == "generations":
            return self._generations(plan.breaks, self.kind)
        if plan.way == "threads":
            self.team.rewind()
            wall, cpu, waited, spent = self._in_order([stop for _, stop in bodies])
            self.tear_down()
            self.waiting.append(waited / max(spent, 1))
            return wall, cpu, wall / max(cpu, 1)
        times = self._together(bodies, self.kind, plan.repeats)
        if self.score.is_recorded:
            # The program ended here: what it never freed is not there when it begins again.
            self.tear_down()
        return times

    def threaded(self) -> dict[str, Any]:
        """The share of time that the threads waited for each other in each pass, and the peak of live bytes.

        That is found in a pass of its own, after those that were timed: counting is contention of its own.
        """
        if self.score.plan.way != "threads":
            return {}
        waiting, self.waiting = self.waiting, []
        self.team.rewind()
        self._in_order([lane.stop for lane in self.score.lanes], is_counting=True)
        self.tear_down()
        return {"waiting": waiting, "peak_live_bytes": self.team.peak_live_bytes}

    def tear_down(self) -> None:
        """Free what is left."""
        ends = [(lane.stop, lane.count) for lane in self.score.lanes]
        if self.score.is_recorded and not self.is_played:
            return
        if self.score.plan.way == "threads":
            self._judge([self.lanes[0].play(*ends[0], self.set_up_kind, self.touch)], ends[:1])
        else:
            self._together(ends, self.set_up_kind)
        self.is_played = False

    def parts(self) -> Iterator[tuple[list[int], Callable[[], object]]]:
        """The way from nothing through one body, in parts: where each lane is afterwards, and what plays the part."""
        plan, lanes = self.score.plan, self.score.lanes
        if self.score.layout is not None:
            self.team.rewind()
            for stop in self.score.layout.stops:
                yield stop.words, partial(self._in_order, stop.words)
            return
        if plan.way == "generations":
            for first, last in pairwise([0, *plan.breaks]):
                yield [last], partial(self._generations, [first, last], self.kind)
            return
        if plan.way == "handoff":
            producer = lanes[0]
            yield [producer.start, 0], self.set_up
            length = producer.stop - producer.start
            stops = [length * sample // SAMPLES for sample in range(SAMPLES + 1)]
            for first, last in pairwise(stops):
                spans = [(lane.start + first, lane.start + last) for lane in lanes]
                yield [last for _, last in spans], partial(self._handed_over, spans)
            return
        stops_of = [[lane.stop * sample // SAMPLES for sample in range(SAMPLES + 1)] for lane in lanes]
        if len(lanes) == 1:
            stops_of = [sorted({*stops_of[0], self.score.peak_word})]
        for firsts, lasts in pairwise(zip(*stops_of, strict=True)):
            spans = list(zip(firsts, lasts, strict=True))
            yield list(lasts), partial(self._together, spans, self.kind)

    def _together(self, spans: list[tuple[int, int]], kind: str, repeats: int = 1) -> tuple[int, int, float]:
        self.is_played = self.is_played or any(first != last for first, last in spans)
        if self.team is not None:
            parts = [(lane, *span) for lane, span in zip(self.lanes, spans, strict=True)]
            stopped, times = self.team.play(parts, kind, self.touch, repeats)
            self._judge(stopped, spans)
            return times  # type: ignore[no-any-return]
        wall = cpu = 0
        for first, last in self._windows(*spans[0]):
            cpu -= time.thread_time_ns()
            wall -= time.perf_counter_ns()
            stopped_at = self.lanes[0].play(first, last, kind, self.touch, self.is_gil_held, repeats)
            wall += time.perf_counter_ns()
            cpu += time.thread_time_ns()
            self._judge([stopped_at], [(first, last)])
        return wall, cpu, wall / max(cpu, 1)

    def _windows(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The words from first to last, in parts that are resident while they are played."""
        score = self.score
        if not score.is_recorded or score.lanes[0].count <= WINDOW_WORDS:
            yield first, last
            return
        files = [(cast(mmap.mmap, score.lanes[0].words), 8)]
        files += [] if score.alignments is None else [(score.alignments, 1)]
        for start in range(first, last, WINDOW_WORDS):
            stop = min(start + WINDOW_WORDS, last)
            for mapped, width in files:
                make_resident(mapped, start * width, stop * width)
            yield start, stop
            for mapped, width in files:
                page = start * width // PAGE_BYTES * PAGE_BYTES
                mapped.madvise(mmap.MADV_DONTNEED, page, stop * width - page)

    def _in_order(self, stops: list[int], is_counting: bool = False) -> tuple[int, int, int, int]:
        done, wall, cpu, waited, spent = self.team.play(stops, self.kind, self.touch, is_counting)
        for number, (index, has_failed) in enumerate(done):
            if has_failed:
                raise FailedError(self._failure(number, index))
        self.is_played = True
        return wall, cpu, waited, spent

    def _handed_over(self, spans: list[tuple[int, int]]) -> tuple[int, int, float]:
        plan = self.score.plan
        parts = [(lane, *span) for lane, span in zip(self.lanes, spans, strict=True)]
        stopped, times = self.team.hand_over(parts, self.kind, self.touch, plan.ring, plan.live)
        self._judge(stopped, spans)
        return times  # type: ignore[no-any-return]

    def _generations(self, breaks: list[int], kind: str) -> tuple[int, int, float]:
        from pybuf.bench._workloads import play_generations

        stopped, times = play_generations(self.lanes[0], breaks, kind, self.touch, self.cpus[0])
        self._judge(stopped, [(breaks[0], breaks[-1])])
        return times

    def _judge(self, stopped: list[int], spans: list[tuple[int, int]]) -> None:
        for number, (index, (_, last)) in enumerate(zip(stopped, spans, strict=True)):
            if index != last:
                raise FailedError(self._failure(number, index))

    def _failure(self, lane: int, index: int) -> str:
        words = self.score.lanes[lane].words
        word = int.from_bytes(words[index * 8:index * 8 + 8], sys.byteorder)
        slot, size = word >> 2 & 0x3FFFFFF, word >> 28
        slots = self.slots[min(lane, len(self.slots) - 1)]
        where = f"at call {index + 1:,}" + (f" of thread {lane + 1}" if len(self.lanes) > 1 else "")
        block = int.from_bytes(slots[slot * 8:slot * 8 + 8], sys.byteorder)
        if word & 3 != FREE and size and not block:
            return f"gave no memory for {size:,} bytes {where}"
        needed = self._alignment(lane, index, size, word & 3)
        if word & 3 != FREE and block & needed - 1:
            return f"gave a block of {size:,} bytes that is not aligned to {needed:,} {where}"
        return f"changed the bytes of a live block, seen {where}"

    def _alignment(self, lane: int, index: int, size: int, operation: int) -> int:
        """What the block of a word must be aligned to, as the checked loop has it."""
        asked = self.score.lanes[lane].alignments or self.score.alignments
        shift = 0 if asked is None or operation == REALLOCATE else asked[index]
        return max(_replay.least_alignment(size), 1 << shift)

    def close(self) -> None:
        """End the threads."""
        if self.team is not None:
            self.team.close()


def _is_gil_needed(entry: Entry) -> bool:
    name = entry.get("same_as", entry["name"])
    return "library" not in entry and name in CONTENDERS and CONTENDERS[name].is_gil_needed


def _lacking(score: Score, functions: Functions) -> list[str]:
    """Of the functions that the score calls, those that are emulated by allocating, copying and freeing."""
    wanted = {"realloc": (REALLOCATE in score.operations, functions.realloc),
              "calloc": (ZEROED in score.operations, functions.calloc),
              "aligned_alloc": (score.has_alignments, functions.aligned)}  # fmt: skip
    return [name for name, (is_wanted, address) in wanted.items() if is_wanted and not address]


def _occupy(functions: Functions, size: int) -> None:
    """Allocate one block that stays: it shifts what comes after it, differently in every process."""
    if functions.pool is None:
        ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(functions.malloc)(size)
    else:
        call = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(functions.malloc)
        call(functions.pool, size)


def _loaded(entry: Entry) -> Functions:
    functions = load(**entry)
    if _is_empty(entry):  # all that it has are functions that do nothing
        return replace(functions, calloc=functions.realloc, aligned=functions.realloc)
    return functions


def _is_empty(entry: Entry) -> bool:
    return entry.get("same_as", entry["name"]) == "empty" and "library" not in entry


def _unfit(order: Order, score: Score, entry: Entry) -> str | None:
    """Why a contender has no place in this comparison, if it has none."""
    if _is_gil_needed(entry) and (score.plan.way != "alone" or order["threads"] > 1):
        return "is called with the GIL held, which one thread has at a time: it runs on one thread only"
    if _is_empty(entry):
        if order["metric"] in ("check", "memory"):
            return "is the harness alone: it has no blocks to look at"
        if order["touch"] == "all" and order["threads"] > 1 and score.plan.way != "handoff":
            return "has one block for all, and threads that touch all of it would take it from each other"
        if order["touch"] != "line" and score.largest > _replay.EMPTY_BYTES:
            most = _replay.EMPTY_BYTES
            return f"has no more than {most:,} bytes to touch; the largest block is of {score.largest:,} bytes"
    return None


# ---- what is measured ----------------------------------------------------------------------


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


def _live_along(words: mmap.mmap | memoryview, stops: list[int]) -> list[int]:
    found = _replay.Profile()
    live = []
    for first, last in pairwise([0, *stops]):
        feed(found, words, first, last)
        live.append(found.live_bytes)
    return live


def _live_bytes(score: Score, ends: list[list[int]]) -> list[int]:
    """Live bytes where the lanes are at each of ``ends``."""
    if score.layout is not None:
        return [stop.live_bytes for stop in score.layout.stops]
    if score.plan.way == "handoff":
        producer = score.lanes[0].words
        sizes = memoryview(producer).cast("Q")
        live = []
        for made, freed in ends:
            live.append(sum(word >> 28 for word in sizes[freed:made]))
        return live
    per_lane = [
        _live_along(lane.words, [end[number] for end in ends]) for number, lane in enumerate(score.lanes)
    ]
    return [sum(live) for live in zip(*per_lane, strict=True)]


def _timed(players: dict[str, Player], order: Order, answer: dict[str, Any]) -> None:
    shuffle = random.Random(order["seed"]).sample
    is_shared = len(players) > 1
    for name in list(players):
        with _dropping(players, name, answer):
            players[name].set_up()
            if is_shared:
                players[name].play()
    rounds = answer["rounds"] = []
    for _ in range(order["rounds"]):
        taken: dict[str, Any] = {}
        for name in shuffle(list(players), len(players)):
            with _dropping(players, name, answer):
                passes = [players[name].play() for _ in range(order["passes"])]
                wall_ns, cpu_ns, idle = zip(*passes, strict=True)
                taken[name] = {"wall_ns": wall_ns, "cpu_ns": cpu_ns, "idle": idle,
                               "operations": players[name].score.events,
                               **(players[name].threaded() if order["metric"] == "time" else {})}  # fmt: skip
        rounds.append(taken)
    for name in list(players):
        with _dropping(players, name, answer):
            players[name].tear_down()


@contextmanager
def _dropping(players: dict[str, Player], name: str, answer: dict[str, Any]) -> Iterator[None]:
    """Disqualifies a contender that fails inside, and goes on without it."""
    try:
        yield
    except FailedError as failure:
        answer.setdefault("disqualified", {})[name] = str(failure)
        players.pop(name).close()


def _latencies(players: dict[str, Player], order: Order, answer: dict[str, Any]) -> None:
    answer["histogram"], answer["histograms"] = {}, {}
    _timed(players, order, answer)
    for name, player in players.items():
        merged: dict[int, int] = {}
        by_operation: dict[str, dict[int, int]] = {operation: {} for operation in OPERATIONS}
        for counts in player.counts:
            for operation, histogram in zip(OPERATIONS, _replay.histograms(counts), strict=True):
                for ns, count in histogram:
                    merged[ns] = merged.get(ns, 0) + count
                    by_operation[operation][ns] = by_operation[operation].get(ns, 0) + count
        answer["histogram"][name] = sorted(map(list, merged.items()))
        answer["histograms"][name] = {
            operation: sorted(map(list, found.items())) for operation, found in by_operation.items() if found
        }


def _memory(players: dict[str, Player], order: Order, answer: dict[str, Any]) -> None:
    answer["memory"] = {}
    # Freed memory of the interpreter is given back first: what is used again would cost nothing.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    resident = _Resident()
    for name in list(players):
        player = players[name]
        ends: list[list[int]] = []
        seen: list[tuple[int | None, int]] = []
        with _dropping(players, name, answer):
            _slab_bytes(player)
            if trim is not None:
                trim(0)
            before = resident.read()
            for end, play in player.parts():
                play()
                now = resident.read() - before
                ends.append(end)
                seen.append((_slab_bytes(player), now))
            player.tear_down()
            live = _live_bytes(player.score, ends)
            answer["memory"][name] = {
                "timeline": [
                    [sum(end), live_bytes, slab, now]
                    for end, live_bytes, (slab, now) in zip(ends, live, seen, strict=True)
                ],
                "peak_resident_bytes": max(now for _, now in seen),
                "peak_live_bytes": max(live),
            }
            if _pool_of(player) is not None:
                peak = max(range(len(live)), key=live.__getitem__)
                for number, (_, play) in enumerate(player.parts()):
                    play()
                    if number == peak:
                        answer["slab_map"] = _slab_map(player)
                player.tear_down()


def _pool_of(player: Player) -> Any:
    owner = player.owner
    return owner[0] if isinstance(owner, tuple) and hasattr(owner[0], "stats") else None


def _slab_bytes(player: Player) -> int | None:
    pool = _pool_of(player)
    if pool is None:
        return None
    stats = pool.stats()
    return int(stats.capacity_bytes + stats.external_waste_bytes)


def _slab_map(player: Player) -> list[list[Any]]:
    """[granule, "slab" or "run", class_bytes, live, blocks] of each granule in which a block begins, by address."""
    granules: dict[int, list[Any]] = {}
    shift = 16
    for block in _pool_of(player).live():
        granule = block.address >> shift
        is_slab = block.capacity < 1 << shift
        blocks = (1 << shift) // block.capacity if is_slab else 1
        row = granules.setdefault(granule, [granule, "slab" if is_slab else "run", block.capacity, 0, blocks])
        row[3] += 1
    first = min(granules, default=0)
    return [[row[0] - first, *row[1:]] for _, row in sorted(granules.items())]


def _checked(players: dict[str, Player], order: Order, answer: dict[str, Any]) -> None:
    """A pattern in every block, verified before it goes."""
    _timed(players, order, answer)
    answer["checked"] = list(players)


METRICS = {"time": _timed, "latency": _latencies, "memory": _memory, "check": _checked}


def run(order: Order) -> dict[str, Any]:
    """Do as ordered.

    Answers ``origins``, ``events`` of one pass, ``rounds`` and what the metric adds. A contender that cannot be had or
    has no place here is under ``missing`` with the reason, one that fails under ``disqualified``; ``emulated`` has the
    functions that one lacks.
    """
    pin(order["cpus"][0])
    if order["workload"] in WORKLOADS and WORKLOADS[order["workload"]].contenders:
        from pybuf.bench import python_workloads

        parameters = complete(WORKLOADS[order["workload"]], order["parameters"])
        kinds = {entry["name"]: entry.get("same_as", entry["name"]) for entry in order["contenders"]}
        return python_workloads.run(
            order["workload"], parameters, kinds, order["rounds"], order["passes"], order["seed"]
        )
    players, answer = prepare(order)
    METRICS[order["metric"]](players, order, answer)
    for player in players.values():
        player.close()
    return answer


def prepare(order: Order) -> tuple[dict[str, Player], dict[str, Any]]:
    """The contenders of an order that can be had, ready to `Player.set_up`, and the answer so far.

    Raises RefusedError, one line, for what cannot be drawn or read.
    """
    score = score_of(order)
    answer: dict[str, Any] = {"origins": {}, "events": score.events}
    players: dict[str, Player] = {}
    for entry in order["contenders"]:
        name = entry["name"]
        reason = _unfit(order, score, entry)
        if reason is None:
            try:
                functions = _loaded(entry)
            except ContenderMissingError as missing:
                reason = str(missing)
        if reason is not None:
            answer.setdefault("missing", {})[name] = reason
            continue
        answer["origins"][name] = functions.origin
        _occupy(functions, order["offset"])
        players[name] = Player(order, score, functions, _is_gil_needed(entry))
        if players[name].emulated:
            answer.setdefault("emulated", {})[name] = players[name].emulated
    return players, answer


if __name__ == "__main__":
    end_with_parent()
    children.answer(lambda: run(json.loads(sys.argv[1])))
