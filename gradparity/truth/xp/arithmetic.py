"""The field operations on truncated series, and products that are bilinear in any other way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from flint import arb

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import Coefficient, box, exact, fill, nothing, unravel
from gradparity.truth.numbers.context import NotCertifiableError, current
from gradparity.truth.numbers.lanes import from_lanes, lanes
from gradparity.truth.numbers.matrices import product
from gradparity.truth.numbers.midrad import MidRad, infinities, is_known
from gradparity.truth.numbers.notes import noted
from gradparity.truth.numbers.recording import Computed, Elementwise, Jet, Product
from gradparity.truth.numbers.rounding import rounded, rounded_product, rounded_sum
from gradparity.truth.numbers.tape import Traced, traced

JetOf: TypeAlias = Callable[[Any, int], tuple[Any, ...]]
FromValue: TypeAlias = Callable[[Coefficient, Coefficient], tuple[Coefficient, ...]]


ADD, SUBTRACT, MULTIPLY, DIVIDE, NEGATE = (
    Elementwise(ufunc, rounds=ufunc is not np.negative)
    for ufunc in (np.add, np.subtract, np.multiply, np.divide, np.negative)
)


def add(a: Any, b: Any) -> Array:
    """``a + b``."""
    a, b = asarray(a), asarray(b)
    return traced("add", noted(ADD, _linear(np.add, a, b), a, b), a, b)


def subtract(a: Any, b: Any) -> Array:
    """``a - b``."""
    a, b = asarray(a), asarray(b)
    return traced("subtract", noted(SUBTRACT, _linear(np.subtract, a, b), a, b), a, b)


def negative(a: Any) -> Array:
    """``-a``."""
    a = asarray(a)
    return traced("negative", noted(NEGATE, Array(tuple(box(np.negative(c)) for c in a.series)), a), a)


def positive(a: Any) -> Array:
    """``+a``."""
    return asarray(a)


def multiply(a: Any, b: Any) -> Array:
    """``a b``, element by element."""
    a, b = asarray(a), asarray(b)
    if not a.is_real and not b.is_real:
        return Array((exact_whole(np.multiply, a.series[0], b.series[0]),))
    return traced("multiply", noted(MULTIPLY, bilinear(_times, a, b), a, b), a, b)


def exact_whole(f: Callable[..., Any], *operands: Coefficient) -> Coefficient:
    """A function of whole numbers by int64, or of booleans by what NumPy has for them.

    Raises:
        NotCertifiableError: a result is beyond int64, which wraps around.
    """
    out = f(*operands)
    if np.asarray(out).dtype != bool and np.any(np.abs(f(*(c.astype(np.float64) for c in operands))) >= 2.0**63):
        raise NotCertifiableError("a whole number beyond int64", "Frameworks wrap it around: convert to floats before.")
    return box(out)


def _times(a: Coefficient, b: Coefficient) -> Coefficient:
    return rounded(box(np.multiply(a, b)))


def matrix_product(a: Array, b: Array) -> Array:
    """Matrix products of shapes (..., m, k) and (..., k, n), broadcast over the leading axes."""
    product = noted(Product(lambda a, b: (_matrix_product(a, b),)), bilinear(_matrix_product, a, b), a, b)
    return traced("matrix_product", product, a, b)


def _matrix_product(a: Coefficient, b: Coefficient) -> Coefficient:
    if current().extended:
        return rounded_product(a, b)
    return product(a, b)


def square(a: Any) -> Array:
    """``a^2``."""
    return multiply(a, a)


def divide(a: Any, b: Any) -> Array:
    """``a / b``: c_k = (a_k - sum_{j<k} c_j b_{k-j}) / b_0. Exact for integers too, unlike NumPy's."""
    a, b = asarray(a), asarray(b)
    A, B = a.balls(), b.balls()
    note_singular("division", box(B[0]), lambda value: value.is_zero())
    length = len(A) if len(B) == 1 else current().order + 1
    shape = np.broadcast_shapes(a.shape, b.shape)
    out: list[Coefficient] = []
    for k in range(length):
        top = A[k] if k < len(A) else exact(0)
        for j in range(max(0, k - len(B) + 1), k):
            top = rounded(box(np.subtract(top, _times(out[j], B[k - j]))))
        out.append(np.broadcast_to(rounded(box(np.divide(top, B[0]))), shape))
    return traced("divide", noted(DIVIDE, Array(tuple(out)), a, b), a, b)


def sum_over(a: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """Sum of reals over these axes, which count from the front."""
    total = Array(tuple(_summed(c, axes, keepdims) for c in a.balls()))
    total = noted(Computed(lambda c: (_summed(c, axes, keepdims),)), total, a)
    return traced("sum", total, a, axes=axes, keepdims=keepdims)


def _summed(c: Coefficient, axes: tuple[int, ...], keepdims: bool) -> Coefficient:
    total = box(np.sum(c, axis=axes, keepdims=keepdims))
    return rounded_sum(c, axes, total) if c.size else nothing(total.shape)


def reciprocal(a: Any) -> Array:
    """``1 / a``."""
    return divide(1, a)


def bilinear(product: Callable[[Coefficient, Coefficient], Any], a: Array, b: Array) -> Array:
    """Cauchy product of two series under any bilinear product: c_k = sum_j product(a_j, b_{k-j})."""
    A, B = a.balls(), b.balls()
    out = []
    for k in range(min(len(A) + len(B) - 1, current().order + 1)):
        terms = [product(A[j], B[k - j]) for j in range(max(0, k - len(B) + 1), min(k + 1, len(A)))]
        total = terms[0]
        for term in terms[1:]:
            total = rounded(box(total + term))
        out.append(box(total))
    return Array(tuple(out))


def compose(
    x: Array, jet: JetOf, from_value: FromValue | None = None, *, constants: Coefficient | None = None, rough: int = 1,
    pure: bool = False,
) -> Array:  # fmt: skip
    """``f(x)`` of a smooth f, from its own coefficients at each value.

    ``jet(v, n)`` gives f(v), f'(v), f''(v)/2 up to order n. Then, with x = x_0 + x_1 t + x_2 t^2,
    y_1 = f' x_1 and y_2 = f' x_2 + (f''/2) x_1^2 (Faa di Bruno's formula). For the tape f'(x) is a series too, whose
    coefficient 1 is f'' x_1. Where the evaluation rounds, ``from_value(v, f(v))`` gives f'(v) and f''(v)/2 as
    frameworks compute them, from the rounded value. ``pure`` says that both depend on v alone. ``constants`` are what
    the jet takes beside each value, an exponent for one: results are equal only where those are too. ``rough`` is how
    many roundings frameworks are off by.
    """
    X = x.balls()
    order = current().order if len(X) > 1 else 0
    is_traced = isinstance(x, Traced)
    F = _jets(X[0], jet, order + 1 if is_traced else order, from_value, rough)
    out = [F[0]]
    if order >= 1:
        out.append(_times(F[1], X[1]))
    if order >= 2:
        curvature = np.multiply(F[2], np.multiply(X[1], X[1]))
        out.append(box(np.add(curvature, np.multiply(F[1], X[2])) if len(X) > 2 else curvature))
    result = Array(_shared(X, tuple(out), constants) if current().share else tuple(out))
    recording = current().recording
    if recording is not None and pure and len(X) == 1:
        simple, n = from_value is None and rough == 1, len(F) - 1
        as_here = Computed(lambda c: tuple(_jets(c, jet, n, from_value, rough)))
        recording.note(Jet(lambda v: jet(v, n)) if simple else as_here, F, [X[0]])
    if not is_traced:
        return result
    slope = Array((F[1], _times(2 * F[2], X[1])) if order else (F[1],))
    return traced("compose", result, x, slope=slope)


def _jets(
    values: Coefficient, jet: JetOf, order: int, from_value: FromValue | None, rough: int
) -> list[Coefficient]:  # fmt: skip
    if current().noise is not None and from_value is not None:
        value = rounded(from_lanes(jet(lanes(values), 0)[0], values), rough)
        return [value, *from_value(values, value)][: order + 1]
    # Where a function has no value it has no slope, though the formula might: log x at -1 is one.
    if isinstance(values, MidRad):
        enclosed = [np.broadcast_to(values.record(f), values.shape) for f in jet(values, order)]
        defined = is_known(enclosed[0]) | (infinities(enclosed[0]) != 0)
        return [enclosed[0], *(np.where(defined, f, enclosed[0]) for f in enclosed[1:])]
    if current().extended:
        jets = jet(lanes(values), order)
        undefined = np.isnan(jets[0])
        jets = tuple(np.where(undefined, jets[0], f) for f in jets) if undefined.any() else jets
        return [rounded(from_lanes(f, values), rough) for f in jets]
    each = [jet(value, order) for value in values.ravel()]
    each = [f[:1] * len(f) if f[0].is_nan() else f for f in each]
    return [fill(values.shape, [f[k] for f in each]) for k in range(order + 1)]


def _shared(
    X: tuple[Coefficient, ...], Y: tuple[Coefficient, ...], constants: Coefficient | None
) -> tuple[Coefficient, ...]:
    """The same results, elements of equal exact arguments and constants made one object: a proof of their equality.

    The k-th coefficient of a result depends on the first k + 1 of its argument.
    """
    keys: list[tuple[Any, ...] | None]
    keys = [()] * X[0].size if constants is None else [_key(value) for value in constants.ravel()]
    out = []
    for k, y in enumerate(Y):
        if k < len(X):
            parts = [_key(value) for value in X[k].ravel()]
            keys = [
                None if key is None or part is None else (*key, *part) for key, part in zip(keys, parts, strict=True)
            ]
        first: dict[tuple[Any, ...], Any] = {}
        pairs = zip(keys, y.ravel(), strict=True)
        out.append(fill(y.shape, [value if key is None else first.setdefault(key, value) for key, value in pairs]))
    return tuple(out)


def _key(value: arb) -> tuple[Any, ...] | None:
    return value.man_exp() if value.is_exact() and value.is_finite() else None


def note_singular(
    name: str, values: Coefficient, proven: Callable[[arb], bool], where: list[bool] | None = None
) -> None:
    """Record each element that is proven to be where `name` has no finite value or derivative."""
    if current().extended or current().midrad:  # extended numbers prove nothing, and more bits of the others are none
        return
    for position, value in enumerate(values.ravel()):
        if proven(value) and (where is None or where[position]):
            current().singular.append((name, unravel(position, values.shape)))


def _linear(f: np.ufunc, a: Array, b: Array) -> Array:
    if not a.is_real and not b.is_real:
        return Array((exact_whole(f, a.series[0], b.series[0]),))
    A, B = a.balls(), b.balls()
    shape = np.broadcast_shapes(a.shape, b.shape)
    out = []
    for k in range(max(len(A), len(B))):
        if k < len(A) and k < len(B):
            out.append(rounded(box(f(A[k], B[k]))))
        elif k < len(A):
            out.append(np.broadcast_to(A[k], shape))
        else:
            out.append(np.broadcast_to(box(f(exact(0), B[k])), shape))
    return Array(tuple(out))
