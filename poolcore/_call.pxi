# ---- callbacks ---------------------------------------------------------------------------------
# The engine calls these with no lock held. An exception belongs to the Python call that led here:
# `Pool.entries` has a list for each thread inside such a call. A call from C has none, so the hook is told.

cdef int callback_run(Pool pool, object callback, tuple args, bint is_kept) noexcept:
    """-1: it raised; 0: it answered False; else 1."""
    cdef object raised
    pool.callback_depth += 1
    try:
        return 0 if callback(*args) is False else 1
    except BaseException as error:
        raised = pool.entries.get(PyThread_get_thread_ident()) if is_kept else None
        if raised is None:
            unraisable(error, callback)
        else:
            raised.append(error)
        return -1
    finally:
        pool.callback_depth -= 1


cdef int callback_map(void *context, uint64_t address, uint64_t size) noexcept with gil:
    cdef Pool pool = <Pool>context
    return -1 if callback_run(pool, pool.on_map, (address, size), True) < 0 else 0


cdef int callback_unmap(void *context, uint64_t address, uint64_t size) noexcept with gil:
    cdef Pool pool = <Pool>context
    callback_run(pool, pool.on_unmap, (address, size), False)
    return 0


cdef int callback_copy(void *context, uint64_t to_address, uint64_t from_address, uint64_t size) noexcept with gil:
    cdef Pool pool = <Pool>context
    return -1 if callback_run(pool, pool.on_copy, (to_address, from_address, size), True) < 0 else 0


cdef int callback_low_memory(void *context, uint64_t size) noexcept with gil:
    cdef Pool pool = <Pool>context
    return 0 if callback_run(pool, pool.on_low_memory, (size,) if pool.is_low_memory_sized else (), True) > 0 else -1


cdef object entries_enter(Pool pool):
    """Before a call that may run callbacks; what it answers goes to entries_leave."""
    if pool.entries is None:
        return None
    thread = PyThread_get_thread_ident()
    outer = pool.entries.get(thread)
    pool.entries[thread] = []
    return outer


cdef int entries_leave(Pool pool, object outer, bint is_done) except -1:
    """After it: raises what a callback raised, unless the call succeeded all the same."""
    if pool.entries is None:
        return 0
    thread = PyThread_get_thread_ident()
    raised = pool.entries.pop(thread)
    if outer is not None:
        pool.entries[thread] = outer
    if raised and not is_done:
        raise raised[0]
    for error in raised:
        unraisable(error, pool)
    return 0


# ---- the engine, with or without the GIL -------------------------------------------------------

cdef int open_or_raise(Pool pool) except -1:
    if pool.engine == NULL:
        raise ValueError("this Pool was never made: its __init__ did not run, or it raised")
    if pool.is_closed:
        raise ValueError(f"{label(pool)} is closed")
    return 0


cdef uint64_t engine_alloc(Pool pool, uint64_t size, uint64_t alignment, int flags, uint32_t tag,
                           hold_t *hold, int *refusal) except? 0:
    """A block, for `hold` unless it is NULL; or 0, and why."""
    cdef pool_t *engine = pool.engine
    cdef uint64_t address
    cdef object outer
    if pool.is_locked:
        outer = entries_enter(pool)
        count_add(&pool.calls, 1)
        with nogil:
            while True:
                if hold == NULL:
                    address = pool_alloc_ex(engine, size, alignment, flags, tag, refusal)
                else:
                    address = pool_alloc_held(engine, size, alignment, flags, tag, hold, refusal)
                if refusal[0] != REFUSAL_RESTORE:
                    break
                pool_await_restore(engine)
        call_end(pool)
        entries_leave(pool, outer, address != 0)
    elif hold == NULL:
        address = pool_alloc_ex(engine, size, alignment, flags, tag, refusal)
    else:
        address = pool_alloc_held(engine, size, alignment, flags, tag, hold, refusal)
    if address and pool.is_traced:
        PyTraceMalloc_Track(DOMAIN, <uintptr_t>address, <size_t>size)
    return address


cdef int address_give(Pool pool, uint64_t address, int flags) noexcept:
    """Frees what is at an address; the verdict."""
    cdef int verdict
    if pool.is_closed:
        return VERDICT_CLOSED
    if pool.is_locked:
        count_add(&pool.calls, 1)
        with nogil:
            verdict = pool_free_ex(pool.engine, address, flags)
        call_end(pool)
    elif flags:
        verdict = pool_free_ex(pool.engine, address, flags)
    else:
        verdict = heap_free_counted(heap_now(pool.engine), pool.engine, address)
    if pool.is_traced and verdict == VERDICT_LIVE:
        PyTraceMalloc_Untrack(DOMAIN, <uintptr_t>address)
    return verdict


cdef int free_buffer(Pool pool, Buffer buffer, int flags) noexcept:
    """Frees a Buffer's block; the verdict. A stale Buffer is seen even when its block serves others."""
    cdef int verdict
    cdef uint64_t address = buffer.hold.address
    if pool.is_closed:
        return VERDICT_CLOSED
    if buffer.owner is not pool:
        return VERDICT_FOREIGN if buffer.owner.is_closed else VERDICT_OTHER_POOL
    with cython.critical_section(buffer):
        if buffer.hold.slab == NULL:
            verdict = VERDICT_DOUBLE
        elif pool.is_locked:
            count_add(&pool.calls, 1)
            with nogil:
                verdict = pool_free_held(pool.engine, &buffer.hold, flags)
            call_end(pool)
        else:
            verdict = pool_free_held(pool.engine, &buffer.hold, flags)
    if pool.is_traced and verdict == VERDICT_LIVE:
        PyTraceMalloc_Untrack(DOMAIN, <uintptr_t>address)
    return verdict


cdef int free_any(Pool pool, object block, uint64_t *address) except -1:
    """Frees a Buffer or an address; the verdict."""
    if pool.engine == NULL:
        open_or_raise(pool)
    if type(block) is Buffer:
        address[0] = (<Buffer>block).hold.address
        return free_buffer(pool, <Buffer>block, 0)
    address[0] = address_of(block)
    return address_give(pool, address[0], 0)


cdef uint64_t realloc_address(Pool pool, uint64_t from_address, uint64_t size, int *verdict, int *refusal) except? 0:
    cdef uint64_t address
    cdef object outer
    if not pool.is_locked:
        return pool_realloc(pool.engine, from_address, size, verdict, refusal)
    outer = entries_enter(pool)
    count_add(&pool.calls, 1)
    with nogil:
        address = pool_realloc(pool.engine, from_address, size, verdict, refusal)
        while refusal[0] == REFUSAL_RESTORE:
            pool_await_restore(pool.engine)
            address = pool_realloc(pool.engine, from_address, size, verdict, refusal)
    call_end(pool)
    entries_leave(pool, outer, address != 0)
    return address


cdef uint64_t realloc_buffer(Pool pool, Buffer old, Buffer buffer, uint64_t size, int *verdict, int *refusal) except? 0:
    cdef uint64_t address
    cdef object outer
    with cython.critical_section(old):
        if not pool.is_locked:
            address = pool_realloc_held(pool.engine, &old.hold, &buffer.hold, size, verdict, refusal)
        else:
            outer = entries_enter(pool)
            count_add(&pool.calls, 1)
            with nogil:
                address = pool_realloc_held(pool.engine, &old.hold, &buffer.hold, size, verdict, refusal)
                while refusal[0] == REFUSAL_RESTORE:
                    pool_await_restore(pool.engine)
                    address = pool_realloc_held(pool.engine, &old.hold, &buffer.hold, size, verdict, refusal)
            call_end(pool)
            entries_leave(pool, outer, address != 0)
    return address


cdef int verdict_at(Pool pool, uint64_t address) except -1:
    """What free would answer; frees nothing."""
    cdef int verdict
    if pool.is_closed:
        return VERDICT_CLOSED
    if pool.is_locked:
        count_add(&pool.calls, 1)
        with nogil:
            verdict = pool_verdict_of(pool.engine, address)
        call_end(pool)
    else:
        verdict = pool_verdict_of(pool.engine, address)
    return verdict


cdef int block_find(Pool pool, uint64_t address, block_t *block) except -1:
    """1: a block, live or freed, holds `address`; 0: none does."""
    cdef int found
    if pool.is_locked:
        count_add(&pool.calls, 1)
        with nogil:
            found = pool_block_at(pool.engine, address, block)
        call_end(pool)
    else:
        found = pool_block_at(pool.engine, address, block)
    return found and not block.is_virgin


cdef int stats_read(Pool pool, pool_stats_t *stats) except -1:
    if pool.is_locked:
        count_add(&pool.calls, 1)
        with nogil:
            pool_stats(pool.engine, stats)
        call_end(pool)
    else:
        pool_stats(pool.engine, stats)
    if pool.engine.config.limit_bytes != NO_LIMIT:
        stats.largest_bytes = min(stats.largest_bytes, pool.engine.config.limit_bytes - stats.live_bytes)
    return 0


cdef void pool_finish(Pool pool) noexcept:
    """A closed pool's memory goes once no view and no call needs it; the caller's is the caller's again."""
    cdef PyObject *kind
    cdef PyObject *value
    cdef PyObject *trace
    cdef object memory
    if pool.is_unmapped or pool.views or pool.calls or IS_FREE_THREADED:
        return
    pool.is_unmapped = True
    PyErr_Fetch(&kind, &value, &trace)
    if pool.is_locked:
        count_add(&pool.calls, 1)
        with nogil:
            pool_unmap(pool.engine)
        call_end(pool)
    else:
        pool_unmap(pool.engine)
    memory = pool.memory
    pool.memory = None
    try:
        if memory is not None:
            memory.release()
    except BaseException as error:
        unraisable(error, pool)
    PyErr_Restore(kind, value, trace)
