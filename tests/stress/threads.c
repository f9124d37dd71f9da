/* Native threads throw themselves at one pool after the other: every kind of pool, no Python anywhere, so
 * that a sanitizer sees the engine and nothing else.
 *
 *     threads ROUNDS SEED
 *
 * Prints one line per part; exits with 1 and one line that says what was wrong. */
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine.h"

enum { THREADS = 4, SLOTS = 256, BLOCKS = 2000, OWN = 64, MEMORY_BYTES = 16 << 20 };

static pool_t *pool;
static uint64_t slots[SLOTS];               /* blocks on their way from one thread to another, with size */
static uint64_t blocks[BLOCKS];
static uint64_t accepted[THREADS], refused_frees[THREADS], allocated[THREADS], rounds = 10, seed = 1;
static pthread_barrier_t gate;
static char memory[MEMORY_BYTES];

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
    _exit(1);
}

static uint64_t draw(uint64_t *state) {     /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Du;
}

static void open_pool(const pool_config_t *config) {
    const char *why = "";
    pool = ENGINE(pool_open)(config, &why);
    if (!pool)
        fail("the pool does not open: %s", why);
}

/* A pool with a front is asked through the functions that it has for C. */
static uint64_t take(uint64_t size) {
    if (ENGINE(pool_has_front)(pool))
        return (uint64_t)(uintptr_t)ENGINE(pool_front_alloc)(pool, size);
    return ENGINE(pool_alloc)(pool, size);
}

static int give(uint64_t address) {
    if (ENGINE(pool_has_front)(pool))
        return ENGINE(pool_front_free)(pool, (void *)(uintptr_t)address);
    return ENGINE(pool_free)(pool, address);
}

static pool_config_t plain(void) {
    pool_config_t config;
    memset(&config, 0, sizeof config);
    config.backing = ENUM(BACKING_PAGES);
    config.limit_bytes = config.limit_blocks = UINT64_MAX;
    return config;
}

static pool_stats_t at_rest(const char *part) {
    pool_stats_t stats;
    uint64_t where = 0;
    uint32_t skipped = 0;
    const char *broken = ENGINE(pool_check)(pool, &where, &skipped);
    if (broken)
        fail("%s: %s at %#lx", part, broken, (unsigned long)where);
    ENGINE(pool_stats)(pool, &stats);
    if (stats.live_blocks != stats.total_allocs - stats.total_frees)
        fail("%s: live %lu, allocs %lu, frees %lu", part, (unsigned long)stats.live_blocks,
             (unsigned long)stats.total_allocs, (unsigned long)stats.total_frees);
    return stats;
}

static void close_pool(const char *part) {
    pool_stats_t stats = at_rest(part);
    if (stats.live_blocks)
        fail("%s: %lu blocks are left", part, (unsigned long)stats.live_blocks);
    ENGINE(pool_trim)(pool);
    at_rest(part);
    ENGINE(pool_close)(pool);
    if (take(1) || give(64) != ENUM(VERDICT_CLOSED))
        fail("%s: a closed pool answers", part);
    ENGINE(pool_unmap)(pool);
    ENGINE(pool_dispose)(pool);
}

static void run(int count, void *(*body)(void *)) {
    pthread_t threads[THREADS];
    pthread_barrier_init(&gate, NULL, (unsigned)count);
    for (long i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, body, (void *)i))
            fail("no thread");
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&gate);
}

/* ---- the same blocks freed by two or more at once --------------------------------------------- */

static void *free_all(void *argument) {
    long me = (long)argument;
    uint64_t good = 0;
    pthread_barrier_wait(&gate);
    for (int i = 0; i < BLOCKS; i++) {
        int verdict = give(blocks[me & 2 ? BLOCKS - 1 - i : i]);
        if (verdict == ENUM(VERDICT_LIVE))
            good++;
        else if (verdict != ENUM(VERDICT_DOUBLE))
            fail("race: verdict %d", verdict);
    }
    accepted[me] = good;
    return NULL;
}

static void *own_and_free_all(void *argument) {
    if (!argument)
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = take(1 + (uint64_t)i % 300);
            if (!blocks[i])
                fail("race: refused");
        }
    return free_all(argument);
}

static void race(const char *part, int count, int is_owner_racing) {
    uint64_t late = at_rest(part).late_double_frees;
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t good = 0;
        pool_stats_t stats;
        if (!is_owner_racing)
            for (int i = 0; i < BLOCKS; i++)
                blocks[i] = take(1 + (uint64_t)i % 300);
        run(count, is_owner_racing ? own_and_free_all : free_all);
        for (int i = 0; i < count; i++)
            good += accepted[i];
        ENGINE(pool_trim)(pool);        /* what ended threads left is looked through */
        stats = at_rest(part);
        if (good - (stats.late_double_frees - late) != BLOCKS)
            fail("%s: %lu frees were good, %lu of them late doubles, of %d blocks", part, (unsigned long)good,
                 (unsigned long)(stats.late_double_frees - late), BLOCKS);
        if (stats.live_blocks)
            fail("%s: %lu blocks are left", part, (unsigned long)stats.live_blocks);
        late = stats.late_double_frees;
    }
    printf("%s: %lu rounds of %d blocks, %lu late double frees\n", part, (unsigned long)rounds, BLOCKS, (unsigned long)late);
}

/* ---- stale frees while slabs are given back and made anew -------------------------------------- */

static int is_over;

static void *come_and_go(void *argument) {
    uint64_t good = 0, made = 0, state = seed + 3;
    (void)argument;
    pthread_barrier_wait(&gate);
    for (uint64_t round = 0; round < rounds * 10; round++) {
        uint64_t size = round % 3 == 0 ? 12000 : round % 3 == 1 ? 30000 : 200;
        for (int i = 0; i < 200; i++) {
            uint64_t block = take(size + draw(&state) % 1000);
            if (!block)
                fail("stale: refused");
            made++;
            __atomic_store_n(&blocks[i], block, __ATOMIC_RELEASE);
        }
        for (int i = 0; i < 200; i++)
            good += give(blocks[i]) == ENUM(VERDICT_LIVE);
        if (round % 4 == 0)
            ENGINE(pool_trim)(pool);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    allocated[0] = made;
    accepted[0] = good;
    return NULL;
}

static void *throw_stale(void *argument) {
    long me = (long)argument;
    uint64_t good = 0, state = seed + (uint64_t)me;
    block_t found;
    if (!argument)
        return come_and_go(argument);
    pthread_barrier_wait(&gate);
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        uint64_t roll = draw(&state), block = __atomic_load_n(&blocks[roll % 200], __ATOMIC_ACQUIRE);
        if (!block)
            continue;
        ENGINE(pool_block_at)(pool, block + roll % 3, &found);
        ENGINE(pool_verdict_of)(pool, block);
        ENGINE(pool_size_of)(pool, block);
        if (roll % 16 == 0)
            good += give(block) == ENUM(VERDICT_LIVE);
    }
    accepted[me] = good;
    return NULL;
}

static void stale(const char *part) {
    pool_stats_t stats;
    uint64_t late = at_rest(part).late_double_frees;
    is_over = 0;
    memset(blocks, 0, sizeof blocks);
    run(2, throw_stale);
    ENGINE(pool_trim)(pool);
    stats = at_rest(part);
    late = stats.late_double_frees - late;
    if (accepted[0] + accepted[1] - late != allocated[0] || stats.live_blocks)
        fail("%s: %lu + %lu frees were good, %lu late, of %lu blocks; %lu are left", part, (unsigned long)accepted[0],
             (unsigned long)accepted[1], (unsigned long)late, (unsigned long)allocated[0],
             (unsigned long)stats.live_blocks);
    printf("%s: %lu of %lu blocks freed by the stranger\n", part, (unsigned long)accepted[1], (unsigned long)allocated[0]);
}

/* ---- everything at once ------------------------------------------------------------------------- */

static uint64_t fresh(uint64_t *state) {
    uint64_t roll = draw(state), size = roll % 100 == 0 ? 70000 + roll % 100000 : 16 + roll % 2000;
    uint64_t block = take(size);
    if (block) {
        ((uint64_t *)block)[0] = block ^ 0x5A5A5A5A5A5A5A5Au;
        ((uint64_t *)block)[1] = size;
        ((char *)block)[size - 1] = size > 16 ? 0x77 : ((char *)block)[size - 1];
    }
    return block;
}

static void take_back(uint64_t block) {
    int verdict;
    if (((uint64_t *)block)[0] != (block ^ 0x5A5A5A5A5A5A5A5Au))
        fail("mix: block %#lx was written to", (unsigned long)block);
    ((uint64_t *)block)[0] = 0;
    verdict = give(block);
    if (verdict != ENUM(VERDICT_LIVE))
        fail("mix: a good free was answered with %d", verdict);
}

static void *mix(void *argument) {
    long me = (long)argument;
    uint64_t state = seed * 977 + (uint64_t)me * 7919 + 1, own[OWN] = {0};
    pthread_barrier_wait(&gate);
    for (uint64_t i = 0; i < rounds * 2000; i++) {
        uint64_t roll = draw(&state), place = roll >> 32;
        uint64_t *mine = &own[place % OWN];
        switch (roll % 8) {
        case 0: case 1: case 2: {               /* own block, own free */
            if (*mine)
                take_back(*mine);
            *mine = fresh(&state);
            if (*mine)
                allocated[me]++;
            break;
        }
        case 3: case 4: case 5: {               /* to and from another thread */
            uint64_t block = fresh(&state), other;
            if (block)
                allocated[me]++;
            other = __atomic_exchange_n(&slots[place % SLOTS], block, __ATOMIC_ACQ_REL);
            if (other)
                take_back(other);
            break;
        }
        case 6:                                 /* nonsense */
            if (give(roll * 2654435761u) == ENUM(VERDICT_LIVE))
                fail("mix: nonsense was freed");
            if (*mine && give(*mine + 1 + place % 15) != ENUM(VERDICT_INTERIOR))
                fail("mix: an interior address was answered with %d", give(*mine + 1 + place % 15));
            refused_frees[me]++;
            break;
        default: {                              /* questions in the middle of it */
            block_t found;
            pool_stats_t stats;
            if (*mine && (!ENGINE(pool_block_at)(pool, *mine + 1, &found) || found.address != *mine
                          || found.size != ((uint64_t *)*mine)[1]))
                fail("mix: block_at does not know %#lx", (unsigned long)*mine);
            if (place % 64 == 0) {
                ENGINE(pool_stats)(pool, &stats);
                if (stats.live_blocks > stats.total_allocs || stats.live_blocks > 1u << 30)
                    fail("mix: live %lu of %lu", (unsigned long)stats.live_blocks, (unsigned long)stats.total_allocs);
            }
            if (place % 512 == 0)
                ENGINE(pool_trim)(pool);
        }
        }
    }
    for (int i = 0; i < OWN; i++)               /* half of them are left to be taken over */
        if (own[i]) {
            uint64_t other = i % 2 ? 0 : __atomic_exchange_n(&slots[i], own[i], __ATOMIC_ACQ_REL);
            if (i % 2)
                take_back(own[i]);
            else if (other)
                take_back(other);
        }
    return NULL;
}

static void mixed(const char *part, const pool_config_t *config) {
    uint64_t left = 0, made = 0;
    pool_stats_t stats;
    open_pool(config);
    memset(slots, 0, sizeof slots);
    memset(allocated, 0, sizeof allocated);
    run(THREADS, mix);
    stats = at_rest(part);
    for (int i = 0; i < SLOTS; i++)
        left += slots[i] != 0;
    for (int i = 0; i < THREADS; i++)
        made += allocated[i];
    if (stats.live_blocks != left || stats.total_allocs != made)
        fail("%s: live %lu of %lu, expected %lu of %lu", part, (unsigned long)stats.live_blocks,
             (unsigned long)stats.total_allocs, (unsigned long)left, (unsigned long)made);
    run(THREADS, mix);                          /* new threads, the old heaps */
    for (int i = 0; i < SLOTS; i++)
        if (slots[i])
            take_back(slots[i]);
    close_pool(part);
    printf("%s: %lu allocations\n", part, (unsigned long)made);
}

/* ---- a limit, exact between threads ------------------------------------------------------------- */

static void *fill_up(void *argument) {
    long me = (long)argument;
    allocated[me] = 0;
    pthread_barrier_wait(&gate);
    for (int i = 0; i < BLOCKS; i++) {
        uint64_t block = take(100);
        if (!block)
            break;
        __atomic_store_n(&blocks[me * (BLOCKS / THREADS) + (long)allocated[me]++], block, __ATOMIC_RELAXED);
        if (allocated[me] == BLOCKS / THREADS)
            break;
    }
    return NULL;
}

/* One thread asks for more bytes than there are, again and again; the other stays one block below the limit of
 * blocks and must never be refused. */
static void *ask_too_much(void *argument) {
    pthread_barrier_wait(&gate);
    for (uint64_t i = 0; i < rounds * 5000; i++) {
        if (argument) {
            uint64_t block = take(100);
            if (!block || give(block))
                fail("limit: a request that fits was refused beside one that does not");
        } else if (take(2000))
            fail("limit: a request beyond the bytes was granted");
    }
    return NULL;
}

static void crowded(void) {
    pool_config_t config = plain();
    uint64_t block;
    config.limit_blocks = 2;
    config.limit_bytes = 1000;
    open_pool(&config);
    block = take(100);
    run(2, ask_too_much);
    give(block);
    close_pool("crowded limit");
    printf("crowded limit: %lu requests\n", (unsigned long)rounds * 10000);
}

static void limited(void) {
    pool_config_t config = plain();
    config.limit_blocks = BLOCKS / 2 + 1;
    config.limit_bytes = 100 * (BLOCKS / 2);
    open_pool(&config);
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t made = 0;
        memset(blocks, 0, sizeof blocks);
        run(THREADS, fill_up);
        for (int i = 0; i < THREADS; i++)
            made += allocated[i];
        if (made != BLOCKS / 2)
            fail("limit: %lu blocks were granted of %d", (unsigned long)made, BLOCKS / 2);
        if (take(1))
            fail("limit: one byte beyond it was granted");
        at_rest("limit");
        for (int i = 0; i < BLOCKS; i++)
            if (blocks[i] && give(blocks[i]))
                fail("limit: a good free was refused");
    }
    close_pool("limit");
    printf("limit: %lu rounds\n", (unsigned long)rounds);
}

/* ---- fork in the middle ------------------------------------------------------------------------- */

static void *busy(void *argument) {
    uint64_t state = seed + (uint64_t)(long)argument + 5;
    pthread_barrier_wait(&gate);
    if (argument) {
        while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
            uint64_t block = fresh(&state);
            uint64_t other = __atomic_exchange_n(&slots[draw(&state) % SLOTS], block, __ATOMIC_ACQ_REL);
            if (other)
                take_back(other);
        }
        return NULL;
    }
    for (uint64_t i = 0; i < rounds; i++) {
        pid_t child = fork();
        int status = 0;
        if (child == 0) {
            uint64_t where = 0;
            uint32_t skipped = 0;
            const char *broken = ENGINE(pool_check)(pool, &where, &skipped);
            if (broken)
                fail("fork: in the child: %s at %#lx", broken, (unsigned long)where);
            for (int k = 0; k < SLOTS; k++)
                if (slots[k] && give(slots[k]) == ENUM(VERDICT_INTERIOR))
                    fail("fork: a parent's block is not one in the child");
            for (int k = 0; k < 100; k++)
                if (!fresh(&state))
                    fail("fork: nothing to be had in the child");
            broken = ENGINE(pool_check)(pool, &where, &skipped);
            if (broken)
                fail("fork: in the child, later: %s at %#lx", broken, (unsigned long)where);
            _exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status)
            fail("fork: the child ended with %d", status);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void forked(const pool_config_t *config) {
    is_over = 0;
    open_pool(config);
    memset(slots, 0, sizeof slots);
    run(3, busy);
    for (int i = 0; i < SLOTS; i++)
        if (slots[i])
            take_back(slots[i]);
    close_pool("fork");
    printf("fork: %lu children\n", (unsigned long)rounds);
}

int main(int argc, char **argv) {
    pool_config_t config = plain();
    if (argc > 1)
        rounds = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    setvbuf(stdout, NULL, _IOLBF, 0);

    open_pool(&config);
    race("two strangers free the same", 2, 0);
    race("the owner and a stranger free the same", 2, 1);
    race("four free the same", 4, 1);
    close_pool("race");

    open_pool(&config);
    stale("stale frees");
    close_pool("stale frees");
    config.limit_blocks = 1000000;
    open_pool(&config);
    race("with a limit, two strangers free the same", 2, 0);
    race("with a limit, the owner and a stranger free the same", 2, 1);
    close_pool("race with a limit");
    config = plain();

    mixed("own pages", &config);
    config.backing = ENUM(BACKING_BUFFER);
    config.base = (uint64_t)(uintptr_t)memory;
    config.size = sizeof memory;
    mixed("caller's buffer", &config);
    config = plain();
    config.limit_bytes = 1 << 20;
    config.limit_blocks = 600;
    mixed("limits", &config);
    config = plain();
    config.quarantine_blocks = 32;
    config.events_capacity = 128;
    config.is_filled = 1;
    config.fill_alloc = 0xCD;
    config.fill_free = 0xDD;
    mixed("quarantine, fill, events", &config);
    config = plain();
    config.guard_every = 4;
    mixed("guard", &config);
    limited();
    crowded();
    config = plain();
#ifndef NO_FORK
    forked(&config);
#endif
    config.class_count = 1;
    config.class_bytes[0] = 2016;
    open_pool(&config);
    race("with a front, two strangers free the same", 2, 0);
    race("with a front, the owner and a stranger free the same", 2, 1);
    stale("with a front, stale frees");
    close_pool("with a front");
    mixed("with a front", &config);
#ifndef NO_FORK
    forked(&config);
#endif
    return 0;
}
