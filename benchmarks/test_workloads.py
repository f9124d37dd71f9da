"""The workloads of `pybuf bench`, one pass of each in a call; times are per pass, see `events` in the extra columns."""

import os
from pathlib import Path

import pytest

from pybuf.bench import python_workloads, trial
from pybuf.bench.contenders import CONTENDERS
from pybuf.bench.workloads import WORKLOADS, complete

CAPTURE = Path(__file__).parent / "traces" / "http-60k.pcap.xz"
C_LEVEL = [name for name, workload in WORKLOADS.items() if not workload.contenders]
PYTHON = [(name, kind) for name, workload in WORKLOADS.items() for kind in workload.contenders]
ROUNDS = 5


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("name", C_LEVEL)
def test_words(benchmark, name, contender):
    workload = WORKLOADS[name]
    is_measured = not benchmark.disabled
    given = {} if is_measured else {"events": 2000}
    if "capture" in workload.parameters:
        given["capture"] = str(CAPTURE)
    players, answer = trial.prepare({
        "workload": name, "parameters": complete(workload, given), "contenders": [{"name": contender}],
        "metric": "time", "touch": "line", "threads": workload.threads[0], "passes": 1, "rounds": 1,
        "cpus": sorted(os.sched_getaffinity(0))[-2:], "offset": 64, "seed": 1,
    })
    if contender not in players:  # the reason is shown beside the name
        benchmark.extra_info["missing"] = answer["missing"][contender]
        benchmark.pedantic(lambda: None)
        return
    player = players[contender]
    player.set_up()
    benchmark.extra_info["events"] = answer["events"]
    benchmark.pedantic(player.play, rounds=ROUNDS if is_measured else 1, warmup_rounds=1 if is_measured else 0)
    player.tear_down()
    player.close()


@pytest.mark.parametrize(("name", "kind"), PYTHON)
def test_python(benchmark, name, kind):
    given = {} if not benchmark.disabled else {"count": 2}
    parameters = complete(WORKLOADS[name], given)
    try:
        one_pass = python_workloads.PREPARE[name](kind, parameters, 1)
    except python_workloads.MissingError as missing:
        benchmark.extra_info["missing"] = str(missing)
        benchmark.pedantic(lambda: None)
        return
    taken = benchmark.pedantic(one_pass, rounds=ROUNDS if not benchmark.disabled else 1)
    assert taken["wall_ns"] > 0
