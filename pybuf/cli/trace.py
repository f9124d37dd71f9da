"""`pybuf trace`: look into recordings, and turn one format into another."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pybuf.bench.recordings import records, traces
from pybuf.cli.refusal import Refusal

#: Sizes of their own in the table of `info`; the rest is summed.
SIZE_ROWS = 8

_files = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
_json = click.option("--json", "is_json", is_flag=True, help="Print JSON in place of the tables.")


@click.group(short_help="Look into recordings, and convert them.")
def trace() -> None:
    """Look into recordings, and turn one format into another.

    Formats are seen from the content: glibc mtrace text, RMM's CSV log and what `pybuf record` writes, all three
    plain or compressed (.xz, .gz); memray captures (which need memray, and are read only); and our Parquet schema
    (which needs pyarrow; it is specified in docs/trace-format.md).
    """


@trace.command()
@_files
@_json
def info(files: tuple[Path, ...], is_json: bool) -> None:
    """Say what is in each FILE: format, program, events, threads, sizes, peaks, and what is amiss."""
    console = _console()
    found = []
    for path in files:
        try:
            recording = traces.read(path)
        except traces.TraceError as failure:
            raise Refusal(str(failure)) from None
        found.append({**recording.facts(), "size_counts": recording.size_counts})
        if not is_json:
            _print_facts(recording, console)
    if is_json:
        click.echo(json.dumps(found, indent=1))


def _print_facts(recording: traces.Trace, console: Console) -> None:
    console.print(recording.path, style="italic", markup=False, soft_wrap=True)
    grid = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in _rows(recording):
        grid.add_row(name, value)
    console.print(grid)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("bytes", "asked for", "share"):
        table.add_column(heading, justify="right")
    total = sum(recording.size_counts.values())
    often = sorted(recording.size_counts.items(), key=lambda one: -one[1])
    for size, count in often[:SIZE_ROWS]:
        table.add_row(f"{size:,}", f"{count:,}", f"{count / total:.1%}")
    if rest := often[SIZE_ROWS:]:
        count = sum(count for _, count in rest)
        table.add_row(f"{len(rest):,} others", f"{count:,}", f"{count / total:.1%}")
    console.print(table)
    console.print()


def _rows(recording: traces.Trace) -> Iterator[tuple[str, str]]:
    notes = recording.notes
    yield "format", recording.format
    if notes.get("program"):
        yield "program", f"{notes['program']}" + (f" (process {notes['pid']})" if notes.get("pid") else "")
    yield "events", f"{recording.recorded_events:,}, {recording.recorded_calls:,} calls"
    yield "threads", "not recorded" if recording.thread_count is None else f"{recording.thread_count:,}"
    yield "time", "not recorded" if recording.duration_ns is None else f"{recording.duration_ns / 1e9:.3f} s"
    if recording.alignments is None:
        yield "alignments", "not recorded"
    else:
        yield "alignments", f"{recording.aligned_allocations:,} allocations asked for one"
    if recording.zeroed_allocations:
        yield "cleared blocks", f"{recording.zeroed_allocations:,} allocations (calloc)"
    yield "sizes", f"{recording.sizes:,}"
    yield "live at the peak", f"{recording.peak_live_bytes:,} bytes; {recording.peak_live_blocks:,} blocks at most"
    yield "never freed", f"{recording.never_freed_blocks:,} blocks, {recording.never_freed_bytes:,} bytes"
    for name, count in (
        ("torn", recording.torn_lines), ("frees of unrecorded blocks", recording.unknown_frees),
        ("lost frees", recording.lost_frees), ("failed allocations", recording.failed_allocations),
        ("64 GiB and more", recording.too_large),
    ):
        if count:
            yield name, f"{count:,}"
    if notes.get("earlier_programs"):
        yield "earlier programs", f"{notes['earlier_programs']:,} of this process, not recorded"
    if notes.get("unrecorded_events"):
        yield "not recorded", f"{notes['unrecorded_events']:,} events: {notes.get('stopped', 'no room')}"


@trace.command()
@_files
@click.option("-o", "target", metavar="OUT", required=True, type=click.Path(path_type=Path),
              help="The file to write, or a directory for several.")
@click.option("--to", "kind", metavar="FORMAT", type=click.Choice([*traces.FORMATS, "memray"]),
              help=f"{', '.join(traces.FORMATS)}.  [default: as OUT's name ends]")
def convert(files: tuple[Path, ...], target: Path, kind: str | None) -> None:
    """Write each FILE in another format.

    The end of OUT's name says which: .mtrace or .txt, .csv (RMM's log), .parquet, .pybuf (as pybuf record writes); all
    but .parquet may have .xz or .gz behind. What the new format cannot say is named. With several files OUT
    is a directory, and --to says the format.
    """
    if kind == "memray":
        raise Refusal("--to memray: captures are read only: memray has no writer for records it did not make")
    is_directory = target.is_dir()
    if len(files) > 1 and not is_directory:
        raise Refusal(f"-o {target}: expected a directory, for several files")
    if is_directory and kind is None:
        raise Refusal(f"-o {target}: is a directory; say the format with --to")
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    for path in files:
        out = target
        if is_directory and kind is not None:
            out = target / (traces.name_of(path) + traces.FORMATS[kind][0])
        try:
            lost = traces.convert(path, out, kind)
        except traces.TraceError as failure:
            raise Refusal(str(failure)) from None
        without = f"; {', '.join(lost)} cannot be said in it" if lost else ""
        notes.print(f"{out}: {out.stat().st_size:,} bytes{without}", markup=False)


@trace.command()
@_files
@click.option("-n", "count", default=20, show_default=True, type=click.IntRange(min=1), help="How many events.")
@_json
def head(files: tuple[Path, ...], count: int, is_json: bool) -> None:
    """Print the first events of each FILE; with --json one object a line."""
    console = _console()
    for path in files:
        try:
            with traces.open_source(path) as source:
                rows = list(_first(source, count))
                _print_head(path, source, rows, console, is_json)
        except traces.TraceError as failure:
            raise Refusal(str(failure)) from None


def _first(source: records.Source, count: int) -> Iterator[dict[str, Any]]:
    start_ns: int | None = None
    for batch in source.batches:
        for time_ns, address, size, thread, operation, alignment, _ in records.RECORD.iter_unpack(batch):
            if not count:
                return
            count -= 1
            start_ns = time_ns if start_ns is None else start_ns
            yield {
                "time_ns": time_ns - start_ns if source.has_times else None,
                "thread": thread if source.has_threads else None,
                "operation": records.OPERATIONS.get(operation, "torn"),
                "size": None if operation in (records.FREE, records.REALLOCATE_FROM) else size,
                "address": address,
                "alignment": 1 << alignment if source.has_alignments and alignment else None,
            }


def _print_head(
    path: Path, source: records.Source, rows: list[dict[str, Any]], console: Console, is_json: bool
) -> None:
    if is_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    console.print(f"{path} ({source.format})", style="italic", markup=False, soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    columns = ("time_ns", "thread", "operation", "size", "address", "alignment")
    shown = [name for name in columns if any(row[name] is not None for row in rows)]
    for name in shown:
        table.add_column("time, ns" if name == "time_ns" else name, justify="left" if name == "operation" else "right")
    for row in rows:
        cells = {name: "" if row[name] is None else f"{row[name]:,}" for name in shown if name != "operation"}
        cells["operation"] = row["operation"]
        cells["address"] = f"{row['address']:#x}"
        table.add_row(*(cells[name] for name in shown))
    console.print(table)


def _console() -> Console:
    console = Console(highlight=False)
    return console if sys.stdout.isatty() else Console(highlight=False, width=120)
