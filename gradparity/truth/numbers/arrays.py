"""Arrays whose elements are truncated Taylor series with ball coefficients.

Element ``a`` of an Array stands for ``a(t) = a_0 + a_1 t + a_2 t^2 + O(t^3)``, each coefficient a ball of python-flint
that contains the true number. The coefficients are kept apart, ``series[k]`` being a NumPy object array of all the
``a_k``: broadcasting, indexing and reshaping are then NumPy's, and products are order-by-order Cauchy products.
A coefficient that is absent is exactly zero, so a constant has ``series`` of length one and costs nothing extra.
Boolean and integer arrays are constants in NumPy's own dtypes, exact by nature.

Reference: M. Neher, "Rigorous enclosures with Taylor models" and F. Johansson, "Arb: efficient arbitrary-precision
midpoint-radius interval arithmetic", IEEE Trans. Computers 66 (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from gradparity.truth.numbers.balls import Coefficient, box, exact
from gradparity.truth.numbers.context import NotCertifiableError, current
from gradparity.truth.numbers.midrad import enclosures
from gradparity.truth.numbers.notes import literal, noted
from gradparity.truth.numbers.recording import Rearranged

# fmt: off
METHODS = frozenset((
    "all", "any", "argmax", "argmin", "astype", "clip", "conj", "cumprod", "cumsum", "diagonal", "dot", "flatten",
    "max", "mean", "min", "prod", "ravel", "repeat", "reshape", "squeeze", "std", "sum", "swapaxes", "take", "trace",
    "transpose", "var",
))
# fmt: on


def _index(part: Any) -> Any:
    if not isinstance(part, Array):
        return part
    if part.is_real:
        raise IndexError("arrays used as indices must be of integer or boolean type")
    return part.series[0]


def _operator(name: str, *, swapped: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if other is None or isinstance(other, str | dict):
            return NotImplemented
        function = Array.functions[name]
        return function(other, self) if swapped else function(self, other)

    return method


def _unary(name: str) -> Callable[[Any], Any]:
    return lambda self: Array.functions[name](self)


# NumPy's ufuncs that stand for Python operators: `numpy_array * array` arrives here as `multiply`.
_OPERATORS = {
    "add": "add", "subtract": "subtract", "multiply": "multiply", "divide": "divide", "true_divide": "divide",
    "floor_divide": "floor_divide", "remainder": "remainder", "power": "power", "matmul": "matmul", "less": "less",
    "less_equal": "less_equal", "greater": "greater", "greater_equal": "greater_equal", "equal": "equal",
    "not_equal": "not_equal", "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor",
}  # fmt: skip


class Array:
    """An array of certified numbers; see the module docstring. Read-only.

    Attributes:
        series: Taylor coefficients, all of one shape; absent ones are exactly zero.
        functions: what operators and methods stand for, by name; written in terms of arrays, so that `xp.namespace`
            can only put them here once there are arrays.
        namespace: the module-like object that has them.
        __gradparity_functions__: the same functions, for `gradparity.special`.
    """

    functions: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    namespace: ClassVar[Any] = None
    __gradparity_functions__: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    __slots__ = ("series",)
    __hash__ = None  # type: ignore[assignment]

    __add__, __radd__ = _operator("add"), _operator("add", swapped=True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", swapped=True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", swapped=True)
    __truediv__, __rtruediv__ = _operator("divide"), _operator("divide", swapped=True)
    __floordiv__, __rfloordiv__ = _operator("floor_divide"), _operator("floor_divide", swapped=True)
    __mod__, __rmod__ = _operator("remainder"), _operator("remainder", swapped=True)
    __pow__, __rpow__ = _operator("power"), _operator("power", swapped=True)
    __matmul__, __rmatmul__ = _operator("matmul"), _operator("matmul", swapped=True)
    __and__, __rand__ = _operator("bitwise_and"), _operator("bitwise_and", swapped=True)
    __or__, __ror__ = _operator("bitwise_or"), _operator("bitwise_or", swapped=True)
    __xor__, __rxor__ = _operator("bitwise_xor"), _operator("bitwise_xor", swapped=True)
    __lt__ = _operator("less")
    __le__ = _operator("less_equal")
    __gt__ = _operator("greater")
    __ge__ = _operator("greater_equal")
    __eq__ = _operator("equal")
    __ne__ = _operator("not_equal")
    __neg__ = _unary("negative")
    __pos__ = _unary("positive")
    __abs__ = _unary("abs")
    __invert__ = _unary("bitwise_invert")

    def __init__(self, series: tuple[Coefficient, ...]) -> None:
        context = current()
        context.check_time()
        series = series[: context.order + 1]
        # A function that has no other form was computed in balls.
        self.series = tuple(enclosures(c) if c.dtype == object else c for c in series) if context.midrad else series
        if context.recording is not None:
            context.recording.meet(self.series[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.series[0].shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.series[0].ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.series[0].size

    @property
    def dtype(self) -> np.dtype[Any]:
        """bool, int64, or float64 in the name of all real arrays."""
        return np.dtype(np.float64) if self.is_real else self.series[0].dtype

    @property
    def is_real(self) -> bool:
        """Elements are balls, enclosures or extended numbers, not exact booleans or integers."""
        return self.series[0].dtype.kind in "OfV"

    @property
    def is_constant(self) -> bool:
        """Proven not to depend on t."""
        return len(self.series) == 1

    @property
    def T(self) -> Array:  # noqa: N802 (NumPy's name)
        """All axes reversed."""
        return self.map(lambda c: c.T)

    @property
    def mT(self) -> Array:  # noqa: N802 (the array API's name)
        """The last two axes swapped."""
        return self.map(lambda c: np.swapaxes(c, -1, -2))

    @property
    def real(self) -> Array:
        """Itself: every number is real."""
        return self

    def map(self, f: Callable[[Coefficient], Any]) -> Array:
        """Apply a rearrangement to each coefficient: every element of the result is one of the array, or zero."""
        return rearranged(f, Array(tuple(box(f(c)) for c in self.series)), self)

    def balls(self) -> tuple[Coefficient, ...]:
        """Coefficients as balls (or extended numbers), integers and booleans converted."""
        return self.series if self.is_real else (exact(self.series[0]),)

    def __gradparity_stop__(self) -> Array:
        """The same numbers as constants: they depend neither on t nor, for the tape, on a parameter."""
        return Array(self.series[:1])

    def copy(self) -> Array:
        """Itself: arrays are read-only."""
        return self

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array of shape ()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Array]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Array:
        index = tuple(_index(part) for part in key) if isinstance(key, tuple) else _index(key)
        return self.map(lambda c: c[index])

    def __setitem__(self, key: Any, value: Any) -> None:
        raise NotCertifiableError("assignment into an array", "Build it with xp.where, xp.stack or xp.concatenate.")

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError("the truth value of an array with other than one element is ambiguous: use xp.any or all")
        if self.is_real:
            return bool((self != 0).series[0].item())
        return bool(self.series[0].item())

    def __index__(self) -> int:
        if self.is_real:
            raise TypeError("only an integer array of shape () can be used as an index")
        return int(self.series[0].item())

    def __int__(self) -> int:
        return int(Array.functions["astype"](self, np.int64).series[0].item())

    def __float__(self) -> float:
        raise NotCertifiableError("float() of an array", "Keep the number as an array of shape ().")

    def item(self) -> Any:
        """The Python number of a boolean or integer array of one element; a real one has none."""
        return float(self) if self.is_real else self.series[0].item()

    def tolist(self) -> Any:
        """Nested lists of a boolean or integer array; a real one has none."""
        return float(self) if self.is_real else self.series[0].tolist()

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return Array.namespace

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self.is_real:
            raise NotCertifiableError("conversion to a NumPy array", "Use xp's functions, so that every backend can.")
        return np.array(self.series[0], dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """`numpy_array * array` works as in the frameworks; numpy.exp(array) does not."""
        if method == "__call__" and not options and ufunc.__name__ in _OPERATORS:
            return Array.functions[_OPERATORS[ufunc.__name__]](*inputs)
        raise NotCertifiableError(f"numpy.{ufunc.__name__} of an array", "Call it on xp, as the other backends need.")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise NotCertifiableError(
            f"numpy.{function.__name__} of an array", "Call it on xp, as the other backends need."
        )

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            function = Array.functions[name]
            return lambda *args, **options: function(self, *args, **options)
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotCertifiableError(f"the array attribute .{name}")

    def __repr__(self) -> str:
        if not self.is_real:
            return f"Array({self.series[0]!r})"
        return f"Array(shape={self.shape}, order={len(self.series) - 1}, value={self.series[0]})"


def rearranged(f: Callable[[Coefficient], Any], result: Array, x: Array) -> Array:
    """`result`, which is a rearrangement of `x`."""
    if not x.is_real:
        return literal(result, of=x)
    return noted(Rearranged(lambda parts: f(parts[0])), result, x)


def named(function: Callable[..., Any], name: str, words: str) -> Callable[..., Any]:
    """A function made by another, under a name and with words of its own."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = words
    return function


def asarray(value: Any) -> Array:
    """`value` as an Array; numbers are converted exactly, lists may hold Arrays.

    Raises:
        NotCertifiableError: not real numbers.
    """
    if isinstance(value, Array):
        return value
    if isinstance(value, list | tuple) and any(isinstance(part, Array | list | tuple) for part in value):
        stacked: Array = Array.functions["stack"]([asarray(part) for part in value])
        return stacked
    array = np.asarray(value)
    if array.dtype == bool:
        return literal(Array((array,)))
    if array.dtype.kind in "iu" and array.dtype != np.uint64:
        return literal(Array((array.astype(np.int64),)))
    noise, numbers = current().noise, exact(array)
    return literal(Array((numbers if noise is None else noise.constant(numbers),)), rounds=True)
