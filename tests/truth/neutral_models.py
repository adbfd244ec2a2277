"""Five losses as users write them, drawn at random in size and scale, for tests of the neutral truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.model_spec.problem import AnyProblem, UserProblem
from gradparity.model_spec.user_spec import UserSpec
from gradparity.truth.model.truth import neutral_reference
from gradparity.truth.reference import Reference

Loss = Callable[[Any, Any, Any], Any]


def problem_of(params: dict[str, Any], data: dict[str, Any], tangents: dict[str, Any], seed: int = 0) -> UserProblem:
    """A user's model at its parameters, wherever the model is."""
    parameters = tuple((name, value.shape, str(value.dtype)) for name, value in params.items())
    spec = UserSpec(path="model.py", parameters=parameters, forms="{}")  # type: ignore[arg-type]
    return UserProblem("drawn", spec, params, data, tangents, seed)


def certified(loss: Loss, problem: AnyProblem, budget_s: float = 5.0) -> Reference:
    """The truth of a problem as a run finds it."""
    return neutral_reference(
        loss, dict(problem.params), dict(problem.data), dict(problem.tangents), seed=problem.seed, budget_s=budget_s
    )


def logistic(p: Any, d: Any, xp: Any) -> Any:
    z = d["X"] @ (p["W"] @ p["w"])
    return xp.sum(xp.logaddexp(xp.zeros_like(z), z) - d["y"] * z) / d["X"].shape[0]


def perceptron(p: Any, d: Any, xp: Any) -> Any:
    hidden = xp.tanh(d["X"] @ p["W0"] + p["b0"])
    out = hidden @ p["W1"] + p["b1"]
    return xp.mean((out[:, 0] - d["y"]) ** 2)


def mixture(p: Any, d: Any, xp: Any) -> Any:
    logits = p["weights"] - xp.log(xp.sum(xp.exp(p["weights"])))
    gaps = (d["x"][:, None] - p["means"][None, :]) / xp.exp(p["widths"])
    terms = logits - 0.5 * gaps**2 - p["widths"]
    top = xp.max(terms, axis=1, keepdims=True)
    return -xp.sum(top[:, 0] + xp.log(xp.sum(xp.exp(terms - top), axis=1)))


def poisson(p: Any, d: Any, xp: Any) -> Any:
    rate = d["X"] @ p["w"] + p["b"]
    return xp.mean(xp.exp(rate) - d["counts"] * rate) + 0.05 * xp.sum(p["w"] * p["w"])


def gaussian_process(p: Any, d: Any, xp: Any) -> Any:
    x = d["x"]
    gaps = (x[:, None] - x[None, :]) / xp.exp(p["length"])
    K = xp.exp(p["size"]) * xp.exp(-0.5 * gaps * gaps) + xp.exp(p["noise"]) * xp.eye(x.shape[0])
    L = xp.linalg.cholesky(K)
    white = xp.linalg.solve(L, d["y"])
    return 0.5 * xp.sum(white * white) + xp.sum(xp.log(xp.diag(L)))


def draw(name: str, seed: int, shape: tuple[int, int, int] | None = None) -> tuple[Loss, UserProblem]:
    """A loss and its problem of 1 to some tens of rows, its numbers scaled by 1/10 to 3."""
    rng = np.random.default_rng([seed, 7])
    rows, features, width = shape or (int(rng.integers(1, most)) for most in (60, 8, 6))
    scale = 10 ** rng.uniform(-1, 0.5)

    def normal(*shape: int) -> np.ndarray:
        return np.asarray(scale * rng.standard_normal(shape))

    X, x = rng.standard_normal((rows, features)), rng.standard_normal(rows)
    loss: Loss
    if name == "logistic":
        loss, params = logistic, {"W": normal(features, width), "w": normal(width)}
        data = {"X": X, "y": rng.integers(0, 2, rows)}
    elif name == "perceptron":
        params = {"W0": normal(features, width), "b0": normal(width), "W1": normal(width, 1), "b1": normal(1)}
        loss, data = perceptron, {"X": X, "y": x}
    elif name == "mixture":
        params = {"weights": normal(width), "means": normal(width), "widths": normal(width) / 3}
        loss, data = mixture, {"x": x}
    elif name == "poisson":
        params = {"w": normal(features) / 3, "b": normal()}
        loss, data = poisson, {"X": X, "counts": rng.poisson(2.0, rows).astype(float)}
    else:
        params = {"size": normal(), "length": normal() / 3, "noise": -1 - abs(normal())}
        loss, data = gaussian_process, {"x": x[:25], "y": rng.standard_normal(len(x[:25]))}
    tangents = {key: np.asarray(rng.standard_normal(p.shape)) for key, p in params.items()}
    return loss, problem_of(params, data, tangents, seed)


MODELS = ("logistic", "perceptron", "mixture", "poisson", "gaussian_process")
