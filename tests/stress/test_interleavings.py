"""Every interleaving of two threads in the engine's shared paths (see interleave.c), and proof that the
exploration notices when a part of the protocol is missing."""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine_build import HERE, WITHOUT_PYTHON, compile_program, generate, run

# blocks to a slab : calls of the first thread / calls of the second, as interleave.c reads them
CHOSEN = [
    "2:01AA/00", "2:01AA/0T0", "O2:0A/00", "O2:0A/0T0",     # a stale pointer is freed again and again
    "2:8R/8", "L2:8R/8", "O2:8R/8", "2:8AA/8", "2:8B/8", "2:01TR/01",       # ... and was a run's, or is now
    "2:0AF/9", "5:0TCCF/9", "5:01TCC/1",                    # ... or is a slab of other blocks
    "4:0/0", "4:01/10", "4:012/012", "4:0123/0123",     # both free the same blocks: DOUBLE or late
    "2:01/01", "L4:01/10", "L2:01/01",                  # ... and the slab was full; or there is a limit
    "4:01T/01", "2:01B/01", "2:0TA/0", "2:0TB/0", "2:0T/0",     # ... and the slab is given back, or made anew
    "2:10TT/1TTB",                                      # ... by the other, while the owner looks for what came late
    "4:045/451", "2:04A/40A",                           # each frees the other's
    "2:AA/01X", "4:04X/40", "2:01X/01A",                # a thread ends meanwhile
    "L2:A0A/01", "L4:04AF/40",
    "O4:01/10", "O4:0A0/0", "O2:01A/01", "O4:04AF/40A", "O4:01AX/10A",      # ... and it has a front
    "O2:01TB/0", "O2:01TB/1",
]
IS_ALL = os.environ.get("POOLCORE_INTERLEAVE") == "all"     # every scenario, in about three minutes
LONG = ["O2:01TB/01"] if IS_ALL else []     # 40 s; its two halves are chosen
FOUR_CALLS = 1000       # of these scenarios, without IS_ALL
PARTS = min(4, os.cpu_count() or 1)     # scenarios know nothing of each other: so many explorers at a time


def programs(letters: str, calls: int) -> list[str]:
    """What a thread may call: F only after an A."""
    found = map("".join, itertools.product(letters, repeat=calls))
    return [program for program in found if "F" not in program.split("A", 1)[0]]


def scenarios() -> list[str]:
    """Owner and stranger allocate, free own, free each other's and free the same: every pair of programs of up to
    three calls, and of four calls each a sample that is the same every time."""
    few = [program for calls in (1, 2, 3) for program in programs("01AF", calls)]
    pairs = [f"2:{a}/{b}" for a in few for b in few] + [
        f"4:{a}/{b}" for calls in (1, 2, 3) for a in programs("04AF", calls) for b in programs("04AF", calls)]
    four = ["2:01TB/10", *(f"2:{a}/{b}" for a in programs("01AF", 4) for b in programs("01AF", 4))]
    if not IS_ALL:
        four = random.Random(4).sample(four, FOUR_CALLS)
    pairs += [f"O{pair}" for pair in pairs]
    return [*CHOSEN, *LONG, *(pair for pair in pairs + four if set(pair.split(":")[1]) & set("0145"))]


def build(where: Path) -> Path:
    """interleave.c and the engine, the engine compiled so that each access calls a hook first."""
    (where / "interleave_engine").unlink(missing_ok=True)
    compile_program(where, "interleave_engine", ("-c", "-O1", "-fsanitize=thread", "-fno-builtin")).rename(
        where / "interleave_engine.o")
    run("cc", "-O2", HERE / "interleave.c", where / "interleave_engine.o", "-o", where / "interleave", *WITHOUT_PYTHON,
        "-Wl,--wrap=pthread_mutex_lock,--wrap=pthread_mutex_trylock,--wrap=pthread_mutex_unlock")
    return where / "interleave"


def explore(program: Path, scenarios: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *scenarios], capture_output=True, text=True, timeout=300)


def test_every_interleaving_takes_each_block_back_once(
    engine_sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = scenarios()
    program = build(engine_sources)
    parts = [wanted[i::PARTS] for i in range(PARTS)]
    with ThreadPoolExecutor(PARTS) as explorers:
        done = list(explorers.map(explore, itertools.repeat(program), parts))
    count = 0
    for part, explored in zip(parts, done, strict=True):
        assert explored.returncode == 0, explored.stdout[-10_000:] + explored.stderr
        total = re.search(r"^(\d+) interleavings of (\d+) scenarios", explored.stdout, re.MULTILINE)
        assert total and int(total[2]) == len(part)
        count += int(total[1])
    with capsys.disabled():
        print(f"\n{count} interleavings of {len(wanted)} scenarios, none of which breaks an invariant")
    assert count > 10_000


REMOTE_CAS = """            if not atomic_cas_u32(place, record, RECORD_REMOTE | (record & RECORD_SIZE)):
                continue
"""
REMOTE_STORE = """            record_store(place, RECORD_REMOTE | (record & RECORD_SIZE))
"""
SIZE_AFTER = "            size = slab.total       # read before, it could be that of a run which stood here before\n"
IS_STILL = "if not is_local and not is_still(slab, kind, index, address):\n            "
# What is left out: the file, its text, what stands there instead; and a scenario that must then fail.
WITHOUT = {
    "the CAS of LIVE to REMOTE": ("4:0/0", [("_block.pxi", REMOTE_CAS, REMOTE_STORE)]),
    "the remote bitmap": ("4:0/0", [(
        "_remote.pxi", "atomic_or_u64(slab.remote_bits + word, bits)", "atomic_load_u64(slab.remote_bits + word)")]),
    "the test that a bit's record is still REMOTE": ("4:0/0", [(
        "_remote.pxi", "(record_load(slab.records + index) & RECORD_STATE) == RECORD_REMOTE", "True")]),
    "the notice that a slab has remote frees": ("4:01/10", [(
        "_remote.pxi", "    remote_notify(slab, heap)\n\n\n", "\n\n")]),
    "the count of a bit that its thread has set before": ("2:01AA/00", [(
        "_remote.pxi", "    if rarely(thread.gather_bits & bit):\n        late_add(slab.heap, 1)\n", "")]),
    "the count of a bit that is set already": ("2:01AA/0T0", [(
        "_remote.pxi", "    late_add(heap, bits_count(atomic_or_u64(slab.remote_bits + word, bits) & bits))\n",
        "    atomic_or_u64(slab.remote_bits + word, bits)\n")]),
    "the size of the run that the CAS took": ("L2:8R/8", [
        ("_block.pxi", SIZE_AFTER, ""),
        ("_block.pxi", "        size = record & RECORD_SIZE\n", "        size = block_size(slab, record)\n")]),
    "the look at the granule before the CAS": ("5:0TCCF/9", [(
        "_block.pxi", f"        {IS_STILL}return VERDICT_DOUBLE\n        verdict", "        verdict")]),
    "the look at the granule after the CAS": ("5:01TCC/1", [(
        "_block.pxi", f"            {IS_STILL}    # Another", "            if False:\n                # Another")]),
}


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    def without(what: str) -> subprocess.CompletedProcess[str]:
        scenario, changes = WITHOUT[what]
        return explore(build(generate(tmp_path_factory.mktemp("without"), changes)), [scenario])

    with ThreadPoolExecutor(PARTS) as builders:
        return dict(zip(WITHOUT, builders.map(without, WITHOUT), strict=True))


@pytest.mark.parametrize("what", WITHOUT)
def test_the_exploration_fails_without(what: str, explored: dict[str, subprocess.CompletedProcess[str]]) -> None:
    done = explored[what]
    assert WITHOUT[what][0] in CHOSEN
    assert done.returncode == 1, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert "thread 1" in done.stdout
