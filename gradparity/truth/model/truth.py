"""The truth of a user's neutral loss, and its noise floor: what `reference` is for the built-in models.

Truth is the midpoint of enclosures by reverse mode in balls (`reverse`). It is held against the same tape in extended
precision, and against forward mode (`certify`), which knows no tape. Where the loss has a kink, or its formula no
value, entries are looked at from both sides (`seam`); where the time does not suffice, extended precision is the truth,
held against forward mode in as many directions as time allows. `Reference.method` says which. What cannot be found, or
what two ways to it disagree on, is nan, and `Reference.unknown` says why.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.precisions import PRECISIONS
from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks, require_extended_precision
from gradparity.progress import expect
from gradparity.truth.derivatives.certificate import Derivatives
from gradparity.truth.derivatives.inputs import Loss
from gradparity.truth.derivatives.reverse import KinkError
from gradparity.truth.model.confirm import (
    CONTRADICTED,
    NARROW,
    allowed,
    denied,
    denied_along,
    direction,
    refuted,
    slack_of,
)
from gradparity.truth.model.floor import NO_DRAWS, NO_FLOOR, Tape
from gradparity.truth.model.kinds import Kinds
from gradparity.truth.model.partial import Partial
from gradparity.truth.model.seam import NO_TIME, UNDECIDED, Kinks, Seam, seam, seam_in_extended
from gradparity.truth.model.whole import wrapped
from gradparity.truth.reference import BUDGET_S, Reference, Together

#: Shares of the budget: for the enclosures, and for the draws of the floor.
ENCLOSING, DRAWING = 0.5, 0.3
#: What a truth takes, in evaluations in extended precision: measured, from 7 of large losses to 18 of small ones.
EVALUATIONS = 10
#: Seconds that draws are given however small the budget is: of a small model they take no more.
LEAST_DRAWING_S = 5.0
#: Random directions in which forward mode has to confirm enclosures, which it can only contradict by a defect.
CONFIRMING = 2
#: Share that forward mode may take for a direction when the budget is spent.
FORWARD = 0.4
#: Random directions that extended precision is held against at most.
MOST_DIRECTIONS = 16
#: Share of the budget after which entries at a kink are not looked at any more.
SEAMS = 0.9
#: Distance to the floor near by, over the largest parameter: far enough for a formula that is 0 / 0 at the point to
#: have most of its digits.
BESIDE = 2.0**-10
DTYPES = ("float64", "float32")
#: Times that free signs are drawn anew: one that matters is missed once in 2^16 losses.
TURNS = 16


NO_VALUE = "the loss or its derivative is not a finite number there"
ORIENTED = (
    "it depends on the sign of an eigenvector, a singular vector or a column of Q, which is free: frameworks, versions "
    "and machines choose differently. Fix it in the loss, or use what has no sign, v v^T for one"
)


def neutral_reference(
    loss: Loss, params: Any, data: Any, tangents: Any, *, seed: int, budget_s: float = BUDGET_S,
    second_order: bool = True, rounding: str | None = None,
) -> Reference:  # fmt: skip
    """Truth and noise floor of a neutral loss at its parameters, in the dtype of those.

    Args:
        loss: neutral loss ``loss(params, data, xp)``, returning a scalar.
        params: tree (dict, list, tuple) of float arrays, each number taken exactly.
        data: tree of arrays and plain Python values.
        tangents: tree like `params`: the direction of the JVP and of the Hessian-vector product.
        seed: of the noise and of the confirming directions.
        budget_s: seconds that all this may take; it degrades as the module says, and for a very large model as
            `partial` does. For others a few draws of the floor and one direction of forward mode are made even if
            they take it over that.
        second_order: whether anybody asks for more than loss and gradient, which are half of the work.
        rounding: the precision that backends compute in, where it is another than that dtype.

    Returns:
        Blocks ``("loss", "")``, ``("gradient", path)``, ``("jvp", "")`` and ``("hvp", path)``, longdouble arrays in the
        parameters' shapes; also kinks and ignored parameters. The last two may be left out where nobody asks for them.

    Raises:
        NotCertifiableError: the loss uses a name without a certified form.
        OutOfTimeError: a very large model, of which nothing can be certified in the time.
        InputError: the loss is no scalar, the tangents do not fit, or there is no extended precision here.
    """
    require_extended_precision()
    began = time.monotonic()
    found = Partial(loss, params, data, seed, began + budget_s, rounding).reference()
    for whole in (True,) if second_order else (False, True):
        found = (
            found
            or _Search(
                loss, params, data, tangents, seed, began, budget_s, second_order=whole, rounding=rounding
            ).reference()
        )
    assert found is not None  # noqa: S101
    return found


@dataclass
class _Found:
    """A truth, with what is to be said of it."""

    truth: Blocks
    method: str
    certified: bool = False
    lone: bool = True  #: found without forward mode, which has to confirm it
    kinks: Kinks = field(default_factory=dict)
    unknown: dict[tuple[str, str], str] = field(default_factory=dict)
    together: Sequence[Together] = ()


class _Search:
    def __init__(
        self, loss: Loss, params: Any, data: Any, tangents: Any, seed: int, began: float, budget_s: float,
        *, second_order: bool, rounding: str | None,
    ) -> None:  # fmt: skip
        self.loss, self.params, self.data, self.tangents = loss, params, data, tangents
        self.seed, self.began, self.budget_s = seed, began, budget_s
        self.cut_short = False  # draws of the floor, by the time
        self.dtypes = {path: rounding or str(np.asarray(leaf).dtype) for path, leaf in leaves(params)}
        self.dtype = max(self.dtypes.values())  # of scalars: the wider one
        self.second_order = second_order
        self.tape = Tape(loss, params, data, tangents if second_order else None)

    def reference(self) -> Reference | None:
        """The best truth that the time allows; None of loss and gradient alone at a kink, or where one is no number."""
        began = time.monotonic()
        values, ignored = self.tape.values(), self.tape.ignored
        size = sum(np.size(leaf) for _, leaf in leaves(self.params))
        expected_s = EVALUATIONS * (time.monotonic() - began)
        expect(f"{size:,} parameters", min(expected_s, self.budget_s) if self.budget_s else expected_s)
        self.kinds = Kinds(self.loss, self.params, self.data, self.tape.cells)
        enclosed = self.kinds.derivatives(self.tangents, self._left(ENCLOSING))
        if not self.second_order:  # enclosed along a direction all the same, which is what shows a kink
            if not isinstance(enclosed, Derivatives) or not enclosed.known:
                return None
            enclosed = replace(enclosed, product={})
        floor = self._floor(values)
        if isinstance(enclosed, Derivatives) and enclosed.whole and _wide(enclosed, floor):
            seconds = self._left(ENCLOSING)
            if self.kinds.has_time(seconds):
                enclosed = self.kinds.by_balls(self.tangents, seconds) or enclosed
        if isinstance(enclosed, KinkError):
            what = f"a tie of {enclosed.kinks[0].name} at this point"
            found = self._at_seam(values, floor, None, what, in_balls=self.kinds.has_time(self._left(ENCLOSING)))
        elif enclosed is not None and not enclosed.whole and not enclosed.known:
            found = self._at_seam(values, floor, enclosed, "no value could be enclosed at the point itself")
        elif enclosed is None and any(tied.any() for tied in self.tape.ties.found):
            found = self._at_seam(values, floor, None, "a tie at this point", in_balls=False)
        else:
            found = _of(enclosed, values, floor, self.kinds.undecided)
        directions = 0
        if found.lone and all(np.isfinite(value).all() for value in found.truth.values()):
            directions = self._confirmed(found, floor)
            if not found.certified:
                several = f"in {directions} direction{'s' * (directions > 1)}"
                found.method += f", confirmed by ball arithmetic {several}" if directions else ", not confirmed"
            elif not directions:
                found.method += ", forward mode out of time"
        if self.tape.oriented:
            self._turn(values, floor, found)
        floor = self._floor_beside(found, floor)
        unknown = {}
        for key, value in found.truth.items():
            none = _explained(key, found.kinks, value.shape)  # the others are not known
            if not (np.isfinite(value) | none).all():
                unknown[key] = found.unknown.get(key, NO_VALUE)
            elif not (np.isfinite(floor[key]) | none).all():
                unknown[key] = found.unknown.get(key, NO_DRAWS if self.cut_short else NO_FLOOR)
        seconds = time.monotonic() - self.began
        return Reference(
            found.truth,
            floor,
            found.method,
            seconds,
            directions,
            found.kinks,
            ignored,
            unknown,
            wrapped=wrapped(self.loss, self.params, self.data),
            together=found.together,
        )

    def _turn(self, values: Blocks, floor: Blocks, found: _Found) -> None:
        """No truth where other signs of eigenvectors give another one, by more than rounds in extended precision."""
        for turn in range(TURNS):
            turned = self.tape.turned(turn)
            if any(np.any(np.abs(turned[key] - value) > floor[key] / 16) for key, value in values.items()):
                found.truth = {key: np.full_like(value, np.nan) for key, value in found.truth.items()}
                found.unknown |= dict.fromkeys(found.truth, ORIENTED)
                return

    def _left(self, share: float = 1.0) -> float:
        return max(0.0, self.began + share * self.budget_s - time.monotonic())

    def _floor(self, values: Blocks, tape: Tape | None = None) -> Blocks:
        """By the dtype of the parameters; of mixed ones each entry by the lower, where that has any part in it."""
        tape, seconds = tape or self.tape, DRAWING * self.budget_s
        ends_s = max(self.began + SEAMS * self.budget_s, time.monotonic() + max(seconds, LEAST_DRAWING_S))
        mixed = len(set(self.dtypes.values())) > 1
        fine, *rest = (
            tape.floor(values, dtype, seed=self.seed, seconds=seconds / (1 + mixed), deadline=ends_s)
            for dtype in (DTYPES if mixed else [self.dtype])
        )
        self.cut_short = self.cut_short or time.monotonic() > ends_s
        if not rest:
            return fine
        (coarse,) = rest
        lower = {path for path, dtype in self.dtypes.items() if dtype == DTYPES[1]}
        reached = tape.depends_on(lower, np.random.default_rng([self.seed, 8]))
        return {key: np.where(reached[key] | (key[1] in lower), coarse[key], fine[key]) for key in fine}

    def _floor_beside(self, found: _Found, floor: Blocks) -> Blocks:
        """With the floor near by where the truth is a limit: at the point itself the formula is no number to move."""
        for key, value in found.truth.items():  # one rounding of what is true, where the branch at the point is not
            unit = np.longdouble(PRECISIONS[self.dtypes.get(key[1], self.dtype)].unit)
            floor[key] = np.where(np.isfinite(value), np.maximum(floor[key], unit * np.abs(value)), floor[key])
        if not any(np.any(np.isfinite(value) & ~np.isfinite(floor[key])) for key, value in found.truth.items()):
            return floor
        sizes = [np.abs(np.asarray(leaf, np.longdouble)) for _, leaf in leaves(self.params)]
        step = BESIDE * (max(float(size.max(initial=0)) for size in sizes) or 1.0)
        rng = np.random.default_rng([self.seed, 10])
        moved = map_tree(
            lambda _, leaf: np.asarray(leaf, np.longdouble) + step * np.abs(rng.standard_normal(np.shape(leaf))),
            self.params,
        )
        near = self._floor(found.truth, Tape(self.loss, moved, self.data, self.tape.direction))
        return {key: np.where(np.isfinite(value), value, near[key]) for key, value in floor.items()}

    def _at_seam(
        self, values: Blocks, floor: Blocks, enclosed: Derivatives | None, what: str, *, in_balls: bool = True
    ) -> _Found:
        """Entry by entry from both sides; what is enclosed at the point itself stays."""
        deadline = self.began + SEAMS * self.budget_s
        words = f"certified in ball arithmetic from both sides: {what}"
        found = None
        if in_balls:
            found = seam(self.loss, self.params, self.data, self.tangents, seed=self.seed, deadline=deadline)
        if found is None:
            words = f"extended precision from both sides, for want of time: {what}"
            found = seam_in_extended(self.tape, values, seed=self.seed, deadline=deadline)
        elif any(why in found.unknown.values() for why in (NO_TIME, UNDECIDED)):
            words += _filled_in(found, seam_in_extended(self.tape, values, seed=self.seed, deadline=deadline))
        truth, unknown = found.truth, found.unknown
        if enclosed is not None:
            for key, each in enclosed.blocks.items():
                truth[key] = np.where(each.is_finite, each.as_longdouble(), truth[key])
        unknown |= refuted(values, found.point, floor, truth)
        return _Found(truth, words, lone=False, kinks=found.kinks, unknown=unknown, together=found.together)

    def _confirmed(self, found: _Found, floor: Blocks) -> int:
        """In how many random directions forward mode agrees."""
        rng = np.random.default_rng([self.seed, 3])
        confirmed, wanted = 0, CONFIRMING if found.certified else MOST_DIRECTIONS
        # Midpoints in extended precision are off by its roundings; extended precision itself is good to the floor.
        slack = slack_of(found.truth, floor) if found.certified else dict(floor)
        for turn in range(wanted):
            if turn and not self._left():
                break
            second = turn == 0 and self.second_order
            along = self.tangents if turn == 0 else direction(self.params, rng)
            radii = {"value": slack["loss", ""], "first": allowed("gradient", along, slack)}
            if second:
                radii["second"] = allowed("hvp", along, slack)
            seconds = max(self._left(), FORWARD * self.budget_s)
            series = self.kinds.along(along, 2 if second else 1, seconds, radii)
            if series is None:
                continue
            against = {
                "loss": denied(series.value, found.truth["loss", ""], slack["loss", ""]),
                "gradient": denied_along(series.first, "gradient", along, found.truth, slack),
            }
            if second:
                against["jvp"] = denied(series.first, found.truth["jvp", ""], slack["jvp", ""])
                against["hvp"] = denied_along(series.second, "hvp", along, found.truth, slack)
            for key, value in found.truth.items():
                if why := against.get(key[0]):
                    found.truth[key] = np.full_like(value, np.nan)
                    found.unknown[key] = CONTRADICTED.format(why)
            if any(against.values()):
                break
            confirmed += 1
        return confirmed


def _of(found: Derivatives | None, values: Blocks, floor: Blocks, undecided: str = "") -> _Found:
    """Midpoints, where the enclosures are narrow; where they are not, extended precision, and said so."""
    if found is None:
        why = f"as no precision of balls decides {undecided}" if undecided else "for want of time to enclose it"
        return _Found(values, f"extended precision, {why}")
    enclosed = found.blocks
    truth = {key: each.as_longdouble() for key, each in enclosed.items()}
    words = f"certified in ball arithmetic at {found.bits} bits"
    wide = 0
    for key, loose in _wide(found, floor).items():
        truth[key] = np.where(loose, values[key], truth[key])
        wide += int(loose.sum())
    if wide:
        words += f", but for {wide} entries, which are in extended precision"
    return _Found(truth, words, not wide, unknown=refuted(values, dict(truth), floor, truth))


def _wide(found: Derivatives, floor: Blocks) -> dict[tuple[str, str], npt.NDArray[np.bool_]]:
    """Entries that are not narrow enough for every verdict, of blocks that have any."""
    if found.settled:
        return {}
    loose = {key: ~(each.radii() <= NARROW * floor[key]) for key, each in found.blocks.items()}
    return {key: where for key, where in loose.items() if where.any()}


def _filled_in(found: Seam, extended: Seam) -> str:
    """Entries that balls say nothing of, from extended precision: numbers computed alike are equal there; in words."""
    filled = 0
    for key in [key for key, why in found.unknown.items() if why in (NO_TIME, UNDECIDED)]:
        blank = ~np.isfinite(found.truth[key])
        of_block = {place: sides for place, sides in extended.kinks.items() if place[:2] == key and blank[place[2]]}
        found.truth[key] = np.where(blank, extended.truth[key], found.truth[key])
        found.kinks |= of_block
        filled += int(np.count_nonzero(blank))
        del found.unknown[key]
        if key in extended.unknown:
            found.unknown[key] = extended.unknown[key]
    return f"; {filled} entries in extended precision" if filled else ""


def _explained(key: tuple[str, str], kinks: Kinks, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Entries of a block that have no value, and are known to have none."""
    out = np.zeros(shape, bool)
    for (*block, index), sides in kinks.items():
        if tuple(block) == key and not np.isfinite(sides).all():
            out[index] = True
    return out
