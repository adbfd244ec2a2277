"""Precisions that frameworks compute in, those that NumPy lacks among them: what a number and a product round to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.space import Half

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Precision:
    """What results of primitives, factors of matrix products and partial sums are rounded to.

    Attributes:
        name: as frameworks have it; ``tf32`` is float32 with shorter factors.
        bits: of the significand of a result, the leading one counted.
        least: exponent of the smallest normal number.
        most: exponent of the largest number.
        sums: NumPy's dtype in which products are added up, and which holds all its numbers.
        factors: bits of the significand of a matrix product's factors, where they have fewer.
        gradual: whether numbers below the smallest normal one are kept; others may be flushed to zero, as XLA does.
        words: what it is called in a sentence.
    """

    name: str
    bits: int
    least: int
    most: int
    sums: str
    words: str
    factors: int = 0
    gradual: bool = False

    @cached_property
    def unit(self) -> float:
        """The unit roundoff of a result: half its epsilon."""
        return 2.0**-self.bits

    @cached_property
    def unit_of_sums(self) -> float:
        """The unit roundoff of partial sums."""
        return float(np.finfo(self.sums).eps) / 2

    @cached_property
    def unit_of_factors(self) -> float:
        """The unit roundoff of what a matrix product makes of its factors; 0 where it takes them as they are."""
        return 2.0**-self.factors if self.factors else 0.0

    @cached_property
    def tiny(self) -> float:
        """The smallest normal number."""
        return 2.0**self.least

    @cached_property
    def largest(self) -> float:
        """The largest number."""
        return (2 - 2 * self.unit) * 2.0**self.most

    def rounded(self, x: Values) -> Values:
        """The nearest number to each, ties to even, in the dtype that it has; beyond the largest, infinities."""
        return _nearest(x, self, self.bits)

    def factor(self, x: Values) -> Values:
        """What a matrix product takes a factor for."""
        return _nearest(x, self, self.factors) if self.factors else x

    def spacing(self, x: Values) -> Values:
        """The unit in the last place of each number, in the dtype that it has."""
        x = np.asarray(x)
        exponent = np.maximum(np.frexp(x)[1], self.least + 1)
        return np.asarray(np.ldexp(np.ones_like(x), exponent - self.bits))


#: The finest first.
PRECISIONS = {
    each.name: each
    for each in (
        Precision("float64", 53, -1022, 1023, "float64", "float64"),
        Precision("float32", 24, -126, 127, "float32", "float32"),
        Precision("tf32", 24, -126, 127, "float32", "TF32 products and float32 sums", factors=11),
        Precision("float16", 11, -14, 15, "float32", "float16 products and float32 sums", gradual=True),
        Precision("bfloat16", 8, -126, 127, "float32", "bfloat16 products and float32 sums"),
    )
}
#: Those whose numbers are kept in float32, which holds them all.
HALVES: tuple[str, ...] = get_args(Half)


def _nearest(x: Values, precision: Precision, bits: int) -> Values:
    if precision.name in ("float64", "float32") or (bits == precision.bits and precision.name == "tf32"):
        return np.asarray(x, precision.sums).astype(x.dtype)
    exponent = np.maximum(np.frexp(x)[1], precision.least + 1) - bits
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.ldexp(np.rint(np.ldexp(x, -exponent)), exponent)
    return np.asarray(np.where(np.abs(found) > precision.largest, np.copysign(np.inf, x), found), x.dtype)
