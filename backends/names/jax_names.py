"""Names that ``jax.numpy`` lacks: those of ``jax.nn`` and ``jax.scipy.special``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp


def one_hot(labels: Any, classes: int, dtype: Any = None) -> Any:
    """Ones at the labels."""
    return jax.nn.one_hot(labels, classes, dtype=jnp.float32 if dtype is None else dtype)


NAMES: dict[str, Any] = {
    **{name: getattr(jax.nn, name) for name in (
        "celu", "elu", "glu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid", "log_softmax",
        "logsumexp", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softmax", "softplus",
    )},
    **{name: getattr(jsp, name) for name in ("erf", "erfc")},
    "gelu": lambda x, approximate=False: jax.nn.gelu(x, approximate),
    "one_hot": one_hot,
}  # fmt: skip
