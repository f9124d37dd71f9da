"""Calls whose own arguments and callbacks free the block in question, or close the pool, before the call goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poolcore import (
    AddressSpace,
    DoubleFreeError,
    Events,
    Fill,
    FreeError,
    LowMemory,
    Pool,
    PoolExhausted,
    Quarantine,
    Verdict,
)

POOLS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": dict,
    "limit": lambda: {"limit_blocks": 100},
    "policies": lambda: {"policies": [Quarantine(blocks=2), Events()]},
    "space": lambda: {"memory": AddressSpace(1 << 40, 1 << 24)},
}
BACKINGS: dict[str, Callable[[], dict[str, Any]]] = {"pages": dict, "space": POOLS["space"]}


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    made = Pool(**POOLS[request.param]())
    yield made
    assert made.check() is None
    made.close()


class Number:
    """An int that acts when it is read."""

    def __init__(self, value: int, act: Callable[[], object]) -> None:
        self.value, self.act = value, act

    def __index__(self) -> int:
        act, self.act = self.act, lambda: None
        act()
        return self.value


# What a call does with a number: its only one, or one beside a live block.
DOORS: dict[str, Callable[[Pool, Any, Any], object]] = {
    "get": lambda pool, number, block: pool.get(number),
    "alloc": lambda pool, number, block: pool.alloc(number),
    "align": lambda pool, number, block: pool.alloc(10, align=number),
    "get_many size": lambda pool, number, block: pool.get_many(number, 2),
    "get_many count": lambda pool, number, block: pool.get_many(10, number),
    "alloc_many size": lambda pool, number, block: pool.alloc_many(number, 2),
    "alloc_many count": lambda pool, number, block: pool.alloc_many(10, number),
    "realloc": lambda pool, number, block: pool.realloc(block, number),
    "free": lambda pool, number, block: pool.free(number),
    "free_many": lambda pool, number, block: pool.free_many([block, number]),
    "block_at": lambda pool, number, block: pool.block_at(number),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", ["address", "buffer"])
def test_a_number_that_closes_the_pool(pool: Pool, door: str, kind: str) -> None:
    block = pool.get(100) if kind == "buffer" else pool.alloc(100)
    with pytest.raises((ValueError, FreeError), match="closed"):
        DOORS[door](pool, Number(16, pool.close), block)
    assert pool.is_closed


@pytest.mark.parametrize("kind", ["address", "buffer"])
def test_a_number_that_frees_the_block_it_is_the_new_size_of(pool: Pool, kind: str) -> None:
    block = pool.get(100) if kind == "buffer" else pool.alloc(100)
    with pytest.raises(DoubleFreeError):
        pool.realloc(block, Number(5000, lambda: pool.free(block)))
    assert pool.stats().live_blocks == 0


def test_an_address_that_frees_itself(pool: Pool) -> None:
    address = pool.alloc(100)
    assert pool.try_free(Number(address, lambda: pool.free(address))) is Verdict.DOUBLE
    address = pool.alloc(100)
    with pytest.raises(FreeError) as caught:
        pool.free_many([address, Number(address, lambda: pool.free(address))])
    assert caught.value.verdicts == [Verdict.DOUBLE] * 2
    assert pool.stats().live_blocks == 0


def test_an_iterator_that_closes_the_pool_after_some_of_its_blocks(pool: Pool) -> None:
    blocks = [pool.get(100), pool.alloc(100), pool.alloc(70_000)]

    def closing() -> Iterator[Any]:
        yield from blocks[:2]
        pool.close()
        yield blocks[2]

    with pytest.raises(FreeError, match="closed") as caught:
        pool.free_many(closing())
    assert caught.value.verdicts == [Verdict.CLOSED] * 3


def test_an_iterator_that_frees_what_it_has_given(pool: Pool) -> None:
    blocks = [pool.get(100), pool.alloc(100), pool.alloc(70_000)]

    def freeing() -> Iterator[Any]:
        yield from blocks
        pool.free(blocks[1])

    with pytest.raises(FreeError) as caught:
        pool.free_many(freeing())
    assert caught.value.verdicts == [Verdict.LIVE, Verdict.DOUBLE, Verdict.LIVE]
    assert pool.stats().live_blocks == 0


@pytest.mark.parametrize(("backing", "policies"), [("pages", ()), ("space", ()), ("pages", (Fill(),))],
                         ids=["pages", "space", "fill"])
@pytest.mark.parametrize("kind", ["address", "buffer"])
@pytest.mark.parametrize("sizes", [(100, 5000), (5000, 100), (70_000, 200_000), (100, 200_000)])
def test_low_memory_frees_the_block_that_is_being_moved(
    backing: str, policies: tuple[Any, ...], kind: str, sizes: tuple[int, int]
) -> None:
    """Nothing is lost: the block that was to take its place, perhaps at the same address, is given back."""
    with Pool(limit_blocks=2, policies=[LowMemory(lambda: pool.free(block)), *policies], **BACKINGS[backing]()) as pool:
        block: Any = pool.get(sizes[0]) if kind == "buffer" else pool.alloc(sizes[0])
        pool.alloc(70_000)      # behind it, so that it cannot grow where it is
        with pytest.raises(DoubleFreeError):
            pool.realloc(block, sizes[1])
        stats = pool.stats()
        assert (stats.live_blocks, stats.live_bytes) == (1, 70_000)
        assert pool.check() is None
        assert pool.alloc(sizes[1])


@pytest.mark.parametrize("backing", BACKINGS)
def test_low_memory_gives_the_block_that_is_being_moved_to_another_buffer(backing: str) -> None:
    """The same address and size: only the Buffer itself tells that it is not the block that was to move."""
    others: list[Any] = []

    def reuse() -> None:
        filler.free()
        buffer.free()
        while not others or others[-1].address != address:
            others.append(pool.get(100))
        del others[:-1]

    with Pool(limit_bytes=150_000, policies=[LowMemory(reuse)], **BACKINGS[backing]()) as pool:
        buffer, filler = pool.get(100), pool.get(100_000)
        address = buffer.address
        with pytest.raises(DoubleFreeError):
            pool.realloc(buffer, 60_000)
        assert others[0].is_live
        assert pool.stats().live_blocks == 1
        assert pool.check() is None


def test_on_copy_gives_the_block_that_is_being_moved_to_another_buffer() -> None:
    others: list[Any] = []

    def on_copy(to_address: int, from_address: int, size: int) -> None:
        buffer.free()
        while not others or others[-1].address != from_address:
            others.append(pool.get(100))
        del others[:-1]

    with Pool(memory=AddressSpace(1 << 40, 1 << 24, on_copy=on_copy)) as pool:
        buffer = pool.get(100)
        with pytest.raises(DoubleFreeError):
            pool.realloc(buffer, 60_000)
        assert others[0].is_live
        assert pool.stats().live_blocks == 1
        assert pool.check() is None


def test_on_copy_frees_what_it_was_to_copy_to() -> None:
    with Pool(memory=AddressSpace(1 << 40, 1 << 24, on_copy=lambda to, source, size: pool.free(to))) as pool:
        address = pool.alloc(100)
        with pytest.raises(PoolExhausted):
            pool.realloc(address, 60_000)
        assert pool.block_at(address).size == 100
        assert pool.stats().live_blocks == 1
