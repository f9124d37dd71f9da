# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: binding=False, embedsignature=True, embedsignature.format=clinic, freethreading_compatible=True
# cython: auto_pickle=False
"""The Python edge: classes Pool and Buffer, where verdicts become exceptions. The parts that it includes come first,
then class Pool.

A Buffer embeds the `hold_t` that the engine registers as its block's holder, so a free through any door
makes the Buffer dead. Rules that keep Python safe:

* `Pool.is_plain` is the fast paths' one test: open, unlocked, untraced, under the GIL. Calls of such a pool
  run no Python. That of `get` is `is_bare`: and its Buffers are part of no cycle.
* A locked pool is called without the GIL, because a call may wait for a restore or a snapshot, and these for
  callbacks, which take it. Its memory may therefore go while this thread holds the GIL, so every access to a locked
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


# ---- The parts, in reading order ---------------------------------------------------------------

include "_argument.pxi"
include "_buffer.pxi"
include "_answer.pxi"
include "_call.pxi"
include "_sentence.pxi"
include "_request.pxi"


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
