"""Rows of the matrix, the scenarios that show them, and the world that a scenario is given. See conftest.py."""

from __future__ import annotations

import csv
import importlib.util
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pybuf
from pybuf.routines import ROUTINES

HERE = Path(__file__).parent
BY_NAME = {routine.name: routine for routine in ROUTINES}
ENUMS = {"ras": "RasStatus", "netapi": "NetStatus", "videoport": "VpStatus", "hdaudio": "NtStatus"}
FAMILY_OF_NO_ROUTINE = {"(memory access)": "videoport", "(device removal)": "videoport"}


class Row(NamedTuple):
    id: int
    function: str
    status: str
    value: str
    trigger: str
    basis: str
    doors: str
    machine: str

    @property
    def family(self) -> str:
        return FAMILY_OF_NO_ROUTINE.get(self.function) or BY_NAME[self.function].family

    @property
    def settings(self) -> dict[str, Any]:
        """What the machine of the row is made with."""
        if not self.machine:
            return {}
        name, equals, value = self.machine.partition("=")
        return {"quirks": {name: value}} if equals else {name: True}


def read_rows() -> dict[int, Row]:
    with open(HERE / "conformance.csv", newline="") as file:
        return {int(row["id"]): Row(int(row.pop("id")), **row) for row in csv.DictReader(file)}


ROWS = read_rows()


class Scenario(NamedTuple):
    play: Callable[[World], Any]
    live: int
    without: tuple[str, ...]
    settings: dict[str, Any]


SCENARIOS: dict[int, Scenario] = {}
NEEDED: dict[int, str] = {}


def needs(routine: str, *ids: int) -> None:
    """These rows cannot be shown without another routine than their own: they are expected once it is there."""
    NEEDED.update(dict.fromkeys(ids, routine))


def row(*ids: int, live: int = 0, without: tuple[str, ...] = (), **settings: Any
        ) -> Callable[[Callable[[World], Any]], Callable[[World], Any]]:
    """The scenario of these rows. `settings` go to Machine beside the row's own; `live`: blocks that it leaves;
    `without`: extra doors that cannot show it ("guest": a guest that pybuf cannot read)."""

    def keep(play: Callable[[World], Any]) -> Callable[[World], Any]:
        for number in ids:
            assert number in ROWS, f"there is no row {number}"
            assert number not in SCENARIOS, f"row {number} has two scenarios"
            SCENARIOS[number] = Scenario(play, live, without, settings)
        return play

    return keep


def is_there(function: str) -> bool:
    """Whether the installed pybuf has a routine."""
    from pybuf._doors import ROUTINES_OF_C

    if function == "RasCustomScriptExecute":
        return "run_script" in dir(getattr(pybuf, "ras", None))
    return {"(memory access)": "VideoPortReleaseBuffer", "(device removal)": "VideoPortReleaseBuffer"}.get(
        function, function) in ROUTINES_OF_C


def load_scenarios() -> None:
    """Runs the families' files."""
    for family in ENUMS:
        path = HERE / f"{family}.py"
        if path.exists():
            spec = importlib.util.spec_from_file_location(f"scenarios_{family}", path)
            assert spec is not None
            assert spec.loader is not None
            spec.loader.exec_module(importlib.util.module_from_spec(spec))


def expected_rows() -> list[Row]:
    """The rows that can run: their routine is there, and so is the one that they need besides."""
    return [row for row in ROWS.values() if is_there(row.function) and is_there(NEEDED.get(row.id, row.function))]


class Answer(tuple):
    """What a routine answered: the status, if it has one, and the outputs. Addresses are ints, NULL is None, and so is
    what was not written."""

    bug: Any = None
    """The BugCheck, if there was one."""
    written: dict[str, bool] | None = None
    """By name, whether C wrote an output; None where that cannot be seen."""


class World:
    """A machine, and one door to it: `world.NetApiBufferFree(address)`.

    Arguments are the C parameters without pure outputs: ints, str, None for NULL, and objects for structures;
    `missing="Buffer"` passes NULL for an out-pointer. See `on` for routines of a session or an interface.
    """

    def __init__(self, row: Row, scenario: Scenario, door: Any) -> None:
        self.row = row
        self.door = door
        self.closing = ExitStack()
        settings: dict[str, Any] = {"clock": "manual", **row.settings, **scenario.settings, **door.settings()}
        self.machine = self.closing.enter_context(Closing(pybuf.Machine(**settings)))
        self.closing.enter_context(self.machine)
        door.open(self.machine)

    def __getattr__(self, name: str) -> Callable[..., Answer]:
        if name not in BY_NAME:
            raise AttributeError(f"{name} is no routine")
        return lambda *arguments, **options: self.door.call(BY_NAME[name], None, arguments, **options)

    def routine(self, *arguments: Any, **options: Any) -> Answer:
        """The routine of the row."""
        return self.door.call(BY_NAME[self.row.function], None, arguments, **options)

    def on(self, target: Any) -> On:
        """The routines of a RAS session or of an HD Audio interface: `world.on(bus).FreeDmaBuffer(handle)`."""
        return On(self.door, target)

    def got(self, routine: str, *arguments: Any) -> int:
        """The address that an allocation answers, which must succeed."""
        answer = getattr(self, routine)(*arguments)
        assert answer[0] == 0, answer
        return answer[1]

    def fill(self, address: int, data: bytes) -> None:
        """Writes a block's bytes, unless a guest has them."""
        if not self.door.is_guest:
            self.door.buffer_at(self.machine, address)[: len(data)] = data

    def bytes_at(self, address: int, size: int) -> bytes | None:
        """A block's first bytes; None when a guest has them."""
        return None if self.door.is_guest else bytes(self.door.buffer_at(self.machine, address)[:size])

    def live(self) -> list[Any]:
        return list(self.machine.live())


class On(NamedTuple):
    door: Any
    target: Any

    def __getattr__(self, name: str) -> Callable[..., Answer]:
        return lambda *arguments, **options: self.door.call(BY_NAME[name], self.target, arguments, **options)


class Closing:
    def __init__(self, machine: Any) -> None:
        self.machine = machine

    def __enter__(self) -> Any:
        return self.machine

    def __exit__(self, *_: object) -> None:
        self.machine.close()


def compare(world: World, answer: Any) -> None:
    """That an answer is the row's."""
    row = world.row
    bug = getattr(answer, "bug", None) or (answer if isinstance(answer, pybuf.BugCheck) else None)
    if row.value.startswith("bug check"):
        assert bug is not None, f"no bug check, but {answer}"
        assert bug.code == int(row.value.split()[-1], 16)
        assert bug.code.name == row.status
        for place, value in re.findall(r"^p(\d) (0x\w+):", row.trigger):
            assert bug.parameters[int(place) - 1] == int(value, 16)
        return
    assert bug is None, bug
    if row.status == "(void)":
        return
    first = answer[0] if isinstance(answer, tuple) else answer
    if row.status in ("(pointer)", "(NULL)"):
        assert (first is None) == (row.status == "(NULL)")
        return
    assert int(first) & 0xFFFFFFFF == int(row.value, 0)
    if world.door.has_members:
        enum = getattr(pybuf, ENUMS[row.family])
        assert first is enum[row.status]
