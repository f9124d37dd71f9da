"""Writes a Result as one HTML file that opens offline: text, tables, charts and the raw data in it.

Tables and ratio dots are written here, as HTML and SVG; what is worth zooming into is drawn by ``report.js``
with plotly, which is embedded only where there is something to draw. All names come from users: whatever is put
into the page goes through `tag`, which escapes text unless it is Markup already.
"""

from __future__ import annotations

import json
import math
import shlex
import statistics
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from pybuf.bench.analysis import BYTE_VERDICTS, OURS
from pybuf.bench.analysis import EMPTY as HARNESS
from pybuf.bench.statistics import EQUAL_WITHIN, rounds_needed

#: Colours in report.css; the first is ours, the second the base's.
COLOURS = 6
#: What may load: nothing but what is in the file.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
PASSES = {"first": "first pass", "later": "later passes", "all": "all passes"}
#: Labels of the axis of ratios, the more important first.
TICKS = (1, 0.5, 2, 0.2, 5, 0.1, 10, 0.8, 1.25, 0.9, 1.1, 0.7, 1.5, 0.6, 0.95, 1.05, 0.85, 1.15, 0.3,
         3, 0.98, 1.02, 0.05, 20)
#: The narrowest distance between two of them, and where there is room for words beside the base, in hundredths.
TICK_DISTANCE, WORD_ROOM = 11, 32
#: What a granule of the arena is: `kind_t` of the engine.
GRANULES = {0: "unused", 1: "free", 2: "free", 3: "taken", 4: "slab", 5: "run", 6: "run"}
MAP_COLUMNS, MAP_CELLS = 48, 4096


class Markup(str):
    """Text that is HTML already, and safe to put into a page."""

    __slots__ = ()


class Section(NamedTuple):
    """A part of the page: its place in the page's address, its name in the bar, its heading."""

    anchor: str
    name: str
    title: str
    body: Markup


def tag(name: str, *children: str | None, **attributes: Any) -> Markup:
    """An element; children that are not Markup are escaped, None is left out.

    ``class_`` stands for class, ``data_x`` for data-x; attributes that are None are left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items() if value is not None
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str | None]) -> Markup:
    """Parts one after the other, escaped unless they are Markup."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts if part is not None))


def write_report(result: dict[str, Any], path: Path) -> None:
    """Write the report of ``result``, a Result as plain data (schema 2), to the file at ``path``.

    Sections for which the result holds nothing are left out. Raises OSError when the file cannot be written,
    ValueError when a number in the result is not finite, and ModuleNotFoundError when there are charts to draw
    and plotly (extra ``bench``) is not installed.
    """
    path.write_text(page(result), encoding="utf-8")


def page(result: dict[str, Any]) -> str:
    """The report as text; see `write_report`."""
    colours = _colours(result)
    sections = [
        section
        for section in (
            _overview(result), _times(result, colours), _latency(result, colours), _memory(result, colours),
            _sizes(result), _slab_map(result), _absent(result), _method(result), _data(),
        )
        if section is not None
    ]
    beside = files("pybuf.bench.reports")
    has_charts = any("data-chart=" in section.body for section in sections)
    links = (tag("li", tag("a", section.name, href=f"#{section.anchor}")) for section in sections)
    head = join((
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        tag("title", f"pybuf {result['kind']}: " + ", ".join(dict.fromkeys(map(_workload, result["comparisons"])))),
        tag("style", Markup((beside / "report.css").read_text(encoding="utf-8"))),
    ))
    body = join((
        tag("a", "Skip to the figures", href="#figures", class_="skip"),
        tag(
            "div", tag("span", f"pybuf {result['kind']}", class_="mark"),
            tag("nav", tag("ul", *links), aria_label="Sections"),
            tag("button", "Dark", id="theme", type="button", aria_pressed="false"), class_="bar",
        ),
        tag(
            "main", _head(result),
            tag("div", *(
                tag("section", tag("h2", section.title), section.body, id=section.anchor) for section in sections
            ), id="figures"),
        ),
        _script(json.dumps(result, allow_nan=False), "result"),
        _script(json.dumps(colours), "colours"),
        tag("script", _plotly()) if has_charts else None,
        tag("script", Markup((beside / "report.js").read_text(encoding="utf-8"))),
    ))
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _script(data: str, name: str) -> Markup:
    # Whatever text the data hold, it cannot end the element that it is in.
    return tag("script", Markup(data.replace("<", "\\u003c")), type="application/json", id=name)


def _plotly() -> Markup:
    script = files("plotly") / "package_data" / "plotly.min.js"
    return Markup(script.read_text(encoding="utf-8").replace("</script", "<\\/script"))


# ---- words and numbers -------------------------------------------------------------------------


def _workload(comparison: dict[str, Any]) -> str:
    return str(comparison["workload"]["name"])


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _listed(parts: list[str], last: str = "and") -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %" if share < 1 else f"{share * 100:.0f} %"


def _ratio(value: float) -> str:
    return f"{value:.3f}" if value < 0.095 else f"{value:.2f}" if value < 99.5 else f"{value:,.0f}"


def _bytes(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 999.5 * size else f"{value / size:,.0f} {unit}"
    return f"{value:.0f} B"


def _ns(value: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 999.5 * size else f"{value / size:,.0f} {unit}"
    return f"{value:.0f} ns"


def _value(value: float, unit: str) -> str:
    if unit.startswith("byte"):
        return _bytes(value)
    return f"{value:.2f}" if abs(value) < 99.995 else f"{value:,.0f}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _of(rows: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((row for row in rows if row["name"] == name), None)


def _with_ratios(result: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    """Comparisons in a metric that have something to compare."""
    return [
        comparison for comparison in result["comparisons"]
        if comparison["metric"] == metric and any(row["ratios"] for row in comparison["contenders"])
    ]


def _label(comparison: dict[str, Any]) -> str:
    """A comparison's workload and what else tells it from the others."""
    return f"{_workload(comparison)}, {_counted(comparison['threads'], 'thread')}, {comparison['touch']}"


def _colours(result: dict[str, Any]) -> dict[str, str]:
    """The colour of each contender in tables and charts alike, as the name of a property in report.css."""
    names = [OURS, *(comparison["base"] for comparison in result["comparisons"])]
    names += [row["name"] for comparison in result["comparisons"] for row in comparison["contenders"]]
    for comparison in result["comparisons"]:
        names += [*(comparison["latency"] or ()), *(comparison["memory"] or ())]
    different = [name for name in dict.fromkeys(names) if name != HARNESS]
    return {HARNESS: "harness"} | {name: f"c{place % COLOURS}" for place, name in enumerate(different)}


# ---- the answer --------------------------------------------------------------------------------


def answer(result: dict[str, Any]) -> str:
    """One sentence: what was found, and how far it holds."""
    for metric, what in (("time", "time"), ("memory", "resident bytes"), ("latency", "latency")):
        comparisons = _with_ratios(result, metric)
        if comparisons:
            return f"{_finding(result, comparisons, what)}, {_limits(result, comparisons)}."
    shown = [key for one in result["comparisons"] for key in ("contenders", "latency", "memory") if one[key]]
    if result["comparisons"] and not shown:
        absent = {
            (one["name"], one["is_disqualified"])
            for comparison in result["comparisons"] for one in comparison["absent"]
        }
        disqualified = sum(is_disqualified for _, is_disqualified in absent)
        return (
            "No contender finished a round: "
            f"{_counted(disqualified, 'contender')} disqualified, {len(absent) - disqualified} missing."
        )
    if result["comparisons"]:
        seen = _listed(list(dict.fromkeys(comparison["metric"] for comparison in result["comparisons"])))
        return f"{seen.capitalize()} of one run is shown here, and no contender is compared with another."
    return "Nothing was measured: the run ended before its first round was finished."


def _subject(comparisons: list[dict[str, Any]]) -> str:
    """Whom the report is about: us, or the contender that is seen most often where we did not run."""
    names: list[str] = [row["name"] for one in comparisons for row in one["contenders"] if row["ratios"]]
    names = [name for name in names if name != HARNESS]
    if OURS in names or not names:
        return OURS
    return max(dict.fromkeys(names), key=names.count)


def _finding(result: dict[str, Any], comparisons: list[dict[str, Any]], what: str) -> str:
    subject = _subject(comparisons)
    found = [
        row["ratios"][comparison["passes"][0]]
        for comparison in comparisons
        if (row := _of(comparison["contenders"], subject)) is not None and row["ratios"]
    ]
    bases = _listed(list(dict.fromkeys(comparison["base"] for comparison in comparisons)), "or")
    if not found:
        return f"Only the empty harness was compared with {bases}"
    estimates = sorted(ratio["estimate"] for ratio in found)
    low, high = _ratio(estimates[0]), _ratio(estimates[-1])
    verdicts = [_verdict(ratio["verdict"], comparisons[0]["metric"]) for ratio in found]
    if len(found) == 1:
        ends = f"{_ratio(found[0]['low'])} to {_ratio(found[0]['high'])}"
        kind = "range" if found[0]["confidence"] is None else f"{found[0]['confidence'] * 100:.0f} % interval"
        where = next(one for one in comparisons if _of(one["contenders"], subject))
        text = f"{subject} took {low} of {bases}’s {what} on {_workload(where)} ({kind} {ends}: {verdicts[0]})"
    else:
        span = low if low == high else f"{low} to {high}"
        order = ("faster", "less", "slower", "more", "no difference", "inconclusive", "range only")
        every = "both" if len(found) == 2 else f"all {len(found)}"
        counts = [
            f"{verdict} in {every if len(set(verdicts)) == 1 else verdicts.count(verdict)}"
            for verdict in order if verdict in verdicts
        ]
        text = f"{subject} took {span} of {bases}’s {what} in {len(found)} comparisons ({_listed(counts)})"
    firsts = dict.fromkeys(comparison["passes"][0] for comparison in comparisons)
    leads = [(result["lead"] or {})[one] for one in firsts if one in (result["lead"] or {})]
    if what == "time" and subject == OURS and leads:
        mean = ", in the geometric mean," if any(len(lead["peers"]) > 1 for lead in leads) else ""
        means = list(dict.fromkeys(_ratio(one) for one in sorted(lead["geometric_mean"] for lead in leads)))
        text += f" and{mean} {' to '.join((means[0], *means[1:][-1:]))} of the fastest peer’s"
    return text


def _limits(result: dict[str, Any], comparisons: list[dict[str, Any]]) -> str:
    rounds = sorted({comparison["rounds"] for comparison in comparisons})
    span = f"{rounds[0]}" if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]}"
    text = f"measured on one machine in {span} round{'s' * (rounds[-1] != 1)}"
    if not result["is_complete"]:
        text += " of a run that was interrupted"
    effects = [
        effect for comparison in comparisons
        if (effect := comparison["smallest_effect"].get(comparison["passes"][0])) is not None
    ]
    if not effects:
        return f"{text}, too few for an interval"
    least, most = _percent(min(effects)), _percent(max(effects))
    least = least.removesuffix(" %") if least != most else ""
    return f"{text} that could have missed effects below {f'{least} to ' if least else ''}{most}"


def _verdict(verdict: str, metric: str) -> str:
    return BYTE_VERDICTS.get(verdict, verdict) if metric == "memory" else verdict


def _head(result: dict[str, Any]) -> Markup:
    machine = {**result["fingerprint"], **(result.get("machine") or {})}
    known = [("processor", "cpu_model", "cpu"), ("c_library", "libc"), ("system", "kernel"), ("python",)]
    facts = [str(value) for keys in known if (value := next((machine[key] for key in keys if machine.get(key)), None))]
    command = result["manifest"].get("command")
    if command and not any(word == "--seed" or str(word).startswith("--seed=") for word in command):
        command = [*command, "--seed", str(result["seed"])]
    return tag(
        "header",
        tag("h1", answer(result)),
        tag("p", " · ".join([*facts, f"seed {result['seed']}"]), class_="facts"),
        *(tag("p", tag("strong", f"{title}. "), text, class_="notice") for title, text in _notices(result)),
        tag(
            "div", tag("span", "Run it again", class_="quiet"), tag("code", *_command(command), id="command"),
            tag("button", "Copy", type="button", id="copy", aria_label="Copy the command"), class_="again",
        ) if command else None,
    )


def _command(words: list[Any]) -> Iterator[str]:
    """A command that is wrapped between its words only, and is copied as one line."""
    for place, word in enumerate(words):
        yield " " if place else ""
        yield tag("span", shlex.quote(str(word)))


def _notices(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What must be known before a figure is believed."""
    if not result["is_complete"]:
        yield "Interrupted", "What was finished is shown; the same command with the same -o resumes it."
    for comparison in result["comparisons"]:
        for name, ratio in (comparison["a_over_a"] or {}).items():
            if ratio["verdict"] in ("faster", "slower"):
                yield "The base differs from itself", (
                    f"In {_label(comparison)} ({PASSES.get(name, name)}) {comparison['base']}, taken as one more "
                    f"contender, took {_ratio(ratio['estimate'])} of its own {comparison['unit']}: be careful with "
                    "differences of this size."
                )
    asked = sum(
        ratio["p"] is not None
        for comparison in result["comparisons"] for row in comparison["contenders"] if row["name"] != HARNESS
        for ratio in (row["ratios"] or {}).values()
    )
    most = max((comparison["rounds"] for comparison in result["comparisons"]), default=0)
    if asked and most < rounds_needed(asked):
        yield "Too few rounds", (
            f"{_counted(most, 'round')} cannot call any of {asked} ratios faster or slower, even if all of them agree: "
            f"at least {rounds_needed(asked)} are needed."
        )
    disturbed = [one for one in result["comparisons"] if one["disturbed_rounds"]]
    if disturbed:
        yield "A busy machine", "Rounds were kept although disturbed: " + ", ".join(
            f"{one['disturbed_rounds']} of {one['rounds']} in {_label(one)}" for one in disturbed
        ) + "."
    if (result.get("machine") or {}).get("is_address_randomized") is False:
        yield "One memory layout", "This system places memory at the same addresses in every process."
    disqualified: dict[tuple[str, str], list[str]] = {}
    for comparison in result["comparisons"]:
        for one in comparison["absent"]:
            if one["is_disqualified"]:
                disqualified.setdefault((one["name"], one["reason"]), []).append(comparison["id"])
    for (name, reason), ids in disqualified.items():
        where = "" if len(ids) == len(result["comparisons"]) else f" In {'; '.join(ids)}."
        yield f"{name} is disqualified", _sentence(reason) + where


# ---- ratio dots --------------------------------------------------------------------------------


class Axis:
    """A logarithmic axis of ratios that always holds the zone of no difference, in hundredths of its width."""

    def __init__(self, ratios: Iterable[dict[str, Any]]) -> None:
        ends = [0.94, 1.06]
        for ratio in ratios:
            ends += [ratio["low"], ratio["high"]]
        self.low, high = math.log(min(ends)), math.log(max(ends))
        margin = (high - self.low) * 0.05
        self.low -= margin
        self.width = high + margin - self.low

    def at(self, ratio: float) -> float:
        """Where a ratio stands; outside of 0 to 100 it is off the axis."""
        return (math.log(ratio) - self.low) / self.width * 100

    def ticks(self) -> list[float]:
        """Round values, the more important first, as many as have room."""
        kept: list[float] = []
        for tick in TICKS:
            place = self.at(tick)
            if 2 <= place <= 98 and all(abs(place - self.at(other)) >= TICK_DISTANCE for other in kept):
                kept.append(tick)
        return kept

    def dots(self, ratio: dict[str, Any] | None, rounds: list[float], is_later: bool) -> Markup:
        """One row: the zone, the rounds, the interval, the estimate; a base without a ratio has its line alone."""
        zone = self.at(1 - EQUAL_WITHIN)
        parts = [
            Markup(f'<rect class="zone" x="{zone:.2f}%" y="0" width="{self.at(1 + EQUAL_WITHIN) - zone:.2f}%" '
                   'height="100%"/>'),
            Markup(f'<line class="one" x1="{self.at(1):.2f}%" x2="{self.at(1):.2f}%" y1="0" y2="100%"/>'),
        ]
        text = "the base"
        if ratio is not None:
            places = [place for value in rounds if 0 <= (place := self.at(value)) <= 100]
            parts += [Markup(f'<circle class="round" cx="{place:.2f}%" cy="50%" r="1.5"/>') for place in places]
            middle = self.at(ratio["estimate"])
            text = f"{_ratio(ratio['estimate'])}, {_ratio(ratio['low'])} to {_ratio(ratio['high'])}"
            if 0 <= middle <= 100:
                low, high = max(self.at(ratio["low"]), 0), min(self.at(ratio["high"]), 100)
                parts.append(Markup(f'<line class="interval" x1="{low:.2f}%" x2="{high:.2f}%" y1="50%" y2="50%"/>'))
                kind = "estimate later" if is_later else "estimate"
                parts.append(Markup(f'<circle class="{kind}" cx="{middle:.2f}%" cy="50%" r="5"/>'))
            else:
                left = middle < 0
                parts.append(tag("text", "◂ off the axis" if left else "off the axis ▸", class_="off",
                                 x="0" if left else "100%", y="50%", dy="0.35em",
                                 text_anchor="start" if left else "end"))
        return tag("svg", *parts, role="img", aria_label=text)

    def words(self, base: str, better: str, worse: str) -> Markup:
        """What is above the dots: the base over its line, and which way is better where there is room for it."""
        one = self.at(1)
        anchor = "start" if one < 12 else "end" if one > 88 else "middle"
        parts = [tag("text", f"{base} = 1", x=f"{one:.2f}%", y="14", text_anchor=anchor, class_="base")]
        if one > WORD_ROOM:
            parts.append(tag("text", f"← {better}", x="0", y="14"))
        if one < 100 - WORD_ROOM:
            parts.append(tag("text", f"{worse} →", x="100%", y="14", text_anchor="end"))
        return tag("svg", *parts, class_="words", role="img", aria_label=f"left of {base}: {better}, right: {worse}")

    def scale(self) -> Markup:
        """The row of tick labels."""
        parts = []
        for tick in self.ticks():
            place = f"{self.at(tick):.2f}%"
            parts.append(Markup(f'<line class="tick" x1="{place}" x2="{place}" y1="0" y2="5"/>'))
            parts.append(tag("text", f"{tick:g}", x=place, y="18", text_anchor="middle"))
        return tag("svg", *parts, class_="scale", aria_hidden="true")


def _paired(series: list[float], base: list[float]) -> list[float]:
    """The ratio of each round."""
    return [one / other for one, other in zip(series, base, strict=False) if one > 0 and other > 0]


def _forest(comparison: dict[str, Any], colours: dict[str, str]) -> Markup:
    """The table of one comparison: a row per contender and pass, the dots between its figures."""
    rows = comparison["contenders"]
    axis = Axis([
        ratio for row in rows if row["name"] != HARNESS for ratio in (row["ratios"] or {}).values()
    ] + list((comparison["a_over_a"] or {}).values()))
    headline = comparison["passes"][0]
    base = _of(rows, comparison["base"])
    harness = _of(rows, HARNESS)
    is_time = comparison["metric"] == "time"

    def order(row: dict[str, Any]) -> tuple[bool, float]:
        series = row["series"].get(headline)
        return row is harness, statistics.median(series) if series else math.inf

    bodies = []
    for row in sorted(rows, key=order):
        lines = []
        for name in comparison["passes"]:
            series = row["series"].get(name) or []
            net = None
            if is_time and harness is not None and row is not harness and harness["series"].get(name):
                pairs = zip(series, harness["series"][name], strict=False)
                net = statistics.median([one - other for one, other in pairs]) if series else None
            ratio = (row["ratios"] or {}).get(name)
            rounds = _paired(series, base["series"].get(name) or []) if base is not None and ratio else []
            lines.append((name, statistics.median(series) if series else None, net, ratio, rounds))
        kind = "base" if row is base else "ours" if row["name"] == OURS else "harness" if row is harness else None
        note = "the base" if row is base else None
        bodies.append(_forest_rows(comparison, axis, row["name"], row["what"], lines, colours[row["name"]], kind, note))
    if comparison["a_over_a"]:
        lines = [(name, None, None, comparison["a_over_a"].get(name), []) for name in comparison["passes"]]
        bodies.append(_forest_rows(
            comparison, axis, f"{comparison['base']} again (A/A)", "the base against itself: what chance does here",
            lines, colours[comparison["base"]], "again", None,
        ))
    better = "less" if comparison["metric"] == "memory" else "faster"
    worse = "more" if comparison["metric"] == "memory" else "slower"
    heads = [
        tag("th", "contender", scope="col"), tag("th", "pass", scope="col", class_="pass"),
        tag("th", comparison["unit"], tag("span", "gross", class_="quiet") if is_time else None, scope="col",
            class_="number"),
        tag("th", "net", scope="col", class_="number net") if is_time else None,
        tag("th", axis.words(comparison["base"], better, worse), scope="col", class_="plot"),
        tag("th", "ratio", scope="col", class_="number"), tag("th", "interval", scope="col", class_="number"),
        tag("th", "verdict", scope="col"),
    ]
    scale = tag("tbody", tag(
        "tr", tag("td", colspan=4 if is_time else 3, class_="gap"), tag("td", axis.scale(), class_="plot"),
        tag("td", colspan=3, class_="gap"), class_="axis",
    ), aria_hidden="true")
    gross = " (gross)" if is_time else ""
    caption = f"Pass, {comparison['unit']}{gross}, ratio to {comparison['base']}, its interval, verdict"
    return tag("table", tag("caption", caption), tag("thead", tag("tr", *heads)), *bodies, scale, class_="forest")


def _forest_rows(
    comparison: dict[str, Any], axis: Axis, name: str, what: str,
    lines: list[tuple[str, float | None, float | None, dict[str, Any] | None, list[float]]],
    colour: str, kind: str | None, note: str | None,
) -> Markup:
    is_time = comparison["metric"] == "time"
    rows = []
    for place, (passed, value, net, ratio, rounds) in enumerate(lines):
        verdict = _verdict(ratio["verdict"], comparison["metric"]) if ratio else note if place == 0 else None
        rows.append(tag(
            "tr",
            tag("th", tag("span", name, class_="name"), tag("span", what, class_="what"), scope="rowgroup",
                rowspan=len(lines)) if place == 0 else None,
            tag("td", passed, class_="pass"),
            tag("td", "" if value is None else _value(value, comparison["unit"]), class_="number gross"),
            tag("td", "" if net is None else f"{net:.2f}", class_="number net") if is_time else None,
            tag("td", axis.dots(ratio, rounds, place > 0), class_="plot"),
            tag("td", _ratio(ratio["estimate"]) if ratio else "", class_="number ratio"),
            tag("td", f"{_ratio(ratio['low'])} – {_ratio(ratio['high'])}" if ratio else "", class_="number ends"),
            tag("td", verdict, class_="verdict", data_verdict=ratio["verdict"] if ratio else None),
        ))
    return tag("tbody", *rows, class_=kind, style=f"--own: var(--{colour})")


def _heading(comparison: dict[str, Any]) -> Markup:
    workload = comparison["workload"]
    facts = [_counted(comparison["threads"], "thread"), f"touch {comparison['touch']}"]
    facts += [f"{key.replace('_', ' ')} {_plain(value)}" for key, value in workload["parameters"].items()]
    facts += _trace_facts(workload["trace"] or {})
    return join((
        tag("h3", _workload(comparison)),
        tag("p", workload["what"], class_="lead"),
        tag("p", " · ".join(facts), class_="facts"),
    ))


def _trace_facts(trace: dict[str, Any]) -> list[str]:
    facts = []
    for key, what in (("recorded_events", "events"), ("peak_live_blocks", "blocks live at the peak")):
        if isinstance(trace.get(key), int):
            facts.append(f"{trace[key]:,} {what}")
    if isinstance(trace.get("peak_live_bytes"), int):
        facts.append(f"{_bytes(trace['peak_live_bytes'])} live at the peak")
    return facts


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else value if isinstance(value, str) else json.dumps(value)


def _footing(comparison: dict[str, Any]) -> Markup:
    """What the rounds were, under a table of ratios."""
    each = f" of {comparison['processes']} processes each" if comparison["processes"] > 1 else ""
    text = f"{_counted(comparison['rounds'], 'round')}{each}, {comparison['repeated_rounds']} repeated"
    if comparison["disturbed_rounds"]:
        text += f", {comparison['disturbed_rounds']} kept although disturbed"
    effects = [
        f"{_percent(effect)} ({PASSES.get(name, name)})"
        for name, effect in comparison["smallest_effect"].items() if effect is not None
    ]
    if effects:
        text += f". Smallest effect that could have been seen: {_listed(effects)}"
    return tag("p", f"{text}.", class_="footing")


def _overview(result: dict[str, Any]) -> Section | None:
    comparisons = _with_ratios(result, "time")
    subject = _subject(comparisons)
    shown = [
        (comparison, row)
        for comparison in comparisons
        if (row := _of(comparison["contenders"], subject)) is not None and row["ratios"]
    ]
    if len(shown) < 2:
        return None
    axis = Axis(ratio for comparison, row in shown for ratio in row["ratios"].values())
    lead = (result["lead"] or {}) if subject == OURS else {}
    rows = []
    for place, (comparison, row) in enumerate(shown):
        headline = comparison["passes"][0]
        ratio = row["ratios"][headline]
        base = _of(comparison["contenders"], comparison["base"])
        rounds = _paired(row["series"].get(headline, []), base["series"].get(headline, []) if base else [])
        rows.append(tag("tr", *(
            tag("th", tag("a", _workload(comparison), href=f"#time-{place}", class_="name"),
                tag("span", f"{_counted(comparison['threads'], 'thread')}, {comparison['touch']}", class_="what"),
                scope="row"),
            tag("td", axis.dots(ratio, rounds, False), class_="plot"),
            tag("td", _ratio(ratio["estimate"]), class_="number ratio"),
            tag("td", f"{_ratio(ratio['low'])} – {_ratio(ratio['high'])}", class_="number ends"),
            tag("td", ratio["verdict"], class_="verdict", data_verdict=ratio["verdict"]),
            tag("td", _fastest(comparison, lead.get(headline)), class_="peer") if lead else None,
        )))
    bases = _listed(list(dict.fromkeys(comparison["base"] for comparison, _ in shown)), "or")
    heads = [
        tag("th", "workload", scope="col"),
        tag("th", axis.words(bases, "faster", "slower"), scope="col", class_="plot"),
        tag("th", "ratio", scope="col", class_="number"), tag("th", "interval", scope="col", class_="number"),
        tag("th", "verdict", scope="col"),
        tag("th", "to the fastest peer", scope="col", class_="peer") if lead else None,
    ]
    scale = tag("tbody", tag("tr", tag("td", class_="gap"), tag("td", axis.scale(), class_="plot"),
                             tag("td", colspan=4, class_="gap"), class_="axis"), aria_hidden="true")
    means = [
        f"{PASSES.get(name, name)} {_ratio(one['geometric_mean'])}" for name, one in lead.items()
    ]
    return Section("overview", "At a glance", f"{subject} at a glance", join((
        tag("table", tag("caption", f"Ratio to {bases}, its interval, verdict"), tag("thead", tag("tr", *heads)),
            tag("tbody", *rows, style="--own: var(--c0)"), scale,
            class_="forest brief"),
        tag("p", f"To the fastest peer on each workload, geometric mean: {', '.join(means)}.", class_="footing")
        if means else None,
        _key(shown[0][0]),
    )))


def _fastest(comparison: dict[str, Any], lead: dict[str, Any] | None) -> str:
    """Our ratio to the fastest peer of a comparison, where the result has it."""
    for key in (comparison["id"], _workload(comparison)):
        if lead is not None and key in lead["peers"]:
            ratio = (lead.get("ratios") or {}).get(key)
            return f"{_ratio(ratio)} × {lead['peers'][key]}" if ratio is not None else str(lead["peers"][key])
    return ""


def _key(comparison: dict[str, Any]) -> Markup:
    """How to read the dots."""
    has_interval = comparison["rounds"] >= 8
    bar = "its 99 % interval" if has_interval else "the range of the rounds"
    passes = "" if len(comparison["passes"]) < 2 else " Filled: first pass in a fresh process; hollow: later passes."
    return tag(
        "p", "Dot: ratio within the rounds, logarithmic. Bar: ", bar, ". Faint marks: single rounds. ",
        tag("span", "Shaded", class_="zonekey"), f": within ±{EQUAL_WITHIN * 100:.0f} %, the zone of no difference.",
        passes, class_="key",
    )


# ---- sections ----------------------------------------------------------------------------------


def _times(result: dict[str, Any], colours: dict[str, str]) -> Section | None:
    comparisons = _with_ratios(result, "time")
    if not comparisons:
        return None
    return Section("times", "Times", "Times", join((
        *(
            tag("article", _heading(comparison), _forest(comparison, colours), _footing(comparison),
                _threads(comparison, colours), id=f"time-{place}")
            for place, comparison in enumerate(comparisons)
        ),
        _key(comparisons[0]),
    )))


def _threads(comparison: dict[str, Any], colours: dict[str, str]) -> Markup | None:
    """How the threads of a recording got on, where it was replayed in their order."""
    threaded = [(row["name"], row["threads"]) for row in comparison["contenders"] if row.get("threads")]
    if not threaded:
        return None
    recorded = (comparison["workload"]["trace"] or {}).get("peak_live_bytes")
    rows = []
    for name, found in threaded:
        passes = comparison["passes"]
        for place, one in enumerate(passes):
            rows.append(tag(
                "tr",
                None if place else tag("th", tag("span", name, class_="name"), scope="rowgroup", rowspan=len(passes)),
                tag("td", one),
                *(tag("td", cell, class_="number") for cell in (
                    _ns(found["makespan_ns"][one]), _ns(found["cpu_ns"][one]), f"{found['waiting'][one]:.1%}")),
                *(tag("td", cell, class_="number", rowspan=len(passes)) for cell in (
                    _bytes(found["peak_live_bytes"]),
                    f"{found['peak_live_bytes'] / recorded:.2f}" if recorded else "–")) if not place else (),
                class_="harness" if name == HARNESS else None, style=f"--own: var(--{colours[name]})",
            ))
    heads = [tag("th", "contender", scope="col"), tag("th", "pass", scope="col")]
    heads += [tag("th", name, scope="col", class_="number") for name in (
        "makespan", "processor time", "waiting", "peak live", "to the recorded")]
    return join((
        tag("div", tag("table", tag("caption", "How the threads got on"), tag("thead", tag("tr", *heads)),
                       tag("tbody", *rows), class_="plain"),
            class_="wide", tabindex=0, role="region", aria_label=f"Threads of {_workload(comparison)}"),
        tag("p", "Medians of the rounds. Processor time is that of all threads without their pauses; waiting is the "
            "share of their time that they waited for each other’s calls; live bytes are of a pass of its own.",
            class_="footing"),
    ))


def _chart(kind: str, place: int, title: str, reading: str, names: Iterable[str], colours: dict[str, str]) -> Markup:
    """A figure that report.js fills; its names are listed where there is no room for them beside the lines."""
    legend = (
        tag("li", name, class_="harness" if name == HARNESS else None, style=f"--own: var(--{colours[name]})")
        for name in names
    )
    return tag(
        "figure", tag("figcaption", tag("strong", title), " ", tag("span", reading, class_="quiet")),
        tag("ul", *legend, class_="legend"),
        tag("div", class_="chart", data_chart=kind, data_comparison=place, role="img",
            aria_label=f"{title}. {reading}"),
    )


def _latency(result: dict[str, Any], colours: dict[str, str]) -> Section | None:
    articles = []
    for place, comparison in enumerate(result["comparisons"]):
        latency = comparison["latency"]
        if not latency:
            continue
        wanted = sorted({key for one in latency.values() for key in one["percentiles"]}, key=float)
        rows = []
        for name in sorted(latency, key=lambda name: name == HARNESS):
            values = [latency[name]["percentiles"].get(key) for key in wanted]
            operations = sum(count for _, count in latency[name]["counts"])
            rows.append(tag(
                "tr", tag("th", tag("span", name, class_="name"), scope="row"),
                *(tag("td", "–" if value is None else _ns(value), class_="number") for value in values),
                tag("td", f"{operations:,}", class_="number"),
                class_="harness" if name == HARNESS else None, style=f"--own: var(--{colours[name]})",
            ))
        heads = [tag("th", "contender", scope="col")]
        columns = [*(f"{key} %" for key in wanted), "operations"]
        heads += [tag("th", name, scope="col", class_="number") for name in columns]
        articles.append(tag(
            "article", _heading(comparison),
            _chart("latency", place, "Slowest operations", "Time that a share of the operations did not exceed; both "
                   "axes logarithmic. Dashed: the empty harness’s own.", latency, colours),
            tag("div", tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="plain"),
                class_="wide", tabindex=0, role="region", aria_label=f"Percentiles of {_workload(comparison)}"),
            tag("p", "– : fewer than 100 operations lie beyond it, or it is not above the empty harness’s own 99th "
                "percentile, below which nothing is said.", class_="footing"),
            _forest(comparison, colours) if any(row["ratios"] for row in comparison["contenders"]) else None,
        ))
    return Section("latency", "Latency", "Latency tails", join(articles)) if articles else None


def _memory(result: dict[str, Any], colours: dict[str, str]) -> Section | None:
    articles = []
    for place, comparison in enumerate(result["comparisons"]):
        memory = comparison["memory"]
        if not memory:
            continue
        rows = [
            tag("tr", tag("th", tag("span", name, class_="name"), scope="row"),
                tag("td", _bytes(one["peak_resident_bytes"]), class_="number"),
                tag("td", "–" if one["waste"] is None else f"{one['waste']:.2f}", class_="number"),
                class_="harness" if name == HARNESS else None, style=f"--own: var(--{colours[name]})")
            for name, one in sorted(
                memory.items(), key=lambda item: (item[0] == HARNESS, item[1]["peak_resident_bytes"])
            )
        ]
        heads = (tag("th", "contender", scope="col"), tag("th", "peak resident", scope="col", class_="number"),
                 tag("th", "resident / live at the peak", scope="col", class_="number"))
        articles.append(tag(
            "article", _heading(comparison),
            _chart("memory", place, "Bytes over the events", "Area: live bytes. Lines: resident bytes. Dotted: bytes "
                   "in slabs, where a contender tells them.", memory, colours)
            if any(one["timeline"] for one in memory.values()) else None,
            tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="plain short"),
            _forest(comparison, colours) if any(row["ratios"] for row in comparison["contenders"]) else None,
        ))
    return Section("memory", "Memory", "Memory over time", join(articles)) if articles else None


def _once(result: dict[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Comparisons that have something at ``key``, each workload once: it is the same in every metric."""
    seen = set()
    for place, comparison in enumerate(result["comparisons"]):
        found = json.dumps([_workload(comparison), comparison.get(key)])
        if comparison.get(key) and found not in seen:
            seen.add(found)
            yield place, comparison


def _sizes(result: dict[str, Any]) -> Section | None:
    articles = []
    for place, comparison in _once(result, "size_histogram"):
        sizes = comparison["size_histogram"]
        if len(sizes) < 2:  # nothing to draw: the workload's parameters say it
            continue
        total = sum(count for _, count in sizes)
        most = sorted(sizes, key=lambda one: -one[1])[:12]
        rows = [
            tag("tr", tag("td", f"{size:,} B", class_="number"), tag("td", f"{count:,}", class_="number"),
                tag("td", f"{count / total * 100:.1f} %", class_="number"))
            for size, count in most
        ]
        heads = (tag("th", name, scope="col", class_="number") for name in ("size", "allocations", "share"))
        edges = comparison.get("class_edges")
        articles.append(tag(
            "article", tag("h3", _workload(comparison)),
            _chart("sizes", place, "Sizes asked for", "Share of the allocations, over a logarithmic axis of bytes."
                   + (f" Hairlines: the edges of {len(edges)} size classes." if edges else ""), (), {}),
            tag("details", tag("summary", f"The {_counted(len(most), 'size')} asked for most, of {len(sizes):,}"),
                tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="plain short")),
        ))
    return Section("sizes", "Sizes", "Sizes and size classes", join(articles)) if articles else None


def _slab_map(result: dict[str, Any]) -> Section | None:
    articles = [
        tag("article", tag("h3", _workload(comparison)), *_map_parts(comparison["slab_map"]))
        for _, comparison in _once(result, "slab_map")
    ]
    if not articles:
        return None
    return Section("slabs", "Slabs", "Slab map of poolcore", join((
        tag("p", "Only ours: no other contender tells how its memory is laid out, so nothing is compared here. A cell "
            "is a granule of the arena, in the order of addresses.", class_="lead"), *articles,
    )))


def _map_parts(granules: list[list[Any]]) -> Iterator[Markup]:
    per_cell = -(-len(granules) // MAP_CELLS)
    cells = []
    for place in range(0, len(granules), per_cell):
        part = granules[place:place + per_cell]
        kinds = [GRANULES.get(kind, str(kind)) for _, kind, *_ in part]
        column, line = place // per_cell % MAP_COLUMNS, place // per_cell // MAP_COLUMNS
        live, blocks = sum(one[3] for one in part), sum(one[4] for one in part)
        kind = "slab" if "slab" in kinds else kinds[0]
        fill = live / blocks if blocks else 0.0
        text = f"granule {part[0][0]}: {kind}"
        if kind == "slab":
            text += f" of {part[0][2]:,} B, {live:,} of {blocks:,} blocks live"
        cells.append(tag(
            "rect", tag("title", text), x=column * 10 + 0.5, y=line * 10 + 0.5, width=9, height=9, class_=kind,
            fill_opacity=f"{0.12 + 0.88 * fill:.2f}" if kind == "slab" else None,
        ))
    lines = -(-len(cells) // MAP_COLUMNS)
    kinds = [GRANULES.get(one[1], str(one[1])) for one in granules]
    counts = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in dict.fromkeys(kinds))
    yield tag("ul", *(
        tag("li", tag("svg", Markup(f'<rect x="0.5" y="0.5" width="9" height="9" class="{kind}"{opacity}/>'),
                      viewBox="0 0 10 10", aria_hidden="true"), text)
        for kind, opacity, text in (
            ("slab", ' fill-opacity="0.12"', "slab, empty"), ("slab", ' fill-opacity="0.56"', "half full"),
            ("slab", "", "full"), ("run", "", "run of one large block"), ("free", "", "free or unused"),
        )
    ), class_="legend shown")
    yield tag("svg", *cells, class_="map", viewBox=f"0 0 {MAP_COLUMNS * 10} {lines * 10}", role="img",
              aria_label=f"Slab map: {counts} granules")
    slabs = sorted((one for one in granules if GRANULES.get(one[1], one[1]) == "slab"), key=lambda one: one[2])
    rows = []
    for size, group in groupby(slabs, key=lambda one: one[2]):
        members = list(group)
        live, blocks = sum(one[3] for one in members), sum(one[4] for one in members)
        rows.append(tag(
            "tr", tag("td", f"{size:,} B", class_="number"), tag("td", f"{len(members):,}", class_="number"),
            tag("td", f"{live:,}", class_="number"), tag("td", f"{blocks:,}", class_="number"),
            tag("td", f"{live / blocks * 100:.0f} %" if blocks else "–", class_="number"),
        ))
    columns = ("size class", "slabs", "live", "blocks", "full")
    heads = (tag("th", name, scope="col", class_="number") for name in columns)
    yield tag("p", f"{_counted(len(granules), 'granule')}: {counts}.", class_="footing")
    if rows:
        yield tag("details", tag("summary", "How full each size class is"),
                  tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="plain short"))


def _absent(result: dict[str, Any]) -> Section | None:
    where: dict[tuple[str, str, str | None, bool], list[str]] = {}
    for comparison in result["comparisons"]:
        for one in comparison["absent"]:
            key = (one["name"], one["reason"], one["package"], one["is_disqualified"])
            where.setdefault(key, []).append(comparison["id"])
    if not where:
        return None
    rows = []
    for (name, reason, package, is_disqualified), ids in sorted(where.items(), key=lambda item: not item[0][3]):
        get = tag("span", "Debian: ", tag("code", f"apt install {package}"), class_="get") \
            if package and not is_disqualified else None
        everywhere = len(ids) == len(result["comparisons"])
        rows.append(tag(
            "tr", tag("th", tag("span", name, class_="name"), scope="row"),
            tag("td", "disqualified" if is_disqualified else "not here", class_="verdict",
                data_verdict="disqualified" if is_disqualified else None),
            tag("td", f"{_sentence(reason)} ", get,
                None if everywhere else tag("span", f"In {'; '.join(ids)}.", class_="quiet")),
        ))
    heads = (tag("th", name, scope="col") for name in ("contender", "state", "why"))
    title = "Disqualified and missing" if any(key[3] for key in where) else "Missing"
    return Section("absent", "Missing", title, tag(
        "table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="plain stacked"
    ))


def _method(result: dict[str, Any]) -> Section:
    metrics = {comparison["metric"] for comparison in result["comparisons"]}
    has_traces = any(comparison["workload"]["trace"] for comparison in result["comparisons"])
    has_few = any(comparison["rounds"] < 8 for comparison in result["comparisons"])
    points = [
        "A round runs every contender in random order; ratios are formed within a round and never across rounds."
        + (" Where each has two processes in it, the second ones are in the opposite order; the mean of both counts."
           if any(comparison["processes"] > 1 for comparison in result["comparisons"]) else ""),
        "The estimate is the Hodges-Lehmann median of the logarithms of the rounds’ ratios, the interval that of the "
        "exact signed-rank test at 99 %."
        + (" Fewer than 8 rounds show their range and no interval." if has_few else ""),
        "“No difference”: the whole interval lies within ±2 % of 1. “Inconclusive”: it holds 1 and reaches beyond, or "
        "would be expected by chance among so many comparisons (Holm’s correction over the report).",
    ]
    if "time" in metrics:
        points += [
            "The base takes part in each timed round as one more contender (A/A): what that row shows is chance.",
            "A timed round on one thread whose wall time exceeds its processor time by more than 2 % was disturbed and "
            "is repeated; on a machine that is never calm it is kept in the end, and counted. Workloads that wait for "
            "sockets, the clock or other threads are not judged by this.",
            "Times are gross. The empty harness, which allocates nothing, is a contender like the others; net is shown "
            "beside and never divided.",
        ]
        if result["kind"] == "bench":
            points.append("Where contenders share a process, a round is the median of 3 to 25 turns of each, and "
                          "ratios are formed turn by turn.")
    if has_traces:
        points.append("Each contender replays a trace in a fresh process. The first pass is what the recorded program "
                      "would have seen; later passes find warm memory.")
    if "latency" in metrics:
        points.append("Latency is measured in runs of its own; histograms are raw, and nothing is said below the "
                      "empty harness’s own 99th percentile.")
    if "memory" in metrics:
        points.append("Resident bytes are measured in runs of their own, in which every page is touched.")
    blocks = [tag("ul", *(tag("li", point) for point in points), class_="points")]
    for title, facts in (
        ("Machine and builds", {**result["fingerprint"], **(result.get("machine") or {})}),
        ("Manifest: all that is needed to run it again", result["manifest"]),
    ):
        if facts:
            blocks.append(tag("details", tag("summary", title), _facts(facts)))
    origins = {
        (row["name"], row["origin"])
        for comparison in result["comparisons"] for row in comparison["contenders"] if row["origin"]
    }
    if origins:
        blocks.append(tag("details", tag("summary", "Where each contender came from"), tag("dl", *(
            tag("div", tag("dt", name), tag("dd", origin)) for name, origin in sorted(origins)
        ), class_="facts-list")))
    return Section("method", "Method", "Method", join(blocks))


def _facts(facts: dict[str, Any]) -> Markup:
    """Names and values as they are; what has parts itself is a list of its own."""
    lines = []
    for key, value in facts.items():
        shown: str
        if isinstance(value, dict) and value:
            shown = _facts(value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            shown = join(_facts({key: part for key, part in one.items() if part is not None}) for one in value)
        elif isinstance(value, list):
            shown = " ".join(map(str, value))
        elif isinstance(value, bool):
            shown = "yes" if value else "no"
        else:
            shown = "–" if value is None or value == {} else str(value)
        lines.append(tag("div", tag("dt", str(key).replace("_", " ")), tag("dd", shown)))
    return tag("dl", *lines, class_="facts-list")


def _data() -> Section:
    return Section("data", "Data", "Raw data", join((
        tag("p", "All figures, every round included, are in this file: what was drawn above and what was not.",
            class_="lead"),
        tag("button", "Download result.json", type="button", id="download"),
    )))
