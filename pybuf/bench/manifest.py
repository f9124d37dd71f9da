"""Everything that is needed to run a benchmark again: written beside its result, and all that a run is given."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pybuf.bench.jsonfile import ForeignFileError, decode, read_json, write_json

SCHEMA = 2
WHAT = "a manifest written by pybuf bench or pybuf replay"


@dataclass(frozen=True)
class ChosenContender:
    """A contender as a trial is told of it.

    ``library`` is the file of one that was brought along, ``settings`` are those of ``poolcore.Pool`` in a
    variant of ours, ``same_as`` names the contender that this one is again. ``work`` puts a wrapper around it that
    does so many units of work on every 64th call: a planted slowdown, or with 0 what that is compared with.
    """

    name: str
    library: str | None = None
    settings: dict[str, Any] | None = None
    same_as: str | None = None
    work: int | None = None

    def as_order(self) -> dict[str, Any]:
        """What stands in a trial's order: only what is given."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class ChosenWorkload:
    """A workload and its parameters. One that replays a trace has its file and the SHA-256 of that file."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    trace: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Manifest:
    """A run of ``bench`` or ``replay``, before it is run.

    Exactly one of ``rounds`` (of each comparison) and ``time_s`` (seconds for all of them) is given.
    ``cpus`` are processors to run on; None leaves the choice to the run. ``passes`` are those of workloads
    that have several. ``order`` is that of a trace's calls, "exact" or "threads"; ``is_oversubscribed`` allows more
    threads of a trace than processors.
    """

    kind: str
    command: list[str]
    seed: int
    contenders: list[ChosenContender]
    workloads: list[ChosenWorkload]
    metrics: list[str]
    threads: list[int]
    touch: str
    rounds: int | None = None
    time_s: float | None = None
    live_bytes: int | None = None
    cpus: list[int] | None = None
    passes: list[str] = field(default_factory=lambda: ["first", "later"])
    order: str = "exact"
    is_oversubscribed: bool = False
    schema: int = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers."""
        return asdict(self)

    def is_same_run(self, other: Manifest) -> bool:
        """Whether ``other`` measures the same, whatever its seed and however its command line was written."""
        return replace(self, seed=0, command=[]) == replace(other, seed=0, command=[])

    @property
    def command_line(self) -> str:
        """What to type to run it again."""
        return shlex.join(self.command)

    def save(self, path: Path) -> None:
        """Write it as JSON; an OSError is the caller's to explain."""
        write_json(path, self.as_dict())


def load(path: Path) -> Manifest:
    """Read a manifest. Raises ForeignFileError, one line that names the file, for anything else."""
    found = read_json(path, WHAT)
    check_schema(path, found, WHAT)
    try:
        return decode(Manifest, found)
    except ForeignFileError as wrong:
        raise ForeignFileError(f"{path}: {wrong}; expected {WHAT}") from None


def check_schema(path: Path, found: dict[str, Any], what: str) -> None:
    """Raise ForeignFileError, in one line, unless ``found`` says that it is of this version's schema."""
    schema = found.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise ForeignFileError(f"{path}: has no schema number; expected {what}")
    if schema < SCHEMA:
        raise ForeignFileError(
            f"{path}: is of schema {schema}, which an older pybuf wrote; this one reads schema {SCHEMA}: run it again"
        )
    if schema > SCHEMA:
        raise ForeignFileError(f"{path}: is of schema {schema}, this pybuf reads schema {SCHEMA}: upgrade pybuf")
