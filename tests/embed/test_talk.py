"""RAS from C and Cython, through the headers that are installed: ports, events and callbacks."""

from __future__ import annotations

import sysconfig

import pytest

import pybuf
from pybuf import ras

from .conftest import HERE, STRICT, build_cython, compile_shared, load


@pytest.fixture(scope="module", params=["platform", "ms"])
def talk(request, tmp_path_factory):
    # The types of a script's pointers may have the other convention; the table has its own.
    flags = ["-DPYBUF_MS_ABI"] if request.param == "ms" else []
    where = tmp_path_factory.mktemp("talk") / f"talk{sysconfig.get_config_var('EXT_SUFFIX')}"
    return load(compile_shared(HERE / "talk.c", where, *STRICT, *flags, "-I", pybuf.get_include()))


@pytest.fixture(params=["real", "manual"])
def machine(request):
    made = pybuf.Machine(clock=request.param)
    yield made
    assert made.live() == []
    assert made.check() is None
    made.close()


def test_threads_of_c_talk_over_ports(talk, machine):
    ports = [machine.ras.open_port(ras.Memory(lambda peer, data: peer.send(data.replace(b"i", b"o"))))
             for _ in range(8)]
    assert talk.converse(machine, tuple(port.handle for port in ports)) == 0
    assert [port.settings for port in ports] == [pybuf.RasCommSettings(8, 2, 0, 7, 0)] * 8


def test_transport_that_raises_under_c_is_told_to_the_unraisable_hook(talk, machine, monkeypatch):
    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: told.append(type(unraisable.exc_value)))

    def refuse(peer, data):
        raise KeyError(data)

    port = machine.ras.open_port(ras.Memory(refuse))
    assert talk.send(machine, port.handle, 3) == pybuf.RasStatus.ERROR_PORT_DISCONNECTED
    assert told == [KeyError]
    assert machine.callback_errors == 1
    assert port.status == pybuf.RasStatus.ERROR_HARDWARE_FAILURE


@pytest.mark.parametrize("handle", [0, 1, 4, 0xFFFFFFFF, 2**64 - 1])
def test_any_integer_is_no_port_of_c(talk, machine, handle):
    assert talk.send(machine, handle, 3) == pybuf.RasStatus.ERROR_INVALID_PORT_HANDLE


def test_cython_talks_over_a_port(tmp_path, machine):
    module = build_cython(HERE / "talk_cython.pyx", tmp_path)
    port = machine.ras.open_port(ras.Memory(lambda peer, data: peer.send(data * 2)))
    event = pybuf.Event(machine)
    assert module.send(machine, port.handle, b"abc", event.handle) == (0, 3)
    assert port.queued == 3
    assert module.send(machine, port.handle + 4, b"abc", event.handle)[0] == 601
    assert module.send(machine, port.handle, b"abc", port.handle)[0] == 607
