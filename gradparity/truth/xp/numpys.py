"""Names of NumPy's that are composed of others: roundings, tolerances, sums that leave out nan, grids and products."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.truth.numbers.arrays import Array, asarray, named
from gradparity.truth.numbers.balls import Coefficient, box, exact, infinities, middles
from gradparity.truth.numbers.context import NotCertifiableError, current
from gradparity.truth.numbers.draws import question
from gradparity.truth.xp.arithmetic import add, divide, matrix_product, multiply, subtract
from gradparity.truth.xp.kinks import absolute, ceil, choose, compare, equal, floor, less_equal, not_equal, where
from gradparity.truth.xp.powers import sqrt
from gradparity.truth.xp.reductions import Axis, amax, amin, diff, mean, prod
from gradparity.truth.xp.reductions import sum as sum_over
from gradparity.truth.xp.shaping import broadcast_arrays, concatenate
from gradparity.truth.xp.smooth import arctan, log, logaddexp


def rint(x: Any) -> Array:
    """The nearest whole number, of two the even one: constant between jumps at the halves."""
    real: Array = asarray(x)
    if not real.is_real:
        return real
    nearest = floor(add(real, 0.5))
    # At a half, floor has taken the one above, as any line through it decides; where there is none, the even one.
    half = compare(add(real, 0.5), nearest, "round") == 0
    odd = question(lambda c: np.mod(c, 2) == 1, middles(nearest.balls()[0]))
    return subtract(nearest, Array((exact(half & odd),)))


def round(x: Any, decimals: int = 0) -> Array:  # noqa: A001 (NumPy's name)
    """The nearest number with so many decimals."""
    x = asarray(x)
    if not decimals or not x.is_real:
        return rint(x)
    return (
        divide(rint(multiply(x, 10**decimals)), 10**decimals)
        if decimals > 0
        else multiply(rint(divide(x, 10**-decimals)), 10**-decimals)
    )


def trunc(x: Any) -> Array:
    """The next whole number towards zero."""
    x = asarray(x)
    return choose(compare(x, asarray(0.0), "trunc") >= 0, floor(x), ceil(x))


def heaviside(x: Any, at_zero: Any) -> Array:
    """0 below zero, 1 above, `at_zero` at it: constant between."""
    x, at_zero = broadcast_arrays(x, at_zero)
    ahead = compare(x, asarray(0.0), "heaviside")
    return choose(ahead == 0, at_zero, Array((exact(ahead > 0),)))


def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8) -> Array:
    """``|a - b| <= atol + rtol |b|``, decided."""
    a, b = asarray(a), asarray(b)
    near = less_equal(absolute(subtract(a, b)), add(atol, multiply(rtol, absolute(b))))
    return Array((near.series[0] | equal(a, b).series[0],))


def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8) -> Array:
    """Whether all elements are close, decided."""
    return Array((box(np.all(isclose(a, b, rtol, atol).series[0])),))


def array_equal(a: Any, b: Any) -> Array:
    """Whether shapes and all elements are equal, decided."""
    a, b = asarray(a), asarray(b)
    return Array((box(a.shape == b.shape and bool(np.all(equal(a, b).series[0]))),))


def count_nonzero(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """How many elements over the axes are not zero, decided."""
    return sum_over(not_equal(x, 0), axis, keepdims=keepdims)


def arctan2(y: Any, x: Any) -> Array:
    """The angle of the point (x, y): by ``y / x`` or ``x / y``, whichever is smaller, and the quadrant.

    It jumps where y is zero and x is negative, and has no value at the origin that its neighbours come to.
    """
    y, x = (a if a.is_real else Array(a.balls()) for a in broadcast_arrays(y, x))
    zero, one = asarray(0.0), asarray(1.0)
    high, wide = middles(y.balls()[0]), middles(x.balls()[0])
    steep = question(lambda c: c > 0, box(np.abs(high) - np.abs(wide)))
    left = question(lambda c: c < 0, wide) & ~steep
    flat = arctan(divide(choose(steep, zero, y), choose(steep, one, x)))
    upright = arctan(divide(choose(steep, x, zero), choose(steep, y, one)))
    # On which side of the branch cut, zero being above; asked only where it matters.
    below = compare(choose(left | steep, y, one), zero, "arctan2") < 0
    quarters = np.where(steep, 1, np.where(left, 2, 0)) * np.where(below, -1, 1)
    turn = multiply(multiply(2, arctan(one)), quarters)
    return choose(steep, subtract(turn, upright), add(turn, flat))


def _numbers(x: Any, instead: float) -> tuple[Array, Coefficient]:
    """Elements that are no numbers replaced, and which ones they were.

    Raises:
        NotCertifiableError: one that depends on a parameter is no number, at this precision or at all.
    """
    x = asarray(x)
    if not x.is_real:
        return x, np.zeros(x.shape, bool)
    missing = question(np.isnan, middles(x.balls()[0]))
    if missing.any() and not (x.is_constant or current().extended):
        raise NotCertifiableError(
            "leaving out nan among what depends on a parameter", "Leave it out of the data: where(isnan(y), 0, y)."
        )
    return (choose(missing, asarray(instead), x) if missing.any() else x), missing


def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Array:
    """No numbers replaced by `nan`, infinities by the ends of float64 or what is given."""
    del copy
    out, _ = _numbers(x, nan)
    if not out.is_real:
        return out
    ends = infinities(out.balls()[0])
    largest = float(np.finfo(np.float64).max)
    for sign, end in ((1, largest if posinf is None else posinf), (-1, -largest if neginf is None else neginf)):
        if (ends == sign).any():
            out = choose(ends == sign, asarray(float(end)), out)
    return out


def _without(reduce: Callable[..., Array], instead: float, words: str) -> Callable[..., Array]:
    def function(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
        return reduce(_numbers(x, instead)[0], axis, keepdims=keepdims)

    return named(function, f"nan{reduce.__name__}", f"{words} over the axes, without what is no number in the data.")


nansum, nanprod = _without(sum_over, 0.0, "Sum"), _without(prod, 1.0, "Product")
nanmax, nanmin = _without(amax, -math.inf, "The largest element"), _without(amin, math.inf, "The smallest element")


def nanmean(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Mean over the axes, without what is no number in the data."""
    numbers, missing = _numbers(x, 0.0)
    count = np.sum(np.broadcast_to(~missing, numbers.shape), axis=axis, keepdims=keepdims)
    return divide(sum_over(numbers, axis, keepdims=keepdims), count)


def nanvar(x: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    """Variance over the axes, without what is no number in the data."""
    numbers, missing = _numbers(x, 0.0)
    centred = choose(missing, asarray(0.0), subtract(numbers, nanmean(x, axis, keepdims=True)))
    count = np.sum(~missing, axis=axis, keepdims=keepdims) - ddof
    return divide(sum_over(multiply(centred, centred), axis, keepdims=keepdims), count)


def nanstd(x: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
    """Square root of nanvar."""
    return sqrt(nanvar(x, axis, ddof=ddof, keepdims=keepdims))


def average(x: Any, axis: Axis = None, weights: Any = None, *, keepdims: bool = False) -> Array:
    """Mean over the axes, weighted."""
    if weights is None:
        return mean(x, axis, keepdims=keepdims)
    x, weights = broadcast_arrays(x, weights)
    total = sum_over(multiply(x, weights), axis, keepdims=keepdims)
    return divide(total, sum_over(weights, axis, keepdims=keepdims))


def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: float | None = None) -> Array:
    """Covariances of variables in rows, ``sum (a - mean a) (b - mean b) / (n - 1)``; of one variable its variance."""
    both = [asarray(x) for x in (m, y) if x is not None]
    if any(x.ndim > 2 for x in both):
        raise ValueError("cov: variables in rows or columns are needed, two axes at most")
    x = concatenate([x.mT if not rowvar and x.ndim > 1 else x if x.ndim > 1 else x[None] for x in both])
    centred = subtract(x, mean(x, -1, keepdims=True))
    count = x.shape[-1] - ((0 if bias else 1) if ddof is None else ddof)
    out = divide(matrix_product(centred, centred.mT), count)
    return out[0, 0] if out.shape == (1, 1) else out


def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Array:
    """Correlations of variables in rows, ones on the diagonal; without a value where one is constant."""
    c = cov(x, y, rowvar)
    if not c.ndim:
        return divide(c, c)
    deviations = sqrt(c[np.arange(len(c)), np.arange(len(c))])
    return divide(divide(c, deviations[:, None]), deviations[None, :])


def ptp(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The largest element less the smallest."""
    return subtract(amax(x, axis, keepdims=keepdims), amin(x, axis, keepdims=keepdims))


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """The integral along an axis by trapezoids, over positions x or steps dx."""
    y = asarray(y).map(lambda c: np.moveaxis(c, axis, -1))
    steps = asarray(dx)
    if x is not None:
        x = asarray(x)
        steps = diff(x if x.ndim == 1 else x.map(lambda c: np.moveaxis(c, axis, -1)))
    return sum_over(divide(multiply(steps, add(y[..., 1:], y[..., :-1])), 2), -1)


def cross(a: Any, b: Any, axis: int = -1) -> Array:
    """Vector products of vectors of three along an axis."""
    a, b = (asarray(x).map(lambda c: np.moveaxis(c, axis, -1)) for x in (a, b))
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(f"cross: vectors of three are needed, got {a.shape[-1]} and {b.shape[-1]}")
    after, last = [1, 2, 0], [2, 0, 1]
    out = subtract(multiply(a[..., after], b[..., last]), multiply(a[..., last], b[..., after]))
    return out.map(lambda c: np.moveaxis(c, -1, axis))


def kron(a: Any, b: Any) -> Array:
    """Kronecker's product: every element of a times all of b."""
    a, b = asarray(a), asarray(b)
    ndim = max(a.ndim, b.ndim)
    shapes = [(1,) * (ndim - x.ndim) + x.shape for x in (a, b)]
    spread_a = a.map(lambda c: c.reshape([n for m in shapes[0] for n in (m, 1)]))
    spread_b = b.map(lambda c: c.reshape([n for m in shapes[1] for n in (1, m)]))
    return multiply(spread_a, spread_b).map(lambda c: c.reshape([m * n for m, n in zip(*shapes, strict=True)]))


def meshgrid(*arrays: Any, indexing: Any = "xy") -> list[Array]:
    """Coordinates of a grid, one array for each of the vectors."""
    vectors = [asarray(x) for x in arrays]
    places = np.meshgrid(*(np.arange(x.size) for x in vectors), indexing=indexing)
    return [x.map(np.ravel)[place] for x, place in zip(vectors, places, strict=True)]


def pad(x: Any, pad_width: Any, mode: Any = "constant", *, constant_values: Any = 0) -> Array:
    """With more elements before and after along each axis: as numpy.pad of these modes.

    Raises:
        NotCertifiableError: a mode that computes, or other constants for other sides.
    """
    x = asarray(x)
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap") or np.ndim(constant_values):
        raise NotCertifiableError(f"xp.pad with mode={mode!r}", "Join it with what it is padded by.")
    options: Any = {"constant_values": -1} if mode == "constant" else {}
    places = np.pad(np.arange(x.size).reshape(x.shape), pad_width, mode, **options)
    inside = x.map(np.ravel)[np.maximum(places, 0)]
    return inside if (places >= 0).all() else choose(places < 0, asarray(constant_values), inside)


def select(conditions: Any, choices: Any, default: Any = 0) -> Array:
    """Of the first condition that holds its choice, else the default."""
    out = asarray(default)
    for condition, choice in reversed(list(zip(conditions, choices, strict=True))):
        out = where(condition, choice, out)
    return out


def polyval(p: Any, x: Any) -> Array:
    """The polynomial with coefficients p, highest first, by Horner's rule."""
    x = asarray(x)
    out = multiply(asarray(0.0), x)
    for coefficient in asarray(p):
        out = add(multiply(out, x), coefficient)
    return out


def logaddexp2(a: Any, b: Any) -> Array:
    """``log2(2^a + 2^b)``."""
    two = log(2)
    return divide(logaddexp(multiply(a, two), multiply(b, two)), two)


def _times(factor: float, name: str, words: str) -> Callable[[Any], Array]:
    return named(lambda x: multiply(x, factor), name, words)


def unstack(x: Any, axis: int = 0) -> tuple[Array, ...]:
    """The slices along an axis."""
    return tuple(asarray(x).map(lambda c: np.moveaxis(c, axis, 0)))


def _indices(function: Callable[..., Any]) -> Callable[..., tuple[Array, ...]]:
    def wrapper(*args: Any, **options: Any) -> tuple[Array, ...]:
        return tuple(asarray(each) for each in function(*args, **options))

    return named(wrapper, function.__name__, f"As numpy.{function.__name__}.")


def _one_sided(name: str, sign: int) -> Callable[[Any], Array]:
    def function(x: Any) -> Array:
        return Array((infinities(asarray(x).balls()[0]) == sign,))

    return named(function, name, f"Whether each element is {'' if sign > 0 else 'minus '}infinity.")


deg2rad, rad2deg = (
    _times(math.pi / 180, "deg2rad", "Degrees in radians."),
    _times(180 / math.pi, "rad2deg", "Radians in degrees."),
)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "allclose": allclose, "arctan2": arctan2, "around": round, "array_equal": array_equal, "atan2": arctan2,
    "corrcoef": corrcoef, "cov": cov,
    "average": average, "count_nonzero": count_nonzero, "cross": cross, "deg2rad": deg2rad, "degrees": rad2deg,
    "diag_indices": _indices(np.diag_indices), "fabs": absolute, "fix": trunc, "heaviside": heaviside,
    "isclose": isclose, "isneginf": _one_sided("isneginf", -1), "isposinf": _one_sided("isposinf", 1), "kron": kron,
    "logaddexp2": logaddexp2, "meshgrid": meshgrid, "nan_to_num": nan_to_num, "nanmax": nanmax, "nanmean": nanmean,
    "nanmin": nanmin, "nanprod": nanprod, "nanstd": nanstd, "nansum": nansum, "nanvar": nanvar, "pad": pad,
    "polyval": polyval, "ptp": ptp, "rad2deg": rad2deg, "radians": deg2rad, "rint": rint, "round": round,
    "select": select, "trapezoid": trapezoid, "tril_indices": _indices(np.tril_indices),
    "triu_indices": _indices(np.triu_indices), "trunc": trunc, "unstack": unstack,
    "ndim": lambda x: asarray(x).ndim, "shape": lambda x: asarray(x).shape, "size": lambda x: asarray(x).size,
}  # fmt: skip
