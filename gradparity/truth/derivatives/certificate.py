"""What the engine proves about a loss, as frozen results."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import flint
from flint import arb

from gradparity.truth.numbers.context import START_BITS, Kink
from gradparity.truth.numbers.enclosure import Enclosure, Enclosures

Status = Literal["certified", "zero_unproven", "loose", "not_finite", "undecided", "out_of_time"]

#: Holds the sum of any two doubles exactly.
_ENOUGH_BITS = 2200


@dataclass(frozen=True, kw_only=True)
class Derivatives:
    """A loss and its derivatives, in balls.

    Attributes:
        value: the loss.
        along: ``g.v``.
        gradient: by path, in the parameter's shape.
        product: ``H v``, likewise.
        bits: precision of the last pass.
        goal_bits: each entry's relative width was to be 2^-goal_bits or less.
        ignored: paths of parameters that no operation leads from to the loss; their derivatives are zero exactly.
        seconds: time taken.
    """

    value: Enclosure
    along: Enclosure
    gradient: dict[str, Enclosures]
    product: dict[str, Enclosures]
    bits: int
    goal_bits: int
    ignored: tuple[str, ...] = ()
    seconds: float = 0.0

    @cached_property
    def settled(self) -> bool:
        """Every entry is tight, proven zero, or too small for any float64 to differ from zero."""
        return all(each.is_settled(self.goal_bits) for each in self.blocks.values())

    @property
    def blocks(self) -> dict[tuple[str, str], Enclosure | Enclosures]:
        """By quantity and parameter, as a `Reference` has them."""
        return {
            ("loss", ""): self.value,
            **{("gradient", path): each for path, each in self.gradient.items()},
            ("jvp", ""): self.along,
            **{("hvp", path): each for path, each in self.product.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Side:
    """The loss on one side of t = 0.

    Attributes:
        value: limit of the loss.
        first: its one-sided derivative ``g.v``; for the left side too, a derivative in t and not in -t.
        second: the one-sided ``v^T H v``; not a number where the first derivative is infinite or jumps.
    """

    value: Enclosure
    first: Enclosure
    second: Enclosure


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What is proven about a loss and its derivatives along one direction.

    Attributes:
        value: the loss at the point.
        right: t -> 0+; where nothing is piecewise, simply the derivatives.
        left: t -> 0-; the same object as `right` where no active kink was met.
        kinks: ties of piecewise functions at the point.
        singular: functions proven to be evaluated where they have no finite value or derivative.
        status: ``certified``: all tight or proven zero; ``zero_unproven``: what is not tight contains zero and is
            below 2^-1140, or as small as `max_bits` could show; ``loose``: wider than asked; ``not_finite``: proven to
            have no finite value; ``undecided``: a comparison could not be decided; ``out_of_time``.
        reason: the status in words; empty when certified.
        bits: precision of the last evaluation.
        seconds: time taken.
    """

    value: Enclosure
    right: Side
    left: Side
    kinks: tuple[Kink, ...] = ()
    singular: tuple[tuple[str, tuple[int, ...]], ...] = ()
    status: Status = "certified"
    reason: str = ""
    bits: int = START_BITS
    seconds: float = 0.0

    @property
    def first(self) -> Enclosure:
        """``g.v``, from the right where the two sides differ."""
        return self.right.first

    @property
    def second(self) -> Enclosure:
        """``v^T H v``, from the right where the two sides differ."""
        return self.right.second

    @property
    def settled(self) -> bool:
        """Certified, or too small for any float64 to differ from zero: good enough to judge a backend by."""
        parts = (self.value, self.first, self.second, self.left.first)
        small = all(part.is_settled() for part in parts if not part.ball.is_nan())
        return self.status == "certified" or (self.status == "zero_unproven" and small)

    @property
    def jumps(self) -> bool:
        """Proven discontinuous along this direction."""
        return any(not self.value.ball.overlaps(side.value.ball) for side in (self.right, self.left))

    @property
    def is_kink(self) -> bool:
        """Proven not differentiable along this direction: the one-sided derivatives differ, or are not finite."""
        sides = (self.right.first, self.left.first)
        active = any(kink.active for kink in self.kinks)
        different = not sides[0].ball.overlaps(sides[1].ball)
        return active and (different or not all(side.is_finite for side in sides) or self.jumps)

    @property
    def interval(self) -> tuple[Enclosure, Enclosure]:
        """The one-sided derivatives, smaller first; a side where the loss is undefined is left out."""
        sides = [side for side in (self.left.first, self.right.first) if not side.ball.is_nan()]
        if not sides:
            return Enclosure(arb.neg_inf()), Enclosure(arb.pos_inf())
        return (sides[-1], sides[0]) if sides[-1].mid < sides[0].mid else (sides[0], sides[-1])

    def between(self, x: float, slack: float = 0.0) -> bool:
        """Whether x is a one-sided derivative, rounded, or between them to within an absolute `slack`."""
        lower, upper = self.interval
        if math.isnan(x):
            return False
        if math.isinf(x) or x in (lower.as_float(), upper.as_float()):
            return x in (lower.as_float(), upper.as_float())
        low, high = (side.ball if side.is_finite else side.mid for side in (lower, upper))
        with flint.ctx.workprec(_ENOUGH_BITS):
            return not (arb(x) + arb(slack) < low or arb(x) - arb(slack) > high)


@dataclass(frozen=True, kw_only=True)
class GradientCertificate:
    """A gradient, coordinate by coordinate.

    Attributes:
        gradient: tree of `params` with an Enclosures for each array; what was not reached or asked for is [nan].
        kinks: coordinates (path, index) at which the loss is not differentiable, with their certificates.
        unsettled: coordinates whose certificate is not `certified`, with them.
        complete: every coordinate asked for was reached within the time.
        bits: highest precision used.
        seconds: time taken.
    """

    gradient: Any
    kinks: dict[tuple[str, tuple[int, ...]], Certificate] = field(default_factory=dict)
    unsettled: dict[tuple[str, tuple[int, ...]], Certificate] = field(default_factory=dict)
    complete: bool = True
    bits: int = START_BITS
    seconds: float = 0.0
