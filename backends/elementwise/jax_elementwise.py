"""JAX: ``vmap`` of ``grad``, of ``jvp`` and of forward over reverse, under ``jit``."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp

from gradparity.backends.protocol import Array


def derivatives(f: Callable[[Array, Array], Array]) -> dict[str, Callable[..., Any]]:
    """The value and the derivatives of ``f(x, y)`` in ``x``, compiled."""

    def reverse(x: Array, y: Array) -> Array:
        return jax.grad(f)(x, y)

    def along(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
        return lambda x, y: jax.jvp(lambda x: function(x, y), (x,), (jnp.ones_like(x),))[1]

    each = {"value": f, "reverse": reverse, "forward": along(f), "second": along(reverse)}
    found: dict[str, Callable[..., Any]] = {name: jax.jit(jax.vmap(function)) for name, function in each.items()}
    found["together"] = jax.jit(jax.vmap(lambda x, y: {name: g(x, y) for name, g in each.items()}))
    return found


def own_names() -> Any:
    """JAX's own functions of which the namespace of a neutral loss has other forms."""
    return SimpleNamespace(beta=jsp.beta, betaln=jsp.betaln)
