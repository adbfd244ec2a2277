"""What depends on the order of numbers: sorting, quantiles, positions among knots; sums over segments.

The order is decided with certainty. Two equal elements are a tie, and a kink where a parameter moves one of them:
sorted, they swap places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.truth.numbers import midrad
from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import Coefficient, box, middles, unravel
from gradparity.truth.numbers.context import NotCertifiableError, current
from gradparity.truth.numbers.draws import question
from gradparity.truth.numbers.midrad import MidRad
from gradparity.truth.xp.arithmetic import add, divide, multiply, subtract
from gradparity.truth.xp.kinks import choose, compare, floor, order_of_two, require_decided_whole
from gradparity.truth.xp.reductions import Axis, keep, lanes
from gradparity.truth.xp.reductions import sum as sum_over
from gradparity.truth.xp.shaping import broadcast_to, stack, take


def argsort(x: Any, axis: int | None = -1, *, stable: bool = True, kind: Any = None) -> Array:
    """Positions of the elements in ascending order, decided; equal ones in their own order."""
    del stable, kind
    x = asarray(x)
    rows = x.map(np.ravel) if axis is None else x.map(lambda c: np.moveaxis(c, axis, -1))
    order = _order(rows) if rows.is_real else np.argsort(rows.series[0], axis=-1, kind="stable")
    return Array((order if axis is None else np.moveaxis(order, -1, axis),))


def sort(x: Any, axis: int | None = -1, *, stable: bool = True, kind: Any = None) -> Array:
    """The elements in ascending order; ties are kinks."""
    del stable, kind
    rows: Array = asarray(x).map(np.ravel) if axis is None else asarray(x)
    along = 0 if axis is None else axis
    order = argsort(rows, along).series[0]
    return rows.map(lambda c: np.take_along_axis(c, order, axis=along))


def _order(x: Array) -> Coefficient:
    """Positions in ascending order along the last axis.

    Raises:
        UndecidedError: two elements are neither told apart nor proven equal.
    """
    values = x.balls()[0]
    if not current().extended:
        rows = [midrad.balls(c) if isinstance(c, MidRad) else c for c in x.balls()]
        flat = [c.reshape(-1, x.shape[-1]) for c in rows]
        order = [_order_of([c[i] for c in flat], unravel(i, x.shape[:-1])) for i in range(len(flat[0]))]
        return np.array(order, np.int64).reshape(x.shape)
    n, last = x.shape[-1], x.ndim - 1

    def equal_to_the_next() -> Any:
        """In ascending order; the last has no next."""
        ordered = np.sort(middles(values), axis=last)
        return np.concatenate([ordered[..., 1:] == ordered[..., :-1], np.zeros((*x.shape[:-1], 1), bool)], axis=-1)

    tied = current().tied(equal_to_the_next, x.shape)
    group = np.cumsum(np.concatenate([np.zeros((*x.shape[:-1], 1), bool), ~tied[..., :-1]], axis=-1), axis=-1)
    forced = current().forced
    rank = np.arange(n) if forced is None else forced.rng.permutation(n)

    def positions(c: Any) -> Any:
        """By group, and in each by rank: noise does not reorder what is equal."""
        place = rank[np.argsort(c, axis=last, kind="stable")]
        of = group if c.ndim == group.ndim else group[..., None]
        return np.argsort(rank)[np.sort(of * n + place, axis=last) % n]

    return box(question(positions, values))


def _order_of(rows: list[Coefficient], index: tuple[int, ...]) -> list[int]:
    order: list[int] = []
    # Nearly sorted by its midpoints already, each moves past what is proven to be more.
    for i in np.argsort([float(value.mid()) for value in rows[0]], kind="stable").tolist():
        place = len(order)
        while place and order_of_two(rows, order[place - 1], i, "sort", index) > 0:
            place -= 1
        order.insert(place, i)
    return order


def median(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The middle element over the axes, or the mean of the two in the middle."""
    x = asarray(x)
    rows = sort(lanes(x, axis))
    half = rows.shape[-1] // 2
    odd = rows.shape[-1] % 2
    return keep(rows[..., half] if odd else divide(add(rows[..., half - 1], rows[..., half]), 2), x, axis, keepdims)


def quantile(x: Any, q: Any, axis: Axis = None, *, keepdims: bool = False, method: str = "linear") -> Array:
    """Between the elements in order at position ``q (n - 1)``, linearly; of several q along a new first axis.

    Raises:
        NotCertifiableError: another method, or a q that depends on a parameter.
    """
    if method != "linear":
        raise NotCertifiableError(f"xp.quantile with method={method!r}", "Only method='linear' is certified.")
    x, q = asarray(x), asarray(q)
    if q.ndim:
        return stack([quantile(x, each, axis, keepdims=keepdims) for each in q])
    rows = sort(lanes(x, axis))
    last = rows.shape[-1] - 1
    position = multiply(asarray(1.0), multiply(q, last))
    below = floor(position)
    low = min(int(require_decided_whole(below, "a quantile's position")), last)
    part = multiply(subtract(position, below), subtract(rows[..., min(low + 1, last)], rows[..., low]))
    return keep(add(rows[..., low], part), x, axis, keepdims)


def percentile(x: Any, q: Any, axis: Axis = None, *, keepdims: bool = False, method: str = "linear") -> Array:
    """``quantile(x, q / 100)``."""
    return quantile(x, divide(q, 100), axis, keepdims=keepdims, method=method)


def searchsorted(knots: Any, x: Any, side: str = "left") -> Array:
    """How many of the ascending `knots` are below each element; with side="right", or equal to it."""
    return _position(knots, x, side, "searchsorted")


def _position(knots: Any, x: Any, side: str, name: str) -> Array:
    knots, x = asarray(knots), asarray(x)
    ahead = compare(x[..., None], knots, name)
    return Array((box(np.sum(ahead >= 0 if side == "right" else ahead > 0, axis=-1, dtype=np.int64)),))


def digitize(x: Any, bins: Any, right: bool = False) -> Array:
    """How many of the ascending `bins` are no more than each element; with right=True, less."""
    return searchsorted(bins, x, "left" if right else "right")


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Array:
    """Linear between the points ``(xp, fp)``, ascending; outside the ends' values, or `left` and `right`."""
    x, xp, fp = asarray(x), asarray(xp), asarray(fp)
    last = xp.shape[0] - 1
    after = np.clip(_position(xp, x, "right", "interp").series[0], 1, last)
    x0, f0 = take(xp, after - 1), take(fp, after - 1)
    share = divide(subtract(x, x0), subtract(take(xp, after), x0))
    inside = add(f0, multiply(share, subtract(take(fp, after), f0)))
    low, high = (broadcast_to(fp[i] if end is None else end, x.shape) for i, end in ((0, left), (last, right)))
    inside = choose(compare(x, xp[last], "interp") > 0, high, inside)
    return choose(compare(x, xp[0], "interp") < 0, low, inside)


def segment_sum(x: Any, segments: Any, count: int) -> Array:
    """Sums of those along the first axis that are of the same segment; shape ``(count, ...)``."""
    x, of = asarray(x), np.asarray(asarray(segments))
    return stack([sum_over(x[np.flatnonzero(of == k)], 0) for k in range(int(count))])


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Array:
    """How often 0, 1, ... `minlength` - 1 are among whole numbers, or the sums of their weights.

    Raises:
        NotCertifiableError: `minlength` does not reach the largest, so that the shape would depend on the data.
    """
    x = asarray(x)
    if x.is_real:
        raise TypeError("bincount counts whole numbers")
    places = np.asarray(x)
    if places.size and not 0 <= places.min() <= places.max() < minlength:
        raise NotCertifiableError(
            f"bincount of numbers from {places.min()} to {places.max()} with minlength={minlength}",
            "Say how many there may be, minlength=n: compilers need the shape.",
        )
    if weights is None:
        return Array((np.bincount(places, minlength=minlength).astype(np.int64),))
    return segment_sum(weights, places, minlength)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "argsort": argsort, "bincount": bincount, "digitize": digitize, "interp": interp, "median": median,
    "percentile": percentile, "quantile": quantile, "searchsorted": searchsorted, "segment_sum": segment_sum,
    "sort": sort,
}  # fmt: skip
