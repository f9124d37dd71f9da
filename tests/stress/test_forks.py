"""The child of a fork while other threads are inside pybuf: it can do all that its parent can."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

import pybuf

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


def forked(body: Callable[[], object]) -> None:
    """Runs a body in a child, which must get through it."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        try:
            body()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@contextlib.contextmanager
def over_and_over(body: Callable[[], object]) -> Iterator[None]:
    """Another thread runs a body meanwhile."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            body()

    other = threading.Thread(target=work)
    other.start()
    try:
        yield
    finally:
        is_over.set()
        other.join()


def test_a_machine_that_another_thread_advanced_advances() -> None:
    machine = pybuf.Machine(clock="manual")
    with over_and_over(lambda: machine.advance(0)):
        for _ in range(10):
            forked(lambda: machine.advance(1))
    machine.close()


def test_an_event_whose_waiters_were_about_to_leave_serves_again() -> None:
    machine = pybuf.Machine(clock="manual")

    def wait(event: pybuf.Event) -> None:
        with contextlib.suppress(ValueError):
            event.wait()

    def use_another() -> None:
        event = pybuf.Event(machine, manual=True)
        waiter = threading.Thread(target=event.wait)
        waiter.start()
        event.set()
        waiter.join()

    for _ in range(60):
        event = pybuf.Event(machine)
        waiters = [threading.Thread(target=wait, args=(event,)) for _ in range(8)]
        for waiter in waiters:
            waiter.start()
        event.close()
        forked(use_another)
        for waiter in waiters:
            waiter.join()
    machine.close()


# An interpreter of its own, because this one's default machine is made already, perhaps.
DEFAULT = """
import os, signal, threading
import pybuf

class Slow(pybuf.Machine):
    def __init__(self):
        inside.set()
        done.wait()
        super().__init__()

inside, done = threading.Event(), threading.Event()
quick, pybuf.Machine = pybuf.Machine, Slow
other = threading.Thread(target=pybuf.RasGetBuffer, args=(10,))
other.start()
inside.wait()
pybuf.Machine = quick
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(pybuf.RasGetBuffer(10)[0])
status = os.waitpid(child, 0)[1]
done.set()
other.join()
assert status == 0, status
assert pybuf.RasGetBuffer(10)[0] == 0
"""


def test_the_default_machine_that_another_thread_was_making_is_made() -> None:
    subprocess.run([sys.executable, "-P", "-c", DEFAULT], check=True, timeout=60)
