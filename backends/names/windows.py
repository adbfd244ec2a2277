"""Convolution and pooling: their geometry, and what they are in terms of NumPy's names, for those who have these.

Images have shape (batch, channels, *sizes), in one dimension or more. Windows are gathered, and a convolution is the
matrix product of them with the kernels: a correlation, as everywhere in machine learning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = int | Sequence[int]
Padding: TypeAlias = int | str | Sequence[int | tuple[int, int]]


@dataclass(frozen=True)
class Geometry:
    """Where windows lie, dimension by dimension.

    Attributes:
        window: their lengths.
        stride: from one to the next.
        padding: elements added before and after.
        dilation: from one element of a window to the next.
        outputs: how many windows there are.
    """

    window: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    outputs: tuple[int, ...]

    def places(self, sizes: Sequence[int]) -> npt.NDArray[np.int64]:
        """Positions of each window's elements among the padded ones in C order; shape (*outputs, *window)."""
        padded = [n + sum(pair) for n, pair in zip(sizes, self.padding, strict=True)]
        place = np.zeros((), np.int64)
        for n, count, k, step, spread in zip(
            padded, self.outputs, self.window, self.stride, self.dilation, strict=True
        ):
            along = step * np.arange(count)[:, None] + spread * np.arange(k)
            place = place[..., None, None] * n + along
        dimensions = len(padded)
        return place.transpose([*range(0, 2 * dimensions, 2), *range(1, 2 * dimensions, 2)])


def geometry(
    sizes: Sequence[int], window: Sequence[int], stride: Numbers, padding: Padding, dilation: Numbers = 1
) -> Geometry:
    """Where windows of these lengths lie in images of these sizes.

    Args:
        sizes: of the images, without batch and channels.
        window: lengths of the windows.
        stride: one for all dimensions, or one for each.
        padding: one for all sides, one or (before, after) for each dimension, ``"valid"`` for none, or ``"same"`` for
            as many windows as strides fit into the sizes, of what that takes the larger half behind.
        dilation: as `stride`.

    Raises:
        ValueError: they do not fit.
    """
    count = len(window)
    steps, spreads = _each(stride, count, "stride"), _each(dilation, count, "dilation")
    reaches = [spread * (k - 1) + 1 for k, spread in zip(window, spreads, strict=True)]
    if len(sizes) != count:
        raise ValueError(f"windows of shape {tuple(window)} in images of shape {tuple(sizes)}: as many axes are needed")
    if padding == "same":
        totals = [
            max((-(-n // step) - 1) * step + reach - n, 0) for n, step, reach in zip(sizes, steps, reaches, strict=True)
        ]
        pairs = [(total // 2, total - total // 2) for total in totals]
    elif isinstance(padding, str):
        if padding != "valid":
            raise ValueError(f"padding: got {padding!r}, expected numbers, 'valid' or 'same'")
        pairs = [(0, 0)] * count
    else:
        each = [padding] * count if isinstance(padding, int) else list(padding)
        pairs = [(part, part) if isinstance(part, int) else (part[0], part[1]) for part in each]
    if len(pairs) != count or any(not part >= 0 for pair in pairs for part in pair):
        raise ValueError(f"padding: got {padding!r}, expected numbers of 0 or more for each of {count} dimensions")
    outputs = [
        (n + sum(pair) - reach) // step + 1 for n, pair, reach, step in zip(sizes, pairs, reaches, steps, strict=True)
    ]
    if any(n < 1 for n in outputs):
        raise ValueError(f"windows of shape {tuple(window)} do not fit into images of shape {tuple(sizes)}")
    return Geometry(tuple(window), steps, tuple(pairs), spreads, tuple(outputs))


def _each(value: Numbers, count: int, name: str) -> tuple[int, ...]:
    each = (value,) * count if isinstance(value, int) else tuple(value)
    if len(each) != count or any(part < 1 for part in each):
        raise ValueError(f"{name}: got {value!r}, expected numbers of 1 or more for each of {count} dimensions")
    return each


def of_convolution(x: Any, kernels: Any, stride: Numbers, padding: Padding, dilation: Numbers, groups: int) -> Geometry:
    """Where the kernels lie.

    Raises:
        ValueError: shapes that do not fit.
    """
    channels, outputs = x.shape[1] if len(x.shape) > 2 else 0, kernels.shape[0]
    if len(x.shape) < 3 or channels != groups * kernels.shape[1] or outputs % groups:
        raise ValueError(
            f"conv: images of shape {tuple(x.shape)} and kernels of shape {tuple(kernels.shape)} in {groups} groups "
            "do not fit: (batch, channels, *sizes) and (outputs, channels / groups, *lengths) are needed"
        )
    return geometry(x.shape[2:], kernels.shape[2:], stride, padding, dilation)


def of_pooling(x: Any, window: Numbers, stride: Numbers | None, padding: Padding) -> Geometry:
    """Where the windows lie, side by side without a stride.

    Raises:
        ValueError: shapes that do not fit.
    """
    sizes = x.shape[2:]
    if not sizes:
        raise ValueError(f"pooling: images of shape (batch, channels, *sizes) are needed, got {tuple(x.shape)}")
    lengths = _each(window, len(sizes), "window")
    return geometry(sizes, lengths, lengths if stride is None else stride, padding)


def functions(xp: Any, pad: Callable[[Any, Any, float], Any]) -> dict[str, Callable[..., Any]]:
    """Convolution and pooling by NumPy's names.

    Args:
        xp: a namespace that has them.
        pad: of an array, (before, after) for each axis, and what with.
    """

    def windows(x: Any, where: Geometry, filling: float) -> Any:
        """Shape (batch, channels, windows, elements)."""
        places = where.places(x.shape[2:]).reshape(math.prod(where.outputs), math.prod(where.window))
        if any(map(any, where.padding)):
            x = pad(x, [(0, 0), (0, 0), *where.padding], filling)
        return xp.reshape(x, (x.shape[0], x.shape[1], -1))[:, :, places]

    def pooled(reduce: Callable[..., Any], filling: float) -> Callable[..., Any]:
        def function(x: Any, window: Numbers, stride: Numbers | None = None, padding: Padding = 0) -> Any:
            where = of_pooling(x, window, stride, padding)
            out = reduce(windows(x, where, filling), axis=-1)
            return xp.reshape(out, (*x.shape[:2], *where.outputs))

        return function

    def conv(
        x: Any, kernels: Any, stride: Numbers = 1, padding: Padding = 0, dilation: Numbers = 1, groups: int = 1
    ) -> Any:
        where = of_convolution(x, kernels, stride, padding, dilation, groups)
        seen = windows(x, where, 0.0)
        batch, channels, count, elements = seen.shape
        seen = xp.reshape(seen, (batch, groups, channels // groups, count, elements))
        seen = xp.reshape(xp.transpose(seen, (0, 1, 3, 2, 4)), (batch, groups, count, channels // groups * elements))
        rows = xp.reshape(kernels, (groups, kernels.shape[0] // groups, -1))
        out = xp.matmul(seen, xp.transpose(rows, (0, 2, 1)))
        return xp.reshape(xp.transpose(out, (0, 1, 3, 2)), (batch, kernels.shape[0], *where.outputs))

    return {"avg_pool": pooled(xp.mean, 0.0), "conv": conv, "max_pool": pooled(xp.max, -math.inf)}
