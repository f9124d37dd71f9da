"""The platform header as Cython sees it: atomics, locks, pages, thread-local storage."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from poolcore._types cimport os_condition_t, os_lock_t

cdef extern from "poolcore_platform.h" nogil:
    void atomic_fence_loads()
    uint8_t atomic_load_u8(uint8_t *p)
    uint32_t atomic_load_u32(uint32_t *p)
    uint64_t atomic_load_u64(uint64_t *p)
    void *atomic_load_ptr(void **p)
    void atomic_store_u8(uint8_t *p, uint8_t value)
    void atomic_store_u32(uint32_t *p, uint32_t value)
    void atomic_store_u64(uint64_t *p, uint64_t value)
    void atomic_store_ptr(void **p, void *value)
    uint32_t atomic_exchange_u32(uint32_t *p, uint32_t value)
    uint64_t atomic_exchange_u64(uint64_t *p, uint64_t value)
    void *atomic_exchange_ptr(void **p, void *value)
    uint64_t atomic_add_u64(uint64_t *p, uint64_t value)
    uint64_t atomic_or_u64(uint64_t *p, uint64_t value)
    bint atomic_cas_u32(uint32_t *p, uint32_t old, uint32_t new)
    bint atomic_cas_u64(uint64_t *p, uint64_t old, uint64_t new)
    bint atomic_cas_ptr(void **p, void *old, void *new)

    uint32_t bits_lowest(uint64_t value)
    uint32_t bits_highest(uint64_t value)
    void prefetch(void *p)

    void os_lock_init(os_lock_t *lock)
    void os_lock(os_lock_t *lock)
    bint os_trylock(os_lock_t *lock)
    void os_unlock(os_lock_t *lock)
    void os_condition_init(os_condition_t *condition)
    void os_wait(os_condition_t *condition, os_lock_t *lock)    # the lock is let go meanwhile
    void os_wake(os_condition_t *condition)                     # all that wait
    uint64_t os_thread_id()
    uint64_t os_clock_ns()

    size_t os_page_bytes()
    void *os_reserve(size_t size)
    void *os_map(size_t size)
    bint os_commit(void *p, size_t size)
    bint os_protect(void *p, size_t size)
    bint os_unprotect(void *p, size_t size)
    void os_discard(void *p, size_t size)
    void os_release(void *p, size_t size)
    void os_populate(void *p, size_t size)
    void os_huge(void *p, size_t size)
