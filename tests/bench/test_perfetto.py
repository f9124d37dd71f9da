"""Timelines are Chrome trace events of the kinds that Perfetto reads, and hold what the result holds."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from itertools import pairwise

import pytest

import sample_results
from pybuf.bench.reports import perfetto


@pytest.fixture
def written(tmp_path):
    def write(result):
        path = tmp_path / "timeline.json"
        perfetto.write_timeline(result, path)
        return json.loads(path.read_text())

    return write


def named(events, kind):
    return {(event["pid"], event["tid"]): event["args"]["name"] for event in events
            if event["ph"] == "M" and event["name"] == kind}


def test_every_event_has_what_its_kind_needs(written):
    events = written(sample_results.whole())["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "C", "X"}
    for event in events:
        assert isinstance(event["name"], str) and event["name"]
        assert type(event["pid"]) is int and type(event["tid"]) is int
        assert event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] > 0
        if event["ph"] == "C":
            assert event["args"] and all(type(value) is int for value in event["args"].values())
    processes = {event["pid"] for event in events}
    assert {process for process, _ in named(events, "process_name")} == processes


def test_counters_are_the_timeline(written):
    result = sample_results.whole()
    events = written(result)["traceEvents"]
    comparison = next(one for one in result["comparisons"] if one["memory"])
    processes = {name: process for (process, _), name in named(events, "process_name").items()}
    for contender, memory in comparison["memory"].items():
        process = processes[f"{comparison['id']}: {contender} (1 us = 1 event)"]
        found = defaultdict(list)
        for event in events:
            if event["ph"] == "C" and event["pid"] == process:
                found[event["name"]].append([event["ts"], event["args"]["bytes"]])
        columns = {"live bytes": 1, "slab bytes": 2, "resident bytes": 3}
        expected = {
            name: [[point[0], point[column]] for point in memory["timeline"] if point[column] is not None]
            for name, column in columns.items()
        }
        assert found == {name: points for name, points in expected.items() if points}


def test_rounds_are_slices_that_do_not_overlap(written):
    result = sample_results.small()
    (comparison,) = result["comparisons"]
    events = written(result)["traceEvents"]
    threads = named(events, "thread_name")
    slices = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            slices[threads[event["pid"], event["tid"]]].append(event)
    assert set(slices) == {row["name"] for row in comparison["contenders"]}
    for row in comparison["contenders"]:
        mine = slices[row["name"]]
        assert [event["args"][comparison["unit"]] for event in mine] == row["series"]["all"]
        assert [event["dur"] * 1000 for event in mine] == pytest.approx(row["series"]["all"])
        assert all(one["ts"] + one["dur"] <= other["ts"] for one, other in pairwise(mine))


def test_contenders_start_each_round_together(written):
    starts = defaultdict(set)
    for event in written(sample_results.small())["traceEvents"]:
        if event["ph"] == "X":
            starts[event["args"]["round"]].add(event["ts"])
    assert [len(found) for found in starts.values()] == [1] * 5


def test_a_result_without_figures_has_no_events(written):
    assert written(sample_results.result([]))["traceEvents"] == []


def test_a_number_that_is_not_finite_is_refused(tmp_path):
    result = copy.deepcopy(sample_results.small())
    result["comparisons"][0]["contenders"][0]["series"]["all"][0] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        perfetto.write_timeline(result, tmp_path / "timeline.json")
