/* Four threads that hand each other blocks: what workers.pybuf.xz was recorded from, and what the recorder's tests run.
 *
 *   cc -O2 -o workers workers.c -pthread && pybuf record -o workers.pybuf -- ./workers 400
 *
 * Every worker makes COUNT requests of its own sizes: most it frees itself, some it grows, every fourth it hands to the
 * next worker, which frees it. At the end nothing is live but what the C library keeps.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 4, HELD = 8 };

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    void *inbox[4096];
    int waiting;
    int number;
};

static struct worker workers[WORKERS];
static int count;

static void hand(struct worker *to, void *block)
{
    pthread_mutex_lock(&to->lock);
    to->inbox[to->waiting++] = block;
    pthread_mutex_unlock(&to->lock);
}

static void *take(struct worker *from)
{
    pthread_mutex_lock(&from->lock);
    void *block = from->waiting ? from->inbox[--from->waiting] : NULL;
    pthread_mutex_unlock(&from->lock);
    return block;
}

static void *work(void *argument)
{
    struct worker *me = argument;
    void *held[HELD] = {0};
    uint32_t random = 12345u + (uint32_t)me->number;
    for (int request = 0; request < count; request++) {
        random = random * 1664525u + 1013904223u;
        size_t size = 16 + (random >> 20) % 500;
        int place = request % HELD;
        free(held[place]);
        void *block = NULL;
        if (request % 16 == 0 && posix_memalign(&block, 64, size))
            return "no memory";
        if (!block)
            block = request % 5 ? malloc(size) : calloc(1, size);
        memset(block, me->number, size);
        if (request % 7 == 0)
            block = realloc(block, 3 * size);
        if (request % 4 == 3) {
            hand(&workers[(me->number + 1) % WORKERS], block);
            block = take(me);
        }
        held[place] = block;
    }
    for (int place = 0; place < HELD; place++)
        free(held[place]);
    return NULL;
}

int main(int argc, char **argv)
{
    count = argc > 1 ? atoi(argv[1]) : 1000;
    if (count < 1 || count > 4 * 4096)
        return 2;
    for (int number = 0; number < WORKERS; number++) {
        workers[number].number = number;
        pthread_mutex_init(&workers[number].lock, NULL);
        if (pthread_create(&workers[number].thread, NULL, work, &workers[number]))
            return 1;
    }
    for (int number = 0; number < WORKERS; number++) {
        void *answer;
        pthread_join(workers[number].thread, &answer);
        if (answer)
            return 1;
    }
    for (int number = 0; number < WORKERS; number++)
        for (void *block; (block = take(&workers[number]));)
            free(block);
    return 0;
}
