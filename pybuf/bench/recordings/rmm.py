"""The CSV log of RMM's logging resource adaptor: threads, and times to a microsecond; no alignments.

The columns are HEADER. Action is "allocate", "free" or "allocate failure". Time is the time of day,
which is taken to pass midnight where it falls by more than half a day, or seconds since 1970. There are
no reallocations: a free and an allocation stand for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from pybuf.bench.recordings._records import RmmLines, RmmText
from pybuf.bench.recordings.records import Batch, Source

HEADER = b"Thread,Time,Action,Pointer,Size,Stream"
PIECE_BYTES = 1 << 18


def is_rmm(start: bytes) -> bool:
    """Does a file that begins so hold RMM's log?"""
    return start.partition(b"\n")[0].rstrip(b"\r") == HEADER


def read(stream: IO[bytes]) -> Source:
    """Read RMM's log."""
    lines = RmmLines()
    return Source("rmm", _batches(stream, lines), has_threads=True, has_times=True, torn=lambda: lines.torn_lines)


def _batches(stream: IO[bytes], lines: RmmLines) -> Iterator[Batch]:
    while piece := stream.read(PIECE_BYTES):
        yield lines.feed(piece)
    yield lines.feed(b"", is_last=True)


def write(source: Source, stream: IO[bytes]) -> None:
    """Write a recording as RMM's log. Where no times were recorded, it is midnight throughout."""
    text = RmmText()
    stream.write(HEADER + b"\n")
    for batch in source.batches:
        stream.write(text.feed(batch))
