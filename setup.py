"""Lists the compiled extensions; everything else about the distribution is in pyproject.toml.

Every .pyx file of the two packages is one extension module; beside them stands the recorder, in C.
POOLCORE_ASSERTIONS=1 in the environment builds the modules with the engine's assertions compiled in.
The functions of the C and ctypes doors are written by pybuf/doors.py first.
"""

import os
import platform
import runpy
import sys
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

INCLUDES = ["poolcore/include", "pybuf/include"]
ASSERTIONS = os.environ.get("POOLCORE_ASSERTIONS", "") not in ("", "0")

# Interposition and the PLT each put an extra jump between two functions of the same module; partial inlining puts
# the beginnings of slow functions into the fast ones; and two neighbouring counters stored as one vector cannot be
# forwarded to the next load of either.
FLAGS = [
    "-O3", "-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt", "-fno-partial-inlining",
    "-fno-tree-slp-vectorize",
]

# Cython knows the words __stdcall, __fastcall and __cdecl. The second is a __stdcall that is never inlined, the third a
# function of the platform's own convention that is not.
HAS_MS_ABI = sys.platform != "win32" and platform.machine() in ("x86_64", "AMD64")

# In the module of the doors every function is one that many others inline, which GCC would soon have enough of.
DOORS = os.path.join("pybuf", "_doors.pyx")
DOORS_FLAGS = ["--param", "inline-unit-growth=1000"]

# The one module that holds the thread-local storage.
ENGINE = os.path.join("poolcore", "_pool.pyx")

# The timed loops run on POSIX threads and clocks.
POSIX_ONLY = {
    os.path.join("pybuf", "bench", *name)
    for name in (("ratios", "_loops.pyx"), ("_order.pyx",), ("_workloads.pyx",))
}

# Cython would make the classes whose members are Python's copyable, such as a Session: a copy is a second owner.
DIRECTIVES = {
    "language_level": 3,
    "auto_pickle": False,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "binding": False,
    "autotestdict": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "freethreading_compatible": True,
}


def extension(source: str) -> Extension:
    macros: list[tuple[str, str | None]] = []
    if source == ENGINE:
        macros.append(("POOLCORE_ENGINE", "1"))
    if ASSERTIONS:
        macros.append(("POOLCORE_ASSERTIONS", "1"))
    if sys.platform != "win32":
        macros.append(("__cdecl", "__attribute__((noinline))"))
    if HAS_MS_ABI:
        macros += [("__stdcall", "__attribute__((ms_abi))"), ("__fastcall", "__attribute__((ms_abi, noinline))")]
    listed = Extension(
        os.path.splitext(source)[0].replace(os.sep, "."),
        [source],
        include_dirs=[*INCLUDES, os.path.dirname(source)],
        depends=[*glob("*/include/*.h"), *glob(f"{os.path.dirname(source)}/*.h")],
        define_macros=macros,
        extra_compile_args=[] if sys.platform == "win32" else FLAGS + (DOORS_FLAGS if source == DOORS else []),
    )
    listed.cython_directives = DIRECTIVES
    listed.cython_c_in_temp = True
    return listed


# No module, but a library that a recorded program preloads: it knows nothing of Python, and no Python's name is on it.
RECORDER = Extension(
    "pybuf.bench.recorder",
    ["pybuf/bench/recorder.c"],
    extra_compile_args=["-std=gnu11", "-Wall", "-Wextra", "-O2", "-fvisibility=hidden", "-fno-builtin"],
)


class Build(build_ext):
    """Names the recorder as the library that it is."""

    def get_ext_filename(self, fullname: str) -> str:
        """Answer where a module's file goes."""
        if fullname.split(".")[-1] == "recorder":
            return os.path.join(*fullname.split(".")) + ".so"
        return super().get_ext_filename(fullname)


runpy.run_path("pybuf/doors.py")["write_doors"]()

setup(
    cmdclass={"build_ext": Build},
    ext_modules=[
        extension(source)
        for package in ("poolcore", "pybuf")
        for source in sorted(glob(f"{package}/**/*.pyx", recursive=True))
        if source not in POSIX_ONLY or sys.platform != "win32"
    ] + ([RECORDER] if sys.platform == "linux" else []),
)
