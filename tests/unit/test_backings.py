"""The caller's memory, pools inside pools, and address space without memory."""

import mmap
import sys

import pytest

from poolcore import AddressSpace, Pages, Pool, PoolExhausted, Quarantine, Verdict

BASE = 0x10000000


def test_blocks_come_from_the_callers_bytearray():
    memory = bytearray(1 << 20)
    pool = Pool(memory=memory)
    buffer = pool.get(6)
    buffer[:] = b"marker"
    assert memory.count(b"marker") == 1
    with pytest.raises(BufferError):
        memory.append(0)
    pool.close()
    memory.append(0)


def test_the_callers_memory_stays_exported_until_the_last_view():
    memory = bytearray(1 << 20)
    pool = Pool(memory=memory)
    view = memoryview(pool.get(100))
    pool.close(force=True)
    view[0] = 1
    with pytest.raises(BufferError):
        memory.append(0)
    view.release()
    memory.append(0)


def test_an_mmap_serves_and_is_used_up():
    with mmap.mmap(-1, 1 << 18) as memory:
        with Pool(memory=memory) as pool:
            kept = []
            while (buffer := pool.try_get(5000)) is not None:
                kept.append(buffer)
            assert 20 < len(kept) <= (1 << 18) // 5000
            with pytest.raises(PoolExhausted, match="address range"):
                pool.get(5000)
            assert pool.check() is None
            kept.pop().free()
            assert pool.get(5000)
            del buffer, kept
        memory.resize(1 << 19)


def test_a_pool_inside_a_buffer_of_another():
    with Pool(name="outer") as outer:
        memory = outer.get(1 << 20)
        inner = Pool(memory=memory, name="inner")
        buffer = inner.get(100)
        assert memory.address <= buffer.address < memory.address + len(memory)
        assert outer.try_free(buffer) is Verdict.OTHER_POOL
        with pytest.raises(BufferError):
            outer.free(memory)
        inner.close()
        outer.free(memory)


def test_dropping_an_inner_pool_releases_its_memory():
    with Pool() as outer:
        memory = outer.get(1 << 20)
        Pool(memory=memory).get(10)
        memory.free()


def test_pages_reserve_is_all_there_is():
    with Pool(memory=Pages(reserve=1 << 20)) as pool:
        assert pool.stats().reserved_bytes == 1 << 20
        with pytest.raises(PoolExhausted) as caught:
            pool.get(1 << 21)
        assert caught.value.largest_bytes <= 1 << 20
        assert pool.get(caught.value.largest_bytes)


def test_addresses_are_in_the_callers_range_and_repeat():
    def addresses():
        with Pool(memory=AddressSpace(BASE, 1 << 24)) as pool:
            first = [pool.alloc(size) for size in (10, 1500, 70000, 10)]
            pool.free(first[1])
            return [*first, pool.alloc(1500)]

    assert all(BASE <= address < BASE + (1 << 24) for address in addresses())
    assert addresses() == addresses()


def test_a_guest_range_may_be_the_largest():
    with Pool(memory=AddressSpace(4096, 1 << 47)) as pool:
        assert pool.alloc(100) >= 4096
        assert pool.alloc(1 << 40)


def test_an_address_has_no_bytes():
    with Pool(memory=AddressSpace(BASE, 1 << 20)) as pool:
        buffer = pool.get(100)
        assert (len(buffer), buffer.address >= BASE) == (100, True)
        for access in (
            lambda: memoryview(buffer),
            lambda: buffer[0],
            lambda: buffer[:1],
            lambda: buffer.__setitem__(0, 1),
            lambda: bytes(buffer),
        ):
            with pytest.raises(BufferError, match="address space only"):
                access()
        buffer.free()
        with pytest.raises(ValueError, match="freed"):
            memoryview(buffer)


def test_callbacks_bracket_what_is_used():
    mapped = {}
    with Pool(memory=AddressSpace(BASE, 1 << 24, on_map=mapped.__setitem__, on_unmap=lambda at, size: None)) as pool:
        for size in (10, 1500, 70000, 1 << 20):
            address = pool.alloc(size)
            assert any(at <= address and address + size <= at + bytes_ for at, bytes_ in mapped.items())


def test_what_is_mapped_is_unmapped_by_close():
    pages = set()

    def on_map(address, size):
        fresh = set(range(address, address + size, 4096))
        assert not pages & fresh
        pages.update(fresh)

    def on_unmap(address, size):
        gone = set(range(address, address + size, 4096))
        assert gone <= pages
        pages.difference_update(gone)

    with Pool(memory=AddressSpace(BASE, 1 << 24, on_map=on_map, on_unmap=on_unmap)) as pool:
        kept = [pool.alloc(size) for size in (10, 70000, 1500, 1 << 20)]
        assert pages
        pool.free_many(kept[1:])
        pool.trim()
    assert not pages


def test_on_copy_is_told_what_moves():
    copies = []
    with Pool(memory=AddressSpace(BASE, 1 << 24, on_copy=lambda *args: copies.append(args))) as pool:
        old = pool.alloc(100)
        new = pool.realloc(old, 5000)
        assert copies == [(new, old, 100)]


def test_an_exception_in_on_map_reaches_the_caller_and_refuses():
    def on_map(address, size):
        raise ZeroDivisionError

    with Pool(memory=AddressSpace(BASE, 1 << 20, on_map=on_map)) as pool:
        for request in (
            lambda: pool.get(10),
            lambda: pool.alloc(10),
            lambda: pool.get_many(10, 2),
            lambda: pool.alloc_many(10, 2),
        ):
            with pytest.raises(ZeroDivisionError):
                request()
        assert pool.stats().live_blocks == 0
        assert pool.check() is None


def test_an_exception_in_on_unmap_goes_to_the_hook(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: seen.append(told.exc_type))

    def on_unmap(address, size):
        raise ZeroDivisionError

    pool = Pool(memory=AddressSpace(BASE, 1 << 20, on_unmap=on_unmap))
    pool.free(pool.alloc(100000))
    pool.close()
    assert set(seen) == {ZeroDivisionError}


def test_a_request_inside_on_map_raises_runtime_error():
    raised = []

    def on_map(address, size):
        with pytest.raises(RuntimeError) as caught:
            pool.alloc(10)
        raised.append(caught.value)

    with Pool(memory=AddressSpace(BASE, 1 << 20, on_map=on_map)) as pool:
        pool.alloc(10)
        assert raised
        assert pool.check() is None


def test_callbacks_may_free_and_ask():
    told = []

    def on_map(address, size):
        told.append((pool.stats().live_blocks, pool.try_free(kept.pop()) if kept else None))

    with Pool(memory=AddressSpace(BASE, 1 << 22, on_map=on_map)) as pool:
        kept = []
        kept.append(pool.alloc(10))
        pool.alloc(300000)
        assert told[-1] == (1, Verdict.LIVE)
        assert pool.stats().live_blocks == 1
        assert pool.check() is None


def test_a_snapshot_brings_back_blocks_and_the_order_of_free_ones():
    with Pool(memory=AddressSpace(BASE, 1 << 24), policies=[Quarantine(blocks=4)]) as pool:
        kept = [pool.alloc(100, tag="keep") for _ in range(20)]
        pool.free_many(kept[::2])
        state = pool.snapshot()
        assert isinstance(state, bytes)
        expected = [pool.alloc(100) for _ in range(30)]
        buffer = pool.get(50)
        pool.restore(state)
        assert not buffer.is_live
        assert sorted(block.address for block in pool.live()) == sorted(kept[1::2])
        assert pool.block_at(kept[1]).tag == "keep"
        assert [pool.alloc(100) for _ in range(30)] == expected
        assert pool.check() is None


def test_restore_maps_and_unmaps_what_differs():
    mapped = set()

    def on_map(address, size):
        mapped.update(range(address, address + size, 4096))

    def on_unmap(address, size):
        mapped.difference_update(range(address, address + size, 4096))

    with Pool(memory=AddressSpace(BASE, 1 << 24, on_map=on_map, on_unmap=on_unmap)) as pool:
        pool.alloc(200000)
        before, state = set(mapped), pool.snapshot()
        pool.alloc(300000)
        assert mapped > before
        pool.restore(state)
        assert mapped == before


def test_what_is_no_snapshot_is_refused_and_changes_nothing():
    with Pool(memory=AddressSpace(BASE, 1 << 24)) as pool:
        pool.alloc(10)
        state = pool.snapshot()
        for bad in (b"", b"x" * 1000, state[:-1], state[: len(state) // 2], bytes(len(state))):
            with pytest.raises(ValueError, match="cannot be restored"):
                pool.restore(bad)
        with pytest.raises(TypeError):
            pool.restore("text")
        assert pool.stats().live_blocks == 1
        assert pool.check() is None


def test_snapshots_need_an_address_space():
    with Pool() as pool, pytest.raises(ValueError, match="AddressSpace"):
        pool.snapshot()
