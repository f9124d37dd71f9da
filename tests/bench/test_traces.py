import gzip
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuf.bench.recordings import traces
from pybuf.bench.recordings.traces import ALLOCATE, FREE, REALLOCATE


def parse(*lines):
    return traces.parse([b"= Start\n", *(line.encode() + b"\n" for line in lines)], "t")


def words(trace):
    """The recorded words as (operation, slot, size)."""
    recorded = trace.events[:trace.recorded_words]
    return [(word & 3, word >> 2 & 0x3FFFFFF, word >> 28) for word in recorded]


def test_allocation_free_and_reallocation_become_one_word_each():
    trace = parse("+ 0x10 0x20", "< 0x10", "> 0x50 0x30", "- 0x50", "= End")
    assert words(trace) == [(ALLOCATE, 0, 0x20), (REALLOCATE, 0, 0x30), (FREE, 0, 0)]
    assert (trace.recorded_events, trace.recorded_calls, trace.replayed_events) == (4, 3, 4)
    assert (trace.peak_live_bytes, trace.peak_live_blocks, trace.peak_word) == (0x30, 1, 2)


def test_callers_before_a_line_are_passed_over_even_with_spaces():
    trace = parse(
        "@ /bin/a b:(main+0x1f)[0x4005] + 0x10 0x20", "@ [0x7f] < 0x10", "@ [0x7f] > 0x10 0x8", "@ lib.so - 0x10"
    )
    assert words(trace) == [(ALLOCATE, 0, 0x20), (REALLOCATE, 0, 8), (FREE, 0, 0)]
    assert trace.torn_lines == 0


def test_the_slot_freed_last_is_used_first():
    trace = parse("+ 0x1 0x1", "+ 0x2 0x1", "+ 0x3 0x1", "- 0x1", "- 0x2", "+ 0x4 0x1", "+ 0x5 0x1")
    assert [slot for _, slot, _ in words(trace)[-2:]] == [1, 0]
    assert trace.slots == 3


def test_lines_before_the_start_are_no_events_and_lines_after_an_end_are():
    trace = traces.parse([b"+ 0x9 0x9\n", b"= Start\n", b"= End\n", b"+ 0x1 0x2\n"], "t")
    assert words(trace) == [(ALLOCATE, 0, 2)]


def test_a_free_of_an_unrecorded_block_is_counted_and_left_out():
    trace = parse("- 0x99", "+ 0x10 0x1")
    assert (trace.unknown_frees, trace.recorded_events, trace.replayed_events) == (1, 2, 1)


def test_a_reallocation_of_an_unrecorded_block_becomes_an_allocation():
    trace = parse("< 0x99", "> 0x10 0x8")
    assert words(trace) == [(ALLOCATE, 0, 8)]
    assert trace.unknown_frees == 1


@pytest.mark.parametrize("line", [
    "+ 0x10", "- ", "+ 0x10 0x20- 0x30", "? 0x10", "+ zz 0x1", "+ 0x10 -0x1", "+ 0x10 0x123456789abcd", "> 0x1 0x2",
    "@ ", "\xff\xfe",
])
def test_a_torn_line_is_counted_and_left_out(line):
    trace = parse(line, "+ 0x10 0x1")
    assert (trace.torn_lines, words(trace)) == (1, [(ALLOCATE, 0, 1)])


def test_half_a_reallocation_is_torn_and_its_block_lives_on():
    trace = parse("+ 0x10 0x20", "< 0x10", "- 0x10", "< 0x10")
    assert words(trace) == [(ALLOCATE, 0, 0x20), (FREE, 0, 0)]
    assert trace.torn_lines == 2


def test_an_address_handed_out_again_while_live_is_freed_first():
    trace = parse("+ 0x10 0x20", "+ 0x10 0x8", "+ 0x20 0x1", "< 0x20", "> 0x10 0x2")
    assert words(trace)[:3] == [(ALLOCATE, 0, 0x20), (FREE, 0, 0), (ALLOCATE, 0, 8)]
    assert trace.lost_frees == 2
    assert trace.never_freed_blocks == 1


def test_allocations_that_failed_are_counted_and_left_out():
    trace = parse("+ (nil) 0x20", "! 0x10 0x99", "+ 0x10 0x1")
    assert (trace.failed_allocations, words(trace)) == (2, [(ALLOCATE, 0, 1)])


def test_a_reallocation_to_nothing_is_a_free_and_an_empty_block():
    trace = parse("+ 0x10 0x20", "< 0x10", "> 0x10 0x0")
    assert words(trace)[1:] == [(FREE, 0, 0), (ALLOCATE, 0, 0)]


def test_blocks_never_freed_are_counted_and_cleared_up_after_the_recording():
    trace = parse("+ 0x10 0x20", "+ 0x20 0x8", "- 0x10")
    assert (trace.never_freed_blocks, trace.never_freed_bytes) == (1, 8)
    assert list(trace.events[trace.recorded_words:]) == [FREE | 1 << 2]


@pytest.mark.parametrize("pack", [bytes, lzma.compress, gzip.compress])
def test_compression_is_seen_from_the_content(tmp_path, pack):
    path = tmp_path / "a.mtrace.bin"
    path.write_bytes(pack(b"= Start\n+ 0x10 0x20\n= End\n"))
    assert words(traces.read(path)) == [(ALLOCATE, 0, 0x20)]


def test_the_shipped_trace_holds_what_its_description_says():
    trace = traces.read(traces.default_path())
    assert (trace.name, trace.recorded_events, trace.sizes) == ("sqlite", 505_077, 137)
    assert (trace.unknown_frees, trace.torn_lines, trace.never_freed_blocks) == (4, 0, 21)
    assert round(trace.peak_live_bytes / 1e6, 1) == 8.3


LINES = st.one_of(
    st.builds("+ {:#x} {:#x}".format, st.integers(0, 12), st.integers(0, 99)),
    st.builds("- {:#x}".format, st.integers(0, 12)),
    st.builds("< {:#x}\n> {:#x} {:#x}".format, st.integers(0, 12), st.integers(0, 12), st.integers(0, 99)),
    st.sampled_from(["< 0x3", "> 0x3 0x4", "+ 0x3", "= End", "= Start", "", "- 0x1 0x2", "@ x"]),
)


@given(st.lists(LINES, max_size=60))
def test_every_word_fits_the_blocks_that_live_then(lines):
    """No free of a free slot, no allocation in a taken one, and the counts are those of the words."""
    trace = parse(*"\n".join(lines).split("\n"))
    live: dict[int, int] = {}
    peak = 0
    for operation, slot, size in words(trace):
        assert slot < trace.slots
        assert (slot in live) == (operation != ALLOCATE)
        if operation == FREE:
            del live[slot]
        else:
            live[slot] = size
        peak = max(peak, sum(live.values()))
    assert peak == trace.peak_live_bytes
    assert (len(live), sum(live.values())) == (trace.never_freed_blocks, trace.never_freed_bytes)
    assert sorted(live) == sorted(word >> 2 for word in trace.events[trace.recorded_words:])
    assert trace.replayed_events == sum(1 + (operation == REALLOCATE) for operation, _, _ in words(trace))
