"""One simulated Windows machine: its pools, and what its routines share. What a family needs is declared here.

A routine is a `noexcept nogil` function of its machine, of addresses as integers and of out-pointers of this process.
Doors find the machine, read arguments, call, and turn what comes back into objects.

* A machine_t is never unmapped. One that was closed reads `is_open` 0, and may later be another machine.
* A pool of a machine is opened when it is first asked for. `machine_shared` opens all of them and lets code without
  the GIL allocate; a machine that C reaches was shared before.
* Locks, outermost first: machine.lock, a family's own lock, the table of handles, machine.clock.lock, an event's lock,
  those of poolcore. Two families' locks are never held together. No lock is held while a block is allocated or freed
  (a pool's callback may run; POOL_AUDIO has none), while Python runs, while the GIL is taken, or while a handler of the
  caller's runs. So a lock may be waited for with the GIL: who holds it needs no GIL. But nobody lets go of the GIL for
  that, because it would be taken again with the lock.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from poolcore cimport Buffer, Pool, pool_t
from pybuf._platform cimport os_condition_t, os_lock_t, rarely

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)
    void Py_INCREF(object o)
    void Py_XDECREF(PyObject *o)
    PyObject *PyTuple_GET_ITEM(PyObject *o, Py_ssize_t i)
    void PyTuple_SET_ITEM(PyObject *o, Py_ssize_t i, PyObject *item)

cdef extern from *:
    """
    /* The value of an int that has one digit, of 30 bits, and is not negative; else -1, or another negative number. */
    static inline long digit_of(PyObject *o) {
    #if PY_VERSION_HEX >= 0x030C0000
        if (PyLong_CheckExact(o) && PyUnstable_Long_IsCompact((PyLongObject *)o))
            return (long)PyUnstable_Long_CompactValue((PyLongObject *)o);
    #else
        if (PyLong_CheckExact(o) && Py_SIZE(o) == 1)
            return (long)((PyLongObject *)o)->ob_digit[0];
    #endif
        return -1;
    }
    """
    long digit_of(PyObject *o) noexcept

# ---- what a machine is made of ------------------------------------------------------------------

# Kinds of pools (an index may not be a named enum).
cdef enum:
    POOL_RAS = 0
    POOL_NETAPI = 1             # NetApiBufferAllocate
    POOL_PRODUCED = 2           # what the producers of NetApi answer
    POOL_VIDEO_BUFFER = 3       # VideoPortAllocateBuffer
    POOL_VIDEO_PAGED = 4        # VideoPortAllocatePool
    POOL_VIDEO_NONPAGED = 5
    POOL_AUDIO = 6
    POOL_KINDS = 7
    QUICK_KINDS = 2             # those that have a fast path

cdef enum:
    FAMILY_RAS = 0
    FAMILY_NETAPI = 1
    FAMILY_VIDEO = 2
    FAMILY_AUDIO = 3
    FAMILY_OTHER = 4            # of a module outside: what it likes
    FAMILIES = 5

# Settings (machine_t.quirks); a bit that is 0 is the default.
cdef enum quirk_t:
    QUIRK_RAS_OVERSIZE_REFUSE = 1
    QUIRK_RAS_SEND_ANY = 2
    QUIRK_RAS_FREE_PENDING_616 = 4
    QUIRK_RAS_EMPTY_WINDOWS2000 = 8
    QUIRK_NETAPI_BAD_POINTER_IGNORE = 16
    QUIRK_VIDEO_ZERO_MINIMAL = 32
    QUIRK_VIDEO_PAIRING_SHARED = 64

# Why a fast path must not be taken (machine_t.slow). Bit k, of a pool: a refusal of that pool is scripted.
# SLOW_FAMILY << family is the family's own. Written under machine.lock, read without.
cdef enum:
    SLOW_FAMILY = 256

cdef enum irql_t:
    PASSIVE_LEVEL = 0
    APC_LEVEL = 1
    DISPATCH_LEVEL = 2

# What a handle names.
cdef enum handle_kind_t:
    HANDLE_NONE = 0
    HANDLE_EVENT = 1
    HANDLE_PORT = 2
    HANDLE_ENGINE = 3

cdef enum note_flag_t:
    NOTE_FREED = 4

cdef enum:
    TICKS_PER_SECOND = 24000000
    BUG_CHECKS_KEPT = 256
    MACHINES_MAX = 4096

# Numbers of the routines: their places in routines.py.
cdef enum routine_t:
    ROUTINE_RasGetBuffer = 1
    ROUTINE_RasFreeBuffer = 2
    ROUTINE_RasSendBuffer = 3
    ROUTINE_RasReceiveBuffer = 4
    ROUTINE_RasRetrieveBuffer = 5
    ROUTINE_RasSetCommSettings = 6
    ROUTINE_RasCustomScriptExecute = 7
    ROUTINE_NetApiBufferAllocate = 8
    ROUTINE_NetapipBufferAllocate = 9
    ROUTINE_NetApiBufferFree = 10
    ROUTINE_NetApiBufferReallocate = 11
    ROUTINE_NetApiBufferSize = 12
    ROUTINE_NetServerEnum = 13
    ROUTINE_NetServerGetInfo = 14
    ROUTINE_NetWkstaGetInfo = 15
    ROUTINE_NetWkstaUserGetInfo = 16
    ROUTINE_NetWkstaTransportEnum = 17
    ROUTINE_NetUserEnum = 18
    ROUTINE_NetUserGetInfo = 19
    ROUTINE_NetShareEnum = 20
    ROUTINE_NetLocalGroupEnum = 21
    ROUTINE_NetQueryDisplayInformation = 22
    ROUTINE_NetGetJoinInformation = 23
    ROUTINE_DsGetDcNameW = 24
    ROUTINE_NetUserGetLocalGroups = 25
    ROUTINE_NetLocalGroupGetMembers = 26
    ROUTINE_NetGroupEnum = 27
    ROUTINE_VideoPortAllocateBuffer = 28
    ROUTINE_VideoPortReleaseBuffer = 29
    ROUTINE_VideoPortAllocatePool = 30
    ROUTINE_VideoPortFreePool = 31
    ROUTINE_TransferCodecVerbs = 32
    ROUTINE_AllocateCaptureDmaEngine = 33
    ROUTINE_AllocateRenderDmaEngine = 34
    ROUTINE_ChangeBandwidthAllocation = 35
    ROUTINE_AllocateDmaBuffer = 36
    ROUTINE_FreeDmaBuffer = 37
    ROUTINE_AllocateDmaBufferWithNotification = 38
    ROUTINE_FreeDmaBufferWithNotification = 39
    ROUTINE_AllocateContiguousDmaBuffer = 40
    ROUTINE_SetupDmaEngineWithBdl = 41
    ROUTINE_FreeContiguousDmaBuffer = 42
    ROUTINE_SetDmaEngineState = 43
    ROUTINE_FreeDmaEngine = 44
    ROUTINE_GetLinkPositionRegister = 45
    ROUTINE_GetWallClockRegister = 46
    ROUTINE_GetResourceInformation = 47
    ROUTINE_GetDeviceInformation = 48
    ROUTINE_RegisterEventCallback = 49
    ROUTINE_UnregisterEventCallback = 50
    ROUTINE_RegisterNotificationEvent = 51
    ROUTINE_UnregisterNotificationEvent = 52

cdef struct machine_t

# What pybuf knows of a block beside its pool. Written by the routine that allocates, before anybody can know the
# address, and kept after the free; so who reads it after a free may read that of the next block at the address.
# A block that no routine noted reads as zeros.
cdef struct note_t:
    uint64_t sequence           # number of its allocation on this machine; 0: not numbered
    uint64_t size               # that was asked for
    uint32_t tag
    uint16_t owner              # session, device or structure: the family's
    uint8_t routine             # that allocated it: its number in routines.py, from 1
    uint8_t freed_by            # the routine that freed it
    uint32_t flags              # NOTE_*
    uint32_t extra              # the family's

# Notes of one pool: leaves of a granule of 64 KiB each, one note per 16 bytes, made when first noted.
cdef struct ledger_t:
    note_t **leaves             # os_map: pages that nobody touched cost nothing
    uint64_t leaves_bytes

# A pool that refuses requests nth <= n < nth + count, counted from when that was said.
cdef struct refusal_t:
    uint64_t seen
    uint64_t nth
    uint64_t count

# A bug check, in a door's frame; code 0: none.
cdef struct bug_check_t:
    uint32_t code
    uint32_t routine            # its number in routines.py, from 1
    uint64_t parameters[4]
    uint64_t device             # HwDeviceExtension, or 0
    uint64_t freed              # address of the block that `note` is about, or 0
    note_t note                 # of the block in question, when `freed` is not 0

ctypedef void (*bug_handler_t)(void *context, const bug_check_t *bug) noexcept nogil

# A routine called at an IRQL at which its page forbids it, where no status says so.
cdef struct violation_t:
    uint32_t routine
    uint32_t irql
    uint64_t address

# Something due at a tick. It lies in a struct of its family that is never unmapped, and is in the queue at most once.
ctypedef void (*wake_call_t)(void *context) noexcept nogil
ctypedef void (*due_call_t)(machine_t *machine, void *context, uint64_t tick) noexcept nogil

cdef struct due_t:
    uint64_t tick
    uint64_t sequence           # of two at one tick the first that was added comes first
    due_call_t call             # without a lock; the due is out of the queue then, and may add itself again
    void *context
    due_t *next
    uint8_t is_queued

# 24 MHz since the machine began. A manual clock moves by Machine.advance alone.
cdef struct clock_t:
    os_lock_t lock
    uint64_t ticks              # manual: now; real: of the due that fires now, else what was last read
    uint64_t began_ns
    uint64_t sequence
    due_t *first
    uint8_t is_manual
    uint8_t is_advancing
    uint64_t advancing_thread
    wake_call_t wake            # told, under the lock, that another due is first now; NULL: nobody waits
    void *wake_context

cdef struct machine_t:
    # read by fast paths, written while the machine is made
    uint32_t number             # 0: the default machine
    uint8_t is_open
    uint8_t is_shared           # see machine_shared
    uint8_t is_guest
    uint8_t pointer_bytes       # of the guest; otherwise the door says
    uint8_t wchar_bytes
    uint8_t is_verifier
    uint8_t is_special_pool
    uint8_t is_numbered         # every block is noted, those of RasGetBuffer and NetApiBufferAllocate too
    uint32_t quirks             # QUIRK_*
    uint32_t slow               # SLOW_*
    pool_t *quick[QUICK_KINDS]  # the pool, where nothing stands in the way of a fast path: see machine_renew
    pool_t *pools[POOL_KINDS]   # NULL until opened
    uint64_t bases[POOL_KINDS]  # the range of each pool's addresses; 0, 0 until opened
    uint64_t spans[POOL_KINDS]
    ledger_t ledgers[POOL_KINDS]
    void *families[FAMILIES]    # ras_t, netapi_t, video_t, audio_t: each made by its module, see family_register

    os_lock_t lock
    uint64_t sequence
    refusal_t refusals[POOL_KINDS]
    clock_t clock
    bug_check_t *bug_checks     # ring of BUG_CHECKS_KEPT, made with the first
    uint64_t bug_check_count
    violation_t *violations     # the same
    uint64_t violation_count
    bug_handler_t bug_handler
    void *bug_handler_context
    uint64_t callback_errors    # exceptions that had no Python caller to go to
    uint64_t calling            # calls that run callbacks now, in all threads: see calls_begin
    uint64_t physical_offset
    PyObject *owner             # the MachineBase; borrowed; NULL once closed
    PyObject *events            # the caller's events; borrowed; NULL without
    PyObject *on_write          # of the guest; borrowed; NULL without
    PyObject *on_read
    uint64_t guest_calls        # of these two that run now, in all threads: see guest_call_begin
    machine_t *next_free


# What a module of a family gives once, at import. Any may be NULL. All with the GIL, without a lock.
cdef struct family_calls_t:
    int (*made)(machine_t *machine) except -1           # a machine was made: set machine.families[...]
    void (*closing)(machine_t *machine) noexcept        # end what runs; pools are open still
    void (*closed)(machine_t *machine) noexcept         # free what `made` made
    const char *(*check)(machine_t *machine) noexcept   # name of the first broken invariant, or NULL
    void (*forked)(machine_t *machine) noexcept nogil   # in the child
    os_lock_t *lock                                     # of what all machines share; it is held while the process forks
    void (*advanced)(machine_t *machine) noexcept nogil     # `advance` is through; without lock and GIL

cdef int family_register(int family, const family_calls_t *calls) except -1


# ---- machines as objects --------------------------------------------------------------------------

cdef class MachineBase:
    """The engine's side of pybuf.Machine."""

    cdef machine_t *machine             # never NULL; is_open 0 once closed
    cdef Pool ras_pool                  # these two are in `pools` as well; None until opened
    cdef Pool netapi_pool
    cdef list pools                     # by POOL_*
    cdef list settings                  # what each pool is made with
    cdef readonly object memory         # the Guest, or None
    cdef readonly object events         # the caller's events, or None
    cdef object remainder               # of advance: a Fraction of a tick
    cdef object advancing               # lock that is held through `advance`
    cdef unsigned long advancing_thread     # whose call that is; 0: nobody's
    cdef dict parked                    # exceptions of callbacks, by thread; see callbacks_enter
    cdef bint is_default
    cdef bint is_shut                   # its end began
    cdef bint is_lost                   # ... because the object was, in whatever a thread was doing
    cdef object __weakref__


# The machine that a Python or ctypes door acts on: borrowed, never NULL without an exception.
cdef PyObject *machine_of_context() except NULL
# The default machine's object, as long as Python entered no other; NULL: machine_of_context must be asked.
cdef PyObject *machine_alone
cdef inline PyObject *machine_now() except NULL:
    """The machine that a Python or ctypes door acts on, a MachineBase; borrowed."""
    return machine_of_context() if rarely(machine_alone == NULL) else machine_alone

# That of a C door without a context: what this OS thread entered, else the default.
cdef machine_t *machine_of_thread() noexcept nogil
cdef uint32_t entered_by_c                  # threads that entered one
cdef machine_t *first_machine               # the default one
# The machine that a fast path of such a door acts on: the default one, or while a thread has entered another, one that
# has nothing quick.
cdef machine_t *quick_machine
cdef inline machine_t *machine_here() noexcept nogil:
    """The machine that a C door without a context acts on."""
    return machine_of_thread() if rarely(entered_by_c != 0) else first_machine


cdef void machine_thread_enter(machine_t *machine) noexcept nogil       # NULL: leaves
cdef machine_t *machine_thread_entered() noexcept nogil                 # NULL: none
# The default machine's object, made if need be; borrowed.
cdef PyObject *machine_default() except NULL
# What C calls the thread's last error; no routine sets it.
cdef uint32_t last_error_get() noexcept nogil
cdef void last_error_set(uint32_t error) noexcept nogil
# All pools open, and code without the GIL may allocate.
cdef machine_t *machine_shared(MachineBase machine) except NULL
# The Pool of a kind, opened on first use. ValueError on a closed machine.
cdef Pool machine_pool(MachineBase machine, int kind)
# To be called, without machine.lock, when pools, slow or is_open have changed.
cdef void machine_renew(machine_t *machine) noexcept
# ValueError when it is closed.
cdef int machine_is_open_or_raise(MachineBase machine) except -1


# ---- blocks -----------------------------------------------------------------------------------------

# Whether the request that now comes to a pool is to be refused. To be asked when `machine.slow >> kind & 1`.
cdef bint pool_refuses(machine_t *machine, int kind) noexcept nogil
# The note of the block at an address of a pool. NULL: nothing was ever noted there, or it is outside the pool.
cdef note_t *note_at(machine_t *machine, int kind, uint64_t address) noexcept nogil
# The same, made when there is none. NULL: no memory.
cdef note_t *note_make(machine_t *machine, int kind, uint64_t address) noexcept nogil
# Writes a whole note; `sequence` is taken when is_numbered.
cdef note_t *note_write(machine_t *machine, int kind, uint64_t address, uint64_t size, uint8_t routine, uint16_t owner,
                        uint32_t tag, bint is_numbered) noexcept nogil
# Which pool of the machine an address lies in, or -1.
cdef int pool_kind_of(machine_t *machine, uint64_t address) noexcept nogil


# ---- handles ----------------------------------------------------------------------------------------
# 32 bits, a multiple of 4, never 0; a slot's generation is in its top 12 bits. Objects are never unmapped.

cdef uint64_t handle_open(machine_t *machine, int kind, void *object, uint32_t client) noexcept nogil   # 0: no room
# NULL: no such handle of this machine, kind and (unless 0) client.
cdef void *handle_find(machine_t *machine, uint64_t handle, int kind, uint32_t client) noexcept nogil
# Whether it was one.
cdef bint handle_close(machine_t *machine, uint64_t handle, int kind) noexcept nogil


# ---- events -----------------------------------------------------------------------------------------

cdef struct event_t:
    machine_t *machine
    uint64_t handle
    os_lock_t lock
    os_condition_t condition
    uint8_t is_manual_reset
    uint8_t is_set
    int reader                  # see Event.fileno; -1: none
    int writer
    event_t *next_free

cdef uint64_t event_open(machine_t *machine, bint is_manual_reset, bint is_set) noexcept nogil          # handle, or 0
cdef bint event_close(machine_t *machine, uint64_t handle) noexcept nogil
# Whether a value is an event of the machine, or of the caller's `events`. May run Python: without a lock.
cdef bint event_is_valid(machine_t *machine, uint64_t handle) noexcept nogil
# Sets it; nothing happens to a value that is no event (any more). May run Python: without a lock.
cdef bint event_set(machine_t *machine, uint64_t handle) noexcept nogil
cdef bint event_reset(machine_t *machine, uint64_t handle) noexcept nogil
# 0: it is set (and reset again when it resets itself); 0x102: timeout; 0xFFFFFFFF: no event. UINT32_MAX ms: no end.
cdef uint32_t event_wait(machine_t *machine, uint64_t handle, uint32_t timeout_ms) noexcept nogil


# ---- the clock --------------------------------------------------------------------------------------

cdef uint64_t clock_now(machine_t *machine) noexcept nogil
cdef void due_add(machine_t *machine, due_t *due, uint64_t tick) noexcept nogil     # moves it when it is queued
cdef bint due_remove(machine_t *machine, due_t *due) noexcept nogil                 # whether it was queued
# Fires what is due up to a tick, in order, each at its own instant. False: it stopped at one whose callback raised, or
# another thread is at it.
cdef bint clock_run(machine_t *machine, uint64_t tick) noexcept nogil
# Of the first due; UINT64_MAX: none.
cdef uint64_t clock_next(machine_t *machine) noexcept nogil
# Who waits for the first due is woken; NULL: from now on nobody is, and none of the calls before is running.
cdef void clock_wake(machine_t *machine) noexcept nogil
cdef void clock_waker_set(machine_t *machine, wake_call_t wake, void *context) noexcept nogil

# Around what runs callbacks and goes on with the machine after them: it cannot be closed from within, and its closing
# waits for other threads. Those of the guest are counted apart: a closing does not wait for them, it is refused.
cdef void calls_begin(machine_t *machine) noexcept nogil
cdef void calls_end(machine_t *machine) noexcept nogil


# ---- IRQL -------------------------------------------------------------------------------------------

# How many threads are above PASSIVE_LEVEL.
cdef uint32_t irql_raised
cdef uint32_t irql_of_thread() noexcept nogil
cdef inline uint32_t irql_now() noexcept nogil:
    """This thread's IRQL."""
    return irql_of_thread() if rarely(irql_raised != 0) else PASSIVE_LEVEL
cdef uint32_t irql_set(uint32_t irql) noexcept nogil        # what it was


# ---- bug checks -------------------------------------------------------------------------------------

cdef inline void bug_set(bug_check_t *bug, uint32_t code, uint64_t p1, uint64_t p2, uint64_t p3, uint64_t p4
                         ) noexcept nogil:
    """What a routine found; the door delivers it."""
    bug.code = code
    bug.parameters[0] = p1
    bug.parameters[1] = p2
    bug.parameters[2] = p3
    bug.parameters[3] = p4


# In the machine's list; from C the handler is called, which need not return.
cdef void bug_record(machine_t *machine, const bug_check_t *bug) noexcept nogil
cdef void bug_deliver_c(machine_t *machine, const bug_check_t *bug) noexcept nogil
# Records it and raises BugCheck.
cdef int bug_deliver(MachineBase machine, const bug_check_t *bug) except -1
cdef void violation_record(machine_t *machine, uint32_t routine, uint32_t irql, uint64_t address) noexcept nogil


# ---- callbacks into Python --------------------------------------------------------------------------

# The exception that is set: kept for the Python door of this thread when one is inside a call of the machine,
# else told to sys.unraisablehook and counted.
cdef void callback_raised(machine_t *machine, object where) noexcept
# A Python door whose routine may run callbacks: between the two their exceptions are kept; the second raises the first.
cdef object callbacks_enter(MachineBase machine)
cdef int callbacks_leave(MachineBase machine, object outer) except -1
# Whether a callback of this thread's call raised already.
cdef bint callback_has_raised(machine_t *machine) noexcept nogil


# ---- guests -----------------------------------------------------------------------------------------

# Hands bytes to the guest's on_write: 0; -1: it raised (see callback_raised). Nothing to do without a guest.
cdef int guest_write(machine_t *machine, uint64_t address, const void *data, uint64_t size) noexcept nogil
# Reads bytes of the guest: 0; -1: there is no on_read, or it raised.
cdef int guest_read(machine_t *machine, uint64_t address, void *data, uint64_t size) noexcept nogil
# Around another call of the guest: no thread can close the machine meanwhile.
cdef void guest_call_begin(machine_t *machine) noexcept nogil
cdef void guest_call_end(machine_t *machine) noexcept nogil


# ---- arguments and results of the Python door ---------------------------------------------------------

cdef class Reference:
    """An object where C has a number: a port, an event, a producer's buffer, an Mdl, a register."""

    cdef uint64_t number(self) except? 0        # what it was, once the object is dead
    cdef PyObject *held(self) noexcept          # the Buffer behind it, borrowed, or NULL


# A pointer or handle: None is 0, an int counts modulo 2**64, OverflowError beyond one wrap, TypeError for others.
# `buffer` gets the Buffer behind it, borrowed, or NULL.
cdef int address_of_argument(object value, uint64_t *address, PyObject **buffer) except -1
# A DWORD, USHORT or UCHAR: modulo 2**32, 2**16, 2**8. `name` is the argument's, for the error.
cdef uint32_t dword_slow(object value, str name) except? 0xFFFFFFFF
cdef inline uint32_t dword_of_argument(object value, str name) except? 0xFFFFFFFF:
    cdef long digit = digit_of(<PyObject *>value)
    return <uint32_t>digit if digit >= 0 else dword_slow(value, name)
cdef uint64_t unsigned_of_argument(object value, str name, uint32_t bits) except? 0xFFFFFFFFFFFFFFFF

# The BufferError of a free that views are in the way of; `what` says whose: the Buffer at an address, mostly.
cdef object views_error(str routine, str what)

# The member of an enum of status.py, or an int that is in none. `space` is a space_t.
cdef object status_slow(int space, uint32_t value)
cdef PyObject **status_success      # by space_t; NULL before its first use
cdef inline object status_object(int space, uint32_t value):
    """The member of an enum of status.py for a number, or the number where it has none."""
    if rarely(value != 0 or status_success[space] == NULL):
        return status_slow(space, value)
    return <object>status_success[space]


cdef inline PyObject *status_zero(int space) except NULL:
    """The member for 0; borrowed."""
    if rarely(status_success[space] == NULL):
        status_slow(space, 0)
    return status_success[space]


# A tuple of two or three; `kept` is the routine's own place for one that serves again when nobody else holds it.
# It keeps what it last held until the next call. A tuple that serves again is tracked by the collector, unless a
# collection found nothing but atoms in it; then it is part of no cycle, as long as a Buffer of these pools is of none.
cdef object result_new(PyObject **kept, Py_ssize_t size)
cdef inline object result_again(PyObject **kept, Py_ssize_t size):
    if rarely(kept[0] == NULL or Py_REFCNT(kept[0]) != 1):
        return result_new(kept, size)
    return <object>kept[0]


cdef inline void result_put(PyObject *result, Py_ssize_t i, object item) noexcept:
    """Puts an item. What was there goes last, because its end may run anything."""
    cdef PyObject *old = PyTuple_GET_ITEM(result, i)
    # Statuses and sizes are mostly what they were.
    if old != <PyObject *>item:
        Py_INCREF(item)
        PyTuple_SET_ITEM(result, i, <PyObject *>item)
        Py_XDECREF(old)


cdef inline void result_hand_over(PyObject *result, Py_ssize_t i, PyObject *item) noexcept:
    """Puts an item, whose reference it takes over."""
    cdef PyObject *old = PyTuple_GET_ITEM(result, i)
    PyTuple_SET_ITEM(result, i, item)
    Py_XDECREF(old)


cdef inline object result_of_two(PyObject **kept, object first, object second):
    cdef object result = result_again(kept, 2)
    result_put(<PyObject *>result, 0, first)
    result_put(<PyObject *>result, 1, second)
    return result
