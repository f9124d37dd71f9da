"""One contender of a row, ready to be timed, and the loop that times Python."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Timed:
    """One contender, ready to be timed.

    run: takes one measurement, returns (value, idle): nanoseconds per operation, or what the job says;
        idle is wall time / processor time, 1.0 where that means nothing.
    close: checks what was computed and gives everything back.
    note: said beside the value.
    """

    run: Callable[[], tuple[float, float]]
    close: Callable[[], None] = lambda: None
    note: Callable[[], str] = lambda: ""


def per_operation(times: tuple[int, int], operations: int) -> tuple[float, float]:
    """A loop's (wall_ns, cpu_ns) as the (value, idle) of a `Timed`."""
    wall_ns, cpu_ns = times
    return wall_ns / operations, wall_ns / max(cpu_ns, 1)


def timed_loop(
    body: Callable[[int], object],
    count: int,
    per: int = 1,
    neighbours: tuple[Callable[[Any], object], list[Any]] = (id, []),
) -> Timed:
    """Times body(count), which does `count` rounds of `per` operations; frees the neighbours at the end."""

    def run() -> tuple[float, float]:
        cpu_ns = time.thread_time_ns()
        wall_ns = time.perf_counter_ns()
        body(count)
        wall_ns = time.perf_counter_ns() - wall_ns
        return per_operation((wall_ns, time.thread_time_ns() - cpu_ns), count * per)

    def close() -> None:
        gc.enable()
        free, blocks = neighbours
        for block in blocks:
            free(block)

    gc.disable()
    body(count)
    return Timed(run, close)
