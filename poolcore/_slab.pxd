"""Slabs and records: which block an address is, and the two moves between free list and holder.

    state = live << 16 | head;  block i is free  <=>  its record has no state bits;
    the list starts at head, follows the records' low 16 bits and ends at LINK_NONE.
"""

from libc.stdint cimport uint32_t, uint64_t

from poolcore._types cimport (
    FLAG_GUARDED, KIND_SLAB, LINK_MASK, LINK_NONE, ONE_LIVE, RECORD_STATE,
    hold_t, slab_t,
)

cdef extern from "poolcore_platform.h" nogil:
    uint32_t record_load(uint32_t *record)
    void record_store(uint32_t *record, uint32_t value)
    uint32_t rotate_right(uint32_t value, uint32_t count)


cdef inline uint32_t slab_index(slab_t *slab, uint64_t address) noexcept nogil:
    """Index of the block that starts at `address`; block_count or more when none does."""
    return rotate_right(<uint32_t>(address - slab.base) * slab.inverse, slab.shift)


cdef inline bint slab_has_free(slab_t *slab) noexcept nogil:
    return (slab.state & LINK_MASK) != LINK_NONE


cdef inline uint32_t slab_live(slab_t *slab) noexcept nogil:
    return slab.state >> 16


cdef inline uint64_t slab_take(slab_t *slab, uint32_t record) noexcept nogil:
    """Hands out the first free block, marked `record`. The list must not be empty."""
    cdef uint32_t state = slab.state
    cdef uint64_t address = slab.head_address
    cdef uint32_t *place = slab.records + (state & LINK_MASK)
    cdef uint32_t link = record_load(place) & LINK_MASK
    record_store(place, record)
    slab.state = (state & ~<uint32_t>LINK_MASK) + ONE_LIVE + link
    slab.head_address = slab.base + <uint64_t>link * slab.block_bytes
    slab.total += 1
    return address


cdef inline uint32_t slab_put(slab_t *slab, uint32_t index, uint64_t address) noexcept nogil:
    """Puts block `index` at `address` back at the front of the list; the new state."""
    cdef uint32_t state = slab.state
    record_store(slab.records + index, state & LINK_MASK)
    state = (state & ~<uint32_t>LINK_MASK) - ONE_LIVE + index
    slab.state = state
    slab.head_address = address
    return state
