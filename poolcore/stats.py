"""Verdict and Stats: what a free found, and what a pool holds. Loaded when first asked for."""

from __future__ import annotations

from enum import IntEnum, unique

__all__ = ["ClassStats", "Stats", "Verdict"]


@unique
class Verdict(IntEnum):
    """What free found at an address. The values are those of the C interface."""

    LIVE = 0
    """A live block's start: it was freed."""
    NULL = 1
    """The address 0."""
    DOUBLE = 2
    """The start of a block that was freed before."""
    INTERIOR = 3
    """Inside a block or between blocks, not at the start of one."""
    FOREIGN = 4
    """Not in any open pool, or never handed out."""
    OTHER_POOL = 5
    """In another open pool."""
    EXPORTED = 6
    """A view of the block's Buffer is alive."""
    CORRUPT = 7
    """The pattern in or around the block was overwritten."""
    CLOSED = 8
    """The pool is closed."""


class _Figures:
    """Named numbers that cannot be changed, compared by value."""

    __slots__: tuple[str, ...] = ()

    def __init__(self, **figures: object) -> None:
        if figures.keys() != set(self.__slots__):
            missing = [name for name in self.__slots__ if name not in figures]
            unknown = [name for name in figures if name not in self.__slots__]
            raise TypeError(f"{type(self).__name__}: missing {missing}, unknown {unknown}")
        put = object.__setattr__
        for name, value in figures.items():
            put(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is a record of one moment and cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is a record of one moment and cannot be changed")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.__slots__))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({inside})"

    def __reduce__(self) -> tuple[object, ...]:
        return _figures, (type(self), {name: getattr(self, name) for name in self.__slots__})

    def as_dict(self) -> dict[str, object]:
        """The figures by name, of plain dicts, lists, ints and bools, ready for JSON.

        Returns
        -------
        dict
            A copy: changing it changes nothing here.
        """
        return {name: _plain(getattr(self, name)) for name in self.__slots__}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.as_dict() if isinstance(value, _Figures) else value


def _figures(kind: type[_Figures], figures: dict[str, object]) -> _Figures:
    return kind(**figures)


class ClassStats(_Figures):
    """One size class of a pool."""

    __slots__ = ("block_bytes", "live_blocks", "live_bytes", "slabs", "capacity_bytes")

    block_bytes: int
    """Capacity of each of its blocks."""
    live_blocks: int
    live_bytes: int
    """Requested bytes of its live blocks."""
    slabs: int
    """Slabs that are formatted for it."""
    capacity_bytes: int
    """Capacity of its live blocks."""


class Stats(_Figures):
    """A pool's counters at one moment: exact when no other thread is in a call.

    Otherwise frees are read before allocations, so that live is never below the truth.
    """

    __slots__ = (
        "schema",
        "live_blocks",
        "live_bytes",
        "peak_blocks",
        "peak_bytes",
        "is_peak_exact",
        "total_allocs",
        "total_frees",
        "capacity_bytes",
        "internal_waste_bytes",
        "external_waste_bytes",
        "reserved_bytes",
        "committed_bytes",
        "largest_bytes",
        "late_double_frees",
        "quarantined_blocks",
        "quarantined_bytes",
        "corrupt_blocks",
        "dropped_buffers",
        "classes",
    )

    schema: int
    """Version of this list of names; it grows when one changes its meaning or goes."""
    live_blocks: int
    live_bytes: int
    """Requested bytes of live blocks."""
    peak_blocks: int
    peak_bytes: int
    is_peak_exact: bool
    """False: the peaks may exceed the truth by one slab for each thread and size class."""
    total_allocs: int
    total_frees: int
    capacity_bytes: int
    """Capacity of live blocks."""
    internal_waste_bytes: int
    """Inside live blocks: capacity less requested."""
    external_waste_bytes: int
    """In slabs that are in use, outside live blocks."""
    reserved_bytes: int
    """Address space the pool may hand out."""
    committed_bytes: int
    """Of it, what may hold memory now."""
    largest_bytes: int
    """The largest block that could be had now."""
    late_double_frees: int
    """Frees that lost a race for the same block and were seen afterwards."""
    quarantined_blocks: int
    quarantined_bytes: int
    corrupt_blocks: int
    """Blocks whose pattern was found overwritten."""
    dropped_buffers: int
    """Buffers that went without a free while their block was live."""
    classes: tuple[ClassStats, ...]
