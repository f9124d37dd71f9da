"""Slabs and records: which block an address is, and the two moves between free lists and holder.

Block i is free  <=>  its record has no state bits. A list follows the records' low 16 bits from its first
block to LINK_NONE.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from poolcore._types cimport LINK_NONE, slab_t

cdef extern from "poolcore_platform.h" nogil:
    uint32_t record_load(uint32_t *record)
    uint32_t record_link(uint32_t *record)
    void record_store(uint32_t *record, uint32_t value)
    bint divides(uint64_t n, uint64_t reciprocal, uint64_t *quotient)


cdef inline uint32_t slab_index(slab_t *slab, uint64_t address) noexcept nogil:
    """Index of the block that starts at `address`, which is in the slab; block_count or more when none does."""
    cdef uint64_t index
    return <uint32_t>index if divides(address - slab.base, slab.reciprocal, &index) else LINK_NONE


cdef inline bint slab_has_free(slab_t *slab) noexcept nogil:
    """Whether the fast path finds a block; slab_refresh may find more."""
    return slab.head != LINK_NONE


cdef inline uint32_t slab_live(slab_t *slab) noexcept nogil:
    """Blocks that are on neither list: live ones, REMOTE ones and those on the front."""
    return <uint32_t>slab.total - slab.frees


cdef inline bint slab_refresh(slab_t *slab) noexcept nogil:
    """When nothing is left to hand out, what came back is next. Whether there is a free block."""
    if slab.head == LINK_NONE:
        slab.head = slab.freed
        slab.freed = LINK_NONE
    return slab.head != LINK_NONE


cdef inline uint64_t slab_take(slab_t *slab, uint32_t record) noexcept nogil:
    """Hands out the block at `head`, which must be one, marked `record`."""
    cdef uint32_t index = slab.head
    cdef uint32_t *place = slab.records + index
    slab.head = record_link(place)
    record_store(place, record)
    slab.total += 1
    return slab.base + <uint64_t>index * slab.block_bytes


cdef inline bint slab_put(slab_t *slab, uint32_t index) noexcept nogil:
    """Takes block `index` back; whether it was the last live one."""
    record_store(slab.records + index, slab.freed)
    slab.freed = <uint16_t>index
    slab.frees += 1
    return slab.frees == <uint32_t>slab.total
