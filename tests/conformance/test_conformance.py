"""Every row through every door; see conftest.py."""

import pytest
from conformance import BY_NAME, ROWS, SCENARIOS, Row, World, compare, expected_rows
from doors import DOORS, EXTRA, PythonDoor

SCENARIOS_WITHOUT_SCRIPT = [row for row in expected_rows() if row.id in SCENARIOS and row.doors != "script"]


def name_of(row: Row, door: str) -> str:
    return f"{row.id}-{row.function}-{door}"


def cases(doors):
    for row in SCENARIOS_WITHOUT_SCRIPT:
        for door in doors:
            if (door in DOORS and door.letter in row.doors) or (door not in DOORS and can_show(row, door)):
                yield pytest.param(row, door, id=name_of(row, door.name))


def can_show(row: Row, door) -> bool:
    """Whether a door that the matrix does not count can show a row."""
    if door.is_guest and (row.family == "hdaudio" or "guest" in SCENARIOS[row.id].without):
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


@pytest.mark.parametrize(("row", "door"), list(cases(DOORS)))
def test_row(row, door):
    play(row, door)


@pytest.mark.parametrize(("row", "door"), list(cases(EXTRA)))
def test_row_otherwise(row, door):
    play(row, door)


def test_every_row_whose_routine_is_there_has_a_scenario():
    assert not [row.id for row in expected_rows() if row.id not in SCENARIOS]


def test_matrix_and_table_name_the_same_routines():
    named = {row.function for row in ROWS.values()}
    assert {name for name in named if not name.startswith("(")} == set(BY_NAME)


def test_the_set_that_ran_is_the_matrix(ran):
    collected, passed, otherwise = ran
    expected = {name_of(row, door.name) for row in expected_rows() if row.doors != "script"
                for door in DOORS if door.letter in row.doors}
    assert not otherwise
    assert collected <= expected
    assert passed == collected
    if len(collected) == len(list(cases(DOORS))):
        assert passed == expected
