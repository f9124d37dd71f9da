# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The cold path of the engine: arena, metadata, slabs, remote frees, heaps, runs, policies, pools,
questions, snapshots, fork. In this order; each part uses only those above it.

Locks, in the order in which they may be taken: state_lock (the process' pools and threads), a pool's
heap_lock (locked pools only, held through an operation), a pool's arena_lock (extents, metadata, lists of
heaps). No lock is held while a callback runs.
"""

from libc.stdint cimport UINT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from poolcore._counted cimport count_give, count_take, heap_alloc_counted, heap_free_counted, heap_get
from poolcore._os cimport (
    atomic_add_u64, atomic_cas_ptr, atomic_cas_u32, atomic_cas_u64, atomic_exchange_ptr, atomic_exchange_u32,
    atomic_exchange_u64, atomic_fence_loads, atomic_load_ptr, atomic_load_u8, atomic_load_u32, atomic_load_u64,
    atomic_or_u64, atomic_store_ptr, atomic_store_u8, atomic_store_u32, atomic_store_u64, bits_highest,
    bits_lowest, os_clock_ns, os_commit, os_condition_init, os_discard, os_huge, os_lock, os_lock_init, os_map,
    os_page_bytes, os_protect, os_release, os_reserve, os_thread_id, os_unlock, os_unprotect, os_wait, os_wake,
)
from poolcore._slab cimport slab_has_free, slab_index, slab_live, slab_put, slab_refresh, slab_take
from poolcore._types cimport *

cdef extern from "poolcore_platform.h" nogil:
    size_t thread_slot(size_t index)
    void *thread_heap_at(size_t place)
    void thread_heap_set(size_t place, void *heap)
    char *thread_no_heap
    bint os_thread_key_create(void (*ended)(void *) noexcept nogil)
    void os_thread_key_set(void *thread)
    int os_at_fork(void (*before)() noexcept nogil, void (*in_parent)() noexcept nogil,
                   void (*in_child)() noexcept nogil)
    uint32_t record_load(uint32_t *record)
    bint divides(uint64_t n, uint64_t reciprocal, uint64_t *quotient)
    void record_store(uint32_t *record, uint32_t value)
    void assert_whole(const char *broken)
    bint rarely(bint condition)

cdef enum:
    POOLS_MAX = 65536               # open at once
    THREAD_SLOT = 7                 # of the thread itself in thread_heaps
    REMOTE_BITS_BYTES = 512         # a bit for each of the 4096 smallest blocks of a slab
    META_UNIT = 64
    CARVE_BYTES = 16384             # of blocks linked at a time: small records stay untouched until needed
    EMPTY_KEPT = 32                 # empty slabs that a heap keeps, and an eighth of all it has
    GATHER_MAX = 32
    REALLOC_ROOM_FROM = 512         # bytes of a block from which a growing one gets room to grow on
    HUGE_GRANULES = 32              # of a huge page of 2 MiB
    MAPPED_ALONE = 64               # granules of the longest run whose mapping outlives it (address space)

cdef os_lock_t state_lock
cdef pool_t *pools[POOLS_MAX]
cdef uint32_t pool_count            # entries of `pools` that were ever used
cdef uint32_t open_count
cdef thread_t *threads              # running ones
cdef thread_t *free_threads
cdef heap_t *free_heaps             # of ended threads and closed pools
cdef thread_t thread_ended          # what an ended thread finds in its own place
cdef slab_t slab_none               # the current slab of a class that has none: never a free block
cdef uint32_t record_none           # of no block: neither live nor on a front
cdef uint64_t state_next            # bump allocator of type-stable structs
cdef uint64_t state_end
cdef uint64_t page_bytes


cdef void *state_alloc(uint64_t size) noexcept nogil:
    """Zeroed, never returned to the OS. Under state_lock."""
    global state_next, state_end
    cdef uint64_t step = 1 << 18
    size = (size + 127) & ~<uint64_t>127
    if state_next + size > state_end or state_next == 0:
        state_next = <uint64_t>os_map(step)
        state_end = state_next + step
        if state_next == 0:
            state_end = 0
            return NULL
    state_next += size
    return <void *>(state_next - size)


# ---- The parts, each using those above it -------------------------------------------------------------

include "_arena.pxi"
include "_slab.pxi"
include "_front.pxi"
include "_remote.pxi"
include "_heap.pxi"
include "_run.pxi"
include "_policy.pxi"
include "_block.pxi"
include "_realloc.pxi"
include "_lifetime.pxi"
include "_query.pxi"
include "_check.pxi"
include "_snapshot.pxi"
include "_fork.pxi"


# ---- The module -----------------------------------------------------------------------------------------------

cdef uint64_t engine_layout() noexcept nogil:
    return layout_hash()


cdef int engine_start() except -1:
    global page_bytes
    page_bytes = os_page_bytes()
    os_lock_init(&state_lock)
    slab_none.head = LINK_NONE
    slab_none.freed = LINK_NONE
    slab_none.place = PLACE_CURRENT
    if not os_thread_key_create(thread_end):
        raise MemoryError("poolcore needs one thread-specific key, and the process has none left")
    if os_at_fork(fork_before, fork_unlock, fork_in_child) != 0:
        raise MemoryError("poolcore could not register its fork handlers")
    return 0


engine_start()
