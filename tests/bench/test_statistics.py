"""The statistics of a report: against scipy, brute force, published examples and the promise they make."""

import itertools
import math
import random
import statistics

import pytest
import scipy.stats

from pybuf.bench import statistics as bench

SEEDS = range(6)


def sample(seed, count, digits=9):
    draw = random.Random(seed)
    return [round(draw.gauss(0.1, 1), digits) for _ in range(count)]


@pytest.mark.parametrize("seed", SEEDS)
def test_hodges_lehmann_is_the_median_over_all_pairs(seed):
    values = sample(seed, 9)
    pairs = [(a + b) / 2 for (i, a), (j, b) in itertools.product(enumerate(values), repeat=2) if i <= j]
    assert bench.hodges_lehmann(values) == pytest.approx(statistics.median(pairs))


def test_hodges_lehmann_hardly_notices_an_outlier():
    assert bench.hodges_lehmann([1, 2, 3, 4, 5, 6, 7, 8, 1000]) == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [3, 8, 20, 49])
def test_p_value_is_scipys(seed, count):
    values = sample(seed, count)
    assert bench.signed_rank_p(values) == pytest.approx(scipy.stats.wilcoxon(values, method="exact").pvalue)


@pytest.mark.parametrize("values", [[1, -1, 2, 2, 3], [0, 1, 1, 1, -2, 5], [0.5] * 8, [2, 2, -2, -2]])
def test_p_value_with_ties_and_zeros_counts_every_choice_of_signs(values):
    kept = [value for value in values if value]
    ranks = scipy.stats.rankdata([abs(value) for value in kept])
    every = itertools.product((0, 1), repeat=len(kept))
    sums = [sum(rank * sign for rank, sign in zip(ranks, signs, strict=True)) for signs in every]
    positive = sum(rank for rank, value in zip(ranks, kept, strict=True) if value > 0)
    fewer = min(positive, sum(ranks) - positive)
    expected = min(1, 2 * sum(one <= fewer for one in sums) / len(sums))
    assert bench.signed_rank_p(values) == pytest.approx(expected)


def test_values_that_are_all_zero_say_nothing():
    assert bench.signed_rank_p([0.0] * 9) == 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [8, 12, 25])
def test_interval_holds_the_centres_that_the_test_does_not_reject(seed, count):
    values = sample(seed, count)
    low, high = bench.signed_rank_interval(values)
    for centre, is_held in ((low - 1e-6, False), (low + 1e-6, True), (high - 1e-6, True), (high + 1e-6, False)):
        p = scipy.stats.wilcoxon([value - centre for value in values], method="exact").pvalue
        assert (p > 0.01) == is_held


def test_eight_values_are_the_fewest_that_have_an_interval():
    assert bench.signed_rank_interval([1, 2, 3, 4, 5, 6, 7, 8]) == (1, 8)
    with pytest.raises(ValueError, match="7 values have no interval of 99%"):
        bench.signed_rank_interval([1, 2, 3, 4, 5, 6, 7])


def test_beyond_the_exact_numbers_the_approximation_goes_on_where_they_ended(monkeypatch):
    values = sample(1, 60)
    exact = bench.signed_rank_interval(values), bench.signed_rank_p(values)
    monkeypatch.setattr(bench, "EXACT_ROUNDS", 0)
    low, high = bench.signed_rank_interval(values)
    assert (low, high) == pytest.approx(exact[0], abs=0.01)
    assert bench.signed_rank_p(values) == pytest.approx(exact[1], rel=0.02)


def heavy_tailed(draw):
    return draw.gauss(0, 1) * (10 if draw.random() < 0.1 else 1)


@pytest.mark.parametrize("draw_one", [lambda draw: draw.gauss(0, 1), heavy_tailed], ids=["normal", "outliers"])
def test_interval_misses_the_centre_as_often_as_it_says(draw_one):
    draw = random.Random(20)
    runs = 1500
    missed = 0
    for _ in range(runs):
        low, high = bench.signed_rank_interval([draw_one(draw) for _ in range(12)], 0.95)
        missed += not low <= 0 <= high
    promised = 1 - 0.95
    assert 0.5 * promised < missed / runs <= promised + 3 * math.sqrt(promised * 0.95 / runs)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_samples_are_compared_as_scipy_does(seed):
    old, new = sample(seed, 9), [value + 0.7 for value in sample(seed + 100, 12)]
    found = scipy.stats.mannwhitneyu(new, old, method="exact")
    assert bench.shift_p(old, new) == pytest.approx(found.pvalue)
    assert bench.shift(old, new) == pytest.approx(statistics.median(b - a for a in old for b in new))
    low, high = bench.shift_interval(old, new)
    for moved, is_held in ((low - 1e-6, False), (low + 1e-6, True), (high - 1e-6, True), (high + 1e-6, False)):
        p = scipy.stats.mannwhitneyu([value - moved for value in new], old, method="exact").pvalue
        assert (p > 0.01) == is_held


def test_two_large_samples_are_compared_by_the_approximation(monkeypatch):
    old, new = sample(1, 40), sample(2, 40)
    exact = bench.shift_interval(old, new), bench.shift_p(old, new)
    monkeypatch.setattr(bench, "EXACT_PAIRS", 0)
    assert bench.shift_interval(old, new) == pytest.approx(exact[0], abs=0.02)
    assert bench.shift_p(old, new) == pytest.approx(exact[1], rel=0.02)


def test_two_samples_that_are_too_small_have_no_interval():
    with pytest.raises(ValueError, match="3 and 3 values have no interval"):
        bench.shift_interval([1, 2, 3], [4, 5, 6])


def test_holm_gives_what_its_paper_would():
    # The smallest of four is multiplied by four, the next by three; none may fall below one before it.
    assert bench.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert bench.holm([0.9, 0.6]) == [1, 1]
    assert bench.holm([]) == []


@pytest.mark.parametrize(("low", "high", "adjusted", "expected"), [
    (0.90, 0.95, 0.01, "faster"),
    (1.03, 1.09, 0.01, "slower"),
    (0.90, 0.95, 0.06, "inconclusive"),
    (0.99, 1.03, 0.50, "inconclusive"),
    (0.99, 1.01, 0.50, "no difference"),
    (1.005, 1.015, 0.0001, "no difference"),
    (0.97, 0.995, 0.0001, "faster"),
])
def test_a_verdict_is_what_the_interval_and_the_corrected_p_value_allow(low, high, adjusted, expected):
    assert bench.verdict(low, high, adjusted) == expected


def test_an_effect_of_the_smallest_size_is_seen_nine_times_in_ten():
    draw = random.Random(3)
    spread, rounds, runs = 0.05, 20, 400

    def interval(effect):
        values = [draw.gauss(effect, spread) for _ in range(rounds)]
        return bench.signed_rank_interval(values)

    effects = [bench.smallest_effect(*map(math.exp, interval(0))) for _ in range(50)]
    seen = sum(interval(math.log1p(statistics.median(effects)))[0] > 0 for _ in range(runs))
    assert 0.83 < seen / runs < 0.96


def test_half_and_twice_cancel_out_in_a_geometric_mean():
    assert bench.geometric_mean([0.5, 2]) == pytest.approx(1)
    assert bench.geometric_mean([0.5, 2, 8]) == pytest.approx(2)
