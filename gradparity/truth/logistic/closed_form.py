"""The built-in models' loss and derivatives in balls, from their closed form: the whole gradient in one pass.

With m_i = (1 - 2 y_i) c z_i and z = X W w (or X w):

    loss = sum_i softplus(m_i)                      softplus(m) = log(1 + e^m)
    r_i  = dloss/dz_i   = (1 - 2 y_i) c s(m_i)      s(m) = 1 / (1 + e^-m);  equal to c (s(c z_i) - y_i)
    q_i  = d2loss/dz_i2 = c^2 s(m_i) s(-m_i)
    g = X^T r;  dw = W^T g;  dW = g w^T             (Logistic: dw = g)

Along a direction (w', W'), with z' = X (W' w + W w') and z'' = 2 X W' w':

    g.v     = r . z'
    v^T H v = sum_i q_i z'_i^2 + r . z''
    H v     : g' = X^T (q z');  dw' = W'^T g + W^T g';  dW' = g' w^T + g w'^T

The mean divides all of these by S; the penalty l2/2 (|w|^2 + |W|^2) is added after. How a backend arranges the
computation (`formulation`, `numerics`) does not change the mathematics, so it does not matter here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import flint
import numpy as np
import numpy.typing as npt
from flint import arb, arb_mat

from gradparity.model_spec import InputError, Logistic, ProjectedLogistic
from gradparity.truth.numbers.balls import ZERO, exact, fill
from gradparity.truth.numbers.context import START_BITS
from gradparity.truth.numbers.enclosure import Enclosure, Enclosures
from gradparity.truth.numbers.matrices import to_mat

Arrays = Mapping[str, npt.ArrayLike]
MAX_BITS = 16384


@dataclass(frozen=True, kw_only=True)
class ValueAndGradient:
    """Loss and gradient in balls.

    Attributes:
        value: the loss.
        gradient: an array of enclosures for each parameter, in its shape.
        bits: precision used.
        settled: each entry is tight, proven zero, or too small for any float64 to differ from zero.
    """

    value: Enclosure
    gradient: dict[str, Enclosures]
    bits: int
    settled: bool


@dataclass(frozen=True, kw_only=True)
class AlongDirection:
    """Directional derivatives in balls.

    Attributes:
        value: the loss.
        first: ``g.v``.
        second: ``v^T H v``.
        bits: precision used.
        settled: as for `ValueAndGradient`.
    """

    value: Enclosure
    first: Enclosure
    second: Enclosure
    bits: int
    settled: bool


@dataclass(frozen=True, kw_only=True)
class HessianVector:
    """``H v`` in balls, an array of enclosures for each parameter; see `ValueAndGradient`."""

    product: dict[str, Enclosures]
    bits: int
    settled: bool


def value_and_gradient(
    spec: Logistic, params: Arrays, data: Arrays, bits: int | None = None, *, goal_bits: int = 70,
    max_bits: int = MAX_BITS, seconds: float = 60.0,
) -> ValueAndGradient:  # fmt: skip
    """Enclose the loss and its whole gradient.

    Args:
        spec: `Logistic` or `ProjectedLogistic`.
        params: ``w (L,)`` and ``W (F, L)``, or ``w (F,)``; each number is taken exactly.
        data: ``X (S, F)`` and ``y (S,)`` in {0, 1}.
        bits: one fixed precision; without it, from 128 bits doubling until each entry is tight.
        goal_bits: each entry's relative width is to be 2^-goal_bits or less.
        max_bits: last precision tried.
        seconds: no doubling is begun that would pass this.

    Raises:
        InputError: shapes or names do not fit the model, or a label is neither 0 nor 1.
    """
    model = _Model(spec, params, data)

    def attempt(precision: int) -> ValueAndGradient:
        value, gradient = model.value_and_gradient()
        settled = value.is_settled(goal_bits) and all(part.is_settled(goal_bits) for part in gradient.values())
        return ValueAndGradient(value=value, gradient=gradient, bits=precision, settled=settled)

    return _doubling(attempt, bits, max_bits, seconds)


def jvp(
    spec: Logistic, params: Arrays, data: Arrays, direction: Arrays, bits: int | None = None, *, goal_bits: int = 70,
    max_bits: int = MAX_BITS, seconds: float = 60.0,
) -> AlongDirection:  # fmt: skip
    """Enclose the loss, ``g.v`` and ``v^T H v`` along a direction with the shapes of `params`.

    Arguments and errors as for `value_and_gradient`.
    """
    model = _Model(spec, params, data)
    moves = model.direction(direction)

    def attempt(precision: int) -> AlongDirection:
        value, first, second = model.along(moves)
        settled = all(part.is_settled(goal_bits) for part in (value, first, second))
        return AlongDirection(value=value, first=first, second=second, bits=precision, settled=settled)

    return _doubling(attempt, bits, max_bits, seconds)


def hvp(
    spec: Logistic, params: Arrays, data: Arrays, direction: Arrays, bits: int | None = None, *, goal_bits: int = 70,
    max_bits: int = MAX_BITS, seconds: float = 60.0,
) -> HessianVector:  # fmt: skip
    """Enclose the Hessian times a direction with the shapes of `params`.

    Arguments and errors as for `value_and_gradient`.
    """
    model = _Model(spec, params, data)
    moves = model.direction(direction)

    def attempt(precision: int) -> HessianVector:
        product = model.hessian_vector(moves)
        settled = all(part.is_settled(goal_bits) for part in product.values())
        return HessianVector(product=product, bits=precision, settled=settled)

    return _doubling(attempt, bits, max_bits, seconds)


_Result = TypeVar("_Result", ValueAndGradient, AlongDirection, HessianVector)


def _doubling(attempt: Callable[[int], _Result], bits: int | None, max_bits: int, seconds: float) -> _Result:
    precision = START_BITS if bits is None else bits
    began = time.monotonic()
    while True:
        last = time.monotonic()
        with flint.ctx.workprec(precision):
            result = attempt(precision)
        now = time.monotonic()
        if bits is not None or result.settled or 2 * precision > max_bits or now + 2 * (now - last) > began + seconds:
            return result
        precision *= 2


class _Model:
    """The formulas of the module docstring, at the precision that is current when a method is called."""

    def __init__(self, spec: Logistic, params: Arrays, data: Arrays) -> None:
        self.spec = spec
        self.parameters = {name: _matrix(value) for name, value in spec.validate(params).items()}
        X, y = np.asarray(data["X"]), np.asarray(data["y"])
        if X.ndim != 2 or X.shape[1] != spec.features or y.shape != X.shape[:1]:
            expected = f"X of shape (S, {spec.features}) and y of shape (S,)"
            raise InputError("data", got=f"X {X.shape}, y {y.shape}", expected=expected)
        if not np.all((y == 0) | (y == 1)):
            raise InputError("labels y", got=np.unique(y)[:5].tolist(), expected="0 and 1 only")
        self.rows = X.shape[0]
        self.X = to_mat(exact(X))
        self.flip = [arb(1 - 2 * int(label)) for label in y.tolist()]
        self.c, self.l2 = arb(float(spec.logit_scale)), arb(float(spec.l2))

    def direction(self, direction: Arrays) -> dict[str, arb_mat]:
        """A direction, checked like the parameters."""
        return {name: _matrix(value) for name, value in self.spec.validate(direction).items()}

    def value_and_gradient(self) -> tuple[Enclosure, dict[str, Enclosures]]:
        """Loss, and ``dw``, ``dW``."""
        m = self._margins()
        g = self.X.transpose() * self._slopes(m)
        return Enclosure(self._loss(m)), self._finish(self._gradient(g), self.parameters)

    def along(self, v: dict[str, arb_mat]) -> tuple[Enclosure, Enclosure, Enclosure]:
        """Loss, ``g.v`` and ``v^T H v``."""
        m = self._margins()
        r, z1 = self._slopes(m).entries(), self._moved(v).entries()
        first = _dot(r, z1)
        second = sum((q * z * z for q, z in zip(self._curvatures(m), z1, strict=True)), ZERO)
        if isinstance(self.spec, ProjectedLogistic):
            second += 2 * _dot(r, (self.X * (v["W"] * v["w"])).entries())
        first, second = self._mean(first), self._mean(second)
        for name, move in v.items():
            first += self.l2 * _dot(self.parameters[name].entries(), move.entries())
            second += self.l2 * _dot(move.entries(), move.entries())
        return Enclosure(self._loss(m)), Enclosure(first), Enclosure(second)

    def hessian_vector(self, v: dict[str, arb_mat]) -> dict[str, Enclosures]:
        """``H v`` by parameter."""
        m = self._margins()
        bent = [q * z for q, z in zip(self._curvatures(m), self._moved(v).entries(), strict=True)]
        Xt = self.X.transpose()
        out = self._gradient(Xt * _column(bent))
        if isinstance(self.spec, ProjectedLogistic):
            g = Xt * self._slopes(m)
            out = {"w": out["w"] + v["W"].transpose() * g, "W": out["W"] + g * v["w"].transpose()}
        return self._finish(out, v)

    def _margins(self) -> list[arb]:
        """m_i = (1 - 2 y_i) c z_i."""
        w = self.parameters["w"]
        # X (W w) is the same number as (X W) w, in fewer products.
        z = self.X * (self.parameters["W"] * w if isinstance(self.spec, ProjectedLogistic) else w)
        return [sign * self.c * value for sign, value in zip(self.flip, z.entries(), strict=True)]

    def _moved(self, v: dict[str, arb_mat]) -> arb_mat:
        """Z' = X (W' w + W w'), shape (S, 1)."""
        if isinstance(self.spec, ProjectedLogistic):
            return self.X * (v["W"] * self.parameters["w"] + self.parameters["W"] * v["w"])
        return self.X * v["w"]

    def _loss(self, m: list[arb]) -> arb:
        total = self._mean(sum((_softplus(value) for value in m), ZERO))
        squares = sum((_dot(part.entries(), part.entries()) for part in self.parameters.values()), ZERO)
        return total + self.l2 * squares / 2

    def _slopes(self, m: list[arb]) -> arb_mat:
        """r, shape (S, 1)."""
        return _column([sign * self.c * _sigmoid(value) for sign, value in zip(self.flip, m, strict=True)])

    def _curvatures(self, m: list[arb]) -> list[arb]:
        """q, by row."""
        return [self.c * self.c * _sigmoid(value) * _sigmoid(-value) for value in m]

    def _gradient(self, g: arb_mat) -> dict[str, arb_mat]:
        """Derivatives by parameter of ``g . (W w)``: W^T g and g w^T, or g itself."""
        if not isinstance(self.spec, ProjectedLogistic):
            return {"w": g}
        return {"w": self.parameters["W"].transpose() * g, "W": g * self.parameters["w"].transpose()}

    def _mean(self, total: arb) -> arb:
        return total / self.rows if self.spec.reduction == "mean" else total

    def _finish(self, sums: dict[str, arb_mat], penalised: dict[str, arb_mat]) -> dict[str, Enclosures]:
        """The mean taken, l2 times `penalised` added, and shapes put back."""
        out = {}
        for name, total in sums.items():
            entries = [
                self._mean(value) + self.l2 * other
                for value, other in zip(total.entries(), penalised[name].entries(), strict=True)
            ]
            out[name] = Enclosures(fill(self.spec.shapes[name], entries))
        return out


def _softplus(m: arb) -> arb:
    """log(1 + e^m), with only the side that cannot overflow exponentiated."""
    return m + (-m).exp().log1p() if m.mid() > 0 else m.exp().log1p()


def _sigmoid(m: arb) -> arb:
    return 1 / (1 + (-m).exp())


def _dot(a: list[arb], b: list[arb]) -> arb:
    return (arb_mat(1, len(a), a) * arb_mat(len(b), 1, b)).entries()[0]


def _column(values: list[arb]) -> arb_mat:
    return arb_mat(len(values), 1, values)


def _matrix(value: Any) -> arb_mat:
    """Exact balls of an array, a vector as one column."""
    array = np.asarray(value)
    return to_mat(exact(array.reshape(array.shape[0], -1)))
