# ---- Snapshots (address space only) -----------------------------------------------------------------------
# A header; the pool's own numbers; the heap; each used granule's descriptor, records and tags; the quarantine;
# a checksum. Pointers are written as granule number + 1. Restoring reproduces every address to come.

cdef enum:
    SNAPSHOT_MAGIC = 0x4E534350     # "PCSN"
    SNAPSHOT_VERSION = 1

cdef struct snapshot_t:
    uint32_t magic
    uint32_t version
    uint64_t bytes
    uint64_t base
    uint64_t span
    uint64_t shape              # checksum of size classes and policies
    uint64_t top
    uint64_t committed_top
    uint64_t free_granules
    uint64_t backed_granules
    uint64_t run_total
    uint64_t live_blocks
    uint64_t live_bytes
    uint64_t peak_blocks
    uint64_t peak_bytes
    uint64_t request_count
    uint64_t sequence
    uint64_t fault_state
    uint64_t guard_count
    uint64_t quarantine_count
    uint64_t quarantine_bytes
    uint64_t retired_total
    uint32_t slab_count
    uint32_t empty_count
    uint64_t empty_mask[2]
    uint64_t bin_mask[BIN_WORDS]
    uint32_t bins[BIN_COUNT]
    uint32_t current[CLASS_MAX]
    uint32_t partial[CLASS_MAX]
    uint32_t empty[CLASS_MAX]

cdef struct snapshot_granule_t:
    uint64_t granule
    uint64_t base
    uint64_t total
    uint32_t head
    uint32_t freed
    uint32_t frees
    uint32_t unused_word
    uint32_t granules
    uint32_t next
    uint32_t prev
    uint32_t part_of
    uint32_t block_bytes
    uint16_t block_count
    uint16_t carved
    uint8_t size_class
    uint8_t kind
    uint8_t was
    uint8_t place
    uint8_t flags
    uint8_t has_tags
    uint8_t unused[6]


cdef uint64_t checksum(const uint8_t *data, uint64_t size) noexcept nogil:
    """FNV-1a: damage shall be noticed; nobody is kept from forging one."""
    cdef uint64_t sum = <uint64_t>0xCBF29CE484222325
    cdef uint64_t i
    for i in range(size):
        sum = (sum ^ data[i]) * <uint64_t>0x100000001B3
    return sum


cdef uint64_t snapshot_shape(pool_t *pool) noexcept nogil:
    cdef uint64_t sum = checksum(<uint8_t *>pool.class_bytes, pool.class_count * sizeof(uint32_t))
    sum = sum * 31 + pool.config.guard_every
    sum = sum * 31 + pool.quarantine_capacity
    sum = sum * 31 + pool.config.quarantine_bytes
    return sum * 31 + pool.granule_shift


cdef inline uint32_t slab_number(pool_t *pool, slab_t *slab) noexcept nogil:
    return 0 if slab == NULL or slab == &slab_none else <uint32_t>granule_of(pool, slab) + 1


cdef inline slab_t *slab_numbered(pool_t *pool, uint32_t number) noexcept nogil:
    return NULL if number == 0 else granule_at(pool, number - 1)


cdef inline bint is_used_granule(slab_t *slab) noexcept nogil:
    return slab.kind != KIND_NONE or slab.was != KIND_NONE or slab.flags != 0


cdef uint64_t granule_extra_bytes(slab_t *slab) noexcept nogil:
    """Of records and tags behind a granule's descriptor, padded to 8."""
    cdef uint64_t size = 0
    if slab.kind == KIND_SLAB:
        size = slab_records_bytes(slab)
    if slab.tags != NULL and slab.kind in (KIND_SLAB, KIND_RUN):
        size = ((size + 7) & ~<uint64_t>7) + <uint64_t>slab.block_count * sizeof(tag_t)
    return (size + 7) & ~<uint64_t>7


cdef uint64_t snapshot_size(pool_t *pool) noexcept nogil:
    cdef uint64_t granule
    cdef uint64_t size = sizeof(snapshot_t) + pool.quarantine_count * sizeof(uint64_t) + sizeof(uint64_t)
    for granule in range(pool.top):
        if is_used_granule(granule_at(pool, granule)):
            size += sizeof(snapshot_granule_t) + granule_extra_bytes(granule_at(pool, granule))
    return size


cdef uint64_t pool_snapshot_bytes(pool_t *pool) noexcept nogil:
    cdef uint64_t size
    if pool.is_closed:
        return 0
    thread_here()
    os_lock(&pool.heap_lock)
    size = snapshot_size(pool)
    os_unlock(&pool.heap_lock)
    return size


cdef uint64_t pool_snapshot(pool_t *pool, char *out, uint64_t capacity) noexcept nogil:
    """Bytes written; 0 when it did not fit, as another thread may have allocated since the size was asked."""
    cdef snapshot_t *head = <snapshot_t *>out
    cdef snapshot_granule_t *entry
    cdef heap_t *heap
    cdef slab_t *slab
    cdef uint64_t granule, i, size
    cdef char *place = out + sizeof(snapshot_t)
    cdef uint64_t *addresses
    if pool.is_closed:
        return 0
    thread_here()
    os_lock(&pool.heap_lock)
    size = snapshot_size(pool)
    if size > capacity:
        os_unlock(&pool.heap_lock)
        return 0
    memset(out, 0, size)
    heap = pool.shared_heap
    head.magic = SNAPSHOT_MAGIC
    head.version = SNAPSHOT_VERSION
    head.bytes = size
    head.base = pool.base
    head.span = pool.span
    head.shape = snapshot_shape(pool)
    head.top = pool.top
    head.committed_top = pool.committed_top
    head.free_granules = pool.free_granules
    head.backed_granules = pool.backed_granules
    head.run_total = pool.run_total
    head.live_blocks = pool.live_blocks
    head.live_bytes = pool.live_bytes
    head.peak_blocks = pool.peak_blocks
    head.peak_bytes = pool.peak_bytes
    head.request_count = pool.request_count
    head.sequence = pool.sequence
    head.fault_state = pool.fault_state
    head.guard_count = pool.guard_count
    head.quarantine_count = pool.quarantine_count
    head.quarantine_bytes = pool.quarantine_bytes
    head.retired_total = heap.retired_total
    head.slab_count = heap.slab_count
    head.empty_count = heap.empty_count
    head.empty_mask[0] = heap.empty_mask[0]
    head.empty_mask[1] = heap.empty_mask[1]
    memcpy(head.bin_mask, pool.bin_mask, sizeof(head.bin_mask))
    for i in range(BIN_COUNT):
        head.bins[i] = slab_number(pool, pool.bins[i])
    for i in range(CLASS_MAX):
        head.current[i] = slab_number(pool, heap.current[i])
        head.partial[i] = slab_number(pool, heap.partial[i])
        head.empty[i] = slab_number(pool, heap.empty[i])
    for granule in range(pool.top):
        slab = granule_at(pool, granule)
        if not is_used_granule(slab):
            continue
        entry = <snapshot_granule_t *>place
        entry.granule = granule
        entry.base = slab.base
        entry.total = slab.total
        entry.head = slab.head
        entry.freed = slab.freed
        entry.frees = slab.frees
        entry.granules = slab.granules
        entry.next = slab_number(pool, slab.next)
        entry.prev = slab_number(pool, slab.prev)
        if slab.kind == KIND_RUN_PART or slab.was == KIND_RUN_PART:
            entry.part_of = slab_number(pool, <slab_t *>slab.tags)
        entry.block_bytes = slab.block_bytes
        entry.block_count = slab.block_count
        entry.carved = slab.carved
        entry.size_class = slab.size_class
        entry.kind = slab.kind
        entry.was = slab.was
        entry.place = slab.place
        entry.flags = slab.flags
        entry.has_tags = slab.tags != NULL and slab.kind in (KIND_SLAB, KIND_RUN)
        place += sizeof(snapshot_granule_t)
        size = granule_extra_bytes(slab)
        if slab.kind == KIND_SLAB:
            memcpy(place, slab.records, slab_records_bytes(slab))
            # A Buffer is of this process: its block is a plain live one in the snapshot.
            for i in range(slab.carved):
                records_unhold(<uint32_t *>place + i)
        elif slab.kind == KIND_RUN:
            records_unhold(&entry.head)
        if entry.has_tags:
            memcpy(place + size - slab.block_count * sizeof(tag_t), slab.tags, slab.block_count * sizeof(tag_t))
        place += size
    addresses = <uint64_t *>place
    for i in range(pool.quarantine_count):
        addresses[i] = pool.quarantine[(pool.quarantine_first + i) % pool.quarantine_capacity]
    os_unlock(&pool.heap_lock)
    (<uint64_t *>(out + head.bytes - 8))[0] = checksum(<uint8_t *>out, head.bytes - 8)
    return head.bytes


cdef void records_unhold(uint32_t *record) noexcept nogil:
    cdef uint32_t state = record[0] & RECORD_STATE
    if state == RECORD_HELD or state == RECORD_EXPORTED:
        record[0] = RECORD_LIVE | (record[0] & RECORD_SIZE)


cdef int pool_restore(pool_t *pool, const char *data, uint64_t size, const char **why) noexcept nogil:
    """0; or -1 and `why`, the pool as it was, except that a refusal of on_map comes when it is already restored."""
    cdef const snapshot_t *head = <const snapshot_t *>data
    cdef const snapshot_granule_t *entry
    cdef const char *place
    cdef heap_t *heap
    cdef slab_t *slab
    cdef uint64_t i, extra
    cdef uint8_t *was_backed
    cdef uint8_t *is_backed
    cdef uint64_t was_top
    cdef int answer = 0
    why[0] = NULL
    if size < sizeof(snapshot_t) + 8 or head.magic != SNAPSHOT_MAGIC:
        why[0] = "not a snapshot"
        return -1
    if head.version != SNAPSHOT_VERSION:
        why[0] = "a snapshot of another version"
        return -1
    if head.bytes != size or (<const uint64_t *>(data + size - 8))[0] != checksum(<const uint8_t *>data, size - 8):
        why[0] = "a damaged snapshot"
        return -1
    if head.base != pool.base or head.span != pool.span or head.shape != snapshot_shape(pool):
        why[0] = "a snapshot of a pool with another address space, other size classes or policies"
        return -1
    if thread_in_callback(pool):
        why[0] = "restore from inside on_map or on_unmap"
        return -1
    os_lock(&pool.heap_lock)
    if pool.is_closed:
        os_unlock(&pool.heap_lock)
        why[0] = "the pool is closed"
        return -1
    # What is mapped now goes, guarded blocks and long runs with it, unless the snapshot has it too.
    was_top = pool.top
    extra = (was_top if was_top > head.top else head.top) + 1
    was_backed = <uint8_t *>os_map(2 * extra)
    if was_backed == NULL:
        os_unlock(&pool.heap_lock)
        why[0] = "no memory"
        return -1
    is_backed = was_backed + extra
    space_unback_special(pool)
    for i in range(was_top):
        was_backed[i] = granule_at(pool, i).flags & FLAG_BACKED
    heap = pool.shared_heap
    space_forget(pool)
    pool.top = head.top
    pool.committed_top = head.committed_top
    pool.free_granules = head.free_granules
    pool.backed_granules = head.backed_granules
    pool.run_total = head.run_total
    pool.live_blocks = head.live_blocks
    pool.live_bytes = head.live_bytes
    pool.peak_blocks = head.peak_blocks
    pool.peak_bytes = head.peak_bytes
    pool.request_count = head.request_count
    pool.sequence = head.sequence
    pool.fault_state = head.fault_state
    pool.guard_count = head.guard_count
    pool.quarantine_first = 0
    pool.quarantine_count = head.quarantine_count
    pool.quarantine_bytes = head.quarantine_bytes
    heap.retired_total = head.retired_total
    heap.slab_count = head.slab_count
    heap.empty_count = head.empty_count
    heap.empty_mask[0] = head.empty_mask[0]
    heap.empty_mask[1] = head.empty_mask[1]
    memcpy(pool.bin_mask, head.bin_mask, sizeof(head.bin_mask))
    for i in range(BIN_COUNT):
        pool.bins[i] = slab_numbered(pool, head.bins[i])
    for i in range(CLASS_MAX):
        heap.current[i] = &slab_none if head.current[i] == 0 else slab_numbered(pool, head.current[i])
        heap.partial[i] = slab_numbered(pool, head.partial[i])
        heap.empty[i] = slab_numbered(pool, head.empty[i])
    place = data + sizeof(snapshot_t)
    while <uint64_t>(place - data) < size - 8 - head.quarantine_count * sizeof(uint64_t):
        entry = <const snapshot_granule_t *>place
        place += sizeof(snapshot_granule_t)
        slab = granule_at(pool, entry.granule)
        slab.base = entry.base
        slab.total = entry.total
        slab.head = entry.head
        slab.freed = entry.freed
        slab.frees = entry.frees
        slab.granules = entry.granules
        slab.next = slab_numbered(pool, entry.next)
        slab.prev = slab_numbered(pool, entry.prev)
        slab.block_bytes = entry.block_bytes
        slab.block_count = entry.block_count
        slab.carved = entry.carved
        slab.size_class = entry.size_class
        slab.kind = entry.kind
        slab.was = entry.was
        slab.place = entry.place
        slab.flags = entry.flags
        if slab.size_class < pool.class_count:
            slab.reciprocal = pool.class_reciprocal[slab.size_class]
        if entry.part_of:
            slab.tags = <tag_t *>slab_numbered(pool, entry.part_of)
        if slab.kind == KIND_SLAB:
            slab.heap = heap
            records_make(pool, slab)
            memcpy(slab.records, place, slab_records_bytes(slab))
        elif slab.kind == KIND_RUN:
            slab.records = &slab.head
        if entry.has_tags:
            slab.tags = <tag_t *>meta_alloc(pool, slab.block_count * sizeof(tag_t), False)
        extra = granule_extra_bytes(slab)
        if entry.has_tags:
            memcpy(slab.tags, place + extra - slab.block_count * sizeof(tag_t), slab.block_count * sizeof(tag_t))
        place += extra
    memcpy(pool.quarantine, place, head.quarantine_count * sizeof(uint64_t))
    for i in range(pool.top):
        is_backed[i] = granule_at(pool, i).flags & FLAG_BACKED
    answer = space_reconcile(pool, was_backed, is_backed, was_top if was_top > pool.top else pool.top)
    os_unlock(&pool.heap_lock)
    os_release(was_backed, 2 * ((was_top if was_top > head.top else head.top) + 1))
    if answer != 0:
        why[0] = "on_map refused an extent of the snapshot"
    return answer


cdef void space_forget(pool_t *pool) noexcept nogil:
    """Every Buffer dead, every descriptor and record as never used. Nothing is unmapped."""
    cdef uint64_t granule
    cdef uint32_t i
    cdef slab_t *slab
    cdef heap_t *heap = pool.shared_heap
    for granule in range(pool.top):
        slab = granule_at(pool, granule)
        if slab.kind == KIND_SLAB or slab.kind == KIND_RUN:
            for i in range(slab.carved):
                if slab.records[i] & RECORD_STATE in (RECORD_HELD, RECORD_EXPORTED):
                    hold_kill(slab, i)
                slab.records[i] = 0
        if slab.kind == KIND_SLAB:
            meta_free(pool, slab.holders, <uint64_t>slab.block_count * sizeof(void *), False)
        records_drop(pool, slab)
        if slab.kind == KIND_SLAB or slab.kind == KIND_RUN:
            meta_free(pool, slab.tags, <uint64_t>slab.block_count * sizeof(tag_t), False)
        if is_used_granule(slab):
            memset(slab, 0, sizeof(slab_t))
    memset(pool.bins, 0, sizeof(pool.bins))
    heap.late_double_frees = 0


cdef void space_unback_special(pool_t *pool) noexcept nogil:
    """Unmaps what is not mapped by whole granules: long runs and guarded blocks."""
    cdef uint64_t granule = 0
    cdef slab_t *slab
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_RUN and (slab.granules > MAPPED_ALONE or slab.flags & FLAG_GUARDED):
            special_call(pool, slab, pool.config.on_unmap)
        elif slab.kind == KIND_SLAB and slab.flags & FLAG_GUARDED:
            special_call(pool, slab, pool.config.on_unmap)
        granule += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1


cdef int special_call(pool_t *pool, slab_t *slab, map_call_t call) noexcept nogil:
    """`call` for each mapped piece of a long or guarded run, or a guarded slab."""
    cdef uint32_t i
    cdef int answer = 0
    if slab.kind == KIND_RUN:
        return space_call(pool, call, granule_address(pool, granule_of(pool, slab)),
                          (<uint64_t>slab.granules << pool.granule_shift)
                          - (page_bytes if slab.flags & FLAG_GUARDED else 0))
    for i in range(slab.carved):
        if slab.records[i] & RECORD_STATE not in (0, RECORD_QUARANTINED):
            answer |= space_call(pool, call, slab.base + <uint64_t>i * slab.block_bytes, slab.block_bytes - page_bytes)
    return answer


cdef int space_reconcile(pool_t *pool, const uint8_t *was, const uint8_t *now, uint64_t count) noexcept nogil:
    """Unmaps granules that are mapped and should not be, then maps those that should."""
    cdef uint64_t i = 0
    cdef uint64_t start
    cdef int answer = 0
    cdef slab_t *slab
    while i < count:
        start = i
        while i < count and was[i] and not now[i]:
            i += 1
        if i > start:
            space_call(pool, pool.config.on_unmap, granule_address(pool, start), (i - start) << pool.granule_shift)
        else:
            i += 1
    i = 0
    while i < count:
        start = i
        while i < count and now[i] and not was[i]:
            i += 1
        if i > start:
            answer |= space_call(pool, pool.config.on_map, granule_address(pool, start),
                                 (i - start) << pool.granule_shift)
        else:
            i += 1
    i = 0
    while i < pool.top:
        slab = granule_at(pool, i)
        if slab.kind == KIND_RUN and (slab.granules > MAPPED_ALONE or slab.flags & FLAG_GUARDED):
            answer |= special_call(pool, slab, pool.config.on_map)
        elif slab.kind == KIND_SLAB and slab.flags & FLAG_GUARDED:
            answer |= special_call(pool, slab, pool.config.on_map)
        i += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1
    return answer
