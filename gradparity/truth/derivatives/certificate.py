"""What the engine proves about a loss, as frozen results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from flint import arb

from gradparity.truth.numbers.context import START_BITS, Kink
from gradparity.truth.numbers.enclosure import Enclosure, Enclosures

Status = Literal["certified", "zero_unproven", "loose", "not_finite", "undecided", "out_of_time"]


@dataclass(frozen=True, kw_only=True)
class Derivatives:
    """A loss and its derivatives, in balls.

    Attributes:
        value: the loss.
        along: ``g.v``; not known without a direction.
        gradient: by path, in the parameter's shape.
        product: ``H v``, likewise; empty without a direction.
        bits: precision of the last pass.
        whole: by enclosures of whole arrays, which have no more bits, and not by balls.
        ignored: paths of parameters that no operation leads from to the loss; their derivatives are zero exactly.
    """

    value: Enclosure
    along: Enclosure
    gradient: dict[str, Enclosures]
    product: dict[str, Enclosures]
    bits: int
    whole: bool = False
    ignored: tuple[str, ...] = ()

    @cached_property
    def known(self) -> bool:
        """Every entry is proven to be a finite number."""
        return all(bool(each.is_finite.all()) for each in self.blocks.values())

    @cached_property
    def settled(self) -> bool:
        """Every entry is tight, proven zero, or too small for any float64 to differ from zero."""
        return all(each.is_settled for each in self.blocks.values())

    @property
    def blocks(self) -> dict[tuple[str, str], Enclosures]:
        """By quantity and parameter, as a `Reference` has them."""
        return {
            ("loss", ""): Enclosures(np.asarray(self.value.ball)),
            **{("gradient", path): each for path, each in self.gradient.items()},
            **({("jvp", ""): Enclosures(np.asarray(self.along.ball))} if self.product else {}),
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
        status: ``certified``: all tight or proven zero; ``zero_unproven``: what is not tight contains zero and is
            below 2^-1140, or as small as `max_bits` could show; ``loose``: wider than asked; ``not_finite``: proven to
            have no finite value; ``undecided``: a comparison could not be decided; ``out_of_time``.
        reason: the status in words; empty when certified.
        bits: precision of the last evaluation.
    """

    value: Enclosure
    right: Side
    left: Side
    kinks: tuple[Kink, ...] = ()
    status: Status = "certified"
    reason: str = ""
    bits: int = START_BITS

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
        small = all(part.is_settled for part in parts if not part.ball.is_nan())
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


@dataclass(frozen=True, kw_only=True)
class GradientCertificate:
    """A gradient, coordinate by coordinate.

    Attributes:
        gradient: by path, in the parameter's shape; what was not reached is [nan].
        kinks: coordinates (path, index) at which the loss is not differentiable, with their certificates.
        complete: every coordinate was reached within the time.
        bits: highest precision used.
    """

    gradient: dict[str, Enclosures]
    kinks: dict[tuple[str, tuple[int, ...]], Certificate]
    complete: bool
    bits: int
