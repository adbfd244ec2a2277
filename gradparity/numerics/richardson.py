"""The derivative of a scalar function at a point, from its float64 values alone. Pure.

Central differences ``D(h) = (f(h) - f(-h)) / 2h`` on steps that halve, extrapolated to ``h = 0`` (Richardson): with
``D(h) = f' + a h^2 + b h^4 + ...`` column j of the tableau is ``T[i, j] = T[i, j-1] + (T[i, j-1] - T[i-1, j-1]) /
(4^j - 1)``. The entry with the least estimated error is taken (Ridders, 1982). The estimate has two parts: truncation,
the larger difference from the two entries that made it, and rounding, which halving steps amplify by a factor that is
known exactly: the noise of the values times the entry's weights over its smallest step. The ladder ends where rounding
alone is more than the best error so far. Plain differences at smaller steps then have to confirm it: if one denies it,
there was a bump or a kink nearer to the point than the ladder's steps, and another ladder begins below it.

The noise is measured: differences of high order over values close together hold nothing else (Moré and Wild, 2011).
So a loss that computes in float32 somewhere is seen to, and the derivative is given with as few digits as it allows.

The one-sided derivatives come from the same values. Where they part, the point is a kink; where the function jumps or
the tableau does not settle, that is said too, and no derivative is claimed.

References: Ridders, Accurate computation of F'(x) and F'(x) F''(x), Advances in Engineering Software 4, 1982; Moré and
Wild, Estimating computational noise, SIAM J. Sci. Comput. 33, 2011; Fornberg, Generation of finite difference formulas
on arbitrarily spaced grids, Math. Comp. 51, 1988, whose weights the extrapolation reproduces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.symmetry import symmetrised
from gradparity.numerics.ecnoise import jumps, noise_around, rounding_of

Floats: TypeAlias = npt.NDArray[np.float64]
Function: TypeAlias = Callable[[float], float]

#: The first step, in units of the scale over which the function is expected to change.
FIRST_STEP = 2.0**-2
#: The last step: below it no first difference of a float64 has any digits.
SMALLEST_STEP = 2.0**-27
#: Ladders at most, each begun below the step that denied the last.
LADDERS = 4
#: Columns of the tableau: order 2 to 16.
COLUMNS = 8
#: Spacing of the values that the noise is measured on.
NOISE_STEP = 2.0**-25
#: Noise is taken to grow with the function, up to this share of it; where values cancel to less, it does not.
RELATIVE_NOISE = 1e-6
#: Standard deviations of rounding in the error. Of 7,807 drawn functions, two fifths of them noisy and most far from
#: the scale they were said to have, one was off by more than its error, by 6%; the median was 8% of it.
DEVIATIONS = 6.0
#: Entries with an error of so many times the least have a say in what the error is.
RIVALS = 8.0
#: Beyond this share of the derivative, an error leaves nothing that could be called a derivative.
SETTLED = 1e-2
#: A function is flat if its noise is at most this share of it, and its slope at most so many times the noise's.
FLAT, MANY = 1e-4, 256.0

Kind: TypeAlias = Literal["smooth", "kink", "jump", "unsettled", "nonfinite"]


@dataclass(frozen=True)
class Derivative:
    """A derivative with its error, or the reason why there is none.

    ``value`` is the derivative at 0, and ``error`` an estimate of its error, truncation and rounding together, that is
    meant as a bound. ``noise`` is the standard deviation of the function's own rounding. ``left`` and ``right`` are the
    one-sided derivatives, with an error of their own.
    """

    kind: Kind
    value: float
    error: float
    noise: float
    left: float
    right: float
    side_error: float
    evaluations: int
    step: float = math.nan  #: the smallest step that the value was made from

    @property
    def usable(self) -> bool:
        """Whether ``value`` may be held against a gradient."""
        return self.kind == "smooth"

    @property
    def words(self) -> str:
        """What was found, for a report."""
        match self.kind:
            case "smooth":
                return f"{self.value:.15g}, to within {self.error:.2g}"
            case "kink":
                return f"a kink: {self.left:.6g} from the left, {self.right:.6g} from the right"
            case "jump":
                return "the function jumps at this point"
            case "unsettled":
                return f"no derivative: differences do not settle, noise {self.noise:.2g}"
            case _:
                return "the function is not finite around this point"


@dataclass(frozen=True)
class _Entry:
    """One entry of the tableau: estimates at the end of the ladder extrapolated ``column`` times."""

    value: float = math.nan
    error: float = math.inf
    step: float = math.nan


class _Tableau:
    """Estimates on steps that halve, extrapolated as they come; ``powers`` are those of h that the error runs in.

    ``base`` is ``2^p`` for the first power p that vanishes and the growth from one to the next: 4 for central
    differences (h^2, h^4, ...), 2 for one-sided ones (h, h^2, ...).
    """

    def __init__(self, base: float) -> None:
        self.base, self.winners = base, list[_Entry]()
        self.row = list[float]()  # of the last step
        self.deviations = list[float]()  # of the last steps, newest first

    def extend(self, estimate: float, step: float, deviation: float) -> float:
        """One more estimate, whose own rounding is ``deviation``; returns what rounding alone makes of its row."""
        self.deviations = [deviation, *self.deviations[: COLUMNS - 1]]
        row, winner = [estimate], _Entry()
        for j, above in enumerate(self.row[: COLUMNS - 1], start=1):
            row.append(row[-1] + (row[-1] - above) / (self.base**j - 1))
            rounding = math.hypot(*(w * d for w, d in zip(_weights(self.base, j), self.deviations, strict=False)))
            error = max(abs(row[-1] - row[-2]), abs(row[-1] - above)) + DEVIATIONS * rounding
            if error < winner.error:
                winner = _Entry(row[-1], error, step)
        self.row = row
        self.winners.append(winner)
        return DEVIATIONS * deviation

    @property
    def best(self) -> _Entry:
        """The entry of least error; two that came out close by chance are not believed over the next rows' best."""
        best = min(self.winners, key=lambda entry: entry.error, default=_Entry())
        near = [entry for entry in self.winners if entry.error <= RIVALS * best.error]
        return replace(best, error=max([best.error, *(abs(entry.value - best.value) for entry in near)]))

    def restart(self) -> None:
        """Forget the steps so far: something was not finite there."""
        self.row, self.deviations = [], []


@cache
def _weights(base: float, column: int) -> tuple[float, ...]:
    """How much of each of the last estimates is in a tableau entry of that column, newest first."""
    weights = np.array([1.0])
    for j in range(1, column + 1):
        factor = 1 / (base**j - 1)
        weights = np.append(weights * (1 + factor), 0) - np.append(0, weights) * factor
    return tuple(map(float, weights))


def derivative(function: Function, scale: float = 1.0) -> Derivative:
    """The derivative of ``function`` at 0.

    Args:
        function: float64 to float64, deterministic; it may return inf or nan where it is not defined.
        scale: over which change of its argument the function may change its behaviour; a guess within a factor of 1e4
            is good enough.

    Returns:
        Value, error and kind. About 65 evaluations for a smooth function, twice that where it changes on many scales.
    """
    unit = 2.0 ** round(math.log2(scale))  # a power of two: products with a direction are then exact
    counted = _Counted(function)
    centre, near, noise = noise_around(counted, NOISE_STEP * unit)
    if not (math.isfinite(centre) and np.isfinite(near).all()):
        return Derivative("nonfinite", *(math.nan,) * 6, counted.evaluations)

    relative = min(noise / (float(np.abs(near).max()) or 1.0), RELATIVE_NOISE)
    first, apart = FIRST_STEP * unit, 0.0
    for _ in range(LADDERS):
        sides = _ladder(counted, centre, first, SMALLEST_STEP * unit, noise, relative)
        denied, apart = _denied(counted, centre, sides, SMALLEST_STEP * unit, noise)
        if not denied:
            break
        first = denied  # something happens on a smaller scale: the ladder begins below it
    value, error, step = sides.both.value, sides.both.error, sides.both.step
    left, right, side_error = sides.left.value, sides.right.value, sides.left.error + sides.right.error

    def found(kind: Kind, error: float = error) -> Derivative:
        return Derivative(kind, value, error, noise, left, right, side_error, counted.evaluations, step)

    if jumps(near):
        return found("jump", math.inf)
    if denied or not math.isfinite(error):
        return found("unsettled", max(error, apart))
    size = max(abs(value), abs(left), abs(right))
    if abs(left - right) > 4 * side_error and side_error < SETTLED * size:
        return found("kink", abs(left - right) / 2)
    # A derivative of zero has no size of its own: there it is measured by how the function moves one step away from it.
    moved = max(abs(counted(step) - centre), abs(counted(-step) - centre)) / step
    flat = noise <= FLAT * abs(centre) and error <= MANY * noise / (FIRST_STEP * unit)
    clear = error <= SETTLED * max(size, moved) and side_error <= SETTLED * max(10 * size, moved / 10)
    return found("smooth" if clear or flat else "unsettled")


@dataclass(frozen=True)
class _Sides:
    """The central derivative and the one-sided ones, as far as the ladder got."""

    both: _Entry
    left: _Entry
    right: _Entry


def _ladder(function: Function, centre: float, first: float, smallest: float, noise: float, relative: float) -> _Sides:
    """Steps that halve from ``first`` on, until rounding alone is more than the best error so far."""
    both, left, right = _Tableau(4), _Tableau(2), _Tableau(2)
    h = first
    while h >= smallest:
        up, down = function(h), function(-h)
        if math.isfinite(up) and math.isfinite(down):
            largest = max(abs(up), abs(down), abs(centre))
            deviation = max(noise, relative * largest, rounding_of(largest))
            rounding = both.extend((up - down) / (2 * h), h, deviation / (math.sqrt(2) * h))
            side = math.sqrt(2) * deviation / h
            alone = max(left.extend((centre - down) / h, h, side), right.extend((up - centre) / h, h, side))
            if rounding > both.best.error and alone > max(left.best.error, right.best.error):
                break
        else:
            for tableau in (both, left, right):
                tableau.restart()
        h /= 2
    return _Sides(both.best, left.best, right.best)


def _denied(function: Function, centre: float, sides: _Sides, smallest: float, noise: float) -> tuple[float, float]:
    """At which smaller step a plain difference denies the result beyond all error of both, and by how much; or 0, 0.

    A ladder may settle on steps that pass over a kink or a bump nearer to the point than any of them.
    """
    h, size = sides.both.step / 4, max(abs(sides.both.value), abs(sides.left.value), abs(sides.right.value))
    while h >= smallest and DEVIATIONS * noise / h < size:
        up, down, up2, down2 = (function(t) for t in (h, -h, 2 * h, -2 * h))
        for entry, fine, coarse in (
            (sides.both, (up - down) / (2 * h), (up2 - down2) / (4 * h)),
            (sides.left, (centre - down) / h, (centre - down2) / (2 * h)),
            (sides.right, (up - centre) / h, (up2 - centre) / (2 * h)),
        ):
            apart = abs(fine - entry.value)
            if apart > entry.error + 2 * abs(fine - coarse) + 2 * DEVIATIONS * noise / h:
                return h, apart
        h /= 8
    return 0.0, 0.0


@dataclass
class _Counted:
    """A function whose evaluations are counted, and whose floating-point warnings say nothing new."""

    function: Function
    evaluations: int = 0

    def __call__(self, t: float) -> float:
        self.evaluations += 1
        with np.errstate(all="ignore"):
            return float(self.function(t))


def along(
    value: Callable[[dict[str, npt.NDArray[Any]]], Any],
    params: Mapping[str, npt.NDArray[Any]],
    direction: Mapping[str, npt.NDArray[Any]],
) -> Function:
    """The function ``t -> value(params + t direction)`` of one number, with float64 parameters.

    Args:
        value: a backend's loss of host parameters, with its data placed in float64 already, such as
            ``lambda p: backend.get({"": loss(backend.put(p), data)})[""]``.
        params: flat parameters, dotted path -> array.
        direction: the same for some of them; the others stay where they are.

    Returns:
        A function of a float that returns a float.
    """
    start = {name: np.asarray(array, np.float64) for name, array in params.items()}
    moves = {name: np.asarray(array, np.float64) for name, array in direction.items()}

    def function(t: float) -> float:
        moved = {name: x + t * moves[name] if name in moves else x.copy() for name, x in start.items()}
        return float(np.asarray(value(moved)).reshape(()))

    return function


def block_directions(params: Mapping[str, npt.NDArray[Any]], seed: int = 0) -> Iterator[tuple[str, dict[str, Floats]]]:
    """One direction for each parameter that is zero in all others: what it finds is that parameter's.

    Every entry moves by 0.5 to 1 of its own size, or of the block's median size if it is smaller than that (1 where the
    block is zero), in either direction: so a scale of 1 suits them all, whatever the units of the parameter. Symmetric
    matrices stay symmetric: of such an argument a gradient is triangular or symmetrised, by convention.
    """
    rng = np.random.default_rng([seed, 7])
    for name, array in params.items():
        size = np.abs(np.asarray(array, np.float64))
        typical = float(np.median(size[size > 0])) if (size > 0).any() else 1.0
        signs = rng.choice([-1.0, 1.0], size.shape) * rng.uniform(0.5, 1.0, size.shape)
        if size.size:
            yield name, {name: symmetrised(np.asarray(signs * np.maximum(size, typical)), np.asarray(array))}
