"""The problems that mutants are run on: small and square, not square, larger; with and without L2 and a logit scale."""

from __future__ import annotations

from functools import cache

import numpy as np

from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.truth.logistic.truth import reference
from gradparity.truth.reference import Reference
from tests.contract.problems import drawn, with_params


def _toy() -> Problem:
    toy = load("toy")
    problem = make_problem("toy", ProjectedLogistic(features=3, projection=3), toy.X, toy.y)
    rng = np.random.default_rng(5)
    return with_params(problem, w=rng.standard_normal(3), W=rng.standard_normal((3, 3)))


def _extreme() -> Problem:
    """Logits from 4 to 800 of either sign, half of them misclassified; in float64 a naive log has p = 1 from 37 on."""
    problem = drawn(ProjectedLogistic(features=4, projection=2), 10, seed=9)
    W = problem.params["W"]
    u = W @ problem.params["w"]
    wanted = np.array([4.0, -5, 12, -20, 25, 34, -38, 90, -200, 800])
    problem.data["X"][:] += np.outer(wanted - problem.data["X"] @ u, u) / (u @ u)
    problem.data["y"][:] = [1, 1, 0, 0, 0, 0, 1, 0, 1, 0]
    return problem


def _tiny() -> Problem:
    """Features of about 1e-9: every gradient is below any absolute tolerance."""
    problem = drawn(ProjectedLogistic(features=3, projection=2), 6, seed=3)
    problem.data["X"][:] *= 1e-9
    return problem


#: 4x3x3 plain, 12x5x3 with L2 and a logit scale, 200x20x10 averaged over its rows.
_PROBLEMS = {
    "4x3x3": _toy,
    "12x5x3 l2 c": lambda: drawn(ProjectedLogistic(features=5, projection=3, l2=0.25, logit_scale=-1.5), 12, seed=1),
    "200x20x10 mean": lambda: drawn(
        ProjectedLogistic(features=20, projection=10, l2=0.01, logit_scale=1.5, reduction="mean"), 200, seed=2
    ),
    "4x3x3 float32": lambda: drawn(ProjectedLogistic(features=3, projection=3, dtype="float32"), 4, seed=4),
    "extreme": _extreme,
    "tiny": _tiny,
}

SHAPES = ("4x3x3", "12x5x3 l2 c", "200x20x10 mean")
ALL = tuple(_PROBLEMS)


@cache
def problem_of(name: str) -> tuple[Problem, Reference]:
    """A problem by name, with its truth: computed once for all mutants."""
    problem = _PROBLEMS[name]()
    return problem, reference(problem)
