# ---- The front of a one-class pool's heap -------------------------------------------------------------
# A stack of free blocks, the latest freed on top, which the functions that Pool.c_functions() hands out for a
# pool of one size class take from and put to without a look at their slabs. A block on it is on neither list
# of its slab: there it counts as taken, and
#
#   total - frees  =  live + REMOTE blocks + blocks on the front
#
# Its record is RECORD_FRONT: free, so that every verdict stays what it was, and known for what it is. When the top
# block is handed out, `top` goes on naming it: its free then finds the record without a descriptor or a
# division, and no load waits for the store of an address before it. So `top` is on the front exactly while its
# record says so; and while it names a block, the block's slab is this heap's and has no tags, which slab_unformat and
# tags_make see to. With the front empty or full the slab's lists serve as in other pools. What looks for the last
# free block spills the front first; a heap that is taken over keeps its front.

cdef bint pool_has_front(pool_t *pool) noexcept nogil:
    return pool.class_count == 1 and not pool.is_policed and pool.fast_span != 0


cdef inline uint32_t front_length(heap_t *heap) noexcept nogil:
    return heap.front_count + (record_load(heap.top.record) == RECORD_FRONT)


cdef void front_return(heap_t *heap, front_t *block) noexcept nogil:
    """A block that is no longer on the front goes to its slab, which may be given back."""
    cdef pool_t *pool = heap.pool
    cdef slab_t *slab = granule_at(pool, (block.address - pool.base) >> GRANULE_SHIFT)
    slab_return(slab, <uint32_t>(block.record - slab.records))


cdef void front_spill(heap_t *heap) noexcept nogil:
    """All blocks go to their slabs. By the owner."""
    cdef front_t top = heap.top
    heap.top.record = &record_none
    if record_load(top.record) == RECORD_FRONT:
        front_return(heap, &top)
    while heap.front_count:
        heap.front_count -= 1
        front_return(heap, &heap.front[heap.front_count])


cdef void *front_next(heap_t *heap, pool_t *pool, uint64_t size) noexcept nogil:
    """An allocation that finds no block on top: from beneath it, or the usual way."""
    if heap.front_count == 0:
        return <void *>heap_alloc(heap, pool, size)
    heap.front_count -= 1
    heap.top = heap.front[heap.front_count]
    heap.front_total += 1
    record_store(heap.top.record, RECORD_LIVE | <uint32_t>size)
    return <void *>heap.top.address


cdef int front_put(pool_t *pool, uint64_t address, heap_t *heap) noexcept nogil:
    """A free of another block than the last one from the top: any 64-bit value, as heap_free has it."""
    cdef uint64_t offset = address - pool.base
    cdef slab_t *slab
    cdef uint32_t index
    cdef uint32_t *record
    if rarely(offset >= pool.fast_span):
        return heap_free_slow(pool, address)
    slab = &pool.descriptors[offset >> GRANULE_SHIFT]
    if rarely(<uint64_t>slab.owner - <uint64_t>heap > 1):
        return heap_free_slow(pool, address)
    index = slab_index(slab, address)
    if rarely(index >= slab.block_count):
        return heap_free_slow(pool, address)
    record = slab.records + index
    if rarely(not (record_load(record) & RECORD_LIVE)):
        return heap_free_slow(pool, address)
    if record_load(heap.top.record) == RECORD_FRONT:
        if heap.front_count == FRONT_MAX:
            slab_return(slab, index)
            return VERDICT_LIVE
        heap.front[heap.front_count] = heap.top
        heap.front_count += 1
    record_store(record, RECORD_FRONT)
    heap.top.address = address
    heap.top.record = record
    return VERDICT_LIVE


cdef void *pool_front_alloc(void *handle, size_t size) noexcept nogil:
    cdef pool_t *pool = <pool_t *>handle
    cdef heap_t *heap = <heap_t *>thread_heap_at(pool.slot_offset)
    cdef uint32_t *record
    if rarely(heap.pool != pool):
        return pool_c_alloc(pool, size)
    if rarely(size > pool.small_max):
        return pool_c_alloc(pool, size)
    record = heap.top.record
    if rarely(record_load(record) != RECORD_FRONT):
        return front_next(heap, pool, size)
    record_store(record, RECORD_LIVE | <uint32_t>size)
    heap.front_total += 1
    return <void *>heap.top.address


cdef int pool_front_free(void *handle, void *block) noexcept nogil:
    cdef pool_t *pool = <pool_t *>handle
    cdef heap_t *heap = <heap_t *>thread_heap_at(pool.slot_offset)
    cdef uint32_t *record
    if rarely(heap.pool != pool):
        return pool_c_free(pool, block)
    if heap.top.address != <uint64_t>block:
        return front_put(pool, <uint64_t>block, heap)
    record = heap.top.record
    if rarely(not (record_load(record) & RECORD_LIVE)):
        return front_put(pool, <uint64_t>block, heap)
    record_store(record, RECORD_FRONT)
    return VERDICT_LIVE
