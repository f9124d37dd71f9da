"""The Python edge: Pool and Buffer beside bytearray and beside methods that do nothing."""

import random

import pytest

import poolcore
from pybuf.bench.ratios._loops import NoOp

SIZE = 1500


@pytest.fixture
def pool():
    with poolcore.Pool() as made:
        neighbours = made.get_many(SIZE, 64)
        yield made
        assert made.check() is None
        assert made.stats().live_blocks == 64
        made.free_many(neighbours)


def test_no_op_methods(benchmark):
    no_op = NoOp()
    get, free = no_op.get, no_op.free
    benchmark(lambda: free(get(SIZE)))


def test_get_and_free(benchmark, pool):
    get, free = pool.get, pool.free
    benchmark(lambda: free(get(SIZE)))


def test_bytearray(benchmark):
    assert len(benchmark(bytearray, SIZE)) == SIZE


def test_get_view_release_and_free(benchmark, pool):
    get, free = pool.get, pool.free

    def viewed():
        block = get(SIZE)
        memoryview(block).release()
        free(block)

    benchmark(viewed)


def test_bytearray_view_and_release(benchmark):
    benchmark(lambda: memoryview(bytearray(SIZE)).release())


@pytest.mark.parametrize("kind", ["Buffer", "bytearray"])
def test_random_replacement_among_10000(benchmark, pool, kind):
    draw = random.Random(1)
    slots = [draw.randrange(10_000) for _ in range(10_000)]
    make, free = (pool.get, pool.free) if kind == "Buffer" else (bytearray, id)
    blocks = [make(SIZE) for _ in range(10_000)]

    def replace():
        for slot in slots:
            free(blocks[slot])
            blocks[slot] = block = make(SIZE)
            block[0] = slot & 255

    benchmark(replace)
    last = {slot: slot & 255 for slot in slots}
    assert all(blocks[slot][0] == value for slot, value in last.items())
    for block in blocks:
        free(block)


def test_buffers_by_256(benchmark, pool):
    benchmark(lambda: pool.free_many(pool.get_many(SIZE, 256)))


def test_bytearrays_by_256(benchmark):
    assert len(benchmark(lambda: [bytearray(SIZE) for _ in range(256)])) == 256


def test_addresses_by_256(benchmark, pool):
    benchmark(lambda: pool.free_many(pool.alloc_many(SIZE, 256)))


def test_create_and_close(benchmark):
    benchmark(lambda: poolcore.Pool().close())
