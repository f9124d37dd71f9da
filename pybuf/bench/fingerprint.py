"""What a figure depends on, so that results are compared only where that means something.

No name of a host or a user is in it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pybuf.bench import processor

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
#: Another value of one of these makes another experiment; of all others, a warning.
REFUSING = {
    "processor": "processor model",
    "c_library": "C library",
    "kernel": "kernel",
    "huge_pages": "setting of transparent huge pages",
    "python": "Python",
    "gil": "GIL",
}
WARNING = {
    "processors": "number of processors",
    "system": "system",
    "is_address_randomized": "randomization of addresses",
}


def take(builds: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The fingerprint of this machine, with ``builds`` as ``build`` gives them for each contender by name."""
    described = processor.description()
    return {
        "processor": described["processor"],
        "processors": int(described["processors"]),
        "c_library": described["c_library"],
        "kernel": ".".join(platform.release().split(".")[:2]),
        "system": described["system"],
        "huge_pages": _huge_pages(),
        "python": described["python"],
        "gil": "without" if sysconfig.get_config_var("Py_GIL_DISABLED") else "with",
        "is_address_randomized": processor.is_randomized(),
        "builds": {name: dict(found) for name, found in builds.items()},
    }


def _huge_pages() -> str:
    try:
        text = HUGE_PAGES.read_text()
    except OSError:
        return "unknown"
    return text.partition("[")[2].partition("]")[0] or "unknown"


def build(origin: str, version: str = "") -> dict[str, str]:
    """What tells one build of a contender from another: its version, and the SHA-256 of the file it came from.

    Of a directory, the Python package that it is: over its sources and extension modules, by name.
    """
    digest = hashlib.sha256()
    try:
        for path in _files(Path(origin)):
            digest.update(os.fsencode(path.name) + b"\0")
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError:
        return {"version": version, "digest": ""}
    return {"version": version, "digest": digest.hexdigest()}


def _files(origin: Path) -> Iterator[Path]:
    if not origin.is_dir():
        yield origin
        return
    yield from sorted(path for path in origin.iterdir() if path.suffix in (".so", ".pyd", ".py"))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """How two fingerprints differ, a line each: first what makes a comparison meaningless, then what only warns."""
    refusing = _changed(REFUSING, old, new)
    for name in sorted(old.get("builds", {}).keys() & new.get("builds", {}).keys()):
        one, other = old["builds"][name], new["builds"][name]
        if one != other:
            refusing.append(f"{name} is another build: {_written(one)} and {_written(other)}")
    return refusing, _changed(WARNING, old, new)


def _changed(names: Mapping[str, str], old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"another {what}: {old.get(key, 'unknown')} and {new.get(key, 'unknown')}"
        for key, what in names.items() if old.get(key) != new.get(key)
    ]


def _written(found: Mapping[str, str]) -> str:
    return " ".join(filter(None, (found.get("version"), f"({found.get('digest', '')[:12] or 'unknown file'})")))
