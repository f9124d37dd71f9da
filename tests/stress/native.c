/* Native threads that call a pool through the addresses of Pool.c_functions(). */
#include <pthread.h>
#include <stdint.h>
#include <string.h>

typedef void *(*alloc_t)(void *pool, size_t size);
typedef int (*free_t)(void *pool, void *block);

enum { OWN = 64 };

struct race { void *pool; free_t release; void **blocks; long count, good; pthread_barrier_t *gate; };

static void *free_all(void *argument) {
    struct race *race = argument;
    pthread_barrier_wait(race->gate);
    for (long i = 0; i < race->count; i++)
        race->good += race->release(race->pool, race->blocks[i]) == 0;
    return NULL;
}

/* Two threads free all blocks; how many frees were good. */
long race(void *pool, free_t release, void **blocks, long count) {
    pthread_t threads[2];
    pthread_barrier_t gate;
    struct race races[2] = {{pool, release, blocks, count, 0, &gate}, {pool, release, blocks, count, 0, &gate}};
    pthread_barrier_init(&gate, NULL, 2);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, free_all, &races[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return races[0].good + races[1].good;
}

/* Allocates, writes, compares and frees `count` times; how often something was wrong. */
long churn(void *pool, alloc_t allocate, free_t release, long count) {
    uint64_t *own[OWN] = {0}, state = (uintptr_t)&own | 1;
    long wrong = 0;
    for (long i = 0; i < count; i++) {
        uint64_t **mine;
        state = state * 6364136223846793005u + 1442695040888963407u;
        mine = &own[(state >> 33) % OWN];
        if (*mine) {
            wrong += **mine != (uintptr_t)*mine;
            wrong += release(pool, *mine) != 0;
            wrong += release(pool, (char *)pool + (state >> 20)) == 0;
        }
        *mine = allocate(pool, 8 + (state >> 40) % 3000);
        if (*mine)
            **mine = (uintptr_t)*mine;
        else
            wrong++;
    }
    for (int i = 0; i < OWN; i++)
        if (own[i])
            wrong += release(pool, own[i]) != 0;
    return wrong;
}

struct late { void *pool; alloc_t allocate; free_t release; void **blocks; long count, wrong; int calls; pthread_key_t key; };

static void late_destructor(void *argument) {
    struct late *late = argument;
    long part = late->count / 3;
    for (long i = late->calls * part; i < (late->calls + 1) * part; i++)
        late->wrong += late->release(late->pool, late->blocks[i]) != 0;
    if (++late->calls < 3)                  /* again, after every other key's destructor */
        pthread_setspecific(late->key, late);
    else {
        void *block = late->allocate(late->pool, 100);
        if (block)
            late->wrong += late->release(late->pool, block) != 0;
        for (long i = 3 * part; i < late->count; i++)
            late->wrong += late->release(late->pool, late->blocks[i]) != 0;
    }
}

static void *end_late(void *argument) {
    struct late *late = argument;
    void *block = late->allocate(late->pool, 100);
    late->wrong += !block || late->release(late->pool, block) != 0;
    pthread_setspecific(late->key, late);
    return NULL;
}

/* A thread whose own destructors call the pool, before and after the pool's; how much was wrong. */
long free_in_destructor(void *pool, alloc_t allocate, free_t release, void **blocks, long count) {
    struct late late = {pool, allocate, release, blocks, count, 0, 0, 0};
    pthread_t thread;
    pthread_key_create(&late.key, late_destructor);
    pthread_create(&thread, NULL, end_late, &late);
    pthread_join(thread, NULL);
    pthread_key_delete(late.key);
    return late.wrong;
}
