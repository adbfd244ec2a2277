"""What a fault's note says: each reason once, and no figure that decided nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from gradparity.judge.consensus import ANOTHER_LOSS
from gradparity.report.facts.causes import cause_notes
from gradparity.report.facts.faults import Fault
from gradparity.report.facts.overview import overview
from gradparity.report.facts.words import MOST_QUOTING
from gradparity.report.markdown import escaped
from gradparity.report.page import document
from gradparity.report.terminal.style import clean
from gradparity.report.terminal.tables import text
from gradparity.results import Disagreement, Finding, Pairwise, Training
from gradparity.results.divergence import Divergences
from gradparity.results.lines import Cure, Lines, Site
from gradparity.results.own_training import OwnRun, OwnTraining
from gradparity.runner.sites import MOST_TEXT
from tests.report.samples import finding, problem, run


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


#: What the judge says of either of two ports that differ, without a truth.
RULE = "pairwise: differs from {} by 9.67e+14 floors: the losses are different functions, and nothing here says which"


@pytest.mark.parametrize("placed", [False, True], ids=["no place", "a place"])
def test_what_two_ports_differ_in_is_said_once_for_both(placed: bool) -> None:
    findings = [
        finding(name, bad=True, cause="", rule=RULE.format(other), quantity=quantity, relative_error=None)
        for name, other in (("jax", "torch"), ("torch", "jax"))
        for quantity in ("loss", "gradient")
    ]
    pair = problem("p", [], clock=False, findings=findings, training=[], truth="")
    pair.pairwise = Pairwise(backends=["jax", "torch"], matrix=[
        Disagreement(quantity=quantity, parameter="W", floors=[[0.0, 9.67e14], [9.67e14, 0.0]])
        for quantity in ("loss", "gradient")
    ], own=[])  # fmt: skip
    if placed:
        sites = [Site(backend=name, file=f"{name}.py", line=7, text="x", operation="add") for name in ("jax", "torch")]
        pair.divergences = Divergences(lines=[Lines(direction="forward", backend="jax", against="torch", here=sites)])
    why = "they diverge at `x` (jax.py:7) and `x` (torch.py:7)" if placed else RULE.replace(
        "pairwise: differs from {}", "they differ"
    )  # fmt: skip
    (note,) = overview(run(pair, command="check")).faults
    assert (note.name, note.more) == ("jax, torch differ", [why])
    (cause,) = cause_notes(pair)
    assert (cause.name, cause.text) == ("jax, torch, 2 blocks differing:", why)
    notes = re.findall(r'<li class="note.*?</li>', document(run(pair, command="check")), re.DOTALL)
    assert len(notes) == 2
    assert "differs from" not in "".join(notes)


def test_a_long_update_rule_is_whole_in_a_terminal() -> None:
    rule = "; ".join(f"layers.{place}.weight: Adam (lr 0.01, b1 0.9, b2 0.999, eps 1e-08)" for place in range(12))
    alone = problem("toy", ["jax", "torch"], clock=False, training=[])
    runs = [OwnRun(backend="torch", steps=5, losses=[1.0] * 5, seconds=0.1, rule=rule, rule_steps=5)]
    alone.own_training = OwnTraining(steps=5, compared=0, batches=0, runs=runs)
    assert rule in " ".join(text(run(alone, command="check")).split())


def test_a_training_run_shows_the_floors_that_it_left_and_no_others() -> None:
    within, beyond = fault(trainings=(ran(None, 4.22),)), fault(trainings=(ran(3, 422.0),))
    assert within.size == []
    assert within.floors is None
    assert beyond.floors == 422.0
    assert any("1.92" in each for each in beyond.size)


@pytest.mark.parametrize("whole", [clean, escaped])
def test_a_sentence_that_quotes_both_ports_is_not_cut(whole: Callable[[str, int], str]):
    text, file = "x" * MOST_TEXT, "a_folder/of/some/depth/and_a_file_of_a_long_name.py"
    ports = [
        Site(
            backend=name, file=file, line=1234, text=text, operation="add", module="layers.11.norm", called=f"{file}:99"
        )
        for name in ("jax", "torch")
    ]
    cure = Cure(backend="jax", file=file, line=1234, kind="option", old=text, new=text + ", approximate=False")
    lines = Lines(
        direction="forward",
        backend="jax",
        against="torch",
        agree=ports,
        here=ports,
        relative=1e-4,
        floors=1e6,
        cures=[cure],
    )
    assert len(lines.said) == 3
    for said in lines.said:
        assert not whole(said, MOST_QUOTING).endswith("...")
    assert whole("x" * 2 * MOST_QUOTING, MOST_QUOTING).endswith("...")
