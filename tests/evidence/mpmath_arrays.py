"""Object arrays of `mpmath_reference.Number`: reductions, and linear algebra by its definitions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.evidence.mpmath_reference import number, pick, power, root


def lift(x: Any) -> Any:
    """An object array of Numbers."""
    array = np.asarray(x)
    out = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        out[index] = number(array[index])
    return out


def each(f: Callable[..., Any], *operands: Any, dtype: Any = object) -> Any:
    """f of every element, operands broadcast."""
    arrays = np.broadcast_arrays(*(lift(x) for x in operands))
    out = np.empty(arrays[0].shape, dtype=dtype)
    for index in np.ndindex(out.shape):
        out[index] = f(*(x[index] for x in arrays))
    return out


def lanes(x: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
    """The reduced axes in one at the end, and the shape with them at length one."""
    x = np.asarray(x)
    axes = tuple(range(x.ndim)) if axis is None else tuple(i % x.ndim for i in np.atleast_1d(axis))
    kept = [i for i in range(x.ndim) if i not in axes]
    rows = np.transpose(x, (*kept, *axes)).reshape((*(x.shape[i] for i in kept), -1))
    return rows, tuple(1 if i in axes else n for i, n in enumerate(x.shape))


def reduced(f: Callable[[list[Any]], Any], x: Any, axis: Any, keepdims: bool, dtype: Any = object) -> Any:
    rows, shape = lanes(lift(x), axis)
    out = np.empty(rows.shape[:-1], dtype=dtype)
    for index in np.ndindex(out.shape):
        out[index] = f(list(rows[index]))
    return out.reshape(shape) if keepdims else out


def total(values: list[Any]) -> Any:
    return sum(values[1:], values[0])


def product(values: list[Any]) -> Any:
    out = number(1)
    for value in values:
        out = out * value
    return out


def variance(values: list[Any], ddof: int) -> Any:
    middle = total(values) / len(values)
    return total([(value - middle) * (value - middle) for value in values]) / (len(values) - ddof)


def length(values: list[Any], order: Any) -> Any:
    """The vector norm of some order."""
    sizes = [abs(value) for value in values] if order != 2 else values
    if abs(order) == np.inf:
        return sizes[pick(sizes, order > 0)]
    if order == 1:
        return total(sizes)
    if order == 2:
        return root(total([value * value for value in values]))
    return power(total([power(size, number(order)) for size in sizes]), number(1) / number(order))


def determinant(a: Any) -> Any:
    """The sum over all permutations (Leibniz)."""
    n = len(a)
    out = number(0)
    for turn in itertools.permutations(range(n)):
        odd = sum(turn[i] > turn[j] for i in range(n) for j in range(i + 1, n)) % 2
        out = out + product([a[i, turn[i]] for i in range(n)]) * (-1 if odd else 1)
    return out


def inverse_matrix(a: Any) -> Any:
    """Cofactors over the determinant."""
    n = len(a)
    over = determinant(a).reciprocal()
    out = np.empty((n, n), dtype=object)
    for i, j in np.ndindex(n, n):
        minor = np.delete(np.delete(a, j, 0), i, 1)
        out[i, j] = determinant(minor) * (-1) ** (i + j) * over
    return out


def cholesky(a: Any) -> Any:
    n = len(a)
    L = lift(np.zeros((n, n)))
    for i in range(n):
        for j in range(i + 1):
            rest = a[i, j] - total([number(0), *(L[i, k] * L[j, k] for k in range(j))])
            L[i, j] = root(rest) if i == j else rest / L[j, j]
    return L


def of_each(f: Callable[[Any], Any], a: Any) -> Any:
    """`f` of every matrix of a batch, shape (..., n, n)."""
    a = lift(a)
    if a.shape[-1] != a.shape[-2]:
        raise ValueError(a.shape)
    found = [np.asarray(f(a[index]), dtype=object) for index in np.ndindex(a.shape[:-2])]
    return np.stack(found).reshape(a.shape[:-2] + found[0].shape)


def inverses(a: Any) -> Any:
    return of_each(inverse_matrix, a)
