"""Coefficients: arrays of balls, of enclosures, or of extended numbers in an evaluation that proves nothing.

A ball of python-flint contains the true number; NumPy holds balls as objects. Conversions into each are exact.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import flint
import numpy as np
import numpy.typing as npt
from flint import arb

from gradparity.truth.numbers import midrad
from gradparity.truth.numbers.context import NotCertifiableError, current
from gradparity.truth.numbers.draws import question
from gradparity.truth.numbers.midrad import MidRad, enclosures, is_zero
from gradparity.truth.numbers.notes import refuse
from gradparity.truth.numbers.records import Records

Coefficient: TypeAlias = npt.NDArray[Any]

# Typed as Any: to NumPy's stubs a ball is no array element.
ZERO: Any = arb(0)
ONE: Any = arb(1)
TWO: Any = arb(2)


def box(value: Any) -> Coefficient:
    """`value` as an array: NumPy hands back the bare element for results of shape ()."""
    return value if isinstance(value, np.ndarray) else np.asarray(value)


def vanishes(c: Coefficient) -> Coefficient:
    """Which elements are exactly zero, by proof where they are enclosed."""
    refuse("a question whether a number is zero")
    if isinstance(c, MidRad):
        return is_zero(c)
    if c.dtype != object:
        return np.asarray(c == 0)
    return np.array([bool(value.is_zero()) for value in c.ravel()], dtype=bool).reshape(c.shape)


def infinities(c: Coefficient) -> npt.NDArray[np.int8]:
    """1 and -1 where elements are exactly inf and -inf, which only data are; 0 elsewhere."""
    refuse("a question whether a number is infinite")
    if isinstance(c, MidRad):
        return midrad.infinities(c)
    if c.dtype != object:
        return question(lambda values: np.where(np.isinf(values), np.sign(values), 0).astype(np.int8), c)
    signs = [0 if value.is_finite() or value.is_nan() else int(value > 0) - int(value < 0) for value in c.ravel()]
    return np.array(signs, dtype=np.int8).reshape(c.shape)


def middles(c: Coefficient) -> npt.NDArray[Any]:
    """Plain numbers near the elements."""
    refuse("a look at the numbers")
    if isinstance(c, MidRad):
        return np.asarray(c["high"])
    return c if c.dtype != object else np.array([float(x.mid()) for x in c.ravel()]).reshape(c.shape)


def nothing(shape: tuple[int, ...]) -> Coefficient:
    """Zeros."""
    return np.broadcast_to(exact(0), shape)


def fill(shape: tuple[int, ...], values: list[Any]) -> Coefficient:
    """Object array of this shape holding `values` in C order."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out.reshape(shape)


def unravel(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Index of an element in an array of this shape, from its position in C order."""
    return tuple(int(i) for i in np.unravel_index(position, shape))


def exact(values: npt.ArrayLike) -> Coefficient:
    """These real numbers as coefficients of the evaluation's kind: balls of radius zero if it has no other.

    Raises:
        NotCertifiableError: complex numbers, strings or other objects.
    """
    context = current()
    if context.midrad:
        return enclosures(_real(values))
    return extended(values) if context.extended else exact_balls(values)


def extended(values: npt.ArrayLike) -> Coefficient:
    """These numbers in extended precision, which holds every number of a narrower dtype, or in what is in its place.

    Raises:
        NotCertifiableError: as for `exact`.
    """
    if isinstance(values, Records):
        return values
    return _real(values).astype(current().number, copy=False)


def _real(values: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise NotCertifiableError(f"an array of dtype {array.dtype}", "Only real numbers are enclosed.")
    return array


def exact_balls(values: npt.ArrayLike) -> Coefficient:
    """Balls of radius zero equal to these numbers, whatever their real dtype.

    Raises:
        NotCertifiableError: complex numbers, strings or other objects.
    """
    array = np.asarray(values)
    if array.dtype.kind in "biu" or (array.dtype.kind == "f" and array.dtype.itemsize <= 8):
        return fill(array.shape, [arb(value) for value in array.ravel().tolist()])
    if array.dtype.kind == "f":
        return _exact_extended(array)
    if array.dtype == object and all(isinstance(value, arb | int | float) for value in array.ravel()):
        return fill(array.shape, [value if isinstance(value, arb) else arb(value) for value in array.ravel()])
    raise NotCertifiableError(f"an array of dtype {array.dtype}", "Only real numbers are enclosed.")


def _exact_extended(array: npt.NDArray[np.floating[Any]]) -> Coefficient:
    """Exact balls of extended numbers: their fractions as sums of float64 parts, times a power of two."""
    finite = np.isfinite(array)
    rest = np.where(finite, array, 0).ravel()
    # Away from float64's limits the parts are taken as they stand; frexp brings everything else there.
    plain = bool(np.all((rest == 0) | ((abs(rest) > 2.0**-900) & (abs(rest) < 2.0**1000))))
    powers = None
    if not plain:
        rest, powers = np.frexp(rest)
    total = np.full(array.size, ZERO, dtype=object)
    # 256 bits hold any fraction of 113 exactly, whatever precision is current.
    with flint.ctx.workprec(256):
        while np.any(rest):
            part = rest.astype(np.float64)
            total = total + exact_balls(part)
            rest = rest - part
        if powers is not None:
            total = fill(total.shape, [value * TWO ** int(p) for value, p in zip(total, powers, strict=True)])
    for position in np.flatnonzero(~finite.ravel()):
        total[position] = arb(float(array.ravel()[position]))
    return total.reshape(array.shape)
