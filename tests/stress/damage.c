/* Damages one thing in a pool and asks pool_check what is wrong.
 *
 *     damage           the names of all invariants that it can break, one a line
 *     damage NAME      breaks that one; prints what pool_check said before and after */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

static pool_t *pool;
static heap_t *heap;
static hold_t hold;
static slab_t *partial, *full, *current, *empty, *run, *held, *extent;
static uint32_t a_class;        /* of partial, full and current */

static slab_t *slab_of(uint64_t address) { return &pool->descriptors[(address - pool->base) >> pool->granule_shift]; }

static void open_pool(const pool_config_t *config) {
    const char *why = "";
    pool = ENGINE(pool_open)(config, &why);
    if (!pool) {
        fprintf(stderr, "damage: %s\n", why);
        exit(2);
    }
}

static uint64_t take(uint64_t size) {
    uint64_t address = ENGINE(pool_alloc)(pool, size);
    if (!address)
        exit(2);
    return address;
}

/* A pool in which there is one of everything. */
static void plain(void) {
    pool_config_t config = {0};
    uint64_t blocks[200], runs[3];
    int refusal, count;
    config.limit_bytes = config.limit_blocks = UINT64_MAX;
    open_pool(&config);
    for (count = 0; count < 200; count++)
        blocks[count] = take(1500);
    partial = slab_of(blocks[0]);
    full = slab_of(blocks[100]);
    current = slab_of(blocks[199]);
    a_class = partial->size_class;
    ENGINE(pool_free)(pool, blocks[0]);
    ENGINE(pool_free)(pool, blocks[2]);
    held = slab_of(ENGINE(pool_alloc_held)(pool, 700, 0, 0, 0, &hold, &refusal));
    for (count = 0; count < 40; count++)
        blocks[count] = take(3000);
    while (count)
        ENGINE(pool_free)(pool, blocks[--count]);
    for (int i = 0; i < 3; i++)
        runs[i] = take(300000);
    extent = slab_of(runs[1]);
    run = slab_of(runs[2]);
    ENGINE(pool_free)(pool, runs[1]);
    heap = pool->heaps;
    for (uint32_t i = 0; i < pool->class_count && !empty; i++)
        empty = heap->empty[i];
}

static void limited(void) {
    pool_config_t config = {0};
    config.limit_bytes = config.limit_blocks = 1 << 20;
    open_pool(&config);
    ENGINE(pool_free)(pool, take(100));
    take(200);
    take(70000);
}

static void quarantined(void) {
    pool_config_t config = {0};
    config.limit_bytes = config.limit_blocks = UINT64_MAX;
    config.quarantine_blocks = 8;
    open_pool(&config);
    take(100);
    ENGINE(pool_free)(pool, take(100));
}

/* A pool of one class with blocks on its front, and a top block that is handed out. */
static void one_class(void) {
    pool_config_t config = {0};
    void *blocks[8];
    config.limit_bytes = config.limit_blocks = UINT64_MAX;
    config.class_count = 1;
    config.class_bytes[0] = 1500;
    open_pool(&config);
    for (int i = 0; i < 8; i++)
        blocks[i] = ENGINE(pool_front_alloc)(pool, 1500);
    for (int i = 0; i < 5; i++)
        ENGINE(pool_front_free)(pool, blocks[i]);
    ENGINE(pool_front_alloc)(pool, 1500);
    heap = pool->heaps;
}

static void slab_shape(void) { full->block_count--; }
static void slab_carved(void) { full->carved = (uint16_t)(full->block_count + 1); }
static void record_state(void) { full->records[1] = 0x30000000u | 1500; }
static void record_size(void) { full->records[1] = ENUM(RECORD_LIVE) | (full->block_bytes + 1); }
static void holder(void) { held->holders[hold.index] = NULL; }
static void views(void) { hold.views = 1; }
static void slab_live(void) { full->frees--; }
static void free_list(void) { partial->records[partial->freed] = partial->freed; }
static void owner(void) { partial->owner = NULL; }
static void place(void) { partial->place = ENUM(PLACE_EMPTY); }
static void slab_count(void) { heap->slab_count++; }
static void current_slab(void) {
    uint32_t other = 0;
    while (other == a_class || heap->current[other] != (slab_t *)&ENGINE_VARIABLE(slab_none))
        other++;
    heap->current[other] = current;
}
static void fast(void) { heap->fast[a_class] = partial; }
static void partial_list(void) { heap->partial[a_class] = NULL; }
static void empty_mask(void) { heap->empty_mask[1] ^= (uint64_t)1 << (pool->class_count - 1) % 64; heap->empty_mask[0] ^= 1; }
static void empty_list(void) { heap->empty[empty->size_class] = partial; }
static void empty_count(void) { heap->empty_count++; }
static void front(void) { heap->front[1] = heap->front[0]; }
static void front_top(void) { heap->top.address += 1504; }
static void top(void) { pool->top = pool->granule_count + 1; }
static void granules_tiled(void) { full->kind = ENUM(KIND_NONE); }
static void extents_joined(void) {
    uint64_t first = (uint64_t)(extent - pool->descriptors), count = extent->granules;
    ENGINE(extent_remove)(pool, extent);
    ENGINE(extent_insert)(pool, first, count - 2);
    ENGINE(extent_insert)(pool, first + count - 2, 2);
}
static void extent_ends(void) { extent[extent->granules - 1].granules++; }
static void extent_listed(void) { extent->prev = run; }
static void run_record(void) { run->block_bytes = 0; }
static void run_shape(void) { run->base += run->granules * pool->granule_bytes; }
static void run_parts(void) {
    for (uint32_t i = 1; i < run->granules; i++)
        if (run[i].kind == ENUM(KIND_RUN_PART))
            run[i].granules = (uint32_t)(full - pool->descriptors);
}
static uint32_t free_order(void) {
    uint32_t order = 1;
    ENGINE(meta_free)(pool, ENGINE(meta_alloc)(pool, 4096), 4096);
    while (!pool->meta.free[order])
        order++;
    return order;
}
static void metadata_listed(void) { pool->meta.free[free_order()]++; }
static void metadata_joined(void) {
    uint32_t order = free_order(), place = pool->meta.free[order];
    ENGINE(meta_unlist)(pool, place, order);
    ENGINE(meta_list)(pool, place, order - 1);
    ENGINE(meta_list)(pool, place + (1u << (order - 1)), order - 1);
}
static void free_granules(void) { pool->free_granules++; }
static void backed_granules(void) { pool->backed_granules++; }
static void bin_mask(void) { pool->bin_mask[3] |= 1; }
static void live_blocks(void) { pool->live_blocks++; }
static void live_bytes(void) { pool->live_bytes--; }
static void limit(void) { pool->config.limit_blocks = 1; }
static void peak(void) { pool->peak_bytes = 1; }
static void quarantine(void) { pool->quarantine_count = 0; }

static const struct { const char *name; void (*damage)(void), (*make)(void); } damages[] = {
    {"slab_shape", slab_shape, plain}, {"slab_carved", slab_carved, plain}, {"record_state", record_state, plain},
    {"record_size", record_size, plain}, {"holder", holder, plain}, {"views", views, plain},
    {"slab_live", slab_live, plain}, {"free_list", free_list, plain},
    {"owner", owner, plain}, {"place", place, plain}, {"slab_count", slab_count, plain},
    {"current", current_slab, plain}, {"fast", fast, plain}, {"partial_list", partial_list, plain},
    {"empty_mask", empty_mask, plain}, {"empty_list", empty_list, plain}, {"empty_count", empty_count, plain},
    {"metadata_listed", metadata_listed, plain}, {"metadata_joined", metadata_joined, plain},
    {"top", top, plain}, {"granules_tiled", granules_tiled, plain}, {"extents_joined", extents_joined, plain},
    {"extent_ends", extent_ends, plain}, {"extent_listed", extent_listed, plain}, {"run_record", run_record, plain},
    {"run_shape", run_shape, plain}, {"run_parts", run_parts, plain}, {"free_granules", free_granules, plain},
    {"backed_granules", backed_granules, plain}, {"bin_mask", bin_mask, plain}, {"live_blocks", live_blocks, limited},
    {"live_bytes", live_bytes, limited}, {"limit", limit, limited}, {"peak", peak, limited},
    {"quarantine", quarantine, quarantined}, {"front", front, one_class}, {"front_top", front_top, one_class},
};

int main(int argc, char **argv) {
    int count = sizeof damages / sizeof *damages;
    for (int i = 0; i < count; i++) {
        const char *said;
        if (argc < 2) {
            puts(damages[i].name);
            continue;
        }
        if (strcmp(damages[i].name, argv[1]))
            continue;
        damages[i].make();
        said = ENGINE(pool_check)(pool, NULL, NULL);
        printf("%s\n", said ? said : "whole");
        damages[i].damage();
        said = ENGINE(pool_check)(pool, NULL, NULL);
        printf("%s\n", said ? said : "whole");
    }
    fflush(stdout);
    _exit(0);
}
