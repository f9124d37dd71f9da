"""The wrapper that slows an allocator by planted work, and the command that counts what is found of it."""

import contextlib
import ctypes
import json
import lzma
from pathlib import Path

import pytest

from pybuf.bench import _planted, calibration, contenders, runner, tasks
from pybuf.bench.contenders import ContenderMissingError

TINY = b"= Start\n+ 0x10 0x20\n+ 0x20 0x2000\n< 0x10\n> 0x30 0x400\n- 0x20\n- 0x30\n= End\n"


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "redis.mtrace.xz"
    path.write_bytes(lzma.compress(TINY))
    return path


@pytest.fixture(autouse=True)
def no_lock(monkeypatch):
    """Tests do not wait for benchmarks that run beside them."""
    monkeypatch.setattr(runner.processor, "locked_many", lambda *_: contextlib.nullcontext([0]))


def test_the_wrapper_does_as_what_it_wraps_and_counts_every_call():
    functions = contenders.load("glibc", work=1000)
    planted = functions.owner[0]
    pointer, word, pool = ctypes.c_void_p, ctypes.c_size_t, functions.pool
    allocate = ctypes.CFUNCTYPE(pointer, pointer, word)(functions.malloc)
    free = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer)(functions.free)
    three = [ctypes.CFUNCTYPE(pointer, pointer, word, word)(address) for address in (
        functions.realloc, functions.calloc, functions.aligned)]
    for _ in range(_planted.EVERY):
        block = allocate(pool, 100)
        ctypes.memset(block, 7, 100)
        block = three[0](pool, block, 5000)
        assert ctypes.string_at(block, 100) == b"\x07" * 100
        assert free(pool, block) == 0
        zeroed, aligned = three[1](pool, 10, 100), three[2](pool, 4096, 8192)
        assert ctypes.string_at(zeroed, 1000) == bytes(1000)
        assert aligned % 4096 == 0
        free(pool, zeroed)
        free(pool, aligned)
    assert planted.calls == 7 * _planted.EVERY


def test_what_the_wrapped_one_lacks_the_wrapper_lacks():
    planted = _planted.Planted((1, 1, 0, 0, 0), 5)
    assert planted.addresses[2:] == (0, 0, 0)
    with pytest.raises(ValueError, match="without malloc or free"):
        _planted.Planted((0, 1, 0, 0, 0), 5)
    with pytest.raises(ContenderMissingError, match="cannot be wrapped"):
        contenders.load("poolcore", work=0)


def test_a_planted_contender_is_labelled_and_so_is_what_it_is_compared_with():
    part = calibration.parts(Path("t"))[1]
    base, slowed = (contenders.describe(one.as_order()) for one in part.manifest(1, 19).contenders)
    assert base == "malloc of the C library, in a wrapper that adds nothing else"
    assert slowed == "malloc of the C library, in a wrapper that adds 19 units of work on every 64th call"


def test_the_base_of_a_planted_run_is_run_again_behind_its_wrapper():
    part = calibration.parts(Path("t"))[1]
    (task,) = tasks.plan(part.manifest(1, 19)).tasks
    again = [one.as_order() for one in task.contenders if one.name == tasks.SAME]
    assert again == [{"name": "A/A", "same_as": "glibc", "work": 0}]


def run_of(verdict):
    return calibration.Run(1, 1.0, 0.9, 1.1, verdict, 0, 0)


def test_alarms_are_verdicts_of_a_difference_and_finds_are_those_of_a_slowdown():
    alone, pair, _ = calibration.parts(Path("t"))
    verdicts = ["no difference"] * 100 + ["inconclusive"] * 96
    runs = [run_of(verdict) for verdict in [*verdicts, "slower", "slower", "faster", "faster"]]
    assert (alone.hits(runs), alone.is_good(runs)) == (4, True)
    assert (alone.hits([*runs, run_of("faster")]), alone.is_good([*runs, run_of("faster")])) == (5, False)
    runs = [run_of("slower")] * 19 + [run_of("inconclusive")]
    assert (pair.hits(runs), pair.is_good(runs)) == (19, True)
    assert not pair.is_good([*runs[1:], run_of("faster")])


def test_the_work_is_what_makes_three_per_cent(monkeypatch):
    asked = []

    def compare(plan, seed):
        work = plan.manifest.contenders[1].work
        asked.append((work, seed, plan.manifest.rounds))
        return calibration.Run(seed, 1 + 0.0015 * (work - 8), 1, 2, "slower", 0, 0)  # the first 8 cost nothing

    monkeypatch.setattr(calibration, "compare", compare)
    part = calibration.parts(Path("t"))[1]
    assert calibration.calibrate(part, 7, lambda line: None) == 28
    assert asked == [(200, 1_000_007, 20), (83, 1_000_008, 40), (28, 1_000_009, 200)]


def test_no_work_is_planted_that_slows_nothing(monkeypatch):
    monkeypatch.setattr(calibration, "compare", lambda *_: run_of("inconclusive"))
    with pytest.raises(calibration.UnusableError, match="200 units of work slow nothing"):
        calibration.calibrate(calibration.parts(Path("t"))[1], 7, lambda line: None)


def test_every_part_runs_and_is_written_with_its_command_and_seeds(trace, tmp_path, capsys, monkeypatch):
    # What is measured of a trace of six events is the clock: that some work slows it is not to be relied on.
    monkeypatch.setattr(calibration, "calibrate", lambda *_: 20)
    file = tmp_path / "found.json"
    arguments = ["--runs", "2", "--rounds", "8", "--seed", "5", "--trace", str(trace), "-o", str(file)]
    status = calibration.main(arguments)
    told = capsys.readouterr().out
    assert told.startswith("python -m pybuf.bench.calibration --runs 2 --rounds 8 --seed 5 ")
    assert "minutes on a quiet machine" in told.splitlines()[0]
    found = json.loads(file.read_text())
    assert status == (0 if all(part["is_good"] for part in found["parts"]) else 1)
    assert [part["part"] for part in found["parts"]] == ["aa", "pair", "redis"]
    for part in found["parts"]:
        assert [run["seed"] for run in part["runs"]] == [5, 6]
        assert part["is_complete"]
        assert sum(part["verdicts"].values()) == 2
        assert part["estimates"]["smallest"] <= part["estimates"]["median"] <= part["estimates"]["largest"]
    assert [part["work"] for part in found["parts"]] == [None, 20, 20]


@pytest.mark.parametrize(("part", "runs", "verdict", "status"), [
    ("aa", "4", "faster", 0), ("aa", "5", "faster", 1), ("pair", "1", "slower", 0), ("pair", "1", "no difference", 1),
])
def test_the_status_is_0_after_few_alarms_and_after_finds(monkeypatch, part, runs, verdict, status):
    monkeypatch.setattr(calibration, "calibrate", lambda *_: 20)
    monkeypatch.setattr(calibration, "compare", lambda *_: run_of(verdict))
    assert calibration.main(["--part", part, "--runs", runs]) == status


def test_much_planted_work_is_found(monkeypatch):
    monkeypatch.setattr(calibration, "calibrate", lambda *_: 2000)
    part = calibration.parts(Path("t"))[1]
    found = calibration.take(part, 3, 1, lambda line: None, 8)
    assert (found["hits"], found["is_good"], found["verdicts"]) == (1, True, {"slower": 1})
    assert found["estimates"]["median"] > 1
    assert [run["seed"] for run in found["runs"]] == [3]


def test_an_interruption_keeps_what_was_found(monkeypatch, tmp_path, capsys):
    answers = iter([run_of("no difference")])

    def compare(plan, seed):
        for answer in answers:
            return answer
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "compare", compare)
    file = tmp_path / "found.json"
    assert calibration.main(["--part", "aa", "--runs", "3", "-o", str(file)]) == 130
    (part,) = json.loads(file.read_text())["parts"]
    assert (len(part["runs"]), part["is_complete"], part["is_good"]) == (1, False, False)


@pytest.mark.parametrize(("arguments", "words"), [
    (["--runs", "0"], "--runs 0: expected at least 1"),
    (["--rounds", "7"], "--rounds 7: expected at least 8"),
])
def test_numbers_that_are_too_small_are_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as end:
        calibration.main(arguments)
    assert end.value.code == 2
    assert words in capsys.readouterr().err


def test_a_missing_recording_is_told_in_one_line(tmp_path, capsys):
    assert calibration.main(["--part", "redis", "--trace", str(tmp_path / "none")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "none: No such file" in line
