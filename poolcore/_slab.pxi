# ---- Slabs: format, carve, lists, empty, retire ---------------------------------------------------

cdef inline uint64_t guarded_stride(uint64_t size) noexcept nogil:
    """A guarded block's pages and its guard page."""
    return ((size + page_bytes - 1) & ~(page_bytes - 1)) + page_bytes


cdef uint64_t guarded_address(slab_t *slab, uint32_t index, uint64_t size, uint64_t alignment) noexcept nogil:
    """Right-justified against the guard page that ends stride `index`."""
    cdef uint64_t end = slab.base + <uint64_t>(index + 1) * slab.block_bytes - page_bytes
    if size == 0:
        size = 1
    return (end - size) & ~(alignment - 1)


cdef inline bint slab_has_rest(slab_t *slab) noexcept nogil:
    """Whether a block more would start in the granule and end behind it. It has a record, which the fast free reads."""
    return not slab.flags & FLAG_GUARDED and <uint64_t>slab.block_count * slab.block_bytes < GRANULE_BYTES


cdef uint64_t slab_records_bytes(slab_t *slab) noexcept nogil:
    # A guarded slab keeps a second record per block: how far its address is from the guard page.
    return <uint64_t>slab.block_count * (8 if slab.flags & FLAG_GUARDED else 4)


cdef uint64_t block_address(slab_t *slab, uint32_t index) noexcept nogil:
    """Of a slab's or run's block; a guarded block that was never handed out: its stride."""
    if slab.kind == KIND_RUN:
        return slab.base
    if slab.flags & FLAG_GUARDED:
        return (slab.base + <uint64_t>(index + 1) * slab.block_bytes - page_bytes
                - slab.records[slab.block_count + index])
    return slab.base + <uint64_t>index * slab.block_bytes


cdef uint32_t block_index(slab_t *slab, uint64_t address) noexcept nogil:
    """Index of the block that starts at address; block_count or more when none does."""
    cdef uint32_t index
    if not slab.flags & FLAG_GUARDED:
        return slab_index(slab, address)
    index = <uint32_t>((address - slab.base) // slab.block_bytes)
    if index < slab.block_count and block_address(slab, index) == address:
        return index
    return slab.block_count


cdef inline uint64_t run_end(pool_t *pool, slab_t *slab) noexcept nogil:
    return granule_address(pool, granule_of(pool, slab) + slab.granules)


cdef inline uint64_t block_capacity(pool_t *pool, slab_t *slab, uint32_t index) noexcept nogil:
    """Bytes from the block's start to what is not its own."""
    if slab.kind == KIND_RUN:
        return run_end(pool, slab) - slab.base - (page_bytes if slab.flags & FLAG_GUARDED else 0)
    if slab.flags & FLAG_GUARDED:
        return slab.records[slab.block_count + index]
    return slab.block_bytes


cdef inline uint64_t block_size(slab_t *slab, uint32_t record) noexcept nogil:
    return slab.total if slab.kind == KIND_RUN else record & RECORD_SIZE


# What could be live without another slow call is never below what is, and so its highest value stands for the
# peak of a pool that C uses: to count live blocks exactly, a pair would cost 14 instructions more.

cdef void used_raise(pool_t *pool, uint64_t blocks, uint64_t size) noexcept nogil:
    cdef uint64_t used_blocks, used_bytes
    if pool.is_policed:
        return
    used_blocks = atomic_add_u64(&pool.used_blocks, blocks) + blocks
    used_bytes = atomic_add_u64(&pool.used_bytes, size) + size
    if not pool.is_counted:
        peak_raise(&pool.peak_blocks, used_blocks)
        peak_raise(&pool.peak_bytes, used_bytes)


cdef void used_lower(pool_t *pool, uint64_t blocks, uint64_t size) noexcept nogil:
    if not pool.is_policed:
        atomic_add_u64(&pool.used_blocks, ~blocks + 1)
        atomic_add_u64(&pool.used_bytes, ~size + 1)


cdef void used_add(slab_t *slab, uint64_t blocks) noexcept nogil:
    used_raise(slab.heap.pool, blocks, blocks * slab.block_bytes)


cdef void used_remove(slab_t *slab) noexcept nogil:
    used_lower(slab.heap.pool, slab.carved, <uint64_t>slab.carved * slab.block_bytes)


cdef void peak_raise(uint64_t *peak, uint64_t value) noexcept nogil:
    cdef uint64_t now = atomic_load_u64(peak)
    while value > now and not atomic_cas_u64(peak, now, value):
        now = atomic_load_u64(peak)


cdef inline uint64_t records_bytes(uint64_t stride, uint64_t count, bint is_guarded) noexcept nogil:
    """As slab_records_bytes, for a slab that is to be; with a record for its rest (see slab_has_rest)."""
    return count * (8 if is_guarded else 4) + (not is_guarded and count * stride < GRANULE_BYTES) * sizeof(uint32_t)


cdef uint8_t record_bin_of(uint64_t *units) noexcept nogil:
    """A number for this many units of metadata, which are rounded up: each to 8, then four a doubling."""
    cdef uint64_t n = units[0]
    cdef uint32_t high, step
    if n <= 8:
        return <uint8_t>n
    high = bits_highest(n - 1)
    step = high - 2
    n = ((n - 1) >> step) + 1
    units[0] = n << step
    return <uint8_t>(8 + (high - 3) * 4 + (n - 4))


cdef uint64_t record_bin_bytes(uint8_t record_bin) noexcept nogil:
    cdef uint32_t beyond = record_bin - 9
    if record_bin <= 8:
        return record_bin * META_UNIT
    return <uint64_t>(5 + (beyond & 3)) * META_UNIT << (1 + (beyond >> 2))


cdef bint records_make(pool_t *pool, slab_t *slab, uint64_t size) noexcept nogil:
    """Records of `size` bytes for what shall be a slab; False: no metadata left, and nothing changed. Under arena_lock.

    A stale free may be about to look at a record of any slab that ever stood here, and to change it when it finds
    it live. So a granule's records serve no other granule, and whatever index was one of an earlier slab is one of
    theirs. Those that are too few are left behind: as they at least double, all of them are shorter than the last.
    """
    cdef uint64_t had = record_bin_bytes(slab.record_bin)
    cdef uint64_t units
    cdef uint8_t record_bin
    cdef void *records
    if size <= had:
        return True
    if size < 2 * had:
        size = 2 * had
    units = (size + META_UNIT - 1) // META_UNIT
    record_bin = record_bin_of(&units)
    records = meta_cut(pool, units)
    if records == NULL:
        return False
    atomic_store_ptr(<void **>&slab.records, records)
    slab.record_bin = record_bin
    return True


cdef void slab_carve(slab_t *slab) noexcept nogil:
    """Links some of the blocks that were never linked, in address order. The list must be empty."""
    cdef uint32_t first = slab.carved
    cdef uint32_t last = slab.block_count
    cdef uint32_t step = CARVE_BYTES // slab.block_bytes
    cdef uint32_t i
    if step < 8:
        step = 8
    if first + step < last:
        last = first + step
    for i in range(first, last - 1):
        record_store(slab.records + i, RECORD_VIRGIN | (i + 1))
    record_store(slab.records + last - 1, RECORD_VIRGIN | LINK_NONE)
    slab.carved = <uint16_t>last
    used_add(slab, last - first)
    slab.head = first


cdef void slab_carve_again(slab_t *slab, uint32_t count) noexcept nogil:
    """Links the first blocks of a slab that stood here before, in address order: which of them were never handed
    out is not forgotten."""
    cdef uint32_t i
    for i in range(count):
        record_store(slab.records + i, (record_load(slab.records + i) & RECORD_VIRGIN)
                     | (i + 1 if i + 1 < count else LINK_NONE))
    slab.carved = <uint16_t>count
    used_add(slab, count)
    slab.head = 0


cdef bint slab_format(pool_t *pool, heap_t *heap, slab_t *slab, uint32_t size_class, bint is_guarded) noexcept nogil:
    """Makes a taken granule a slab with its first blocks linked. Under arena_lock. False: no metadata left."""
    cdef uint64_t stride
    cdef uint32_t i, count
    cdef uint32_t kept = 0
    if (slab.was == KIND_SLAB and slab.record_bin and not is_guarded
            and slab.block_bytes == pool.class_bytes[size_class] and slab.block_count == pool.class_blocks[size_class]):
        kept = slab.carved
    stride = pool.class_bytes[size_class]
    count = pool.class_blocks[size_class]
    if is_guarded:
        stride = guarded_stride(stride)
        count = <uint32_t>(pool.granule_bytes // stride)
    # First of all: when it fails the granule is still what it was to a stale free, a snapshot and the next attempt.
    if not records_make(pool, slab, records_bytes(stride, count, is_guarded)):
        return False
    if is_guarded:
        slab.flags |= FLAG_GUARDED
    slab.base = granule_address(pool, granule_of(pool, slab))
    slab.block_count = <uint16_t>count
    slab.reciprocal = pool.class_reciprocal[size_class]
    record_store(&slab.block_bytes, <uint32_t>stride)
    slab.size_class = <uint8_t>size_class
    slab.holders = NULL
    slab.tags = NULL
    if is_guarded:
        for i in range(slab.block_count):
            slab.records[slab.block_count + i] = 0
            guarded_close(pool, slab, i)
    slab.total = 0
    slab.carved = 0
    slab.frees = 0
    slab.head = LINK_NONE
    slab.freed = LINK_NONE
    atomic_store_ptr(<void **>&slab.heap, heap)
    slab.owner = slab_fast_owner(slab)
    slab.granules = 1
    if kept:
        slab_carve_again(slab, kept)
    else:
        slab_carve(slab)
    atomic_store_u8(&slab.kind, KIND_SLAB)
    slab.was = KIND_NONE
    heap.slab_count += 1
    return True


cdef void slab_unformat(pool_t *pool, slab_t *slab) noexcept nogil:
    """The reverse: the granule is KIND_TAKEN again, `was` a slab. No block may be live. Under arena_lock."""
    cdef heap_t *heap = slab.heap
    used_remove(slab)
    if heap.top.address - slab.base < pool.granule_bytes:
        heap.top.record = &record_none
    heap.slab_count -= 1
    heap.retired_total += slab.total
    late_add(heap, bits_drain(slab))
    slab.owner = NULL
    slab.was = KIND_SLAB
    atomic_store_u8(&slab.kind, KIND_TAKEN)
    meta_free(pool, slab.holders, <uint64_t>slab.block_count * sizeof(void *))
    meta_free(pool, slab.tags, <uint64_t>slab.block_count * sizeof(tag_t))
    slab.holders = NULL
    slab.tags = NULL
    slab.flags &= ~FLAG_TAGGED
    if slab.flags & FLAG_GUARDED:
        if pool.config.backing == BACKING_PAGES:
            os_unprotect(<void *>slab.base, pool.granule_bytes)
        slab.flags &= ~FLAG_GUARDED


cdef void guarded_close(pool_t *pool, slab_t *slab, uint32_t index) noexcept nogil:
    """A free guarded block cannot be touched: nor can its guard page ever."""
    if pool.config.backing == BACKING_PAGES:
        os_protect(<void *>(slab.base + <uint64_t>index * slab.block_bytes), slab.block_bytes)


cdef bint guarded_open(pool_t *pool, slab_t *slab, uint32_t index) noexcept nogil:
    """Everything of the stride but its guard page. False: the OS, or on_map, refused."""
    cdef uint64_t start = slab.base + <uint64_t>index * slab.block_bytes
    if pool.config.backing == BACKING_PAGES:
        return os_unprotect(<void *>start, slab.block_bytes - page_bytes)
    return space_call(pool, pool.config.on_map, start, slab.block_bytes - page_bytes) == 0


cdef void heap_keep_empty(heap_t *heap, slab_t *slab) noexcept nogil:
    used_remove(slab)
    slab.place = PLACE_EMPTY
    list_push(&heap.empty[slab.size_class], slab)
    heap.empty_mask[slab.size_class >> 6] |= <uint64_t>1 << (slab.size_class & 63)
    heap.empty_count += 1


cdef void heap_unkeep_empty(heap_t *heap, slab_t *slab) noexcept nogil:
    used_add(slab, slab.carved)
    list_remove(&heap.empty[slab.size_class], slab)
    if heap.empty[slab.size_class] == NULL:
        heap.empty_mask[slab.size_class >> 6] &= ~(<uint64_t>1 << (slab.size_class & 63))
    heap.empty_count -= 1


cdef slab_t *heap_any_empty(heap_t *heap) noexcept nogil:
    if heap.empty_mask[0]:
        return heap.empty[bits_lowest(heap.empty_mask[0])]
    if heap.empty_mask[1]:
        return heap.empty[64 + bits_lowest(heap.empty_mask[1])]
    return NULL


cdef void heap_retire(pool_t *pool, slab_t *slab) noexcept nogil:
    """Gives a slab without a live block, on no list, back to the arena."""
    os_lock(&pool.arena_lock)
    slab_unformat(pool, slab)
    arena_give(pool, granule_of(pool, slab), 1)
    os_unlock(&pool.arena_lock)


cdef int slab_emptied_slow(slab_t *slab) noexcept nogil:
    """The last live block of a slab of this thread's heap came back."""
    cdef heap_t *heap = slab.heap
    if slab.place != PLACE_PARTIAL:
        return VERDICT_LIVE
    assert_whole(check_slab_empty(heap.pool, slab))
    list_remove(&heap.partial[slab.size_class], slab)
    if heap.empty_count >= EMPTY_KEPT + heap.slab_count // 8:
        heap_retire(heap.pool, slab)
    else:
        heap_keep_empty(heap, slab)
    return VERDICT_LIVE


cdef inline heap_t *slab_fast_owner(slab_t *slab) noexcept nogil:
    """Who may take the fast free of a slab that is not full."""
    return NULL if slab.heap.pool.is_policed or slab.flags & FLAG_TAGGED else slab.heap


cdef inline heap_t *slab_full_owner(slab_t *slab) noexcept nogil:
    """The owner of a full slab: equal to no heap, but the front still knows it."""
    cdef heap_t *owner = slab_fast_owner(slab)
    return NULL if owner == NULL else <heap_t *>(<uint64_t>owner + 1)


cdef void slab_settle(slab_t *slab) noexcept nogil:
    """Finds the slab's place after blocks came back to it. It may be another's when this returns."""
    cdef heap_t *heap = slab.heap
    if slab.place == PLACE_FULL:
        slab.place = PLACE_PARTIAL
        slab.owner = slab_fast_owner(slab)
        list_push(&heap.partial[slab.size_class], slab)
    if slab_live(slab) == 0:
        slab_emptied_slow(slab)


cdef void slab_return(slab_t *slab, uint32_t index) noexcept nogil:
    """Block `index` goes back to its slab, whatever the slab's place. By the owner."""
    slab_put(slab, index)
    slab_settle(slab)
