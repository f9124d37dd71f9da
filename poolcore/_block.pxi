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
    # A free granule, which is what it was: `was` is written whenever a granule is taken or given back.
    if slab.was == KIND_SLAB:
        i = slab_index(slab, address)
        if i >= slab.block_count:
            return VERDICT_INTERIOR
        # Its records stay with it, but for those of which trim gave whole pages back.
        if i >= slab.carved or slab.record_bin and (
                atomic_load_u32(slab.records + i) & (RECORD_STATE | RECORD_VIRGIN) == RECORD_VIRGIN):
            return VERDICT_FOREIGN
        return VERDICT_DOUBLE
    if slab.was == KIND_RUN:
        return VERDICT_DOUBLE if address == slab.base else VERDICT_INTERIOR
    return VERDICT_INTERIOR if is_in_former_run(pool, granule) else VERDICT_FOREIGN


cdef bint is_still(slab_t *slab, uint8_t kind, uint32_t index, uint64_t address) noexcept nogil:
    """Whether block `index` starts at `address`, as block_find said, in a granule of this kind. A caller without a lock
    whose block was freed by another may find the granule given back, or made a slab or run anew, between any two of
    its accesses: it reads the kind, then the record, which such a granule has too (see records_make), and asks this
    before it believes the record."""
    if slab.kind != kind:
        return False
    if kind == KIND_RUN:
        return slab.base == address
    return kind == KIND_SLAB and block_index(slab, address) == index


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
    slab.holders = <hold_t **>meta_alloc(pool, <uint64_t>slab.block_count * sizeof(void *))
    os_unlock(&pool.arena_lock)
    return slab.holders != NULL


cdef bint tags_make(pool_t *pool, slab_t *slab) noexcept nogil:
    if slab.tags != NULL:
        return True
    os_lock(&pool.arena_lock)
    slab.tags = <tag_t *>meta_alloc(pool, <uint64_t>slab.block_count * sizeof(tag_t))
    if slab.tags != NULL:
        slab.flags |= FLAG_TAGGED
    os_unlock(&pool.arena_lock)
    if slab.tags == NULL:
        return False
    # From now on every block of the slab goes the slow way, which keeps the tags.
    front_spill(slab.heap)
    if slab.heap.fast[slab.size_class] == slab:
        slab.heap.fast[slab.size_class] = &slab_none
    slab.owner = NULL
    return True


cdef inline bint is_owner(pool_t *pool, slab_t *slab) noexcept nogil:
    """The caller may move blocks of this slab without atomics."""
    return slab.heap != NULL and slab.heap == heap_here(pool)


# ---- Taking a block ---------------------------------------------------------------------------------

cdef inline uint32_t class_for(pool_t *pool, uint64_t size, uint64_t alignment) noexcept nogil:
    """Size class whose blocks hold `size` at `alignment`; class_count: none, it takes a run."""
    cdef uint32_t size_class
    if size > pool.small_max or alignment > pool.granule_bytes:
        return pool.class_count
    size += red_zone_bytes(pool)
    if size > pool.small_max:
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
                         bint is_tagged, bint is_held, slab_t **taken, uint32_t *index) noexcept nogil:
    """A block whose record is `state` with its size, and room for its tag and its Buffer, if it shall have them; or 0.
    By the heap's owner; may let the heap lock go."""
    cdef uint32_t size_class = class_for(pool, size, alignment)
    cdef slab_t *slab
    cdef uint64_t address
    cdef uint32_t was
    cdef bint is_clean
    cdef bint was_short = False
    if size_class == pool.class_count:
        slab = run_take(pool, heap, size, alignment, state, is_tagged)
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
        if is_tagged and not tags_make(pool, slab) or is_held and not holders_make(pool, slab):
            if was_short:
                return 0
            was_short = True
            heap_release_empty(pool, heap, True)
            pool_reclaim(pool)
            continue
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
                # It was not handed out, and is not counted.
                slab_return(slab, index[0])
                record_store(slab.records + index[0], slab.records[index[0]] | was & RECORD_VIRGIN)
                heap.retired_total -= 1
                return 0
            record_store(slab.records + index[0], state | <uint32_t>size)
        if pool.config.is_filled and has_memory(pool) and not was & RECORD_VIRGIN and not slab.flags & FLAG_GUARDED:
            is_clean = is_filled_with(<uint8_t *>address, block_capacity(pool, slab, index[0]), pool.config.fill_free)
            if not is_clean:
                # Written to after its free: it never serves again, and the request gets another.
                record_store(slab.records + index[0], RECORD_QUARANTINED)
                pool.corrupt_blocks += 1
                heap.retired_total -= 1
                event_add(pool, EVENT_CORRUPT, VERDICT_CORRUPT, address, size, 0)
                continue
        return address


cdef inline bint is_bad_alignment(pool_t *pool, uint64_t alignment) noexcept nogil:
    return alignment & (alignment - 1) != 0 or alignment > pool.span >> 1


cdef void hold_make(slab_t *slab, uint32_t index, uint64_t address, uint64_t size, hold_t *hold) noexcept nogil:
    """The slab has holders."""
    hold.slab = slab
    hold.address = address
    hold.size = size
    hold.index = index
    hold.views = 0
    holder_place(slab, index)[0] = hold


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
    cdef uint32_t *record
    cdef uint32_t state
    cdef thread_t *thread
    cdef credit_t credit
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
    if pool.is_counted:
        refusal[0] = credit_take(pool, size, 1, &credit)
    if refusal[0] == REFUSAL_NONE:
        thread = thread_here()
        if thread != NULL:
            gather_publish(thread)
        # Until all about it stands, no free of its address takes it: a stale one, which C may throw at any time,
        # would give back a run that is still being described.
        address = block_take(pool, heap, size, alignment, RECORD_QUARANTINED, tag != 0, hold != NULL, &slab, &index)
        if address and hold != NULL:
            hold_make(slab, index, address, size, hold)
        if address and slab.tags != NULL:
            slab.tags[index].tag = tag
        if address and flags & ALLOC_ZERO:
            memset(<void *>address, 0, size)
        if address:
            record = record_at(slab, index)
            state = RECORD_LIVE if hold == NULL else RECORD_HELD
            atomic_store_u32(record, state | (record_load(record) & RECORD_SIZE))
            if pool.is_counted:
                credit_use(pool, &credit)
        else:
            refusal[0] = REFUSAL_MEMORY
            if pool.is_counted:
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


cdef void locked_peak(pool_t *pool) noexcept nogil:
    """After a block was had, not when it was asked for: what is refused has never been live."""
    if pool.live_blocks - pool.pending_blocks > pool.peak_blocks:
        pool.peak_blocks = pool.live_blocks - pool.pending_blocks
    if pool.live_bytes - pool.pending_bytes > pool.peak_bytes:
        pool.peak_bytes = pool.live_bytes - pool.pending_bytes


cdef bint low_memory(pool_t *pool, uint64_t size) noexcept nogil:
    """Asks the LowMemory callback, without the lock; whether the request shall be tried again."""
    cdef int answer
    cdef thread_t *thread = thread_here()
    if pool.config.on_low_memory == NULL:
        return False
    if thread != NULL:
        thread.callbacks += 1
    os_unlock(&pool.heap_lock)
    answer = pool.config.on_low_memory(pool.config.context, size)
    os_lock(&pool.heap_lock)
    if thread != NULL:
        thread.callbacks -= 1
    return answer == 0 and not pool.is_closed


cdef inline bint is_put_off(pool_t *pool) noexcept nogil:
    """Whether a request must come again after a restore. Not one inside a call for which the restore waits."""
    cdef thread_t *thread
    if pool.restoring == RESTORE_NONE:
        return False
    thread = thread_here()
    return thread == NULL or times_inside(thread.in_open_call, pool) == 0


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
    if is_put_off(pool):
        os_unlock(&pool.heap_lock)
        refusal[0] = REFUSAL_RESTORE
        return 0
    pool.request_count += 1
    if fault_strikes(pool):
        refusal[0] = REFUSAL_FAULT
    while refusal[0] != REFUSAL_FAULT:
        refusal[0] = locked_limit(pool, size, 1)
        if refusal[0] == REFUSAL_NONE:
            pool.live_blocks += 1           # reserved: a callback may let others in
            pool.live_bytes += size
            pool.pending_blocks += 1
            pool.pending_bytes += size
            address = block_take(pool, heap, size, alignment, RECORD_LIVE if hold == NULL else RECORD_HELD,
                                 tag != 0 or pool.config.events_capacity > 0, hold != NULL, &slab, &index)
            if address and hold != NULL:
                hold_make(slab, index, address, size, hold)
            pool.pending_blocks -= 1
            pool.pending_bytes -= size
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
        locked_peak(pool)
        block_fill(pool, slab, index, size, flags)
        event_add(pool, EVENT_ALLOC, 0, address, size, tag)
        if slab.tags != NULL:
            slab.tags[index].tag = tag
            slab.tags[index].sequence = pool.sequence
            slab.tags[index].freed = 0
            slab.tags[index].thread = thread_id_here()
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
    kind = atomic_load_u8(&slab.kind)
    is_local = kind == KIND_SLAB and is_owner(pool, slab)       # a run's `heap` is that of a slab before it
    place = record_place(slab, kind, index)
    if kind == KIND_SLAB and not is_local:
        remote_bits_make(pool, slab)
    while True:
        record = atomic_load_u32(place)
        if not is_local and not is_still(slab, kind, index, address):
            return VERDICT_DOUBLE
        verdict = record_verdict(pool, slab, index, record, flags)
        if verdict != VERDICT_LIVE:
            return verdict
        state = record & RECORD_STATE
        size = record & RECORD_SIZE
        if state == RECORD_EXPORTED:
            if not atomic_cas_u32(place, record, RECORD_DEFERRED | (record & RECORD_SIZE)):
                continue
            size = block_size(slab, record)
            hold_kill(slab, index)
            break
        if kind == KIND_RUN:
            if not atomic_cas_u32(place, record, 0):
                continue
            if state == RECORD_HELD:
                hold_kill(slab, index)
            size = slab.total       # read before, it could be that of a run which stood here before
            run_release(pool, slab)
        elif is_local and not pool.is_limited:
            if state == RECORD_HELD:
                hold_kill(slab, index)
            slab_return(slab, index)
        else:
            # With a limit the owner's free is a CAS too: credit must be given back once.
            if not atomic_cas_u32(place, record, RECORD_REMOTE | (record & RECORD_SIZE)):
                continue
            if not is_local and not is_still(slab, kind, index, address):
                # Another slab's block, live since then, whose record this is now: it stays live. Its own free in this
                # very moment is refused, as a second one. That takes two racing frees of one block and then, where it
                # was, one of another class but the same size, for which only an alignment is a reason.
                atomic_cas_u32(place, RECORD_REMOTE | (record & RECORD_SIZE), record)
                return VERDICT_DOUBLE
            if state == RECORD_HELD:
                hold_kill(slab, index)
            if is_local:
                slab_return(slab, index)
            else:
                remote_gather(slab, index)
        break
    if pool.is_counted:
        credit_give(pool, size, 1)
    return VERDICT_LIVE


cdef int free_locked(pool_t *pool, uint64_t address, hold_t *hold, int flags) noexcept nogil:
    """`hold` is NULL for a free by address. Else its block is meant, and only under the lock is it known to have it
    still: its address may be another's by now."""
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
    if hold != NULL and hold.slab == NULL:
        verdict = VERDICT_DOUBLE
    if verdict == VERDICT_LIVE:
        record = record_at(slab, index)[0]
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
        record_at(slab, index)[0] = RECORD_DEFERRED | (record & RECORD_SIZE)
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
        return free_locked(pool, address, NULL, flags)
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
                if pool.is_counted:
                    count_take(pool, size, 1)
                return slab_take(slab, RECORD_LIVE | <uint32_t>size)
    return alloc_any(pool, size, 0, 0, 0, NULL, &refusal)


cdef bint heap_get_slow(pool_t *pool, uint64_t size, hold_t *hold, slab_t **guess) noexcept nogil:
    cdef heap_t *heap
    if pool.is_policed or size > pool.small_max:
        return False
    heap = <heap_t *>thread_heap_at(pool.slot_offset)
    if heap.pool != pool:
        return False
    if heap_refill(pool, heap, pool.class_of[(size + (ALIGNMENT - 1)) >> ALIGNMENT_SHIFT]) == NULL:
        return False
    return heap_get(heap, pool, size, hold, guess)


cdef int heap_free_slow(pool_t *pool, uint64_t address) noexcept nogil:
    return free_any(pool, address, 0)


cdef uint64_t pool_alloc_ex(pool_t *pool, uint64_t size, uint64_t alignment, int flags, uint32_t tag,
                            int *refusal) noexcept nogil:
    cdef int unasked
    return alloc_any(pool, size, alignment, flags, tag, NULL, &unasked if refusal == NULL else refusal)


cdef uint64_t pool_alloc_held(pool_t *pool, uint64_t size, uint64_t alignment, int flags, uint32_t tag,
                              hold_t *hold, int *refusal) noexcept nogil:
    return alloc_any(pool, size, alignment, flags, tag, hold, refusal)


cdef int pool_free_ex(pool_t *pool, uint64_t address, int flags) noexcept nogil:
    return free_any(pool, address, flags)


cdef int pool_free_held(pool_t *pool, hold_t *hold, int flags) noexcept nogil:
    cdef slab_t *slab = hold.slab
    if slab == NULL:
        return VERDICT_CLOSED if pool.is_closed else VERDICT_DOUBLE
    if (pool.is_counted and not pool.is_policed and not hold.views and slab.kind == KIND_SLAB
            and is_owner(pool, slab)):
        # Under the GIL and never given to C: nobody else can free it, and what it is need not be found.
        hold_kill(slab, hold.index)
        count_give(pool, hold.size, 1)
        slab_return(slab, hold.index)
        return VERDICT_LIVE
    if pool.is_locked and not pool.is_closed:
        return free_locked(pool, hold.address, hold, flags)
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
        place = record_at(slab, hold.index)
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
        place = record_at(slab, hold.index)
        record = record_load(place)
        if not pool.is_native:
            record_store(place, RECORD_HELD | (record & RECORD_SIZE))
        else:
            atomic_cas_u32(place, record, RECORD_HELD | (record & RECORD_SIZE))
        return
    if pool.is_closed or block_find(pool, address, &slab, &index) != VERDICT_LIVE:
        return
    place = record_at(slab, index)
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
    elif atomic_cas_u32(place, record, RECORD_REMOTE | (record & RECORD_SIZE)):
        remote_bits_make(pool, slab)
        remote_gather(slab, index)


cdef void hold_forget(pool_t *pool, hold_t *hold) noexcept nogil:
    """The block stays and is plain LIVE; the hold is dead."""
    cdef slab_t *slab = hold.slab
    cdef uint32_t *place
    cdef uint32_t record
    if pool.is_locked:
        os_lock(&pool.heap_lock)
    if hold.slab != NULL:
        place = record_at(slab, hold.index)
        record = record_load(place) & RECORD_SIZE
        atomic_cas_u32(place, RECORD_HELD | record, RECORD_LIVE | record)
        holder_place(slab, hold.index)[0] = NULL
        hold.slab = NULL
    if pool.is_locked:
        os_unlock(&pool.heap_lock)


cdef int hold_adopt(pool_t *pool, hold_t *hold, uint64_t address) noexcept nogil:
    """LIVE -> HELD. -1: no plain live block starts at address."""
    cdef slab_t *slab
    cdef uint32_t *place
    cdef uint32_t index, record
    cdef uint8_t kind
    cdef int answer = -1
    if pool.is_locked:
        os_lock(&pool.heap_lock)
    if not pool.is_closed and block_find(pool, address, &slab, &index) == VERDICT_LIVE:
        kind = atomic_load_u8(&slab.kind)
        place = record_place(slab, kind, index)
        record = atomic_load_u32(place)
        if record & RECORD_LIVE and is_still(slab, kind, index, address) and holders_make(pool, slab):
            if atomic_cas_u32(place, record, RECORD_HELD | (record & RECORD_SIZE)):
                hold_make(slab, index, address, block_size(slab, record), hold)
                answer = 0
    if pool.is_locked:
        os_unlock(&pool.heap_lock)
    return answer
