"""Parameters that are symmetric matrices: what a loss reads of them, and in which directions they move."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: Roundings that a symmetric matrix may be off by: a training run adds a symmetric gradient to it, rounded each time.
ROUNDINGS = 2.0**10


def is_symmetric(value: npt.NDArray[Any]) -> bool:
    """Whether a parameter is a symmetric matrix, to rounding, with something beside its diagonal."""
    if value.ndim != 2 or value.shape[0] != value.shape[1] or value.dtype.kind != "f" or not value.size:
        return False
    allowed = ROUNDINGS * np.finfo(value.dtype).eps * np.abs(value).max()
    beside = np.abs(value - np.diag(np.diagonal(value)))
    return bool((np.abs(value - value.T) <= allowed).all() and beside.max() > allowed)


def symmetrised(direction: npt.NDArray[Any], value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A direction that a parameter moves in: symmetric where the parameter is, whichever triangle a loss reads."""
    if not is_symmetric(value):
        return direction
    return np.asarray(np.tril(direction) + np.tril(direction, -1).T)
