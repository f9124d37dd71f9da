"""The sentences of the page of RasFreeBuffer that can be checked, in their order."""

import ctypes

import pytest

import pybuf
import pybuf.ras
from pybuf import windll


@pytest.fixture
def machine():
    made = pybuf.Machine(clock="manual", ras_buffers=1)
    with made:
        yield made
    made.close()


def test_it_releases_what_ras_get_buffer_allocated(machine):
    _, buffer, _ = pybuf.RasGetBuffer(1500)
    pybuf.RasFreeBuffer(buffer)
    assert not buffer.is_live
    assert machine.live() == []
    assert pybuf.RasGetBuffer(1500)[0] == 0


@pytest.mark.parametrize("obtain", [
    lambda: 0x10000,
    lambda: ctypes.addressof(ctypes.create_string_buffer(10)),
    lambda: pybuf.NetApiBufferAllocate(10)[1],
    lambda: pybuf.RasGetBuffer(10)[1].address + 1,
])
def test_the_memory_must_have_been_obtained_by_ras_get_buffer(machine, obtain):
    given = obtain()
    live = len(machine.live())
    assert pybuf.RasFreeBuffer(given) == pybuf.RasStatus.ERROR_BUFFER_INVALID
    assert len(machine.live()) == live


def test_the_return_value_of_success_is_error_success(machine):
    assert pybuf.RasFreeBuffer(pybuf.RasGetBuffer(1500)[1]) is pybuf.RasStatus.ERROR_SUCCESS


def test_error_buffer_invalid_when_the_pointer_is_invalid(machine):
    for pointer in (None, 1, 2**64 - 1):
        assert pybuf.RasFreeBuffer(pointer) is pybuf.RasStatus.ERROR_BUFFER_INVALID


def test_it_is_called_through_a_function_pointer(machine):
    _, buffer, _ = pybuf.RasGetBuffer(1500)
    address = ctypes.cast(windll.pointers.RasFreeBuffer, ctypes.c_void_p).value
    function = ctypes.PYFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p)(address)
    assert function(buffer.address) == 0
    assert machine.live() == []


def test_error_invalid_port_handle_when_the_session_has_ended(machine):
    session = machine.ras.open_session(machine.ras.open_port())
    _, buffer, _ = session.RasGetBuffer(1500)
    session.end()
    assert session.RasFreeBuffer(buffer) is pybuf.RasStatus.ERROR_INVALID_PORT_HANDLE


def test_the_function_pointer_is_a_parameter_of_ras_custom_script_execute(machine):
    result = pybuf.ras.run_script(lambda *parameters: parameters[4](parameters[3](1500)[1]))
    assert (result.status, result.unfreed) == (0, [])
