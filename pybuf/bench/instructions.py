"""Instructions of one pair: a number that repeats exactly, where times do not.

callgrind counts them where valgrind is installed. Elsewhere the process is stepped through the loop
one instruction at a time, which gives the same number and needs nothing but the kernel.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys

from pybuf.bench import _loops
from pybuf.bench.callees import callee

PTRACE_TRACEME, PTRACE_CONT, PTRACE_SINGLESTEP = 0, 7, 9


def instructions_per_pair(name: str, size: int = 1500) -> float:
    """Instructions per pair of the contender `name`: allocation, one-byte store, free and the loop.

    There are 64 live blocks of the same size beside. The difference of two run lengths is taken, so
    that nothing outside the loop counts. RuntimeError when the contender or the counting failed.
    """
    return _callgrind(name, size) if shutil.which("valgrind") else stepped(name, size)


def _callgrind(name: str, size: int) -> float:
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


def stepped(name: str, size: int = 1500) -> float:
    """The count of `instructions_per_pair` without valgrind."""
    short, long = 100, 400
    return (_steps(name, size, long) - _steps(name, size, short)) / (long - short)


def _steps(name: str, size: int, count: int) -> int:
    """Instructions between two stops that a child makes before and after its loop."""
    trace = ctypes.CDLL(None, use_errno=True).ptrace
    trace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    trace.restype = ctypes.c_long
    steps = 0
    with subprocess.Popen([*_command(name, size, count), "traced"]) as child:
        try:
            _next_stop(child.pid)
            while True:
                if trace(PTRACE_SINGLESTEP, child.pid, None, None):
                    raise RuntimeError(f"the system refuses to step a process: {os.strerror(ctypes.get_errno())}")
                if _next_stop(child.pid) == signal.SIGSTOP:
                    break
                steps += 1
            trace(PTRACE_CONT, child.pid, None, None)
        except BaseException:
            child.kill()
            raise
    return steps


def _next_stop(process: int) -> int:
    _, status = os.waitpid(process, 0)
    if not os.WIFSTOPPED(status):
        raise RuntimeError(f"the process to be counted ended early, status {status}")
    return os.WSTOPSIG(status)


def _command(name: str, size: int, count: int) -> list[str]:
    return [sys.executable, "-P", "-m", __spec__.name, name, str(size), str(count)]


def _main(name: str, size: int, count: int, is_traced: bool) -> None:
    pairs = _loops.Pair(callee(name, size), size, 0 if name == "F0" else 64)
    if not is_traced:
        pairs.run(count)
        return
    if ctypes.CDLL(None).ptrace(PTRACE_TRACEME, 0, None, None):
        raise OSError("the system refuses to let this process be traced")
    os.kill(os.getpid(), signal.SIGSTOP)
    pairs.run(count)
    os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] == ["traced"])
