"""The front of a one-class pool: the stack of free blocks that its C functions take from and put to."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import poolcore
from poolcore import Pool, Verdict

SIZE = 4000
FRONT = 33          # blocks that a front holds
SLAB = 16           # blocks of SIZE that a slab holds


class C:
    """A pool as C code sees it."""

    def __init__(self, pool: Pool) -> None:
        functions = pool.c_functions()
        self.handle = functions.pool
        self._alloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(functions.alloc)
        self._free = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(functions.free)

    def alloc(self, size: int = SIZE) -> int:
        return self._alloc(self.handle, size) or 0

    def free(self, block: int) -> Verdict:
        return Verdict(self._free(self.handle, block))

    def take(self, count: int) -> list[int]:
        blocks = [self.alloc() for _ in range(count)]
        assert all(blocks) and len(set(blocks)) == count
        return blocks

    def take_all(self) -> list[int]:
        blocks = []
        while block := self.alloc():
            blocks.append(block)
        assert len(set(blocks)) == len(blocks)
        return blocks

    def give(self, blocks: list[int]) -> None:
        assert all(self.free(block) == Verdict.LIVE for block in blocks)


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(sizes=SIZE) as made:
        yield made
        assert made.check() is None


@pytest.fixture
def full() -> Iterator[Pool]:
    """A pool in a buffer in which nothing can be had but what is freed."""
    with Pool(memory=bytearray(1 << 21), sizes=SIZE) as made:
        yield made
        assert made.check() is None


def in_thread(body: Callable[[], Any]) -> Any:
    """What `body` answers in a thread that has ended when this returns, its destructors too."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(body()))
    thread.start()
    thread.join()
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        time.sleep(0.001)
    return answers[0]


def test_the_block_freed_last_is_handed_out_first_whatever_its_slab(pool):
    c = C(pool)
    blocks = c.take(10 * SLAB)
    freed = blocks[::9]
    c.give(freed)
    assert c.take(len(freed)) == freed[::-1]


def test_a_pair_gets_the_same_block_again(pool):
    c = C(pool)
    block = c.take(3 * SLAB)[5]
    for size in (1, SIZE, 0):
        c.give([block])
        assert c.alloc(size) == block
        assert pool.block_at(block).size == size


def test_what_the_front_has_no_room_for_goes_to_its_slab(full):
    c = C(full)
    blocks = c.take_all()
    c.give(blocks)
    assert full.stats().live_blocks == 0
    assert full.check() is None
    assert c.take(FRONT) == blocks[FRONT - 1::-1]
    assert set(c.take_all()) == set(blocks[FRONT:])


def test_free_takes_any_value(pool):
    c = C(pool)
    blocks = c.take(2 * FRONT)
    c.give(blocks)
    for block in blocks:
        assert c.free(block) == pool.try_free(block) == Verdict.DOUBLE
        assert c.free(block + 16) == Verdict.INTERIOR
    live = c.alloc()
    assert c.free(live + 1) == c.free(live - 16) == Verdict.INTERIOR
    assert c.free(0) == Verdict.NULL
    assert c.free(1 << 63) == c.free((1 << 64) - 1) == Verdict.FOREIGN
    assert c.free(live) == Verdict.LIVE
    assert c.free(live) == Verdict.DOUBLE


def test_a_request_above_the_class_is_a_run(pool):
    c = C(pool)
    c.give([c.alloc()])
    run = c.alloc(SIZE + 97)
    assert pool.block_at(run).capacity == 65536
    assert c.free(run) == Verdict.LIVE


def test_every_counter_and_look_up_sees_free_blocks_as_free(pool):
    c = C(pool)
    blocks = c.take(3 * SLAB)
    c.give(blocks[:20])
    c.give([c.alloc()])
    stats = pool.stats()
    assert (stats.live_blocks, stats.live_bytes) == (3 * SLAB - 20, (3 * SLAB - 20) * SIZE)
    assert (stats.total_allocs, stats.total_frees) == (3 * SLAB + 1, 21)
    assert sorted(block.address for block in pool.live()) == sorted(blocks[20:])
    assert pool.block_at(blocks[0]).size == 0
    assert "free" in pool.explain(blocks[0])
    assert pool.check() is None


def test_python_and_c_hand_out_the_same_blocks_to_the_last(full):
    c = C(full)
    blocks = c.take_all()
    assert full.stats().largest_bytes < SIZE
    c.give(blocks[:20])
    assert full.stats().largest_bytes == SIZE
    assert {full.alloc(SIZE) for _ in range(20)} == set(blocks[:20])
    assert full.try_alloc(1) == 0
    c.give(blocks[20:30])
    buffers = full.get_many(SIZE, 10)
    assert {buffer.address for buffer in buffers} == set(blocks[20:30])
    assert full.try_get(1) is None


def test_a_run_finds_the_memory_of_slabs_whose_blocks_were_all_on_the_front(full):
    c = C(full)
    blocks = c.take_all()
    run = (len(blocks) // SLAB) * 65536
    assert full.try_alloc(run) == 0
    c.give(blocks)
    assert full.try_alloc(run) != 0


def test_trim_gives_everything_back(pool):
    c = C(pool)
    c.give(c.take(10 * SLAB))
    pool.trim()
    assert pool.stats().committed_bytes == 0


def test_an_ended_threads_blocks_can_all_be_had(full):
    c = C(full)

    def freed_by_thread() -> list[int]:
        blocks = c.take_all()
        c.give(blocks[::3])
        return blocks[::3]

    freed = in_thread(freed_by_thread)
    assert full.check() is None
    assert set(c.take_all()) == set(freed)


def test_a_thread_goes_on_with_the_front_of_another(pool):
    c = C(pool)
    kept = in_thread(lambda: c.take(3 * SLAB))
    c.give(kept[:10])
    assert c.take(10) == kept[9::-1]
    assert in_thread(lambda: c.free(kept[0])) == Verdict.LIVE
    assert c.free(kept[0]) == Verdict.DOUBLE


def test_a_block_that_another_thread_freed_is_on_no_front_until_it_is_handed_out(pool):
    c = C(pool)
    c.give(c.take(2))
    last = c.alloc()
    assert in_thread(lambda: c.free(last)) == Verdict.LIVE
    assert c.free(last) == Verdict.DOUBLE
    assert last not in c.take(1)
    assert pool.check() is None


def test_a_stale_free_of_the_last_block_does_not_take_it_from_a_thread_that_has_it_now(pool):
    c = C(pool)
    blocks = c.take(50 * SLAB)
    pool.free_many(blocks[SLAB:-SLAB])      # so many empty slabs that the next one is given back
    last = blocks[0]
    c.give([last])
    assert c.alloc() == last
    pool.free_many(blocks[:SLAB])
    assert c.free(last) == Verdict.DOUBLE
    gates = threading.Event(), threading.Event()

    def hold() -> None:
        while c.alloc() != last:
            pass
        gates[0].set()
        gates[1].wait()

    thread = threading.Thread(target=hold)
    thread.start()
    gates[0].wait()
    verdict, other = c.free(last), c.alloc()
    gates[1].set()
    thread.join()
    assert verdict == Verdict.LIVE
    assert other != last


def test_blocks_with_a_tag_stay_off_the_front(pool):
    c = C(pool)
    blocks = c.take(8)
    c.give(blocks[:4])
    tagged = pool.get(SIZE, tag="RasB")
    assert tagged.address // 65536 == blocks[0] // 65536
    assert pool.check() is None
    c.give(blocks[4:])
    tagged.free()
    assert pool.check() is None
    assert all(pool.block_at(block).tag is None for block in c.take(SLAB))


def test_a_buffer_on_a_block_that_was_the_last_from_the_front(pool):
    c = C(pool)
    c.give([c.alloc()])
    last = c.alloc()
    pool.free(last)
    buffers = pool.get_many(SIZE, SLAB)
    buffer = next(buffer for buffer in buffers if buffer.address == last)
    with memoryview(buffer):
        assert c.free(last) == Verdict.EXPORTED
    assert c.free(last) == Verdict.LIVE
    assert not buffer.is_live
    assert c.free(last) == Verdict.DOUBLE


def test_realloc_keeps_what_the_front_knows_right(pool):
    c = C(pool)
    c.give([c.alloc()])
    last = c.alloc(100)
    assert pool.realloc(last, SIZE) == last or c.free(last) == Verdict.DOUBLE
    assert pool.check() is None


def test_more_pools_than_a_thread_has_slots_for_keep_apart():
    pools = [Pool(sizes=SIZE) for _ in range(13)]
    sides = [C(pool) for pool in pools]
    for c in sides:
        for other in sides:
            if c is not other:
                other.give(other.take(2))
                last = other.alloc()
                assert c.free(last) == Verdict.OTHER_POOL
                assert other.free(last) == Verdict.LIVE
                assert c.free(last) == Verdict.OTHER_POOL
    for pool in pools:
        assert pool.check() is None
        pool.close()


def test_a_closed_pool_answers_null_and_closed():
    pool = Pool(sizes=SIZE)
    c = C(pool)
    c.give(c.take(3))
    last = c.alloc()
    pool.close()
    assert c.alloc() == 0
    assert c.free(last) == c.free(last - 16) == Verdict.CLOSED


@pytest.mark.parametrize("arguments", [
    {}, {"sizes": [100, SIZE]}, {"sizes": SIZE, "limit_blocks": 10}, {"sizes": SIZE, "policies": [poolcore.Fill()]},
    {"sizes": 512, "memory": bytearray(100_000)}], ids=["classes", "two", "limit", "policy", "small buffer"])
def test_pools_without_a_front_have_the_usual_functions(arguments):
    with Pool() as usual, Pool(**arguments) as pool:
        assert pool.c_functions().alloc == usual.c_functions().alloc
        assert pool.c_functions().free == usual.c_functions().free


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_its_own_front_and_the_blocks_of_vanished_ones(full):
    c = C(full)
    mine = c.take(6 * SLAB)
    gates = threading.Event(), threading.Event()
    theirs: list[int] = []

    def hold() -> None:
        theirs.extend(c.take_all())
        c.give(theirs)
        gates[0].set()
        gates[1].wait()

    thread = threading.Thread(target=hold)
    thread.start()
    gates[0].wait()
    c.give(mine[:10])
    child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(20)
        try:
            assert full.check() is None
            assert c.take(10) == mine[9::-1]
            assert set(c.take_all()) == set(theirs)
            assert full.check() is None
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    gates[1].set()
    thread.join()
    assert status == 0
