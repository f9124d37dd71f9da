"""`pybuf bench`: workloads through poolcore and its peers."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console

from pybuf.bench import choices, cluster, journal
from pybuf.bench.manifest import Manifest
from pybuf.bench.reports import terminal
from pybuf.cli.options import Request, begun, end_early, manifest_of, measure, measuring, show
from pybuf.cli.refusal import Refusal

DEFAULT_S = 120.0
FILES = ("result.json", "report.html", "timeline.json", "pyperf.json", "latency.hlog", "replay.png")


@click.command(short_help="Run workloads through poolcore and its peers.")
@click.argument("workload", nargs=-1)
@click.option("--list", "is_list", is_flag=True,
              help="Show the workloads and the contenders: version, file, or why one is missing and how to get it.")
@click.option("--cluster", "address", metavar="ADDRESS",
              help="Run on the workers of the Dask scheduler at this address, each comparison on one of them.")
@measuring
def bench(workload: tuple[str, ...], is_list: bool, address: str | None, **options: Any) -> None:
    """Run WORKLOADs through poolcore and the allocators beside it, and say which is faster, or that none is.

    WORKLOAD is a name of --list, or NAME:KEY=VALUE,... to change its parameters, or a file: a table of sizes (.csv), a
    packet capture (.pcap) or a recorded trace. Without any, the three that --list marks are run, for two minutes.

    Every timed round runs every contender, in random order, and where each has a process of its own and there is time,
    once more in the opposite order. Ratios are formed within a round and have intervals of 99 %, from 8 rounds on.

    On a cluster there is a result for each kind of machine, and of several each has its files in DIR/machine-N.

    Exit status: 0 done, 2 bad input, 130 interrupted.
    """
    request = Request(**options)
    if is_list:
        listed = choices.listing([*request.libraries, *request.variants])
        if request.is_json:
            click.echo(json.dumps(listed, indent=1))
        else:
            terminal.print_listing(listed, terminal.console())
        return
    try:
        workloads = choices.workloads(workload, request.live_bytes)
    except ValueError as unknown:
        raise Refusal(str(unknown)) from None
    manifest = manifest_of(request, "bench", workloads, DEFAULT_S, ("time",))
    what = f"{len(workloads)} workload{'s' * (len(workloads) > 1)}"
    if address is None:
        measure(manifest, request, what)
    else:
        _measure_on(address, manifest, request, what)


def _measure_on(address: str, manifest: Manifest, request: Request, what: str) -> None:
    notes = Console(stderr=True, highlight=False, markup=False)

    def say(words: str) -> None:
        notes.print(words, soft_wrap=True)

    plan, _ = begun(manifest, request)
    count = len(plan.tasks)
    say(f"{what}, {count} comparison{'s' * (count > 1)}, {len(manifest.contenders)} contenders: "
        f"about {max(plan.estimate_s, 1):.0f} s, divided among the workers")
    try:
        results = cluster.run(address, plan, request.directory, say)
    except journal.RunError as wrong:
        raise Refusal(str(wrong)) from None
    if len(results) > 1:
        say(f"{len(results)} kinds of machines: their figures are not merged, each kind has a result of its own")
        for line in cluster.unlike(results):
            say(line)
        if request.directory is not None:  # of an earlier run, all of one kind
            for name in FILES:
                (request.directory / name).unlink(missing_ok=True)
    for number, found in enumerate(results, start=1):
        directory = request.directory
        if directory is not None and len(results) > 1:
            directory = directory / f"machine-{number}"
            directory.mkdir(exist_ok=True)
            found.manifest.save(directory / "manifest.json")
        show(found, request, directory, notes)
    is_complete = len(results) > 0 and all(found.is_complete for found in results)
    if is_complete and len(results) > 1 and request.directory is not None:
        journal.end(request.directory)
    if not is_complete:
        done = sum(len(found.comparisons) for found in results)
        end_early(f"{done} of {count} comparisons", request, notes)
