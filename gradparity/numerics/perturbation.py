"""The noise floor of a model that no formula is known of: how far a backend's own answers move with its inputs. Pure.

Three parts, in quadrature. *Inputs:* each moves by one rounding, up or down at random, a few seeded times, and the
backend evaluates each: the root mean square of the moves. *Its own roundings:* those of a long sum are not in that,
since a term that moves by its own rounding does not change how it is rounded against a sum a thousand times as large.
They are found along a line of inputs that are thousands of roundings apart: the answers are smooth along it but for
noise, which is what a parabola through them leaves over. *The entry itself*, rounded once.

Reference: Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 1.5; Monte Carlo arithmetic (Parker,
1997) for random roundings; Moré and Wild, Estimating computational noise, 2011, for noise along a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.numerics.extended import Extended

Array: TypeAlias = npt.NDArray[Any]
Tree: TypeAlias = dict[str, Array]
Values: TypeAlias = Mapping[str, Mapping[str, Array]]  #: quantity -> parameter -> array
Floors: TypeAlias = dict[tuple[str, str], Extended]

#: Draws: with 16 a root mean square is a third of what it should be once in a million entries.
DRAWS = 16
#: Inputs along the line, and how far one is from the next, relative, as a power of the unit roundoff.
LINE_POINTS, LINE_POWER = 16, 0.55
#: Coefficients of the parabola that is taken out of the answers along it.
SMOOTH = 3
#: A third difference so many times their median is a jump; of noise the largest is some five times it.
JUMP = 32.0
#: Median of the magnitude of a normal deviate.
NORMAL_MEDIAN = 0.6745
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


def along_line(
    params: Mapping[str, Array],
    data: Mapping[str, Array],
    tangents: Mapping[str, Array],
    *,
    seed: int,
    spacing: float | None = None,
) -> Iterator[tuple[Tree, Tree, Tree]]:
    """The same three trees at `LINE_POINTS` points of a line through them, in a random seeded direction.

    Each entry grows or shrinks by the same share of itself from point to point, by ``spacing`` where it is given; what
    `perturbed` leaves alone stays.
    """
    rng = np.random.default_rng([seed, 9])
    signs = [
        {name: np.where(rng.integers(0, 2, value.shape, dtype=np.int8), 1, -1) for name, value in tree.items()}
        for tree in (params, data, tangents)
    ]
    for k in np.arange(LINE_POINTS) - (LINE_POINTS - 1) / 2:
        moved_params, moved_data, moved_tangents = (
            {name: _scaled(value, k * sign[name], spacing) for name, value in tree.items()}
            for tree, sign in zip((params, data, tangents), signs, strict=True)
        )
        exact = {name: value for name, value in data.items() if _exact(value)}
        yield moved_params, moved_data | exact, moved_tangents


def _scaled(value: Array, steps: Array, spacing: float | None) -> Array:
    if value.dtype.kind != "f":
        return value
    spacing = (np.finfo(value.dtype).eps / 2) ** LINE_POWER if spacing is None else spacing
    with np.errstate(over="ignore", invalid="ignore"):
        moved = (value * (1 + np.longdouble(spacing) * steps)).astype(value.dtype)
    return np.asarray(np.where(np.isfinite(moved), moved, value))


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


def floor_from(values: Values, evaluations: Sequence[Values], dtype: str, line: Sequence[Values] = ()) -> Floors:
    """The floor of every entry of ``values``, from the same backend's evaluations at perturbed inputs.

    Args:
        values: what the backend gave at the inputs themselves, quantity -> parameter -> array.
        evaluations: what it gave at each draw of `perturbed`; entries that are not finite in a draw are left out of it.
        dtype: the precision that was asked for; its unit roundoff is that of an entry itself.
        line: what it gave at each point of `along_line`; without them sums are taken for short.

    Returns:
        Extended-precision floors shaped like the values, by quantity and parameter.

    Raises:
        ValueError: there is no evaluation to take a floor from.
    """
    if not evaluations:
        raise ValueError("a floor takes at least one evaluation at perturbed inputs")
    limits, few = np.finfo(dtype), few_draws(len(evaluations))
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
            noise = line_noise([each[quantity][name] for each in line]) if len(line) > SMOOTH else 0.0
            floors[quantity, name] = np.sqrt(moves**2 + noise**2 + own**2) + limits.smallest_subnormal
    return floors


def line_noise(answers: Sequence[Array]) -> Extended:
    """Deviation of the noise of every entry, from its values at points of equal distance: what a parabola leaves over.

    Zero where a value is not finite. It is raised for its few degrees of freedom, as `floor_from` raises its own.
    """
    left = left_over(answers)
    deviation = np.sqrt((left**2).sum(0) / (len(answers) - SMOOTH))
    deviation = np.where(np.isfinite(deviation), deviation, 0)
    noise = few_draws(len(answers) - SMOOTH) * deviation
    jumps, steady = _steps(answers)
    return np.asarray(np.where(jumps, steady, noise).reshape(np.shape(answers[0])), np.longdouble)


def _steps(answers: Sequence[Array]) -> tuple[npt.NDArray[np.bool_], Extended]:
    """Which entries jump somewhere along the line, as past a kink, and the noise that they have elsewhere.

    A jump is in three third differences, and in none of the others: their median does not know of it.
    """
    values = np.array(answers, np.longdouble).reshape(len(answers), -1)
    largest = np.abs(values[np.isfinite(values)]).max(initial=0)
    with np.errstate(invalid="ignore"):
        third = np.abs(np.diff(values, 3, axis=0)) / np.sqrt(20)  # weights 1, -3, 3, -1
        median, most = np.median(third, axis=0) / NORMAL_MEDIAN, third.max(axis=0)
        visible = np.sqrt(np.finfo(answers[0].dtype).eps) * largest if answers[0].dtype.kind == "f" else np.inf
        return (most > JUMP * median) & (most > visible), few_draws(len(third) // 3) * median


def left_over(answers: Sequence[Array]) -> Extended:
    """What a parabola leaves over of the answers at points of equal distance, shape (points, entries)."""
    values = np.array(answers, np.longdouble)
    flat = values.reshape(len(values), -1)
    basis = np.linalg.qr(np.vander(np.linspace(-1, 1, len(values)), SMOOTH))[0].astype(np.longdouble)
    with np.errstate(invalid="ignore"):
        centred = flat - flat[len(flat) // 2]
        return np.asarray(centred - basis @ (basis.T @ centred), np.longdouble)


def few_draws(draws: int) -> float:
    """By how much a floor from few draws is raised, so that chance lets as few right entries beyond its multiple.

    The quotient of a normal error and a root mean square of n draws has Student's t distribution with n degrees of
    freedom.
    """
    from scipy.special import ndtri, stdtrit  # scipy.stats has them too, and takes a second to import

    return max(1.0, float(stdtrit(draws, MISSED / 2) / ndtri(MISSED / 2)))
