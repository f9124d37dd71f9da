"""The RAS routines, once each; see routines.py for what their parameters are.

A routine acts on a session: that of a machine, which ends with it, or one of the 64 that RasCustomScriptExecute can be
handed the pointers of. What the session's machine shares is a ras_t: its lock guards ports and what they receive.
"""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from poolcore cimport heap_alloc_fast, heap_free_fast, heap_now, pool_t
from pybuf._machine cimport FAMILY_RAS, MACHINES_MAX, POOL_RAS, SLOW_FAMILY, due_t, machine_t
from pybuf._platform cimport os_lock_t, rarely

cdef enum:
    RAS_BUFFER_MAX = 1500
    SESSIONS = 64
    RAS_REFUSES = 1 << POOL_RAS                 # bits of machine_t.slow: RasGetBuffer has to ask pool_refuses
    RAS_WATCHES = SLOW_FAMILY << FAMILY_RAS     # blocks are noted: the machine numbers them, or opened a port

cdef struct session_t:
    machine_t *machine
    uint32_t slot               # what the notes of its blocks have as owner; 0: the machine's own
    uint32_t is_live

# What a port's receive is: none; waiting for data, the port's end or the deadline; or to be retrieved.
cdef enum:
    RECEIVE_NONE = 0
    RECEIVE_WAITING = 1
    RECEIVE_READY = 2

# Never unmapped; serves another port once it is closed. All of it under the lock of the machine's ras_t.
cdef struct port_t:
    machine_t *machine
    uint64_t handle             # 0: closed
    PyObject *object            # the Port; borrowed, read with the GIL
    port_t *next                # of the machine
    uint32_t down               # 0: connected; else what a receive without data answers
    uint8_t *queue              # bytes that came and were not retrieved: `count` from `head` on
    uint64_t head
    uint64_t count
    uint64_t capacity
    uint32_t receive            # RECEIVE_*
    session_t *receiver
    uint64_t receive_buffer
    uint64_t receive_size
    uint64_t event
    due_t deadline

# RASCOMMSETTINGS
cdef struct comm_settings_t:
    uint32_t size
    uint8_t parity
    uint8_t stop
    uint8_t byte_size
    uint8_t align

cdef struct ras_t:
    os_lock_t lock
    port_t *first
    PyObject *service           # what polls its sockets, of ras.py; NULL: nothing does

# Never unmapped: a pointer that a script kept finds an ended session, or the next of its slot.
cdef session_t *sessions                        # 1 to 64
cdef session_t own_sessions[MACHINES_MAX]       # by number of the machine

cdef inline session_t *ras_own_session(machine_t *machine) noexcept nogil:
    """The session of a machine's own routines."""
    return &own_sessions[machine.number]


cdef uint32_t ras_get_buffer(session_t *session, uint64_t *buffer, uint32_t *size) noexcept nogil
cdef uint32_t ras_free_buffer(session_t *session, uint64_t buffer) noexcept nogil
cdef uint32_t ras_send_buffer(session_t *session, uint64_t port, uint64_t buffer, uint32_t size) noexcept nogil
cdef uint32_t ras_receive_buffer(session_t *session, uint64_t port, uint64_t buffer, uint32_t *size,
                                 uint32_t timeout_ms, uint64_t event) noexcept nogil
cdef uint32_t ras_retrieve_buffer(session_t *session, uint64_t port, uint64_t buffer, uint32_t *size) noexcept nogil
cdef uint32_t ras_set_comm_settings(session_t *session, uint64_t port, const void *settings, uint64_t reserved
                                    ) noexcept nogil


# The two that are called most, in a machine's own session, where nothing stands in the way: they make no call, and
# answer False where the whole routine is to be asked.

cdef inline bint ras_get_buffer_fast(machine_t *machine, uint64_t *buffer, uint32_t *size, uint32_t *status
                                     ) noexcept nogil:
    """RasGetBuffer where it is quickly done."""
    cdef pool_t *pool = machine.quick[POOL_RAS]
    cdef uint64_t address
    if rarely(pool == NULL or buffer == NULL or size == NULL or size[0] > RAS_BUFFER_MAX):
        return False
    address = heap_alloc_fast(heap_now(pool), pool, size[0])
    if rarely(address == 0):
        return False
    buffer[0] = address
    status[0] = 0
    return True


cdef inline bint ras_free_buffer_fast(machine_t *machine, uint64_t buffer, uint32_t *status) noexcept nogil:
    """RasFreeBuffer where it is quickly done."""
    cdef pool_t *pool = machine.quick[POOL_RAS]
    status[0] = 0
    return pool != NULL and heap_free_fast(heap_now(pool), pool, buffer)
