"""Machines, statuses and bug checks as Python sees them."""

from __future__ import annotations

import gc
import os
import pickle
import select
import threading
import weakref
from fractions import Fraction

import pytest

import pybuf
from pybuf import BugCheck, Caller, Event, Guest, Machine, NetStatus, NtStatus, RasStatus, VpStatus
from pybuf.errors import PybufError
from pybuf.status import SPACES

SPACE = pybuf.AddressSpace(1 << 20, 1 << 24)


def nothing(*_):
    """A callback."""


# ---- names ----

def test_every_public_name_can_be_had_and_says_what_it_is():
    for name in pybuf.__all__:
        value = getattr(pybuf, name)
        if isinstance(value, type):
            assert value.__doc__, name
            for part, member in vars(value).items():
                if not part.startswith("_") and (callable(member) or isinstance(member, property)):
                    assert member.__doc__, f"{name}.{part}"
    assert set(pybuf.__all__) <= set(dir(pybuf))


@pytest.mark.parametrize("name", ["Nothing", "nothing", "ERROR_NOTHING", "Status_"])
def test_other_names_are_none(name):
    with pytest.raises(AttributeError, match=name):
        getattr(pybuf, name)


# ---- statuses ----

def test_every_status_can_be_had_by_its_name():
    for space in SPACES:
        for name, member in space.__members__.items():
            assert getattr(pybuf, name) == member


@pytest.mark.parametrize("space", SPACES)
def test_a_status_prints_its_name_and_formats_as_name_or_number(space):
    for member in space:
        assert str(member) == f"{member}" == member.name
        assert f"{member:>60}".strip() == f"{member:s}" == member.name
        assert f"{member:#x}" == hex(int(member))
        assert f"{member:d}" == str(int(member))
        assert member == int(member)
        assert member.meaning.endswith(".")
        assert member.header
        assert space(int(member)) is member
        assert pickle.loads(pickle.dumps(member)) is member


def test_spaces_overlap_and_do_not_mix():
    assert RasStatus(87).name == NetStatus(87).name == VpStatus(87).name == "ERROR_INVALID_PARAMETER"
    assert RasStatus.ERROR_SUCCESS is RasStatus.SUCCESS
    with pytest.raises(ValueError, match="2114"):
        RasStatus(2114)


def test_nt_success_is_about_ntstatus_alone():
    assert pybuf.NT_SUCCESS(NtStatus.STATUS_SUCCESS)
    assert pybuf.NT_SUCCESS(NtStatus.STATUS_PENDING)
    assert not pybuf.NT_SUCCESS(NtStatus.STATUS_UNSUCCESSFUL)
    assert not pybuf.NT_SUCCESS(-1073741823)
    assert pybuf.NT_SUCCESS(0)
    for status in (VpStatus.ERROR_NOT_ENOUGH_MEMORY, RasStatus.ERROR_BUFFER_INVALID, NetStatus.NERR_Success):
        with pytest.raises(TypeError, match=status.name):
            pybuf.NT_SUCCESS(status)


# ---- errors ----

def test_an_error_says_what_answered_and_what_it_means():
    error = pybuf.RasError("RasFreeBuffer", RasStatus.ERROR_BUFFER_INVALID, "Free it once.")
    assert str(error) == "RasFreeBuffer: ERROR_BUFFER_INVALID (610): The buffer is not valid. Free it once."
    assert (error.status, error.routine, error.meaning) == (610, "RasFreeBuffer", "The buffer is not valid.")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.status, again.routine) == (str(error), 610, "RasFreeBuffer")
    assert str(pybuf.HdAudioError("FreeDmaBuffer", NtStatus.STATUS_INVALID_HANDLE)).startswith(
        "FreeDmaBuffer: STATUS_INVALID_HANDLE (0xc0000008)")
    assert str(pybuf.NetApiError("NetServerEnum", 99999)) == "NetServerEnum: status (0x1869f)"
    for kind in (pybuf.RasError, pybuf.NetApiError, pybuf.VideoPortError, pybuf.HdAudioError):
        assert issubclass(kind, PybufError)
    assert not issubclass(BugCheck, PybufError)


@pytest.mark.parametrize(("code", "first"), [
    (0xC2, 0x00), (0xC2, 0x07), (0xC2, 0x08), (0xC2, 0x09), (0xC2, 0x42), (0xC2, 0x46), (0xC2, 0x99), (0xC2, 0x9A),
    (0xC2, 0x9B), (0xC2, 0x9C), (0xC2, 0x9D), (0xC4, 0x00), (0xC4, 0x01), (0xC4, 0x02), (0xC4, 0x10), (0xC4, 0x11),
    (0xC4, 0x12), (0xC4, 0x13), (0xC4, 0x30), (0xC4, 0x51), (0xC4, 0x60), (0xC1, 0x123450), (0xC6, 0x123450),
    (0xCD, 0x123450)])
def test_a_bug_check_reads_as_an_analysis(code, first):
    bug = BugCheck(code, (first, 2, 3, 4))
    lines = str(bug).splitlines()
    assert lines[0] == f"{bug.code.name} ({code:x})"
    assert lines[2].startswith(("A driver", "Memory", "IRQL"))
    assert lines[3] == "Arguments:"
    assert [line.split(",")[0] for line in lines[4:]] == [
        f"Arg{i}: {value:016x}" for i, value in enumerate((first, 2, 3, 4), start=1)]
    assert "parameter" not in str(bug)
    again = pickle.loads(pickle.dumps(bug))
    assert (again.code, again.parameters, str(again)) == (bug.code, bug.parameters, str(bug))


def test_a_bug_check_without_an_explanation_prints_all_the_same():
    assert "Arg4: 0000000000000004, parameter 4" in str(BugCheck(0x50, (1, 2, 3, 4)))


# ---- machines ----

def test_with_switches_and_never_closes():
    machine = Machine()
    with machine as entered:
        assert entered is machine
        assert Machine.current() is machine
    assert not machine.is_closed
    with pytest.raises(LookupError), machine:
        raise LookupError
    assert Machine.current() is not machine
    machine.close()
    machine.close()
    assert machine.is_closed
    assert repr(machine).endswith(", closed>")


@pytest.mark.parametrize("name", ["ras_buffers", "ras_bytes", "netapi_bytes", "video_bytes", "audio_bytes"])
def test_a_limit_that_is_none_is_refused_by_its_name_when_the_machine_is_made(name):
    with pytest.raises(ValueError, match=f"{name} is -1"):
        Machine(**{name: -1})
    with pytest.raises(TypeError, match=f"{name} is an int or None, not str"):
        Machine(**{name: "many"})


def test_a_device_has_no_negative_allowance():
    with pytest.raises(ValueError, match="allowance_bytes is -1"):
        Machine().video_device(allowance_bytes=-1)


def test_leaving_what_was_not_entered_is_refused():
    machine = Machine()
    thread_error = []

    def leave():
        try:
            machine.__exit__(None, None, None)
        except RuntimeError as error:
            thread_error.append(error)

    with machine:
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
    assert len(thread_error) == 1
    machine.close()


def test_the_default_machine_stays():
    default = Machine.current()
    with pytest.raises(ValueError, match="default machine cannot be closed"):
        default.close()
    assert Machine.current() is default
    assert repr(default) == "<Machine 0>"


@pytest.mark.parametrize("call", [
    lambda machine: machine.live(), lambda machine: machine.check(), lambda machine: machine.bug_checks,
    lambda machine: machine.violations, lambda machine: machine.advance(1), lambda machine: machine.irql(1),
    lambda machine: machine.set_irql(0), lambda machine: machine.refuse("ras"), lambda machine: machine.__enter__(),
    lambda machine: machine.physical_address(1), lambda machine: machine.buffer_at(1), lambda machine: machine.ticks,
    lambda machine: Event(machine)])
def test_a_closed_machine_says_so(call):
    machine = Machine(clock="manual")
    machine.close()
    with pytest.raises(ValueError, match="the machine is closed"):
        call(machine)


def test_a_dropped_machine_is_closed():
    machine = Machine()
    event = Event(machine)
    gone = weakref.ref(machine)
    del machine
    assert gone() is not None       # its event keeps it
    del event
    gc.collect()
    assert gone() is None


def test_a_machine_is_made_once_and_never_copied():
    machine = Machine()
    with pytest.raises(RuntimeError, match="__init__ runs once"):
        machine.__init__()
    with pytest.raises(TypeError, match="cannot be copied"):
        pickle.dumps(machine)
    with pytest.raises(ValueError, match="never made"):
        Machine.__new__(Machine).live()
    machine.close()


@pytest.mark.parametrize(("arguments", "error", "words"), [
    ({"memory": 5}, TypeError, "memory is a Guest or None, not int"),
    ({"clock": "sun"}, ValueError, "clock is 'sun'; it is 'real' or 'manual'"),
    ({"quirks": {"ras_size": "clamp"}}, ValueError, "'ras_size' is no setting"),
    ({"quirks": {"ras_send": "all"}}, ValueError, "ras_send is 'all'; it is 'pool' or 'any'"),
    ({"events": object()}, TypeError, "has no is_valid"),
])
def test_bad_arguments_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        Machine(**arguments)


def test_quirks_are_taken_by_text_or_number():
    for quirks in (pybuf.WINE, {"ras_free_pending": 616}, {"ras_free_pending": "610"}):
        Machine(quirks=quirks).close()


@pytest.mark.parametrize(("arguments", "words"), [
    ({"space": 5}, "space is an AddressSpace"), ({"on_write": None}, "on_write is a function"),
    ({"on_read": 5}, "on_read is a function"), ({"pointer_bytes": 2}, "it is 4 or 8"),
    ({"wchar_bytes": 1}, "it is 2 or 4"),
    ({"space": pybuf.AddressSpace(4096, 8 << 16)}, "has 7 slabs of 64 KiB; a machine needs 8"),
    ({"space": pybuf.AddressSpace(1 << 32, 1 << 24), "pointer_bytes": 4}, "does not end below")])
def test_a_guest_that_cannot_be(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        Guest(**{"space": SPACE, "on_write": nothing, **arguments})


def test_callers_are_callers():
    machine = Machine()
    assert machine.caller == Caller() == ("Administrator", ("Administrators",), True)
    machine.caller = Caller("guest", (), interactive=False)
    assert machine.caller.name == "guest"
    with pytest.raises(TypeError, match="caller is a Caller, not str"):
        machine.caller = "guest"
    machine.close()


def test_physical_addresses_are_shifted():
    machine = Machine()
    assert machine.physical_address(0x1000) == 0x1000
    machine.physical_offset = -0x1000
    assert machine.physical_address(0x1000) == 0
    assert machine.physical_offset == (1 << 64) - 0x1000
    machine.close()


@pytest.mark.parametrize(("arguments", "error"), [(("stack",), ValueError), (("ras", 0), ValueError),
                                                  (("ras", "first"), TypeError)])
def test_refusals_that_cannot_be(arguments, error):
    with pytest.raises(error):
        Machine.current().refuse(*arguments)


def test_a_buffer_is_for_a_live_block_alone():
    machine = Machine()
    for address in (0, 1, 1 << 63):
        with pytest.raises(ValueError, match="no live block of this machine"):
            machine.buffer_at(address)
    machine.close()


# ---- IRQL ----

def test_irql_only_rises_and_is_restored():
    machine = Machine()
    with machine.irql(2), pytest.raises(ValueError, match="below this thread's IRQL, 2"), machine.irql(1):
        pass
    with machine.irql(1) as entered:
        assert entered is machine
    assert machine.set_irql(0) == 0
    machine.close()


def test_the_verifier_stops_where_irql_is_lowered():
    machine = Machine(verifier=True)
    with machine.irql(2):
        with pytest.raises(BugCheck) as caught, machine.irql(1):
            pass
        assert caught.value.parameters == (0x30, 2, 1, 0)
        assert [bug.code for bug in machine.bug_checks] == [0xC4]
    machine.close()


def test_irql_is_left_by_its_thread_and_in_order():
    machine = Machine()
    outer, inner = machine.irql(1), machine.irql(2)
    outer.__enter__()
    with pytest.raises(RuntimeError, match="entered already"):
        outer.__enter__()
    errors = []

    def leave():
        try:
            outer.__exit__(None, None, None)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    inner.__enter__()
    with pytest.raises(RuntimeError, match="the last one first"):
        outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    outer.__exit__(None, None, None)
    assert len(errors) == 1
    assert machine.set_irql(0) == 0
    machine.close()


@pytest.mark.parametrize(("irql", "error"), [(-1, ValueError), (32, ValueError), ("2", TypeError), (1.0, TypeError)])
def test_levels_that_are_none(irql, error):
    with pytest.raises(error, match="irql is"):
        Machine.current().irql(irql)
    with pytest.raises(error, match="irql is"):
        Machine.current().set_irql(irql)


# ---- events ----

@pytest.fixture
def machine():
    machine = Machine(clock="manual")
    yield machine
    assert machine.check() is None
    machine.close()


def readable(event):
    return bool(select.select([event], [], [], 0)[0])


@pytest.mark.parametrize("manual", [False, True])
def test_an_event_is_set_waited_for_and_selected(machine, manual):
    event = Event(machine, manual)
    assert not event.is_set()
    assert not event.wait(0)
    assert not readable(event)
    event.set()
    event.set()
    assert event.is_set()
    assert readable(event)
    assert event.wait()
    assert event.is_set() == readable(event) == manual
    event.reset()
    assert not readable(event)
    assert not event.wait(0.001)


def test_a_set_event_is_readable_from_the_first_question(machine):
    event = Event(machine, manual=True)
    event.set()
    assert readable(event)


def test_an_event_ends_a_wait_in_another_thread(machine):
    event = Event(machine)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(event.wait(30)))
    thread.start()
    event.set()
    thread.join()
    assert seen == [True]
    assert not event.is_set()


def test_a_closed_event_says_so(machine):
    event = Event(machine)
    handle = event.handle
    event.close()
    event.close()
    for call in (event.set, event.reset, event.is_set, event.wait, event.fileno):
        with pytest.raises(ValueError, match="the event is closed"):
            call()
    other = Event(machine)
    assert other.handle != handle
    assert not other.is_set()


@pytest.mark.parametrize("end", [lambda machine, event: event.close(), lambda machine, event: machine.close()])
def test_the_descriptor_of_an_event_ends_with_it(end):
    machine = Machine()
    event = Event(machine)
    descriptor = event.fileno()
    assert os.fstat(descriptor)
    end(machine, event)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)
    machine.close()


def test_no_event_is_waited_for_as_long_as_nan(machine):
    with pytest.raises(ValueError, match="timeout is NaN"):
        Event(machine).wait(float("nan"))


def test_an_event_is_of_the_current_machine(machine):
    with machine:
        event = Event()
    assert machine.check() is None
    with pytest.raises(TypeError, match="machine is a Machine or None"):
        Event(5)
    event.close()


# ---- time ----

def test_time_passes_exactly(machine):
    for _ in range(3):
        machine.advance(Fraction(1, 3))
    assert machine.ticks == 24_000_000
    machine.advance(0)
    machine.advance(1 << 30)
    assert machine.ticks == 24_000_000 * ((1 << 30) + 1)
