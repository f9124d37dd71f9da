"""HD Audio as Python has it: the bus of a machine, its codecs, and the interfaces by which drivers use it.

::

    bus = machine.hdaudio.query_interface(HDAUDIO_BUS_INTERFACE)
    status, handle, converter = bus.AllocateRenderDmaEngine(HDAUDIO_STREAM_FORMAT(48000, 16, 16, 2), False)
    status, mdl, allocated, stream_id, fifo = bus.AllocateDmaBuffer(handle, 65536)
    bus.SetDmaEngineState(1, [handle]), bus.SetDmaEngineState(2, [handle])
    machine.advance(Fraction(1, 100))
"""

from __future__ import annotations

import ctypes
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
    bus_attach,
    context_new,
    engine_stick,
    interface_new,
    structures_by,
    unsolicited,
)
from pybuf.errors import HdAudioError
from pybuf.routines import ROUTINES
from pybuf.status import NtStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pybuf._machine import MachineBase

__all__ = [
    "Codec", "CodecResponse", "CodecTransfer", "HDAUDIO_BUS_INTERFACE", "HDAUDIO_BUS_INTERFACE_BDL",
    "HDAUDIO_BUS_INTERFACE_V2", "HDAUDIO_STREAM_FORMAT", "HdAudioBus", "LoopbackCodec",
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
        if not 0 <= address <= 14:
            raise ValueError(f"a codec's address is 0 to 14, not {address!r}")
        for name, call in (("sink", sink), ("source", source)):
            if call is not None and not callable(call):
                raise TypeError(f"{name} is a function or None, not {type(call).__name__} ({call!r})")
        self._address = address
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
                 events_max: int = 8, codecs: Sequence[Codec] | None = None) -> None:
        if min(render, capture, bidirectional) < 0 or max(render, capture) + bidirectional > 15:
            raise ValueError(f"engines are {render} for render, {capture} for capture, {bidirectional} for both; "
                             f"a direction has 0 to 15")
        for name, value, low, high in (("sdo_lines", sdo_lines, 1, 2), ("render_bits", render_bits, 0, 1 << 20),
                                       ("capture_bits", capture_bits, 0, 1 << 20),
                                       ("fifo_bytes", fifo_bytes, 1, 1 << 20), ("dma_max", dma_max, 1, 1 << 30),
                                       ("events_max", events_max, 0, 64)):
            if not low <= value <= high:
                raise ValueError(f"{name} is {value!r}; it is {low} to {high}")
        self.render, self.capture, self.bidirectional = render, capture, bidirectional
        self.sdo_lines = sdo_lines
        self.render_bits, self.capture_bits = render_bits, capture_bits
        self.fifo_bytes, self.dma_max, self.events_max = fifo_bytes, dma_max, events_max
        self.codecs = (Codec(),) if codecs is None else tuple(codecs)
        addresses = [codec.address for codec in self.codecs]
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
        self._machine = weakref.ref(machine)

    def _attached(self) -> MachineBase:
        machine = self._machine()
        if machine is None:
            raise ValueError("the bus is no machine's: machine.hdaudio = bus")
        return machine

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
        if not 0 <= codec <= 14 or not 0 <= function_group <= 255:
            raise HdAudioError("IRP_MN_QUERY_INTERFACE", NtStatus.STATUS_NO_SUCH_DEVICE,
                               f"there is no codec {codec!r} with a function group at {function_group!r}")
        try:
            return interface_new(kind, context_new(machine, codec, function_group))
        except LookupError as error:
            raise HdAudioError("IRP_MN_QUERY_INTERFACE", NtStatus.STATUS_NO_SUCH_DEVICE, str(error)) from None

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


def structure_of(interface: BusInterface) -> ctypes.Structure:
    """An interface as a ctypes Structure."""
    # The ctypes door stands above this module, and is loaded when it is asked for.
    windll = import_module("pybuf.windll")
    table = {routine.name: routine for routine in ROUTINES}
    fields: list[tuple[str, Any]] = [
        ("Size", ctypes.c_uint16), ("Version", ctypes.c_uint16), ("Context", ctypes.c_void_p)]
    addresses = {}
    for name in ("InterfaceReference", "InterfaceDereference", *names_of(type(interface))):
        if name in REFERENCES:
            base, arguments, address = windll.VOID, (windll.ADDRESS,), REFERENCES[name]
        else:
            base = windll.RESULTS[table[name].result]
            arguments = tuple(map(windll.argument_type, table[name].parameters))
            address = windll.ENTRIES.get(f"now_{name}", 0)
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
