"""The routines as ctypes has them on Windows: ``windll.netapi32.NetApiBufferAllocate(1024, byref(p))``.

Libraries are netapi32, netutils, videoprt and kernel32, in any spelling, with or without ``.dll``; functions have
argtypes, restype and errcheck that can be set. They act on the current machine of the context, keep the GIL, and raise
BugCheck where a kernel would stop. Arguments are taken more tolerantly than by ctypes itself: an int for a pointer has
64 bits, so that ``NetApiBufferFree(p.value)`` frees what it should.

`install` puts all of it where scripts for Windows look: ``ctypes.windll``, ``ctypes.WinDLL`` and so on.
"""

from __future__ import annotations

import ctypes
import ctypes.wintypes
import sys
from _ctypes import CFuncPtr
from typing import TYPE_CHECKING, Any

from pybuf import status
from pybuf._arguments import Address, Number, Out, Structured, Text
from pybuf._doors import ENTRIES
from pybuf.layouts import STRUCTS
from pybuf.routines import ROUTINES

if TYPE_CHECKING:
    from pybuf.routines import Parameter

__all__ = ["FormatError", "GetLastError", "WinDLL", "WinError", "install", "loader"]

KEEPS_GIL = 1 | 4  # FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI of ctypes

ADDRESS = Address()
TEXT = Text()
STRUCTURED = Structured()
NUMBERS = {"uint8_t": Number(8), "uint32_t": Number(32), "int32_t": Number(32), "uint64_t": Number(64)}
OUTS = {"uint8_t *": Out(1), "uint16_t *": Out(2), "uint32_t *": Out(4), "uint64_t *": Out(8), "void *": Out(1)}


def argument_type(parameter: Parameter) -> Any:
    """What a function's argtypes have for a parameter of the table."""
    if parameter.kind == "out":
        return OUTS[parameter.compiled]
    kinds = {"address": ADDRESS, "text": TEXT, "struct": STRUCTURED, "callback": STRUCTURED}
    return kinds.get(parameter.kind) or NUMBERS[parameter.compiled]


def answering(result: Any) -> Any:
    """The class of functions that keep the GIL and answer a type of ctypes."""
    return type("Function", (CFuncPtr,), {"_flags_": KEEPS_GIL, "_restype_": result})


UNSIGNED, SIGNED, POINTING, VOID = map(answering, (ctypes.c_uint32, ctypes.c_int32, ctypes.c_void_p, None))
RESULTS = {"VP_STATUS": SIGNED, "NTSTATUS": SIGNED, "BOOL": SIGNED, "PVOID": POINTING, "HANDLE": POINTING, "VOID": VOID}

# What is no documented routine, but of use to one: name, result, argument types.
KERNEL = {
    "GetLastError": ("DWORD", ()),
    "SetLastError": ("VOID", (NUMBERS["uint32_t"],)),
    "CreateEventW": ("HANDLE", (ADDRESS, NUMBERS["int32_t"], NUMBERS["int32_t"], TEXT)),
    "SetEvent": ("BOOL", (ADDRESS,)),
    "ResetEvent": ("BOOL", (ADDRESS,)),
    "WaitForSingleObject": ("DWORD", (ADDRESS, NUMBERS["uint32_t"])),
    "CloseHandle": ("BOOL", (ADDRESS,)),
}

FUNCTIONS: dict[str, dict[str, tuple[str, tuple[Any, ...]]]] = {
    "netapi32": {}, "netutils": {}, "videoprt": {}, "kernel32": KERNEL,
}
for _routine in ROUTINES:
    _libraries = {"netapi": ["netapi32"], "videoport": ["videoprt"]}.get(_routine.family, [])
    if f"py_{_routine.name}" in ENTRIES:
        for _library in _libraries + (["netutils"] if _routine.header == "lmapibuf.h" else []):
            FUNCTIONS[_library][_routine.name] = (_routine.result, tuple(map(argument_type, _routine.parameters)))


def library_name(name: str) -> str:
    """The key of FUNCTIONS for a library's name as scripts have it."""
    return name.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".dll")


class WinDLL:
    """A library: its functions are attributes, or items for copies of their own.

    Parameters
    ----------
    name : str
        "netapi32", "netutils", "videoprt" or "kernel32", in any case, with a path and ".dll" or without.
    mode, handle, use_errno, use_last_error, winmode
        As those of ctypes; not looked at.

    Raises
    ------
    FileNotFoundError
        Another name.
    """

    def __init__(self, name: str, mode: int = 0, handle: int | None = None, use_errno: bool = False,
                 use_last_error: bool = False, winmode: int | None = None) -> None:
        self._name = name
        self._functions = FUNCTIONS.get(library_name(name))
        if self._functions is None:
            raise FileNotFoundError(f"Could not find module {name!r}: pybuf has {', '.join(FUNCTIONS)}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        function = self[name]
        setattr(self, name, function)
        return function

    def __getitem__(self, name: str) -> Any:
        found = (self._functions or {}).get(name)
        if found is None:
            raise AttributeError(f"function {name!r} not found")
        result, arguments = found
        function = RESULTS.get(result, UNSIGNED)(ENTRIES[f"py_{name}"])
        function.argtypes = arguments
        function.__name__ = name
        return function

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r} of pybuf>"


class Loader:
    """What ctypes.windll is: libraries as attributes or items, each made once."""

    def __init__(self) -> None:
        self._libraries: dict[str, WinDLL] = {}

    def __getattr__(self, name: str) -> WinDLL:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except FileNotFoundError as error:
            raise AttributeError(str(error)) from None

    def __getitem__(self, name: str) -> WinDLL:
        key = library_name(name)
        if key not in self._libraries:
            self._libraries[key] = WinDLL(name)
        return self._libraries[key]

    def LoadLibrary(self, name: str) -> WinDLL:  # noqa: N802
        """A library with functions of its own."""
        return WinDLL(name)


loader = Loader()
"""The libraries: `pybuf.windll.netapi32` is `loader.netapi32`."""


def ras_pointers(form: str) -> ctypes.Structure:
    """The RAS routines of one session, which Windows hands out as pointers: a structure in the order of the table.

    Parameters
    ----------
    form : str
        What stands before the routines' names in ENTRIES: ``py_``, or ``session_1_`` and so on.

    Returns
    -------
    ctypes.Structure
        Its members are functions of ctypes.
    """
    fields = []
    for routine in ROUTINES:
        if f"{form}{routine.name}" in ENTRIES and routine.family == "ras":
            body = {"_argtypes_": tuple(map(argument_type, routine.parameters)), "_flags_": KEEPS_GIL,
                    "_restype_": ctypes.c_uint32}
            fields.append((routine.name, type(f"PFN{routine.name.upper()}", (ctypes._CFuncPtr,), body)))  # type: ignore[attr-defined]
    kind = type("RasPointers", (ctypes.Structure,), {"_fields_": fields})
    made: ctypes.Structure = kind(*(function(ENTRIES[f"{form}{name}"]) for name, function in fields))
    return made


pointers = ras_pointers("py_")
"""The pointers of the current machine's own session: ``windll.pointers.RasGetBuffer(byref(p), byref(n))``."""


def structure(name: str) -> type[ctypes.Structure]:
    """The ctypes class of a structure that NetApi functions answer, with the members' names in C: ``SERVER_INFO_101``
    has ``sv101_name``. Strings are c_wchar_p, so they are those of this process' own wchar_t. `pybuf.windll` has each
    by its name.
    """
    kinds = (ctypes.c_uint32, ctypes.c_wchar_p, ctypes.c_void_p, ctypes.c_uint32 * 4)  # by kind
    layout = STRUCTS[name]
    members = [(layout.prefix + member.name, kinds[member.kind]) for member in layout.members]
    return type(name, (ctypes.Structure,), {"_fields_": members, "__module__": __name__})


def __getattr__(name: str) -> Any:
    if name in STRUCTS:
        globals()[name] = found = structure(name)
        return found
    return getattr(loader, name)


def GetLastError() -> int:  # noqa: N802
    """The thread's last error, as kernel32 has it."""
    return int(loader.kernel32.GetLastError())


def set_last_error(error: int) -> int:
    """Sets the thread's last error and answers what it was."""
    before = GetLastError()
    loader.kernel32.SetLastError(error)
    return before


def FormatError(code: int | None = None) -> str:  # noqa: N802
    """What a status says; of the last error, without an argument."""
    number = GetLastError() if code is None else code & 0xFFFFFFFF
    for space in (status.NetStatus, status.RasStatus, status.VpStatus, status.NtStatus):
        if number in space._value2member_map_:
            return str(space(number).meaning)
    return "<no description>"


def WinError(code: int | None = None, descr: str | None = None) -> OSError:  # noqa: N802
    """An OSError for a status; for the last error, without an argument."""
    number = GetLastError() if code is None else code
    return OSError(number, FormatError(number) if descr is None else descr)


class Installed:
    """What `install` did, and how to undo it: `uninstall()`, or the end of a with statement."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def _put(self, where: Any, name: str, value: Any) -> None:
        self._before.append((where, name, getattr(where, name, self)))
        setattr(where, name, value)

    def uninstall(self) -> None:
        """Puts back what was there; again does nothing."""
        global _installed
        while self._before:
            where, name, value = self._before.pop()
            if value is self:
                delattr(where, name)
            else:
                setattr(where, name, value)
        if _installed is self:
            _installed = None

    def __enter__(self) -> Installed:
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()


_installed: Installed | None = None


def install(longs: bool = False) -> Installed:
    """Makes ctypes look as it does on Windows: windll, WinDLL, oledll's sisters left out; WINFUNCTYPE, GetLastError,
    FormatError, WinError, get_last_error, set_last_error; and the words of wintypes that have 32 bits there.

    Parameters
    ----------
    longs : bool
        Give c_long and c_ulong 32 bits, too, for scripts that build structures of them. Until `uninstall`, code that
        means this platform's long gets the wrong one.

    Returns
    -------
    Installed
        Undoes it by `uninstall`, or at the end of a with statement. Calling `install` again answers the same.

    Raises
    ------
    RuntimeError
        On Windows, which has all of it.

    Notes
    -----
    A script is imported afterwards: what it took out of ctypes before, it has. Wide characters keep the size that they
    have in this process, and strings are answered so.
    """
    global _installed
    if sys.platform == "win32":
        raise RuntimeError("ctypes has Windows' own libraries here; use pybuf.windll itself")
    if _installed is None:
        _installed = Installed()
        names = {"windll": loader, "WinDLL": WinDLL, "WINFUNCTYPE": ctypes.CFUNCTYPE, "GetLastError": GetLastError,
                 "FormatError": FormatError, "WinError": WinError, "get_last_error": GetLastError,
                 "set_last_error": set_last_error}
        for name, value in names.items():
            _installed._put(ctypes, name, value)
        for name in ("DWORD", "ULONG", "UINT", "COLORREF", "LCID", "LCTYPE", "LGRPID"):
            _installed._put(ctypes.wintypes, name, ctypes.c_uint32)
        for name in ("LONG", "BOOL", "INT"):
            _installed._put(ctypes.wintypes, name, ctypes.c_int32)
        for name in ("LPDWORD", "PDWORD", "PULONG", "LPCOLORREF", "PLCID"):
            _installed._put(ctypes.wintypes, name, ctypes.POINTER(ctypes.c_uint32))
        for name in ("LPLONG", "PLONG", "LPBOOL", "PBOOL"):
            _installed._put(ctypes.wintypes, name, ctypes.POINTER(ctypes.c_int32))
    if longs and ctypes.sizeof(ctypes.c_ulong) != 4:
        _installed._put(ctypes, "c_ulong", ctypes.c_uint32)
        _installed._put(ctypes, "c_long", ctypes.c_int32)
    return _installed
