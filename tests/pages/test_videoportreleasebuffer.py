"""The sentences of the page VideoPortReleaseBuffer, a test each; and what its family does beside the matrix."""

from __future__ import annotations

import ctypes
import inspect
import pickle
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
from pybuf.routines import ROUTINES

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


def test_it_is_of_video_h_and_videoprt():
    routine = {each.name: each for each in ROUTINES}["VideoPortReleaseBuffer"]
    assert (routine.header, routine.irql, routine.result) == ("video.h", "PASSIVE_LEVEL", "VOID")
    assert [(each.type, each.name) for each in routine.parameters] == [
        ("PVOID", "HwDeviceExtension"), ("PVOID", "Buffer")]
    assert pybuf.windll.videoprt.VideoPortReleaseBuffer.restype is None


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


def explained(call):
    """What a bug check says."""
    with pytest.raises(BugCheck) as caught:
        call()
    return str(caught.value).splitlines()


def test_a_bug_check_reads_as_an_analysis_of_who_allocated_and_who_freed(dev):
    block = VideoPortAllocatePool(dev, 4, 100, "zyxD")
    address = block.address
    VideoPortFreePool(dev, block)
    assert explained(lambda: VideoPortFreePool(dev, block)) == [
        "BAD_POOL_CALLER (c2)",
        "A driver made a bad pool request.",
        "A driver freed a block that was freed before.",
        "Arguments:",
        "Arg1: 0000000000000007, kind of violation",
        "Arg2: 0000000000000000, reserved",
        "Arg3: 0000000000000000, header contents",
        f"Arg4: {address:016x}, address of the block",
        f"Called: VideoPortFreePool for the device extension {dev.extension:#x}",
        "Allocated by: VideoPortAllocatePool, 100 bytes, tag Dxyz, number 1",
        "Freed by: VideoPortFreePool",
    ]


def test_a_bug_check_names_the_block_that_an_address_is_in(dev):
    block = VideoPortAllocateBuffer(dev, 100)[1]
    lines = explained(lambda: VideoPortReleaseBuffer(dev, block.address + 16))
    assert lines[-1] == "Allocated by: VideoPortAllocateBuffer, 100 bytes, tag VidB, number 1"


def test_a_bug_check_spells_out_types_levels_and_tags(machine, dev):
    assert "Arg2: 0000000000000006, pool type (NonPagedPoolCacheAlignedMustS)" in explained(
        lambda: VideoPortAllocatePool(dev, 6, 10, "zyxD"))
    assert "Arg4: 000000007a797844, pool tag (Dxyz)" in explained(lambda: VideoPortAllocatePool(dev, 6, 10, "zyxD"))
    with machine.irql(2):
        assert "Arg2: 0000000000000002, current IRQL (DISPATCH_LEVEL)" in explained(
            lambda: VideoPortAllocatePool(dev, 1, 10, "zyxD"))


@pytest.mark.parametrize("settings", [{}, {"verifier": True}])
def test_every_bug_check_of_the_family_is_explained(settings):
    machine = Machine(**settings)
    dev = machine.video_device()

    def at(irql, call, *arguments):
        with machine.irql(irql), pytest.raises(BugCheck):
            call(dev, *arguments)

    paged, nonpaged = VideoPortAllocatePool(dev, 1, 10, "abcd"), VideoPortAllocatePool(dev, 0, 10, "abcd")
    for arguments in ((1, 0, "abcd"), (1, 5, 0), (1, 5, " GIB"), (1, 5, "...."), (2, 5, "abcd")):
        at(0, VideoPortAllocatePool, *arguments)
    for level, kind in ((2, 1), (3, 0)):
        at(level, VideoPortAllocatePool, kind, 5, "abcd")
    for level, block in ((2, paged), (3, nonpaged)):
        at(level, VideoPortFreePool, block)
    at(0, VideoPortReleaseBuffer, paged)
    VideoPortFreePool(dev, paged)
    for value in (paged, 0, 5, nonpaged.address + 1):
        at(0, VideoPortFreePool, value)
    if settings:
        with machine.irql(1), pytest.raises(BugCheck), machine.irql(0):
            pass
        ctypes.memset(nonpaged.address + 10, 1, 1)
        at(0, VideoPortFreePool, nonpaged)
        ctypes.memset(nonpaged.address + 10, 0xCD, 1)
        with pytest.raises(BugCheck):
            dev.remove()
    assert len(machine.bug_checks) > 10
    for bug in machine.bug_checks:
        assert "parameter 1" not in str(bug)
        assert str(bug).startswith(f"{bug.code.name} ({bug.code:x})\n")
    machine.close()


def test_a_removal_is_told_by_tag():
    machine = Machine(verifier=True)
    dev = machine.video_device()
    for tag in ("zyxD", "zyxD", "abcD"):
        VideoPortAllocatePool(dev, 0, 50, tag)
    VideoPortAllocateBuffer(dev, 7)
    with pytest.raises(BugCheck) as caught:
        dev.remove()
    assert [line for line in str(caught.value).splitlines() if line.startswith("Left")] == [
        "Left behind: tag Dcba, 50 bytes in 1 block", "Left behind: tag Dxyz, 100 bytes in 2 blocks",
        "Left behind: tag VidB, 7 bytes in 1 block"]
    assert pickle.loads(pickle.dumps(caught.value)).left == caught.value.left
    machine.close()


def test_a_block_of_a_removed_device_says_so(machine, dev):
    block = VideoPortAllocatePool(dev, 0, 50, "zyxD")
    dev.remove()
    assert explained(lambda: VideoPortFreePool(machine.video_device(), block))[-1] == (
        "Freed by: the removal of its device")


def test_a_removal_leaves_a_block_that_was_overrun_and_records_it():
    machine = Machine(special_pool=True)
    dev = machine.video_device()
    block = VideoPortAllocatePool(dev, 0, 50, "zyxD")
    ctypes.memset(block.address + 50, 1, 1)
    assert [each.size for each in dev.remove()] == [50]
    assert [each.tag for each in machine.live()] == ["Dxyz"]
    [bug] = machine.bug_checks
    assert (bug.code, bug.parameters) == (0xC1, (block.address, block.address + 50, 0, 0x24))
    machine.close()


def test_an_allowance_is_not_given_back_to_a_device_made_again(machine):
    dev = machine.video_device(extension=0x4321, allowance_bytes=100)
    block = VideoPortAllocateBuffer(dev, 100)[1]
    with memoryview(block):
        dev.remove()
        again = machine.video_device(extension=0x4321, allowance_bytes=50)
    with pytest.raises(BugCheck):
        VideoPortReleaseBuffer(again, block)
    assert again.charged == 0


def test_a_tag_has_ascii_characters(dev):
    with pytest.raises(ValueError, match="ASCII"):
        VideoPortAllocatePool(dev, 0, 10, "zyxÄ")
    with pytest.raises(TypeError, match="int, str or bytes"):
        VideoPortAllocatePool(dev, 0, 10, None)
