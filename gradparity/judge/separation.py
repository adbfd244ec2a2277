"""Whether a direction separates the data of a problem: where one does, its loss has no minimum. Pure.

Two answers prove themselves: a direction whose margins are positive, and weights that rule every direction out.
Newton's iteration finds one or the other on almost all data, in milliseconds; what is left, data on the boundary
between the two, goes to a linear program, whose solver alone takes 0.3 s to import.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.problem import Problem

Vector = npt.NDArray[np.float64]

#: Rows that are looked at first, and rows that each further round adds.
ROWS_AT_ONCE = 2000
#: Rounds before the question is left open, and seconds for the linear program of each.
ROUNDS, PROGRAM_S = 5, 2.0
#: Newton steps on the rows of a round, and multiplications that one may cost: some 0.1 s.
NEWTON_STEPS, NEWTON_OPERATIONS = 30, 10**9
#: What is added to the diagonal of a Hessian, relative to its trace, so that it can be inverted.
RIDGE = 1e-12


def separating_direction(problem: Problem) -> Vector | None:
    """A direction ``d (F,)`` of unit length with ``(2 y_i - 1) X_i d > 0`` for every row, or ``None``.

    It is sought on some rows, then with the rows that it misclassifies, until there are none, or until the rows looked
    at cannot be separated, which settles the rest too. The margins of the direction found are held against the
    rounding error of forming them: it is a proof.

    Reference: Albert & Anderson, On the existence of maximum likelihood estimates in logistic regression models, 1984.
    """
    signed = (2 * problem.data["y"] - 1).astype(np.float64)[:, None] * problem.data["X"]
    lengths = np.maximum(signed.max(axis=1), -signed.min(axis=1))
    if not lengths.all():
        return None  # a row of zeros has margin zero in every direction
    columns = np.maximum(signed.max(axis=0), -signed.min(axis=0))
    columns[columns == 0] = 1
    rows = np.random.default_rng([problem.seed, 4]).permutation(len(signed))[:ROWS_AT_ONCE]
    for _ in range(ROUNDS):
        # Directions scale along with columns, and rows keep their sign: tolerances below are absolute.
        scaled = signed[rows] / columns
        scaled /= np.abs(scaled).max(axis=1)[:, None]
        settled, found = by_newton(scaled)
        if not settled:
            found = by_linear_program(scaled)
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


def by_newton(rows: Vector) -> tuple[bool, Vector | None]:
    """Whether Newton's iteration settles it, and a direction if there is one.

    It minimises ``sum_i softplus(-rows_i d)``. With a direction to go, the margins grow by about one a step, and the
    direction turns to the one whose nearest row is farthest; without one, the loss has a minimum, and its weights
    ``sigmoid(-rows_i d)`` rule all directions out (`rule_out`).

    Reference: Soudry et al., The implicit bias of gradient descent on separable data, 2018.
    """
    used = rows.any(axis=0)
    A = rows[:, used]
    features = A.shape[1]
    if features**2 * (len(A) + features) > NEWTON_OPERATIONS:
        return False, None
    d, best, widest = np.zeros(features), None, 0.0
    for _ in range(NEWTON_STEPS):
        weights = np.exp(-np.logaddexp(0, A @ d))
        gradient = A.T @ weights
        hessian = (A * (weights * (1 - weights))[:, None]).T @ A
        ridge = RIDGE * np.trace(hessian)
        if not ridge > 0:
            break  # every weight is 0 or 1, and has no digits to go on with
        step = np.linalg.solve(hessian + ridge * np.eye(features), gradient)
        if best is None and rule_out(A, weights, gradient, hessian, step):
            return True, None
        d = d + step
        margin = (A @ d).min() / np.sqrt(d @ d)
        if margin > widest:
            best, widest = d, margin
    if best is None:
        return False, None
    found = np.zeros(rows.shape[1])
    found[used] = best
    return True, found


def rule_out(A: Vector, weights: Vector, gradient: Vector, hessian: Vector, step: Vector) -> bool:
    """Whether weights near ``weights`` prove that no direction has a positive margin on every row of ``A``.

    Positive weights with ``A^T weights = 0`` do: they would weigh positive margins to a sum of zero. These give
    ``gradient`` instead. With ``D = diag(weights (1 - weights))``, ``hessian = A^T D A`` and ``hessian x = gradient``,
    ``weights - D A x`` give zero, and stay positive while every ``|A x| < 1``: while the Newton step is short. ``step``
    is ``x`` up to a residual and to the rounding of all the sums; the entries of ``A`` are at most 1 in size.

    Reference: Gordan's theorem, in Mangasarian, Nonlinear programming, 1969, section 2.4.
    """
    moved = np.abs(A @ step).max()
    if not moved < 0.5:
        return False
    rounding, trace, length = len(A) * np.finfo(np.float64).eps, np.trace(hessian), np.sqrt(step @ step)
    smallest = np.linalg.eigvalsh(hessian)[0] - rounding * trace
    if not smallest > 0:
        return False  # columns that depend on each other, as far as can be seen
    off = gradient - hessian @ step
    left = np.sqrt(off @ off) + rounding * (np.sqrt(len(step)) * weights.sum() + trace * length)
    return bool(moved + np.sqrt(len(step)) * left / smallest < 1)


def by_linear_program(rows: Vector) -> Vector | None:
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
