"""NetApi given what it does not expect: a status where one is documented, an exception where not, and nothing lost."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from typing import Any

import pytest

import pybuf
from pybuf import Guest, Machine, NetStatus, Network, User, windll

ALL = 0xFFFFFFFF
NETWORK = Network(
    users=[pybuf.User("ann"), pybuf.User("bob")], local_groups=[pybuf.LocalGroup("Staff", members=["ann", "bob"])],
    transports=[pybuf.Transport("T1"), pybuf.Transport("T2")], shares=[pybuf.Share("DATA"), pybuf.Share("MORE")],
    groups=[pybuf.Group("G1"), pybuf.Group("G2")], domains=[pybuf.Domain("WORKGROUP", controller="DC")],
    servers=[pybuf.Server("ONE"), pybuf.Server("TWO")])

# Every producer, with arguments that it answers a block to.
PRODUCERS: dict[str, tuple[Any, ...]] = {
    "NetServerEnum": (None, 101, ALL, ALL, None, 0),
    "NetServerGetInfo": (None, 101),
    "NetWkstaGetInfo": (None, 102),
    "NetWkstaUserGetInfo": (None, 1),
    "NetWkstaTransportEnum": (None, 0, ALL, 0),
    "NetUserEnum": (None, 3, 0, ALL, 0),
    "NetUserGetInfo": (None, "ann", 4),
    "NetShareEnum": (None, 503, ALL, 0),
    "NetLocalGroupEnum": (None, 1, ALL, 0),
    "NetLocalGroupGetMembers": (None, "Staff", 1, ALL, 0),
    "NetGroupEnum": (None, 2, ALL, 0),
    "NetUserGetLocalGroups": (None, "ann", 0, 0, ALL),
    "NetQueryDisplayInformation": (None, 1, 0, 100, ALL),
    "NetGetJoinInformation": (None,),
    "DsGetDcNameW": (None, None, None, None, 0),
}
ENUMERATIONS = [name for name, arguments in PRODUCERS.items() if ALL in arguments]
each_producer = pytest.mark.parametrize("name", PRODUCERS)


def call(name: str) -> tuple[Any, ...]:
    answer: tuple[Any, ...] = getattr(pybuf, name)(*PRODUCERS[name])
    return answer


def block_of(answer: tuple[Any, ...]) -> Any:
    return next((each for each in answer if isinstance(each, pybuf.netapi.NetBuffer)), None)


@pytest.fixture
def machine():
    made = Machine(clock="manual")
    made.network = NETWORK
    with made:
        yield made
    assert made.live() == []
    assert made.check() is None
    made.close()


def guest_of(on_write: Any, **more: Any) -> Machine:
    space = pybuf.AddressSpace(0x2000_0000, more.pop("size", 1 << 26), more.pop("on_map", None))
    machine = Machine(clock="manual", memory=Guest(space, on_write=on_write, **more))
    machine.network = NETWORK
    return machine


def test_list_of_producers_is_whole():
    from pybuf.routines import ROUTINES

    documented = {routine.name for routine in ROUTINES if routine.family == "netapi" and routine.header != "lmapibuf.h"}
    assert set(PRODUCERS) == documented


# ---- memory is short ----

@each_producer
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_pool_that_refuses_the_nth_block(machine, name, nth):
    machine.refuse("produced", nth=nth)
    answers = [call(name) for _ in range(4)]
    assert [answer[0] for answer in answers] == [8 if place == nth else 0 for place in (1, 2, 3, 4)]
    assert block_of(answers[nth - 1]) is None
    for answer in answers:
        assert pybuf.NetApiBufferFree(block_of(answer)) == 0


@each_producer
def test_range_that_is_full(name):
    machine = guest_of(lambda address, data: None, size=8 << 16)
    with machine:
        found = []
        while (answer := call(name))[0] == 0:
            found.append(block_of(answer))
            assert len(found) < 20_000
        assert answer[0] is NetStatus.ERROR_NOT_ENOUGH_MEMORY
        assert block_of(answer) is None
        assert found
        assert {pybuf.NetApiBufferFree(block) for block in found} == {0}
        assert machine.live() == []
        assert machine.check() is None
    machine.close()


# ---- a guest that does not do what it should ----

@each_producer
def test_on_write_that_raises(name):
    def refuses(address: int, data: bytes) -> None:
        raise KeyError("no such page")

    machine = guest_of(refuses)
    with machine:
        with pytest.raises(KeyError, match="no such page"):
            call(name)
        assert machine.live() == []
        assert machine.check() is None
    machine.close()


def test_on_write_that_raises_below_ctypes(monkeypatch):
    raised = []
    monkeypatch.setattr(sys, "unraisablehook", lambda given: raised.append(given.exc_type))
    machine = guest_of(lambda address, data: 1 // 0)
    with machine:
        block, count = ctypes.c_void_p(7), ctypes.c_uint32(7)
        assert windll.netapi32.NetServerEnum(None, 101, ctypes.byref(block), -1, ctypes.byref(count),
                                             ctypes.byref(count), -1, None, None) == 8
        assert (block.value, count.value) == (None, 0)
        assert (raised, machine.callback_errors) == ([ZeroDivisionError], 1)
        assert machine.live() == []
    machine.close()


@pytest.mark.parametrize("callback", ["on_write", "on_map"])
def test_machine_cannot_be_closed_from_a_callback_of_its_guest(callback):
    refused = []

    def close(*_: Any) -> None:
        with pytest.raises(RuntimeError, match="cannot be closed"):
            machine.close()
        refused.append(callback)

    machine = guest_of(**{"on_write": lambda address, data: None, callback: close})
    with machine:
        status, block, *_ = call("NetServerEnum")
        assert (status, refused) == (0, [callback])
        assert pybuf.NetApiBufferFree(block) == 0
        assert machine.check() is None
    machine.close()


def test_machine_cannot_be_closed_while_another_thread_writes_to_the_guest():
    is_inside, may_go_on = threading.Event(), threading.Event()

    def waits(address: int, data: bytes) -> None:
        is_inside.set()
        may_go_on.wait(60)

    machine = guest_of(waits)
    answers: list[Any] = []

    def work() -> None:
        with machine:
            answers.append(pybuf.NetApiBufferFree(call("NetUserEnum")[1]))

    thread = threading.Thread(target=work)
    thread.start()
    assert is_inside.wait(60)
    with pytest.raises(RuntimeError, match="while on_write"):
        machine.close()
    may_go_on.set()
    thread.join()
    assert answers == [0]
    machine.close()


def test_on_write_that_frees_what_it_was_given():
    machine = guest_of(lambda address, data: pybuf.NetApiBufferFree(address))
    with machine:
        status, block, *_ = call("NetServerEnum")
        assert (status, block.address) == (0, None)
        assert [pybuf.NetApiBufferFree(block), windll.netapi32.NetApiBufferFree(block)] == [87, 87]
        assert "freed" in repr(block)
        for use in (lambda: block.entries, lambda: len(block), lambda: memoryview(block)):
            with pytest.raises(ValueError, match="freed"):
                use()
        assert machine.live() == []
        assert machine.check() is None
    machine.close()


def test_on_write_that_fails_after_its_block_became_another():
    others = []

    def swaps(address: int, data: bytes) -> None:
        if not others:
            others.append(address)
            pybuf.NetApiBufferFree(address)
            others[:] = [call("NetServerEnum")[1]]
            raise OSError("late")

    machine = guest_of(swaps)
    with machine:
        with pytest.raises(OSError, match="late"):
            call("NetServerEnum")
        assert [block.address for block in machine.live()] == [others[0].address]
        assert pybuf.NetApiBufferFree(others[0]) == 0
    machine.close()


def test_on_write_that_calls_again_and_changes_the_network():
    def again(address: int, data: bytes) -> None:
        machine.network = Network(servers=[])
        if len(machine.live()) < 5:
            call("NetUserEnum")

    machine = guest_of(again)
    with machine:
        assert call("NetServerEnum")[2:4] == (2, 2)
        assert call("NetServerEnum")[2:4] == (0, 0)
        for block in machine.live():
            assert pybuf.NetApiBufferFree(block) == 0
        assert machine.check() is None
    machine.close()


def reallocating(on_copy: Any) -> Machine:
    space = pybuf.AddressSpace(0x2000_0000, 1 << 26, on_copy=on_copy)
    return Machine(clock="manual", memory=Guest(space, on_write=lambda address, data: None))


@pytest.mark.parametrize("is_buffer", [True, False])
def test_on_copy_is_told_where_to_and_where_from(is_buffer):
    copied = []
    machine = reallocating(lambda *given: copied.append(given))
    with machine:
        old = pybuf.NetApiBufferAllocate(100)[1]
        address = old.address
        new = pybuf.NetApiBufferReallocate(old if is_buffer else address, 50)[1]
        moved = new.address
        assert copied == [(moved, address, 50)]
        found = ctypes.c_void_p(moved)
        assert windll.netapi32.NetApiBufferReallocate(found, 70_000, ctypes.byref(found)) == 0
        assert copied[1:] == [(found.value, moved, 50)]
        assert pybuf.NetApiBufferFree(found.value) == 0
        assert machine.live() == []
    machine.close()


def test_on_copy_that_raises_or_closes():
    def fails(*_: int) -> None:
        machine.close()

    machine = reallocating(fails)
    with machine:
        old = pybuf.NetApiBufferAllocate(100)[1]
        with pytest.raises(RuntimeError, match="cannot be closed"):
            pybuf.NetApiBufferReallocate(old, 200)
        assert [block.address for block in machine.live()] == [old.address]
        assert pybuf.NetApiBufferFree(old) == 0
        assert machine.check() is None
    machine.close()


def test_on_copy_that_frees_what_it_copies():
    machine = reallocating(lambda to, from_, size: pybuf.NetApiBufferFree(from_))
    with machine:
        old = pybuf.NetApiBufferAllocate(100)[1]
        assert pybuf.NetApiBufferReallocate(old, 200) == (87, None)
        assert machine.live() == []
        assert machine.check() is None
    machine.close()


# ---- arguments ----

@each_producer
@pytest.mark.parametrize("given", [1.5, b"x", object(), [], "7"])
def test_numbers_of_another_type(machine, name, given):
    arguments = PRODUCERS[name]
    for place, usual in enumerate(arguments):
        if isinstance(usual, int):
            with pytest.raises(TypeError):
                getattr(pybuf, name)(*arguments[:place], given, *arguments[place + 1:])


@each_producer
@pytest.mark.parametrize("given", [1, 1.5, b"x", object()])
def test_texts_of_another_type(machine, name, given):
    arguments = PRODUCERS[name]
    for place, usual in enumerate(arguments):
        is_guid = name == "DsGetDcNameW" and place == 2
        if (usual is None or isinstance(usual, str)) and not is_guid:
            with pytest.raises(TypeError, match="is text or None"):
                getattr(pybuf, name)(*arguments[:place], given, *arguments[place + 1:])
            with pytest.raises(ValueError, match="first NUL"):
                getattr(pybuf, name)(*arguments[:place], "a\0b", *arguments[place + 1:])


@each_producer
@pytest.mark.parametrize("wrapped", [lambda n: n + 2**32, lambda n: n - 2**32])
def test_numbers_count_modulo_two_to_the_32nd(machine, name, wrapped):
    arguments = list(PRODUCERS[name])
    wide = {"NetLocalGroupEnum": [3], "NetLocalGroupGetMembers": [4], "NetGroupEnum": [3]}.get(name, [])
    for place, usual in enumerate(arguments):
        if isinstance(usual, int) and place not in wide:
            changed = [*arguments[:place], wrapped(usual), *arguments[place + 1:]]
            answer = getattr(pybuf, name)(*changed)
            assert answer[0] == 0
            assert pybuf.NetApiBufferFree(block_of(answer)) == 0
            with pytest.raises(OverflowError):
                getattr(pybuf, name)(*arguments[:place], 2**34, *arguments[place + 1:])


@each_producer
@pytest.mark.parametrize("server", ["\u00e4", "\ud800", "\U0001f600", "x" * 70_000, "\\\\NOWHERE", "a b", "\\", "\t"])
def test_any_text_as_a_server(machine, name, server):
    answer = getattr(pybuf, name)(server, *PRODUCERS[name][1:])
    assert answer[0] in (53, 87, 123, 1210, 2351)
    assert block_of(answer) is None


@pytest.mark.parametrize("name", [name for name in ENUMERATIONS[1:] if PRODUCERS[name][-1] == 0])
@pytest.mark.parametrize("resume", [1, 2, 0x7FFFFFFF, ALL, 1 << 23, 0xB00001])
def test_any_number_as_a_resume_handle(machine, name, resume):
    answer = getattr(pybuf, name)(*PRODUCERS[name][:-1], resume)
    assert answer[0] is NetStatus.ERROR_INVALID_PARAMETER
    assert (block_of(answer), answer[-1]) == (None, resume)


@pytest.mark.parametrize("name", ENUMERATIONS)
@pytest.mark.parametrize("length", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, -1])
def test_any_preferred_length(machine, name, length):
    arguments = [length if argument == ALL and place == PRODUCERS[name].index(ALL) else argument
                 for place, argument in enumerate(PRODUCERS[name])]
    answer = getattr(pybuf, name)(*arguments)
    assert answer[0] in ((0,) if length not in (0, 1) else (0, 234, 2123))
    assert pybuf.NetApiBufferFree(block_of(answer)) == 0


@pytest.mark.parametrize(("index", "requested", "count"), [
    (0, 0, 1), (0, ALL, 2), (ALL, ALL, 0), (1, ALL, 1), (2, 1, 0), (0x80000000, 1, 0),
])
def test_absurd_counts_of_entries(machine, index, requested, count):
    status, read, block = pybuf.NetQueryDisplayInformation(None, 1, index, requested, ALL)
    assert (status, read) == (234 if requested == 0 else 0, count)
    assert pybuf.NetApiBufferFree(block) == 0


# ---- machines that are closed, or forked ----

@each_producer
def test_closed_machine_says_so(name):
    machine = Machine()
    with machine:
        machine.close()
        with pytest.raises(ValueError, match="the machine is closed"):
            call(name)


def test_face_and_settings_of_a_closed_machine():
    machine = Machine()
    with machine:
        _, block, *_ = call("NetServerEnum")
        machine.close()
        for use in (lambda: next(pybuf.netapi.users()), lambda: machine.services, lambda: block.entries,
                    lambda: setattr(machine, "caller", pybuf.Caller()), lambda: pybuf.netapi.entries(5)):
            with pytest.raises(ValueError, match="closed"):
                use()
        assert block.address is None
        assert "freed" in repr(block)


def test_child_of_a_fork_has_machines_of_its_own(machine):
    block = call("NetUserEnum")[1]
    child = os.fork()
    if child == 0:
        is_good = (pybuf.NetApiBufferFree(block) == 0 and [user.name for user in pybuf.netapi.users()] == ["ann", "bob"]
                   and machine.live() == [] and machine.check() is None)
        os._exit(0 if is_good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert pybuf.NetApiBufferFree(block) == 0


def test_machine_of_a_child_that_forked_inside_on_write_can_be_closed():
    def forks(address: int, data: bytes) -> None:
        children.append(os.fork())

    children: list[int] = []
    machine = guest_of(forks)
    with machine:
        block = call("NetServerEnum")[1]
        if children == [0]:
            is_good = pybuf.NetApiBufferFree(block) == 0 and machine.check() is None
            machine.close()
            os._exit(0 if is_good else 1)
        assert os.waitpid(children[0], 0)[1] == 0
        assert pybuf.NetApiBufferFree(block) == 0
    machine.close()


# ---- a block in other hands ----

def test_view_defers_the_end_of_a_block_that_ctypes_frees(machine):
    block = call("NetUserEnum")[1]
    view = memoryview(block)
    with pytest.raises(BufferError, match="NetApiBufferFree"):
        pybuf.NetApiBufferFree(block)
    kept = bytes(view)
    assert windll.netapi32.NetApiBufferFree(block) == 0
    assert windll.netapi32.NetApiBufferFree(block) == 87
    others = [call("NetUserEnum")[1] for _ in range(50)]
    assert bytes(view) == kept
    for use in (lambda: block.entries, lambda: block.size, lambda: block.dtype, lambda: memoryview(block)):
        with pytest.raises(ValueError, match="freed"):
            use()
    view.release()
    for other in others:
        assert pybuf.NetApiBufferFree(other) == 0


def test_iterator_of_a_machine_that_is_closed_meanwhile():
    machine = Machine()
    machine.network = Network(users=[User(f"u{i:04}", "x" * 100) for i in range(2000)])
    with machine:
        found = pybuf.netapi.users()
        assert next(found).name == "u0000"
        machine.close()
        with pytest.raises(ValueError, match="closed"):
            list(found)
