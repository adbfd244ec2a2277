"""The standard stress suite: named problems at the edges of the built-in models, each with a line of why. Pure.

Most share one small shape and four specifications, so that a compiler's work is reused: JAX compiles three programs for
each of some twenty pairs of shape and specification, about 20 s in all. A backend that goes through a C++ compiler gets
only the problems marked ``compiled``: three specifications, since each costs it tens of seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import DType, Logistic, ProjectedLogistic

Array = npt.NDArray[Any]

#: Rows, features and projection of every problem that is not about its shape.
SHAPE = (8, 4, 3)
DTYPES: tuple[DType, ...] = ("float64", "float32")
#: What the suite says where naive numerics are expected to fail.
NAIVE = "naive fails here, stable holds"


@dataclass(frozen=True)
class StressProblem:
    """A problem and why it is one; ``expected`` is what it is there to show where that is a failure."""

    problem: Problem
    why: str
    expected: str = ""
    compiled: bool = False

    @property
    def name(self) -> str:
        """Name, which with the dtype is unique in the suite."""
        return self.problem.name


def stress_problems(seed: int = 0) -> list[StressProblem]:
    """The suite, in the order of its table; the same for a seed."""
    return [
        *_extreme_logits(seed),
        *_awkward_data(seed),
        *_tiny_shapes(seed),
        *_formulations(seed),
        *_options(seed),
        *_naive(seed),
    ]


def _extreme_logits(seed: int) -> Iterator[StressProblem]:
    for dtype in DTYPES:
        spec, smallest = _spec(dtype=dtype), 1e-300 if dtype == "float64" else 1e-37
        for logit, why in (
            (0.0, "every row is on the decision boundary, where branches meet"),
            (smallest, "softplus and sigmoid must not lose log 2 and 1/2 next to it"),
            (-smallest, "the same from the other side"),
            (40.0, "1 - p cancels to zero from 37 on; the gradient does not (jax-ml/jax#40342)"),
            (-40.0, "the other tail: labels of both kinds, so each row has its own"),
            (800.0, "exp overflows from 710 on, the loss does not"),
            (-800.0, "the other tail"),
        ):
            yield StressProblem(_at_logit(spec, f"logits {logit:+g}", logit, seed), why, compiled=True)


def _awkward_data(seed: int) -> Iterator[StressProblem]:
    for dtype in DTYPES:
        spec, tiny = _spec(dtype=dtype), float(np.finfo(dtype).tiny)
        X, y, params = _draw(spec, SHAPE[0], seed)
        second = np.arange(spec.features) == 1
        tiny_second = np.where(second, tiny / 64, 1)
        apart = 10.0 ** np.linspace(-6, 6.1, spec.features)
        separable = X[:, :1] + 2 * np.sign(X[:, :1])
        subnormal = params | {"W": params["W"] * tiny_second[:, None]}
        for name, why, data, labels, at in (
            ("zero column", "its gradient is exactly zero", X * ~second, y, params),
            ("duplicate columns", "equal columns must get equal gradients", X[:, [0, 1, 0, 1]], y, params),
            ("features over 1e12 apart", "products of 1e-6 and 1e6 in one sum", X * apart, y, _tamed(params, apart)),
            ("subnormal features", "may be flushed to zero, and nothing else", X * tiny_second, y, params),
            ("subnormal parameters", "may be flushed to zero, and nothing else", X, y, subnormal),
            ("separable data", "the residuals vanish, their digits do not",
             np.hstack([separable, X[:, 1:]]), (separable[:, 0] > 0) * 1.0, _direction(params, 20.0)),
        ):  # fmt: skip
            yield StressProblem(_problem(name, spec, data, labels, at, seed), why, compiled=True)


def _tiny_shapes(seed: int) -> Iterator[StressProblem]:
    S, F, L = SHAPE
    for dtype in DTYPES:
        for name, shape, why in (
            ("S = 1", (1, F, L), "a single row: sums that squeeze an axis away show"),
            ("F = 1", (S, 1, L), "a single feature"),
            ("L = 1", (S, F, 1), "a projection to a single column"),
            ("S = F = L = 1", (1, 1, 1), "scalars in disguise"),
        ):
            spec = _spec(features=shape[1], projection=shape[2], dtype=dtype)
            yield StressProblem(_problem(name, spec, *_draw(spec, shape[0], seed), seed), why)
        plain = Logistic(features=F, dtype=dtype)
        drawn = _problem("no projection", plain, *_draw(plain, S, seed), seed)
        yield StressProblem(drawn, "plain logistic regression")
        why = "the Hessian is p (1 - p) and nothing else: zero where that cancels"
        yield StressProblem(_at_logit(plain, "no projection, logits +40", 40.0, seed), why)


def _formulations(seed: int) -> Iterator[StressProblem]:
    for formulation in ("reassociated", "blocked"):
        for dtype in DTYPES:
            spec = _spec(formulation=formulation, dtype=dtype)
            X, y, params = _draw(spec, SHAPE[0], seed)
            apart = 10.0 ** np.linspace(-6, 6.1, spec.features)
            yield StressProblem(_problem(formulation, spec, X, y, params, seed), "another order of the products")
            yield StressProblem(_at_logit(spec, f"{formulation}, logits -800", -800.0, seed), "the same at its edge")
            yield StressProblem(
                _problem(f"{formulation}, 1e12 apart", spec, X * apart, y, _tamed(params, apart), seed),
                "another order of unequal products",
            )
    spec = _spec(features=64, projection=2, formulation="blocked", reduction="mean", block_bytes=2**19)
    rows = 2 * spec.block_rows + 1
    why = "two blocks, and one row left for the third"
    yield StressProblem(_problem("three blocks", spec, *_draw(spec, rows, seed), seed), why)


def _options(seed: int) -> Iterator[StressProblem]:
    for dtype in DTYPES:
        spec = _spec(reduction="mean", l2=0.1, logit_scale=-0.7, dtype=dtype)
        why = "neither 0.1 nor -0.7 nor 1/S is a number of either dtype"
        yield StressProblem(_problem("mean, l2 and c = -0.7", spec, *_draw(spec, 7, seed), seed), why)


def _naive(seed: int) -> Iterator[StressProblem]:
    spec = _spec(numerics="naive")
    for logit in (40.0, 800.0):
        problem = _at_logit(spec, f"naive, logits {logit:+g}", logit, seed)
        yield StressProblem(problem, "log of a probability that rounded to 0", NAIVE, compiled=True)


def _spec(**options: Any) -> ProjectedLogistic:
    return ProjectedLogistic(**{"features": SHAPE[1], "projection": SHAPE[2], **options})


def _draw(spec: Logistic, rows: int, seed: int) -> tuple[Array, Array, dict[str, Array]]:
    """Normal features, labels in turn, normal parameters."""
    rng = np.random.default_rng([seed, 6])
    X = rng.standard_normal((rows, spec.features))
    return X, np.arange(rows) % 2.0, {name: rng.standard_normal(shape) for name, shape in spec.shapes.items()}


def _direction(params: dict[str, Array], length: float) -> dict[str, Array]:
    """Parameters with ``W w = (length, 0, ..., 0)``, or such a w, exactly; other columns of W as they were."""
    w = np.zeros_like(params["w"])
    if "W" not in params:
        w[0] = length
        return {"w": w}
    W = params["W"].copy()
    w[0], W[:, 0] = 1, 0
    W[0, 0] = length
    return {"w": w, "W": W}


def _at_logit(spec: Logistic, name: str, logit: float, seed: int) -> Problem:
    """Every row's logit is exactly that; labels of both kinds, so both tails are there."""
    X, y, params = _draw(spec, SHAPE[0], seed)
    X[:, 0] = 1
    return _problem(name, spec, X, y, _direction(params, logit), seed)


def _tamed(params: dict[str, Array], scales: Array) -> dict[str, Array]:
    """Parameters that bring features of such scales back to logits of order one."""
    return params | {"W": params["W"] / scales[:, None]}


def _problem(name: str, spec: Logistic, X: Array, y: Array, params: dict[str, Array], seed: int) -> Problem:
    problem = make_problem(name, spec, X, y, seed=seed)
    return replace(problem, params={key: np.asarray(value, spec.dtype) for key, value in params.items()})
