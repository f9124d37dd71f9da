"""From the values of rounds to verdicts: what is corrected, for how much, and what is left alone."""

import random
from dataclasses import replace

import pytest

from pybuf.bench import analysis
from pybuf.bench.result import Comparison, MeasuredWorkload, Row


def a_comparison(factors, rounds=12, seed=1, metric="time", name="w"):
    """glibc at 10 ns, and each contender that many times as slow, to within 1 %."""
    draw = random.Random(seed)

    def series(factor):
        return {"all": [10 * factor * draw.uniform(0.99, 1.01) for _ in range(rounds)]}

    rows = [Row("glibc", "", "", series(1), None), *(Row(one, "", "", series(by), None) for one, by in factors.items())]
    return analysis.with_ratios(Comparison(
        id=name, metric=metric, threads=1, touch="line", unit="ns per event", workload=MeasuredWorkload(name, "", {}),
        base="glibc", passes=["all"], rounds=rounds, repeated_rounds=0, disturbed_rounds=0, contenders=rows, absent=[],
    ), series(1))


def verdicts(comparisons):
    judged = analysis.with_verdicts(comparisons)
    return [row.ratios["all"].verdict for one in judged for row in one.contenders if row.ratios]


def test_one_comparison_is_found_that_is_lost_among_many():
    # Of 9 rounds no p-value is below 1/256: 13 of them are too many for 5 % together.
    assert verdicts([a_comparison({"a": 0.9}, rounds=9)]) == ["faster"]
    assert verdicts([a_comparison({"a": 0.9}, rounds=9, seed=seed) for seed in range(13)]) == ["inconclusive"] * 13
    assert verdicts([a_comparison({"a": 0.9}, rounds=12, seed=seed) for seed in range(13)]) == ["faster"] * 13


def test_the_empty_harness_asks_nothing_and_costs_the_others_nothing():
    many = [a_comparison({"a": 0.9, "empty": 0.1}, rounds=9, seed=seed) for seed in range(12)]
    assert verdicts(many) == ["faster", "faster"] * 12


def test_few_rounds_have_a_range_and_no_smallest_effect():
    one = a_comparison({"a": 0.9}, rounds=7)
    ratio = one.row("a").ratios["all"]
    base = one.row("glibc").series["all"]
    each = [value / other for value, other in zip(one.row("a").series["all"], base, strict=True)]
    assert (ratio.low, ratio.high, ratio.confidence) == (pytest.approx(min(each)), pytest.approx(max(each)), None)
    assert one.smallest_effect == {"all": None}
    assert verdicts([one]) == ["range only"]


def test_smallest_effect_is_that_of_the_widest_row_and_not_of_the_harness():
    calm = a_comparison({"a": 0.9}).smallest_effect["all"]
    assert 0.005 < calm < 0.03
    for name, is_seen in (("empty", False), ("b", True)):
        wild = a_comparison({"a": 0.9, "b": 1, "empty": 0.1})
        wild.row(name).series["all"][:] = [10 ** (place % 3) for place in range(12)]
        effect = analysis.with_ratios(wild, {"all": wild.row("glibc").series["all"]}).smallest_effect["all"]
        assert (effect > 1) == is_seen


def test_rows_are_compared_with_the_first_series_of_the_base():
    one = replace(a_comparison({"a": 1}), contenders=[
        Row("glibc", "", "", {"all": [4.0] * 8}, None), Row("a", "", "", {"all": [12.0] * 8}, None)])
    found = analysis.with_ratios(one, {"all": [9.0] * 8})
    assert found.a_over_a["all"].estimate == pytest.approx(9 / 4)
    assert found.row("a").ratios["all"].estimate == pytest.approx(12 / 4)
    assert found.row("glibc").ratios is None


def test_values_of_zero_have_no_ratio():
    one = a_comparison({"a": 1})
    one.row("a").series["all"][3] = 0
    assert analysis.with_ratios(one, None).row("a").ratios == {}


def test_lead_is_over_the_fastest_peer_of_each_workload():
    found = analysis.lead([
        a_comparison({"poolcore": 0.5, "mimalloc": 0.25}, name="v"), a_comparison({"poolcore": 0.5, "mine": 0.1}),
        a_comparison({"mimalloc": 0.5}, name="without ours"), a_comparison({"poolcore": 1}, metric="memory", name="m"),
    ])
    assert found["all"].peers == {"v": "mimalloc", "w": "glibc"}
    assert found["all"].ratios == {"v": pytest.approx(2, rel=0.01), "w": pytest.approx(0.5, rel=0.01)}
    assert found["all"].geometric_mean == pytest.approx(1, rel=0.01)
    assert analysis.lead([a_comparison({"mimalloc": 0.5})]) is None


def test_percentiles_need_samples_beyond_them():
    found = analysis.latency({10: 9_000, 100: 900, 1000: 100}, None)
    assert found.percentiles == {"50": 10, "90": 10, "99": 100, "99.9": None, "99.99": None}
    assert analysis.latency({10: 9_000, 100: 900, 1000: 99}, None).percentiles["99"] is None
