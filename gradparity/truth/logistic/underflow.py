"""What underflow makes of the derivatives: a bound on how far they move if every number too small to be normal is lost.

Frameworks may flush subnormal numbers to zero, inputs and results alike (XLA's CPU client does), so every input, every
product and every row's slope and curvature may be off by the smallest normal number, ``tiny``. The bound goes through
the closed form to first order in ``tiny``: a product ``a b`` is off by ``|a| db + da |b| + tiny``. Rows enter by the
largest and the summed magnitude of each column of X only, which is generous, and of the order of ``tiny`` all the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.problem import Problem
from gradparity.truth.logistic.extended import row_blocks

Array = npt.NDArray[Any]


class _Bound(NamedTuple):
    """Magnitudes, and the errors they come with in units of ``tiny``."""

    size: Any
    error: Any

    def dot(self, other: _Bound) -> _Bound:
        """A matrix product, or one of vectors."""
        terms = self.size.shape[-1]
        return _Bound(self.size @ other.size, self.size @ other.error + self.error @ other.size + terms)

    def outer(self, other: _Bound) -> _Bound:
        error = np.multiply.outer(self.size, other.error) + np.multiply.outer(self.error, other.size)
        return _Bound(np.multiply.outer(self.size, other.size), error + 1)

    def plus(self, *others: _Bound) -> _Bound:
        return _Bound(self.size + sum(o.size for o in others), self.error + sum(o.error for o in others))

    def transposed(self) -> _Bound:
        return _Bound(self.size.T, self.error.T)

    def raveled(self) -> _Bound:
        return _Bound(self.size.ravel(), self.error.ravel())


def underflow(problem: Problem) -> dict[tuple[str, str], Array]:
    """How far each entry can move, by quantity and parameter; see the module."""
    spec, rows = problem.spec, np.longdouble(problem.rows)
    tiny, c = np.longdouble(np.finfo(spec.dtype).tiny), np.longdouble(abs(spec.logit_scale))
    params = {name: _given(value) for name, value in problem.params.items()}
    tangents = {name: _given(value) for name, value in problem.tangents.items()}
    most, total = np.zeros((2, spec.features), np.longdouble)
    for block in row_blocks(problem):
        magnitude = np.abs(problem.data["X"][block])
        most, total = np.maximum(most, magnitude.max(axis=0)), total + magnitude.sum(axis=0, dtype=np.longdouble)
    largest, column = _given(most), _Bound(total, rows * np.ones_like(total))  # over rows
    w, v = params["w"], tangents["w"]
    if "W" in params:
        W, V = params["W"], tangents["W"]
        z, Z = _largest_logit(largest, W, w), _largest_logit(largest, W, v).plus(_largest_logit(largest, V, w))
    else:
        z, Z = largest.dot(w), largest.dot(v)
    slope = _Bound(c, c * c * z.error + 1)  # |r| <= c and |dr/dz| <= c^2 in every row
    bend = _Bound(c * c * Z.size, c * c * (Z.error + c * Z.size * z.error) + 1 + Z.size)  # |q| <= c^2 |Z|
    g, h = (_Bound(column.size * b.size, column.size * b.error + column.error * (b.size + 1)) for b in (slope, bend))
    if "W" in params:
        Wt, Vt = W.transposed(), V.transposed()
        P, Q = Wt.dot(column), Vt.dot(column)  # X W and X V, summed over rows: as_written has them
        blocks = {
            ("gradient", "w"): Wt.dot(g).plus(_times(P, slope)),
            ("gradient", "W"): g.outer(w),
            ("hvp", "w"): Wt.dot(h).plus(Vt.dot(g), _times(P, bend), _times(Q, slope)),
            ("hvp", "W"): h.outer(w).plus(g.outer(v)),
        }
    else:
        blocks = {("gradient", "w"): g, ("hvp", "w"): h}
    along = [blocks["gradient", name].raveled().dot(tangents[name].raveled()) for name in spec.shapes]
    blocks["loss", ""] = _Bound(rows, rows * (c * z.error + 1))
    blocks["jvp", ""] = along[0].plus(*along[1:], _Bound(rows * slope.size * Z.size, rows * _times(slope, Z).error))
    # The penalty's products: p p, l2 p, p v and l2 v; and one more rounding, of the mean.
    of_penalty = 1 + sum(2 * b.size.sum() + b.size.size for b in (*params.values(), *tangents.values()))
    more = 1 + (np.longdouble(spec.l2) + 1) * of_penalty if spec.l2 else np.longdouble(1)
    return {key: tiny * np.asarray(bound.error + more) for key, bound in blocks.items()}


def _given(value: npt.ArrayLike) -> _Bound:
    size = np.abs(np.asarray(value, np.longdouble))
    return _Bound(size, np.ones_like(size))


def _largest_logit(x: _Bound, W: _Bound, w: _Bound) -> _Bound:
    """A row's ``x W w`` in either order of the products."""
    first, second = x.dot(W).dot(w), x.dot(W.dot(w))
    return _Bound(first.size, np.maximum(first.error, second.error))


def _times(a: _Bound, b: _Bound) -> _Bound:
    return _Bound(a.size * b.size, a.size * b.error + a.error * b.size + 1)
