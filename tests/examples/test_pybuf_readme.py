"""pybuf's README: its examples run, and its table is that of the routines and of the conformance matrix."""

from __future__ import annotations

import csv
import importlib.util
import re
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

import pybuf
from pybuf.machine import QUIRKS
from pybuf.routines import ROUTINES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
README = (ROOT / "pybuf" / "README.md").read_text()
FAMILIES = {"RAS": "ras", "NetApi": "netapi", "VideoPort": "videoport", "HD Audio": "hdaudio"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def cells(family: str) -> dict[str, list[str]]:
    """The rows of a family's table, by what their first column says."""
    section = re.split(r"^### ", README.partition("## The routines")[2], flags=re.MULTILINE)[1:]
    (text,) = [part for part in section if part.startswith(f"{family}\n")]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert lines[0] == ["routine", "header, page", "rows", "modelled", "not modelled", "readings chosen"]
    assert all(len(line) == 6 and all(line) for line in lines[2:])
    found = {line[0]: line for line in lines[2:]}
    assert len(found) == len(lines) - 2
    return found


def numbers(text: str) -> list[int]:
    """The ids that "1-10, 322" names."""
    found: list[int] = []
    for part in text.split(", "):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def matrix() -> dict[str, list[int]]:
    """The ids of the matrix, by function."""
    found: dict[str, list[int]] = {}
    with open(ROOT / "tests" / "conformance" / "conformance.csv", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["function"], []).append(int(row["id"]))
    return found


@pytest.mark.parametrize(("title", "family"), FAMILIES.items())
def test_table_has_every_routine_with_its_page(title: str, family: str) -> None:
    rows = cells(title)
    routines = [routine for routine in ROUTINES if routine.family == family]
    assert [name for name in rows if not name.startswith("(")] == [routine.name for routine in routines]
    for routine in routines:
        page = f"[{routine.header}]({routine.url})" if routine.url else f"{routine.header}, no page"
        assert rows[routine.name][1] == page


def test_table_names_just_the_rows_of_the_matrix() -> None:
    written = {name: numbers(row[2]) for title in FAMILIES for name, row in cells(title).items()}
    assert written == {name: sorted(ids) for name, ids in matrix().items()}


def test_every_quirk_stands_in_the_table_of_settings() -> None:
    rows = re.findall(r'^\| .*?"(\w+)".*? \| (.*) \|$', README, re.MULTILINE)
    assert [name for name, _ in rows] == list(QUIRKS)
    for name, text in rows:
        default, other, _ = QUIRKS[name]
        assert re.findall(r"`(\w+)`", text)[:2] == [default, other]


@pytest.mark.parametrize("block", blocks("python"))
def test_python_block_runs(block: str) -> None:
    exec(compile(block, "pybuf/README.md", "exec"), {"__name__": "readme"})


def test_c_block_is_text_of_a_module_that_runs(tmp_path: Path) -> None:
    (block,) = blocks("c")
    source = HERE / "routines.c"
    assert block in source.read_text()
    made = tmp_path / f"routines{sysconfig.get_config_var('EXT_SUFFIX')}"
    link = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")
    done = subprocess.run([*link, "-Wall", "-Wextra", "-Werror", "-fPIC", "-I", pybuf.get_include(), "-isystem",
                           sysconfig.get_path("include"), str(source), "-o", str(made)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    spec = importlib.util.spec_from_file_location("routines", made)
    assert spec is not None
    assert spec.loader is not None
    routines = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(routines)
    machine = pybuf.Machine()
    assert routines.churn(machine, 1000) == 1000
    assert machine.live() == []
    machine.close()


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!#|https:)[^)]*)\)", README))
def test_linked_file_is_there(link: str) -> None:
    assert (ROOT / "pybuf" / link).exists()
