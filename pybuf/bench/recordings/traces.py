"""Reads recorded allocation traces, whatever their format, and writes them in another.

A trace is a list of events. Each becomes one 64-bit word, which is what the compiled loops replay:

    bits 0..1   operation: ALLOCATE, FREE, REALLOCATE, ZEROED (an allocation of cleared bytes)
    bits 2..27  slot: which of the blocks that are live at once it concerns
    bits 28..63 size in bytes

Slot numbers are used again as soon as their block is free, the last one first, so that the table of
live blocks stays as small as the recorded program allows and most of it stays in the cache.

Beside the words stand, where the format has them, three arrays with one entry for each recorded word:

    threads     u16  a number below ``thread_count``, in order of appearance; 0 is the thread of the first event
    times       u64  ns since the first event; they never go back, in the whole trace
    alignments  u8   what was asked for, as a power of two; 0 is malloc's own, and always so for a FREE

What holds for every trace, so that a replay need not look:

* A slot is allocated before it is freed or reallocated, and is not allocated again before it is freed.
* The order of the words is an order in which the events can have happened: each thread's own order, and
  every free of a block before the next allocation that was given its address.
* After ``recorded_words`` words there is one FREE for each block that the program never freed, and
  nothing else. They have no thread or time; their alignments are 0.
* What the trace could not say is made up as little as possible: a free that was lost is put in at the
  moment at which its address is handed out again, with the thread and time of that event.

Reading streams. Words and arrays are written to files in a scratch directory (under TMPDIR) while the
recording is read, so that memory grows with live blocks and different sizes, and not with events; the
files are mapped, and removed with the Trace. They need 8 to 19 bytes of disk for each event. A trial plays
a long file in windows (`score.WINDOW_WORDS`), so that neither page faults nor the harness's own memory reach
the figures.
"""

from __future__ import annotations

import gzip
import lzma
import mmap
import os
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import IO, Any, Literal, cast

from pybuf.bench.files import check_regular, opened
from pybuf.bench.recordings import memray_trace, mtrace, parquet, recording, rmm
from pybuf.bench.recordings._records import MtraceLines
from pybuf.bench.recordings._words import Words
from pybuf.bench.recordings.records import Source, TraceError

__all__ = [
    "ALLOCATE", "FREE", "REALLOCATE", "ZEROED", "FORMATS", "Trace", "TraceError", "build", "convert", "default_path",
    "format_of", "name_of", "open_source", "parse", "read",
]

ALLOCATE, FREE, REALLOCATE, ZEROED = 0, 1, 2, 3
SLOT_SHIFT, SIZE_SHIFT = 2, 28

#: Formats that are written, and the ends of file names that mean them. All but Parquet may be compressed.
FORMATS = {
    "mtrace": (".mtrace", ".txt"),
    "rmm": (".csv",),
    "parquet": (".parquet",),
    "recording": (".pybuf",),
}
PACKED = {".xz": lzma.open, ".gz": gzip.open}
#: Fields of a Trace that are the events themselves.
_ARRAYS = ("events", "threads", "times", "alignments", "words_path", "alignments_path")


@dataclass(frozen=True)
class Trace:
    """A recording, ready to be replayed.

    ``events`` holds the words of the recording followed by one FREE for each block that the program
    never freed: those are for clearing up between two passes, and are never timed. It is a mapping of
    the file ``words_path``, which lives as long as the Trace; so are the arrays, None where the format
    has none.
    """

    name: str
    path: str
    #: "mtrace", "rmm", "memray", "parquet" or "recording".
    format: str
    events: memoryview
    words_path: str
    #: The file of ``alignments``; None where no allocation asked for one.
    alignments_path: str | None
    threads: memoryview | None
    times: memoryview | None
    alignments: memoryview | None
    #: Words of ``events`` that belong to the recording; each is one call.
    recorded_words: int
    #: Lines that the words of the recording stand for: a reallocation is two lines. Times are per event.
    replayed_events: int
    #: Event lines and calls that were recorded, with those that could not be replayed.
    recorded_events: int
    recorded_calls: int
    slots: int
    #: Different sizes, and how often each was asked for, reallocations included.
    sizes: int
    size_counts: dict[int, int]
    peak_live_bytes: int
    peak_live_blocks: int
    #: How many words of ``events`` lead to the peak of live bytes.
    peak_word: int
    #: Threads that had an event; None, like the time from the first to the last, where it was not recorded.
    thread_count: int | None
    duration_ns: int | None
    #: Allocations that asked for an alignment of their own.
    aligned_allocations: int
    #: Allocations of cleared bytes (calloc); 0 where the format does not tell.
    zeroed_allocations: int
    #: Frees and reallocations of a block whose allocation was not recorded.
    unknown_frees: int
    #: Lines, or records, that were cut short or make no sense.
    torn_lines: int
    never_freed_blocks: int
    never_freed_bytes: int
    #: Allocations at an address that was still live: its free was not recorded, so one is put in.
    lost_frees: int
    failed_allocations: int
    #: Blocks of 64 GiB and more, which are left out.
    too_large: int
    #: What else the file says: the program, its process, events that were not recorded and why.
    notes: dict[str, Any]

    def facts(self) -> dict[str, Any]:
        """Everything but the events themselves, as JSON can say it; ``peak_word`` and the sizes are left out."""
        hidden = (*_ARRAYS, "peak_word", "size_counts")
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in hidden}


def default_path() -> Path:
    """Where the trace lies that ships with the package: sqlite3 building and querying a database."""
    return Path(str(resources.files("pybuf.bench") / "data" / "sqlite.mtrace.xz"))


def read(path: str | Path) -> Trace:
    """Read the trace at ``path``, whatever its suffix: format and compression are seen from its first bytes.

    Torn lines, frees of unknown blocks and the like are counted and left out. Raises TraceError, whose
    text is one line, when the file cannot be read, is damaged, is in no format that is known, records no
    allocation, or needs a library that is not installed; and when the scratch files find no room.
    """
    path = Path(path)
    with open_source(path) as source:
        trace = build(source, name_of(path), str(path))
    if not trace.recorded_words:
        raise TraceError(f"{path}: the trace records no allocation")
    return trace


def parse(lines: Iterable[bytes], name: str, path: str = "") -> Trace:
    """Turn mtrace lines into a Trace. Never fails on what a line says: it is counted instead.

    Raises TraceError only when more blocks are live at once than an event can number, and when the
    scratch files find no room.
    """
    reader = MtraceLines()

    def batches() -> Iterator[bytearray]:
        for line in lines:
            yield reader.feed(line + b"\n")
        yield reader.feed(b"", is_last=True)

    return build(Source("mtrace", batches(), torn=lambda: reader.torn_lines), name, path)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The records of a recording, to be read within the block. Raises TraceError, also while they are read."""
    try:
        with opened(path) as raw:
            yield _source(path, raw)
    except EOFError:
        raise TraceError(f"{path}: the compressed file is cut short; record or copy it again") from None
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error) as damage:
        raise TraceError(f"{path}: the compressed file is damaged ({damage})") from None
    except (recording.ForeignError, parquet.ForeignError, memray_trace.ForeignError) as foreign:
        raise TraceError(f"{path}: {foreign}") from None
    except ModuleNotFoundError as missing:
        library = (missing.name or "").partition(".")[0]
        if library not in (parquet.NEEDS, memray_trace.NEEDS):
            raise
        raise TraceError(f"{path}: reading it needs {library}; install it with: pip install 'pybuf[trace]'") from None
    except IsADirectoryError:
        raise TraceError(f"{path}: is a directory; expected a trace file") from None
    except OSError as failure:
        raise TraceError(f"{path}: {failure.strerror or failure}") from None


def _source(path: Path, raw: IO[bytes]) -> Source:
    start = raw.read(16)
    raw.seek(0)
    if not start:
        raise TraceError(f"{path}: the file is empty; expected a recorded trace")
    if start.startswith(parquet.MAGIC):
        return parquet.read(path)
    if start.startswith((memray_trace.MAGIC, memray_trace.LZ4_MAGIC)):
        return memray_trace.read(path)
    text = raw
    if start.startswith(b"\xfd7zXZ\x00"):
        text = cast(IO[bytes], lzma.open(raw))  # noqa: SIM115 (closed with raw)
    elif start.startswith(b"\x1f\x8b"):
        text = cast(IO[bytes], gzip.open(raw))  # noqa: SIM115
    head = text.read(mtrace.START_WITHIN_BYTES)
    text.seek(0)
    if head.startswith(recording.MAGIC):
        return recording.read(text)
    if rmm.is_rmm(head):
        return rmm.read(text)
    if mtrace.is_mtrace(head):
        return mtrace.read(text)
    raise TraceError(
        f"{path}: no trace: no line reads '= Start' (glibc mtrace text), and it is no recording of pybuf record, "
        "RMM log, memray capture or Parquet trace"
    )


def name_of(path: Path) -> str:
    """The name of a file without the ends that only say its format."""
    name = path.name
    for suffix in (".xz", ".gz", *(suffix for suffixes in FORMATS.values() for suffix in suffixes)):
        name = name.removesuffix(suffix)
    return name or path.name


class _Scratch:
    """The files of one trace, in a directory that is removed with the last that maps them."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="pybuf-trace-")
        self.owner = os.getpid()

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def mapped(self, name: str, kind: Literal["B", "H", "Q"]) -> memoryview:
        with open(self.path(name), "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return memoryview(b"").cast(kind)
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)).cast(kind)

    def remove(self) -> None:
        if os.getpid() == self.owner:   # a forked child ends before the trace does
            shutil.rmtree(self.directory, ignore_errors=True)


def build(source: Source, name: str, path: str = "") -> Trace:
    """Turn the records of ``source`` into a Trace; ``path`` stands in front of complaints.

    Raises TraceError when more blocks are live at once than an event can number, when there are more than
    65,536 threads, and when the scratch files find no room; and whatever reading the source raises.
    """
    try:
        scratch = _Scratch()
    except OSError as failure:
        raise TraceError(f"{path}: no scratch directory for its words: {failure.strerror or failure}") from None
    try:
        trace = _written(source, name, path, scratch)
    except BaseException:
        scratch.remove()
        raise
    weakref.finalize(trace, scratch.remove)
    return trace


def _written(source: Source, name: str, path: str, scratch: _Scratch) -> Trace:
    kinds: dict[str, Literal["B", "H", "Q"]] = {"words": "Q"}
    if source.has_threads:
        kinds["threads"] = "H"
    if source.has_times:
        kinds["times"] = "Q"
    if source.has_alignments:
        kinds["alignments"] = "B"
    files: dict[str, IO[bytes]] = {}
    try:
        files = {array: open(scratch.path(array), "wb") for array in kinds}  # noqa: SIM115 (closed below)
        words = Words(files["words"], files.get("threads"), files.get("times"), files.get("alignments"))
        for batch in source.batches:
            try:
                words.feed(batch)
            except OSError as failure:
                raise _no_room(path, scratch, failure) from None
        recorded_words = words.finish()
    except OverflowError as limit:
        raise TraceError(f"{path}: {limit}") from None
    finally:
        for file in files.values():
            try:
                file.close()
            except OSError as failure:
                raise _no_room(path, scratch, failure) from None
    arrays = {array: scratch.mapped(array, kind) for array, kind in kinds.items()}
    size_counts = words.size_counts()
    return Trace(
        name=name,
        path=path,
        format=source.format,
        events=arrays["words"],
        words_path=scratch.path("words"),
        alignments_path=scratch.path("alignments") if words.aligned_allocations else None,
        threads=arrays.get("threads"),
        times=arrays.get("times"),
        alignments=arrays.get("alignments"),
        recorded_words=recorded_words,
        replayed_events=words.replayed_events,
        recorded_events=words.recorded_events,
        recorded_calls=words.recorded_calls,
        slots=words.slots,
        sizes=len(size_counts),
        size_counts=size_counts,
        peak_live_bytes=words.peak_live_bytes,
        peak_live_blocks=words.peak_live_blocks,
        peak_word=words.peak_word,
        thread_count=words.thread_count if source.has_threads else None,
        duration_ns=words.duration_ns if source.has_times else None,
        aligned_allocations=words.aligned_allocations,
        zeroed_allocations=words.zeroed_allocations,
        unknown_frees=words.unknown_frees,
        torn_lines=words.torn_records + source.torn(),
        never_freed_blocks=words.live_blocks,
        never_freed_bytes=words.live_bytes,
        lost_frees=words.lost_frees,
        failed_allocations=words.failed_allocations,
        too_large=words.too_large,
        notes=source.notes,
    )


def _no_room(path: str, scratch: _Scratch, failure: OSError) -> TraceError:
    return TraceError(
        f"{path}: its words do not fit into {scratch.directory}: {failure.strerror or failure}; "
        "set TMPDIR to a directory with more room"
    )


def format_of(path: Path) -> str | None:
    """The format that the name of a file to be written means, or None."""
    name = path.name.lower()
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    return next((kind for kind, suffixes in FORMATS.items() if name.endswith(suffixes)), None)


def convert(path: Path, target: Path, kind: str | None = None) -> list[str]:
    """Write the recording at ``path`` to ``target``, compressed if its name ends in .xz or .gz.

    kind  one of FORMATS; None: as the name of ``target`` says

    Answers what was recorded and cannot be said in the new format, in words. Nothing is left at
    ``target`` after a failure; an older file there stays. Raises TraceError.
    """
    kind = kind or format_of(target)
    if kind == "memray" or target.suffix in (".bin", ".memray"):
        raise TraceError(f"{target}: memray captures are read only: memray has no writer for records it did not make")
    if kind not in FORMATS:
        ends = ", ".join(suffix for suffixes in FORMATS.values() for suffix in suffixes)
        raise TraceError(f"{target}: its name says no format; expected one that ends in {ends}, or --to FORMAT")
    packed = PACKED.get(target.suffix.lower())
    if packed and kind == "parquet":
        raise TraceError(f"{target}: a Parquet file is compressed inside; leave out {target.suffix}")
    if target.is_dir():
        raise TraceError(f"{target}: is a directory; expected a file to write")
    try:
        check_regular(target)
    except OSError as failure:  # it would be replaced
        raise TraceError(f"{target}: {failure.strerror or failure}") from None
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open_source(path) as source:
            lost = _lost(source, kind)
            try:
                _write(source, kind, partial, packed)
                os.replace(partial, target)
            except ModuleNotFoundError:
                raise TraceError(
                    f"{target}: writing it needs {parquet.NEEDS}; install it with: pip install 'pybuf[trace]'"
                ) from None
            except (EOFError, gzip.BadGzipFile):
                raise   # of what is read
            except OSError as failure:
                raise TraceError(f"{target}: {failure.strerror or failure}") from None
            return lost
    finally:
        partial.unlink(missing_ok=True)


def _write(source: Source, kind: str, path: Path, packed: Any) -> None:
    if kind == "parquet":
        parquet.write(source, path)
        return
    # A recording's header is written last, and a compressed file cannot go back: it is written plain first.
    write = {"mtrace": mtrace.write, "rmm": rmm.write, "recording": recording.write}[kind]
    if packed is None:
        with path.open("wb") as file:
            write(source, file)
    elif kind == "recording":
        with tempfile.TemporaryFile() as plain, packed(path, "wb") as file:
            recording.write(source, plain)
            plain.seek(0)
            shutil.copyfileobj(plain, file, 1 << 20)
    else:
        with packed(path, "wb") as file:
            write(source, file)


def _lost(source: Source, kind: str) -> list[str]:
    has = {
        "threads": source.has_threads, "times": source.has_times, "alignments": source.has_alignments,
        "cleared blocks": source.has_zeroed,
    }
    kept = {"mtrace": (), "rmm": ("threads", "times")}.get(kind, tuple(has))
    return [what for what, is_there in has.items() if is_there and what not in kept]
