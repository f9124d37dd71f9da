"""NetApi's buffers in Python: what the matrix does not say."""

from __future__ import annotations

import ctypes

import pytest

import pybuf
from pybuf import NetApiBufferAllocate, NetApiBufferFree, NetApiBufferReallocate, NetApiBufferSize, windll


@pytest.fixture
def machine():
    machine = pybuf.Machine()
    with machine:
        yield machine
    assert machine.check() is None
    machine.close()


def allocated(size: int) -> pybuf.Buffer:
    status, buffer = NetApiBufferAllocate(size)
    assert status is pybuf.NetStatus.NERR_Success
    assert buffer is not None
    return buffer


def test_results_of_two_calls_are_two_tuples(machine):
    first, second = NetApiBufferAllocate(10), NetApiBufferAllocate(20)
    assert first[1] is not second[1]
    assert (len(first[1]), len(second[1])) == (10, 20)
    assert [NetApiBufferSize(each[1]) for each in (first, second)] == [(0, 10), (0, 20)]


def test_losing_the_buffer_frees_nothing(machine):
    address = allocated(100).address
    NetApiBufferFree(allocated(1))
    assert [(block.address, block.size, block.routine) for block in machine.live()] == [
        (address, 100, "NetApiBufferAllocate")]
    assert NetApiBufferFree(address) == 0


def test_stale_buffer_stays_stale_when_its_address_is_handed_out_again(machine):
    old = allocated(100)
    address = old.address
    assert NetApiBufferFree(old) == 0
    new = next(new for new in map(allocated, [100] * 2000) if new.address == address)
    assert [NetApiBufferFree(old), NetApiBufferSize(old)[0], NetApiBufferReallocate(old, 10)[0]] == [87, 87, 87]
    assert new.is_live


def test_freed_buffer_refuses_every_access(machine):
    buffer = allocated(100)
    NetApiBufferFree(buffer.address)
    with pytest.raises(ValueError, match="freed"):
        buffer[0]


@pytest.mark.parametrize("call", [NetApiBufferFree, lambda block: NetApiBufferReallocate(block, 10),
                                  lambda block: NetApiBufferReallocate(block, 0)])
@pytest.mark.parametrize("given", [lambda buffer: buffer, lambda buffer: buffer.address])
def test_live_view_refuses(machine, call, given):
    buffer = allocated(100)
    with memoryview(buffer) as view:
        view[0] = 7
        with pytest.raises(BufferError, match="views"):
            call(given(buffer))
        assert buffer[0] == 7
    assert NetApiBufferFree(buffer) == 0


def test_view_defers_the_end_of_a_block_that_ctypes_frees(machine):
    buffer = allocated(100)
    address = buffer.address
    view = memoryview(buffer)
    view[0] = 7
    assert windll.netapi32.NetApiBufferFree(address) == 0
    assert windll.netapi32.NetApiBufferFree(address) == 87
    assert (view[0], buffer.is_live, machine.live()) == (7, False, [])
    view.release()


def test_reallocation_through_ctypes_cannot_move_what_is_viewed(machine):
    buffer = allocated(100)
    moved = ctypes.c_void_p(5)
    with memoryview(buffer):
        assert windll.netapi32.NetApiBufferReallocate(buffer, 100_000, ctypes.byref(moved)) == 87
    assert moved.value == 5
    assert NetApiBufferFree(buffer) == 0


def test_reallocate_gives_another_buffer_and_keeps_the_bytes(machine):
    old = allocated(100)
    old[:] = bytes(range(100))
    status, new = NetApiBufferReallocate(old, 101)
    assert status == 0
    assert new is not old
    assert (old.is_live, len(new), bytes(new[:100])) == (False, 101, bytes(range(100)))
    status, third = NetApiBufferReallocate(new.address, 50)
    assert (new.is_live, bytes(third)) == (False, bytes(range(50)))
    assert [block.size for block in machine.live()] == [50]


def test_refused_reallocation_leaves_the_old_buffer(machine):
    buffer = allocated(100)
    machine.refuse("netapi")
    status, new = NetApiBufferReallocate(buffer, 200)
    assert (status.name, new, buffer.is_live) == ("ERROR_NOT_ENOUGH_MEMORY", None, True)


def test_limit_of_bytes_is_no_memory():
    machine = pybuf.Machine(netapi_bytes=1000)
    with machine:
        buffer = allocated(600)
        assert NetApiBufferAllocate(600) == (8, None)
        assert NetApiBufferFree(buffer) == 0
        assert NetApiBufferAllocate(600)[0] == 0
    machine.close()


def test_wine_answers_success_for_what_is_no_block():
    machine = pybuf.Machine(quirks=pybuf.WINE)
    with machine:
        buffer = allocated(10)
        assert [NetApiBufferFree(each) for each in (buffer, buffer, 16, buffer.address + 1)] == [0] * 4
        assert windll.netapi32.NetApiBufferFree(16) == 0
    machine.close()


def test_numbered_machine_says_which_came_first():
    machine = pybuf.Machine(numbered=True)
    with machine:
        first = allocated(10)
        second = ctypes.c_void_p()
        windll.netapi32.NetApiBufferAllocate(10, ctypes.byref(second))
        _, third = NetApiBufferReallocate(first, 20)
        blocks = {block.address: (block.sequence, block.routine) for block in machine.live()}
        assert blocks == {second.value: (2, "NetApiBufferAllocate"), third.address: (3, "NetApiBufferReallocate")}
    machine.close()


@pytest.mark.parametrize("call", [
    lambda: NetApiBufferAllocate(10), lambda: NetApiBufferFree(16), lambda: NetApiBufferReallocate(None, 10),
    lambda: NetApiBufferSize(16), lambda: windll.netapi32.NetApiBufferFree(16),
])
def test_closed_machine_says_so(call):
    machine = pybuf.Machine()
    with machine:
        allocated(1)
        machine.close()
        with pytest.raises(ValueError, match="closed"):
            call()


@pytest.mark.parametrize(("call", "error"), [
    (lambda: NetApiBufferAllocate("10"), TypeError), (lambda: NetApiBufferAllocate(1.0), TypeError),
    (lambda: NetApiBufferAllocate(None), TypeError), (lambda: NetApiBufferAllocate(1 << 33), OverflowError),
    (lambda: NetApiBufferFree("16"), TypeError), (lambda: NetApiBufferFree(b"16"), TypeError),
    (lambda: NetApiBufferFree(1 << 65), OverflowError), (lambda: NetApiBufferFree(-(1 << 64) - 1), OverflowError),
    (lambda: NetApiBufferReallocate(16, None), TypeError), (lambda: NetApiBufferSize(object()), TypeError),
])
def test_other_types_and_ranges_are_errors_of_python(machine, call, error):
    with pytest.raises(error):
        call()
    assert machine.live() == []


@pytest.mark.parametrize("address", [1, 2**63, -1, 2**64 - 1, 2**64 + 16, -(2**64)])
def test_any_integer_may_be_thrown_at_them(machine, address):
    answer = 0 if address % 2**64 == 0 else 87
    assert [NetApiBufferFree(address), NetApiBufferSize(address)[0], NetApiBufferReallocate(address, 10)[0]] == [
        answer, 87, answer]
    for block in machine.live():
        NetApiBufferFree(block)
