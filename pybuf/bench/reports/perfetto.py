"""Writes a Result's timelines as Chrome trace events, a JSON file that Perfetto's page opens.

What happened when is not in a result, so that the axis of time stands for something else, and the names of the tracks
say for what: a microsecond is an event of the workload in the tracks of bytes, and a nanosecond of a round's figure
in those of rounds, one round after the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Between two rounds, relative to the longer of what they hold, so that they can be told apart.
GAP = 0.1
#: Columns of a timeline after the event; a column that is null throughout has no track.
COUNTERS = ("live bytes", "slab bytes", "resident bytes")


def write_timeline(result: dict[str, Any], path: Path) -> None:
    """Write the timelines of ``result``, a Result as plain data (schema 2), to the file at ``path``.

    Each comparison is a process with a thread per contender, whose slices are the rounds; each contender whose bytes
    were measured is a process with counters. Raises OSError when the file cannot be written, ValueError when a number
    in the result is not finite.
    """
    events: list[dict[str, Any]] = []
    for comparison in result["comparisons"]:
        for name, memory in (comparison["memory"] or {}).items():
            events += _bytes(len(events) + 1, f"{comparison['id']}: {name} (1 us = 1 event)", memory["timeline"])
        if any(any(row["series"].values()) for row in comparison["contenders"]):
            events += _rounds(len(events) + 1, comparison)
    timeline = {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {"seed": result["seed"], "is_complete": result["is_complete"]},
    }
    path.write_text(json.dumps(timeline, allow_nan=False) + "\n", encoding="utf-8")


def _named(kind: str, name: str, process: int, thread: int = 0) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "ts": 0, "args": {"name": name}}


def _bytes(process: int, name: str, timeline: list[list[int | None]]) -> Iterator[dict[str, Any]]:
    yield _named("process_name", name, process)
    for event, *values in timeline:
        for counter, value in zip(COUNTERS, values, strict=True):
            if value is not None:
                yield {"ph": "C", "name": counter, "pid": process, "tid": 0, "ts": event, "args": {"bytes": value}}


def _rounds(process: int, comparison: dict[str, Any]) -> Iterator[dict[str, Any]]:
    unit = comparison["unit"]
    yield _named("process_name", f"{comparison['id']} (1 ns = 1 {unit})", process)
    rows = comparison["contenders"]
    for thread, row in enumerate(rows, start=1):
        yield _named("thread_name", row["name"], process, thread)
    start = 0.0
    for place in range(comparison["rounds"]):
        longest = 0.0
        for thread, row in enumerate(rows, start=1):
            at = start
            for passed in comparison["passes"]:
                series = row["series"].get(passed) or []
                if place >= len(series):
                    continue
                # Timestamps are microseconds.
                length = series[place] / 1000
                yield {
                    "ph": "X", "cat": "round", "name": f"round {place + 1}, {passed}", "pid": process, "tid": thread,
                    "ts": at, "dur": length, "args": {"round": place + 1, "pass": passed, unit: series[place]},
                }
                at += length
            longest = max(longest, at - start)
        start += longest * (1 + GAP)
