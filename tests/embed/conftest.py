"""Compiles modules against the poolcore that the tests import, as a user's build would."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import poolcore

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
PACKAGE = Path(poolcore.__file__).parent
STRICT = ("-Wall", "-Wextra", "-pedantic", "-Werror")


def run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"


def compile_shared(source: Path, made: Path, *flags: object) -> Path:
    link = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")
    made.parent.mkdir(parents=True, exist_ok=True)
    run(*link, "-O2", "-fPIC", "-pthread", *flags, "-isystem", sysconfig.get_path("include"), source, "-o", made)
    return made


def load(made: Path) -> ModuleType:
    name = made.name.split(".")[0]
    spec = importlib.util.spec_from_file_location(name, made)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_c(source: Path, where: Path, *flags: object) -> ModuleType:
    made = where / (source.stem + sysconfig.get_config_var("EXT_SUFFIX"))
    return load(compile_shared(source, made, *flags, "-I", poolcore.get_include()))


def build_cython(source: Path, where: Path, declarations: Path = PACKAGE.parent) -> ModuleType:
    """`declarations` is where the folder poolcore with the .pxd files is."""
    where.mkdir(parents=True, exist_ok=True)
    written = where / f"{source.stem}.c"
    run(sys.executable, "-P", "-m", "cython", "-3", "-I", declarations, "-o", written, source)
    return build_c(written, where)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ModuleType]:
    """Builds and imports a C or Cython source, once a session when nothing but the source is given."""
    done: dict[Path, ModuleType] = {}

    def build(source: Path) -> ModuleType:
        if source not in done:
            where = tmp_path_factory.mktemp(source.suffix[1:])
            done[source] = build_cython(source, where) if source.suffix == ".pyx" else build_c(source, where, *STRICT)
        return done[source]

    return build
