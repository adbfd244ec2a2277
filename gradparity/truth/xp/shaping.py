"""Creating, indexing and rearranging arrays: nothing here computes, so everything is exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from gradparity.truth.numbers.arrays import Array, asarray, named
from gradparity.truth.numbers.balls import ZERO, box, exact, nothing
from gradparity.truth.numbers.draws import blank
from gradparity.truth.numbers.notes import literal, noted
from gradparity.truth.numbers.recording import Rearranged
from gradparity.truth.numbers.tape import traced
from gradparity.truth.xp.arithmetic import add, divide, multiply
from gradparity.truth.xp.kinks import not_equal, require_decided_whole


def full(shape: Any, value: Any, dtype: Any = None) -> Array:
    """An array of one value."""
    return broadcast_to(astype(value, dtype) if dtype is not None else value, shape)


def zeros(shape: Any, dtype: Any = None) -> Array:
    """An array of zeros, real unless `dtype` says otherwise."""
    return full(shape, 0, np.float64 if dtype is None else dtype)


def ones(shape: Any, dtype: Any = None) -> Array:
    """An array of ones, real unless `dtype` says otherwise."""
    return full(shape, 1, np.float64 if dtype is None else dtype)


def full_like(x: Any, value: Any, dtype: Any = None) -> Array:
    """An array of one value in the shape of `x`."""
    return full(asarray(x).shape, value, asarray(x).dtype if dtype is None else dtype)


def zeros_like(x: Any, dtype: Any = None) -> Array:
    """Zeros in the shape of `x`."""
    return full_like(x, 0, dtype)


def ones_like(x: Any, dtype: Any = None) -> Array:
    """Ones in the shape of `x`."""
    return full_like(x, 1, dtype)


def eye(n: int, m: int | None = None, k: int = 0, dtype: Any = None) -> Array:
    """Ones on the k-th diagonal, shape ``(n, m or n)``."""
    return astype(np.eye(int(n), None if m is None else int(m), k=k), np.float64 if dtype is None else dtype)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Array:
    """``start, start + step, ...`` below `stop`; whole where all three are."""
    if stop is None:
        start, stop = 0, start
    if all(isinstance(part, int | np.integer) for part in (start, stop, step)):
        return array(np.arange(start, stop, step), dtype)
    return add(start, multiply(step, np.arange(math.ceil((stop - start) / step))))


def linspace(start: Any, stop: Any, num: int = 50, *, endpoint: bool = True, dtype: Any = None) -> Array:
    """`num` evenly spaced numbers: ``start + i (stop - start) / (num - 1)``, exact."""
    del dtype
    steps = max(num - 1 if endpoint else num, 1)
    return add(start, divide(multiply(np.arange(num), add(stop, multiply(-1, start))), steps))


def array(value: Any, dtype: Any = None) -> Array:
    """`value` as an array; numbers are converted exactly and lists may hold arrays."""
    return asarray(value) if dtype is None else astype(value, dtype)


def astype(x: Any, dtype: Any) -> Array:
    """Conversion by kind: all real dtypes are the same here, so that float32 rounds nothing."""
    x = asarray(x)
    kind = "f" if dtype is float else np.dtype(dtype).kind
    if kind == "f":
        return x if x.is_real else literal(Array(x.balls()), of=x)
    if kind == "b":
        return Array((x.series[0].astype(bool),)) if not x.is_real else not_equal(x, 0)
    if kind in "iu":
        return Array(
            (require_decided_whole(x, "conversion to integers") if x.is_real else x.series[0].astype(np.int64),)
        )
    return Array((exact(np.empty(0, dtype)),))


def _rearranged(name: str, function: Callable[..., Any]) -> Callable[..., Array]:
    def wrapper(x: Any, *args: Any, **options: Any) -> Array:
        return asarray(x).map(lambda c: function(c, *args, **options))

    return named(wrapper, name, f"As numpy.{name}.")


def broadcast_to(x: Any, shape: Any) -> Array:
    """As numpy.broadcast_to."""
    target = tuple(int(n) for n in shape) if isinstance(shape, Sequence) else (int(shape),)
    return asarray(x).map(lambda c: np.broadcast_to(c, target))


def broadcast_arrays(*arrays: Any) -> list[Array]:
    """As numpy.broadcast_arrays."""
    shape = np.broadcast_shapes(*(asarray(x).shape for x in arrays))
    return [broadcast_to(x, shape) for x in arrays]


def reshape(x: Any, *shape: Any, order: Literal["C", "F", "A"] = "C") -> Array:
    """As numpy.reshape; the shape as a tuple or, for the method, as numbers."""
    target: Any = shape[0] if len(shape) == 1 else shape
    return asarray(x).map(lambda c: np.reshape(c, target, order=order))


def transpose(x: Any, *axes: Any) -> Array:
    """As numpy.transpose; the axes as a tuple or, for the method, as numbers."""
    order = axes[0] if len(axes) == 1 else (axes or None)
    return asarray(x).map(lambda c: np.transpose(c, order))


def matrix_transpose(x: Any) -> Array:
    """The last two axes swapped."""
    return asarray(x).mT


def _joined(function: Callable[..., Any], arrays: Sequence[Any], **options: Any) -> Array:
    parts = [asarray(x) for x in arrays]
    if not any(part.is_real for part in parts):
        return Array((function([part.series[0] for part in parts], **options),))

    def join(pieces: list[Any]) -> Any:
        return box(function(pieces, **options))

    series = [part.balls() for part in parts]
    length = max(len(coefficients) for coefficients in series)
    padded = [c + tuple(nothing(c[0].shape) for _ in range(length - len(c))) for c in series]
    result = Array(tuple(join([c[k] for c in padded]) for k in range(length)))
    return traced("join", noted(Rearranged(join), result, *parts), *parts, f=join)


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Array:
    """As numpy.concatenate."""
    return _joined(np.concatenate, arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> Array:
    """As numpy.stack."""
    return _joined(np.stack, arrays, axis=axis)


def _stacked(function: Callable[..., Any]) -> Callable[..., Array]:
    return named(lambda arrays: _joined(function, arrays), function.__name__, f"As numpy.{function.__name__}.")


def split(x: Any, parts: Any, axis: int = 0) -> list[Array]:
    """As numpy.split."""
    a = asarray(x)
    pieces = len(np.split(a.series[0], parts, axis=axis))
    return [a.map(lambda c, i=i: np.split(c, parts, axis=axis)[i]) for i in range(pieces)]  # type: ignore[misc]


def _masked(name: str, keep: Callable[..., Any]) -> Callable[..., Array]:
    def wrapper(x: Any, k: int = 0) -> Array:
        mask = keep(np.ones(asarray(x).shape[-2:], dtype=bool), k=k)
        return asarray(x).map(lambda c: np.where(mask, c, _zero_for(c)))

    return named(wrapper, name, f"As numpy.{name}, over the last two axes.")


def _zero_for(c: Any) -> Any:
    return ZERO if c.dtype == object else 0 if c.dtype.names else c.dtype.type(0)


def diag(x: Any, k: int = 0) -> Array:
    """The diagonal of a matrix, or the diagonal matrix of a vector."""
    a = asarray(x)
    if a.ndim != 1:
        return a.map(lambda c: np.diagonal(c, k))
    size = a.size + abs(k)
    rows, columns = np.arange(a.size) + max(-k, 0), np.arange(a.size) + max(k, 0)

    def place(c: Any) -> Any:
        out = np.full((size, size), ZERO, object) if c.dtype == object else blank((size, size), c)
        out[rows, columns] = c
        return out

    return a.map(place)


def take(x: Any, indices: Any, axis: int | None = None) -> Array:
    """As numpy.take, with decided indices."""
    where = asarray(indices)
    return asarray(x).map(lambda c: np.take(c, np.asarray(where), axis=axis))


def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Array:
    """As numpy.take_along_axis, with decided indices."""
    where = np.asarray(asarray(indices))
    return asarray(x).map(lambda c: np.take_along_axis(c, where, axis=axis))


_REARRANGED: tuple[Callable[..., Any], ...] = (
    np.atleast_1d, np.atleast_2d, np.atleast_3d, np.diagonal, np.expand_dims, np.flip, np.fliplr, np.flipud,
    np.moveaxis, np.ravel, np.repeat, np.roll, np.rot90, np.squeeze, np.swapaxes, np.tile,
)  # fmt: skip

FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: _rearranged(function.__name__, function) for function in _REARRANGED
} | {
    "arange": arange, "array": array, "asarray": array, "astype": astype, "broadcast_arrays": broadcast_arrays,
    "broadcast_to": broadcast_to, "column_stack": _stacked(np.column_stack),
    "concat": concatenate, "concatenate": concatenate, "dstack": _stacked(np.dstack), "empty": zeros,
    "empty_like": zeros_like,
    "copy": asarray, "conj": asarray, "diag": diag, "eye": eye, "flatten": _rearranged("ravel", np.ravel), "full": full,
    "full_like": full_like, "hstack": _stacked(np.hstack), "identity": eye, "linspace": linspace,
    "matrix_transpose": matrix_transpose, "ones": ones, "ones_like": ones_like, "permute_dims": transpose,
    "reshape": reshape, "split": split, "stack": stack, "take": take, "take_along_axis": take_along_axis,
    "transpose": transpose, "tril": _masked("tril", np.tril), "triu": _masked("triu", np.triu),
    "vstack": _stacked(np.vstack),
    "zeros": zeros, "zeros_like": zeros_like,
}  # fmt: skip
