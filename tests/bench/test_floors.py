"""The floors are real pools, and the loops notice an allocator that is none."""

import ctypes

import pytest

from pybuf.bench.ratios import _loops
from pybuf.bench.ratios.callees import callee
from pybuf.bench.ratios.jobs import two_processors

LIVE, DOUBLE, INTERIOR, FOREIGN = 0, 2, 3, 4
FREE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
ALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


@pytest.mark.parametrize("size", [1024, 1500, 1536, 3000, 4096, 65536])
@pytest.mark.parametrize("name", ["F1", "F3"])
def test_blocks_of_a_floor_do_not_overlap(name, size):
    _loops.verify(_loops.floor(name, size), 500, size, size)


def test_validated_floor_refuses_every_address_that_is_no_live_block():
    floor = _loops.floor("F3", 1500)
    alloc, free, pool = ALLOC(floor.addresses[0]), FREE(floor.addresses[1]), floor.addresses[2]
    blocks = [alloc(pool, 1500) for _ in range(100)]
    for block in blocks:
        assert [free(pool, block + offset) for offset in (1, 8, 16, 1503)] == [INTERIOR] * 4
    assert [free(pool, address) for address in (None, 1, 1 << 63, id(blocks))] == [FOREIGN] * 4
    assert [free(pool, block) for block in blocks] == [LIVE] * 100
    assert [free(pool, block) for block in blocks] == [DOUBLE] * 100


def test_validated_floor_has_an_end():
    floor = _loops.floor("F3", 65536, capacity_bytes=3 << 16)
    alloc, pool = ALLOC(floor.addresses[0]), floor.addresses[2]
    assert [bool(alloc(pool, 65536)) for _ in range(4)] == [True, True, True, False]
    assert alloc(pool, 65537) is None


def shared_block():
    """An allocator that answers the same block every time."""
    memory = ctypes.create_string_buffer(4096)
    alloc = ALLOC(lambda pool, size: ctypes.addressof(memory))
    free = FREE(lambda pool, block: LIVE)
    addresses = [ctypes.cast(function, ctypes.c_void_p).value for function in (alloc, free)]
    return _loops.Callee("shared", *addresses, pool=1, owner=(memory, alloc, free))


def refusing(verdict):
    """glibc's blocks, and a free that answers `verdict`."""
    malloc = ctypes.CDLL(None).malloc
    malloc.restype = ctypes.c_void_p
    alloc = ALLOC(lambda pool, size: malloc(ctypes.c_size_t(size)))
    free = FREE(lambda pool, block: verdict)
    addresses = [ctypes.cast(function, ctypes.c_void_p).value for function in (alloc, free)]
    return _loops.Callee("refusing", *addresses, pool=1, owner=(alloc, free))


def test_overlapping_blocks_are_noticed():
    with pytest.raises(RuntimeError, match="was overwritten"):
        _loops.verify(shared_block(), 2, 16, 16)


@pytest.mark.parametrize("verdict", [1, 2, 7])
def test_a_refused_free_is_noticed_by_every_loop(verdict):
    target = refusing(verdict)
    with pytest.raises(RuntimeError):
        _loops.Pair(target, 16, 0)
    blocks = _loops.Blocks(target, 4)
    blocks.draw(16, 16, 4, 1)
    blocks.fill()
    with pytest.raises(RuntimeError):
        blocks.run()
    with pytest.raises(RuntimeError):
        blocks.drain()


def test_exhaustion_ends_a_loop_with_an_error():
    floor = _loops.floor("F3", 65536, capacity_bytes=1 << 16)
    blocks = _loops.Blocks(floor, 2)
    blocks.draw_batch(65536, 1)
    with pytest.raises(MemoryError):
        _loops.Pair(floor, 65536, 2)
    with pytest.raises(RuntimeError, match="no block was left"):
        blocks.run_batch(1)


@pytest.mark.parametrize("name", ["glibc", "F3"])
def test_live_bytes_follow_what_is_replaced(name):
    blocks = _loops.Blocks(callee(name, 1500), 100, 300)
    blocks.draw(1500, 1500, 100, 1)
    blocks.fill(whole=True)
    assert blocks.live_bytes == 150_000
    blocks.draw(16, 16, 300, 2)
    blocks.run()
    assert 1600 <= blocks.live_bytes < 150_000
    blocks.verify()
    blocks.drain(keep=10)
    blocks.drain()
    assert blocks.live_bytes == 0


def test_threads_and_a_handoff_return_every_block():
    target = callee("glibc", 1500)
    assert _loops.run_threads([target] * 4, 1500, 1000, two_processors())[0] > 0
    assert _loops.run_handoff(target, 1500, 5000, two_processors())[0] > 0
    assert _loops.run_first(target, 1500, two_processors()[0])[0] > 0
