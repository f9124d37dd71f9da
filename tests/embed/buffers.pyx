# cython: language_level=3, boundscheck=False, cdivision=True
"""Buffers and addresses of a Pool object, taken and given back by another module."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport uint64_t

from poolcore cimport (
    FREE_DEFER, VERDICT_LIVE, Buffer, Pool, address_give, address_take, buffer_address, buffer_adopt, buffer_give,
    buffer_last_address, buffer_take, heap_alloc, heap_alloc_fast, heap_free, heap_free_fast, heap_now, heap_t,
    import_poolcore, pool_engine, pool_share, pool_t,
)

import_poolcore()


def take(Pool pool not None, uint64_t size):
    """A Buffer, or why there is none."""
    cdef int refusal
    cdef PyObject *buffer = buffer_take(pool, size, &refusal)
    if buffer == NULL:
        return refusal
    taken = <object>buffer
    Py_DECREF(taken)
    return taken


def give(Pool pool not None, Buffer buffer not None, bint deferred=False):
    return buffer_give(pool, buffer, FREE_DEFER if deferred else 0)


def take_address(Pool pool not None, uint64_t size, uint64_t alignment=0):
    cdef int refusal
    cdef uint64_t address = address_take(pool, size, alignment, 0, &refusal)
    return (address, refusal)


def give_address(Pool pool not None, uint64_t address, bint deferred=False):
    return address_give(pool, address, FREE_DEFER if deferred else 0)


def adopt(Pool pool not None, uint64_t address):
    return buffer_adopt(pool, address)


def addresses(Buffer buffer not None):
    """(where it is, where it was)"""
    return (buffer_address(buffer), buffer_last_address(buffer))


def is_native(Pool pool not None):
    return pool_engine(pool).is_native != 0


def share(Pool pool not None):
    pool_share(pool)


cdef uint64_t alloc(heap_t *heap, pool_t *pool, uint64_t size, uint64_t *misses) noexcept nogil:
    cdef uint64_t address = heap_alloc_fast(heap, pool, size)
    if address == 0:
        misses[0] += 1
        address = heap_alloc(heap, pool, size)
    return address


def churn(Pool pool not None, uint64_t size, uint64_t times):
    """Fast halves alone as far as they go: (pairs, misses)."""
    cdef pool_t *engine = pool_share(pool)
    cdef uint64_t address, _
    cdef uint64_t misses = 0
    cdef uint64_t good = 0
    with nogil:
        for _ in range(times):
            address = alloc(heap_now(engine), engine, size, &misses)
            if not heap_free_fast(heap_now(engine), engine, address):
                misses += 1
                if heap_free(heap_now(engine), engine, address) != VERDICT_LIVE:
                    break
            good += 1
    return good, misses


def free_fast(Pool pool not None, uint64_t address):
    return heap_free_fast(heap_now(pool_share(pool)), pool_share(pool), address)
