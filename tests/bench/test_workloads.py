"""The workloads: what is drawn, that every contender here can do every one, and that those that fail are found out."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from array import array
from collections import Counter
from itertools import pairwise

import pytest

from pybuf.bench import _replay, _workloads, workloads
from pybuf.bench.contenders import CONTENDERS, ENVIRONMENT
from pybuf.bench.workloads import WORKLOADS, WorkloadError
from test_captures import pcap

ALLOCATE, FREE, REALLOCATE, ZEROED = range(4)
SEED = 20

#: Few events, so that a test takes no time.
TINY = {
    "lifo-pair": {"events": 200},
    "random": {"events": 400, "live": 50},
    "size-table": {"events": 1024, "live_bytes": 1 << 20},
    "fifo": {"events": 400, "live": 50},
    "batch": {"events": 400, "live": 50},
    "ramps": {"events": 400, "live": 50},
    "shifts": {"events": 400, "live": 20},
    "network-bursts": {"events": 400, "hold_us": 5},
    "producer-consumer": {"events": 800, "live": 64},
    "outliving": {"events": 400, "live": 50},
}
C_LEVEL = [name for name, workload in WORKLOADS.items() if not workload.contenders]
FRAMES = [(10, 5 * number // 3, 0, 60 + 97 * number % 1454) for number in range(50)]


@pytest.fixture
def parameters(tmp_path):
    def of(name):
        found = dict(TINY[name])
        if name == "network-bursts":
            found["capture"] = str(tmp_path / "c.pcap")
            (tmp_path / "c.pcap").write_bytes(pcap(FRAMES))
        return found
    return of


@pytest.fixture
def ask():
    """Runs a trial in its own process and answers what it printed."""
    def call(workload, contenders, status=0, **more):
        order = {
            "workload": workload, "parameters": {}, "metric": "time", "touch": "line", "threads": 1, "passes": 1,
            "rounds": 1, "cpus": sorted(os.sched_getaffinity(0))[:2], "offset": 64, "seed": SEED, **more,
            "contenders": [{"name": one} if isinstance(one, str) else one for one in contenders],
        }
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run([sys.executable, "-P", "-m", "pybuf.bench.trial", json.dumps(order)],
                              env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout) if not status else done.stderr
    return call


@pytest.fixture
def library(tmp_path):
    """Builds an allocator out of C text: the entry of an order for it."""
    def build(source, name="brought"):
        (tmp_path / f"{name}.c").write_text("#include <stddef.h>\n#include <string.h>\n" + source)
        path = tmp_path / f"lib{name}.so"
        subprocess.run([shutil.which("cc"), "-w", "-O1", "-fno-builtin", "-shared", "-fPIC",
                        tmp_path / f"{name}.c", "-o", path], check=True)
        return {"name": name, "library": str(path)}
    return build


def drawn(name, given, seed=SEED, threads=None):
    workload = WORKLOADS[name]
    return workloads.draw(workload, given, seed, threads or workload.threads[0])


def words_of(lane):
    return [(word & 3, word >> 2 & 0x3FFFFFF, word >> 28) for word in array("Q", lane)]


class Table:
    """Which slots live, by following words; the harness would crash on words that go wrong here."""

    def __init__(self):
        self.live = {}

    def follow(self, words):
        for operation, slot, size in words:
            if operation == FREE:
                del self.live[slot]
            else:
                assert slot not in self.live
                assert size > 0
                self.live[slot] = size
        return self


# ---- words ---------------------------------------------------------------------------------


def test_three_workloads_run_by_default():
    assert workloads.DEFAULTS == ("lifo-pair", "random", "size-table")


@pytest.mark.parametrize("name", [name for name in C_LEVEL if WORKLOADS[name].threads != (2, 2)])
def test_a_body_can_be_played_again_and_in_the_end_all_is_free(name, parameters):
    plan = drawn(name, parameters(name))
    ((start, stop),) = plan.bodies
    words = words_of(plan.lanes[0])
    table = Table().follow(words[:start])
    before = set(table.live)
    for _ in range(3):
        assert set(table.follow(words[start:stop]).live) == before
    assert table.follow(words[stop:]).live == {}
    assert max(slot for _, slot, _ in words) < plan.slots


@pytest.mark.parametrize("name", C_LEVEL)
def test_a_seed_decides_all_that_is_drawn(name, parameters):
    given = parameters(name)
    assert drawn(name, given) == drawn(name, given)
    if name != "network-bursts":  # which leaves nothing to chance
        given = {**given, "low": 1000} if name == "producer-consumer" else given
        assert drawn(name, given, seed=SEED + 1).lanes != drawn(name, given).lanes


def test_each_thread_has_words_of_its_own():
    plan = drawn("random", TINY["random"], threads=3)
    assert len(plan.lanes) == len(set(plan.lanes)) == 3


def test_a_pair_stands_beside_live_blocks_of_its_size():
    plan = drawn("lifo-pair", {"size": 700, "live": 64, "events": 100})
    ((start, stop),) = plan.bodies
    words = words_of(plan.lanes[0])
    assert words[:start] == [(ALLOCATE, slot, 700) for slot in range(64)]
    assert words[start:stop] == [(ALLOCATE, 64, 700), (FREE, 64, 0)] * 50


def test_the_oldest_block_goes_first():
    plan = drawn("fifo", {"live": 4, "events": 16})
    ((start, stop),) = plan.bodies
    assert [slot for operation, slot, _ in words_of(plan.lanes[0])[start:stop] if operation == FREE] == [0, 1, 2, 3] * 2


def test_replacement_is_random_over_all_slots_and_sizes():
    plan = drawn("random", {"live": 10, "low": 100, "high": 103, "events": 8000})
    ((start, stop),) = plan.bodies
    words = words_of(plan.lanes[0])[start:stop]
    slots = Counter(slot for operation, slot, _ in words if operation == FREE)
    sizes = Counter(size for operation, _, size in words if operation == ALLOCATE)
    assert set(slots) == set(range(10))
    assert min(slots.values()) > 300
    assert set(sizes) == {100, 101, 102, 103}
    assert min(sizes.values()) > 850


def test_a_ramp_reaches_its_height_and_comes_down():
    plan = drawn("ramps", {"live": 200, "events": 1})
    table, heights = Table(), []
    for word in words_of(plan.lanes[0]):
        heights.append(len(table.follow([word]).live))
    top = heights.index(200)
    assert max(heights) == 200
    assert heights[-1] == 0
    ups = [sum(a < b for a, b in pairwise(way)) / len(way) for way in (heights[:top], heights[top:])]
    assert 0.65 < ups[0] < 0.85     # not straight, but going one way
    assert 0.15 < ups[1] < 0.35


def test_the_mix_shifts_from_small_to_large():
    plan = drawn("shifts", {"live": 30, "events": 1})
    ((start, stop),) = plan.bodies
    sizes = [size for operation, _, size in words_of(plan.lanes[0])[start:stop] if operation == ALLOCATE]
    assert max(sizes[:90]) <= 300
    assert min(sizes[90:]) >= 1000


def test_a_table_keeps_its_population(tmp_path):
    (tmp_path / "t.csv").write_text("16, 100, 3000\n64, 10, 500\n4096, 0.1, 10\n100000, 0.01, 1\n")
    given = {"table": str(tmp_path / "t.csv"), "live_bytes": 400_000, "clip": 50_000, "events": 8192}
    plan = drawn("size-table", given)
    ((start, stop),) = plan.bodies
    words = words_of(plan.lanes[0])
    table = Table().follow(words[:start])
    before = Counter(table.live.values())
    assert max(before) <= 50_000
    assert abs(sum(size * count for size, count in before.items()) - 400_000) < 60_000
    after = Counter(table.follow(words[start:stop]).live.values())
    assert sum((before - after).values()) <= (stop - start) // 512
    made = Counter(size for operation, _, size in words[start:stop] if operation == ALLOCATE)
    assert 0.85 < made[16] / made.total() < 0.95
    freed = [slot for operation, slot, _ in words[start:stop] if operation == FREE]
    assert 0.6 < len(set(freed)) / len(freed) < 0.95  # random ones, and of those that came later too


def test_frames_come_by_length_and_go_by_time(tmp_path):
    (tmp_path / "c.pcap").write_bytes(pcap([(0, 0, 0, 60), (0, 3, 0, 1514), (0, 10, 0, 70), (0, 13, 0, 80)]))
    plan = drawn("network-bursts", {"capture": str(tmp_path / "c.pcap"), "hold_us": 10, "events": 8})
    assert words_of(plan.lanes[0]) == [
        (ALLOCATE, 0, 60), (ALLOCATE, 1, 1514), (FREE, 0, 0), (ALLOCATE, 0, 70), (FREE, 1, 0), (ALLOCATE, 1, 80),
        (FREE, 0, 0), (FREE, 1, 0),
    ]


def test_a_producer_and_a_consumer_go_round_the_same_ring():
    plan = drawn("producer-consumer", TINY["producer-consumer"])
    made, freed = map(words_of, plan.lanes)
    assert [slot for _, slot, _ in made] == [slot for _, slot, _ in freed] == [n % plan.ring for n in range(len(made))]
    (first, last), (start, stop) = plan.bodies
    assert (first, start, last - stop) == (plan.live, 0, plan.live)
    assert (last - first) % plan.ring == 0


def test_each_generation_frees_all_that_the_one_before_left():
    plan = drawn("outliving", TINY["outliving"])
    words = words_of(plan.lanes[0])
    for first, last in pairwise(plan.breaks):
        freed = [slot for operation, slot, _ in words[first:last] if operation == FREE]
        assert sorted(freed) == list(range(50))
        assert freed != sorted(freed)


@pytest.mark.parametrize(("text", "words"), [
    ("nothing", "unknown workload 'nothing'; there are lifo-pair, random"),
    ("random:sise=5", "random has no parameter 'sise'; it has low, high, live, events"),
    ("random:low", "'low' is no KEY=VALUE"),
    ("network-bursts", "needs a capture: network-bursts:capture=FILE.pcap"),
    ("random:low=many", "low=many: expected a whole number"),
    ("random:low=0", "low=0: expected a whole number"),
    ("random:live=-5", "live=-5"),
    ("random:events=17G", "events=17G"),
    ("random:low=100,high=50", "low=100 is above high=50"),
    ("producer-consumer:live=8", "live must be 16 at least"),
])
def test_what_a_person_gets_wrong_is_said_in_one_line(text, words):
    with pytest.raises(WorkloadError) as failure:
        workloads.parsed(text)
    assert words in str(failure.value)


@pytest.mark.parametrize(("name", "content", "words"), [
    ("c.pcap", pcap([]), "the capture holds no frame"),
    ("c.pcap", None, "No such file"),
    ("t.csv", b"none", "holds no size"),
    ("t.csv", b"1000000, 1, 1\n", "fewer than two blocks"),
])
def test_a_file_that_cannot_be_used_is_said_before_anything_runs(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    text = str(tmp_path / name)
    if words.startswith("fewer"):
        text = f"size-table:table={text},live_bytes=100,clip=100"
    with pytest.raises(WorkloadError, match=words):
        workloads.parsed(text)


def test_what_a_person_may_name(tmp_path):
    (tmp_path / "some.trace").touch()
    (tmp_path / "any.pcap.xz").write_bytes(pcap(FRAMES))
    (tmp_path / "any.csv").write_text("16, 1, 1000\n")
    workload, given = workloads.parsed("random:live=2K, high=3000")
    assert (workload.name, given["live"], given["high"], given["low"]) == ("random", 2048, 3000, 16)
    for workload, key, name in (("network-bursts", "capture", "any.pcap.xz"), ("size-table", "table", "any.csv")):
        found, given = workloads.parsed(str(tmp_path / name))
        assert (found.name, given[key]) == (workload, str(tmp_path / name))
    assert workloads.parsed(str(tmp_path / "some.trace")) is None


def test_threads_are_brought_into_a_workloads_limits():
    assert WORKLOADS["random"].threads_of([1, 2]) == [1, 2]
    assert WORKLOADS["producer-consumer"].threads_of([1, 2]) == [2]
    assert WORKLOADS["outliving"].threads_of([1, 2]) == [1]
    assert [WORKLOADS["random"].isolation_of(*one) for one in (("time", 1), ("time", 2), ("memory", 1))] == [
        "shared", "process", "process"]
    with pytest.raises(WorkloadError, match="runs with 2 to 2 threads; 1 were asked for"):
        drawn("producer-consumer", {}, threads=1)


def test_bursts_without_a_capture_say_how_to_give_one(ask):
    assert "network-bursts needs a capture: network-bursts:capture=FILE.pcap" in ask("network-bursts", ["glibc"], 1)


# ---- every contender -----------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["time", "check"])
@pytest.mark.parametrize("name", C_LEVEL)
def test_every_contender_here_does_every_workload(ask, parameters, name, metric):
    threads = WORKLOADS[name].threads[0]
    answer = ask(name, CONTENDERS, metric=metric, threads=threads, parameters=parameters(name), passes=2, rounds=2)
    here = set(CONTENDERS) - set(answer.get("missing", {}))
    assert "disqualified" not in answer
    assert {"glibc", "poolcore"} <= here == set(answer["origins"])
    assert ("empty" in here) == (metric == "time")
    assert len(answer["rounds"]) == 2
    for found in answer["rounds"]:
        assert set(found) == here
        for one in found.values():
            assert one["operations"] == answer["events"] > 0
            assert len(one["wall_ns"]) == len(one["cpu_ns"]) == len(one["idle"]) == 2
            assert min(one["wall_ns"]) > 0


@pytest.mark.parametrize("touch", ["page", "all"])
def test_every_touch_and_two_threads(ask, touch):
    answer = ask("random", CONTENDERS, touch=touch, threads=2, parameters=TINY["random"])
    assert {"glibc", "poolcore"} <= set(answer["rounds"][0])
    assert "one thread only" in answer["missing"]["pymalloc"]


def test_a_contender_can_run_beside_itself_and_with_settings_of_its_own(ask):
    contenders = ["poolcore", {"name": "A/A", "same_as": "poolcore"},
                  {"name": "mine", "settings": {"sizes": [64, 2048]}}]
    answer = ask("random", contenders, parameters=TINY["random"])
    assert set(answer["rounds"][0]) == {"poolcore", "A/A", "mine"}


# ---- contenders that fail ------------------------------------------------------------------

BUMP = """
static char memory[1 << 26] __attribute__((aligned(64))); static size_t used; static void *latest;
void *malloc(size_t size) { void *p = memory + __atomic_fetch_add(&used, %s, __ATOMIC_RELAXED); latest = p; return p; }
void free(void *p) { %s; }
"""
ROUNDED = "(size + 15 & ~(size_t)15)"


@pytest.mark.parametrize("name", ["random", "producer-consumer", "outliving", "lifo-pair", "size-table"])
@pytest.mark.parametrize(("advance", "release"), [
    ("64", ""),                                         # blocks that overlap
    (ROUNDED, "if (latest != p) *(char *)latest ^= 2; if ((char *)p > memory) ((char *)p)[-16] ^= 2"),  # into others
])
def test_a_contender_that_corrupts_is_disqualified_by_name_and_the_others_go_on(ask, library, name, advance, release):
    corrupting = library(BUMP % (advance, release))
    answer = ask(name, ["glibc", corrupting, "poolcore"], metric="check", passes=2,
                 threads=WORKLOADS[name].threads[0], parameters=TINY[name])
    assert list(answer["disqualified"]) == ["brought"]
    assert "changed the bytes of a live block, seen at call" in answer["disqualified"]["brought"]
    assert answer["checked"] == ["glibc", "poolcore"]


@pytest.mark.parametrize("name", ["random", "producer-consumer", "outliving"])
def test_a_contender_without_memory_ends_in_words_and_not_in_waiting(ask, library, name):
    empty_handed = library("""
    static int left = 100; static char memory[100][2048] __attribute__((aligned(64)));
    void *malloc(size_t size) { int n = __atomic_sub_fetch(&left, 1, __ATOMIC_RELAXED); return n < 0 ? 0 : memory[n]; }
    void free(void *p) {}
    """)
    answer = ask(name, [empty_handed], threads=WORKLOADS[name].threads[0], parameters=TINY[name])
    assert "gave no memory for" in answer["disqualified"]["brought"]
    assert "bytes at call" in answer["disqualified"]["brought"]
    assert answer["rounds"] == [{}]


def test_a_library_that_is_none_is_missing_with_the_loaders_words(ask, tmp_path):
    (tmp_path / "no.so").write_bytes(b"no library")
    none = {"name": "none", "library": str(tmp_path / "no.so")}
    answer = ask("lifo-pair", ["glibc", none], parameters={"events": 10})
    assert "no.so" in answer["missing"]["none"]
    assert set(answer["rounds"][0]) == {"glibc"}


# ---- recorded words: reallocations, zeroed and aligned blocks ------------------------------


def word(operation, slot, size=0):
    return operation | slot << 2 | size << 28


MIXED = [
    word(ALLOCATE, 0, 100), word(ZEROED, 1, 5000), word(ALLOCATE, 2, 3000), word(REALLOCATE, 0, 4000),
    word(REALLOCATE, 2, 9000), word(FREE, 1), word(ZEROED, 1, 600), word(REALLOCATE, 1, 20), word(FREE, 0),
    word(ALLOCATE, 0, 64), word(FREE, 2), word(FREE, 1), word(FREE, 0),
]
ALIGNMENTS = [4, 0, 12, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]


@pytest.fixture
def recorded(tmp_path):
    (tmp_path / "words").write_bytes(array("Q", MIXED * 20).tobytes())
    (tmp_path / "alignments").write_bytes(bytes(ALIGNMENTS * 20))
    return {"words": str(tmp_path / "words"), "alignments": str(tmp_path / "alignments"),
            "recorded": len(MIXED) * 20, "slots": 3}


MALLOC_ALONE = BUMP % (ROUNDED, "")


@pytest.mark.parametrize("metric", ["time", "check", "latency"])
def test_what_a_contender_lacks_is_emulated_and_said(ask, library, recorded, metric):
    contenders = ["glibc", "poolcore", library(MALLOC_ALONE), "pymalloc", "mimalloc"]
    answer = ask("trace", contenders, metric=metric, **recorded)
    assert "disqualified" not in answer
    assert answer["emulated"]["brought"] == ["aligned_alloc", "calloc", "realloc"]
    assert answer["emulated"]["pymalloc"] == ["aligned_alloc"]
    assert "glibc" not in answer["emulated"]
    assert answer["events"] == 20 * (len(MIXED) + 3)


@pytest.mark.parametrize("wrong", [
    "void *calloc(size_t n, size_t size) { void *p = malloc(n * size); memset(p, 7, n * size); return p; }",
    "void *aligned_alloc(size_t a, size_t size) { return (char *)malloc(size + 16) + 16; }",
    "void *realloc(void *old, size_t size) { return malloc(size); }",
])
def test_a_wrong_function_beside_malloc_is_found_by_the_check(ask, library, recorded, wrong):
    answer = ask("trace", [library(MALLOC_ALONE + wrong)], metric="check", **recorded)
    assert "brought" in answer["disqualified"]


def test_a_trace_without_them_needs_no_emulation(ask, library, tmp_path):
    (tmp_path / "words").write_bytes(array("Q", [word(ALLOCATE, 0, 10), word(FREE, 0)]).tobytes())
    answer = ask("trace", [library(MALLOC_ALONE)], words=str(tmp_path / "words"))
    assert "emulated" not in answer
    assert answer["rounds"][0]["brought"]["operations"] == 2


# ---- latency and memory --------------------------------------------------------------------


@pytest.mark.parametrize(("name", "threads"), [("random", 1), ("random", 2), ("producer-consumer", 2)])
def test_every_call_is_in_the_histograms_and_the_empty_harness_has_its_own(ask, name, threads):
    for contender in ("glibc", "empty"):
        answer = ask(name, [contender], metric="latency", threads=threads, parameters=TINY[name], passes=3)
        histogram = answer["histogram"][contender]
        assert sum(count for _, count in histogram) == 3 * answer["events"]
        assert histogram == sorted(histogram)
        by_operation = answer["histograms"][contender]
        assert set(by_operation) == {"allocate", "free"}
        totals = [sum(count for _, count in counts) for counts in by_operation.values()]
        assert totals == [3 * answer["events"] // 2] * 2


@pytest.mark.parametrize(("touch", "threads", "is_out"), [("all", 2, True), ("page", 2, False), ("all", 1, False),
                                                          ("line", 2, False)])
def test_the_empty_harness_is_out_where_threads_would_write_all_of_its_one_block(ask, touch, threads, is_out):
    answer = ask("random", ["empty"], touch=touch, threads=threads, parameters=TINY["random"])
    assert ("would take it from each other" in answer.get("missing", {}).get("empty", "")) == is_out


def test_a_histogram_is_exact_below_64_ns_and_within_a_32nd_above():
    places = _replay.HISTOGRAM_BYTES // 8 // 3
    allocations, frees, _ = _replay.histograms(array("Q", [1] * places * 2 + [0] * places).tobytes())
    lows = [ns for ns, _ in allocations]
    assert allocations == frees
    assert lows[:70] == [*range(64), 64, 66, 68, 70, 72, 74]
    assert all(0 < high - low <= low / 32 for low, high in pairwise(lows[64:]))
    assert lows[-1] < 1 << 40 < lows[-1] * 2


@pytest.mark.parametrize(("name", "threads"), [
    ("random", 1), ("random", 2), ("ramps", 1), ("producer-consumer", 2), ("outliving", 1), ("size-table", 1),
])
def test_the_timeline_has_live_slab_and_resident_bytes(ask, name, threads):
    given = {**TINY[name], "live_bytes": 8 << 20} if name == "size-table" else TINY[name]
    memory = {}
    for contender in ("glibc", "poolcore"):
        answer = ask(name, [contender], metric="memory", threads=threads, parameters=given)
        memory[contender] = answer["memory"][contender]
        events = [event for event, *_ in memory[contender]["timeline"]]
        assert events == sorted(events)
        live = [live for _, live, *_ in memory[contender]["timeline"]]
        assert max(live) == memory[contender]["peak_live_bytes"]
        assert memory[contender]["peak_resident_bytes"] == max(seen for *_, seen in memory[contender]["timeline"])
        assert ("slab_map" in answer) == (contender == "poolcore")
    assert all(slab is None for _, _, slab, _ in memory["glibc"]["timeline"])
    assert all(slab >= live for _, live, slab, _ in memory["poolcore"]["timeline"])
    assert [row[:2] for row in memory["glibc"]["timeline"]] == [row[:2] for row in memory["poolcore"]["timeline"]]
    if name == "size-table":
        assert memory["poolcore"]["peak_resident_bytes"] > 7 << 20
    if name == "random" and threads == 1:
        table = Table()
        words = words_of(drawn(name, given).lanes[0])
        heights = [0] + [sum(table.follow([one]).live.values()) for one in words]
        assert all(heights[event] == live for event, live, *_ in memory["glibc"]["timeline"])
        assert max(heights) == memory["glibc"]["peak_live_bytes"]
        rows = answer["slab_map"]
        assert all(kind in ("slab", "run") and 0 < live <= blocks for _, kind, _, live, blocks in rows)


def test_the_slab_map_shows_every_block_at_the_peak(ask):
    answer = ask("lifo-pair", ["poolcore"], metric="memory", parameters={"live": 200, "size": 1500, "events": 100})
    assert sum(live for _, _, size, live, _ in answer["slab_map"] if size >= 1500) == 201
    assert [granule for granule, *_ in answer["slab_map"]] == sorted({granule for granule, *_ in answer["slab_map"]})


# ---- threads -------------------------------------------------------------------------------


def glibc_lane(words, slots=8):
    libc = ctypes.CDLL(None)
    addresses = [ctypes.cast(getattr(libc, name), ctypes.c_void_p).value for name in ("malloc", "free", "realloc")]
    return _replay.Lane((*addresses, None), array("Q", words).tobytes(), bytearray(8 * slots),
                        bytearray(_replay.MARK_BYTES * slots))


PAIRS = [word(ALLOCATE, 0, 50), word(FREE, 0)] * 100


def test_a_team_plays_again_and_again_and_can_be_closed_twice():
    team = _workloads.Team([0, 0, 0])
    for _ in range(20):
        stopped, (wall_ns, cpu_ns, _) = team.play([(glibc_lane(PAIRS), 0, 200)] * 3, "plain", "line", 2)
        assert stopped == [200] * 3
        assert wall_ns > 0 < cpu_ns
    team.close()
    team.close()


@pytest.mark.parametrize(("call", "failure"), [
    (lambda team, lane: team.play([(lane, 0, 200)], "plain", "line"), ValueError),
    (lambda team, lane: team.play([(lane, 0, 200), (lane, 0, 201)], "plain", "line"), IndexError),
    (lambda team, lane: team.play([(lane, 5, 2)] * 2, "plain", "line"), IndexError),
    (lambda team, lane: team.play([(lane, 0, 200)] * 2, "slow", "line"), ValueError),
    (lambda team, lane: team.play([(lane, 0, 200)] * 2, "latency", "line"), ValueError),
    (lambda team, lane: team.hand_over([(lane, 0, 200)] * 2, "plain", "line", 16, 8), ValueError),
    (lambda team, lane: _workloads.Team([]), ValueError),
    (lambda team, lane: _workloads.Team([0] * 65), ValueError),
])
def test_a_team_refuses_what_it_cannot_play(call, failure):
    team = _workloads.Team([0, 0])
    with pytest.raises(failure):
        call(team, glibc_lane(PAIRS))
