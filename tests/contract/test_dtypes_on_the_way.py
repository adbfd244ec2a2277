"""Which dtypes values have on the way to a loss: what names a lower precision, and clears a mere rounding of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from gradparity.backends import autograd_backend, jax_backend, torch_eager

Model = Callable[[Any, Any], Any]

CASES: dict[str, tuple[Any, Model, set[str]]] = {
    "torch, all of it": (torch_eager, lambda p, d: (p["w"] * d["x"]).float().sum().double(), {"float32"}),
    "torch, half": (torch_eager, lambda p, d: torch.tanh(p["w"]).half().double().sum(), {"float16"}),
    "torch, data only": (torch_eager, lambda p, d: (d["x"].bfloat16().double() * p["w"]).sum(), {"bfloat16"}),
    "torch, a custom forward": (torch_eager, lambda p, d: Narrow.apply(p["w"]).sum(), {"float32"}),
    "torch, none": (torch_eager, lambda p, d: torch.round(p["w"] * d["x"], decimals=7).sum(), set()),
    "jax, in jit": (
        jax_backend,
        lambda p, d: jax.jit(lambda w: w.astype(jnp.float32))(p["w"]).sum() * 1.0,
        {"float32"},
    ),
    "jax, in a scan": (
        jax_backend,
        lambda p, d: jax.lax.scan(
            lambda c, x: (c + x.astype(jnp.bfloat16).astype(c.dtype), 0), 0.0 * p["w"][0], p["w"]
        )[0],
        {"bfloat16"},
    ),
    "jax, in a branch": (
        jax_backend,
        lambda p, d: jax.lax.cond(
            d["x"][0] > 0, lambda w: w.astype(jnp.float16).astype(w.dtype), lambda w: w, p["w"]
        ).sum(),
        {"float16"},
    ),
    "jax, none": (jax_backend, lambda p, d: jnp.round(p["w"] * d["x"], 7).sum(), set()),
    "autograd": (
        autograd_backend,
        lambda p, d: anp.sum((p["w"] * d["x"]).astype(np.float32).astype(float)),
        {"float32"},
    ),
    "autograd, none": (autograd_backend, lambda p, d: anp.sum(anp.tanh(p["w"]) * d["x"]), set()),
}


class Narrow(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Any) -> Any:
        return x.float().double()

    @staticmethod
    def backward(_: Any, g: Any) -> Any:
        return g


@pytest.mark.parametrize("name", CASES)
def test_a_lower_precision_is_seen_where_a_value_has_it_and_nowhere_else(name: str) -> None:
    module, loss, narrow = CASES[name]
    backend = module.backend
    backend.configure(1)
    params, data = backend.put({"w": np.array([0.3, -1.2, 2.5])}), backend.put({"x": np.array([1.0, 0.1, -0.7])})
    assert backend.dtypes(loss, params, data) & {"float32", "float16", "bfloat16"} == narrow
