"""PyTorch: ``autograd.Function`` identities that ``torch.func`` can transform, and no compiler while they record.

A compiled loss is evaluated eagerly: the tape and ``torch.func`` are what a compiler starts from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from gradparity.backends.protocol import Array, Data, HostArray, Loss, Params, Sink
from gradparity.backends.taps import Passage


class ValueThrough(torch.autograd.Function):
    """``x``, reported. The copy may be changed in place, which a view that a Function returns may not."""

    @staticmethod
    def forward(x: Array, passage: Passage) -> Array:
        passage.occurrence = passage.sink.value(passage.name, _host(x))
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Array) -> None:
        x, ctx.passage = inputs
        ctx.save_for_backward(x.new_zeros(()))  # batched as x is, and nothing that an in-place operation reaches

    @staticmethod
    def backward(ctx: Any, g: Array) -> Any:
        return CotangentThrough.apply(g, *ctx.saved_tensors, ctx.passage), None

    @staticmethod
    def jvp(ctx: Any, tangent: Array, _: None) -> Array:
        return tangent.clone()

    @staticmethod
    def vmap(info: Any, axes: Any, x: Array, passage: Passage) -> Any:
        return ValueThrough.apply(x.movedim(axes[0], 0), passage), 0


class CotangentThrough(torch.autograd.Function):
    """``g``, reported as the cotangent; a second derivative passes unseen."""

    @staticmethod
    def forward(g: Array, marker: Array, passage: Passage) -> Array:
        passage.sink.cotangent(passage.name, passage.occurrence, _host(g.conj()), tuple(marker.shape))
        return g.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Array) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gg: Array) -> Any:
        return gg, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Array, *_: None) -> Array:
        return tangent.clone()

    @staticmethod
    def vmap(info: Any, axes: Any, g: Array, marker: Array, passage: Passage) -> Any:
        g, marker = (
            x.unsqueeze(0) if axis is None else x.movedim(axis, 0)
            for x, axis in zip((g, marker), axes[:2], strict=True)
        )
        return CotangentThrough.apply(g.expand(info.batch_size, *g.shape[1:]), marker, passage), 0


def _host(x: Array) -> HostArray:
    """A copy as a host array; bfloat16 and its like, which NumPy lacks, as float32."""
    x = x.detach().cpu().resolve_conj().resolve_neg()
    if x.dtype.is_floating_point and x.dtype not in (torch.float64, torch.float32, torch.float16):
        x = x.float()
    return np.array(x.numpy(force=True))


def context(sink: Sink) -> AbstractContextManager[Any]:
    """No function compiled by ``torch.compile`` runs compiled; where none is, its import is spared."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def probe(sink: Sink, name: str, value: Any) -> Any:
    """The value, reported."""
    if torch.compiler.is_compiling():  # by a compiler that arrived after `context`
        return value
    if not isinstance(value, torch.Tensor):
        sink.value(name, np.asarray(value))
        return value
    return ValueThrough.apply(value, Passage(sink, name))


def pull_back(loss: Loss, params: Params, data: Data) -> tuple[Array, Callable[[], None]]:
    """The loss on leaves, and its backward pass by the tape."""
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    value = loss(leaves, data)

    def backward() -> None:
        if value.requires_grad:  # else nothing depends on the parameters, and no cotangent arrives anywhere
            torch.autograd.grad(value, tuple(leaves.values()), allow_unused=True)

    return value, backward
