"""From the rounds of one task to its comparison: series, latencies, bytes, sizes, how threads got on."""

from __future__ import annotations

import os
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pybuf.bench import analysis
from pybuf.bench.contenders import class_edges, describe
from pybuf.bench.recordings.traces import FREE, SIZE_SHIFT, SLOT_SHIFT
from pybuf.bench.result import Comparison, Latency, MeasuredWorkload, Memory, Row, Threaded
from pybuf.bench.tasks import SAME, Task
from pybuf.bench.trials import Trials
from pybuf.bench.workloads import draw


def comparison(trials: Trials, taken: Sequence[dict[str, Any]], repeated: int, disturbed: int) -> Comparison:
    """What the rounds that were ``taken`` amount to, its verdicts still open; so many were repeated or disturbed."""
    task = trials.task
    trace = task.trace
    names = [entry.name for entry in trials.running if entry.name != SAME]
    rounds = [found for found in taken if names and all(name in found for name in names)]
    compared = Comparison(
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
        processes=task.processes,
        repeated_rounds=repeated,
        disturbed_rounds=disturbed,
        contenders=[],
        absent=trials.absent,
    )
    sizes = _sizes(trials) if rounds else None
    if sizes is not None:
        compared = replace(compared, size_histogram=sizes, class_edges=class_edges())
    if not rounds:
        return compared
    rows = {
        entry.name: Row(
            entry.name, describe(entry.as_order()), _without_home(trials.origins.get(entry.name, "")),
            _series(task, [found[entry.name] for found in rounds]), None, trials.emulated.get(entry.name, []),
            _threads(task, [found[entry.name] for found in rounds]))
        for entry in trials.running if entry.name in rounds[0]
    }
    again = rows.pop(SAME, None)
    compared = replace(compared, contenders=list(rows.values()))
    if task.metric == "latency":
        return replace(compared, latency=_latencies(rounds, names))
    if task.metric == "memory":
        memory = {name: _memory(task, [found[name] for found in rounds]) for name in names}
        ours = rounds[-1].get(analysis.OURS, {})
        compared = replace(compared, memory=memory, slab_map=ours.get("slab_map"))
    return analysis.with_ratios(compared, again.series if again else None)


def _sizes(trials: Trials) -> list[list[int]] | None:
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
