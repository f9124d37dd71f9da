# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Compiled loops that time an allocator through its two function pointers.

Every loop exists once and is compiled for two signatures, so that all contenders are called at the
same depth and none through a wrapper:

* one argument: ``void *alloc(size_t)``, ``void free(void *)``;
* two arguments: ``void *alloc(void *pool, size_t)``, ``int free(void *pool, void *block)``.

Each allocation is followed by a one-byte store into the block. ``run`` returns ``(wall_ns, cpu_ns)``
of the timed part for all its steps together; a ratio of the two above 1.02 says that something else
had the processor. What needs random numbers (sizes, order of frees) is drawn before, so that no
generator runs inside a loop. A verdict other than 0, a block of NULL and an overwritten pattern are
errors, never a fast result.

The documented routines have a loop of their own, compiled for the prototype of each pair.

Objects of this module are not to be shared between Python threads.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free as libc_free, malloc as libc_malloc
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID

from pybuf.bench._threads cimport (
    ACQUIRE,
    RELEASE,
    atomic_add,
    atomic_load,
    atomic_store,
    clock_ns,
    pthread_create,
    pthread_join,
    pthread_t,
    sched_yield,
    thread_body,
    thread_keep,
)

cdef extern from "floors.h" nogil:
    struct floor_pool:
        pass
    floor_pool *floor_pool_open(size_t size, size_t capacity_bytes)
    void floor_pool_close(floor_pool *pool)
    void *floor_pool_start(floor_pool *pool)
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

    @property
    def addresses(self):
        """``(alloc, free)`` or ``(alloc, free, pool)``, as ints."""
        if self.is_pooled:
            return <uintptr_t>self.pooled.alloc, <uintptr_t>self.pooled.free, <uintptr_t>self.pooled.pool
        return <uintptr_t>self.bare.alloc, <uintptr_t>self.bare.free

    cdef void *take(self, size_t size) except? NULL:
        cdef void *block
        if self.is_pooled:
            block = call_alloc(&self.pooled, size)
        else:
            block = call_alloc(&self.bare, size)
        if block == NULL:
            raise MemoryError(f"{self.name}: no block of {size} bytes")
        return block

    cdef int give(self, void *block) except -1:
        cdef int verdict
        if self.is_pooled:
            verdict = call_free(&self.pooled, block)
        else:
            verdict = call_free(&self.bare, block)
        if verdict:
            raise RuntimeError(f"{self.name}: free of {<uintptr_t>block:#x} answered {verdict}")
        return 0


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
    """The floor F0, F1 or F3 as a `Callee` for blocks of ``size`` bytes.

    Every block of F0 is the same one: it can be timed, not verified.
    """
    cdef FloorPool owner = FloorPool(size, capacity_bytes)
    cdef uintptr_t pool = <uintptr_t>owner.pool
    if name == "F0":
        return Callee(name, <uintptr_t>&floor_empty_alloc, <uintptr_t>&floor_empty_free,
                      <uintptr_t>floor_pool_start(owner.pool), owner)
    if name == "F1":
        return Callee(name, <uintptr_t>&floor_intrusive_alloc, <uintptr_t>&floor_intrusive_free, pool, owner)
    if name == "F3":
        return Callee(name, <uintptr_t>&floor_validated_alloc, <uintptr_t>&floor_validated_free, pool, owner)
    raise ValueError(f"floor {name!r}: expected F0, F1 or F3")


ctypedef struct Clock:
    int64_t wall_ns
    int64_t cpu_ns


# The slow system call for processor time stays outside the wall interval.
cdef inline void clock_start(Clock *clock) noexcept nogil:
    clock.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    clock.wall_ns = clock_ns(CLOCK_MONOTONIC)


cdef inline void clock_stop(Clock *clock) noexcept nogil:
    clock.wall_ns = clock_ns(CLOCK_MONOTONIC) - clock.wall_ns
    clock.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - clock.cpu_ns


# ---- pairs ---------------------------------------------------------------------------------

# Verdicts are gathered by OR; the blocks are not tested for NULL, `verify` does that beforehand.
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
        self.callee = callee
        self.size = size
        self.neighbours = []
        for _ in range(neighbours):
            self.neighbours.append(<uintptr_t>callee.take(size))
        callee.give(callee.take(size))

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
            self.callee.give(<void *><uintptr_t>address)
        self.neighbours.clear()


def verify(Callee callee, size_t count, size_t low, size_t high, uint64_t seed=1):
    """Takes ``count`` blocks of ``low`` to ``high`` bytes and fills each wholly with a pattern of its own.

    RuntimeError when two overlap. The blocks are freed in random order.
    """
    cdef Blocks blocks = Blocks(callee, count)
    blocks.draw(low, high, 1, seed)
    blocks.fill(whole=True)
    blocks.verify()
    blocks.drain()


# ---- many live blocks ----------------------------------------------------------------------

ctypedef struct Step:
    uint32_t slot
    uint32_t size


# xorshift64*: the same sequence everywhere, so that a run can be repeated.
cdef inline uint32_t draw_below(uint64_t *state, uint32_t bound) noexcept nogil:
    state[0] ^= state[0] >> 12
    state[0] ^= state[0] << 25
    state[0] ^= state[0] >> 27
    return <uint32_t>(((state[0] * <uint64_t>2685821657736338717 >> 32) * bound) >> 32)


cdef enum Touch:
    TOUCH_NONE      # the addresses are not memory
    TOUCH_LINE      # one byte: what times are taken with
    TOUCH_WHOLE     # every byte, a pattern: for checks and resident bytes


cdef inline void touch_block(void *block, Step step, int touch) noexcept nogil:
    if touch == TOUCH_LINE:
        (<uint8_t *>block)[0] = <uint8_t>step.slot
    elif touch == TOUCH_WHOLE:
        memset(block, <int>(step.slot * 167 & 255), step.size)


# Returns 0, or 1 when a block was NULL or a verdict not 0; slots then hold what is still live.
cdef int replace_loop(Calls *calls, void **slots, Step *steps, size_t count, int touch) noexcept nogil:
    cdef Calls here = calls[0]
    cdef Step step
    cdef void *block
    cdef size_t number
    for number in range(count):
        step = steps[number]
        block = slots[step.slot]
        if call_free(&here, block):
            return 1
        block = call_alloc(&here, step.size)
        slots[step.slot] = block
        if block == NULL:
            return 1
        touch_block(block, step, touch)
    return 0


# Allocates slots in order, frees them in the order of the steps.
cdef int batch_loop(Calls *calls, void **slots, Step *steps, size_t count, size_t passes) noexcept nogil:
    cdef Calls here = calls[0]
    cdef void *block
    cdef int verdicts = 0
    cdef size_t number
    while passes:
        for number in range(count):
            block = call_alloc(&here, steps[number].size)
            slots[number] = block
            if block == NULL:
                return 1
            (<uint8_t *>block)[0] = 1
        for number in range(count):
            verdicts |= call_free(&here, slots[steps[number].slot])
            slots[steps[number].slot] = NULL
        passes -= 1
    return verdicts


cdef class Blocks:
    """``live`` slots for blocks, and a drawn sequence of steps (slot, size) to fill and replace them by.

    ``capacity`` is the most steps that will be drawn at once (at least ``live``). All memory of
    the object itself, ``own_bytes``, is touched when it is made, so that resident bytes can be told apart.
    """
    cdef Callee callee
    cdef readonly size_t live
    cdef readonly size_t own_bytes
    cdef readonly size_t live_bytes
    cdef size_t capacity
    cdef size_t count
    cdef void **slots
    cdef uint32_t *sizes
    cdef Step *steps
    cdef bint is_whole

    def __cinit__(self, Callee callee, size_t live, size_t capacity=0):
        self.callee = callee
        self.live = live
        self.capacity = capacity if capacity > live else live
        self.own_bytes = live * (sizeof(void *) + sizeof(uint32_t)) + self.capacity * sizeof(Step)
        # One allocation, in the order of alignment.
        self.slots = <void **>libc_malloc(self.own_bytes + 1)
        if self.slots == NULL:
            raise MemoryError(f"no {self.own_bytes} bytes for {live} slots")
        memset(self.slots, 0, self.own_bytes)
        self.steps = <Step *>(self.slots + live)
        self.sizes = <uint32_t *>(self.steps + self.capacity)

    def __dealloc__(self):
        libc_free(self.slots)

    cdef int how(self, bint touch) noexcept:
        if not touch:
            return TOUCH_NONE
        return TOUCH_WHOLE if self.is_whole else TOUCH_LINE

    def draw(self, uint32_t low, uint32_t high, size_t count, uint64_t seed):
        """Draws ``count`` steps with uniform slots and uniform sizes from ``low`` to ``high`` bytes."""
        cdef uint64_t state = seed * 2 + 1
        cdef size_t number
        if count > self.capacity:
            raise ValueError(f"{count} steps: room was made for {self.capacity}")
        for _ in range(16):
            draw_below(&state, 1)
        for number in range(count):
            self.steps[number].slot = draw_below(&state, <uint32_t>self.live)
            self.steps[number].size = low + draw_below(&state, high - low + 1)
        for number in range(self.live):
            if self.slots[number] == NULL:
                self.sizes[number] = low + draw_below(&state, high - low + 1)
        self.count = count

    def draw_batch(self, uint32_t size, uint64_t seed):
        """Draws a random order in which `run_batch` frees the slots; all blocks have ``size`` bytes."""
        cdef uint64_t state = seed * 2 + 1
        cdef Py_ssize_t number, other
        for number in range(<Py_ssize_t>self.live):
            self.steps[number].slot = <uint32_t>number
            self.steps[number].size = size
        for number in range(<Py_ssize_t>self.live - 1, 0, -1):
            other = draw_below(&state, <uint32_t>(number + 1))
            self.steps[number].slot, self.steps[other].slot = self.steps[other].slot, self.steps[number].slot
        self.count = self.live

    def fill(self, bint whole=False, bint touch=True):
        """Allocates a block for every slot, touched by a byte, or wholly with a pattern."""
        cdef Step step
        cdef size_t number
        self.is_whole = whole and touch
        for number in range(self.live):
            step.slot = <uint32_t>number
            step.size = self.sizes[number]
            self.slots[number] = self.callee.take(step.size)
            touch_block(self.slots[number], step, self.how(touch))
            self.live_bytes += step.size

    def run(self, bint touch=True):
        """Replaces the blocks of the drawn steps one by one: free, allocate, touch as `fill` did."""
        cdef Clock clock
        cdef int failed
        cdef int how = self.how(touch)
        cdef size_t number
        with nogil:
            clock_start(&clock)
            if self.callee.is_pooled:
                failed = replace_loop(&self.callee.pooled, self.slots, self.steps, self.count, how)
            else:
                failed = replace_loop(&self.callee.bare, self.slots, self.steps, self.count, how)
            clock_stop(&clock)
        if failed:
            raise RuntimeError(f"{self.callee.name}: a good free was refused, or no block was left")
        for number in range(self.count):
            self.live_bytes += self.steps[number].size
            self.live_bytes -= self.sizes[self.steps[number].slot]
            self.sizes[self.steps[number].slot] = self.steps[number].size
        return clock.wall_ns, clock.cpu_ns

    def run_batch(self, size_t passes):
        """``passes`` times: allocate every slot, then free all in the drawn order."""
        cdef Clock clock
        cdef int failed
        with nogil:
            clock_start(&clock)
            if self.callee.is_pooled:
                failed = batch_loop(&self.callee.pooled, self.slots, self.steps, self.count, passes)
            else:
                failed = batch_loop(&self.callee.bare, self.slots, self.steps, self.count, passes)
            clock_stop(&clock)
        if failed:
            raise RuntimeError(f"{self.callee.name}: a good free was refused, or no block was left")
        return clock.wall_ns, clock.cpu_ns

    def verify(self):
        """RuntimeError when a live block does not hold what was written into it."""
        cdef size_t number, offset, length
        cdef uint8_t expected
        for number in range(self.live):
            if self.slots[number] == NULL:
                continue
            length = self.sizes[number] if self.is_whole else 1
            expected = <uint8_t>(number * 167 if self.is_whole else number)
            for offset in range(length):
                if (<uint8_t *>self.slots[number])[offset] != expected:
                    raise RuntimeError(
                        f"{self.callee.name}: byte {offset} of the block in slot {number} was overwritten"
                    )

    def drain(self, size_t keep=0):
        """Frees all blocks but the first ``keep``, in random order."""
        cdef uint64_t state = 7
        cdef size_t number, other
        cdef list order = list(range(keep, self.live))
        for number in range(len(order) - 1, 0, -1):
            other = draw_below(&state, <uint32_t>(number + 1))
            order[number], order[other] = order[other], order[number]
        for slot in order:
            number = slot
            if self.slots[number] != NULL:
                self.callee.give(self.slots[number])
                self.live_bytes -= self.sizes[number]
                self.slots[number] = NULL


# ---- threads -------------------------------------------------------------------------------

cdef enum:
    POOLS_LIMIT = 8
    THREADS_LIMIT = 8
    NEIGHBOURS = 64
    RING_SLOTS = 1024
    RING_PUBLISH = 16

ctypedef struct Ring:
    void *slots[RING_SLOTS]
    uint64_t padding_before[16]
    uint64_t tail           # written by the producer: blocks published so far
    uint64_t padding_between[16]
    uint64_t head           # written by the consumer: blocks freed so far
    uint64_t padding_after[16]

# Workers report at the gate and wait there, so that all start at once, or none when one could not be made.
ctypedef struct Gate:
    uint64_t ready
    uint64_t state

cdef enum GateState:
    GATE_SHUT
    GATE_OPEN
    GATE_CALLED_OFF

ctypedef struct Worker:
    pthread_t thread
    Gate *gate
    thread_body body
    int cpu
    Bare bare[POOLS_LIMIT]
    Pooled pooled[POOLS_LIMIT]
    bint is_pooled
    size_t pools            # a power of two
    size_t size
    uint64_t count
    Ring *ring
    int64_t start_ns
    int64_t stop_ns
    int64_t cpu_ns
    int failed


cdef bint gate_pass(Worker *worker) noexcept nogil:
    cdef Gate *gate = worker.gate
    cdef uint64_t state = GATE_SHUT
    atomic_add(&gate.ready, 1, RELEASE)
    while state == GATE_SHUT:
        sched_yield()
        state = atomic_load(&gate.state, ACQUIRE)
    return state == GATE_OPEN


cdef void worker_start(Worker *worker) noexcept nogil:
    worker.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    worker.start_ns = clock_ns(CLOCK_MONOTONIC)


cdef void worker_stop(Worker *worker) noexcept nogil:
    worker.stop_ns = clock_ns(CLOCK_MONOTONIC)
    worker.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - worker.cpu_ns


# Runs all workers from one start to their ends; False when the system made too few threads.
cdef bint workers_run(Worker *workers, int count) noexcept nogil:
    cdef Gate gate
    cdef int made = 0
    cdef int number
    gate.ready = 0
    gate.state = GATE_SHUT
    for number in range(count):
        workers[number].gate = &gate
        if pthread_create(&workers[number].thread, NULL, workers[number].body, &workers[number]):
            break
        made += 1
    while atomic_load(&gate.ready, ACQUIRE) < <uint64_t>made:
        sched_yield()
    atomic_store(&gate.state, GATE_OPEN if made == count else GATE_CALLED_OFF, RELEASE)
    for number in range(made):
        pthread_join(workers[number].thread, NULL)
    return made == count


cdef int pools_loop(Calls *calls, size_t pools, size_t size, uint64_t count) noexcept nogil:
    cdef size_t mask = pools - 1
    cdef Calls *here
    cdef uint8_t *block
    cdef int verdicts = 0
    while count:
        here = &calls[count & mask]
        block = <uint8_t *>call_alloc(here, size)
        if block == NULL:
            return 1
        block[0] = 1
        verdicts |= call_free(here, block)
        count -= 1
    return verdicts


# The neighbours are the thread's own, in every pool, from before the barrier to after the end.
cdef void pools_work(Worker *worker, Calls *calls) noexcept nogil:
    cdef void *neighbours[POOLS_LIMIT * NEIGHBOURS]
    cdef size_t number
    cdef size_t count = worker.pools * NEIGHBOURS
    for number in range(count):
        neighbours[number] = call_alloc(&calls[number % worker.pools], worker.size)
        if neighbours[number] == NULL:
            worker.failed = 1
    if gate_pass(worker) and not worker.failed:
        worker_start(worker)
        worker.failed = pools_loop(calls, worker.pools, worker.size, worker.count)
        worker_stop(worker)
    for number in range(count):
        if neighbours[number] != NULL and call_free(&calls[number % worker.pools], neighbours[number]):
            worker.failed = 1


cdef void *pools_body(void *argument) noexcept nogil:
    cdef Worker *worker = <Worker *>argument
    thread_keep(&worker.cpu, 1)
    if worker.is_pooled:
        pools_work(worker, &worker.pooled[0])
    else:
        pools_work(worker, &worker.bare[0])
    return NULL


# Gives the processor up now and then: the other thread may be waiting for this one.
cdef inline uint64_t spin(uint64_t spins) noexcept nogil:
    if spins % 4096 == 4095:
        sched_yield()
    return spins + 1


cdef void produce(Worker *worker, Calls *calls) noexcept nogil:
    cdef Ring *ring = worker.ring
    cdef uint64_t number
    cdef uint64_t head = 0
    cdef uint64_t spins = 0
    cdef uint8_t *block
    for number in range(worker.count):
        while number - head >= RING_SLOTS:
            head = atomic_load(&ring.head, ACQUIRE)
            spins = spin(spins)
        block = <uint8_t *>call_alloc(calls, worker.size)
        if block == NULL:
            worker.failed = 1       # the consumer frees nothing for this slot
        else:
            block[0] = 1
        ring.slots[number % RING_SLOTS] = block
        if (number + 1) % RING_PUBLISH == 0:
            atomic_store(&ring.tail, number + 1, RELEASE)
    atomic_store(&ring.tail, worker.count, RELEASE)


cdef void consume(Worker *worker, Calls *calls) noexcept nogil:
    cdef Ring *ring = worker.ring
    cdef uint64_t number = 0
    cdef uint64_t tail
    cdef uint64_t spins = 0
    cdef int verdicts = 0
    while number < worker.count:
        tail = atomic_load(&ring.tail, ACQUIRE)
        spins = spin(spins) if tail == number else 0
        while number < tail:
            if ring.slots[number % RING_SLOTS] != NULL:
                verdicts |= call_free(calls, ring.slots[number % RING_SLOTS])
            number += 1
        atomic_store(&ring.head, number, RELEASE)
    if verdicts:
        worker.failed = 1


cdef void *producer_body(void *argument) noexcept nogil:
    cdef Worker *worker = <Worker *>argument
    thread_keep(&worker.cpu, 1)
    if gate_pass(worker):
        worker_start(worker)
        if worker.is_pooled:
            produce(worker, &worker.pooled[0])
        else:
            produce(worker, &worker.bare[0])
        worker_stop(worker)
    return NULL


cdef void *consumer_body(void *argument) noexcept nogil:
    cdef Worker *worker = <Worker *>argument
    thread_keep(&worker.cpu, 1)
    if gate_pass(worker):
        worker_start(worker)
        if worker.is_pooled:
            consume(worker, &worker.pooled[0])
        else:
            consume(worker, &worker.bare[0])
        worker_stop(worker)
    return NULL


cdef void *first_body(void *argument) noexcept nogil:
    cdef Worker *worker = <Worker *>argument
    cdef uint8_t *block
    thread_keep(&worker.cpu, 1)
    if not gate_pass(worker):
        return NULL
    worker_start(worker)
    if worker.is_pooled:
        block = <uint8_t *>call_alloc(&worker.pooled[0], worker.size)
    else:
        block = <uint8_t *>call_alloc(&worker.bare[0], worker.size)
    if block != NULL:
        block[0] = 1
    worker_stop(worker)
    if block == NULL:
        worker.failed = 1
    elif worker.is_pooled:
        worker.failed = call_free(&worker.pooled[0], block)
    else:
        call_free(&worker.bare[0], block)
    return NULL


cdef int worker_set(
    Worker *worker, thread_body body, list callees, size_t size, uint64_t count, int cpu,
) except -1:
    cdef Callee callee
    cdef size_t number
    memset(worker, 0, sizeof(Worker))
    worker.body = body
    worker.cpu = cpu
    worker.size = size
    worker.count = count
    worker.pools = len(callees)
    if worker.pools not in (1, 2, 4, POOLS_LIMIT):
        raise ValueError(f"{worker.pools} pools: expected 1, 2, 4 or {POOLS_LIMIT}")
    for number in range(worker.pools):
        callee = callees[number]
        worker.is_pooled = callee.is_pooled
        worker.bare[number] = callee.bare
        worker.pooled[number] = callee.pooled
    return 0


cdef tuple workers_times(Worker *workers, int count):
    cdef int number
    cdef bint is_made
    with nogil:
        is_made = workers_run(workers, count)
    if not is_made:
        raise RuntimeError(f"the system made fewer than {count} threads")
    if any([workers[number].failed for number in range(count)]):
        raise RuntimeError("a good free was refused, or no block was left")
    return (
        max([workers[number].stop_ns for number in range(count)])
        - min([workers[number].start_ns for number in range(count)]),
        max([(workers[number].stop_ns - workers[number].start_ns) / <double>max(workers[number].cpu_ns, 1)
             for number in range(count)]),
    )


def run_threads(list callees, size_t size, uint64_t count, list cpus):
    """Native threads, each ``count`` pairs beside 64 live blocks of its own per pool, going round the pools.

    ``callees``: 1, 2, 4 or 8 pools. ``cpus``: the processor of each thread. Returns ``(wall_ns, idle)``: from
    the first start to the last end, and the worst thread's wall / processor time.
    """
    cdef Worker workers[THREADS_LIMIT]
    cdef int number
    if not 1 <= len(cpus) <= THREADS_LIMIT:
        raise ValueError(f"{len(cpus)} threads: expected 1 to {THREADS_LIMIT}")
    for number in range(len(cpus)):
        worker_set(&workers[number], pools_body, callees, size, count, cpus[number])
    return workers_times(workers, <int>len(cpus))


def run_handoff(Callee callee, size_t size, uint64_t count, list cpus):
    """One thread allocates ``count`` blocks, another frees them: a ring of 1024 blocks, published every 16.

    ``cpus``: the processors of the two. Returns ``(wall_ns, idle)`` as `run_threads` does.
    """
    cdef Worker workers[2]
    cdef Ring ring
    memset(&ring, 0, sizeof(Ring))
    worker_set(&workers[0], producer_body, [callee], size, count, cpus[0])
    worker_set(&workers[1], consumer_body, [callee], size, count, cpus[1])
    workers[0].ring = workers[1].ring = &ring
    return workers_times(workers, 2)


def run_first(Callee callee, size_t size, int cpu):
    """The first allocation of a new thread, without its start and end; returned as by `run_threads`."""
    cdef Worker worker
    worker_set(&worker, first_body, [callee], size, 1, cpu)
    return workers_times(&worker, 1)


# ---- pairs of documented routines ----------------------------------------------------------

# Microsoft's convention is another on x86-64; elsewhere __stdcall says nothing, and nobody has such a pair.
ctypedef uint32_t (*ras_get)(void **buffer, uint32_t *size) noexcept nogil
ctypedef uint32_t (*ras_free)(void *buffer) noexcept nogil
ctypedef uint32_t (__stdcall *ras_get_ms)(void **buffer, uint32_t *size) noexcept nogil
ctypedef uint32_t (__stdcall *ras_free_ms)(void *buffer) noexcept nogil
ctypedef uint32_t (*netapi_get)(uint32_t size, void **buffer) noexcept nogil
ctypedef uint32_t (__stdcall *netapi_get_ms)(uint32_t size, void **buffer) noexcept nogil
ctypedef void *(*video_get)(void *device, uint32_t kind, uintptr_t size, uint32_t tag) noexcept nogil
ctypedef void (*video_free)(void *device, void *block) noexcept nogil
ctypedef void *(*aligned_get)(void *pool, size_t align, size_t size) noexcept nogil

ctypedef struct Ras:
    ras_get get
    ras_free free

ctypedef struct RasMs:
    ras_get_ms get
    ras_free_ms free

ctypedef struct NetApi:
    netapi_get get
    ras_free free

ctypedef struct NetApiMs:
    netapi_get_ms get
    ras_free_ms free

ctypedef struct Video:
    video_get get
    video_free free
    void *device
    uint32_t kind
    uint32_t tag

# No routine of Windows, but what one is compared with: a pool's blocks of a given alignment.
ctypedef struct Aligned:
    aligned_get get
    pooled_free free
    void *pool
    size_t align

ctypedef fused Routines:
    Ras
    RasMs
    NetApi
    NetApiMs
    Video
    Aligned


# 0, or a status that is not.
cdef inline uint32_t routine_get(Routines *routines, uint32_t size, void **block) noexcept nogil:
    cdef uint32_t granted = size
    if Routines is Ras or Routines is RasMs:
        return routines.get(block, &granted)
    elif Routines is Video:
        block[0] = routines.get(routines.device, routines.kind, size, routines.tag)
        return 0
    elif Routines is Aligned:
        block[0] = routines.get(routines.pool, routines.align, size)
        return 0
    else:
        return routines.get(size, block)


cdef inline uint32_t routine_free(Routines *routines, void *block) noexcept nogil:
    if Routines is Video:
        routines.free(routines.device, block)
        return 0
    elif Routines is Aligned:
        return <uint32_t>routines.free(routines.pool, block)
    else:
        return routines.free(block)


# The neighbours are live from before the clock starts until after it stops. A block of NULL ends it; in the timed part
# that is not looked for, since the same size was had before. Answers all statuses, by OR, or 1.
cdef uint32_t routines_run(Routines *routines, uint32_t size, uint64_t count, Clock *clock) noexcept nogil:
    cdef Routines here = routines[0]
    cdef void *neighbours[NEIGHBOURS]
    cdef void *block = NULL
    cdef uint32_t statuses = 0
    cdef size_t number
    for number in range(NEIGHBOURS):
        statuses |= routine_get(&here, size, &neighbours[number])
        if neighbours[number] == NULL:
            return statuses | 1
        memset(neighbours[number], <int>number, size)
    clock_start(clock)
    while count:
        statuses |= routine_get(&here, size, &block)
        (<uint8_t *>block)[0] = 255
        statuses |= routine_free(&here, block)
        count -= 1
    clock_stop(clock)
    for number in range(NEIGHBOURS):
        block = neighbours[number]
        if (<uint8_t *>block)[0] != number or (<uint8_t *>block)[size - 1] != number:
            statuses |= 1
        statuses |= routine_free(&here, block)
    return statuses


def run_routines(str prototype, get, free, uint32_t size, uint64_t count, tuple more=()):
    """``count`` pairs of two documented routines, as C calls them, beside 64 live ones: ``(wall_ns, cpu_ns)``.

    ``get`` and ``free`` are addresses. ``prototype`` says what is called, and what ``more`` is:

    * ``ras``, ``netapi``: the routines by these names; ``ras_ms``, ``netapi_ms`` in the Microsoft convention;
    * ``video``: VideoPortAllocatePool and VideoPortFreePool; HwDeviceExtension, PoolType and Tag;
    * ``aligned``: a pool's functions `aligned` and `free`; the pool and the alignment.
    """
    cdef void *getting = <void *><uintptr_t>get
    cdef void *freeing = <void *><uintptr_t>free
    cdef Clock clock
    cdef uint32_t statuses
    cdef Ras ras
    cdef RasMs ras_ms
    cdef NetApi netapi
    cdef NetApiMs netapi_ms
    cdef Video video
    cdef Aligned aligned
    if prototype == "ras":
        ras.get, ras.free = <ras_get>getting, <ras_free>freeing
        with nogil:
            statuses = routines_run(&ras, size, count, &clock)
    elif prototype == "ras_ms":
        ras_ms.get, ras_ms.free = <ras_get_ms>getting, <ras_free_ms>freeing
        with nogil:
            statuses = routines_run(&ras_ms, size, count, &clock)
    elif prototype == "netapi":
        netapi.get, netapi.free = <netapi_get>getting, <ras_free>freeing
        with nogil:
            statuses = routines_run(&netapi, size, count, &clock)
    elif prototype == "netapi_ms":
        netapi_ms.get, netapi_ms.free = <netapi_get_ms>getting, <ras_free_ms>freeing
        with nogil:
            statuses = routines_run(&netapi_ms, size, count, &clock)
    elif prototype == "video":
        video.get, video.free = <video_get>getting, <video_free>freeing
        video.device, video.kind, video.tag = <void *><uintptr_t>more[0], more[1], more[2]
        with nogil:
            statuses = routines_run(&video, size, count, &clock)
    elif prototype == "aligned":
        aligned.get, aligned.free = <aligned_get>getting, <pooled_free>freeing
        aligned.pool, aligned.align = <void *><uintptr_t>more[0], more[1]
        with nogil:
            statuses = routines_run(&aligned, size, count, &clock)
    else:
        raise ValueError(f"prototype {prototype!r}: expected ras, ras_ms, netapi, netapi_ms, video or aligned")
    if statuses:
        raise RuntimeError(f"{prototype}: a call answered {statuses}, gave no block, or one that was overwritten")
    return clock.wall_ns, clock.cpu_ns


# ---- the Python edge -----------------------------------------------------------------------

cdef class NoOp:
    """Methods with the signatures of `Pool.get` and `Pool.free` that do nothing: what two calls cost."""
    cdef object block

    def __init__(self):
        self.block = object()

    def get(self, size, *, align=None, zero=False, tag=None):
        """Always the same object."""
        return self.block

    def free(self, block, /):
        """None."""
        return None


cdef object ready_status = None
cdef object ready_buffer = None
cdef object ready_size = None


def no_op_ready(status, buffer, size):
    """Sets what the two functions below answer."""
    global ready_status, ready_buffer, ready_size
    ready_status, ready_buffer, ready_size = status, buffer, size


def no_op_get_buffer(size):
    """A function of the shape of RasGetBuffer that does nothing: a fresh tuple of three ready objects."""
    return ready_status, ready_buffer, ready_size


def no_op_free_buffer(buffer):
    """A function of the shape of RasFreeBuffer that does nothing: a ready object."""
    return ready_status
