"""Two results of the same kind, an old one and a new: what became faster, slower, or cannot be told.

The rounds of two results have no pairs. What is compared is each contender's time over that of the base in its own
round, since the machine's mood of the hour is in both; where a result has no base, for the base itself, and for bytes,
the values as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pybuf.bench import analysis, fingerprint, statistics
from pybuf.bench.result import Comparison, Result, Row
from pybuf.bench.statistics import CONFIDENCE, INCONCLUSIVE, RANGE_ONLY


class UnlikeError(ValueError):
    """Results that cannot be compared; its text is one line that says why."""


@dataclass(frozen=True)
class Change:
    """One contender in one comparison: new over old, below 1 is faster, or fewer bytes.

    ``over`` is the base that values were divided by, empty where they were not. With fewer than 8 rounds in either
    result ``confidence`` is None and ``low`` to ``high`` is the range. Bytes, which vary little and are measured in few
    rounds, are told by their range where it lies within what matters.
    """

    comparison: str
    contender: str
    passes: str
    over: str
    estimate: float
    low: float
    high: float
    confidence: float | None
    p: float | None
    verdict: str
    is_bytes: bool = False


@dataclass(frozen=True)
class Outcome:
    """All changes, judged together, what only warns, and what one result has and the other has not."""

    changes: list[Change]
    warnings: list[str]
    unmatched: list[str]

    @property
    def is_inconclusive(self) -> bool:
        """Whether something could not be told."""
        return any(one.verdict in (INCONCLUSIVE, RANGE_ONLY) for one in self.changes)

    def slowdowns(self, limit: float) -> list[Change]:
        """What is slower by more than ``limit`` (0.03 is 3 %), all of the interval beyond it."""
        return [one for one in self.changes if one.confidence is not None and one.verdict == statistics.SLOWER
                and one.low > 1 + limit]

    def doubts(self, limit: float) -> list[Change]:
        """What may or may not be slower by more than ``limit``."""
        slow = self.slowdowns(limit)
        return [one for one in self.changes if one not in slow and (
            one.high > 1 + limit or (one.confidence is None and not one.is_bytes))]


def compare(old: Result, new: Result, is_anyway: bool = False) -> Outcome:
    """Compare two results: a change for each contender and pass that both have, the empty harness's left out.

    Raises UnlikeError for results of unlike machines or builds, unless ``is_anyway``, and for results that have
    nothing in common. Comparisons whose rounds differ in ``processes`` are named among those without a match, unless
    ``is_anyway``.
    """
    refusing, warnings = fingerprint.differences(old.fingerprint, new.fingerprint)
    if refusing and not is_anyway:
        raise UnlikeError(f"the results are of unlike machines: {'; '.join(refusing)}; --anyway compares them")
    if not old.is_complete or not new.is_complete:
        warnings.append("one of the results was interrupted, and is compared as far as it goes")
    there = {one.id: one for one in new.comparisons}
    changes: list[Change] = []
    unmatched = [f"{one.id}: only in the old result" for one in old.comparisons if one.id not in there]
    here = {one.id for one in old.comparisons}
    unmatched += [f"{one.id}: only in the new result" for one in new.comparisons if one.id not in here]
    for one in old.comparisons:
        other = there.get(one.id)
        if other is None:
            continue
        if not _is_same(one, other):
            unmatched.append(f"{one.id}: the workloads differ, though not in name")
            continue
        if one.processes != other.processes and not is_anyway:
            # Where there are two modes, as in glibc's later passes, the mean of two processes lies between them.
            unmatched.append(
                f"{one.id}: a round has {_processes(one)} in the old result and {_processes(other)} in the new; "
                "run both with the same --time or --rounds, or give --anyway")
            continue
        changes += _changes(one, other)
        names = {row.name for row in one.contenders} ^ {row.name for row in other.contenders}
        unmatched += [f"{one.id}: {name} is only in one of the results" for name in sorted(names)]
    if not changes:
        raise UnlikeError(f"the results have no figures in common ({unmatched[0] if unmatched else 'they are empty'})")
    return Outcome(_judged(changes), refusing + warnings, unmatched)


def _processes(one: Comparison) -> str:
    return f"{one.processes} process{'es' * (one.processes > 1)} of each contender"


def _is_same(one: Comparison, other: Comparison) -> bool:
    facts = [
        (each.workload.parameters, each.unit, each.base, {
            key: value for key, value in (each.workload.trace or {}).items() if key not in ("path", "name")})
        for each in (one, other)
    ]
    return facts[0] == facts[1]


def _changes(one: Comparison, other: Comparison) -> list[Change]:
    found = []
    bases = one.row(one.base), other.row(one.base)
    for row in one.contenders:
        new = other.row(row.name)
        if new is None or row.name == analysis.EMPTY or not one.rounds or not other.rounds:
            continue
        is_divided = one.metric == "time" and None not in bases and row.name != one.base
        for passes in row.series:
            if passes not in new.series:
                continue
            samples = [
                _logs(each, base if is_divided else None, passes)
                for each, base in zip((row, new), bases, strict=True)
            ]
            if all(samples):
                found.append(_change(one, row.name, passes, one.base if is_divided else "", *samples))
    return found


def _logs(row: Row, base: Row | None, passes: str) -> list[float]:
    values = row.series[passes]
    if base is not None:
        if min(base.series.get(passes, ()), default=0) <= 0:
            return []
        values = [value / other for value, other in zip(values, base.series[passes], strict=True)]
    return [math.log(value) for value in values] if min(values, default=0) > 0 else []


def _change(
    comparison: Comparison, name: str, passes: str, over: str, old: Sequence[float], new: Sequence[float]
) -> Change:
    estimate = math.exp(statistics.shift(old, new))
    is_bytes = comparison.metric == "memory"
    if min(len(old), len(new)) < statistics.FEWEST_ROUNDS:
        low, high = math.exp(min(new) - max(old)), math.exp(max(new) - min(old))
        verdict = statistics.verdict(low, high, 1) if is_bytes else RANGE_ONLY
        verdict = verdict if verdict == statistics.EQUAL else RANGE_ONLY
        return Change(comparison.id, name, passes, over, estimate, low, high, None, None, verdict, is_bytes)
    low, high = map(math.exp, statistics.shift_interval(old, new))
    p = statistics.shift_p(old, new)
    return Change(comparison.id, name, passes, over, estimate, low, high, CONFIDENCE, p, INCONCLUSIVE, is_bytes)


def _judged(changes: Sequence[Change]) -> list[Change]:
    asked = [one for one in changes if one.p is not None]
    adjusted = iter(statistics.holm([one.p or 0 for one in asked]))
    return [
        one if one.p is None else replace(one, verdict=statistics.verdict(one.low, one.high, next(adjusted)))
        for one in changes
    ]
