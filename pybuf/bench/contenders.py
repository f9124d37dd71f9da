"""The allocators that a trace is replayed through, each as addresses of its own C functions.

Loading happens in the process that runs the trial, and nowhere else: a peer that is merely mapped
already changes the process (its thread-local storage, its arenas).
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass

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
    for name, address in zip(names[:2], addresses[:2], strict=True):
        if not address:
            raise ContenderMissingError(f"has no function {name}")
    malloc, free, realloc, calloc, aligned = addresses
    return Functions(malloc, free, realloc, calloc, aligned, pool=None, origin=_file_of(malloc), owner=library)


def load(name: str, library: str | None = None) -> Functions:
    """Load the contender ``name`` into this process: a key of CONTENDERS, or any with a ``library`` to take.

    Raises ContenderMissingError, with the loader's own message where there is one.
    """
    if library is not None:
        try:
            brought = ctypes.CDLL(os.path.realpath(library), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as failure:
            raise ContenderMissingError(str(failure)) from None
        return _bare(brought, "", ("malloc", "free", "realloc", "calloc", "aligned_alloc"))
    contender = CONTENDERS[name]
    if name == "poolcore":
        return _poolcore()
    if name == "empty":
        from pybuf.bench import _replay

        malloc, free, realloc = _replay.empty_functions()
        return Functions(malloc, free, realloc, 0, 0, pool=None, origin=_replay.__file__, owner=None)
    if name == "pymalloc":
        return _bare(ctypes.pythonapi, "PyObject_", ("Malloc", "Free", "Realloc", "Calloc", ""))
    assert contender.library is not None
    try:
        library = ctypes.CDLL(contender.library, mode=os.RTLD_NOW | os.RTLD_LOCAL)
    except OSError as failure:
        raise ContenderMissingError(str(failure)) from None
    functions = _bare(library, contender.prefix, ("malloc", "free", "realloc", "calloc", contender.aligned))
    # A symbol that the library lacks is looked up in the libraries it depends on.
    if name != BASE and functions.origin == _file_of(_address(ctypes.CDLL(None), "malloc")):
        raise ContenderMissingError(f"{contender.library} has no malloc: what was found the C library's")
    return functions


def _poolcore() -> Functions:
    try:
        import poolcore
    except ImportError as failure:
        raise ContenderMissingError(f"poolcore is not built: {failure}") from None
    pool = poolcore.Pool()
    table = pool.c_functions()
    return Functions(
        table.alloc, table.free, table.realloc, table.calloc, table.aligned,
        pool=table.pool, origin=os.path.dirname(poolcore.__file__), owner=(pool, table),
    )
