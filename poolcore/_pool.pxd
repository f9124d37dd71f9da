"""The hot path, inline: what an allocation and a free cost when nothing is missing. And the cold
path's functions, whose bodies are in the parts (.pxi) that _pool.pyx includes.

An allocation misses when this thread has no heap of the pool, the size has no class, or the class'
current slab has no free block. A free misses when the address is outside the arena or its granule is not
a slab with free blocks of this thread's heap. Every policy, limit, lock and lookup hides behind
those misses; absent, they cost nothing.
"""

from libc.stdint cimport uint32_t, uint64_t

from poolcore._slab cimport slab_has_free, slab_put, slab_take
from poolcore._types cimport (
    ALIGNMENT, ALIGNMENT_SHIFT, CLASS_MAX, CLASS_OF_COUNT, GRANULE_BYTES, GRANULE_SHIFT, LINK_MASK, LINK_NONE,
    PLACE_PARTIAL, RECORD_LIVE, VERDICT_LIVE,
    block_t, event_t, heap_t, hold_t, pool_config_t, pool_stats_t, pool_t, slab_t,
)

cdef extern from "poolcore_platform.h" nogil:
    uint32_t record_load(uint32_t *record)
    void *thread_heap_at(size_t place)
    const bint POOLCORE_THREAD_POINTER
    bint divides(uint64_t n, uint64_t reciprocal, uint64_t *quotient)
    bint rarely(bint condition)


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
# Where heap_get finds nothing, from another slab, but only if nothing else is to be done. False: pool_alloc_held.
cdef bint heap_get_slow(pool_t *pool, uint64_t size, hold_t *hold, slab_t **guess) noexcept nogil
# flags: FREE_DEFER. Answers a verdict_t.
cdef int pool_free_ex(pool_t *pool, uint64_t address, int flags) noexcept nogil
# By its own Buffer: DOUBLE when the hold is dead already, EXPORTED when it has views and neither flag nor pool defers.
cdef int pool_free_held(pool_t *pool, hold_t *hold, int flags) noexcept nogil
# 0: refused (the old block is as it was) or not a block (verdict). Both outs may be NULL.
cdef uint64_t pool_realloc(pool_t *pool, uint64_t address, uint64_t size, int *verdict, int *refusal) noexcept nogil
# Moves a Buffer's block: on success `hold` is dead and `to_hold` holds the result.
cdef uint64_t pool_realloc_held(pool_t *pool, hold_t *hold, hold_t *to_hold, uint64_t size,
                                int *verdict, int *refusal) noexcept nogil
# All or nothing: count, or 0 with nothing taken.
cdef uint64_t pool_alloc_many(pool_t *pool, uint64_t size, uint64_t count, uint64_t *addresses,
                              int *refusal) noexcept nogil
# Why that many cannot be had, known before any is taken; and undoing the counts of those taken and given back.
cdef int pool_many_refusal(pool_t *pool, uint64_t size, uint64_t count) noexcept nogil
cdef void pool_forget_allocs(pool_t *pool, uint64_t count, uint64_t peak_blocks, uint64_t peak_bytes) noexcept nogil
# Frees every good one; verdicts (may be NULL) in order; answers how many were good.
cdef uint64_t pool_free_many(pool_t *pool, const uint64_t *addresses, uint64_t count, int *verdicts) noexcept nogil

# ---- Buffers: views and holds -----------------------------------------------------------------

cdef int hold_export(pool_t *pool, hold_t *hold) noexcept nogil     # a view is taken: 0, or -1 when the hold is dead
cdef void hold_unexport(pool_t *pool, hold_t *hold, uint64_t address) noexcept nogil    # a view is released
cdef void hold_forget(pool_t *pool, hold_t *hold) noexcept nogil    # on_drop="keep": the block becomes plain LIVE
# A LIVE block gets a holder again: 0, or -1 when there is no LIVE block at address.
cdef int hold_adopt(pool_t *pool, hold_t *hold, uint64_t address) noexcept nogil

# ---- questions --------------------------------------------------------------------------------

# 1 found (live or free), 0 none
cdef int pool_block_at(pool_t *pool, uint64_t address, block_t *block) noexcept nogil
# What free would answer; frees nothing.
cdef int pool_verdict_of(pool_t *pool, uint64_t address) noexcept nogil
# The open pool whose arena holds address, or NULL.
cdef pool_t *pool_of(uint64_t address, pool_t *not_this) noexcept nogil
# The first live block at or above address: 1, or 0 when there is none.
cdef int pool_next_live(pool_t *pool, uint64_t address, block_t *block) noexcept nogil
cdef void pool_stats(pool_t *pool, pool_stats_t *stats) noexcept nogil
cdef void pool_reset_peak(pool_t *pool) noexcept nogil
# Requested bytes of a live block, or 0.
cdef uint64_t pool_size_of(pool_t *pool, uint64_t address) noexcept nogil
# Name of the first broken invariant, or NULL. `detail` (may be NULL) gets where: an address.
cdef const char *pool_check(pool_t *pool, uint64_t *detail, uint32_t *skipped_heaps) noexcept nogil
# Oldest first; how many were written.
cdef uint64_t pool_events(pool_t *pool, event_t *events, uint64_t capacity) noexcept nogil

# ---- the pool ---------------------------------------------------------------------------------

cdef pool_t *pool_open(const pool_config_t *config, const char **why) noexcept nogil    # NULL: `why` says what failed
cdef uint64_t pool_trim(pool_t *pool) noexcept nogil    # bytes given back
# Called under the GIL before an address or the pool itself is given to C.
cdef void pool_go_native(pool_t *pool) noexcept nogil
cdef void pool_close(pool_t *pool) noexcept nogil       # every hold dead, every call answers CLOSED; memory stays
cdef void pool_unmap(pool_t *pool) noexcept nogil       # after close, when no view is left: memory goes
cdef void pool_dispose(pool_t *pool) noexcept nogil     # the struct may serve another pool
cdef uint64_t pool_snapshot_bytes(pool_t *pool) noexcept nogil
# Bytes written, 0 when it did not fit.
cdef uint64_t pool_snapshot(pool_t *pool, char *out, uint64_t capacity) noexcept nogil
# Waits for other threads' callbacks. 0; -1: refused, -2: from inside a callback; then the pool is as it was, and `why`.
cdef int pool_restore(pool_t *pool, const char *data, uint64_t size, const char **why) noexcept nogil
# Waits until no other thread restores; never for the caller's own callback. For callers without the GIL.
cdef void pool_await_restore(pool_t *pool) noexcept nogil
# What this thread's slot for the pool holds: its heap of the pool, or another's.
cdef heap_t *heap_in_slot(pool_t *pool) noexcept nogil
# This thread's heap of the pool, made on first use; or NULL.
cdef heap_t *heap_here(pool_t *pool) noexcept nogil
# The same for code outside, never NULL: a heap that owns nothing stands for one that cannot be had, and sends every
# call down the slow path.
cdef heap_t *heap_or_none(pool_t *pool) noexcept nogil
cdef uint64_t engine_layout() noexcept nogil                        # layout_hash() as the engine was compiled


# ---- what Pool.c_functions() points to ----------------------------------------------------------

cdef void *pool_c_alloc(void *pool, size_t size) noexcept nogil
cdef int pool_c_free(void *pool, void *block) noexcept nogil
cdef void *pool_c_realloc(void *pool, void *block, size_t size) noexcept nogil
cdef void *pool_c_calloc(void *pool, size_t count, size_t size) noexcept nogil
cdef void *pool_c_aligned(void *pool, size_t alignment, size_t size) noexcept nogil
# alloc and free of a pool that pool_has_front. Any other's would find nothing on its front and go the usual way.
cdef void *pool_front_alloc(void *pool, size_t size) noexcept nogil
cdef int pool_front_free(void *pool, void *block) noexcept nogil
cdef bint pool_has_front(pool_t *pool) noexcept nogil


# ---- the hot path -----------------------------------------------------------------------------

cdef inline heap_t *heap_now(pool_t *pool) noexcept nogil:
    """What this thread's slot for the pool holds: its heap of the pool, or another's. For one call of the pool."""
    return <heap_t *>thread_heap_at(pool.slot_offset) if POOLCORE_THREAD_POINTER else heap_in_slot(pool)


cdef inline slab_t *heap_slab(heap_t *heap, pool_t *pool, uint64_t size) noexcept nogil:
    """The current slab for `size`, with a free block; or NULL."""
    cdef slab_t *slab
    if rarely(heap.pool != pool):
        return NULL
    if rarely(size > pool.small_max):
        return NULL
    slab = heap.fast[pool.class_of[(size + (ALIGNMENT - 1)) >> ALIGNMENT_SHIFT]]
    return NULL if rarely(not slab_has_free(slab)) else slab


cdef inline slab_t *heap_find(heap_t *heap, pool_t *pool, uint64_t address, uint32_t *index) noexcept nogil:
    """The slab of this heap in which `address` is the start of a LIVE block, and which one; or NULL."""
    cdef uint64_t offset = address - pool.base
    cdef uint64_t quotient
    cdef slab_t *slab
    if rarely(offset >= pool.fast_span):
        return NULL
    slab = &pool.descriptors[offset >> GRANULE_SHIFT]
    if rarely(slab.owner != heap):
        return NULL
    # A block that the granule's rest is too short for has a record, too, and it is never LIVE.
    if rarely(not divides(offset & (GRANULE_BYTES - 1), slab.reciprocal, &quotient)):
        return NULL
    if rarely(not (record_load(slab.records + quotient) & RECORD_LIVE)):
        return NULL
    index[0] = <uint32_t>quotient
    return slab


cdef inline uint64_t heap_alloc(heap_t *heap, pool_t *pool, uint64_t size) noexcept nogil:
    """A block of `size` bytes, or 0. `heap` is what this thread got for `pool`; a stale one costs time only."""
    cdef slab_t *slab = heap_slab(heap, pool, size)
    if rarely(slab == NULL):
        return heap_alloc_slow(pool, size)
    return slab_take(slab, RECORD_LIVE | <uint32_t>size)


cdef inline int heap_free(heap_t *heap, pool_t *pool, uint64_t address) noexcept nogil:
    """Frees what `address` is, any 64-bit value; the verdict. `heap` as in heap_alloc."""
    cdef uint32_t index
    cdef slab_t *slab = heap_find(heap, pool, address, &index)
    if rarely(slab == NULL):
        return heap_free_slow(pool, address)
    if rarely(slab_put(slab, index)):
        return slab_emptied_slow(slab)
    return VERDICT_LIVE


cdef inline uint64_t heap_alloc_fast(heap_t *heap, pool_t *pool, uint64_t size) noexcept nogil:
    """heap_alloc where it makes no call; 0: heap_alloc must be asked."""
    cdef slab_t *slab = heap_slab(heap, pool, size)
    return 0 if rarely(slab == NULL) else slab_take(slab, RECORD_LIVE | <uint32_t>size)


cdef inline bint heap_free_fast(heap_t *heap, pool_t *pool, uint64_t address) noexcept nogil:
    """heap_free of a live block where it makes no call. False: heap_free must be asked, nothing happened."""
    cdef uint32_t index
    cdef slab_t *slab = heap_find(heap, pool, address, &index)
    if rarely(slab == NULL or (slab.frees + 1 == <uint32_t>slab.total and slab.place == PLACE_PARTIAL)):
        return False
    slab_put(slab, index)
    return True


# ---- the layout that inlined code relies on -----------------------------------------------------

cdef enum:
    LAYOUT_REVISION = 2
    LAYOUT_AT = 4096            # any address will do: nothing is read there


cdef inline uint64_t layout_hash() noexcept nogil:
    """A number made of every size, offset and constant that the functions above rely on.

    A module that inlines them has its own compiled in, and so has the engine; import_poolcore compares.
    When what a field means changes and its place does not, LAYOUT_REVISION is raised.
    """
    cdef slab_t *slab = <slab_t *>LAYOUT_AT
    cdef heap_t *heap = <heap_t *>LAYOUT_AT
    cdef pool_t *pool = <pool_t *>LAYOUT_AT
    cdef block_t *block = <block_t *>LAYOUT_AT
    cdef uint64_t[45] values = [
        LAYOUT_REVISION, ALIGNMENT, ALIGNMENT_SHIFT, CLASS_MAX, CLASS_OF_COUNT, GRANULE_SHIFT, LINK_MASK, LINK_NONE,
        PLACE_PARTIAL, RECORD_LIVE, VERDICT_LIVE, sizeof(slab_t), sizeof(heap_t), sizeof(pool_t), sizeof(block_t),
        <uint64_t>&slab.owner, <uint64_t>&slab.records, <uint64_t>&slab.base, <uint64_t>&slab.total,
        <uint64_t>&slab.head, <uint64_t>&slab.freed, <uint64_t>&slab.frees, <uint64_t>&slab.reciprocal,
        <uint64_t>&slab.block_bytes, <uint64_t>&slab.place, sizeof(slab.place), sizeof(slab.head), sizeof(slab.freed),
        sizeof(slab.frees), sizeof(slab.reciprocal),
        <uint64_t>&heap.pool, <uint64_t>&heap.fast,
        <uint64_t>&pool.base, <uint64_t>&pool.fast_span, <uint64_t>&pool.descriptors, <uint64_t>&pool.small_max,
        <uint64_t>&pool.slot_offset,
        <uint64_t>&pool.class_of, sizeof(pool.class_of[0]),
        <uint64_t>&block.address, <uint64_t>&block.size, <uint64_t>&block.capacity, <uint64_t>&block.tag,
        <uint64_t>&block.state, <uint64_t>&block.is_virgin,
    ]
    cdef uint64_t hash = 0xCBF29CE484222325
    cdef uint64_t prime = 0x100000001B3
    cdef uint32_t i
    for i in range(sizeof(values) // sizeof(values[0])):
        hash = (hash ^ values[i]) * prime
    return hash
