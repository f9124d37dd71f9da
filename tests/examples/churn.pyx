# cython: language_level=3
from libc.stdint cimport uint64_t
from poolcore cimport VERDICT_LIVE, heap_alloc, heap_free, heap_here, heap_t, import_poolcore, pool_from_object, pool_t

import_poolcore()


def churn(pool, size_t size, long times):
    """Allocates and frees without Python; how many frees were good."""
    cdef pool_t *engine = pool_from_object(pool)
    cdef heap_t *heap
    cdef uint64_t block
    cdef long good = 0
    with nogil:
        heap = heap_here(engine)
        for _ in range(times):
            block = heap_alloc(heap, engine, size)
            if block != 0 and heap_free(heap, engine, block) == VERDICT_LIVE:
                good += 1
    return good
