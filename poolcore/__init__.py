"""Memory pools: a slab allocator whose free takes any pointer and says exactly what it was.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

_HOMES = {
    "C_API": "_capi",
    "Block": "_python",
    "Buffer": "_python",
    "Event": "_python",
    "Pool": "_python",
    "TRACEMALLOC_DOMAIN": "_python",
    "DoubleFreeError": "errors",
    "ExportedBlockError": "errors",
    "ForeignBlockError": "errors",
    "FreeError": "errors",
    "InteriorPointerError": "errors",
    "PoolExhausted": "errors",
    "AddressSpace": "policies",
    "Events": "policies",
    "Faults": "policies",
    "Fill": "policies",
    "Guard": "policies",
    "LowMemory": "policies",
    "Pages": "policies",
    "Quarantine": "policies",
    "ClassStats": "stats",
    "Stats": "stats",
    "Verdict": "stats",
}

__all__ = sorted([*_HOMES, "get_include"])


def get_include():
    """The directory of poolcore.h, for the include_dirs of an extension in C or Cython."""
    return f"{__path__[0]}/include"


def __getattr__(name):
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'poolcore' has no attribute {name!r}")
    value = getattr(__import__(f"poolcore.{home}", None, None, (name,)), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
