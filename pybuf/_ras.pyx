"""The RAS routines: the C of each, then the function of Python."""

from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport UINT32_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from poolcore cimport (
    FREE_DEFER, RECORD_EXPORTED, RECORD_HELD, RECORD_LIVE, REFUSAL_CLOSED, VERDICT_EXPORTED, VERDICT_FOREIGN,
    VERDICT_LIVE, Buffer, Pool, address_give, block_t, buffer_address, buffer_give, buffer_take, heap_alloc, heap_free,
    heap_now, import_poolcore, pool_block_at, pool_free_ex, pool_t,
)
from pybuf._machine cimport (
    HANDLE_PORT, MACHINES_MAX, QUIRK_RAS_EMPTY_WINDOWS2000, QUIRK_RAS_FREE_PENDING_616, QUIRK_RAS_OVERSIZE_REFUSE,
    QUIRK_RAS_SEND_ANY, TICKS_PER_SECOND, MachineBase, Reference, ROUTINE_RasGetBuffer, address_of_argument,
    callback_raised, callbacks_enter, callbacks_leave, clock_next, clock_now, clock_run, clock_wake,
    clock_waker_set, due_add, due_remove, dword_of_argument, event_is_valid, event_set, family_calls_t,
    family_register, first_machine, guest_read, guest_write, handle_close, handle_find, handle_open,
    machine_is_open_or_raise, machine_now, machine_pool, machine_renew, machine_shared, machine_t,
    machine_thread_enter, machine_thread_entered, note_at, note_t, note_write, pool_kind_of, pool_refuses,
    result_again, result_hand_over, result_of_two, result_put, status_object, status_zero, unsigned_of_argument,
    views_error,
)
from pybuf._platform cimport os_lock, os_lock_init, os_trylock, os_unlock, rarely
from pybuf._status cimport (
    ERROR_ASYNC_REQUEST_PENDING, ERROR_BUFFER_INVALID, ERROR_BUFFER_TOO_SMALL, ERROR_CANNOT_SET_PORT_INFO,
    ERROR_EVENT_INVALID, ERROR_HARDWARE_FAILURE, ERROR_INVALID_PARAMETER, ERROR_INVALID_PORT_HANDLE,
    ERROR_OUT_OF_BUFFERS, ERROR_PORT_DISCONNECTED, ERROR_REMOTE_DISCONNECTION, ERROR_REQUEST_TIMEOUT,
    ERROR_USER_DISCONNECTION, ERROR_WRONG_INFO_SPECIFIED, PENDING, SPACE_RAS,
)

from collections import deque
from importlib import import_module
from typing import NamedTuple

cdef extern from "Python.h":
    void Py_DECREF(PyObject *o)
    void Py_INCREF(PyObject *o)
    PyObject *PyTuple_GET_ITEM(PyObject *o, Py_ssize_t i)
    object PyBytes_FromStringAndSize(const char *data, Py_ssize_t size)
    bint PyObject_CheckBuffer(object o)
    int PyObject_GetBuffer(object o, Py_buffer *view, int flags) except -1
    void PyBuffer_Release(Py_buffer *view)
    enum:
        PyBUF_SIMPLE

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030D0000
    #define is_finalizing Py_IsFinalizing
    #else
    #define is_finalizing _Py_IsFinalizing
    #endif
    #if defined(_WIN32)
    #include <windows.h>
    static void descriptor_write(int fd) { (void)fd; }
    static int memory_read(const void *from, void *to, size_t size) {
        SIZE_T n;
        return ReadProcessMemory(GetCurrentProcess(), from, to, size, &n) && n == size ? 0 : -1;
    }
    #else
    #include <unistd.h>
    /* Wakes who polls the other end. */
    static void descriptor_write(int fd) {
        ssize_t n = write(fd, "", 1);
        (void)n;
    }
    /* Copies memory that may not be there, through a pipe: the kernel refuses what a load would crash on. */
    static int memory_read(const void *from, void *to, size_t size) {
        int ends[2];
        if (pipe(ends) != 0)
            return -1;
        while (size > 0) {
            size_t part = size < 4096 ? size : 4096;
            if (write(ends[1], from, part) != (ssize_t)part || read(ends[0], to, part) != (ssize_t)part)
                break;
            from = (const char *)from + part;
            to = (char *)to + part;
            size -= part;
        }
        close(ends[0]);
        close(ends[1]);
        return size == 0 ? 0 : -1;
    }
    #endif
    """
    # The interpreter ends: Python code may find its module without names, and threads do not go on.
    bint is_finalizing()
    void descriptor_write(int fd) nogil
    int memory_read(const void *source, void *target, size_t size) nogil

cdef enum:
    TICKS_PER_MILLISECOND = TICKS_PER_SECOND // 1000
    QUEUE_BYTES = 1 << 20       # a port with more to be retrieved is not polled

import_poolcore()

sessions = <session_t *>calloc(SESSIONS + 1, sizeof(session_t))
if sessions == NULL:
    raise MemoryError("no memory for the sessions of RAS")

# What sessions that are not open act on: a machine that has nothing.
cdef machine_t nowhere


# ---- buffers ----------------------------------------------------------------------------------------

cdef inline bint is_noted(machine_t *machine) noexcept nogil:
    """Whether a block of the machine needs a note."""
    return machine.slow & RAS_WATCHES


cdef uint32_t ras_get_buffer(session_t *session, uint64_t *buffer, uint32_t *size) noexcept nogil:
    cdef machine_t *machine = session.machine
    cdef pool_t *pool
    cdef uint64_t address
    cdef uint32_t granted
    cdef bint is_kept
    if buffer == NULL or size == NULL:
        return ERROR_INVALID_PARAMETER
    buffer[0] = 0
    granted = size[0]
    if not session.is_live:
        return ERROR_OUT_OF_BUFFERS
    if granted > RAS_BUFFER_MAX:
        if machine.quirks & QUIRK_RAS_OVERSIZE_REFUSE:
            return ERROR_OUT_OF_BUFFERS
        granted = RAS_BUFFER_MAX
    pool = machine.pools[POOL_RAS]
    if pool == NULL or (rarely(machine.slow & RAS_REFUSES) and pool_refuses(machine, POOL_RAS)):
        return ERROR_OUT_OF_BUFFERS
    address = heap_alloc(heap_now(pool), pool, granted)
    if address == 0:
        return ERROR_OUT_OF_BUFFERS
    if is_noted(machine):
        os_lock(&services[machine.number].lock)
        is_kept = block_keep(session, machine, address, granted)
        os_unlock(&services[machine.number].lock)
        if not is_kept:
            heap_free(heap_now(pool), pool, address)
            return ERROR_OUT_OF_BUFFERS
    buffer[0] = address
    size[0] = granted
    return 0


cdef bint block_keep(session_t *session, machine_t *machine, uint64_t address, uint32_t size) noexcept nogil:
    """A new block becomes a session's; under the lock. False: the session ended meanwhile, and its end does not free
    the block."""
    if not session.is_live or session.machine != machine:
        return False
    note_write(machine, POOL_RAS, address, size, ROUTINE_RasGetBuffer, <uint16_t>session.slot, 0, True)
    return True


cdef uint32_t keeper(session_t *session, uint64_t buffer) noexcept nogil:
    """Why a session may not free a block of the pool: 0, or the status."""
    cdef machine_t *machine = session.machine
    cdef note_t *note
    if not session.is_live:
        return ERROR_INVALID_PORT_HANDLE
    if machine.slow & RAS_WATCHES:
        note = note_at(machine, POOL_RAS, buffer)
        if (0 if note == NULL else note.owner) != session.slot:
            return ERROR_BUFFER_INVALID
        if is_receiving(machine, buffer):
            return ERROR_ASYNC_REQUEST_PENDING if machine.quirks & QUIRK_RAS_FREE_PENDING_616 else ERROR_BUFFER_INVALID
    return 0


cdef bint is_receiving(machine_t *machine, uint64_t buffer) noexcept nogil:
    """Whether a receive is outstanding on a block."""
    cdef ras_t *ras = &services[machine.number]
    cdef port_t *port
    os_lock(&ras.lock)
    port = ras.first
    while port != NULL and (port.receive == RECEIVE_NONE or port.receive_buffer != buffer):
        port = port.next
    os_unlock(&ras.lock)
    return port != NULL


cdef bint block_of(session_t *session, uint64_t address, uint64_t *size) noexcept nogil:
    """Whether a live block of the session starts at an address, and how many bytes it has."""
    cdef machine_t *machine = session.machine
    cdef note_t *note
    cdef block_t block
    if pool_kind_of(machine, address) != POOL_RAS:
        return False
    if not pool_block_at(machine.pools[POOL_RAS], address, &block) or block.address != address:
        return False
    if block.state != RECORD_LIVE and block.state != RECORD_HELD and block.state != RECORD_EXPORTED:
        return False
    note = note_at(machine, POOL_RAS, address)
    size[0] = block.size
    return (0 if note == NULL else note.owner) == session.slot


cdef uint32_t ras_free_buffer(session_t *session, uint64_t buffer) noexcept nogil:
    cdef machine_t *machine = session.machine
    cdef pool_t *pool
    cdef uint32_t status = keeper(session, buffer)
    cdef int verdict
    if status:
        return status
    pool = machine.pools[POOL_RAS]
    if pool == NULL:
        return ERROR_BUFFER_INVALID
    verdict = heap_free(heap_now(pool), pool, buffer)
    if verdict == VERDICT_EXPORTED:
        # Dead for every routine now; its memory serves again after the last view of it.
        verdict = pool_free_ex(pool, buffer, FREE_DEFER)
    return 0 if verdict == VERDICT_LIVE else ERROR_BUFFER_INVALID


# ---- ports ------------------------------------------------------------------------------------------

cdef port_t *ports_free = NULL              # with the GIL


cdef port_t *port_of(machine_t *machine, uint64_t handle) noexcept nogil:
    """The port of a handle, the machine's lock held; or NULL."""
    cdef port_t *port = <port_t *>handle_find(machine, handle, HANDLE_PORT, 0)
    if port == NULL:
        return NULL
    os_lock(&services[machine.number].lock)
    if port.handle != handle or port.machine != machine:
        os_unlock(&services[machine.number].lock)
        return NULL
    return port


cdef inline void port_unlock(port_t *port) noexcept nogil:
    os_unlock(&services[port.machine.number].lock)


cdef uint64_t receive_end(port_t *port) noexcept nogil:
    """A waiting receive becomes one to be retrieved: the event that is to be set once the lock is free, or 0."""
    if port.receive != RECEIVE_WAITING:
        return 0
    due_remove(port.machine, &port.deadline)
    port.receive = RECEIVE_READY
    return port.event


cdef void deadline_passed(machine_t *machine, void *context, uint64_t tick) noexcept nogil:
    cdef port_t *port = <port_t *>context
    cdef uint64_t event = 0
    os_lock(&services[machine.number].lock)
    # Between the clock and this lock the receive may have ended, and another begun.
    if port.machine == machine and port.receive == RECEIVE_WAITING and port.deadline.tick == tick:
        event = receive_end(port)
    os_unlock(&services[machine.number].lock)
    if event:
        event_set(machine, event)


cdef bint port_deliver(machine_t *machine, uint64_t handle, const void *data, uint64_t size) noexcept nogil:
    """Bytes came. False: the port is down or closed, or there is no memory."""
    cdef port_t *port = port_of(machine, handle)
    cdef uint64_t event = 0
    cdef uint64_t capacity
    cdef void *grown
    cdef bint is_there
    if port == NULL:
        return False
    is_there = port.down == 0
    if is_there and size != 0:
        if port.head + port.count + size > port.capacity:
            if port.count:
                memmove(port.queue, port.queue + port.head, port.count)
            port.head = 0
        if port.count + size > port.capacity:
            capacity = 2 * (port.count + size)
            grown = realloc(port.queue, capacity)
            is_there = grown != NULL
            if is_there:
                port.queue = <uint8_t *>grown
                port.capacity = capacity
        if is_there:
            memcpy(port.queue + port.head + port.count, data, size)
            port.count += size
            event = receive_end(port)
    port_unlock(port)
    if event:
        event_set(machine, event)
    return is_there


cdef bint port_drop(machine_t *machine, uint64_t handle, uint32_t status) noexcept nogil:
    """The connection ended. False: it had before, or the port is closed."""
    cdef port_t *port = port_of(machine, handle)
    cdef uint64_t event = 0
    cdef bint was_up
    if port == NULL:
        return False
    was_up = port.down == 0
    if was_up:
        port.down = status
        event = receive_end(port)
    port_unlock(port)
    if event:
        event_set(machine, event)
    return was_up


cdef uint32_t ras_send_buffer(session_t *session, uint64_t handle, uint64_t buffer, uint32_t size) noexcept nogil:
    cdef machine_t *machine = session.machine
    cdef port_t *port = port_of(machine, handle) if session.is_live else NULL
    cdef uint8_t copied[RAS_BUFFER_MAX]
    cdef void *data = copied
    cdef uint32_t down
    cdef uint64_t available
    cdef bint is_block
    if port == NULL:
        return ERROR_INVALID_PORT_HANDLE
    down = port.down
    port_unlock(port)
    is_block = block_of(session, buffer, &available)
    if not is_block:
        if not machine.quirks & QUIRK_RAS_SEND_ANY or buffer == 0:
            return ERROR_BUFFER_INVALID
        available = size
    if size > available:
        return ERROR_BUFFER_INVALID
    if size == 0:
        return 0
    if down:
        return ERROR_PORT_DISCONNECTED
    if size > RAS_BUFFER_MAX:
        data = malloc(size)
        if data == NULL:
            return ERROR_BUFFER_INVALID
    if machine.is_guest:
        if guest_read(machine, buffer, data, size) != 0:
            memset(data, 0, size)
    elif is_block:
        memcpy(data, <const void *>buffer, size)
    elif memory_read(<const void *>buffer, data, size) != 0:
        # Nobody vouches for this memory, and it is not there.
        down = ERROR_BUFFER_INVALID
    if down == 0:
        down = transport_send(machine, handle, data, size)
    if data != <void *>copied:
        free(data)
    return down


cdef uint32_t ras_receive_buffer(session_t *session, uint64_t handle, uint64_t buffer, uint32_t *size,
                                 uint32_t timeout_ms, uint64_t event) noexcept nogil:
    cdef machine_t *machine = session.machine
    cdef port_t *port = port_of(machine, handle) if session.is_live else NULL
    cdef uint64_t available
    if port == NULL:
        return ERROR_INVALID_PORT_HANDLE
    port_unlock(port)
    if size == NULL:
        return ERROR_INVALID_PARAMETER
    if not block_of(session, buffer, &available) or available == 0:
        return ERROR_BUFFER_INVALID
    # The caller's events may run Python: without the lock.
    if not event_is_valid(machine, event):
        return ERROR_EVENT_INVALID
    port = port_of(machine, handle)
    if port == NULL:
        return ERROR_INVALID_PORT_HANDLE
    if port.receive != RECEIVE_NONE:
        port_unlock(port)
        return ERROR_ASYNC_REQUEST_PENDING
    port.receive = RECEIVE_WAITING
    port.receiver = session
    port.receive_buffer = buffer
    port.receive_size = available
    port.event = event
    if port.count or port.down or timeout_ms == 0:
        receive_end(port)
    else:
        event = 0
        if timeout_ms != UINT32_MAX:
            port.deadline.call = deadline_passed
            port.deadline.context = port
            due_add(machine, &port.deadline, clock_now(machine) + <uint64_t>timeout_ms * TICKS_PER_MILLISECOND)
    port_unlock(port)
    size[0] = 0
    if event:
        event_set(machine, event)
    return 0


cdef uint32_t ras_retrieve_buffer(session_t *session, uint64_t handle, uint64_t buffer, uint32_t *size) noexcept nogil:
    cdef machine_t *machine = session.machine
    cdef port_t *port = port_of(machine, handle) if session.is_live else NULL
    cdef uint8_t copied[RAS_BUFFER_MAX]
    cdef uint64_t available = 0
    cdef uint32_t status = 0
    cdef uint32_t count = 0
    cdef bint is_drained = False
    if port == NULL:
        return ERROR_INVALID_PORT_HANDLE
    if size == NULL:
        status = ERROR_INVALID_PARAMETER
    elif not block_of(session, buffer, &available) or port.receive == RECEIVE_NONE:
        status = ERROR_BUFFER_INVALID
    elif port.receive == RECEIVE_WAITING:
        status = PENDING
    elif port.count:
        count = <uint32_t>min(port.count, port.receive_size)
        if available < count:
            size[0] = count
            count = 0
            status = ERROR_BUFFER_TOO_SMALL
        else:
            memcpy(copied, port.queue + port.head, count)
            is_drained = port.count >= QUEUE_BYTES and port.count - count < QUEUE_BYTES
            port.head += count
            port.count -= count
            port.receive = RECEIVE_NONE
    elif port.down:
        port.receive = RECEIVE_NONE
        status = port.down
    elif not machine.quirks & QUIRK_RAS_EMPTY_WINDOWS2000:
        port.receive = RECEIVE_NONE
        status = ERROR_REQUEST_TIMEOUT
    elif available == 0:
        size[0] = 1
        status = ERROR_BUFFER_TOO_SMALL
    else:
        copied[0] = 0
        count = 1
        port.receive = RECEIVE_NONE
    port_unlock(port)
    if is_drained:
        clock_wake(machine)
    if count == 0:
        return status
    if machine.is_guest:
        if guest_write(machine, buffer, copied, count) != 0:
            return ERROR_BUFFER_INVALID
    else:
        memcpy(<void *>buffer, copied, count)
    size[0] = count
    return 0


cdef uint32_t ras_set_comm_settings(session_t *session, uint64_t handle, const void *given, uint64_t reserved
                                    ) noexcept nogil:
    cdef machine_t *machine = session.machine
    cdef port_t *port = port_of(machine, handle) if session.is_live else NULL
    cdef comm_settings_t settings
    if port == NULL:
        return ERROR_INVALID_PORT_HANDLE
    port_unlock(port)
    if reserved != 0 or given == NULL:
        return ERROR_INVALID_PARAMETER
    memcpy(&settings, given, sizeof(settings))
    if settings.size != sizeof(settings):
        return ERROR_WRONG_INFO_SPECIFIED
    # The Windows words: no, odd, even, mark, space; 1, 1.5, 2.
    if settings.parity > 4 or settings.stop > 2 or settings.byte_size < 5 or settings.byte_size > 8:
        return ERROR_CANNOT_SET_PORT_INFO
    return transport_settings(machine, handle, &settings)


# ---- transports: Python's ---------------------------------------------------------------------------

cdef object port_object(machine_t *machine, uint64_t handle):
    """The Port of a handle, or None."""
    cdef port_t *port = port_of(machine, handle)
    cdef PyObject *found
    if port == NULL:
        return None
    found = port.object
    port_unlock(port)
    return None if found == NULL else <object>found


cdef uint32_t transport_send(machine_t *machine, uint64_t handle, const void *data, uint32_t size) noexcept with gil:
    cdef object port = port_object(machine, handle)
    if port is None:
        return ERROR_INVALID_PORT_HANDLE
    try:
        (<Port>port).transport.send(PyBytes_FromStringAndSize(<const char *>data, size))
        return 0
    except OSError:
        port_drop(machine, handle, ERROR_REMOTE_DISCONNECTION)
    except BaseException:
        callback_raised(machine, port)
        port_drop(machine, handle, ERROR_HARDWARE_FAILURE)
    return ERROR_PORT_DISCONNECTED


cdef uint32_t transport_settings(machine_t *machine, uint64_t handle, const comm_settings_t *given) noexcept with gil:
    cdef object port = port_object(machine, handle)
    if port is None:
        return ERROR_INVALID_PORT_HANDLE
    try:
        settings = RasCommSettings(given.size, given.parity, given.stop, given.byte_size, given.align)
        if (<Port>port).transport.set_comm_settings(settings):
            (<Port>port).settings = settings
            return 0
    except BaseException:
        callback_raised(machine, port)
    return ERROR_CANNOT_SET_PORT_INFO


# ---- machines ---------------------------------------------------------------------------------------

cdef ras_t *services = <ras_t *>calloc(MACHINES_MAX, sizeof(ras_t))         # by number of the machine
if services == NULL:
    raise MemoryError("no memory for the ports of RAS")


cdef int made(machine_t *machine) except -1:
    cdef session_t *own = ras_own_session(machine)
    os_lock_init(&services[machine.number].lock)
    own.machine = machine
    own.is_live = 1
    if machine.is_numbered:
        machine.slow |= RAS_WATCHES
    return 0


cdef void closing(machine_t *machine) noexcept:
    cdef ras_t *ras = &services[machine.number]
    cdef uint32_t slot
    cdef object service, port
    ras_own_session(machine).is_live = 0
    if is_finalizing():
        return
    for slot in range(1, SESSIONS + 1):
        if sessions[slot].is_live and sessions[slot].machine == machine:
            session_end(slot)
    if ras.service != NULL:
        service = <object>ras.service
        Py_DECREF(ras.service)
        ras.service = NULL
        clock_waker_set(machine, NULL, NULL)
        try:
            service.stop(not (<MachineBase>machine.owner).is_lost)
        except BaseException:
            callback_raised(machine, service)
    while ras.first != NULL:
        port = <object>ras.first.object
        port_close(ras.first, ras.first.handle)
        try:
            (<Port>port).transport.close()
        except BaseException:
            callback_raised(machine, port)


cdef const char *check(machine_t *machine) noexcept:
    cdef ras_t *ras = &services[machine.number]
    cdef const char *broken = NULL
    cdef port_t *port
    os_lock(&ras.lock)
    port = ras.first
    while port != NULL:
        if port.machine != machine or handle_find(machine, port.handle, HANDLE_PORT, 0) != <void *>port:
            broken = b"ras: a port of the machine has no handle"
        if port.head + port.count > port.capacity:
            broken = b"ras: a port has more data than room"
        if port.receive == RECEIVE_WAITING and (port.count or port.down):
            broken = b"ras: a receive waits for what has come"
        if port.receive != RECEIVE_WAITING and port.deadline.is_queued:
            broken = b"ras: a deadline has no receive"
        port = port.next
    os_unlock(&ras.lock)
    return broken


cdef void forked(machine_t *machine) noexcept nogil:
    """A thread that had the lock is gone, and may have been in the middle of a receive."""
    cdef ras_t *ras = &services[machine.number]
    cdef port_t *port = ras.first
    if os_trylock(&ras.lock):
        os_unlock(&ras.lock)
        return
    os_lock_init(&ras.lock)
    while port != NULL:
        port.head = port.count = 0
        port = port.next


cdef void session_end(uint32_t slot) noexcept:
    """The pointers of a slot answer for no session; what it holds is free."""
    cdef session_t *session = &sessions[slot]
    cdef machine_t *machine = session.machine
    cdef ras_t *ras = &services[machine.number]
    cdef MachineBase owner = <MachineBase>machine.owner
    cdef note_t *note
    cdef port_t *port
    cdef uint64_t event = 1
    while event:
        event = 0
        os_lock(&ras.lock)
        session.is_live = 0
        port = ras.first
        while port != NULL and (port.receive == RECEIVE_NONE or port.receiver != session):
            port = port.next
        if port != NULL:
            event = port.event
            receive_end(port)
            port.receive = RECEIVE_NONE
        os_unlock(&ras.lock)
        if event:
            event_set(machine, event)
    try:
        for block in () if owner.ras_pool is None else owner.ras_pool.live():
            note = note_at(machine, POOL_RAS, block.address)
            if note != NULL and note.owner == slot:
                address_give(owner.ras_pool, block.address, FREE_DEFER)
    except BaseException:
        # No memory for a list, or a guest's on_unmap raised.
        callback_raised(machine, owner)
    session.machine = &nowhere
    _slots.append(slot)


cdef bint port_close(port_t *port, uint64_t handle) noexcept:
    """Its handle is none any more; the struct may serve another. False: another thread was faster."""
    global ports_free
    cdef machine_t *machine = port.machine
    cdef ras_t *ras = &services[machine.number]
    cdef port_t **place = &ras.first
    cdef uint64_t event
    handle_close(machine, handle, HANDLE_PORT)
    os_lock(&ras.lock)
    if port.handle != handle or port.machine != machine:
        os_unlock(&ras.lock)
        return False
    event = receive_end(port)
    port.receive = RECEIVE_NONE
    while place[0] != port:
        place = &place[0].next
    place[0] = port.next
    port.handle = 0
    port.object = NULL
    free(port.queue)
    port.queue = NULL
    port.head = port.count = port.capacity = 0
    os_unlock(&ras.lock)
    if event:
        event_set(machine, event)
    port.next = ports_free
    ports_free = port
    return True


# Numbers of sessions that are not open, the one that was open last at the end.
cdef object _slots = deque(range(1, SESSIONS + 1))


cdef int begin() except -1:
    cdef family_calls_t calls
    cdef uint32_t i
    # A closed machine's struct serves another later; until then its own session is an ended one.
    for i in range(<uint32_t>MACHINES_MAX):
        own_sessions[i].machine = first_machine + i
    for i in range(<uint32_t>SESSIONS + 1):
        sessions[i].machine = &nowhere
        sessions[i].slot = i
    memset(&calls, 0, sizeof(calls))
    calls.made = made
    calls.closing = closing
    calls.check = check
    calls.forked = forked
    return family_register(FAMILY_RAS, &calls)


begin()


# ---- Python -------------------------------------------------------------------------------------------

cdef PyObject *got = NULL
# Of every size that can be granted.
cdef tuple sizes = tuple(range(RAS_BUFFER_MAX + 1))


cdef object buffer_get(MachineBase machine, session_t *session, object size):
    """(status, buffer, size) of a new block."""
    cdef uint32_t wanted = dword_of_argument(size, "size")
    cdef Pool pool = machine.ras_pool
    cdef PyObject *taken = NULL
    cdef object buffer
    cdef bint is_kept
    cdef int refusal = 0
    # Made first: what fails after a block is there would lose it.
    cdef object result = result_again(&got, 3)
    result_put(<PyObject *>result, 0, <object>status_zero(SPACE_RAS))
    if rarely(pool is None):
        pool = machine_pool(machine, POOL_RAS)
    if rarely(wanted > RAS_BUFFER_MAX):
        if machine.machine.quirks & QUIRK_RAS_OVERSIZE_REFUSE:
            return status_object(SPACE_RAS, ERROR_OUT_OF_BUFFERS), None, size
        wanted = RAS_BUFFER_MAX
    if not rarely(machine.machine.slow & RAS_REFUSES and pool_refuses(machine.machine, POOL_RAS)):
        taken = buffer_take(pool, wanted, &refusal)
    if rarely(taken == NULL):
        if refusal == REFUSAL_CLOSED:
            machine_is_open_or_raise(machine)
        return status_object(SPACE_RAS, ERROR_OUT_OF_BUFFERS), None, size
    if rarely(is_noted(machine.machine)):
        os_lock(&services[machine.machine.number].lock)
        is_kept = block_keep(session, machine.machine, buffer_address(<Buffer>taken), wanted)
        os_unlock(&services[machine.machine.number].lock)
        if not is_kept:
            buffer = <object>taken
            Py_DECREF(taken)
            buffer_give(pool, <Buffer>buffer, FREE_DEFER)
            return status_object(SPACE_RAS, ERROR_OUT_OF_BUFFERS), None, size
    result_put(<PyObject *>result, 2, <object>PyTuple_GET_ITEM(<PyObject *>sizes, wanted))
    result_hand_over(<PyObject *>result, 1, taken)
    return result


def RasGetBuffer(size):
    """Allocates a buffer for sending or receiving data over a port, from the current machine's own session.

    Parameters
    ----------
    size : int
        In: bytes that are wanted. Modulo 2**32; 0 makes a buffer of its own.

    Returns
    -------
    status : RasStatus
        ERROR_SUCCESS; or ERROR_OUT_OF_BUFFERS: RAS cannot allocate any more buffer space, because the machine's count
        (``ras_buffers``) or bytes (``ras_bytes``) are used up, or it was told to refuse.
    buffer : Buffer or None
        Out: the buffer, whose bytes are what they happen to be; None unless ERROR_SUCCESS.
    size : int
        Out: bytes that it has; unless ERROR_SUCCESS, what was given.

    Raises
    ------
    TypeError, OverflowError
        `size` is no int, or more than one wrap away from 32 bits.
    ValueError
        The machine is closed.

    Notes
    -----
    The maximum buffer size that can be obtained is 1500 bytes: more is cut to that, or with
    ``quirks={"ras_oversize": "refuse"}`` answered with ERROR_OUT_OF_BUFFERS. Losing the Buffer frees nothing: the
    machine owns the block until RasFreeBuffer, and `Machine.live` lists it.

    A custom script calls this through a function pointer, a parameter of its RasCustomScriptExecute. In C and through
    ctypes ERROR_INVALID_PARAMETER is answered for a NULL ppBuffer or pdwSize; on failure *ppBuffer is NULL and
    *pdwSize as it was.

    IRQL: a routine of user mode, which does not look at the thread's. Any thread may call it.

    Source: ras.h, https://learn.microsoft.com/windows/win32/api/ras/nc-ras-pfnrasgetbuffer
    """
    cdef MachineBase machine = <MachineBase>machine_now()
    return buffer_get(machine, ras_own_session(machine.machine), size)


cdef object buffer_free(MachineBase machine, session_t *session, object given, int flags):
    """RasFreeBuffer of anything."""
    cdef uint64_t address
    cdef PyObject *held
    cdef uint32_t status = ERROR_BUFFER_INVALID
    cdef int verdict = VERDICT_FOREIGN
    address_of_argument(given, &address, &held)
    machine_is_open_or_raise(machine)
    # The address of a dead Buffer may be another block's by now.
    if pool_kind_of(machine.machine, address) == POOL_RAS and (held == NULL or buffer_address(<Buffer>held) != 0):
        status = keeper(session, address)
        if status == 0 and held != NULL:
            verdict = buffer_give(machine.ras_pool, <Buffer>held, flags)
        elif status == 0:
            verdict = address_give(machine.ras_pool, address, flags)
        if verdict == VERDICT_EXPORTED:
            raise views_error("RasFreeBuffer", f"the Buffer at {address:#x}")
        if status == 0 and verdict != VERDICT_LIVE:
            status = ERROR_BUFFER_INVALID
    return status_object(SPACE_RAS, status)


def RasFreeBuffer(buffer):
    """Releases a buffer that RasGetBuffer allocated, in the current machine's own session.

    Parameters
    ----------
    buffer : Buffer, int or None
        In: the buffer, or its address.

    Returns
    -------
    RasStatus
        ERROR_SUCCESS. ERROR_BUFFER_INVALID: it is no live buffer of RasGetBuffer in this session: None (NULL), freed
        before, interior, another session's, family's or machine's; nothing happens. ERROR_INVALID_PORT_HANDLE: the
        session whose pointer was called has ended; its buffers went with it.

    Raises
    ------
    BufferError
        Views of the Buffer are alive; nothing happens. Through C and ctypes the buffer is dead at once, and its memory
        serves again after the last view.
    TypeError, OverflowError
        `buffer` is none of these.
    ValueError
        The machine is closed.

    Notes
    -----
    The memory must have been obtained by RasGetBuffer. An address is all that remains of a block whose Buffer was
    lost; one that was handed out again is the new block's, while an old Buffer stays dead. A custom script calls this
    through a function pointer, a parameter of its RasCustomScriptExecute.

    IRQL: a routine of user mode, which does not look at the thread's. Any thread may call it.

    Source: ras.h, https://learn.microsoft.com/windows/win32/api/ras/nc-ras-pfnrasfreebuffer
    """
    cdef MachineBase machine = <MachineBase>machine_now()
    if (type(buffer) is Buffer and machine.ras_pool is not None and not machine.machine.slow & RAS_WATCHES
            and buffer_give(machine.ras_pool, <Buffer>buffer, 0) == VERDICT_LIVE):
        return status_object(SPACE_RAS, 0)
    return buffer_free(machine, ras_own_session(machine.machine), buffer, 0)


def buffer_release(MachineBase machine, buffer):
    """RasFreeBuffer at the end of `with ras.buffer()`: also under views.

    Parameters
    ----------
    machine : Machine
        Whose own session the buffer is of.
    buffer : Buffer

    Returns
    -------
    RasStatus
    """
    return buffer_free(machine, ras_own_session(machine.machine), buffer, FREE_DEFER)


class RasCommSettings(NamedTuple):
    """RASCOMMSETTINGS: how a serial line is set.

    Source: ras.h, https://learn.microsoft.com/windows/win32/api/ras/ns-ras-rascommsettings
    """

    dwSize: int = 8
    """Bytes that the structure has in C: 8."""
    bParity: int = 0
    """0 to 4: none, odd, even, mark, space."""
    bStop: int = 0
    """0 to 2: 1, 1.5, 2 stop bits."""
    bByteSize: int = 8
    """Bits of a byte, 5 to 8."""
    bAlign: int = 0
    """Not used."""


cdef PyObject *received = NULL
cdef PyObject *retrieved = NULL


cdef uint64_t number_of_argument(object value, bint is_buffer) except? 0xFFFFFFFFFFFFFFFF:
    """A handle or address; of a dead Buffer one that is no block's, because its own may be another's by now."""
    cdef uint64_t number
    cdef PyObject *held
    address_of_argument(value, &number, &held)
    return 0 if is_buffer and held != NULL and buffer_address(<Buffer>held) == 0 else number


cdef object data_send(MachineBase machine, session_t *session, object port, object given, object size):
    cdef uint64_t handle = number_of_argument(port, False)
    cdef uint32_t count = dword_of_argument(size, "size")
    cdef uint64_t address
    cdef uint32_t status
    cdef bint is_any
    cdef bint has_view = False
    cdef Py_buffer view
    machine_is_open_or_raise(machine)
    is_any = machine.machine.quirks & QUIRK_RAS_SEND_ANY and not machine.machine.is_guest
    if is_any and type(given) is not Buffer and PyObject_CheckBuffer(given):
        PyObject_GetBuffer(given, &view, PyBUF_SIMPLE)
        has_view = True
        address = <uint64_t>view.buf if count <= <uint64_t>view.len else 0
    else:
        address = number_of_argument(given, True)
    outer = callbacks_enter(machine)
    try:
        status = ras_send_buffer(session, handle, address, count)
    finally:
        if has_view:
            PyBuffer_Release(&view)
        callbacks_leave(machine, outer)
    return status_object(SPACE_RAS, status)


cdef object data_receive(MachineBase machine, session_t *session, object port, object given, object timeout_ms,
                         object event):
    cdef uint64_t handle = number_of_argument(port, False)
    cdef uint64_t address = number_of_argument(given, True)
    cdef uint32_t timeout = dword_of_argument(timeout_ms, "timeout_ms")
    cdef uint64_t signalled = number_of_argument(event, False)
    cdef uint32_t size = 0
    cdef uint32_t status
    machine_is_open_or_raise(machine)
    outer = callbacks_enter(machine)
    try:
        status = ras_receive_buffer(session, handle, address, &size, timeout, signalled)
    finally:
        callbacks_leave(machine, outer)
    return result_of_two(&received, status_object(SPACE_RAS, status), size if status == 0 else None)


cdef object data_retrieve(MachineBase machine, session_t *session, object port, object given):
    cdef uint64_t handle = number_of_argument(port, False)
    cdef uint64_t address = number_of_argument(given, True)
    cdef uint32_t size = 0
    cdef uint32_t status
    machine_is_open_or_raise(machine)
    outer = callbacks_enter(machine)
    try:
        status = ras_retrieve_buffer(session, handle, address, &size)
    finally:
        callbacks_leave(machine, outer)
    return result_of_two(&retrieved, status_object(SPACE_RAS, status),
                         size if status == 0 or status == ERROR_BUFFER_TOO_SMALL else None)


cdef object settings_set(MachineBase machine, session_t *session, object port, object given, object reserved):
    cdef uint64_t handle = number_of_argument(port, False)
    cdef uint64_t other = number_of_argument(reserved, False)
    cdef comm_settings_t settings
    cdef uint32_t status
    if given is not None:
        for name in RasCommSettings._fields:
            if not hasattr(given, name):
                raise TypeError(f"settings is a RasCommSettings or has its members, not {type(given).__name__} "
                                f"({given!r}), which has no {name}")
        settings.size = dword_of_argument(given.dwSize, "dwSize")
        settings.parity = <uint8_t>unsigned_of_argument(given.bParity, "bParity", 8)
        settings.stop = <uint8_t>unsigned_of_argument(given.bStop, "bStop", 8)
        settings.byte_size = <uint8_t>unsigned_of_argument(given.bByteSize, "bByteSize", 8)
        settings.align = <uint8_t>unsigned_of_argument(given.bAlign, "bAlign", 8)
    machine_is_open_or_raise(machine)
    outer = callbacks_enter(machine)
    try:
        status = ras_set_comm_settings(session, handle, NULL if given is None else &settings, other)
    finally:
        callbacks_leave(machine, outer)
    return status_object(SPACE_RAS, status)


def RasSendBuffer(port, buffer, size):
    """Sends a buffer's bytes over a port to the server.

    Parameters
    ----------
    port : Port or int
        In: the port, or its handle.
    buffer : Buffer, int or None
        In: a buffer of RasGetBuffer, or its address.
    size : int
        In: how many of its bytes; 0 sends nothing. Modulo 2**32.

    Returns
    -------
    RasStatus
        ERROR_SUCCESS: they are with the port's transport. ERROR_INVALID_PORT_HANDLE: no open port of this machine, or
        the session has ended. ERROR_BUFFER_INVALID: no live buffer of this session, or `size` is more than it has.
        ERROR_PORT_DISCONNECTED: the connection has ended. They are looked for in this order.

    Raises
    ------
    TypeError, OverflowError
        An argument is none of these.
    ValueError
        The machine is closed.
    Exception
        What the transport raised, unless it is an OSError, which ends the connection.

    Notes
    -----
    The caller keeps the buffer, and frees it. With ``quirks={"ras_send": "any"}`` any memory is sent, as by a sample
    of the SDK that sends from its stack; here also what has the buffer protocol. A guest without on_read sends zeros.

    IRQL: a routine of user mode, which does not look at the thread's. Any thread may call it.

    Source: ras.h, https://learn.microsoft.com/windows/win32/api/ras/nc-ras-pfnrassendbuffer
    """
    cdef MachineBase machine = <MachineBase>machine_now()
    return data_send(machine, ras_own_session(machine.machine), port, buffer, size)


def RasReceiveBuffer(port, buffer, timeout_ms, event):
    """Begins to receive from a port, and returns at once: the event is set when RasRetrieveBuffer has an answer.

    Parameters
    ----------
    port : Port or int
        In: the port, or its handle.
    buffer : Buffer, int or None
        In: a buffer of RasGetBuffer, of at least one byte; its size is the most that this receive brings. It cannot be
        freed until RasRetrieveBuffer has answered.
    timeout_ms : int
        In: milliseconds of the machine's clock after which the wait ends; 0 at once, 0xFFFFFFFF never.
    event : Event or int
        In: set when data came, when the connection ended, or when the time is over.

    Returns
    -------
    status : RasStatus
        ERROR_SUCCESS: accepted. ERROR_INVALID_PORT_HANDLE: no open port of this machine, or the session has ended.
        ERROR_BUFFER_INVALID: no live buffer of this session, or one without bytes. ERROR_EVENT_INVALID: no event of the
        machine, or of its `events`. ERROR_ASYNC_REQUEST_PENDING: a receive is outstanding on the port. They are looked
        for in this order.
    size : int or None
        Out: 0, because RasRetrieveBuffer tells the size; None unless ERROR_SUCCESS.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As RasSendBuffer.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL pdwSize, after the port was looked at.

    IRQL: a routine of user mode, which does not look at the thread's. Any thread may call it.

    Source: ras.h, https://learn.microsoft.com/windows/win32/api/ras/nc-ras-pfnrasreceivebuffer
    """
    cdef MachineBase machine = <MachineBase>machine_now()
    return data_receive(machine, ras_own_session(machine.machine), port, buffer, timeout_ms, event)


def RasRetrieveBuffer(port, buffer):
    """Puts what RasReceiveBuffer waited for into a buffer, once its event is set.

    Parameters
    ----------
    port : Port or int
        In: the port, or its handle.
    buffer : Buffer, int or None
        In: a buffer of RasGetBuffer: that of RasReceiveBuffer, or another. Its first bytes are written.

    Returns
    -------
    status : RasStatus
        ERROR_SUCCESS. ERROR_INVALID_PORT_HANDLE: no open port of this machine, or the session has ended.
        ERROR_BUFFER_INVALID: no live buffer of this session; or no receive is outstanding, perhaps because it was
        retrieved. PENDING: the event is not set yet. ERROR_BUFFER_TOO_SMALL: nothing was copied, and the receive stays.
        ERROR_REQUEST_TIMEOUT: the time was over. Without data once the connection has ended, why it did:
        ERROR_PORT_DISCONNECTED; ERROR_REMOTE_DISCONNECTION, the other side; ERROR_HARDWARE_FAILURE, the device;
        ERROR_USER_DISCONNECTION, somebody here.
    size : int or None
        Out: bytes that came; with ERROR_BUFFER_TOO_SMALL bytes that are needed; otherwise None.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As RasSendBuffer.

    Notes
    -----
    Data are answered before the end of the connection. With ``quirks={"ras_empty_receive": "windows2000"}`` a time that
    is over is ERROR_SUCCESS with one NUL byte. In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL
    pdwSize.

    IRQL: a routine of user mode, which does not look at the thread's. Any thread may call it.

    Source: ras.h, https://learn.microsoft.com/windows/win32/api/ras/nc-ras-pfnrasretrievebuffer
    """
    cdef MachineBase machine = <MachineBase>machine_now()
    return data_retrieve(machine, ras_own_session(machine.machine), port, buffer)


def RasSetCommSettings(port, settings, reserved=None):
    """Sets a port's parity, stop bits and byte size.

    Parameters
    ----------
    port : Port or int
        In: the port, or its handle.
    settings : RasCommSettings or None
        In: dwSize 8; bParity 0 to 4: none, odd, even, mark, space; bStop 0 to 2: 1, 1.5, 2; bByteSize 5 to 8; bAlign,
        which is not looked at. Any object with these attributes.
    reserved : None
        Must be None (NULL).

    Returns
    -------
    RasStatus
        ERROR_SUCCESS. ERROR_INVALID_PORT_HANDLE: no open port of this machine, or the session has ended.
        ERROR_INVALID_PARAMETER: `reserved` is not None, or `settings` is. ERROR_WRONG_INFO_SPECIFIED: dwSize is not 8.
        ERROR_CANNOT_SET_PORT_INFO: a number is out of range, or the transport refused. They are looked for in this
        order.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As RasSendBuffer.
    Exception
        What the transport raised.

    Notes
    -----
    The page says that nothing is answered, the prototype a DWORD. A custom script finds the pointer in its last
    parameter, RASCUSTOMSCRIPTEXTENSIONS.

    IRQL: a routine of user mode, which does not look at the thread's. Any thread may call it.

    Source: ras.h, https://learn.microsoft.com/windows/win32/api/ras/nc-ras-pfnrassetcommsettings
    """
    cdef MachineBase machine = <MachineBase>machine_now()
    return settings_set(machine, ras_own_session(machine.machine), port, settings, reserved)


cdef class Port(Reference):
    """A port of a machine: `machine.ras.open_port()` makes it. Losing the object closes it.

    The RAS routines take it, or its handle, as hPort. Its transport calls `deliver` and `drop`; the other methods are
    for who plays the world around it. Any thread may call any of them.

    Attributes
    ----------
    machine : Machine
    handle : int
        What C has as hPort.
    transport : Transport
        What its bytes go to.
    settings : RasCommSettings or None
        What RasSetCommSettings last set.
    """

    cdef readonly MachineBase machine
    cdef readonly uint64_t handle
    cdef readonly object transport
    cdef readonly object settings
    cdef port_t *port
    cdef object __weakref__

    def __init__(self, machine, transport):
        global ports_free
        cdef port_t *port
        cdef ras_t *ras
        if self.machine is not None:
            raise RuntimeError("this Port is made already: __init__ runs once")
        if not isinstance(machine, MachineBase):
            raise TypeError(f"machine is a Machine, not {type(machine).__name__} ({machine!r})")
        machine_is_open_or_raise(machine)
        port = ports_free
        if port == NULL:
            port = <port_t *>calloc(1, sizeof(port_t))
            if port == NULL:
                raise MemoryError("no memory for a port")
        else:
            ports_free = port.next
        self.transport = transport
        self.machine = machine
        self.port = port
        ras = &services[self.machine.machine.number]
        os_lock(&ras.lock)
        port.machine = self.machine.machine
        port.object = <PyObject *>self
        port.down = 0
        port.handle = handle_open(port.machine, HANDLE_PORT, port, 0)
        if port.handle != 0 and not ras_own_session(port.machine).is_live:
            # Without a GIL the machine's end may have begun since it was asked.
            handle_close(port.machine, port.handle, HANDLE_PORT)
            port.handle = 0
        if port.handle != 0:
            port.next = ras.first
            ras.first = port
        os_unlock(&ras.lock)
        if port.handle == 0:
            port.next = ports_free
            ports_free = port
            machine_is_open_or_raise(machine)
            raise MemoryError("no handle for a port")
        self.handle = port.handle
        # From now on blocks may have owners, and receives.
        os_lock(&port.machine.lock)
        port.machine.slow |= RAS_WATCHES
        os_unlock(&port.machine.lock)
        machine_renew(port.machine)

    def __del__(self):
        if not is_finalizing():
            self.close()

    def __repr__(self):
        return f"<Port {self.handle:#x}{'' if port_is_open(self) else ', closed'}>"

    cdef uint64_t number(self) except? 0:
        return self.handle

    @property
    def is_closed(self):
        """Whether `close` was called, or the machine closed."""
        return not port_is_open(self)

    @property
    def status(self):
        """ERROR_SUCCESS while it is connected, else why it is not: a RasStatus."""
        return status_object(SPACE_RAS, self.port.down if port_is_open(self) else ERROR_INVALID_PORT_HANDLE)

    @property
    def queued(self):
        """Bytes that came and were not retrieved."""
        return self.port.count if port_is_open(self) else 0

    @property
    def is_full(self):
        """Whether so many bytes wait to be retrieved that no more are read from the transport."""
        return self.port.count >= QUEUE_BYTES if port_is_open(self) else True

    def deliver(self, data):
        """Bytes from the other side: a transport calls this. An outstanding receive ends, and its event is set.

        Parameters
        ----------
        data : bytes-like
            At least one byte; none changes nothing.

        Returns
        -------
        bool
            False: the port is closed or not connected any more, and they are lost.
        """
        cdef Py_buffer view
        cdef bint is_there
        if not port_is_open(self):
            return False
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        outer = callbacks_enter(self.machine)
        try:
            is_there = port_deliver(self.machine.machine, self.handle, view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
            callbacks_leave(self.machine, outer)
        return is_there

    def drop(self, status=ERROR_PORT_DISCONNECTED):
        """Ends the connection: what came can be retrieved, then receives answer `status`. An outstanding receive ends,
        and its event is set.

        Parameters
        ----------
        status : RasStatus or int
            Why; default: ERROR_PORT_DISCONNECTED.

        Returns
        -------
        bool
            False: it had ended before.

        Raises
        ------
        ValueError
            `status` is ERROR_SUCCESS or PENDING, which are no ends.
        """
        cdef uint32_t why = dword_of_argument(status, "status")
        cdef bint was_up
        if why == 0 or why == PENDING:
            raise ValueError(f"status is {status!r}; a connection ends with a failure")
        if not port_is_open(self):
            return False
        outer = callbacks_enter(self.machine)
        try:
            was_up = port_drop(self.machine.machine, self.handle, why)
        finally:
            callbacks_leave(self.machine, outer)
        return was_up

    def fail(self):
        """The device fails: ERROR_HARDWARE_FAILURE. Returns as `drop`."""
        return self.drop(ERROR_HARDWARE_FAILURE)

    def hang_up(self):
        """Somebody here hangs up: ERROR_USER_DISCONNECTION, and the transport's `hang_up`. Returns as `drop`."""
        was_up = self.drop(ERROR_USER_DISCONNECTION)
        if was_up:
            self.transport.hang_up()
        return was_up

    def close(self):
        """Ends the port and closes its transport: its handle is none any more, an outstanding receive is forgotten, and
        its event set. Closing again does nothing."""
        if port_is_open(self) and port_close(self.port, self.handle):
            self.transport.close()


cdef bint port_is_open(Port port) noexcept:
    return port.machine is not None and port.port != NULL and port.port.handle == port.handle != 0 and (
        port.port.object == <PyObject *>port)


cdef class Session:
    """A session, with pointers of its own for a custom script: `machine.ras.open_session(port)` makes it.

    Its methods are the RAS routines through these pointers. Once it has ended its buffers are free; RasGetBuffer
    answers ERROR_OUT_OF_BUFFERS and the others ERROR_INVALID_PORT_HANDLE.

    Attributes
    ----------
    machine : Machine
    port : Port
    number : int
        From 1 to 64: the `owner` of its blocks in `Machine.live`.
    """

    cdef readonly MachineBase machine
    cdef readonly object port
    cdef readonly uint32_t number
    cdef bint is_over
    cdef object _pointers
    cdef object __weakref__

    def __init__(self, machine, port):
        if self.machine is not None:
            raise RuntimeError("this Session is made already: __init__ runs once")
        if not isinstance(port, Port):
            raise TypeError(f"port is a Port, not {type(port).__name__} ({port!r})")
        machine_is_open_or_raise(machine)
        if (<Port>port).machine is not machine or not port_is_open(port):
            raise ValueError(f"{port!r} is no open port of {machine!r}")
        if not _slots:
            from pybuf.errors import RasError
            from pybuf.status import RasStatus
            raise RasError("RasCustomScriptExecute", RasStatus.ERROR_SERVER_OUT_OF_RESOURCES,
                           f"{SESSIONS} sessions are open in this process; end one.")
        self.number = _slots.popleft()
        self.machine = machine
        self.port = port
        sessions[self.number].machine = self.machine.machine
        sessions[self.number].is_live = 1

    def __del__(self):
        if not is_finalizing():
            self.end()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.end()

    def __repr__(self):
        return f"<Session {self.number}{', ended' if self.is_ended else ''}>"

    @property
    def is_ended(self):
        """Whether `end` was called, or the machine closed."""
        return self.is_over or self.machine is None or self.machine.is_shut

    def end(self):
        """Ends it: its buffers are free, also those with views, whose memory serves again after the last one; its
        receive is forgotten, and the event set. Ending again does nothing."""
        if not self.is_ended:
            self.is_over = True
            session_end(self.number)

    def live(self):
        """Its live buffers.

        Returns
        -------
        list of Block
            The part of `Machine.live` that it owns.
        """
        if self.is_ended:
            return []
        return [block for block in self.machine.live() if block.routine == "RasGetBuffer"
                and block.owner == self.number]

    @property
    def pointers(self):
        """Its function pointers: a ctypes structure in the order of RasGetBuffer, RasFreeBuffer, RasSendBuffer,
        RasReceiveBuffer, RasRetrieveBuffer, RasSetCommSettings, whose members can be called. They stay callable when it
        has ended, and answer so; the next session with its `number` has the same."""
        if self._pointers is None:
            if not self.is_ended:
                machine_shared(self.machine)
            # The doors stand above this module.
            self._pointers = import_module("pybuf.windll").ras_pointers(f"session_{self.number}_")
        return self._pointers

    def RasGetBuffer(self, size):
        """As `pybuf.RasGetBuffer`, in this session. Once it has ended: ERROR_OUT_OF_BUFFERS."""
        if self.is_ended:
            dword_of_argument(size, "size")
            return status_object(SPACE_RAS, ERROR_OUT_OF_BUFFERS), None, size
        return buffer_get(self.machine, &sessions[self.number], size)

    def RasFreeBuffer(self, buffer):
        """As `pybuf.RasFreeBuffer`, in this session. Once it has ended: ERROR_INVALID_PORT_HANDLE."""
        if self.is_ended:
            number_of_argument(buffer, True)
            return status_object(SPACE_RAS, ERROR_INVALID_PORT_HANDLE)
        return buffer_free(self.machine, &sessions[self.number], buffer, 0)

    def RasSendBuffer(self, port, buffer, size):
        """As `pybuf.RasSendBuffer`, in this session. Once it has ended: ERROR_INVALID_PORT_HANDLE."""
        if self.is_ended:
            return status_object(SPACE_RAS, ERROR_INVALID_PORT_HANDLE)
        return data_send(self.machine, &sessions[self.number], port, buffer, size)

    def RasReceiveBuffer(self, port, buffer, timeout_ms, event):
        """As `pybuf.RasReceiveBuffer`, in this session. Once it has ended: ERROR_INVALID_PORT_HANDLE."""
        if self.is_ended:
            return status_object(SPACE_RAS, ERROR_INVALID_PORT_HANDLE), None
        return data_receive(self.machine, &sessions[self.number], port, buffer, timeout_ms, event)

    def RasRetrieveBuffer(self, port, buffer):
        """As `pybuf.RasRetrieveBuffer`, in this session. Once it has ended: ERROR_INVALID_PORT_HANDLE."""
        if self.is_ended:
            return status_object(SPACE_RAS, ERROR_INVALID_PORT_HANDLE), None
        return data_retrieve(self.machine, &sessions[self.number], port, buffer)

    def RasSetCommSettings(self, port, settings, reserved=None):
        """As `pybuf.RasSetCommSettings`, in this session. Once it has ended: ERROR_INVALID_PORT_HANDLE."""
        if self.is_ended:
            return status_object(SPACE_RAS, ERROR_INVALID_PORT_HANDLE)
        return settings_set(self.machine, &sessions[self.number], port, settings, reserved)


# ---- what polls sockets and the real clock: see ras.py ------------------------------------------------

cdef void wake(void *context) noexcept nogil:
    descriptor_write(<int><long long>context)


def service_of(MachineBase machine):
    """What polls a machine's sockets, or None."""
    machine_is_open_or_raise(machine)
    cdef ras_t *ras = &services[machine.machine.number]
    return None if ras.service == NULL else <object>ras.service


def service_set(MachineBase machine, service, int descriptor):
    """Keeps what polls a machine's sockets; a byte is written to `descriptor` when it has to look again. Its `stop`
    is called when the machine closes."""
    machine_is_open_or_raise(machine)
    cdef ras_t *ras = &services[machine.machine.number]
    if ras.service != NULL:
        raise RuntimeError("the machine has a service already")
    Py_INCREF(<PyObject *>service)
    ras.service = <PyObject *>service
    clock_waker_set(machine.machine, wake, <void *><long long>descriptor)


def transport_raised(Port port):
    """The exception that is handled came from the transport of a port, which nobody called: it is told to
    sys.unraisablehook, and the device has failed."""
    callback_raised(port.machine.machine, port)
    port_drop(port.machine.machine, port.handle, ERROR_HARDWARE_FAILURE)


def has_manual_clock(MachineBase machine):
    """Whether a machine's clock is moved by `advance` alone."""
    return bool(machine.machine.clock.is_manual)


def run_due(MachineBase machine):
    """Fires what is due on a machine's real clock.

    Returns
    -------
    float or None
        Seconds until more is due; None: nothing is, or the clock is manual.
    """
    cdef machine_t *behind = machine.machine
    cdef uint64_t next_tick, now
    if not behind.is_open or behind.clock.is_manual:
        return None
    with nogil:
        clock_run(behind, clock_now(behind))
        next_tick = clock_next(behind)
        now = clock_now(behind)
    if next_tick == <uint64_t>-1:
        return None
    return 0.0 if next_tick <= now else <double>(next_tick - now) / TICKS_PER_SECOND


def after_fork():
    """In the child of a fork: threads are gone, and ports are not connected any more.

    Returns
    -------
    list
        What polled the machines' sockets.
    """
    cdef list found = []
    cdef uint32_t i
    cdef port_t *port
    for i in range(<uint32_t>MACHINES_MAX):
        port = services[i].first
        while port != NULL:
            port_drop(port.machine, port.handle, ERROR_PORT_DISCONNECTED)
            port = port.next
        if services[i].service != NULL:
            clock_waker_set(first_machine + i, NULL, NULL)
            found.append(<object>services[i].service)
            Py_DECREF(services[i].service)
            services[i].service = NULL
    return found


# ---- custom scripts: see ras.py -----------------------------------------------------------------------

ctypedef uint32_t (*script_t)(uint64_t port, const void *phonebook, const void *entry, void *get, void *give,
                              void *send, void *receive, void *retrieve, void *window, void *params, void *extensions
                              ) noexcept nogil
ctypedef uint32_t (__stdcall *script_ms_t)(
    uint64_t port, const void *phonebook, const void *entry, void *get, void *give, void *send, void *receive,
    void *retrieve, void *window, void *params, void *extensions) noexcept nogil


# One function for each convention: gcc takes two calls in one function, which differ in nothing else, for the same.
cdef uint32_t call_platform(uint64_t called, uint64_t port, uint64_t *given) noexcept nogil:
    return (<script_t>called)(
        port, <void *>given[0], <void *>given[1], <void *>given[2], <void *>given[3], <void *>given[4],
        <void *>given[5], <void *>given[6], NULL, <void *>given[7], <void *>given[8])


cdef uint32_t __fastcall call_ms(uint64_t called, uint64_t port, uint64_t *given) noexcept nogil:
    return (<script_ms_t>called)(
        port, <void *>given[0], <void *>given[1], <void *>given[2], <void *>given[3], <void *>given[4],
        <void *>given[5], <void *>given[6], NULL, <void *>given[7], <void *>given[8])


def script_call(Port port, function, is_ms, phonebook, entry, pointers, params, extensions):
    """Calls a RasCustomScriptExecute of C, without the GIL.

    Parameters
    ----------
    port : Port
        Its machine is the one that the thread enters meanwhile.
    function : int
        Its address.
    is_ms : bool
        Whether it follows the Microsoft convention.
    phonebook, entry, params, extensions : int
        Addresses of the parameters.
    pointers : sequence of int
        The five functions.

    Returns
    -------
    int
        What it answers.
    """
    cdef MachineBase machine = port.machine
    cdef machine_t *before = machine_thread_entered()
    cdef uint64_t handle = port.handle
    cdef uint64_t called = function
    cdef uint64_t given[9]
    cdef bint in_ms = is_ms
    cdef uint32_t status
    cdef int i
    for i, value in enumerate((phonebook, entry, *pointers, params, extensions)):
        given[i] = value
    machine_thread_enter(machine_shared(machine))
    with nogil:
        status = call_ms(called, handle, given) if in_ms else call_platform(called, handle, given)
    machine_thread_enter(before)
    return status_object(SPACE_RAS, status)


def api_address():
    """Where the table of pybuf.h is."""
    # The doors stand above this module.
    return <uint64_t>PyCapsule_GetPointer(import_module("pybuf._doors").C_API, "pybuf.C_API")
