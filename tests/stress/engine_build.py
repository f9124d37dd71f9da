"""Builds C programs around the engine's sources, as they are installed with the package.

The engine is compiled by Cython into one C file, which the programs include (see engine.h). A program
may be built with some text of the sources replaced: how a test shows that it can fail.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import poolcore

HERE = Path(__file__).parent
ENGINE = Path(poolcore.__file__).parent
# The programs run no Python, so its names stay open; only a program at a fixed place may have such names.
WITHOUT_PYTHON = ("-no-pie", "-fno-pie", "-Wl,--unresolved-symbols=ignore-all")


def run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"


def generate(where: Path, changes: Iterable[tuple[str, str, str]] = ()) -> Path:
    """Puts `_pool.c` into `where`, made of the engine's sources with `changes` (file, text, other text)."""
    sources = where / "poolcore"
    shutil.copytree(ENGINE, sources, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
    for name, text, other in changes:
        source = (sources / name).read_text()
        assert source.count(text) == 1, f"{text!r} stands {source.count(text)} times in {name}, expected once"
        (sources / name).write_text(source.replace(text, other))
    run(sys.executable, "-m", "cython", "-3", "-I", where, "-o", where / "_pool.c", sources / "_pool.pyx")
    return where


def generate_order(where: Path, changes: Iterable[tuple[str, str]] = ()) -> Path:
    """Puts `_order.c` into `where`, made of the replay by threads with `changes` (text, other text)."""
    packages = ENGINE.parent
    source = (packages / "pybuf" / "bench" / "_order.pyx").read_text()
    for text, other in changes:
        assert source.count(text) == 1, f"{text!r} stands {source.count(text)} times, expected once"
        source = source.replace(text, other)
    (where / "_order.pyx").write_text(source)
    run(sys.executable, "-m", "cython", "-3", "-I", packages, "--module-name", "pybuf.bench._order",
        "-o", where / "_order.c", where / "_order.pyx")
    return where


def compile_program(where: Path, program: str, flags: Iterable[str] = ("-O2",), *more: object) -> Path:
    """Compiles `program`.c, which includes the `_pool.c` in `where`."""
    cc = shlex.split(sysconfig.get_config_var("CC") or "cc")
    run(*cc, *flags, "-w", "-fno-strict-aliasing", "-pthread", "-I", where, "-I", where / "poolcore" / "include",
        "-I", HERE, "-I", sysconfig.get_path("include"), HERE / f"{program}.c", *more, "-o", where / program,
        *WITHOUT_PYTHON)
    return where / program
