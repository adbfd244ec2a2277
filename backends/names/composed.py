"""NumPy's functions for frameworks that lack them, or have no derivative of theirs: in terms of what they have.

Orders, positions and masks are found of held values, and what is differentiated is what they pick.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def require_full_rank(a: Any, share: Any, svdvals: Callable[[Any], Any]) -> None:
    """Refuse what a framework has no derivatives of: singular values that are taken for zero.

    Raises:
        ValueError: some are no more than this share of the largest.
    """
    if share is not None and share > 0:
        values = svdvals(a)
        if bool((values[..., -1] <= share * values[..., 0]).any()):
            raise ValueError(
                f"least squares of a matrix with singular values below rcond={share}: it has no derivative"
            )


def selections(xp: Any, hold: Callable[[Any], Any], pick: Callable[[Any, Any], Any]) -> dict[str, Callable[..., Any]]:
    """Orders, quantiles and interpolation.

    Args:
        xp: a namespace with NumPy's names.
        hold: an array as a constant.
        pick: the elements at these positions along the last axis.
    """

    def lanes(x: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
        """The axes made one at the end, and the shape with them at length one."""
        axes = [*range(x.ndim)] if axis is None else [i % x.ndim for i in np.atleast_1d(axis).tolist()]
        kept = [i for i in range(x.ndim) if i not in axes]
        rows = xp.reshape(xp.transpose(x, (*kept, *axes)), (*(x.shape[i] for i in kept), -1))
        return rows, tuple(1 if i in axes else n for i, n in enumerate(x.shape))

    def sort(x: Any, axis: int | None = -1) -> Any:
        x = xp.reshape(x, (-1,)) if axis is None else xp.moveaxis(x, axis, -1)
        out = pick(x, xp.argsort(hold(x), axis=-1))
        return out if axis is None else xp.moveaxis(out, -1, axis)

    def median(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        rows, shape = lanes(x, axis)
        rows, half = sort(rows), rows.shape[-1] // 2
        out = rows[..., half] if rows.shape[-1] % 2 else (rows[..., half - 1] + rows[..., half]) / 2
        return xp.reshape(out, shape) if keepdims else out

    def quantile(x: Any, q: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        several = np.asarray(hold(q))
        if several.ndim:
            return xp.stack([quantile(x, float(each), axis, keepdims=keepdims) for each in several])
        rows, shape = lanes(x, axis)
        rows, last = sort(rows), rows.shape[-1] - 1
        position = float(several) * last
        low = min(math.floor(position), last)
        out = rows[..., low] + (position - low) * (rows[..., min(low + 1, last)] - rows[..., low])
        return xp.reshape(out, shape) if keepdims else out

    def percentile(x: Any, q: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        return quantile(x, np.asarray(hold(q)) / 100, axis, keepdims=keepdims)

    def searchsorted(knots: Any, x: Any, side: str = "left") -> Any:
        knots, x = hold(knots), hold(x)[..., None]
        return xp.sum(x >= knots if side == "right" else x > knots, axis=-1)

    def digitize(x: Any, bins: Any, right: bool = False) -> Any:
        return searchsorted(bins, x, "left" if right else "right")

    def interp(x: Any, points: Any, values: Any, left: Any = None, right: Any = None) -> Any:
        last = points.shape[0] - 1
        after = xp.clip(searchsorted(points, x, "right"), 1, last)
        x0, f0 = points[after - 1], values[after - 1]
        inside = f0 + (x - x0) / (points[after] - x0) * (values[after] - f0)
        low, high = values[0] if left is None else left, values[last] if right is None else right
        return xp.where(x < points[0], low, xp.where(x > points[last], high, inside))

    return {
        "digitize": digitize, "interp": interp, "median": median, "percentile": percentile, "quantile": quantile,
        "searchsorted": searchsorted, "sort": sort,
    }  # fmt: skip


def without_nan(xp: Any, hold: Callable[[Any], Any]) -> dict[str, Callable[..., Any]]:
    """Reductions that leave out what is no number."""

    def numbers(x: Any, instead: float) -> tuple[Any, Any]:
        missing = xp.isnan(hold(x))
        return xp.where(missing, instead, x), ~missing

    def reduction(name: str, instead: float) -> Callable[..., Any]:
        return lambda x, axis=None, keepdims=False: getattr(xp, name)(
            numbers(x, instead)[0], axis=axis, keepdims=keepdims
        )

    def nanmean(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        x, there = numbers(x, 0.0)
        return xp.sum(x, axis=axis, keepdims=keepdims) / xp.sum(there, axis=axis, keepdims=keepdims)

    def nanvar(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
        mean = nanmean(x, axis, keepdims=True)
        x, there = numbers(x, 0.0)
        centred = xp.where(there, x - mean, 0.0)
        return xp.sum(centred * centred, axis=axis, keepdims=keepdims) / (
            xp.sum(there, axis=axis, keepdims=keepdims) - ddof
        )

    return {
        "nanmax": reduction("max", -math.inf), "nanmean": nanmean, "nanmin": reduction("min", math.inf),
        "nanprod": reduction("prod", 1.0),
        "nanstd": lambda x, axis=None, ddof=0, keepdims=False: xp.sqrt(nanvar(x, axis, ddof=ddof, keepdims=keepdims)),
        "nansum": reduction("sum", 0.0), "nanvar": nanvar,
    }  # fmt: skip


def others(xp: Any) -> dict[str, Callable[..., Any]]:
    """Integrals, means, polynomials, padding, sums over segments."""

    def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
        y = xp.moveaxis(y, axis, -1)
        steps = dx
        if x is not None:
            x = x if x.ndim == 1 else xp.moveaxis(x, axis, -1)
            steps = x[..., 1:] - x[..., :-1]
        return xp.sum(steps * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)

    def average(x: Any, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Any:
        if weights is None:
            return xp.mean(x, axis=axis, keepdims=keepdims)
        total = xp.sum(x * weights, axis=axis, keepdims=keepdims)
        return total / xp.sum(weights + xp.zeros_like(x), axis=axis, keepdims=keepdims)

    def ptp(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        return xp.max(x, axis=axis, keepdims=keepdims) - xp.min(x, axis=axis, keepdims=keepdims)

    def heaviside(x: Any, at_zero: Any) -> Any:
        return xp.where(x > 0, 1.0, xp.where(x < 0, 0.0, at_zero + xp.zeros_like(x)))

    def pad(x: Any, pad_width: Any, mode: Any = "constant", *, constant_values: Any = 0) -> Any:
        options: Any = {"constant_values": -1} if mode == "constant" else {}
        places = np.pad(np.arange(math.prod(x.shape)).reshape(tuple(x.shape)), pad_width, mode, **options)
        inside = xp.reshape(x, (-1,))[xp.asarray(np.maximum(places, 0))]
        return inside if (places >= 0).all() else xp.where(xp.asarray(places < 0), float(constant_values), inside)

    def select(conditions: Any, choices: Any, default: Any = 0) -> Any:
        out = default
        for condition, choice in reversed(list(zip(conditions, choices, strict=True))):
            out = xp.where(condition, choice, out)
        return out

    def polyval(p: Any, x: Any) -> Any:
        out = 0.0 * x
        for i in range(p.shape[0]):
            out = out * x + p[i]
        return out

    def segment_sum(x: Any, segments: Any, count: int) -> Any:
        of = xp.arange(count)[:, None] == segments
        flat = xp.reshape(x, (x.shape[0], -1))
        return xp.reshape(xp.matmul(xp.where(of, 1.0, 0.0) + 0 * flat[0, 0], flat), (count, *x.shape[1:]))

    def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
        if weights is None:
            return xp.sum(xp.arange(minlength)[:, None] == x, axis=-1)
        return segment_sum(weights, x, minlength)

    def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: float | None = None) -> Any:
        both = [x for x in (m, y) if x is not None]
        rows = [x.T if not rowvar and x.ndim > 1 else x if x.ndim > 1 else x[None] for x in both]
        x = xp.concatenate(rows)
        centred = x - xp.mean(x, axis=-1, keepdims=True)
        out = xp.matmul(centred, centred.T) / (x.shape[-1] - ((0 if bias else 1) if ddof is None else ddof))
        return out[0, 0] if tuple(out.shape) == (1, 1) else out

    def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
        c = cov(x, y, rowvar)
        if not c.ndim:
            return c / c
        each = xp.arange(c.shape[0])
        deviations = xp.sqrt(c[each, each])
        return c / deviations[:, None] / deviations[None, :]

    return {
        "bincount": bincount, "corrcoef": corrcoef, "cov": cov,
        "average": average, "heaviside": heaviside, "pad": pad, "polyval": polyval, "ptp": ptp, "select": select,
        "segment_sum": segment_sum, "trapezoid": trapezoid,
    }  # fmt: skip
