"""The built-in models' loss and derivatives in balls, from their closed form: the whole gradient in one pass.

With m_i = (1 - 2 y_i) c z_i and z = X W w (or X w):

    loss = sum_i softplus(m_i)                      softplus(m) = log(1 + e^m)
    r_i  = dloss/dz_i   = (1 - 2 y_i) c s(m_i)      s(m) = 1 / (1 + e^-m);  equal to c (s(c z_i) - y_i)
    q_i  = d2loss/dz_i2 = c^2 s(m_i) s(-m_i)
    g = X^T r;  dw = W^T g;  dW = g w^T             (Logistic: dw = g)

Along a direction (w', W'), with z' = X (W' w + W w'):

    H v     : g' = X^T (q z');  dw' = W'^T g + W^T g';  dW' = g' w^T + g w'^T

The mean divides all of these by S; the penalty l2/2 (|w|^2 + |W|^2) is added after. How a backend arranges the
computation (`formulation`, `numerics`) does not change the mathematics, so it does not matter here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import flint
import numpy as np
import numpy.typing as npt
from flint import arb, arb_mat

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.truth.derivatives.certificate import Derivatives
from gradparity.truth.numbers.balls import ZERO, exact, fill
from gradparity.truth.numbers.context import MAX_BITS, precisions
from gradparity.truth.numbers.enclosure import Enclosure, Enclosures
from gradparity.truth.numbers.matrices import to_mat

Arrays = Mapping[str, npt.ArrayLike]

#: No doubling of the precision is begun that would pass this.
SECONDS = 60.0


def enclose(
    spec: Logistic, params: Arrays, data: Arrays, direction: Arrays, *, max_bits: int = MAX_BITS
) -> Derivatives:
    """Enclose the loss, its whole gradient, and ``g.v`` and ``H v`` along a direction.

    Args:
        spec: `Logistic` or `ProjectedLogistic`.
        params: ``w (L,)`` and ``W (F, L)``, or ``w (F,)``; each number is taken exactly.
        data: ``X (S, F)`` and ``y (S,)`` in {0, 1}.
        direction: with the names and shapes of `params`.
        max_bits: last precision tried; it doubles until every entry is settled.

    Returns:
        The derivatives at the last precision tried.

    Raises:
        InputError: shapes or names do not fit the model, or a label is neither 0 nor 1.
    """
    model = _Model(spec, params, data)
    moves = model.matrices(direction)
    for bits in precisions(max_bits, time.monotonic() + SECONDS):
        with flint.ctx.workprec(bits):
            value, along, gradient, product = model.derivatives(moves)
        found = Derivatives(value=value, along=along, gradient=gradient, product=product, bits=bits)
        if found.settled:
            break
    return found


class _Model:
    """The formulas of the module docstring, at the precision that is current when a method is called."""

    def __init__(self, spec: Logistic, params: Arrays, data: Arrays) -> None:
        self.spec = spec
        self.parameters = self.matrices(params)
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

    def matrices(self, tree: Arrays) -> dict[str, arb_mat]:
        """Parameters or a direction, checked and exact."""
        return {name: _matrix(value) for name, value in self.spec.validate(tree).items()}

    def derivatives(
        self, v: dict[str, arb_mat]
    ) -> tuple[Enclosure, Enclosure, dict[str, Enclosures], dict[str, Enclosures]]:
        """Loss, ``g.v``, gradient and ``H v``."""
        m = self._margins()
        bent = [q * z for q, z in zip(self._curvatures(m), self._moved(v).entries(), strict=True)]
        Xt = self.X.transpose()
        g = Xt * self._slopes(m)
        sums, bent_sums = self._gradient(g), self._gradient(Xt * _column(bent))
        if isinstance(self.spec, ProjectedLogistic):
            bent_sums["w"] += v["W"].transpose() * g
            bent_sums["W"] += g * v["w"].transpose()
        gradient, product = self._finish(sums, self.parameters), self._finish(bent_sums, v)
        along = sum((_dot(gradient[name], v[name].entries()) for name in v), ZERO)
        return Enclosure(self._loss(m)), Enclosure(along), self._shaped(gradient), self._shaped(product)

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

    def _finish(self, sums: dict[str, arb_mat], penalised: dict[str, arb_mat]) -> dict[str, list[arb]]:
        """The mean taken, and l2 times `penalised` added."""
        return {
            name: [
                self._mean(value) + self.l2 * other
                for value, other in zip(total.entries(), penalised[name].entries(), strict=True)
            ]
            for name, total in sums.items()
        }

    def _shaped(self, entries: dict[str, list[arb]]) -> dict[str, Enclosures]:
        return {name: Enclosures(fill(self.spec.shapes[name], values)) for name, values in entries.items()}


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
