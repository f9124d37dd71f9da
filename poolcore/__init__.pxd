"""poolcore for Cython: allocation compiled into your own module, where it needs neither a call nor the GIL.

::

    from libc.stdint cimport uint64_t
    from poolcore cimport heap_alloc, heap_free, heap_here, heap_t, import_poolcore, pool_from_object, pool_t

    import_poolcore()                                   # once, at module level

    def churn(pool, size_t size, int times):
        cdef pool_t *engine = pool_from_object(pool)    # hold on to `pool` while you use it
        cdef heap_t *heap
        cdef uint64_t block
        with nogil:
            heap = heap_here(engine)                    # once a thread and loop
            for _ in range(times):
                block = heap_alloc(heap, engine, size)
                if block != 0:
                    heap_free(heap, engine, block)

Compile with ``include_dirs=[poolcore.get_include()]``.

* **import_poolcore()** compares the layout of poolcore's structs that is compiled into your module with that of
  the poolcore that is installed, and raises ImportError when they differ: compile your module again.
  pool_from_object compares too, should you forget.
* **pool_from_object(pool)** is the engine's struct of a Pool object, the same that `Pool.c_functions().pool` is. It
  lives as long as the object. When the Pool is closed, allocations answer 0 and frees VERDICT_CLOSED; only a close
  *during* a call in another thread is yours to prevent.
* **heap_here(pool)** is the calling thread's part of the pool. Never NULL. It is good for that thread alone, until
  the Pool goes.
* **heap_alloc(heap, pool, size)** answers an address, or 0 when refused. Addresses are integers: those of an
  AddressSpace point nowhere.
* **heap_free(heap, pool, address)** takes any value and answers a VERDICT. Any thread may free any block.

* **heap_now(pool)** is what to give either of them in a single call: as heap_here, without a call where the compiler
  can read another module's thread-local storage. It may be another pool's, which costs time only.
* **heap_alloc_fast and heap_free_fast** answer 0 and False where the ones without "fast" would call something. They
  suit functions that must make no call at all, and jump to another one instead.

The other functions are called, not inlined. With the GIL or without, from any thread.

Blocks as Buffers, in a function that holds the GIL and has a Pool object::

    buffer = buffer_take(pool, size, &refusal)          # a new reference; NULL: refused
    verdict = buffer_give(pool, buffer, 0)              # FREE_DEFER: also under views

They raise nothing but what a pool's callback raised, and count as Pool's methods do. address_take and address_give are
the same for addresses; buffer_adopt makes a Buffer for a block that was allocated by address; buffer_address is where
a Buffer's block is, 0 once it is dead, and buffer_last_address where it was. pool_engine is the engine's struct, to be
asked (pool_next_live, pool_block_at, pool_check ...) by code that holds the GIL. Before other code allocates or frees,
pool_share tells the engine. pool_idle_or_raise asks whether Pool.close would be refused.
"""

from libc.stdint cimport uint32_t, uint64_t

from poolcore._capi cimport layout_check, pool_behind
from poolcore._pool cimport (
    heap_alloc, heap_alloc_fast, heap_free, heap_free_fast, heap_now, heap_or_none, layout_hash,
    pool_alloc_ex, pool_alloc_many, pool_block_at, pool_check, pool_free_ex, pool_free_many, pool_next_live,
    pool_realloc, pool_size_of, pool_stats, pool_verdict_of,
)
from poolcore._python cimport (
    Buffer, Pool, address_give, address_take, buffer_address, buffer_adopt, buffer_give, buffer_last_address,
    buffer_take, pool_engine, pool_idle_or_raise, pool_share,
)
from poolcore._types cimport (
    ALLOC_ZERO, FREE_DEFER,
    RECORD_DEFERRED, RECORD_EXPORTED, RECORD_HELD, RECORD_LIVE, RECORD_QUARANTINED, RECORD_STATE,
    REFUSAL_ALIGNMENT, REFUSAL_CALLBACK, REFUSAL_CLOSED, REFUSAL_FAULT, REFUSAL_LIMIT_BLOCKS, REFUSAL_LIMIT_BYTES,
    REFUSAL_MEMORY, REFUSAL_NONE, REFUSAL_RESTORE,
    VERDICT_CLOSED, VERDICT_CORRUPT, VERDICT_DOUBLE, VERDICT_EXPORTED, VERDICT_FOREIGN, VERDICT_INTERIOR,
    VERDICT_LIVE, VERDICT_NULL, VERDICT_OTHER_POOL,
    block_t, heap_t, hold_t, pool_stats_t, pool_t,
)


cdef inline int import_poolcore() except -1:
    """ImportError unless this module was compiled for the poolcore that is installed."""
    return layout_check(layout_hash())


cdef inline pool_t *pool_from_object(object pool) except NULL:
    """The engine's struct of a Pool. TypeError for another object, ValueError when it is closed."""
    import_poolcore()
    return pool_behind(pool)


cdef inline heap_t *heap_here(pool_t *pool) noexcept nogil:
    """The calling thread's part of `pool`, made on first use."""
    return heap_or_none(pool)
