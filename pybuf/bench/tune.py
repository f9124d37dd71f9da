"""Fits a pool's size classes to what a program allocates, and says what that is worth.

Half of a recording is fitted to, the other half judges. Classes are chosen by dynamic programming over the
multiples of the alignment, exactly, for each number of classes. What the programming minimizes is a stand-in:
the room that the live blocks take, were every slab full. The bytes of half-empty slabs, and of slabs that a heap
keeps, depend on the order of events, so the numbers of classes are tried out: each of a short grid replays the
first half through a real pool, which has addresses and no memory, and its statistics are what counts. Of a
pool's other settings none changes how many slabs it takes.
"""

from __future__ import annotations

import gzip
import lzma
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import poolcore
from pybuf.bench import _tune, capture, sizes, workloads
from pybuf.bench.files import opened
from pybuf.bench.recordings import rmm, traces

ALIGNMENT = 16
SLAB_BYTES = 1 << 16
CLASSES_MAX = 96
#: Numbers of classes that are tried out.
GRID = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 32, 40, 48, 64, 80)
#: Looks at a pool in each half, at equal distances, beside the one where most bytes live.
LOOKS = 256
#: A smaller gain, on average of peak and mean, is not worth a setting.
LEAST_GAIN = 0.01
#: Of numbers of classes that are this near to the best one, the smallest is taken.
NEAR = 0.005
#: Classes for sizes that the first half did not have are so far apart: each may come to a half-empty slab.
SPARE_STEP = {"slab": 1.5, "internal": 1.0}
#: What a size table is scaled to when it holds more, or less.
LIVE_MOST, LIVE_LEAST = 64 << 20, 1 << 20
#: Base and size of a pool without memory: above page zero, and more than any program allocates.
ADDRESSES = (1 << 20, 1 << 46)
SCHEMA = 1

KEEP = "Keep the default classes."

Tell = Callable[[str], object]


class TuneError(ValueError):
    """What was given cannot be tuned for; its text is one line that names it."""


@dataclass(frozen=True)
class Half:
    """Words ``first`` to ``last`` of a recording, with those before them to come there.

    ``words`` and ``alignments`` are as in ``traces.py``; alignments are log2 for each word, or None.
    """

    name: str
    words: memoryview
    alignments: memoryview | None
    slots: int
    first: int
    last: int


@dataclass(frozen=True)
class Subject:
    """What is tuned for. ``fit`` is chosen by, ``judge`` decides; ``owner`` keeps their words."""

    name: str
    what: str
    fit: Half
    judge: Half
    notes: list[str]
    owner: object = None


@dataclass(frozen=True)
class Measured:
    """What a pool held while a half ran, in bytes.

    slab      slabs and whole-slab blocks that are not given back to the arena, half-empty and kept ones included
    internal  of live blocks, what was not asked for
    Peaks are the most of LOOKS looks and of the moment at which most bytes live; means are over the looks.
    """

    slab_peak: int
    slab_mean: float
    internal_peak: int
    internal_mean: float
    #: [words, slab bytes, live bytes, wasted inside blocks] of each look.
    timeline: list[list[int]]

    def of(self, objective: str) -> tuple[float, float]:
        """Peak and mean of what is to be small."""
        if objective == "slab":
            return self.slab_peak, self.slab_mean
        return self.internal_peak, self.internal_mean


@dataclass(frozen=True)
class Floor:
    """What no classes can save, in bytes, where most bytes live and on average over the events.

    live     what the program asked for
    rounded  the same, each block rounded up to the alignment, and to whole slabs above the largest class there can be
    """

    live_peak: int
    live_mean: float
    rounded_peak: int
    rounded_mean: float


@dataclass(frozen=True)
class Judged:
    """One half: the default classes, the fitted ones, and what no classes can save."""

    name: str
    default: Measured
    fitted: Measured
    floor: Floor

    def changes(self, objective: str) -> tuple[float, float]:
        """Of peak and mean, fitted over default, less 1: negative is saved."""
        peak, mean = (_ratio(new, old) - 1 for new, old in zip(
            self.fitted.of(objective), self.default.of(objective), strict=True))
        return peak, mean


@dataclass(frozen=True)
class Tuning:
    """What came out.

    classes   the fitted ones, in bytes; spare ones for sizes that the first half did not have are among them
    used      how many of them the first half needs
    is_gain   whether they are proposed: see `is_worth`
    line      the proposed pool, as Python
    tried     of the grid: number of classes, and the first half's peak and mean over those of the default classes,
              the mean of the two
    """

    subject: str
    what: str
    notes: list[str]
    objective: str
    classes: list[int]
    used: int
    is_gain: bool
    line: str
    fit: Judged
    judge: Judged
    tried: list[tuple[int, float]]

    def verdict(self) -> str:
        """What it is worth, in a sentence or two."""
        what = "slab bytes" if self.objective == "slab" else "bytes wasted inside blocks"
        peak, mean = self.judge.changes(self.objective)
        found = f"{what} on the {self.judge.name}: {_change(peak)} at the peak, {_change(mean)} over time"
        if self.is_gain:
            return found[0].upper() + found[1:] + "."
        if not self.classes:
            return f"Nothing to gain: the {self.fit.name} has no block that is small enough for a size class. {KEEP}"
        if peak > 0 or mean > 0:
            return f"Nothing to gain: the fitted classes are worse on what they were not fitted to ({found}). {KEEP}"
        if max(self.fit.changes(self.objective)) > 0:
            return f"Nothing to gain: the fitted classes are worse on the {self.fit.name} already. {KEEP}"
        return f"Nothing to gain: the fitted classes save too little to be worth a setting ({found}). {KEEP}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"schema": SCHEMA, "kind": "tune", **asdict(self), "verdict": self.verdict()}


@dataclass(frozen=True)
class Tried:
    """One number of classes on the first half; the lower the score, the better."""

    number: int
    classes: list[int]
    score: float
    measured: Measured


def _change(change: float) -> str:
    return "unchanged" if change == 0 else f"{abs(change):.1%} {'less' if change < 0 else 'more'}"


def _ratio(new: float, old: float) -> float:
    return new / old if old else 1.0 if not new else float("inf")


# ---- what is tuned for -------------------------------------------------------------------------


def load(path: str | Path, seed: int = 1) -> Subject:
    """Read a recording of any format, a size table (its name ends in .csv) or a packet capture.

    Of a table two drawings are made, by ``seed``: one to fit, one to judge. Raises TuneError.
    """
    path = Path(path)
    try:
        kind = _kind(path)
        if kind == "table":
            return _table(path, seed)
        if kind == "capture":
            return _capture(path)
        return _trace(path)
    except (traces.TraceError, sizes.SizeTableError, capture.CaptureError, workloads.WorkloadError) as wrong:
        raise TuneError(str(wrong)) from None


def _kind(path: Path) -> str:
    head = _head(path)
    if path.name.lower().endswith(workloads.CAPTURES) or head[:4] in capture.MAGICS or head[:4] == capture.PCAPNG:
        return "capture"
    return "table" if path.name.lower().endswith(".csv") and not rmm.is_rmm(head) else "trace"


def _head(path: Path) -> bytes:
    """How a file begins, unpacked; nothing where it cannot be read: whoever reads all of it says why."""
    try:
        with opened(path) as raw:
            start = raw.read(6)
            raw.seek(0)
            file: IO[bytes] = raw
            if start.startswith(b"\xfd7zXZ\x00"):
                file = cast(IO[bytes], lzma.open(raw))  # noqa: SIM115 (closed with raw)
            elif start.startswith(b"\x1f\x8b"):
                file = cast(IO[bytes], gzip.open(raw))  # noqa: SIM115
            return file.read(4096)
    except (OSError, EOFError, lzma.LZMAError):
        return b""


def _trace(path: Path) -> Subject:
    trace = traces.read(path)
    notes = []
    if (trace.thread_count or 1) > 1:
        notes.append(f"{trace.thread_count} threads, replayed as one: a pool keeps slabs for each thread, and so more")
    what = f"{trace.recorded_events:,} events, {trace.sizes:,} sizes"
    return halved(trace.name, what, trace.events, trace.alignments, trace.slots, trace.recorded_words, notes, trace)


def halved(name: str, what: str, words: memoryview, alignments: memoryview | None, slots: int, count: int,
           notes: Sequence[str] = (), owner: object = None) -> Subject:
    """The first ``count`` words, of which one half is fitted to and the other judges."""
    middle = count // 2
    return Subject(
        name, what, Half("first half", words, alignments, slots, 0, middle),
        Half("second half", words, alignments, slots, middle, count), list(notes), owner,
    )


def _table(path: Path, seed: int) -> Subject:
    table = sizes.read(path)
    total = sum(size * live for size, live in zip(table.sizes, table.live, strict=True))
    live = int(min(max(total, LIVE_LEAST), LIVE_MOST))
    workload = workloads.WORKLOADS["size-table"]
    halves = []
    for name, drawn in (("first drawing", seed), ("second drawing", seed + 1)):
        plan = workloads.draw(workload, {"table": str(path), "live_bytes": live}, drawn, 1)
        first, last = plan.bodies[0]
        halves.append(Half(name, memoryview(plan.lanes[0]).cast("Q"), None, plan.slots, first, last))
    what = f"{len(table.sizes):,} sizes; {(halves[0].last - halves[0].first):,} events drawn"
    notes = [] if live == int(total) else [f"live bytes scaled from {total:,.0f} to {live:,}"]
    return Subject(path.name, what, halves[0], halves[1], notes)


def _capture(path: Path) -> Subject:
    frames = capture.read(path)
    workload = workloads.WORKLOADS["network-bursts"]
    plan = workloads.draw(workload, {"capture": str(path)}, 0, 1)
    first, last = plan.bodies[0]
    hold_us = workload.parameters["hold_us"]
    what = f"{len(frames):,} frames, each in a block of its length that is held for {hold_us} us"
    words = memoryview(plan.lanes[0]).cast("Q")[first:last]
    return halved(path.name, what, words, None, plan.slots, last - first)


# ---- measuring ---------------------------------------------------------------------------------


def measure(half: Half, classes: Sequence[int] | None, peak_word: int, pool: poolcore.Pool | None = None) -> Measured:
    """Replay a half through a pool of addresses with these classes, or the default ones, and look at it on the way.

    ``pool``, if given, is replayed through in its place, and is left as the last word leaves it.
    """
    span = half.last - half.first
    steps = min(LOOKS, max(span, 1))
    even = {half.first + span * step // steps for step in range(1, steps + 1)}
    slots = array("Q", bytes(8 * half.slots + 8))
    used = pool or poolcore.Pool(sizes=classes, memory=poolcore.AddressSpace(*ADDRESSES))
    table = used.c_functions()
    functions = (table.pool, table.alloc, table.free, table.realloc, table.aligned)
    timeline: list[list[int]] = []
    done = 0
    for stop in sorted(even | {half.first, peak_word}):
        if _tune.follow(functions, half.words, half.alignments, slots, done, stop) != stop:
            raise TuneError("more bytes live at once than a pool has addresses for")
        done = stop
        stats = used.stats()
        slab_bytes = stats.capacity_bytes + stats.external_waste_bytes
        timeline.append([stop, slab_bytes, stats.live_bytes, stats.internal_waste_bytes])
    if pool is None:
        used.close()
    means = [look for look in timeline if look[0] in even]
    return Measured(
        max(look[1] for look in timeline), sum(look[1] for look in means) / len(means),
        max(look[3] for look in timeline), sum(look[3] for look in means) / len(means), timeline,
    )


def default_classes() -> list[int]:
    """Block sizes of a pool that was told nothing."""
    with poolcore.Pool() as pool:
        return [one.block_bytes for one in pool.stats().classes]


# ---- choosing ----------------------------------------------------------------------------------


def price(block_bytes: int, objective: str) -> float:
    """What a block of a class takes: its bytes, and its part of what is left at the end of a slab."""
    return float(block_bytes) if objective == "internal" else SLAB_BYTES / (SLAB_BYTES // block_bytes)


def choices(population: _tune._Population, objective: str, most: int) -> list[tuple[list[int], list[int]]]:
    """For 1, 2, ... ``most`` classes the best ones, and the smallest size that each is for, in bytes.

    Peak and mean count alike, each by its share of what lives.
    """
    units = [unit for unit in range(1, len(population["mean"])) if population["mean"][unit] or population["peak"][unit]]
    shares = [(population[name], sum(unit * population[name][unit] for unit in units) or 1.0) for name in (
        "mean", "peak")]  # fmt: skip
    weights = array("d", [sum(counts[unit] / total for counts, total in shares) for unit in units])
    prices = array("d", [price(unit * ALIGNMENT, objective) for unit in units])
    found = []
    for _, ends in _tune.partitions(weights, prices, most):
        starts = [0, *(end + 1 for end in ends[:-1])]
        classes = []
        for start, end in zip(starts, ends, strict=True):
            # A block with an alignment of its own needs a class that it divides.
            step = max(ALIGNMENT, 1 << max(population["alignments"][unit] for unit in units[start:end + 1]))
            classes.append(min(-(-units[end] * ALIGNMENT // step) * step, SLAB_BYTES))
        found.append((classes, [units[start] * ALIGNMENT for start in starts]))
    return found


def with_spares(
    classes: Sequence[int], smallest: Sequence[int], defaults: Sequence[int], objective: str
) -> list[int]:
    """The classes, and between and above them some of the default ones, for sizes that were not seen.

    A spare class lies below the smallest size that the next class is for: nothing that was seen uses it, and
    a class that is not used takes no slab. Where there is no room for all, the largest are kept.
    """
    step = SPARE_STEP[objective]
    spares: list[int] = []
    below = 0
    for size, limit in zip([*classes, SLAB_BYTES], [*smallest, SLAB_BYTES], strict=True):
        for spare in defaults:
            if max(below * step, below + 1) <= spare < limit and spare * step <= size:
                spares.append(spare)
                below = spare
        below = max(below, size)
    if SLAB_BYTES not in classes:
        spares.append(SLAB_BYTES)
    kept = sorted(set(classes))
    room = CLASSES_MAX - len(kept)
    return sorted(kept + spares[max(0, len(spares) - room):])


def _floor(population: _tune._Population) -> Floor:
    return Floor(population["live"], population["live_mean"], population["rounded"], population["rounded_mean"])


def is_worth(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether changes of peak and mean are for the worse on neither half, and on the second worth a setting."""
    return max(*first, *second) <= 0 and sum(second) / 2 <= -LEAST_GAIN


def tune(subject: Subject, objective: str = "slab", classes: int | None = None, tell: Tell = str) -> Tuning:
    """Fit size classes to the first half of a subject and judge them by the second.

    objective  "slab": slab bytes, at the peak and over time; "internal": bytes inside blocks that nobody asked for
    classes    their number, 1 to 96; None: the best of GRID
    tell       is called with what is about to happen

    The fitted classes are proposed when neither half is worse with them than with the default ones, at the peak
    or over time, and the second gains; else the default ones are. Raises TuneError when a pool cannot hold the
    subject, ValueError for an objective or a number that there is not.
    """
    if objective not in SPARE_STEP:
        raise ValueError(f"objective {objective!r}: expected {' or '.join(SPARE_STEP)}")
    if classes is not None and not 1 <= classes <= CLASSES_MAX:
        raise ValueError(f"{classes} classes; a pool has from 1 to {CLASSES_MAX}")
    fit, judge = subject.fit, subject.judge
    of_fit, of_judge = (
        _tune.population(half.words, half.alignments, half.slots, half.first, half.last) for half in (fit, judge))
    began = time.perf_counter()
    default = measure(fit, None, of_fit["peak_word"])
    each_s = time.perf_counter() - began
    parted = choices(of_fit, objective, classes or GRID[-1])
    wanted = [len(parted)] if parted else []
    if classes is None:
        wanted = [number for number in GRID if number < len(parted)] + wanted
    # To judge, twice as many words are replayed, and twice.
    numbers = f"{len(wanted)} number{'s' * (len(wanted) != 1)} of classes"
    tell(f"{numbers} to try out: about {max(1, round(each_s * (len(wanted) + 4)))} s")
    defaults = default_classes()
    before = default.of(objective)
    tried: list[Tried] = []
    for number in wanted:
        chosen, smallest = parted[number - 1]
        chosen = sorted(set(chosen)) if classes else with_spares(chosen, smallest, defaults, objective)
        measured = measure(fit, chosen, of_fit["peak_word"])
        score = sum(_ratio(new, old) for new, old in zip(measured.of(objective), before, strict=True)) / 2
        tried.append(Tried(number, chosen, score, measured))
    least = min((one.score for one in tried), default=0.0)
    best = next((one for one in tried if one.score <= least * (1 + NEAR)), Tried(0, [], 1.0, default))
    judged = measure(judge, None, of_judge["peak_word"])
    fitted = measure(judge, best.classes, of_judge["peak_word"]) if best.classes else judged
    first = Judged(fit.name, default, best.measured, _floor(of_fit))
    second = Judged(judge.name, judged, fitted, _floor(of_judge))
    is_gain = bool(best.classes) and is_worth(first.changes(objective), second.changes(objective))
    return Tuning(
        subject.name, subject.what, subject.notes, objective, best.classes, best.number, is_gain,
        f"poolcore.Pool(sizes={best.classes})" if is_gain else "poolcore.Pool()",
        first, second, [(one.number, one.score) for one in tried],
    )
