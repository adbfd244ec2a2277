"""Functions that NumPy and those who have its names lack, in terms of its own: for NumPy and autograd.

Each side of a choice is given numbers of its own side alone: the derivative of what is not chosen is multiplied with
zero, and has to be finite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Functions = dict[str, Callable[..., Any]]


def activations(xp: Any, sigmoid: Callable[[Any], Any], hold: Callable[[Any], Any]) -> Functions:
    """What neural networks are written with.

    Args:
        xp: a namespace with NumPy's names.
        sigmoid: ``1 / (1 + e^-x)``.
        hold: an array as a constant.
    """

    def shifted(x: Any, axis: Any) -> tuple[Any, Any]:
        shift = xp.max(hold(x), axis=axis, keepdims=True)
        shift = xp.where(xp.isfinite(shift), shift, xp.zeros_like(shift))
        return x - shift, shift

    def logsumexp(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        rest, shift = shifted(x, axis)
        out = xp.log(xp.sum(xp.exp(rest), axis=axis, keepdims=keepdims))
        return out + xp.reshape(shift, xp.shape(out))

    def softmax(x: Any, axis: Any = -1) -> Any:
        powers = xp.exp(shifted(x, axis)[0])
        return powers / xp.sum(powers, axis=axis, keepdims=True)

    def log_softmax(x: Any, axis: Any = -1) -> Any:
        rest, _ = shifted(x, axis)
        return rest - xp.log(xp.sum(xp.exp(rest), axis=axis, keepdims=True))

    def softplus(x: Any) -> Any:
        return xp.logaddexp(0.0, x)

    def split(x: Any, above: Callable[[Any], Any], below: Callable[[Any], Any]) -> Any:
        positive = x > 0
        return xp.where(positive, above(xp.where(positive, x, 0.0)), below(xp.where(positive, 0.0, x)))

    def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Any:
        return split(x, lambda x: x, lambda x: negative_slope * x)

    def elu(x: Any, alpha: Any = 1.0) -> Any:
        return split(x, lambda x: x, lambda x: alpha * xp.expm1(x))

    def celu(x: Any, alpha: Any = 1.0) -> Any:
        return split(x, lambda x: x, lambda x: alpha * xp.expm1(x / alpha))

    def clipped(x: Any, low: float, high: float) -> Any:
        return xp.where(x < low, low, xp.where(x > high, high, x))

    def hard_sigmoid(x: Any) -> Any:
        return clipped(x + 3, 0.0, 6.0) / 6

    def glu(x: Any, axis: int = -1) -> Any:
        value, gate = xp.split(x, 2, axis=axis)
        return value * sigmoid(gate)

    def one_hot(labels: Any, classes: int, dtype: Any = None) -> Any:
        found = hold(labels)[..., None] == xp.arange(int(classes))
        return found.astype(xp.float32 if dtype is None else dtype)

    return {
        "celu": celu, "elu": elu, "glu": glu, "hard_sigmoid": hard_sigmoid, "leaky_relu": leaky_relu,
        "log_softmax": log_softmax, "logsumexp": logsumexp, "one_hot": one_hot, "sigmoid": sigmoid, "softmax": softmax,
        "softplus": softplus,
        "hard_silu": lambda x: x * hard_sigmoid(x),
        "hard_tanh": lambda x: clipped(x, -1.0, 1.0),
        "log_sigmoid": lambda x: -softplus(-x),
        "mish": lambda x: x * xp.tanh(softplus(x)),
        "relu": lambda x: xp.where(x > 0, x, 0.0),
        "relu6": lambda x: clipped(x, 0.0, 6.0),
        "selu": lambda x: 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717),
        "silu": lambda x: x * sigmoid(x),
        "soft_sign": lambda x: x / (1 + xp.abs(x)),
    }  # fmt: skip


def gelu(xp: Any, erf: Callable[[Any], Any]) -> Callable[..., Any]:
    """``x Phi(x)``, or its approximation by ``tanh``."""

    def function(x: Any, approximate: bool = False) -> Any:
        if approximate:
            return 0.5 * x * (1 + xp.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
        return 0.5 * x * (1 + erf(0.7071067811865476 * x))

    return function
