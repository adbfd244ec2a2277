"""Arrays of extended precision (``numpy.longdouble``), and what they hold of one problem."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError

Extended: TypeAlias = npt.NDArray[np.longdouble]
#: Loss, gradient, directional derivative and Hessian-vector product, by name of quantity and parameter:
#: ``blocks["gradient", "W"]`` has the shape of ``W``; the scalars stand under the parameter ``""``.
Blocks: TypeAlias = dict[tuple[str, str], Extended]


def require_extended_precision() -> None:
    """Raise unless ``numpy.longdouble`` is wider than float64, as it is on x86-64.

    Raises:
        InputError: on a platform whose long double is a double.
    """
    if np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps:
        raise InputError(
            "numpy.longdouble",
            got="64 bits on this platform",
            expected="extended precision, as the reference needs",
            cure="Run on x86-64.",
        )
