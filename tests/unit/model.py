"""What a pool promises, in plain Python: which blocks are live, what every counter says, and what a
free of any 64-bit value answers.

The model does not choose addresses. It is told what the pool answered and objects when that breaks a
promise: blocks that overlap, lie outside of the pool's memory, are misaligned or still in quarantine.
From the blocks it has seen it knows which granule (64 KiB of the arena, less in a small caller's
buffer) holds what, and so what lies at any address.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from copy import deepcopy
from dataclasses import dataclass, field

PAGE = 4096
LIVE, NULL, DOUBLE, INTERIOR, FOREIGN, OTHER_POOL, EXPORTED, CORRUPT, CLOSED = range(9)


class Broken(AssertionError):
    """The pool did what the model says it must not."""


@dataclass
class Block:
    address: int
    size: int               # requested bytes
    capacity: int
    tag: str | None = None
    is_held: bool = False   # a Buffer is its holder
    views: int = 0
    is_deferred: bool = False   # freed while a view was alive; memory goes back with the last


@dataclass
class Granule:
    """What was last put at a granule of the arena."""

    start: int              # first address of the slab or run
    capacity: int           # bytes of a slab's block, or of the run
    is_run: bool
    size: int = 0           # a run's requested bytes
    handed: set[int] = field(default_factory=set)       # block starts that were handed out
    is_trimmed: bool = False                            # which were not, may be forgotten


@dataclass
class Model:
    base: int                           # first address of the arena
    size: int                           # bytes of the arena
    granule: int = 65536
    class_max: int = 65536              # the largest size class: blocks with more capacity are runs
    limit_bytes: int | None = None
    limit_blocks: int | None = None
    quarantine_blocks: int = 0
    is_deferred: bool = False
    has_geometry: bool = True           # blocks start at multiples of the class' size (not under Guard)
    others: list[tuple[int, int]] = field(default_factory=list)     # arenas of other open pools
    is_alone: bool = True               # there are no more than those

    live: dict[int, Block] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)      # addresses of live, deferred and quarantined blocks, sorted
    quarantine: list[Block] = field(default_factory=list)
    deferred: dict[int, Block] = field(default_factory=dict)
    granules: dict[int, Granule] = field(default_factory=dict)
    is_closed: bool = False
    live_bytes: int = 0
    capacity_bytes: int = 0
    peak_blocks: int = 0
    peak_bytes: int = 0
    total_allocs: int = 0

    # ---- allocation

    def refusal(self, size: int) -> str | None:
        """Why a request must be refused, or None. Room in the arena is the pool's own matter."""
        if self.is_closed:
            return "closed"
        if self.limit_blocks is not None and len(self.live) + 1 > self.limit_blocks:
            return "limit_blocks"
        if self.limit_bytes is not None and self.live_bytes + size > self.limit_bytes:
            return "limit_bytes"
        return None

    def allocated(self, address: int, size: int, capacity: int, align: int, *, tag: str | None = None,
                  is_held: bool = False) -> Block:
        """The pool answered `address`."""
        end = address + max(capacity, size, 1)
        if address == 0 or address % align:
            raise Broken(f"{address:#x} is not aligned to {align}")
        if not self.base <= address < end <= self.base + self.size:
            raise Broken(f"{address:#x} + {capacity} is outside of the arena")
        if capacity < size:
            raise Broken(f"capacity {capacity} is below the size {size}")
        place = bisect_left(self.order, end)
        if place:
            before = self._at(self.order[place - 1])
            if before.address + max(before.capacity, 1) > address:
                raise Broken(f"{address:#x} + {capacity} overlaps {before}")
        block = Block(address, size, capacity, tag, is_held)
        self.live[address] = block
        insort(self.order, address)
        self._mark(block)
        self.total_allocs += 1
        self.live_bytes += size
        self.capacity_bytes += capacity
        self.peak_blocks = max(self.peak_blocks, len(self.live))
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        return block

    def _at(self, address: int) -> Block:
        block = self.live.get(address) or self.deferred.get(address)
        return block or next(b for b in self.quarantine if b.address == address)

    def _mark(self, block: Block) -> None:
        first = (block.address - self.base) // self.granule
        last = (block.address + max(block.capacity, 1) - 1 - self.base) // self.granule
        if last > first or block.capacity > self.class_max:
            run = Granule(block.address, block.capacity, True, block.size)
            for index in range(first, last + 1):
                self.granules[index] = run
            return
        known = self.granules.get(first)
        if known is None or known.is_run or known.capacity != block.capacity:
            known = self.granules[first] = Granule(self.base + first * self.granule, block.capacity, False)
        known.handed.add(block.address)

    def _is_unused(self, start: int) -> bool:
        return bisect_left(self.order, start) == bisect_left(self.order, start + self.granule)

    # ---- free

    def verdicts(self, value: int) -> set[int]:
        """What a free of `value` may answer: one verdict, more only where memory was used anew unseen."""
        if self.is_closed:
            return {CLOSED}
        if value == 0:
            return {NULL}
        block = self.live.get(value)
        if block is not None:
            return {EXPORTED} if block.views and not self.is_deferred else {LIVE}
        if any(first <= value < end for first, end in self.others):
            return {OTHER_POOL}
        foreign = {FOREIGN} if self.is_alone else {FOREIGN, OTHER_POOL}
        if not self.base <= value < self.base + self.size:
            return foreign
        if self.order:
            before = bisect_right(self.order, value)
            if before:
                near = self._at(self.order[before - 1])
                if near.address == value:
                    return {DOUBLE}
                if value < near.address + near.capacity:
                    return {INTERIOR}
        place = self.granules.get((value - self.base) // self.granule)
        if place is None:
            return foreign
        if not self.has_geometry:
            return {DOUBLE, INTERIOR, FOREIGN}
        if place.is_run:
            return {DOUBLE} if value == place.start else {INTERIOR}
        offset = value - place.start
        if offset % place.capacity or offset + place.capacity > self.granule:
            return {INTERIOR}
        if value in place.handed:
            return {DOUBLE}
        return {DOUBLE, FOREIGN} if place.is_trimmed else {FOREIGN}

    def trimmed(self) -> None:
        """The pool gave back what it could: of small blocks, also the pages that tell which were never handed out."""
        for place in self.granules.values():
            if not place.is_run and self.granule // place.capacity * 4 >= PAGE and self._is_unused(place.start):
                place.is_trimmed = True

    def resized(self, address: int, size: int, capacity: int) -> None:
        """A realloc left the block where it was."""
        block = self.live[address]
        self.capacity_bytes += capacity - block.capacity
        block.capacity = capacity
        self._mark(block)
        self.live_bytes += size - block.size
        block.size = size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def freed(self, address: int) -> Block:
        """The pool took back the block at `address`."""
        block = self.live.pop(address)
        self.live_bytes -= block.size
        self.capacity_bytes -= block.capacity
        block.is_held = False
        if block.views:
            block.is_deferred = True
            self.deferred[address] = block
        else:
            self._returned(block)
        return block

    def released(self, block: Block) -> None:
        """A view of the block's Buffer was released."""
        block.views -= 1
        if block.is_deferred and not block.views:
            del self.deferred[block.address]
            self._returned(block)

    def _returned(self, block: Block) -> None:
        if self.quarantine_blocks:
            self.quarantine.append(block)
            if len(self.quarantine) > self.quarantine_blocks:
                self._forget(self.quarantine.pop(0))
        else:
            self._forget(block)

    def _forget(self, block: Block) -> None:
        del self.order[bisect_left(self.order, block.address)]

    # ---- counters

    def counters(self) -> dict[str, int]:
        return {
            "live_blocks": len(self.live),
            "live_bytes": self.live_bytes,
            "total_allocs": self.total_allocs,
            "total_frees": self.total_allocs - len(self.live),
            "capacity_bytes": self.capacity_bytes,
            "internal_waste_bytes": self.capacity_bytes - self.live_bytes,
        }

    def reset_peak(self) -> None:
        self.peak_blocks = len(self.live)
        self.peak_bytes = self.live_bytes

    def copy(self) -> Model:
        return deepcopy(self)
