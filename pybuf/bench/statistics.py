"""What can be said of paired rounds: an estimate, its interval, a verdict, and what would have been missed.

All of it is of logarithms of ratios, so that twice as fast and twice as slow are equally far from 1. The
estimate is the Hodges-Lehmann median, the interval the exact one of Wilcoxon's signed-rank test: over
few rounds with outliers they keep their promise where means and bootstraps do not. Standard library only.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache

CONFIDENCE = 0.99
#: With fewer rounds no interval of 99 % exists: even the widest has less.
FEWEST_ROUNDS = 8
#: An interval that lies within this of 1 says that there is no difference worth a name.
EQUAL_WITHIN = 0.02
#: All verdicts of a report together are right this often, when nothing differs: Holm's correction.
FAMILY_ALARMS = 0.05
#: How often the smallest effect that could have been seen would have been.
POWER = 0.9
#: Above these numbers of values the normal approximation is as good and much faster.
EXACT_ROUNDS = 300
EXACT_PAIRS = 2500

FASTER, SLOWER, EQUAL, INCONCLUSIVE, RANGE_ONLY = "faster", "slower", "no difference", "inconclusive", "range only"

_NORMAL = statistics.NormalDist()


def geometric_mean(values: Iterable[float]) -> float:
    """The mean for ratios: of 2 and 1/2 it is 1. At least one value, all positive."""
    return math.exp(statistics.fmean(map(math.log, values)))


def walsh_averages(values: Sequence[float]) -> list[float]:
    """The means of all pairs of values, each value paired with itself too, in order."""
    return sorted((values[i] + values[j]) / 2 for i in range(len(values)) for j in range(i, len(values)))


def hodges_lehmann(values: Sequence[float]) -> float:
    """The median of the means of all pairs: nearly as sharp as a mean, and as calm as a median."""
    return statistics.median(walsh_averages(values))


@lru_cache(maxsize=64)
def _tail(ranks: tuple[int, ...]) -> tuple[float, ...]:
    """Probabilities that the sum of the ranks with a positive sign, every sign a fair coin, is at most 0, 1, 2...

    Exact: the number of ways to each sum is a digit of one large integer, and adding a rank is a shift.
    """
    digit_bytes = len(ranks) // 8 + 1
    ways = 1
    for rank in ranks:
        ways += ways << (8 * digit_bytes * rank)
    digits = ways.to_bytes((sum(ranks) + 1) * digit_bytes, "little")
    total = 2 ** len(ranks)
    tail, at_most = [], 0
    for start in range(0, len(digits), digit_bytes):
        at_most += int.from_bytes(digits[start:start + digit_bytes], "little")
        tail.append(at_most / total)
    return tuple(tail)


def _signed_rank_cut(count: int, outside: float) -> int:
    """How many Walsh averages are left out at either end, so that each end errs at most half of ``outside``."""
    if count <= EXACT_ROUNDS:
        return bisect_right(_tail(tuple(range(1, count + 1))), outside / 2)
    mean = count * (count + 1) / 4
    deviation = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    return math.floor(mean + _NORMAL.inv_cdf(outside / 2) * deviation + 0.5)


def signed_rank_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of the signed-rank test: centres that it would not reject.

    Holds the true centre of symmetric values with at least ``confidence``. Raises ValueError when so few
    values cannot have so much (8 are needed for 99 %).
    """
    cut = _signed_rank_cut(len(values), 1 - confidence)
    if cut == 0:
        raise ValueError(f"{len(values)} values have no interval of {confidence:.0%}")
    averages = walsh_averages(values)
    return averages[cut - 1], averages[-cut]


def _doubled_ranks(magnitudes: Sequence[float]) -> list[int]:
    """Twice the rank of each value, equal ones sharing the mean of theirs: twice, so that all are whole."""
    ordered = sorted(magnitudes)
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for place, magnitude in enumerate(ordered, start=1):
        first.setdefault(magnitude, place)
        last[magnitude] = place
    return [first[magnitude] + last[magnitude] for magnitude in magnitudes]


def signed_rank_p(values: Sequence[float]) -> float:
    """The exact probability of values at least as lopsided, both ways, if their centre were 0.

    Values that are 0 say nothing and are left out; equal magnitudes share their ranks.
    """
    signed = [value for value in values if value]
    if not signed:
        return 1.0
    ranks = _doubled_ranks([abs(value) for value in signed])
    positive = sum(rank for rank, value in zip(ranks, signed, strict=True) if value > 0)
    fewer = min(positive, sum(ranks) - positive)
    if len(ranks) <= EXACT_ROUNDS:
        return min(1.0, 2 * _tail(tuple(sorted(ranks)))[fewer])
    deviation = math.sqrt(sum(rank * rank for rank in ranks)) / 2
    return min(1.0, 2 * _NORMAL.cdf((fewer + 1 - sum(ranks) / 2) / deviation))


@lru_cache(maxsize=64)
def _rank_sum_tail(first: int, second: int) -> tuple[float, ...]:
    """Probabilities that at most 0, 1, 2... of the pairs of one value each have the first above the second."""
    # The number of ways is a Gaussian binomial coefficient: a product of (1 - q^(second + i)) / (1 - q^i).
    size = first * second + 1
    ways = [1] + [0] * (size - 1)
    for step in range(1, first + 1):
        for place in range(size - 1, second + step - 1, -1):
            ways[place] -= ways[place - second - step]
        for place in range(step, size):
            ways[place] += ways[place - step]
    total = math.comb(first + second, first)
    tail, at_most = [], 0
    for count in ways:
        at_most += count
        tail.append(at_most / total)
    return tuple(tail)


def _rank_sum_at_most(first: int, second: int, pairs: float) -> float:
    if first * second <= EXACT_PAIRS:
        return _rank_sum_tail(first, second)[math.floor(pairs)]
    deviation = math.sqrt(first * second * (first + second + 1) / 12)
    return _NORMAL.cdf((pairs + 0.5 - first * second / 2) / deviation)


def shift(old: Sequence[float], new: Sequence[float]) -> float:
    """How far ``new`` lies above ``old``, two samples without pairs: the median of all differences."""
    return statistics.median(there - here for there in new for here in old)


def shift_interval(
    old: Sequence[float], new: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The interval of the rank-sum test around ``shift``. Raises ValueError when there are too few values."""
    outside = (1 - confidence) / 2
    count = len(old) * len(new)
    if count <= EXACT_PAIRS:
        cut = bisect_right(_rank_sum_tail(len(old), len(new)), outside)
    else:
        deviation = math.sqrt(count * (len(old) + len(new) + 1) / 12)
        cut = math.floor(count / 2 + _NORMAL.inv_cdf(outside) * deviation + 0.5)
    if cut == 0:
        raise ValueError(f"{len(old)} and {len(new)} values have no interval of {confidence:.0%}")
    differences = sorted(there - here for there in new for here in old)
    return differences[cut - 1], differences[-cut]


def shift_p(old: Sequence[float], new: Sequence[float]) -> float:
    """The probability, both ways, of two samples at least so far apart if they were drawn from one.

    Equal values count half for each side, which is exact only where there are none.
    """
    above = sum((there > here) + (there == here) / 2 for there in new for here in old)
    fewer = min(above, len(old) * len(new) - above)
    return min(1.0, 2 * _rank_sum_at_most(len(new), len(old), fewer))


def smallest_effect(low: float, high: float, confidence: float = CONFIDENCE) -> float:
    """The relative effect that rounds with an interval this wide would have shown nine times in ten.

    ``low`` and ``high`` are the ends of an interval of a ratio, at ``confidence``.
    """
    needed = _NORMAL.inv_cdf((1 + confidence) / 2)
    return math.expm1(math.log(high / low) / 2 * (1 + _NORMAL.inv_cdf(POWER) / needed))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, each made larger so that all tests of a family together keep one error rate (Holm 1979)."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - done)))
        adjusted[place] = largest
    return adjusted


def rounds_needed(asked: int) -> int:
    """Rounds that agree with each other without exception, so that one of ``asked`` ratios is called faster or slower.

    The p-value of n such rounds is 2 / 2^n, and after ``holm`` it is ``asked`` times as much.
    """
    return math.ceil(math.log2(2 * asked / FAMILY_ALARMS))


def verdict(low: float, high: float, adjusted_p: float) -> str:
    """What an interval of a ratio says, given its p-value after ``holm``: below 1 is faster.

    "no difference": all of it lies within 2 % of 1. "inconclusive": 1 is in it and so is what would matter, or
    there were so many comparisons that one interval like this was to be expected by chance.
    """
    if low - 1 >= -EQUAL_WITHIN and high - 1 <= EQUAL_WITHIN:
        return EQUAL
    if low <= 1 <= high or adjusted_p > FAMILY_ALARMS:
        return INCONCLUSIVE
    return FASTER if high < 1 else SLOWER
