"""The loops as other compiled modules start them."""
from libc.stdint cimport uint8_t, uint64_t, uintptr_t

ctypedef void *(*allocate_call)(uintptr_t, uintptr_t) noexcept nogil
ctypedef int (*free_call)(uintptr_t, uintptr_t) noexcept nogil
ctypedef void *(*three_call)(uintptr_t, uintptr_t, uintptr_t) noexcept nogil

cdef struct Calls:
    allocate_call allocate
    free_call free
    three_call reallocate   # NULL, like the two below: the contender has none
    three_call zeroed       # calloc(count, size)
    three_call aligned      # aligned(alignment, size)
    uintptr_t pool          # 0 for a bare contender
    uintptr_t bare          # all bits set for a bare contender, 0 for a pooled one

cdef struct Mark:           # what is known of a slot's block, where a loop needs more than its address
    uint8_t *base           # where the allocator's block begins: before an emulated aligned one
    uint64_t size
    uint8_t fill            # what checked_loop wrote into it

cdef struct Place:
    void **slots            # the table of live blocks
    Mark *marks             # one for each slot, or NULL where the loop needs none
    const uint8_t *alignments   # log2 for each word, from `words` on, or NULL
    const uint64_t *words
    uint64_t *counts        # histograms, one after the other, for the loops that time each call

# A loop returns the word that it could not replay, or `end`.
ctypedef const uint64_t *(*loop)(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil


cdef class Lane:
    """The words of one thread and all that they act on."""

    cdef Calls calls
    cdef Place place
    cdef readonly Py_ssize_t count
    cdef const uint8_t[::1] words
    cdef const uint8_t[::1] alignments
    cdef uint8_t[::1] slots
    cdef uint8_t[::1] marks
    cdef uint8_t[::1] counts

    cdef loop loop_find(self, str kind, str touch) except NULL
    cdef const uint64_t *word_at(self, Py_ssize_t index) except NULL
