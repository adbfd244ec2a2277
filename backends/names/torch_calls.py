"""Functions that torch has, as NumPy's users call them: axes by position, NumPy's defaults, its names of options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as base
import torch


def _reduction(name: str) -> Callable[..., Any]:
    """The array API's, whose axis may be given by position."""
    function = getattr(base, name)

    def wrapper(x: Any, axis: Any = None, **options: Any) -> Any:
        return function(x, axis=axis, **options)

    return wrapper


def _spread(name: str) -> Callable[..., Any]:
    """A variance or its root, whose correction may be called ``ddof``."""
    function = getattr(base, name)

    def wrapper(x: Any, axis: Any = None, *, correction: float = 0, ddof: float | None = None, **options: Any) -> Any:
        return function(x, axis=axis, correction=correction if ddof is None else ddof, **options)

    return wrapper


def _running(function: Callable[..., Any]) -> Callable[..., Any]:
    """Along an axis, or of the flattened array."""

    def wrapper(x: Any, axis: int | None = None) -> Any:
        return function(torch.ravel(x), 0) if axis is None else function(x, axis)

    return wrapper


def _triangle(name: str) -> Callable[..., Any]:
    function = getattr(base, name)
    return lambda x, k=0: function(x, k=k)


def squeeze(x: Any, axis: Any = None) -> Any:
    """Without its axes of length one, or some of them."""
    return torch.squeeze(x) if axis is None else base.squeeze(x, axis)


def transpose(x: Any, axes: Any = None) -> Any:
    """Its axes in another order: reversed, if none is given."""
    return torch.permute(x, tuple(range(x.ndim))[::-1] if axes is None else tuple(axes))


def reshape(x: Any, shape: Any, **options: Any) -> Any:
    """The same elements in another shape, a number standing for one axis."""
    return base.reshape(x, (shape,) if isinstance(shape, int) else tuple(shape), **options)


def tile(x: Any, repeats: Any) -> Any:
    """Copies side by side."""
    return torch.tile(x, (repeats,) if isinstance(repeats, int) else tuple(repeats))


def dot(a: Any, b: Any) -> Any:
    """NumPy's: the last axis of `a` with the last but one of `b`."""
    if not a.ndim or not b.ndim:
        return a * b
    return torch.tensordot(a, b, dims=([a.ndim - 1], [max(b.ndim - 2, 0)]))


CALLS: dict[str, Any] = {
    **{name: _reduction(name) for name in (
        "all", "any", "argmax", "argmin", "flip", "max", "mean", "min", "prod", "sum",
    )},
    "cumprod": _running(torch.cumprod), "cumsum": _running(torch.cumsum), "dot": dot, "reshape": reshape,
    "squeeze": squeeze, "std": _spread("std"), "tile": tile, "transpose": transpose, "tril": _triangle("tril"),
    "triu": _triangle("triu"), "var": _spread("var"),
}  # fmt: skip
