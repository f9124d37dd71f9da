"""Pool and Buffer for code that is compiled: blocks as Buffers and as addresses, with refusals and verdicts in place
of exceptions. All of it is called with the GIL, for a Pool whose __init__ ran; a subclass' methods are not asked.

The attributes are the Python edge's own and may change; what __init__.pxd names stays.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from poolcore._types cimport hold_t, pool_t, slab_t


cdef class Pool:
    cdef pool_t *engine         # NULL until __init__ is through
    cdef slab_t *guess          # where the last get found its block, see heap_get
    cdef bint is_plain          # see the top of _python.pyx
    cdef bint is_bare           # plain, and its Buffers need no tracking
    cdef bint is_cyclic         # may be part of a reference cycle
    cdef bint is_locked
    cdef bint is_space
    cdef bint is_traced
    cdef readonly bint is_closed
    """Whether `close` was called."""
    cdef bint is_unmapped
    cdef bint is_low_memory_sized
    cdef int on_drop
    cdef int callback_depth     # callbacks that run now, in all threads
    cdef int64_t views
    cdef int64_t calls          # of this pool without the GIL that run now, in all threads
    cdef uint64_t dropped
    cdef readonly str name
    """The name it was given."""
    cdef readonly tuple policies
    """The policies that act, those of POOLCORE included."""
    cdef object memory          # memoryview of the caller's buffer
    cdef object on_map
    cdef object on_unmap
    cdef object on_copy
    cdef object on_low_memory
    cdef dict entries           # see callbacks; None in pools without
    cdef object __weakref__


@cython.final
@cython.no_gc_clear
cdef class Buffer:
    cdef hold_t hold            # slab is NULL: dead
    cdef Pool owner
    cdef bint is_tracked        # by the garbage collector
    cdef object __weakref__


# A live Buffer of `size` bytes, a new reference. NULL without an exception: refused, and `refusal` says why; with one:
# a callback of the pool raised it.
cdef PyObject *buffer_take(Pool pool, uint64_t size, int *refusal) except? NULL
# Frees a Buffer's block: a verdict. Any Buffer may be given; OTHER_POOL, or FOREIGN, is one of another pool.
cdef int buffer_give(Pool pool, Buffer buffer, int flags) noexcept
# The same by address. 0: refused, as above.
cdef uint64_t address_take(Pool pool, uint64_t size, uint64_t alignment, int flags, int *refusal) except? 0
cdef int address_give(Pool pool, uint64_t address, int flags) noexcept
# A Buffer for the LIVE block at an address; None: there is no such block, or a Buffer has it.
cdef object buffer_adopt(Pool pool, uint64_t address)
# The engine's struct, as long as only code that holds the GIL asks it anything.
cdef pool_t *pool_engine(Pool pool) except NULL
# From now on code without the GIL may allocate and free, too.
cdef pool_t *pool_share(Pool pool) except NULL
# RuntimeError: a callback of the pool runs, or a call that may run one, so that it cannot be closed.
cdef int pool_idle_or_raise(Pool pool) except -1


cdef inline uint64_t buffer_address(Buffer buffer) noexcept:
    """Where a Buffer's block is; 0 once it is dead."""
    return 0 if buffer.hold.slab == NULL else buffer.hold.address


cdef inline uint64_t buffer_last_address(Buffer buffer) noexcept:
    """Where a Buffer's block is, or was."""
    return buffer.hold.address
