"""Draws a Report: times relative to glibc with their quartiles, and resident bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from pybuf.bench.replay import Report, Result, TraceReport

OURS, PEER, HARNESS = "#c2410c", "#334155", "#94a3b8"


def write_chart(report: Report, path: Path) -> None:
    """Write a PNG: a row per trace; left the times, right the resident bytes, poolcore on top."""
    rows = [max(len(one.results), 1) for one in report.traces]
    figure, grid = plt.subplots(
        len(rows), 2, squeeze=False, layout="constrained",
        figsize=(10, 1.3 + sum(0.9 + 0.34 * row for row in rows)),
        gridspec_kw={"width_ratios": (3, 2), "height_ratios": rows},
    )
    for one, (times, memory) in zip(report.traces, grid, strict=True):
        _draw_times(one, times)
        _draw_memory(one, memory)
    figure.suptitle(
        f"Recorded programs replayed: poolcore and its peers ({report.rounds} rounds)", fontsize=12, weight="bold"
    )
    machine = report.machine
    figure.legend(
        (
            Line2D([], [], marker="o", linestyle="", color=PEER),
            Line2D([], [], marker="o", linestyle="", color=PEER, markerfacecolor="white"),
            Line2D([], [], color=PEER, linewidth=2.5, alpha=0.6),
        ),
        ("first pass in a fresh process", "later passes, median of five", "quartiles of the rounds"),
        title=f"{machine['processor']}, {machine['c_library']}, {machine['python']}",
        loc="outside lower left", ncols=3, fontsize=8, title_fontsize=8, frameon=False, alignment="left",
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _color(result: Result) -> str:
    return OURS if result.name == "poolcore" else HARNESS if result.name == "empty" else PEER


def _name(result: Result) -> str:
    return "pymalloc (GIL)" if result.name == "pymalloc" else result.name


def _label(axes: Any, results: list[Result]) -> None:
    axes.set_yticks(range(len(results)), [_name(result) for result in results])
    for label, result in zip(axes.get_yticklabels(), results, strict=True):
        label.set_color(_color(result))
        label.set_fontweight("bold" if result.name == "poolcore" else "normal")
    axes.set_ylim(len(results) - 0.4, -0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e2e8f0")
    axes.set_axisbelow(True)


def _draw_times(report: TraceReport, axes: Any) -> None:
    results = report.results
    for row, result in enumerate(results):
        for timing, shift, fill in ((result.first, -0.13, _color(result)), (result.later, 0.17, "white")):
            ratio = timing.ratio_to_glibc
            if ratio is None:
                continue
            axes.plot((ratio.q1, ratio.q3), (row + shift,) * 2, color=_color(result), linewidth=2.5, alpha=0.6)
            axes.plot(
                ratio.median, row + shift, "o", markersize=7, color=_color(result), markerfacecolor=fill,
            )
            axes.annotate(
                f"{ratio.median:.2f}", (max(ratio.q3, ratio.median), row + shift), xytext=(7, 0),
                textcoords="offset points", va="center", fontsize=7.5, color=_color(result),
            )
    axes.axvline(1, color=PEER, linewidth=1, linestyle=":")
    axes.set_xlim(left=0)
    axes.margins(x=0.12)
    axes.set_title(f"{report.trace['name']}: time per event, glibc = 1 (lower is faster)", fontsize=9, loc="left")
    _label(axes, results)


def _draw_memory(report: TraceReport, axes: Any) -> None:
    results = [result for result in report.results if result.waste is not None]
    for row, result in enumerate(results):
        assert result.waste is not None
        axes.barh(row, result.waste, height=0.55, color=_color(result))
        axes.annotate(
            f"{result.waste:.2f}", (result.waste, row), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=_color(result),
        )
    axes.axvline(1, color=PEER, linewidth=1, linestyle=":")
    axes.set_xlim(left=0)
    axes.margins(x=0.15)
    live = report.trace["peak_live_bytes"] / 1e6
    axes.set_title(f"resident / live at its peak ({live:.1f} MB)", fontsize=9, loc="left")
    _label(axes, results)
