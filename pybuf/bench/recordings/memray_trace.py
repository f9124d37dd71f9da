"""memray's captures, through memray's own reader: threads; no times or alignments.

memray writes a reallocation as a free and an allocation that says it came from realloc. One that follows
a free of the same thread is read as one reallocation; so is, rarely, a free followed by realloc(NULL, n),
which looks the same. Mappings (mmap, munmap) are no allocations and are passed over. memray has no way
to write records that it did not make, so captures are read and never written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pybuf.bench.recordings.records import (
    ALLOCATE,
    BATCH_RECORDS,
    FREE,
    IS_ZEROED,
    REALLOCATE_FROM,
    REALLOCATE_TO,
    RECORD,
    RECORD_BYTES,
    Batch,
    Source,
)

MAGIC = b"memray\0"
#: memray compresses its captures as LZ4 frames; nothing else that is read here is one.
LZ4_MAGIC = b"\x04\x22\x4d\x18"
NEEDS = "memray"


class ForeignError(ValueError):
    """A capture that memray cannot read, or that holds no single allocations."""


def read(path: Path) -> Source:
    """Read a capture. Raises ModuleNotFoundError without memray, ForeignError for a file that it cannot read."""
    import memray

    try:
        reader = memray.FileReader(path)
        metadata = reader.metadata
    except (OSError, ValueError, RuntimeError, KeyError, OverflowError) as failure:
        raise ForeignError(f"memray cannot read it ({str(failure).partition(chr(10))[0]})") from None
    if metadata.file_format != memray.FileFormat.ALL_ALLOCATIONS:
        raise ForeignError("an aggregated capture holds no single allocations; record without --aggregate")
    kinds = memray.AllocatorType
    frees = {int(kinds.FREE), int(kinds.PYMALLOC_FREE)}
    reallocations = {int(kinds.REALLOC), int(kinds.PYMALLOC_REALLOC)}
    zeroed = {int(kinds.CALLOC), int(kinds.PYMALLOC_CALLOC)}
    mappings = {int(kinds.MMAP), int(kinds.MUNMAP)}
    notes = {"program": metadata.command_line, "pid": metadata.pid}
    return Source("memray", _batches(reader, frees, reallocations, zeroed, mappings), has_threads=True, has_zeroed=True,
                  notes=notes)


def _batches(
    reader: Any, frees: set[int], reallocations: set[int], zeroed: set[int], mappings: set[int]
) -> Iterator[Batch]:
    batch = bytearray()
    pack = RECORD.pack
    threads: dict[int, int] = {}
    freed_by = freed = -1  # the record before this one, if it is a free
    try:
        for record in reader.get_allocation_records():
            kind = record.allocator
            if kind in mappings:
                continue
            thread = threads.setdefault(record.tid, len(threads))
            if kind in frees:
                batch += pack(0, record.address, 0, thread, FREE, 0, 0)
                freed_by, freed = thread, record.address
            elif kind in reallocations and freed_by == thread:
                batch[-RECORD_BYTES:] = pack(0, freed, 0, thread, REALLOCATE_FROM, 0, 0)
                batch += pack(0, record.address, record.size, thread, REALLOCATE_TO, 0, 0)
                freed_by = -1
            else:
                batch += pack(0, record.address, record.size, thread, ALLOCATE, 0, IS_ZEROED if kind in zeroed else 0)
                freed_by = -1
            # A free stays until what follows it is known.
            if len(batch) >= BATCH_RECORDS * RECORD_BYTES and freed_by < 0:
                yield batch
                batch = bytearray()
    except (OSError, ValueError, RuntimeError) as failure:
        raise ForeignError(f"memray cannot read it to its end ({str(failure).splitlines()[0]})") from None
    yield batch
