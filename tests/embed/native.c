/* A library without Python: threads that leave blocks for each other, through the pointers of Pool.c_functions(). */
#include <pthread.h>
#include <stdint.h>
#include <string.h>

enum { THREADS = 4, PLACES = 64 };

typedef struct {
    void *pool;
    void *(*alloc)(void *pool, size_t size);
    int (*free)(void *pool, void *block);
    void *(*realloc)(void *pool, void *block, size_t size);
    void *(*calloc)(void *pool, size_t count, size_t size);
    void *(*aligned)(void *pool, size_t alignment, size_t size);
} functions_t;

typedef struct {
    const functions_t *pool;
    unsigned char **places;
    uint64_t state;
    long times, bad;
} worker_t;

/* A block's pattern: its size in two bytes, then the low one. */
static unsigned char *filled(unsigned char *block, size_t size) {
    memset(block, (int)(size & 0xFF), size);
    block[1] = (unsigned char)(size >> 8);
    return block;
}

static int is_whole(const unsigned char *block) {
    size_t size = block[0] | (size_t)block[1] << 8, i;
    for (i = 2; i < size; i++)
        if (block[i] != block[0]) return 0;
    return 1;
}

static unsigned char *take(worker_t *me, size_t size) {
    const functions_t *pool = me->pool;
    unsigned char *block;
    size_t i;
    switch (me->state >> 60) {
    case 0:
        block = pool->aligned(pool->pool, 4096, size);
        return block && (uintptr_t)block % 4096 == 0 ? filled(block, size) : NULL;
    case 1:
        block = pool->calloc(pool->pool, 1, size);
        for (i = 0; block && i < size; i++)
            if (block[i]) return NULL;
        return block ? filled(block, size) : NULL;
    case 2:
        block = pool->alloc(pool->pool, 4 + size / 3);
        if (!block || !is_whole(filled(block, 4 + size / 3))) return NULL;
        block = pool->realloc(pool->pool, block, size);
        return block && block[2] == ((4 + size / 3) & 0xFF) ? filled(block, size) : NULL;
    default:
        block = pool->alloc(pool->pool, size);
        return block ? filled(block, size) : NULL;
    }
}

static void *work(void *argument) {
    worker_t *me = argument;
    while (me->times--) {
        unsigned char *block;
        me->state = me->state * 6364136223846793005u + 1442695040888963407u;
        block = take(me, 4 + (me->state >> 40) % 3000);
        if (!block) {
            me->bad++;
            continue;
        }
        block = __atomic_exchange_n(&me->places[(me->state >> 33) % PLACES], block, __ATOMIC_ACQ_REL);
        if (block && (!is_whole(block) || me->pool->free(me->pool->pool, block) != 0)) me->bad++;
    }
    return NULL;
}

/* What went wrong; the blocks that are left at the end are freed, and freed once more in vain. */
long exchange_blocks(const functions_t *pool, long times) {
    unsigned char *places[PLACES] = {0};
    worker_t workers[THREADS];
    pthread_t threads[THREADS];
    long bad = 0;
    int i;
    for (i = 0; i < THREADS; i++) {
        workers[i] = (worker_t){pool, places, (uint64_t)i + 1, times, 0};
        if (pthread_create(&threads[i], NULL, work, &workers[i])) return -1;
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        bad += workers[i].bad;
    }
    for (i = 0; i < PLACES; i++)
        if (places[i]) bad += (pool->free(pool->pool, places[i]) != 0) + (pool->free(pool->pool, places[i]) != 2);
    return bad;
}
