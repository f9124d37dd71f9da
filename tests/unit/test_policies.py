"""Policies and backings as values, the environment switch, and that each policy acts."""

import copy
import pickle
import subprocess
import sys

import pytest

import poolcore
from poolcore import (
    AddressSpace,
    Events,
    Faults,
    Fill,
    FreeError,
    Guard,
    LowMemory,
    Pool,
    PoolExhausted,
    Quarantine,
    Verdict,
)

WRITTEN = [
    "Guard()",
    "Guard(every=1)",
    "Quarantine(blocks=8)",
    "Quarantine(bytes=4096)",
    "Fill(alloc=0xCD, free=0xDD)",
    "Events(capacity=16)",
    "Faults(nth=3)",
    "Faults(rate=0.5, seed=7)",
    "Faults(window=(2, 4))",
    "LowMemory(print)",
    "Pages(reserve=1048576, huge=True)",
    "AddressSpace(0x10000, 0x100000)",
    "AddressSpace(base=0x10000, size=0x100000, on_map=print)",
]


def read(written):
    return eval(written, {name: getattr(poolcore, name) for name in poolcore.__all__})


@pytest.mark.parametrize("written", WRITTEN)
def test_a_policy_prints_as_written_and_compares_by_value(written):
    policy, again = read(written), read(written)
    assert repr(policy) == written
    assert policy == again
    assert hash(policy) == hash(again)
    assert copy.deepcopy(policy) == pickle.loads(pickle.dumps(policy)) == policy


def test_values_compare_and_spellings_do_not():
    assert Guard() == Guard(every=1) != Guard(every=2)
    assert Faults(nth=1) != Faults(window=(1, 2))
    assert Quarantine(blocks=1) != Events(capacity=1)


@pytest.mark.parametrize("written", WRITTEN)
def test_a_policy_cannot_be_changed(written):
    policy = read(written)
    for name in type(policy).__slots__:
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(policy, name, 1)
        with pytest.raises(AttributeError, match="cannot be changed"):
            delattr(policy, name)


def test_pool_tells_its_policies():
    policies = (Events(capacity=8), Quarantine(blocks=2))
    with Pool(policies=list(policies)) as pool:
        assert pool.policies == policies
    assert Pool().policies == ()


def test_quarantine_delays_reuse_by_its_count():
    with Pool(policies=[Quarantine(blocks=3)]) as pool:
        first = pool.alloc(100)
        others = [pool.alloc(100) for _ in range(3)]
        pool.free(first)
        assert pool.block_at(first).state == "quarantined"
        assert pool.try_free(first) is Verdict.DOUBLE
        for address in others:
            assert pool.block_at(first).state == "quarantined"
            pool.free(address)
        assert pool.block_at(first).state == "free"


def test_fill_marks_new_and_freed_bytes_and_sees_a_late_write():
    memory = bytearray(1 << 18)
    with Pool(memory=memory, policies=[Fill(alloc=0xA5, free=0x5A)]) as pool:
        buffer = pool.get(64)
        assert bytes(buffer) == b"\xa5" * 64
        buffer[:] = b"needle!!" * 8
        at = memory.index(b"needle!!")
        buffer.free()
        assert memory[at : at + 64] == b"\x5a" * 64
        memory[at + 3] = 1
        reused = pool.get_many(64, 300)
        assert pool.stats().corrupt_blocks == 1
        del reused


def test_fill_sees_an_overrun_on_free():
    memory = bytearray(1 << 18)
    with Pool(memory=memory, policies=[Fill()]) as pool:
        buffer = pool.get(60)
        buffer[:8] = b"needle!!"
        memory[memory.index(b"needle!!") + 60] = 1
        with pytest.raises(FreeError) as caught:
            buffer.free()
        assert caught.value.verdict is Verdict.CORRUPT
        assert "CORRUPT" in str(caught.value)


def test_guard_ends_the_process_at_the_first_byte_past_the_block():
    program = """
import ctypes, sys
from poolcore import Guard, Pool
buffer = Pool(policies=[Guard()]).get(1600)
ctypes.memset(buffer.address, 1, 1600 + int(sys.argv[1]))
print("survived")
"""
    inside, past = (
        subprocess.run([sys.executable, "-c", program, past], capture_output=True, text=True) for past in "01"
    )
    assert inside.stdout == "survived\n"
    assert past.returncode == -11


def test_events_are_remembered_and_explained():
    with Pool(policies=[Events(capacity=4)]) as pool:
        address = pool.alloc(100, tag="evnt")
        pool.free(address)
        pool.try_free(address)
        events = pool.events()
        assert [event.kind for event in events] == ["alloc", "free", "rejected"]
        assert [event.address for event in events] == [address] * 3
        assert (events[0].size, events[0].tag) == (100, "evnt")
        assert events[2].verdict is Verdict.DOUBLE
        assert [event.sequence for event in events] == sorted({event.sequence for event in events})
        assert f"allocated as event {events[0].sequence}" in pool.explain(address)
        assert f"freed as event {events[1].sequence}" in pool.explain(address)
        for _ in range(10):
            pool.alloc(1)
        assert len(pool.events()) == 4


def test_without_the_policy_there_are_no_events():
    with Pool() as pool:
        pool.alloc(1)
        assert pool.events() == []


def test_faults_refuse_exactly_the_chosen_requests():
    def refused(policy):
        with Pool(policies=[policy]) as pool:
            return [number for number in range(1, 101) if not pool.try_alloc(10)]

    assert refused(Faults(nth=3)) == [3]
    assert refused(Faults(window=(2, 5))) == [2, 3, 4]
    assert refused(Faults(rate=1.0)) == list(range(1, 101))
    assert refused(Faults(rate=0.0)) == []
    assert refused(Faults(rate=0.3, seed=1)) == refused(Faults(rate=0.3, seed=1)) != refused(Faults(rate=0.3, seed=2))


def test_a_fault_names_its_policy():
    with Pool(policies=[Faults(nth=1)]) as pool, pytest.raises(PoolExhausted, match=r"Faults\(nth=1\)"):
        pool.get(10)


@pytest.mark.parametrize("takes_size", [True, False])
def test_low_memory_frees_and_the_request_succeeds(takes_size):
    asked = []

    def with_size(size):
        asked.append(size)
        kept.pop().free()

    callback = with_size if takes_size else lambda: with_size(100)
    with Pool(limit_blocks=1, policies=[LowMemory(callback)]) as pool:
        kept = [pool.get(100)]
        assert pool.get(100)
        assert asked == [100]


def test_low_memory_that_answers_false_gives_up():
    with Pool(limit_blocks=0, policies=[LowMemory(lambda size: False)]) as pool, pytest.raises(PoolExhausted):
        pool.get(1)


def test_an_exception_in_low_memory_reaches_the_caller():
    def callback(size):
        raise ZeroDivisionError

    with Pool(limit_blocks=0, policies=[LowMemory(callback)]) as pool, pytest.raises(ZeroDivisionError):
        pool.get(1)


def test_the_environment_switches_policies_on(monkeypatch):
    monkeypatch.setenv("POOLCORE", "guard, Events")
    assert Pool().policies == (Guard(), Events())
    assert Pool(policies=[Guard(every=4)]).policies == (Guard(every=4), Events())


def test_the_environment_leaves_out_what_a_backing_cannot_do(monkeypatch):
    monkeypatch.setenv("POOLCORE", "guard,fill,events")
    assert [type(policy) for policy in Pool(memory=bytearray(1 << 18)).policies] == [Fill, Events]
    assert [type(policy) for policy in Pool(memory=AddressSpace(4096, 1 << 20)).policies] == [Events]


def test_the_environment_warns_of_unknown_names(monkeypatch):
    monkeypatch.setenv("POOLCORE", "gaurd")
    with pytest.warns(RuntimeWarning, match="'gaurd'; known are guard, quarantine, fill, events"):
        assert Pool().policies == ()
