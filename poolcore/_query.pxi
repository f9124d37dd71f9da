# ---- Questions ------------------------------------------------------------------------------------------
# A locked pool's records move under its heap_lock, another's by its threads; the arena_lock keeps slabs in place.

cdef void question_begin(pool_t *pool) noexcept nogil:
    if pool.is_locked:
        os_lock(&pool.heap_lock)
    os_lock(&pool.arena_lock)


cdef void question_end(pool_t *pool) noexcept nogil:
    os_unlock(&pool.arena_lock)
    if pool.is_locked:
        os_unlock(&pool.heap_lock)


cdef bint is_live_state(uint32_t record) noexcept nogil:
    cdef uint32_t state = record & RECORD_STATE
    return state & RECORD_LIVE or state == RECORD_HELD or state == RECORD_EXPORTED


cdef void block_describe(pool_t *pool, slab_t *slab, uint32_t index, block_t *block) noexcept nogil:
    cdef uint32_t record = atomic_load_u32(record_at(slab, index))
    cdef tag_t *tag = tag_place(slab, index)
    memset(block, 0, sizeof(block_t))
    block.address = block_address(slab, index)
    block.capacity = block_capacity(pool, slab, index)
    block.state = record & RECORD_STATE
    if block.state & RECORD_LIVE:
        block.state = RECORD_LIVE
    block.is_run = slab.kind == KIND_RUN
    block.is_virgin = block.state == 0 and (index >= slab.carved or record & RECORD_VIRGIN)
    if is_live_state(record):
        block.size = block_size(slab, record)
        if block.state != RECORD_LIVE:
            block.hold = holder_place(slab, index)[0]
    if tag != NULL and not block.is_virgin:
        block.tag = tag.tag
        block.sequence = tag.sequence
        block.freed = tag.freed
        block.thread = tag.thread


cdef int pool_block_at(pool_t *pool, uint64_t address, block_t *block) noexcept nogil:
    cdef slab_t *slab
    cdef uint32_t index
    cdef int found = 0
    if pool.is_closed:
        return 0
    question_begin(pool)
    block_find(pool, address, &slab, &index)
    if slab != NULL:
        if slab.kind == KIND_SLAB:
            index = <uint32_t>((address - slab.base) // slab.block_bytes)
            found = index < slab.carved
        else:
            index = 0
            found = address >= slab.base
        if found:
            block_describe(pool, slab, index, block)
            found = not block.is_virgin
    question_end(pool)
    return found


cdef int pool_verdict_of(pool_t *pool, uint64_t address) noexcept nogil:
    cdef slab_t *slab
    cdef uint32_t index, record
    cdef uint8_t kind
    cdef int verdict
    if address == 0:
        return VERDICT_NULL
    if pool.is_closed:
        return VERDICT_CLOSED
    if pool.is_locked:
        # The slack is memory: another thread's free could put a guard page there.
        thread_here()
        os_lock(&pool.heap_lock)
        if pool.is_closed:
            os_unlock(&pool.heap_lock)
            return VERDICT_CLOSED
    verdict = block_find(pool, address, &slab, &index)
    if verdict == VERDICT_LIVE:
        kind = atomic_load_u8(&slab.kind)
        record = atomic_load_u32(record_place(slab, kind, index))
        verdict = VERDICT_DOUBLE
        if is_still(slab, kind, index, address):
            verdict = record_verdict(pool, slab, index, record, 0)
        if verdict == VERDICT_LIVE and pool.is_locked:
            if not slack_is_intact(pool, slab, index, record):
                verdict = VERDICT_CORRUPT
    if pool.is_locked:
        os_unlock(&pool.heap_lock)
    return verdict


cdef int pool_next_live(pool_t *pool, uint64_t address, block_t *block) noexcept nogil:
    cdef uint64_t granule
    cdef slab_t *slab
    cdef uint32_t index, first
    if pool.is_closed:
        return 0
    if address < pool.base:
        address = pool.base
    question_begin(pool)
    granule = (address - pool.base) >> pool.granule_shift
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_SLAB:
            first = <uint32_t>((address - slab.base) // slab.block_bytes) if address > slab.base else 0
            for index in range(first, slab.carved):
                if is_live_state(slab.records[index]) and block_address(slab, index) >= address:
                    block_describe(pool, slab, index, block)
                    question_end(pool)
                    return 1
        elif slab.kind == KIND_RUN:
            if is_live_state(record_load(run_record(slab))) and slab.base >= address:
                block_describe(pool, slab, 0, block)
                question_end(pool)
                return 1
        granule += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1
    question_end(pool)
    return 0


cdef uint64_t pool_size_of(pool_t *pool, uint64_t address) noexcept nogil:
    cdef slab_t *slab
    cdef uint32_t index, record
    cdef uint8_t kind
    cdef uint64_t size = 0
    if pool.is_closed:
        return 0
    if pool.is_locked:
        os_lock(&pool.heap_lock)
    if block_find(pool, address, &slab, &index) == VERDICT_LIVE:
        kind = atomic_load_u8(&slab.kind)
        record = atomic_load_u32(record_place(slab, kind, index))
        if is_live_state(record) and is_still(slab, kind, index, address):
            size = block_size(slab, record)
    if pool.is_locked:
        os_unlock(&pool.heap_lock)
    return size


cdef void pool_stats(pool_t *pool, pool_stats_t *stats) noexcept nogil:
    """A walk over the records: nothing is counted on the hot path."""
    cdef uint64_t granule = 0
    cdef uint64_t used_bytes = 0
    cdef uint64_t capacity
    cdef slab_t *slab
    cdef class_stats_t *in_class
    cdef heap_t *heap
    cdef uint32_t index, record
    cdef thread_t *thread = thread_here()
    memset(stats, 0, sizeof(pool_stats_t))
    if pool.is_closed:
        return
    if thread != NULL:
        gather_publish(thread)
    if pool.is_locked:
        os_lock(&pool.heap_lock)
    os_lock(&pool.arena_lock)
    stats.class_count = pool.class_count
    for index in range(pool.class_count):
        stats.classes[index].block_bytes = pool.class_bytes[index]
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_SLAB:
            in_class = &stats.classes[slab.size_class]
            in_class.slabs += 1
            used_bytes += pool.granule_bytes
            stats.total_allocs += slab.total
            for index in range(slab.carved):
                record = record_load(slab.records + index)
                if is_live_state(record):
                    capacity = block_capacity(pool, slab, index)
                    in_class.live_blocks += 1
                    in_class.live_bytes += record & RECORD_SIZE
                    in_class.capacity_bytes += capacity
        elif slab.kind == KIND_RUN:
            used_bytes += <uint64_t>slab.granules << pool.granule_shift
            if is_live_state(record_load(run_record(slab))):
                stats.live_blocks += 1
                stats.live_bytes += slab.total
                stats.capacity_bytes += block_capacity(pool, slab, 0)
        granule += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1
    for index in range(pool.class_count):
        stats.live_blocks += stats.classes[index].live_blocks
        stats.live_bytes += stats.classes[index].live_bytes
        stats.capacity_bytes += stats.classes[index].capacity_bytes
    heap = pool.heaps
    while heap != NULL:
        stats.total_allocs += heap.retired_total + heap.front_total
        heap = heap.next_in_pool
    stats.total_allocs += pool.run_total
    stats.internal_waste_bytes = stats.capacity_bytes - stats.live_bytes
    stats.external_waste_bytes = used_bytes - stats.capacity_bytes
    stats.reserved_bytes = pool.span
    stats.committed_bytes = pool.backed_granules << pool.granule_shift
    if pool.config.backing == BACKING_BUFFER:
        stats.committed_bytes = pool.span
    stats.largest_bytes = arena_largest(pool) << pool.granule_shift
    os_unlock(&pool.arena_lock)
    stats.total_frees = stats.total_allocs - stats.live_blocks
    if stats.largest_bytes < pool.small_max and pool_has_small(pool, pool.small_max):
        stats.largest_bytes = pool.small_max
    stats.largest_bytes -= min(stats.largest_bytes, red_zone_bytes(pool))
    stats.quarantined_blocks = pool.quarantine_count
    stats.quarantined_bytes = pool.quarantine_bytes
    stats.corrupt_blocks = pool.corrupt_blocks
    stats.late_double_frees = atomic_load_u64(&pool.late_double_frees)
    stats.is_peak_exact = pool.is_counted or pool.is_locked
    stats.peak_blocks = atomic_load_u64(&pool.peak_blocks)
    stats.peak_bytes = atomic_load_u64(&pool.peak_bytes)
    if pool.config.limit_bytes != UINT64_MAX and stats.largest_bytes > pool.config.limit_bytes - pool.live_bytes:
        stats.largest_bytes = pool.config.limit_bytes - pool.live_bytes
    if pool.config.limit_blocks == pool.live_blocks and pool.is_limited:
        stats.largest_bytes = 0
    if pool.is_locked:
        os_unlock(&pool.heap_lock)


cdef bint pool_has_small(pool_t *pool, uint64_t size) noexcept nogil:
    """Whether this thread's heap has a free block for the largest class, when the arena has no granule."""
    cdef heap_t *heap = heap_here(pool)
    cdef uint32_t size_class = pool.class_count - 1
    if heap == NULL:
        return False
    return (front_length(heap) > 0 or heap.empty_count > 0 or slab_has_free(heap.current[size_class])
            or heap.current[size_class].freed != LINK_NONE or heap.partial[size_class] != NULL)


cdef void pool_reset_peak(pool_t *pool) noexcept nogil:
    cdef bint is_exact = pool.is_counted or pool.is_locked
    if pool.is_locked:
        os_lock(&pool.heap_lock)
    pool.peak_blocks = pool.live_blocks if is_exact else pool.used_blocks
    pool.peak_bytes = pool.live_bytes if is_exact else pool.used_bytes
    if pool.is_locked:
        os_unlock(&pool.heap_lock)


cdef uint64_t pool_events(pool_t *pool, event_t *events, uint64_t capacity) noexcept nogil:
    cdef uint64_t count, first, i
    cdef uint64_t found = 0
    cdef uint64_t size = pool.config.events_capacity
    if pool.is_closed or size == 0:
        return 0
    os_lock(&pool.heap_lock)
    count = pool.sequence if pool.sequence < size else size
    if count > capacity:
        count = capacity
    first = pool.sequence - count
    for i in range(count):
        events[found] = pool.events[(first + i) % size]
        # A restored pool goes on counting where its snapshot was, and has no events of before.
        found += events[found].sequence == first + i + 1
    os_unlock(&pool.heap_lock)
    return found
