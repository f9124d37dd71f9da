"""For each invariant that check() can name, damage.c breaks just that, and check() says its name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from engine_build import ENGINE, HERE, compile_program

NAMES = re.findall(r'^    \{"(\w+)", |\}, \{"(\w+)", ', (HERE / "damage.c").read_text(), re.MULTILINE)
INVARIANTS = [first or second for first, second in NAMES]


@pytest.fixture(scope="module")
def damage(engine_sources: Path) -> Path:
    return compile_program(engine_sources, "damage", ("-O1", "-DPOOLCORE_ASSERTIONS"))


@pytest.mark.parametrize("name", INVARIANTS)
def test_check_names(name: str, damage: Path) -> None:
    said = subprocess.run([damage, name], capture_output=True, text=True, timeout=60).stdout.split()
    assert said == ["whole", name]


def test_every_invariant_that_check_names_is_damaged_here() -> None:
    source = (ENGINE / "_check.pxi").read_text()
    body = r"^cdef const char \*(?:check_\w+|pool_check)\(.*?(?=^cdef |\Z)"
    bodies = re.findall(body, source, re.MULTILINE | re.DOTALL)
    named = {name for body in bodies for name in re.findall(r'return "(\w+)"', body)}
    assert named == set(INVARIANTS)
