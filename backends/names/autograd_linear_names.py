"""Linear algebra that autograd lacks derivatives of, in terms of what it has them of."""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp, defvjp, primitive

from gradparity.backends.names.autograd_array_names import hold
from gradparity.backends.names.composed import require_full_rank
from gradparity.backends.names.numpy_names import expm as numpys_expm
from gradparity.backends.names.numpy_names import solve_triangular as numpys_solve_triangular


def _turned(a: Any) -> Any:
    return anp.swapaxes(a, -1, -2)


@primitive
def qr(a: Any) -> Any:
    """Reduced factors of (..., m, n) with m >= n."""
    return tuple(np.linalg.qr(a))


def _qr_pulled_back(ans: Any, a: Any) -> Any:
    """(G_Q + Q (low(M) + low(M)^T)) R^-T with M = R G_R^T - G_Q^T Q, as Walter and Lehmann (2010) have it."""
    del a
    Q, R = ans

    def pull(g: Any) -> Any:
        of_Q, of_R = g
        M = R @ _turned(of_R) - _turned(of_Q) @ Q
        low = (np.tri(R.shape[-1]) - np.eye(R.shape[-1]) / 2) * M
        grown = of_Q + Q @ (low + _turned(low))
        return _turned(anp.linalg.solve(R, _turned(grown)))

    return pull


defvjp(qr, _qr_pulled_back)


class Factors(NamedTuple):
    """``A = Q R``."""

    Q: Any
    R: Any


def factors(a: Any, mode: str = "reduced") -> Any:
    """Of (..., m, n); where m < n the columns beyond are ``R = Q^T A``."""
    m, n = a.shape[-2:]
    Q, R = qr(a[..., :m] if m < n else a)
    if m < n:
        R = anp.concatenate([R, _turned(Q) @ a[..., m:]], axis=-1)
    return R if mode == "r" else Factors(Q, R)


def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Solution, residuals, rank and singular values at full rank."""
    require_full_rank(hold(a), rcond, lambda x: np.linalg.svd(x, compute_uv=False))
    tall = a.shape[0] >= a.shape[1]
    Q, R = factors(a if tall else a.T)
    x = anp.linalg.solve(R, Q.T @ b) if tall else Q @ anp.linalg.solve(R.T, b)
    rest = b - a @ x
    residuals = anp.sum(anp.reshape(rest * rest, (rest.shape[0], -1)), axis=0) if a.shape[0] > a.shape[1] else b[:0]
    return x, residuals, min(a.shape), svdvals(a)


@primitive
def _substituted(a: Any, b: Any, lower: bool) -> Any:
    """Of matrices whose other triangle is zero, in batches of one shape."""
    return numpys_solve_triangular(a, b, lower=lower)


# X = A^-1 B: dX = A^-1 (dB - dA X); with Y = A^-T G the adjoints are -Y X^T and Y.
defvjp(
    _substituted,
    lambda ans, a, b, lower: lambda g: -_substituted(_turned(a), g, not lower) @ _turned(ans),
    lambda ans, a, b, lower: lambda g: _substituted(_turned(a), g, not lower),
)
defjvp(
    _substituted,
    lambda g, ans, a, b, lower: -_substituted(a, g @ ans, lower),
    lambda g, ans, a, b, lower: _substituted(a, g, lower),
)


def solve_triangular(a: Any, b: Any, *, lower: bool = False, unit_diagonal: bool = False) -> Any:
    """``A^-1 B`` of one triangle, by SciPy's substitution of each matrix."""
    if b.ndim == 1:
        return solve_triangular(a, b[:, None], lower=lower, unit_diagonal=unit_diagonal)[..., 0]
    n = a.shape[-1]
    keep = np.tri(n, k=-1 if unit_diagonal else 0)
    a = (keep if lower else keep.T) * a + float(unit_diagonal) * np.eye(n)
    lead = np.zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), 1, 1))
    return _substituted(a + lead, b + lead, lower)


expm = primitive(numpys_expm)


def _expm_along(a: Any, direction: Any) -> Any:
    """The derivative of the exponential: the upper right block of ``exp [[A, E], [0, A]]`` (Higham, 2008, 3.6)."""
    n = a.shape[-1]
    lower = anp.concatenate([np.zeros(a.shape), a], axis=-1)
    return expm(anp.concatenate([anp.concatenate([a, direction], axis=-1), lower], axis=-2))[..., :n, n:]


defvjp(expm, lambda ans, a: lambda g: _expm_along(_turned(a), g))
defjvp(expm, lambda g, ans, a: _expm_along(a, g))


def pinv(a: Any, rcond: Any = None, *, rtol: Any = None) -> Any:
    """Autograd's own takes no such share."""
    require_full_rank(hold(a), rcond if rtol is None else rtol, lambda x: np.linalg.svd(x, compute_uv=False))
    return anp.linalg.pinv(a)


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Autograd's own has no derivative of full matrices, which square ones are in any case."""
    if not compute_uv:
        return svdvals(a)
    return anp.linalg.svd(a, full_matrices=full_matrices and a.shape[-2] != a.shape[-1])


def svdvals(a: Any) -> Any:
    """Singular values."""
    return anp.linalg.svd(a, full_matrices=False)[1]


def diagonal(a: Any, *, offset: int = 0) -> Any:
    """Of the last two axes."""
    rows = np.arange(max(0, min(a.shape[-2] + min(offset, 0), a.shape[-1] - max(offset, 0)))) - min(offset, 0)
    return a[..., rows, rows + offset]


def cond(a: Any, p: Any = None) -> Any:
    """Of the norm `p`, by singular values unless it says otherwise."""
    if p in (None, 2, -2):
        s = svdvals(a)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return matrix_norm(a, ord=p) * matrix_norm(anp.linalg.inv(a), ord=p)


def _sizes(x: Any) -> Any:
    """``|x|``, whose second derivative is zero: that of autograd's own is a difference of numbers that are equal."""
    return anp.where(x > 0, x, -x)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002
    """Autograd's own has derivatives of vectors' norms, and of the Frobenius and nuclear norm."""
    if axis is None and x.ndim == 2 and ord not in (None, "fro", "nuc"):
        axis = (0, 1)
    axis = tuple(i % x.ndim for i in axis) if isinstance(axis, tuple) else axis
    if isinstance(axis, tuple) and ord in (1, -1, np.inf, -np.inf):
        summed, left = axis if abs(ord) == 1 else axis[::-1]
        out = (anp.max if ord > 0 else anp.min)(
            anp.sum(_sizes(x), axis=summed, keepdims=True), axis=left, keepdims=True
        )
        return out if keepdims else anp.squeeze(out, axis)
    if isinstance(axis, tuple) and ord in (2, -2):
        out = svdvals(anp.moveaxis(x, axis, (-2, -1)))[..., 0 if ord > 0 else -1]
    elif ord in (np.inf, -np.inf):
        out = (anp.max if ord > 0 else anp.min)(_sizes(x), axis=axis)
    else:
        out = anp.linalg.norm(x, ord, axis)
    return anp.expand_dims(out, axis) if keepdims and axis is not None else out


def matrix_norm(x: Any, *, ord: Any = "fro", keepdims: bool = False) -> Any:  # noqa: A002
    """Of the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)


def matrix_power(a: Any, n: int) -> Any:
    """By squaring, of the inverse where n is negative."""
    base = anp.linalg.inv(a) if n < 0 else a
    out: Any = np.broadcast_to(np.eye(a.shape[-1]), a.shape)
    for bit in bin(abs(n))[2:]:
        out = out @ out
        out = out @ base if bit == "1" else out
    return out


def vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:  # noqa: A002
    """Of the axis, or of all elements."""
    if axis is None:
        out = norm(anp.ravel(x), ord)
        return anp.reshape(out, (1,) * x.ndim) if keepdims else out
    return norm(x, ord, axis, keepdims)


LINALG: dict[str, Any] = {
    "cond": cond,
    "diagonal": diagonal,
    "eigvalsh": lambda a, UPLO="L": anp.linalg.eigh(a, UPLO)[0],
    "lstsq": lstsq,
    "matmul": anp.matmul,
    "matrix_norm": matrix_norm,
    "matrix_power": matrix_power,
    "matrix_transpose": _turned,
    "multi_dot": lambda arrays: reduce(anp.matmul, arrays),
    "norm": norm,
    "outer": anp.outer,
    "pinv": pinv,
    "qr": factors,
    "svd": svd,
    "svdvals": svdvals,
    "tensordot": anp.tensordot,
    "trace": lambda x, *, offset=0: anp.sum(diagonal(x, offset=offset), axis=-1),
    "vecdot": lambda a, b, *, axis=-1: anp.sum(a * b, axis=axis),
    "vector_norm": vector_norm,
}
