"""A second NumPy for losses: object arrays of mpmath numbers that carry their own derivatives, knowing nothing of ours.

A `Number` has a value, its derivatives along several directions, and how each of those moves along the last of them:
all of it forwards, by the product and chain rules alone. Functions have textbook derivatives (Abramowitz and Stegun,
chapters 4 and 7), which a test holds against ``mpmath.diff``. Where mpmath has no real number the value is nan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from mpmath import mpf

NAN = mpf("nan")


@dataclass
class State:
    """What an evaluation met: ties that depend on a parameter, and numbers too close to call; `side` decides ties."""

    side: int = 0
    ties: int = 0
    near: int = 0


STATE = State()


def real(f: Callable[..., Any], *x: Any) -> Any:
    """``f(x)``, nan where it is complex or has no value."""
    if any(mpmath.isnan(each) for each in x):
        return NAN
    try:
        value = f(*x)
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        return NAN
    return value if isinstance(value, mpf) else NAN


def inverse(x: Any) -> Any:
    return real(lambda u: 1 / u, x)


def scalar(method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Arrays do it element by element themselves."""
    return lambda self, other: NotImplemented if isinstance(other, np.ndarray) else method(self, other)


def used(slope: Any, move: Any) -> Any:
    """``slope * move``, zero where nothing moves."""
    return slope * move if move else move


class Number:
    """A value ``v``, derivatives ``g`` along each direction, and ``h``, theirs along the last; None for a constant."""

    __slots__ = ("g", "h", "v")

    def __init__(self, v: Any, g: Any = None, h: Any = None) -> None:
        self.v, self.g, self.h = v, g, h

    def chain(self, value: Any, slopes: Callable[[], tuple[Any, Any]]) -> Number:
        """``f(self)`` from f, and f' and f'' where they are wanted."""
        if self.g is None:
            return Number(value)
        first, second = slopes()
        # What does not move has no share in an infinite slope.
        along = used(second, self.g[-1])
        return Number(
            value, [used(first, a) for a in self.g],
            [used(along, a) + used(first, b) for a, b in zip(self.g, self.h, strict=True)],
        )  # fmt: skip

    @scalar
    def __add__(self, other: Any) -> Any:
        other = number(other)
        if self.g is None or other.g is None:
            one = other if self.g is None else self
            return Number(self.v + other.v, one.g, one.h)
        return Number(self.v + other.v, *([p + q for p, q in zip(*pair, strict=True)] for pair in
                                          ((self.g, other.g), (self.h, other.h))))  # fmt: skip

    def __neg__(self) -> Number:
        return self * -1

    def __pos__(self) -> Number:
        return self

    @scalar
    def __sub__(self, other: Any) -> Any:
        if other is self:
            return Number(self.v - self.v)  # whatever its slopes are
        return self + number(other) * -1

    @scalar
    def __rsub__(self, other: Any) -> Any:
        return number(other) + self * -1

    @scalar
    def __mul__(self, other: Any) -> Any:
        other = number(other)
        a, b = self.v, other.v
        if self.g is None and other.g is None:
            return Number(a * b)
        if self.g is None or other.g is None:
            c, x = (a, other) if self.g is None else (b, self)
            return Number(a * b, [used(c, p) for p in x.g], [used(c, p) for p in x.h])
        av, bv = self.g[-1], other.g[-1]
        g = [used(a, q) + used(b, p) for p, q in zip(self.g, other.g, strict=True)]
        lines = zip(self.g, self.h, other.g, other.h, strict=True)
        return Number(a * b, g, [used(a, s) + used(av, q) + used(bv, p) + used(b, r) for p, r, q, s in lines])

    @scalar
    def __truediv__(self, other: Any) -> Any:
        return self * number(other).reciprocal()

    @scalar
    def __rtruediv__(self, other: Any) -> Any:
        return number(other) * self.reciprocal()

    __radd__, __rmul__ = __add__, __mul__

    def reciprocal(self) -> Number:
        r = inverse(self.v)
        return self.chain(r, lambda: (-r * r, 2 * r**3))

    @scalar
    def __pow__(self, other: Any) -> Any:
        return power(self, number(other))

    @scalar
    def __rpow__(self, other: Any) -> Any:
        return power(number(other), self)

    def __abs__(self) -> Number:
        return self * sign(self)

    @scalar
    def __lt__(self, other: Any) -> bool:
        return order(self, other) == -1

    @scalar
    def __le__(self, other: Any) -> bool:
        return order(self, other) in (-1, 0)

    @scalar
    def __gt__(self, other: Any) -> bool:
        return order(self, other) == 1

    @scalar
    def __ge__(self, other: Any) -> bool:
        return order(self, other) in (1, 0)

    @scalar
    def __eq__(self, other: object) -> bool:
        return order(self, other) == 0

    @scalar
    def __ne__(self, other: object) -> bool:
        return order(self, other) != 0

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return mpmath.nstr(self.v, 20)


def number(x: Any) -> Number:
    """A constant: mpmath holds every float, integer and boolean exactly."""
    x = x.item() if isinstance(x, np.ndarray) else x
    return x if isinstance(x, Number) else Number(mpf(x.item() if isinstance(x, np.generic) else x))


def sign(d: Number, scale: Any = 0) -> int:
    """Sign of d, at a tie that of d on the side that is asked for; 2 of what is no number."""
    if mpmath.isnan(d.v):
        return 2
    if d.v and abs(d.v) < mpf(10) ** (15 - mpmath.mp.dps) * scale:
        STATE.near += 1
    if d.v or d.g is None:
        return int(mpmath.sign(d.v))
    STATE.ties += 1
    turn = d.g[-1] * STATE.side or (d.h[-1] if STATE.side else mpf(0))
    return int(mpmath.sign(turn)) if not mpmath.isnan(turn) else 0


def order(a: Any, b: Any) -> int:
    """Sign of ``a - b``."""
    a, b = number(a), number(b)
    if mpmath.isinf(a.v) and a.v == b.v:
        return 0
    return sign(a - b, max(abs(a.v), abs(b.v)))


def pick(values: list[Any], largest: bool) -> int:
    """Position of the extreme element, the first of equals; nan wins, as in NumPy."""
    best = 0
    ties = STATE.ties
    for i, value in enumerate(values):
        if mpmath.isnan(number(value).v):
            return i
        if i and order(value, values[best]) == (1 if largest else -1):
            best = i
    # Ties between elements that do not win change nothing.
    STATE.ties = ties
    for i, value in enumerate(values):
        if i != best:
            order(value, values[best])
    return best


def root(x: Number) -> Number:
    r = real(mpmath.sqrt, x.v)
    if not x.v and x.g is not None:
        STATE.ties += 1
    return x.chain(r, lambda: (inverse(2 * r), -inverse(4 * r**3)))


def power(x: Number, p: Number) -> Number:
    """``x ** p``; 1 where p is the constant 0, as in IEEE 754."""
    if p.g is not None:
        if not x.v and x.g is None and p.v > 0:
            return number(0)  # 0 ** p for all p near
        if not x.v > 0:  # a number perhaps, but none for the exponents near it
            fixed = power(x, Number(p.v))
            g, h = fixed.g or [mpf(0)] * len(p.g), fixed.h or [mpf(0)] * len(p.g)
            moves = [bool(q or r) for q, r in zip(p.g, p.h, strict=True)]
            still = [not (q or r) for q, r in zip(x.g or g, x.h or g, strict=True)]
            both = [moved or (moves[-1] and not stays) for moved, stays in zip(moves, still, strict=True)]
            if not x.v and p.v > 0:  # 0 to whatever power, where the base stays
                moves = [moved and not stays for moved, stays in zip(moves, still, strict=True)]
                both = [moved and not (stays and still[-1]) for moved, stays in zip(both, still, strict=True)]
            return Number(
                fixed.v, [NAN if moved else q for moved, q in zip(moves, g, strict=True)],
                [NAN if moved else r for moved, r in zip(both, h, strict=True)],
            )  # fmt: skip
        return UNARY["exp"](p * UNARY["log"](x))
    if mpmath.isint(p.v) and p.v == 0:
        return number(1)
    terms = []
    for k, factor in enumerate((mpf(1), p.v, p.v * (p.v - 1))):
        terms.append(mpf(0) if not factor else factor * real(_power, x.v, p.v - k))
    if not x.v and x.g is not None and not mpmath.isint(p.v):
        STATE.ties += 1
        if p.v > 0:
            moves = [used(NAN, abs(p) + abs(q)) for p, q in zip(x.g, x.h, strict=True)]
            return Number(mpf(0), moves, moves)
    return x.chain(terms[0], lambda: (terms[1], terms[2]))


def _power(x: Any, p: Any) -> Any:
    if not x:
        return mpf(1) if not p else (mpf(0) if p > 0 else mpf("inf"))
    return x ** (int(p) if mpmath.isint(p) and abs(p) < 1000 else p)


def _unary(
    f: Callable[[Any], Any], slopes: Callable[[Any, Any], tuple[Any, Any]], edge: int | None = None
) -> Callable[[Number], Number]:
    def function(x: Number) -> Number:
        if edge and 0 < abs(abs(x.v) - edge) < mpf(10) ** (15 - mpmath.mp.dps):
            STATE.near += 1  # rounding decides whether there is a value at all
        value = real(f, x.v)
        return x.chain(value, lambda: slopes(x.v, value) if not mpmath.isnan(value) else (NAN, NAN))

    return function


def _inverse_root(u: Any, of: Callable[[Any, Any], tuple[Any, Any]]) -> tuple[Any, Any]:
    d = inverse(real(mpmath.sqrt, u))
    return of(d, d**3)


def _log_slopes(u: Any) -> tuple[Any, Any]:
    r = inverse(u) if u > 0 else NAN
    return r, -r * r


def _bell(x: Any, sign: int) -> tuple[Any, Any]:
    d = sign * 2 * mpmath.exp(-x * x) / mpmath.sqrt(mpmath.pi)
    return d, -2 * x * d


UNARY: dict[str, Callable[[Number], Number]] = {
    "exp": _unary(mpmath.exp, lambda x, y: (y, y)),
    "exp2": _unary(lambda x: mpmath.exp(x * mpmath.log(2)), lambda x, y: (y * mpmath.log(2), y * mpmath.log(2) ** 2)),
    "expm1": _unary(mpmath.expm1, lambda x, y: (mpmath.exp(x), mpmath.exp(x))),
    "log": _unary(mpmath.log, lambda x, y: _log_slopes(x)),
    "log2": _unary(
        lambda x: mpmath.log(x) / mpmath.log(2), lambda x, y: tuple(d / mpmath.log(2) for d in _log_slopes(x))
    ),
    "log10": _unary(
        lambda x: mpmath.log(x) / mpmath.log(10), lambda x, y: tuple(d / mpmath.log(10) for d in _log_slopes(x))
    ),
    "log1p": _unary(mpmath.log1p, lambda x, y: _log_slopes(1 + x)),
    "sin": _unary(mpmath.sin, lambda x, y: (mpmath.cos(x), -y)),
    "cos": _unary(mpmath.cos, lambda x, y: (-mpmath.sin(x), -y)),
    "tan": _unary(mpmath.tan, lambda x, y: (1 + y * y, 2 * y * (1 + y * y))),
    "sinh": _unary(mpmath.sinh, lambda x, y: (mpmath.cosh(x), y)),
    "cosh": _unary(mpmath.cosh, lambda x, y: (mpmath.sinh(x), y)),
    "tanh": _unary(mpmath.tanh, lambda x, y: (1 - y * y, -2 * y * (1 - y * y))),
    "arcsin": _unary(mpmath.asin, lambda x, y: _inverse_root(1 - x * x, lambda d, c: (d, x * c)), 1),
    "arccos": _unary(mpmath.acos, lambda x, y: _inverse_root(1 - x * x, lambda d, c: (-d, -x * c)), 1),
    "arcsinh": _unary(mpmath.asinh, lambda x, y: _inverse_root(1 + x * x, lambda d, c: (d, -x * c))),
    "arccosh": _unary(mpmath.acosh, lambda x, y: _inverse_root(x * x - 1, lambda d, c: (d, -x * c)), 1),
    "arctan": _unary(mpmath.atan, lambda x, y: (1 / (1 + x * x), -2 * x / (1 + x * x) ** 2)),
    "arctanh": _unary(mpmath.atanh, lambda x, y: (inverse(1 - x * x), 2 * x * inverse(1 - x * x) ** 2), 1),
    "erf": _unary(mpmath.erf, lambda x, y: _bell(x, 1)),
    "erfc": _unary(mpmath.erfc, lambda x, y: _bell(x, -1)),
    "sqrt": root,
    "square": lambda x: x * x,
    "reciprocal": Number.reciprocal,
    "abs": abs,
    "negative": lambda x: -x,
    "positive": lambda x: x,
    "conj": lambda x: x,
    "copy": lambda x: x,
    "sign": lambda x: number(sign(x)) if sign(x) != 2 else number(NAN),
    "floor": lambda x: whole(x),
    "ceil": lambda x: -whole(-x),
}


def whole(x: Number) -> Number:
    """The largest whole number not above x; one that falls from a whole number belongs to the step below."""
    if not mpmath.isfinite(x.v):
        return number(x.v)
    base = mpmath.nint(x.v)
    if x.v != base and abs(x.v - base) < mpf(10) ** (15 - mpmath.mp.dps) * abs(x.v):
        STATE.near += 1
    base = mpmath.floor(x.v)
    return number(base + min(0, sign(x - base, abs(x.v))) if x.g is not None else base)


def logaddexp(a: Number, b: Number) -> Number:
    """``log(e^a + e^b)``, the other one beside -inf."""
    for one, other in ((a, b), (b, a)):
        if one.v == mpf("-inf") and one.g is None:
            return other
    if mpf("inf") in (a.v, b.v):
        return a if a.v == mpf("inf") else b
    return UNARY["log"](UNARY["exp"](a) + UNARY["exp"](b))
