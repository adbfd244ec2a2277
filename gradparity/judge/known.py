"""Which truths can be judged by: no number that is none, and no floor as wide as the value. Pure.

A block is held to its truth only where ``AGREES_FLOORS`` floors are small beside its largest true value: an error of
that size would pass. Entries are measured against the largest of their block, as in a normwise error (Higham, Accuracy
and Stability of Numerical Algorithms, 2002, section 1.4): one that is zero by cancellation has no digits of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.precisions import PRECISIONS
from gradparity.numerics.extended import Extended
from gradparity.truth.reference import Reference, largest

#: Largest error that may pass, over the largest value of the block. In float64 as the framework's own checkers in their
#: strictest use (torch's ``gradcheck``: 1e-3); in float32 a sum of 10^5 terms alone rounds by 1e-5 to 1e-4.
#: Half precision has two to three digits, of which a gradient keeps one or less.
SHARES = {"float64": 1e-3, "float32": 1e-2, "tf32": 0.1, "float16": 0.25, "bfloat16": 0.25}
#: From here on a share is so many times the value, and no percentage: it may have a hundred digits.
MANY = 100
#: Roundings of the largest value of its own quantity below which a block is zero as far as anybody can see, as the
#: gradient of an intercept is on centred data: 2^12 roundings, a relative 1e-12 in float64.
INVISIBLE = 2.0**12
#: Smallest normal numbers below which the same holds of any block: what underflows may be flushed to zero, and is
#: multiplied by data.
UNDERFLOW = 2.0**60


@dataclass(frozen=True)
class Scale:
    """Of one block: the largest error that may pass, up to where a value is as good as zero, and one rounding.

    ``rounding`` is that of the largest value of the quantity, over all parameters. Another formula that is as good
    rounds terms of that size: the derivative of a softmax, ``p (g - sum(p g))``, does where all but one of p are tiny,
    and what cancels to exactly zero in one formula is a rounding of its terms in another.
    """

    visible: float = math.inf
    zero: float = 0.0
    rounding: float = 0.0

    def floor(self, floor: Extended) -> Extended:
        """The noise floor of each entry, no less than one rounding of the quantity."""
        return np.asarray(np.where(np.isfinite(floor), np.maximum(floor, self.rounding), floor))


def known_entries(truth: Extended, floor: Extended) -> npt.NDArray[np.bool_]:
    """Which entries have a value to be held to: finite, with a finite floor."""
    return np.asarray(np.isfinite(truth) & np.isfinite(floor))


def scale_of(reference: Reference, key: tuple[str, str], dtype: str, *, any_formula: bool = True) -> Scale:
    """The scale of a block among all others of its reference; its rounding where a backend may use any formula.

    ``dtype`` is a name of `precisions.PRECISIONS`.
    """
    info = PRECISIONS[dtype]
    unit, least = info.unit, 0.0 if info.gradual else UNDERFLOW * info.tiny
    sides = [np.array(both) for (*block, _), both in reference.kinks.items() if tuple(block) == key]
    own = max([reference.sizes[key], *map(largest, sides)])
    of_it = rounded_with(key[0])
    quantity = max((size for (name, _), size in reference.sizes.items() if name in of_it), default=0.0)
    alone = max(size for (name, _), size in reference.sizes.items() if name == key[0])
    everything = max(reference.sizes.values())
    if own <= unit * unit * everything or own <= info.tiny:  # zero by an identity of the loss, or by underflow
        own = everything
    zero = max(INVISIBLE * unit * alone, info.tiny)  # XLA flushes subnormal numbers
    return Scale(max(SHARES[dtype] * own, zero, least), zero, unit * quantity if any_formula else 0.0)


def unresolved(truth: Extended, floor: Extended, visible: float, floors: float, why: str) -> str:
    """Why a block whose known entries agree cannot be said to agree, or ``""``.

    Args:
        truth: the values that are expected.
        floor: how far rounding moves each of them.
        visible: the largest error that may pass.
        floors: noise floors up to which an error passes.
        why: what is known of the reason.

    Returns:
        The rule, with what may be done about it.
    """
    known = known_entries(truth, floor)
    if not known.all():
        left = int(np.count_nonzero(~known))
        some = "" if truth.size == 1 else f" of {left} of {truth.size} entries"
        what = "value" if not np.isfinite(truth).all() else "noise floor"
        return f"the true {what}{some} is not known" + (f": {why}" if why else ": it is not a finite number")
    widest = float((floors * floor).max(initial=0))
    if widest <= visible:
        return ""
    size = largest(truth)
    share = f"{widest:.2g}, where the value is 0"
    if size:
        share = f"{widest / size:.0%} of" if widest < MANY * size else f"{widest / size:.2g} times"
        share += " the largest value"
    return (
        f"an error of up to {share} would pass as rounding: the formula loses these digits by cancellation (as "
        "E[x^2] - E[x]^2 does), or the point is stationary or a kink. Write it so that it does not cancel, or check at "
        "another point" + (f"; {why}" if why else "")
    )


def rounded_with(quantity: str) -> set[str]:
    """The quantities whose largest value sets one rounding of this one: a second derivative is of the gradient."""
    return {quantity, "gradient"} if quantity in ("jvp", "hvp") else {quantity}
