/* Floors: the cheapest pools that could be written, in plain C, for one fixed block size.
 *
 * They bound what an allocator can reach on the machine at hand, so that a ratio to them means the
 * same on another machine. All have the signature of the engine's table of functions,
 *
 *     void *alloc(void *pool, size_t size)        int free(void *pool, void *block)
 *
 * and are called through pointers like every other contender.
 *
 *   F0  empty       two calls that do nothing: what the loop and the calls cost
 *   F1  intrusive   a LIFO list threaded through the free blocks; any bad free corrupts it
 *   F3  validated   F1 plus everything that makes freeing an arbitrary pointer safe: range check,
 *                   slab metadata found by shifting, exact-division alignment test, allocated bit
 *
 * Single-threaded, never give memory back before floor_pool_close. The functions are static, so no
 * call goes through the procedure linkage table.
 */
#ifndef PYBUF_BENCH_FLOORS_H
#define PYBUF_BENCH_FLOORS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define FLOOR_SLAB_SHIFT 16
#define FLOOR_SLAB_BYTES ((size_t)1 << FLOOR_SLAB_SHIFT)
#define FLOOR_SMALLEST_BLOCK (FLOOR_SLAB_BYTES / 64)    /* one word of allocated bits per slab */

#define FLOOR_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define FLOOR_SLOW __attribute__((noinline, cold))

/* What free answers; the numbers are those of poolcore's verdicts. */
enum floor_verdict { FLOOR_LIVE = 0, FLOOR_DOUBLE = 2, FLOOR_INTERIOR = 3, FLOOR_FOREIGN = 4 };

/* Invariants: head is NULL exactly while the slab is full or not carved; a slab is on the pool's
 * partial list exactly while it has a free block and is not the pool's current slab; bit i of
 * live_bits is set exactly while block i is the caller's. */
struct floor_slab {
    void *head;                     /* first free block; its first word links to the next */
    struct floor_slab *next_partial;
    uint64_t live_bits;
} __attribute__((aligned(128)));    /* so that neighbours never share a pair of cache lines */

struct floor_pool {
    char *base;                     /* slab-aligned start of the reserved range */
    size_t range_bytes;             /* of the slabs carved so far: a free beyond them is foreign */
    struct floor_slab *slabs;       /* one per FLOOR_SLAB_BYTES of the range */
    size_t block_bytes;
    uint32_t inverse;               /* of the odd part of block_bytes, modulo 2^32 */
    uint32_t rotate;                /* trailing zero bits of block_bytes */
    uint32_t blocks_per_slab;
    struct floor_slab *current;     /* the slab that alloc takes from */
    struct floor_slab *partial;
    void *head;                     /* F1's list */
    size_t limit_bytes;             /* of the reserved range */
    void *mapping;
    size_t mapping_bytes;
};

/* ---- F0 ---------------------------------------------------------------------------------- */

static void *floor_empty_alloc(void *pool, size_t size) {
    (void)size;
    return pool;                    /* floor_pool_start: any address the caller may touch */
}

static int floor_empty_free(void *pool, void *block) {
    (void)pool;
    (void)block;
    return FLOOR_LIVE;
}

/* ---- F1 ---------------------------------------------------------------------------------- */

/* Carves the next slab of the range and links its blocks in address order; NULL when none is left. */
static FLOOR_SLOW struct floor_slab *floor_slab_carve(struct floor_pool *pool) {
    if (pool->range_bytes == pool->limit_bytes)
        return NULL;
    struct floor_slab *slab = pool->slabs + (pool->range_bytes >> FLOOR_SLAB_SHIFT);
    char *start = pool->base + pool->range_bytes;
    void *head = NULL;
    for (uint32_t index = pool->blocks_per_slab; index-- > 0;) {
        void **block = (void **)(start + index * pool->block_bytes);
        *block = head;
        head = block;
    }
    slab->head = head;
    pool->range_bytes += FLOOR_SLAB_BYTES;
    return slab;
}

static FLOOR_SLOW void *floor_intrusive_alloc_slow(struct floor_pool *pool) {
    struct floor_slab *slab = floor_slab_carve(pool);
    if (slab == NULL)
        return NULL;
    void *block = slab->head;
    pool->head = *(void **)block;
    return block;
}

static void *floor_intrusive_alloc(void *handle, size_t size) {
    struct floor_pool *pool = handle;
    (void)size;
    void *block = pool->head;
    if (FLOOR_UNLIKELY(block == NULL))
        return floor_intrusive_alloc_slow(pool);
    pool->head = *(void **)block;
    return block;
}

static int floor_intrusive_free(void *handle, void *block) {
    struct floor_pool *pool = handle;
    *(void **)block = pool->head;
    pool->head = block;
    return FLOOR_LIVE;
}

/* ---- F3 ---------------------------------------------------------------------------------- */

/* Exact division: for a multiple of block_bytes this is the block's index, for any other offset a
 * number of at least blocks_per_slab. One multiplication does the bound and the alignment test. */
static inline uint32_t floor_block_index(const struct floor_pool *pool, size_t offset) {
    uint32_t product = (uint32_t)(offset & (FLOOR_SLAB_BYTES - 1)) * pool->inverse;
    return product >> (pool->rotate & 31) | product << (-pool->rotate & 31);
}

static FLOOR_SLOW void *floor_validated_alloc_slow(struct floor_pool *pool, size_t size);

static void *floor_validated_alloc(void *handle, size_t size) {
    struct floor_pool *pool = handle;
    struct floor_slab *slab = pool->current;
    void *block = slab->head;
    if (FLOOR_UNLIKELY(block == NULL || size > pool->block_bytes))
        return floor_validated_alloc_slow(pool, size);
    slab->head = *(void **)block;
    uint32_t index = floor_block_index(pool, (size_t)((char *)block - pool->base));
    slab->live_bits |= (uint64_t)1 << index;
    return block;
}

static FLOOR_SLOW void *floor_validated_alloc_slow(struct floor_pool *pool, size_t size) {
    if (size > pool->block_bytes)
        return NULL;
    struct floor_slab *slab = pool->partial;
    if (slab != NULL)
        pool->partial = slab->next_partial;
    else if ((slab = floor_slab_carve(pool)) == NULL)
        return NULL;
    pool->current = slab;
    return floor_validated_alloc(pool, size);
}

static FLOOR_SLOW int floor_slab_relink(struct floor_pool *pool, struct floor_slab *slab) {
    if (slab != pool->current) {
        slab->next_partial = pool->partial;
        pool->partial = slab;
    }
    return FLOOR_LIVE;
}

static int floor_validated_free(void *handle, void *block) {
    struct floor_pool *pool = handle;
    size_t offset = (size_t)((char *)block - pool->base);
    if (FLOOR_UNLIKELY(offset >= pool->range_bytes))
        return FLOOR_FOREIGN;
    struct floor_slab *slab = pool->slabs + (offset >> FLOOR_SLAB_SHIFT);
    uint32_t index = floor_block_index(pool, offset);
    if (FLOOR_UNLIKELY(index >= pool->blocks_per_slab))
        return FLOOR_INTERIOR;
    uint64_t bits = slab->live_bits;
    if (FLOOR_UNLIKELY((bits >> index & 1) == 0))
        return FLOOR_DOUBLE;
    slab->live_bits = bits & ~((uint64_t)1 << index);
    void *head = slab->head;
    *(void **)block = head;
    slab->head = block;
    if (FLOOR_UNLIKELY(head == NULL))
        return floor_slab_relink(pool, slab);
    return FLOOR_LIVE;
}

/* ---- open, close ------------------------------------------------------------------------- */

static void floor_pool_close(struct floor_pool *pool) {
    if (pool == NULL)
        return;
    free(pool->slabs);
    if (pool->mapping != NULL)
        munmap(pool->mapping, pool->mapping_bytes);
    free(pool);
}

/* A pool for blocks of at least `size` bytes (1 KiB to 64 KiB, rounded up to 16) in a range of
 * `capacity_bytes`, rounded up to whole slabs. NULL when the memory cannot be had. */
static struct floor_pool *floor_pool_open(size_t size, size_t capacity_bytes) {
    struct floor_pool *pool = aligned_alloc(64, (sizeof *pool + 63) & ~(size_t)63);
    if (pool == NULL)
        return NULL;
    *pool = (struct floor_pool){0};
    pool->block_bytes = (size + 15) & ~(size_t)15;
    pool->blocks_per_slab = (uint32_t)(FLOOR_SLAB_BYTES / pool->block_bytes);
    pool->rotate = (uint32_t)__builtin_ctzll(pool->block_bytes);
    uint32_t odd = (uint32_t)(pool->block_bytes >> pool->rotate);
    pool->inverse = odd;            /* right to 3 bits; each Newton step doubles them */
    for (int step = 0; step < 4; step++)
        pool->inverse *= 2 - odd * pool->inverse;

    pool->limit_bytes = (capacity_bytes + FLOOR_SLAB_BYTES - 1) & ~(FLOOR_SLAB_BYTES - 1);
    pool->mapping_bytes = pool->limit_bytes + FLOOR_SLAB_BYTES;
    void *mapping = mmap(NULL, pool->mapping_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t slabs_bytes = (pool->limit_bytes >> FLOOR_SLAB_SHIFT) * sizeof *pool->slabs;
    pool->slabs = aligned_alloc(sizeof *pool->slabs, slabs_bytes);
    if (mapping != MAP_FAILED)
        pool->mapping = mapping;
    if (pool->mapping == NULL || pool->slabs == NULL) {
        floor_pool_close(pool);
        return NULL;
    }
    for (size_t number = 0; number < pool->limit_bytes >> FLOOR_SLAB_SHIFT; number++)
        pool->slabs[number] = (struct floor_slab){0};
    pool->base = (char *)(((uintptr_t)mapping + FLOOR_SLAB_BYTES - 1) & ~(FLOOR_SLAB_BYTES - 1));
    pool->current = pool->slabs;    /* not carved: the first alloc carves it */
    return pool;
}

/* Memory of the pool: what F0 answers to every alloc. */
static void *floor_pool_start(struct floor_pool *pool) {
    return pool->base;
}

#endif
