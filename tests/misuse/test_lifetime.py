"""Closing, dropping, subclassing, re-entering and leaving: what must never crash."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc
import warnings

import pytest

import poolcore
from poolcore import (
    AddressSpace,
    Buffer,
    Events,
    Fill,
    Guard,
    LowMemory,
    Pool,
    Quarantine,
)

MAKERS = {
    "pages": lambda: Pool(),
    "locked": lambda: Pool(policies=[Events(), Quarantine(blocks=4), Fill()]),
    "guarded": lambda: Pool(policies=[Guard()]),
    "buffer": lambda: Pool(memory=bytearray(1 << 20)),
}


@pytest.fixture(params=MAKERS)
def pool(request):
    return MAKERS[request.param]()


ACCESSES = {
    "len": len,
    "index": lambda buffer: buffer[0],
    "store": lambda buffer: buffer.__setitem__(0, 1),
    "slice": lambda buffer: buffer[:1],
    "store slice": lambda buffer: buffer.__setitem__(slice(0, 1), b"x"),
    "view": memoryview,
    "bytes": bytes,
    "iterate": list,
    "address": lambda buffer: buffer.address,
    "size": lambda buffer: buffer.size,
    "capacity": lambda buffer: buffer.capacity,
    "tag": lambda buffer: buffer.tag,
    "free": lambda buffer: buffer.free(),
    "enter": lambda buffer: buffer.__enter__(),
}

DEATHS = {
    "its own free": lambda pool, buffer: buffer.free(),
    "its pool's free": lambda pool, buffer: pool.free(buffer),
    "its address": lambda pool, buffer: pool.free(buffer.address),
    "free_many": lambda pool, buffer: pool.free_many([buffer]),
    "free_many of its address": lambda pool, buffer: pool.free_many(address_array(buffer)),
    "try_free": lambda pool, buffer: pool.try_free(buffer),
    "realloc": lambda pool, buffer: pool.realloc(buffer, 3000),
    "realloc of its address": lambda pool, buffer: pool.realloc(buffer.address, 3000),
    "with": lambda pool, buffer: buffer.__exit__(None, None, None),
    "close": lambda pool, buffer: pool.close(),
    "another thread": lambda pool, buffer: in_a_thread(buffer.free),
}


def address_array(buffer):
    import array

    return array.array("Q", [buffer.address])


def in_a_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


@pytest.mark.parametrize("death", DEATHS)
def test_every_access_after_a_free_raises(pool, death):
    buffer = pool.get(100)
    DEATHS[death](pool, buffer)
    assert buffer.is_live is False
    assert bool(buffer) is True
    for access in ACCESSES.values():
        with pytest.raises(ValueError, match=r"freed|closed"):
            access(buffer)
    assert pool.check() is None


def test_copies_and_pickles_are_refused():
    pool = Pool()
    buffer = pool.get(10)
    for refused in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"bytes\(buffer\)"):
            refused(buffer)
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            refused(pool)


def test_a_buffer_cannot_be_made_or_subclassed():
    for make in (Buffer, lambda: Buffer.__new__(Buffer), lambda: object.__new__(Buffer)):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(TypeError):
        type("Own", (Buffer,), {})


def test_close_under_a_view_changes_nothing(pool):
    buffer = pool.get(10)
    view = memoryview(buffer)
    with pytest.raises(BufferError, match="1 live views"):
        pool.close()
    assert not pool.is_closed
    assert pool.get(10)
    view[0] = 1
    view.release()
    pool.close()
    assert pool.is_closed
    pool.close()


def test_forced_close_keeps_the_memory_of_views(pool):
    buffer = pool.get(4)
    buffer[:] = b"data"
    view, other = memoryview(buffer), buffer[1:]
    pool.close(force=True)
    with pytest.raises(ValueError, match="closed"):
        buffer[0]
    assert bytes(view) == b"data"
    view.release()
    del buffer, pool
    gc.collect()
    assert bytes(other) == b"ata"
    other[0] = 0
    other.release()


def test_a_closed_pool_refuses_every_call():
    pool = Pool(name="gone", memory=AddressSpace(4096, 1 << 20))
    pool.close()
    for call in (
        lambda: pool.get(1),
        lambda: pool.alloc(1),
        lambda: pool.get_many(1, 1),
        lambda: pool.alloc_many(1, 1),
        lambda: pool.realloc(4096, 1),
        lambda: pool.block_at(4096),
        lambda: pool.live(),
        lambda: pool.events(),
        lambda: pool.stats(),
        lambda: pool.reset_peak(),
        lambda: pool.trim(),
        lambda: pool.snapshot(),
        lambda: pool.restore(b""),
        lambda: pool.c_functions(),
        lambda: pool.__enter__(),
    ):
        with pytest.raises(ValueError, match="'gone' is closed"):
            call()
    assert pool.try_get(1) is None
    assert pool.try_alloc(1) == 0
    assert pool.check() is None
    assert "CLOSED" in pool.explain(4096)


def test_leaving_with_closes_even_under_an_exception_with_views():
    views = []

    def fail():
        with pool:
            views.append(memoryview(pool.get(4, zero=True)))
            raise KeyError

    pool = Pool()
    with pytest.raises(KeyError):
        fail()
    assert pool.is_closed
    assert bytes(views[0]) == bytes(4)


class Unmade(Pool):
    def __init__(self):
        pass


@pytest.mark.parametrize("make", [lambda: Pool.__new__(Pool), Unmade])
def test_a_pool_whose_init_did_not_run(make):
    pool = make()
    for call in (
        lambda: pool.get(1),
        lambda: pool.try_get(1),
        lambda: pool.alloc(1),
        lambda: pool.try_alloc(1),
        lambda: pool.free(1),
        lambda: pool.try_free(1),
        lambda: pool.free_many([]),
        lambda: pool.get_many(1, 1),
        lambda: pool.alloc_many(1, 1),
        lambda: pool.realloc(1, 1),
        lambda: pool.block_at(1),
        lambda: pool.explain(1),
        lambda: pool.live(),
        lambda: pool.events(),
        lambda: pool.stats(),
        lambda: pool.check(),
        lambda: pool.trim(),
        lambda: pool.reset_peak(),
        lambda: pool.snapshot(),
        lambda: pool.c_functions(),
        lambda: pool.__enter__(),
    ):
        with pytest.raises(ValueError, match="never made"):
            call()
    assert "never made" in repr(pool)
    pool.close()


def test_init_called_twice():
    pool = Pool()
    buffer = pool.get(10)
    with pytest.raises(RuntimeError, match="__init__ runs once"):
        pool.__init__(sizes=64)
    assert buffer.is_live
    assert pool.check() is None


def test_init_that_fails_can_be_tried_again():
    pool = Pool.__new__(Pool)
    with pytest.raises(ValueError, match="on_drop"):
        pool.__init__(on_drop="x")
    pool.__init__()
    assert pool.get(10)


def test_a_subclass_with_its_own_arguments_and_state():
    class Frames(Pool):
        def __init__(self, width):
            super().__init__(sizes=width * 2)
            self.width = width

        def get(self, size=None):
            return super().get(self.width if size is None else size)

    frames = Frames(64)
    assert len(frames.get()) == 64
    assert repr(frames).startswith("<Frames")
    frames.get().free()


def test_a_destructor_that_uses_the_pool_it_goes_with():
    seen = []

    class Own(Pool):
        def __del__(self):
            seen.append(self.alloc(10))
            self.close()

    pool = Own()
    pool.get(10)
    del pool
    gc.collect()
    assert len(seen) == 1


def test_a_buffer_dropped_inside_a_callback():
    def callback(size):
        kept.clear()

    with Pool(limit_blocks=1, policies=[LowMemory(callback)]) as pool:
        kept = [pool.get(10)]
        assert pool.get(10)
        assert pool.check() is None


def test_close_inside_a_callback_is_refused():
    refusals = []

    def on_map(address, size):
        for call in (pool.close, lambda: pool.close(force=True), lambda: pool.restore(b"")):
            with pytest.raises(RuntimeError, match="from inside one of its callbacks"):
                call()
            refusals.append(call)

    with Pool(memory=AddressSpace(4096, 1 << 20, on_map=on_map)) as pool:
        assert pool.alloc(10)
        assert len(refusals) == 3


def test_on_unmap_runs_when_a_pool_is_dropped():
    unmapped = []
    pool = Pool(memory=AddressSpace(4096, 1 << 20, on_unmap=lambda at, size: unmapped.append(at)))
    pool.alloc(10)
    del pool
    gc.collect()
    assert unmapped


def test_a_dropped_buffer_warns_with_size_and_name():
    pool = Pool(on_drop="warn", name="rx")
    with pytest.warns(ResourceWarning, match="Buffer of 123 bytes at 0x[0-9a-f]+ of pool 'rx'"):
        pool.get(123)
    assert pool.stats().live_blocks == 0


def test_a_warning_that_is_an_error_goes_to_the_hook(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: seen.append(told.exc_type))
    pool = Pool(on_drop="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool.get(1)
    assert seen == [ResourceWarning]


def test_a_drop_during_an_exception_keeps_the_exception():
    unmapped = []
    pool = Pool(memory=AddressSpace(4096, 1 << 24, on_unmap=lambda at, size: unmapped.append(at)))

    def fail():
        buffer = pool.get(1 << 20)
        raise KeyError(buffer.size)

    with pytest.raises(KeyError, match=str(1 << 20)):
        fail()
    gc.collect()
    assert pool.stats().live_blocks == 0


def test_threads_share_buffers_of_a_locked_pool():
    """One thread frees by address while others look: they read the bytes or raise ValueError."""
    pool = Pool(policies=[Fill(), Quarantine(blocks=8), Events(capacity=64)])
    errors = []

    def look(buffers):
        for _ in range(3):
            for buffer in buffers:
                try:
                    with memoryview(buffer) as view:
                        view[0] = buffer[0]
                except ValueError:
                    pass
                except BaseException as error:
                    errors.append(error)

    def free(addresses):
        for address in addresses:
            while pool.try_free(address) == 6:
                pass

    for _ in range(5):
        buffers = pool.get_many(100, 300)
        addresses = [buffer.address for buffer in buffers]
        threads = [threading.Thread(target=look, args=(buffers,)) for _ in range(2)]
        threads.append(threading.Thread(target=free, args=(addresses,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not any(buffer.is_live for buffer in buffers)
    assert errors == []
    assert pool.stats().live_blocks == 0
    assert pool.check() is None


def test_callbacks_from_many_threads_do_not_deadlock():
    maps = []

    def tell(address, size):
        maps.append((address, size))

    pool = Pool(memory=AddressSpace(1 << 20, 1 << 30, on_map=tell, on_unmap=tell))

    def work():
        for size in (10, 100000, 300000) * 20:
            while not (address := pool.try_alloc(size)):
                pass
            pool.free(address)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert pool.stats().live_blocks == 0
    assert pool.check() is None


def test_pools_are_opened_and_dropped_by_the_thousand():
    def mappings():
        with open("/proc/self/maps") as file:
            return sum(1 for _ in file)

    for _ in range(100):
        Pool().get(10)
    before = mappings()
    for _ in range(1000):
        with Pool() as pool:
            pool.get(10)
            pool.alloc(100000)
    assert mappings() <= before + 5


def test_tracemalloc_sees_pools_made_while_tracing():
    untraced = Pool()
    tracemalloc.start()
    try:
        traced = Pool()
        domain = tracemalloc.DomainFilter(True, poolcore.TRACEMALLOC_DOMAIN)

        def total():
            return sum(stat.size for stat in tracemalloc.take_snapshot().filter_traces([domain]).statistics("lineno"))

        buffer, address = traced.get(1000), traced.alloc(500)
        untraced.get(77)
        assert total() == 1500
        traced.free(address)
        assert total() == 1000
        address = traced.realloc(traced.alloc(20), 30)
        assert total() == 1030
        many = traced.alloc_many(10, 10)
        traced.get_many(10, 10)
        assert total() == 1130
        traced.free_many(many)
        del buffer
        assert total() == 30
        traced.close()
        assert total() == 0
    finally:
        tracemalloc.stop()


EXITS = {
    "buffers": "kept = [Pool().get(10) for _ in range(3)]",
    "views": "kept = memoryview(Pool().get(10))",
    "a closed pool with views": "pool = Pool(); kept = memoryview(pool.get(10)); pool.close(force=True)",
    "a cycle": "pool = Pool(memory=AddressSpace(4096, 1 << 20)); kept = [pool, pool.get(10)]; kept.append(kept)",
    "a warning": "kept = Pool(on_drop='warn').get(10)",
    "c functions": "kept = Pool().c_functions()",
    "an iterator": "pool = Pool(); pool.alloc(1); kept = pool.live(); next(kept)",
    "a pool in sys": "import sys; sys.kept = Pool(policies=[Events(), Guard()]); sys.buffer = sys.kept.get(100)",
    "a thread that still runs": """
import threading, time
pool = Pool(policies=[Events()])
def work():
    while True:
        pool.get(100).free()
threading.Thread(target=work, daemon=True).start()
time.sleep(0.02)""",
    "a destructor": """
class Last:
    def __init__(self):
        self.pool = Pool()
        self.buffer = self.pool.get(10)
    def __del__(self):
        self.buffer[0] = 1
        self.buffer.free()
        self.pool.get(5)
        self.pool.close()
kept = Last()""",
}


@pytest.mark.parametrize("left", EXITS)
def test_interpreter_exit_with(left):
    program = f"from poolcore import *\n{EXITS[left]}\n"
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Fatal" not in done.stderr


def test_fork_with_live_buffers():
    program = """
import os
from poolcore import *
for pool in (Pool(), Pool(policies=[Events()])):
    buffer = pool.get(4)
    buffer[:] = b"data"
    child = os.fork()
    if not child:
        assert bytes(buffer) == b"data"
        buffer.free()
        kept = pool.get_many(100, 100)
        assert pool.check() is None
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert bytes(buffer) == b"data"
    assert pool.check() is None
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_close_while_another_thread_is_in_a_call():
    """A call that the closer overtakes answers as if the pool had been closed before it, or after."""
    for _ in range(8):
        pool = Pool(policies=[Events(capacity=64), Fill()])
        kept = pool.get_many(100, 20)
        started = threading.Event()
        errors = []

        def work(pool=pool, kept=kept, started=started, errors=errors):
            try:
                while True:
                    started.set()
                    pool.free(pool.alloc(100))
                    kept[3][0] = 1
                    pool.stats()
            except ValueError as closed:
                errors.append(str(closed))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        started.wait()
        while not pool.is_closed:
            try:
                pool.close()
            except BufferError:
                continue
        for thread in threads:
            thread.join()
        assert len(errors) == 2
        assert all("closed" in error for error in errors)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_while_another_thread_is_in_a_callback():
    """In the child that call never ends: what it had reserved is free again, and the pool can be closed."""
    inside, done = threading.Event(), threading.Event()

    def on_map(address, size):
        if threading.current_thread() is other:
            inside.set()
            done.wait(10)

    pool = Pool(memory=AddressSpace(1 << 32, 1 << 20, on_map=on_map), limit_blocks=1)
    other = threading.Thread(target=pool.alloc, args=(100,))
    other.start()
    inside.wait(10)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            whole = pool.check() is None and pool.alloc(1000) == 1 << 32 and pool.check() is None
            pool.close()
            status = 0 if whole else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    done.set()
    other.join()
    assert pool.check() is None
    assert pool.stats().live_blocks == 1
