"""Replays traces through contenders, so that what is printed can be defended.

Each trial is a process of its own (see trial.py). A round is one trial of every contender in random
order; ratios are formed between trials of the same round, from gross times. The first pass of a fresh
process is the headline, because a recorded program ran once; the median of the later passes stands
beside it. Resident bytes come from trials of their own, in which every page of every block is touched.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pybuf.bench import processor
from pybuf.bench.contenders import BASE, CONTENDERS, ENVIRONMENT
from pybuf.bench.traces import Trace

SCHEMA = 1
PASSES = 6
CHECK_PASSES = 2
RESIDENT_TRIALS = 3
#: Above this, wall time to processor time of one thread, something else had the processor.
DISTURBED_RATIO = 1.02
PEERS = ("glibc", "mimalloc", "jemalloc", "tcmalloc")
#: Only these reach a trial, so that no MALLOC_CONF or LD_PRELOAD of the caller's favours anyone.
INHERITED = ("PATH", "LD_LIBRARY_PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
TRIAL_TIMEOUT_S = 600

# For the estimate that is printed before anything has been measured.
START_S = 0.065
EVENT_S = 12e-9

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Spread:
    """Median and quartiles over rounds."""

    median: float
    q1: float
    q3: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarize one value per round; at least one."""
        ordered = sorted(values)
        if len(ordered) == 1:
            return cls(ordered[0], ordered[0], ordered[0])
        q1, median, q3 = statistics.quantiles(ordered, n=4, method="inclusive")
        return cls(median, q1, q3)


@dataclass(frozen=True)
class Timing:
    """Times of one kind of pass: ``ns`` gross per event, and its ratio to glibc in the same round."""

    ns: Spread
    #: Less the median of the empty harness. Shown, never divided.
    net_ns: float | None
    ratio_to_glibc: Spread | None
    #: The gross time per event of every round, in the order of the rounds.
    rounds_ns: list[float]


@dataclass(frozen=True)
class Result:
    """A contender's figures on one trace. ``waste`` is resident bytes to peak live bytes."""

    name: str
    what: str
    origin: str
    first: Timing
    later: Timing
    resident_bytes: int | None
    waste: float | None


@dataclass(frozen=True)
class Absent:
    """A contender without figures: it could not be loaded, or failed. ``package`` is Debian's."""

    name: str
    reason: str
    package: str | None
    is_disqualified: bool


@dataclass(frozen=True)
class Lead:
    """poolcore's ratio to the peer with the smallest median, formed within rounds; below 1 is faster."""

    peer: str
    ratio: Spread


@dataclass(frozen=True)
class TraceReport:
    """All that was found on one trace."""

    trace: dict[str, Any]
    rounds: int
    #: Rounds run again because the processor was shared, and rounds kept although it was.
    repeated_rounds: int
    disturbed_rounds: int
    results: list[Result]
    absent: list[Absent]
    first_lead: Lead | None
    later_lead: Lead | None


@dataclass(frozen=True)
class Report:
    """A whole run of ``replay``; ``as_dict`` is what is written as JSON."""

    schema: int
    seed: int
    rounds: int
    passes: int
    cpu: int
    is_address_randomized: bool
    machine: dict[str, str]
    traces: list[TraceReport]
    #: Geometric mean over the traces of poolcore's ratio to the fastest peer on each.
    first_lead: float | None
    later_lead: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers."""
        return asdict(self)


class _Trials:
    """Starts trials of one trace, and remembers which contenders are out of it and why."""

    def __init__(self, trace: Trace, words: Path, contenders: Sequence[str], rng: random.Random, cpu: int):
        self.trace = trace
        self.words = words
        self.rng = rng
        self.cpu = cpu
        self.running = list(contenders)
        self.absent: list[Absent] = []
        self.origins: dict[str, str] = {}

    def try_run(self, name: str, touch: str, passes: int = 1) -> dict[str, Any] | None:
        """Run one trial. None when the contender is out, from now on in every round."""
        order = {
            "contender": name,
            "words": str(self.words),
            "recorded": self.trace.recorded_words,
            "slots": self.trace.slots,
            "peak": self.trace.peak_word,
            "touch": touch,
            "passes": passes,
            "cpu": self.cpu,
            "offset": self.rng.randrange(16, 4097, 16),
        }
        environment = {key: os.environ[key] for key in INHERITED if key in os.environ}
        environment.update(ENVIRONMENT)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        environment["PYBUF_PADDING"] = "x" * self.rng.randrange(4096)
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "pybuf.bench.trial", json.dumps(order)],
                env=environment, capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=False,
            )
        except subprocess.TimeoutExpired:
            return self._drop(name, f"did not end within {TRIAL_TIMEOUT_S} s")
        if done.returncode < 0:
            return self._drop(name, f"died of {signal.Signals(-done.returncode).name}")
        if done.returncode:
            return self._drop(name, (done.stderr.strip().splitlines() or ["failed without a word"])[-1])
        answer: dict[str, Any] = json.loads(done.stdout)
        if "missing" in answer:
            return self._drop(name, answer["missing"], is_disqualified=False)
        if "disqualified" in answer:
            return self._drop(name, answer["disqualified"])
        self.origins[name] = answer["origin"]
        return answer

    def _drop(self, name: str, reason: str, is_disqualified: bool = True) -> dict[str, Any] | None:
        self.running.remove(name)
        self.absent.append(Absent(name, reason, CONTENDERS[name].package, is_disqualified))
        return None

    def shuffled(self) -> list[str]:
        return self.rng.sample(self.running, len(self.running))


def contenders(against: Sequence[str] | None) -> list[str]:
    """Names of the contenders for ``--against``: poolcore, glibc as the base, the empty harness, and those.

    None means all. Raises ValueError, naming what there is, for a name that is no contender's.
    """
    for name in against or ():
        if name not in CONTENDERS:
            raise ValueError(f"unknown contender {name!r}; there are {', '.join(CONTENDERS)}")
    if against is None:
        return list(CONTENDERS)
    chosen = {"poolcore", BASE, "empty", *against}
    return [name for name in CONTENDERS if name in chosen]


def estimate_s(traces: Sequence[Trace], contenders: Sequence[str], rounds: int) -> float:
    """Seconds that ``replay`` will take, roughly, on a machine of our days that is otherwise idle."""
    return sum(
        len(contenders) * trials * (START_S + passes * trace.replayed_events * EVENT_S)
        for trace in traces
        for trials, passes in ((1, 3 * CHECK_PASSES), (rounds, PASSES), (min(RESIDENT_TRIALS, rounds), 1))
    )


def steps(traces: Sequence[Trace], rounds: int) -> int:
    """How often ``replay`` calls its ``progress``, if nothing is repeated."""
    return len(traces) * (1 + rounds + min(RESIDENT_TRIALS, rounds))


def replay(
    traces: Sequence[Trace], contenders: Sequence[str], rounds: int, seed: int, progress: Progress
) -> Report:
    """Replay every trace through every contender, ``rounds`` times.

    ``progress`` is called with a few words after each step. Waits while other benchmarks hold every
    processor. A contender that is missing or fails is reported, and does not stop the others.
    """
    rng = random.Random(seed)
    with processor.locked() as cpu, tempfile.TemporaryDirectory(prefix="pybuf-") as scratch:
        reports = []
        for number, trace in enumerate(traces):
            words = Path(scratch) / f"{number}.words"
            words.write_bytes(trace.events.tobytes())
            reports.append(_replay_one(_Trials(trace, words, contenders, rng, cpu), rounds, progress))
            words.unlink()
    return Report(
        schema=SCHEMA,
        seed=seed,
        rounds=rounds,
        passes=PASSES,
        cpu=cpu,
        is_address_randomized=processor.is_randomized(),
        machine=processor.description(),
        traces=reports,
        first_lead=_geometric_mean([report.first_lead for report in reports]),
        later_lead=_geometric_mean([report.later_lead for report in reports]),
    )


def _replay_one(trials: _Trials, rounds: int, progress: Progress) -> TraceReport:
    trace = trials.trace
    for name in [name for name in trials.running if name != "empty"]:
        trials.try_run(name, "check", CHECK_PASSES)
    progress(f"{trace.name}: checked")

    first: list[dict[str, float]] = []
    later: list[dict[str, float]] = []
    repeated = disturbed = 0
    while len(first) < rounds:
        answers = {}
        for name in trials.shuffled():
            answer = trials.try_run(name, "line", PASSES)
            if answer is not None:
                answers[name] = answer
        if any(_is_disturbed(answer) for answer in answers.values()):
            if repeated < rounds:
                repeated += 1
                continue
            disturbed += 1
        first.append({name: answer["wall_ns"][0] for name, answer in answers.items()})
        later.append({name: statistics.median(answer["wall_ns"][1:]) for name, answer in answers.items()})
        progress(f"{trace.name}: round {len(first)} of {rounds}" + (f", {repeated} repeated" if repeated else ""))

    resident: dict[str, list[int]] = {}
    for _ in range(min(RESIDENT_TRIALS, rounds)):
        for name in trials.shuffled():
            if name != "empty":
                answer = trials.try_run(name, "page")
                if answer is not None:
                    resident.setdefault(name, []).append(answer["resident_bytes"])
        progress(f"{trace.name}: resident bytes")

    first_timings = _timings(first, trials.running, trace.replayed_events)
    later_timings = _timings(later, trials.running, trace.replayed_events)
    results = []
    for name in trials.running:
        resident_bytes = int(statistics.median(resident[name])) if name in resident else None
        results.append(Result(
            name=name,
            what=CONTENDERS[name].what,
            origin=trials.origins[name],
            first=first_timings[name],
            later=later_timings[name],
            resident_bytes=resident_bytes or None,
            waste=resident_bytes / trace.peak_live_bytes if resident_bytes and trace.peak_live_bytes else None,
        ))
    return TraceReport(
        trace=trace.facts(),
        rounds=rounds,
        repeated_rounds=repeated,
        disturbed_rounds=disturbed,
        results=results,
        absent=trials.absent,
        first_lead=_lead(first, trials.running),
        later_lead=_lead(later, trials.running),
    )


def _is_disturbed(answer: dict[str, Any]) -> bool:
    wall, cpu = answer["wall_ns"], answer["cpu_ns"]
    parts = (wall[0], cpu[0]), (sum(wall[1:]), sum(cpu[1:]))
    return any(wall_ns > DISTURBED_RATIO * cpu_ns for wall_ns, cpu_ns in parts)


def _timings(rounds: list[dict[str, float]], names: list[str], events: int) -> dict[str, Timing]:
    empty = statistics.median(times["empty"] for times in rounds) / events if "empty" in names else None
    timings = {}
    for name in names:
        rounds_ns = [times[name] / events for times in rounds]
        ns = Spread.of(rounds_ns)
        timings[name] = Timing(
            ns=ns,
            net_ns=None if empty is None else ns.median - empty,
            ratio_to_glibc=_ratio(rounds, name, BASE) if BASE in names else None,
            rounds_ns=rounds_ns,
        )
    return timings


def _ratio(rounds: list[dict[str, float]], name: str, base: str) -> Spread:
    return Spread.of(times[name] / times[base] for times in rounds)


def _lead(rounds: list[dict[str, float]], names: list[str]) -> Lead | None:
    peers = [name for name in PEERS if name in names]
    if "poolcore" not in names or not peers:
        return None
    fastest = min(peers, key=lambda peer: statistics.median(times[peer] for times in rounds))
    return Lead(fastest, _ratio(rounds, "poolcore", fastest))


def _geometric_mean(leads: Sequence[Lead | None]) -> float | None:
    ratios = [lead.ratio.median for lead in leads if lead is not None]
    return math.exp(statistics.fmean(map(math.log, ratios))) if ratios and len(ratios) == len(leads) else None
