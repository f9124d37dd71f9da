"""The sentences of the page VideoPortReleaseBuffer, a test each; and what its family does beside the matrix."""

from __future__ import annotations

import inspect
import random
import threading
import warnings

import pytest

import pybuf
from pybuf import (
    BugCheck,
    Machine,
    VideoPortAllocateBuffer,
    VideoPortAllocatePool,
    VideoPortFreePool,
    VideoPortReleaseBuffer,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*is obsolete:DeprecationWarning")


@pytest.fixture
def machine():
    machine = Machine(clock="manual")
    yield machine
    assert machine.check() is None
    machine.close()


@pytest.fixture
def dev(machine):
    return machine.video_device()


# ---- the page ----

def test_it_is_obsolete(dev):
    with pytest.warns(DeprecationWarning, match="VideoPortReleaseBuffer is obsolete") as warned:
        VideoPortReleaseBuffer(dev, VideoPortAllocateBuffer(dev, 10)[1])
    assert {each.filename for each in warned} == {__file__}
    assert "Obsolete" in VideoPortReleaseBuffer.__doc__


def test_video_port_free_pool_takes_its_place(dev):
    with pytest.warns(DeprecationWarning, match="VideoPortFreePool takes its place"):
        VideoPortReleaseBuffer(dev, VideoPortAllocateBuffer(dev, 10)[1])


def test_the_warning_comes_before_anything_is_done(machine, dev):
    block = VideoPortAllocateBuffer(dev, 10)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning):
            VideoPortAllocateBuffer(dev, 10)
        with pytest.raises(DeprecationWarning):
            VideoPortReleaseBuffer(dev, block)
    assert [each.address for each in machine.live()] == [block.address]


def test_it_deallocates_paged_pool(machine, dev):
    block = VideoPortAllocateBuffer(dev, 10)[1]
    with machine.irql(pybuf.DISPATCH_LEVEL), pytest.raises(BugCheck) as caught:
        VideoPortReleaseBuffer(dev, block)
    assert caught.value.parameters[2] == 1      # PagedPool


def test_it_takes_the_device_extension(dev):
    block = VideoPortAllocateBuffer(dev.extension, 10)[1]
    VideoPortReleaseBuffer(dev.extension, block)
    for unknown in (0, None, 5, 1 << 63):
        with pytest.raises(ValueError, match="no HwDeviceExtension"):
            VideoPortReleaseBuffer(unknown, block)


def test_it_takes_the_buffer_or_its_address(machine, dev):
    VideoPortReleaseBuffer(dev, VideoPortAllocateBuffer(dev, 10)[1])
    VideoPortReleaseBuffer(dev, VideoPortAllocateBuffer(dev, 10)[1].address)
    assert machine.live() == []
    with pytest.raises(TypeError, match="float"):
        VideoPortReleaseBuffer(dev, 1.0)


def test_it_returns_nothing(dev):
    assert VideoPortReleaseBuffer(dev, VideoPortAllocateBuffer(dev, 10)[1]) is None


def test_it_releases_what_video_port_allocate_buffer_allocated(machine, dev):
    status, block = VideoPortAllocateBuffer(dev, 10)
    assert (status, len(block), [each.routine for each in dev.live()]) == (0, 10, ["VideoPortAllocateBuffer"])
    VideoPortReleaseBuffer(dev, block)
    assert dev.live() == []


def test_the_block_must_not_be_accessed_afterwards(dev):
    block = VideoPortAllocateBuffer(dev, 10)[1]
    VideoPortReleaseBuffer(dev, block)
    for access in (lambda: block[0], lambda: len(block), lambda: memoryview(block), lambda: block.address):
        with pytest.raises(ValueError, match="was freed"):
            access()
    machine = Machine(special_pool=True)
    dev = machine.video_device()
    block = VideoPortAllocateBuffer(dev, 10)[1]
    address = block.address
    assert machine.access(address, 10) is None
    assert machine.access(address, 11).code == pybuf.PAGE_FAULT_BEYOND_END_OF_ALLOCATION
    VideoPortReleaseBuffer(dev, block)
    assert machine.access(address, 10).code == pybuf.DRIVER_CAUGHT_MODIFYING_FREED_POOL
    assert machine.access(1 << 40, 10) is None
    assert machine.sweep() == []
    machine.close()


def test_its_irql_is_passive_level(machine, dev):
    VideoPortReleaseBuffer(dev, VideoPortAllocateBuffer(dev, 10)[1])
    assert machine.violations == []
    with machine.irql(pybuf.APC_LEVEL):
        VideoPortReleaseBuffer(dev, VideoPortAllocateBuffer(dev, 10)[1])
    assert [each[:2] for each in machine.violations] == [
        ("VideoPortAllocateBuffer", 1), ("VideoPortReleaseBuffer", 1)]


# ---- the family ----

def test_signatures_are_the_table_of_shapes():
    shapes = {VideoPortAllocateBuffer: "(dev, n)", VideoPortReleaseBuffer: "(dev, b)",
              VideoPortAllocatePool: "(dev, type, n, tag)", VideoPortFreePool: "(dev, b)"}
    assert {function: str(inspect.signature(function)) for function in shapes} == shapes


def test_a_stale_buffer_stays_stale_where_its_address_serves_again(dev):
    stale = VideoPortAllocatePool(dev, 0, 100, "abcd")
    where = stale.address
    VideoPortFreePool(dev, stale)
    others = [VideoPortAllocatePool(dev, 0, 100, "abcd") for _ in range(2000)]
    assert where in [other.address for other in others]
    with pytest.raises(BugCheck) as caught:
        VideoPortFreePool(dev, stale)
    assert caught.value.parameters[0] == 7
    for other in others:
        VideoPortFreePool(dev, other)


@pytest.mark.parametrize("by_address", [False, True])
def test_a_view_keeps_a_block_from_being_freed(machine, dev, by_address):
    block = VideoPortAllocatePool(dev, 1, 100, "abcd")
    given = block.address if by_address else block
    with memoryview(block), pytest.raises(BufferError, match="live views"):
        VideoPortFreePool(dev, given)
    assert machine.bug_checks == []
    VideoPortFreePool(dev, given)


@pytest.mark.parametrize(("tag", "shown"), [("zyxD", "Dxyz"), (b"zyxD", "Dxyz"), (0x7A797844, "Dxyz"), ("ab", "ba..")])
def test_a_tag_is_what_stands_between_the_quotes(dev, tag, shown):
    block = VideoPortAllocatePool(dev, 0, 10, tag)
    assert [each.tag for each in dev.live()] == [shown]
    VideoPortFreePool(dev, block)


def test_a_tag_of_big_is_refused_as_text(dev):
    with pytest.raises(BugCheck) as caught:
        VideoPortAllocatePool(dev, 0, 10, " GIB")
    assert caught.value.parameters[0] == 0x9C


@pytest.mark.parametrize("tag", ["", "abcde", b""])
def test_tags_that_cannot_be(dev, tag):
    with pytest.raises(ValueError, match="one to four characters"):
        VideoPortAllocatePool(dev, 0, 10, tag)


@pytest.mark.parametrize("kind", [3, 7, 512])
def test_pool_types_that_are_none(dev, kind):
    with pytest.raises(ValueError, match="pool types are 0, 1, 4 and 5"):
        VideoPortAllocatePool(dev, kind, 10, "abcd")


def test_minimal_zero_is_a_block_of_one_byte():
    machine = Machine(quirks={"video_zero": "minimal"})
    dev = machine.video_device(allowance_bytes=1)
    status, block = VideoPortAllocateBuffer(dev, 0)
    assert (status, len(block), dev.charged) == (0, 1, 1)
    VideoPortReleaseBuffer(dev, block)
    assert dev.charged == 0
    machine.close()


def test_shared_pairing_frees_either_kind():
    machine = Machine(quirks={"video_pairing": "shared"})
    dev = machine.video_device(allowance_bytes=100)
    VideoPortFreePool(dev, VideoPortAllocateBuffer(dev, 100)[1])
    VideoPortReleaseBuffer(dev, VideoPortAllocatePool(dev, 1, 100, "abcd"))
    assert (dev.charged, machine.live()) == (0, [])
    machine.close()


def test_a_device_that_goes_reports_and_frees_what_it_left(machine, dev):
    VideoPortAllocatePool(dev, 0, 50, "zyxD")
    kept = VideoPortAllocateBuffer(dev, 100)[1]
    view = memoryview(kept)
    left = dev.remove()
    assert sorted((each.routine, each.size) for each in left) == [
        ("VideoPortAllocateBuffer", 100), ("VideoPortAllocatePool", 50)]
    assert machine.live() == []
    view[0] = 1
    view.release()
    assert repr(dev).endswith("removed>")
    for call in (dev.live, dev.remove, lambda: VideoPortAllocatePool(dev, 0, 50, "zyxD")):
        with pytest.raises(ValueError, match=r"removed|no HwDeviceExtension"):
            call()


def test_an_extension_is_one_devices_alone(machine):
    dev = machine.video_device(extension=0x1234)
    with pytest.raises(ValueError, match="0x1234"):
        Machine.current().video_device(extension=0x1234)
    with pytest.raises(ValueError, match="extension is 0"):
        machine.video_device(extension=0)
    dev.remove()
    again = machine.video_device(extension=0x1234, allowance_bytes=5)
    assert (again.extension, again.charged, dev.extension) == (0x1234, 0, 0x1234)


def test_a_closed_machines_device_is_none(machine):
    other = Machine()
    dev = other.video_device()
    other.close()
    with pytest.raises(ValueError, match="no HwDeviceExtension"):
        VideoPortAllocatePool(dev, 0, 10, "abcd")
    with pytest.raises(ValueError, match="machine is closed"):
        dev.live()


def test_the_verifier_sees_who_freed_the_buffer_of_another_machine(machine, dev):
    other = Machine(verifier=True)
    theirs = other.video_device()
    block = VideoPortAllocatePool(dev, 0, 10, "abcd")
    with pytest.raises(BugCheck) as caught:
        VideoPortFreePool(theirs, block)
    assert caught.value.parameters == (0x10, block.address, 0, 0)
    VideoPortFreePool(dev, block)
    other.close()


@pytest.mark.parametrize("settings", [{}, {"verifier": True}, {"special_pool": True}], ids=["plain", "verifier",
                                                                                           "special pool"])
def test_random_calls_of_several_threads_keep_every_count(settings):
    machine = Machine(**settings)
    devices = [machine.video_device(allowance_bytes=20_000) for _ in range(2)]
    errors = []

    def work(seed):
        rng = random.Random(seed)
        held = []
        try:
            for _ in range(1500):
                dev = rng.choice(devices)
                choice = rng.random()
                if choice < 0.3:
                    status, block = VideoPortAllocateBuffer(dev, rng.randrange(1, 5000))
                    assert status in (0, 122)
                    if block is not None:
                        held.append((VideoPortReleaseBuffer, block))
                elif choice < 0.55:
                    block = VideoPortAllocatePool(dev, rng.choice((0, 1, 4, 5)), rng.randrange(1, 9000), "abcd")
                    held.append((VideoPortFreePool, block))
                elif choice < 0.9 and held:
                    free, block = held.pop(rng.randrange(len(held)))
                    free(dev, rng.choice((block, block.address)))
                else:
                    value = rng.choice((0, 1, 0xDEAD0000, rng.getrandbits(64)))
                    with pytest.raises(BugCheck):
                        rng.choice((VideoPortReleaseBuffer, VideoPortFreePool))(dev, value)
            for free, block in held:
                free(devices[0], block)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert machine.live() == []
    assert [dev.charged for dev in devices] == [0, 0]
    assert machine.check() is None
    assert machine.sweep() == []
    machine.close()
