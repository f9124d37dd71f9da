# ---- sentences ---------------------------------------------------------------------------------

cdef str label(Pool pool):
    if pool is None:
        return "no pool"
    return f"pool {pool.name!r}" if pool.name else "an unnamed pool"


cdef str block_text(Pool pool, block_t *block):
    """What a block is, in words that follow "it is"."""
    cdef str text
    cdef uint32_t state = block.state & RECORD_STATE
    if state == RECORD_EXPORTED:
        text = f"a live block of {block.size} bytes with views"
    elif state == RECORD_LIVE or state == RECORD_HELD:
        text = f"a live block of {block.size} bytes"
    elif state == RECORD_DEFERRED:
        text = "a freed block whose views are still alive"
    elif state == RECORD_QUARANTINED:
        text = "a freed block in quarantine"
    else:
        text = "a free block"
    text += f" (capacity {block.capacity}"
    if block.tag:
        text += f", tag {tag_text(block.tag)!r}"
    return text + ")"


cdef str history_text(Pool pool, block_t *block):
    """When it was allocated and freed, as far as the ring of events remembers."""
    cdef dict times = {}
    cdef list parts = []
    if not pool.engine.config.events_capacity or not block.sequence:
        return ""
    for event in pool.events():
        times[(<Event>event).sequence] = (<Event>event).time_ns
    for word, number in (("allocated", block.sequence), ("freed", block.freed)):
        if number:
            at = times.get(number)
            when = "" if at is None else f" at {at / 1e9:.6f} s"
            parts.append(f"{word} as event {number}{when}")
    return f", {' and '.join(parts)} (thread {block.thread})" if parts else ""


cdef str beside_text(Pool pool, block_t *block):
    """What lies on both sides of a block."""
    cdef block_t other
    cdef str before = "no block"
    cdef str after = "no block"
    if block_find(pool, block.address - 1, &other):
        before = block_text(pool, &other)
    if block_find(pool, block.address + max(block.capacity, <uint64_t>1), &other):
        after = block_text(pool, &other)
    return f"; before it lies {before}, after it {after}"


cdef str sentence(Pool pool, uint64_t address, int verdict):
    """What `address` is, in one sentence that names the verdict."""
    cdef block_t block
    cdef pool_t *other
    cdef bint is_found
    cdef str name = verdict_of(verdict).name
    cdef str who = label(pool)
    if verdict == VERDICT_NULL:
        return f"{name}: 0x0 is the null address, which is no block of any pool"
    if verdict == VERDICT_CLOSED or pool.is_closed:
        return f"{name}: {address:#x} is no block any more, because {who} is closed"
    if verdict == VERDICT_OTHER_POOL:
        with nogil:
            other = pool_of(address, pool.engine)
        theirs = _open_pools.get(<uintptr_t>other, "")
        whose = f"pool {theirs!r}" if theirs else "another pool"
        return f"{name}: {address:#x} belongs to {whose}, not to {who}; free it there"
    is_found = block_find(pool, address, &block)
    if not is_found and verdict == VERDICT_DOUBLE:
        return f"{name}: {address:#x} was freed before; {who} has that memory back and it serves nobody now"
    if not is_found and verdict == VERDICT_INTERIOR:
        return f"{name}: {address:#x} is inside memory of freed blocks that {who} has back; none of them began there"
    if not is_found or verdict == VERDICT_FOREIGN:
        return f"{name}: {address:#x} was never handed out by {who}" + (
            "" if verdict != VERDICT_FOREIGN else " or any other open pool")
    what = block_text(pool, &block)
    if verdict == VERDICT_INTERIOR:
        return (f"{name}: {address:#x} is {address - block.address} bytes into {what} of {who}; "
                f"blocks are freed by their first address, {block.address:#x}"
                f"{history_text(pool, &block)}{beside_text(pool, &block)}")
    if verdict == VERDICT_DOUBLE and state_text(block.state) in ("live", "exported"):
        return (f"{name}: the Buffer at {address:#x} was freed before; its memory now serves {what} of {who}"
                f"{history_text(pool, &block)}{beside_text(pool, &block)}")
    if verdict == VERDICT_DOUBLE:
        return (f"{name}: {address:#x} was freed before; it is {what} of {who}"
                f"{history_text(pool, &block)}{beside_text(pool, &block)}")
    if verdict == VERDICT_EXPORTED:
        return (f"{name}: {address:#x} is {what} of {who}; release them before it is freed"
                f"{history_text(pool, &block)}{beside_text(pool, &block)}")
    if verdict == VERDICT_CORRUPT:
        return (f"{name}: {address:#x} is {what} of {who} whose pattern was overwritten, in it or past its end"
                f"{history_text(pool, &block)}{beside_text(pool, &block)}")
    return f"{name}: {address:#x} is {what} of {who}{history_text(pool, &block)}{beside_text(pool, &block)}"


cdef object free_error(Pool pool, uint64_t address, int verdict):
    """The exception for a verdict other than LIVE."""
    kinds = errors()
    if verdict == VERDICT_DOUBLE:
        kind = kinds.DoubleFreeError
    elif verdict == VERDICT_INTERIOR:
        kind = kinds.InteriorPointerError
    elif verdict == VERDICT_EXPORTED:
        kind = kinds.ExportedBlockError
    elif verdict == VERDICT_CORRUPT or verdict == VERDICT_CLOSED:
        kind = kinds.FreeError
    else:
        kind = kinds.ForeignBlockError
    return kind(sentence(pool, address, verdict), verdict_of(verdict), address)


cdef object refused(Pool pool, object size, object count, object align, int refusal, bint is_try):
    """A request was refused: None when that is an answer, else the exception."""
    cdef pool_stats_t stats
    if refusal == REFUSAL_ALIGNMENT:
        raise ValueError(f"align is {align}; {label(pool)} aligns to powers of two up to half its address range")
    if refusal == REFUSAL_CALLBACK:
        raise RuntimeError(
            f"{label(pool)}: a request from inside on_map or on_unmap; they may free and ask, not allocate")
    if is_try:
        return None
    if refusal == REFUSAL_CLOSED or pool.is_closed:
        raise ValueError(f"{label(pool)} is closed")
    stats_read(pool, &stats)
    size = int(PyNumber_Index(size))
    count = int(PyNumber_Index(count))
    requested = size * count
    limit = None if pool.engine.config.limit_bytes == NO_LIMIT else pool.engine.config.limit_bytes
    what = f"{number_text(size)} bytes"
    if count != 1:
        what = f"{number_text(count)} blocks of {what}"
    if refusal == REFUSAL_LIMIT_BYTES:
        why = f"limit_bytes is {limit} and {stats.live_bytes} are live; free blocks or raise the limit"
    elif refusal == REFUSAL_LIMIT_BLOCKS:
        why = (f"limit_blocks is {pool.engine.config.limit_blocks} and {stats.live_blocks} are live; "
               "free blocks or raise the limit")
    elif refusal == REFUSAL_FAULT:
        faults = [policy for policy in pool.policies if policy.kind().__name__ == "Faults"]
        why = f"its policy {faults[0]!r} chose this request"
    else:
        why = (f"{stats.reserved_bytes} bytes are all its address range, {stats.live_bytes} are live; "
               "free blocks or make it larger")
    raise errors().PoolExhausted(
        f"{label(pool)} cannot give {what}: {why}; the largest block it could give is {stats.largest_bytes} bytes",
        requested, stats.live_bytes, limit, stats.largest_bytes)
