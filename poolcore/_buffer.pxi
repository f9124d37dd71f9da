# ---- Buffers: making, dropping, recycling ------------------------------------------------------
# A spare Buffer has refcount 0, owner NULL, a dead hold, no weak reference, and is not tracked. It became
# spare in tp_dealloc, when nobody held it any more, so no one sees it change its block. Casting it to an
# object is what takes the first reference.

cdef PyObject *_spares[SPARE_ROOM]
cdef PyObject **_spare_top = _spares        # the next one goes here
cdef dealloc_t _buffer_dealloc_made = NULL
cdef new_t _buffer_new_made = NULL
# Called through a pointer so that it is not inlined: the registers that it needs would be saved on every free.
cdef dealloc_t _buffer_dealloc_slow = NULL
cdef Py_ssize_t _buffer_weak_offset = 0


cdef inline PyObject **owner_place(PyObject *o) noexcept:
    """Where a Buffer's owner is: right behind its hold. Written so, no refcount of None is touched."""
    return <PyObject **>(&(<Buffer>o).hold + 1)


cdef inline PyObject **weak_place(PyObject *o) noexcept:
    """Where a Buffer's list of weak references is: NULL, when it has none, is no object."""
    return <PyObject **>(<char *>o + _buffer_weak_offset)


cdef int spare_make() except -1:
    """One more spare Buffer. There must be room."""
    global _spare_top
    cdef PyObject *o = _buffer_new_made(<type_t *>Buffer, <PyObject *>(), NULL)
    # Only Buffers of pools that can be part of a cycle are tracked, once they are whole.
    PyObject_GC_UnTrack(o)
    Py_DECREF(<object>owner_place(o)[0])
    owner_place(o)[0] = NULL
    Py_SET_REFCNT(o, 0)
    _spare_top[0] = o
    _spare_top += 1
    return 0


cdef Buffer buffer_make(Pool pool):
    """A dead Buffer of `pool`."""
    global _spare_top
    cdef PyObject *o
    if IS_FREE_THREADED:
        o = _buffer_new_made(<type_t *>Buffer, <PyObject *>(), NULL)
        PyObject_GC_UnTrack(o)
        (<Buffer>o).owner = pool
        buffer = <Buffer>o
        Py_DECREF(buffer)       # the reference that C gave
        return buffer
    if _spare_top == _spares:
        spare_make()
    _spare_top -= 1
    o = _spare_top[0]
    owner_place(o)[0] = <PyObject *>pool
    Py_INCREF(pool)
    return <Buffer>o


cdef inline object buffer_done(Pool pool, Buffer buffer):
    """The last step of handing out a Buffer."""
    if pool.is_cyclic:
        PyObject_GC_Track(<void *>buffer)
        buffer.is_tracked = True
    return buffer


cdef inline PyObject *bare_get(Pool pool, uint64_t size) noexcept:
    """A live Buffer of a bare pool with refcount 0, or NULL: the general way must be gone. No Python runs meanwhile."""
    cdef PyObject **top = _spare_top
    cdef PyObject *o
    if top == _spares:
        return NULL
    o = top[-1]
    if not heap_get(heap_now(pool.engine), pool.engine, size, &(<Buffer>o).hold, &pool.guess):
        return NULL
    spare_use(pool, o, top)
    return o


cdef inline void spare_use(Pool pool, PyObject *o, PyObject **top) noexcept:
    """The spare Buffer beneath `top`, whose hold is filled in, becomes the pool's."""
    global _spare_top
    _spare_top = top - 1
    owner_place(o)[0] = <PyObject *>pool
    Py_INCREF(pool)


cdef PyObject *buffer_new_refused(type_t *kind, PyObject *args, PyObject *kwargs) except NULL:
    raise TypeError("a Buffer comes from Pool.get; it cannot be made otherwise")


cdef void buffer_dealloc(PyObject *o) noexcept:
    """tp_dealloc. The refcount is 0, so nothing here may take and drop a reference to it."""
    global _spare_top
    cdef PyObject *owner = owner_place(o)[0]
    # Nearly always it is dead and untracked, has no weak reference, and its pool others to keep it.
    if ((<Buffer>o).hold.slab == NULL and not (<Buffer>o).is_tracked and weak_place(o)[0] == NULL
            and _spare_top != _spares + SPARE_MAX and Py_REFCNT(owner) > 1):
        Py_DECREF(<object>owner)
        owner_place(o)[0] = NULL
        _spare_top[0] = o
        _spare_top += 1
    else:
        _buffer_dealloc_slow(o)


cdef void buffer_dealloc_slow(PyObject *o) noexcept:
    global _spare_top
    cdef PyObject *owner
    if (<Buffer>o).is_tracked:
        PyObject_GC_UnTrack(o)
        (<Buffer>o).is_tracked = False
    if weak_place(o)[0] != NULL:
        PyObject_ClearWeakRefs(o)
    if (<Buffer>o).hold.slab != NULL:
        if (<Buffer>o).owner.is_plain and (<Buffer>o).owner.on_drop == DROP_RETURN:
            (<Buffer>o).owner.dropped = (<Buffer>o).owner.dropped + 1
            if pool_free_held((<Buffer>o).owner.engine, &(<Buffer>o).hold, FREE_DEFER) != VERDICT_LIVE:
                # Refused, for want of memory: the block stays, and must not name a Buffer that is gone.
                hold_forget((<Buffer>o).owner.engine, &(<Buffer>o).hold)
        else:
            buffer_dropped((<Buffer>o).owner, &(<Buffer>o).hold)
    if _spare_top != _spares + SPARE_MAX:
        owner = owner_place(o)[0]
        owner_place(o)[0] = NULL
        Py_DECREF(<object>owner)
        # The pool's end may have made spares.
        if _spare_top != _spares + SPARE_MAX:
            _spare_top[0] = o
            _spare_top += 1
            return
    _buffer_dealloc_made(o)


cdef void buffer_dropped(Pool pool, hold_t *hold) noexcept:
    """What on_drop says about a live block whose Buffer goes."""
    cdef PyObject *kind
    cdef PyObject *value
    cdef PyObject *trace
    cdef uint64_t address = hold.address
    cdef uint64_t size = hold.size
    # Buffers go while exceptions are on their way, and what follows may run Python.
    PyErr_Fetch(&kind, &value, &trace)
    pool.dropped += 1
    if pool.on_drop == DROP_KEEP:
        if pool.is_locked:
            count_add(&pool.calls, 1)
            with nogil:
                hold_forget(pool.engine, hold)
            call_end(pool)
        else:
            hold_forget(pool.engine, hold)
    else:
        if pool.is_traced:
            PyTraceMalloc_Untrack(DOMAIN, <uintptr_t>address)
        if pool.is_locked:
            count_add(&pool.calls, 1)
            with nogil:
                # A free that is refused, as of a block whose slack was overwritten, leaves the block live: it must
                # not know a Buffer that is gone.
                if pool_free_held(pool.engine, hold, FREE_DEFER) != VERDICT_LIVE:
                    hold_forget(pool.engine, hold)
            call_end(pool)
        elif pool_free_held(pool.engine, hold, FREE_DEFER) != VERDICT_LIVE:
            hold_forget(pool.engine, hold)
        if pool.on_drop == DROP_WARN:
            try:
                text = f"a Buffer of {size} bytes at {address:#x} of {label(pool)} was dropped, not freed".encode()
                if PyErr_WarnEx(ResourceWarning, text, 1) < 0:
                    PyErr_WriteUnraisable(pool)
            except BaseException as error:
                unraisable(error, pool)
    PyErr_Restore(kind, value, trace)


cdef void unraisable(object error, object where) noexcept:
    PyErr_SetObject(type(error), error)
    PyErr_WriteUnraisable(where)


# ---- exports -----------------------------------------------------------------------------------

cdef object dead(Buffer buffer):
    """The error of every access to a dead Buffer."""
    if buffer.owner.is_closed:
        return ValueError(f"this Buffer of {buffer.hold.size} bytes is gone: {label(buffer.owner)} was closed")
    return ValueError(f"this Buffer of {buffer.hold.size} bytes was freed: its memory may serve others now")


cdef int buffer_export(Buffer buffer) except -1:
    """A view begins. BufferError without memory, ValueError when dead."""
    cdef Pool pool = buffer.owner
    cdef int failed
    if buffer.hold.slab == NULL:
        raise dead(buffer)
    if pool.is_space:
        raise BufferError(
            f"address space only: {label(pool)} hands out addresses, and no memory of this process lies behind them"
        )
    count_add(&pool.views, 1)
    with cython.critical_section(buffer):
        if pool.is_locked:
            count_add(&pool.calls, 1)
            with nogil:
                failed = hold_export(pool.engine, &buffer.hold)
            call_end(pool)
        else:
            failed = hold_export(pool.engine, &buffer.hold)
    if failed:
        view_gone(pool)
        raise dead(buffer)
    return 0


cdef void buffer_unexport(Buffer buffer, uint64_t address) noexcept:
    """A view ends; of a block freed meanwhile, the last one gives the memory back."""
    cdef Pool pool = buffer.owner
    with cython.critical_section(buffer):
        if pool.is_locked:
            count_add(&pool.calls, 1)
            with nogil:
                hold_unexport(pool.engine, &buffer.hold, address)
            call_end(pool)
        else:
            hold_unexport(pool.engine, &buffer.hold, address)
    view_gone(pool)


cdef void view_gone(Pool pool) noexcept:
    if count_add(&pool.views, -1) == 0 and pool.is_closed:
        pool_finish(pool)


cdef void call_end(Pool pool) noexcept:
    """After a call without the GIL: another thread may have closed the pool meanwhile."""
    count_add(&pool.calls, -1)
    if pool.is_closed:
        pool_finish(pool)


cdef inline bint needs_export(Pool pool) noexcept:
    """Whether memory may go while this thread holds the GIL."""
    return IS_FREE_THREADED or pool.is_locked or pool.is_space


cdef Py_ssize_t buffer_position(Buffer buffer, object key) except -1:
    """An index, counted from the end when negative."""
    cdef Py_ssize_t index = small_int(<PyObject *>key)
    if buffer.hold.slab == NULL:
        raise dead(buffer)
    if index < 0:
        if not PyIndex_Check(key):
            raise TypeError(f"a Buffer's index is an int or a slice, not {type(key).__name__}")
        index = PyNumber_AsSsize_t(key, IndexError)
        if buffer.hold.slab == NULL:    # key's __index__ freed it
            raise dead(buffer)
        if index < 0:
            index += <Py_ssize_t>buffer.hold.size
    if index < 0 or <uint64_t>index >= buffer.hold.size:
        raise IndexError(f"index {key} is outside this Buffer of {buffer.hold.size} bytes")
    return index


@cython.final
@cython.no_gc_clear
cdef class Buffer:
    """A block of a pool as an object: writable bytes for whatever takes the buffer protocol.

    Made by `Pool.get`. Freed by `free`, by its pool, by its address, or at the end of a ``with``; from
    then on every access raises ValueError. While a view of it (memoryview, NumPy array, a pending
    `recv_into`) is alive it cannot be freed, unless its pool defers. It is always true, equal only to
    itself, hashable, and cannot be copied or pickled. One thread may free it while another uses it: the
    other sees ValueError.
    """

    def __len__(self):
        if self.hold.slab == NULL:
            raise dead(self)
        return <Py_ssize_t>self.hold.size

    def __bool__(self):
        return True

    def __repr__(self):
        if self.hold.slab == NULL:
            return f"<Buffer of {label(self.owner)}, {'closed' if self.owner.is_closed else 'freed'}>"
        return f"<Buffer of {label(self.owner)}, {self.hold.size} bytes at {self.hold.address:#x}>"

    @property
    def address(self):
        """Address of the first byte, an int; never 0."""
        if self.hold.slab == NULL:
            raise dead(self)
        return self.hold.address

    @property
    def size(self):
        """Bytes that were asked for: what `len` answers and views show."""
        if self.hold.slab == NULL:
            raise dead(self)
        return self.hold.size

    @property
    def capacity(self):
        """Bytes that the block occupies, at least `size`."""
        cdef block_t block
        if self.hold.slab == NULL or not block_find(self.owner, self.hold.address, &block):
            raise dead(self)
        return block.capacity

    @property
    def tag(self):
        """The tag given to `Pool.get`, or None."""
        cdef block_t block
        if self.hold.slab == NULL or not block_find(self.owner, self.hold.address, &block):
            raise dead(self)
        return tag_text(block.tag)

    @property
    def is_live(self):
        """Whether it still has its block. Never raises."""
        return self.hold.slab != NULL

    @property
    def pool(self):
        """The Pool it came from, which it keeps alive."""
        return self.owner

    def free(self):
        """Gives the block back, as `Pool.free` does.

        Raises
        ------
        DoubleFreeError
            It is freed already.
        ExportedBlockError
            A view is alive and the pool does not defer.
        FreeError
            The pool is closed.
        """
        self.owner.free(self)

    def __enter__(self):
        if self.hold.slab == NULL:
            raise dead(self)
        return self

    def __exit__(self, kind, value, trace):
        cdef uint64_t address = self.hold.address
        cdef int verdict
        if self.hold.slab == NULL:
            return
        verdict = free_buffer(self.owner, self, 0)
        # The frames of an exception on its way may keep views: it matters more than they do.
        if verdict == VERDICT_EXPORTED and kind is not None:
            return
        if verdict != VERDICT_LIVE and verdict != VERDICT_DOUBLE:
            raise free_error(self.owner, address, verdict)

    def __getitem__(self, key):
        cdef Py_ssize_t index
        cdef int value
        if isinstance(key, slice):
            return PyMemoryView_FromObject(self)[key]
        index = buffer_position(self, key)
        if not needs_export(self.owner):
            return (<unsigned char *><uintptr_t>self.hold.address)[index]
        buffer_export(self)
        value = (<unsigned char *><uintptr_t>self.hold.address)[index]
        buffer_unexport(self, self.hold.address)
        return value

    def __setitem__(self, key, value):
        cdef Py_ssize_t index
        cdef Py_ssize_t byte
        if isinstance(key, slice):
            PyMemoryView_FromObject(self)[key] = value
            return
        byte = small_int(<PyObject *>value)
        if byte < 0:
            if not PyIndex_Check(value):
                raise TypeError(f"a Buffer's byte is an int from 0 to 255, not {type(value).__name__}")
            byte = PyNumber_AsSsize_t(value, ValueError)
        # The value is read before the Buffer is looked at: its __index__ may free the Buffer.
        index = buffer_position(self, key)
        if byte < 0 or byte > 255:
            raise ValueError(f"a Buffer's byte is from 0 to 255; got {byte}")
        if not needs_export(self.owner):
            (<unsigned char *><uintptr_t>self.hold.address)[index] = <unsigned char>byte
            return
        buffer_export(self)
        (<unsigned char *><uintptr_t>self.hold.address)[index] = <unsigned char>byte
        buffer_unexport(self, self.hold.address)

    def __delitem__(self, key):
        raise TypeError("a Buffer's bytes cannot be deleted: its size is fixed")

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.owner.is_plain and hold_export(self.owner.engine, &self.hold) == 0:
            self.owner.views += 1
        else:
            buffer_export(self)
        view.obj = self
        view.buf = <void *><uintptr_t>self.hold.address
        view.len = <Py_ssize_t>self.hold.size
        view.readonly = 0
        view.itemsize = 1
        view.format = FORMAT_BYTES if flags & PyBUF_FORMAT else NULL
        view.ndim = 1
        view.shape = &view.len if flags & PyBUF_ND else NULL
        view.strides = &view.itemsize if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL

    def __releasebuffer__(self, Py_buffer *view):
        if self.owner.is_plain:
            self.owner.views -= 1
            hold_unexport(self.owner.engine, &self.hold, <uint64_t><uintptr_t>view.buf)
        else:
            buffer_unexport(self, <uint64_t><uintptr_t>view.buf)

    def __copy__(self):
        raise TypeError("a Buffer is its block and cannot be copied; bytes(buffer) copies what is in it")

    def __deepcopy__(self, memo):
        raise TypeError("a Buffer is its block and cannot be copied; bytes(buffer) copies what is in it")

    def __reduce__(self):
        raise TypeError("a Buffer is memory of this process and cannot be pickled; pickle bytes(buffer)")
