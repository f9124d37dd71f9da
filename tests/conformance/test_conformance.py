"""Every row through every door; see conftest.py."""

import pytest
from conformance import BY_NAME, ROWS, SCENARIOS, Row, World, compare, expected_rows
from doors import DOORS, EXTRA, SCRIPTS, PythonDoor


def name_of(row: Row, door) -> str:
    return f"{row.id}-{row.function}-{door.name}"


def doors_of(row: Row) -> tuple:
    """The doors that the matrix names for a row."""
    return SCRIPTS if row.doors == "script" else tuple(door for door in DOORS if door.letter in row.doors)


def cases(doors_of):
    return [pytest.param(row, door, id=name_of(row, door)) for row in expected_rows() if row.id in SCENARIOS
            for door in doors_of(row)]


def others_of(row: Row) -> list:
    """Doors that the matrix does not count."""
    return [] if row.doors == "script" else [door for door in EXTRA if can_show(row, door)]


def can_show(row: Row, door) -> bool:
    """Whether a door that the matrix does not count can show a row."""
    if door.lives_in_guest and (row.family == "hdaudio" or "guest" in SCENARIOS[row.id].without):
        return False
    return ("p" if issubclass(door, PythonDoor) else "C") in row.doors


def play(row: Row, door) -> None:
    scenario = SCENARIOS[row.id]
    world = World(row, scenario, door())
    try:
        compare(world, scenario.play(world))
        assert world.machine.check() is None
        assert len(world.live()) == scenario.live, world.live()
    finally:
        world.closing.close()


@pytest.mark.parametrize(("row", "door"), cases(doors_of))
def test_row(row, door):
    play(row, door)


@pytest.mark.parametrize(("row", "door"), cases(others_of))
def test_row_otherwise(row, door):
    play(row, door)


def test_every_row_whose_routine_is_there_has_a_scenario():
    assert not [row.id for row in expected_rows() if row.id not in SCENARIOS]


def test_matrix_and_table_name_the_same_routines():
    named = {row.function for row in ROWS.values()}
    assert {name for name in named if not name.startswith("(")} == set(BY_NAME)


def test_the_set_that_ran_is_the_matrix(ran):
    collected, passed, otherwise = ran
    expected = {name_of(row, door) for row in expected_rows() for door in doors_of(row)}
    assert not otherwise
    assert collected <= expected
    assert passed == collected
    if len(collected) == len(cases(doors_of)):
        assert passed == expected
