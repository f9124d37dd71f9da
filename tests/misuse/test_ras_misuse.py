"""RAS given what it does not expect: a status where one is documented, an exception where not, and nothing lost."""

import pytest

import pybuf
from pybuf import RasFreeBuffer, RasGetBuffer, ras


@pytest.fixture
def machine():
    made = pybuf.Machine(clock="manual", ras_buffers=8)
    with made:
        yield made
    assert made.check() is None
    made.close()


@pytest.mark.parametrize("size", [None, "1500", 1.5, b"", object()])
def test_size_of_another_type(machine, size):
    with pytest.raises(TypeError, match="size"):
        RasGetBuffer(size)


def test_sizes_count_modulo_two_to_the_32nd(machine):
    assert RasGetBuffer(2**32 + 5)[2] == 5
    assert RasGetBuffer(-(2**32))[2] == 0
    assert RasGetBuffer(-1)[2] == 1500
    assert RasGetBuffer(True)[2] == 1
    for size in (2**33, -(2**32) - 1):
        with pytest.raises(OverflowError):
            RasGetBuffer(size)


@pytest.mark.parametrize("buffer", ["", 1.5, b"abc", object()])
def test_buffer_of_another_type(machine, buffer):
    with pytest.raises(TypeError):
        RasFreeBuffer(buffer)


@pytest.mark.parametrize("buffer", [None, 0, -1, 1, 8, 2**63, 2**64, -(2**64)])
def test_any_integer_as_a_buffer(machine, buffer):
    assert RasFreeBuffer(buffer) == 610
    with pytest.raises(OverflowError):
        RasFreeBuffer(2**65)


def test_views_keep_a_buffer(machine):
    _, buffer, _ = RasGetBuffer(10)
    with memoryview(buffer):
        for given in (buffer, buffer.address):
            with pytest.raises(BufferError, match="RasFreeBuffer"):
                RasFreeBuffer(given)
        assert len(machine.live()) == 1
    assert RasFreeBuffer(buffer) == 0


def test_another_machines_buffer(machine):
    other = pybuf.Machine()
    with other:
        _, buffer, _ = RasGetBuffer(10)
    assert RasFreeBuffer(buffer) == RasFreeBuffer(buffer.address) == 610
    assert len(other.live()) == 1
    other.close()
    assert RasFreeBuffer(buffer) == 610


def test_closed_machine():
    machine = pybuf.Machine()
    with machine:
        _, buffer, _ = RasGetBuffer(10)
        machine.close()
        with pytest.raises(ValueError, match="closed"):
            RasGetBuffer(10)
        with pytest.raises(ValueError, match="closed"):
            RasFreeBuffer(buffer)


def test_lost_buffer_is_listed_and_can_be_freed(machine):
    RasGetBuffer(77)
    RasGetBuffer(0)
    lost = [block for block in machine.live() if block.size == 77]
    assert lost[0].routine == "RasGetBuffer"
    assert RasFreeBuffer(lost[0]) == 0


def test_what_a_caller_keeps_of_an_answer_stays_as_it_is(machine):
    first = RasGetBuffer(10)
    second = RasGetBuffer(20)
    assert (len(first[1]), first[2], len(second[1]), second[2]) == (10, 10, 20, 20)


def test_with_statement_frees(machine):
    with ras.buffer(1500) as buffer:
        assert len(buffer) == 1500
        assert len(machine.live()) == 1
    assert machine.live() == []


def test_with_statement_frees_under_views_and_after_a_free(machine):
    with ras.buffer(10) as buffer:
        view = memoryview(buffer)
    assert RasFreeBuffer(buffer) == 610
    view.release()
    assert machine.live() == []
    with ras.buffer(10) as buffer:
        RasFreeBuffer(buffer)
        RasGetBuffer(10)
    assert len(machine.live()) == 1


def test_with_statement_raises_what_failed(machine):
    machine.refuse("ras")
    with pytest.raises(pybuf.RasError, match="ERROR_OUT_OF_BUFFERS") as caught, ras.buffer(10):
        pass
    assert (caught.value.status, caught.value.routine) == (614, "RasGetBuffer")


def test_numbered_machine_numbers_its_buffers():
    machine = pybuf.Machine(numbered=True)
    with machine:
        for size in (10, 20):
            RasGetBuffer(size)
        assert {block.size: block.sequence for block in machine.live()} == {10: 1, 20: 2}
    machine.close()
