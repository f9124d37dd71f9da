"""VideoPort and HD Audio from C, C++ and Cython, through what is installed: what a driver does with them."""

from __future__ import annotations

import platform
import sysconfig
import threading
from fractions import Fraction

import pytest

import pybuf

from .conftest import HERE, STRICT, build_cython, compile_shared, load

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
CONVENTIONS = {"platform": (), "C++": ("-x", "c++", "-std=c++17")}
if platform.machine() in ("x86_64", "AMD64"):
    CONVENTIONS["Microsoft"] = ("-DPYBUF_MS_ABI",)


@pytest.fixture(scope="module", params=CONVENTIONS)
def devices(request, tmp_path_factory):
    flags = CONVENTIONS[request.param]
    strict = [flag for flag in STRICT if flag != "-pedantic"] + ["-Wno-missing-field-initializers"]
    where = tmp_path_factory.mktemp(request.param.replace("+", "p"))
    return load(compile_shared(HERE / "devices.c", where / f"devices{SUFFIX}", *strict, "-I", pybuf.get_include(),
                               *flags))


@pytest.fixture(scope="module")
def cython(tmp_path_factory):
    return build_cython(HERE / "devices.pyx", tmp_path_factory.mktemp("cython"))


@pytest.fixture
def machine():
    machine = pybuf.Machine(clock="manual")
    yield machine
    assert machine.live() == []
    assert machine.check() is None
    machine.close()


def test_threads_allocate_and_free_pool_without_the_gil(devices, machine):
    device = machine.video_device(allowance_bytes=1 << 20)
    wrong = []
    threads = [threading.Thread(target=lambda: wrong.append(devices.call("pool", machine, device.extension)))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [0] * 3
    assert (device.charged, machine.bug_checks) == (0, [])


def test_misuse_is_told_to_a_handler_and_recorded(devices, machine):
    device = machine.video_device(allowance_bytes=1 << 20)
    assert devices.call("stops", machine, device.extension) == 0
    assert [bug.parameters[0] for bug in machine.bug_checks] == [7, 0x46, 8, 8]


def test_a_closed_machine_answers(devices):
    machine = pybuf.Machine()
    behind = devices.call("behind", machine)
    machine.close()
    assert devices.call("closed", behind) == 0


def on_a_bus(machine, sent):
    codec = pybuf.Codec(0, sink=lambda stream, data: sent.append(data), respond=lambda command: 0x1234)
    machine.hdaudio = pybuf.HdAudioBus(codecs=[codec])


def test_a_driver_plays_and_is_notified(devices, machine):
    sent = []
    on_a_bus(machine, sent)

    def wait():
        machine.advance(Fraction(1, 100))
        machine.hdaudio.unsolicited(0, 0, 0x55)

    assert devices.call("notified", machine, 0, wait) == 0
    assert b"".join(sent) == bytes(n & 0xFF for n in range(1920))


def test_a_driver_captures_by_a_list_of_its_own_and_is_interrupted(devices, machine):
    machine.physical_offset = 1 << 40
    on_a_bus(machine, [])
    assert devices.call("described", machine, 0, lambda: machine.advance(Fraction(1, 100))) == 0


def test_what_is_no_interface_is_refused(devices, machine):
    assert devices.call("refused", machine) == 0


def test_cython_allocates_and_frees_pool(cython, machine):
    device = machine.video_device(allowance_bytes=1 << 20)
    assert cython.pool(machine, device.extension, 3000) == 0
    assert device.charged == 0


def test_cython_plays(cython, machine):
    sent = []
    on_a_bus(machine, sent)
    bus = machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE)
    assert cython.play(bus.context, lambda: machine.advance(Fraction(1, 100))) == 0
    assert b"".join(sent) == b"\7" * 1920
