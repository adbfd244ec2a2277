"""Every function of one number, and of two, that the certified namespace has; and what is true of it at a point.

They are found by asking: a function counts whose result has the shape of its arguments and, element by element, is
what it is of each element alone. A few more are listed: those with a whole number or an option among the arguments,
those of a pair along an axis, for what they answer at ties, and those of which a framework has one of its own that the
namespace of a neutral loss does not use.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from flint import arb

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.function import HELD, MOVING, Function
from gradparity.truth.derivatives.certificate import Certificate
from gradparity.truth.derivatives.series import certify
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import ZERO, exact
from gradparity.truth.numbers.context import Context, NotCertifiableError, UndecidedError, evaluation
from gradparity.truth.numbers.enclosure import Enclosure
from gradparity.truth.xp.namespace import xp

#: By its place in a tuple of truths: the function, its derivative, its second derivative.
ORDERS = 3
#: Bits and seconds for a point; whatever is not known by then is said to be not known.
_BITS, _SECONDS = 4096, 2.0
#: Numbers that a function is tried at; outside of the domain of one it may be within that of another.
_TRIED = ((0.3, 0.7, 0.2), (1.5, 2.25, 1.25), (-0.3, 0.7, -1.2))
_NOT_TRIED = (NotCertifiableError, UndecidedError, TypeError, ValueError, IndexError, AttributeError, AssertionError)

#: It fills an array, and computes nothing.
_NO_FUNCTIONS = frozenset({"full_like"})
#: What no trial of plain arguments finds.
LISTED = (
    *(Function(f"polygamma({n}, x)", "polygamma", (n, MOVING)) for n in range(4)),
    *(Function(f"power(x, {n})", "power", (MOVING, n)) for n in (-1, 0.5, 2, 3)),
    Function("gelu(x, approximate)", "gelu", options={"approximate": True}),
    *(
        Function(f"own {name}", name, own=True)
        for name in (
            *("digamma", "erf", "erfc", "erfinv", "gammaln", "hard_sigmoid", "hard_silu"),
            *("i0", "i1", "logit", "sigmoid", "sinc", "softplus"),
        )
    ),
    Function("own polygamma(1, x)", "polygamma", (1, MOVING), own=True),
    Function("clip(x, -1, 1)", "clip", (MOVING, -1.0, 1.0)),
    *(
        Function(f"own {name}({', '.join(order)})", name, order, own=True)
        for name in ("beta", "betaln")
        for order in ((MOVING, HELD), (HELD, MOVING))
    ),
    Function("norm of (x, y)", "linalg.norm", of_pair=True),
    Function("max of (x, y)", "max", of_pair=True),
    Function("sort of (x, y)", "sort", of_pair=True),
)


@dataclass(frozen=True)
class Known:
    """What is proven of a function at one point.

    Attributes:
        truths: enclosures of the value and both derivatives, None where nothing is known; infinite where proven so, and
            no number where there is none: a second derivative where the first has a kink.
        left: the one-sided first derivative from the left, where the point is a kink; `truths` has the right one.
        moves: how far each truth moves when the input moves by half an ulp.
        status: ``known``; ``kink``: proven not to be differentiable there; ``edge``: its value, or a derivative, is not
            finite; ``outside`` of the domain, or a pole; ``unknown``: one of the three could not be certified.
    """

    truths: tuple[arb | None, ...]
    left: arb | None
    moves: tuple[arb, ...] = (ZERO,) * ORDERS
    status: str = "known"


@cache
def functions() -> list[Function]:
    """Of one number, then of two by the first and by the second; each once, under the name that is its own."""
    groups: dict[int, list[str]] = {}
    for name in dir(xp):
        function = getattr(xp, name)
        if not name.startswith("_") and inspect.isfunction(function) and name not in _NO_FUNCTIONS:
            groups.setdefault(id(inspect.unwrap(function)), []).append(name)
    ones, twos = [], []
    for names in groups.values():
        function = inspect.unwrap(getattr(xp, names[0]))
        own = function.__name__ if function.__name__ in names else names[0]
        aliases = tuple(name for name in names if name != own)
        match _required(function):
            case 1 if _elementwise(one := Function(own, own, aliases=aliases)):
                ones.append(one)
            case 2 if _elementwise(Function(own, own, (MOVING, HELD))):
                twos += [
                    Function(f"{own}({', '.join(order)})", own, order, aliases=aliases)
                    for order in ((MOVING, HELD), (HELD, MOVING))
                ]
    return [*ones, *(each for each in LISTED if not each.has_held), *twos, *(each for each in LISTED if each.has_held)]


def chosen(wanted: list[str] | None) -> list[Function]:
    """The functions by these names, aliases and labels; all of them where None are named.

    Raises:
        InputError: there is none of that name.
    """
    found = functions()
    if wanted is None:
        return found
    for name in wanted:
        if not named(name):
            known = ", ".join(dict.fromkeys(each.name for each in found))
            raise InputError("--functions", got=repr(name), expected=f"names among {known}")
    return [each for each in found if any(_answers_to(each, name) for name in wanted)]


def named(name: str) -> bool:
    """Whether a function has that name, alias or label."""
    return any(_answers_to(each, name) for each in functions())


def _answers_to(function: Function, name: str) -> bool:
    return name in (function.label, function.name, *function.aliases)


def _required(function: Any) -> int:
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind in (each.VAR_POSITIONAL, each.KEYWORD_ONLY) and each.default is each.empty for each in parameters):
        return 0
    return sum(each.default is each.empty for each in parameters if each.kind is not each.VAR_KEYWORD)


def _elementwise(function: Function) -> bool:
    """Whether it acts on each element, gives real numbers, and is neither a constant nor its argument itself."""
    return any(_acts_on_each(function, tried) for tried in _TRIED)


def _acts_on_each(function: Function, tried: tuple[float, ...]) -> bool:
    f, others = function.within(xp), tried[1:] + tried[:1]
    try:
        with evaluation(Context()):
            x, y = (Array((exact(np.array(each)), exact(np.ones(len(tried))))) for each in (tried, others))
            whole = f(x, y)
            if not (isinstance(whole, Array) and whole.is_real and whole.shape == x.shape):
                return False
            alone = [f(Array((exact(a),)), Array((exact(b),))) for a, b in zip(tried, others, strict=True)]
            values = [whole.series[0][i] for i in range(len(tried))]
            if not all(
                each.shape == () and _alike(v, each.series[0][()]) for v, each in zip(values, alone, strict=True)
            ):
                return False
            itself = all(bool(v == a) for v, a in zip(values, x.series[0], strict=True))
            constant = not function.has_held and all(bool(v == values[0]) for v in values) and not _steps(function)
            return not itself and not constant
    except _NOT_TRIED:
        return False
    except Exception as error:
        if type(error).__name__ == "InputError":
            return False
        raise


def _alike(a: arb, b: arb) -> bool:
    return bool(a.is_finite() and b.is_finite() and a.overlaps(b))


def _steps(function: Function) -> bool:
    """Whether it has several values elsewhere, as one that rounds has."""
    f, places = function.within(xp), (-7.5, -0.25, 0.25, 7.5)
    values = [float(f(Array((exact(place),)), None).series[0][()].mid()) for place in places]
    return len(set(values)) > 1


def known(function: Function, x: np.floating[Any], y: np.floating[Any]) -> Known:
    """What is proven at a point; how far the truth moves is seen at the two neighbours of ``x`` in its own dtype."""
    here = _certified(function, x, y)
    truths: tuple[arb | None, ...] = tuple(_part(here, order) for order in range(ORDERS))
    if here.is_kink:
        return Known(truths, _settled(here.left.first.ball), status="kink")
    if truths[0] is None:
        return Known(truths, None, status="outside" if here.status == "not_finite" else "unknown")
    if not here.left.second.ball.overlaps(here.right.second.ball):  # the slopes meet, and turn: none is the second one
        truths = (truths[0], truths[1], arb("nan"))
    moves = [ZERO] * ORDERS
    for neighbour in _neighbours(x):
        there = _certified(function, neighbour, y)
        if there.is_kink:
            continue
        for order, truth in enumerate(truths):
            beside = _part(there, order)
            if truth is not None and beside is not None and truth.is_finite() and beside.is_finite():
                moves[order] = max(moves[order], abs(beside - truth).mid() / 2)
    status = "known" if None not in truths else "unknown"
    if here.status == "not_finite" or not here.value.is_finite:
        status = "edge"
    return Known(truths, None, tuple(moves), status)


def _neighbours(x: np.floating[Any]) -> Iterator[np.floating[Any]]:
    for end in (-np.inf, np.inf):
        with np.errstate(over="ignore"):
            beside = np.nextafter(x, x.dtype.type(end))
        if np.isfinite(beside):
            yield beside


def _certified(function: Function, x: np.floating[Any], y: np.floating[Any]) -> Certificate:
    return certify(
        lambda p, d, xp: function.within(xp)(p, d), np.array(x), np.array(y), np.ones((), x.dtype),
        max_bits=_BITS, seconds=_SECONDS,
    )  # fmt: skip


def _part(found: Certificate, order: int) -> arb | None:
    return _settled((found.value, found.right.first, found.right.second)[order].ball)


def _settled(ball: arb) -> arb | None:
    """The enclosure, if it is far narrower than an ulp, proven infinite, or below every number of any dtype."""
    return ball if Enclosure(ball).is_settled else None
