"""Names that ``array_api_compat.torch`` lacks, or whose options are not NumPy's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat.torch as base
import torch
import torch.nn.functional as F

from gradparity.backends.names import torch_more, windows
from gradparity.backends.names.composed import require_full_rank
from gradparity.backends.names.torch_calls import CALLS


def _axes(x: Any, axis: Any) -> Any:
    return tuple(range(x.ndim)) if axis is None else axis


def _along(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of torch's along one axis, for several: they are made one."""

    def wrapper(x: Any, axis: Any = -1) -> Any:
        if isinstance(axis, int):
            return function(x, dim=axis)
        axes = [i % x.ndim for i in _axes(x, axis)]
        order = [i for i in range(x.ndim) if i not in axes] + axes
        moved = torch.permute(x, order)
        out = function(moved.reshape(*moved.shape[: x.ndim - len(axes)], -1), dim=-1).reshape(moved.shape)
        return torch.permute(out, [order.index(i) for i in range(x.ndim)])

    return wrapper


def logsumexp(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """``log sum e^x`` over the axes."""
    return torch.logsumexp(x, _axes(x, axis), keepdims)


def softplus(x: Any) -> Any:
    """``log(1 + e^x)``: torch's own takes ``x`` for it from 20 on, which is off by 2e-9."""
    return F.softplus(x, threshold=40)


def gelu(x: Any, approximate: bool = False) -> Any:
    """``x Phi(x)``, or its approximation by ``tanh``."""
    return F.gelu(x, approximate="tanh" if approximate else "none")


def hard_sigmoid(x: Any) -> Any:
    """``min(max(x + 3, 0), 6) / 6``: torch's own has no second derivative."""
    return F.relu6(x + 3) / 6


def one_hot(labels: Any, classes: int, dtype: Any = None) -> Any:
    """Ones at the labels; torch's own refuses labels out of range."""
    found = labels[..., None] == torch.arange(classes, device=labels.device)
    return found.to(torch.float32 if dtype is None else dtype)


def cumlogsumexp(x: Any, axis: int = -1) -> Any:
    """Running ``log sum e^x``: torch's own differentiates positive and negative cotangents apart, and cancels."""
    rows: list[Any] = []
    for row in torch.unbind(x, axis):
        rows.append(torch.logaddexp(rows[-1], row) if rows else row)
    return torch.stack(rows, axis)


def betaln(a: Any, b: Any) -> Any:
    """``log |Gamma(a) Gamma(b) / Gamma(a + b)|``."""
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def beta(a: Any, b: Any) -> Any:
    """``Gamma(a) Gamma(b) / Gamma(a + b)``."""
    return _gamma_sign(a) * _gamma_sign(b) * _gamma_sign(a + b) * torch.exp(betaln(a, b))


def _gamma_sign(x: Any) -> Any:
    return torch.where(x < 0, 1 - 2 * torch.remainder(torch.floor(x.detach()), 2), 1.0)


def _surrounded(x: Any, where: windows.Geometry, filling: float) -> Any:
    pairs = [n for pair in reversed(where.padding) for n in pair]
    return F.pad(x, pairs, value=filling) if any(pairs) else x


def conv(x: Any, kernels: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """``conv1d`` to ``conv3d``."""
    where = windows.of_convolution(x, kernels, stride, padding, dilation, groups)
    convolution = (F.conv1d, F.conv2d, F.conv3d)[len(where.window) - 1]
    even = all(before == after for before, after in where.padding)
    added = [before for before, _ in where.padding] if even else 0
    x = x if even else _surrounded(x, where, 0.0)
    return convolution(x, kernels, None, where.stride, added, where.dilation, groups)


def avg_pool(x: Any, window: Any, stride: Any = None, padding: Any = 0) -> Any:
    """``avg_pool1d`` to ``avg_pool3d``, padding counted."""
    where = windows.of_pooling(x, window, stride, padding)
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(where.window) - 1]
    return pool(_surrounded(x, where, 0.0), where.window, where.stride)


def max_pool(x: Any, window: Any, stride: Any = None, padding: Any = 0) -> Any:
    """``max_pool1d`` to ``max_pool3d``."""
    where = windows.of_pooling(x, window, stride, padding)
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(where.window) - 1]
    return pool(_surrounded(x, where, -math.inf), where.window, where.stride)


def solve_triangular(a: Any, b: Any, *, lower: bool = False, unit_diagonal: bool = False) -> Any:
    """``torch.linalg``'s."""
    right = b[:, None] if b.ndim == 1 else b
    out = torch.linalg.solve_triangular(a, right, upper=not lower, unitriangular=unit_diagonal)
    return out[..., 0] if b.ndim == 1 else out


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """``torch.linalg``'s, which has the singular values alone under another name."""
    return torch.linalg.svd(a, full_matrices) if compute_uv else torch.linalg.svdvals(a)


def qr(a: Any, mode: str = "reduced") -> Any:
    """``torch.linalg``'s, R alone where that is asked for."""
    found = torch.linalg.qr(a, "reduced" if mode == "r" else mode)
    return found.R if mode == "r" else found


def cond(a: Any, p: Any = None) -> Any:
    """``torch.linalg``'s, whose second derivative fails for norms that are not by singular values."""
    if p in (None, 2, -2):
        return torch.linalg.cond(a, p)
    return torch.linalg.matrix_norm(a, p) * torch.linalg.matrix_norm(torch.linalg.inv(a), p)


def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """``torch.linalg``'s, of a vector too; the driver for full rank, whose derivatives it has."""
    require_full_rank(a.detach(), rcond, torch.linalg.svdvals)
    right = b[:, None] if b.ndim == 1 else b
    x = torch.linalg.lstsq(a, right).solution
    rest = right - a @ x
    residuals = torch.sum(rest * rest, 0) if a.shape[0] > a.shape[1] else right[:0, 0]
    return x[:, 0] if b.ndim == 1 else x, residuals, min(a.shape), torch.linalg.svdvals(a)


NAMES: dict[str, Any] = CALLS | torch_more.NAMES | {
    "bool_": torch.bool, "copy": torch.clone, "identity": torch.eye, "mod": base.remainder,
    "ndarray": torch.Tensor, "power": base.pow,
    **{name: getattr(F, name) for name in ("celu", "elu", "mish", "relu", "relu6", "selu", "silu")},
    **{name: getattr(torch.special, name) for name in (
        "digamma", "entr", "erf", "erfc", "erfinv", "gammaln", "i0", "i0e", "i1", "i1e", "log_ndtr", "logit", "ndtr",
        "ndtri", "polygamma", "sinc",
    )},
    "beta": beta, "betaln": betaln, "cumlogsumexp": cumlogsumexp,
    "gelu": gelu, "glu": lambda x, axis=-1: F.glu(x, axis), "hard_sigmoid": hard_sigmoid,
    "hard_silu": lambda x: x * hard_sigmoid(x),
    "hard_tanh": F.hardtanh, "leaky_relu": F.leaky_relu, "log_sigmoid": F.logsigmoid,
    "log_softmax": _along(torch.log_softmax), "logsumexp": logsumexp, "one_hot": one_hot, "sigmoid": torch.sigmoid,
    "soft_sign": F.softsign, "softmax": _along(torch.softmax), "softplus": softplus,
    "avg_pool": avg_pool, "conv": conv, "max_pool": max_pool, "solve_triangular": solve_triangular,
    "expm": torch.linalg.matrix_exp,
    "linalg.cond": cond, "linalg.eigvalsh": lambda a, UPLO="L": torch.linalg.eigvalsh(a, UPLO=UPLO),
    "linalg.eigh": lambda a, UPLO="L": torch.linalg.eigh(a, UPLO=UPLO), "linalg.lstsq": lstsq, "linalg.qr": qr,
    "linalg.pinv": lambda a, rcond=None, *, rtol=None: torch.linalg.pinv(a, rtol=rcond if rtol is None else rtol),
    "linalg.svd": svd,
}  # fmt: skip
#: What is more than another name or other options.
OURS = torch_more.OURS | {
    "beta", "betaln", "cumlogsumexp", "hard_sigmoid", "hard_silu", "linalg.cond", "softplus",
}  # fmt: skip
