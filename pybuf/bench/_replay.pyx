# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The loops that replay a trace through an allocator's function pointers.

Every contender runs through the same machine code, whichever of the two signatures it has:

* bare:   ``malloc(size)``, ``free(block)``, ``realloc(block, size)``
* pooled: ``alloc(pool, size)``, ``free(pool, block)``, ``realloc(pool, block, size)``

A call site fills as many argument registers as the longer signature has, with the pool or with the
first bare argument in the first of them; a bare function does not look at the last. So no contender
sits behind a wrapper, none is called a level deeper, and callgrind counts the same instructions for
each. This leans on the calling conventions of x86-64 and AArch64, which pass these arguments in
registers and leave them to the caller.

A trace word is described in ``traces.py``. Nothing here may be shared between threads.
"""
from libc.stdint cimport uint8_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memset

ctypedef void *(*allocate_call)(uintptr_t, uintptr_t) noexcept nogil
ctypedef int (*free_call)(uintptr_t, uintptr_t) noexcept nogil
ctypedef void *(*reallocate_call)(uintptr_t, uintptr_t, uintptr_t) noexcept nogil

cdef enum:
    ALLOCATE = 0
    FREE = 1
    OPERATION_BITS = 3
    SLOT_SHIFT = 2
    SLOT_BITS = 0x3FFFFFF
    SIZE_SHIFT = 28
    PAGE_BYTES = 4096

cdef struct Calls:
    allocate_call allocate
    free_call free
    reallocate_call reallocate
    uintptr_t pool      # 0 for a bare contender
    uintptr_t bare      # all bits set for a bare contender, 0 for a pooled one

cdef struct Mark:       # what checked_loop wrote into a block
    uint64_t size
    uint8_t fill

# A loop returns the word that it could not replay, or `end`.
ctypedef const uint64_t *(*loop)(
    const Calls *calls, const uint64_t *word, const uint64_t *end, void **slots, Mark *marks,
) noexcept nogil


cdef inline void *call_allocate(const Calls *calls, uintptr_t size) noexcept nogil:
    return calls.allocate((size & calls.bare) | calls.pool, size)


cdef inline void call_free(const Calls *calls, void *block) noexcept nogil:
    cdef uintptr_t address = <uintptr_t>block
    calls.free((address & calls.bare) | calls.pool, address)


cdef inline void *call_reallocate(const Calls *calls, void *block, uintptr_t size) noexcept nogil:
    cdef uintptr_t address = <uintptr_t>block
    cdef uintptr_t second = address ^ ((address ^ size) & calls.bare)   # the block, or the size if bare
    return calls.reallocate((address & calls.bare) | calls.pool, second, size)


cdef const uint64_t *line_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, void **slots, Mark *marks,
) noexcept nogil:
    """Touches the first line of every block, as any program does that asks for one."""
    cdef void **slot
    cdef uint64_t size
    while word != end:
        slot = slots + ((word[0] >> SLOT_SHIFT) & SLOT_BITS)
        if word[0] & OPERATION_BITS == FREE:
            call_free(calls, slot[0])
        else:
            size = word[0] >> SIZE_SHIFT
            if word[0] & OPERATION_BITS == ALLOCATE:
                slot[0] = call_allocate(calls, size)
            else:
                slot[0] = call_reallocate(calls, slot[0], size)
            if size:
                if slot[0] == NULL:
                    return word
                (<uint8_t *>slot[0])[0] = 1
        word += 1
    return end


cdef const uint64_t *page_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, void **slots, Mark *marks,
) noexcept nogil:
    """Touches every page of every block: what is live is then resident, and the rest is waste."""
    cdef void **slot
    cdef uint64_t size, offset
    while word != end:
        slot = slots + ((word[0] >> SLOT_SHIFT) & SLOT_BITS)
        if word[0] & OPERATION_BITS == FREE:
            call_free(calls, slot[0])
        else:
            size = word[0] >> SIZE_SHIFT
            if word[0] & OPERATION_BITS == ALLOCATE:
                slot[0] = call_allocate(calls, size)
            else:
                slot[0] = call_reallocate(calls, slot[0], size)
            if size:
                if slot[0] == NULL:
                    return word
                offset = 0
                while offset < size:
                    (<uint8_t *>slot[0])[offset] = 1
                    offset += PAGE_BYTES
                (<uint8_t *>slot[0])[size - 1] = 1
        word += 1
    return end


cdef inline bint is_filled(const uint8_t *block, uint64_t size, uint8_t fill) noexcept nogil:
    # Each byte equals the one before it, and the first is the fill.
    return size == 0 or (block[0] == fill and memcmp(block, block + 1, size - 1) == 0)


cdef const uint64_t *checked_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, void **slots, Mark *marks,
) noexcept nogil:
    """Fills every block; before a free and after a reallocation it must still be as it was filled."""
    cdef uint64_t number, size
    cdef Mark *mark
    while word != end:
        number = (word[0] >> SLOT_SHIFT) & SLOT_BITS
        mark = marks + number
        if word[0] & OPERATION_BITS == FREE:
            if not is_filled(<uint8_t *>slots[number], mark.size, mark.fill):
                return word
            call_free(calls, slots[number])
        else:
            size = word[0] >> SIZE_SHIFT
            if word[0] & OPERATION_BITS == ALLOCATE:
                slots[number] = call_allocate(calls, size)
                mark.size = 0
            else:
                slots[number] = call_reallocate(calls, slots[number], size)
            if size and slots[number] == NULL:
                return word
            if not is_filled(<uint8_t *>slots[number], min(size, mark.size), mark.fill):
                return word
            # Neighbours in address or in time differ in their fill.
            mark.fill = <uint8_t>((number * 31 + (<uintptr_t>word >> 3) * 7) | 1)
            mark.size = size
            if size:
                memset(slots[number], mark.fill, size)
        word += 1
    return end


cdef loop[3] LOOPS
LOOPS[0], LOOPS[1], LOOPS[2] = line_loop, page_loop, checked_loop
MARK_BYTES = sizeof(Mark)


def replay(functions, const uint8_t[::1] words, uint8_t[::1] slots, uint8_t[::1] marks,
           Py_ssize_t first, Py_ssize_t last, str touch, bint is_gil_held):
    """Replay the words ``first`` to ``last`` of a trace.

    functions    (malloc, free, realloc, pool): addresses, ``pool`` None for the bare signature
    words        the trace, 8 bytes a word
    slots        the table of live blocks, 8 bytes a slot; carries from one call to the next
    marks        MARK_BYTES a slot for ``touch="check"``, else empty
    touch        "line": the first byte of each block; "page": every page; "check": all bytes, verified
    is_gil_held  call with the GIL held, as pymalloc needs

    Returns the index of the word that failed, because no memory came or because a block was not as it
    was left, or ``last``.
    """
    cdef int which = ("line", "page", "check").index(touch)
    cdef Calls calls
    cdef const uint64_t *base = <const uint64_t *>&words[0]
    cdef const uint64_t *stopped
    cdef void **table = <void **>&slots[0]
    cdef Mark *written = <Mark *>&marks[0] if which == 2 else NULL
    if not 0 <= first <= last <= words.shape[0] // 8:
        raise IndexError(f"words {first} to {last} of {words.shape[0] // 8}")
    malloc, free, realloc, pool = functions
    calls.allocate = <allocate_call><uintptr_t>malloc
    calls.free = <free_call><uintptr_t>free
    calls.reallocate = <reallocate_call><uintptr_t>realloc
    calls.pool = 0 if pool is None else <uintptr_t>pool
    calls.bare = <uintptr_t>-1 if pool is None else 0
    if is_gil_held:
        stopped = LOOPS[which](&calls, base + first, base + last, table, written)
    else:
        with nogil:
            stopped = LOOPS[which](&calls, base + first, base + last, table, written)
    return stopped - base


# The empty harness: what the loop itself costs. Every block is the same page, and nothing is freed.
cdef uint8_t[2 * PAGE_BYTES] scratch


cdef void *empty_allocate(uintptr_t first, uintptr_t size) noexcept nogil:
    return scratch


cdef int empty_free(uintptr_t first, uintptr_t block) noexcept nogil:
    return 0


cdef void *empty_reallocate(uintptr_t first, uintptr_t second, uintptr_t size) noexcept nogil:
    return scratch


def empty_functions():
    """Addresses (malloc, free, realloc) of functions that do nothing, for either signature."""
    return <uintptr_t>&empty_allocate, <uintptr_t>&empty_free, <uintptr_t>&empty_reallocate
