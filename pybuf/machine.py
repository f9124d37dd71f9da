"""Machines as Python makes them: settings, guests, the caller's rights, and the faces of the families."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from poolcore import AddressSpace, Fill, Pages, Quarantine
from pybuf._machine import Block, Event, MachineBase, current_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import SupportsIndex

    from poolcore import Buffer
    from pybuf._videoport import Device
    from pybuf.errors import BugCheck
    from pybuf.hdaudio import HdAudioBus
    from pybuf.network import Network
    from pybuf.ras import Ras

__all__ = [
    "APC_LEVEL", "Block", "Caller", "CallersEvents", "DISPATCH_LEVEL", "Event", "Guest", "Machine", "PASSIVE_LEVEL",
    "WINE",
]

PASSIVE_LEVEL = 0
APC_LEVEL = 1
DISPATCH_LEVEL = 2

GRANULE_BYTES = 1 << 16
RESERVE_BYTES = 1 << 32

# Settings: the values of each, the default first, and the bit of the other (QUIRK_* in _machine.pxd).
QUIRKS: dict[str, tuple[str, str, int]] = {
    "ras_oversize": ("clamp", "refuse", 1),
    "ras_send": ("pool", "any", 2),
    "ras_free_pending": ("610", "616", 4),
    "ras_empty_receive": ("timeout", "windows2000", 8),
    "netapi_bad_pointer": ("refuse", "ignore", 16),
    "video_zero": ("bugcheck", "minimal", 32),
    "video_pairing": ("strict", "shared", 64),
}

WINE: dict[str, str] = {"netapi_bad_pointer": "ignore"}
"""The settings that answer as Wine does."""


class CallersEvents(Protocol):
    """What `Machine(events=)` takes: the events of an emulator, instead of the machine's own."""

    def is_valid(self, handle: int, /) -> object:
        """Whether a handle is one of its events."""

    def signal(self, handle: int, /) -> object:
        """Sets an event of its."""


class Guest:
    """An address range that a machine lives in and does not own, such as an emulator's.

    Parameters
    ----------
    space : AddressSpace
        The range; at least 8 slabs of 64 KiB.
    on_write : callable
        ``on_write(address, data)`` puts bytes into the guest's memory: once for each routine that fills a block.
    on_read : callable, optional
        ``on_read(address, size)`` answers bytes of it. Without it, what is sent reads as zeros.
    pointer_bytes : int
        4 or 8: what a pointer takes in the guest.
    wchar_bytes : int
        2 or 4: what a wide character takes.
    """

    def __init__(
        self,
        space: AddressSpace,
        on_write: Callable[[int, bytes], object],
        on_read: Callable[[int, int], bytes] | None = None,
        *,
        pointer_bytes: int = 8,
        wchar_bytes: int = 2,
    ) -> None:
        if not isinstance(space, AddressSpace):
            raise TypeError(f"Guest: space is an AddressSpace, not {type(space).__name__} ({space!r})")
        for name, call in (("on_write", on_write), ("on_read", on_read)):
            if not callable(call) and (call is not None or name == "on_write"):
                raise TypeError(f"Guest: {name} is a function, not {type(call).__name__} ({call!r})")
        if pointer_bytes not in (4, 8):
            raise ValueError(f"Guest: pointer_bytes is {pointer_bytes!r}; it is 4 or 8")
        if wchar_bytes not in (2, 4):
            raise ValueError(f"Guest: wchar_bytes is {wchar_bytes!r}; it is 2 or 4")
        first = -(-space.base // GRANULE_BYTES)
        granules = (space.base + space.size) // GRANULE_BYTES - first
        if granules < 8:
            raise ValueError(f"Guest: {space!r} has {max(granules, 0)} slabs of 64 KiB; a machine needs 8")
        if pointer_bytes == 4 and space.base + space.size > 1 << 32:
            raise ValueError(f"Guest: {space!r} does not end below 2**32, and pointer_bytes is 4")
        self.space = space
        self.on_write = on_write
        self.on_read = on_read
        self.pointer_bytes = pointer_bytes
        self.wchar_bytes = wchar_bytes
        self._first = first
        self.share_bytes = granules // 8 * GRANULE_BYTES

    def shares(self) -> list[AddressSpace]:
        """The ranges of the six pools that live in the guest: RAS 1/8, NetApi twice 1/4, VideoPort three times 1/8."""
        found = []
        base = self._first * GRANULE_BYTES
        for eighths in (1, 2, 2, 1, 1, 1):
            size = eighths * self.share_bytes
            found.append(AddressSpace(base, size, self.space.on_map, self.space.on_unmap, self.space.on_copy))
            base += size
        return found

    def __repr__(self) -> str:
        return f"Guest({self.space!r}, pointer_bytes={self.pointer_bytes}, wchar_bytes={self.wchar_bytes})"


class Caller(NamedTuple):
    """Who calls a machine's NetApi routines, and so what they may ask."""

    name: str = "Administrator"
    """The account."""
    groups: tuple[str, ...] = ("Administrators",)
    """The local groups it is in."""
    interactive: bool = True
    """Whether it is logged on at the machine."""


def _quirks(given: Mapping[str, str]) -> int:
    bits = 0
    for name, value in dict(given).items():
        if name not in QUIRKS:
            raise ValueError(f"quirks: {name!r} is no setting; they are {', '.join(QUIRKS)}")
        default, other, bit = QUIRKS[name]
        # 616 may be written as a number.
        text = str(int(value)) if isinstance(value, int) else value
        if text not in (default, other):
            raise ValueError(f"quirks: {name} is {value!r}; it is {default!r} or {other!r}")
        if text == other:
            bits |= bit
    return bits


def _limit(name: str, given: SupportsIndex | None) -> int | None:
    """A limit, checked here: the pool that it is for is only made when it is first used."""
    if given is None:
        return None
    try:
        limit = operator.index(given)
    except TypeError:
        raise TypeError(f"{name} is an int or None, not {type(given).__name__} ({given!r})") from None
    if limit < 0:
        raise ValueError(f"{name} is {limit}; it is 0 or more, or None for no limit")
    return limit


class Machine(MachineBase):
    """A simulated Windows machine: its pools of buffers, its events and clock, and what its routines know.

    Parameters
    ----------
    memory : Guest, optional
        The address range that it lives in; default: memory of its own.
    quirks : dict
        Settings where Windows' pages leave room, or differ from an implementation; `WINE` is Wine's. The first value
        is the default: ras_oversize clamp|refuse, ras_send pool|any, ras_free_pending 610|616, ras_empty_receive
        timeout|windows2000, netapi_bad_pointer refuse|ignore, video_zero bugcheck|minimal, video_pairing strict|shared.
    verifier : bool
        VideoPort answers as with Driver Verifier.
    special_pool : bool
        Writes past a VideoPort block, and after its free, are found.
    clock : str
        "real", or "manual": moved by `advance` alone.
    ras_buffers, ras_bytes : int, optional
        The most RAS buffers, and bytes in them, at a time.
    netapi_bytes, video_bytes, audio_bytes : int, optional
        The most bytes of the blocks of NetApiBufferAllocate, of each VideoPort pool, and of HD Audio.
    events : optional
        Events of the caller's, with ``is_valid(handle)`` and ``signal(handle)``.
    numbered : bool
        Number the blocks of RasGetBuffer and NetApiBufferAllocate, too: `live` says which came first.

    Notes
    -----
    ``with machine:`` makes it the current machine of the context, on which routines without a handle act; it does not
    close it. Any thread may call anything at any time.
    """

    def __init__(
        self,
        *,
        memory: Guest | None = None,
        quirks: Mapping[str, str] = {},
        verifier: bool = False,
        special_pool: bool = False,
        clock: str = "real",
        ras_buffers: SupportsIndex | None = None,
        ras_bytes: SupportsIndex | None = None,
        netapi_bytes: SupportsIndex | None = None,
        video_bytes: SupportsIndex | None = None,
        audio_bytes: SupportsIndex | None = None,
        events: CallersEvents | None = None,
        numbered: bool = False,
    ) -> None:
        if memory is not None and not isinstance(memory, Guest):
            raise TypeError(f"memory is a Guest or None, not {type(memory).__name__} ({memory!r})")
        if clock not in ("real", "manual"):
            raise ValueError(f"clock is {clock!r}; it is 'real' or 'manual'")
        for name in () if events is None else ("is_valid", "signal"):
            if not callable(getattr(events, name, None)):
                raise TypeError(f"events has the methods is_valid(handle) and signal(handle); {events!r} has no {name}")
        own = Pages(RESERVE_BYTES)
        shares: Iterable[object] = [own] * 6 if memory is None else memory.shares()
        # In the order of POOL_*, as _machine.pxd has it.
        pools: list[dict[str, Any]] = [{"memory": share} for share in [*shares, own]]
        pools[0].update(limit_blocks=_limit("ras_buffers", ras_buffers), limit_bytes=_limit("ras_bytes", ras_bytes))
        pools[1]["limit_bytes"] = _limit("netapi_bytes", netapi_bytes)
        pools[6]["limit_bytes"] = _limit("audio_bytes", audio_bytes)
        checked = (Fill(), Quarantine(bytes=1 << 22)) if special_pool else (Fill(),) if verifier else ()
        # A block of a power of two is aligned to itself, so none crosses a page. The slabs of a small range are small.
        largest = GRANULE_BYTES
        while memory is not None and largest > 4096 and memory.share_bytes < 16 * largest:
            largest //= 2
        for settings in pools[3:6]:
            settings.update(sizes=[1 << n for n in range(4, largest.bit_length())],
                            limit_bytes=_limit("video_bytes", video_bytes))
            if checked and (memory is None or memory.on_read is not None):
                settings["policies"] = checked if memory is None else checked[1:]
        super().__init__(
            settings=pools, quirks=_quirks(quirks), verifier=verifier, special_pool=special_pool,
            is_manual=clock == "manual", numbered=numbered, memory=memory, events=events,
        )
        self._caller = Caller()

    @property
    def caller(self) -> Caller:
        """Who calls the NetApi routines; a Caller can be assigned. Their buffer routines ask for no rights."""
        return self._caller

    @caller.setter
    def caller(self, caller: Caller) -> None:
        if not isinstance(caller, Caller):
            raise TypeError(f"caller is a Caller, not {type(caller).__name__} ({caller!r})")
        self._give_caller(caller, self.network)
        self._caller = caller

    @property
    def ras(self) -> Ras:
        """Ports and sessions of RAS: a `pybuf.ras.Ras`."""
        from pybuf.ras import Ras

        return Ras(self)

    def _give_caller(self, caller: Caller, network: Network) -> None:
        from pybuf._netapi import caller_set
        from pybuf.network import caller_tables, is_privileged

        caller_set(self, caller_tables(network, caller.name), is_privileged(caller.groups), caller.interactive)

    @property
    def network(self) -> Network:
        """What the NetApi functions report. Assigning another compiles it; resume handles of before are no longer
        known.
        """
        from pybuf.network import DEFAULT

        found: Network = self.__dict__.get("_network", DEFAULT)
        return found

    @network.setter
    def network(self, network: Network) -> None:
        from pybuf._netapi import network_set
        from pybuf.network import Network

        if not isinstance(network, Network):
            raise TypeError(f"network is a Network, not {type(network).__name__} ({network!r})")
        network_set(self, network.compiled())
        self._network = network
        self._give_caller(self._caller, network)

    @property
    def services(self) -> frozenset[str]:
        """The services that run, of "workstation", "server" and "browser"; assign those that are to run."""
        import pybuf.network  # noqa: F401
        from pybuf._netapi import services_get

        running: frozenset[str] = services_get(self)
        return running

    @services.setter
    def services(self, running: Iterable[str]) -> None:
        import pybuf.network  # noqa: F401
        from pybuf._netapi import services_set

        services_set(self, running)

    @property
    def hdaudio(self) -> HdAudioBus:
        """The machine's HD Audio bus. Another HdAudioBus may be assigned before its first interface is asked for."""
        bus = self.__dict__.get("_hdaudio")
        if bus is None:
            from pybuf.hdaudio import HdAudioBus

            self.hdaudio = bus = HdAudioBus()
        return cast("HdAudioBus", bus)

    @hdaudio.setter
    def hdaudio(self, bus: HdAudioBus) -> None:
        from pybuf.hdaudio import HdAudioBus

        if not isinstance(bus, HdAudioBus):
            raise TypeError(f"hdaudio is an HdAudioBus, not {type(bus).__name__} ({bus!r})")
        bus.attach(self)

    @staticmethod
    def current() -> MachineBase:
        """The machine that routines without a handle act on: the one entered last, else the default machine."""
        return current_machine()

    # ---- VideoPort ----

    def video_device(
        self, allowance_bytes: SupportsIndex | None = None, extension: SupportsIndex | None = None
    ) -> Device:
        """A miniport's device, for the VideoPort routines.

        Parameters
        ----------
        allowance_bytes : int, optional
            The most bytes that VideoPortAllocateBuffer may have allocated for it.
        extension : int, optional
            Its HwDeviceExtension, which no other device has; default: one that is free.
        """
        from pybuf._videoport import device_open

        return device_open(self, _limit("allowance_bytes", allowance_bytes), extension)

    def access(self, address: SupportsIndex | Buffer, size: SupportsIndex, write: bool = False) -> BugCheck | None:
        """What happens when a driver reads or writes memory of a VideoPort pool; nothing is read or written.

        Parameters
        ----------
        address : int or Buffer
            The first byte.
        size : int
            How many bytes.
        write : bool
            Whether they are written.

        Returns
        -------
        BugCheck or None
            With special_pool: DRIVER_CAUGHT_MODIFYING_FREED_POOL for a freed block that is not in use again,
            PAGE_FAULT_BEYOND_END_OF_ALLOCATION for bytes behind a block. It is recorded, not raised.
        """
        from pybuf._videoport import access

        return access(self, address, size, write)

    def sweep(self) -> list[BugCheck]:
        """Looks for writes to freed blocks of the VideoPort pools, with special_pool.

        Returns
        -------
        list of BugCheck
            DRIVER_CAUGHT_MODIFYING_FREED_POOL for each block that was written to after its free and is not in use
            again, with the first such byte. They are recorded, not raised.
        """
        from pybuf._videoport import sweep

        return sweep(self)
