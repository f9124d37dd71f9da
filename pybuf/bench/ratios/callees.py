"""Contenders as `Callee` objects for the compiled loops: floors, peers, and pools made in the ways under test."""

from __future__ import annotations

from typing import Any

from pybuf.bench.contenders import load
from pybuf.bench.ratios import _loops

FLOORS = ("F0", "F1", "F3")


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
    raise ValueError(f"{name!r} is not a way to make a pool")


def callee(name: str, size: int, owner: Any = None) -> _loops.Callee:
    """The contender `name` for blocks of at most `size` bytes; `owner` is its pool, if there is one."""
    if name in FLOORS:
        return _loops.floor(name, size)
    if not name.startswith("poolcore"):
        functions = load(name)
        return _loops.Callee(name, functions.malloc, functions.free, functions.pool, functions.owner)
    owner = pool(name, size) if owner is None else owner
    table = owner.c_functions()
    return _loops.Callee(name, table.alloc, table.free, table.pool, (owner, table))
