"""NumPy by hand: the derivation on paper, line by line.

With ``r = sigmoid(z) - y`` and ``g = X^T r``: ``dw = W^T g``, ``dW = g w^T``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import expit

from gradparity.benchmark.baselines import Arrays, Baseline

#: Loss of rows with logits ``z``, and its derivative in ``z``.
Rows = Callable[[Any, Any], tuple[Any, Any]]


def textbook(z: Any, y: Any) -> tuple[Any, Any]:
    """As it is usually written; overflows for large |z|."""
    p = 1 / (1 + np.exp(-z))
    return -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)), p - y


def scipy_special(z: Any, y: Any) -> tuple[Any, Any]:
    """With the functions that NumPy and SciPy have for it."""
    return np.sum(np.logaddexp(0, z) - y * z), expit(z) - y


def one_exponential(z: Any, y: Any) -> tuple[Any, Any]:
    """With one exponential for both, which does not overflow."""
    t = np.exp(-np.abs(z))
    loss = np.sum(np.maximum(z, 0) + np.log1p(t) - y * z)
    return loss, np.where(z >= 0, 1, t) / (1 + t) - y


def signs_once(z: Any, s: Any) -> tuple[Any, Any]:
    """With labels as signs, 1 for 0 and -1 for 1, made of them once: two functions of one product."""
    m = s * z
    return np.add.reduce(np.logaddexp(0, m)), s * expit(m)


def value_and_gradient(
    rows: Rows, formulation: str, w: Any, W: Any, X: Any, y: Any, block: int
) -> tuple[Any, Any, Any]:
    """Loss, ``dw`` and ``dW``."""
    if formulation == "as_written":
        loss, r = rows(X @ W @ w, y)
        g = X.T @ r
    elif formulation == "reassociated":
        loss, r = rows(X @ (W @ w), y)
        g = X.T @ r
    else:
        u = W @ w
        loss, g = 0.0, np.zeros_like(u)
        for i in range(0, len(y), block):
            Xi = X[i : i + block]
            part, r = rows(Xi @ u, y[i : i + block])
            loss += part
            g += Xi.T @ r
    return loss, W.T @ g, np.outer(g, w)


def baselines(formulation: str, params: Arrays, data: Arrays, block_rows: int) -> Iterator[Baseline]:
    """The same derivation with three ways of writing softplus and sigmoid, and with labels that are signs."""
    X, y = data["X"], data["y"]
    for rows in (textbook, scipy_special, one_exponential):
        yield _baseline(rows, formulation, params, X, y, block_rows)
    yield _baseline(signs_once, formulation, params, X, 1 - 2 * y, block_rows)


def _baseline(rows: Rows, formulation: str, params: Arrays, X: Any, y: Any, block_rows: int) -> Baseline:
    def step() -> tuple[Any, Arrays]:
        loss, dw, dW = value_and_gradient(rows, formulation, params["w"], params["W"], X, y, block_rows)
        return loss, {"w": dw, "W": dW}

    def loop(steps: int, learning_rate: float) -> tuple[Any, Arrays]:
        w, W = params["w"].copy(), params["W"].copy()
        losses = np.empty(steps)
        for i in range(steps):
            losses[i], dw, dW = value_and_gradient(rows, formulation, w, W, X, y, block_rows)
            w -= learning_rate * dw
            W -= learning_rate * dW
        return losses, {"w": w, "W": W}

    return Baseline(name=rows.__name__, step=step, loop=loop)
