"""The run of a manifest, with trials that answer from a script: no time is measured here."""

import contextlib
import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pybuf.bench import choices, compare, journal, runner, tasks
from pybuf.bench import trials as bench_trials
from pybuf.bench.manifest import ChosenContender, ChosenWorkload, Manifest
from pybuf.bench.reports import chart, html, perfetto, terminal

TINY = "= Start\n+ 0x10 0x20\n+ 0x20 0x2000\n< 0x10\n> 0x30 0x400\n- 0x20\n= End\n"

ECHO = "import sys; print(end=sys.argv[1])"


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.mtrace"
    path.write_text(TINY)
    return path


def a_manifest(tiny, **changed):
    given = {
        "kind": "replay", "command": ["pybuf", "replay"], "seed": 1, "touch": "line", "rounds": 9,
        "contenders": [ChosenContender(name) for name in ("poolcore", "glibc", "mimalloc", "empty")],
        "workloads": [ChosenWorkload("trace", trace=str(tiny))], "metrics": ["time"], "threads": [1],
    }
    return Manifest(**{**given, **changed})


class Trials:
    """Stands for the processes of trials: answers orders, and keeps them."""

    def __init__(self):
        self.orders = []
        self.speed = {"poolcore": 50, "mimalloc": 90, "empty": 10}
        self.share_of_bytes = {}
        self.missing = {}
        self.broken = {}
        self.stop_after = None

    def ask(self, order, padding):
        self.orders.append(order)
        if self.stop_after is not None and self.count("time") > self.stop_after:
            raise KeyboardInterrupt
        names = [entry["name"] for entry in order["contenders"]]
        for name in names:
            if name in self.broken:
                raise bench_trials.TrialFailedError(self.broken[name])
        answer = {"origins": dict.fromkeys(names, "")}
        missing = {name: self.missing[name] for name in names if name in self.missing}
        if missing:
            return {**answer, "missing": missing}
        draw = random.Random(order["seed"])
        if order["metric"] == "memory":
            return {**answer, "memory": {
                name: {"timeline": [[1, 10, None, 4096]], "peak_live_bytes": 10,
                       "peak_resident_bytes": draw.randrange(20_000, 21_000) * self.share_of_bytes.get(name, 1)}
                for name in names}}
        if order["metric"] == "latency":
            return {**answer, "histogram": {
                name: [[20, 5000], [40 if name == "empty" else 60, 50], [1000, 12]] for name in names}}
        rounds = [{
            name: {"wall_ns": [int(self.speed.get(name, 100) * 1e6 * draw.uniform(0.99, 1.01))] * order["passes"],
                   "cpu_ns": None, "operations": 1000, "misses": [0] * order["passes"]}
            for name in names} for _ in range(order["rounds"])]
        return {**answer, "rounds": rounds}

    def count(self, metric):
        return sum(order["metric"] == metric for order in self.orders)


@pytest.fixture
def trials(monkeypatch):
    found = Trials()
    monkeypatch.setattr(bench_trials, "ask", found.ask)
    monkeypatch.setattr(runner.processor, "locked_many", lambda *_: contextlib.nullcontext([0]))
    monkeypatch.setattr(runner, "look", lambda entry: {"version": "1", "origin": "/nonexistent"})
    return found


def run(manifest, directory=None):
    said = []
    result = runner.run(tasks.plan(manifest), directory, lambda words, share: said.append((words, share)))
    assert all(0 <= share <= 1 for _, share in said)
    return result


def test_a_round_goes_through_all_contenders_there_and_back_in_an_order_of_its_own(trials, tiny):
    (one,) = run(a_manifest(tiny)).comparisons
    timed = [order["contenders"][0]["name"] for order in trials.orders if order["metric"] == "time"]
    rounds = [timed[start:start + 10] for start in range(0, len(timed), 10)]
    assert len(rounds) == one.rounds == 9
    assert {tuple(sorted(names[:5])) for names in rounds} == {("A/A", "empty", "glibc", "mimalloc", "poolcore")}
    assert all(names == names[::-1] for names in rounds)
    assert len({tuple(names) for names in rounds}) > 4
    assert {"name": "A/A", "same_as": "glibc"} in [order["contenders"][0] for order in trials.orders]
    assert [row.name for row in one.contenders] == ["poolcore", "glibc", "mimalloc", "empty"]
    assert one.processes == 2


def test_the_mean_of_both_runs_counts_and_one_of_them_is_enough_to_disturb_a_round(tiny, monkeypatch):
    (task,) = tasks.plan(a_manifest(tiny, contenders=[ChosenContender("glibc")])).tasks
    trials = bench_trials.Trials(task, 0, [0])
    answers = []

    def ask(order, padding):
        (name,) = (entry["name"] for entry in order["contenders"])
        wall, cpu = answers.pop()
        return {"rounds": [{name: {"wall_ns": [wall, 10], "cpu_ns": [cpu, 10], "idle": [0.1, 0], "operations": 7}}]}

    monkeypatch.setattr(bench_trials, "ask", ask)
    answers[:] = [(100, 100), (120, 120), (140, 140), (200, 200)]
    found, is_disturbed = trials.round(0)
    first, second = found.values()
    assert sorted([first["wall_ns"], second["wall_ns"]]) == [[130, 10], [150, 10]]
    assert (first["cpu_ns"], first["operations"], is_disturbed) == (first["wall_ns"], 7, False)
    answers[:] = [(100, 90), (100, 100), (100, 100), (100, 100)]
    assert trials.round(1)[1]


@pytest.mark.parametrize(("changed", "processes"), [
    ({"time_s": 60.0}, 2), ({"time_s": 8.0}, 1), ({"rounds": 1}, 2), ({"metrics": ["memory"], "rounds": 9}, 1),
    ({"workloads": [ChosenWorkload("lifo-pair")], "rounds": 9}, 1),
    ({"workloads": [ChosenWorkload("size-table")], "rounds": 9}, 2),
    ({"workloads": [ChosenWorkload("size-table")], "time_s": 20.0}, 1),
])
def test_contenders_that_do_not_share_a_process_run_twice_in_a_round_where_there_is_time(tiny, changed, processes):
    (task,) = tasks.plan(a_manifest(tiny, **{"rounds": None, **changed})).tasks
    assert task.processes == processes


def test_orders_that_differ_in_a_name_take_the_same_room_in_the_c_library_s_heap(monkeypatch):
    asked = []
    monkeypatch.setattr(bench_trials.children, "ask", lambda command, *_: asked.append(command[-1]) or {})
    orders = [{"contenders": [{"name": name}], "offset": 16} for name in ("glibc", "A/A", "m" * 5000)]
    for order in orders:
        bench_trials.ask(order, 0)
    assert [json.loads(text) for text in asked] == orders
    assert [len(text) for text in asked] == [4096, 4096, 8192]


def test_the_longest_order_is_one_that_a_process_can_be_given(monkeypatch):
    def echo(command, *_):
        return {"bytes": len(subprocess.run([sys.executable, "-c", ECHO, command[-1]], stdout=subprocess.PIPE,
                                            check=True).stdout)}

    monkeypatch.setattr(bench_trials.children, "ask", echo)
    most = bench_trials.MOST_ORDER_BYTES
    empty = len(json.dumps({"workload": ""}))
    for length in (most - bench_trials.ORDER_BYTES + 2, most):
        assert bench_trials.ask({"workload": "m" * (length - empty)}, 0)["bytes"] == most
    with pytest.raises(journal.RunError, match="131,072 bytes in the order of one process, which may have at most"):
        bench_trials.ask({"workload": "m" * (most + 1 - empty)}, 0)


def test_verdicts_come_from_the_rounds(trials, tiny):
    trials.speed["mimalloc"] = 100
    (one,) = run(a_manifest(tiny, rounds=20)).comparisons
    verdicts = {row.name: {ratio.verdict for ratio in (row.ratios or {}).values()} for row in one.contenders}
    assert verdicts == {
        "poolcore": {"faster"}, "glibc": set(), "mimalloc": {"no difference"}, "empty": {"faster"}}
    assert one.a_over_a["first"].verdict == "no difference"
    assert 0 < one.smallest_effect["first"] < 0.02
    assert one.row("poolcore").ratios["first"].estimate == pytest.approx(0.5, rel=0.02)


def test_the_same_seed_gives_the_same_orders(trials, tiny):
    run(a_manifest(tiny, rounds=2))
    first, trials.orders = trials.orders, []
    run(a_manifest(tiny, rounds=2))
    assert [{**order, "words": ""} for order in trials.orders] == [{**order, "words": ""} for order in first]
    assert len({order["offset"] for order in first}) > 5
    trials.orders = []
    run(a_manifest(tiny, rounds=2, seed=2))
    assert [order["offset"] for order in trials.orders] != [order["offset"] for order in first]


def test_every_contender_but_the_empty_harness_is_checked_before_it_is_timed(trials, tiny):
    run(a_manifest(tiny, rounds=1))
    metrics = [order["metric"] for order in trials.orders]
    assert metrics == ["check"] * 3 + ["time"] * 10


def test_an_interrupted_run_goes_on_where_it_was_and_ends_as_if_nothing_had_been(trials, tiny, tmp_path):
    whole = run(a_manifest(tiny))
    out = tmp_path / "out"
    manifest, is_resumed = journal.begin(a_manifest(tiny), out, False)
    assert not is_resumed
    trials.orders, trials.stop_after = [], 45
    part = run(manifest, out)
    assert not part.is_complete
    assert part.comparisons[0].rounds == 4
    journal.write(part, out)
    with (out / "rounds.jsonl").open("a") as file:
        file.write('{"comparison": "torn' * 9999)  # as if the machine had died within a line
    trials.orders, trials.stop_after = [], None
    manifest, is_resumed = journal.begin(a_manifest(tiny, seed=77), out, False)
    assert (is_resumed, manifest.seed) == (True, 1)
    rest = run(manifest, out)
    assert (trials.count("check"), trials.count("time")) == (0, 5 * 10)
    assert rest.is_complete
    assert rest.comparisons == whole.comparisons
    assert len([json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]) == 1 + 1 + 9


def test_a_contender_that_was_out_stays_out_when_the_run_goes_on(trials, tiny, tmp_path):
    trials.broken["mimalloc"] = "died of SIGSEGV"
    trials.stop_after = 6
    run(a_manifest(tiny, rounds=3), tmp_path)
    trials.broken, trials.stop_after = {}, None
    (one,) = run(a_manifest(tiny, rounds=3), tmp_path).comparisons
    (absent,) = one.absent
    assert (absent.name, absent.reason, absent.is_disqualified) == ("mimalloc", "died of SIGSEGV", True)
    assert one.row("mimalloc") is None


def test_rounds_of_one_process_are_not_gone_on_with_by_rounds_of_two(trials, tiny, tmp_path, monkeypatch):
    trials.stop_after = 6
    with monkeypatch.context() as before:
        before.setattr(tasks, "PROCESSES", 1)
        run(a_manifest(tiny), tmp_path)
    trials.stop_after = None
    with pytest.raises(journal.RunError, match=r"of processes \(1 of each contender, and 2 here\); choose"):
        run(a_manifest(tiny), tmp_path)


@pytest.mark.parametrize(("name", "rows"), [
    ("mimalloc", ["poolcore", "glibc", "empty"]), ("glibc", ["poolcore", "mimalloc", "empty"]),
])
@pytest.mark.parametrize("failing", [2, 3])
def test_who_fails_in_the_first_or_the_second_run_of_a_round_is_out(trials, tiny, monkeypatch, name, rows, failing):
    calls = []

    def ask(order, padding):
        if order["metric"] == "time" and order["contenders"][0]["name"] == name:
            calls.append(order)
            if len(calls) > failing:
                raise bench_trials.TrialFailedError("died of SIGSEGV")
        return trials.ask(order, padding)

    monkeypatch.setattr(bench_trials, "ask", ask)
    (one,) = run(a_manifest(tiny)).comparisons
    assert [row.name for row in one.contenders] == rows
    assert [absent.name for absent in one.absent] == [name]
    assert (one.rounds, len(calls)) == (9, failing + 1)
    assert all(len(row.series["later"]) == 9 for row in one.contenders)
    assert bool(one.a_over_a) == (name != "glibc")


def test_another_unfinished_run_in_the_directory_is_not_overwritten(trials, tiny, tmp_path):
    out = tmp_path / "out"
    trials.stop_after = 6
    run(journal.begin(a_manifest(tiny), out, False)[0], out)
    for other, is_seed_given in ((a_manifest(tiny, rounds=5), False), (a_manifest(tiny, seed=5), True)):
        with pytest.raises(journal.RunError, match="holds another run that is not finished: pybuf replay; finish it"):
            journal.begin(other, out, is_seed_given)
    tiny.write_text(TINY.replace("0x20", "0x21"))
    changed = a_manifest(tiny, workloads=choices.traces([tiny]))
    with pytest.raises(journal.RunError, match="another run"):
        journal.begin(changed, out, False)


def test_a_finished_run_in_the_directory_is_replaced(trials, tiny, tmp_path):
    out = tmp_path / "out"
    journal.write(run(journal.begin(a_manifest(tiny, rounds=2), out, False)[0], out), out)
    manifest, is_resumed = journal.begin(a_manifest(tiny, rounds=1, seed=9), out, False)
    assert (is_resumed, manifest.seed) == (False, 9)
    journal.write(run(manifest, out), out)
    assert json.loads((out / "result.json").read_text())["comparisons"][0]["rounds"] == 1


def test_a_run_does_not_go_on_on_another_machine(trials, tiny, tmp_path, monkeypatch):
    trials.stop_after = 6
    run(a_manifest(tiny), tmp_path)
    trials.stop_after = None
    monkeypatch.setattr(runner, "look", lambda entry: {"version": "2", "origin": "/nonexistent"})
    with pytest.raises(journal.RunError, match=r"is another build: 1 .* and 2 "):
        run(a_manifest(tiny), tmp_path)


def test_a_journal_that_is_damaged_is_named(trials, tiny, tmp_path):
    written = journal.Journal(tmp_path / "rounds.jsonl")
    for _ in range(3):
        written.add({"seconds": 0})
    written.close()
    whole = (tmp_path / "rounds.jsonl").read_bytes()
    lines = whole.splitlines()
    for damaged in (b"nonsense", b"5", b"[]", b"{}", lines[1].replace(b"0", b"1", 1), lines[1][:-2]):
        (tmp_path / "rounds.jsonl").write_bytes(b"\n".join([lines[0], damaged, lines[2], b""]))
        with pytest.raises(journal.RunError, match="line 2 is damaged"):
            run(a_manifest(tiny), tmp_path)
    (tmp_path / "rounds.jsonl").write_bytes(whole)
    run(a_manifest(tiny, rounds=1), tmp_path)


def test_a_second_run_in_the_directory_of_one_that_goes_on_is_refused(trials, tiny, tmp_path):
    manifest = a_manifest(tiny, rounds=1)
    journal.begin(manifest, tmp_path, False)
    first = journal.Journal(tmp_path / "rounds.jsonl")
    for begin in (lambda: journal.begin(manifest, tmp_path, False), lambda: run(manifest, tmp_path)):
        with pytest.raises(journal.RunError, match=r"another run is writing to .*; wait until it ends"):
            begin()
    first.close()
    assert journal.begin(manifest, tmp_path, False)[1]
    assert run(manifest, tmp_path).is_complete


def test_a_full_disk_is_told_with_what_to_do(trials, tiny, tmp_path, monkeypatch):
    written = journal.Journal.add

    def add(journal, line):
        if line.get("state") and len(journal.lines) > 3:
            journal.file.close()
            journal.file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 (closed with the journal)
        written(journal, line)

    monkeypatch.setattr(journal.Journal, "add", add)
    with pytest.raises(journal.RunError) as refused:
        run(a_manifest(tiny), tmp_path)
    told = f"{tmp_path / 'rounds.jsonl'}: No space left on device; the rounds before this one are kept"
    assert told in str(refused.value)


def a_clock(trials, tiny, tmp_path, monkeypatch):
    """A clock, in a list, and two traces: a process takes a second of it with the one, and three with the other."""
    now = [0.0]
    monkeypatch.setattr(runner.time, "perf_counter", lambda: now[0])
    answer = trials.ask

    def slow(order, padding):
        now[0] += 3 if order["parameters"].get("slow") else 1
        return answer(order, padding)

    monkeypatch.setattr(bench_trials, "ask", slow)
    other = tmp_path / "other.mtrace"
    other.write_text(TINY)
    return now, [ChosenWorkload("trace", {}, str(tiny)), ChosenWorkload("trace", {"slow": True}, str(other))]


def test_time_is_kept_and_shared_among_the_comparisons(trials, tiny, tmp_path, monkeypatch):
    now, workloads = a_clock(trials, tiny, tmp_path, monkeypatch)
    result = run(a_manifest(tiny, rounds=None, time_s=1200.0, workloads=workloads))
    quick, slow_one = (one.rounds for one in result.comparisons)
    assert now[0] <= 1200
    assert 1200 - now[0] < 30
    assert 2.5 < quick / slow_one < 3.5


def test_everyone_has_the_rounds_that_verdicts_need_before_time_is_shared(trials, tiny, tmp_path, monkeypatch):
    _, workloads = a_clock(trials, tiny, tmp_path, monkeypatch)
    manifest = a_manifest(tiny, rounds=None, time_s=480.0, workloads=workloads)
    quick, slow_one = (one.rounds for one in run(manifest).comparisons)
    # Two contenders, two passes and two traces are eight ratios. Half the time would have been seven slow rounds.
    assert tasks.plan(manifest).fewest_rounds == slow_one == 9
    assert quick > 15


def test_time_that_was_spent_before_the_interruption_counts(trials, tiny, tmp_path):
    def spend(seconds):
        (tmp_path / "rounds.jsonl").unlink(missing_ok=True)
        written = journal.Journal(tmp_path / "rounds.jsonl")
        written.add({"seconds": seconds})
        written.close()

    spend(40)
    assert run(a_manifest(tiny, rounds=None, time_s=100.0), tmp_path).comparisons[0].rounds > 1
    spend(100)
    assert run(a_manifest(tiny, rounds=None, time_s=100.0), tmp_path).comparisons[0].rounds == 1


def test_a_missing_base_leaves_times_without_ratios(trials, tiny):
    trials.missing["glibc"] = "not on this system"
    (one,) = run(a_manifest(tiny, rounds=2)).comparisons
    assert [row.ratios for row in one.contenders] == [None] * 3
    assert [absent.name for absent in one.absent] == ["glibc"]
    assert one.a_over_a == {}


def test_when_everybody_is_out_all_files_are_written_and_say_so(trials, tiny, tmp_path):
    trials.broken = dict.fromkeys(("poolcore", "glibc", "mimalloc", "empty", tasks.SAME), "lost a byte")
    found = run(a_manifest(tiny, metrics=["time", "memory", "latency"]))
    assert [(one.rounds, one.contenders) for one in found.comparisons] == [(0, [])] * 3
    out = io.StringIO()
    terminal.print_result(found, tmp_path, Console(file=out, width=120))
    assert "glibc disqualified: lost a byte" in out.getvalue()
    html.write_report(found.as_dict(), tmp_path / "report.html")
    perfetto.write_timeline(found.as_dict(), tmp_path / "timeline.json")
    chart.write_chart(found, tmp_path / "replay.png")
    assert "No contender finished a round" in (tmp_path / "report.html").read_text()


def test_rounds_in_which_nothing_was_missed_have_no_ratios(trials, tmp_path):
    audio = [ChosenWorkload("audio-period")]
    trials.speed = {"bytearray": 0, tasks.SAME: 0, "deque-pool": 0}
    contenders = [ChosenContender(name) for name in ("poolcore", "bytearray", "deque-pool")]
    found = run(a_manifest(None, workloads=audio, contenders=contenders, rounds=9))
    (one,) = found.comparisons
    assert (one.base, one.a_over_a, one.size_histogram) == ("bytearray", {}, None)
    assert [row.ratios for row in one.contenders] == [{}, None, {}]
    terminal.print_result(found, tmp_path, Console(file=io.StringIO(), width=120))
    chart.write_chart(found, tmp_path / "replay.png")
    assert "no contender is compared with another" in html.page(found.as_dict())
    with pytest.raises(compare.UnlikeError, match="no figures in common"):
        compare.compare(found, found)


def test_sizes_are_counted_once_for_all_metrics_of_a_workload(trials):
    table = ChosenWorkload("size-table")
    time, memory = run(a_manifest(None, workloads=[table], metrics=["time", "memory"], rounds=1)).comparisons
    assert time.size_histogram == memory.size_histogram
    sizes = [size for size, _ in time.size_histogram]
    assert len(sizes) > 100
    assert sizes == sorted(set(sizes))
    # An event is an allocation or a free, and a body has as many of either.
    assert sum(count for _, count in time.size_histogram) == time.workload.parameters["events"] / 2
    assert {16, 65536} <= set(time.class_edges)


def test_sizes_of_a_trace_are_those_of_its_calls(trials, tiny):
    (one,) = run(a_manifest(tiny, rounds=1)).comparisons
    assert one.size_histogram == [[0x20, 1], [0x400, 1], [0x2000, 1]]


@pytest.mark.parametrize(("width", "net"), [(200, True), (120, False)])
def test_a_table_that_has_no_room_gives_up_net_times_and_cuts_nothing_off(trials, tiny, width, net):
    trials.speed |= {"mimalloc": 9000}
    found = run(a_manifest(tiny, rounds=9))
    out = io.StringIO()
    terminal.print_result(found, None, Console(file=out, width=width))
    assert "\u2026" not in out.getvalue()
    assert ("net" in out.getvalue()) == net
    assert "9 rounds of 2 processes each, 0 repeated" in out.getvalue()
    for ratio in found.comparisons[0].row("mimalloc").ratios.values():
        assert f"[{ratio.low:.2f}..{ratio.high:.2f}]" in out.getvalue()


@pytest.mark.parametrize(("rounds", "verdict"), [(8, "inconclusive"), (9, "faster")])
def test_rounds_that_cannot_decide_among_so_many_ratios_are_told(trials, tiny, rounds, verdict):
    traces = [ChosenWorkload("trace", trace=str(tiny))] * 2
    found = run(a_manifest(tiny, rounds=rounds, workloads=traces))
    assert {one.row("poolcore").ratios["first"].verdict for one in found.comparisons} == {verdict}
    out = io.StringIO()
    terminal.print_result(found, None, Console(file=out, width=120))
    told = "8 rounds are too few to call any of 8 ratios faster or slower: at least 9 are needed"
    assert (told in out.getvalue()) == (verdict == "inconclusive")


def test_bytes_and_latencies_come_from_rounds_of_their_own(trials, tiny):
    memory, latency = run(a_manifest(tiny, metrics=["memory", "latency"], rounds=None, time_s=60.0)).comparisons
    assert (memory.rounds, memory.touch, memory.unit) == (3, "page", "bytes")
    assert "empty" not in memory.memory
    assert memory.memory["glibc"].peak_resident_bytes in memory.row("glibc").series["all"]
    assert memory.memory["glibc"].waste > 1
    # Of 15,186 samples 15 lie beyond the 99.9th, too few; and below 40 ns it is the harness that is seen.
    assert latency.latency["glibc"].percentiles == {"50": None, "90": None, "99": 60, "99.9": None, "99.99": None}
    assert latency.latency["empty"].percentiles == {"50": 20, "90": 20, "99": 40, "99.9": None, "99.99": None}
    assert latency.latency["glibc"].counts == [[20, 15000], [60, 150], [1000, 36]]


def test_rounds_that_are_asked_for_are_those_of_bytes_and_latencies_too(trials, tiny):
    found = run(a_manifest(tiny, metrics=["memory", "latency"], rounds=12)).comparisons
    assert [one.rounds for one in found] == [12, 12]
    assert found[0].row("poolcore").ratios["all"].confidence == 0.99


def test_fewer_bytes_are_not_called_faster(trials, tiny):
    trials.share_of_bytes = {"poolcore": 0.5, "mimalloc": 2}
    found = run(a_manifest(tiny, metrics=["memory"], rounds=12))
    out = io.StringIO()
    terminal.print_result(found, None, Console(file=out, width=120))
    assert "] less" in out.getvalue() and "] more" in out.getvalue()
    assert "faster" not in out.getvalue() and "slower" not in out.getvalue()


def test_contenders_that_share_a_process_are_run_apart_to_find_which_of_them_died(trials, monkeypatch):
    trials.broken["mimalloc"] = "died of SIGSEGV"
    checks = trials.ask

    def ask(order, padding):
        if order["metric"] == "check":
            return {"origins": {}}
        return checks(order, padding)

    monkeypatch.setattr(bench_trials, "ask", ask)
    chosen = choices.workloads(["lifo-pair"])
    (one,) = run(a_manifest("", kind="bench", workloads=chosen, rounds=2)).comparisons
    assert one.rounds == 2
    assert [(absent.name, absent.reason) for absent in one.absent] == [("mimalloc", "died of SIGSEGV")]
    shared = [order for order in trials.orders if len(order["contenders"]) > 1]
    assert [sorted(entry["name"] for entry in order["contenders"]) for order in shared[1:]] == [
        ["A/A", "empty", "glibc", "poolcore"]] * 2
    assert {order["rounds"] for order in shared} == {tasks.MOST_TURNS}


def test_a_round_of_a_shared_process_is_the_middle_of_its_calm_turns():
    (task,) = tasks.plan(a_manifest("", kind="bench", workloads=choices.workloads(["lifo-pair"]))).tasks
    trials = bench_trials.Trials(task, 0, [0])

    def turns(*pairs):
        return [{"glibc": {"wall_ns": [wall], "cpu_ns": [cpu], "operations": 10}} for wall, cpu in pairs]

    found, is_disturbed = trials._joined(turns((100, 100), (110, 110), (900, 500)))
    assert (found["glibc"]["wall_ns"], found["glibc"]["operations"], is_disturbed) == ([105], 10, False)
    found, is_disturbed = trials._joined(turns((300, 200), (310, 200), (900, 500)))
    assert (found["glibc"]["wall_ns"], is_disturbed) == ([310], True)


def test_within_a_shared_process_ratios_are_formed_turn_by_turn():
    (task,) = tasks.plan(a_manifest("", kind="bench", workloads=choices.workloads(["lifo-pair"]))).tasks
    trials = bench_trials.Trials(task, 0, [0])

    def turn(**walls):
        return {name: {"wall_ns": [wall], "cpu_ns": [wall], "operations": 10} for name, wall in walls.items()}

    # The machine slows down and recovers; whoever fails in a later turn has no figure.
    turns = [turn(poolcore=110, glibc=100, failing=1), turn(glibc=300, poolcore=330), turn(glibc=200, poolcore=240)]
    found, _ = trials._joined(turns)
    assert {name: one["wall_ns"] for name, one in found.items()} == {
        "glibc": [200], "poolcore": [pytest.approx(220)]}


def test_estimates_follow_the_request(trials, tiny):
    def estimate(**changed):
        return tasks.plan(a_manifest(tiny, **changed))

    assert estimate(rounds=40).estimate_s > 1.5 * estimate(rounds=20).estimate_s
    assert estimate(rounds=None, time_s=15.0).estimate_s == 15
    assert estimate(rounds=None, time_s=15.0).few_rounds == 0
    assert estimate(rounds=None, time_s=1.0).few_rounds in range(1, 8)
    assert estimate(rounds=2).few_rounds == 0
    # A few rounds of bytes do not take the time that there is.
    assert estimate(rounds=None, time_s=60.0, metrics=["memory"]).estimate_s < 10


def test_estimates_know_what_sets_up_and_what_waits_for_a_clock(tiny):
    def cost(name, **parameters):
        workload = ChosenWorkload(name, parameters)
        contenders = choices.contenders(None, [name])
        (task,) = tasks.plan(a_manifest(tiny, workloads=[workload], contenders=contenders)).tasks
        return task.cost_s() / len(task.contenders) / task.processes

    assert cost("audio-period") > 200 * 128 / 48_000
    assert cost("audio-period", count=400) > 1.8 * cost("audio-period")
    assert cost("size-table", live_bytes=1 << 30) > 4 * cost("size-table", live_bytes=1 << 20)
    assert cost("buffers") < 1 < 20 * cost("asyncio-echo")
