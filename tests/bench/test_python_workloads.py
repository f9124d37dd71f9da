"""The workloads in Python: every kind of buffers that is here does them, and one that changes bytes is found out."""

import importlib

import pytest

from pybuf.bench import python_workloads
from pybuf.bench.python_workloads import MissingError, Source
from pybuf.bench.workloads import WORKLOADS, complete

TINY = {
    "buffers": {"count": 20, "live": 4},
    "asyncio-echo": {"count": 5},
    "asyncio-proxy": {"count": 5},
    "udp-burst": {"count": 2, "burst": 4},
    "audio-period": {"count": 3, "voices": 4, "deadline_us": 1_000_000},
}
PYTHON = [name for name, workload in WORKLOADS.items() if workload.contenders]


def run(name, kinds=None, rounds=1, passes=1, **more):
    parameters = complete(WORKLOADS[name], {**TINY[name], **more})
    kinds = kinds or WORKLOADS[name].contenders
    return python_workloads.run(name, parameters, dict(zip(kinds, kinds, strict=True)), rounds, passes, seed=5)


@pytest.mark.parametrize("name", PYTHON)
def test_every_kind_of_buffers_here_does_every_workload(name):
    answer = run(name, rounds=2, passes=2)
    here = set(WORKLOADS[name].contenders) - set(answer.get("missing", {}))
    assert "disqualified" not in answer
    assert {"bytearray", "deque-pool", "poolcore"} <= here
    assert [set(found) for found in answer["rounds"]] == [here, here]
    for one in answer["rounds"][0].values():
        assert one["operations"] == TINY[name]["count"] * TINY[name].get("burst", 1)
        assert len(one["wall_ns"]) == 2
        assert min(one["wall_ns"]) > 0
    for kind in set(answer.get("missing", {})):
        assert importlib.util.find_spec(kind) is None


@pytest.mark.parametrize("name", ["asyncio-echo", "asyncio-proxy", "udp-burst"])
def test_messages_larger_than_a_read_arrive(name):
    answer = run(name, size=50_000 if name != "udp-burst" else 9_000)
    assert "disqualified" not in answer


def test_a_missing_library_is_named_with_how_to_get_it(monkeypatch):
    def none(name):
        raise ImportError(f"No module named {name!r}")
    monkeypatch.setattr(python_workloads.importlib, "import_module", none)
    answer = run("buffers", ["bytearray", "pyarrow"])
    assert answer["missing"] == {"pyarrow": "No module named 'pyarrow'; pip install pyarrow"}
    assert set(answer["rounds"][0]) == {"bytearray"}
    with pytest.raises(MissingError):
        python_workloads.source("numpy", 8)


def test_the_pool_by_hand_gives_what_was_given_back_last():
    some = python_workloads.source("deque-pool", 8)
    first, second = some.take(8), some.take(8)
    some.give(first)
    some.give(second)
    assert some.take(8) is second
    assert some.take(8) is first


def test_buffers_that_share_their_bytes_are_disqualified(monkeypatch):
    real = python_workloads.source
    one = bytearray(1500)
    monkeypatch.setattr(python_workloads, "source",
                        lambda kind, size: Source(lambda size: one) if kind == "numpy" else real(kind, size))
    answer = run("buffers", ["bytearray", "numpy"])
    assert "changed the bytes of buffer 0" in answer["disqualified"]["numpy"]
    assert set(answer["rounds"][0]) == {"bytearray"}


@pytest.mark.parametrize("name", ["asyncio-echo", "asyncio-proxy"])
def test_a_message_that_comes_back_changed_is_disqualified(monkeypatch, name):
    plain = python_workloads._BufferedEcho.buffer_updated

    def changing(self, nbytes):
        self.buffer[0] ^= 1
        plain(self, nbytes)
    monkeypatch.setattr(python_workloads._BufferedEcho, "buffer_updated", changing)
    if name == "asyncio-proxy":  # changed there and back: as it was; changed only on the way there: seen
        monkeypatch.setattr(python_workloads._Echo, "data_received", lambda self, data: self.peer.write(data[::-1]))
    assert "message 1 came back changed" in run(name, ["reused"])["disqualified"]["reused"]


def test_a_handler_that_raises_ends_in_words_and_not_in_waiting(monkeypatch):
    def raising(self, nbytes):
        raise OSError("no more")
    monkeypatch.setattr(python_workloads._BufferedEcho, "buffer_updated", raising)
    assert run("asyncio-echo", ["bytearray"])["disqualified"]["bytearray"]


def test_a_burst_that_the_socket_does_not_take_is_said_to_be_lost(monkeypatch):
    monkeypatch.setattr(python_workloads, "PATIENCE_S", 0.05)
    answer = run("udp-burst", ["bytearray"], burst=2000, size=9000)
    assert "a datagram was lost" in answer["disqualified"]["bytearray"]


def test_every_period_misses_a_deadline_that_nobody_can_meet():
    answer = run("audio-period", ["bytearray"], deadline_us=1, voices=64)
    assert answer["rounds"][0]["bytearray"]["misses"] == [3]
    assert run("audio-period", ["bytearray"])["rounds"][0]["bytearray"]["misses"] == [0]
