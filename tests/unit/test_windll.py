"""The ctypes door: libraries and functions as scripts for Windows have them."""

from __future__ import annotations

import ctypes
import ctypes.wintypes

import pytest

import pybuf
from pybuf import windll


@pytest.fixture
def machine():
    machine = pybuf.Machine()
    with machine:
        yield machine
    assert machine.check() is None
    machine.close()


@pytest.mark.parametrize("name", ["netapi32", "NETAPI32", "Netapi32.dll", "C:\\Windows\\System32\\netapi32.DLL"])
def test_library_has_many_spellings(name):
    assert windll.loader[name] is windll.netapi32


def test_functions_are_made_once_for_a_library():
    assert windll.netapi32.NetApiBufferFree is windll.netapi32.NetApiBufferFree
    assert windll.WinDLL("netapi32").NetApiBufferFree is not windll.netapi32.NetApiBufferFree
    assert windll.netapi32["NetApiBufferFree"] is not windll.netapi32.NetApiBufferFree


def test_what_is_not_there_is_said():
    with pytest.raises(FileNotFoundError, match="netapi32"):
        windll.loader["advapi32"]
    with pytest.raises(AttributeError, match="NetNothing"):
        _ = windll.netapi32.NetNothing
    with pytest.raises(AttributeError):
        _ = windll.advapi32


def test_plain_integer_for_a_pointer_has_64_bits(machine):
    block = ctypes.c_void_p()
    assert windll.netapi32.NetApiBufferAllocate(1024, ctypes.byref(block)) == 0
    assert block.value > 1 << 32
    assert windll.netapi32.NetApiBufferFree(block.value) == 0
    assert windll.netapi32.NetApiBufferFree(block.value) == 87


@pytest.mark.parametrize("given", [
    lambda block: block, lambda block: block.value, lambda block: ctypes.cast(block, ctypes.POINTER(ctypes.c_byte)),
    lambda block: ctypes.c_uint64(block.value), lambda block: (ctypes.c_byte * 1).from_address(block.value),
    lambda block: ctypes.cast(block, ctypes.c_char_p), lambda block: block.value - (1 << 64),
])
def test_a_pointer_may_be_said_in_many_ways(machine, given):
    block = ctypes.c_void_p()
    windll.netapi32.NetApiBufferAllocate(8, ctypes.byref(block))
    assert windll.netapi32.NetApiBufferFree(given(block)) == 0
    assert machine.live() == []


def test_buffers_and_blocks_of_python_are_pointers(machine):
    _, buffer = pybuf.NetApiBufferAllocate(10)
    assert windll.netapi32.NetApiBufferFree(buffer) == 0
    _, other = pybuf.NetApiBufferAllocate(10)
    assert windll.netapi32.NetApiBufferFree(buffer) == 87
    assert windll.netapi32.NetApiBufferFree(machine.live()[0]) == 0
    assert not other.is_live


def test_four_bytes_are_written_to_a_dword_of_any_size(machine):
    _, buffer = pybuf.NetApiBufferAllocate(1000)
    for kind in (ctypes.c_uint32, ctypes.c_ulong, ctypes.c_int):
        size = kind()
        assert windll.netapi32.NetApiBufferSize(buffer, ctypes.byref(size)) == 0
        assert size.value == 1000
    pair = (ctypes.c_uint32 * 2)(0, 7)
    assert windll.netapi32.NetApiBufferSize(buffer, pair) == 0
    assert list(pair) == [1000, 7]
    pybuf.NetApiBufferFree(buffer)


def test_memory_that_is_too_small_is_refused(machine):
    with pytest.raises(ctypes.ArgumentError, match="8 bytes"):
        windll.netapi32.NetApiBufferAllocate(10, ctypes.byref(ctypes.c_uint32()))
    with pytest.raises(ctypes.ArgumentError, match="byref"):
        windll.netapi32.NetApiBufferAllocate(10, 0x1000)
    assert machine.live() == []


@pytest.mark.parametrize(("count", "size"), [
    (-(1 << 32) + 5, 5), ((1 << 32) + 5, 5), (ctypes.c_ulong(5), 5), (True, 1),
])
def test_numbers_count_modulo_32_bits(machine, count, size):
    block = ctypes.c_void_p()
    assert windll.netapi32.NetApiBufferAllocate(count, ctypes.byref(block)) == 0
    assert [each.size for each in machine.live()] == [size]
    windll.netapi32.NetApiBufferFree(block)


@pytest.mark.parametrize("count", [1 << 33, -(1 << 32) - 1, 1.5, "5", None])
def test_what_is_no_number_is_refused(machine, count):
    with pytest.raises(ctypes.ArgumentError):
        windll.netapi32.NetApiBufferAllocate(count, ctypes.byref(ctypes.c_void_p()))


def test_types_and_error_checks_can_be_set(machine):
    free = windll.WinDLL("netapi32").NetApiBufferFree
    free.argtypes, free.restype = (ctypes.c_void_p,), ctypes.c_long
    free.errcheck = lambda result, function, arguments: (result, arguments)
    assert free(16) == (87, (16,))


def test_last_error_is_the_threads_own():
    windll.kernel32.SetLastError(1234)
    assert windll.kernel32.GetLastError() == windll.GetLastError() == 1234
    assert windll.netapi32.NetApiBufferFree(16) == 87
    assert windll.GetLastError() == 1234


def test_events_of_kernel32(machine):
    event = windll.kernel32.CreateEventW(None, False, False, None)
    assert windll.kernel32.WaitForSingleObject(event, 0) == 258
    assert windll.kernel32.SetEvent(event) == 1
    assert windll.kernel32.WaitForSingleObject(event, 0) == 0
    assert windll.kernel32.CloseHandle(event) == 1
    assert windll.kernel32.SetEvent(event) == 0


def test_install_puts_windows_into_ctypes_and_takes_it_out():
    before = dict(vars(ctypes)), dict(vars(ctypes.wintypes))
    with windll.install() as installed:
        assert windll.install() is installed
        assert ctypes.windll.netapi32 is windll.netapi32
        assert ctypes.WinDLL("netapi32").NetApiBufferFree(None) == 0
        assert ctypes.sizeof(ctypes.wintypes.DWORD) == 4
        assert ctypes.FormatError(87) == pybuf.NetStatus(87).meaning
        assert ctypes.WinError(5).errno == 5
        size = ctypes.wintypes.DWORD()
        assert ctypes.windll.netapi32.NetApiBufferSize(None, ctypes.byref(size)) == 87
    assert (vars(ctypes), vars(ctypes.wintypes)) == before
    installed.uninstall()
