# ---- What this thread's heap is, looked up in this module's thread-local storage -----------------------

cdef heap_t *heap_in_slot(pool_t *pool) noexcept nogil:
    return <heap_t *>thread_heap_at(pool.slot_offset)


cdef inline uint64_t pool_alloc(pool_t *pool, uint64_t size) noexcept nogil:
    """A block of `size` bytes, or 0. Any thread."""
    return heap_alloc(<heap_t *>thread_heap_at(pool.slot_offset), pool, size)


cdef inline int pool_free(pool_t *pool, uint64_t address) noexcept nogil:
    """Frees what `address` is; the verdict. Any thread, any value."""
    return heap_free(<heap_t *>thread_heap_at(pool.slot_offset), pool, address)


# ---- Realloc and batches ------------------------------------------------------------------------------

cdef void open_call_begin(pool_t *pool, inside_t *inside) noexcept nogil:
    """Before the heap lock is let go in a call that will take it again: a restore waits for its end."""
    cdef thread_t *thread = thread_here()
    pool.open_calls += 1
    inside.pool = pool
    inside.outer = NULL         # there may be memory for the thread's record by the call's end
    if thread != NULL:
        inside.outer = thread.in_open_call
        thread.in_open_call = inside


cdef void open_call_end(pool_t *pool, inside_t *inside) noexcept nogil:
    cdef thread_t *thread = thread_here()
    os_lock(&pool.heap_lock)
    if thread != NULL:
        thread.in_open_call = inside.outer
    if pool.open_calls:         # 0: a fork meanwhile, whose child counts anew
        pool.open_calls -= 1
    os_wake(&pool.settled)
    os_unlock(&pool.heap_lock)


cdef int resize_in_place(pool_t *pool, slab_t *slab, uint32_t index, uint32_t record, uint64_t size) noexcept nogil:
    """1: done; 0: it must move; -1: a limit stands in the way."""
    cdef uint64_t was = block_size(slab, record)
    cdef uint32_t changed
    cdef credit_t credit
    if pool.config.guard_every or pool.config.is_filled or pool.quarantine_capacity:
        return 0
    if slab.kind == KIND_SLAB:
        if size > slab.block_bytes or (size < slab.block_bytes >> 1 and class_for(pool, size, 0) != slab.size_class):
            return 0
    elif size <= pool.small_max:
        return 0
    if pool.is_locked:
        if size > was and locked_limit(pool, size - was, 0) != REFUSAL_NONE:
            return -1
    elif pool.is_counted and size > was and credit_take(pool, size - was, 0, &credit) != REFUSAL_NONE:
        return -1
    if slab.kind == KIND_RUN:
        if not run_resize(pool, slab, size):
            if pool.is_counted and size > was:
                credit_give(pool, size - was, 0)
            return 0
        if size > was:
            used_raise(pool, 0, size - was)
        else:
            used_lower(pool, 0, was - size)
    else:
        changed = (record & RECORD_STATE) | <uint32_t>size
        if is_owner(pool, slab):
            record_store(slab.records + index, changed)
        elif not atomic_cas_u32(slab.records + index, record, changed):
            if pool.is_counted and size > was:
                credit_give(pool, size - was, 0)
            return 0
    if pool.is_locked:
        pool.live_bytes += size - was
        locked_peak(pool)
    elif pool.is_counted and size > was:
        credit_use(pool, &credit)
    elif pool.is_counted:
        credit_give(pool, was - size, 0)
    return 1


cdef int copy_call(pool_t *pool, uint64_t to_address, uint64_t from_address, uint64_t size) noexcept nogil:
    """on_copy, with no lock held."""
    cdef thread_t *thread = thread_here()
    cdef int answer
    if thread != NULL:
        thread.callbacks += 1
    answer = pool.config.on_copy(pool.config.context, to_address, from_address, size)
    if thread != NULL:
        thread.callbacks -= 1
    return answer


cdef int copy_locked(pool_t *pool, uint64_t moved, uint64_t address, hold_t *hold, uint32_t record, uint64_t was,
                     uint64_t size) noexcept nogil:
    """Copies what realloc moves, where there is memory. The lock was let go since the old block had this record and
    size: a callback or another thread may have freed either block, or taken a view, and guard pages may lie there now.
    That the old one was also given out again is seen when it was given to this call, and by its Buffer."""
    cdef slab_t *slab
    cdef uint32_t index
    cdef int verdict
    os_lock(&pool.heap_lock)
    if pool.is_closed:
        os_unlock(&pool.heap_lock)
        return VERDICT_CLOSED
    verdict = block_find(pool, address, &slab, &index)
    if moved == address or hold != NULL and hold.slab == NULL:
        verdict = VERDICT_DOUBLE
    if verdict == VERDICT_LIVE and (record_at(slab, index)[0] != record or block_size(slab, record) != was):
        verdict = VERDICT_EXPORTED if record_at(slab, index)[0] & RECORD_STATE == RECORD_EXPORTED else VERDICT_DOUBLE
    if verdict == VERDICT_LIVE and has_memory(pool):
        if block_find(pool, moved, &slab, &index) == VERDICT_LIVE and is_live_state(record_at(slab, index)[0]):
            memcpy(<void *>moved, <void *>address, size)
    os_unlock(&pool.heap_lock)
    return verdict


cdef uint64_t realloc_move(pool_t *pool, uint64_t address, hold_t *hold, hold_t *to_hold, uint64_t was, uint32_t record,
                           uint64_t size, uint32_t tag, int *verdict, int *refusal) noexcept nogil:
    """A block that does not fit goes to another; `was` and `record` are its size and record. As realloc_any."""
    cdef uint64_t copied = size if size < was else was
    cdef uint64_t moved = alloc_any(pool, size, 0, 0, tag, to_hold, refusal)
    if moved == 0:
        return 0
    if pool.is_locked:
        verdict[0] = copy_locked(pool, moved, address, hold, record, was, copied)
    else:
        memcpy(<void *>moved, <void *>address, copied)
    if verdict[0] == VERDICT_LIVE and pool.config.backing == BACKING_SPACE and pool.config.on_copy != NULL:
        if copy_call(pool, moved, address, copied) != 0 or pool_verdict_of(pool, moved) != VERDICT_LIVE:
            # on_copy refused, or freed what it was to copy to.
            free_any(pool, moved, 0)
            refusal[0] = REFUSAL_MEMORY
            return 0
    if verdict[0] == VERDICT_LIVE:
        verdict[0] = free_locked(pool, address, hold, 0) if pool.is_locked else free_any(pool, address, 0)
    if verdict[0] != VERDICT_LIVE:
        # The old block was lost to a racing free, or its slack was overwritten.
        free_any(pool, moved, 0)
        return 0
    return moved


cdef uint64_t realloc_any(pool_t *pool, uint64_t address, hold_t *hold, hold_t *to_hold, uint64_t size, int *verdict,
                          int *refusal) noexcept nogil:
    """`hold` is NULL for an address; then a HELD block is moved away from under its Buffer, which is dead."""
    cdef slab_t *slab
    cdef uint32_t index, state
    cdef uint32_t record = 0
    cdef uint32_t *place
    cdef uint8_t kind
    cdef uint64_t tag = 0
    cdef uint64_t was = 0
    cdef int done = 0
    cdef inside_t inside
    verdict[0] = VERDICT_LIVE
    refusal[0] = REFUSAL_NONE
    if pool.is_closed:
        verdict[0] = VERDICT_CLOSED
        return 0
    if pool.is_locked:
        if thread_in_callback(pool):
            refusal[0] = REFUSAL_CALLBACK
            return 0
        os_lock(&pool.heap_lock)
        if is_put_off(pool):
            os_unlock(&pool.heap_lock)
            refusal[0] = REFUSAL_RESTORE
            return 0
        if pool.is_closed:
            os_unlock(&pool.heap_lock)
            verdict[0] = VERDICT_CLOSED
            return 0
    verdict[0] = block_find(pool, address, &slab, &index)
    if hold != NULL and hold.slab == NULL:
        verdict[0] = VERDICT_DOUBLE     # since it was looked at without the lock
    if verdict[0] == VERDICT_LIVE:
        kind = atomic_load_u8(&slab.kind)
        record = atomic_load_u32(record_place(slab, kind, index))
        verdict[0] = record_verdict(pool, slab, index, record, 0)
        if record & RECORD_STATE == RECORD_EXPORTED:
            verdict[0] = VERDICT_EXPORTED
        if not is_still(slab, kind, index, address):
            verdict[0] = VERDICT_DOUBLE
    if verdict[0] == VERDICT_LIVE:
        state = record & RECORD_STATE
        was = block_size(slab, record)
        if slab.tags != NULL:
            tag = slab.tags[index].tag
        done = resize_in_place(pool, slab, index, record, size)
        if done > 0:
            if state == RECORD_HELD:
                hold_kill(slab, index)
                if to_hold != NULL:
                    hold_make(slab, index, address, size, to_hold)
                else:
                    place = record_at(slab, index)
                    record_store(place, RECORD_LIVE | (record_load(place) & RECORD_SIZE))
        elif done < 0:
            refusal[0] = REFUSAL_LIMIT_BYTES
    if pool.is_locked:
        if verdict[0] == VERDICT_LIVE and done == 0:
            open_call_begin(pool, &inside)
        os_unlock(&pool.heap_lock)
    if verdict[0] != VERDICT_LIVE or done < 0:
        return 0
    if done == 0:
        address = realloc_move(pool, address, hold, to_hold, was, record, size, <uint32_t>tag, verdict, refusal)
        if pool.is_locked:
            open_call_end(pool, &inside)
    return address


cdef uint64_t pool_realloc(pool_t *pool, uint64_t address, uint64_t size, int *verdict, int *refusal) noexcept nogil:
    cdef int no_verdict, no_refusal
    return realloc_any(pool, address, NULL, NULL, size, &no_verdict if verdict == NULL else verdict,
                       &no_refusal if refusal == NULL else refusal)


cdef uint64_t pool_realloc_held(pool_t *pool, hold_t *hold, hold_t *to_hold, uint64_t size, int *verdict,
                                int *refusal) noexcept nogil:
    if hold.slab == NULL:
        verdict[0] = VERDICT_CLOSED if pool.is_closed else VERDICT_DOUBLE
        refusal[0] = REFUSAL_NONE
        return 0
    return realloc_any(pool, hold.address, hold, to_hold, size, verdict, refusal)


cdef int pool_many_refusal(pool_t *pool, uint64_t size, uint64_t count) noexcept nogil:
    """The limit that `count` blocks of `size` bytes cannot keep, unless somebody frees meanwhile."""
    if not pool.is_policed or pool.is_closed or pool.config.on_low_memory != NULL:
        return REFUSAL_NONE
    if pool.config.limit_blocks - pool.live_blocks < count:
        return REFUSAL_LIMIT_BLOCKS
    if size and (pool.config.limit_bytes - pool.live_bytes) // size < count:
        return REFUSAL_LIMIT_BYTES
    return REFUSAL_NONE


cdef void pool_forget_allocs(pool_t *pool, uint64_t count, uint64_t peak_blocks, uint64_t peak_bytes) noexcept nogil:
    """After `count` allocations were undone by as many frees: as if they had never been, peaks too."""
    cdef heap_t *heap = heap_here(pool)
    if heap == NULL or count == 0:
        return
    if pool.is_locked:
        os_lock(&pool.heap_lock)
    heap.retired_total -= count
    if pool.is_counted or pool.is_locked:
        # What other threads have live by now is above the old peak, perhaps.
        atomic_store_u64(&pool.peak_blocks, peak_blocks)
        atomic_store_u64(&pool.peak_bytes, peak_bytes)
        peak_raise(&pool.peak_blocks, atomic_load_u64(&pool.live_blocks))
        peak_raise(&pool.peak_bytes, atomic_load_u64(&pool.live_bytes))
    if pool.is_locked:
        os_unlock(&pool.heap_lock)


cdef uint64_t pool_alloc_many(pool_t *pool, uint64_t size, uint64_t count, uint64_t *addresses,
                              int *refusal) noexcept nogil:
    cdef uint64_t done
    cdef inside_t inside
    if not pool.is_locked:
        return alloc_each(pool, size, count, addresses, refusal)
    if thread_in_callback(pool):
        refusal[0] = REFUSAL_CALLBACK
        return 0
    os_lock(&pool.heap_lock)
    if is_put_off(pool):
        os_unlock(&pool.heap_lock)
        refusal[0] = REFUSAL_RESTORE
        return 0
    open_call_begin(pool, &inside)
    os_unlock(&pool.heap_lock)
    done = alloc_each(pool, size, count, addresses, refusal)
    open_call_end(pool, &inside)
    return done


cdef uint64_t alloc_each(pool_t *pool, uint64_t size, uint64_t count, uint64_t *addresses, int *refusal) noexcept nogil:
    cdef uint64_t i, done
    cdef uint64_t peak_blocks = pool.peak_blocks
    cdef uint64_t peak_bytes = pool.peak_bytes
    refusal[0] = pool_many_refusal(pool, size, count)
    if refusal[0] != REFUSAL_NONE:
        return 0
    for i in range(count):
        addresses[i] = heap_alloc_counted(heap_now(pool), pool, size)
        if addresses[i] == 0:
            addresses[i] = alloc_any(pool, size, 0, 0, 0, NULL, refusal)
        if addresses[i] == 0:
            done = i
            while i:
                i -= 1
                free_any(pool, addresses[i], 0)
            pool_forget_allocs(pool, done, peak_blocks, peak_bytes)
            return 0
    return count


cdef uint64_t pool_free_many(pool_t *pool, const uint64_t *addresses, uint64_t count, int *verdicts) noexcept nogil:
    cdef uint64_t i
    cdef uint64_t good = 0
    cdef int verdict
    for i in range(count):
        verdict = heap_free_counted(heap_now(pool), pool, addresses[i])
        if verdict == VERDICT_LIVE:
            good += 1
        if verdicts != NULL:
            verdicts[i] = verdict
    return good


# The functions of Pool.c_functions(): what a C program calls through pointers.

cdef void *pool_c_alloc(void *pool, size_t size) noexcept nogil:
    return <void *>pool_alloc(<pool_t *>pool, size)


cdef int pool_c_free(void *pool, void *block) noexcept nogil:
    return pool_free(<pool_t *>pool, <uint64_t>block)


cdef void *realloc_slow(pool_t *pool, uint64_t address, uint64_t size) noexcept nogil:
    cdef int verdict, refusal
    if address == 0:
        return <void *>pool_alloc(pool, size)
    return <void *>realloc_any(pool, address, NULL, NULL, size, &verdict, &refusal)


cdef inline uint64_t realloc_room(pool_t *pool, uint64_t was, uint64_t size) noexcept nogil:
    """What to make room for when a block of `was` bytes must move: what grew once grows again, and a quarter more
    spares most copies. In a recorded redis the copies were half of all cache misses."""
    cdef uint64_t room = was + (was >> 2)
    if size <= was or was < REALLOC_ROOM_FROM or room <= size:
        return size
    return room if room < pool.small_max else pool.small_max


cdef void *pool_c_realloc(void *handle, void *block, size_t size) noexcept nogil:
    """realloc as C has it: NULL allocates; NULL back leaves the old block as it was. Fast from one class of this
    thread's heap to another: a fifth of some programs' calls are such growing reallocations."""
    cdef pool_t *pool = <pool_t *>handle
    cdef uint64_t address = <uint64_t>block
    cdef heap_t *heap = <heap_t *>thread_heap_at(pool.slot_offset)
    cdef uint64_t offset = address - pool.base
    cdef uint64_t moved, copied, place
    cdef slab_t *slab
    cdef slab_t *to_slab
    cdef uint64_t index
    cdef uint32_t record, size_class
    if rarely(heap.pool != pool or offset >= pool.fast_span or size > pool.small_max):
        return realloc_slow(pool, address, size)
    slab = &pool.descriptors[offset >> GRANULE_SHIFT]
    if rarely(slab.owner != heap):
        return realloc_slow(pool, address, size)
    if rarely(not divides(offset & (GRANULE_BYTES - 1), slab.reciprocal, &index)):
        return realloc_slow(pool, address, size)
    record = record_load(slab.records + index)
    if rarely(not record & RECORD_LIVE):
        return realloc_slow(pool, address, size)
    if size <= slab.block_bytes and size >= slab.block_bytes >> 1:
        record_store(slab.records + index, RECORD_LIVE | <uint32_t>size)
        return block
    copied = record & RECORD_SIZE
    size_class = pool.class_of[(realloc_room(pool, copied, size) + (ALIGNMENT - 1)) >> ALIGNMENT_SHIFT]
    if rarely(size_class == slab.size_class):
        # The smallest class there is. A refill of it could also call this very slab full.
        record_store(slab.records + index, RECORD_LIVE | <uint32_t>size)
        return block
    to_slab = heap.fast[size_class]
    if rarely(not slab_has_free(to_slab)):
        to_slab = heap_refill(pool, heap, size_class)
        if to_slab == NULL or to_slab.tags != NULL:
            return realloc_slow(pool, address, size)
    moved = slab_take(to_slab, RECORD_LIVE | <uint32_t>size)
    if size < copied:
        copied = size
    if copied <= 128:
        # Capacities divide by 16, so whole pieces may be copied: cheaper than a call.
        place = 0
        while place < copied:
            memcpy(<void *>(moved + place), <void *>(address + place), ALIGNMENT)
            place += ALIGNMENT
    else:
        memcpy(<void *>moved, block, copied)
    if rarely(slab_put(slab, <uint32_t>index)):
        slab_emptied_slow(slab)
    return <void *>moved


cdef void *pool_c_calloc(void *pool, size_t count, size_t size) noexcept nogil:
    cdef int refusal
    cdef uint64_t address
    if size and count > UINT64_MAX // size:
        return NULL
    if (<pool_t *>pool).is_policed:
        return <void *>alloc_any(<pool_t *>pool, count * size, 0, ALLOC_ZERO, 0, NULL, &refusal)
    address = pool_alloc(<pool_t *>pool, count * size)
    if address:
        memset(<void *>address, 0, count * size)
    return <void *>address


cdef void *pool_c_aligned(void *pool, size_t alignment, size_t size) noexcept nogil:
    cdef int refusal
    return <void *>alloc_any(<pool_t *>pool, size, alignment, 0, 0, NULL, &refusal)
