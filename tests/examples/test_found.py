"""What was found in released frameworks: the files are true, and which findings hold for the versions installed."""

from __future__ import annotations

import ast
import math
from functools import cache
from importlib.metadata import version
from pathlib import Path
from runpy import run_path
from types import ModuleType
from typing import Any

import mpmath
import pytest

import gradparity
from tests.conftest import configured
from tests.examples.models import EXAMPLES, load_file

FOUND = sorted((EXAMPLES / "found").glob("*.py"))
PAGE = run_path(str(Path(__file__).parents[2] / "docs" / "found_page.py"))
#: What runs with every test run; the others differ in the function.
QUICK = ("jax_max_jit", "torch_solve_jvp")


@cache
def finding(path: Path) -> ModuleType:
    return load_file(path)


def lines(path: Path) -> tuple[ast.Module, ast.Expr]:
    """The lines of the docstring, and the last of them, which is what they come to."""
    *before, last = ast.parse(PAGE["parted"](finding(path).__doc__)[2]).body
    assert isinstance(last, ast.Expr)
    return ast.Module(before, []), last


def answer(path: Path) -> float | str:
    """What the lines of the docstring end in: a number, ``nan``, or the name of what they raise."""
    before, last = lines(path)
    names: dict[str, Any] = {}
    try:
        exec(compile(before, str(path), "exec"), names)  # noqa: S102
        value = eval(compile(ast.Expression(last.value), str(path), "eval"), names)  # noqa: S307
    except Exception as error:
        return type(error).__name__
    return "nan" if math.isnan(value) else float(value)


def installed(record: dict[str, Any]) -> str:
    """The version of the finding's framework, which the environment has set up; skips where it is missing."""
    configured(record["framework"])
    return version(record["framework"]).partition("+")[0]


def mended(path: Path, record: dict[str, Any], now: str, got: Any) -> str:
    held = f"{path.stem}: {record['what']}: recorded {record['answer']}, got {got}, true {record['true']}"
    return f"mended in {now}: {held}" if now != record["version"] else f"not as recorded for {now}: {held}"


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_the_recorded_truth_is_that_of_mpmath_at_fifty_digits(path: Path):
    with mpmath.workdps(50):
        assert float(finding(path).true(mpmath.mp)) == finding(path).FOUND["true"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning:autograd")
@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_the_few_lines_still_give_another_answer_than_the_true_one(path: Path):
    record = finding(path).FOUND
    now = installed(record)
    got, recorded, true = answer(path), record["answer"], record["true"]
    if isinstance(recorded, str) or isinstance(got, str):
        assert got == recorded, mended(path, record, now, got)
    else:  # rounded otherwise on another processor, but as far from the truth
        assert abs(got - true) > abs(recorded - true) / 4, mended(path, record, now, got)


@pytest.mark.parametrize("path", [p for p in FOUND if hasattr(finding(p), "CLAIMS")], ids=lambda path: path.stem)
def test_what_else_the_text_says_is_off_is_off_by_as_much(path: Path):
    now = installed(finding(path).FOUND)
    names: dict[str, Any] = {}
    exec(compile(lines(path)[0], str(path), "exec"), names)  # noqa: S102
    for asked, truth, claimed in finding(path).CLAIMS:
        with mpmath.workdps(50):
            true = eval(truth, vars(mpmath).copy())  # noqa: S307
            error = float(abs(mpmath.mpf(float(eval(asked, names))) / true - 1))  # noqa: S307
        # Of what cancels a digit more or less is left on another processor; of the others it is as it is said.
        assert claimed / 2 < error < 2 * claimed, f"{path.stem}, {asked}, with {now}: off by {error}, said {claimed}"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, id=p.stem, marks=[] if p.stem in QUICK else [pytest.mark.slow, pytest.mark.variation])
        for p in FOUND
    ],
)
def test_gradparity_says_of_it_what_is_recorded(path: Path):
    record = finding(path).FOUND
    name, now = record.get("backend", record["framework"]), installed(record)
    configured(name)
    (problem,) = gradparity.check(path, backends=[name], steps=3).problems
    said = {f.block: f.verdict for f in problem.findings if f.backend == name}
    got = {block: said.get(block, "not compared") for block in record["verdicts"]}
    assert got == record["verdicts"], mended(path, record, now, got)


def test_every_finding_says_what_it_is():
    assert len(FOUND) > 20
    for path in FOUND:
        record = finding(path).FOUND
        named = [key for key in record if key != "backend"]  # where it is not that of the framework's name
        assert named == ["framework", "version", "what", "kind", "true", "answer", "verdicts"], path
        assert record["kind"] in PAGE["KINDS"]
        assert record["verdicts"]
        assert path.stem.startswith(record["framework"] + "_")
        assert finding(path).__doc__.startswith(record["framework"] + ": ")
