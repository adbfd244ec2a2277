"""The first screen in a terminal: forty lines at most, whatever the run, and the answers in it."""

from __future__ import annotations

import io
import re
from html import unescape

import pytest
from rich.console import Console

from gradparity.report.facts.overview import overview
from gradparity.report.markdown import markdown
from gradparity.report.notebook import html
from gradparity.report.page import document
from gradparity.report.terminal.first_screen import MOST_LINES, print_first_screen, print_one_line
from gradparity.report.terminal.tables import text
from gradparity.results import RunResult
from tests.report.samples import SCRIPT, problem, run, samples

SAMPLES = samples()
FILES = "gradparity-report/: results.json, report.html, report.md"


def screen(result: RunResult, width: int = 80, **options: int | None) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, emoji=False, highlight=False)
    print_first_screen(console, overview(result), [FILES], **options)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_never_longer_than_forty_lines_and_says_where_the_files_are(name: str, width: int):
    printed = screen(SAMPLES[name], width)
    lines = printed.splitlines()
    assert len(lines) <= MOST_LINES == 40
    assert FILES in " ".join(printed.split())
    assert all(len(line) <= width for line in lines if "and " not in line[:8])
    assert not set(printed) & {"\x1b", "\x07"}


def test_what_does_not_fit_is_counted_and_all_of_it_is_there_without_a_limit():
    short, whole = screen(SAMPLES["many"]), screen(SAMPLES["many"], most=None)
    assert "more lines of" in short
    assert "--verbose, or report.html" in short
    assert "more lines of" not in whole
    assert len(whole.splitlines()) > MOST_LINES


FORMS = {
    "terminal": lambda result: screen(result, 120, most=None),
    "comment": lambda result: re.sub(r"\\(.)", r"\1", markdown(result).replace("*", "").replace("\n  - ", " ")),
    "page": lambda result: _text(document(result)),
    "notebook": lambda result: _text(html(result).replace("<br>", " ")),
}


def _text(page: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", page))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("off", "1 of 3 backends does not agree on toy: torch (wrong)."),
        ("off", "torch disagrees on toy: wrong in gradient w[1, 2] (relative error 1, 2.2e+15 floors, 4.5e+15 ulp, 2 "
         "where 1 is true), and 1 more block factor 2 training diverges at step 3 in loss (gd, own loop)"),
        ("one", "All 2 backends agree on toy."),
        ("one", "floors: error over how far rounding alone moves the true value"),
        ("one", "for 100 steps in all"),
        ("incomplete", "Not finished. So far: numpy agrees with the truth on toy."),
        ("failures", "backend-0 failed in import on toy: ImportError: no module 0"),
        ("usual", "toy, in a loop of its own: jax for any number of steps"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_who_disagrees_where_by_how_much_and_why_and_which_to_choose(form: str, name: str, said: str):
    assert said in " ".join(FORMS[form](SAMPLES[name]).split())


def test_the_verdict_comes_first_and_the_closed_form_is_not_chosen():
    lines = screen(SAMPLES["one"], 120).splitlines()
    assert lines[1] == "✓ All 2 backends agree on toy."
    (row,) = [line.split("  ") for line in lines if line.startswith("toy ")]
    assert [cell.strip() for cell in row if cell.strip()] == ["toy", "jax", "jax, 2.00 us", "jax, 1.00 us"]


def test_one_line_is_one_line():
    for result in SAMPLES.values():
        out = io.StringIO()
        print_one_line(Console(file=out, width=80, markup=False), overview(result), "gradparity-report/results.json")
        assert len(out.getvalue().splitlines()) == 1


def test_nothing_that_a_terminal_obeys_gets_through_in_the_long_form_either():
    assert not set(text(SAMPLES["hostile"])) & {"\x1b", "\x07"}
    assert SCRIPT in text(SAMPLES["hostile"])  # in a terminal it is only a name


def test_a_problem_that_is_there_to_fail_does_not_make_a_backend_wrong():
    shown = problem("naive, logits +800", ["numpy"], bad="numpy", clock=False, expected="naive fails here", training=[])
    assert screen(run(shown)).splitlines()[1].startswith("✓")
