"""What is said while a run is at work, and how long it may still take."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gradparity.report.terminal.progress import Remaining, Watch
from tests.conftest import Clock
from tests.report.samples import problem


@pytest.fixture
def remaining(clock: Clock) -> Remaining:
    made = Remaining(clock)
    assert made.left_s() is None
    made.planned(3)
    assert made.left_s() is None  # there is nothing to go by
    return made


def test_the_problem_under_way_has_what_is_expected_of_it_and_the_others_as_much(clock: Clock, remaining: Remaining):
    clock.now_s += 2
    remaining.expect(8)  # ten seconds in all
    assert remaining.left_s() == 8 + 2 * 10
    clock.now_s += 3
    assert remaining.left_s() == 5 + 2 * 10
    clock.now_s += 60
    assert remaining.left_s() == 2 * 10  # never negative


def test_problems_to_come_take_as_long_as_those_that_are_done(clock: Clock, remaining: Remaining):
    for seconds, left in ((4, 2 * 4), (6, 5), (5, None)):
        clock.now_s += seconds
        remaining.finished()
        assert remaining.left_s() == left


def test_a_plain_stream_gets_each_stage_once_and_timing_as_one():
    err = Console(file=io.StringIO(), width=120, markup=False, highlight=False)
    with Watch(None, err) as watch:
        watch.planned(1)
        for stage, backend in (("truth", ""), ("import", "jax"), ("import", "jax"), ("timing", "jax"), ("timing", "x")):
            watch.begin("toy", stage, backend)
        watch.finished(problem("toy", ["numpy"]))
    lines = [line.partition("] ")[2] for line in err.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines == ["toy: truth", "toy: import jax", "toy: timing in turns"]


def test_nothing_at_all_is_said_to_who_wants_silence():
    with Watch(None, None) as watch:
        watch.begin("toy", "truth", "")
        watch.finished(problem("toy", ["numpy"]))
