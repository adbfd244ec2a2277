"""NumPy's functions as autograd can differentiate them, where its own have no derivative, or lose it in silence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.tracer import getval, isbox


def hold(x: Any) -> Any:
    """An array as a constant, of every trace that it is in."""
    while isbox(x):
        x = getval(x)
    return x


def _stretched(x: Any, shape: tuple[int, ...]) -> Any:
    return x if anp.shape(x) == shape else x + np.zeros(shape, np.asarray(hold(x)).dtype)


def where(condition: Any, *branches: Any) -> Any:
    """``a`` where the condition holds, ``b`` elsewhere: autograd's own needs them in one shape."""
    condition = hold(condition)
    if not branches:
        return np.nonzero(condition)
    shape = np.broadcast_shapes(np.shape(condition), *map(anp.shape, branches))
    return anp.where(condition, *(_stretched(x, shape) if isbox(x) else x for x in branches))


def broadcast_to(x: Any, shape: Any) -> Any:
    """Stretched to a shape."""
    return _stretched(anp.array(x), (shape,) if isinstance(shape, int) else tuple(shape))


def full(shape: Any, value: Any, dtype: Any = None) -> Any:
    """An array of one value, which may be a parameter."""
    return broadcast_to(value, shape) if isbox(value) else np.full(shape, value, dtype)


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The elements at these positions."""
    places = np.asarray(hold(indices))
    return anp.ravel(x)[places] if axis is None else x[(slice(None),) * (axis % anp.ndim(x)) + (places,)]


def flip(x: Any, axis: Any = None) -> Any:
    """In reverse along axes."""
    axes = range(anp.ndim(x)) if axis is None else [i % anp.ndim(x) for i in np.atleast_1d(axis)]
    return x[tuple(slice(None, None, -1 if i in axes else None) for i in range(anp.ndim(x)))]


def cumprod(x: Any, axis: int | None = None) -> Any:
    """Running product."""
    rows: list[Any] = []
    for row in anp.ravel(x) if axis is None else anp.moveaxis(x, axis, 0):
        rows.append(rows[-1] * row if rows else row)
    return anp.stack(rows) if axis is None else anp.moveaxis(anp.stack(rows), 0, axis)


def var(x: Any, axis: Any = None, *, correction: float = 0, ddof: float | None = None, keepdims: bool = False) -> Any:
    """``sum (x - mean)^2 / (n - correction)``."""
    centred = x - anp.mean(x, axis=axis, keepdims=True)
    axes = range(anp.ndim(x)) if axis is None else np.atleast_1d(axis)
    count = math.prod(anp.shape(x)[i] for i in axes) - (correction if ddof is None else ddof)
    return anp.sum(centred * centred, axis=axis, keepdims=keepdims) / count


def linspace(start: Any, stop: Any, num: int = 50, *, endpoint: bool = True, dtype: Any = None) -> Any:
    """Evenly spaced numbers, between parameters too."""
    if not (isbox(start) or isbox(stop)):
        return np.linspace(start, stop, num, endpoint=endpoint, dtype=dtype)
    return start + np.arange(num) * ((stop - start) / max(num - 1 if endpoint else num, 1))


def meshgrid(*arrays: Any, indexing: Any = "xy") -> list[Any]:
    """Coordinates of a grid."""
    places = np.meshgrid(*(np.arange(anp.shape(x)[0]) for x in arrays), indexing=indexing)
    return [x[place] for x, place in zip(arrays, places, strict=True)]


def _broadcast(*arrays: Any) -> list[Any]:
    shape = np.broadcast_shapes(*map(anp.shape, arrays))
    return [_stretched(x, shape) for x in arrays]


NAMES: dict[str, Callable[..., Any]] = {
    "asarray": anp.array, "broadcast_arrays": _broadcast, "broadcast_to": broadcast_to,
    "concat": lambda arrays, axis=0: anp.concatenate(arrays, axis), "conj": lambda x: x, "copy": lambda x: x,
    "cumprod": cumprod, "dstack": lambda arrays: anp.concatenate([_deep(x) for x in arrays], 2), "flip": flip,
    "full": full, "full_like": lambda x, value, dtype=None: full(anp.shape(x), value, dtype or hold(x).dtype),
    "hypot": lambda a, b: anp.sqrt(a * a + b * b), "linspace": linspace,
    "matrix_transpose": lambda x: anp.swapaxes(x, -1, -2), "meshgrid": meshgrid,
    "outer": lambda a, b: anp.ravel(a)[:, None] * anp.ravel(b)[None, :], "positive": lambda x: x, "take": take,
    "std": lambda x, axis=None, **options: anp.sqrt(var(x, axis, **options)),
    "unstack": lambda x, axis=0: tuple(anp.moveaxis(x, axis, 0)), "var": var,
    "vdot": lambda a, b: anp.sum(anp.ravel(a) * anp.ravel(b)),
    "vecdot": lambda a, b, axis=-1: anp.sum(a * b, axis=axis), "where": where,
}  # fmt: skip


def _deep(x: Any) -> Any:
    """With three axes, as numpy.atleast_3d."""
    return anp.reshape(x, np.atleast_3d(np.empty(anp.shape(x))).shape)
