# ---- requests that the fast paths pass on ------------------------------------------------------

cdef object get_slow(Pool pool, object size, object align, object zero, object tag, bint is_try):
    cdef uint64_t bytes_wanted
    cdef uint64_t alignment = alignment_of(align)
    cdef uint32_t number = tag_of(tag)
    cdef int refusal = REFUSAL_MEMORY
    cdef Buffer buffer
    cdef bint is_too_large = size_of_request(size, &bytes_wanted)
    if pool.engine == NULL:
        open_or_raise(pool)
    if pool.is_closed:
        return refused(pool, size, 1, align, REFUSAL_CLOSED, is_try)
    buffer = buffer_make(pool)
    if not is_too_large and engine_alloc(
            pool, bytes_wanted, alignment, ALLOC_ZERO if zero else 0, number, &buffer.hold, &refusal):
        return buffer_done(pool, buffer)
    return refused(pool, size, 1, align, refusal, is_try)


cdef object alloc_slow(Pool pool, object size, object align, object zero, object tag, bint is_try):
    cdef uint64_t bytes_wanted
    cdef uint64_t address
    cdef uint64_t alignment = alignment_of(align)
    cdef uint32_t number = tag_of(tag)
    cdef int refusal = REFUSAL_MEMORY
    cdef bint is_too_large = size_of_request(size, &bytes_wanted)
    if pool.engine == NULL:
        open_or_raise(pool)
    if pool.is_closed:
        refused(pool, size, 1, align, REFUSAL_CLOSED, is_try)
        return 0
    if not is_too_large:
        address = engine_alloc(pool, bytes_wanted, alignment, ALLOC_ZERO if zero else 0, number, NULL, &refusal)
        if address:
            return address
    refused(pool, size, 1, align, refusal, is_try)
    return 0


# ---- for code that is compiled -----------------------------------------------------------------

cdef PyObject *buffer_take(Pool pool, uint64_t size, int *refusal) except? NULL:
    cdef PyObject *o
    if pool.is_bare:
        o = bare_get(pool, size)
        if o != NULL:
            Py_SET_REFCNT(o, 1)
            return o
    return buffer_take_slow(pool, size, refusal)


cdef PyObject *buffer_take_slow(Pool pool, uint64_t size, int *refusal) except? NULL:
    cdef PyObject *spare
    cdef Buffer buffer
    if pool.is_bare and _spare_top != _spares:
        # The general way takes five times the instructions, and among thousands of live blocks most gets come here.
        spare = _spare_top[-1]
        if heap_get_slow(pool.engine, size, &(<Buffer>spare).hold, &pool.guess):
            spare_use(pool, spare, _spare_top)
            Py_SET_REFCNT(spare, 1)
            return spare
    refusal[0] = REFUSAL_MEMORY if pool.engine != NULL and not pool.is_closed else REFUSAL_CLOSED
    if refusal[0] == REFUSAL_CLOSED or size > REQUEST_MAX:
        return NULL
    buffer = buffer_make(pool)
    if not engine_alloc(pool, size, 0, 0, 0, &buffer.hold, refusal):
        return NULL
    buffer_done(pool, buffer)
    Py_INCREF(buffer)
    return <PyObject *>buffer


cdef int buffer_give(Pool pool, Buffer buffer, int flags) noexcept:
    if (owner_place(<PyObject *>buffer)[0] == <PyObject *>pool and pool.is_plain
            and heap_free_held(heap_now(pool.engine), pool.engine, &buffer.hold)):
        return VERDICT_LIVE
    return free_buffer(pool, buffer, flags)


cdef uint64_t address_take(Pool pool, uint64_t size, uint64_t alignment, int flags, int *refusal) except? 0:
    refusal[0] = REFUSAL_MEMORY if pool.engine != NULL and not pool.is_closed else REFUSAL_CLOSED
    if refusal[0] == REFUSAL_CLOSED or size > REQUEST_MAX:
        return 0
    return engine_alloc(pool, size, alignment, flags & ALLOC_ZERO, 0, NULL, refusal)


cdef object buffer_adopt(Pool pool, uint64_t address):
    cdef int failed
    cdef Buffer buffer = buffer_make(pool)
    if pool.is_locked:
        count_add(&pool.calls, 1)
        with nogil:
            failed = hold_adopt(pool.engine, &buffer.hold, address)
        call_end(pool)
    else:
        failed = hold_adopt(pool.engine, &buffer.hold, address)
    return None if failed else buffer_done(pool, buffer)


cdef pool_t *pool_engine(Pool pool) except NULL:
    open_or_raise(pool)
    return pool.engine


cdef pool_t *pool_share(Pool pool) except NULL:
    open_or_raise(pool)
    pool_go_native(pool.engine)
    return pool.engine


# ---- many blocks -------------------------------------------------------------------------------

cdef int give_back(Pool pool, list buffers) except -1:
    """Frees the Buffers of a get_many that did not come to its end."""
    for buffer in buffers:
        free_buffer(pool, <Buffer>buffer, 0)
    return 0


cdef object free_many_error(Pool pool, uint64_t address, Py_ssize_t first, list verdicts):
    """The exception of a free_many; `first` is the first verdict other than LIVE, of `address`."""
    bad = sum([verdict != VERDICT_LIVE for verdict in verdicts])
    return errors().FreeError(
        f"{bad} of {len(verdicts)} blocks were not freed, the others were; the first, number {first}: "
        f"{sentence(pool, address, verdicts[first])}",
        verdict_of(verdicts[first]), address, [verdict_of(verdict) for verdict in verdicts])


cdef object free_many_words(Pool pool, const uint64_t *addresses, Py_ssize_t count):
    """free_many of an array of addresses."""
    cdef uint64_t good = 0
    cdef Py_ssize_t i
    cdef Py_ssize_t first
    cdef int *verdicts = <int *>PyMem_Malloc(max(count, 1) * sizeof(int))
    if verdicts == NULL:
        raise MemoryError(f"no memory for {count} verdicts")
    try:
        if pool.is_closed:
            for i in range(count):
                verdicts[i] = VERDICT_CLOSED
        elif pool.is_locked:
            count_add(&pool.calls, 1)
            with nogil:
                good = pool_free_many(pool.engine, addresses, <uint64_t>count, verdicts)
            call_end(pool)
        else:
            good = pool_free_many(pool.engine, addresses, <uint64_t>count, verdicts)
        if pool.is_traced:
            for i in range(count):
                if verdicts[i] == VERDICT_LIVE:
                    PyTraceMalloc_Untrack(DOMAIN, <uintptr_t>addresses[i])
        if good == <uint64_t>count:
            return None
        first = 0
        while verdicts[first] == VERDICT_LIVE:
            first += 1
        raise free_many_error(pool, addresses[first], first, [verdicts[i] for i in range(count)])
    finally:
        PyMem_Free(verdicts)


cdef object free_many_items(Pool pool, object blocks, Py_ssize_t start):
    """free_many of any blocks; those before `start` are freed already."""
    cdef Py_ssize_t i
    cdef Py_ssize_t count
    cdef Py_ssize_t first = -1
    cdef uint64_t address
    cdef uint64_t first_address = 0
    cdef int verdict
    cdef list verdicts = [VERDICT_LIVE] * start
    # TypeError or OverflowError for what can be no block, before anything is freed. Each __index__ is asked once, and
    # no tuple changes its length, whatever they do.
    cdef tuple known = tuple([
        block if type(block) is Buffer or PyLong_CheckExact(block) else block_index(block) for block in tuple(blocks)])
    count = len(known)
    for i in range(start, count):
        if type(known[i]) is not Buffer:
            address_of(known[i])
    for i in range(start, count):
        verdict = free_any(pool, known[i], &address)
        verdicts.append(verdict)
        if verdict != VERDICT_LIVE and first < 0:
            first = i
            first_address = address
    if first >= 0:
        raise free_many_error(pool, first_address, first, verdicts)
    return None


cdef object block_index(object block):
    """The address that an object other than an int stands for."""
    if not PyIndex_Check(block):
        raise TypeError(f"a block is a Buffer or an int address, not {type(block).__name__} ({block!r})")
    return int(PyNumber_Index(block))


cdef object array_of_words(Py_ssize_t count):
    """An array('Q') of zeros. The module array is loaded with the first one."""
    global _array_of_one
    if _array_of_one is None:
        from array import array
        _array_of_one = array("Q", [0])
    return PySequence_Repeat(_array_of_one, count)
