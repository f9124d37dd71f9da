"""Comparisons on the workers of a Dask cluster: real worker processes, on loopback."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import distributed
import pytest

from pybuf.bench import choices, cluster, journal, runner, tasks
from pybuf.bench.manifest import ChosenContender, Manifest
from pybuf.bench.result import load
from pybuf.cli import main

PATIENCE_S = 40


@pytest.fixture(scope="module")
def scheduler():
    with distributed.LocalCluster(
        n_workers=0, processes=True, host="127.0.0.1", scheduler_port=0, dashboard_address="127.0.0.1:0"
    ) as local:
        yield local.scheduler_address


class Workers:
    """Worker processes of a scheduler, which processors they lock among themselves, and who is their child."""

    def __init__(self, address, directory):
        self.address, self.directory = address, directory
        self.processes = {}

    def start(self, name, **environment):
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-P", "-m", "distributed.cli.dask_worker", self.address, "--no-nanny", "--no-dashboard",
             "--nthreads", "2", "--name", name, "--local-directory", self.directory],
            env={**os.environ, "TMPDIR": str(self.directory), **environment}, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def children(self, name):
        """Processes that the threads of this worker started."""
        found = set()
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{self.processes[name].pid}/task").iterdir():
                found |= set(map(int, (thread / "children").read_text().split()))
        return found

    def stop(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def workers(scheduler, tmp_path):
    found = Workers(scheduler, tmp_path)
    yield found
    found.stop()
    with distributed.Client(scheduler, set_as_default=False) as client:
        until(lambda: not client.nthreads())


def until(is_so):
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def a_plan(*workloads, rounds=8, **changed):
    given = {
        "kind": "bench", "command": ["pybuf", "bench"], "seed": 1, "touch": "line", "rounds": rounds, "threads": [1],
        "contenders": [ChosenContender(name) for name in ("poolcore", "glibc", "empty")],
        "workloads": choices.workloads(workloads), "metrics": ["time"],
    }
    return tasks.plan(Manifest(**{**given, **changed}))


SWEEP = [f"{name}:events=4000" for name in ("lifo-pair", "fifo", "random", "batch")]


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def command_of(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def test_the_comparison_of_a_killed_worker_is_run_again_and_nothing_of_the_worker_goes_on(workers, tmp_path):
    plan = a_plan(*SWEEP)
    for name in "ab":
        workers.start(name)
    with distributed.Client(workers.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=PATIENCE_S)
        addresses = {process["name"]: address for address, process in client.scheduler_info()["workers"].items()}
    results, said, seen = [], [], {}

    def kill():
        with distributed.Client(workers.address, set_as_default=False) as client:
            until(lambda: workers.children("a") and workers.children("b"))
            seen["lost"] = set(client.processing()[addresses["a"]])
            seen["children"] = workers.children("a")
            workers.processes["a"].send_signal(signal.SIGKILL)
            workers.processes["a"].wait()
            until(lambda: not any(map(is_running, seen["children"])))

    killer = threading.Thread(target=kill)
    killer.start()
    results = cluster.run(workers.address, plan, tmp_path, said.append)
    killer.join()
    (result,) = results
    assert seen["lost"]
    assert seen["children"]
    assert result.is_complete
    assert [one.id for one in result.comparisons] == [task.id for task in plan.tasks]
    assert [one.rounds for one in result.comparisons] == [8] * 4
    assert len(said) == 4


def test_a_worker_with_many_threads_runs_one_comparison_at_a_time(workers, tmp_path):
    workers.start("a")
    most, done = [0], threading.Event()

    def count():
        before = set()
        while not done.is_set():
            now = workers.children("a")
            most[0] = max(most[0], len(before & now))  # those that were there all the time between two looks
            before = now
            time.sleep(0.002)

    counter = threading.Thread(target=count)
    counter.start()
    with distributed.Client(workers.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=PATIENCE_S)
    cluster.run(workers.address, a_plan(*SWEEP[:3]), None, lambda words: None)
    done.set()
    counter.join()
    assert most[0] == 1


def test_finished_comparisons_are_kept_and_not_run_again(workers, tmp_path):
    plan = a_plan(*SWEEP[:2], rounds=2)
    workers.start("a")
    with distributed.Client(workers.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=PATIENCE_S)

    def stop(words):
        raise KeyboardInterrupt

    (part,) = cluster.run(workers.address, plan, tmp_path, stop)
    assert (part.is_complete, len(part.comparisons)) == (False, 1)
    (whole,) = cluster.run(workers.address, plan, tmp_path, lambda words: None)
    assert (whole.is_complete, len(whole.comparisons)) == (True, 2)
    assert part.comparisons[0] in whole.comparisons
    workers.stop()
    assert cluster.run("127.0.0.1:1", plan, tmp_path, lambda words: None) == [whole]


def test_a_unit_is_one_comparison_with_a_share_of_the_time_and_whole_paths(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.mtrace").write_text("= Start\n+ 0x10 0x20\n- 0x10\n= End\n")
    plan = a_plan("lifo-pair", "t.mtrace", rounds=None, time_s=80.0, metrics=["time", "latency"], threads=[1, 2])
    found = cluster.units(plan)
    assert [unit.id for unit in found] == [task.id for task in plan.tasks]
    for unit in found:
        (task,) = tasks.plan(unit.manifest).tasks
        assert task.id == unit.id
        assert unit.manifest.time_s == 80 / len(found)
    assert {unit.manifest.workloads[0].trace for unit in found} == {None, str(tmp_path / "t.mtrace")}


def results_of(plan):
    """What a worker answers for each unit, without a worker."""
    found = {}
    for unit in cluster.units(plan):
        found[unit.place] = runner.run(tasks.plan(unit.manifest), None, lambda words, share: None)
    return found


def test_results_of_unlike_machines_are_not_merged(monkeypatch, tmp_path):
    monkeypatch.setattr(runner.processor, "locked_many", lambda *_: contextlib.nullcontext([0]))
    plan = a_plan(*SWEEP[:3], rounds=1)
    found = results_of(plan)
    (same,) = cluster.merged(plan.manifest, cluster.units(plan), found, True)
    assert [one.id for one in same.comparisons] == [task.id for task in plan.tasks]
    assert same.manifest == plan.manifest
    other = {**found[1].fingerprint, "processor": "another"}
    found[1] = replace(found[1], fingerprint=other)
    first, second = cluster.merged(plan.manifest, cluster.units(plan), found, True)
    assert [one.id for one in first.comparisons] == [plan.tasks[0].id, plan.tasks[2].id]
    assert [one.id for one in second.comparisons] == [plan.tasks[1].id]
    assert second.fingerprint == other
    (line,) = cluster.unlike([first, second])
    assert line.startswith("machine 2: another processor model: ")
    assert line.endswith(" and another")


def test_verdicts_are_corrected_over_all_that_is_put_together(monkeypatch):
    monkeypatch.setattr(runner.processor, "locked_many", lambda *_: contextlib.nullcontext([0]))
    plan = a_plan(*SWEEP[:2], rounds=1)
    found = results_of(plan)
    for place, result in found.items():
        (one,) = result.comparisons
        rows = [row if row.ratios is None else replace(row, ratios={
            "all": replace(row.ratios["all"], estimate=1.1, low=1.05, high=1.15, confidence=0.99, p=0.03,
                           verdict="slower")}) for row in one.contenders]
        found[place] = replace(result, comparisons=[replace(one, contenders=rows)])
    (result,) = cluster.merged(plan.manifest, cluster.units(plan), found, True)
    assert [one.row("poolcore").ratios["all"].verdict for one in result.comparisons] == ["inconclusive"] * 2


def test_a_trace_that_is_another_file_on_the_worker_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "t.mtrace"
    path.write_text("= Start\n+ 0x10 0x20\n- 0x10\n= End\n")
    (unit,) = cluster.units(a_plan(str(path)))
    path.write_text("= Start\n+ 0x10 0x21\n- 0x10\n= End\n")
    assert "is another file there; copy it" in cluster.run_unit(unit.manifest.as_dict())["refused"]


def test_a_cluster_without_workers_is_told(scheduler, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECTING_S", 0.5)
    with pytest.raises(journal.RunError, match="has no workers; start one with: dask worker tcp://"):
        cluster.run(scheduler, a_plan(SWEEP[0]), None, lambda words: None)


def test_a_trial_dies_with_its_worker_and_the_loss_of_the_last_worker_is_told(scheduler, workers, monkeypatch):
    monkeypatch.setattr(cluster, "WORKERLESS_S", 1)
    workers.start("a")
    with distributed.Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=PATIENCE_S)
    monkeypatch.setattr(cluster, "CONNECTING_S", 0.5)
    left = set()

    def kill():
        until(lambda: any(b"bench.trial" in command_of(child) for child in workers.children("a")))
        left.update(workers.children("a"))
        workers.stop()

    killer = threading.Thread(target=kill)
    killer.start()
    long = a_plan("lifo-pair:events=16G", contenders=[ChosenContender("glibc")])
    with pytest.raises(journal.RunError, match="all workers are lost"):
        cluster.run(scheduler, long, None, lambda words: None)
    killer.join()
    assert left
    try:
        until(lambda: not any(map(is_running, left)))
    finally:
        for child in left:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)


@pytest.fixture
def pybuf(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pybuf", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()
    return call


BENCH = ("bench", SWEEP[0], SWEEP[1], "--against", "glibc", "--rounds", 2)


def test_the_command_writes_one_result_as_a_run_at_home_does(workers, pybuf, tmp_path):
    workers.start("a")
    with distributed.Client(workers.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=PATIENCE_S)
    out = tmp_path / "out"
    status, printed, noted = pybuf(*BENCH, "--cluster", workers.address, "-o", out)
    assert status == 0, noted
    assert "divided among the workers" in noted
    assert "lifo-pair" in printed
    found = load(out)
    assert (found.is_complete, len(found.comparisons)) == (True, 2)
    assert (out / "report.html").exists()
    assert (out / "rounds.jsonl").read_bytes().endswith(journal.ENDED)
    assert found.manifest.command[-4:] == ["--cluster", workers.address, "-o", str(out)]


def test_each_kind_of_machine_has_its_own_files_and_that_is_said(pybuf, monkeypatch, tmp_path):
    monkeypatch.setattr(runner.processor, "locked_many", lambda *_: contextlib.nullcontext([0]))

    def run(address, plan, directory, say):
        found = results_of(plan)
        found[1] = replace(found[1], fingerprint={**found[1].fingerprint, "kernel": "1.0"})
        return cluster.merged(plan.manifest, cluster.units(plan), found, True)

    monkeypatch.setattr(cluster, "run", run)
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text("of an earlier run")
    status, _, noted = pybuf(*BENCH, "--cluster", "192.0.2.1:8786", "-o", out)
    assert status == 0
    assert "2 kinds of machines: their figures are not merged" in noted
    assert "machine 2: another kernel: " in noted
    assert [len(load(out / f"machine-{number}").comparisons) for number in (1, 2)] == [1, 1]
    assert load(out / "machine-2").fingerprint["kernel"] == "1.0"
    assert (out / "machine-2" / "manifest.json").exists()
    assert not (out / "result.json").exists()


def test_a_missing_library_is_named_with_its_extra(pybuf, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    status, printed, complaint = pybuf(*BENCH, "--cluster", "127.0.0.1:1")
    assert (status, printed) == (2, "")
    assert complaint.splitlines()[-1] == (
        "Error: --cluster needs distributed; install it with: pip install 'pybuf[cluster]'")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense://", "tcp://[::1", "noport"])
def test_an_address_where_nobody_listens_is_told_within_seconds_and_by_nothing_else(pybuf, monkeypatch, address):
    unraised = []
    monkeypatch.setattr(sys, "unraisablehook", unraised.append)
    monkeypatch.setattr(cluster, "CONNECTING_S", 1)
    status, printed, complaint = pybuf(*BENCH, "--cluster", address)
    assert (status, printed) == (2, "")
    line = complaint.splitlines()[-1]
    assert line.startswith(f"Error: --cluster {address}: no scheduler answers there (")
    assert "expected the address of one, such as tcp://" in line
    gc.collect()
    assert not unraised


def test_ctrl_c_ends_what_the_workers_do(workers):
    workers.start("a")
    with distributed.Client(workers.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=PATIENCE_S)
        def interrupt():
            until(lambda: any(b"bench.trial" in command_of(child) for child in workers.children("a")))
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        long = a_plan(SWEEP[0], rounds=10_000, contenders=[ChosenContender("glibc")])
        assert cluster.run(workers.address, long, None, lambda words: None) == []
        interrupter.join()
        until(lambda: set(client.run(lambda dask_worker: len(dask_worker.state.executing)).values()) == {0})
