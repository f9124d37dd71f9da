"""The processor that a benchmark runs on: chosen, locked against other benchmarks, described."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

#: In the environment of a process: the one that it shall not outlive.
PARENT = "PYBUF_PARENT"
#: PR_SET_PDEATHSIG of prctl(2).
_SET_PARENT_DEATH_SIGNAL = 1


def _allowed() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0), reverse=True)
    return [0]


def _lock_file(cpu: int) -> int:
    path = Path(tempfile.gettempdir()) / f"pybuf-cpu{cpu}.lock"
    try:
        return os.open(path, os.O_RDONLY)  # another user's file may be opened, but not created again
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)


@contextmanager
def locked() -> Iterator[int]:
    """Hold one processor, the last that is free, against every other benchmark of this machine.

    Yields its number. Waits when all are taken. The lock goes with the process, however that ends.
    """
    with locked_many(1) as (cpu,):
        yield cpu


@contextmanager
def locked_many(
    count: int, among: Sequence[int] | None = None, on_wait: Callable[[], object] = lambda: None
) -> Iterator[list[int]]:
    """Hold ``count`` processors, the last that are free, out of ``among`` (by default all that this process may use).

    Yields their numbers, fewer than ``count`` when there are no more. Waits until so many are free, and calls
    ``on_wait`` before it does.
    """
    candidates = _allowed() if among is None else sorted(among, reverse=True)
    files: dict[int, int] = {}
    held: list[int] = []
    try:
        for cpu in candidates:
            if len(held) == count:
                break
            files[cpu] = _lock_file(cpu)
            try:
                fcntl.flock(files[cpu], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            held.append(cpu)
        if len(held) < min(count, len(candidates)):
            # Others hold some: all are let go, and waited for in one order, so that no two wait for each other.
            on_wait()
            for cpu in held:
                fcntl.flock(files[cpu], fcntl.LOCK_UN)
            held = candidates[:count]
            for cpu in held:
                fcntl.flock(files[cpu], fcntl.LOCK_EX)
        yield held
    finally:
        for descriptor in files.values():
            os.close(descriptor)


def parsed(text: str) -> list[int]:
    """Processor numbers of a list like ``0,2-3``. Raises ValueError, one line, for others and for what is not here."""
    found: set[int] = set()
    allowed = set(_allowed())
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{text!r} is no list of processors; expected numbers such as 0,2-3")
        low, high = int(first[:10]), int((last or first)[:10])  # longer ones are not here either
        if low > high:
            raise ValueError(f"{part.strip()} is no range of processors; expected the lower number first")
        absent = next((number for number in range(low, high + 1) if number not in allowed), None)
        if absent is not None:
            here = ", ".join(map(str, sorted(allowed)))
            raise ValueError(f"processor {absent} is not one that this process may use; those are {here}")
        found.update(range(low, high + 1))
    return sorted(found)


def count() -> int:
    """How many processors this process may use."""
    return len(_allowed())


def pin(cpu: int) -> None:
    """Keep this process on processor ``cpu``, where the system lets a process be kept."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def end_with_parent(parent: int | None = None) -> None:
    """Have the system kill this process when its parent ends, in whatever way. Linux only.

    ``parent`` is the parent's process number; by default it is looked for in the environment. What ends this
    process is, more exactly, the end of the parent's thread that started it.
    """
    if parent is None:
        parent = int(os.environ.get(PARENT, os.getppid()))
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that was said
        os.kill(os.getpid(), signal.SIGKILL)


def is_randomized() -> bool:
    """Whether the system places libraries, stack and heap at random addresses in every process."""
    try:
        return Path("/proc/sys/kernel/randomize_va_space").read_text().strip() != "0"
    except OSError:
        return True


def description() -> dict[str, str]:
    """What a figure depends on: processor, system, C library, Python."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {
        "processor": model,
        "processors": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "c_library": " ".join(platform.libc_ver()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
