"""Machine code in an emulator lists servers and frees what it was given, through import stubs."""

import runpy
from pathlib import Path

import pytest

from pybuf import NetStatus, Network, Server

EXAMPLE = runpy.run_path(str(Path(__file__).with_name("guest.py")))


@pytest.fixture
def emulator():
    servers = [Server("ONE", "first"), Server("ZWEI"), Server("\u0398\u03a1\u0399\u0391")]
    made = EXAMPLE["Emulator"](Network(servers=servers))
    yield made
    assert made.machine.check() is None
    made.machine.close()
    assert all(base < made.machine.memory.space.base for base, *_ in made.uc.mem_regions())


def test_program_reads_the_names_frees_all_and_is_told_of_the_second_free(emulator):
    assert emulator.run() == NetStatus.ERROR_INVALID_PARAMETER == 87
    assert emulator.printed == ["ONE ZWEI \u0398\u03a1\u0399\u0391 "]
    assert emulator.machine.live() == []


def test_program_gets_a_null_list_when_no_server_matches(emulator):
    emulator.machine.network = Network(servers=[])
    assert emulator.run() == 87
    assert emulator.printed == [""]
    assert emulator.machine.live() == []


def test_what_the_program_leaves_is_named(emulator):
    emulator.machine.services = ()
    assert emulator.run() == NetStatus.NERR_WkstaNotStarted
    assert [(block.routine, block.size) for block in emulator.machine.live()] == [("NetApiBufferAllocate", 256)]


def test_program_is_told_that_there_is_no_memory(emulator):
    emulator.machine.refuse("netapi")
    assert emulator.run() == NetStatus.ERROR_NOT_ENOUGH_MEMORY
    assert emulator.machine.live() == []
    assert emulator.printed == []
