/* Pools whose metadata run out: what is refused changes nothing.
 *
 *     exhaust SEED
 *
 * Pools of each kind, with room for a few KiB of metadata, serve random requests, tagged or held or neither. Each block
 * that was had keeps its size, tag and bytes until its free, which is LIVE; the invariants hold throughout; what was
 * refused is not counted as granted; nothing is lost; and with metadata again each pool serves every size. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

enum { LIVE_MAX = 2000, ROUNDS = 8, CALLS = 2500, RUN = 100000 };
enum { BUFFER_BYTES = 1 << 20 };

static const char *kind;
static uint64_t state;
static pool_t *pool;
static struct { uint64_t address, size; hold_t *hold; } live[LIVE_MAX];
static hold_t holds[LIVE_MAX];
static int live_count, has_memory;
static uint64_t granted, refused, limit;      /* metadata end there, in units */

static uint64_t draw(uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static void fail(const char *what, const char *which) {
    printf("exhaust: %s pool: %s %s\n", kind, what, which);
    fflush(stdout);
    _exit(1);
}

static void look(void) {
    const char *broken = ENGINE(pool_check)(pool, NULL, NULL);
    if (broken)
        fail("check names", broken);
}

static uint64_t some_size(void) { return draw(50) ? 1 + draw(1u << (4 + draw(13))) : RUN + draw(RUN); }

static void allocate(void) {
    uint64_t size = some_size(), address;
    uint32_t tag = draw(2) ? 0x64636261 : 0;
    hold_t *hold = draw(2) ? &holds[live_count] : NULL;
    block_t found;
    int refusal = ENUM(REFUSAL_NONE);
    if (live_count == LIVE_MAX)
        return;
    address = hold ? ENGINE(pool_alloc_held)(pool, size, 0, 0, tag, hold, &refusal)
                   : ENGINE(pool_alloc_ex)(pool, size, 0, 0, tag, &refusal);
    if (!address) {
        if (refusal != ENUM(REFUSAL_MEMORY))
            fail("a refusal is not for want of", "memory");
        refused++;
        return;
    }
    granted++;
    if (hold && (hold->address != address || hold->size != size))
        fail("a Buffer has another", "address or size");
    ENGINE(pool_block_at)(pool, address, &found);
    if (found.tag != tag || found.freed)
        fail("a block has another", "tag");
    if (has_memory)
        memset((void *)address, (int)(address >> 4), size);
    live[live_count].address = address;
    live[live_count].size = size;
    live[live_count++].hold = hold;
}

/* The latest block, or one from below it when neither has a hold: holds[] stays in step with live[]. */
static void give_back(void) {
    int which = live_count - 1, verdict;
    if (live_count == 0)
        return;
    if (!live[which].hold) {
        int other = (int)draw((uint64_t)live_count);
        if (!live[other].hold) {
            uint64_t address = live[which].address, size = live[which].size;
            live[which].address = live[other].address;
            live[which].size = live[other].size;
            live[other].address = address;
            live[other].size = size;
        }
    }
    if (ENGINE(pool_size_of)(pool, live[which].address) != live[which].size)
        fail("a block has another", "size");
    for (uint64_t i = 0; has_memory && i < live[which].size; i++)
        if (((uint8_t *)live[which].address)[i] != (uint8_t)(live[which].address >> 4))
            fail("a block was", "written to");
    verdict = live[which].hold && draw(2) ? ENGINE(pool_free_held)(pool, live[which].hold, 0)
                                          : ENGINE(pool_free)(pool, live[which].address);
    if (verdict != ENUM(VERDICT_LIVE))
        fail("a free was", "refused");
    if (live[which].hold && live[which].hold->slab)
        fail("a freed block's Buffer is", "alive");
    live_count--;
}

/* With no block live and no slab left, every piece is free. */
static void look_at_the_rest(void) {
    pool_stats_t stats;
    uint64_t freed = 0;
    ENGINE(quarantine_drain)(pool, 0, 0);
    ENGINE(pool_trim)(pool);
    if (pool->corrupt_blocks)
        fail("a block was called", "corrupt");
    if (pool->free_granules != pool->top)
        fail("a granule is", "not given back");
    for (uint32_t order = 0; order < ENUM(META_ORDERS); order++)
        for (uint64_t place = pool->meta.free[order]; place; place = *ENGINE(meta_links)(pool, place))
            freed += (uint64_t)1 << order;
    if (pool->meta.used - freed != 1)
        fail("metadata are", "lost");
    ENGINE(pool_stats)(pool, &stats);
    if (stats.total_allocs != granted || stats.live_blocks)
        fail("the counts are", "wrong");
}

static void serve(const pool_config_t *config) {
    const char *why = "";
    uint64_t end;
    pool = ENGINE(pool_open)(config, &why);
    if (!pool)
        fail("not opened:", why);
    end = pool->meta.records;
    limit = pool->meta.records = 16 + draw(1024);
    granted = 0;
    for (int i = 0; i < CALLS; i++) {
        if (draw(100) < (i / 400 % 2 ? 40u : 60u))
            allocate();
        else
            give_back();
        if (i % 250 == 0)
            look();
        if (draw(1000) == 0)
            ENGINE(pool_trim)(pool);
    }
    while (live_count)
        give_back();
    look();
    look_at_the_rest();
    pool->meta.used = limit;
    pool->meta.records = end;
    limit = 0;
    for (uint64_t size = 16; size <= 2 * RUN; size += size < 128 ? 16 : size / 4) {
        uint64_t address = ENGINE(pool_alloc_ex)(pool, size, 0, 0, 1, NULL);
        if (!address || ENGINE(pool_free)(pool, address) != ENUM(VERDICT_LIVE))
            fail("refused although there are metadata", "again");
    }
    look();
    ENGINE(pool_close)(pool);
}

static void exhaust(const char *name, pool_config_t config) {
    uint64_t all = 0;
    kind = name;
    refused = 0;
    has_memory = config.backing != ENUM(BACKING_SPACE);
    for (int round = 0; round < ROUNDS; round++) {
        serve(&config);
        all += granted;
    }
    printf("%s pool: %lu granted, %lu refused\n", name, all, refused);
    if (!all || !refused)
        fail("nothing was", all ? "refused" : "granted");
}

/* Every fifth is refused, while metadata are short. */
static int answer_map(void *context, uint64_t address, uint64_t size) {
    static unsigned calls;
    return ++calls % 5 || limit == 0 ? 0 : -1;
}
static int answer_unmap(void *context, uint64_t address, uint64_t size) { return 0; }

/* An empty slab's tags serve a request for which there is no other room. */
static void give_way(const pool_config_t *config) {
    const char *why = "";
    uint64_t blocks[13000];
    kind = "giving";
    pool = ENGINE(pool_open)(config, &why);
    for (int i = 0; i < 13000; i++)
        blocks[i] = ENGINE(pool_alloc_ex)(pool, 16, 0, 0, 1, NULL);
    for (int i = 0; i < 13000; i++)
        ENGINE(pool_free)(pool, blocks[i]);
    ENGINE(pool_alloc)(pool, 2048);         /* its slab has no tags yet */
    pool->meta.records = pool->meta.used;
    while (ENGINE(meta_alloc)(pool, 1024))      /* as long as the tags of that slab */
        ;
    if (!ENGINE(pool_alloc_ex)(pool, 2048, 0, 0, 1, NULL))
        fail("empty slabs keep their", "tags");
    look();
    ENGINE(pool_close)(pool);
}

int main(int argc, char **argv) {
    static uint8_t memory[BUFFER_BYTES];
    pool_config_t plain = {0}, other;
    plain.limit_bytes = plain.limit_blocks = UINT64_MAX;
    plain.reserve_bytes = 64 << 20;
    state = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    printf("seed %lu\n", state);
    exhaust("plain", plain);
    other = plain, other.limit_blocks = 1 << 20, exhaust("limited", other);
    other = plain, other.class_count = 1, other.class_bytes[0] = 64, exhaust("one-class", other);
    other = plain, other.backing = ENUM(BACKING_BUFFER), other.base = (uint64_t)memory, other.size = sizeof memory,
        exhaust("buffer", other);
    other = plain, other.backing = ENUM(BACKING_SPACE), other.base = 1ull << 40, other.size = 1 << 26,
        other.on_map = answer_map, other.on_unmap = answer_unmap, exhaust("address-space", other);
    other.guard_every = 2, exhaust("guarded address-space", other);
    other = plain, other.quarantine_blocks = 50, exhaust("quarantined", other);
    other = plain, other.events_capacity = 100, exhaust("events", other);
    other = plain, other.is_filled = 1, other.fill_alloc = 0xAA, other.fill_free = 0xDD, exhaust("filled", other);
    other.guard_every = 3, exhaust("filled and guarded", other);
    other = plain, other.guard_every = 2, exhaust("guarded", other);
    give_way(&plain);
    fflush(stdout);
    _exit(0);
}
