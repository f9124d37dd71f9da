"""Scenarios of the HD Audio rows. See conftest.py."""

import ctypes
import struct
from fractions import Fraction
from typing import Any, NamedTuple

from conformance import Answer, World, needs, row

import pybuf

needs("RegisterNotificationEvent", 386)

CD = (48000, 16, 16, 2)
TOO_MUCH = (192000, 32, 32, 8)
NO_RATE = (12345, 16, 16, 2)
STOP, RUN = 1, 2
PASSIVE_FAILS = 0xC0000001


def form(*values: int) -> Any:
    return pybuf.HDAUDIO_STREAM_FORMAT(*(values or CD))


class Audio:
    """The routines through the door of a row: those of a client's interfaces, which share their handles."""

    def __init__(self, world: World, function_group: int = 0) -> None:
        self.world = world
        bus = world.machine.hdaudio
        self.v2 = bus.query_interface(pybuf.HDAUDIO_BUS_INTERFACE_V2, function_group=function_group)
        self.bdl = bus.query_interface(pybuf.HDAUDIO_BUS_INTERFACE_BDL, function_group=function_group)
        self.kept: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        has_it = "Contiguous" in name or name == "SetupDmaEngineWithBdl"
        return getattr(self.world.on(self.bdl if has_it else self.v2), name)

    def engine(self, *values: int) -> int:
        status, handle, _ = self.AllocateRenderDmaEngine(form(*values), False)
        assert status == 0
        return handle

    def set_state(self, state: int, *handles: int) -> Answer:
        return self.SetDmaEngineState(state, list(handles))

    def states(self, handle: int, *states: int) -> None:
        for state in states:
            assert self.set_state(state, handle)[0] == 0

    def position(self, handle: int) -> int:
        status, register = self.GetLinkPositionRegister(handle)
        assert status == 0
        return ctypes.c_uint32.from_address(register).value

    def fragments(self, bdl: int, *entries: tuple[int, int, int]) -> None:
        if self.world.door.has_members:
            for place, entry in enumerate(entries):
                self.world.door.objects[bdl][place] = entry
        else:
            self.world.fill(bdl, b"".join(struct.pack("<QII", *entry) for entry in entries))

    def isr(self, function: Any) -> Any:
        """A function as the door takes it."""
        if self.world.door.has_members:
            return function
        made = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32)(function)
        self.kept.append(made)
        return made if self.world.door.name == "ctypes" else ctypes.cast(made, ctypes.c_void_p).value

    def information(self, size: int) -> tuple[Answer, Any]:
        """The answer, and the information in Python."""
        answer = self.GetDeviceInformation(size)
        return answer, answer[1] if self.world.door.has_members else None


# ---- engines ----------------------------------------------------------------------------------------


@row(186)
def captures(world: World):
    audio = Audio(world)
    answer = audio.AllocateCaptureDmaEngine(0, form())
    assert answer[2] == 0x0011
    return answer


@row(193)
def renders(world: World):
    audio = Audio(world)
    answer = audio.AllocateRenderDmaEngine(form(44100, 24, 32, 6), False)
    assert answer[2] == 0x4035
    assert audio.set_state(0, answer[1])[0] == 0
    return answer


def allocated(world: World, *values: int, **options: Any) -> Answer:
    """An engine of the row's direction."""
    audio = Audio(world)
    given = None if values == (0,) else form(*values)
    if "Capture" in world.row.function:
        return audio.AllocateCaptureDmaEngine(0, given, **options)
    return audio.AllocateRenderDmaEngine(given, False, **options)


@row(187, 194)
def fifo_is_too_small(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(fifo_bytes=15)
    assert allocated(world, 48000, 8, 8, 2)[0] == 0
    answer = allocated(world, 192000, 8, 8, 2)
    assert answer[1:] == (None, None)
    return answer


@row(188, 195)
def no_engine_is_left(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(render=1, capture=1, bidirectional=1)
    assert [allocated(world)[0] for _ in range(2)] == [0, 0]
    return allocated(world)


@row(189)
def too_little_bandwidth_in(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(capture_bits=63)
    assert allocated(world)[0] == 0
    return allocated(world)


@row(196)
def too_little_bandwidth_out(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(render_bits=48, sdo_lines=2)
    assert allocated(world)[0] == 0
    audio = Audio(world)
    assert audio.AllocateRenderDmaEngine(form(), True)[0] == 0
    return audio.AllocateRenderDmaEngine(form(), True)


@row(190, 197)
def no_such_format(world: World):
    assert allocated(world, 48000, 16, 8, 2)[0] == 0xC000000D
    assert allocated(world, 48000, 16, 16, 17)[0] == 0xC000000D
    assert allocated(world, 48000, 12, 16, 2)[0] == 0xC000000D
    return allocated(world, *NO_RATE)


@row(191, 198)
def null_for_an_engine(world: World):
    assert allocated(world, 0)[0] == 0xC000000D
    assert allocated(world, missing="Handle")[0] == 0xC000000D
    return allocated(world, missing="ConverterFormat")


@row(192, 199)
def allocates_at_passive_level(world: World):
    with world.machine.irql(pybuf.DISPATCH_LEVEL):
        return allocated(world)


@row(373)
def no_codec_there(world: World):
    return Audio(world).AllocateCaptureDmaEngine(1, form())


@row(200)
def changes_the_format(world: World):
    audio = Audio(world)
    answer = audio.ChangeBandwidthAllocation(audio.engine(), form(96000, 24, 32, 1))
    assert answer[1] == 0x0830
    return answer


@row(201)
def changes_at_passive_level(world: World):
    audio = Audio(world)
    handle = audio.engine()
    with world.machine.irql(pybuf.APC_LEVEL):
        return audio.ChangeBandwidthAllocation(handle, form())


@row(202)
def changes_no_engine(world: World):
    return Audio(world).ChangeBandwidthAllocation(0x1234, form())


@row(203)
def changes_to_no_format(world: World):
    audio = Audio(world)
    return audio.ChangeBandwidthAllocation(audio.engine(), form(*NO_RATE))


@row(204)
def changes_to_more_than_the_fifo(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(fifo_bytes=16)
    audio = Audio(world)
    return audio.ChangeBandwidthAllocation(audio.engine(), form(192000, 16, 16, 2))


@row(205)
def changes_to_more_than_the_link(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(render_bits=64)
    audio = Audio(world)
    handle = audio.engine()
    answer = audio.ChangeBandwidthAllocation(handle, form(*TOO_MUCH))
    # The old reservation stays: just one more of it fits, and it plays on.
    audio.engine()
    assert audio.AllocateRenderDmaEngine(form(), False)[0] == 0xC000009A
    assert audio.AllocateDmaBuffer(handle, 4096)[0] == 0
    audio.states(handle, STOP, RUN)
    world.machine.advance(Fraction(1, 100))
    assert audio.position(handle) == 1920
    audio.states(handle, STOP, 0)
    assert audio.FreeDmaBuffer(handle)[0] == 0
    return answer


@row(206, live=1)
def changes_under_a_buffer(world: World):
    audio = Audio(world)
    handle = audio.engine()
    assert audio.AllocateDmaBuffer(handle, 4096)[0] == 0
    return audio.ChangeBandwidthAllocation(handle, form())


@row(207, live=1)
def changes_outside_reset(world: World):
    audio = Audio(world)
    handle = audio.engine()
    assert audio.AllocateDmaBuffer(handle, 4096)[0] == 0
    audio.states(handle, STOP)
    return audio.ChangeBandwidthAllocation(handle, form())


@row(291)
def frees_an_engine(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(render_bits=32)
    audio = Audio(world)
    answer = audio.FreeDmaEngine(audio.engine())
    audio.engine()
    return answer


@row(292)
def frees_an_engine_at_dispatch_level(world: World):
    audio = Audio(world)
    handle = audio.engine()
    with world.machine.irql(pybuf.DISPATCH_LEVEL):
        return audio.FreeDmaEngine(handle)


@row(293)
def frees_an_engine_once(world: World):
    audio = Audio(world)
    handle = audio.engine()
    assert audio.FreeDmaEngine(0)[0] == 0xC0000008
    assert audio.FreeDmaEngine(handle)[0] == 0
    return audio.FreeDmaEngine(handle)


@row(294, live=1)
def frees_an_engine_with_a_buffer(world: World):
    audio = Audio(world)
    handle = audio.engine()
    assert audio.AllocateDmaBuffer(handle, 4096)[0] == 0
    return audio.FreeDmaEngine(handle)


@row(295, live=1)
def frees_an_engine_that_is_stopped(world: World):
    audio = Audio(world)
    handle = audio.engine()
    assert audio.AllocateDmaBuffer(handle, 4096)[0] == 0
    audio.states(handle, STOP)
    return audio.FreeDmaEngine(handle)


@row(386)
def freeing_an_engine_drops_its_events(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(render=1)
    audio = Audio(world)
    handle = audio.engine()
    event = pybuf.Event(world.machine)
    assert audio.RegisterNotificationEvent(handle, event)[0] == 0
    answer = audio.FreeDmaEngine(handle)
    assert audio.UnregisterNotificationEvent(audio.engine(), event)[0] == 0xC000000D
    return answer


# ---- buffers ----------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A pair of routines that allocate and free an engine's buffer."""

    name: str
    missing: str
    blocks: int

    def allocate(self, audio: Audio, handle: int, size: int = 4096, **options: Any) -> Answer:
        if self.name == "notified":
            return audio.AllocateDmaBufferWithNotification(handle, 2, size, **options)
        call = audio.AllocateDmaBuffer if self.name == "plain" else audio.AllocateContiguousDmaBuffer
        return call(handle, size, **options)

    def free(self, audio: Audio, handle: int, mdl: int = 0, size: int = 4096) -> Answer:
        if self.name == "notified":
            return audio.FreeDmaBufferWithNotification(handle, mdl, size)
        return (audio.FreeDmaBuffer if self.name == "plain" else audio.FreeContiguousDmaBuffer)(handle)

    def ready(self, audio: Audio) -> tuple[int, int]:
        """An engine that may run, and its buffer's MDL."""
        handle = audio.engine()
        answer = self.allocate(audio, handle)
        assert answer[0] == 0
        if self.name == "contiguous":
            set_up(audio, handle, answer[1], answer[2])
        return handle, answer[1]


def set_up(audio: Audio, handle: int, buffer: int, bdl: int, isr: Any = None, halves: int = 0) -> Answer:
    physical = audio.world.machine.physical_address(buffer)
    audio.fragments(bdl, (physical, 2048, 1), (physical + 2048, 2048, 1))
    answer = audio.SetupDmaEngineWithBdl(handle, 4096, 1, isr, 0x1234)
    assert answer[0] == 0
    return answer


PLAIN = Kind("plain", "BufferMdl", 1)
NOTIFIED = Kind("notified", "OffsetFromFirstPage", 1)
CONTIGUOUS = Kind("contiguous", "BdlBuffer", 2)


def allocating(kind: Kind, first: int) -> None:
    """Rows `first` to `first` + 9."""

    @row(first)
    def allocates(world: World):
        audio = Audio(world)
        handle = audio.engine()
        answer = kind.allocate(audio, handle)
        assert len(world.live()) == kind.blocks
        assert world.live()[0].size == 4096
        if kind is not CONTIGUOUS:
            assert answer[2] == 4096
            assert answer[-2] == 1
        assert kind.free(audio, handle, answer[1])[0] == 0
        return answer

    @row(first + 1)
    def allocates_at_passive_level(world: World):
        audio = Audio(world)
        handle = audio.engine()
        with world.machine.irql(pybuf.DISPATCH_LEVEL):
            return kind.allocate(audio, handle)

    @row(first + 2)
    def memory_is_short(world: World):
        audio = Audio(world)
        handle = audio.engine()
        for nth in range(kind.blocks, 0, -1):
            world.machine.refuse("audio", nth=nth)
            answer = kind.allocate(audio, handle)
            assert answer[0] == 0xC000009A
            assert world.live() == []
        return answer

    @row(first + 3)
    def no_engine(world: World):
        audio = Audio(world)
        handle = audio.engine()
        assert audio.FreeDmaEngine(handle)[0] == 0
        assert kind.allocate(audio, 0x1234)[0] == 0xC0000008
        return kind.allocate(audio, handle)

    @row(first + 4)
    def null_for_an_output(world: World):
        audio = Audio(world)
        return kind.allocate(audio, audio.engine(), missing=kind.missing)

    @row(first + 5)
    def engine_is_stuck(world: World):
        audio = Audio(world)
        handle = audio.engine()
        world.machine.hdaudio.stick(handle)
        answer = kind.allocate(audio, handle)
        world.machine.hdaudio.stick(handle, False)
        allocated = kind.allocate(audio, handle)
        assert allocated[0] == 0
        assert kind.free(audio, handle, allocated[1])[0] == 0
        return answer

    @row(first + 6, live=kind.blocks)
    def one_buffer_at_a_time(world: World):
        audio = Audio(world)
        handle = audio.engine()
        assert kind.allocate(audio, handle)[0] == 0
        return kind.allocate(audio, handle)

    @row(first + 7, live=kind.blocks)
    def outside_reset(world: World):
        audio = Audio(world)
        handle, _ = kind.ready(audio)
        audio.states(handle, STOP)
        assert kind.allocate(audio, handle)[0] == 0xC0000010
        audio.states(handle, RUN)
        return kind.allocate(audio, handle)

    @row(first + 8)
    def again(world: World):
        audio = Audio(world)
        handle = audio.engine()
        for _ in range(2):
            answer = kind.allocate(audio, handle)
            assert answer[0] == 0
            assert kind.free(audio, handle, answer[1])[0] == 0
        return answer

    @row(first + 9)
    def no_bytes(world: World):
        audio = Audio(world)
        return kind.allocate(audio, audio.engine(), 0)


def freeing(kind: Kind, first: int) -> None:
    """Rows `first` to `first` + 7."""

    @row(first)
    def frees(world: World):
        audio = Audio(world)
        handle, mdl = kind.ready(audio)
        answer = kind.free(audio, handle, mdl)
        assert audio.ChangeBandwidthAllocation(handle, form())[0] == 0
        assert audio.FreeDmaEngine(handle)[0] == 0
        return answer

    @row(first + 1, live=kind.blocks)
    def frees_at_passive_level(world: World):
        audio = Audio(world)
        handle, mdl = kind.ready(audio)
        with world.machine.irql(pybuf.APC_LEVEL):
            return kind.free(audio, handle, mdl)

    @row(first + 2)
    def frees_of_no_engine(world: World):
        audio = Audio(world)
        handle = audio.engine()
        assert audio.FreeDmaEngine(handle)[0] == 0
        assert kind.free(audio, 0x1234)[0] == 0xC0000008
        return kind.free(audio, handle)

    @row(first + 3)
    def frees_once(world: World):
        audio = Audio(world)
        handle, mdl = kind.ready(audio)
        assert kind.free(audio, handle, mdl)[0] == 0
        assert kind.free(audio, audio.engine())[0] == 0xC0000010
        return kind.free(audio, handle, mdl)

    @row(first + 4, live=kind.blocks)
    def frees_in_stop(world: World):
        audio = Audio(world)
        handle, mdl = kind.ready(audio)
        audio.states(handle, STOP)
        return kind.free(audio, handle, mdl)

    @row(first + 5, live=kind.blocks)
    def frees_in_run(world: World):
        audio = Audio(world)
        handle, mdl = kind.ready(audio)
        audio.states(handle, STOP, RUN)
        return kind.free(audio, handle, mdl)

    @row(first + 6)
    def level_before_handle(world: World):
        audio = Audio(world)
        with world.machine.irql(pybuf.DISPATCH_LEVEL):
            return kind.free(audio, 0x1234)

    @row(first + 7)
    def no_handle(world: World):
        return kind.free(Audio(world), 0)


allocating(PLAIN, 208)
freeing(PLAIN, 218)
allocating(CONTIGUOUS, 226)
freeing(CONTIGUOUS, 236)
allocating(NOTIFIED, 244)
freeing(NOTIFIED, 254)


@row(262)
def one_or_two_notifications(world: World):
    audio = Audio(world)
    handle = audio.engine()
    assert audio.AllocateDmaBufferWithNotification(handle, 3, 4096)[0] == 0xC000000D
    return audio.AllocateDmaBufferWithNotification(handle, 0, 4096)


@row(263, live=1)
def another_buffer_than_the_engines(world: World):
    audio = Audio(world)
    handle, mdl = NOTIFIED.ready(audio)
    assert NOTIFIED.free(audio, handle, mdl + 8)[0] == 0xC000000D
    return NOTIFIED.free(audio, handle, mdl, 4095)


def of_another_kind(world: World, kind: Kind, other: Kind) -> Answer:
    audio = Audio(world)
    handle, mdl = kind.ready(audio)
    return other.free(audio, handle, mdl)


@row(264, live=1)
def plain_buffer_freed_as_notified(world: World):
    assert of_another_kind(world, PLAIN, NOTIFIED)[0] == 0xC0000010
    audio = Audio(world)
    handle = audio.engine()
    _, mdl, *_ = PLAIN.allocate(audio, handle)
    answer = NOTIFIED.free(audio, handle, mdl)
    assert PLAIN.free(audio, handle)[0] == 0
    return answer


@row(370, live=2)
def contiguous_buffer_freed_as_plain(world: World):
    return of_another_kind(world, CONTIGUOUS, PLAIN)


@row(371, live=1)
def plain_buffer_freed_as_contiguous(world: World):
    return of_another_kind(world, PLAIN, CONTIGUOUS)


@row(374, live=1)
def handle_of_another_client(world: World):
    audio = Audio(world)
    handle, _ = PLAIN.ready(audio)
    return Audio(world, function_group=2).FreeDmaBuffer(handle)


@row(375)
def context_is_released(world: World):
    audio = Audio(world)
    handle, _ = PLAIN.ready(audio)
    audio.v2.release()
    assert len(world.live()) == 1
    audio.bdl.release()
    nobody = pybuf.HDAUDIO_BUS_INTERFACE.at(0x1234)
    assert world.on(nobody).FreeDmaBuffer(handle)[0] == 0xC000000E
    return audio.FreeDmaBuffer(handle)


@row(384)
def handle_before_pointers(world: World):
    return Audio(world).AllocateDmaBuffer(0x1234, 4096, missing="FifoSize")


# ---- SetupDmaEngineWithBdl ------------------------------------------------------------------------------


class Setup:
    """An engine with a contiguous buffer of 4096 bytes, and two halves in its list."""

    def __init__(self, world: World) -> None:
        self.audio = Audio(world)
        self.handle = self.audio.engine()
        status, self.buffer, self.bdl = self.audio.AllocateContiguousDmaBuffer(self.handle, 4096)
        assert status == 0
        self.physical = world.machine.physical_address(self.buffer)
        self.audio.fragments(self.bdl, (self.physical, 2048, 1), (self.physical + 2048, 2048, 0))

    def __call__(self, length: int = 4096, lvi: int = 1, isr: Any = None, **options: Any) -> Answer:
        return self.audio.SetupDmaEngineWithBdl(self.handle, length, lvi, isr, 0x1234, **options)


@row(265, live=2)
def sets_up(world: World):
    world.machine.physical_offset = 1 << 32
    setup = Setup(world)
    told: list[tuple[int, int, int]] = []
    answer = setup(isr=setup.audio.isr(lambda context, mask: told.append((context, mask, world.machine.ticks))))
    assert answer[1] == 1
    setup.audio.states(setup.handle, STOP, RUN)
    world.machine.advance(Fraction(4096 + 2048, 4 * 48000))
    assert told == [(0x1234, 4, 2048 // 4 * 500), (0x1234, 4, (4096 + 2048) // 4 * 500)]
    setup.audio.states(setup.handle, STOP, 0)
    return answer


@row(266, live=2)
def sets_up_again(world: World):
    setup = Setup(world)
    assert setup()[0] == 0
    setup.audio.fragments(setup.bdl, (setup.physical + 1024, 512, 0), (setup.physical, 128, 0))
    answer = setup(640)
    setup.audio.states(setup.handle, STOP, RUN)
    world.machine.advance(Fraction(160 + 1, 48000))
    assert setup.audio.position(setup.handle) == 4
    return answer


@row(267, live=2)
def sets_up_at_passive_level(world: World):
    setup = Setup(world)
    with world.machine.irql(pybuf.DISPATCH_LEVEL):
        return setup()


@row(268)
def sets_up_no_engine(world: World):
    return Audio(world).SetupDmaEngineWithBdl(0x1234, 4096, 1, None, 0)


@row(269, live=2)
def sets_up_with_a_bad_pointer(world: World):
    setup = Setup(world)
    return setup(isr=5) if world.door.has_members else setup(missing="StreamId")


@row(270, live=2)
def sets_up_an_engine_that_is_stuck(world: World):
    setup = Setup(world)
    world.machine.hdaudio.stick(setup.handle)
    return setup()


@row(271)
def sets_up_without_a_buffer(world: World):
    audio = Audio(world)
    return audio.SetupDmaEngineWithBdl(audio.engine(), 4096, 1, None, 0)


@row(272, live=2)
def sets_up_outside_reset(world: World):
    setup = Setup(world)
    assert setup()[0] == 0
    setup.audio.states(setup.handle, STOP)
    return setup()


@row(273, live=2)
def sets_up_too_few_or_too_many_fragments(world: World):
    setup = Setup(world)
    assert setup(lvi=0)[0] == 0xC000000D
    return setup(lvi=256)


@row(274, live=2)
def sets_up_another_length(world: World):
    setup = Setup(world)
    assert setup(0)[0] == 0xC000000D
    assert setup(4095)[0] == 0xC000000D
    return setup(4097)


@row(275, live=2)
def sets_up_a_fragment_between_boundaries(world: World):
    setup = Setup(world)
    setup.audio.fragments(setup.bdl, (setup.physical, 1024, 1), (setup.physical + 1024 + 64, 1024, 1))
    return setup(2048)


# ---- SetDmaEngineState ------------------------------------------------------------------------------------


@row(276, 277, 278, 279, 282, live=1)
def goes_through_the_states(world: World):
    audio = Audio(world)
    handle, _ = PLAIN.ready(audio)
    states = {276: (STOP,), 277: (STOP, RUN), 278: (STOP, RUN, STOP), 279: (STOP, RUN, STOP, 0),
              282: (0, STOP, STOP, RUN, RUN)}[world.row.id]
    audio.states(handle, *states[:-1])
    return audio.set_state(states[-1], handle)


@row(280, live=2)
def moves_all_at_one_instant(world: World):
    audio = Audio(world)
    first, second = PLAIN.ready(audio)[0], PLAIN.ready(audio)[0]
    assert audio.set_state(STOP, first, second)[0] == 0
    world.machine.advance(Fraction(1, 7))
    answer = audio.set_state(RUN, first, second)
    world.machine.advance(Fraction(1, 100))
    assert [audio.position(each) for each in (first, second)] == [1920, 1920]
    return answer


@row(281)
def reset_needs_no_buffer(world: World):
    audio = Audio(world)
    return audio.set_state(0, audio.engine())


@row(283, live=1)
def moves_none_when_one_is_none(world: World):
    audio = Audio(world)
    handle, _ = PLAIN.ready(audio)
    other = audio.engine()
    assert audio.FreeDmaEngine(other)[0] == 0
    audio.states(handle, STOP)
    answer = audio.set_state(RUN, handle, other)
    world.machine.advance(1)
    assert audio.position(handle) == 0
    audio.states(handle, 0)
    return answer


@row(284)
def moves_no_handles(world: World):
    return Audio(world).set_state(STOP)


@row(285)
def moves_null(world: World):
    audio = Audio(world)
    return audio.SetDmaEngineState(STOP, None)


@row(286, live=1)
def moves_to_no_state(world: World):
    audio = Audio(world)
    handle, _ = PLAIN.ready(audio)
    return audio.set_state(3, handle)


@row(287, live=1)
def moves_without_a_buffer(world: World):
    audio = Audio(world)
    handle, _ = PLAIN.ready(audio)
    answer = audio.set_state(STOP, handle, audio.engine())
    assert audio.FreeDmaBuffer(handle)[0] == 0
    assert PLAIN.allocate(audio, handle)[0] == 0
    return answer


@row(288, 289, live=1)
def moves_past_stop(world: World):
    audio = Audio(world)
    handle, _ = PLAIN.ready(audio)
    if world.row.id == 288:
        return audio.set_state(RUN, handle)
    audio.states(handle, STOP, RUN)
    return audio.set_state(0, handle)


@row(290, live=1)
def moves_at_dispatch_level(world: World):
    audio = Audio(world)
    handle, _ = PLAIN.ready(audio)
    with world.machine.irql(pybuf.DISPATCH_LEVEL):
        return audio.set_state(STOP, handle)


@row(372, live=2)
def moves_before_setup(world: World):
    setup = Setup(world)
    return setup.audio.set_state(STOP, setup.handle)


@row(383, live=1)
def moves_once_what_is_named_twice(world: World):
    audio = Audio(world)
    handle, _ = PLAIN.ready(audio)
    return audio.set_state(STOP, handle, handle)


# ---- registers, information, events ---------------------------------------------------------------------------


@row(296, live=1)
def shows_the_position(world: World):
    audio = Audio(world)
    handle, _ = PLAIN.ready(audio)
    audio.states(handle, STOP, RUN)
    answer = audio.GetLinkPositionRegister(handle)
    world.machine.advance(Fraction(1025, 48000))
    assert ctypes.c_uint32.from_address(answer[1]).value == 4
    return answer


@row(297)
def shows_no_position(world: World):
    return Audio(world).GetLinkPositionRegister(0x1234)


@row(298)
def shows_the_wall_clock(world: World):
    audio = Audio(world)
    answer = audio.GetWallClockRegister()
    world.machine.advance(200)
    assert ctypes.c_uint32.from_address(answer[0]).value == 200 * 24_000_000 % (1 << 32)
    return answer


@row(299)
def tells_the_function_group(world: World):
    answer = Audio(world, function_group=2).GetResourceInformation()
    assert answer == (0, 2)
    return answer


@row(300)
def tells_the_device(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(codecs=[pybuf.Codec(0), pybuf.Codec(3)], sdo_lines=2)
    answer, information = Audio(world).information(10)
    assert information is None or information[3:6] == (9, True, None)
    return answer


@row(301)
def tells_the_device_into_too_little(world: World):
    answer, information = Audio(world).information(9)
    assert information is None
    return answer


@row(385)
def tells_the_controller(world: World):
    answer, information = Audio(world).information(14)
    assert information is None or information[5:] == (1, 0x8086, 0x2668)
    return answer


@row(376)
def tells_the_device_at_passive_level(world: World):
    audio = Audio(world)
    with world.machine.irql(pybuf.DISPATCH_LEVEL):
        return audio.information(10)[0]


@row(307, live=1)
def sets_an_event(world: World):
    audio = Audio(world)
    event = pybuf.Event(world.machine)
    handle, _ = NOTIFIED.ready(audio)
    answer = audio.RegisterNotificationEvent(handle, event)
    audio.states(handle, STOP, RUN)
    world.machine.advance(Fraction(511, 48000))
    assert not event.is_set()
    world.machine.advance(Fraction(1, 48000))
    assert event.is_set()
    return answer


@row(308)
def sets_too_many_events(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(events_max=1)
    audio = Audio(world)
    handle = audio.engine()
    assert audio.RegisterNotificationEvent(handle, pybuf.Event(world.machine))[0] == 0
    kept = pybuf.Event(world.machine)
    return audio.RegisterNotificationEvent(handle, kept)


@row(309, 312)
def event_of_no_engine(world: World):
    event = pybuf.Event(world.machine)
    return getattr(Audio(world), world.row.function)(0x1234, event)


@row(310)
def sets_an_event_no_more(world: World):
    audio = Audio(world)
    event = pybuf.Event(world.machine)
    handle = audio.engine()
    assert audio.RegisterNotificationEvent(handle, event)[0] == 0
    return audio.UnregisterNotificationEvent(handle, event)


@row(311)
def event_is_not_registered(world: World):
    audio = Audio(world)
    event = pybuf.Event(world.machine)
    return audio.UnregisterNotificationEvent(audio.engine(), event)


@row(379, 380)
def events_at_passive_level(world: World):
    audio = Audio(world)
    event = pybuf.Event(world.machine)
    handle = audio.engine()
    with world.machine.irql(pybuf.DISPATCH_LEVEL):
        return getattr(audio, world.row.function)(handle, event)


# ---- codecs -----------------------------------------------------------------------------------------------------


def function(audio: Audio, call: Any, *types: Any) -> Any:
    """A function as the door takes it."""
    if audio.world.door.has_members:
        return call
    made = ctypes.CFUNCTYPE(None, *types)(call)
    audio.kept.append(made)
    return made if audio.world.door.name == "ctypes" else ctypes.cast(made, ctypes.c_void_p).value


def listening(audio: Audio, told: list[Any]) -> Any:
    """A routine for unsolicited responses, which it adds to a list."""
    return function(audio, lambda response, context: told.append((response, context, audio.world.machine)),
                    ctypes.c_uint64, ctypes.c_void_p)


@row(302)
def listens(world: World):
    audio = Audio(world)
    told: list[Any] = []
    answer = audio.RegisterEventCallback(listening(audio, told), 0x1234)
    assert answer[1] == 0
    world.machine.hdaudio.unsolicited(0, 0, 0x55)
    world.machine.hdaudio.unsolicited(0, 1, 0x66)
    [(response, context, _)] = told
    assert context == 0x1234
    assert response in (1 << 63 | 1 << 36 | 0x55, (0x55, 0, True, False, True))
    return answer


@row(303)
def listens_once_too_often(world: World):
    audio = Audio(world)
    routine = listening(audio, [])
    tags = [audio.RegisterEventCallback(routine, 0)[1] for _ in range(64)]
    assert tags == list(range(64))
    return audio.RegisterEventCallback(routine, 0)


@row(304)
def listens_with_null(world: World):
    audio = Audio(world)
    assert audio.RegisterEventCallback(None, 0)[0] == 0xC000000D
    return audio.RegisterEventCallback(listening(audio, []), 0, missing="Tag")


@row(377)
def listens_at_passive_level(world: World):
    audio = Audio(world)
    routine = listening(audio, [])
    with world.machine.irql(pybuf.DISPATCH_LEVEL):
        return audio.RegisterEventCallback(routine, 0)


@row(382)
def tag_is_given_again(world: World):
    audio = Audio(world)
    routine = listening(audio, [])
    assert [audio.RegisterEventCallback(routine, 0)[1] for _ in range(3)] == [0, 1, 2]
    assert audio.UnregisterEventCallback(1)[0] == 0
    answer = audio.RegisterEventCallback(routine, 0)
    assert answer[1] == 1
    return answer


@row(305)
def listens_no_more(world: World):
    audio = Audio(world)
    told: list[Any] = []
    _, tag = audio.RegisterEventCallback(listening(audio, told), 0)
    answer = audio.UnregisterEventCallback(tag)
    world.machine.hdaudio.unsolicited(0, tag, 1)
    assert told == []
    return answer


@row(306)
def tag_of_nobody(world: World):
    audio = Audio(world)
    _, tag = audio.RegisterEventCallback(listening(audio, []), 0)
    assert Audio(world, function_group=2).UnregisterEventCallback(tag)[0] == 0xC000000D
    return audio.UnregisterEventCallback(tag + 1)


@row(381)
def tag_is_too_high(world: World):
    return Audio(world).UnregisterEventCallback(64)


@row(378)
def stops_listening_at_passive_level(world: World):
    audio = Audio(world)
    _, tag = audio.RegisterEventCallback(listening(audio, []), 0)
    with world.machine.irql(pybuf.DISPATCH_LEVEL):
        return audio.UnregisterEventCallback(tag)


class Verbs:
    """Verbs as the door takes them."""

    def __init__(self, audio: Audio, *commands: int) -> None:
        self.audio = audio
        self.is_python = audio.world.door.has_members
        self.transfers: Any = [pybuf.CodecTransfer(command) for command in commands]
        if not self.is_python:
            packed = b"".join(struct.pack("<IxxxxQ", command, 1 << 62) for command in commands)
            self.transfers = (ctypes.c_uint8 * 16 * len(commands)).from_buffer_copy(packed)

    def send(self, callback: Any = None) -> Answer:
        return self.audio.TransferCodecVerbs(self.transfers, callback, 0x1234)

    def responses(self) -> list[tuple[bool, int]]:
        """Of each verb, whether its response is valid, and the response."""
        if self.is_python:
            return [(each.response.IsValid, each.response.Response) for each in self.transfers]
        words = [each[1] for each in struct.iter_unpack("<IxxxxQ", bytes(self.transfers))]
        return [(bool(word >> 63), word & 0xFFFFFFFF) for word in words]


@row(313)
def sends_and_waits(world: World):
    world.machine.hdaudio = pybuf.HdAudioBus(codecs=[pybuf.Codec(2, respond=lambda command: command & 0xFFFF)])
    bus = world.machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE_V2, 2)
    audio = Audio.__new__(Audio)
    audio.world, audio.v2, audio.kept = world, bus, []
    verbs = Verbs(audio, 0x200F0004, 0x30000000)
    answer = verbs.send()
    assert verbs.responses() == [(True, 4), (False, 0)]
    return answer


@row(314)
def sends_and_is_called(world: World):
    audio = Audio(world)
    told: list[Any] = []
    verbs = Verbs(audio, 0x000F0004)
    done = function(audio, lambda transfers, context: told.append((context, verbs.responses())), ctypes.c_void_p,
                    ctypes.c_void_p)
    with world.machine.irql(pybuf.DISPATCH_LEVEL):
        answer = verbs.send(done)
    assert told == []
    world.machine.advance(1)
    assert told == [(0x1234, [(True, 0)])]
    return answer


@row(315)
def sends_without_memory(world: World):
    world.machine.refuse("audio")
    return Verbs(Audio(world), 0x000F0004).send()


@row(316)
def waits_at_passive_level(world: World):
    audio = Audio(world)
    with world.machine.irql(pybuf.DISPATCH_LEVEL):
        return Verbs(audio, 0x000F0004).send()


@row(317)
def sends_without_a_context(world: World):
    audio = Audio(world)
    audio.v2.release()
    audio.bdl.release()
    return Verbs(audio, 0x000F0004).send()


@row(318)
def codec_is_gone(world: World):
    world.machine.hdaudio.codecs[0].is_gone = True
    return Verbs(Audio(world), 0x000F0004).send()


@row(319)
def codec_is_silent(world: World):
    world.machine.hdaudio.codecs[0].is_silent = True
    verbs = Verbs(Audio(world), 0x000F0004)
    answer = verbs.send()
    assert verbs.responses() == [(False, 0)]
    return answer
