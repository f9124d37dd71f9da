"""Ten million values a backing that are no live block, thrown at free: none is accepted.

Most go through the batch door, which is the same lookup at C speed; each value's verdict is compared
with the one it must have, by position.
"""

from __future__ import annotations

import ctypes
import random
from array import array
from collections.abc import Iterator
from typing import Any

import pytest

import poolcore
from poolcore import Verdict

PER_BATCH = 1_000_000
BATCHES = 10
BLOCKS = 10_000


def open_pool(backing: str) -> Any:
    if backing == "pages":
        return poolcore.Pool()
    if backing == "buffer":
        return poolcore.Pool(memory=bytearray(64 << 20))
    return poolcore.Pool(memory=poolcore.AddressSpace(3 << 40, 1 << 30))


def values(kind: str, rng: random.Random, live: list[int], stale: list[int], sizes: dict[int, int],
           others: list[int]) -> Iterator[tuple[array[int], set[int]]]:
    """Batches of values and the verdicts that they may have."""
    live_set = set(live)
    if kind == "random":
        batch = array("Q")
        batch.frombytes(rng.randbytes(8 * PER_BATCH))
        yield batch, {Verdict.FOREIGN, Verdict.INTERIOR, Verdict.DOUBLE, Verdict.OTHER_POOL, Verdict.NULL}
    elif kind == "interior":
        step = PER_BATCH // len(live)
        yield array("Q", (a + rng.randrange(1, sizes[a]) for a in live for _ in range(step))), {Verdict.INTERIOR}
    elif kind == "one bit off":
        flipped = (a ^ 1 << bit for a in live for bit in range(64))
        batch = array("Q", (value for value in flipped if value not in live_set))
        yield batch, {Verdict.FOREIGN, Verdict.INTERIOR, Verdict.DOUBLE, Verdict.OTHER_POOL}
    elif kind == "stale":
        yield array("Q", (rng.choice(stale) for _ in range(PER_BATCH))), {Verdict.DOUBLE}
    else:
        step = PER_BATCH // len(others)
        yield array("Q", (a + i for a in others for i in range(step))), {Verdict.OTHER_POOL}


@pytest.mark.parametrize("backing", ["pages", "buffer", "space"])
def test_none_of_ten_million_values_is_accepted(backing: str) -> None:
    rng = random.Random(1)
    with open_pool(backing) as pool, poolcore.Pool() as other:
        sizes: dict[int, int] = {}
        for _ in range(BLOCKS):
            size = rng.choice((16, 100, 1500, 1500, 3000))
            sizes[pool.alloc(size)] = size
        live = sorted(sizes)
        stale = rng.sample(live, BLOCKS // 10)
        pool.free_many(array("Q", stale))
        live = sorted(set(live) - set(stale))
        others = [other.alloc(1000) for _ in range(1000)]
        before = pool.stats().as_dict()
        thrown = 0
        kinds = ("random", "interior", "one bit off", "stale", "other pool's")
        while thrown < PER_BATCH * BATCHES:
            for kind in kinds:
                for batch, allowed in values(kind, rng, live, stale, sizes, others):
                    with pytest.raises(poolcore.FreeError) as caught:
                        pool.free_many(batch)
                    verdicts = caught.value.verdicts
                    assert len(verdicts) == len(batch)
                    assert Verdict.LIVE not in verdicts, f"{kind}: {batch[verdicts.index(Verdict.LIVE)]:#x} was freed"
                    assert set(verdicts) <= allowed, f"{kind}: {set(verdicts) - allowed}"
                    thrown += len(batch)
        assert pool.check() is None
        after = pool.stats().as_dict()
        assert after == before
        pool.free_many(array("Q", live))
        assert pool.stats().live_blocks == 0


def test_each_single_door_refuses_what_the_batch_refuses() -> None:
    with poolcore.Pool() as pool, poolcore.Pool() as other:
        block, gone, foreign = pool.alloc(1500), pool.alloc(1500), other.alloc(1500)
        pool.free(gone)
        outside = ctypes.addressof(ctypes.create_string_buffer(16))
        thrown = {0: Verdict.NULL, gone: Verdict.DOUBLE, block + 1: Verdict.INTERIOR, block + 1499: Verdict.INTERIOR,
                  foreign: Verdict.OTHER_POOL, outside: Verdict.FOREIGN, (1 << 64) - 1: Verdict.FOREIGN}
        for value, verdict in thrown.items():
            assert pool.try_free(value) == verdict
            with pytest.raises(poolcore.FreeError) as caught:
                pool.free(value)
            assert (caught.value.verdict, caught.value.address) == (verdict, value)
        assert pool.try_free(block) == Verdict.LIVE
