/* The C of the engine: atomics, thread-local storage, OS memory, locks. Everything that differs
 * between operating systems and compilers is here and nowhere else.
 *
 * Orders: every atomic is acquire/release or stronger; plain loads and stores of records by their
 * owner go through POOLCORE_RELAXED_* so that a race with a remote CAS is defined behaviour.
 *
 * POOLCORE_YIELD(name), empty by default, stands before each shared access; a model checker
 * compiles the engine with a definition of its own and runs every interleaving. */
#ifndef POOLCORE_PLATFORM_H
#define POOLCORE_PLATFORM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef POOLCORE_YIELD
#define POOLCORE_YIELD(name) ((void)0)
#endif

#if defined(_MSC_VER)
#define POOLCORE_NOINLINE __declspec(noinline)
#include <intrin.h>
#include <windows.h>
#else
#define POOLCORE_NOINLINE __attribute__((noinline))
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#endif

/* A condition that the fast path does not expect. Each taken branch that it saves is a nanosecond in three pairs. */
#if defined(_MSC_VER)
#define rarely(condition) (condition)
#else
#define rarely(condition) __builtin_expect(!!(condition), 0)
#endif

/* Whether two pointers differ. After `a != b` a compiler takes either for the other, and with it what it waits for. */
static inline int differ(const void *a, const void *b)
{
    uintptr_t difference = (uintptr_t)a - (uintptr_t)b;
#if !defined(_MSC_VER)
    __asm__("" : "+r"(difference));
#endif
    return difference != 0;
}

/* ---- Atomics ------------------------------------------------------------------------------ */

#if defined(_MSC_VER)
static __inline void atomic_fence_loads(void) { _ReadWriteBarrier(); }
static __inline uint8_t atomic_load_u8(uint8_t *p) { uint8_t v = *(volatile uint8_t *)p; _ReadWriteBarrier(); return v; }
static __inline uint32_t atomic_load_u32(uint32_t *p) { uint32_t v = *(volatile uint32_t *)p; _ReadWriteBarrier(); return v; }
static __inline uint64_t atomic_load_u64(uint64_t *p) { uint64_t v = *(volatile uint64_t *)p; _ReadWriteBarrier(); return v; }
static __inline void *atomic_load_ptr(void **p) { void *v = *(void *volatile *)p; _ReadWriteBarrier(); return v; }
static __inline void atomic_store_u8(uint8_t *p, uint8_t v) { _InterlockedExchange8((char *)p, (char)v); }
static __inline void atomic_store_u32(uint32_t *p, uint32_t v) { _InterlockedExchange((long *)p, (long)v); }
static __inline void atomic_store_u64(uint64_t *p, uint64_t v) { _InterlockedExchange64((__int64 *)p, (__int64)v); }
static __inline void atomic_store_ptr(void **p, void *v) { _InterlockedExchangePointer(p, v); }
static __inline uint32_t atomic_exchange_u32(uint32_t *p, uint32_t v) { return (uint32_t)_InterlockedExchange((long *)p, (long)v); }
static __inline uint64_t atomic_exchange_u64(uint64_t *p, uint64_t v) { return (uint64_t)_InterlockedExchange64((__int64 *)p, (__int64)v); }
static __inline void *atomic_exchange_ptr(void **p, void *v) { return _InterlockedExchangePointer(p, v); }
static __inline uint64_t atomic_add_u64(uint64_t *p, uint64_t v) { return (uint64_t)_InterlockedExchangeAdd64((__int64 *)p, (__int64)v); }
static __inline uint64_t atomic_or_u64(uint64_t *p, uint64_t v) { return (uint64_t)_InterlockedOr64((__int64 *)p, (__int64)v); }
static __inline int atomic_cas_u32(uint32_t *p, uint32_t from, uint32_t to) { return (uint32_t)_InterlockedCompareExchange((long *)p, (long)to, (long)from) == from; }
static __inline int atomic_cas_u64(uint64_t *p, uint64_t from, uint64_t to) { return (uint64_t)_InterlockedCompareExchange64((__int64 *)p, (__int64)to, (__int64)from) == from; }
static __inline int atomic_cas_ptr(void **p, void *from, void *to) { return _InterlockedCompareExchangePointer(p, to, from) == from; }
#define POOLCORE_RELAXED_LOAD(p) (*(volatile uint32_t *)(p))
#define POOLCORE_RELAXED_STORE(p, v) (*(volatile uint32_t *)(p) = (v))
#else
static inline void atomic_fence_loads(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline uint8_t atomic_load_u8(uint8_t *p) { POOLCORE_YIELD("load"); return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint32_t atomic_load_u32(uint32_t *p) { POOLCORE_YIELD("load"); return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint64_t atomic_load_u64(uint64_t *p) { POOLCORE_YIELD("load"); return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void *atomic_load_ptr(void **p) { POOLCORE_YIELD("load"); return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void atomic_store_u8(uint8_t *p, uint8_t v) { POOLCORE_YIELD("store"); __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void atomic_store_u32(uint32_t *p, uint32_t v) { POOLCORE_YIELD("store"); __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void atomic_store_u64(uint64_t *p, uint64_t v) { POOLCORE_YIELD("store"); __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void atomic_store_ptr(void **p, void *v) { POOLCORE_YIELD("store"); __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint32_t atomic_exchange_u32(uint32_t *p, uint32_t v) { POOLCORE_YIELD("exchange"); return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL); }
static inline uint64_t atomic_exchange_u64(uint64_t *p, uint64_t v) { POOLCORE_YIELD("exchange"); return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL); }
static inline void *atomic_exchange_ptr(void **p, void *v) { POOLCORE_YIELD("exchange"); return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL); }
static inline uint64_t atomic_add_u64(uint64_t *p, uint64_t v) { POOLCORE_YIELD("add"); return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL); }
static inline uint64_t atomic_or_u64(uint64_t *p, uint64_t v) { POOLCORE_YIELD("or"); return __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL); }
static inline int atomic_cas_u32(uint32_t *p, uint32_t from, uint32_t to) { POOLCORE_YIELD("cas"); return __atomic_compare_exchange_n(p, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); }
static inline int atomic_cas_u64(uint64_t *p, uint64_t from, uint64_t to) { POOLCORE_YIELD("cas"); return __atomic_compare_exchange_n(p, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); }
static inline int atomic_cas_ptr(void **p, void *from, void *to) { POOLCORE_YIELD("cas"); return __atomic_compare_exchange_n(p, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); }
#define POOLCORE_RELAXED_LOAD(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define POOLCORE_RELAXED_STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#endif

/* A record's value as its owner reads and writes it: plain moves, defined against a remote CAS. */
static inline uint32_t record_load(uint32_t *p) { POOLCORE_YIELD("record load"); return POOLCORE_RELAXED_LOAD(p); }
/* A free record's link, its low 16 bits. */
static inline uint32_t record_link(uint32_t *p) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    typedef uint16_t __attribute__((may_alias)) link_t;
    POOLCORE_YIELD("record link");
    return __atomic_load_n((link_t *)p, __ATOMIC_RELAXED);
#else
    return record_load(p) & 0xFFFFu;
#endif
}
static inline void record_store(uint32_t *p, uint32_t v) { POOLCORE_YIELD("record store"); POOLCORE_RELAXED_STORE(p, v); }

/* Whether d divides n, and then n / d, by one multiplication with reciprocal = 2^64 / d, rounded up: the product's high
 * word is the quotient, and its low word is below the reciprocal exactly if there is no rest. For n below 2^32 and
 * d from 2 to 2^32 (Lemire, Kaser and Kurz, "Faster remainder by direct computation", 2019). */
static inline int divides(uint64_t n, uint64_t reciprocal, uint64_t *quotient) {
#if defined(_MSC_VER)
    uint64_t low = _umul128(n, reciprocal, quotient);
#else
    unsigned __int128 product = (unsigned __int128)n * reciprocal;
    uint64_t low = (uint64_t)product;
    *quotient = (uint64_t)(product >> 64);
#endif
    return low < reciprocal;
}

#if defined(__GNUC__) || defined(__clang__)
static inline uint32_t bits_lowest(uint64_t v) { return (uint32_t)__builtin_ctzll(v); }
static inline uint32_t bits_highest(uint64_t v) { return 63u - (uint32_t)__builtin_clzll(v); }
static inline void prefetch(void *p) { __builtin_prefetch(p, 1); }
#else
static inline uint32_t bits_lowest(uint64_t v) { unsigned long i; _BitScanForward64(&i, v); return i; }
static inline uint32_t bits_highest(uint64_t v) { unsigned long i; _BitScanReverse64(&i, v); return i; }
static inline void prefetch(void *p) { (void)p; }
#endif

/* ---- Assertions ----------------------------------------------------------------------------- */

/* In a build with POOLCORE_ASSERTIONS the engine runs its own checks where slabs change hands and pools are
 * closed, and ends the process with the name of a broken invariant. Otherwise nothing is evaluated. */
#ifdef POOLCORE_ASSERTIONS
#include <stdio.h>
#include <stdlib.h>
static inline void assert_whole(const char *broken) {
    if (broken) {
        fprintf(stderr, "poolcore: broken invariant: %s\n", broken);
        abort();
    }
}
#else
#define assert_whole(broken) ((void)0)
#endif

/* ---- Locks and threads -------------------------------------------------------------------- */

#if defined(_WIN32)
typedef SRWLOCK os_lock_t;
static inline void os_lock_init(os_lock_t *l) { InitializeSRWLock(l); }
static inline void os_lock(os_lock_t *l) { AcquireSRWLockExclusive(l); }
static inline int os_trylock(os_lock_t *l) { return TryAcquireSRWLockExclusive(l); }
static inline void os_unlock(os_lock_t *l) { ReleaseSRWLockExclusive(l); }
typedef CONDITION_VARIABLE os_condition_t;
static inline void os_condition_init(os_condition_t *c) { InitializeConditionVariable(c); }
static inline void os_wait(os_condition_t *c, os_lock_t *l) { SleepConditionVariableSRW(c, l, INFINITE, 0); }
/* False: so much time passed first. A wait may end without either. */
static inline int os_wait_ns(os_condition_t *c, os_lock_t *l, uint64_t ns) {
    uint64_t ms = ns / 1000000u + (ns % 1000000u != 0);
    return SleepConditionVariableSRW(c, l, ms >= INFINITE ? INFINITE - 1 : (DWORD)ms, 0) != 0;
}
static inline void os_wake(os_condition_t *c) { WakeAllConditionVariable(c); }
#else
typedef pthread_mutex_t os_lock_t;
static inline void os_lock_init(os_lock_t *l) { pthread_mutex_init(l, NULL); }
static inline void os_lock(os_lock_t *l) { POOLCORE_YIELD("lock"); pthread_mutex_lock(l); }
static inline int os_trylock(os_lock_t *l) { return pthread_mutex_trylock(l) == 0; }
static inline void os_unlock(os_lock_t *l) { pthread_mutex_unlock(l); }
typedef pthread_cond_t os_condition_t;
#if defined(__APPLE__)
static inline void os_condition_init(os_condition_t *c) { pthread_cond_init(c, NULL); }
static inline int os_wait_ns(os_condition_t *c, os_lock_t *l, uint64_t ns) {
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    return pthread_cond_timedwait_relative_np(c, l, &t) == 0;
}
#else
static inline void os_condition_init(os_condition_t *c) {
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(c, &clock);
    pthread_condattr_destroy(&clock);
}
/* False: so much time passed first. A wait may end without either. */
static inline int os_wait_ns(os_condition_t *c, os_lock_t *l, uint64_t ns) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ns / 1000000000u);
    t.tv_nsec += (long)(ns % 1000000000u);
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec += 1;
        t.tv_nsec -= 1000000000;
    }
    return pthread_cond_timedwait(c, l, &t) == 0;
}
#endif
static inline void os_wait(os_condition_t *c, os_lock_t *l) { pthread_cond_wait(c, l); }
static inline void os_wake(os_condition_t *c) { pthread_cond_broadcast(c); }
#endif

#if defined(_WIN32)
static inline uint64_t os_thread_id(void) { return GetCurrentThreadId(); }
#elif defined(__linux__)
#include <sys/syscall.h>
static inline uint64_t os_thread_id(void) { return (uint64_t)syscall(SYS_gettid); }
#else
static inline uint64_t os_thread_id(void) { return (uint64_t)(uintptr_t)pthread_self(); }
#endif

static inline uint64_t os_clock_ns(void) {
#if defined(_WIN32)
    LARGE_INTEGER now, rate;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    return (uint64_t)((double)now.QuadPart * 1e9 / (double)rate.QuadPart);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

/* ---- OS pages ------------------------------------------------------------------------------ */

#if defined(_WIN32)
static inline size_t os_page_bytes(void) { SYSTEM_INFO i; GetSystemInfo(&i); return i.dwPageSize; }
static inline void *os_reserve(size_t bytes) { return VirtualAlloc(NULL, bytes, MEM_RESERVE, PAGE_NOACCESS); }
static inline void *os_map(size_t bytes) { return VirtualAlloc(NULL, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }
static inline int os_commit(void *p, size_t bytes) { return VirtualAlloc(p, bytes, MEM_COMMIT, PAGE_READWRITE) != NULL; }
static inline int os_protect(void *p, size_t bytes) { DWORD old; return VirtualProtect(p, bytes, PAGE_NOACCESS, &old) != 0; }
static inline int os_unprotect(void *p, size_t bytes) { DWORD old; return VirtualProtect(p, bytes, PAGE_READWRITE, &old) != 0; }
static inline void os_discard(void *p, size_t bytes) { DiscardVirtualMemory(p, bytes); }
static inline void os_release(void *p, size_t bytes) { (void)bytes; VirtualFree(p, 0, MEM_RELEASE); }
static inline void os_populate(void *p, size_t bytes) { (void)p; (void)bytes; }
static inline void os_huge(void *p, size_t bytes) { (void)p; (void)bytes; }
#else
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
static inline size_t os_page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }
/* Address space that nothing may touch until it is committed. */
static inline void *os_reserve(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
/* Zeroed memory of which only the touched pages cost anything. */
static inline void *os_map(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
static inline int os_commit(void *p, size_t bytes) { return mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0; }
static inline int os_protect(void *p, size_t bytes) { return mprotect(p, bytes, PROT_NONE) == 0; }
static inline int os_unprotect(void *p, size_t bytes) { return mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0; }
/* The pages read as zero afterwards. */
static inline void os_discard(void *p, size_t bytes) { (void)madvise(p, bytes, MADV_DONTNEED); }
static inline void os_release(void *p, size_t bytes) { (void)munmap(p, bytes); }
/* Backs a range with pages in one call; a kernel without it backs them at their first touch. */
static inline void os_populate(void *p, size_t bytes) {
#if defined(__linux__)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
    (void)madvise(p, bytes, MADV_POPULATE_WRITE);
#else
    (void)p; (void)bytes;
#endif
}
static inline void os_huge(void *p, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    (void)madvise(p, bytes, MADV_HUGEPAGE);
#else
    (void)p; (void)bytes;
#endif
}
#endif

/* ---- Thread-local storage: defined once, in the engine's own module ------------------------ */

/* Where a slot's place counts from the thread pointer, any module reads it as the engine does; elsewhere it asks
 * the engine. */
#if defined(__x86_64__) && defined(__SEG_FS) && defined(__linux__)
#define POOLCORE_THREAD_POINTER 1
static inline void *thread_heap_at(size_t place) { return *(void *volatile __seg_fs *)place; }
#else
#define POOLCORE_THREAD_POINTER 0
#ifndef POOLCORE_ENGINE
#define thread_heap_at(place) ((void *)(place))     /* never called */
#endif
#endif

#ifdef POOLCORE_ENGINE
/* thread_heaps[0] is always thread_no_heap (pools that take no fast path look there); [1..6] are this
 * thread's heaps by the slot of their pool; [7] is the thread itself. 64 bytes: they must fit the
 * surplus that glibc keeps for initial-exec variables of libraries loaded late. They start as
 * thread_no_heap, never as NULL, so that the fast path needs no test for it: it belongs to no pool. */
#define POOLCORE_NO_HEAP_BYTES 4096
#define POOLCORE_SLOTS {thread_no_heap, thread_no_heap, thread_no_heap, thread_no_heap, \
                        thread_no_heap, thread_no_heap, thread_no_heap, thread_no_heap}
#if defined(_MSC_VER)
static __declspec(align(64)) char thread_no_heap[POOLCORE_NO_HEAP_BYTES];
static __declspec(thread) void *thread_heaps[8] = POOLCORE_SLOTS;
#elif defined(__linux__) && defined(__GLIBC__)
static char thread_no_heap[POOLCORE_NO_HEAP_BYTES] __attribute__((aligned(64)));
static __thread void *thread_heaps[8] __attribute__((tls_model("initial-exec"))) = POOLCORE_SLOTS;
#else
static char thread_no_heap[POOLCORE_NO_HEAP_BYTES] __attribute__((aligned(64)));
static __thread void *thread_heaps[8] = POOLCORE_SLOTS;
#endif
/* A slot's place, as the pool keeps it. Counted from the thread pointer where the compiler can address by it,
 * it saves the load of the array's own place: one instruction of each call. */
#if POOLCORE_THREAD_POINTER
static inline size_t thread_slot(size_t index) {
    uintptr_t self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    return (size_t)((uintptr_t)&thread_heaps[index] - self);
}
static inline void thread_heap_set(size_t place, void *heap) { *(void *volatile __seg_fs *)place = heap; }
#else
static inline size_t thread_slot(size_t index) { return index * sizeof(void *); }
static inline void *thread_heap_at(size_t place) { return *(void **)((char *)thread_heaps + place); }
static inline void thread_heap_set(size_t place, void *heap) { *(void **)((char *)thread_heaps + place) = heap; }
#endif

#if defined(_WIN32)
static DWORD os_thread_key = FLS_OUT_OF_INDEXES;
static inline int os_thread_key_create(void (*ended)(void *)) {
    os_thread_key = FlsAlloc((PFLS_CALLBACK_FUNCTION)ended);
    return os_thread_key != FLS_OUT_OF_INDEXES;
}
static inline void os_thread_key_set(void *thread) { FlsSetValue(os_thread_key, thread); }
static inline int os_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void)) {
    (void)before; (void)in_parent; (void)in_child; return 0;
}
#else
static pthread_key_t os_thread_key;
static inline int os_thread_key_create(void (*ended)(void *)) { return pthread_key_create(&os_thread_key, ended) == 0; }
static inline void os_thread_key_set(void *thread) { pthread_setspecific(os_thread_key, thread); }
static inline int os_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void)) {
    return pthread_atfork(before, in_parent, in_child);
}
#endif
#endif /* POOLCORE_ENGINE */

#endif /* POOLCORE_PLATFORM_H */
