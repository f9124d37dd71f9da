"""The page of FreeDmaBuffer, sentence by sentence."""

import ctypes
from fractions import Fraction
from pathlib import Path

import pytest

import pybuf
from pybuf import NtStatus
from pybuf.routines import ROUTINES

FORMAT = pybuf.HDAUDIO_STREAM_FORMAT(48000, 16, 16, 2)


@pytest.fixture
def machine():
    machine = pybuf.Machine(clock="manual")
    yield machine
    assert machine.check() is None
    machine.close()


def interface(machine, kind=pybuf.HDAUDIO_BUS_INTERFACE):
    return machine.hdaudio.query_interface(kind)


def engine(bus):
    return bus.AllocateRenderDmaEngine(FORMAT, False)[1]


def test_frees_a_dma_buffer_that_was_allocated_by_allocate_dma_buffer(machine):
    bus = interface(machine)
    handle = engine(bus)
    _, mdl, *_ = bus.AllocateDmaBuffer(handle, 4096)
    assert len(machine.live()) == 1
    assert bus.FreeDmaBuffer(handle) == NtStatus.STATUS_SUCCESS
    assert machine.live() == []
    with pytest.raises(ValueError, match="freed"):
        memoryview(mdl.buffer)


@pytest.mark.parametrize("kind", [pybuf.HDAUDIO_BUS_INTERFACE, pybuf.HDAUDIO_BUS_INTERFACE_V2])
def test_context_is_that_of_the_base_interface_or_of_version_2(machine, kind):
    bus = interface(machine, kind)
    handle = engine(bus)
    assert bus.AllocateDmaBuffer(handle, 4096)[0] == 0
    pointers = bus.pointers
    assert pointers.FreeDmaBuffer(pointers.Context, handle) == 0
    assert pointers.FreeDmaBuffer(pointers.Context + 64, handle) & 0xFFFFFFFF == NtStatus.STATUS_NO_SUCH_DEVICE


def test_handle_is_the_engines(machine):
    bus = interface(machine)
    handle = engine(bus)
    _, mdl, *_ = bus.AllocateDmaBuffer(handle, 4096)
    for other in (mdl, mdl.buffer, mdl.buffer.address):
        assert bus.FreeDmaBuffer(other) is NtStatus.STATUS_INVALID_HANDLE
    assert bus.FreeDmaBuffer(handle) is NtStatus.STATUS_SUCCESS


def test_unsuccessful_when_the_irql_is_too_high(machine):
    bus = interface(machine)
    handle = engine(bus)
    bus.AllocateDmaBuffer(handle, 4096)
    for irql in (pybuf.APC_LEVEL, pybuf.DISPATCH_LEVEL):
        with machine.irql(irql):
            assert bus.FreeDmaBuffer(handle) is NtStatus.STATUS_UNSUCCESSFUL
    assert len(machine.live()) == 1


def test_prototype_header_and_irql():
    routine = {each.name: each for each in ROUTINES}["FreeDmaBuffer"]
    assert (routine.header, routine.irql, routine.result) == ("hdaudio.h", "PASSIVE_LEVEL", "NTSTATUS")
    assert [each.type for each in routine.parameters] == ["PVOID", "HANDLE"]
    text = Path(pybuf.get_include(), "pybuf.h").read_text()
    assert "typedef NTSTATUS (WINAPI *PFREE_DMA_BUFFER)(PVOID context, HANDLE Handle);" in text


@pytest.mark.parametrize("handle", [0, 1, 4, None, -1, 1 << 63, 0xDEADBEEF])
def test_invalid_handle_when_it_is_none(machine, handle):
    assert interface(machine).FreeDmaBuffer(handle) is NtStatus.STATUS_INVALID_HANDLE


def test_invalid_device_request_when_no_buffer_is_allocated(machine):
    bus = interface(machine)
    handle = engine(bus)
    assert bus.FreeDmaBuffer(handle) is NtStatus.STATUS_INVALID_DEVICE_REQUEST


@pytest.mark.parametrize("states", [(1,), (1, 2)])
def test_invalid_device_request_in_a_state_other_than_reset(machine, states):
    bus = interface(machine)
    handle = engine(bus)
    bus.AllocateDmaBuffer(handle, 4096)
    for state in states:
        bus.SetDmaEngineState(state, [handle])
    assert bus.FreeDmaBuffer(handle) is NtStatus.STATUS_INVALID_DEVICE_REQUEST
    assert len(machine.live()) == 1


def test_interface_does_not_include_the_three_for_a_bdl(machine):
    names = ("AllocateContiguousDmaBuffer", "SetupDmaEngineWithBdl", "FreeContiguousDmaBuffer")
    for kind in (pybuf.HDAUDIO_BUS_INTERFACE, pybuf.HDAUDIO_BUS_INTERFACE_V2):
        bus = interface(machine, kind)
        for name in names:
            assert not hasattr(bus, name)
            assert not hasattr(bus.pointers, name)


def test_pair_is_not_in_the_interface_with_a_bdl(machine):
    bus = interface(machine, pybuf.HDAUDIO_BUS_INTERFACE_BDL)
    for name in ("AllocateDmaBuffer", "FreeDmaBuffer"):
        assert not hasattr(bus, name)
        assert not hasattr(bus.pointers, name)


def test_never_used_in_conjunction_with_the_three(machine):
    base, bdl = interface(machine), interface(machine, pybuf.HDAUDIO_BUS_INTERFACE_BDL)
    handle = engine(base)
    base.AllocateDmaBuffer(handle, 4096)
    assert bdl.FreeContiguousDmaBuffer(handle) is NtStatus.STATUS_INVALID_DEVICE_REQUEST
    assert bdl.SetupDmaEngineWithBdl(handle, 4096, 1, None, None)[0] is NtStatus.STATUS_INVALID_DEVICE_REQUEST
    base.FreeDmaBuffer(handle)
    bdl.AllocateContiguousDmaBuffer(handle, 4096)
    assert base.FreeDmaBuffer(handle) is NtStatus.STATUS_INVALID_DEVICE_REQUEST


def test_allocate_both_allocates_and_configures(machine):
    bus = interface(machine)
    handle = engine(bus)
    _, _, _, stream_id, _ = bus.AllocateDmaBuffer(handle, 4096)
    assert 1 <= stream_id <= 15
    assert [bus.SetDmaEngineState(state, handle) for state in (1, 2)] == [0, 0]
    _, register = bus.GetLinkPositionRegister(handle)
    machine.advance(Fraction(1, 100))
    assert int(register) == 1920


def test_setup_configures_what_was_allocated_before(machine):
    bus, bdl = interface(machine), interface(machine, pybuf.HDAUDIO_BUS_INTERFACE_BDL)
    handle = engine(bus)
    _, buffer, entries = bdl.AllocateContiguousDmaBuffer(handle, 4096)
    assert bus.SetDmaEngineState(1, handle) is NtStatus.STATUS_INVALID_DEVICE_REQUEST
    for place in range(2):
        entries[place] = (machine.physical_address(buffer) + 2048 * place, 2048, 0)
    assert bdl.SetupDmaEngineWithBdl(handle, 4096, 1, None, None)[0] == 0
    assert bus.SetDmaEngineState(1, handle) == 0


@pytest.mark.parametrize(("kind", "size"), [
    (pybuf.HDAUDIO_BUS_INTERFACE, 144), (pybuf.HDAUDIO_BUS_INTERFACE_V2, 176), (pybuf.HDAUDIO_BUS_INTERFACE_BDL, 152)])
def test_structures_have_their_real_size(machine, kind, size):
    pointers = interface(machine, kind).pointers
    assert ctypes.sizeof(pointers) == pointers.Size == size


def test_views_keep_the_buffer_from_python_and_defer_it_from_ctypes(machine):
    bus = interface(machine)
    handle = engine(bus)
    _, mdl, *_ = bus.AllocateDmaBuffer(handle, 4096)
    with memoryview(mdl.buffer) as view:
        with pytest.raises(BufferError):
            bus.FreeDmaBuffer(handle)
        assert len(machine.live()) == 1
        pointers = bus.pointers
        assert pointers.FreeDmaBuffer(pointers.Context, handle) == 0
        assert bus.FreeDmaBuffer(handle) is NtStatus.STATUS_INVALID_DEVICE_REQUEST
        view[0] = 1
    assert machine.live() == []
