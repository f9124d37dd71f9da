# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Words that are drawn instead of recorded, and native threads that play them.

What a seed decides is decided here, before anything is measured: the loops of ``_replay`` only follow the
words. The same seed gives the same words on every machine. Nothing here may be shared between Python threads.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID

from array import array

from pybuf.bench._replay cimport Calls, Lane, Place, loop
from pybuf.bench._threads cimport (
    ACQUIRE,
    RELEASE,
    Muster,
    atomic_load,
    atomic_store,
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
    sched_yield,
    thread_keep,
)
from pybuf.bench.recordings._word cimport ALLOCATE, FREE, SIZE_SHIFT, SLOT_LIMIT, SLOT_SHIFT

cdef enum:
    WINDOW = 256            # steps of a table after which as many blocks of each size live as before


cdef class Drawing:
    """``Drawing(seed)``: words that are drawn, ``count`` of them so far."""

    cdef uint64_t state
    cdef uint64_t *words
    cdef uint64_t room
    cdef readonly uint64_t count
    cdef uint8_t *is_live       # for each slot
    cdef uint64_t slot_room
    cdef readonly uint64_t slots

    def __cinit__(self, uint64_t seed):
        # Neighbouring seeds must not give neighbouring sequences; 0 would stay 0.
        self.state = seed * <uint64_t>0x9E3779B97F4A7C15 + <uint64_t>0xD1B54A32D192ED03 or 1
        for _ in range(16):
            self.below(1)

    def __dealloc__(self):
        free(self.words)
        free(self.is_live)

    cdef uint64_t next(self) noexcept:
        # xorshift64*
        self.state ^= self.state >> 12
        self.state ^= self.state << 25
        self.state ^= self.state >> 27
        return self.state * <uint64_t>2685821657736338717

    cdef uint64_t below(self, uint64_t bound) noexcept:
        return ((self.next() >> 32) * bound) >> 32

    cdef uint64_t size(self, uint64_t low, uint64_t high) noexcept:
        return low + self.below(high - low + 1)

    cdef int put(self, uint64_t operation, uint64_t slot, uint64_t size) except -1:
        cdef void *more
        if self.count == self.room:
            self.room = 2 * self.room + 4096
            more = realloc(self.words, self.room * sizeof(uint64_t))
            if more == NULL:
                raise MemoryError(f"no memory for {self.room} words")
            self.words = <uint64_t *>more
        if slot >= self.slot_room:
            if slot >= SLOT_LIMIT:
                raise OverflowError(f"more than {SLOT_LIMIT:,} blocks would be live at once")
            more = realloc(self.is_live, 2 * slot + 4096)
            if more == NULL:
                raise MemoryError(f"no memory for {slot} slots")
            self.is_live = <uint8_t *>more
            memset(self.is_live + self.slot_room, 0, 2 * slot + 4096 - self.slot_room)
            self.slot_room = 2 * slot + 4096
        self.slots = max(self.slots, slot + 1)
        self.is_live[slot] = operation == ALLOCATE
        self.words[self.count] = operation | slot << SLOT_SHIFT | size << SIZE_SHIFT
        self.count += 1
        return 0

    cdef uint32_t[::1] order(self, uint64_t count):
        """The numbers below ``count`` in random order."""
        cdef uint32_t[::1] numbers = array("I", bytes(4 * count))
        cdef Py_ssize_t number, other
        for number in range(<Py_ssize_t>count):
            other = <Py_ssize_t>self.below(number + 1)
            numbers[number] = numbers[other]
            numbers[other] = <uint32_t>number
        return numbers

    def fill(self, uint64_t live, uint64_t low, uint64_t high):
        """Allocate the slots 0 to ``live`` - 1, each of ``low`` to ``high`` bytes."""
        cdef uint64_t slot
        for slot in range(live):
            self.put(ALLOCATE, slot, self.size(low, high))

    def pairs(self, uint64_t slot, uint64_t low, uint64_t high, uint64_t count):
        """``count`` times: allocate ``slot`` and free it."""
        for _ in range(<Py_ssize_t>count):
            self.put(ALLOCATE, slot, self.size(low, high))
            self.put(FREE, slot, 0)

    def fifo(self, uint64_t live, uint64_t low, uint64_t high, uint64_t count):
        """``count`` times: free the oldest of the ``live`` slots and allocate it again.

        For words that are played again and again, ``count`` is a multiple of ``live``.
        """
        cdef uint64_t step
        for step in range(count):
            self.put(FREE, step % live, 0)
            self.put(ALLOCATE, step % live, self.size(low, high))

    def replace(self, uint64_t live, uint64_t low, uint64_t high, uint64_t count):
        """``count`` times: free a random one of the ``live`` slots and allocate it again."""
        cdef uint64_t slot
        for _ in range(<Py_ssize_t>count):
            slot = self.below(live)
            self.put(FREE, slot, 0)
            self.put(ALLOCATE, slot, self.size(low, high))

    def replace_each(self, uint64_t live, uint64_t low, uint64_t high):
        """Free each of the ``live`` slots once, in random order, and allocate it again."""
        cdef uint64_t number
        cdef uint32_t[::1] slots = self.order(live)
        for number in range(live):
            self.put(FREE, slots[number], 0)
            self.put(ALLOCATE, slots[number], self.size(low, high))

    def batch(self, uint64_t live, uint64_t low, uint64_t high, uint64_t count):
        """``count`` times: allocate ``live`` slots, then free them in random order."""
        for _ in range(<Py_ssize_t>count):
            self.fill(live, low, high)
            self.drain()

    def ramp(self, uint64_t live, uint64_t low, uint64_t high):
        """Up to ``live`` blocks and down to none: three steps forward, one back, and which block goes is random."""
        cdef uint32_t[::1] slots = array("I", range(live))
        cdef uint64_t count = 0
        cdef uint64_t other
        cdef bint is_up = True
        while is_up or count:
            if (self.below(4) != 0) == is_up or not count:
                self.put(ALLOCATE, slots[count], self.size(low, high))
                count += 1
                is_up = is_up and count < live
            else:
                count -= 1
                other = self.below(count + 1)
                slots[count], slots[other] = slots[other], slots[count]
                self.put(FREE, slots[count], 0)
            if count == live:
                is_up = False

    def table(self, uint64_t[::1] sizes, double[::1] rates, uint64_t[::1] live, uint64_t count):
        """``count`` steps of a population: free a random block of one size, allocate one of another.

        Sizes are drawn by their ``rates``, the same ones for both within each window, so that ``live`` blocks of
        each are left. Slots must have been filled by `populate`, with the same ``sizes`` and ``live``.
        """
        cdef uint64_t kinds = sizes.shape[0]
        cdef uint64_t kind, other, step, number, slot, done = 0
        cdef double total = 0
        cdef double[::1] sums = array("d", bytes(8 * kinds))
        cdef uint64_t[::1] starts = array("Q", bytes(8 * (kinds + 1)))
        cdef uint64_t[::1] held = array("Q", bytes(8 * kinds))
        cdef uint64_t[::1] made = array("Q", bytes(8 * WINDOW))
        cdef uint64_t[::1] freed = array("Q", bytes(8 * WINDOW))
        cdef uint64_t all_live = 0
        cdef uint32_t[::1] slots
        cdef uint32_t[::1] shuffled
        for kind in range(kinds):
            total += rates[kind]
            sums[kind] = total
            starts[kind + 1] = starts[kind] + live[kind] + 2 * WINDOW
            held[kind] = live[kind]
            all_live += live[kind]
        slots = array("I", bytes(4 * starts[kinds]))
        slot = 0
        for kind in range(kinds):
            for number in range(live[kind]):
                slots[starts[kind] + number] = <uint32_t>slot
                slot += 1
        while done < count:
            for step in range(WINDOW):
                made[step] = self.kind_of(sums, kinds)
            shuffled = self.order(WINDOW)
            for step in range(WINDOW):
                freed[step] = made[shuffled[step]]
            for step in range(WINDOW):
                number = step       # the first of the window's sizes of which a block lives
                while number < WINDOW and not held[freed[number]]:
                    number += 1
                if number < WINDOW:
                    freed[step], freed[number] = freed[number], freed[step]
                    kind = freed[step]
                else:
                    kind = self.below(kinds)
                    while not held[kind]:
                        kind = (kind + 1) % kinds
                other = made[step]
                if held[other] + starts[other] + 1 >= starts[other + 1]:
                    kind = other    # has had more luck than there is room for
                number = starts[kind] + self.below(held[kind])
                slot = slots[number]
                held[kind] -= 1
                slots[number] = slots[starts[kind] + held[kind]]
                self.put(FREE, slot, 0)
                self.put(ALLOCATE, slot, sizes[other])
                slots[starts[other] + held[other]] = <uint32_t>slot
                held[other] += 1
            done += WINDOW

    cdef uint64_t kind_of(self, double[::1] sums, uint64_t kinds):
        cdef double drawn = <double>(self.next() >> 11) / <double>(<uint64_t>1 << 53) * sums[kinds - 1]
        cdef uint64_t low = 0
        cdef uint64_t high = kinds - 1
        cdef uint64_t middle
        while low < high:
            middle = (low + high) // 2
            if sums[middle] > drawn:
                high = middle
            else:
                low = middle + 1
        return low

    def populate(self, uint64_t[::1] sizes, uint64_t[::1] live):
        """Allocate ``live`` slots of each size, numbered one after the other, in random order."""
        cdef uint64_t kind, number, slot = 0
        cdef uint64_t total = 0
        for kind in range(<uint64_t>sizes.shape[0]):
            total += live[kind]
        cdef uint64_t[::1] wanted = array("Q", bytes(8 * total))
        for kind in range(<uint64_t>sizes.shape[0]):
            for _ in range(<Py_ssize_t>live[kind]):
                wanted[slot] = sizes[kind]
                slot += 1
        cdef uint32_t[::1] shuffled = self.order(total)
        for number in range(total):
            self.put(ALLOCATE, shuffled[number], wanted[shuffled[number]])

    def bursts(self, uint64_t[::1] lengths, uint64_t[::1] times_ns, uint64_t hold_ns):
        """A block of each frame's length when it comes, freed ``hold_ns`` later; in the end all are freed."""
        cdef uint64_t frames = lengths.shape[0]
        cdef uint64_t number, head = 0, most = 1
        for number in range(frames):    # how many are held at once
            while times_ns[head] + hold_ns <= times_ns[number] and head < number:
                head += 1
            most = max(most, number - head + 1)
        head = 0
        for number in range(frames):
            while times_ns[head] + hold_ns <= times_ns[number] and head < number:
                self.put(FREE, head % most, 0)
                head += 1
            self.put(ALLOCATE, number % most, lengths[number])
        while head < frames:
            self.put(FREE, head % most, 0)
            head += 1

    def produce(self, uint64_t ring, uint64_t low, uint64_t high, uint64_t count):
        """Allocate ``count`` blocks, going round the ``ring`` of slots."""
        cdef uint64_t number
        for number in range(count):
            self.put(ALLOCATE, number % ring, self.size(low, high))

    def consume(self, uint64_t ring, uint64_t count):
        """Free ``count`` blocks, going round the ``ring`` of slots."""
        cdef uint64_t number
        for number in range(count):
            self.put(FREE, number % ring, 0)

    def drain(self):
        """Free all that is live, in random order."""
        cdef uint64_t number
        cdef uint32_t[::1] slots = self.order(self.slots)
        for number in range(self.slots):
            if self.is_live[slots[number]]:
                self.put(FREE, slots[number], 0)

    def taken(self):
        """The words as bytes."""
        return <bytes>(<char *>self.words)[:self.count * sizeof(uint64_t)] if self.count else b""


# ---- threads -------------------------------------------------------------------------------

cdef enum:
    TEAM_LIMIT = 64
    PUBLISH = 16        # blocks that a producer hands over at once

cdef enum Role:
    ALONE
    PRODUCER
    CONSUMER

cdef struct Link:       # between a producer and a consumer, each part on lines of its own
    uint64_t produced
    uint64_t padding_one[16]
    uint64_t consumed
    uint64_t padding_two[16]
    uint64_t is_failed
    uint64_t padding_three[16]

cdef struct Worker:
    pthread_t thread
    Muster *muster
    Link *link
    int cpu
    Role role
    loop run
    const Calls *calls
    const Place *place
    const uint64_t *start
    const uint64_t *end
    uint64_t repeats
    uint64_t live           # blocks between producer and consumer before and after a job
    uint64_t ring
    const uint64_t *stopped
    int64_t start_ns
    int64_t stop_ns
    int64_t cpu_ns


# Gives the processor up now and then: the other thread may be waiting for this one.
cdef inline uint64_t spin(uint64_t spins) noexcept nogil:
    if spins % 256 == 255:
        sched_yield()
    return spins + 1


cdef void produce(Worker *worker) noexcept nogil:
    cdef Link *link = worker.link
    cdef uint64_t count = worker.end - worker.start
    cdef uint64_t number = 0
    cdef uint64_t consumed = 0
    cdef uint64_t spins = 0
    cdef uint64_t stop
    while number < count:
        stop = min(number + PUBLISH, count)
        while worker.live + stop - consumed > worker.ring:
            consumed = atomic_load(&link.consumed, ACQUIRE)
            spins = spin(spins)
            if atomic_load(&link.is_failed, ACQUIRE):
                worker.stopped = worker.end
                return
        worker.stopped = worker.run(worker.calls, worker.start + number, worker.start + stop, worker.place)
        if worker.stopped != worker.start + stop:
            atomic_store(&link.is_failed, 1, RELEASE)
            return
        number = stop
        atomic_store(&link.produced, number, RELEASE)


cdef void consume(Worker *worker) noexcept nogil:
    cdef Link *link = worker.link
    cdef uint64_t count = worker.end - worker.start
    cdef uint64_t number = 0
    cdef uint64_t spins = 0
    cdef uint64_t stop
    while number < count:
        # What lay there before the job may go at once: it was handed over long ago.
        stop = min(atomic_load(&link.produced, ACQUIRE) + worker.live, count)
        if stop == number:
            spins = spin(spins)
            if atomic_load(&link.is_failed, ACQUIRE):
                worker.stopped = worker.end
                return
            continue
        worker.stopped = worker.run(worker.calls, worker.start + number, worker.start + stop, worker.place)
        if worker.stopped != worker.start + stop:
            atomic_store(&link.is_failed, 1, RELEASE)
            return
        number = stop
        atomic_store(&link.consumed, number, RELEASE)


cdef void work(Worker *worker) noexcept nogil:
    cdef uint64_t repeats = worker.repeats
    worker.stopped = worker.end
    worker.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    worker.start_ns = clock_ns(CLOCK_MONOTONIC)
    if worker.role == PRODUCER:
        produce(worker)
    elif worker.role == CONSUMER:
        consume(worker)
    else:
        while repeats and worker.stopped == worker.end:
            worker.stopped = worker.run(worker.calls, worker.start, worker.end, worker.place)
            repeats -= 1
    worker.stop_ns = clock_ns(CLOCK_MONOTONIC)
    worker.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - worker.cpu_ns


cdef void *worker_body(void *argument) noexcept nogil:
    cdef Worker *worker = <Worker *>argument
    cdef uint64_t seen = 0
    thread_keep(&worker.cpu, 1)
    while muster_await(worker.muster, &seen):
        work(worker)
        muster_report(worker.muster)
    return NULL


cdef void *once_body(void *argument) noexcept nogil:
    cdef Worker *worker = <Worker *>argument
    thread_keep(&worker.cpu, 1)
    work(worker)
    return NULL


cdef int worker_set(Worker *worker, part, str kind, str touch, uint64_t repeats) except -1:
    cdef Lane lane = part[0]
    worker.role = ALONE
    worker.run = lane.loop_find(kind, touch)
    worker.calls = &lane.calls
    worker.place = &lane.place
    worker.start = lane.word_at(part[1])
    worker.end = lane.word_at(part[2])
    worker.repeats = repeats
    if worker.start > worker.end:
        raise IndexError(f"words {part[1]} to {part[2]}")
    return 0


cdef class Team:
    """``Team(cpus)``: as many native threads, each kept on its processor, that wait for something to play.

    RuntimeError when the system makes fewer. `close` ends them.
    """

    cdef Muster muster
    cdef Link link
    cdef Worker workers[TEAM_LIMIT]
    cdef int made
    cdef bint is_ready

    def __cinit__(self, cpus):
        cdef int number
        if not 1 <= len(cpus) <= TEAM_LIMIT:
            raise ValueError(f"{len(cpus)} threads: expected 1 to {TEAM_LIMIT}")
        muster_open(&self.muster)
        self.is_ready = True
        for number in range(<int>len(cpus)):
            self.workers[number].muster, self.workers[number].link = &self.muster, &self.link
            self.workers[number].cpu = cpus[number]
            if pthread_create(&self.workers[number].thread, NULL, worker_body, &self.workers[number]):
                self.close()
                raise RuntimeError(f"the system made {number} of {len(cpus)} threads")
            self.made += 1
        self.muster.threads = self.made

    def __dealloc__(self):
        if self.is_ready:
            self.end()
            muster_close(&self.muster)

    cdef void end(self) noexcept:
        cdef int number
        with nogil:
            muster_dismiss(&self.muster)
            for number in range(self.made):
                pthread_join(self.workers[number].thread, NULL)
        self.made = 0

    def close(self):
        """End the threads. Closing again does nothing."""
        self.end()

    cdef tuple start(self, list parts):
        cdef int number
        if len(parts) != self.made:
            raise ValueError(f"{len(parts)} parts for {self.made} threads")
        self.link.produced = self.link.consumed = self.link.is_failed = 0
        with nogil:
            muster_run(&self.muster)
        stopped = []
        for number in range(self.made):
            stopped.append(self.workers[number].stopped - self.workers[number].place.words)
        return stopped, times_of(self.workers, self.made)

    def play(self, list parts, str kind, str touch, uint64_t repeats=1):
        """Each thread plays its part, ``(lane, first, last)``, ``repeats`` times; they start together.

        Returns ``(stopped, (wall_ns, cpu_ns, idle))``: for each part the index of the word that failed, or its
        ``last``; the time from the first start to the last end, the processor time of all, and the worst
        thread's wall / processor time.
        """
        cdef int number
        if len(parts) == self.made:
            for number in range(self.made):
                worker_set(&self.workers[number], parts[number], kind, touch, repeats)
        return self.start(parts)

    def hand_over(self, list parts, str kind, str touch, uint64_t ring, uint64_t live):
        """The first of two threads allocates what the second frees; published every 16.

        ``ring`` is the number of slots that the words go round, ``live`` of them hold a block before and after.
        Returns what `play` does.
        """
        cdef int number
        if self.made != 2 or len(parts) != 2:
            raise ValueError("a producer and a consumer are two threads")
        if live + PUBLISH > ring:
            raise ValueError(f"{live} live blocks in a ring of {ring}: expected at most {ring - PUBLISH}")
        for number in range(2):
            worker_set(&self.workers[number], parts[number], kind, touch, 1)
            self.workers[number].role = CONSUMER if number else PRODUCER
            self.workers[number].live = live
            self.workers[number].ring = ring
        return self.start(parts)


cdef tuple times_of(Worker *workers, int count):
    return (
        max([workers[number].stop_ns for number in range(count)])
        - min([workers[number].start_ns for number in range(count)]),
        sum([workers[number].cpu_ns for number in range(count)]),
        max([(workers[number].stop_ns - workers[number].start_ns) / <double>max(workers[number].cpu_ns, 1)
             for number in range(count)]),
    )


def play_generations(Lane lane, breaks, str kind, str touch, int cpu):
    """A new thread for the words up to each of ``breaks``, one after the other: its blocks outlive it.

    ``breaks`` begins with the first word. Returns what `Team.play` does; starts and ends of the threads are in
    the time. RuntimeError when the system makes no thread.
    """
    cdef Worker worker
    cdef int64_t start_ns, stop_ns, cpu_ns = 0
    cdef int failed = 0
    cdef Py_ssize_t first, last
    memset(&worker, 0, sizeof(Worker))
    worker.cpu = cpu
    last = breaks[0]
    start_ns = clock_ns(CLOCK_MONOTONIC)
    for first, last in zip(breaks, breaks[1:]):
        worker_set(&worker, (lane, first, last), kind, touch, 1)
        with nogil:
            failed = pthread_create(&worker.thread, NULL, once_body, &worker)
            if not failed:
                pthread_join(worker.thread, NULL)
        if failed:
            raise RuntimeError("the system made no thread")
        cpu_ns += worker.cpu_ns
        if worker.stopped != worker.end:
            break
    stop_ns = clock_ns(CLOCK_MONOTONIC)
    return [worker.stopped - lane.place.words], (stop_ns - start_ns, cpu_ns, 1.0)
