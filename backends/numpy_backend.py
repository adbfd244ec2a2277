"""NumPy: the closed form, no autodiff. What a hand derivation gives, and what the others must equal.

With ``s = 1 - 2 y``, ``m = s c z``, ``r = s c sigmoid(m)`` (for labels in {0, 1} this is ``c (sigmoid(c z) - y)``
without its cancellation) and ``g = X^T r``, the derivatives of the sum over rows are

    gradient    dw = W^T g                 dW = g w^T
    HVP         W^T q + V^T g              q w^T + g v^T      in direction (v, V)

where ``q = X^T (k * X (W v + V w))`` and ``k = c^2 sigmoid(m) sigmoid(-m)``. One exponential of ``-|m|`` gives
softplus, sigmoid and ``k``, and no step of it overflows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.protocol import Array, Data, HostArray, Loss, Params
from model_spec.spec import Logistic


@dataclass(frozen=True)
class ClosedForm:
    """The loss of a built-in model; called, it is the loss, and its methods are the derivatives."""

    spec: Logistic

    def __call__(self, params: Params, data: Data) -> Array:
        value = sum(self._nll(self._logits(params, X), y).sum() for X, y in self._blocks(data))
        penalty = sum(np.vdot(p, p) for p in params.values())
        return self._reduce(value, data) + 0.5 * self.spec.l2 * penalty

    value = __call__

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        value, g, _ = self._sums(params, data)
        penalty = sum(np.vdot(p, p) for p in params.values())
        gradient = self._pull_back(params, self._reduce(g, data))
        return self._reduce(value, data) + 0.5 * self.spec.l2 * penalty, self._plus_l2(gradient, params)

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
        value, g, q, c = 0.0, 0.0, 0.0, self.spec.logit_scale
        for X, y in self._blocks(data):
            z = self._logits(params, X)
            s = 1 - 2 * y
            m = s * (c * z)
            t = np.exp(-np.abs(m))
            value += (self._nll(z, y) if self.spec.numerics == "naive" else np.maximum(m, 0) + np.log1p(t)).sum()
            g = g + (c * s * np.where(m >= 0, 1, t) / (1 + t)) @ X
            if tangents is not None:
                q = q + (c * c * t / (1 + t) ** 2 * self._logits_jvp(params, tangents, X)) @ X
        return value, g, q

    def _logits(self, params: Params, X: Array) -> Array:
        if "W" not in params:
            return X @ params["w"]
        if self.spec.formulation == "as_written":
            return (X @ params["W"]) @ params["w"]
        return X @ (params["W"] @ params["w"])

    def _logits_jvp(self, params: Params, tangents: Params, X: Array) -> Array:
        if "W" not in params:
            return X @ tangents["w"]
        return X @ (params["W"] @ tangents["w"] + tangents["W"] @ params["w"])

    def _nll(self, z: Array, y: Array) -> Array:
        """Negative log-likelihood of each row."""
        logits = self.spec.logit_scale * z
        if self.spec.numerics == "stable":
            m = (1 - 2 * y) * logits
            return np.maximum(m, 0) + np.log1p(np.exp(-np.abs(m)))
        with np.errstate(over="ignore", divide="ignore"):  # inf is what this formula gives: it is the finding
            p = 1 / (1 + np.exp(-logits))
            return -np.log(p * y + (1 - p) * (1 - y))

    def _blocks(self, data: Data) -> Iterator[tuple[Array, Array]]:
        X, y = data["X"], data["y"]
        step = self.spec.block_rows if self.spec.formulation == "blocked" else len(y)
        return ((X[i : i + step], y[i : i + step]) for i in range(0, len(y), step))

    def _reduce(self, total: Array, data: Data) -> Array:
        return total / len(data["y"]) if self.spec.reduction == "mean" else total

    def _pull_back(self, params: Params, g: Array) -> Params:
        """The gradient in the parameters of a gradient ``g`` in ``u = W w`` (or ``u = w``)."""
        return {"w": params["W"].T @ g, "W": np.outer(g, params["w"])} if "W" in params else {"w": g}

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
