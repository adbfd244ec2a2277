"""What a loss with a mistake in it is written with: each framework's own operators, casts, detach and custom rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

Rule = Callable[[Any], Any]
Slope = Callable[..., Any]


@dataclass(frozen=True)
class Toolbox:
    """One framework. ``primitive(f, slope)`` is ``f`` whose derivative is said to be ``slope``, in every mode.

    It may be called with more arguments than ``f`` has, which ``slope`` gets too: factors of a slope that is off.
    """

    xp: Any
    detach: Rule
    float32: Rule  #: cast down and up again, differentiably
    softplus: Rule
    sigmoid: Rule
    primitive: Callable[[Rule, Slope], Callable[..., Any]]


@cache
def toolbox(name: str) -> Toolbox:
    """The toolbox of a framework that differentiates."""
    pytest.importorskip(name)
    return {"autograd": _autograd, "jax": _jax, "torch": _torch}[name]()


def _autograd() -> Toolbox:
    import autograd.numpy as anp
    from autograd.extend import defjvp, defvjp, primitive
    from autograd.tracer import getval

    from gradparity.backends.autograd_backend import sigmoid, softplus

    def ruled(f: Rule, slope: Slope) -> Callable[..., Any]:
        g = primitive(lambda m, *_: f(m))
        defvjp(g, lambda ans, m, *more: lambda cotangent: cotangent * slope(m, *more), argnums=(0,))
        defjvp(g, lambda tangent, ans, m, *more: tangent * slope(m, *more), argnums=(0,))
        return g

    cast = primitive(lambda m: m.astype("float32").astype("float64"))
    defvjp(cast, lambda ans, m: lambda g: cast(g))
    defjvp(cast, lambda g, ans, m: cast(g))
    return Toolbox(anp, getval, cast, softplus, sigmoid, ruled)


def _jax() -> Toolbox:
    import jax
    import jax.numpy as jnp

    from gradparity.backends.jax_backend import sigmoid, softplus

    def ruled(f: Rule, slope: Slope) -> Callable[..., Any]:
        g = jax.custom_jvp(lambda m, *_: f(m))
        g.defjvp(lambda primals, tangents: (g(*primals), tangents[0] * slope(*primals)))
        return g

    def cast(m: Any) -> Any:
        return m.astype("float32").astype("float64")

    return Toolbox(jnp, jax.lax.stop_gradient, cast, softplus, sigmoid, ruled)


def _torch() -> Toolbox:
    import torch

    from gradparity.backends.torch_eager import curved_softplus

    def ruled(f: Rule, slope: Slope) -> Callable[..., Any]:
        class Ruled(torch.autograd.Function):
            @staticmethod
            def forward(m: Any, *_: Any) -> Any:
                return f(m)

            @staticmethod
            def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004 - torch calls it by position
                ctx.save_for_backward(*inputs)
                ctx.save_for_forward(*inputs)

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g * slope(*ctx.saved_tensors), *[None] * (len(ctx.saved_tensors) - 1)

            @staticmethod
            def jvp(ctx: Any, tangent: Any, *_: Any) -> Any:
                return tangent * slope(*ctx.saved_tensors)

        return Ruled.apply

    def sigmoid(m: Any) -> Any:
        t = torch.exp(-torch.abs(m))
        return torch.where(m >= 0, 1, t) / (1 + t)

    return Toolbox(torch, lambda m: m.detach(), lambda m: m.float().double(), curved_softplus, sigmoid, ruled)
