"""The allocators that are measured, each as addresses of its own C functions.

Loading happens in the process that runs the trial, and nowhere else: a peer that is merely mapped
already changes the process (its thread-local storage, its arenas). ``python -m pybuf.bench.contenders``
is such a process for whoever only wants to know what there is.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BASE = "glibc"


@dataclass(frozen=True)
class Contender:
    """What is known of an allocator before it is loaded. ``prefix`` begins the names of its functions."""

    name: str
    what: str
    library: str | None = None
    prefix: str = ""
    aligned: str = "aligned_alloc"
    package: str | None = None
    is_gil_needed: bool = False


#: In the order of the tables.
CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender("poolcore", "poolcore.Pool() through its C functions"),
        Contender("glibc", "malloc of the C library", "libc.so.6"),
        Contender("mimalloc", "mi_malloc", "libmimalloc.so.2", "mi_", package="libmimalloc2.0"),
        Contender("jemalloc", "malloc of jemalloc", "libjemalloc.so.2", package="libjemalloc2"),
        Contender(
            "tcmalloc", "tc_malloc", "libtcmalloc_minimal.so.4", "tc_", "memalign", "libtcmalloc-minimal4"
        ),
        Contender("pymalloc", "PyObject_Malloc, GIL held, one thread", is_gil_needed=True),
        Contender("empty", "the harness alone: blocks that are all the same page"),
    )
}

#: Environment that jemalloc needs to be loaded late; every contender runs with it.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=16384"}


#: What the names of a library's functions may begin with, the plain ones first.
PREFIXES = ("", "mi_", "tc_", "je_")
#: Contenders of workloads in Python that are packages; the others are Python's own types.
PYTHON_PACKAGES = ("numpy", "pyarrow")
#: Between the values of one setting that takes several, since a comma parts variants.
JOINT = "+"


class ContenderMissingError(Exception):
    """The allocator cannot be had in this process; its text says why."""


@dataclass(frozen=True)
class Functions:
    """Addresses of an allocator's functions, 0 where it has none.

    With ``pool`` they are called as alloc(pool, size), free(pool, block) and so on, else as malloc's.
    ``owner`` keeps what they belong to alive. ``origin`` is the file they come from.
    """

    malloc: int
    free: int
    realloc: int
    calloc: int
    aligned: int
    pool: int | None
    origin: str
    owner: object


class _Origin(ctypes.Structure):
    """What dladdr(3) fills in."""

    file: bytes | None
    base: int | None
    symbol: bytes | None
    address: int | None
    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def _file_of(address: int) -> str:
    found = _Origin()
    ctypes.CDLL(None).dladdr(ctypes.c_void_p(address), ctypes.byref(found))
    return os.path.realpath(os.fsdecode(found.file or b""))


def _address(library: ctypes.CDLL, name: str) -> int:
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except AttributeError:
        return 0


def _bare(library: ctypes.CDLL, prefix: str, calls: tuple[str, str, str, str, str]) -> Functions:
    names = [prefix + call for call in calls]
    addresses = [_address(library, name) for name in names]
    origin = _file_of(addresses[0]) if addresses[0] else ""
    # What a library lacks is looked up in those it depends on, and would be another allocator's.
    addresses = [address if address and _file_of(address) == origin else 0 for address in addresses]
    for name, address in zip(names[:2], addresses[:2], strict=True):
        if not address:
            raise ContenderMissingError(f"has no function {name}")
    malloc, free, realloc, calloc, aligned = addresses
    return Functions(malloc, free, realloc, calloc, aligned, pool=None, origin=origin, owner=library)


def load(
    name: str, library: str | None = None, settings: Mapping[str, Any] | None = None, same_as: str | None = None,
    work: int | None = None,
) -> Functions:
    """Load a contender into this process: ``load(**entry)`` for an entry of a trial's order.

    ``name`` is a key of CONTENDERS unless ``library``, a file to take the functions from, ``settings`` of
    ``poolcore.Pool`` or ``same_as``, the name of the contender that this one is again, says what it is.
    ``work`` puts a wrapper around its functions, which does so many units of work on every 64th call.
    Raises ContenderMissingError, with the loader's own message where there is one.
    """
    if work is not None:
        return _planted(load(name, library, settings, same_as), work)
    if library is not None:
        return _brought(library)
    if settings is not None:
        return _poolcore(settings)
    name = same_as or name
    contender = CONTENDERS[name]
    if name == "poolcore":
        return _poolcore({})
    if name == "empty":
        from pybuf.bench import _replay

        malloc, free, realloc = _replay.empty_functions()
        return Functions(malloc, free, realloc, 0, 0, pool=None, origin=_replay.__file__, owner=None)
    if name == "pymalloc":
        return _bare(ctypes.pythonapi, "PyObject_", ("Malloc", "Free", "Realloc", "Calloc", ""))
    assert contender.library is not None
    opened = _open(contender.library)
    functions = _bare(opened, contender.prefix, ("malloc", "free", "realloc", "calloc", contender.aligned))
    # A symbol that the library lacks is looked up in the libraries it depends on.
    if name != BASE and functions.origin == _file_of(_address(ctypes.CDLL(None), "malloc")):
        raise ContenderMissingError(f"{contender.library} has no malloc: what was found is the C library's")
    return functions


def _open(library: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(library, mode=os.RTLD_NOW | os.RTLD_LOCAL)
    except OSError as failure:
        raise ContenderMissingError(str(failure)) from None


def _planted(wrapped: Functions, work: int) -> Functions:
    from pybuf.bench._planted import Planted

    if wrapped.pool is not None:
        raise ContenderMissingError("a pool's functions cannot be wrapped, only those that are called as malloc is")
    planted = Planted((wrapped.malloc, wrapped.free, wrapped.realloc, wrapped.calloc, wrapped.aligned), work)
    return Functions(*planted.addresses, pool=planted.pool, origin=wrapped.origin, owner=(planted, wrapped))


def _brought(path: str) -> Functions:
    library = _open(os.path.realpath(path))
    for prefix in PREFIXES:
        malloc = _address(library, prefix + "malloc")
        if malloc and _file_of(malloc) == os.path.realpath(path):
            return _bare(library, prefix, ("malloc", "free", "realloc", "calloc", "aligned_alloc"))
    tried = ", ".join(f"{prefix}malloc" for prefix in PREFIXES)
    raise ContenderMissingError(f"{path} has no malloc of its own; looked for {tried}")


def _poolcore(settings: Mapping[str, Any]) -> Functions:
    try:
        import poolcore
    except ImportError as failure:
        raise ContenderMissingError(f"poolcore is not built: {failure}") from None
    pool = poolcore.Pool(**pool_arguments(settings))
    table = pool.c_functions()
    return Functions(
        table.alloc, table.free, table.realloc, table.calloc, table.aligned,
        pool=table.pool, origin=os.path.dirname(poolcore.__file__), owner=(pool, table),
    )


def pool_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What ``poolcore.Pool`` is called with for settings that a manifest holds, which are plain JSON.

    ``policies`` are names of ``poolcore.policies`` in small letters, and ``memory`` is "pages", "huge" or "small":
    huge pages as a pool chooses, from the first byte on, or never. Raises ValueError for others.
    """
    from poolcore import policies

    arguments = dict(settings)
    if "policies" in arguments:
        known: dict[str, Any] = {
            "guard": policies.Guard, "quarantine": policies.Quarantine, "fill": policies.Fill,
            "events": policies.Events,
        }
        names = arguments["policies"]
        for name in names:
            if name not in known:
                raise ValueError(f"policies: {name} is none of {', '.join(known)}")
        arguments["policies"] = [known[name]() for name in names]
    if "memory" in arguments:
        pages: dict[Any, bool | None] = {"pages": None, "huge": True, "small": False}
        if arguments["memory"] not in pages:
            raise ValueError(f"memory: {arguments['memory']} is none of {', '.join(pages)}")
        arguments["memory"] = policies.Pages(huge=pages[arguments["memory"]])
    return arguments


def variants(texts: Sequence[str]) -> list[dict[str, Any]]:
    """The settings of each variant that ``--set`` asks for, every value of one key with every value of the others.

    Raises ValueError, one line, for what is not KEY=V1,V2 or what no pool can be made with.
    """
    import poolcore

    choices = []
    for text in texts:
        key, equals, values = text.partition("=")
        if not key or not equals or not all(values.split(",")):
            raise ValueError(f"{text}: expected KEY=VALUE or KEY=V1,V2, such as sizes=64+1500,128+1500")
        choices.append([(key.strip(), _value(key.strip(), value.strip())) for value in values.split(",")])
    if len({choice[0][0] for choice in choices}) < len(choices):
        raise ValueError("a key is given twice; put all its values into one, parted by commas")
    found = [dict(pairs) for pairs in itertools.product(*choices)] if choices else []
    for settings in found:
        try:
            poolcore.Pool(**pool_arguments(settings)).close()
        except (TypeError, ValueError, OSError, MemoryError) as wrong:
            told = str(wrong)
            if "unexpected keyword" in told:
                told = (f"a Pool has no setting {' or '.join(settings)}; there are sizes, limit_bytes, limit_blocks, "
                        "memory, policies, on_exported, on_drop, name")
            raise ValueError(told) from None
    return found


def _value(key: str, text: str) -> Any:
    if key in ("sizes", "policies"):
        parts = [part.strip() for part in text.split(JOINT)]
        return parts if key == "policies" else [_number(part) for part in parts]
    return _number(text)


def _number(text: str) -> Any:
    """A number of bytes where it is one, with K, M or G after it for powers of 1,024; else the text."""
    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in ("K", "M", "G") else (text, "")
    if not digits.isascii() or not digits.isdigit():
        return None if text == "None" else text
    return int(digits) << {"": 0, "K": 10, "M": 20, "G": 30}[unit]


def variant_name(settings: Mapping[str, Any]) -> str:
    """What a variant of ours is called in tables."""
    def written(value: Any) -> str:
        return JOINT.join(map(str, value)) if isinstance(value, list) else str(value)

    return " ".join(["poolcore", *(f"{key}={written(value)}" for key, value in settings.items())])


def describe(entry: Mapping[str, Any]) -> str:
    """What the contender of an order's entry is, in a few words."""
    if entry.get("work") is not None:
        what = describe({key: value for key, value in entry.items() if key != "work"})
        planted = f"{entry['work']} units of work on every 64th call" if entry["work"] else "nothing else"
        return f"{what}, in a wrapper that adds {planted}"
    if entry.get("library") is not None:
        return f"malloc of {os.path.basename(entry['library'])}"
    if entry.get("settings") is not None:
        return "poolcore.Pool() with these settings"
    name = entry.get("same_as") or entry["name"]
    return CONTENDERS[name].what if name in CONTENDERS else name


def version(name: str, functions: Functions) -> str:
    """The version that a loaded contender says it is, empty where it says nothing."""
    if name == "empty":
        return ""
    if name == "pymalloc":
        return f"{platform.python_implementation()} {platform.python_version()}"
    if functions.pool is not None:
        from importlib import metadata

        return metadata.version("pybuf")
    library = functions.owner
    assert isinstance(library, ctypes.CDLL)
    for function, asked in _ASKED.items():
        address = _address(library, function)
        if address and _file_of(address) == functions.origin:
            return asked(library)
    return ""


def _mimalloc_version(library: ctypes.CDLL) -> str:
    number = library.mi_version()
    parts = (number // 10000, number // 100 % 100, number % 100) if number >= 10000 else (
        number // 100, number // 10 % 10, number % 10)
    return ".".join(map(str, parts))


def _tcmalloc_version(library: ctypes.CDLL) -> str:
    library.tc_version.restype = ctypes.c_char_p
    return str(library.tc_version(None, None, None).decode(errors="replace"))


def _jemalloc_version(library: ctypes.CDLL) -> str:
    text, size = ctypes.c_char_p(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_char_p))
    library.mallctl(b"version", ctypes.byref(text), ctypes.byref(size), None, ctypes.c_size_t(0))
    return (text.value or b"").decode(errors="replace").partition("-")[0]


def _glibc_version(library: ctypes.CDLL) -> str:
    library.gnu_get_libc_version.restype = ctypes.c_char_p
    return str(library.gnu_get_libc_version().decode())


_ASKED = {
    "mi_version": _mimalloc_version,
    "tc_version": _tcmalloc_version,
    "mallctl": _jemalloc_version,
    "gnu_get_libc_version": _glibc_version,
}


def class_edges() -> list[int]:
    """The sizes of the classes of ``poolcore.Pool()``, in bytes."""
    import poolcore

    with poolcore.Pool() as pool:
        return sorted(one.block_bytes for one in pool.stats().classes)


def look_python(name: str) -> dict[str, str]:
    """Version of what a workload in Python takes buffers from, as `look` answers it, without loading anything."""
    from importlib import metadata, util

    if name not in PYTHON_PACKAGES:
        return {"version": f"{platform.python_implementation()} {platform.python_version()}", "origin": "built in"}
    found = util.find_spec(name)
    if found is None:
        return {"missing": f"No module named '{name}'; pip install {name}"}
    return {"version": metadata.version(name), "origin": os.path.dirname(found.origin or "")}


def look(entry: Mapping[str, Any]) -> dict[str, str]:
    """Load the contender of an order's entry here, and answer its "version" and "origin", or why it is "missing"."""
    try:
        functions = load(**entry)
    except ContenderMissingError as missing:
        return {"missing": str(missing)}
    return {"version": version(entry.get("same_as") or entry["name"], functions), "origin": functions.origin}


if __name__ == "__main__":
    from pybuf.bench.children import answer
    from pybuf.bench.processor import end_with_parent

    end_with_parent()
    answer(lambda: look(json.loads(sys.argv[1])))
