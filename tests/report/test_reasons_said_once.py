"""What a fault's note says: each reason once, and no figure that decided nothing."""

from __future__ import annotations

import pytest

from gradparity.judge.consensus import ANOTHER_LOSS
from gradparity.report.facts.faults import Fault
from gradparity.results import Finding, Training


def fault(rule: str = "", outlier: str = "", trainings: tuple[Training, ...] = (), cause: str = "") -> Fault:
    found = Finding(
        backend="b", quantity="gradient", parameter="w", verdict="wrong", rule=rule, cause=cause, floors=9.0
    )
    findings = (found,) if rule else ()
    return Fault("b", ("p",), findings, findings, trainings, (), (), outlier, undecided=False)


def ran(first_divergence: int | None, floors: float) -> Training:
    return Training(
        backend="b",
        verdict="wrong",
        steps=20,
        checked_steps=20,
        initial_loss=2.0,
        final_loss=1.92,
        reference_loss=1.17,
        floors=floors,
        first_divergence=first_divergence,
        diverged="loss" if first_divergence is not None else "",
        reason="a gradient that is wrong",
        loop_s=0.1,
        losses=[],
    )


@pytest.mark.parametrize(
    "said", ["its value differs", "its derivative along w differs", "its derivative along w differs (factor 2)"]
)
def test_another_loss_is_said_once(said: str) -> None:
    reasons = fault(f"{ANOTHER_LOSS}: pairwise, against a", f"{ANOTHER_LOSS}: {said}").reasons
    assert sum(ANOTHER_LOSS in each for each in reasons) == 1


def test_a_leak_is_said_once_and_two_reasons_are_both() -> None:
    leak = "float32 leak: its answers scatter by 1e-08, as float32 rounds"
    assert fault("r", f"{leak} (in gradient w)", cause=leak).reasons == [leak]
    assert fault("r", f"{ANOTHER_LOSS}: its value differs", cause="sign").reasons == [
        "sign",
        f"{ANOTHER_LOSS}: its value differs",
    ]


def test_a_training_run_shows_the_floors_that_it_left_and_no_others() -> None:
    within, beyond = fault(trainings=(ran(None, 4.22),)), fault(trainings=(ran(3, 422.0),))
    assert within.size == []
    assert within.floors is None
    assert beyond.floors == 422.0
    assert any("1.92" in each for each in beyond.size)
