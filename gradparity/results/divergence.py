"""Where backends diverge, as it is kept: the first tapped value, going forward, and the first cotangent, backward."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from gradparity.formatting import three
from gradparity.results.lines import Lines

Kind: TypeAlias = Literal["value", "shape", "dtype", "nonfinite", "missing"]
Direction: TypeAlias = Literal["forward", "backward"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How a block differs from the one that is expected; the figures are of a ``value``, ``detail`` tells the rest.

    ``got`` is the entry furthest beyond its floor, at ``index``; the real and imaginary parts of a complex array are
    entries along a last axis. ``relative`` is over the block: largest difference over largest expected magnitude.
    ``floors`` and ``ulps`` are of the entry. ``resembles``: what the whole block is of the expected one, ``transposed``
    or some number of times as large. A figure is ``None`` where it is not a finite number.
    """

    kind: Kind
    detail: str = ""
    resembles: str = ""
    relative: float | None = None
    ulps: float | None = None
    floors: float | None = None
    index: tuple[int, ...] = ()
    got: float | None = None
    expected: float | None = None


class Divergence(Difference, frozen=True, kw_only=True):
    """The first tap at which a backend diverges from others: by its value (forward) or its cotangent (backward).

    ``against`` are the backends that agree with each other, or ``truth``; of two that diverge, neither is the odd one.
    ``occurrence`` counts the calls of the tap from 0, ``of`` is how many there are.
    """

    direction: Direction
    tap: str
    occurrence: int
    of: int
    backend: str
    against: list[str]

    @property
    def place(self) -> str:
        """Where in words: ``at `hidden` (forward)``, or ``(forward, call 3 of 5)`` where there are several calls."""
        call = f", call {self.occurrence + 1} of {self.of}" if self.of > 1 else ""
        return f"at `{self.tap}` ({self.direction}{call})"

    def __str__(self) -> str:
        named = {"truth": "the truth"}.get(self.against[0], self.against[0])
        others = named if len(self.against) == 1 else "the others"
        words = f"{self.backend} diverges from {others} {self.place}: "
        if self.kind != "value":
            return words + self.detail
        floors = "beyond a floor of zero" if self.floors is None else f"{_count(self.floors)} floors"
        relative = f"{self.relative:.1e} relative, {floors}" if self.relative is not None else floors
        where = f"at {list(self.index)}: " if self.index else ""
        entry = f"{where}{shown(self.got)} against {shown(self.expected)}"
        return words + ", ".join(filter(None, [relative, entry, self.resembles]))


class Divergences(msgspec.Struct, frozen=True, kw_only=True):
    """What the taps of one problem say: ``taps`` is how many values were compared, ``notes`` what could not be.

    ``lines`` is where ports diverge without any tap, to the line.

    ``found`` has at most one divergence a backend and direction, forward ones first. Where a gradient disagrees all the
    same, it goes wrong beyond the taps: forward after the last, backward before the first.
    """

    taps: int = 0
    found: list[Divergence] = []
    notes: list[str] = []
    lines: list[Lines] = []


def _count(value: float) -> str:
    return three(value) if value < 1e4 else f"{value:.1e}"


def shown(value: float | None) -> str:
    """A number of a sentence."""
    return "none" if value is None else f"{value:.6g}"
