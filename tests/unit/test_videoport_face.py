"""VideoPort in Python: blocks that a with statement frees, and what is raised."""

import warnings

import pytest

import pybuf
from pybuf import videoport

SIZE = 100


@pytest.fixture
def machine():
    machine = pybuf.Machine(clock="manual")
    yield machine
    assert machine.is_closed or machine.check() is None
    machine.close()


@pytest.fixture
def device(machine):
    return machine.video_device(allowance_bytes=1000)


def test_a_block_lives_from_the_entry_to_the_end(device):
    with videoport.pool(device, SIZE, "zyxD") as block:
        block[:4] = b"head"
        assert [(each.routine, each.size, each.tag) for each in device.live()] == [
            ("VideoPortAllocatePool", SIZE, "Dxyz")]
    assert device.live() == []
    with pytest.raises(ValueError, match="freed"):
        block[0]


def test_the_type_is_paged_unless_another_is_asked_for(machine, device):
    with videoport.pool(device, SIZE, "zyxD") as paged, videoport.pool(
            device, SIZE, "zyxD", videoport.VP_POOL_TYPE.VpNonPagedPoolCacheAligned) as nonpaged:
        assert nonpaged.address % 64 == 0
        with machine.irql(pybuf.DISPATCH_LEVEL):
            with pytest.raises(pybuf.BugCheck) as caught:
                pybuf.VideoPortFreePool(device, paged)
            assert caught.value.parameters[2] == videoport.VP_POOL_TYPE.VpPagedPool
            pybuf.VideoPortFreePool(device, nonpaged)
    assert device.live() == []


def test_no_memory_is_raised_with_its_status(machine, device):
    machine.refuse("video_paged")
    with pytest.raises(pybuf.VideoPortError, match=r"VideoPortAllocatePool: ERROR_NOT_ENOUGH_MEMORY.*video_bytes"
                       ) as caught:
        videoport.pool(device, SIZE, "zyxD").__enter__()
    assert (caught.value.status, caught.value.routine) == (pybuf.VpStatus.ERROR_NOT_ENOUGH_MEMORY,
                                                           "VideoPortAllocatePool")
    assert caught.value.meaning


def test_the_allowance_is_raised_with_its_status(machine, device):
    with pytest.warns(DeprecationWarning, match="pool takes its place") as warned:
        held = videoport.buffer(device, 1000)
    assert [each.filename for each in warned] == [__file__]
    with warnings.catch_warnings(), held as block:
        warnings.simplefilter("ignore")
        assert (len(block), device.charged) == (1000, 1000)
        with pytest.raises(pybuf.VideoPortError, match=r"ERROR_INSUFFICIENT_BUFFER.*allowance_bytes") as caught:
            videoport.buffer(device, 1).__enter__()
        assert caught.value.status == 122
        machine.refuse("video_buffer")
        with pytest.raises(pybuf.VideoPortError, match=r"ERROR_NOT_ENOUGH_MEMORY.*video_bytes"):
            videoport.buffer(machine.video_device(), 1).__enter__()
    assert device.charged == 0


def test_misuse_is_a_bug_check_and_no_error(device):
    with pytest.raises(pybuf.BugCheck):
        videoport.pool(device, 0, "zyxD").__enter__()
    assert not issubclass(pybuf.BugCheck, pybuf.VideoPortError)


def test_a_block_that_was_freed_within_is_left_alone(machine, device):
    with videoport.pool(device, SIZE, "zyxD") as block:
        pybuf.VideoPortFreePool(device, block)
    assert machine.bug_checks == []
    with videoport.pool(device, SIZE, "zyxD"):
        device.remove()
    with videoport.pool(machine.video_device(), SIZE, "zyxD"):
        machine.close()


def test_views_outlive_the_end(machine, device):
    with videoport.pool(device, SIZE, "zyxD") as block:
        view = memoryview(block)
    assert machine.live() == []
    view[0] = 1
    view.release()


def test_one_object_is_entered_within_itself(device):
    held = videoport.pool(device, SIZE, "zyxD")
    with held as first, held as second:
        assert first is not second
        assert len(device.live()) == 2
    assert device.live() == []


def test_blocks_are_summed_up_by_tag(device):
    for tag in ("zyxD", "abcD", "zyxD"):
        pybuf.VideoPortAllocatePool(device, 0, 50, tag)
    summed = {"Dcba": (1, 50), "Dxyz": (2, 100)}
    assert videoport.by_tag(device.live()) == summed
    assert videoport.by_tag(device.remove()) == summed
    assert videoport.by_tag([]) == {}
