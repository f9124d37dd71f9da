"""Processes that answer with one JSON object: what they say beside it, and what becomes of them, spoils no answer.

A trial runs code that nobody here has read: a library may print, fork, or end the process with status 0. So the
answer goes through a descriptor of its own, standard output is standard error from then on, and both are files: a
grandchild that keeps them open is not waited for.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from subprocess import Popen
from typing import IO, Any

#: So much of the end of what a process complained is looked at.
COMPLAINT_BYTES = 1 << 16


class FailedError(Exception):
    """A process that gave no answer; its text says how it ended."""


class RefusedError(Exception):
    """A process that could not use what it was asked, whoever is measured; its text is one line."""


def answer(find: Callable[[], dict[str, Any]]) -> None:
    """Write what ``find`` finds to the parent, which asked for it with `ask`.

    A RefusedError is passed on to the parent, and this process ends with status 1. Any other exception goes on, and
    ends it with a traceback, whose last line is what the parent says of it.
    """
    own = os.getpid()
    told = os.dup(1)
    os.dup2(2, 1)
    try:
        found = find()
    except RefusedError as refusal:
        found = {"refused": str(refusal)}
    if os.getpid() != own:  # a library forked, and this is the copy
        os._exit(0)
    with open(told, "w", encoding="utf-8") as file:
        json.dump(found, file)
    if "refused" in found:
        sys.exit(found["refused"])


def ask(command: Sequence[str], environment: Mapping[str, str], limit_s: float) -> dict[str, Any]:
    """The answer of a process that calls `answer`.

    Raises FailedError when there is none, or it takes longer than ``limit_s``, and RefusedError with the process'
    own words, or when the system lets none be started. No exception leaves the process running.
    """
    with _file() as told, _file() as complained:
        has_exceeded = threading.Event()

        def exceed() -> None:
            has_exceeded.set()
            child.kill()

        # Popen.wait with a limit looks every 50 ms: a trial of 65 ms would take 114.
        limit = threading.Timer(limit_s, exceed)
        limit.daemon = True  # whatever interrupts this, the interpreter does not wait for the limit when it ends
        try:
            child = Popen(command, env=environment, stdout=told, stderr=complained)
        except OSError as failure:
            raise RefusedError(f"no process could be started: {failure.strerror}") from None
        try:
            limit.start()
            status = child.wait()
        except BaseException as early:
            child.kill()
            child.wait()
            if isinstance(early, RuntimeError):
                raise RefusedError(f"no thread could be started: {early}") from None
            raise
        finally:
            limit.cancel()
        if has_exceeded.is_set() and status == -signal.SIGKILL:
            raise FailedError(f"did not end within {limit_s:g} s")
        if status < 0:
            raise FailedError(f"died of {name_of(-status)}")
        complained.seek(max(0, complained.seek(0, os.SEEK_END) - COMPLAINT_BYTES))
        complaint = complained.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(complaint) if line.strip()), "")
        told.seek(0)
        try:
            found = json.loads(told.read())
        except ValueError:
            found = None
    if isinstance(found, dict) and "refused" in found:
        raise RefusedError(found["refused"])
    if status:
        raise FailedError(last or f"ended with status {status}, without a word")
    if not isinstance(found, dict):
        raise FailedError("ended the process with status 0 before it had answered")
    return found


def _file() -> IO[bytes]:
    """A file for what a process says: in memory where there is such, so that a full disk spoils nothing."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("pybuf"), "w+b", buffering=0)
    return tempfile.TemporaryFile(prefix="pybuf-")


def name_of(number: int) -> str:
    """The name of a signal; real-time signals have none, and are given by number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
