"""No lock is held while the GIL is taken: what the tests of pybuf do is watched, and one such deadlock is tried for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import poolcore
import pybuf
from engine_build import HERE, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a library is preloaded as Linux does it")
TESTS = HERE.parent
WATCHED_TESTS = [
    *(TESTS / "unit" / f"test_{name}.py" for name in (
        "buffer", "doors", "hdaudio_face", "machine", "netapi_buffers", "netapi_face", "policies", "policy_effects",
        "pool", "ported_scripts", "ras_ports", "restore", "videoport_face", "windll")),
    TESTS / "examples" / "test_script.py",
    *(HERE / f"test_fuzz_{name}.py" for name in ("hdaudio", "netapi", "ras", "videoport")),
]

# Locks of RAS are held for long while there are many ports: C frees without the GIL, one thread delivers with it, and
# the third opens ports.
OPENING = """
import ctypes, sys, threading
import pybuf

machine = pybuf.Machine(clock="manual")
ports = [machine.ras.open_port() for _ in range(20_000)]
session = machine.ras.open_session(ports[0])

def without_gil(pointer, *arguments):
    return ctypes.CFUNCTYPE(ctypes.c_uint32, *arguments)(ctypes.cast(pointer, ctypes.c_void_p).value)

def deliver():
    while True:
        ports[0].deliver(b"x")

def open_and_close():
    while True:
        machine.ras.open_port().close()

get = without_gil(session.pointers.RasGetBuffer, ctypes.c_void_p, ctypes.c_void_p)
free = without_gil(session.pointers.RasFreeBuffer, ctypes.c_void_p)
buffer, size = ctypes.c_void_p(), ctypes.c_uint32(10)
sys.setswitchinterval(1e-5)
for body in (deliver, open_and_close):
    threading.Thread(target=body, daemon=True).start()
for _ in range(300):
    status = get(ctypes.byref(buffer), ctypes.byref(size)), free(buffer)
    assert status == (0, 0), status
"""


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library to preload."""
    library = tmp_path_factory.mktemp("gil") / "gil.so"
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
    assert "PyEval_RestoreThread" in reports(watch, "-c", "import ctypes; ctypes.PyDLL(None).mistake()")


def test_no_lock_is_held_while_the_gil_is_taken(watch: Path) -> None:
    assert reports(watch, "-m", "pytest", "-p", "no:cacheprovider", "-c", TESTS.parent / "pyproject.toml",
                   *WATCHED_TESTS) == ""


def test_ports_are_opened_while_c_holds_the_lock_that_another_thread_waits_for_with_the_gil() -> None:
    subprocess.run([sys.executable, "-P", "-c", OPENING], check=True, timeout=120)
