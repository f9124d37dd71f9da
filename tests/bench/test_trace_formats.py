"""Every format of recordings is read, and written where it can be, and says what it does not keep."""

from __future__ import annotations

import dataclasses
import gzip
import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuf.bench.recordings import parquet, records, rmm, traces
from pybuf.bench.recordings._records import MtraceText, RmmLines
from pybuf.bench.recordings.records import ALLOCATE, FAIL, FREE, REALLOCATE_FROM, REALLOCATE_TO

TESTS = Path(__file__).parents[1]
WORKERS = TESTS / "recordings" / "workers.pybuf.xz"


def record(operation, address=0, size=0, thread=0, time_ns=0, alignment=0):
    return records.RECORD.pack(time_ns, address, size, thread, operation, alignment, 0)


def built(*listed, **fields):
    """The trace of records."""
    source = records.Source("recording", iter([b"".join(listed)]), **fields)
    return traces.build(source, "t", "t")


def words(trace):
    return [(word & 3, word >> 2 & 0x3FFFFFF, word >> 28) for word in trace.events[:trace.recorded_words]]


def same_but_path(trace):
    hidden = ("path", "name", "format", "words_path", "alignments_path", "notes")
    return {
        field.name: list(value) if isinstance(value := getattr(trace, field.name), memoryview) else value
        for field in dataclasses.fields(trace) if field.name not in hidden
    }


# ---- words and arrays

def test_the_recording_that_ships_has_threads_times_and_alignments():
    trace = traces.read(WORKERS)
    assert (trace.format, trace.thread_count, trace.aligned_allocations) == ("recording", 5, 500)
    assert (trace.unknown_frees, trace.torn_lines, trace.lost_frees) == (0, 0, 0)
    assert len(trace.threads) == len(trace.times) == trace.recorded_words
    assert len(trace.alignments) == len(trace.events)
    assert set(trace.alignments[trace.recorded_words:]) <= {0}
    assert set(trace.threads) == set(range(5))
    assert list(trace.times) == sorted(trace.times)
    assert trace.times[-1] == trace.duration_ns
    aligned = list(zip(trace.events, trace.alignments, strict=False))
    assert {alignment for word, alignment in aligned if word & 3 == traces.ALLOCATE} == {0, 6}
    assert {alignment for word, alignment in aligned if word & 3 == traces.FREE} == {0}


def test_cleared_blocks_are_words_of_their_own():
    trace = traces.read(WORKERS)
    zeroed = sum(word & 3 == traces.ZEROED for word in trace.events)
    assert zeroed == trace.zeroed_allocations > 0
    assert traces.read(traces.default_path()).zeroed_allocations == 0    # mtrace text does not tell


def test_a_trace_without_threads_has_no_arrays():
    trace = traces.read(traces.default_path())
    assert (trace.threads, trace.times, trace.alignments, trace.thread_count, trace.duration_ns) == (None,) * 5


def test_the_words_of_a_trace_are_the_file_that_a_trial_maps():
    trace = traces.read(traces.default_path())
    assert Path(trace.words_path).read_bytes() == trace.events.tobytes()


def test_the_scratch_files_go_with_the_trace():
    trace = traces.read(WORKERS)
    scratch = Path(trace.words_path).parent
    assert {path.name for path in scratch.iterdir()} == {"words", "threads", "times", "alignments"}
    del trace
    assert not scratch.exists()


def test_a_forked_child_leaves_the_scratch_files_alone():
    trace = traces.read(WORKERS)
    code = ("import os; from pybuf.bench.recordings import traces\n"
            f"trace = traces.read({str(WORKERS)!r}); child = os.fork()\n"
            "if child: os.waitpid(child, 0); print(os.path.exists(trace.words_path))")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "True\n"
    assert Path(trace.words_path).exists()


def test_between_the_halves_of_a_reallocation_its_address_may_become_anothers():
    trace = built(
        record(ALLOCATE, 0x10, 100, 0), record(REALLOCATE_FROM, 0x10, 0, 0), record(ALLOCATE, 0x10, 7, 1),
        record(REALLOCATE_TO, 0x90, 200, 0), record(FREE, 0x10, 0, 1), record(FREE, 0x90, 0, 0), has_threads=True,
    )
    assert words(trace) == [(0, 0, 100), (0, 1, 7), (2, 0, 200), (1, 1, 0), (1, 0, 0)]
    assert list(trace.threads) == [0, 1, 0, 1, 0]
    assert (trace.lost_frees, trace.unknown_frees) == (0, 0)


@pytest.mark.parametrize(("size", "failed"), [(200, 1), (0, 0)])
def test_a_reallocation_without_a_new_address_is_refused_or_a_free(size, failed):
    trace = built(record(ALLOCATE, 0x10, 100), record(REALLOCATE_FROM, 0x10), record(REALLOCATE_TO, 0, size),
                  record(FREE, 0x10))
    assert words(trace) == [(0, 0, 100), (1, 0, 0)]
    assert (trace.failed_allocations, trace.unknown_frees) == (failed, 1 - failed)


def test_a_block_whose_reallocation_was_cut_off_lives_on():
    trace = built(record(ALLOCATE, 0x10, 100), record(REALLOCATE_FROM, 0x10))
    assert (trace.torn_lines, trace.never_freed_bytes) == (1, 100)


def test_a_record_that_nobody_finished_is_counted():
    trace = built(record(ALLOCATE, 0x10, 1), bytes(32), record(FREE, 0x10))
    assert (trace.torn_lines, len(words(trace))) == (1, 2)


def test_a_block_that_no_word_can_say_is_counted_and_its_free_left_out():
    trace = built(record(ALLOCATE, 0x10, 1), record(ALLOCATE, 0x20, 1 << 36), record(FREE, 0x20),
                  record(REALLOCATE_FROM, 0x10), record(REALLOCATE_TO, 0x30, 1 << 40))
    assert (trace.too_large, words(trace)) == (2, [(0, 0, 1), (1, 0, 0)])


def test_times_count_from_the_first_event_and_never_go_back():
    trace = built(record(ALLOCATE, 1, 1, time_ns=1000), record(ALLOCATE, 2, 1, time_ns=1500),
                  record(ALLOCATE, 3, 1, time_ns=1200), has_times=True)
    assert list(trace.times) == [0, 500, 500]


def test_more_threads_than_a_word_can_number_are_refused():
    with pytest.raises(traces.TraceError, match="more than 65,536 threads"):
        built(*(record(ALLOCATE, number + 1, 1, number) for number in range(65_537)), has_threads=True)


STEPS = st.lists(st.tuples(
    st.sampled_from([ALLOCATE, FREE, REALLOCATE_FROM, REALLOCATE_TO, FAIL, 0]), st.integers(0, 9), st.integers(0, 50),
    st.integers(0, 3),
), max_size=80)


@given(STEPS)
def test_whatever_the_records_say_every_word_fits_the_blocks_that_live_then(steps):
    trace = built(*(record(*step) for step in steps), has_threads=True)
    live = {}
    peak = 0
    for operation, slot, size in words(trace):
        assert (slot in live) == (operation != traces.ALLOCATE)
        live[slot] = size
        if operation == traces.FREE:
            del live[slot]
        peak = max(peak, sum(live.values()))
    assert (peak, len(live), sum(live.values())) == (
        trace.peak_live_bytes, trace.never_freed_blocks, trace.never_freed_bytes)
    assert sorted(live) == sorted(word >> 2 for word in trace.events[trace.recorded_words:])
    assert trace.recorded_words == len(trace.threads)


# ---- there and back

@pytest.mark.parametrize("name", ["a.pybuf", "a.pybuf.xz", "a.pybuf.gz", "a.parquet"])
def test_our_own_formats_keep_everything(tmp_path, name):
    assert traces.convert(WORKERS, tmp_path / name) == []
    assert same_but_path(traces.read(tmp_path / name)) == same_but_path(traces.read(WORKERS))
    assert traces.read(tmp_path / name).notes["program"] == "./workers"


@pytest.mark.parametrize("name", ["a.mtrace", "a.txt", "a.mtrace.xz", "a.mtrace.gz", "a.pybuf", "a.parquet"])
def test_mtrace_text_survives_every_format_that_has_reallocations(tmp_path, name):
    assert traces.convert(traces.default_path(), tmp_path / name) == []
    assert same_but_path(traces.read(tmp_path / name)) == same_but_path(traces.read(traces.default_path()))


def test_an_rmm_log_keeps_threads_and_microseconds_and_names_what_it_loses(tmp_path):
    assert traces.convert(WORKERS, tmp_path / "a.csv.xz") == ["alignments", "cleared blocks"]
    trace, old = traces.read(tmp_path / "a.csv.xz"), traces.read(WORKERS)
    assert (trace.thread_count, trace.peak_live_bytes, trace.torn_lines, trace.lost_frees, trace.unknown_frees) == (
        5, old.peak_live_bytes, 0, 0, 0)
    assert abs(trace.duration_ns - old.duration_ns) <= 2000
    assert trace.size_counts == old.size_counts
    assert trace.replayed_events == old.replayed_events


def test_mtrace_text_of_a_threaded_recording_names_what_it_loses_and_pairs_its_lines(tmp_path):
    assert traces.convert(WORKERS, tmp_path / "a.mtrace") == ["threads", "times", "alignments", "cleared blocks"]
    trace, old = traces.read(tmp_path / "a.mtrace"), traces.read(WORKERS)
    assert (trace.torn_lines, trace.lost_frees, trace.unknown_frees) == (0, 0, 0)
    assert (trace.size_counts, trace.never_freed_bytes) == (old.size_counts, old.never_freed_bytes)


def test_a_reallocation_that_another_thread_cut_in_two_becomes_a_free_and_an_allocation_in_mtrace_text():
    text = MtraceText().feed(b"".join([
        record(ALLOCATE, 0x10, 100, 0), record(REALLOCATE_FROM, 0x10, 0, 0), record(ALLOCATE, 0x20, 7, 1),
        record(REALLOCATE_TO, 0x90, 200, 0), record(REALLOCATE_FROM, 0x90, 0, 0), record(REALLOCATE_TO, 0, 900, 0),
        record(REALLOCATE_FROM, 0x20, 0, 1), record(REALLOCATE_TO, 0x30, 8, 1), record(FAIL, 0, 5),
        record(REALLOCATE_FROM, 0, 0, 3), record(REALLOCATE_TO, 0x40, 9, 3),
    ]))
    assert text.decode().splitlines() == [
        "+ 0x10 0x64", "- 0x10", "+ 0x20 0x7", "+ 0x90 0xc8", "! 0x90 0x384", "< 0x20", "> 0x30 0x8", "! 0x0 0x5",
        "+ 0x40 0x9",
    ]


@given(STEPS)
def test_mtrace_text_of_any_records_means_what_they_mean(steps):
    # Addresses that are handed out while they live are made up when they are read, in either form.
    listed = b"".join(record(*step) for step in steps)
    trace = built(listed, has_threads=True)
    again = traces.parse([b"= Start\n", *bytes(MtraceText().feed(listed)).splitlines(keepends=True)], "t")
    assert again.torn_lines == 0
    assert again.never_freed_bytes == trace.never_freed_bytes or trace.torn_lines or trace.lost_frees


# ---- RMM

def rmm_words(tmp_path, *rows, pack=bytes):
    path = tmp_path / "log.csv"
    path.write_bytes(pack("\n".join([rmm.HEADER.decode(), *rows, ""]).encode()))
    return traces.read(path)


@pytest.mark.parametrize("pack", [bytes, lzma.compress, gzip.compress])
def test_rmm_rows_become_words_threads_and_times(tmp_path, pack):
    trace = rmm_words(
        tmp_path, "140573312345856,23:59:59.999999,allocate,0x7f00,1024,0x0",
        "77,00:00:00.000001,allocate,0x7f80,8,0x2",
        "77,00:00:00.500000,free,0x7f00,1024,0x0", pack=pack)
    assert words(trace) == [(0, 0, 1024), (0, 1, 8), (1, 0, 0)]
    assert (list(trace.threads), list(trace.times)) == ([0, 1, 1], [0, 2000, 500_001_000])


def test_rmm_failures_old_clocks_repeated_headers_and_carriage_returns_are_understood(tmp_path):
    trace = rmm_words(
        tmp_path, "1,10:00:00:000001,allocate,0x10,4,0x0\r", rmm.HEADER.decode(),
        "1,10:00:01:000001,allocate failure,(nil),99,0x0",
        "1,10:00:01:000001,allocate failure,0x0,99,0x0", "", "1,1634567890.123456,free,0x10,4,0")
    assert (trace.failed_allocations, trace.torn_lines, words(trace)) == (2, 0, [(0, 0, 4), (1, 0, 0)])


@pytest.mark.parametrize("row", [
    "1,10:00:00.000001,allocate,0x20,4", "1,10:00:00.000001,allocate,0x20,4,", "x,10:00:00.000001,allocate,0x20,4,0x0",
    "1,10:00:0x.000001,allocate,0x20,4,0x0", "1,10:00:00.000001,reserve,0x20,4,0x0", "1,,allocate,0x20,4,0x0",
    "1,10:00:00.000001,allocate,0xzz,4,0x0", "1,10:00:00.000001,allocate,0x20,99999999999999,0x0", "1,2,3", ",,,,,",
    "1,10:00:00.000001,allocate,0x20,4,0x0,1",
])
def test_a_torn_row_of_an_rmm_log_is_counted_and_left_out(tmp_path, row):
    trace = rmm_words(tmp_path, row, "1,10:00:00.000001,allocate,0x10,4,0x0")
    assert (trace.torn_lines, words(trace)) == (1, [(0, 0, 4)])


@given(st.binary(max_size=300), st.integers(1, 20))
def test_no_bytes_in_any_pieces_harm_a_parser(text, piece):
    for parser in (RmmLines(), traces.MtraceLines()):
        whole = type(parser)()
        given_whole = whole.feed(b"= Start\n" + text, is_last=True)
        pieces = parser.feed(b"= Start\n")
        for start in range(0, len(text), piece):
            pieces += parser.feed(text[start:start + piece])
        pieces += parser.feed(b"", is_last=True)
        assert (pieces, parser.torn_lines) == (given_whole, whole.torn_lines)


# ---- memray

def test_a_memray_capture_is_read_with_its_threads_and_reallocations(tmp_path):
    path = tmp_path / "capture"
    code = ("import threading\ndef work():\n b = bytearray(5000)\n for _ in range(50): b.extend(bytes(5000))\n"
            "t = [threading.Thread(target=work) for _ in range(3)]\n[i.start() for i in t]; [i.join() for i in t]")
    subprocess.run([sys.executable, "-m", "memray", "run", "-q", "-o", path, "-c", code], check=True, cwd=tmp_path)
    trace = traces.read(path)
    assert trace.format == "memray"
    assert trace.thread_count >= 2          # memray gives a thread's number to the next when it has ended
    assert sum(word & 3 == traces.REALLOCATE for word in trace.events) >= 50
    assert (trace.times, trace.alignments) == (None, None)
    assert traces.convert(path, tmp_path / "a.parquet") == []
    assert same_but_path(traces.read(tmp_path / "a.parquet")) == same_but_path(trace)


# ---- Parquet

def parquet_file(path, version=b"1", **columns):
    import pyarrow
    from pyarrow import parquet as writer

    table = pyarrow.table(columns)
    writer.write_table(table.replace_schema_metadata({parquet.VERSION_KEY: version} if version else {}), path)
    return path


def columns(rows=2, **changed):
    import pyarrow

    given = {name: pyarrow.array([1] * rows, getattr(pyarrow, kind)()) for name, kind, *_ in parquet.COLUMNS}
    return {name: value for name, value in {**given, **changed}.items() if value is not None}


def test_a_file_by_another_writer_is_read_with_its_columns_in_any_order(tmp_path):
    import pyarrow

    wanted = columns(3, extra=pyarrow.array(["a", "b", "c"]), address=pyarrow.array([16, 32, 48], pyarrow.uint64()))
    trace = traces.read(parquet_file(tmp_path / "a.parquet", **dict(sorted(wanted.items()))))
    assert words(trace) == [(3, 0, 1), (3, 1, 1), (3, 2, 1)]
    assert list(trace.alignments) == [1, 1, 1, 0, 0, 0]


def test_columns_that_are_null_were_not_recorded(tmp_path):
    import pyarrow

    nothing = {"thread": pyarrow.nulls(2, pyarrow.uint32()), "time_ns": pyarrow.nulls(2, pyarrow.uint64())}
    trace = traces.read(parquet_file(tmp_path / "a.parquet", **columns(**nothing)))
    assert (trace.threads, trace.times, list(trace.alignments)) == (None, None, [1, 0, 1, 0])


@pytest.mark.parametrize(("change", "complaint"), [
    ({"version": b""}, "no pybuf.trace.version"),
    ({"version": b"7"}, "version 7 of the schema; this pybuf reads version 1"),
    ({"size": None}, "column 'size' is missing or is no uint64"),
    ({"size": ["a", "b"]}, "column 'size' is missing or is no uint64"),
])
def test_a_parquet_file_of_another_schema_is_refused(tmp_path, change, complaint):
    version = change.pop("version", b"1")
    path = parquet_file(tmp_path / "a.parquet", version, **columns(**change))
    with pytest.raises(traces.TraceError, match=re.escape(complaint)):
        traces.read(path)


@pytest.mark.parametrize(("name", "kind"), [("address", "uint64"), ("thread", "uint32")])
def test_nulls_in_some_rows_only_are_refused(tmp_path, name, kind):
    import pyarrow

    some = pyarrow.array([1, None], getattr(pyarrow, kind)())
    path = parquet_file(tmp_path / "a.parquet", **columns(**{name: some}))
    with pytest.raises(traces.TraceError, match=f"column '{name}' has nulls"):
        traces.read(path)


# ---- memory

GROWTH = """
import resource, sys
from pybuf.bench.recordings import records, traces
pack = records.RECORD.pack
def batches(events):
    # 1000 blocks live; every event in a batch of its own address, none of it kept.
    for first in range(0, events, 20_000):
        batch = bytearray()
        for event in range(first, first + 20_000, 2):
            if event >= 2000:
                batch += pack(event, 16 * (event - 1999) , 0, event % 3, 2, 0, 0)
            else:
                batch += pack(event, 1 << 40 | event, 1, 0, 1, 0, 0)
            batch += pack(event, 16 * (event + 1), 100 + event % 50, event % 3, 1, 0, 0)
        yield batch
source = records.Source("recording", batches(int(sys.argv[1])), True, True, True)
trace = traces.build(source, "t", "t")
assert trace.peak_live_blocks == 2000, trace.peak_live_blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, trace.recorded_words)
"""


def peak_kib(events):
    done = subprocess.run([sys.executable, "-c", GROWTH, str(events)], capture_output=True, text=True, check=True)
    peak, recorded = map(int, done.stdout.split())
    assert recorded == events
    return peak


def test_memory_does_not_grow_with_the_length_of_a_trace():
    # Words and arrays of 2,000,000 events are 38 MB.
    assert peak_kib(2_000_000) - peak_kib(100_000) < 4096


def test_the_table_of_live_blocks_finds_every_block_after_any_order_of_frees(tmp_path):
    import random

    rng = random.Random(4)
    live, listed = [], []
    for _ in range(60_000):
        if live and rng.random() < 0.45:
            listed.append(record(FREE, live.pop(rng.randrange(len(live)))))
        else:
            live.append(rng.randrange(1, 1 << 40) * 16)
            listed.append(record(ALLOCATE, live[-1], 1))
    trace = built(*listed)
    assert (trace.unknown_frees, trace.lost_frees, trace.never_freed_blocks) == (0, 0, len(live))


def test_scratch_files_without_room_are_named_with_what_to_do():
    code = ("import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
            "from pybuf.bench.recordings import traces\n"
            "try: traces.read(traces.default_path())\n"
            "except traces.TraceError as failure: print(failure)")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.search(r"sqlite.mtrace.xz: its words do not fit into \S+: File too large; set TMPDIR to", said)
