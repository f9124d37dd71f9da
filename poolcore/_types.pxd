"""The engine's structs, constants and verdicts. Imports nothing of ours.

One address range is an arena, cut into granules of `1 << pool.granule_shift` bytes (64 KiB unless
the caller's memory is small). Granule g has descriptor `pool.descriptors[g]`. A granule is free
(part of an extent), a slab (blocks of one size class), or part of a run (one large block).
All metadata lives outside the arena, so an overrun cannot damage it and the range need not be backed.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "poolcore_platform.h" nogil:
    ctypedef struct os_lock_t:
        pass
    ctypedef struct os_condition_t:
        pass


# What `free` found at an address. Values are part of the C interface.
cdef enum verdict_t:
    VERDICT_LIVE = 0            # a live block's start: it was freed (also into quarantine)
    VERDICT_NULL = 1            # the address 0
    VERDICT_DOUBLE = 2          # start of a block that was handed out and is free now
    VERDICT_INTERIOR = 3        # inside a block or its slab, not at the start of one
    VERDICT_FOREIGN = 4         # never handed out by any open pool
    VERDICT_OTHER_POOL = 5      # inside another open pool's range
    VERDICT_EXPORTED = 6        # a view of its Buffer is alive
    VERDICT_CORRUPT = 7         # pattern around or in the block was overwritten
    VERDICT_CLOSED = 8          # the pool is closed

# Why an allocation answered 0.
cdef enum refusal_t:
    REFUSAL_NONE = 0
    REFUSAL_MEMORY = 1          # no room in the arena, or the OS or a callback refused
    REFUSAL_LIMIT_BYTES = 2
    REFUSAL_LIMIT_BLOCKS = 3
    REFUSAL_CLOSED = 4
    REFUSAL_FAULT = 5           # the Faults policy chose this request
    REFUSAL_ALIGNMENT = 6       # not a power of two, or larger than half the arena
    REFUSAL_CALLBACK = 7        # called from inside on_map or on_unmap
    REFUSAL_RESTORE = 8         # another thread restores a snapshot; later it may be granted

cdef enum:
    GRANULE_SHIFT = 16          # the only shift the fast free knows; other pools take the slow one
    GRANULE_BYTES = 1 << GRANULE_SHIFT
    ALIGNMENT_SHIFT = 4
    ALIGNMENT = 16              # every block's, and every class size's, divisor
    SMALL_MAX = 65536           # largest size class there can be
    CLASS_MAX = 96              # size classes of a pool at most
    CLASS_OF_COUNT = 4097       # entries of class_of: one for each 16 bytes up to SMALL_MAX, and 0
    SLOT_COUNT = 6              # heaps that a thread finds through thread-local storage
    BIN_COUNT = 256             # lists of free extents by length
    BIN_WORDS = 4
    META_ORDERS = 12            # lengths of pieces of metadata: 64 bytes to 128 KiB
    FRONT_MAX = 32              # blocks on a heap's front below the top one

# One u32 record per block, out of band, in its slab's `records`; a run's stands in its descriptor: see run_record.
#   free:    link to the next free block in the low 16 bits (LINK_NONE at the end); VIRGIN until first handed out;
#            or RECORD_FRONT and no link
#   others:  state in the top four bits, requested bytes in the low 17 (a run's stand in `total`)
# Only the sign bit takes the fast path of free, so only LIVE has it.
#   FREE -> LIVE | HELD          alloc | get, by the owner
#   LIVE -> FREE                 free by the owner, plain store
#   LIVE <-> FRONT -> FREE       one-class pools through C: free and alloc by the owner; the front is spilled
#   LIVE -> REMOTE               free by another thread, CAS; REMOTE -> FREE by the owner when it collects
#   HELD <-> EXPORTED            a Buffer's first view taken, its last released
#   HELD -> FREE | REMOTE        free by Buffer or address; the Buffer is dead
#   EXPORTED -> DEFERRED         a deferred free; DEFERRED -> FREE | REMOTE with the last view
#   LIVE | HELD -> QUARANTINED -> FREE
cdef enum:
    RECORD_LIVE = 0x80000000
    RECORD_HELD = 0x40000000
    RECORD_EXPORTED = 0x60000000
    RECORD_DEFERRED = 0x50000000
    RECORD_REMOTE = 0x20000000
    RECORD_QUARANTINED = 0x10000000
    RECORD_STATE = 0xF0000000
    RECORD_VIRGIN = 0x00010000      # only with a free record
    RECORD_FRONT = 0x00020000       # a free record whose block is on its heap's front, and its whole value
    RECORD_SIZE = 0x0001FFFF
    LINK_NONE = 0xFFFF
    LINK_MASK = 0xFFFF

# What a granule is (slab_t.kind), and, once it is free, what it was (slab_t.was).
cdef enum kind_t:
    KIND_NONE = 0               # never used, or inside a run or extent
    KIND_FREE = 1               # first granule of a free extent
    KIND_FREE_END = 2           # last granule of a free extent of two or more
    KIND_TAKEN = 3              # taken from the arena, not formatted yet
    KIND_SLAB = 4
    KIND_RUN = 5                # first granule of a run
    KIND_RUN_PART = 6           # a granule inside a run; as `kind`, one that leads to the first (see run_mark)

# Where a slab is (slab_t.place).
cdef enum place_t:
    PLACE_CURRENT = 0           # heap.current of its class
    PLACE_PARTIAL = 1           # heap.partial: some blocks live, some free
    PLACE_FULL = 2              # no list; owner is no heap's address, so that the next free goes the slow way
    PLACE_EMPTY = 3             # heap.empty: no block live, still formatted

cdef enum:
    FLAG_BACKED = 1             # granule may hold pages (own pages) or is mapped (address space)
    FLAG_GUARDED = 2            # blocks right-justified against guard pages
    FLAG_TAGGED = 4             # blocks may have tags: none of them takes a fast path

cdef enum backing_t:
    BACKING_PAGES = 0
    BACKING_BUFFER = 1
    BACKING_SPACE = 2

cdef enum huge_t:
    HUGE_NEVER = 0
    HUGE_ALWAYS = 1
    HUGE_GROWTH = 2             # what is committed beyond the first 4 MiB

# What a restore does (pool_t.restoring). While it does anything, requests are refused.
cdef enum restoring_t:
    RESTORE_NONE = 0
    RESTORE_WAITS = 1           # until calls that are between two steps are through
    RESTORE_RUNS = 2            # it alone maps and unmaps

# How an allocation is wanted (alloc_ex) and a free (free_ex).
cdef enum:
    ALLOC_ZERO = 1
    FREE_DEFER = 1              # of an exported block: dead at once, memory back with the last view


cdef struct slab_t
cdef struct heap_t
cdef struct thread_t
cdef struct pool_t


# The part of a Buffer that the engine knows. `slab` is NULL once the Buffer is dead.
cdef struct hold_t:
    slab_t *slab
    uint64_t address
    uint64_t size               # requested bytes
    uint32_t index
    uint32_t views

# Given with a block, kept in a slab's second array when any block of the slab has one.
cdef struct tag_t:
    uint32_t tag                # four characters, 0 for none
    uint32_t thread             # that allocated it, when Events is on
    uint64_t sequence           # of its allocation, when Events is on
    uint64_t freed              # sequence of its free


# Descriptor of one granule: 128 bytes, hot line first.
#   address of block i   base + i * block_bytes            (guarded: see block_address)
#   head                 first of the blocks to hand out; freed: first of those that came back since
#   taken                total - frees modulo 2^32 = live + REMOTE blocks + blocks on the front
#   taken + blocks on the two lists = carved <= block_count
#   owner                the heap whose thread may use the fast path; that plus 1 when full; NULL when policed,
#                        tagged, or no slab
#   heap                 the heap it belongs to, or that its last slab belonged to
# Allocations take from one list and frees put on the other, and each counts for itself, so that neither waits
# for a store of the other: with one list and one count a pair took 4.1 ns on Zen 5 and waited for three
# stores to be forwarded. When `head` runs out it is filled from `freed`, at once.
# Padded to 128: with 72, two threads on neighbouring slabs ran at 0.44 of one thread's rate.
cdef struct slab_t:
    heap_t *owner
    uint32_t *records           # never other granules', and never shorter than they were: see records_make
    uint64_t base               # of a run: its block's address
    uint64_t total              # allocations ever, since formatted; a run: requested bytes
    uint64_t reciprocal         # 2^64 / block_bytes, rounded up: see `divides`
    uint32_t head
    uint32_t frees              # by the owner, remote ones when it collects them
    uint32_t block_bytes        # a run: its block's record, so it is only stored as records are
    uint16_t freed
    uint16_t block_count
    uint32_t granules           # of a free extent or a run; a run part: number of the run's first granule
    uint8_t size_class
    uint8_t place
    uint8_t flags
    uint8_t record_bin          # how long `records` is: see record_bin_of; 0: none

    slab_t *next                # in the list of its place or bin
    slab_t *prev
    slab_t *remote_next         # in heap.remote
    uint64_t *remote_bits       # one bit a block, set by other threads' frees; NULL until the first such free
    hold_t **holders            # per block, NULL until the first `get`; a run: its hold_t itself
    tag_t *tags                 # per block, NULL until the first tag
    heap_t *heap
    uint32_t remote_queued      # 1 while in heap.remote
    uint16_t carved             # blocks linked so far; the rest were never handed out
    uint8_t kind
    uint8_t was


# A block on a heap's front.
cdef struct front_t:
    uint64_t address
    uint32_t *record

# One thread's slabs of one pool. Type-stable and never unmapped: a stale pointer reads pool NULL.
cdef struct heap_t:
    pool_t *pool                # NULL when the pool is closed
    front_t top                 # of the front (see _front.pxi); its record is record_none when there is nothing to know
    uint64_t front_total        # allocations from the front
    front_t front[FRONT_MAX]    # beneath the top one, the latest last
    uint32_t front_count

    slab_t *fast[CLASS_MAX]     # current, or slab_none in pools without a fast path

    slab_t *current[CLASS_MAX]
    slab_t *partial[CLASS_MAX]  # each list's first
    slab_t *empty[CLASS_MAX]
    uint64_t empty_mask[2]      # classes whose empty list is not
    uint32_t empty_count
    uint32_t slab_count
    uint64_t retired_total      # sum of `total` over former slabs, less what was taken but not granted
    thread_t *thread            # NULL while abandoned
    heap_t *next_in_pool
    heap_t *next_in_thread
    heap_t *next_abandoned
    uint8_t is_abandoned
    uint64_t line[8]
    slab_t *remote              # slabs with remote frees; pushed by CAS, taken whole by the owner
    uint64_t line_after[7]

# A pool's call that a thread is in, on its stack: one pool's callback may call another, whose callback calls the first.
cdef struct inside_t:
    pool_t *pool
    inside_t *outer

# One per thread that ever called in.
#   gather: up to 32 remote frees of one 64-block word of one slab, published together
cdef struct thread_t:
    heap_t *heaps
    slab_t *gather_slab
    uint64_t gather_bits
    uint32_t gather_word
    uint32_t gather_count
    thread_t *next
    inside_t *in_callback       # the on_map or on_unmap that this thread is in, the innermost
    inside_t *in_open_call      # the call that it is counted for in open_calls, the innermost
    uint32_t callbacks          # of any kind and pool that this thread is in
    uint64_t id

cdef struct event_t:
    uint64_t sequence
    uint64_t time_ns
    uint64_t address
    uint64_t size
    uint32_t thread
    uint32_t tag
    uint8_t kind                # event_kind_t
    uint8_t verdict             # or refusal

cdef enum event_kind_t:
    EVENT_ALLOC = 0
    EVENT_FREE = 1
    EVENT_REFUSED = 2           # an allocation answered 0
    EVENT_REJECTED = 3          # a free with a verdict other than LIVE
    EVENT_CORRUPT = 4           # a free block was written to, seen when it was to be reused

# An address-space pool's way out. Each returns 0, or -1 to refuse. Called with no engine lock held.
ctypedef int (*map_call_t)(void *context, uint64_t address, uint64_t size) noexcept nogil
ctypedef int (*copy_call_t)(void *context, uint64_t to_address, uint64_t from_address, uint64_t size) noexcept nogil
ctypedef int (*low_memory_call_t)(void *context, uint64_t size) noexcept nogil

# What pool_open is told. Zero means: the default, or absent.
cdef struct pool_config_t:
    int backing
    uint64_t base               # the caller's memory or address space
    uint64_t size
    uint64_t reserve_bytes      # own pages: address space to reserve; 0 for 64 GiB, less with many pools open
    int huge                    # own pages: huge_t
    uint32_t class_count        # 0: default classes
    uint64_t class_bytes[CLASS_MAX]
    uint64_t limit_bytes        # requested bytes; UINT64_MAX: none
    uint64_t limit_blocks
    uint32_t guard_every        # 0: no Guard
    uint64_t quarantine_blocks  # both 0: no Quarantine
    uint64_t quarantine_bytes
    int is_filled
    uint8_t fill_alloc
    uint8_t fill_free
    uint64_t events_capacity
    uint64_t fault_nth          # refuse exactly this request, counted from 1
    double fault_rate           # refuse each with this probability
    uint64_t fault_seed
    uint64_t fault_first        # refuse requests fault_first <= n < fault_last
    uint64_t fault_last
    int is_low_memory
    int is_deferred             # free of an exported block defers
    int is_counted              # every call holds the GIL, until pool_go_native
    map_call_t on_map
    map_call_t on_unmap
    copy_call_t on_copy
    low_memory_call_t on_low_memory
    void *context
    int64_t *calls              # the context's counts of threads in calls and in callbacks, or NULL: those of
    int *callback_depth         # threads that a fork left behind are taken back

# Metadata (see _arena.pxi). Places count units of 64 bytes from `base`; the first unit is none.
#   1 .. used - 1            pieces: free ones, which are listed, and those that were handed out
#   used .. records - 1      never used: reads as zero
#   records .. the end       records
#   the other half of a free piece, which the longest have not, is not free as a whole
cdef struct meta_t:
    uint64_t base
    uint64_t reserved           # bytes, a multiple of the longest piece
    uint64_t used
    uint64_t records
    uint8_t *orders             # by place: order + 1 of the free piece that starts there, 0 where none does
    uint32_t free[META_ORDERS]  # place of each list's first; 0 for none

cdef struct pool_t:
    # read by the fast paths
    uint64_t base
    uint64_t fast_span          # bytes of arena that the fast free may look at; 0: none
    slab_t *descriptors
    uint64_t slot_offset        # of this pool's heaps in thread_heaps, bytes
    uint64_t small_max          # largest request that a size class serves
    uint8_t class_of[CLASS_OF_COUNT]    # by (size + 15) / 16

    uint32_t class_count
    uint32_t class_bytes[CLASS_MAX]
    uint32_t class_blocks[CLASS_MAX]        # a slab's
    uint64_t class_reciprocal[CLASS_MAX]

    # the arena, under arena_lock
    os_lock_t arena_lock
    uint64_t span               # bytes of arena
    uint32_t granule_shift
    uint64_t granule_bytes
    uint64_t granule_count
    uint64_t top                # granules below it were taken at least once
    uint64_t committed_top      # own pages: granules below it may be accessed
    uint64_t commit_step
    slab_t *bins[BIN_COUNT]
    uint64_t bin_mask[BIN_WORDS]
    uint64_t free_granules      # below top
    uint64_t backed_granules
    meta_t meta
    heap_t *heaps               # all, linked by next_in_pool
    heap_t *abandoned
    uint64_t run_total

    # locked pools (address space, policies): one heap, heap_lock held through every operation
    os_lock_t heap_lock
    heap_t *shared_heap
    uint8_t is_locked
    uint8_t is_policed          # no fast path: locked, or limited
    uint8_t is_limited
    uint8_t is_counted          # unlocked, and live_blocks to peak_bytes are exact: limited, or never given to C
    uint8_t is_closed
    uint8_t is_open             # the struct is in use
    uint8_t is_native           # addresses were handed to C
    uint32_t number             # position in the table of pools
    uint64_t mapped_address     # of the reservation that the arena lies in; 0: not ours
    uint64_t mapped_bytes
    uint64_t descriptor_bytes

    # address space, under heap_lock: who may find the pool between two of its states
    uint8_t restoring           # restoring_t
    uint32_t map_calls          # on_map and on_unmap that run: granules are taken that no record tells of
    uint32_t open_calls         # reallocs and batches that let the lock go and will take it again
    os_condition_t settled      # one of these three may be 0 again

    # exact in pools that are counted or locked: live = sum over the records, peak = the highest live was
    uint64_t live_blocks
    uint64_t live_bytes
    uint64_t peak_blocks        # in others the highest used, which is never below the truth
    uint64_t peak_bytes
    uint64_t used_blocks        # carved in slabs not known to be empty, and runs: what could be live
    uint64_t used_bytes         # without another slow call
    uint64_t pending_blocks     # of live_blocks, those whose request is inside a callback: no record is theirs yet
    uint64_t pending_bytes
    uint64_t late_double_frees  # by whichever thread finds one out

    pool_config_t config

    # policies, under heap_lock
    uint64_t request_count
    uint64_t sequence
    uint64_t fault_state
    uint64_t guard_count
    event_t *events
    uint64_t *quarantine        # ring of addresses
    uint64_t quarantine_capacity
    uint64_t quarantine_first
    uint64_t quarantine_count
    uint64_t quarantine_bytes
    uint64_t corrupt_blocks

# What block_at and iteration answer. `state` is the record's state bits, 0 when free.
cdef struct block_t:
    uint64_t address
    uint64_t size               # requested bytes; 0 when free
    uint64_t capacity
    uint32_t tag
    uint32_t state
    uint8_t is_virgin           # never handed out
    uint8_t is_run
    hold_t *hold
    uint64_t sequence
    uint64_t freed
    uint32_t thread

cdef struct class_stats_t:
    uint64_t block_bytes
    uint64_t live_blocks
    uint64_t live_bytes
    uint64_t slabs
    uint64_t capacity_bytes

cdef struct pool_stats_t:
    uint64_t live_blocks
    uint64_t live_bytes
    uint64_t peak_blocks
    uint64_t peak_bytes
    int is_peak_exact
    uint64_t total_allocs
    uint64_t total_frees
    uint64_t capacity_bytes         # of live blocks
    uint64_t internal_waste_bytes   # capacity - live, inside live blocks
    uint64_t external_waste_bytes   # of slabs in use, outside live blocks
    uint64_t reserved_bytes
    uint64_t committed_bytes
    uint64_t largest_bytes
    uint64_t late_double_frees
    uint64_t quarantined_blocks
    uint64_t quarantined_bytes
    uint64_t corrupt_blocks
    uint32_t class_count
    class_stats_t classes[CLASS_MAX]
