"""Random NetApi calls, each predicted by a model: blocks with their bytes, and enumerations with every part of them."""

from __future__ import annotations

import contextlib
import ctypes
import queue
import random
import threading
from typing import Any, NamedTuple

import pytest

import pybuf
from pybuf import Guest, Machine, Network, Server, User, windll

ALL = 0xFFFFFFFF
USERS = [User("u" * (i % 7 + 1) + str(i), "full" * (i % 3), flags=0x200 << (i % 5 == 0) * 3) for i in range(40)]
SERVERS = [Server(f"S{i}", "c" * i, type=1 + i % 4) for i in range(30)]
NETWORK = Network(users=USERS, servers=SERVERS, local_groups=())


class Wide(NamedTuple):
    """What a pointer and a character take."""

    pointer: int
    character: int


def machine_of(kind: str) -> tuple[Machine, Wide]:
    if kind == "own":
        machine, wide = Machine(clock="manual"), Wide(8, 2)
    else:
        memory: dict[int, bytes] = {}
        wide = Wide(4, 4) if kind == "guest 4" else Wide(8, 2)
        guest = Guest(pybuf.AddressSpace(0x2000_0000, 1 << 26), on_write=memory.__setitem__,
                      on_read=lambda address, size: memory[address][:size],
                      pointer_bytes=wide.pointer, wchar_bytes=wide.character)
        machine = Machine(clock="manual", memory=guest)
    machine.network = NETWORK
    return machine, wide


class Part(NamedTuple):
    """What an enumeration answers: how many of the rows, and the bytes of their block."""

    status: int
    count: int
    size: int


def part(sizes: list[int], preferred: int, may_be_too_small: bool) -> Part:
    count = size = 0
    while count < len(sizes) and size + sizes[count] <= preferred:
        size += sizes[count]
        count += 1
    if sizes and count == 0:
        if may_be_too_small:
            return Part(2123, 0, 0)
        count, size = 1, sizes[0]
    return Part(234 if count < len(sizes) else 0, count, size)


class Model:
    """The blocks of one thread, and what every call must answer."""

    def __init__(self, machine: Machine, wide: Wide, seed: int, handed: queue.SimpleQueue[Any] | None = None) -> None:
        self.machine, self.wide = machine, wide
        self.chance = random.Random(seed)
        self.blocks: list[tuple[int, Any, int, int]] = []       # address, Buffer or None, size, number in its bytes
        self.lists: list[tuple[int, Any, int]] = []             # address, NetBuffer, size
        self.dead: list[Any] = []                               # Buffers of freed blocks
        self.handed: queue.SimpleQueue[Any] = handed or queue.SimpleQueue()
        self.resume = 0
        self.refused = ""

    def size(self) -> int:
        return self.chance.choice((0, 1, 16, 1500, self.chance.randrange(5000), 70_000))

    def refuses(self, pool: str) -> bool:
        """Whether the request that comes was told to fail."""
        found = self.refused == pool
        self.refused = "" if found else self.refused
        return found

    def fill(self, address: int, size: int) -> int:
        number = self.chance.randrange(256)
        if not self.machine.memory:
            ctypes.memset(address, number, size)
        return number

    def is_filled(self, address: int, size: int, number: int) -> bool:
        return bool(self.machine.memory) or ctypes.string_at(address, size) == bytes([number]) * size

    def keep(self, answer: tuple[int, Any], size: int) -> None:
        status, block = answer
        assert status == 0
        address = block if isinstance(block, int) else block.address
        self.blocks.append((address, None if isinstance(block, int) else block, size, self.fill(address, size)))

    def through_ctypes(self, name: str, *arguments: Any) -> tuple[int, int | None]:
        found = ctypes.c_void_p(1)
        status = getattr(windll.netapi32, name)(*arguments, ctypes.byref(found))
        return status, None if status and found.value == 1 else found.value

    def allocate(self) -> None:
        size, is_ctypes = self.size(), self.chance.random() < 0.5
        is_refused = self.refuses("netapi")
        answer = self.through_ctypes("NetApiBufferAllocate", size) if is_ctypes else pybuf.NetApiBufferAllocate(size)
        if is_refused:
            assert answer == (8, None)
        else:
            self.keep(answer, size)

    def taken(self, of: list[Any]) -> Any:
        place = self.chance.randrange(len(of))
        of[place], of[-1] = of[-1], of[place]
        return of.pop()

    def given(self, address: int, block: Any) -> Any:
        return address if block is None or self.chance.random() < 0.4 else block

    def reallocate(self) -> None:
        if not self.blocks:
            return
        size, is_ctypes = self.size(), self.chance.random() < 0.5
        address, block, before, number = self.taken(self.blocks)
        given = self.given(address, block)
        # To nothing is a free, which no pool is asked for.
        is_refused = size > 0 and self.refuses("netapi")
        answer = (self.through_ctypes("NetApiBufferReallocate", given, size) if is_ctypes
                  else pybuf.NetApiBufferReallocate(given, size))
        if is_refused:
            assert answer == (8, None)
            self.blocks.append((address, block, before, number))
        elif size == 0:
            assert answer == (0, None)
            self.dead.append(block)
        else:
            now = answer[1] if isinstance(answer[1], int) else answer[1].address
            assert self.is_filled(now, min(before, size), number)
            self.keep(answer, size)
            self.dead.append(block)

    def free(self) -> None:
        of = self.chance.choice((self.blocks, self.lists))
        if not of:
            return
        address, block, *rest = self.taken(of)
        if of is self.blocks:
            assert self.is_filled(address, *rest)
        given = self.given(address, block)
        free = pybuf.NetApiBufferFree if self.chance.random() < 0.5 else windll.netapi32.NetApiBufferFree
        assert free(given) == 0
        self.dead.append(block)

    def measure(self) -> None:
        of = self.chance.choice((self.blocks, self.lists))
        if of:
            address, block, size, *_ = self.chance.choice(of)
            assert pybuf.NetApiBufferSize(self.given(address, block)) == (0, size)

    def throw(self) -> None:
        """What is no block: dead Buffers, the middle of a live block, any number outside."""
        numbers = [1, 8, 2**63, 2**64 - 1, -2, self.chance.randrange(1, 1 << 16)]
        numbers += [each[0] + self.chance.choice((1, 4, 8, each[2] // 2 or 1)) for each in self.blocks[-3:]
                    + self.lists[-3:] if each[2] > 16]
        thrown = self.chance.choice([*numbers, *(each for each in self.dead[-10:] if each is not None)])
        assert pybuf.NetApiBufferFree(thrown) == 87
        assert windll.netapi32.NetApiBufferFree(thrown) == 87
        assert pybuf.NetApiBufferSize(thrown) == (87, None)
        assert pybuf.NetApiBufferReallocate(thrown, self.chance.choice((0, 10))) == (87, None)
        if self.lists:
            assert pybuf.NetApiBufferReallocate(self.chance.choice(self.lists)[0], 10) == (87, None)

    def text(self, value: str) -> int:
        return self.wide.character * (len(value) + 1)

    def listed(self, answer: tuple[Any, ...], expected: Part, total: int, names: list[str]) -> None:
        status, block, read, counted, *_ = answer
        assert (status, read, counted) == (expected.status, expected.count, total)
        if expected.count == 0:
            assert block is None
            return
        assert (block.size, [entry.name for entry in block.entries]) == (expected.size, names[:expected.count])
        self.lists.append((block.address, block, expected.size))

    def enumerate_users(self) -> None:
        preferred, filtered = self.chance.choice((0, 30, 200, 2000, ALL)), self.chance.choice((0, 0, 2, 16))
        rows = [user for user in USERS if not filtered or user.flags & filtered << 8]
        sizes = [self.wide.pointer + self.text(user.name) for user in rows]
        expected = part(sizes, preferred, True)
        is_refused = expected.status != 2123 and self.refuses("produced")
        answer = pybuf.NetUserEnum(None, 0, filtered, preferred, 0)
        if is_refused:
            assert answer == (8, None, 0, 0, 0)
        elif expected.status == 2123:
            assert answer == (2123, None, None, None, 0)
        else:
            self.listed(answer, expected, len(rows), [user.name for user in rows])
            assert bool(answer[4]) == (expected.status == 234)

    def enumerate_parts(self) -> None:
        """All shares of the list of users, part after part."""
        preferred, resume, names = self.chance.choice((60, 200, 777)), 0, []
        while True:
            rest = USERS[len(names):]
            expected = part([self.wide.pointer + self.text(user.name) for user in rest], preferred, True)
            if self.refuses("produced"):
                assert pybuf.NetUserEnum(None, 0, 0, preferred, resume) == (8, None, 0, 0, resume)
            answer = pybuf.NetUserEnum(None, 0, 0, preferred, resume)
            self.listed(answer, expected, len(rest), [user.name for user in rest])
            names += rest[:expected.count]
            resume = answer[4]
            if expected.status == 0:
                break
        assert (names, resume) == (USERS, 0)

    def enumerate_servers(self) -> None:
        preferred, kind = self.chance.choice((0, 100, 1000, ALL)), self.chance.choice((ALL, 1, 2, 4, 8))
        rows = [server for server in SERVERS if kind == ALL or server.type & kind]
        fixed = 40 if self.wide.pointer == 8 else 24
        sizes = [fixed + self.text(server.name) + self.text(server.comment) for server in rows]
        expected = part(sizes, preferred, False)
        is_refused = expected.count > 0 and self.refuses("produced")
        answer = pybuf.NetServerEnum(None, 101, preferred, kind, None, 0)
        if is_refused:
            assert answer == (8, None, 0, 0, 0)
        else:
            self.listed(answer, expected, len(rows), [server.name for server in rows])

    def hand(self) -> None:
        """Gives a block to whichever thread wants one, and takes one."""
        if self.blocks:
            self.handed.put(self.taken(self.blocks))
        with contextlib.suppress(queue.Empty):
            self.blocks.append(self.handed.get_nowait())

    def refuse(self) -> None:
        if not self.refused:
            self.refused = self.chance.choice(("netapi", "produced"))
            self.machine.refuse(self.refused)

    def step(self, *more: Any) -> None:
        self.chance.choice([self.allocate, self.allocate, self.reallocate, self.free, self.free, self.free,
                            self.measure, self.throw, self.enumerate_users, self.enumerate_parts,
                            self.enumerate_servers, *more])()

    def known(self) -> list[tuple[int, int]]:
        return sorted((address, size) for address, _, size, *_ in [*self.blocks, *self.lists])

    def end(self) -> None:
        while self.blocks or self.lists:
            self.free()


def live(machine: Machine) -> list[tuple[int, int]]:
    return sorted((block.address, block.size) for block in machine.live())


@pytest.mark.parametrize("kind", ["own", "guest 8", "guest 4"])
@pytest.mark.parametrize("seed", range(6))
def test_one_thread_is_as_the_model_says(kind, seed):
    print(f"seed {seed}")
    machine, wide = machine_of(kind)
    with machine:
        model = Model(machine, wide, seed)
        for _ in range(600):
            model.step(model.refuse)
            assert live(machine) == model.known()
            assert machine.check() is None
        machine.refuse("netapi", count=0)
        machine.refuse("produced", count=0)
        model.end()
        assert machine.live() == []
    machine.close()


@pytest.mark.parametrize("kind", ["own", "guest 4"])
def test_threads_do_not_disturb_one_another(kind):
    machine, wide = machine_of(kind)
    handed = queue.SimpleQueue()
    models = [Model(machine, wide, seed, handed) for seed in range(4)]
    failures = []

    def work(model):
        try:
            with machine:
                for _ in range(2000):
                    model.step(model.hand)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    while not handed.empty():
        models[0].blocks.append(handed.get_nowait())
    assert live(machine) == sorted(pair for model in models for pair in model.known())
    assert machine.check() is None
    with machine:
        for model in models:
            model.end()
    assert machine.live() == []
    assert machine.check() is None
    machine.close()
