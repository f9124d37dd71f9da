"""The doors through which a scenario calls a routine: Python, ctypes, and C in two calling conventions."""

from __future__ import annotations

import ctypes
import mmap
import platform
import shlex
import subprocess
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from conformance import Answer

import pybuf
from pybuf.routines import ROUTINES, Parameter, Routine

# Values that C reads and writes: a Python argument, and an output.
IN_OUT = {
    "RasGetBuffer": {"pdwSize"},
    "NetServerEnum": {"resume_handle"},
    "NetWkstaTransportEnum": {"resume_handle"},
    "NetUserEnum": {"resume_handle"},
    "NetShareEnum": {"resume_handle"},
    "NetLocalGroupEnum": {"resumehandle"},
    "NetLocalGroupGetMembers": {"resumehandle"},
    "NetGroupEnum": {"resume_handle"},
}
WIDTHS = {"uint8_t *": 1, "uint16_t *": 2, "uint32_t *": 4, "uint64_t *": 8}
UNWRITTEN = 0xA5A5A5A5A5A5A5A5
IS_X86_64 = platform.machine() in ("x86_64", "AMD64")


def is_pointer(parameter: Parameter) -> bool:
    """Whether an output is an address, of which NULL is None."""
    return parameter.compiled == "uint64_t *" and parameter.type not in ("PSIZE_T", "PDWORD_PTR", "PHANDLE")


class PythonDoor:
    letter, name = "p", "python"
    has_members = True
    is_guest = False            # the bytes of its blocks cannot be seen
    lives_in_guest = False
    passes_objects = True

    def settings(self) -> dict[str, Any]:
        return {}

    def open(self, machine: Any) -> None:
        self.objects: dict[int, Any] = {}

    def buffer_at(self, machine: Any, address: int) -> Any:
        """The bytes of a block: the Buffer that was answered."""
        return self.objects[address]

    def given(self, argument: Any) -> Any:
        return self.objects.get(argument, argument) if self.passes_objects and type(argument) is int else argument

    def taken(self, value: Any) -> Any:
        """An output as the scenarios see it: a block as its address."""
        address = getattr(value, "address", None)
        if address is None:
            return value
        self.objects[address] = value
        return address

    def call(self, routine: Routine, target: Any, arguments: tuple[Any, ...], alias: str = "") -> Answer:
        function = getattr(pybuf if target is None else target, routine.name)
        try:
            result = function(*map(self.given, arguments))
        except pybuf.BugCheck as bug:
            answer = Answer()
            answer.bug = bug
            return answer
        return Answer(map(self.taken, result if type(result) is tuple else (result,)))


class AddressDoor(PythonDoor):
    """Python given addresses where it would be given objects."""

    letter, name = "", "python-addresses"
    passes_objects = False


def in_c(routine: Routine, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments where C has more or other ones than Python: a count beside an array, a structure to be filled."""
    if routine.name == "SetDmaEngineState":
        state, handles = arguments
        if handles is None:
            return state, 1, None
        return state, len(handles), (ctypes.c_uint64 * max(len(handles), 1))(*handles)
    if routine.name == "GetDeviceInformation":
        return (ctypes.create_string_buffer(arguments[0].to_bytes(2, "little"), 16),)
    if routine.name == "TransferCodecVerbs":
        transfers, callback, context = (*arguments, None, None)[:3]
        return 0 if transfers is None else len(transfers), transfers, callback, context
    return arguments


def memory_at(machine: Any, address: int) -> memoryview:
    size = next(block.size for block in machine.live() if block.address == address)
    return memoryview((ctypes.c_uint8 * size).from_address(address)).cast("B")


class CompiledDoor:
    """What the ctypes and the C door share: outputs are memory that is written."""

    has_members = False
    is_guest = False
    lives_in_guest = False

    def settings(self) -> dict[str, Any]:
        return {}

    def buffer_at(self, machine: Any, address: int) -> Any:
        return memory_at(machine, address)

    def call(self, routine: Routine, target: Any, arguments: tuple[Any, ...], missing: str = "", alias: str = ""
             ) -> Answer:
        """`missing`: the output that is NULL; `alias`: the output that is the variable of the first argument."""
        given = iter(in_c(routine, arguments))
        passed: list[Any] = []
        outputs: list[tuple[Parameter, Any]] = []
        for parameter in routine.parameters[1 if routine.family == "hdaudio" else 0:]:
            if parameter.compiled in WIDTHS and parameter.name != "Handles":
                is_given = parameter.name in IN_OUT.get(routine.name, ())
                value = next(given) if is_given else arguments[0] if parameter.name == alias else UNWRITTEN
                if parameter.name == missing or value is None:
                    passed.append(None)
                    continue
                storage = (ctypes.c_uint8 * 8).from_buffer_copy(int(value).to_bytes(8, "little"))
                outputs.append((parameter, storage))
                passed.append(storage)
            else:
                passed.append(next(given))
        assert not list(given), f"{routine.name} takes fewer arguments than {arguments}"
        result, bug = self.run(routine, target, passed)
        answer = Answer([] if routine.result == "VOID" else [self.result_of(routine, result)])
        answer = Answer([*answer, *(self.output_of(*output) for output in outputs)])
        answer.bug = bug
        answer.written = {parameter.name: not self.is_unwritten(parameter, storage) for parameter, storage in outputs}
        return answer

    def result_of(self, routine: Routine, result: Any) -> Any:
        return (result or None) if routine.result == "PVOID" else (result or 0) & 0xFFFFFFFF

    def is_unwritten(self, parameter: Parameter, storage: Any) -> bool:
        width = WIDTHS[parameter.compiled]
        return bytes(storage)[:width] == UNWRITTEN.to_bytes(8, "little")[:width]

    def output_of(self, parameter: Parameter, storage: Any) -> Any:
        width = WIDTHS[parameter.compiled]
        assert bytes(storage)[width:] == UNWRITTEN.to_bytes(8, "little")[width:] or parameter.name in (
            "pdwSize", "resume_handle", "resumehandle"), f"{parameter.name}: more than {width} bytes were written"
        value = int.from_bytes(bytes(storage)[:width], "little")
        return None if self.is_unwritten(parameter, storage) or (is_pointer(parameter) and not value) else value


class CtypesDoor(CompiledDoor):
    letter, name = "c", "ctypes"

    def open(self, machine: Any) -> None:
        self.machine = machine

    def set_last_error(self, error: int) -> None:
        from pybuf import windll

        windll.kernel32.SetLastError(error)

    def last_error(self) -> int:
        from pybuf import windll

        return windll.kernel32.GetLastError()

    def run(self, routine: Routine, target: Any, passed: list[Any]) -> tuple[Any, Any]:
        from pybuf import windll

        arguments = [ctypes.byref(value) if isinstance(value, ctypes.Array) else value for value in passed]
        if target is not None:
            pointers = target.pointers
            if routine.family == "hdaudio":
                arguments.insert(0, pointers.Context)
            function = getattr(pointers, routine.name)
        elif routine.family == "ras":
            function = getattr(windll.pointers, routine.name)
        else:
            function = getattr(windll.netapi32 if routine.family == "netapi" else windll.videoprt, routine.name)
        try:
            return function(*arguments), None
        except pybuf.BugCheck as bug:
            return None, bug


class CDoor(CompiledDoor):
    letter, name = "C", "C"
    table = "with"

    def open(self, machine: Any) -> None:
        from pybuf._doors import C_API

        self.machine = machine
        self.api = pointer_of(C_API)
        self.library = compiled_door()
        self.behind = machine_behind(machine)

    def set_last_error(self, error: int) -> None:
        self.library.set_last_error(self.api, error)

    def last_error(self) -> int:
        return self.library.last_error(self.api)

    def run(self, routine: Routine, target: Any, passed: list[Any]) -> tuple[Any, Any]:
        kept = []
        words = (ctypes.c_uint64 * 12)()
        for place, value in enumerate(passed):
            if isinstance(value, str):
                value = ctypes.create_string_buffer(value.encode("utf-16-le") + b"\0")
            if isinstance(value, (ctypes.Array, ctypes.Structure)):
                kept.append(value)
                value = ctypes.addressof(value)
            elif isinstance(value, ctypes._CFuncPtr):
                kept.append(value)
                value = ctypes.cast(value, ctypes.c_void_p).value
            elif hasattr(value, "extension"):
                value = value.extension
            elif hasattr(value, "handle"):
                value = value.handle
            words[place] = (value or 0) & 0xFFFFFFFFFFFFFFFF
        before = len(self.machine.bug_checks)
        behind = target.pointers if target is not None else None
        result = self.library.call(self.api, self.behind, self.table.encode(), routine.name.encode(),
                                   ctypes.addressof(behind) if behind is not None else None, words)
        found = self.machine.bug_checks[before:]
        assert len(found) <= 1
        return result, found[0] if found else None


class CMsDoor(CDoor):
    """The same in the Microsoft calling convention."""

    letter, name = "", "C-ms"
    table = "with_ms"


class CNowDoor(CDoor):
    """The form without a machine, in a thread that entered it."""

    letter, name = "", "C-now"
    table = "now"


class CNowMsDoor(CDoor):
    letter, name = "", "C-now-ms"
    table = "now_ms"


class GuestDoor(PythonDoor):
    """Python, on a machine in an address space that is not this process'."""

    letter, name = "", "python-guest"
    is_guest = lives_in_guest = True
    pointer_bytes, wchar_bytes = 4, 2

    def settings(self) -> dict[str, Any]:
        return {"memory": pybuf.Guest(pybuf.AddressSpace(0x2000_0000, 1 << 26), on_write=lambda address, data: None,
                                      pointer_bytes=self.pointer_bytes, wchar_bytes=self.wchar_bytes)}


class CGuestDoor(CDoor):
    letter, name = "", "C-guest"
    is_guest = lives_in_guest = True
    settings = GuestDoor.settings
    pointer_bytes, wchar_bytes = 8, 2


class GuestMemoryDoor(PythonDoor):
    """Python, on a machine in a range of this process' that it is not told is memory, only how to read and write it."""

    letter, name = "", "python-guest-memory"
    lives_in_guest = True

    def settings(self) -> dict[str, Any]:
        self.memory = mmap.mmap(-1, 1 << 26)
        base = ctypes.addressof(ctypes.c_uint8.from_buffer(self.memory))
        return {"memory": pybuf.Guest(
            pybuf.AddressSpace(base, 1 << 26, on_copy=ctypes.memmove),
            on_write=lambda address, data: ctypes.memmove(address, data, len(data)), on_read=ctypes.string_at)}

    def buffer_at(self, machine: Any, address: int) -> Any:
        return memory_at(machine, address)


class LibraryScript(PythonDoor):
    """A custom script in a library: RAS calls it. Its scenario runs it and answers (status,)."""

    letter, name, form = "", "script-library", "library"


class CallableScript(PythonDoor):
    letter, name, form = "", "script-callable", "callable"


DOORS = (PythonDoor, CtypesDoor, CDoor)
SCRIPTS = (LibraryScript, CallableScript)
EXTRA = (AddressDoor, CNowDoor, *((CMsDoor, CNowMsDoor) if IS_X86_64 else ()), GuestDoor, CGuestDoor,
         GuestMemoryDoor)


def pointer_of(capsule: Any) -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return get(capsule, b"pybuf.C_API")


def machine_behind(machine: Any) -> int:
    """machine_from_object, which is called with the GIL."""
    compiled_door()
    function = ctypes.PyDLL(str(compiled_path())).behind
    function.restype, function.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.py_object)
    return function(pointer_of(pybuf.C_API), machine)


def cast(parameter: Parameter, place: int) -> str:
    ctype = parameter.type
    number = f"a[{place}]"
    return f"({ctype}){number}" if parameter.kind == "value" else f"({ctype})(uintptr_t){number}"


def written_door() -> str:
    """A C program with one call of each routine: a prototype of pybuf.h that differs does not compile."""
    lines = ["#include <string.h>", "#include <pybuf.h>", "",
             "void set_last_error(const pybuf_api *api, DWORD error) { api->set_last_error(error); }",
             "DWORD last_error(const pybuf_api *api) { return api->get_last_error(); }",
             "void *behind(const pybuf_api *api, struct _object *of) { return api->machine_from_object(of); }",
             "",
             "static uint64_t call_one(const pybuf_api *api, pybuf_machine *m, const char *table, const char *name,",
             "                         void *target, const uint64_t *a) {"]
    for routine in ROUTINES:
        if not routine.core or routine.family == "hdaudio":
            continue
        given = ", ".join(cast(parameter, place) for place, parameter in enumerate(routine.parameters))
        answer = "" if routine.result == "VOID" else "return (uint64_t)" + (
            "(uintptr_t)" if routine.result == "PVOID" else "")
        end = " return 0;" if routine.result == "VOID" else ""
        lines += [f'    if (strcmp(name, "{routine.name}") == 0) {{']
        if routine.family == "ras":
            place = [each.name for each in ROUTINES].index(routine.name)
            lines += [f"        if (target != NULL) return ((PFN{routine.name.upper()} *)target)[{place}]({given});"]
        for table, first in (("with", "m, "), ("with_ms", "m, "), ("now", ""), ("now_ms", "")):
            lines += [f'        if (strcmp(table, "{table}") == 0) {{ {answer}api->{table}.{routine.name}'
                      f"({first}{given});{end} }}"]
        lines += ["    }"]
    kinds = {"HDAUDIO_BUS_INTERFACE_V2": lambda name: "Contiguous" not in name and name != "SetupDmaEngineWithBdl",
             "HDAUDIO_BUS_INTERFACE_BDL": lambda name: "Contiguous" in name or name == "SetupDmaEngineWithBdl"}
    for routine in ROUTINES:
        if routine.family == "hdaudio":
            struct = next(struct for struct, has in kinds.items() if has(routine.name))
            given = "".join(f", {cast(parameter, place)}" for place, parameter in enumerate(routine.parameters[1:]))
            call = f"(({struct} *)target)->{routine.name}((({struct} *)target)->Context{given})"
            lines += [f'    if (strcmp(name, "{routine.name}") == 0) {{ '
                      + (f"{call}; return 0; }}" if routine.result == "VOID" else f"return (uint64_t){call}; }}")]
    return "\n".join([
        *lines, "    return ~0ull;", "}", "",
        "uint64_t call(const pybuf_api *api, pybuf_machine *m, const char *table, const char *name, void *target,",
        "              const uint64_t *a) {",
        '    pybuf_machine *before = api->machine_enter(strncmp(table, "now", 3) == 0 ? m : NULL);',
        "    uint64_t answer = call_one(api, m, table, name, target, a);",
        "    api->machine_enter(before);", "    return answer;", "}", ""])


@cache
def compiled_path() -> Path:
    where = Path(tempfile.mkdtemp(prefix="pybuf-door-"))
    (where / "door.c").write_text(written_door())
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    done = subprocess.run([*compiler, "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-pointer-to-int-cast",
                           "-shared", "-fPIC", f"-I{pybuf.get_include()}", str(where / "door.c"), "-o",
                           str(where / "door.so")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return where / "door.so"


@cache
def compiled_door() -> ctypes.CDLL:
    library = ctypes.CDLL(str(compiled_path()))
    library.last_error.restype = ctypes.c_uint32
    library.last_error.argtypes = (ctypes.c_void_p,)
    library.set_last_error.restype = None
    library.set_last_error.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.call.restype = ctypes.c_uint64
    library.call.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p,
                             ctypes.c_void_p)
    return library
