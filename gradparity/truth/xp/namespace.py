"""``xp`` as a loss sees it: NumPy's names (and the array API's) over certified numbers."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradparity.truth.numbers.arrays import Array, asarray, named
from gradparity.truth.numbers.balls import Coefficient, box, exact, unravel
from gradparity.truth.numbers.context import NotCertifiableError, UndecidedError, current
from gradparity.truth.numbers.midrad import MidRad, infinities, is_known
from gradparity.truth.xp import (
    arithmetic,
    contraction,
    convolution,
    decompositions,
    exponential,
    kinks,
    linalg,
    neural,
    norms,
    numpys,
    orthogonal,
    powers,
    reductions,
    selection,
    shaping,
    smooth,
    special,
)

CURES = {
    "random": "Draw random numbers in data(rng) and pass them in.",
    "eig": "Certified are the eigenvalues of symmetric matrices: eigh, eigvalsh.",
    "eigvals": "Certified are the eigenvalues of symmetric matrices: eigh, eigvalsh.",
    "fft": "Numbers here are real: write the transform as a product with its cosines, and one with its sines.",
    "histogram": "Count what lies between edges: digitize, then bincount or one_hot.",
    "unique": "How many there are is no shape that a compiler knows: find them in data(rng).",
}


class Namespace:
    """Functions by name; a name it lacks raises NotCertifiableError, which says how to go on."""

    def __init__(self, name: str, members: Mapping[str, Any]) -> None:
        self.__dict__.update(members)
        self.__name__ = name

    def __dir__(self) -> list[str]:
        return sorted(self.__dict__)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotCertifiableError(f"{self.__name__}.{name}", CURES.get(name, "Write it with names listed by dir(xp)."))

    def __repr__(self) -> str:
        return f"<certified namespace {self.__name__}>"


def _kind(of_numbers: np.ufunc, words: str) -> Callable[[Any], Array]:
    def function(x: Any) -> Array:
        x = asarray(x)
        values = x.balls()[0]
        if current().extended:
            return Array((box(of_numbers(values)),))
        if isinstance(values, MidRad):
            decided = is_known(values) | (infinities(values) != 0)
            if not decided.all():
                raise UndecidedError(of_numbers.__name__, unravel(int(np.argmin(decided)), x.shape))
            return Array((box(of_numbers(values["high"])),))
        for position, value in enumerate(values.ravel()):
            if value.is_nan() and not x.is_constant:
                # A ball that is no number may stand for any: this precision does not say.
                raise UndecidedError(of_numbers.__name__, unravel(position, x.shape))
        like = [0.0 if ball.is_finite() else math.nan if ball.is_nan() else math.inf for ball in values.ravel()]
        return Array((box(of_numbers(np.array(like).reshape(x.shape))),))

    return named(function, of_numbers.__name__, f"Whether each element is {words}, decided.")


isfinite = _kind(np.isfinite, "a finite number")
isnan = _kind(np.isnan, "not a number, which only data can be: a parameter's is undecided")
isinf = _kind(np.isinf, "infinite")


def _no_number(divisor: Array, quotient: Coefficient) -> Array:
    """A quotient of whole numbers, no number over zero: NumPy's 0 there is no other framework's."""
    zero = np.broadcast_to(divisor.series[0] == 0, quotient.shape)
    return Array((exact(np.where(zero, np.nan, quotient)) if zero.any() else quotient,))


def floor_divide(a: Any, b: Any) -> Array:
    """``floor(a / b)``."""
    a, b = asarray(a), asarray(b)
    if not a.is_real and not b.is_real:
        return _no_number(b, box(np.floor_divide(a.series[0], b.series[0])))
    return kinks.floor(arithmetic.divide(a, b))


def remainder(a: Any, b: Any) -> Array:
    """``a - b floor(a / b)``."""
    a, b = asarray(a), asarray(b)
    if not a.is_real and not b.is_real:
        return _no_number(b, box(np.remainder(a.series[0], b.series[0])))
    return arithmetic.subtract(a, arithmetic.multiply(b, floor_divide(a, b)))


def hypot(a: Any, b: Any) -> Array:
    """``sqrt(a^2 + b^2)``."""
    return powers.norm2(shaping.stack(shaping.broadcast_arrays(a, b), axis=-1))


def nonzero(x: Any) -> tuple[Array, ...]:
    """Positions of the elements that are not zero, one integer array per axis."""
    return tuple(Array((where,)) for where in np.nonzero(kinks.not_equal(x, 0).series[0]))


def where(condition: Any, *branches: Any) -> Any:
    """``a`` where the condition holds, ``b`` elsewhere; with the condition alone, as nonzero."""
    return kinks.where(condition, *branches) if branches else nonzero(condition)


def _bitwise(function: Callable[..., Any]) -> Callable[..., Array]:
    def wrapper(*operands: Any) -> Array:
        values = [asarray(x) for x in operands]
        if any(x.is_real for x in values):
            raise TypeError("bitwise operators need integers or booleans")
        return Array((box(function(*(x.series[0] for x in values))),))

    return wrapper


def _logical(function: Callable[..., Any]) -> Callable[..., Array]:
    def wrapper(*operands: Any) -> Array:
        return Array((box(function(*(shaping.astype(x, bool).series[0] for x in operands))),))

    return wrapper


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "abs": kinks.absolute, "absolute": kinks.absolute, "add": arithmetic.add, "ceil": kinks.ceil, "clip": kinks.clip,
    "divide": arithmetic.divide, "true_divide": arithmetic.divide, "equal": kinks.equal, "floor": kinks.floor,
    "floor_divide": floor_divide, "greater": kinks.greater, "greater_equal": kinks.greater_equal, "hypot": hypot,
    "isfinite": isfinite, "isinf": isinf, "isnan": isnan, "less": kinks.less, "less_equal": kinks.less_equal,
    "maximum": kinks.maximum, "minimum": kinks.minimum, "mod": remainder, "multiply": arithmetic.multiply,
    "negative": arithmetic.negative, "nonzero": nonzero, "not_equal": kinks.not_equal, "positive": arithmetic.positive,
    "pow": powers.power, "power": powers.power, "reciprocal": arithmetic.reciprocal, "remainder": remainder,
    "sign": kinks.sign, "sqrt": powers.sqrt, "square": arithmetic.square, "subtract": arithmetic.subtract,
    "where": where,
    "bitwise_and": _bitwise(np.bitwise_and), "bitwise_or": _bitwise(np.bitwise_or),
    "bitwise_xor": _bitwise(np.bitwise_xor), "bitwise_invert": _bitwise(np.invert),
    "logical_and": _logical(np.logical_and), "logical_or": _logical(np.logical_or),
    "logical_not": _logical(np.logical_not), "logical_xor": _logical(np.logical_xor),
}  # fmt: skip

_SMOOTH: dict[str, Callable[..., Any]] = {
    "acos": smooth.arccos, "acosh": smooth.arccosh, "arccos": smooth.arccos, "arccosh": smooth.arccosh,
    "arcsin": smooth.arcsin, "arcsinh": smooth.arcsinh, "arctan": smooth.arctan, "arctanh": smooth.arctanh,
    "asin": smooth.arcsin, "asinh": smooth.arcsinh, "atan": smooth.arctan, "atanh": smooth.arctanh, "cos": smooth.cos,
    "cosh": smooth.cosh, "erf": smooth.erf, "erfc": smooth.erfc, "exp": smooth.exp, "exp2": smooth.exp2,
    "expm1": smooth.expm1, "log": smooth.log, "log10": smooth.log10, "log1p": smooth.log1p, "log2": smooth.log2,
    "logaddexp": smooth.logaddexp, "sin": smooth.sin, "sinh": smooth.sinh, "tan": smooth.tan, "tanh": smooth.tanh,
}  # fmt: skip

#: Options that change where or how numbers are stored, never which: exact numbers have no use for them.
_IGNORED = frozenset(("device", "copy", "like", "dtype", "order", "optimize", "precision", "casting"))


def _checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, refusing an option it does not know instead of computing something else."""

    @functools.cache  # once it is needed: there are 276 of these
    def known() -> Any:
        parameters = inspect.signature(function).parameters
        return None if any(each.kind is each.VAR_KEYWORD for each in parameters.values()) else parameters

    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        for option in list(options):
            if known() is not None and option not in known():
                if option not in _IGNORED:
                    raise NotCertifiableError(f"xp.{name} with the option {option}=", "Write it without the option.")
                del options[option]
        return function(*args, **options)

    return wrapper


_ALL: dict[str, Callable[..., Any]] = (
    shaping.FUNCTIONS
    | reductions.FUNCTIONS
    | contraction.FUNCTIONS
    | neural.FUNCTIONS
    | special.FUNCTIONS
    | selection.FUNCTIONS
    | numpys.FUNCTIONS
    | convolution.FUNCTIONS
    | exponential.FUNCTIONS
    | _ELEMENTWISE
    | _SMOOTH
    | {"solve_triangular": linalg.solve_triangular}
)

FUNCTIONS: dict[str, Callable[..., Any]] = {name: _checked(name, function) for name, function in _ALL.items()}

_CONSTANTS: dict[str, Any] = {
    # The doubles that every framework has, so that a loss means the same number here.
    "pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan, "newaxis": None,
    "float64": np.float64, "float32": np.float32, "int64": np.int64, "int32": np.int32, "bool": np.bool_,
    "bool_": np.bool_, "finfo": np.finfo, "ndarray": Array,
}  # fmt: skip

_LINALG = linalg.FUNCTIONS | decompositions.FUNCTIONS | orthogonal.FUNCTIONS | norms.FUNCTIONS

_METHODS_ONLY = {"flatten", "bitwise_invert"}

xp: Any = Namespace(
    "xp",
    {name: function for name, function in FUNCTIONS.items() if name not in _METHODS_ONLY}
    | _CONSTANTS
    | {"linalg": Namespace("xp.linalg", {name: _checked(f"linalg.{name}", f) for name, f in _LINALG.items()})},
)

Array.functions, Array.namespace = FUNCTIONS, xp
Array.__gradparity_functions__ = FUNCTIONS
