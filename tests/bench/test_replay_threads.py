"""`pybuf replay --order threads` from its command line to its tables, on recordings of a few lines."""

from __future__ import annotations

import json
import os
import sys

import pytest

from pybuf.bench import processor
from pybuf.bench.recordings import recording, records
from pybuf.cli import main

HEADER = "Thread,Time,Action,Pointer,Size,Stream\n"
MTRACE = "= Start\n+ 0x10 0x20\n- 0x10\n= End\n"


@pytest.fixture(autouse=True)
def two_processors(monkeypatch, tmp_path):
    """Two processors, of which this machine may have one only, and locks of a test's own."""
    monkeypatch.setattr(
        processor, "_lock_file", lambda cpu: os.open(tmp_path / f"{cpu}.lock", os.O_CREAT | os.O_RDONLY))
    here = processor._allowed()
    monkeypatch.setattr(processor, "_allowed", lambda: [here[0], here[-1]])


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `pybuf replay ARGUMENTS` and answers its exit status, what it printed and what it noted."""
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pybuf", "replay", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()
    return call


@pytest.fixture
def recorded(tmp_path):
    """Writes a recording of some threads, each of which frees the block of the one before it."""
    def write(threads, name="t.csv"):
        lines = [f"{thread},00:00:0{thread}:000000,allocate,0x{thread + 1}000,64,0x0\n" for thread in range(threads)]
        lines += [f"{thread},00:00:09:000000,free,0x{(thread - 1) % threads + 1}000,64,0x0\n"
                  for thread in range(threads)]
        path = tmp_path / name
        path.write_text(HEADER + "".join(lines))
        return path
    return write


def test_the_table_has_makespan_processor_time_waiting_and_the_peak_of_every_contender(run, recorded):
    arguments = (recorded(2), "--order", "threads", "--against", "glibc", "--metric", "time", "--rounds", 1)
    status, printed, _ = run(*arguments, "--json")
    assert status == 0
    (one,) = json.loads(printed)["comparisons"]
    assert (one["threads"], one["rounds"], one["passes"]) == (2, 1, ["first", "later"])
    parameters = one["workload"]["parameters"]
    assert (parameters["order"], parameters["waits"]) == ("threads", 2)
    assert 0 < parameters["think"] < 0.01  # seconds, of which 10 ms are replayed
    for row in one["contenders"]:
        assert row["threads"]["peak_live_bytes"] in (64, 128)  # nothing keeps the threads together, or apart
        for name in ("first", "later"):
            assert row["threads"]["makespan_ns"][name] > 0
            assert 0 <= row["threads"]["waiting"][name] <= 1
    status, printed, _ = run(*arguments)
    for words in ("t, 2 threads in their order", "2 calls that depend on another thread's",
                  "of the think time: contention overstated", "makespan", "processor", "waiting", "peak live",
                  "recorded 0.000 MB"):
        assert words in " ".join(printed.split())


def test_more_threads_than_processors_are_refused_in_one_line(run, recorded):
    status, printed, complaint = run(recorded(4), "--order", "threads", "--rounds", 1)
    (line,) = complaint.splitlines()
    assert (status, printed) == (2, "")
    assert "its 4 threads are more than the 2 processors to run on" in line
    assert "--oversubscribe" in line


def test_oversubscribed_threads_take_turns_and_the_report_says_so(run, recorded):
    status, printed, _ = run(recorded(4), "--order", "threads", "--oversubscribe", "--against", "glibc",
                             "--metric", "time,memory", "--rounds", 1)
    assert status == 0
    assert "4 threads take turns on 2 processors" in " ".join(printed.split())


def test_a_trace_without_thread_ids_is_refused_with_what_to_do(run, tmp_path):
    (tmp_path / "t.mtrace").write_text(MTRACE)
    status, printed, complaint = run(tmp_path / "t.mtrace", "--order", "threads")
    (line,) = complaint.splitlines()
    assert (status, printed) == (2, "")
    assert "a trace of format mtrace has no thread ids" in line
    assert "pybuf record" in line


def test_a_trace_without_times_is_labelled(run, tmp_path):
    listed = [records.RECORD.pack(0, 0x1000, 64, 0, records.ALLOCATE, 0, 0),
              records.RECORD.pack(0, 0x1000, 0, 1, records.FREE, 0, 0)]
    with (tmp_path / "t.pybuf").open("wb") as file:
        recording.write(records.Source("recording", iter([b"".join(listed)]), has_threads=True), file)
    status, printed, _ = run(tmp_path / "t.pybuf", "--order", "threads", "--against", "glibc", "--metric", "time",
                             "--rounds", 1)
    assert status == 0
    assert "no think time: contention overstated" in " ".join(printed.split())


@pytest.mark.parametrize(
    ("chosen", "passes"), [("first", ["first"]), ("later", ["later"]), ("both", ["first", "later"])])
@pytest.mark.parametrize("order", ["exact", "threads"])
def test_pass_chooses_what_is_shown(run, recorded, order, chosen, passes):
    status, printed, _ = run(recorded(2), "--order", order, "--pass", chosen, "--against", "glibc", "--metric", "time",
                             "--rounds", 1, "--json")
    assert status == 0
    (one,) = json.loads(printed)["comparisons"]
    assert one["passes"] == passes
    assert all(list(row["series"]) == passes for row in one["contenders"])
