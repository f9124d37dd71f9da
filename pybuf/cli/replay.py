"""`pybuf replay`: the allocations of a recorded program, through poolcore and its peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pybuf.bench import choices
from pybuf.bench.order import ORDERS
from pybuf.cli.options import Request, manifest_of, measure, measuring
from pybuf.cli.refusal import Refusal

#: Seconds for each recording.
DEFAULT_S = 15.0


@click.command(short_help="Replay recorded programs through poolcore and its peers.")
@click.argument("trace", nargs=-1, type=click.Path(path_type=Path))
@measuring
@click.option("--pass", "passes", type=click.Choice(("first", "later", "both")), default="both", show_default=True,
              help="The first pass in a fresh process, the later ones, or both.")
@click.option("--order", type=click.Choice(ORDERS), default="exact", show_default=True,
              help="All calls one after the other as recorded, or each recorded thread's in a thread of its own.")
@click.option("--oversubscribe", "is_oversubscribed", is_flag=True,
              help="With --order threads: also where there are more threads than processors.")
def replay(trace: tuple[Path, ...], passes: str, order: str, is_oversubscribed: bool, **options: Any) -> None:
    """Replay the allocations, frees and reallocations of recorded programs.

    TRACE is a recording in any format that `pybuf trace info` knows, plain or compressed; without one, the trace of
    sqlite3 that ships with pybuf is replayed. Every contender runs in a fresh process. A timed round runs all of them
    in random order and, where there is time, once more in the opposite order. The first pass is what the recorded
    program would have seen; later passes find warm memory.

    --order threads replays what constrained the program: each thread's own order, and that a block is allocated
    before another thread frees it. Times are then makespans; a second table has processor time, the share of time that
    threads waited for each other, and the peak of live bytes beside the recorded one. The trace must have thread ids,
    as those of `pybuf record` do. Pauses are replayed where it has times: at most 10 ms each, and shortened in
    proportion to a quarter of a second for each pass.

    Exit status: 0 done, 2 bad input, 130 interrupted.
    """
    request = Request(**options)
    if request.threads != [1]:
        raise Refusal(
            f"--threads {','.join(map(str, request.threads))}: a trace is replayed on one thread; "
            "--order threads gives each recorded thread one of its own")
    workloads = choices.traces(trace)
    manifest = manifest_of(
        request, "replay", workloads, DEFAULT_S * len(workloads), ("time", "memory"),
        passes=["first", "later"] if passes == "both" else [passes], order=order, is_oversubscribed=is_oversubscribed,
    )
    measure(manifest, request, f"{len(workloads)} trace{'s' * (len(workloads) > 1)}")
