"""Convolution and pooling: windows gathered, their matrix product with kernels, their mean and largest element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from gradparity.backends.names import windows
from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.xp.contraction import matmul
from gradparity.truth.xp.kinks import choose
from gradparity.truth.xp.reductions import amax, mean
from gradparity.truth.xp.shaping import reshape, transpose


def _surrounded(x: Array, padding: Sequence[tuple[int, int]], filling: float) -> Array:
    """`x` with (before, after) elements more along each axis."""
    within = np.pad(np.ones(x.shape, bool), padding)
    nearest = [
        np.clip(np.arange(-before, n + after), 0, n - 1) for n, (before, after) in zip(x.shape, padding, strict=True)
    ]
    return choose(within, x[np.ix_(*nearest)], asarray(filling))


_MADE = windows.functions(
    SimpleNamespace(reshape=reshape, transpose=transpose, matmul=matmul, mean=mean, max=amax), _surrounded
)


def conv(
    x: Any, kernels: Any, stride: windows.Numbers = 1, padding: windows.Padding = 0, dilation: windows.Numbers = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    """Correlation of images (batch, channels, *sizes) with kernels (outputs, channels / groups, *lengths).

    Padding is by zeros: one number for all sides, one or (before, after) for each dimension, ``"valid"`` or ``"same"``.
    """
    out: Array = _MADE["conv"](asarray(x), asarray(kernels), stride, padding, dilation, groups)
    return out


def avg_pool(
    x: Any, window: windows.Numbers, stride: windows.Numbers | None = None, padding: windows.Padding = 0
) -> Array:
    """Means of windows of images (batch, channels, *sizes), side by side without a stride; padding counts as zeros."""
    out: Array = _MADE["avg_pool"](asarray(x), window, stride, padding)
    return out


def max_pool(
    x: Any, window: windows.Numbers, stride: windows.Numbers | None = None, padding: windows.Padding = 0
) -> Array:
    """Largest elements of windows of images (batch, channels, *sizes), padding never among them; ties are kinks."""
    out: Array = _MADE["max_pool"](asarray(x), window, stride, padding)
    return out


FUNCTIONS: dict[str, Callable[..., Any]] = {"avg_pool": avg_pool, "conv": conv, "max_pool": max_pool}
