"""The sentences of the page of RasGetBuffer that can be checked, in their order."""

import ctypes

import pytest

import pybuf
import pybuf.ras
from pybuf import windll


@pytest.fixture
def machine():
    made = pybuf.Machine(clock="manual", ras_buffers=2)
    with made:
        yield made
    made.close()


def called(size):
    """RasGetBuffer through its function pointer: status, ppBuffer, pdwSize."""
    block, count = ctypes.c_void_p(0xA5A5), ctypes.c_uint32(size)
    status = windll.pointers.RasGetBuffer(ctypes.byref(block), ctypes.byref(count))
    return status, block.value, count.value


def test_pp_buffer_receives_the_address_of_the_returned_buffer(machine):
    status, block, _ = called(1500)
    assert status == 0
    assert [each.address for each in machine.live()] == [block]
    assert machine.buffer_at(block).address == block


def test_pdw_size_is_the_requested_size_on_input(machine):
    called(100)
    assert [block.size for block in machine.live()] == [100]


def test_pdw_size_is_the_actual_size_on_output(machine):
    assert called(100)[2] == 100
    assert called(5000)[2] == 1500


def test_the_return_value_of_success_is_error_success(machine):
    status, _, _ = pybuf.RasGetBuffer(1500)
    assert status is pybuf.RasStatus.ERROR_SUCCESS
    assert status == 0


def test_error_out_of_buffers_when_ras_cannot_allocate_any_more(machine):
    for _ in range(2):
        assert pybuf.RasGetBuffer(1500)[0] == 0
    assert pybuf.RasGetBuffer(1500) == (pybuf.RasStatus.ERROR_OUT_OF_BUFFERS, None, 1500)
    assert called(1500) == (614, None, 1500)


def test_the_maximum_buffer_size_is_1500_bytes(machine):
    _, buffer, size = pybuf.RasGetBuffer(1501)
    assert (len(buffer), size) == (1500, 1500)


def test_it_is_called_through_a_function_pointer(machine):
    address = ctypes.cast(windll.pointers.RasGetBuffer, ctypes.c_void_p).value
    function = ctypes.PYFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p)(address)
    block, count = ctypes.c_void_p(), ctypes.c_uint32(7)
    assert function(ctypes.addressof(block), ctypes.addressof(count)) == 0
    assert [each.size for each in machine.live()] == [7]


def test_it_allocates_memory_for_sending_or_receiving(machine):
    port = machine.ras.open_port()
    _, buffer, _ = pybuf.RasGetBuffer(5)
    buffer[:] = b"hello"
    assert pybuf.RasSendBuffer(port, buffer, 5) == 0
    assert pybuf.RasReceiveBuffer(port, buffer, 0, pybuf.Event())[0] == 0
    port.transport.peer.send(b"HELLO")
    assert pybuf.RasRetrieveBuffer(port, buffer) == (0, 5)
    assert (port.transport.peer.received, bytes(buffer)) == (b"hello", b"HELLO")


def test_the_function_pointer_is_a_parameter_of_ras_custom_script_execute(machine):
    result = pybuf.ras.run_script(lambda *parameters: parameters[3](1500)[0])
    assert result.status == 0
    assert [block.size for block in result.unfreed] == [1500]
