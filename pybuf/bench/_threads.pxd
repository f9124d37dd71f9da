"""Native threads of the modules that time with them: clocks, atomics, processors, and a muster that waits for jobs."""
from libc.stdint cimport int64_t, uint64_t
from posix.time cimport clock_gettime, timespec

ctypedef void *(*thread_body)(void *) noexcept nogil

cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_create(pthread_t *thread, void *attributes, thread_body body, void *argument)
    int pthread_join(pthread_t thread, void **answer)
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attributes)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_cond_init(pthread_cond_t *condition, void *attributes)
    int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
    int pthread_cond_broadcast(pthread_cond_t *condition)
    int pthread_cond_destroy(pthread_cond_t *condition)
    int sched_yield()

# The compiler's own functions.
cdef extern from * nogil:
    int RELAXED "__ATOMIC_RELAXED"
    int ACQUIRE "__ATOMIC_ACQUIRE"
    int RELEASE "__ATOMIC_RELEASE"
    int SEQUENTIAL "__ATOMIC_SEQ_CST"
    uint64_t atomic_load "__atomic_load_n"(uint64_t *value, int order)
    void atomic_store "__atomic_store_n"(uint64_t *value, uint64_t new_value, int order)
    uint64_t atomic_add "__atomic_add_fetch"(uint64_t *value, uint64_t more, int order)
    bint atomic_swap "__atomic_compare_exchange_n"(
        uint64_t *value, uint64_t *seen, uint64_t new_value, bint is_weak, int order, int order_of_failure)

# Keeps the calling thread on some processors, where the system lets a thread be kept: the scheduler would leave two
# threads on one processor for longer than a run takes.
cdef extern from * nogil:
    """
    #ifdef __linux__
    #include <sched.h>
    static inline void thread_keep(const int *cpus, int count) {
        cpu_set_t set;
        CPU_ZERO(&set);
        for (int number = 0; number < count; number++)
            CPU_SET(cpus[number], &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    #else
    static inline void thread_keep(const int *cpus, int count) { (void)cpus, (void)count; }
    #endif
    """
    void thread_keep(const int *cpus, int count)


cdef inline int64_t clock_ns(int which) noexcept nogil:
    cdef timespec now
    clock_gettime(which, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


# ---- a muster ------------------------------------------------------------------------------
# Threads that do one job after the other together. Whoever made them prepares a job, lets it be done with `muster_run`
# and reads what came of it; each thread waits in `muster_await`, does its part and says so with `muster_report`.

cdef struct Muster:
    pthread_mutex_t mutex
    pthread_cond_t changed
    uint64_t job            # number of the job; 0 before the first
    uint64_t done           # threads that have finished it
    uint64_t ready          # threads that have woken for it
    uint64_t threads        # all of them, before the first job
    bint is_over


cdef inline void muster_open(Muster *muster) noexcept nogil:
    pthread_mutex_init(&muster.mutex, NULL)
    pthread_cond_init(&muster.changed, NULL)


cdef inline void muster_close(Muster *muster) noexcept nogil:
    pthread_mutex_destroy(&muster.mutex)
    pthread_cond_destroy(&muster.changed)


cdef inline bint muster_await(Muster *muster, uint64_t *seen) noexcept nogil:
    """Wait for a job after that numbered ``seen``; all that it woke return together. False: there will be none."""
    cdef bint is_over
    pthread_mutex_lock(&muster.mutex)
    while muster.job == seen[0] and not muster.is_over:
        pthread_cond_wait(&muster.changed, &muster.mutex)
    seen[0] = muster.job
    is_over = muster.is_over
    pthread_mutex_unlock(&muster.mutex)
    if is_over:
        return False
    atomic_add(&muster.ready, 1, RELEASE)
    while atomic_load(&muster.ready, ACQUIRE) < muster.threads:
        sched_yield()
    return True


cdef inline void muster_report(Muster *muster) noexcept nogil:
    pthread_mutex_lock(&muster.mutex)
    muster.done += 1
    pthread_cond_broadcast(&muster.changed)
    pthread_mutex_unlock(&muster.mutex)


cdef inline void muster_run(Muster *muster) noexcept nogil:
    """Let the threads do a job, and wait until all have."""
    pthread_mutex_lock(&muster.mutex)
    muster.ready = muster.done = 0
    muster.job += 1
    pthread_cond_broadcast(&muster.changed)
    while muster.done < muster.threads:
        pthread_cond_wait(&muster.changed, &muster.mutex)
    pthread_mutex_unlock(&muster.mutex)


cdef inline void muster_dismiss(Muster *muster) noexcept nogil:
    """Have the threads end, when what they do is done; whoever made them joins them."""
    pthread_mutex_lock(&muster.mutex)
    muster.is_over = True
    pthread_cond_broadcast(&muster.changed)
    pthread_mutex_unlock(&muster.mutex)
