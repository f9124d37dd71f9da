"""What a run found: dataclasses, and the JSON file that ``compare`` and the report read.

Values are gross. The empty harness is a contender like the others: what is left without it is shown by
whoever shows it, and never divided.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pybuf.bench.jsonfile import ForeignFileError, decode, read_json, text_of, write_json
from pybuf.bench.manifest import SCHEMA, Manifest, check_schema

#: Neither a time nor a number of bytes is so small, nor its reciprocal so large.
NUMBER_LEAST = 1e-30
WHAT = "a result written by pybuf bench or pybuf replay"


@dataclass(frozen=True)
class Ratio:
    """A contender's value over the base's, formed within rounds.

    ``low`` and ``high`` hold it with ``confidence``; with fewer than 8 rounds they are the smallest and the
    largest, ``confidence`` is None and the verdict "range only". ``p`` is that of the signed-rank test,
    before any correction.
    """

    estimate: float
    low: float
    high: float
    confidence: float | None
    verdict: str
    p: float | None = None


@dataclass(frozen=True)
class Threaded:
    """How the threads of a recording got on in a replay in their own order, by pass.

    ``makespan_ns`` is from the first start to the last end, ``cpu_ns`` the processor time of all threads without
    their pauses, ``waiting`` the share of their time that they waited for each other's calls. ``peak_live_bytes`` is
    of the replay, in a pass of its own; the recording's is among the facts of the trace.
    """

    makespan_ns: dict[str, float]
    cpu_ns: dict[str, float]
    waiting: dict[str, float]
    peak_live_bytes: int


@dataclass(frozen=True)
class Row:
    """One contender in one comparison. ``series`` has a value per round for each pass; the base has no ``ratios``.

    ``emulated`` names the functions that it lacks: each is replaced by allocating, copying and freeing.
    """

    name: str
    what: str
    origin: str
    series: dict[str, list[float]]
    ratios: dict[str, Ratio] | None
    emulated: list[str] = field(default_factory=list)
    threads: Threaded | None = None


@dataclass(frozen=True)
class Absent:
    """A contender without figures: it could not be had, or failed. ``package`` is Debian's."""

    name: str
    reason: str
    package: str | None
    is_disqualified: bool


@dataclass(frozen=True)
class MeasuredWorkload:
    """What was run. ``trace`` holds the facts of the recording, where there is one."""

    name: str
    what: str
    parameters: dict[str, Any]
    trace: dict[str, Any] | None = None


@dataclass(frozen=True)
class Latency:
    """How often an operation took how long: ``counts`` of [ns, operations].

    ``percentiles``, in ns, have a value only where 100 samples lie beyond them and it is above what the empty
    harness takes itself (its own 99th); others are None.
    """

    counts: list[list[int]]
    percentiles: dict[str, int | None]


@dataclass(frozen=True)
class Memory:
    """Bytes over the events: [event, live, slab or None, resident]. ``waste`` is peak resident to peak live bytes."""

    timeline: list[list[int | None]]
    peak_resident_bytes: int
    waste: float | None


@dataclass(frozen=True)
class Comparison:
    """All contenders on one workload, with one number of threads, touching memory one way, in one metric.

    ``unit`` is that of the values of its rows. A round has one value of each contender and pass: where contenders have
    processes of their own, the mean over ``processes`` of them; where they share one, what the turns in it come to. Of
    the ``rounds``, ``disturbed_rounds`` were kept although something else had the processor; ``repeated_rounds`` are
    beside them.
    ``a_over_a`` is the base against itself, which takes part in each timed round as if it were one more contender.
    ``smallest_effect`` is relative (0.03 is 3 %): one of this size or larger would have been seen in any row nine times
    in ten; None with fewer than 8 rounds.
    ``size_histogram`` has how often each size was asked for (of a workload, in one draw), ``class_edges`` the sizes of
    our classes in bytes, and ``slab_map`` what each granule of our arena held at the peak: [granule, kind, class bytes,
    live, blocks].
    """

    id: str
    metric: str
    threads: int
    touch: str
    unit: str
    workload: MeasuredWorkload
    base: str
    passes: list[str]
    rounds: int
    repeated_rounds: int
    disturbed_rounds: int
    contenders: list[Row]
    absent: list[Absent]
    a_over_a: dict[str, Ratio] = field(default_factory=dict)
    smallest_effect: dict[str, float | None] = field(default_factory=dict)
    latency: dict[str, Latency] | None = None
    memory: dict[str, Memory] | None = None
    processes: int = 1
    size_histogram: list[list[int]] | None = None
    class_edges: list[int] | None = None
    slab_map: list[list[Any]] | None = None

    def row(self, name: str) -> Row | None:
        """The contender of that name, if it has figures."""
        return next((row for row in self.contenders if row.name == name), None)


@dataclass(frozen=True)
class Lead:
    """poolcore's ratio to the fastest peer on each workload, in a geometric mean; below 1 is faster."""

    geometric_mean: float
    peers: dict[str, str]
    ratios: dict[str, float]


@dataclass(frozen=True)
class Result:
    """A whole run. ``is_complete`` is False when it was interrupted. ``machine`` is for people to read."""

    kind: str
    manifest: Manifest
    fingerprint: dict[str, Any]
    machine: dict[str, Any]
    is_complete: bool
    seed: int
    comparisons: list[Comparison]
    lead: dict[str, Lead] | None
    schema: int = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers: what is written as JSON."""
        return asdict(self)

    def as_json(self) -> str:
        """What is written to the file."""
        return text_of(self.as_dict())

    def save(self, path: Path) -> None:
        """Write it as JSON; an OSError is the caller's to explain."""
        write_json(path, self.as_dict())


def load(path: Path) -> Result:
    """Read a result; a directory stands for the ``result.json`` in it.

    Raises ForeignFileError, one line that names the file, when it cannot be read, is of another schema or no result.
    """
    if path.is_dir():
        path = path / "result.json"
    found = read_json(path, WHAT)
    check_schema(path, found, WHAT)
    try:
        result = decode(Result, found)
        decode(dict[str, dict[str, str]], result.fingerprint.get("builds", {}), "fingerprint.builds")
        _check_series(result)
        return result
    except ForeignFileError as wrong:
        raise ForeignFileError(f"{path}: {wrong}; expected {WHAT}") from None


def _check_series(result: Result) -> None:
    """Raise ForeignFileError unless every row has what the rest of its comparison says that it has."""
    for one in result.comparisons:
        for row in one.contenders:
            for passes, values in row.series.items():
                where = f"{one.id}: the series {passes!r} of {row.name}"
                if len(values) != one.rounds:
                    raise ForeignFileError(
                        f"{where} has {len(values)} values, expected {one.rounds}, one for each round")
                if not all(NUMBER_LEAST < value < 1 / NUMBER_LEAST for value in values if value):
                    raise ForeignFileError(f"{where} has values that nothing measured can have")
