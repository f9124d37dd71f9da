"""Instructions of one pair, counted by callgrind: repeats exactly, where times do not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

SHORT_RUN = 2_000
LONG_RUN = 22_000


def _callee(name: str, size: int):
    from pybuf.bench import _loops

    if name in ("F0", "F1", "F3"):
        return _loops.floor(name, size)
    if name == "glibc":
        import ctypes

        library = ctypes.CDLL(None)
        return _loops.Callee(
            name,
            ctypes.cast(library.malloc, ctypes.c_void_p).value,
            ctypes.cast(library.free, ctypes.c_void_p).value,
        )
    import poolcore

    pool = poolcore.Pool(sizes=size) if name == "poolcore-one" else poolcore.Pool()
    table = pool.c_functions()
    return _loops.Callee(name, table.alloc, table.free, table.pool, (pool, table))


def _collected(name: str, size: int, count: int) -> int:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise FileNotFoundError("valgrind is not installed: it counts the instructions (Debian: apt install valgrind)")
    done = subprocess.run(
        [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null",
         sys.executable, "-m", "pybuf.bench.instructions", name, str(size), str(count)],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise RuntimeError(f"callgrind printed no count:\n{done.stderr}")
    return int(found.group(1))


def instructions_per_pair(name: str, size: int = 1500) -> float:
    """Instructions of one allocation, its one-byte store, its free and the loop around them.

    The difference of two run lengths, so that what is outside the loop does not count.
    """
    return (_collected(name, size, LONG_RUN) - _collected(name, size, SHORT_RUN)) / (LONG_RUN - SHORT_RUN)


def _main() -> None:
    from pybuf.bench import _loops

    name, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _loops.Pair(_callee(name, size), size).run(count)


if __name__ == "__main__":
    _main()
