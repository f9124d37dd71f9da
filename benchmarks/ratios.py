"""Every speed row in one table: must, aim, measured, quartiles. Run as ``python -m benchmarks.ratios``.

A ratio is formed within a round from gross times; what is printed is the median over the rounds. Rows
whose contenders share a process are timed in several processes (another memory layout each), the
others in a fresh process per contender and round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from statistics import median, quantiles
from typing import Any

from pybuf.bench.instructions import instructions_per_pair

# jemalloc wants more static thread-local storage than a loaded library is given by default.
TUNABLES = "glibc.rtld.optional_static_tls=16384"


@dataclass(frozen=True)
class Effort:
    """How many processes, and how many rounds in each; `fresh` processes for rows that take one per round."""

    processes: int = 3
    rounds: int = 7
    fresh: int = 11


@dataclass
class Taken:
    """What a measurement gave: the rounds, repeats of disturbed rounds, and notes by contender."""

    rounds: list[dict[str, float]] = field(default_factory=list)
    repeats: int = 0
    notes: dict[str, str] = field(default_factory=dict)


def child(module: str, request: dict[str, Any], cpus: Iterable[int], seed: int) -> dict[str, Any]:
    """The answer of ``python -m module REQUEST``, pinned, with an environment of a size of its own."""
    draw = random.Random(seed)
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(request)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "GLIBC_TUNABLES": TUNABLES, "ENVIRONMENT_SIZE": "x" * draw.randrange(4096)},
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"status {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@dataclass(frozen=True)
class Measurement:
    """One request to `benchmarks.jobs`, shared by all rows that read it."""

    job: str
    contenders: tuple[str, ...]
    parameters: tuple[tuple[str, Any], ...] = ()
    is_fresh: bool = False  # one contender per process, one round per process
    is_pinned: bool = True

    def take(self, effort: Effort) -> Taken:
        """Runs it in as many processes as the effort says."""
        cpus = sorted(os.sched_getaffinity(0))
        if self.is_pinned:
            cpus = cpus[-1:]
        taken = Taken()
        rounds = 1 if self.is_fresh else effort.rounds
        for number in range(effort.fresh if self.is_fresh else effort.processes):
            request = {"job": self.job, "rounds": rounds, "seed": number, **dict(self.parameters)}
            parts = [[name] for name in self.contenders] if self.is_fresh else [list(self.contenders)]
            random.Random(number).shuffle(parts)
            found: list[dict[str, float]] = [{} for _ in range(rounds)]
            for contenders in parts:
                answer = child("benchmarks.jobs", {**request, "contenders": contenders}, cpus, number)
                for whole, part in zip(found, answer["rounds"], strict=True):
                    whole.update(part)
                taken.repeats += answer["repeats"]
                taken.notes.update(answer["notes"])
            taken.rounds += found
        return taken


@dataclass(frozen=True)
class Row:
    """One line of the table.

    value: what is printed, from one round.
    must, aim: bounds; None where the row is only printed.
    beside: text for the last column, from everything that was taken.
    """

    name: str
    measurement: Measurement
    value: Callable[[dict[str, float]], float]
    must: float | None = None
    aim: float | None = None
    unit: str = "x"
    is_higher_better: bool = False
    beside: Callable[[Taken], str] = lambda taken: ""


def together(job: str, *contenders: str, **parameters: Any) -> Measurement:
    return Measurement(job, contenders, tuple(parameters.items()))


def apart(job: str, *contenders: str, **parameters: Any) -> Measurement:
    is_pinned = job not in ("threads", "handoff")
    return Measurement(job, contenders, tuple(parameters.items()), is_fresh=True, is_pinned=is_pinned)


# ---- the rows ------------------------------------------------------------------------------


def ratio(ours: str, *peers: str) -> Callable[[dict[str, float]], float]:
    """Ours over the fastest of the peers, within a round."""
    return lambda values: values[ours] / min(values[peer] for peer in peers)


def only(name: str) -> Callable[[dict[str, float]], float]:
    return lambda values: values[name]


def times(*names: str) -> Callable[[Taken], str]:
    """Medians of the named contenders, and their notes."""

    def said(taken: Taken) -> str:
        parts = []
        for name in names:
            value = median(values[name] for values in taken.rounds)
            note = taken.notes.get(name, "")
            parts.append(f"{name} {value:.4g} ns" + (f" ({note})" if note else ""))
        return ", ".join(parts)

    return said


def counted(ours: str) -> Callable[[Taken], str]:
    """Times beside instruction counts, for ratios to F3."""

    def said(taken: Taken) -> str:
        counts = f"{instructions(ours):.0f} against {instructions('F3'):.0f} instructions"
        return f"{times(ours, 'F3')(taken)}; {counts}"

    return said


@cache
def instructions(name: str) -> float:
    return instructions_per_pair(name)


def notes(taken: Taken) -> str:
    return ", ".join(f"{name}: {note}" for name, note in taken.notes.items() if note)


PAIR = together(
    "pair", "F0", "F1", "F3", "glibc", "tcmalloc", "poolcore", "poolcore one-class", size=1500, count=500_000
)
PAIR_64 = together("pair", "mimalloc", "poolcore", size=64, count=500_000)
MIXED = together("working_set", "tcmalloc", "poolcore", live=1000, low=16, high=1500, steps=200_000)
LARGE = together(
    "working_set", "tcmalloc", "poolcore", "poolcore huge", live=100_000, low=1500, high=1500, steps=200_000
)
HUGE = apart("resident", "poolcore", "poolcore huge", phase="one", live=100_000)
BATCH = together("batch", "tcmalloc", "poolcore", live=1000, size=1500, passes=300)
HANDOFF = apart("handoff", "mimalloc", "poolcore", size=1500, count=1_000_000)
COSTS = together(
    "pair", "poolcore", "poolcore limit", "poolcore events", "poolcore guard", "poolcore quarantine",
    size=1500, count=100_000,
)  # fmt: skip
SCALING = together("scaling", "1000", "100000", size=1500, steps=200_000)
PYTHON_PAIR = together("python_pair", "no-op", "bytearray", "poolcore", size=1500, count=100_000)
PYTHON_VIEW = together("python_view", "bytearray", "bytearray viewed", "poolcore", size=1500, count=50_000)
PYTHON_LIVE = together("python_live", "bytearray", "poolcore", live=10_000, size=1500, count=50_000)
PYTHON_MANY = together("python_many", "bytearray", "poolcore", size=1500, many=256, count=300)
ADDRESSES = together("addresses", "pair", "poolcore", size=1500, many=256, count=1000)
FIRST = apart("first_allocation", "poolcore", size=1500)
CREATE = together("create_close", "empty", "one block", count=1000)
IMPORT = together("importing", "array", "poolcore")


def threads(pools: int) -> Measurement:
    return apart("threads", "poolcore", pools=pools, size=1500, count=2_000_000)


def resident(phase: str) -> Measurement:
    return apart("resident", "poolcore", phase=phase, live=50_000)


ROWS = [
    Row("C pair 1500 B / F3", PAIR, ratio("poolcore", "F3"), 1.35, 1.0, beside=counted("poolcore")),
    Row("one-class pool, C pair 1500 B / F3", PAIR, ratio("poolcore one-class", "F3"), None, 0.95,
        beside=counted("poolcore one-class")),
    Row("C pair 1500 B / glibc", PAIR, ratio("poolcore", "glibc"), 0.45, 0.25, beside=times("poolcore", "glibc")),
    Row("C pair 1500 B / tcmalloc", PAIR, ratio("poolcore", "tcmalloc"), 1.5, 1.0,
        beside=times("poolcore", "tcmalloc", "F1", "F0")),
    Row("C pair 64 B / mimalloc", PAIR_64, ratio("poolcore", "mimalloc"), 1.7, 1.3,
        beside=times("poolcore", "mimalloc")),
    Row("1,000 live, 16..1500 B, replaced at random / tcmalloc", MIXED, ratio("poolcore", "tcmalloc"), 1.2, 0.9,
        beside=times("poolcore", "tcmalloc")),
    Row("100,000 live x 1500 B / tcmalloc", LARGE, ratio("poolcore", "tcmalloc"), 1.9, 1.2,
        beside=times("poolcore", "tcmalloc")),
    Row("the same with Pages(huge=True) / tcmalloc", LARGE, ratio("poolcore huge", "tcmalloc"), None, 1.0,
        beside=times("poolcore huge", "tcmalloc")),
    Row("resident / live bytes: 100,000 x 1500 B with Pages(huge=True)", HUGE, only("poolcore huge"),
        beside=lambda taken: f"without {median(values['poolcore'] for values in taken.rounds):.3f}x"),
    Row("batch of 1,000, freed in random order / tcmalloc", BATCH, ratio("poolcore", "tcmalloc"), 0.85, 0.6,
        beside=times("poolcore", "tcmalloc")),
    Row("two threads, own blocks, one pool / one thread", threads(1), only("poolcore"), 1.85, 1.95,
        is_higher_better=True),
    Row("the same over four pools / one thread", threads(4), only("poolcore"), 1.7, 1.85, is_higher_better=True),
    Row("blocks freed by another thread / mimalloc", HANDOFF, ratio("poolcore", "mimalloc"), 0.50, 0.25,
        beside=times("poolcore", "mimalloc")),
    Row("resident / live bytes: 50,000 x 1500 B", resident("one"), only("poolcore"), 1.07, 1.03),
    Row("resident / live bytes: 50,000 of 16..1500 B", resident("mix"), only("poolcore"), 1.20, 1.08),
    Row("resident / live bytes: after the mix shifts", resident("shift"), only("poolcore"), 1.45, 1.26),
    Row("resident after free-all and trim / at most", resident("kept"), only("poolcore"), 0.05, 0.01),
    Row("Python get + free 1500 B / two no-op bound methods", PYTHON_PAIR, ratio("poolcore", "no-op"), 1.45, 1.25,
        beside=times("poolcore", "no-op")),
    Row("Python get + free 1500 B / bytearray", PYTHON_PAIR, ratio("poolcore", "bytearray"), 0.45, 0.35,
        beside=times("poolcore", "bytearray")),
    Row("Python get + memoryview + release + free / bytearray", PYTHON_VIEW, ratio("poolcore", "bytearray"), 1.5, 1.2,
        beside=times("poolcore", "bytearray", "bytearray viewed")),
    Row("10,000 Buffers live, replaced at random / bytearray", PYTHON_LIVE, ratio("poolcore", "bytearray"), 0.6, 0.4,
        beside=times("poolcore", "bytearray")),
    Row("get_many + free_many of 256 / 256 bytearrays", PYTHON_MANY, ratio("poolcore", "bytearray"), 0.20, 0.13,
        beside=times("poolcore", "bytearray")),
    Row("alloc_many + free_many of 256 / C pair", ADDRESSES, ratio("poolcore", "pair"), 1.6, 1.1,
        beside=times("poolcore", "pair")),
    *(
        Row(f"cost of {policy}: C pair 1500 B / without", COSTS, ratio(f"poolcore {policy}", "poolcore"),
            beside=times(f"poolcore {policy}", "poolcore"))
        for policy in ("limit", "events", "guard", "quarantine")
    ),
    Row("first allocation on a new thread", FIRST, only("poolcore"), unit=" ns"),
    Row("pool created and closed", CREATE, only("empty"), unit=" ns"),
    Row("pool created, one block, closed", CREATE, only("one block"), unit=" ns"),
    Row("address space: 100,000 live / 1,000 live", SCALING, ratio("100000", "1000"), 2.0, 1.2,
        beside=times("100000", "1000")),
    Row("import poolcore / import array", IMPORT, ratio("poolcore", "array"), 1.0, 0.5, beside=notes),
]  # fmt: skip


# ---- the table -----------------------------------------------------------------------------


def machine() -> str:
    """Processor, system, C library and interpreter, in one line."""
    with open("/proc/cpuinfo") as cpuinfo:
        models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    with open("/sys/kernel/mm/transparent_hugepage/enabled") as enabled:
        pages = enabled.read().partition("[")[2].partition("]")[0]
    return (
        f"{models[0] if models else platform.processor()}, {os.cpu_count()} CPUs, {platform.system()} "
        f"{platform.release()}, huge pages {pages}, {' '.join(platform.libc_ver())}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def written(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}{unit}" if value >= 100 else f"{value:.3g}{unit}"


def verdict(row: Row, value: float) -> str:
    """What the median reaches."""

    def holds(bound: float | None) -> bool:
        return bound is not None and (value >= bound if row.is_higher_better else value <= bound)

    if row.must is None and row.aim is None:
        return "printed"
    if holds(row.aim):
        return "aim"
    return "must" if row.must is None or holds(row.must) else "**misses**"


def line(row: Row, taken: Taken) -> dict[str, Any]:
    """A finished row as the values of its columns."""
    values = [row.value(values) for values in taken.rounds]
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {
        "row": row.name,
        "must": row.must,
        "aim": row.aim,
        "unit": row.unit,
        "measured": middle,
        "quartiles": [low, high],
        "reaches": verdict(row, middle),
        "rounds": len(values),
        "repeats": taken.repeats,
        "beside": row.beside(taken),
    }


def main(arguments: list[str] | None = None) -> int:
    """Prints the table as its rows come in; the status is 1 when a row did not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios", description=main.__doc__)
    parser.add_argument("--row", metavar="SUBSTRING", action="append", help="only rows whose name contains this")
    parser.add_argument("--rounds", type=int, help="rounds per process (7), and processes of the other rows (11)")
    parser.add_argument("--quick", action="store_true", help="one process of five rounds; three of the other rows")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args(arguments)
    effort = Effort(processes=1, rounds=5, fresh=3) if options.quick else Effort()
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
        except (RuntimeError, OSError, ImportError, ArithmeticError) as error:
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
    unit = done["unit"]
    bounds = f"| {done['row']} | {written(done['must'], unit)} | {written(done['aim'], unit)}"
    if "error" in done:
        return f"{bounds} | **did not run** | | | | {done['error']} |"
    quartiles = " to ".join(written(value, unit) for value in done["quartiles"])
    return (
        f"{bounds} | {written(done['measured'], unit)} | {quartiles} | {done['reaches']} "
        f"| {done['rounds']} + {done['repeats']} | {done['beside']} |"
    )


if __name__ == "__main__":
    sys.exit(main())
