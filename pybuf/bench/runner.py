"""Runs a plan: checks, then rounds in random order, each trial in a fresh process, each round kept in a journal.

A timed round runs every contender, and the base as one more (A/A): how far the two are apart is what chance does.
Ratios are formed within a round, from gross times. Where contenders may share a process, a round is one process, which
interleaves turns of each, so that rounds differ in their memory layouts; else everyone has a process of its own, and,
where there is time, a second one in the opposite order. A round during which something else had the processor is run
again. Resident bytes and latencies come from rounds of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pybuf.bench import analysis, fingerprint, processor, rounds
from pybuf.bench.contenders import look_python
from pybuf.bench.journal import JOURNAL, Journal, RunError
from pybuf.bench.manifest import Manifest
from pybuf.bench.result import Result
from pybuf.bench.tasks import Plan, is_native
from pybuf.bench.trials import Trials, look

#: So many rounds may be repeated before any was kept, when it is the time that is limited.
FEWEST_REPEATS = 2

#: Called after each step with a few words and the share of the run that is done, 0 to 1.
Progress = Callable[[str, float], None]


@dataclass
class _Progressing:
    """A task and its rounds so far. ``attempts`` also counts those that were repeated.

    ``is_patient``: rounds are counted and not the time, so that all repeats may come first.
    """

    trials: Trials
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
        self.settle(line)

    def settle(self, line: dict[str, Any]) -> None:
        """Learn from the line of a round or of a check who is out, and where the others are from."""
        for absent in line["absent"]:
            self.trials.drop(absent["name"], absent["reason"], absent["is_disqualified"])
        self.trials.origins.update(line["origins"])
        self.trials.emulated.update(line["emulated"])

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
            "comparison": self.trials.task.id, "processes": self.trials.task.processes, "state": state,
            "found": {} if state == "repeated" else found, "seconds": time.perf_counter() - started,
            **_facts(self.trials),
        }


def _facts(trials: Trials) -> dict[str, Any]:
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
    journal = Journal(None if directory is None else directory / JOURNAL)
    try:
        with processor.locked_many(
            max(task.threads for task in found.tasks), manifest.cpus,
            lambda: progress("waiting: other benchmarks have the processors", 0),
        ) as cpus:
            tasks = [
                _Progressing(Trials(task, manifest.seed, cpus), found.target(task), manifest.rounds is not None)
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
        found = look(entry) if is_native(entry) else look_python(entry.name)
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


def _go(found: Plan, tasks: list[_Progressing], journal: Journal, progress: Progress) -> None:
    checks: dict[str, dict[str, Any]] = {}
    by_id = {one.trials.task.id: one for one in tasks}
    spent = 0.0
    for line in journal.lines:
        spent += line["seconds"]
        if "check" in line:
            checks[line["check"]] = line
        elif line.get("comparison") in by_id:
            one = by_id[line["comparison"]]
            begun, here = line.get("processes", 1), one.trials.task.processes
            if begun != here:
                raise RunError(
                    f"{journal.path}: begun by a version of pybuf whose rounds have another number of processes "
                    f"({begun} of each contender, and {here} here); choose another directory")
            one.take(line)
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
        one.settle(checks[key])
    while waiting := [one for one in tasks if not one.is_finished]:
        # Whoever has had least of the time is next: what disturbs for minutes then falls on all alike. But first
        # everyone gets the rounds without which there is no verdict.
        one = min(waiting, key=lambda each: (len(each.rounds) >= found.fewest_rounds, each.seconds))
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
    comparisons = analysis.with_verdicts([
        rounds.comparison(one.trials, one.rounds, one.repeated, one.disturbed) for one in tasks])
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
