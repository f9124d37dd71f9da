"""The RAS routines: the C of each, then the function of Python."""

from cpython.object cimport PyObject
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memset

from poolcore cimport (
    FREE_DEFER, REFUSAL_CLOSED, VERDICT_EXPORTED, VERDICT_FOREIGN, VERDICT_LIVE, Buffer, Pool,
    address_give, buffer_address, buffer_give, buffer_take, heap_alloc, heap_free, heap_now, import_poolcore,
    pool_free_ex, pool_t,
)
from pybuf._machine cimport (
    FAMILY_RAS, MACHINES_MAX, POOL_RAS, QUIRK_RAS_OVERSIZE_REFUSE, ROUTINE_RasGetBuffer, MachineBase,
    address_of_argument, dword_of_argument, family_calls_t, family_register, first_machine, machine_is_open_or_raise,
    machine_now, machine_pool, machine_t, note_at, note_t, note_write, pool_kind_of, pool_refuses, result_of_three,
    status_object,
)
from pybuf._platform cimport rarely
from pybuf._status cimport (
    ERROR_BUFFER_INVALID, ERROR_INVALID_PARAMETER, ERROR_INVALID_PORT_HANDLE, ERROR_OUT_OF_BUFFERS, SPACE_RAS,
)

cdef extern from "Python.h":
    void Py_DECREF(PyObject *o)
    PyObject *PyTuple_GET_ITEM(PyObject *o, Py_ssize_t i)

import_poolcore()

sessions = <session_t *>calloc(SESSIONS + 1, sizeof(session_t))
own_sessions = <session_t *>calloc(MACHINES_MAX, sizeof(session_t))
if sessions == NULL or own_sessions == NULL:
    raise MemoryError("no memory for the sessions of RAS")


# ---- buffers ----------------------------------------------------------------------------------------

cdef inline bint is_noted(session_t *session) noexcept nogil:
    """Whether a block of the session needs a note."""
    return session.machine.is_numbered or session.machine.slow & RAS_WATCHES


cdef uint32_t ras_get_buffer_slow(session_t *session, uint64_t *buffer, uint32_t *size) noexcept nogil:
    cdef machine_t *machine = session.machine
    cdef pool_t *pool
    cdef uint64_t address
    cdef uint32_t granted
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
    if is_noted(session):
        note_write(machine, POOL_RAS, address, granted, ROUTINE_RasGetBuffer, <uint16_t>session.slot, 0, True)
        if not session.is_live:
            # It ended meanwhile, and its end may not have seen this block.
            heap_free(heap_now(pool), pool, address)
            return ERROR_OUT_OF_BUFFERS
    buffer[0] = address
    size[0] = granted
    return 0


cdef uint32_t keeper(session_t *session, uint64_t buffer) noexcept nogil:
    """Why a session may not free a block of the pool: 0, or the status."""
    cdef note_t *note
    if not session.is_live:
        return ERROR_INVALID_PORT_HANDLE
    if session.machine.slow & RAS_WATCHES:
        note = note_at(session.machine, POOL_RAS, buffer)
        if (0 if note == NULL else note.owner) != session.slot:
            return ERROR_BUFFER_INVALID
    return 0


cdef uint32_t ras_free_buffer_slow(session_t *session, uint64_t buffer) noexcept nogil:
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


# ---- machines ---------------------------------------------------------------------------------------

cdef int made(machine_t *machine) except -1:
    cdef session_t *own = ras_own_session(machine)
    own.machine = machine
    own.is_live = 1
    return 0


cdef void closing(machine_t *machine) noexcept:
    ras_own_session(machine).is_live = 0


cdef int begin() except -1:
    cdef family_calls_t calls
    cdef uint32_t i
    # A closed machine's struct serves another later; until then its own session is an ended one.
    for i in range(MACHINES_MAX):
        own_sessions[i].machine = first_machine + i
    for i in range(SESSIONS + 1):
        sessions[i].machine = first_machine
    memset(&calls, 0, sizeof(calls))
    calls.made = made
    calls.closing = closing
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
    cdef int refusal = 0
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
    buffer = <object>taken
    Py_DECREF(taken)
    if rarely(is_noted(session)):
        note_write(machine.machine, POOL_RAS, buffer_address(<Buffer>buffer), wanted, ROUTINE_RasGetBuffer,
                   <uint16_t>session.slot, 0, True)
    return result_of_three(&got, status_object(SPACE_RAS, 0), buffer,
                           <object>PyTuple_GET_ITEM(<PyObject *>sizes, wanted))


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
            raise BufferError(f"RasFreeBuffer: views of the Buffer at {address:#x} are alive, and nothing happened; "
                              f"release them (memoryview.release(), del array) and call again")
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
