# cython: language_level=3, boundscheck=False, cdivision=True
"""Allocation inlined: one heap held across calls, and native threads that free each other's blocks."""

from libc.stdint cimport uint8_t, uint64_t, uintptr_t
from libc.string cimport memset

from poolcore cimport (
    VERDICT_LIVE, heap_alloc, heap_free, heap_here, heap_t, import_poolcore, pool_from_object, pool_t,
)

import_poolcore()

cdef extern from "pthread.h" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t *thread, void *attributes, void *(*run)(void *) noexcept nogil, void *argument)
    int pthread_join(pthread_t thread, void **result)

cdef extern from *:
    """
    static uint64_t exchange(uint64_t *place, uint64_t value) {
        return __atomic_exchange_n(place, value, __ATOMIC_ACQ_REL);
    }
    """
    uint64_t exchange(uint64_t *place, uint64_t value) nogil

cdef enum:
    THREADS = 4
    PLACES = 64


cdef class Held:
    """A heap taken once, on the thread that made this."""

    cdef pool_t *pool
    cdef heap_t *heap
    cdef object owner

    def __init__(self, pool):
        self.owner = pool
        self.pool = pool_from_object(pool)
        self.heap = heap_here(self.pool)

    def alloc(self, uint64_t size):
        return heap_alloc(self.heap, self.pool, size)

    def free(self, uint64_t address):
        return heap_free(self.heap, self.pool, address)


def is_native(uintptr_t pool):
    return (<pool_t *>pool).is_native


cdef struct shared_t:
    pool_t *pool
    uint64_t times
    uint64_t places[PLACES]     # where threads leave blocks for each other
    uint64_t bad[THREADS]       # blocks refused, overwritten, or whose free was none


cdef struct worker_t:
    shared_t *shared
    uint64_t number


cdef bint is_whole(uint64_t address) noexcept nogil:
    """Whether a block still has its pattern: its size, then bytes of it."""
    cdef uint64_t size = (<uint64_t *>address)[0]
    cdef uint64_t i
    for i in range(8, size):
        if (<uint8_t *>address)[i] != <uint8_t>size:
            return False
    return True


cdef void *work(void *argument) noexcept nogil:
    """Leaves a block at a random place and frees the one that lay there, which is mostly another thread's."""
    cdef worker_t *worker = <worker_t *>argument
    cdef pool_t *pool = worker.shared.pool
    cdef heap_t *heap = heap_here(pool)
    cdef uint64_t state = worker.number + 1
    cdef uint64_t size, address
    for _ in range(worker.shared.times):
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        size = 8 + (state >> 40) % 1500
        address = heap_alloc(heap, pool, size)
        if address == 0:
            worker.shared.bad[worker.number] += 1
            continue
        memset(<void *>address, <int>size & 0xFF, size)
        (<uint64_t *>address)[0] = size
        address = exchange(&worker.shared.places[(state >> 33) % PLACES], address)
        if address and (not is_whole(address) or heap_free(heap, pool, address) != VERDICT_LIVE):
            worker.shared.bad[worker.number] += 1
    return NULL


def exchange_blocks(pool, uint64_t times):
    """Runs the threads; (what went wrong, the addresses that were left)."""
    cdef shared_t shared
    cdef worker_t workers[THREADS]
    cdef pthread_t threads[THREADS]
    cdef int i
    memset(&shared, 0, sizeof(shared))
    shared.pool = pool_from_object(pool)
    shared.times = times
    with nogil:
        for i in range(THREADS):
            workers[i].shared = &shared
            workers[i].number = i
            if pthread_create(&threads[i], NULL, work, &workers[i]) != 0:
                with gil:
                    raise OSError("a thread could not be started")
        for i in range(THREADS):
            pthread_join(threads[i], NULL)
    return sum([shared.bad[i] for i in range(THREADS)]), [shared.places[i] for i in range(PLACES) if shared.places[i]]
