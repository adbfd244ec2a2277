"""Names that ``jax.numpy`` lacks: those of ``jax.nn`` and ``jax.scipy.special``."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import jax.scipy.special as jsp
import numpy as np

from gradparity.backends.names import windows

#: Squarings of an exponential, as many as JAX's own makes at most.
MOST_DOUBLINGS = 16


def one_hot(labels: Any, classes: int, dtype: Any = None) -> Any:
    """Ones at the labels."""
    return jax.nn.one_hot(labels, classes, dtype=jnp.float32 if dtype is None else dtype)


def betaln(a: Any, b: Any) -> Any:
    """``log |Gamma(a) Gamma(b) / Gamma(a + b)|``: the derivatives of JAX's own are off by 1e-9."""
    return jsp.gammaln(a) + jsp.gammaln(b) - jsp.gammaln(a + b)


def beta(a: Any, b: Any) -> Any:
    """``Gamma(a) Gamma(b) / Gamma(a + b)``."""
    return jsp.gammasgn(a) * jsp.gammasgn(b) * jsp.gammasgn(a + b) * jnp.exp(betaln(a, b))


def conv(x: Any, kernels: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """``jax.lax``'s."""
    where = windows.of_convolution(x, kernels, stride, padding, dilation, groups)
    return jax.lax.conv_general_dilated(
        x, kernels, where.stride, where.padding, rhs_dilation=where.dilation, feature_group_count=groups
    )


def _pooled(x: Any, start: float, reduce: Any, window: Any, stride: Any, padding: Any) -> Any:
    where = windows.of_pooling(x, window, stride, padding)
    pairs = ((0, 0), (0, 0), *where.padding)
    return jax.lax.reduce_window(
        x, np.asarray(start, x.dtype), reduce, (1, 1, *where.window), (1, 1, *where.stride), pairs
    )


def avg_pool(x: Any, window: Any, stride: Any = None, padding: Any = 0) -> Any:
    """Sums of windows over their size."""
    size = math.prod(windows.of_pooling(x, window, stride, padding).window)
    return _pooled(x, 0.0, jax.lax.add, window, stride, padding) / size


def max_pool(x: Any, window: Any, stride: Any = None, padding: Any = 0) -> Any:
    """Largest elements of windows."""
    return _pooled(x, -np.inf, jax.lax.max, window, stride, padding)


def solve_triangular(a: Any, b: Any, *, lower: bool = False, unit_diagonal: bool = False) -> Any:
    """``jax.scipy.linalg``'s, of batches that broadcast."""
    if b.ndim == 1:
        return solve_triangular(a, b[:, None], lower=lower, unit_diagonal=unit_diagonal)[..., 0]
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (jnp.broadcast_to(x, lead + x.shape[-2:]) for x in (a, b))
    return jax.scipy.linalg.solve_triangular(a, b, lower=lower, unit_diagonal=unit_diagonal)


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """``jax.numpy``'s, of which the length is known to the compiler."""
    return jnp.bincount(x, weights, length=minlength or None)


def expm(a: Any) -> Any:
    """``jax.scipy.linalg``'s, of matrices small enough for its rational function, squared.

    Its own scaling leaves norms of up to twice what that is good for: off by 1e-4 in float32.
    """
    sums = jax.lax.stop_gradient(jnp.max(jnp.sum(jnp.abs(a), axis=-2), initial=0))
    doublings = jnp.maximum(jnp.ceil(jnp.log2(sums / (5.0 if a.dtype == jnp.float64 else 3.5))), 0)
    out = jax.scipy.linalg.expm(a * 0.5**doublings)
    return jax.lax.fori_loop(0, MOST_DOUBLINGS, lambda i, x: jnp.where(i < doublings, x @ x, x), out)


NAMES: dict[str, Any] = {
    **{name: getattr(jax.nn, name) for name in (
        "celu", "elu", "glu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid", "log_softmax",
        "logsumexp", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softmax", "softplus",
    )},
    **{name: getattr(jsp, name) for name in (
        "digamma", "entr", "erf", "erfc", "erfinv", "gammaln", "i0", "i0e", "i1", "i1e", "log_ndtr",
        "logit", "ndtr", "ndtri", "polygamma", "xlog1py", "xlogy",
    )},
    "beta": beta, "betaln": betaln,
    "cumlogsumexp": lambda x, axis=-1: jax.lax.cumlogsumexp(x, axis % x.ndim),
    "fix": jnp.trunc,
    "segment_sum": lambda x, segments, count: jax.ops.segment_sum(x, jnp.asarray(segments), int(count)),
    "gelu": lambda x, approximate=False: jax.nn.gelu(x, approximate),
    "one_hot": one_hot, "expm": expm,
    "avg_pool": avg_pool, "bincount": bincount, "conv": conv, "max_pool": max_pool,
    "solve_triangular": solve_triangular,
}  # fmt: skip
#: What is more than another name or other options.
OURS = frozenset({"beta", "betaln", "expm"})
