"""How one tapped array differs from another beyond rounding. Pure."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.results.divergence import Difference, shown
from gradparity.worker.recording import Recorded, rounding

#: Floors that two correct backends may be apart: about twice the most that NumPy, autograd and PyTorch were seen at,
#: 8.8, over 162 drawn networks in both dtypes (`tests/evidence/tap_alarms.py`); 99.9% of 6,480 blocks were in 6.2.
DIVERGES_FLOORS = 16.0

Host: TypeAlias = npt.NDArray[Any]


class Block:
    """One backend's value or cotangent at one tap, with its floors."""

    def __init__(self, array: Host | None, floor: Host | None, shape: tuple[int, ...]) -> None:
        self.given = array is not None
        # No cotangent arrives where the loss does not depend on the value: it is zero.
        self.array = np.zeros(shape) if array is None else array
        own = rounding(self.array)
        self.floor = own if floor is None or floor.shape != own.shape else np.maximum(floor, own)

    @classmethod
    def value(cls, recorded: Recorded, key: str) -> Block | None:
        """The value at a tap, if the tap was met."""
        value = recorded.values.get(key)
        return None if value is None else cls(value, recorded.value_floors.get(key), value.shape)

    @classmethod
    def cotangent(cls, recorded: Recorded, key: str) -> Block | None:
        """The cotangent at a tap, if the tap was met and there was a backward pass."""
        value = recorded.values.get(key)
        if value is None or not recorded.differentiated:
            return None
        return cls(recorded.cotangents.get(key), recorded.cotangent_floors.get(key), value.shape)

    def reals(self) -> tuple[Host, Host]:
        """Entries and floors as longdouble, real and imaginary parts apart; the floor of an entry is that of both."""
        if self.array.dtype.kind != "c":
            return self.array.astype(np.longdouble), self.floor
        parts = np.stack([self.array.real, self.array.imag], axis=-1)
        return parts.astype(np.longdouble), np.stack([self.floor, self.floor], axis=-1)


def difference(a: Block, b: Block) -> Difference | None:
    """How ``a`` differs from the expected ``b`` beyond rounding; ``None`` if it does not."""
    if not a.given and not b.given:
        return None
    if a.given and b.given:
        if a.array.shape != b.array.shape:
            return Difference(kind="shape", detail=f"shape {a.array.shape} against {b.array.shape}")
        # A Python number has no precision of its own: arrays only.
        if a.array.dtype != b.array.dtype and a.array.ndim and {a.array.dtype.kind, b.array.dtype.kind} & set("fc"):
            return Difference(kind="dtype", detail=f"dtype {a.array.dtype} against {b.array.dtype}")
    (x, _), (y, _) = a.reals(), b.reals()
    odd = ~((np.isfinite(x) & np.isfinite(y)) | (x == y) | (np.isnan(x) & np.isnan(y)))
    if odd.any():
        return _nonfinite(x, y, _index(np.argmax(odd), x.shape))
    floors = floors_apart(a, b)
    if floors.max(initial=0) <= DIVERGES_FLOORS:
        return None
    if not a.given:
        return Difference(kind="missing", detail=f"no cotangent arrives, where one of up to {_largest(y)} is expected")
    if not b.given:
        return Difference(kind="missing", detail=f"a cotangent of up to {_largest(x)}, where none is expected")
    worst = _index(np.argmax(floors), x.shape)
    scale, error = np.abs(y).max(where=np.isfinite(y), initial=0), _error(x, y)
    return Difference(
        kind="value",
        resembles=_resemblance(x, y, _floor(a, b)) if a.array.dtype.kind != "c" else "",
        relative=_number(error.max() / scale) if scale else None,
        ulps=_number(error[worst] / _ulp(y[worst], b.array.dtype)) if b.array.dtype.kind in "fc" else None,
        floors=_number(floors[worst]),
        index=worst,
        got=_number(x[worst]),
        expected=_number(y[worst]),
    )


def floors_apart(a: Block, b: Block) -> Host:
    """How many floors each entry of two blocks of one shape is apart; the same nan or infinity is no difference."""
    (x, _), (y, _) = a.reals(), b.reals()
    error = _error(x, y)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(error == 0, 0, error / _floor(a, b)))


def _error(x: Host, y: Host) -> Host:
    with np.errstate(invalid="ignore"):
        return np.where((x == y) | ~np.isfinite(x), 0, np.abs(x - y))


def _floor(a: Block, b: Block) -> Host:
    """The floors of entries, of both in quadrature, and in quadrature with the block's root mean square.

    Entry by entry, a floor may come out as nothing: a saturated ``1 - tanh^2`` is 0 or an ulp of 1, and few draws move
    it; a difference of equal numbers is 0 until one of them rounds the other way. Errors are small beside the block.
    """
    floor = np.hypot(a.reals()[1], b.reals()[1])
    return np.asarray(np.hypot(floor, np.sqrt(np.mean(floor * floor)))) if floor.size else floor


def _nonfinite(x: Host, y: Host, where: tuple[int, ...]) -> Difference:
    words = f"{shown(float(x[where]))} against {shown(float(y[where]))}" + (f" at {list(where)}" if where else "")
    return Difference(kind="nonfinite", detail=words, index=where, got=_number(x[where]), expected=_number(y[where]))


def _resemblance(x: Host, y: Host, floor: Host) -> str:
    """What the block is of the expected one, if that explains every entry to within rounding."""
    if not x.any():
        return "all zero"
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or x.size < 2:
        return ""
    if x.ndim > 1 and x.shape[-1] == x.shape[-2]:
        turned = np.abs(x - y.swapaxes(-1, -2)) <= DIVERGES_FLOORS * np.maximum(floor, floor.swapaxes(-1, -2))
        if turned.all():
            return "transposed"
    if not y.any():
        return ""
    largest = np.argmax(np.abs(y))
    times = x.flat[largest] / y.flat[largest]
    scaled = np.abs(x - times * y) <= DIVERGES_FLOORS * max(1, abs(times)) * floor
    return f"{float(times):.6g} times as large" if scaled.all() else ""


def _index(flat: np.integer[Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(flat), shape))


def _ulp(size: Any, dtype: np.dtype[Any]) -> Any:
    return np.spacing(np.abs(size).astype(np.empty(0, dtype).real.dtype)).astype(np.longdouble)


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _largest(values: Host) -> str:
    return shown(float(np.abs(values).max(initial=0)))
