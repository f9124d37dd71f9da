"""Scenarios of the VideoPort rows. See conftest.py."""

import ctypes

import pytest
from conformance import World, row

import pybuf

NONPAGED, PAGED, CACHE_ALIGNED = 0, 1, 4
TAG = 0x7A797844        # 'zyxD' in C


def device(world: World, **arguments):
    return world.machine.video_device(**arguments)


def call(world: World, routine: str, *arguments):
    """A routine; the obsolete ones warn in Python."""
    obsolete = routine in ("VideoPortAllocateBuffer", "VideoPortReleaseBuffer")
    if obsolete and world.door.has_members:
        with pytest.warns(DeprecationWarning, match="obsolete"):
            return getattr(world, routine)(*arguments)
    return getattr(world, routine)(*arguments)


def allocate(world: World, dev, size: int = 4096):
    return call(world, "VideoPortAllocateBuffer", dev, size)


def release(world: World, dev, block):
    return call(world, "VideoPortReleaseBuffer", dev, block)


def pool(world: World, dev, kind: int = PAGED, size: int = 100, tag: int = TAG):
    return call(world, "VideoPortAllocatePool", dev, kind, size, tag)


def free(world: World, dev, block):
    return call(world, "VideoPortFreePool", dev, block)


def is_refused_once(world: World, answer, live: int):
    """A bug check: recorded once, and the blocks are as they were."""
    assert len(world.machine.bug_checks) == 1
    assert len(world.live()) == live
    return answer


def at(world: World, irql: int, routine, *arguments):
    with world.machine.irql(irql):
        return routine(world, *arguments)


# ---- VideoPortAllocateBuffer ----

@row(152, live=1)
def allocates_paged_pool(world: World):
    dev = device(world)
    answer = allocate(world, dev)
    assert [(block.size, block.address) for block in dev.live()] == [(4096, answer[1])]
    return answer


@row(153)
def the_pool_has_no_room(world: World):
    dev = device(world)
    world.machine.refuse("video_buffer")
    answer = allocate(world, dev)
    assert answer[1] is None
    assert dev.charged == 0
    return answer


@row(154, live=1)
def the_allowance_is_exceeded(world: World):
    dev = device(world, allowance_bytes=5000)
    allocate(world, dev)
    world.machine.refuse("video_buffer")        # the allowance is looked at first
    answer = allocate(world, dev, 905)
    world.machine.refuse("video_buffer", count=0)
    assert answer[1] is None
    assert dev.charged == 4096
    return answer


@row(155, live=1)
def the_allowance_comes_back(world: World):
    dev = device(world, allowance_bytes=5000)
    block = allocate(world, dev, 5000)[1]
    assert allocate(world, dev, 1)[0] == 122
    release(world, dev, block)
    return allocate(world, dev, 5000)


@row(156)
def zero_bytes_of_buffer(world: World):
    return is_refused_once(world, allocate(world, device(world), 0), 0)


@row(157)
def a_buffer_at_dispatch_level(world: World):
    return is_refused_once(world, at(world, 2, allocate, device(world)), 0)


# ---- VideoPortReleaseBuffer ----

@row(158)
def releases_a_live_block(world: World):
    dev = device(world)
    return release(world, dev, allocate(world, dev)[1])


@row(159)
def a_second_release(world: World):
    dev = device(world)
    block = allocate(world, dev)[1]
    release(world, dev, block)
    answer = is_refused_once(world, release(world, dev, block), 0)
    assert answer.bug.parameters[3] == block
    assert answer.bug.allocated.routine == "VideoPortAllocateBuffer"
    assert answer.bug.freed == "VideoPortReleaseBuffer"
    return answer


@row(160)
def an_address_in_no_pool(world: World):
    return is_refused_once(world, release(world, device(world), 0xDEAD0000), 0)


@row(161)
def releases_null(world: World):
    return is_refused_once(world, release(world, device(world), None), 0)


@row(162, live=2)
def an_interior_pointer_or_a_pool_block(world: World):
    dev = device(world)
    block, other = allocate(world, dev)[1], pool(world, dev)[0]
    first = release(world, dev, other)
    assert first.bug.parameters[:2] == (0x99, other)
    answer = release(world, dev, block + 16)
    assert answer.bug.parameters[1] == block + 16
    assert len(world.machine.bug_checks) == 2
    return answer


@row(163, live=1)
def releases_at_dispatch_level(world: World):
    dev = device(world)
    block = allocate(world, dev)[1]
    answer = is_refused_once(world, at(world, 2, release, dev, block), 1)
    assert answer.bug.parameters == (9, 2, PAGED, block)
    return answer


@row(361)
def releases_at_apc_level(world: World):
    dev = device(world)
    block = allocate(world, dev)[1]
    answer = at(world, 1, release, dev, block)
    assert world.machine.violations == [("VideoPortReleaseBuffer", 1, block)]
    return answer


@row(369)
def releases_a_block_of_another_device(world: World):
    one, other = device(world, allowance_bytes=4096), device(world)
    block = allocate(world, one)[1]
    answer = release(world, other, block)
    assert (one.charged, other.charged) == (0, 0)
    return answer


@row(164, without=("guest",))
def a_write_after_release(world: World):
    dev = device(world)
    block = allocate(world, dev)[1]
    assert world.machine.access(block, 16, True) is None
    release(world, dev, block)
    ctypes.memset(block + 40, 1, 1)
    found = world.machine.sweep()
    assert [(bug.code, bug.parameters) for bug in found] == [(0xC6, (block + 40, 1, 0, 0))]
    return world.machine.access(block, 1, write=True)


@row(165, live=1, without=("guest",))
def an_overrun_found_at_release(world: World):
    dev = device(world)
    block = allocate(world, dev, 64)[1]
    ctypes.memset(block + 64, 1, 1)
    answer = is_refused_once(world, release(world, dev, block), 1)
    assert answer.bug.parameters == (block, block + 64, 0, 0x24)
    return answer


# ---- VideoPortAllocatePool ----

@row(166, live=8)
def every_type_at_passive_and_apc(world: World):
    dev = device(world)
    for irql in (0, 1):
        for kind in (0, 1, 4, 5):
            answer = at(world, irql, pool, dev, kind)
            assert answer[0] % (64 if kind & 4 else 16) == 0
    return answer


@row(167, live=2)
def nonpaged_pool_at_dispatch_level(world: World):
    dev = device(world)
    assert at(world, 2, pool, dev, NONPAGED)[0]
    return at(world, 2, pool, dev, NONPAGED | CACHE_ALIGNED)


@row(168)
def no_memory(world: World):
    dev = device(world)
    assert pool(world, dev, NONPAGED, 1 << 40)[0] is None
    world.machine.refuse("video_paged")
    return pool(world, dev, PAGED)


@row(169, 364)
def paged_pool_at_dispatch_level(world: World):
    answer = is_refused_once(world, at(world, 2, pool, device(world), PAGED), 0)
    assert answer.bug.parameters[1:] == (2, PAGED, 100)
    return answer


@row(359, 365)
def nonpaged_pool_above_dispatch_level(world: World):
    answer = is_refused_once(world, at(world, 3, pool, device(world), NONPAGED), 0)
    assert answer.bug.parameters[1:] == (3, NONPAGED, 100)
    return answer


@row(170, 363)
def zero_bytes_of_pool(world: World):
    return is_refused_once(world, pool(world, device(world), PAGED, 0), 0)


@row(171)
def tag_zero(world: World):
    return is_refused_once(world, pool(world, device(world), tag=0), 0)


@row(172)
def tag_big(world: World):
    return is_refused_once(world, pool(world, device(world), tag=0x20474942), 0)


@row(173)
def a_tag_without_letter_or_digit(world: World):
    return is_refused_once(world, pool(world, device(world), tag=0x2E2E2E2E), 0)


@row(174)
def must_succeed(world: World):
    return is_refused_once(world, pool(world, device(world), 2), 0)


@row(362)
def must_succeed_and_cache_aligned(world: World):
    return is_refused_once(world, pool(world, device(world), 6), 0)


@row(368, live=24)
def no_block_crosses_a_page(world: World):
    dev = device(world)
    for kind in (NONPAGED, PAGED):
        for size in (1, 16, 17, 100, 1500, 2047, 2048, 4095, 4096, 4097, 65_536, 100_000):
            answer = pool(world, dev, kind, size)
            if size >= 4096:
                assert answer[0] % 4096 == 0
            else:
                assert answer[0] % 16 == 0
                assert answer[0] // 4096 == (answer[0] + size - 1) // 4096
    return answer


# ---- VideoPortFreePool ----

@row(175)
def frees_a_live_block(world: World):
    dev = device(world)
    return free(world, dev, pool(world, dev)[0])


@row(176)
def frees_nonpaged_pool_at_dispatch_level(world: World):
    dev = device(world)
    return at(world, 2, free, dev, pool(world, dev, NONPAGED)[0])


@row(177, 184, live=1)
def frees_paged_pool_at_dispatch_level(world: World):
    dev = device(world)
    block = pool(world, dev)[0]
    answer = is_refused_once(world, at(world, 2, free, dev, block), 1)
    assert answer.bug.parameters[1:] == (2, PAGED, block)
    return answer


@row(360, 366, live=1)
def frees_nonpaged_pool_above_dispatch_level(world: World):
    dev = device(world)
    block = pool(world, dev, NONPAGED)[0]
    answer = is_refused_once(world, at(world, 3, free, dev, block), 1)
    assert answer.bug.parameters[1:] == (3, NONPAGED, block)
    return answer


@row(178, 183)
def a_second_free(world: World):
    dev = device(world)
    block = pool(world, dev)[0]
    free(world, dev, block)
    answer = is_refused_once(world, free(world, dev, block), 0)
    assert answer.bug.allocated[2:] == ("Dxyz", 100)
    return answer


@row(179, 182)
def frees_a_foreign_address(world: World):
    answer = is_refused_once(world, free(world, device(world), 0xDEAD0000), 0)
    assert answer.bug.parameters[1] == 0xDEAD0000
    return answer


@row(358)
def frees_null(world: World):
    return is_refused_once(world, free(world, device(world), None), 0)


@row(180, live=2)
def an_interior_pointer_or_a_buffer(world: World):
    dev = device(world)
    block, other = pool(world, dev)[0], allocate(world, dev)[1]
    assert free(world, dev, block + 16).bug.parameters[:2] == (0x99, block + 16)
    return free(world, dev, other)


@row(367, live=1, without=("guest",))
def an_overrun_found_at_free(world: World):
    dev = device(world)
    block = pool(world, dev, size=64)[0]
    ctypes.memset(block + 64, 1, 1)
    answer = is_refused_once(world, free(world, dev, block), 1)
    assert answer.bug.parameters == (0x51, block, block + 64, 64)
    return answer


# ---- the end of a device ----

@row(185)
def a_device_leaves_blocks(world: World):
    dev = device(world)
    allocate(world, dev, 100)
    pool(world, dev, NONPAGED, 50)
    with pytest.raises(pybuf.BugCheck) as caught:
        dev.remove()
    assert caught.value.parameters == (0x60, 100, 50, 2)
    return caught.value
