"""What pybuf takes from the platform header: atomics, locks, conditions, clocks."""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "poolcore_platform.h" nogil:
    ctypedef struct os_lock_t:
        pass
    ctypedef struct os_condition_t:
        pass

    bint rarely(bint condition)

    uint32_t atomic_load_u32(uint32_t *p)
    uint64_t atomic_load_u64(uint64_t *p)
    void *atomic_load_ptr(void **p)
    void atomic_store_u32(uint32_t *p, uint32_t value)
    void atomic_store_u64(uint64_t *p, uint64_t value)
    void atomic_store_ptr(void **p, void *value)
    uint64_t atomic_add_u64(uint64_t *p, uint64_t value)            # answers what was
    bint atomic_cas_u32(uint32_t *p, uint32_t old, uint32_t new)
    bint atomic_cas_u64(uint64_t *p, uint64_t old, uint64_t new)
    bint atomic_cas_ptr(void **p, void *old, void *new)

    void os_lock_init(os_lock_t *lock)
    void os_lock(os_lock_t *lock)
    bint os_trylock(os_lock_t *lock)
    void os_unlock(os_lock_t *lock)
    void os_condition_init(os_condition_t *condition)
    # The lock is let go meanwhile. Either may end early; os_wait_ns is false when the time is over.
    void os_wait(os_condition_t *condition, os_lock_t *lock)
    bint os_wait_ns(os_condition_t *condition, os_lock_t *lock, uint64_t ns)
    void os_wake(os_condition_t *condition)                                 # all that wait
    uint64_t os_thread_id()
    uint64_t os_clock_ns()

    void *os_map(size_t size)
    void os_release(void *p, size_t size)
