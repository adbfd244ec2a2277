"""What neural networks are written with: activations, softmax and its logarithm, labels as rows of zeros and ones.

All are composed of smooth functions and choices of the namespace, so that every arithmetic has them, by formulas that
do not cancel: ``gelu`` by the complementary error function, ``softmax`` shifted by a constant. Where an evaluation
rounds it rounds what frameworks round.

Reference: D. Hendrycks and K. Gimpel, "Gaussian error linear units", arXiv:1606.08415; P. Blanchard, D. J. Higham and
N. J. Higham, "Accurately computing the log-sum-exp and softmax functions", IMA J. Numer. Anal. 41 (2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import exact, middles
from gradparity.truth.numbers.context import current
from gradparity.truth.numbers.notes import refuse
from gradparity.truth.xp.arithmetic import add, divide, multiply, negative, subtract
from gradparity.truth.xp.kinks import absolute, choose, clip, compare, require_decided_whole
from gradparity.truth.xp.powers import sqrt
from gradparity.truth.xp.reductions import Axis
from gradparity.truth.xp.reductions import sum as sum_over
from gradparity.truth.xp.smooth import erf, erfc, exp, expm1, log, log_sigmoid, sigmoid, softplus, tanh

#: Of self-normalising networks (Klambauer and others, arXiv:1706.02515), as the doubles that frameworks have.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _shifted(x: Array, axis: Axis) -> tuple[Array, Array]:
    """``x - c`` and ``c``, constant near the largest element over the axes, so that no exponential overflows."""
    largest = middles(x.balls()[0]).max(axis, keepdims=True)
    shift = Array((exact(np.where(np.isfinite(largest), largest, 0)),))
    return subtract(x, shift), shift


def logsumexp(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """``log sum e^x`` over the axes."""
    x = asarray(x)
    shifted, shift = _shifted(x, axis)
    logs = log(sum_over(exp(shifted), axis, keepdims=keepdims))
    return add(logs, shift.map(lambda c: c.reshape(logs.shape)))


def softmax(x: Any, axis: Axis = -1) -> Array:
    """``e^x / sum e^x`` along the axes."""
    powers = exp(_shifted(asarray(x), axis)[0])
    return divide(powers, sum_over(powers, axis, keepdims=True))


def log_softmax(x: Any, axis: Axis = -1) -> Array:
    """``x - log sum e^x`` along the axes."""
    shifted, _ = _shifted(asarray(x), axis)
    return subtract(shifted, log(sum_over(exp(shifted), axis, keepdims=True)))


def _split(x: Any, name: str, above: Callable[[Array], Any], below: Callable[[Array], Any]) -> Array:
    """One formula above zero and another from zero down, each of numbers on its own side alone."""
    x, zero = asarray(x), asarray(0.0)
    positive = compare(x, zero, name) > 0
    return choose(positive, asarray(above(choose(positive, x, zero))), asarray(below(choose(positive, zero, x))))


def relu(x: Any) -> Array:
    """``max(x, 0)``."""
    return _split(x, "relu", lambda x: x, lambda _: 0.0)


def relu6(x: Any) -> Array:
    """``min(max(x, 0), 6)``."""
    return clip(x, 0.0, 6.0)


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Array:
    """``x`` above zero, ``negative_slope x`` below."""
    return _split(x, "leaky_relu", lambda x: x, lambda x: multiply(negative_slope, x))


def elu(x: Any, alpha: Any = 1.0) -> Array:
    """``x`` above zero, ``alpha (e^x - 1)`` below."""
    return _split(x, "elu", lambda x: x, lambda x: multiply(alpha, expm1(x)))


def celu(x: Any, alpha: Any = 1.0) -> Array:
    """``x`` above zero, ``alpha (e^(x / alpha) - 1)`` below."""
    return _split(x, "celu", lambda x: x, lambda x: multiply(alpha, expm1(divide(x, alpha))))


def selu(x: Any) -> Array:
    """``1.0507 x`` above zero, ``1.0507 * 1.6733 (e^x - 1)`` below."""
    return multiply(SELU_SCALE, elu(x, SELU_ALPHA))


def silu(x: Any) -> Array:
    """``x / (1 + e^-x)``."""
    return multiply(x, sigmoid(x))


def mish(x: Any) -> Array:
    """``x tanh(log(1 + e^x))``."""
    return multiply(x, tanh(softplus(x)))


def gelu(x: Any, approximate: bool = False) -> Array:
    """``x Phi(x)`` of the normal distribution; approximately ``x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))``."""
    x = asarray(x)
    rounds = current().noise is not None
    refuse("gelu")  # other steps where they round
    if approximate:
        inner = multiply(sqrt(divide(2, math.pi)), add(x, multiply(0.044715, multiply(x, multiply(x, x)))))
        share = multiply(0.5, add(1, tanh(inner))) if rounds else sigmoid(multiply(2, inner))
    else:
        inner = divide(x, sqrt(2))
        share = multiply(0.5, add(1, erf(inner)) if rounds else erfc(negative(inner)))
    return multiply(x, share)


def hard_tanh(x: Any) -> Array:
    """``min(max(x, -1), 1)``."""
    return clip(x, -1.0, 1.0)


def hard_sigmoid(x: Any) -> Array:
    """``min(max(x + 3, 0), 6) / 6``."""
    return divide(relu6(add(x, 3)), 6)


def hard_silu(x: Any) -> Array:
    """``x min(max(x + 3, 0), 6) / 6``."""
    return multiply(x, hard_sigmoid(x))


def soft_sign(x: Any) -> Array:
    """``x / (1 + |x|)``."""
    return divide(x, add(1, absolute(x)))


def glu(x: Any, axis: int = -1) -> Array:
    """``a / (1 + e^-b)`` of the two halves of an axis.

    Raises:
        ValueError: the axis has an odd length.
    """
    halves = asarray(x).map(lambda c: np.moveaxis(c, axis, -1))
    if halves.shape[-1] % 2:
        raise ValueError(f"glu: an axis of even length is needed, got {halves.shape[-1]}")
    half = halves.shape[-1] // 2
    out = multiply(halves[..., :half], sigmoid(halves[..., half:]))
    return out.map(lambda c: np.moveaxis(c, -1, axis))


def one_hot(labels: Any, classes: int, dtype: Any = None) -> Array:
    """Ones at the labels and zeros elsewhere along a new last axis, as reals; of labels out of range zeros."""
    del dtype
    labels = asarray(labels)
    whole = require_decided_whole(labels, "conversion to integers") if labels.is_real else labels.series[0]
    return Array((exact(whole[..., None] == np.arange(int(classes))),))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "celu": celu, "elu": elu, "gelu": gelu, "glu": glu, "hard_sigmoid": hard_sigmoid, "hard_silu": hard_silu,
    "hard_tanh": hard_tanh, "leaky_relu": leaky_relu, "log_sigmoid": log_sigmoid, "log_softmax": log_softmax,
    "logsumexp": logsumexp, "mish": mish, "one_hot": one_hot, "relu": relu, "relu6": relu6, "selu": selu,
    "sigmoid": sigmoid, "silu": silu, "soft_sign": soft_sign, "softmax": softmax, "softplus": softplus,
}  # fmt: skip
