"""Draws of a tape: how far its entries move with noise, and with roundings as they really are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np

from gradparity.numerics.extended import Blocks
from gradparity.progress import advance
from gradparity.truth.model.spread import ENOUGH, Spread
from gradparity.truth.numbers.context import OutOfTimeError
from gradparity.truth.numbers.draws import DifferError
from gradparity.truth.numbers.noise import Nearest, Noise, Roundings
from gradparity.truth.numbers.side_by_side import SideBySide
from gradparity.truth.numbers.walks import ACCUMULATORS

#: Draws: their rms over fewer comes out low by accident (a third, once in 300 entries for 6, once in 10^6 for 16):
#: see `spread.not_by_chance`.
MOST_DRAWS, FEWEST_DRAWS = 32, ENOUGH
#: Numbers that all draws of one evaluation may compute, of 16 bytes each, and draws for which that pays.
CELLS_TOGETHER, FEWEST_TOGETHER = 2**22, 3
#: Numbers that an evaluation computes from which on draws are made in float64, and by how much noise is larger there.
LARGE_CELLS, IN_FLOAT64 = 2**21, 2.0**4

#: Makes the roundings of so many draws.
Rule: TypeAlias = Callable[[int], Roundings]


class Drawable(Protocol):
    """A loss that can be evaluated again and again; `floor.Tape` is one."""

    cells: int

    def base(self, deadline: float | None) -> Blocks:
        """Every block without roundings."""

    def evaluated(self, noise: Roundings | None, *, deadline: float | None) -> Blocks:
        """Every block, in extended precision."""

    def in_float64(self, noise: Roundings | None, deadline: float | None) -> Blocks:
        """Every block, in float64."""


class Drawing:
    """Draws of a tape, as many of them in one evaluation as memory has room for, and as their branches allow.

    Draws of a large model are made in float64, whose matrix products are BLAS's, and their moves scaled back from noise
    that is larger by `IN_FLOAT64`: a sixteenth of a move, in quadrature, is what float64 itself rounds at the same
    places, whatever cancels afterwards. (What rounds the same way every time is no noise: both the draw and that from
    which it moves have it; how far it goes is seen against long doubles.) Larger noise would drown float64's own
    still better, and step over kinks, of which a large model has some near any point, and out of domains. Float32's
    noise is far above float64's roundings as it is. Where noise leaves the domain, long doubles take smaller steps.

    Args:
        tape: what is drawn.
        dtype: that is rounded to.
        rng: of the noise.
        deadline: `time.monotonic()` value after which no draw goes on, or None.
    """

    def __init__(self, tape: Drawable, dtype: str, rng: np.random.Generator, deadline: float | None) -> None:
        self.tape, self.dtype, self.rng, self.deadline = tape, dtype, rng, deadline
        self.base = tape.base(deadline)
        self.together = CELLS_TOGETHER // max(1, tape.cells)

    def moved(self, soon: float) -> tuple[Blocks, Blocks]:
        """Mean squares of the moves by noise, and the largest squares of those by roundings as they really are.

        Of noise there are the fewest draws, and more until it is `soon`.
        """
        if self.tape.cells >= LARGE_CELLS:
            return self._in_doubles(soon)
        noisy, really = Spread(self.base), Spread(self.base)
        nearest: list[tuple[Rule, int]] = [(partial(self._nearest, accumulators), 1) for accumulators in ACCUMULATORS]
        with suppress(OutOfTimeError):
            first = self._at_once([*nearest, (self._noise, min(MOST_DRAWS, self.together - len(nearest)))])
            if first is not None:
                noisy.add(first.pop())
            for blocks in first or map(self._one, nearest):
                really.add(blocks)
            while noisy.draws < FEWEST_DRAWS or (noisy.draws < MOST_DRAWS and time.monotonic() < soon):
                noisy.add(self._some(self._noise, MOST_DRAWS - noisy.draws))
                advance("draws", noisy.draws, MOST_DRAWS)
        if really.draws < len(nearest):  # how far those go is no matter of chance: nothing is known without them
            return noisy.unknown(), really.unknown()
        return noisy.variances(), really.largest

    def _in_doubles(self, soon: float) -> tuple[Blocks, Blocks]:
        """The same, drawn in float64."""
        share = IN_FLOAT64 if self.dtype == "float64" else 1.0
        really, noisy = Spread(self.base), Spread(self.base)
        with suppress(OutOfTimeError):
            for accumulators in ACCUMULATORS:
                really.add(self._in_float64(Nearest(self.dtype, accumulators)))
            noisy = Spread({key: value[0] for key, value in self._in_float64(None).items()})
            while noisy.draws < FEWEST_DRAWS or (noisy.draws < MOST_DRAWS and time.monotonic() < soon):
                noisy.add(self._in_float64(self._noise(1, share)))
                advance("draws", noisy.draws, MOST_DRAWS)
        if really.draws < len(ACCUMULATORS):
            return noisy.unknown(), really.unknown()
        return {key: value / share**2 for key, value in noisy.variances().items()}, really.largest

    def _in_float64(self, noise: Roundings | None) -> Blocks:
        return {key: value[None] for key, value in self.tape.in_float64(noise, self.deadline).items()}

    def by_smaller_steps(self, share: float) -> Blocks:
        """Mean squares of the moves by a share of the noise, scaled to all of it."""
        spread = Spread(self.base)
        with suppress(OutOfTimeError):
            while spread.draws < FEWEST_DRAWS:
                spread.add(self._some(partial(self._noise, share=share), FEWEST_DRAWS - spread.draws))
        return {key: value / np.longdouble(share) ** 2 for key, value in spread.variances().items()}

    def _noise(self, draws: int, share: float = 1.0) -> Noise:
        return Noise(self.dtype, self.rng, share, draws)

    def _nearest(self, accumulators: int, _draws: int) -> Nearest:
        return Nearest(self.dtype, accumulators)

    def _some(self, rule: Rule, wanted: int) -> Blocks:
        """As many draws of a rule as can be made at once, of those that are wanted."""
        blocks = self._at_once([(rule, min(wanted, self.together))])
        return self._one((rule, 1)) if blocks is None else blocks[0]

    def _one(self, group: tuple[Rule, int]) -> Blocks:
        blocks = self.tape.evaluated(group[0](1), deadline=self.deadline)
        return {key: value[None] for key, value in blocks.items()}

    def _at_once(self, groups: Sequence[tuple[Rule, int]]) -> list[Blocks] | None:
        """The draws of each group, on a first axis; None where they have to be made one at a time."""
        counts = [count for _, count in groups]
        if min(counts) < 1 or sum(counts) < FEWEST_TOGETHER:
            return None
        roundings = SideBySide([(rule(count), count) for rule, count in groups])
        try:
            blocks = self.tape.evaluated(roundings, deadline=self.deadline)
        except (DifferError, TypeError):  # NumPy refuses what has no arithmetic for records with a TypeError
            self.together = 0
            return None
        ends = np.cumsum(counts)
        return [
            {key: value[end - count : end] for key, value in blocks.items()}
            for count, end in zip(counts, ends, strict=True)
        ]
