"""Whether a rule with given numbers holds to rounding, and at which learning rates.

At step t, entry i, the parameters moved by ``y = p_t - p_{t+1}``, exactly. A rule says ``y = lr u``, where ``u`` is
known up to a bound of its roundings, and ``p_{t+1}`` is rounded once more. So each entry allows an interval of learning
rates, and the rule holds at a step where all of them have one in common. No least squares decides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.numerics.update_rules.formulas import common_roundings, directions, lasting_roundings
from gradparity.numerics.update_rules.rules import DECAY_RATES, Form
from gradparity.numerics.update_rules.running import Running

Array: TypeAlias = npt.NDArray[Any]

#: Roundings of the learning rate itself, of its product with the direction, and of a sum that is fused or not.
PRODUCT_ROUNDINGS = 3
#: A step's own gradient may be rounded otherwise than the one that was asked for: by so many roundings of its entries.
GRADIENT_ROUNDINGS = 2
#: A move says something where it is so many times what rounding may make of it.
TOLD = 8
LEAST_TOLD = 0.9
#: A rule does not hold, whatever its bound, that is off by so many roundings and by such a part of an entry's moves.
MOST_ROUNDINGS = 100
LOOSE = 1e-3
#: A decay rate of a moment is this at most: with less of each gradient, its mean is a sum, whose scale is not seen.
LARGEST_DECAY = 1 - 1e-5
#: Half of its digits are enough for a dtype of a larger unit roundoff.
_SINGLE = 2.0**-30
#: So many numbers, steps times entries, are held at a time: they stay in a core's own memory.
PART = 40_000
#: eps is at most so many times the largest gradient.
FAR_OVER = 1e4


def wide(unit: float) -> Any:
    """A dtype whose roundings are far smaller than those of one of unit roundoff ``unit``."""
    return np.float64 if unit > _SINGLE else np.longdouble


@dataclass(frozen=True)
class Run:
    """What was measured, T steps of n entries, in a `wide` dtype.

    Attributes:
        params: ``(T + 1, n)``.
        gradients: ``(T, n)``, at the parameters before each step.
        errors: ``(T, n)``, by how much a gradient may be off.
        norms: ``(T,)``, of the gradients of all blocks.
        unit: the unit roundoff of the dtype: half its epsilon.
        tiny: its least normal number.
    """

    params: Array
    gradients: Array
    errors: Array
    norms: Array
    unit: float
    tiny: float

    @cached_property
    def moved(self) -> Array:
        """``(T, n)``: ``p_t - p_{t+1}``."""
        return self.params[:-1] - self.params[1:]

    @property
    def working(self) -> Any:
        """The dtype that a rule is held in."""
        return wide(self.unit)

    @cached_property
    def decay_scale(self) -> float:
        """The weight decay whose part is as large as the gradient's."""
        p = float(np.abs(self.params[:-1]).mean())
        return float(np.abs(self.gradients).mean()) / p if p else 1.0

    @cached_property
    def largest(self) -> float:
        """The largest entry of all gradients."""
        return float(np.abs(self.gradients).max())

    def measured(self, dtype: Any) -> tuple[list[Array], list[Array], list[Array], list[Array]]:
        """Gradients, parameters before each step, norms and moves, by step."""
        if (known := self._measured.get(dtype)) is None:
            parts = (self.gradients, self.params[:-1], self.norms, self.moved)
            gradients, params, norms, moves = (list(np.asarray(each, dtype)) for each in parts)
            known = self._measured[dtype] = gradients, params, norms, moves
        return known

    @cached_property
    def _measured(self) -> dict[Any, tuple[list[Array], list[Array], list[Array], list[Array]]]:
        return {}

    @cached_property
    def rounded(self) -> Array:
        """``(T, n)``: by how much writing ``p_{t+1}`` in the dtype may have moved it."""
        return self.unit * np.abs(self.params[1:]) + self.tiny

    def taken(self, entries: Any, steps: int) -> Run:
        """Some entries, and the first steps."""
        return Run(
            self.params[: steps + 1, entries],
            self.gradients[:steps, entries],
            self.errors[:steps, entries],
            self.norms[:steps],
            self.unit,
            self.tiny,
        )


@dataclass(frozen=True)
class Held:
    """At which learning rates a rule holds.

    Attributes:
        low, high: ``(T,)``: at each step the learning rates that all entries allow; none where ``low > high``.
        common: ``(T,)``: by how much the rate itself may be off, relative to it: roundings that all entries share.
        roundings: ``(T,)``: the largest distance from the rule at the best of these rates, in roundings of the result.
        told: the share of moves that stand out of the rule's own roundings, too, of those that stand out of theirs:
            where it is small, next to anything would hold.
        lasting: by how much all rates together may be off, relative to them.
    """

    low: Array
    high: Array
    common: Array
    roundings: Array
    told: float
    lasting: float

    @property
    def until(self) -> int:
        """The steps from the first on at which the rule holds, with a learning rate of each step's own."""
        if self.told < LEAST_TOLD:
            return 0
        fails = np.flatnonzero(~(self.low <= self.high))
        return int(fails[0]) if fails.size else len(self.low)

    def constant(self, steps: int) -> tuple[float, float]:
        """The learning rates, (low, high), that hold at each of the first steps; they do not where low is over high."""
        low = (self.low / (1 + self.common))[:steps].max(initial=0)
        high = (self.high / (1 - self.common))[:steps].min(initial=np.inf)
        return float(low) / (1 + self.lasting), float(high) * (1 + self.lasting)

    def constant_until(self) -> int:
        """The steps from the first on at which one learning rate holds."""
        if self.told < LEAST_TOLD:
            return 0
        low = np.maximum.accumulate(self.low / (1 + self.common))
        high = np.minimum.accumulate(self.high / (1 - self.common))
        fails = np.flatnonzero(~(low <= high))
        return int(fails[0]) if fails.size else len(low)


@dataclass(frozen=True)
class Bounded:
    """``(T, n)`` each: drifts and directions of a rule, and by how much rounding may have moved them.

    What all entries of a step share is left out.
    """

    drift: Array
    u: Array
    drift_error: Array
    error: Array


def bounded(form: Form, numbers: Mapping[str, float], run: Run) -> Bounded:
    """What a rule moves by, from what was measured."""
    exact: dict[str, Any] = {name: run.working(value) for name, value in numbers.items()}
    if "eps" in exact:
        # Relative to v, which may be off as a whole by what 1 - b2 is: eps cannot be known better than that.
        off = (1 + lasting_roundings(numbers) + common_roundings(form, numbers, 1)) * run.unit * exact["eps"]
        exact["eps"] = Running(exact["eps"], off, run.unit, run.tiny)
    gradients, moves = (
        [Running(value, error, run.unit, run.tiny) for value, error in zip(values, errors, strict=True)]
        for values, errors in ((run.gradients, run.errors), (run.moved, run.rounded))
    )
    zero = np.zeros_like(run.gradients[0])
    with np.errstate(all="ignore"):
        steps = list(directions(form, exact, gradients, list(run.params[:-1]), list(run.norms), moves))
    drifts, us = ([_running(step[i] + zero if i == 0 else step[i], run) for step in steps] for i in (0, 1))
    u = np.array([each.value for each in us])
    error = np.array([each.error for each in us]) + PRODUCT_ROUNDINGS * run.unit * np.abs(u)
    return Bounded(np.array([each.value for each in drifts]), u, np.array([each.error for each in drifts]), error)


def _running(u: Any, run: Run) -> Running:
    return u if isinstance(u, Running) else Running(u, np.zeros_like(u), run.unit, run.tiny)


def rounding(form: Form, run: Run) -> Array:
    """``(T, n)``: by how much writing the parameters may have moved them, by a rule of this form."""
    if form.decay in ("decoupled", "unscaled"):
        return run.rounded + run.unit * np.abs(run.params[:-1])  # the product with 1 - lr wd, rounded by itself
    return run.rounded


def held(form: Form, numbers: Mapping[str, float], run: Run) -> Held:
    """At which learning rates the rule holds, step by step; at none where a number is out of its range."""
    if not in_range(form, numbers, run):
        nothing = np.zeros(len(run.gradients))
        return Held(nothing + np.inf, nothing, nothing, nothing + np.inf, 0.0, 0.0)
    steps, n = run.gradients.shape
    size = max(1, PART // steps)
    parts = [run.taken(slice(i, i + size), steps) for i in range(0, n, size)] if n > size else [run]
    moves = [_Moves(form, numbers, part) for part in parts]
    low = np.maximum(np.max([each.low for each in moves], axis=0), 0)
    high = np.min([each.high for each in moves], axis=0)
    common = np.array([common_roundings(form, numbers, t) for t in range(1, steps + 1)]) * run.unit
    rate = np.where(low <= high, (low + np.where(np.isfinite(high), high, low)) / 2, low)[:, None]
    # A bound is of the worst case: where it is next to the move itself, it would let anything pass
    strict = not any((part.errors > 2 * GRADIENT_ROUNDINGS * run.unit * np.abs(part.gradients)).any() for part in parts)
    seen, told, roundings = 0, 0, np.zeros(steps)
    for each in moves:
        off, shown, stands, beyond = each.at(rate)
        seen, told, roundings = seen + shown, told + stands, np.maximum(roundings, off)
        high = np.where(beyond & strict, -np.inf, high)
    return Held(low, high, common, roundings, told / max(seen, 1), lasting_roundings(numbers) * run.unit)


class _Moves:
    """The moves of some entries, and at which learning rates a rule allows them, step by step."""

    def __init__(self, form: Form, numbers: Mapping[str, float], run: Run) -> None:
        found = bounded(form, numbers, run)
        self.run, self.u, self.error = run, found.u, found.error
        self.y, self.rounded = run.moved - found.drift, rounding(form, run) + found.drift_error
        size, along = np.abs(self.u), self.y * np.where(self.u < 0, -1, 1)
        with np.errstate(all="ignore"):
            # lr (size + error) >= along - rounded, and lr (size - error) <= along + rounded
            least = _quotient(along - self.rounded, size + self.error)
            slack = size - self.error
            most = np.where(slack > 0, (along + self.rounded) / slack, np.inf)
            least = np.maximum(least, np.where(slack < 0, (along + self.rounded) / slack, 0))
            most = np.where(np.isfinite(self.u) & np.isfinite(self.y), most, -np.inf)
        self.low, self.high = least.max(axis=1), most.min(axis=1)

    def off(self, rate: Array) -> Array:
        """``(n,)``: how far each entry is off, at such rates, over what rounding allows."""
        with np.errstate(all="ignore"):
            off = np.abs(self.y - rate * self.u) / (self.rounded + rate * self.error)
        return np.asarray(np.where(np.isfinite(off), off, np.inf).max(axis=0))

    def at(self, rate: Array) -> tuple[Array, int, int, Array]:
        """At such learning rates, ``(T, 1)``, how far the moves are off.

        In roundings, at each step; how many moves stand out of what writing them rounds, and how many of these of the
        rule's own roundings, too; and the steps at which one is off by too much.
        """
        run, y = self.run, np.abs(self.y)
        with np.errstate(all="ignore"):
            off = np.abs(self.y - rate * self.u)
            result = run.unit * (np.abs(run.params[1:]) + rate * np.abs(self.u)) + run.tiny
            seen = y > TOLD * self.rounded
            told = seen & (y > TOLD * (self.rounded + rate * self.error))
            beyond = ((off > MOST_ROUNDINGS * result) & (off > LOOSE * y.max(axis=0))).any(axis=1)
            roundings = np.where(np.isfinite(off), off / result, np.inf).max(axis=1)
        return roundings, int(seen.sum()), int(told.sum()), beyond


def against(form: Form, numbers: Mapping[str, float], run: Run, most: int = 24) -> Array:
    """The entries that a rule with these numbers is furthest from."""
    holds = held(form, numbers, run)
    rate = np.where(np.isfinite(holds.low), holds.low, 0)
    rate = np.median(rate) + 0 * rate[:, None]
    steps, n = run.gradients.shape
    size = max(1, PART // steps)
    off = np.concatenate(
        [_Moves(form, numbers, run.taken(slice(i, i + size), steps)).off(rate) for i in range(0, n, size)]
    )
    return np.argsort(-off)[:most]


def moved_bits(form: Form, numbers: Mapping[str, float], run: Run, rate: Array) -> Array:
    """How many binary digits each move has beyond what rounding makes of it, of those that stand out, at such rates."""
    moves = _Moves(form, numbers, run)
    with np.errstate(all="ignore"):
        y = np.abs(moves.y)
        digits = np.log2(y / (moves.rounded + rate * moves.error))
    return np.asarray(digits[np.isfinite(digits) & (y > TOLD * moves.rounded)], np.float64)


def in_range(form: Form, numbers: Mapping[str, float], run: Run) -> bool:
    """Whether each number is one that a rule may have: beyond, it is another rule, or none."""
    for name, value in numbers.items():
        if not np.isfinite(value):
            return False
        if name in DECAY_RATES or name == "dampening":
            if not -1e-4 <= value <= LARGEST_DECAY:
                return False
        elif name in ("eps", "initial_accumulator_value", "initial_scale"):
            squared = name != "eps" or form.eps.startswith("inside") or form.method == "adadelta"
            # Nothing of the root is left where eps is so far over it
            if not 0 <= (np.sqrt(value) if squared else value) <= FAR_OVER * run.largest:
                return False
        elif name in ("clip", "momentum_decay") and value < 0:
            return False
    return True


def equations(run: Run, free: bool) -> int:
    """How many numbers the run says, moves that stand out of their roundings, less the learning rates they are used on.

    A rule with as many numbers as that would hold whatever it was.
    """
    n = run.gradients.shape[1]
    spread = np.unique(np.linspace(0, n - 1, min(n, 256)).astype(np.int64))
    part = run.taken(spread, len(run.gradients))
    # Entries that went through the same say the same
    _, distinct = np.unique(part.gradients, axis=1, return_index=True)
    seen = (np.abs(part.moved) > TOLD * part.rounded)[:, distinct].sum(axis=1)
    return int(np.maximum(seen - 1, 0).sum()) if free else max(int(seen.sum()) - 1, 0)


def monotone(run: Run) -> bool:
    """Whether the first move grows with the gradient, entry by entry, as it does by every rule without decay."""
    first = run.taken(slice(None), 1)
    order = np.argsort(np.abs(first.gradients[0]))
    g, y, off = first.gradients[0][order], first.moved[0][order], 2 * first.rounded[0][order]
    along = y * np.sign(g) * np.sign((y * g).sum())
    slack = off + 64 * run.unit * np.abs(along) + np.abs(y) * np.divide(first.errors[0][order], np.abs(g) + run.tiny)
    return bool(np.all(along + slack >= np.maximum.accumulate(along - slack)))


def linear(run: Run) -> bool:
    """Whether the first move is along the gradient, over gradients of several sizes: no root was taken, then."""
    first = run.taken(slice(None), 1)
    sizes = np.abs(first.gradients[0])
    moved = np.abs(first.moved[0]) > 1e4 * first.rounded[0]
    found = held(Form("sgd"), {}, first)
    return bool(found.until == 1 and moved.sum() > 2 and sizes[moved].max() > 2 * sizes[moved].min())


def _quotient(a: Array, b: Array) -> Array:
    return np.where(b > 0, a / np.where(b > 0, b, 1), np.where(a > 0, np.inf, 0))
