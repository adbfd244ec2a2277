"""The truth of a model whose whole truth would take longer than there is time: less of it, certified, and what it is.

Draws in float64 come first: they end in their time whatever it is, serve everything that follows, and show how fast the
machine is just now. One pass of enclosures there and back, without a direction, then has the loss and every entry of
the gradient for a tenth of what everything takes. Where that does not fit, forward mode has the loss, and the
gradient's product with random directions, in which all entries have a part: a block that is wrong shows in each, but
for one in 40,000 (`reference.GRID`), by how far it is off along it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradparity.model_spec.precisions import PRECISIONS
from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks
from gradparity.progress import advance, expect
from gradparity.truth.derivatives.certificate import Certificate
from gradparity.truth.derivatives.inputs import Loss
from gradparity.truth.derivatives.reverse import KinkError, enclosed_whole
from gradparity.truth.derivatives.series import certify
from gradparity.truth.model.confirm import CONTRADICTED, NARROW, denied_along, slack_of
from gradparity.truth.model.drawing import FEWEST_DRAWS, LARGE_CELLS, Drawing
from gradparity.truth.model.floor import NO_FLOOR, Tape
from gradparity.truth.model.spread import FEWEST_NUMBERS
from gradparity.truth.numbers.context import OutOfTimeError
from gradparity.truth.numbers.doubled import is_usual
from gradparity.truth.numbers.noise import Noise, Roundings
from gradparity.truth.reference import PROJECTION, VERY_LARGE, Reference, along_directions, direction

#: Levels of slices of matrix products, by dtype, which leave enclosures within a thousandth of a floor; 4 are not
#: enough for float64 through two layers of 300.
LEVELS = {"float64": 5, "float32": 3}
#: What there is to do takes so many evaluations of loss and gradient in float64: everything; enclosures of loss and
#: gradient; a series along one direction; one draw; and, beside draws, the roundings as they really are.
EVERYTHING, ENCLOSED, SERIES, DRAW, REALLY = 200.0, 15.0, 13.0, 2.0, 4.0
#: The share of the time in which draws are made: the fewest, or what there are by then.
DRAWING = 0.45
#: By how much an estimate may be off on a machine that is busy: what fits into so many times the rest is tried; and
#: the share of the rest that what is tried first has to fit into.
MISJUDGED, SURELY = 4.0, 0.8
#: Directions that the gradient is known along at most, where it is not known by entry.
MOST_DIRECTIONS = 3

WIDE = "its enclosure is wider than a thousandth of the noise floor: a larger --budget has narrower ones"


@dataclass
class Partial:
    """What can be certified of a model in the time that there is.

    Attributes:
        loss: neutral loss.
        params: the point.
        data: constants.
        seed: of noise and directions.
        ends_s: `time.monotonic()` value by which it has to be done.
        rounding: the precision that backends compute in, where it is not the dtype of the parameters.
    """

    loss: Loss
    params: Any
    data: Any
    seed: int
    ends_s: float
    rounding: str | None = None
    on_a_seam: bool = False  #: two pieces of the loss meet at the point, as far as was seen

    def reference(self) -> Reference | None:
        """Loss and gradient, or loss and directions; None where everything fits, or the whole truth has to be tried.

        One evaluation in float64 says how long either takes. Of mixed precision, of a point on a seam of two pieces and
        of what has free signs there is only the whole truth.

        Raises:
            OutOfTimeError: not even one direction fits, or fitted.
        """
        self.began_s = time.monotonic()
        self.shapes = {path: np.shape(leaf) for path, leaf in leaves(self.params)}
        self.size = sum(np.size(leaf) for _, leaf in leaves(self.params))
        dtypes = {str(np.asarray(leaf).dtype) for _, leaf in leaves(self.params)}
        if self.size < VERY_LARGE or len(dtypes) > 1 or not is_usual():
            return None
        (carrier,) = dtypes
        self.dtype = self.rounding or carrier
        self.tape = Tape(self.loss, self.params, self.data, None)
        probed_s = time.monotonic()
        try:
            plain = self.tape.in_float64(None, self.ends_s)
        except OutOfTimeError:
            raise OutOfTimeError("one evaluation alone takes longer") from None
        self.once_s = time.monotonic() - probed_s
        if self.tape.oriented or EVERYTHING * self.once_s < self._left():
            return None
        expect(f"{self.size:,} parameters", self._left())
        drawn = FEWEST_DRAWS * DRAW + REALLY
        along_s = (SERIES + drawn) * self.once_s
        if along_s > MISJUDGED * self._left():
            raise OutOfTimeError(f"the gradient along one direction alone would take about {along_s:.0f} s")
        left = self._left() / self.once_s - drawn
        some = 1 if left > ENCLOSED else int(np.clip(left / SERIES, 1, MOST_DIRECTIONS))
        self.moves = _Moves(self.tape, plain, self.shapes, self.seed, some)
        self._draw()
        found = None
        if ENCLOSED * self.once_s < SURELY * self._left():
            found = self._gradient()
        if found is None:
            found = self._along()
        if found is None and not self.on_a_seam:
            raise OutOfTimeError("the time was over before as much as the gradient along one direction was enclosed")
        return found

    def _left(self) -> float:
        return max(0.0, self.ends_s - time.monotonic())

    def _draw(self) -> None:
        """Draws, for whatever is going to be enclosed; how long they take says how long an evaluation does.

        Raises:
            OutOfTimeError: there was no time for as many as say anything.
        """
        began_s = time.monotonic()
        draws = self.moves.draw(self.dtype, self.seed, began_s + DRAWING * self._left())
        if draws < FEWEST_NUMBERS:
            raise OutOfTimeError("the draws of the noise floor alone take longer")
        self.once_s = (time.monotonic() - began_s) / (draws * DRAW + REALLY)

    def _gradient(self) -> Reference | None:
        """Loss and gradient, entry by entry."""
        seconds = self._left() - self.once_s
        try:
            enclosed = enclosed_whole(
                self.loss, self.params, self.data, None, seconds=seconds, levels=LEVELS[PRECISIONS[self.dtype].sums]
            )
        except KinkError:
            self.on_a_seam = True
            return None
        if enclosed is None or not enclosed.known:
            return None
        truth = {key: each.as_longdouble() for key, each in enclosed.blocks.items()}
        floor = self.moves.floor(truth, self.dtype)
        unknown, wide = {}, 0
        for key, each in {} if enclosed.settled else enclosed.blocks.items():
            loose = np.isfinite(floor[key]) & ~(each.radii() <= NARROW * floor[key])
            if loose.any():
                truth[key], unknown[key] = np.where(loose, np.longdouble(np.nan), truth[key]), WIDE
                wide += int(loose.sum())
        del enclosed
        words = f"loss and all {self.size:,} entries of the gradient, certified as enclosures of whole arrays"
        words += f" but for {wide:,} that are too wide" if wide else ""
        confirmed, denied = self._confirmed(truth, floor)
        if denied:
            unknown |= dict.fromkeys(truth, CONTRADICTED.format(denied))
            truth = {key: np.full_like(value, np.nan) for key, value in truth.items()}
        words += f", confirmed by forward mode in {confirmed} direction" if confirmed else ", forward mode out of time"
        return self._said(truth, floor, words, ("jvp", "hvp"), unknown, confirmed)

    def _confirmed(self, truth: Blocks, floor: Blocks) -> tuple[int, str]:
        """In how many directions forward mode agrees, one at most and none without time; and what it has against it."""
        known = all(np.isfinite(blocks[key]).all() for blocks in (truth, floor) for key in truth)
        if not known or SERIES * self.once_s > self._left():
            return 0, ""
        v = direction(self.shapes, self.seed, 0)
        series = self._series(v)
        if series is None:
            return 0, ""
        along = map_tree(lambda path, _: v[path], self.params)
        denied = denied_along(series.first, "gradient", along, truth, slack_of(truth, floor))
        return (0, denied) if denied else (1, "")

    def _along(self) -> Reference | None:
        """Loss, and the gradient along as many directions as there is time for."""
        found: list[Certificate] = []
        while len(found) < self.moves.count and (not found or SERIES * self.once_s < self._left()):
            series = self._series(direction(self.shapes, self.seed, len(found)))
            if series is None:
                break
            found.append(series)
            advance("directions", len(found), self.moves.count)
        if not found:
            return None
        count = len(found)
        truth = {
            ("loss", ""): np.asarray(found[0].value.as_longdouble()),
            (PROJECTION, ""): np.array([series.first.as_longdouble() for series in found]),
        }
        radii = {
            ("loss", ""): np.asarray(float(found[0].value.ball.rad())),
            (PROJECTION, ""): np.array([float(series.first.ball.rad()) for series in found]),
        }
        floor = self.moves.floor(truth, self.dtype)
        unknown = {}
        for key, radius in radii.items():
            loose = np.isfinite(floor[key]) & ~(radius <= NARROW * floor[key])
            if loose.any():
                truth[key], unknown[key] = np.where(loose, np.longdouble(np.nan), truth[key]), WIDE
        plural = "s" * (count > 1)
        words = f"loss, and gradient along {count} random direction{plural}, certified as enclosures of whole arrays"
        words += f"; 0 of {self.size:,} entries one by one"
        return self._said(truth, floor, words, ("gradient, entry by entry", "jvp", "hvp"), unknown, 0)

    def _series(self, v: dict[str, Any]) -> Certificate | None:
        """The loss along a direction; None for want of time, or at a kink."""
        seconds = self._left()
        along, levels = map_tree(lambda path, _: v[path], self.params), LEVELS[PRECISIONS[self.dtype].sums]
        found = certify(self.loss, self.params, self.data, along, order=1, seconds=seconds, whole=True, levels=levels)
        self.on_a_seam = self.on_a_seam or bool(found.kinks)
        known = found.value.is_finite and found.first.is_finite and not found.kinks
        return found if known and found.status in ("certified", "loose") else None

    def _said(
        self,
        truth: Blocks,
        floor: Blocks,
        words: str,
        left: tuple[str, ...],
        unknown: dict[tuple[str, str], str],
        directions: int,
    ) -> Reference:
        why = (
            f"all of the truth would take about {EVERYTHING * self.once_s:.0f} s, more than the time budget has for it"
        )
        for key, value in floor.items():
            if not np.isfinite(value).all():
                unknown.setdefault(key, NO_FLOOR)
        seconds = time.monotonic() - self.began_s
        ignored = self.tape.ignored
        return Reference(
            truth,
            floor,
            words,
            seconds,
            directions,
            ignored=ignored,
            unknown=unknown,
            untimely=dict.fromkeys(left, why),
        )


@dataclass
class _Moves:
    """Draws of loss, gradient and its product with some directions; a `drawing.Drawable`.

    How far they are from the truth is known once that is: first how far they are from an evaluation without noise.

    Attributes:
        tape: what is drawn.
        plain: its evaluation without noise.
        shapes: of the parameters.
        seed: of the directions.
        count: of the directions.
    """

    tape: Tape
    plain: Blocks
    shapes: dict[str, tuple[int, ...]]
    seed: int
    count: int
    cells: int = LARGE_CELLS  #: enough for draws to be made in float64
    drawn: int = field(default=0, init=False)  #: draws with noise, so far

    def __post_init__(self) -> None:
        gradient = {path: value for (quantity, path), value in self.plain.items() if quantity == "gradient"}
        self.plain[PROJECTION, ""] = along_directions(gradient, self.seed, self.count)
        self.directions = [  # which float32 holds
            {path: v.astype(np.float32) for path, v in direction(self.shapes, self.seed, place).items()}
            for place in range(self.count)
        ]

    def draw(self, dtype: str, seed: int, ends_s: float) -> int:
        """Make the fewest draws that there should be, or what there is time for; how many."""
        made = Drawing(self, dtype, np.random.default_rng([seed, 5]), ends_s)
        self.variances, self.systematic = made.moved(0.0)
        return self.drawn

    def floor(self, truth: Blocks, dtype: str) -> Blocks:
        """The floor of every entry of `truth`, nan where none is known; of directions the first ones."""
        unit, found = np.longdouble(PRECISIONS[dtype].unit), {}
        for key, value in truth.items():
            some = slice(len(value)) if key[0] == PROJECTION else ...
            really = np.sqrt(self.systematic[key][some]) + np.abs(self.plain[key][some] - value)
            found[key] = np.asarray(np.sqrt(self.variances[key][some] + really**2 + (unit * value) ** 2))
        return found

    def base(self, deadline: float | None) -> Blocks:  # noqa: ARG002
        """The evaluation without noise."""
        return self.plain

    def in_float64(self, noise: Roundings | None, deadline: float | None) -> Blocks:
        """One draw."""
        if noise is None:
            return self.plain
        found = self.tape.in_float64(noise, deadline)
        moves = np.zeros(self.count)
        for path in self.shapes:
            moved = (found["gradient", path] - self.plain["gradient", path]).ravel()
            moves += [float(moved @ v[path].ravel()) for v in self.directions]
        found[PROJECTION, ""] = self.plain[PROJECTION, ""] + moves
        self.drawn += isinstance(noise, Noise)
        return found

    def evaluated(self, noise: Roundings | None, *, deadline: float | None) -> Blocks:  # noqa: ARG002
        """Never: long doubles take too long.

        Raises:
            OutOfTimeError: always.
        """
        raise OutOfTimeError
