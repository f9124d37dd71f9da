"""What a manifest amounts to: the comparisons to run, their traces read, and about how long they will take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pybuf.bench import analysis, order, processor
from pybuf.bench.contenders import CONTENDERS
from pybuf.bench.manifest import ChosenContender, ChosenWorkload, Manifest
from pybuf.bench.recordings.traces import Trace, default_path, read
from pybuf.bench.statistics import FEWEST_ROUNDS, rounds_needed
from pybuf.bench.workloads import WORKLOADS, Workload

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
#: Processes of every contender in one timed round, where they do not share one. One, where the time is too short for
#: ENOUGH_ROUNDS of these: 10 rounds of two have wider intervals than 20 of one, because 99 % of so few is nearly all.
PROCESSES = 2
ENOUGH_ROUNDS = 20
#: More rounds than these make no interval narrower than the clock and the machine allow.
MOST_ROUNDS = 200
#: The name under which the base is timed once more, as if it were another contender.
SAME = "A/A"
#: Stands for the file of the recording that ships with the package, wherever that is installed.
SHIPPED = "shipped:sqlite"

#: What replays a recording, as a workload.
TRACE = Workload("trace", "the allocations of a recorded program", {}, isolation="process", threads=(1, 1))

# For the estimate that is printed before anything has been measured.
START_S = 0.055
EVENT_S = 12e-9
CHECK_SLOWER = 3
PYTHON_START_S = 0.08
LIVE_BYTE_S = 1e-9
WAIT_S = 4e-6


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
    #: Processes of every contender in one round, where each has its own.
    processes: int = 1

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
        if "rate" in parameters:  # its clock decides, before it is timed and then
            return float(2 * parameters["count"] * parameters["frames"] / parameters["rate"])
        return float(parameters.get("count" if self.workload.contenders else "events", 400_000)
                     * self.workload.event_ns * 1e-9)

    @property
    def start_s(self) -> float:
        """Seconds that one process takes, roughly, before its first pass."""
        parameters = {**self.workload.parameters, **self.chosen.parameters}
        if self.workload.contenders:
            return PYTHON_START_S
        return START_S + float(parameters.get("live_bytes", 0)) * LIVE_BYTE_S

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
        starts = 1 if self.is_shared else len(self.contenders) * self.processes
        passes = self.passes_run + (self.layout is not None and self.metric == "time")  # one to count live bytes
        return starts * self.start_s + len(self.contenders) * self.processes * self.turns * passes * self.events_s

    def check_cost_s(self) -> float:
        """Seconds that its check takes, roughly."""
        if self.workload.contenders:
            return 0
        return len(self.contenders) * (self.start_s + CHECK_PASSES * CHECK_SLOWER * self.events_s)


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
    def timed(self) -> list[Task]:
        """The comparisons in time, which share what the others leave of it."""
        return [task for task in self.tasks if task.metric == "time"]

    @property
    def untimed_s(self) -> float:
        """Seconds that checks and the rounds of all other metrics take, roughly."""
        checks = {task.key: task.check_cost_s() for task in self.tasks}
        others = sum(task.cost_s() * self.target(task) for task in self.tasks if task.metric != "time")
        return sum(checks.values()) + others

    @property
    def estimate_s(self) -> float:
        """Seconds that the run will take, roughly: at least one timed round of each comparison, whatever the time."""
        if self.manifest.time_s is None:
            return self.untimed_s + sum(task.cost_s() * self.target(task) for task in self.timed)
        least = self.untimed_s + sum(task.cost_s() for task in self.timed)
        return max(self.manifest.time_s, least) if self.timed else least

    @property
    def few_rounds(self) -> int:
        """About how many rounds of the costliest comparison fit into the time, if too few for an interval; else 0."""
        if self.manifest.time_s is None:
            return 0
        spare = self.manifest.time_s - self.untimed_s
        costs = sorted(task.cost_s() for task in self.timed)
        while costs and self.fewest_rounds * costs[0] <= spare / len(costs):
            spare -= self.fewest_rounds * costs.pop(0)
        fitting = max(1, int(spare / len(costs) / costs[-1])) if costs else FEWEST_ROUNDS
        return fitting if fitting < FEWEST_ROUNDS else 0

    @property
    def fewest_rounds(self) -> int:
        """Rounds with which every ratio of times has an interval, and any of them may be called faster or slower."""
        unasked = analysis.EMPTY, SAME
        asked = sum(
            len(task.passes) * sum(one.name not in (*unasked, task.workload.base) for one in task.contenders)
            for task in self.timed)
        return max(FEWEST_ROUNDS, rounds_needed(max(asked, 1)))

    @property
    def share_s(self) -> float:
        """Seconds that each comparison in time has for its rounds; infinite where none is limited by time."""
        if self.manifest.time_s is None or not self.timed:
            return math.inf
        return (self.manifest.time_s - self.untimed_s) / len(self.timed)

    def processes(self, task: Task) -> int:
        """Processes that every contender gets in one round of a comparison."""
        if task.metric != "time" or task.is_shared:
            return 1
        return PROCESSES if self.share_s >= ENOUGH_ROUNDS * replace(task, processes=PROCESSES).cost_s() else 1


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
    found = Plan(manifest, tasks)
    return replace(found, tasks=[replace(task, processes=found.processes(task)) for task in tasks])


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
    return is_native(entry)


def is_native(entry: ChosenContender) -> bool:
    """Whether a contender has C functions; those of workloads in Python have none."""
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
