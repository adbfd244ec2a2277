"""The first screen in a terminal: never more than 40 lines, always with the files, never a sequence from elsewhere."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from msgspec import structs
from rich.console import Console

from gradparity.report.first_screen import MOST_LINES, print_first_screen, print_one_line
from gradparity.report.overview import overview
from gradparity.results import RunResult
from tests.report.samples import BACKENDS, NAMES, finding, off, problem, results, run

FILES = "gradparity-report/: results.json, report.html, report.md; every table: --verbose"


def printed(
    result: RunResult, width: int = 80, *, saved: Sequence[str] = (FILES,), most: int | None = MOST_LINES
) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, emoji=False, highlight=False)
    print_first_screen(console, overview(result), saved, most=most)
    return out.getvalue().split("\n")[:-1]


def text(result: RunResult) -> str:
    """All of it, with the line breaks of a terminal taken out again."""
    return " ".join(" ".join(printed(result, 400, most=None)).split())


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", NAMES)
def test_it_has_at_most_forty_lines_and_ends_in_all_of_the_files(name: str, width: int):
    assert MOST_LINES == 40
    lines = printed(results()[name], width)
    assert 1 < len(lines) <= 40
    assert " ".join(lines[-2:]).endswith(FILES)


@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_wider_than_the_terminal_so_that_none_becomes_two(name: str):
    too_wide = [line for line in printed(results()[name]) if len(line) > 80]
    assert too_wide == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_it_is_obeyed_by_a_terminal(name: str):
    assert [line for line in printed(results()[name]) if not line.isprintable()] == []
    assert [line for line in printed(results()[name], most=None) if not line.isprintable()] == []


@pytest.mark.parametrize("name", ["grid", "faults", "stress"])
def test_what_is_cut_is_counted_and_all_of_it_is_there_for_who_asks(name: str):
    cut, whole = printed(results()[name]), printed(results()[name], most=None)
    said = [int(line.split("... and ")[1].split()[0]) for line in cut if "... and " in line and "more line" in line]
    assert len(whole) == len(cut) - len(said) + sum(said)
    if name == "faults":
        assert len(whole) > 40
        assert said


def test_who_agrees_is_said_first():
    first = printed(run(problem("toy", findings=[finding(name) for name in BACKENDS])))[1]
    assert first == "✓ All 6 backends agree on toy."


def test_who_is_off_is_said_with_block_entry_size_and_cause():
    found = run(problem("toy", findings=[finding("jax"), off("torch", "float32 cast of an input")]), command="check")
    assert printed(found)[1] == "✗ 1 of 2 backends does not agree on toy: torch (wrong)."
    said = text(found)
    assert "torch on toy: wrong in gradient W[3] (2.7e+07 floors, 5.5e+07 ulp, 0.375 where 0.125 is true)" in said
    assert "float32 cast of an input" in said


def test_the_same_fault_on_many_problems_is_told_once_with_the_number_of_problems():
    found = run(*(problem(f"p{index}", findings=[off("torch", "float32 cast")]) for index in range(7)))
    assert text(found).count("float32 cast") == 1
    assert "torch on p0, p1, p2 and 4 more: wrong" in text(found)


def test_who_failed_is_said_with_stage_and_reason_and_nothing_counts_as_agreeing():
    said = text(results()["failures"])
    assert said.startswith("! ")
    for name in BACKENDS:
        assert f"{name} failed in import on toy: no module of {name}" in said
    assert " agree" not in said


def test_what_to_choose_is_said_with_the_quickest_of_either_kind_and_where_another_is_better():
    # jax takes 31 us and autograd 240; numpy, the closed form, is not in the race. A loop's step is half as long.
    cell = structs.replace(results()["grid"].problems[0], name="toy")
    said = text(run(cell))
    assert "for 1,000 steps in all" in said
    assert "toy jax jax, 31.0 us jax, 15.5 us" in said
    assert "autograd up to 3,834 steps" in said
    assert "Times hold for this machine and these versions only." in said


def test_long_names_leave_room_for_verdicts_and_choices():
    path = "/data/of/somebody/in/a/folder/deep/down/whose/name/never/ends/train.csv"
    shown = "\n".join(printed(run(structs.replace(results()["grid"].problems[0], name=path), command="run")))
    assert "train.csv" in shown.splitlines()[1] + shown.splitlines()[2]
    (row,) = [line for line in shown.splitlines() if "train.csv " in line and "us" in line]
    assert row.split()[1:] == ["jax", "jax,", "31.0", "us", "jax,", "15.5", "us"]


def test_nothing_is_chosen_and_nothing_is_said_about_times_where_nothing_was_timed():
    said = text(results()["incomplete"])
    assert "choose" not in said
    assert "Times hold" not in said


@pytest.mark.parametrize(("name", "begins"), [("incomplete", "· Not finished. So far: "), ("empty", "· Not finished.")])
def test_a_run_that_did_not_finish_says_so_before_anything_else(name: str, begins: str):
    assert text(results()[name]).startswith(begins)


@pytest.mark.parametrize("name", NAMES)
def test_quietly_it_is_one_line_that_starts_as_the_screen_does_and_ends_in_the_file(name: str):
    out = io.StringIO()
    console = Console(file=out, width=80, markup=False, emoji=False, highlight=False)
    print_one_line(console, overview(results()[name]), "out/results.json")
    (line, rest) = out.getvalue().split("\n")
    assert rest == ""
    assert line.isprintable()
    assert line.endswith(" out/results.json")
    assert line.startswith(printed(results()[name], 4000)[1])


def test_colours_and_signs_say_the_same(capsys: pytest.CaptureFixture[str]):
    out = io.StringIO()
    coloured = Console(file=out, width=80, force_terminal=True, color_system="standard", markup=False, emoji=False)
    print_first_screen(coloured, overview(results()["hostile"]), [FILES])
    shown = out.getvalue()
    assert "\x1b[1;31m✗" in shown
    # The only sequences are Rich's own colours: none is an operating-system command, none moves the cursor.
    rest = [part for part in shown.split("\x1b") if part][1:]
    assert all(part.startswith("[") and part[1:].partition("m")[0].replace(";", "").isdigit() for part in rest)
