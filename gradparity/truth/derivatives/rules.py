"""The adjoint of every primitive: how much the loss moves with each operand, given how it moves with the result.

A rule gets the tape's node and the adjoint of its result, and gives one adjoint for each operand, None for what is not
wanted. Adjoints are arrays like any other, computed with the namespace's own functions: over a series in t they are
series in t, and their coefficient 1 is the derivative of the gradient along the direction, ``H v``.

Reference: A. Griewank and A. Walther, Evaluating Derivatives, 2008, chapters 3 and 5; for linear algebra, M. Giles,
"Collected matrix derivative results for forward and reverse mode algorithmic differentiation" (2008), and I. Murray,
"Differentiation of the Cholesky decomposition", arXiv:1602.07527.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import Coefficient, box, nothing, vanishes
from gradparity.truth.numbers.draws import blank
from gradparity.truth.numbers.midrad import MidRad, is_known
from gradparity.truth.numbers.notes import noted
from gradparity.truth.numbers.recording import Computed, Rearranged
from gradparity.truth.numbers.rounding import rounded_scatter
from gradparity.truth.numbers.tape import Node, Traced, positions, untraced
from gradparity.truth.xp import decompositions, exponential, linalg, orthogonal
from gradparity.truth.xp.arithmetic import add, divide, matrix_product, multiply, negative, subtract, sum_over
from gradparity.truth.xp.kinks import choose
from gradparity.truth.xp.reductions import cumsum

Adjoints: TypeAlias = tuple[Array | None, ...]
Rule: TypeAlias = Callable[[Node, Array], Adjoints]


def _for_each(node: Node, *adjoints: Callable[[], Array]) -> Adjoints:
    """The adjoints of those operands that are traced, the others never computed."""
    pairs = zip(node.operands, adjoints, strict=True)
    return tuple(summed_to(adjoint(), x.shape) if isinstance(x, Traced) else None for x, adjoint in pairs)


def summed_to(adjoint: Array, shape: tuple[int, ...]) -> Array:
    """The adjoint of broadcasting from `shape`: summed over the axes that it stretched."""
    extra = adjoint.ndim - len(shape)
    if extra:
        adjoint = sum_over(adjoint, tuple(range(extra)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and adjoint.shape[i] != 1)
    return sum_over(adjoint, stretched, keepdims=True) if stretched else adjoint


def times(adjoint: Array, slope: Array) -> Array:
    """``adjoint * slope``, where a path leads to the loss."""
    return where_used(adjoint, multiply(adjoint, slope))


def where_used(adjoint: Array, out: Array) -> Array:
    """`out`, zero where its adjoint is exactly zero, even if `out` is no number there.

    A branch that is not taken has no derivative to contribute, be it the logarithm of a negative number; and a number
    that is used is finite, or the loss would not be.
    """
    if all(_all_finite(c) for c in out.series):
        return out
    unused = np.logical_and.reduce([vanishes(np.broadcast_to(c, out.shape)) for c in adjoint.series])
    return choose(unused, Array((nothing(()),)), out)


def _all_finite(c: Coefficient) -> bool:
    if isinstance(c, MidRad):
        return bool(is_known(c).all())
    return all(value.is_finite() for value in c.ravel()) if c.dtype == object else bool(np.isfinite(c).all())


def _multiply(node: Node, g: Array) -> Adjoints:
    a, b = map(untraced, node.operands)
    return _for_each(node, lambda: times(g, b), lambda: times(g, a))


def _divide(node: Node, g: Array) -> Adjoints:
    """Of the quotient c: 1 / b, and -c / b."""
    part = where_used(g, divide(g, untraced(node.operands[1])))
    return _for_each(node, lambda: part, lambda: negative(times(part, node.result)))


def _choose(node: Node, g: Array) -> Adjoints:
    mask = node.options["mask"]
    none = Array((nothing(()),))
    return _for_each(node, lambda: choose(mask, g, none), lambda: choose(mask, none, g))


def _sum(node: Node, g: Array) -> Adjoints:
    shape, axes = node.operands[0].shape, node.options["axes"]
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return (g.map(lambda c: np.broadcast_to(c.reshape(kept), shape)),)


def _cumsum(node: Node, g: Array) -> Adjoints:
    """Running sums from the other end."""
    axis = node.options["axis"]
    return (cumsum(g.map(lambda c: np.flip(c, axis)), axis).map(lambda c: np.flip(c, axis)),)


def _matrix_product(node: Node, g: Array) -> Adjoints:
    a, b = map(untraced, node.operands)
    return _for_each(node, lambda: matrix_product(g, b.mT), lambda: matrix_product(a.mT, g))


def _rearrange(node: Node, g: Array) -> Adjoints:
    source = node.operands[0]
    return (_scattered(g, box(node.options["f"](positions(source))), source.size).map(
        lambda c: c.reshape(source.shape)
    ),)  # fmt: skip


def _join(node: Node, g: Array) -> Adjoints:
    """Every part by the places that its elements, counted through all parts, went to."""
    ends = np.cumsum([x.size for x in node.operands])
    places = node.options["f"]([positions(x) + end - x.size for x, end in zip(node.operands, ends, strict=True)])
    flat = _scattered(g, places, int(ends[-1]))
    return tuple(
        flat.map(lambda c, x=x, end=end: c[end - x.size : end].reshape(x.shape)) if isinstance(x, Traced) else None  # type: ignore[misc]
        for x, end in zip(node.operands, ends, strict=True)
    )


def _scattered(g: Array, places: Coefficient, size: int) -> Array:
    """Adjoints added up at the places that the elements came from; shape (size,)."""
    if places.size and not (places.min() >= 0 and places.max() <= size):
        raise AssertionError("a rearrangement computed something")
    flat = places.ravel()
    counts = np.bincount(flat, minlength=size + 1)
    once = bool(counts[1:].max(initial=0) <= 1)
    moved = Rearranged(lambda parts: _scatter(parts[0], flat, size, once=True))
    summed = Computed(lambda c: (_scatter(c, flat, size, once=False),))
    result = Array(tuple(_scatter(c, flat, size, once=once) for c in g.series))
    return noted(moved if once else summed, result, g)


def _scatter(c: Coefficient, places: Coefficient, size: int, *, once: bool) -> Coefficient:
    out = nothing((size + 1,)).copy() if c.dtype == object else blank((size + 1,), c)
    if once:
        out[places] = c.ravel()
        return out[1:]
    np.add.at(out, places, c.ravel())
    return rounded_scatter(c.ravel(), places, out)[1:]


def _solve(node: Node, g: Array) -> Adjoints:
    """X = A^-1 B: with Y = A^-T G, the adjoints are -Y X^T and Y."""
    a = untraced(node.operands[0])
    y = linalg.solve(a.mT, g)
    return _for_each(node, lambda: negative(matrix_product(y, node.result.mT)), lambda: y)


def _solve_triangular(node: Node, g: Array) -> Adjoints:
    """The same by substitution; the other triangle of A, which is zero, gets an adjoint that leads nowhere."""
    a, lower = untraced(node.operands[0]), node.options["lower"]
    y = linalg.substituted(a.mT, g, lower=not lower)
    return _for_each(node, lambda: negative(matrix_product(y, node.result.mT)), lambda: y)


def _det(node: Node, g: Array) -> Adjoints:
    """Jacobi's formula: d A^-T."""
    slope = multiply(g, node.result)[..., None, None]
    return (multiply(slope, linalg.inv(untraced(node.operands[0])).mT),)


def _cholesky(node: Node, g: Array) -> Adjoints:
    """With S = L^-T low(L^T G) L^-1 it is low(S + S^T), low taking the lower triangle with half the diagonal."""
    L = node.result
    n = L.shape[-1]
    half = asarray(np.tril(np.ones((n, n))) - np.eye(n) / 2)
    middle = multiply(half, matrix_product(L.mT, g))
    s = linalg.solve(L.mT, linalg.solve(L.mT, middle.mT).mT)
    return (multiply(half, add(s, s.mT)),)


def _eigh(node: Node, g: Array) -> Adjoints:
    """V (diag(g_l) + F o (V^T G_V)) V^T with F_ij = 1 / (l_j - l_i)."""
    values, vectors = decompositions.eigen_parts(node.result)
    along, turning = decompositions.eigen_parts(g)
    inner = multiply(np.eye(values.shape[-1]), along[..., None, :])
    if not _is_nothing(turning):
        apart = decompositions.gaps(values, "linalg.eigh")
        inner = add(inner, decompositions.where_apart(matrix_product(vectors.mT, turning), apart))
    vectors = _used(vectors, inner)
    return (matrix_product(vectors, matrix_product(inner, vectors.mT)),)


def _svd(node: Node, g: Array) -> Adjoints:
    """U (diag(g_s) + S (K_V + K_V^T) + (K_U + K_U^T) S) V^T + (I - U U^T) G_U S^-1 V^T.

    K_V = F o (V^T G_V), and K_U likewise, with F_ij = 1 / (s_j^2 - s_i^2).
    """
    m, n = node.operands[0].shape[-2:]
    U, S, V = decompositions.singular_parts(node.result, m)
    of_U, of_S, of_V = decompositions.singular_parts(g, m)
    inner = multiply(np.eye(n), of_S[..., None, :])
    if not (_is_nothing(of_U) and _is_nothing(of_V)):
        apart = decompositions.gaps(multiply(S, S), "linalg.svd")
        K = decompositions.where_apart(matrix_product(V.mT, of_V), apart)
        inner = add(inner, multiply(S[..., :, None], add(K, K.mT)))
        K = decompositions.where_apart(matrix_product(U.mT, of_U), apart)
        inner = add(inner, multiply(add(K, K.mT), S[..., None, :]))
    out = matrix_product(_used(U, inner), matrix_product(inner, _used(V, inner).mT))
    if m > n and not _is_nothing(of_U):
        rest = subtract(of_U, matrix_product(U, matrix_product(U.mT, of_U)))
        out = add(out, matrix_product(divide(rest, S[..., None, :]), V.mT))
    return (out,)


def _qr(node: Node, g: Array) -> Adjoints:
    """(G_Q + Q (low(M) + low(M)^T)) R^-T with M = R G_R^T - G_Q^T Q, low halving the diagonal of the lower triangle.

    Walter and Lehmann, "Algorithmic differentiation of linear algebra functions with application in optimum
    experimental design", 2010, section 2.2.
    """
    m, n = node.operands[0].shape[-2:]
    Q, R = orthogonal.qr_parts(node.result, m)
    of_Q, of_R = orthogonal.qr_parts(g, m)
    M = subtract(matrix_product(R, of_R.mT), matrix_product(of_Q.mT, Q))
    low = multiply(np.tri(n) - np.eye(n) / 2, M)
    grown = add(of_Q, matrix_product(Q, add(low, low.mT)))
    return (linalg.substituted(R, grown.mT, lower=False).mT,)


def _is_nothing(x: Array) -> bool:
    return all(vanishes(c).all() for c in x.balls())


def _used(columns: Array, inner: Array) -> Array:
    """`columns`, zero where `inner` is, between such: what is not used need be no number."""
    unused = np.logical_and.reduce([vanishes(c).all(-1) & vanishes(c).all(-2) for c in inner.balls()])
    return choose(unused[..., None, :], asarray(0.0), columns)


RULES: dict[str, Rule] = {
    "add": lambda node, g: _for_each(node, lambda: g, lambda: g),
    "subtract": lambda node, g: _for_each(node, lambda: g, lambda: negative(g)),
    "negative": lambda _, g: (negative(g),),
    "compose": lambda node, g: (times(g, node.options["slope"]),),
    "choose": _choose, "cholesky": _cholesky, "cumsum": _cumsum, "det": _det, "divide": _divide, "eigh": _eigh,
    "expm": lambda node, g: (exponential.derivative(untraced(node.operands[0]).mT, g),),
    "join": _join, "qr": _qr, "svd": _svd,
    "matrix_product": _matrix_product, "multiply": _multiply, "rearrange": _rearrange, "solve": _solve,
    "solve_triangular": _solve_triangular, "sum": _sum,
}  # fmt: skip
