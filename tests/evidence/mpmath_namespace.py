"""``xp`` over arrays of `mpmath_reference.Number`: NumPy's names, NumPy itself where elements only change places."""

from __future__ import annotations

import operator
from functools import reduce
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.evidence import mpmath_linear, mpmath_special
from tests.evidence.mpmath_arrays import (
    cholesky,
    determinant,
    each,
    inverses,
    length,
    lift,
    of_each,
    product,
    reduced,
    total,
    variance,
)
from tests.evidence.mpmath_reference import UNARY, Number, logaddexp, number, order, pick, power, root, whole

#: Elements change places, or are multiplied and added by their own operators.
_NUMPYS = (
    "add", "subtract", "multiply", "matmul", "dot", "inner", "outer", "tensordot", "einsum", "cumsum", "cumprod",
    "diff", "concatenate", "concat", "stack", "hstack", "vstack", "column_stack", "split", "tril", "triu", "diag",
    "diagonal", "take", "take_along_axis", "reshape", "ravel", "transpose", "permute_dims", "matrix_transpose",
    "swapaxes", "moveaxis", "roll", "flip", "fliplr", "flipud", "rot90", "repeat", "tile", "expand_dims", "squeeze",
    "atleast_1d", "atleast_2d", "broadcast_to", "broadcast_arrays", "trace",
)  # fmt: skip

_ALIASES = {
    "absolute": "abs", "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan",
    "atanh": "arctanh",
}  # fmt: skip


def _arrays(function: Any) -> Any:
    """NumPy's function over object arrays, whatever the operands were: whole numbers must not wrap around."""

    def wrapper(*args: Any, **options: Any) -> Any:
        return function(*(_lifted(x) for x in args), **options)

    return wrapper


def _lifted(x: Any) -> Any:
    if isinstance(x, list):
        return [_lifted(part) for part in x]
    return lift(x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def _remainder(a: Number, b: Number) -> Number:
    return a - b * whole(a / b)


def _clip(x: Number, low: Number, high: Number) -> Number:
    x = x if order(x, low) in (0, 1, 2) else low
    return x if order(x, high) in (0, -1, 2) else high


def _bigger(a: Number, b: Number) -> Number:
    return (a, b)[pick([a, b], True)]


def _smaller(a: Number, b: Number) -> Number:
    return (a, b)[pick([a, b], False)]


def _reduction(f: Any) -> Any:
    return lambda x, axis=None, keepdims=False: reduced(f, x, axis, keepdims)


def _position(largest: bool) -> Any:
    return lambda x, axis=None: reduced(lambda v: pick(v, largest), x, axis, False, dtype=np.int64)


def _extreme(largest: bool) -> Any:
    return _reduction(lambda values: values[pick(values, largest)])


def _vector_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002
    if isinstance(ord, str | int | float) and ord != "fro" and axis is None and np.ndim(x) == 2:
        return mpmath_linear.matrix_norm(x, ord)
    return reduced(lambda values: length(values, 2 if ord in (None, "fro") else ord), x, axis, keepdims)


def _linspace(a: Any, b: Any, num: int) -> Any:
    a, b = lift(a), lift(b)
    return np.stack([np.asarray(a + (b - a) * number(i) / number(num - 1), dtype=object) for i in range(num)])


def _matrix_power(a: Any, n: int) -> Any:
    base = inverses(a) if n < 0 else lift(a)
    out = lift(np.eye(base.shape[-1]))
    for _ in range(abs(n)):
        out = out @ base
    return out


def _solve(a: Any, b: Any) -> Any:
    return inverses(a) @ lift(b)


def _cumulative(x: Any, axis: Any = None) -> Any:
    return np.cumsum(lift(x), axis)


_NAMES: dict[str, Any] = {
    **{name: _arrays(getattr(np, name)) for name in _NUMPYS},
    **{name: (lambda x, f=f: each(f, x)) for name, f in UNARY.items()},
    "absolute": lambda x: each(abs, x), "asarray": lift, "array": lift, "astype": lambda x, kind: lift(x),
    "where": lambda c, a, b: np.where(np.asarray(c, bool), lift(a), lift(b)),
    "divide": lambda a, b: each(lambda p, q: p / q, a, b), "true_divide": lambda a, b: each(lambda p, q: p / q, a, b),
    "power": lambda a, b: each(power, a, b), "pow": lambda a, b: each(power, a, b),
    "mod": lambda a, b: each(_remainder, a, b), "remainder": lambda a, b: each(_remainder, a, b),
    "floor_divide": lambda a, b: each(lambda p, q: whole(p / q), a, b), "logaddexp": lambda a, b: each(logaddexp, a, b),
    "hypot": lambda a, b: each(lambda p, q: root(p * p + q * q), a, b), "maximum": lambda a, b: each(_bigger, a, b),
    "minimum": lambda a, b: each(_smaller, a, b), "clip": lambda x, low, high: each(_clip, x, low, high),
    "cumulative_sum": _cumulative, "sum": _reduction(total), "prod": _reduction(product),
    "mean": _reduction(lambda v: total(v) / len(v)),
    "var": lambda x, axis=None, ddof=0: reduced(lambda v: variance(v, ddof), x, axis, False),
    "std": lambda x, axis=None, ddof=0: reduced(lambda v: root(variance(v, ddof)), x, axis, False),
    "max": _extreme(True), "amax": _extreme(True), "min": _extreme(False), "amin": _extreme(False),
    "argmax": _position(True), "argmin": _position(False), "full": lambda shape, x: np.broadcast_to(lift(x), shape),
    "full_like": lambda like, x: np.broadcast_to(lift(x), np.shape(like)), "linspace": _linspace,
    "vdot": lambda a, b: total([number(0), *(lift(a).ravel() * lift(b).ravel())]),
    "vecdot": lambda a, b: reduced(total, lift(a) * lift(b), -1, False), "float64": np.float64, "pi": np.pi,
    **mpmath_linear.NAMES,
    **mpmath_special.NAMES,
    "isfinite": lambda x: each(lambda u: np.isfinite(float(u.v)), x, dtype=bool),
}  # fmt: skip

#: The namespace itself.
mp_xp = SimpleNamespace(
    **_NAMES | {name: _NAMES[other] for name, other in _ALIASES.items()},
    linalg=SimpleNamespace(
        **mpmath_linear.LINALG,
        cholesky=lambda a: of_each(cholesky, a), det=lambda a: of_each(determinant, a), inv=inverses,
        multi_dot=lambda arrays: reduce(operator.matmul, map(lift, arrays)), matmul=_NAMES["matmul"],
        outer=_NAMES["outer"], tensordot=_NAMES["tensordot"], vecdot=_NAMES["vecdot"],
        matrix_transpose=_NAMES["matrix_transpose"], diagonal=lambda a: np.diagonal(lift(a), 0, -2, -1),
        matrix_norm=lambda a: _vector_norm(a, None, (-2, -1)), matrix_power=_matrix_power, norm=_vector_norm,
        slogdet=lambda a: (None, each(UNARY["log"], each(abs, of_each(determinant, a)))), solve=_solve,
        trace=lambda a: np.trace(lift(a), axis1=-2, axis2=-1),
        vector_norm=lambda x, axis=None, **options: _vector_norm(x, options.get("ord"), axis),
    ),
)  # fmt: skip
