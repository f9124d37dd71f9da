"""The VideoPort routines: pool for a miniport's device, and the bug checks of who misuses it.

A block is one of three pools, by the routine that makes it and whether it is paged, so the pool alone says whether a
free is paired. A block's note has the device that it is charged to, its tag, and who freed it; it is marked freed
before the engine is asked, because afterwards it may be the next block's.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport UINT64_MAX, int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memset

from poolcore cimport (
    FREE_DEFER, RECORD_EXPORTED, RECORD_HELD, RECORD_LIVE, RECORD_QUARANTINED, VERDICT_CORRUPT, VERDICT_DOUBLE,
    VERDICT_EXPORTED, VERDICT_FOREIGN, VERDICT_INTERIOR, VERDICT_LIVE,
    Buffer, Pool, block_t, buffer_address, buffer_adopt, heap_alloc, heap_free, heap_now, import_poolcore,
    pool_alloc_ex, pool_block_at, pool_free_ex, pool_t, pool_verdict_of,
)
from pybuf._machine cimport (
    APC_LEVEL, DISPATCH_LEVEL, FAMILY_VIDEO, NOTE_FREED, POOL_VIDEO_BUFFER, POOL_VIDEO_NONPAGED, POOL_VIDEO_PAGED,
    QUIRK_VIDEO_PAIRING_SHARED, QUIRK_VIDEO_ZERO_MINIMAL, ROUTINE_VideoPortAllocateBuffer,
    ROUTINE_VideoPortAllocatePool, ROUTINE_VideoPortFreePool, ROUTINE_VideoPortReleaseBuffer, MachineBase, Reference,
    address_of_argument, bug_check_t, bug_deliver, bug_deliver_c, bug_set, dword_of_argument, family_calls_t,
    family_register, irql_now, machine_is_open_or_raise, machine_pool, machine_t, note_at, note_t, note_write,
    pool_kind_of, pool_refuses, result_of_two, status_object, unsigned_of_argument, views_error, violation_record,
)
from pybuf._platform cimport (
    atomic_cas_u64, atomic_load_ptr, atomic_load_u64, atomic_store_ptr, os_lock, os_lock_init,
    os_lock_t, os_unlock, rarely,
)
from pybuf._status cimport (
    BAD_POOL_CALLER, DRIVER_CAUGHT_MODIFYING_FREED_POOL, DRIVER_VERIFIER_DETECTED_VIOLATION,
    ERROR_INSUFFICIENT_BUFFER, ERROR_NOT_ENOUGH_MEMORY, PAGE_FAULT_BEYOND_END_OF_ALLOCATION,
    SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, SPACE_VP,
)

from pybuf.errors import BlockOwner, BugCheck

import_poolcore()

cdef enum:
    HASHES = 1024
    DEVICES_MAX = 65535
    TYPE_NONPAGED = 0
    TYPE_PAGED = 1
    TYPE_MUST_SUCCEED = 2
    TYPE_CACHE_ALIGNED = 4      # bit of a type
    TAG_BIG = 0x20474942        # ' GIB' in C, shown as "BIG "
    PATTERN = 0xCD              # of Fill
    PATTERN_FREED = 0xDD
    CACHE_LINE = 64

cdef os_lock_t devices_lock
cdef device_t *hashes[HASHES]
cdef device_t *devices[DEVICES_MAX + 1]     # by number
cdef uint32_t devices_used = 0
cdef uint64_t extensions_used = 0

os_lock_init(&devices_lock)


# ---- devices ----------------------------------------------------------------------------------------

cdef inline uint32_t hash_of(uint64_t extension) noexcept nogil:
    return <uint32_t>((extension >> 4 ^ extension >> 16) & (HASHES - 1))


cdef device_t *device_known(uint64_t extension) noexcept nogil:
    cdef device_t *device = <device_t *>atomic_load_ptr(<void **>&hashes[hash_of(extension)])
    while device != NULL and not (device.extension == extension and device.is_live):
        device = <device_t *>atomic_load_ptr(<void **>&device.next)
    return device


cdef device_t *video_device_find(machine_t *machine, uint64_t extension) noexcept nogil:
    cdef device_t *device = device_known(extension) if extension else NULL
    return device if device != NULL else <device_t *>machine.families[FAMILY_VIDEO]


cdef machine_t *video_machine_of(device_t *device) noexcept nogil:
    return NULL if device == NULL else device.machine


cdef device_t *device_make(machine_t *machine, uint64_t extension, uint64_t allowance) noexcept nogil:
    """A device, its number among all; NULL: the extension is in use, or there is no room."""
    global devices_used
    cdef device_t *device
    cdef device_t **place = &hashes[hash_of(extension)]
    os_lock(&devices_lock)
    device = NULL
    if extension and device_known(extension) != NULL:
        os_unlock(&devices_lock)
        return NULL
    if extension:
        device = place[0]
        while device != NULL and (device.extension != extension or device.is_live):
            device = device.next
    if device == NULL and devices_used < DEVICES_MAX:
        device = <device_t *>calloc(1, sizeof(device_t))
        if device != NULL:
            devices_used += 1
            device.number = <uint16_t>devices_used
            device.extension = extension
            devices[device.number] = device
            if extension:
                device.next = place[0]
                atomic_store_ptr(<void **>place, device)
    if device != NULL:
        device.machine = machine
        device.allowance = allowance
        device.charged = 0
        device.is_live = 1
    os_unlock(&devices_lock)
    return device


cdef device_t *own_devices = NULL       # those of closed machines, to be used again; under the GIL


cdef int video_made(machine_t *machine) except -1:
    """The machine's own device: for extensions that nobody knows, in C."""
    global own_devices
    cdef device_t *device = own_devices
    if device != NULL:
        own_devices = device.next
        device.machine = machine
        device.next = NULL
    else:
        device = device_make(machine, 0, UINT64_MAX)
        if device == NULL:
            raise MemoryError(f"no room for a device: {DEVICES_MAX} are there")
    machine.families[FAMILY_VIDEO] = device
    return 0


cdef void video_closed(machine_t *machine) noexcept:
    global own_devices
    cdef uint32_t i
    cdef device_t *device = <device_t *>machine.families[FAMILY_VIDEO]
    for i in range(1, devices_used + 1):
        if devices[i].machine == machine and devices[i].extension:
            devices[i].is_live = 0
    if device != NULL:
        device.next = own_devices
        own_devices = device


cdef const char *video_check(machine_t *machine) noexcept:
    """What a device is charged is within its allowance."""
    cdef uint32_t i
    for i in range(1, devices_used + 1):
        if devices[i].machine == machine and devices[i].is_live and devices[i].charged > devices[i].allowance:
            return b"a device is charged more than its allowance"
    return NULL


cdef bint charge(device_t *device, uint64_t size) noexcept nogil:
    cdef uint64_t now
    while True:
        now = atomic_load_u64(&device.charged)
        if device.allowance - now < size:
            return False
        if atomic_cas_u64(&device.charged, now, now + size):
            return True


cdef void uncharge(device_t *device, uint64_t size) noexcept nogil:
    """Not below 0: the device may have been removed and made again, while one of its blocks was allocated."""
    cdef uint64_t now
    while True:
        now = atomic_load_u64(&device.charged)
        if atomic_cas_u64(&device.charged, now, now - min(now, size)):
            return


# ---- the routines -----------------------------------------------------------------------------------

cdef void stop(device_t *device, uint32_t routine, bug_check_t *bug, uint32_t code, uint64_t p1, uint64_t p2,
               uint64_t p3, uint64_t p4) noexcept nogil:
    memset(bug, 0, sizeof(bug_check_t))
    bug_set(bug, code, p1, p2, p3, p4)
    bug.routine = routine
    bug.device = device.extension


cdef inline bint is_policed(machine_t *machine) noexcept nogil:
    return machine.is_verifier or machine.is_special_pool


cdef uint64_t block_new(device_t *device, int kind, uint64_t size, uint32_t type, uint8_t routine, uint32_t tag
                        ) noexcept nogil:
    """A noted block, or 0."""
    cdef machine_t *machine = device.machine
    cdef pool_t *pool = machine.pools[kind]
    cdef uint64_t address
    cdef note_t *note
    if pool == NULL or (rarely(machine.slow >> kind & 1) and pool_refuses(machine, kind)):
        return 0
    if type & TYPE_CACHE_ALIGNED:
        address = pool_alloc_ex(pool, size, CACHE_LINE if size < 4096 else 4096, 0, 0, NULL)
    elif machine.is_shared:
        address = heap_alloc(heap_now(pool), pool, size)
    else:
        address = pool_alloc_ex(pool, size, 0, 0, 0, NULL)
    if address == 0:
        return 0
    note = note_write(machine, kind, address, size, routine, device.number, tag, True)
    if note == NULL:
        pool_free_ex(pool, address, 0)
        return 0
    note.extra = type
    return address


cdef int32_t video_allocate_buffer(device_t *device, uint32_t size, uint64_t *buffer, bug_check_t *bug) noexcept nogil:
    cdef machine_t *machine
    cdef uint32_t irql = irql_now()
    cdef uint64_t bytes_wanted = size
    cdef uint64_t address
    if buffer != NULL:
        buffer[0] = 0
    if rarely(device == NULL):
        return ERROR_NOT_ENOUGH_MEMORY
    machine = device.machine
    if rarely(irql > APC_LEVEL):
        if machine.is_verifier:
            stop(device, ROUTINE_VideoPortAllocateBuffer, bug, DRIVER_VERIFIER_DETECTED_VIOLATION, 1, irql, TYPE_PAGED,
                 size)
        else:
            stop(device, ROUTINE_VideoPortAllocateBuffer, bug, BAD_POOL_CALLER, 8, irql, TYPE_PAGED, size)
        return ERROR_NOT_ENOUGH_MEMORY
    if rarely(irql == APC_LEVEL):
        violation_record(machine, ROUTINE_VideoPortAllocateBuffer, irql, 0)
    if rarely(size == 0):
        if not machine.quirks & QUIRK_VIDEO_ZERO_MINIMAL:
            if machine.is_verifier:
                stop(device, ROUTINE_VideoPortAllocateBuffer, bug, DRIVER_VERIFIER_DETECTED_VIOLATION, 0, irql,
                     TYPE_PAGED, 0)
            else:
                stop(device, ROUTINE_VideoPortAllocateBuffer, bug, BAD_POOL_CALLER, 0, 0, TYPE_PAGED, 0)
            return ERROR_NOT_ENOUGH_MEMORY
        bytes_wanted = 1
    if buffer == NULL:
        return ERROR_NOT_ENOUGH_MEMORY
    if not charge(device, bytes_wanted):
        return ERROR_INSUFFICIENT_BUFFER
    address = block_new(device, POOL_VIDEO_BUFFER, bytes_wanted, TYPE_PAGED, ROUTINE_VideoPortAllocateBuffer, 0)
    if address == 0:
        uncharge(device, bytes_wanted)
        return ERROR_NOT_ENOUGH_MEMORY
    buffer[0] = address
    return 0


cdef inline bint has_letter_or_digit(uint32_t tag) noexcept nogil:
    cdef int shift
    cdef uint32_t c
    for shift in range(0, 32, 8):
        c = tag >> shift & 0xFF
        if c - 48 < 10 or (c | 32) - 97 < 26:
            return True
    return False


cdef uint64_t video_allocate_pool(device_t *device, uint32_t kind, uint64_t size, uint32_t tag, bug_check_t *bug
                                  ) noexcept nogil:
    cdef machine_t *machine
    cdef uint32_t irql = irql_now()
    cdef bint is_paged = kind & TYPE_PAGED
    cdef uint32_t code = BAD_POOL_CALLER
    cdef uint64_t p1 = UINT64_MAX
    cdef uint64_t p2 = kind
    cdef uint64_t p3 = size
    cdef uint64_t p4 = 0
    if rarely(device == NULL):
        return 0
    machine = device.machine
    if rarely(kind & ~<uint32_t>(TYPE_PAGED | TYPE_CACHE_ALIGNED)):
        if kind & ~<uint32_t>TYPE_CACHE_ALIGNED != TYPE_MUST_SUCCEED:
            return 0
        p1 = 0x9A
        p4 = tag
    elif rarely(irql > (APC_LEVEL if is_paged else DISPATCH_LEVEL)):
        p1 = 8
        p2 = irql
        p3 = kind
        p4 = size
        if machine.is_verifier:
            code = DRIVER_VERIFIER_DETECTED_VIOLATION
            p1 = 1 if is_paged else 2
    elif rarely(size == 0):
        p1 = 0
        p2 = 0
        p3 = kind
        p4 = tag
        if machine.is_verifier:
            code = DRIVER_VERIFIER_DETECTED_VIOLATION
            p2 = irql
            p4 = 0
    elif rarely(tag == 0):
        p1 = 0x9B
    elif rarely(tag == TAG_BIG):
        p1 = 0x9C
    elif rarely(not has_letter_or_digit(tag)):
        p1 = 0x9D
        p2 = tag
        p3 = kind
    if rarely(p1 != UINT64_MAX):
        stop(device, ROUTINE_VideoPortAllocatePool, bug, code, p1, p2, p3, p4)
        return 0
    return block_new(device, POOL_VIDEO_PAGED if is_paged else POOL_VIDEO_NONPAGED, size, kind,
                     ROUTINE_VideoPortAllocatePool, tag)


cdef uint64_t first_bad_byte(machine_t *machine, int kind, uint64_t address, uint64_t *size) noexcept nogil:
    """Of those behind a block that was written past its end; its own size in `size`. 0: none is seen."""
    cdef block_t block
    cdef uint64_t i
    size[0] = 0
    if machine.is_guest or not pool_block_at(machine.pools[kind], address, &block):
        return 0
    size[0] = block.size
    for i in range(block.size, block.capacity):
        if (<uint8_t *>block.address)[i] != PATTERN:
            return block.address + i
    return 0


cdef void stop_for_overrun(device_t *device, uint32_t routine, int kind, uint64_t address, bug_check_t *bug
                           ) noexcept nogil:
    cdef uint64_t size
    cdef uint64_t bad = first_bad_byte(device.machine, kind, address, &size)
    if device.machine.is_special_pool:
        stop(device, routine, bug, SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, address, bad, 0, 0x24)
    else:
        stop(device, routine, bug, DRIVER_VERIFIER_DETECTED_VIOLATION, 0x51, address, bad, size)


cdef void block_free(device_t *device, uint64_t address, bint is_pool, bint is_stale, bug_check_t *bug) noexcept nogil:
    """Both frees. `is_stale`: it is known to be freed, whatever is there now."""
    cdef machine_t *machine = device.machine
    cdef uint32_t routine = ROUTINE_VideoPortFreePool if is_pool else ROUTINE_VideoPortReleaseBuffer
    cdef uint32_t irql = irql_now()
    cdef int kind = pool_kind_of(machine, address)
    cdef bint is_own = (kind == POOL_VIDEO_PAGED or kind == POOL_VIDEO_NONPAGED) if is_pool else (
        kind == POOL_VIDEO_BUFFER)
    cdef bint is_video = POOL_VIDEO_BUFFER <= kind <= POOL_VIDEO_NONPAGED
    cdef bint is_verifier = machine.is_verifier
    cdef bint is_paged = kind != POOL_VIDEO_NONPAGED
    cdef int verdict = VERDICT_FOREIGN
    cdef pool_t *pool
    cdef note_t *note = NULL
    cdef note_t before
    cdef block_t inside
    if is_video:
        note = note_at(machine, kind, address)
    if note != NULL:
        before = note[0]
    else:
        memset(&before, 0, sizeof(before))
    if rarely(address == 0):
        if is_verifier:
            stop(device, routine, bug, DRIVER_VERIFIER_DETECTED_VIOLATION, 0x10, 0, 0, 0)
        else:
            stop(device, routine, bug, BAD_POOL_CALLER, 0x46, 0, 0, 0)
        return
    if is_video and not is_own and machine.quirks & QUIRK_VIDEO_PAIRING_SHARED:
        is_own = True
    if is_own:
        if rarely(irql > (APC_LEVEL if is_paged else DISPATCH_LEVEL)):
            if is_verifier:
                stop(device, routine, bug, DRIVER_VERIFIER_DETECTED_VIOLATION, 0x11 if is_paged else 0x12, irql,
                     before.extra if before.routine else is_paged, address)
            else:
                stop(device, routine, bug, BAD_POOL_CALLER, 9, irql, before.extra if before.routine else is_paged,
                     address)
            note_into(bug, address, &before)
            return
        pool = machine.pools[kind]
        verdict = VERDICT_DOUBLE
        if not is_stale:
            if note != NULL and not before.flags & NOTE_FREED:
                note.flags |= NOTE_FREED
                note.freed_by = <uint8_t>routine
            verdict = heap_free(heap_now(pool), pool, address) if machine.is_shared else pool_free_ex(pool, address, 0)
            if verdict == VERDICT_EXPORTED:
                verdict = pool_free_ex(pool, address, FREE_DEFER)
            if verdict != VERDICT_LIVE and note != NULL and not before.flags & NOTE_FREED:
                note.flags = before.flags
                note.freed_by = before.freed_by
        if verdict == VERDICT_LIVE:
            if before.routine == ROUTINE_VideoPortAllocateBuffer:
                uncharge(devices[before.owner], before.size)
            if rarely(irql == APC_LEVEL and not is_pool):
                violation_record(machine, routine, irql, address)
            return
    elif is_video:
        verdict = pool_verdict_of(machine.pools[kind], address)
        if verdict == VERDICT_LIVE or verdict == VERDICT_EXPORTED or verdict == VERDICT_CORRUPT:
            # A block of the other routine: no block of this one, for the verifier too.
            stop(device, routine, bug, BAD_POOL_CALLER, 0x99, address, 0, 0)
            note_into(bug, address, &before)
            return
    if verdict == VERDICT_CORRUPT:
        stop_for_overrun(device, routine, kind, address, bug)
    elif verdict == VERDICT_INTERIOR and pool_block_at(machine.pools[kind], address, &inside):
        # The rest is about the block that it is in.
        if is_verifier:
            stop(device, routine, bug, DRIVER_VERIFIER_DETECTED_VIOLATION, 0x10, address, 0, 0)
        else:
            stop(device, routine, bug, BAD_POOL_CALLER, 0x99, address, 0, 0)
        note = note_at(machine, kind, inside.address)
        if note != NULL:
            before = note[0]
            note_into(bug, inside.address, &before)
        return
    elif is_verifier:
        if verdict == VERDICT_DOUBLE:
            stop(device, routine, bug, DRIVER_VERIFIER_DETECTED_VIOLATION, 0x13, address, 0, 0)
        else:
            stop(device, routine, bug, DRIVER_VERIFIER_DETECTED_VIOLATION, 0x10, address, 0, 0)
    elif verdict == VERDICT_DOUBLE:
        stop(device, routine, bug, BAD_POOL_CALLER, 7, 0, 0, address)
    elif verdict == VERDICT_INTERIOR:
        stop(device, routine, bug, BAD_POOL_CALLER, 0x99, address, 0, 0)
    else:
        stop(device, routine, bug, BAD_POOL_CALLER, 0x42, address, 0, 0)
    note_into(bug, address, &before)


cdef inline void note_into(bug_check_t *bug, uint64_t address, note_t *note) noexcept nogil:
    if note.routine:
        bug.freed = address
        bug.note = note[0]


cdef void video_release_buffer(device_t *device, uint64_t buffer, bug_check_t *bug) noexcept nogil:
    if device != NULL:
        block_free(device, buffer, False, False, bug)


cdef void video_free_pool(device_t *device, uint64_t buffer, bug_check_t *bug) noexcept nogil:
    if device != NULL:
        block_free(device, buffer, True, False, bug)


cdef family_calls_t calls
memset(&calls, 0, sizeof(calls))
calls.made = video_made
calls.closed = video_closed
calls.check = video_check
calls.lock = &devices_lock
family_register(FAMILY_VIDEO, &calls)


# ---- Python -------------------------------------------------------------------------------------------

cdef extern from "Python.h":
    int PyErr_WarnEx(object category, const char *message, Py_ssize_t level) except -1


cdef PyObject *allocated = NULL


cdef device_t *device_of_argument(object dev) except NULL:
    """A known device."""
    cdef uint64_t extension
    cdef PyObject *held
    cdef device_t *device
    address_of_argument(dev, &extension, &held)
    device = device_known(extension) if extension else NULL
    if device == NULL or not device.machine.is_open:
        raise ValueError(f"dev is {dev!r}, which is no HwDeviceExtension of a device; Machine.video_device() makes one")
    return device


cdef inline bint runs_callbacks(machine_t *machine) noexcept:
    """Its pools may call back, and wait for calls that do: they are called without the GIL."""
    return machine.is_guest or is_policed(machine)


cdef object free_of_python(object dev, object b, bint is_pool):
    cdef device_t *device = device_of_argument(dev)
    cdef MachineBase machine = <MachineBase>device.machine.owner
    cdef uint64_t address
    cdef PyObject *held
    cdef bint is_stale
    cdef bug_check_t bug
    cdef int kind
    address_of_argument(b, &address, &held)
    is_stale = held != NULL and buffer_address(<Buffer>held) == 0
    kind = pool_kind_of(device.machine, address)
    if (POOL_VIDEO_BUFFER <= kind <= POOL_VIDEO_NONPAGED and not is_stale
            and pool_verdict_of(device.machine.pools[kind], address) == VERDICT_EXPORTED):
        raise views_error("VideoPortFreePool" if is_pool else "VideoPortReleaseBuffer", f"the Buffer at {address:#x}")
    bug.code = 0
    if runs_callbacks(device.machine):
        with nogil:
            block_free(device, address, is_pool, is_stale, &bug)
    else:
        block_free(device, address, is_pool, is_stale, &bug)
    if bug.code:
        bug_deliver(machine, &bug)


def block_release(dev, Buffer b not None, bint is_pool):
    """VideoPortFreePool or VideoPortReleaseBuffer at the end of a with statement: also under views, and no error when
    it was freed before.

    Parameters
    ----------
    dev : Device or int
        The HwDeviceExtension.
    b : Buffer
        The block.
    is_pool : bool
        Which of the two routines.

    Raises
    ------
    BugCheck
        As the routine.
    """
    cdef uint64_t address = buffer_address(b)
    cdef bug_check_t bug
    cdef device_t *device
    if address == 0:
        return
    device = device_of_argument(dev)
    bug.code = 0
    with nogil:
        block_free(device, address, is_pool, False, &bug)
    if bug.code:
        bug_deliver(<MachineBase>device.machine.owner, &bug)


def buffer_new(dev, n):
    """VideoPortAllocateBuffer without its warning: what it answers.

    Parameters
    ----------
    dev : Device or int
        The HwDeviceExtension.
    n : int
        Bytes, modulo 2**32.
    """
    cdef device_t *device = device_of_argument(dev)
    cdef MachineBase machine
    cdef uint32_t size = dword_of_argument(n, "n")
    cdef uint64_t address
    cdef int32_t status
    cdef bug_check_t bug
    cdef Pool pool
    machine = <MachineBase>device.machine.owner
    pool = machine_pool(machine, POOL_VIDEO_BUFFER)
    bug.code = 0
    if runs_callbacks(device.machine):
        with nogil:
            status = video_allocate_buffer(device, size, &address, &bug)
    else:
        status = video_allocate_buffer(device, size, &address, &bug)
    if bug.code:
        bug_deliver(machine, &bug)
    if status:
        return status_object(SPACE_VP, <uint32_t>status), None
    return result_of_two(&allocated, status_object(SPACE_VP, 0), buffer_adopt(pool, address))


def VideoPortAllocateBuffer(dev, n):
    """Allocates a block of paged pool for a miniport's device. Obsolete: VideoPortAllocatePool takes its place.

    Parameters
    ----------
    dev : Device or int
        The HwDeviceExtension.
    n : int
        Bytes, modulo 2**32.

    Returns
    -------
    status : VpStatus
        NO_ERROR; ERROR_INSUFFICIENT_BUFFER: the device's allowance does not hold `n` bytes more;
        ERROR_NOT_ENOUGH_MEMORY: the pool cannot give them.
    buffer : Buffer or None
        The block; None unless NO_ERROR.

    Raises
    ------
    BugCheck
        BAD_POOL_CALLER with 0x00: `n` is 0, unless video_zero is minimal, which gives a block of 1 byte; 0x08: the
        IRQL is above APC_LEVEL. With the verifier DRIVER_VERIFIER_DETECTED_VIOLATION with 0x00 and 0x01.
    ValueError
        No device has the extension.
    DeprecationWarning
        As a warning, before anything is allocated.

    Notes
    -----
    In C a bug check is recorded, and the answer is ERROR_NOT_ENOUGH_MEMORY with a NULL buffer; so it is for a NULL
    Buffer. An extension that nobody knows is there a device without an allowance.

    IRQL: PASSIVE_LEVEL. At APC_LEVEL it is served, and `Machine.violations` has the call.

    Source: video.h, https://learn.microsoft.com/windows-hardware/drivers/ddi/video/nf-video-videoportallocatebuffer
    """
    PyErr_WarnEx(DeprecationWarning, b"VideoPortAllocateBuffer is obsolete; VideoPortAllocatePool takes its place", 1)
    return buffer_new(dev, n)


def VideoPortReleaseBuffer(dev, b):
    """Releases a block that VideoPortAllocateBuffer allocated. Obsolete: VideoPortFreePool takes its place.

    Parameters
    ----------
    dev : Device or int
        The HwDeviceExtension. The block is given back to the allowance of the device that allocated it.
    b : Buffer or int
        The block.

    Raises
    ------
    BugCheck
        BAD_POOL_CALLER with 0x07: it is freed already, as far as the pool still knows; 0x09: the IRQL is above
        APC_LEVEL; 0x42: no block of this machine's video pools ever began there; 0x46: it is NULL; 0x99: an address
        inside a block, or a block of VideoPortAllocatePool, unless video_pairing is shared. With the verifier
        DRIVER_VERIFIER_DETECTED_VIOLATION with 0x10 (not allocated), 0x11 (IRQL), 0x13 (freed already), 0x51 (written
        past its end); with special_pool SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION for the last. The block stays.
    BufferError
        A view of the block is alive.
    ValueError
        No device has the extension.
    DeprecationWarning
        As a warning, before anything is done.

    Notes
    -----
    It returns nothing. The block must not be accessed afterwards: every access through its Buffer raises.

    IRQL: PASSIVE_LEVEL. At APC_LEVEL it is served, and `Machine.violations` has the call.

    Source: video.h, https://learn.microsoft.com/windows-hardware/drivers/ddi/video/nf-video-videoportreleasebuffer
    """
    PyErr_WarnEx(DeprecationWarning, b"VideoPortReleaseBuffer is obsolete; VideoPortFreePool takes its place", 1)
    free_of_python(dev, b, False)


cdef uint32_t tag_of_argument(object tag) except? 0xFFFFFFFF:
    """What stands between the quotes in C: the last character in the low byte."""
    cdef uint32_t number = 0
    if isinstance(tag, str):
        if not (<str>tag).isascii():
            raise ValueError(f"tag is {tag!r}; its characters are ASCII")
        tag = (<str>tag).encode()
    if isinstance(tag, bytes):
        if not 1 <= len(<bytes>tag) <= 4:
            raise ValueError(f"tag is {tag!r}; it is one to four characters, as between the quotes in C, or an int")
        for c in <bytes>tag:
            number = number << 8 | <uint32_t><uint8_t>c
        return number
    if not hasattr(tag, "__index__"):
        raise TypeError(f"tag is an int, str or bytes, not {type(tag).__name__} ({tag!r})")
    return <uint32_t>unsigned_of_argument(tag, "tag", 32)


def VideoPortAllocatePool(dev, type, n, tag):
    """Allocates a block of pool for a miniport's device.

    Parameters
    ----------
    dev : Device or int
        The HwDeviceExtension.
    type : int
        VpNonPagedPool 0, VpPagedPool 1, VpNonPagedPoolCacheAligned 4, VpPagedPoolCacheAligned 5.
    n : int
        Bytes, modulo 2**64.
    tag : int, str or bytes
        The pool tag: a ULONG, or what stands between the quotes in C ("zyxD" is shown as Dxyz).

    Returns
    -------
    Buffer or None
        The block: 16-byte aligned, below a page it crosses none, from a page on it begins at one. None: no memory.

    Raises
    ------
    BugCheck
        BAD_POOL_CALLER with 0x00: no bytes; 0x08: the IRQL is above APC_LEVEL for paged, DISPATCH_LEVEL for nonpaged
        pool; 0x9A: a must-succeed type, 2 or 6; 0x9B: tag 0; 0x9C: the tag shown as "BIG "; 0x9D: a tag without letter
        or digit. With the verifier DRIVER_VERIFIER_DETECTED_VIOLATION with 0x00, and 0x01 or 0x02 for the IRQL.
    ValueError
        No device has the extension, or `type` is none (in C: NULL).

    Notes
    -----
    IRQL: at most DISPATCH_LEVEL, and below it for paged pool.

    Source: video.h, https://learn.microsoft.com/windows-hardware/drivers/ddi/video/nf-video-videoportallocatepool
    """
    cdef device_t *device = device_of_argument(dev)
    cdef MachineBase machine = <MachineBase>device.machine.owner
    cdef uint32_t kind = dword_of_argument(type, "type")
    cdef uint64_t size = unsigned_of_argument(n, "n", 64)
    cdef uint32_t number = tag_of_argument(tag)
    cdef uint64_t address
    cdef bug_check_t bug
    cdef Pool pool
    if kind not in (0, 1, 2, 4, 5, 6):
        raise ValueError(f"type is {type!r}; pool types are 0, 1, 4 and 5")
    pool = machine_pool(machine, POOL_VIDEO_PAGED if kind & TYPE_PAGED else POOL_VIDEO_NONPAGED)
    bug.code = 0
    if runs_callbacks(device.machine):
        with nogil:
            address = video_allocate_pool(device, kind, size, number, &bug)
    else:
        address = video_allocate_pool(device, kind, size, number, &bug)
    if bug.code:
        bug_deliver(machine, &bug)
    return None if address == 0 else buffer_adopt(pool, address)


def VideoPortFreePool(dev, b):
    """Frees a block that VideoPortAllocatePool allocated.

    Parameters
    ----------
    dev : Device or int
        The HwDeviceExtension.
    b : Buffer or int
        The block's first byte.

    Raises
    ------
    BugCheck
        As VideoPortReleaseBuffer, where a block of VideoPortAllocateBuffer is 0x99. 0x09, and 0x11 or 0x12 with the
        verifier: the IRQL is above APC_LEVEL for paged, DISPATCH_LEVEL for nonpaged pool. The block stays.
    BufferError
        A view of the block is alive.
    ValueError
        No device has the extension.

    Notes
    -----
    It returns nothing.

    IRQL: at most DISPATCH_LEVEL, and below it for paged pool.

    Source: video.h, https://learn.microsoft.com/windows-hardware/drivers/ddi/video/nf-video-videoportfreepool
    """
    free_of_python(dev, b, True)


@cython.final
cdef class Device(Reference):
    """A miniport's device: what its HwDeviceExtension names. Made by `Machine.video_device`."""

    cdef MachineBase machine
    cdef device_t *device
    cdef readonly uint64_t extension
    """The HwDeviceExtension, an int."""

    def __init__(self):
        raise TypeError("a Device comes from Machine.video_device; it cannot be made otherwise")

    cdef uint64_t number(self) except? 0:
        return self.extension

    def __repr__(self):
        return f"<Device {self.extension:#x}{'' if device_is_there(self) else ', removed'}>"

    @property
    def charged(self):
        """Bytes of the allowance that VideoPortAllocateBuffer took and VideoPortReleaseBuffer did not give back."""
        device_is_there_or_raise(self)
        return atomic_load_u64(&self.device.charged)

    def live(self):
        """The blocks that it allocated and nobody freed: a list of Block."""
        device_is_there_or_raise(self)
        return [block for block in self.machine.live()
                if block.routine in ("VideoPortAllocateBuffer", "VideoPortAllocatePool")
                and block.owner == self.device.number]

    def remove(self):
        """Removes the device. What it left is freed; but a block that was written past its end stays, and is recorded.

        Returns
        -------
        list of Block
            What was left; `pybuf.videoport.by_tag` sums it up.

        Raises
        ------
        BugCheck
            With the verifier, when something was left: DRIVER_VERIFIER_DETECTED_VIOLATION with 0x60, the bytes of
            paged and nonpaged pool, and how many blocks. Its text has them by tag, its `left` each of them. The device
            is removed all the same.
        """
        cdef bug_check_t bug
        cdef uint64_t paged = 0
        cdef uint64_t nonpaged = 0
        cdef uint64_t address
        cdef device_t *device
        cdef note_t *note
        cdef int kind, verdict
        device_is_there_or_raise(self)
        device = self.device
        left = self.live()
        for block in left:
            address = block.address
            kind = pool_kind_of(device.machine, address)
            if kind == POOL_VIDEO_NONPAGED:
                nonpaged += block.size
            else:
                paged += block.size
            note = note_at(device.machine, kind, address)
            if note == NULL or note.sequence != <uint64_t>block.sequence:
                # Another thread freed it meanwhile.
                continue
            note.flags |= NOTE_FREED
            note.freed_by = 0
            with nogil:
                verdict = pool_free_ex(device.machine.pools[kind], address, FREE_DEFER)
            if verdict == VERDICT_CORRUPT:
                note.flags &= ~<uint32_t>NOTE_FREED
                stop_for_overrun(device, 0, kind, address, &bug)
                note_into(&bug, address, note)
                bug_deliver_c(device.machine, &bug)
        device.is_live = 0
        if left and device.machine.is_verifier:
            stop(device, 0, &bug, DRIVER_VERIFIER_DETECTED_VIOLATION, 0x60, paged, nonpaged, len(left))
            try:
                bug_deliver(self.machine, &bug)
            except BugCheck as found:
                found.left = tuple([BlockOwner(each.routine, each.sequence, each.tag, each.size) for each in left])
                raise
        return left


cdef bint device_is_there(Device self) noexcept:
    return (self.device != NULL and self.device.is_live and self.device.machine == self.machine.machine
            and not self.machine.is_shut)


cdef int device_is_there_or_raise(Device self) except -1:
    if not device_is_there(self):
        raise ValueError("the device was removed, or its machine is closed")
    return 0


def device_open(MachineBase machine not None, allowance_bytes, extension):
    """What Machine.video_device does."""
    global extensions_used
    cdef Device made
    cdef device_t *device = NULL
    cdef uint64_t allowance = UINT64_MAX if allowance_bytes is None else unsigned_of_argument(
        allowance_bytes, "allowance_bytes", 64)
    cdef uint64_t number = 0
    machine_is_open_or_raise(machine)
    if extension is None:
        # The numbers go round, so a removed device's serves again in the end; half of the room is for the callers'.
        for _ in range(DEVICES_MAX // 2):
            extensions_used = extensions_used % (DEVICES_MAX // 2) + 1
            number = 0xD0000000 + 64 * extensions_used
            device = device_make(machine.machine, number, allowance)
            if device != NULL:
                break
    else:
        number = unsigned_of_argument(extension, "extension", 64)
        if number == 0:
            raise ValueError("extension is 0, which is NULL; leave it out or give a device's own")
        device = device_make(machine.machine, number, allowance)
    if device == NULL:
        raise ValueError(f"extension is {number:#x}, which another device has; or there is no room: {DEVICES_MAX} "
                         f"devices with an extension of their own, half as many without")
    made = Device.__new__(Device)
    made.machine = machine
    made.device = device
    made.extension = number
    return made


# ---- what a driver does to memory -----------------------------------------------------------------------

cdef int fault(MachineBase machine, uint32_t code, uint64_t p1, uint64_t p2, uint64_t block, list found) except -1:
    """Adds a bug check about a block, which is recorded."""
    cdef bug_check_t bug
    cdef int kind = pool_kind_of(machine.machine, block)
    cdef note_t *note = note_at(machine.machine, kind, block)
    memset(&bug, 0, sizeof(bug))
    bug_set(&bug, code, p1, p2, 0, 0)
    if note != NULL:
        note_into(&bug, block, note)
    try:
        bug_deliver(machine, &bug)
    except Exception as error:
        found.append(error)
    return 0


def access(MachineBase machine not None, address, size, write):
    """What Machine.access does."""
    cdef uint64_t first
    cdef uint64_t count = unsigned_of_argument(size, "size", 64)
    cdef PyObject *held
    cdef block_t block
    cdef int kind
    cdef list found = []
    machine_is_open_or_raise(machine)
    address_of_argument(address, &first, &held)
    kind = pool_kind_of(machine.machine, first)
    if not machine.machine.is_special_pool or not POOL_VIDEO_BUFFER <= kind <= POOL_VIDEO_NONPAGED:
        return None
    if not pool_block_at(machine.machine.pools[kind], first, &block):
        return None
    if block.state == RECORD_QUARANTINED:
        fault(machine, DRIVER_CAUGHT_MODIFYING_FREED_POOL, first, 1 if write else 0, block.address, found)
    elif block.state in (RECORD_LIVE, RECORD_HELD, RECORD_EXPORTED) and (
            count > block.size or first - block.address > block.size - count):
        fault(machine, PAGE_FAULT_BEYOND_END_OF_ALLOCATION, max(first, block.address + block.size),
              1 if write else 0, block.address, found)
    return found[0] if found else None


def sweep(MachineBase machine not None):
    """What Machine.sweep does."""
    cdef block_t block
    cdef uint64_t leaf, i, j, address
    cdef int kind
    cdef note_t *notes
    cdef list found = []
    machine_is_open_or_raise(machine)
    if not machine.machine.is_special_pool or machine.machine.is_guest:
        return found
    for kind in range(POOL_VIDEO_BUFFER, POOL_VIDEO_NONPAGED + 1):
        if machine.machine.ledgers[kind].leaves == NULL:
            continue
        for leaf in range(machine.machine.spans[kind] >> 16):
            notes = machine.machine.ledgers[kind].leaves[leaf]
            if notes == NULL:
                continue
            for i in range(4096):
                if not notes[i].flags & NOTE_FREED:
                    continue
                address = machine.machine.bases[kind] + (leaf << 16) + (i << 4)
                if not pool_block_at(machine.machine.pools[kind], address, &block) or block.address != address:
                    continue
                for j in range(block.capacity if block.state == RECORD_QUARANTINED else 0):
                    if (<uint8_t *>address)[j] != PATTERN_FREED:
                        fault(machine, DRIVER_CAUGHT_MODIFYING_FREED_POOL, address + j, 1, address, found)
                        break
    return found
