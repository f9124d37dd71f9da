"""Two results compared: verdicts, refusals and exit statuses."""

import dataclasses
import json
import math
import random
import sys

import pytest

from pybuf.bench import compare, fingerprint, manifest, result
from pybuf.cli import main

MACHINE = {
    "processor": "A", "processors": 2, "c_library": "glibc 2.36", "kernel": "6.1", "system": "Linux 6.1.0",
    "huge_pages": "madvise", "python": "CPython 3.11.2", "gil": "with", "is_address_randomized": True,
    "builds": {"poolcore": {"version": "1", "digest": "aa"}, "glibc": {"version": "2.36", "digest": "bb"}},
}


def a_result(factor=1.0, rounds=20, seed=1, spread=0.005, **changed):
    """A result in which ours takes half the time of glibc, times ``factor``."""
    draw = random.Random(seed)
    mood = [draw.uniform(1, 3) for _ in range(rounds)]

    def series(ns):
        return {"all": [ns * one * math.exp(draw.gauss(0, spread)) for one in mood]}

    comparison = result.Comparison(
        id="lifo-pair, 1 thread, line, time", metric="time", threads=1, touch="line", unit="ns per event",
        workload=result.MeasuredWorkload("lifo-pair", "a pair", {"size": 1500}), base="glibc", passes=["all"],
        rounds=rounds, repeated_rounds=0, disturbed_rounds=0, absent=[],
        contenders=[
            result.Row("poolcore", "ours", "", series(5 * factor), None),
            result.Row("glibc", "malloc", "", series(10), None),
            result.Row("empty", "harness", "", series(1), None),
        ],
    )
    given = {
        "kind": "bench", "fingerprint": MACHINE, "machine": {}, "is_complete": True, "seed": seed, "lead": None,
        "manifest": manifest.Manifest("bench", [], seed, [], [], ["time"], [1], "line", rounds=rounds),
        "comparisons": [comparison],
    }
    return result.Result(**{**given, **changed})


def resident_bytes(values):
    """A result in which ours had so many bytes resident, a number for each round."""
    found = a_result()
    (one,) = found.comparisons
    rows = [dataclasses.replace(row, series={"all": values}) for row in one.contenders[:1]]
    memory = dataclasses.replace(one, id="lifo-pair, 1 thread, page, memory", metric="memory", unit="bytes",
                                 rounds=len(values), contenders=rows)
    return dataclasses.replace(found, comparisons=[memory])


def verdict_of(outcome, name="poolcore"):
    (found,) = (one for one in outcome.changes if one.contender == name)
    return found


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "no difference"), (1.05, "slower"), (0.9, "faster")])
def test_ours_is_compared_over_the_base_of_its_own_round(factor, verdict):
    found = verdict_of(compare.compare(a_result(), a_result(factor, seed=2)))
    assert (found.verdict, found.over) == (verdict, "glibc")
    assert found.low < factor < found.high


def test_the_base_is_compared_by_its_own_times_and_the_empty_harness_not_at_all():
    outcome = compare.compare(a_result(), a_result(seed=2))
    assert {one.contender: one.over for one in outcome.changes} == {"poolcore": "glibc", "glibc": ""}
    assert verdict_of(outcome, "glibc").verdict == "inconclusive"


def test_few_rounds_are_a_range():
    found = verdict_of(compare.compare(a_result(rounds=7), a_result(seed=2)))
    assert (found.verdict, found.confidence) == ("range only", None)


@pytest.mark.parametrize(("peak", "verdict", "status"), [(1001, "no difference", 0), (1025, "range only", 0),
                                                         (1100, "range only", 3)])
def test_bytes_are_told_by_the_range_of_few_rounds_where_it_is_narrow(run, peak, verdict, status):
    old, new = resident_bytes([1000, 1001, 1000]), resident_bytes([peak, 1000, 1000])
    assert verdict_of(compare.compare(old, new)).verdict == verdict
    assert run(old, new, "--fail-above", "3%")[0] == status


def test_more_bytes_are_not_called_slower(run):
    _, printed, _ = run(resident_bytes([1000] * 12), resident_bytes([1100] * 12))
    assert "1.10 [1.10..1.10] more" in printed
    assert "slower" not in printed


@pytest.mark.parametrize(("key", "value", "words"), [
    ("processor", "B", "another processor model: A and B"), ("c_library", "musl", "another C library"),
    ("kernel", "6.2", "another kernel: 6.1 and 6.2"),
    ("huge_pages", "never", "another setting of transparent huge pages"),
    ("python", "CPython 3.12.1", "another Python"), ("gil", "without", "another GIL"),
    ("builds", {**MACHINE["builds"], "poolcore": {"version": "2", "digest": "ab"}},
     "poolcore is another build: 1 (aa) and 2 (ab)"),
])
def test_unlike_machines_are_refused_unless_anyway(key, value, words):
    other = a_result(seed=2, fingerprint={**MACHINE, key: value})
    with pytest.raises(compare.UnlikeError) as refused:
        compare.compare(a_result(), other)
    assert words in str(refused.value)
    assert "--anyway" in str(refused.value)
    outcome = compare.compare(a_result(), other, is_anyway=True)
    assert words in outcome.warnings[0]
    assert verdict_of(outcome).verdict == "no difference"


def test_what_else_differs_only_warns():
    changed = {**MACHINE, "processors": 4, "system": "Linux 6.1.9"}
    outcome = compare.compare(a_result(), a_result(seed=2, fingerprint=changed))
    assert outcome.warnings == [
        "another number of processors: 2 and 4", "another system: Linux 6.1.0 and Linux 6.1.9"]


def test_rounds_of_one_process_and_rounds_of_two_are_not_compared_unless_anyway():
    one, two = a_result(), a_result(seed=2)
    two = dataclasses.replace(two, comparisons=[dataclasses.replace(two.comparisons[0], processes=2)])
    with pytest.raises(compare.UnlikeError, match="1 process of each contender in the old result and 2 processes of"):
        compare.compare(one, two)
    assert compare.compare(one, two, is_anyway=True).changes
    assert compare.compare(two, two).changes


def test_results_without_anything_in_common_are_refused():
    (one,) = a_result().comparisons
    renamed = dataclasses.replace(one, id="fifo, 1 thread, line, time")
    resized = dataclasses.replace(one, workload=dataclasses.replace(one.workload, parameters={"size": 64}))
    for other, words in ((renamed, "only in the old result"), (resized, "the workloads differ")):
        with pytest.raises(compare.UnlikeError, match=words):
            compare.compare(a_result(), a_result(comparisons=[other]))


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Saves two results, runs `pybuf compare` on them, and answers its status and what it printed."""
    def call(old, new, *arguments):
        for name, one in (("old", old), ("new", new)):
            (tmp_path / name).mkdir(exist_ok=True)
            one.save(tmp_path / name / "result.json")
        monkeypatch.setattr(sys, "argv", ["pybuf", "compare", str(tmp_path / "old"), str(tmp_path / "new"), *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()
    return call


@pytest.mark.parametrize(("factor", "spread", "arguments", "status", "words"), [
    (1.10, 0.005, ["--fail-above", "3%"], 1, "slower by more than 3.0%:\n  poolcore in lifo-pair"),
    (1.00, 0.005, ["--fail-above", "200"], 0, "nothing is slower by more than 200.0%"),
    (1.03, 0.005, ["--fail-above", "3%"], 3, "inconclusive"),
    (1.00, 0.100, [], 3, "inconclusive"),
])
def test_the_status_tells_a_slowdown_from_a_doubt_and_from_none(run, factor, spread, arguments, status, words):
    code, printed, noted = run(a_result(spread=spread), a_result(factor, seed=2, spread=spread), *arguments)
    assert code == status
    assert words in printed
    assert noted.startswith("3 figures: about 1 s")


def test_without_doubt_the_status_is_0(run):
    def steady(seed):
        found = a_result(seed=seed)
        (one,) = found.comparisons
        return dataclasses.replace(found, comparisons=[dataclasses.replace(one, contenders=[
            dataclasses.replace(row, series={"all": [10 * 1.0001 ** random.Random(f'{seed} {row.name} {place}').random()
                                                        for place in range(20)]})
            for row in one.contenders])])

    assert run(steady(1), steady(2))[0] == 0


def test_unlike_machines_have_status_2_and_one_line(run):
    other = a_result(fingerprint={**MACHINE, "processor": "B"})
    status, printed, noted = run(a_result(), other)
    assert (status, printed) == (2, "")
    assert noted.splitlines()[-1].startswith("Error: the results are of unlike machines: another processor model")
    assert run(a_result(), other, "--anyway")[0] == 3  # glibc's own times vary too much


@pytest.mark.parametrize(("content", "words"), [
    ('{"schema": 1, "traces": []}', "schema 1, which an older pybuf wrote"), ("GIF89a", "is not JSON"),
    (None, "No such file"),
])
def test_a_file_that_is_no_result_is_refused_in_one_line(monkeypatch, capsys, tmp_path, content, words):
    path = tmp_path / "given.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(sys, "argv", ["pybuf", "compare", str(path), str(path)])
    with pytest.raises(SystemExit) as end:
        main()
    printed, complaint = capsys.readouterr()
    assert (end.value.code, printed) == (2, "")
    (line,) = complaint.splitlines()
    assert str(path) in line
    assert words in line


def test_a_fingerprint_names_no_host_and_no_user(monkeypatch):
    monkeypatch.setenv("USER", "somebody")
    text = json.dumps(fingerprint.take({"glibc": fingerprint.build("/nonexistent", "2.36")}))
    for name in (fingerprint.platform.node(), "somebody"):
        assert name not in text


def test_a_build_is_told_by_its_bytes(tmp_path):
    (tmp_path / "a.so").write_bytes(b"1")
    (tmp_path / "note.txt").write_bytes(b"1")
    first = fingerprint.build(str(tmp_path), "1")
    (tmp_path / "note.txt").write_bytes(b"2")
    assert fingerprint.build(str(tmp_path), "1") == first
    (tmp_path / "a.so").write_bytes(b"2")
    assert fingerprint.build(str(tmp_path), "1") != first
