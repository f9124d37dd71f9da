"""What pybuf raises where a routine's status is not asked for, and what a kernel's stop is in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pybuf.status import BugCheckCode


class PybufError(Exception):
    """A documented routine answered a failure, to a caller that did not ask for its status.

    Attributes
    ----------
    status : Status or int
        What it answered.
    routine : str
        Its documented name.
    meaning : str
        What the status says.
    """

    def __init__(self, routine: str, status: int, hint: str = "") -> None:
        self.routine = routine
        self.status = status
        self.meaning: str = getattr(status, "meaning", "")
        name = getattr(status, "name", "status")
        super().__init__(f"{routine}: {name} ({int(status):#x})" if int(status) > 0xFFFF else
                         f"{routine}: {name} ({int(status)})")
        text = " ".join(part for part in (self.meaning, hint) if part)
        if text:
            self.args = (f"{self.args[0]}: {text}",)

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[PybufError], args: tuple[object, ...], state: dict[str, object]) -> PybufError:
    self = kind.__new__(kind)
    self.args = args
    self.__dict__.update(state)
    return self


class RasError(PybufError):
    """A RAS routine failed."""


class NetApiError(PybufError):
    """A NetApi routine failed."""


class VideoPortError(PybufError):
    """A VideoPort routine failed."""


class HdAudioError(PybufError):
    """An HD Audio routine failed."""


class BlockOwner(NamedTuple):
    """Who allocated a block that a bug check is about."""

    routine: str
    sequence: int | None
    tag: str
    size: int


class BugCheck(Exception):  # noqa: N818
    """A kernel would have stopped here. No PybufError, so that nobody swallows it by catching those.

    The block in question is as it was, and the machine works on. ``print(bug_check)`` reads as a debugger's analysis.

    Attributes
    ----------
    code : BugCheckCode
        The bug check.
    parameters : tuple of int
        Its four parameters; those that name a kernel's internals are 0.
    routine : str or None
        The routine that was called.
    device : int or None
        The HwDeviceExtension it was given.
    machine : Machine or None
        Where.
    allocated : BlockOwner or None
        Who allocated the block, where that is known.
    freed : str or None
        The routine that freed it before.
    left : tuple of BlockOwner
        What a device left that was removed.
    """

    def __init__(
        self,
        code: int,
        parameters: tuple[int, int, int, int],
        *,
        routine: str | None = None,
        device: int | None = None,
        machine: object = None,
        allocated: BlockOwner | None = None,
        freed: str | None = None,
        left: tuple[BlockOwner, ...] = (),
    ) -> None:
        from pybuf.status import BugCheckCode

        self.code: BugCheckCode = BugCheckCode(code)
        self.parameters = parameters
        self.routine = routine
        self.device = device
        self.machine = machine
        self.allocated = allocated
        self.freed = freed
        self.left = left
        super().__init__(code, parameters)

    def __str__(self) -> str:
        summary, names = _explained(self.code, self.parameters)
        lines = [f"{self.code.name} ({self.code:x})", self.code.meaning]
        if summary:
            lines.append(summary)
        lines.append("Arguments:")
        lines += [
            f"Arg{i}: {value:016x}, {name}{_said(name, value)}"
            for i, (value, name) in enumerate(zip(self.parameters, names, strict=True), start=1)
        ]
        if self.routine:
            device = f" for the device extension {self.device:#x}" if self.device else ""
            lines.append(f"Called: {self.routine}{device}")
        if self.allocated:
            number = "" if self.allocated.sequence is None else f", number {self.allocated.sequence}"
            lines.append(f"Allocated by: {self.allocated.routine}, {self.allocated.size} bytes, "
                         f"tag {self.allocated.tag}{number}")
        if self.freed:
            lines.append(f"Freed by: {self.freed}")
        for tag in sorted({block.tag for block in self.left}):
            sizes = [block.size for block in self.left if block.tag == tag]
            lines.append(f"Left behind: tag {tag}, {sum(sizes)} bytes in {len(sizes)} block{'s' * (len(sizes) > 1)}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        state = (int(self.code), self.parameters, self.routine, self.device, self.allocated, self.freed,
                 self.left)
        return _bug_check_again, state


def _bug_check_again(
    code: int,
    parameters: tuple[int, int, int, int],
    routine: str | None,
    device: int | None,
    allocated: BlockOwner | None,
    freed: str | None,
    left: tuple[BlockOwner, ...],
) -> BugCheck:
    return BugCheck(code, parameters, routine=routine, device=device, allocated=allocated, freed=freed, left=left)


_ADDRESS = "address of the block"
_TYPE = "pool type"
_SIZE = "number of bytes"
_TAG = "pool tag"
_IRQL = "current IRQL"

_TYPES = {0: "NonPagedPool", 1: "PagedPool", 2: "NonPagedPoolMustSucceed", 4: "NonPagedPoolCacheAligned",
          5: "PagedPoolCacheAligned", 6: "NonPagedPoolCacheAlignedMustS"}
_LEVELS = {0: "PASSIVE_LEVEL", 1: "APC_LEVEL", 2: "DISPATCH_LEVEL"}


def tag_shown(tag: int) -> str:
    """A pool tag as a debugger shows it: its low byte first."""
    return "".join(chr(c) if 32 <= c < 127 else "." for c in tag.to_bytes(4, "little"))


def _said(name: str, value: int) -> str:
    """What a debugger would add to a number."""
    if name == _TYPE:
        return f" ({_TYPES.get(value, 'unknown')})"
    if name == _TAG:
        return f" ({tag_shown(value & 0xFFFFFFFF)})"
    if name in (_IRQL, "requested IRQL"):
        return f" ({_LEVELS.get(value, 'above DISPATCH_LEVEL')})"
    return ""


# (bug check, first parameter) -> what it says, the other three. None: whatever the first parameter is.
_EXPLAINED: dict[tuple[int, int | None], tuple[str, tuple[str, str, str, str]]] = {
    (0xC1, None): (
        "A driver wrote past the end of a special pool block.",
        ("address that was freed", "first byte that was overwritten", "reserved", "kind of corruption"),
    ),
    (0xC2, 0x00): ("A driver asked for zero bytes.", ("kind of violation", "0", _TYPE, _TAG)),
    (0xC2, 0x07): (
        "A driver freed a block that was freed before.",
        ("kind of violation", "reserved", "header contents", _ADDRESS),
    ),
    (0xC2, 0x08): (
        "A driver allocated at an IRQL that is too high.",
        ("kind of violation", _IRQL, _TYPE, _SIZE),
    ),
    (0xC2, 0x09): (
        "A driver freed at an IRQL that is too high for the pool.",
        ("kind of violation", _IRQL, _TYPE, _ADDRESS),
    ),
    (0xC2, 0x42): (
        "A driver freed an address that is in no pool.",
        ("kind of violation", "address that was freed", "0", "0"),
    ),
    (0xC2, 0x46): ("A driver freed address 0.", ("kind of violation", "address that was freed", "0", "0")),
    (0xC2, 0x99): (
        "A driver freed an address at which no block of that routine begins.",
        ("kind of violation", "address that was freed", "0", "0"),
    ),
    (0xC2, 0x9A): ("A driver asked for must-succeed pool.", ("kind of violation", _TYPE, _SIZE, _TAG)),
    (0xC2, 0x9B): ("A driver allocated with a tag of zero.", ("kind of violation", _TYPE, _SIZE, "caller's address")),
    (0xC2, 0x9C): ('A driver allocated with the tag "BIG ".', ("kind of violation", _TYPE, _SIZE, "caller's address")),
    (0xC2, 0x9D): (
        "A driver allocated with a tag without a letter or digit.",
        ("kind of violation", _TAG, _TYPE, "caller's address"),
    ),
    (0xC4, 0x00): ("A driver asked for zero bytes.", ("kind of violation", _IRQL, _TYPE, "0")),
    (0xC4, 0x01): (
        "A driver allocated paged pool above APC_LEVEL.",
        ("kind of violation", _IRQL, _TYPE, _SIZE),
    ),
    (0xC4, 0x02): (
        "A driver allocated nonpaged pool above DISPATCH_LEVEL.",
        ("kind of violation", _IRQL, _TYPE, _SIZE),
    ),
    (0xC4, 0x10): (
        "A driver freed an address that the allocation did not return.",
        ("kind of violation", "address that was freed", "0", "0"),
    ),
    (0xC4, 0x11): ("A driver freed paged pool above APC_LEVEL.", ("kind of violation", _IRQL, _TYPE, _ADDRESS)),
    (0xC4, 0x12): (
        "A driver freed nonpaged pool above DISPATCH_LEVEL.",
        ("kind of violation", _IRQL, _TYPE, _ADDRESS),
    ),
    (0xC4, 0x13): (
        "A driver freed a block that was freed before.",
        ("kind of violation", _ADDRESS, "header contents", "0"),
    ),
    (0xC4, 0x30): ("IRQL was raised to a lower level.", ("kind of violation", _IRQL, "requested IRQL", "0")),
    (0xC4, 0x51): (
        "A driver wrote past the end of a block.",
        ("kind of violation", _ADDRESS, "first byte that was overwritten", _SIZE),
    ),
    (0xC4, 0x60): (
        "A driver was removed and left blocks behind.",
        ("kind of violation", "bytes of paged pool", "bytes of nonpaged pool", "number of blocks"),
    ),
    (0xC6, None): (
        "A driver accessed a block after it was freed.",
        ("address that was accessed", "0: read, 1: write", "0: by the kernel", "0"),
    ),
    (0xCD, None): (
        "A driver accessed bytes behind a special pool block.",
        ("address that was accessed", "0: read, 1: write", "0", "0"),
    ),
}


def _explained(code: int, parameters: tuple[int, int, int, int]) -> tuple[str, tuple[str, str, str, str]]:
    """What a bug check says, and the names of its parameters."""
    found = _EXPLAINED.get((int(code), parameters[0])) or _EXPLAINED.get((int(code), None))
    return found or ("", ("parameter 1", "parameter 2", "parameter 3", "parameter 4"))
