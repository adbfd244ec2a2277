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

from gradparity.benchmark.baselines import Arrays, Baseline, descending, summed

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


@primitive
def signs_once(z: Any, s: Any) -> Any:
    """The same of labels as signs, 1 for 0 and -1 for 1, made of them once."""
    return onp.add.reduce(onp.logaddexp(0, s * z))


defvjp(one_primitive, lambda _, z, y: lambda g: g * (expit(z) - y), None)
defvjp(signs_once, lambda _, z, s: lambda g: g * (s * expit(s * z)), None)


def baselines(formulation: str, params: Arrays, data: Arrays, block_rows: int) -> Iterator[Baseline]:
    """``value_and_grad`` of each loss, over blocks of rows where those are asked for."""
    X, y = data["X"], data["y"]
    size = block_rows if formulation == "blocked" else len(y)
    blocks = [(X[i : i + size], y[i : i + size]) for i in range(0, len(y), size)]
    signed = [(X, 1 - 2 * y) for X, y in blocks]
    for rows, batches in ((example, blocks), (logaddexp, blocks), (one_primitive, blocks), (signs_once, signed)):
        gradient_of = value_and_grad(loss_of(rows, formulation))
        yield descending(rows.__name__, summed(gradient_of, batches), params, onp.array)


def loss_of(rows: Rows, formulation: str) -> Callable[[Arrays, Any, Any], Any]:
    """The loss of some rows as a function of the parameters."""

    def loss(params: Arrays, X: Any, y: Any) -> Any:
        if formulation == "as_written":
            return rows(np.dot(np.dot(X, params["W"]), params["w"]), y)
        return rows(np.dot(X, np.dot(params["W"], params["w"])), y)

    return loss
