# ---- Opening and closing ------------------------------------------------------------------------------

cdef bint class_add(pool_t *pool, uint64_t size) noexcept nogil:
    cdef uint32_t i = pool.class_count
    if i == CLASS_MAX:
        return False
    pool.class_bytes[i] = <uint32_t>size
    pool.class_blocks[i] = <uint32_t>(pool.granule_bytes // size)
    pool.class_reciprocal[i] = UINT64_MAX // size + 1
    pool.class_count = i + 1
    return True


cdef void classes_default(pool_t *pool) noexcept nogil:
    """Steps of 16 to 256, of an eighth to 1024; above, sizes that divide a slab without a rest."""
    cdef uint64_t size = 0
    cdef uint64_t last, blocks
    while size < 1024 and size < pool.granule_bytes:
        size += 16 if size < 256 else 32 if size < 512 else 64
        class_add(pool, size)
    last = size
    blocks = pool.granule_bytes // last
    while blocks > 1:
        blocks -= 1
        size = (pool.granule_bytes // blocks) & ~<uint64_t>(ALIGNMENT - 1)
        if size >= last + last // 16 or (blocks & (blocks - 1) == 0 and size > last):
            class_add(pool, size)
            last = size


cdef bint classes_make(pool_t *pool, const char **why) noexcept nogil:
    cdef uint32_t i, size_class = 0
    cdef uint64_t size, last = 0
    pool.class_count = 0
    if pool.config.class_count == 0:
        classes_default(pool)
        last = pool.class_bytes[pool.class_count - 1]
    for i in range(pool.config.class_count):
        size = (pool.config.class_bytes[i] + ALIGNMENT - 1) & ~<uint64_t>(ALIGNMENT - 1)
        if size < ALIGNMENT:
            size = ALIGNMENT
        if size > pool.granule_bytes:
            why[0] = "a size class is larger than a slab"
            return False
        if size < last:
            why[0] = "size classes must ascend"
            return False
        if size > last and not class_add(pool, size):
            why[0] = "more than 96 size classes"
            return False
        last = size
    # Who asks for the largest class in full gets a block of one more.
    if red_zone_bytes(pool) and last + ALIGNMENT <= pool.granule_bytes:
        class_add(pool, last + ALIGNMENT)
    pool.small_max = pool.class_bytes[pool.class_count - 1]
    for i in range(CLASS_OF_COUNT):
        while size_class < pool.class_count and pool.class_bytes[size_class] < <uint32_t>i * ALIGNMENT:
            size_class += 1
        pool.class_of[i] = <uint8_t>size_class
    return True


cdef bint arena_open(pool_t *pool, const char **why) noexcept nogil:
    """Address space, descriptors and metadata."""
    cdef uint64_t reserve = pool.config.reserve_bytes
    cdef uint64_t start, end, shift
    cdef uint64_t least = 1 << 21
    pool.granule_shift = GRANULE_SHIFT
    if pool.config.backing == BACKING_PAGES:
        if reserve == 0:
            reserve = <uint64_t>1 << 36
            shift = open_count >> 5
            while shift and reserve > <uint64_t>1 << 28:
                reserve >>= 1
                shift >>= 1
        reserve = (reserve + (1 << GRANULE_SHIFT) - 1) & ~<uint64_t>((1 << GRANULE_SHIFT) - 1)
        while True:
            pool.mapped_bytes = reserve + least
            pool.mapped_address = <uint64_t>os_reserve(pool.mapped_bytes) if pool.mapped_bytes > reserve else 0
            if pool.mapped_address:
                break
            if reserve < least or pool.config.reserve_bytes:
                why[0] = "the OS refused the address space"
                return False
            reserve = (reserve >> 1) & ~<uint64_t>((1 << GRANULE_SHIFT) - 1)
        pool.base = (pool.mapped_address + least - 1) & ~(least - 1)
        pool.span = reserve
        if pool.config.huge == HUGE_ALWAYS:
            os_huge(<void *>pool.base, pool.span)
    else:
        while pool.granule_shift > 12 and pool.config.size >> pool.granule_shift < 16:
            pool.granule_shift -= 1
        # The memory may reach to 2^64, whose number is 0: the end is only used in differences.
        start = pool.config.base
        end = start + pool.config.size
        start = (start + (<uint64_t>1 << pool.granule_shift) - 1) & ~((<uint64_t>1 << pool.granule_shift) - 1)
        end &= ~((<uint64_t>1 << pool.granule_shift) - 1)
        if (start < pool.config.base or start - pool.config.base >= pool.config.size
                or end - start - 1 >= pool.config.size):
            why[0] = "the memory is smaller than one aligned slab of 4096 bytes"
            return False
        if start == 0:
            why[0] = "0 is the address of no block"
            return False
        pool.base = start
        pool.span = end - start
    pool.granule_bytes = <uint64_t>1 << pool.granule_shift
    pool.granule_count = pool.span >> pool.granule_shift
    if pool.granule_count > <uint64_t>1 << 31:
        why[0] = "more than 2^31 slabs of 64 KiB"
        return False
    pool.commit_step = HUGE_GRANULES if pool.config.huge == HUGE_ALWAYS else 4
    pool.descriptor_bytes = pool.granule_count * sizeof(slab_t)
    if not pool.is_locked:
        pool.descriptor_bytes += pool.granule_count * REMOTE_BITS_BYTES
    pool.descriptors = <slab_t *>os_map(pool.descriptor_bytes)
    if pool.descriptors == NULL or not meta_open(pool):
        why[0] = "the OS refused memory for descriptors and metadata"
        return False
    return True


cdef inline uint64_t meta_mapped_bytes(pool_t *pool) noexcept nogil:
    return pool.meta.reserved + pool.meta.reserved // META_UNIT


cdef bint meta_open(pool_t *pool) noexcept nogil:
    """Address space for metadata: as much as they can ever need (see _arena.pxi), up to 16 GiB. When the OS refuses,
    half of it, and half again, but at least a sixteenth of the arena's length: that does for blocks of 256 bytes."""
    cdef uint64_t longest = <uint64_t>META_UNIT << (META_ORDERS - 1)
    cdef uint64_t size = 5 * pool.span + 2 * longest
    if size > <uint64_t>1 << 34:
        size = <uint64_t>1 << 34
    while True:
        pool.meta.reserved = (size + longest - 1) & ~(longest - 1)
        pool.meta.base = <uint64_t>os_map(meta_mapped_bytes(pool))
        if pool.meta.base or size <= pool.span >> 4:
            break
        size >>= 1
    pool.meta.orders = <uint8_t *>(pool.meta.base + pool.meta.reserved)
    meta_clear(pool)
    return pool.meta.base != 0


cdef void meta_clear(pool_t *pool) noexcept nogil:
    """Nothing is handed out."""
    memset(pool.meta.free, 0, sizeof(pool.meta.free))
    pool.meta.used = 1
    pool.meta.records = pool.meta.reserved // META_UNIT


cdef pool_t *pool_slot() noexcept nogil:
    """A struct that serves no pool now, its number kept. Under state_lock."""
    global pool_count
    cdef uint32_t i
    cdef pool_t *pool
    for i in range(pool_count):
        if not pools[i].is_open:
            pool = pools[i]
            break
    else:
        if pool_count == POOLS_MAX:
            return NULL
        pool = <pool_t *>state_alloc(sizeof(pool_t))
        if pool == NULL:
            return NULL
        i = pool_count
        pools[i] = pool
        pool_count += 1
    memset(pool, 0, sizeof(pool_t))
    pool.number = i
    pool.is_closed = 1          # until it is whole
    pool.is_open = 1
    return pool


cdef pool_t *pool_open(const pool_config_t *config, const char **why) noexcept nogil:
    global open_count
    cdef pool_t *pool
    cdef heap_t *heap
    why[0] = NULL
    thread_here()
    os_lock(&state_lock)
    pool = pool_slot()
    if pool != NULL:
        open_count += 1
    os_unlock(&state_lock)
    if pool == NULL:
        why[0] = "65536 pools are open"
        return NULL
    pool.config = config[0]
    os_lock_init(&pool.arena_lock)
    os_lock_init(&pool.heap_lock)
    os_condition_init(&pool.settled)
    pool.slot_offset = thread_slot(pool.number % SLOT_COUNT + 1)
    pool.is_limited = config.limit_bytes != UINT64_MAX or config.limit_blocks != UINT64_MAX
    pool.is_locked = (config.backing == BACKING_SPACE or config.guard_every > 0 or config.quarantine_blocks > 0
                      or config.quarantine_bytes > 0 or config.is_filled != 0 or config.events_capacity > 0
                      or config.fault_nth > 0 or config.fault_rate > 0 or config.fault_last > 0
                      or config.is_low_memory != 0)
    pool.is_policed = pool.is_locked or pool.is_limited
    pool.is_counted = not pool.is_locked and (pool.is_limited or config.is_counted)
    if not config.is_filled:
        pool.config.fill_alloc = 0xCD
        pool.config.fill_free = 0xDD
    pool.fault_state = config.fault_seed
    if not arena_open(pool, why) or not classes_make(pool, why) or not policies_open(pool, why):
        pool_unmap(pool)
        pool_dispose(pool)
        return NULL
    if pool.is_locked:
        pool.slot_offset = thread_slot(0)
        heap = heap_new()
        if heap == NULL:
            why[0] = "no memory"
            pool_unmap(pool)
            pool_dispose(pool)
            return NULL
        heap_join(pool, heap)
        pool.shared_heap = heap
    elif pool.granule_shift == GRANULE_SHIFT:
        pool.fast_span = pool.span
    os_lock(&state_lock)        # a fork must see the pool's locks either not at all or through
    pool.is_closed = 0
    os_unlock(&state_lock)
    return pool


cdef bint policies_open(pool_t *pool, const char **why) noexcept nogil:
    """The rings of Quarantine and Events."""
    if pool.config.quarantine_blocks or pool.config.quarantine_bytes:
        pool.quarantine_capacity = pool.config.quarantine_blocks
        if pool.quarantine_capacity == 0:
            pool.quarantine_capacity = pool.config.quarantine_bytes // ALIGNMENT + 1
        if pool.quarantine_capacity > <uint64_t>1 << 24:
            pool.quarantine_capacity = <uint64_t>1 << 24
        pool.quarantine_capacity += 1
        pool.quarantine = <uint64_t *>os_map(pool.quarantine_capacity * sizeof(uint64_t))
        if pool.quarantine == NULL:
            why[0] = "no memory for the quarantine"
            return False
    if pool.config.events_capacity > <uint64_t>1 << 24:
        why[0] = "more than 2^24 events"
        return False
    if pool.config.events_capacity:
        pool.events = <event_t *>os_map(pool.config.events_capacity * sizeof(event_t))
        if pool.events == NULL:
            why[0] = "no memory for the events"
            return False
    return True


cdef void holds_kill(pool_t *pool) noexcept nogil:
    """Every Buffer of the pool is dead."""
    cdef uint64_t granule = 0
    cdef slab_t *slab
    cdef uint32_t i
    os_lock(&pool.arena_lock)
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_SLAB and slab.holders != NULL or slab.kind == KIND_RUN:
            for i in range(slab.carved):
                if record_at(slab, i)[0] & RECORD_STATE in (RECORD_HELD, RECORD_EXPORTED):
                    hold_kill(slab, i)
        granule += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1
    os_unlock(&pool.arena_lock)


cdef void pool_close(pool_t *pool) noexcept nogil:
    global free_heaps
    cdef heap_t *heap
    cdef heap_t *rest
    cdef thread_t *thread
    cdef map_call_t unmap = pool.config.on_unmap
    if pool.is_closed:
        return
    thread_here()
    assert_whole(pool_check(pool, NULL, NULL))
    os_lock(&state_lock)
    if pool.is_locked:
        # A call that has the lock may be about to register a Buffer; those that wait for it find the pool closed.
        os_lock(&pool.heap_lock)
    holds_kill(pool)
    pool.fast_span = 0
    pool.is_closed = 1
    rest = pool.heaps
    while rest != NULL:
        heap = rest
        rest = heap.next_in_pool
        heap.pool = NULL
        if heap.thread == NULL:
            heap.next_abandoned = free_heaps
            free_heaps = heap
    pool.heaps = NULL
    pool.abandoned = NULL
    pool.shared_heap = NULL
    thread = threads
    while thread != NULL:
        if thread.gather_slab >= pool.descriptors and thread.gather_slab < pool.descriptors + pool.granule_count:
            thread.gather_slab = NULL
            thread.gather_count = 0
        thread = thread.next
    if pool.is_locked:
        os_unlock(&pool.heap_lock)
    os_unlock(&state_lock)
    if pool.config.backing == BACKING_SPACE and unmap != NULL:
        os_lock(&pool.heap_lock)
        space_unback_special(pool)
        space_unback(pool, 0, pool.top)
        os_unlock(&pool.heap_lock)


cdef void pool_unmap(pool_t *pool) noexcept nogil:
    if pool.mapped_address:
        os_release(<void *>pool.mapped_address, pool.mapped_bytes)
        pool.mapped_address = 0
    if pool.descriptors != NULL:
        os_release(pool.descriptors, pool.descriptor_bytes)
        pool.descriptors = NULL
    if pool.meta.base:
        os_release(<void *>pool.meta.base, meta_mapped_bytes(pool))
        pool.meta.base = 0
    if pool.quarantine != NULL:
        os_release(pool.quarantine, pool.quarantine_capacity * sizeof(uint64_t))
        pool.quarantine = NULL
    if pool.events != NULL:
        os_release(pool.events, pool.config.events_capacity * sizeof(event_t))
        pool.events = NULL


cdef void pool_dispose(pool_t *pool) noexcept nogil:
    global open_count
    os_lock(&state_lock)
    pool.is_open = 0
    open_count -= 1
    os_unlock(&state_lock)


cdef void pool_go_native(pool_t *pool) noexcept nogil:
    """From now on C may call, whose hot path counts nothing: without a limit the peaks are bounds."""
    pool.is_native = 1
    if pool.is_counted and not pool.is_limited:
        pool.is_counted = 0
        peak_raise(&pool.peak_blocks, pool.used_blocks)
        peak_raise(&pool.peak_bytes, pool.used_bytes)


cdef uint64_t pool_trim(pool_t *pool) noexcept nogil:
    """The caller's and the abandoned heaps' empty slabs go back to the arena, and free granules' pages to the OS."""
    cdef heap_t *heap
    cdef uint64_t granule, start
    cdef uint64_t given = 0
    cdef slab_t *slab
    cdef thread_t *thread = thread_here()
    if pool.is_closed:
        return 0
    if thread != NULL:
        if times_inside(thread.in_callback, pool) != 0:
            return 0
        gather_publish(thread)
    if pool.is_locked:
        os_lock(&pool.heap_lock)
        if pool.is_closed or is_put_off(pool):
            os_unlock(&pool.heap_lock)
            return 0
    heap = heap_here(pool)
    if heap != NULL:
        heap_release_empty(pool, heap, True)
    pool_reclaim(pool)
    if pool.config.backing == BACKING_SPACE:
        given = space_trim(pool)
    elif pool.config.backing == BACKING_PAGES:
        os_lock(&pool.arena_lock)
        granule = 0
        while granule < pool.top:
            slab = granule_at(pool, granule)
            if slab.kind != KIND_FREE:
                granule += slab.granules if slab.kind in (KIND_RUN, KIND_TAKEN) and slab.granules else 1
                continue
            start = granule
            granule += slab.granules
            given += arena_discard(pool, start, granule)
        os_unlock(&pool.arena_lock)
    if pool.is_locked:
        os_unlock(&pool.heap_lock)
    return given


cdef void records_discard(slab_t *slab) noexcept nogil:
    """Whole pages of a free granule's records, which read as free ones when they are zero. One page says which of a
    slab's last blocks were never handed out, when these are so few: it stays."""
    cdef uint64_t first = (<uint64_t>slab.records + page_bytes - 1) & ~(page_bytes - 1)
    cdef uint64_t end = (<uint64_t>slab.records + record_bin_bytes(slab.record_bin)) & ~(page_bytes - 1)
    if slab_records_bytes(slab) < page_bytes:
        first += page_bytes
    if slab.record_bin and end > first:
        os_discard(<void *>first, end - first)


cdef uint64_t arena_discard(pool_t *pool, uint64_t first, uint64_t end) noexcept nogil:
    """Gives the pages of a free extent back; the bytes of its granules that may have had any."""
    cdef uint64_t count = 0
    cdef uint64_t i
    for i in range(first, end):
        if granule_at(pool, i).flags & FLAG_BACKED:
            granule_at(pool, i).flags &= ~FLAG_BACKED
            count += 1
            records_discard(granule_at(pool, i))
    if count:
        os_discard(<void *>granule_address(pool, first), (end - first) << pool.granule_shift)
        pool.backed_granules -= count
    return count << pool.granule_shift


cdef uint64_t space_trim(pool_t *pool) noexcept nogil:
    """Unmaps free granules. An extent is taken while its callback runs, so that nobody else gets it."""
    cdef uint64_t granule = 0
    cdef uint64_t count
    cdef uint64_t given = 0
    cdef slab_t *slab
    while granule < pool.top and granule < pool.committed_top:
        slab = granule_at(pool, granule)
        count = slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1
        if slab.kind == KIND_FREE:
            os_lock(&pool.arena_lock)
            extent_remove(pool, slab)
            atomic_store_u8(&slab.kind, KIND_TAKEN)
            os_unlock(&pool.arena_lock)
            given += space_unback(pool, granule, count)
            os_lock(&pool.arena_lock)
            arena_give(pool, granule, count)
            os_unlock(&pool.arena_lock)
        granule += count
    return given << pool.granule_shift
