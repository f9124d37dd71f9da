"""What a trial is ordered to play: words, recorded or drawn, and where in them the timed body lies.

Words are mapped and resident before the first event. Those that are drawn are drawn by a process of their own, so that
the heap of the trial is as a fresh program's.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, NotRequired, TypedDict, cast

from pybuf.bench import _replay
from pybuf.bench import order as order_of
from pybuf.bench.children import RefusedError
from pybuf.bench.processor import end_with_parent
from pybuf.bench.workloads import Plan, draw, find

PAGE_BYTES = mmap.PAGESIZE
#: Words of a lane that are resident at once: a recording of any length is played with so much of it in memory.
WINDOW_WORDS = 1 << 23
WINDOW_BYTES = 8 * WINDOW_WORDS


class Entry(TypedDict):
    """A contender of an order: a name of CONTENDERS, or any name with what it is made of."""

    name: str
    library: NotRequired[str]
    settings: NotRequired[dict[str, Any]]
    same_as: NotRequired[str]
    work: NotRequired[int]


class Order(TypedDict):
    """What a trial is to do.

    workload, parameters: of WORKLOADS; or "trace", and then ``words`` is a file of trace words, ``alignments``
        one of their alignments, ``recorded`` how many are timed; or ``layout`` is a file of `order.load`.
    metric: "time", "latency", "memory" or "check". touch: "line", "page" or "all".
    passes: how often the timed body is played in one go. rounds: how often this process goes through its contenders, in
        random order; where several share it, these are the turns of one round of the run.
    offset: bytes of a block that stays, to shift what comes after it.
    """

    workload: str
    parameters: dict[str, Any]
    contenders: list[Entry]
    metric: str
    touch: str
    threads: int
    passes: int
    rounds: int
    cpus: list[int]
    offset: int
    seed: int
    words: NotRequired[str]
    alignments: NotRequired[str]
    recorded: NotRequired[int]
    slots: NotRequired[int]
    layout: NotRequired[str]


def zeroed(size: int) -> mmap.mmap:
    """Zeroed memory of ``size`` bytes at least, all of it resident."""
    table = mmap.mmap(-1, max(size, 1))
    for page in range(0, size, PAGE_BYTES):
        table[page] = 0
    return table


def _mapped(file: int, size: int) -> mmap.mmap:
    """A file's ``size`` bytes, all of them resident; of more than a window's, those that are played next will be."""
    found = mmap.mmap(file, size, access=mmap.ACCESS_READ)
    if size <= WINDOW_BYTES:
        make_resident(found, 0, size)
    return found


def make_resident(mapped: mmap.mmap, first: int, last: int) -> None:
    """Read a byte of every page from byte ``first`` to ``last``."""
    for page in range(first, last, PAGE_BYTES):
        mapped[page]


def mapped_path(path: str) -> mmap.mmap:
    """The bytes of a file, resident as far as they are played next."""
    with open(path, "rb") as file:
        return _mapped(file.fileno(), os.fstat(file.fileno()).st_size)


# ---- words ---------------------------------------------------------------------------------


@dataclass
class Lane:
    """One thread's words: mapped, with where the timed body begins and ends."""

    words: mmap.mmap | memoryview
    start: int
    stop: int
    alignments: mmap.mmap | memoryview | None = None

    @property
    def count(self) -> int:
        """How many words there are."""
        return len(self.words) // 8


@dataclass
class Score:
    """All that is played, the same for every contender of this process."""

    plan: Plan
    lanes: list[Lane]
    alignments: mmap.mmap | None
    events: int
    slots: int
    peak_word: int
    #: Numbers of the operations that occur, and the size of the largest block.
    operations: set[int]
    largest: int
    #: Whether any alignment is more than every allocation has anyway.
    has_alignments: bool
    layout: order_of.Layout | None = None
    #: Whether a program's recording is played: it begins with nothing, and each pass is a run of the program.
    is_recorded: bool = False


def score_of(order: Order) -> Score:
    """The words of an order. Raises RefusedError, one line, for what cannot be drawn or read."""
    name = order["workload"]
    try:
        if "layout" in order:
            return _threaded(order)
        return _recorded(order) if name == "trace" else _drawn(order)
    except OSError as failure:
        raise RefusedError(
            f"{name}: no room for its events in {tempfile.gettempdir()}: {failure.strerror or failure}; set TMPDIR to "
            "a directory with more") from None
    except MemoryError:
        raise RefusedError(f"{name}: no memory for its events; give it fewer") from None
    except (ValueError, OverflowError) as failure:
        told = str(failure)
        raise RefusedError(told if told.startswith(name) else f"{name}: {told}") from None


def passed(words: mmap.mmap | memoryview, width: int, first: int = 0, last: int = -1) -> Iterator[tuple[int, int]]:
    """Entries of ``width`` bytes, from first to last, in parts: those of a long file do not stay when one is done."""
    count = len(words) // width
    last = count if last < 0 else last
    is_long = isinstance(words, mmap.mmap) and count > WINDOW_WORDS
    for start in range(first, last, WINDOW_WORDS):
        stop = min(start + WINDOW_WORDS, last)
        yield start, stop
        if is_long:
            page = start * width // PAGE_BYTES * PAGE_BYTES
            cast(mmap.mmap, words).madvise(mmap.MADV_DONTNEED, page, stop * width - page)


def feed(found: _replay.Profile, words: mmap.mmap | memoryview, first: int, last: int) -> None:
    """Have a profile look at the words from first to last."""
    for start, stop in passed(words, 8, first, last):
        found.feed(words, start, stop)


def _score(plan: Plan, lanes: list[Lane], alignments: mmap.mmap | None = None, **more: Any) -> Score:
    events = slots = peak_word = largest = bits = 0
    for lane in lanes:
        found = _replay.Profile()
        feed(found, lane.words, 0, lane.start)
        before = found.events
        feed(found, lane.words, lane.start, lane.stop)
        events += found.events - before
        slots, peak_word = max(slots, found.slots), peak_word or found.peak_word
        bits, largest = bits | found.operations, max(largest, found.largest)
    operations = {operation for operation in range(4) if bits >> operation & 1}
    has_alignments = alignments is not None and any(
        re.search(rb"[\x05-\xff]", memoryview(alignments)[first:last]) for first, last in passed(alignments, 1))
    return Score(
        plan, lanes, alignments, events * plan.repeats, max(slots, plan.slots), peak_word, operations, largest,
        has_alignments, **more,
    )


def _recorded(order: Order) -> Score:
    words = mapped_path(order["words"])
    stop = order.get("recorded", len(words) // 8)
    plan = Plan("alone", [], [(0, stop)], order.get("slots", 0))
    alignments = mapped_path(order["alignments"]) if order.get("alignments") else None
    return _score(plan, [Lane(words, 0, stop)], alignments, is_recorded=True)


def _threaded(order: Order) -> Score:
    """The words of a recording, a lane for each of its threads."""
    layout = order_of.load(order["layout"])
    words = memoryview(mapped_path(layout.words))
    alignments = None if layout.alignments is None else mapped_path(layout.alignments)
    lanes = []
    for part in layout.parts:
        own = None if alignments is None else memoryview(alignments)[part.word:part.word + part.words]
        lanes.append(Lane(words[8 * part.word:8 * (part.word + part.words)], 0, part.recorded, own))
    bodies = [(lane.start, lane.stop) for lane in lanes]
    return _score(Plan("threads", [], bodies, layout.slots), lanes, alignments, layout=layout, is_recorded=True)


def _drawn(order: Order) -> Score:
    """Draw in a child, where there can be one: what drawing allocates would shape the heap of this process."""
    workload = find(order["workload"])

    def drawn() -> Plan:
        return draw(workload, order["parameters"], order["seed"], order["threads"])

    with tempfile.TemporaryFile(prefix="pybuf-") as file:
        if hasattr(os, "fork"):
            facts = _told_by_a_child(drawn, file.fileno())
        else:
            plan = drawn()
            facts = _written(plan, file.fileno())
        lengths = facts.pop("lengths")
        whole = _mapped(file.fileno(), sum(lengths))
    lanes, offset = [], 0
    for length, (start, stop) in zip(lengths, facts["bodies"], strict=True):
        words = zeroed(length)
        words[:length] = whole[offset:offset + length]
        lanes.append(Lane(words, start, stop))
        offset += length
    whole.close()
    return _score(Plan(lanes=[], **facts), lanes)


def _written(plan: Plan, file: int) -> dict[str, Any]:
    for words in plan.lanes:
        rest = memoryview(words)
        while rest:
            rest = rest[os.write(file, rest):]
    return {**asdict(replace(plan, lanes=[])), "lengths": [len(words) for words in plan.lanes]}


def _told_by_a_child(drawn: Callable[[], Plan], file: int) -> dict[str, Any]:
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if not child:
        status = 1
        try:
            end_with_parent(parent)
            os.close(reading)
            try:
                told = json.dumps(_written(drawn(), file))
            except (ValueError, OverflowError, MemoryError, OSError) as failure:
                told = json.dumps({"failure": str(failure)})
            with open(writing, "w") as pipe:
                pipe.write(told)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    facts: dict[str, Any] = json.loads(text) if text else {"failure": "drawing the workload failed"}
    if "failure" in facts:
        raise ValueError(facts["failure"])
    facts.pop("lanes")
    return facts
