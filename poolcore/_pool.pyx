# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The cold path of the engine: arena, metadata, slabs, remote frees, heaps, runs, policies, pools,
questions, snapshots, fork. In this order; each part uses only those above it.

Locks, in the order in which they may be taken: state_lock (the process' pools and threads), a pool's
heap_lock (locked pools only, held through an operation), a pool's arena_lock (extents, metadata, lists of
heaps). No lock is held while a callback runs.
"""

from libc.stdint cimport UINT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from poolcore._os cimport (
    atomic_add_u64, atomic_cas_ptr, atomic_cas_u32, atomic_cas_u64, atomic_exchange_ptr, atomic_exchange_u32,
    atomic_exchange_u64, atomic_load_ptr, atomic_load_u32, atomic_load_u64, atomic_or_u64, atomic_store_ptr,
    atomic_store_u64, bits_highest, bits_lowest, os_clock_ns, os_commit, os_discard, os_huge,
    os_lock, os_lock_init, os_map, os_page_bytes, os_protect, os_release, os_reserve, os_thread_id,
    os_unlock, os_unprotect,
)
from poolcore._slab cimport slab_has_free, slab_index, slab_live, slab_put, slab_refresh, slab_take
from poolcore._types cimport *

cdef extern from "poolcore_platform.h" nogil:
    size_t thread_slot(size_t index)
    void *thread_heap_at(size_t place)
    void thread_heap_set(size_t place, void *heap)
    char *thread_no_heap
    bint os_thread_key_create(void (*ended)(void *) noexcept nogil)
    void os_thread_key_set(void *thread)
    int os_at_fork(void (*before)() noexcept nogil, void (*in_parent)() noexcept nogil,
                   void (*in_child)() noexcept nogil)
    uint32_t record_load(uint32_t *record)
    void record_store(uint32_t *record, uint32_t value)
    void assert_whole(const char *broken)
    bint rarely(bint condition)

cdef enum:
    POOLS_MAX = 65536               # open at once
    THREAD_SLOT = 7                 # of the thread itself in thread_heaps
    REMOTE_BITS_BYTES = 512         # a bit for each of the 4096 smallest blocks of a slab
    META_UNIT = 64
    CARVE_BYTES = 16384             # of blocks linked at a time: small records stay untouched until needed
    EMPTY_KEPT = 32                 # empty slabs that a heap keeps, and an eighth of all it has
    GATHER_MAX = 32
    REALLOC_ROOM_FROM = 512         # bytes of a block from which a growing one gets room to grow on
    HUGE_GRANULES = 32              # of a huge page of 2 MiB
    MAPPED_ALONE = 64               # granules of the longest run whose mapping outlives it (address space)

cdef os_lock_t state_lock
cdef pool_t *pools[POOLS_MAX]
cdef uint32_t pool_count            # entries of `pools` that were ever used
cdef uint32_t open_count
cdef thread_t *threads              # running ones
cdef thread_t *free_threads
cdef heap_t *free_heaps             # of ended threads and closed pools
cdef thread_t thread_ended          # what an ended thread finds in its own place
cdef slab_t slab_none               # the current slab of a class that has none: never a free block
cdef uint64_t state_next            # bump allocator of type-stable structs
cdef uint64_t state_end
cdef uint64_t page_bytes


cdef void *state_alloc(uint64_t size) noexcept nogil:
    """Zeroed, never returned to the OS. Under state_lock."""
    global state_next, state_end
    cdef uint64_t step = 1 << 18
    size = (size + 127) & ~<uint64_t>127
    if state_next + size > state_end or state_next == 0:
        state_next = <uint64_t>os_map(step)
        state_end = state_next + step
        if state_next == 0:
            state_end = 0
            return NULL
    state_next += size
    return <void *>(state_next - size)


# ---- Metadata: records, holders, tags -----------------------------------------------------------
# A bump allocator in 64-byte units with lists of what came back. Under arena_lock.

cdef uint32_t meta_bin(uint64_t *units) noexcept nogil:
    """List for `units`, which is rounded up to that list's size: four sizes a doubling above 8."""
    cdef uint64_t n = units[0]
    cdef uint32_t high, step
    if n <= 8:
        return <uint32_t>n
    high = bits_highest(n - 1)
    step = high - 2
    n = ((n - 1) >> step) + 1
    units[0] = n << step
    return 8 + (high - 3) * 4 + <uint32_t>(n - 4)


cdef void *meta_alloc(pool_t *pool, uint64_t size, bint is_records) noexcept nogil:
    cdef uint64_t units = (size + META_UNIT - 1) // META_UNIT
    cdef uint32_t index = meta_bin(&units)
    cdef uint32_t *first = &pool.meta.free_records[0] if is_records else &pool.meta.free_others[0]
    cdef uint64_t offset = first[index]
    cdef void *found
    if offset:
        found = <void *>(pool.meta.base + offset * META_UNIT)
        first[index] = (<uint32_t *>found)[0]
        if is_records:
            record_store(<uint32_t *>found, 0)
        else:
            memset(found, 0, size)
        return found
    if pool.meta.used + units * META_UNIT > pool.meta.reserved:
        return NULL
    found = <void *>(pool.meta.base + pool.meta.used)
    pool.meta.used += units * META_UNIT
    return found


cdef void meta_free(pool_t *pool, void *was, uint64_t size, bint is_records) noexcept nogil:
    cdef uint64_t units = (size + META_UNIT - 1) // META_UNIT
    cdef uint32_t index = meta_bin(&units)
    cdef uint32_t *first = &pool.meta.free_records[0] if is_records else &pool.meta.free_others[0]
    if was == NULL:
        return
    record_store(<uint32_t *>was, first[index])     # a stale free may be reading it as a record
    first[index] = <uint32_t>((<uint64_t>was - pool.meta.base) // META_UNIT)


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
    head.kind = KIND_FREE
    head.granules = <uint32_t>count
    if count > 1:
        end.kind = KIND_FREE_END
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
    head.kind = KIND_NONE
    if count > 1:
        (head + count - 1).kind = KIND_NONE
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
    granule_at(pool, first).kind = KIND_TAKEN
    granule_at(pool, first).granules = <uint32_t>count
    return <int64_t>first


cdef void arena_give(pool_t *pool, uint64_t first, uint64_t count) noexcept nogil:
    """Joins with free neighbours. `was` of the granules tells later frees what stood there."""
    cdef slab_t *near
    granule_at(pool, first).kind = KIND_NONE
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

cdef bint arena_back_pages(pool_t *pool, uint64_t first, uint64_t count) noexcept nogil:
    """Makes granules accessible and counts them as backed. Under arena_lock."""
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
        granule_at(pool, i).was = KIND_NONE
        if not granule_at(pool, i).flags & FLAG_BACKED:
            granule_at(pool, i).flags |= FLAG_BACKED
            pool.backed_granules += 1
    return True


cdef int space_call(pool_t *pool, map_call_t call, uint64_t address, uint64_t size) noexcept nogil:
    """A callback with the heap lock let go, which the caller holds before and after."""
    cdef thread_t *thread = thread_here()
    cdef pool_t *outer = NULL
    cdef int answer
    if call == NULL:
        return 0
    if thread != NULL:
        outer = thread.in_callback
        thread.in_callback = pool
    os_unlock(&pool.heap_lock)
    answer = call(pool.config.context, address, size)
    os_lock(&pool.heap_lock)
    if thread != NULL:
        thread.in_callback = outer
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


# What an uncounted pool could have live without another slow call: blocks carved in slabs that are not
# known to be empty, and runs. It is never below the truth, and so its highest value stands for the peak:
# to count live blocks exactly, a pair would cost 14 instructions more.

cdef void used_raise(pool_t *pool, uint64_t blocks, uint64_t size) noexcept nogil:
    if not pool.is_policed:
        peak_raise(&pool.peak_blocks, atomic_add_u64(&pool.live_blocks, blocks) + blocks)
        peak_raise(&pool.peak_bytes, atomic_add_u64(&pool.live_bytes, size) + size)


cdef void used_lower(pool_t *pool, uint64_t blocks, uint64_t size) noexcept nogil:
    if not pool.is_policed:
        atomic_add_u64(&pool.live_blocks, ~blocks + 1)
        atomic_add_u64(&pool.live_bytes, ~size + 1)


cdef void used_add(slab_t *slab, uint64_t blocks) noexcept nogil:
    used_raise(slab.heap.pool, blocks, blocks * slab.block_bytes)


cdef void used_remove(slab_t *slab) noexcept nogil:
    used_lower(slab.heap.pool, slab.carved, <uint64_t>slab.carved * slab.block_bytes)


cdef void peak_raise(uint64_t *peak, uint64_t value) noexcept nogil:
    cdef uint64_t now = atomic_load_u64(peak)
    while value > now and not atomic_cas_u64(peak, now, value):
        now = atomic_load_u64(peak)


cdef bint records_make(pool_t *pool, slab_t *slab) noexcept nogil:
    """Records for a slab that is being formatted. The granule keeps those of its last slab until it needs
    others: a stale free by another thread may be reading them. Under arena_lock."""
    cdef uint64_t size = slab_records_bytes(slab)
    cdef uint32_t *records = slab.records
    cdef uint16_t units = <uint16_t>((size + META_UNIT - 1) // META_UNIT)
    if slab.record_units != units:
        records_drop(pool, slab)
        records = <uint32_t *>meta_alloc(pool, size, True)
        if records == NULL:
            return False
        atomic_store_ptr(<void **>&slab.records, records)
        slab.record_units = units
    return True


cdef void records_drop(pool_t *pool, slab_t *slab) noexcept nogil:
    if slab.record_units:
        meta_free(pool, slab.records, <uint64_t>slab.record_units * META_UNIT, True)
        slab.record_units = 0


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


cdef bint slab_format(pool_t *pool, heap_t *heap, slab_t *slab, uint32_t size_class, bint is_guarded) noexcept nogil:
    """Makes a taken granule a slab with its first blocks linked. Under arena_lock. False: no metadata left."""
    cdef uint64_t stride
    cdef uint32_t i
    slab.base = granule_address(pool, granule_of(pool, slab))
    slab.block_bytes = pool.class_bytes[size_class]
    slab.block_count = <uint16_t>pool.class_blocks[size_class]
    slab.inverse = pool.class_inverse[size_class]
    slab.shift = pool.class_shift[size_class]
    if is_guarded:
        stride = guarded_stride(slab.block_bytes)
        slab.flags |= FLAG_GUARDED
        slab.block_bytes = <uint32_t>stride
        slab.block_count = <uint16_t>(pool.granule_bytes // stride)
    slab.size_class = <uint8_t>size_class
    if not records_make(pool, slab):
        slab.flags &= ~FLAG_GUARDED
        return False
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
    slab.heap = heap
    slab.owner = slab_fast_owner(slab)
    slab.granules = 1
    slab_carve(slab)
    slab.kind = KIND_SLAB
    slab.was = KIND_NONE
    heap.slab_count += 1
    return True


cdef void slab_unformat(pool_t *pool, slab_t *slab) noexcept nogil:
    """The reverse: the granule is KIND_TAKEN again, `was` a slab. No block may be live. Under arena_lock."""
    cdef heap_t *heap = slab.heap
    used_remove(slab)
    heap.slab_count -= 1
    heap.retired_total += slab.total
    heap.late_double_frees += bits_drain(slab)
    slab.owner = NULL
    slab.was = KIND_SLAB
    slab.kind = KIND_TAKEN
    meta_free(pool, slab.holders, <uint64_t>slab.block_count * sizeof(void *), False)
    meta_free(pool, slab.tags, <uint64_t>slab.block_count * sizeof(tag_t), False)
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


# ---- Remote frees -------------------------------------------------------------------------------
# A thread that is not the owner turns the record LIVE -> REMOTE by CAS, so that exactly one free of
# a block takes effect, and sets the block's bit in the slab's remote bitmap. The first to set one
# since the last collection (remote_queued 0 -> 1) pushes the slab on its heap's `remote`. The owner
# takes that list whole and takes back only records that are still REMOTE: a bit without one is the
# loser of a race between two frees, counted in late_double_frees.
#
# A slab holds a REMOTE block until its bit is collected, so it cannot be retired before. Only when two
# frees race may a bit arrive late; the bitmap stays with the granule for ever and late bits are harmless.

cdef void remote_notify(slab_t *slab, heap_t *heap) noexcept nogil:
    cdef void *first
    if atomic_exchange_u32(&slab.remote_queued, 1) != 0:
        return
    while True:
        first = atomic_load_ptr(<void **>&heap.remote)
        slab.remote_next = <slab_t *>first
        if atomic_cas_ptr(<void **>&heap.remote, first, slab):
            return


cdef void remote_publish(slab_t *slab, uint32_t word, uint64_t bits) noexcept nogil:
    cdef heap_t *heap = slab.heap
    atomic_or_u64(slab.remote_bits + word, bits)
    remote_notify(slab, heap)


cdef void gather_publish(thread_t *thread) noexcept nogil:
    cdef slab_t *slab = thread.gather_slab
    if slab != NULL:
        thread.gather_slab = NULL
        thread.gather_count = 0
        remote_publish(slab, thread.gather_word, thread.gather_bits)


cdef bint remote_bits_make(pool_t *pool, slab_t *slab) noexcept nogil:
    if atomic_load_ptr(<void **>&slab.remote_bits) == NULL:
        os_lock(&pool.arena_lock)
        if slab.remote_bits == NULL:
            atomic_store_ptr(<void **>&slab.remote_bits, meta_alloc(pool, REMOTE_BITS_BYTES, False))
        os_unlock(&pool.arena_lock)
    return slab.remote_bits != NULL


cdef void remote_gather(slab_t *slab, uint32_t index) noexcept nogil:
    """The record is REMOTE and the bitmap there. Up to 32 bits of one word are published together."""
    cdef thread_t *thread = thread_here()
    cdef uint32_t word = index >> 6
    cdef uint64_t bit = <uint64_t>1 << (index & 63)
    if thread == NULL:
        remote_publish(slab, word, bit)
        return
    if thread.gather_slab != slab or thread.gather_word != word:
        gather_publish(thread)
        thread.gather_word = word
        thread.gather_bits = 0
        thread.gather_slab = slab
    thread.gather_bits |= bit
    thread.gather_count += 1
    if thread.gather_count == GATHER_MAX:
        gather_publish(thread)


cdef void slab_collect(slab_t *slab) noexcept nogil:
    """Takes back what other threads freed of a slab that the caller's heap owns; may give the slab back."""
    cdef uint32_t words = (<uint32_t>slab.block_count + 63) >> 6
    cdef uint32_t word, index
    cdef uint64_t bits
    cdef bint is_any = False
    for word in range(words):
        if atomic_load_u64(slab.remote_bits + word) == 0:
            continue
        bits = atomic_exchange_u64(slab.remote_bits + word, 0)
        while bits:
            index = word * 64 + bits_lowest(bits)
            bits &= bits - 1
            if index < slab.carved and (record_load(slab.records + index) & RECORD_STATE) == RECORD_REMOTE:
                slab_put(slab, index)
                is_any = True
            else:
                slab.heap.late_double_frees += 1
    if is_any:
        slab_settle(slab)


cdef uint64_t bits_drain(slab_t *slab) noexcept nogil:
    """Clears the remote bitmap of a granule that is no slab; how many bits it had."""
    cdef uint64_t count = 0
    cdef uint64_t bits
    cdef uint32_t word
    if slab.remote_bits == NULL:
        return 0
    for word in range(REMOTE_BITS_BYTES // 8):
        if atomic_load_u64(slab.remote_bits + word):
            bits = atomic_exchange_u64(slab.remote_bits + word, 0)
            while bits:
                bits &= bits - 1
                count += 1
    return count


cdef uint64_t late_bits_take(pool_t *pool, slab_t *slab) noexcept nogil:
    """The same for a granule that was a slab when it was queued; it may be one again by now."""
    cdef uint64_t count = 0
    os_lock(&pool.arena_lock)
    if slab.kind != KIND_SLAB:
        count = bits_drain(slab)
    os_unlock(&pool.arena_lock)
    return count


cdef void heap_collect(heap_t *heap) noexcept nogil:
    cdef slab_t *slab
    cdef slab_t *rest
    if atomic_load_ptr(<void **>&heap.remote) == NULL:
        return
    rest = <slab_t *>atomic_exchange_ptr(<void **>&heap.remote, NULL)
    while rest != NULL:
        slab = rest
        rest = slab.remote_next
        atomic_exchange_u32(&slab.remote_queued, 0)
        if slab.kind != KIND_SLAB:
            heap.late_double_frees += late_bits_take(heap.pool, slab)
        elif slab.heap == heap:
            slab_collect(slab)
        else:
            # Queued by a racing double free while it was this heap's; its owner must still hear of it.
            remote_notify(slab, slab.heap)


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


cdef void heap_init(heap_t *heap, pool_t *pool) noexcept nogil:
    cdef uint32_t i
    heap_t_clear(heap)
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
    cdef bint is_formatted
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
        is_formatted = arena_back_pages(pool, granule, 1)
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


cdef bint thread_in_callback(pool_t *pool) noexcept nogil:
    cdef thread_t *thread = thread_here()
    return thread != NULL and thread.in_callback == pool


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
    else:
        if pool.config.guard_every:
            pool.guard_count += 1
            is_guarded = pool.guard_count % pool.config.guard_every == 0
        found = heap_fresh(pool, heap, size_class, is_guarded)
        if found == NULL:
            slab = heap.current[size_class]
            return slab if slab != &slab_none and slab_refresh(slab) else NULL
        slab = heap.current[size_class]
        if slab != &slab_none and slab_refresh(slab):
            # Another thread came first while the lock was let go.
            heap_keep_empty(heap, found)
            return slab
    if slab != &slab_none:
        slab.place = PLACE_FULL
        slab.owner = NULL
    found.place = PLACE_CURRENT
    found.owner = slab_fast_owner(found)
    heap.current[size_class] = found
    assert_whole(check_slab(pool, found))
    heap.fast[size_class] = found if slab_fast_owner(found) != NULL else &slab_none
    return found


# ---- Runs -----------------------------------------------------------------------------------------
# Any granule of a run leads to the first in O(log n): the run after its first granule is split into
# aligned power-of-two pieces, and the first granule of each is KIND_RUN_PART and names the run (`tags`).
# Clearing lowest bits of a granule's number meets that piece's start before anything else that is used.
# So a run costs a few descriptors, however long.

cdef void run_mark(pool_t *pool, uint64_t first, uint64_t count, uint8_t kind) noexcept nogil:
    cdef uint64_t place = first + 1
    cdef uint64_t end = first + count
    cdef uint64_t step
    while place < end:
        step = place & (~place + 1)
        while place + step > end:
            step >>= 1
        granule_at(pool, place).kind = kind
        if kind == KIND_RUN_PART:
            granule_at(pool, place).was = KIND_RUN_PART
            granule_at(pool, place).tags = <tag_t *>granule_at(pool, first)
        place += step


cdef slab_t *run_find(pool_t *pool, uint64_t granule) noexcept nogil:
    """The live run that `granule` is in, or NULL."""
    cdef uint64_t at = granule
    cdef slab_t *slab
    while True:
        slab = granule_at(pool, at)
        if slab.kind == KIND_RUN_PART:
            slab = <slab_t *>slab.tags
        if slab.kind == KIND_RUN:
            return slab if granule - granule_of(pool, slab) < slab.granules else NULL
        if slab.kind != KIND_NONE or at == 0:
            return NULL
        at &= at - 1


cdef slab_t *former_run_find(pool_t *pool, uint64_t granule) noexcept nogil:
    """The freed run whose memory `granule` was last, as far as its marks still stand."""
    cdef uint64_t at = granule
    cdef slab_t *slab
    while True:
        slab = granule_at(pool, at)
        if slab.was == KIND_RUN_PART:
            slab = <slab_t *>slab.tags
        if slab.was == KIND_RUN:
            at = granule_of(pool, slab)
            return slab if at <= granule and granule_address(pool, granule) < slab.base + (slab.total or 1) else NULL
        if at == 0:
            return NULL
        at &= at - 1


cdef slab_t *run_take(pool_t *pool, heap_t *heap, uint64_t size, uint64_t alignment, uint32_t record) noexcept nogil:
    """A run whose block has at least `size` bytes, or NULL. May let the heap lock go."""
    cdef bint is_guarded = False
    cdef uint64_t need = size
    cdef uint64_t count
    cdef int64_t first
    cdef slab_t *slab
    cdef bint is_backed
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
        first = arena_take(pool, count, alignment)
        if first >= 0:
            break
        os_unlock(&pool.arena_lock)
        if attempt or heap == NULL:
            return NULL
        heap_release_empty(pool, heap, True)
        pool_reclaim(pool)
    if first < 0:
        return NULL
    slab = granule_at(pool, first)
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
        is_backed = arena_back_pages(pool, first, count)
        if is_backed and is_guarded:
            is_backed = os_protect(<void *>(granule_address(pool, first + count) - page_bytes), page_bytes)
    if not is_backed:
        arena_give(pool, first, count)
        os_unlock(&pool.arena_lock)
        return NULL
    slab.owner = NULL
    slab.heap = NULL
    slab.base = granule_address(pool, first)
    slab.granules = <uint32_t>count
    slab.total = size
    records_drop(pool, slab)
    slab.records = &slab.head
    slab.holders = NULL
    slab.tags = NULL
    slab.block_count = 1
    slab.carved = 1
    slab.was = KIND_NONE
    if is_guarded:
        slab.flags |= FLAG_GUARDED
    run_mark(pool, first, count, KIND_RUN_PART)
    record_store(&slab.head, record)
    slab.kind = KIND_RUN
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
    slab.kind = KIND_TAKEN
    slab.was = KIND_RUN
    slab.flags &= ~FLAG_GUARDED
    meta_free(pool, slab.tags, sizeof(tag_t), False)
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
        granule_at(pool, first + need).was = KIND_NONE
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
    if not arena_back_pages(pool, end, more):
        arena_give(pool, end, more)
        os_unlock(&pool.arena_lock)
        return False
    run_mark(pool, first, count, KIND_NONE)
    slab.granules = <uint32_t>need
    slab.total = size
    run_mark(pool, first, need, KIND_RUN_PART)
    os_unlock(&pool.arena_lock)
    return True


# ---- Credit: exact limits ---------------------------------------------------------------------------
# Reserved by CAS before a block is taken, given back by addition when it is freed. Never added first and
# taken back on a miss of the same limit: two refusals could come where one request fits.

cdef int credit_take(pool_t *pool, uint64_t size, uint64_t blocks) noexcept nogil:
    """REFUSAL_NONE, or the limit that stood in the way."""
    cdef bint has_both = pool.config.limit_blocks != UINT64_MAX and pool.config.limit_bytes != UINT64_MAX
    cdef int refusal = REFUSAL_NONE
    # With both limits two words must agree: takers go one at a time, and givers only make room.
    if has_both:
        os_lock(&pool.heap_lock)
        if atomic_load_u64(&pool.live_bytes) > pool.config.limit_bytes - size or size > pool.config.limit_bytes:
            refusal = REFUSAL_LIMIT_BYTES
    if refusal == REFUSAL_NONE and not credit_add(&pool.live_blocks, blocks, pool.config.limit_blocks,
                                                  &pool.peak_blocks):
        refusal = REFUSAL_LIMIT_BLOCKS
    if refusal == REFUSAL_NONE and not credit_add(&pool.live_bytes, size, pool.config.limit_bytes, &pool.peak_bytes):
        refusal = REFUSAL_LIMIT_BYTES
        if blocks:
            atomic_add_u64(&pool.live_blocks, ~blocks + 1)
    if has_both:
        os_unlock(&pool.heap_lock)
    return refusal


cdef bint credit_add(uint64_t *counter, uint64_t value, uint64_t limit, uint64_t *peak) noexcept nogil:
    cdef uint64_t now
    while True:
        now = atomic_load_u64(counter)
        if value > limit or now > limit - value:
            return False
        if atomic_cas_u64(counter, now, now + value):
            peak_raise(peak, now + value)
            return True


cdef void credit_give(pool_t *pool, uint64_t size, uint64_t blocks) noexcept nogil:
    atomic_add_u64(&pool.live_bytes, ~size + 1)
    atomic_add_u64(&pool.live_blocks, ~blocks + 1)


# ---- What an address is -----------------------------------------------------------------------------

cdef pool_t *pool_of(uint64_t address, pool_t *not_this) noexcept nogil:
    cdef uint32_t i
    cdef pool_t *pool
    for i in range(pool_count):
        pool = pools[i]
        if pool != not_this and pool != NULL and pool.is_open and not pool.is_closed:
            if address - pool.base < pool.span:
                return pool
    return NULL


cdef int block_find(pool_t *pool, uint64_t address, slab_t **found, uint32_t *index) noexcept nogil:
    """LIVE when `address` starts a block of a slab or run, whatever its record says; else the verdict."""
    cdef uint64_t offset = address - pool.base
    cdef uint64_t granule = offset >> pool.granule_shift
    cdef slab_t *slab
    cdef uint32_t i
    found[0] = NULL
    index[0] = 0
    if address == 0:
        return VERDICT_NULL
    if offset >= pool.span or granule >= pool.top:
        return VERDICT_OTHER_POOL if offset >= pool.span and pool_of(address, pool) != NULL else VERDICT_FOREIGN
    slab = granule_at(pool, granule)
    if slab.kind == KIND_SLAB:
        found[0] = slab
        i = block_index(slab, address)
        if i >= slab.block_count:
            return VERDICT_INTERIOR
        index[0] = i
        return VERDICT_LIVE
    slab = run_find(pool, granule)
    if slab != NULL:
        found[0] = slab
        if address == slab.base:
            return VERDICT_LIVE
        return VERDICT_INTERIOR
    slab = granule_at(pool, granule)
    if slab.was == KIND_SLAB:
        i = slab_index(slab, address)
        if i < slab.carved:
            return VERDICT_DOUBLE
        return VERDICT_FOREIGN if i < slab.block_count else VERDICT_INTERIOR
    slab = former_run_find(pool, granule)
    if slab != NULL:
        return VERDICT_DOUBLE if address == slab.base else VERDICT_INTERIOR
    return VERDICT_FOREIGN


cdef int record_verdict(pool_t *pool, slab_t *slab, uint32_t index, uint32_t record, int flags) noexcept nogil:
    """What a free of a block with this record must answer; LIVE: it may go on."""
    cdef uint32_t state = record & RECORD_STATE
    if state & RECORD_LIVE or state == RECORD_HELD:
        return VERDICT_LIVE
    if state == RECORD_EXPORTED:
        return VERDICT_LIVE if flags & FREE_DEFER or pool.config.is_deferred else VERDICT_EXPORTED
    if state == 0 and (index >= slab.carved or record & RECORD_VIRGIN):
        return VERDICT_FOREIGN
    return VERDICT_DOUBLE


cdef inline hold_t **holder_place(slab_t *slab, uint32_t index) noexcept nogil:
    if slab.kind == KIND_RUN:
        return <hold_t **>&slab.holders
    return slab.holders + index


cdef inline tag_t *tag_place(slab_t *slab, uint32_t index) noexcept nogil:
    return NULL if slab.tags == NULL else slab.tags + index


cdef bint holders_make(pool_t *pool, slab_t *slab) noexcept nogil:
    if slab.kind == KIND_RUN or slab.holders != NULL:
        return True
    os_lock(&pool.arena_lock)
    slab.holders = <hold_t **>meta_alloc(pool, <uint64_t>slab.block_count * sizeof(void *), False)
    os_unlock(&pool.arena_lock)
    return slab.holders != NULL


cdef bint tags_make(pool_t *pool, slab_t *slab) noexcept nogil:
    if slab.tags != NULL:
        return True
    os_lock(&pool.arena_lock)
    slab.tags = <tag_t *>meta_alloc(pool, <uint64_t>slab.block_count * sizeof(tag_t), False)
    os_unlock(&pool.arena_lock)
    if slab.tags == NULL:
        return False
    # From now on every block of the slab goes the slow way, which keeps the tags.
    slab.flags |= FLAG_TAGGED
    slab.owner = NULL
    if slab.kind == KIND_SLAB and slab.heap.fast[slab.size_class] == slab:
        slab.heap.fast[slab.size_class] = &slab_none
    return True


cdef inline bint is_owner(pool_t *pool, slab_t *slab) noexcept nogil:
    """The caller may move blocks of this slab without atomics."""
    return slab.heap != NULL and slab.heap == heap_here(pool)


# ---- Policies: Fill, Quarantine, Events, Faults. Under heap_lock ------------------------------------

cdef bint has_memory(pool_t *pool) noexcept nogil:
    return pool.config.backing != BACKING_SPACE


cdef void event_add(pool_t *pool, uint8_t kind, uint8_t verdict, uint64_t address, uint64_t size,
                    uint32_t tag) noexcept nogil:
    cdef event_t *event
    cdef uint64_t capacity = pool.config.events_capacity
    pool.sequence += 1
    if capacity == 0:
        return
    event = &pool.events[(pool.sequence - 1) % capacity]
    event.sequence = pool.sequence
    event.time_ns = os_clock_ns()
    event.address = address
    event.size = size
    event.thread = <uint32_t>os_thread_id()
    event.tag = tag
    event.kind = kind
    event.verdict = verdict


cdef uint64_t random_next(uint64_t *state) noexcept nogil:
    """splitmix64: any seed will do."""
    cdef uint64_t z
    state[0] += <uint64_t>0x9E3779B97F4A7C15
    z = state[0]
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


cdef bint fault_strikes(pool_t *pool) noexcept nogil:
    """Whether Faults refuses this request; requests are counted from 1."""
    cdef uint64_t n = pool.request_count
    if pool.config.fault_nth and n == pool.config.fault_nth:
        return True
    if pool.config.fault_last and pool.config.fault_first <= n < pool.config.fault_last:
        return True
    if pool.config.fault_rate > 0:
        return <double>(random_next(&pool.fault_state) >> 11) * (1.0 / 9007199254740992.0) < pool.config.fault_rate
    return False


cdef bint is_filled_with(const uint8_t *start, uint64_t size, uint8_t value) noexcept nogil:
    cdef uint64_t i
    for i in range(size):
        if start[i] != value:
            return False
    return True


cdef bint slack_is_intact(pool_t *pool, slab_t *slab, uint32_t index, uint32_t record) noexcept nogil:
    cdef uint64_t size
    if not has_memory(pool) or not (pool.config.is_filled or slab.flags & FLAG_GUARDED):
        return True
    size = block_size(slab, record)
    return is_filled_with(<uint8_t *>(block_address(slab, index) + size),
                          block_capacity(pool, slab, index) - size, pool.config.fill_alloc)


cdef void block_fill(pool_t *pool, slab_t *slab, uint32_t index, uint64_t size, int flags) noexcept nogil:
    """The pattern over a block that was just taken; its slack always carries it."""
    cdef uint64_t address = block_address(slab, index)
    cdef uint64_t capacity = block_capacity(pool, slab, index)
    if not has_memory(pool):
        return
    if pool.config.is_filled and not flags & ALLOC_ZERO:
        memset(<void *>address, pool.config.fill_alloc, capacity)
    elif pool.config.is_filled or slab.flags & FLAG_GUARDED:
        memset(<void *>(address + size), pool.config.fill_alloc, capacity - size)
    if flags & ALLOC_ZERO:
        memset(<void *>address, 0, size)


cdef void block_release(pool_t *pool, slab_t *slab, uint32_t index) noexcept nogil:
    """A dead block's memory may serve again. By the owner of its slab; a run: by the one who made it dead."""
    if slab.kind == KIND_RUN:
        record_store(&slab.head, 0)
        run_release(pool, slab)
        return
    slab_return(slab, index)


cdef void block_close(pool_t *pool, slab_t *slab, uint32_t index) noexcept nogil:
    """Makes a guarded block that just died inaccessible. A run's address space stays mapped until its release."""
    if not slab.flags & FLAG_GUARDED:
        return
    if slab.kind == KIND_RUN:
        if pool.config.backing == BACKING_PAGES:
            os_protect(<void *>granule_address(pool, granule_of(pool, slab)),
                       <uint64_t>slab.granules << pool.granule_shift)
        return
    guarded_close(pool, slab, index)
    if pool.config.backing == BACKING_SPACE:
        record_store(slab.records + index, RECORD_QUARANTINED | (slab.records[index] & RECORD_SIZE))
        space_call(pool, pool.config.on_unmap, slab.base + <uint64_t>index * slab.block_bytes,
                   slab.block_bytes - page_bytes)


cdef bint quarantine_drain(pool_t *pool, uint64_t blocks, uint64_t size) noexcept nogil:
    """Releases the oldest until at most `blocks` and `size` bytes are held; whether any was."""
    cdef bint is_any = False
    cdef uint64_t address
    cdef slab_t *slab
    cdef uint32_t index
    while pool.quarantine_count and (pool.quarantine_count > blocks or pool.quarantine_bytes > size):
        address = pool.quarantine[pool.quarantine_first % pool.quarantine_capacity]
        pool.quarantine_first += 1
        pool.quarantine_count -= 1
        block_find(pool, address, &slab, &index)
        pool.quarantine_bytes -= block_size(slab, slab.records[index])
        block_release(pool, slab, index)
        is_any = True
    return is_any


cdef bint quarantine_take(pool_t *pool, slab_t *slab, uint32_t index, uint64_t address, uint64_t size) noexcept nogil:
    """Holds a dead block back. False: no Quarantine, or the block alone is over its bytes."""
    cdef uint64_t blocks = pool.config.quarantine_blocks
    cdef uint64_t most = pool.config.quarantine_bytes
    if pool.quarantine_capacity == 0:
        return False
    if blocks == 0 or blocks > pool.quarantine_capacity:
        blocks = pool.quarantine_capacity
    if most == 0:
        most = UINT64_MAX
    if size > most:
        return False
    record_store(slab.records + index, RECORD_QUARANTINED | <uint32_t>(size if slab.kind == KIND_SLAB else 0))
    quarantine_drain(pool, blocks - 1, most - size)
    pool.quarantine[(pool.quarantine_first + pool.quarantine_count) % pool.quarantine_capacity] = address
    pool.quarantine_count += 1
    pool.quarantine_bytes += size
    return True


# ---- Taking a block ---------------------------------------------------------------------------------

cdef inline uint32_t class_for(pool_t *pool, uint64_t size, uint64_t alignment) noexcept nogil:
    """Size class whose blocks hold `size` at `alignment`; class_count: none, it takes a run."""
    cdef uint32_t size_class
    if size > pool.small_max or alignment > pool.granule_bytes:
        return pool.class_count
    size_class = pool.class_of[(size + ALIGNMENT - 1) >> ALIGNMENT_SHIFT]
    if pool.config.guard_every and guarded_stride(pool.class_bytes[size_class]) > pool.granule_bytes:
        return pool.class_count     # with its guard page it does not fit a slab
    if alignment <= ALIGNMENT or (pool.config.guard_every == 1 and alignment <= page_bytes):
        return size_class
    if pool.config.guard_every and alignment > page_bytes:
        return pool.class_count
    while size_class < pool.class_count and pool.class_bytes[size_class] & (alignment - 1):
        size_class += 1
    return size_class


cdef uint64_t block_take(pool_t *pool, heap_t *heap, uint64_t size, uint64_t alignment, uint32_t state,
                         slab_t **taken, uint32_t *index) noexcept nogil:
    """A block whose record is `state` with its size, or 0. By the heap's owner; may let the heap lock go."""
    cdef uint32_t size_class = class_for(pool, size, alignment)
    cdef slab_t *slab
    cdef uint64_t address
    cdef uint32_t was
    cdef bint is_clean
    if size_class == pool.class_count:
        slab = run_take(pool, heap, size, alignment, state)
        taken[0] = slab
        index[0] = 0
        if slab == NULL:
            return 0
        if slab.flags & FLAG_GUARDED:
            if alignment < ALIGNMENT:
                alignment = ALIGNMENT
            slab.base = (run_end(pool, slab) - page_bytes - size) & ~(alignment - 1)
        return slab.base
    while True:
        slab = heap.current[size_class]
        if not slab_has_free(slab):
            slab = heap_refill(pool, heap, size_class)
            if slab == NULL:
                return 0
        taken[0] = slab
        index[0] = slab.head
        was = slab.records[index[0]]
        address = slab_take(slab, state | <uint32_t>size)
        if slab.flags & FLAG_GUARDED:
            address = guarded_address(slab, index[0], size, alignment if alignment > ALIGNMENT else ALIGNMENT)
            slab.records[slab.block_count + index[0]] = <uint32_t>(
                slab.base + <uint64_t>(index[0] + 1) * slab.block_bytes - page_bytes - address)
            record_store(slab.records + index[0], RECORD_QUARANTINED)
            if not guarded_open(pool, slab, index[0]):
                slab_return(slab, index[0])
                return 0
            record_store(slab.records + index[0], state | <uint32_t>size)
        if pool.config.is_filled and has_memory(pool) and not was & RECORD_VIRGIN and not slab.flags & FLAG_GUARDED:
            is_clean = is_filled_with(<uint8_t *>address, block_capacity(pool, slab, index[0]), pool.config.fill_free)
            if not is_clean:
                # Written to after its free: it never serves again, and the request gets another.
                record_store(slab.records + index[0], RECORD_QUARANTINED)
                pool.corrupt_blocks += 1
                event_add(pool, EVENT_CORRUPT, VERDICT_CORRUPT, address, size, 0)
                continue
        return address


cdef inline bint is_bad_alignment(pool_t *pool, uint64_t alignment) noexcept nogil:
    return alignment & (alignment - 1) != 0 or alignment > pool.span >> 1


cdef bint hold_make(pool_t *pool, slab_t *slab, uint32_t index, uint64_t address, uint64_t size,
                    hold_t *hold) noexcept nogil:
    if not holders_make(pool, slab):
        return False
    hold.slab = slab
    hold.address = address
    hold.size = size
    hold.index = index
    hold.views = 0
    holder_place(slab, index)[0] = hold
    return True


cdef uint64_t alloc_any(pool_t *pool, uint64_t size, uint64_t alignment, int flags, uint32_t tag, hold_t *hold,
                        int *refusal) noexcept nogil:
    """Every allocation that the fast path does not serve. `refusal` is never NULL."""
    refusal[0] = REFUSAL_NONE
    if pool.is_closed:
        refusal[0] = REFUSAL_CLOSED
        return 0
    if is_bad_alignment(pool, alignment):
        refusal[0] = REFUSAL_ALIGNMENT
        return 0
    if pool.is_locked:
        return alloc_locked(pool, size, alignment, flags, tag, hold, refusal)
    return alloc_unlocked(pool, size, alignment, flags, tag, hold, refusal)


cdef uint64_t alloc_unlocked(pool_t *pool, uint64_t size, uint64_t alignment, int flags, uint32_t tag, hold_t *hold,
                             int *refusal) noexcept nogil:
    cdef heap_t *heap = heap_here(pool)
    cdef bint is_borrowed = False
    cdef slab_t *slab = NULL
    cdef uint32_t index = 0
    cdef uint64_t address = 0
    cdef thread_t *thread
    if heap == NULL:
        # After its thread's destructors: a heap for this one call.
        heap = heap_adopt(pool)
        if heap == NULL:
            heap = heap_new()
            if heap == NULL:
                refusal[0] = REFUSAL_MEMORY
                return 0
            heap_join(pool, heap)
        is_borrowed = True
    if pool.is_limited:
        refusal[0] = credit_take(pool, size, 1)
    if refusal[0] == REFUSAL_NONE:
        thread = thread_here()
        if thread != NULL:
            gather_publish(thread)
        address = block_take(pool, heap, size, alignment, RECORD_LIVE if hold == NULL else RECORD_HELD, &slab, &index)
        if address and tag and tags_make(pool, slab):
            slab.tags[index].tag = tag
        elif address and slab.tags != NULL:
            slab.tags[index].tag = 0
        if address and hold != NULL and not hold_make(pool, slab, index, address, size, hold):
            block_release(pool, slab, index)
            address = 0
        if address and flags & ALLOC_ZERO:
            memset(<void *>address, 0, size)
        if address == 0:
            refusal[0] = REFUSAL_MEMORY
            if pool.is_limited:
                credit_give(pool, size, 1)
    if is_borrowed:
        heap_abandon(pool, heap)
    return address


cdef int locked_limit(pool_t *pool, uint64_t size, uint64_t blocks) noexcept nogil:
    if pool.config.limit_blocks - pool.live_blocks < blocks:
        return REFUSAL_LIMIT_BLOCKS
    if pool.config.limit_bytes - pool.live_bytes < size:
        return REFUSAL_LIMIT_BYTES
    return REFUSAL_NONE


cdef void locked_count(pool_t *pool, uint64_t size) noexcept nogil:
    pool.live_blocks += 1
    pool.live_bytes += size
    if pool.live_blocks > pool.peak_blocks:
        pool.peak_blocks = pool.live_blocks
    if pool.live_bytes > pool.peak_bytes:
        pool.peak_bytes = pool.live_bytes


cdef bint low_memory(pool_t *pool, uint64_t size) noexcept nogil:
    """Asks the LowMemory callback, without the lock; whether the request shall be tried again."""
    cdef int answer
    if pool.config.on_low_memory == NULL:
        return False
    os_unlock(&pool.heap_lock)
    answer = pool.config.on_low_memory(pool.config.context, size)
    os_lock(&pool.heap_lock)
    return answer == 0 and not pool.is_closed


cdef uint64_t alloc_locked(pool_t *pool, uint64_t size, uint64_t alignment, int flags, uint32_t tag, hold_t *hold,
                           int *refusal) noexcept nogil:
    cdef heap_t *heap = pool.shared_heap
    cdef uint64_t address = 0
    cdef slab_t *slab = NULL
    cdef uint32_t index = 0
    cdef bint was_low = False
    if thread_in_callback(pool):
        refusal[0] = REFUSAL_CALLBACK
        return 0
    os_lock(&pool.heap_lock)
    if pool.is_closed:
        os_unlock(&pool.heap_lock)
        refusal[0] = REFUSAL_CLOSED
        return 0
    pool.request_count += 1
    if fault_strikes(pool):
        refusal[0] = REFUSAL_FAULT
    while refusal[0] != REFUSAL_FAULT:
        refusal[0] = locked_limit(pool, size, 1)
        if refusal[0] == REFUSAL_NONE:
            locked_count(pool, size)        # reserved: a callback may let others in
            address = block_take(pool, heap, size, alignment, RECORD_LIVE if hold == NULL else RECORD_HELD,
                                 &slab, &index)
            if address and hold != NULL and not hold_make(pool, slab, index, address, size, hold):
                block_close(pool, slab, index)
                block_release(pool, slab, index)
                address = 0
            if address:
                break
            pool.live_blocks -= 1
            pool.live_bytes -= size
            refusal[0] = REFUSAL_MEMORY
            if quarantine_drain(pool, 0, 0):
                continue
        if was_low or not low_memory(pool, size):
            break
        was_low = True
    if address:
        refusal[0] = REFUSAL_NONE
        block_fill(pool, slab, index, size, flags)
        event_add(pool, EVENT_ALLOC, 0, address, size, tag)
        if (tag or slab.tags != NULL or pool.config.events_capacity) and tags_make(pool, slab):
            slab.tags[index].tag = tag
            slab.tags[index].sequence = pool.sequence
            slab.tags[index].freed = 0
            slab.tags[index].thread = <uint32_t>os_thread_id()
    else:
        event_add(pool, EVENT_REFUSED, <uint8_t>refusal[0], 0, size, tag)
    os_unlock(&pool.heap_lock)
    return address


# ---- Giving a block back ----------------------------------------------------------------------------

cdef void hold_kill(slab_t *slab, uint32_t index) noexcept nogil:
    cdef hold_t **place = holder_place(slab, index)
    if place[0] != NULL:
        place[0].slab = NULL
        place[0] = NULL


cdef int free_unlocked(pool_t *pool, uint64_t address, int flags) noexcept nogil:
    """A free that the fast path did not take, in a pool without a lock. Takes no lock for a slab block, except
    when another thread's slab has no bitmap yet or a slab is given back."""
    cdef slab_t *slab
    cdef uint32_t index, record, state
    cdef uint32_t *place
    cdef uint64_t size
    cdef uint8_t kind
    cdef bint is_local
    cdef int verdict = block_find(pool, address, &slab, &index)
    if verdict != VERDICT_LIVE:
        return verdict
    is_local = is_owner(pool, slab)
    # A stale free may find the granule given back, or made a slab or run anew, between any two lines of this: what
    # it was is looked at once, and the record decides.
    kind = slab.kind
    place = slab.records + index
    if (kind == KIND_RUN) != (place == &slab.head):
        return VERDICT_DOUBLE
    if kind != KIND_RUN and not is_local and not remote_bits_make(pool, slab):
        return VERDICT_CORRUPT
    while True:
        record = atomic_load_u32(place)
        verdict = record_verdict(pool, slab, index, record, flags)
        if verdict != VERDICT_LIVE:
            return verdict
        state = record & RECORD_STATE
        size = block_size(slab, record)
        if state == RECORD_EXPORTED:
            if not atomic_cas_u32(place, record, RECORD_DEFERRED | (record & RECORD_SIZE)):
                continue
            hold_kill(slab, index)
            break
        if state == RECORD_HELD:
            hold_kill(slab, index)
        if kind == KIND_RUN:
            if not atomic_cas_u32(place, record, 0):
                continue
            run_release(pool, slab)
        elif is_local and not pool.is_limited:
            slab_return(slab, index)
        else:
            # With a limit the owner's free is a CAS too: credit must be given back once.
            if not atomic_cas_u32(place, record, RECORD_REMOTE | (record & RECORD_SIZE)):
                continue
            if slab.records + index != place or slab.kind != KIND_SLAB:
                # The slab was given back and its records serve another: this was a stale free.
                atomic_cas_u32(place, RECORD_REMOTE | (record & RECORD_SIZE), record)
                return VERDICT_DOUBLE
            if is_local:
                slab_return(slab, index)
            else:
                remote_gather(slab, index)
        break
    if pool.is_limited:
        credit_give(pool, size, 1)
    return VERDICT_LIVE


cdef int free_locked(pool_t *pool, uint64_t address, int flags) noexcept nogil:
    cdef slab_t *slab
    cdef uint32_t index, record, tag = 0
    cdef uint64_t size = 0
    cdef int verdict
    thread_here()       # makes the thread known before a lock is held
    os_lock(&pool.heap_lock)
    if pool.is_closed:
        os_unlock(&pool.heap_lock)
        return VERDICT_CLOSED
    verdict = block_find(pool, address, &slab, &index)
    if verdict == VERDICT_LIVE:
        record = slab.records[index]
        verdict = record_verdict(pool, slab, index, record, flags)
    if verdict == VERDICT_LIVE and not slack_is_intact(pool, slab, index, record):
        verdict = VERDICT_CORRUPT
    if verdict != VERDICT_LIVE:
        event_add(pool, EVENT_REJECTED, <uint8_t>verdict, address, 0, 0)
        os_unlock(&pool.heap_lock)
        return verdict
    size = block_size(slab, record)
    pool.live_blocks -= 1
    pool.live_bytes -= size
    if record & RECORD_STATE != RECORD_LIVE:
        hold_kill(slab, index)
    if slab.tags != NULL:
        tag = slab.tags[index].tag
        slab.tags[index].freed = pool.sequence + 1
    event_add(pool, EVENT_FREE, 0, address, size, tag)
    if record & RECORD_STATE == RECORD_EXPORTED:
        slab.records[index] = RECORD_DEFERRED | (record & RECORD_SIZE)
    else:
        block_bury(pool, slab, index, address, size)
    os_unlock(&pool.heap_lock)
    return VERDICT_LIVE


cdef void block_bury(pool_t *pool, slab_t *slab, uint32_t index, uint64_t address, uint64_t size) noexcept nogil:
    """A block that just died, under heap_lock: filled, then into quarantine or straight back."""
    if pool.config.is_filled and has_memory(pool):
        memset(<void *>address, pool.config.fill_free, block_capacity(pool, slab, index))
    block_close(pool, slab, index)
    if not quarantine_take(pool, slab, index, address, size):
        block_release(pool, slab, index)


cdef int free_any(pool_t *pool, uint64_t address, int flags) noexcept nogil:
    if address == 0:
        return VERDICT_NULL
    if pool.is_closed:
        return VERDICT_CLOSED
    if pool.is_locked:
        return free_locked(pool, address, flags)
    return free_unlocked(pool, address, flags)


cdef uint64_t heap_alloc_slow(pool_t *pool, uint64_t size) noexcept nogil:
    cdef int refusal
    cdef heap_t *heap
    cdef slab_t *slab
    if not pool.is_policed and size <= pool.small_max:
        heap = <heap_t *>thread_heap_at(pool.slot_offset)
        if heap.pool == pool:
            slab = heap_refill(pool, heap, pool.class_of[(size + (ALIGNMENT - 1)) >> ALIGNMENT_SHIFT])
            if slab != NULL:
                if slab.tags != NULL:
                    slab.tags[slab.head].tag = 0
                return slab_take(slab, RECORD_LIVE | <uint32_t>size)
    return alloc_any(pool, size, 0, 0, 0, NULL, &refusal)


cdef int heap_free_slow(pool_t *pool, uint64_t address) noexcept nogil:
    return free_any(pool, address, 0)


cdef uint64_t pool_alloc_ex(pool_t *pool, uint64_t size, uint64_t alignment, int flags, uint32_t tag,
                            int *refusal) noexcept nogil:
    cdef int unasked
    return alloc_any(pool, size, alignment, flags, tag, NULL, &unasked if refusal == NULL else refusal)


cdef uint64_t pool_alloc_held(pool_t *pool, uint64_t size, uint64_t alignment, int flags, uint32_t tag,
                              hold_t *hold, int *refusal) noexcept nogil:
    return alloc_any(pool, size, alignment, flags, tag, hold, refusal)


cdef uint64_t pool_get(pool_t *pool, uint64_t size, hold_t *hold) noexcept nogil:
    cdef heap_t *heap = <heap_t *>thread_heap_at(pool.slot_offset)
    cdef slab_t *slab
    cdef uint32_t index
    cdef uint64_t address
    if heap.pool == pool and size <= pool.small_max:
        slab = heap.fast[pool.class_of[(size + (ALIGNMENT - 1)) >> ALIGNMENT_SHIFT]]
        # slab_none has no holders, so it is not refreshed.
        if slab.holders != NULL and slab.tags == NULL and slab_refresh(slab):
            index = slab.head
            address = slab_take(slab, RECORD_HELD | <uint32_t>size)
            hold.slab = slab
            hold.address = address
            hold.size = size
            hold.index = index
            hold.views = 0
            slab.holders[index] = hold
            return address
    return pool_get_slow(pool, size, hold)


cdef uint64_t pool_get_slow(pool_t *pool, uint64_t size, hold_t *hold) noexcept nogil:
    cdef int refusal
    return alloc_any(pool, size, 0, 0, 0, hold, &refusal)


cdef int pool_free_ex(pool_t *pool, uint64_t address, int flags) noexcept nogil:
    return free_any(pool, address, flags)


cdef int pool_free_held(pool_t *pool, hold_t *hold, int flags) noexcept nogil:
    cdef slab_t *slab = hold.slab
    cdef heap_t *heap
    if slab == NULL:
        return VERDICT_CLOSED if pool.is_closed else VERDICT_DOUBLE
    heap = slab.owner
    if heap == <heap_t *>thread_heap_at(pool.slot_offset) and not hold.views and not pool.is_native:
        hold.slab = NULL
        if slab_put(slab, hold.index):
            return slab_emptied_slow(slab)
        return VERDICT_LIVE
    return free_any(pool, hold.address, flags)


# ---- Views ------------------------------------------------------------------------------------------

cdef int hold_export(pool_t *pool, hold_t *hold) noexcept nogil:
    """HELD -> EXPORTED with the first view. -1: the Buffer is dead."""
    cdef int answer
    if not pool.is_locked:
        return hold_export_now(pool, hold)
    os_lock(&pool.heap_lock)
    answer = hold_export_now(pool, hold)
    os_unlock(&pool.heap_lock)
    return answer


cdef inline int hold_export_now(pool_t *pool, hold_t *hold) noexcept nogil:
    cdef slab_t *slab = hold.slab
    cdef uint32_t *place
    cdef uint32_t record
    if slab == NULL:
        return -1
    if hold.views == 0:
        place = slab.records + hold.index
        record = record_load(place)
        if record & RECORD_STATE != RECORD_HELD:
            return -1
        if not pool.is_native:
            record_store(place, RECORD_EXPORTED | (record & RECORD_SIZE))
        elif not atomic_cas_u32(place, record, RECORD_EXPORTED | (record & RECORD_SIZE)):
            return -1
    hold.views += 1
    return 0


cdef void hold_unexport(pool_t *pool, hold_t *hold, uint64_t address) noexcept nogil:
    """EXPORTED -> HELD with the last view; a deferred block goes back now."""
    if not pool.is_locked:
        hold_unexport_now(pool, hold, address)
        return
    thread_here()
    os_lock(&pool.heap_lock)
    hold_unexport_now(pool, hold, address)
    os_unlock(&pool.heap_lock)


cdef void hold_unexport_now(pool_t *pool, hold_t *hold, uint64_t address) noexcept nogil:
    cdef slab_t *slab = hold.slab
    cdef uint32_t index, record
    cdef uint32_t *place
    hold.views -= 1
    if hold.views:
        return
    if slab != NULL:
        place = slab.records + hold.index
        record = record_load(place)
        if not pool.is_native:
            record_store(place, RECORD_HELD | (record & RECORD_SIZE))
        else:
            atomic_cas_u32(place, record, RECORD_HELD | (record & RECORD_SIZE))
        return
    if pool.is_closed or block_find(pool, address, &slab, &index) != VERDICT_LIVE:
        return
    place = slab.records + index
    record = atomic_load_u32(place)
    if record & RECORD_STATE != RECORD_DEFERRED:
        return
    if pool.is_locked:
        block_bury(pool, slab, index, address, block_size(slab, record))
    elif slab.kind == KIND_RUN:
        if atomic_cas_u32(place, record, 0):
            run_release(pool, slab)
    elif is_owner(pool, slab):
        slab_return(slab, index)
    elif remote_bits_make(pool, slab) and atomic_cas_u32(place, record, RECORD_REMOTE | (record & RECORD_SIZE)):
        remote_gather(slab, index)


cdef void hold_forget(pool_t *pool, hold_t *hold) noexcept nogil:
    """The block stays and is plain LIVE; the hold is dead."""
    cdef slab_t *slab = hold.slab
    cdef uint32_t record
    if pool.is_locked:
        os_lock(&pool.heap_lock)
    if hold.slab != NULL:
        record = record_load(slab.records + hold.index) & RECORD_SIZE
        atomic_cas_u32(slab.records + hold.index, RECORD_HELD | record, RECORD_LIVE | record)
        holder_place(slab, hold.index)[0] = NULL
        hold.slab = NULL
    if pool.is_locked:
        os_unlock(&pool.heap_lock)


cdef int hold_adopt(pool_t *pool, hold_t *hold, uint64_t address) noexcept nogil:
    """LIVE -> HELD. -1: no plain live block starts at address."""
    cdef slab_t *slab
    cdef uint32_t index, record
    cdef int answer = -1
    if pool.is_locked:
        os_lock(&pool.heap_lock)
    if not pool.is_closed and block_find(pool, address, &slab, &index) == VERDICT_LIVE:
        record = atomic_load_u32(slab.records + index)
        if record & RECORD_LIVE and holders_make(pool, slab):
            if atomic_cas_u32(slab.records + index, record, RECORD_HELD | (record & RECORD_SIZE)):
                hold_make(pool, slab, index, address, block_size(slab, record), hold)
                answer = 0
    if pool.is_locked:
        os_unlock(&pool.heap_lock)
    return answer


# ---- What this thread's heap is, looked up in this module's thread-local storage -----------------------

cdef inline uint64_t pool_alloc(pool_t *pool, uint64_t size) noexcept nogil:
    """A block of `size` bytes, or 0. Any thread."""
    return heap_alloc(<heap_t *>thread_heap_at(pool.slot_offset), pool, size)


cdef inline int pool_free(pool_t *pool, uint64_t address) noexcept nogil:
    """Frees what `address` is; the verdict. Any thread, any value."""
    return heap_free(<heap_t *>thread_heap_at(pool.slot_offset), pool, address)


# ---- Realloc and batches ------------------------------------------------------------------------------

cdef int resize_in_place(pool_t *pool, slab_t *slab, uint32_t index, uint32_t record, uint64_t size) noexcept nogil:
    """1: done; 0: it must move; -1: a limit stands in the way."""
    cdef uint64_t was = block_size(slab, record)
    cdef uint32_t changed
    if pool.config.guard_every or pool.config.is_filled or pool.quarantine_capacity:
        return 0
    if slab.kind == KIND_SLAB:
        if size > slab.block_bytes or size < slab.block_bytes >> 1:
            return 0
    elif size <= pool.small_max:
        return 0
    if pool.is_locked:
        if size > was and locked_limit(pool, size - was, 0) != REFUSAL_NONE:
            return -1
    elif pool.is_limited and size > was and credit_take(pool, size - was, 0) != REFUSAL_NONE:
        return -1
    if slab.kind == KIND_RUN:
        if not run_resize(pool, slab, size):
            if pool.is_limited and not pool.is_locked and size > was:
                credit_give(pool, size - was, 0)
            return 0
        if size > was:
            used_raise(pool, 0, size - was)
        else:
            used_lower(pool, 0, was - size)
    else:
        changed = (record & RECORD_STATE) | <uint32_t>size
        if is_owner(pool, slab):
            record_store(slab.records + index, changed)
        elif not atomic_cas_u32(slab.records + index, record, changed):
            if pool.is_limited and not pool.is_locked and size > was:
                credit_give(pool, size - was, 0)
            return 0
    if pool.is_locked:
        pool.live_bytes += size - was
        if pool.live_bytes > pool.peak_bytes:
            pool.peak_bytes = pool.live_bytes
    elif pool.is_limited and size < was:
        credit_give(pool, was - size, 0)
    return 1


cdef uint64_t realloc_any(pool_t *pool, uint64_t address, hold_t *hold, hold_t *to_hold, uint64_t size, int *verdict,
                          int *refusal) noexcept nogil:
    """`hold` is NULL for an address; then a HELD block is moved away from under its Buffer, which is dead."""
    cdef slab_t *slab
    cdef uint32_t index, record, state
    cdef uint64_t moved, tag = 0
    cdef uint64_t was = 0
    cdef int done = 0
    verdict[0] = VERDICT_LIVE
    refusal[0] = REFUSAL_NONE
    if pool.is_closed:
        verdict[0] = VERDICT_CLOSED
        return 0
    if pool.is_locked:
        if thread_in_callback(pool):
            refusal[0] = REFUSAL_CALLBACK
            return 0
        os_lock(&pool.heap_lock)
    verdict[0] = block_find(pool, address, &slab, &index)
    if verdict[0] == VERDICT_LIVE:
        record = atomic_load_u32(slab.records + index)
        verdict[0] = record_verdict(pool, slab, index, record, 0)
        if record & RECORD_STATE == RECORD_EXPORTED:
            verdict[0] = VERDICT_EXPORTED
    if verdict[0] == VERDICT_LIVE:
        state = record & RECORD_STATE
        was = block_size(slab, record)
        if slab.tags != NULL:
            tag = slab.tags[index].tag
        done = resize_in_place(pool, slab, index, record, size)
        if done > 0:
            if state == RECORD_HELD:
                hold_kill(slab, index)
                if to_hold != NULL:
                    hold_make(pool, slab, index, address, size, to_hold)
                else:
                    record_store(slab.records + index, RECORD_LIVE | (record_load(slab.records + index) & RECORD_SIZE))
        elif done < 0:
            refusal[0] = REFUSAL_LIMIT_BYTES
    if pool.is_locked:
        os_unlock(&pool.heap_lock)
    if verdict[0] != VERDICT_LIVE or done < 0:
        return 0
    if done > 0:
        return address
    moved = alloc_any(pool, size, 0, 0, <uint32_t>tag, to_hold, refusal)
    if moved == 0:
        return 0
    if pool.is_locked:
        # A callback or another thread may have freed the block while the lock was let go.
        verdict[0] = block_find(pool, address, &slab, &index)
        if verdict[0] != VERDICT_LIVE or slab.records[index] != record:
            free_any(pool, moved, 0)
            verdict[0] = VERDICT_DOUBLE
            return 0
    if pool.config.backing != BACKING_SPACE:
        memcpy(<void *>moved, <void *>address, size if size < was else was)
    elif pool.config.on_copy != NULL:
        if pool.config.on_copy(pool.config.context, moved, address, size if size < was else was) != 0:
            free_any(pool, moved, 0)
            refusal[0] = REFUSAL_MEMORY
            return 0
    verdict[0] = free_any(pool, address, 0)
    if verdict[0] != VERDICT_LIVE:
        # The old block was lost to a racing free, or its slack was overwritten.
        free_any(pool, moved, 0)
        return 0
    return moved


cdef uint64_t pool_realloc(pool_t *pool, uint64_t address, uint64_t size, int *verdict, int *refusal) noexcept nogil:
    cdef int no_verdict, no_refusal
    return realloc_any(pool, address, NULL, NULL, size, &no_verdict if verdict == NULL else verdict,
                       &no_refusal if refusal == NULL else refusal)


cdef uint64_t pool_realloc_held(pool_t *pool, hold_t *hold, hold_t *to_hold, uint64_t size, int *verdict,
                                int *refusal) noexcept nogil:
    if hold.slab == NULL:
        verdict[0] = VERDICT_CLOSED if pool.is_closed else VERDICT_DOUBLE
        refusal[0] = REFUSAL_NONE
        return 0
    return realloc_any(pool, hold.address, hold, to_hold, size, verdict, refusal)


cdef int pool_many_refusal(pool_t *pool, uint64_t size, uint64_t count) noexcept nogil:
    """The limit that `count` blocks of `size` bytes cannot keep, unless somebody frees meanwhile."""
    if not pool.is_policed or pool.is_closed or pool.config.on_low_memory != NULL:
        return REFUSAL_NONE
    if pool.config.limit_blocks - pool.live_blocks < count:
        return REFUSAL_LIMIT_BLOCKS
    if size and (pool.config.limit_bytes - pool.live_bytes) // size < count:
        return REFUSAL_LIMIT_BYTES
    return REFUSAL_NONE


cdef void pool_forget_allocs(pool_t *pool, uint64_t count, uint64_t peak_blocks, uint64_t peak_bytes) noexcept nogil:
    """After `count` allocations were undone by as many frees: as if they had never been, peaks too."""
    cdef heap_t *heap = heap_here(pool)
    if heap == NULL or count == 0:
        return
    heap.retired_total -= count
    if pool.is_policed:
        atomic_store_u64(&pool.peak_blocks, peak_blocks)
        atomic_store_u64(&pool.peak_bytes, peak_bytes)


cdef uint64_t pool_alloc_many(pool_t *pool, uint64_t size, uint64_t count, uint64_t *addresses,
                              int *refusal) noexcept nogil:
    cdef uint64_t i, done
    cdef uint64_t peak_blocks = pool.peak_blocks
    cdef uint64_t peak_bytes = pool.peak_bytes
    refusal[0] = pool_many_refusal(pool, size, count)
    if refusal[0] != REFUSAL_NONE:
        return 0
    for i in range(count):
        addresses[i] = pool_alloc(pool, size)
        if addresses[i] == 0:
            addresses[i] = alloc_any(pool, size, 0, 0, 0, NULL, refusal)
        if addresses[i] == 0:
            done = i
            while i:
                i -= 1
                free_any(pool, addresses[i], 0)
            pool_forget_allocs(pool, done, peak_blocks, peak_bytes)
            return 0
    return count


cdef uint64_t pool_free_many(pool_t *pool, const uint64_t *addresses, uint64_t count, int *verdicts) noexcept nogil:
    cdef uint64_t i
    cdef uint64_t good = 0
    cdef int verdict
    for i in range(count):
        verdict = pool_free(pool, addresses[i])
        if verdict == VERDICT_LIVE:
            good += 1
        if verdicts != NULL:
            verdicts[i] = verdict
    return good


# The functions of Pool.c_functions(): what a C program calls through pointers.

cdef void *pool_c_alloc(void *pool, size_t size) noexcept nogil:
    return <void *>pool_alloc(<pool_t *>pool, size)


cdef int pool_c_free(void *pool, void *block) noexcept nogil:
    return pool_free(<pool_t *>pool, <uint64_t>block)


cdef void *realloc_slow(pool_t *pool, uint64_t address, uint64_t size) noexcept nogil:
    cdef int verdict, refusal
    if address == 0:
        return <void *>pool_alloc(pool, size)
    return <void *>realloc_any(pool, address, NULL, NULL, size, &verdict, &refusal)


cdef inline uint64_t realloc_room(pool_t *pool, uint64_t was, uint64_t size) noexcept nogil:
    """What to make room for when a block of `was` bytes must move: what grew once grows again, and a quarter more
    spares most copies. In a recorded redis the copies were half of all cache misses."""
    cdef uint64_t room = was + (was >> 2)
    if size <= was or was < REALLOC_ROOM_FROM or room <= size:
        return size
    return room if room < pool.small_max else pool.small_max


cdef void *pool_c_realloc(void *handle, void *block, size_t size) noexcept nogil:
    """realloc as C has it: NULL allocates; NULL back leaves the old block as it was. Fast from one class of this
    thread's heap to another: a fifth of some programs' calls are such growing reallocations."""
    cdef pool_t *pool = <pool_t *>handle
    cdef uint64_t address = <uint64_t>block
    cdef heap_t *heap = <heap_t *>thread_heap_at(pool.slot_offset)
    cdef uint64_t offset = address - pool.base
    cdef uint64_t moved, copied, place
    cdef slab_t *slab
    cdef slab_t *to_slab
    cdef uint32_t index, record, size_class
    if rarely(heap.pool != pool or offset >= pool.fast_span or size > pool.small_max):
        return realloc_slow(pool, address, size)
    slab = &pool.descriptors[offset >> GRANULE_SHIFT]
    if rarely(slab.owner != heap):
        return realloc_slow(pool, address, size)
    index = slab_index(slab, address)
    if rarely(index >= slab.block_count):
        return realloc_slow(pool, address, size)
    record = record_load(slab.records + index)
    if rarely(not record & RECORD_LIVE):
        return realloc_slow(pool, address, size)
    if size <= slab.block_bytes and size >= slab.block_bytes >> 1:
        record_store(slab.records + index, RECORD_LIVE | <uint32_t>size)
        return block
    copied = record & RECORD_SIZE
    size_class = pool.class_of[(realloc_room(pool, copied, size) + (ALIGNMENT - 1)) >> ALIGNMENT_SHIFT]
    to_slab = heap.fast[size_class]
    if rarely(not slab_has_free(to_slab)):
        to_slab = heap_refill(pool, heap, size_class)
        if to_slab == NULL or to_slab.tags != NULL:
            return realloc_slow(pool, address, size)
    moved = slab_take(to_slab, RECORD_LIVE | <uint32_t>size)
    if size < copied:
        copied = size
    if copied <= 128:
        # Capacities divide by 16, so whole pieces may be copied: cheaper than a call.
        place = 0
        while place < copied:
            memcpy(<void *>(moved + place), <void *>(address + place), ALIGNMENT)
            place += ALIGNMENT
    else:
        memcpy(<void *>moved, block, copied)
    if rarely(slab_put(slab, index)):
        slab_emptied_slow(slab)
    return <void *>moved


cdef void *pool_c_calloc(void *pool, size_t count, size_t size) noexcept nogil:
    cdef int refusal
    cdef uint64_t address
    if size and count > UINT64_MAX // size:
        return NULL
    if (<pool_t *>pool).is_policed:
        return <void *>alloc_any(<pool_t *>pool, count * size, 0, ALLOC_ZERO, 0, NULL, &refusal)
    address = pool_alloc(<pool_t *>pool, count * size)
    if address:
        memset(<void *>address, 0, count * size)
    return <void *>address


cdef void *pool_c_aligned(void *pool, size_t alignment, size_t size) noexcept nogil:
    cdef int refusal
    return <void *>alloc_any(<pool_t *>pool, size, alignment, 0, 0, NULL, &refusal)


# ---- Opening and closing ------------------------------------------------------------------------------

cdef bint class_add(pool_t *pool, uint64_t size) noexcept nogil:
    cdef uint32_t i = pool.class_count
    cdef uint32_t odd = <uint32_t>size
    cdef uint32_t shift = 0
    cdef uint32_t inverse, _step
    if i == CLASS_MAX:
        return False
    while not odd & 1:
        odd >>= 1
        shift += 1
    inverse = odd
    for _step in range(4):
        inverse *= 2 - odd * inverse        # Newton: correct bits double from 3
    pool.class_bytes[i] = <uint32_t>size
    pool.class_blocks[i] = <uint32_t>(pool.granule_bytes // size)
    pool.class_inverse[i] = inverse
    pool.class_shift[i] = <uint8_t>shift
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
        start = pool.config.base
        end = start + pool.config.size
        start = (start + (<uint64_t>1 << pool.granule_shift) - 1) & ~((<uint64_t>1 << pool.granule_shift) - 1)
        end &= ~((<uint64_t>1 << pool.granule_shift) - 1)
        if end <= start or start < pool.config.base:
            why[0] = "the memory is smaller than one aligned slab of 4096 bytes"
            return False
        pool.base = start
        pool.span = end - start
    pool.granule_bytes = <uint64_t>1 << pool.granule_shift
    pool.granule_count = pool.span >> pool.granule_shift
    if pool.granule_count >> 31:
        why[0] = "more than 2^31 slabs of 64 KiB"
        return False
    pool.commit_step = HUGE_GRANULES if pool.config.huge == HUGE_ALWAYS else 4
    pool.descriptor_bytes = pool.granule_count * sizeof(slab_t)
    pool.descriptors = <slab_t *>os_map(pool.descriptor_bytes)
    pool.meta.reserved = pool.granule_count * 131072
    if pool.meta.reserved > <uint64_t>1 << 34:
        pool.meta.reserved = <uint64_t>1 << 34
    pool.meta.base = <uint64_t>os_map(pool.meta.reserved)
    pool.meta.used = META_UNIT
    if pool.descriptors == NULL or pool.meta.base == 0:
        why[0] = "the OS refused memory for descriptors"
        return False
    return True


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
    pool.slot_offset = thread_slot(pool.number % SLOT_COUNT + 1)
    pool.is_limited = config.limit_bytes != UINT64_MAX or config.limit_blocks != UINT64_MAX
    pool.is_locked = (config.backing == BACKING_SPACE or config.guard_every > 0 or config.quarantine_blocks > 0
                      or config.quarantine_bytes > 0 or config.is_filled != 0 or config.events_capacity > 0
                      or config.fault_nth > 0 or config.fault_rate > 0 or config.fault_last > 0
                      or config.is_low_memory != 0)
    pool.is_policed = pool.is_locked or pool.is_limited
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
        pool.quarantine = <uint64_t *>os_map(pool.quarantine_capacity * sizeof(uint64_t))
        if pool.quarantine == NULL:
            why[0] = "no memory for the quarantine"
            return False
    if pool.config.events_capacity:
        pool.events = <event_t *>os_map(pool.config.events_capacity * sizeof(event_t))
        if pool.events == NULL:
            why[0] = "no memory for the events"
            return False
    return True


cdef void pool_close(pool_t *pool) noexcept nogil:
    global free_heaps
    cdef heap_t *heap
    cdef heap_t *rest
    cdef thread_t *thread
    cdef block_t block
    cdef uint64_t address
    cdef map_call_t unmap = pool.config.on_unmap
    if pool.is_closed:
        return
    thread_here()
    assert_whole(pool_check(pool, NULL, NULL))
    block.address = 0
    address = pool.base
    while pool_next_live(pool, address, &block):
        if block.hold != NULL:
            block.hold.slab = NULL
        address = block.address + 1
    os_lock(&state_lock)
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
        os_release(<void *>pool.meta.base, pool.meta.reserved)
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
        if thread.in_callback == pool:
            return 0
        gather_publish(thread)
    if pool.is_locked:
        os_lock(&pool.heap_lock)
        if pool.is_closed:
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
    """Whole pages of a free granule's records, which read as free ones when they are zero."""
    cdef uint64_t first = (<uint64_t>slab.records + page_bytes - 1) & ~(page_bytes - 1)
    cdef uint64_t end = (<uint64_t>slab.records + <uint64_t>slab.record_units * META_UNIT) & ~(page_bytes - 1)
    if slab.record_units and end > first:
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
            slab.kind = KIND_TAKEN
            os_unlock(&pool.arena_lock)
            given += space_unback(pool, granule, count)
            os_lock(&pool.arena_lock)
            arena_give(pool, granule, count)
            os_unlock(&pool.arena_lock)
        granule += count
    return given << pool.granule_shift


# ---- Questions ------------------------------------------------------------------------------------------

cdef bint is_live_state(uint32_t record) noexcept nogil:
    cdef uint32_t state = record & RECORD_STATE
    return state & RECORD_LIVE or state == RECORD_HELD or state == RECORD_EXPORTED


cdef void block_describe(pool_t *pool, slab_t *slab, uint32_t index, block_t *block) noexcept nogil:
    cdef uint32_t record = atomic_load_u32(slab.records + index)
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
    os_lock(&pool.arena_lock)
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
    os_unlock(&pool.arena_lock)
    return found


cdef int pool_verdict_of(pool_t *pool, uint64_t address) noexcept nogil:
    cdef slab_t *slab
    cdef uint32_t index
    cdef int verdict
    if address == 0:
        return VERDICT_NULL
    if pool.is_closed:
        return VERDICT_CLOSED
    verdict = block_find(pool, address, &slab, &index)
    if verdict == VERDICT_LIVE:
        verdict = record_verdict(pool, slab, index, atomic_load_u32(slab.records + index), 0)
        if verdict == VERDICT_LIVE and pool.is_locked:
            if not slack_is_intact(pool, slab, index, slab.records[index]):
                verdict = VERDICT_CORRUPT
    return verdict


cdef int pool_next_live(pool_t *pool, uint64_t address, block_t *block) noexcept nogil:
    cdef uint64_t granule
    cdef slab_t *slab
    cdef uint32_t index
    if pool.is_closed:
        return 0
    if address < pool.base:
        address = pool.base
    os_lock(&pool.arena_lock)
    granule = (address - pool.base) >> pool.granule_shift
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_SLAB:
            for index in range(slab.carved):
                if is_live_state(slab.records[index]) and block_address(slab, index) >= address:
                    block_describe(pool, slab, index, block)
                    os_unlock(&pool.arena_lock)
                    return 1
        elif slab.kind == KIND_RUN:
            if is_live_state(slab.head) and slab.base >= address:
                block_describe(pool, slab, 0, block)
                os_unlock(&pool.arena_lock)
                return 1
        granule += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1
    os_unlock(&pool.arena_lock)
    return 0


cdef uint64_t pool_size_of(pool_t *pool, uint64_t address) noexcept nogil:
    cdef slab_t *slab
    cdef uint32_t index, record
    if pool.is_closed or block_find(pool, address, &slab, &index) != VERDICT_LIVE:
        return 0
    record = atomic_load_u32(slab.records + index)
    return block_size(slab, record) if is_live_state(record) else 0


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
            if is_live_state(record_load(&slab.head)):
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
        stats.total_allocs += heap.retired_total
        stats.late_double_frees += heap.late_double_frees
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
    stats.quarantined_blocks = pool.quarantine_count
    stats.quarantined_bytes = pool.quarantine_bytes
    stats.corrupt_blocks = pool.corrupt_blocks
    stats.is_peak_exact = pool.is_policed
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
    return (heap.empty_count > 0 or slab_has_free(heap.current[size_class])
            or heap.current[size_class].freed != LINK_NONE or heap.partial[size_class] != NULL)


cdef void pool_reset_peak(pool_t *pool) noexcept nogil:
    pool.peak_blocks = pool.live_blocks
    pool.peak_bytes = pool.live_bytes


cdef uint64_t pool_events(pool_t *pool, event_t *events, uint64_t capacity) noexcept nogil:
    cdef uint64_t count, first, i
    cdef uint64_t size = pool.config.events_capacity
    if pool.is_closed or size == 0:
        return 0
    os_lock(&pool.heap_lock)
    count = pool.sequence if pool.sequence < size else size
    if count > capacity:
        count = capacity
    first = pool.sequence - count
    for i in range(count):
        events[i] = pool.events[(first + i) % size]
    os_unlock(&pool.heap_lock)
    return count


# ---- check ------------------------------------------------------------------------------------------------
# Each step answers the name of an invariant that it found broken, and where. Under arena_lock, on
# heaps that only the caller can move.

cdef const char *check_slab(pool_t *pool, slab_t *slab) noexcept nogil:
    cdef uint32_t live = 0
    cdef uint32_t free = 0
    cdef uint32_t i, record, state
    cdef bint is_freed
    cdef hold_t *hold
    if slab.size_class >= pool.class_count or slab.base != granule_address(pool, granule_of(pool, slab)):
        return "slab_shape"
    if not slab.flags & FLAG_GUARDED:
        if (slab.block_bytes != pool.class_bytes[slab.size_class] or slab.inverse != pool.class_inverse[slab.size_class]
                or slab.shift != pool.class_shift[slab.size_class]
                or slab.block_count != pool.class_blocks[slab.size_class]):
            return "slab_shape"
    if slab.carved > slab.block_count or slab.records == NULL:
        return "slab_carved"
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
    if slab_live(slab) != live:
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
        if i >= slab.carved or slab.records[i] & RECORD_STATE or free > slab.carved:
            return "free_list"
        free += 1
        i = slab.records[i] & LINK_MASK
    if free + live != slab.carved:
        return "free_list"
    if slab.place == PLACE_FULL:
        if slab.owner != NULL:
            return "owner"
        if free or slab.carved < slab.block_count:
            return "place"
    elif slab.owner != slab_fast_owner(slab):
        return "owner"
    if slab.place == PLACE_PARTIAL and (free == 0 or live == 0):
        return "place"
    if slab.place == PLACE_EMPTY and live:
        return "place"
    if slab.place == PLACE_CURRENT and slab.heap.current[slab.size_class] != slab:
        return "place"
    return NULL


cdef const char *check_slab_empty(pool_t *pool, slab_t *slab) noexcept nogil:
    """A slab without a live block whose place still says partial."""
    cdef uint32_t i
    for i in range(slab.carved):
        if slab.records[i] & RECORD_STATE:
            return "slab_live"
    return NULL


cdef const char *check_heap(pool_t *pool, heap_t *heap, uint64_t *detail) noexcept nogil:
    """The heap's slabs, and that its lists hold exactly those whose place says so."""
    cdef uint64_t granule = 0
    cdef uint64_t partial = 0, empty = 0, slabs = 0
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
    return NULL


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
            if slab.records != &slab.head or slab.head & RECORD_STATE == 0:
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


cdef const char *check_counts(pool_t *pool) noexcept nogil:
    """What counted pools keep against what the records say."""
    cdef uint64_t granule = 0
    cdef uint64_t blocks = 0, size = 0, quarantined = 0
    cdef slab_t *slab
    cdef uint32_t i
    if not pool.is_policed:
        return NULL
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_SLAB or slab.kind == KIND_RUN:
            for i in range(slab.carved):
                if is_live_state(slab.records[i]):
                    blocks += 1
                    size += block_size(slab, slab.records[i])
                quarantined += slab.records[i] & RECORD_STATE == RECORD_QUARANTINED
        granule += slab.granules if slab.kind in (KIND_RUN, KIND_FREE, KIND_TAKEN) and slab.granules else 1
    if blocks != pool.live_blocks:
        return "live_blocks"
    if size != pool.live_bytes:
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
    broken = check_arena(pool, &place)
    heap = pool.heaps
    while heap != NULL and broken == NULL:
        if heap == mine or heap.is_abandoned:
            broken = check_heap(pool, heap, &place)
        elif heap.thread != NULL:
            skipped += 1
        heap = heap.next_in_pool
    if broken == NULL and skipped == 0:
        broken = check_counts(pool)
    os_unlock(&pool.arena_lock)
    if pool.is_locked:
        os_unlock(&pool.heap_lock)
    if detail != NULL:
        detail[0] = place
    if skipped_heaps != NULL:
        skipped_heaps[0] = skipped
    return broken


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
            slab.inverse = pool.class_inverse[slab.size_class]
            slab.shift = pool.class_shift[slab.size_class]
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


cdef void pool_rebuild(pool_t *pool, thread_t *mine) noexcept nogil:
    """In a fork's child, where no other thread runs."""
    cdef heap_t *heap = pool.heaps
    cdef slab_t *slab
    cdef uint64_t granule = 0
    cdef uint32_t i
    pool.abandoned = NULL
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
            heap_abandon(pool, heap)
        heap = heap.next_in_pool
    while granule < pool.top:
        slab = granule_at(pool, granule)
        if slab.kind == KIND_RUN and slab.head & RECORD_STATE == 0:
            # Its thread had made the record free and was about to give the granules back.
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
        slab.owner = NULL
    else:
        slab.place = PLACE_PARTIAL
        slab.owner = slab_fast_owner(slab)
        list_push(&heap.partial[slab.size_class], slab)


# ---- The module -----------------------------------------------------------------------------------------------

cdef uint64_t engine_layout() noexcept nogil:
    return layout_hash()


cdef int engine_start() except -1:
    global page_bytes
    page_bytes = os_page_bytes()
    os_lock_init(&state_lock)
    slab_none.head = LINK_NONE
    slab_none.freed = LINK_NONE
    slab_none.place = PLACE_CURRENT
    if not os_thread_key_create(thread_end):
        raise MemoryError("poolcore needs one thread-specific key, and the process has none left")
    if os_at_fork(fork_before, fork_unlock, fork_in_child) != 0:
        raise MemoryError("poolcore could not register its fork handlers")
    return 0


engine_start()
