"""`pybuf replay` from its command line to its files, on a trace of a few lines."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from pybuf.bench import processor, rounds, runner, tasks, trials
from pybuf.bench.manifest import ChosenContender, ChosenWorkload
from pybuf.bench.recordings import traces
from pybuf.cli import main

TINY = """\
= Start
+ 0x10 0x20
+ 0x20 0x2000
< 0x10
> 0x30 0x400
- 0x20
- 0x99
= End
"""


@pytest.fixture(autouse=True)
def locks(monkeypatch, tmp_path):
    """Locks of a test's own: it does not wait for benchmarks that run beside it."""
    monkeypatch.setattr(
        processor, "_lock_file", lambda cpu: os.open(tmp_path / f"{cpu}.lock", os.O_CREAT | os.O_RDONLY))


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.mtrace"
    path.write_text(TINY)
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `pybuf ARGUMENTS` and answers its exit status, what it printed and what it noted."""
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pybuf", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()
    return call


@pytest.fixture
def fake_mimalloc(tmp_path, monkeypatch):
    """Puts a library out of C text, or any bytes, where the loader looks for mimalloc first."""
    def build(source=None, content=b""):
        library = tmp_path / "libmimalloc.so.2"
        if source is None:
            library.write_bytes(content)
        else:
            (tmp_path / "fake.c").write_text(source)
            subprocess.run(
                [shutil.which("cc"), "-w", "-shared", "-fPIC", tmp_path / "fake.c", "-o", library], check=True
            )
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    return build


def replayed(run, tiny, *arguments):
    status, printed, _ = run("replay", tiny, "--json", "--rounds", 2, *arguments)
    assert status == 0
    return json.loads(printed)


def of(report, metric, name="tiny"):
    """The comparison of one trace in one metric."""
    (found,) = (
        one for one in report["comparisons"] if (one["metric"], one["workload"]["name"]) == (metric, name))
    return found


def test_json_holds_every_figure_of_every_contender(run, tiny):
    report = replayed(run, tiny, "--against", "pymalloc", "--seed", 7)
    assert (report["schema"], report["kind"], report["seed"], report["is_complete"]) == (2, "replay", 7, True)
    time, memory = of(report, "time"), of(report, "memory")
    trace = time["workload"]["trace"]
    assert (trace["name"], trace["recorded_events"], trace["recorded_calls"]) == ("tiny", 6, 5)
    assert (trace["peak_live_bytes"], trace["unknown_frees"], trace["never_freed_blocks"]) == (0x2400, 1, 1)
    assert (time["base"], time["rounds"], time["unit"]) == ("glibc", 2, "ns per event")
    assert time["passes"] == ["first", "later"]
    rows = {row["name"]: row for row in time["contenders"]}
    assert set(rows) == {"poolcore", "glibc", "pymalloc", "empty"}
    for name, row in rows.items():
        assert set(row["series"]) == {"first", "later"}
        assert all(len(values) == 2 and min(values) > 0 for values in row["series"].values())
        assert (row["ratios"] is None) == (name == "glibc")
        for ratio in (row["ratios"] or {}).values():
            assert 0 < ratio["low"] <= ratio["estimate"] <= ratio["high"]
            assert (ratio["confidence"], ratio["verdict"]) == (None, "range only")
    assert set(time["a_over_a"]) == {"first", "later"}
    assert {row["name"] for row in memory["contenders"]} == {"poolcore", "glibc", "pymalloc"}
    assert set(memory["memory"]) == {"poolcore", "glibc", "pymalloc"}
    assert (memory["touch"], memory["rounds"]) == ("page", 2)
    assert report["lead"]["first"]["peers"] == {"tiny": "glibc"}
    assert report["lead"]["first"]["geometric_mean"] == pytest.approx(report["lead"]["first"]["ratios"]["tiny"])
    assert time["absent"] == []


def test_first_screen_names_the_trace_its_faults_the_contenders_and_how_to_run_it_again(run, tiny):
    status, printed, noted = run("replay", tiny, "--against", "glibc", "--rounds", 1)
    assert status == 0
    for words in ("tiny  6 events, 5 calls", "1 unknown frees", "1 blocks never freed", "poolcore", "glibc", "empty",
                  "to glibc", "waste", "seed", "glibc again (A/A)", "1 round, ", "fewer than 8 rounds",
                  "report: none written; -o DIR writes one",
                  f"again:  pybuf replay {tiny} --against glibc --rounds 1 --seed "):
        assert words in printed
    assert noted.startswith("1 trace, 3 contenders, 1 round: about ")


def test_a_directory_gets_the_figures_and_a_picture_of_them(run, tiny, tmp_path):
    out = tmp_path / "new" / "out"
    status, _, noted = run("replay", tiny, "--against", "glibc", "--rounds", 1, "-o", out)
    assert status == 0
    assert of(json.loads((out / "result.json").read_text()), "time")["workload"]["trace"]["name"] == "tiny"
    assert json.loads((out / "manifest.json").read_text())["rounds"] == 1
    picture = (out / "replay.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")
    assert len(picture) > 10_000
    assert "replay.png" in noted


def test_a_library_that_fails_to_load_is_named_with_the_loaders_words_and_its_package(run, tiny, fake_mimalloc):
    fake_mimalloc(content=b"no library")
    status, printed, _ = run("replay", tiny, "--against", "mimalloc", "--rounds", 1)
    assert status == 0
    assert "mimalloc not here: " in printed
    assert "libmimalloc.so.2" in printed
    assert "apt install libmimalloc2.0" in " ".join(printed.split())


def test_a_library_without_the_functions_is_named(run, tiny, fake_mimalloc):
    fake_mimalloc("int nothing;")
    (absent,) = of(replayed(run, tiny, "--against", "mimalloc"), "time")["absent"]
    assert (absent["name"], absent["reason"]) == ("mimalloc", "has no function mi_malloc")


BUMP = """
#include <stddef.h>
static char block[1 << 20]; static size_t used;
void *mi_malloc(size_t size) { void *p = block + used; used += %s; return p; }
void *mi_realloc(void *old, size_t size) { return %s; }
void mi_free(void *p) { %s; }
"""


@pytest.mark.parametrize(("advance", "moved", "release", "reason"), [
    ("0", "old", "", "changed the bytes of a live block, seen at call "),
    ("size", "0", "", "gave no memory for 1,024 bytes at call 3"),
    ("size", "mi_malloc(size)", "", "changed the bytes of a live block, seen at call 3"),
    ("size", "__builtin_memcpy(mi_malloc(size), old, 32)", "*(volatile int *)0 = 1", "died of SIGSEGV"),
])
def test_a_contender_that_fails_is_disqualified_by_name(run, tiny, fake_mimalloc, advance, moved, release, reason):
    fake_mimalloc(BUMP % (advance, moved, release))
    one = of(replayed(run, tiny, "--against", "mimalloc"), "time")
    (absent,) = one["absent"]
    assert (absent["name"], absent["is_disqualified"]) == ("mimalloc", True)
    assert absent["reason"].startswith(reason)
    assert {row["name"] for row in one["contenders"]} == {"poolcore", "glibc", "empty"}


def test_no_variable_of_the_callers_that_tunes_an_allocator_reaches_a_trial(run, tiny, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/nonexistent/interposer.so")
    monkeypatch.setenv("PYTHONMALLOC", "no such allocator")
    assert of(replayed(run, tiny, "--against", "glibc"), "time")["absent"] == []


def test_a_trial_imports_neither_click_nor_numpy():
    code = "import sys, pybuf.bench.trial; print(*{n.partition('.')[0] for n in sys.modules})"
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    loaded = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, check=True)
    assert not {"click", "rich", "numpy", "matplotlib"} & set(loaded.stdout.decode().split())


def test_every_trace_is_reported_and_the_leads_meet_in_a_geometric_mean(run, tiny, tmp_path):
    other = tmp_path / "other.mtrace"
    other.write_text(TINY)
    report = replayed(run, tiny, other, "--against", "glibc")
    assert [one["workload"]["name"] for one in report["comparisons"]] == ["tiny", "tiny", "other", "other"]
    lead = report["lead"]["later"]
    assert set(lead["ratios"]) == {"tiny", "other"}
    assert lead["geometric_mean"] == pytest.approx((lead["ratios"]["tiny"] * lead["ratios"]["other"]) ** 0.5)


def scripted(monkeypatch, times, count):
    """A task of one trace whose trials of ours and glibc answer these wall and processor times in turn."""
    answers = iter(times)

    def answer(order, padding):
        (entry,) = order["contenders"]
        wall, cpu = next(answers)
        measured = {"wall_ns": [wall] * 6, "cpu_ns": [cpu] * 6, "operations": 2}
        return {"origins": {}, "rounds": [{entry["name"]: measured}]}

    monkeypatch.setattr(trials, "ask", answer)
    trace = traces.parse([b"= Start", b"+ 0x1 0x1000", b"- 0x1"], "t")
    task = tasks.Task(
        "t, time", "t", tasks.TRACE, ChosenWorkload("trace"), "time", 1, "line",
        [ChosenContender("poolcore"), ChosenContender("glibc")], ["first", "later"], trace)
    its = trials.Trials(task, 0, [0])
    monkeypatch.setattr(its, "draw", lambda number: InOrder())
    one = runner._Progressing(its, count)
    while not one.is_finished:
        one.take(one.step())
    return rounds.comparison(one.trials, one.rounds, one.repeated, one.disturbed)


class InOrder:
    """Draws nothing at random."""

    def sample(self, entries, count):
        return entries

    def randrange(self, *bounds):
        return bounds[0]


def test_a_round_on_a_shared_processor_is_repeated_as_a_whole(monkeypatch):
    comparison = scripted(monkeypatch, [(100, 100), (300, 200), (50, 50), (100, 100)], count=1)
    assert (comparison.rounds, comparison.repeated_rounds, comparison.disturbed_rounds) == (1, 1, 0)
    assert comparison.row("poolcore").ratios["first"].estimate == 0.5
    assert comparison.row("poolcore").series["first"] == [25]


def test_rounds_that_stay_disturbed_are_kept_and_counted(monkeypatch):
    comparison = scripted(monkeypatch, [(300, 200)] * 8, count=2)
    assert (comparison.rounds, comparison.repeated_rounds, comparison.disturbed_rounds) == (2, 2, 2)


def test_ratios_are_formed_within_a_round(monkeypatch):
    comparison = scripted(monkeypatch, [(10, 10), (20, 20), (300, 300), (100, 100), (40, 40), (40, 40)], count=3)
    ratio = comparison.row("poolcore").ratios["first"]
    assert (ratio.low, ratio.high) == pytest.approx((0.5, 3))
    # The middle of 0.5, 1, 3 and of the geometric means of their pairs.
    assert ratio.estimate == pytest.approx((1 * 1.5 ** 0.5) ** 0.5)


def test_a_processor_is_held_by_one_benchmark_at_a_time(monkeypatch):
    monkeypatch.setattr(processor, "_allowed", lambda: [5, 3])
    with processor.locked() as first, processor.locked() as second:
        assert (first, second) == (5, 3)
    with processor.locked() as again:
        assert again == 5


def test_two_benchmarks_that_want_all_processors_wait_for_each_other_in_turn(monkeypatch):
    monkeypatch.setattr(processor, "_allowed", lambda: [5, 3])
    with processor.locked_many(2) as both:
        assert both == [5, 3]
    waited = []
    with processor.locked() as cpu:
        assert cpu == 5
        monkeypatch.setattr(processor.fcntl, "flock", impatient(processor.fcntl.flock, waited))
        with pytest.raises(TimeoutError), processor.locked_many(2, on_wait=lambda: waited.append("told")):
            pass
    assert waited == ["told", "blocked"]


def impatient(flock, waited):
    """Stands for flock(2): notes that it would wait, and does not."""
    def call(descriptor, operation):
        try:
            flock(descriptor, operation | processor.fcntl.LOCK_NB)
        except BlockingIOError:
            if operation & processor.fcntl.LOCK_NB:
                raise
            waited.append("blocked")
            raise TimeoutError from None
    return call
