"""`pybuf tune`: size classes that fit a program."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pybuf.bench import tune as bench
from pybuf.cli.refusal import Refusal

FIGURES = {
    "slab": (("slab bytes, peak", "slab_peak"), ("slab bytes, over time", "slab_mean")),
    "internal": (("wasted inside blocks, peak", "internal_peak"), ("wasted inside blocks, over time", "internal_mean")),
}


def _count(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isdecimal() or not 1 <= int(value) <= bench.CLASSES_MAX:
        raise Refusal(f"--classes {value}: expected a number of size classes from 1 to {bench.CLASSES_MAX}")
    return int(value)


@click.command(short_help="Fit a pool's size classes to a program.")
@click.argument("path", metavar="TRACE|SIZES.csv|CAPTURE.pcap", type=click.Path(path_type=Path))
@click.option("--classes", metavar="K", callback=_count,
              help="How many size classes, 1 to 96.  [default: up to 20 numbers are tried out]")
@click.option("--for", "objective", type=click.Choice(("slab", "internal")), default="slab", show_default=True,
              help="What is to be small: slab bytes, half-empty slabs included, or what is wasted inside blocks.")
@click.option("-o", "directory", metavar="DIR", type=click.Path(path_type=Path),
              help="Write tune.json there, and tune.png where matplotlib is installed.")
def tune(path: Path, classes: int | None, objective: str, directory: Path | None) -> None:
    """Fit size classes to what a program allocated, and say what they are worth.

    Given a trace of any format that pybuf trace reads, a table of sizes (SIZE, RATE, LIVE BLOCKS, as pybuf record
    --sizes writes it) or a packet capture. Classes are fitted to the first half and judged by the second, by replaying
    both through pools; from a table two runs are drawn in place of the halves. Where the classes gain nothing there,
    the default ones are proposed.

    Exit status: 0 done, 2 bad input.
    """
    notes = Console(stderr=True, highlight=False, markup=False)
    try:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
        subject = bench.load(path)
        found = bench.tune(subject, objective, classes, lambda line: notes.print(line, soft_wrap=True))
    except bench.TuneError as wrong:
        raise Refusal(str(wrong)) from None
    except OSError as failure:
        raise Refusal(f"-o {directory}: {failure.strerror or failure}") from None
    console = Console(highlight=False, markup=False) if sys.stdout.isatty() else Console(
        highlight=False, markup=False, width=120)
    _print(found, classes, console)
    if directory is not None:
        try:
            _write(found, directory)
        except OSError as failure:
            raise Refusal(f"-o {directory}: {failure.strerror or failure}") from None
        console.print(f"written: {directory / 'tune.json'}", soft_wrap=True)


def _print(found: bench.Tuning, asked: int | None, console: Console) -> None:
    console.print(f"{found.subject}: {found.what}", style="bold", soft_wrap=True)
    for note in found.notes:
        console.print(f"  {note}", style="dim", soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("bytes")
    for heading in ("default", "fitted", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    other = "internal" if found.objective == "slab" else "slab"
    for half, role in ((found.fit, "fitted to"), (found.judge, "judged by")):
        table.add_row(f"{half.name}, {role}", style="bold")
        for name, figure in (*FIGURES[found.objective], *FIGURES[other]):
            old, new = getattr(half.default, figure), getattr(half.fitted, figure)
            change = f"{new / old - 1:+.1%}" if old else "" if new else "+0.0%"
            is_objective = figure.startswith(found.objective)
            table.add_row(f"  {name}", f"{old:,.0f}", f"{new:,.0f}", change, style="" if is_objective else "dim")
        floor = half.floor
        for name, live, rounded in (("peak", floor.live_peak, floor.rounded_peak),
                                    ("over time", floor.live_mean, floor.rounded_mean)):
            share = f"{(rounded - live) / live:.1%} of it" if live else ""
            table.add_row(f"  asked for, {name}", f"{live:,.0f}", "", "", style="dim")
            table.add_row(f"  alignment floor, {name}", f"{rounded - live:,.0f}", "", share, style="dim")
        table.add_section()
    console.print(table)
    console.print(
        "Slab bytes count half-empty slabs and those that a pool keeps. The alignment floor is what multiples of 16 "
        "bytes (and whole slabs for blocks above 64 KiB) add to what was asked for: no classes save it.", style="dim")
    if asked is not None and found.used < asked and found.classes:
        console.print(f"{found.used} classes hold every size of the {found.fit.name}: more would stand empty.")
    if found.classes:
        spare = len(found.classes) - found.used
        spares = f", and {spare} spare for sizes that did not occur" if spare else ""
        tried = f"{len(found.tried)} number{'s' * (len(found.tried) != 1)} of classes"
        console.print(f"Tried: {tried}. Fitted: {found.used}{spares}.")
    console.print(found.verdict(), style="bold")
    console.print(found.line, soft_wrap=True)


def _write(found: bench.Tuning, directory: Path) -> None:
    (directory / "tune.json").write_text(json.dumps(found.as_dict(), indent=1) + "\n", encoding="utf-8")
    if importlib.util.find_spec("matplotlib") is not None:
        from pybuf.bench.reports import chart

        chart.write_tuning(found, directory / "tune.png")
