"""The table of C functions in poolcore.C_API, called by a C module that was compiled against poolcore.h."""

from __future__ import annotations

import ctypes
import re
import shutil
import sysconfig
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import poolcore
from poolcore import Verdict

from .conftest import EXAMPLES, HERE, PACKAGE, STRICT, build_c, compile_shared, run

HEADER = (Path(poolcore.get_include()) / "poolcore.h").read_text()
MEMORY, LIMIT_BYTES, LIMIT_BLOCKS, CLOSED, FAULT, ALIGNMENT, CALLBACK = range(1, 8)
ZERO = DEFER = 1
FREE, LIVE, EXPORTED, DEFERRED, QUARANTINED = range(5)
TAG = int.from_bytes(b"Ras ", "little")


def enumerators(name, prefix):
    body = re.search(rf"enum {name} {{(.*?)}};", HEADER, re.DOTALL)
    return {key: int(value) for key, value in re.findall(rf"{prefix}(\w+) = (\d+)", body[1])}


@pytest.fixture
def table(build):
    return build(HERE / "table.c")


@pytest.fixture
def pool():
    with poolcore.Pool() as pool:
        yield pool
        assert pool.check() is None


def bytes_at(address, size):
    return bytes((ctypes.c_char * size).from_address(address))


def test_header_names_the_verdicts_that_python_has():
    assert enumerators("poolcore_verdict", "POOLCORE_") == {verdict.name: verdict.value for verdict in Verdict}


def test_header_names_the_refusals_that_the_engine_has():
    engine = dict(re.findall(r"REFUSAL_(\w+) = (\d+)", (PACKAGE / "_types.pxd").read_text()))
    engine["NOT"] = engine.pop("NONE")
    assert enumerators("poolcore_refusal", "POOLCORE_REFUSED_") == {name: int(value) for name, value in engine.items()}


COMPILERS = [("cc", "c99"), ("cc", "c11"), *([("c++", "c++11"), ("c++", "c++17")] if shutil.which("c++") else [])]


@pytest.mark.parametrize("python", ["", "#include <Python.h>\n"], ids=["alone", "with Python.h"])
@pytest.mark.parametrize(("compiler", "standard"), COMPILERS)
def test_header_compiles_without_a_warning(compiler, standard, python, tmp_path):
    source = tmp_path / f"header.{'c' if compiler == 'cc' else 'cpp'}"
    source.write_text(f"{python}#include <poolcore.h>\nextern int unit;\n")
    run(compiler, f"-std={standard}", *STRICT, "-Wcast-qual", "-Wstrict-prototypes" if compiler == "cc" else "-Wshadow",
        "-isystem", sysconfig.get_path("include"), "-I", poolcore.get_include(), "-fsyntax-only", source)


def test_example_frees_every_block(build, pool):
    assert build(EXAMPLES / "churn.c").churn(pool, 1500, 1000) == 1000
    assert pool.stats().total_allocs == 1000


def test_module_compiled_for_a_newer_table_is_refused(tmp_path):
    newer = re.sub(r"(define POOLCORE_API_VERSION) (\d+)", r"\1 99", HEADER)
    (tmp_path / "poolcore.h").write_text(newer)
    with pytest.raises(ImportError, match=r"version 99 of poolcore\.h.*has version 1: install a newer one"):
        build_c(EXAMPLES / "churn.c", tmp_path, "-I", tmp_path)


def test_pool_is_the_pointer_that_c_functions_gives(table, pool):
    assert table.pool(pool) == pool.c_functions().pool


def test_engine_is_told_that_c_may_free_while_python_does(build, table, pool):
    assert build(HERE / "inline.pyx").is_native(table.pool(pool)) == 1


@pytest.mark.parametrize("other", [None, "pool", b"", poolcore.Pool])
def test_another_object_is_no_pool(table, other):
    with pytest.raises(TypeError, match=r"a poolcore\.Pool is needed, not "):
        table.pool(other)


def test_closed_pool_is_refused(table):
    pool = poolcore.Pool(name="gone")
    pool.close()
    with pytest.raises(ValueError, match="'gone' is closed"):
        table.pool(pool)


def test_pointer_of_a_closed_pool_answers_closed(table):
    pool = poolcore.Pool()
    pointer = table.pool(pool)
    block = table.alloc(pointer, 100)
    pool.close()
    assert table.alloc(pointer, 100) == 0
    assert table.alloc_ex(pointer, 100) == (0, CLOSED)
    assert table.free(pointer, block) == table.free_ex(pointer, block, DEFER) == Verdict.CLOSED
    assert table.realloc(pointer, block, 200) == 0
    assert table.realloc_ex(pointer, block, 200)[:2] == (0, Verdict.CLOSED)
    assert table.alloc_many(pointer, 1, bytearray(80)) == (0, CLOSED)
    assert table.size_of(pointer, block) == 0
    assert table.block_at(pointer, block) is None
    assert table.verdict_of(pointer, block) == Verdict.CLOSED
    assert table.heap_here(pointer) != 0


def test_blocks_are_seen_from_python_as_from_c(table, pool):
    address = table.alloc(pool, 1500)
    block = pool.block_at(address + 700)
    assert (block.address, block.size, block.state) == (address, 1500, "live")
    assert table.block_at(pool, address + 700) == (address, 1500, block.capacity, 0, LIVE)
    assert table.size_of(pool, address) == 1500
    assert table.size_of(pool, address + 16) == 0
    pool.free(address)
    assert table.block_at(pool, address) == (address, 0, block.capacity, 0, FREE)
    assert table.verdict_of(pool, address) == Verdict.DOUBLE


@pytest.mark.parametrize("size", [0, 1, 3000, 70_000, 1_000_000])
@pytest.mark.parametrize("alignment", [0, 64, 4096])
def test_block_is_aligned_zeroed_and_tagged_as_asked(table, pool, size, alignment):
    dirty, _ = table.alloc_ex(pool, size, alignment)
    ctypes.memset(dirty, 0xAA, size)
    pool.free(dirty)
    address, refusal = table.alloc_ex(pool, size, alignment, ZERO, TAG)
    assert refusal == 0
    assert address % (alignment or 16) == 0
    assert bytes_at(address, size) == bytes(size)
    assert table.block_at(pool, address)[3] == TAG
    assert pool.block_at(address).tag == "Ras "


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"limit_bytes": 99}, LIMIT_BYTES),
        ({"limit_blocks": 0}, LIMIT_BLOCKS),
        ({"policies": (poolcore.Faults(rate=1.0, seed=1),)}, FAULT),
        ({"memory": poolcore.AddressSpace(1 << 20, 1 << 16), "sizes": 16}, MEMORY),
    ],
)
def test_refusal_says_why(table, arguments, refusal):
    pool = poolcore.Pool(**arguments)
    size = 1 << 20 if refusal == MEMORY else 100
    assert table.alloc_ex(pool, size) == (0, refusal)
    assert table.alloc(pool, size) == 0
    assert table.alloc_many(pool, size, bytearray(16)) == (0, refusal)
    assert table.is_refused(pool, size)
    assert pool.check() is None


def test_alignment_that_is_no_power_of_two_is_refused(table, pool):
    assert table.alloc_ex(pool, 100, 48) == (0, ALIGNMENT)


def test_request_from_inside_a_callback_is_refused(table):
    seen = []
    pool = poolcore.Pool(memory=poolcore.AddressSpace(
        1 << 20, 1 << 24, on_map=lambda address, size: seen.append(table.alloc_ex(pool, 8))))
    assert pool.alloc(100)
    assert (0, CALLBACK) in seen


def test_unnamed_flags_mean_nothing(table, pool):
    address, refusal = table.alloc_ex(pool, 100, 0, 0xFFFFFFFE)
    assert (refusal, pool.block_at(address).state) == (0, "live")
    assert table.free_ex(pool, address, 0xFFFFFFFE) == Verdict.LIVE


def test_every_free_is_answered_by_what_it_found(table, pool):
    other = poolcore.Pool()
    filled = poolcore.Pool(policies=(poolcore.Fill(),))
    block = table.alloc(pool, 100)
    view = memoryview(pool.get(64))
    exported = next(found.address for found in pool.live() if found.state == "exported")
    short = table.alloc(filled, 100)
    ctypes.memset(short, 0, 112)
    answers = [(pool, block + 1), (pool, block), (pool, block), (pool, 0), (pool, 0xDEAD0000), (pool, exported),
               (pool, table.alloc(other, 100)), (filled, short)]
    expected = [Verdict.INTERIOR, Verdict.LIVE, Verdict.DOUBLE, Verdict.NULL, Verdict.FOREIGN, Verdict.EXPORTED,
                Verdict.OTHER_POOL, Verdict.CORRUPT]
    assert [table.free(*answer) for answer in answers] == expected
    view.release()


def test_deferred_free_waits_for_the_last_view(table, pool):
    buffer = pool.get(100)
    address = buffer.address
    first, second = memoryview(buffer), memoryview(buffer)
    first[:] = b"x" * 100
    assert table.free_ex(pool, address, 0) == Verdict.EXPORTED
    assert table.block_at(pool, address)[4] == EXPORTED
    assert table.free_ex(pool, address, DEFER) == Verdict.LIVE
    assert not buffer.is_live
    assert table.free_ex(pool, address, DEFER) == table.free(pool, address) == Verdict.DOUBLE
    first.release()
    assert bytes(second) == b"x" * 100
    assert table.block_at(pool, address)[4] == DEFERRED
    second.release()
    assert table.block_at(pool, address)[4] == FREE
    assert pool.stats().live_blocks == 0


def test_quarantined_block_is_told_from_a_free_one(table):
    pool = poolcore.Pool(policies=(poolcore.Quarantine(blocks=4),))
    address = table.alloc(pool, 100)
    assert table.free(pool, address) == Verdict.LIVE
    assert table.block_at(pool, address)[4] == QUARANTINED


def test_free_by_address_kills_the_buffer(table, pool):
    buffer = pool.get(100)
    assert table.free(pool, buffer.address) == Verdict.LIVE
    with pytest.raises(ValueError, match="was freed"):
        buffer[0]


@pytest.mark.parametrize("realloc", ["realloc", "realloc_ex"])
def test_realloc_keeps_the_bytes(table, pool, realloc):
    def resize(address, size):
        answer = getattr(table, realloc)(pool, address, size)
        return answer if realloc == "realloc" else answer[0]

    address = table.alloc(pool, 100)
    ctypes.memset(address, 0x5A, 100)
    for size in (20, 5000, 200_000, 90):
        address = resize(address, size)
        assert table.size_of(pool, address) == size
        assert bytes_at(address, 20) == b"\x5a" * 20
    assert pool.stats().live_blocks == 1


def test_realloc_of_null_allocates_and_a_refused_one_changes_nothing(table):
    pool = poolcore.Pool(limit_bytes=1000)
    address = table.realloc(pool, 0, 600)
    assert table.size_of(pool, address) == 600
    assert table.realloc(pool, address, 70_000) == 0
    assert table.realloc_ex(pool, address, 70_000) == (0, Verdict.LIVE, LIMIT_BYTES)
    assert table.realloc_ex(pool, 0, 10)[:2] == (0, Verdict.NULL)
    assert table.realloc_ex(pool, address + 1, 10)[:2] == (0, Verdict.INTERIOR)
    assert table.free(pool, address) == Verdict.LIVE


def test_batch_is_all_or_nothing(table):
    pool = poolcore.Pool(limit_blocks=100)
    blocks = array("Q", bytes(8 * 100))
    assert table.alloc_many(pool, 50, blocks) == (100, 0)
    assert len(set(blocks)) == 100
    assert table.alloc_many(pool, 50, array("Q", bytes(8))) == (0, LIMIT_BLOCKS)
    assert pool.stats().live_blocks == 100
    given = blocks + array("Q", [blocks[3], blocks[4] + 8])
    verdicts = array("i", bytes(4 * 102))
    assert table.free_many(pool, given, verdicts) == 100
    assert list(verdicts) == [Verdict.LIVE] * 100 + [Verdict.DOUBLE, Verdict.INTERIOR]
    assert pool.stats().live_blocks == 0


def test_heap_of_a_thread_is_its_own(table, pool):
    with ThreadPoolExecutor(1) as other:
        theirs = other.submit(table.heap_here, pool).result()
        assert table.heap_here(pool) == table.heap_here(pool) != theirs


def test_threads_without_python_exchange_blocks_through_the_pointers(tmp_path, pool):
    library = ctypes.CDLL(str(compile_shared(HERE / "native.c", tmp_path / "native.so", *STRICT)))
    functions = pool.c_functions()
    names = ("pool", "alloc", "free", "realloc", "calloc", "aligned")
    pointers = (ctypes.c_void_p * 6)(*(getattr(functions, name) for name in names))
    library.exchange_blocks.restype = ctypes.c_long
    assert library.exchange_blocks(pointers, ctypes.c_long(20_000)) == 0
    assert pool.stats().live_blocks == 0
