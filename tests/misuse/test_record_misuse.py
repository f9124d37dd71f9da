"""What `pybuf record` and `pybuf trace` answer to what they cannot use: one line, exit status 2, no traceback."""

import gzip
import lzma
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pybuf.bench.recordings import traces
from pybuf.cli import main

WORKERS = Path(__file__).parents[1] / "recordings" / "workers.pybuf.xz"
RECORDING = lzma.decompress(WORKERS.read_bytes())


def refused(monkeypatch, capfd, *arguments):
    monkeypatch.setattr(sys, "argv", ["pybuf", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    printed, complaint = capfd.readouterr()
    assert (end.value.code, printed) == (2, "")
    (line,) = complaint.splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize("command", ["info", "head"])
@pytest.mark.parametrize(("content", "words"), [
    (b"", "is empty"),
    (b"\x7fELF" + b"\0" * 99, "no line reads '= Start'"),
    (b"Thread,Time,Pointer\n1,2,3\n", "no line reads '= Start'"),
    (RECORDING[:100], "cut short within its header"),
    (RECORDING[:16] + (1 << 24).to_bytes(4, "little") + RECORDING[20:], "other byte order"),
    (RECORDING[:16] + (9).to_bytes(4, "little") + RECORDING[20:], "version 9 of the format; this pybuf reads"),
    (WORKERS.read_bytes()[:-500], "cut short"),
    (gzip.compress(RECORDING)[:-500], "cut short"),
    (b"PAR1" + b"\0" * 99, "cut short or damaged"),
    (b"memray\0" + b"\0" * 99, "memray cannot read it"),
    (b"\x04\x22\x4d\x18" + b"\0" * 99, "memray cannot read it"),
])
def test_a_file_that_is_no_trace_is_refused_by_name(monkeypatch, capfd, tmp_path, command, content, words):
    path = tmp_path / "given"
    path.write_bytes(content)
    # The first of a damaged file's events may be whole: `head` is asked for more of them than there are.
    more = ["-n", 1_000_000] if command == "head" else []
    line = refused(monkeypatch, capfd, "trace", command, *more, path)
    assert str(path) in line
    assert words in line


@pytest.mark.parametrize(("content", "words"), [
    (b"Thread,Time,Action,Pointer,Size,Stream\n", "records no allocation"),
    (RECORDING[:4096], "records no allocation"),
    (RECORDING[:4096] + bytes(320), "records no allocation"),
])
def test_a_trace_without_an_allocation_is_refused(monkeypatch, capfd, tmp_path, content, words):
    path = tmp_path / "given"
    path.write_bytes(content)
    assert words in refused(monkeypatch, capfd, "trace", "info", path)


def test_a_directory_and_a_missing_file_are_refused(monkeypatch, capfd, tmp_path):
    for command in (["info"], ["head"], ["convert", "-o", tmp_path / "a.mtrace"]):
        assert "is a directory" in refused(monkeypatch, capfd, "trace", *command, tmp_path)
        assert "gone: No such file" in refused(monkeypatch, capfd, "trace", *command, tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path):
    (tmp_path / "f").write_bytes(RECORDING[:-32 * 100 - 7])
    trace = traces.read(tmp_path / "f")
    assert trace.torn_lines >= 101
    assert trace.recorded_words > 16_000


@pytest.mark.parametrize(("name", "more", "words"), [
    ("a.bin", (), "memray captures are read only"),
    ("a.memray", (), "memray captures are read only"),
    ("a.mtrace", ("--to", "memray"), "memray has no writer"),
    ("a.unknown", (), "its name says no format"),
    ("a.parquet.xz", (), "leave out .xz"),
    ("missing/a.mtrace", (), "No such file or directory"),
    (".", (), "say the format with --to"),
])
def test_a_target_that_cannot_be_written_is_refused(monkeypatch, capfd, tmp_path, name, more, words):
    line = refused(monkeypatch, capfd, "trace", "convert", WORKERS, "-o", tmp_path / name, *more)
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_several_files_need_a_directory(monkeypatch, capfd, tmp_path):
    line = refused(monkeypatch, capfd, "trace", "convert", WORKERS, WORKERS, "-o", tmp_path / "a.mtrace")
    assert "expected a directory" in line


def test_a_conversion_that_fails_leaves_what_was_there(monkeypatch, capfd, tmp_path):
    target = tmp_path / "a.mtrace"
    target.write_text("old")
    (tmp_path / "short").write_bytes(WORKERS.read_bytes()[:-500])
    refused(monkeypatch, capfd, "trace", "convert", tmp_path / "short", "-o", target)
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def without(module, tmp_path, *arguments):
    code = f"import sys; sys.modules[{module!r}] = None; from pybuf.cli import main; main()"
    path = ":".join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, arguments)], env={"PYTHONPATH": path}, capture_output=True,
        text=True, cwd=tmp_path)


@pytest.mark.parametrize(("module", "magic"), [("pyarrow", b"PAR1"), ("memray", b"memray\0")])
def test_a_library_that_is_missing_is_named_with_how_to_get_it(tmp_path, module, magic):
    (tmp_path / "f").write_bytes(magic + bytes(99))
    done = without(module, tmp_path, "trace", "info", "f")
    assert (done.returncode, done.stderr) == (
        2, f"Error: f: reading it needs {module}; install it with: pip install 'pybuf[trace]'\n")


def test_writing_parquet_without_pyarrow_names_it(tmp_path):
    done = without("pyarrow", tmp_path, "trace", "convert", WORKERS, "-o", "a.parquet")
    assert (done.returncode, done.stderr) == (
        2, "Error: a.parquet: writing it needs pyarrow; install it with: pip install 'pybuf[trace]'\n")


@pytest.mark.parametrize(("arguments", "words"), [
    (("--", "no-such-program"), "no-such-program: there is no such program"),
    (("--", "./plain"), "./plain: is not executable"),
    (("-o", ".", "--", "true"), "is a directory"),
    (("-o", "missing/f", "--", "true"), "No such file or directory"),
    (("-o", "plain", "--", "true"), "plain: exists, and is no recording; name another file with -o"),
    (("--with", "memray", "--", "true"), "true is no Python program"),
    (("--with", "memray", "--sizes", "--", "python3"), "memray does not see what arrives"),
])
def test_what_cannot_be_recorded_is_refused_before_it_runs(monkeypatch, capfd, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_text("mine")
    assert words in refused(monkeypatch, capfd, "record", *arguments)
    assert (tmp_path / "plain").read_text() == "mine"


def test_a_static_program_is_named_as_one(monkeypatch, capfd, tmp_path):
    (tmp_path / "s.c").write_text("int main(void) { return 0; }")
    subprocess.run(["cc", "-static", "-o", tmp_path / "s", tmp_path / "s.c"], check=True)
    assert "is linked statically" in refused(monkeypatch, capfd, "record", "-o", tmp_path / "f", "--", tmp_path / "s")


def test_a_program_that_the_kernel_refuses_is_named(monkeypatch, capfd, tmp_path):
    shutil.copy(WORKERS, tmp_path / "noise")
    (tmp_path / "noise").chmod(0o755)
    assert "Exec format error" in refused(monkeypatch, capfd, "record", "-o", tmp_path / "f", "--", tmp_path / "noise")
