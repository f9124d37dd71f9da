"""Planted work is really done, on every 64th call and no other: counted by callgrind."""

import os
import re
import subprocess
import sys

SCRIPT = """
import ctypes, sys
from pybuf.bench import contenders
calls, work = map(int, sys.argv[1:])
functions = contenders.load("glibc", work=work)
allocate = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(functions.malloc)
for _ in range(calls):
    allocate(functions.pool, 100)
"""
WORK = 2_000_000


def counts_of(*cases):
    """Instructions of a process for each number of calls and amount of work."""
    running = [
        subprocess.Popen(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-P", "-c", SCRIPT,
             *map(str, case)],
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for case in cases
    ]
    counts = []
    for process in running:
        told = process.communicate()[1]
        found = re.search(r"Collected : (\d+)", told)
        assert found, told
        counts.append(int(found[1]))
    return counts


def test_every_64th_call_works_and_no_other():
    idle, before, once, ten_times = counts_of((63, 0), (63, WORK), (64, WORK), (640, WORK))
    assert abs(before - idle) < WORK / 10
    # A multiplication, a count and a jump for each unit, or as many units in fewer steps.
    assert WORK <= once - before < 6 * WORK
    assert 9.5 < (ten_times - before) / (once - before) < 10.5
