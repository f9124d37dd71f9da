"""No lock is held while the GIL is taken: what the tests of pybuf do is watched, and one such deadlock is tried for."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import poolcore
import pybuf
from engine_build import HERE, run

TESTS = HERE.parent
WATCHED_TESTS = [
    *(TESTS / "unit" / f"test_{name}.py" for name in (
        "buffer", "doors", "hdaudio_face", "machine", "netapi_buffers", "netapi_face", "policies", "policy_effects",
        "pool", "ported_scripts", "ras_ports", "restore", "videoport_face", "windll")),
    *(TESTS / "misuse" / f"test_{name}.py" for name in (
        "devices", "netapi_misuse", "ras_misuse", "reentry")),
    *(TESTS / "examples" / f"test_{name}.py" for name in ("guest", "script", "wav")),
    *(HERE / f"test_fuzz_{name}.py" for name in ("hdaudio", "netapi", "ras", "videoport")),
]

# Locks of RAS are held for long while there are many ports: C frees without the GIL, one thread delivers with it, and
# the third opens ports.
OPENING = """
import ctypes, faulthandler, sys, threading
import pybuf

faulthandler.dump_traceback_later(60, exit=True)
machine = pybuf.Machine(clock="manual")
ports = [machine.ras.open_port() for _ in range(20_000)]
session = machine.ras.open_session(ports[0])
is_over, calls = threading.Event(), [0, 0]

def without_gil(pointer, *arguments):
    return ctypes.CFUNCTYPE(ctypes.c_uint32, *arguments)(ctypes.cast(pointer, ctypes.c_void_p).value)

def deliver():
    while not is_over.is_set():
        calls[0] += ports[0].deliver(b"x")

def open_and_close():
    while not is_over.is_set():
        machine.ras.open_port().close()
        calls[1] += 1

get = without_gil(session.pointers.RasGetBuffer, ctypes.c_void_p, ctypes.c_void_p)
free = without_gil(session.pointers.RasFreeBuffer, ctypes.c_void_p)
buffer, size = ctypes.c_void_p(), ctypes.c_uint32(10)
sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=body) for body in (deliver, open_and_close)]
for thread in threads:
    thread.start()
for _ in range(300):
    status = get(ctypes.byref(buffer), ctypes.byref(size)), free(buffer)
    assert status == (0, 0), status
is_over.set()
for thread in threads:
    thread.join()
assert min(calls) > 100, calls
"""


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library to preload."""
    if platform.libc_ver()[0] != "glibc" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("the watch is for glibc, and for interpreters whose GIL is a lock")
    library = tmp_path_factory.mktemp("gil") / "gil.so"
    assert not set(str(library)) & set(": "), f"LD_PRELOAD takes no path with blanks or colons: {library}"
    run("cc", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", HERE / "gil.c", "-o", library, "-ldl")
    return library


def reports(watch: Path, *arguments: object) -> str:
    """What is reported while an interpreter runs."""
    told = watch.with_suffix(".txt")
    told.write_text("")
    watched = [Path(package.__file__).parent for package in (poolcore, pybuf)] + [watch.parent]
    done = subprocess.run(
        [sys.executable, "-P", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "LD_PRELOAD": str(watch), "GIL_REPORTS": str(told),
             "GIL_WATCHED": ":".join(map(str, watched))})
    assert done.returncode == 0, done.stdout
    return told.read_text()


def test_a_lock_that_is_held_while_the_gil_is_taken_is_reported(watch: Path) -> None:
    assert "(mistake+" in reports(watch, "-c", "import ctypes; ctypes.PyDLL(None).mistake()")


def test_the_locks_of_both_packages_are_watched(watch: Path) -> None:
    program = """
import ctypes
taken = ctypes.CDLL(None).locks_taken
import poolcore
before = taken()
poolcore.Pool().close()
between = taken()
import pybuf
machine = pybuf.Machine(clock="manual")
after = taken()
machine.ras.open_port().close()
assert before < between < after < taken()
"""
    assert reports(watch, "-c", program) == ""


def test_no_lock_is_held_while_the_gil_is_taken(watch: Path) -> None:
    assert reports(watch, "-m", "pytest", "-p", "no:cacheprovider", "-c", TESTS.parent / "pyproject.toml",
                   "-o", "timeout=60", "-o", "faulthandler_timeout=80", *WATCHED_TESTS) == ""


def test_ports_are_opened_while_c_holds_the_lock_that_another_thread_waits_for_with_the_gil() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", OPENING], stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
