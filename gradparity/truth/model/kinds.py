"""Which numbers prove a truth: balls for what is small, enclosures of whole arrays for what is large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradparity.truth.derivatives.certificate import Certificate, Derivatives
from gradparity.truth.derivatives.inputs import Loss
from gradparity.truth.derivatives.reverse import KinkError, differentiate, enclosed_whole
from gradparity.truth.derivatives.series import certify
from gradparity.truth.numbers.doubled import is_usual

#: Numbers that an evaluation computes, terms of products counted, from which on whole arrays are quicker than balls.
LARGE = 250_000
#: Seconds that balls of 128 bits take for one of those numbers.
BALL_S = 1e-7


@dataclass
class Kinds:
    """Proofs about a loss along directions.

    Attributes:
        loss: neutral loss.
        params: the point.
        data: constants.
        cells: numbers that one evaluation computes.
        undecided: the comparison that no precision decided, for which nothing was enclosed; empty without one.
    """

    loss: Loss
    params: Any
    data: Any
    cells: int
    undecided: str = ""

    @property
    def is_large(self) -> bool:
        """Whole arrays are tried before balls."""
        return self.cells >= LARGE and is_usual()

    def has_time(self, seconds: float) -> bool:
        """Whether a pass in balls can be expected to end."""
        return self.cells < LARGE or self.cells * BALL_S < seconds

    def derivatives(self, direction: Any, seconds: float) -> Derivatives | KinkError | None:
        """Enclosures of every derivative, by the quicker kind that knows them; None without time or if `undecided`."""
        found = None
        if self.is_large:
            found = _or_kink(enclosed_whole, self.loss, self.params, self.data, direction, seconds=seconds)
            if isinstance(found, KinkError) or (found is not None and found.known):
                return found
        return self.by_balls(direction, seconds) if self.has_time(seconds) else found

    def by_balls(self, direction: Any, seconds: float) -> Derivatives | KinkError | None:
        """The same in balls."""
        found: Derivatives | KinkError | None
        met: list[str] = []
        found = _or_kink(
            differentiate, self.loss, self.params, self.data, direction, seconds=seconds, undecided=met
        )  # fmt: skip
        self.undecided = met[-1] if met and found is None else ""
        return found

    def along(self, direction: Any, order: int, seconds: float, allowed: Mapping[str, Any]) -> Certificate | None:
        """A series along a direction that is proven, or as narrow as is `allowed`; None if it has a kink or is neither.

        Args:
            direction: tree like the parameters.
            order: highest derivative wanted.
            seconds: that it may take.
            allowed: radii, by the name of the part of a `Certificate`.
        """
        if self.is_large:
            found = certify(self.loss, self.params, self.data, direction, order=order, seconds=seconds, whole=True)
            narrow = all(getattr(found, name).ball.rad() <= float(radius) for name, radius in allowed.items())
            known = found.status in ("certified", "loose") and found.value.is_finite and narrow
            if (found.status == "certified" or known) and not found.kinks:
                return found
            if not self.has_time(seconds):
                return None
        found = certify(self.loss, self.params, self.data, direction, order=order, seconds=seconds)
        return found if found.status == "certified" and not found.kinks else None


def _or_kink(way: Any, *args: Any, **options: Any) -> Any:
    try:
        return way(*args, **options)
    except KinkError as met:
        return met
