# ---- Remote frees -------------------------------------------------------------------------------
# A thread that is not the owner turns the record LIVE -> REMOTE by CAS, so that exactly one free of
# a block takes effect, and sets the block's bit in the slab's remote bitmap. The first to set one
# since the last collection (remote_queued 0 -> 1) pushes the slab on its heap's `remote`. The owner
# takes that list whole and takes back only records that are still REMOTE: a bit without one is the
# loser of a race between two frees, counted in late_double_frees. So is a bit that is set already when it is
# to be set: its block is free once, however often it was accepted before.
#
# A slab holds a REMOTE block until its bit is collected, so it cannot be retired before. Only when two
# frees race may a bit arrive late; the bitmap stays with the granule for ever and late bits are harmless.

cdef inline uint64_t bits_count(uint64_t bits) noexcept nogil:
    cdef uint64_t count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


cdef void late_add(heap_t *heap, uint64_t count) noexcept nogil:
    cdef pool_t *pool = heap.pool
    if count and pool != NULL:
        atomic_add_u64(&pool.late_double_frees, count)


cdef void remote_notify(slab_t *slab, heap_t *heap) noexcept nogil:
    cdef void *first
    if atomic_exchange_u32(&slab.remote_queued, 1) != 0:
        return
    while True:
        first = atomic_load_ptr(<void **>&heap.remote)
        slab.remote_next = <slab_t *>first
        if atomic_cas_ptr(<void **>&heap.remote, first, slab):
            return


cdef void remote_publish(slab_t *slab, uint32_t word, uint64_t bits) noexcept nogil:
    cdef heap_t *heap = <heap_t *>atomic_load_ptr(<void **>&slab.heap)
    late_add(heap, bits_count(atomic_or_u64(slab.remote_bits + word, bits) & bits))
    remote_notify(slab, heap)


cdef void gather_publish(thread_t *thread) noexcept nogil:
    cdef slab_t *slab = thread.gather_slab
    if slab != NULL:
        thread.gather_slab = NULL
        thread.gather_count = 0
        remote_publish(slab, thread.gather_word, thread.gather_bits)


cdef inline void remote_bits_make(pool_t *pool, slab_t *slab) noexcept nogil:
    """Every granule has its place behind the descriptors. Until it is needed its pages are not touched."""
    cdef uint64_t place
    if atomic_load_ptr(<void **>&slab.remote_bits) == NULL:
        place = <uint64_t>(pool.descriptors + pool.granule_count) + granule_of(pool, slab) * REMOTE_BITS_BYTES
        os_lock(&pool.arena_lock)       # stored once, so that others need not be careful when they read it
        if slab.remote_bits == NULL:
            atomic_store_ptr(<void **>&slab.remote_bits, <void *>place)
        os_unlock(&pool.arena_lock)


cdef void remote_gather(slab_t *slab, uint32_t index) noexcept nogil:
    """The record is REMOTE and the bitmap there. Up to 32 bits of one word are published together."""
    cdef thread_t *thread = thread_here()
    cdef uint32_t word = index >> 6
    cdef uint64_t bit = <uint64_t>1 << (index & 63)
    if thread == NULL:
        remote_publish(slab, word, bit)
        return
    if thread.gather_slab != slab or thread.gather_word != word:
        gather_publish(thread)
        thread.gather_word = word
        thread.gather_bits = 0
        thread.gather_slab = slab
    if rarely(thread.gather_bits & bit):
        late_add(slab.heap, 1)
    thread.gather_bits |= bit
    thread.gather_count += 1
    if thread.gather_count == GATHER_MAX:
        gather_publish(thread)


cdef void slab_collect(slab_t *slab) noexcept nogil:
    """Takes back what other threads freed of a slab that the caller's heap owns; may give the slab back."""
    cdef uint32_t words = (<uint32_t>slab.block_count + 63) >> 6
    cdef uint32_t word, index
    cdef uint64_t bits
    cdef bint is_any = False
    for word in range(words):
        if atomic_load_u64(slab.remote_bits + word) == 0:
            continue
        bits = atomic_exchange_u64(slab.remote_bits + word, 0)
        while bits:
            index = word * 64 + bits_lowest(bits)
            bits &= bits - 1
            if index < slab.carved and (record_load(slab.records + index) & RECORD_STATE) == RECORD_REMOTE:
                slab_put(slab, index)
                is_any = True
            else:
                late_add(slab.heap, 1)
    if is_any:
        slab_settle(slab)


cdef uint64_t bits_drain(slab_t *slab) noexcept nogil:
    """Clears the remote bitmap of a granule that is no slab; how many bits it had."""
    cdef uint64_t count = 0
    cdef uint64_t *bits = <uint64_t *>atomic_load_ptr(<void **>&slab.remote_bits)
    cdef uint32_t word
    if bits == NULL:
        return 0
    for word in range(REMOTE_BITS_BYTES // 8):
        if atomic_load_u64(bits + word):
            count += bits_count(atomic_exchange_u64(bits + word, 0))
    return count


cdef uint64_t late_bits_take(pool_t *pool, slab_t *slab) noexcept nogil:
    """The same for a granule that was a slab when it was queued. It may be one again by now: then its owner is told."""
    cdef uint64_t count = 0
    cdef heap_t *owner = NULL
    os_lock(&pool.arena_lock)
    if slab.kind != KIND_SLAB:
        count = bits_drain(slab)
    else:
        owner = slab.heap
    os_unlock(&pool.arena_lock)
    if owner != NULL:
        remote_notify(slab, owner)
    return count


cdef void heap_collect(heap_t *heap) noexcept nogil:
    cdef slab_t *slab
    cdef slab_t *rest
    if atomic_load_ptr(<void **>&heap.remote) == NULL:
        return
    rest = <slab_t *>atomic_exchange_ptr(<void **>&heap.remote, NULL)
    while rest != NULL:
        slab = rest
        rest = slab.remote_next
        atomic_exchange_u32(&slab.remote_queued, 0)
        if atomic_load_u8(&slab.kind) != KIND_SLAB:
            late_add(heap, late_bits_take(heap.pool, slab))
        elif atomic_load_ptr(<void **>&slab.heap) == heap:
            slab_collect(slab)
        else:
            # Queued by a racing double free while it was this heap's; its owner must still hear of it.
            remote_notify(slab, slab.heap)
