# ---- Fork ---------------------------------------------------------------------------------------------------
# The parent's locks are held across the fork, so arenas are whole in the child. Its other threads are gone, and
# each may have been between two stores: what their heaps keep is rebuilt from the records alone, which are
# written in one store each.

cdef void fork_before() noexcept nogil:
    cdef uint32_t i
    cdef thread_t *thread = thread_here()
    if thread != NULL:
        gather_publish(thread)
    os_lock(&state_lock)
    for i in range(pool_count):
        if pools[i].is_open and not pools[i].is_closed:
            os_lock(&pools[i].heap_lock)
            os_lock(&pools[i].arena_lock)


cdef void fork_unlock() noexcept nogil:
    cdef uint32_t i
    for i in range(pool_count):
        if pools[i].is_open and not pools[i].is_closed:
            os_unlock(&pools[i].arena_lock)
            os_unlock(&pools[i].heap_lock)
    os_unlock(&state_lock)


cdef void fork_in_child() noexcept nogil:
    global threads, free_threads
    cdef thread_t *mine = thread_here()
    cdef thread_t *thread
    cdef thread_t *rest = threads
    cdef uint32_t i
    threads = mine
    while rest != NULL:
        thread = rest
        rest = thread.next
        if thread != mine:
            memset(thread, 0, sizeof(thread_t))
            thread.next = free_threads
            free_threads = thread
    if mine != NULL:
        mine.next = NULL
        mine.id = os_thread_id()
    fork_unlock()
    for i in range(pool_count):
        if pools[i].is_open and not pools[i].is_closed:
            pool_rebuild(pools[i], mine)
            if mine == NULL or mine.callbacks == 0:
                pool_calm(pools[i])


cdef void pool_calm(pool_t *pool) noexcept nogil:
    """In a fork's child that is in no callback: whatever was inside one, or on its way to it, is gone."""
    cdef uint64_t granule = 0
    cdef uint64_t count
    cdef slab_t *slab
    if pool.config.calls != NULL:
        pool.config.calls[0] = 0
        pool.config.callback_depth[0] = 0
    if not pool.is_locked:
        return
    pool.live_blocks -= pool.pending_blocks
    pool.live_bytes -= pool.pending_bytes
    pool.pending_blocks = 0
    pool.pending_bytes = 0
    while granule < pool.top:
        slab = granule_at(pool, granule)
        count = slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1
        if slab.kind == KIND_TAKEN:
            meta_free(pool, slab.tags, sizeof(tag_t))
            slab.tags = NULL
            arena_give(pool, granule, count)
        granule += count


cdef void pool_rebuild(pool_t *pool, thread_t *mine) noexcept nogil:
    """In a fork's child, where no other thread runs."""
    cdef heap_t *heap = pool.heaps
    cdef slab_t *slab
    cdef uint64_t granule = 0
    cdef uint32_t i
    cdef uint32_t calls = 0 if mine == NULL else times_inside(mine.in_callback, pool)
    pool.abandoned = NULL
    # Calls of vanished threads come to no end. What such a restore had mapped stays mapped.
    os_condition_init(&pool.settled)
    if calls == 0 or pool.restoring != RESTORE_RUNS:
        pool.restoring = RESTORE_NONE
    pool.map_calls = calls if pool.restoring == RESTORE_NONE else 0
    pool.open_calls = 0 if mine == NULL else times_inside(mine.in_open_call, pool)
    while heap != NULL:
        heap.remote = NULL
        if heap != pool.shared_heap and (heap.thread != mine or mine == NULL):
            for i in range(CLASS_MAX):
                heap.current[i] = &slab_none
                heap.fast[i] = &slab_none
                heap.partial[i] = NULL
                heap.empty[i] = NULL
            heap.empty_mask[0] = 0
            heap.empty_mask[1] = 0
            heap.empty_count = 0
            heap.slab_count = 0
            heap.front_count = 0
            heap.top.record = &record_none
            heap_abandon(pool, heap)
        heap = heap.next_in_pool
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_RUN and run_record(slab)[0] & RECORD_STATE == 0:
            # Its thread had made the record free and was about to give the granules back.
            hold_kill(slab, 0)
            i = slab.granules
            run_release(pool, slab)
            granule += i
            continue
        if slab.kind == KIND_TAKEN and not pool.is_locked:
            i = slab.granules
            arena_give(pool, granule, i)
            granule += i
            continue
        if slab.kind == KIND_SLAB:
            slab.remote_queued = 0
            if slab.remote_bits != NULL:
                memset(slab.remote_bits, 0, REMOTE_BITS_BYTES)
            if slab.heap.is_abandoned:
                slab_rebuild(slab)
            else:
                for i in range(slab.carved):
                    if slab.records[i] & RECORD_STATE == RECORD_REMOTE:
                        if slab.holders != NULL:
                            hold_kill(slab, i)
                        slab_return(slab, i)
        granule += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1


cdef void slab_rebuild(slab_t *slab) noexcept nogil:
    """Free list, counts and place from the records; the heap's lists hold only rebuilt slabs."""
    cdef heap_t *heap = slab.heap
    cdef uint32_t live = 0
    cdef uint32_t head = LINK_NONE
    cdef uint32_t i = slab.carved
    cdef uint32_t record
    if slab.place == PLACE_EMPTY:
        used_add(slab, slab.carved)
    while i:
        i -= 1
        record = slab.records[i]
        if record & RECORD_STATE and record & RECORD_STATE != RECORD_REMOTE:
            live += 1
        else:
            if record & RECORD_STATE and slab.holders != NULL:
                hold_kill(slab, i)      # its thread was about to
            slab.records[i] = head | (record & RECORD_VIRGIN if not record & RECORD_STATE else 0)
            head = i
    slab.head = head
    slab.freed = LINK_NONE
    slab.frees = <uint32_t>slab.total - live
    heap.slab_count += 1
    slab.next = NULL
    slab.prev = NULL
    if head == LINK_NONE and slab.carved < slab.block_count:
        slab_carve(slab)
        head = slab.head
    if live == 0:
        slab.owner = slab_fast_owner(slab)
        heap_keep_empty(heap, slab)
    elif head == LINK_NONE:
        slab.place = PLACE_FULL
        slab.owner = slab_full_owner(slab)
    else:
        slab.place = PLACE_PARTIAL
        slab.owner = slab_fast_owner(slab)
        list_push(&heap.partial[slab.size_class], slab)
