"""What a loss is evaluated on: its parameters as series along a direction, and its data as constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.trees import leaves, map_tree
from gradparity.model_spec.user.scalar import require_scalar
from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.balls import Coefficient
from gradparity.truth.xp.namespace import xp

Loss: TypeAlias = Callable[[Any, Any, Any], Any]
#: The Taylor coefficients of one parameter.
Line: TypeAlias = tuple[Coefficient, ...]


def lines_of(
    params: Any, direction: Any, convert: Callable[[Any], Coefficient], *, still: bool = True
) -> dict[str, Line]:
    """Every parameter's series ``p + t v``, by path; without a direction, p alone.

    Args:
        params: tree of arrays.
        direction: tree like it, or None.
        convert: arrays to coefficients.
        still: keep a velocity of zero, so that a tie is seen to depend on a parameter that does not move.

    Returns:
        A tuple of coefficients for each path.

    Raises:
        InputError: the direction does not fit the parameters.
    """
    known = dict(leaves(params))
    if direction is None:
        return {path: (convert(leaf),) for path, leaf in known.items()}
    velocities = dict(leaves(direction))
    if set(velocities) != set(known):
        raise InputError("direction", got=sorted(velocities), expected=str(list(known)))
    lines: dict[str, Line] = {}
    for path, leaf in known.items():
        got, expected = np.shape(velocities[path]), np.shape(leaf)
        if got != expected:
            raise InputError(f"direction at {path}", got=f"shape {got}", expected=f"shape {expected}")
        moves = still or np.any(np.asarray(velocities[path]) != 0)
        lines[path] = (convert(leaf), convert(velocities[path])) if moves else (convert(leaf),)
    return lines


def is_numeric(leaf: Any) -> bool:
    """What a loss may compute with, as opposed to sizes, names and flags, which stay Python values."""
    return isinstance(leaf, np.ndarray | np.generic | float) and np.asarray(leaf).dtype.kind in "biuf"


def constant(leaf: Any) -> Any:
    """A leaf of the data in the arithmetic under way."""
    return asarray(leaf) if is_numeric(leaf) else leaf


def evaluated(loss: Loss, params: Any, inputs: dict[str, Any], data: Any, namespace: Any = xp) -> Array:
    """The loss of `inputs`, by path, in a tree like `params`, by the names of a namespace.

    Raises:
        InputError: it is no scalar, as frameworks take it: a real array of shape ``()``.
    """
    # Rebuilt for each pass: a loss that writes into its own dict must not change the next pass.
    found = loss(map_tree(lambda path, _: inputs[path], params), map_tree(lambda _, leaf: leaf, data), namespace)
    require_scalar("loss", found)
    return asarray(found)
