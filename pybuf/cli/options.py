"""What `bench` and `replay` have in common: their options, and the run from a manifest to its files."""

from __future__ import annotations

import importlib.util
import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pybuf.bench import choices, journal, processor, runner
from pybuf.bench.manifest import ChosenContender, ChosenWorkload, Manifest
from pybuf.bench.reports import export, html, perfetto, terminal
from pybuf.bench.result import Result
from pybuf.bench.tasks import Plan, plan
from pybuf.cli import INTERRUPTED
from pybuf.cli.refusal import Refusal

Function = TypeVar("Function", bound=Callable[..., Any])
#: Of the workloads that run with any number.
THREADS_MAX = 64
METRICS = ("time", "latency", "memory")
QUICK_S = 20.0


@dataclass(frozen=True)
class Request:
    """The options of a run as they were given; None where the command has a default of its own."""

    against: list[str] | None
    libraries: list[ChosenContender]
    variants: list[ChosenContender]
    threads: list[int]
    touch: str
    time_s: float | None
    rounds: int | None
    is_quick: bool
    metrics: list[str] | None
    live_bytes: int | None
    cpus: list[int] | None
    seed: int | None
    directory: Path | None
    is_json: bool


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _against(_: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else _names(value)


def _metrics(_: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    names = _names(value)
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise Refusal(f"--metric: unknown metric {(unknown or [value])[0]!r}; there are {', '.join(METRICS)}")
    return list(dict.fromkeys(names))


def _threads(_: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    names = _names(value)
    if not names or not all(name.isdecimal() and 0 < int(name) <= THREADS_MAX for name in names):
        raise Refusal(f"--threads {value}: expected numbers of threads from 1 to {THREADS_MAX}, such as 1,2")
    return list(dict.fromkeys(map(int, names)))


def _seconds(_: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h|)", value.strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0
    if not seconds:
        raise Refusal(f"--time {value}: expected a duration, such as 30s, 2m or 1h")
    return seconds


def _bytes(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d+)\s*([KMG]?)(?:i?B)?", value.strip(), re.IGNORECASE)
    size = int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2].upper()] if found else 0
    if not size:
        raise Refusal(f"--live {value}: expected a number of bytes, such as 64M")
    return size


def _processors(_: click.Context, parameter: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    try:
        return processor.parsed(value)
    except ValueError as wrong:
        raise Refusal(f"--cpu: {wrong}") from None


def _libraries(_: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[ChosenContender]:
    try:
        return choices.libraries(value)
    except ValueError as wrong:
        raise Refusal(f"--lib: {wrong}") from None


def _settings(_: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[ChosenContender]:
    try:
        return choices.variants(value)
    except ValueError as wrong:
        raise Refusal(f"--set: {wrong}") from None


_OPTIONS = (
    click.option("--against", metavar="NAME,...", callback=_against,
                 help="Peers to run beside poolcore, glibc and the empty harness.  [default: all]"),
    click.option("--lib", "libraries", metavar="NAME=PATH", multiple=True, callback=_libraries,
                 help="A shared library with a malloc to run beside them, under this name."),
    click.option("--set", "variants", metavar="KEY=V1,V2", multiple=True, callback=_settings,
                 help="Settings of poolcore.Pool to run as variants; + joins several sizes: sizes=64+1500,128."),
    click.option("--threads", default="1", show_default=True, metavar="N,...", callback=_threads,
                 help="Numbers of threads to run with; workloads that need one or two run with that many."),
    click.option("--touch", type=click.Choice(("line", "page", "all")), default="line", show_default=True,
                 help="What is written of every block: its first line, every page, every byte."),
    click.option("--time", "time_s", metavar="DURATION", callback=_seconds,
                 help="How long to measure in all, such as 30s.  [default: 2m; of replay, 15s for each trace]"),
    click.option("--rounds", type=click.IntRange(min=1),
                 help="How many rounds of each comparison, in place of --time."),
    click.option("--quick", "is_quick", is_flag=True, help="The same as --time 20s."),
    click.option("--metric", "metrics", metavar="NAME,...", callback=_metrics,
                 help="time, latency, memory.  [default: time; of replay, time,memory]"),
    click.option("--live", "live_bytes", metavar="SIZE", callback=_bytes,
                 help="Bytes that size tables are scaled to.  [default: 64M]"),
    click.option("--cpu", "cpus", metavar="LIST", callback=_processors, help="Processors to run on, such as 0,2-3."),
    click.option("--seed", type=int,
                 help="Repeat what an earlier run drew: words, orders, memory offsets.  [default: random]"),
    click.option("-o", "directory", metavar="DIR", type=click.Path(path_type=Path),
                 help="Write the result, its manifest and the report there; an interrupted run goes on from there."),
    click.option("--json", "is_json", is_flag=True, help="Print the result as JSON in place of the tables."),
)


def measuring(function: Function) -> Function:
    """The options of a run, for a command that takes them as keywords and makes a ``Request`` of them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def manifest_of(
    request: Request, kind: str, workloads: Sequence[ChosenWorkload], time_s: float, metrics: Sequence[str], **more: Any
) -> Manifest:
    """The manifest of what was asked for; ``time_s`` and ``metrics`` are the command's defaults."""
    limits = [name for name, is_given in (
        ("--time", request.time_s is not None), ("--rounds", request.rounds is not None), ("--quick", request.is_quick)
    ) if is_given]
    if len(limits) > 1:
        raise Refusal(f"{' and '.join(limits)} say two things; give one of them")
    if request.live_bytes is not None and not any("live_bytes" in one.parameters for one in workloads):
        raise Refusal("--live: it scales size tables, and there is none among what is to run")
    try:
        contenders = choices.contenders(
            request.against, [one.name for one in workloads], [*request.libraries, *request.variants])
    except ValueError as wrong:
        raise Refusal(f"--against: {wrong}") from None
    if request.rounds is None:
        time_s = request.time_s or (QUICK_S if request.is_quick else time_s)
    return Manifest(
        kind=kind,
        command=["pybuf", *sys.argv[1:]],
        seed=random.randrange(1 << 32) if request.seed is None else request.seed,
        contenders=contenders,
        workloads=list(workloads),
        metrics=list(request.metrics or metrics),
        threads=request.threads,
        touch=request.touch,
        rounds=request.rounds,
        time_s=None if request.rounds else time_s,
        live_bytes=request.live_bytes,
        cpus=request.cpus,
        **more,
    )


def measure(manifest: Manifest, request: Request, what: str) -> None:
    """Run a manifest, show what it found, and write the files. ``what`` is said of it beside its duration."""
    notes = Console(stderr=True, highlight=False, markup=False)
    planned, is_resumed = begun(manifest, request)
    rounds = "" if manifest.rounds is None else f", {manifest.rounds} round{'s' * (manifest.rounds > 1)}"
    count = len(manifest.contenders)
    notes.print(f"{what}, {count} contenders{rounds}: about {max(planned.estimate_s, 1):.0f} s", soft_wrap=True)
    if is_resumed:
        notes.print(f"going on with the rounds in {request.directory}", soft_wrap=True)
    if planned.few_rounds:
        notes.print(
            f"about {planned.few_rounds} rounds will fit, and with fewer than 8 there are ranges but no intervals; "
            "--rounds 8 or a longer --time gives them", soft_wrap=True)
    try:
        found = _run(planned, request.directory, notes)
    except journal.RunError as wrong:
        raise Refusal(str(wrong)) from None
    show(found, request, request.directory, notes)
    if not found.is_complete:
        done = sum(one.rounds for one in found.comparisons)
        end_early(f"{done} round{'s' * (done != 1)}", request, notes)


def begun(manifest: Manifest, request: Request) -> tuple[Plan, bool]:
    """The plan of a manifest, its directory prepared; and whether it goes on with an unfinished run, whose seed it has.

    Raises Refusal for what cannot be run, and for a directory that cannot be had.
    """
    try:
        planned = plan(manifest)
        if request.directory is None:
            return planned, False
        manifest, is_resumed = journal.begin(manifest, request.directory, request.seed is not None)
    except (ValueError, journal.RunError) as wrong:
        raise Refusal(str(wrong)) from None
    return replace(planned, manifest=manifest), is_resumed


def end_early(done: str, request: Request, notes: Console) -> NoReturn:
    """Say after what a run was interrupted and whether that is kept, and exit with the status of an interrupted one."""
    kept = "without -o DIR they are lost"
    if request.directory is not None:
        kept = f"they are kept in {request.directory}, and the same command goes on from there"
    notes.print(f"interrupted after {done}: {kept}", soft_wrap=True)
    sys.exit(INTERRUPTED)


def show(found: Result, request: Request, directory: Path | None, notes: Console) -> None:
    """Print a result as was asked for, and write its files into ``directory`` if there is one.

    The run is at its end when that is the directory of the request.
    """
    if request.is_json:
        click.echo(found.as_json(), nl=False)
    else:
        terminal.print_result(found, directory, terminal.console())
    if directory is not None and request.directory is not None:
        try:
            _write(found, directory, directory == request.directory, notes)
        except OSError as failure:
            raise Refusal(
                f"{failure.filename or directory}: {failure.strerror}; the rounds are kept in "
                f"{request.directory / journal.JOURNAL}: make room, and the same command writes the rest"
            ) from None


def _write(found: Result, directory: Path, is_whole: bool, notes: Console) -> None:
    if is_whole:
        journal.write(found, directory)
    else:
        found.save(directory / "result.json")
    written = ["result.json"]
    try:
        html.write_report(found.as_dict(), directory / "report.html")
        perfetto.write_timeline(found.as_dict(), directory / "timeline.json")
        written += ["report.html", "timeline.json"]
    except ModuleNotFoundError as missing:
        notes.print(f"no report: it needs {missing.name}; install it with: pip install 'pybuf[bench]'", soft_wrap=True)
    for name, write in (("pyperf.json", export.write_pyperf), ("latency.hlog", export.write_latencies)):
        try:
            write(found.as_dict(), directory / name)
        except ModuleNotFoundError as missing:
            library = (missing.name or "").partition(".")[0]
            notes.print(f"no {name}: it needs {library}; install it with: pip install 'pybuf[bench]'", soft_wrap=True)
        if (directory / name).exists():
            written.append(name)
    if _has("matplotlib"):
        from pybuf.bench.reports import chart

        chart.write_chart(found, directory / "replay.png")
        written.append("replay.png")
    else:
        notes.print("no picture: it needs matplotlib; install it with: pip install 'pybuf[bench]'", soft_wrap=True)
    notes.print(f"files: {', '.join(str(directory / name) for name in written)}", soft_wrap=True)


def _has(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ValueError:  # None stands in its place
        return False


def _run(planned: Plan, directory: Path | None, notes: Console) -> Result:
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        console=notes, transient=True, auto_refresh=False, disable=not notes.is_terminal,
    )
    with bar:
        task = bar.add_task("starting", total=1)

        def advance(what: str, share: float) -> None:
            if not share and not notes.is_terminal:
                notes.print(what, soft_wrap=True)
            # Drawn between trials only: a thread that refreshes the bar would disturb them.
            bar.update(task, completed=share, description=what)
            bar.refresh()

        return runner.run(planned, directory, advance)
