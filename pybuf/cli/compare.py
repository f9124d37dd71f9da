"""`pybuf compare`: a result against an earlier one."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from rich.console import Console

from pybuf.bench import compare as bench
from pybuf.bench import result
from pybuf.bench.jsonfile import ForeignFileError
from pybuf.bench.reports import terminal
from pybuf.cli.refusal import Refusal

SLOWDOWN, INCONCLUSIVE = 1, 3


def _limit(_: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", value.strip())
    if found is None:
        raise Refusal(f"--fail-above {value}: expected a percentage, such as 3%")
    return float(found[1]) / 100


@click.command(short_help="Compare a result with an earlier one.")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--fail-above", "limit", metavar="PERCENT", callback=_limit,
              help="Exit with 1 when something became slower by more than this, such as 3%.")
@click.option("--anyway", "is_anyway", is_flag=True, help="Compare results of unlike machines, builds or rounds.")
def compare(base: Path, new: Path, limit: float | None, is_anyway: bool) -> None:
    """Compare the result NEW with the result BASE: two result.json, or the directories that hold them.

    Exit status: 0 everything could be told, and with --fail-above nothing became slower by more than that; 1 something
    did; 2 bad input, or results of unlike machines; 3 something could not be told. Bytes, which vary little, are told
    by the range of their few rounds where that is narrow enough.
    """
    notes = Console(stderr=True, highlight=False, markup=False)
    try:
        old, other = result.load(base), result.load(new)
        count = sum(len(one.contenders) * len(one.passes) for one in old.comparisons)
        # Two large samples have as many differences as they have pairs of values.
        pairs = sum(len(one.contenders) * len(one.passes) * one.rounds ** 2 for one in old.comparisons)
        notes.print(f"{count} figures: about {max(1, pairs * 2e-6):.0f} s", soft_wrap=True)
        outcome = bench.compare(old, other, is_anyway)
    except (ForeignFileError, bench.UnlikeError) as wrong:
        raise Refusal(str(wrong)) from None
    terminal.print_outcome(outcome, limit, terminal.console())
    if limit is not None and outcome.slowdowns(limit):
        sys.exit(SLOWDOWN)
    if outcome.doubts(limit) if limit is not None else outcome.is_inconclusive:
        sys.exit(INCONCLUSIVE)
