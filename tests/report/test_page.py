"""The page as text: well-formed, complete without scripts, from nowhere but itself, and nobody's names are markup."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs

from gradparity.report.overview import overview
from gradparity.report.page import document
from gradparity.report.page.assembly import MOST_FINDINGS
from gradparity.results import Finding, RunResult
from tests.report import reading
from tests.report.reading import Element, caption, cells, figures, heads, page, source
from tests.report.samples import HOSTILE, NAMES, finding, off, problem, results, run

MOST_BYTES = 6_000_000
#: Attributes by which an element loads or leads somewhere.
ADDRESSES = ("src", "href", "srcset", "data", "action", "formaction", "poster", "background", "cite", "ping")
#: What our plots write in Plotly's little HTML themselves.
PLOT_MARKUP = re.compile(r"</?b>|<br>|<extra></extra>")


def close(number: float) -> str:
    """A number as a cell has it to sort by."""
    return f"{number:.9g}"


@pytest.mark.parametrize("name", NAMES)
def test_elements_are_nested_as_they_should_be_and_no_id_is_there_twice(name: str):
    root = page(name)  # fails where an end tag does not fit
    ids = [each.get("id") for each in root if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    assert "" not in ids
    assert [each.tag for each in root.children if isinstance(each, Element)] == ["html"]


@pytest.mark.parametrize("name", NAMES)
def test_what_refers_to_a_place_on_the_page_finds_it(name: str):
    root = page(name)
    ids = {each.get("id") for each in root}
    links = [each.get("href") for each in root.all("a")]
    assert links
    assert [link for link in links if not (link.startswith("#") and link[1:] in ids)] == []
    named = [word for each in root for word in each.get("aria-labelledby").split()]
    assert [word for word in named if word not in ids] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_title_and_the_first_heading_are_the_verdict(name: str):
    root = page(name)
    (heading,) = root.all("h1")
    (title,) = root.all("title")
    verdict = heading.text.partition(" ")[2]  # after the sign
    assert title.text == f"{verdict} - gradparity"
    if name != "hostile":
        assert verdict == overview(results()[name]).headline
    (html,) = root.all("html")
    assert html.get("lang") == "en"


def test_the_verdict_is_said_in_words():
    assert page("run").all("title")[0].text == "All 2 backends agree on toy. - gradparity"
    assert page("failures").all("h1")[0].text.startswith("! Nothing could be checked on toy: ")
    assert "does not agree on my_model: torch (wrong)" in page("own-model").all("h1")[0].text


@pytest.mark.parametrize("name", NAMES)
def test_it_is_of_a_size_that_can_be_sent(name: str):
    assert len(source(name).encode()) < MOST_BYTES


# Nothing from elsewhere.


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_loaded_from_anywhere(name: str):
    root = page(name)
    addresses = [
        (each.tag, value)
        for each in root
        for key, value in each.attributes.items()
        if key.rpartition(":")[2] in ADDRESSES
    ]
    assert [pair for pair in addresses if not (pair[1].startswith("#") or pair[1].startswith("data:"))] == []
    assert [pair for pair in addresses if pair[1].startswith("data:") and pair[0] != "link"] == []
    assert {each.tag for each in root} & {"img", "iframe", "object", "embed", "base", "form", "svg", "video"} == set()
    for style in [*root.all("style"), *(each for each in root if "style" in each.attributes)]:
        text = style.text + style.get("style")
        assert not re.search(r"url\(|@import|//|image-set|src\s*:", text), text


@pytest.mark.parametrize("name", NAMES)
def test_only_the_scripts_of_the_page_may_run(name: str):
    root = page(name)
    (policy,) = [
        each.get("content") for each in root.all("meta") if each.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["connect-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    runs = [each for each in root.all("script") if not each.get("type")]
    (script,) = ["".join(map(str, each.children)) for each in runs]
    library = reading.unpacked(source(name), "plotly")
    allowed = [script.encode(), *([library] if library else [])]
    digests = [f"'sha256-{base64.b64encode(hashlib.sha256(each).digest()).decode()}'" for each in allowed]
    assert rules["script-src"].split() == digests
    assert [each.attributes for each in root if any(key.startswith("on") for key in each.attributes)] == []


def test_a_page_without_plots_has_no_library():
    for name in ("empty", "failures"):
        assert figures(name) == {}
        assert [each for each in page(name).all("script") if each.get("type")] == []
        assert len(source(name)) < 50_000


# Everything is there without scripts.


def every_finding(root: Element) -> list[dict[str, Element]]:
    """All rows of the tables of every finding, cells by column."""
    tables = [table for table in root.all("table") if caption(table).startswith("Every finding")]
    return [dict(zip(heads(table), row, strict=True)) for table in tables for row in cells(table)]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("hostile", "crowded")])
def test_every_finding_with_its_figures_is_in_a_table(name: str):
    findings = [found for each in results()[name].problems for found in each.findings]
    rows = every_finding(page(name))
    for found, row in zip(findings, rows, strict=True):
        assert row["backend"].text == found.backend
        assert row["block"].text.startswith(f"{found.quantity} {found.parameter}".strip())
        assert row["verdict"].text.endswith(found.verdict)
        figured = {"error, ulp": found.error_ulps, "floor, ulp": found.floor_ulps, "floors": found.floors}
        figured |= {"relative error": found.relative_error, "absolute error": found.absolute_error}
        figured |= {"got": found.got, "truth": found.truth}
        for column, value in figured.items():
            assert row[column].get("data-value") == ("" if value is None else close(value))
            assert (row[column].text == "-") == (value is None)
        assert row["rule"].text == f"{found.rule} {found.cause}".strip()


@pytest.mark.parametrize("name", ["broken", "own-model", "incomplete"])
def test_what_does_not_agree_is_in_a_table_with_its_cause(name: str):
    bad = [f for each in results()[name].problems for f in each.findings if f.verdict not in ("agrees", "kink")]
    tables = [table for table in page(name).all("table") if caption(table) == "Blocks that do not agree"]
    rows = [row for table in tables for row in cells(table)]
    assert bad
    for found, row in zip(bad, rows, strict=True):
        assert [row[0].text, row[3].text] == [found.backend, found.cause or found.rule]


def test_every_time_is_in_a_table():
    (toy,) = results()["run"].problems
    for quantity, first in (
        ("step", "One value-and-gradient call from Python"),
        ("loop", "A step of gradient descent"),
    ):
        (table,) = [
            each for each in page("run").all("table") if caption(each).startswith(first)
        ][:1]  # fmt: skip
        rows = {row[0].text: row for row in cells(table)}
        assert heads(table)[:4] == ["backend", "a step", "speed, numpy = 1", "verdict"]
        for timing in toy.timings:
            timed = getattr(timing, quantity)
            assert rows[timing.backend][1].get("data-value") == close(timed.step_ns.median)
            if timed.ratio is not None:
                assert rows[timing.backend][2].get("data-value") == close(timed.ratio.ratio)


@pytest.mark.parametrize("name", NAMES)
def test_every_plot_has_a_place_a_name_and_a_table_in_its_figure(name: str):
    root, drawn = page(name), figures(name)
    places = []
    for figure in root.all("figure"):
        (place,) = [each for each in figure.all("div") if each.get("class") == "plot"]
        assert place.get("role") == "img"
        assert len(place.get("aria-label")) > 20
        assert figure.all("figcaption")[0].text
        (table,) = figure.all("table")
        assert cells(table)
        places.append(place.get("id"))
    assert places == list(drawn)
    for drawing in drawn.values():
        assert drawing["data"]
        assert {trace["type"] for trace in drawing["data"]} <= {"scatter", "bar"}


@pytest.mark.parametrize("name", NAMES)
def test_a_row_has_as_many_cells_as_there_are_heads_and_its_first_names_it(name: str):
    for table in page(name).all("table"):
        assert caption(table)
        for row in cells(table):
            assert len(row) == len(heads(table)), caption(table)
            assert (row[0].tag, row[0].get("scope")) == ("th", "row")


@pytest.mark.parametrize("name", NAMES)
def test_tables_stand_open_for_who_has_no_scripts(name: str):
    folds = [each for each in page(name).all("details") if "data-fold" in each.attributes]
    assert [fold for fold in folds if "open" not in fold.attributes] == []


def test_problems_with_something_to_see_are_open_and_of_many_the_others_are_not():
    fine = [problem(f"p{index}", findings=[finding("jax")]) for index in range(4)]
    wrong = structs.replace(fine[2], findings=[off("jax", "float32 cast")])
    for problems, opened in ((fine[:3], [True] * 3), ([*fine[:2], wrong, fine[3]], [False, False, True, False])):
        root = reading.parsed(document(run(*problems)))
        wholes = [each for each in root.all("details") if each.get("class") == "whole"]
        assert ["open" in each.attributes for each in wholes] == opened


def test_of_very_many_findings_the_page_keeps_those_that_do_not_agree():
    usual: list[Finding] = [finding("jax", "gradient", f"block {index}") for index in range(MOST_FINDINGS // 10 + 1)]
    found = run(*(problem(f"p{index}", findings=[*usual, off("torch", f"cause {index}")]) for index in range(10)))
    text = document(found)
    assert len(text.encode()) < MOST_BYTES
    root = reading.parsed(text)
    assert every_finding(root) == []
    tables = [table for table in root.all("table") if caption(table) == "Blocks that do not agree"]
    assert [cells(table)[0][3].text for table in tables] == [f"cause {index}" for index in range(10)]


def test_a_result_of_the_first_schema_has_its_page():
    root, result = page("schema-1"), results()["schema-1"]
    assert overview(result).headline in root.all("h1")[0].text
    assert "of a file of schema 1" in root.text
    assert len(every_finding(root)) == len(result.problems[0].findings)


def test_what_was_left_out_and_that_it_is_not_complete_is_said():
    assert "breast_cancer" in page("incomplete").text
    assert "Not complete" in page("incomplete").text
    assert "Not complete" not in page("run").text


# Somebody else's words.


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value


def test_names_are_text_on_the_page_and_never_an_element():
    root = page("hostile")
    usual = {each.tag for name in ("run", "bench", "own-model", "grid", "stress") for each in page(name)}
    assert {each.tag for each in root} <= usual
    allowed = {
        key for name in ("run", "bench", "own-model", "grid", "stress") for e in page(name) for key in e.attributes
    }
    assert {key for each in root for key in each.attributes} <= allowed | {"title"}
    assert "{{ 7 * 7 }}" in root.text
    for name in ("script", "image", "pwned", "template"):
        assert HOSTILE[name] in root.text
    named = [table for table in root.all("table") if heads(table)[:1] == ["backend"]]
    assert HOSTILE["script"] in {row[0].text for table in named for row in cells(table)}


def test_nothing_in_the_data_of_the_plots_can_end_their_element():
    packed = [each for each in page("hostile").all("script") if each.get("type") == "text/plain"]
    # The tree has been made without what is base64: had they anything else in them, it would be here.
    assert [(each.get("id"), each.text) for each in packed] == [("figures", ""), ("plotly", "")]
    assert any("alert(1)" in text for text in strings(figures("hostile")))


def test_names_in_a_plot_are_no_markup_and_no_template_of_it():
    for text in strings(figures("hostile")):
        own = PLOT_MARKUP.sub("", text)
        assert "<" not in own, text
        assert "%{" not in re.sub(r"%\{(?:[xy]:[^{}]*|customdata)\}", "", own), text


@pytest.mark.parametrize("name", ["hostile", "crowded"])
def test_no_control_character_and_no_change_of_direction_is_on_the_page(name: str):
    written = {c for c in source(name) if not c.isprintable() and c != "\n"}
    drawn = {c for text in strings(figures(name)) for c in text if not c.isprintable() and c != "\u200b"}
    assert written == drawn == set()


def test_the_same_result_gives_the_same_page():
    result: RunResult = results()["own-model"]
    assert document(result) == document(result) == source("own-model")
