/* Runs every interleaving of two threads' calls into the engine, and looks at what is left after each.
 *
 *     interleave SCENARIO...        e.g.  4:0123/0123   2:0AF/01
 *
 * A scenario is `blocks:first/second`: blocks to a slab, an L before it for a pool with a limit, an O for a one-class
 * pool and the functions that it has for C, and what each of the two threads calls, in order:
 *     0..3   free of a block that the first thread allocated before
 *     4..7   free of a block that the second thread allocated before
 *     8      free of a run of two granules
 *     9      free of a block that the first thread allocated and freed before: a stale one
 *     A      an allocation; B: one of another size class, which may take over an empty slab; C: one as long as
 *            A's that has to be aligned, which in a pool of five blocks to a slab is of a class of three; R: of a run,
 *            longer than 8
 *     T      trim: empty slabs go back to the arena
 *     F      free of the last block that A, B, C or R gave to this thread
 *     X      the end of the thread
 *
 * The threads are coroutines. The engine is compiled so that a hook runs before each of its accesses to
 * memory; a switch happens only there, and only before an access to a word that both threads touch and
 * at least one writes. Which words those are is found by running: a run that meets a new one starts the
 * scenario again with it known. Two runs that differ only in the order of accesses that do not touch the
 * same word end alike, so one of each such class is run (sleep sets, Godefroid 1996): what is left out is
 * equal to something that is not. Accesses take effect in the order in which they are made; orders that
 * only a weaker machine shows are the ThreadSanitizer's part.
 *
 * The state before a scenario comes back by undoing logged writes, so a run costs microseconds.
 * Exit status: 0, or 1 with the failing schedule on stdout, 2 for a bad command line. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- the engine, see interleave_engine.c ---------------------------------------------------- */

void *engine_open(void *memory, uint64_t bytes, uint64_t block_bytes, int is_limited, int is_one_class);
uint64_t engine_trim(void *pool);
uint64_t engine_alloc(void *pool, uint64_t size);
uint64_t engine_alloc_aligned(void *pool);
int engine_free(void *pool, uint64_t address);
void engine_thread_end(void);
const char *engine_check(void *pool, uint64_t *where);
void engine_counters(void *pool, uint64_t *live, uint64_t *allocs, uint64_t *frees, uint64_t *late);
int engine_is_live(void *pool, uint64_t address);
void **engine_slots(void);
const char **engine_yield_name(void);

enum { SLOTS = 8, THREADS = 2, MAIN = 2, STACK_BYTES = 256 << 10, DEPTH_MAX = 4096, CALLS_MAX = 16,
       ARENA_BYTES = 1 << 20, GRANULE_BYTES = 1 << 16, WORDS = 1 << 16, LOCKS = 64, BLOCKS = 10, RUN = 8, STALE = 9, AGAIN = 12 };

struct access { uintptr_t address; int size; int is_write; int is_lock; const char *name; };
struct call { char what; uint64_t address; int verdict; };
struct thread {
    ucontext_t context;
    char *stack;
    void *slots[SLOTS];             /* what the engine's thread-local array holds while this one runs */
    struct access pending;
    int is_done;
    const char *calls;
    struct call made[CALLS_MAX];
    int call_count;
    uint64_t last;
};
struct node { int choice, done, sleep, enabled; struct access pending[THREADS]; };
struct undo { uintptr_t address; uint32_t size; char old[16]; };
struct word { uintptr_t address; uint64_t epoch; uint8_t readers, writers, is_shared; };

static void *pool;
static struct thread threads[THREADS + 1];      /* [MAIN]: the scheduler itself, as the first thread before and after */
static ucontext_t scheduler;
static int running = MAIN;                      /* whose accesses the hooks see */
static uint64_t blocks[BLOCKS];
static uint64_t allocs_before, frees_before, late_before;    /* when both threads start */

static struct undo *undos;
static size_t undo_count, undo_capacity;

static struct word words[WORDS];
static uint64_t epoch = 1;
static int found_shared;

static struct { void *lock; int holder; } locks[LOCKS];

static struct node nodes[DEPTH_MAX];
static int depth;
static uint64_t steps;

static void fail(const char *scenario, const char *what, uint64_t where);
static const char *current_scenario;

/* ---- memory: what is shared, and how it was ------------------------------------------------- */

static struct word *word_of(uintptr_t address) {
    uintptr_t key = address >> 2;
    size_t i = (key * 0x9E3779B97F4A7C15u) >> 48;
    while (words[i].address && words[i].address != key)
        i = (i + 1) % WORDS;
    words[i].address = key;
    return &words[i];
}

static void remember(uintptr_t address, size_t size) {
    while (size) {
        size_t part = size < 16 ? size : 16;
        if (undo_count == undo_capacity) {
            undo_capacity = undo_capacity ? undo_capacity * 2 : 1 << 16;
            undos = realloc(undos, undo_capacity * sizeof *undos);
            if (!undos)
                abort();
        }
        undos[undo_count].address = address;
        undos[undo_count].size = (uint32_t)part;
        memcpy(undos[undo_count++].old, (void *)address, part);
        address += part;
        size -= part;
    }
}

static void roll_back(size_t mark) {
    while (undo_count > mark) {
        undo_count--;
        memcpy((void *)undos[undo_count].address, undos[undo_count].old, undos[undo_count].size);
    }
}

/* The stack of whoever runs, the thread-local array, the name of the next access. */
static int is_private(uintptr_t address) {
    uintptr_t slots = (uintptr_t)engine_slots();
    uintptr_t stack = (uintptr_t)threads[running].stack;
    return address - slots < SLOTS * sizeof(void *)
        || address == (uintptr_t)engine_yield_name()
        || (stack && address - stack < STACK_BYTES);
}

/* Stops the running thread before an access until the scheduler lets it go on. */
static void pause_before(struct access access) {
    struct thread *t = &threads[running];
    access.name = *engine_yield_name();
    *engine_yield_name() = "plain";
    t->pending = access;
    memcpy(t->slots, engine_slots(), sizeof t->slots);
    swapcontext(&t->context, &scheduler);
}

static void hook(uintptr_t address, int size, int is_write) {
    if (is_private(address))
        return;
    if (running != MAIN) {
        int is_shared = 0;
        for (uintptr_t at = address & ~(uintptr_t)3; at < address + (uintptr_t)size; at += 4) {
            struct word *word = word_of(at);
            if (word->epoch != epoch) {
                word->epoch = epoch;
                word->readers = word->writers = 0;
            }
            word->readers |= (uint8_t)(1 << running);
            if (is_write)
                word->writers |= (uint8_t)(1 << running);
            if (!word->is_shared && word->writers && word->readers == 3) {
                word->is_shared = 1;
                found_shared = 1;
            }
            is_shared |= word->is_shared;
        }
        if (is_shared)
            pause_before((struct access){address, size, is_write, 0, NULL});
    }
    if (is_write)
        remember(address, (size_t)size);
}

/* ---- what the instrumented code calls ------------------------------------------------------- */

#define PLAIN(bytes) \
    void __tsan_read##bytes(void *p) { hook((uintptr_t)p, bytes, 0); } \
    void __tsan_write##bytes(void *p) { hook((uintptr_t)p, bytes, 1); } \
    void __tsan_unaligned_read##bytes(void *p) { hook((uintptr_t)p, bytes, 0); } \
    void __tsan_unaligned_write##bytes(void *p) { hook((uintptr_t)p, bytes, 1); }
PLAIN(1) PLAIN(2) PLAIN(4) PLAIN(8) PLAIN(16)
void __tsan_read_range(void *p, size_t n) { hook((uintptr_t)p, (int)n, 0); }
void __tsan_write_range(void *p, size_t n) { hook((uintptr_t)p, (int)n, 1); }
void __tsan_init(void) {}
void __tsan_func_entry(void *p) { (void)p; }
void __tsan_func_exit(void) {}

#define ATOMIC(bits, type) \
    type __tsan_atomic##bits##_load(const type *p, int o) { (void)o; hook((uintptr_t)p, sizeof *p, 0); return *p; } \
    void __tsan_atomic##bits##_store(type *p, type v, int o) { (void)o; hook((uintptr_t)p, sizeof *p, 1); *p = v; } \
    type __tsan_atomic##bits##_exchange(type *p, type v, int o) { type was; (void)o; hook((uintptr_t)p, sizeof *p, 1); was = *p; *p = v; return was; } \
    type __tsan_atomic##bits##_fetch_add(type *p, type v, int o) { type was; (void)o; hook((uintptr_t)p, sizeof *p, 1); was = *p; *p += v; return was; } \
    type __tsan_atomic##bits##_fetch_sub(type *p, type v, int o) { type was; (void)o; hook((uintptr_t)p, sizeof *p, 1); was = *p; *p -= v; return was; } \
    type __tsan_atomic##bits##_fetch_or(type *p, type v, int o) { type was; (void)o; hook((uintptr_t)p, sizeof *p, 1); was = *p; *p |= v; return was; } \
    type __tsan_atomic##bits##_fetch_and(type *p, type v, int o) { type was; (void)o; hook((uintptr_t)p, sizeof *p, 1); was = *p; *p &= v; return was; } \
    int __tsan_atomic##bits##_compare_exchange_strong(type *p, type *e, type v, int o, int f) { \
        (void)o; (void)f; hook((uintptr_t)p, sizeof *p, 1); \
        if (*p == *e) { *p = v; return 1; } \
        *e = *p; return 0; } \
    int __tsan_atomic##bits##_compare_exchange_weak(type *p, type *e, type v, int o, int f) { \
        return __tsan_atomic##bits##_compare_exchange_strong(p, e, v, o, f); }
ATOMIC(8, uint8_t) ATOMIC(16, uint16_t) ATOMIC(32, uint32_t) ATOMIC(64, uint64_t)
void __tsan_atomic_thread_fence(int o) { (void)o; }

void *hook_memset(void *to, int value, size_t bytes) {
    if (bytes)
        hook((uintptr_t)to, (int)bytes, 1);
    return memset(to, value, bytes);
}
void *hook_memcpy(void *to, const void *from, size_t bytes) {
    if (bytes) {
        hook((uintptr_t)from, (int)bytes, 0);
        hook((uintptr_t)to, (int)bytes, 1);
    }
    return memcpy(to, from, bytes);
}

/* Locks, by their address; linked with --wrap. A thread whose lock another holds is not enabled. */
static int *holder_of(void *lock) {
    int i = 0;
    while (locks[i].lock && locks[i].lock != lock)
        if (++i == LOCKS)
            abort();
    if (!locks[i].lock)
        locks[i].holder = -1;
    locks[i].lock = lock;
    return &locks[i].holder;
}
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock) {
    if (running != MAIN)
        pause_before((struct access){(uintptr_t)lock, 8, 1, 1, NULL});
    if (*holder_of(lock) != -1)
        fail(current_scenario, "a lock is taken by two", (uintptr_t)lock);
    *holder_of(lock) = running;
    return 0;
}
int __wrap_pthread_mutex_trylock(pthread_mutex_t *lock) {
    if (running != MAIN)
        pause_before((struct access){(uintptr_t)lock, 8, 1, 0, NULL});
    if (*holder_of(lock) != -1)
        return 16;
    *holder_of(lock) = running;
    return 0;
}
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock) {
    if (running != MAIN)
        pause_before((struct access){(uintptr_t)lock, 8, 1, 0, NULL});
    *holder_of(lock) = -1;
    return 0;
}

/* ---- threads --------------------------------------------------------------------------------- */

static int acting;                      /* which thread the code outside of the coroutines acts as */
static void act_as(int who) {
    memcpy(threads[acting].slots, engine_slots(), sizeof threads[0].slots);
    memcpy(engine_slots(), threads[who].slots, sizeof threads[0].slots);
    acting = who;
}

static void run_calls(int who) {
    struct thread *t = &threads[who];
    for (const char *c = t->calls; *c; c++) {
        struct call *made = &t->made[t->call_count++];
        made->what = *c;
        made->verdict = -1;
        if (strchr("ABCR", *c)) {
            made->address = 0;
            made->address = t->last = *c == 'C' ? engine_alloc_aligned(pool)
                : engine_alloc(pool, *c == 'A' ? 1 : *c == 'B' ? GRANULE_BYTES : 2 * GRANULE_BYTES);
        } else if (*c == 'T') {
            made->address = 0;
            engine_trim(pool);
        } else if (*c == 'F') {
            made->address = t->last;
            made->verdict = engine_free(pool, t->last);
        } else if (*c == 'X') {
            made->address = 0;
            engine_thread_end();
        } else {
            made->address = blocks[*c - '0'];
            made->verdict = engine_free(pool, made->address);
        }
    }
    t->is_done = 1;
    memcpy(t->slots, engine_slots(), sizeof t->slots);
    swapcontext(&t->context, &scheduler);
}

static void go_on(int who) {            /* until before its next shared access, or its end */
    struct thread *t = &threads[who];
    memcpy(engine_slots(), t->slots, sizeof t->slots);
    running = who;
    swapcontext(&scheduler, &t->context);
    running = MAIN;
    steps++;
}

static void start(int who, const char *calls) {
    struct thread *t = &threads[who];
    if (!t->stack)
        t->stack = malloc(STACK_BYTES);
    t->is_done = 0;
    t->calls = calls;
    t->call_count = 0;
    t->last = 0;
    getcontext(&t->context);
    t->context.uc_stack.ss_sp = t->stack;
    t->context.uc_stack.ss_size = STACK_BYTES;
    t->context.uc_link = NULL;
    makecontext(&t->context, (void (*)(void))run_calls, 1, who);
    go_on(who);
}

static int is_enabled(int who) {
    struct thread *t = &threads[who];
    return !t->is_done && !(t->pending.is_lock && *holder_of((void *)t->pending.address) != -1);
}

static int are_dependent(struct access a, struct access b) {
    return a.address < b.address + (uintptr_t)b.size && b.address < a.address + (uintptr_t)a.size && (a.is_write || b.is_write);
}

/* ---- after a run ------------------------------------------------------------------------------ */

static void fail(const char *scenario, const char *what, uint64_t where) {
    printf("%s: %s at %#lx\n", scenario, what, (unsigned long)where);
    for (int w = 0; w < THREADS; w++)
        for (int i = 0; i < threads[w].call_count; i++)
            printf("  thread %d: %c %#lx verdict %d\n", w, threads[w].made[i].what,
                   (unsigned long)threads[w].made[i].address, threads[w].made[i].verdict);
    for (int i = 0; i < depth; i++)
        printf("  %3d thread %d %s %s %#lx\n", i, nodes[i].choice, nodes[i].pending[nodes[i].choice].name,
               nodes[i].pending[nodes[i].choice].is_write ? "writes" : "reads",
               (unsigned long)nodes[i].pending[nodes[i].choice].address);
    fflush(stdout);
    _exit(1);
}

static int is_only_free(const struct call *call) {
    for (int w = 0; w < THREADS; w++)
        for (int i = 0; i < threads[w].call_count; i++) {
            struct call *other = &threads[w].made[i];
            if (other != call && other->address == call->address && !strchr("ABCR", other->what))
                return 0;
        }
    return 1;
}

static void verify(const char *scenario) {
    uint64_t where = 0, live, allocs, frees, late, left = 0, count = 0;
    uint64_t seen[2 * CALLS_MAX + BLOCKS];
    int balance[2 * CALLS_MAX + BLOCKS], is_second_ended = 0, good = 0, made = 0;
    const char *broken;
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i]) {
            seen[count] = blocks[i];
            balance[count++] = i != STALE;
        }
    for (int w = 0; w < THREADS; w++)
        for (int i = 0; i < threads[w].call_count; i++) {
            struct call *call = &threads[w].made[i];
            uint64_t k = 0;
            if (call->what == 'X')
                is_second_ended |= w == 1;
            if (call->what == 'X' || call->what == 'T')
                continue;
            if (!call->address)
                fail(scenario, "an allocation was refused", 0);
            while (k < count && seen[k] != call->address)
                k++;
            if (k == count) {
                seen[count] = call->address;
                balance[count++] = 0;
            }
            if (strchr("ABCR", call->what)) {
                balance[k]++;
                made++;
            } else if (call->verdict == 0) {
                balance[k]--;
                good++;
            } else if (call->verdict != 2 && !strpbrk(scenario, "TBCR89"))
                fail(scenario, "a free was answered with neither LIVE nor DOUBLE", call->address);
            if (call->what == 'F' && call->verdict && is_only_free(call))
                fail(scenario, "a good free was refused", call->address);
        }
    /* Both threads come to rest: what was gathered is published, what was published is taken back. */
    if (!is_second_ended) {
        act_as(1);
        engine_thread_end();
        act_as(0);
    }
    engine_trim(pool);          /* looks through what ended threads left, too */
    broken = engine_check(pool, &where);
    if (broken)
        fail(scenario, broken, where);
    for (int i = 0; i < 2; i++) {
        engine_counters(pool, &live, &allocs, &frees, &late);
        for (uint64_t k = left = 0; k < count; k++) {
            int is_live = engine_is_live(pool, seen[k]);
            left += (uint64_t)is_live;
            if (balance[k] > is_live)
                fail(scenario, "a block handed out once too often", seen[k]);
            if (balance[k] < is_live && late == late_before)
                fail(scenario, "a block taken back once too often, and no late double free counted", seen[k]);
        }
        if (live != left)
            fail(scenario, "live_blocks is wrong", live);
        if (allocs != allocs_before + (uint64_t)made)
            fail(scenario, "total_allocs is wrong", allocs);
        if (frees != frees_before + (uint64_t)good - (late - late_before) || live != allocs - frees)
            fail(scenario, "total_frees or late_double_frees is wrong", frees);
        /* Once more after every block that is free was handed out and freed again: the lists hold each once. */
        if (i == 0) {
            uint64_t again[AGAIN];
            for (int n = 0; n < AGAIN; n++) {
                again[n] = engine_alloc(pool, 1);
                for (int m = 0; m < n; m++)
                    if (again[n] == again[m])
                        fail(scenario, "a block handed out twice", again[n]);
                for (uint64_t k = 0; k < count; k++)
                    if (again[n] == seen[k] && balance[k] > 0)
                        fail(scenario, "a live block handed out", again[n]);
                if (!again[n])
                    fail(scenario, "room for blocks is lost", (uint64_t)n);
            }
            for (int n = 0; n < AGAIN; n++)
                if (engine_free(pool, again[n]))
                    fail(scenario, "a good free was refused", again[n]);
            made += AGAIN;
            good += AGAIN;
            broken = engine_check(pool, &where);
            if (broken)
                fail(scenario, broken, where);
        }
    }
}

/* ---- exploring --------------------------------------------------------------------------------- */

static void explore(const char *scenario, uint64_t *complete, uint64_t *cut) {
    static char memory[ARENA_BYTES] __attribute__((aligned(GRANULE_BYTES)));
    char first[CALLS_MAX], second[CALLS_MAX];
    int per_slab, is_limited = scenario[0] == 'L', is_one_class = scenario[0] == 'O';
    size_t mark = undo_count, before;
    void *slots[THREADS][SLOTS];

    if (sscanf(scenario + (is_limited || is_one_class), "%d:%15[0-9ABCRFTX]/%15[0-9ABCRFTX]", &per_slab, first, second) != 3 || per_slab < 2) {
        fprintf(stderr, "interleave: '%s' is not blocks:first/second\n", scenario);
        _exit(2);
    }
    current_scenario = scenario;
    memcpy(threads[0].slots, engine_slots(), sizeof slots[0]);
    memcpy(threads[1].slots, engine_slots(), sizeof slots[0]);
    pool = engine_open(memory, sizeof memory, (uint64_t)(GRANULE_BYTES / per_slab) & ~(uint64_t)15, is_limited,
                       is_one_class);
    if (!pool) {
        fprintf(stderr, "interleave: the pool does not open\n");
        _exit(2);
    }
    /* Only the blocks that the scenario frees: how full the slab is, is the scenario's matter. Both threads
     * have called before, so that what is explored is the calls and not the making of heaps. */
    for (int i = 0; i < BLOCKS; i++) {
        int is_wanted = strchr(first, '0' + i) || strchr(second, '0' + i);
        if (i == 4 || i == RUN)
            act_as(i == 4);
        blocks[i] = is_wanted ? engine_alloc(pool, i == RUN ? GRANULE_BYTES + 1 : 1) : 0;
        if ((i == 0 || i == 4) && !is_wanted)
            engine_free(pool, engine_alloc(pool, 1));
    }
    act_as(0);
    if (blocks[STALE])
        engine_free(pool, blocks[STALE]);
    memcpy(threads[0].slots, engine_slots(), sizeof slots[0]);
    memcpy(slots[0], threads[0].slots, sizeof slots[0]);
    memcpy(slots[1], threads[1].slots, sizeof slots[1]);
    {
        uint64_t live;
        engine_counters(pool, &live, &allocs_before, &frees_before, &late_before);
    }
    before = undo_count;

restart:
    *complete = *cut = 0;
    depth = 0;
    do {
        int d = 0, sleep = 0, is_cut = 0;
        epoch++;
        found_shared = 0;
        memset(locks, 0, sizeof locks);
        for (int w = 0; w < THREADS; w++)
            memcpy(threads[w].slots, slots[w], sizeof slots[w]);
        start(0, first);
        start(1, second);
        while (!threads[0].is_done || !threads[1].is_done) {
            int enabled = is_enabled(0) | is_enabled(1) << 1, choice;
            struct node *node = &nodes[d];
            if (d == DEPTH_MAX)
                fail(scenario, "a run does not end", 0);
            if (d == depth) {
                int open = enabled & ~sleep;
                if (!enabled)
                    fail(scenario, "deadlock", threads[0].pending.address);
                if (!open) {
                    is_cut = 1;
                    break;
                }
                node->enabled = enabled;
                node->sleep = sleep;
                node->done = 0;
                node->choice = open & 1 ? 0 : 1;
                node->pending[0] = threads[0].pending;
                node->pending[1] = threads[1].pending;
                depth++;
            }
            choice = node->choice;
            sleep = (node->sleep | node->done) & ~(1 << choice);
            if (sleep && are_dependent(threads[0].pending, threads[1].pending))
                sleep = 0;
            go_on(choice);
            d++;
        }
        memcpy(engine_slots(), threads[0].slots, sizeof slots[0]);
        if (is_cut)
            ++*cut;
        else {
            ++*complete;
            if (!found_shared)
                verify(scenario);
        }
        memcpy(engine_slots(), slots[0], sizeof slots[0]);
        roll_back(before);
        if (found_shared)
            goto restart;
        while (depth) {
            struct node *node = &nodes[depth - 1];
            int open;
            node->done |= 1 << node->choice;
            open = node->enabled & ~node->sleep & ~node->done;
            if (open) {
                node->choice = open & 1 ? 0 : 1;
                break;
            }
            depth--;
        }
    } while (depth);
    roll_back(mark);
}

static void crashed(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    depth = depth < DEPTH_MAX ? depth : DEPTH_MAX;
    fail(current_scenario, "a crash, touching", (uint64_t)(uintptr_t)info->si_addr);
}

int main(int argc, char **argv) {
    static char stack[64 << 10];
    struct sigaction on_crash = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    uint64_t complete, cut, total = 0;
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    sigaction(SIGSEGV, &on_crash, NULL);
    static void *fresh[SLOTS];
    memcpy(fresh, engine_slots(), sizeof fresh);
    for (int i = 1; i < argc; i++) {
        memset(words, 0, sizeof words);
        memcpy(engine_slots(), fresh, sizeof fresh);
        explore(argv[i], &complete, &cut);
        printf("%s: %lu interleavings, %lu cut short\n", argv[i], (unsigned long)complete, (unsigned long)cut);
        total += complete;
    }
    printf("%lu interleavings of %d scenarios, %lu steps\n", (unsigned long)total, argc - 1, (unsigned long)steps);
    fflush(stdout);
    _exit(argc < 2 ? 2 : 0);
}
