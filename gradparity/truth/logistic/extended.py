"""The built-in models' closed form in extended precision (``numpy.longdouble``).

Written apart from ``gradparity.backends.numpy_backend`` on purpose: a mistake in one of them shows as a disagreement.
With ``s = 1 - 2 y`` and ``m = s c z``: loss ``sum softplus(m)``, ``r = s c sigmoid(m)``, ``g = X^T r``, ``dw = W^T g``,
``dW = g w^T``; the Hessian-vector product is the derivative of that gradient along the tangents, term by term.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.problem import Problem
from gradparity.model_spec.spec import Logistic
from gradparity.numerics.extended import Blocks, Extended

Array: TypeAlias = npt.NDArray[Any]
Tree: TypeAlias = dict[str, Extended]

#: Entries of X in a block of rows.
BLOCK_CELLS = 2**15


def perturbed(problem: Problem, draws: int) -> Iterator[Problem]:
    """Copies of a problem whose every continuous input is off by one rounding, seeded; extended precision."""
    u = np.longdouble(np.finfo(problem.spec.dtype).eps) / 2
    rng = np.random.default_rng(problem.seed)

    def moved(value: npt.NDArray[Any]) -> Extended:
        found: Extended = u * (1 - 2 * rng.integers(0, 2, value.shape, dtype=np.int8))
        found += 1  # in place: of a large X a temporary copy is as large as the result
        found *= value
        return found

    for _ in range(draws):
        yield replace(
            problem,
            data={"X": moved(problem.data["X"]), "y": problem.data["y"]},
            params={name: moved(value) for name, value in problem.params.items()},
            tangents={name: moved(value) for name, value in problem.tangents.items()},
        )


def row_blocks(problem: Problem) -> Iterator[slice]:
    """Blocks of rows small enough for the cache."""
    step = max(1, BLOCK_CELLS // problem.data["X"].shape[1])
    return (slice(begin, begin + step) for begin in range(0, problem.rows, step))


def evaluate(problem: Problem) -> Blocks:
    """Every quantity of a problem in extended precision, by the closed form; rows in blocks, so memory stays small."""
    spec = problem.spec
    params, tangents = _tree(problem.params), _tree(problem.tangents)
    c, l2 = np.longdouble(spec.logit_scale), np.longdouble(spec.l2)
    W, w = params.get("W"), params["w"]
    V, v = tangents.get("W"), tangents["w"]
    along = np.stack([w, v] if W is None or V is None else [W @ w, W @ v + V @ w], axis=1)
    loss, sums = np.longdouble(0), np.zeros((spec.features, 2), np.longdouble)
    for rows in row_blocks(problem):
        X, s = _extended(problem.data["X"][rows]), 1 - 2 * _extended(problem.data["y"][rows])
        m, dm = (s * c * column for column in (X @ along).T)
        loss += softplus(m).sum()
        sums += X.T @ np.stack([s * c * sigmoid(m), s * c * sigmoid(m) * sigmoid(-m) * dm], axis=1)
    scale = _scale(spec, problem.data["y"])
    g, dg = (scale * column for column in sums.T)
    if W is None or V is None:
        gradient, product = {"w": g}, {"w": dg}
    else:
        gradient = {"w": W.T @ g, "W": np.multiply.outer(g, w)}
        product = {"w": W.T @ dg + V.T @ g, "W": np.multiply.outer(dg, w) + np.multiply.outer(g, v)}
    gradient = {name: value + l2 * params[name] for name, value in gradient.items()}
    product = {name: value + l2 * tangents[name] for name, value in product.items()}
    penalty = l2 / 2 * sum((p * p).sum() for p in params.values())
    return {
        ("loss", ""): np.asarray(scale * loss + penalty),
        **{("gradient", name): value for name, value in gradient.items()},
        ("jvp", ""): np.asarray(sum((gradient[name] * tangents[name]).sum() for name in gradient)),
        **{("hvp", name): value for name, value in product.items()},
    }


@dataclass(frozen=True)
class RowContributions:
    """What each row adds to the gradient of one parameter: ``scale r_i`` times ``(X W)_i``, ``x_i w^T``, or ``x_i``."""

    left: Extended  #: (S, n): the contributions themselves, or their left factors
    right: Extended | None  #: (L,): the right factor of an outer product

    def contribution(self, row: int) -> Extended:
        """Shaped like the parameter."""
        row_values: Extended = self.left[row]
        return row_values if self.right is None else np.multiply.outer(row_values, self.right)

    def distance(self, wanted: Extended) -> Extended:
        """Squared distance of every row's contribution from a wanted one, shape (S,); up to a constant factor."""
        if self.right is not None:
            norm = np.vdot(self.right, self.right)
            wanted = wanted @ self.right / (norm or 1)
        return np.asarray(((self.left - wanted) ** 2).sum(axis=1))


def rows_of_gradient(problem: Problem, parameter: str) -> RowContributions:
    """Each row's own contribution to the gradient of one parameter."""
    X, y = _extended(problem.data["X"]), _extended(problem.data["y"])
    params, c, s = _tree(problem.params), np.longdouble(problem.spec.logit_scale), 1 - 2 * y
    w, W = params["w"], params.get("W")
    r = _scale(problem.spec, y) * s * c * sigmoid(s * c * (X @ (w if W is None else W @ w)))
    if W is None:
        return RowContributions(r[:, None] * X, None)
    if parameter == "w":
        return RowContributions(r[:, None] * (X @ W), None)
    return RowContributions(r[:, None] * X, w)


def value_and_gradient(spec: Logistic, params: Mapping[str, Extended], X: Extended, y: Extended) -> tuple[Any, Tree]:
    """Loss and gradient."""
    c, l2, s = np.longdouble(spec.logit_scale), np.longdouble(spec.l2), 1 - 2 * y
    w, W = params["w"], params.get("W")
    m = s * c * (X @ (w if W is None else W @ w))
    g = _scale(spec, y) * (X.T @ (s * c * sigmoid(m)))
    gradient = {"w": g} if W is None else {"w": W.T @ g, "W": np.multiply.outer(g, w)}
    loss = _scale(spec, y) * softplus(m).sum()
    if not spec.l2:  # on small models every call counts: a run and its draws are a thousand of these
        return loss, gradient
    penalty = l2 / 2 * sum((p * p).sum() for p in params.values())
    return loss + penalty, {name: value + l2 * params[name] for name, value in gradient.items()}


def _scale(spec: Logistic, y: npt.NDArray[Any]) -> np.longdouble:
    return 1 / np.longdouble(len(y)) if spec.reduction == "mean" else np.longdouble(1)


def softplus(m: Array) -> Array:
    """``log(1 + exp(m))``, in the dtype of m, exact to rounding in both tails."""
    return np.asarray(np.maximum(m, 0) + np.log1p(np.exp(-np.abs(m))))


def sigmoid(m: Array) -> Array:
    """Its derivative, likewise."""
    t = np.exp(-np.abs(m))
    return np.asarray(np.where(m >= 0, 1, t) / (1 + t))


def _extended(value: npt.ArrayLike) -> Extended:
    return np.asarray(value, np.longdouble)


def _tree(values: Mapping[str, npt.ArrayLike]) -> Tree:
    return {name: _extended(value) for name, value in values.items()}
