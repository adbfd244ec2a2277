"""The page without a browser: what is in it, what is not, and that it is whole without scripts."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gradparity.formatting import large, three
from gradparity.report.markdown import markdown
from gradparity.report.page import document
from gradparity.report.terminal.tables import text as terminal
from tests.report import samples as made
from tests.report.samples import BREAKING, SCRIPT, samples

SAMPLES = samples()
PAGES = {name: document(result) for name, result in SAMPLES.items()}
_VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Page(HTMLParser):
    """The page as a parser sees it: tags that close, text by the element that has it, what could load something."""

    text: str
    open: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    islands: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._island = ""
        self.feed(self.text)
        self.faults += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self.loads += [str(found[name]) for name in ("src", "href", "action", "poster") if found.get(name)]
        if tag == "script":
            self._island = str(found.get("id", ""))
        if tag not in _VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.islands[self._island] = self.islands.get(self._island, "") + data
        elif {"td", "th"} & set(self.open):
            self.cells[-1] += data


PARSED = {name: Page(text) for name, text in PAGES.items()}


def figures_of(page: Page) -> dict[str, Any]:
    """What Plotly is given, by the key of the plot."""
    text = page.islands.get("figures")  # there is none where there is no plot
    found = json.loads(gzip.decompress(b64decode(text))) if text else {}
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_well_formed_and_under_6_mb(name: str):
    assert PARSED[name].faults == []
    assert len(PAGES[name].encode()) < 6 * 10**6
    assert PAGES[name].lstrip().startswith("<!doctype html>")
    assert ("html", {"lang": "en"}) in PARSED[name].tags


@pytest.mark.parametrize("name", SAMPLES)
def test_it_asks_for_nothing_from_anywhere(name: str):
    assert [each for each in PARSED[name].loads if not each.startswith(("#", "data:"))] == []
    style = "".join(re.findall(r"<style>(.*?)</style>", PAGES[name], re.DOTALL))
    assert "@import" not in style
    assert not re.search(r"url\(\s*['\"]?(?!data:|#)", style)
    policy = next(found for tag, found in PARSED[name].tags if found.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy["content"])
    assert "connect-src 'none'" in str(policy["content"])


@pytest.mark.parametrize("name", ["run", "broken", "ported", "bench", "usual", "off", "schema-2"])
def test_every_error_is_in_a_table(name: str):
    cells = " ".join(PARSED[name].cells)
    for problem in SAMPLES[name].problems:
        for found in problem.findings:
            if found.error_ulps is not None:
                assert f"{large(found.error_ulps)} ulp" in cells


@pytest.mark.parametrize("name", ["run", "usual", "bench"])
def test_every_time_is_in_a_table(name: str):
    cells = " ".join(PARSED[name].cells)
    for problem in SAMPLES[name].problems:
        for timing in problem.timings:
            assert timing.backend in cells
            for timed in (timing.step, timing.loop):
                if timed is not None and timed.ratio is not None and timed.ratio.low is not None:
                    assert f"[{three(timed.ratio.low)}, {three(timed.ratio.high or 0)}]" in cells


@pytest.mark.parametrize("name", SAMPLES)
def test_every_plot_has_its_figures_as_a_table_beside_it(name: str):
    figures = re.findall(r'<figure class="figure".*?</figure>', PAGES[name], re.DOTALL)
    assert all("<table" in each for each in figures)
    drawn = figures_of(PARSED[name])
    assert len(drawn) == len(figures)


def test_the_title_says_the_verdict():
    title = re.search(r"<title>(.*?)</title>", PAGES["off"], re.DOTALL)
    assert title[1].startswith("1 of 3 backends does not agree on toy")


def test_names_from_outside_are_text_and_nothing_else():
    page, parsed = PAGES["hostile"], PARSED["hostile"]
    assert SCRIPT not in page
    assert "<img src=x" not in page
    assert not [tag for tag, found in parsed.tags if tag == "img" or any(name.startswith("on") for name in found)]
    assert parsed.faults == []
    assert any(SCRIPT in cell for cell in parsed.cells)  # as text it is there
    assert any(BREAKING in cell for cell in parsed.cells)


@pytest.mark.parametrize("ulps", [5e-324, 1e-300])
def test_a_floor_of_few_ulps_has_its_place_on_the_plot(ulps: float):
    zero = made.problem("zero", ["jax"])
    zero.findings = [made.finding("jax", floor_ulps=ulps, error_ulps=ulps)]
    assert "Errors against the floor" in document(made.run(zero))


@pytest.mark.parametrize("fields", [{"truth": 0.0, "got": 1e-17}, {"truth": 5e-300}, {}], ids=str)
def test_beside_a_true_value_of_nothing_no_error_is_told_in_ulps(fields: dict[str, float]):
    """Beside a truth of exactly 0 a unit in the last place is 5e-324, and any error is 1e300 of them."""
    zero = made.problem("zero", ["jax"], training=[])
    zero.findings = [made.finding("jax", floor_ulps=1.3e308, error_ulps=1.3e308, **fields)]
    shown = made.run(zero)
    for text in (document(shown), markdown(shown), terminal(shown)):
        assert "e+308" not in text


def test_the_script_for_the_plots_is_the_one_of_the_plotly_package_and_the_page_names_its_hash():
    from importlib.util import find_spec

    from gradparity.report.page.plotly import HASH, plotly

    script = gzip.decompress(b64decode(plotly()))
    assert f"sha256-{b64encode(sha256(script).digest()).decode()}" == HASH
    assert HASH in PAGES["run"]
    found = find_spec("plotly")
    if found is None or found.origin is None:
        pytest.skip("the package plotly is not installed: it is in the extra test")
    assert script == (Path(found.origin).parent / "package_data" / "plotly.min.js").read_bytes()


def test_plotly_is_given_no_markup_of_others():
    """Plotly makes tags of some text itself: a name's angle brackets are entities before it sees them."""

    def strings(value: object) -> list[str]:
        if isinstance(value, dict):
            return [each for key, item in value.items() for each in (key, *strings(item))]
        if isinstance(value, list):
            return [each for item in value for each in strings(item)]
        return [value] if isinstance(value, str) else []

    found = strings(figures_of(PARSED["hostile"]))
    assert found
    assert not [each for each in found if "<script" in each or "<img" in each or "</script" in each]


def test_a_page_that_would_be_too_large_leaves_out_plots_where_all_agree_and_says_so(monkeypatch: pytest.MonkeyPatch):
    from gradparity.report.page import render

    monkeypatch.setattr(render, "MOST_BYTES", 1000)
    page = render.render(SAMPLES["usual"])
    assert "more than one page can hold" in page
    assert len(page) < 0.8 * len(PAGES["usual"])
    assert "more than one page can hold" not in PAGES["usual"]


@pytest.mark.parametrize("name", SAMPLES)
def test_headings_are_in_order_and_every_table_has_heads_and_a_caption(name: str):
    levels = [int(tag[1]) for tag, _ in PARSED[name].tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    tables = re.findall(r"<table.*?</table>", PAGES[name], re.DOTALL)
    assert all("<caption>" in each and 'scope="col"' in each for each in tables)
    assert all("scope=row" in row for each in tables for row in re.findall(r"<tr>\s*<t[hd].*?</tr>", each)[1:])


def _luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2, of ``#rrggbb``."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground", "least"),
    [
        *((ink, "page", 4.5) for ink in ("ink", "muted", "good", "bad", "warn", "accent")),
        *((ink, "surface", 4.5) for ink in ("ink", "muted", "good", "bad", "warn", "accent")),
        ("bad", "bad-tint", 4.5), ("warn", "warn-tint", 4.5), ("ink", "heat-3", 4.5), ("ink", "floor", 4.5),
        *((ink, ground, 3.0) for ink in ("spot", "bad") for ground in ("page", "floor")),
    ],
)  # fmt: skip
def test_text_and_shapes_stand_out_from_their_ground(ink: str, ground: str, least: float, theme: int):
    """WCAG 2.2, 1.4.3 and 1.4.11: text by 4.5 to 1, shapes by 3 to 1."""
    style = re.search(r"<style>(.*?)</style>", PAGES["one"], re.DOTALL)[1]
    colours = [re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\)", style) for name in (ink, ground)]
    one, two = (_luminance(found[theme + 1]) for found in colours)
    assert (max(one, two) + 0.05) / (min(one, two) + 0.05) >= least
