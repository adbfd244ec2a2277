"""HIPS autograd: NumPy code, traced.

autograd tapes every NumPy call, and at small sizes the nodes of the tape are the time: the likelihood of all rows is
therefore one primitive. The derivatives ``softplus' = sigmoid`` and ``sigmoid'(m) = sigmoid(m) sigmoid(-m)``, stated
for it and for its parts, keep full relative accuracy in both tails, where ``p (1 - p)`` cancels to zero from m = 37 on.
Under ``blocked`` only ``u = W w`` is taped in each block, and pulled back to the parameters once.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_hvp, make_jvp, value_and_grad
from autograd.extend import defjvp, defvjp, primitive
from autograd.tracer import Node, trace
from scipy.special import expit

from gradparity.backends.host_arrays import HostArrays, descend
from gradparity.backends.protocol import Array, Data, Loss, Params, Taps
from gradparity.backends.traces import Recorder
from gradparity.model_spec.spec import Logistic


@primitive
def sigmoid(m: Array) -> Array:
    """``1 / (1 + exp(-m))``."""
    return expit(m)


@primitive
def softplus(m: Array) -> Array:
    """``log(1 + exp(m))``, exact to rounding in both tails."""
    return np.maximum(m, 0.0) + np.log1p(np.exp(-np.abs(m)))


@primitive
def summed_softplus(z: Array, s: Array) -> Array:
    """``sum_i softplus(s_i z_i)``."""
    return np.add.reduce(softplus.fun(s * z))  # the function under the primitive


defvjp(sigmoid, lambda ans, m: lambda g: g * ans * sigmoid(-m))
defjvp(sigmoid, lambda g, ans, m: g * ans * sigmoid(-m))
defvjp(softplus, lambda ans, m: lambda g: g * sigmoid(m))
defjvp(softplus, lambda g, ans, m: g * sigmoid(m))
defvjp(summed_softplus, lambda ans, z, s: lambda g: g * (s * sigmoid(s * z)), None)
defjvp(summed_softplus, lambda g, ans, z, s: anp.sum(g * (s * sigmoid(s * z))))


class BuiltInLoss:
    """The built-in model as a loss; under ``blocked`` with a gradient that reads X once."""

    def __init__(self, spec: Logistic) -> None:
        self.spec = spec

    def __call__(self, params: Params, data: Data) -> Array:
        X = data["X"]
        if self.spec.formulation == "as_written" and "W" in params:
            z = anp.dot(anp.dot(X, params["W"]), params["w"])
        else:
            z = anp.dot(X, direction(params))
        return self.finish(self.nll(z, data), params, data)

    def blocked_value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        """Value and gradient block by block, so that the backward pass finds its rows still in the cache."""
        size, count, u = self.spec.block_rows, len(data["y"]), direction(params)
        block = value_and_grad(lambda u, rows: self.nll(anp.dot(rows["X"], u), rows))
        total, g = 0.0, 0.0
        for i in range(0, count, size):
            value, cotangent = block(u, {name: each[i : i + size] for name, each in data.items()})
            total, g = total + value, g + cotangent
        # <g, u> has the data term's gradient in the parameters, and finish() its scale and its penalty.
        surrogate = value_and_grad(lambda params: self.finish(anp.dot(g, direction(params)), params, data))
        return self.finish(total, params, data), surrogate(params)[1]

    def nll(self, z: Array, rows: Data) -> Array:
        """Negative log-likelihood of rows with projections ``z``, summed."""
        if self.spec.numerics == "stable":
            return summed_softplus(z, rows["s"] if "s" in rows else self.signs(rows))
        y = rows["y"]
        p = 1 / (1 + anp.exp(-self.spec.logit_scale * z))
        return -anp.sum(anp.log(p * y + (1 - p) * (1 - y)))

    def signs(self, rows: Data) -> Array:
        """``c - 2 c y``, which is c or -c."""
        return self.spec.logit_scale - 2 * self.spec.logit_scale * rows["y"]

    def finish(self, total: Array, params: Params, data: Data) -> Array:
        value = total / len(data["y"]) if self.spec.reduction == "mean" else total
        if self.spec.l2:
            value = value + 0.5 * self.spec.l2 * sum(anp.sum(p * p) for p in params.values())
        return value


def direction(params: Params) -> Array:
    """``u``, what the rows of X are projected on: ``W w``, or ``w`` where there is no projection."""
    return anp.dot(params["W"], params["w"]) if "W" in params else params["w"]


class AutogradProgram:
    """Derivatives by autograd's own operators; dictionaries of arrays are differentiated as they are."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.value = loss
        self.value_and_gradient = whole = value_and_grad(loss)
        if isinstance(loss, BuiltInLoss) and loss.spec.formulation == "blocked":

            def by_blocks(params: Params, data: Data) -> tuple[Array, Params]:
                one = len(data["y"]) <= loss.spec.block_rows
                return whole(params, data) if one else loss.blocked_value_and_gradient(params, data)

            self.value_and_gradient = by_blocks

    def arrange(self, data: Data) -> Data:
        """Of the built-in model with the labels' signs, which no step changes."""
        return {**data, "s": self.loss.signs(data)} if isinstance(self.loss, BuiltInLoss) else data

    def jvp(self, params: Params, data: Data, tangents: Params) -> Array:
        value, slope = make_jvp(self.loss)(params, data)(tangents)
        return np.asarray(slope, np.asarray(value).dtype)  # scalars of float32 come out as float64

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        return make_hvp(self.loss)(params, data)[0](tangents)

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        return descend(self.value_and_gradient, params, data, steps, learning_rate)


class AutogradBackend(HostArrays):
    """HIPS autograd behind the protocol."""

    def versions(self) -> dict[str, str]:
        return {"autograd": version("autograd"), "numpy": np.__version__}

    def dtypes(self, loss: Loss, params: Params, data: Data) -> set[str]:
        """Of every value on the way from the parameters to the loss."""
        found: set[str] = set()

        class Look(Node):  # type: ignore[misc]
            def __init__(self, value: Any, *_: Any) -> None:
                found.add(str(getattr(value, "dtype", "")))

            def initialize_root(self, *_: Any) -> None:
                pass

        trace(Look.new_root(), lambda leaves: loss(leaves, data), params)
        return found

    def taps(self) -> Taps:
        from gradparity.backends.taps import autograd_taps

        return autograd_taps

    def recorder(self) -> Recorder:
        from gradparity.backends.traces import autograd_trace

        return autograd_trace

    def elementwise(self, f: Callable[[Array, Array], Array]) -> dict[str, Callable[..., Any]]:
        from gradparity.backends.elementwise.autograd_elementwise import derivatives

        return derivatives(f)

    def own_names(self) -> Any:
        from gradparity.backends.elementwise.autograd_elementwise import own_names

        return own_names()

    def loss(self, spec: Logistic) -> Loss:
        return BuiltInLoss(spec)

    def namespace(self) -> Any:
        from gradparity.backends.names import autograd_names, widened

        return widened(anp, autograd_names.NAMES, autograd_names.OURS)

    def program(self, loss: Loss) -> AutogradProgram:
        return AutogradProgram(loss)


backend = AutogradBackend()
