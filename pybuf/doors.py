"""Writes the functions of the C and ctypes doors, pybuf/_doors.pxi, from the table of routines; setup.py runs it first.

Of every routine that a family's .pxd declares: a function of C that acts on the thread's machine (now_), one that
takes a machine (with_), both in the Microsoft convention as well (now_ms_, with_ms_), and one for ctypes (py_), which
keeps the GIL, acts on the context's machine and raises. RAS has a set of its own for each session.

It runs in the root of a checkout that is not built yet, so that it imports nothing of the package.
"""

from __future__ import annotations

import re
import runpy
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOORS = Path("pybuf/_doors.pxi")
SESSIONS = 64
TABLE = runpy.run_path("pybuf/routines.py")

# What a routine acts on, and the parameter that is looked up for it and not passed on.
SCOPES = {
    "ras": ("ras_own_session({machine})", None),
    "netapi": ("{machine}", None),
    "videoport": ("video_device_find({machine}, HwDeviceExtension)", "HwDeviceExtension"),
    "hdaudio": ("audio_client_find(context)", "context"),
}


def declarations(family: str) -> str:
    """What a family's .pxd says; nothing while there is none."""
    path = Path(f"pybuf/_{family}.pxd")
    return path.read_text() if path.exists() else ""


def declares(text: str, name: str) -> bool:
    """Whether a .pxd declares a function."""
    return bool(name) and re.search(rf"^cdef [^#\n]*\b{name}\(", text, re.MULTILINE) is not None


def call(routine: Any, core: str, scope: str, convention: str, wchar_bytes: str, *more: str) -> str:
    """The call of a family's function with what its door was given."""
    given = [scope, *([wchar_bytes] if routine.has_text else [])]
    given += [each.name for each in routine.parameters if each.name != SCOPES[routine.family][1]]
    given += [{"hold": "NULL", "bug": "&bug", "abi": f"ABI_{convention}"}[each] for each in routine.extra]
    return f"{core}({', '.join([*given, *more])})"


def door(routine: Any, form: str, machine: str, scope: str | None = None, word: str = "", core: str = "") -> str:
    """One function. `machine` is an expression, or a parameter if it is that word; `word` the calling convention's.
    `core`: another function than the routine's own.
    """
    result = TABLE["RESULTS"][routine.result] or "void"
    scope = scope or SCOPES[routine.family][0].format(machine=machine)
    parameters = ["machine_t *machine"] if machine == "machine" else []
    parameters += [f"{each.compiled} {each.name}".replace("* ", "*") for each in routine.parameters]
    is_python = form == "py_"
    ends = "noexcept nogil" if not is_python else "except *" if result == "void" else f"except? <{result}>-1"
    lines = [f"cdef {result} {word}{form}{routine.name}({', '.join(parameters)}) {ends}:"]
    convention = "MS" if word in ("__stdcall ", "__fastcall ") else "PLATFORM"
    value = call(routine, core or routine.core, scope, convention, "sizeof(wchar_t)" if is_python else "2")
    if "bug" in routine.extra:
        deliver = "bug_raise" if is_python else "bug_deliver_c"
        lines += ["    cdef bug_check_t bug", *([f"    cdef {result} answer"] if result != "void" else []),
                  "    bug.code = 0", "    " + ("" if result == "void" else "answer = ") + value,
                  "    if rarely(bug.code != 0):", f"        {deliver}(video_machine_of({scope}), &bug)",
                  *(["    return answer"] if result != "void" else [])]
    elif result == "void":
        lines.append(f"    {value}")
    else:
        lines.append(f"    return {f'<{result}>' if result == 'int32_t' else ''}{value}")
    return "\n".join(lines) + "\n"


def door_with_halves(routine: Any, form: str, machine: str, quick: str, word: str, text: str) -> str:
    """Two functions: one that tries the family's `..._fast` on the machine `quick` and else jumps to the other, with
    its `..._slow` or the whole routine and never inlined. So the first makes no call; in the Microsoft convention one
    would cost it 20 saved registers.
    """
    core = f"{routine.core}_slow" if declares(text, f"{routine.core}_slow") else ""
    slow = door(routine, f"slow_{form}", machine, None, "__fastcall " if word else "__cdecl ", core)
    head = slow.partition("\n")[0]
    result = TABLE["RESULTS"][routine.result]
    names = re.findall(r"\*?(\w+)[,)]", head.partition("(")[2].rpartition(")")[0] + ")")
    fast = call(routine, f"{routine.core}_fast", quick, "", "2", "&answer")
    head = re.sub(rf"__(fastcall|cdecl) slow_{form}", f"{word}{form}", head)
    return (f"{slow}\n\n{head}\n    cdef {result} answer\n"
            f"    if {fast}:\n        return answer\n"
            f"    return slow_{form}{routine.name}({', '.join(names)})\n")


def wrapped(line: str) -> str:
    """A line, or several of at most 120 characters."""
    text = line.lstrip()
    indent = line[: len(line) - len(text)]
    # What follows the parameters stays with the last one.
    text = re.sub(r"(?<=\)) (noexcept nogil|except.*):$", lambda found: found[0].replace(" ", "\0"), text)
    parts = textwrap.wrap(text, 120, initial_indent=indent, subsequent_indent=indent + " " * (text.find("(") + 1))
    return "\n".join(parts).replace("\0", " ")


def doors_of(routine: Any, text: str) -> Iterator[str]:
    """The functions of one routine."""
    if routine.family == "hdaudio":
        yield door(routine, "now_", "")
        yield door(routine, "now_ms_", "", None, "__stdcall ")
        return
    for form, machine, quick in (("now_", "machine_here()", "quick_machine"), ("with_", "machine", "machine")):
        for convention, word in (("", ""), ("ms_", "__stdcall ")):
            if declares(text, f"{routine.core}_fast"):
                yield door_with_halves(routine, form + convention, machine, quick, word, text)
            else:
                yield door(routine, form + convention, machine, None, word)
    yield door(routine, "py_", "machine_of_python()")
    # A machine with sessions has no fast path.
    for slot in range(1, SESSIONS + 1) if routine.family == "ras" else ():
        yield door(routine, f"session_{slot}_", "", f"&sessions[{slot}]")
        yield door(routine, f"session_ms_{slot}_", "", f"&sessions[{slot}]", "__stdcall ")


def write_doors() -> None:
    """Writes pybuf/_doors.pxi, if it would be another."""
    there = {family: declarations(family) for family in TABLE["FAMILIES"]}
    here = [each for each in TABLE["ROUTINES"] if declares(there[each.family], each.core)]
    parts = ["# Written by doors.py from routines.py.\n\n"]
    if any(each.has_text for each in here):
        parts.append("from libc.stddef cimport wchar_t\n\n")
    if any(each.family == "hdaudio" for each in here):
        parts.append("from libc.stdint cimport uint8_t, uint16_t\n\n")
    if any("bug" in each.extra for each in here):
        parts.append("from pybuf._machine cimport bug_deliver_c\nfrom pybuf._platform cimport rarely\n")
    for family, text in there.items():
        cores = sorted({each.core for each in here if each.family == family})
        names = [name for core in cores for name in (core, f"{core}_fast", f"{core}_slow") if declares(text, name)]
        if names:
            names += {"ras": ["ras_own_session", "sessions"], "videoport": ["video_device_find", "video_machine_of"],
                      "hdaudio": ["audio_client_find"]}.get(family, [])
            parts.append(f"from pybuf._{family} cimport (\n" + "".join(f"    {name},\n" for name in names) + ")\n")
    for routine in here:
        parts += ["\n\n", "\n\n".join(doors_of(routine, there[routine.family]))]
    in_table = [each for each in TABLE["ROUTINES"] if each.core and each.family != "hdaudio"]
    parts.append('\n\ncdef extern from "pybuf.h":\n')
    for struct in ("pybuf_routines", "pybuf_machine_routines", "pybuf_routines_ms", "pybuf_machine_routines_ms"):
        parts += [f"    ctypedef struct {struct}:\n", *(f"        void *{each.name}\n" for each in in_table)]
    parts.append("\n\ncdef int entries_fill(pybuf_api *table, dict entries) except -1:\n")
    for routine in here:
        forms = ["now_", "now_ms_"] + ([] if routine.family == "hdaudio" else ["with_", "with_ms_", "py_"])
        if routine.family == "ras":
            forms += [f"session_{ms}{slot}_" for ms in ("", "ms_") for slot in range(1, SESSIONS + 1)]
        for form in forms:
            place = {"with_": "with_", "with_ms_": "with_ms"}.get(form, form.rstrip("_"))
            if routine.family != "hdaudio" and place in ("now", "with_", "now_ms", "with_ms"):
                guard = "if HAS_MS_ABI:\n        " if "ms" in place else ""
                parts.append(f"    {guard}table.{place}.{routine.name} = <void *>{form}{routine.name}\n")
            parts.append(f'    entries["{form}{routine.name}"] = <uintptr_t><void *>{form}{routine.name}\n')
    parts.append("    return 0\n")
    text = "\n".join(wrapped(line) for line in "".join(parts).split("\n"))
    if not DOORS.exists() or DOORS.read_text() != text:
        DOORS.write_text(text)
