"""The same random calls made to Wine's NetApiBuffer routines and to pybuf's.

Deselected unless it is asked for: ``python -P -m pytest -m wine tests/conformance/test_wine.py``. It needs Wine and the
compiler of mingw: ``apt install --no-install-recommends wine64 gcc-mingw-w64-x86-64``. The calls are valid ones: for
those Wine is an implementation to compare with, while it takes bad pointers as no Windows would.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybuf import Machine, windll

HERE = Path(__file__).parent
CALLS = 20_000
SLOTS = 64
COMPILER = "x86_64-w64-mingw32-gcc"
# Debian puts no wine on the path.
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/lib/wine"])
UP = bytes(range(256))


def found(*names: str) -> str:
    for name in names:
        where = shutil.which(name, path=PLACES)
        if where is not None:
            return where
    pytest.fail(f"{names[0]} is not installed: apt install --no-install-recommends wine64 gcc-mingw-w64-x86-64")


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The command that runs the probe, and its environment: a Wine of its own, which ends with the module."""
    where = tmp_path_factory.mktemp("wine")
    wine = found("wine64", "wine")
    done = subprocess.run([found(COMPILER), "-O2", "-Wall", "-Wextra", "-Wno-cast-function-type",
                           str(HERE / "wine_probe.c"), "-o", str(where / "probe.exe"), "-lnetapi32"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "WINEDEBUG": "-all", "WINEARCH": "win64", "WINEPREFIX": str(where / "prefix"),
                   "WINEDLLOVERRIDES": "mscoree,mshtml=;winemenubuilder.exe=d", "DISPLAY": ""}
    subprocess.run([wine, "wineboot", "-i"], env=environment, capture_output=True, check=True, timeout=240)
    yield [wine, str(where / "probe.exe")], environment
    subprocess.run([wine, "wineboot", "--shutdown"], env=environment, capture_output=True, timeout=60)


def size_of(chance: random.Random) -> int:
    return chance.choice((0, chance.randrange(1, 64), chance.randrange(1, 2000), chance.randrange(1, 200_000)))


def calls_of(seed: int) -> list[tuple[str, ...]]:
    """Random calls that a program may make, each a line for the probe; every block is freed in the end."""
    chance = random.Random(seed)
    is_used = [False] * SLOTS
    calls: list[tuple[str | int, ...]] = []
    while len(calls) < CALLS - SLOTS:
        slot = chance.randrange(SLOTS)
        verb = chance.choice(("alloc", "alias", "realloc", "realloc", "realloc", "size", "free", "null"))
        if verb in ("alloc", "alias") and not is_used[slot]:
            is_used[slot] = True
            calls.append((verb, slot, size_of(chance)))
        elif verb == "realloc":
            to = chance.choice((slot, chance.randrange(SLOTS)))
            if to == slot or not is_used[to]:
                size = size_of(chance)
                is_used[slot] = False
                is_used[to] = size > 0
                calls.append((verb, slot, size, to))
        elif verb == "free":
            is_used[slot] = False
            calls.append((verb, slot))
        elif verb == "size":
            calls.append((verb, slot))
        elif verb == "null":
            calls.append((verb, size_of(chance)))
    calls += [("free", slot) for slot in range(CALLS - len(calls))]
    return [tuple(map(str, call)) for call in calls]


class Pybuf:
    """What the probe does, through the ctypes door."""

    def __init__(self) -> None:
        self.slots = [ctypes.c_void_p() for _ in range(SLOTS)]
        self.netapi32 = windll.netapi32

    def size(self, slot: ctypes.c_void_p) -> tuple[int, int]:
        size = ctypes.c_uint32()
        return self.netapi32.NetApiBufferSize(slot, ctypes.byref(size)), size.value

    def crc(self, slot: ctypes.c_void_p, size: int) -> int:
        return zlib.crc32(ctypes.string_at(slot.value or 0, size)) if size else 0

    def answer(self, number: int, verb: str, first: str, second: str = "0", third: str = "") -> tuple[int, ...]:
        slot = self.slots[0 if verb == "null" else int(first)]
        to = self.slots[int(third)] if third else slot
        crc = kept = 0
        if verb == "null":
            status = self.netapi32.NetApiBufferAllocate(int(first), None)
        elif verb == "size":
            status = self.size(slot)[0]
        elif verb == "free":
            crc = self.crc(slot, self.size(slot)[1])
            status = self.netapi32.NetApiBufferFree(slot)
            slot.value = None
        elif verb == "realloc":
            kept = min(self.size(slot)[1], int(second))
            status = self.netapi32.NetApiBufferReallocate(slot, int(second), ctypes.byref(to))
            if to is not slot:
                slot.value = None
        else:
            name = "NetApiBufferAllocate" if verb == "alloc" else "NetapipBufferAllocate"
            status = getattr(self.netapi32, name)(int(second), ctypes.byref(to))
        size = self.size(to)[1] if to.value else 0
        if verb in ("alloc", "alias", "realloc") and to.value:
            crc = self.crc(to, kept)
            ctypes.memmove(to.value, (UP * (size // 256 + 2))[number & 255:][:size], size)
        return status, int(not to.value), size, crc


@pytest.mark.wine
@pytest.mark.parametrize("seed", [1, 2])
def test_pybuf_answers_as_wine_does(probe: tuple[list[str], dict[str, str]], seed: int) -> None:
    print(f"seed {seed}")
    command, environment = probe
    calls = calls_of(seed)
    assert len(calls) == CALLS
    done = subprocess.run(command, input="".join(" ".join(call) + "\n" for call in calls), env=environment,
                          capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"the probe ended with {done.returncode}: {done.stderr}"
    wine = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(wine) == CALLS
    machine = Machine()
    with machine:
        pybuf = Pybuf()
        ours = [pybuf.answer(number, *call) for number, call in enumerate(calls)]
    differ = [(number, calls[number], *pair) for number, pair in enumerate(zip(wine, ours, strict=True))
              if pair[0] != pair[1]]
    assert not differ, f"{len(differ)} of {CALLS} differ, as (number, call, Wine, pybuf): {differ[:5]}"
    assert machine.live() == []
    assert machine.check() is None
    machine.close()
