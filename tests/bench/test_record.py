"""How a program comes to be recorded: which recorder, which command line, which file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pybuf.bench import record
from pybuf.bench.record import RecordError
from pybuf.bench.recordings import traces

PYBUF = [sys.executable, "-m", "pybuf"]


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("command", [[sys.executable, "x.py"], ["python3", "-c", "pass"]])
def test_auto_takes_memray_for_an_interpreter_that_has_it(monkeypatch, command):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert record.plan(command, "auto", False).recorder == "memray"


def test_auto_sees_a_python_script_by_its_first_line(tmp_path):
    script = executable(tmp_path / "tool", f"#!{sys.executable} -I\n")
    chosen = record.plan([script, "a"], "auto", False)
    assert (chosen.recorder, chosen.name, chosen.command) == ("memray", "tool", [sys.executable, "-I", script, "a"])
    env = executable(tmp_path / "tool2", "#!/usr/bin/env -S python3 -I\n")
    assert record.plan([env], "native", False).recorder == "native"


def test_a_script_that_is_not_executable_is_run_by_this_python(tmp_path):
    (tmp_path / "app.py").write_text("")
    chosen = record.plan([str(tmp_path / "app.py"), "1"], "auto", False)
    assert (chosen.command, chosen.name) == ([sys.executable, str(tmp_path / "app.py"), "1"], "app")


def test_auto_takes_our_own_for_everything_else_and_says_why_for_python_without_memray(tmp_path):
    assert record.plan(["sh", "-c", "true"], "auto", False).recorder == "native"
    bare = executable(tmp_path / "python3", f"#!/bin/sh\nexec {sys.executable} -S -I \"$@\"\n")
    chosen = record.plan([bare, "x.py"], "auto", False)
    assert chosen.recorder == "native"
    assert f"install it with: {bare} -m pip install memray" in chosen.why
    with pytest.raises(RecordError, match="memray is not installed for"):
        record.plan([bare, "x.py"], "memray", False)


@pytest.mark.parametrize(("given", "made"), [
    (["py", "a.py", "-x"], ["py", "-m", "memray", "run", "-q", "-f", "-o", "F", "a.py", "-x"]),
    (["py", "-m", "mod", "-c"], ["py", "-m", "memray", "run", "-q", "-f", "-o", "F", "-m", "mod", "-c"]),
    (["py", "-c", "pass"], ["py", "-m", "memray", "run", "-q", "-f", "-o", "F", "-c", "pass"]),
    (["py", "-Im", "mod"], ["py", "-I", "-m", "memray", "run", "-q", "-f", "-o", "F", "-m", "mod"]),
    (["py", "-W", "error", "-Xdev", "-u", "a.py", "-m"],
     ["py", "-W", "error", "-Xdev", "-u", "-m", "memray", "run", "-q", "-f", "-o", "F", "a.py", "-m"]),
])
def test_memray_gets_the_script_and_the_interpreter_its_options(given, made):
    assert record.memray_command(given, Path("F"), False) == made


def test_memray_is_told_to_follow_and_needs_something_to_run():
    assert "--follow-fork" in record.memray_command(["py", "a.py"], Path("F"), True)
    with pytest.raises(RecordError, match="names no script"):
        record.memray_command(["py", "-i"], Path("F"), False)


def test_an_older_recording_is_replaced_with_its_children_and_nothing_else(tmp_path):
    file = tmp_path / "f.pybuf"
    for name in ("f.pybuf", "f.pybuf.123"):
        (tmp_path / name).write_bytes(b"pybuf recording\n" + bytes(99))
    (tmp_path / "f.pybuf.7").write_text("mine")
    record.record(record.plan(["sh", "-c", "true"], "auto", False), file, False, False)
    assert sorted(os.listdir(tmp_path)) == ["f.pybuf", "f.pybuf.7"]
    assert traces.read(file).recorded_words


def cli(*arguments, **options):
    return subprocess.run([*PYBUF, "record", *map(str, arguments)], capture_output=True, text=True, **options)


def test_the_command_passes_output_on_and_reports_how_the_program_ended(tmp_path):
    done = cli("-o", tmp_path / "f", "--", "sh", "-c", "echo out; exit 7")
    assert (done.returncode, done.stdout) == (0, "out\n")
    assert "the program ended with status 7" in done.stderr
    assert "ns an event" in done.stderr
    done = cli("-o", tmp_path / "f", "--", "sh", "-c", "kill -9 $$")
    assert done.returncode == 0
    assert "the program was killed by SIGKILL" in done.stderr
    assert traces.read(tmp_path / "f").recorded_words


def test_without_a_name_the_recording_has_the_programs(tmp_path):
    cli("--", "sh", "-c", "true", cwd=tmp_path)
    (tmp_path / "app.py").write_text("x = bytearray(5000)\n")
    cli("--", sys.executable, "app.py", cwd=tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["app.memray", "app.py", "sh.pybuf"]
    assert traces.read(tmp_path / "app.memray").format == "memray"


def test_a_python_program_that_dies_under_memray_keeps_what_was_recorded(tmp_path):
    text = "import os\nx = [bytearray(5000 + i) for i in range(500)]\nos.kill(os.getpid(), 9)\n"
    (tmp_path / "app.py").write_text(text)
    done = cli("-o", tmp_path / "f", "--", sys.executable, tmp_path / "app.py")
    assert "killed by SIGKILL" in done.stderr
    counts = traces.read(tmp_path / "f").size_counts
    assert sum(5000 <= size < 5600 for size in counts) >= 400


def test_an_interrupt_keeps_what_was_recorded_and_ends_with_130(tmp_path):
    # No shell: one that forks in the moment of an interrupt loses it now and then.
    program = "import time; print('ready', flush=True); time.sleep(60)"
    began = subprocess.Popen(
        [*PYBUF, "record", "-o", tmp_path / "f", "--with", "native", "--", sys.executable, "-c", program],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert began.stdout.readline() == "ready\n"
    os.killpg(began.pid, signal.SIGINT)         # as a terminal does
    _, said = began.communicate(timeout=60)
    assert began.returncode == 130
    assert "was killed by SIGINT" in said
    assert traces.read(tmp_path / "f").recorded_words


def test_a_file_that_a_running_child_still_writes_is_not_cut_off(tmp_path):
    script = "(sleep 1; for i in 1 2 3; do (true); done; echo $? > late) & exit 0"
    done = cli("--follow", "-o", tmp_path / "f", "--", "bash", "-c", script, cwd=tmp_path)
    assert done.returncode == 0
    for _ in range(200):
        if (tmp_path / "late").exists() and (tmp_path / "late").read_text():
            break
        time.sleep(0.05)
    assert (tmp_path / "late").read_text() == "0\n"
