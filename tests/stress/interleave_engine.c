/* The engine's side of the interleaving explorer: compiled with -fsanitize=thread and linked with
 * interleave.c in place of the sanitizer's runtime, so that every access to memory that the shipped
 * code makes, atomic or plain, calls a hook there first. */
#include <stddef.h>
#include <stdint.h>

static const char *yield_name = "";
#define POOLCORE_YIELD(name) (yield_name = (name))

/* Calls of libc that write memory behind the hooks' backs. */
void *hook_memset(void *to, int value, size_t bytes);
void *hook_memcpy(void *to, const void *from, size_t bytes);
#include <string.h>
#define memset hook_memset
#define memcpy hook_memcpy

#include "engine.h"

enum { THIRD_BYTES = 21824, ALIGNED = 32 };     /* a third of a granule, a multiple of ALIGNED */
static int has_front;

void *engine_open(void *memory, uint64_t bytes, uint64_t block_bytes, int is_limited, int is_one_class) {
    static pool_config_t config;
    const char *why = NULL;
    config = (pool_config_t){0};
    config.backing = ENUM(BACKING_BUFFER);
    config.base = (uint64_t)(uintptr_t)memory;
    config.size = bytes;
    config.class_bytes[config.class_count++] = block_bytes;
    if (block_bytes < THIRD_BYTES && !is_one_class)
        config.class_bytes[config.class_count++] = THIRD_BYTES;
    if (!is_one_class)
        config.class_bytes[config.class_count++] = 65536;
    config.limit_bytes = config.limit_blocks = is_limited ? 1 << 20 : UINT64_MAX;
    has_front = is_one_class;
    return ENGINE(pool_open)(&config, &why);
}

uint64_t engine_alloc(void *pool, uint64_t size) {
    return has_front ? (uint64_t)(uintptr_t)ENGINE(pool_front_alloc)(pool, size) : ENGINE(pool_alloc)(pool, size);
}
uint64_t engine_alloc_aligned(void *pool) { return ENGINE(pool_alloc_ex)(pool, 1, ALIGNED, 0, 0, NULL); }
uint64_t engine_trim(void *pool) { return ENGINE(pool_trim)(pool); }
void engine_thread_end(void) {
    void *thread = thread_heaps[7];
    if (thread != (void *)thread_no_heap && thread != (void *)&ENGINE_VARIABLE(thread_ended))
        ENGINE(thread_end)(thread);
}
int engine_free(void *pool, uint64_t address) {
    return has_front ? ENGINE(pool_front_free)(pool, (void *)(uintptr_t)address) : ENGINE(pool_free)(pool, address);
}
const char *engine_check(void *pool, uint64_t *where) { return ENGINE(pool_check)(pool, where, NULL); }

void engine_counters(void *pool, uint64_t *live, uint64_t *allocs, uint64_t *frees, uint64_t *late) {
    static pool_stats_t stats;
    ENGINE(pool_stats)(pool, &stats);
    *live = stats.live_blocks;
    *allocs = stats.total_allocs;
    *frees = stats.total_frees;
    *late = stats.late_double_frees;
}

int engine_is_live(void *pool, uint64_t address) {
    return ENGINE(pool_verdict_of)(pool, address) == ENUM(VERDICT_LIVE);
}

void **engine_slots(void) { return thread_heaps; }
const char **engine_yield_name(void) { return &yield_name; }
