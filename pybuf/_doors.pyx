"""The doors of C and of ctypes: what doors.py wrote from routines.py, the table of pybuf.h, and its other functions.

C calls without the GIL, so importing this module, which is how C gets at anything, has the default machine shared.
"""

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy

from pybuf._machine cimport (
    MachineBase, bug_check_t, bug_deliver, bug_handler_t, event_close, event_open, event_reset, event_set,
    event_wait, irql_now, irql_set, last_error_get, last_error_set, machine_default, machine_here, machine_now,
    machine_shared, machine_t, machine_thread_enter, machine_thread_entered, quick_machine,
)
from pybuf._status cimport STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_NO_SUCH_DEVICE

from ctypes import addressof
from uuid import UUID

# What NetApi reports on a machine that was given nothing else.
import pybuf.network  # no-cython-lint
from pybuf.errors import HdAudioError
from pybuf.routines import ROUTINES

cdef extern from *:
    """
    #if defined(_WIN32) || defined(__x86_64__)
    #define HAS_MS_ABI 1
    #else
    #define HAS_MS_ABI 0
    #endif
    """
    const bint HAS_MS_ABI

cdef enum:
    ABI_PLATFORM = 0
    ABI_MS = 1


cdef inline machine_t *machine_of_python() except NULL:
    """The machine that a call of ctypes acts on."""
    cdef MachineBase machine = <MachineBase>machine_now()
    return machine.machine if machine.machine.is_shared and machine.machine.is_open else machine_shared(machine)


cdef int bug_raise(machine_t *machine, const bug_check_t *bug) except -1:
    return bug_deliver(<MachineBase>machine.owner, bug)


include "_doors.pxi"


# ---- the table of pybuf.h ---------------------------------------------------------------------------

cdef extern from "pybuf.h":
    enum:
        PYBUF_API_VERSION
    ctypedef unsigned short WCHAR
    ctypedef struct pybuf_machine:
        pass
    ctypedef struct PYBUF_BUGCHECK:
        pass
    ctypedef struct pybuf_api:
        uint32_t version
        uint32_t size
        pybuf_routines now
        pybuf_machine_routines with_ "with"
        pybuf_routines_ms now_ms
        pybuf_machine_routines_ms with_ms
        pybuf_machine *(*machine_from_object)(object machine) except NULL
        pybuf_machine *(*machine_enter)(pybuf_machine *machine) noexcept nogil
        pybuf_machine *(*machine_current)() noexcept nogil
        void (*set_bug_check_handler)(pybuf_machine *machine, void *handler, void *context) noexcept nogil
        const char *(*routine_name)(uint32_t routine) noexcept nogil
        uint32_t (*get_last_error)() noexcept nogil
        void (*set_last_error)(uint32_t error) noexcept nogil
        uint32_t (*irql_raise)(uint32_t irql) noexcept nogil
        uint32_t (*irql_lower)(uint32_t irql) noexcept nogil
        uint64_t (*physical_address)(pybuf_machine *machine, uint64_t address) noexcept nogil
        void *(*CreateEvent)(pybuf_machine *machine, void *attributes, int32_t is_manual_reset, int32_t is_set,
                             const WCHAR *name) noexcept nogil
        int32_t (*SetEvent)(pybuf_machine *machine, void *event) noexcept nogil
        int32_t (*ResetEvent)(pybuf_machine *machine, void *event) noexcept nogil
        uint32_t (*WaitForSingleObject)(pybuf_machine *machine, void *event, uint32_t milliseconds) noexcept nogil
        int32_t (*CloseHandle)(pybuf_machine *machine, void *event) noexcept nogil
        int32_t (*hdaudio_query_interface)(pybuf_machine *machine, uint8_t codec, uint8_t function_group,
                                           const void *type, uint16_t size, uint16_t version, void *interface
                                           ) noexcept nogil
        int32_t (*hdaudio_query_interface_ms)(pybuf_machine *machine, uint8_t codec, uint8_t function_group,
                                              const void *type, uint16_t size, uint16_t version, void *interface
                                              ) noexcept nogil


cdef pybuf_machine *machine_from_object(object machine) except NULL:
    if machine is None:
        machine = <object>machine_default()
    if not isinstance(machine, MachineBase):
        raise TypeError(f"a pybuf.Machine or None is needed, not {type(machine).__name__} ({machine!r})")
    return <pybuf_machine *>machine_shared(<MachineBase>machine)


cdef pybuf_machine *machine_enter(pybuf_machine *machine) noexcept nogil:
    cdef machine_t *before = machine_thread_entered()
    machine_thread_enter(<machine_t *>machine)
    return <pybuf_machine *>before


cdef pybuf_machine *machine_current() noexcept nogil:
    return <pybuf_machine *>machine_here()


cdef void set_bug_check_handler(pybuf_machine *machine, void *handler, void *context) noexcept nogil:
    (<machine_t *>machine).bug_handler_context = context
    (<machine_t *>machine).bug_handler = <bug_handler_t>handler


cdef list names = [routine.name.encode() for routine in ROUTINES]
cdef const char *name_of[256]
cdef uint32_t names_count = len(names)
for _number, _name in enumerate(names):
    name_of[<uint32_t>_number] = _name


cdef const char *routine_name(uint32_t routine) noexcept nogil:
    return name_of[routine - 1] if 0 < routine <= names_count else NULL


cdef uint32_t get_last_error() noexcept nogil:
    return last_error_get()


cdef void set_last_error(uint32_t error) noexcept nogil:
    last_error_set(error)


cdef uint32_t irql_raise(uint32_t irql) noexcept nogil:
    cdef uint32_t before = irql_now()
    if irql > before:
        irql_set(irql)
    return before


cdef uint32_t irql_lower(uint32_t irql) noexcept nogil:
    cdef uint32_t before = irql_now()
    if irql < before:
        irql_set(irql)
    return before


cdef uint64_t physical_address(pybuf_machine *machine, uint64_t address) noexcept nogil:
    return address + (<machine_t *>machine).physical_offset


cdef void *create_event(pybuf_machine *machine, void *attributes, int32_t is_manual_reset, int32_t is_set,
                        const WCHAR *name) noexcept nogil:
    return <void *>event_open(<machine_t *>machine, is_manual_reset != 0, is_set != 0)


cdef int32_t set_event(pybuf_machine *machine, void *event) noexcept nogil:
    return event_set(<machine_t *>machine, <uint64_t>event)


cdef int32_t reset_event(pybuf_machine *machine, void *event) noexcept nogil:
    return event_reset(<machine_t *>machine, <uint64_t>event)


cdef uint32_t wait_for_single_object(pybuf_machine *machine, void *event, uint32_t milliseconds) noexcept nogil:
    return event_wait(<machine_t *>machine, <uint64_t>event, milliseconds)


cdef int32_t close_handle(pybuf_machine *machine, void *event) noexcept nogil:
    return event_close(<machine_t *>machine, <uint64_t>event)


cdef int32_t interface_fill(pybuf_machine *machine, uint8_t codec, uint8_t function_group, const uint8_t *type,
                            uint16_t size, uint16_t version, void *interface, bint is_ms) noexcept with gil:
    """The structure that Python has of an interface, copied."""
    cdef machine_t *behind = <machine_t *>machine if machine != NULL else machine_here()
    cdef uintptr_t made
    if type == NULL or interface == NULL or behind.owner == NULL:
        return <int32_t>(STATUS_NO_SUCH_DEVICE if behind.owner == NULL else STATUS_INVALID_PARAMETER)
    try:
        found = (<object>behind.owner).hdaudio.query_interface(UUID(bytes_le=type[:16]), codec, function_group,
                                                               size=size, version=version)
        structure = found.pointers_ms if is_ms else found.pointers
        made = addressof(structure)
        memcpy(interface, <const void *>made, size)
        return 0
    except HdAudioError as error:
        return <int32_t><uint32_t>error.status
    except ValueError:
        # It was closed meanwhile.
        return <int32_t>STATUS_NO_SUCH_DEVICE
    except MemoryError:
        return <int32_t>STATUS_INSUFFICIENT_RESOURCES


cdef int32_t hdaudio_query_interface(pybuf_machine *machine, uint8_t codec, uint8_t function_group, const void *type,
                                     uint16_t size, uint16_t version, void *interface) noexcept nogil:
    return interface_fill(machine, codec, function_group, <const uint8_t *>type, size, version, interface, False)


cdef int32_t hdaudio_query_interface_ms(pybuf_machine *machine, uint8_t codec, uint8_t function_group,
                                        const void *type, uint16_t size, uint16_t version, void *interface
                                        ) noexcept nogil:
    return interface_fill(machine, codec, function_group, <const uint8_t *>type, size, version, interface, True)


# ---- kernel32 of ctypes: what is no documented routine ------------------------------------------------

cdef uint64_t py_create_event(uint64_t attributes, int32_t is_manual_reset, int32_t is_set, const void *name
                              ) except? 0xFFFFFFFFFFFFFFFF:
    return event_open(machine_of_python(), is_manual_reset != 0, is_set != 0)


cdef int32_t py_set_event(uint64_t event) except? -1:
    return event_set(machine_of_python(), event)


cdef int32_t py_reset_event(uint64_t event) except? -1:
    return event_reset(machine_of_python(), event)


cdef int32_t py_close_handle(uint64_t event) except? -1:
    return event_close(machine_of_python(), event)


cdef uint32_t py_wait_for_single_object(uint64_t event, uint32_t milliseconds) except? 0xFFFFFFFF:
    cdef machine_t *machine = machine_of_python()
    cdef uint32_t answer
    with nogil:
        answer = event_wait(machine, event, milliseconds)
    return answer


cdef pybuf_api table

ENTRIES = {}
"""Address of each function of a door: its form (`now_`, `with_`, `now_ms_`, `with_ms_`, `py_`) before the name."""

machine_from_object(None)
entries_fill(&table, ENTRIES)
ENTRIES["py_GetLastError"] = <uintptr_t><void *>get_last_error
ENTRIES["py_SetLastError"] = <uintptr_t><void *>set_last_error
ENTRIES["py_CreateEventW"] = <uintptr_t><void *>py_create_event
ENTRIES["py_SetEvent"] = <uintptr_t><void *>py_set_event
ENTRIES["py_ResetEvent"] = <uintptr_t><void *>py_reset_event
ENTRIES["py_CloseHandle"] = <uintptr_t><void *>py_close_handle
ENTRIES["py_WaitForSingleObject"] = <uintptr_t><void *>py_wait_for_single_object
table.version = PYBUF_API_VERSION
table.size = sizeof(pybuf_api)
table.machine_from_object = machine_from_object
table.machine_enter = machine_enter
table.machine_current = machine_current
table.set_bug_check_handler = set_bug_check_handler
table.routine_name = routine_name
table.get_last_error = get_last_error
table.set_last_error = set_last_error
table.irql_raise = irql_raise
table.irql_lower = irql_lower
table.physical_address = physical_address
table.CreateEvent = create_event
table.SetEvent = set_event
table.ResetEvent = reset_event
table.WaitForSingleObject = wait_for_single_object
table.CloseHandle = close_handle
table.hdaudio_query_interface = hdaudio_query_interface
if HAS_MS_ABI:
    table.hdaudio_query_interface_ms = hdaudio_query_interface_ms

C_API = PyCapsule_New(&table, "pybuf.C_API", NULL)
"""The capsule that pybuf_import() of pybuf.h opens."""

ROUTINES_OF_C = frozenset(routine.name for routine in ROUTINES if f"now_{routine.name}" in ENTRIES)
"""The routines that are there."""
