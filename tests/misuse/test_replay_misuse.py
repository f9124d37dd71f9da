"""What `pybuf` answers to input that it cannot use: one line, exit status 2, no traceback."""

import gzip
import lzma
import subprocess
import sys

import pytest

from pybuf.bench.recordings import traces
from pybuf.cli import main


def refused(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["pybuf", "replay", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    printed, complaint = capsys.readouterr()
    assert (end.value.code, printed) == (2, "")
    (line,) = complaint.splitlines()
    assert line.startswith("Error: ")
    return line


XZ = lzma.compress(b"= Start\n" + b"+ 0x10 0x20\n- 0x10\n" * 500)
GZ = gzip.compress(b"= Start\n" + b"+ 0x10 0x20\n- 0x10\n" * 500)


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is empty"),
    (b"GIF89a\0\xff\n" * 99, "no line reads '= Start'"),
    (b"+ 0x10 0x20\n", "no line reads '= Start'"),
    (b"= Start\n= End\n", "records no allocation"),
    (b"= Start\n- 0x10\n", "records no allocation"),
    (XZ[:-20], "cut short"),
    (XZ[:40] + b"\0\0\0\0" + XZ[44:], "damaged"),
    (GZ[:-12], "cut short"),
    (GZ[:-8] + b"\0" * 8, "damaged"),
    (lzma.compress(b""), "no line reads '= Start'"),
], ids=["empty", "gif", "headless", "no-event", "only-a-free", "short-xz", "bad-xz", "short-gz", "bad-gz", "empty-xz"])
def test_a_file_that_is_no_trace_is_refused_by_name(monkeypatch, capsys, tmp_path, content, words):
    path = tmp_path / "given.mtrace"
    path.write_bytes(content)
    line = refused(monkeypatch, capsys, path)
    assert str(path) in line
    assert words in line


def test_the_shipped_trace_cut_short_is_refused(monkeypatch, capsys, tmp_path):
    path = tmp_path / "sqlite.mtrace.xz"
    path.write_bytes(traces.default_path().read_bytes()[:-1000])
    assert "cut short" in refused(monkeypatch, capsys, path)


def test_a_directory_is_refused(monkeypatch, capsys, tmp_path):
    assert f"{tmp_path}: is a directory" in refused(monkeypatch, capsys, tmp_path)


def test_a_missing_file_is_refused(monkeypatch, capsys, tmp_path):
    assert "gone.xz: No such file" in refused(monkeypatch, capsys, tmp_path / "gone.xz")


def test_one_bad_trace_among_good_ones_is_refused_before_anything_runs(monkeypatch, capsys, tmp_path):
    assert "gone" in refused(monkeypatch, capsys, traces.default_path(), tmp_path / "gone")


@pytest.mark.parametrize("names", ["nomalloc", "glibc,nomalloc", "GLIBC"])
def test_an_unknown_contender_is_refused_and_the_known_ones_are_named(monkeypatch, capsys, names):
    line = refused(monkeypatch, capsys, "--against", names)
    assert "unknown contender" in line
    assert "poolcore, glibc, mimalloc, jemalloc, tcmalloc, pymalloc, empty" in line


def test_threads_are_those_of_the_recording_and_no_number(monkeypatch, capsys):
    line = refused(monkeypatch, capsys, "--threads", "1,2")
    assert "--threads 1,2: a trace is replayed on one thread; --order threads gives" in line


def test_an_output_that_is_a_file_is_refused_before_anything_runs(monkeypatch, capsys, tmp_path):
    (tmp_path / "taken").write_text("")
    assert "expected a directory" in refused(monkeypatch, capsys, "-o", tmp_path / "taken")


def without(tmp_path, module, *arguments):
    """Runs `pybuf` in an interpreter that cannot import ``module``."""
    code = f"import sys; sys.modules[{module!r}] = None; from pybuf.cli import main; main()"
    path = ":".join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], env={"PYTHONPATH": path}, capture_output=True, text=True,
        cwd=tmp_path,
    )


@pytest.mark.parametrize("module", ["click", "rich"])
def test_without_its_libraries_the_command_says_in_one_line_what_to_install(tmp_path, module):
    done = without(tmp_path, module, "replay")
    assert done.returncode != 0
    assert done.stderr.splitlines() == [
        f"pybuf: the command needs {module}; install it with: pip install 'pybuf[cli]'"
    ]


@pytest.mark.parametrize(("module", "complaint", "absent"), [
    ("matplotlib", "no picture: it needs matplotlib", "replay.png"),
    ("plotly", "no report: it needs plotly", "report.html"),
    ("pyperf", "no pyperf.json: it needs pyperf", "pyperf.json"),
    ("hdrh", "no latency.hlog: it needs hdrh", "latency.hlog"),
])
def test_without_a_library_all_but_its_file_is_written_and_it_says_what_to_install(
    tmp_path, module, complaint, absent
):
    (tmp_path / "tiny.mtrace").write_text("= Start\n+ 0x10 0x20\n- 0x10\n")
    done = without(tmp_path, module, "replay", "tiny.mtrace", "--against", "glibc", "--rounds", "1", "-o", "out",
                   "--metric", "time,latency")
    assert done.returncode == 0
    assert f"{complaint}; install it with: pip install 'pybuf[bench]'" in done.stderr.splitlines()
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"manifest.json", "result.json", "rounds.jsonl"} <= written
    assert absent not in written
