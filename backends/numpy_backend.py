"""NumPy: the closed form, no autodiff. What a hand derivation gives, and what the others must equal.

With ``s = c - 2 c y``, which is c or -c for labels in {0, 1}, ``m = s z``, ``r = s sigmoid(m)`` (that is
``c (sigmoid(c z) - y)`` without its cancellation) and ``g = X^T r``, the derivatives of the sum over rows are

    gradient    dw = W^T g                 dW = g w^T
    HVP         W^T q + V^T g              q w^T + g v^T      in direction (v, V)

where ``q = X^T (k * X (W v + V w))`` and ``k = c^2 sigmoid(m) sigmoid(-m)``. With ``low = exp(min(m, 0))`` and
``high = exp(-max(m, 0))``, of which one is 1 and the other ``exp(-|m|)``, softplus is ``max(m, 0) + log(1 + low high)``
and sigmoid ``low / (low + high)``: no step of either overflows or cancels.

At small sizes a call costs as many NumPy calls as it makes. Hence one array for sign and scale, two exponentials in
place of ``np.where``, and ``a.dot(b)``, which takes a third of the time of ``a @ b`` there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.protocol import Array, Data, HostArray, Loss, Params, Taps
from model_spec.spec import Logistic


@dataclass(frozen=True)
class ClosedForm:
    """The loss of a built-in model; called, it is the loss, and its methods are the derivatives."""

    spec: Logistic

    def __call__(self, params: Params, data: Data) -> Array:
        value = sum(self._nll(self._logits(params, X), y) for X, y in self._blocks(data))
        return self._penalised(self._reduce(value, data), params)

    value = __call__

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        value, g, _ = self._sums(params, data)
        gradient = self._pull_back(params, self._reduce(g, data))
        return self._penalised(self._reduce(value, data), params), self._plus_l2(gradient, params)

    def jvp(self, params: Params, data: Data, tangents: Params) -> Array:
        gradient = self.value_and_gradient(params, data)[1]
        return sum(np.vdot(gradient[name], tangents[name]) for name in gradient)

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        _, g, q = self._sums(params, data, tangents)
        product = self._pull_back(params, self._reduce(q, data))
        if "W" in params:
            g = self._reduce(g, data)
            product = {"w": product["w"] + tangents["W"].T @ g, "W": product["W"] + np.outer(g, tangents["w"])}
        return self._plus_l2(product, tangents)

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        losses = np.empty(steps, self.spec.dtype)
        for step in range(steps):
            losses[step], gradient = self.value_and_gradient(params, data)
            params = {name: value - learning_rate * gradient[name] for name, value in params.items()}
        return losses, params

    def _sums(self, params: Params, data: Data, tangents: Params | None = None) -> tuple[Array, Array, Array]:
        """Sums over rows in one pass over X: the loss, ``g = X^T r`` and, given tangents, ``q``."""
        sums = [self._block_sums(params, X, y, tangents) for X, y in self._blocks(data)]
        if len(sums) == 1:
            return sums[0]
        value, g, q = map(sum, zip(*sums, strict=True))
        return value, g, q

    def _block_sums(self, params: Params, X: Array, y: Array, tangents: Params | None) -> tuple[Array, Array, Array]:
        c = self.spec.logit_scale
        z, s = self._logits(params, X), c - 2 * c * y  # exact: c or -c
        m = s * z
        positive = np.maximum(m, 0.0)
        low, high = np.exp(np.minimum(m, 0.0)), np.exp(-positive)
        t, d = low * high, low + high  # exp(-|m|) and 1 + exp(-|m|)
        stable = self.spec.numerics == "stable"
        value = np.add.reduce(positive + np.log1p(t)) if stable else self._nll(z, y)
        g = (s * low / d).dot(X)
        return value, g, 0.0 if tangents is None else (s * s * t / d**2 * self._logits_jvp(params, tangents, X)).dot(X)

    def _logits(self, params: Params, X: Array) -> Array:
        """``z``, before its scale."""
        if "W" not in params:
            return X.dot(params["w"])
        if self.spec.formulation == "as_written":
            return X.dot(params["W"]).dot(params["w"])
        return X.dot(params["W"].dot(params["w"]))

    def _logits_jvp(self, params: Params, tangents: Params, X: Array) -> Array:
        if "W" not in params:
            return X @ tangents["w"]
        return X @ (params["W"] @ tangents["w"] + tangents["W"] @ params["w"])

    def _nll(self, z: Array, y: Array) -> Array:
        """Negative log-likelihood of some rows, summed."""
        c = self.spec.logit_scale
        if self.spec.numerics == "stable":
            m = (c - 2 * c * y) * z
            return np.add.reduce(np.maximum(m, 0.0) + np.log1p(np.exp(-np.abs(m))))
        with np.errstate(over="ignore", divide="ignore"):  # inf is what this formula gives: it is the finding
            p = 1 / (1 + np.exp(-c * z))
            return -np.log(p * y + (1 - p) * (1 - y)).sum()

    def _blocks(self, data: Data) -> list[tuple[Array, Array]]:
        X, y = data["X"], data["y"]
        step = self.spec.block_rows if self.spec.formulation == "blocked" else len(y)
        return [(X, y)] if len(y) <= step else [(X[i : i + step], y[i : i + step]) for i in range(0, len(y), step)]

    def _reduce(self, total: Array, data: Data) -> Array:
        return total / len(data["y"]) if self.spec.reduction == "mean" else total

    def _penalised(self, value: Array, params: Params) -> Array:
        return value + 0.5 * self.spec.l2 * sum(np.vdot(p, p) for p in params.values()) if self.spec.l2 else value

    def _pull_back(self, params: Params, g: Array) -> Params:
        """The gradient in the parameters of a gradient ``g`` in ``u = W w`` (or ``u = w``)."""
        return {"w": g.dot(params["W"]), "W": g[:, None].dot(params["w"][None])} if "W" in params else {"w": g}

    def _plus_l2(self, tree: Params, params: Params) -> Params:
        return {name: tree[name] + self.spec.l2 * params[name] for name in tree} if self.spec.l2 else tree


class NumpyBackend:
    """The closed form behind the protocol of the others."""

    def configure(self, threads: int) -> None:
        """Nothing to switch: BLAS takes its threads from the environment before NumPy is imported."""

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def put(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        return {name: np.array(value) for name, value in tree.items()}

    def get(self, tree: Mapping[str, Array]) -> dict[str, HostArray]:
        return {name: np.asarray(value) for name, value in tree.items()}

    def wait(self, result: Any) -> Any:
        return result

    def taps(self) -> Taps:
        from backends.taps import numpy_taps

        return numpy_taps

    def loss(self, spec: Logistic) -> Loss:
        return ClosedForm(spec)

    def program(self, loss: Loss) -> ClosedForm:
        """The closed form itself.

        Raises:
            TypeError: the loss has no closed form here; NumPy differentiates nothing.
        """
        if not isinstance(loss, ClosedForm):
            raise TypeError("numpy has no autodiff: it computes the built-in models' closed form only")
        return loss


backend = NumpyBackend()
