# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The loops that replay words, recorded or drawn, through an allocator's function pointers.

Every contender runs through the same machine code, whichever of the two signatures it has:

* bare:   ``malloc(size)``, ``free(block)``, ``realloc(block, size)``, ``calloc(count, size)``,
  ``aligned(alignment, size)``
* pooled: the same behind the pool, ``alloc(pool, size)`` and so on

A call site fills as many argument registers as the longer signature has, with the pool or with the
first bare argument in the first of them; a bare function does not look at the last. So no contender
sits behind a wrapper, none is called a level deeper, and callgrind counts the same instructions for
each. This leans on the calling conventions of x86-64 and AArch64, which pass these arguments in
registers and leave them to the caller.

There are four kinds of loop. ``plain`` allocates, frees and reallocates, nothing else: times are taken
with it. ``full`` also knows zeroed and aligned allocations, and does what the contender lacks by allocating,
copying and freeing. ``latency`` is full with a look at the clock before and after each call. ``check`` is full
and fills every block, and verifies it before it goes.

A word is described in ``traces.py``. Nothing here may be
shared between threads, except as ``_workloads`` hands it from one to the other.
"""
from array import array

from libc.stdint cimport int64_t, uint8_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memcpy, memset

from pybuf.bench.recordings._word cimport (
    ALLOCATE,
    FREE,
    OPERATION_BITS,
    REALLOCATE,
    SIZE_SHIFT,
    SLOT_BITS,
    SLOT_SHIFT,
    ZEROED,
)

# The clock's own call: there is none in the C library of Windows.
cdef extern from * nogil:
    """
    #include <stdint.h>
    #ifdef _WIN32
    #include <windows.h>
    static int64_t replay_now_ns(void) {
        LARGE_INTEGER count, rate;
        QueryPerformanceFrequency(&rate);
        QueryPerformanceCounter(&count);
        return (int64_t)((double)count.QuadPart * 1e9 / (double)rate.QuadPart);
    }
    #else
    #include <time.h>
    static int64_t replay_now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    #endif
    static inline unsigned replay_log2(uint64_t value) {
        unsigned bits = 0;
        while (value >>= 1)
            bits++;
        return bits;
    }
    """
    int64_t replay_now_ns()
    unsigned replay_log2(uint64_t value)

cdef enum:
    PAGE_BYTES = 4096
    PLAIN_ALIGNMENT = 4     # log2 of what every allocation has anyway
    SCRATCH_BYTES = 1 << 26

cdef enum:
    EXACT_NS = 64           # histograms: below it each nanosecond has a count of its own
    STEPS = 32              # from there on, this many for each doubling
    STEPS_SHIFT = 5
    DOUBLINGS = 34          # up to 2**40 ns
    COUNTS = EXACT_NS + STEPS * DOUBLINGS
    TIMED = 3               # histograms: of allocations, of frees, of reallocations

# How a block is touched is decided when a loop is compiled: each is compiled for the three.
ctypedef struct Line:
    int nothing

ctypedef struct Page:
    int nothing

ctypedef struct All:
    int nothing

ctypedef fused Touch:
    Line
    Page
    All


cdef inline void *call_allocate(const Calls *calls, uintptr_t size) noexcept nogil:
    return calls.allocate((size & calls.bare) | calls.pool, size)


cdef inline int call_free(const Calls *calls, void *block) noexcept nogil:
    cdef uintptr_t address = <uintptr_t>block
    return calls.free((address & calls.bare) | calls.pool, address)


# first, second are what the bare function is called with.
cdef inline void *call_three(const Calls *calls, three_call call, uintptr_t first, uintptr_t second) noexcept nogil:
    cdef uintptr_t middle = first ^ ((first ^ second) & calls.bare)     # the first, or the second if bare
    return call((first & calls.bare) | calls.pool, middle, second)


cdef inline void touch(Touch *how, void *block, uint64_t size) noexcept nogil:
    cdef uint64_t offset = 0
    if Touch is Line:
        (<uint8_t *>block)[0] = 1
    elif Touch is Page:
        while offset < size:
            (<uint8_t *>block)[offset] = 1
            offset += PAGE_BYTES
        (<uint8_t *>block)[size - 1] = 1
    else:
        memset(block, 1, size)


cdef inline const uint64_t *plain(
    Touch *how, const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    cdef void **slots = place.slots
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
                slot[0] = call_three(calls, calls.reallocate, <uintptr_t>slot[0], size)
            if size:
                if slot[0] == NULL:
                    return word
                touch(how, slot[0], size)
        word += 1
    return end


# ---- what a contender may lack -------------------------------------------------------------

cdef inline void *make(const Calls *calls, const uint64_t *word, const Place *place, Mark *mark) noexcept nogil:
    """The block of an allocation of any kind; its base goes into the mark."""
    cdef uint64_t size = word[0] >> SIZE_SHIFT
    cdef uint64_t alignment
    cdef unsigned shift = 0 if place.alignments == NULL else place.alignments[word - place.words]
    cdef uint8_t *block
    if shift > PLAIN_ALIGNMENT:
        alignment = <uint64_t>1 << shift
        if calls.aligned != NULL:
            block = mark.base = <uint8_t *>call_three(calls, calls.aligned, alignment, size)
        else:
            block = mark.base = <uint8_t *>call_allocate(calls, size + alignment - 1)
            block += -<uintptr_t>block & (alignment - 1)
    elif word[0] & OPERATION_BITS == ZEROED and calls.zeroed != NULL:
        block = mark.base = <uint8_t *>call_three(calls, calls.zeroed, 1, size)
        return block
    else:
        block = mark.base = <uint8_t *>call_allocate(calls, size)
    if word[0] & OPERATION_BITS == ZEROED and block != NULL:
        memset(block, 0, size)
    return block


cdef inline void *remake(const Calls *calls, void *block, uint64_t size, Mark *mark) noexcept nogil:
    """The block of a reallocation; the mark still has the old size."""
    cdef void *new_block
    if calls.reallocate != NULL and mark.base == block:
        mark.base = <uint8_t *>call_three(calls, calls.reallocate, <uintptr_t>block, size)
        return mark.base
    new_block = call_allocate(calls, size)
    if new_block != NULL:
        memcpy(new_block, block, min(size, mark.size))
    call_free(calls, mark.base)
    mark.base = <uint8_t *>new_block
    return new_block


cdef inline const uint64_t *full(
    Touch *how, const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    cdef uint64_t number, size
    cdef void **slot
    cdef Mark *mark
    while word != end:
        number = (word[0] >> SLOT_SHIFT) & SLOT_BITS
        slot = place.slots + number
        mark = place.marks + number
        if word[0] & OPERATION_BITS == FREE:
            call_free(calls, mark.base)
        else:
            size = word[0] >> SIZE_SHIFT
            if word[0] & OPERATION_BITS == REALLOCATE:
                slot[0] = remake(calls, slot[0], size, mark)
            else:
                slot[0] = make(calls, word, place, mark)
            mark.size = size
            if size:
                if slot[0] == NULL:
                    return word
                touch(how, slot[0], size)
        word += 1
    return end


cdef inline uint64_t count_of(uint64_t ns) noexcept nogil:
    """Which count of a histogram a time belongs to."""
    cdef unsigned shift
    if ns < EXACT_NS:
        return ns
    shift = replay_log2(ns) - STEPS_SHIFT
    return min(EXACT_NS + ((shift - 1) << STEPS_SHIFT) + (ns >> shift) - STEPS, <uint64_t>(COUNTS - 1))


cdef inline const uint64_t *latency(
    Touch *how, const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    """Times each call with the touch of its block: a page that only then becomes one is waited for there."""
    cdef uint64_t number, size, which
    cdef int64_t start
    cdef void **slot
    cdef Mark *mark
    while word != end:
        number = (word[0] >> SLOT_SHIFT) & SLOT_BITS
        slot = place.slots + number
        mark = place.marks + number
        size = word[0] >> SIZE_SHIFT
        if word[0] & OPERATION_BITS == FREE:
            which = 1
            start = replay_now_ns()
            call_free(calls, mark.base)
        else:
            which = 2 if word[0] & OPERATION_BITS == REALLOCATE else 0
            start = replay_now_ns()
            if which:
                slot[0] = remake(calls, slot[0], size, mark)
            else:
                slot[0] = make(calls, word, place, mark)
            if size:
                if slot[0] == NULL:
                    return word
                touch(how, slot[0], size)
            mark.size = size
        place.counts[which * COUNTS + count_of(<uint64_t>(replay_now_ns() - start))] += 1
        word += 1
    return end


cdef inline bint is_filled(const uint8_t *block, uint64_t size, uint8_t fill) noexcept nogil:
    # Each byte equals the one before it, and the first is the fill.
    return size == 0 or (block[0] == fill and memcmp(block, block + 1, size - 1) == 0)


cdef inline uint64_t aligned_to(uint64_t size) noexcept nogil:
    # What any object of that size needs: C's strictest, or the largest power of two that fits into it, if that is less.
    return 16 if size >= 16 else 8 if size >= 8 else 1


cdef const uint64_t *checked_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    """Fills every block; before a free and after a reallocation it must still be as it was filled.

    Every block must have the alignment that was asked for, and what an object of its size needs.
    """
    cdef uint64_t number, size
    cdef void **slot
    cdef Mark *mark
    cdef unsigned shift
    while word != end:
        number = (word[0] >> SLOT_SHIFT) & SLOT_BITS
        slot = place.slots + number
        mark = place.marks + number
        if word[0] & OPERATION_BITS == FREE:
            if not is_filled(<uint8_t *>slot[0], mark.size, mark.fill):
                return word
            if call_free(calls, mark.base) & ~calls.bare:   # a pool's verdict
                return word
        else:
            size = word[0] >> SIZE_SHIFT
            if word[0] & OPERATION_BITS == REALLOCATE:
                slot[0] = remake(calls, slot[0], size, mark)
            else:
                slot[0] = make(calls, word, place, mark)
                mark.size = 0
                shift = 0 if place.alignments == NULL else place.alignments[word - place.words]
                if <uintptr_t>slot[0] & ((<uintptr_t>1 << shift) - 1):
                    return word
            if size and slot[0] == NULL:
                return word
            if <uintptr_t>slot[0] & (aligned_to(size) - 1):
                return word
            if not is_filled(<uint8_t *>slot[0], min(size, mark.size), mark.fill):
                return word
            if word[0] & OPERATION_BITS == ZEROED and not is_filled(<uint8_t *>slot[0], size, 0):
                return word
            # Neighbours in address or in time differ in their fill.
            mark.fill = <uint8_t>((number * 31 + (<uintptr_t>word >> 3) * 7) | 1)
            mark.size = size
            if size:
                memset(slot[0], mark.fill, size)
        word += 1
    return end


def least_alignment(uint64_t size):
    """What a block of ``size`` bytes must be aligned to, if nobody asks for more."""
    return aligned_to(size)


# ---- the loops by name ---------------------------------------------------------------------

cdef const uint64_t *line_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    return plain[Line](NULL, calls, word, end, place)


cdef const uint64_t *page_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    return plain[Page](NULL, calls, word, end, place)


cdef const uint64_t *all_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    return plain[All](NULL, calls, word, end, place)


cdef const uint64_t *full_line_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    return full[Line](NULL, calls, word, end, place)


cdef const uint64_t *full_page_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    return full[Page](NULL, calls, word, end, place)


cdef const uint64_t *full_all_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    return full[All](NULL, calls, word, end, place)


cdef const uint64_t *latency_line_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    return latency[Line](NULL, calls, word, end, place)


cdef const uint64_t *latency_page_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    return latency[Page](NULL, calls, word, end, place)


cdef const uint64_t *latency_all_loop(
    const Calls *calls, const uint64_t *word, const uint64_t *end, const Place *place,
) noexcept nogil:
    return latency[All](NULL, calls, word, end, place)


KINDS = ("plain", "full", "latency", "check")
TOUCHES = ("line", "page", "all")
MARK_BYTES = sizeof(Mark)
HISTOGRAM_BYTES = TIMED * COUNTS * sizeof(uint64_t)

cdef loop[12] LOOPS
LOOPS[0], LOOPS[1], LOOPS[2] = line_loop, page_loop, all_loop
LOOPS[3], LOOPS[4], LOOPS[5] = full_line_loop, full_page_loop, full_all_loop
LOOPS[6], LOOPS[7], LOOPS[8] = latency_line_loop, latency_page_loop, latency_all_loop
LOOPS[9] = LOOPS[10] = LOOPS[11] = checked_loop


cdef class Lane:
    """``Lane(functions, words, slots, marks, alignments=None, counts=None)``: one thread's words and what they act on.

    functions    (malloc, free, realloc, pool) or (malloc, free, realloc, pool, calloc, aligned): addresses,
                 0 for what the contender lacks, ``pool`` None for the bare signature
    words        8 bytes a word
    slots        the table of live blocks, 8 bytes a slot; carries from one call to the next
    marks        MARK_BYTES a slot, for every kind but "plain"
    alignments   log2 for each word, a byte each
    counts       HISTOGRAM_BYTES, for the kind "latency"

    ``count`` is the number of words. Buffers are kept alive; two lanes may share slots and marks.
    """

    def __init__(
        self, functions, const uint8_t[::1] words, uint8_t[::1] slots, uint8_t[::1] marks,
        const uint8_t[::1] alignments=None, uint8_t[::1] counts=None,
    ):
        malloc, free, realloc, pool, *rest = functions
        calloc, aligned = rest or (0, 0)
        self.words, self.slots, self.marks, self.alignments, self.counts = words, slots, marks, alignments, counts
        self.count = words.shape[0] // 8
        self.calls.allocate = <allocate_call><uintptr_t>malloc
        self.calls.free = <free_call><uintptr_t>free
        self.calls.reallocate = <three_call><uintptr_t>realloc
        self.calls.zeroed = <three_call><uintptr_t>calloc
        self.calls.aligned = <three_call><uintptr_t>aligned
        self.calls.pool = 0 if pool is None else <uintptr_t>pool
        self.calls.bare = <uintptr_t>-1 if pool is None else 0
        self.place.words = <const uint64_t *>&words[0] if self.count else NULL
        self.place.slots = <void **>&slots[0] if slots.shape[0] else NULL
        self.place.marks = <Mark *>&marks[0] if marks is not None and marks.shape[0] else NULL
        self.place.alignments = &alignments[0] if alignments is not None and alignments.shape[0] else NULL
        self.place.counts = <uint64_t *>&counts[0] if counts is not None else NULL
        if alignments is not None and alignments.shape[0] and alignments.shape[0] < self.count:
            raise ValueError(f"{alignments.shape[0]} alignments for {self.count} words")
        if counts is not None and counts.shape[0] < <Py_ssize_t>HISTOGRAM_BYTES:
            raise ValueError(f"{counts.shape[0]} bytes of counts: expected {HISTOGRAM_BYTES}")

    cdef loop loop_find(self, str kind, str touch) except NULL:
        if kind != "plain" and self.place.marks == NULL:
            raise ValueError(f"the loop {kind!r} needs marks")
        if kind == "latency" and self.place.counts == NULL:
            raise ValueError("the loop 'latency' needs counts")
        return LOOPS[3 * KINDS.index(kind) + TOUCHES.index(touch)]

    cdef const uint64_t *word_at(self, Py_ssize_t index) except NULL:
        if not 0 <= index <= self.count:
            raise IndexError(f"word {index} of {self.count}")
        return self.place.words + index

    def play(self, Py_ssize_t first, Py_ssize_t last, str kind, str touch, bint is_gil_held=False, int64_t repeats=1):
        """Replay the words ``first`` to ``last``, ``repeats`` times, in this thread.

        kind, touch  of KINDS and TOUCHES
        is_gil_held  call with the GIL held, as pymalloc needs

        Returns the index of the word that failed, because no memory came or because a block was not as it
        was left, or ``last``. IndexError, ValueError: the words or the loop's own tables are not there.
        """
        cdef loop run = self.loop_find(kind, touch)
        cdef const uint64_t *start
        cdef const uint64_t *end
        cdef const uint64_t *stopped
        if first > last:
            raise IndexError(f"words {first} to {last} of {self.count}")
        if first == last:
            return last
        start, end = self.word_at(first), self.word_at(last)
        stopped = end
        if is_gil_held:
            while repeats > 0 and stopped == end:
                stopped = run(&self.calls, start, end, &self.place)
                repeats -= 1
        else:
            with nogil:
                while repeats > 0 and stopped == end:
                    stopped = run(&self.calls, start, end, &self.place)
                    repeats -= 1
        return stopped - self.place.words


def replay(functions, const uint8_t[::1] words, uint8_t[::1] slots, uint8_t[::1] marks,
           Py_ssize_t first, Py_ssize_t last, str touch, bint is_gil_held):
    """Replay the words ``first`` to ``last`` once: `Lane.play` of a lane made for it.

    ``touch`` "line", "page", "all", or "check": all bytes, verified.
    """
    cdef Lane lane = Lane(functions, words, slots, marks)
    if touch == "check":
        return lane.play(first, last, "check", "line", is_gil_held)
    return lane.play(first, last, "plain", touch, is_gil_held)


def histograms(const uint8_t[::1] counts):
    """What the kind "latency" counted: ``[[ns, count], ...]`` of allocations, of frees and of reallocations.

    ``ns`` is the least time that counts there; from 64 ns on there are 32 steps to each doubling.
    """
    cdef const uint64_t *count = <const uint64_t *>&counts[0]
    cdef uint64_t which, number, step
    found = []
    for which in range(TIMED):
        one = []
        for number in range(COUNTS):
            if count[which * COUNTS + number]:
                step = number - EXACT_NS
                one.append([
                    number if number < EXACT_NS else (STEPS + step % STEPS) << (step // STEPS + 1),
                    count[which * COUNTS + number],
                ])
        found.append(one)
    return found


cdef class Profile:
    """What words amount to that are fed in parts, one after the other; nothing of a part is kept.

    events         a reallocation is two
    slots          one more than the largest slot number
    live_bytes     after the last word
    peak_word      so many words lead to the peak of live bytes
    operations     has the bit ``1 << operation`` of each that occurs
    largest        the size of the largest block
    """

    cdef readonly uint64_t events, slots, live_bytes, peak_live_bytes, peak_word, operations, largest
    cdef uint64_t count
    cdef uint64_t[::1] sizes

    def __cinit__(self):
        self.sizes = array("Q", bytes(8))

    def feed(self, const uint8_t[::1] words, Py_ssize_t first, Py_ssize_t last):
        """Words ``first`` to ``last`` of a buffer. IndexError where it has not so many."""
        cdef const uint64_t *word = <const uint64_t *>&words[0] if words.shape[0] else NULL
        cdef Py_ssize_t index
        cdef uint64_t number, operation, size
        if not 0 <= first <= last <= words.shape[0] // 8:
            raise IndexError(f"words {first} to {last} of {words.shape[0] // 8}")
        for index in range(first, last):
            self.slots = max(self.slots, ((word[index] >> SLOT_SHIFT) & SLOT_BITS) + 1)
        if self.slots > <uint64_t>self.sizes.shape[0]:
            self.sizes = array("Q", bytes(self.sizes) + bytes(8 * (2 * self.slots - self.sizes.shape[0])))
        for index in range(first, last):
            number = (word[index] >> SLOT_SHIFT) & SLOT_BITS
            operation = word[index] & OPERATION_BITS
            size = 0 if operation == FREE else word[index] >> SIZE_SHIFT
            self.operations |= <uint64_t>1 << operation
            self.events += 2 if operation == REALLOCATE else 1
            self.live_bytes += size - self.sizes[number]
            self.sizes[number] = size
            self.largest = max(self.largest, size)
            self.count += 1
            if self.live_bytes > self.peak_live_bytes:
                self.peak_live_bytes, self.peak_word = self.live_bytes, self.count


# The empty harness: what the loop itself costs. Every block is the same one, and nothing is freed. A touch of
# pages or of all bytes needs as many as the largest block has; what is not touched is no memory.
EMPTY_BYTES = SCRATCH_BYTES
cdef uint8_t[SCRATCH_BYTES] scratch


cdef void *empty_allocate(uintptr_t first, uintptr_t size) noexcept nogil:
    return scratch


cdef int empty_free(uintptr_t first, uintptr_t block) noexcept nogil:
    return 0


cdef void *empty_three(uintptr_t first, uintptr_t second, uintptr_t size) noexcept nogil:
    return scratch


def empty_functions():
    """Addresses (malloc, free, realloc) of functions that do nothing, for either signature."""
    return <uintptr_t>&empty_allocate, <uintptr_t>&empty_free, <uintptr_t>&empty_three
