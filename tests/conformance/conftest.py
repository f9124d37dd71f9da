"""The conformance matrix: every row of conformance.csv through every door that it names.

A row has the routine, the status and its value, when it is answered, on what that rests (D documented, H from a header,
T asserted by a test of Wine's, S from an SDK sample, I seen in an implementation, R a reading where the documents are
silent), its doors (p Python, c ctypes, C, or script) and what the machine is made with.

A row is shown by a scenario, written once for all doors, in the file of its family: ras.py, netapi.py, videoport.py,
hdaudio.py. A file is found by its name; nothing else is to be edited. A scenario gets a World (conformance.py), makes
its calls with the C parameters without the pure outputs, addresses as ints, and returns the answer that the row is
about. The harness compares it with the row: value, name and enum of the status, bug check and its first parameters. It
also runs `machine.check()`, and looks that only `live` blocks are left. NULL and what was not written are None.

    @row(13)
    def second_free(world):                                     # RAS, the machine's own session
        _, block, _ = world.RasGetBuffer(1500)
        world.RasFreeBuffer(block)
        return world.RasFreeBuffer(block)

    @row(6, ras_buffers=2)                                      # what the machine is made with, beside the row's own
    ...  world.on(session).RasFreeBuffer(block)                 # RAS, the pointers of a session

    @row(52)                                                    # run_script; world.door.form is "library" or "callable"
    def script_is_done(world):
        return (pybuf.ras.run_script(...).status,)

    @row(56)                                                    # NetApi; NULL for an out-pointer (not in Python)
    def null_for_no_bytes(world):
        return world.NetApiBufferAllocate(0, missing="Buffer")

    needs("NetServerEnum", 67, 68)                              # rows expected only once that routine is there, too

    @row(162, live=1)                                           # VideoPort: the answer has .bug, a BugCheck or None
    def interior_pointer(world):
        device = world.machine.video_device()
        _, block = world.VideoPortAllocateBuffer(device, 4096)
        return world.VideoPortReleaseBuffer(device, block + 16)

    @row(217)
    def no_bytes(world):                                        # HD Audio: the methods of an interface
        bus = world.machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE)
        _, handle, _ = world.on(bus).AllocateRenderDmaEngine(FORMAT, False)
        return world.on(bus).AllocateDmaBuffer(handle, 0)

HD Audio's arrays and structures: SetDmaEngineState takes a list of handles or None; TransferCodecVerbs, through ctypes
and C, an array of ctypes structures; formats are pybuf.HDAUDIO_STREAM_FORMAT; what GetDeviceInformation fills is not in
the answer of C. A function that C is to call is one of ctypes.

Test ids are `row-routine-door`. Besides python, ctypes and C, which the matrix counts, every scenario runs with plain
addresses in Python, through C's form without a machine, in the Microsoft convention, and on machines in a guest's
address space. Rows whose routine is not there are not collected; the last test compares what ran with the matrix.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import conformance

conformance.load_scenarios()

RAN: set[str] = set()
OTHERWISE: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "test_row[" not in report.nodeid:
        return
    name = report.nodeid.partition("[")[2].rstrip("]")
    if report.skipped or hasattr(report, "wasxfail"):
        OTHERWISE.add(name)
    elif report.when == "call" and report.passed:
        RAN.add(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.name == "test_the_set_that_ran_is_the_matrix")


@pytest.fixture
def ran(request: pytest.FixtureRequest) -> tuple[set[str], set[str], set[str]]:
    """What was collected, what passed, and what was skipped or expected to fail."""
    collected = {item.name.partition("[")[2].rstrip("]") for item in request.session.items if "test_row[" in item.name}
    return collected, RAN, OTHERWISE
