"""Which backend to choose: correct ones only, least total time, ties as ties, break-even in steps worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from gradparity.benchmark.protocol import Block, WarmUp
from gradparity.benchmark.rounds import Round
from gradparity.benchmark.stats import Comparison, MedianInterval
from gradparity.judge.speed.choice import quickest, recommend, share_of
from gradparity.results import Finding, OneThread, ProblemResult, Recommendation, Span, Start, Timed, Timing, Training

Interval = tuple[float, float]


def timed(
    step_us: float, *, around: Interval | None = None, ratio: Interval | None = None, discarded: int = 0, **fields: Any
) -> Timed:
    """A call with its median step, the interval of the median and that of its ratio to the reference."""
    comparison = None
    if ratio is not None:
        low, high = ratio
        comparison = Comparison(
            ratio=(low * high) ** 0.5, low=low, high=high, half_width=0.1, pairs=1, rounds=8, discarded=discarded,
            within_process=True,
        )  # fmt: skip
    low_us, high_us = around or (step_us, step_us)
    usual: dict[str, Any] = {"warm_ups": [warm()], "speed": "undecided"} | fields
    return Timed(step_ns=MedianInterval(1e3 * step_us, 1e3 * low_us, 1e3 * high_us, 8, 0.95), ratio=comparison, **usual)


def warm(*, converged: bool = True, seconds: float = 0.2) -> WarmUp:
    return WarmUp(calls=3, seconds=seconds, converged=converged, call_s=1e-4)


def timing(backend: str, step: Timed | float, *, start_s: float = 0.0, **fields: Any) -> Timing:
    """A backend that starts in so many seconds, half of them import, and takes so many microseconds a step."""
    start = Start(
        pair=0, import_s=start_s / 2, build_s=start_s / 6, first_call_s=start_s / 3, compile_cache="", resident_bytes=0
    )
    return Timing(
        backend=backend, starts=[start], step=step if isinstance(step, Timed) else timed(step, ratio=(1, 1)), **fields
    )


def problem(*timings: Timing, findings: tuple[Finding, ...] = (), training: tuple[Training, ...] = ()) -> ProblemResult:
    fields: dict[str, Any] = {"name": "p", "source": "", "digest": "", "rows": 4, "spec": {}, "truth": ""}
    return ProblemResult(**fields, timings=list(timings), findings=list(findings), training=list(training))


def chosen(steps: int, *timings: Timing, **judged: Any) -> Recommendation:
    found = recommend(problem(*timings, **judged), steps)
    assert found is not None
    return found


def said(found: Recommendation, words: str) -> list[str]:
    return [reason for reason in found.reasons if words in reason]


def finding(backend: str, verdict: Any) -> Finding:
    return Finding(backend=backend, quantity="gradient", parameter="W", verdict=verdict, rule="")


# 1.15 s more to start; 300 us saved a step, 330 at one end of the intervals and 270 at the other.
AUTOGRAD = timing("autograd", timed(400, around=(380, 420), ratio=(0.9, 1.1)), start_s=0.1)
JAX = timing("jax", timed(100, around=(90, 110), ratio=(3.9, 4.1)), start_s=1.25)


def test_who_starts_fast_is_chosen_for_few_steps_and_who_steps_fast_for_many() -> None:
    # 0.1 + 999 * 0.4 ms = 0.50 s against 1.25 + 0.1 s; 0.1 + 9999 * 0.4 ms = 4.1 s against 1.25 + 1.0 s.
    assert chosen(1000, AUTOGRAD, JAX).choice == ["autograd"]
    many = chosen(10_000, AUTOGRAD, JAX)
    assert many.steps == 10_000
    assert many.choice == ["jax"]
    assert many.reasons[0] == (
        "10,000 steps take 2.25 s with jax: 625 ms of import, 625 ms of first call, 100 us a step"
    )


def test_the_spans_change_where_the_longer_start_is_repaid_with_the_range_that_the_intervals_leave() -> None:
    found = chosen(1000, AUTOGRAD, JAX)
    # 1.15 s / 300 us = 3833.3 steps beyond the first; 1.15 / 330 us = 3484.8 and 1.15 / 270 us = 4259.3.
    assert found.spans == [Span(first=1, backend="autograd"), Span(first=3835, backend="jax", low=3486, high=4261)]
    assert found.step_spans == found.spans  # no loop was timed
    (even,) = said(found, "called step by step from Python: ")
    assert even.endswith("autograd up to 3,834 steps [3,485, 4,260]; then jax: its start, 1.15 s longer, is repaid")


def test_a_change_that_one_end_of_the_intervals_never_makes_is_said_to_be_one() -> None:
    close = timing("jax", timed(395, around=(385, 405), ratio=(0.9, 1.1)), start_s=1.25)
    (_, later) = chosen(10_000, AUTOGRAD, close).step_spans
    # 1.15 s / 5 us; 1.15 s / (420 - 385) us = 32857.1; and 380 us a step are never overtaken by 405.
    assert (later.backend, later.low, later.high) == ("jax", 32859, None)
    assert later.first == pytest.approx(230_001, abs=1)
    assert said(chosen(10_000, AUTOGRAD, close), "steps [32,858, never]; then jax")


def test_loops_and_steps_from_python_have_spans_of_their_own() -> None:
    looped = structs.replace(JAX, loop=timed(50, ratio=(7, 9)))
    slower = structs.replace(AUTOGRAD, loop=timed(350, ratio=(0.9, 1.1)))
    found = chosen(1000, slower, looped)
    # 1.15 s / (350 - 50) us = 3833.3 in the loops too; from Python as above.
    assert [(span.first, span.backend) for span in found.spans] == [(1, "autograd"), (3835, "jax")]
    fast = structs.replace(AUTOGRAD, loop=timed(50, ratio=(7, 9)))
    found = chosen(1000, fast, looped)
    assert found.spans == [Span(first=1, backend="autograd")]
    assert [span.backend for span in found.step_spans] == ["autograd", "jax"]
    assert said(found, "in a loop of the backend's own: autograd, for up to 100,000 steps")


def test_the_choice_is_by_the_loop_where_there_is_one() -> None:
    looped = structs.replace(AUTOGRAD, loop=timed(40, ratio=(9, 11)))
    assert chosen(10_000, looped, JAX).choice == ["autograd"]  # 0.5 s, where its steps from Python take 4.1 s


def test_the_lead_is_that_of_the_intervals_against_the_reference() -> None:
    # sqrt(3.9 * 4.1) / sqrt(0.9 * 1.1), 3.9 / 1.1 and 4.1 / 0.9.
    found = chosen(10_000, AUTOGRAD, JAX)
    assert said(found, "a step from Python: jax is 4.02x [3.55, 4.56] as fast as the next, autograd")
    assert not said(found, "a step in a loop")


def test_a_wrong_backend_is_left_out_however_fast_and_said_to_be() -> None:
    found = chosen(
        100,
        timing("jax", 1),
        timing("torch", 100),
        findings=(finding("jax", "wrong"), finding("torch", "agrees"), finding("jax", "nonfinite")),
    )
    assert found.choice == ["torch"]
    assert [span.backend for span in found.spans] == ["torch"]
    assert said(found, "left out") == ["jax is left out: wrong in gradient W"]


def test_a_backend_that_trains_wrong_is_left_out_too() -> None:
    ran = Training(
        backend="jax", verdict="wrong", steps=5, checked_steps=5, initial_loss=1.0, final_loss=1.0, reference_loss=0.5,
        floors=1e9, first_divergence=1, loop_s=0.0, losses=[],
    )  # fmt: skip
    found = chosen(100, timing("jax", 1), timing("torch", 100), training=(ran,))
    assert found.choice == ["torch"]
    assert "jax is left out: wrong in training" in found.reasons


@pytest.mark.parametrize(
    ("jax", "choice"),
    [
        (timed(101, around=(99, 103), ratio=(0.95, 1.05)), ["torch", "jax"]),
        (timed(110, around=(108, 112), ratio=(0.85, 0.95)), ["torch"]),
    ],
)
def test_totals_whose_steps_overlap_are_a_tie_with_the_best_first(jax: Timed, choice: list[str]) -> None:
    found = chosen(1000, timing("jax", jax), timing("torch", timed(100, around=(98, 102), ratio=(0.96, 1.06))))
    assert found.choice == choice
    tied = [f"a tie: the totals of {', '.join(choice)} overlap, and no order is claimed"] if len(choice) > 1 else []
    assert said(found, "tie") == tied


@pytest.mark.parametrize(("other_s", "tie"), [(1.08, True), (1.12, False)])
def test_starts_a_twentieth_apart_either_way_are_a_tie(other_s: float, tie: bool) -> None:
    # One process of each: 1 s may have been 1.05, and 1.08 s 1.026; but 1.12 s not under 1.064.
    found = chosen(1, timing("jax", 100, start_s=1.0), timing("torch", 100, start_s=other_s))
    assert found.choice == (["jax", "torch"] if tie else ["jax"])


CALM = Block(wall_ns=100, cpu_ns=100, inner=1, minor_faults=0, context_switches=0, stolen_ns=None)
LOST = replace(CALM, cpu_ns=50)


def rounds_with(*, reference: int = 0, challenger: int = 0) -> list[Round]:
    """Eight rounds, the reference disturbed in so many of the first, the challenger in so many of the last."""
    return [
        Round(0, i, (LOST if i < reference else CALM, CALM), (CALM, LOST if i >= 8 - challenger else CALM))
        for i in range(8)
    ]


def unstable(step_us: float, discarded: int, *, by: str = "challenger") -> Timed:
    rounds = rounds_with(**{by: discarded})
    return timed(step_us, ratio=(3, 5), discarded=discarded, speed="unstable", rounds=rounds)


DISTURBED = "unstable, too many rounds were disturbed ({}): time again on a quieter machine"


@pytest.mark.parametrize(
    ("timings", "doubt"),
    [
        ([timing("jax", unstable(100, 3)), timing("torch", 900)], DISTURBED.format("jax's step 3 of 8")),
        ([timing("jax", 100, loop=unstable(50, 4))], DISTURBED.format("jax's loop 4 of 8")),
        (
            [timing("jax", unstable(100, 3)), timing("torch", unstable(200, 3))],
            DISTURBED.format("jax's step 3 of 8, torch's step 3 of 8"),
        ),
        (
            [timing("jax", timed(100, warm_ups=[warm(), warm(converged=False, seconds=2.5)])), timing("torch", 900)],
            "not settled when warming up ended (jax's step after 2.50 s): its first blocks may be slow ones",
        ),
    ],
)
def test_what_makes_a_timing_less_than_it_looks_is_said_once_with_its_figures(timings: Any, doubt: str) -> None:
    reasons = chosen(100, *timings).reasons
    assert [reason for reason in reasons if reason.startswith(("unstable", "not settled"))] == [doubt]


def test_no_choice_is_recommended_from_timings_that_are_unstable() -> None:
    # jax would be ten times as fast, if its median could be trusted.
    found = chosen(10_000, timing("jax", unstable(100, 3)), timing("torch", 900))
    assert found.choice == ["torch"]
    assert said(found, "jax is left out: its step is unstable")
    assert {span.backend for span in (*found.spans, *found.step_spans)} == {"torch"}
    assert chosen(100, timing("jax", 100, loop=unstable(50, 4)), timing("torch", 900)).choice == ["torch"]
    none = chosen(100, timing("jax", unstable(100, 3)))
    assert (none.choice, none.spans, none.step_spans) == ([], [], [])


def beside_a_reference(jax: Timed, *, jax_start_s: float = 1.0) -> Recommendation:
    run = problem(timing("autograd", timed(400, speed=None)), timing("jax", jax, start_s=jax_start_s))
    run.reference = "autograd"
    found = recommend(run, 100)
    assert found is not None
    return found


@pytest.mark.parametrize(("disturbed", "choice"), [(2, "autograd"), (3, "jax")])
def test_a_reference_that_was_disturbed_is_unstable_too(disturbed: int, choice: str) -> None:
    # In more than a quarter of the rounds that it took part in: it has no ratio of its own to be discarded.
    found = beside_a_reference(unstable(100, disturbed, by="reference"))
    assert found.choice == [choice]
    left_out = [reason for reason in found.reasons if "left out" in reason]
    expected = f"autograd is left out: its step is unstable, {disturbed} of 8 rounds were disturbed"
    assert left_out == ([expected] if choice == "jax" else [])


def test_rounds_in_which_one_was_disturbed_are_not_held_against_the_other() -> None:
    found = beside_a_reference(unstable(100, 8))
    assert found.choice == ["autograd"]
    assert said(found, "jax is left out: its step is unstable")
    assert not any("autograd is left out" in reason for reason in found.reasons)
    # The other way about jax has its own times, and no ratio to tell them by.
    found = beside_a_reference(unstable(100, 8, by="reference"))
    assert found.choice == ["jax"]
    assert said(
        found, "no ratio, it or the reference was disturbed in too many rounds (jax's step 8 of 8): its own times hold"
    )
    assert not any("quieter machine" in reason for reason in found.reasons)


def test_none_is_called_quickest_by_a_ratio_that_is_unstable() -> None:
    slower = timing("torch", timed(110, ratio=(1, 2)))
    for jax, tied in ((timed(100, ratio=(3, 5)), []), (unstable(100, 8, by="reference"), ["torch"])):
        run = problem(timing("autograd", timed(400, speed=None)), timing("jax", jax), slower)
        run.reference = "autograd"
        found = quickest(run, lambda each: each.step)
        assert found is not None
        assert found[0] == ["jax", *tied]


@pytest.mark.parametrize(
    ("step_us", "echo_us", "ratio", "words"),
    [
        (125, 105, 1.2, "its numbers go through a pipe, which takes 105 us of 125 us a step"),
        # By itself it took longer; the step of its turns did; and what was timed in turns says otherwise.
        (103, 196, 0.5, "a pipe, whose share of 103 us a step is not known: by itself it took no less, 196 us"),
        (125, 105, 0.9, "a pipe, whose share of 125 us a step is not known: by itself it took no less, 105 us"),
        (103, 103, 1.1, "a pipe, whose share of 103 us a step is not known: by itself it took no less, 103 us"),
        (125, 105, None, "whose share of 125 us a step is not known: every round that timed it beside the step was"),
    ],
)
def test_of_a_step_the_way_of_its_numbers_takes_no_more_than_the_step(
    step_us: float, echo_us: float, ratio: float | None, words: str
) -> None:
    echo = timed(echo_us, ratio=ratio and (ratio, ratio))
    found = chosen(100, timing("jax", 100), timing("able", step_us, piped=True, communication=echo))
    assert said(found, words)
    share = share_of(echo)
    assert share == (pytest.approx(1 / ratio) if ratio and ratio > 1 else None)


def test_nothing_is_said_of_many_more_steps_than_were_asked_for() -> None:
    # 1.15 s more to start and 1 us saved a step: repaid after 1,150,000 steps, of which a thousand were asked for.
    slow = timing("autograd", timed(101, around=(101, 101), ratio=(0.9, 1.1)), start_s=0.1)
    fast = timing("jax", timed(100, around=(100, 100), ratio=(0.9, 1.1)), start_s=1.25)
    assert chosen(1000, slow, fast).step_spans == [Span(first=1, backend="autograd")]
    assert [span.backend for span in chosen(100_000, slow, fast).step_spans] == ["autograd", "jax"]


@pytest.mark.parametrize(
    ("proof", "doubted"),
    [
        (OneThread(cpu_per_wall=1.9, pinned=True, holds=False), True),
        (OneThread(cpu_per_wall=1.0, pinned=True, holds=True), False),
        (None, False),
    ],
)
def test_more_than_one_thread_is_said_where_one_core_did_not_help(proof: OneThread | None, doubted: bool) -> None:
    found = chosen(100, timing("jax", 100, one_thread=proof))
    words = "more than one thread worked, even on one core (jax 1.90 s of CPU a second): "
    assert bool(said(found, words)) is doubted


def test_nothing_is_claimed_of_the_lead_without_both_intervals() -> None:
    alone = timing("jax", timed(100))
    assert not said(chosen(100, alone, timing("torch", 900)), "as fast as the next")
    assert not said(chosen(100, timing("torch", 900)), "as fast as the next")


def test_the_closed_form_is_the_yardstick_and_not_a_choice() -> None:
    found = chosen(100, timing("numpy", 1), timing("torch", 100))
    assert found.choice == ["torch"]
    assert said(found, "numpy is none to choose: its gradient is derived by hand (1.00 us a step)")


def test_a_backend_without_a_timed_step_cannot_be_chosen() -> None:
    untimed = structs.replace(timing("jax", 1), step=None)
    assert chosen(100, untimed, timing("torch", 100)).choice == ["torch"]
    assert recommend(problem(untimed), 100) is None


@pytest.mark.parametrize("verdict", ["wrong", "unstable", "nonfinite", "impure", "failed"])
def test_there_is_no_choice_where_nothing_is_correct(verdict: str) -> None:
    assert recommend(problem(timing("jax", 1), findings=(finding("jax", verdict),)), 100) is None
