"""The hot path, inline: what an allocation and a free cost when nothing is missing. And the cold
path's functions, whose bodies are in _pool.pyx.

An allocation misses when this thread has no heap of the pool, the size has no class, or the class'
current slab has no free block. A free misses when the address is outside the arena or its granule is not
a slab with free blocks of this thread's heap. Every policy, limit, lock and lookup hides behind
those misses; absent, they cost nothing.
"""

from libc.stdint cimport uint32_t, uint64_t

from poolcore._slab cimport slab_has_free, slab_index, slab_put, slab_take
from poolcore._types cimport (
    ALIGNMENT, ALIGNMENT_SHIFT, GRANULE_SHIFT, RECORD_LIVE, VERDICT_LIVE,
    block_t, event_t, heap_t, hold_t, pool_config_t, pool_stats_t, pool_t, slab_t,
)

cdef extern from "poolcore_platform.h" nogil:
    uint32_t record_load(uint32_t *record)


# ---- slow halves of the hot path --------------------------------------------------------------

cdef uint64_t heap_alloc_slow(pool_t *pool, uint64_t size) noexcept nogil
cdef int heap_free_slow(pool_t *pool, uint64_t address) noexcept nogil
cdef int slab_emptied_slow(slab_t *slab) noexcept nogil

# ---- blocks -----------------------------------------------------------------------------------
# Addresses are integers: an address-space pool's are not pointers of this process. 0 is no block.

# alignment: 0 or a power of two. flags: ALLOC_*. refusal may be NULL. tag: 0 for none.
cdef uint64_t pool_alloc_ex(pool_t *pool, uint64_t size, uint64_t alignment, int flags, uint32_t tag,
                            int *refusal) noexcept nogil
# The same for a Buffer: the block is HELD and `hold` is filled in and registered as its holder.
cdef uint64_t pool_alloc_held(pool_t *pool, uint64_t size, uint64_t alignment, int flags, uint32_t tag,
                              hold_t *hold, int *refusal) noexcept nogil
# flags: FREE_DEFER. Answers a verdict_t.
cdef int pool_free_ex(pool_t *pool, uint64_t address, int flags) noexcept nogil
# By its own Buffer: DOUBLE when the hold is dead already, EXPORTED when hold.views > 0 and neither flag nor pool defers.
cdef int pool_free_held(pool_t *pool, hold_t *hold, int flags) noexcept nogil
# 0: refused (the old block is as it was) or not a block (verdict). Both outs may be NULL.
cdef uint64_t pool_realloc(pool_t *pool, uint64_t address, uint64_t size, int *verdict, int *refusal) noexcept nogil
# Moves a Buffer's block: on success `hold` is dead and `to_hold` holds the result.
cdef uint64_t pool_realloc_held(pool_t *pool, hold_t *hold, hold_t *to_hold, uint64_t size,
                                int *verdict, int *refusal) noexcept nogil
# All or nothing: count, or 0 with nothing taken.
cdef uint64_t pool_alloc_many(pool_t *pool, uint64_t size, uint64_t count, uint64_t *addresses, int *refusal) noexcept nogil
# Frees every good one; verdicts (may be NULL) in order; answers how many were good.
cdef uint64_t pool_free_many(pool_t *pool, const uint64_t *addresses, uint64_t count, int *verdicts) noexcept nogil

# ---- Buffers: views and holds -----------------------------------------------------------------

cdef int hold_export(pool_t *pool, hold_t *hold) noexcept nogil     # a view is taken: 0, or -1 when the hold is dead
cdef void hold_unexport(pool_t *pool, hold_t *hold, uint64_t address) noexcept nogil    # a view is released
cdef void hold_forget(pool_t *pool, hold_t *hold) noexcept nogil    # on_drop="keep": the block becomes plain LIVE
# A LIVE block gets a holder again: 0, or -1 when there is no LIVE block at address.
cdef int hold_adopt(pool_t *pool, hold_t *hold, uint64_t address) noexcept nogil

# ---- questions --------------------------------------------------------------------------------

cdef int pool_block_at(pool_t *pool, uint64_t address, block_t *block) noexcept nogil   # 1 found (live or free), 0 none
cdef int pool_verdict_of(pool_t *pool, uint64_t address) noexcept nogil                 # what free would answer; frees nothing
cdef pool_t *pool_of(uint64_t address, pool_t *not_this) noexcept nogil                 # open pool whose arena holds address, or NULL
cdef int pool_next_live(pool_t *pool, uint64_t address, block_t *block) noexcept nogil  # first live block at or above address: 1, or 0
cdef void pool_stats(pool_t *pool, pool_stats_t *stats) noexcept nogil
cdef void pool_reset_peak(pool_t *pool) noexcept nogil
cdef uint64_t pool_size_of(pool_t *pool, uint64_t address) noexcept nogil               # requested bytes of a live block, or 0
# Name of the first broken invariant, or NULL. `detail` (may be NULL) gets where: an address.
cdef const char *pool_check(pool_t *pool, uint64_t *detail, uint32_t *skipped_heaps) noexcept nogil
cdef uint64_t pool_events(pool_t *pool, event_t *events, uint64_t capacity) noexcept nogil  # oldest first; how many written

# ---- the pool ---------------------------------------------------------------------------------

cdef pool_t *pool_open(const pool_config_t *config, const char **why) noexcept nogil    # NULL: `why` says what failed
cdef uint64_t pool_trim(pool_t *pool) noexcept nogil                # bytes given back
cdef void pool_close(pool_t *pool) noexcept nogil                   # every hold dead, every call answers CLOSED; memory stays
cdef void pool_unmap(pool_t *pool) noexcept nogil                   # after close, when no view is left: memory goes
cdef void pool_dispose(pool_t *pool) noexcept nogil                 # the struct may serve another pool
cdef uint64_t pool_snapshot_bytes(pool_t *pool) noexcept nogil
cdef uint64_t pool_snapshot(pool_t *pool, char *out, uint64_t capacity) noexcept nogil   # bytes written, 0 when it did not fit
cdef int pool_restore(pool_t *pool, const char *data, uint64_t size, const char **why) noexcept nogil
cdef heap_t *heap_here(pool_t *pool) noexcept nogil                 # this thread's heap of the pool, made on first use; or NULL


# ---- what Pool.c_functions() points to ----------------------------------------------------------

cdef void *pool_c_alloc(void *pool, size_t size) noexcept nogil
cdef int pool_c_free(void *pool, void *block) noexcept nogil
cdef void *pool_c_realloc(void *pool, void *block, size_t size) noexcept nogil
cdef void *pool_c_calloc(void *pool, size_t count, size_t size) noexcept nogil
cdef void *pool_c_aligned(void *pool, size_t alignment, size_t size) noexcept nogil


# ---- the hot path -----------------------------------------------------------------------------

cdef extern from *:
    """
    #ifdef POOLCORE_ENGINE
    #define POOLCORE_HEAP_AT(offset) thread_heap_at(offset)
    #else
    #define POOLCORE_HEAP_AT(offset) ((void *)0)
    #endif
    """
    void *POOLCORE_HEAP_AT(size_t offset) nogil


cdef inline uint64_t heap_alloc(heap_t *heap, pool_t *pool, uint64_t size) noexcept nogil:
    """A block of `size` bytes from `heap`, which must be this thread's heap of `pool`. 0: refused."""
    cdef slab_t *slab
    if size > pool.small_max:
        return heap_alloc_slow(pool, size)
    slab = heap.fast[pool.class_of[(size + (ALIGNMENT - 1)) >> ALIGNMENT_SHIFT]]
    if not slab_has_free(slab):
        return heap_alloc_slow(pool, size)
    return slab_take(slab, RECORD_LIVE | <uint32_t>size)


cdef inline int heap_free(heap_t *heap, pool_t *pool, uint64_t address) noexcept nogil:
    """Frees what `address` is, any 64-bit value; `heap` must be this thread's heap of `pool`."""
    cdef uint64_t offset = address - pool.base
    cdef slab_t *slab
    cdef uint32_t index
    if offset >= pool.fast_span:
        return heap_free_slow(pool, address)
    slab = &pool.descriptors[offset >> GRANULE_SHIFT]
    if slab.owner != heap:
        return heap_free_slow(pool, address)
    index = slab_index(slab, address)
    if index >= slab.block_count or not (record_load(slab.records + index) & RECORD_LIVE):
        return heap_free_slow(pool, address)
    if slab_put(slab, index):
        return slab_emptied_slow(slab)
    return VERDICT_LIVE


cdef inline uint64_t pool_alloc(pool_t *pool, uint64_t size) noexcept nogil:
    """A block of `size` bytes, or 0. Any thread. Only inside the engine's own module."""
    cdef heap_t *heap = <heap_t *>POOLCORE_HEAP_AT(pool.slot_offset)
    if heap.pool != pool:
        return heap_alloc_slow(pool, size)
    return heap_alloc(heap, pool, size)


cdef inline int pool_free(pool_t *pool, uint64_t address) noexcept nogil:
    """Frees what `address` is. Any thread, any value. Only inside the engine's own module."""
    return heap_free(<heap_t *>POOLCORE_HEAP_AT(pool.slot_offset), pool, address)
