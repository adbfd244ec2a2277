"""What is worse, better or the same: two runs side by side, on results written down by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gradparity.judge.speed.compare import compare_runs
from gradparity.results import (
    RunResult,
    Trouble,
)
from gradparity.results.own_training import OwnDivergence, OwnRun, OwnTraining
from tests.comparison.runs import run
from tests.conftest import Command
from tests.report import samples

#: From, to, what that is; in the words of the documentation.
KINDS: list[tuple[str, str, str]] = [
    ("agrees", "wrong", "worse"),
    ("agrees", "unresolved", "worse"),  # it was known to be right, and is not any more
    ("kink", "nonfinite", "worse"),
    ("unresolved", "wrong", "worse"),
    ("unstable", "wrong", "worse"),
    ("wrong", "agrees", "better"),
    ("wrong", "unstable", "better"),
    ("unresolved", "agrees", "better"),
    ("unstable", "kink", "better"),
    ("wrong", "unresolved", "changed"),  # nothing says that it is mended
    ("wrong", "nonfinite", "changed"),
    ("agrees", "kink", "changed"),
    ("wrong", "wrong", "same"),
    ("agrees", "agrees", "same"),
    ("absent", "agrees", "new"),
    ("absent", "wrong", "worse"),
    ("absent", "unresolved", "worse"),
    ("agrees", "absent", "gone"),
    ("wrong", "absent", "gone"),
]


def with_blocks(result: RunResult, blocks: dict[str, list[Any]]) -> RunResult:
    """The same run with these verdicts on gradients; ``absent`` is none."""
    (finding,) = result.problems[0].findings
    result.problems[0].findings = [
        structs.replace(finding, parameter=parameter, verdict=verdict)
        for parameter, verdicts in blocks.items()
        for verdict in verdicts
        if verdict != "absent"
    ]
    return result


@pytest.mark.parametrize(("before", "after", "kind"), KINDS)
def test_only_what_is_worse_is_no_success_whatever_the_speed(before: str, after: str, kind: str) -> None:
    blocks = ({"kept": ["agrees"], "W": [verdict]} for verdict in (before, after))
    old, new = (with_blocks(run(us), each) for us, each in zip((100.0, 50.0), blocks, strict=True))
    found = compare_runs(old, new)
    (change,) = found.changes
    assert {each.block: each.kind for each in change.blocks} == {"gradient kept": "same", "gradient W": kind}
    assert found.ok == (kind != "worse")
    assert change.kind == (kind if kind not in ("new", "gone") else "same")
    assert [each.block for each in change.still] == ["gradient W"] * (before == after == "wrong")


def test_one_block_mended_and_another_broken_is_worse() -> None:
    old = with_blocks(run(1.0), {"W": ["wrong"], "w": ["agrees"]})
    new = with_blocks(run(1.0), {"W": ["agrees"], "w": ["wrong"]})
    (change,) = compare_runs(old, new).changes
    assert (change.kind, [str(each) for each in change.of("worse")]) == ("worse", ["gradient w: agrees -> wrong"])
    assert [str(each) for each in change.of("better")] == ["gradient W: wrong -> agrees"]


def test_what_was_timed_last_is_judged_once_more_and_that_outranks_the_first_verdict() -> None:
    old, new = run(1.0), with_blocks(run(1.0), {"W": ["agrees", "nonfinite"]})
    assert [str(each) for each in compare_runs(old, new).changes[0].of("worse")] == ["gradient W: agrees -> nonfinite"]


def failed(stage: str) -> RunResult:
    """A run in which jax failed, and nothing else was asked."""
    result = run(None)
    result.problems[0].findings, result.problems[0].timings = [], []
    result.problems[0].troubles = [Trouble(backend="jax", stage=stage, reason="it crashed")]
    return result


def test_a_backend_that_answered_and_fails_is_worse_and_the_other_way_round_better() -> None:
    (change,) = compare_runs(run(None), failed("import")).changes
    assert [str(each) for each in change.of("worse")] == ["its process: answers -> failed"]
    assert [each.block for each in change.of("gone")] == ["gradient W"]
    found = compare_runs(failed("import"), run(None))
    assert (found.ok, found.changes[0].kind) == (True, "better")
    # It comes further, and fails all the same: neither.
    assert compare_runs(failed("import"), failed("evaluation")).changes[0].kind == "same"


def test_what_a_problem_is_there_to_show_is_no_disagreement_that_is_new() -> None:
    old, new = run(1.0, verdict="agrees"), run(1.0, verdict="nonfinite")
    for result in (old, new):
        result.problems[0].expected = "the formula overflows"
    assert compare_runs(old, new).changes[0].kind == "changed"


def test_steps_of_their_own_that_part_are_worse_for_both() -> None:
    steps = [OwnRun(backend=name, steps=2, losses=[1.0, 0.5], seconds=0.1) for name in ("jax", "torch")]
    apart = OwnDivergence(backends=("jax", "torch"), step=1, what="loss", floors=1e9, relative=0.1)
    old, new = run(None), run(None)
    old.problems[0].own_training = OwnTraining(steps=2, compared=2, batches=0, runs=steps)
    new.problems[0].own_training = OwnTraining(steps=2, compared=2, batches=0, runs=steps, divergences=[apart])
    found = compare_runs(old, new)
    assert {change.backend: change.kind for change in found.changes} == {"jax": "worse", "torch": "worse"}
    assert compare_runs(new, old).ok


def test_of_a_run_that_was_not_finished_nothing_is_said_to_be_no_worse(command: Command, tmp_path: Path) -> None:
    new = run(1.0)
    new.complete = False
    assert not compare_runs(run(1.0), new).ok
    assert compare_runs(new, run(1.0)).ok


def test_what_only_one_run_checked_is_no_change() -> None:
    old = run(100.0)
    trained = structs.replace(samples.training("jax"), verdict="unstable")
    old.problems[0].training.append(trained)
    found = compare_runs(old, run(100.0))
    assert found.ok
    assert found.changes[0].old_verdict == "agrees"
    assert [each.kind for each in found.changes[0].blocks] == ["same", "gone"]
    new = run(100.0)
    new.problems[0].training.append(structs.replace(trained, verdict="agrees"))
    assert [str(each) for each in compare_runs(old, new).changes[0].of("better")] == [
        "training with gd, own loop: unstable -> agrees"
    ]
