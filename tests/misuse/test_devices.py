"""What no driver should do to VideoPort and HD Audio: an answer or an exception, never a crash, and nothing is left."""

import copy
import ctypes
import gc
import pickle
import random
import subprocess
import sys
import textwrap
import threading
import weakref
from fractions import Fraction

import pytest

import pybuf

pytestmark = pytest.mark.filterwarnings("ignore:.*is obsolete:DeprecationWarning")

CD = pybuf.HDAUDIO_STREAM_FORMAT(48000, 16, 16, 2)
V2, BDL = pybuf.HDAUDIO_BUS_INTERFACE_V2, pybuf.HDAUDIO_BUS_INTERFACE_BDL
WILD = [0, 1, -1, 4, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1, -(1 << 63)]



@pytest.fixture
def machine():
    machine = pybuf.Machine(clock="manual")
    yield machine
    assert machine.is_closed or machine.check() is None
    machine.close()


def on_a_bus(machine, **words):
    machine.hdaudio = pybuf.HdAudioBus(codecs=[pybuf.Codec(0, **words)])
    return machine.hdaudio.query_interface(V2)


def run(bus, size=4096):
    handle = bus.AllocateRenderDmaEngine(CD, False)[1]
    bus.AllocateDmaBuffer(handle, size)
    for state in (1, 2):
        assert bus.SetDmaEngineState(state, handle) == 0
    return handle


# ---- any integer ----

def test_any_integer_is_a_handle_an_address_or_a_size(machine):
    bus, bdl = machine.hdaudio.query_interface(V2), machine.hdaudio.query_interface(BDL)
    rng = random.Random(5)
    for _ in range(3):
        handle = bus.AllocateRenderDmaEngine(CD, False)[1]
        for number in [*WILD, *(rng.getrandbits(64) for _ in range(50))]:
            small = number & 0xFFFFFFFF
            for status in (
                bus.FreeDmaEngine(number), bus.FreeDmaBuffer(number), bdl.FreeContiguousDmaBuffer(number),
                bus.FreeDmaBufferWithNotification(number, number, number), bus.AllocateDmaBuffer(number, number)[0],
                bus.AllocateDmaBufferWithNotification(number, small, number)[0],
                bus.ChangeBandwidthAllocation(number, CD)[0],
                bdl.AllocateContiguousDmaBuffer(number, small)[0], bus.GetLinkPositionRegister(number)[0],
                bdl.SetupDmaEngineWithBdl(number, small, small, None, None)[0],
                bus.RegisterNotificationEvent(number, number), bus.UnregisterNotificationEvent(number, number),
                bus.SetDmaEngineState(1, [number, handle]),
            ):
                assert status == 0xC0000008
            assert bus.RegisterNotificationEvent(handle, number) == 0xC000000D
            assert bus.SetDmaEngineState(small | 4, handle) == 0xC000000D
            status, _, allocated, _, _ = bus.AllocateDmaBuffer(handle, number)
            assert status in (0, 0xC000000D)
            if status == 0:
                assert allocated == min(number % (1 << 64), machine.hdaudio.dma_max)
                assert bus.FreeDmaBufferWithNotification(handle, number, number) == 0xC0000010
                assert bus.FreeDmaBuffer(handle) == 0
        assert bus.FreeDmaEngine(handle) == 0
    assert machine.live() == []


def test_any_integer_through_ctypes(machine):
    pointers = machine.hdaudio.query_interface(V2).pointers
    names = {"FreeDmaEngine": 1, "FreeDmaBuffer": 1, "FreeDmaBufferWithNotification": 3, "RegisterNotificationEvent": 2,
             "UnregisterNotificationEvent": 2}
    for context in (pointers.Context, 0, 1, pointers.Context + 64, (1 << 64) - 64):
        for name, count in names.items():
            for number in WILD:
                status = getattr(pointers, name)(context, *[number] * count) & 0xFFFFFFFF
                assert status == (0xC0000008 if context == pointers.Context else 0xC000000E)


def test_any_integer_is_freed_as_pool(machine):
    device = machine.video_device()
    rng = random.Random(6)
    before = len(machine.bug_checks)
    for number in [*WILD, *(rng.getrandbits(64) for _ in range(50))]:
        for free in (pybuf.VideoPortFreePool, pybuf.VideoPortReleaseBuffer):
            with pytest.raises(pybuf.BugCheck):
                free(device, number)
    assert len(machine.bug_checks) > before
    for number in WILD:
        with pytest.raises((pybuf.BugCheck, ValueError)):
            pybuf.VideoPortAllocatePool(device, number & 0xFFFFFFFF, 0, "abcd")
        with pytest.raises(ValueError, match="HwDeviceExtension"):
            pybuf.VideoPortAllocatePool(number, 0, 10, "abcd")
    assert pybuf.VideoPortAllocatePool(device, 0, (1 << 64) - 1, "abcd") is None
    assert machine.live() == []


# ---- wrong types ----

@pytest.mark.parametrize("wrong", ["a", 1.5, [], object()])
def test_wrong_types_are_type_errors(machine, wrong):
    bus, bdl = machine.hdaudio.query_interface(V2), machine.hdaudio.query_interface(BDL)
    device = machine.video_device()
    handle = bus.AllocateRenderDmaEngine(CD, False)[1]
    for call in (
        lambda: bus.FreeDmaEngine(wrong), lambda: bus.AllocateDmaBuffer(handle, wrong),
        lambda: bus.AllocateDmaBufferWithNotification(handle, wrong, 5),
        lambda: bus.AllocateRenderDmaEngine(wrong, False),
        lambda: bus.ChangeBandwidthAllocation(handle, wrong), lambda: bus.SetDmaEngineState(wrong, handle),
        lambda: bus.SetDmaEngineState(1, [wrong]), lambda: bus.TransferCodecVerbs([wrong]),
        lambda: bus.TransferCodecVerbs([], wrong), lambda: bus.RegisterEventCallback(wrong, None),
        lambda: bus.UnregisterEventCallback(wrong), lambda: bus.GetDeviceInformation(wrong),
        lambda: bus.AllocateCaptureDmaEngine(wrong, CD), lambda: bdl.AllocateContiguousDmaBuffer(handle, wrong),
        lambda: machine.hdaudio.query_interface(V2, wrong), lambda: machine.hdaudio.stick(wrong),
        lambda: pybuf.HdAudioBus(render=wrong), lambda: pybuf.HdAudioBus(codecs=[wrong]), lambda: pybuf.Codec(wrong),
        lambda: pybuf.Codec(0, respond=wrong), lambda: pybuf.Codec(0, sink=wrong),
        lambda: setattr(machine, "hdaudio", wrong),
        lambda: V2.at(wrong), lambda: pybuf.VideoPortAllocatePool(wrong, 0, 10, "abcd"),
        lambda: pybuf.VideoPortAllocatePool(device, wrong, 10, "abcd"),
        lambda: pybuf.VideoPortAllocatePool(device, 0, wrong, "abcd"),
        lambda: pybuf.VideoPortFreePool(device, wrong), lambda: pybuf.VideoPortAllocateBuffer(device, wrong),
        lambda: machine.video_device(wrong), lambda: machine.video_device(extension=wrong),
        lambda: machine.access(wrong, 1), lambda: machine.access(1, wrong),
    ):
        with pytest.raises(TypeError):
            call()
    assert machine.live() == []


def test_transfers_are_verbs(machine):
    bus = machine.hdaudio.query_interface(V2)
    with pytest.raises(TypeError, match="sequence of CodecTransfer"):
        bus.TransferCodecVerbs(5)


# ---- the end of a machine ----

def test_a_closed_machine_answers_in_words(machine):
    bus = machine.hdaudio.query_interface(V2)
    handle = run(bus)
    _, register = bus.GetLinkPositionRegister(handle)
    machine.close()
    for call in (lambda: bus.FreeDmaEngine(handle), bus.GetWallClockRegister, bus.release, lambda: int(register),
                 lambda: machine.hdaudio.query_interface(V2), lambda: machine.hdaudio.unsolicited(0, 0, 1),
                 lambda: machine.video_device(), lambda: machine.sweep(), lambda: machine.access(1, 1)):
        with pytest.raises(ValueError, match=r"closed|no machine's"):
            call()
    assert V2.at(bus.context).FreeDmaEngine(handle) == 0xC000000E
    pointers = V2.at(bus.context).pointers
    assert pointers.FreeDmaEngine(bus.context, handle) & 0xFFFFFFFF == 0xC000000E


def test_another_machines_handles_are_none(machine):
    other = pybuf.Machine(clock="manual")
    theirs, ours = other.hdaudio.query_interface(V2), machine.hdaudio.query_interface(V2)
    handle = run(theirs)
    assert ours.SetDmaEngineState(1, handle) == ours.FreeDmaBuffer(handle) == 0xC0000008
    event = pybuf.Event(other)
    mine = ours.AllocateRenderDmaEngine(CD, False)[1]
    assert ours.RegisterNotificationEvent(mine, event) == 0xC000000D
    block = pybuf.VideoPortAllocatePool(other.video_device(), 0, 10, "abcd")
    with pytest.raises(pybuf.BugCheck):
        pybuf.VideoPortFreePool(machine.video_device(), block)
    assert len(other.live()) == 2
    with pytest.raises(ValueError, match="another machine's"):
        machine.hdaudio = other.hdaudio
    other.close()


# ---- callbacks that go too far ----

def closing(machine, failures):
    def close(*arguments):
        try:
            machine.close()
        except RuntimeError as error:
            failures.append(str(error))
        return 0

    return close


@pytest.mark.parametrize("seconds", [Fraction(1, 1000), 1])
def test_no_codec_advances_the_machine_that_calls_it(machine, seconds):
    """Less than a fragment moves after all that was due has happened."""
    refused = []

    def sink(stream, data):
        with pytest.raises(RuntimeError, match="from a callback of advance"):
            machine.advance(0)
        refused.append(stream)

    run(on_a_bus(machine, sink=sink))
    machine.advance(seconds)
    assert refused


@pytest.mark.parametrize("what", ["sink", "respond", "source"])
def test_no_codec_closes_the_machine_that_calls_it(machine, what):
    failures = []
    bus = on_a_bus(machine, **{what: closing(machine, failures)} if what != "source" else {
        "source": lambda stream, size: bytes(closing(machine, failures)() + size)})
    if what == "respond":
        assert bus.TransferCodecVerbs([pybuf.CodecTransfer(0)]) == 0
        assert bus.TransferCodecVerbs([pybuf.CodecTransfer(0)], lambda *_: None) == 0
        pointers = bus.pointers
        assert pointers.TransferCodecVerbs(pointers.Context, 1, (ctypes.c_uint64 * 2)(), None, None) == 0
    elif what == "sink":
        run(bus)
    else:
        handle = bus.AllocateCaptureDmaEngine(0, CD)[1]
        bus.AllocateDmaBuffer(handle, 4096)
        for state in (1, 2):
            bus.SetDmaEngineState(state, handle)
    machine.advance(Fraction(1, 10))
    assert len(failures) > 1
    for failure in failures:
        assert failure.startswith("a machine cannot be closed while")


def test_no_callback_closes_the_machine_that_calls_it(machine):
    failures = []
    bus, bdl = on_a_bus(machine), machine.hdaudio.query_interface(BDL)
    bus.RegisterEventCallback(lambda response, context: closing(machine, failures)(), None)
    machine.hdaudio.unsolicited(0, 0, 1)
    bus.TransferCodecVerbs([pybuf.CodecTransfer(0)], lambda transfers, context: closing(machine, failures)())
    handle = bdl.AllocateRenderDmaEngine(CD, False)[1]
    _, buffer, entries = bdl.AllocateContiguousDmaBuffer(handle, 4096)
    for place in range(2):
        entries[place] = (machine.physical_address(buffer) + 2048 * place, 2048, 1)
    bdl.SetupDmaEngineWithBdl(handle, 4096, 1, lambda context, mask: closing(machine, failures)(), None)
    for state in (1, 2):
        bdl.SetDmaEngineState(state, handle)
    machine.advance(Fraction(1, 50))
    assert len(failures) == 3


def test_closing_waits_for_another_threads_callback(machine):
    is_called, may_go_on = threading.Event(), threading.Event()

    def respond(command):
        is_called.set()
        assert may_go_on.wait(60)
        return 5

    bus = on_a_bus(machine, respond=respond)
    verb = pybuf.CodecTransfer(0)
    sender = threading.Thread(target=bus.TransferCodecVerbs, args=([verb],))
    sender.start()
    assert is_called.wait(60)
    closer = threading.Thread(target=machine.close)
    closer.start()
    closer.join(0.01)
    assert not machine.is_closed
    may_go_on.set()
    for thread in (sender, closer):
        thread.join()
    assert machine.is_closed
    assert verb.response == (5, 0, False, False, True)


def test_a_callback_may_call_anything_but_advance(machine):
    seen = []

    def sink(stream, data):
        other = bus.AllocateRenderDmaEngine(CD, False)[1]
        bus.AllocateDmaBuffer(other, 100)
        bus.FreeDmaBuffer(other)
        bus.FreeDmaEngine(other)
        bus.TransferCodecVerbs([pybuf.CodecTransfer(0)])
        for state in (1, 0):
            bus.SetDmaEngineState(state, handle)
        seen.append((int(bus.GetWallClockRegister()), bus.FreeDmaBuffer(handle), bus.FreeDmaEngine(handle)))
        with pytest.raises(RuntimeError, match="from a callback"):
            machine.advance(1)

    bus = on_a_bus(machine, sink=sink)
    handle = run(bus)
    machine.advance(1)
    assert seen == [(4096 // 4 * 500, 0, 0)]
    assert machine.live() == []


def test_a_callback_may_release_everything(machine):
    def sink(stream, data):
        bus.release()

    bus = on_a_bus(machine, sink=sink)
    run(bus)
    machine.advance(1)
    assert machine.live() == []
    assert bus.AllocateRenderDmaEngine(CD, False)[0] == 0xC000000E


def test_what_a_closing_machine_lets_go_cannot_use_it(machine):
    told = []

    class Last:
        def __del__(self):
            machine.close()
            try:
                machine.hdaudio.query_interface(V2, function_group=9)
            except ValueError as error:
                told.append(str(error))

    bus = machine.hdaudio.query_interface(V2)
    bus.RegisterEventCallback(lambda response, context: None, Last())
    bus.TransferCodecVerbs([pybuf.CodecTransfer(0)], lambda transfers, context: None, Last())
    machine.close()
    assert told == ["the machine is closed"] * 2


def test_a_machine_that_nobody_has_goes_with_its_bus():
    def made():
        machine = pybuf.Machine(clock="manual")
        run(on_a_bus(machine, sink=lambda stream, data: machine))
        return weakref.ref(machine)

    gone = made()
    gc.collect()
    assert gone() is None


# ---- threads ----

def test_threads_in_one_engine_leave_it_whole(machine):
    machine.hdaudio = pybuf.HdAudioBus(render=6, codecs=[pybuf.LoopbackCodec()])
    bus = machine.hdaudio.query_interface(V2)
    handles = [bus.AllocateRenderDmaEngine(CD, False)[1] for _ in range(2)]
    event = pybuf.Event(machine)
    failures = []

    def work(seed):
        rng = random.Random(seed)
        try:
            for _ in range(500):
                handle = rng.choice(handles)
                call, *given = rng.choice((
                    (bus.AllocateDmaBuffer, handle, 5000), (bus.FreeDmaBuffer, handle),
                    (bus.AllocateDmaBufferWithNotification, handle, 2, 5000),
                    (bus.SetDmaEngineState, rng.randrange(3), handles[: rng.choice((1, 2))]),
                    (bus.RegisterNotificationEvent, handle, event), (bus.ChangeBandwidthAllocation, handle, CD),
                    (machine.advance, Fraction(rng.randrange(500), 48000)), (bus.GetLinkPositionRegister, handle),
                    (bus.TransferCodecVerbs, [pybuf.CodecTransfer(rng.randrange(1 << 32))], lambda *_: None),
                ))
                call(*given)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert machine.check() is None


def test_one_of_several_threads_frees_a_block(machine):
    device = machine.video_device(allowance_bytes=100)
    for _ in range(200):
        block = pybuf.VideoPortAllocateBuffer(device, 100)[1]
        address, freed = block.address, []

        def free(address=address, freed=freed):
            try:
                pybuf.VideoPortReleaseBuffer(device, address)
            except pybuf.BugCheck as bug:
                assert bug.parameters[0] == 7
            else:
                freed.append(1)

        threads = [threading.Thread(target=free) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (freed, device.charged) == ([1], 0)


# ---- the end of the interpreter ----

@pytest.mark.parametrize("clock", ["manual", "real"])
def test_the_interpreter_ends_with_engines_that_run(clock):
    script = f"""
        import pybuf
        from fractions import Fraction
        machine = pybuf.Machine(clock={clock!r})
        machine.hdaudio = pybuf.HdAudioBus(codecs=[pybuf.LoopbackCodec()])
        stream = machine.hdaudio.render_stream(pybuf.HDAUDIO_STREAM_FORMAT(48000, 16, 16, 2), 4096, notifications=2)
        event = stream.event()
        stream.start()
        bus = stream.interface
        bus.RegisterEventCallback(lambda response, context: None, machine)
        bus.TransferCodecVerbs([pybuf.CodecTransfer(1)], lambda transfers, context: None, machine)
        if machine.ticks == 0:
            machine.advance(Fraction(1, 100))
        device = machine.video_device()
        block = pybuf.VideoPortAllocatePool(device, 0, 100, "abcd")
        view = memoryview(block)
        print("done")
    """
    done = subprocess.run([sys.executable, "-P", "-X", "dev", "-W", "error", "-c", textwrap.dedent(script)],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_what_stands_for_something_of_a_machine_cannot_be_copied(machine):
    port = machine.ras.open_port()
    session = machine.ras.open_session(port)
    bus, list_bus = machine.hdaudio.query_interface(V2), machine.hdaudio.query_interface(BDL)
    mdl = bus.AllocateDmaBuffer(bus.AllocateRenderDmaEngine(CD, False)[1], 4096)[1]
    bdl = list_bus.AllocateContiguousDmaBuffer(list_bus.AllocateRenderDmaEngine(CD, False)[1], 4096)[2]
    with machine:
        servers = pybuf.NetServerEnum(None, 101, -1, -1, None, 0)[1]
    for each in (port, session, bus, list_bus, mdl, bdl, servers, bus.GetWallClockRegister(), machine.irql(1),
                 machine.video_device(), pybuf.Event(machine)):
        for refused in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot"):
                refused(each)
        assert not hasattr(each, "__setstate_cython__")
    session.end()                                   # of a second owner it would be the second end
    assert machine.check() is None


def test_devices_that_were_removed_leave_room_for_others():
    script = """
        import pybuf
        machine = pybuf.Machine()
        kept = machine.video_device()
        for _ in range(70_000):
            machine.video_device().remove()
        machine.close()
        machine = pybuf.Machine()
        assert machine.video_device(extension=5).extension == 5
        assert len({machine.video_device().extension for _ in range(1000)}) == 1000
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_objects_that_were_never_made_say_so():
    class Unmade(pybuf.Machine):
        def __init__(self):
            pass

    machine = Unmade()
    with pytest.raises(ValueError, match="never made"):
        assert machine.physical_offset == 0
    with pytest.raises(ValueError, match="never made"):
        machine.physical_offset = 5
    device = pybuf.videoport.Device
    assert repr(device.__new__(device)) == "<Device 0x0, removed>"
