"""What `pybuf trace` prints."""

import json
import subprocess
import sys
from pathlib import Path

from pybuf.bench.recordings import traces

WORKERS = str(Path(__file__).parents[1] / "recordings" / "workers.pybuf.xz")


def pybuf(*arguments):
    command = [sys.executable, "-m", "pybuf", "trace", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_info_says_what_is_in_a_recording():
    text = " ".join(pybuf("info", WORKERS, traces.default_path()).stdout.split())
    for line in ("format recording", "program ./workers (process", "events 18,292, 17,148 calls", "threads 5",
                 "500 allocations asked for one", "live at the peak 174,688 bytes", "format mtrace",
                 "threads not recorded", "frees of unrecorded blocks 4", "129 others"):
        assert line in text


def test_info_as_json_holds_every_file_and_its_sizes():
    first, second = json.loads(pybuf("info", "--json", WORKERS, traces.default_path()).stdout)
    assert (first["format"], first["thread_count"], first["recorded_events"]) == ("recording", 5, 18_292)
    assert (second["name"], second["thread_count"], len(second["size_counts"])) == ("sqlite", None, 137)


def test_head_shows_only_the_columns_that_were_recorded():
    assert pybuf("head", "-n", 3, WORKERS).stdout.splitlines()[1].split() == [
        "time,", "ns", "thread", "operation", "size", "address"]
    lines = pybuf("head", "-n", 3, traces.default_path()).stdout.splitlines()
    assert lines[1].split() == ["operation", "size", "address"]
    assert len(lines) == 5


def test_head_as_json_is_one_object_a_line():
    rows = [json.loads(line) for line in pybuf("head", "--json", "-n", 100, WORKERS).stdout.splitlines()]
    assert len(rows) == 100
    assert (rows[0]["time_ns"], rows[0]["thread"]) == (0, 0)
    assert {row["operation"] for row in rows} <= {"allocate", "free", "reallocate from", "reallocate to"}
    assert {row["alignment"] for row in rows} == {None, 64}


def test_convert_writes_several_files_into_a_directory_and_says_what_is_lost(tmp_path):
    done = pybuf("convert", WORKERS, traces.default_path(), "-o", tmp_path, "--to", "mtrace")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sqlite.mtrace", "workers.mtrace"]
    assert "; threads, times, alignments, cleared blocks cannot be said in it" in done.stderr
    assert traces.read(tmp_path / "sqlite.mtrace").recorded_events == 505_077
