"""Shows a Report in tables, for a terminal or a file."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pybuf.bench.replay import Report, Timing, TraceReport

MEGABYTE = 1e6
#: A narrower terminal gets no net times, and each interval on a line of its own.
WIDE_COLUMNS = 100


def print_report(report: Report, console: Console) -> None:
    """Print one table per trace, and what must be known to read it."""
    for trace_report in report.traces:
        console.print()
        _print_trace(trace_report, console)
    console.print()
    if report.first_lead is not None and report.later_lead is not None:
        peers = ", ".join(f"{one.trace['name']}: {one.first_lead.peer}" for one in report.traces if one.first_lead)
        console.print(
            f"poolcore to the fastest peer on each trace ({peers}), geometric mean: "
            f"first pass {report.first_lead:.2f}x, later passes {report.later_lead:.2f}x", highlight=False,
        )
    machine = report.machine
    console.print(
        f"{machine['processor']}, {machine['processors']} processors, on number {report.cpu}; {machine['system']}, "
        f"{machine['c_library']}, {machine['python']}; seed {report.seed}", style="dim", highlight=False,
    )
    if not report.is_address_randomized:
        console.print(
            "warning: this system places memory at the same addresses in every process: one layout was measured, "
            "not many", style="yellow", highlight=False,
        )


def _print_trace(report: TraceReport, console: Console) -> None:
    trace = report.trace
    console.print(Text.assemble(
        (trace["name"], "bold"),
        f"  {trace['recorded_events']:,} events, {trace['recorded_calls']:,} calls, {trace['sizes']:,} sizes; "
        f"live at its peak {trace['peak_live_bytes'] / MEGABYTE:.1f} MB in {trace['peak_live_blocks']:,} blocks",
    ))
    console.print(
        f"  {trace['unknown_frees']:,} unknown frees, {trace['torn_lines']:,} torn lines, "
        f"{trace['never_freed_blocks']:,} blocks never freed, {trace['lost_frees']:,} frees lost, "
        f"{trace['failed_allocations']:,} allocations that failed", style="dim", highlight=False,
    )
    is_wide = console.width >= WIDE_COLUMNS
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1) if is_wide else (0, 1, 0, 0),
        caption=f"median \\[quartiles] of {report.rounds} rounds, {report.repeated_rounds} repeated"
        + (f", {report.disturbed_rounds} kept although disturbed" if report.disturbed_rounds else "")
        + "; ns per event, gross" + ("; net is less the empty harness" if is_wide else "") + "; lower is better",
        caption_justify="left",
    )
    table.add_column("contender", no_wrap=True)
    net = ("net",) if is_wide else ()
    for heading in ("first\nns", *net, "to glibc", "later\nns", *net, "to glibc", "resident\nMB", "waste"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in report.results:
        table.add_row(
            result.name + (" (GIL)" if result.name == "pymalloc" else ""),
            *_timing_cells(result.first, is_wide),
            *_timing_cells(result.later, is_wide),
            "" if result.resident_bytes is None else f"{result.resident_bytes / MEGABYTE:.1f}",
            "" if result.waste is None else f"{result.waste:.2f}x",
            style="bold" if result.name == "poolcore" else "dim" if result.name == "empty" else "",
        )
    console.print(table)
    for absent in report.absent:
        package = f" (Debian: apt install {absent.package})" if absent.package and not absent.is_disqualified else ""
        state = "disqualified" if absent.is_disqualified else "not here"
        console.print(Text(f"  {absent.name} {state}: {absent.reason}{package}", style="yellow"))


def _timing_cells(timing: Timing, is_wide: bool) -> list[str]:
    cells = [f"{timing.ns.median:.2f}"]
    if is_wide:
        cells.append("" if timing.net_ns is None else f"{timing.net_ns:.2f}")
    ratio = timing.ratio_to_glibc
    between = " " if is_wide else "\n"
    cells.append("" if ratio is None else f"{ratio.median:.2f}{between}\\[{ratio.q1:.2f}..{ratio.q3:.2f}]")
    return cells
