"""The report in a browser without a network: what is drawn, where it fits, who can read it."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from functools import cache
from importlib.resources import files

import pytest
from playwright.sync_api import expect, sync_playwright

import sample_results
from pybuf.bench.reports import html
from test_html import HOSTILE

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]
DESK, PHONE = (1280, 900), (390, 844)
LEAST_CONTRAST = 4.5
#: Of two colours of contenders, as far apart as CIE 1976 L*a*b* says, seen with two kinds of cones or with three.
LEAST_DISTANCE = 15

# Every text on the page with its colour and that of what it stands on.
TEXTS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || parent.closest("script, style, .skip")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    if (!range.getClientRects().length || parent.closest("title")) continue;
    const style = getComputedStyle(parent);
    const below = [];
    for (let one = parent; one; one = one.parentElement) below.push(getComputedStyle(one).backgroundColor);
    found.push([node.data.trim(), parent instanceof SVGElement ? style.fill : style.color,
                below.find((one) => !/, 0\\)$|transparent/.test(one))]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens a report of its own; whatever goes wrong on the page, or is asked of a network, fails the test."""
    reports = Reports(chromium, tmp_path)
    yield reports.open
    reports.close()


@pytest.fixture(scope="module")
def seen(chromium, tmp_path_factory):
    """Opens the report of everything once per size and scheme, for tests that only look at it."""
    reports = Reports(chromium, tmp_path_factory.mktemp("seen"))
    yield cache(lambda size=DESK, scheme="light": reports.open(sample_results.whole(), size, scheme))
    reports.close()


class Reports:
    """Open reports, and what went wrong on their pages."""

    def __init__(self, browser, directory):
        self.browser, self.path, self.contexts, self.wrong = browser, directory / "report.html", [], []

    def open(self, result, size=DESK, scheme="light"):
        html.write_report(result, self.path)
        address = self.path.as_uri()
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True, has_touch=size == PHONE,
        )
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self.check(request.url, address))
        page.goto(address)
        page.wait_for_selector("html[data-drawn]", state="attached")
        return page

    def check(self, url, address):
        if url != address and not url.startswith(("data:", "blob:")):
            self.wrong.append(url)

    def close(self):
        for context in self.contexts:
            context.close()
        assert self.wrong == []


def chart(page, kind):
    return page.locator(f'[data-chart="{kind}"]').first


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_charts_have_drawn(seen):
    result = sample_results.whole()
    page = seen()
    latency = next(one["latency"] for one in result["comparisons"] if one["latency"])
    memory = next(one["memory"] for one in result["comparisons"] if one["memory"])
    assert chart(page, "latency").locator("path.js-line").count() == len(latency)
    # Resident bytes of each, live bytes and our slabs.
    assert chart(page, "memory").locator("path.js-line").count() == len(memory) + 2
    assert chart(page, "sizes").locator("g.bars path").count() > 50
    assert page.locator("svg.map rect").count() == 190
    rows = sum(
        len(row["ratios"]) for one in result["comparisons"] for row in one["contenders"] if row["ratios"]
    )
    a_over_a = sum(len(one["a_over_a"]) for one in result["comparisons"])
    marks = page.locator("#times circle.estimate").count() + page.locator("#times text.off").count()
    assert marks == rows + a_over_a


def test_the_empty_harness_is_drawn_in_its_own_way(seen):
    page = seen()
    dashes = chart(page, "latency").locator("path.js-line").evaluate_all(
        "lines => lines.filter((line) => getComputedStyle(line).strokeDasharray !== 'none').length")
    assert dashes == 1
    assert "the harness’s own 99 %" in chart(page, "latency").inner_text()


def test_lines_pass_through_their_percentiles(seen):
    page = seen()
    # Where the harness's line crosses 99 %, it lies on the upper edge of the zone below its 99th percentile.
    distances = page.evaluate("""() => {
        const chart = document.querySelector("[data-chart=latency]");
        const zone = chart.querySelector(".shapelayer path").getBoundingClientRect();
        const tick = [...chart.querySelectorAll("g.xtick text")].find((one) => one.textContent === "99 %")
            .getBoundingClientRect();
        const line = [...chart.querySelectorAll("path.js-line")]
            .find((one) => getComputedStyle(one).strokeDasharray !== "none");
        const place = line.getScreenCTM();
        const found = [];
        for (let at = 0; at < line.getTotalLength(); at += 0.25) {
            const point = line.getPointAtLength(at).matrixTransform(place);
            if (Math.abs(point.x - tick.left - tick.width / 2) < 1.5) found.push(point.y - zone.top);
        }
        return found;
    }""")
    assert distances
    assert min(map(abs, distances)) < 1


def test_the_zone_of_no_difference_lies_around_one(seen):
    page = seen()
    boxes = page.evaluate("""() => [...document.querySelectorAll("#times tr")]
        .filter((row) => row.querySelector(".zone"))
        .map((row) => [".zone", ".one", ".plot"].map((part) => row.querySelector(part).getBoundingClientRect())
        .map((box) => [box.left, box.width, box.height]))""")
    assert len(boxes) > 20
    for zone, one, plot in boxes:
        assert zone[0] < one[0] < zone[0] + zone[1]
        assert plot[0] <= zone[0] and 4 < zone[1] < plot[1] / 2
        assert zone[2] == pytest.approx(plot[2], abs=2)  # without gaps from row to row


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_every_text_can_be_read(seen, size, scheme):
    texts = seen(size, scheme).evaluate(TEXTS)
    assert len(texts) > 200
    assert [text for text in texts if contrast(text[1], text[2]) < LEAST_CONTRAST] == []


def numbers(colour):
    found = [float(part) for part in re.findall(r"[\d.]+", colour)]
    assert colour.startswith("rgb") and len(found) in (3, 4) and found[3:] in ([], [1.0]), colour
    return found[:3]


def linear(rgb):
    return [part / 255 / 12.92 if part <= 10.31 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb]


def contrast(one, other):
    """Of two colours, as the Web Content Accessibility Guidelines define it."""
    lights = sorted(
        sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear(numbers(colour)), strict=True))
        for colour in (one, other)
    )
    return (lights[1] + 0.05) / (lights[0] + 0.05)


# Machado, Oliveira and Fernandes 2009: what is seen without one of the three kinds of cones, in linear RGB.
EYES = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no L cones": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "no M cones": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "no S cones": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}


def lab(rgb):
    rows = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0177, 0.1095, 0.8728))
    x, y, z = (sum(share * min(max(part, 0), 1) for share, part in zip(row, rgb, strict=True)) for row in rows)
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("eye", EYES)
def test_contenders_are_told_apart_by_every_eye(eye, scheme):
    css = (files("pybuf.bench.reports") / "report.css").read_text()
    pairs = re.findall(r"--(?:c\d|harness): light-dark\(#(\w{6}), #(\w{6})\);", css)
    assert len(pairs) == html.COLOURS + 1
    seen = []
    for pair in pairs:
        rgb = linear(list(bytes.fromhex(pair[scheme])))
        seen.append(lab([sum(share * part for share, part in zip(row, rgb, strict=True)) for row in EYES[eye]]))
    for one, other in itertools.combinations(seen, 2):
        assert sum((here - there) ** 2 for here, there in zip(one, other, strict=True)) ** 0.5 >= LEAST_DISTANCE


@pytest.mark.parametrize("make", [sample_results.whole, sample_results.small])
def test_a_phone_scrolls_in_one_direction(opened, make):
    page = opened(make(), PHONE)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    beyond = page.evaluate("""() => [...document.querySelectorAll("body *")].filter((node) =>
        !node.closest(".wide, .skip, .chart") && node.getBoundingClientRect().right > innerWidth)
        .map((node) => `${node.tagName} ${node.className} ${node.textContent.slice(0, 40)}`)""")
    assert beyond == []


def test_long_names_do_not_widen_a_phone(opened):
    result = json.loads(json.dumps(sample_results.whole()).replace("mimalloc", "m" * 90).replace("lifo-pair", "l" * 90))
    assert opened(result, PHONE).evaluate("document.documentElement.scrollWidth") == PHONE[0]
    assert opened(result).evaluate("document.documentElement.scrollWidth") == DESK[0]


def test_charts_follow_the_width(opened):
    page = opened(sample_results.whole())
    drawing = chart(page, "memory").locator("svg.main-svg").first
    wide = drawing.get_attribute("width")
    page.set_viewport_size({"width": 600, "height": 800})
    expect(drawing).not_to_have_attribute("width", wide)
    assert float(drawing.get_attribute("width")) < 600 < float(wide)


def ink(page):
    return chart(page, "memory").locator("g.xtick text").first.evaluate("text => getComputedStyle(text).fill")


def test_dark_follows_the_system_and_the_button(opened):
    result = sample_results.whole()
    light, dark = (opened(result, scheme=scheme) for scheme in ("light", "dark"))
    colours = {"light": (background(light), ink(light)), "dark": (background(dark), ink(dark))}
    assert colours["light"][0] != colours["dark"][0] and colours["light"][1] != colours["dark"][1]
    button = light.get_by_role("button", name="Dark")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert (background(light), ink(light)) == colours["dark"]
    button.click()
    assert (background(light), ink(light)) == colours["light"]
    dark.emulate_media(color_scheme="light")
    assert (background(dark), ink(dark)) == colours["light"]


def test_paper_is_white_and_has_no_buttons(seen, opened):
    light, page = seen(), opened(sample_results.whole(), scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert background(page) == background(light)
    assert ink(page) == ink(light)
    assert not page.locator(".bar").is_visible() and not page.get_by_role("button", name="Download").is_visible()
    # A sheet of A4 between its margins; nothing is cut off at the right.
    page.set_viewport_size({"width": 690, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") == 690


def test_everything_that_acts_is_reached_by_the_keyboard(opened):
    page = opened(sample_results.whole())
    acting = page.locator("a, button, summary, .wide").count()
    page.evaluate("window.reached = new Set()")
    for _ in range(acting):
        page.keyboard.press("Tab")
        page.evaluate("reached.add(document.activeElement)")
    assert page.evaluate("""() => [...document.querySelectorAll("a, button, summary, .wide")]
        .filter((node) => !reached.has(node)).map((node) => node.textContent)""") == []
    page.get_by_role("button", name="Dark").focus()
    before = background(page)
    page.keyboard.press("Enter")
    assert background(page) != before


def test_charts_say_what_they_are(seen):
    page = seen()
    assert page.locator("[role=img]").count() > 20
    assert page.locator("[role=img]:not([aria-label])").count() == 0


def test_raw_data_are_given_out(opened):
    result = sample_results.whole()
    page = opened(result)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download result.json").click()
    assert download.value.suggested_filename == "result.json"
    assert json.loads(download.value.path().read_text()) == result


@pytest.mark.parametrize("name", [HOSTILE, "<b>x</b>&lt;\"'", "<a href='x'>"])
def test_names_are_drawn_as_they_are(opened, name):
    result = sample_results.whole()
    for comparison in result["comparisons"]:
        for key in ("latency", "memory"):
            if comparison[key]:
                comparison[key][name] = comparison[key].pop("mimalloc")
        for row in comparison["contenders"]:
            row["name"] = name if row["name"] == "mimalloc" else row["name"]
    page = opened(result)
    assert page.title().startswith("pybuf bench")
    for kind in ("latency", "memory"):
        # Longer names are cut where they stand beside their lines.
        assert name[:14] in chart(page, kind).inner_text()
        assert chart(page, kind).locator("a, script").count() == 0
    assert page.locator("#times").get_by_text(name).count() == 3


def test_more_contenders_than_colours_are_told_apart_by_dashes(opened):
    result = sample_results.whole()
    memory = next(one["memory"] for one in result["comparisons"] if one["memory"])
    memory |= {f"peer-{place}": memory["glibc"] for place in range(8)}
    looks = chart(opened(result), "memory").locator("path.js-line").evaluate_all(
        "lines => lines.map((line) => getComputedStyle(line)).map((one) => one.stroke + one.strokeDasharray)")
    assert len(set(looks)) == len(looks) == len(memory) + 2


def test_a_small_report_has_nothing_to_draw(opened):
    page = opened(sample_results.small())
    assert page.locator("[data-chart]").count() == 0
    assert page.locator("#times circle.estimate").count() == 6
