"""Each policy seen to act, from outside of the pool."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys

import pytest

from poolcore import Events, Faults, Fill, Guard, LowMemory, Pool, PoolExhausted, Quarantine, Verdict


def status_of(program: str) -> int:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60).returncode


@pytest.mark.parametrize("size", [16, 48, 1504, 4096, 65536, 100_000])
@pytest.mark.parametrize("offset", [-1, 0])
def test_guard_kills_a_child_at_the_first_byte_past_the_block(size: int, offset: int) -> None:
    status = status_of(
        "import ctypes, poolcore\n"
        "pool = poolcore.Pool(policies=[poolcore.Guard()])\n"
        f"block = pool.alloc({size})\n"
        f"ctypes.memset(block + {size} + {offset}, 1, 1)\n")
    assert status == (0 if offset < 0 else -signal.SIGSEGV)


def test_guard_finds_a_write_into_the_slack_when_the_block_is_freed() -> None:
    with Pool(policies=[Guard()]) as pool:
        block = pool.alloc(17)
        assert block % 16 == 0
        ctypes.memset(block + 17, 1, 1)
        assert pool.try_free(block) == Verdict.CORRUPT


def test_guard_kills_a_child_that_touches_a_freed_block() -> None:
    assert status_of(
        "import ctypes, poolcore\n"
        "pool = poolcore.Pool(policies=[poolcore.Guard()])\n"
        "block = pool.alloc(1500)\n"
        "pool.free(block)\n"
        "ctypes.memset(block, 1, 1)\n") == -signal.SIGSEGV


@pytest.mark.parametrize("count", [1, 2, 16, 100])
def test_quarantine_delays_reuse_by_exactly_its_count(count: int) -> None:
    """The block comes back once `count` others were freed after it, not one earlier."""
    with Pool(sizes=1500, policies=[Quarantine(blocks=count)]) as pool:
        first = pool.alloc(1500)
        pool.free(first)
        for _ in range(count - 1):
            pool.free(pool.alloc(1500))
            assert pool.try_free(first) == Verdict.DOUBLE
        held = [pool.alloc(1500) for _ in range(200)]
        assert first not in held
        pool.free(held.pop())
        assert first in [pool.alloc(1500) for _ in range(200)]


def test_quarantine_in_bytes_holds_no_more_than_they_allow() -> None:
    with Pool(sizes=1024, policies=[Quarantine(bytes=10 * 1024)]) as pool:
        blocks = [pool.alloc(1024) for _ in range(20)]
        for block in blocks:
            pool.free(block)
        again = {pool.alloc(1024) for _ in range(10)}
        assert again.isdisjoint(blocks[10:])


def test_quarantine_is_drained_before_a_request_is_refused() -> None:
    with Pool(memory=bytearray(1 << 18), policies=[Quarantine(blocks=100_000)]) as pool:
        for _ in range(1000):
            pool.free(pool.alloc(1500))
        assert pool.check() is None


@pytest.mark.parametrize("nth", [1, 2, 7])
def test_faults_refuse_exactly_the_nth_request(nth: int) -> None:
    with Pool(policies=[Faults(nth=nth)]) as pool:
        answers = [pool.try_alloc(100) for _ in range(20)]
        assert [i + 1 for i, address in enumerate(answers) if not address] == [nth]


def test_faults_refuse_exactly_a_window() -> None:
    with Pool(policies=[Faults(window=(3, 6))]) as pool:
        answers = [bool(pool.try_alloc(100)) for _ in range(8)]
        assert answers == [True, True, False, False, False, True, True, True]


def test_faults_with_a_rate_repeat_by_their_seed() -> None:
    def refused(seed: int) -> list[bool]:
        with Pool(policies=[Faults(rate=0.3, seed=seed)]) as pool:
            return [pool.try_alloc(100) == 0 for _ in range(500)]

    assert refused(1) == refused(1) != refused(2)
    assert 100 < sum(refused(1)) < 200


def test_low_memory_is_asked_once_and_the_request_succeeds_after_it_freed() -> None:
    asked: list[int] = []

    def give_back(size: int) -> None:
        asked.append(size)
        pool.free(kept.pop())

    with Pool(limit_blocks=3, policies=[LowMemory(give_back)]) as pool:
        kept = [pool.alloc(100) for _ in range(3)]
        assert pool.alloc(77)
        assert asked == [77]


def test_low_memory_that_frees_nothing_leaves_the_refusal() -> None:
    asked: list[int] = []
    with Pool(limit_blocks=1, policies=[LowMemory(asked.append)]) as pool:
        pool.alloc(1)
        with pytest.raises(PoolExhausted):
            pool.alloc(55)
        assert asked == [55]


def test_events_keep_the_order_and_the_last_when_the_ring_wraps() -> None:
    with Pool(policies=[Events(capacity=8)]) as pool:
        blocks = [pool.alloc(100 + i) for i in range(3)]
        pool.free(blocks[1])
        pool.try_free(blocks[1])
        events = pool.events()
        assert [event.address for event in events] == [*blocks, blocks[1], blocks[1]]
        assert [event.sequence for event in events] == sorted(event.sequence for event in events)
        for i in range(20):
            pool.free(pool.alloc(i))
        events = pool.events()
        assert len(events) == 8
        assert [event.sequence for event in events] == list(range(events[0].sequence, events[0].sequence + 8))
        assert [event.size for event in events if event.kind == events[0].kind] == [16, 17, 18, 19]


def test_fill_marks_new_and_freed_memory_and_sees_a_write_after_free() -> None:
    with Pool(sizes=256, policies=[Fill(alloc=0xAB, free=0xEF)]) as pool:
        block = pool.alloc(256)
        assert ctypes.string_at(block, 256) == b"\xab" * 256
        pool.free(block)
        assert ctypes.string_at(block, 256) == b"\xef" * 256
        ctypes.memset(block + 100, 1, 1)
        assert block not in [pool.alloc(256) for _ in range(300)]


@pytest.mark.parametrize("sizes", [None, 256, [64, 256]], ids=["default classes", "one class", "two classes"])
@pytest.mark.parametrize("size", [0, 16, 64, 256, 4096, 65_536, 1 << 17])
def test_fill_sees_the_first_byte_past_a_block_that_fills_its_class(sizes: object, size: int) -> None:
    with Pool(sizes=sizes, policies=[Fill()]) as pool:
        good, bad = pool.alloc(size), pool.alloc(size)
        ctypes.memset(good, 1, size)
        ctypes.memset(bad, 1, size + 1)
        assert pool.try_free(bad) == Verdict.CORRUPT
        assert pool.try_free(good) == Verdict.LIVE
        assert pool.check() is None


def test_a_filled_pool_of_one_class_serves_it_from_slabs() -> None:
    with Pool(sizes=256, policies=[Fill()]) as pool:
        blocks = [pool.alloc(256) for _ in range(100)]
        assert {pool.block_at(block).capacity for block in blocks} == {272}


def test_largest_bytes_of_a_filled_pool_can_be_had() -> None:
    with Pool(memory=bytearray(1 << 20), policies=[Fill()]) as pool:
        assert pool.block_at(pool.alloc(pool.stats().largest_bytes)) is not None


def test_fill_sees_a_write_past_the_requested_size() -> None:
    with Pool(sizes=256, policies=[Fill()]) as pool:
        block = pool.alloc(200)
        ctypes.memset(block + 200, 1, 1)
        assert pool.try_free(block) == Verdict.CORRUPT
