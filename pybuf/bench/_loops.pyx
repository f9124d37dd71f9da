# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Compiled loops that time an allocator through its two function pointers.

Every loop exists once and is compiled for two signatures, so that all contenders are called at the
same depth and none through a wrapper:

* one argument: ``void *alloc(size_t)``, ``void free(void *)``;
* two arguments: ``void *alloc(void *pool, size_t)``, ``int free(void *pool, void *block)``.

Each allocation is followed by a one-byte store into the block. A loop returns a `Timing`-like pair
``(wall_ns, cpu_ns)`` of the timed part, per call, not per block; a ratio of the two above 1.02 says
that something else had the processor.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free as libc_free, malloc as libc_malloc
from posix.time cimport CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

cdef extern from "floors.h" nogil:
    struct floor_pool:
        pass
    floor_pool *floor_pool_open(size_t size, size_t capacity_bytes)
    void floor_pool_close(floor_pool *pool)
    void *floor_empty_alloc(void *pool, size_t size)
    int floor_empty_free(void *pool, void *block)
    void *floor_intrusive_alloc(void *pool, size_t size)
    int floor_intrusive_free(void *pool, void *block)
    void *floor_validated_alloc(void *pool, size_t size)
    int floor_validated_free(void *pool, void *block)

ctypedef void *(*bare_alloc)(size_t) noexcept nogil
ctypedef void (*bare_free)(void *) noexcept nogil
ctypedef void *(*pooled_alloc)(void *, size_t) noexcept nogil
ctypedef int (*pooled_free)(void *, void *) noexcept nogil

ctypedef struct Bare:
    bare_alloc alloc
    bare_free free

ctypedef struct Pooled:
    pooled_alloc alloc
    pooled_free free
    void *pool

# The one source: `Calls is Pooled` is decided when the loop is compiled.
ctypedef fused Calls:
    Bare
    Pooled


cdef inline void *call_alloc(Calls *calls, size_t size) noexcept nogil:
    if Calls is Pooled:
        return calls.alloc(calls.pool, size)
    else:
        return calls.alloc(size)


cdef inline int call_free(Calls *calls, void *block) noexcept nogil:
    if Calls is Pooled:
        return calls.free(calls.pool, block)
    else:
        calls.free(block)
        return 0


cdef class Callee:
    """An allocator as two addresses: ``Callee(name, alloc, free, pool=None, owner=None)``.

    ``pool`` None means the one-argument signature. ``owner`` is kept alive as long as the callee.
    """
    cdef readonly str name
    cdef readonly object owner
    cdef readonly bint is_pooled
    cdef Bare bare
    cdef Pooled pooled

    def __init__(self, str name, alloc, free, pool=None, owner=None):
        self.name = name
        self.owner = owner
        self.is_pooled = pool is not None
        if self.is_pooled:
            self.pooled.alloc = <pooled_alloc><uintptr_t>alloc
            self.pooled.free = <pooled_free><uintptr_t>free
            self.pooled.pool = <void *><uintptr_t>pool
        else:
            self.bare.alloc = <bare_alloc><uintptr_t>alloc
            self.bare.free = <bare_free><uintptr_t>free

    def __repr__(self):
        return f"Callee({self.name!r})"

    def alloc(self, size_t size):
        """One allocation, as an int address (0 when refused)."""
        if self.is_pooled:
            return <uintptr_t>call_alloc(&self.pooled, size)
        return <uintptr_t>call_alloc(&self.bare, size)

    def free(self, uintptr_t address):
        """One free; the verdict, or 0 for the one-argument signature."""
        if self.is_pooled:
            return call_free(&self.pooled, <void *>address)
        return call_free(&self.bare, <void *>address)


cdef class FloorPool:
    """Owns the memory of a floor; see floors.h."""
    cdef floor_pool *pool

    def __cinit__(self, size_t size, size_t capacity_bytes):
        if not 1024 <= size <= 65536:
            raise ValueError(f"block size {size}: a floor serves 1024 to 65536 bytes")
        self.pool = floor_pool_open(size, capacity_bytes)
        if self.pool == NULL:
            raise MemoryError(f"no {capacity_bytes} bytes for a floor")

    def __dealloc__(self):
        floor_pool_close(self.pool)


def floor(str name, size_t size, size_t capacity_bytes=1 << 28):
    """The floor F0, F1 or F3 as a `Callee` for blocks of ``size`` bytes."""
    cdef FloorPool owner = FloorPool(size, capacity_bytes)
    cdef uintptr_t pool = <uintptr_t>owner.pool
    if name == "F0":
        return Callee(name, <uintptr_t>&floor_empty_alloc, <uintptr_t>&floor_empty_free, pool, owner)
    if name == "F1":
        return Callee(name, <uintptr_t>&floor_intrusive_alloc, <uintptr_t>&floor_intrusive_free, pool, owner)
    if name == "F3":
        return Callee(name, <uintptr_t>&floor_validated_alloc, <uintptr_t>&floor_validated_free, pool, owner)
    raise ValueError(f"floor {name!r}: expected F0, F1 or F3")


ctypedef struct Clock:
    int64_t wall_ns
    int64_t cpu_ns


cdef inline int64_t clock_ns(int which) noexcept nogil:
    cdef timespec now
    clock_gettime(which, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


# The slow system call for processor time stays outside the wall interval.
cdef inline void clock_start(Clock *clock) noexcept nogil:
    clock.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    clock.wall_ns = clock_ns(CLOCK_MONOTONIC)


cdef inline void clock_stop(Clock *clock) noexcept nogil:
    clock.wall_ns = clock_ns(CLOCK_MONOTONIC) - clock.wall_ns
    clock.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - clock.cpu_ns


# A verdict that is not 0 in any free shows in the returned OR.
cdef int pair_loop(Calls *calls, size_t size, uint64_t count) noexcept nogil:
    cdef Calls here = calls[0]
    cdef uint8_t *block
    cdef int verdicts = 0
    while count:
        block = <uint8_t *>call_alloc(&here, size)
        block[0] = 1
        verdicts |= call_free(&here, block)
        count -= 1
    return verdicts


cdef class Pair:
    """LIFO pairs of one size beside ``neighbours`` live blocks of the same size."""
    cdef Callee callee
    cdef size_t size
    cdef list neighbours

    def __init__(self, Callee callee, size_t size, size_t neighbours=64):
        cdef size_t number
        self.callee = callee
        self.size = size
        self.neighbours = []
        for number in range(neighbours):
            address = callee.alloc(size)
            if not address:
                raise MemoryError(f"{callee.name}: no block {number} of {size} bytes")
            self.neighbours.append(address)

    def run(self, uint64_t count):
        """``count`` pairs; returns ``(wall_ns, cpu_ns)``."""
        cdef Clock clock
        cdef int verdicts
        with nogil:
            clock_start(&clock)
            if self.callee.is_pooled:
                verdicts = pair_loop(&self.callee.pooled, self.size, count)
            else:
                verdicts = pair_loop(&self.callee.bare, self.size, count)
            clock_stop(&clock)
        if verdicts:
            raise RuntimeError(f"{self.callee.name}: free answered {verdicts}")
        return clock.wall_ns, clock.cpu_ns

    def close(self):
        """Frees the neighbours."""
        for address in self.neighbours:
            if self.callee.free(address):
                raise RuntimeError(f"{self.callee.name}: a neighbour was not live")
        self.neighbours.clear()
