"""PyTorch: the tape of a sum, ``torch.func.jvp``, and the tape twice, which is what its users get as a Hessian."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch.func import jvp

from gradparity.backends.protocol import Array


def derivatives(f: Callable[[Array, Array], Array]) -> dict[str, Callable[..., Any]]:
    """The value and the derivatives of ``f(x, y)`` in ``x``, eager."""

    def slope(x: Array, y: Array, *, again: bool = False) -> tuple[Array, Array]:
        leaf = x.detach().requires_grad_()
        total = f(leaf, y).sum()
        if not total.requires_grad:  # no operation leads from x to it: piecewise constant
            return leaf, torch.zeros_like(x)
        (found,) = torch.autograd.grad(total, leaf, create_graph=again, materialize_grads=True)
        return leaf, found

    def second(x: Array, y: Array) -> Array:
        leaf, first = slope(x, y, again=True)
        if not first.requires_grad:
            return torch.zeros_like(x)
        first.sum().backward()  # autograd.grad() would pass by what @once_differentiable refuses, and give 0
        return torch.zeros_like(x) if leaf.grad is None else leaf.grad

    def forward(x: Array, y: Array) -> Array:
        return jvp(lambda x: f(x, y), (x,), (torch.ones_like(x),))[1]

    return {"value": f, "reverse": lambda x, y: slope(x, y)[1], "forward": forward, "second": second}


def own_names() -> Any:
    """PyTorch's own functions of which the namespace of a neutral loss has other forms."""
    return SimpleNamespace(hard_sigmoid=F.hardsigmoid, hard_silu=F.hardswish, softplus=F.softplus)
