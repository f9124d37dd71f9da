"""Code that runs in the middle of a call, by its arguments, by callbacks, by the collector or by other threads."""

import ctypes
import gc
import sys
import threading

import pytest

from poolcore import (
    AddressSpace,
    Block,
    DoubleFreeError,
    Events,
    ExportedBlockError,
    Fill,
    FreeError,
    Guard,
    LowMemory,
    Pool,
    PoolExhausted,
    Quarantine,
    Verdict,
)


@pytest.fixture
def hasty():
    """Threads change places as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_dropped_buffer_with_overwritten_slack_is_forgotten_by_its_block():
    memory = bytearray(1 << 18)
    pool = Pool(memory=memory, policies=[Fill()])
    buffer = pool.get(10)
    buffer[:] = b"0123456789"
    memory[memory.find(b"0123456789") + 10] = 0
    address = buffer.address
    del buffer
    assert pool.try_free(address) is Verdict.CORRUPT
    others = Pool()
    kept = others.get_many(100, 600)        # takes every spare Buffer
    pool.close()
    assert all(buffer.is_live for buffer in kept)
    assert others.check() is None


@pytest.mark.usefixtures("hasty")
def test_threads_share_an_iterator_of_live_blocks():
    pool = Pool(policies=[Events(capacity=1)])
    pool.alloc_many(16, 20)
    shared = [pool.live()]

    def walk():
        for _ in range(1000):
            sum(1 for _ in shared[0])
            shared[0] = pool.live()

    threads = [threading.Thread(target=walk) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.check() is None


def test_a_block_made_by_hand_describes_nothing():
    with pytest.raises(ValueError, match=r"Pool\.block_at"):
        Block().buffer()


@pytest.mark.usefixtures("hasty")
def test_a_buffer_of_a_pool_that_another_thread_closes_is_dead():
    for _ in range(10):
        pool = Pool(policies=[Events(capacity=1)])
        latest = [pool.get(64), pool.get(64)]
        pool.alloc_many(16, 8000)       # closing looks at these after the blocks that the threads take
        started = threading.Event()

        def take(i, pool=pool, latest=latest, started=started):
            try:
                while True:
                    latest[i] = pool.get(64)
                    started.set()
            except ValueError:
                pass

        threads = [threading.Thread(target=take, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        started.wait(10)
        pool.close()
        for thread in threads:
            thread.join()
        assert not any(buffer.is_live for buffer in latest)


@pytest.mark.parametrize("keeps", [False, True])
def test_realloc_of_a_buffer_whose_block_a_callback_gives_to_another(keeps):
    kept = []

    def low(size):
        pool.free(buffer)
        if keeps:
            kept.append(pool.get(60000))
            pool.free(filler)
        return True

    pool = Pool(limit_blocks=2, policies=[LowMemory(low)])
    filler = pool.alloc(16)
    buffer = pool.get(60000)
    address = buffer.address
    with pytest.raises(DoubleFreeError):
        pool.realloc(buffer, 200000)
    assert [other.address for other in kept] == [address] * keeps
    assert pool.check() is None


def test_realloc_of_a_buffer_that_a_callback_exports():
    views = []

    def low(size):
        views.append(memoryview(buffer))
        pool.free(filler)
        return True

    pool = Pool(limit_blocks=2, policies=[LowMemory(low)])
    filler = pool.alloc(16)
    buffer = pool.get(64)
    with pytest.raises(ExportedBlockError):
        pool.realloc(buffer, 2000)
    assert buffer.is_live
    assert pool.stats().live_blocks == 1
    assert pool.check() is None


def test_realloc_of_a_buffer_that_on_copy_gives_to_another():
    def copy(to_address, from_address, size):
        pool.free(from_address)
        other.append(pool.get(60000))

    other = []
    pool = Pool(memory=AddressSpace(1 << 32, 1 << 24, on_copy=copy))
    buffer = pool.get(60000)
    address = buffer.address
    with pytest.raises(DoubleFreeError):
        pool.realloc(buffer, 200000)
    assert other[0].address == address
    assert pool.check() is None


def test_explain_while_another_thread_frees_guarded_blocks():
    pool = Pool(policies=[Guard()])
    address = pool.alloc(13)
    stop = []

    def churn():
        while not stop:
            pool.try_free(address)
            pool.try_alloc(13)

    thread = threading.Thread(target=churn)
    thread.start()
    for _ in range(3000):
        pool.explain(address)
    stop.append(True)
    thread.join()
    assert pool.check() is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Pool(limit_blocks=10),
        lambda: Pool(limit_blocks=10, limit_bytes=1 << 62),
        lambda: Pool(policies=[Events()]),
    ],
)
def test_a_refused_request_is_no_peak(make):
    pool = make()
    pool.alloc(100)
    assert pool.try_alloc(1 << 60) == 0
    assert (pool.stats().peak_blocks, pool.stats().peak_bytes) == (1, 100)


def test_what_a_callback_takes_during_a_batch_that_fails_is_a_peak():
    taken = []

    def low(size):
        if not taken:
            taken.append(pool.alloc(5))
        return False

    pool = Pool(limit_bytes=1000, policies=[LowMemory(low)])
    with pytest.raises(PoolExhausted):
        pool.get_many(990, 2)
    assert (pool.stats().live_blocks, pool.stats().peak_blocks) == (1, 1)
    assert pool.check() is None


def test_check_inside_on_map():
    answers = []
    pool = Pool(memory=AddressSpace(1 << 32, 1 << 24, on_map=lambda address, size: answers.append(pool.check())))
    pool.alloc(64)
    pool.alloc(1 << 20)
    assert answers == [None, None]


def test_check_inside_on_unmap_while_quarantine_lets_a_block_go():
    answers = []
    pool = Pool(
        memory=AddressSpace(1 << 32, 1 << 28, on_unmap=lambda address, size: answers.append(pool.check())),
        policies=[Quarantine(blocks=1)],
    )
    for block in [pool.alloc(1 << 23) for _ in range(3)]:
        pool.free(block)
    assert answers == [None, None]
    assert pool.stats().quarantined_blocks == 1


@pytest.mark.parametrize(("sizes", "size", "small"), [(None, 16, 4), (4096, 4096, 100)])
def test_shrinking_in_a_full_slab_of_the_same_class_stays_in_place(sizes, size, small):
    pool = Pool(sizes=sizes)
    functions = pool.c_functions()
    realloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(functions.realloc)
    blocks = pool.alloc_many(size, 65536 // size)
    assert realloc(functions.pool, blocks[3], small) == blocks[3]
    assert pool.realloc(blocks[4], small) == blocks[4]
    assert pool.check() is None


@pytest.mark.parametrize(("size", "carved"), [(64, 256), (1024, 16), (4096, 8)])
def test_a_thread_that_comes_first_uses_up_what_is_carved(size, carved):
    """While one thread is inside on_map, another gets a slab of the class and every block that is linked in it."""
    inside, done = threading.Event(), threading.Event()

    def on_map(address, length):
        if threading.current_thread() is first and not inside.is_set():
            inside.set()
            done.wait(10)

    pool = Pool(memory=AddressSpace(1 << 32, 1 << 24, on_map=on_map))
    first = threading.Thread(target=lambda: pool.alloc(size))
    first.start()
    inside.wait(10)
    for _ in range(carved):
        pool.alloc(size)
    done.set()
    first.join()
    assert pool.check() is None
    assert pool.stats().live_blocks == carved + 1


@pytest.mark.parametrize("harm", [list.clear, lambda found: found.append(1)])
def test_a_collection_during_get_many_does_not_find_its_list(harm):
    pool = Pool()
    count = 4321

    def collected(phase, info):
        for found in gc.get_objects() if phase == "start" else ():
            if type(found) is list and len(found) == count:
                harm(found)

    gc.callbacks.append(collected)
    threshold = gc.get_threshold()
    gc.set_threshold(1000)      # each looks at every object there is
    try:
        assert len(pool.get_many(16, count)) == count
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(collected)
    assert pool.check() is None


def test_each_index_of_a_batch_is_asked_once():
    pool = Pool()

    class Once:
        def __init__(self, address):
            self.addresses = [address]

        def __index__(self):
            return self.addresses.pop()

    first, second = pool.alloc_many(16, 2)
    pool.free_many([first, Once(second)])
    assert pool.stats().live_blocks == 0


def test_a_batch_whose_list_is_found_and_emptied():
    pool = Pool()

    class Emptying:
        def __index__(self):
            for found in gc.get_objects():
                if type(found) is list and len(found) == 4001:
                    found.clear()
            return 5

    with pytest.raises(FreeError) as caught:
        pool.free_many([Emptying(), *range(1 << 40, (1 << 40) + 4000)])
    assert len(caught.value.verdicts) == 4001


def test_an_argument_that_makes_the_pool_itself():
    class Making:
        def __iter__(self):
            pool.__init__(name="inner", memory=AddressSpace(1 << 32, 1 << 24))
            return iter([64])

    pool = Pool.__new__(Pool)
    with pytest.raises(RuntimeError, match="inner"):
        pool.__init__(sizes=Making(), name="outer", on_drop="keep", policies=[LowMemory(lambda size: False)])
    assert (pool.name, pool.policies) == ("inner", ())
    pool.get(10)        # dropped
    assert pool.stats().live_blocks == 0


def test_quarantine_in_an_address_space_at_the_end_of_all_addresses():
    pool = Pool(memory=AddressSpace((1 << 64) - (1 << 20), 1 << 20), policies=[Quarantine(blocks=1)])
    blocks = [pool.alloc(60000) for _ in range(4)]
    run = pool.alloc(600000)
    assert run + 600000 <= 1 << 64
    assert pool.try_free((1 << 64) - 1) in (Verdict.FOREIGN, Verdict.INTERIOR)
    pool.free_many([*blocks, run])
    assert pool.try_free(run) is Verdict.DOUBLE
    assert pool.check() is None
