"""Reads recorded allocation traces: glibc mtrace text, plain or compressed with xz or gzip.

A trace is a list of events. Each becomes one 64-bit word, which is what the compiled loops replay:

    bits 0..1   operation: ALLOCATE, FREE, REALLOCATE
    bits 2..27  slot: which of the blocks that are live at once it concerns
    bits 28..63 size in bytes

Slot numbers are used again as soon as their block is free, the last one first, so that the table of
live blocks stays as small as the recorded program allows and most of it stays in the cache.
"""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO

ALLOCATE, FREE, REALLOCATE = 0, 1, 2
SLOT_SHIFT, SIZE_SHIFT = 2, 28
SLOT_LIMIT = 1 << (SIZE_SHIFT - SLOT_SHIFT)
SIZE_LIMIT = 1 << (64 - SIZE_SHIFT)

#: `= Start` must stand this near to the beginning; what is no trace is not read to its end.
START_WITHIN_BYTES = 1 << 20


class TraceError(ValueError):
    """A file that cannot be replayed; its text is one line that names the file."""


@dataclass(frozen=True)
class Trace:
    """A recording, ready to be replayed.

    ``events`` holds the words of the recording followed by one FREE for each block that the program
    never freed: those are for clearing up between two passes, and are never timed.
    """

    name: str
    path: str
    events: array[int]
    #: Words of ``events`` that belong to the recording; each is one call.
    recorded_words: int
    #: Lines that the words of the recording stand for: a reallocation is two lines. Times are per event.
    replayed_events: int
    #: Event lines and calls that were recorded, with those that could not be replayed.
    recorded_events: int
    recorded_calls: int
    slots: int
    sizes: int
    peak_live_bytes: int
    peak_live_blocks: int
    #: How many words of ``events`` lead to the peak of live bytes.
    peak_word: int
    #: Frees and reallocations of a block whose allocation was not recorded.
    unknown_frees: int
    torn_lines: int
    never_freed_blocks: int
    never_freed_bytes: int
    #: Allocations at an address that was still live: its free was not recorded, so one is put in.
    lost_frees: int
    failed_allocations: int


def default_path() -> Path:
    """Where the trace lies that ships with the package: sqlite3 building and querying a database."""
    return Path(str(resources.files("pybuf.bench") / "data" / "sqlite.mtrace.xz"))


def read(path: str | Path) -> Trace:
    """Read the trace at ``path``, whatever its suffix: the compression is seen from its first bytes.

    Torn lines, frees of unknown blocks and the like are counted and left out. Raises TraceError when
    the file cannot be read, is damaged, is no mtrace text, or records no allocation.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw:
            start = raw.read(6)
            raw.seek(0)
            if not start:
                raise TraceError(f"{path}: the file is empty; expected glibc mtrace text")
            text: IO[bytes] | gzip.GzipFile
            if start.startswith(b"\xfd7zXZ\x00"):
                text = lzma.open(raw)  # noqa: SIM115 (closed with raw)
            elif start.startswith(b"\x1f\x8b"):
                text = gzip.open(raw)  # noqa: SIM115
            else:
                text = raw
            return _read_text(path, text)
    except EOFError:
        raise TraceError(f"{path}: the compressed file is cut short; record or copy it again") from None
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error) as damage:
        raise TraceError(f"{path}: the compressed file is damaged ({damage})") from None
    except IsADirectoryError:
        raise TraceError(f"{path}: is a directory; expected a trace file") from None
    except OSError as failure:
        raise TraceError(f"{path}: {failure.strerror or failure}") from None


def _read_text(path: Path, text: IO[bytes] | gzip.GzipFile) -> Trace:
    head = text.read(START_WITHIN_BYTES)
    if not any(line.strip() == b"= Start" for line in io.BytesIO(head)):
        raise TraceError(f"{path}: not glibc mtrace text: no line reads '= Start'")
    text.seek(0)
    name = path.name
    for suffix in (".xz", ".gz", ".txt", ".mtrace"):
        name = name.removesuffix(suffix)
    trace = parse(text, name or path.name, str(path))
    if not trace.recorded_words:
        raise TraceError(f"{path}: the trace records no allocation")
    return trace


def parse(lines: Iterable[bytes], name: str, path: str = "") -> Trace:
    """Turn mtrace lines into a Trace. Never fails on what a line says: it is counted instead.

    Raises TraceError only when more blocks are live at once than an event can number.
    """
    recorder = _Recorder(path)
    old = 0  # the address of a `<` line that waits for its `>`
    is_recording = False
    for line in lines:
        words = line.split()
        if not is_recording:
            is_recording = words == [b"=", b"Start"]
            continue
        if not words or words[0] == b"=":
            continue
        if words[0] == b"@":  # the caller may hold spaces: only the end of the line is fixed
            words = words[-2:] if len(words) > 2 and words[-2] in (b"-", b"<") else words[-3:]
        try:
            operation, address, size = _fields(words)
        except ValueError:
            recorder.torn_lines += 1
            continue
        if old and operation != b">":
            recorder.torn_lines += 1  # the second line of a reallocation was lost
            old = 0
        if operation == b"+":
            recorder.allocate(address, size)
        elif operation == b"-":
            recorder.free(address)
        elif operation == b"<":
            old = address
        elif operation == b">" and old:
            recorder.reallocate(old, address, size)
            old = 0
        elif operation == b"!":
            recorder.fail()
        else:
            recorder.torn_lines += 1
    if old:
        recorder.torn_lines += 1
    return recorder.trace(name)


def _fields(words: list[bytes]) -> tuple[bytes, int, int]:
    """Operation, address and size of a line's words; ValueError when the line is torn."""
    operation = words[0]
    if operation in (b"-", b"<"):
        _, address = words
        size = 0
    elif operation in (b"+", b">", b"!"):
        _, address, given = words
        size = int(given, 16)
    else:
        raise ValueError
    if not 0 <= size < SIZE_LIMIT:  # no program had this: two numbers have run together
        raise ValueError
    return operation, 0 if address == b"(nil)" else int(address, 16), size


class _Recorder:
    """Turns addresses into slots, and counts. ``live`` maps an address to its slot and size."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.events = array("Q")
        self.live: dict[int, tuple[int, int]] = {}
        self.spare: list[int] = []  # slots to use again, the last freed at the end
        self.sizes: set[int] = set()
        self.slots = self.live_bytes = 0
        self.peak_bytes = self.peak_blocks = self.peak_word = 0
        self.recorded_events = self.recorded_calls = self.replayed_events = 0
        self.unknown_frees = self.torn_lines = self.lost_frees = self.failed = 0

    def allocate(self, address: int, size: int) -> None:
        self.recorded_events += 1
        self.recorded_calls += 1
        if not address:
            self.failed += 1
            return
        self._settle(address)
        self._start(address, size)

    def free(self, address: int) -> None:
        self.recorded_events += 1
        self.recorded_calls += 1
        if address in self.live:
            self._end(address)
        else:
            self.unknown_frees += 1

    def reallocate(self, old: int, new: int, size: int) -> None:
        self.recorded_events += 2
        self.recorded_calls += 1
        if new != old:
            self._settle(new)
        if old not in self.live:
            self.unknown_frees += 1
            self._start(new, size)
        elif size == 0:  # allocators differ in what they do here: some free the block, some do not
            self._end(old)
            self._start(new, 0)
        else:
            slot, old_size = self.live.pop(old)
            self.replayed_events += 1
            self._hold(REALLOCATE, new, slot, size, size - old_size)

    def fail(self) -> None:
        """Count a reallocation that the program was refused."""
        self.recorded_events += 1
        self.recorded_calls += 1
        self.failed += 1

    def _settle(self, address: int) -> None:
        """Free what is still live at an address that is handed out again: that free was lost."""
        if address in self.live:
            self.lost_frees += 1
            self._end(address)

    def _start(self, address: int, size: int) -> None:
        if self.spare:
            slot = self.spare.pop()
        else:
            slot = self.slots
            self.slots += 1
            if self.slots > SLOT_LIMIT:
                raise TraceError(f"{self.path}: more than {SLOT_LIMIT:,} blocks are live at once")
        self._hold(ALLOCATE, address, slot, size, size)

    def _hold(self, operation: int, address: int, slot: int, size: int, more_bytes: int) -> None:
        self.events.append(operation | slot << SLOT_SHIFT | size << SIZE_SHIFT)
        self.replayed_events += 1
        self.live[address] = slot, size
        self.sizes.add(size)
        self.live_bytes += more_bytes
        self.peak_blocks = max(self.peak_blocks, len(self.live))
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes, self.peak_word = self.live_bytes, len(self.events)

    def _end(self, address: int) -> None:
        slot, size = self.live.pop(address)
        self.events.append(FREE | slot << SLOT_SHIFT)
        self.replayed_events += 1
        self.live_bytes -= size
        self.spare.append(slot)

    def trace(self, name: str) -> Trace:
        recorded_words = len(self.events)
        self.events.extend(FREE | slot << SLOT_SHIFT for slot, _ in self.live.values())
        return Trace(
            name=name,
            path=self.path,
            events=self.events,
            recorded_words=recorded_words,
            replayed_events=self.replayed_events,
            recorded_events=self.recorded_events,
            recorded_calls=self.recorded_calls,
            slots=self.slots,
            sizes=len(self.sizes),
            peak_live_bytes=self.peak_bytes,
            peak_live_blocks=self.peak_blocks,
            peak_word=self.peak_word,
            unknown_frees=self.unknown_frees,
            torn_lines=self.torn_lines,
            never_freed_blocks=len(self.live),
            never_freed_bytes=self.live_bytes,
            lost_frees=self.lost_frees,
            failed_allocations=self.failed,
        )
