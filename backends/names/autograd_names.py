"""Names that autograd lacks, or has no derivative or no forward mode for."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp, defvjp, primitive
from autograd.numpy.numpy_vjps import unbroadcast_f

from gradparity.backends.names import autograd_array_names
from gradparity.backends.names.autograd_array_names import hold, where
from gradparity.backends.names.autograd_linear_names import LINALG, expm, solve_triangular
from gradparity.backends.names.composed import others, selections, without_nan
from gradparity.backends.names.elementary import activations, gelu
from gradparity.backends.names.numpy_names import scipys
from gradparity.backends.names.windows import functions


def elementwise(function: Callable[[Any], Any], slope: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """A function of each element and, of the result and the argument, its slope, for both modes."""
    made = primitive(function)
    defvjp(made, lambda ans, x: lambda g: g * slope(ans, x))
    defjvp(made, lambda g, ans, x: g * slope(ans, x))
    return made


def _of_two(function: Callable[..., Any], *slopes: Callable[..., Any]) -> Callable[..., Any]:
    """The same of two arguments that are broadcast, with the slope in each."""
    made = primitive(function)
    defvjp(made, *(
        lambda ans, *xs, i=i, slope=slope: unbroadcast_f(xs[i], lambda g: g * slope(*xs))
        for i, slope in enumerate(slopes)
    ))  # fmt: skip
    defjvp(made, *(lambda g, ans, *xs, slope=slope: g * slope(*xs) for slope in slopes))
    return made


ROOT_PI = math.sqrt(math.pi)


def _bell(_: Any, x: Any) -> Any:
    """The slope of erf."""
    return 2 / ROOT_PI * anp.exp(-x * x)


def _density(x: Any) -> Any:
    """That of the normal distribution."""
    return anp.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _over(a: Any, x: Any, at_zero: float) -> Any:
    """``a / x``, and its limit where x is zero."""
    zero = x == 0
    return anp.where(zero, at_zero, a / anp.where(zero, 1.0, x))


erf = elementwise(scipys("erf"), _bell)
sigmoid = elementwise(scipys("expit"), lambda ans, _: ans * (1 - ans))

polygamma = primitive(scipys("polygamma"))
defvjp(polygamma, None, lambda ans, n, x: lambda g: g * polygamma(n + 1, x))
defjvp(polygamma, None, lambda g, ans, n, x: g * polygamma(n + 1, x))
digamma = elementwise(scipys("digamma"), lambda _, x: polygamma(1, x))
gammaln = elementwise(scipys("gammaln"), lambda _, x: digamma(x))
i0: Any = elementwise(scipys("i0"), lambda _, x: i1(x))
i1: Any = elementwise(scipys("i1"), lambda ans, x: i0(x) - _over(ans, x, 0.5))
i0e: Any = elementwise(scipys("i0e"), lambda ans, x: i1e(x) - anp.sign(x) * ans)
i1e: Any = elementwise(scipys("i1e"), lambda ans, x: i0e(x) - anp.sign(x) * ans - _over(ans, x, 0.5))
_sinc_slope = elementwise(
    lambda x: _over(np.cos(np.pi * x) - np.sinc(x), x, 0.0),
    lambda ans, x: -(np.pi**2) * sinc(x) - 2 * _over(ans, x, -(np.pi**2) / 3),
)
sinc: Any = elementwise(np.sinc, lambda _, x: _sinc_slope(x))


def betaln(a: Any, b: Any) -> Any:
    """``log |Gamma(a) Gamma(b) / Gamma(a + b)|``."""
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def beta(a: Any, b: Any) -> Any:
    """``Gamma(a) Gamma(b) / Gamma(a + b)``."""
    sign = scipys("gammasgn")
    return sign(hold(a)) * sign(hold(b)) * sign(hold(a + b)) * anp.exp(betaln(a, b))


def _share(x: Any, y: Any) -> Any:
    """``x / y``, zero where x is."""
    zero = x == 0
    return where(zero, 0.0, x / where(zero, 1.0, y))


xlogy = _of_two(scipys("xlogy"), lambda x, y: anp.log(y), _share)


def cumlogsumexp(x: Any, axis: int = -1) -> Any:
    """Running ``log sum e^x`` along an axis."""
    rows: list[Any] = []
    for row in anp.moveaxis(x, axis, 0):
        rows.append(anp.logaddexp(rows[-1], row) if rows else row)
    return anp.moveaxis(anp.stack(rows), 0, axis)


def pick(x: Any, order: Any) -> Any:
    """The elements at these positions along the last axis: autograd has no derivative of ``take_along_axis``."""
    places = np.meshgrid(*(np.arange(n) for n in order.shape), indexing="ij")
    return x[(*places[:-1], order)]


_SPACE = SimpleNamespace(**{**vars(anp), **autograd_array_names.NAMES})


def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Any:
    """The elements at these positions along an axis."""
    return anp.moveaxis(pick(anp.moveaxis(x, axis, -1), np.moveaxis(hold(indices), axis, -1)), -1, axis)


NAMES: dict[str, Any] = {
    **autograd_array_names.NAMES,
    **selections(_SPACE, hold, pick), **without_nan(_SPACE, hold), **others(_SPACE), "take_along_axis": take_along_axis,
    **{f"linalg.{name}": function for name, function in LINALG.items()}, "solve_triangular": solve_triangular,
    "expm": expm,
    **functions(anp, lambda x, padding, filling: anp.pad(x, padding, "constant", constant_values=filling)),
    **activations(anp, sigmoid, hold),
    "beta": beta, "betaln": betaln, "cumlogsumexp": cumlogsumexp, "digamma": digamma, "entr": lambda x: -xlogy(x, x),
    "erf": erf, "erfc": elementwise(scipys("erfc"), lambda ans, x: -_bell(ans, x)),
    "erfinv": elementwise(scipys("erfinv"), lambda ans, _: ROOT_PI / 2 * anp.exp(ans * ans)), "gammaln": gammaln,
    "gelu": gelu(anp, erf), "i0": i0, "i0e": i0e, "i1": i1, "i1e": i1e,
    "log_ndtr": elementwise(scipys("log_ndtr"), lambda ans, x: anp.exp(-x * x / 2 - ans) / math.sqrt(2 * math.pi)),
    "logit": lambda x: anp.log(x / (1 - x)), "ndtr": elementwise(scipys("ndtr"), lambda _, x: _density(x)),
    "ndtri": elementwise(scipys("ndtri"), lambda ans, _: 1 / _density(ans)), "polygamma": polygamma, "sinc": sinc,
    "xlog1py": _of_two(scipys("xlog1py"), lambda x, y: anp.log1p(y), lambda x, y: _share(x, 1 + y)), "xlogy": xlogy,
}  # fmt: skip
#: Its derivative rules, at least, are ours.
OURS = frozenset(NAMES)
