"""HD Audio as Python has it: the bus of a machine, its codecs, and the interfaces by which drivers use it.

Streams are what is easier in Python: they raise HdAudioError, and a with statement ends them::

    with machine.hdaudio.render_stream(HDAUDIO_STREAM_FORMAT(48000, 16, 16, 2), 3840, notifications=2) as stream:
        half_is_over = stream.event()
        stream.buffer[:] = samples
        stream.start()

The routines answer statuses::

    bus = machine.hdaudio.query_interface(HDAUDIO_BUS_INTERFACE)
    status, handle, converter = bus.AllocateRenderDmaEngine(HDAUDIO_STREAM_FORMAT(48000, 16, 16, 2), False)
    status, mdl, allocated, stream_id, fifo = bus.AllocateDmaBuffer(handle, 65536)
    bus.SetDmaEngineState(1, [handle]), bus.SetDmaEngineState(2, [handle])
    machine.advance(Fraction(1, 100))
"""

from __future__ import annotations

import ctypes
import operator
import uuid
import weakref
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pybuf._hdaudio import (
    HDAUDIO_BUS_INTERFACE,
    HDAUDIO_BUS_INTERFACE_BDL,
    HDAUDIO_BUS_INTERFACE_V2,
    REFERENCES,
    BusInterface,
    CodecResponse,
    Mdl,
    buffer_release,
    bus_attach,
    context_new,
    engine_stick,
    interface_new,
    structures_by,
    unsolicited,
)
from pybuf._machine import Event
from pybuf.errors import HdAudioError
from pybuf.routines import ROUTINES
from pybuf.status import NtStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import SupportsIndex

    from poolcore import Buffer
    from pybuf._machine import MachineBase

__all__ = [
    "Codec", "CodecResponse", "CodecTransfer", "HDAUDIO_BUS_INTERFACE", "HDAUDIO_BUS_INTERFACE_BDL",
    "HDAUDIO_BUS_INTERFACE_V2", "HDAUDIO_STREAM_FORMAT", "HdAudioBus", "HdAudioError", "LoopbackCodec", "Stream",
    "start", "stop",
]

INTERFACES = {uuid.UUID(kind.guid): kind
              for kind in (HDAUDIO_BUS_INTERFACE, HDAUDIO_BUS_INTERFACE_V2, HDAUDIO_BUS_INTERFACE_BDL)}
VERSION = 0x0100


class HDAUDIO_STREAM_FORMAT(ctypes.Structure):  # noqa: N801
    """The format of a stream: ``HDAUDIO_STREAM_FORMAT(48000, 16, 16, 2)``.

    SampleRate is in Hz, one of the twelve from 8000 to 192000; ValidBitsPerSample 8, 16, 20, 24 or 32; ContainerSize 8,
    16, 24 or 32 bits, and no less; NumberOfChannels 1 to 16.
    """

    _fields_ = (
        ("SampleRate", ctypes.c_uint32),
        ("ValidBitsPerSample", ctypes.c_uint16),
        ("ContainerSize", ctypes.c_uint16),
        ("NumberOfChannels", ctypes.c_uint16),
    )

    def __repr__(self) -> str:
        return (f"HDAUDIO_STREAM_FORMAT({self.SampleRate}, {self.ValidBitsPerSample}, {self.ContainerSize}, "
                f"{self.NumberOfChannels})")


def _whole(name: str, value: SupportsIndex, low: int, high: int) -> int:
    """An int within limits."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is an int, not {type(value).__name__} ({value!r})") from None
    if not low <= number <= high:
        raise ValueError(f"{name} is {number}; it is {low} to {high}")
    return number


class Codec:
    """A codec of a bus.

    Parameters
    ----------
    address : int
        From 0 to 14.
    sink : callable, optional
        ``sink(stream_id, data)`` gets the bytes that render engines send, in order.
    source : callable, optional
        ``source(stream_id, size)`` gives the bytes that a capture engine receives; what is missing is silence.
    respond : callable, optional
        ``respond(command)`` answers a verb with 32 bits; by default 0.

    Attributes
    ----------
    is_silent : bool
        It answers no verb any more.
    is_gone : bool
        It is not connected any more.
    """

    def __init__(self, address: int = 0, *, sink: Callable[[int, bytes], object] | None = None,
                 source: Callable[[int, int], bytes] | None = None,
                 respond: Callable[[int], int] = lambda command: 0) -> None:
        self._address = _whole("a codec's address", address, 0, 14)
        for name, call in (("sink", sink), ("source", source)):
            if call is not None and not callable(call):
                raise TypeError(f"{name} is a function or None, not {type(call).__name__} ({call!r})")
        if not callable(respond):
            raise TypeError(f"respond is a function, not {type(respond).__name__} ({respond!r})")
        self._sink = sink
        self._source = source
        self.respond = respond
        self.is_silent = False
        self.is_gone = False

    @property
    def address(self) -> int:
        """Its address on the bus."""
        return self._address

    @property
    def sink(self) -> Callable[[int, bytes], object] | None:
        """What gets the bytes that are rendered."""
        return self._sink

    @property
    def source(self) -> Callable[[int, int], bytes] | None:
        """What gives the bytes that are captured."""
        return self._source


class CodecTransfer:
    """A verb for TransferCodecVerbs: ``CodecTransfer(command)``.

    Attributes
    ----------
    command : int
        32 bits: the codec's address is the top four, the node the next eight.
    response : CodecResponse or None
        What the codec answered; None before.
    """

    def __init__(self, command: int) -> None:
        self.command = command
        self.response: CodecResponse | None = None

    def __repr__(self) -> str:
        return f"CodecTransfer({self.command:#010x}, response={self.response})"


class LoopbackCodec(Codec):
    """A codec whose output is its input: what is rendered is captured again, in order."""

    def __init__(self, address: int = 0) -> None:
        self._held = bytearray()
        super().__init__(address, sink=self._keep, source=self._give)

    def _keep(self, stream_id: int, data: bytes) -> None:
        self._held += data

    def _give(self, stream_id: int, size: int) -> bytes:
        given = bytes(self._held[:size])
        del self._held[:size]
        return given


class HdAudioBus:
    """The HD Audio bus of a machine: ``machine.hdaudio``, or assigned to it.

    Parameters
    ----------
    render, capture, bidirectional : int
        DMA engines of each kind; at most 15 streams in a direction.
    sdo_lines : int
        Lines out, 1 or 2: with 2 a stream may be striped.
    render_bits, capture_bits : int
        What the link carries in each of its 48,000 frames a second: of a line out, and in.
    fifo_bytes : int
        Of each engine; two frames of a format must fit.
    dma_max : int
        The most bytes of a buffer.
    events_max : int
        The most notification events of an engine, up to 64.
    codecs : sequence of Codec
        Those on the bus; by default one, at address 0, that takes nothing and is silent.
    """

    def __init__(self, *, render: int = 4, capture: int = 4, bidirectional: int = 0, sdo_lines: int = 1,
                 render_bits: int = 960, capture_bits: int = 464, fifo_bytes: int = 512, dma_max: int = 1 << 24,
                 events_max: int = 8, codecs: Iterable[Codec] | None = None) -> None:
        self.render = _whole("render", render, 0, 15)
        self.capture = _whole("capture", capture, 0, 15)
        self.bidirectional = _whole("bidirectional", bidirectional, 0, 15)
        if max(self.render, self.capture) + self.bidirectional > 15:
            raise ValueError(f"engines are {render} for render, {capture} for capture, {bidirectional} for both; "
                             f"a direction has 0 to 15")
        self.sdo_lines = _whole("sdo_lines", sdo_lines, 1, 2)
        self.render_bits = _whole("render_bits", render_bits, 0, 1 << 20)
        self.capture_bits = _whole("capture_bits", capture_bits, 0, 1 << 20)
        self.fifo_bytes = _whole("fifo_bytes", fifo_bytes, 1, 1 << 20)
        self.dma_max = _whole("dma_max", dma_max, 1, 1 << 30)
        self.events_max = _whole("events_max", events_max, 0, 64)
        self._codecs = (Codec(),) if codecs is None else tuple(codecs)
        for codec in self._codecs:
            if not isinstance(codec, Codec):
                raise TypeError(f"codecs has Codec objects, not {type(codec).__name__} ({codec!r})")
        addresses = [codec.address for codec in self._codecs]
        if len(set(addresses)) != len(addresses):
            raise ValueError(f"two codecs have one address: {addresses}")
        self._machine: Callable[[], MachineBase | None] = lambda: None

    def attach(self, machine: MachineBase) -> None:
        """Makes it the bus of a machine: what ``machine.hdaudio = bus`` does.

        Raises
        ------
        ValueError
            It is another machine's, or the machine's own bus is in use.
        """
        if self._machine() not in (None, machine):
            raise ValueError("the bus is another machine's; make an HdAudioBus for each")
        bus_attach(machine, self)
        # C has no reference of its own.
        machine.__dict__["_hdaudio"] = self
        self._machine = weakref.ref(machine)

    def _attached(self) -> MachineBase:
        machine = self._machine()
        if machine is None or machine.__dict__.get("_hdaudio") is not self:
            raise ValueError("the bus is no machine's: machine.hdaudio = bus")
        return machine

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """Those on the bus."""
        return self._codecs

    def query_interface(self, interface: Any, codec: int = 0, function_group: int = 0, *, size: int | None = None,
                        version: int = VERSION) -> Any:
        """Answers an interface of the bus, as IRP_MN_QUERY_INTERFACE does.

        Parameters
        ----------
        interface : type, UUID or str
            HDAUDIO_BUS_INTERFACE, HDAUDIO_BUS_INTERFACE_V2 or HDAUDIO_BUS_INTERFACE_BDL, or the GUID of one.
        codec : int
            The codec of the client.
        function_group : int
            Its function group's first node. Interfaces of one codec and group share their context and handles.
        size : int, optional
            Bytes of the structure that the client knows; default: that of this process' C.
        version : int
            0x0100.

        Returns
        -------
        HDAUDIO_BUS_INTERFACE, HDAUDIO_BUS_INTERFACE_V2 or HDAUDIO_BUS_INTERFACE_BDL

        Raises
        ------
        HdAudioError
            STATUS_NOT_SUPPORTED: another GUID, size or version. STATUS_NO_SUCH_DEVICE: no codec at that address.
        """
        machine = self._attached()
        kind = interface if isinstance(interface, type) else INTERFACES.get(_guid(interface) or uuid.UUID(int=0))
        if kind is None or kind not in INTERFACES.values():
            raise HdAudioError("IRP_MN_QUERY_INTERFACE", NtStatus.STATUS_NOT_SUPPORTED,
                               f"{interface!r} is no interface of this bus")
        known = ctypes.sizeof(ctypes.c_void_p) * (4 + len(names_of(kind)))
        if version != VERSION or size not in (None, known):
            raise HdAudioError("IRP_MN_QUERY_INTERFACE", NtStatus.STATUS_NOT_SUPPORTED,
                               f"version {VERSION:#06x} is known, of {known} bytes")
        codec, function_group = operator.index(codec), operator.index(function_group)
        if not 0 <= codec <= 14 or not 0 <= function_group <= 255:
            raise HdAudioError("IRP_MN_QUERY_INTERFACE", NtStatus.STATUS_NO_SUCH_DEVICE,
                               f"there is no codec {codec!r} with a function group at {function_group!r}")
        try:
            return interface_new(kind, context_new(machine, codec, function_group))
        except LookupError as error:
            raise HdAudioError("IRP_MN_QUERY_INTERFACE", NtStatus.STATUS_NO_SUCH_DEVICE, str(error)) from None

    def render_stream(self, format: Any, size: int, *, notifications: int = 0, stripe: bool = False,  # noqa: A002
                      codec: int = 0, function_group: int = 0) -> Stream:
        """A stream to the codecs, with its buffer: AllocateRenderDmaEngine and AllocateDmaBuffer.

        Parameters
        ----------
        format : HDAUDIO_STREAM_FORMAT
            Rate, bits and channels.
        size : int
            Bytes of the cyclic buffer.
        notifications : int
            How often in a round of the buffer `Stream.event` is set: 0, 1 or 2.
        stripe : bool
            Spread it over the two lines of a bus that has them.
        codec, function_group : int
            The client.

        Returns
        -------
        Stream
            In Reset; `Stream.start` lets it run.

        Raises
        ------
        HdAudioError
            With the status of the routine that failed; nothing is left allocated.
        """
        return Stream(self._client(codec, function_group), format, size, notifications,
                      "AllocateRenderDmaEngine", format, stripe)

    def capture_stream(self, format: Any, size: int, *, notifications: int = 0, codec: int = 0,  # noqa: A002
                       function_group: int = 0) -> Stream:
        """A stream from a codec, with its buffer: AllocateCaptureDmaEngine and AllocateDmaBuffer.

        As `render_stream`; `codec` is also where the data comes from.
        """
        return Stream(self._client(codec, function_group), format, size, notifications,
                      "AllocateCaptureDmaEngine", codec, format)

    def _client(self, codec: int, function_group: int) -> HDAUDIO_BUS_INTERFACE_V2:
        found: HDAUDIO_BUS_INTERFACE_V2 = self.query_interface(HDAUDIO_BUS_INTERFACE_V2, codec, function_group)
        return found

    def unsolicited(self, codec: int, tag: int, response: int) -> None:
        """Sends an unsolicited response of a codec to the callback that RegisterEventCallback gave the tag, if any.

        Parameters
        ----------
        codec : int
            The codec's address.
        tag : int
            From 0 to 63.
        response : int
            26 bits.
        """
        if codec not in [each.address for each in self.codecs] or not 0 <= tag <= 63 or not 0 <= response < 1 << 26:
            raise ValueError(f"no codec at {codec!r}, or no tag {tag!r} (0 to 63), or {response!r} has over 26 bits")
        unsolicited(self._attached(), codec, tag, response)

    def stick(self, handle: int, is_stuck: bool = True) -> None:
        """Has a DMA engine fail to be programmed in time from now on: STATUS_DEVICE_NOT_READY; or not any more."""
        engine_stick(self._attached(), handle, is_stuck)


def _expect(routine: str, status: NtStatus | int, hint: str = "") -> None:
    if status:
        raise HdAudioError(routine, status, hint)


class Stream:
    """A DMA engine and its cyclic buffer: what `HdAudioBus.render_stream` and `HdAudioBus.capture_stream` answer.

    The end of a with statement stops the engine and frees both; losing the object frees nothing. Methods raise
    HdAudioError when a routine fails.

    Attributes
    ----------
    interface : HDAUDIO_BUS_INTERFACE_V2
        By which it is used.
    format : HDAUDIO_STREAM_FORMAT
        What was asked for.
    handle : int
        The engine's, for the routines.
    converter_format : int
        The format as a codec's converter is told.
    mdl : Mdl
        The buffer's pages.
    buffer : Buffer
        The bytes that are sent, or were received.
    size : int
        How many.
    stream_id : int
        The stream's number on the link.
    fifo_bytes : int
        Of the engine's FIFO.
    """

    def __init__(self, interface: HDAUDIO_BUS_INTERFACE_V2, format: Any, size: int, notifications: int,  # noqa: A002
                 routine: str, *arguments: Any) -> None:
        self.interface = interface
        self.format = format
        self._is_notified = notifications != 0
        self._is_closed = False
        answer: Any
        try:
            status, handle, converter_format = getattr(interface, routine)(*arguments)
            _expect(routine, status, f"The format was {format!r}.")
            try:
                if notifications:
                    name = "AllocateDmaBufferWithNotification"
                    answer = interface.AllocateDmaBufferWithNotification(handle, notifications, size)
                else:
                    name = "AllocateDmaBuffer"
                    answer = interface.AllocateDmaBuffer(handle, size)
                _expect(name, answer[0], f"{size!r} bytes and {notifications!r} notifications were asked for.")
            except BaseException:
                interface.FreeDmaEngine(handle)
                raise
        except BaseException:
            interface.release()
            raise
        self.handle: int = handle
        self.converter_format: int = converter_format
        self.mdl: Mdl = answer[1]
        self.buffer: Buffer = self.mdl.buffer
        self.size: int = answer[2]
        self.stream_id: int = answer[-2]
        self.fifo_bytes: int = answer[-1]

    def __repr__(self) -> str:
        return f"<Stream {self.stream_id} of {self.format!r}{', closed' if self._is_closed else ''}>"

    def start(self) -> None:
        """Lets it run, from the beginning or from where it was stopped."""
        start(self)

    def stop(self) -> None:
        """Lets it stand where it is."""
        stop(self)

    def reset(self) -> None:
        """Stops it, and puts it back to the beginning."""
        stop(self)
        _expect("SetDmaEngineState", self.interface.SetDmaEngineState(0, [self.handle]))

    @property
    def position(self) -> int:
        """Offset in the buffer of the byte that is sent or received next."""
        status, register = self.interface.GetLinkPositionRegister(self.handle)
        if register is None:
            raise HdAudioError("GetLinkPositionRegister", status)
        return int(register)

    def event(self) -> Event:
        """A new event that each notification sets, and a wait resets. It is dropped when it is closed, or the stream.

        Returns
        -------
        Event
        """
        event = Event(self.interface.machine)
        _expect("RegisterNotificationEvent", self.interface.RegisterNotificationEvent(self.handle, event))
        return event

    def close(self) -> None:
        """Stops the engine and frees it and its buffer; what the routines freed already is no error.

        Where views of the buffer are alive its memory serves again after the last one. Closing again does nothing, nor
        does it once the machine is closed.
        """
        machine = self.interface.machine
        if self._is_closed or machine is None or machine.is_closed:
            return
        bus, handle = self.interface, self.handle
        steps: tuple[tuple[str, Callable[[], NtStatus]], ...] = (
            ("SetDmaEngineState", lambda: bus.SetDmaEngineState(1, [handle])),
            ("SetDmaEngineState", lambda: bus.SetDmaEngineState(0, [handle])),
            ("FreeDmaBuffer", lambda: buffer_release(bus, handle, self.mdl, self._is_notified)),
            ("FreeDmaEngine", lambda: bus.FreeDmaEngine(handle)),
        )
        for routine, step in steps:
            status = step()
            if status in (NtStatus.STATUS_INVALID_HANDLE, NtStatus.STATUS_NO_SUCH_DEVICE):
                break
            if status != NtStatus.STATUS_INVALID_DEVICE_REQUEST or routine == "FreeDmaEngine":
                _expect(routine, status)
        self._is_closed = True
        bus.release()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self.close()


def start(*streams: Stream) -> None:
    """Lets streams of one client run, all from the same instant.

    Raises
    ------
    HdAudioError
        SetDmaEngineState failed: none of them was moved.
    """
    for state in (1, 2):
        _set_state(state, streams)


def stop(*streams: Stream) -> None:
    """Lets streams of one client stand where they are, all at the same instant. Raises as `start`."""
    _set_state(1, streams)


def _set_state(state: int, streams: tuple[Stream, ...]) -> None:
    if not streams:
        raise TypeError("start() and stop() take one Stream or more")
    _expect("SetDmaEngineState", streams[0].interface.SetDmaEngineState(state, [each.handle for each in streams]))


def _guid(interface: Any) -> uuid.UUID | None:
    if isinstance(interface, uuid.UUID):
        return interface
    try:
        return uuid.UUID(interface)
    except (ValueError, AttributeError, TypeError):
        return None


# ---- the interfaces in their real layout ---------------------------------------------------------------

FIRST = (
    "TransferCodecVerbs", "AllocateCaptureDmaEngine", "AllocateRenderDmaEngine", "ChangeBandwidthAllocation",
)
LAST = (
    "FreeDmaEngine", "SetDmaEngineState", "GetWallClockRegister", "GetLinkPositionRegister", "RegisterEventCallback",
    "UnregisterEventCallback", "GetDeviceInformation", "GetResourceInformation",
)


def names_of(kind: type) -> tuple[str, ...]:
    """An interface's routines in the order of its structure."""
    if issubclass(kind, HDAUDIO_BUS_INTERFACE_BDL):
        return (*FIRST, "AllocateContiguousDmaBuffer", "SetupDmaEngineWithBdl", "FreeContiguousDmaBuffer", *LAST)
    more = ("AllocateDmaBufferWithNotification", "FreeDmaBufferWithNotification", "RegisterNotificationEvent",
            "UnregisterNotificationEvent") if issubclass(kind, HDAUDIO_BUS_INTERFACE_V2) else ()
    return (*FIRST, "AllocateDmaBuffer", "FreeDmaBuffer", *LAST, *more)


def structure_of(interface: BusInterface, form: str) -> ctypes.Structure:
    """An interface as a ctypes Structure. `form` is what stands before the routines' names: now_ or now_ms_."""
    # The ctypes door stands above this module, and is loaded when it is asked for.
    windll = import_module("pybuf.windll")
    table = {routine.name: routine for routine in ROUTINES}
    fields: list[tuple[str, Any]] = [
        ("Size", ctypes.c_uint16), ("Version", ctypes.c_uint16), ("Context", ctypes.c_void_p)]
    addresses = {}
    for name in ("InterfaceReference", "InterfaceDereference", *names_of(type(interface))):
        if name in REFERENCES:
            base, arguments = windll.VOID, (windll.ADDRESS,)
            address = REFERENCES[form.removeprefix("now_") + name]
        else:
            base = windll.RESULTS[table[name].result]
            arguments = tuple(map(windll.argument_type, table[name].parameters))
            address = windll.ENTRIES.get(f"{form}{name}", 0)
        members = {"_flags_": base._flags_, "_restype_": base._restype_, "_argtypes_": arguments}
        fields.append((name, type(name, (base,), members)))
        addresses[name] = address
    made: Any = type(type(interface).__name__, (ctypes.Structure,), {"_fields_": fields})()
    made.Size, made.Version, made.Context = ctypes.sizeof(made), VERSION, interface.context
    for name, kind in fields[3:]:
        if addresses[name]:
            setattr(made, name, kind(addresses[name]))
    return made  # type: ignore[no-any-return]


structures_by(structure_of)
