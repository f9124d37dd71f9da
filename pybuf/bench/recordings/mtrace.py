"""glibc's mtrace text: sizes and addresses in order; no threads, times or alignments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from pybuf.bench.recordings._records import MtraceLines, MtraceText
from pybuf.bench.recordings.records import Batch, Source

#: `= Start` must stand this near to the beginning; what is no trace is not read to its end.
START_WITHIN_BYTES = 1 << 20
PIECE_BYTES = 1 << 18


def is_mtrace(start: bytes) -> bool:
    """Does a file that begins with these START_WITHIN_BYTES say `= Start` on a line of its own?"""
    return b"Start" in start and any(line.split() == [b"=", b"Start"] for line in start.split(b"\n"))


def read(stream: IO[bytes]) -> Source:
    """Read mtrace text; lines before `= Start` are passed over."""
    lines = MtraceLines()
    return Source("mtrace", _batches(stream, lines), torn=lambda: lines.torn_lines)


def _batches(stream: IO[bytes], lines: MtraceLines) -> Iterator[Batch]:
    while piece := stream.read(PIECE_BYTES):
        yield lines.feed(piece)
    yield lines.feed(b"", is_last=True)


def write(source: Source, stream: IO[bytes]) -> None:
    """Write a recording as mtrace text.

    A reallocation during which another thread had an event becomes a free and an allocation: its two
    lines would no longer stand together.
    """
    text = MtraceText()
    stream.write(b"= Start\n")
    for batch in source.batches:
        stream.write(text.feed(batch))
    stream.write(b"= End\n")
