# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The engine for C: the table of functions that poolcore.h describes, in the capsule `poolcore.C_API`."""

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport uint32_t, uint64_t, uintptr_t

from poolcore._pool cimport (
    engine_layout, heap_or_none, pool_alloc_ex, pool_alloc_many, pool_block_at, pool_c_alloc, pool_c_free,
    pool_c_realloc, pool_free_ex, pool_free_many, pool_realloc, pool_size_of, pool_verdict_of,
)
from poolcore._types cimport (
    ALLOC_ZERO, FREE_DEFER, RECORD_DEFERRED, RECORD_EXPORTED, RECORD_HELD, RECORD_LIVE, RECORD_QUARANTINED,
    block_t, pool_t,
)

from poolcore._python import Pool

cdef extern from "poolcore.h":
    """
    #if UINTPTR_MAX != UINT64_MAX
    #error "poolcore needs pointers of 64 bits: the batches of its C table hand addresses over as pointers"
    #endif
    """
    enum:
        POOLCORE_API_VERSION
        POOLCORE_BLOCK_FREE
        POOLCORE_BLOCK_LIVE
        POOLCORE_BLOCK_EXPORTED
        POOLCORE_BLOCK_DEFERRED
        POOLCORE_BLOCK_QUARANTINED
    ctypedef struct poolcore_pool:
        pass
    ctypedef struct poolcore_heap:
        pass
    ctypedef struct poolcore_block:
        uint64_t address
        uint64_t size
        uint64_t capacity
        uint32_t tag
        uint32_t state
    ctypedef struct poolcore_api:
        uint32_t version
        uint32_t size
        poolcore_pool *(*pool_from_object)(object pool) except NULL
        void *(*alloc)(poolcore_pool *pool, size_t size) noexcept nogil
        void *(*alloc_ex)(poolcore_pool *pool, size_t size, size_t alignment, uint32_t flags, uint32_t tag,
                          int *refusal) noexcept nogil
        int (*free)(poolcore_pool *pool, void *block) noexcept nogil
        int (*free_ex)(poolcore_pool *pool, void *block, uint32_t flags) noexcept nogil
        void *(*realloc)(poolcore_pool *pool, void *block, size_t size) noexcept nogil
        void *(*realloc_ex)(poolcore_pool *pool, void *block, size_t size, int *verdict, int *refusal) noexcept nogil
        size_t (*alloc_many)(poolcore_pool *pool, size_t size, size_t count, void **blocks, int *refusal) noexcept nogil
        size_t (*free_many)(poolcore_pool *pool, void *const *blocks, size_t count, int *verdicts) noexcept nogil
        size_t (*size_of)(poolcore_pool *pool, const void *block) noexcept nogil
        int (*block_at)(poolcore_pool *pool, const void *address, poolcore_block *block) noexcept nogil
        int (*verdict_of)(poolcore_pool *pool, const void *block) noexcept nogil
        poolcore_heap *(*heap_here)(poolcore_pool *pool) noexcept nogil


cdef pool_t *pool_behind(object pool) except NULL:
    if not isinstance(pool, Pool):
        raise TypeError(f"a poolcore.Pool is needed, not {type(pool).__name__} ({pool!r})")
    # Asking for it tells the engine that addresses go to C, whose frees may race with Python's.
    return <pool_t *><uintptr_t>Pool.c_functions(pool).pool


cdef int layout_check(uint64_t compiled) except -1:
    if compiled != engine_layout():
        raise ImportError(
            f"this module inlines poolcore's allocation as it was in layout {compiled:#018x}, and the poolcore that is "
            f"installed has layout {engine_layout():#018x}: compile it again with the installed one")
    return 0


# ---- the table's functions ---------------------------------------------------------------------
# alloc, free and realloc are the engine's own, so that no call stands between.

cdef poolcore_pool *pool_from_object(object pool) except NULL:
    return <poolcore_pool *>pool_behind(pool)


cdef void *alloc_ex(poolcore_pool *pool, size_t size, size_t alignment, uint32_t flags, uint32_t tag,
                    int *refusal) noexcept nogil:
    return <void *>pool_alloc_ex(<pool_t *>pool, size, alignment, flags & ALLOC_ZERO, tag, refusal)


cdef int free_ex(poolcore_pool *pool, void *block, uint32_t flags) noexcept nogil:
    return pool_free_ex(<pool_t *>pool, <uint64_t>block, flags & FREE_DEFER)


cdef void *realloc_ex(poolcore_pool *pool, void *block, size_t size, int *verdict, int *refusal) noexcept nogil:
    return <void *>pool_realloc(<pool_t *>pool, <uint64_t>block, size, verdict, refusal)


cdef size_t alloc_many(poolcore_pool *pool, size_t size, size_t count, void **blocks, int *refusal) noexcept nogil:
    cdef int unasked
    return <size_t>pool_alloc_many(<pool_t *>pool, size, count, <uint64_t *>blocks,
                                   &unasked if refusal == NULL else refusal)


cdef size_t free_many(poolcore_pool *pool, void *const *blocks, size_t count, int *verdicts) noexcept nogil:
    return <size_t>pool_free_many(<pool_t *>pool, <const uint64_t *>blocks, count, verdicts)


cdef size_t size_of(poolcore_pool *pool, const void *block) noexcept nogil:
    return <size_t>pool_size_of(<pool_t *>pool, <uint64_t>block)


cdef int block_at(poolcore_pool *pool, const void *address, poolcore_block *block) noexcept nogil:
    cdef block_t found
    if not pool_block_at(<pool_t *>pool, <uint64_t>address, &found):
        return 0
    block.address = found.address
    block.size = found.size
    block.capacity = found.capacity
    block.tag = found.tag
    if found.state == RECORD_LIVE or found.state == RECORD_HELD:
        block.state = POOLCORE_BLOCK_LIVE
    elif found.state == RECORD_EXPORTED:
        block.state = POOLCORE_BLOCK_EXPORTED
    elif found.state == RECORD_DEFERRED:
        block.state = POOLCORE_BLOCK_DEFERRED
    elif found.state == RECORD_QUARANTINED:
        block.state = POOLCORE_BLOCK_QUARANTINED
    else:
        block.state = POOLCORE_BLOCK_FREE
    return 1


cdef int verdict_of(poolcore_pool *pool, const void *block) noexcept nogil:
    return pool_verdict_of(<pool_t *>pool, <uint64_t>block)


cdef poolcore_heap *heap_here(poolcore_pool *pool) noexcept nogil:
    return <poolcore_heap *>heap_or_none(<pool_t *>pool)


cdef poolcore_api table

table.version = POOLCORE_API_VERSION
table.size = sizeof(poolcore_api)
table.pool_from_object = pool_from_object
table.alloc = <void *(*)(poolcore_pool *, size_t) noexcept nogil>pool_c_alloc
table.alloc_ex = alloc_ex
table.free = <int (*)(poolcore_pool *, void *) noexcept nogil>pool_c_free
table.free_ex = free_ex
table.realloc = <void *(*)(poolcore_pool *, void *, size_t) noexcept nogil>pool_c_realloc
table.realloc_ex = realloc_ex
table.alloc_many = alloc_many
table.free_many = free_many
table.size_of = size_of
table.block_at = block_at
table.verdict_of = verdict_of
table.heap_here = heap_here

C_API = PyCapsule_New(&table, "poolcore.C_API", NULL)
"""The capsule that poolcore_import() of poolcore.h opens."""
