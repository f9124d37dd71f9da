# ---- check ------------------------------------------------------------------------------------------------
# Each step answers the name of an invariant that it found broken, and where. Under arena_lock, on
# heaps that only the caller can move.

cdef const char *check_slab(pool_t *pool, slab_t *slab) noexcept nogil:
    cdef uint32_t live = 0
    cdef uint32_t free = 0
    cdef uint32_t front = slab_front(slab)
    cdef uint32_t i, record, state
    cdef bint is_freed
    cdef hold_t *hold
    if slab.size_class >= pool.class_count or slab.base != granule_address(pool, granule_of(pool, slab)):
        return "slab_shape"
    if not slab.flags & FLAG_GUARDED:
        if (slab.block_bytes != pool.class_bytes[slab.size_class]
                or slab.block_count != pool.class_blocks[slab.size_class]
                or slab.reciprocal != pool.class_reciprocal[slab.size_class]):
            return "slab_shape"
    if slab.carved > slab.block_count or slab.records == NULL:
        return "slab_carved"
    if pool.fast_span and slab_has_rest(slab) and slab.records[slab.block_count] & RECORD_STATE:
        return "record_state"
    for i in range(slab.carved):
        record = slab.records[i]
        state = record & RECORD_STATE
        if state & RECORD_LIVE:
            state = RECORD_LIVE
            if record & ~<uint32_t>(RECORD_LIVE | RECORD_SIZE):
                return "record_state"
        if state:
            live += 1
            if state not in (RECORD_LIVE, RECORD_HELD, RECORD_EXPORTED, RECORD_DEFERRED, RECORD_REMOTE,
                             RECORD_QUARANTINED):
                return "record_state"
            if record & RECORD_SIZE > slab.block_bytes:
                return "record_size"
            if state == RECORD_HELD or state == RECORD_EXPORTED:
                hold = slab.holders[i] if slab.holders != NULL else NULL
                if hold == NULL or hold.slab != slab or hold.index != i or hold.address != block_address(slab, i):
                    return "holder"
                if (state == RECORD_EXPORTED) != (hold.views > 0):
                    return "views"
        elif record & RECORD_FRONT and record != RECORD_FRONT:
            return "record_state"
    if slab_live(slab) != live + front:
        return "slab_live"
    i = slab.head
    is_freed = False
    while True:
        if i == LINK_NONE:
            if is_freed:
                break
            is_freed = True
            i = slab.freed
            continue
        if i >= slab.carved or slab.records[i] & (RECORD_STATE | RECORD_FRONT) or free > slab.carved:
            return "free_list"
        free += 1
        i = slab.records[i] & LINK_MASK
    if free + live + front != slab.carved:
        return "free_list"
    if slab.place == PLACE_FULL:
        if slab.owner != slab_full_owner(slab):
            return "owner"
        if free or slab.carved < slab.block_count:
            return "place"
    elif slab.owner != slab_fast_owner(slab):
        return "owner"
    if slab.place == PLACE_PARTIAL and (free == 0 or live + front == 0):
        return "place"
    if slab.place == PLACE_EMPTY and live + front:
        return "place"
    if slab.place == PLACE_CURRENT and slab.heap.current[slab.size_class] != slab:
        return "place"
    return NULL


cdef uint32_t slab_front(slab_t *slab) noexcept nogil:
    """Blocks whose record says that they are on the front."""
    cdef uint32_t count = 0
    cdef uint32_t i
    if slab.carved <= slab.block_count and slab.records != NULL:
        for i in range(slab.carved):
            count += slab.records[i] & (RECORD_STATE | RECORD_FRONT) == RECORD_FRONT
    return count


cdef const char *check_slab_empty(pool_t *pool, slab_t *slab) noexcept nogil:
    """A slab without a live block whose place still says partial."""
    cdef uint32_t i
    for i in range(slab.carved):
        if slab.records[i] & RECORD_STATE:
            return "slab_live"
    return NULL


cdef bint front_knows(pool_t *pool, heap_t *heap, front_t *block) noexcept nogil:
    """Whether the record is that of the block at the address, and its slab one whose frees may take the front."""
    cdef uint64_t offset = block.address - pool.base
    cdef slab_t *slab
    cdef uint32_t index
    if offset >= pool.fast_span or offset >> GRANULE_SHIFT >= pool.top:
        return False
    slab = granule_at(pool, offset >> GRANULE_SHIFT)
    if slab.kind != KIND_SLAB or <uint64_t>slab.owner - <uint64_t>heap > 1:
        return False
    index = slab_index(slab, block.address)
    return index < slab.carved and block.record == slab.records + index


cdef const char *check_front(pool_t *pool, heap_t *heap, uint64_t marked) noexcept nogil:
    """`marked` records of the heap's slabs say that their blocks are on the front."""
    cdef uint32_t i, k
    if heap.top.record != &record_none and not front_knows(pool, heap, &heap.top):
        return "front_top"
    if heap.front_count > FRONT_MAX or front_length(heap) != marked:
        return "front"
    for i in range(heap.front_count):
        if not front_knows(pool, heap, &heap.front[i]) or heap.front[i].record[0] != RECORD_FRONT:
            return "front"
        if heap.front[i].record == heap.top.record:
            return "front"
        for k in range(i):
            if heap.front[i].record == heap.front[k].record:
                return "front"
    return NULL


cdef const char *check_heap(pool_t *pool, heap_t *heap, uint64_t *detail) noexcept nogil:
    """The heap's slabs, and that its lists hold exactly those whose place says so."""
    cdef uint64_t granule = 0
    cdef uint64_t partial = 0, empty = 0, slabs = 0, front = 0
    cdef uint64_t partial_listed = 0, empty_listed = 0
    cdef slab_t *slab
    cdef const char *broken
    cdef uint32_t i
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_SLAB and slab.heap == heap:
            broken = check_slab(pool, slab)
            detail[0] = slab.base
            if broken != NULL:
                return broken
            slabs += 1
            partial += slab.place == PLACE_PARTIAL
            empty += slab.place == PLACE_EMPTY
            front += slab_front(slab)
        granule += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1
    detail[0] = 0
    if slabs != heap.slab_count:
        return "slab_count"
    for i in range(pool.class_count):
        slab = heap.current[i]
        if slab != &slab_none and (slab.heap != heap or slab.place != PLACE_CURRENT or slab.size_class != i):
            return "current"
        if heap.fast[i] != &slab_none and heap.fast[i] != slab or heap.fast[i] == slab and slab != &slab_none and (
                slab_fast_owner(slab) == NULL):
            return "fast"
        slab = heap.partial[i]
        while slab != NULL and partial_listed <= slabs:
            if slab.heap != heap or slab.place != PLACE_PARTIAL or slab.size_class != i:
                return "partial_list"
            partial_listed += 1
            slab = slab.next
        slab = heap.empty[i]
        if (heap.empty_mask[i >> 6] >> (i & 63) & 1) != (slab != NULL):
            return "empty_mask"
        while slab != NULL and empty_listed <= slabs:
            if slab.heap != heap or slab.place != PLACE_EMPTY or slab.size_class != i:
                return "empty_list"
            empty_listed += 1
            slab = slab.next
    if partial_listed != partial:
        return "partial_list"
    if empty_listed != empty:
        return "empty_list"
    if heap.empty_count != empty:
        return "empty_count"
    return check_front(pool, heap, front)


cdef const char *check_arena(pool_t *pool, uint64_t *detail) noexcept nogil:
    cdef uint64_t granule = 0
    cdef uint64_t count, i
    cdef uint64_t free = 0
    cdef uint64_t backed = 0
    cdef bint was_free = False
    cdef slab_t *slab
    if pool.top > pool.granule_count:
        return "top"
    while granule < pool.top:
        slab = granule_at(pool, granule)
        detail[0] = granule_address(pool, granule)
        count = 1
        if slab.kind in (KIND_FREE, KIND_RUN, KIND_TAKEN):
            count = slab.granules
        elif slab.kind != KIND_SLAB:
            return "granules_tiled"
        if count == 0 or granule + count > pool.top:
            return "granules_tiled"
        if slab.kind == KIND_FREE:
            if was_free:
                return "extents_joined"
            if count > 1 and ((slab + count - 1).kind != KIND_FREE_END or (slab + count - 1).granules != count):
                return "extent_ends"
            if slab.prev != NULL and slab.prev.next != slab or slab.prev == NULL and pool.bins[bin_of(count)] != slab:
                return "extent_listed"
            free += count
        elif slab.kind == KIND_RUN:
            if run_record(slab)[0] & RECORD_STATE == 0:
                return "run_record"
            if slab.base - granule_address(pool, granule) >= count << pool.granule_shift:
                return "run_shape"
            if run_find(pool, granule + count - 1) != slab:
                return "run_parts"
            if count > MAPPED_ALONE and pool.config.backing == BACKING_SPACE and not slab.flags & FLAG_GUARDED:
                backed += count
        was_free = slab.kind == KIND_FREE
        if pool.config.backing != BACKING_SPACE or granule < pool.committed_top:
            for i in range(count):
                if pool.config.backing == BACKING_SPACE and granule + i >= pool.committed_top:
                    break
                backed += granule_at(pool, granule + i).flags & FLAG_BACKED
        granule += count
    detail[0] = 0
    if free != pool.free_granules:
        return "free_granules"
    if backed != pool.backed_granules:
        return "backed_granules"
    for i in range(BIN_COUNT):
        if (pool.bin_mask[i >> 6] >> (i & 63) & 1) != (pool.bins[i] != NULL):
            return "bin_mask"
    return NULL


cdef const char *check_meta(pool_t *pool) noexcept nogil:
    cdef uint32_t order
    cdef uint64_t place, before
    for order in range(META_ORDERS):
        before = 0
        place = pool.meta.free[order]
        while place:
            if (place >= pool.meta.used or place & ((<uint64_t>1 << order) - 1) or pool.meta.orders[place] != order + 1
                    or meta_links(pool, place)[1] != before):
                return "metadata_listed"
            if order < META_ORDERS - 1 and pool.meta.orders[place ^ <uint64_t>1 << order] == order + 1:
                return "metadata_joined"
            before = place
            place = meta_links(pool, place)[0]
    return NULL


cdef const char *check_counts(pool_t *pool) noexcept nogil:
    """What counted pools keep against what the records say."""
    cdef uint64_t granule = 0
    cdef uint64_t blocks = 0, size = 0, quarantined = 0
    cdef slab_t *slab
    cdef uint32_t i, record
    if not pool.is_counted and not pool.is_locked:
        return NULL
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_SLAB or slab.kind == KIND_RUN:
            for i in range(slab.carved):
                record = record_at(slab, i)[0]
                if is_live_state(record):
                    blocks += 1
                    size += block_size(slab, record)
                quarantined += record & RECORD_STATE == RECORD_QUARANTINED
        granule += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1
    if blocks + pool.pending_blocks != pool.live_blocks:
        return "live_blocks"
    if size + pool.pending_bytes != pool.live_bytes:
        return "live_bytes"
    if pool.live_blocks > pool.config.limit_blocks or pool.live_bytes > pool.config.limit_bytes:
        return "limit"
    if pool.peak_blocks < blocks or pool.peak_bytes < size:
        return "peak"
    if pool.is_locked and quarantined != pool.quarantine_count + pool.corrupt_blocks:
        return "quarantine"
    return NULL


cdef const char *pool_check(pool_t *pool, uint64_t *detail, uint32_t *skipped_heaps) noexcept nogil:
    """Inspects the arena, this thread's heap and those without a thread; others only when they are all at rest, which
    cannot be known, so they are skipped and counted."""
    cdef heap_t *heap
    cdef heap_t *mine
    cdef const char *broken
    cdef uint64_t place = 0
    cdef uint32_t skipped = 0
    cdef thread_t *thread = thread_here()
    if pool.is_closed:
        return NULL
    if thread != NULL:
        gather_publish(thread)
    mine = heap_here(pool)
    if pool.is_locked:
        os_lock(&pool.heap_lock)
        mine = pool.shared_heap
    elif mine != NULL:
        heap_collect(mine)
    os_lock(&pool.arena_lock)
    broken = check_meta(pool)
    if broken == NULL:
        broken = check_arena(pool, &place)
    heap = pool.heaps
    while heap != NULL and broken == NULL:
        if heap == mine or heap.is_abandoned:
            broken = check_heap(pool, heap, &place)
        elif heap.thread != NULL:
            skipped += 1
        heap = heap.next_in_pool
    # What a request has counted in advance while its on_map runs, no record tells of.
    if broken == NULL and skipped == 0 and pool.map_calls == 0:
        broken = check_counts(pool)
    os_unlock(&pool.arena_lock)
    if pool.is_locked:
        os_unlock(&pool.heap_lock)
    if detail != NULL:
        detail[0] = place
    if skipped_heaps != NULL:
        skipped_heaps[0] = skipped
    return broken
