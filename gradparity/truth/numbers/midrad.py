"""Rigorous enclosures as whole arrays: records of a midpoint, which is two float64 numbers, and a radius.

The third kind of coefficients beside balls, which are as exact as is asked for but objects, and extended numbers, which
prove nothing. The arithmetic is that of `doubled`, block by block, so that what it puts aside stays near the processor;
functions that it lacks go through balls, element by element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Self

import flint
import numpy as np
import numpy.typing as npt
from flint import arb

from gradparity.truth.numbers import doubled, elementary, error_function, slices
from gradparity.truth.numbers.context import current, in_time
from gradparity.truth.numbers.records import Records

DTYPE = np.dtype([("high", np.float64), ("low", np.float64), ("radius", np.float64)])
#: Elements computed at a time.
BLOCK = 2048
#: Bits of a midpoint.
BITS = 106
#: Bits that functions of balls are computed with, and bits that hold any midpoint exactly.
BALL_BITS, EXACT_BITS = 160, 2300


class MidRad(Records):
    """Enclosures; see the module docstring. Not known where the radius is no finite number."""

    def like(self, values: Any) -> Self:
        """Plain numbers, and balls."""
        return enclosures(values)  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        """What `flint.arb` has by this name, element by element."""
        if name.startswith("_") or not hasattr(arb, name):
            raise AttributeError(name)
        return lambda *args: by_balls(lambda x: getattr(x, name)(*args), self)

    @property
    def parts(self) -> doubled.Parts:
        """High, low and radius."""
        return self["high"], self["low"], self["radius"]


def assembled(parts: doubled.Parts, shape: tuple[int, ...] = ()) -> MidRad:
    """Parts as records."""
    out = np.empty(np.broadcast_shapes(shape, *(np.shape(part) for part in parts)), DTYPE)
    out["high"], out["low"], out["radius"] = parts
    return out.view(MidRad)


def enclosures(values: Any) -> MidRad:
    """Plain numbers, longdoubles or balls as enclosures: exactly, where two float64 numbers hold them."""
    array = np.asarray(values)
    if array.dtype == DTYPE:
        return array.view(MidRad)
    if array.dtype == object:
        parts = [elementary.parts_of(x if isinstance(x, arb) else arb(x)) for x in array.ravel()]
        high, low, radius = np.array(parts).reshape((*array.shape, 3)).transpose(-1, *range(array.ndim))
        return assembled((high, low, radius))
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and array.dtype.itemsize <= 8):
        high = array.astype(np.float64)
        return assembled((high, 0.0, np.where(np.isnan(high), np.inf, 0.0)))
    wide = array.astype(np.longdouble)
    with np.errstate(all="ignore"):
        high = wide.astype(np.float64)
        low = (wide - high).astype(np.float64)
        left = np.where((wide - high) - low == 0, 0.0, np.where(np.abs(high) < doubled.SAFE, doubled.TINY, np.inf))
    infinite = np.isinf(wide)
    return assembled((high, np.where(infinite, 0.0, low), np.where(infinite, 0.0, left)))


def split(values: npt.NDArray[np.longdouble]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Longdoubles as sums of two float64 numbers, exactly; None where some are beyond its range."""
    with np.errstate(over="ignore", invalid="ignore"):
        high = values.astype(np.float64)
        low = (values - high).astype(np.float64)
    size = np.abs(high)
    beyond = not np.isfinite(size).all() or ((size < doubled.SAFE) & (values != 0)).any()
    return None if beyond else (high, low)


def balls(c: Any) -> npt.NDArray[Any]:
    """The same enclosures as balls, none smaller."""
    out = np.empty(c.size, object)
    with flint.ctx.workprec(EXACT_BITS):
        for i, (high, low, radius) in enumerate(zip(*(part.ravel().tolist() for part in c.parts), strict=True)):
            mid = arb(high) + arb(low)
            known = math.isfinite(high) and math.isfinite(radius)
            out[i] = (arb(mid, arb(radius)) if radius else mid) if known else arb.nan()
    for i in np.flatnonzero(infinities(c)).tolist():
        out[i] = arb(float(c["high"].flat[i]))
    return out.reshape(c.shape)


def as_ball(x: Any) -> Any:
    """One enclosure, or the ball that it is already, as a ball."""
    return balls(x).item() if isinstance(x, MidRad) else x


def by_balls(function: Callable[..., Any], *operands: Any) -> Any:
    """A function of balls, element by element; of several results, or one."""
    arrays = np.broadcast_arrays(*operands)
    rows = zip(*(balls(x).ravel() for x in arrays), strict=True)
    with flint.ctx.workprec(BALL_BITS):
        found = [function(*row) for row in in_time(rows)]
    shape = arrays[0].shape
    if found and isinstance(found[0], tuple):
        return tuple(_filled(shape, list(column)) for column in zip(*found, strict=True))
    return _filled(shape, found)


def _filled(shape: tuple[int, ...], values: list[Any]) -> MidRad:
    array = np.empty(len(values), object)
    array[:] = values
    return enclosures(array.reshape(shape))


def blocked(kernel: Callable[..., doubled.Parts], *operands: Any) -> MidRad:
    """A function of parts, over blocks of the operands broadcast together."""
    return several(lambda *parts: (kernel(*parts),), 1, *operands)[0]


def several(kernel: Callable[..., tuple[doubled.Parts, ...]], count: int, *operands: Any) -> tuple[MidRad, ...]:
    """The same, of a function with this many results."""
    shape = np.broadcast_shapes(*(x.shape for x in operands))
    arrays = [x.view(np.ndarray) for x in operands]
    out = [np.empty(shape, DTYPE) for _ in range(count)]
    if math.prod(shape) > BLOCK:
        arrays = [np.broadcast_to(x, shape) for x in arrays]
    with np.errstate(all="ignore"):
        for place in _blocks(shape):
            current().check_time()
            parts = (tuple(np.ascontiguousarray(x[name][place]) for name in DTYPE.names) for x in arrays)  # type: ignore[union-attr]
            for whole, (high, low, radius) in zip(out, kernel(*parts), strict=True):
                whole["high"][place], whole["low"][place], whole["radius"][place] = high, low, radius
    return tuple(x.view(MidRad) for x in out)


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    if math.prod(shape) <= BLOCK:
        yield (...,)
        return
    inner = math.prod(shape[1:])
    if inner > BLOCK:
        for i in range(shape[0]):
            for rest in _blocks(shape[1:]):
                yield (i, *rest)
        return
    rows = BLOCK // inner
    for start in range(0, shape[0], rows):
        yield (slice(start, start + rows),)


def total(c: Any, axis: Any = None, keepdims: bool = False, **_: Any) -> Any:
    """Sums over axes, in pairs."""
    axes = tuple(range(c.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(i % c.ndim for i in axes)
    kept = [i for i in range(c.ndim) if i not in axes]
    lanes = np.transpose(c, [*axes, *kept]).reshape((-1, *(c.shape[i] for i in kept)))
    if not len(lanes):
        lanes = enclosures(np.zeros((1, *lanes.shape[1:])))
    while len(lanes) > 1:
        half = len(lanes) // 2
        paired = blocked(doubled.add, lanes[:half], lanes[half : 2 * half])
        lanes = np.concatenate([paired, lanes[2 * half :]]) if len(lanes) % 2 else paired
    shape = tuple(1 if i in axes else n for i, n in enumerate(c.shape)) if keepdims else lanes.shape[1:]
    return lanes[0].reshape(shape)


def running(c: Any, axis: int | None = 0, **_: Any) -> Any:
    """Running sums along an axis, by doubling steps."""
    rows = np.moveaxis(c.ravel() if axis is None else c, axis or 0, 0).copy()
    step = 1
    while step < len(rows):
        rows[step:] = blocked(doubled.add, rows[step:], rows[:-step])
        step *= 2
    return np.moveaxis(rows, 0, axis or 0)


def _scattered(out: Any, places: Any, terms: Any) -> None:
    """Add terms at places, all of each place in pairs; one axis."""
    places, terms = np.asarray(places).ravel(), terms.ravel()
    order = np.argsort(places, kind="stable")
    places, terms = places[order], terms[order]
    while len(places):
        # Neighbours with the same place are added, the first with the second and so on.
        first = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
        rank = np.arange(len(places)) - np.repeat(first, np.diff(np.r_[first, len(places)]))
        if not rank.any():
            out[places] = blocked(doubled.add, out[places], terms)
            return
        seconds = np.flatnonzero(rank % 2)
        terms = terms.copy()
        terms[seconds - 1] = blocked(doubled.add, terms[seconds - 1], terms[seconds])
        keep = rank % 2 == 0
        places, terms = places[keep], terms[keep]


def matmul(a: Any, b: Any) -> MidRad:
    """Matrix products of shapes (..., m, k) and (..., k, n)."""
    if not a.shape[-1]:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return enclosures(np.zeros((*lead, a.shape[-2], b.shape[-1])))
    with np.errstate(all="ignore"):
        return assembled(slices.product(a.parts, b.parts, current().midrad or slices.LEVELS))


def signs(c: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Signs of elements, and where they are not proven."""
    high, _, radius = c.parts
    proven = (np.abs(high) * doubled.DOWN > radius) | is_zero(c)
    return np.where(proven, np.sign(high), 0).astype(np.int64), ~proven


def infinities(c: Any) -> npt.NDArray[np.int8]:
    """1 and -1 where elements are infinities of the data; 0 elsewhere."""
    high, _, radius = c.parts
    return np.where(np.isinf(high) & (radius == 0), np.sign(high), 0).astype(np.int8)


def is_known(c: Any) -> npt.NDArray[np.bool_]:
    """Which elements are proven to be finite numbers."""
    return np.asarray(np.isfinite(c["high"]) & np.isfinite(c["radius"]))


def is_zero(c: Any) -> npt.NDArray[np.bool_]:
    """Which elements are proven to be exactly zero."""
    return np.asarray((c["high"] == 0) & (c["radius"] == 0))


def longdoubles(c: Any) -> npt.NDArray[np.longdouble]:
    """Midpoints, rounded once."""
    with np.errstate(invalid="ignore"):
        return np.asarray(c["high"].astype(np.longdouble) + c["low"])


def _powered(c: Any, p: Any) -> Any:
    exponent = float(p["high"].ravel()[0])
    if np.any(p["high"] != exponent) or not is_zero(p - exponent).all() or exponent != int(exponent) or exponent < 0:
        return by_balls(lambda x, y: x**y, c, p)
    out, base, n = enclosures(np.ones(c.shape)), c, int(exponent)
    while n:
        out, base, n = (out * base if n % 2 else out), (base * base if n > 1 else base), n // 2
    return out


def _by_parts(kernel: Callable[..., doubled.Parts]) -> Callable[..., Any]:
    return lambda *operands: blocked(kernel, *operands)


_FUNCTIONS: dict[str, Callable[..., doubled.Parts]] = {
    "exp": elementary.exp, "expm1": elementary.expm1, "log": elementary.log, "log1p": elementary.log1p,
    "tanh": elementary.tanh, "sech": elementary.sech, "sqrt": doubled.sqrt, "softplus": elementary.softplus,
    "rsqrt": lambda x: doubled.divide(doubled.ONE, doubled.sqrt(x)),
    "sin": lambda x: elementary.sin_cos(x)[0], "cos": lambda x: elementary.sin_cos(x)[1],
    "erf": error_function.erf, "erfc": error_function.erfc,
}  # fmt: skip
for _name, _kernel in _FUNCTIONS.items():
    setattr(MidRad, _name, _by_parts(_kernel))
MidRad.sin_cos = lambda self: several(elementary.sin_cos, 2, self)  # type: ignore[attr-defined]
MidRad.sigmoids = lambda self: several(elementary.sigmoids, 2, self)  # type: ignore[attr-defined]

MidRad.ufuncs = {
    "add": _by_parts(doubled.add), "subtract": _by_parts(doubled.subtract), "multiply": _by_parts(doubled.multiply),
    "divide": _by_parts(doubled.divide), "negative": _by_parts(doubled.negative), "positive": lambda x: x,
    "square": lambda x: blocked(doubled.multiply, x, x), "matmul": matmul, "power": _powered,
    "add.reduce": total, "add.accumulate": running, "add.at": _scattered, "isfinite": is_known,
}  # fmt: skip
MidRad.functions = {np.cumsum: running}
