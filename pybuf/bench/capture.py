"""Reads packet captures: when each frame came and how long it was. Classic pcap, plain or in gzip or xz."""

from __future__ import annotations

import gzip
import lzma
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pybuf.bench.files import opened

#: First four bytes of a capture -> byte order, nanoseconds in one unit of the fraction.
MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
PCAPNG = b"\x0a\x0d\x0d\x0a"
HEADER_BYTES = 24
RECORD_BYTES = 16
#: No link carries longer frames; a larger number is damage.
FRAME_LIMIT = 1 << 26


class CaptureError(ValueError):
    """The file is no capture that can be used; its text names the file and says why."""


@dataclass(frozen=True)
class Frames:
    """Frames in the order of the capture: original lengths in bytes, times in ns from the first on.

    A clock that was set back counts as standing still.
    """

    lengths: array[int]
    times_ns: array[int]

    def __len__(self) -> int:
        return len(self.lengths)


def read(path: str | Path) -> Frames:
    """Read the capture at ``path``, whatever its suffix.

    Raises CaptureError, one line that names the file, when it cannot be read, is cut short, holds no frame, or
    is something else than classic pcap.
    """
    path = Path(path)
    try:
        with opened(path) as raw:
            start = raw.read(6)
            raw.seek(0)
            file: IO[bytes] | lzma.LZMAFile | gzip.GzipFile = raw
            if start.startswith(b"\xfd7zXZ\x00"):
                file = lzma.open(raw)  # noqa: SIM115 (closed with raw)
            elif start.startswith(b"\x1f\x8b"):
                file = gzip.open(raw)  # noqa: SIM115
            return _frames(path, file)
    except EOFError:
        raise CaptureError(f"{path}: the compressed file is cut short; copy it again") from None
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error) as damage:
        raise CaptureError(f"{path}: the compressed file is damaged ({damage})") from None
    except OSError as failure:
        raise CaptureError(f"{path}: {failure.strerror or failure}") from None


def _frames(path: Path, file: IO[bytes] | lzma.LZMAFile | gzip.GzipFile) -> Frames:
    header = file.read(HEADER_BYTES)
    if header[:4] == PCAPNG:
        raise CaptureError(f"{path}: is pcapng; expected classic pcap: editcap -F pcap {path.name} new.pcap")
    if header[:4] not in MAGICS:
        raise CaptureError(f"{path}: is no packet capture: expected classic pcap, plain or in gzip or xz")
    if len(header) < HEADER_BYTES:
        raise CaptureError(f"{path}: the capture is cut short in its header; capture or copy it again")
    order, fraction_ns = MAGICS[header[:4]]
    frames = Frames(array("Q"), array("Q"))
    first_ns = latest_ns = 0
    for seconds, fraction, length in _records(path, file, struct.Struct(order + "IIII")):
        time_ns = seconds * 1_000_000_000 + fraction * fraction_ns
        if not frames.lengths:
            first_ns = latest_ns = time_ns
        latest_ns = max(latest_ns, time_ns)
        frames.lengths.append(length)
        frames.times_ns.append(latest_ns - first_ns)
    if not frames.lengths:
        raise CaptureError(f"{path}: the capture holds no frame")
    return frames


def _records(
    path: Path, file: IO[bytes] | lzma.LZMAFile | gzip.GzipFile, record: struct.Struct
) -> Iterator[tuple[int, int, int]]:
    number = 0
    while head := file.read(RECORD_BYTES):
        number += 1
        if len(head) < RECORD_BYTES:
            raise CaptureError(f"{path}: the capture is cut short in frame {number:,}; capture or copy it again")
        seconds, fraction, kept, length = record.unpack(head)
        if kept > FRAME_LIMIT or length > FRAME_LIMIT:
            raise CaptureError(f"{path}: frame {number:,} is said to have {max(kept, length):,} bytes: damaged")
        if len(file.read(kept)) < kept:
            raise CaptureError(f"{path}: the capture is cut short in frame {number:,}; capture or copy it again")
        yield seconds, fraction, length
