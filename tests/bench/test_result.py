"""Results and manifests: there and back through JSON, and what other files are told."""

import json

import pytest

from pybuf.bench import jsonfile, manifest, result


def a_manifest(**changed):
    given = {
        "kind": "bench", "command": ["pybuf", "bench", "lifo pair"], "seed": 7, "metrics": ["time"], "threads": [1],
        "contenders": [manifest.ChosenContender("glibc"), manifest.ChosenContender("mine", library="lib/mine.so")],
        "workloads": [manifest.ChosenWorkload("lifo-pair", {"size": 1500})], "touch": "line", "rounds": 20,
    }
    return manifest.Manifest(**{**given, **changed})


def a_result(**changed):
    ratio = result.Ratio(0.9, 0.88, 0.93, 0.99, "faster", 0.0001)
    comparison = result.Comparison(
        id="lifo-pair, 1 thread, line, time", metric="time", threads=1, touch="line", unit="ns per pair",
        workload=result.MeasuredWorkload("lifo-pair", "allocate, free", {"size": 1500}), base="glibc",
        passes=["all"], rounds=8, repeated_rounds=1, disturbed_rounds=0,
        contenders=[
            result.Row("poolcore", "ours", "poolcore", {"all": [4.5] * 8}, {"all": ratio}),
            result.Row("glibc", "malloc", "libc.so.6", {"all": [5.0] * 8}, None),
        ],
        absent=[result.Absent("mimalloc", "not found", "libmimalloc2.0", False)],
        a_over_a={"all": ratio}, smallest_effect={"all": 0.02},
        latency={"glibc": result.Latency([[20, 5000]], {"50": 20, "99.9": None})},
        memory={"glibc": result.Memory([[0, 10, None, 4096]], 4096, 1.5)},
    )
    given = {
        "kind": "bench", "manifest": a_manifest(), "fingerprint": {"python": "3.11"}, "machine": {},
        "is_complete": True, "seed": 7, "comparisons": [comparison],
        "lead": {"all": result.Lead(0.9, {"lifo-pair": "glibc"}, {"lifo-pair": 0.9})},
    }
    return result.Result(**{**given, **changed})


def test_a_result_comes_back_as_it_was_saved(tmp_path):
    a_result().save(tmp_path / "result.json")
    assert result.load(tmp_path / "result.json") == a_result()
    assert result.load(tmp_path) == a_result()
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_manifest_comes_back_as_it_was_saved(tmp_path):
    a_manifest().save(tmp_path / "manifest.json")
    assert manifest.load(tmp_path / "manifest.json") == a_manifest()
    assert a_manifest().command_line == "pybuf bench 'lifo pair'"


def test_a_run_is_the_same_whatever_its_seed_and_the_words_of_its_command():
    assert a_manifest().is_same_run(a_manifest(seed=8, command=["pybuf"]))
    assert not a_manifest().is_same_run(a_manifest(rounds=21))
    assert not a_manifest().is_same_run(a_manifest(workloads=[manifest.ChosenWorkload("trace", {}, "a", "0f")]))


def test_an_order_holds_only_what_was_given():
    assert manifest.ChosenContender("glibc").as_order() == {"name": "glibc"}
    chosen = manifest.ChosenContender("poolcore huge=True", settings={"huge": True})
    assert chosen.as_order() == {"name": "poolcore huge=True", "settings": {"huge": True}}


def change(value, keys, new):
    *path, last = keys
    for key in path:
        value = value[key]
    if new is None:
        del value[last]
    else:
        value[last] = new


@pytest.mark.parametrize(("keys", "new", "words"), [
    (["schema"], 1, "is of schema 1, which an older pybuf wrote; this one reads schema 2: run it again"),
    (["schema"], 3, "is of schema 3, this pybuf reads schema 2: upgrade pybuf"),
    (["schema"], None, "has no schema number"),
    (["schema"], True, "has no schema number"),
    (["comparisons"], None, "comparisons is missing"),
    (["comparisons", 0, "rounds"], "many", "comparisons[0].rounds is str, expected int"),
    (["comparisons", 0, "contenders", 1, "series", "all", 3], "5", ".series.all[3] is str, expected float"),
    (["manifest", "workloads"], {}, "manifest.workloads is dict, expected list"),
    (["comparisons", 0, "contenders", 0], 5, "comparisons[0].contenders[0] is no object"),
    (["is_complete"], 1, "is_complete is int, expected bool"),
])
def test_a_result_of_another_shape_is_refused_by_name_and_place(tmp_path, keys, new, words):
    value = json.loads(json.dumps(a_result().as_dict()))
    change(value, keys, new)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(value))
    with pytest.raises(jsonfile.ForeignFileError) as refused:
        result.load(path)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{path}: ")
    assert words in line


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is not JSON"), (b"\xff\xfe{}", "is not JSON"), (b"[1]", "is not a JSON object"), (b"{", "is not JSON"),
    (b'{"schema": "2"}', "has no schema number"), (b'{"benchmarks": []}', "has no schema number"),
])
def test_a_foreign_file_is_refused_and_told_what_was_expected(tmp_path, content, words):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    for load, what in ((result.load, "a result written by"), (manifest.load, "a manifest written by")):
        with pytest.raises(jsonfile.ForeignFileError) as refused:
            load(path)
        assert words in str(refused.value)
        assert what in str(refused.value)


def test_a_missing_file_and_a_directory_without_a_result_are_refused(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(jsonfile.ForeignFileError, match="No such file"):
            result.load(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    a_result().save(path)
    with pytest.raises(TypeError):
        jsonfile.write_json(path, {"bad": object()})
    assert result.load(path) == a_result()
