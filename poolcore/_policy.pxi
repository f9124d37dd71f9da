# ---- Credit: exact limits and exact counts ----------------------------------------------------------
# Reserved by CAS before a block is taken, given back by addition when it is freed. Never added first and
# taken back on a miss of the same limit: two refusals could come where one request fits. Without a limit a
# counted pool is called under the GIL alone, and plain additions do.

cdef struct credit_t:
    uint64_t blocks             # live with those that were asked for: the peak, if they can be had
    uint64_t size


cdef int credit_take(pool_t *pool, uint64_t size, uint64_t blocks, credit_t *credit) noexcept nogil:
    """REFUSAL_NONE, or the limit that stood in the way. credit_use or credit_give follows."""
    cdef int refusal = REFUSAL_NONE
    cdef bint has_both
    if not pool.is_limited:
        pool.live_blocks += blocks
        pool.live_bytes += size
        credit.blocks = pool.live_blocks
        credit.size = pool.live_bytes
        return REFUSAL_NONE
    has_both = pool.config.limit_blocks != UINT64_MAX and pool.config.limit_bytes != UINT64_MAX
    # With both limits two words must agree: takers go one at a time, and givers only make room.
    if has_both:
        os_lock(&pool.heap_lock)
        if atomic_load_u64(&pool.live_bytes) > pool.config.limit_bytes - size or size > pool.config.limit_bytes:
            refusal = REFUSAL_LIMIT_BYTES
    if refusal == REFUSAL_NONE and not credit_add(&pool.live_blocks, blocks, pool.config.limit_blocks,
                                                  &credit.blocks):
        refusal = REFUSAL_LIMIT_BLOCKS
    if refusal == REFUSAL_NONE and not credit_add(&pool.live_bytes, size, pool.config.limit_bytes, &credit.size):
        refusal = REFUSAL_LIMIT_BYTES
        if blocks:
            atomic_add_u64(&pool.live_blocks, ~blocks + 1)
    if has_both:
        os_unlock(&pool.heap_lock)
    # No limit, but a size at which the sum would wrap.
    return REFUSAL_MEMORY if refusal == REFUSAL_LIMIT_BYTES and pool.config.limit_bytes == UINT64_MAX else refusal


cdef bint credit_add(uint64_t *counter, uint64_t value, uint64_t limit, uint64_t *total) noexcept nogil:
    cdef uint64_t now
    while True:
        now = atomic_load_u64(counter)
        if value > limit or now > limit - value:
            return False
        if atomic_cas_u64(counter, now, now + value):
            total[0] = now + value
            return True


cdef void credit_use(pool_t *pool, const credit_t *credit) noexcept nogil:
    """What was asked for could be had."""
    peak_raise(&pool.peak_blocks, credit.blocks)
    peak_raise(&pool.peak_bytes, credit.size)


cdef void credit_give(pool_t *pool, uint64_t size, uint64_t blocks) noexcept nogil:
    if not pool.is_limited:
        count_give(pool, size, blocks)
        return
    atomic_add_u64(&pool.live_bytes, ~size + 1)
    atomic_add_u64(&pool.live_blocks, ~blocks + 1)


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
    event.thread = thread_id_here()
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


cdef inline uint64_t red_zone_bytes(pool_t *pool) noexcept nogil:
    """What Fill keeps behind every block's bytes, so that the first one too many is seen."""
    return ALIGNMENT if pool.config.is_filled and has_memory(pool) else 0


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
        record_store(run_record(slab), 0)
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
        record_store(record_at(slab, index), RECORD_QUARANTINED | (record_at(slab, index)[0] & RECORD_SIZE))
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
        pool.quarantine_bytes -= block_size(slab, record_at(slab, index)[0])
        block_release(pool, slab, index)
        is_any = True
    return is_any


cdef bint quarantine_take(pool_t *pool, slab_t *slab, uint32_t index, uint64_t address, uint64_t size) noexcept nogil:
    """Holds a dead block back. False: no Quarantine, or the block alone is over its bytes."""
    cdef uint64_t blocks = pool.config.quarantine_blocks
    cdef uint64_t most = pool.config.quarantine_bytes
    if pool.quarantine_capacity == 0:
        return False
    if blocks == 0 or blocks >= pool.quarantine_capacity:
        blocks = pool.quarantine_capacity - 1
    if most == 0:
        most = UINT64_MAX
    if size > most:
        return False
    record_store(record_at(slab, index), RECORD_QUARANTINED | <uint32_t>(size if slab.kind == KIND_SLAB else 0))
    # The ring has room for one more than may wait, so that each is in it before others leave: that may run on_unmap.
    pool.quarantine[(pool.quarantine_first + pool.quarantine_count) % pool.quarantine_capacity] = address
    pool.quarantine_count += 1
    pool.quarantine_bytes += size
    quarantine_drain(pool, blocks, most)
    return True
