"""Every example in the READMEs runs, or is text of a file that other tests compile and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
README = (HERE.parents[1] / "README.md").read_text()
ENGINE = (HERE.parents[1] / "poolcore" / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shell(program: str, where: Path) -> str:
    """What a shell block prints, run with this interpreter's commands first; the first failing line ends it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", program], cwd=where, env={**os.environ, "PATH": path},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def block_with(text: str) -> str:
    (block,) = [block for block in blocks("sh") if text in block]
    return block


@pytest.mark.parametrize("block", [*blocks("python"), *blocks("python", ENGINE)])
def test_python_block_runs(block: str) -> None:
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize(("language", "file"), [("cython", "churn.pyx"), ("c", "churn.c")])
def test_block_is_text_of_the_example(language: str, file: str) -> None:
    (block,) = blocks(language)
    assert block in (HERE / file).read_text()


def test_environment_turns_policies_on(tmp_path: Path) -> None:
    (tmp_path / "your-program.py").write_text("import poolcore; print(*poolcore.Pool().policies)")
    assert shell(block_with("POOLCORE="), tmp_path) == "Guard() Events()\n"


def test_program_is_recorded_and_replayed(tmp_path: Path) -> None:
    program = tmp_path / "your-program"
    program.write_text("#!/bin/sh\nexec sort /etc/passwd\n")
    program.chmod(0o755)
    quick = "mine.pybuf --rounds 2 --against poolcore,glibc -o r"
    commands = block_with("pybuf record").replace("mine.pybuf -o r", quick)
    printed = shell(commands, tmp_path)
    assert "poolcore" in printed
    assert (tmp_path / "replay" / "replay.png").stat().st_size > 10_000


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#][^)]*)\)", README))
def test_linked_file_is_there(link: str) -> None:
    assert (HERE.parents[1] / link).exists()


def test_engine_readme_names_every_invariant_that_check_can_name() -> None:
    source = (HERE.parents[1] / "poolcore" / "_check.pxi").read_text()
    checks = re.findall(r"^cdef const char \*\w*check\w*\(.*?(?=^cdef |\Z)", source, re.MULTILINE | re.DOTALL)
    named = {name for body in checks for name in re.findall(r'return "(\w+)"', body)}
    rows = re.findall(r"^\| (`.*?) \|", ENGINE.partition("## Invariants")[2], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == named
