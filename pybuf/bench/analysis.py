"""From the values of rounds to what a comparison says: ratios with intervals, verdicts, the lead of ours."""

from __future__ import annotations

import math
import statistics as plain
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pybuf.bench import statistics
from pybuf.bench.result import Comparison, Latency, Lead, Ratio, Row
from pybuf.bench.statistics import CONFIDENCE, FASTER, FEWEST_ROUNDS, INCONCLUSIVE, RANGE_ONLY, SLOWER

OURS = "poolcore"
EMPTY = "empty"
PEERS = ("glibc", "mimalloc", "jemalloc", "tcmalloc")
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)
#: How verdicts of bytes read: fewer are not faster.
BYTE_VERDICTS = {FASTER: "less", SLOWER: "more"}
#: A percentile is told only when so many samples lie beyond it.
SAMPLES_BEYOND = 100


def ratio(values: Sequence[float], base: Sequence[float]) -> Ratio:
    """The ratio of two series of rounds, formed within rounds. At least one round; its verdict is open."""
    logs = [math.log(one / other) for one, other in zip(values, base, strict=True)]
    estimate = math.exp(statistics.hodges_lehmann(logs))
    if len(logs) < FEWEST_ROUNDS:
        return Ratio(estimate, math.exp(min(logs)), math.exp(max(logs)), None, RANGE_ONLY)
    low, high = map(math.exp, statistics.signed_rank_interval(logs))
    return Ratio(estimate, low, high, CONFIDENCE, INCONCLUSIVE, statistics.signed_rank_p(logs))


def judged(found: Ratio, adjusted_p: float) -> Ratio:
    """The ratio with its verdict, given its p-value after the correction."""
    if found.confidence is None:
        return found
    return replace(found, verdict=statistics.verdict(found.low, found.high, adjusted_p))


def with_ratios(comparison: Comparison, again: Mapping[str, Sequence[float]] | None) -> Comparison:
    """The comparison with the ratio of each row to the base's; ``again`` is the base's second series of each pass.

    Rows are compared with the first series alone. The mean of both would stray less, but only against one run of
    another does a ratio of like and like lie as often above 1 as below, which the signed-rank test counts on: noise
    has one long tail, and against the mean false alarms were twice as many.
    """
    base = comparison.row(comparison.base)
    if base is None or not comparison.rounds:
        return comparison
    a_over_a = {one: judged(found, found.p or 0) for one, found in _ratios(again or {}, base.series).items()}
    rows = [
        row if row is base else replace(row, ratios=_ratios(row.series, base.series)) for row in comparison.contenders
    ]
    return replace(
        comparison, contenders=rows, a_over_a=a_over_a,
        smallest_effect={one: _smallest(rows, a_over_a, one) for one in base.series},
    )


def _ratios(series: Mapping[str, Sequence[float]], base: Mapping[str, Sequence[float]]) -> dict[str, Ratio]:
    """A ratio for each pass; none where a round is 0, as when no deadline was missed."""
    return {one: ratio(values, base[one]) for one, values in series.items() if min(*values, *base[one]) > 0}


def _smallest(rows: Sequence[Row], a_over_a: Mapping[str, Ratio], one: str) -> float | None:
    found = [row.ratios[one] for row in rows if row.ratios and one in row.ratios and row.name != EMPTY]
    found += [a_over_a[one]] if one in a_over_a else []
    if not found or any(each.confidence is None for each in found):
        return None
    return max(statistics.smallest_effect(each.low, each.high) for each in found)


def with_verdicts(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one report, judged together: every ratio but the empty harness's, which asks nothing."""
    asked = {
        (place, row.name, one): found.p
        for place, comparison in enumerate(comparisons)
        for row in comparison.contenders if row.name != EMPTY
        for one, found in (row.ratios or {}).items() if found.p is not None
    }
    adjusted = dict(zip(asked, statistics.holm(list(asked.values())), strict=True))
    return [
        replace(comparison, contenders=[
            row if row.ratios is None else replace(row, ratios={
                one: judged(found, adjusted.get((place, row.name, one), found.p or 0))
                for one, found in row.ratios.items()})
            for row in comparison.contenders])
        for place, comparison in enumerate(comparisons)
    ]


def fastest_peer(comparison: Comparison, one: str) -> tuple[str, list[float]] | None:
    """The peer with the smallest median in pass ``one``, and the ratio of ours to it in every round."""
    ours = comparison.row(OURS)
    peers = [row for row in comparison.contenders if row.name in PEERS and one in row.series]
    if ours is None or not peers or one not in ours.series or not comparison.rounds:
        return None
    fastest = min(peers, key=lambda row: plain.median(row.series[one]))
    return fastest.name, [mine / its for mine, its in zip(ours.series[one], fastest.series[one], strict=True)]


def lead(comparisons: Iterable[Comparison]) -> dict[str, Lead] | None:
    """Ours to the fastest peer of each comparison in time, by pass; None where no peer ran beside ours."""
    found: dict[str, dict[str, tuple[str, float]]] = {}
    for comparison in comparisons:
        if comparison.metric != "time":
            continue
        name = comparison.workload.name + (f", {comparison.threads} threads" if comparison.threads > 1 else "")
        for one in comparison.passes:
            peer = fastest_peer(comparison, one)
            if peer is not None:
                estimate = math.exp(statistics.hodges_lehmann([math.log(value) for value in peer[1]]))
                found.setdefault(one, {})[name] = peer[0], estimate
    if not found:
        return None
    return {
        one: Lead(
            statistics.geometric_mean(value for _, value in leads.values()),
            {name: peer for name, (peer, _) in leads.items()},
            {name: value for name, (_, value) in leads.items()},
        )
        for one, leads in found.items()
    }


def latency(counts: Mapping[int, int], floor_ns: int | None) -> Latency:
    """Percentiles of a histogram, ns to operations; ``floor_ns`` is the empty harness's own 99th, None for its own."""
    ordered = sorted(counts.items())
    total = sum(counts.values())
    percentiles: dict[str, int | None] = {}
    for percentile in PERCENTILES:
        value = None
        if total * (100 - percentile) / 100 >= SAMPLES_BEYOND:
            value = percentile_ns(counts, percentile)
            if floor_ns is not None and value <= floor_ns:
                value = None
        percentiles[f"{percentile:g}"] = value
    return Latency([[ns, count] for ns, count in ordered], percentiles)


def percentile_ns(counts: Mapping[int, int], percentile: float) -> int:
    """The ns that ``percentile`` per cent of the operations did not exceed."""
    needed = math.ceil(sum(counts.values()) * percentile / 100)
    below = 0
    for ns, count in sorted(counts.items()):
        below += count
        if below >= needed:
            return ns
    raise ValueError("a histogram without operations has no percentiles")
