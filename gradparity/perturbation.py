"""The noise floor of a model that no formula is known of: how far a backend's own answers move with its inputs. Pure.

Every input moves by one rounding, up or down at random, a few seeded times, and the backend evaluates each. The root
mean square of the moves, with the rounding of the entry itself, is its floor. The backend's own roundings fall anew in
every draw, so that they are in it too, but only as far as they are random: of sums over many rows, what two frameworks
add in different orders is systematic and is not. Seen on right ports of a classifier, autograd beside PyTorch: up to 6
floors at 2,000 rows, 21 at 20,000. Beyond about 2,000 rows the floor is too low: take a sample of the rows.

Reference: Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 1.5; Monte Carlo arithmetic (Parker,
1997) for random roundings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.truth.extended import Extended

Array: TypeAlias = npt.NDArray[Any]
Tree: TypeAlias = dict[str, Array]
Values: TypeAlias = Mapping[str, Mapping[str, Array]]  #: quantity -> parameter -> array
Floors: TypeAlias = dict[tuple[str, str], Extended]

#: Draws: with 16 a root mean square is a third of what it should be once in a million entries.
DRAWS = 16
#: The share of right entries that may lie beyond the floor's multiple because few draws made it low.
MISSED = 1e-8


def perturbed(
    params: Mapping[str, Array],
    data: Mapping[str, Array],
    tangents: Mapping[str, Array],
    *,
    seed: int,
    draws: int = DRAWS,
) -> Iterator[tuple[Tree, Tree, Tree]]:
    """Parameters, data and tangents, each entry moved to the number of its dtype next to it, up or down; seeded.

    What is exact stays: zeros, numbers that are not finite, integers and booleans, and data that hold whole numbers
    only, whatever their dtype: labels, counts and masks are not rounded, and a loss may compare them.
    """
    rng = np.random.default_rng([seed, 8])
    for _ in range(draws):
        yield (
            {name: _moved(value, rng) for name, value in params.items()},
            {name: value if _exact(value) else _moved(value, rng) for name, value in data.items()},
            {name: _moved(value, rng) for name, value in tangents.items()},
        )


def _exact(value: Array) -> bool:
    if value.dtype.kind != "f":
        return True
    finite = value[np.isfinite(value)]
    return bool((finite == np.floor(finite)).all())


def _moved(value: Array, rng: np.random.Generator) -> Array:
    if value.dtype.kind != "f":
        return value
    up = rng.integers(0, 2, value.shape, dtype=np.int8).astype(bool)
    with np.errstate(over="ignore", invalid="ignore"):
        moved = np.where(up, np.nextafter(value, np.inf), np.nextafter(value, -np.inf)).astype(value.dtype)
    stays = (value == 0) | ~np.isfinite(value) | ~np.isfinite(moved)
    return np.asarray(np.where(stays, value, moved))


def floor_from(values: Values, evaluations: Sequence[Values], dtype: str) -> Floors:
    """The floor of every entry of ``values``, from the same backend's evaluations at perturbed inputs.

    Args:
        values: what the backend gave at the inputs themselves, quantity -> parameter -> array.
        evaluations: what it gave at each draw of `perturbed`; entries that are not finite in a draw are left out of it.
        dtype: the precision that was asked for; its unit roundoff is that of an entry itself.

    Returns:
        Extended-precision floors shaped like the values, by quantity and parameter.

    Raises:
        ValueError: there is no evaluation to take a floor from.
    """
    if not evaluations:
        raise ValueError("a floor takes at least one evaluation at perturbed inputs")
    limits, few = np.finfo(dtype), _few(len(evaluations))
    floors: Floors = {}
    for quantity, tree in values.items():
        for name, value in tree.items():
            centre = np.asarray(value, np.longdouble)
            squares = np.zeros(centre.shape, np.longdouble)
            with np.errstate(invalid="ignore", over="ignore"):
                for evaluation in evaluations:
                    moved = np.asarray(evaluation[quantity][name], np.longdouble) - centre
                    squares += np.where(np.isfinite(moved), moved, 0) ** 2
                own = np.where(np.isfinite(centre), np.abs(centre), 0) * (limits.eps / 2)
            moves = few * np.sqrt(squares / len(evaluations))
            floors[quantity, name] = np.sqrt(moves**2 + own**2) + limits.smallest_subnormal
    return floors


def _few(draws: int) -> float:
    """By how much a floor from few draws is raised, so that chance lets as few right entries beyond its multiple.

    The quotient of a normal error and a root mean square of n draws has Student's t distribution with n degrees of
    freedom.
    """
    from scipy.stats import norm, t

    return max(1.0, float(t.isf(MISSED / 2, draws) / norm.isf(MISSED / 2)))
