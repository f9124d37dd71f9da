"""Machines: their pools, handles, events, clock, IRQL and bug checks. See _machine.pxd for what is shared and how."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport UINT32_MAX, UINT64_MAX
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from poolcore cimport (
    Buffer, Pool, buffer_adopt, buffer_last_address, import_poolcore, pool_engine, pool_idle_or_raise, pool_share,
)
from pybuf._platform cimport (
    atomic_add_u64, atomic_cas_ptr, atomic_cas_u64, atomic_load_ptr, atomic_load_u32, atomic_load_u64, atomic_store_u32,
    atomic_store_u64, os_clock_ns, os_condition_init, os_lock, os_lock_init, os_map, os_release, os_unlock,
    os_wait, os_wait_ns, os_wake,
)
from pybuf._status cimport DRIVER_VERIFIER_DETECTED_VIOLATION, SPACES

import os
import sys
from _thread import allocate_lock
from contextvars import ContextVar
from time import sleep

from pybuf import errors, routines

import_poolcore()

cdef extern from *:
    """
    /* What a thread is to pybuf. */
    typedef struct {
        void *entered;          /* machine_t: by C */
        uint32_t last_error;
        uint32_t irql;
        uint32_t irql_depth;    /* of `with machine.irql()` */
        uint32_t raised;        /* callbacks that raised in the Python call that this thread is in */
        uint32_t calling;       /* see calls_begin */
    } thread_state_t;
    #if defined(_MSC_VER)
    static __declspec(thread) thread_state_t thread_state;
    #else
    static __thread thread_state_t thread_state;
    #endif

    /* A descriptor that is readable while an event is set. */
    #if defined(_WIN32)
    #include <io.h>
    static void descriptor_close(int fd) { _close(fd); }
    static void descriptor_raise(int fd) { (void)fd; }
    static void descriptor_lower(int fd) { (void)fd; }
    static void machines_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void)) {
        (void)before; (void)in_parent; (void)in_child;
    }
    #else
    #include <unistd.h>
    static void machines_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void)) {
        pthread_atfork(before, in_parent, in_child);
    }
    static void descriptor_close(int fd) { close(fd); }
    static void descriptor_raise(int fd) {
        uint64_t one = 1;
        ssize_t n = write(fd, &one, sizeof(one));
        (void)n;
    }
    static void descriptor_lower(int fd) {
        uint64_t seen;
        ssize_t n = read(fd, &seen, sizeof(seen));
        (void)n;
    }
    #endif
    static void descriptors_close(int reader, int writer) {
        if (reader >= 0) descriptor_close(reader);
        if (writer >= 0 && writer != reader) descriptor_close(writer);
    }
    #ifdef Py_GIL_DISABLED
    #define TUPLES_ARE_KEPT 0
    #else
    #define TUPLES_ARE_KEPT 1
    #endif
    """
    ctypedef struct thread_state_t:
        void *entered
        uint32_t last_error
        uint32_t irql
        uint32_t irql_depth
        uint32_t raised
        uint32_t calling
    thread_state_t thread_state
    void machines_at_fork(void (*before)() noexcept nogil, void (*in_parent)() noexcept nogil,
                          void (*in_child)() noexcept nogil)
    void descriptor_raise(int fd) nogil
    void descriptor_lower(int fd) nogil
    void descriptors_close(int reader, int writer) nogil
    const bint TUPLES_ARE_KEPT

cdef extern from "Python.h":
    bint PyLong_CheckExact(object o)
    unsigned long long PyLong_AsUnsignedLongLong(object o)      # all ones: perhaps an exception is set
    unsigned long long PyLong_AsUnsignedLongLongMask(object o) except? 0xFFFFFFFFFFFFFFFF
    PyObject *PyErr_Occurred()
    void PyErr_Clear()
    void PyErr_SetObject(object kind, object error)
    void PyErr_WriteUnraisable(object where)
    int check_signals "PyErr_CheckSignals"() except -1
    bint PyIndex_Check(object o)
    object PyNumber_Index(object o)
    int PyContextVar_Get(object variable, PyObject *other, PyObject **value) except -1
    object PyTuple_New(Py_ssize_t size)
    unsigned long PyThread_get_thread_ident() nogil
    object PyBytes_FromStringAndSize(const char *data, Py_ssize_t size)
    int PyObject_GetBuffer(object o, Py_buffer *view, int flags) except -1
    void PyBuffer_Release(Py_buffer *view)
    enum:
        PyBUF_SIMPLE


# ---- the table of machines --------------------------------------------------------------------------

cdef machine_t machines[MACHINES_MAX]
cdef machine_t nobody                   # has nothing
cdef uint32_t machines_used = 1         # 0 is the default machine
cdef machine_t *machines_free = NULL    # closed ones, the one closed first at the front
cdef machine_t *machines_free_last = NULL
cdef os_lock_t machines_lock
cdef family_calls_t families[FAMILIES]
cdef bint is_registered[FAMILIES]

cdef PyObject *default_machine = NULL       # made on first use, kept for ever
cdef bint entered_by_python = False

machine_alone = NULL
entered_by_c = 0
first_machine = &machines[0]
quick_machine = &machines[0]
irql_raised = 0

os_lock_init(&machines_lock)

# The machines that a context entered, the latest first: (machine, those before it); None for none.
cdef object _entered = ContextVar("pybuf machine", default=None)
cdef object _default_lock = allocate_lock()
cdef unsigned long default_maker = 0         # the thread that has it


cdef void locks_init(machine_t *machine) noexcept nogil:
    os_lock_init(&machine.lock)
    os_lock_init(&machine.clock.lock)


locks_init(&machines[0])


cdef machine_t *machine_slot(bint is_default) noexcept nogil:
    """A struct that serves no machine, all zero but its number; NULL when 4096 machines are open."""
    global machines_used, machines_free, machines_free_last
    cdef machine_t *machine = NULL
    cdef uint32_t number
    os_lock(&machines_lock)
    if is_default:
        machine = &machines[0]
    elif machines_used < MACHINES_MAX:
        machine = &machines[machines_used]
        machine.number = machines_used
        machines_used += 1
    elif machines_free != NULL:
        machine = machines_free
        machines_free = machine.next_free
        if machines_free == NULL:
            machines_free_last = NULL
    if machine != NULL:
        number = machine.number
        memset(machine, 0, sizeof(machine_t))
        machine.number = number
        locks_init(machine)
    os_unlock(&machines_lock)
    return machine


cdef void machine_slot_free(machine_t *machine) noexcept nogil:
    global machines_free, machines_free_last
    os_lock(&machines_lock)
    machine.next_free = NULL
    if machines_free_last == NULL:
        machines_free = machine
    else:
        machines_free_last.next_free = machine
    machines_free_last = machine
    os_unlock(&machines_lock)


cdef int family_register(int family, const family_calls_t *calls) except -1:
    cdef uint32_t i
    cdef machine_t *machine
    families[family] = calls[0]
    is_registered[family] = True
    # Machines that were made before the family's module was loaded.
    for i in range(machines_used):
        machine = &machines[i]
        if machine.is_open and families[family].made != NULL:
            families[family].made(machine)
    return 0


# ---- the current machine ----------------------------------------------------------------------------

cdef PyObject *machine_of_context() except NULL:
    cdef PyObject *pair
    cdef PyObject *machine
    if entered_by_python:
        PyContextVar_Get(_entered, NULL, &pair)
        machine = PyTuple_GET_ITEM(pair, 0) if pair != <PyObject *>None else NULL
        # The context keeps it.
        Py_XDECREF(pair)
        if machine != NULL:
            return machine
    if default_machine == NULL:
        default_make()
    return default_machine


cdef int default_make() except -1:
    global default_machine, default_maker, machine_alone
    cdef MachineBase made
    if default_maker == PyThread_get_thread_ident():
        raise RuntimeError("a signal handler, or the end of an object, asked for the default machine while this thread "
                           "was making it; enter a Machine of its own there")
    with _default_lock:
        default_maker = PyThread_get_thread_ident()
        try:
            if default_machine == NULL:
                # The class stands above this module; the package loads it on first use.
                kind = sys.modules["pybuf"].Machine
                made = kind.__new__(kind)
                made.is_default = True
                made.__init__()
                Py_INCREF(made)
                default_machine = <PyObject *>made
                if not entered_by_python:
                    machine_alone = default_machine
        finally:
            default_maker = 0
    return 0


def current_machine():
    """The machine that routines without a handle act on: the one entered last, else the default machine."""
    return <object>machine_now()


cdef machine_t *machine_of_thread() noexcept nogil:
    if thread_state.entered != NULL:
        return <machine_t *>thread_state.entered
    return &machines[0]


cdef void machine_thread_enter(machine_t *machine) noexcept nogil:
    global entered_by_c, quick_machine
    if (thread_state.entered == NULL) != (machine == NULL):
        os_lock(&machines_lock)
        entered_by_c += 1 if machine != NULL else -1
        quick_machine = &nobody if entered_by_c else first_machine
        os_unlock(&machines_lock)
    thread_state.entered = machine


cdef machine_t *machine_thread_entered() noexcept nogil:
    return <machine_t *>thread_state.entered


cdef PyObject *machine_default() except NULL:
    if default_machine == NULL:
        default_make()
    return default_machine


cdef uint32_t last_error_get() noexcept nogil:
    return thread_state.last_error


cdef void last_error_set(uint32_t error) noexcept nogil:
    thread_state.last_error = error


cdef machine_t *machine_shared(MachineBase machine) except NULL:
    cdef int kind
    machine_is_open_or_raise(machine)
    for kind in range(POOL_KINDS):
        pool_share(machine_pool(machine, kind))
    machine.machine.is_shared = 1
    return machine.machine


cdef int machine_is_open_or_raise(MachineBase machine) except -1:
    if machine.machine == NULL:
        raise ValueError("this Machine was never made: its __init__ did not run, or it raised")
    # Its struct may be another machine's by now.
    if machine.is_shut or not machine.machine.is_open:
        raise ValueError("the machine is closed")
    return 0


cdef Pool machine_pool(MachineBase machine, int kind):
    cdef Pool pool = <Pool>machine.pools[kind]
    if pool is not None:
        return pool
    machine_is_open_or_raise(machine)
    pool = Pool(name=_KINDS[kind][0], on_drop="keep", **machine.settings[kind])
    if machine.pools[kind] is not None or not machine.machine.is_open:
        # Another thread was faster, or closed the machine.
        pool.close()
        machine_is_open_or_raise(machine)
        return <Pool>machine.pools[kind]
    machine.machine.spans[kind] = pool_engine(pool).span
    machine.machine.bases[kind] = pool_engine(pool).base
    machine.machine.pools[kind] = pool_engine(pool)
    if machine.machine.is_shared:
        pool_share(pool)
    if kind == POOL_RAS:
        machine.ras_pool = pool
    elif kind == POOL_NETAPI:
        machine.netapi_pool = pool
    machine.pools[kind] = pool
    machine_renew(machine.machine)
    return pool


cdef void renew(machine_t *machine) noexcept nogil:
    """What machine_renew says, with the lock."""
    cdef uint32_t slow = machine.slow
    cdef bint is_quick = machine.is_open and not machine.is_numbered
    machine.quick[POOL_RAS] = machine.pools[POOL_RAS] if (
        is_quick and not slow & (1 << POOL_RAS | SLOW_FAMILY << FAMILY_RAS)) else NULL
    machine.quick[POOL_NETAPI] = machine.pools[POOL_NETAPI] if is_quick and not slow & 1 << POOL_NETAPI else NULL


cdef void machine_renew(machine_t *machine) noexcept:
    os_lock(&machine.lock)
    renew(machine)
    os_unlock(&machine.lock)


# ---- blocks -----------------------------------------------------------------------------------------

cdef enum:
    LEAF_SHIFT = 16
    LEAF_NOTES = 4096


cdef bint pool_refuses(machine_t *machine, int kind) noexcept nogil:
    cdef refusal_t *refusal = &machine.refusals[kind]
    cdef bint is_refused
    os_lock(&machine.lock)
    refusal.seen += 1
    is_refused = refusal.count != 0 and refusal.nth <= refusal.seen
    if is_refused:
        refusal.count -= 1
    if refusal.count == 0:
        machine.slow &= ~(<uint32_t>1 << kind)
    renew(machine)
    os_unlock(&machine.lock)
    return is_refused


cdef note_t *note_at(machine_t *machine, int kind, uint64_t address) noexcept nogil:
    cdef uint64_t offset = address - machine.bases[kind]
    cdef note_t **leaves = <note_t **>atomic_load_ptr(<void **>&machine.ledgers[kind].leaves)
    cdef note_t *leaf
    if offset >= machine.spans[kind] or leaves == NULL:
        return NULL
    leaf = <note_t *>atomic_load_ptr(<void **>&leaves[offset >> LEAF_SHIFT])
    return NULL if leaf == NULL else &leaf[(offset & 0xFFFF) >> 4]


cdef note_t *note_make(machine_t *machine, int kind, uint64_t address) noexcept nogil:
    cdef uint64_t offset = address - machine.bases[kind]
    cdef ledger_t *ledger = &machine.ledgers[kind]
    cdef note_t **place
    if offset >= machine.spans[kind]:
        return NULL
    if atomic_load_ptr(<void **>&ledger.leaves) == NULL:
        ledger.leaves_bytes = ((machine.spans[kind] >> LEAF_SHIFT) + 1) * sizeof(note_t *)
        if not map_into(<void **>&ledger.leaves, ledger.leaves_bytes):
            return NULL
    place = &ledger.leaves[offset >> LEAF_SHIFT]
    if atomic_load_ptr(<void **>place) == NULL and not map_into(<void **>place, LEAF_NOTES * sizeof(note_t)):
        return NULL
    return &place[0][(offset & 0xFFFF) >> 4]


cdef bint map_into(void **place, uint64_t size) noexcept nogil:
    """Zeroed memory for a place that is NULL, unless another thread is faster."""
    cdef void *made = os_map(size)
    if made == NULL:
        return False
    if not atomic_cas_ptr(place, NULL, made):
        os_release(made, size)
    return True


cdef note_t *note_write(machine_t *machine, int kind, uint64_t address, uint64_t size, uint8_t routine, uint16_t owner,
                        uint32_t tag, bint is_numbered) noexcept nogil:
    cdef note_t *note = note_make(machine, kind, address)
    if note != NULL:
        note.sequence = atomic_add_u64(&machine.sequence, 1) + 1 if is_numbered else 0
        note.size = size
        note.tag = tag
        note.owner = owner
        note.routine = routine
        note.freed_by = 0
        note.flags = 0
        note.extra = 0
    return note


cdef void ledgers_release(machine_t *machine) noexcept nogil:
    cdef ledger_t *ledger
    cdef uint64_t i
    cdef int kind
    for kind in range(POOL_KINDS):
        ledger = &machine.ledgers[kind]
        if ledger.leaves == NULL:
            continue
        for i in range(ledger.leaves_bytes // sizeof(note_t *)):
            if ledger.leaves[i] != NULL:
                os_release(ledger.leaves[i], LEAF_NOTES * sizeof(note_t))
        os_release(ledger.leaves, ledger.leaves_bytes)
        ledger.leaves = NULL


cdef int pool_kind_of(machine_t *machine, uint64_t address) noexcept nogil:
    cdef int kind
    for kind in range(POOL_KINDS):
        if address - machine.bases[kind] < machine.spans[kind]:
            return kind
    return -1


# ---- handles ----------------------------------------------------------------------------------------
# A slot's generation is odd while it is in use, so a value is good as long as it has the slot's generation: 12 bits of
# it are in the value. Slots are used again in the order in which they came free.

cdef enum:
    HANDLES_MAX = 262143        # index + 1 fits 18 bits

cdef struct slot_t:
    uint32_t generation
    uint32_t kind
    uint32_t client
    uint32_t next               # free: index of the next to be used
    machine_t *machine
    void *object

cdef os_lock_t handles_lock
cdef slot_t *slots = <slot_t *>os_map(HANDLES_MAX * sizeof(slot_t))
cdef uint32_t slots_used = 0
cdef uint32_t slot_first = HANDLES_MAX      # of the free ones; HANDLES_MAX: none
cdef uint32_t slot_last = HANDLES_MAX

os_lock_init(&handles_lock)


cdef uint64_t handle_open(machine_t *machine, int kind, void *object, uint32_t client) noexcept nogil:
    global slots_used, slot_first, slot_last
    cdef uint32_t index
    cdef slot_t *slot
    cdef uint64_t handle
    if slots == NULL:
        return 0
    os_lock(&handles_lock)
    # The free ones serve again only when a good number of them wait: a stale handle stays one for long.
    if slots_used < HANDLES_MAX and (slots_used < 4096 or slot_first == HANDLES_MAX):
        index = slots_used
        slots_used += 1
    elif slot_first != HANDLES_MAX:
        index = slot_first
        slot_first = slots[index].next
        if slot_first == HANDLES_MAX:
            slot_last = HANDLES_MAX
    else:
        os_unlock(&handles_lock)
        return 0
    slot = &slots[index]
    slot.machine = machine
    slot.object = object
    slot.kind = kind
    slot.client = client
    atomic_store_u32(&slot.generation, slot.generation + 1)
    handle = <uint64_t>(slot.generation & 0xFFF) << 20 | <uint64_t>(index + 1) << 2
    os_unlock(&handles_lock)
    return handle


cdef slot_t *slot_of(uint64_t handle) noexcept nogil:
    """The slot that a value could be of, or NULL."""
    cdef uint64_t index = (handle >> 2 & 0x3FFFF) - 1
    if handle & 3 or handle >> 32 or index >= atomic_load_u32(&slots_used):
        return NULL
    return &slots[index]


cdef void *handle_find(machine_t *machine, uint64_t handle, int kind, uint32_t client) noexcept nogil:
    cdef slot_t *slot = slot_of(handle)
    cdef uint32_t generation
    cdef void *found
    cdef bint is_ours
    if slot == NULL:
        return NULL
    generation = atomic_load_u32(&slot.generation)
    if not generation & 1 or generation & 0xFFF != handle >> 20:
        return NULL
    found = atomic_load_ptr(&slot.object)
    is_ours = slot.machine == machine and slot.kind == <uint32_t>kind and (client == 0 or slot.client == client)
    return found if is_ours and atomic_load_u32(&slot.generation) == generation else NULL


cdef bint handle_close(machine_t *machine, uint64_t handle, int kind) noexcept nogil:
    cdef bint was_one
    os_lock(&handles_lock)
    was_one = handle_find(machine, handle, kind, 0) != NULL
    if was_one:
        slot_free(<uint32_t>(handle >> 2 & 0x3FFFF) - 1)
    os_unlock(&handles_lock)
    return was_one


cdef void slot_free(uint32_t index) noexcept nogil:
    """Under handles_lock."""
    global slot_first, slot_last
    cdef slot_t *slot = &slots[index]
    atomic_store_u32(&slot.generation, slot.generation + 1)
    slot.next = HANDLES_MAX
    if slot_last == HANDLES_MAX:
        slot_first = index
    else:
        slots[slot_last].next = index
    slot_last = index


cdef const char *handles_check() noexcept nogil:
    """in use + free = used, and the free ones are chained from the first to the last."""
    cdef uint32_t i
    cdef uint32_t in_use = 0
    cdef uint32_t waiting = 0
    cdef const char *broken = NULL
    os_lock(&handles_lock)
    for i in range(slots_used):
        in_use += slots[i].generation & 1
    i = slot_first
    while i != HANDLES_MAX and waiting <= slots_used:
        if slots[i].generation & 1:
            broken = b"a free handle is in use"
        if slots[i].next == HANDLES_MAX and i != slot_last:
            broken = b"the free handles end early"
        waiting += 1
        i = slots[i].next
    if in_use + waiting != slots_used:
        broken = b"handles in use and free ones are not all"
    os_unlock(&handles_lock)
    return broken


cdef void handles_close(machine_t *machine) noexcept nogil:
    """All of a machine's, its events among them."""
    cdef uint32_t i
    cdef event_t *event
    for i in range(atomic_load_u32(&slots_used)):
        if slots[i].machine != machine:
            continue
        event = NULL
        os_lock(&handles_lock)
        # Under the lock: a thread of C may have closed it meanwhile, and another machine opened one here.
        if slots[i].machine == machine and slots[i].generation & 1:
            if slots[i].kind == HANDLE_EVENT:
                event = <event_t *>slots[i].object
            slot_free(i)
        os_unlock(&handles_lock)
        if event != NULL:
            event_end(event)


# ---- events -----------------------------------------------------------------------------------------

cdef event_t *events_free = NULL        # under handles_lock


cdef uint64_t event_open(machine_t *machine, bint is_manual_reset, bint is_set) noexcept nogil:
    global events_free
    cdef event_t *event
    os_lock(&handles_lock)
    event = events_free
    if event != NULL:
        events_free = event.next_free
    os_unlock(&handles_lock)
    if event == NULL:
        event = <event_t *>calloc(1, sizeof(event_t))
        if event == NULL:
            return 0
        os_lock_init(&event.lock)
        os_condition_init(&event.condition)
    os_lock(&event.lock)
    event.machine = machine
    event.is_manual_reset = is_manual_reset
    event.is_set = is_set
    event.reader = -1
    event.writer = -1
    event.handle = handle_open(machine, HANDLE_EVENT, event, 0)
    os_unlock(&event.lock)
    if event.handle == 0:
        event_end(event)
        return 0
    return event.handle


cdef bint event_close(machine_t *machine, uint64_t handle) noexcept nogil:
    cdef event_t *event = <event_t *>handle_find(machine, handle, HANDLE_EVENT, 0)
    if event == NULL or not handle_close(machine, handle, HANDLE_EVENT):
        return False
    event_end(event)
    return True


cdef void event_end(event_t *event) noexcept nogil:
    """Its handle is gone: who waits for it hears that, its descriptor is closed, and the struct may serve another."""
    global events_free
    os_lock(&event.lock)
    event.handle = 0
    descriptors_close(event.reader, event.writer)
    event.reader = -1
    event.writer = -1
    os_wake(&event.condition)
    os_unlock(&event.lock)
    os_lock(&handles_lock)
    event.next_free = events_free
    events_free = event
    os_unlock(&handles_lock)


cdef event_t *event_locked(machine_t *machine, uint64_t handle) noexcept nogil:
    """The event of a handle, its lock held; or NULL."""
    cdef event_t *event = <event_t *>handle_find(machine, handle, HANDLE_EVENT, 0)
    if event == NULL:
        return NULL
    os_lock(&event.lock)
    if event.handle != handle:
        os_unlock(&event.lock)
        return NULL
    return event


cdef bint event_is_valid(machine_t *machine, uint64_t handle) noexcept nogil:
    if machine.events != NULL and callers_event(machine, handle, False):
        return True
    return handle_find(machine, handle, HANDLE_EVENT, 0) != NULL


cdef bint event_set(machine_t *machine, uint64_t handle) noexcept nogil:
    cdef event_t *event
    if machine.events != NULL and callers_event(machine, handle, True):
        return True
    event = event_locked(machine, handle)
    if event == NULL:
        return False
    if not event.is_set:
        event.is_set = 1
        if event.writer >= 0:
            descriptor_raise(event.writer)
        os_wake(&event.condition)
    os_unlock(&event.lock)
    return True


cdef bint event_reset(machine_t *machine, uint64_t handle) noexcept nogil:
    cdef event_t *event = event_locked(machine, handle)
    if event == NULL:
        return False
    event_clear(event)
    os_unlock(&event.lock)
    return True


cdef void event_clear(event_t *event) noexcept nogil:
    if event.is_set and event.reader >= 0:
        descriptor_lower(event.reader)
    event.is_set = 0


cdef enum:
    SLICE_NS = 50_000_000
    BUSY_NS = 1_000_000


cdef uint32_t event_wait(machine_t *machine, uint64_t handle, uint32_t timeout_ms) noexcept nogil:
    cdef event_t *event = event_locked(machine, handle)
    cdef uint64_t until, now, due
    cdef uint32_t answer = 0
    if event == NULL:
        return 0xFFFFFFFF
    until = UINT64_MAX if timeout_ms == UINT32_MAX else os_clock_ns() + <uint64_t>timeout_ms * 1000000
    while not event.is_set and event.handle == handle:
        now = os_clock_ns()
        if now >= until:
            answer = 0x102
            break
        if machine.clock.is_manual:
            if until == UINT64_MAX:
                os_wait(&event.condition, &event.lock)
            else:
                os_wait_ns(&event.condition, &event.lock, until - now)
            continue
        # A real clock is moved by who waits; what is added meanwhile is seen after a slice.
        due = clock_next_ns(machine)
        if due > now:
            os_wait_ns(&event.condition, &event.lock, min(until, due, now + SLICE_NS) - now)
            continue
        os_unlock(&event.lock)
        if not clock_run(machine, clock_now(machine)):
            # Another thread moves it.
            os_lock(&event.lock)
            os_wait_ns(&event.condition, &event.lock, min(until, now + BUSY_NS) - now)
        else:
            os_lock(&event.lock)
    if event.handle != handle:
        answer = 0xFFFFFFFF
    elif answer == 0 and not event.is_manual_reset:
        event_clear(event)
    os_unlock(&event.lock)
    return answer


cdef bint callers_event(machine_t *machine, uint64_t handle, bint is_signalled) noexcept with gil:
    """Whether the caller's `events` knows a handle; tells it when it is to be set."""
    cdef object events
    if machine.events == NULL:
        return False
    events = <object>machine.events
    try:
        if not events.is_valid(handle):
            return False
        if is_signalled:
            events.signal(handle)
        return True
    except BaseException as error:
        raised(machine, error, events)
        return False


# ---- callbacks into Python --------------------------------------------------------------------------

cdef void raised(machine_t *machine, object error, object where) noexcept:
    cdef MachineBase owner
    cdef object kept = None
    if machine.owner != NULL:
        owner = <MachineBase>machine.owner
        kept = owner.parked.get(PyThread_get_thread_ident())
    if kept is not None:
        kept.append(error)
        thread_state.raised += 1
        return
    atomic_add_u64(&machine.callback_errors, 1)
    PyErr_SetObject(type(error), error)
    PyErr_WriteUnraisable(where)


cdef void callback_raised(machine_t *machine, object where) noexcept:
    raised(machine, sys.exc_info()[1], where)


cdef object callbacks_enter(MachineBase machine):
    cdef object thread = PyThread_get_thread_ident()
    cdef object outer = (machine.parked.get(thread), thread_state.raised)
    machine.parked[thread] = []
    thread_state.raised = 0
    return outer


cdef int callbacks_leave(MachineBase machine, object outer) except -1:
    cdef object thread = PyThread_get_thread_ident()
    cdef list errors_kept = machine.parked.pop(thread)
    before, thread_state.raised = outer
    if before is not None:
        machine.parked[thread] = before
    if errors_kept:
        for error in errors_kept[1:]:
            sys.unraisablehook(_Unraisable(error))
        raise errors_kept[0]
    return 0


class _Unraisable:
    """What sys.unraisablehook is given: the second exception of one call."""

    err_msg = "Another callback of the same call raised"
    object = None

    def __init__(self, error):
        self.exc_type = type(error)
        self.exc_value = error
        self.exc_traceback = error.__traceback__


cdef bint callback_has_raised(machine_t *machine) noexcept nogil:
    return thread_state.raised != 0


cdef void count_down(uint64_t *running) noexcept nogil:
    """One of the calls that run is through."""
    cdef uint64_t now
    while True:
        now = atomic_load_u64(running)
        # A fork in between began to count anew.
        if now == 0 or atomic_cas_u64(running, now, now - 1):
            return


cdef void calls_begin(machine_t *machine) noexcept nogil:
    thread_state.calling += 1
    atomic_add_u64(&machine.calling, 1)


cdef void calls_end(machine_t *machine) noexcept nogil:
    thread_state.calling -= 1
    count_down(&machine.calling)


# ---- the clock --------------------------------------------------------------------------------------

cdef uint64_t clock_now(machine_t *machine) noexcept nogil:
    if machine.clock.is_manual:
        return atomic_load_u64(&machine.clock.ticks)
    return (os_clock_ns() - machine.clock.began_ns) * 3 // 125


cdef void due_add(machine_t *machine, due_t *due, uint64_t tick) noexcept nogil:
    cdef clock_t *clock = &machine.clock
    cdef due_t **place
    os_lock(&clock.lock)
    if due.is_queued:
        due_unlink(clock, due)
    due.tick = tick
    clock.sequence += 1
    due.sequence = clock.sequence
    due.is_queued = 1
    place = &clock.first
    while place[0] != NULL and place[0].tick <= tick:
        place = &place[0].next
    due.next = place[0]
    place[0] = due
    if clock.first == due and clock.wake != NULL:
        clock.wake(clock.wake_context)
    os_unlock(&clock.lock)


cdef void clock_wake(machine_t *machine) noexcept nogil:
    os_lock(&machine.clock.lock)
    if machine.clock.wake != NULL:
        machine.clock.wake(machine.clock.wake_context)
    os_unlock(&machine.clock.lock)


cdef void clock_waker_set(machine_t *machine, wake_call_t wake, void *context) noexcept nogil:
    os_lock(&machine.clock.lock)
    machine.clock.wake = wake
    machine.clock.wake_context = context
    os_unlock(&machine.clock.lock)


cdef void due_unlink(clock_t *clock, due_t *due) noexcept nogil:
    cdef due_t **place = &clock.first
    while place[0] != due:
        place = &place[0].next
    place[0] = due.next
    due.is_queued = 0


cdef bint due_remove(machine_t *machine, due_t *due) noexcept nogil:
    cdef bint was_queued
    os_lock(&machine.clock.lock)
    was_queued = due.is_queued
    if was_queued:
        due_unlink(&machine.clock, due)
    os_unlock(&machine.clock.lock)
    return was_queued


cdef bint clock_run(machine_t *machine, uint64_t tick) noexcept nogil:
    cdef clock_t *clock = &machine.clock
    cdef due_t *due
    cdef uint64_t instant
    cdef bint is_done = True
    os_lock(&clock.lock)
    if clock.is_advancing:
        os_unlock(&clock.lock)
        return False
    clock.is_advancing = 1
    clock.advancing_thread = PyThread_get_thread_ident()
    while is_done and clock.first != NULL and clock.first.tick <= tick:
        due = clock.first
        clock.first = due.next
        due.is_queued = 0
        # Without the lock its owner may give it another tick.
        instant = due.tick
        if instant > clock.ticks:
            atomic_store_u64(&clock.ticks, instant)
        os_unlock(&clock.lock)
        due.call(machine, due.context, instant)
        is_done = not callback_has_raised(machine)
        os_lock(&clock.lock)
    if is_done and tick > clock.ticks:
        atomic_store_u64(&clock.ticks, tick)
    clock.is_advancing = 0
    os_unlock(&clock.lock)
    return is_done


cdef uint64_t clock_next_ns(machine_t *machine) noexcept nogil:
    """When the next is due on a real clock, as os_clock_ns has it."""
    cdef uint64_t tick = clock_next(machine)
    if tick > UINT64_MAX // 125 - 3:
        return UINT64_MAX
    return machine.clock.began_ns + (tick * 125 + 2) // 3


cdef uint64_t clock_next(machine_t *machine) noexcept nogil:
    cdef uint64_t tick
    os_lock(&machine.clock.lock)
    tick = UINT64_MAX if machine.clock.first == NULL else machine.clock.first.tick
    os_unlock(&machine.clock.lock)
    return tick


cdef const char *clock_check(machine_t *machine) noexcept nogil:
    """What is due is in order, and marked so."""
    cdef due_t *due
    cdef const char *broken = NULL
    os_lock(&machine.clock.lock)
    due = machine.clock.first
    while due != NULL:
        if not due.is_queued:
            broken = b"a due in the queue is not marked"
        if due.next != NULL and due.next.tick < due.tick:
            broken = b"dues are out of order"
        due = due.next
    os_unlock(&machine.clock.lock)
    return broken


# ---- IRQL -------------------------------------------------------------------------------------------

cdef uint32_t irql_of_thread() noexcept nogil:
    return thread_state.irql


cdef uint32_t irql_set(uint32_t irql) noexcept nogil:
    global irql_raised
    cdef uint32_t was = thread_state.irql
    if (was == PASSIVE_LEVEL) != (irql == PASSIVE_LEVEL):
        os_lock(&machines_lock)
        irql_raised += 1 if irql != PASSIVE_LEVEL else -1
        os_unlock(&machines_lock)
    thread_state.irql = irql
    return was


cdef uint32_t irql_of_argument(object irql) except? 0xFFFFFFFF:
    if not PyIndex_Check(irql):
        raise TypeError(f"irql is a level from 0 to 31, an int, not {type(irql).__name__} ({irql!r})")
    irql = PyNumber_Index(irql)
    if not 0 <= irql <= 31:
        raise ValueError(f"irql is {irql}; levels are from PASSIVE_LEVEL, 0, to HIGH_LEVEL, 31")
    return irql


cdef class _Irql:
    """A thread at an IRQL, from __enter__ to __exit__."""

    cdef MachineBase machine
    cdef uint32_t irql
    cdef uint32_t before
    cdef uint32_t depth
    cdef unsigned long thread

    def __enter__(self):
        cdef bug_check_t bug
        cdef uint32_t now = irql_now()
        if self.depth:
            raise RuntimeError("this irql() is entered already; call machine.irql() again for another")
        if self.irql < now:
            if not self.machine.machine.is_verifier:
                raise ValueError(f"irql({self.irql}) is below this thread's IRQL, {now}; it is lowered by leaving the "
                                 "block that raised it")
            memset(&bug, 0, sizeof(bug))
            bug_set(&bug, DRIVER_VERIFIER_DETECTED_VIOLATION, 0x30, now, self.irql, 0)
            bug_deliver(self.machine, &bug)
        thread_state.irql_depth += 1
        self.depth = thread_state.irql_depth
        self.thread = PyThread_get_thread_ident()
        self.before = irql_set(self.irql)
        return self.machine

    def __exit__(self, kind, value, trace):
        if PyThread_get_thread_ident() != self.thread or thread_state.irql_depth != self.depth:
            raise RuntimeError("an IRQL is restored by the thread that raised it, the last one first, and not across "
                               "await")
        thread_state.irql_depth -= 1
        self.depth = 0
        irql_set(self.before)


# ---- bug checks -------------------------------------------------------------------------------------

cdef void bug_record(machine_t *machine, const bug_check_t *bug) noexcept nogil:
    os_lock(&machine.lock)
    if machine.bug_checks == NULL:
        machine.bug_checks = <bug_check_t *>calloc(BUG_CHECKS_KEPT, sizeof(bug_check_t))
    if machine.bug_checks != NULL:
        machine.bug_checks[machine.bug_check_count % BUG_CHECKS_KEPT] = bug[0]
        machine.bug_check_count += 1
    os_unlock(&machine.lock)


cdef void bug_deliver_c(machine_t *machine, const bug_check_t *bug) noexcept nogil:
    bug_record(machine, bug)
    if machine.bug_handler != NULL:
        machine.bug_handler(machine.bug_handler_context, bug)


cdef int bug_deliver(MachineBase machine, const bug_check_t *bug) except -1:
    bug_record(machine.machine, bug)
    raise bug_object(machine, bug)


cdef str routine_name(uint32_t routine):
    return None if routine == 0 else routines.ROUTINES[routine - 1].name


cdef object bug_object(MachineBase machine, const bug_check_t *bug):
    """The exception for a recorded bug check."""
    allocated = None
    freed = None
    cdef int kind
    if bug.freed and bug.note.routine:
        kind = pool_kind_of(machine.machine, bug.freed)
        tag = errors.tag_shown(bug.note.tag) if bug.note.tag or kind < 0 else _KINDS[kind][2]
        allocated = errors.BlockOwner(routine_name(bug.note.routine), bug.note.sequence or None, tag, bug.note.size)
        if bug.note.freed_by:
            freed = routine_name(bug.note.freed_by)
        elif bug.note.flags & NOTE_FREED:
            freed = "the removal of its device"
    return errors.BugCheck(
        bug.code, (bug.parameters[0], bug.parameters[1], bug.parameters[2], bug.parameters[3]),
        routine=routine_name(bug.routine), device=bug.device or None, machine=machine, allocated=allocated, freed=freed)


cdef void violation_record(machine_t *machine, uint32_t routine, uint32_t irql, uint64_t address) noexcept nogil:
    cdef violation_t *violation
    os_lock(&machine.lock)
    if machine.violations == NULL:
        machine.violations = <violation_t *>calloc(BUG_CHECKS_KEPT, sizeof(violation_t))
    if machine.violations != NULL:
        violation = &machine.violations[machine.violation_count % BUG_CHECKS_KEPT]
        violation.routine = routine
        violation.irql = irql
        violation.address = address
        machine.violation_count += 1
    os_unlock(&machine.lock)


# ---- guests -----------------------------------------------------------------------------------------

cdef void guest_call_begin(machine_t *machine) noexcept nogil:
    """The machine cannot be closed until guest_call_end: the routine that calls the guest goes on with it."""
    atomic_add_u64(&machine.guest_calls, 1)


cdef void guest_call_end(machine_t *machine) noexcept nogil:
    count_down(&machine.guest_calls)


cdef int guest_write(machine_t *machine, uint64_t address, const void *data, uint64_t size) noexcept nogil:
    if machine.on_write == NULL:
        return 0
    return guest_write_slow(machine, address, data, size)


cdef int guest_write_slow(machine_t *machine, uint64_t address, const void *data, uint64_t size) noexcept with gil:
    cdef object on_write = None if machine.on_write == NULL else <object>machine.on_write
    if on_write is None:
        return 0
    guest_call_begin(machine)
    try:
        on_write(address, PyBytes_FromStringAndSize(<const char *>data, <Py_ssize_t>size))
        return 0
    except BaseException as error:
        raised(machine, error, on_write)
        return -1
    finally:
        guest_call_end(machine)


cdef int guest_read(machine_t *machine, uint64_t address, void *data, uint64_t size) noexcept nogil:
    return -1 if machine.on_read == NULL else guest_read_slow(machine, address, data, size)


cdef int guest_read_slow(machine_t *machine, uint64_t address, void *data, uint64_t size) noexcept with gil:
    cdef object on_read = None if machine.on_read == NULL else <object>machine.on_read
    cdef Py_buffer view
    if on_read is None:
        return -1
    guest_call_begin(machine)
    try:
        read = on_read(address, size)
        PyObject_GetBuffer(read, &view, PyBUF_SIMPLE)
        try:
            if <uint64_t>view.len != size:
                raise ValueError(f"on_read({address:#x}, {size}) answered {view.len} bytes; it answers {size}")
            memcpy(data, view.buf, size)
        finally:
            PyBuffer_Release(&view)
        return 0
    except BaseException as error:
        raised(machine, error, on_read)
        return -1
    finally:
        guest_call_end(machine)


# ---- machines as objects ----------------------------------------------------------------------------

cdef class Reference:
    """An object where C has a number: a port, an event, a producer's buffer, an Mdl, a register."""

    cdef uint64_t number(self) except? 0:
        return 0

    cdef PyObject *held(self) noexcept:
        return NULL


@cython.auto_pickle(True)
@cython.final
cdef class Block(Reference):
    """A live block of a machine, as `Machine.live` reports it."""

    cdef readonly str routine
    """The routine that allocated it; that of its pool where no routine said so."""
    cdef readonly uint64_t address
    """Address of its first byte."""
    cdef readonly uint64_t size
    """Bytes that were asked for."""
    cdef readonly str tag
    """Its tag, as a debugger shows it."""
    cdef readonly object sequence
    """The number of its allocation on this machine; None where they are not numbered."""
    cdef readonly uint32_t owner
    """The session or device it is charged to; 0 is the machine's own."""

    cdef uint64_t number(self) except? 0:
        return self.address

    def __repr__(self):
        numbered = "" if self.sequence is None else f", sequence={self.sequence}"
        return f"<Block of {self.routine}, {self.size} bytes at {self.address:#x}, tag={self.tag!r}{numbered}>"


# By POOL_*: the pool's name; the routine and the tag of blocks that no routine noted.
cdef tuple _KINDS = (
    ("ras", "RasGetBuffer", "Ras "),
    ("netapi", "NetApiBufferAllocate", "NetA"),
    ("produced", "NetServerEnum", "NetE"),
    ("video_buffer", "VideoPortAllocateBuffer", "VidB"),
    ("video_paged", "VideoPortAllocatePool", "VidP"),
    ("video_nonpaged", "VideoPortAllocatePool", "VidN"),
    ("audio", "AllocateDmaBuffer", "HdAu"),
)


cdef class MachineBase:
    """The engine's side of Machine: made by pybuf.machine alone."""

    def __init__(self, *, list settings, uint32_t quirks=0, bint verifier=False, bint special_pool=False,
                 bint is_manual=False, bint numbered=False, memory=None, events=None):
        cdef machine_t *machine
        cdef int family
        if self.machine != NULL:
            raise RuntimeError("this Machine is made already: __init__ runs once")
        machine = machine_slot(self.is_default)
        if machine == NULL:
            raise RuntimeError(f"{MACHINES_MAX} machines are open: close some")
        self.settings = settings
        self.pools = [None] * POOL_KINDS
        self.memory = memory
        self.events = events
        self.parked = {}
        self.remainder = 0
        self.advancing = allocate_lock()
        machine.quirks = quirks
        machine.is_verifier = verifier
        machine.is_special_pool = special_pool
        machine.is_numbered = numbered
        machine.pointer_bytes = 8
        machine.wchar_bytes = 2
        machine.clock.is_manual = is_manual
        machine.clock.began_ns = os_clock_ns()
        if memory is not None:
            machine.is_guest = 1
            machine.pointer_bytes = memory.pointer_bytes
            machine.wchar_bytes = memory.wchar_bytes
            machine.on_write = <PyObject *>memory.on_write
            machine.on_read = NULL if memory.on_read is None else <PyObject *>memory.on_read
        machine.events = NULL if events is None else <PyObject *>events
        machine.owner = <PyObject *>self
        self.machine = machine
        machine.is_open = 1
        for family in range(FAMILIES):
            if is_registered[family] and families[family].made != NULL:
                families[family].made(machine)

    def __del__(self):
        if self.machine != NULL:
            self.is_lost = not self.is_shut
            machine_shut(self)

    def __repr__(self):
        if self.machine == NULL:
            return f"<{type(self).__name__}, never made>"
        state = ", closed" if self.is_shut else ""
        return f"<{type(self).__name__} {self.machine.number}{state}>"

    def __reduce__(self):
        raise TypeError("a Machine is memory of this process and cannot be copied or pickled")

    def __enter__(self):
        global entered_by_python, machine_alone
        machine_is_open_or_raise(self)
        entered_by_python = True
        machine_alone = NULL
        _entered.set((self, _entered.get()))
        return self

    def __exit__(self, kind, value, trace):
        cdef object pair = _entered.get()
        if pair is None:
            raise RuntimeError("no machine is entered in this context: __exit__ belongs to an __enter__ in it")
        _entered.set((<tuple>pair)[1])

    @property
    def is_closed(self):
        """Whether `close` was called."""
        return self.machine == NULL or self.is_shut

    @property
    def bug_checks(self):
        """The bug checks so far, the oldest first: a list of BugCheck. The last 256 are kept."""
        cdef list found = []
        cdef uint64_t i
        cdef bug_check_t bug
        machine_is_open_or_raise(self)
        for i in range(kept_from(self.machine.bug_check_count), self.machine.bug_check_count):
            os_lock(&self.machine.lock)
            bug = self.machine.bug_checks[i % BUG_CHECKS_KEPT]
            os_unlock(&self.machine.lock)
            found.append(bug_object(self, &bug))
        return found

    @property
    def violations(self):
        """Calls at an IRQL that their page forbids and no status names: tuples (routine, irql, address), the oldest
        first. The last 256 are kept."""
        cdef list found = []
        cdef uint64_t i
        cdef violation_t violation
        machine_is_open_or_raise(self)
        for i in range(kept_from(self.machine.violation_count), self.machine.violation_count):
            os_lock(&self.machine.lock)
            violation = self.machine.violations[i % BUG_CHECKS_KEPT]
            os_unlock(&self.machine.lock)
            found.append((routine_name(violation.routine), violation.irql, violation.address))
        return found

    @property
    def callback_errors(self):
        """How many exceptions of callbacks went to sys.unraisablehook, because C had called the routine."""
        return 0 if self.machine == NULL else self.machine.callback_errors

    def live(self):
        """The blocks that are allocated and not freed, by whichever door.

        Returns
        -------
        list of Block
            By pool, then by address.
        """
        cdef list found = []
        cdef int kind
        cdef note_t *note
        cdef Block block
        machine_is_open_or_raise(self)
        for kind in range(POOL_KINDS):
            if self.pools[kind] is None:
                continue
            _, routine, tag = _KINDS[kind]
            for each in self.pools[kind].live():
                block = Block.__new__(Block)
                block.address = each.address
                block.size = each.size
                block.routine = routine
                block.tag = tag
                note = note_at(self.machine, kind, block.address)
                if note != NULL and note.routine and not note.flags & NOTE_FREED:
                    block.routine = routine_name(note.routine)
                    block.sequence = note.sequence or None
                    block.owner = note.owner
                    if note.tag:
                        block.tag = errors.tag_shown(note.tag)
                found.append(block)
        return found

    def buffer_at(self, address):
        """A Buffer for a live block that has none: allocated through ctypes or C, or one whose Buffer was lost.

        Parameters
        ----------
        address : int or Block
            The block's first byte.

        Returns
        -------
        Buffer

        Raises
        ------
        ValueError
            No live block of the machine starts there, or a Buffer has it.
        """
        cdef uint64_t number
        cdef PyObject *held
        cdef int kind
        machine_is_open_or_raise(self)
        address_of_argument(address, &number, &held)
        kind = pool_kind_of(self.machine, number)
        buffer = None if kind < 0 else buffer_adopt(<Pool>self.pools[kind], number)
        if buffer is None:
            raise ValueError(f"{number:#x} is no live block of this machine, or a Buffer has it")
        return buffer

    def check(self):
        """Looks for a broken invariant of the machine's own structures: pools, handles, the clock, each family's.

        Returns
        -------
        str or None
            The first that is broken.
        """
        cdef int family
        cdef const char *broken
        machine_is_open_or_raise(self)
        for kind in range(POOL_KINDS):
            found = None if self.pools[kind] is None else self.pools[kind].check()
            if found is not None:
                return f"{_KINDS[kind][0]}: {found}"
        broken = handles_check()
        if broken == NULL:
            broken = clock_check(self.machine)
        for family in range(FAMILIES):
            if broken == NULL and is_registered[family] and families[family].check != NULL:
                broken = families[family].check(self.machine)
        return None if broken == NULL else (<bytes>broken).decode()

    def refuse(self, pool, nth=1, count=1):
        """Makes a pool of the machine refuse requests, as when memory is short.

        Parameters
        ----------
        pool : str
            "ras", "netapi", "produced", "video_buffer", "video_paged", "video_nonpaged" or "audio".
        nth : int
            Which request from now on, from 1.
        count : int
            How many in a row; 0 takes back what was said before.
        """
        cdef refusal_t *refusal
        cdef uint64_t first = unsigned_of_argument(nth, "nth", 32)
        cdef uint64_t number = unsigned_of_argument(count, "count", 32)
        cdef int kind
        machine_is_open_or_raise(self)
        names = [row[0] for row in _KINDS]
        if pool not in names:
            raise ValueError(f"pool is {pool!r}; it is one of {', '.join(names)}")
        if first == 0:
            raise ValueError("nth is 0; requests are counted from 1")
        kind = names.index(pool)
        refusal = &self.machine.refusals[kind]
        os_lock(&self.machine.lock)
        refusal.seen = 0
        refusal.nth = first
        refusal.count = number
        if number:
            self.machine.slow |= <uint32_t>1 << kind
        else:
            self.machine.slow &= ~(<uint32_t>1 << kind)
        renew(self.machine)
        os_unlock(&self.machine.lock)

    def physical_address(self, address):
        """The address that a device on the bus would use for a byte of memory: `address` plus `physical_offset`.

        Parameters
        ----------
        address : int, Buffer or Block

        Returns
        -------
        int
        """
        cdef uint64_t number
        cdef PyObject *held
        machine_is_open_or_raise(self)
        address_of_argument(address, &number, &held)
        return number + self.machine.physical_offset

    @property
    def physical_offset(self):
        """What `physical_address` adds, modulo 2**64."""
        machine_is_open_or_raise(self)
        return self.machine.physical_offset

    @physical_offset.setter
    def physical_offset(self, offset):
        cdef uint64_t wanted = unsigned_of_argument(offset, "physical_offset", 64)
        machine_is_open_or_raise(self)
        self.machine.physical_offset = wanted

    # ---- time ----

    @property
    def ticks(self):
        """Ticks of 24 MHz since the machine began."""
        machine_is_open_or_raise(self)
        return clock_now(self.machine)

    def advance(self, seconds):
        """Lets time pass on a manual clock: everything that becomes due happens, in order, each at its own instant.

        Parameters
        ----------
        seconds : int or Fraction
            0 or more; parts of a tick of 24 MHz are kept for the next call.

        Raises
        ------
        ValueError
            Less than 0, or the machine's clock is real.
        TypeError
            No exact number: a float.
        RuntimeError
            Called from a callback of `advance`.
        Exception
            What a callback raised; time stands at its instant.
        """
        cdef bint is_done = False
        cdef uint64_t until
        cdef int family
        machine_is_open_or_raise(self)
        if not self.machine.clock.is_manual:
            raise ValueError("this machine's clock is real; Machine(clock='manual') has one that is advanced")
        from numbers import Rational
        if not isinstance(seconds, Rational):
            raise TypeError(f"seconds is an int or a Fraction, which are exact, not {type(seconds).__name__} "
                            f"({seconds!r})")
        if seconds < 0:
            raise ValueError(f"seconds is {seconds}; time does not go back")
        if self.advancing_thread == PyThread_get_thread_ident():
            raise RuntimeError("advance() was called from a callback of advance()")
        with self.advancing:
            self.advancing_thread = PyThread_get_thread_ident()
            try:
                machine_is_open_or_raise(self)
                wanted = seconds * TICKS_PER_SECOND + self.remainder
                whole = wanted // 1
                if self.machine.clock.ticks + whole >= <object>1 << 63:
                    raise OverflowError(f"seconds is {seconds}; the clock ends after 2**63 ticks of 24 MHz")
                until = self.machine.clock.ticks + whole
                self.remainder = 0
                outer = callbacks_enter(self)
                try:
                    with nogil:
                        calls_begin(self.machine)
                        is_done = clock_run(self.machine, until)
                        for family in range(FAMILIES):
                            if is_registered[family] and families[family].advanced != NULL:
                                families[family].advanced(self.machine)
                        calls_end(self.machine)
                finally:
                    callbacks_leave(self, outer)
                if is_done:
                    self.remainder = wanted - whole
            finally:
                self.advancing_thread = 0

    # ---- IRQL ----

    def irql(self, irql):
        """A context in which this thread runs at an IRQL, which may not be below the present one.

        Parameters
        ----------
        irql : int
            PASSIVE_LEVEL 0, APC_LEVEL 1, DISPATCH_LEVEL 2, or a device's, up to 31.

        Returns
        -------
        context manager
            Entered and left by one thread, and not across await.

        Raises
        ------
        ValueError
            On entering: it is below the present one. With the verifier: BugCheck 0xC4, 0x30.
        """
        cdef _Irql made = _Irql.__new__(_Irql)
        machine_is_open_or_raise(self)
        made.machine = self
        made.irql = irql_of_argument(irql)
        return made

    def set_irql(self, irql):
        """Sets this thread's IRQL, for emulators that run many guest threads on one.

        Parameters
        ----------
        irql : int
            From 0 to 31.

        Returns
        -------
        int
            What it was.
        """
        cdef uint32_t wanted = irql_of_argument(irql)
        machine_is_open_or_raise(self)
        return irql_set(wanted)

    # ---- the end ----

    def close(self):
        """Ends the machine: its blocks, handles and sessions are gone. Closing again does nothing.

        Memory under a live view of a Buffer goes with the last view.

        Raises
        ------
        ValueError
            It is the default machine.
        RuntimeError
            Called from a callback of `advance`, of a device, or of a Guest or its AddressSpace, or while another thread
            is in `advance` or in a callback of the Guest; nothing happens.

        Notes
        -----
        It waits for devices' callbacks that run in other threads.
        """
        if self.is_default:
            raise ValueError("the default machine cannot be closed; make a Machine() and close that")
        if self.machine == NULL or self.is_shut:
            return
        # On a real clock another thread fires what is due, and is waited for.
        if self.machine.clock.is_advancing and (
                self.machine.clock.is_manual or self.machine.clock.advancing_thread == PyThread_get_thread_ident()):
            raise RuntimeError("a machine cannot be closed while it advances")
        if thread_state.calling or PyThread_get_thread_ident() in self.parked:
            raise RuntimeError("a machine cannot be closed while a callback runs that closes it")
        if atomic_load_u64(&self.machine.guest_calls):
            raise RuntimeError("a machine cannot be closed while on_write or on_read of its Guest runs; close it when "
                               "the routine that called it is through")
        for pool in self.pools:
            if pool is not None:
                pool_idle_or_raise(<Pool>pool)
        while atomic_load_u64(&self.machine.calling):
            sleep(0.001)
        machine_shut(self)


cdef uint64_t kept_from(uint64_t count) noexcept:
    return count - BUG_CHECKS_KEPT if count > BUG_CHECKS_KEPT else 0


cdef int machine_shut(MachineBase self) except -1:
    cdef machine_t *machine = self.machine
    cdef int family
    # What the families let go may be an object whose end calls close() again.
    if self.is_shut:
        return 0
    self.is_shut = True
    memset(machine.quick, 0, sizeof(machine.quick))
    for family in range(FAMILIES):
        if is_registered[family] and families[family].closing != NULL:
            families[family].closing(machine)
    machine.is_open = 0
    machine_renew(machine)
    machine.clock.first = NULL
    handles_close(machine)
    for pool in self.pools:
        if pool is not None:
            (<Pool>pool).close(True)
    for family in range(FAMILIES):
        if is_registered[family] and families[family].closed != NULL:
            families[family].closed(machine)
        machine.families[family] = NULL
    machine.owner = NULL
    machine.events = NULL
    machine.on_write = NULL
    machine.on_read = NULL
    ledgers_release(machine)
    free(machine.bug_checks)
    free(machine.violations)
    machine.bug_checks = NULL
    machine.violations = NULL
    machine.bug_check_count = 0
    machine.violation_count = 0
    memset(machine.spans, 0, sizeof(machine.spans))
    memset(machine.pools, 0, sizeof(machine.pools))
    machine_slot_free(machine)
    return 0


@cython.final
cdef class Event(Reference):
    """An event of a machine, as CreateEvent makes it: what RasReceiveBuffer and the notifications of HD Audio set.

    Parameters
    ----------
    machine : Machine
        Whose handle it is; default: the current one.
    manual : bool
        It stays set until `reset`; otherwise one `wait` resets it.
    """

    cdef MachineBase machine
    cdef readonly uint64_t handle
    """Its handle, an int."""
    cdef event_t *event

    def __init__(self, machine=None, manual=False):
        if self.machine is not None:
            raise RuntimeError("this Event is made already: __init__ runs once")
        owner = <object>machine_now() if machine is None else machine
        if not isinstance(owner, MachineBase):
            raise TypeError(f"machine is a Machine or None, not {type(machine).__name__} ({machine!r})")
        machine_is_open_or_raise(owner)
        self.handle = event_open((<MachineBase>owner).machine, manual, False)
        if self.handle == 0:
            raise MemoryError("no handle or no memory for an event")
        self.event = <event_t *>handle_find((<MachineBase>owner).machine, self.handle, HANDLE_EVENT, 0)
        self.machine = owner

    def __del__(self):
        self.close()

    def __repr__(self):
        return f"<Event {self.handle:#x}{'' if event_is_open(self) else ', closed'}>"

    cdef uint64_t number(self) except? 0:
        return self.handle

    def set(self):
        """Sets it: who waits goes on."""
        event_is_open_or_raise(self)
        event_set(self.machine.machine, self.handle)

    def reset(self):
        """Makes it unset."""
        event_is_open_or_raise(self)
        event_reset(self.machine.machine, self.handle)

    def is_set(self):
        """Whether it is set; an event that resets itself stays as it is."""
        event_is_open_or_raise(self)
        return bool(self.event.is_set)

    def wait(self, timeout=None):
        """Waits until it is set.

        Parameters
        ----------
        timeout : float, optional
            Seconds of real time; None waits without end.

        Returns
        -------
        bool
            Whether it was set.

        Raises
        ------
        ValueError
            It is closed, or is while it is waited for; `timeout` is not a number.
        """
        cdef machine_t *machine
        cdef uint32_t milliseconds = 50
        cdef uint32_t answer
        cdef uint64_t began = os_clock_ns()
        cdef double seconds = 0 if timeout is None else timeout
        cdef double left
        if seconds != seconds:
            raise ValueError("timeout is NaN; it is a number of seconds, or None")
        event_is_open_or_raise(self)
        machine = self.machine.machine
        while True:
            if timeout is not None:
                left = seconds - <double>(os_clock_ns() - began) / 1e9
                milliseconds = 0 if left <= 0 else <uint32_t>(min(left, 0.05) * 1000) + 1
            with nogil:
                answer = event_wait(machine, self.handle, milliseconds)
            if answer == 0:
                return True
            if answer == 0xFFFFFFFF:
                raise ValueError("the event was closed while it was waited for")
            if milliseconds == 0:
                return False
            # Ctrl-C arrives between two slices.
            check_signals()

    def fileno(self):
        """A descriptor that is readable while the event is set, for select and asyncio; made when first asked for.

        Returns
        -------
        int
            The event's own: do not read it and do not close it. It is closed with the event.
        """
        event_is_open_or_raise(self)
        if self.event.reader < 0:
            if hasattr(os, "eventfd"):
                reader = writer = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            else:
                reader, writer = os.pipe()
                os.set_blocking(reader, False)
                os.set_blocking(writer, False)
            descriptors_give(self.event, self.handle, reader, writer)
            event_is_open_or_raise(self)
        return self.event.reader

    def close(self):
        """Ends it: its handle is none any more. Closing again does nothing."""
        if self.machine is None or not event_is_open(self):
            return
        event_close(self.machine.machine, self.handle)


cdef void descriptors_give(event_t *event, uint64_t handle, int reader, int writer) noexcept:
    """The event keeps them, unless another thread ended it meanwhile, or was faster."""
    os_lock(&event.lock)
    if event.handle != handle or event.reader >= 0:
        descriptors_close(reader, writer)
    else:
        event.reader = reader
        event.writer = writer
        if event.is_set:
            descriptor_raise(writer)
    os_unlock(&event.lock)


cdef bint event_is_open(Event event):
    return event.machine is not None and handle_find(
        event.machine.machine, event.handle, HANDLE_EVENT, 0) == <void *>event.event


cdef int event_is_open_or_raise(Event event) except -1:
    if not event_is_open(event):
        raise ValueError("the event is closed, or its machine is")
    return 0


# ---- arguments and results of the Python door ---------------------------------------------------------

cdef int address_of_argument(object value, uint64_t *address, PyObject **buffer) except -1:
    cdef unsigned long long word
    buffer[0] = NULL
    if type(value) is Buffer:
        buffer[0] = <PyObject *>value
        address[0] = buffer_last_address(<Buffer>value)
        return 0
    if PyLong_CheckExact(value):
        word = PyLong_AsUnsignedLongLong(value)
        if word == UINT64_MAX and PyErr_Occurred() != NULL:
            PyErr_Clear()
            word = unsigned_of_argument(value, "an address or handle", 64)
        address[0] = word
        return 0
    if value is None:
        address[0] = 0
        return 0
    if isinstance(value, Reference):
        buffer[0] = (<Reference>value).held()
        address[0] = (<Reference>value).number()
        return 0
    if PyIndex_Check(value):
        address[0] = unsigned_of_argument(value, "an address or handle", 64)
        return 0
    raise TypeError(f"an address or handle is an int, a Buffer, None or one of pybuf's objects, "
                    f"not {type(value).__name__} ({value!r})")


cdef uint32_t dword_slow(object value, str name) except? 0xFFFFFFFF:
    cdef unsigned long long word
    if PyLong_CheckExact(value):
        word = PyLong_AsUnsignedLongLong(value)
        if word <= UINT32_MAX:
            return <uint32_t>word
        if word == UINT64_MAX:
            PyErr_Clear()
    return <uint32_t>unsigned_of_argument(value, name, 32)


cdef uint64_t unsigned_of_argument(object value, str name, uint32_t bits) except? 0xFFFFFFFFFFFFFFFF:
    if not PyIndex_Check(value):
        raise TypeError(f"{name} is an int, not {type(value).__name__} ({value!r})")
    value = PyNumber_Index(value)
    limit = <object>1 << bits
    if not -limit <= value < 2 * limit:
        raise OverflowError(f"{name} is {value}; it counts modulo 2**{bits}, from -2**{bits} to 2**{bits + 1} - 1")
    return <uint64_t>PyLong_AsUnsignedLongLongMask(value) & (UINT64_MAX >> (64 - bits))


cdef object views_error(str routine, str what):
    return BufferError(f"{routine}: {what} has live views, and nothing happened; release them "
                       f"(memoryview.release(), del array) and call again")


cdef PyObject *_successes[SPACES]
cdef list _members = [None] * SPACES        # by space: number -> member

status_success = _successes


cdef object status_slow(int space, uint32_t value):
    if _members[space] is None:
        from pybuf import status
        _members[space] = dict(status.SPACES[space]._value2member_map_)
        zero = _members[space].get(0)
        if zero is not None:
            Py_INCREF(zero)
            status_success[space] = <PyObject *>zero
    return (<dict>_members[space]).get(value, value)


cdef object result_new(PyObject **kept, Py_ssize_t size):
    cdef PyObject *old = kept[0]
    cdef object made = PyTuple_New(size)
    if TUPLES_ARE_KEPT:
        Py_INCREF(made)
        kept[0] = <PyObject *>made
        Py_XDECREF(old)
    return made


# ---- fork -------------------------------------------------------------------------------------------
# The child has only the thread that forked. No other may hold a lock then, or be in the middle of what it guards. These
# run inside fork itself: no thread gets the GIL between them, which would wait for the locks with it.

cdef void locks_take() noexcept nogil:
    cdef uint32_t i
    cdef int family
    os_lock(&machines_lock)
    for i in range(machines_used):
        os_lock(&machines[i].lock)
    for family in range(FAMILIES):
        if is_registered[family] and families[family].lock != NULL:
            os_lock(families[family].lock)
    os_lock(&handles_lock)
    for i in range(machines_used):
        os_lock(&machines[i].clock.lock)


cdef void locks_drop() noexcept nogil:
    cdef uint32_t i
    cdef int family
    for i in range(machines_used):
        os_unlock(&machines[i].clock.lock)
        os_unlock(&machines[i].lock)
    for family in range(FAMILIES):
        if is_registered[family] and families[family].lock != NULL:
            os_unlock(families[family].lock)
    os_unlock(&handles_lock)
    os_unlock(&machines_lock)


cdef void event_init(event_t *event) noexcept nogil:
    """Another thread may have been inside it, or still wait for one that has ended."""
    os_lock_init(&event.lock)
    os_condition_init(&event.condition)


cdef void child_begin() noexcept nogil:
    cdef uint32_t i
    cdef int family
    cdef event_t *event
    locks_drop()
    for i in range(slots_used):
        if slots[i].kind == HANDLE_EVENT and slots[i].generation & 1:
            event_init(<event_t *>slots[i].object)
    event = events_free
    while event != NULL:
        event_init(event)
        event = event.next_free
    for i in range(machines_used):
        machines[i].calling = 0
        machines[i].guest_calls = 0
        if machines[i].is_open:
            for family in range(FAMILIES):
                if is_registered[family] and families[family].forked != NULL:
                    families[family].forked(&machines[i])


def _after_fork_in_child():
    """What another thread was doing ended with that thread: an advance, the making of the default machine."""
    global _default_lock, default_maker
    cdef unsigned long me = PyThread_get_thread_ident()
    cdef MachineBase machine
    cdef uint32_t i
    if default_maker != me:
        _default_lock = allocate_lock()
        default_maker = 0
    for i in range(machines_used):
        if not machines[i].is_open:
            continue
        if machines[i].clock.is_advancing and machines[i].clock.advancing_thread != me:
            machines[i].clock.is_advancing = 0
        machine = <MachineBase>machines[i].owner
        if machine.advancing_thread != me:
            machine.advancing = allocate_lock()
            machine.advancing_thread = 0


machines_at_fork(locks_take, locks_drop, child_begin)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
