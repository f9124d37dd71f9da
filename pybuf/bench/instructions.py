"""Instructions of one pair, counted by callgrind: repeats exactly, where times do not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from pybuf.bench import _loops
from pybuf.bench.callees import callee

SHORT_RUN = 2_000
LONG_RUN = 22_000


def _collected(name: str, size: int, count: int) -> int:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise FileNotFoundError("valgrind is not installed: it counts the instructions (Debian: apt install valgrind)")
    done = subprocess.run(
        [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null",
         sys.executable, "-m", "pybuf.bench.instructions", name, str(size), str(count)],
        capture_output=True, check=False, text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"no count of {name}: callgrind ended with status {done.returncode}\n{done.stderr}")
    return int(found.group(1))


def instructions_per_pair(name: str, size: int = 1500) -> float:
    """Instructions per pair of the contender `name`: one allocation, its one-byte store, its free
    and the loop around them, beside 64 live blocks.

    The difference of two run lengths, so that what is outside the loop does not count. FileNotFoundError
    when valgrind is not installed, RuntimeError when it or the contender failed.
    """
    return (_collected(name, size, LONG_RUN) - _collected(name, size, SHORT_RUN)) / (LONG_RUN - SHORT_RUN)


def _main() -> None:
    name, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _loops.Pair(callee(name, size), size, 0 if name == "F0" else 64).run(count)


if __name__ == "__main__":
    _main()
