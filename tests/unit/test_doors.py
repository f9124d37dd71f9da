"""The doors say the same: the header and the table, and the form that takes a machine and the one that does not."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import pybuf
from pybuf import _doors
from pybuf.routines import FAMILIES, KINDS, NUMBERS, RESULTS, ROUTINES, parameters_of

HEADER = Path(pybuf.get_include(), "pybuf.h").read_text()


def test_table_is_whole():
    assert len(ROUTINES) == len(NUMBERS) == 52
    for routine in ROUTINES:
        assert routine.family in FAMILIES
        assert routine.result in RESULTS
        assert all(parameter.type in KINDS for parameter in routine.parameters)
        assert set(routine.extra) <= {"hold", "bug", "abi"}
        assert (routine.irql != "") == (routine.family in ("videoport", "hdaudio"))
    assert [routine.name for routine in ROUTINES if not routine.url] == ["NetapipBufferAllocate"]


def prototypes() -> dict[str, tuple[str, str]]:
    """From pybuf.h, by name: what a function answers and its parameters."""
    text = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL).replace("\\\n", " ")
    text = " ".join(text.split())
    table = text.partition("#define PYBUF_ROUTINES(CC, FIRST)")[2].partition("#define")[0]
    found = {name: (result, given) for result, name, given in re.findall(
        r"(\w+) \(CC \*(\w+)\)\(FIRST ([^)]*)\);", table)}
    types = {name.replace("_", ""): (result, given) for result, name, given in re.findall(
        r"typedef (\w+) \(WINAPI \*(\w+)\)\( ?([^)]*)\);", text)}
    for routine in ROUTINES:
        if routine.family == "hdaudio":
            found[routine.name] = types[f"P{routine.name.upper()}"]
        elif routine.family == "ras" and routine.core:
            assert found[routine.name] == types[f"PFN{routine.name.upper()}"]
    found["RasCustomScriptExecute"] = types["RASCUSTOMSCRIPTEXECUTEFN"]
    return found


@pytest.mark.parametrize("routine", ROUTINES, ids=lambda each: each.name)
def test_header_has_the_prototype_of_the_table(routine):
    result, given = prototypes()[routine.name]
    assert result == routine.result
    assert parameters_of(given) == routine.parameters


def test_members_of_the_interfaces_stand_in_the_order_of_the_ddi():
    orders = {name: re.findall(r"\bP\w+ (\w+);", body)[2:] for body, name in re.findall(
        r"typedef struct _HDAUDIO_BUS_INTERFACE\w* \{([^}]*)\} (HDAUDIO_BUS_INTERFACE\w*),", HEADER)}
    base = ["TransferCodecVerbs", "AllocateCaptureDmaEngine", "AllocateRenderDmaEngine", "ChangeBandwidthAllocation",
            "AllocateDmaBuffer", "FreeDmaBuffer", "FreeDmaEngine", "SetDmaEngineState", "GetWallClockRegister",
            "GetLinkPositionRegister", "RegisterEventCallback", "UnregisterEventCallback", "GetDeviceInformation",
            "GetResourceInformation"]
    assert [name for name in orders["HDAUDIO_BUS_INTERFACE"] if "Interface" not in name] == base
    v2 = [name for name in orders["HDAUDIO_BUS_INTERFACE_V2"] if "Interface" not in name]
    assert v2 == [*base, "AllocateDmaBufferWithNotification", "FreeDmaBufferWithNotification",
                  "RegisterNotificationEvent", "UnregisterNotificationEvent"]
    bdl = [name for name in orders["HDAUDIO_BUS_INTERFACE_BDL"] if "Interface" not in name]
    assert bdl == [*base[:4], "AllocateContiguousDmaBuffer", "SetupDmaEngineWithBdl", "FreeContiguousDmaBuffer",
                   *base[6:]]


def test_statuses_of_the_header_are_those_of_python():
    names = re.search(r"#ifdef PYBUF_STATUS_NAMES\n(.*?)#endif", HEADER, re.DOTALL)
    assert names is not None
    defined = dict(re.findall(r"#define (\w+) (\w+)", names[1]))
    assert defined["ERROR_OUT_OF_BUFFERS"] == "614"
    for name, value in defined.items():
        assert getattr(pybuf, name) == int(value, 0), name


def test_every_routine_that_is_there_is_there_for_c_and_ctypes():
    for name in _doors.ROUTINES_OF_C:
        assert {f"{form}{name}" for form in ("now_", "now_ms_")} <= set(_doors.ENTRIES)


def c_pairs():
    """RAS' and NetApi's pair of functions of C on the thread's machine: what 100 bytes answer; and their frees."""
    get, free, allocate, release = (
        ctypes.CFUNCTYPE(ctypes.c_uint32, *kinds)(_doors.ENTRIES[f"now_{name}"]) for name, kinds in (
            ("RasGetBuffer", (ctypes.c_void_p, ctypes.c_void_p)), ("RasFreeBuffer", (ctypes.c_void_p,)),
            ("NetApiBufferAllocate", (ctypes.c_uint32, ctypes.c_void_p)), ("NetApiBufferFree", (ctypes.c_void_p,))))
    block = ctypes.c_void_p()
    size = ctypes.c_uint32(100)
    yield "ras", lambda: (get(ctypes.byref(block), ctypes.byref(size)), block), free, 614
    yield "netapi", lambda: (allocate(100, ctypes.byref(block)), block), release, 8


@pytest.mark.parametrize("number", [0, 1], ids=["RAS", "NetApi"])
def test_quick_functions_give_way_to_a_refusal_and_come_back(number):
    pool, get, free, refused = list(c_pairs())[number]
    machine = pybuf.Machine.current()
    before = len(machine.live())
    for _ in range(3):
        machine.refuse(pool, nth=2)
        statuses = []
        for _ in range(4):
            status, block = get()
            statuses.append(status)
            assert status or free(block) == 0
        assert statuses == [0, refused, 0, 0]
    assert len(machine.live()) == before


def test_quick_functions_give_way_to_a_port():
    _, get, free, _ = next(c_pairs())
    machine = pybuf.Machine.current()
    status, block = get()
    assert status == 0
    address = block.value
    port = machine.ras.open_port()
    event = pybuf.Event(machine)
    assert pybuf.RasReceiveBuffer(port, address, 0xFFFFFFFF, event)[0] == 0
    assert free(address) == 610                     # a receive is outstanding on it
    port.close()
    assert free(address) == 0
    assert free(address) == 610


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not here")
def test_quick_functions_of_the_microsoft_convention_save_no_registers():
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", _doors.__file__], capture_output=True, text=True,
                          check=True).stdout
    saving = {name for name, body in re.findall(r"<\w*_doors_(\w+)>:\n(.*?)\n\n", text, re.DOTALL)
              if re.search(r"movaps\s+%xmm6,", body)}
    quick = {name.removeprefix("slow_") for name in re.findall(r"<\w*_doors_(slow_\w+)>:", text)}
    assert {"now_ms_NetApiBufferAllocate", "with_ms_NetApiBufferFree"} <= quick or not quick
    assert not saving & quick
