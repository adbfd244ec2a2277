"""Answers, truths, floors and runs that hold inf, nan, 0, subnormal numbers and 1e308: judged, written and shown.

Nothing of it may raise, and a number that is not finite agrees with no truth that is.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.backends.numpy_backend import backend as numpy_backend
from gradparity.judge.consensus import Answers, judge_pairwise
from gradparity.judge.other_precision import told_apart
from gradparity.judge.training import judge_training, own_loop
from gradparity.judge.verdicts import judge
from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.problem import Problem, UserProblem, make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.numerics.optimisers import Adam, GradientDescent, Optimiser
from gradparity.numerics.richardson import block_directions
from gradparity.results import GOOD, ProblemResult
from gradparity.results.store import encode
from gradparity.runner.ways import both, differing, left_open
from gradparity.truth.logistic.path import trajectory
from gradparity.truth.logistic.truth import reference
from gradparity.truth.reference import Reference
from gradparity.worker.evaluation import evaluate, train
from tests.fuzz.test_results import narrow, page, short
from tests.report.samples import run
from tests.truth.neutral_models import problem_of

SPECIAL = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 5e-324, -3e-310, 1e308, -1.7e308, 1e-300, 1.0])
STEPS = 6


def with_specials(values: Any, rng: np.random.Generator, share: float) -> Any:
    """Copies with some entries replaced, in their own dtype."""
    found = np.array(values)
    here = rng.random(found.shape) < share
    with np.errstate(over="ignore", under="ignore"):
        return np.where(here, rng.choice(SPECIAL, found.shape), found).astype(found.dtype)


def tree(values: Any, rng: np.random.Generator, share: float) -> Any:
    return {
        key: tree(v, rng, share) if isinstance(v, dict) else with_specials(v, rng, share) for key, v in values.items()
    }


@pytest.fixture(scope="module")
def toy() -> tuple[Problem, Reference, Any]:
    data = load("toy")
    problem = make_problem("toy", ProjectedLogistic(features=3, projection=2), data.X, data.y)
    loss = numpy_backend.loss(problem.spec)
    return problem, reference(problem), evaluate(numpy_backend, loss, numpy_backend.program(loss), problem).quantities


def as_users(problem: Problem) -> UserProblem:
    return problem_of(dict(problem.params), dict(problem.data), dict(problem.tangents), seed=0)


def shown(outcome: ProblemResult) -> None:
    """The result is written, and every report is made of it."""
    result = run(outcome)
    assert b"NaN" not in encode(result)
    assert b"Infinity" not in encode(result)
    for report in (short, narrow, page):
        report(result)


@pytest.mark.parametrize("seed", range(60))
def test_answers_truths_and_floors(toy: tuple[Problem, Reference, Any], seed: int):
    problem, known, right = toy
    rng = np.random.default_rng([seed, 77])
    share = rng.choice([0.0, 0.1, 0.5, 1.0])
    kept = replace(known, truth=tree(known.truth, rng, 0.5 * share), floor=tree(known.floor, rng, share))
    for asked in (problem, as_users(problem)):
        answers = [tree(right, rng, share) for _ in range(2)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            first, second = (judge("numpy", each, kept, asked) for each in answers)
        for found, quantities in ((first, answers[0]), (second, answers[1])):
            for each in found:
                got, truth = quantities[each.quantity][each.parameter], kept.truth[each.quantity, each.parameter]
                bad = ~np.isfinite(got) & (np.abs(truth) <= np.finfo(got.dtype).max)
                assert not (bad.any() and each.verdict in GOOD), each
        findings = list(both(told_apart(left_open(first, "float32"), second), second, ("one", "other")))
        diagnoses = differing("numpy", first, second, ("one", "other"))
        outcome = ProblemResult(name="toy", source="made", digest="d", rows=4, spec={"dtype": "float64"}, truth="made")
        outcome.findings, outcome.diagnoses = findings, diagnoses
        shown(outcome)


@pytest.mark.parametrize("seed", range(30))
def test_backends_held_against_each_other(toy: tuple[Problem, Reference, Any], seed: int):
    problem, known, right = toy
    rng = np.random.default_rng([seed, 78])
    share = rng.choice([0.05, 0.3, 1.0])
    floors = {key: np.abs(value) for key, value in tree(known.floor, rng, share / 2).items()}
    answers = {name: Answers(tree(right, rng, share), floors) for name in ("jax", "torch", "autograd")}
    directions = dict(block_directions(problem.params, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        pairwise, findings = judge_pairwise(answers, directions, dtype="float64")
    for each in findings:
        got = answers[each.backend].values[each.quantity][each.parameter]
        assert np.isfinite(got).all() or each.verdict not in GOOD
    outcome = ProblemResult(name="toy", source="made", digest="d", rows=4, spec={"dtype": "float64"}, truth="none")
    outcome.findings, outcome.pairwise = findings, pairwise
    shown(outcome)


@pytest.mark.parametrize("optimiser", [GradientDescent(0.1), Adam(0.1)], ids=["gd", "adam"])
@pytest.mark.parametrize("seed", range(20))
def test_training_runs(toy: tuple[Problem, Reference, Any], optimiser: Optimiser, seed: int):
    problem = toy[0]
    rng = np.random.default_rng([seed, 79])
    share = rng.choice([0.0, 0.1, 0.6])
    known = trajectory(problem, optimiser, STEPS)
    program = numpy_backend.program(numpy_backend.loss(problem.spec))
    path = train(numpy_backend, program, problem, optimiser, STEPS)
    moved = replace(
        path,
        losses=with_specials(path.losses, rng, share),
        params=with_specials(path.params, rng, share / 3),
        gradients=with_specials(path.gradients, rng, share / 3),
    )
    of_reference = replace(
        known,
        path=replace(known.path, losses=with_specials(known.path.losses, rng, share / 2)),
        loss_floor=np.abs(with_specials(known.loss_floor, rng, share)),
        floors={name: np.abs(with_specials(floor, rng, share)) for name, floor in known.floors.items()},
        amplification=np.abs(with_specials(known.amplification, rng, share)),
        final_floor=np.abs(with_specials(known.final_floor, rng, share)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ran = judge_training("numpy", moved, of_reference, problem, 0.0)
        own = judge_training("numpy", own_loop(moved.losses, moved.params[-1]), of_reference, problem, 0.0, shared=ran)
    outcome = ProblemResult(name="toy", source="made", digest="d", rows=4, spec={"dtype": "float64"}, truth="made")
    outcome.training = [ran, own]
    shown(outcome)
    if not share:
        assert {ran.verdict, own.verdict} == {"agrees"}
