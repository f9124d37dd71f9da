"""Metadata that run out, in exhaust.c; and that they do not, whatever a pool served before."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engine_build import compile_program
from poolcore import AddressSpace, Pages, Pool

SEED = 20261129
SIZES = [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1536, 2048]


@pytest.fixture(scope="module")
def exhaust(engine_sources: Path) -> Path:
    return compile_program(engine_sources, "exhaust", ("-O1", "-DPOOLCORE_ASSERTIONS"))


@pytest.mark.parametrize("seed", range(SEED, SEED + 10))
def test_what_is_refused_for_want_of_metadata_changes_nothing(seed: int, exhaust: Path) -> None:
    done = subprocess.run([exhaust, str(seed)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert done.stdout.count(" refused\n") == 11


def fill(pool: Pool, size: int) -> int:
    """How many tagged Buffers there is room for. All are freed."""
    buffers = []
    while (buffer := pool.try_get(size, tag="full")) is not None:
        buffers.append(buffer)
    for buffer in buffers:
        pool.free(buffer)
    return len(buffers)


@pytest.mark.parametrize("sizes", [SIZES, SIZES[::-1]], ids=["up and down", "down and up"])
def test_a_pool_has_as_much_room_for_a_size_as_a_new_one_whatever_it_served(sizes: list[int]) -> None:
    with Pool(memory=Pages(reserve=1 << 20)) as pool:
        for size in sizes + sizes[::-1]:
            with Pool(memory=Pages(reserve=1 << 20)) as new:
                assert fill(pool, size) == fill(new, size) > 0, size
            assert pool.check() is None


def test_a_space_full_of_the_smallest_tagged_blocks_takes_its_own_snapshot_back() -> None:
    with Pool(memory=AddressSpace(1 << 40, 1 << 20)) as pool:
        blocks = []
        while block := pool.try_alloc(16, tag="full"):
            blocks.append(block)
        pool.restore(pool.snapshot())
        assert pool.stats().live_blocks == len(blocks) == (1 << 20) // 16
        assert pool.block_at(blocks[-1]).tag == "full"
        assert pool.check() is None
