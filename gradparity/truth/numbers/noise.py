"""Rounding as an experiment: every result of a primitive is moved by one rounding, at random.

Monte Carlo arithmetic: each element becomes ``x (1 + u xi)``, with xi a standard normal number and u the unit roundoff
of the dtype that the backends work in. A sum of n terms rounds each of its partial sums s_k, an error of variance
``u^2 sum_k s_k^2`` (`walks`). An element below the smallest normal number may be flushed to zero, as XLA does: its
rounding is as large as itself. Normal numbers, not signs: those of few draws cancel by accident.

Reference: D. S. Parker, "Monte Carlo Arithmetic", UCLA CSD-970002 (1997); Higham, Accuracy and Stability of Numerical
Algorithms, 2002, section 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]


class Noise:
    """The roundings of one draw."""

    def __init__(self, dtype: str, rng: np.random.Generator) -> None:
        self.unit = np.longdouble(np.finfo(dtype).eps) / 2
        self.tiny = np.longdouble(np.finfo(dtype).tiny)
        self.rng = rng

    def rounded(self, x: Values) -> Values:
        """Each element rounded once."""
        size = np.abs(x)
        relative = np.where(size < self.tiny, 1, self.unit) if np.any(size < self.tiny) else self.unit
        return np.asarray(x + x * relative * self._normal(x.shape))

    def moved(self, x: Values, variance: Values) -> Values:
        """Each element moved by an error of this variance, given over u^2, and rounded."""
        return self.rounded(np.asarray(x + self.unit * np.sqrt(variance) * self._normal(x.shape)))

    def _normal(self, shape: tuple[int, ...]) -> Values:
        return np.asarray(self.rng.standard_normal(shape, np.float32))
