"""Processes that are asked: none is left behind, whatever comes between, and no limit is waited for in vain."""

import os
import signal
import sys
import threading

import pytest

from pybuf.bench import children

SLEEPING = "import time; time.sleep(600)"
ANSWERING = "from pybuf.bench import children; children.answer(lambda: {'found': 1})"
LIMIT_S = 500
PATIENCE_S = 40


@pytest.fixture
def started(monkeypatch):
    """The processes and limits that are started."""
    found = {"children": [], "limits": []}
    popen, timer = children.Popen, threading.Timer

    def keep(what, make):
        def made(*arguments, **named):
            one = make(*arguments, **named)
            found[what].append(one)
            return one
        return made

    monkeypatch.setattr(children, "Popen", keep("children", popen))
    monkeypatch.setattr(children.threading, "Timer", keep("limits", timer))
    return found


def ask(program, limit_s=LIMIT_S):
    return children.ask([sys.executable, "-P", "-c", program], os.environ, limit_s)


def is_all_ended(started):
    (child,), (limit,) = started["children"], started["limits"]
    if limit.ident is not None:
        limit.join(PATIENCE_S)
    return child.returncode == -signal.SIGKILL and not limit.is_alive()


def test_an_answer_comes_back_and_its_limit_ends_with_it(started):
    assert ask(ANSWERING) == {"found": 1}
    (limit,) = started["limits"]
    limit.join(PATIENCE_S)
    assert not limit.is_alive()


def test_a_process_beyond_its_limit_is_killed(started):
    with pytest.raises(children.FailedError, match=r"^did not end within 0\.1 s$"):
        ask(SLEEPING, 0.1)
    assert is_all_ended(started)


def test_an_answer_given_in_the_moment_of_the_limit_counts(monkeypatch):
    class Late(threading.Timer):
        def cancel(self):
            self.function()
            super().cancel()

    monkeypatch.setattr(children.threading, "Timer", Late)
    assert ask(ANSWERING) == {"found": 1}


@pytest.mark.parametrize("is_before", [True, False])
def test_an_interrupt_while_the_limit_is_started_leaves_neither_process_nor_limit(started, monkeypatch, is_before):
    start = threading.Thread.start

    def interrupted(self):
        if not is_before:
            start(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask(SLEEPING)
    assert is_all_ended(started)


def test_without_a_thread_for_the_limit_it_is_refused_and_no_process_is_left(started, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(children.RefusedError, match=r"^no thread could be started: can't start new thread$"):
        ask(SLEEPING)
    assert is_all_ended(started)


def test_a_process_that_cannot_be_started_is_refused_in_one_line():
    with pytest.raises(children.RefusedError, match=r"^no process could be started: Argument list too long$"):
        ask("#" * (1 << 18))
