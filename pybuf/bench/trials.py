"""Starts trials, each a fresh process: one contender's, or in turn those of all that may share one.

What is random in a round is drawn from the seed and the round's own number, and so is the same whenever it is run.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from pybuf.bench import analysis, children, processor
from pybuf.bench.contenders import CONTENDERS, ENVIRONMENT
from pybuf.bench.journal import RunError
from pybuf.bench.manifest import ChosenContender
from pybuf.bench.result import Absent
from pybuf.bench.tasks import CHECK_PASSES, SAME, Task

#: Above this, wall time to processor time of one thread, something else had the processor.
DISTURBED_RATIO = 1.02
#: Only these reach a trial, so that no MALLOC_CONF or LD_PRELOAD of the caller's favours anyone.
INHERITED = ("PATH", "LD_LIBRARY_PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
TRIAL_TIMEOUT_S = 600
#: The text of an order is padded to a multiple of this. The interpreter keeps it in the C library's heap, which then is
#: alike for all: unpadded, a longer name alone made glibc give its heap back between passes in 81 processes of 200, and
#: not in 30.
ORDER_BYTES = 4096
#: The longest argument that Linux lets a process have, without the zero at its end.
MOST_ORDER_BYTES = (1 << 17) - 1


class TrialFailedError(Exception):
    """A trial that gave no answer; its text says how it ended."""


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


def environment(padding: int) -> dict[str, str]:
    """The environment of a process in which something is measured: the same for all, but for ``padding`` bytes."""
    return {
        **{key: os.environ[key] for key in INHERITED if key in os.environ},
        **ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYBUF_PADDING": "x" * padding,
        processor.PARENT: str(os.getpid()),
    }


def _answer(module: str, order: dict[str, Any], padding: int) -> dict[str, Any]:
    text = json.dumps(order)
    if len(text) > MOST_ORDER_BYTES:
        raise RunError(
            f"contenders and settings take {len(text):,} bytes in the order of one process, which may have at most "
            f"{MOST_ORDER_BYTES:,}; name fewer, or by shorter paths")
    text = text.ljust(min(-(-len(text) // ORDER_BYTES) * ORDER_BYTES, MOST_ORDER_BYTES))
    try:
        return children.ask([sys.executable, "-P", "-m", module, text], environment(padding), TRIAL_TIMEOUT_S)
    except children.FailedError as failure:
        raise TrialFailedError(str(failure)) from None
    except children.RefusedError as refused:
        raise RunError(str(refused)) from None


class Trials:
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
        turns: int,
    ) -> dict[str, Any] | None:
        """One trial of round ``number``, whose contenders all play the same words, in a process that ``draw`` shapes.

        Each has so many ``turns``, of so many ``passes`` each. Contenders that are missing or fail are out from now on;
        None when nothing is left of it.
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
            "rounds": turns,
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
        entries = draw.sample(self.running, len(self.running))
        return self._together(entries, number, draw) if self.task.is_shared else self._apart(entries, number, draw)

    def _together(
        self, entries: Sequence[ChosenContender], number: int, draw: random.Random
    ) -> tuple[dict[str, Any], bool]:
        """One process for all; another without whoever died in it."""
        task = self.task
        while self.running:
            left = [entry for entry in entries if entry in self.running]
            answer = self.run(left, task.metric, number, draw, task.passes_run, task.turns)
            if answer is not None:
                return self._joined(answer["rounds"])
        return {}, False

    def _apart(
        self, entries: Sequence[ChosenContender], number: int, draw: random.Random
    ) -> tuple[dict[str, Any], bool]:
        """A process for each, or two: the second ones come in the opposite order.

        So a machine that slows down or recovers meanwhile favours nobody. It has moods of seconds: the ratio of redis's
        first pass to itself strayed by 2.1 % from round to round by this, and by 3.4 % with one process for each.
        """
        task = self.task
        taken: dict[str, list[Any]] = {}
        disturbed = False
        for entry in [*entries, *reversed(entries)][:task.processes * len(entries)]:
            answer = self.run([entry], task.metric, number, draw, task.passes_run, 1) if entry in self.running else None
            if answer is None:
                continue
            if task.metric == "time":
                (turn,) = answer["rounds"]
                measured = turn[entry.name]
                disturbed = disturbed or self._is_disturbed(measured)
            elif task.metric == "memory":
                measured = {**answer["memory"][entry.name], "slab_map": answer.get("slab_map")}
            else:
                measured = answer["histogram"][entry.name]
            taken.setdefault(entry.name, []).append(measured)
        return {name: each[0] if len(each) == 1 else _mean(each) for name, each in taken.items()}, disturbed

    def _joined(self, turns: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
        """The middle of a process's turns: of the calm ones, where there are any.

        Everyone has the base's median times the median of its own ratios to the base, each formed within a turn: over
        25 turns of the pair that strays by 1.0 % where the ratio of two medians does by 1.5 %.
        """
        calm = [turn for turn in turns if not any(map(self._is_disturbed, turn.values()))]
        kept = calm or turns
        names = [name for name in kept[0] if all(name in turn for turn in kept)]
        base = self.task.workload.base

        def middle(name: str, series: str) -> list[float]:
            other = base if base in names else name
            passes = zip(*(zip(turn[name][series], turn[other][series], strict=True) for turn in kept), strict=True)
            return [
                statistics.median(there for _, there in one) * statistics.median(here / there for here, there in one)
                for one in passes
            ]

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


def _mean(processes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the processes of one contender come to: pass by pass, the mean of each series."""
    first = processes[0]
    return {
        name: [statistics.fmean(values) for values in zip(*(one[name] for one in processes), strict=True)]
        if isinstance(measured, list) else measured
        for name, measured in first.items()
    }


def _words(task: Task) -> dict[str, Any]:
    """What an order says of its trace, whose words lie in a file of their own."""
    trace = task.trace
    if trace is None:
        return {}
    if task.layout is not None:
        return {"layout": task.layout_path}
    return {
        "words": trace.words_path, "recorded": trace.recorded_words, "slots": trace.slots,
        **({} if trace.alignments_path is None else {"alignments": trace.alignments_path}),
    }
