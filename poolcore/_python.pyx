# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: binding=False, embedsignature=True, embedsignature.format=clinic, freethreading_compatible=True
# cython: auto_pickle=False
"""The Python edge: classes Pool and Buffer, where verdicts become exceptions.

A Buffer embeds the `hold_t` that the engine registers as its block's holder, so a free through any door
makes the Buffer dead. Rules that keep Python safe:

* `Pool.is_plain` is the fast paths' one test: open, unlocked, untraced, under the GIL. Calls of such a pool
  run no Python. That of `get` is `is_bare`: and its Buffers are part of no cycle.
* A locked pool is called without the GIL, because a thread that waits for its lock must let the holder's
  callbacks run. Its memory may therefore go while this thread holds the GIL, so every access to a locked
  pool's memory, and every access on free-threaded Python, is a short export.
* `Pool.calls` counts calls without the GIL; a closed pool's memory stays until they are through.
* `Pool.views` is raised before the engine's export and lowered after its unexport, so that a close that
  reads zero has no view to fear.
* A Buffer keeps its Pool, and a view keeps its Buffer; so a Pool that goes has neither.
* On free-threaded Python memory goes with the Pool object, not at close: another thread may be inside a call.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_Clear, PyErr_Fetch, PyErr_Occurred, PyErr_Restore, PyErr_SetObject, PyErr_WriteUnraisable
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.memoryview cimport PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport getenv
from libc.string cimport memset, strcmp

from poolcore._counted cimport heap_alloc_counted, heap_free_counted, heap_free_held, heap_get
from poolcore._pool cimport (
    heap_get_slow, heap_now, hold_adopt, hold_export, hold_forget, hold_unexport,
    pool_alloc_ex, pool_alloc_held, pool_alloc_many, pool_block_at, pool_c_alloc, pool_c_aligned,
    pool_c_calloc, pool_c_free, pool_c_realloc, pool_check, pool_close, pool_dispose, pool_events,
    pool_await_restore, pool_forget_allocs, pool_free_ex, pool_free_held, pool_free_many, pool_front_alloc,
    pool_front_free, pool_go_native, pool_has_front, pool_many_refusal, pool_next_live, pool_of, pool_open,
    pool_realloc, pool_realloc_held, pool_reset_peak, pool_restore, pool_snapshot, pool_snapshot_bytes, pool_stats,
    pool_trim, pool_unmap, pool_verdict_of,
)
from poolcore._types cimport (
    ALIGNMENT, ALLOC_ZERO, BACKING_BUFFER, BACKING_PAGES, BACKING_SPACE, CLASS_MAX, EVENT_ALLOC,
    EVENT_FREE, EVENT_REFUSED, EVENT_REJECTED, FREE_DEFER, RECORD_DEFERRED, RECORD_EXPORTED,
    RECORD_HELD, RECORD_LIVE, RECORD_QUARANTINED, RECORD_STATE, REFUSAL_ALIGNMENT, REFUSAL_CALLBACK,
    REFUSAL_CLOSED, REFUSAL_FAULT, REFUSAL_LIMIT_BLOCKS, REFUSAL_LIMIT_BYTES, REFUSAL_MEMORY, REFUSAL_RESTORE,
    SMALL_MAX, VERDICT_CLOSED, VERDICT_CORRUPT, VERDICT_DOUBLE, VERDICT_EXPORTED, VERDICT_FOREIGN,
    VERDICT_INTERIOR, VERDICT_LIVE, VERDICT_NULL, VERDICT_OTHER_POOL,
    block_t, event_t, hold_t, pool_config_t, pool_stats_t, pool_t,
    HUGE_ALWAYS, HUGE_GROWTH, HUGE_NEVER,
)


cdef extern from *:
    """
    #include "poolcore_platform.h"
    /* An int that fits one machine digit, or -1: a negative one, a larger one, or no int. */
    static inline Py_ssize_t small_int(PyObject *o) {
        if (!PyLong_CheckExact(o)) return -1;
    #if PY_VERSION_HEX >= 0x030C0000
        return PyUnstable_Long_IsCompact((PyLongObject *)o) ? PyUnstable_Long_CompactValue((PyLongObject *)o) : -1;
    #else
        return Py_SIZE(o) == 1 ? (Py_ssize_t)((PyLongObject *)o)->ob_digit[0] : Py_SIZE(o) == 0 ? 0 : -1;
    #endif
    }
    typedef PyObject *(*fastcall_t)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
    typedef PyObject *(*binary_t)(PyObject *, PyObject *);
    /* Without the GIL there is no list of spare Buffers, and views and calls are counted atomically. */
    #ifdef Py_GIL_DISABLED
    #define IS_FREE_THREADED 1
    #define SPARE_MAX 0
    static inline int64_t count_add(int64_t *counter, int64_t n) {
        return (int64_t)atomic_add_u64((uint64_t *)counter, (uint64_t)n) + n;
    }
    #else
    #define IS_FREE_THREADED 0
    #define SPARE_MAX 512
    static inline int64_t count_add(int64_t *counter, int64_t n) { return *counter += n; }
    #endif
    #define SPARE_ROOM (SPARE_MAX + 1)
    static char FORMAT_BYTES[] = "B";
    """
    Py_ssize_t small_int(PyObject *o)
    ctypedef PyObject *(*fastcall_t)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *) noexcept
    ctypedef PyObject *(*binary_t)(PyObject *, PyObject *) noexcept
    const bint IS_FREE_THREADED
    const int SPARE_MAX
    const int SPARE_ROOM
    char *FORMAT_BYTES
    int64_t count_add(int64_t *counter, int64_t n)


cdef extern from "Python.h":
    # Declared here and not cimported: these must not touch the refcount of what they are given.
    ctypedef void (*dealloc_t "destructor")(PyObject *) noexcept
    ctypedef PyObject *(*new_t "newfunc")(type_t *, PyObject *, PyObject *) except NULL
    ctypedef struct method_t "PyMethodDef":
        const char *ml_name
        void *ml_meth
        int ml_flags
    ctypedef struct type_t "PyTypeObject":
        method_t *tp_methods
        dealloc_t tp_dealloc
        new_t tp_new
        void *tp_vectorcall
        Py_ssize_t tp_weaklistoffset
    void PyObject_GC_Track(void *o)
    void PyObject_GC_UnTrack(void *o)
    void PyObject_ClearWeakRefs(PyObject *o)
    void Py_SET_REFCNT(PyObject *o, Py_ssize_t count)
    Py_ssize_t Py_REFCNT(PyObject *o)
    void *Py_TYPE(PyObject *o)
    int PyTraceMalloc_Track(unsigned int domain, uintptr_t pointer, size_t size) nogil
    int PyTraceMalloc_Untrack(unsigned int domain, uintptr_t pointer) nogil
    unsigned long PyThread_get_thread_ident() nogil
    int PyErr_WarnEx(object category, const char *message, Py_ssize_t level)
    int PyErr_ResourceWarning(PyObject *source, Py_ssize_t level, const char *format, ...)
    bint PyLong_CheckExact(object o)
    unsigned long long PyLong_AsUnsignedLongLong(object o)      # all ones: perhaps an exception is set
    int PyIndex_Check(object o)
    object PyNumber_Index(object o)
    Py_ssize_t PyNumber_AsSsize_t(object o, object error) except? -1
    int PyObject_GetBuffer(object o, Py_buffer *view, int flags) except -1
    void PyBuffer_Release(Py_buffer *view)
    int PyObject_CheckBuffer(object o)
    object PySequence_Repeat(object o, Py_ssize_t count)
    enum:
        METH_FASTCALL
        METH_KEYWORDS
        METH_O
        PyBUF_WRITABLE
        PyBUF_FORMAT
        PyBUF_ND
        PyBUF_STRIDES
        PyBUF_SIMPLE


cdef enum:
    DOMAIN = 0x706F6F6C         # "pool"
    DROP_RETURN = 0
    DROP_KEEP = 1
    DROP_WARN = 2
    SIZE_TOO_LARGE = 1          # see size_of_request

TRACEMALLOC_DOMAIN = DOMAIN
"""The tracemalloc domain of blocks: those of pools made while tracing was on."""

cdef uint64_t NO_LIMIT = 0xFFFFFFFFFFFFFFFF
cdef uint64_t REQUEST_MAX = 0x7FFFFFFFFFFFFFFF

# pool_t of every open pool -> its name, for sentences about addresses in other pools
cdef dict _open_pools = {}

cdef tuple _verdicts = None
cdef object _errors = None
cdef object _array_of_one = None


cdef object errors():
    """The module of exceptions, loaded with the first one."""
    global _errors
    if _errors is None:
        import poolcore.errors
        _errors = poolcore.errors
    return _errors


cdef object verdict_of(int verdict):
    """The member of Verdict."""
    global _verdicts
    if _verdicts is None:
        from poolcore.stats import Verdict
        _verdicts = tuple(Verdict)
    return _verdicts[verdict]


# ---- arguments ---------------------------------------------------------------------------------

cdef str number_text(object number):
    """An int for a message. str() refuses very long ones."""
    if -1 << 256 < number < 1 << 256:
        return str(number)
    return f"{'-' if number < 0 else ''}2**{number.bit_length() - 1} or more"


cdef int size_of_request(object size, uint64_t *out) except -1:
    """Reads a size. SIZE_TOO_LARGE: no address space holds it; the pool need not be asked."""
    if not PyIndex_Check(size):
        raise TypeError(f"size is a number of bytes, an int, not {type(size).__name__} ({size!r})")
    size = PyNumber_Index(size)
    if size < 0:
        raise ValueError(f"size is {number_text(size)}; it is 0 or more bytes")
    if size > REQUEST_MAX:
        out[0] = REQUEST_MAX
        return SIZE_TOO_LARGE
    out[0] = size
    return 0


cdef Py_ssize_t count_of_request(object count) except -1:
    if not PyIndex_Check(count):
        raise TypeError(f"count is a number of blocks, an int, not {type(count).__name__} ({count!r})")
    count = PyNumber_Index(count)
    if count < 0:
        raise ValueError(f"count is {number_text(count)}; it is 0 or more blocks")
    return <Py_ssize_t>min(count, <object>REQUEST_MAX)


cdef uint64_t alignment_of(object align) except? 0:
    if align is None:
        return 0
    if not PyIndex_Check(align):
        raise TypeError(f"align is a power of two in bytes, an int, not {type(align).__name__} ({align!r})")
    align = PyNumber_Index(align)
    if align <= 0 or align & (align - 1) or align > REQUEST_MAX:
        raise ValueError(f"align is {number_text(align)}; it is a power of two, such as 64 or 4096")
    return align


cdef uint32_t tag_of(object tag) except? 0:
    """Four characters as a number, the first in the low byte; 0 for None."""
    cdef uint32_t number = 0
    cdef bytes characters
    cdef int i
    if tag is None:
        return 0
    if isinstance(tag, str):
        try:
            characters = (<str>tag).encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"tag is {tag!r}; it is one to four characters below U+0100") from None
    elif isinstance(tag, bytes):
        characters = <bytes>tag
    else:
        raise TypeError(f"tag is a str of one to four characters, not {type(tag).__name__} ({tag!r})")
    if not 1 <= len(characters) <= 4 or 0 in characters:
        raise ValueError(f"tag is {tag!r}; it is one to four characters, none of them NUL")
    for i in range(len(characters)):
        number |= <uint32_t><unsigned char>characters[i] << (8 * i)
    return number


cdef object tag_text(uint32_t tag):
    if tag == 0:
        return None
    return bytes([(tag >> shift) & 0xFF for shift in (0, 8, 16, 24)]).rstrip(b"\0").decode("latin-1")


cdef uint64_t address_of(object block) except? 0:
    """An address as given to free: any int from 0 to 2**64-1."""
    cdef unsigned long long word
    if PyLong_CheckExact(block):
        word = PyLong_AsUnsignedLongLong(block)
        if word != NO_LIMIT or PyErr_Occurred() == NULL:
            return word
        PyErr_Clear()
        raise OverflowError(f"an address is from 0 to 2**64-1; got {number_text(block)}")
    return address_of(block_index(block))


cdef uint64_t limit_of(str name, object limit) except? 0:
    if limit is None:
        return NO_LIMIT
    if not PyIndex_Check(limit):
        raise TypeError(f"{name} is an int or None, not {type(limit).__name__} ({limit!r})")
    limit = PyNumber_Index(limit)
    if limit < 0:
        raise ValueError(f"{name} is {number_text(limit)}; it is 0 or more, or None for no limit")
    return min(limit, <object>REQUEST_MAX)


cdef int read_sizes(object sizes, pool_config_t *config) except -1:
    """The size classes: rounded up to the alignment, each once, ascending."""
    cdef list rounded
    if sizes is None:
        return 0
    given = [sizes] if PyIndex_Check(sizes) else sizes
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise TypeError(f"sizes is an int or a sequence of ints, not {type(sizes).__name__} ({sizes!r})")
    classes = set()
    for size in given:
        if not PyIndex_Check(size):
            raise TypeError(f"sizes: {size!r} is a {type(size).__name__}, not an int")
        size = PyNumber_Index(size)
        if not 1 <= size <= SMALL_MAX:
            raise ValueError(
                f"sizes: {number_text(size)} is no size class; they are from 1 to {SMALL_MAX} bytes, "
                "larger blocks need none")
        classes.add((size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT)
    if not 1 <= len(classes) <= CLASS_MAX:
        raise ValueError(
            f"sizes: {len(classes)} size classes (in steps of {ALIGNMENT} bytes); a pool has from 1 to {CLASS_MAX}")
    rounded = sorted(classes)
    config.class_count = <uint32_t>len(rounded)
    for i in range(len(rounded)):
        config.class_bytes[<Py_ssize_t>i] = rounded[i]
    return 0


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
    cdef PyObject *o
    if _spare_top == _spares:
        return NULL
    o = _spare_top[-1]
    if not heap_get(heap_now(pool.engine), pool.engine, size, &(<Buffer>o).hold, &pool.guess):
        return NULL
    spare_use(pool, o)
    return o


cdef inline void spare_use(Pool pool, PyObject *o) noexcept:
    """The topmost spare Buffer, whose hold is filled in, becomes the pool's."""
    global _spare_top
    _spare_top -= 1
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

    def __reduce_ex__(self, protocol):
        raise TypeError("a Buffer is memory of this process and cannot be pickled; pickle bytes(buffer)")


# ---- what questions answer ---------------------------------------------------------------------

cdef str state_text(uint32_t state):
    """A record's state as callers see it: that a Buffer holds a block is no state of the block."""
    state &= RECORD_STATE
    if state == RECORD_LIVE or state == RECORD_HELD:
        return "live"
    if state == RECORD_EXPORTED:
        return "exported"
    if state == RECORD_DEFERRED:
        return "deferred"
    if state == RECORD_QUARANTINED:
        return "quarantined"
    return "free"


@cython.final
cdef class Block:
    """What `Pool.block_at` and `Pool.live` say about a block, at the moment of the question.

    Compares and hashes by value.
    """

    cdef readonly uint64_t address
    """Address of its first byte."""
    cdef readonly uint64_t size
    """Bytes that were asked for; 0 when free."""
    cdef readonly uint64_t capacity
    """Bytes that it occupies."""
    cdef readonly object tag
    """Its tag, a str, or None."""
    cdef readonly str state
    """"live", "exported" (views of it are alive), "deferred" (freed, its views are still alive),
    "quarantined" (freed, waiting) or "free"."""
    cdef readonly Pool pool
    """The Pool it is in."""

    def buffer(self):
        """A Buffer for this block, when it is live and has none: allocated by address, or kept by on_drop.

        Returns
        -------
        Buffer

        Raises
        ------
        ValueError
            It is not live, or a Buffer holds it.
        """
        if self.pool is None:
            raise ValueError("this Block describes nothing: Blocks come from Pool.block_at and Pool.live")
        open_or_raise(self.pool)
        buffer = buffer_adopt(self.pool, self.address)
        if buffer is None:
            raise ValueError(f"{self.pool.explain(self.address)}: only a live block without a Buffer can be given one")
        return buffer

    cdef tuple key(self):
        return (self.address, self.size, self.capacity, self.tag, self.state)

    def __eq__(self, other):
        if not isinstance(other, Block):
            return NotImplemented
        return self.pool is (<Block>other).pool and self.key() == (<Block>other).key()

    def __hash__(self):
        return hash(self.key())

    def __repr__(self):
        return (f"Block(address={self.address:#x}, size={self.size}, capacity={self.capacity}, "
                f"tag={self.tag!r}, state={self.state!r}, pool={self.pool!r})")


cdef Block block_make(Pool pool, block_t *found):
    cdef Block block = Block.__new__(Block)
    block.address = found.address
    block.size = found.size
    block.capacity = found.capacity
    block.tag = tag_text(found.tag)
    block.state = state_text(found.state)
    block.pool = pool
    return block


@cython.final
cdef class Event:
    """One entry of a pool's ring of events."""

    cdef readonly uint64_t sequence
    """Its number, counted over the pool's life."""
    cdef readonly uint64_t time_ns
    """Nanoseconds of the monotonic clock."""
    cdef readonly str kind
    """"alloc", "free", "refused" (a request), "rejected" (a free) or "corrupt"."""
    cdef readonly uint64_t address
    """The block, or what was given to free; 0 when refused."""
    cdef readonly uint64_t size
    """Bytes asked for."""
    cdef readonly uint32_t thread
    """The OS' number of the thread."""
    cdef readonly object tag
    """The block's tag, a str, or None."""
    cdef readonly object verdict
    """What free found, a Verdict; None when it was no free."""

    def __repr__(self):
        return (f"Event(sequence={self.sequence}, time_ns={self.time_ns}, kind={self.kind!r}, "
                f"address={self.address:#x}, size={self.size}, thread={self.thread}, tag={self.tag!r}, "
                f"verdict={self.verdict!r})")


cdef Event event_make(event_t *found):
    cdef Event event = Event.__new__(Event)
    event.sequence = found.sequence
    event.time_ns = found.time_ns
    if found.kind == EVENT_ALLOC:
        event.kind = "alloc"
    elif found.kind == EVENT_FREE:
        event.kind = "free"
    elif found.kind == EVENT_REFUSED:
        event.kind = "refused"
    elif found.kind == EVENT_REJECTED:
        event.kind = "rejected"
    else:
        event.kind = "corrupt"
    event.address = found.address
    event.size = found.size
    event.thread = found.thread
    event.tag = tag_text(found.tag)
    if found.kind == EVENT_FREE or found.kind == EVENT_REJECTED:
        event.verdict = verdict_of(found.verdict)
    return event


@cython.final
cdef class CFunctions:
    """A pool for C: addresses of its struct and of functions that take it first. Keeps the pool alive.

    They may be called from any thread, with the GIL or without; after the pool is closed they answer
    NULL and CLOSED::

        void *alloc(void *pool, size_t size)
        int free(void *pool, void *block)                          the verdict
        void *realloc(void *pool, void *block, size_t size)
        void *calloc(void *pool, size_t count, size_t size)
        void *aligned(void *pool, size_t alignment, size_t size)

    A pool of one size has an alloc and a free of its own, which reuse the block freed last: half the
    instructions of the others. They may be mixed with every other way to the same pool.
    """

    cdef Pool owner
    cdef readonly uint64_t pool
    """What each function takes first."""
    cdef readonly uint64_t alloc
    """``void *alloc(void *pool, size_t size)``; NULL when refused."""
    cdef readonly uint64_t free
    """``int free(void *pool, void *block)``; the verdict."""
    cdef readonly uint64_t realloc
    """``void *realloc(void *pool, void *block, size_t size)``; NULL leaves the block as it was."""
    cdef readonly uint64_t calloc
    """``void *calloc(void *pool, size_t count, size_t size)``; filled with zeros."""
    cdef readonly uint64_t aligned
    """``void *aligned(void *pool, size_t alignment, size_t size)``."""

    def __repr__(self):
        return f"<C functions of {label(self.owner)}>"


cdef class _Live:
    """Iterator over live blocks, by address; blocks that come or go meanwhile may or may not be seen."""

    cdef Pool pool
    cdef uint64_t address

    def __iter__(self):
        return self

    def __next__(self):
        cdef block_t block
        cdef int found
        cdef Pool pool = self.pool      # another thread may end the same iterator during the call
        cdef uint64_t address = self.address
        if pool is None or pool.is_closed:
            raise StopIteration
        if pool.is_locked:
            count_add(&pool.calls, 1)
            with nogil:
                found = pool_next_live(pool.engine, address, &block)
            call_end(pool)
        else:
            found = pool_next_live(pool.engine, address, &block)
        if not found:
            self.pool = None
            raise StopIteration
        self.address = block.address + 1
        return block_make(pool, &block)


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


cdef int give_back(Pool pool, list buffers) except -1:
    """Frees the Buffers of a get_many that did not come to its end."""
    for buffer in buffers:
        free_buffer(pool, <Buffer>buffer, 0)
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
            spare_use(pool, spare)
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


# ---- making and closing ------------------------------------------------------------------------

cdef object memory_read(object memory, pool_config_t *config):
    """The caller's buffer as a memoryview, its place in `config`."""
    cdef Py_buffer *view
    if not PyObject_CheckBuffer(memory):
        raise TypeError(
            "memory is None, Pages, AddressSpace or a writable buffer such as a bytearray, "
            f"not {type(memory).__name__} ({memory!r})")
    held = memoryview(memory)
    if held.readonly:
        raise ValueError(
            f"memory is read-only ({type(memory).__name__}); give a writable buffer such as a bytearray or mmap")
    if not held.c_contiguous:
        raise ValueError(f"memory has gaps ({type(memory).__name__}); give a contiguous buffer")
    view = PyMemoryView_GET_BUFFER(held)
    if view.len == 0:
        raise ValueError(f"memory is empty ({type(memory).__name__}); a pool needs some kilobytes")
    config.base = <uint64_t><uintptr_t>view.buf
    config.size = <uint64_t>view.len
    return held


cdef object policies_read(tuple policies, pool_config_t *config):
    """Policies into `config`; the LowMemory among them, or None."""
    low_memory = None
    for policy in policies:
        kind = policy.kind().__name__
        if kind == "Guard":
            config.guard_every = policy.every
        elif kind == "Quarantine":
            config.quarantine_blocks = policy.blocks or 0
            config.quarantine_bytes = policy.bytes or 0
        elif kind == "Fill":
            config.is_filled = True
            config.fill_alloc = policy.alloc
            config.fill_free = policy.free
        elif kind == "Events":
            config.events_capacity = policy.capacity
        elif kind == "Faults":
            config.fault_nth = policy.nth or 0
            config.fault_rate = policy.rate or 0.0
            config.fault_seed = policy.seed
            if policy.window is not None:
                config.fault_first, config.fault_last = policy.window
        else:
            config.is_low_memory = True
            low_memory = policy
    return low_memory


cdef int pool_shut(Pool pool) except -1:
    """open -> closed: Buffers are dead, calls answer CLOSED; memory goes unless views are alive."""
    cdef uint64_t address = 0
    cdef block_t block
    if pool.is_traced:
        while pool_next_live(pool.engine, address, &block):
            PyTraceMalloc_Untrack(DOMAIN, <uintptr_t>block.address)
            address = block.address + 1
    pool.is_closed = True
    pool.is_plain = False
    pool.is_bare = False
    _open_pools.pop(<uintptr_t>pool.engine, None)
    if pool.is_locked:
        count_add(&pool.calls, 1)
        with nogil:
            pool_close(pool.engine)
        call_end(pool)
    else:
        pool_close(pool.engine)
    pool_finish(pool)
    return 0


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


cdef class Pool:
    """A pool of memory blocks, or of addresses.

    Parameters
    ----------
    sizes : None, int or sequence of int
        Size classes in bytes. None: the default ones. An int: one class, with the fastest reuse. They are
        rounded up to 16 bytes; a request above the largest becomes a run of pages.
    limit_bytes, limit_blocks : int, optional
        The most requested bytes, and blocks, that may be live at once.
    memory : optional
        Where blocks come from. None: pages of the pool's own. `Pages`: the same, with its reserve. A
        writable buffer (bytearray, mmap, SharedMemory.buf, a Buffer of another pool): that memory, exported
        until the pool is closed and its last view released. `AddressSpace`: addresses without memory.
    policies : sequence
        `Guard`, `Quarantine`, `Fill`, `Events`, `Faults`, `LowMemory`; at most one of each. The
        environment variable POOLCORE (``guard,events``) adds to them where the memory allows it.
    on_exported : str
        What a free of a block with live views does. "refuse": raises ExportedBlockError. "defer": the
        block is dead at once, its memory serves again after the last view.
    on_drop : str
        What becomes of a live block whose Buffer is dropped. "return": freed. "keep": stays live; see
        `live` and `Block.buffer`. "warn": freed with a ResourceWarning.
    name : str
        For messages.

    Raises
    ------
    TypeError, ValueError
        An argument is not as above; the message says what was given and what would do.
    MemoryError
        The OS refuses the address space.

    Notes
    -----
    Any thread may call anything at any time. Dropping a pool frees its memory; Buffers keep it alive.
    """

    def __init__(self, *, sizes=None, limit_bytes=None, limit_blocks=None, memory=None, policies=(),
                 on_exported="refuse", on_drop="return", name=""):
        cdef pool_config_t config
        cdef const char *why = NULL
        cdef const char *switches = getenv("POOLCORE")
        cdef str backing = "pages"
        if self.engine != NULL:
            raise RuntimeError(f"{label(self)} is made already: __init__ runs once")
        memset(&config, 0, sizeof(config))
        if not isinstance(name, str):
            raise TypeError(f"name is a str, not {type(name).__name__} ({name!r})")
        if on_exported not in ("refuse", "defer"):
            raise ValueError(f"on_exported is {on_exported!r}; it is 'refuse' or 'defer'")
        if on_drop not in ("return", "keep", "warn"):
            raise ValueError(f"on_drop is {on_drop!r}; it is 'return', 'keep' or 'warn'")
        read_sizes(sizes, &config)
        config.limit_bytes = limit_of("limit_bytes", limit_bytes)
        config.limit_blocks = limit_of("limit_blocks", limit_blocks)
        config.is_deferred = on_exported == "defer"
        config.is_counted = not IS_FREE_THREADED
        config.backing = BACKING_PAGES
        config.huge = HUGE_GROWTH
        view = None
        space = None
        if memory is not None:
            from poolcore.policies import AddressSpace, Pages
            if isinstance(memory, Pages):
                config.reserve_bytes = memory.reserve or 0
                if memory.huge is not None:
                    config.huge = HUGE_ALWAYS if memory.huge else HUGE_NEVER
            elif isinstance(memory, AddressSpace):
                backing = "space"
                space = memory
                config.backing = BACKING_SPACE
                config.base = space.base
                config.size = space.size
            else:
                backing = "buffer"
                config.backing = BACKING_BUFFER
                view = memory_read(memory, &config)
        low_memory = None
        if switches != NULL or policies != ():
            from poolcore.policies import chosen
            names = None if switches == NULL else (<bytes>switches).decode("utf-8", "replace")
            policies = chosen(policies, names, backing)
            low_memory = policies_read(policies, &config)
        else:
            policies = ()
        if space is not None:
            if space.on_map is not None:
                config.on_map = callback_map
            if space.on_unmap is not None:
                config.on_unmap = callback_unmap
            if space.on_copy is not None:
                config.on_copy = callback_copy
        is_low_memory_sized = False
        if low_memory is not None:
            is_low_memory_sized = low_memory.takes_size()
            config.on_low_memory = callback_low_memory
        config.context = <void *>self
        config.calls = &self.calls
        config.callback_depth = &self.callback_depth
        cdef pool_t *engine
        with nogil:
            engine = pool_open(&config, &why)
        if engine == NULL:
            text = "the engine does not say why" if why == NULL else (<bytes>why).decode()
            kind = MemoryError if config.backing == BACKING_PAGES else ValueError
            of = "its own pages" if memory is None else repr(memory) if view is None else type(memory).__name__
            who = f"pool {name!r}" if name else "an unnamed pool"
            raise kind(f"{who} cannot be made of {of}: {text}")
        if self.engine != NULL:     # another thread was faster, or an argument's own code
            pool_close(engine)
            pool_unmap(engine)
            pool_dispose(engine)
            raise RuntimeError(f"{label(self)} is made already: __init__ runs once")
        # Not before: until here it may become another pool's.
        self.name = name
        self.policies = policies
        self.on_drop = DROP_RETURN if on_drop == "return" else DROP_KEEP if on_drop == "keep" else DROP_WARN
        if space is not None:
            self.on_map = space.on_map
            self.on_unmap = space.on_unmap
            self.on_copy = space.on_copy
        if low_memory is not None:
            self.on_low_memory = low_memory.callback
            self.is_low_memory_sized = is_low_memory_sized
        if space is not None or low_memory is not None:
            self.entries = {}
        self.memory = view
        self.is_space = space is not None
        self.is_locked = engine.is_locked
        self.is_cyclic = type(self) is not Pool or view is not None or self.entries is not None
        if not self.is_space and PyTraceMalloc_Track(DOMAIN, <uintptr_t>engine, 1) == 0:
            PyTraceMalloc_Untrack(DOMAIN, <uintptr_t>engine)
            self.is_traced = True
        if IS_FREE_THREADED:
            pool_go_native(engine)      # any Python thread is then what a C thread is under the GIL
        self.engine = engine
        _open_pools[<uintptr_t>engine] = name
        self.is_plain = not self.is_locked and not self.is_traced and not IS_FREE_THREADED
        self.is_bare = self.is_plain and not self.is_cyclic

    def __del__(self):
        if self.engine != NULL and not self.is_closed:
            pool_shut(self)

    def __dealloc__(self):
        if self.engine == NULL:
            return
        if not self.is_closed:
            self.is_closed = True
            pool_close(self.engine)
        if not self.is_unmapped:
            pool_unmap(self.engine)
        _open_pools.pop(<uintptr_t>self.engine, None)
        pool_dispose(self.engine)

    def __repr__(self):
        cdef pool_stats_t stats
        kind = type(self).__name__
        if self.engine == NULL:
            return f"<{kind}, never made>"
        if self.is_closed:
            return f"<{kind} {self.name!r}, closed>"
        stats_read(self, &stats)
        return f"<{kind} {self.name!r}, {stats.live_blocks} blocks of {stats.live_bytes} bytes live>"

    def __reduce__(self):
        raise TypeError("a Pool is memory of this process and cannot be copied or pickled")

    def __reduce_ex__(self, protocol):
        raise TypeError("a Pool is memory of this process and cannot be copied or pickled")

    # ---- one block ----

    def get(self, size, *, align=None, zero=False, tag=None):
        """A block as a Buffer.

        Parameters
        ----------
        size : int
            Bytes, 0 or more.
        align : int, optional
            Power of two that divides the address. Every block is aligned to 16 unless Guard
            right-justifies it.
        zero : bool
            Fill it with zeros; otherwise its bytes are what they happen to be.
        tag : str, optional
            One to four characters that `block_at`, `live` and `explain` repeat.

        Returns
        -------
        Buffer
            Exactly `size` bytes long.

        Raises
        ------
        PoolExhausted
            No room, a limit is reached, or a policy refuses.
        ValueError
            A negative size, a bad `align` or `tag`, or the pool is closed.
        TypeError
            An argument of another type.
        RuntimeError
            Called from inside `on_map` or `on_unmap`.
        """
        return get_slow(self, size, align, zero, tag, False)     # get_fast comes first

    def try_get(self, size, *, align=None, zero=False, tag=None):
        """Like `get`, but None where `get` raises PoolExhausted, and on a closed pool.

        Returns
        -------
        Buffer or None
        """
        return get_slow(self, size, align, zero, tag, True)

    def alloc(self, size, *, align=None, zero=False, tag=None):
        """A block as an address, which nobody frees but you.

        Parameters
        ----------
        size, align, zero, tag
            As for `get`. An AddressSpace has no bytes, so `zero` does nothing there.

        Returns
        -------
        int
            Never 0.

        Raises
        ------
        PoolExhausted, ValueError, TypeError, RuntimeError
            As `get`.
        """
        cdef Py_ssize_t wanted = small_int(<PyObject *>size)
        cdef uint64_t address
        if wanted < 0 or not self.is_plain or align is not None or zero is not False or tag is not None:
            return alloc_slow(self, size, align, zero, tag, False)
        address = heap_alloc_counted(heap_now(self.engine), self.engine, <uint64_t>wanted)
        if not address:
            return alloc_slow(self, size, None, False, None, False)     # it says why
        return address

    def try_alloc(self, size, *, align=None, zero=False, tag=None):
        """Like `alloc`, but 0 where `alloc` raises PoolExhausted, and on a closed pool.

        Returns
        -------
        int
        """
        return alloc_slow(self, size, align, zero, tag, True)

    def free(self, block, /):
        """Gives a block back.

        Parameters
        ----------
        block : Buffer or int
            Any value is safe: what is not a live block of this pool is refused, and nothing changes.

        Raises
        ------
        DoubleFreeError, InteriorPointerError, ForeignBlockError, ExportedBlockError
            It is not, and why; the message is what `explain` says.
        FreeError
            The block was written past its end or after its free (CORRUPT), or the pool is closed.
        TypeError
            Neither a Buffer nor an int.
        OverflowError
            An int outside 0 to 2**64-1.
        """
        cdef int verdict
        cdef uint64_t address
        # free_fast comes first
        verdict = free_any(self, block, &address)
        if verdict == VERDICT_LIVE:
            return
        raise free_error(self, address, verdict)

    def try_free(self, block, /):
        """Like `free`, but answers what it found.

        Parameters
        ----------
        block : Buffer or int

        Returns
        -------
        Verdict
            LIVE, which is 0, for a good free.

        Raises
        ------
        TypeError, OverflowError
            As `free`.
        """
        cdef uint64_t address
        return verdict_of(free_any(self, block, &address))

    def realloc(self, block, size):
        """Changes a block's size, moving it when it must; the bytes up to the smaller size stay.

        Parameters
        ----------
        block : Buffer or int
            A live block.
        size : int
            Bytes, 0 or more.

        Returns
        -------
        Buffer or int
            As `block`; a Buffer is another one, and the old one is dead.

        Raises
        ------
        PoolExhausted
            No room; the old block is as it was.
        FreeError, TypeError, ValueError, OverflowError
            As `free` and `get`.
        """
        cdef uint64_t wanted
        cdef uint64_t from_address
        cdef uint64_t address = 0
        cdef int verdict = VERDICT_LIVE
        cdef int refusal = REFUSAL_MEMORY
        cdef bint is_too_large = size_of_request(size, &wanted)
        cdef Buffer old = None
        cdef Buffer buffer = None
        if self.engine == NULL:
            open_or_raise(self)
        if type(block) is Buffer:
            old = <Buffer>block
            from_address = old.hold.address
            if old.owner is not self:
                verdict = VERDICT_FOREIGN if old.owner.is_closed else VERDICT_OTHER_POOL
            elif old.hold.slab == NULL:
                verdict = VERDICT_DOUBLE
        else:
            from_address = address_of(block)
        if self.is_closed:
            verdict = VERDICT_CLOSED
        if verdict == VERDICT_LIVE and not is_too_large:
            if old is None:
                address = realloc_address(self, from_address, wanted, &verdict, &refusal)
            else:
                buffer = buffer_make(self)
                address = realloc_buffer(self, old, buffer, wanted, &verdict, &refusal)
        elif verdict == VERDICT_LIVE and old is None:
            verdict = verdict_at(self, from_address)
        if verdict != VERDICT_LIVE:
            raise free_error(self, from_address, verdict)
        if not address:
            return refused(self, size, 1, None, refusal, False)
        if self.is_traced:
            PyTraceMalloc_Untrack(DOMAIN, <uintptr_t>from_address)
            PyTraceMalloc_Track(DOMAIN, <uintptr_t>address, <size_t>wanted)
        if old is None:
            return address
        return buffer_done(self, buffer)

    # ---- many blocks ----

    def get_many(self, size, count):
        """Several blocks of one size as Buffers: all of them, or none.

        Parameters
        ----------
        size : int
            Bytes of each.
        count : int
            How many.

        Returns
        -------
        list of Buffer

        Raises
        ------
        PoolExhausted, ValueError, TypeError, RuntimeError
            As `get`; nothing is taken then.
        """
        cdef uint64_t wanted
        cdef Py_ssize_t i
        cdef Py_ssize_t number = count_of_request(count)
        cdef int refusal = REFUSAL_MEMORY
        cdef bint is_too_large = size_of_request(size, &wanted)
        cdef PyObject *o
        cdef Buffer buffer
        cdef list buffers
        cdef uint64_t peak_blocks, peak_bytes
        open_or_raise(self)
        if is_too_large or <uint64_t>number > self.engine.span // max(wanted, <uint64_t>ALIGNMENT):
            return refused(self, size, count, None, refusal, False)
        peak_blocks = self.engine.peak_blocks
        peak_bytes = self.engine.peak_bytes
        refusal = pool_many_refusal(self.engine, wanted, <uint64_t>number)
        if refusal:
            return refused(self, size, count, None, refusal, False)
        refusal = REFUSAL_MEMORY
        if self.is_plain:
            buffers = PyList_New(number)
            # Making a Buffer may collect garbage, and so run Python: the list is not to be found until it is whole.
            PyObject_GC_UnTrack(<void *>buffers)
            for i in range(number):
                o = bare_get(self, wanted) if self.is_bare else NULL
                if o == NULL:
                    buffer = buffer_make(self)
                    if engine_alloc(self, wanted, 0, 0, 0, &buffer.hold, &refusal):
                        o = <PyObject *>buffer
                        buffer_done(self, buffer)
                    else:
                        break
                Py_INCREF(<object>o)
                PyList_SET_ITEM(buffers, i, <object>o)
            else:
                PyObject_GC_Track(<void *>buffers)
                return buffers
            del buffers[i:]
        else:
            buffers = []
            PyObject_GC_UnTrack(<void *>buffers)
            try:
                for _ in range(number):
                    buffer = buffer_make(self)
                    if not engine_alloc(self, wanted, 0, 0, 0, &buffer.hold, &refusal):
                        break
                    buffers.append(buffer_done(self, buffer))
                else:
                    PyObject_GC_Track(<void *>buffers)
                    return buffers
            except BaseException:
                give_back(self, buffers)
                raise
        i = len(buffers)
        give_back(self, buffers)
        pool_forget_allocs(self.engine, <uint64_t>i, peak_blocks, peak_bytes)
        return refused(self, size, count, None, refusal, False)

    def alloc_many(self, size, count):
        """Several blocks of one size as addresses: all of them, or none.

        Parameters
        ----------
        size : int
            Bytes of each.
        count : int
            How many.

        Returns
        -------
        array('Q')
            Their addresses; what `free_many` takes fastest.

        Raises
        ------
        PoolExhausted, ValueError, TypeError, RuntimeError
            As `get`; nothing is taken then.
        """
        cdef uint64_t wanted
        cdef uint64_t got
        cdef Py_ssize_t i
        cdef Py_ssize_t number = count_of_request(count)
        cdef int refusal = REFUSAL_MEMORY
        cdef bint is_too_large = size_of_request(size, &wanted)
        cdef Py_buffer view
        cdef object outer
        open_or_raise(self)
        if is_too_large or <uint64_t>number > self.engine.span // max(wanted, <uint64_t>ALIGNMENT):
            return refused(self, size, count, None, refusal, False)
        addresses = array_of_words(number)
        if number == 0:
            return addresses
        PyObject_GetBuffer(addresses, &view, PyBUF_WRITABLE)
        try:
            if self.is_locked:
                outer = entries_enter(self)
                count_add(&self.calls, 1)
                with nogil:
                    got = pool_alloc_many(self.engine, wanted, <uint64_t>number, <uint64_t *>view.buf, &refusal)
                    while refusal == REFUSAL_RESTORE:
                        pool_await_restore(self.engine)
                        got = pool_alloc_many(self.engine, wanted, <uint64_t>number, <uint64_t *>view.buf, &refusal)
                call_end(self)
                entries_leave(self, outer, got != 0)
            else:
                got = pool_alloc_many(self.engine, wanted, <uint64_t>number, <uint64_t *>view.buf, &refusal)
            if self.is_traced and got:
                for i in range(number):
                    PyTraceMalloc_Track(DOMAIN, <uintptr_t>(<uint64_t *>view.buf)[i], <size_t>wanted)
        finally:
            PyBuffer_Release(&view)
        if not got:
            return refused(self, size, count, None, refusal, False)
        return addresses

    def free_many(self, blocks):
        """Frees every good one of several blocks.

        Parameters
        ----------
        blocks : iterable of Buffer and int
            An array('Q') or another contiguous buffer of 64-bit unsigned ints is fastest.

        Raises
        ------
        FreeError
            Some were not freed: `.verdicts` has one Verdict for each block, in their order.
        TypeError, OverflowError
            One can be no block at all; then none is freed.
        """
        cdef Py_ssize_t i
        cdef Py_ssize_t count
        cdef PyObject *item
        cdef Py_buffer view
        if self.engine == NULL:
            open_or_raise(self)
        if type(blocks) is list and self.is_plain:
            # Nothing in this loop runs Python, so the list stays as it is.
            count = PyList_GET_SIZE(blocks)
            for i in range(count):
                item = PyList_GET_ITEM(blocks, i)
                if type(<object>item) is not Buffer or (<Buffer>item).owner is not self:
                    break
            else:
                for i in range(count):
                    if heap_free_held(heap_now(self.engine), self.engine,
                                      &(<Buffer>PyList_GET_ITEM(blocks, i)).hold):
                        continue
                    if pool_free_held(self.engine, &(<Buffer>PyList_GET_ITEM(blocks, i)).hold, 0) != VERDICT_LIVE:
                        break
                else:
                    return None
                # Those before i were good. The one at i stays bad when it is tried again.
                return free_many_items(self, blocks, i)
        if type(blocks) is Buffer or isinstance(blocks, (str, bytes, bytearray)):
            raise TypeError(f"free_many takes several blocks, not one {type(blocks).__name__}; free takes one")
        if PyObject_CheckBuffer(blocks):
            PyObject_GetBuffer(blocks, &view, PyBUF_FORMAT | PyBUF_ND)
            try:
                if view.itemsize == 8 and view.ndim == 1 and view.format != NULL and (
                        strcmp(view.format, "Q") == 0 or strcmp(view.format, "L") == 0):
                    return free_many_words(self, <const uint64_t *>view.buf, view.len // 8)
            finally:
                PyBuffer_Release(&view)
            if isinstance(blocks, memoryview):
                raise TypeError("free_many takes a memoryview of 64-bit unsigned ints (format 'Q') only")
        if not hasattr(blocks, "__iter__") and not hasattr(blocks, "__getitem__"):
            raise TypeError(
                f"free_many takes several Buffers and addresses, not one {type(blocks).__name__}; free takes one")
        return free_many_items(self, blocks, 0)

    # ---- questions ----

    def block_at(self, address):
        """The block that an address is in, live or freed.

        Parameters
        ----------
        address : int
            Any address, at a block's start or inside.

        Returns
        -------
        Block or None
            None: no block of this pool was ever handed out there.
        """
        cdef block_t block
        cdef uint64_t number = address_of(address)
        open_or_raise(self)
        if not block_find(self, number, &block):
            return None
        return block_make(self, &block)

    def explain(self, address):
        """What an address is, in one sentence: its verdict, whose it is, how large, when, what lies beside.

        Parameters
        ----------
        address : int or Buffer
            Any value; nothing is read there.

        Returns
        -------
        str
            Times only with the policy `Events`.
        """
        cdef uint64_t number
        if self.engine == NULL:
            open_or_raise(self)
        if type(address) is Buffer:
            number = (<Buffer>address).hold.address
            if (<Buffer>address).owner is self and (<Buffer>address).hold.slab == NULL and not self.is_closed:
                return sentence(self, number, VERDICT_DOUBLE)
        else:
            number = address_of(address)
        return sentence(self, number, verdict_at(self, number))

    def live(self):
        """Iterates over live blocks in the order of their addresses.

        Returns
        -------
        iterator of Block
            Those that come or go during the iteration may or may not be among them.
        """
        cdef _Live blocks
        open_or_raise(self)
        blocks = _Live.__new__(_Live)
        blocks.pool = self
        return blocks

    def events(self):
        """The latest events, the oldest first; empty without the policy `Events`.

        Returns
        -------
        list of Event
        """
        cdef uint64_t capacity
        cdef uint64_t count
        cdef uint64_t i
        cdef event_t *found
        open_or_raise(self)
        capacity = self.engine.config.events_capacity
        if capacity == 0:
            return []
        found = <event_t *>PyMem_Malloc(capacity * sizeof(event_t))
        if found == NULL:
            raise MemoryError(f"no memory for {capacity} events")
        try:
            if self.is_locked:
                count_add(&self.calls, 1)
                with nogil:
                    count = pool_events(self.engine, found, capacity)
                call_end(self)
            else:
                count = pool_events(self.engine, found, capacity)
            return [event_make(found + i) for i in range(count)]
        finally:
            PyMem_Free(found)

    def stats(self):
        """The counters.

        Returns
        -------
        Stats
            Exact when no other thread is in a call.
        """
        cdef pool_stats_t stats
        cdef uint32_t i
        open_or_raise(self)
        from poolcore.stats import ClassStats, Stats
        stats_read(self, &stats)
        classes = []
        for i in range(stats.class_count):
            classes.append(ClassStats(
                block_bytes=stats.classes[i].block_bytes, live_blocks=stats.classes[i].live_blocks,
                live_bytes=stats.classes[i].live_bytes, slabs=stats.classes[i].slabs,
                capacity_bytes=stats.classes[i].capacity_bytes))
        return Stats(
            schema=1, live_blocks=stats.live_blocks, live_bytes=stats.live_bytes, peak_blocks=stats.peak_blocks,
            peak_bytes=stats.peak_bytes, is_peak_exact=bool(stats.is_peak_exact), total_allocs=stats.total_allocs,
            total_frees=stats.total_frees, capacity_bytes=stats.capacity_bytes,
            internal_waste_bytes=stats.internal_waste_bytes, external_waste_bytes=stats.external_waste_bytes,
            reserved_bytes=stats.reserved_bytes, committed_bytes=stats.committed_bytes,
            largest_bytes=stats.largest_bytes, late_double_frees=stats.late_double_frees,
            quarantined_blocks=stats.quarantined_blocks, quarantined_bytes=stats.quarantined_bytes,
            corrupt_blocks=stats.corrupt_blocks, dropped_buffers=self.dropped, classes=tuple(classes))

    def reset_peak(self):
        """Sets the peaks to what is live now."""
        open_or_raise(self)
        if self.is_locked:
            count_add(&self.calls, 1)
            with nogil:
                pool_reset_peak(self.engine)
            call_end(self)
        else:
            pool_reset_peak(self.engine)

    def check(self):
        """Looks for a broken invariant of the engine's own structures.

        Returns
        -------
        str or None
            The name of the first that is broken; None when all hold, and on a closed pool.
        """
        cdef const char *broken
        if self.engine == NULL:
            open_or_raise(self)
        if self.is_closed:
            return None
        if self.is_locked:
            count_add(&self.calls, 1)
            with nogil:
                broken = pool_check(self.engine, NULL, NULL)
            call_end(self)
        else:
            broken = pool_check(self.engine, NULL, NULL)
        return None if broken == NULL else (<bytes>broken).decode()

    # ---- the pool as a whole ----

    def trim(self):
        """Gives pages that hold no live block back to the OS.

        Returns
        -------
        int
            How many bytes.
        """
        cdef uint64_t given
        open_or_raise(self)
        if self.is_locked:
            count_add(&self.calls, 1)
            with nogil:
                pool_await_restore(self.engine)
                given = pool_trim(self.engine)
            call_end(self)
        else:
            given = pool_trim(self.engine)
        return given

    def snapshot(self):
        """Everything about an address-space pool as bytes, the order of its free blocks included.

        Returns
        -------
        bytes
            For `restore` of this pool, or of another with the same arguments.

        Raises
        ------
        ValueError
            The pool has memory of its own or the caller's.
        RuntimeError
            Called from inside `on_map` or `on_unmap`, when the request or free that led there is not through. (Those
            of a restore may call it.)

        Notes
        -----
        It waits for other threads' `on_map` and `on_unmap`.
        """
        cdef uint64_t room
        cdef uint64_t written = 0
        cdef bytes data
        cdef char *out
        open_or_raise(self)
        space_or_raise(self)
        while not written:
            count_add(&self.calls, 1)
            with nogil:
                room = pool_snapshot_bytes(self.engine)
            call_end(self)
            open_or_raise(self)
            if not room:
                raise RuntimeError(f"{label(self)}: a snapshot from inside on_map or on_unmap would show half a step; "
                                   "take it when the call that led there is through")
            data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>room)
            out = PyBytes_AS_STRING(data)
            count_add(&self.calls, 1)
            with nogil:
                written = pool_snapshot(self.engine, out, room)
            call_end(self)
        return data if written == room else data[:<Py_ssize_t>written]

    def restore(self, snapshot):
        """Makes an address-space pool what it was at a snapshot; `on_map` and `on_unmap` reconcile.

        Parameters
        ----------
        snapshot : bytes
            From `snapshot`. Buffers of blocks are dead afterwards.

        Raises
        ------
        ValueError
            No snapshot, or of a pool with other arguments; then nothing changes.
        RuntimeError
            Called from inside one of the pool's callbacks; then nothing changes.
        Exception
            What `on_map` raises: what was mapped so far is unmapped again, and the pool is as it was.

        Notes
        -----
        First `on_map` is called for all that the snapshot has mapped and the pool has not; then the pool becomes the
        snapshot, all at once; then `on_unmap` is called for all that is not needed any more. So every other call, of
        another thread or from inside those callbacks, finds the pool as it was before or as it is after, and all that
        it says is mapped. `free` and every question are answered at once: inside `on_map` by the old state, inside
        `on_unmap` by the new one. What is freed in the old state is live again if it is in the snapshot. Other
        threads' requests, `realloc`, `trim` and `restore` wait until the restore is through, as it waits for their
        callbacks first: no callback may wait for one of these, nor for what the caller of `restore` holds. Inside a
        callback requests raise RuntimeError, `trim` gives nothing back, and the pool cannot be closed or restored.
        """
        cdef bytes data
        cdef const char *start
        cdef uint64_t size
        cdef const char *why = NULL
        cdef int failed
        cdef object outer
        open_or_raise(self)
        space_or_raise(self)
        if not isinstance(snapshot, (bytes, bytearray, memoryview)):
            raise TypeError(f"a snapshot is bytes, not {type(snapshot).__name__} ({snapshot!r})")
        data = bytes(snapshot)      # of a bytearray: nobody writes to it while it is read
        open_or_raise(self)
        if PyThread_get_thread_ident() in self.entries:
            raise RuntimeError(f"{label(self)} cannot be restored from inside one of its callbacks")
        start = PyBytes_AS_STRING(data)
        size = <uint64_t>len(data)
        outer = entries_enter(self)
        count_add(&self.calls, 1)
        with nogil:
            failed = pool_restore(self.engine, start, size, &why)
        call_end(self)
        entries_leave(self, outer, failed == 0)
        if failed:
            text = "the engine does not say why" if why == NULL else (<bytes>why).decode()
            raise (RuntimeError if failed == -2 else ValueError)(f"{label(self)} cannot be restored: {text}")

    def close(self, force=False):
        """Ends the pool: its Buffers are dead, its memory is released. Closing again does nothing.

        Parameters
        ----------
        force : bool
            Close under live views too; the memory they show stays until the last is released.

        Raises
        ------
        BufferError
            Views are alive; nothing changed.
        RuntimeError
            Called from inside one of its callbacks, or while another thread is in a call that may run one.
        """
        if self.engine == NULL or self.is_closed:
            return
        pool_idle_or_raise(self)
        if self.views and not force:
            raise BufferError(
                f"{label(self)} has {self.views} live views of its Buffers: release them, "
                "or close(force=True) to let their memory go with the last")
        pool_shut(self)

    def __enter__(self):
        open_or_raise(self)
        return self

    def __exit__(self, kind, value, trace):
        # The frames of an exception on its way may keep views: it matters more than they do.
        self.close(kind is not None)

    def c_functions(self):
        """The pool for C code: the addresses of its struct and of five functions.

        Returns
        -------
        object
            With int attributes `pool`, `alloc`, `free`, `realloc`, `calloc`, `aligned`; its docstring has
            the prototypes. It keeps the pool alive.
        """
        cdef CFunctions functions
        pool_share(self)
        functions = CFunctions.__new__(CFunctions)
        functions.owner = self
        functions.pool = <uintptr_t>self.engine
        if pool_has_front(self.engine):
            functions.alloc = <uintptr_t>pool_front_alloc
            functions.free = <uintptr_t>pool_front_free
        else:
            functions.alloc = <uintptr_t>pool_c_alloc
            functions.free = <uintptr_t>pool_c_free
        functions.realloc = <uintptr_t>pool_c_realloc
        functions.calloc = <uintptr_t>pool_c_calloc
        functions.aligned = <uintptr_t>pool_c_aligned
        return functions


cdef int space_or_raise(Pool pool) except -1:
    if not pool.is_space:
        raise ValueError(
            f"{label(pool)} holds memory, which no snapshot can bring back; pools of an AddressSpace have snapshots")
    return 0


cdef int pool_idle_or_raise(Pool pool) except -1:
    if pool.callback_depth:
        raise RuntimeError(f"{label(pool)} cannot be closed from inside one of its callbacks")
    if pool.entries is not None and pool.calls:
        raise RuntimeError(f"{label(pool)} cannot be closed while another thread is in a call that may run a callback")
    return 0


# Pool.get with just a size and Pool.free of a Buffer, which is nearly every call. The general reading of arguments
# takes and drops a reference to every default, which costs more than the block. Both are leaves: what else there
# may be to do is a jump to the methods that Cython made, so that no register is saved.

cdef fastcall_t _get_made = NULL
cdef fastcall_t _get_other = <fastcall_t>get_other
cdef binary_t _free_made = NULL
cdef binary_t _free_other = free_other      # a pointer, so that it is not inlined


cdef PyObject *get_fast(PyObject *o, PyObject *const *args, Py_ssize_t count, PyObject *names) noexcept:
    # NULL with an exception set is what _get_made answers, and goes on as it is.
    cdef Py_ssize_t wanted
    cdef PyObject *buffer
    if count == 1 and names == NULL and (<Pool>o).is_bare:
        wanted = small_int(args[0])
        if wanted >= 0:
            buffer = bare_get(<Pool>o, <uint64_t>wanted)
            if buffer != NULL:
                Py_SET_REFCNT(buffer, 1)
                return buffer
            return _get_other(o, args, count, names)
    return _get_made(o, args, count, names)


cdef PyObject *get_other(PyObject *o, PyObject *const *args, Py_ssize_t count, PyObject *names) except NULL:
    # From another slab than the current one, most of all. What is refused now is refused again, and said why.
    cdef int refusal
    cdef PyObject *buffer = buffer_take_slow(<Pool>o, <uint64_t>small_int(args[0]), &refusal)
    return buffer if buffer != NULL else _get_made(o, args, count, names)


cdef PyObject *free_fast(PyObject *o, PyObject *block) noexcept:
    if Py_TYPE(block) == <void *>Buffer and owner_place(block)[0] == o and (<Pool>o).is_plain:
        if heap_free_held(heap_now((<Pool>o).engine), (<Pool>o).engine, &(<Buffer>block).hold):
            Py_INCREF(None)
            return <PyObject *>None
        return _free_other(o, block)
    return _free_made(o, block)


cdef PyObject *free_other(PyObject *o, PyObject *block) noexcept:
    # A Buffer of a full slab, most of all. What is no good free now is none the second time either.
    if pool_free_held((<Pool>o).engine, &(<Buffer>block).hold, 0) == VERDICT_LIVE:
        Py_INCREF(None)
        return <PyObject *>None
    return _free_made(o, block)


cdef int fast_install() except -1:
    """Puts both into Pool's table of methods, which every way of calling reads."""
    global _get_made, _free_made
    cdef method_t *method = (<type_t *>Pool).tp_methods
    while method != NULL and method.ml_name != NULL:
        if strcmp(method.ml_name, b"get") == 0 and method.ml_flags == METH_FASTCALL | METH_KEYWORDS:
            _get_made = <fastcall_t>method.ml_meth
            method.ml_meth = <void *>get_fast
        elif strcmp(method.ml_name, b"free") == 0 and method.ml_flags == METH_O:
            _free_made = <binary_t>method.ml_meth
            method.ml_meth = <void *>free_fast
        method += 1
    return 0


fast_install()

# Buffer's own tp_dealloc and tp_new, put in place while no Buffer exists. The class is final, so no
# subclass has inherited the others.
_buffer_dealloc_slow = buffer_dealloc_slow
_buffer_dealloc_made = (<type_t *>Buffer).tp_dealloc
_buffer_new_made = (<type_t *>Buffer).tp_new
_buffer_weak_offset = (<type_t *>Buffer).tp_weaklistoffset
(<type_t *>Buffer).tp_dealloc = buffer_dealloc
(<type_t *>Buffer).tp_new = buffer_new_refused
(<type_t *>Buffer).tp_vectorcall = NULL         # calling the type goes to tp_new
