/* Preloaded into an interpreter: reports each time that a thread enters the interpreter's own locks, as it does to take
 * the GIL and to let go of it, while it holds a lock of the packages that are watched. Such a thread waits for the GIL
 * with the lock, and another for the lock with the GIL: neither ever goes on.
 *
 *     GIL_WATCHED   folders of the packages, with colons between
 *     GIL_REPORTS   the file that stacks are added to, eight at most of a process */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OTHER, WATCHED, INTERPRETER, LOCKS_MAX = 64, REPORTS_MAX = 8, STACK_MAX = 16, PLACES = 256 };

static __thread pthread_mutex_t *held[LOCKS_MAX];
static __thread int count;
static __thread int is_inside; /* what is called here may lock as well */
static uint64_t taken;         /* locks of the packages, by all threads: that they are watched */

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int is_watched(const char *library) {
    const char *folder = getenv("GIL_WATCHED");
    while (folder != NULL && *folder) {
        size_t length = strcspn(folder, ":");
        if (strncmp(library, folder, length) == 0 && library[length] == '/')
            return 1;
        folder += length + (folder[length] == ':');
    }
    return 0;
}

static int kind_of_library(void *address) {
    Dl_info library, python;
    void *save;
    if (!dladdr(address, &library))
        return OTHER;
    if (is_watched(library.dli_fname))
        return WATCHED;
    save = dlsym(RTLD_DEFAULT, "PyEval_SaveThread");
    return save != NULL && dladdr(save, &python) && python.dli_fbase == library.dli_fbase ? INTERPRETER : OTHER;
}

/* Whose code calls from an address: of each place found out once, by each thread, because that is slow. */
static int kind_of(void *address) {
    static __thread struct { void *address; int kind; } known[PLACES];
    size_t i = ((uintptr_t)address ^ (uintptr_t)address >> 12) % PLACES;
    if (known[i].address != address) {
        known[i].kind = kind_of_library(address);
        known[i].address = address;
    }
    return known[i].kind;
}

static void report(void) {
    static int reports; /* a report more or less, where threads count at once */
    void *stack[STACK_MAX];
    const char *path = getenv("GIL_REPORTS");
    int file = path == NULL || reports >= REPORTS_MAX ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (file < 0)
        return;
    reports++;
    dprintf(file, "locks held: %d; the GIL is taken, or let go of:\n", count);
    backtrace_symbols_fd(stack, backtrace(stack, STACK_MAX), file);
    close(file);
}

static void remember(pthread_mutex_t *lock) {
    __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
    if (count < LOCKS_MAX)
        held[count++] = lock;
}

static void forget(pthread_mutex_t *lock) {
    int i = count;
    while (i > 0 && held[i - 1] != lock)
        i--;
    if (i > 0)
        memmove(held + i - 1, held + i, (size_t)(count-- - i) * sizeof *held);
}

__attribute__((noinline)) int pthread_mutex_lock(pthread_mutex_t *lock) {
    static int (*real)(pthread_mutex_t *);
    int kind = OTHER, answer;
    if (real == NULL)
        real = next("pthread_mutex_lock");
    if (!is_inside) {
        is_inside = 1;
        kind = kind_of(__builtin_return_address(0));
        if (kind == INTERPRETER && count > 0)
            report();
        is_inside = 0;
    }
    answer = real(lock);
    if (answer == 0 && kind == WATCHED)
        remember(lock);
    return answer;
}

__attribute__((noinline)) int pthread_mutex_trylock(pthread_mutex_t *lock) {
    static int (*real)(pthread_mutex_t *);
    int answer;
    if (real == NULL)
        real = next("pthread_mutex_trylock");
    answer = real(lock);
    if (answer == 0 && !is_inside) {
        is_inside = 1;
        if (kind_of(__builtin_return_address(0)) == WATCHED)
            remember(lock);
        is_inside = 0;
    }
    return answer;
}

int pthread_mutex_unlock(pthread_mutex_t *lock) {
    static int (*real)(pthread_mutex_t *);
    if (real == NULL)
        real = next("pthread_mutex_unlock");
    forget(lock);
    return real(lock);
}

/* The child of a fork makes the locks anew that its parent held. */
int pthread_mutex_init(pthread_mutex_t *lock, const pthread_mutexattr_t *attributes) {
    static int (*real)(pthread_mutex_t *, const pthread_mutexattr_t *);
    if (real == NULL)
        real = next("pthread_mutex_init");
    forget(lock);
    return real(lock, attributes);
}

/* How many locks of the packages were taken. */
uint64_t locks_taken(void) { return __atomic_load_n(&taken, __ATOMIC_RELAXED); }

/* What must be reported; called with the GIL. */
void mistake(void) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    void *(*save)(void) = dlsym(RTLD_DEFAULT, "PyEval_SaveThread");
    void (*restore)(void *) = dlsym(RTLD_DEFAULT, "PyEval_RestoreThread");
    pthread_mutex_lock(&lock);
    restore(save());
    pthread_mutex_unlock(&lock);
}
