"""A recording in the order of its threads: how it is parted, and what holds a thread back when it is replayed."""

from __future__ import annotations

import ctypes
import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from pybuf.bench import _order, _replay, order, trials
from pybuf.bench.recordings import records, traces
from pybuf.bench.recordings.records import ALLOCATE, FREE, REALLOCATE_FROM, REALLOCATE_TO

WORKERS = Path(__file__).parents[1] / "recordings" / "workers.pybuf.xz"
WAIT, SIGNAL, PAUSE = range(3)
SLOTS = (1 << 26) - 1       # below the number of a signal


class Recording:
    """Notes the calls of threads, as a recorder would."""

    def __init__(self):
        self.records = []
        self.next = 0x1000

    def note(self, thread, operation, address, size=0, at_ns=0):
        self.records.append(records.RECORD.pack(at_ns, address, size, thread, operation, 0, 0))

    def allocate(self, thread, size, at_ns=0):
        self.next += 0x1000
        self.note(thread, ALLOCATE, self.next, size, at_ns)
        return self.next

    def free(self, thread, block, at_ns=0):
        self.note(thread, FREE, block, 0, at_ns)

    def reallocate(self, thread, block, size):
        self.note(thread, REALLOCATE_FROM, block)
        self.note(thread, REALLOCATE_TO, block, size)

    def trace(self, **fields):
        source = records.Source("recording", iter([b"".join(self.records)]), **{"has_threads": True, **fields})
        return traces.build(source, "t", "t")


def a_producer_and_a_consumer(blocks=300):
    """The second thread frees what the first allocates, and never sooner than it was recorded."""
    recording, queue = Recording(), []
    for number in range(blocks):
        queue.append(recording.allocate(0, 16 + number % 500))
        if number % 3 == 2:
            recording.free(1, queue.pop(0))
    while queue:
        recording.free(1, queue.pop())
    return recording.trace()


def ping_pong(turns=300):
    """One block is live at a time: each thread frees the other's and allocates the next."""
    recording = Recording()
    block = recording.allocate(0, 100)
    for turn in range(1, turns):
        recording.free(turn % 2, block)
        block = recording.allocate(turn % 2, 100)
    recording.free(turns % 2, block)
    return recording.trace()


def at_random(seed, threads=4, calls=3000):
    """Threads that allocate, reallocate and free whoever's blocks."""
    draw, recording, live = random.Random(seed), Recording(), []
    for _ in range(calls):
        thread, what = draw.randrange(threads), draw.random()
        if what < 0.4 or not live:
            live.append(recording.allocate(thread, draw.randrange(1, 2000)))
        elif what < 0.6:
            recording.reallocate(thread, draw.choice(live), draw.randrange(1, 2000))
        else:
            recording.free(thread, live.pop(draw.randrange(len(live))))
    return recording.trace()


class Parted:
    """What `order.part` wrote: the words and points of every thread."""

    def __init__(self, trace):
        self.trace = trace
        self.layout, self.path = order.part(trace)
        assert order.load(self.path) == self.layout
        words = memoryview(Path(self.layout.words).read_bytes())
        points = memoryview(Path(self.layout.points).read_bytes())
        self.words = [words[8 * part.word:8 * (part.word + part.words)] for part in self.layout.parts]
        self.points = [points[16 * part.point:16 * (part.point + part.points)] for part in self.layout.parts]

    def calls(self, lane):
        return [(word & 3, word >> 2 & 0x3FFFFFF, word >> 28) for word in self.words[lane].cast("Q")]

    def points_of(self, lane):
        found = self.points[lane].cast("Q") if len(self.points[lane]) else []
        return [(found[at], found[at + 1] & 3, found[at + 1] >> 2) for at in range(0, len(found), 2)]

    def crew(self, functions, points=None, cpus=(0, 0)):
        """The crew and what it plays with, which must be kept."""
        slots = bytearray(8 * self.layout.slots)
        marks = bytearray(_replay.MARK_BYTES * self.layout.slots)
        lanes = [_replay.Lane(functions, words, slots, marks) for words in self.words]
        return _order.Crew(lanes, points or self.points, self.layout.slots, list(cpus)), slots, lanes

    def ends(self):
        return [part.recorded for part in self.layout.parts]


def steps_of(parted, lane):
    """What a thread does: its points, and its calls as ("call", operation, slot, size)."""
    points, recorded = parted.points_of(lane), parted.layout.parts[lane].recorded
    found = []
    for place, call in enumerate([*parted.calls(lane)[:recorded], None]):
        found += [point for point in points if point[0] == place]
        found += [("call", *call)] if call else []
    return found


def anyhow(parted, seed):
    """Replay in Python, the threads in an order that is drawn; what each block went through, and what is live then."""
    draw = random.Random(seed)
    steps = [steps_of(parted, lane) for lane in range(len(parted.words))]
    gates, lives, live = {}, [], {}

    def can_go(lane):
        if not steps[lane]:
            return False
        what, kind, value, *_ = steps[lane][0]
        return what == "call" or kind != WAIT or gates.get(value & SLOTS) == value >> 26

    while any(steps):
        ready = [lane for lane, rest in enumerate(steps) if can_go(lane)]
        assert ready, f"all wait: {[rest[:1] for rest in steps]}"
        lane = draw.choice(ready)
        what, *step = steps[lane].pop(0)
        if what != "call":
            kind, value = step
            if kind == SIGNAL:
                gates[value & SLOTS] = value >> 26
            continue
        operation, slot, size = step
        if operation == traces.ALLOCATE:
            assert slot not in live
            live[slot] = len(lives)
            lives.append([])
        lives[live[slot]].append((operation, size, lane))
        if operation == traces.FREE:
            del live[slot]
    return lives, live


def as_recorded(trace):
    """What each block went through in the recording."""
    lives, live = [], {}
    for word, thread in zip(trace.events, trace.threads, strict=False):
        operation, slot, size = word & 3, word >> 2 & 0x3FFFFFF, word >> 28
        if operation == traces.ALLOCATE:
            live[slot] = len(lives)
            lives.append([])
        lives[live[slot]].append((operation, size, thread))
    return lives


# ---- parting

@pytest.mark.parametrize("seed", range(20))
def test_in_whatever_order_threads_run_none_is_stuck_and_every_block_goes_through_what_was_recorded(seed):
    trace = at_random(seed, calls=400)
    lives, live = anyhow(Parted(trace), seed)
    assert sorted(lives) == sorted(as_recorded(trace))
    assert len(live) == trace.never_freed_blocks


def test_each_thread_keeps_its_own_calls_in_their_order_and_the_first_frees_the_rest():
    trace = at_random(7)
    parted = Parted(trace)
    for lane, part in enumerate(parted.layout.parts):
        own = [(word & 3, word >> 28) for word, thread in zip(trace.events, trace.threads, strict=False)
               if thread == lane]
        assert [(operation, size) for operation, _, size in parted.calls(lane)[:part.recorded]] == own
    assert [part.words - part.recorded for part in parted.layout.parts] == [trace.never_freed_blocks, 0, 0, 0]


def test_a_block_that_one_thread_keeps_costs_no_point():
    recording = Recording()
    for thread in (0, 1):
        recording.free(thread, recording.allocate(thread, 16))
    assert [part.points for part in Parted(recording.trace()).layout.parts] == [0, 0]


def test_a_slot_is_used_again_by_the_thread_that_freed_its_block():
    parted = Parted(ping_pong())
    assert (parted.layout.slots, parted.layout.waits) == (1, 300)


def test_pauses_are_what_a_thread_did_since_it_could_have_gone_on():
    recording = Recording()
    first = recording.allocate(0, 16, 1_000)
    second = recording.allocate(0, 16, 6_000)
    recording.free(1, first, 6_400)             # waited for the first, which was there at 1,000
    recording.free(1, second, 9_400)            # its own last call was at 6,400
    third = recording.allocate(0, 16, 9_500)
    recording.free(1, third, 59_000_000)        # longer than a pause is replayed
    parted = Parted(recording.trace(has_times=True))
    assert parted.layout.think == pytest.approx((8_500 + 8_400 + 10e6) / (8_500 + 8_400 + 58_990_500))
    # The clock of a trace begins with its first event; a pause of 400 ns and less is saved up.
    gates = [slot | 1 << 26 for slot in range(3)]
    assert parted.points_of(0) == [
        (1, SIGNAL, gates[0]), (1, PAUSE, 5_000), (2, SIGNAL, gates[1]), (2, PAUSE, 3_500), (3, SIGNAL, gates[2])]
    assert parted.points_of(1) == [
        (0, WAIT, gates[0]), (0, PAUSE, 5_400), (1, WAIT, gates[1]), (1, PAUSE, 3_000), (2, WAIT, gates[2]),
        (2, PAUSE, order.LONGEST_PAUSE_NS)]
    assert parted.layout.think_ns == 5_400 + 3_000 + order.LONGEST_PAUSE_NS


def test_pauses_of_a_long_recording_are_shortened_in_proportion():
    recording = Recording()
    for number in range(101):
        recording.free(0, recording.allocate(0, 16, number * 5_000_000), number * 5_000_000)
    layout = Parted(recording.trace(has_times=True)).layout
    assert layout.think == pytest.approx(order.THINK_LIMIT_NS / 500e6)
    assert layout.think_ns == order.THINK_LIMIT_NS
    assert "50.00% of the think time: contention overstated" in layout.described(2)


@pytest.mark.parametrize(("has_times", "words"), [
    (True, "think time as recorded"), (False, "no think time: contention overstated")])
def test_it_is_said_whether_there_is_think_time(has_times, words):
    recording = Recording()
    recording.free(1, recording.allocate(0, 16, 0), 9_000)
    assert Parted(recording.trace(has_times=has_times)).layout.described(2).endswith(words)


def test_short_pauses_are_saved_up_and_none_is_lost():
    recording = Recording()
    for number in range(1000):
        recording.free(0, recording.allocate(0, 16, number * 300), number * 300)
    parted = Parted(recording.trace(has_times=True))
    pauses = [ns for _, kind, ns in parted.points_of(0) if kind == PAUSE]
    assert min(pauses) >= _order.LEAST_PAUSE_NS
    assert 999 * 300 - _order.LEAST_PAUSE_NS < sum(pauses) <= 999 * 300


def test_stops_are_moments_of_the_recording():
    trace = at_random(3)
    layout = Parted(trace).layout
    for stop in layout.stops:
        done = sum(stop.words)
        assert stop.words == [list(trace.threads[:done]).count(lane) for lane in range(4)]
    assert max(stop.live_bytes for stop in layout.stops) == trace.peak_live_bytes
    assert layout.stops[-1].words == [part.recorded for part in layout.parts]


# ---- replaying

def c_functions():
    """The C library's, as a contender has them."""
    library = ctypes.CDLL(None)
    return (*(ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in ("malloc", "free", "realloc")),
            None, ctypes.cast(library.calloc, ctypes.c_void_p).value,
            ctypes.cast(library.aligned_alloc, ctypes.c_void_p).value)


@pytest.mark.parametrize("trace", [a_producer_and_a_consumer, ping_pong, lambda: at_random(11)],
                         ids=["producer-consumer", "ping-pong", "random"])
def test_every_block_is_found_as_it_was_filled_by_whatever_thread(trace):
    parted = Parted(trace())
    crew, slots, lanes = parted.crew(c_functions())
    for _ in range(5):
        crew.rewind()
        done, wall_ns, cpu_ns, waited_ns, threads_ns = crew.play(parted.ends(), "check", "line")
        assert done == [(end, False) for end in parted.ends()]
        assert 0 <= waited_ns <= threads_ns
        assert min(wall_ns, cpu_ns, threads_ns) > 0
        assert lanes[0].play(parted.ends()[0], lanes[0].count, "check", "line") == lanes[0].count
    crew.close()
    assert slots


def test_live_bytes_are_counted_as_replayed():
    parted = Parted(ping_pong())
    crew, *kept = parted.crew(c_functions())
    crew.play(parted.ends(), "plain", "line", True)
    assert crew.peak_live_bytes == 100  # one block at a time, whatever the order
    alone = Recording()
    for thread in (0, 1):
        blocks = [alone.allocate(thread, 1000) for _ in range(10)]
        for block in blocks:
            alone.free(thread, block)
    parted = Parted(alone.trace())
    assert parted.trace.peak_live_bytes == 10_000
    crew, *kept = parted.crew(c_functions())
    crew.play(parted.ends(), "plain", "line", True)
    assert 10_000 <= crew.peak_live_bytes <= 20_000  # nothing keeps the threads apart
    assert kept


def test_a_replay_in_parts_ends_as_one_in_a_piece():
    parted = Parted(at_random(5))
    crew, *kept = parted.crew(c_functions())
    for stop in parted.layout.stops:
        done, *_ = crew.play(stop.words, "check", "line")
        assert done == [(end, False) for end in stop.words]
    assert kept


WATCHFUL = """
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
atomic_int early;
int patience;
/* Slow, so that whoever does not wait is early; with patience, until somebody is. */
void *malloc_slowly(size_t size) {
    for (int ms = 0; ms < patience && !early; ms++)
        usleep(1000);
    return malloc(size);
}
void free_watchfully(void *block) {
    if (!block)
        early++;
    free(block);
}
"""


@pytest.fixture
def watchful(tmp_path):
    """A contender that counts frees of blocks that are not there yet."""
    (tmp_path / "watchful.c").write_text(WATCHFUL)
    subprocess.run([shutil.which("cc"), "-shared", "-fPIC", tmp_path / "watchful.c", "-o", tmp_path / "watchful.so"],
                   check=True)
    return ctypes.CDLL(str(tmp_path / "watchful.so"))


@pytest.mark.parametrize(("is_waiting", "patience_ms"), [(True, 20), (False, 10_000)])
def test_a_block_is_freed_after_it_was_allocated_and_without_the_wait_before(watchful, is_waiting, patience_ms):
    recording = Recording()
    recording.free(1, recording.allocate(0, 16))
    parted = Parted(recording.trace())
    ctypes.c_int.in_dll(watchful, "patience").value = patience_ms
    address = [ctypes.cast(function, ctypes.c_void_p).value
               for function in (watchful.malloc_slowly, watchful.free_watchfully)]
    crew, *kept = parted.crew((*address, 0, None), None if is_waiting else [b"", b""])
    crew.play(parted.ends(), "plain", "line")
    assert ctypes.c_int.in_dll(watchful, "early").value == (0 if is_waiting else 1)
    assert kept


def test_where_a_thread_fails_those_that_wait_for_it_end_too():
    parted = Parted(a_producer_and_a_consumer(50))
    fail = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(lambda size: None)
    crew, *kept = parted.crew((ctypes.cast(fail, ctypes.c_void_p).value, *c_functions()[1:]))
    done, *_ = crew.play(parted.ends(), "plain", "line")
    assert done == [(0, True), (0, False)]
    crew.close()
    assert kept


def test_points_that_are_none_are_refused():
    lane = _replay.Lane(c_functions(), bytes(8), bytearray(8), None)
    for place, what in ((2, SIGNAL), (0, 3), (0, WAIT | 1 << 2)):  # beyond the words, of no kind, beyond the slots
        with pytest.raises(ValueError, match="a point of thread 0 is none"):
            _order.Crew([lane], [place.to_bytes(8, "little") + what.to_bytes(8, "little")], 1, [0])
    with pytest.raises(ValueError, match="15 bytes of points"):
        _order.Crew([lane], [bytes(15)], 1, [0])


# ---- trials

def trial(path, contender, metric="time", threads=5):
    return trials.ask({
        "workload": "trace", "parameters": {}, "contenders": [{"name": contender}], "metric": metric, "touch": "line",
        "threads": threads, "passes": 2, "rounds": 1, "cpus": [0], "offset": 16, "seed": 1, "layout": path}, 0)


@pytest.fixture(scope="module")
def workers():
    return Parted(traces.read(WORKERS))


@pytest.mark.parametrize("contender", ["poolcore", "glibc", "mimalloc", "jemalloc", "tcmalloc"])
def test_the_recording_with_threads_is_checked_timed_and_counted_with_every_contender(workers, contender):
    checked = trial(workers.path, contender, "check")
    if contender in checked.get("missing", {}):  # a peer that is not on this machine says so
        assert checked["missing"][contender]
        return
    assert "disqualified" not in checked
    answer = trial(workers.path, contender)
    (taken,) = answer["rounds"]
    assert len(taken[contender]["wall_ns"]) == len(taken[contender]["waiting"]) == 2
    assert all(0 <= share <= 1 for share in taken[contender]["waiting"])
    assert 0 < taken[contender]["peak_live_bytes"] < 100 * workers.trace.peak_live_bytes
    assert answer["events"] == workers.trace.replayed_events


def test_the_empty_harness_and_the_other_metrics_play_threads_too(workers):
    assert trial(workers.path, "empty")["rounds"][0]["empty"]["operations"] == workers.trace.replayed_events
    counts = trial(workers.path, "glibc", "latency")["histogram"]["glibc"]
    assert sum(count for _, count in counts) == 2 * workers.trace.recorded_words
    memory = trial(workers.path, "poolcore", "memory")["memory"]["poolcore"]
    assert memory["peak_live_bytes"] == workers.trace.peak_live_bytes
    assert [live for _, live, *_ in memory["timeline"]] == [stop.live_bytes for stop in workers.layout.stops]


def test_pymalloc_has_no_place_and_the_reason_is_the_gil(workers):
    assert "called with the GIL held" in trial(workers.path, "pymalloc")["missing"]["pymalloc"]


def test_the_layout_is_plain_json(workers):
    assert json.loads(Path(workers.path).read_text())["waits"] == workers.layout.waits > 1000
