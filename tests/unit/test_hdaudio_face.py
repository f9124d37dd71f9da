"""HD Audio in Python: streams that a with statement ends, interfaces by their names, and what callbacks see."""

import ctypes
import signal
import threading
import time
import uuid
from fractions import Fraction

import pytest

import pybuf
from pybuf import hdaudio

CD = pybuf.HDAUDIO_STREAM_FORMAT(48000, 16, 16, 2)
HALF = 1920
LONG = 1 << 17


@pytest.fixture
def machine():
    machine = pybuf.Machine(clock="manual")
    yield machine
    assert machine.is_closed or machine.check() is None
    machine.close()


def running(machine, size=2 * HALF, bus=None, notifications=2):
    """A stream that runs."""
    stream = (bus or machine.hdaudio).render_stream(CD, size, notifications=notifications)
    stream.start()
    return stream


# ---- streams ----

def test_a_stream_lives_from_the_entry_to_the_end(machine):
    with machine.hdaudio.render_stream(CD, 4096) as stream:
        assert (stream.size, len(stream.buffer), stream.stream_id, stream.converter_format) == (4096, 4096, 1, 0x11)
        assert [block.routine for block in machine.live()] == ["AllocateDmaBuffer"]
        stream.start()
        machine.advance(Fraction(1, 100))
        assert stream.position == 1920
    assert machine.live() == []
    with pytest.raises(pybuf.HdAudioError, match="GetLinkPositionRegister"):
        _ = stream.position
    stream.close()
    assert repr(stream).endswith("closed>")


def test_stop_keeps_the_position_and_reset_does_not(machine):
    with running(machine) as stream:
        machine.advance(Fraction(1, 100))
        stream.stop()
        machine.advance(1)
        assert stream.position == HALF
        stream.start()
        machine.advance(Fraction(1, 200))
        assert stream.position == HALF + HALF // 2
        stream.reset()
        assert stream.position == 0


def test_several_start_and_stop_at_one_instant(machine):
    with machine.hdaudio.render_stream(CD, 4096) as first, machine.hdaudio.capture_stream(CD, 8192) as second:
        hdaudio.start(first, second)
        machine.advance(Fraction(1, 100))
        hdaudio.stop(first, second)
        assert (first.position, second.position) == (1920, 1920)
    with pytest.raises(TypeError, match="one Stream"):
        hdaudio.start()


@pytest.mark.parametrize(("arguments", "words", "message"), [
    ({"format": pybuf.HDAUDIO_STREAM_FORMAT(1, 16, 16, 2)}, {}, "AllocateRenderDmaEngine: STATUS_INVALID_PARAMETER"),
    ({"size": 0}, {}, "AllocateDmaBuffer: STATUS_INVALID_PARAMETER"),
    ({}, {"notifications": 3}, "AllocateDmaBufferWithNotification: STATUS_INVALID_PARAMETER"),
    ({}, {"codec": 7}, "IRP_MN_QUERY_INTERFACE: STATUS_NO_SUCH_DEVICE"),
])
def test_what_fails_is_raised_with_its_routine_and_leaves_nothing(machine, arguments, words, message):
    given = {"format": CD, "size": 4096, **arguments, **words}
    with pytest.raises(pybuf.HdAudioError, match=message):
        machine.hdaudio.render_stream(**given)
    streams = [machine.hdaudio.render_stream(CD, 4096) for _ in range(4)]
    with pytest.raises(pybuf.HdAudioError, match="STATUS_INSUFFICIENT_RESOURCES") as caught:
        machine.hdaudio.render_stream(CD, 4096)
    assert caught.value.status is pybuf.NtStatus.STATUS_INSUFFICIENT_RESOURCES
    for stream in streams:
        stream.close()
    assert machine.live() == []


def test_what_the_routines_freed_is_no_error(machine):
    bus = machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE)
    with machine.hdaudio.render_stream(CD, 4096) as stream:
        assert bus.FreeDmaBuffer(stream.handle) == 0
        assert bus.FreeDmaEngine(stream.handle) == 0
    with machine.hdaudio.render_stream(CD, 4096) as stream:
        assert bus.FreeDmaBuffer(stream.handle) == 0
    assert bus.FreeDmaEngine(stream.handle) == 0xC0000008
    with machine.hdaudio.render_stream(CD, 4096):
        machine.close()


def test_views_outlive_a_stream(machine):
    with machine.hdaudio.render_stream(CD, 4096) as stream:
        view = memoryview(stream.buffer)
    assert machine.live() == []
    view[0] = 1
    view.release()


def test_an_event_is_set_at_the_right_byte(machine):
    with running(machine) as stream:
        event = stream.event()
        machine.advance(Fraction(HALF // 4 - 1, 48000))
        assert not event.is_set()
        machine.advance(Fraction(1, 48000))
        assert event.wait(0)
        event.close()
        machine.advance(1)


def test_a_real_clock_sets_events_that_are_waited_for():
    machine = pybuf.Machine()
    with running(machine) as stream:
        event = stream.event()
        assert all(event.wait(60) for _ in range(3))
    machine.close()


# ---- time ----

def test_a_big_step_shows_every_event_at_its_own_instant(machine):
    bus = machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE_BDL)
    wall = bus.GetWallClockRegister()
    seen, handles = [], []
    for place, length in enumerate((1024, 1536)):
        handle = bus.AllocateRenderDmaEngine(CD, False)[1]
        _, buffer, entries = bus.AllocateContiguousDmaBuffer(handle, 4096)
        for number in range(2):
            entries[number] = (machine.physical_address(buffer) + 2048 * number, length, 1)
        _, position = bus.GetLinkPositionRegister(handle)

        def isr(context, mask, position=position):
            seen.append((machine.ticks, int(wall), context, mask, int(position)))

        assert bus.SetupDmaEngineWithBdl(handle, 2 * length, 1, isr, place)[0] == 0
        handles.append(handle)
    for state in (1, 2):
        assert bus.SetDmaEngineState(state, handles) == 0
    machine.advance(Fraction(3072 // 4, 48000))
    # A frame of 4 bytes takes 500 ticks.
    assert seen == [
        (tick, tick, place, 4, at) for tick, place, at in
        [(128_000, 0, 1024), (192_000, 1, 1536), (256_000, 0, 0), (384_000, 0, 1024), (384_000, 1, 0)]]


def test_parts_of_a_tick_are_kept(machine):
    with running(machine) as stream:
        for _ in range(7):
            machine.advance(Fraction(1, 7))
        assert machine.ticks == 24_000_000
        assert stream.position == 48000 * 4 % stream.size


def test_a_position_is_exact_after_years(machine):
    form = pybuf.HDAUDIO_STREAM_FORMAT(44100, 16, 16, 2)
    with machine.hdaudio.render_stream(form, 1 << 24) as stream:
        stream.start()
        machine.advance(100_000 + Fraction(1, 3))
        assert stream.position == (machine.ticks * 44100 // 24_000_000) * 4 % (1 << 24)


@pytest.mark.parametrize("seconds", [1 << 60, Fraction(1 << 80, 3)])
def test_time_beyond_the_clock_is_refused(machine, seconds):
    with pytest.raises(OverflowError, match="2\\*\\*63 ticks"):
        machine.advance(seconds)
    assert machine.ticks == 0


@pytest.mark.parametrize("seconds", [-1, 1.5, "1", None])
def test_time_that_is_none_is_refused(machine, seconds):
    with pytest.raises((TypeError, ValueError), match="seconds is"):
        machine.advance(seconds)


def test_ctrl_c_ends_a_step_that_takes_for_ever(machine):
    with running(machine):
        def interrupt():
            while machine.ticks == 0:
                time.sleep(0.001)
            signal.raise_signal(signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            machine.advance(10_000_000_000)
        thread.join()
        assert 0 < machine.ticks < 24_000_000 * 10_000_000_000


# ---- callbacks that raise ----

def test_time_stops_where_a_callback_raises(machine):
    bus = pybuf.HdAudioBus(codecs=[pybuf.Codec(0, sink=lambda stream, data: 1 / 0)])
    machine.hdaudio = bus
    with running(machine, bus=bus) as stream:
        with pytest.raises(ZeroDivisionError):
            machine.advance(1)
        assert machine.ticks == 240_000
        assert stream.position == HALF
        assert machine.check() is None
        with pytest.raises(ZeroDivisionError):
            machine.advance(1)
        assert machine.ticks == 480_000
    assert machine.callback_errors == 0


def test_what_a_callback_raises_to_c_is_unraisable_and_counted(machine, monkeypatch):
    raised = []
    monkeypatch.setattr("sys.unraisablehook", raised.append)
    machine.hdaudio = pybuf.HdAudioBus(codecs=[pybuf.Codec(0, respond=lambda command: 1 / 0)])
    pointers = machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE).pointers
    verb = (ctypes.c_uint64 * 2)(0x000F0004, 7)
    assert pointers.TransferCodecVerbs(pointers.Context, 1, verb, None, None) == 0
    assert verb[1] == 0
    assert [each.exc_type for each in raised] == [ZeroDivisionError]
    assert machine.callback_errors == 1


# ---- interfaces ----

@pytest.mark.parametrize("kind", [pybuf.HDAUDIO_BUS_INTERFACE, pybuf.HDAUDIO_BUS_INTERFACE_V2,
                                  pybuf.HDAUDIO_BUS_INTERFACE_BDL])
def test_an_interface_is_had_by_class_uuid_or_text(machine, kind):
    for name in (kind, kind.guid, f"{{{kind.guid.lower()}}}", uuid.UUID(kind.guid)):
        assert type(machine.hdaudio.query_interface(name)) is kind
    size = machine.hdaudio.query_interface(kind).pointers.Size
    assert type(machine.hdaudio.query_interface(kind, size=size)) is kind
    for words in ({"size": size - 8}, {"version": 0x0200}):
        with pytest.raises(pybuf.HdAudioError, match="STATUS_NOT_SUPPORTED"):
            machine.hdaudio.query_interface(kind, **words)


@pytest.mark.parametrize("name", ["DC25DA12-BCD1-4C7F-84E1-02ADB6DCDCBF", "no", 5, None, int])
def test_another_interface_is_not_supported(machine, name):
    with pytest.raises(pybuf.HdAudioError, match="STATUS_NOT_SUPPORTED") as caught:
        machine.hdaudio.query_interface(name)
    assert caught.value.status is pybuf.NtStatus.STATUS_NOT_SUPPORTED


def test_releasing_twice_takes_one_use(machine):
    first, second = (machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE) for _ in range(2))
    first.release()
    first.release()
    assert second.AllocateRenderDmaEngine(CD, False)[0] == 0
    third = pybuf.HDAUDIO_BUS_INTERFACE.at(second.context)
    second.release()
    assert third.AllocateRenderDmaEngine(CD, False)[0] == 0
    third.release()
    assert third.AllocateRenderDmaEngine(CD, False)[0] == 0xC000000E


def test_void_routines_write_nothing_for_a_context_that_is_none(machine):
    pointers = machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE).pointers
    out = ctypes.c_void_p(7)
    pointers.GetWallClockRegister(pointers.Context + 64, ctypes.byref(out))
    assert out.value == 7
    pair = (ctypes.c_uint8 * 2)(8, 9)
    pointers.GetResourceInformation(pointers.Context + 64, ctypes.byref(pair), ctypes.byref(pair, 1))
    assert bytes(pair) == bytes([8, 9])
    bus = pybuf.HDAUDIO_BUS_INTERFACE.at(5)
    assert (bus.GetWallClockRegister(), bus.GetResourceInformation()) == (None, (None, None))


def test_both_conventions_have_the_same_layout(machine):
    bus = machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE_V2)
    ours, theirs = bus.pointers, bus.pointers_ms
    assert bus.pointers is ours
    assert [(name, getattr(type(ours), name).offset) for name, _ in ours._fields_] == [
        (name, getattr(type(theirs), name).offset) for name, _ in theirs._fields_]
    assert (theirs.Size, theirs.Version, theirs.Context) == (ours.Size, ours.Version, ours.Context)
    functions = [(ctypes.cast(getattr(each, name), ctypes.c_void_p).value for each in (ours, theirs))
                 for name, _ in ours._fields_[3:]]
    assert all(one != other and one and other for one, other in functions)


# ---- memory ----

def test_an_mdl_describes_the_buffer(machine):
    machine.physical_offset = 1 << 32
    with machine.hdaudio.render_stream(CD, 5000) as stream:
        mdl = stream.mdl
        first = machine.physical_address(stream.buffer) // 4096
        assert (mdl.byte_count, mdl.byte_offset, mdl.pages) == (5000, 0, (first, first + 1))
        assert stream.buffer.address % 4096 == 0


def test_a_register_is_dead_with_its_engine_and_its_memory_with_the_machine(machine):
    bus = machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE)
    handle = bus.AllocateRenderDmaEngine(CD, False)[1]
    _, register = bus.GetLinkPositionRegister(handle)
    address, wall = register.address, bus.GetWallClockRegister()
    bus.FreeDmaEngine(handle)
    with pytest.raises(ValueError, match="engine is freed"):
        int(register)
    assert ctypes.c_uint32.from_address(address).value == 0
    machine.close()
    with pytest.raises(ValueError, match="closed"):
        int(wall)


def test_a_buffer_that_was_freed_by_its_method_is_nobodys(machine):
    sent = []
    bus = pybuf.HdAudioBus(codecs=[pybuf.Codec(0, sink=lambda stream, data: sent.append((stream, data)))])
    machine.hdaudio = bus
    first = bus.render_stream(CD, LONG)
    first.buffer[:] = b"1" * LONG
    where = first.buffer.address
    first.buffer.free()
    others = [bus.render_stream(CD, LONG) for _ in range(3)]
    for stream in others:
        stream.buffer[:] = b"2" * LONG
    assert where in [stream.buffer.address for stream in others]
    hdaudio.start(first, *others)
    machine.advance(Fraction(1, 100))
    assert {data for stream, data in sent if stream == 1} == {bytes(1920)}
    assert {data for stream, data in sent if stream != 1} == {b"2" * 1920}
    first.close()
    assert len(machine.live()) == 3
    assert all(bytes(stream.buffer) == b"2" * LONG for stream in others)
