"""`pybuf replay`: the allocations of a recorded program, through poolcore and its peers."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pybuf.bench import replay as bench
from pybuf.bench import report, traces


class Refusal(click.ClickException):
    """What was given cannot be used: one line, and the status of a wrong command line."""

    exit_code = 2


def _contenders(_: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    names = None if value is None else [name.strip() for name in value.split(",") if name.strip()]
    try:
        return bench.contenders(names)
    except ValueError as unknown:
        raise Refusal(f"--against: {unknown}") from None


def _directory(_: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    if value is None:
        return None
    if importlib.util.find_spec("matplotlib") is None:
        raise Refusal("-o: the chart needs matplotlib; install it with: pip install 'pybuf[bench]'")
    try:
        value.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise Refusal(f"-o {value}: {failure.strerror}; expected a directory to write to") from None
    return value


@click.command(short_help="Replay recorded programs through poolcore and its peers.")
@click.argument("trace", nargs=-1, type=click.Path(path_type=Path))
@click.option("--against", metavar="NAME,...", callback=_contenders,
              help="Peers to run beside poolcore, glibc and the empty harness.  [default: all]")
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(min=1),
              help="How often every contender runs each trace, in a fresh process each time.")
@click.option("-o", "directory", metavar="DIR", type=click.Path(path_type=Path), callback=_directory,
              help="Write replay.json and the chart replay.png there.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON in place of the tables.")
@click.option("--seed", type=int, help="Repeat the order and offsets of an earlier run.  [default: random]")
def replay(
    trace: tuple[Path, ...], against: list[str], rounds: int, directory: Path | None, is_json: bool,
    seed: int | None,
) -> None:
    """Replay the allocations, frees and reallocations of recorded programs.

    TRACE is glibc mtrace text, plain or compressed (.xz, .gz); without one, the trace of sqlite3 that
    ships with pybuf is replayed. Every contender runs in a fresh process, in rounds of random order.
    The first pass is what the recorded program would have seen; later passes find warm memory.
    """
    notes = Console(stderr=True, highlight=False)
    try:
        recordings = [traces.read(path) for path in trace or (traces.default_path(),)]
    except traces.TraceError as failure:
        raise Refusal(str(failure)) from None
    seconds = bench.estimate_s(recordings, against, rounds)
    notes.print(
        f"{len(recordings)} trace{'s' * (len(recordings) > 1)}, {len(against)} contenders, {rounds} rounds: "
        f"about {max(seconds, 1):.0f} s"
    )
    found = _run(recordings, against, rounds, random.randrange(1 << 32) if seed is None else seed, notes)
    text = json.dumps(found.as_dict(), indent=1)
    if is_json:
        click.echo(text)
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=120)
        report.print_report(found, console)
    if directory is not None:
        from pybuf.bench import chart

        (directory / "replay.json").write_text(text + "\n")
        chart.write_chart(found, directory / "replay.png")
        notes.print(f"figures: {directory / 'replay.json'}\nchart:   {directory / 'replay.png'}", soft_wrap=True)


def _run(
    recordings: list[traces.Trace], against: list[str], rounds: int, seed: int, notes: Console
) -> bench.Report:
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=notes, transient=True, auto_refresh=False, disable=not notes.is_terminal,
    )
    with bar:
        task = bar.add_task("checking", total=bench.steps(recordings, rounds))

        def advance(what: str) -> None:
            # Drawn between trials only: a thread that refreshes the bar would disturb them.
            bar.update(task, advance=1, description=what)
            bar.refresh()

        return bench.replay(recordings, against, rounds, seed, advance)
