"""What poolcore publishes to a module that hands out Buffers of its own accord."""

from __future__ import annotations

import gc
import sys

import pytest

import poolcore
from poolcore import AddressSpace, Fill, Pool, Verdict

from .conftest import HERE

MEMORY, LIMIT_BYTES, LIMIT_BLOCKS, CLOSED = 1, 2, 3, 4
POOLS = {
    "default": {},
    "limited": {"limit_blocks": 100},
    "filled": {"policies": (Fill(),)},
    "caller's memory": {"memory": bytearray(1 << 20)},
    "address space": {"memory": AddressSpace(1 << 20, 1 << 24)},
}


@pytest.fixture(scope="module")
def buffers(build):
    return build(HERE / "buffers.pyx")


@pytest.fixture(params=POOLS.values(), ids=POOLS.keys())
def pool(request):
    with Pool(on_drop="keep", **request.param) as pool:
        yield pool


@pytest.mark.parametrize("size", [0, 1, 1500, 70_000])
def test_a_buffer_is_taken_and_given_back(buffers, pool, size):
    buffer = buffers.take(pool, size)
    assert (type(buffer), len(buffer), buffer.pool) == (poolcore.Buffer, size, pool)
    assert buffers.addresses(buffer) == (buffer.address, buffer.address)
    address = buffer.address
    assert sys.getrefcount(buffer) == 2
    assert pool.stats().live_blocks == 1
    assert buffers.give(pool, buffer) == Verdict.LIVE
    assert buffers.addresses(buffer) == (0, address)
    assert buffers.give(pool, buffer) == Verdict.DOUBLE
    assert (pool.stats().live_blocks, pool.check()) == (0, None)


def test_an_address_is_taken_adopted_and_given_back(buffers, pool):
    address, _ = buffers.take_address(pool, 1500, 4096)
    assert address % 4096 == 0
    buffer = buffers.adopt(pool, address)
    assert (buffer.address, len(buffer)) == (address, 1500)
    assert buffers.adopt(pool, address) is None
    assert buffers.adopt(pool, address + 16) is None
    assert buffers.give_address(pool, address + 1) == Verdict.INTERIOR
    assert buffers.give_address(pool, address) == Verdict.LIVE
    assert not buffer.is_live
    assert buffers.give_address(pool, 0) == Verdict.NULL
    assert pool.check() is None


def test_a_buffer_of_another_pool_is_refused(buffers, pool):
    with Pool() as other:
        assert buffers.give(pool, other.get(10)) == Verdict.OTHER_POOL


def test_what_refuses_is_a_number_and_no_exception(buffers):
    pool = Pool(limit_blocks=2, limit_bytes=3000, memory=poolcore.Pages(1 << 20))
    assert buffers.take(pool, 1 << 63) == MEMORY
    assert buffers.take(pool, 2 << 20) == LIMIT_BYTES
    held = [buffers.take(pool, 10), buffers.take(pool, 10)]
    assert buffers.take(pool, 10) == LIMIT_BLOCKS
    assert buffers.take_address(pool, 10) == (0, LIMIT_BLOCKS)
    del held
    pool.close()
    assert buffers.take(pool, 10) == CLOSED
    assert buffers.take_address(pool, 10) == (0, CLOSED)
    with pytest.raises(ValueError, match="is closed"):
        buffers.is_native(pool)


def test_what_a_callback_raises_comes_through(buffers):
    def on_map(address, size):
        raise LookupError("no page")

    with Pool(memory=AddressSpace(1 << 20, 1 << 24, on_map=on_map)) as pool:
        with pytest.raises(LookupError, match="no page"):
            buffers.take(pool, 100)
        with pytest.raises(LookupError, match="no page"):
            buffers.take_address(pool, 100)
        assert pool.stats().live_blocks == 0


@pytest.mark.parametrize("by_address", [False, True])
def test_a_free_under_a_view_is_refused_or_deferred(buffers, by_address):
    with Pool() as pool:
        buffer = buffers.take(pool, 1500)
        address = buffer.address
        with memoryview(buffer) as view:
            def give(deferred):
                return buffers.give_address(pool, address, deferred) if by_address else buffers.give(
                    pool, buffer, deferred)

            assert give(False) == Verdict.EXPORTED
            assert buffer.is_live
            assert give(True) == Verdict.LIVE
            assert not buffer.is_live
            assert give(True) == Verdict.DOUBLE
            view[0] = 1
        assert (pool.stats().live_blocks, pool.check()) == (0, None)


def test_a_dropped_buffer_is_kept(buffers):
    with Pool(on_drop="keep") as pool:
        address = buffers.take(pool, 1500).address
        gc.collect()
        assert pool.stats().live_blocks == 1
        assert buffers.adopt(pool, address).address == address


def test_a_pool_is_told_only_when_it_is_shared(buffers):
    with Pool() as pool:
        buffers.give(pool, buffers.take(pool, 10))
        assert not buffers.is_native(pool)
        assert pool.stats().is_peak_exact
        buffers.share(pool)
        assert buffers.is_native(pool)


def test_counts_stay_exact(buffers):
    with Pool(on_drop="keep") as pool:
        held = [buffers.take(pool, 1500) for _ in range(1000)]
        for buffer in held[::2]:
            buffers.give(pool, buffer)
        stats = pool.stats()
        assert (stats.live_blocks, stats.peak_blocks, stats.peak_bytes) == (500, 1000, 1_500_000)
        assert pool.check() is None


def test_the_fast_halves_do_nearly_all(buffers):
    with Pool() as pool:
        good, misses = buffers.churn(pool, 1500, 10_000)
        assert (good, pool.stats().live_blocks, pool.check()) == (10_000, 0, None)
        assert misses < good // 5


def test_the_fast_free_leaves_what_it_does_not_know(buffers):
    with Pool() as pool:
        block, spare = pool.alloc(1500), pool.alloc(1500)
        for value in (0, 1, block + 16, 1 << 63):
            assert not buffers.free_fast(pool, value)
        assert buffers.free_fast(pool, block)
        assert not buffers.free_fast(pool, block)
        assert [found.address for found in pool.live()] == [spare]


def test_the_last_block_of_a_partial_slab_is_left_to_the_slow_half(buffers):
    with Pool(sizes=4096) as pool:
        slabs = [[pool.alloc(4096) for _ in range(16)] for _ in range(3)]
        first = slabs[0]
        results = [buffers.free_fast(pool, block) for block in first]
        assert results[0] is False          # a full slab has no fast owner
        assert buffers.free_fast(pool, first[0]) is False
        pool.free(first[0])
        left = [block for block, done in zip(first[1:], results[1:], strict=True) if not done]
        while len(left) > 1:
            assert buffers.free_fast(pool, left.pop())
        assert not buffers.free_fast(pool, left[0])
        pool.free(left[0])
        assert pool.check() is None
        assert pool.stats().live_blocks == 32
