"""An allocator behind a wrapper that does some work on every 64th call: a slowdown of a known size.

The wrapper has the signature of a pooled contender and calls the bare functions it is made of. Without work it
is the same code with a loop of no turns, so that what is slowed and what it is compared with are called at
one depth. The work is a chain of multiplications whose result, always 0, is added to what the wrapped function is
called with: the processor cannot begin the call before the work is done.

A wrapper is not thread-safe: its counter is one for all that it calls.
"""
from libc.stdint cimport uint64_t, uintptr_t

ctypedef void *(*one_argument)(uintptr_t) noexcept nogil
ctypedef void (*free_argument)(uintptr_t) noexcept nogil
ctypedef void *(*two_arguments)(uintptr_t, uintptr_t) noexcept nogil

cdef enum:
    EVERY_CALLS = 64
    FACTOR = 0x9E3779B1

EVERY = <int>EVERY_CALLS

cdef struct Wrapped:
    one_argument malloc
    free_argument free
    two_arguments realloc
    two_arguments calloc
    two_arguments aligned
    uint64_t calls
    uint64_t work           # multiplications on every 64th call
    uint64_t nothing        # 0, which the compiler does not know


cdef inline uintptr_t worked(Wrapped *wrapped) noexcept nogil:
    """0, on every 64th call after the work."""
    cdef uint64_t left, value
    wrapped.calls += 1
    if wrapped.calls % EVERY_CALLS:
        return 0
    value = wrapped.nothing
    left = wrapped.work
    while left:
        value *= FACTOR
        left -= 1
    return <uintptr_t>value


cdef void *planted_malloc(uintptr_t pool, uintptr_t size) noexcept nogil:
    cdef Wrapped *wrapped = <Wrapped *>pool
    return wrapped.malloc(size + worked(wrapped))


cdef int planted_free(uintptr_t pool, uintptr_t block) noexcept nogil:
    cdef Wrapped *wrapped = <Wrapped *>pool
    wrapped.free(block + worked(wrapped))
    return 0


cdef void *planted_realloc(uintptr_t pool, uintptr_t block, uintptr_t size) noexcept nogil:
    cdef Wrapped *wrapped = <Wrapped *>pool
    return wrapped.realloc(block, size + worked(wrapped))


cdef void *planted_calloc(uintptr_t pool, uintptr_t count, uintptr_t size) noexcept nogil:
    cdef Wrapped *wrapped = <Wrapped *>pool
    return wrapped.calloc(count, size + worked(wrapped))


cdef void *planted_aligned(uintptr_t pool, uintptr_t alignment, uintptr_t size) noexcept nogil:
    cdef Wrapped *wrapped = <Wrapped *>pool
    return wrapped.aligned(alignment, size + worked(wrapped))


cdef class Planted:
    """The wrapper of one allocator.

    functions   addresses (malloc, free, realloc, calloc, aligned), 0 where the allocator has none
    work        multiplications on every 64th call, 0 for the wrapper alone

    ``addresses`` are those of the wrapper's functions in the same order, to be called with ``pool`` first;
    ``calls`` is how often they were. All live as long as this object. ValueError: malloc or free is 0.
    """

    cdef Wrapped wrapped
    cdef readonly tuple addresses

    def __init__(self, functions, uint64_t work):
        malloc, free, realloc, calloc, aligned = functions
        if not malloc or not free:
            raise ValueError("an allocator without malloc or free cannot be wrapped")
        self.wrapped.malloc = <one_argument><uintptr_t>malloc
        self.wrapped.free = <free_argument><uintptr_t>free
        self.wrapped.realloc = <two_arguments><uintptr_t>realloc
        self.wrapped.calloc = <two_arguments><uintptr_t>calloc
        self.wrapped.aligned = <two_arguments><uintptr_t>aligned
        self.wrapped.calls = 0
        self.wrapped.work = work
        self.wrapped.nothing = 0
        self.addresses = (
            <uintptr_t>&planted_malloc,
            <uintptr_t>&planted_free,
            <uintptr_t>&planted_realloc if realloc else 0,
            <uintptr_t>&planted_calloc if calloc else 0,
            <uintptr_t>&planted_aligned if aligned else 0,
        )

    @property
    def pool(self):
        """The address that the functions are called with."""
        return <uintptr_t>&self.wrapped

    @property
    def calls(self):
        """How often the functions were called."""
        return self.wrapped.calls
