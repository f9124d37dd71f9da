"""Writes a Result in the formats of other tools: pyperf's JSON for times and bytes, HdrHistogram's log for latencies.

``python -m pyperf show FILE`` and ``compare_to`` read the first, every HdrHistogram log analyzer the second. Both need
libraries of the extra ``bench``; a ModuleNotFoundError names the one that is missing. Verdicts are in neither: those
tools form their own, from medians and without pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: What pyperf finds out of a machine and may be shown: no name of a host or a user is in it.
METADATA = (
    "aslr", "cpu_config", "cpu_count", "cpu_model_name", "perf_version", "platform", "python_compiler",
    "python_implementation", "python_version",
)
#: Units of a Result as pyperf has them, and what a value is multiplied with.
UNITS = {"ns": ("second", 1e-9), "bytes": ("byte", 1)}
#: Of HdrHistogram: what was measured is known to 1/32 of it, 3 %.
SIGNIFICANT_DIGITS = 2


def write_pyperf(result: dict[str, Any], path: Path) -> None:
    """Write the rounds of ``result``, a Result as plain data, as a pyperf suite: a benchmark per contender and pass.

    Each round is a run with one value. Where there are none, there is no file afterwards. Raises OSError when it cannot
    be written.
    """
    import pyperf

    found = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    machine = {key: found[key] for key in METADATA if key in found}
    benchmarks = []
    for comparison, row, one, values in _series(result):
        unit, scale = UNITS[comparison["unit"].partition(" ")[0]]
        metadata = {
            **machine, "name": f"{comparison['id']}: {row['name']}, {one}", "unit": unit, "contender": row["name"],
            "description": row["what"] or row["name"], "base": comparison["base"], "seed": str(result["seed"]),
        }
        benchmarks.append(pyperf.Benchmark([
            pyperf.Run([value * scale], metadata=metadata, collect_metadata=False) for value in values]))
    path.unlink(missing_ok=True)
    if benchmarks:
        pyperf.BenchmarkSuite(benchmarks).dump(str(path))


def _series(result: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any], str, list[float]]]:
    """Comparison, row, pass and values of all that pyperf can hold: no shares, and nothing that took no time."""
    for comparison in result["comparisons"]:
        if comparison["unit"].partition(" ")[0] not in UNITS:
            continue
        for row in comparison["contenders"]:
            for one, values in row["series"].items():
                if values and min(values) > 0:
                    yield comparison, row, one, values


def write_latencies(result: dict[str, Any], path: Path) -> None:
    """Write the latencies of ``result``, a Result as plain data, as an HdrHistogram log: a tag per contender.

    Values are ns, one interval of a second for each comparison. Where none was measured there is no file afterwards.
    Raises OSError when it cannot be written.
    """
    measured = [comparison for comparison in result["comparisons"] if comparison["latency"]]
    path.unlink(missing_ok=True)
    if not measured:
        return
    from hdrh.histogram import HdrHistogram
    from hdrh.log import HistogramLogWriter

    with path.open("w", encoding="utf-8") as file:
        log = HistogramLogWriter(file)
        log.output_log_format_version()
        log.output_comment("values are nanoseconds; an interval is a comparison, a tag a contender")
        log.output_legend()
        for place, comparison in enumerate(measured, start=1):
            log.output_comment(f"interval {place}: {comparison['id']}")
            for name, latency in comparison["latency"].items():
                if not latency["counts"]:
                    continue
                histogram = HdrHistogram(1, max(2, *(ns for ns, _ in latency["counts"])), SIGNIFICANT_DIGITS)
                for ns, count in latency["counts"]:
                    histogram.record_value(ns, count)
                tag = re.sub(r"[,\s]+", "-", name)  # neither may be in one
                file.write(f"Tag={tag},")
                log.output_interval_histogram(histogram, place, place + 1, 1.0)
