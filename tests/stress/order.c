/* Native threads replay a recording in their own orders: the gates of pybuf/bench/_order.pyx, and no Python.
 *
 *     order ROUNDS SEED
 *
 * Blocks are drawn that one thread allocates and another frees; every access to a block or to its slot is a plain one,
 * so that a sanitizer sees it when a gate lets through too early. In every second round one call fails, and all
 * threads must end. Exits with 1 and one line that says what was wrong. */
#define _GNU_SOURCE         /* as Python's own header has it, which comes too late */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "_order.c"

#define ORDER(name) __pyx_f_5pybuf_5bench_6_order_##name
#define MUSTER(name) __pyx_f_5pybuf_5bench_8_threads_muster_##name
typedef struct __pyx_t_5pybuf_5bench_6_order_Shared shared_t;
typedef struct __pyx_t_5pybuf_5bench_6_order_Playing playing_t;
typedef struct __pyx_t_5pybuf_5bench_6_order_Point point_t;
typedef struct __pyx_t_5pybuf_5bench_7_replay_Calls calls_t;
typedef struct __pyx_t_5pybuf_5bench_7_replay_Place place_t;

enum { THREADS = 4, BLOCKS = 3000, ALLOCATE = 0, FREE = 1, WAIT = 0, SIGNAL = 1 };

static uint64_t words[THREADS][2 * BLOCKS + 1], seed = 1;
static point_t points[THREADS][2 * BLOCKS + 1];
static void *slots[BLOCKS];
static place_t places[THREADS];
static playing_t playing[THREADS];
static shared_t shared;
static const uint64_t *failing;

static uint64_t draw(void) {                /* xorshift64* */
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * 0x2545F4914F6CDD1Du) >> 33;
}

static const uint64_t *play(const calls_t *calls, const uint64_t *word, const uint64_t *end, const place_t *place) {
    (void)calls, (void)place;
    for (; word != end; word++) {
        uint64_t slot = *word >> 2;
        if (word == failing)
            return word;
        if ((*word & 3) == ALLOCATE) {
            slots[slot] = malloc(64);
            memset(slots[slot], (int)slot, 64);
        } else {
            if (((uint8_t *)slots[slot])[63] != (uint8_t)slot)
                return word;
            free(slots[slot]);
        }
    }
    return end;
}

static void put(int thread, uint64_t *count, uint64_t word, int point, int is_before) {
    uint64_t slot = word >> 2, *held = count + THREADS;
    if (is_before)
        points[thread][held[thread]++] = (point_t){count[thread], WAIT | slot << 2 | (uint64_t)1 << 28};
    words[thread][count[thread]++] = word;
    if (point)
        points[thread][held[thread]++] = (point_t){count[thread], SIGNAL | slot << 2 | (uint64_t)1 << 28};
}

static void record(void) {
    uint64_t count[2 * THREADS] = {0}, made = 0, live = 0, blocks[BLOCKS];
    int owners[BLOCKS], freers[BLOCKS];
    while (made < BLOCKS || live) {
        if (made < BLOCKS && (!live || draw() % 2)) {
            owners[made] = (int)(draw() % THREADS), freers[made] = (int)(draw() % THREADS);
            put(owners[made], count, ALLOCATE | made << 2, owners[made] != freers[made], 0);
            blocks[live++] = made++;
        } else {
            uint64_t which = draw() % live, block = blocks[which];
            blocks[which] = blocks[--live];
            put(freers[block], count, FREE | block << 2, 0, owners[block] != freers[block]);
        }
    }
    for (int thread = 0; thread < THREADS; thread++) {
        playing_t *one = playing + thread;
        places[thread].words = one->word = words[thread];
        one->end = words[thread] + count[thread];
        one->point = points[thread];
        one->points_end = points[thread] + count[THREADS + thread];
        one->place = places + thread, one->run = (void *)play;
    }
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 10, cpus[] = {0};
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    MUSTER(open)(&shared.muster);
    shared.muster.threads = THREADS, shared.slots = BLOCKS, shared.gates = calloc(BLOCKS, 4), shared.cpus = cpus;
    for (int thread = 0; thread < THREADS; thread++) {
        playing[thread].shared = &shared, playing[thread].number = thread;
        pthread_create(&playing[thread].thread, NULL, ORDER(strand_body), playing + thread);
    }
    for (int round = 0; round < 10 * rounds; round++) {
        record();
        memset(shared.gates, 0, BLOCKS * 4);
        shared.is_failed = 0;
        failing = round % 2 ? words[draw() % THREADS] + draw() % 500 : NULL;
        MUSTER(run)(&shared.muster);
        int failed = 0;
        for (int thread = 0; thread < THREADS; thread++) {
            failed += playing[thread].has_failed;
            if (!failing && playing[thread].word != playing[thread].end)
                return printf("round %d: thread %d stopped\n", round, thread), 1;
        }
        if (failed != (failing != NULL))
            return printf("round %d: %d threads failed\n", round, failed), 1;
    }
    printf("replay by threads: %d rounds\n", 10 * rounds);
    return 0;
}
