"""A restore from inside and from beside: what callbacks and other threads find, what is left of one that fails."""

from __future__ import annotations

import ctypes
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from poolcore import AddressSpace, Events, FreeError, LowMemory, Pool, PoolExhausted, Quarantine, Verdict

BASE, SIZE, GRANULE = 1 << 40, 1 << 28, 1 << 16
LONG = 70 * GRANULE         # a run of its own mapping
RUNS = (3 * GRANULE, LONG, GRANULE + 1, 2 * GRANULE, LONG, 100)


class Guest:
    """An address-space pool and what its callbacks have mapped, page by page."""

    def __init__(self, **arguments: Any) -> None:
        self.pages: set[int] = set()
        self.calls: list[tuple[str, int, int]] = []
        self.inside: Callable[[str, int], object] | None = None
        self.failed: list[BaseException] = []       # in on_unmap, where nobody catches it
        self.pool = Pool(memory=AddressSpace(BASE, SIZE, self.on_map, self.on_unmap), **arguments)

    def on_map(self, address: int, size: int) -> None:
        self._call("map", address, size)
        pages = set(range(address, address + size, 4096))
        assert not pages & self.pages, f"{address:#x} + {size:#x} is mapped twice"
        self.pages |= pages

    def on_unmap(self, address: int, size: int) -> None:
        pages = set(range(address, address + size, 4096))
        try:
            assert pages <= self.pages, f"{address:#x} + {size:#x} was not mapped"
            self.pages -= pages
            self._call("unmap", address, size)
        except BaseException as error:
            self.failed.append(error)

    def _call(self, kind: str, address: int, size: int) -> None:
        self.calls.append((kind, address, size))
        if self.inside is not None:
            self.inside(kind, len(self.calls))

    def restore(self, snapshot: Any, inside: Callable[[str, int], object] | None = None) -> None:
        """With each callback calling `inside` first, with "map" or "unmap" and the how many-th it is."""
        self.calls.clear()
        self.inside = inside
        try:
            self.pool.restore(snapshot)
        finally:
            self.inside = None
            for error in self.failed:
                raise error

    def holds(self, address: int, size: int) -> bool:
        return all(page in self.pages for page in range(address & ~4095, address + size, 4096))

    def addresses(self) -> list[int]:
        return [block.address for block in self.pool.live()]

    def assert_whole(self) -> None:
        assert self.pool.check() is None
        assert all(self.holds(block.address, block.capacity) for block in self.pool.live())


def apart(**arguments: Any) -> tuple[Guest, bytes, list[int]]:
    """A pool that must map and unmap several extents to come to the snapshot, and the snapshot's blocks."""
    guest = Guest(**arguments)
    pool = guest.pool
    kept = [pool.alloc(size) for size in RUNS for _ in range(2)]
    pool.free_many(kept[::2])
    pool.trim()
    saved, blocks = pool.snapshot(), guest.addresses()
    pool.free_many(kept[1::2])
    pool.trim()
    others = [pool.alloc(size + 5000) for size in reversed(RUNS) for _ in range(2)]
    pool.free_many(others[::2])
    pool.trim()
    return guest, saved, blocks


@pytest.fixture(params=[(), (Quarantine(blocks=3),)], ids=["plain", "quarantine"])
def policies(request: pytest.FixtureRequest) -> Any:
    return request.param


def run_beside(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def answered_beside(call: Callable[[], Any]) -> Any:
    """What another thread is answered now, while the caller waits."""
    answers: list[Any] = []
    thread = run_beside(lambda: answers.append(call()))
    thread.join(20)
    assert answers, "the call waits for what cannot come"
    return answers[0]


def test_a_restore_maps_before_it_unmaps(policies: Any) -> None:
    guest, saved, blocks = apart(policies=policies)
    guest.restore(saved)
    kinds = [kind for kind, _, _ in guest.calls]
    assert kinds.count("map") > 1 and kinds.count("unmap") > 1
    assert kinds == sorted(kinds)
    assert guest.addresses() == blocks
    guest.assert_whole()
    assert guest.pool.snapshot() == saved
    guest.pool.close()
    assert not guest.pages


def test_a_restore_to_the_present_calls_nobody(policies: Any) -> None:
    guest, _, _ = apart(policies=policies)
    guest.restore(guest.pool.snapshot())
    assert guest.calls == []
    guest.assert_whole()


def test_a_refused_extent_leaves_the_pool_as_it_was(policies: Any) -> None:
    guest, saved, blocks = apart(policies=policies)
    buffer = guest.pool.get(100)
    before, pages = guest.pool.snapshot(), set(guest.pages)
    for refused in range(1, 100):
        def refuse(kind: str, nth: int, refused: int = refused) -> None:
            if nth == refused and kind == "map":
                raise ZeroDivisionError

        try:
            guest.restore(saved, refuse)
        except ZeroDivisionError:
            assert guest.pool.snapshot() == before
            assert guest.pages == pages
            assert buffer.is_live
            guest.assert_whole()
        else:
            break
    assert refused > 2
    assert not buffer.is_live
    assert guest.addresses() == blocks


def test_callbacks_find_the_pool_as_it_was_and_then_as_it_is() -> None:
    guest, saved, blocks = apart()
    pool = guest.pool
    before, was = pool.snapshot(), guest.addresses()
    found = []

    def look(kind: str, nth: int) -> None:
        found.append((kind, guest.addresses(), pool.snapshot(), pool.stats().live_blocks, pool.check(), pool.trim()))
        assert all(guest.holds(block.address, block.capacity) for block in pool.live())

    guest.restore(saved, look)
    assert {kind for kind, *_ in found} == {"map", "unmap"}
    for kind, addresses, snapshot, count, broken, trimmed in found:
        old = kind == "map"
        assert addresses == (was if old else blocks)
        assert snapshot == (before if old else saved)
        assert (count, broken, trimmed) == (len(was if old else blocks), None, 0)


def test_callbacks_may_neither_request_nor_close_nor_restore() -> None:
    guest, saved, blocks = apart()
    pool = guest.pool
    refused = []

    def try_all(kind: str, nth: int) -> None:
        live = guest.addresses()[0]
        for call in (lambda: pool.alloc(10), lambda: pool.get(10), lambda: pool.alloc_many(10, 2),
                     lambda: pool.get_many(10, 2), lambda: pool.realloc(live, 1 << 20), lambda: pool.restore(saved),
                     pool.close):
            with pytest.raises(RuntimeError):
                call()
            refused.append(kind)

    guest.restore(saved, try_all)
    assert set(refused) == {"map", "unmap"}
    assert guest.addresses() == blocks
    guest.assert_whole()


def test_what_is_freed_before_the_moment_of_the_restore_is_live_again() -> None:
    guest = Guest()
    pool = guest.pool
    kept, long = pool.alloc(100), pool.alloc(LONG)
    gone = pool.alloc(2 * GRANULE)
    saved = pool.snapshot()
    pool.free(gone)
    pool.trim()
    verdicts = []
    guest.restore(saved, lambda kind, nth: verdicts.extend(map(pool.try_free, (kept, long, kept))))
    assert [kind for kind, _, _ in guest.calls] == ["map"]
    assert verdicts == [Verdict.LIVE, Verdict.LIVE, Verdict.DOUBLE]
    assert guest.addresses() == sorted([kept, long, gone])
    guest.assert_whole()


def test_what_is_freed_after_it_stays_freed_and_is_unmapped() -> None:
    guest = Guest()
    pool = guest.pool
    kept, long = pool.alloc(100), pool.alloc(LONG)
    saved = pool.snapshot()
    pool.alloc(3 * GRANULE)
    verdicts = []

    def free(kind: str, nth: int) -> None:
        if not verdicts:
            verdicts.append(pool.try_free(long))

    guest.restore(saved, free)
    assert verdicts == [Verdict.LIVE]
    assert guest.addresses() == [kept]
    assert not guest.holds(long, 1)
    guest.assert_whole()


def test_what_is_freed_during_a_restore_that_fails_stays_freed(policies: Any) -> None:
    guest, saved, _ = apart(policies=policies)
    pool = guest.pool
    was = guest.addresses()

    def free_and_refuse(kind: str, nth: int) -> None:
        if kind == "map" and nth == 2:
            pool.free_many(was)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guest.restore(saved, free_and_refuse)
    assert guest.addresses() == []
    guest.assert_whole()
    pool.free_many(pool.alloc_many(LONG, 2))
    pool.close()
    assert not guest.pages


def test_other_threads_are_answered_meanwhile_and_their_requests_wait() -> None:
    guest, saved, blocks = apart()
    pool = guest.pool
    was = guest.addresses()
    kept = pool.alloc(100)
    waiting: list[threading.Thread] = []
    done: list[str] = []
    wished = {"alloc": lambda: pool.alloc(100), "get": lambda: pool.get(LONG).is_live, "trim": pool.trim,
              "alloc_many": lambda: pool.alloc_many(10, 10), "get_many": lambda: pool.get_many(10, 10),
              "realloc": lambda: pool.realloc(blocks[0], 1 << 20)}

    def start(name: str) -> None:
        assert wished[name]() is not None
        done.append(name)

    def close_is_refused() -> bool:
        with pytest.raises(RuntimeError, match="cannot be closed"):
            pool.close(force=True)
        return True

    def beside(kind: str, nth: int) -> None:
        if nth > 1:
            return
        assert answered_beside(lambda: sorted(guest.addresses())) == sorted([*was, kept])
        assert answered_beside(lambda: pool.stats().live_blocks) == len(was) + 1
        assert answered_beside(pool.check) is None
        assert answered_beside(lambda: pool.block_at(kept).size) == 100
        assert answered_beside(lambda: pool.explain(kept)).startswith("LIVE")
        assert answered_beside(lambda: [pool.try_free(kept), pool.try_free(kept)]) == [Verdict.LIVE, Verdict.DOUBLE]
        assert answered_beside(lambda: len(pool.snapshot())) > 0
        assert answered_beside(close_is_refused)
        waiting.extend(run_beside(lambda name=name: start(name)) for name in wished)
        time.sleep(0.1)
        assert done == []

    guest.restore(saved, beside)
    for thread in waiting:
        thread.join(20)
    assert sorted(done) == sorted(wished)
    assert set(guest.addresses()) >= set(blocks[1:])
    guest.assert_whole()


def test_two_restores_come_one_after_the_other() -> None:
    guest, saved, _ = apart()
    pool = guest.pool
    now, was = pool.snapshot(), guest.addresses()
    others: list[threading.Thread] = []

    def restore_too(kind: str, nth: int) -> None:
        if not others:
            others.append(run_beside(lambda: pool.restore(now)))
            time.sleep(0.05)

    guest.restore(saved, restore_too)
    others[0].join(20)
    assert guest.addresses() == was
    assert pool.snapshot() == now
    guest.assert_whole()


def test_a_restore_waits_for_another_threads_callback() -> None:
    guest, saved, blocks = apart()
    entered, left = threading.Event(), threading.Event()

    def stay(kind: str, nth: int) -> None:
        guest.inside = None
        entered.set()
        left.wait(20)

    guest.inside = stay
    addresses: list[int] = []
    requesting = run_beside(lambda: addresses.append(guest.pool.alloc(LONG)))
    assert entered.wait(20)
    restoring = run_beside(lambda: guest.pool.restore(saved))
    time.sleep(0.05)
    assert guest.pool.check() is None
    assert guest.addresses() != blocks
    left.set()
    requesting.join(20)
    restoring.join(20)
    assert addresses
    assert guest.addresses() == blocks
    guest.assert_whole()


@pytest.mark.parametrize("door", ["realloc", "alloc_many"])
def test_a_restore_waits_for_a_call_whose_callback_makes_requests(door: str) -> None:
    """The callback's own requests do not wait for the restore, which waits for the callback's call."""
    entered, left = threading.Event(), threading.Event()
    own: list[int] = []

    def low() -> None:
        if not own:
            pool.free(first)
            entered.set()
            left.wait(20)
            own.append(pool.alloc(100))

    with Pool(memory=AddressSpace(BASE, SIZE), limit_blocks=3, policies=[LowMemory(low)]) as pool:
        first, second, _ = pool.alloc(5000), pool.alloc(100), pool.alloc(100)
        saved = pool.snapshot()
        answers: list[Any] = []

        def call() -> None:
            try:
                answers.append(pool.realloc(second, 5000) if door == "realloc" else pool.alloc_many(100, 1))
            except PoolExhausted as error:
                answers.append(error)

        calling = run_beside(call)
        assert entered.wait(20)
        restoring = run_beside(lambda: pool.restore(saved))
        time.sleep(0.05)
        assert pool.stats().live_blocks == 2
        left.set()
        calling.join(20)
        restoring.join(20)
        assert own and answers
        assert pool.snapshot() == saved
        assert pool.check() is None


def test_a_request_from_c_is_refused_at_once_and_a_free_is_answered() -> None:
    """With the GIL held: a call that waited would keep the restore's next callback from running."""
    guest, saved, blocks = apart()
    c = guest.pool.c_functions()
    alloc = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(c.alloc)
    free = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(c.free)
    was = guest.addresses()[0]
    answers = []
    guest.restore(saved, lambda kind, nth: answers.append(answered_beside(
        lambda: (alloc(c.pool, 100), free(c.pool, was + 1 if kind == "map" else blocks[0] + 1)))))
    assert set(answers) == {(None, int(Verdict.INTERIOR))}
    assert alloc(c.pool, 100)


def test_a_snapshot_from_a_callback_inside_another_pools_is_refused() -> None:
    pools: list[Pool] = []
    refused: list[str] = []

    def outer(address: int, size: int) -> None:
        pools[1].alloc(100)

    def inner(address: int, size: int) -> None:
        with pytest.raises(RuntimeError, match="half a step"):
            pools[0].snapshot()
        refused.append("snapshot")
        with pytest.raises(RuntimeError, match="inside"):
            pools[0].restore(saved)
        refused.append("restore")

    pools += [Pool(memory=AddressSpace(1 << 40, 1 << 24, outer)), Pool(memory=AddressSpace(1 << 32, 1 << 24, inner))]
    saved = pools[0].snapshot()
    pools[0].alloc(100)
    assert refused == ["snapshot", "restore"]
    assert [pool.check() for pool in pools] == [None, None]


def test_a_request_from_a_callback_inside_another_pools_is_answered_though_a_restore_waits() -> None:
    """The restore waits for the call that led there."""
    answers: list[object] = []
    restoring: list[threading.Thread] = []

    def outer() -> bool:
        with pytest.raises(PoolExhausted):
            second.alloc_many(100, 2)
        return False

    def inner() -> bool:
        if not restoring:
            restoring.append(threading.Thread(target=first.restore, args=(saved,)))
            restoring[0].start()
            time.sleep(0.05)
            answers.append(first.try_get(1) is not None)
        return False

    second = Pool(memory=AddressSpace(1 << 32, 1 << 24), limit_bytes=10, policies=[LowMemory(inner)])
    first = Pool(memory=AddressSpace(1 << 40, 1 << 24), limit_bytes=10, policies=[LowMemory(outer)])
    saved = first.snapshot()
    with pytest.raises(PoolExhausted):
        first.alloc_many(100, 2)
    restoring[0].join()
    assert answers == [True]


def test_a_snapshot_shows_no_half_of_a_request() -> None:
    """An allocation whose on_map has not come back has granules that no block stands for yet."""
    guest = Guest()
    pool = guest.pool
    waiting = []

    def snap(kind: str, nth: int) -> None:
        with pytest.raises(RuntimeError, match="half a step"):
            pool.snapshot()
        waiting.append(run_beside(lambda: taken.append(pool.snapshot())))
        time.sleep(0.05)
        assert not taken

    for size in (100, LONG):
        taken: list[bytes] = []
        guest.inside = snap
        pool.alloc(size)
        guest.inside = None
        waiting.pop().join(20)
        pool.restore(taken[0])
        guest.assert_whole()


def test_a_snapshot_that_is_being_written_to_is_read_once() -> None:
    guest, saved, blocks = apart()
    written = bytearray(saved)

    def write(kind: str, nth: int) -> None:
        written[:] = bytes(len(written))

    guest.restore(written, write)
    assert guest.addresses() == blocks
    guest.assert_whole()


@pytest.mark.parametrize("is_mapped", [True, False], ids=["slow callbacks", "no callbacks"])
def test_threads_that_call_all_the_time_never_meet_half_a_restore(is_mapped: bool) -> None:
    guest, saved, blocks = apart()
    pool = guest.pool if is_mapped else Pool(memory=AddressSpace(BASE, SIZE))
    if not is_mapped:
        kept = [pool.alloc(size) for size in RUNS]
        saved, blocks = pool.snapshot(), sorted(kept)
    guest.inside = lambda kind, nth: time.sleep(0.0005)
    is_over = False
    errors: list[BaseException] = []

    def call_all(rng: random.Random) -> None:
        size = rng.choice((0, 100, 1500, GRANULE + 1, LONG))
        address = pool.alloc(size)
        assert pool.check() is None
        for block in pool.live():
            assert block.capacity >= block.size
        pool.explain(address)
        with pool.get(size) as buffer:
            assert len(buffer) == size
        pool.try_free(pool.realloc(address, size + 3000) if rng.random() < 0.1 else address)
        pool.free_many(pool.alloc_many(100, 5)) if rng.random() < 0.1 else pool.trim()
        assert pool.stats().live_blocks >= 0

    def hammer(seed: int) -> None:
        rng = random.Random(seed)
        while not is_over:
            try:
                call_all(rng)
            except (FreeError, ValueError):
                pass        # a restore came between: the block, or the Buffer, is gone
            except BaseException as error:
                errors.append(error)
                break

    threads = [run_beside(lambda seed=seed: hammer(seed)) for seed in range(3)]
    restored = 0
    end = time.monotonic() + 1
    while time.monotonic() < end and not errors:
        pool.restore(saved)
        restored += 1
    is_over = True
    for thread in threads:
        thread.join(20)
    guest.inside = None
    assert not errors + guest.failed
    assert restored > 5
    assert pool.check() is None
    pool.restore(saved)
    assert sorted(block.address for block in pool.live()) == blocks
    assert pool.check() is None
    if is_mapped:
        guest.assert_whole()
    pool.close()
    assert not is_mapped or not guest.pages


def test_a_snapshot_with_more_live_than_the_limits_allow_is_refused() -> None:
    with Pool(memory=AddressSpace(BASE, SIZE)) as full:
        full.alloc_many(100, 3)
        snapshot = full.snapshot()
    for limits in ({"limit_blocks": 2}, {"limit_bytes": 299}):
        with Pool(memory=AddressSpace(BASE, SIZE), **limits) as pool:
            with pytest.raises(ValueError, match="limits"):
                pool.restore(snapshot)
            assert pool.stats().live_blocks == 0
            assert pool.check() is None


def test_a_fresh_pool_has_no_events_of_its_snapshot() -> None:
    with Pool(memory=AddressSpace(BASE, SIZE), policies=[Events()]) as pool:
        pool.alloc(100)
        snapshot = pool.snapshot()
    with Pool(memory=AddressSpace(BASE, SIZE), policies=[Events()]) as pool:
        pool.restore(snapshot)
        pool.alloc(200)
        assert [(event.sequence, event.size) for event in pool.events()] == [(2, 200)]


def test_records_inside_a_long_run_are_forgotten() -> None:
    with Pool(memory=AddressSpace(BASE, SIZE)) as pool:
        empty = pool.snapshot()
        pool.free_many(pool.alloc_many(100, 5 * GRANULE // 100))
        pool.trim()
        pool.alloc(LONG)        # over the granules of those slabs
        pool.restore(empty)
        blocks = pool.alloc_many(1500, 20) + pool.alloc_many(100, 5 * GRANULE // 100)
        assert pool.check() is None
        pool.free_many(blocks)
        assert pool.check() is None
