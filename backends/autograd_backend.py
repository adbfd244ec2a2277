"""HIPS autograd: NumPy code, traced.

``softplus`` and ``sigmoid`` are primitives with their derivatives stated. autograd tapes every NumPy call, so one
node for the pair in place of seven is also most of the speed to be had at small sizes, and the derivatives
``softplus' = sigmoid`` and ``sigmoid'(m) = sigmoid(m) sigmoid(-m)`` keep full relative accuracy in both tails,
where ``p (1 - p)`` cancels to zero from m = 37 on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_hvp, make_jvp, value_and_grad
from autograd.extend import defjvp, defvjp, primitive
from scipy.special import expit

from backends.protocol import Array, Data, HostArray, Loss, Params
from model_spec.spec import Logistic


@primitive
def sigmoid(m: Array) -> Array:
    """``1 / (1 + exp(-m))``."""
    return expit(m)


@primitive
def softplus(m: Array) -> Array:
    """``log(1 + exp(m))``, exact to rounding in both tails."""
    return np.maximum(m, 0) + np.log1p(np.exp(-np.abs(m)))


defvjp(sigmoid, lambda ans, m: lambda g: g * ans * sigmoid(-m))
defjvp(sigmoid, lambda g, ans, m: g * ans * sigmoid(-m))
defvjp(softplus, lambda ans, m: lambda g: g * sigmoid(m))
defjvp(softplus, lambda g, ans, m: g * sigmoid(m))


class BuiltInLoss:
    """The built-in model as a loss; under ``blocked`` with a gradient that reads X once."""

    def __init__(self, spec: Logistic) -> None:
        self.spec = spec

    def __call__(self, params: Params, data: Data) -> Array:
        total = sum(self.nll(params, X, y) for X, y in self.blocks(data))
        return self.finish(total, params, data)

    def blocked_value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        """Value and gradient block by block, so that the backward pass finds its rows still in the cache."""
        total: Array = 0.0
        cotangent = {name: np.zeros_like(value) for name, value in params.items()}
        for X, y in self.blocks(data):
            value, gradient = value_and_grad(self.nll)(params, X, y)
            total += value
            for name in cotangent:
                cotangent[name] += gradient[name]
        scale = 1 / len(data["y"]) if self.spec.reduction == "mean" else 1.0
        gradient = {name: scale * cotangent[name] + self.spec.l2 * params[name] for name in params}
        return self.finish(total, params, data), gradient

    def finish(self, total: Array, params: Params, data: Data) -> Array:
        value = total / len(data["y"]) if self.spec.reduction == "mean" else total
        if self.spec.l2:
            value = value + 0.5 * self.spec.l2 * sum(anp.sum(p * p) for p in params.values())
        return value

    def nll(self, params: Params, X: Array, y: Array) -> Array:
        """Negative log-likelihood of some rows."""
        if "W" not in params:
            z = anp.dot(X, params["w"])
        elif self.spec.formulation == "as_written":
            z = anp.dot(anp.dot(X, params["W"]), params["w"])
        else:
            z = anp.dot(X, anp.dot(params["W"], params["w"]))
        logits = self.spec.logit_scale * z
        if self.spec.numerics == "stable":
            return anp.sum(softplus((1 - 2 * y) * logits))
        p = 1 / (1 + anp.exp(-logits))
        return -anp.sum(anp.log(p * y + (1 - p) * (1 - y)))

    def blocks(self, data: Data) -> Iterator[tuple[Array, Array]]:
        X, y = data["X"], data["y"]
        step = self.spec.block_rows if self.spec.formulation == "blocked" else len(y)
        return ((X[i : i + step], y[i : i + step]) for i in range(0, len(y), step))


class AutogradProgram:
    """Derivatives by autograd's own operators; dictionaries of arrays are differentiated as they are."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.value = loss
        self.value_and_gradient = value_and_grad(loss)
        if isinstance(loss, BuiltInLoss) and loss.spec.formulation == "blocked":
            self.value_and_gradient = loss.blocked_value_and_gradient

    def jvp(self, params: Params, data: Data, tangents: Params) -> Array:
        return make_jvp(self.loss)(params, data)(tangents)[1]

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        return make_hvp(self.loss)(params, data)[0](tangents)

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        losses = []
        for _ in range(steps):
            value, gradient = self.value_and_gradient(params, data)
            losses.append(value)
            params = {name: value - learning_rate * gradient[name] for name, value in params.items()}
        return np.array(losses), params


class AutogradBackend:
    """HIPS autograd behind the protocol."""

    def configure(self, threads: int) -> None:
        """Nothing to switch: NumPy's BLAS takes its threads from the environment."""

    def versions(self) -> dict[str, str]:
        return {"autograd": version("autograd"), "numpy": np.__version__}

    def put(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        return {name: np.array(value) for name, value in tree.items()}

    def get(self, tree: Mapping[str, Array]) -> dict[str, HostArray]:
        return {name: np.asarray(value) for name, value in tree.items()}

    def wait(self, result: Any) -> Any:
        return result

    def loss(self, spec: Logistic) -> Loss:
        return BuiltInLoss(spec)

    def program(self, loss: Loss) -> AutogradProgram:
        return AutogradProgram(loss)


backend = AutogradBackend()
