"""Shows a result in tables, for a terminal or a file: the first screen, from the result alone."""

from __future__ import annotations

import shlex
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pybuf.bench.analysis import BYTE_VERDICTS, EMPTY, OURS
from pybuf.bench.compare import Change, Outcome
from pybuf.bench.result import Comparison, Ratio, Result, Row
from pybuf.bench.statistics import EQUAL_WITHIN, FEWEST_ROUNDS, rounds_needed

MEGABYTE = 1e6
#: In fewer columns, or where a table has no room, there are no net times, and verdicts are on lines of their own.
WIDE_COLUMNS = 110
#: Of output that goes to no terminal.
FILE_COLUMNS = 120
#: More columns than any table has.
WHOLE = 10_000
PASSES = {"first": "first pass", "later": "later passes", "all": "all passes"}


def console() -> Console:
    """Standard output, as wide as its terminal, or `FILE_COLUMNS` wide where it is none."""
    found = Console()
    return found if found.is_terminal else Console(width=FILE_COLUMNS)


def print_result(result: Result, directory: Path | None, console: Console) -> None:
    """Print the machine, a table per comparison, and what is needed to read them; the files are in ``directory``."""
    _print_machine(result, console)
    named = ""
    for comparison in result.comparisons:
        console.print()
        if comparison.workload.name != named and comparison.workload.trace is not None:
            _print_trace(comparison.workload.trace, console)
        named = comparison.workload.name
        _print_comparison(comparison, console)
    console.print()
    _print_too_few(result, console)
    _print_lead(result, console)
    if any(one.metric == "time" and one.rounds >= FEWEST_ROUNDS for one in result.comparisons):
        console.print(
            f"Intervals are of 99 %, verdicts corrected for their number (Holm). No difference: all of the interval "
            f"is within {EQUAL_WITHIN:.0%} of 1. A/A: the base against itself, what chance does.",
            style="dim", highlight=False,
        )
    where = "none written; -o DIR writes one" if directory is None else str(directory / "report.html")
    console.print(f"report: {where}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"again:  {again(result)}", highlight=False, markup=False, soft_wrap=True)


def again(result: Result) -> str:
    """The command that runs it again, seed and all."""
    command = result.manifest.command
    if "--seed" not in command and not any(word.startswith("--seed=") for word in command):
        command = [*command, "--seed", str(result.seed)]
    return shlex.join(command)


def _print_machine(result: Result, console: Console) -> None:
    machine, print_of = result.machine, result.fingerprint
    cpus = ", ".join(map(str, machine.get("cpus", ())))
    console.print(
        f"{print_of.get('processor')}, {print_of.get('processors')} processors, on number {cpus}; "
        f"{print_of.get('system')}, huge pages {print_of.get('huge_pages')}",
        style="dim", highlight=False, soft_wrap=True,
    )
    builds = ", ".join(
        f"{name} {found['version']}" for name, found in print_of.get("builds", {}).items()
        if found.get("version") and f"{name} {found['version']}" != print_of.get("c_library")
        and found["version"] != print_of.get("python")
    )
    console.print(
        f"{print_of.get('c_library')}, {print_of.get('python')} {print_of.get('gil')} GIL; {builds}; "
        f"seed {result.seed}", style="dim", highlight=False, soft_wrap=True,
    )
    if not machine.get("is_address_randomized", True):
        console.print(
            "warning: this system places memory at the same addresses in every process: one layout was measured, "
            "not many", style="yellow", highlight=False,
        )
    if not result.is_complete:
        console.print("interrupted: this is what was finished until then", style="yellow")


def _print_trace(trace: Mapping[str, Any], console: Console) -> None:
    console.print(Text.assemble(
        (str(trace["name"]), "bold"),
        f"  {trace['recorded_events']:,} events, {trace['recorded_calls']:,} calls; "
        f"live at its peak {trace['peak_live_bytes'] / MEGABYTE:.1f} MB in {trace['peak_live_blocks']:,} blocks",
    ))
    console.print(
        f"  {trace['unknown_frees']:,} unknown frees, {trace['torn_lines']:,} torn lines, "
        f"{trace['never_freed_blocks']:,} blocks never freed, {trace['lost_frees']:,} frees lost, "
        f"{trace['failed_allocations']:,} allocations that failed", style="dim", highlight=False,
    )


def _print_comparison(comparison: Comparison, console: Console) -> None:
    console.print(Text.assemble((comparison.id, "bold"), f"  {comparison.workload.what}"))
    if comparison.rounds:
        if comparison.metric == "latency":
            console.print(_latency_table(comparison))
        else:
            table = _table(comparison, console.width >= WIDE_COLUMNS)
            if console.measure(table, options=console.options.update(max_width=WHOLE)).maximum > console.width:
                table = _table(comparison, False)
            console.print(table)
            if any(row.threads for row in comparison.contenders):
                console.print(_threads_table(comparison))
        _print_effect(comparison, console)
    else:
        console.print("  no round was finished", style="yellow")
    for absent in comparison.absent:
        package = f" (Debian: apt install {absent.package})" if absent.package and not absent.is_disqualified else ""
        state = "disqualified" if absent.is_disqualified else "not here"
        console.print(Text(f"  {absent.name} {state}: {absent.reason}{package}", style="yellow"))


def _rounds(comparison: Comparison) -> str:
    count, repeated, disturbed = comparison.rounds, comparison.repeated_rounds, comparison.disturbed_rounds
    each = f" of {comparison.processes} processes each" if comparison.processes > 1 else ""
    kept = f", {disturbed} kept although disturbed" if disturbed else ""
    return f"{count} round{'s' * (count != 1)}{each}, {repeated} repeated{kept}"


def _print_effect(comparison: Comparison, console: Console) -> None:
    if comparison.metric != "time":
        return
    if comparison.rounds < FEWEST_ROUNDS:
        console.print(
            f"  fewer than {FEWEST_ROUNDS} rounds: the range of the rounds, no intervals and no verdicts",
            style="yellow", highlight=False)
        return
    effects = [
        f"{effect:.1%}" + (f" ({PASSES[one]})" if len(comparison.smallest_effect) > 1 else "")
        for one, effect in comparison.smallest_effect.items() if effect is not None
    ]
    if effects:
        console.print(
            f"  smallest effect that would have been seen in any row, nine times in ten: {', '.join(effects)}",
            highlight=False)


def _print_too_few(result: Result, console: Console) -> None:
    """Say where not even rounds that all agree could be called faster or slower, among so many ratios."""
    asked = sum(
        ratio.p is not None
        for one in result.comparisons for row in one.contenders if row.name != EMPTY
        for ratio in (row.ratios or {}).values()
    )
    most = max((one.rounds for one in result.comparisons), default=0)
    if asked and most < rounds_needed(asked):
        console.print(
            f"{most} rounds are too few to call any of {asked} ratios faster or slower: at least "
            f"{rounds_needed(asked)} are needed", style="yellow", highlight=False, soft_wrap=True)


def _table(comparison: Comparison, is_wide: bool) -> Table:
    is_time = comparison.metric == "time"
    waste = comparison.memory is not None
    empty = comparison.row(EMPTY)
    has_net = is_time and is_wide and empty is not None
    caption = f"{_rounds(comparison)}; median {'' if is_time else 'peak '}{comparison.unit}"
    caption += ", gross" if is_time else ""
    caption += "; net is less the empty harness" if has_net else ""
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1) if is_wide else (0, 1, 0, 0),
        caption=f"{caption}; lower is better", caption_justify="left",
    )
    table.add_column("contender", no_wrap=True)
    unit = ("ns" if comparison.unit.startswith("ns") else "share") if is_time else "resident\nMB"
    for one in comparison.passes:
        heading = unit if one == "all" else f"{one}\n{unit}"
        for column in (heading, *(("net",) if has_net else ()), f"to {comparison.base}"):
            table.add_column(column, justify="right", no_wrap=True)
    if waste:
        table.add_column("waste", justify="right", no_wrap=True)
    for row in comparison.contenders:
        cells: list[str | Text] = []
        for one in comparison.passes:
            cells += _cells(row, empty if has_net else None, one, is_time, is_wide)
        if waste:
            found = (comparison.memory or {}).get(row.name)
            cells.append("" if found is None or found.waste is None else f"{found.waste:.2f}x")
        style = "bold" if row.name.partition(" ")[0] == OURS else "dim" if row.name == EMPTY else ""
        name = row.name + (" (GIL)" if row.name == "pymalloc" else "")
        table.add_row(name + (f" ({', '.join(row.emulated)} emulated)" if row.emulated else ""), *cells, style=style)
    if comparison.a_over_a:
        cells = []
        for one in comparison.passes:
            cells += ["", *(("",) if has_net else ()), _ratio(comparison.a_over_a.get(one), is_wide)]
        table.add_row(f"{comparison.base} again (A/A)", *cells, *(("",) if waste else ()), style="dim")
    return table


def _cells(row: Row, empty: Row | None, one: str, is_time: bool, is_wide: bool) -> list[str | Text]:
    value = statistics.median(row.series[one])
    cells: list[str | Text] = [f"{value:.2f}" if is_time else f"{value / MEGABYTE:.3g}"]
    if empty is not None:
        cells.append(f"{value - statistics.median(empty.series[one]):.2f}")
    cells.append(_ratio(None if row.ratios is None else row.ratios.get(one), is_wide, not is_time))
    return cells


def _ratio(ratio: Ratio | None, is_wide: bool, is_bytes: bool = False) -> Text:
    if ratio is None:
        return Text("")
    parts = [f"{ratio.estimate:.2f}", f"[{ratio.low:.2f}..{ratio.high:.2f}]"]
    if ratio.confidence is None:
        parts.append("range")
    else:
        parts.append(_verdict(ratio.verdict, is_bytes))
    return Text((" " if is_wide else "\n").join(parts))


def _verdict(verdict: str, is_bytes: bool) -> str:
    return BYTE_VERDICTS.get(verdict, verdict) if is_bytes else verdict


def _threads_table(comparison: Comparison) -> Table:
    recorded = (comparison.workload.trace or {}).get("peak_live_bytes", 0)
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), caption_justify="left",
        caption=f"{_rounds(comparison)}; medians. Processor time is that of all threads without their pauses; waiting: "
        "the share of their time that they waited for each other's calls; peak live: when replayed, and to the "
        f"recorded {recorded / MEGABYTE:.3f} MB",
    )
    table.add_column("contender", no_wrap=True)
    for one in comparison.passes:
        name = "" if one == "all" else f"{one}\n"
        for column in ("makespan\nms", "processor\nms", "waiting"):
            table.add_column(name + column, justify="right", no_wrap=True)
    table.add_column("peak live\nMB", justify="right", no_wrap=True)
    table.add_column("to the\nrecorded", justify="right", no_wrap=True)
    for row in comparison.contenders:
        if row.threads is None:
            continue
        cells = []
        for one in comparison.passes:
            cells += [f"{row.threads.makespan_ns[one] / 1e6:.2f}", f"{row.threads.cpu_ns[one] / 1e6:.2f}",
                      f"{row.threads.waiting[one]:.1%}"]
        peak = row.threads.peak_live_bytes
        cells += [f"{peak / MEGABYTE:.3f}", f"{peak / recorded:.2f}x" if recorded else ""]
        table.add_row(row.name, *cells, style="bold" if row.name == OURS else "dim" if row.name == EMPTY else "")
    return table


def _latency_table(comparison: Comparison) -> Table:
    assert comparison.latency is not None
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), caption_justify="left",
        caption=f"{_rounds(comparison)}; ns per operation; - where fewer than 100 samples lie beyond, or the empty "
        "harness takes as long itself",
    )
    table.add_column("contender", no_wrap=True)
    percentiles = list(next(iter(comparison.latency.values())).percentiles)
    for percentile in percentiles:
        table.add_column(f"{percentile} %", justify="right", no_wrap=True)
    for name, found in comparison.latency.items():
        values = (found.percentiles[percentile] for percentile in percentiles)
        table.add_row(name, *("-" if value is None else f"{value:,}" for value in values),
                      style="bold" if name == OURS else "dim" if name == EMPTY else "")
    return table


def _print_lead(result: Result, console: Console) -> None:
    if not result.lead:
        return
    for one, lead in result.lead.items():
        peers = ", ".join(f"{name}: {peer}" for name, peer in lead.peers.items())
        console.print(
            f"poolcore to the fastest peer of each workload ({peers}), {PASSES[one]}, geometric mean: "
            f"{lead.geometric_mean:.2f}x", highlight=False, soft_wrap=True)


def print_listing(listing: Mapping[str, Any], console: Console) -> None:
    """Print workloads and contenders: version, file, or why one is missing and how to get it."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), caption="* runs by default",
                  caption_justify="left")
    for heading in ("workload", "what", "metrics"):
        table.add_column(heading, no_wrap=heading == "workload", overflow="fold")
    for one in listing["workloads"]:
        table.add_row(one["name"] + ("*" if one["is_default"] else ""), one["what"], ", ".join(one["metrics"]))
    console.print(table)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("contender", "version", "what and where"):
        table.add_column(heading, no_wrap=heading == "contender", overflow="fold")
    for one in listing["contenders"]:
        if "missing" in one:
            package = f"; Debian: apt install {one['package']}" if one.get("package") else ""
            table.add_row(one["name"], "not here", Text(f"{one['what']}: {one['missing']}{package}"), style="yellow")
        else:
            table.add_row(one["name"], one["version"], Text(f"{one['what']}: {one['origin']}"))
    console.print(table)


def print_outcome(outcome: Outcome, limit: float | None, console: Console) -> None:
    """Print what became of each contender between two results, and one line that sums it up."""
    for warning in outcome.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), caption_justify="left",
                  caption="new to old; of times, each over the base of its own round; below 1 is faster, or less")
    for heading in ("comparison", "contender", "pass"):
        table.add_column(heading, overflow="fold")
    table.add_column("new to old", justify="right", no_wrap=console.width >= WIDE_COLUMNS)
    for one in outcome.changes:
        ratio = Ratio(one.estimate, one.low, one.high, one.confidence, one.verdict)
        style = {"slower": "red", "faster": "green"}.get(one.verdict, "")
        table.add_row(one.comparison, one.contender, "" if one.passes == "all" else one.passes,
                      _ratio(ratio, console.width >= WIDE_COLUMNS, one.is_bytes), style=style)
    console.print(table)
    for line in outcome.unmatched:
        console.print(Text(f"  {line}", style="dim"))
    console.print(_summary(outcome, limit), highlight=False, markup=False, soft_wrap=True)


def _summary(outcome: Outcome, limit: float | None) -> str:
    if limit is not None:
        slow, doubts = outcome.slowdowns(limit), outcome.doubts(limit)
        if slow:
            return f"slower by more than {limit:.1%}:{_listed(slow)}"
        if doubts:
            return f"inconclusive without more rounds, whether slower by more than {limit:.1%}:{_listed(doubts)}"
        return f"nothing is slower by more than {limit:.1%}"
    counts = Counter(_verdict(one.verdict, one.is_bytes) for one in outcome.changes)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())


def _listed(changes: Sequence[Change]) -> str:
    """A line for each."""
    return "".join(
        f"\n  {one.contender} in {one.comparison}, {PASSES[one.passes]}: "
        f"{one.estimate:.2f} [{one.low:.2f}..{one.high:.2f}]" for one in changes)
