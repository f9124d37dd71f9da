"""A Cython module with allocation inlined, compiled against the .pxd files of the poolcore that is imported."""

from __future__ import annotations

import re
import shutil

import pytest

import poolcore
from poolcore import Verdict

from .conftest import EXAMPLES, HERE, PACKAGE, build_cython

POOLS = {
    "default": {},
    "one class": {"sizes": 1500},
    "limited": {"limit_blocks": 10},
    "guarded": {"policies": (poolcore.Guard(),)},
    "caller's memory": {"memory": bytearray(1 << 20)},
    "address space": {"memory": poolcore.AddressSpace(1 << 20, 1 << 24)},
}


def inline_functions(file):
    """Name to body of a .pxd file's inline functions."""
    text = re.sub(r'""".*?"""', "", (PACKAGE / file).read_text(), flags=re.DOTALL)
    return dict(re.findall(r"^cdef inline [\w ]+?\**(\w+)\((.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE))


def fields_of(body):
    return set(re.findall(r"\b(?:slab|heap|pool)\.\w+", body))


@pytest.fixture
def inline(build):
    return build(HERE / "inline.pyx")


def test_example_frees_every_block(build):
    pool = poolcore.Pool()
    assert build(EXAMPLES / "churn.pyx").churn(pool, 1500, 1000) == 1000
    assert pool.stats().total_allocs == 1000


@pytest.mark.parametrize("arguments", POOLS.values(), ids=POOLS.keys())
def test_inlined_calls_answer_as_the_engine_does(inline, arguments):
    pool = poolcore.Pool(**arguments)
    held = inline.Held(pool)
    for size in (0, 1, 1500, 70_000):
        address = held.alloc(size)
        assert (pool.block_at(address).size, pool.block_at(address).state) == (size, "live")
        assert held.free(address + 1) == (Verdict.INTERIOR if size else pool.try_free(address + 1))
        assert held.free(address) == Verdict.LIVE
        assert held.free(address) == Verdict.DOUBLE
    assert held.free(0) == Verdict.NULL
    assert held.free(0xDEAD_0000_0000) == Verdict.FOREIGN
    assert pool.check() is None


def test_limit_holds_for_inlined_calls(inline):
    pool = poolcore.Pool(limit_blocks=2)
    held = inline.Held(pool)
    blocks = [held.alloc(100) for _ in range(3)]
    assert blocks[2] == 0
    assert held.free(blocks[0]) == Verdict.LIVE
    assert held.alloc(100) != 0


def test_heap_stays_good_while_its_thread_uses_many_other_pools(inline):
    pool = poolcore.Pool()
    held = inline.Held(pool)
    blocks = [held.alloc(100)]
    others = [poolcore.Pool() for _ in range(20)]
    for other in others:
        other.get(100)
        blocks.append(held.alloc(100))
    assert [held.free(block) for block in blocks] == [Verdict.LIVE] * 21
    assert pool.check() is None


def test_heap_of_a_closed_pool_answers_closed(inline):
    pool = poolcore.Pool()
    held = inline.Held(pool)
    address = held.alloc(100)
    pool.close()
    other = poolcore.Pool()         # may be given the memory that the closed one had
    assert held.alloc(100) == 0
    assert held.free(address) == Verdict.CLOSED
    assert other.stats().total_allocs == 0


def test_native_threads_exchange_blocks(inline):
    pool = poolcore.Pool()
    bad, left = inline.exchange_blocks(pool, 50_000)
    assert bad == 0
    assert pool.stats().live_blocks == len(left)
    pool.free_many(left)
    assert pool.check() is None
    assert pool.stats().live_blocks == 0


@pytest.mark.parametrize(
    ("file", "was", "now"),
    [
        ("_types.pxd", "    CLASS_MAX = 96 ", "    CLASS_MAX = 97 "),
        ("_types.pxd", "    heap_t *owner\n", "    uint64_t more\n    heap_t *owner\n"),
    ],
    ids=["a constant", "a field's place"],
)
def test_module_compiled_for_another_layout_is_refused(tmp_path, file, was, now):
    declarations = tmp_path / "older"
    shutil.copytree(PACKAGE, declarations / "poolcore", ignore=shutil.ignore_patterns("*.so", "*.pyd", "*.py[cox]"))
    text = (declarations / "poolcore" / file).read_text()
    assert text.count(was) == 1
    (declarations / "poolcore" / file).write_text(text.replace(was, now))
    with pytest.raises(ImportError, match="compile it again with the installed one") as refused:
        build_cython(EXAMPLES / "churn.pyx", tmp_path / "built", declarations)
    compiled, installed = re.findall(r"layout (0x[0-9a-f]{16})", str(refused.value))
    assert compiled != installed


def test_layout_covers_every_field_that_is_read_inline():
    functions = {**inline_functions("_slab.pxd"), **inline_functions("_pool.pxd")}
    covered = fields_of(functions.pop("layout_hash"))
    read = set().union(*map(fields_of, functions.values()))
    assert {"slab.owner", "slab.records", "heap.fast", "pool.class_of"} <= read
    assert read <= covered
