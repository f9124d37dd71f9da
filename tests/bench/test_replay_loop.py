"""The compiled loop, seen from the allocators that it calls: here, Python functions."""

import ctypes
from array import array

import pytest

from pybuf.bench import _replay, score
from pybuf.bench.recordings import traces

WORD = ctypes.c_size_t
POOL = 0x1000


class Recorder:
    """An allocator out of ctypes callbacks that notes how it is called."""

    def __init__(self, is_pooled, block_for=None):
        self.calls = []
        self.memory = []
        self.block_for = block_for or self.fresh
        head = (WORD,) if is_pooled else ()
        self.keep = (
            ctypes.CFUNCTYPE(WORD, *head, WORD)(self.note("alloc")),
            ctypes.CFUNCTYPE(ctypes.c_int, *head, WORD)(self.note("free")),
            ctypes.CFUNCTYPE(WORD, *head, WORD, WORD)(self.note("realloc")),
        )
        addresses = (ctypes.cast(function, ctypes.c_void_p).value for function in self.keep)
        self.functions = (*addresses, POOL if is_pooled else None)

    def note(self, name):
        def call(*arguments):
            self.calls.append((name, *arguments))
            return 0 if name == "free" else self.block_for(arguments[-1])
        return call

    def fresh(self, size):
        self.memory.append(ctypes.create_string_buffer(size + 1))
        return ctypes.addressof(self.memory[-1])


def replay(recorder, lines, touch="line"):
    trace = traces.parse([b"= Start", *lines], "t")
    slots = bytearray(8 * trace.slots)
    marks = bytearray(_replay.MARK_BYTES * trace.slots)
    words, end = trace.events.tobytes(), len(trace.events)
    stopped = _replay.replay(recorder.functions, words, slots, marks, 0, end, touch, True)
    return None if stopped == end else stopped


LINES = [b"+ 0x1 0x20", b"+ 0x2 0x2000", b"< 0x1", b"> 0x1 0x30", b"- 0x2"]


@pytest.mark.parametrize("touch", ["line", "page", "all", "check"])
@pytest.mark.parametrize("is_pooled", [False, True])
def test_each_signature_gets_its_own_arguments(is_pooled, touch):
    recorder = Recorder(is_pooled)
    failed = replay(recorder, LINES[:2] + LINES[4:] if touch == "check" else LINES, touch)
    first, second, *_ = (ctypes.addressof(block) for block in recorder.memory)
    pool = (POOL,) if is_pooled else ()
    assert failed is None
    assert recorder.calls[:2] == [("alloc", *pool, 0x20), ("alloc", *pool, 0x2000)]
    if touch != "check":  # this realloc moves the block without its bytes, which the check would see
        assert recorder.calls[2] == ("realloc", *pool, first, 0x30)
    assert ("free", *pool, second) in recorder.calls


def test_line_touches_the_first_byte_of_each_block_and_no_other():
    recorder = Recorder(False)
    replay(recorder, LINES)
    assert [block.raw.rstrip(b"\0") for block in recorder.memory] == [b"\1"] * 3


def test_page_touches_every_page_of_each_block():
    recorder = Recorder(False)
    replay(recorder, LINES, "page")
    assert [offset for offset, byte in enumerate(recorder.memory[1].raw) if byte == b"\1"[0]] == [0, 4096, 8191]


def test_all_touches_every_byte_of_each_block():
    recorder = Recorder(False)
    replay(recorder, LINES, "all")
    assert [block.raw.count(b"\1") for block in recorder.memory] == [0x20, 0x2000, 0x30]


@pytest.mark.parametrize("touch", ["line", "page", "all", "check"])
def test_a_block_of_no_bytes_is_not_touched(touch):
    assert replay(Recorder(False, block_for=lambda size: 0), [b"+ 0x1 0x0", b"- 0x1"], touch) is None


@pytest.mark.parametrize("touch", ["line", "page", "all", "check"])
def test_the_loop_stops_where_no_memory_came(touch):
    recorder = Recorder(False)
    recorder.block_for = lambda size: 0 if size == 0x2000 else recorder.fresh(size)
    assert replay(recorder, LINES, touch) == 1


def test_check_sees_a_block_that_was_handed_out_twice():
    recorder = Recorder(False)
    block = recorder.fresh(64)
    recorder.block_for = lambda size: block
    assert replay(recorder, [b"+ 0x1 0x20", b"+ 0x2 0x20", b"- 0x1", b"- 0x2"], "check") == 2


def test_check_sees_a_reallocation_that_lost_the_bytes():
    assert replay(Recorder(True), [b"+ 0x1 0x20", b"< 0x1", b"> 0x2 0x40"], "check") == 1


def test_check_sees_a_free_that_a_pool_refused():
    recorder = Recorder(True)
    refuse = ctypes.CFUNCTYPE(ctypes.c_int, WORD, WORD)(lambda pool, block: 3)
    recorder.keep += (refuse,)
    recorder.functions = (recorder.functions[0], ctypes.cast(refuse, ctypes.c_void_p).value, *recorder.functions[2:])
    assert replay(recorder, [b"+ 0x1 0x20", b"- 0x1"], "check") == 1


def test_words_outside_of_the_trace_are_refused():
    functions = (*_replay.empty_functions(), None)
    with pytest.raises(IndexError):
        _replay.replay(functions, bytes(8), bytearray(8), bytearray(1), 0, 2, "line", False)


def test_what_a_trial_looks_over_does_not_stay_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(score, "WINDOW_WORDS", 1 << 14)
    monkeypatch.setattr(score, "WINDOW_BYTES", 1 << 17)
    words = array("Q", (word for number in range(1 << 20) for word in ((number % 99 + 1) << 28, 1)))
    (tmp_path / "words").write_bytes(words.tobytes())
    mapped = score.mapped_path(str(tmp_path / "words"))
    whole, in_parts = _replay.Profile(), _replay.Profile()
    whole.feed(words.tobytes(), 0, len(words))
    most = 0
    for first, last in score.passed(mapped, 8):
        in_parts.feed(mapped, first, last)
        most = max(most, _resident_bytes(tmp_path / "words"))
    assert 1 << 14 < most < len(mapped) // 2  # the system maps up to 2 MiB at a time
    for name in ("events", "slots", "live_bytes", "peak_live_bytes", "peak_word", "operations", "largest"):
        assert getattr(in_parts, name) == getattr(whole, name)
    assert (whole.events, whole.slots, whole.peak_live_bytes, whole.peak_word) == (1 << 21, 1, 99, 197)


def _resident_bytes(path):
    """Of the mappings of a file in this process."""
    with open("/proc/self/smaps") as maps:
        parts = maps.read().split(f"{path}\n")[1:]
    return sum(int(part.split("Rss:")[1].split()[0]) << 10 for part in parts)
