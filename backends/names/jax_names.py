"""Names that ``jax.numpy`` lacks: those of ``jax.nn`` and ``jax.scipy.special``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp


def one_hot(labels: Any, classes: int, dtype: Any = None) -> Any:
    """Ones at the labels."""
    return jax.nn.one_hot(labels, classes, dtype=jnp.float32 if dtype is None else dtype)


def betaln(a: Any, b: Any) -> Any:
    """``log |Gamma(a) Gamma(b) / Gamma(a + b)|``: the derivatives of JAX's own are off by 1e-9."""
    return jsp.gammaln(a) + jsp.gammaln(b) - jsp.gammaln(a + b)


def beta(a: Any, b: Any) -> Any:
    """``Gamma(a) Gamma(b) / Gamma(a + b)``."""
    return jsp.gammasgn(a) * jsp.gammasgn(b) * jsp.gammasgn(a + b) * jnp.exp(betaln(a, b))


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
    "one_hot": one_hot,
}  # fmt: skip
