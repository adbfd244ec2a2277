"""A port with a lower precision inside and another mistake, without a truth: both are said, where judges are left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.judge.causes.precision import PARTLY, spacings
from gradparity.numerics.perturbation import along_line
from gradparity.results import Finding
from gradparity.runner.pairwise import PairwiseRun
from tests.pairwise.simulation import Simulated, answers, evaluate, problem
from tests.truth.neutral_models import problem_of

DOUBLED = {("loss", ""): lambda v: 2 * v} | {("gradient", f"layers.{i}"): lambda v: 2 * v for i in ("0.M", "1.w")}
BOTH = Simulated(DOUBLED, narrow=True)


def judged(ports: dict[str, Simulated], seed: int = 4) -> tuple[PairwiseRun, dict[tuple[str, str], Finding]]:
    """What a run makes of simulated ports: the comparison, the lines of those that differ, and the comparison again."""
    inputs = problem(seed)
    run = PairwiseRun(problem_of(*inputs, seed))
    run.answers = {name: answers(port, seed, i, own=False) for i, (name, port) in enumerate(ports.items())}
    first = run.judge()
    assert first is not None

    def line(port: Simulated, spacing: float) -> list[Any]:
        return [
            evaluate(port, *moved, np.random.default_rng(1))
            for moved in along_line(*inputs, seed=seed, spacing=spacing)
        ]

    off = {each.backend for each in first[1] if each.verdict == "wrong"}
    lines = {
        name: {fmt: line(ports[name], spacing) for fmt, spacing in spacings("float64").items()} for name in sorted(off)
    }
    run.find_leaks(first[1], lines, {name: ["float64", *["float32"] * ports[name].narrow] for name in ports})
    again = run.judge()
    assert again is not None
    return run, {(each.backend, each.block): each for each in again[1]}


@pytest.mark.parametrize("leaky", [1, 2])
def test_two_that_agree_judge_any_number_that_leak_and_double(leaky: int) -> None:
    ports = {"a": Simulated(), "b": Simulated()} | {f"x{i}": BOTH for i in range(leaky)}
    run, findings = judged(ports)
    assert set(run.leaks) == {f"x{i}" for i in range(leaky)}
    assert all(PARTLY in words for named in run.leaks.values() for words in named.values())
    assert {name for (name, _), each in findings.items() if each.verdict != "agrees"} == set(run.leaks)


def test_one_alone_is_no_judge_of_what_a_leak_does_not_explain() -> None:
    run, findings = judged({"a": Simulated(), "x": BOTH})
    assert run.leaks == {}
    assert findings["a", "loss"].verdict == findings["x", "loss"].verdict == "wrong"
    assert "nothing here says which is wrong" in findings["x", "loss"].rule
