"""What is said while a run is at work, and how long it may still take."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from gradparity import progress
from gradparity.report.terminal.progress import Remaining, Watch
from tests.conftest import Clock
from tests.report.samples import finding, problem, training


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


@pytest.fixture
def err() -> Console:
    return Console(file=io.StringIO(), width=200, markup=False, highlight=False)


def lines_of(err: Console) -> list[str]:
    return [line.partition("] ")[2] for line in err.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_plain_stream_hears_how_far_all_is_after_a_silence_and_not_before(clock: Clock, err: Console):
    watch = Watch(None, err, clock=clock)
    watch.begin("mlp", "truth", "")
    watch.begin("mlp", "first call", "jax")
    for _ in range(12):
        clock.now_s += 1
        watch.pulse()
    assert lines_of(err)[2:] == [f"mlp: truth ({s} s); mlp: first call jax ({s} s)" for s in (4, 8, 12)]


def test_what_is_left_follows_from_the_rate_so_far(clock: Clock, err: Console):
    watch = Watch(None, err, clock=clock)
    watch.begin("mlp", "truth", "")
    watch.begin("mlp", "training", "jax")
    watch.advance("model", "draws", 0, 32)  # the model's own process, which has the truth
    watch.advance("jax", "evaluations", 7, 0)  # nobody knows how many
    clock.now_s += 5
    watch.pulse()
    watch.advance("model", "draws", 8, 32)
    clock.now_s += 5
    watch.pulse()
    assert lines_of(err)[2:] == [
        "mlp: truth: 0 of 32 draws; mlp: training jax: 7 evaluations (5 s)",
        "mlp: truth: 8 of 32 draws, about 10 s left; mlp: training jax: 7 evaluations (10 s)",
    ]


def test_what_is_left_does_not_grow_while_a_count_stands_still_and_is_not_said_once_its_rate_is_over(
    clock: Clock, err: Console
):
    watch = Watch(None, err, clock=clock)
    watch.begin("mlp", "training", "jax")
    clock.now_s += 16
    watch.advance("jax", "steps", 8, 100)  # 2 s each
    for _ in range(3):
        clock.now_s += 5
        watch.advance("jax", "steps", 8, 100)  # told again, and none more
        watch.pulse()
    watch.advance("jax", "derivatives", 1, 0)
    clock.now_s += 5
    watch.pulse()
    assert lines_of(err)[1:] == [
        "mlp: training jax: 8 of 100 steps, about 179 s left",
        "mlp: training jax: 8 of 100 steps, none more for 10 s",
        "mlp: training jax: 8 of 100 steps, none more for 15 s",
        "mlp: training jax: 1 derivative (36 s)",
    ]


def test_what_a_stage_is_going_to_take_is_said_before_and_while_it_does(clock: Clock, err: Console):
    watch = Watch(None, err, clock=clock)
    watch.begin("mlp", "truth", "")
    with progress.heard_by(lambda *far: watch.advance("model", *far)):
        progress.expect("40 parameters", 0.3)  # over before it is read
        progress.expect("795,010 parameters", 39.7)
    for _ in range(2):
        clock.now_s += 25
        watch.pulse()
    assert lines_of(err)[1:] == [
        "mlp: truth, 795,010 parameters: about 40 s",
        "mlp: truth (25 of about 40 s)",
        "mlp: truth (50 s, about 40 s were expected)",
    ]


def test_what_is_over_is_not_said_any_more(clock: Clock, err: Console):
    watch = Watch(None, err, clock=clock)
    watch.begin("mlp", "truth", "")
    watch.begin("mlp", "training", "jax")
    watch.end("mlp", "")
    clock.now_s += 5
    watch.pulse()
    watch.finished(problem("mlp", ["jax"]))
    clock.now_s += 50
    watch.pulse()
    assert lines_of(err)[2:] == ["mlp: training jax (5 s)", "at work"]  # nothing that is over, and no silence either


def test_a_loop_tells_who_listens_how_far_it_is_and_nobody_else(monkeypatch: pytest.MonkeyPatch):
    heard: list[tuple[str, int, int]] = []
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    progress.advance("steps", 1, 9)
    with progress.heard_by(lambda *far: heard.append(far)):
        progress.advance("steps", 2, 9)
    progress.advance("steps", 3, 9)
    assert heard == [("steps", 2, 9)]


def test_no_more_is_heard_than_a_line_a_second():
    heard: list[tuple[str, int, int]] = []
    with progress.heard_by(lambda *far: heard.append(far)):
        for step in range(1000):
            progress.advance("steps", step, 1000)
    assert heard == []


@pytest.mark.parametrize(
    ("found", "trained", "said"),
    [
        ([finding("jax"), finding("jax", floors=1.5)], [], "jax agrees, 1.50 floors"),
        ([finding("jax", floors=None, verdict="kink")], [], "jax kink"),
        ([finding("jax")], [training("jax", bad=True)], "jax agrees, 0.625 floors; its training does not"),
        ([finding("jax", bad=True)], [], "jax does not agree in gradient W; the comparison says why"),
        (
            [finding("jax", bad=True), finding("jax", bad=True, parameter="w"), finding("jax", parameter="b")],
            [training("jax", bad=True)],
            "jax does not agree in gradient W and 1 more; the comparison says why, and in training",
        ),
        ([finding("jax", verdict="failed", floors=None)], [], "jax failed"),
    ],
)
def test_what_is_found_on_a_backend_is_said_at_once(err: Console, found: list[Any], trained: list[Any], said: str):
    watch = Watch(None, err)
    watch.planned(1)
    watch.judged("toy", found, trained)
    assert lines_of(err) == [f"toy: {said}"]


def test_on_a_terminal_a_table_fills_and_goes_with_its_problem():
    err = Console(file=io.StringIO(), width=100, force_terminal=True)
    watch = Watch(None, err)
    watch.planned(2)
    watch.judged("toy", [finding("numpy")], [])
    watch.judged("iris", [finding("jax", bad=True)], [])
    table = Console(width=100)
    with table.capture() as shown:
        table.print(watch._so_far.table())
    assert [line.split()[:2] for line in shown.get().splitlines()] == [
        ["so", "far"],
        ["numpy", "agrees,"],
        ["jax", "does"],
    ]
    watch.finished(problem("toy", ["numpy"]))
    watch.finished(problem("iris", ["jax"]))
    assert not watch._so_far.known


def test_of_a_suite_no_problem_is_followed(err: Console):
    watch = Watch(None, err)
    watch.planned(50)
    watch.judged("toy", [finding("numpy")], [])
    assert lines_of(err) == []
