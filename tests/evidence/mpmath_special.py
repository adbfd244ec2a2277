"""Special functions over arrays of `mpmath_reference.Number`, by their definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from mpmath import mpf

from tests.evidence.mpmath_arrays import each, lanes, lift, product, total, variance
from tests.evidence.mpmath_reference import UNARY, Number, _unary, logaddexp, number, order, pick, root


def _sigmoid_slopes(x: Any, y: Any) -> tuple[Any, Any]:
    other = 1 / (1 + mpmath.exp(x))
    return y * other, y * other * (other - y)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _split(above: Callable[[Number], Number], below: Callable[[Number], Number]) -> Callable[[Number], Number]:
    return lambda x: above(x) if order(x, 0) in (1, 2) else below(x)


def _clipped(x: Number, low: int, high: int) -> Number:
    x = x if order(x, low) in (0, 1, 2) else number(low)
    return x if order(x, high) in (0, -1, 2) else number(high)


def _gelu(x: Number, approximate: bool = False) -> Number:
    if approximate:
        inner = (x + x * x * x * number(0.044715)) * number(mpmath.sqrt(2 / mpf(np.pi)))
        return x * ELEMENTWISE["sigmoid"](inner * 2)
    return x * UNARY["erfc"](x * number(-1 / mpmath.sqrt(2))) * number(0.5)


def _is_pole(x: Any) -> bool:
    return bool(x <= 0 and mpmath.isint(x))


def _erfinv_slope(y: Any) -> Any:
    return mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(y * y)


def _i(n: int, x: Any) -> Any:
    return mpmath.besseli(n, x)


def _sinc_slopes(x: Any, y: Any) -> tuple[Any, Any]:
    if not x:
        return mpf(0), -(mpmath.pi**2) / 3
    slope = (mpmath.cospi(x) - y) / x
    return slope, -(mpmath.pi**2) * y - 2 * slope / x


def _xlogy(x: Number, y: Number, shift: int) -> Number:
    """Zero where x is a constant zero; no slope where the logarithm is infinite."""
    if not x.v and x.g is None:
        return number(0)
    if not x.v and not (y.v + shift):
        none = [mpf("nan")] * len(x.g)
        return Number(mpf(0), none, none)
    return x * UNARY["log1p" if shift else "log"](y)


def _cumulative(values: list[Any]) -> list[Any]:
    return [_logsumexp(values[: i + 1]) for i in range(len(values))]


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

ELEMENTWISE: dict[str, Callable[..., Number]] = {
    "sigmoid": _unary(_sigmoid, _sigmoid_slopes),
    "softplus": _unary(
        lambda x: mpmath.log1p(mpmath.exp(x)), lambda x, y: (_sigmoid(x), _sigmoid_slopes(x, _sigmoid(x))[0])
    ),
    "log_sigmoid": lambda x: -ELEMENTWISE["softplus"](-x),
    "relu": _split(lambda x: x, lambda x: number(0)),
    "relu6": lambda x: _clipped(x, 0, 6),
    "leaky_relu": _split(lambda x: x, lambda x: x * number(0.01)),
    "elu": _split(lambda x: x, UNARY["expm1"]),
    "celu": _split(lambda x: x, UNARY["expm1"]),
    "selu": lambda x: _split(lambda x: x, lambda x: UNARY["expm1"](x) * number(SELU_ALPHA))(x) * number(SELU_SCALE),
    "silu": lambda x: x * ELEMENTWISE["sigmoid"](x),
    "mish": lambda x: x * UNARY["tanh"](ELEMENTWISE["softplus"](x)),
    "gelu": _gelu,
    "hard_tanh": lambda x: _clipped(x, -1, 1),
    "hard_sigmoid": lambda x: _clipped(x + 3, 0, 6) / 6,
    "hard_silu": lambda x: x * _clipped(x + 3, 0, 6) / 6,
    "erfinv": _unary(
        lambda x: mpmath.erfinv(x) if abs(x) < 1 else mpmath.nan,
        lambda x, y: (_erfinv_slope(y), 2 * y * _erfinv_slope(y) ** 2),
        1,
    ),
    "ndtr": lambda x: UNARY["erfc"](x * number(-1 / mpmath.sqrt(2))) * number(0.5),
    "log_ndtr": lambda x: UNARY["log"](ELEMENTWISE["ndtr"](x)),
    "gammaln": _unary(
        lambda x: mpf("inf") if _is_pole(x) else mpmath.log(abs(mpmath.gamma(x))),
        lambda x, y: (mpf("nan"),) * 2 if _is_pole(x) else (mpmath.digamma(x), mpmath.polygamma(1, x)),
    ),
    "digamma": _unary(mpmath.digamma, lambda x, y: (mpmath.polygamma(1, x), mpmath.polygamma(2, x))),
    "trigamma": _unary(lambda x: mpmath.polygamma(1, x), lambda x, y: (mpmath.polygamma(2, x), mpmath.polygamma(3, x))),
    "i0": _unary(lambda x: mpmath.besseli(0, x), lambda x, y: (_i(1, x), (_i(0, x) + _i(2, x)) / 2)),
    "i1": _unary(
        lambda x: mpmath.besseli(1, x), lambda x, y: ((_i(0, x) + _i(2, x)) / 2, (3 * _i(1, x) + _i(3, x)) / 4)
    ),
    "i0e": lambda x: ELEMENTWISE["i0"](x) * UNARY["exp"](-abs(x)),
    "i1e": lambda x: ELEMENTWISE["i1"](x) * UNARY["exp"](-abs(x)),
    "sinc": _unary(mpmath.sincpi, _sinc_slopes),
    "ndtri": lambda p: ELEMENTWISE["erfinv"](p * 2 - 1) * number(mpmath.sqrt(2)),
    "logit": lambda x: UNARY["log"](x / (1 - x)),
    "entr": lambda x: -_xlogy(x, x, 0),
    "soft_sign": lambda x: x / (abs(x) + 1),
}


def _betaln(a: Number, b: Number) -> Number:
    return ELEMENTWISE["gammaln"](a) + ELEMENTWISE["gammaln"](b) - ELEMENTWISE["gammaln"](a + b)


def _gamma_slopes(x: Any, y: Any) -> tuple[Any, Any]:
    slope = mpmath.digamma(x)
    return y * slope, y * (slope * slope + mpmath.polygamma(1, x))


_gamma = _unary(mpmath.gamma, _gamma_slopes)
_rgamma = _unary(mpmath.rgamma, lambda x, y: (mpmath.diff(mpmath.rgamma, x, 1), mpmath.diff(mpmath.rgamma, x, 2)))


def _beta(a: Number, b: Number) -> Number:
    return _gamma(a) * _gamma(b) * _rgamma(a + b)


def _along(f: Callable[[list[Any]], list[Any]]) -> Callable[..., Any]:
    """A function of the elements along an axis, one for each."""

    def function(x: Any, axis: int = -1) -> Any:
        rows = np.moveaxis(lift(x), axis, -1)
        out = np.empty(rows.shape, object)
        for index in np.ndindex(rows.shape[:-1]):
            out[index] = f(list(rows[index]))
        return np.moveaxis(out, -1, axis)

    return function


def _logsumexp(values: list[Any]) -> Any:
    return UNARY["log"](total([UNARY["exp"](value) for value in values]))


def _softmax(values: list[Any]) -> list[Any]:
    powers = [UNARY["exp"](value) for value in values]
    return [power / total(powers) for power in powers]


def _glu(x: Any) -> Any:
    a, b = np.split(lift(x), 2, axis=-1)
    return a * each(ELEMENTWISE["sigmoid"], b)


def _reduce(f: Callable[[list[Any]], Any], x: Any, axis: Any) -> Any:
    rows, _ = lanes(lift(x), axis)
    out = np.empty(rows.shape[:-1], object)
    for index in np.ndindex(out.shape):
        out[index] = f(list(rows[index]))
    return out


def _sort(x: Any, axis: int | None = -1) -> Any:
    x = lift(x)
    return np.sort(x.ravel()) if axis is None else np.sort(x, axis)


def _quantile(values: list[Any], q: Any) -> Any:
    values = list(_sort(np.array([*values, None], object)[:-1]))
    position = q * (len(values) - 1)
    low = min(int(mpmath.floor(position)), len(values) - 1)
    return values[low] + (values[min(low + 1, len(values) - 1)] - values[low]) * number(position - low)


def _arctan2(y: Number, x: Number) -> Number:
    if mpmath.isnan(y.v) or mpmath.isnan(x.v) or not (x.v or y.v) or (mpmath.isinf(x.v) and mpmath.isinf(y.v)):
        return number(mpf("nan")) * y * x
    if abs(y.v) > abs(x.v):
        return number(mpmath.sign(y.v) * mpmath.pi / 2) - UNARY["arctan"](x / y)
    turn = 0 if x.v > 0 else -1 if order(y, 0) == -1 else 1
    return UNARY["arctan"](y / x) + number(turn * mpmath.pi)


def _interp(x: Number) -> Number:
    """Between (-1, 2), (0.25, -1) and (2, 3)."""
    if order(x, -1) == -1 or order(x, 2) == 1:
        return number(2 if x.v < 0 else 3)
    if order(x, 0.25) == -1:
        return (x + 1) / number(1.25) * -3 + 2
    return (x - number(0.25)) / number(1.75) * 4 - 1


def _logaddexp2(a: Number, b: Number) -> Number:
    two = number(mpmath.log(2))
    return logaddexp(a * two, b * two) / two


def _heaviside(x: Number, at_zero: Number) -> Number:
    ahead = order(x, 0)
    return at_zero if ahead == 0 else number(int(ahead == 1)) if ahead != 2 else x


def _finite(x: Number) -> Number:
    largest = mpf(np.finfo(float).max)
    return number(0) if mpmath.isnan(x.v) else number(mpmath.sign(x.v) * largest) if mpmath.isinf(x.v) else x


def _polyval(p: Any, x: Any) -> Any:
    out = lift(x) * 0
    for coefficient in lift(p):
        out = out * lift(x) + coefficient
    return out


def _mean(values: list[Any]) -> Any:
    return total(values) / len(values)


def _extent(values: list[Any]) -> Any:
    return values[pick(values, True)] - values[pick(values, False)]


def _pad(x: Any, width: Any, mode: Any = "constant") -> Any:
    return lift(np.pad(lift(x), width, mode))


def _covariances(*rows: Any) -> Any:
    x = np.concatenate([np.atleast_2d(lift(each)) for each in rows])
    centred = [[value - total(list(row)) / len(row) for value in row] for row in x]
    out = [[total([a * b for a, b in zip(p, q, strict=True)]) / (x.shape[1] - 1) for q in centred] for p in centred]
    return out[0][0] if len(out) == 1 else np.array(out, dtype=object)


def _correlations(*rows: Any) -> Any:
    c = np.atleast_2d(_covariances(*rows))
    out = [[c[i, j] / (root(c[i, i]) * root(c[j, j])) for j in range(len(c))] for i in range(len(c))]
    return out[0][0] if len(out) == 1 else np.array(out, dtype=object)


NAMES: dict[str, Callable[..., Any]] = {
    "sort": _sort,
    "median": lambda x: _reduce(lambda v: _quantile(v, mpf(0.5)), x, None),
    "quantile": lambda x, q, axis=None: _reduce(lambda v: _quantile(v, mpf(q)), x, axis),
    "percentile": lambda x, q: _reduce(lambda v: _quantile(v, mpf(q) / 100), x, None),
    "arctan2": lambda y, x: each(_arctan2, y, x),
    "atan2": lambda y, x: each(_arctan2, y, x),
    "interp": lambda x, points, values: each(_interp, x),
    "logaddexp2": lambda a, b: each(_logaddexp2, a, b),
    "heaviside": lambda x, at: each(_heaviside, x, at),
    "fabs": lambda x: each(abs, x),
    "average": lambda x: _reduce(_mean, x, None),
    "ptp": lambda x: _reduce(_extent, x, None),
    "nansum": lambda x: _reduce(total, x, None),
    "nanmean": lambda x: _reduce(_mean, x, None),
    "nanprod": lambda x: _reduce(product, x, None),
    "nanvar": lambda x: _reduce(lambda v: variance(v, 0), x, None),
    "nanstd": lambda x: _reduce(lambda v: root(variance(v, 0)), x, None),
    "nanmax": lambda x: _reduce(lambda v: v[pick(v, True)], x, None),
    "nanmin": lambda x: _reduce(lambda v: v[pick(v, False)], x, None),
    "nan_to_num": lambda x: each(_finite, x),
    "trapezoid": lambda x, axis=-1: np.sum((lift(x)[..., 1:] + lift(x)[..., :-1]) / 2, axis=-1),
    "kron": lambda a, b: np.kron(lift(a), lift(b)),
    "cross": lambda a, b: np.cross(lift(a), lift(b)),
    "meshgrid": lambda a, b: [lift(x) for x in np.meshgrid(lift(a), lift(b))],
    "pad": _pad,
    "polyval": _polyval,
    "select": lambda c, a, d: np.where(np.asarray(c[0], bool), lift(a[0]), lift(d)),
    "unstack": lambda x: list(lift(x)),
    "atleast_3d": lambda x: np.atleast_3d(lift(x)),
    "dstack": lambda xs: np.dstack([lift(x) for x in xs]),
    **{name: (lambda x: lift(x) * number(np.pi / 180)) for name in ("deg2rad", "radians")},
    **{name: (lambda x: lift(x) * number(180 / np.pi)) for name in ("rad2deg", "degrees")},
    "bincount": lambda x, weights, n: np.array(
        [total([number(0), *(w for k, w in zip(x, lift(weights), strict=True) if k == j)]) for j in range(n)]
    ),
    "cov": _covariances,
    "corrcoef": _correlations,
    "segment_sum": lambda x, of, n: np.stack(
        [
            np.sum(lift(x)[[i for i, k in enumerate(of) if k == j]], axis=0)
            if j in of
            else lift(np.zeros(np.shape(x)[1:]))
            for j in range(n)
        ]
    ),
    **{name: (lambda x, *more, f=f: each(lambda u: f(u, *more), x)) for name, f in ELEMENTWISE.items()},
    "betaln": lambda a, b: each(_betaln, a, b),
    "beta": lambda a, b: each(_beta, a, b),
    "cumlogsumexp": _along(_cumulative),
    "polygamma": lambda n, x: each(ELEMENTWISE[("digamma", "trigamma")[n]], x),
    "xlogy": lambda x, y: each(lambda u, v: _xlogy(u, v, 0), x, y),
    "xlog1py": lambda x, y: each(lambda u, v: _xlogy(u, v, 1), x, y),
    "glu": _glu,
    "log_softmax": _along(lambda values: [value - _logsumexp(values) for value in values]),
    "logsumexp": lambda x, axis=None: _reduce(_logsumexp, x, axis),
    "softmax": _along(_softmax),
    "one_hot": lambda labels, n: lift(np.asarray(labels)[..., None] == np.arange(n)),
}
