"""What free may be given: one test per fault, named after it."""

import pytest

from poolcore import (
    AddressSpace,
    DoubleFreeError,
    ExportedBlockError,
    ForeignBlockError,
    FreeError,
    InteriorPointerError,
    Pool,
    Verdict,
)

BACKINGS = {
    "pages": dict,
    "one class": lambda: {"sizes": 1500},
    "limited": lambda: {"limit_bytes": 1 << 20},
    "buffer": lambda: {"memory": bytearray(1 << 20)},
    "space": lambda: {"memory": AddressSpace(0x10000000, 1 << 24)},
}


@pytest.fixture(params=BACKINGS)
def pool(request):
    made = Pool(name="test", **BACKINGS[request.param]())
    yield made
    assert made.check() is None
    made.close()


def refused(pool, block, kind, verdict, address):
    """free and try_free agree, the error carries verdict and address, its message is explain's sentence."""
    before = pool.stats()
    with pytest.raises(kind) as caught:
        pool.free(block)
    assert type(caught.value) is kind
    assert caught.value.verdict is verdict is pool.try_free(block)
    assert caught.value.address == address
    assert caught.value.verdicts == [verdict]
    assert verdict.name in str(caught.value)
    assert str(caught.value) == pool.explain(block)
    after = pool.stats()
    assert (after.live_blocks, after.total_frees) == (before.live_blocks, before.total_frees)


def test_null(pool):
    refused(pool, 0, ForeignBlockError, Verdict.NULL, 0)


def test_double_free_of_an_address(pool):
    address = pool.alloc(100)
    pool.free(address)
    refused(pool, address, DoubleFreeError, Verdict.DOUBLE, address)


def test_double_free_of_a_buffer(pool):
    buffer = pool.get(100)
    address = buffer.address
    buffer.free()
    refused(pool, buffer, DoubleFreeError, Verdict.DOUBLE, address)
    with pytest.raises(DoubleFreeError):
        buffer.free()


def test_double_free_of_a_buffer_whose_block_serves_another(pool):
    buffer = pool.get(100)
    address = buffer.address
    buffer.free()
    fresh = pool.get_many(100, 700)
    assert address in [one.address for one in fresh]
    refused(pool, buffer, DoubleFreeError, Verdict.DOUBLE, address)
    assert all(one.is_live for one in fresh)


def test_double_free_of_a_run():
    with Pool() as pool:
        address = pool.alloc(1 << 20)
        pool.free(address)
        assert pool.try_free(address) in (Verdict.DOUBLE, Verdict.FOREIGN)


@pytest.mark.parametrize("offset", [1, 8, 16, 99, 111])
def test_interior_pointer(pool, offset):
    address = pool.alloc(112)
    refused(pool, address + offset, InteriorPointerError, Verdict.INTERIOR, address + offset)


@pytest.mark.parametrize("offset", [1, 16, 4096, 65536, 131072])
def test_interior_pointer_of_a_run(offset):
    with Pool() as pool:
        address = pool.alloc(200000)
        refused(pool, address + offset, InteriorPointerError, Verdict.INTERIOR, address + offset)


@pytest.mark.parametrize("address", [1, 4095, 1 << 62, (1 << 63) + 8, (1 << 64) - 1])
def test_foreign_address(pool, address):
    refused(pool, address, ForeignBlockError, Verdict.FOREIGN, address)


def test_address_just_outside_the_arena(pool):
    kept = [pool.alloc(100) for _ in range(3)]
    assert pool.try_free(min(kept) - 65536) in (Verdict.FOREIGN, Verdict.OTHER_POOL)


SPACE = {"pages": dict, "space": BACKINGS["space"]}


@pytest.mark.parametrize("make", SPACE.values(), ids=SPACE)
@pytest.mark.parametrize("count", range(1, 8), ids=lambda count: f"{count} of 8 granules serve others")
def test_what_is_left_of_a_freed_run_is_interior(make, count):
    with Pool(**make()) as pool:
        run = pool.alloc(8 << 16)
        pool.free(run)
        others = [pool.alloc(65536) for _ in range(count)]
        assert others == [run + (i << 16) for i in range(count)]
        left = [run + (i << 16) + offset for i in range(count, 8) for offset in (0, 16, 65535)]
        for _ in range(2):
            assert {pool.try_free(address) for address in left} == {Verdict.INTERIOR}
            assert pool.explain(left[0]).startswith("INTERIOR")
            pool.free_many(others)
            pool.trim()
            assert {pool.try_free(address) for address in others} == {Verdict.DOUBLE}
            others = [pool.alloc(65536)]


def test_a_run_over_a_former_slab_is_what_its_memory_was_last():
    with Pool(memory=AddressSpace(0x10000000, 1 << 24)) as pool:
        block = pool.alloc(100)
        second = pool.alloc(65536)
        pool.free_many([block, second])
        pool.trim()
        run = pool.alloc(200_000)
        assert run <= block < second < run + 200_000
        pool.free(run)
        assert pool.try_free(second) is Verdict.INTERIOR
        assert pool.try_free(run) is Verdict.DOUBLE
        assert "freed before" in pool.explain(run)


def test_an_empty_run_is_double_when_it_is_freed_twice(pool):
    address = pool.alloc(0, align=1 << 17)
    pool.free(address)
    refused(pool, address, DoubleFreeError, Verdict.DOUBLE, address)


@pytest.mark.parametrize("make", SPACE.values(), ids=SPACE)
def test_blocks_are_remembered_while_their_slab_comes_and_goes(make):
    with Pool(**make()) as pool:
        handed = [pool.alloc(1000) for _ in range(5)]
        never = handed[-1] + handed[1] - handed[0]
        pool.free_many(handed)
        for _ in range(3):
            pool.trim()
            assert {pool.try_free(address) for address in handed} == {Verdict.DOUBLE}
            assert pool.try_free(never) is Verdict.FOREIGN
            assert pool.alloc(1000) == handed[0]
            assert {pool.try_free(address) for address in handed[1:]} == {Verdict.DOUBLE}
            assert pool.try_free(never) is Verdict.FOREIGN
            pool.free(handed[0])


def test_address_never_handed_out():
    with Pool() as pool:
        pool.alloc(100)
        verdict = pool.try_free(pool.alloc(100) + 16 * 112)
        assert verdict in (Verdict.FOREIGN, Verdict.INTERIOR)


def test_block_of_another_pool(pool):
    with Pool(name="other") as other:
        address, buffer = other.alloc(10), other.get(10)
        refused(pool, address, ForeignBlockError, Verdict.OTHER_POOL, address)
        refused(pool, buffer, ForeignBlockError, Verdict.OTHER_POOL, buffer.address)
        assert "'other'" in pool.explain(address)
        assert buffer.is_live


def test_block_of_a_pool_that_is_closed(pool):
    with Pool() as other:
        address, buffer = other.alloc(10), other.get(10)
    assert pool.try_free(address) is Verdict.FOREIGN
    assert pool.try_free(buffer) is Verdict.FOREIGN


def test_block_with_a_view():
    with Pool() as pool:
        buffer = pool.get(100)
        with memoryview(buffer):
            refused(pool, buffer, ExportedBlockError, Verdict.EXPORTED, buffer.address)
            refused(pool, buffer.address, ExportedBlockError, Verdict.EXPORTED, buffer.address)
            with pytest.raises(BufferError):
                buffer.free()
            with pytest.raises(ExportedBlockError):
                pool.realloc(buffer, 5)
            assert len(buffer) == 100
        buffer.free()


def test_closed_pool():
    pool = Pool(name="gone")
    address, buffer = pool.alloc(10), pool.get(10)
    pool.close()
    for block in (address, buffer, 0):
        with pytest.raises(FreeError, match="CLOSED") as caught:
            pool.free(block)
        assert type(caught.value) is FreeError
        assert caught.value.verdict is pool.try_free(block) is Verdict.CLOSED
    with pytest.raises(FreeError):
        buffer.free()
    with pytest.raises(FreeError) as caught:
        pool.free_many([address, buffer])
    assert caught.value.verdicts == [Verdict.CLOSED] * 2


@pytest.mark.parametrize("block", [None, "0x1000", b"block", 1.5, [1], object()])
def test_no_block_at_all(pool, block):
    for call in (pool.free, pool.try_free, pool.block_at, pool.explain, lambda block: pool.realloc(block, 1)):
        with pytest.raises(TypeError):
            call(block)


@pytest.mark.parametrize("block", [-1, 1 << 64, -(1 << 64), 1 << 200])
def test_int_that_is_no_address(pool, block):
    for call in (pool.free, pool.try_free, pool.block_at, pool.explain, lambda block: pool.realloc(block, 1)):
        with pytest.raises(OverflowError):
            call(block)


def test_many_with_no_block_at_all_frees_none(pool):
    address = pool.alloc(10)
    buffer = pool.get(10)
    for bad, kind in ((None, TypeError), (1 << 64, OverflowError)):
        with pytest.raises(kind):
            pool.free_many([address, buffer, bad])
    assert pool.stats().live_blocks == 2


@pytest.mark.parametrize("blocks", ["text", b"bytes", bytearray(8), 5, None, memoryview(b"bytes")])
def test_many_of_what_is_no_sequence_of_blocks(pool, blocks):
    with pytest.raises(TypeError):
        pool.free_many(blocks)


def test_many_of_one_buffer(pool):
    with pytest.raises(TypeError, match="free takes one"):
        pool.free_many(pool.get(10))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda pool: 0, ForeignBlockError),
        (lambda pool: pool.alloc(100) + 1, InteriorPointerError),
        (lambda pool: 1 << 63, ForeignBlockError),
    ],
)
def test_realloc_of_no_block(pool, make, kind):
    with pytest.raises(kind):
        pool.realloc(make(pool), 10)


def test_realloc_of_a_dead_buffer(pool):
    buffer = pool.get(10)
    buffer.free()
    with pytest.raises(DoubleFreeError):
        pool.realloc(buffer, 20)


@pytest.mark.parametrize(
    "access",
    [
        lambda buffer, index: buffer[index],
        lambda buffer, index: buffer.__setitem__(0, index),
        lambda buffer, index: buffer.__setitem__(index, 1),
    ],
)
def test_an_index_that_frees_the_buffer_it_indexes(access):
    pool = Pool()
    buffer = pool.get(10)

    class Freeing:
        def __index__(self):
            buffer.free()
            return 0

    with pytest.raises(ValueError, match="freed"):
        access(buffer, Freeing())
    assert pool.check() is None


def test_a_list_that_changes_while_it_is_freed():
    pool = Pool()

    class Growing:
        def __index__(self):
            blocks.clear()
            return 0

    blocks = [*pool.get_many(10, 5), Growing(), *pool.get_many(10, 5)]
    with pytest.raises(FreeError):
        pool.free_many(blocks)
    assert pool.stats().live_blocks == 0
    assert pool.check() is None
