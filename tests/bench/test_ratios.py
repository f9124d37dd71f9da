"""The table of ratios: what is printed, and that a row that did not run is an error."""

import json

import pytest

from pybuf.bench.ratios import table

FLOORS = table.together("pair", "F1", "F3", size=1500, count=1000)
QUICK = ["--quick", "--json"]


@pytest.fixture
def rows(monkeypatch):
    """Puts other rows into the table."""
    return lambda *rows: monkeypatch.setattr(table, "ROWS", rows)


def test_ratio_is_the_median_of_ratios_within_rounds(capsys):
    rounds = [{"F3": 6.0, "F1": 2.0}, {"F3": 8.0, "F1": 2.0}, {"F3": 70.0, "F1": 10.0}]
    row = table.versus("pair", FLOORS, "F1", 3.0, 1.0, "F3")
    line = table.line(row, table.Taken(rounds=rounds))
    assert line["measured"] == 4.0
    assert line["quartiles"] == [3.5, 5.5]


@pytest.mark.parametrize(
    ("must", "aim", "is_higher_better", "reached"),
    [
        (4.0, 2.0, False, "must"),
        (4.0, 3.0, False, "aim"),
        (2.9, 2.0, False, "**misses**"),
        (2.0, 4.0, True, "must"),
        (3.1, 4.0, True, "**misses**"),
        (None, None, False, "printed"),
        (None, 2.0, False, "-"),
        (None, 3.0, False, "aim"),
    ],
)
def test_bounds_are_told_apart(must, aim, is_higher_better, reached):
    row = table.alone("row", FLOORS, must, aim, "F3", is_higher_better=is_higher_better)
    assert table.line(row, table.Taken(rounds=[{"F3": 3.0}]))["reaches"] == reached


def test_a_row_that_runs_has_its_median_between_its_quartiles(rows, capsys):
    rows(table.versus("pair", FLOORS, "F1", 100.0, 0.01, "F3"))
    assert table.main(QUICK) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["row"] == "pair / F1"
    assert row["rounds"] == 5
    assert 0 < row["quartiles"][0] <= row["measured"] <= row["quartiles"][1]


def test_row_that_does_not_run_is_an_error_with_its_reason(rows, capsys):
    absent = table.together("pair", "F1", "no such allocator", size=1500, count=1000)
    rows(table.versus("bad", absent, "F1", 1.0, 1.0, "F1"), table.versus("good", FLOORS, "F1", None, None, "F3"))
    assert table.main(["--quick"]) == 1
    printed = capsys.readouterr()
    assert "| bad / F1 | 1x | 1x | **did not run** | | | | KeyError: 'no such allocator' |" in printed.out
    assert "| good / F1 | - | - |" in printed.out
    assert "1 of 2 rows did not run" in printed.err


def test_name_of_no_row_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        table.main(["--row", "no such row"])
    assert ended.value.code == 2
    assert "no row has a name with 'no such row'" in capsys.readouterr().err


def test_table_has_every_row_once():
    names = [row.name for row in table.ROWS]
    assert len(names) == len(set(names))
