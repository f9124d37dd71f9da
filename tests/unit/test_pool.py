"""Pool: what every call answers on the pool's own pages."""

import ctypes
import json
import threading

import pytest

from poolcore import FreeError, Pool, PoolExhausted, Stats, Verdict


@pytest.fixture
def pool():
    with Pool(name="test") as made:
        yield made
        assert made.check() is None


@pytest.mark.parametrize("size", [0, 1, 16, 1500, 65536, 65537, 1 << 20])
def test_get_gives_exactly_the_bytes_asked_for(pool, size):
    buffer = pool.get(size)
    assert len(buffer) == buffer.size == memoryview(buffer).nbytes == size
    assert buffer.capacity >= size
    assert buffer.address != 0
    pool.free(buffer)
    assert pool.stats().live_blocks == 0


def test_blocks_do_not_overlap(pool):
    buffers = [pool.get(size) for size in (0, 1, 16, 17, 1500, 70000) for _ in range(20)]
    for number, buffer in enumerate(buffers):
        buffer[:] = bytes([number]) * len(buffer)
    for number, buffer in enumerate(buffers):
        assert buffer[:] == bytes([number]) * len(buffer)
    assert len({buffer.address for buffer in buffers}) == len(buffers)


@pytest.mark.parametrize("align", [1, 16, 64, 4096])
def test_align_divides_the_address(pool, align):
    assert all(pool.alloc(100, align=align) % align == 0 for _ in range(10))


def test_zero_clears_what_the_block_held(pool):
    buffer = pool.get(1000)
    buffer[:] = b"\xff" * 1000
    pool.free(buffer)
    assert bytes(pool.get(1000, zero=True)) == bytes(1000)


def test_tag_is_told_by_buffer_block_and_explain(pool):
    buffer = pool.get(10, tag="RasB")
    assert buffer.tag == "RasB"
    assert pool.block_at(buffer.address).tag == "RasB"
    assert "'RasB'" in pool.explain(buffer.address)
    assert pool.get(10).tag is None


def test_alloc_and_free_by_address(pool):
    address = pool.alloc(100)
    assert isinstance(address, int)
    pool.free(address)
    assert pool.try_free(address) is Verdict.DOUBLE


def test_try_free_answers_live_for_a_good_free(pool):
    assert pool.try_free(pool.get(10)) is Verdict.LIVE
    assert pool.try_free(pool.alloc(10)) == 0


def test_free_by_address_kills_the_buffer(pool):
    buffer = pool.get(10)
    pool.free(buffer.address)
    assert not buffer.is_live


def test_a_limit_in_bytes_is_exact():
    with Pool(limit_bytes=1000) as pool:
        first = pool.get(600)
        kept = pool.get_many(100, 4)
        assert pool.try_get(1) is None
        assert pool.try_alloc(1) == 0
        with pytest.raises(PoolExhausted, match="limit_bytes is 1000") as caught:
            pool.get(1)
        assert (caught.value.requested, caught.value.live_bytes) == (1, 1000)
        assert (caught.value.limit_bytes, caught.value.largest_bytes) == (1000, 0)
        pool.free(first)
        pool.free(kept[0])
        assert pool.try_get(701) is None
        assert pool.get(700)


def test_a_limit_in_blocks_is_exact():
    with Pool(limit_blocks=2) as pool:
        kept = [pool.get(1), pool.get(1)]
        with pytest.raises(PoolExhausted, match="limit_blocks is 2"):
            pool.get(1)
        kept.pop().free()
        assert pool.get(1)


def test_get_many_takes_all_or_none():
    with Pool(limit_blocks=10) as pool:
        with pytest.raises(PoolExhausted):
            pool.get_many(8, 11)
        assert pool.stats().live_blocks == 0
        with pytest.raises(PoolExhausted):
            pool.alloc_many(8, 11)
        assert pool.stats().live_blocks == 0
        assert len(pool.get_many(8, 10)) == 10


def test_alloc_many_answers_an_array_that_free_many_takes(pool):
    addresses = pool.alloc_many(100, 300)
    assert addresses.typecode == "Q"
    assert len(set(addresses)) == 300
    assert all(pool.block_at(address).state == "live" for address in addresses)
    pool.free_many(addresses)
    assert pool.stats().live_blocks == 0
    assert len(pool.alloc_many(100, 0)) == 0


def test_free_many_takes_numpy_addresses(pool):
    numpy = pytest.importorskip("numpy")
    pool.free_many(numpy.array(pool.alloc_many(64, 50), dtype=numpy.uint64))
    assert pool.stats().live_blocks == 0


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_free_many_frees_the_good_and_tells_the_bad_in_order(pool, kind):
    good = pool.get(10)
    dead = pool.get(10)
    dead.free()
    address = pool.alloc(10)
    with pytest.raises(FreeError) as caught:
        pool.free_many(kind([good, dead, address, 0, good]))
    names = [verdict.name for verdict in caught.value.verdicts]
    assert names == ["LIVE", "DOUBLE", "LIVE", "NULL", "DOUBLE"]
    assert caught.value.verdict is Verdict.DOUBLE
    assert pool.stats().live_blocks == 0


def test_free_many_of_good_buffers_then_a_bad_one(pool):
    buffers = pool.get_many(10, 5)
    with pytest.raises(FreeError) as caught:
        pool.free_many([*buffers, buffers[0]])
    assert [int(verdict) for verdict in caught.value.verdicts] == [0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize(("before", "after"), [(10, 5000), (5000, 10), (100, 101), (10, 200000), (200000, 300000)])
def test_realloc_keeps_the_bytes(pool, before, after):
    pattern = bytes(i % 251 for i in range(before))
    old = pool.get(before)
    old[:] = pattern
    new = pool.realloc(old, after)
    kept = min(before, after)
    assert len(new) == after
    assert new[:kept] == pattern[:kept]
    assert not old.is_live
    address = pool.realloc(pool.alloc(before), after)
    assert isinstance(address, int)
    assert pool.block_at(address).size == after


def test_realloc_that_is_refused_leaves_the_block(pool):
    with Pool(limit_bytes=100) as small:
        buffer = small.get(50)
        buffer[:] = b"x" * 50
        with pytest.raises(PoolExhausted):
            small.realloc(buffer, 101)
        assert buffer[:] == b"x" * 50


def test_block_at_answers_for_inside_and_freed_addresses(pool):
    address = pool.alloc(100, tag="abcd")
    block = pool.block_at(address + 50)
    assert (block.address, block.size, block.state, block.pool) == (address, 100, "live", pool)
    assert block == pool.block_at(address)
    pool.free(address)
    assert pool.block_at(address).state == "free"
    assert pool.block_at(0) is None
    assert pool.block_at(1 << 63) is None


def test_a_viewed_block_is_exported(pool):
    buffer = pool.get(10)
    with memoryview(buffer):
        assert pool.block_at(buffer.address).state == "exported"
    assert pool.block_at(buffer.address).state == "live"


def test_explain_names_the_verdict_for_any_value(pool):
    live, freed = pool.alloc(100), pool.alloc(100)
    pool.free(freed)
    buffer = pool.get(20)
    view = memoryview(buffer)
    with Pool(name="other") as other:
        addresses = {
            "LIVE": live,
            "NULL": 0,
            "DOUBLE": freed,
            "INTERIOR": live + 1,
            "FOREIGN": 1 << 63,
            "OTHER_POOL": other.alloc(10),
            "EXPORTED": buffer.address,
        }
        for verdict, address in addresses.items():
            sentence = pool.explain(address)
            assert verdict in sentence
            assert "\n" not in sentence
        assert "'other'" in pool.explain(addresses["OTHER_POOL"])
    view.release()


def test_live_iterates_in_order_of_addresses(pool):
    kept = {pool.alloc(size): size for size in (10, 10, 1500, 70000)}
    pool.free(pool.alloc(10))
    assert {block.address: block.size for block in pool.live()} == kept
    assert [block.address for block in pool.live()] == sorted(kept)


def test_live_survives_frees_and_close_meanwhile(pool):
    for _ in range(5):
        pool.alloc(10)
    for block in pool.live():
        pool.free(block.address)
    assert list(pool.live()) == []
    pool.alloc(10)
    iterator = pool.live()
    pool.close()
    assert list(iterator) == []


def test_stats_add_up(pool):
    buffers = [pool.get(size) for size in (0, 100, 1500, 70000)]
    stats = pool.stats()
    assert (stats.live_blocks, stats.live_bytes) == (4, 71600)
    assert stats.total_allocs - stats.total_frees == stats.live_blocks
    assert stats.capacity_bytes - stats.live_bytes == stats.internal_waste_bytes
    assert stats.peak_blocks >= 4
    assert stats.peak_bytes >= 71600
    assert stats.reserved_bytes >= stats.committed_bytes > stats.live_bytes
    assert sum(one.live_blocks for one in stats.classes) == 3
    assert json.loads(json.dumps(stats.as_dict()))["live_bytes"] == 71600
    assert stats == pool.stats()
    assert isinstance(stats, Stats)
    del buffers
    assert pool.stats().dropped_buffers == 4
    assert pool.stats().live_blocks == 0


def test_stats_are_frozen(pool):
    with pytest.raises(AttributeError):
        pool.stats().live_blocks = 0


def test_reset_peak_brings_the_peak_to_what_is_live():
    with Pool(limit_bytes=10000) as pool:
        pool.free(pool.alloc(5000))
        pool.alloc(100)
        assert (pool.stats().peak_bytes, pool.stats().is_peak_exact) == (5000, True)
        pool.reset_peak()
        assert pool.stats().peak_bytes == 100


def test_peaks_are_exact_while_only_python_calls(pool):
    blocks = [*pool.get_many(1000, 3), pool.get(70_000)]
    addresses = pool.alloc_many(10, 5)
    pool.free_many(addresses)
    pool.free_many(blocks)
    pool.realloc(pool.alloc(20), 40)
    with pytest.raises(PoolExhausted):
        pool.get(1 << 60)
    stats = pool.stats()
    assert (stats.live_blocks, stats.live_bytes) == (1, 40)
    assert (stats.peak_blocks, stats.peak_bytes, stats.is_peak_exact) == (9, 73_050, True)


def test_peaks_are_bounds_once_c_may_call(pool):
    pool.alloc(1000)
    pool.c_functions()
    block = pool.alloc(2000)
    pool.free(block)
    stats = pool.stats()
    assert not stats.is_peak_exact
    assert stats.peak_bytes >= 3000
    assert stats.live_bytes == 1000
    assert pool.check() is None


def test_trim_gives_pages_back(pool):
    pool.free_many(pool.alloc_many(1500, 2000))
    assert pool.trim() > 1 << 20
    assert pool.check() is None


def test_one_class_pool_has_one_class():
    with Pool(sizes=1500) as pool:
        assert [one.block_bytes for one in pool.stats().classes] == [1504]
        assert {pool.get(size).capacity for size in (0, 10, 1500)} == {1504}


def test_own_size_classes_are_used():
    with Pool(sizes=[100, 1000]) as pool:
        assert [one.block_bytes for one in pool.stats().classes] == [112, 1008]
        assert pool.get(113).capacity == 1008


def test_c_functions_serve_ctypes():
    functions = Pool(name="c").c_functions()
    void_p, size_t = ctypes.c_void_p, ctypes.c_size_t
    alloc = ctypes.CFUNCTYPE(void_p, void_p, size_t)(functions.alloc)
    free = ctypes.CFUNCTYPE(ctypes.c_int, void_p, void_p)(functions.free)
    realloc = ctypes.CFUNCTYPE(void_p, void_p, void_p, size_t)(functions.realloc)
    calloc = ctypes.CFUNCTYPE(void_p, void_p, size_t, size_t)(functions.calloc)
    aligned = ctypes.CFUNCTYPE(void_p, void_p, size_t, size_t)(functions.aligned)
    block = alloc(functions.pool, 10)
    ctypes.memset(block, 0x41, 10)
    block = realloc(functions.pool, block, 5000)
    assert ctypes.string_at(block, 10) == b"A" * 10
    assert free(functions.pool, block) == Verdict.LIVE
    assert free(functions.pool, block) == Verdict.DOUBLE
    assert ctypes.string_at(calloc(functions.pool, 10, 10), 100) == bytes(100)
    assert aligned(functions.pool, 4096, 10) % 4096 == 0


def test_c_code_frees_a_buffer_under_python():
    pool = Pool()
    functions = pool.c_functions()
    free = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(functions.free)
    buffer = pool.get(100)
    view = memoryview(buffer)
    assert free(functions.pool, buffer.address) == Verdict.EXPORTED
    view.release()
    assert free(functions.pool, buffer.address) == Verdict.LIVE
    with pytest.raises(ValueError, match="freed"):
        buffer[0]


def test_c_functions_of_a_closed_pool_answer_null_and_closed():
    pool = Pool()
    functions = pool.c_functions()
    pool.close()
    alloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(functions.alloc)
    free = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(functions.free)
    assert alloc(functions.pool, 10) is None
    assert free(functions.pool, 4096) == Verdict.CLOSED


def test_buffers_are_freed_by_other_threads(pool):
    buffers = pool.get_many(100, 1000)
    threads = [threading.Thread(target=pool.free_many, args=(buffers[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(buffer.is_live for buffer in buffers)
    assert pool.stats().live_blocks == 0


def test_repr_tells_name_and_state():
    pool = Pool(name="rx")
    pool.alloc(10)
    assert repr(pool) == "<Pool 'rx', 1 blocks of 10 bytes live>"
    pool.close()
    assert repr(pool) == "<Pool 'rx', closed>"
