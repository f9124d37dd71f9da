"""Shows what the verdicts of a comparison are worth. Run as ``python -m pybuf.bench.calibration``.

Three parts, all through the same machine as ``pybuf bench``, with seeds that are fixed beforehand:

* ``aa``: an allocator against itself, again and again. A verdict of "faster" or "slower" is a false alarm.
* ``pair``, ``redis``: an allocator against itself slowed by 3 %, which is work planted on every 64th call. Both are
  called through the same wrapper. How much work 3 % is, is measured first, on the workload itself.

It takes minutes, and says how many before it starts; nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pybuf.bench import runner, tasks
from pybuf.bench.contenders import BASE, describe
from pybuf.bench.journal import RunError
from pybuf.bench.jsonfile import write_json
from pybuf.bench.manifest import ChosenContender, ChosenWorkload, Manifest
from pybuf.bench.result import Ratio
from pybuf.bench.statistics import EQUAL, FEWEST_ROUNDS, INCONCLUSIVE, SLOWER

SLOWED = "slowed"
SLOWDOWN = 0.03
#: The steps of the calibration: the slowdown that the next one aims at, and how many times a run's rounds it has.
CALIBRATION = ((0.12, 1), (SLOWDOWN, 2), (SLOWDOWN, 10))
#: Units of work to begin the calibration with.
FIRST_WORK = 200
MOST_WORK = 1 << 20
#: Seeds of the calibration lie beyond those of the runs.
CALIBRATING = 1_000_000
MOST_ALARMS = 4
FEWEST_FOUND = 19 / 20
INTERRUPTED = 130
REDIS = Path("benchmarks/traces/redis.mtrace.xz")

Say = Callable[[str], object]


class UnusableError(Exception):
    """What was given or found cannot be calibrated with; its text is one line."""


@dataclass(frozen=True)
class Run:
    """One comparison: its seed, and the ratio that it reported."""

    seed: int
    estimate: float
    low: float
    high: float
    verdict: str
    repeated_rounds: int
    disturbed_rounds: int


@dataclass(frozen=True)
class Part:
    """What is run how often, and what may come of it. ``rounds`` are those of a run, ``runs`` how many by default."""

    name: str
    what: str
    workload: ChosenWorkload
    rounds: int
    runs: int
    is_planted: bool

    def manifest(self, seed: int, work: int | None, rounds: int | None = None) -> Manifest:
        """One run of it; ``work`` is what is planted."""
        contenders = [ChosenContender(BASE)]
        if work is not None:
            contenders = [ChosenContender(BASE, work=0), ChosenContender(SLOWED, same_as=BASE, work=work)]
        return Manifest(
            kind="replay" if self.workload.trace else "bench", command=[], seed=seed, contenders=contenders,
            workloads=[self.workload], metrics=["time"], threads=[1], touch="line", rounds=rounds or self.rounds,
            passes=["first"],
        )

    def is_good(self, runs: Sequence[Run]) -> bool:
        """Whether what was planted was found in 19 of 20 runs, or there were no more than ``MOST_ALARMS``."""
        if self.is_planted:
            return self.hits(runs) >= FEWEST_FOUND * len(runs)
        return self.hits(runs) <= MOST_ALARMS

    def hits(self, runs: Sequence[Run]) -> int:
        """How many alarms there were, or how often what was planted was found."""
        if self.is_planted:
            return sum(run.verdict == SLOWER for run in runs)
        return sum(run.verdict not in (EQUAL, INCONCLUSIVE) for run in runs)


def parts(trace: Path) -> list[Part]:
    """The parts in the order that they are run; ``trace`` is redis's."""
    pair = ChosenWorkload("lifo-pair")
    redis = ChosenWorkload("trace", trace=str(trace))
    return [
        Part("aa", f"{BASE} against itself, the pair", pair, 20, 200, is_planted=False),
        Part("pair", f"{BASE} against itself {SLOWDOWN:.0%} slower, the pair", pair, 20, 20, is_planted=True),
        Part("redis", f"{BASE} against itself {SLOWDOWN:.0%} slower, redis", redis, 60, 20, is_planted=True),
    ]


def estimate_s(part: Part, runs: int, rounds: int | None = None) -> float:
    """Seconds that a part takes, roughly, on a quiet machine."""
    one = tasks.plan(part.manifest(0, 1 if part.is_planted else None, rounds)).estimate_s
    return one * (runs + sum(times for _, times in CALIBRATION) * part.is_planted)


def compare(plan: tasks.Plan, seed: int) -> Run:
    """Run one comparison. Raises KeyboardInterrupt when it was ended early, UnusableError when it has no figures."""
    plan = replace(plan, manifest=replace(plan.manifest, seed=seed))
    result = runner.run(plan, None, lambda words, share: None)
    if not result.is_complete:
        raise KeyboardInterrupt
    (comparison,) = result.comparisons
    for absent in comparison.absent:
        raise UnusableError(f"{absent.name}: {absent.reason}")
    row = comparison.row(SLOWED)
    ratios: dict[str, Ratio] = comparison.a_over_a if row is None else row.ratios or {}
    (ratio,) = ratios.values()
    return Run(
        seed, ratio.estimate, ratio.low, ratio.high, ratio.verdict, comparison.repeated_rounds,
        comparison.disturbed_rounds,
    )


def calibrate(part: Part, seed: int, say: Say, rounds: int | None = None) -> int:
    """Units of work on every 64th call that slow the workload of ``part`` by 3 %. UnusableError: none do.

    The first units cost less than the next, because the processor does them while it ends what came before: so each
    step follows the line through what the last two measured, and the last measures at 3 % itself.
    """
    work = FIRST_WORK
    last_work, last = 0, 1.0
    for step, (aim, times) in enumerate(CALIBRATION):
        run = compare(tasks.plan(part.manifest(0, work, times * (rounds or part.rounds))), CALIBRATING + seed + step)
        say(f"  {work} units of work on every 64th call: {run.estimate - 1:+.1%}, "
            f"99 % from {run.low - 1:+.1%} to {run.high - 1:+.1%}")
        if run.estimate <= 1:
            raise UnusableError(f"{part.name}: {work} units of work slow nothing; run it on a quieter machine")
        slope = (run.estimate - last) / (work - last_work) if work != last_work else 0
        if slope <= 0:  # noise; the line through no work at all goes up
            slope = (run.estimate - 1) / work
        last_work, last = work, run.estimate
        work = min(max(1, round(work + (1 + aim - run.estimate) / slope)), MOST_WORK)
    say(f"  planted: {work} units of work on every 64th call")
    return work


def distribution(values: Sequence[float]) -> dict[str, float]:
    """The smallest, the quartiles and the largest, as differences from 1."""
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3)
    return {
        "smallest": min(values) - 1, "lower_quartile": low - 1, "median": middle - 1, "upper_quartile": high - 1,
        "largest": max(values) - 1,
    }


def take(part: Part, seed: int, count: int, say: Say, rounds: int | None = None) -> dict[str, Any]:
    """Run ``part``; answers what it found, as it is written to JSON: not ``is_complete`` when it was ended early."""
    began = time.monotonic()
    runs: list[Run] = []
    work, is_complete = None, True
    try:
        if part.is_planted:
            work = calibrate(part, seed, say, rounds)
        plan = tasks.plan(part.manifest(seed, work, rounds))
        for number in range(count):
            runs.append(compare(plan, seed + number))
            last = runs[-1]
            if part.is_planted or last.verdict not in (EQUAL, INCONCLUSIVE):
                say(f"  run {number + 1}, seed {last.seed}: {last.estimate - 1:+.2%}, "
                    f"99 % from {last.low - 1:+.2%} to {last.high - 1:+.2%}: {last.verdict}")
    except KeyboardInterrupt:
        is_complete = False
    found: dict[str, Any] = {
        "part": part.name, "what": part.what, "rounds": rounds or part.rounds, "seeds": [seed, seed + count - 1],
        "work": work, "contenders": [describe(one.as_order()) for one in part.manifest(0, work).contenders],
        "runs": [asdict(run) for run in runs], "verdicts": dict(Counter(run.verdict for run in runs)),
        "hits": part.hits(runs), "is_complete": is_complete, "is_good": is_complete and part.is_good(runs),
        "seconds": round(time.monotonic() - began, 1),
        "estimates": distribution([run.estimate for run in runs]) if runs else None,
    }
    _tell(part, found, say)
    return found


def _tell(part: Part, found: dict[str, Any], say: Say) -> None:
    count = len(found["runs"])
    if part.is_planted:
        say(f"  found in {found['hits']} of {count} runs (at least 19 of 20)")
    else:
        say(f"  {found['hits']} alarms in {count} comparisons (at most {MOST_ALARMS} in 200)")
    if count:
        say("  verdicts: " + ", ".join(f"{times} {verdict}" for verdict, times in sorted(found["verdicts"].items())))
        spread = found["estimates"]
        say(f"  estimates: {spread['smallest']:+.2%} to {spread['largest']:+.2%}, median {spread['median']:+.2%}, "
            f"quartiles {spread['lower_quartile']:+.2%} and {spread['upper_quartile']:+.2%}")
        repeats = sum(run["repeated_rounds"] for run in found["runs"])
        disturbed = sum(run["disturbed_rounds"] for run in found["runs"])
        say(f"  {repeats} rounds repeated, {disturbed} kept though disturbed; {found['seconds']:.0f} s")


def main(arguments: list[str] | None = None) -> int:
    """Counts false alarms and planted slowdowns that are found.

    The status is 0 when all is as it should be, 1 when it is not, 2 for bad input, 130 when it was interrupted.
    """
    parser = argparse.ArgumentParser(prog="python -m pybuf.bench.calibration", description=main.__doc__)
    parser.add_argument("--part", action="append", choices=("aa", "pair", "redis"), help="only this one (all)")
    parser.add_argument("--runs", type=int, help="runs of each part (200 of aa, 20 of the others)")
    parser.add_argument("--rounds", type=int, help="rounds of each run, 8 at least (20; 60 of redis)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first run; the next has the next (1)")
    parser.add_argument("--trace", type=Path, default=REDIS, help=f"redis's recording ({REDIS})")
    parser.add_argument("-o", dest="file", type=Path, metavar="FILE", help="write all that was found there, as JSON")
    options = parser.parse_args(arguments)
    if options.runs is not None and options.runs < 1:
        parser.error(f"--runs {options.runs}: expected at least 1")
    if options.rounds is not None and options.rounds < FEWEST_ROUNDS:
        parser.error(f"--rounds {options.rounds}: expected at least {FEWEST_ROUNDS}, fewer have no interval")
    chosen = [replace(part, runs=options.runs or part.runs) for part in parts(options.trace)
              if not options.part or part.name in options.part]
    command = shlex.join([
        "python", "-m", "pybuf.bench.calibration", *(sys.argv[1:] if arguments is None else arguments)])

    def say(line: str) -> None:
        print(line, flush=True)

    found: list[dict[str, Any]] = []
    try:
        costs = [estimate_s(part, part.runs, options.rounds) for part in chosen]
        say(f"{command}: about {sum(costs) / 60:.1f} minutes on a quiet machine, more where rounds are repeated")
        for part, cost in zip(chosen, costs, strict=True):
            say(f"{part.name}: {part.what}, {part.runs} runs of {options.rounds or part.rounds} rounds: "
                f"about {cost:.0f} s")
            found.append(take(part, options.seed, part.runs, say, options.rounds))
            if options.file is not None:
                write_json(options.file, {"command": command, "seed": options.seed, "parts": found})
            if not found[-1]["is_complete"]:
                return INTERRUPTED
    except (UnusableError, ValueError, RunError) as wrong:
        print(f"{parser.prog}: {wrong}", file=sys.stderr)
        return 2
    except OSError as failure:
        print(f"{parser.prog}: {failure.filename or options.file}: {failure.strerror}", file=sys.stderr)
        return 2
    return 0 if all(one["is_good"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
