# cython: language_level=3, boundscheck=False, cdivision=True
"""What _machine.pxd declares, called as a family calls it."""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from pybuf._machine cimport (
    FAMILY_OTHER, HANDLE_ENGINE, HANDLE_PORT, NOTE_FREED, ROUTINE_RasFreeBuffer,
    ROUTINE_RasGetBuffer, ROUTINE_VideoPortReleaseBuffer,
    MachineBase, Reference, address_of_argument, bug_check_t, bug_deliver, bug_deliver_c, bug_set, callback_raised,
    clock_next, clock_now, clock_run, due_add, due_remove, due_t, dword_of_argument, event_is_valid, event_open,
    event_reset, event_set, event_wait, family_calls_t, family_register, guest_read, guest_write, handle_close,
    handle_find, handle_open, irql_now, irql_set, machine_here, machine_now, machine_pool, machine_shared, machine_t,
    machine_thread_enter, note_at, note_t, note_write, pool_kind_of, pool_refuses, result_again, result_of_two,
    result_put, status_object, unsigned_of_argument, violation_record,
)


cdef object log = []


# ---- machines ----

def now():
    return <object>machine_now()


def here():
    """The number of the machine that C would act on."""
    return machine_here().number


def enter(MachineBase machine):
    machine_thread_enter(NULL if machine is None else machine_shared(machine))


def shared_pools(MachineBase machine not None):
    """Which pools of a shared machine C may use."""
    cdef int kind
    cdef machine_t *found = machine_shared(machine)
    return [found.pools[kind] != NULL and found.pools[kind].is_native for kind in range(7)]


def pool_of(MachineBase machine not None, int kind):
    return machine_pool(machine, kind)


def kind_at(MachineBase machine not None, uint64_t address):
    return pool_kind_of(machine.machine, address)


def refuses(MachineBase machine not None, int kind):
    """What a routine does: the bit, then the question."""
    return bool(machine.machine.slow >> kind & 1) and pool_refuses(machine.machine, kind)


# ---- notes ----

def note(MachineBase machine not None, int kind, uint64_t address, uint64_t size, int owner, uint32_t tag,
         bint is_numbered=True):
    return note_write(machine.machine, kind, address, size, ROUTINE_RasGetBuffer, owner, tag, is_numbered) != NULL


def noted(MachineBase machine not None, int kind, uint64_t address):
    cdef note_t *found = note_at(machine.machine, kind, address)
    return None if found == NULL else (found.sequence, found.size, found.owner, found.tag, found.flags & NOTE_FREED)


def note_freed(MachineBase machine not None, int kind, uint64_t address):
    cdef note_t *found = note_at(machine.machine, kind, address)
    found.flags |= NOTE_FREED
    found.freed_by = ROUTINE_RasFreeBuffer


# ---- handles and events ----

cdef uint64_t[8] objects


def handle(MachineBase machine not None, int index, uint32_t client=0):
    return handle_open(machine.machine, HANDLE_PORT, &objects[index], client)


def found(MachineBase machine not None, uint64_t value, kind="port", uint32_t client=0):
    cdef void *object = handle_find(machine.machine, value, HANDLE_PORT if kind == "port" else HANDLE_ENGINE, client)
    return None if object == NULL else <uint64_t *>object - &objects[0]


def close(MachineBase machine not None, uint64_t value):
    return handle_close(machine.machine, value, HANDLE_PORT)


def open_event(MachineBase machine not None, bint is_manual, bint is_set):
    return event_open(machine.machine, is_manual, is_set)


def event(MachineBase machine not None, str what, uint64_t value, uint32_t timeout_ms=0):
    cdef uint32_t answer
    if what == "valid":
        return event_is_valid(machine.machine, value)
    if what == "set":
        return event_set(machine.machine, value)
    if what == "reset":
        return event_reset(machine.machine, value)
    with nogil:
        answer = event_wait(machine.machine, value, timeout_ms)
    return answer


# ---- the clock ----

cdef void fire(machine_t *machine, void *context, uint64_t tick) noexcept with gil:
    number = <uint64_t>context
    log.append((number, tick, clock_now(machine)))
    call = calls.get(number)
    if call is not None:
        try:
            call()
        except BaseException:
            callback_raised(machine, call)


cdef due_t[16] dues
calls = {}


def due(MachineBase machine not None, uint64_t number, uint64_t tick, call=None):
    calls[number] = call
    dues[number].call = fire
    dues[number].context = <void *>number
    due_add(machine.machine, &dues[number], tick)


def cancel(MachineBase machine not None, int number):
    return due_remove(machine.machine, &dues[number])


def next_due(MachineBase machine not None):
    return clock_next(machine.machine)


def run(MachineBase machine not None, uint64_t tick):
    cdef bint done
    with nogil:
        done = clock_run(machine.machine, tick)
    return done


def fired():
    found, log[:] = log[:], []
    return found


# ---- IRQL and bug checks ----

def irql():
    return irql_now()


def set_irql(uint32_t level):
    return irql_set(level)


cdef void fill_bug(bug_check_t *bug, uint64_t block):
    memset(bug, 0, sizeof(bug_check_t))
    bug_set(bug, 0xC2, 7, 0, 0, block)
    bug.routine = ROUTINE_VideoPortReleaseBuffer
    bug.device = 0x1000


def stop(MachineBase machine not None, int kind, uint64_t block):
    cdef bug_check_t bug
    fill_bug(&bug, block)
    if note_at(machine.machine, kind, block) != NULL:
        bug.freed = block
        bug.note = note_at(machine.machine, kind, block)[0]
    bug_deliver(machine, &bug)


cdef void handler(void *context, const bug_check_t *bug) noexcept nogil:
    (<uint64_t *>context)[0] += bug.code


def stop_in_c(MachineBase machine not None, bint is_handled):
    cdef bug_check_t bug
    cdef uint64_t seen = 0
    fill_bug(&bug, 0x2000)
    machine.machine.bug_handler = NULL
    if is_handled:
        machine.machine.bug_handler = handler
    machine.machine.bug_handler_context = &seen
    with nogil:
        bug_deliver_c(machine.machine, &bug)
    machine.machine.bug_handler = NULL
    return seen


def violate(MachineBase machine not None, uint32_t level, uint64_t address):
    violation_record(machine.machine, ROUTINE_VideoPortReleaseBuffer, level, address)


# ---- guests ----

def write(MachineBase machine not None, uint64_t address, bytes data):
    return guest_write(machine.machine, address, <const char *>data, len(data))


def read(MachineBase machine not None, uint64_t address, uint64_t size):
    cdef char *place = <char *>malloc(size)
    cdef int failed = guest_read(machine.machine, address, place, size)
    data = None if failed else place[:size]
    free(place)
    return data


# ---- arguments and results ----

cdef class Port(Reference):
    cdef object buffer

    def __init__(self, buffer=None):
        self.buffer = buffer

    cdef uint64_t number(self) except? 0:
        return 0x1234

    cdef PyObject *held(self) noexcept:
        return NULL if self.buffer is None else <PyObject *>self.buffer


def address(value):
    cdef uint64_t number
    cdef PyObject *held
    address_of_argument(value, &number, &held)
    return (number, None if held == NULL else <object>held)


def dword(value):
    return dword_of_argument(value, "size")


def unsigned(value, uint32_t bits):
    return unsigned_of_argument(value, "tag", bits)


def status(int space, uint32_t value):
    return status_object(space, value)


cdef PyObject *kept_two = NULL
cdef PyObject *kept_three = NULL


def two(first, second):
    return result_of_two(&kept_two, first, second)


def three(first, second, third):
    cdef object result = result_again(&kept_three, 3)
    result_put(<PyObject *>result, 0, first)
    result_put(<PyObject *>result, 1, second)
    result_put(<PyObject *>result, 2, third)
    return result


# ---- families ----

cdef int family_made(machine_t *machine) except -1:
    machine.families[FAMILY_OTHER] = calloc(1, 16)
    log.append(("made", machine.number))
    return 0


cdef void family_closing(machine_t *machine) noexcept:
    log.append(("closing", machine.number, bool(machine.is_open)))


cdef void family_closed(machine_t *machine) noexcept:
    free(machine.families[FAMILY_OTHER])
    log.append(("closed", machine.number, bool(machine.is_open)))


cdef const char *family_check(machine_t *machine) noexcept:
    if (<uint64_t *>machine.families[FAMILY_OTHER])[0] == 0xBAD:
        return b"the family is broken"
    return NULL


def family_break(MachineBase machine not None, uint64_t value):
    (<uint64_t *>machine.machine.families[FAMILY_OTHER])[0] = value


def family(bint is_there):
    cdef family_calls_t listed
    memset(&listed, 0, sizeof(listed))
    if is_there:
        listed.made = family_made
        listed.closing = family_closing
        listed.closed = family_closed
        listed.check = family_check
    family_register(FAMILY_OTHER, &listed)
