# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""A recording parted by its threads, and native threads that play the parts.

What constrains a replay is each thread's own order and, for every block, the order of the calls that it went
through: allocated before it is reallocated or freed, by whatever thread. A call waits for the one before it on
the same block if that is another thread's, and for nothing else.

No replay can deadlock. Everything that a call waits for stands before it in the recorded order, which is one in
which the calls did happen. So among the calls that are not done the first in that order waits for nothing: all
before it are done, its own thread's among them, and what a call has to announce its thread announces before it
waits for anything else. New slots add no constraint: a slot is used again by the thread that freed its block,
after that.

Where a thread has more to do than to go on are its points. They are 16 bytes: a place, the number of the word before
which the thread stops, and what to do there, in two bits, with a number above them:

    0  wait      until the gate of a slot stands at a number: the call before on its block is done
    1  signal    set the gate of a slot to a number
    2  pause     for so many ns

The signals of a slot are numbered, and each has one wait, for its number: the next signal of the slot comes after that
wait, so a gate that has reached a number stays there until the one that waits for it went on. Threads that wait for
different numbers may stand at one gate. Only a thread that found it elsewhere for a while asks the kernel.

Nothing here may be shared between Python threads.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID

from pybuf.bench._replay cimport Calls, Lane, Place, loop
from pybuf.bench._threads cimport (
    ACQUIRE,
    RELAXED,
    SEQUENTIAL,
    Muster,
    atomic_add,
    atomic_load,
    atomic_swap,
    clock_ns,
    muster_await,
    muster_close,
    muster_dismiss,
    muster_open,
    muster_report,
    muster_run,
    pthread_create,
    pthread_join,
    pthread_t,
    thread_keep,
)
from pybuf.bench.recordings._word cimport FREE, OPERATION_BITS, REALLOCATE, SIZE_SHIFT, SLOT_BITS, SLOT_SHIFT

cdef enum:
    WAIT = 0
    SIGNAL = 1
    PAUSE = 2
    KIND_BITS = 3
    KIND_SHIFT = 2
    GATE_SHIFT = 28         # the number of a signal, above the slot
    SIGNAL_LIMIT = 0x7FFFFFFE

cdef struct Point:
    uint64_t place
    uint64_t what

THREAD_LIMIT = 1024
POINT_BYTES = sizeof(Point)
#: A shorter pause waits until more has come together: reading the clock takes part of it.
LEAST_PAUSE_NS = 1000
#: A thread pauses as one that computes, on its processor; of longer pauses all but so much is slept.
BUSY_NS = 50_000

cdef uint64_t least_pause_ns = LEAST_PAUSE_NS
cdef int64_t busy_ns = BUSY_NS


# ---- parting a recording -------------------------------------------------------------------

cdef struct Block:          # of a slot of the recording
    uint64_t word           # the last on its block
    uint64_t time_ns
    uint64_t size
    uint32_t slot           # the new one
    uint32_t strand         # whose the last word was

cdef struct Strand:         # one thread's words so far
    uint64_t words, points
    uint64_t last_ns        # when its last call was
    uint64_t think_ns       # pauses, none longer than is replayed
    uint64_t whole_ns       # pauses, as recorded
    double owed_ns          # of pauses that are too short on their own
    uint64_t spare          # a slot that it freed, and 1; the next is in `spares`

cdef struct Start:          # where one thread's begin, in what is written
    uint64_t word
    uint64_t point


cdef class Parting:
    """``Parting(words, threads, times, alignments, recorded, slots, longest_ns, links)``: a trace to part.

    words, threads, times, alignments   of a Trace, the last two None where it has none
    recorded     how many words are the program's own; those after it free what it did not
    slots        of the trace
    longest_ns   longer pauses of a thread are taken for so long
    links        zeros, a byte a word, to work with

    `survey` first, then `count`, then `write`, which fills what was made as large as `count` says.
    OverflowError when so many blocks go from thread to thread that their slots cannot be numbered.
    """

    cdef const uint64_t[::1] words
    cdef const uint16_t[::1] threads
    cdef const uint64_t[::1] times
    cdef const uint8_t[::1] alignments
    cdef uint8_t[::1] links         # for each word: whether the next on its block is another thread's
    cdef Py_ssize_t recorded
    cdef uint64_t longest_ns
    cdef Block *blocks
    cdef uint64_t block_count
    cdef Strand strands[1 << 16]
    cdef Start starts[1 << 16]
    cdef uint16_t numbers[1 << 16]  # the strand of each thread, without those that have no word
    cdef uint32_t *spares           # for each new slot, the next that its thread may use again, and 1
    cdef uint32_t *signals          # for each new slot, how many signals it has had
    cdef uint64_t slot_room
    cdef readonly uint64_t slots    # that the new numbering needs
    cdef readonly int count_of_threads
    cdef readonly uint64_t waits    # calls that depend on another thread's

    def __cinit__(self, words, threads, times, alignments, recorded, slots, longest_ns, links):
        cdef Py_ssize_t index
        cdef int thread
        self.words, self.threads, self.times, self.alignments = words, threads, times, alignments
        self.recorded, self.longest_ns, self.links = recorded, longest_ns, links
        self.block_count = slots
        self.blocks = <Block *>calloc(max(self.block_count, 1), sizeof(Block))
        if self.blocks == NULL:
            raise MemoryError
        memset(self.strands, 0, sizeof(self.strands))
        if not 0 <= self.recorded <= min(self.words.shape[0], self.threads.shape[0], self.links.shape[0]) or (
            times is not None and self.times.shape[0] < self.recorded
        ):
            raise ValueError(f"{recorded} words, of which not all have a thread, a time and a link")
        for index in range(self.words.shape[0]):
            if (self.words[index] >> SLOT_SHIFT) & SLOT_BITS >= self.block_count:
                raise ValueError(f"word {index} has a slot of {slots} or more")
            if index < self.recorded:
                self.strands[self.threads[index]].words += 1
        for thread in range(1 << 16):
            if self.strands[thread].words:
                self.numbers[thread] = self.count_of_threads
                self.count_of_threads += 1

    def __dealloc__(self):
        free(self.blocks)
        free(self.spares)
        free(self.signals)

    cdef void restart(self) noexcept:
        memset(self.strands, 0, sizeof(self.strands))
        memset(self.blocks, 0, self.block_count * sizeof(Block))
        self.slots = self.waits = 0

    cdef uint64_t pause_before(
        self, Py_ssize_t index, const Strand *strand, const Block *block, bint is_other,
    ) noexcept:
        """The ns from when the call could have been made to when it was: what the program did meanwhile."""
        cdef uint64_t since = strand.last_ns
        if is_other and block.time_ns > since:
            since = block.time_ns
        return self.times[index] - min(since, self.times[index])

    def survey(self):
        """Find which calls depend on another thread's.

        Answers for each thread the ns that it pauses when replayed, and those that it did when it was recorded.
        """
        cdef Py_ssize_t index
        cdef Block *block
        cdef Strand *strand
        cdef uint64_t pause_ns
        cdef uint32_t number
        cdef bint is_other
        self.restart()
        for index in range(self.recorded):
            number = self.numbers[self.threads[index]]
            strand = self.strands + number
            block = self.blocks + ((self.words[index] >> SLOT_SHIFT) & SLOT_BITS)
            is_other = self.is_of_another(index, block, number)
            if is_other:
                self.links[block.word] = 1
            if self.times is not None:
                pause_ns = self.pause_before(index, strand, block, is_other)
                strand.think_ns += min(pause_ns, self.longest_ns)
                strand.whole_ns += pause_ns
                strand.last_ns = block.time_ns = self.times[index]
            block.word, block.strand = index, number
        return [
            (self.strands[number].think_ns, self.strands[number].whole_ns) for number in range(self.count_of_threads)
        ]

    cdef bint is_of_another(self, Py_ssize_t index, const Block *block, uint32_t strand) noexcept:
        cdef uint64_t operation = self.words[index] & OPERATION_BITS
        return (operation == FREE or operation == REALLOCATE) and block.strand != strand

    def count(self, double scale):
        """How many words and points each thread gets when pauses are multiplied by ``scale``, a pair each."""
        self.part(scale, None, None, None, [], ())
        return [(self.strands[number].words, self.strands[number].points) for number in range(self.count_of_threads)]

    def write(self, double scale, starts, uint64_t[::1] words, uint64_t[::1] points, uint8_t[::1] alignments, stops):
        """Part the recording.

        starts   for each thread, where in ``words`` and in ``points`` its own begin, a pair each; a point takes two
        stops    numbers of recorded words, ascending

        What frees the rest comes after the words of the first thread. Answers for each of ``stops`` the live bytes
        and how many words of its own each thread has done then.
        """
        return self.part(scale, words, points, alignments, starts, stops)

    cdef list part(self, double scale, uint64_t[::1] words, uint64_t[::1] points, uint8_t[::1] alignments, starts,
                   stops):
        cdef Py_ssize_t index
        cdef uint64_t word, operation, place, live = 0
        cdef Py_ssize_t next_stop = -1
        cdef Block *block
        cdef Strand *strand
        cdef uint32_t number
        cdef bint is_other
        cdef bint is_writing = words is not None
        self.restart()
        for number, (place, word) in enumerate(starts):
            self.starts[number].word, self.starts[number].point = place, word
        found = []
        coming = iter(stops)
        next_stop = next(coming, -1)
        for index in range(self.words.shape[0]):
            while index == next_stop:
                found.append(self.stop_of(live))
                next_stop = next(coming, -1)
            word = self.words[index]
            operation = word & OPERATION_BITS
            block = self.blocks + ((word >> SLOT_SHIFT) & SLOT_BITS)
            if index >= self.recorded:
                strand = self.strands
                if is_writing:
                    words[self.starts[0].word + strand.words] = FREE | <uint64_t>block.slot << SLOT_SHIFT
                strand.words += 1
                continue
            number = self.numbers[self.threads[index]]
            strand = self.strands + number
            if operation != FREE and operation != REALLOCATE:
                block.slot = self.slot_take(strand)
                block.size = 0
            is_other = self.is_of_another(index, block, number)
            if is_other:
                self.waits += 1
                if is_writing:
                    place = self.starts[number].point + 2 * strand.points
                    points[place], points[place + 1] = strand.words, WAIT | self.gate_of(block.slot)
                strand.points += 1
            if self.times is not None:
                strand.owed_ns += scale * min(self.pause_before(index, strand, block, is_other), self.longest_ns)
                if strand.owed_ns >= least_pause_ns:
                    if is_writing:
                        place = self.starts[number].point + 2 * strand.points
                        points[place] = strand.words
                        points[place + 1] = PAUSE | <uint64_t>strand.owed_ns << KIND_SHIFT
                    strand.points += 1
                    strand.owed_ns = 0
                strand.last_ns = block.time_ns = self.times[index]
            if is_writing:
                place = self.starts[number].word + strand.words
                words[place] = word & ~(<uint64_t>SLOT_BITS << SLOT_SHIFT) | <uint64_t>block.slot << SLOT_SHIFT
                if alignments is not None:
                    alignments[place] = self.alignments[index]
            strand.words += 1
            if self.links[index]:
                if self.signals[block.slot] == SIGNAL_LIMIT:
                    raise OverflowError(f"more than {SIGNAL_LIMIT:,} calls on one slot depend on another thread's")
                self.signals[block.slot] += 1
                if is_writing:
                    place = self.starts[number].point + 2 * strand.points
                    points[place], points[place + 1] = strand.words, SIGNAL | self.gate_of(block.slot)
                strand.points += 1
            block.strand = number
            live -= block.size
            block.size = 0 if operation == FREE else word >> SIZE_SHIFT
            live += block.size
            if operation == FREE:
                self.slot_give(strand, block.slot)
        while next_stop >= 0:
            found.append(self.stop_of(live))
            next_stop = next(coming, -1)
        return found

    cdef tuple stop_of(self, uint64_t live):
        return live, [self.strands[number].words for number in range(self.count_of_threads)]

    cdef uint64_t gate_of(self, uint64_t slot) noexcept:
        return slot << KIND_SHIFT | <uint64_t>self.signals[slot] << GATE_SHIFT

    cdef int64_t slot_take(self, Strand *strand) except -1:
        cdef uint64_t slot = strand.spare
        cdef uint64_t room = 2 * self.slot_room + 1024
        cdef void *more
        if slot:
            strand.spare = self.spares[slot - 1]
            return slot - 1
        if self.slots > SLOT_BITS:
            raise OverflowError(f"more than {SLOT_BITS + 1:,} blocks are freed by another thread than allocated them")
        if self.slots == self.slot_room:
            more = realloc(self.spares, room * sizeof(uint32_t))
            if more == NULL:
                raise MemoryError
            self.spares = <uint32_t *>more
            more = realloc(self.signals, room * sizeof(uint32_t))
            if more == NULL:
                raise MemoryError
            self.signals = <uint32_t *>more
            self.slot_room = room
        self.signals[self.slots] = 0
        self.slots += 1
        return self.slots - 1

    cdef void slot_give(self, Strand *strand, uint64_t slot) noexcept:
        self.spares[slot] = strand.spare
        strand.spare = slot + 1


# ---- gates ---------------------------------------------------------------------------------

# Where there is no futex a thread looks again every so often.
cdef extern from * nogil:
    """
    #include <limits.h>
    #include <stdint.h>
    #include <time.h>
    #ifdef __linux__
    #include <linux/futex.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static void gate_sleep(uint32_t *gate, uint32_t seen) {
        syscall(SYS_futex, gate, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    }
    static void gate_wake(uint32_t *gate) {
        syscall(SYS_futex, gate, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }
    static void sleep_until(int64_t ns) {
        struct timespec when = {ns / 1000000000, ns % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL)) {}
    }
    static void sleep_exactly(void) { prctl(PR_SET_TIMERSLACK, 1); }
    #else
    static void gate_sleep(uint32_t *gate, uint32_t seen) {
        struct timespec often = {0, 50000};
        (void)gate, (void)seen;
        nanosleep(&often, NULL);
    }
    static void gate_wake(uint32_t *gate) { (void)gate; }
    static void sleep_until(int64_t ns) {
        struct timespec now, rest;
        clock_gettime(CLOCK_MONOTONIC, &now);
        ns -= (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
        rest.tv_sec = ns / 1000000000, rest.tv_nsec = ns % 1000000000;
        if (ns > 0)
            nanosleep(&rest, NULL);
    }
    static void sleep_exactly(void) {}
    #endif
    #if defined(__x86_64__) || defined(__i386__)
    #define gate_relax() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define gate_relax() __asm__ volatile("yield")
    #else
    #define gate_relax() ((void)0)
    #endif
    """
    void gate_sleep(uint32_t *gate, uint32_t seen)
    void gate_wake(uint32_t *gate)
    void sleep_until(int64_t ns)
    void sleep_exactly()
    void gate_relax()

cdef extern from * nogil:
    uint32_t gate_load "__atomic_load_n"(uint32_t *gate, int order)
    void gate_store "__atomic_store_n"(uint32_t *gate, uint32_t state, int order)
    uint32_t gate_exchange "__atomic_exchange_n"(uint32_t *gate, uint32_t state, int order)
    bint gate_swap "__atomic_compare_exchange_n"(
        uint32_t *gate, uint32_t *seen, uint32_t state, bint is_weak, int order, int order_of_failure)

cdef enum:
    ASLEEP = 1      # in a gate, below its number: somebody sleeps there
    NUMBER_SHIFT = 1
    BROKEN = 0xFFFFFFFE     # a thread failed: nothing will come
    SPINS = 100     # looks at a gate before its thread sleeps: a few us

cdef struct Shared:
    Muster muster
    bint is_counting
    uint32_t is_failed
    uint32_t *gates         # of each slot
    uint64_t slots
    int *cpus
    int cpu_count
    uint64_t padding_one[16]
    uint64_t live           # bytes, where they are counted
    uint64_t peak
    uint64_t padding_two[16]
    uint64_t *sizes         # of the block in each slot, where they are counted

cdef struct Playing:        # what one thread plays, and how far it is
    pthread_t thread
    Shared *shared
    int number
    loop run
    const Calls *calls
    const Place *place
    const uint64_t *word
    const uint64_t *end
    const Point *point
    const Point *points_end
    bint has_failed
    int64_t start_ns
    int64_t stop_ns
    int64_t cpu_ns
    int64_t waited_ns
    int64_t paused_ns
    int64_t busy_ns         # of the pauses, on the processor


cdef bint gate_pass(Shared *shared, uint32_t *gate, uint32_t number, int64_t *waited_ns) noexcept nogil:
    """Wait until the gate stands at ``number``. False: a thread failed, and it may never do so."""
    cdef uint32_t seen = gate_load(gate, ACQUIRE)
    cdef int64_t start
    cdef int spins = 0
    if seen >> NUMBER_SHIFT != number:
        start = clock_ns(CLOCK_MONOTONIC)
        while seen >> NUMBER_SHIFT != number:
            if gate_load(&shared.is_failed, SEQUENTIAL):
                return False
            if spins < SPINS:
                spins += 1
                gate_relax()
            elif seen & ASLEEP or gate_swap(gate, &seen, seen | ASLEEP, False, SEQUENTIAL, SEQUENTIAL):
                # Whoever fails says so first and looks for sleepers then: one of the two sees the other.
                if gate_load(&shared.is_failed, SEQUENTIAL):
                    return False
                gate_sleep(gate, seen | ASLEEP)
            seen = gate_load(gate, ACQUIRE)
        waited_ns[0] += clock_ns(CLOCK_MONOTONIC) - start
    return True


cdef inline void gate_set(uint32_t *gate, uint32_t number) noexcept nogil:
    if gate_exchange(gate, number << NUMBER_SHIFT, SEQUENTIAL) & ASLEEP:
        gate_wake(gate)


cdef void gates_break(Shared *shared) noexcept nogil:
    cdef uint64_t slot
    gate_store(&shared.is_failed, 1, SEQUENTIAL)
    for slot in range(shared.slots):
        if gate_exchange(shared.gates + slot, BROKEN, SEQUENTIAL) & ASLEEP:
            gate_wake(shared.gates + slot)


cdef void pause(Playing *playing, int64_t ns) noexcept nogil:
    cdef int64_t start = clock_ns(CLOCK_MONOTONIC)
    cdef int64_t now = start
    cdef int64_t end = start + ns
    cdef int64_t busy_from
    if ns > busy_ns:
        sleep_until(end - busy_ns)
        now = clock_ns(CLOCK_MONOTONIC)
    busy_from = now
    while now < end:
        gate_relax()
        now = clock_ns(CLOCK_MONOTONIC)
    playing.paused_ns += now - start
    playing.busy_ns += now - busy_from


# ---- playing -------------------------------------------------------------------------------

cdef const uint64_t *counted(Playing *playing, const uint64_t *word, const uint64_t *end) noexcept nogil:
    """Play word by word and count live bytes: from when an allocation has returned to when its free is called."""
    cdef Shared *shared = playing.shared
    cdef uint64_t *size
    cdef uint64_t more, live, peak
    while word != end:
        size = shared.sizes + ((word[0] >> SLOT_SHIFT) & SLOT_BITS)
        if word[0] & OPERATION_BITS == FREE:
            atomic_add(&shared.live, -size[0], RELAXED)
            size[0] = 0
            if playing.run(playing.calls, word, word + 1, playing.place) != word + 1:
                return word
        else:
            if playing.run(playing.calls, word, word + 1, playing.place) != word + 1:
                return word
            more = (word[0] >> SIZE_SHIFT) - size[0]
            size[0] = word[0] >> SIZE_SHIFT
            live = atomic_add(&shared.live, more, RELAXED)
            peak = atomic_load(&shared.peak, RELAXED)
            while live > peak and not atomic_swap(&shared.peak, &peak, live, False, RELAXED, RELAXED):
                pass
        word += 1
    return end


cdef void strand_play(Playing *playing) noexcept nogil:
    """The words up to ``end``, with the points among them: and signals after the last, as others wait for them."""
    cdef Shared *shared = playing.shared
    cdef const uint64_t *first = playing.place.words
    cdef const uint64_t *word = playing.word
    cdef const uint64_t *stop
    cdef const Point *point = playing.point
    cdef uint64_t kind, number, slot
    playing.waited_ns = playing.paused_ns = playing.busy_ns = 0
    playing.has_failed = False
    playing.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    playing.start_ns = clock_ns(CLOCK_MONOTONIC)
    while True:
        stop = playing.end
        if point != playing.points_end and first + point.place < stop:
            stop = first + point.place
        if word != stop:
            if shared.is_counting:
                word = counted(playing, word, stop)
            else:
                word = playing.run(playing.calls, word, stop, playing.place)
            if word != stop:
                playing.has_failed = True
                gates_break(shared)
                break
        if point == playing.points_end or first + point.place != word:
            break
        kind = point.what & KIND_BITS
        slot = (point.what >> KIND_SHIFT) & SLOT_BITS
        number = point.what >> GATE_SHIFT
        if kind == SIGNAL:
            gate_set(shared.gates + slot, <uint32_t>number)
        elif word == playing.end:
            break
        elif kind == WAIT:
            if not gate_pass(shared, shared.gates + slot, <uint32_t>number, &playing.waited_ns):
                break
        else:
            pause(playing, <int64_t>(point.what >> KIND_SHIFT))
        point += 1
    playing.stop_ns = clock_ns(CLOCK_MONOTONIC)
    playing.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - playing.cpu_ns
    playing.word, playing.point = word, point


cdef void *strand_body(void *argument) noexcept nogil:
    cdef Playing *playing = <Playing *>argument
    cdef Shared *shared = playing.shared
    cdef uint64_t seen = 0
    if shared.cpu_count < <int>shared.muster.threads:
        thread_keep(shared.cpus, shared.cpu_count)
    else:
        thread_keep(shared.cpus + playing.number, 1)
    sleep_exactly()
    while muster_await(&shared.muster, &seen):
        strand_play(playing)
        muster_report(&shared.muster)
    return NULL


cdef class Crew:
    """``Crew(lanes, points, slots, cpus)``: a native thread for each lane, that plays it among its points.

    lanes    Lane objects; they share their slots and marks
    points   of each lane, POINT_BYTES each, as `Parting.write` makes them
    slots    how many slots there are
    cpus     processors: one for each thread, or, if there are fewer, all for all

    ValueError for points that are none of these lanes', RuntimeError when the system makes fewer threads. `close` ends
    them.
    """

    cdef Shared shared
    cdef Playing *playing
    cdef list lanes
    cdef list points
    cdef int made
    cdef bint is_ready

    def __cinit__(self, list lanes, points, uint64_t slots, list cpus):
        cdef int number
        if not 1 <= len(lanes) <= THREAD_LIMIT or len(lanes) != len(points) or not cpus:
            raise ValueError(f"{len(lanes)} lanes, points of {len(points)}, {len(cpus)} processors: expected points "
                             f"for each of 1 to {THREAD_LIMIT} lanes, and a processor")
        muster_open(&self.shared.muster)
        self.is_ready = True
        self.lanes, self.points = lanes, [memoryview(one) for one in points]
        self.shared.slots = slots
        self.shared.gates = <uint32_t *>calloc(slots + 1, sizeof(uint32_t))
        self.shared.sizes = <uint64_t *>calloc(slots + 1, sizeof(uint64_t))
        self.shared.cpus = <int *>calloc(len(cpus), sizeof(int))
        self.playing = <Playing *>calloc(len(lanes), sizeof(Playing))
        if self.shared.gates == NULL or self.shared.sizes == NULL or self.shared.cpus == NULL or self.playing == NULL:
            raise MemoryError
        for number in range(<int>len(cpus)):
            self.shared.cpus[number] = cpus[number]
        self.shared.cpu_count = len(cpus)
        self.shared.muster.threads = len(lanes)
        for number in range(<int>len(lanes)):
            self.prepare(number, lanes[number], self.points[number])
        self.rewind()
        for number in range(<int>len(lanes)):
            if pthread_create(&self.playing[number].thread, NULL, strand_body, &self.playing[number]):
                self.end()
                raise RuntimeError(f"the system made {number} of {len(lanes)} threads")
            self.made += 1

    cdef int prepare(self, int number, Lane lane, const uint8_t[::1] points) except -1:
        cdef Playing *playing = self.playing + number
        cdef const Point *point
        cdef uint64_t place = 0
        playing.shared = &self.shared
        playing.number = number
        playing.calls = &lane.calls
        playing.place = &lane.place
        playing.points_end = NULL
        if points.shape[0] % <Py_ssize_t>sizeof(Point):
            raise ValueError(f"{points.shape[0]} bytes of points: expected {sizeof(Point)} for each")
        if points.shape[0]:
            point = <const Point *>&points[0]
            playing.points_end = point + points.shape[0] // <Py_ssize_t>sizeof(Point)
            while point != playing.points_end:
                if not place <= point.place <= <uint64_t>lane.count or point.what & KIND_BITS > PAUSE or (
                    point.what & KIND_BITS != PAUSE and (point.what >> KIND_SHIFT) & SLOT_BITS >= self.shared.slots
                ):
                    raise ValueError(f"a point of thread {number} is none: {point.place}, {point.what:#x}")
                place = point.place
                point += 1
        return 0

    def __dealloc__(self):
        if self.is_ready:
            self.end()
            muster_close(&self.shared.muster)
        free(self.shared.gates)
        free(self.shared.sizes)
        free(self.shared.cpus)
        free(self.playing)

    cdef void end(self) noexcept:
        cdef int number
        with nogil:
            muster_dismiss(&self.shared.muster)
            for number in range(self.made):
                pthread_join(self.playing[number].thread, NULL)
        self.made = 0

    def close(self):
        """End the threads. Closing again does nothing."""
        self.end()

    def rewind(self):
        """Go back to the first word of every lane, where nothing is live."""
        cdef int number
        cdef Lane lane
        cdef const uint8_t[::1] points
        memset(self.shared.gates, 0, self.shared.slots * sizeof(uint32_t))
        memset(self.shared.sizes, 0, self.shared.slots * sizeof(uint64_t))
        self.shared.live = self.shared.peak = 0
        self.shared.is_failed = 0
        for number in range(<int>self.shared.muster.threads):
            lane, points = self.lanes[number], self.points[number]
            self.playing[number].word = lane.place.words
            self.playing[number].point = <const Point *>&points[0] if points.shape[0] else NULL

    def play(self, list stops, str kind, str touch, bint is_counting=False):
        """Play on until every lane has done as many words as ``stops`` says.

        The words of the lanes together must be the first ones of the recording: a thread might wait for ever
        for another's. ``is_counting`` counts live bytes, for `peak_live_bytes`: in all parts of a replay or in none.

        Returns ``(done, wall_ns, cpu_ns, waited_ns, threads_ns)``: for each lane the words that it has done and whether
        the next one failed, the time from the first start to the last end, the processor time of all threads
        without pauses, the time that they waited for each other, and the time of all between their starts and ends.
        """
        cdef int number
        cdef Lane lane
        cdef Playing *playing
        if len(stops) != self.made:
            raise ValueError(f"{len(stops)} stops for {self.made} threads")
        for number in range(self.made):
            lane, playing = self.lanes[number], self.playing + number
            playing.run = lane.loop_find(kind, touch)
            playing.end = lane.word_at(stops[number])
            if playing.end < playing.word:
                raise IndexError(f"lane {number} is beyond word {stops[number]}")
        self.shared.is_counting = is_counting
        with nogil:
            muster_run(&self.shared.muster)
        done = []
        for number in range(self.made):
            playing = self.playing + number
            done.append((playing.word - playing.place.words, playing.has_failed))
        every = range(self.made)
        return (
            done,
            max([self.playing[number].stop_ns for number in every])
            - min([self.playing[number].start_ns for number in every]),
            sum([max(self.playing[number].cpu_ns - self.playing[number].busy_ns, 0) for number in every]),
            sum([self.playing[number].waited_ns for number in every]),
            sum([self.playing[number].stop_ns - self.playing[number].start_ns for number in every]),
        )

    @property
    def peak_live_bytes(self):
        """The most bytes that were live at once since the last `rewind`, where they were counted."""
        return self.shared.peak


# ---- the empty harness ---------------------------------------------------------------------
# A block for each thread: one for all would be written by all.

cdef void *empty_allocate(uint64_t block, uint64_t size) noexcept nogil:
    return <void *>block


cdef void *empty_three(uint64_t block, uint64_t first, uint64_t size) noexcept nogil:
    return <void *>block


cdef int empty_free(uint64_t block, uint64_t freed) noexcept nogil:
    return 0


def empty_functions():
    """Addresses (malloc, free, realloc) of functions that do nothing: every block is where their ``pool`` points."""
    return <uint64_t>&empty_allocate, <uint64_t>&empty_free, <uint64_t>&empty_three
