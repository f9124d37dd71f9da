"""The contenders as `Callee` objects: pools of poolcore by the policies under test, floors, peers."""

from __future__ import annotations

import ctypes
from typing import Any

from pybuf.bench import _loops

PEERS = {
    "glibc": None,  # the process's own malloc
    "mimalloc": "libmimalloc.so.2",
    "jemalloc": "libjemalloc.so.2",
    "tcmalloc": "libtcmalloc_minimal.so.4",
}
FLOORS = ("F0", "F1", "F3")


def address_of(function: Any) -> int:
    """Where the machine code of a ctypes function starts."""
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


def pool(name: str, size: int) -> Any:
    """A new pool: `poolcore`, or `poolcore` and a word that says what it is made with."""
    import poolcore

    if name == "poolcore":
        return poolcore.Pool()
    if name == "poolcore one-class":
        return poolcore.Pool(sizes=size)
    if name == "poolcore huge":
        return poolcore.Pool(memory=poolcore.Pages(huge=True))
    if name == "poolcore limit":
        return poolcore.Pool(limit_bytes=1 << 40)
    if name == "poolcore events":
        return poolcore.Pool(policies=(poolcore.Events(),))
    if name == "poolcore guard":
        return poolcore.Pool(policies=(poolcore.Guard(),))
    if name == "poolcore quarantine":
        return poolcore.Pool(policies=(poolcore.Quarantine(blocks=64),))
    if name == "poolcore addresses":
        return poolcore.Pool(memory=poolcore.AddressSpace(1 << 32, 1 << 36))
    raise ValueError(f"contender {name!r}: not a floor, not a peer and not a way to make a pool")


def callee(name: str, size: int, owner: Any = None) -> _loops.Callee:
    """The contender `name` for blocks of at most `size` bytes; `owner` is its pool, if there is one."""
    if name in FLOORS:
        return _loops.floor(name, size)
    if name in PEERS:
        library = ctypes.CDLL(PEERS[name])
        return _loops.Callee(name, address_of(library.malloc), address_of(library.free), None, library)
    owner = pool(name, size) if owner is None else owner
    table = owner.c_functions()
    return _loops.Callee(name, table.alloc, table.free, table.pool, (owner, table))
