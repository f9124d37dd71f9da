"""`pybuf replay`: the allocations of a recorded program, through poolcore and its peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pybuf.bench import choices
from pybuf.cli.options import Request, manifest_of, measure, measuring

#: Seconds for each recording.
DEFAULT_S = 15.0


@click.command(short_help="Replay recorded programs through poolcore and its peers.")
@click.argument("trace", nargs=-1, type=click.Path(path_type=Path))
@measuring
@click.option("--pass", "passes", type=click.Choice(("first", "later", "both")), default="both", show_default=True,
              help="The first pass in a fresh process, the later ones, or both.")
def replay(trace: tuple[Path, ...], passes: str, **options: Any) -> None:
    """Replay the allocations, frees and reallocations of recorded programs.

    TRACE is a recording in any format that `pybuf trace info` knows, plain or compressed; without one, the trace of
    sqlite3 that ships with pybuf is replayed, for 15 seconds. Every contender runs in a fresh process, in rounds of
    random order. The first pass is what the recorded program would have seen; later passes find warm memory.

    Exit status: 0 done, 2 bad input, 130 interrupted.
    """
    request = Request(**options)
    workloads = choices.traces(trace)
    manifest = manifest_of(
        request, "replay", workloads, DEFAULT_S * len(workloads), ("time", "memory"),
        passes=["first", "later"] if passes == "both" else [passes],
    )
    measure(manifest, request, f"{len(workloads)} trace{'s' * (len(workloads) > 1)}")
