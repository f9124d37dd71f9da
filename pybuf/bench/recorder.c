/* The recorder: preloaded into a program, it writes down every call of the C library's allocation functions.
 *
 * It is no Python module and links nothing but the C library. `pybuf record` sets LD_PRELOAD to it and
 *
 *   PYBUF_RECORD_FILE     the file to write, an absolute path; without it nothing is recorded
 *   PYBUF_RECORD_FOLLOW   "1": children are recorded too, each to FILE.PID
 *   PYBUF_RECORD_SIZES    "1": bytes that arrive from sockets and pipes are recorded as well
 *
 * The file is a header of one page and records of 32 bytes (records.py says what their fields mean). It is mapped
 * and shared, so what was recorded is in the file at once and stays there whatever kills the program: at most the one
 * record that each thread was writing is missing, and a reader sees and counts those. Places in the file are claimed
 * with one atomic addition, which makes the order of the file the order of events: an allocation is written after it
 * was made and a free before, so that no address is seen to be handed out while its last owner still has it.
 *
 * What must hold:
 *   - Nothing here allocates. A thread inside the recorder, or inside the allocator that it calls, has `is_inside` set,
 *     and whatever it calls passes through unrecorded.
 *   - All state of a recording lies in one page that the kernel clears in a forked child, however it was forked: a child
 *     can neither write to its parent's file nor inherit a lock that nobody will release.
 *   - Before this library's own constructor ran, and while dlsym looks for the real functions, calls pass through; what
 *     dlsym itself asks for comes from a small area of our own and is never given back.
 *   - The disk may fill up. Space is asked for before it is mapped, and where there is none recording stops: the header
 *     says why, and how many events were not recorded.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define FAST __thread __attribute__((tls_model("initial-exec")))
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

enum { HEADER_BYTES = 4096, CHUNK_BYTES = 4 << 20, PATH_BYTES = 3072, VERSION = 1, BOOTSTRAP_BYTES = 64 << 10 };
enum operation { ALLOCATE = 1, FREE = 2, REALLOCATE_FROM = 3, REALLOCATE_TO = 4, FAIL = 5, RECEIVE = 6 };
enum flags { ZEROED = 1 };

struct record {
    uint64_t time_ns, address, size;
    uint32_t thread;
    uint8_t operation, alignment;
    uint16_t flags;
};
_Static_assert(sizeof(struct record) == 32, "records.py reads 32 bytes");

struct header {
    char magic[16];
    uint32_t version, record_bytes;
    _Atomic uint64_t claimed;           /* records whose place was taken; a file without room has fewer */
    _Atomic uint64_t refused;           /* events for which there was no room */
    uint64_t wall_ns, monotonic_ns;     /* of the beginning: since 1970, and on the records' clock */
    uint32_t pid, parent;
    uint32_t error, images;             /* errno of why recording stopped; how often the process became another program */
    uint32_t flags;                     /* 1: what arrives is recorded too */
    _Atomic uint32_t threads;
    char program[256];
};
_Static_assert(sizeof(struct header) <= HEADER_BYTES, "the header is one page");

enum phase { UNSTARTED = 0, STARTING, RECORDING, STOPPED };

struct state {                          /* in a page that a forked child finds cleared */
    _Atomic int phase;
    _Atomic int growing;                /* a lock */
    _Atomic uint64_t mapped_bytes;
    uint64_t reserved_bytes;
    struct header *header;              /* and the records behind it */
    int file;
    dev_t device;
    ino_t inode;
    char path[PATH_BYTES + 16];
};
_Static_assert(sizeof(struct state) <= 4096, "the state is one page");

static struct state *state;
static bool is_child, is_following, is_sizes;
static uint32_t generation = 1;         /* of this process; threads were numbered in one of them */
static FAST int is_inside;
static FAST uint32_t thread_number, thread_generation;

/* ---- the real functions ---- */

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static void *(*real_memalign)(size_t, size_t);
static void *(*real_valloc)(size_t);
static void *(*real_pvalloc)(size_t);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_readv)(int, const struct iovec *, int);
static ssize_t (*real_recv)(int, void *, size_t, int);
static ssize_t (*real_recvfrom)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
static ssize_t (*real_recvmsg)(int, struct msghdr *, int);

static _Alignas(16) char bootstrap[BOOTSTRAP_BYTES];
static size_t bootstrap_used;
static bool is_resolving;

static void *bootstrap_allocate(size_t size)
{
    size_t whole = ((size + 15) & ~(size_t)15) + 16;
    if (size > BOOTSTRAP_BYTES || whole > BOOTSTRAP_BYTES - bootstrap_used)
        return NULL;
    char *block = bootstrap + bootstrap_used;
    bootstrap_used += whole;
    *(size_t *)block = size;
    return block + 16;
}

static bool is_bootstrap(const void *block)
{
    return (uintptr_t)block - (uintptr_t)bootstrap < BOOTSTRAP_BYTES;
}

static void *find(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* True once the real functions are known. False inside dlsym, whose own requests bootstrap_allocate answers. */
static bool resolve(void)
{
    if (real_malloc)
        return true;
    if (is_resolving)
        return false;
    is_resolving = true;
    real_calloc = find("calloc");
    real_realloc = find("realloc");
    real_free = find("free");
    real_posix_memalign = find("posix_memalign");
    real_aligned_alloc = find("aligned_alloc");
    real_memalign = find("memalign");
    real_valloc = find("valloc");
    real_pvalloc = find("pvalloc");
    real_readv = find("readv");
    real_recv = find("recv");
    real_recvfrom = find("recvfrom");
    real_recvmsg = find("recvmsg");
    real_read = find("read");
    real_malloc = find("malloc");
    is_resolving = false;
    return true;
}

/* ---- the file ---- */

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Reserve space in the file, without which a store into the mapping would be a SIGBUS. A limit on the size of files
   sends a signal of its own, which is not the program's business. Returns an errno. */
static int file_extend(int file, off_t first, off_t size)
{
    sigset_t limit, before, pending;
    sigemptyset(&limit);
    sigaddset(&limit, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &limit, &before);
    sigpending(&pending);
    int error = posix_fallocate(file, first, size);
    if (error == EFBIG && !sigismember(&pending, SIGXFSZ)) {
        struct timespec at_once = {0, 0};
        sigtimedwait(&limit, NULL, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* The program may have closed our descriptor, and opened another file under its number. */
static bool is_our_file(int file)
{
    struct stat found;
    return file >= 0 && fstat(file, &found) == 0 && found.st_dev == state->device && found.st_ino == state->inode;
}

/* Map what lies between mapped_bytes and the next chunk. Returns an errno. */
static int chunk_map(void)
{
    uint64_t first = state->mapped_bytes;
    if (first + CHUNK_BYTES > state->reserved_bytes)
        return EFBIG;
    if (!is_our_file(state->file)) {
        state->file = open(state->path, O_RDWR | O_CLOEXEC);
        if (!is_our_file(state->file))
            return EBADF;
    }
    int error = file_extend(state->file, (off_t)first, CHUNK_BYTES);
    if (error)
        return error;
    char *at = (char *)state->header + first;
    if (mmap(at, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, state->file, (off_t)first) == MAP_FAILED)
        return errno;
    /* What was written long ago need not count as the program's own memory; it stays in the file. */
    if (first >= 4 * (uint64_t)CHUNK_BYTES)
        madvise(at - 4 * (uint64_t)CHUNK_BYTES, CHUNK_BYTES, MADV_DONTNEED);
    state->mapped_bytes = first + CHUNK_BYTES;
    return 0;
}

/* Open the file of this process. False: it is not to be recorded. */
static bool file_open(void)
{
    uint32_t images = 0;
    int file = open(state->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0 && errno == EEXIST) {
        struct header old;
        file = open(state->path, O_RDWR | O_CLOEXEC);
        bool is_ours = file >= 0 && pread(file, &old, sizeof old, 0) == sizeof old && old.pid == (uint32_t)getpid();
        if (is_ours) {      /* this process has become another program: that one is recorded instead */
            images = old.images + 1;
            is_ours = ftruncate(file, 0) == 0;
        }
        if (!is_ours) {
            if (file >= 0)
                close(file);
            return false;
        }
    }
    if (file < 0)
        return false;
    int high = fcntl(file, F_DUPFD_CLOEXEC, 500);   /* out of the way of programs that count on small numbers */
    if (high >= 0) {
        close(file);
        file = high;
    }
    struct stat found;
    fstat(file, &found);
    state->file = file;
    state->device = found.st_dev;
    state->inode = found.st_ino;
    char *base = MAP_FAILED;
    for (int bits = 40; bits >= 26 && base == MAP_FAILED; bits -= 2) {
        state->reserved_bytes = (uint64_t)1 << bits;
        base = mmap(NULL, state->reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (base == MAP_FAILED)
        return false;
    state->header = (struct header *)base;
    state->mapped_bytes = 0;
    int error = chunk_map();
    if (error) {
        state->header = NULL;
        dprintf(2, "pybuf record: %s: %s\n", state->path, strerror(error));
        return false;
    }
    struct header *header = state->header;
    header->version = VERSION;
    header->record_bytes = sizeof(struct record);
    header->wall_ns = now_ns(CLOCK_REALTIME);
    header->monotonic_ns = now_ns(CLOCK_MONOTONIC);
    header->pid = (uint32_t)getpid();
    header->parent = (uint32_t)getppid();
    header->images = images;
    header->flags = is_sizes;
    snprintf(header->program, sizeof header->program, "%s", program_invocation_name ? program_invocation_name : "");
    memcpy(header->magic, "pybuf recording\n", sizeof header->magic);
    return true;
}

/* Begin to record, in the first process or in a forked child. Called with is_inside set. */
static void start(void)
{
    int unstarted = UNSTARTED;
    if (!state) {
        if (!environ)
            return;     /* too early: the environment is not there yet */
        struct state *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            return;
        if (madvise(page, 4096, MADV_WIPEONFORK))
            page->phase = STOPPED;
        state = page;
    }
    if (!atomic_compare_exchange_strong(&state->phase, &unstarted, STARTING))
        return;
    int saved = errno;
    const char *path = getenv("PYBUF_RECORD_FILE");
    const char *follow = getenv("PYBUF_RECORD_FOLLOW");
    const char *sizes = getenv("PYBUF_RECORD_SIZES");
    bool was_child = is_child;
    is_following = follow && *follow == '1';
    is_sizes = sizes && *sizes == '1';
    is_child = true;    /* whoever comes here again has been forked */
    generation += was_child;
    bool is_open = false;
    if (path && *path && strlen(path) < PATH_BYTES) {
        if (!was_child) {
            memcpy(state->path, path, strlen(path) + 1);
            is_open = file_open();
        }
        if (!is_open && is_following) {
            snprintf(state->path, sizeof state->path, "%s.%d", path, (int)getpid());
            is_open = file_open();
        }
    }
    state->phase = is_open ? RECORDING : STOPPED;
    errno = saved;
}

/* The record with this number, once there is room for it; NULL when there is none. */
static struct record *place_slow(uint64_t end)
{
    int saved = errno;
    while (end > state->mapped_bytes && state->phase == RECORDING) {
        if (atomic_exchange(&state->growing, 1)) {
            sched_yield();
            continue;
        }
        if (end > state->mapped_bytes && state->phase == RECORDING) {
            int error = chunk_map();
            if (error) {
                state->header->error = (uint32_t)error;
                state->phase = STOPPED;
            }
        }
        state->growing = 0;
    }
    errno = saved;
    if (end > state->mapped_bytes)
        return NULL;
    return (struct record *)((char *)state->header + end) - 1;
}

/* Is this call to be recorded? Then is_inside is set, and the caller clears it. */
static inline bool enter(void)
{
    if (is_inside)
        return false;
    is_inside = 1;
    if (UNLIKELY(!state || state->phase == UNSTARTED))
        start();
    if (UNLIKELY(!state || state->phase != RECORDING)) {
        if (state && state->phase == STOPPED && state->header)
            atomic_fetch_add_explicit(&state->header->refused, 1, memory_order_relaxed);
        is_inside = 0;
        return false;
    }
    return true;
}

static inline void leave(void)
{
    is_inside = 0;
}

static void put(enum operation operation, const void *address, size_t size, size_t alignment, int flags)
{
    struct header *header = state->header;
    if (UNLIKELY(thread_generation != generation)) {
        thread_generation = generation;
        thread_number = atomic_fetch_add_explicit(&header->threads, 1, memory_order_relaxed);
    }
    uint64_t time_ns = now_ns(CLOCK_MONOTONIC);
    uint64_t number = atomic_fetch_add_explicit(&header->claimed, 1, memory_order_relaxed);
    uint64_t end = HEADER_BYTES + (number + 1) * sizeof(struct record);
    struct record *record = (struct record *)((char *)header + end) - 1;
    if (UNLIKELY(end > atomic_load_explicit(&state->mapped_bytes, memory_order_acquire)))
        record = place_slow(end);
    if (UNLIKELY(!record)) {
        atomic_fetch_add_explicit(&header->refused, 1, memory_order_relaxed);
        return;
    }
    record->time_ns = time_ns;
    record->address = (uintptr_t)address;
    record->size = size;
    record->thread = thread_number;
    record->alignment = alignment > 1 ? (uint8_t)__builtin_ctzl(alignment) : 0;
    record->flags = (uint16_t)flags;
    atomic_signal_fence(memory_order_release);  /* a record with an operation is whole */
    record->operation = (uint8_t)operation;
}

static void put_allocation(const void *block, size_t size, size_t alignment, int flags)
{
    put(block ? ALLOCATE : FAIL, block, size, alignment, flags);
}

__attribute__((constructor)) static void constructor(void)
{
    is_inside = 1;
    if (resolve() && (!state || state->phase == UNSTARTED))
        start();
    is_inside = 0;
}

/* ---- the C library's names ---- */

EXPORT void *malloc(size_t size)
{
    if (UNLIKELY(!resolve()))
        return bootstrap_allocate(size);
    if (!enter())
        return real_malloc(size);
    void *block = real_malloc(size);
    put_allocation(block, size, 0, 0);
    leave();
    return block;
}

EXPORT void *calloc(size_t count, size_t each)
{
    size_t size;
    if (__builtin_mul_overflow(count, each, &size))
        size = SIZE_MAX;
    if (UNLIKELY(!resolve()))
        return bootstrap_allocate(size);    /* cleared, as static memory is that nobody had before */
    if (!enter())
        return real_calloc(count, each);
    void *block = real_calloc(count, each);
    put_allocation(block, size, 0, ZEROED);
    leave();
    return block;
}

EXPORT void free(void *block)
{
    if (!block || UNLIKELY(is_bootstrap(block)))
        return;
    if (UNLIKELY(!resolve()))
        return;
    if (!enter()) {
        real_free(block);
        return;
    }
    put(FREE, block, 0, 0, 0);
    real_free(block);
    leave();
}

/* A bootstrap block moves to the real allocator. */
static void *bootstrap_move(void *block, size_t size)
{
    void *moved = malloc(size);
    size_t old = *(size_t *)((char *)block - 16);
    return moved ? memcpy(moved, block, old < size ? old : size) : NULL;
}

EXPORT void *realloc(void *block, size_t size)
{
    if (UNLIKELY(is_bootstrap(block)))
        return bootstrap_move(block, size);
    if (UNLIKELY(!resolve()))
        return bootstrap_allocate(size);
    if (!enter())
        return real_realloc(block, size);
    if (block)
        put(REALLOCATE_FROM, block, 0, 0, 0);
    void *moved = real_realloc(block, size);
    if (block)
        put(REALLOCATE_TO, moved, size, 0, 0);
    else
        put_allocation(moved, size, 0, 0);
    leave();
    return moved;
}

EXPORT void *reallocarray(void *block, size_t count, size_t each)
{
    size_t size;
    if (__builtin_mul_overflow(count, each, &size)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, size);
}

EXPORT int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (!resolve())
        return ENOMEM;
    if (!enter())
        return real_posix_memalign(block, alignment, size);
    int error = real_posix_memalign(block, alignment, size);
    if (error != EINVAL)
        put_allocation(error ? NULL : *block, size, alignment, 0);
    leave();
    return error;
}

#define ALIGNED(name, call, size, alignment)        \
    if (!resolve())                                 \
        return NULL;                                \
    if (!enter())                                   \
        return real_##name call;                    \
    void *block = real_##name call;                 \
    put_allocation(block, size, alignment, 0);      \
    leave();                                        \
    return block

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    ALIGNED(aligned_alloc, (alignment, size), size, alignment);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    ALIGNED(memalign, (alignment, size), size, alignment);
}

EXPORT void *valloc(size_t size)
{
    ALIGNED(valloc, (size), size, 4096);
}

EXPORT void *pvalloc(size_t size)
{
    ALIGNED(pvalloc, (size), (size + 4095) & ~(size_t)4095, 4096);
}

/* ---- what arrives; only with PYBUF_RECORD_SIZES ---- */

static bool is_stream(int file)
{
    struct stat found;
    return fstat(file, &found) == 0 && (S_ISSOCK(found.st_mode) || S_ISFIFO(found.st_mode));
}

static void received(int file, const void *buffer, ssize_t size)
{
    if (!is_sizes || size <= 0)
        return;
    int saved = errno;
    if (is_stream(file) && enter()) {
        put(RECEIVE, buffer, (size_t)size, 0, 0);
        leave();
    }
    errno = saved;
}

static void received_parts(int file, const struct iovec *parts, size_t count, ssize_t size)
{
    for (size_t part = 0; is_sizes && part < count && size > 0; part++) {
        ssize_t here = (size_t)size < parts[part].iov_len ? size : (ssize_t)parts[part].iov_len;
        received(file, parts[part].iov_base, here);
        size -= here;
    }
}

EXPORT ssize_t read(int file, void *buffer, size_t size)
{
    resolve();
    ssize_t done = real_read(file, buffer, size);
    received(file, buffer, done);
    return done;
}

EXPORT ssize_t readv(int file, const struct iovec *parts, int count)
{
    resolve();
    ssize_t done = real_readv(file, parts, count);
    received_parts(file, parts, (size_t)count, done);
    return done;
}

EXPORT ssize_t recv(int file, void *buffer, size_t size, int options)
{
    resolve();
    ssize_t done = real_recv(file, buffer, size, options);
    received(file, buffer, options & MSG_PEEK ? 0 : done);
    return done;
}

EXPORT ssize_t recvfrom(int file, void *buffer, size_t size, int options, struct sockaddr *from, socklen_t *length)
{
    resolve();
    ssize_t done = real_recvfrom(file, buffer, size, options, from, length);
    received(file, buffer, options & MSG_PEEK ? 0 : done);
    return done;
}

EXPORT ssize_t recvmsg(int file, struct msghdr *message, int options)
{
    resolve();
    ssize_t done = real_recvmsg(file, message, options);
    if (done > 0 && !(options & MSG_PEEK))
        received_parts(file, message->msg_iov, message->msg_iovlen, done);
    return done;
}

/* What the compiler makes of the calls above where it knows how large the buffer is. */
extern void __chk_fail(void) __attribute__((noreturn));

EXPORT ssize_t __read_chk(int file, void *buffer, size_t size, size_t room)
{
    if (size > room)
        __chk_fail();
    return read(file, buffer, size);
}

EXPORT ssize_t __recv_chk(int file, void *buffer, size_t size, size_t room, int options)
{
    if (size > room)
        __chk_fail();
    return recv(file, buffer, size, options);
}

EXPORT ssize_t __recvfrom_chk(int file, void *buffer, size_t size, size_t room, int options, struct sockaddr *from,
                              socklen_t *length)
{
    if (size > room)
        __chk_fail();
    return recvfrom(file, buffer, size, options, from, length);
}
