"""Threads, fork, thread end and interpreter exit: Python's, and native ones through the C interface."""

from __future__ import annotations

import ctypes
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import poolcore
from engine_build import HERE, compile_program, run
from poolcore import Pool, Verdict

BLOCKS = 20_000


def at_once(*bodies: Callable[[], object]) -> None:
    """Runs all bodies in threads that start together; the first error is raised here."""
    gate = threading.Barrier(len(bodies))
    errors: list[BaseException] = []

    def run_body(body: Callable[[], object]) -> None:
        gate.wait()
        try:
            body()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run_body, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-X", "faulthandler", "-c", program], capture_output=True, text=True,
                          timeout=120)


@pytest.mark.parametrize("memory", [None, 64 << 20], ids=["own pages", "buffer"])
@pytest.mark.parametrize("threads", [2, 4])
def test_blocks_that_threads_free_at_once_are_each_taken_back_once(memory: int | None, threads: int) -> None:
    with Pool(memory=bytearray(memory) if memory else None) as pool:
        blocks = [pool.alloc(100 + i % 1000) for i in range(BLOCKS)]
        good = [0] * threads

        def free_all(me: int) -> None:
            order = blocks[:]
            if me > 1:
                random.Random(me).shuffle(order)
            good[me] = sum(pool.try_free(block) == Verdict.LIVE for block in order)

        at_once(*(lambda me=me: free_all(me) for me in range(threads)))
        pool.alloc(100)
        stats = pool.stats()
        assert sum(good) - stats.late_double_frees == BLOCKS
        assert (stats.live_blocks, stats.total_frees) == (1, BLOCKS)
        assert pool.check() is None


def test_a_consumer_frees_what_a_producer_makes() -> None:
    import queue

    with Pool() as pool:
        line: queue.Queue[Any] = queue.Queue(maxsize=100)

        def produce() -> None:
            for i in range(20_000):
                buffer = pool.get(i % 3000)
                if i % 3000:
                    buffer[0] = i & 0xFF
                line.put((buffer, i))
            line.put(None)

        def consume() -> None:
            while (item := line.get()) is not None:
                buffer, i = item
                assert len(buffer) == i % 3000 and (not len(buffer) or buffer[0] == i & 0xFF)
                pool.free(buffer)

        at_once(produce, consume)
        assert pool.check() is None
        assert pool.stats().live_blocks == 0


def test_the_blocks_of_ended_threads_stay_live_and_their_memory_is_used_again() -> None:
    with Pool() as pool:
        kept: list[int] = []
        reserved = []
        for _ in range(30):
            at_once(lambda: kept.extend(pool.alloc(1500) for _ in range(200)))
            assert pool.check() is None
            assert pool.stats().live_blocks == len(kept) == 200
            for block in kept:
                pool.free(block)
            kept.clear()
            reserved.append(pool.stats().committed_bytes)
        assert reserved[-1] <= reserved[5]
        pool.trim()
        assert pool.stats().committed_bytes <= 1 << 20


def test_a_limit_is_exact_between_threads() -> None:
    with Pool(limit_blocks=1000, limit_bytes=100_000) as pool:
        got: list[list[int]] = [[] for _ in range(4)]

        def fill(mine: list[int]) -> None:
            while address := pool.try_alloc(100):
                mine.append(address)

        at_once(*(lambda mine=mine: fill(mine) for mine in got))
        assert sum(map(len, got)) == 1000
        assert pool.stats().peak_blocks == 1000
        assert pool.try_alloc(0) == 0


def test_a_pool_closed_while_another_thread_has_frees_in_hand() -> None:
    """Gathered remote frees of a pool that is gone must not be published into it."""
    first, second = Pool(), Pool()
    blocks, others = first.alloc_many(100, 10), second.alloc_many(100, 10)
    freed, closed = threading.Event(), threading.Event()

    def stranger() -> None:
        for block in blocks[:5]:
            assert first.try_free(block) == Verdict.LIVE
        freed.set()
        closed.wait()
        for block in others:
            assert second.try_free(block) == Verdict.LIVE

    def owner() -> None:
        freed.wait()
        first.close()
        closed.set()

    at_once(stranger, owner)
    assert second.check() is None
    second.alloc(1)
    assert second.stats().live_blocks == 1


def test_a_forked_child_checks_allocates_and_frees_its_parents_blocks() -> None:
    program = """
import os, poolcore
pool = poolcore.Pool()
blocks = pool.alloc_many(1500, 500)
child = os.fork()
if child == 0:
    assert pool.check() is None
    pool.free_many(blocks)
    more = [pool.alloc(i) for i in range(2000)]
    assert pool.stats().live_blocks == 2000
    assert pool.check() is None
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert pool.stats().live_blocks == 500 and pool.check() is None
pool.free_many(blocks)
"""
    done = python(program)
    assert done.returncode == 0, done.stderr


def test_a_child_forked_while_other_threads_run_finds_the_pool_whole() -> None:
    program = """
import os, threading, poolcore
pool, limited = poolcore.Pool(), poolcore.Pool(limit_blocks=100_000, policies=[poolcore.Events()])
over = False
def busy(p):
    blocks = []
    while not over:
        blocks.append(p.alloc(len(blocks) * 7 % 3000))
        if len(blocks) > 100:
            p.free_many(blocks)
            blocks.clear()
threads = [threading.Thread(target=busy, args=(p,)) for p in (pool, pool, limited)]
for thread in threads:
    thread.start()
for _ in range(50):
    child = os.fork()
    if child == 0:
        for p in (pool, limited):
            assert p.check() is None
            for block in list(p.live()):
                assert p.try_free(block.address) == poolcore.Verdict.LIVE
            p.free_many(p.alloc_many(100, 1000))
            assert p.stats().live_blocks == 0
            assert p.check() is None
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
over = True
for thread in threads:
    thread.join()
assert pool.check() is None and limited.check() is None
"""
    done = python(program)
    assert done.returncode == 0, done.stderr


def test_a_child_forked_while_another_thread_restores_can_use_the_pool() -> None:
    program = """
import os, threading, poolcore
inside, over = threading.Event(), threading.Event()
def on_map(address, size):
    if threading.current_thread() is not threading.main_thread():
        inside.set()
        over.wait()
pool = poolcore.Pool(memory=poolcore.AddressSpace(1 << 40, 1 << 30, on_map=on_map))
kept = pool.alloc(1 << 20)
state = pool.snapshot()
pool.free(kept)
pool.trim()
restoring = threading.Thread(target=pool.restore, args=(state,), daemon=True)
restoring.start()
inside.wait()
child = os.fork()
if child == 0:
    pool.free(pool.alloc(100))
    assert pool.check() is None and pool.stats().live_blocks == 0
    pool.restore(state)
    assert pool.check() is None and pool.stats().live_blocks == 1
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
over.set()
restoring.join()
assert pool.check() is None and pool.stats().live_blocks == 1
"""
    done = python(program)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", [
    "pool = poolcore.Pool(); b = pool.get(100); v = memoryview(b)",
    "pool = poolcore.Pool(); b = pool.get(100); v = memoryview(b); del pool, b",
    "pool = poolcore.Pool(); b = pool.get(100); l = [b]; l.append(l); l.append(pool)",
    "pool = poolcore.Pool(); c = pool.c_functions(); del pool",
    "import threading; pool = poolcore.Pool(); "
    "t = threading.Thread(target=lambda: [pool.get(100) for _ in iter(int, 1)], daemon=True); t.start()",
    "import threading; pool = poolcore.Pool(); "
    "t = threading.Thread(target=lambda: [pool.free(pool.alloc(9)) for _ in iter(int, 1)], daemon=True); t.start()",
    "pool = poolcore.Pool(memory=bytearray(1 << 20)); b = pool.get(100)",
    "import sys; sys.keep = poolcore.Pool().get(100)",
    "import atexit; pool = poolcore.Pool(); b = pool.get(9); atexit.register(lambda: pool.close())",
    "pool = poolcore.Pool(memory=poolcore.AddressSpace(1 << 40, 1 << 30, on_map=print, on_unmap=print)); pool.alloc(9)",
], ids=["live view", "view outlives all", "cycle", "c functions", "daemon thread gets", "daemon thread frees", "buffer",
        "kept in sys", "closed at exit", "callbacks"])
def test_the_interpreter_exits_cleanly_with(program: str) -> None:
    done = python("import poolcore\n" + program)
    assert done.returncode == 0, done.stderr


def test_ten_thousand_pools_leave_neither_mappings_nor_memory() -> None:
    program = """
import gc, poolcore
def figures():
    gc.collect()
    with open("/proc/self/maps") as maps, open("/proc/self/statm") as statm:
        return sum(1 for _ in maps), int(statm.read().split()[1]) * 4096
def some(first, last):
    for i in range(first, last):
        memory = None if i % 3 else bytearray(1 << 18) if i % 2 else poolcore.AddressSpace(1 << 40, 1 << 30)
        pool = poolcore.Pool(memory=memory, limit_blocks=1000 if i % 5 == 0 else None)
        blocks = pool.alloc_many(1500, 20)
        if memory is None:
            buffer = pool.get(100)
            if i % 4 == 0:
                view = memoryview(buffer)
                pool.close(force=True)
                view.release()
        if i % 2:
            pool.close()
some(0, 100)
mappings, resident = figures()
some(100, 10_000)
mappings_after, resident_after = figures()
assert mappings_after <= mappings + 2, (mappings, mappings_after)
assert resident_after <= resident + (2 << 20), (resident, resident_after)
"""
    done = python(program)
    assert done.returncode == 0, done.stderr


def test_a_thousand_pools_are_open_at_once() -> None:
    pools = [Pool() for _ in range(1000)]
    blocks = [pool.alloc(1500) for pool in pools]
    assert all(pool.check() is None for pool in pools)
    assert pools[0].try_free(blocks[999]) == Verdict.OTHER_POOL
    assert all(pool.try_free(block) == Verdict.LIVE for pool, block in zip(pools, blocks, strict=True))
    for pool in pools:
        pool.close()


NATIVE = HERE / "native.c"


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Native threads that know nothing but the addresses that c_functions() gives."""
    library = tmp_path_factory.mktemp("native") / "native.so"
    run("cc", "-O2", "-shared", "-fPIC", "-pthread", NATIVE, "-o", library)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize("backing", ["pages", "buffer", "limits", "quarantine"])
def test_native_threads_free_the_same_blocks_each_taken_back_once(native: ctypes.CDLL, backing: str) -> None:
    arguments: dict[str, Any] = {
        "pages": {}, "buffer": {"memory": bytearray(64 << 20)}, "limits": {"limit_blocks": 100_000},
        "quarantine": {"policies": [poolcore.Quarantine(blocks=100), poolcore.Events()]}}[backing]
    with Pool(**arguments) as pool:
        c = pool.c_functions()
        late = 0
        for _ in range(10):
            blocks = pool.alloc_many(700, BLOCKS // 2)
            address, count = blocks.buffer_info()
            good = native.race(*map(ctypes.c_void_p, (c.pool, c.free, address)), ctypes.c_long(count))
            pool.free(pool.alloc(1))
            stats = pool.stats()
            assert good - (stats.late_double_frees - late) == count
            assert stats.live_blocks == 0
            assert pool.check() is None
            late = stats.late_double_frees


def test_native_threads_allocate_and_free_while_python_does(native: ctypes.CDLL) -> None:
    with Pool() as pool:
        c = pool.c_functions()
        failures: list[int] = []

        def churn() -> None:
            failures.append(native.churn(*map(ctypes.c_void_p, (c.pool, c.alloc, c.free)), ctypes.c_long(200_000)))

        def python_side() -> None:
            for i in range(20_000):
                with pool.get(i % 4000) as buffer:
                    assert buffer.is_live

        at_once(churn, churn, python_side)
        assert failures == [0, 0]
        assert pool.check() is None
        assert pool.stats().live_blocks == 0


def test_native_threads_may_call_after_their_destructors_ran(native: ctypes.CDLL) -> None:
    with Pool() as pool:
        c = pool.c_functions()
        blocks = pool.alloc_many(100, 50)
        address, count = blocks.buffer_info()
        bad = native.free_in_destructor(*map(ctypes.c_void_p, (c.pool, c.alloc, c.free, address)), ctypes.c_long(count))
        assert bad == 0
        assert pool.check() is None
        pool.free(pool.alloc(100))
        assert pool.stats().live_blocks == 0


def test_the_engine_alone_under_native_threads(engine_sources: Path) -> None:
    program = compile_program(engine_sources, "threads")
    done = subprocess.run([program, "20", "1"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.path.exists(program)
