"""The largest curvature of a loss: what bounds the step of a descent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.problem import Problem
from gradparity.numerics.extended import Extended
from gradparity.truth.logistic.extended import evaluate
from gradparity.truth.logistic.path import OPERATIONS

#: Hessian-vector products of one power iteration, at most.
PRODUCTS = 60
#: The power iteration ends when the curvature still grows by less than this, relatively.
SETTLED = 1e-4


def largest_curvature(problem: Problem, params: Mapping[str, npt.NDArray[Any]]) -> float | None:
    """A lower bound of the Hessian's largest eigenvalue at ``params``, by power iteration with exact HVPs.

    Every Rayleigh quotient ``v^T H v / v^T v`` is such a bound, however far the iteration got, so that a step size
    beyond ``2 / bound`` is beyond ``2 / lambda_max``. Where the largest eigenvalue in size is negative, the iteration
    goes on with the Hessian shifted by it. ``None`` where the products would take too long.

    Reference: Golub & Van Loan, Matrix Computations, 2013, section 7.3.1.
    """
    if problem.data["X"].size * 2 * PRODUCTS > OPERATIONS:
        return None
    rng = np.random.default_rng([problem.seed, 3])
    v = _unit({name: rng.standard_normal(shape).astype(np.longdouble) for name, shape in problem.spec.shapes.items()})
    best, shift = -np.inf, 0.0
    for _ in range(PRODUCTS):
        blocks = evaluate(replace(problem, params=params, tangents=v))
        product = {name: blocks["hvp", name] for name in v}
        quotient = float(sum(np.vdot(v[name], product[name]) for name in v))
        settled = abs(quotient - best) <= SETTLED * abs(quotient) and quotient > 0
        best, shift = max(best, quotient), min(shift, quotient)
        moved = {name: product[name] - shift * v[name] for name in v}
        if settled or not any(value.any() for value in moved.values()):
            break
        v = _unit(moved)
    return best


def _unit(tree: dict[str, Extended]) -> dict[str, Extended]:
    length = np.sqrt(sum((value * value).sum() for value in tree.values()))
    return {name: value / length for name, value in tree.items()}
