# ---- Snapshots (address space only) -----------------------------------------------------------------------
# A header; the pool's own numbers; the heap; each used granule's descriptor, records and tags; the quarantine;
# a checksum. Pointers are written as granule number + 1. Restoring reproduces every address to come.

cdef enum:
    SNAPSHOT_MAGIC = 0x4E534350     # "PCSN"
    SNAPSHOT_VERSION = 3

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
    uint32_t granules
    uint32_t next
    uint32_t prev
    uint32_t block_bytes
    uint16_t block_count
    uint16_t carved
    uint8_t size_class
    uint8_t kind
    uint8_t was
    uint8_t place
    uint8_t flags
    uint8_t has_tags
    uint8_t has_records
    uint8_t unused[5]


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


cdef inline bint has_records(slab_t *slab) noexcept nogil:
    """A slab's; and those that a free granule keeps, which tell its former blocks from what never was one."""
    return slab.kind == KIND_SLAB or slab.was == KIND_SLAB and slab.record_bin != 0


cdef uint64_t granule_extra_bytes(slab_t *slab) noexcept nogil:
    """Of records and tags behind a granule's descriptor, padded to 8."""
    cdef uint64_t size = 0
    if has_records(slab):
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


cdef bint snapshot_begin(pool_t *pool) noexcept nogil:
    """Takes the heap lock at a moment at which no granule waits for a callback. False, without the lock: the caller
    is such a callback, or the pool is closed."""
    cdef bint is_inside = thread_in_callback(pool)
    os_lock(&pool.heap_lock)
    while pool.map_calls and not is_inside and not pool.is_closed:
        os_wait(&pool.settled, &pool.heap_lock)
    if pool.map_calls or pool.is_closed:
        os_unlock(&pool.heap_lock)
        return False
    return True


cdef uint64_t pool_snapshot_bytes(pool_t *pool) noexcept nogil:
    cdef uint64_t size
    if not snapshot_begin(pool):
        return 0
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
    if not snapshot_begin(pool):
        return 0
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
        entry.has_records = has_records(slab)
        if entry.has_records:
            memcpy(place, slab.records, slab_records_bytes(slab))
            # A Buffer is of this process: its block is a plain live one in the snapshot.
            for i in range(slab.carved):
                records_unhold(<uint32_t *>place + i)
        elif slab.kind == KIND_RUN:
            records_unhold(&entry.block_bytes)
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


# ---- What is mapped -------------------------------------------------------------------------------------------
# A state of an address-space pool says which addresses are mapped: granules with FLAG_BACKED, runs that are mapped
# by themselves, and live blocks of guarded slabs.

cdef struct range_t:
    uint64_t start
    uint64_t end

# Ascending, none touching the next.
cdef struct ranges_t:
    range_t *places             # NULL: they are only counted, before those that touch are joined
    uint64_t count
    uint64_t end                # of the last


cdef bint ranges_add(ranges_t *ranges, uint64_t start, uint64_t end) noexcept nogil:
    """False: it does not lie behind the last."""
    if start < ranges.end or end <= start:
        return False
    if ranges.places == NULL:
        ranges.count += 1
    elif ranges.count and start == ranges.end:
        ranges.places[ranges.count - 1].end = end
    else:
        ranges.places[ranges.count].start = start
        ranges.places[ranges.count].end = end
        ranges.count += 1
    ranges.end = end
    return True


cdef void ranges_less(const ranges_t *ranges, const ranges_t *less, ranges_t *rest) noexcept nogil:
    """`rest` gets what is in `ranges` and not in `less`: at most as many as both have."""
    cdef uint64_t i, start, end
    cdef uint64_t k = 0
    rest.count = 0
    rest.end = 0
    for i in range(ranges.count):
        start = ranges.places[i].start
        end = ranges.places[i].end
        while k < less.count and less.places[k].end <= start:
            k += 1
        while k < less.count and less.places[k].start < end:
            ranges_add(rest, start, less.places[k].start)
            start = less.places[k].end
            if start >= end:
                break
            k += 1
        ranges_add(rest, start, end)


cdef void ranges_join(const ranges_t *one, const ranges_t *other, ranges_t *both) noexcept nogil:
    """Of two that share nothing."""
    cdef uint64_t i = 0
    cdef uint64_t k = 0
    both.count = 0
    both.end = 0
    while i < one.count or k < other.count:
        if k == other.count or i < one.count and one.places[i].start < other.places[k].start:
            ranges_add(both, one.places[i].start, one.places[i].end)
            i += 1
        else:
            ranges_add(both, other.places[k].start, other.places[k].end)
            k += 1


cdef bint ranges_add_granule(pool_t *pool, ranges_t *ranges, uint64_t granule, uint8_t kind, uint8_t flags,
                             uint64_t granules, uint64_t carved, uint64_t block_bytes,
                             const uint32_t *records) noexcept nogil:
    """What a granule's descriptor, or its entry in a snapshot, says."""
    cdef uint64_t start = granule_address(pool, granule)
    cdef uint64_t at
    cdef uint64_t i
    if kind == KIND_RUN and (granules > MAPPED_ALONE or flags & FLAG_GUARDED):
        return ranges_add(ranges, start, start + (granules << pool.granule_shift)
                          - (page_bytes if flags & FLAG_GUARDED else 0))
    if kind == KIND_SLAB and flags & FLAG_GUARDED:
        for i in range(carved):
            at = start + i * block_bytes
            if records[i] & RECORD_STATE not in (0, RECORD_QUARANTINED) and not ranges_add(
                    ranges, at, at + block_bytes - page_bytes):
                return False
    elif flags & FLAG_BACKED:
        return ranges_add(ranges, start, start + pool.granule_bytes)
    return True


cdef void ranges_of_pool(pool_t *pool, ranges_t *ranges) noexcept nogil:
    cdef uint64_t granule = 0
    cdef uint64_t end
    cdef slab_t *slab
    ranges.count = 0
    ranges.end = 0
    while granule < pool.top:
        slab = granule_at(pool, granule)
        end = granule + (slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1)
        ranges_add_granule(pool, ranges, granule, slab.kind, slab.flags, slab.granules, slab.carved, slab.block_bytes,
                           slab.records)
        granule += 1
        # No granule at or above committed_top is mapped by itself, and none inside a run that is mapped as one.
        while granule < end and granule < pool.committed_top:
            if granule_at(pool, granule).flags & FLAG_BACKED:
                ranges_add(ranges, granule_address(pool, granule), granule_address(pool, granule + 1))
            granule += 1
        granule = end


# ---- Restoring ------------------------------------------------------------------------------------------------
# The snapshot is read to its end before anything changes, and calls that are between two of their steps are waited
# for. From there on nobody else maps or unmaps and requests are refused, so that the pool is whole, as it was, whenever
# the lock is let go. What the snapshot has and the pool has not is mapped; when that is refused, it is unmapped again.
# Then the pool becomes the snapshot, in one go, and last of all what nobody needs any more is unmapped. At every moment
# all that the pool says is mapped is mapped. Frees and questions go on meanwhile; a free before that moment is undone
# by it, as are those before the restore.

cdef const char *snapshot_fault(pool_t *pool, const char *data, uint64_t size) noexcept nogil:
    """What keeps a snapshot from being restored, or NULL. Then nothing in it leads outside of it or of the pool."""
    cdef const snapshot_t *head = <const snapshot_t *>data
    cdef uint64_t i
    if size < sizeof(snapshot_t) + 8 or head.magic != SNAPSHOT_MAGIC:
        return "not a snapshot"
    if head.version != SNAPSHOT_VERSION:
        return "a snapshot of another version"
    if head.bytes != size or (<const uint64_t *>(data + size - 8))[0] != checksum(<const uint8_t *>data, size - 8):
        return "a damaged snapshot"
    if head.base != pool.base or head.span != pool.span or head.shape != snapshot_shape(pool):
        return "a snapshot of a pool with another address space, other size classes or policies"
    if (head.top > pool.granule_count or head.committed_top > pool.granule_count
            or head.quarantine_count > pool.quarantine_capacity
            or head.quarantine_count > (size - 8 - sizeof(snapshot_t)) // sizeof(uint64_t)):
        return "a damaged snapshot"
    if head.live_blocks > pool.config.limit_blocks or head.live_bytes > pool.config.limit_bytes:
        return "more is live in it than the pool's limits allow"
    for i in range(BIN_COUNT):
        if head.bins[i] > head.top:
            return "a damaged snapshot"
    for i in range(CLASS_MAX):
        if head.current[i] > head.top or head.partial[i] > head.top or head.empty[i] > head.top:
            return "a damaged snapshot"
    return NULL


cdef bint entry_is_good(pool_t *pool, const snapshot_t *head, const snapshot_granule_t *entry) noexcept nogil:
    cdef uint64_t stride, blocks
    if entry.granule >= head.top or entry.next > head.top or entry.prev > head.top:
        return False
    if entry.has_tags and entry.kind not in (KIND_SLAB, KIND_RUN):
        return False
    if entry.has_records and (
            entry.kind not in (KIND_SLAB, KIND_FREE, KIND_FREE_END, KIND_NONE)
            or entry.carved > entry.block_count or entry.block_count > pool.granule_bytes // ALIGNMENT):
        return False
    if entry.kind == KIND_SLAB:
        if entry.size_class >= pool.class_count or entry.place > PLACE_EMPTY or not entry.has_records:
            return False
        stride = pool.class_bytes[entry.size_class]
        blocks = pool.class_blocks[entry.size_class]
        if entry.flags & FLAG_GUARDED:
            stride = guarded_stride(stride)
            blocks = pool.granule_bytes // stride
        return entry.block_bytes == stride and entry.block_count == blocks
    if entry.kind == KIND_RUN or entry.kind == KIND_FREE:
        if entry.granules == 0 or entry.granules > head.top - entry.granule:
            return False
        return entry.kind == KIND_FREE or entry.block_count == 1 and entry.carved == 1
    return entry.kind in (KIND_NONE, KIND_FREE_END) or entry.kind == KIND_RUN_PART and entry.granules < entry.granule


cdef uint64_t entry_extra_bytes(const snapshot_granule_t *entry) noexcept nogil:
    """Of records and tags behind an entry, padded to 8."""
    cdef uint64_t size = 0
    if entry.has_records:
        size = <uint64_t>entry.block_count * (8 if entry.flags & FLAG_GUARDED else 4)
    if entry.has_tags:
        size = ((size + 7) & ~<uint64_t>7) + <uint64_t>entry.block_count * sizeof(tag_t)
    return (size + 7) & ~<uint64_t>7


cdef const char *snapshot_read(pool_t *pool, const char *data, uint64_t size, ranges_t *ranges) noexcept nogil:
    """Goes through the granules of a snapshot without fault: what is wrong, or NULL and what it has mapped."""
    cdef const snapshot_t *head = <const snapshot_t *>data
    cdef const snapshot_granule_t *entry
    cdef const char *place = data + sizeof(snapshot_t)
    cdef const char *end = data + size - 8 - head.quarantine_count * sizeof(uint64_t)
    cdef uint64_t next_granule = 0
    # While no piece comes back, what is skipped for those that follow is less than the longest.
    cdef uint64_t meta_units = <uint64_t>1 << (META_ORDERS - 1)
    cdef uint64_t units
    ranges.count = 0
    ranges.end = 0
    while place < end:
        entry = <const snapshot_granule_t *>place
        if <uint64_t>(end - place) < sizeof(snapshot_granule_t):
            return "a damaged snapshot"
        place += sizeof(snapshot_granule_t)
        if (entry.granule < next_granule or not entry_is_good(pool, head, entry)
                or <uint64_t>(end - place) < entry_extra_bytes(entry)
                or not ranges_add_granule(pool, ranges, entry.granule, entry.kind, entry.flags, entry.granules,
                                          entry.carved, entry.block_bytes, <const uint32_t *>place)):
            return "a damaged snapshot"
        next_granule = entry.granule + 1
        place += entry_extra_bytes(entry)
        if entry.has_records:
            units = (records_bytes(entry.block_bytes, entry.block_count, entry.flags & FLAG_GUARDED)
                     + META_UNIT - 1) // META_UNIT
            record_bin_of(&units)
            meta_units += units
        if entry.has_tags:
            meta_units += <uint64_t>1 << meta_order(<uint64_t>entry.block_count * sizeof(tag_t))
    if meta_units * META_UNIT > pool.meta.reserved:
        return "no memory"
    return NULL


cdef void snapshot_become(pool_t *pool, const char *data, uint64_t size) noexcept nogil:
    """The pool is what the snapshot says from here on. Under both locks."""
    cdef const snapshot_t *head = <const snapshot_t *>data
    cdef const snapshot_granule_t *entry
    cdef const char *place = data + sizeof(snapshot_t)
    cdef const char *end = data + size - 8 - head.quarantine_count * sizeof(uint64_t)
    cdef heap_t *heap = pool.shared_heap
    cdef slab_t *slab
    cdef uint64_t i, tags_bytes
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
    while place < end:
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
        if slab.kind == KIND_SLAB:
            slab.heap = heap
        if entry.has_records:
            records_make(pool, slab, records_bytes(slab.block_bytes, slab.block_count, slab.flags & FLAG_GUARDED))
            memcpy(slab.records, place, slab_records_bytes(slab))
        place += entry_extra_bytes(entry)
        if entry.has_tags:
            tags_bytes = <uint64_t>slab.block_count * sizeof(tag_t)
            slab.tags = <tag_t *>meta_alloc(pool, tags_bytes)
            memcpy(slab.tags, place - tags_bytes, tags_bytes)
    memcpy(pool.quarantine, end, head.quarantine_count * sizeof(uint64_t))


cdef void space_forget(pool_t *pool) noexcept nogil:
    """Every Buffer dead, every descriptor as never used, all metadata free. Nothing is unmapped. Under both locks."""
    cdef uint64_t granule
    cdef uint32_t i
    cdef slab_t *slab
    cdef heap_t *heap = pool.shared_heap
    for granule in range(pool.top):
        slab = granule_at(pool, granule)
        if slab.kind == KIND_SLAB or slab.kind == KIND_RUN:
            for i in range(slab.carved):
                if record_at(slab, i)[0] & RECORD_STATE in (RECORD_HELD, RECORD_EXPORTED):
                    hold_kill(slab, i)
        # Inside a long run a granule is as never used, but for the records that it keeps of a slab.
        if is_used_granule(slab) or slab.record_bin:
            memset(slab, 0, sizeof(slab_t))
    memset(pool.bins, 0, sizeof(pool.bins))
    # Fresh metadata is zeroed, and here none is read by a thread without the lock.
    memset(<void *>pool.meta.base, 0, pool.meta.used * META_UNIT)
    memset(meta_links(pool, pool.meta.records), 0, pool.meta.reserved - pool.meta.records * META_UNIT)
    memset(pool.meta.orders, 0, pool.meta.used)
    meta_clear(pool)
    pool.late_double_frees = 0


cdef int restore_begin(pool_t *pool, const char **why) noexcept nogil:
    """RESTORE_RUNS, at a moment at which no other call is between two of its steps. Under heap_lock."""
    while pool.restoring != RESTORE_NONE and not pool.is_closed:
        os_wait(&pool.settled, &pool.heap_lock)
    pool.restoring = RESTORE_WAITS      # no more such calls begin
    while (pool.map_calls or pool.open_calls) and not pool.is_closed:
        os_wait(&pool.settled, &pool.heap_lock)
    if pool.is_closed:
        why[0] = "the pool is closed"
        return -1
    pool.restoring = RESTORE_RUNS
    return 0


cdef bint restore_map(pool_t *pool, ranges_t *wanted) noexcept nogil:
    """Calls on_map for each. False: one was refused, and `wanted` has those before it."""
    cdef uint64_t i
    cdef range_t *place
    if pool.config.on_map == NULL:
        return True
    for i in range(wanted.count):
        place = wanted.places + i
        if space_tell(pool, pool.config.on_map, place.start, place.end - place.start) != 0:
            wanted.count = i
            return False
    return True


cdef void restore_unmap(pool_t *pool, ranges_t *mapped, ranges_t *needed, ranges_t *rest) noexcept nogil:
    """Unmaps what is in `mapped` and the pool does not say is; again as long as frees make that more."""
    cdef ranges_t *swapped
    cdef uint64_t i
    while pool.config.on_unmap != NULL:
        ranges_of_pool(pool, needed)
        ranges_less(mapped, needed, rest)
        if rest.count == 0:
            break
        for i in range(rest.count):
            space_tell(pool, pool.config.on_unmap, rest.places[i].start, rest.places[i].end - rest.places[i].start)
        swapped = mapped
        mapped = needed
        needed = swapped


cdef int pool_restore(pool_t *pool, const char *data, uint64_t size, const char **why) noexcept nogil:
    """See _pool.pxd. After -1 or -2 the pool is as it was but for what others, or callbacks, freed meanwhile."""
    cdef ranges_t mapped, wanted, missing, joined
    cdef uint64_t capacity, scratch_bytes
    cdef range_t *scratch
    cdef thread_t *thread
    why[0] = snapshot_fault(pool, data, size)
    if why[0] != NULL:
        return -1
    thread = thread_here()
    if thread != NULL and times_inside(thread.in_callback, pool) + times_inside(thread.in_open_call, pool) != 0:
        why[0] = "from inside one of its callbacks"
        return -2
    os_lock(&pool.heap_lock)
    if restore_begin(pool, why) != 0:
        os_unlock(&pool.heap_lock)
        return -1
    mapped.places = NULL
    wanted.places = NULL
    ranges_of_pool(pool, &mapped)
    why[0] = snapshot_read(pool, data, size, &wanted)
    # Pieces only go until the end, so no list of them, their sums or differences gets longer than this.
    capacity = 3 * (mapped.count + wanted.count) + 1
    scratch_bytes = 4 * capacity * sizeof(range_t)
    scratch = NULL if why[0] != NULL else <range_t *>os_map(scratch_bytes)
    if scratch != NULL:
        mapped.places = scratch
        wanted.places = scratch + capacity
        missing.places = scratch + 2 * capacity
        joined.places = scratch + 3 * capacity
        ranges_of_pool(pool, &mapped)
        snapshot_read(pool, data, size, &wanted)
        ranges_less(&wanted, &mapped, &missing)
        if restore_map(pool, &missing):
            os_lock(&pool.arena_lock)
            snapshot_become(pool, data, size)
            os_unlock(&pool.arena_lock)
        else:
            why[0] = "on_map refused an extent of the snapshot"
        ranges_join(&mapped, &missing, &joined)
        restore_unmap(pool, &joined, &mapped, &missing)
    elif why[0] == NULL:
        why[0] = "no memory"
    pool.restoring = RESTORE_NONE
    os_wake(&pool.settled)
    os_unlock(&pool.heap_lock)
    if scratch != NULL:
        os_release(scratch, scratch_bytes)
    return 0 if why[0] == NULL else -1


cdef void pool_await_restore(pool_t *pool) noexcept nogil:
    if not pool.is_locked or thread_in_callback(pool):
        return
    os_lock(&pool.heap_lock)
    while pool.restoring != RESTORE_NONE and not pool.is_closed:
        os_wait(&pool.settled, &pool.heap_lock)
    os_unlock(&pool.heap_lock)


# What close has to unmap that is not mapped by whole granules: long runs and guarded blocks.

cdef void space_unback_special(pool_t *pool) noexcept nogil:
    cdef uint64_t granule = 0
    cdef slab_t *slab
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_RUN and (slab.granules > MAPPED_ALONE or slab.flags & FLAG_GUARDED):
            special_unmap(pool, slab)
        elif slab.kind == KIND_SLAB and slab.flags & FLAG_GUARDED:
            special_unmap(pool, slab)
        granule += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1


cdef void special_unmap(pool_t *pool, slab_t *slab) noexcept nogil:
    cdef uint32_t i
    if slab.kind == KIND_RUN:
        space_call(pool, pool.config.on_unmap, granule_address(pool, granule_of(pool, slab)),
                   (<uint64_t>slab.granules << pool.granule_shift) - (page_bytes if slab.flags & FLAG_GUARDED else 0))
        return
    for i in range(slab.carved):
        if slab.records[i] & RECORD_STATE not in (0, RECORD_QUARANTINED):
            space_call(pool, pool.config.on_unmap, slab.base + <uint64_t>i * slab.block_bytes,
                       slab.block_bytes - page_bytes)
