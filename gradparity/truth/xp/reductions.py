"""Sums, means, extremes and scans over axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gradparity.truth.numbers.arrays import Array, asarray, named
from gradparity.truth.numbers.balls import box
from gradparity.truth.numbers.rounding import rounded_scan
from gradparity.truth.numbers.tape import traced
from gradparity.truth.xp.arithmetic import divide, exact_whole, multiply, subtract, sum_over
from gradparity.truth.xp.kinks import absolute, choose, not_equal, shares, winners
from gradparity.truth.xp.powers import norm2, power, sqrt
from gradparity.truth.xp.shaping import concatenate, stack

Axis = int | tuple[int, ...] | None


def lanes(x: Array, axis: Axis) -> Array:
    """The reduced axes moved to the end and flattened into one: shape ``kept + (reduced,)``."""
    axes = _axes(x, axis)
    kept = [i for i in range(x.ndim) if i not in axes]
    shape = tuple(x.shape[i] for i in kept)
    reduced = math.prod(x.shape[i] for i in axes)
    return x.map(lambda c: np.transpose(c, kept + list(axes)).reshape((*shape, reduced)))


def keep(out: Array, x: Array, axis: Axis, keepdims: bool) -> Array:
    """A reduction's result with its reduced axes put back at length one, where asked for."""
    if not keepdims:
        return out
    axes = _axes(x, axis)
    return out.map(lambda c: c.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape))))


def sum(x: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Array:  # noqa: A001
    """Sum over the axes; of integers and booleans, an integer."""
    del dtype
    a = asarray(x)
    if not a.is_real:
        return Array((exact_whole(partial(np.sum, axis=axis, keepdims=keepdims), a.series[0]),))
    return sum_over(a, _axes(a, axis), keepdims)


def mean(x: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Array:
    """Sum divided by the number of elements."""
    del dtype
    x = asarray(x)
    return divide(sum(x, axis, keepdims=keepdims), _count(x, axis))


def var(
    x: Any, axis: Axis = None, dtype: Any = None, *, correction: float = 0, ddof: float | None = None,
    keepdims: bool = False,
) -> Array:  # fmt: skip
    """``sum (x - mean)^2 / (n - correction)``; `ddof` is NumPy's name for the correction."""
    del dtype
    x = asarray(x)
    centred = subtract(x, mean(x, axis, keepdims=True))
    divisor = _count(x, axis) - (correction if ddof is None else ddof)
    return divide(sum(multiply(centred, centred), axis, keepdims=keepdims), divisor)


def std(
    x: Any, axis: Axis = None, dtype: Any = None, *, correction: float = 0, ddof: float | None = None,
    keepdims: bool = False,
) -> Array:  # fmt: skip
    """Square root of the variance."""
    return sqrt(var(x, axis, dtype, correction=correction, ddof=ddof, keepdims=keepdims))


def prod(x: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Array:
    """Product over the axes, by halves."""
    del dtype
    x = asarray(x)
    if not x.is_real:
        return Array((exact_whole(partial(np.prod, axis=axis, keepdims=keepdims), x.series[0]),))
    out = lanes(x, axis)
    if not out.shape[-1]:
        return keep(asarray(np.ones(out.shape[:-1])), x, axis, keepdims)
    while out.shape[-1] > 1:
        half, odd = divmod(out.shape[-1], 2)
        paired = multiply(out[..., :half], out[..., half : 2 * half])
        if odd:
            last = multiply(paired[..., -1:], out[..., -1:])
            paired = concatenate([paired[..., :-1], last], axis=-1)
        out = paired
    return keep(out[..., 0], x, axis, keepdims)


def cumsum(x: Any, axis: int | None = None) -> Array:
    """Running sum along an axis; of the flattened array without one."""
    a = asarray(x)
    a = a.map(np.ravel) if axis is None else a
    along = axis or 0
    if not a.is_real:
        return Array((exact_whole(partial(np.cumsum, axis=along), a.series[0]),))
    running = tuple(rounded_scan(c, along) for c in a.series)
    return traced("cumsum", Array(running), a, axis=along)


def cumprod(x: Any, axis: int | None = None) -> Array:
    """Running product along an axis; of the flattened array without one."""
    x = asarray(x)
    x = x.map(np.ravel) if axis is None else x.map(lambda c: np.moveaxis(c, axis, 0))
    rows: list[Array] = []
    for row in x:
        rows.append(multiply(rows[-1], row) if rows else row)
    out = stack(rows)
    return out if axis is None else out.map(lambda c: np.moveaxis(c, 0, axis))


def diff(x: Any, n: int = 1, axis: int = -1) -> Array:
    """Differences of neighbours along an axis, n times."""
    out = asarray(x).map(lambda c: np.moveaxis(c, axis, -1))
    for _ in range(n):
        out = subtract(out[..., 1:], out[..., :-1])
    return out.map(lambda c: np.moveaxis(c, -1, axis))


def _extreme(name: str, largest: bool) -> Callable[..., Array]:
    def wrapper(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
        x = asarray(x)
        if not x.is_real:
            return Array((box(getattr(np, name)(x.series[0], axis=axis, keepdims=keepdims)),))
        rows = lanes(x, axis)
        index = winners(rows, name, largest)[..., None]
        if (parts := shares(rows, largest)) is not None:
            each = multiply(choose(parts.balls()[0] != 0, rows, asarray(0.0)), parts)
            return keep(sum_over(each, (each.ndim - 1,)), x, axis, keepdims)
        return keep(rows.map(lambda c: np.take_along_axis(c, index, axis=-1)[..., 0]), x, axis, keepdims)

    return named(wrapper, name, f"The {'largest' if largest else 'smallest'} element over the axes; ties are kinks.")


amax, amin = _extreme("max", True), _extreme("min", False)


def _position(name: str, largest: bool) -> Callable[..., Array]:
    def wrapper(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Array:
        x = asarray(x)
        index = Array((box(winners(lanes(Array(x.balls()), axis), name, largest)),))
        return keep(index, x, axis, keepdims)

    return named(wrapper, name, f"Position of the {'largest' if largest else 'smallest'} element, decided.")


def _logical(name: str) -> Callable[..., Array]:
    def wrapper(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
        x = asarray(x)
        truth = not_equal(x, 0).series[0] if x.is_real else x.series[0]
        return Array((box(getattr(np, name)(truth, axis=axis, keepdims=keepdims)),))

    return named(wrapper, name, f"As numpy.{name}, decided.")


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Sum of a diagonal, of the first two axes unless others are named."""
    return sum(asarray(x).map(lambda c: np.diagonal(c, offset, axis1, axis2)), -1)


def vector_norm(x: Any, axis: Axis = None, ord: Any = 2, *, keepdims: bool = False) -> Array:  # noqa: A002
    """``(sum |x|^ord)^(1/ord)`` over the axes, for ord 1, 2 and other numbers but 0; inf and -inf are the ends."""
    x = asarray(x)
    if ord == 2:
        return keep(norm2(lanes(x, axis)), x, axis, keepdims)
    size = absolute(x)
    if abs(ord) == math.inf:
        return (amax if ord > 0 else amin)(size, axis, keepdims=keepdims)
    if ord == 0:
        return sum(not_equal(size, 0), axis, keepdims=keepdims)
    if ord == 1:
        return sum(size, axis, keepdims=keepdims)
    return power(sum(power(size, ord), axis, keepdims=keepdims), divide(1, ord))


def _axes(x: Array, axis: Axis) -> tuple[int, ...]:
    if axis is None or not x.ndim:
        return tuple(range(x.ndim))
    return tuple(i % x.ndim for i in (axis if isinstance(axis, tuple) else (axis,)))


def _count(x: Array, axis: Axis) -> int:
    return math.prod(x.shape[i] for i in _axes(x, axis))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "all": _logical("all"), "amax": amax, "amin": amin, "any": _logical("any"),
    "argmax": _position("argmax", True), "argmin": _position("argmin", False), "cumprod": cumprod,
    "cumsum": cumsum, "cumulative_sum": cumsum, "diff": diff, "max": amax,
    "mean": mean, "min": amin, "prod": prod, "std": std, "sum": sum, "trace": trace, "var": var,
}  # fmt: skip
