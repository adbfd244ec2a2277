"""What PyTorch's fused operators compute, step by step, where its own decompositions lack it or take many steps more.

Every step is a call of PyTorch's, which a dispatch mode sees; values are those of the operator up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import torch

from gradparity.backends.protocol import Array

aten = torch.ops.aten

#: What is one step, whatever PyTorch's decompositions make of it.
ELEMENTARY = frozenset(("abs", "acos", "acosh", "add", "addr", "amax", "amin", "argmax", "argmin", "asin", "asinh",
                        "atan", "atan2", "atanh", "bmm", "cat", "ceil", "clamp", "clamp_max", "clamp_min", "cos",
                        "cosh", "cumprod", "cumsum", "digamma", "div", "dot", "eq", "erf", "erfc", "erfinv", "exp",
                        "exp2", "expm1", "floor", "gather", "ge", "gt", "index", "index_put", "index_select", "le",
                        "lgamma", "log", "log10", "log1p", "log2", "logical_and", "logical_not", "logical_or", "lt",
                        "masked_fill", "matmul", "max", "maximum", "min", "minimum", "mm", "mul", "mv", "ne", "neg",
                        "pow", "prod", "reciprocal", "relu", "rot90", "round", "rsqrt", "rsub", "scatter", "sign",
                        "sin", "sinh", "sqrt", "square", "stack", "sub", "sum", "tan", "tanh", "trace", "tril",
                        "triu", "trunc", "vdot", "where"))  # fmt: skip


def _dimensions(x: Array, dim: Any) -> list[int]:
    return list(range(x.ndim)) if dim is None or dim == [] else list(dim)


def _mean(x: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    total = aten.sum.dim_IntList(x, _dimensions(x, dim), keepdim, dtype=dtype)
    return total / (x.numel() // max(total.numel(), 1))


def _variance(x: Array, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Array:
    """``sum((x - mean)^2) / (n - correction)``."""
    if x.is_complex():
        return NotImplemented
    mean = aten.mean.dim(x, _dimensions(x, dim), True)
    centred = x - mean
    squares = aten.sum.dim_IntList(centred * centred, _dimensions(x, dim), keepdim)
    return squares / max(x.numel() // max(mean.numel(), 1) - (1 if correction is None else correction), 0)


def _variance_and_mean(x: Array, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    variance = aten.var.correction(x, dim, correction=correction, keepdim=keepdim)
    return variance, aten.mean.dim(x, _dimensions(x, dim), keepdim)


def _deviation(x: Array, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Array:
    return aten.sqrt.default(aten.var.correction(x, dim, correction=correction, keepdim=keepdim))


def _normalised(x: Array, dim: list[int], eps: float) -> tuple[Array, Array, Array]:
    variance = aten.var.correction(x, dim, correction=0, keepdim=True)
    mean = aten.mean.dim(x, dim, True)
    scale = aten.rsqrt.default(variance + eps)
    return (x - mean) * scale, mean, scale


def _scaled(x: Array, weight: Array | None, bias: Array | None) -> Array:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _layer_norm(x: Array, shape: Any, weight: Array | None, bias: Array | None, eps: float) -> Any:
    out, mean, scale = _normalised(x, list(range(x.ndim - len(shape), x.ndim)), eps)
    return _scaled(out, weight, bias), mean, scale


def _group_norm(
    x: Array, weight: Array | None, bias: Array | None, rows: int, channels: int, size: int, groups: int, eps: float
) -> Any:
    grouped = x.reshape(rows, groups, channels // groups * size)
    out, mean, scale = _normalised(grouped, [2], eps)
    each = (channels, *(1 for _ in x.shape[2:]))
    weight, bias = (None if w is None else w.reshape(each) for w in (weight, bias))
    return _scaled(out.reshape(x.shape), weight, bias), mean.reshape(rows, groups), scale.reshape(rows, groups)


def _gelu(x: Array, *, approximate: str = "none") -> Array:
    if approximate == "tanh":
        inner = sqrt(2 / pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + torch.tanh(inner))
    return 0.5 * x * (1 + torch.erf(x * sqrt(0.5)))


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + torch.exp(-x))


def _silu(x: Array) -> Array:
    return x * torch.sigmoid(x)


def _softplus(x: Array, beta: float = 1, threshold: float = 20) -> Array:
    scaled = x if beta == 1 else x * beta
    soft = torch.log1p(torch.exp(scaled))
    return torch.where(scaled > threshold, x, soft if beta == 1 else soft / beta)


def _logsumexp(x: Array, dim: Any, keepdim: bool = False) -> Array:
    top = aten.amax.default(x, dim, True)
    top = torch.where(top.abs() == torch.inf, 0, top)
    total = aten.sum.dim_IntList(torch.exp(x - top), dim, keepdim)
    return torch.log(total) + (top if keepdim else top.reshape(total.shape))


def _softmax(x: Array, dim: int, _: bool) -> Array:
    weights = torch.exp(x - aten.amax.default(x, [dim], True))
    return weights / aten.sum.dim_IntList(weights, [dim], True)


def _log_softmax(x: Array, dim: int, _: bool) -> Array:
    shifted = x - aten.amax.default(x, [dim], True)
    return shifted - torch.log(aten.sum.dim_IntList(torch.exp(shifted), [dim], True))


def _vector_norm(x: Array, order: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    if order != 2 or dtype is not None:
        return NotImplemented
    return torch.sqrt(aten.sum.dim_IntList((x * x.conj()).real if x.is_complex() else x * x, dim, keepdim))


def _product_and_sum(x: Array, a: Array, b: Array, *, beta: Any = 1, alpha: Any = 1) -> Array:
    if beta != 1 or alpha != 1:
        return NotImplemented
    return x + (a @ b)


def _lerp(start: Array, end: Array, weight: Any) -> Array:
    return start + weight * (end - start)


def _convolution(x: Array, weight: Array, bias: Array | None, *options: Any) -> Array:
    if bias is None:
        return NotImplemented
    straight = aten.convolution.default(x, weight, None, *options)
    return straight + bias.reshape(-1, *(1 for _ in weight.shape[2:]))


def _attention(
    q: Array,
    k: Array,
    v: Array,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    attn_mask: Any = None,
    scale: Any = None,
) -> Any:
    """``softmax(scale q k^T + mask) v``, and the logarithm of the softmax's sums."""
    if dropout:
        return NotImplemented
    scores = (q @ k.transpose(-2, -1)) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        below = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        scores = scores.masked_fill(~below, -torch.inf)
    if attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, -1) @ v, torch.logsumexp(scores, -1)


RULES: dict[Any, Callable[..., Any]] = {
    aten.mean.default: _mean,
    aten.mean.dim: _mean,
    aten.var.correction: _variance,
    aten.var_mean.correction: _variance_and_mean,
    aten.std.correction: _deviation,
    torch.ops.prims.var.default: lambda x, dim, correction=1, **_: _variance(x, dim, correction=correction),
    aten.native_layer_norm.default: _layer_norm,
    aten.native_group_norm.default: _group_norm,
    aten.gelu.default: _gelu,
    aten.sigmoid.default: _sigmoid,
    aten.silu.default: _silu,
    aten.softplus.default: _softplus,
    aten.logsumexp.default: _logsumexp,
    aten._softmax.default: _softmax,
    aten._log_softmax.default: _log_softmax,
    aten.linalg_vector_norm.default: _vector_norm,
    aten.addmm.default: _product_and_sum,
    aten.baddbmm.default: _product_and_sum,
    aten.lerp.Scalar: _lerp,
    aten.lerp.Tensor: _lerp,
    aten.addcmul.default: lambda x, a, b, *, value=1: x + (a * b if value == 1 else value * a * b),
    aten.addcdiv.default: lambda x, a, b, *, value=1: x + (a / b if value == 1 else value * (a / b)),
    aten.convolution.default: _convolution,
    aten._scaled_dot_product_flash_attention_for_cpu.default: _attention,
}
