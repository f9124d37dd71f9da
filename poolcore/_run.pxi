# ---- Runs -----------------------------------------------------------------------------------------
# Any granule of a run leads to the first in O(log n): the run after its first granule is split into
# aligned power-of-two pieces, and the first granule of each is KIND_RUN_PART and names the run (`granules`).
# Clearing lowest bits of a granule's number meets that piece's start before anything else that is used.
# So a run costs a few descriptors, however long.

cdef inline uint32_t *run_record(slab_t *slab) noexcept nogil:
    """Where a run's record stands. A stale free may look at it when the granule is a slab again: it finds the length
    of its blocks, which has no state, and which nothing changes while the slab stands."""
    return &slab.block_bytes


cdef inline uint32_t *record_place(slab_t *slab, uint8_t kind, uint32_t index) noexcept nogil:
    """Of a granule that was of this kind a moment ago. One of another kind has no record that is live."""
    if kind == KIND_SLAB:
        atomic_fence_loads()        # `index` was one of these records, or of shorter ones before them
        return <uint32_t *>atomic_load_ptr(<void **>&slab.records) + index
    return run_record(slab) if kind == KIND_RUN else &record_none


cdef inline uint32_t *record_at(slab_t *slab, uint32_t index) noexcept nogil:
    """The record of a slab's block or a run's."""
    return record_place(slab, slab.kind, index)


cdef inline uint64_t run_piece(uint64_t place, uint64_t end) noexcept nogil:
    """Granules of the aligned piece that starts at `place`."""
    cdef uint64_t step = place & (~place + 1)
    while place + step > end:
        step >>= 1
    return step


cdef void run_mark(pool_t *pool, uint64_t first, uint64_t count, uint8_t kind) noexcept nogil:
    cdef uint64_t place = first + 1
    cdef uint64_t end = first + count
    cdef uint64_t step
    while place < end:
        step = run_piece(place, end)
        atomic_store_u8(&granule_at(pool, place).kind, kind)
        if kind == KIND_RUN_PART:
            granule_at(pool, place).granules = <uint32_t>first
        place += step


cdef void run_remember(pool_t *pool, uint64_t first, uint64_t count) noexcept nogil:
    """For later, when it is free: that these granules of address space were inside a run. (Others know that from
    arena_back_pages.) A run that is mapped as one marks only its pieces, which say themselves what they are of."""
    cdef uint64_t end = first + count
    cdef uint64_t place, step
    cdef slab_t *slab
    for place in range(first + 1, end if count <= MAPPED_ALONE or end < pool.committed_top else pool.committed_top):
        slab = granule_at(pool, place)
        slab.was = KIND_RUN_PART if count <= MAPPED_ALONE else KIND_NONE     # no slab stood above committed_top
        slab.total = 0
    if count <= MAPPED_ALONE:
        return
    place = first + 1
    while place < end:
        step = run_piece(place, end)
        slab = granule_at(pool, place)
        slab.was = KIND_RUN_PART
        slab.base = granule_address(pool, first)
        slab.total = count << pool.granule_shift
        place += step


cdef slab_t *run_find(pool_t *pool, uint64_t granule) noexcept nogil:
    """The live run that `granule` is in, or NULL."""
    cdef uint64_t at = granule
    cdef uint64_t first
    cdef slab_t *slab
    while True:
        slab = granule_at(pool, at)
        if slab.kind == KIND_RUN_PART:
            # A caller without a lock may find any number there by now: then it finds no run here.
            first = slab.granules
            slab = granule_at(pool, first if first < granule else granule)
        if slab.kind == KIND_RUN:
            return slab if granule - granule_of(pool, slab) < slab.granules else NULL
        if slab.kind != KIND_NONE or at == 0:
            return NULL
        at &= at - 1


cdef bint is_in_former_run(pool_t *pool, uint64_t granule) noexcept nogil:
    """Whether a free granule was inside a run when it was last used. Of one that was mapped as one, as far as the
    mark of its piece still stands: it goes when that granule is used anew."""
    cdef uint64_t at = granule
    cdef slab_t *slab = granule_at(pool, at)
    if slab.was == KIND_RUN_PART:
        return True
    while at and pool.config.backing == BACKING_SPACE:
        at &= at - 1
        slab = granule_at(pool, at)
        if slab.was in (KIND_RUN, KIND_RUN_PART) and granule_address(pool, granule) - slab.base < slab.total:
            return True
    return False


cdef slab_t *run_take(pool_t *pool, heap_t *heap, uint64_t size, uint64_t alignment, uint32_t record,
                      bint is_tagged) noexcept nogil:
    """A run whose block has at least `size` bytes, or NULL. May let the heap lock go."""
    cdef bint is_guarded = False
    cdef uint64_t need = size + red_zone_bytes(pool)
    cdef uint64_t count
    cdef int64_t first
    cdef slab_t *slab
    cdef bint is_backed
    cdef tag_t *tags = NULL
    cdef int attempt
    if pool.config.guard_every:
        pool.guard_count += 1
        is_guarded = pool.guard_count % pool.config.guard_every == 0
        if is_guarded:
            if alignment > page_bytes:
                need += alignment - page_bytes
            need += page_bytes
    if need < size or need > pool.span or alignment > pool.span:
        return NULL
    count = (need + pool.granule_bytes - 1) >> pool.granule_shift
    if count == 0:
        count = 1
    if is_guarded or alignment < pool.granule_bytes:
        alignment = pool.granule_bytes
    for attempt in range(2):
        os_lock(&pool.arena_lock)
        if is_tagged:
            tags = <tag_t *>meta_alloc(pool, sizeof(tag_t))
        first = -1 if is_tagged and tags == NULL else arena_take(pool, count, alignment)
        if first >= 0:
            break
        meta_free(pool, tags, sizeof(tag_t))
        os_unlock(&pool.arena_lock)
        if attempt or heap == NULL:
            return NULL
        heap_release_empty(pool, heap, True)
        pool_reclaim(pool)
    if first < 0:
        return NULL
    slab = granule_at(pool, first)
    slab.tags = tags            # at once: should a fork leave this thread behind, pool_calm gives them back
    if pool.config.backing == BACKING_SPACE:
        os_unlock(&pool.arena_lock)
        if is_guarded:
            space_unback(pool, first, count)
            is_backed = space_call(pool, pool.config.on_map, granule_address(pool, first),
                                   (count << pool.granule_shift) - page_bytes) == 0
        else:
            is_backed = space_back(pool, first, count)
        os_lock(&pool.arena_lock)
    else:
        is_backed = arena_back_pages(pool, first, count, KIND_RUN_PART)
        if is_backed and is_guarded and pool.config.is_filled:
            # What lies before and behind the block may be trimmed blocks' memory, which lost its pattern.
            memset(<void *>granule_address(pool, first), pool.config.fill_free, count << pool.granule_shift)
        if is_backed and is_guarded:
            is_backed = os_protect(<void *>(granule_address(pool, first + count) - page_bytes), page_bytes)
    if not is_backed:
        meta_free(pool, tags, sizeof(tag_t))
        slab.tags = NULL
        arena_give(pool, first, count)
        os_unlock(&pool.arena_lock)
        return NULL
    slab.owner = NULL           # but `heap` stays: a late bit of the slab that was here before goes to its heap
    slab.base = granule_address(pool, first)
    slab.granules = <uint32_t>count
    slab.total = size
    slab.holders = NULL
    slab.block_count = 1
    slab.carved = 1
    slab.was = KIND_NONE
    if is_guarded:
        slab.flags |= FLAG_GUARDED
    run_mark(pool, first, count, KIND_RUN_PART)
    if pool.config.backing == BACKING_SPACE:
        run_remember(pool, first, count)
    record_store(run_record(slab), record)
    atomic_store_u8(&slab.kind, KIND_RUN)
    pool.run_total += 1
    used_raise(pool, 1, size)
    os_unlock(&pool.arena_lock)
    return slab


cdef void run_release(pool_t *pool, slab_t *slab) noexcept nogil:
    """Gives a run's granules back. Its record must be free: only one caller can have made it so."""
    cdef uint64_t first = granule_of(pool, slab)
    cdef uint64_t count = slab.granules
    cdef bint is_guarded = slab.flags & FLAG_GUARDED
    os_lock(&pool.arena_lock)
    used_lower(pool, 1, slab.total)
    run_mark(pool, first, count, KIND_NONE)
    atomic_store_u8(&slab.kind, KIND_TAKEN)
    slab.was = KIND_RUN
    slab.flags &= ~FLAG_GUARDED
    meta_free(pool, slab.tags, sizeof(tag_t))
    slab.tags = NULL
    slab.holders = NULL
    if is_guarded and pool.config.backing == BACKING_PAGES:
        os_unprotect(<void *>granule_address(pool, first), count << pool.granule_shift)
    if pool.config.backing == BACKING_SPACE and (is_guarded or count > MAPPED_ALONE):
        os_unlock(&pool.arena_lock)
        if not is_guarded:
            pool.backed_granules -= count
        space_call(pool, pool.config.on_unmap, granule_address(pool, first),
                   (count << pool.granule_shift) - (page_bytes if is_guarded else 0))
        os_lock(&pool.arena_lock)
    arena_give(pool, first, count)
    os_unlock(&pool.arena_lock)


cdef bint run_resize(pool_t *pool, slab_t *slab, uint64_t size) noexcept nogil:
    """In place: gives the tail back, or takes what follows. False: it must move."""
    cdef uint64_t first = granule_of(pool, slab)
    cdef uint64_t count = slab.granules
    cdef uint64_t need = (size + pool.granule_bytes - 1) >> pool.granule_shift
    cdef uint64_t end = first + count
    cdef uint64_t more, room
    cdef slab_t *near
    if need < size >> pool.granule_shift or size > pool.span or slab.flags & FLAG_GUARDED:
        return False
    if need == 0:
        need = 1
    if need == count:
        slab.total = size
        return True
    if pool.config.backing == BACKING_SPACE:
        return False
    if need < count:
        os_lock(&pool.arena_lock)
        run_mark(pool, first, count, KIND_NONE)
        slab.granules = <uint32_t>need
        slab.total = size
        run_mark(pool, first, need, KIND_RUN_PART)
        arena_give(pool, first + need, count - need)
        os_unlock(&pool.arena_lock)
        return True
    more = need - count
    os_lock(&pool.arena_lock)
    near = granule_at(pool, end)
    room = near.granules if end < pool.top and near.kind == KIND_FREE else 0
    if end + room == pool.top and end + more > pool.top and end + more <= pool.granule_count:
        if room:
            extent_remove(pool, near)
        pool.top = end + more
    elif room >= more:
        extent_remove(pool, near)
        if room > more:
            extent_insert(pool, end + more, room - more)
    else:
        os_unlock(&pool.arena_lock)
        return False
    if not arena_back_pages(pool, end, more, KIND_RUN_PART):
        arena_give(pool, end, more)
        os_unlock(&pool.arena_lock)
        return False
    run_mark(pool, first, count, KIND_NONE)
    slab.granules = <uint32_t>need
    slab.total = size
    run_mark(pool, first, need, KIND_RUN_PART)
    os_unlock(&pool.arena_lock)
    return True
