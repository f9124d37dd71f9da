"""What a Pool can be made with: its backing (Pages, AddressSpace) and its policies.

All are frozen, compare and hash by value, and print as they were written.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsIndex

PAGE_BYTES = 4096
SPACE_MAX = 1 << 47
WORD_MAX = (1 << 64) - 1


class Setting:
    """An argument of Pool: immutable, compared by value, printed as it was written."""

    __slots__ = ("_args", "_kwargs")
    _args: tuple[object, ...]
    _kwargs: dict[str, object]

    def __new__(cls, *args: object, **kwargs: object) -> Setting:
        """Remembers how it was written."""
        self = object.__new__(cls)
        object.__setattr__(self, "_args", args)
        object.__setattr__(self, "_kwargs", kwargs)
        return self

    def _freeze(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in type(self).__slots__)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self!r} cannot be changed: make another {type(self).__name__}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self!r} cannot be changed: make another {type(self).__name__}")

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def _shown(self, value: object) -> str:
        return repr(value)

    def __repr__(self) -> str:
        inside = [self._shown(value) for value in self._args]
        inside += [f"{name}={self._shown(value)}" for name, value in self._kwargs.items()]
        return f"{type(self).__name__}({', '.join(inside)})"

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self._args, self._kwargs)

    def kind(self) -> type[Setting]:
        """The class of this module that it is, or is made from."""
        return next(kind for kind in type(self).__mro__ if kind.__module__ == __name__)


def _again(kind: type[Setting], args: tuple[object, ...], kwargs: dict[str, object]) -> Setting:
    return kind(*args, **kwargs)


def _whole(owner: str, name: str, value: SupportsIndex, least: int, most: int = WORD_MAX) -> int:
    """`value` as an int from `least` to `most`, or an error that says who wants which."""
    if not hasattr(type(value), "__index__"):
        raise TypeError(f"{owner}: {name} is an int, not {type(value).__name__} ({value!r})")
    number = type(value).__index__(value)
    if not least <= number <= most:
        raise ValueError(f"{owner}: {name} is {number}; it is from {least} to {most}")
    return number


def _called(owner: str, name: str, value: Callable[..., object] | None) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{owner}: {name} is a function or None, not {type(value).__name__} ({value!r})")


def _name(value: object) -> str:
    return str(getattr(value, "__qualname__", None) or repr(value))


class Pages(Setting):
    """Backing: pages of the pool's own.

    Parameters
    ----------
    reserve : int, optional
        Bytes of address space to reserve: the most that the pool can ever hold. Reserving costs no
        memory. Default 64 GiB, less when the OS refuses or many pools are open.
    huge : bool or None
        Ask the OS for huge pages of 2 MiB: True from the first byte on, False never, None (the default) for what a
        pool takes beyond its first 4 MiB. They spare most page faults of a growing pool, and up to 2 MiB more may be
        resident than was touched. Only where the OS lets a program ask (Linux: `madvise` or `always`).
    """

    __slots__ = ("reserve", "huge")
    reserve: int | None
    huge: bool | None

    def __init__(self, reserve: SupportsIndex | None = None, huge: bool | None = None) -> None:
        self._freeze(
            reserve=None if reserve is None else _whole("Pages", "reserve", reserve, PAGE_BYTES, SPACE_MAX),
            huge=None if huge is None else bool(huge),
        )


class AddressSpace(Setting):
    """Backing: addresses only, without memory. What emulators and simulators hand to a guest.

    Parameters
    ----------
    base : int
        First address. Page zero cannot be part of it: 0 is no block.
    size : int
        Bytes, at most 2**47.
    on_map, on_unmap : callable, optional
        Called as ``on_map(address, size)`` before a range is used and ``on_unmap(address, size)`` when
        it is no longer. An exception in `on_map` refuses the request and reaches its caller. They may
        free and ask; a request from inside `on_map` raises RuntimeError.
    on_copy : callable, optional
        Called as ``on_copy(to_address, from_address, size)`` when `realloc` moves a block.
    """

    __slots__ = ("base", "size", "on_map", "on_unmap", "on_copy")
    base: int
    size: int
    on_map: Callable[[int, int], object] | None
    on_unmap: Callable[[int, int], object] | None
    on_copy: Callable[[int, int, int], object] | None

    def __init__(
        self,
        base: SupportsIndex,
        size: SupportsIndex,
        on_map: Callable[[int, int], object] | None = None,
        on_unmap: Callable[[int, int], object] | None = None,
        on_copy: Callable[[int, int, int], object] | None = None,
    ) -> None:
        first = _whole("AddressSpace", "base", base, 0)
        if first < PAGE_BYTES:
            raise ValueError(
                f"AddressSpace: base {first:#x} is in page zero, whose addresses mean no block; "
                "begin at 0x1000 or above"
            )
        span = _whole("AddressSpace", "size", size, 1, SPACE_MAX)
        if first + span > 1 << 64:
            raise ValueError(
                f"AddressSpace: base {first:#x} and size {span:#x} reach beyond 2**64; "
                f"from there at most {(1 << 64) - first:#x} bytes fit"
            )
        _called("AddressSpace", "on_map", on_map)
        _called("AddressSpace", "on_unmap", on_unmap)
        _called("AddressSpace", "on_copy", on_copy)
        self._freeze(base=first, size=span, on_map=on_map, on_unmap=on_unmap, on_copy=on_copy)

    def _shown(self, value: object) -> str:
        return hex(value) if isinstance(value, int) else _name(value)


class Guard(Setting):
    """Policy: blocks end at a page that nothing may touch, so the first byte past one faults.

    Parameters
    ----------
    every : int
        1: every block; n: the blocks of one slab in n.
    """

    __slots__ = ("every",)
    every: int

    def __init__(self, every: SupportsIndex = 1) -> None:
        self._freeze(every=_whole("Guard", "every", every, 1, (1 << 32) - 1))


class Quarantine(Setting):
    """Policy: a freed block waits before it is used again, so that late writes and frees are seen.

    Parameters
    ----------
    blocks : int, optional
        How many freed blocks wait.
    bytes : int, optional
        How many bytes of them. With both, the first that is full lets the oldest go.
    """

    __slots__ = ("blocks", "bytes")
    blocks: int | None
    bytes: int | None

    def __init__(self, blocks: SupportsIndex | None = None, bytes: SupportsIndex | None = None) -> None:
        if blocks is None and bytes is None:
            raise ValueError("Quarantine: say how much waits, blocks= or bytes=")
        self._freeze(
            blocks=None if blocks is None else _whole("Quarantine", "blocks", blocks, 1, 1 << 24),
            bytes=None if bytes is None else _whole("Quarantine", "bytes", bytes, 1),
        )


class Fill(Setting):
    """Policy: blocks are filled when given and when freed; a pattern that changed is CORRUPT.

    At least 16 bytes behind each block's own carry the pattern, so a write past its end is seen at its free.

    Parameters
    ----------
    alloc, free : int
        The byte for new blocks, and for freed ones.
    """

    __slots__ = ("alloc", "free")
    alloc: int
    free: int

    def __init__(self, alloc: SupportsIndex = 0xCD, free: SupportsIndex = 0xDD) -> None:
        self._freeze(alloc=_whole("Fill", "alloc", alloc, 0, 255), free=_whole("Fill", "free", free, 0, 255))

    def _shown(self, value: object) -> str:
        return f"0x{value:02X}" if isinstance(value, int) else repr(value)


class Events(Setting):
    """Policy: the latest allocations, frees and refusals are kept for `Pool.events` and `Pool.explain`.

    Parameters
    ----------
    capacity : int
        How many.
    """

    __slots__ = ("capacity",)
    capacity: int

    def __init__(self, capacity: SupportsIndex = 4096) -> None:
        self._freeze(capacity=_whole("Events", "capacity", capacity, 1, 1 << 24))


class Faults(Setting):
    """Policy: chosen requests are refused, the same ones every time.

    Parameters
    ----------
    nth : int, optional
        Refuse exactly this request, counted from 1.
    rate : float, optional
        Refuse each with this probability, 0 to 1.
    seed : int
        Of the choice by `rate`.
    window : (int, int), optional
        Refuse the requests from the first number up to, without, the second, counted from 1.
    """

    __slots__ = ("nth", "rate", "seed", "window")
    nth: int | None
    rate: float | None
    seed: int
    window: tuple[int, int] | None

    def __init__(
        self,
        nth: SupportsIndex | None = None,
        rate: float | None = None,
        seed: SupportsIndex = 0,
        window: tuple[SupportsIndex, SupportsIndex] | None = None,
    ) -> None:
        if sum(value is not None for value in (nth, rate, window)) != 1:
            raise ValueError("Faults: give one of nth=, rate= (with seed=) and window=")
        if rate is not None:
            if not isinstance(rate, (int, float)):
                raise TypeError(f"Faults: rate is a number, not {type(rate).__name__} ({rate!r})")
            if not 0 <= rate <= 1:
                raise ValueError(f"Faults: rate is {rate}; it is from 0 to 1")
        pair = None
        if window is not None:
            if not isinstance(window, (tuple, list)) or len(window) != 2:
                raise TypeError(f"Faults: window is a pair (first, end), not {window!r}")
            first = _whole("Faults", "first of window", window[0], 1)
            pair = (first, _whole("Faults", "end of window", window[1], first))
        self._freeze(
            nth=None if nth is None else _whole("Faults", "nth", nth, 1),
            rate=None if rate is None else float(rate),
            seed=_whole("Faults", "seed", seed, 0),
            window=pair,
        )


class LowMemory(Setting):
    """Policy: asks for memory back before a request is refused.

    Parameters
    ----------
    callback : callable
        Called as ``callback(size)``, or ``callback()`` when it takes no argument, with the bytes that
        could not be had. It may free; then the request is tried again. False gives up at once; an
        exception does too and reaches the caller.
    """

    __slots__ = ("callback",)
    callback: Callable[..., object]

    def __init__(self, callback: Callable[..., object]) -> None:
        if not callable(callback):
            raise TypeError(f"LowMemory: callback is a function, not {type(callback).__name__} ({callback!r})")
        self._freeze(callback=callback)

    def _shown(self, value: object) -> str:
        return _name(value)

    def takes_size(self) -> bool:
        """Whether the callback accepts the size. Builtins that do not tell are given it."""
        import inspect

        try:
            inspect.signature(self.callback).bind(0)
        except TypeError:
            return False
        except ValueError:
            return True
        return True


POLICIES = (Guard, Quarantine, Fill, Events, Faults, LowMemory)
"""The kinds of policy, in the order in which the engine applies them."""

SWITCHABLE = {
    "guard": Guard(),
    "quarantine": Quarantine(blocks=1024),
    "fill": Fill(),
    "events": Events(),
}
"""What the environment variable POOLCORE can turn on: the names, and what they stand for."""


def chosen(given: object, switches: str | None, backing: str) -> tuple[Setting, ...]:
    """The policies of a new pool: those given, and those that the environment turns on.

    Parameters
    ----------
    given : iterable of policies
        At most one of each kind.
    switches : str or None
        The value of POOLCORE: names with commas between.
    backing : str
        "pages", "buffer" or "space". A switch that this backing has no use for is left out; such a
        policy among those given is an error.

    Returns
    -------
    tuple
        In the order given, then the environment's.
    """
    if isinstance(given, (Setting, str, bytes)) or not hasattr(given, "__iter__"):
        raise TypeError(f"policies is a sequence of policies, as in policies=[Guard()]; got {given!r}")
    taken: list[Setting] = []
    for policy in given:
        if not isinstance(policy, POLICIES):
            names = ", ".join(kind.__name__ for kind in POLICIES)
            raise TypeError(f"policies: {policy!r} is none of {names}")
        if any(policy.kind() is other.kind() for other in taken):
            raise ValueError(f"policies: {policy.kind().__name__} is there twice; a pool has one of each kind")
        why = _unfit(policy, backing)
        if why:
            raise ValueError(f"policies: {policy!r} {why}")
        taken.append(policy)
    for word in (switches or "").split(","):
        name = word.strip().lower()
        if not name:
            continue
        if name not in SWITCHABLE:
            import warnings

            warnings.warn(
                f"POOLCORE: no policy is called {name!r}; known are {', '.join(SWITCHABLE)}",
                RuntimeWarning,
                stacklevel=2,
            )
            continue
        policy = SWITCHABLE[name]
        if not any(policy.kind() is other.kind() for other in taken) and not _unfit(policy, backing):
            taken.append(policy)
    return tuple(taken)


def _unfit(policy: Setting, backing: str) -> str:
    """Why `policy` cannot act on a backing; empty when it can."""
    if backing == "space" and isinstance(policy, (Guard, Fill)):
        return "needs memory, and an AddressSpace has none; Quarantine and Events act there"
    if backing == "buffer" and isinstance(policy, Guard):
        return "needs pages of the pool's own, and this memory is the caller's; Fill finds overruns there"
    return ""
