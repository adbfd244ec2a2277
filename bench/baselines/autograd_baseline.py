"""HIPS autograd: as its examples are written, as they are with ``logaddexp``, and with the loss as one primitive.

Reference: examples/logistic_regression.py of HIPS/autograd, and its tutorial's section on extending autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import autograd.numpy as np
import numpy as onp
from autograd import value_and_grad
from autograd.extend import defvjp, primitive
from scipy.special import expit

from gradparity.benchmark.baselines import Arrays, Baseline

#: Loss of rows with logits ``z``.
Rows = Callable[[Any, Any], Any]


def example(z: Any, y: Any) -> Any:
    """The example's loss: the probability of each label, then its logarithm."""
    p = 0.5 * (np.tanh(z / 2) + 1)
    return -np.sum(np.log(p * y + (1 - p) * (1 - y)))


def logaddexp(z: Any, y: Any) -> Any:
    """The stable loss in autograd's own functions."""
    return np.sum(np.logaddexp(0, z) - y * z)


@primitive
def one_primitive(z: Any, y: Any) -> Any:
    """Sigmoid cross-entropy as one node of the tape, its derivative stated."""
    return onp.sum(onp.logaddexp(0, z) - y * z)


defvjp(one_primitive, lambda _, z, y: lambda g: g * (expit(z) - y), None)


def baselines(formulation: str, params: Arrays, data: Arrays, block_rows: int) -> Iterator[Baseline]:
    """``value_and_grad`` of each loss, over blocks of rows where those are asked for."""
    for rows in (example, logaddexp, one_primitive):
        yield _baseline(rows, formulation, params, data, block_rows)


def _baseline(rows: Rows, formulation: str, params: Arrays, data: Arrays, block_rows: int) -> Baseline:
    def loss(params: Arrays, X: Any, y: Any) -> Any:
        if formulation == "as_written":
            z = np.dot(np.dot(X, params["W"]), params["w"])
        else:
            z = np.dot(X, np.dot(params["W"], params["w"]))
        return rows(z, y)

    gradient_of = value_and_grad(loss)
    X, y = data["X"], data["y"]

    def value_and_gradient(params: Arrays) -> tuple[Any, Arrays]:
        if formulation != "blocked":
            value, gradient = gradient_of(params, X, y)
            return value, gradient
        total, sums = 0.0, {name: onp.zeros_like(value) for name, value in params.items()}
        for i in range(0, len(y), block_rows):
            value, gradient = gradient_of(params, X[i : i + block_rows], y[i : i + block_rows])
            total += value
            for name in sums:
                sums[name] += gradient[name]
        return total, sums

    def loop(steps: int, learning_rate: float) -> tuple[Any, Arrays]:
        at, losses = params, []
        for _ in range(steps):
            value, gradient = value_and_gradient(at)
            losses.append(value)
            at = {name: at[name] - learning_rate * gradient[name] for name in at}
        return onp.array(losses), at

    return Baseline(name=getattr(rows, "__name__", "one_primitive"), step=lambda: value_and_gradient(params), loop=loop)
