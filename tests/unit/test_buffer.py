"""Buffer: an object that any consumer of the buffer protocol takes."""

import array
import gc
import socket
import weakref

import pytest

from poolcore import AddressSpace, Pool


@pytest.fixture
def pool():
    with Pool(name="test") as made:
        yield made
        assert made.check() is None


def test_indexing_is_that_of_a_bytearray(pool):
    content = bytes(range(10))
    buffer, peer = pool.get(10), bytearray(content)
    buffer[:] = content
    assert [buffer[i] for i in range(-10, 10)] == [peer[i] for i in range(-10, 10)]
    buffer[-1] = peer[-1] = 255
    buffer[2:4] = b"ab"
    peer[2:4] = b"ab"
    buffer[::3] = peer[::3] = b"wxyz"
    assert bytes(buffer) == peer
    for part in (slice(None), slice(2, 5), slice(-3, None), slice(None, None, -1), slice(8, 2, -2), slice(20, 30)):
        assert buffer[part] == peer[part]
    assert list(buffer) == list(peer)
    assert ord("a") in buffer


def test_slices_are_views_without_a_copy(pool):
    buffer = pool.get(10, zero=True)
    with buffer[2:4] as part:
        assert isinstance(part, memoryview)
        part[0] = 9
    assert buffer[2] == 9


@pytest.mark.parametrize("index", [10, -11, 1 << 80])
def test_an_index_outside_raises_index_error(pool, index):
    buffer = pool.get(10)
    with pytest.raises(IndexError):
        buffer[index]
    with pytest.raises(IndexError):
        buffer[index] = 0


def test_the_buffer_protocol_is_writable_and_contiguous(pool):
    view = memoryview(pool.get(100))
    assert (view.format, view.itemsize, view.shape, view.strides) == ("B", 1, (100,), (1,))
    assert not view.readonly
    assert view.contiguous


def test_many_views_of_one_buffer(pool):
    buffer = pool.get(8, zero=True)
    views = [memoryview(buffer) for _ in range(5)]
    views[0][3] = 7
    assert [view[3] for view in views] == [7] * 5
    for view in views[:-1]:
        view.release()
    with pytest.raises(BufferError):
        buffer.free()
    views[-1].release()
    buffer.free()


def test_sockets_and_numpy_take_buffers(pool):
    numpy = pytest.importorskip("numpy")
    left, right = socket.socketpair()
    with left, right, pool.get(1500) as buffer:
        left.sendall(b"hello")
        assert right.recv_into(buffer) == 5
        assert buffer[:5] == b"hello"
        frame = numpy.frombuffer(buffer, dtype=numpy.uint8)
        frame[0] = 72
        assert buffer[0] == 72
        del frame


def test_an_array_can_be_filled_from_a_buffer(pool):
    buffer = pool.get(4)
    buffer[:] = b"\x01\0\x02\0"
    assert array.array("H", bytes(buffer)).tolist() == [1, 2]


def test_with_frees_and_tolerates_a_free_inside(pool):
    with pool.get(10) as buffer:
        assert buffer.is_live
    assert not buffer.is_live
    with pool.get(10) as buffer:
        pool.free(buffer)
    with pool.get(10) as buffer:
        pool.free(buffer.address)


def test_with_lets_an_exception_pass_though_a_view_lives(pool):
    views = []
    buffer = pool.get(10)

    def fail():
        with buffer:
            views.append(memoryview(buffer))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert buffer.is_live
    views.pop().release()
    buffer.free()


def test_truth_identity_and_hash(pool):
    first, second = pool.get(0), pool.get(0)
    assert first
    assert second
    assert first != second
    assert [first] == [first]
    assert len({first, second, first}) == 2
    first.free()
    assert first
    assert hash(first) == hash(first)


def test_repr_tells_whose_how_large_and_dead(pool):
    buffer = pool.get(12)
    assert repr(buffer) == f"<Buffer of pool 'test', 12 bytes at {buffer.address:#x}>"
    buffer.free()
    assert repr(buffer) == "<Buffer of pool 'test', freed>"


def comes_again(pool, address, size):
    """Whether a free block's address is handed out again before its slab is used up."""
    return any(pool.alloc(size) == address for _ in range(65536 // size))


def test_a_dropped_buffer_goes_back_to_its_pool(pool):
    buffer = pool.get(100)
    address = buffer.address
    del buffer
    assert pool.stats().live_blocks == 0
    assert comes_again(pool, address, 100)


def test_a_recycled_object_is_not_one_that_somebody_holds(pool):
    held = [pool.get(10) for _ in range(600)]
    pool.free_many(held)
    fresh = [pool.get(10) for _ in range(600)]
    assert not {id(one) for one in held} & {id(one) for one in fresh}
    assert not any(one.is_live for one in held)
    assert all(one.is_live for one in fresh)


def test_weak_references_die_with_the_object_not_with_the_block(pool):
    buffer = pool.get(10)
    gone = []
    reference = weakref.ref(buffer, gone.append)
    buffer.free()
    assert reference() is buffer
    del buffer
    assert reference() is None
    assert gone == [reference]
    fresh = pool.get(10)
    assert reference() is None
    assert weakref.ref(fresh)() is fresh


def test_a_buffer_keeps_its_pool_and_a_view_its_buffer():
    pool = Pool()
    alive = weakref.ref(pool)
    view = memoryview(pool.get(4, zero=True))
    del pool
    gc.collect()
    assert alive() is not None
    assert bytes(view) == bytes(4)
    view.release()
    del view
    assert alive() is None


@pytest.mark.parametrize("make", [lambda on: {"memory": AddressSpace(4096, 1 << 20, on_map=on)}])
def test_a_cycle_through_a_callback_is_collected(make):
    class Simulator:
        def __init__(self):
            self.pool = Pool(**make(self.on_map))
            self.buffer = self.pool.get(10)

        def on_map(self, address, size):
            pass

    alive = weakref.ref(Simulator())
    gc.collect()
    assert alive() is None


def test_a_subclass_of_pool_in_a_cycle_with_its_buffer_is_collected():
    class Own(Pool):
        pass

    pool = Own()
    pool.latest = pool.get(10)
    alive = weakref.ref(pool)
    del pool
    gc.collect()
    assert alive() is None


def test_kept_blocks_can_be_found_and_held_again():
    with Pool(on_drop="keep") as pool:
        buffer = pool.get(5)
        buffer[:] = b"hello"
        del buffer
        (block,) = pool.live()
        again = block.buffer()
        assert again[:] == b"hello"
        with pytest.raises(ValueError, match="without a Buffer"):
            block.buffer()
        again.free()
        with pytest.raises(ValueError, match="without a Buffer"):
            block.buffer()


def test_an_allocated_address_can_get_a_buffer(pool):
    address = pool.alloc(10)
    buffer = pool.block_at(address).buffer()
    assert (buffer.address, len(buffer)) == (address, 10)
    pool.free(address)
    assert not buffer.is_live


def test_a_deferred_free_gives_the_memory_back_with_the_last_view():
    with Pool(on_exported="defer") as pool:
        buffer = pool.get(100)
        address = buffer.address
        view, other = memoryview(buffer), memoryview(buffer)
        view[0] = 7
        pool.free(buffer)
        assert not buffer.is_live
        assert pool.try_free(address) == 2
        assert pool.block_at(address).state == "deferred"
        assert view[0] == 7
        view.release()
        assert not comes_again(pool, address, 100)
        other.release()
        assert pool.block_at(address).state == "free"
        assert comes_again(pool, address, 100)
        assert pool.check() is None
