"""Every public operation of a pool against the model, in random order, on every backing and policy.

The same Driver is moved by two engines: hypothesis, which finds short counterexamples, and a plain
random generator, which makes the number of operations. The generator's seed is printed with a
failure; POOLCORE_SEED repeats it, POOLCORE_OPERATIONS says how many a configuration gets.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import poolcore
from model import DOUBLE, EXPORTED, FOREIGN, LIVE, NULL, OTHER_POOL, Block, Model

SEED = int(os.environ.get("POOLCORE_SEED", "20240607"))
OPERATIONS = int(os.environ.get("POOLCORE_OPERATIONS", "0"))
SPACE_BASE, SPACE_SIZE, OTHER_BYTES = 1 << 40, 1 << 26, 1 << 20
LIVE_MAX = 150          # a pool with more live blocks is emptied first, so that slabs come and go
SIZES = (0, 1, 15, 16, 17, 100, 1000, 1500, 4000, 16000, 65536, 65537, 200_000)
DOORS = ("alloc", "try_alloc", "get", "try_get")
KINDS = ("stale", "interior", "bit", "near", "random", "other", "null", "nearby")


@functools.cache
def is_alone() -> bool:
    """Whether no pool was open before the first Driver's: a default machine that other tests used keeps its own."""
    gc.collect()
    return not any(isinstance(found, poolcore.Pool) and not found.is_closed for found in gc.get_objects())


class Extents:
    """The memory of an address-space pool as its callbacks see it."""

    def __init__(self) -> None:
        self.pages: set[int] = set()

    def map(self, address: int, size: int) -> None:
        pages = set(range(address, address + size, 4096))
        assert not address % 4096 and not size % 4096 and size > 0
        assert not pages & self.pages, f"{address:#x} + {size:#x} is mapped twice"
        self.pages |= pages

    def unmap(self, address: int, size: int) -> None:
        pages = set(range(address, address + size, 4096))
        assert pages <= self.pages, f"{address:#x} + {size:#x} was not mapped"
        self.pages -= pages

    def holds(self, block: Block) -> bool:
        first = block.address & ~4095
        return all(page in self.pages for page in range(first, block.address + max(block.capacity, 1), 4096))


@dataclass(frozen=True)
class Configuration:
    name: str
    arguments: Callable[[], dict[str, Any]]
    backing: str = "pages"
    quarantine: int = 0
    has_geometry: bool = True
    is_refusing: bool = False       # may refuse what neither a limit nor room forbids
    is_deferred: bool = False
    class_max: int = 65536
    operations: int = 6_000
    is_through_c: bool = False      # plain requests and frees by address call the functions of c_functions()
    has_tags: bool = True


def configurations() -> list[Configuration]:
    p = poolcore
    plain: list[Configuration] = [
        Configuration("pages", dict, operations=100_000),
        Configuration("buffer", lambda: {"memory": bytearray(8 << 20)}, "buffer", operations=100_000),
        Configuration("space", dict, "space", operations=100_000),
        Configuration("limits", lambda: {"limit_bytes": 300_000, "limit_blocks": 60}),
        Configuration("one class", lambda: {"sizes": 1500}, class_max=1504),
        Configuration("one class through C", lambda: {"sizes": 1500}, class_max=1504, is_through_c=True,
                      has_tags=False, operations=30_000),
        Configuration("one class through C, tags", lambda: {"sizes": 1500}, class_max=1504, is_through_c=True),
        Configuration("one class through C in a buffer", lambda: {"sizes": 4000, "memory": bytearray(8 << 20)},
                      "buffer", class_max=4000, is_through_c=True, has_tags=False),
        Configuration("pages through C", dict, is_through_c=True),
        Configuration("own classes", lambda: {"sizes": [64, 1000, 4096, 20_000]}, class_max=20_000),
        Configuration("limits in a buffer", lambda: {
            "memory": bytearray(8 << 20), "limit_bytes": 300_000, "limit_blocks": 60}, "buffer"),
        Configuration("one class in address space", lambda: {"sizes": 1500}, "space", class_max=1504),
        Configuration("deferred", lambda: {"on_exported": "defer"}, is_deferred=True),
    ]
    policies: list[Configuration] = [
        Configuration("guard", lambda: {"policies": [p.Guard()]}, has_geometry=False),
        Configuration("guard every fourth", lambda: {"policies": [p.Guard(every=4)]}, has_geometry=False),
        Configuration("quarantine", lambda: {"policies": [p.Quarantine(blocks=16)]}, quarantine=16),
        Configuration("fill", lambda: {"policies": [p.Fill()]}),
        Configuration("events", lambda: {"policies": [p.Events(capacity=64)]}),
        Configuration("faults", lambda: {"policies": [p.Faults(rate=0.05, seed=7)]}, is_refusing=True),
        Configuration("low memory", lambda: {
            "policies": [p.LowMemory(lambda size: None)], "limit_bytes": 300_000}),
        Configuration("guard, fill", lambda: {"policies": [p.Guard(every=2), p.Fill()]}, has_geometry=False),
        Configuration("guard, quarantine, events, faults", lambda: {
            "policies": [p.Guard(), p.Quarantine(blocks=16), p.Events(capacity=64), p.Faults(rate=0.05, seed=7)]},
            has_geometry=False, quarantine=16, is_refusing=True),
        Configuration("quarantine, fill, events, faults, low memory, limit", lambda: {
            "policies": [p.Quarantine(blocks=16), p.Fill(), p.Events(capacity=64), p.Faults(rate=0.05, seed=7),
                         p.LowMemory(lambda size: None)], "limit_bytes": 300_000, "limit_blocks": 60},
            quarantine=16, is_refusing=True),
        Configuration("fill, quarantine, events in a buffer", lambda: {
            "memory": bytearray(8 << 20),
            "policies": [p.Fill(), p.Quarantine(blocks=16), p.Events(capacity=64)]}, "buffer", quarantine=16),
        Configuration("quarantine, events, faults in address space", lambda: {
            "policies": [p.Quarantine(blocks=16), p.Events(capacity=64), p.Faults(rate=0.05, seed=7)]},
            "space", quarantine=16, is_refusing=True),
    ]
    return plain + policies


class Driver:
    """One pool, its model, and every operation done to both."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.is_alone = is_alone()
        self.other = poolcore.Pool(memory=poolcore.Pages(reserve=OTHER_BYTES))
        self.other_block = self.other.alloc(100)
        self.extents = Extents()
        self.open()

    def open(self) -> None:
        c = self.configuration
        arguments = c.arguments()
        base, size = 0, 1 << 64
        if c.backing == "buffer":
            memory = arguments["memory"]
            base = ctypes.addressof((ctypes.c_char * 1).from_buffer(memory))
            size = len(memory) - (-base) % 65536
            base += (-base) % 65536
        elif c.backing == "space":
            base, size = SPACE_BASE, SPACE_SIZE
            arguments["memory"] = poolcore.AddressSpace(
                base, size, on_map=self.extents.map, on_unmap=self.extents.unmap)
        self.pool = poolcore.Pool(name=c.name, **arguments)
        if c.is_through_c:
            self.functions = self.pool.c_functions()
            self.c_alloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(self.functions.alloc)
            self.c_free = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(self.functions.free)
        near = self.other_block & ~0xFFFF       # the first block of a pool is at the arena's start
        self.model = Model(base, size, limit_bytes=arguments.get("limit_bytes"),
                           limit_blocks=arguments.get("limit_blocks"), quarantine_blocks=c.quarantine,
                           is_deferred=c.is_deferred, has_geometry=c.has_geometry, class_max=c.class_max,
                           others=[(near, near + OTHER_BYTES)], is_alone=self.is_alone)
        self.buffers: dict[int, Any] = {}
        self.dead: list[tuple[Any, int]] = []
        self.views: list[tuple[Block, Any]] = []
        self.stale: list[int] = []
        self.saved: tuple[bytes, Model] | None = None

    # ---- what a block holds

    def _pattern(self, block: Block) -> bytes:
        return bytes(((block.address >> 4) + i) & 0xFF for i in range(min(block.size, 24)))

    def _write(self, block: Block) -> None:
        if self.configuration.backing == "space":
            return
        pattern = self._pattern(block)
        ctypes.memmove(block.address + block.size - len(pattern), pattern, len(pattern))
        ctypes.memmove(block.address, pattern, len(pattern))

    def _assert_intact(self, block: Block) -> None:
        if self.configuration.backing == "space":
            return
        pattern = self._pattern(block)
        assert ctypes.string_at(block.address, len(pattern)) == pattern, f"{block} was written to"

    # ---- picking

    def _live(self, pick: int) -> Block | None:
        live = self.model.live
        return live[list(live)[pick % len(live)]] if live else None

    def _value(self, kind: str, pick: int, bits: int) -> int:
        block = self._live(pick)
        if kind == "stale" and self.stale:
            return self.stale[pick % len(self.stale)]
        if kind == "other":
            return self.other_block + (pick & 1) * (bits % 100)
        if kind == "null":
            return 0
        if block is not None and kind == "interior":
            return block.address + 1 + bits % max(block.capacity - 1, 1)
        if block is not None and kind == "bit":
            return block.address ^ 1 << bits % 64
        if block is not None and kind == "near":
            return (block.address + (bits % 9 - 4) * max(block.capacity, 16)) % (1 << 64)
        if block is not None and kind == "nearby":
            return (block.address + bits % 400_000 - 200_000) % (1 << 64)
        return bits

    # ---- operations

    def request(self, door: str, size: int, align: int | None, zero: bool, tag: str | None) -> None:
        self._make_room()
        is_buffer = door in ("get", "try_get")
        zero = zero and self.configuration.backing != "space"
        tag = tag if self.configuration.has_tags else None
        reason = self.model.refusal(size)
        try:
            if self.configuration.is_through_c and door in ("alloc", "try_alloc"):
                align, zero, tag = None, False, None
                answer = self.c_alloc(self.functions.pool, size)
            else:
                answer = getattr(self.pool, door)(size, align=align, zero=zero, tag=tag)
        except poolcore.PoolExhausted as refused:
            assert not door.startswith("try_")
            assert refused.requested == size
            assert refused.live_bytes == self.model.live_bytes
            assert refused.limit_bytes == self.model.limit_bytes
            answer = None
        if (not is_buffer and not answer) or (is_buffer and answer is None):
            assert reason or self.configuration.is_refusing, f"{door}({size}) was refused"
            return
        assert reason is None, f"{door}({size}) was granted beyond {reason}"
        address = answer.address if is_buffer else answer
        self._register(address, size, align or 16, tag, answer if is_buffer else None, zero)

    def _register(self, address: int, size: int, align: int, tag: str | None, buffer: Any, zero: bool = False) -> None:
        found = self.pool.block_at(address)
        assert (found.address, found.size, found.tag) == (address, size, tag)
        if not self.configuration.has_geometry:
            align = min(align, 16) if align == 16 else align
        block = self.model.allocated(address, size, found.capacity, align, tag=tag, is_held=buffer is not None)
        if buffer is not None:
            assert (len(buffer), buffer.size, buffer.capacity, buffer.tag) == (size, size, found.capacity, tag)
            self.buffers[address] = buffer
        if self.configuration.backing == "space":
            assert self.extents.holds(block)
        elif zero and size:
            assert ctypes.string_at(address, size) == bytes(size)
        self._write(block)

    def _make_room(self) -> None:
        if len(self.model.live) > LIVE_MAX:
            for block in list(self.model.live.values()):
                if not block.views:
                    self.free(block.address, is_loud=False)

    def free(self, value: int, *, is_loud: bool) -> None:
        expected = self.model.verdicts(value)
        if expected == {LIVE}:
            self._assert_intact(self.model.live[value])
        verdict = self._free(value, value, is_loud)
        assert verdict in expected, f"free({value:#x}) answered {verdict!r}, expected {expected}"
        if verdict == LIVE:
            self._took_back(value)

    def _free(self, block: Any, address: int, is_loud: bool) -> int:
        """A free of `block`, an address or the Buffer of one."""
        if not is_loud and self.configuration.is_through_c and isinstance(block, int):
            return int(self.c_free(self.functions.pool, block))
        if not is_loud:
            return int(self.pool.try_free(block))
        try:
            assert self.pool.free(block) is None
        except poolcore.FreeError as error:
            assert error.address == address
            assert f"{address:#x}" in str(error)
            return int(error.verdict)
        return LIVE

    def _took_back(self, address: int) -> None:
        self.model.freed(address)
        self.stale = [*self.stale[-63:], address]
        buffer = self.buffers.pop(address, None)
        if buffer is not None:
            assert not buffer.is_live
            self.dead = [*self.dead[-15:], (buffer, address)]

    def free_live(self, pick: int, door: str) -> None:
        block = self._live(pick)
        if block is None:
            return
        buffer = self.buffers.get(block.address)
        if door == "buffer" and buffer is not None and not block.views:
            self._assert_intact(block)
            buffer.free()
            self._took_back(block.address)
        elif door == "by buffer" and buffer is not None:
            expected = self.model.verdicts(block.address)
            verdict = self._free(buffer, block.address, bool(pick & 1))
            assert {verdict} == expected
            if verdict == LIVE:
                self._took_back(block.address)
        else:
            self.free(block.address, is_loud=bool(pick & 1))

    def free_dead_buffer(self, pick: int) -> None:
        """A Buffer knows that it is dead, whatever lies at its address by now."""
        if self.dead:
            assert self._free(*self.dead[pick % len(self.dead)], bool(pick & 1)) == DOUBLE

    def throw(self, kind: str, pick: int, bits: int, is_loud: bool) -> None:
        self.free(self._value(kind, pick, bits), is_loud=is_loud)

    def free_many(self, values: list[int]) -> None:
        """Every good one is freed, the verdicts come in order; a value that comes twice is good once."""
        expected = []
        taken: set[int] = set()
        for value in values:
            allowed = {DOUBLE} if value in taken else self.model.verdicts(value)
            if allowed == {LIVE}:
                taken.add(value)
            expected.append(allowed)
        try:
            self.pool.free_many(values)
            verdicts = [LIVE] * len(values)
        except poolcore.FreeError as error:
            verdicts = [int(verdict) for verdict in error.verdicts]
        assert len(verdicts) == len(values)
        for value, verdict, allowed in zip(values, verdicts, expected, strict=True):
            assert verdict in allowed, f"free_many: {value:#x} answered {verdict}, expected {allowed}"
            if verdict == LIVE:
                self._took_back(value)

    def request_many(self, door: str, size: int, count: int) -> None:
        if self.configuration.is_refusing:
            count = min(count, 1)       # of more, the blocks before the refusal come and go unseen
        self._make_room()
        model = self.model
        fits = (model.limit_blocks is None or len(model.live) + count <= model.limit_blocks) and (
            model.limit_bytes is None or model.live_bytes + size * count <= model.limit_bytes)
        try:
            many = getattr(self.pool, door)(size, count)
        except poolcore.PoolExhausted:
            assert not fits or self.configuration.is_refusing
            return
        assert fits and len(many) == count
        for one in many:
            buffer = one if door == "get_many" else None
            self._register(one.address if buffer is not None else one, size, 16, None, buffer)

    def realloc(self, pick: int, size: int) -> None:
        block = self._live(pick)
        if block is None or block.views:
            return
        self._assert_intact(block)
        kept = self._pattern(block)[:size]
        buffer = self.buffers.get(block.address)
        room = self.model.limit_bytes
        try:
            answer = self.pool.realloc(block.address if buffer is None else buffer, size)
        except poolcore.PoolExhausted:
            assert self.configuration.is_refusing or room is not None
            assert self.model.verdicts(block.address) == {LIVE}
            return
        if buffer is not None:
            assert not buffer.is_live and answer.is_live
        address = answer if buffer is None else answer.address
        if self.configuration.backing != "space":
            assert ctypes.string_at(address, len(kept)) == kept
        if address == block.address:
            self.model.resized(address, size, self.pool.block_at(address).capacity)
            if buffer is not None:
                self.dead = [*self.dead[-15:], (buffer, address)]
                self.buffers[address] = answer
            self._write(block)
        else:
            self._register(address, size, 16, block.tag, None if buffer is None else answer)
            self._took_back(block.address)

    def export(self, pick: int) -> None:
        held = sorted(self.buffers)
        if not held or self.configuration.backing == "space":
            return
        buffer = self.buffers[held[pick % len(held)]]
        block = self.model.live[buffer.address]
        view = memoryview(buffer)
        assert view.nbytes == block.size and not view.readonly
        block.views += 1
        self.views.append((block, view))

    def release(self, pick: int) -> None:
        if self.views:
            block, view = self.views.pop(pick % len(self.views))
            assert bytes(view[:24]) == self._pattern(block)
            view.release()
            self.model.released(block)

    def trim(self) -> None:
        before = self.pool.stats().committed_bytes
        given = self.pool.trim()
        self.model.trimmed()
        assert given >= 0
        assert self.pool.stats().committed_bytes == before - given

    def reset_peak(self) -> None:
        self.pool.reset_peak()
        self.model.reset_peak()

    def look(self, kind: str, pick: int, bits: int) -> None:
        """block_at and explain agree with the model on any value, and change nothing."""
        value = self._value(kind, pick, bits)
        found = self.pool.block_at(value)
        sentence = self.pool.explain(value)
        assert isinstance(sentence, str) and f"{value:#x}" in sentence
        inside = [b for b in self.model.live.values() if b.address <= value < b.address + max(b.capacity, 1)]
        if inside:
            assert (found.address, found.size, found.capacity, found.tag) == (
                inside[0].address, inside[0].size, inside[0].capacity, inside[0].tag)
            assert found.pool is self.pool
        elif found is not None and self.configuration.has_geometry:
            assert found.address not in self.model.live
        if self.model.verdicts(value) <= {FOREIGN, OTHER_POOL, NULL} and found is not None:
            assert found.size == 0

    def walk(self) -> None:
        assert sorted((b.address, b.size, b.capacity, b.tag) for b in self.pool.live()) == sorted(
            (b.address, b.size, b.capacity, b.tag) for b in self.model.live.values())

    def snapshot(self) -> None:
        if self.configuration.backing == "space":
            self.saved = (self.pool.snapshot(), self.model.copy())

    def restore(self) -> None:
        if self.saved is None:
            return
        data, model = self.saved
        self.pool.restore(data)
        self.dead += [(buffer, address) for address, buffer in self.buffers.items()]
        self.buffers = {}
        self.model = model.copy()
        for block in self.model.live.values():
            block.is_held = False
            assert self.extents.holds(block)

    def close(self, is_forced: bool) -> None:
        """Closes the pool and opens the next one."""
        if self.views and not is_forced:
            with pytest.raises(BufferError):
                self.pool.close()
            return
        for block, _ in self.views:
            self._assert_intact(block)
        address = next(iter(self.model.live), 64)
        self.pool.close(force=is_forced)
        assert self.pool.try_free(address) == poolcore.Verdict.CLOSED
        assert self.pool.try_alloc(1) == 0
        for buffer in self.buffers.values():
            assert not buffer.is_live
        for _, view in self.views:
            view.release()
        assert not self.extents.pages or self.configuration.backing != "space"
        self.open()

    def finish(self) -> None:
        for _, view in self.views:
            view.release()
        self.views.clear()
        self.pool.close()
        self.other.close()

    # ---- after every operation

    def settle(self) -> None:
        assert self.pool.check() is None
        stats = self.pool.stats()
        for name, expected in self.model.counters().items():
            assert getattr(stats, name) == expected, f"{name} is {getattr(stats, name)}, expected {expected}"
        if stats.is_peak_exact:
            assert (stats.peak_blocks, stats.peak_bytes) == (self.model.peak_blocks, self.model.peak_bytes)
        assert stats.peak_blocks >= self.model.peak_blocks
        assert stats.peak_bytes >= self.model.peak_bytes
        assert stats.committed_bytes <= stats.reserved_bytes


ALIGNS = (None, None, None, 1, 16, 64, 256, 4096)
TAGS = (None, None, None, "RasB", "NetA")
FREE_DOORS = ("address", "address", "buffer", "by buffer")


def random_operation(driver: Driver, rng: random.Random) -> None:
    roll = rng.random()
    pick, bits = rng.getrandbits(30), rng.getrandbits(64)
    size = rng.choice(SIZES[:10]) if rng.random() < 0.95 else rng.choice(SIZES)
    if roll < 0.36:
        driver.request(rng.choice(DOORS), size, rng.choice(ALIGNS), rng.random() < 0.2, rng.choice(TAGS))
    elif roll < 0.62:
        driver.free_live(pick, rng.choice(FREE_DOORS))
    elif roll < 0.80:
        driver.throw(rng.choice(KINDS), pick, bits, rng.random() < 0.5)
    elif roll < 0.83:
        driver.free_dead_buffer(pick)
    elif roll < 0.85:
        driver.free_many([driver._value(rng.choice(KINDS), rng.getrandbits(30), rng.getrandbits(64)) if i % 3
                          else getattr(driver._live(rng.getrandbits(30)), "address", 0) for i in range(6)])
    elif roll < 0.87:
        driver.request_many(rng.choice(("get_many", "alloc_many")), size % 5000, rng.randrange(0, 20))
    elif roll < 0.90:
        driver.realloc(pick, size)
    elif roll < 0.93:
        driver.export(pick)
    elif roll < 0.96:
        driver.release(pick)
    elif roll < 0.97:
        driver.look(rng.choice(KINDS), pick, bits)
    elif roll < 0.98:
        driver.trim()
    elif roll < 0.985:
        driver.walk()
    elif roll < 0.99:
        driver.reset_peak()
    elif roll < 0.994:
        driver.snapshot()
    elif roll < 0.998:
        driver.restore()
    else:
        driver.close(rng.random() < 0.5)


@pytest.mark.parametrize("configuration", configurations(), ids=lambda c: c.name)
def test_random_operations_agree_with_the_model(configuration: Configuration) -> None:
    rng = random.Random(SEED)
    driver = Driver(configuration)
    count = OPERATIONS or configuration.operations
    done = 0
    try:
        while done < count:
            random_operation(driver, rng)
            driver.settle()
            done += 1
    except Exception as error:
        error.add_note(f"operation {done} of {configuration.name}; POOLCORE_SEED={SEED}")
        raise
    finally:
        driver.finish()


picks = st.integers(0, 1 << 30)
words = st.integers(0, (1 << 64) - 1)
sizes = st.sampled_from(SIZES) | st.integers(0, 70_000)


def machine_for(configuration: Configuration) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.driver = Driver(configuration)

        @rule(door=st.sampled_from(DOORS), size=sizes, align=st.sampled_from(ALIGNS), zero=st.booleans(),
              tag=st.sampled_from(TAGS))
        def request(self, door: str, size: int, align: int | None, zero: bool, tag: str | None) -> None:
            self.driver.request(door, size, align, zero, tag)

        @rule(pick=picks, door=st.sampled_from(FREE_DOORS))
        def free_live(self, pick: int, door: str) -> None:
            self.driver.free_live(pick, door)

        @rule(kind=st.sampled_from(KINDS), pick=picks, bits=words, is_loud=st.booleans())
        def throw(self, kind: str, pick: int, bits: int, is_loud: bool) -> None:
            self.driver.throw(kind, pick, bits, is_loud)

        @rule(pick=picks)
        def free_dead_buffer(self, pick: int) -> None:
            self.driver.free_dead_buffer(pick)

        @rule(thrown=st.lists(st.tuples(st.sampled_from(KINDS), picks, words), max_size=6))
        def free_many(self, thrown: list[tuple[str, int, int]]) -> None:
            self.driver.free_many([self.driver._value(*one) for one in thrown])

        @rule(door=st.sampled_from(("get_many", "alloc_many")), size=sizes, count=st.integers(0, 20))
        def request_many(self, door: str, size: int, count: int) -> None:
            self.driver.request_many(door, size, count)

        @rule(pick=picks, size=sizes)
        def realloc(self, pick: int, size: int) -> None:
            self.driver.realloc(pick, size)

        @rule(pick=picks)
        def export(self, pick: int) -> None:
            self.driver.export(pick)

        @rule(pick=picks)
        def release(self, pick: int) -> None:
            self.driver.release(pick)

        @rule(kind=st.sampled_from(KINDS), pick=picks, bits=words)
        def look(self, kind: str, pick: int, bits: int) -> None:
            self.driver.look(kind, pick, bits)

        @rule()
        def trim(self) -> None:
            self.driver.trim()

        @rule()
        def walk(self) -> None:
            self.driver.walk()

        @rule()
        def reset_peak(self) -> None:
            self.driver.reset_peak()

        @rule()
        def snapshot(self) -> None:
            self.driver.snapshot()

        @rule()
        def restore(self) -> None:
            self.driver.restore()

        @rule(is_forced=st.booleans())
        def close(self, is_forced: bool) -> None:
            self.driver.close(is_forced)

        @invariant()
        def settle(self) -> None:
            self.driver.settle()

        def teardown(self) -> None:
            self.driver.finish()

    return Machine


@pytest.mark.parametrize("configuration", configurations(), ids=lambda c: c.name)
def test_any_sequence_of_operations_agrees_with_the_model(configuration: Configuration) -> None:
    run_state_machine_as_test(machine_for(configuration), settings=settings(
        max_examples=10, stateful_step_count=40, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck)))


def test_the_verdict_numbers_are_the_models() -> None:
    assert [poolcore.Verdict(value).name for value in range(9)] == [
        "LIVE", "NULL", "DOUBLE", "INTERIOR", "FOREIGN", "OTHER_POOL", "EXPORTED", "CORRUPT", "CLOSED"]
    assert poolcore.Verdict.EXPORTED == EXPORTED
