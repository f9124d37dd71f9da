"""Draws a result of ``replay``: times relative to glibc, and resident bytes; and one of ``tune``: slab bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from pybuf.bench.result import Comparison, Memory, Ratio, Result
from pybuf.bench.tune import Tuning

OURS, PEER, HARNESS = "#c2410c", "#334155", "#94a3b8"
#: Where the point of each pass lies in a contender's row, and whether it is filled.
POINTS = {"first": (-0.13, True), "later": (0.17, False), "all": (0.0, True)}


def write_chart(result: Result, path: Path) -> None:
    """Write a PNG: a row per workload; left the times, right the resident bytes where they were measured."""
    times = [one for one in result.comparisons if one.metric == "time" and one.rounds]
    memory = {(one.workload.name, one.threads): one for one in result.comparisons if one.memory}
    rows = [len(one.contenders) for one in times]
    if not times:
        return
    figure, grid = plt.subplots(
        len(rows), 2, squeeze=False, layout="constrained",
        figsize=(10, 1.3 + sum(0.9 + 0.34 * row for row in rows)),
        gridspec_kw={"width_ratios": (3, 2), "height_ratios": rows},
    )
    for one, (left, right) in zip(times, grid, strict=True):
        _draw_times(one, left)
        beside = memory.get((one.workload.name, one.threads))
        if beside is None or not beside.memory:
            right.axis("off")
        else:
            _draw_memory(beside.workload.trace, beside.memory, right)
    what = "Recorded programs replayed" if result.kind == "replay" else "Workloads"
    rounds = min(one.rounds for one in times)
    figure.suptitle(f"{what}: poolcore and its peers ({rounds} rounds)", fontsize=12, weight="bold")
    machine = result.machine
    figure.legend(
        (
            Line2D([], [], marker="o", linestyle="", color=PEER),
            Line2D([], [], marker="o", linestyle="", color=PEER, markerfacecolor="white"),
            Line2D([], [], color=PEER, linewidth=2.5, alpha=0.6),
        ),
        ("first pass in a fresh process", "later passes, median of five", "interval of 99 %, or range of few rounds"),
        title=f"{machine['processor']}, {machine['c_library']}, {machine['python']}",
        loc="outside lower left", ncols=3, fontsize=8, title_fontsize=8, frameon=False, alignment="left",
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _color(name: str) -> str:
    return OURS if name.partition(" ")[0] == "poolcore" else HARNESS if name == "empty" else PEER


def _label(axes: Any, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), ["pymalloc (GIL)" if name == "pymalloc" else name for name in names])
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(_color(name))
        label.set_fontweight("bold" if name == "poolcore" else "normal")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e2e8f0")
    axes.set_axisbelow(True)


def _draw_times(comparison: Comparison, axes: Any) -> None:
    names = [row.name for row in comparison.contenders]
    for place, row in enumerate(comparison.contenders):
        color = _color(row.name)
        for one in comparison.passes:
            if row.ratios is not None and one not in row.ratios:
                continue
            shift, is_filled = POINTS[one]
            ratio = (row.ratios or {}).get(one, Ratio(1, 1, 1, None, "range only"))
            axes.plot((ratio.low, ratio.high), (place + shift,) * 2, color=color, linewidth=2.5, alpha=0.6)
            axes.plot(
                ratio.estimate, place + shift, "o", markersize=7, color=color,
                markerfacecolor=color if is_filled else "white",
            )
            axes.annotate(
                f"{ratio.estimate:.2f}", (max(ratio.high, ratio.estimate), place + shift), xytext=(7, 0),
                textcoords="offset points", va="center", fontsize=7.5, color=color,
            )
    axes.axvline(1, color=PEER, linewidth=1, linestyle=":")
    axes.set_xlim(left=0)
    axes.margins(x=0.12)
    title = f"{comparison.workload.name}: {comparison.unit}, {comparison.base} = 1 (lower is faster)"
    axes.set_title(title, fontsize=9, loc="left")
    _label(axes, names)


def _draw_memory(trace: dict[str, Any] | None, memory: dict[str, Memory], axes: Any) -> None:
    found = {name: one.waste for name, one in memory.items() if one.waste is not None}
    for place, (name, waste) in enumerate(found.items()):
        axes.barh(place, waste, height=0.55, color=_color(name))
        axes.annotate(
            f"{waste:.2f}", (waste, place), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=_color(name),
        )
    axes.axvline(1, color=PEER, linewidth=1, linestyle=":")
    axes.set_xlim(left=0)
    axes.margins(x=0.15)
    live = "" if trace is None else f" ({trace['peak_live_bytes'] / 1e6:.1f} MB)"
    axes.set_title(f"resident / live at its peak{live}", fontsize=9, loc="left")
    _label(axes, list(found))


def write_tuning(tuning: Tuning, path: Path) -> None:
    """Write a PNG: slab bytes over the events, with the default and the fitted classes, and what lives; both halves."""
    figure, panels = plt.subplots(1, 2, sharey=True, layout="constrained", figsize=(10, 4))
    for panel, half, role in zip(panels, (tuning.fit, tuning.judge), ("fitted to", "judged by"), strict=True):
        for measured, what, color, place in (
            (half.default, "slabs, default classes", PEER, 1), (half.fitted, "slabs, fitted classes", OURS, 1),
            (half.default, "asked for", HARNESS, 2),
        ):
            words = [look[0] / 1e6 for look in measured.timeline]
            panel.plot(words, [look[place] / 1e6 for look in measured.timeline], color=color, label=what)
        panel.set_title(f"{half.name}, {role}", fontsize=10)
        panel.set_xlabel("million calls", fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("MB", fontsize=9)
    panels[0].set_ylim(bottom=0)
    panels[0].legend(fontsize=8, frameon=False)
    figure.suptitle(f"{tuning.subject}: {tuning.verdict()}", fontsize=10, wrap=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
