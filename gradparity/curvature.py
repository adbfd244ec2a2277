"""The largest curvature of a loss, and whether a direction separates its data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.truth.extended import Extended, evaluate
from gradparity.truth.trajectory import OPERATIONS
from model_spec.problem import Problem

#: Hessian-vector products of one power iteration, at most.
PRODUCTS = 60
#: The power iteration ends when the curvature still grows by less than this, relatively.
SETTLED = 1e-4

#: Rows of the first linear program, and rows that each further one adds.
ROWS_AT_ONCE = 2000
#: Linear programs, and seconds for each, before the question is left open.
PROGRAMS, PROGRAM_S = 5, 2.0


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
        blocks = evaluate(replace(problem, params=params, tangents=v)).blocks
        product = {name: blocks["hvp", name] for name in v}
        quotient = float(sum(np.vdot(v[name], product[name]) for name in v))
        settled = abs(quotient - best) <= SETTLED * abs(quotient) and quotient > 0
        best, shift = max(best, quotient), min(shift, quotient)
        moved = {name: product[name] - shift * v[name] for name in v}
        if settled or not any(value.any() for value in moved.values()):
            break
        v = _unit(moved)
    return best


def separating_direction(problem: Problem) -> npt.NDArray[np.float64] | None:
    """A direction ``d (F,)`` of unit length with ``(2 y_i - 1) X_i d > 0`` for every row, or ``None``.

    The largest smallest margin is a linear program. It is solved on some rows, then with the rows that its direction
    misclassifies, until there are none, or until the rows it has cannot be separated, which settles the rest too. The
    margins of the direction found are held against the rounding error of forming them: it is a proof.

    Reference: Albert & Anderson, On the existence of maximum likelihood estimates in logistic regression models, 1984.
    """
    signed = (2 * problem.data["y"] - 1).astype(np.float64)[:, None] * problem.data["X"]
    lengths = np.maximum(signed.max(axis=1), -signed.min(axis=1))
    if not lengths.all():
        return None  # a row of zeros has margin zero in every direction
    columns = np.maximum(signed.max(axis=0), -signed.min(axis=0))
    columns[columns == 0] = 1
    rows = np.random.default_rng([problem.seed, 4]).permutation(len(signed))[:ROWS_AT_ONCE]
    for _ in range(PROGRAMS):
        # Directions scale along with columns, and rows keep their sign: the solver's tolerances are absolute.
        scaled = signed[rows] / columns
        found = _widest_margin(scaled / np.abs(scaled).max(axis=1)[:, None])
        if found is None:
            return None
        direction = found / columns
        direction /= np.sqrt(direction @ direction)
        margins = signed @ direction
        rounding = problem.spec.features * np.finfo(np.float64).eps * lengths * np.abs(direction).sum()
        wrong = np.flatnonzero(margins <= rounding)
        if not wrong.size:
            return np.asarray(direction, np.float64)
        if np.isin(wrong, rows).any():
            return None  # not even the rows it was found for
        rows = np.concatenate([rows, wrong[np.argsort(margins[wrong])][:ROWS_AT_ONCE]])
    return None


def _widest_margin(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """``d`` in the unit cube with the largest ``min_i rows_i d``; ``None`` where that is zero or not found."""
    from scipy.optimize import linprog

    count, features = rows.shape
    solved = linprog(
        np.r_[np.zeros(features), -1],
        A_ub=np.c_[-rows, np.ones(count)],
        b_ub=np.zeros(count),
        bounds=[(-1, 1)] * features + [(0, None)],
        method="highs",
        options={"time_limit": PROGRAM_S},
    )
    if solved.x is None or not solved.x[:-1].any():
        return None
    return np.asarray(solved.x[:-1])


def _unit(tree: dict[str, Extended]) -> dict[str, Extended]:
    length = np.sqrt(sum((value * value).sum() for value in tree.values()))
    return {name: value / length for name, value in tree.items()}
