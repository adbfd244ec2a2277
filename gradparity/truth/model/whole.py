"""Whole numbers of the data: exact in the truth, and in frameworks those of a dtype that ends somewhere.

``x - 150`` of uint8 is 206 where x is 100, in NumPy, JAX and PyTorch alike, and -50 in the truth. Whether a loss gets
there is seen from NumPy's own value of it, with the data as they are and with all of them int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.backends.names import numpy_names, widened
from gradparity.model_spec.trees import leaves, map_tree
from gradparity.truth.derivatives.inputs import Loss

#: Relative difference of two values of a loss that is no matter of another order of roundings.
ANOTHER = 1e-4


def wrapped(loss: Loss, params: Any, data: Any) -> tuple[str, float] | None:
    """What wraps around, in words, and the loss that comes of it; None where nothing is seen to.

    Args:
        loss: neutral loss.
        params: tree of arrays.
        data: tree of arrays and plain values.
    """
    dtypes = {path: leaf.dtype for path, leaf in leaves(data) if isinstance(leaf, np.ndarray)}
    narrow = [f"{path} ({dtype})" for path, dtype in dtypes.items() if dtype.kind in "iu" and dtype.itemsize < 8]
    if not narrow:
        return None

    def wide(_: str, leaf: Any) -> Any:
        return leaf.astype(np.int64) if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iu" else leaf

    xp = widened(np, numpy_names.NAMES)
    try:
        with np.errstate(all="ignore"):
            as_they_are = float(loss(map_tree(_copied, params), map_tree(_copied, data), xp))
            exact = float(loss(map_tree(_copied, params), map_tree(wide, data), xp))
    except Exception:  # whatever the user's code raises: a framework's own refusal is told where it is compared
        return None
    if not np.isfinite([as_they_are, exact]).all() or abs(as_they_are - exact) <= ANOTHER * abs(exact):
        return None
    what = ", ".join(narrow)
    return f"whole numbers that wrap around: {what}; convert them to floats before computing with them", as_they_are


def _copied(_: str, leaf: Any) -> Any:
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf
