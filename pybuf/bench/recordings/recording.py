r"""The files that `recorder.c` writes: a header of one page, then records.

The header, in the byte order of the machine that recorded:

    0    16 bytes  "pybuf recording\n"
    16   u32       version, 1
    20   u32       bytes of a record, 32
    24   u64       records whose place was taken; a file that was cut short, or a full disk, has fewer
    32   u64       events for which there was no room
    40   u64       when it began, ns since 1970
    48   u64       when it began, ns on the clock of the records
    56   u32       process id        60  u32  its parent's
    64   u32       errno of why recording stopped, or 0
    68   u32       how often the process became another program; what came before the last time is gone
    72   u32       flags: 1, what arrives from sockets and pipes was recorded too; 2, 4, 8, 16: threads, times,
                   alignments, cleared blocks were not recorded
    76   u32       threads
    80   256 bytes the program's name, ended by a zero
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from pybuf.bench.recordings.records import BATCH_RECORDS, RECORD_BYTES, Batch, Source

MAGIC = b"pybuf recording\n"
VERSION = 1
HEADER_BYTES = 4096
IS_SIZES, NO_THREADS, NO_TIMES, NO_ALIGNMENTS, NO_ZEROED = 1, 2, 4, 8, 16
HEADER = struct.Struct("=16sIIQQQQIIIIII256s")


class ForeignError(ValueError):
    """A header of another version or another machine; its text says which."""


@dataclass(frozen=True)
class Header:
    """What the first page of a recording says; times in ns."""

    claimed: int
    refused: int
    wall_ns: int
    monotonic_ns: int
    pid: int
    parent: int
    error: int
    images: int
    flags: int
    threads: int
    program: str

    @classmethod
    def of(cls, page: bytes) -> Header:
        """Read a header. Raises ForeignError when it is none, of another version, or cut short."""
        if len(page) < HEADER_BYTES:
            raise ForeignError("cut short within its header")
        (magic, version, record_bytes, claimed, refused, wall_ns, monotonic_ns, pid, parent, error, images, flags,
         threads, program) = HEADER.unpack_from(page)
        if magic != MAGIC:
            raise ForeignError("no recording")
        if version == VERSION << 24:
            raise ForeignError("recorded on a machine of the other byte order")
        if (version, record_bytes) != (VERSION, RECORD_BYTES):
            raise ForeignError(f"version {version} of the format; this pybuf reads version {VERSION}")
        name = program.partition(b"\0")[0].decode("utf-8", "replace")
        return cls(claimed, refused, wall_ns, monotonic_ns, pid, parent, error, images, flags, threads, name)

    def as_bytes(self) -> bytes:
        """The page."""
        return HEADER.pack(
            MAGIC, VERSION, RECORD_BYTES, self.claimed, self.refused, self.wall_ns, self.monotonic_ns, self.pid,
            self.parent, self.error, self.images, self.flags, self.threads, self.program.encode()[:255],
        ).ljust(HEADER_BYTES, b"\0")


class _Records:
    def __init__(self, stream: IO[bytes], claimed: int) -> None:
        self.stream = stream
        self.left = claimed

    def batches(self) -> Iterator[Batch]:
        while self.left:
            batch = self.stream.read(min(self.left, BATCH_RECORDS) * RECORD_BYTES)
            whole = len(batch) // RECORD_BYTES
            if not whole:
                return
            self.left -= whole
            yield batch if len(batch) == whole * RECORD_BYTES else batch[:whole * RECORD_BYTES]


def read(stream: IO[bytes]) -> Source:
    """Read a recording, also one whose program was killed. Raises ForeignError for a header that it cannot read."""
    header = Header.of(stream.read(HEADER_BYTES))
    records = _Records(stream, header.claimed)
    notes = {"program": header.program, "pid": header.pid}
    if header.images:
        notes["earlier_programs"] = header.images
    if header.refused:
        notes["unrecorded_events"] = header.refused
    if header.error:
        notes["stopped"] = os.strerror(header.error)
    # Records that were claimed and did not fit into the file are among those that were refused.
    return Source(
        "recording", records.batches(), has_threads=not header.flags & NO_THREADS,
        has_times=not header.flags & NO_TIMES, has_alignments=not header.flags & NO_ALIGNMENTS,
        has_zeroed=not header.flags & NO_ZEROED,
        torn=lambda: max(0, records.left - header.refused), notes=notes,
    )


def write(source: Source, stream: IO[bytes]) -> None:
    """Write a recording. ``stream`` must be able to go back: the number of records is known at the end."""
    claimed = 0
    program = str(source.notes.get("program", ""))
    stream.write(bytes(HEADER_BYTES))
    for batch in source.batches:
        stream.write(batch)
        claimed += len(batch) // RECORD_BYTES
    stream.seek(0)
    flags = (not source.has_threads) * NO_THREADS | (not source.has_times) * NO_TIMES
    flags |= (not source.has_alignments) * NO_ALIGNMENTS | (not source.has_zeroed) * NO_ZEROED
    header = Header(claimed, 0, 0, 0, source.notes.get("pid", 0), 0, 0, 0, flags, 0, program)
    stream.write(header.as_bytes())
    stream.seek(0, os.SEEK_END)
