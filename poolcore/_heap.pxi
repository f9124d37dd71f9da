# ---- Threads and heaps ----------------------------------------------------------------------------

cdef thread_t *thread_here() noexcept nogil:
    """This thread's, made on first use; NULL once its destructors ran, or without memory."""
    global threads, free_threads
    cdef thread_t *thread = <thread_t *>thread_heap_at(thread_slot(THREAD_SLOT))
    if <char *>thread != thread_no_heap:
        return NULL if thread == &thread_ended else thread
    os_lock(&state_lock)
    thread = free_threads
    if thread != NULL:
        free_threads = thread.next
        memset(thread, 0, sizeof(thread_t))
    else:
        thread = <thread_t *>state_alloc(sizeof(thread_t))
    if thread != NULL:
        thread.next = threads
        threads = thread
        thread.id = os_thread_id()
    os_unlock(&state_lock)
    if thread != NULL:
        thread_heap_set(thread_slot(THREAD_SLOT), thread)
        os_thread_key_set(thread)
    return thread


cdef uint32_t thread_id_here() noexcept nogil:
    """The system's number of this thread. It is asked once: a pair with Events took 560 ns and asked three times."""
    cdef thread_t *thread = thread_here()
    return <uint32_t>(os_thread_id() if thread == NULL else thread.id)


cdef void heap_init(heap_t *heap, pool_t *pool) noexcept nogil:
    cdef uint32_t i
    heap_t_clear(heap)
    heap.top.record = &record_none
    for i in range(CLASS_MAX):
        heap.current[i] = &slab_none
        heap.fast[i] = &slab_none


cdef void heap_t_clear(heap_t *heap) noexcept nogil:
    cdef heap_t *next_in_thread = heap.next_in_thread
    cdef thread_t *thread = heap.thread
    memset(heap, 0, sizeof(heap_t))
    heap.next_in_thread = next_in_thread
    heap.thread = thread


cdef heap_t *heap_new() noexcept nogil:
    global free_heaps
    cdef heap_t *heap
    os_lock(&state_lock)
    heap = free_heaps
    if heap != NULL:
        free_heaps = heap.next_abandoned
        memset(heap, 0, sizeof(heap_t))
    else:
        heap = <heap_t *>state_alloc(sizeof(heap_t))
    os_unlock(&state_lock)
    return heap


cdef heap_t *heap_adopt(pool_t *pool) noexcept nogil:
    """A heap whose thread ended, taken off the pool's list; NULL: there is none."""
    cdef heap_t *heap
    if atomic_load_ptr(<void **>&pool.abandoned) == NULL:
        return NULL
    os_lock(&pool.arena_lock)
    heap = pool.abandoned
    if heap != NULL:
        atomic_store_ptr(<void **>&pool.abandoned, heap.next_abandoned)
        heap.is_abandoned = 0
    os_unlock(&pool.arena_lock)
    return heap


cdef void heap_abandon(pool_t *pool, heap_t *heap) noexcept nogil:
    os_lock(&pool.arena_lock)
    heap.thread = NULL
    heap.next_in_thread = NULL
    heap.is_abandoned = 1
    heap.next_abandoned = pool.abandoned
    atomic_store_ptr(<void **>&pool.abandoned, heap)
    os_unlock(&pool.arena_lock)


cdef void heap_join(pool_t *pool, heap_t *heap) noexcept nogil:
    """A fresh heap becomes one of the pool's."""
    heap_init(heap, pool)
    os_lock(&pool.arena_lock)
    heap.next_in_pool = pool.heaps
    pool.heaps = heap
    atomic_store_ptr(<void **>&heap.pool, pool)
    os_unlock(&pool.arena_lock)


cdef heap_t *heap_here(pool_t *pool) noexcept nogil:
    """This thread's heap of the pool, made on first use. NULL: the thread has ended, or no memory."""
    cdef heap_t *heap
    cdef heap_t *unused = NULL
    cdef thread_t *thread
    if pool.is_locked:
        return pool.shared_heap
    heap = <heap_t *>thread_heap_at(pool.slot_offset)
    if heap.pool == pool:
        return heap
    thread = thread_here()
    if thread == NULL or pool.is_closed:
        return NULL
    heap = thread.heaps
    while heap != NULL:
        if heap.pool == pool:
            thread_heap_set(pool.slot_offset, heap)
            return heap
        if heap.pool == NULL:
            unused = heap
        heap = heap.next_in_thread
    heap = heap_adopt(pool)
    if heap == NULL:
        heap = unused
        if heap == NULL:
            heap = heap_new()
            if heap == NULL:
                return NULL
            heap.thread = thread
            heap.next_in_thread = thread.heaps
            thread.heaps = heap
        heap_join(pool, heap)
    else:
        heap.thread = thread
        heap.next_in_thread = thread.heaps
        thread.heaps = heap
    thread_heap_set(pool.slot_offset, heap)
    return heap


cdef heap_t *heap_or_none(pool_t *pool) noexcept nogil:
    cdef heap_t *heap = heap_here(pool)
    return <heap_t *>thread_no_heap if heap == NULL else heap


cdef void thread_end(void *data) noexcept nogil:
    """Destructor of the process' one key: the thread's heaps wait for others to take them over."""
    global threads, free_threads, free_heaps
    cdef thread_t *thread = <thread_t *>data
    cdef thread_t **place
    cdef heap_t *heap
    cdef heap_t *rest
    cdef uint32_t i
    gather_publish(thread)
    os_lock(&state_lock)
    rest = thread.heaps
    while rest != NULL:
        heap = rest
        rest = heap.next_in_thread
        if heap.pool != NULL:
            heap_collect(heap)
            heap_abandon(heap.pool, heap)
        else:
            heap.thread = NULL
            heap.next_abandoned = free_heaps
            free_heaps = heap
    place = &threads
    while place[0] != NULL and place[0] != thread:
        place = &place[0].next
    if place[0] == thread:
        place[0] = thread.next
    thread.heaps = NULL
    thread.next = free_threads
    free_threads = thread
    os_unlock(&state_lock)
    for i in range(1, SLOT_COUNT + 1):
        thread_heap_set(thread_slot(i), thread_no_heap)
    thread_heap_set(thread_slot(THREAD_SLOT), &thread_ended)


cdef void heap_release_empty(pool_t *pool, heap_t *heap, bint with_current) noexcept nogil:
    """Collects, then gives every empty slab back to the arena. The caller owns the heap."""
    cdef slab_t *slab
    cdef uint32_t i
    heap_collect(heap)
    front_spill(heap)
    while True:
        slab = heap_any_empty(heap)
        if slab == NULL:
            break
        heap_unkeep_empty(heap, slab)
        heap_retire(pool, slab)
    if with_current:
        for i in range(pool.class_count):
            slab = heap.current[i]
            if slab != &slab_none and slab_live(slab) == 0:
                heap.current[i] = &slab_none
                heap.fast[i] = &slab_none
                heap_retire(pool, slab)


cdef void pool_reclaim(pool_t *pool) noexcept nogil:
    """Gives back what stands empty in heaps without a thread."""
    cdef heap_t *heap
    cdef heap_t *done = NULL
    while True:
        heap = heap_adopt(pool)
        if heap == NULL:
            break
        heap_release_empty(pool, heap, True)
        heap.next_in_thread = done
        done = heap
    while done != NULL:
        heap = done
        done = heap.next_in_thread
        heap_abandon(pool, heap)


# ---- Refill -------------------------------------------------------------------------------------

cdef slab_t *heap_fresh_once(pool_t *pool, heap_t *heap, uint32_t size_class, bint is_guarded) noexcept nogil:
    cdef slab_t *slab
    cdef int64_t granule
    cdef bint is_formatted, is_fresh
    slab = heap_any_empty(heap)
    if slab != NULL:
        # An empty slab of another class is warmer than a new granule.
        heap_unkeep_empty(heap, slab)
        os_lock(&pool.arena_lock)
        slab_unformat(pool, slab)
        granule = granule_of(pool, slab)
    else:
        os_lock(&pool.arena_lock)
        granule = arena_take(pool, 1, pool.granule_bytes)
        if granule < 0:
            os_unlock(&pool.arena_lock)
            return NULL
        slab = granule_at(pool, granule)
    if pool.config.backing == BACKING_SPACE:
        os_unlock(&pool.arena_lock)
        if is_guarded:
            space_unback(pool, granule, 1)
            is_formatted = True
        else:
            is_formatted = space_back(pool, granule, 1)
        os_lock(&pool.arena_lock)
    else:
        is_fresh = not slab.flags & FLAG_BACKED
        is_formatted = arena_back_pages(pool, granule, 1, slab.was)
        if is_formatted and is_fresh and pool.config.is_filled:
            # Trimmed: the pattern of blocks that were freed before went with the pages.
            memset(<void *>granule_address(pool, granule), pool.config.fill_free, pool.granule_bytes)
    is_formatted = is_formatted and slab_format(pool, heap, slab, size_class, is_guarded)
    if not is_formatted:
        arena_give(pool, granule, 1)
        slab = NULL
    os_unlock(&pool.arena_lock)
    return slab


cdef slab_t *heap_fresh(pool_t *pool, heap_t *heap, uint32_t size_class, bint is_guarded) noexcept nogil:
    """A newly formatted slab on no list, or NULL. May let the heap lock go."""
    cdef slab_t *slab
    if atomic_load_ptr(<void **>&pool.abandoned) != NULL:
        pool_reclaim(pool)
    slab = heap_fresh_once(pool, heap, size_class, is_guarded)
    if slab == NULL and not (pool.is_locked and thread_in_callback(pool)):
        heap_release_empty(pool, heap, True)
        slab = heap_fresh_once(pool, heap, size_class, is_guarded)
    return slab


cdef uint32_t times_inside(inside_t *inside, pool_t *pool) noexcept nogil:
    """How many of these calls are a pool's."""
    cdef uint32_t count = 0
    while inside != NULL:
        count += inside.pool == pool
        inside = inside.outer
    return count


cdef bint thread_in_callback(pool_t *pool) noexcept nogil:
    cdef thread_t *thread = thread_here()
    return thread != NULL and times_inside(thread.in_callback, pool) != 0


cdef slab_t *heap_refill(pool_t *pool, heap_t *heap, uint32_t size_class) noexcept nogil:
    """A current slab with a free block, or NULL. May let the heap lock go."""
    cdef slab_t *slab = heap.current[size_class]
    cdef slab_t *found
    cdef bint is_guarded = False
    heap_collect(heap)
    if slab != &slab_none and slab_refresh(slab):
        return slab
    if slab.carved < slab.block_count:
        slab_carve(slab)
        return slab
    found = heap.partial[size_class]
    if found != NULL:
        list_remove(&heap.partial[size_class], found)
        slab_refresh(found)
    elif heap.empty[size_class] != NULL and not pool.config.guard_every:
        found = heap.empty[size_class]
        heap_unkeep_empty(heap, found)
        slab_refresh(found)
    elif front_length(heap):
        front_spill(heap)
        return heap_refill(pool, heap, size_class)
    else:
        if pool.config.guard_every:
            pool.guard_count += 1
            is_guarded = pool.guard_count % pool.config.guard_every == 0
        found = heap_fresh(pool, heap, size_class, is_guarded)
        slab = heap.current[size_class]
        if slab != &slab_none and not slab_refresh(slab) and slab.carved < slab.block_count:
            slab_carve(slab)
        if slab != &slab_none and slab_has_free(slab):
            # Another thread came first while the lock was let go.
            if found != NULL:
                heap_keep_empty(heap, found)
            return slab
        if found == NULL:
            return NULL
    if slab != &slab_none:
        slab.place = PLACE_FULL
        slab.owner = slab_full_owner(slab)
    found.place = PLACE_CURRENT
    found.owner = slab_fast_owner(found)
    heap.current[size_class] = found
    assert_whole(check_slab(pool, found))
    heap.fast[size_class] = found if slab_fast_owner(found) != NULL else &slab_none
    return found
