"""What `pybuf bench` answers to what it cannot use, and to an end that comes too early."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pybuf.bench import journal, processor, trials
from pybuf.cli import main

TINY = "= Start\n+ 0x10 0x20\n+ 0x20 0x2000\n- 0x20\n- 0x10\n= End\n"


@pytest.fixture(autouse=True)
def no_lock(monkeypatch, tmp_path):
    """Tests do not wait for benchmarks that run beside them."""
    monkeypatch.setattr(
        processor, "_lock_file", lambda cpu: os.open(tmp_path / f"{cpu}.lock", os.O_CREAT | os.O_RDONLY))


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.mtrace"
    path.write_text(TINY)
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pybuf", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()
    return call


@pytest.mark.parametrize(("arguments", "words"), [
    (["nosuch"], "unknown workload 'nosuch'; there are lifo-pair, "),
    (["lifo-pair:colour=3"], "has no parameter 'colour'"),
    (["--against", "nomalloc"], "unknown contender 'nomalloc'; there are poolcore, glibc, "),
    (["--metric", "speed"], "unknown metric 'speed'; there are time, latency, memory"),
    (["--metric", ""], "unknown metric ''"),
    (["--threads", "0"], "--threads 0: expected numbers of threads"),
    (["--threads", "65"], "--threads 65: expected numbers of threads from 1 to 64"),
    (["--threads", "two"], "--threads two: expected numbers of threads"),
    (["--time", "soon"], "--time soon: expected a duration, such as 30s, 2m or 1h"),
    (["--time", "0"], "--time 0: expected a duration"),
    (["--live", "much"], "--live much: expected a number of bytes, such as 64M"),
    (["lifo-pair", "--live", "1M"], "--live: it scales size tables, and there is none"),
    (["--cpu", "a-b"], "expected numbers such as 0,2-3"),
    (["--cpu", "0-99999999999"], "is not one that this process may use"),
    (["--cpu", "1-0"], "1-0 is no range of processors; expected the lower number first"),
    (["--cpu", "4095"], "processor 4095 is not one that this process may use"),
    (["--time", "2m", "--rounds", "5"], "--time and --rounds say two things"),
    (["--quick", "--rounds", "5"], "--rounds and --quick say two things"),
    (["--lib", "mine"], "--lib: mine: expected NAME=PATH"),
    (["--lib", "mine=/nonexistent/lib.so"], "/nonexistent/lib.so: there is no such file"),
    (["--lib", "glibc=/dev/null"], "glibc is the name of another contender"),
    (["--set", "sizes"], "--set: sizes: expected KEY=VALUE"),
    (["--set", "colour=1"], "a Pool has no setting colour; there are sizes, limit_bytes"),
    (["--set", "sizes=1000000000"], "is no size class"),
    (["--set", "policies=magic"], "policies: magic is none of guard, "),
    (["--set", "memory=air"], "memory: air is none of pages, huge, small"),
    (["--set", "sizes=1", "--set", "sizes=2"], "a key is given twice"),
    (["--rounds", "0"], "Invalid value for '--rounds': 0 is not in the range"),
    (["--touch", "some"], "Invalid value for '--touch': 'some' is not one of 'line', 'page', 'all'"),
    (["--colour"], "No such option '--colour'"),
    (["buffers", "--metric", "memory"], "buffers has no metric memory; it has time"),
])
def test_bad_input_is_one_line_and_status_2(run, arguments, words):
    status, printed, complaint = run("bench", *arguments)
    assert (status, printed) == (2, "")
    (line,) = complaint.splitlines()
    assert line.startswith("Error: ")
    assert words in line


def test_an_unfinished_run_of_something_else_is_not_overwritten(run, tiny, tmp_path):
    out = tmp_path / "out"
    assert run("replay", tiny, "--against", "glibc", "--rounds", 1, "-o", out)[0] == 0
    journal = (out / "rounds.jsonl").read_text().splitlines()
    (out / "rounds.jsonl").write_text("\n".join(journal[:-1]) + "\n")
    status, _, complaint = run("replay", tiny, "--against", "glibc", "--rounds", 2, "-o", out)
    assert status == 2
    assert "holds another run that is not finished: pybuf replay" in complaint
    assert len((out / "rounds.jsonl").read_text().splitlines()) == len(journal) - 1
    status, _, noted = run("replay", tiny, "--against", "glibc", "--rounds", 1, "-o", out)
    assert status == 0
    assert f"going on with the rounds in {out}" in noted


def test_a_directory_of_an_older_schema_is_refused(run, tiny, tmp_path):
    (tmp_path / "manifest.json").write_text('{"schema": 1}')
    (tmp_path / "rounds.jsonl").write_text("{}\n")
    status, _, complaint = run("replay", tiny, "-o", tmp_path)
    assert status == 2
    assert "is of schema 1, which an older pybuf wrote" in complaint


def test_a_full_disk_is_told_and_what_was_finished_is_kept(run, tiny, tmp_path, monkeypatch):
    add = journal.Journal.add

    def add_until_full(journal, line):
        if "state" in line:
            journal.file.close()
            journal.file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 (closed with the journal)
        add(journal, line)

    monkeypatch.setattr(journal.Journal, "add", add_until_full)
    status, printed, complaint = run("replay", tiny, "--against", "glibc", "--rounds", 1, "-o", tmp_path / "out")
    assert (status, printed) == (2, "")
    assert "rounds.jsonl: No space left on device; the rounds before this one are kept: make room" in complaint
    assert (tmp_path / "out" / "rounds.jsonl").read_text().count("\n") == 2


def test_an_output_that_is_full_is_told(tiny):
    code = "from pybuf.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tiny.parent)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, "replay", str(tiny), "--against", "glibc", "--rounds", "1", "--json"],
            env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Error: standard output: No space left on device"


@pytest.mark.parametrize("arguments", [
    ["replay", "{tiny}", "--against", "glibc", "--rounds", "1"], ["trace", "info", "{tiny}"],
    ["tune", "{tiny}"], ["bench", "--list"],
])
def test_an_output_that_is_closed_is_no_error(tiny, arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tiny.parent)}
    given = [one.format(tiny=tiny) for one in arguments]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-P", "-c", "from pybuf.cli import main; main()", *given],
        env=environment, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_ctrl_c_keeps_finished_rounds_and_the_same_command_goes_on(tiny, tmp_path):
    out = tmp_path / "out"
    code = "from pybuf.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-P", "-c", code, "replay", str(tiny), "--against", "glibc", "--metric", "time",
               "-o", str(out)]
    child = subprocess.Popen([*command, "--rounds", "200"], env=environment, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    journal = out / "rounds.jsonl"
    while not journal.exists() or journal.read_text().count('"state"') < 2:
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    printed, noted = child.communicate()
    assert child.returncode == 130
    assert "interrupted: this is what was finished until then" in printed
    assert f"they are kept in {out}, and the same command goes on from there" in noted
    found = json.loads((out / "result.json").read_text())
    assert not found["is_complete"]
    assert 1 <= found["comparisons"][0]["rounds"] < 200
    assert '"is_ended"' not in journal.read_text()


def test_a_library_of_ones_own_is_a_contender_and_a_broken_one_is_named(run, tiny, tmp_path):
    source = tmp_path / "mine.c"
    source.write_text("""
        #include <stddef.h>
        void *__libc_malloc(size_t); void __libc_free(void *);
        void *malloc(size_t size) { return __libc_malloc(size); }
        void free(void *block) { __libc_free(block); }
    """)
    built = tmp_path / "mine.so"
    subprocess.run([shutil.which("cc"), "-shared", "-fPIC", "-fno-builtin", source, "-o", built], check=True)
    (tmp_path / "torn.so").write_bytes(b"no library")
    tiny.write_text(TINY.replace("- 0x20\n", "< 0x20\n> 0x20 0x3000\n- 0x20\n"))
    status, printed, _ = run(
        "replay", tiny, "--against", "glibc", "--rounds", 1, "--metric", "time", "--lib", f"mine={built}",
        "--lib", f"torn={tmp_path / 'torn.so'}", "--set", "sizes=64+128,16384")
    assert status == 0
    for words in ("mine (realloc emulated)", "torn not here: ", "poolcore sizes=64+128", "poolcore sizes=16384"):
        assert words in printed


def test_the_listing_says_what_there_is_and_how_to_get_what_is_not(run, monkeypatch, tmp_path):
    (tmp_path / "libmimalloc.so.2").write_bytes(b"no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    status, printed, _ = run("bench", "--list", "--json")
    assert status == 0
    listed = json.loads(printed)
    contenders = {one["name"]: one for one in listed["contenders"]}
    assert "libmimalloc.so.2" in contenders["mimalloc"]["missing"]
    assert contenders["mimalloc"]["package"] == "libmimalloc2.0"
    assert contenders["glibc"]["version"].startswith("2.")
    assert contenders["glibc"]["origin"].startswith("/")
    assert {"bytearray", "numpy", "pyarrow"} <= contenders.keys()
    assert sum(one["is_default"] for one in listed["workloads"]) == 3
    status, printed, _ = run("bench", "--list")
    assert status == 0
    assert "apt install libmimalloc2.0" in " ".join(printed.split())


#: Blocks are never given back.
STUBBORN = """
    #include <signal.h>
    #include <stddef.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <unistd.h>
    static char room[1 << 24];
    static size_t used;
    %s
    void *malloc(size_t size) {
        %s
        used += (size + 15) / 16 * 16;
        return room + used - (size + 15) / 16 * 16 + SHIFT;
    }
    void free(void *block) {}
"""


@pytest.fixture
def library(tmp_path):
    """Builds a library that misbehaves, when it is loaded or when it is called."""
    def build(at_load="", at_call="", shift=0):
        loading = f"__attribute__((constructor)) static void load(void) {{ {at_load} }}"
        (tmp_path / "mine.c").write_text(f"#define SHIFT {shift}\n" + STUBBORN % (loading, at_call))
        subprocess.run([shutil.which("cc"), "-w", "-shared", "-fPIC", "-fno-builtin", tmp_path / "mine.c",
                        "-o", tmp_path / "mine.so"], check=True)
        return tmp_path / "mine.so"
    return build


@pytest.mark.parametrize(("how", "words"), [
    ({"at_load": "_exit(0);"}, "mine disqualified: ended the process with status 0 before it had answered"),
    ({"at_call": "exit(3);"}, "mine disqualified: ended with status 3, without a word"),
    ({"at_call": "raise(SIGRTMIN + 3);"}, "mine disqualified: died of signal 37"),
    ({"at_call": r'write(2, "\xff gone\n", 7); _exit(1);'}, "mine disqualified: \N{REPLACEMENT CHARACTER} gone"),
    ({"shift": 8}, "mine disqualified: gave a block of 32 bytes that is not aligned to 16 at call 1"),
])
def test_a_library_that_ends_the_process_or_misplaces_blocks_is_disqualified_by_name(run, tiny, library, how, words):
    status, printed, _ = run(
        "replay", tiny, "--against", "glibc", "--rounds", 1, "--metric", "time", "--lib", f"mine={library(**how)}")
    assert status == 0
    assert words in printed


@pytest.mark.parametrize("how", [
    {"at_load": r'write(1, "hello\n", 6);'}, {"at_call": r'write(1, "{}\n", 3);'}, {"at_load": "fork();"},
])
def test_a_library_that_prints_or_forks_is_measured_all_the_same(run, tiny, library, how):
    status, printed, _ = run(
        "replay", tiny, "--against", "glibc", "--rounds", 1, "--metric", "time", "--json", "--lib",
        f"mine={library(**how)}")
    assert status == 0
    (one,) = json.loads(printed)["comparisons"]
    assert "mine" in [row["name"] for row in one["contenders"]]
    assert not one["absent"]


def test_a_library_that_hangs_is_disqualified(run, tiny, library, monkeypatch):
    monkeypatch.setattr(trials, "TRIAL_TIMEOUT_S", 5)
    status, printed, _ = run(
        "replay", tiny, "--against", "glibc", "--rounds", 1, "--metric", "time", "--lib",
        f"mine={library(at_call='for (;;) pause();')}")
    assert status == 0
    assert "mine disqualified: did not end within 5 s" in printed


@pytest.mark.parametrize(("arguments", "words"), [
    (["size-table", "--live", "1"], "Error: size-table: 1 live bytes are fewer than two blocks of this table"),
    (["size-table", "--live", "17G"], "Error: size-table: live_bytes=18253611008: expected a whole number"),
])
def test_what_nothing_can_be_measured_with_is_refused_and_nobody_disqualified(run, arguments, words):
    status, printed, complaint = run("bench", *arguments, "--against", "glibc", "--rounds", 1)
    assert (status, printed) == (2, "")
    assert complaint.splitlines()[-1].startswith(words)


@pytest.mark.parametrize(("arguments", "words"), [
    (["replay", "{pipe}"], "is a pipe; expected a regular file"),
    (["bench", "{pipe}.csv"], "is a pipe; expected a regular file"),
    (["bench", "{pipe}.pcap"], "is a pipe; expected a regular file"),
    (["tune", "{pipe}"], "is a pipe; expected a regular file"),
    (["trace", "info", "/dev/zero"], "/dev/zero: is a device; expected a regular file"),
    (["trace", "convert", "{tiny}", "--to", "mtrace", "-o", "{pipe}"], "is a pipe; expected a regular file"),
    (["compare", "/dev/zero", "/dev/zero"], "/dev/zero: is a device; expected a regular file"),
    (["record", "-o", "{pipe}", "--", "true"], "is a pipe; expected a regular file"),
])
def test_what_would_be_waited_for_or_never_ends_is_refused_and_left_alone(run, tiny, tmp_path, arguments, words):
    pipe = tmp_path / "pipe"
    for path in (pipe, tmp_path / "pipe.csv", tmp_path / "pipe.pcap"):
        os.mkfifo(path)
    status, printed, complaint = run(*(one.format(pipe=pipe, tiny=tiny) for one in arguments))
    assert (status, printed) == (2, "")
    (line,) = complaint.splitlines()
    assert words in line
    assert pipe.is_fifo()


@pytest.mark.parametrize(("row", "words"), [
    ("9" * 400 + ",1,1", "line 1: expected SIZE, RATE, LIVE BLOCKS"), ("16,1e300,1", "line 1: expected SIZE"),
    ("16,1,nan", "line 1: expected SIZE"), ("16,1,5e-324", "t.csv: 7.90505e-323 live bytes in all are too few"),
])
@pytest.mark.parametrize("command", ["bench", "tune"])
def test_a_size_table_with_numbers_that_no_program_has_is_refused(run, tmp_path, command, row, words):
    (tmp_path / "t.csv").write_text(row + "\n")
    status, printed, complaint = run(command, tmp_path / "t.csv")
    assert (status, printed) == (2, "")
    (line,) = complaint.splitlines()
    assert words in line


@pytest.mark.parametrize(("keys", "value", "words"), [
    (("comparisons", 0, "contenders", 0, "series", "first", 0), float("nan"), "is nan, expected a number"),
    (("comparisons", 0, "contenders", 0, "series", "first", 0), 10 ** 400, "is larger than any number"),
    (("comparisons", 0, "contenders", 0, "series", "first", 0), 1e-300, "values that nothing measured can have"),
    (("comparisons", 0, "contenders", 0, "series", "first"), [], "has 0 values, expected 2, one for each round"),
    (("fingerprint", "builds", "glibc"), None, "fingerprint.builds.glibc is NoneType, expected dict"),
])
def test_a_result_that_was_edited_by_hand_is_refused_in_one_line(run, tiny, tmp_path, keys, value, words):
    status, printed, _ = run("replay", tiny, "--against", "glibc", "--rounds", 2, "--metric", "time", "--json")
    assert status == 0
    found = inner = json.loads(printed)
    (tmp_path / "good.json").write_text(printed)
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (tmp_path / "bad.json").write_text(json.dumps(found))
    status, printed, complaint = run("compare", tmp_path / "good.json", tmp_path / "bad.json")
    assert (status, printed) == (2, "")
    assert words in complaint.splitlines()[-1]


def test_brackets_without_an_end_are_no_result(run, tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    status, _, complaint = run("compare", tmp_path / "deep.json", tmp_path / "deep.json")
    assert status == 2
    assert complaint.splitlines()[-1].startswith(f"Error: {tmp_path / 'deep.json'}: is not JSON")
