"""The hot path as the Python edge has it: it holds the GIL, counts where its pool is counted, and hands blocks to
Buffers.

While a pool was never given to C, every call of it comes through here or a slow half, one at a time. So plain
additions keep the pool's live blocks and bytes exact, and with them its peaks; C's own path counts nothing.
"""

from libc.stdint cimport uint32_t, uint64_t

from poolcore._pool cimport heap_alloc_slow, heap_find, heap_free_slow, heap_slab, slab_emptied_slow
from poolcore._slab cimport slab_put, slab_refresh, slab_take
from poolcore._types cimport (
    ALIGNMENT, ALIGNMENT_SHIFT, RECORD_HELD, RECORD_LIVE, RECORD_SIZE, VERDICT_LIVE, heap_t, hold_t, pool_t, slab_t,
)

cdef extern from "poolcore_platform.h" nogil:
    uint32_t record_load(uint32_t *record)
    bint rarely(bint condition)
    bint differ(const void *a, const void *b)


cdef inline void count_take(pool_t *pool, uint64_t size, uint64_t blocks) noexcept nogil:
    pool.live_blocks += blocks
    pool.live_bytes += size
    if rarely(pool.live_blocks > pool.peak_blocks):
        pool.peak_blocks = pool.live_blocks
    if rarely(pool.live_bytes > pool.peak_bytes):
        pool.peak_bytes = pool.live_bytes


cdef inline void count_give(pool_t *pool, uint64_t size, uint64_t blocks) noexcept nogil:
    pool.live_blocks -= blocks
    pool.live_bytes -= size


cdef inline uint64_t heap_alloc_counted(heap_t *heap, pool_t *pool, uint64_t size) noexcept nogil:
    """heap_alloc, counted where the pool is."""
    cdef slab_t *slab = heap_slab(heap, pool, size)
    if rarely(slab == NULL):
        return heap_alloc_slow(pool, size)
    if pool.is_counted:
        count_take(pool, size, 1)
    return slab_take(slab, RECORD_LIVE | <uint32_t>size)


cdef inline int heap_free_counted(heap_t *heap, pool_t *pool, uint64_t address) noexcept nogil:
    """heap_free, counted where the pool is."""
    cdef uint32_t index
    cdef slab_t *slab = heap_find(heap, pool, address, &index)
    if rarely(slab == NULL):
        return heap_free_slow(pool, address)
    if pool.is_counted:
        count_give(pool, record_load(slab.records + index) & RECORD_SIZE, 1)
    if rarely(slab_put(slab, index)):
        return slab_emptied_slow(slab)
    return VERDICT_LIVE


cdef inline bint heap_get(heap_t *heap, pool_t *pool, uint64_t size, hold_t *hold, slab_t **guess) noexcept nogil:
    """A HELD block for a Buffer that has no views. False: heap_get_slow must be asked.

    `guess` is any place that keeps where the last call found its block, NULL at first. The way from the size to the
    slab is four loads that wait for each other, and a pair fills the processor's window, so that it waits for them
    too. With the guess it goes on at once and compares meanwhile: 22.6 ns a pair of Python in place of 25.0 on Zen 5.
    """
    cdef slab_t *slab
    cdef slab_t *current
    cdef uint32_t index
    if rarely(heap.pool != pool or size > pool.small_max):
        return False
    current = heap.fast[pool.class_of[(size + (ALIGNMENT - 1)) >> ALIGNMENT_SHIFT]]
    slab = guess[0]
    if rarely(differ(slab, current)):
        slab = current
        guess[0] = current
    # slab_none has no holders, so it is not refreshed.
    if rarely(slab.holders == NULL or slab.tags != NULL or not slab_refresh(slab)):
        return False
    index = slab.head
    hold.address = slab_take(slab, RECORD_HELD | <uint32_t>size)
    hold.slab = slab
    hold.size = size
    hold.index = index
    slab.holders[index] = hold
    if pool.is_counted:
        count_take(pool, size, 1)
    return True


cdef inline bint heap_free_held(heap_t *heap, pool_t *pool, hold_t *hold) noexcept nogil:
    """Frees a Buffer's block; its Buffer is dead. False: pool_free_held must be asked."""
    cdef slab_t *slab = hold.slab
    if rarely(slab == NULL):
        return False
    # Where C may free the same block by its address the record decides.
    if rarely(slab.owner != heap or hold.views or pool.is_native):
        return False
    hold.slab = NULL
    if pool.is_counted:
        count_give(pool, hold.size, 1)
    if rarely(slab_put(slab, hold.index)):
        slab_emptied_slow(slab)
    return True
