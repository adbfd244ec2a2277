"""The other numbers that a series may have for coefficients: `numpy.longdouble`, with the names that balls have.

Balls prove; extended precision is a hundred times as fast. Written once over balls, ``x.exp()`` or ``x.rsqrt()``, the
derivatives of a smooth function hold for a whole array of extended numbers too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import numpy as np
from flint import arb

from gradparity.truth.numbers import midrad
from gradparity.truth.numbers.balls import exact_balls
from gradparity.truth.numbers.context import current, in_time
from gradparity.truth.numbers.draws import Draws, draws_last, wrapped
from gradparity.truth.numbers.enclosure import to_longdouble


class Lanes(np.ndarray[Any, np.dtype[Any]]):
    """Extended numbers, all elements at once, by the method names of `flint.arb`."""


def lanes(values: Any) -> Lanes:
    """`values` as extended numbers; of draws with the axis of those, which is their last."""
    return (draws_last(values) if isinstance(values, Draws) else np.asarray(values, current().number)).view(Lanes)


def from_lanes(values: Any, like: Any) -> Any:
    """A function's results at `like`, as its argument was."""
    if not isinstance(like, Draws):
        return np.broadcast_to(np.asarray(values), like.shape)
    return wrapped(np.broadcast_to(np.asarray(values), draws_last(like).shape))


#: Where the complement of the error function leaves the range that enclosures have.
_FAR = 26


def _by_enclosures(name: str) -> Callable[[Any], Any]:
    """A function that NumPy lacks: the midpoints of enclosures, and of balls where those have no number that small."""

    def function(self: Any) -> Any:
        if self.dtype == np.float64:  # of the noise, which needs no more digits
            import scipy.special

            return lanes(getattr(scipy.special, name)(np.asarray(self)))
        values = np.asarray(self)
        found = midrad.longdoubles(getattr(midrad.enclosures(values), name)())
        far = (values > _FAR) & np.isfinite(values)
        if far.any():
            with flint.ctx.workprec(128):
                balls = exact_balls(np.minimum(values[far], 1e5))  # constant at its end, from 1e5 on
                found[far] = [to_longdouble(getattr(x, name)().mid()) for x in in_time(balls)]
        return lanes(found)

    return function


_METHODS: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "atan": np.arctan, "asin": np.arcsin, "acos": np.arccos, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "sqrt": np.sqrt,
    "sech": lambda x: 1 / np.cosh(x), "sec": lambda x: 1 / np.cos(x), "rsqrt": lambda x: 1 / np.sqrt(x),
    "sinh_cosh": lambda x: (np.sinh(x), np.cosh(x)), "sin_cos": lambda x: (np.sin(x), np.cos(x)),
    "erf": _by_enclosures("erf"), "erfc": _by_enclosures("erfc"),
}  # fmt: skip

for _name, _function in _METHODS.items():
    setattr(Lanes, _name, lambda self, function=_function: function(self))


def root_pi(like: Any) -> Any:
    """``sqrt(pi)`` in the arithmetic of `like`."""
    if isinstance(like, Lanes):
        return like.dtype.type(np.sqrt(np.longdouble("3.14159265358979323846264338327950288")))
    return arb.pi().sqrt()
