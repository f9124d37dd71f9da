"""The processor that a benchmark runs on: chosen, locked against other benchmarks, described."""

from __future__ import annotations

import fcntl
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    files: dict[int, int] = {}
    try:
        for cpu in _allowed():
            files[cpu] = _lock_file(cpu)
            try:
                fcntl.flock(files[cpu], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            break
        else:
            cpu = next(iter(files))
            fcntl.flock(files[cpu], fcntl.LOCK_EX)
        yield cpu
    finally:
        for descriptor in files.values():
            os.close(descriptor)


def pin(cpu: int) -> None:
    """Keep this process on processor ``cpu``, where the system lets a process be kept."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


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
