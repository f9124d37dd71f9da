"""What the families share, called as they call it."""

from __future__ import annotations

import os
import sys
import threading
import time
from fractions import Fraction

import pytest

import poolcore
import pybuf
from pybuf import BugCheck, Event, Guest, Machine
from pybuf.routines import NUMBERS

from .conftest import HERE, PACKAGE

RAS, NETAPI, PRODUCED, VIDEO_BUFFER, VIDEO_PAGED, VIDEO_NONPAGED, AUDIO = range(7)
MS = 24_000


@pytest.fixture(scope="module")
def ground(build):
    return build(HERE / "ground.pyx")


@pytest.fixture
def machine():
    machine = Machine(clock="manual")
    yield machine
    if not machine.is_closed:
        assert machine.check() is None
        machine.close()


# ---- the current machine ----

def test_python_finds_what_its_context_entered(ground, machine):
    default = ground.now()
    assert default is Machine.current()
    with machine:
        assert ground.now() is machine
        with Machine() as inner:
            assert ground.now() is inner
            with machine:
                assert ground.now() is machine
            assert ground.now() is inner
        assert ground.now() is machine
    assert ground.now() is default


def test_a_thread_starts_with_the_default_machine(ground, machine):
    seen = []
    with machine:
        thread = threading.Thread(target=lambda: seen.append(ground.now()))
        thread.start()
        thread.join()
    assert seen == [Machine.current()]


def test_c_finds_what_its_thread_entered(ground, machine):
    assert ground.here() == 0
    ground.enter(machine)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(ground.here()))
    thread.start()
    thread.join()
    assert (ground.here(), seen) != (0, [0]) or seen == [0]
    assert ground.here() != 0
    with Machine():
        assert ground.here() != 0
    ground.enter(None)
    assert ground.here() == 0


# ---- pools ----

def test_pools_are_opened_when_first_asked_for(ground, machine):
    assert ground.kind_at(machine, 1 << 40) == -1
    pool = ground.pool_of(machine, NETAPI)
    assert ground.pool_of(machine, NETAPI) is pool
    block = pool.alloc(100)
    assert ground.kind_at(machine, block) == NETAPI
    assert [(found.routine, found.size) for found in machine.live()] == [("NetApiBufferAllocate", 100)]


def test_a_shared_machine_has_every_pool_native(ground, machine):
    assert ground.shared_pools(machine) == [True] * 7


def test_video_blocks_cross_no_page(ground, machine):
    for kind in (VIDEO_BUFFER, VIDEO_PAGED, VIDEO_NONPAGED):
        for size in (1, 16, 17, 100, 2048, 2049, 4096, 65_536, 70_000):
            address = ground.pool_of(machine, kind).alloc(size)
            assert address % min(1 << (max(size, 16) - 1).bit_length(), 4096) == 0


def test_limits_are_the_machines(ground):
    machine = Machine(ras_buffers=1, netapi_bytes=100, video_bytes=200, audio_bytes=300)
    assert ground.pool_of(machine, RAS).try_alloc(10)
    assert not ground.pool_of(machine, RAS).try_alloc(10)
    for kind, limit in ((NETAPI, 100), (VIDEO_PAGED, 200), (AUDIO, 300)):
        assert not ground.pool_of(machine, kind).try_alloc(limit + 1)
        assert ground.pool_of(machine, kind).try_alloc(limit)
    machine.close()


def test_refusals_come_when_they_were_said_to(ground, machine):
    machine.refuse("netapi", nth=2, count=2)
    assert [ground.refuses(machine, NETAPI) for _ in range(5)] == [False, True, True, False, False]
    assert not ground.refuses(machine, RAS)
    machine.refuse("netapi")
    machine.refuse("netapi", count=0)
    assert not ground.refuses(machine, NETAPI)


# ---- notes ----

def test_notes_stay_with_their_addresses(ground, machine):
    pool = ground.pool_of(machine, VIDEO_PAGED)
    blocks = [pool.alloc(size) for size in (16, 16, 5000, 200_000)]
    assert ground.noted(machine, VIDEO_PAGED, blocks[0]) is None
    for i, block in enumerate(blocks):
        assert ground.note(machine, VIDEO_PAGED, block, 10 + i, i, 0x7A797844)
    for i, block in enumerate(blocks):
        assert ground.noted(machine, VIDEO_PAGED, block) == (i + 1, 10 + i, i, 0x7A797844, 0)
    assert ground.noted(machine, VIDEO_PAGED, blocks[2] + 16) == (0, 0, 0, 0, 0)
    assert ground.noted(machine, VIDEO_PAGED, 0) is None
    assert not ground.note(machine, VIDEO_PAGED, 0, 0, 0, 0)
    live = machine.live()
    assert [(found.address, found.sequence, found.owner, found.tag) for found in live] == [
        (block, i + 1, i, "Dxyz") for i, block in sorted(enumerate(blocks), key=lambda each: each[1])]
    assert machine.buffer_at(live[0]).address == live[0].address


def test_a_note_without_a_number_takes_none(ground, machine):
    block = ground.pool_of(machine, RAS).alloc(100)
    ground.note(machine, RAS, block, 100, 0, 0, is_numbered=False)
    assert machine.live()[0].sequence is None


# ---- handles ----

def test_a_handle_names_one_object_of_one_machine(ground, machine):
    handle = ground.handle(machine, 3, client=7)
    assert handle
    assert handle % 4 == 0
    assert handle < 1 << 32
    assert ground.found(machine, handle) == 3
    assert ground.found(machine, handle, client=7) == 3
    assert ground.found(machine, handle, client=8) is None
    assert ground.found(machine, handle, kind="engine") is None
    other = Machine()
    assert ground.found(other, handle) is None
    assert not ground.close(other, handle)
    other.close()
    assert ground.close(machine, handle)
    assert not ground.close(machine, handle)
    assert ground.found(machine, handle) is None


@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 8, 1 << 19, 0xFFFFFFFC, 1 << 32, (1 << 64) - 1, 0xDEADBEEF])
def test_no_invented_value_is_a_handle(ground, machine, value):
    handle = ground.handle(machine, 0)
    assert ground.found(machine, value) is None
    for wrong in (handle + 1, handle | 1 << 32, handle ^ 1 << 20, handle ^ 1 << 31):
        assert ground.found(machine, wrong) is None
    ground.close(machine, handle)


def test_a_stale_handle_stays_stale_while_others_come_and_go(ground, machine):
    stale = ground.handle(machine, 0)
    ground.close(machine, stale)
    for _ in range(20_000):
        handle = ground.handle(machine, 1)
        assert handle != stale
        ground.close(machine, handle)
    assert ground.found(machine, stale) is None
    assert machine.check() is None


def test_closing_a_machine_ends_its_handles_alone(ground, machine):
    other = Machine()
    mine, theirs = ground.handle(machine, 1), ground.handle(other, 2)
    event = Event(other)
    other.close()
    assert ground.found(machine, mine) == 1
    assert ground.found(machine, theirs) is None
    assert repr(event).endswith("closed>")
    with pytest.raises(ValueError, match="closed"):
        event.set()
    ground.close(machine, mine)


# ---- events ----

def test_events_of_both_kinds_as_c_sees_them(ground, machine):
    manual, single = ground.open_event(machine, True, False), ground.open_event(machine, False, True)
    assert ground.event(machine, "wait", manual) == 0x102
    assert ground.event(machine, "set", manual)
    assert [ground.event(machine, "wait", manual) for _ in range(2)] == [0, 0]
    ground.event(machine, "reset", manual)
    assert ground.event(machine, "wait", manual, 1) == 0x102
    assert [ground.event(machine, "wait", single) for _ in range(2)] == [0, 0x102]
    assert ground.event(machine, "valid", single)
    assert not ground.event(machine, "valid", single ^ 1 << 20)      # its place, at another time
    assert not ground.event(machine, "set", 0)
    assert ground.event(machine, "wait", 0) == 0xFFFFFFFF


def test_a_wait_ends_with_the_event(ground, machine):
    event = Event(machine)
    threading.Timer(0.05, event.set).start()
    assert ground.event(machine, "wait", event.handle, 10_000) == 0
    threading.Timer(0.05, event.close).start()
    assert ground.event(machine, "wait", event.handle, 10_000) == 0xFFFFFFFF


class Emulator:
    def __init__(self):
        self.signalled = []

    def is_valid(self, handle):
        if handle == 13:
            raise LookupError("thirteen")
        return handle == 77

    def signal(self, handle):
        self.signalled.append(handle)


def test_callers_events_are_asked_first(ground, monkeypatch):
    emulator = Emulator()
    machine = Machine(events=emulator)
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: unraisable.append(error.exc_value))
    assert ground.event(machine, "valid", 77)
    assert ground.event(machine, "set", 77)
    assert emulator.signalled == [77]
    assert not ground.event(machine, "valid", 78)
    assert not ground.event(machine, "valid", 13)
    assert [type(error) for error in unraisable] == [LookupError]
    assert machine.callback_errors == 1
    own = Event(machine)
    assert ground.event(machine, "set", own.handle)
    assert own.is_set()
    machine.close()


# ---- the clock ----

def test_what_is_due_happens_in_order_at_its_instant(ground, machine):
    ground.due(machine, 1, 2 * MS)
    ground.due(machine, 2, MS)
    ground.due(machine, 3, 2 * MS)
    ground.due(machine, 4, 9 * MS)
    assert ground.next_due(machine) == MS
    assert ground.cancel(machine, 4)
    assert not ground.cancel(machine, 4)
    machine.advance(Fraction(3, 1000))
    assert ground.fired() == [(2, MS, MS), (1, 2 * MS, 2 * MS), (3, 2 * MS, 2 * MS)]
    assert machine.ticks == 3 * MS
    assert ground.next_due(machine) == (1 << 64) - 1


def test_what_is_due_may_add_itself_again(ground, machine):
    ground.due(machine, 1, MS, lambda: ground.due(machine, 1, machine.ticks + MS))
    machine.advance(Fraction(4, 1000))
    assert [tick for _, tick, _ in ground.fired()] == [MS, 2 * MS]
    ground.cancel(machine, 1)


def test_parts_of_a_tick_are_kept(machine):
    for _ in range(7):
        machine.advance(Fraction(1, 7 * 24_000_000))
    assert machine.ticks == 1


def test_an_exception_stops_time_at_its_instant(ground, machine):
    def fail():
        raise LookupError("no")

    ground.due(machine, 1, MS, fail)
    ground.due(machine, 2, 2 * MS)
    with pytest.raises(LookupError, match="no"):
        machine.advance(1)
    assert machine.ticks == MS
    assert ground.fired() == [(1, MS, MS)]
    machine.advance(Fraction(1, 1000))
    assert ground.fired() == [(2, 2 * MS, 2 * MS)]
    assert machine.callback_errors == 0


def test_advance_from_its_own_callback_is_refused(ground, machine):
    ground.due(machine, 1, MS, lambda: machine.advance(1))
    with pytest.raises(RuntimeError, match="callback of advance"):
        machine.advance(1)
    ground.due(machine, 2, machine.ticks + MS, machine.close)
    with pytest.raises(RuntimeError, match="while it advances"):
        machine.advance(1)
    assert len(ground.fired()) == 2


def test_a_second_thread_waits_for_the_first(ground, machine):
    thread = threading.Thread(target=lambda: machine.advance(1))

    def start():
        thread.start()
        time.sleep(0.05)

    ground.due(machine, 1, MS, start)
    machine.advance(1)
    thread.join()
    assert machine.ticks == 2 * 24_000_000
    ground.fired()


@pytest.mark.parametrize(("seconds", "error"), [(1.0, TypeError), ("1", TypeError), (-1, ValueError),
                                                (1 << 60, OverflowError)])
def test_seconds_that_are_none(machine, seconds, error):
    with pytest.raises(error, match="seconds is"):
        machine.advance(seconds)
    assert machine.ticks == 0


def test_a_real_clock_runs_by_itself(ground):
    machine = Machine()
    with pytest.raises(ValueError, match="clock is real"):
        machine.advance(1)
    began = machine.ticks
    time.sleep(0.01)
    assert 10 * MS <= machine.ticks - began < 10_000 * MS
    ground.due(machine, 1, began)
    assert ground.run(machine, machine.ticks)
    assert [number for number, _, _ in ground.fired()] == [1]
    machine.close()


def test_an_exception_without_a_python_caller_is_told_and_counted(ground, machine, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: unraisable.append(error.exc_value))
    ground.due(machine, 1, MS, lambda: 1 // 0)
    assert ground.run(machine, 2 * MS)
    assert [type(error) for error in unraisable] == [ZeroDivisionError]
    assert machine.callback_errors == 1
    ground.fired()


# ---- IRQL ----

def test_irql_is_one_value_per_thread(ground, machine):
    seen = []
    with machine.irql(pybuf.DISPATCH_LEVEL):
        thread = threading.Thread(target=lambda: seen.append(ground.irql()))
        thread.start()
        thread.join()
        assert ground.irql() == 2
        with machine.irql(5):
            assert ground.irql() == 5
        assert ground.irql() == 2
    assert (ground.irql(), seen) == (0, [0])


def test_set_irql_is_absolute(ground, machine):
    assert machine.set_irql(2) == 0
    assert machine.set_irql(1) == 2
    assert ground.set_irql(0) == 1
    assert ground.irql() == 0


# ---- bug checks ----

def test_a_bug_check_says_who_allocated_and_who_freed(ground, machine):
    block = ground.pool_of(machine, VIDEO_BUFFER).alloc(100)
    ground.note(machine, VIDEO_BUFFER, block, 100, 1, 0x7A797844)
    ground.note_freed(machine, VIDEO_BUFFER, block)
    with pytest.raises(BugCheck) as caught:
        ground.stop(machine, VIDEO_BUFFER, block)
    bug = caught.value
    assert (bug.code, bug.parameters) == (pybuf.BAD_POOL_CALLER, (7, 0, 0, block))
    assert (bug.routine, bug.device, bug.machine) == ("VideoPortReleaseBuffer", 0x1000, machine)
    assert bug.allocated == ("RasGetBuffer", 1, "Dxyz", 100)
    assert bug.freed == "RasFreeBuffer"
    assert str(bug).splitlines() == [
        "BAD_POOL_CALLER (c2)", "A driver made a bad pool request.", "A driver freed a block that was freed before.",
        "Arguments:", "Arg1: 0000000000000007, kind of violation", "Arg2: 0000000000000000, reserved",
        "Arg3: 0000000000000000, header contents", f"Arg4: {block:016x}, address of the block",
        "Called: VideoPortReleaseBuffer for the device extension 0x1000",
        "Allocated by: RasGetBuffer, 100 bytes, tag Dxyz, number 1", "Freed by: RasFreeBuffer"]
    assert [(each.code, each.freed) for each in machine.bug_checks] == [(bug.code, bug.freed)]


def test_c_records_and_calls_the_handler(ground, machine):
    assert ground.stop_in_c(machine, False) == 0
    assert ground.stop_in_c(machine, True) == 0xC2
    assert len(machine.bug_checks) == 2
    assert machine.bug_checks[1].allocated is None


def test_the_last_bug_checks_are_kept(ground, machine):
    for i in range(300):
        ground.stop_in_c(machine, False)
        ground.violate(machine, 1, i)
    assert len(machine.bug_checks) == 256
    assert machine.violations == [("VideoPortReleaseBuffer", 1, i) for i in range(44, 300)]


# ---- guests ----

def test_a_guest_is_written_and_read_through_its_callbacks(ground, monkeypatch):
    memory = bytearray(1 << 20)
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: unraisable.append(error.exc_value))

    def on_write(address, data):
        memory[address - (1 << 20):][:len(data)]
        memory[address - (1 << 20):address - (1 << 20) + len(data)] = data

    guest = Guest(poolcore.AddressSpace(1 << 20, 1 << 20), on_write,
                  lambda address, size: memory[address - (1 << 20):][:size])
    machine = Machine(memory=guest)
    assert ground.write(machine, (1 << 20) + 5, b"hello") == 0
    assert ground.read(machine, (1 << 20) + 5, 5) == b"hello"
    assert ground.read(machine, (1 << 21) - 1, 5) is None
    assert "answered 1 bytes" in str(unraisable[0])
    machine.close()


def test_the_pools_of_a_guest_share_its_range(ground):
    space = poolcore.AddressSpace((1 << 20) + 4096, 1 << 22)
    machine = Machine(memory=Guest(space, lambda address, data: None, pointer_bytes=4, wchar_bytes=4))
    for kind in range(6):
        address = ground.pool_of(machine, kind).alloc(100)
        assert space.base <= address < space.base + space.size
        assert ground.kind_at(machine, address) == kind
    assert not space.base <= ground.pool_of(machine, AUDIO).alloc(100) < space.base + space.size
    assert ground.read(machine, space.base, 1) is None
    machine.close()


# ---- arguments ----

def test_addresses_and_handles_are_read_from_what_has_them(ground, machine):
    buffer = ground.pool_of(machine, RAS).get(10)
    where = buffer.address
    assert ground.address(buffer) == (where, buffer)
    buffer.free()
    assert ground.address(buffer) == (where, buffer)
    assert ground.address(None) == (0, None)
    assert ground.address(ground.Port()) == (0x1234, None)
    assert ground.address(ground.Port(buffer)) == (0x1234, buffer)
    event = Event(machine)
    assert ground.address(event) == (event.handle, None)
    assert ground.address(True) == (1, None)

    class Index:
        def __index__(self):
            return 5

    assert ground.address(Index()) == (5, None)


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_integers_count_modulo_their_size_and_one_wrap_is_all(ground, bits):
    read = {64: lambda value: ground.address(value)[0], 32: ground.dword}.get(
        bits, lambda value: ground.unsigned(value, bits))
    top = 1 << bits
    for value in (0, 1, top - 1, top, 2 * top - 1, -1, -top):
        assert read(value) == value % top
    for value in (2 * top, -top - 1, 1 << 200, -1 << 200):
        with pytest.raises(OverflowError, match=str(value)):
            read(value)


@pytest.mark.parametrize("value", [1.0, "1", b"1", object(), [1]])
def test_other_types_are_refused(ground, value):
    with pytest.raises(TypeError, match=type(value).__name__):
        ground.address(value)
    with pytest.raises(TypeError, match="size is an int"):
        ground.dword(value)
    with pytest.raises(TypeError, match="size is an int"):
        ground.dword(None)


# ---- results ----

def test_statuses_are_members_of_their_space(ground):
    assert ground.status(0, 610) is pybuf.RasStatus.ERROR_BUFFER_INVALID
    assert ground.status(1, 87) is pybuf.NetStatus.ERROR_INVALID_PARAMETER
    assert ground.status(2, 0) is pybuf.VpStatus.NO_ERROR
    assert ground.status(3, 0xC0000010) is pybuf.NtStatus.STATUS_INVALID_DEVICE_REQUEST
    assert ground.status(4, 0xC2) is pybuf.BugCheckCode.BAD_POOL_CALLER
    for space, success in enumerate((pybuf.RasStatus, pybuf.NetStatus, pybuf.VpStatus, pybuf.NtStatus)):
        assert ground.status(space, 0) is success(0)
        assert ground.status(space, 0) is success(0)
    unknown = ground.status(0, 12345)
    assert (unknown, type(unknown)) == (12345, int)


def test_a_result_serves_again_only_when_nobody_holds_it(ground):
    held = ground.three(1, "a", None)
    again = ground.three(2, "b", None)
    assert (held, again) == ((1, "a", None), (2, "b", None))
    del held
    where = id(again)
    del again
    assert id(ground.three(3, "c", None)) == where
    assert ground.two(1, 2) == (1, 2)
    assert ground.two([], {}) == ([], {})


def test_a_result_that_is_made_while_another_ends_is_another(ground):
    seen = []

    class Ends:
        def __del__(self):
            seen.append(ground.three(7, 8, 9))

    ground.three(1, Ends(), 2)
    result = ground.three(3, 4, 5)
    assert result == (3, 4, 5)
    assert seen == [(7, 8, 9)]


def test_results_leak_nothing(ground):
    mark = object()
    before = sys.getrefcount(mark)
    for _ in range(1000):
        ground.three(mark, mark, mark)
        ground.two(mark, mark)
    ground.three(0, 0, 0)
    ground.two(0, 0)
    assert sys.getrefcount(mark) == before


# ---- families ----

def test_a_family_is_told_of_machines(ground):
    early = Machine()
    ground.fired()
    ground.family(True)
    try:
        assert ("made", int(repr(early).split()[1][:-1])) in ground.fired()
        machine = Machine()
        number = int(repr(machine).split()[1][:-1])
        assert machine.check() is None
        ground.family_break(machine, 0xBAD)
        assert machine.check() == "the family is broken"
        machine.close()
        assert ground.fired() == [("made", number), ("closing", number, True), ("closed", number, False)]
        early.close()
    finally:
        ground.family(False)
        ground.fired()


# ---- fork ----

@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_goes_on_while_other_threads_were_inside(ground, machine):
    event = Event(machine, manual=True)
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            handle = ground.handle(machine, 0)
            event.set()
            ground.violate(machine, 1, 1)
            event.reset()
            ground.close(machine, handle)

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                event.set()
                machine.advance(1)
                os._exit(0 if event.wait(0) and ground.handle(machine, 0) else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert machine.check() is None


# ---- declarations ----

def numbers_in(file, prefix):
    text = (PACKAGE.parent / "pybuf" / file).read_text()
    lines = [line.split("#")[0].split(" = ") for line in text.splitlines() if line.startswith(f"    {prefix}")]
    return {line[0].strip().removeprefix(prefix): int(line[1], 0) for line in lines if len(line) == 2}


def test_routines_have_their_numbers():
    assert numbers_in("_machine.pxd", "ROUTINE_") == NUMBERS


def test_statuses_have_their_numbers():
    from pybuf.status import SPACES

    declared = {name: value for name, value in numbers_in("_status.pxd", "").items()
                if not name.startswith("SPACE")}
    members = {name: int(member) for space in SPACES for name, member in space.__members__.items()}
    assert declared == members
