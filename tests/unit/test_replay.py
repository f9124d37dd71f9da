"""`pybuf replay` from its command line to its files, on a trace of a few lines."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from pybuf.bench import processor, replay, traces
from pybuf.bench.replay import Spread
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


def test_json_holds_every_figure_of_every_contender(run, tiny):
    report = replayed(run, tiny, "--against", "pymalloc", "--seed", 7)
    assert (report["schema"], report["seed"], report["rounds"], report["passes"]) == (1, 7, 2, 6)
    (one,) = report["traces"]
    trace = one["trace"]
    assert (trace["name"], trace["recorded_events"], trace["recorded_calls"]) == ("tiny", 6, 5)
    assert (trace["peak_live_bytes"], trace["unknown_frees"], trace["never_freed_blocks"]) == (0x2400, 1, 1)
    results = {result["name"]: result for result in one["results"]}
    assert set(results) == {"poolcore", "glibc", "pymalloc", "empty"}
    for name, result in results.items():
        for timing in (result["first"], result["later"]):
            assert 0 < timing["ns"]["q1"] <= timing["ns"]["median"] <= timing["ns"]["q3"]
            assert timing["ratio_to_glibc"]["median"] > 0
            assert len(timing["rounds_ns"]) == 2
        assert (result["resident_bytes"] is None) or name != "empty"
    assert results["glibc"]["later"]["ratio_to_glibc"] == {"median": 1, "q1": 1, "q3": 1}
    assert one["first_lead"]["peer"] == "glibc"
    assert report["first_lead"] == pytest.approx(one["first_lead"]["ratio"]["median"])
    assert one["absent"] == []


def test_tables_name_the_trace_its_faults_and_the_contenders(run, tiny):
    status, printed, noted = run("replay", tiny, "--against", "glibc", "--rounds", 1)
    assert status == 0
    for words in ("tiny  6 events, 5 calls", "1 unknown frees", "1 blocks never freed", "poolcore", "glibc", "empty",
                  "to glibc", "waste", "seed"):
        assert words in printed
    assert noted.startswith("1 trace, 3 contenders, 1 rounds: about ")


def test_a_directory_gets_the_figures_and_a_picture_of_them(run, tiny, tmp_path):
    status, _, noted = run("replay", tiny, "--against", "glibc", "--rounds", 1, "-o", tmp_path / "new" / "out")
    assert status == 0
    assert json.loads((tmp_path / "new/out/replay.json").read_text())["traces"][0]["trace"]["name"] == "tiny"
    picture = (tmp_path / "new/out/replay.png").read_bytes()
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
    (absent,) = replayed(run, tiny, "--against", "mimalloc")["traces"][0]["absent"]
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
    (one,) = replayed(run, tiny, "--against", "mimalloc")["traces"]
    (absent,) = one["absent"]
    assert (absent["name"], absent["is_disqualified"]) == ("mimalloc", True)
    assert absent["reason"].startswith(reason)
    assert {result["name"] for result in one["results"]} == {"poolcore", "glibc", "empty"}


def test_no_variable_of_the_callers_that_tunes_an_allocator_reaches_a_trial(run, tiny, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/nonexistent/interposer.so")
    monkeypatch.setenv("PYTHONMALLOC", "no such allocator")
    assert replayed(run, tiny, "--against", "glibc")["traces"][0]["absent"] == []


def test_a_trial_imports_neither_click_nor_numpy():
    code = "import sys, pybuf.bench.trial; print(*{n.partition('.')[0] for n in sys.modules})"
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    loaded = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, check=True)
    assert not {"click", "rich", "numpy", "matplotlib"} & set(loaded.stdout.decode().split())


def test_every_trace_is_reported_and_the_leads_meet_in_a_geometric_mean(run, tiny, tmp_path):
    other = tmp_path / "other.mtrace"
    other.write_text(TINY)
    report = replayed(run, tiny, other, "--against", "glibc")
    medians = [one["later_lead"]["ratio"]["median"] for one in report["traces"]]
    assert [one["trace"]["name"] for one in report["traces"]] == ["tiny", "other"]
    assert report["later_lead"] == pytest.approx((medians[0] * medians[1]) ** 0.5)


class Scripted:
    """Stands for the trials of one trace; ``times`` holds wall and processor time of each in turn."""

    def __init__(self, trace, times):
        self.trace = trace
        self.times = iter(times)
        self.running = ["poolcore", "glibc"]
        self.absent = []
        self.origins = {"poolcore": "", "glibc": ""}

    def shuffled(self):
        return self.running

    def try_run(self, name, touch, passes=1):
        if touch != "line":
            return {"resident_bytes": 4096}
        wall, cpu = next(self.times)
        return {"wall_ns": [wall] * 6, "cpu_ns": [cpu] * 6}


def scripted(times, rounds):
    trace = traces.parse([b"= Start", b"+ 0x1 0x1000", b"- 0x1"], "t")
    return replay._replay_one(Scripted(trace, times), rounds, lambda words: None)


def test_a_round_on_a_shared_processor_is_repeated_as_a_whole():
    report = scripted([(100, 100), (300, 200), (50, 50), (100, 100)], rounds=1)
    assert (report.repeated_rounds, report.disturbed_rounds) == (1, 0)
    assert report.first_lead.ratio.median == 0.5
    assert report.results[0].first.ns.median == 25


def test_rounds_that_stay_disturbed_are_kept_and_counted():
    report = scripted([(300, 200)] * 8, rounds=2)
    assert (report.repeated_rounds, report.disturbed_rounds) == (2, 2)


def test_ratios_are_formed_within_a_round():
    report = scripted([(10, 10), (20, 20), (300, 300), (100, 100), (40, 40), (40, 40)], rounds=3)
    assert report.results[0].first.ratio_to_glibc == Spread(1, 0.75, 2)


def test_a_processor_is_held_by_one_benchmark_at_a_time(monkeypatch, tmp_path):
    monkeypatch.setattr(processor.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(processor, "_allowed", lambda: [5, 3])
    with processor.locked() as first, processor.locked() as second:
        assert (first, second) == (5, 3)
    with processor.locked() as again:
        assert again == 5
