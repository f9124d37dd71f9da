"""`pybuf bench`: workloads through poolcore and its peers."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console

from pybuf.bench import choices, report, runner
from pybuf.cli.options import Request, manifest_of, measure, measuring
from pybuf.cli.refusal import Refusal

DEFAULT_S = 120.0


@click.command(short_help="Run workloads through poolcore and its peers.")
@click.argument("workload", nargs=-1)
@click.option("--list", "is_list", is_flag=True,
              help="Show the workloads and the contenders: version, file, or why one is missing and how to get it.")
@measuring
def bench(workload: tuple[str, ...], is_list: bool, **options: Any) -> None:
    """Run WORKLOADs through poolcore and the allocators beside it, and say which is faster, or that none is.

    Without names a few representative workloads are run, for two minutes. Every round runs every contender, in random
    order; ratios are formed within a round and have intervals of 99 %, from 8 rounds on.

    Exit status: 0 done, 2 bad input, 130 interrupted.
    """
    request = Request(**options)
    if is_list:
        listed = runner.listing([*request.libraries, *request.variants])
        if request.is_json:
            click.echo(json.dumps(listed, indent=1))
        else:
            report.print_listing(listed, Console())
        return
    try:
        workloads = choices.workloads(workload, request.live_bytes)
    except ValueError as unknown:
        raise Refusal(str(unknown)) from None
    manifest = manifest_of(request, "bench", workloads, DEFAULT_S, ("time",))
    measure(manifest, request, f"{len(workloads)} workload{'s' * (len(workloads) > 1)}")
