"""What other tools read of a result: pyperf its rounds, HdrHistogram its latencies."""

import json

import pyperf
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

import sample_results
from pybuf.bench.reports import export


def test_pyperf_reads_a_benchmark_for_each_contender_and_pass_with_a_run_for_each_round(tmp_path):
    result = sample_results.result([sample_results.timed(1, "pair", "a pair")])
    (comparison,) = result["comparisons"]
    export.write_pyperf(result, tmp_path / "pyperf.json")
    suite = pyperf.BenchmarkSuite.load(str(tmp_path / "pyperf.json"))
    assert len(suite.get_benchmarks()) == 2 * len(comparison["contenders"])
    for row in comparison["contenders"]:
        for one, values in row["series"].items():
            found = suite.get_benchmark(f"{comparison['id']}: {row['name']}, {one}")
            assert found.get_values() == pytest.approx([value * 1e-9 for value in values])
            assert found.get_nrun() == comparison["rounds"]
            assert (found.get_unit(), found.get_metadata()["contender"]) == ("second", row["name"])


def test_no_name_of_a_host_or_a_user_reaches_pyperf(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "my-host")
    monkeypatch.setattr("sys.executable", "/home/my-name/bin/python")
    export.write_pyperf(sample_results.whole(), tmp_path / "pyperf.json")
    text = (tmp_path / "pyperf.json").read_text()
    assert "my-host" not in text
    assert "my-name" not in text
    assert "cpu_count" in text


def test_shares_and_nothing_at_all_are_left_out(tmp_path):
    result = sample_results.result([sample_results.timed(1, "audio", "missed deadlines")])
    result["comparisons"][0]["unit"] = "missed deadlines of all periods"
    (tmp_path / "latency.hlog").write_text("of an earlier run")
    export.write_pyperf(result, tmp_path / "pyperf.json")
    export.write_latencies(result, tmp_path / "latency.hlog")
    assert list(tmp_path.iterdir()) == []


def test_hdrhistogram_reads_what_was_counted_of_every_contender(tmp_path):
    result = sample_results.whole()
    measured = [comparison for comparison in result["comparisons"] if comparison["latency"]]
    export.write_latencies(result, tmp_path / "latency.hlog")
    tags = [line.partition(",")[0] for line in (tmp_path / "latency.hlog").read_text().splitlines()
            if line.startswith("Tag=")]
    assert tags == [f"Tag={name}" for comparison in measured for name in comparison["latency"]]
    reader = HistogramLogReader(str(tmp_path / "latency.hlog"), HdrHistogram(1, 1 << 40, 2))
    for comparison in measured:
        for latency in comparison["latency"].values():
            found = reader.get_next_interval_histogram()
            wanted = {}
            for ns, count in latency["counts"]:
                low = found.get_lowest_equivalent_value(ns)
                wanted[low] = wanted.get(low, 0) + count
            assert {found.get_lowest_equivalent_value(item.value_iterated_to): item.count_added_in_this_iter_step
                    for item in found.get_recorded_iterator()} == wanted
    assert reader.get_next_interval_histogram() is None


def test_a_tag_is_one_word(tmp_path):
    result = sample_results.whole()
    (comparison, *_) = [one for one in result["comparisons"] if one["latency"]]
    comparison["latency"] = {"poolcore sizes=64, 128": comparison["latency"]["poolcore"]}
    export.write_latencies(result, tmp_path / "latency.hlog")
    assert "\nTag=poolcore-sizes=64-128," in (tmp_path / "latency.hlog").read_text()


def test_the_files_of_a_run_are_plain_text(tmp_path):
    export.write_pyperf(sample_results.small(), tmp_path / "pyperf.json")
    assert json.loads((tmp_path / "pyperf.json").read_text())["version"] == "1.0"
