"""Instructions of one pair, counted by callgrind: a number that repeats exactly, where times do not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from pybuf.bench.ratios import _loops
from pybuf.bench.ratios.callees import callee


def instructions_per_pair(name: str, size: int = 1500) -> float:
    """Instructions per pair of the contender `name`: allocation, one-byte store, free and the loop.

    There are 64 live blocks of the same size beside. The difference of two run lengths is taken, so
    that nothing outside the loop counts. RuntimeError when valgrind is not installed, or the contender or
    the counting failed.
    """
    if shutil.which("valgrind") is None:
        raise RuntimeError("no valgrind here to count instructions with (apt install valgrind)")
    short, long = 2_000, 22_000
    return (_collected(name, size, long) - _collected(name, size, short)) / (long - short)


def _collected(name: str, size: int, count: int) -> int:
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *_command(name, size, count)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"callgrind of {name} ended with status {done.returncode}:\n{done.stderr}")
    return int(found.group(1))


def _command(name: str, size: int, count: int) -> list[str]:
    return [sys.executable, "-P", "-m", __spec__.name, name, str(size), str(count)]


def _main(name: str, size: int, count: int) -> None:
    _loops.Pair(callee(name, size), size, 0 if name == "F0" else 64).run(count)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
