"""From what a person asks for, in words, to contenders and workloads that a manifest can name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pybuf.bench.analysis import EMPTY, OURS
from pybuf.bench.contenders import BASE, CONTENDERS, describe, look_python, variant_name
from pybuf.bench.contenders import variants as variants_of
from pybuf.bench.files import opened
from pybuf.bench.manifest import ChosenContender, ChosenWorkload
from pybuf.bench.tasks import SAME, SHIPPED
from pybuf.bench.trials import look
from pybuf.bench.workloads import DEFAULTS, WORKLOADS, parsed


def libraries(texts: Sequence[str]) -> list[ChosenContender]:
    """The contenders of ``--lib``. Raises ValueError, one line, for all but NAME=PATH with a name of its own."""
    found: list[ChosenContender] = []
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not name.strip() or not path or "," in name:
            raise ValueError(f"{text}: expected NAME=PATH, such as mine=./libmine.so")
        name = name.strip()
        if name in (*CONTENDERS, SAME) or any(one.name == name for one in found):
            raise ValueError(f"{name} is the name of another contender; choose one of your own")
        if not Path(path).is_file():
            raise ValueError(f"{path}: there is no such file; expected a shared library")
        found.append(ChosenContender(name, library=path))
    return found


def variants(texts: Sequence[str]) -> list[ChosenContender]:
    """The variants of ours that ``--set`` asks for. Raises ValueError, one line, for what no pool can be made with."""
    return [ChosenContender(variant_name(settings), settings=settings) for settings in variants_of(texts)]


def contenders(
    against: Sequence[str] | None, workloads: Sequence[str], more: Sequence[ChosenContender] = ()
) -> list[ChosenContender]:
    """The contenders for ``--against``: ours, the base of each workload, the empty harness, those named, and ``more``.

    None means all. Raises ValueError, naming what there is, for a name that is no contender's.
    """
    chosen = [WORKLOADS[name] for name in workloads if name in WORKLOADS]
    is_python = all(name in WORKLOADS and WORKLOADS[name].contenders for name in workloads)
    known = [] if is_python else list(CONTENDERS)
    for workload in chosen:
        known += [name for name in workload.contenders if name not in known]
    brought = [one.name for one in more]
    for name in against or ():
        if name not in known and name not in brought:
            raise ValueError(f"unknown contender {name!r}; there are {', '.join([*known, *brought])}")
    if against is not None:
        wanted = {OURS, BASE, EMPTY, *(workload.base for workload in chosen), *against}
        known = [name for name in known if name in wanted]
    return [*(ChosenContender(name) for name in known), *more]


def workloads(texts: Sequence[str], live_bytes: int | None = None) -> list[ChosenWorkload]:
    """The workloads that are named, without any those that run by default; files may be traces, tables or captures.

    Raises ValueError, one line, for unknown names and parameters.
    """
    found: list[ChosenWorkload] = []
    for text in texts or DEFAULTS:
        named = parsed(text)
        if named is None:
            one = traces([Path(text)])[0]
        else:
            workload, parameters = named
            if live_bytes is not None and "live_bytes" in parameters:
                parameters = {**parameters, "live_bytes": live_bytes}
            one = ChosenWorkload(workload.name, parameters)
        if one not in found:
            found.append(one)
    return found


def traces(paths: Sequence[Path]) -> list[ChosenWorkload]:
    """The replay of these files, each with its digest; without any, of the recording that ships with the package.

    A file that cannot be read has no digest: whoever reads it as a trace says so in more words.
    """
    if not paths:
        return [ChosenWorkload("trace", trace=SHIPPED)]
    return [ChosenWorkload("trace", trace=str(path), digest=digest(path)) for path in paths]


def digest(path: Path) -> str | None:
    """The SHA-256 of a file; None when it cannot be read."""
    found = hashlib.sha256()
    try:
        with opened(path) as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError:
        return None
    return found.hexdigest()


def listing(more: Sequence[ChosenContender] = ()) -> dict[str, Any]:
    """What there is: workloads, and each contender with its version and origin, or why it is missing."""
    contenders = []
    for entry in (*map(ChosenContender, CONTENDERS), *more):
        package = CONTENDERS[entry.name].package if entry.name in CONTENDERS else None
        contenders.append({"name": entry.name, "what": describe(entry.as_order()), "package": package, **look(entry)})
    known = {entry["name"] for entry in contenders}
    for name in dict.fromkeys(name for one in WORKLOADS.values() for name in one.contenders if name not in known):
        contenders.append({"name": name, "what": "buffers in Python", "package": None, **look_python(name)})
    workloads = [
        {"name": one.name, "what": one.what, "is_default": one.is_default,
         "metrics": [metric for metric in one.metrics if metric != "check"],
         "contenders": list(one.contenders), "parameters": one.parameters}
        for one in WORKLOADS.values()
    ]
    return {"workloads": workloads, "contenders": contenders}
