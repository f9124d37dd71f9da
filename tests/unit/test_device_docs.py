"""What the routines of VideoPort and HD Audio say of themselves, in the order of the Windows pages."""

import inspect
import re
import textwrap
from fractions import Fraction

import pytest

import pybuf
from pybuf import hdaudio, videoport
from pybuf.routines import ROUTINES

DEVICES = [routine for routine in ROUTINES if routine.family in ("videoport", "hdaudio")]
INTERFACES = (pybuf.HDAUDIO_BUS_INTERFACE_V2, pybuf.HDAUDIO_BUS_INTERFACE_BDL)


def function_of(routine):
    """What Python calls a routine by."""
    if routine.family == "videoport":
        return getattr(pybuf, routine.name)
    return next(getattr(kind, routine.name) for kind in INTERFACES if hasattr(kind, routine.name))


@pytest.mark.parametrize("routine", DEVICES, ids=lambda routine: routine.name)
def test_a_routine_says_what_its_page_says_in_that_order(routine):
    text = inspect.getdoc(function_of(routine))
    has_parameters = len(routine.parameters) > 1 and routine.name not in ("GetWallClockRegister",
                                                                         "GetResourceInformation")
    parts = ["Parameters\n---"] * has_parameters + ["Notes\n---", "IRQL:", f"Source: {routine.header},", "https://"]
    places = [text.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)
    assert "Returns\n---" in text or routine.result == "VOID"
    assert routine.irql.removeprefix("<= ") in text
    # The address is too long for a line when the page's name is.
    assert routine.page in text


@pytest.mark.parametrize("routine", [each for each in DEVICES if each.result == "NTSTATUS"], ids=lambda each: each.name)
def test_a_routine_names_the_statuses_that_it_answers(routine):
    text = inspect.getdoc(function_of(routine))
    assert "STATUS_SUCCESS" in text or "As AllocateDmaBuffer" in text or "As FreeDmaBuffer" in text
    assert "STATUS_NO_SUCH_DEVICE" in text or "s AllocateDmaBuffer" in text or "As FreeDmaBuffer" in text


@pytest.mark.parametrize("module", [hdaudio, videoport])
def test_every_public_name_says_what_it_is(module):
    for name in module.__all__:
        value = getattr(module, name)
        assert value.__doc__, name
        for part, member in vars(value).items() if isinstance(value, type) else ():
            if not part.startswith("_") and (callable(member) or isinstance(member, property)):
                assert member.__doc__, f"{name}.{part}"


@pytest.mark.parametrize("module", [hdaudio, videoport])
def test_the_examples_of_a_module_run(module, capsys):
    with pybuf.Machine(clock="manual") as machine:
        names = {**vars(pybuf), **vars(module), "machine": machine, "videoport": videoport, "samples": bytes(3840),
                 "Fraction": Fraction, "HDAUDIO_STREAM_FORMAT": pybuf.HDAUDIO_STREAM_FORMAT}
        blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", module.__doc__)
        assert blocks
        for block in blocks:
            exec(textwrap.dedent(block), names)
    assert machine.check() is None
    machine.close()
