"""Producers called from several threads, while the network is another from call to call."""

from __future__ import annotations

import ctypes
import os
import random
import shlex
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import pybuf
from pybuf import Machine, NetApiBufferFree, NetStatus, Network, Server, User

MEANT = {NetStatus.NERR_Success, NetStatus.ERROR_MORE_DATA, NetStatus.ERROR_INVALID_PARAMETER,
         NetStatus.NERR_BufTooSmall, NetStatus.ERROR_INVALID_LEVEL}


def test_threads_that_enumerate_a_network_that_changes() -> None:
    machine = Machine(clock="manual")
    machine.network = Network(users=[])
    failures: list[BaseException] = []

    def enumerate_users(seed: int) -> None:
        chance = random.Random(seed)
        resume = 0
        try:
            with machine:
                for _ in range(500):
                    status, block, read, _, following = pybuf.NetUserEnum(
                        None, chance.choice((0, 1, 3, 20, 4)), chance.choice((0, 2, 16)), chance.randrange(5000),
                        resume)
                    assert status in MEANT
                    resume = following if status == NetStatus.ERROR_MORE_DATA else 0
                    if block is not None:
                        assert len(block.entries) == read
                        assert all(entry.name.startswith("user") for entry in block.entries)
                        assert NetApiBufferFree(block.address if chance.random() < 0.5 else block) == 0
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=enumerate_users, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for count in range(20):
        machine.network = Network(users=[User(f"user{i}", "x" * i) for i in range(count * 5)])
    for thread in threads:
        thread.join()
    assert not failures
    assert machine.live() == []
    assert machine.check() is None
    machine.close()


EnumerateInC = Callable[[Machine, int, int], tuple[int, int]]


@pytest.fixture(scope="module")
def enumerate_in_c(tmp_path_factory: pytest.TempPathFactory) -> EnumerateInC:
    """netapi_threads.c: of a machine, a seed and a number of calls, how many answers were wrong and had blocks."""
    library = tmp_path_factory.mktemp("threads") / "threads.so"
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    done = subprocess.run([*compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                           f"-I{pybuf.get_include()}", str(Path(__file__).with_name("netapi_threads.c")), "-o",
                           str(library)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    api = pointer_of(pybuf.C_API, b"pybuf.C_API")
    behind = ctypes.PyDLL(str(library)).behind
    behind.restype, behind.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.py_object)
    in_c = ctypes.CDLL(str(library)).enumerate
    in_c.restype = ctypes.c_uint32
    in_c.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)

    def call(machine: Machine, seed: int, times: int) -> tuple[int, int]:
        blocks = ctypes.c_uint32()
        return in_c(api, behind(api, machine), seed, times, ctypes.addressof(blocks)), blocks.value

    return call


def test_threads_without_the_gil_while_the_network_changes(enumerate_in_c: EnumerateInC) -> None:
    machine = Machine(clock="manual")
    machine.network = networks(1)
    found: list[tuple[int, int]] = []
    threads = [threading.Thread(target=lambda seed: found.append(enumerate_in_c(machine, seed, 50_000)), args=(seed,))
               for seed in range(4)]
    for thread in threads:
        thread.start()
    count = 0
    while any(thread.is_alive() for thread in threads):
        count += 1
        machine.network = networks(count % 20)
    for thread in threads:
        thread.join()
    assert [bad for bad, _ in found] == [0] * 4
    assert all(blocks > 1000 for _, blocks in found)
    assert machine.live() == []
    assert machine.check() is None
    machine.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_the_child_of_a_fork_enumerates_whatever_its_parents_threads_were_doing(enumerate_in_c: EnumerateInC) -> None:
    """They hold the lock of the networks for nanoseconds, but all the time."""
    machine = Machine(clock="manual")
    machine.network = networks(1)
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            assert enumerate_in_c(machine, 1, 10_000)[0] == 0

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    statuses = []
    for _ in range(100):
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            with machine:
                os._exit(pybuf.NetServerEnum(None, 100, 0xFFFFFFFF, 0xFFFFFFFF, None, 0)[0])
        statuses.append(os.waitpid(child, 0)[1])
        if statuses[-1]:
            break
    is_over.set()
    for thread in threads:
        thread.join()
    assert statuses == [0] * 100
    machine.close()


def networks(count: int) -> Network:
    return Network(users=[User(f"user{i}", "x" * i) for i in range(count * 5)], local_groups=(),
                   servers=[Server(f"server{i}") for i in range(count * 3)])
