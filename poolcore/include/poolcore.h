/* poolcore for C and C++: a pool that Python made, used from code that need not know Python.
 *
 * The engine's functions stand in one table. A module that has Python.h gets it with poolcore_import(); a library
 * without Python includes this header alone and is handed the table and the pool by whoever has them:
 *
 *     #include <Python.h>
 *     #include <poolcore.h>
 *
 *     static const poolcore_api *api;
 *
 *     PyMODINIT_FUNC PyInit_mine(void) {
 *         api = poolcore_import();
 *         if (api == NULL) return NULL;                    // ImportError says what to do
 *         ...
 *     }
 *
 *     poolcore_pool *pool = api->pool_from_object(object); // a poolcore.Pool; NULL with an exception set
 *     void *block = api->alloc(pool, 1500);
 *     int verdict = api->free(pool, block);                // POOLCORE_LIVE: it was a live block
 *
 * Threads. Every function but pool_from_object may be called by any thread at any time, with the GIL or without,
 * also by threads that Python never saw. Blocks may be freed by another thread than the one that got them.
 *
 * Lifetime. A poolcore_pool lives as long as its Pool object: hold a reference to the object (Py_INCREF) while you
 * hold the pointer. When the Pool is closed, the pointer stays good: allocations answer NULL, frees
 * POOLCORE_CLOSED. Only a close *during* a call in another thread is the caller's to prevent.
 *
 * Any value may be given to free, free_ex, realloc, size_of, block_at and verdict_of as a block: stale, interior,
 * random, another allocator's. It is answered exactly and never read. A pool must be one.
 *
 * In a pool of an AddressSpace the pointers are the addresses of that space, and no memory lies behind them. While
 * Python restores a snapshot of it, requests answer NULL at once (they cannot wait: the restore's callbacks may need
 * the GIL that the caller holds); frees and questions are answered as ever.
 *
 * Versions. The table only grows, at its end; `version` and `size` say how far. poolcore_import() refuses a poolcore
 * that is older than this header. */
#ifndef POOLCORE_H
#define POOLCORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised with every function that is appended to the table. */
#define POOLCORE_API_VERSION 1

/* A pool, and one thread's part of a pool. */
typedef struct poolcore_pool poolcore_pool;
typedef struct poolcore_heap poolcore_heap;

/* What a free found. Python's poolcore.Verdict has the same names and values. */
enum poolcore_verdict {
    POOLCORE_LIVE = 0,       /* a live block: it is free now */
    POOLCORE_NULL = 1,       /* NULL */
    POOLCORE_DOUBLE = 2,     /* a block that is free already */
    POOLCORE_INTERIOR = 3,   /* inside a block, or between blocks; not the start of one */
    POOLCORE_FOREIGN = 4,    /* never handed out by any open pool */
    POOLCORE_OTHER_POOL = 5, /* inside another pool's memory; free it there */
    POOLCORE_EXPORTED = 6,   /* views of its Buffer are alive in Python; see POOLCORE_DEFER */
    POOLCORE_CORRUPT = 7,    /* written past its end, or while it was free (policies Guard and Fill) */
    POOLCORE_CLOSED = 8      /* the pool is closed */
};

/* Why an allocation answered NULL. */
enum poolcore_refusal {
    POOLCORE_REFUSED_NOT = 0,
    POOLCORE_REFUSED_MEMORY = 1,       /* no room, or the OS or a callback refused */
    POOLCORE_REFUSED_LIMIT_BYTES = 2,  /* limit_bytes is reached */
    POOLCORE_REFUSED_LIMIT_BLOCKS = 3, /* limit_blocks is reached */
    POOLCORE_REFUSED_CLOSED = 4,       /* the pool is closed */
    POOLCORE_REFUSED_FAULT = 5,        /* the policy Faults chose this request */
    POOLCORE_REFUSED_ALIGNMENT = 6,    /* no power of two, or more than half of the pool's range */
    POOLCORE_REFUSED_CALLBACK = 7,     /* called from inside on_map or on_unmap */
    POOLCORE_REFUSED_RESTORE = 8       /* another thread restores a snapshot: ask again */
};

/* Flags of alloc_ex. Unnamed bits are to be 0. */
#define POOLCORE_ZERO 1u /* the block's bytes are 0; without it they are what they happen to be */

/* Flags of free_ex. */
#define POOLCORE_DEFER 1u /* a block with live views is dead at once, and its memory serves again after the last */

/* Four characters as a tag, the first in the low byte, as Pool.get(tag="Ras ") has it. 0 is no tag. */
#define POOLCORE_TAG(a, b, c, d) \
    ((uint32_t)(uint8_t)(a) | (uint32_t)(uint8_t)(b) << 8 | (uint32_t)(uint8_t)(c) << 16 | (uint32_t)(uint8_t)(d) << 24)

/* State of a block, as block_at answers it. */
enum poolcore_state {
    POOLCORE_BLOCK_FREE = 0,
    POOLCORE_BLOCK_LIVE = 1,
    POOLCORE_BLOCK_EXPORTED = 2,   /* live, with views in Python */
    POOLCORE_BLOCK_DEFERRED = 3,   /* freed; its views are still alive */
    POOLCORE_BLOCK_QUARANTINED = 4 /* freed; waiting (policy Quarantine) */
};

/* This struct never changes: more would be told by another function. */
typedef struct poolcore_block {
    uint64_t address;  /* of its first byte */
    uint64_t size;     /* bytes that were asked for; 0 when free */
    uint64_t capacity; /* bytes that it occupies */
    uint32_t tag;
    uint32_t state;    /* enum poolcore_state */
} poolcore_block;

struct _object; /* PyObject */

typedef struct poolcore_api {
    uint32_t version; /* POOLCORE_API_VERSION of the poolcore that is installed */
    uint32_t size;    /* sizeof(poolcore_api) there */

    /* The pool behind a poolcore.Pool, the same pointer that Pool.c_functions().pool is. Needs the GIL. NULL with an
     * exception set: TypeError for another object, ValueError when it is closed. Takes no reference: see Lifetime. */
    poolcore_pool *(*pool_from_object)(struct _object *pool);

    /* A block of exactly `size` bytes, aligned to 16; 0 bytes are a block of their own. NULL: refused. For a pool of
     * one size the alloc and free of Pool.c_functions() take half the instructions, and mix with these. */
    void *(*alloc)(poolcore_pool *pool, size_t size);

    /* The same with an alignment (0, or a power of two: 4096, say), flags and a tag. `refusal` may be NULL; else
     * it is set to an enum poolcore_refusal, which explains a NULL. */
    void *(*alloc_ex)(poolcore_pool *pool, size_t size, size_t alignment, uint32_t flags, uint32_t tag, int *refusal);

    /* Gives a block back, and answers with an enum poolcore_verdict what `block` was. What was no live block changes
     * nothing. A Python Buffer of the block is dead from then on. */
    int (*free)(poolcore_pool *pool, void *block);
    int (*free_ex)(poolcore_pool *pool, void *block, uint32_t flags);

    /* As C's realloc: NULL allocates; the bytes up to the smaller size stay; NULL back leaves the old block as it
     * was. A block of 0 bytes is a block: nothing is freed. */
    void *(*realloc)(poolcore_pool *pool, void *block, size_t size);

    /* The same, explaining a NULL: by `verdict` when `block` is no live block (NULL is none here), else by
     * `refusal`. Both may be NULL. */
    void *(*realloc_ex)(poolcore_pool *pool, void *block, size_t size, int *verdict, int *refusal);

    /* All of `count` blocks of `size` bytes, or none: count, or 0 and the refusal (which may be NULL). */
    size_t (*alloc_many)(poolcore_pool *pool, size_t size, size_t count, void **blocks, int *refusal);

    /* Frees every good one and answers how many were; `verdicts` may be NULL, or has room for `count`. */
    size_t (*free_many)(poolcore_pool *pool, void *const *blocks, size_t count, int *verdicts);

    /* Bytes that were asked for, of a live block's first byte; 0 for all else, and for a block of 0 bytes. */
    size_t (*size_of)(poolcore_pool *pool, const void *block);

    /* Whether `address`, anywhere in it, is in a block that is or was handed out; if so, what block. */
    int (*block_at)(poolcore_pool *pool, const void *address, poolcore_block *block);

    /* What free would answer; frees nothing. */
    int (*verdict_of)(poolcore_pool *pool, const void *block);

    /* The calling thread's part of the pool, made if need be; never NULL, and of no use to other threads. A thread
     * with a deadline calls it once, before its first allocation would pay for it. Cython code that inlines
     * allocation passes it to heap_alloc and heap_free (see poolcore/__init__.pxd). */
    poolcore_heap *(*heap_here)(poolcore_pool *pool);
} poolcore_api;

#ifdef Py_PYTHON_H
/* The table, or NULL with ImportError set. Needs the GIL. */
static inline const poolcore_api *poolcore_import(void) {
    const poolcore_api *api = (const poolcore_api *)PyCapsule_Import("poolcore.C_API", 0);
    if (api == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ImportError))
            PyErr_SetString(PyExc_ImportError, "the poolcore that is installed has no C_API: install a newer one");
        return NULL;
    }
    if (api->version < POOLCORE_API_VERSION || api->size < sizeof(poolcore_api)) {
        PyErr_Format(PyExc_ImportError,
                     "this module was compiled with version %d of poolcore.h, and the poolcore that is installed has "
                     "version %d: install a newer one",
                     (int)POOLCORE_API_VERSION, (int)api->version);
        return NULL;
    }
    return api;
}
#endif

#ifdef __cplusplus
}
#endif

#endif /* POOLCORE_H */
