"""Names that NumPy lacks; SciPy has the special functions, and is imported when one of them is called."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from gradparity.backends.names.composed import others
from gradparity.backends.names.elementary import activations, gelu
from gradparity.backends.names.windows import functions


def scipys(name: str) -> Callable[..., Any]:
    """A function of ``scipy.special``."""

    def function(*args: Any) -> Any:
        return getattr(import_module("scipy.special"), name)(*args)

    return function


erf, expit = scipys("erf"), scipys("expit")


def solve_triangular(a: Any, b: Any, *, lower: bool = False, unit_diagonal: bool = False) -> Any:
    """``A^-1 B`` of one triangle, by SciPy's substitution of each matrix."""
    one = import_module("scipy.linalg").solve_triangular
    if b.ndim == 1:
        return solve_triangular(a, b[:, None], lower=lower, unit_diagonal=unit_diagonal)[..., 0]
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, lead + a.shape[-2:]), np.broadcast_to(b, lead + b.shape[-2:])
    out = np.zeros(b.shape, np.result_type(a, b))
    for index in np.ndindex(*lead):
        out[index] = one(a[index], b[index], lower=lower, unit_diagonal=unit_diagonal)
    return out


def expm(a: Any) -> Any:
    """``scipy.linalg``'s, of matrices made small, and squared: of large ones its own is off by 1e-13."""
    largest = np.abs(a).sum(axis=-2).max(initial=0.0)
    doublings = max(0, math.ceil(math.log2(largest / 2))) if 0 < largest < np.inf else 0
    out = import_module("scipy.linalg").expm(a * 0.5**doublings)
    for _ in range(doublings):
        out = out @ out
    return out


def pad(x: Any, padding: Any, filling: float) -> Any:
    """Elements more before and after each axis."""
    return np.pad(x, padding, constant_values=filling)


_SCIPYS = {name: scipys(name) for name in (
    "beta", "betaln", "digamma", "entr", "erf", "erfc", "erfinv", "gammaln", "i0", "i0e", "i1", "i1e", "log_ndtr",
    "logit", "ndtr", "ndtri", "polygamma", "xlog1py", "xlogy",
)}  # fmt: skip
NAMES: dict[str, Any] = {
    **functions(np, pad),
    **activations(np, expit, lambda x: x),
    **_SCIPYS,
    "expm": expm, "cumlogsumexp": lambda x, axis=-1: np.logaddexp.accumulate(x, axis),
    "gelu": gelu(np, erf), "segment_sum": others(np)["segment_sum"],
    "solve_triangular": solve_triangular,
}  # fmt: skip
#: What is neither of NumPy nor of SciPy.
OURS = frozenset(NAMES) - {*_SCIPYS, "cumlogsumexp", "sigmoid"}
