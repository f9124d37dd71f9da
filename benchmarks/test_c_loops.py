"""C loops beside floors and policies: an allocator called through its two function pointers; see OPERATIONS.

What all allocators are compared in is in test_workloads.py.
"""

import pytest

from pybuf.bench.ratios import _loops
from pybuf.bench.ratios.callees import callee
from pybuf.bench.ratios.jobs import two_processors

PEERS = ("glibc", "mimalloc", "tcmalloc", "poolcore")
OPERATIONS = 10_000  # pairs, replacements or blocks in one timed call


@pytest.mark.parametrize("name", ["F0", "F1", "F3", *PEERS, "poolcore one-class"])
def test_pair_1500(benchmark, name):
    target = callee(name, 1500)
    if name != "F0":
        _loops.verify(target, 256, 1500, 1500)
    pairs = _loops.Pair(target, 1500, 0 if name == "F0" else 64)
    benchmark(pairs.run, OPERATIONS)
    pairs.close()


@pytest.mark.parametrize("name", PEERS)
def test_pair_64(benchmark, name):
    target = callee(name, 64)
    _loops.verify(target, 256, 64, 64)
    pairs = _loops.Pair(target, 64)
    benchmark(pairs.run, OPERATIONS)
    pairs.close()


@pytest.mark.parametrize("policy", ["limit", "events", "guard", "quarantine"])
def test_pair_1500_with_a_policy(benchmark, policy):
    target = callee(f"poolcore {policy}", 1500)
    _loops.verify(target, 256, 1500, 1500)
    pairs = _loops.Pair(target, 1500)
    benchmark(pairs.run, OPERATIONS)
    pairs.close()


@pytest.mark.parametrize("name", PEERS)
def test_random_replacement_among_100000(benchmark, name):
    blocks = _loops.Blocks(callee(name, 1500), 100_000, OPERATIONS)
    blocks.draw(1500, 1500, OPERATIONS, seed=100_000)
    blocks.fill()
    benchmark(blocks.run)
    blocks.verify()
    blocks.drain()


@pytest.mark.parametrize("live", [1_000, 100_000])
def test_random_replacement_in_an_address_space(benchmark, live):
    blocks = _loops.Blocks(callee("poolcore addresses", 1500), live, OPERATIONS)
    blocks.draw(1500, 1500, OPERATIONS, seed=live)
    blocks.fill(touch=False)
    benchmark(blocks.run, touch=False)
    blocks.drain()


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("pools", [1, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_with_blocks_of_their_own(benchmark, name, pools, threads):
    targets = [callee(name, 1500) for _ in range(pools)]
    for target in targets:
        _loops.verify(target, 256, 1500, 1500)
    benchmark(_loops.run_threads, targets, 1500, 20 * OPERATIONS, two_processors()[:threads])


@pytest.mark.parametrize("name", PEERS)
def test_first_allocation_of_a_thread(benchmark, name):
    benchmark(_loops.run_first, callee(name, 1500), 1500, two_processors()[0])
