"""Products that sum: matrix products, and everything einsum can say with them."""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import box
from gradparity.truth.numbers.context import NotCertifiableError
from gradparity.truth.xp.arithmetic import matrix_product, multiply
from gradparity.truth.xp.reductions import sum as sum_over


def matmul(a: Any, b: Any) -> Array:
    """``a @ b`` for shapes (..., m, k) and (..., k, n), a vector standing for a row or a column.

    Raises:
        ValueError: an operand has no axis, or the inner lengths differ.
    """
    a, b = asarray(a), asarray(b)
    if not (a.ndim and b.ndim) or a.shape[-1] != b.shape[max(-2, -b.ndim)]:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit")
    row, column = a.ndim == 1, b.ndim == 1
    a = a[None, :] if row else a
    b = b[:, None] if column else b
    out = matrix_product(a, b)
    out = out[..., 0] if column else out
    return out[..., 0, :] if row and not column else (out[..., 0] if row else out)


def dot(a: Any, b: Any) -> Array:
    """NumPy's dot: the last axis of `a` with the last but one of `b`."""
    a, b = asarray(a), asarray(b)
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    return tensordot(a, b, ((a.ndim - 1,), (max(b.ndim - 2, 0),)))


def vecdot(a: Any, b: Any, axis: int = -1) -> Array:
    """Sum of products along one axis."""
    return sum_over(multiply(a, b), axis)


def vdot(a: Any, b: Any) -> Array:
    """Sum of products of the flattened arrays."""
    return sum_over(multiply(asarray(a).map(np.ravel), asarray(b).map(np.ravel)))


def inner(a: Any, b: Any) -> Array:
    """Sum of products over the last axes of both."""
    a, b = asarray(a), asarray(b)
    return multiply(a, b) if not a.ndim or not b.ndim else tensordot(a, b, ((a.ndim - 1,), (b.ndim - 1,)))


def outer(a: Any, b: Any) -> Array:
    """``a_i b_j`` of the flattened arrays."""
    return multiply(asarray(a).map(np.ravel)[:, None], asarray(b).map(np.ravel)[None, :])


def tensordot(a: Any, b: Any, axes: Any = 2) -> Array:
    """Sum of products over pairs of axes, as numpy.tensordot."""
    a, b = asarray(a), asarray(b)
    if isinstance(axes, int | np.integer):
        left, right = list(range(a.ndim - int(axes), a.ndim)), list(range(int(axes)))
    else:
        left, right = ([i % x.ndim for i in np.atleast_1d(part)] for x, part in zip((a, b), axes, strict=True))
    A, rest = string.ascii_letters[: a.ndim], string.ascii_letters[a.ndim :]
    names = dict(zip(right, (A[i] for i in left), strict=True))
    B = "".join(names.get(i, rest[i]) for i in range(b.ndim))
    out = "".join(c for i, c in enumerate(A) if i not in left) + "".join(c for i, c in enumerate(B) if i not in right)
    return einsum(f"{A},{B}->{out}", a, b)


def einsum(subscripts: str, *operands: Any) -> Array:
    """As numpy.einsum, pairs contracted from the left as matrix products.

    Raises:
        NotCertifiableError: an ellipsis, or operands given as lists of axes.
        ValueError: the subscripts do not fit the operands.
    """
    if not isinstance(subscripts, str) or "." in subscripts:
        raise NotCertifiableError("einsum with an ellipsis or lists of axes", "Name every axis by a letter.")
    arrays = [asarray(x) for x in operands]
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    labels = inputs.split(",")
    if [len(names) for names in labels] != [x.ndim for x in arrays]:
        raise ValueError(f"einsum {subscripts!r} does not fit shapes {[x.shape for x in arrays]}")
    if not arrow:
        output = "".join(sorted(c for c in set(inputs) if inputs.count(c) == 1 and c != ","))
    names, result = labels[0], arrays[0]
    for position in range(1, len(arrays)):
        later = set("".join(labels[position + 1 :])) | set(output)
        names, result = _contract(names, result, labels[position], arrays[position], later)
    names, result = _drop(names, result, set(output))
    return result.map(lambda c: np.transpose(c, [names.index(c) for c in output]))


def _drop(names: str, x: Array, needed: set[str]) -> tuple[str, Array]:
    """Diagonals of repeated labels taken, and labels that nothing needs summed out."""
    distinct = "".join(dict.fromkeys(names))
    if distinct != names:
        places = np.einsum(f"{names}->{distinct}", np.arange(x.size).reshape(x.shape))
        x = x.map(lambda c: c.ravel()[places])
    unneeded = tuple(i for i, c in enumerate(distinct) if c not in needed)
    return "".join(c for c in distinct if c in needed), sum_over(x, unneeded) if unneeded else x


def _contract(p: str, a: Array, q: str, b: Array, later: set[str]) -> tuple[str, Array]:
    """Two operands into one, as a batch of matrix products: (batch, left, shared) x (batch, shared, right)."""
    p, a = _drop(p, a, later | set(q))
    q, b = _drop(q, b, later | set(p))
    batch = [c for c in p if c in q and c in later]
    shared = [c for c in p if c in q and c not in later]
    left, right = [c for c in p if c not in q], [c for c in q if c not in p]
    size = dict(zip(q, b.shape, strict=True)) | dict(zip(p, a.shape, strict=True))
    if any(size[c] != n for c, n in zip(q, b.shape, strict=True)):
        raise ValueError(f"einsum: the lengths of a shared axis differ: {p} {a.shape}, {q} {b.shape}")

    def arrange(x: Array, names: str, *groups: list[str]) -> Array:
        order = [names.index(c) for group in groups for c in group]
        shape = [math.prod(size[c] for c in group) for group in groups]
        return x.map(lambda c: np.transpose(c, order).reshape(shape))

    out = matrix_product(arrange(a, p, batch, left, shared), arrange(b, q, batch, shared, right))
    names = batch + left + right
    return "".join(names), out.map(lambda c: box(c).reshape([size[name] for name in names]))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "dot": dot, "einsum": einsum, "inner": inner, "matmul": matmul, "outer": outer, "tensordot": tensordot,
    "vdot": vdot, "vecdot": vecdot,
}  # fmt: skip
