"""The truth of a user's neutral loss, and its noise floor: what `reference` is for the built-in models.

Truth is the midpoint of enclosures by reverse mode in balls (`reverse`), and that is held against forward mode
(`certify`), which knows no tape. Where the loss has a kink each entry is enclosed from both sides, one by one; where
the time does not suffice, the same tape in extended precision is the truth, held against forward mode in as many
directions as time allows. `Reference.method` says which.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks, require_extended_precision
from gradparity.truth.derivatives.certificate import Certificate, Derivatives
from gradparity.truth.derivatives.inputs import Loss
from gradparity.truth.derivatives.reverse import KinkError, differentiate
from gradparity.truth.derivatives.series import certify, certify_gradient
from gradparity.truth.model.floor import Tape
from gradparity.truth.numbers.enclosure import Enclosure
from gradparity.truth.reference import BUDGET_S, Reference, TruthError

#: Shares of the budget: for the enclosures, and for the draws of the floor.
ENCLOSING, DRAWING = 0.5, 0.3
#: Random directions in which forward mode has to confirm enclosures, which it can only contradict by a defect.
CONFIRMING = 2
#: Share that forward mode may take for a direction when the budget is spent.
FORWARD = 0.4
#: Random directions that extended precision is held against at most.
MOST_DIRECTIONS = 16
#: A radius of this share of the floor does not matter to any verdict.
NARROW = 1e-3
#: Relative roundings of a midpoint and of a sum of some in extended precision, with room.
EXTENDED_ROUNDING = np.longdouble(16) * np.finfo(np.longdouble).eps


def neutral_reference(
    loss: Loss, params: Any, data: Any, tangents: Any, *, seed: int, budget_s: float = BUDGET_S
) -> Reference:
    """Truth and noise floor of a neutral loss at its parameters, in the dtype of those.

    Args:
        loss: neutral loss ``loss(params, data, xp)``, returning a scalar.
        params: tree (dict, list, tuple) of float arrays, each number taken exactly.
        data: tree of arrays and plain Python values.
        tangents: tree like `params`: the direction of the JVP and of the Hessian-vector product.
        seed: of the noise and of the confirming directions.
        budget_s: seconds that all this may take; it degrades as the module says. A few draws of the floor and one
            direction of forward mode are made even if they take it over that.

    Returns:
        Blocks ``("loss", "")``, ``("gradient", path)``, ``("jvp", "")`` and ``("hvp", path)``, longdouble arrays in the
        parameters' shapes; also kinks and ignored parameters.

    Raises:
        NotCertifiableError: the loss uses a name without a certified form.
        InputError: the loss is no scalar, the tangents do not fit, or there is no extended precision here.
        TruthError: two derivations of the truth disagree.
    """
    require_extended_precision()
    return _Search(loss, params, data, tangents, seed, budget_s).reference()


@dataclass
class _Found:
    """A truth, with what is to be said of it."""

    truth: Blocks
    method: str
    certified: bool = False
    kinks: dict[tuple[str, str, tuple[int, ...]], tuple[float, float]] = field(default_factory=dict)


class _Search:
    def __init__(self, loss: Loss, params: Any, data: Any, tangents: Any, seed: int, budget_s: float) -> None:
        self.loss, self.params, self.data, self.tangents = loss, params, data, tangents
        self.seed, self.budget_s = seed, budget_s
        self.began = time.monotonic()
        self.dtype = dtype_of(params)
        self.tape = Tape(loss, params, data, tangents)

    def reference(self) -> Reference:
        """The best truth that the time allows."""
        values, ignored = self.tape.values(), self.tape.ignored
        enclosed = self._enclosed()
        floor = self.tape.floor(values, self.dtype, seed=self.seed, seconds=DRAWING * self.budget_s)
        found = self._at_kink(values, enclosed) if isinstance(enclosed, KinkError) else _of(enclosed, values, floor)
        directions = self._confirmed(found, floor)
        if not found.certified:
            found.method += f", confirmed by ball arithmetic in {directions} directions"
        elif not directions:
            found.method += ", forward mode out of time"
        seconds = time.monotonic() - self.began
        return Reference(found.truth, floor, found.method, seconds, directions, found.kinks, ignored)

    def _left(self, share: float = 1.0) -> float:
        return max(0.0, self.began + share * self.budget_s - time.monotonic())

    def _enclosed(self) -> Derivatives | KinkError | None:
        seconds = self._left(ENCLOSING)
        try:
            return differentiate(self.loss, self.params, self.data, self.tangents, seconds=seconds)
        except KinkError as met:
            return met

    def _at_kink(self, values: Blocks, met: KinkError) -> _Found:
        """One coordinate after the other, from both sides."""
        what = f"a tie of {met.kinks[0].name} at this point"
        found = certify_gradient(self.loss, self.params, self.data, seconds=self._left(0.9))
        if not found.complete:
            return _Found(values, f"extended precision, for want of time at {what}")
        truth = values | {("gradient", path): each.as_longdouble() for path, each in found.gradient.items()}
        kinks = {("gradient", *place): _interval(certificate) for place, certificate in found.kinks.items()}
        if kinks:  # extended precision has one branch of each
            second = {key: np.full_like(value, np.nan) for key, value in truth.items() if key[0] in ("jvp", "hvp")}
            truth |= second
        words = f"gradient certified in ball arithmetic at {found.bits} bits, entry by entry; {what}"
        return _Found(truth, f"{words}; the rest in extended precision", kinks=kinks)

    def _confirmed(self, found: _Found, floor: Blocks) -> int:
        """In how many random directions forward mode agrees."""
        rng = np.random.default_rng([self.seed, 3])
        confirmed, wanted = 0, CONFIRMING if found.certified else MOST_DIRECTIONS
        # Midpoints in extended precision are off by its roundings; extended precision itself is good to the floor.
        slack = dict(floor)
        if found.certified:
            for key, value in found.truth.items():
                slack[key] = np.asarray(NARROW * floor[key] + EXTENDED_ROUNDING * np.abs(value), np.longdouble)
        for turn in range(wanted):
            if turn and not self._left():
                break
            along = self.tangents if turn == 0 else _direction(self.params, rng)
            series = certify(self.loss, self.params, self.data, along, order=2 if turn == 0 else 1, seconds=max(
                self._left(), FORWARD * self.budget_s
            ))  # fmt: skip
            if series.status != "certified" or series.kinks:
                continue
            _require("loss", series.value, found.truth["loss", ""], slack["loss", ""])
            _require_along("g.v", series.first, "gradient", along, found.truth, slack)
            if turn == 0:
                _require("g.v", series.first, found.truth["jvp", ""], slack["jvp", ""])
                _require_along("v^T H v", series.second, "hvp", along, found.truth, slack)
            confirmed += 1
        return confirmed


def dtype_of(params: Any) -> str:
    """The dtype whose roundings make the floor: float32 only if every parameter is."""
    kinds = {np.asarray(leaf).dtype for _, leaf in leaves(params)}
    return "float32" if kinds == {np.dtype(np.float32)} else "float64"


def _of(found: Derivatives | None, values: Blocks, floor: Blocks) -> _Found:
    """Midpoints, where the enclosures are narrow; where they are not, extended precision, and said so."""
    if found is None:
        return _Found(values, "extended precision, for want of time to enclose it")
    enclosed = found.blocks
    truth = {key: each.as_longdouble() for key, each in enclosed.items()}
    words = f"certified in ball arithmetic at {found.bits} bits"
    wide = 0
    if not found.settled:
        for key, each in enclosed.items():
            loose = ~(each.radii() <= NARROW * floor[key])
            truth[key] = np.where(loose, values[key], truth[key])
            wide += int(loose.sum())
    if wide:
        words += f", but for {wide} entries, which are in extended precision"
    return _Found(truth, words, not wide)


def _interval(certificate: Certificate) -> tuple[float, float]:
    lower, upper = certificate.interval
    return lower.as_float(), upper.as_float()


def _direction(params: Any, rng: np.random.Generator) -> Any:
    return map_tree(lambda _, leaf: rng.standard_normal(np.shape(leaf)), params)


def _require_along(name: str, series: Enclosure, quantity: str, along: Any, truth: Blocks, slack: Blocks) -> None:
    """``sum_i x_i v_i`` of a quantity against forward mode's."""
    moves = {path: np.asarray(leaf, np.longdouble) for path, leaf in leaves(along)}
    total = sum((truth[quantity, path] * v).sum() for path, v in moves.items())
    allowed = sum((slack[quantity, path] * np.abs(v)).sum() for path, v in moves.items())
    _require(name, series, np.longdouble(total), np.longdouble(allowed))


def _require(name: str, series: Enclosure, got: Any, slack: Any) -> None:
    difference = abs(np.longdouble(series.as_longdouble()) - got)
    if difference > slack:
        raise TruthError(f"{name}: reverse mode gives {got}, forward mode {series!r}")
