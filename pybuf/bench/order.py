"""The order of a replay: as recorded, one call after the other, or as the threads of the recording had to keep it.

Exact order plays all words in one thread. The order of threads replays what really constrains a program: a native
thread for each recorded one makes its calls in its own order, and a call on a block waits until the call before on that
block, if that was another thread's, is done; see ``_order``. Locks, joins and queues of the program are in no
recording: nothing else holds a thread back, and so threads may meet in the allocator that never met in the program.

**Think time** is what a thread did between its calls. Where the trace has times, it is replayed: before a call,
the thread pauses for as long as it did from when it could have made the call (its own last call was made, and the
other thread's call that this one waited for) until it made it. What recorder and allocator took then is part of that.
A program computes between most calls and sleeps in few: a pause of up to 50 us is spent on the processor, in a longer
one all but its last 50 us is slept, so that a thread that waits for something else than an allocation leaves its
processor to others. Pauses of less than 1 us are saved up until they make 1 us. A pause longer than
`LONGEST_PAUSE_NS` is taken for that long; and if a thread then still pauses for more than `THINK_LIMIT_NS` in all,
every pause of the recording is shortened in the same proportion. Shorter pauses mean more calls at once than there
were: how much was kept is part of the result. Traces without times are replayed without pauses, and contention is
overstated.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pybuf.bench import _order

if TYPE_CHECKING:
    from pybuf.bench.recordings.traces import Trace

ORDERS = ("exact", "threads")
#: Caches are cold and threads have parted after so long: a longer pause changes nothing but the time that it takes.
LONGEST_PAUSE_NS = 10_000_000
#: Of the thread that pauses most, in one pass.
THINK_LIMIT_NS = 250_000_000
#: Looks at memory during a replay, beside the one at the peak of live bytes.
SAMPLES = 64
#: Addresses of a malloc, free and realloc that do nothing; each thread has a ``pool`` of its own, its only block.
empty_functions = _order.empty_functions


class OrderError(ValueError):
    """A recording that cannot be replayed in the order of its threads; its text is one line that says why."""


@dataclass(frozen=True)
class Part:
    """One thread's words and points, in their files. Of its words ``recorded`` are its own, the rest only free."""

    word: int
    words: int
    recorded: int
    point: int
    points: int


@dataclass(frozen=True)
class Stop:
    """A moment of the recording: after so many words of each thread so many bytes are live."""

    live_bytes: int
    words: list[int]


@dataclass(frozen=True)
class Layout:
    """A recording that has been parted by its threads: the names of three files, and where in them what is.

    ``waits`` is how many calls depend on another thread's. ``think`` is the share of the recorded pauses that is
    replayed, None where none were recorded; ``think_ns`` is how long the thread pauses that does so most.
    """

    words: str
    points: str
    alignments: str | None
    parts: list[Part]
    stops: list[Stop]
    slots: int
    waits: int
    think: float | None
    think_ns: int

    def described(self, processors: int) -> str:
        """The order in a few words, for the table of a comparison; threads share so many processors."""
        think = "no think time: contention overstated"
        if self.think is not None:
            think = "think time as recorded"
            if self.think < 1:
                think = f"{self.think:.2%} of the think time: contention overstated"
        told = f"each thread in its own order, {self.waits:,} calls that depend on another thread's; {think}"
        if len(self.parts) > processors:
            told += f"; {len(self.parts)} threads take turns on {processors} processor{'s' * (processors > 1)}"
        return told


def part(trace: Trace) -> tuple[Layout, str]:
    """Part a trace by its threads, into files beside its words; answers them and the path of `load`'s file.

    Raises OrderError for a trace without thread ids, with more threads than can be replayed, or with more blocks that
    go from thread to thread than can be numbered; and when the files find no room.
    """
    if trace.threads is None:
        raise OrderError(
            f"{trace.path}: a trace of format {trace.format} has no thread ids, and without them there is no order of "
            "threads; record the program with pybuf record, or replay in --order exact")
    path = os.path.join(os.path.dirname(trace.words_path), "by-threads-")
    try:
        layout = _parted(trace, path)
        with open(path + "layout", "w") as file:
            json.dump(asdict(layout), file)
    except OverflowError as limit:
        raise OrderError(f"{trace.path}: {limit}; replay it in --order exact") from None
    except OSError as failure:
        raise OrderError(
            f"{trace.path}: its words, parted by threads, do not fit into {os.path.dirname(path)}: "
            f"{failure.strerror or failure}; set TMPDIR to a directory with more room") from None
    return layout, path + "layout"


def _parted(trace: Trace, path: str) -> Layout:
    total = len(trace.events)
    links = _file(path + "links", total)
    parting = _order.Parting(
        trace.events, trace.threads or b"", trace.times, trace.alignments, trace.recorded_words, trace.slots,
        LONGEST_PAUSE_NS, links)
    if parting.count_of_threads > _order.THREAD_LIMIT:
        raise OrderError(
            f"{trace.path}: {parting.count_of_threads:,} threads were recorded; up to {_order.THREAD_LIMIT:,} can be "
            "replayed; replay it in --order exact")
    paused = parting.survey()
    longest = max(think for think, _ in paused)
    whole = sum(whole for _, whole in paused)
    scale = min(1.0, THINK_LIMIT_NS / max(1, longest))
    kept = scale * sum(think for think, _ in paused) / whole if whole else 1.0
    counts = parting.count(scale)
    words_of = [words for words, _ in counts]
    recorded_of = [words_of[0] - (total - trace.recorded_words), *words_of[1:]]
    points_of = [points for _, points in counts]
    word_starts = [0, *accumulate(words_of)]
    point_starts = [0, *accumulate(points_of)]
    words = _file(path + "words", 8 * total)
    points = _file(path + "points", _order.POINT_BYTES * point_starts[-1])
    alignments = None if trace.alignments is None else _file(path + "alignments", total)
    recorded = trace.recorded_words
    stops = sorted({trace.peak_word, *(recorded * sample // SAMPLES for sample in range(1, SAMPLES + 1))})
    starts = [(word, 2 * point) for word, point in zip(word_starts, point_starts, strict=True)][:-1]
    found = parting.write(
        scale, starts, memoryview(words).cast("Q"), memoryview(points).cast("Q"), alignments, stops)
    os.remove(path + "links")
    return Layout(
        words=path + "words",
        points=path + "points",
        alignments=None if alignments is None else path + "alignments",
        parts=[Part(*one) for one in zip(word_starts, words_of, recorded_of, point_starts, points_of, strict=False)],
        stops=[Stop(live, done) for live, done in found],
        slots=parting.slots,
        waits=parting.waits,
        think=None if trace.times is None else kept,
        think_ns=int(scale * longest),
    )


def _file(path: str, size: int) -> mmap.mmap:
    """A new file of ``size`` zeros, one at least, mapped. OSError where there is no room for them."""
    size = max(size, 16)
    with open(path, "w+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # a hole without a disk behind it would be a bus error later
        else:
            file.truncate(size)
        return mmap.mmap(file.fileno(), size)


def load(path: str) -> Layout:
    """The layout that `part` wrote to ``path``."""
    with open(path) as file:
        found: dict[str, Any] = json.load(file)
    parts = [Part(**one) for one in found.pop("parts")]
    stops = [Stop(**one) for one in found.pop("stops")]
    return Layout(parts=parts, stops=stops, **found)


def unfit(name: str, threads: int, processors: int) -> str:
    """Why so many threads are refused on so few processors, in one line."""
    return (
        f"{name}: its {threads} threads are more than the {processors} processor{'s' * (processors > 1)} to run on, "
        "and would wait for each other's turn instead of each other's blocks; --oversubscribe replays them all the same"
    )


def crew(layout: Layout, lanes: Sequence[Any], points: memoryview, cpus: Sequence[int]) -> Any:
    """The threads that play ``lanes``, ready to be told up to which word; ``points`` are the bytes of the file."""
    size = _order.POINT_BYTES
    spans = [points[size * one.point:size * (one.point + one.points)] for one in layout.parts]
    return _order.Crew(list(lanes), spans, layout.slots, list(cpus))
