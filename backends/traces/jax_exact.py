"""JAX: operations that move numbers about or round once as IEEE 754 says, by NumPy: the same bits, nothing compiled.

XLA compiles each operation anew for each shape, at a tenth of a second. Where the bits might differ there is no entry:
sums, whose order is the compiler's, and whatever is not correctly rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Values = Sequence[Any]

#: What may give a number below the normal ones, which XLA then makes zero.
_ARITHMETIC = {"add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "square": np.square}
_COMPARISONS = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater}
_BITS = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.bitwise_not}
_CHOICES = {"max": np.maximum, "min": np.minimum, "neg": np.negative, "abs": np.abs, "ge": np.greater_equal}
_OTHERS = _COMPARISONS | _BITS | _CHOICES
_REAL = {"sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "is_finite": np.isfinite}
_COPIES = {"copy", "copy_p", "stop_gradient"}


def exact(equation: Any) -> Callable[..., Values] | None:
    """The results of an equation from host arrays, where NumPy is bound to give the same."""
    kinds = {_kind(each.aval.dtype) for each in (*equation.invars, *equation.outvars)}
    if "" in kinds:
        return None
    name, params = equation.primitive.name, equation.params
    if name in _COPIES:
        return lambda x: [x]
    if name in _MOVES:
        return _MOVES[name](params)
    if "c" not in kinds and name in _ARITHMETIC | _OTHERS:
        return _one(_OTHERS[name]) if name in _OTHERS else _flushed(_ARITHMETIC[name])
    if kinds <= {"f", "b"} and name in _REAL:
        return _one(_REAL[name])
    if kinds == {"f"} and name == "div":
        return _flushed(np.divide)
    if kinds == {"f"} and name == "integer_pow":
        return _flushed(lambda x: _power(x, params["y"]))
    if name == "convert_element_type":
        source, target = (_kind(each[0].aval.dtype) for each in (equation.invars, equation.outvars))
        if target != "c" and (source, target) not in {("f", "i"), ("c", "f"), ("c", "i"), ("c", "b")}:
            return _one(lambda x: np.asarray(x).astype(equation.outvars[0].aval.dtype))
    if name == "select_n" and len(equation.invars) == 3 and _kind(equation.invars[0].aval.dtype) == "b":
        return _one(lambda which, first, second: np.where(which, second, first))
    return None


def _kind(dtype: Any) -> str:
    """Boolean, integer, float or complex; ``""`` where NumPy has no such arrays, or its arithmetic another rounding."""
    if jnp.issubdtype(dtype, jax.dtypes.extended) or dtype.kind not in "biufc":
        return ""
    return "" if dtype == np.float16 else {"u": "i"}.get(dtype.kind, str(dtype.kind))


def _one(function: Callable[..., Any]) -> Callable[..., Values]:
    def results(*arguments: Any) -> Values:
        with np.errstate(all="ignore"):
            return [np.asarray(function(*map(np.asarray, arguments)))]

    return results


def _flushed(function: Callable[..., Any]) -> Callable[..., Values]:
    def flushed(*arguments: Any) -> Any:
        result = np.asarray(function(*arguments))
        if result.dtype.kind != "f":
            return result
        small = (np.abs(result) < np.finfo(result.dtype).tiny) & (result != 0)
        return np.where(small, result * 0, result) if small.any() else result

    return _one(flushed)


def _power(x: Any, y: int) -> Any:
    """By squaring, in XLA's order."""
    if y == 0:
        return np.ones_like(x)
    left, power, factor = abs(y), None, x
    while left:
        if left & 1:
            power = factor if power is None else power * factor
        left >>= 1
        factor = factor * factor if left else factor
    return 1 / power if y < 0 else power  # type: ignore[operator]


def _broadcast(params: Any) -> Callable[..., Values]:
    def spread(x: Any) -> Any:
        sizes = [1] * len(params["shape"])
        for axis, size in zip(params["broadcast_dimensions"], np.shape(x), strict=True):
            sizes[axis] = size
        return np.broadcast_to(np.reshape(x, sizes), params["shape"])

    return _one(spread)


def _iota(params: Any) -> Callable[..., Values]:
    axis, shape = params["dimension"], params["shape"]
    sizes = [size if i == axis else 1 for i, size in enumerate(shape)]
    return _one(lambda: np.broadcast_to(np.arange(shape[axis], dtype=params["dtype"]).reshape(sizes), shape))


def _slice(params: Any) -> Callable[..., Values]:
    strides = params["strides"] or [1] * len(params["start_indices"])
    where = tuple(map(slice, params["start_indices"], params["limit_indices"], strides))
    return _one(lambda x: x[where])


def _split(params: Any) -> Callable[..., Values]:
    ends = np.cumsum(params["sizes"])[:-1]
    return lambda x: np.split(np.asarray(x), ends, params["axis"])


def _reduced(function: Any) -> Callable[[Any], Callable[..., Values] | None]:
    return lambda params: _one(lambda x: function(x, axis=tuple(params["axes"])))


def _pad(params: Any) -> Callable[..., Values] | None:
    config = params["padding_config"]
    if any(low < 0 or high < 0 for low, high, _ in config):
        return None
    where = tuple(slice(low, -high or None, between + 1) for low, high, between in config)

    def padded(x: Any, fill: Any) -> Any:
        sizes = [
            low + high + max(0, n + (n - 1) * between) for n, (low, high, between) in zip(x.shape, config, strict=True)
        ]
        whole = np.full(sizes, fill, x.dtype)
        if x.size:
            whole[where] = x
        return whole

    return _one(padded)


#: What only moves entries, by its parameters.
_MOVES: dict[str, Callable[[Any], Callable[..., Values] | None]] = {
    "broadcast_in_dim": _broadcast,
    "iota": _iota,
    "slice": _slice,
    "split": _split,
    "pad": _pad,
    "reshape": lambda params: None if params["dimensions"] else _one(lambda x: x.reshape(params["new_sizes"])),
    "squeeze": lambda params: _one(lambda x: np.squeeze(x, tuple(params["dimensions"]))),
    "transpose": lambda params: _one(lambda x: np.transpose(x, params["permutation"])),
    "rev": lambda params: _one(lambda x: np.flip(x, params["dimensions"])),
    "concatenate": lambda params: _one(lambda *xs: np.concatenate(xs, params["dimension"])),
    "reduce_max": _reduced(np.max),
    "reduce_min": _reduced(np.min),
}
