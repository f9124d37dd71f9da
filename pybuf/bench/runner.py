"""Runs a manifest: checks, then rounds in random order, each trial in a fresh process, each round kept in a journal.

A round runs every contender once, and the base a second time: how far the two are apart is what chance does, and
their mean is what the others are compared with. Ratios are formed within a round, from gross times. Where contenders
may share a process, a round is one process, which interleaves turns of each, so that rounds differ in their memory
layouts. A round during which something else had the processor is run again. Resident bytes and latencies come from
runs of their own.

A run that is interrupted goes on from its journal: what is random is drawn from the seed and a round's own
number, and so is the same whenever the round is run.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import random
import statistics
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pybuf.bench import analysis, children, fingerprint, order, processor
from pybuf.bench.contenders import CONTENDERS, ENVIRONMENT, class_edges, describe, look_python
from pybuf.bench.files import check_regular
from pybuf.bench.jsonfile import ForeignFileError
from pybuf.bench.manifest import ChosenContender, ChosenWorkload, Manifest
from pybuf.bench.manifest import load as load_manifest
from pybuf.bench.recordings.traces import FREE, SIZE_SHIFT, SLOT_SHIFT, Trace, default_path, read
from pybuf.bench.result import Absent, Comparison, Latency, MeasuredWorkload, Memory, Result, Row, Threaded
from pybuf.bench.statistics import FEWEST_ROUNDS
from pybuf.bench.workloads import WORKLOADS, Workload, draw

PASSES = 6
CHECK_PASSES = 2
#: Rounds of runs that measure bytes or latencies, if nobody says how many: they vary little, and a run has thousands of
#: samples.
FEW_ROUNDS = 3
#: Turns of every contender within one process, where they share it: as many as take TURNS_S, in these limits. A turn
#: of a pair strays by 2 to 5 % and the middle of 25 by 1 %; more would cost more than another process does.
FEWEST_TURNS = 3
MOST_TURNS = 25
TURNS_S = 0.15
#: More rounds than these make no interval narrower than the clock and the machine allow.
MOST_ROUNDS = 200
#: Above this, wall time to processor time of one thread, something else had the processor.
DISTURBED_RATIO = 1.02
#: Only these reach a trial, so that no MALLOC_CONF or LD_PRELOAD of the caller's favours anyone.
INHERITED = ("PATH", "LD_LIBRARY_PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
TRIAL_TIMEOUT_S = 600
QUICK_S = 20.0
SAME = "A/A"
#: Stands for the file of the recording that ships with the package, wherever that is installed.
SHIPPED = "shipped:sqlite"
#: The last line of the journal of a run that was finished.
ENDED = b'{"is_ended":true,"seconds":0}\n'
#: So many rounds may be repeated before any was kept, when it is the time that is limited.
FEWEST_REPEATS = 2

#: What replays a recording, as a workload.
TRACE = Workload("trace", "the allocations of a recorded program", {}, isolation="process", threads=(1, 1))

# For the estimate that is printed before anything has been measured.
START_S = 0.075
EVENT_S = 12e-9
CHECK_SLOWER = 3
PYTHON_EVENT_S = 20e-6
WAIT_S = 4e-6

#: Called after each step with a few words and the share of the run that is done, 0 to 1.
Progress = Callable[[str, float], None]


class RunError(Exception):
    """A run that cannot go on; its text is one line that says why and what to do."""


@dataclass(frozen=True)
class Task:
    """One comparison, before it is run. ``key`` is that of its check, which comparisons of one workload share."""

    id: str
    key: str
    workload: Workload
    chosen: ChosenWorkload
    metric: str
    threads: int
    touch: str
    contenders: list[ChosenContender]
    passes: list[str]
    trace: Trace | None
    #: Of a trace that is replayed in the order of its threads, and the file that it is in.
    layout: order.Layout | None = None
    layout_path: str = ""

    @property
    def is_shared(self) -> bool:
        """Whether contenders run in one process: never where that process is what is measured."""
        return self.workload.isolation_of(self.metric, self.threads) == "shared"

    @property
    def is_processor_bound(self) -> bool:
        """Whether wall time is processor time when nothing disturbs: not with threads, and not with sockets."""
        if self.threads > 1 or self.layout is not None:
            return False
        return not self.workload.contenders or self.workload.isolation == "shared"

    @property
    def events_s(self) -> float:
        """Seconds that one pass takes, roughly."""
        if self.trace is not None and self.layout is not None:
            return self.layout.think_ns / 1e9 + self.layout.waits * WAIT_S + self.trace.replayed_events * EVENT_S
        if self.trace is not None:
            return self.trace.replayed_events * EVENT_S
        parameters = {**self.workload.parameters, **self.chosen.parameters}
        if self.workload.contenders:
            return float(parameters.get("count", 1000) * PYTHON_EVENT_S)
        return float(parameters.get("events", 400_000) * EVENT_S)

    @property
    def passes_run(self) -> int:
        """Passes of one trial."""
        return PASSES if self.metric == "time" and "later" in self.passes else 1

    @property
    def turns(self) -> int:
        """Turns of every contender in one process."""
        if not self.is_shared:
            return 1
        return min(max(round(TURNS_S / (len(self.contenders) * self.events_s)), FEWEST_TURNS), MOST_TURNS)

    def cost_s(self) -> float:
        """Seconds that one round takes, roughly, on a machine of our days that is otherwise idle."""
        starts = 1 if self.is_shared else len(self.contenders)
        passes = self.passes_run + (self.layout is not None and self.metric == "time")  # one to count live bytes
        return starts * START_S + len(self.contenders) * self.turns * passes * self.events_s

    def check_cost_s(self) -> float:
        """Seconds that its check takes, roughly."""
        if self.workload.contenders:
            return 0
        return len(self.contenders) * (START_S + CHECK_PASSES * CHECK_SLOWER * self.events_s)


@dataclass(frozen=True)
class Plan:
    """A manifest whose workloads and traces have been found."""

    manifest: Manifest
    tasks: list[Task]

    def target(self, task: Task) -> int:
        """Rounds that a comparison gets at most."""
        if task.metric != "time":
            return self.manifest.rounds or FEW_ROUNDS
        return self.manifest.rounds or MOST_ROUNDS

    @property
    def estimate_s(self) -> float:
        """Seconds that the run will take, roughly."""
        checks = {task.key: task.check_cost_s() for task in self.tasks}
        few = sum(task.cost_s() * self.target(task) for task in self.tasks if task.metric != "time")
        if self.manifest.time_s is None:
            timed = sum(task.cost_s() * self.target(task) for task in self.tasks if task.metric == "time")
            return sum(checks.values()) + few + timed
        least = sum(checks.values()) + few + sum(task.cost_s() for task in self.tasks if task.metric == "time")
        return max(self.manifest.time_s, least)

    @property
    def few_rounds(self) -> int:
        """About how many rounds of the costliest comparison fit into the time, if too few for an interval; else 0."""
        if self.manifest.time_s is None:
            return 0
        timed = [task for task in self.tasks if task.metric == "time"]
        spare = self.manifest.time_s - sum({task.key: task.check_cost_s() for task in self.tasks}.values())
        spare -= sum(task.cost_s() * self.target(task) for task in self.tasks if task.metric != "time")
        fitting = [max(1, int(spare / len(timed) / task.cost_s())) for task in timed]
        return min(fitting) if fitting and min(fitting) < FEWEST_ROUNDS else 0


def plan(manifest: Manifest) -> Plan:
    """Find the workloads, read the traces. Raises ValueError, one line, for what cannot be run."""
    tasks: list[Task] = []
    for chosen in manifest.workloads:
        trace = None
        if chosen.trace is not None:
            trace = read(default_path() if chosen.trace == SHIPPED else chosen.trace)
        workload = TRACE if trace is not None else WORKLOADS[chosen.name]
        parted: tuple[order.Layout, str] | None = None
        if trace is not None and manifest.order == "threads":
            parted = order.part(trace)
            workload = _threaded(parted[0], trace, manifest)
        takers = [one for one in manifest.contenders if _takes(workload, one)]
        for threads in workload.threads_of(manifest.threads):
            for metric in manifest.metrics:
                if metric not in workload.metrics:
                    raise ValueError(
                        f"{chosen.name} has no metric {metric}; it has {', '.join(workload.metrics)}")
                entries = [one for one in takers if metric != "memory" or one.name != analysis.EMPTY]
                task = _task(manifest, chosen, workload, trace, metric, threads, entries, tasks)
                if parted is not None:
                    task = replace(task, layout=parted[0], layout_path=parted[1])
                tasks.append(task)
    return Plan(manifest, tasks)


def _threaded(layout: order.Layout, trace: Trace, manifest: Manifest) -> Workload:
    """The workload of a trace that is replayed by its threads. Raises ValueError when they are too many for here."""
    threads = len(layout.parts)
    processors = processor.count() if manifest.cpus is None else len(manifest.cpus)
    if threads > processors and not manifest.is_oversubscribed:
        raise ValueError(order.unfit(trace.path, threads, processors))
    return replace(
        TRACE, what=f"{TRACE.what}, {layout.described(processors)}", threads=(threads, threads),
        parameters={"order": "threads", "think": layout.think, "waits": layout.waits},
    )


def _takes(workload: Workload, entry: ChosenContender) -> bool:
    if workload.contenders:
        return entry.name in workload.contenders
    return _is_native(entry)


def _is_native(entry: ChosenContender) -> bool:
    """Whether it has C functions."""
    return bool(entry.library) or entry.settings is not None or (entry.same_as or entry.name) in CONTENDERS


def _task(
    manifest: Manifest, chosen: ChosenWorkload, workload: Workload, trace: Trace | None, metric: str, threads: int,
    entries: list[ChosenContender], others: Sequence[Task],
) -> Task:
    name = trace.name if trace else chosen.name
    of_what = " in their order" if manifest.order == "threads" and trace else ""
    key = f"{name}, {threads} thread{'s' * (threads > 1)}{of_what}"
    touch = "page" if metric == "memory" else manifest.touch
    number = 1 + sum(task.id.partition(" (")[0] == f"{key}, {touch}, {metric}" for task in others)
    again = f" ({number})" if number > 1 else ""
    is_timed = metric == "time"
    has_passes = is_timed and not workload.contenders and workload.isolation_of(metric, threads) == "process"
    passes = list(manifest.passes) if has_passes else ["all"]
    same = [replace(one, name=SAME, same_as=one.name) for one in entries if is_timed and one.name == workload.base]
    return Task(
        id=f"{key}, {touch}, {metric}{again}", key=key + again, workload=workload, chosen=chosen, metric=metric,
        threads=threads, touch=touch, contenders=entries + same, passes=passes, trace=trace,
    )


# ---- trials --------------------------------------------------------------------------------


def ask(order: dict[str, Any], padding: int) -> dict[str, Any]:
    """The answer of a trial in a fresh process, whose environment has ``padding`` bytes more.

    Raises TrialFailedError, which says how it ended, when there is no answer, and RunError for what no contender could
    be measured with.
    """
    return _answer("pybuf.bench.trial", order, padding)


def look(entry: ChosenContender) -> dict[str, str]:
    """Version and origin of a contender, or why it is missing, found out in a fresh process."""
    try:
        found: dict[str, str] = _answer("pybuf.bench.contenders", entry.as_order(), 0)
    except TrialFailedError as failure:
        return {"missing": str(failure)}
    return found


def _answer(module: str, order: dict[str, Any], padding: int) -> dict[str, Any]:
    environment = {key: os.environ[key] for key in INHERITED if key in os.environ}
    environment.update(ENVIRONMENT)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    environment["PYBUF_PADDING"] = "x" * padding
    environment[processor.PARENT] = str(os.getpid())
    try:
        return children.ask([sys.executable, "-P", "-m", module, json.dumps(order)], environment, TRIAL_TIMEOUT_S)
    except children.FailedError as failure:
        raise TrialFailedError(str(failure)) from None
    except children.RefusedError as refused:
        raise RunError(str(refused)) from None


class TrialFailedError(Exception):
    """A trial that gave no answer; its text says how it ended."""


class _Trials:
    """Starts the trials of one task, and remembers which contenders are out of it and why."""

    def __init__(self, task: Task, seed: int, cpus: list[int]) -> None:
        self.task = task
        self.seed = seed
        self.cpus = cpus
        self.running = list(task.contenders)
        self.absent: list[Absent] = []
        self.origins: dict[str, str] = {}
        self.emulated: dict[str, list[str]] = {}

    def draw(self, number: int | str) -> random.Random:
        """What is random in round ``number``: the same whenever that is run."""
        return random.Random(f"{self.seed}, {self.task.id}, {number}")

    def run(
        self, entries: Sequence[ChosenContender], metric: str, number: int | str, draw: random.Random, passes: int,
        rounds: int,
    ) -> dict[str, Any] | None:
        """One trial of round ``number``, whose contenders all play the same words, in a process that ``draw`` shapes.

        Contenders that are missing or fail are out from now on; None when nothing is left of it.
        """
        task = self.task
        order = {
            "workload": task.workload.name,
            "parameters": {**task.workload.parameters, **task.chosen.parameters},
            "contenders": [entry.as_order() for entry in entries],
            "metric": metric,
            "touch": task.touch,
            "threads": task.threads,
            "passes": passes,
            "rounds": rounds,
            "cpus": self.cpus,
            "offset": draw.randrange(16, 4097, 16),
            "seed": self.draw(f"words {number}").randrange(1 << 32),
            **_words(task),
        }
        try:
            answer = ask(order, draw.randrange(4096))
        except TrialFailedError as failure:
            if len(entries) == 1:
                self.drop(entries[0].name, str(failure))
                return None
            return self._search(entries, metric, number, draw, str(failure))
        for name, reason in answer.get("missing", {}).items():
            self.drop(name, reason, is_disqualified=False)
        for name, reason in answer.get("disqualified", {}).items():
            self.drop(name, reason)
        self.origins.update(answer.get("origins", {}))
        self.emulated.update(answer.get("emulated", {}))
        return answer if any(entry in self.running for entry in entries) else None

    def _search(
        self, entries: Sequence[ChosenContender], metric: str, number: int | str, draw: random.Random, reason: str
    ) -> dict[str, Any] | None:
        """Find whose fault it is that a process with several contenders died: each has one of its own now."""
        before = len(self.running)
        for entry in entries:
            self.run([entry], metric, number, draw, 1, 1)
        if len(self.running) == before:
            raise RunError(f"{self.task.id}: the contenders run alone, but a process with all of them {reason}")
        return None

    def drop(self, name: str, reason: str, is_disqualified: bool = True) -> None:
        """Take a contender out, whatever it has measured until now."""
        if any(entry.name == name for entry in self.running):
            out = {name, SAME} if name == self.task.workload.base else {name}
            self.running = [entry for entry in self.running if entry.name not in out]
            package = CONTENDERS[name].package if name in CONTENDERS else None
            self.absent.append(Absent(name, reason, package, is_disqualified))

    def check(self) -> None:
        """Have every contender write and verify a pattern in every block."""
        for entry in list(self.running):
            if entry.name not in (analysis.EMPTY, SAME) and "check" in self.task.workload.metrics:
                self.run([entry], "check", "check", self.draw("check"), CHECK_PASSES, 1)

    def round(self, number: int) -> tuple[dict[str, Any], bool]:
        """One round: what each contender that is still in answered, and whether it was disturbed."""
        draw = self.draw(number)
        task = self.task
        entries = draw.sample(self.running, len(self.running))
        found: dict[str, Any] = {}
        disturbed = False
        if task.is_shared:
            while self.running:
                answer = self.run(
                    [entry for entry in entries if entry in self.running], task.metric, number, draw, task.passes_run,
                    task.turns)
                if answer is not None:
                    found, disturbed = self._joined(answer["rounds"])
                    break
            return found, disturbed
        for entry in entries:
            answer = self.run([entry], task.metric, number, draw, task.passes_run, 1)
            if answer is None:
                continue
            if task.metric == "time":
                (turn,) = answer["rounds"]
                found[entry.name] = turn[entry.name]
                disturbed = disturbed or self._is_disturbed(turn[entry.name])
            elif task.metric == "memory":
                found[entry.name] = {**answer["memory"][entry.name], "slab_map": answer.get("slab_map")}
            else:
                found[entry.name] = answer["histogram"][entry.name]
        return found, disturbed

    def _joined(self, turns: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
        """The middle of a process's turns: of the calm ones, where there are any.

        Everyone has the base's median times the median of its own ratios to the base, each formed within a turn: over
        25 turns of the pair that strays by 1.0 % where the ratio of two medians does by 1.5 %. The base is the mean
        of its two turns.
        """
        calm = [turn for turn in turns if not any(map(self._is_disturbed, turn.values()))]
        kept = calm or turns
        names = [name for name in kept[0] if all(name in turn for turn in kept)]
        bases = [name for name in (self.task.workload.base, SAME) if name in names]

        def middle(name: str, series: str) -> list[float]:
            passes = []
            for number in range(len(kept[0][name][series])):
                own = [turn[name][series][number] for turn in kept]
                base = [
                    math.prod(turn[one][series][number] for one in bases) ** (1 / len(bases)) for turn in kept
                ] if bases else own
                ratios = [value / other for value, other in zip(own, base, strict=True)]
                passes.append(statistics.median(base) * statistics.median(ratios))
            return passes

        joined = {
            name: {**kept[0][name],
                   **{series: middle(name, series) for series in ("wall_ns", self.task.workload.series)}}
            for name in names
        }
        return joined, not calm

    def _is_disturbed(self, measured: dict[str, Any]) -> bool:
        wall, cpu = measured["wall_ns"], measured.get("cpu_ns")
        if not cpu or not self.task.is_processor_bound:
            return False
        parts = (wall[0], cpu[0]), (sum(wall[1:]), sum(cpu[1:]))
        return any(wall_ns > DISTURBED_RATIO * cpu_ns for wall_ns, cpu_ns in parts)


# ---- the journal ---------------------------------------------------------------------------


class Journal:
    """Finished rounds, a line of JSON each: what an interrupted run goes on from.

    A line ends in a checksum of the rest, so that what was torn or edited is not taken for a round. While a run writes
    there, the file is locked: RunError for a second run beside it.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []
        self.file = None
        if path is None:
            return
        whole = b""
        if path.exists():
            text = path.read_bytes()
            whole = text[:text.rfind(b"\n") + 1]  # the last line may have been cut off
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self.lines.append(_unsealed(line))
            except ValueError:
                raise RunError(f"{path}: line {number} is damaged; delete the directory to start again") from None
        with self._told():
            self.file = path.open("r+b" if path.exists() else "wb")
            if not _is_lockable(self.file.fileno()):
                self.close()
                raise RunError(_beside(path.parent))
            if path.is_file():
                self.file.truncate(len(whole))
                self.file.seek(len(whole))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            raise RunError(
                f"{self.path}: {failure.strerror}; the rounds before this one are kept: make room, and the same "
                "command goes on from there"
            ) from None

    def add(self, line: dict[str, Any]) -> None:
        """Write a line, and have it on its way to the disk before the next round begins."""
        self.lines.append(line)
        if self.file is not None:
            with self._told():
                self.file.write(_sealed(line))
                self.file.flush()

    def close(self) -> None:
        """No more lines."""
        if self.file is not None:
            with suppress(OSError):  # what could not be written was told when it was tried
                self.file.close()


def _sealed(line: dict[str, Any]) -> bytes:
    text = json.dumps(line, separators=(",", ":")).encode()
    return text[:-1] + b',"crc":%d}\n' % zlib.crc32(text)


def _unsealed(text: bytes) -> dict[str, Any]:
    """The line that became ``text``. Raises ValueError when it is another."""
    if text + b"\n" == ENDED:
        return {"is_ended": True, "seconds": 0}
    start, _, crc = text.rpartition(b',"crc":')
    if crc != b"%d}" % zlib.crc32(start + b"}"):
        raise ValueError("the checksum is of another line")
    line: dict[str, Any] = json.loads(start + b"}")
    return line


def _is_lockable(file: int) -> bool:
    """Lock an open file as long as it is open, unless another run has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _beside(directory: Path) -> str:
    return f"another run is writing to {directory}; wait until it ends, or choose another directory"


# ---- a run ---------------------------------------------------------------------------------


@dataclass
class _Progressing:
    """A task and its rounds so far. ``attempts`` also counts those that were repeated.

    ``is_patient``: rounds are counted and not the time, so that all repeats may come first.
    """

    trials: _Trials
    target: int
    is_patient: bool = True
    rounds: list[dict[str, Any]] = field(default_factory=list)
    attempts: int = 0
    repeated: int = 0
    disturbed: int = 0
    seconds: float = 0

    @property
    def is_finished(self) -> bool:
        return len(self.rounds) >= self.target or not self.trials.running

    def take(self, line: dict[str, Any]) -> None:
        """Count a line of the journal, written now or by the run that was interrupted."""
        self.attempts += 1
        self.seconds += line["seconds"]
        state = line["state"]
        if state == "repeated":
            self.repeated += 1
        else:
            self.disturbed += state == "disturbed"
            self.rounds.append(line["found"])
        self._settle(line)

    def _settle(self, line: dict[str, Any]) -> None:
        for absent in line["absent"]:
            self.trials.drop(absent["name"], absent["reason"], absent["is_disqualified"])
        self.trials.origins.update(line["origins"])
        self.trials.emulated.update(line["emulated"])

    def checked(self, line: dict[str, Any]) -> None:
        """Learn from a check who is out."""
        self._settle(line)

    def step(self) -> dict[str, Any]:
        """Run one round, and answer its line."""
        started = time.perf_counter()
        found, is_disturbed = self.trials.round(self.attempts)
        state = "kept"
        if is_disturbed:
            # As many repeats as rounds: a machine that is never calm is told, not waited for.
            limit = self.target if self.is_patient else max(len(self.rounds), FEWEST_REPEATS)
            state = "repeated" if self.repeated < limit else "disturbed"
        return {
            "comparison": self.trials.task.id, "state": state, "found": {} if state == "repeated" else found,
            "seconds": time.perf_counter() - started, **_facts(self.trials),
        }


def _facts(trials: _Trials) -> dict[str, Any]:
    return {
        "origins": dict(trials.origins), "emulated": dict(trials.emulated),
        "absent": [asdict(one) for one in trials.absent],
    }


def run(found: Plan, directory: Path | None, progress: Progress) -> Result:
    """Run what was planned, going on from the journal in ``directory`` if there is one.

    Waits while other benchmarks hold the processors. A contender that is missing or fails is reported, and does
    not stop the others. KeyboardInterrupt ends it early: what was finished is in the result, which then is not
    complete. Raises RunError, one line, when it cannot go on, as on a full disk.
    """
    manifest = found.manifest
    journal = Journal(None if directory is None else directory / "rounds.jsonl")
    try:
        with processor.locked_many(
            max(task.threads for task in found.tasks), manifest.cpus,
            lambda: progress("waiting: other benchmarks have the processors", 0),
        ) as cpus:
            tasks = [
                _Progressing(_Trials(task, manifest.seed, cpus), found.target(task), manifest.rounds is not None)
                for task in found.tasks
            ]
            print_of = _fingerprint(manifest, journal)
            is_complete = True
            try:
                _go(found, tasks, journal, progress)
            except KeyboardInterrupt:
                is_complete = False
            return _result(found, tasks, cpus, print_of, is_complete)
    finally:
        journal.close()


def _fingerprint(manifest: Manifest, journal: Journal) -> dict[str, Any]:
    """The fingerprint of this machine. Raises RunError when the journal was begun on what differs from it."""
    builds = {}
    for entry in manifest.contenders:
        found = look(entry) if _is_native(entry) else look_python(entry.name)
        if "missing" not in found:
            builds[entry.name] = fingerprint.build(found["origin"], found["version"])
    taken = fingerprint.take(builds)
    begun = next((line["fingerprint"] for line in journal.lines if "fingerprint" in line), None)
    if begun is None:
        journal.add({"fingerprint": taken, "seconds": 0})
        return taken
    refusing, _ = fingerprint.differences(begun, taken)
    if refusing:
        raise RunError(f"{journal.path}: begun on what is no longer here ({refusing[0]}); choose another directory")
    return taken


def begin(manifest: Manifest, directory: Path, is_seed_given: bool) -> tuple[Manifest, bool]:
    """Prepare ``directory`` for a run; answers the manifest to run, and whether it goes on with an unfinished one.

    An unfinished run of the same lends its seed, unless another was given. A finished one is replaced once the new
    one is done. Raises RunError, one line, for a directory that cannot be written or holds another unfinished run.
    """
    path = directory / "manifest.json"
    journal = directory / "rounds.jsonl"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        check_regular(journal)
        if journal.exists():
            with journal.open("rb") as file:
                if not _is_lockable(file.fileno()):
                    raise RunError(_beside(directory))
        if path.exists() and journal.exists() and not _is_ended(journal):
            begun = load_manifest(path)
            if not manifest.is_same_run(begun) or (is_seed_given and manifest.seed != begun.seed):
                raise RunError(
                    f"{directory} holds another run that is not finished: {begun.command_line}; finish it with that "
                    "command, delete the directory, or choose another"
                )
            return replace(manifest, seed=begun.seed), True
        journal.unlink(missing_ok=True)
        manifest.save(path)
    except ForeignFileError as foreign:
        raise RunError(f"{foreign}; choose another directory") from None
    except FileExistsError:
        raise RunError(f"-o {directory}: is no directory; expected a directory to write to") from None
    except OSError as failure:
        raise RunError(f"-o {directory}: {failure.strerror}; expected a directory to write to") from None
    return manifest, False


def _is_ended(journal: Path) -> bool:
    return journal.read_bytes().endswith(ENDED)


def write(found: Result, directory: Path) -> None:
    """Write what was found into ``directory``: result.json, and the journal's last line. An OSError is the caller's."""
    found.save(directory / "result.json")
    if found.is_complete:
        end(directory)


def end(directory: Path) -> None:
    """Write the journal's last line: the next run there begins anew. An OSError is the caller's."""
    with (directory / "rounds.jsonl").open("ab") as journal:
        journal.write(ENDED)


def listing(more: Sequence[ChosenContender] = ()) -> dict[str, Any]:
    """What there is: workloads, and each contender with its version and origin, or why it is missing."""
    contenders = []
    for entry in (*map(ChosenContender, CONTENDERS), *more):
        package = CONTENDERS[entry.name].package if entry.name in CONTENDERS else None
        contenders.append({"name": entry.name, "what": describe(entry.as_order()), "package": package, **look(entry)})
    known = {entry["name"] for entry in contenders}
    for name in dict.fromkeys(name for one in WORKLOADS.values() for name in one.contenders if name not in known):
        contenders.append({"name": name, "what": "buffers in Python", "package": None, **look_python(name)})
    workloads = [
        {"name": one.name, "what": one.what, "is_default": one.is_default,
         "metrics": [metric for metric in one.metrics if metric != "check"],
         "contenders": list(one.contenders), "parameters": one.parameters}
        for one in WORKLOADS.values()
    ]
    return {"workloads": workloads, "contenders": contenders}


def _words(task: Task) -> dict[str, Any]:
    """What an order says of its trace, whose words lie in a file of their own."""
    trace = task.trace
    if trace is None:
        return {}
    if task.layout is not None:
        return {"layout": task.layout_path}
    return {
        "words": trace.words_path, "recorded": trace.recorded_words, "slots": trace.slots, "peak": trace.peak_word,
        **({} if trace.alignments_path is None else {"alignments": trace.alignments_path}),
    }


def _go(found: Plan, tasks: list[_Progressing], journal: Journal, progress: Progress) -> None:
    checks: dict[str, dict[str, Any]] = {}
    by_id = {one.trials.task.id: one for one in tasks}
    spent = 0.0
    for line in journal.lines:
        spent += line["seconds"]
        if "check" in line:
            checks[line["check"]] = line
        elif line.get("comparison") in by_id:
            by_id[line["comparison"]].take(line)
    total = found.estimate_s
    for one in tasks:
        key = one.trials.task.key
        if key not in checks:
            started = time.perf_counter()
            one.trials.check()
            checks[key] = {"check": key, "seconds": time.perf_counter() - started, **_facts(one.trials)}
            journal.add(checks[key])
            spent += checks[key]["seconds"]
            progress(f"{key}: checked", min(spent / total, 1))
        one.checked(checks[key])
    while waiting := [one for one in tasks if not one.is_finished]:
        # Whoever has had least of the time is next: what disturbs for minutes then falls on all alike.
        one = min(waiting, key=lambda each: each.seconds)
        is_begun = all(each.rounds for each in waiting)
        if found.manifest.time_s is not None and is_begun and (
            spent + one.seconds / one.attempts > found.manifest.time_s
        ):
            return
        line = one.step()
        one.take(line)
        journal.add(line)
        spent += line["seconds"]
        repeated = f", {one.repeated} repeated" if one.repeated else ""
        progress(f"{one.trials.task.id}: round {len(one.rounds)}{repeated}", min(spent / total, 1))


def _result(
    found: Plan, tasks: list[_Progressing], cpus: list[int], print_of: dict[str, Any], is_complete: bool
) -> Result:
    comparisons = analysis.with_verdicts([_comparison(one) for one in tasks])
    return Result(
        kind=found.manifest.kind,
        manifest=found.manifest,
        fingerprint=print_of,
        machine={**processor.description(), "cpus": cpus, "is_address_randomized": processor.is_randomized()},
        is_complete=is_complete,
        seed=found.manifest.seed,
        comparisons=comparisons,
        lead=analysis.lead(comparisons),
    )


def _comparison(one: _Progressing) -> Comparison:
    trials, task = one.trials, one.trials.task
    trace = task.trace
    names = [entry.name for entry in trials.running if entry.name != SAME]
    rounds = [found for found in one.rounds if names and all(name in found for name in names)]
    comparison = Comparison(
        id=task.id,
        metric=task.metric,
        threads=task.threads,
        touch=task.touch,
        unit={"time": task.workload.unit, "memory": "bytes", "latency": "ns"}[task.metric],
        workload=MeasuredWorkload(
            name=trace.name if trace else task.workload.name,
            what=task.workload.what,
            parameters={**task.workload.parameters, **task.chosen.parameters},
            trace=None if trace is None else {**trace.facts(), "path": _without_home(trace.path)},
        ),
        base=task.workload.base,
        passes=task.passes if task.metric == "time" else ["all"],
        rounds=len(rounds),
        repeated_rounds=one.repeated,
        disturbed_rounds=one.disturbed,
        contenders=[],
        absent=trials.absent,
    )
    sizes = _sizes(trials) if rounds else None
    if sizes is not None:
        comparison = replace(comparison, size_histogram=sizes, class_edges=class_edges())
    if not rounds:
        return comparison
    rows = {
        entry.name: Row(
            entry.name, describe(entry.as_order()), _without_home(trials.origins.get(entry.name, "")),
            _series(task, [found[entry.name] for found in rounds]), None, trials.emulated.get(entry.name, []),
            _threads(task, [found[entry.name] for found in rounds]))
        for entry in trials.running if entry.name in rounds[0]
    }
    again = rows.pop(SAME, None)
    comparison = replace(comparison, contenders=list(rows.values()))
    if task.metric == "latency":
        return replace(comparison, latency=_latencies(rounds, names))
    if task.metric == "memory":
        memory = {name: _memory(task, [found[name] for found in rounds]) for name in names}
        ours = rounds[-1].get(analysis.OURS, {})
        comparison = replace(comparison, memory=memory, slab_map=ours.get("slab_map"))
    return analysis.with_ratios(comparison, again.series if again else None)


def _sizes(trials: _Trials) -> list[list[int]] | None:
    """How often one pass asks for each size; of a workload, in one draw, the same in all metrics; None in Python."""
    task = trials.task
    if task.trace is not None:
        return sorted(map(list, task.trace.size_counts.items()))
    if task.workload.contenders:
        return None
    seed = random.Random(f"{trials.seed}, {task.key}, sizes").randrange(1 << 32)
    drawn = draw(task.workload, task.chosen.parameters, seed, task.threads)
    counts: Counter[int] = Counter()
    for words, (start, stop) in zip(drawn.lanes, drawn.bodies, strict=True):
        body = memoryview(words).cast("Q")[start:stop]
        counts.update(word >> SIZE_SHIFT for word in body if word & (1 << SLOT_SHIFT) - 1 != FREE)
    return sorted([size, count * drawn.repeats] for size, count in counts.items())


def _series(task: Task, measured: list[Any]) -> dict[str, list[float]]:
    if task.metric == "latency":
        return {}
    if task.metric == "memory":
        return {"all": [float(one["peak_resident_bytes"]) for one in measured]}
    operations = task.trace.replayed_events if task.trace else None
    series: dict[str, list[float]] = {one: [] for one in task.passes}
    for one in measured:
        count = operations or one["operations"]
        walls = one[task.workload.series]
        values = {"first": walls[0], "all": statistics.median(walls)}
        if len(walls) > 1:
            values["later"] = statistics.median(walls[1:])
        for name, column in series.items():
            column.append(values[name] / count)
    return series


def _threads(task: Task, measured: list[dict[str, Any]]) -> Threaded | None:
    """How the threads of a recording got on: medians over the rounds."""
    if task.layout is None or task.metric != "time":
        return None

    def medians(series: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in task.passes:
            span = slice(0, 1) if name == "first" else slice(1, None) if name == "later" else slice(None)
            found[name] = statistics.median(statistics.median(one[series][span]) for one in measured)
        return found

    return Threaded(
        medians("wall_ns"), medians("cpu_ns"), medians("waiting"),
        int(statistics.median(one["peak_live_bytes"] for one in measured)))


def _latencies(rounds: list[dict[str, Any]], names: list[str]) -> dict[str, Latency]:
    merged: dict[str, Counter[int]] = {name: Counter() for name in names}
    for found in rounds:
        for name in names:
            for ns, count in found[name]:
                merged[name][ns] += count
    floor = None
    if sum(merged.get(analysis.EMPTY, {}).values()):
        floor = analysis.percentile_ns(merged[analysis.EMPTY], 99)
    return {
        name: analysis.latency(counts, None if name == analysis.EMPTY else floor) for name, counts in merged.items()
    }


def _memory(task: Task, measured: list[dict[str, Any]]) -> Memory:
    """That of the round whose peak is in the middle."""
    ordered = sorted(measured, key=lambda one: one["peak_resident_bytes"])
    middle = ordered[(len(ordered) - 1) // 2]
    peak = middle["peak_resident_bytes"]
    live = task.trace.peak_live_bytes if task.trace else middle["peak_live_bytes"]
    return Memory(middle["timeline"], peak, peak / live if peak and live else None)


def _without_home(path: str) -> str:
    home = os.path.expanduser("~")
    return "~" + path[len(home):] if len(home) > 1 and path.startswith(home + os.sep) else path
