"""Every speed row in one table: must, aim, measured, quartiles. Run as ``python -m pybuf.bench.ratios``.

A ratio is formed within a round from gross times; what is printed is the median over the rounds. Rows
whose contenders share a process are timed in several processes (another memory layout each), the
others in a fresh process per contender and round.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from statistics import geometric_mean, median, quantiles
from typing import Any

from pybuf.bench.analysis import PEERS, fastest_peer
from pybuf.bench.manifest import ChosenContender, ChosenWorkload, Manifest
from pybuf.bench.processor import description, locked
from pybuf.bench.ratios.instructions import instructions_per_pair
from pybuf.bench.recordings.traces import default_path
from pybuf.bench.result import Result
from pybuf.bench.runner import run
from pybuf.bench.tasks import plan
from pybuf.bench.trials import environment


@dataclass(frozen=True)
class Effort:
    """How many processes, and how many rounds in each; `fresh` processes for rows that take one per round.

    traces: the directory of the traces that do not ship in the package.
    """

    processes: int = 7
    rounds: int = 5
    fresh: int = 11
    traces: Path = Path("benchmarks/traces")


@dataclass
class Taken:
    """What a measurement gave: the rounds, how many were repeated or are disturbed, notes by contender."""

    rounds: list[dict[str, float]] = field(default_factory=list)
    repeats: int = 0
    disturbed: int = 0
    notes: dict[str, str] = field(default_factory=dict)
    result: Result | None = None  # of a `TraceReplay`, which has no rounds


def child(request: dict[str, Any], cpus: Iterable[int], draw: random.Random) -> dict[str, Any]:
    """What `pybuf.bench.ratios.jobs` answers in a fresh process, which has an environment of a size of its own."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pybuf.bench.ratios.jobs", json.dumps(request)],
        capture_output=True,
        check=False,
        text=True,
        env=environment(draw.randrange(4096)),
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"{request['job']} ended with status {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@dataclass(frozen=True)
class Measurement:
    """One request to `pybuf.bench.ratios.jobs`, shared by all rows that read it."""

    job: str
    contenders: tuple[str, ...]
    parameters: tuple[tuple[str, Any], ...] = ()
    is_fresh: bool = False  # one contender per process, one round per process
    is_pinned: bool = True

    def take(self, effort: Effort) -> Taken:
        """Runs it in as many processes as the effort says, while no other benchmark has the processor."""
        with locked() as cpu:
            cpus = {cpu} if self.is_pinned else os.sched_getaffinity(0)
            return self._take(effort, cpus)

    def _take(self, effort: Effort, cpus: Iterable[int]) -> Taken:
        taken = Taken()
        rounds = 1 if self.is_fresh else effort.rounds
        for number in range(effort.fresh if self.is_fresh else effort.processes):
            draw = random.Random(number)
            request = {"job": self.job, "rounds": rounds, "seed": number, **dict(self.parameters)}
            parts = [[name] for name in self.contenders] if self.is_fresh else [list(self.contenders)]
            draw.shuffle(parts)
            found: list[dict[str, float]] = [{} for _ in range(rounds)]
            for contenders in parts:
                answer = child({**request, "contenders": contenders}, cpus, draw)
                for whole, part in zip(found, answer["rounds"], strict=True):
                    whole.update(part)
                taken.repeats += answer["repeats"]
                taken.disturbed += answer["disturbed"]
                taken.notes.update(answer["notes"])
            taken.rounds += found
        return taken


@dataclass(frozen=True)
class TraceReplay:
    """The malloc traces in `effort.traces` and the one that ships, through ours and the peers."""

    def take(self, effort: Effort) -> Taken:
        """Reads and replays them; the result is kept whole."""
        paths = [default_path(), *(effort.traces / f"{name}.mtrace.xz" for name in ("redis", "gawk"))]
        manifest = Manifest(
            kind="replay", command=[], seed=0, metrics=["time"], threads=[1], touch="line", rounds=effort.fresh,
            contenders=[ChosenContender(name) for name in ("poolcore", *PEERS)],
            workloads=[ChosenWorkload("trace", trace=str(path)) for path in paths],
        )
        result = run(plan(manifest), None, lambda words, share: None)
        for comparison in result.comparisons:
            for absent in comparison.absent:
                raise RuntimeError(f"{absent.name}: {absent.reason}")
        return Taken(
            repeats=sum(comparison.repeated_rounds for comparison in result.comparisons),
            disturbed=sum(comparison.disturbed_rounds for comparison in result.comparisons),
            result=result,
        )


Spread = tuple[float, float, float]  # lower quartile, median, upper quartile


@dataclass(frozen=True)
class Row:
    """One line of the table.

    spread: what is printed, from what was measured.
    must, aim: bounds; None where the row is only printed.
    beside: text for the last column.
    """

    name: str
    measurement: Measurement | TraceReplay
    spread: Callable[[Taken], Spread]
    must: float | None = None
    aim: float | None = None
    unit: str = "x"
    is_higher_better: bool = False
    beside: Callable[[Taken], str] = lambda taken: ""


def together(job: str, *contenders: str, **parameters: Any) -> Measurement:
    """All contenders in one process."""
    return Measurement(job, contenders, tuple(parameters.items()))


def apart(job: str, *contenders: str, **parameters: Any) -> Measurement:
    """Each contender in a process of its own, for one round."""
    is_pinned = job not in ("threads", "handoff")
    return Measurement(job, contenders, tuple(parameters.items()), is_fresh=True, is_pinned=is_pinned)


# ---- the rows ------------------------------------------------------------------------------


def over_rounds(value: Callable[[dict[str, float]], float]) -> Callable[[Taken], Spread]:
    """The spread of a value that is formed within a round."""

    def spread(taken: Taken) -> Spread:
        return _quartiles([value(times) for times in taken.rounds])

    return spread


def _quartiles(values: list[float]) -> Spread:
    if len(values) == 1:
        values = values * 2
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high


def traced(name: str, passes: str, must: float, aim: float) -> Row:
    """The geometric mean over the traces of ours over the fastest peer on each, in one kind of pass."""

    def leads(taken: Taken) -> list[tuple[str, str, Spread]]:
        assert taken.result is not None
        found = []
        for comparison in taken.result.comparisons:
            peer = fastest_peer(comparison, passes)
            if peer is not None:
                found.append((comparison.workload.name, peer[0], _quartiles(peer[1])))
        return found

    def spread(taken: Taken) -> Spread:
        low, middle, high = (geometric_mean(values) for values in zip(*(one for *_, one in leads(taken)), strict=True))
        return low, middle, high

    def beside(taken: Taken) -> str:
        return ", ".join(f"{trace} {middle:.3g}x {peer}" for trace, peer, (_, middle, _) in leads(taken))

    return Row(name, TRACES, spread, must, aim, beside=beside)


def notes(taken: Taken) -> str:
    """What the contenders said beside their values."""
    return ", ".join(f"{name}: {note}" for name, note in taken.notes.items() if note)


def medians(*names: str) -> Callable[[Taken], str]:
    """What the named contenders took, in ns."""
    return lambda taken: ", ".join(f"{name} {median(values[name] for values in taken.rounds):.4g} ns" for name in names)


def versus(
    name: str,
    measurement: Measurement,
    peer: str,
    must: float | None,
    aim: float | None,
    ours: str = "poolcore",
    also: tuple[str, ...] = (),
) -> Row:
    """A row of ours over a peer, with the times of both and of `also` beside."""
    return Row(
        f"{name} / {peer}",
        measurement,
        over_rounds(lambda values: values[ours] / values[peer]),
        must,
        aim,
        beside=medians(ours, peer, *also),
    )


def versus_floor(name: str, ours: str, must: float | None, aim: float) -> Row:
    """A row of ours over F3, with the instructions of both beside the times."""

    def beside(taken: Taken) -> str:
        try:
            counts = f"{instructions(ours):.0f} against {instructions('F3'):.0f} instructions"
        except RuntimeError as error:
            counts = str(error).partition("\n")[0]
        return f"{medians(ours, 'F3')(taken)}; {counts}"

    return replace(versus(name, PAIR, "F3", must, aim, ours), beside=beside)


def alone(
    name: str,
    measurement: Measurement,
    must: float | None = None,
    aim: float | None = None,
    ours: str = "poolcore",
    unit: str = "x",
    is_higher_better: bool = False,
) -> Row:
    """A row that is one contender's own value."""
    return Row(name, measurement, over_rounds(lambda values: values[ours]), must, aim, unit, is_higher_better)


@cache
def instructions(name: str) -> float:
    """The count of a contender, taken once."""
    return instructions_per_pair(name)


def threads(pools: int) -> Measurement:
    """Two threads against one, over so many pools."""
    return apart("threads", "poolcore", pools=pools, size=1500, count=2_000_000)


def resident(phase: str) -> Measurement:
    """Resident bytes after a phase of 50,000 blocks."""
    return apart("resident", "poolcore", phase=phase, live=50_000)


POLICIES = ("limit", "events", "guard", "quarantine")

TRACES = TraceReplay()
PAIR = together(
    "pair",
    *("F0", "F1", "F3", "glibc", "tcmalloc", "poolcore", "poolcore one-class"),
    size=1500,
    count=500_000,
)
PAIR_64 = together("pair", "mimalloc", "poolcore", size=64, count=500_000)
COSTS = together("pair", "poolcore", *(f"poolcore {policy}" for policy in POLICIES), size=1500, count=100_000)
MIXED = together("working_set", "tcmalloc", "poolcore", live=1000, low=16, high=1500, steps=200_000)
LARGE = together(
    "working_set", "tcmalloc", "poolcore", "poolcore huge", live=100_000, low=1500, high=1500, steps=200_000
)
LARGE_RESIDENT = apart("resident", "poolcore", "poolcore huge", phase="one", live=100_000)
BATCH = together("batch", "tcmalloc", "poolcore", live=1000, size=1500, passes=300)
HANDOFF = apart("handoff", "mimalloc", "poolcore", size=1500, count=1_000_000)
PYTHON_PAIR = together("python_pair", "no-op", "bytearray", "poolcore", size=1500, count=100_000)
PYTHON_VIEW = together("python_view", "bytearray", "bytearray viewed", "poolcore", size=1500, count=50_000)
PYTHON_LIVE = together("python_live", "bytearray", "poolcore", live=10_000, size=1500, count=50_000)
PYTHON_MANY = together("python_many", "bytearray", "poolcore", size=1500, many=256, count=300)
ADDRESSES = together("addresses", "C pair", "poolcore", size=1500, many=256, count=1000)
FIRST = apart("first_allocation", "poolcore", size=1500)
CREATE = together("create_close", "empty", "one block", count=1000)
SCALING = together("scaling", "1000", "100000", size=1500, steps=200_000)
RAS_PAIR = together("ras_pair", "no-op", "bytearray", "pybuf", size=1500, count=100_000)
RAS_ENTERED = together("ras_pair", "no-op", "entered", size=1500, count=100_000)
DOORS = together("door_pair", "poolcore", "RAS", "RAS ms", "NetApi", "NetApi ms", size=1500, count=500_000)
VIDEO = together("door_pair", "poolcore", "poolcore aligned", "video", size=1500, count=200_000)
WINDLL = together("windll_pair", "malloc", "windll", size=1500, count=50_000)
SERVER_ENUM = together("server_enum", "ctypes", "pybuf", servers=10_000, count=5)
SERVER_NAMES = together("server_names", "ctypes", "pybuf", servers=10_000, count=5)
STREAM = together("stream", "pybuf", "sink", seconds=10)
IMPORT = together("importing", "array", "poolcore")

ROWS = [
    traced("the malloc traces, first pass / fastest peer", "first", 1.15, 0.90),
    traced("the malloc traces, later passes / fastest peer", "later", 1.25, 1.0),
    versus_floor("C pair 1500 B", "poolcore", 1.35, 1.0),
    versus_floor("one-class pool, C pair 1500 B", "poolcore one-class", None, 0.95),
    versus("C pair 1500 B", PAIR, "glibc", 0.45, 0.25),
    versus("C pair 1500 B", PAIR, "tcmalloc", 1.5, 1.0, also=("F1", "F0")),
    versus("C pair 64 B", PAIR_64, "mimalloc", 1.7, 1.3),
    versus("1,000 live, 16..1500 B, replaced at random", MIXED, "tcmalloc", 1.2, 0.9),
    versus("100,000 live x 1500 B, replaced at random", LARGE, "tcmalloc", 1.9, 1.2),
    versus("the same with Pages(huge=True)", LARGE, "tcmalloc", None, 1.0, "poolcore huge"),
    alone("resident / live bytes: 100,000 x 1500 B", LARGE_RESIDENT),
    alone("resident / live bytes: 100,000 x 1500 B, Pages(huge=True)", LARGE_RESIDENT, ours="poolcore huge"),
    versus("batch of 1,000, freed in random order", BATCH, "tcmalloc", 0.85, 0.6),
    alone("two threads, own blocks, one pool / one thread", threads(1), 1.85, 1.95, is_higher_better=True),
    alone("the same over four pools / one thread", threads(4), 1.7, 1.85, is_higher_better=True),
    versus("blocks freed by another thread", HANDOFF, "mimalloc", 0.50, 0.25),
    alone("resident / live bytes: 50,000 x 1500 B", resident("one"), 1.07, 1.03),
    alone("resident / live bytes: 50,000 of 16..1500 B", resident("mix"), 1.20, 1.08),
    alone("resident / live bytes: after the mix shifts", resident("shift"), 1.45, 1.26),
    alone("resident bytes after free-all and trim / at most", resident("kept"), 0.05, 0.01),
    versus("Python get + free 1500 B", PYTHON_PAIR, "no-op", 1.45, 1.25),
    versus("Python get + free 1500 B", PYTHON_PAIR, "bytearray", 0.45, 0.35),
    versus(
        "Python get + memoryview + release + free", PYTHON_VIEW, "bytearray", 1.5, 1.2,
        also=("bytearray viewed",),
    ),
    versus("10,000 Buffers live, replaced at random", PYTHON_LIVE, "bytearray", 0.6, 0.4),
    versus("get_many + free_many of 256", PYTHON_MANY, "bytearray", 0.20, 0.13),
    versus("alloc_many + free_many of 256", ADDRESSES, "C pair", 1.6, 1.1),
    *(
        versus(f"cost of {policy}: C pair 1500 B", COSTS, "poolcore", None, None, f"poolcore {policy}")
        for policy in POLICIES
    ),
    alone("first allocation on a new thread", FIRST, unit=" ns"),
    alone("pool created and closed", CREATE, ours="empty", unit=" ns"),
    alone("pool created, one block, closed", CREATE, ours="one block", unit=" ns"),
    versus("address space, live: 100000", SCALING, "1000", 2.0, 1.2, "100000"),
    versus("RasGetBuffer + RasFreeBuffer", RAS_PAIR, "no-op", 1.35, 1.10, "pybuf"),
    versus("RasGetBuffer + RasFreeBuffer", RAS_PAIR, "bytearray", 0.85, 0.55, "pybuf"),
    versus("the same on a machine that was entered", RAS_ENTERED, "no-op", None, None, "entered"),
    *(
        row
        for family in ("RAS", "NetApi")
        for row in (
            versus(f"{family} pair in C", DOORS, "poolcore", 1.6, 1.2, family),
            versus(f"{family} pair in C, Microsoft's convention", DOORS, family, 1.6, 1.2, f"{family} ms"),
        )
    ),
    versus("windll Allocate + Free", WINDLL, "malloc", 1.5, 1.0, "windll"),
    versus("NetServerEnum of 10,000 + free", SERVER_ENUM, "ctypes", 0.10, 0.03, "pybuf"),
    versus("names of 10,000 servers by .entries", SERVER_NAMES, "ctypes", 1.0, 0.5, "pybuf"),
    versus(
        "VideoPortAllocatePool + FreePool in C", VIDEO, "poolcore aligned", 1.8, 1.3, "video",
        also=("poolcore",),
    ),
    alone("10 s of 48 kHz stereo, notified every 10 ms / real time", STREAM, 100, 1000, "pybuf", is_higher_better=True),
    replace(versus("import poolcore", IMPORT, "array", 1.0, 0.5), beside=notes),
]  # fmt: skip


# ---- the table -----------------------------------------------------------------------------


def machine() -> str:
    """Processor, system, C library and interpreter, in one line."""
    found = description()
    return (
        f"{found['processor']}, {found['processors']} processors, {found['system']}, {found['c_library']}, "
        f"{found['python']}"
    )


def written(value: float | None, unit: str) -> str:
    """A value with its unit, in three figures."""
    if value is None:
        return "-"
    return f"{value:.0f}{unit}" if value >= 100 else f"{value:.3g}{unit}"


def reached(row: Row, value: float) -> str:
    """Which bound the median reaches."""

    def is_within(bound: float) -> bool:
        return value >= bound if row.is_higher_better else value <= bound

    if row.must is None and row.aim is None:
        return "printed"
    if row.aim is not None and is_within(row.aim):
        return "aim"
    if row.must is None:
        return "-"
    return "must" if is_within(row.must) else "**misses**"


def line(row: Row, taken: Taken) -> dict[str, Any]:
    """A finished row as the values of its columns."""
    low, middle, high = row.spread(taken)
    return {
        "row": row.name,
        "must": row.must,
        "aim": row.aim,
        "unit": row.unit,
        "measured": middle,
        "quartiles": [low, high],
        "reaches": reached(row, middle),
        "rounds": taken.result.comparisons[0].rounds if taken.result else len(taken.rounds),
        "repeats": taken.repeats,
        "disturbed": taken.disturbed,
        "beside": row.beside(taken),
    }


def main(arguments: list[str] | None = None) -> int:
    """Prints the table as its rows come in; the status is 1 when a row did not run."""
    parser = argparse.ArgumentParser(prog="python -m pybuf.bench.ratios", description=main.__doc__)
    parser.add_argument("--row", metavar="SUBSTRING", action="append", help="only rows whose name contains this")
    parser.add_argument("--rounds", type=int, help="rounds per process (5), and processes of the other rows (11)")
    parser.add_argument("--quick", action="store_true", help="one process of five rounds; three of the other rows")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--traces", type=Path, default=Effort.traces, help="directory of redis and gawk's traces")
    options = parser.parse_args(arguments)
    effort = Effort(processes=1, rounds=5, fresh=3) if options.quick else Effort()
    effort = replace(effort, traces=options.traces)
    if options.rounds is not None:
        if options.rounds < 1:
            parser.error(f"--rounds {options.rounds}: expected at least 1")
        effort = replace(effort, rounds=options.rounds, fresh=options.rounds)
    rows = [row for row in ROWS if not options.row or any(part.lower() in row.name.lower() for part in options.row)]
    if not rows:
        parser.error(f"no row has a name with {' or '.join(map(repr, options.row))}")

    if not options.json:
        print(f"Machine: {machine()}\n")
        print("| | must | aim | measured | quartiles | reaches | rounds + repeated | beside |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
    taken: dict[Any, Taken] = {}
    lines: list[dict[str, Any]] = []
    failures = 0
    for row in rows:
        try:
            if row.measurement not in taken:
                taken[row.measurement] = row.measurement.take(effort)
            done = line(row, taken[row.measurement])
        except (RuntimeError, OSError, ValueError) as error:
            failures += 1
            done = {"row": row.name, "must": row.must, "aim": row.aim, "unit": row.unit, "error": str(error)}
        lines.append(done)
        if not options.json:
            print(table_line(done), flush=True)
    if options.json:
        print(json.dumps({"machine": machine(), "rows": lines}, indent=1))
    if failures:
        print(f"{failures} of {len(rows)} rows did not run", file=sys.stderr)
    return 1 if failures else 0


def table_line(done: dict[str, Any]) -> str:
    """A finished row, or one that did not run, as a line of the table."""
    unit = done["unit"]
    bounds = f"| {done['row']} | {written(done['must'], unit)} | {written(done['aim'], unit)}"
    if "error" in done:
        return f"{bounds} | **did not run** | | | | {done['error']} |"
    rounds = f"{done['rounds']} + {done['repeats']}"
    if done["disturbed"]:
        rounds += f", {done['disturbed']} disturbed"
    quartiles = " to ".join(written(value, unit) for value in done["quartiles"])
    return (
        f"{bounds} | {written(done['measured'], unit)} | {quartiles} | {done['reaches']} "
        f"| {rounds} | {done['beside']} |"
    )
