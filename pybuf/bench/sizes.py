"""Reads size tables: how often blocks of each size are allocated, and how many live at once.

The form is that of google/fleetbench: a line for each size, ``SIZE, ALLOCATION RATE, LIVE BLOCKS``. A first
line of names and lines that begin with ``#`` are passed over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pybuf.bench.files import check_regular

#: Sizes and live blocks of one table.
ROWS_LIMIT = 1 << 20
#: Sizes, rates and live blocks are below this: no machine has more, and sums of products stay numbers.
NUMBER_LIMIT = 1 << 60


class SizeTableError(ValueError):
    """The file is no size table that can be used; its text names the file and says why."""


@dataclass(frozen=True)
class SizeTable:
    """Sizes in bytes, ascending, with the rate of their allocations (any unit) and their live blocks."""

    sizes: list[int]
    rates: list[float]
    live: list[float]

    def scaled(self, live_bytes: int, clip: int) -> tuple[list[int], list[float], list[int]]:
        """The table for ``live_bytes`` bytes at once; sizes above ``clip`` count as ``clip``.

        Answers sizes, rates and whole numbers of live blocks: what a size loses by being a whole number
        the next one gets. SizeTableError when not even two blocks are left.
        """
        sizes = [min(size, clip) for size in self.sizes]
        scale = live_bytes / math.fsum(size * live for size, live in zip(sizes, self.live, strict=True))
        merged: dict[int, list[float]] = {}
        for size, rate, live in zip(sizes, self.rates, self.live, strict=True):
            row = merged.setdefault(size, [0.0, 0.0])
            row[0] += rate
            row[1] += live * scale
        counts = []
        carried = 0.0
        for _, live in merged.values():
            carried += live
            counts.append(int(carried))
            carried -= counts[-1]
        if sum(counts) < 2:
            raise SizeTableError(f"{live_bytes:,} live bytes are fewer than two blocks of this table; give more")
        return list(merged), [rate for rate, _ in merged.values()], counts


def default_path() -> Path:
    """Where the table lies that ships with the package: one of google/fleetbench."""
    return Path(str(resources.files("pybuf.bench") / "data" / "fleetbench-0.csv"))


def read(path: str | Path) -> SizeTable:
    """Read the table at ``path``. Raises SizeTableError, one line that names the file, for anything else."""
    path = Path(path)
    rows: dict[int, tuple[float, float]] = {}
    try:
        check_regular(path)
        with path.open(encoding="ascii") as file:
            for number, line in enumerate(file, 1):
                fields = line.strip().split(",")
                if not line.strip() or line.startswith("#") or (number == 1 and not fields[0].strip().isdigit()):
                    continue
                try:
                    size, rate, live = int(fields[0]), float(fields[1]), float(fields[2])
                except (ValueError, IndexError):
                    size = rate = live = -1
                if not all(0 <= value < NUMBER_LIMIT for value in (size, rate, live)) or len(rows) > ROWS_LIMIT:
                    shown = line.strip()[:40]
                    raise SizeTableError(f"{path}: line {number}: expected SIZE, RATE, LIVE BLOCKS; found {shown!r}")
                old_rate, old_live = rows.get(size, (0.0, 0.0))
                rows[size] = old_rate + rate, old_live + live
    except OSError as failure:
        raise SizeTableError(f"{path}: {failure.strerror or failure}") from None
    except UnicodeDecodeError:
        raise SizeTableError(f"{path}: is no text; expected lines of SIZE, RATE, LIVE BLOCKS") from None
    rows.pop(0, None)
    if not any(rate for rate, _ in rows.values()) or not any(live for _, live in rows.values()):
        raise SizeTableError(f"{path}: holds no size that is allocated and lives; expected SIZE, RATE, LIVE BLOCKS")
    total = math.fsum(size * live for size, (_, live) in rows.items())
    if total < 1 / NUMBER_LIMIT:
        raise SizeTableError(f"{path}: {total:g} live bytes in all are too few to be scaled; give it more live blocks")
    ordered = sorted(rows)
    return SizeTable(ordered, [rows[size][0] for size in ordered], [rows[size][1] for size in ordered])
