"""Producers called from several threads, while the network is another from call to call."""

from __future__ import annotations

import ctypes
import random
import shlex
import subprocess
import sysconfig
import threading
from pathlib import Path

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


def test_threads_without_the_gil_while_the_network_changes(tmp_path) -> None:
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    done = subprocess.run([*compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                           f"-I{pybuf.get_include()}", str(Path(__file__).with_name("netapi_threads.c")), "-o",
                           str(tmp_path / "threads.so")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    api = pointer_of(pybuf.C_API, b"pybuf.C_API")
    behind = ctypes.PyDLL(str(tmp_path / "threads.so")).behind
    behind.restype, behind.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.py_object)
    enumerate_in_c = ctypes.CDLL(str(tmp_path / "threads.so")).enumerate
    enumerate_in_c.restype = ctypes.c_uint32
    enumerate_in_c.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)
    machine = Machine(clock="manual")
    machine.network = networks(1)
    found: list[tuple[int, int]] = []

    def work(seed: int) -> None:
        blocks = ctypes.c_uint32()
        bad = enumerate_in_c(api, behind(api, machine), seed, 50_000, ctypes.addressof(blocks))
        found.append((bad, blocks.value))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
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


def networks(count: int) -> Network:
    return Network(users=[User(f"user{i}", "x" * i) for i in range(count * 5)], local_groups=(),
                   servers=[Server(f"server{i}") for i in range(count * 3)])
