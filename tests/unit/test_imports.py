"""Imports run one way, and `import poolcore` brings nothing else along."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import poolcore

PACKAGES = Path(poolcore.__file__).parents[1]

# A module imports from the layers below its own, or from modules beside it; the first pattern that fits counts.
# What poolcore shows to others stands above what it is made of.
LAYERS = (
    ("poolcore._types",),
    ("poolcore._os",),
    ("poolcore._slab",),
    ("poolcore._events", "poolcore._guard"),
    ("poolcore._heap",),
    ("poolcore._pool", "poolcore._counted"),
    ("poolcore.errors", "poolcore.policies", "poolcore.stats"),
    ("poolcore._python",),
    ("poolcore._capi",),
    ("poolcore",),
    ("pybuf.status", "pybuf._status", "pybuf.errors", "pybuf.routines", "pybuf.layouts", "pybuf.doors",
     "pybuf._platform"),
    ("pybuf._machine",),
    ("pybuf._ras", "pybuf._netapi", "pybuf._videoport", "pybuf._hdaudio"),
    ("pybuf.network", "pybuf.ras", "pybuf.netapi", "pybuf.videoport", "pybuf.hdaudio"),
    ("pybuf.machine",),
    ("pybuf._doors", "pybuf._arguments"),
    ("pybuf.bench.files",),
    ("pybuf.bench.recordings",),
    # What a result is and what can be said of it: what shows one needs nothing that runs a contender.
    ("pybuf.bench.jsonfile", "pybuf.bench.manifest", "pybuf.bench.result", "pybuf.bench.statistics",
     "pybuf.bench.analysis", "pybuf.bench.processor", "pybuf.bench.fingerprint", "pybuf.bench.compare",
     "pybuf.bench.capture", "pybuf.bench.sizes", "pybuf.bench.workloads", "pybuf.bench.tune", "pybuf.bench._threads",
     "pybuf.bench._replay", "pybuf.bench._workloads", "pybuf.bench._tune"),
    ("pybuf.bench.reports",),
    ("pybuf.windll", "pybuf.emulators", "pybuf.interop", "pybuf.bench"),
    ("pybuf.bench.ratios",),
    ("pybuf.cli",),
    ("pybuf", "pybuf.__main__"),
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}


def module_of(path: Path) -> str:
    """A module's name; what it shows to others, its .pxd, and its inside, its .pyx, are two."""
    name = ".".join(path.relative_to(PACKAGES).with_suffix("").parts).removesuffix(".__init__")
    return f"{name}.pyx" if path.suffix == ".pyx" and path.with_suffix(".pxd").exists() else name


SOURCES = [
    path
    for package in ("poolcore", "pybuf")
    for path in sorted((PACKAGES / package).rglob("*"))
    if path.suffix in (".py", ".pyx", ".pxd", ".pxi", ".pyi")
]
MODULES = {module_of(path) for path in SOURCES} | {"poolcore", "pybuf"}


def layer_of(module: str) -> int:
    """The layer of a module, or of the package that it is in."""
    while module not in LAYER_OF:
        module, dot, _ = module.rpartition(".")
        assert dot, f"{module} has no place in LAYERS"
    return LAYER_OF[module]


def lines_of(path: Path) -> list[tuple[str, list[str]]]:
    """The import and cimport lines of a source: the module and the names taken from it, if any."""
    text = path.read_text()
    if path.suffix in (".py", ".pyi"):
        found = []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found += [(alias.name, []) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are written in full"
                found.append((node.module or "", [alias.name for alias in node.names]))
        return found
    text = re.sub(r'"""[\s\S]*?"""|#.*', "", text)
    names = r"[ \t]+(\([^)]*\)|[^\n(]+)"
    taken = re.findall(rf"^[ \t]*from[ \t]+([\w.]+)[ \t]+c?import{names}", text, re.MULTILINE)
    whole = re.findall(r"^[ \t]*c?import[ \t]+([\w., \t]+)", text, re.MULTILINE)
    return [(module, re.findall(r"\w+", listed)) for module, listed in taken] + [
        (module.split()[0], []) for listed in whole for module in listed.split(",")
    ]


def imported(path: Path) -> set[str]:
    """Modules of ours that a source imports."""
    found = set()
    for module, names in lines_of(path):
        inner = {f"{module}.{name}" for name in names} & MODULES
        found |= inner or {module}
    return {module for module in found if module.split(".")[0] in ("poolcore", "pybuf")}


def arrows() -> set[tuple[str, str]]:
    return {(module_of(path), other) for path in SOURCES for other in imported(path)}


def test_no_arrow_points_up():
    up = {(module, other) for module, other in arrows() if layer_of(other) > layer_of(module)}
    assert not up


def test_arrows_within_a_layer_make_no_circle():
    rest = {(module, other) for module, other in arrows() if module != other}
    while True:
        ends = {other for _, other in rest} - {module for module, _ in rest}
        kept = {(module, other) for module, other in rest if other not in ends}
        if kept == rest:
            break
        rest = kept
    assert not rest


def test_pybuf_uses_only_what_poolcore_makes_public():
    private = {
        (module, other)
        for module, other in arrows()
        if module.startswith("pybuf") and re.match(r"poolcore\b.*\._", other)
    }
    assert not private


def test_lines_of_every_kind_are_read(tmp_path):
    source = tmp_path / "sample.pyx"
    source.write_text('"""from a import b"""\nfrom poolcore._os cimport (  # why\n    os_lock,\n    os_unlock,\n)\n'
                      "cimport poolcore._types, cython\nimport poolcore.errors as errors\n"
                      "def late():\n    from pybuf.bench.recordings import traces\n# import no\n")
    assert imported(source) == {"poolcore._os", "poolcore._types", "poolcore.errors", "pybuf.bench.recordings.traces"}


def loaded_by(statement: str) -> set[str]:
    """Modules that a statement loads in an interpreter that has loaded next to nothing."""
    script = (f"import sys; sys.path.insert(0, {str(PACKAGES)!r}); before = set(sys.modules); {statement}; "
              "after = sorted(set(sys.modules) - before); import json; print(json.dumps(after))")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_import_loads_poolcore_alone():
    assert loaded_by("import poolcore") == {"poolcore"}


def test_import_loads_pybuf_alone():
    assert loaded_by("import pybuf") == {"pybuf"}


def test_every_module_of_the_routines_is_an_attribute_of_pybuf():
    for name in ("errors", "hdaudio", "layouts", "machine", "netapi", "network", "ras", "status", "videoport",
                 "windll"):
        assert f"pybuf.{name}" in loaded_by(f"import pybuf; pybuf.{name}")


def test_an_error_or_a_status_loads_no_extension():
    for statement in ("import pybuf; pybuf.RasError", "import pybuf; pybuf.RasStatus"):
        assert {name for name in loaded_by(statement) if name.startswith(("pybuf._", "poolcore"))} == set()


@pytest.mark.parametrize("name", ["hdaudio", "netapi", "network", "ras", "videoport", "windll"])
def test_what_documentation_calls_by_its_module_needs_no_other_import(name):
    assert f"pybuf.{name}" in loaded_by(f"import pybuf; pybuf.{name}")


def test_using_a_pool_loads_only_modules_of_poolcore():
    loaded = loaded_by("import poolcore; pool = poolcore.Pool(); pool.free(pool.get(100)); "
                       "pool.free_many(pool.get_many(10, 10)); pool.free(pool.alloc(10))")
    # Cython's own entries are no files: every compiled module shares them.
    ours = {name for name in loaded if not re.match(r"_?cython_", name)}
    assert ours == {"poolcore", "poolcore._pool", "poolcore._python"}
