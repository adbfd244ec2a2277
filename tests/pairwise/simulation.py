"""Backends that are simulated: the same softplus regression, each with roundings of its own, right or wrong on purpose.

The loss is ``sum softplus(-s_i (X u)_i) + |M|^2 / 2`` with ``u = M^T w``; the gradient is written out by hand, in
extended precision, and then off by a few random roundings of every term, as another order of operations is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradparity.judge.consensus import judge_pairwise
from gradparity.judge.own import Answers
from gradparity.numerics.perturbation import floor_from, perturbed
from gradparity.numerics.richardson import along, block_directions, derivative
from gradparity.results import Finding, Pairwise

Tree = dict[str, Any]
Change = Callable[[str, Any], Any]  #: quantity and value, for one parameter


@dataclass(frozen=True)
class Simulated:
    """One backend; ``changes`` are made to its answers by quantity and parameter, ``loss`` to its loss."""

    changes: Mapping[tuple[str, str], Callable[[Any], Any]] = field(default_factory=dict)
    weight: float = 1.0  #: of the penalty, in loss and derivatives alike: another function if it is not 1
    narrow: bool = False  #: whether everything goes through float32


def problem(seed: int, rows: int = 12, features: int = 4, width: int = 3) -> tuple[Tree, Tree, Tree]:
    rng = np.random.default_rng([seed, 21])
    shapes = {"layers.0.M": (width, features), "layers.1.w": (width,)}
    params, tangents = ({name: rng.standard_normal(shape) for name, shape in shapes.items()} for _ in range(2))
    data = {"X": rng.standard_normal((rows, features)), "y": (rng.random(rows) < 0.5).astype(float)}
    return params, data, tangents


def evaluate(backend: Simulated, params: Tree, data: Tree, tangents: Tree, rng: np.random.Generator) -> Any:
    """Loss, gradient and JVP in extended precision, rounded to float64 with noise of about two roundings."""
    if backend.narrow:
        params, data, tangents = ({k: np.float32(v) for k, v in tree.items()} for tree in (params, data, tangents))
    M, w = (np.asarray(params[name], np.longdouble) for name in ("layers.0.M", "layers.1.w"))
    X, s = np.asarray(data["X"], np.longdouble), 1 - 2 * np.asarray(data["y"], np.longdouble)
    m = s * (X @ (M.T @ w))
    slope = s / (1 + np.exp(-m))
    g = X.T @ slope
    terms = np.abs(X.T) @ np.abs(slope)
    gradient = {"layers.0.M": np.outer(w, g) + backend.weight * M, "layers.1.w": M @ g}
    size = {"layers.0.M": np.outer(np.abs(w), terms) + np.abs(M), "layers.1.w": np.abs(M) @ terms}
    along_tangents = sum(np.vdot(gradient[k], np.asarray(v, np.longdouble)) for k, v in tangents.items())
    size_along = sum(np.vdot(size[k], np.abs(np.asarray(v, np.longdouble))) for k, v in tangents.items())
    loss = np.log1p(np.exp(-np.abs(m))).sum() + np.maximum(m, 0).sum() + backend.weight * (M * M).sum() / 2
    unit = np.finfo(np.float32 if backend.narrow else np.float64).eps / 2

    def rounded(value: Any, terms: Any) -> Any:
        noisy = value + 2 * unit * terms * rng.standard_normal(np.shape(value))
        return np.asarray(np.float32(noisy) if backend.narrow else noisy, np.float64)

    values = {
        "loss": {"": rounded(loss, loss)},
        "gradient": {name: rounded(value, size[name]) for name, value in gradient.items()},
        "jvp": {"": rounded(along_tangents, size_along)},
    }
    return {
        quantity: {name: backend.changes.get((quantity, name), lambda v: v)(value) for name, value in tree.items()}
        for quantity, tree in values.items()
    }


def answers(backend: Simulated, seed: int, stream: int, *, own: bool = True) -> Answers:
    """What a worker would have given: values, floors from perturbed inputs, and derivatives of the loss."""
    params, data, tangents = problem(seed)
    rng = np.random.default_rng([seed, stream, 22])
    values = evaluate(backend, params, data, tangents, rng)
    evaluations = [
        evaluate(backend, *moved, rng)
        for moved in perturbed(params, data, tangents, seed=seed)  # type: ignore[misc]
    ]
    loss = lambda p: evaluate(backend, p, data, tangents, np.random.default_rng(0))["loss"][""]  # noqa: E731
    derivatives = {
        name: derivative(along(loss, params, direction))
        for name, direction in (block_directions(params, seed) if own else ())
    }
    return Answers(values, floor_from(values, evaluations, "float64"), derivatives)


def compared(seed: int, backends: Mapping[str, Simulated], *, own: bool = True) -> tuple[Pairwise, list[Finding]]:
    params, data, _ = problem(seed)
    given = {name: answers(b, seed, stream, own=own) for stream, (name, b) in enumerate(backends.items())}
    return judge_pairwise(
        given, dict(block_directions(params, seed)), dtype="float64", sizes={"rows of X": len(data["X"])}
    )
