"""The NetApi routines: blocks that NetApiBufferFree takes. Buffers first, the C of each routine, then its function of
Python; the producers after them, likewise.
"""

cimport cython
from cpython.buffer cimport PyObject_GetBuffer
from cpython.object cimport PyObject
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset, strchr

from poolcore cimport (
    FREE_DEFER, RECORD_EXPORTED, RECORD_HELD, RECORD_LIVE,
    REFUSAL_CLOSED, VERDICT_DOUBLE, VERDICT_EXPORTED, VERDICT_FOREIGN, VERDICT_LIVE,
    Buffer, Pool, address_give, block_t, buffer_address, buffer_adopt, buffer_give, buffer_take, heap_alloc, heap_free,
    heap_now, import_poolcore, pool_block_at, pool_engine, pool_free_ex, pool_realloc, pool_share, pool_size_of, pool_t,
    pool_verdict_of,
)
from pybuf._machine cimport (
    FAMILY_NETAPI, POOL_NETAPI, POOL_PRODUCED, QUIRK_NETAPI_BAD_POINTER_IGNORE, MachineBase, Reference,
    ROUTINE_DsGetDcNameW, ROUTINE_NetApiBufferAllocate, ROUTINE_NetApiBufferReallocate, ROUTINE_NetGetJoinInformation,
    ROUTINE_NetGroupEnum, ROUTINE_NetLocalGroupEnum, ROUTINE_NetLocalGroupGetMembers,
    ROUTINE_NetQueryDisplayInformation, ROUTINE_NetServerEnum, ROUTINE_NetServerGetInfo, ROUTINE_NetShareEnum,
    ROUTINE_NetUserEnum, ROUTINE_NetUserGetInfo, ROUTINE_NetUserGetLocalGroups, ROUTINE_NetWkstaGetInfo,
    ROUTINE_NetWkstaTransportEnum, ROUTINE_NetWkstaUserGetInfo, address_of_argument,
    callbacks_enter, callbacks_leave, dword_of_argument, family_calls_t, family_register, guest_call_begin,
    guest_call_end, guest_read, guest_write, machine_is_open_or_raise, machine_now, machine_pool,
    machine_t, note_at, note_t, note_write, pool_kind_of, pool_refuses, result_again, result_hand_over,
    result_of_two, result_put, status_object, status_zero, unsigned_of_argument, views_error,
)
from pybuf._platform cimport os_lock, os_lock_init, os_lock_t, os_unlock, rarely
from pybuf._status cimport (
    ERROR_ACCESS_DENIED, ERROR_BAD_NETPATH, ERROR_INVALID_COMPUTERNAME, ERROR_INVALID_DOMAINNAME, ERROR_INVALID_FLAGS,
    ERROR_INVALID_LEVEL, ERROR_INVALID_NAME, ERROR_INVALID_PARAMETER, ERROR_MORE_DATA, ERROR_NETWORK_UNREACHABLE,
    ERROR_NO_BROWSER_SERVERS_FOUND, ERROR_NO_SUCH_DOMAIN, ERROR_NOT_ENOUGH_MEMORY, ERROR_NOT_SUPPORTED,
    NERR_BufTooSmall, NERR_GroupNotFound, NERR_InvalidComputer, NERR_RemoteErr, NERR_ServerNotStarted,
    NERR_ServiceNotInstalled, NERR_Success, NERR_UserNotFound, NERR_WkstaNotStarted, RPC_X_NULL_REF_POINTER, SPACE_NET,
)

from collections import namedtuple
from uuid import UUID

from pybuf.layouts import COLUMNS, NETSETUP_JOIN_STATUS, STRUCTS, TABLES

cdef extern from "Python.h":
    ctypedef object (*allocfunc)(object type, Py_ssize_t count)
    ctypedef struct PyTypeObject:
        allocfunc tp_alloc
    void Py_DECREF(PyObject *o)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 widest)
    void *PyUnicode_DATA(object text)
    bint PyGC_Disable()
    bint PyGC_Enable()

import_poolcore()


# ---- the routines -----------------------------------------------------------------------------------

cdef inline bint is_refused(machine_t *machine) noexcept nogil:
    return rarely(machine.slow & NETAPI_SLOW) and pool_refuses(machine, POOL_NETAPI)


cdef uint32_t netapi_allocate_slow(machine_t *machine, uint32_t count, uint64_t *buffer) noexcept nogil:
    cdef pool_t *pool = machine.pools[POOL_NETAPI]
    cdef uint64_t address
    if buffer == NULL:
        return ERROR_INVALID_PARAMETER
    if pool == NULL or is_refused(machine):
        return ERROR_NOT_ENOUGH_MEMORY
    address = heap_alloc(heap_now(pool), pool, count)
    if address == 0:
        return ERROR_NOT_ENOUGH_MEMORY
    if machine.is_numbered:
        note_write(machine, POOL_NETAPI, address, count, ROUTINE_NetApiBufferAllocate, 0, 0, True)
    buffer[0] = address
    return 0


cdef uint32_t netapi_free_slow(machine_t *machine, uint64_t buffer) noexcept nogil:
    cdef int kind = pool_kind_of(machine, buffer)
    cdef pool_t *pool
    cdef int verdict = VERDICT_FOREIGN
    if buffer == 0:
        return 0
    if kind == POOL_NETAPI or kind == POOL_PRODUCED:
        pool = machine.pools[kind]
        verdict = heap_free(heap_now(pool), pool, buffer)
        if verdict == VERDICT_EXPORTED:
            # Dead for every routine now; its memory serves again after the last view of it.
            verdict = pool_free_ex(pool, buffer, FREE_DEFER)
    if verdict == VERDICT_LIVE or machine.quirks & QUIRK_NETAPI_BAD_POINTER_IGNORE:
        return 0
    return ERROR_INVALID_PARAMETER


cdef uint32_t netapi_reallocate(machine_t *machine, uint64_t old, uint32_t count, uint64_t *buffer) noexcept nogil:
    cdef pool_t *pool = machine.pools[POOL_NETAPI]
    cdef uint64_t address
    cdef int verdict
    cdef int refusal
    if buffer == NULL:
        return ERROR_INVALID_PARAMETER
    if old == 0 and count != 0:
        return netapi_allocate_slow(machine, count, buffer)
    if old != 0:
        if pool == NULL:
            return ERROR_INVALID_PARAMETER
        verdict = pool_verdict_of(pool, old)
        if count == 0 and verdict == VERDICT_EXPORTED:
            verdict = VERDICT_LIVE
        if verdict != VERDICT_LIVE:
            return ERROR_INVALID_PARAMETER
        if count == 0:
            if pool_free_ex(pool, old, FREE_DEFER) != VERDICT_LIVE:
                return ERROR_INVALID_PARAMETER
        else:
            if is_refused(machine):
                return ERROR_NOT_ENOUGH_MEMORY
            address = pool_realloc(pool, old, count, &verdict, &refusal)
            if verdict != VERDICT_LIVE:
                return ERROR_INVALID_PARAMETER
            if address == 0:
                return ERROR_NOT_ENOUGH_MEMORY
            if machine.is_numbered:
                note_write(machine, POOL_NETAPI, address, count, ROUTINE_NetApiBufferReallocate, 0, 0, True)
            buffer[0] = address
            return 0
    buffer[0] = 0
    return 0


cdef uint32_t netapi_size(machine_t *machine, uint64_t buffer, uint32_t *count) noexcept nogil:
    cdef int kind = pool_kind_of(machine, buffer)
    cdef block_t block
    if count == NULL or (kind != POOL_NETAPI and kind != POOL_PRODUCED):
        return ERROR_INVALID_PARAMETER
    if not pool_block_at(machine.pools[kind], buffer, &block) or block.address != buffer:
        return ERROR_INVALID_PARAMETER
    if block.state != RECORD_LIVE and block.state != RECORD_HELD and block.state != RECORD_EXPORTED:
        return ERROR_INVALID_PARAMETER
    count[0] = <uint32_t>block.size
    return 0


# ---- Python -------------------------------------------------------------------------------------------

cdef PyObject *allocated = NULL
cdef PyObject *reallocated = NULL
cdef PyObject *measured = NULL


cdef object allocate(MachineBase machine, uint32_t count, uint32_t routine, PyObject **kept):
    """(status, buffer) of a new block."""
    cdef Pool pool = machine.netapi_pool
    cdef PyObject *made
    cdef int refusal = 0
    # Made first: what fails after a block is there would lose it.
    cdef object result = result_again(kept, 2)
    result_put(<PyObject *>result, 0, <object>status_zero(SPACE_NET))
    if rarely(pool is None):
        pool = machine_pool(machine, POOL_NETAPI)
    made = NULL if is_refused(machine.machine) else buffer_take(pool, count, &refusal)
    if rarely(made == NULL):
        if refusal == REFUSAL_CLOSED:
            machine_is_open_or_raise(machine)
        return status_object(SPACE_NET, ERROR_NOT_ENOUGH_MEMORY), None
    if rarely(machine.machine.is_numbered):
        note_write(machine.machine, POOL_NETAPI, buffer_address(<Buffer>made), count, routine, 0, 0, True)
    result_hand_over(<PyObject *>result, 1, made)
    return result


def NetApiBufferAllocate(n):
    """Allocates a block that NetApiBufferFree frees, from the current machine.

    Parameters
    ----------
    n : int
        In: bytes; 0 makes a block of its own. Modulo 2**32.

    Returns
    -------
    status : NetStatus
        NERR_Success; or ERROR_NOT_ENOUGH_MEMORY: the machine has no room for it, or was told to refuse.
    buffer : Buffer or None
        Out: the block, `n` bytes that are what they happen to be; None unless NERR_Success.

    Raises
    ------
    TypeError, OverflowError
        `n` is no int, or more than one wrap away from 32 bits.
    ValueError
        The machine is closed.

    Notes
    -----
    Losing the Buffer frees nothing: the machine owns the block until NetApiBufferFree, and `Machine.live` lists it.
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL Buffer, and the last error is left alone.

    Source: lmapibuf.h, https://learn.microsoft.com/windows/win32/api/lmapibuf/nf-lmapibuf-netapibufferallocate
    """
    return allocate(<MachineBase>machine_now(), dword_of_argument(n, "n"), ROUTINE_NetApiBufferAllocate, &allocated)


def NetapipBufferAllocate(n):
    """Allocates a block as NetApiBufferAllocate does; an undocumented alias of it.

    Parameters
    ----------
    n : int
        In: bytes; 0 makes a block of its own. Modulo 2**32.

    Returns
    -------
    status : NetStatus
        As NetApiBufferAllocate: NERR_Success or ERROR_NOT_ENOUGH_MEMORY.
    buffer : Buffer or None
        Out: the block; None unless NERR_Success.

    Notes
    -----
    Source: lmapibuf.h, which declares it; there is no page.
    """
    return allocate(<MachineBase>machine_now(), dword_of_argument(n, "n"), ROUTINE_NetApiBufferAllocate, &allocated)


def NetApiBufferFree(b):
    """Frees a block that NetApiBufferAllocate or NetApiBufferReallocate made, or that another NetApi function answered.

    What an enumeration answered goes with everything in it, structures, strings and other data, in this one call.

    Parameters
    ----------
    b : Buffer, int or None
        In: the block, or its address.

    Returns
    -------
    NetStatus
        NERR_Success: it is free; or it was None (NULL), which changes nothing. ERROR_INVALID_PARAMETER: it is no live
        block of these of the current machine: freed before, interior, another family's or another machine's; nothing
        happens. With ``quirks={"netapi_bad_pointer": "ignore"}``, as in Wine, that is NERR_Success, too.

    Raises
    ------
    BufferError
        Views of the Buffer are alive; nothing happens. Through C and ctypes the block is dead at once, and its memory
        serves again after the last view.
    TypeError, OverflowError
        `b` is none of these.
    ValueError
        The machine is closed.

    Notes
    -----
    No membership of a group is needed, and it is the same for local and remote functions. An address is all that
    remains of a block whose Buffer was lost; one that was handed out again is the new block's, while an old Buffer
    stays dead.

    Source: lmapibuf.h, https://learn.microsoft.com/windows/win32/api/lmapibuf/nf-lmapibuf-netapibufferfree
    """
    cdef MachineBase machine = <MachineBase>machine_now()
    if (type(b) is Buffer and machine.netapi_pool is not None
            and buffer_give(machine.netapi_pool, <Buffer>b, 0) == VERDICT_LIVE):
        return status_object(SPACE_NET, 0)
    return free_other(machine, b)


cdef object free_other(MachineBase machine, object given):
    """NetApiBufferFree of what is no Buffer of NetApiBufferAllocate."""
    cdef uint64_t address
    cdef PyObject *held
    cdef int kind
    cdef int verdict = VERDICT_FOREIGN
    address_of_argument(given, &address, &held)
    machine_is_open_or_raise(machine)
    if address == 0:
        return status_object(SPACE_NET, 0)
    kind = pool_kind_of(machine.machine, address)
    if kind == POOL_NETAPI or kind == POOL_PRODUCED:
        if held != NULL:
            verdict = buffer_give(<Pool>machine.pools[kind], <Buffer>held, 0)
        else:
            verdict = address_give(<Pool>machine.pools[kind], address, 0)
    if verdict == VERDICT_EXPORTED:
        raise views_error("NetApiBufferFree", f"the Buffer at {address:#x}")
    if verdict == VERDICT_LIVE or machine.machine.quirks & QUIRK_NETAPI_BAD_POINTER_IGNORE:
        return status_object(SPACE_NET, 0)
    return status_object(SPACE_NET, ERROR_INVALID_PARAMETER)


def NetApiBufferReallocate(old, n):
    """Changes the size of a block of NetApiBufferAllocate or NetApiBufferReallocate.

    Parameters
    ----------
    old : Buffer, int or None
        In: the block, or its address. None (NULL) allocates, as NetApiBufferAllocate does, unless `n` is 0.
    n : int
        In: bytes; 0 frees the block. Modulo 2**32.

    Returns
    -------
    status : NetStatus
        NERR_Success. ERROR_NOT_ENOUGH_MEMORY: no room; the old block is as it was. ERROR_INVALID_PARAMETER: `old` is no
        live block of these two functions, perhaps one that an enumeration answered; nothing happens.
    buffer : Buffer or None
        Out: the block, always another Buffer; the old one is dead, even where the address is the same. The bytes up to
        the smaller size are kept. None if `n` is 0, or unless NERR_Success.

    Raises
    ------
    BufferError
        Views of the old Buffer are alive; nothing happens. C and ctypes answer ERROR_INVALID_PARAMETER.
    TypeError, OverflowError, ValueError
        As NetApiBufferAllocate and NetApiBufferFree.
    Exception
        What on_copy of the guest's AddressSpace raised; nothing happens. C and ctypes answer ERROR_NOT_ENOUGH_MEMORY.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL NewBuffer; on failure *NewBuffer is left
    alone, so that a variable which serves as both keeps its block.

    Source: lmapibuf.h, https://learn.microsoft.com/windows/win32/api/lmapibuf/nf-lmapibuf-netapibufferreallocate
    """
    cdef MachineBase machine = <MachineBase>machine_now()
    cdef uint64_t address
    cdef PyObject *held
    cdef uint32_t count = dword_of_argument(n, "n")
    cdef Pool pool
    cdef int verdict
    address_of_argument(old, &address, &held)
    machine_is_open_or_raise(machine)
    if address == 0:
        if count == 0:
            return status_object(SPACE_NET, 0), None
        return allocate(machine, count, ROUTINE_NetApiBufferReallocate, &reallocated)
    verdict = VERDICT_FOREIGN
    if pool_kind_of(machine.machine, address) == POOL_NETAPI:
        pool = machine.netapi_pool
        if held != NULL and buffer_address(<Buffer>held) == 0:
            verdict = VERDICT_DOUBLE
        elif count != 0:
            verdict = pool_verdict_of(pool_engine(pool), address)
        elif held != NULL:
            verdict = buffer_give(pool, <Buffer>held, 0)
        else:
            verdict = address_give(pool, address, 0)
    if verdict == VERDICT_EXPORTED:
        raise views_error("NetApiBufferReallocate", f"the Buffer at {address:#x}")
    if verdict != VERDICT_LIVE:
        return status_object(SPACE_NET, ERROR_INVALID_PARAMETER), None
    return (status_object(SPACE_NET, 0), None) if count == 0 else moved(machine, address, held, count)


cdef object moved(MachineBase machine, uint64_t old, PyObject *held, uint32_t count):
    """(status, buffer) of a new block with the bytes of an old one, which is free then."""
    cdef Pool pool = machine.netapi_pool
    cdef uint64_t size = pool_size_of(pool_engine(pool), old)
    cdef uint64_t address
    cdef object old_buffer = None if held == NULL else <object>held
    cdef int verdict
    status, buffer = allocate(machine, count, ROUTINE_NetApiBufferReallocate, &reallocated)
    if buffer is None:
        return status, None
    size = min(size, <uint64_t>count)
    address = buffer_address(<Buffer>buffer)
    try:
        if not machine.machine.is_guest:
            memcpy(<void *>address, <const void *>old, size)
        elif machine.memory.space.on_copy is not None:
            guest_call_begin(machine.machine)
            try:
                machine.memory.space.on_copy(address, old, size)
            finally:
                guest_call_end(machine.machine)
    except BaseException:
        buffer_give(pool, <Buffer>buffer, 0)
        raise
    # on_copy may have done anything to either block.
    verdict = address_give(pool, old, 0) if old_buffer is None else buffer_give(pool, <Buffer>old_buffer, 0)
    if verdict != VERDICT_LIVE:
        buffer_give(pool, <Buffer>buffer, 0)
        if verdict == VERDICT_EXPORTED:
            raise views_error("NetApiBufferReallocate", f"the Buffer at {old:#x}")
        return status_object(SPACE_NET, ERROR_INVALID_PARAMETER), None
    return status, buffer


def NetApiBufferSize(b):
    """Tells how many bytes a block of NetApiBufferAllocate, NetApiBufferReallocate or another NetApi function has.

    Parameters
    ----------
    b : Buffer, int or None
        In: the block, or its address.

    Returns
    -------
    status : NetStatus
        NERR_Success; or ERROR_INVALID_PARAMETER: it is None (NULL), or no live block of these of the current machine.
    size : int or None
        Out: bytes, just as many as were asked for; None unless NERR_Success.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetApiBufferFree.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL ByteCount. Windows promises at least as many
    bytes as were asked for.

    Source: lmapibuf.h, https://learn.microsoft.com/windows/win32/api/lmapibuf/nf-lmapibuf-netapibuffersize
    """
    cdef MachineBase machine = <MachineBase>machine_now()
    cdef uint64_t address
    cdef PyObject *held
    cdef uint32_t size
    cdef uint32_t status
    address_of_argument(b, &address, &held)
    machine_is_open_or_raise(machine)
    if held != NULL and buffer_address(<Buffer>held) == 0:
        # Its address may be another block's by now.
        status = ERROR_INVALID_PARAMETER
    else:
        status = netapi_size(machine.machine, address, &size)
    return result_of_two(&measured, status_object(SPACE_NET, status), size if status == 0 else None)


# ---- the producers: what they report, their C, their blocks read back, their functions of Python ------

include "_network.pxi"
include "_producers.pxi"
include "_entries.pxi"
include "_netapi_python.pxi"
