# ---- Metadata: records, holders, tags -----------------------------------------------------------
# From the end downwards records, which do not come back (see records_make). They follow each other as closely as they
# may: at multiples of powers of two those of many slabs share few sets of the caches, and the malloc traces take 1.2
# times as long. From the start upwards a buddy allocator: pieces of 2^order units of 64 bytes at multiples of their
# length, each new one cut from the free or from what was never used; one that comes back joins its other half, if that
# is free. Under arena_lock.
#
# With 5 times the arena's length (see meta_open) metadata do not run out. A granule's records are together shorter than
# it. It has two pieces at most, for holders and tags, and neither is longer than 2 granules: of the places of that
# length, two for each granule and one more, there is always one that no piece lies in.

cdef inline uint32_t *meta_links(pool_t *pool, uint64_t place) noexcept nogil:
    """Of a free piece: unit of the next in its list and of the one before, 0 for none."""
    return <uint32_t *>(pool.meta.base + place * META_UNIT)


cdef inline uint32_t meta_order(uint64_t size) noexcept nogil:
    """Of the shortest pieces with `size` bytes."""
    return bits_highest((size - 1) // META_UNIT) + 1 if size > META_UNIT else 0


cdef void meta_list(pool_t *pool, uint64_t place, uint32_t order) noexcept nogil:
    cdef uint32_t *links = meta_links(pool, place)
    cdef uint32_t following = pool.meta.free[order]
    links[0] = following
    links[1] = 0
    if following:
        meta_links(pool, following)[1] = <uint32_t>place
    pool.meta.free[order] = <uint32_t>place
    pool.meta.orders[place] = <uint8_t>(order + 1)


cdef void meta_unlist(pool_t *pool, uint64_t place, uint32_t order) noexcept nogil:
    cdef uint32_t *links = meta_links(pool, place)
    if links[1]:
        meta_links(pool, links[1])[0] = links[0]
    else:
        pool.meta.free[order] = links[0]
    if links[0]:
        meta_links(pool, links[0])[1] = links[1]
    pool.meta.orders[place] = 0


cdef void meta_give(pool_t *pool, uint64_t place, uint32_t order) noexcept nogil:
    cdef uint64_t half = <uint64_t>1 << order
    while order < META_ORDERS - 1 and pool.meta.orders[place ^ half] == order + 1:
        meta_unlist(pool, place ^ half, order)
        place &= ~half
        half <<= 1
        order += 1
    meta_list(pool, place, order)


cdef void *meta_alloc(pool_t *pool, uint64_t size) noexcept nogil:
    """Zeroed; NULL: there is no more."""
    cdef uint32_t order = meta_order(size)
    cdef uint32_t found
    cdef uint64_t units = <uint64_t>1 << order
    cdef uint64_t place, skipped
    while True:
        found = order
        while found < META_ORDERS and pool.meta.free[found] == 0:
            found += 1
        place = pool.meta.used
        skipped = place & (~place + 1) if place & (units - 1) else 0
        if found < META_ORDERS:
            break
        if place + (skipped if skipped else units) > pool.meta.records:
            return NULL
        if skipped == 0:
            pool.meta.used += units
            return meta_links(pool, place)      # fresh, as the OS gave it
        # What is skipped to reach a multiple of the length may make a free piece of that length whole.
        pool.meta.used += skipped
        meta_give(pool, place, bits_lowest(skipped))
    place = pool.meta.free[found]
    meta_unlist(pool, place, found)
    while found > order:
        found -= 1
        meta_list(pool, place + (<uint64_t>1 << found), found)
    memset(meta_links(pool, place), 0, size)
    return meta_links(pool, place)


cdef void *meta_cut(pool_t *pool, uint64_t units) noexcept nogil:
    """The same for records."""
    if pool.meta.records < pool.meta.used + units:
        return NULL
    pool.meta.records -= units
    return meta_links(pool, pool.meta.records)


cdef void meta_free(pool_t *pool, void *was, uint64_t size) noexcept nogil:
    if was != NULL:
        meta_give(pool, (<uint64_t>was - pool.meta.base) // META_UNIT, meta_order(size))


# ---- The arena: granules and extents --------------------------------------------------------------
# A free extent is known by its first granule (KIND_FREE) and its last (KIND_FREE_END); both hold its
# length. Extents are listed by length: exactly below 16, eight lists a doubling above. Two free
# extents never touch. Under arena_lock.

cdef inline slab_t *granule_at(pool_t *pool, uint64_t granule) noexcept nogil:
    return &pool.descriptors[granule]


cdef inline uint64_t granule_of(pool_t *pool, slab_t *slab) noexcept nogil:
    return <uint64_t>(slab - pool.descriptors)


cdef inline uint64_t granule_address(pool_t *pool, uint64_t granule) noexcept nogil:
    return pool.base + (granule << pool.granule_shift)


cdef inline uint32_t bin_of(uint64_t granules) noexcept nogil:
    cdef uint32_t high
    if granules < 16:
        return <uint32_t>granules
    high = bits_highest(granules)
    return 16 + (high - 4) * 8 + <uint32_t>((granules >> (high - 3)) & 7)


cdef void list_push(slab_t **first, slab_t *slab) noexcept nogil:
    slab.prev = NULL
    slab.next = first[0]
    if first[0] != NULL:
        first[0].prev = slab
    first[0] = slab


cdef void list_remove(slab_t **first, slab_t *slab) noexcept nogil:
    if slab.prev != NULL:
        slab.prev.next = slab.next
    else:
        first[0] = slab.next
    if slab.next != NULL:
        slab.next.prev = slab.prev
    slab.next = NULL
    slab.prev = NULL


cdef void extent_insert(pool_t *pool, uint64_t first, uint64_t count) noexcept nogil:
    cdef slab_t *head = granule_at(pool, first)
    cdef slab_t *end = granule_at(pool, first + count - 1)
    cdef uint32_t index = bin_of(count)
    atomic_store_u8(&head.kind, KIND_FREE)
    head.granules = <uint32_t>count
    if count > 1:
        atomic_store_u8(&end.kind, KIND_FREE_END)
        end.granules = <uint32_t>count
    list_push(&pool.bins[index], head)
    pool.bin_mask[index >> 6] |= <uint64_t>1 << (index & 63)
    pool.free_granules += count


cdef void extent_remove(pool_t *pool, slab_t *head) noexcept nogil:
    cdef uint64_t count = head.granules
    cdef uint32_t index = bin_of(count)
    list_remove(&pool.bins[index], head)
    if pool.bins[index] == NULL:
        pool.bin_mask[index >> 6] &= ~(<uint64_t>1 << (index & 63))
    atomic_store_u8(&head.kind, KIND_NONE)
    if count > 1:
        atomic_store_u8(&(head + count - 1).kind, KIND_NONE)
    pool.free_granules -= count


cdef inline uint64_t granule_aligned(pool_t *pool, uint64_t granule, uint64_t alignment) noexcept nogil:
    """First granule at or above `granule` whose address divides by `alignment`."""
    cdef uint64_t address = granule_address(pool, granule)
    address = (address + alignment - 1) & ~(alignment - 1)
    return (address - pool.base) >> pool.granule_shift


cdef inline bint extent_fits(pool_t *pool, slab_t *head, uint64_t count, uint64_t alignment) noexcept nogil:
    cdef uint64_t first = granule_of(pool, head)
    return granule_aligned(pool, first, alignment) + count <= first + head.granules


cdef slab_t *extent_find(pool_t *pool, uint64_t count, uint64_t alignment) noexcept nogil:
    cdef uint32_t index = bin_of(count)
    cdef uint32_t word
    cdef uint64_t bits
    cdef slab_t *head
    for word in range(index >> 6, BIN_WORDS):
        bits = pool.bin_mask[word]
        if word == index >> 6:
            bits &= ~<uint64_t>0 << (index & 63)
        while bits:
            head = pool.bins[word * 64 + bits_lowest(bits)]
            while head != NULL:
                if head.granules >= count and extent_fits(pool, head, count, alignment):
                    return head
                head = head.next
            bits &= bits - 1
    return NULL


cdef int64_t arena_take(pool_t *pool, uint64_t count, uint64_t alignment) noexcept nogil:
    """First of `count` granules, KIND_TAKEN now; -1: no room."""
    cdef slab_t *head = extent_find(pool, count, alignment)
    cdef uint64_t first, start, end
    if head != NULL:
        start = granule_of(pool, head)
        end = start + head.granules
        extent_remove(pool, head)
    else:
        start = pool.top
        if start and granule_at(pool, start - 1).kind in (KIND_FREE, KIND_FREE_END):
            start -= granule_at(pool, start - 1).granules
        first = granule_aligned(pool, start, alignment)
        end = first + count
        if first < start or end < first or end > pool.granule_count:
            return -1
        if start < pool.top:
            extent_remove(pool, granule_at(pool, start))
        pool.top = end
    first = granule_aligned(pool, start, alignment)
    if first > start:
        extent_insert(pool, start, first - start)
    if first + count < end:
        extent_insert(pool, first + count, end - first - count)
    atomic_store_u8(&granule_at(pool, first).kind, KIND_TAKEN)
    granule_at(pool, first).granules = <uint32_t>count
    return <int64_t>first


cdef void arena_give(pool_t *pool, uint64_t first, uint64_t count) noexcept nogil:
    """Joins with free neighbours. `was` of the granules tells later frees what stood there."""
    cdef slab_t *near
    atomic_store_u8(&granule_at(pool, first).kind, KIND_NONE)
    if first:
        near = granule_at(pool, first - 1)
        if near.kind in (KIND_FREE, KIND_FREE_END):
            near = near - (near.granules - 1)
            first -= near.granules
            count += near.granules
            extent_remove(pool, near)
    if first + count < pool.top:
        near = granule_at(pool, first + count)
        if near.kind == KIND_FREE:
            count += near.granules
            extent_remove(pool, near)
    extent_insert(pool, first, count)


cdef uint64_t arena_largest(pool_t *pool) noexcept nogil:
    """Granules of the longest extent that could be had."""
    cdef uint64_t best = pool.granule_count - pool.top
    cdef uint32_t word = BIN_WORDS
    cdef slab_t *head
    if pool.top and granule_at(pool, pool.top - 1).kind in (KIND_FREE, KIND_FREE_END):
        best += granule_at(pool, pool.top - 1).granules
    while word:
        word -= 1
        if pool.bin_mask[word]:
            head = pool.bins[word * 64 + bits_highest(pool.bin_mask[word])]
            while head != NULL:
                if head.granules > best:
                    best = head.granules
                head = head.next
            break
    return best


# ---- Backing: pages of our own, the caller's memory, or a callback --------------------------------

cdef bint arena_back_pages(pool_t *pool, uint64_t first, uint64_t count, uint8_t was) noexcept nogil:
    """Makes granules accessible and counts them as backed; `was` is what they will have been. Under arena_lock."""
    cdef uint64_t need = first + count
    cdef uint64_t target, i
    if pool.config.backing == BACKING_PAGES and need > pool.committed_top:
        target = pool.committed_top + pool.commit_step
        if target < need:
            target = need
        if pool.commit_step >= HUGE_GRANULES:
            # A huge page is only had where its whole range may be accessed at the first touch.
            target = (target + HUGE_GRANULES - 1) & ~<uint64_t>(HUGE_GRANULES - 1)
        if target > pool.granule_count:
            target = pool.granule_count
        if not os_commit(<void *>granule_address(pool, pool.committed_top),
                         (target - pool.committed_top) << pool.granule_shift):
            return False
        if pool.config.huge == HUGE_GROWTH and pool.committed_top >= 2 * HUGE_GRANULES:
            # A pool that grew so far grows on, and page faults are most of what growing costs: with huge pages the
            # first pass over recorded programs went from 1.08 to 0.82 of the fastest peer's time.
            os_huge(<void *>granule_address(pool, pool.committed_top),
                    (target - pool.committed_top) << pool.granule_shift)
        pool.committed_top = target
        if pool.commit_step < HUGE_GRANULES:
            pool.commit_step *= 2
    for i in range(first, first + count):
        granule_at(pool, i).was = was
        if not granule_at(pool, i).flags & FLAG_BACKED:
            granule_at(pool, i).flags |= FLAG_BACKED
            pool.backed_granules += 1
    return True


cdef int space_call(pool_t *pool, map_call_t call, uint64_t address, uint64_t size) noexcept nogil:
    """A callback with the heap lock let go, which the caller holds before and after. During a restore nothing is
    called: requests are refused then, and what a free would unmap the restore finds and unmaps at its end."""
    cdef int answer
    if call == NULL or pool.restoring == RESTORE_RUNS:
        return 0
    pool.map_calls += 1
    answer = space_tell(pool, call, address, size)
    if pool.map_calls:          # 0: a fork in the callback, whose child counts anew
        pool.map_calls -= 1
    os_wake(&pool.settled)
    return answer


cdef int space_tell(pool_t *pool, map_call_t call, uint64_t address, uint64_t size) noexcept nogil:
    cdef thread_t *thread = thread_here()
    cdef inside_t inside
    cdef int answer
    if thread != NULL:
        inside.pool = pool
        inside.outer = thread.in_callback
        thread.in_callback = &inside
        thread.callbacks += 1
    os_unlock(&pool.heap_lock)
    answer = call(pool.config.context, address, size)
    os_lock(&pool.heap_lock)
    if thread != NULL:
        thread.in_callback = inside.outer
        thread.callbacks -= 1
    return answer


cdef bint space_back(pool_t *pool, uint64_t first, uint64_t count) noexcept nogil:
    """Maps what is not mapped of granules that the caller has taken. A refusal leaves whole granules
    mapped or not, as their flags say. A long run is mapped as one and by itself."""
    cdef uint64_t i = first
    cdef uint64_t start
    cdef uint64_t end = first + count
    if count > MAPPED_ALONE:
        space_unback(pool, first, count)
        if space_call(pool, pool.config.on_map, granule_address(pool, first), count << pool.granule_shift) != 0:
            return False
        pool.backed_granules += count
        return True
    while i < end:
        if granule_at(pool, i).flags & FLAG_BACKED:
            i += 1
            continue
        start = i
        while i < end and not granule_at(pool, i).flags & FLAG_BACKED:
            i += 1
        if space_call(pool, pool.config.on_map, granule_address(pool, start), (i - start) << pool.granule_shift) != 0:
            return False
        pool.backed_granules += i - start
        if i > pool.committed_top:
            pool.committed_top = i
        while start < i:
            granule_at(pool, start).flags |= FLAG_BACKED
            start += 1
    return True


cdef uint64_t space_unback(pool_t *pool, uint64_t first, uint64_t count) noexcept nogil:
    """Unmaps what is mapped by granules, in as few calls as can be; how many granules that was. The caller
    has taken them. No granule at or above committed_top was ever mapped by itself."""
    cdef uint64_t end = first + count
    cdef uint64_t start
    cdef uint64_t given = 0
    cdef uint64_t i = first
    if end > pool.committed_top:
        end = pool.committed_top
    while i < end:
        if not granule_at(pool, i).flags & FLAG_BACKED:
            i += 1
            continue
        start = i
        while i < end and granule_at(pool, i).flags & FLAG_BACKED:
            granule_at(pool, i).flags &= ~FLAG_BACKED
            i += 1
        pool.backed_granules -= i - start
        given += i - start
        space_call(pool, pool.config.on_unmap, granule_address(pool, start), (i - start) << pool.granule_shift)
    return given
