"""The report's text: what it says, what it leaves out, and that names stay names."""

from __future__ import annotations

import copy
import itertools
import json
import re
import string
from html.parser import HTMLParser

import pytest

import sample_results
from pybuf.bench.reports import html

SECTIONS = ["overview", "times", "latency", "memory", "sizes", "slabs", "absent", "method", "data"]
ADDRESSES = {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "formaction", "background"}
HOSTILE = """</script><script>document.title = 'taken'</script><b>"'&`${x}%{y}"""


class Seen(HTMLParser):
    """Elements, the text in them, and every address that an attribute names."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.addresses, self.texts, self.inside, self.styles = [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.addresses += [value for key, value in attributes if key in ADDRESSES]
        self.styles += [value for key, value in attributes if key == "style"]
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self.inside and self.inside[-1] == "style":
            self.styles.append(data)
        elif "script" not in self.inside:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    def sections(self):
        return [attributes["id"] for tag, attributes in self.elements if tag == "section"]


def embedded(page, name="result"):
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)[1])


def test_everything_that_was_found_has_its_section():
    assert Seen(html.page(sample_results.whole())).sections() == SECTIONS


def test_sections_without_data_are_left_out():
    seen = Seen(html.page(sample_results.small()))
    assert seen.sections() == ["times", "method", "data"]
    assert {attributes["href"] for tag, attributes in seen.elements if tag == "a"} == {
        "#figures", "#times", "#method", "#data"
    }


def test_plotly_is_there_only_where_something_is_drawn():
    assert "Plotly" in html.page(sample_results.result([sample_results.resident(1)]))
    assert len(html.page(sample_results.small())) < 200_000


def test_nothing_is_loaded_from_anywhere():
    seen = Seen(html.page(sample_results.whole()))
    assert all(address.startswith("#") for address in seen.addresses)
    assert not any(re.search(r"url\(|@import|https?:", style) for style in seen.styles)
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in seen.elements}
    (policy,) = (a["content"] for tag, a in seen.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "http" not in policy


def test_raw_data_are_in_the_page_to_the_last_digit():
    result = sample_results.whole()
    assert embedded(html.page(result)) == result


def test_names_of_users_stay_text():
    result = sample_results.whole()
    first = result["comparisons"][0]
    for row in first["contenders"]:
        if row["name"] == "mimalloc":
            row["name"] = row["what"] = row["origin"] = HOSTILE
    first["workload"]["name"] = first["workload"]["what"] = HOSTILE
    first["workload"]["parameters"] = {HOSTILE: HOSTILE}
    first["absent"] = [{"name": HOSTILE, "reason": HOSTILE, "package": HOSTILE, "is_disqualified": flag}
                       for flag in (False, True)]
    result["manifest"]["command"] = ["pybuf", HOSTILE]
    result["fingerprint"][HOSTILE] = {HOSTILE: [HOSTILE]}
    for comparison in result["comparisons"]:
        if comparison["latency"]:
            comparison["latency"][HOSTILE] = comparison["latency"].pop("mimalloc")
    page = html.page(result)
    plain, taken = Seen(html.page(sample_results.whole())), Seen(page)
    assert HOSTILE in taken.text
    assert {tag for tag, _ in taken.elements} == {tag for tag, _ in plain.elements}
    assert sum(tag == "script" for tag, _ in taken.elements) == sum(tag == "script" for tag, _ in plain.elements)
    assert {key for _, attributes in taken.elements for key in attributes} == {
        key for _, attributes in plain.elements for key in attributes
    }
    assert embedded(page) == result


def test_a_tag_escapes_its_text_and_attributes():
    assert html.tag("p", "<&\"'", title="<&\"'") == '<p title="&lt;&amp;&quot;&#x27;">&lt;&amp;&quot;&#x27;</p>'
    assert html.tag("p", html.tag("b", "<"), None, class_="a", data_b=1, id=None) == (
        '<p class="a" data-b="1"><b>&lt;</b></p>'
    )


def test_the_answer_is_one_sentence_with_its_limits():
    answer = html.answer(sample_results.whole())
    assert answer.endswith(".")
    assert not re.search(r"[.!?] ", answer)
    assert re.fullmatch(
        r"poolcore took 0\.\d\d to 0\.\d\d of glibc’s time in 3 comparisons \(.*\) and, in the geometric mean, "
        r"\d\.\d\d of the fastest peer’s, measured on one machine in 20 rounds that could have missed effects below "
        r".* %\.",
        answer,
    )


def test_passes_that_lead_differently_are_both_in_the_answer():
    shared, whole = (sample_results.timed(seed, name, name, passes=passes)
                     for seed, name, passes in ((1, "pair", ("all",)), (2, "table", ("first", "later"))))
    result = sample_results.result([shared, whole])
    result["lead"] = {one: {"geometric_mean": mean, "peers": {name: "mimalloc"}, "ratios": {name: mean}}
                      for one, mean, name in (("all", 1.27, "pair"), ("first", 1.03, "table"), ("later", 1.5, "table"))}
    assert " and 1.03 to 1.27 of the fastest peer’s, " in html.answer(result)


def test_the_command_to_run_it_again_has_the_seed_once():
    result = sample_results.result([sample_results.timed(1, "pair", "a pair")])
    bench = ["pybuf", "bench"]
    for given, shown in ((bench, ["--seed", str(result["seed"])]), ([*bench, "--seed", "5"], [])):
        result["manifest"]["command"] = given
        command = re.search(r'id="command">(.*?)</code>', html.page(result))[1]
        assert re.sub("<[^>]*>", "", command).split() == [*given, *shown]


def with_ratio(estimate, low, high, verdict):
    result = sample_results.result([sample_results.timed(1, "pair", "a pair")])
    for row in result["comparisons"][0]["contenders"]:
        if row["name"] == "poolcore":
            row["ratios"]["first"] |= {"estimate": estimate, "low": low, "high": high, "verdict": verdict}
    result["comparisons"][0]["smallest_effect"] = {"first": 0.021, "later": 0.03}
    result["lead"] = None
    return result


def test_one_comparison_is_answered_with_its_interval():
    assert html.answer(with_ratio(1.004, 0.991, 1.016, "no difference")) == (
        "poolcore took 1.00 of glibc’s time on pair (99 % interval 0.99 to 1.02: no difference), measured on one "
        "machine in 20 rounds that could have missed effects below 2.1 %."
    )


def test_few_rounds_are_a_range():
    answer = html.answer(sample_results.small())
    assert "(range 0." in answer and answer.endswith("in 5 rounds, too few for an interval.")


def test_rounds_in_which_everyone_runs_twice_say_so():
    trace = sample_results.timed(1, "redis", "a program") | {"processes": 2}
    pair = sample_results.timed(2, "pair", "a pair")
    assert "20 rounds of 2 processes each, " in html.page(sample_results.result([trace, pair]))
    assert "in the opposite order" in html.page(sample_results.result([trace, pair]))
    assert "processes each" not in html.page(sample_results.result([pair]))
    assert "in the opposite order" not in html.page(sample_results.result([pair]))


def test_too_few_rounds_for_any_verdict_are_told():
    few = sample_results.result([sample_results.timed(1, "pair", "a pair", rounds=8)])
    assert "8 rounds cannot call any of 10 ratios faster or slower" in html.page(few)
    enough = sample_results.result([sample_results.timed(1, "pair", "a pair", rounds=20)])
    assert "Too few rounds" not in html.page(enough)


def test_a_replay_in_the_order_of_threads_shows_how_they_got_on():
    result = sample_results.result([sample_results.timed(1, "pair", "a pair")])
    assert "How the threads got on" not in html.page(result)
    (comparison,) = result["comparisons"]
    comparison["workload"]["trace"] = {"peak_live_bytes": 1_000_000}
    comparison["contenders"][0]["threads"] = {
        "makespan_ns": {"first": 5e6, "later": 4e6}, "cpu_ns": {"first": 9e6, "later": 8e6},
        "waiting": {"first": 0.25, "later": 0.125}, "peak_live_bytes": 1_500_000}
    page = re.sub("<[^>]*>", " ", html.page(result))
    row = page[page.index("How the threads got on"):]
    words = " ".join(row[row.index("poolcore"):].split())
    assert words.startswith("poolcore first 5 ms 9 ms 25.0% 1.5 MB 1.50 later 4 ms 8 ms 12.5% ")


def test_an_interrupted_run_says_so():
    result = sample_results.result([sample_results.timed(1, "pair", "a pair")], is_complete=False)
    assert "interrupted" in html.answer(result)
    assert "Interrupted" in Seen(html.page(result)).text


def test_a_run_without_a_round_says_so():
    result = sample_results.result([], is_complete=False)
    assert html.answer(result) == "Nothing was measured: the run ended before its first round was finished."
    assert Seen(html.page(result)).sections() == ["method", "data"]


def test_a_run_in_which_everybody_failed_says_so():
    failed = sample_results.timed(1, "pair", "a pair", absent=[
        sample_results.MISSING, sample_results.DISQUALIFIED, sample_results.DISQUALIFIED | {"name": "poolcore"},
    ]) | {"contenders": [], "a_over_a": {}, "smallest_effect": {}, "latency": {}, "memory": {}}
    result = sample_results.result([failed, failed])
    assert html.answer(result) == "No contender finished a round: 2 contenders disqualified, 1 missing."
    assert Seen(html.page(result)).sections() == ["absent", "method", "data"]


def test_without_us_the_report_is_about_a_peer():
    peers = {name: peer for name, peer in sample_results.PEERS.items() if name != "poolcore"}
    assert html.answer(sample_results.result([
        sample_results.timed(seed, f"pair-{seed}", "a pair", peers=peers) for seed in (1, 2)
    ])).startswith("mimalloc took ")


def test_a_base_that_differs_from_itself_is_noticed():
    result = with_ratio(0.9, 0.88, 0.92, "faster")
    assert "differs from itself" not in Seen(html.page(result)).text
    result["comparisons"][0]["a_over_a"]["first"] |= {"estimate": 1.05, "low": 1.03, "high": 1.07, "verdict": "slower"}
    assert "differs from itself" in Seen(html.page(result)).text


def test_disqualified_and_missing_are_named_with_what_to_do():
    text = Seen(html.page(sample_results.whole())).text
    assert "handwritten is disqualified" in text
    assert "apt install libsnmalloc-dev" in text


def test_net_is_the_rounds_less_the_harness():
    result = sample_results.small()
    rows = {row["name"]: row["series"] for row in result["comparisons"][0]["contenders"]}
    rows["empty"]["all"][:] = [2.0] * 5
    rows["poolcore"]["all"][:] = [9.0, 9.5, 10.25, 11.0, 30.0]
    page = html.page(result)
    assert '<td class="number gross">10.25</td><td class="number net">8.25</td>' in page
    assert '<td class="number gross">2.00</td><td class="number net"></td>' in page


@pytest.mark.parametrize(("low", "high"), [(0.95, 1.01), (0.2, 0.3), (3, 40), (0.999, 1.001)])
def test_the_axis_holds_what_it_shows_and_its_labels_do_not_touch(low, high):
    axis = html.Axis([{"low": low, "high": high}])
    assert all(0 <= axis.at(value) <= 100 for value in (low, high, 0.98, 1.02))
    places = sorted(axis.at(tick) for tick in axis.ticks())
    assert 1 in axis.ticks() and len(places) >= 2
    assert all(other - one >= html.TICK_DISTANCE for one, other in itertools.pairwise(places))


def test_what_is_off_the_axis_is_said_to_be():
    dots = html.Axis([]).dots({"estimate": 0.1, "low": 0.09, "high": 0.11}, [0.1], False)
    assert "off the axis" in dots and "<circle" not in dots


def test_a_large_map_is_drawn_in_fewer_cells():
    result = sample_results.result([sample_results.resident(1)])
    result["comparisons"][0]["slab_map"] = [[place, 4, 64, 512, 1024] for place in range(3 * html.MAP_CELLS)]
    page = html.page(result)
    assert page.count("<title>granule") == html.MAP_CELLS
    assert "1,536 of 3,072 blocks live" in page


def test_fewer_bytes_are_not_called_faster():
    comparison = sample_results.timed(1, "sqlite", "sqlite3", passes=("all",)) | {"metric": "memory", "unit": "bytes"}
    comparison["memory"] = sample_results.resident(1)["memory"]
    text = Seen(html.page(sample_results.result([comparison]))).text
    assert "faster" not in text.split("Method")[0] and "less" in text


def test_the_method_tells_what_was_done_and_nothing_else():
    memory = sample_results.resident(1)
    both = Seen(html.page(sample_results.result([sample_results.timed(2, "pair", "a pair"), memory]))).text
    bytes_alone = Seen(html.page(sample_results.result([memory]))).text
    for words in ("A/A", "disturbed and is repeated", "Times are gross"):
        assert words in both
        assert words not in bytes_alone
    assert "in which every page is touched" in bytes_alone


def test_a_file_that_cannot_be_written_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        html.write_report(sample_results.small(), tmp_path / "no" / "report.html")


def test_a_number_that_is_not_finite_is_refused(tmp_path):
    result = copy.deepcopy(sample_results.small())
    result["comparisons"][0]["contenders"][0]["series"]["all"][0] = float("inf")
    with pytest.raises(ValueError, match="not JSON compliant"):
        html.write_report(result, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_contenders_keep_one_colour_in_the_whole_report():
    colours = embedded(html.page(sample_results.whole()), "colours")
    assert (colours["poolcore"], colours["glibc"], colours["empty"]) == ("c0", "c1", "harness")
    assert len(set(colours.values())) == len(colours)


def test_more_contenders_than_colours_begin_again():
    peers = dict(sample_results.PEERS) | {f"peer-{letter}": (letter, 1.1) for letter in string.ascii_lowercase}
    page = html.page(sample_results.result([sample_results.timed(1, "pair", "a pair", peers=peers)]))
    assert set(embedded(page, "colours").values()) == {"harness"} | {f"c{place}" for place in range(html.COLOURS)}
