"""What `pybuf tune` chooses, what it measures, and when it says that there is nothing to gain."""

import json
import random
import subprocess
import sys
from array import array
from itertools import combinations
from pathlib import Path

import pytest

import poolcore
from pybuf.bench import _tune, sizes, tune
from pybuf.bench.recordings import traces

WORKERS = Path(__file__).parents[1] / "recordings" / "workers.pybuf.xz"
SHARED = Path(__file__).parents[2] / "benchmarks" / "traces"
ALLOCATE, FREE, REALLOCATE = traces.ALLOCATE, traces.FREE, traces.REALLOCATE


def word(operation, slot, size=0):
    return size << traces.SIZE_SHIFT | slot << traces.SLOT_SHIFT | operation


def subject(words, slots, alignments=None):
    view = memoryview(array("Q", words))
    return tune.halved("made", "for the test", view, alignments, slots, len(words))


def churn(seed, count, live, choose, reallocate=0.1):
    """Words that keep ``live`` blocks of chosen sizes."""
    print("seed", seed)
    draw = random.Random(seed)
    is_live = [False] * live
    words = []
    while len(words) < count:
        slot = draw.randrange(live)
        if not is_live[slot]:
            words.append(word(ALLOCATE, slot, choose(draw, len(words))))
        elif draw.random() < reallocate:
            words.append(word(REALLOCATE, slot, choose(draw, len(words))))
            continue
        else:
            words.append(word(FREE, slot))
        is_live[slot] = not is_live[slot]
    return words


# ---- choosing ----


def cost_of(weights, prices, ends):
    starts = [0, *(end + 1 for end in ends[:-1])]
    return sum(sum(weights[start:end + 1]) * prices[end] for start, end in zip(starts, ends, strict=True))


@pytest.mark.parametrize("seed", range(40))
def test_no_other_cut_is_cheaper(seed):
    print("seed", seed)
    draw = random.Random(seed)
    count = draw.randrange(1, 11)
    weights = [float(draw.choice((0, 1, 2, 50, 1000))) for _ in range(count)]
    prices = sorted(float(draw.randrange(1, 30)) for _ in range(count))
    found = _tune.partitions(array("d", weights), array("d", prices), count + 3)
    assert len(found) == count
    for parts, (cost, ends) in enumerate(found, 1):
        least = min(
            cost_of(weights, prices, [*cuts, count - 1]) for cuts in combinations(range(count - 1), parts - 1))
        assert (cost, cost_of(weights, prices, ends)) == (least, least)
        assert len(ends) == parts and ends == sorted(set(ends)) and ends[-1] == count - 1


def test_a_long_row_costs_what_the_plain_recurrence_says():
    print("seed", 7)
    draw = random.Random(7)
    count, most = 150, 12
    weights = [float(draw.randrange(1000)) for _ in range(count)]
    prices = [tune.price(16 * (unit + 1), "slab") for unit in range(count)]
    sums = [sum(weights[:number]) for number in range(count + 1)]
    least = [0.0] + [float("inf")] * count
    found = _tune.partitions(array("d", weights), array("d", prices), most)
    for cost, _ in found:
        least = [float("inf")] + [
            min(least[cut] + (sums[end] - sums[cut]) * prices[end - 1] for cut in range(end))
            for end in range(1, count + 1)]
        assert cost == pytest.approx(least[count], rel=1e-12)


@pytest.mark.parametrize(("weights", "prices"), [
    ([1, 2], [2, 1]), ([-1, 2], [1, 2]), ([float("nan"), 1], [1, 2]), ([1, 2], [1]),
])
def test_prices_that_fall_and_negative_weights_are_refused(weights, prices):
    with pytest.raises(ValueError, match="prices"):
        _tune.partitions(array("d", weights), array("d", prices), 2)


def test_prices_of_both_kinds_never_fall():
    for objective in ("slab", "internal"):
        prices = [tune.price(unit * 16, objective) for unit in range(1, 4097)]
        assert prices == sorted(prices)


@pytest.mark.parametrize("objective", ["slab", "internal"])
@pytest.mark.parametrize("seed", range(10))
def test_a_spare_class_takes_no_size_that_was_seen(seed, objective):
    print("seed", seed)
    draw = random.Random(seed)
    seen = sorted(draw.sample(range(16, 65537, 16), draw.randrange(1, 60)))
    ends = sorted({*draw.sample(range(len(seen)), draw.randrange(1, len(seen) + 1)), len(seen) - 1})
    classes = [seen[end] for end in ends]
    smallest = [seen[start] for start in (0, *(end + 1 for end in ends[:-1]))]
    kept = tune.with_spares(classes, smallest, tune.default_classes(), objective)
    assert set(classes) <= set(kept) and len(kept) <= 96 and kept[-1] == 65536
    for size in seen:
        assert min(one for one in kept if one >= size) == min(one for one in classes if one >= size)


# ---- what lives ----


def population_of(words, alignments, first, last):
    """The same as the compiled one, from its description."""
    live, at, counts = {}, [], []
    for index in range(last + 1):
        if index >= first:
            at.append((sum(size for size, _ in live.values()), sum(room for _, room in live.values())))
            counts.append({room: sum(one == room for _, one in live.values()) for _, room in live.values()})
        if index == last:
            break
        operation, slot = words[index] & 3, words[index] >> 2 & (1 << 26) - 1
        size = words[index] >> 28
        live.pop(slot, None)
        if operation != FREE:
            step = max(16, 1 << alignments[index]) if size <= 65536 and operation == ALLOCATE else 16
            room = max(1, -(-size // step)) * step
            live[slot] = size, room if room <= 65536 else -(-size // 65536) * 65536
    return at, counts


@pytest.mark.parametrize("seed", range(5))
def test_population_counts_what_lives(seed):
    words = churn(seed, 600, 40, lambda draw, at: draw.choice((0, 1, 16, 17, 100, 1500, 65536, 65537, 200_000)))
    alignments = bytes(random.Random(seed).choice((0, 0, 4, 6, 12)) for _ in words)
    first, last = 150, 500
    found = _tune.population(array("Q", words), alignments, 40, first, last)
    at, counts = population_of(words, alignments, first, last)
    peak = max(live for live, _ in at)
    place = found["peak_word"] - first
    assert (found["live"], found["rounded"]) == at[place] and found["live"] == peak
    assert {16 * unit: count for unit, count in enumerate(found["peak"]) if count} == {
        room: count for room, count in counts[place].items() if room <= 65536}
    assert found["live_mean"] == pytest.approx(sum(live for live, _ in at[1:]) / (last - first))
    assert found["rounded_mean"] == pytest.approx(sum(room for _, room in at[1:]) / (last - first))
    for unit, mean in enumerate(found["mean"]):
        expected = sum(one.get(16 * unit, 0) for one in counts[1:]) / (last - first) if unit <= 4096 else 0
        assert mean == pytest.approx(expected, abs=1e-9)


# ---- measuring ----


def test_the_printed_pool_runs_and_holds_what_was_measured():
    given = tune.load(traces.default_path())
    found = tune.tune(given)
    assert found.is_gain
    for line, measured in ((found.line, found.judge.fitted), ("poolcore.Pool()", found.judge.default)):
        pool = eval(line, {"poolcore": poolcore})
        # Memory and no lock: what a program would have, beside the addresses that were replayed through.
        mine = tune.measure(given.judge, None, found.judge.fitted.timeline[0][0], pool)
        at = {look[0]: look for look in measured.timeline}
        assert mine.timeline == [at[look[0]] for look in mine.timeline] and len(mine.timeline) > 200
        assert pool.check() is None
        pool.close()


def test_a_class_for_every_multiple_wastes_only_what_the_alignment_does():
    given = subject(churn(3, 6000, 500, lambda draw, at: draw.randrange(1, 1500), reallocate=0), 500)
    found = tune.tune(given, "internal", 96)
    for half in (found.fit, found.judge):
        look = next(look for look in half.fitted.timeline if look[2] == half.floor.live_peak)
        assert look[3] == half.floor.rounded_peak - half.floor.live_peak
        assert half.fitted.internal_peak < half.default.internal_peak


def test_blocks_with_an_alignment_get_a_class_that_holds_it():
    given = tune.load(WORKERS)
    assert any("5 threads" in note for note in given.notes)
    for count in (1, 4, None):
        assert any(one % 64 == 0 for one in tune.tune(given, classes=count).classes)
    allocated = [word(ALLOCATE, slot, 100) for slot in range(200)]
    given = subject([*allocated, *(word(FREE, slot) for slot in range(200))] * 2, 200, bytes([8] * 800))
    found = tune.tune(given, classes=1)
    # Without a class for it, each block would take a slab.
    assert (found.classes, found.fit.fitted.slab_peak) == ([256], 65536)


def test_blocks_are_as_aligned_as_they_were_asked_for():
    words = array("Q", [word(ALLOCATE, slot, 16 + slot) for slot in range(300)])
    alignments = bytes([4 + slot % 9 for slot in range(300)])
    slots = array("Q", bytes(8 * 300))
    with poolcore.Pool(sizes=[64, 512], memory=poolcore.AddressSpace(*tune.ADDRESSES)) as pool:
        table = pool.c_functions()
        functions = (table.pool, table.alloc, table.free, table.realloc, table.aligned)
        assert _tune.follow(functions, words, alignments, slots, 0, 300) == 300
        assert [pool.block_at(address).size for address in slots] == list(range(16, 316))
        assert not any(address % (1 << shift) for address, shift in zip(slots, alignments, strict=True))
        # Freed already: the pool says so, and the loop where.
        again = array("Q", [word(FREE, 5), word(FREE, 6)])
        pool.free(slots[6])
        assert _tune.follow(functions, again, None, slots, 0, 2) == 1
        with pytest.raises(IndexError):
            _tune.follow(functions, again, None, slots, 0, 3)


# ---- gains ----


@pytest.mark.parametrize(("first", "second", "is_worth"), [
    ((-0.1, -0.1), (-0.02, -0.02), True), ((0.0, 0.0), (0.0, -0.03), True), ((-0.1, -0.1), (0.001, -0.5), False),
    ((-0.1, -0.1), (-0.5, 0.001), False), ((0.001, -0.5), (-0.1, -0.1), False), ((-0.1, -0.1), (0.0, -0.01), False),
])
def test_only_what_is_nowhere_worse_is_proposed(first, second, is_worth):
    assert tune.is_worth(first, second) is is_worth


@pytest.mark.parametrize("path", [traces.default_path(), SHARED / "redis.mtrace.xz"], ids=["sqlite", "redis"])
def test_slab_bytes_of_a_shared_trace_fall_by_a_twentieth(path):
    found = tune.tune(tune.load(path))
    assert found.is_gain and len(found.tried) <= 20
    assert max(found.judge.changes("slab")) <= -0.05
    assert found.line == f"poolcore.Pool(sizes={found.classes})"


def test_classes_that_do_not_fit_the_second_half_are_not_proposed():
    # 320 and 80 fill slabs as well as they can; what comes later has no class near it.
    words = churn(11, 40_000, 3000, lambda draw, at: draw.choice((320, 80)) if at < 20_000 else 90)
    found = tune.tune(subject(words, 3000), classes=2)
    assert (found.classes, found.is_gain, found.line) == ([80, 320], False, "poolcore.Pool()")
    assert found.judge.changes("slab")[0] > 0
    assert found.verdict().startswith("Nothing to gain: the fitted classes are worse on what they were not fitted to")


def test_where_every_class_is_right_already_nothing_is_gained():
    words = churn(12, 40_000, 9000, lambda draw, at: 1024)
    found = tune.tune(subject(words, 9000))
    assert (found.is_gain, found.line) == (False, "poolcore.Pool()")
    assert "too little to be worth a setting" in found.verdict()


def test_large_blocks_alone_leave_nothing_to_choose():
    found = tune.tune(subject([word(ALLOCATE, slot, 100_000) for slot in range(40)], 40))
    assert (found.classes, found.is_gain, found.tried) == ([], False, [])
    assert "no block that is small enough" in found.verdict()
    assert found.fit.floor.rounded_peak == 20 * 131_072


def test_an_unknown_objective_and_an_impossible_number_are_refused():
    given = subject([word(ALLOCATE, 0, 100)], 1)
    for arguments, words in ((("speed",), "expected slab or internal"), (("slab", 0), "from 1 to 96"),
                             (("slab", 97), "from 1 to 96")):
        with pytest.raises(ValueError, match=words):
            tune.tune(given, *arguments)


def test_a_number_of_classes_is_kept():
    for count in (1, 5, 96):
        found = tune.tune(tune.load(traces.default_path()), classes=count)
        assert len(found.classes) == min(count, found.used) == found.used <= count
        assert [number for number, _ in found.tried] == [found.used]


# ---- inputs ----


def test_a_size_table_is_drawn_twice():
    found = tune.load(sizes.default_path())
    assert (found.fit.name, found.judge.name) == ("first drawing", "second drawing")
    assert bytes(found.fit.words) != bytes(found.judge.words)
    assert any("scaled from" in note for note in found.notes)
    assert bytes(tune.load(sizes.default_path()).fit.words) == bytes(found.fit.words)


def test_a_recorded_table_of_sizes_and_a_capture_are_read(tmp_path):
    table = tmp_path / "server.sizes.csv"
    table.write_text("size,receives_per_s,mean_live,receives,lifetimes,mean_lifetime_ns\n1500,90,2.5,900,9,8\n"
                     "100,9,0.5,90,9,8\n")
    assert any("to 1,048,576" in note for note in tune.load(table).notes)
    found = tune.tune(tune.load(SHARED / "http-60k.pcap.xz"))
    assert "frames, each in a block of its length" in found.what
    assert found.fit.floor.live_peak > 0


# ---- the command ----


def pybuf(*arguments):
    command = [sys.executable, "-m", "pybuf", "tune", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_prints_both_halves_the_floor_and_the_line(tmp_path):
    done = pybuf(traces.default_path(), "--classes", 4, "-o", tmp_path / "new" / "out")
    assert done.returncode == 0, done.stderr
    for part in ("first half, fitted to", "second half, judged by", "slab bytes, peak",
                 "wasted inside blocks, over time", "alignment floor, peak", "% of it"):
        assert part in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("poolcore.Pool(sizes=[")]
    kept = json.loads((tmp_path / "new" / "out" / "tune.json").read_text())
    assert (kept["line"], len(kept["classes"]), kept["schema"]) == (line, 4, 1)
    assert kept["verdict"] in done.stdout
    assert (tmp_path / "new" / "out" / "tune.png").read_bytes().startswith(b"\x89PNG")
    assert "1 number of classes to try out: about" in done.stderr


def test_what_cannot_be_used_is_one_line_and_status_2(tmp_path):
    files = {
        "empty": b"", "junk": b"\x7fELF" + bytes(99), "junk.csv": b"a,b\n1,x\n", "none.csv": b"",
        "header.pcap": bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"), "junk.pcap": b"junk" * 9,
        "log.csv": b"Thread,Time,Action,Pointer,Size,Stream\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    trace = traces.default_path()
    for arguments, words in (
        (["empty"], "is empty"), (["junk"], "no line reads '= Start'"), (["junk.csv"], "line 2: expected SIZE, RATE"),
        (["none.csv"], "holds no size"), (["header.pcap"], "holds no frame"), (["junk.pcap"], "is no packet capture"),
        (["log.csv"], "records no allocation"), (["gone"], "No such file"), (["."], "is a directory"),
        ([trace, "--classes", "0"], "from 1 to 96"), ([trace, "--classes", "97"], "from 1 to 96"),
        ([trace, "--classes", "many"], "from 1 to 96"),
        ([trace, "--for", "speed"], "'speed' is not one of 'slab', 'internal'"), ([trace, "-o", "junk"], "File exists"),
    ):
        place = [tmp_path / arguments[0], *arguments[1:]]
        done = pybuf(*(tmp_path / one if one == "junk" else one for one in place))
        assert (done.returncode, done.stdout) == (2, ""), (arguments, done.stderr)
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: ") and words in line
