"""What is timed. A job prepares one contender and returns a `Timed`; a process runs one job.

Run as ``python -m pybuf.bench.ratios.jobs REQUEST``, where REQUEST is a JSON object with ``job``, ``contenders``,
``rounds``, ``seed`` and the job's own parameters; the answer is one JSON object on standard output:
``rounds``, a list of ``{contender: value}``; ``repeats``, how many rounds were taken again because
something else had the processor; ``disturbed``, how many were kept although it had; ``notes``,
``{contender: text}``.
"""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from itertools import repeat
from statistics import median
from typing import Any

from pybuf.bench.ratios import _loops, routine_jobs
from pybuf.bench.ratios.callees import callee, pool
from pybuf.bench.ratios.timed import Timed, per_operation, timed_loop

IDLE_LIMIT = 1.02  # wall / processor time of a clean round
REPEATS_LIMIT = 20  # of one round


def resident_bytes() -> int:
    """Resident bytes of this process; smaps_rollup is exact where the counter of statm lags behind."""
    with open("/proc/self/smaps_rollup") as rollup:
        return next(int(line.split()[1]) << 10 for line in rollup if line.startswith("Rss:"))


def two_processors() -> list[int]:
    """The last two processors that this process may use, or the only one twice."""
    allowed = sorted(os.sched_getaffinity(0))
    return [allowed[-2 % len(allowed)], allowed[-1]]


# ---- C loops -------------------------------------------------------------------------------


def pair(name: str, size: int, count: int) -> Timed:
    """LIFO pairs of one size beside 64 live blocks of it; ns per pair."""
    target = callee(name, size)
    if name != "F0":
        _loops.verify(target, 256, size, size)
    pairs = _loops.Pair(target, size, 0 if name == "F0" else 64)
    return Timed(lambda: per_operation(pairs.run(count), count), pairs.close)


def working_set(name: str, live: int, low: int, high: int, steps: int, touch: bool = True) -> Timed:
    """Random replacement among `live` blocks of `low` to `high` bytes; ns per free and allocation."""
    blocks = _loops.Blocks(callee(name, high), live, max(steps, live))
    blocks.draw(low, high, steps, seed=live)
    blocks.fill(touch=touch)
    blocks.run(touch)

    def run() -> tuple[float, float]:
        return per_operation(blocks.run(touch), steps)

    def close() -> None:
        if touch:
            blocks.verify()
        blocks.drain()

    return Timed(run, close)


def batch(name: str, live: int, size: int, passes: int) -> Timed:
    """`live` blocks allocated, then freed in random order; ns per allocation and free."""
    target = callee(name, size)
    _loops.verify(target, live, size, size)
    blocks = _loops.Blocks(target, live)
    blocks.draw_batch(size, seed=live)
    blocks.run_batch(1)
    return Timed(lambda: per_operation(blocks.run_batch(passes), live * passes))


def threads(name: str, pools: int, size: int, count: int) -> Timed:
    """Pairs of two threads, each beside 64 live blocks of its own, a second, over those of one thread alone."""
    targets = [callee(name, size) for _ in range(pools)]
    two = two_processors()
    for target in targets:
        _loops.verify(target, 256, size, size)

    def run() -> tuple[float, float]:
        (one_ns, one_idle), (other_ns, other_idle), (two_ns, two_idle) = (
            _loops.run_threads(targets, size, count, cpus) for cpus in (two[:1], two[1:], two)
        )
        return (one_ns + other_ns) / two_ns, max(one_idle, other_idle, two_idle)

    run()
    return Timed(run)


def handoff(name: str, size: int, count: int) -> Timed:
    """Blocks that one thread allocates and another frees; ns per block."""
    target = callee(name, size)
    _loops.verify(target, 1000, size, size)
    _loops.run_handoff(target, size, count, two_processors())

    def run() -> tuple[float, float]:
        wall_ns, idle = _loops.run_handoff(target, size, count, two_processors())
        return wall_ns / count, idle

    return Timed(run)


def first_allocation(name: str, size: int) -> Timed:
    """The first allocation of a new thread, median of 101 threads; ns."""
    target = callee(name, size)
    cpu = two_processors()[1]
    return Timed(lambda: (median(_loops.run_first(target, size, cpu)[0] for _ in range(101)), 1.0))


def resident(name: str, phase: str, live: int) -> Timed:
    """Resident bytes over live bytes, every byte of every block written, after a phase.

    `one`: blocks of 1500 B. `mix`: of 16 to 1500 B. `shift`: mix, then 3 x live replacements of 16..300 B,
    then of 1000..1500 B. `kept`: the same, then all freed and trimmed; resident over the most there was.
    """
    # Made and thrown away once, so that what the libraries keep for themselves is not counted.
    _loops.verify(callee(name, 1500), 64, 16, 1500)
    gc.collect()
    before = resident_bytes()
    owner = pool(name, 1500) if name.startswith("poolcore") else None
    target = callee(name, 1500, owner)
    blocks = _loops.Blocks(target, live, 3 * live)

    def used() -> int:
        return resident_bytes() - before - blocks.own_bytes

    def run() -> tuple[float, float]:
        blocks.draw(1500 if phase == "one" else 16, 1500, live, seed=1)
        blocks.fill(whole=True)
        most = used()
        if phase in ("shift", "kept"):
            for low, high, seed in ((16, 300, 2), (1000, 1500, 3)):
                blocks.draw(low, high, 3 * live, seed)
                blocks.run()
                most = max(most, used())
        blocks.verify()
        value = used() / max(blocks.live_bytes, 1)
        blocks.drain()
        if phase == "kept":
            if owner is not None:
                owner.trim()
            value = used() / most
        return value, 1.0

    return Timed(run)


def scaling(name: str, size: int, steps: int) -> Timed:
    """Random replacement in an address-space pool with as many blocks live as the name says; ns."""
    return working_set("poolcore addresses", int(name), size, size, steps, touch=False)


# ---- Python loops --------------------------------------------------------------------------


def python_pair(name: str, size: int, count: int) -> Timed:
    """free(get(size)), or bytearray(size); ns per pair."""
    if name == "bytearray":

        def fresh(count: int) -> None:
            for _ in repeat(None, count):
                bytearray(size)

        return timed_loop(fresh, count)
    source = _loops.NoOp() if name == "no-op" else pool(name, size)
    get, free = source.get, source.free
    neighbours = [get(size) for _ in range(64)]

    def pairs(count: int) -> None:
        for _ in repeat(None, count):
            free(get(size))

    return timed_loop(pairs, count, neighbours=(free, neighbours))


def python_view(name: str, size: int, count: int) -> Timed:
    """get, memoryview, release, free; `bytearray` alone is without the view, `bytearray viewed` with it."""
    if name == "bytearray":
        return python_pair(name, size, count)
    if name == "bytearray viewed":

        def fresh(count: int) -> None:
            for _ in repeat(None, count):
                memoryview(bytearray(size)).release()

        return timed_loop(fresh, count)
    source = pool(name, size)
    get, free = source.get, source.free
    neighbours = [get(size) for _ in range(64)]

    def views(count: int) -> None:
        for _ in repeat(None, count):
            block = get(size)
            view = memoryview(block)
            view.release()
            free(block)

    return timed_loop(views, count, neighbours=(free, neighbours))


def python_live(name: str, live: int, size: int, count: int) -> Timed:
    """Random replacement among `live` Buffers or bytearrays, a byte written into each; ns per replacement."""
    draw = random.Random(live)
    slots = [draw.randrange(live) for _ in range(count)]
    if name == "bytearray":
        arrays = [bytearray(size) for _ in range(live)]

        def fresh(count: int) -> None:
            for slot in slots:
                arrays[slot] = block = bytearray(size)
                block[0] = 1

        return timed_loop(fresh, count)
    source = pool(name, size)
    get, free = source.get, source.free
    blocks = [get(size) for _ in range(live)]

    def replace(count: int) -> None:
        for slot in slots:
            free(blocks[slot])
            blocks[slot] = block = get(size)
            block[0] = 1

    return timed_loop(replace, count, neighbours=(free, blocks))


def python_many(name: str, size: int, many: int, count: int) -> Timed:
    """free_many(get_many(size, many)), or as many bytearrays; ns per block."""
    if name == "bytearray":

        def fresh(count: int) -> None:
            for _ in repeat(None, count):
                [bytearray(size) for _ in repeat(None, many)]

        return timed_loop(fresh, count, many)
    source = pool(name, size)
    get_many, free_many = source.get_many, source.free_many

    def batches(count: int) -> None:
        for _ in repeat(None, count):
            free_many(get_many(size, many))

    return timed_loop(batches, count, many)


def addresses(name: str, size: int, many: int, count: int) -> Timed:
    """free_many(alloc_many(size, many)) ns per block; `C pair` is one through pointers."""
    if name == "C pair":
        return pair("poolcore", size, count * many)
    source = pool(name, size)
    alloc_many, free_many = source.alloc_many, source.free_many

    def batches(count: int) -> None:
        for _ in repeat(None, count):
            free_many(alloc_many(size, many))

    return timed_loop(batches, count, many)


def create_close(name: str, count: int) -> Timed:
    """A pool made and closed, and with one block in between where the name says so; ns."""
    import poolcore

    make = poolcore.Pool

    def empty(count: int) -> None:
        for _ in repeat(None, count):
            make().close()

    def one(count: int) -> None:
        for _ in repeat(None, count):
            source = make()
            source.free(source.alloc(1500))
            source.close()

    return timed_loop(one if name == "one block" else empty, count)


def importing(name: str) -> Timed:
    """`from array import array` or `from poolcore import Pool` in a bare interpreter, median of 15; ns.

    The class is imported with the module: poolcore loads what it needs when a name is first used.
    """
    wanted = {"array": "array", "poolcore": "Pool"}[name]
    program = (
        "import sys, time\n"
        "loaded = set(sys.modules)\n"
        "start = time.perf_counter_ns()\n"
        f"from {name} import {wanted}\n"
        "stop = time.perf_counter_ns()\n"
        "new = sorted(set(sys.modules) - loaded)\n"
        "print(stop - start, *(module for module in new if sys.modules[module].__spec__))\n"
    )
    foreign: set[str] = set()

    def run() -> tuple[float, float]:
        taken = []
        for _ in range(15):
            wall_ns, *modules = subprocess.check_output([sys.executable, "-P", "-c", program], text=True).split()
            taken.append(int(wall_ns))
            foreign.update(module for module in modules if module.partition(".")[0] != name)
        return float(median(taken)), 1.0

    def note() -> str:
        return f"also loads {', '.join(sorted(foreign))}" if foreign else "loads no module but its own"

    return Timed(run, note=note)


# ---- the process ---------------------------------------------------------------------------

JOBS: dict[str, Callable[..., Timed]] = {
    job.__name__: job
    for job in (
        pair, working_set, batch, threads, handoff, first_allocation, resident, scaling, importing,
        python_pair, python_view, python_live, python_many, addresses, create_close,
        routine_jobs.ras_pair, routine_jobs.door_pair, routine_jobs.windll_pair, routine_jobs.server_enum,
        routine_jobs.server_names, routine_jobs.stream,
    )
}  # fmt: skip


def run_job(request: dict[str, Any]) -> dict[str, Any]:
    """Runs one request: all contenders in this process, each once a round, in random order."""
    request = dict(request)
    job = JOBS[request.pop("job")]
    names: list[str] = request.pop("contenders")
    rounds: int = request.pop("rounds")
    order = random.Random(request.pop("seed"))
    order.shuffle(names)
    timed = {name: job(name, **request) for name in names}
    taken: list[dict[str, float]] = []
    repeats = disturbed = 0
    for _ in range(rounds):
        for left in range(REPEATS_LIMIT, -1, -1):
            order.shuffle(names)
            values = {name: timed[name].run() for name in names}
            if all(idle <= IDLE_LIMIT for _, idle in values.values()):
                break
            if left:
                repeats += 1
            else:
                disturbed += 1
        taken.append({name: value for name, (value, _) in values.items()})
    notes = {name: timed[name].note() for name in names}
    for name in names:
        timed[name].close()
    return {"rounds": taken, "repeats": repeats, "disturbed": disturbed, "notes": notes}


if __name__ == "__main__":
    print(json.dumps(run_job(json.loads(sys.argv[1]))))
