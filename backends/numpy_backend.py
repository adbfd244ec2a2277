"""NumPy: the closed form, no autodiff. What a hand derivation gives, and what the others must equal.

With ``s = c - 2 c y``, which is c or -c for labels in {0, 1}, ``m = s z``, ``r = s sigmoid(m)`` (that is
``c (sigmoid(c z) - y)`` without its cancellation) and ``g = X^T r``, the derivatives of the sum over rows are

    gradient    dw = W^T g                 dW = g w^T
    HVP         W^T q + V^T g              q w^T + g v^T      in direction (v, V)

where ``q = X^T (k * X (W v + V w))`` and ``k = c^2 sigmoid(m) sigmoid(-m)``.

Of few rows a call costs as many NumPy calls as it makes, of many as many exponentials and passes over rows: see
`softplus_and_sigmoid`. Hence too one array for sign and scale, ``a.dot(b)``, which takes half the time of ``a @ b`` at
small sizes, and signs that are derived from the labels once, before any clock starts, since no step changes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.special import expit

from gradparity.backends.host_arrays import HostArrays, descend
from gradparity.backends.protocol import Array, Data, Loss, NothingToRun, Params, Taps
from gradparity.model_spec.spec import Logistic

Gradient: TypeAlias = Callable[[Params, Data], Params]
Block: TypeAlias = tuple[Array, Array, Array]
Logits: TypeAlias = Callable[[Array], Array]

#: Rows up to which the two functions that compute everything anew are faster than nine calls that share an exponential.
FEW_ROWS = 600


def softplus_and_sigmoid(m: Array) -> tuple[Array, Array]:
    """``log(1 + exp(m))`` and its derivative ``1 / (1 + exp(-m))``, exact to rounding in both tails."""
    if m.size <= FEW_ROWS:
        return np.logaddexp(0.0, m), expit(m)
    t = np.abs(m)
    np.exp(np.negative(t, out=t), out=t)
    one_plus_t = t + 1.0
    softplus = np.log1p(t)
    softplus += np.maximum(m, 0.0)
    sigmoid = np.maximum(t, m >= 0, out=t)  # t <= 1: the numerator is 1 on the right and t on the left
    sigmoid /= one_plus_t
    return softplus, sigmoid


@dataclass(frozen=True)
class ClosedFormLoss:
    """The loss of a built-in model; called, it is the loss, and its methods are the derivatives."""

    spec: Logistic

    def __call__(self, params: Params, data: Data) -> Array:
        logits = self._logits(params)
        return self._finish(sum(self._nll(logits(X), y, s) for X, y, s in self._blocks(data)), params, data)

    value = __call__

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        return self._value_and_gradient(params, data, self._blocks(data))

    def jvp(self, params: Params, data: Data, tangents: Params) -> Array:
        gradient = self.value_and_gradient(params, data)[1]
        return sum(np.vdot(gradient[name], tangents[name]) for name in gradient)

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        logits, logits_jvp = self._logits(params), self._logits_jvp(params, tangents)
        blocks = self._blocks(data)
        sums = [self._cotangent_and_curvature(logits(X), logits_jvp(X), X, s) for X, _, s in blocks]
        g, q = (self._reduce(sum(each), data) for each in zip(*sums, strict=True))
        product = self._pull_back(params, q)
        if "W" in params:
            product = {"w": product["w"] + tangents["W"].T @ g, "W": product["W"] + np.outer(g, tangents["w"])}
        return self._plus_l2(product, tangents)

    def arrange(self, data: Data) -> Data:
        """With the labels' signs, which no step changes."""
        return {**data, "s": self._signs(data)}

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        blocks = self._blocks(data)

        def value_and_gradient(params: Params, data: Data) -> tuple[Array, Params]:
            return self._value_and_gradient(params, data, blocks)

        return descend(value_and_gradient, params, data, steps, learning_rate)

    def _value_and_gradient(self, params: Params, data: Data, blocks: list[Block]) -> tuple[Array, Params]:
        logits, (first, *rest) = self._logits(params), blocks
        value, g = self._value_and_cotangent(logits, *first)
        for block in rest:
            more, cotangent = self._value_and_cotangent(logits, *block)
            value, g = value + more, g + cotangent
        gradient = self._pull_back(params, self._reduce(g, data))
        return self._finish(value, params, data), self._plus_l2(gradient, params)

    def _value_and_cotangent(self, logits: Logits, X: Array, y: Array, s: Array) -> tuple[Array, Array]:
        """Of some rows: their loss, and ``X^T r``, its gradient in ``u = W w``."""
        z = logits(X)
        softplus, r = softplus_and_sigmoid(s * z)
        r *= s
        return np.add.reduce(softplus) if self.spec.numerics == "stable" else self._nll(z, y, s), r.dot(X)

    def _cotangent_and_curvature(self, z: Array, Z: Array, X: Array, s: Array) -> tuple[Array, Array]:
        """Of some rows: ``X^T r``, and its derivative along the tangents, ``X^T (k * Z)``."""
        m = s * z
        return (s * expit(m)).dot(X), (s * s * expit(m) * expit(-m) * Z).dot(X)

    def _signs(self, data: Data) -> Array:
        """``c - 2 c y``, which is exact: c or -c."""
        return self.spec.logit_scale - 2 * self.spec.logit_scale * data["y"]

    def _blocks(self, data: Data) -> list[Block]:
        """Rows that are worked on together: X, y and ``s``."""
        X, y, s = data["X"], data["y"], data["s"] if "s" in data else self._signs(data)
        if self.spec.formulation != "blocked" or len(y) <= (size := self.spec.block_rows):
            return [(X, y, s)]
        return [(X[i : i + size], y[i : i + size], s[i : i + size]) for i in range(0, len(y), size)]

    def _logits(self, params: Params) -> Logits:
        """The function from rows to ``z``, before its scale."""
        if "W" in params and self.spec.formulation == "as_written":
            return lambda X: X.dot(params["W"]).dot(params["w"])
        u = params["W"].dot(params["w"]) if "W" in params else params["w"]
        return lambda X: X.dot(u)

    def _logits_jvp(self, params: Params, tangents: Params) -> Logits:
        t = params["W"] @ tangents["w"] + tangents["W"] @ params["w"] if "W" in params else tangents["w"]
        return lambda X: X @ t

    def _nll(self, z: Array, y: Array, s: Array) -> Array:
        """Negative log-likelihood of some rows, summed."""
        if self.spec.numerics == "stable":
            return np.add.reduce(np.logaddexp(0.0, s * z))
        with np.errstate(over="ignore", divide="ignore"):  # inf is what this formula gives: it is the finding
            p = 1 / (1 + np.exp(-self.spec.logit_scale * z))
            return -np.log(p * y + (1 - p) * (1 - y)).sum()

    def _finish(self, total: Array, params: Params, data: Data) -> Array:
        value = self._reduce(total, data)
        return value + 0.5 * self.spec.l2 * sum(np.vdot(p, p) for p in params.values()) if self.spec.l2 else value

    def _reduce(self, total: Array, data: Data) -> Array:
        return total / len(data["y"]) if self.spec.reduction == "mean" else total

    def _pull_back(self, params: Params, g: Array) -> Params:
        """The gradient in the parameters of a gradient ``g`` in ``u = W w`` (or ``u = w``)."""
        return {"w": g.dot(params["W"]), "W": g[:, None].dot(params["w"][None])} if "W" in params else {"w": g}

    def _plus_l2(self, tree: Params, params: Params) -> Params:
        return {name: tree[name] + self.spec.l2 * params[name] for name in tree} if self.spec.l2 else tree


class HandWritten:
    """A loss of the user's with the gradient that the user derived: first order, and no more than that."""

    jvp = None
    hvp = None

    def __init__(self, loss: Loss, gradient: Gradient) -> None:
        self.value = loss
        self.gradient = gradient

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        return self.value(params, data), self.gradient(params, data)

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        return descend(self.value_and_gradient, params, data, steps, learning_rate)


class NumpyBackend(HostArrays):
    """The closed form behind the protocol of the others."""

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def taps(self) -> Taps:
        from gradparity.backends.taps import numpy_taps

        return numpy_taps

    def loss(self, spec: Logistic) -> Loss:
        return ClosedFormLoss(spec)

    def namespace(self) -> Any:
        from gradparity.backends.names import numpy_names, widened

        return widened(np, numpy_names.NAMES, numpy_names.OURS)

    def program(self, loss: Loss) -> ClosedFormLoss | HandWritten:
        """The closed form itself, or a user's loss with its hand-written gradient.

        Raises:
            NothingToRun: the loss has neither; NumPy differentiates nothing.
        """
        if isinstance(loss, ClosedFormLoss):
            return loss
        gradient = getattr(loss, "gradient", None)
        if gradient is None:
            raise NothingToRun("numpy has no autodiff, and the model has no gradient(params, data) written by hand")
        return HandWritten(loss, gradient)


backend = NumpyBackend()
