"""The first screen in a terminal: forty lines at most, whatever the run, and the answers in it."""

from __future__ import annotations

import io
import re
from html import unescape
from typing import Any

import pytest
from rich.console import Console

from gradparity.cli.app import ExitCode, exit_code
from gradparity.report.facts.clock import STEP, steps
from gradparity.report.facts.overview import overview
from gradparity.report.facts.standings import problem_times
from gradparity.report.facts.verdicts import status
from gradparity.report.markdown import markdown
from gradparity.report.notebook import html
from gradparity.report.page import document
from gradparity.report.terminal.first_screen import MOST_LINES, print_first_screen, print_one_line
from gradparity.report.terminal.tables import text
from gradparity.results import RunResult
from gradparity.results.own_training import OwnRun, OwnTraining
from tests.report.looks import pages
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
        ("one", "Both backends agree on toy."),
        ("one", "floors: error over how far rounding alone moves the true value"),
        ("one", "for 100 steps in all"),
        ("incomplete", "Not finished. So far: numpy agrees with the truth on toy."),
        ("failures", "backend-0 failed in import on toy: ImportError: no module 0"),
        ("usual", "toy, in a loop of its own: jax for up to 10,000 steps"),
        ("usual", "numpy is none to choose: its gradient is derived by hand"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_who_disagrees_where_by_how_much_and_why_and_which_to_choose(form: str, name: str, said: str):
    assert said in " ".join(FORMS[form](SAMPLES[name]).split())


def trained(*names: str, **fields: Any) -> RunResult:
    """Three backends that agree, of which some gave a run of own steps."""
    found = problem("toy", ["autograd", "jax", "torch"], clock=False, training=[])
    runs = [OwnRun(backend=name, steps=5, losses=[1.0] * 5, seconds=0.1) for name in names]
    found.own_training = OwnTraining(steps=5, compared=5 * (len(names) > 1), batches=0, runs=runs, **fields)
    return run(found, command="check", settings={"steps": 5})


@pytest.mark.parametrize(
    ("names", "missing", "said", "code"),
    [
        (["jax", "torch"], [], "trained by their own steps, they agree over 5 steps.", ExitCode.AGREES),
        (
            ["jax"],
            ["torch"],
            "All 3 backends agree on toy; not compared: own steps of jax and torch.",
            ExitCode.BACKEND,
        ),
        ([], ["jax", "torch"], "agree on toy; not compared: own steps of jax and torch.", ExitCode.BACKEND),
        (
            ["autograd", "jax"],
            ["torch"],
            "trained by their own steps, autograd and jax agree over 5 steps; not compared: own steps of torch.",
            ExitCode.BACKEND,
        ),
        (["jax"], [], "All 3 backends agree on toy; not compared: own steps of jax.", ExitCode.AGREES),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_steps_that_were_not_compared_are_in_the_headline_of_every_form(
    form: str, names: list[str], missing: list[str], said: str, code: ExitCode
):
    result = trained(*names, missing=dict.fromkeys(missing, "no answer in its share of the budget, 5 s"))
    assert said in " ".join(FORMS[form](result).split())
    assert exit_code(result) == code
    assert result.ok == (code == ExitCode.AGREES)
    assert overview(result).state == ("agrees" if result.ok else "failed")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"q0": "jax"}, "1 of 2 backends does not agree: jax (wrong) on 1 of 5 problems (q0)."),
        ({"q0": "jax", "q3": "jax"}, "1 of 2 backends does not agree: jax (wrong) on 2 of 5 problems (q0 and q3)."),
        ({f"q{k}": "jax" for k in range(5)}, "1 of 2 backends does not agree: jax (wrong) on 5 of 5 problems."),
        (
            {"q0": "jax", "q3": "torch"},
            "2 of 2 backends do not agree: jax (wrong) on 1 of 5 problems (q0), torch (wrong) on 1 of 5 problems (q3).",
        ),
    ],
)
def test_of_several_problems_each_backend_is_said_to_disagree_on_so_many(bad: dict[str, str], said: str):
    names = ["jax", "torch"]
    assert overview(run(*(problem(f"q{k}", names, bad=bad.get(f"q{k}", "")) for k in range(5)))).headline == said


def test_backends_that_disagree_on_the_same_problems_are_listed_once():
    assert overview(pages()["two_all_wrong"]).headline == (
        "4 of 4 backends do not agree, each on 2 of 2 problems (toy and iris): "
        "numpy (wrong), autograd (wrong), jax (wrong) and 1 more."
    )


def test_what_references_have_not_is_said_by_quantity_and_own_steps_that_are_missing_once():
    shown = pages()
    assert overview(shown["elsewhere"]).headline == (
        "1 of 4 backends does not agree on model.py: flax@tpu-float32 (wrong); "
        "not compared: jvp and hvp of torch@gpu-bfloat16 and flax@tpu-float32."
    )
    assert overview(shown["steps"]).headline.endswith(
        "diverge at step 1 on diverging; not compared: own steps of autograd."
    )
    assert status(shown["steps"].problems[0])[0] == "autograd: own steps not compared"


def test_the_verdict_comes_first_and_the_closed_form_is_not_chosen():
    lines = screen(SAMPLES["one"], 120).splitlines()
    assert lines[1] == "✓ Both backends agree on toy."
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


def test_a_backend_that_was_not_timed_is_no_reference_and_nobody_else_is_called_one():
    found = run(problem("p", ["jax", "torch"]))
    assert "speed, jax = 1" in screen(found)
    assert screen(found).count("reference") == 1
    # The reference failed when it was warmed up: the others were timed by themselves.
    (lost,) = run(problem("p", ["jax", "torch"])).problems
    lost.reference, lost.control = "failed", None
    for each in lost.timings:
        for timed in (each.step, each.loop):
            assert timed is not None
            timed.ratio, timed.speed, timed.rounds = None, None, []
    for form, made in FORMS.items():
        assert "failed = 1" not in made(run(lost)), form
    assert "reference" not in screen(run(lost))
    rows = problem_times(lost).rows
    assert [(row[0].text, row[3].text, row[4].text) for row in rows] == [("jax", "-", "-"), ("torch", "-", "-")]
    table = steps(lost, STEP)
    assert table is not None
    assert "reference" not in {cell.text for row in table.rows for cell in row}
