"""What can be run: each workload by its name, and what a run must know of it beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pybuf.bench.contenders import BASE, CONTENDERS


@dataclass(frozen=True)
class Workload:
    """A workload before it is run.

    isolation: "process", a contender per process, or "shared", all contenders in one.
    operations: about how many there are in one pass, for the estimate of the time.
    contenders: names of those that can do it; None for every allocator with C functions.
    is_processor_bound: whether one thread's wall time is processor time when nothing disturbs.
    """

    name: str
    what: str
    unit: str = "ns per event"
    isolation: str = "process"
    metrics: tuple[str, ...] = ("time", "memory")
    most_threads: int = 1
    passes: int = 1
    operations: int = 100_000
    base: str = BASE
    contenders: tuple[str, ...] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    is_default: bool = False
    is_processor_bound: bool = True

    def takes(self, entry: Mapping[str, Any]) -> bool:
        """Whether the contender of an order's entry can do it."""
        if self.contenders is not None:
            return entry["name"] in self.contenders
        return "library" in entry or "settings" in entry or entry["name"] in CONTENDERS


TRACE = Workload("trace", "the allocations of a recorded program", passes=6)

WORKLOADS: dict[str, Workload] = {}
