"""What every format of recordings is read into and written from: records, in batches.

A record is RECORD_BYTES long, in the byte order of the machine:

    0   u64  time, ns on a clock that starts anywhere
    8   u64  address
    16  u64  size, bytes
    24  u32  thread, any number that no other thread of the recording has
    28  u8   operation
    29  u8   alignment that was asked for, as a power of two; 0: none beyond malloc's
    30  u16  flags: 1, the block was cleared (calloc)

    operation           address           size
    ALLOCATE            the block         asked for
    FREE                the block
    REALLOCATE_FROM     the block         its owner gives it up from here on
    REALLOCATE_TO       the new block     asked for; address 0: refused, or freed where the size is 0 too
    FAIL                                  asked for, and refused
    RECEIVE             the buffer        that arrived in it (only while sizes are recorded)

The order of the records is the order of events. The two records of a reallocation carry the same thread;
those of other threads may stand between them. An operation of 0 is a record that nobody finished.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

RECORD = struct.Struct("=QQQIBBH")
RECORD_BYTES = RECORD.size
#: Records in a batch, about; formats that are read in pieces of text come near it.
BATCH_RECORDS = 1 << 15

ALLOCATE, FREE, REALLOCATE_FROM, REALLOCATE_TO, FAIL, RECEIVE = range(1, 7)
IS_ZEROED = 1
OPERATIONS = {
    ALLOCATE: "allocate", FREE: "free", REALLOCATE_FROM: "reallocate from", REALLOCATE_TO: "reallocate to",
    FAIL: "fail", RECEIVE: "receive",
}

Batch = bytes | bytearray | memoryview


class TraceError(ValueError):
    """A file that cannot be read as a trace, or written as one; its text is one line that names the file."""


@dataclass
class Source:
    """A recording that is being read. ``batches`` is read once, from beginning to end."""

    format: str
    batches: Iterator[Batch]
    #: Which fields were recorded; where one was not, it is 0 in every record.
    has_threads: bool = False
    has_times: bool = False
    has_alignments: bool = False
    has_zeroed: bool = False
    #: Lines and records that could not be read so far.
    torn: Callable[[], int] = lambda: 0
    #: What else the file says: program, pid, events that were not recorded and why.
    notes: dict[str, Any] = field(default_factory=dict)
