/* A pool whose metadata run out again and again: what is refused changes nothing.
 *
 *     exhaust SEED
 *
 * Pools of every kind, with address space for a few KiB of metadata, serve random requests, tagged or held or neither.
 * Each block that was had keeps its size and its bytes until its free, which is LIVE; the invariants hold throughout; and
 * with metadata again, each pool serves every size. Prints how many requests were refused. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

enum { LIVE_MAX = 2000, CALLS = 20000, RUN = 100000 };

static const char *kind;
static uint64_t state;
static pool_t *pool;
static struct { uint64_t address, size; hold_t *hold; } live[LIVE_MAX];
static hold_t holds[LIVE_MAX];
static int live_count;
static uint64_t granted, refused;

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
    if (found.tag != tag)
        fail("a block has another", "tag");
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
    for (uint64_t i = 0; i < live[which].size; i++)
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

/* With no block live and no slab left, all metadata are free but for the records that granules keep, and those that
 * they left behind, which are together fewer. */
static void look_at_the_rest(void) {
    uint64_t kept = 1, freed = 0;
    ENGINE(quarantine_drain)(pool, 0, 0);
    ENGINE(pool_trim)(pool);
    if (pool->free_granules != pool->top)
        fail("a granule is", "not given back");
    for (uint64_t i = 0; i < pool->granule_count; i++)
        kept += ENGINE(record_bin_bytes)(pool->descriptors[i].record_bin) / 64 * 2;
    for (uint32_t order = 0; order < ENUM(META_ORDERS); order++)
        for (uint64_t place = pool->meta.free[order]; place; place = *(uint32_t *)(pool->meta.base + place * 64))
            freed += (uint64_t)1 << order;
    if (pool->meta.used - freed > kept)
        fail("metadata are", "lost");
}

static void exhaust(const char *name, const pool_config_t *config) {
    const char *why = "";
    uint64_t reserved;
    kind = name;
    refused = granted = 0;
    pool = ENGINE(pool_open)(config, &why);
    if (!pool)
        fail("not opened:", why);
    reserved = pool->meta.reserved;
    for (int round = 0; round < 8; round++) {
        pool->meta.reserved = pool->meta.used * 64 + draw(8192);
        for (int i = 0; i < CALLS / 8; i++) {
            if (draw(100) < (i / 400 % 2 ? 40u : 60u))
                allocate();
            else
                give_back();
            if (i % 250 == 0)
                look();
            if (draw(1000) == 0)
                ENGINE(pool_trim)(pool);
        }
    }
    while (live_count)
        give_back();
    look();
    look_at_the_rest();
    printf("%s pool: %lu granted, %lu refused\n", name, granted, refused);
    if (!granted || !refused)
        fail("nothing was", granted ? "refused" : "granted");
    pool->meta.reserved = reserved;
    for (uint64_t size = 16; size <= 2 * RUN; size += size / 4 & ~7ull ? size / 4 & ~7ull : 16) {
        uint64_t address = ENGINE(pool_alloc)(pool, size);
        if (!address || ENGINE(pool_free)(pool, address) != ENUM(VERDICT_LIVE))
            fail("refused although there are metadata", "again");
    }
    look();
    ENGINE(pool_close)(pool);
}

int main(int argc, char **argv) {
    pool_config_t plain = {0}, limited, quarantined, guarded;
    plain.limit_bytes = plain.limit_blocks = UINT64_MAX;
    plain.reserve_bytes = 64 << 20;
    limited = quarantined = guarded = plain;
    limited.limit_blocks = 1 << 20;
    quarantined.quarantine_blocks = 50;
    guarded.guard_every = 3;
    state = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    printf("seed %lu\n", state);
    exhaust("a plain", &plain);
    exhaust("a limited", &limited);
    exhaust("a quarantined", &quarantined);
    exhaust("a guarded", &guarded);
    fflush(stdout);
    _exit(0);
}
