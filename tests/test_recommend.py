"""Which backend to choose: correct ones only, ties as ties, break-even in steps worked by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bench.protocol import WarmUp
from bench.stats import Comparison, MedianInterval
from gradparity.recommend import recommend
from gradparity.results import Finding, ProblemResult, Timing


def timing(backend: str, step_us: float, *, ratio: tuple[float, float] | None = None, start_s: float = 0.0) -> Timing:
    comparison = None
    if ratio is not None:
        low, high = ratio
        comparison = Comparison(
            ratio=(low * high) ** 0.5, low=low, high=high, half_width=0.1, pairs=1, rounds=8, discarded=0,
            within_process=True,
        )  # fmt: skip
    return Timing(
        backend=backend,
        import_s=start_s,
        first_call_s=0.0,
        compile_cache="",
        warm_up=WarmUp(calls=3, seconds=0.2, converged=True, call_s=step_us / 1e6),
        inner=1,
        blocks=[],
        step_ns=MedianInterval(1e3 * step_us, 1e3 * step_us, 1e3 * step_us, 8, 0.95),
        ratio=comparison,
        speed="undecided",
    )


def problem(*timings: Timing, findings: tuple[Finding, ...] = ()) -> ProblemResult:
    fields: dict[str, Any] = {"name": "p", "source": "", "digest": "", "rows": 4, "spec": {}, "truth": ""}
    return ProblemResult(**fields, timings=list(timings), findings=list(findings))


def finding(backend: str, verdict: Any) -> Finding:
    return Finding(backend=backend, quantity="gradient", parameter="W", verdict=verdict, rule="")


def test_the_fastest_backend_is_chosen_with_its_lead_and_its_break_even() -> None:
    found = recommend(
        problem(
            timing("autograd", 400, ratio=(0.9, 1.1), start_s=0.1),
            timing("jax", 100, ratio=(3.9, 4.1), start_s=1.3),
        )
    )
    assert found is not None
    assert found.choice == ["jax"]
    assert any("4.02x [3.55, 4.56] as fast as the next, autograd" in reason for reason in found.reasons)
    # 1.2 s more at the start, 300 us saved a step: repaid after 4000 steps beyond the first.
    (even,) = [reason for reason in found.reasons if "cheaper in all" in reason]
    assert "fewer than 4,00" in even
    assert "1.20 s" in even


def test_a_wrong_backend_is_left_out_however_fast_and_said_to_be() -> None:
    found = recommend(
        problem(
            timing("jax", 1, ratio=(9, 11)),
            timing("torch", 100, ratio=(0.9, 1.1)),
            findings=(finding("jax", "wrong"), finding("torch", "agrees")),
        )
    )
    assert found is not None
    assert found.choice == ["torch"]
    assert "jax is left out: wrong in gradient W" in found.reasons


def test_overlapping_intervals_are_a_tie() -> None:
    found = recommend(problem(timing("jax", 100, ratio=(0.95, 1.1)), timing("torch", 102, ratio=(0.9, 1.05))))
    assert found is not None
    assert found.choice == ["jax", "torch"]
    assert any("tie" in reason for reason in found.reasons)


def test_an_unstable_timing_is_said_beside_the_choice_and_nothing_is_claimed_without_intervals() -> None:
    shaky = msgspec.structs.replace(timing("jax", 100), speed="unstable")
    found = recommend(problem(shaky, timing("torch", 900, ratio=(0.9, 1.1))))
    assert found is not None
    assert any("unstable" in reason for reason in found.reasons)
    assert not any("as fast as the next" in reason for reason in found.reasons)


def test_the_closed_form_is_the_yardstick_and_not_a_choice() -> None:
    found = recommend(problem(timing("numpy", 1), timing("torch", 100, ratio=(0.9, 1.1))))
    assert found is not None
    assert found.choice == ["torch"]
    assert any("derived by hand" in reason for reason in found.reasons)


@pytest.mark.parametrize("verdict", ["wrong", "unstable", "nonfinite", "impure", "failed"])
def test_there_is_no_choice_where_nothing_is_correct(verdict: str) -> None:
    assert recommend(problem(timing("jax", 1, ratio=(1, 2)), findings=(finding("jax", verdict),))) is None
