"""What a run allows each number of a rule to be, all others free: linear programs over the bounds of rounding.

Numbers that a run shows only in a product or a quotient, as eps and clip of an Adam whose every step is clipped, are
those of a direction in which no move changes: a null vector of the moves' derivatives by the numbers' logarithms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.numerics.update_rules.formulas import directions
from gradparity.numerics.update_rules.holding import Held, Run, bounded, rounding
from gradparity.numerics.update_rules.rules import DECAY_RATES, WITH_EPS, Form

Array: TypeAlias = npt.NDArray[Any]

#: A move, in this many of what its number is usually told by, is without end.
_UNSEEN = 1e6
#: Numbers that may be seen only in a product, in the order in which the others are said in terms of them.
_SCALES = ("clip", "eps", "initial_accumulator_value", "initial_scale", "weight_decay", "lr")
#: Numbers that grow by a factor of e together, and moves that stay within this part of their roundings, are not told.
_SAME = 0.5


def ranges(
    form: Form, numbers: Mapping[str, float], holds: Held, run: Run, *, free: bool, fixed: tuple[str, ...] = ()
) -> dict[str, tuple[float, float]]:
    """``(low, high)`` of each number, to first order: where the rule would still hold, with others moved along.

    A form whose eps is too small to be seen says how large it could be, as if it stood outside the root. One learning
    rate is a number, ``"lr"``. Numbers that are ``fixed`` stay as they are, and are left out.
    """
    columns, rest, exact = _derivatives(form, numbers, holds, run, free=free)
    kept = [name for name in columns if name not in fixed]
    matrix = np.stack([columns[name] for name in kept], axis=1)
    allowed_to: dict[str, tuple[float, float]] = {}
    for j, name in enumerate(kept):
        if name.startswith("lr at"):
            continue
        value = float(exact[name])
        low, high = (_extreme(matrix, rest, j, sign) for sign in (-1.0, 1.0))
        end = 1.0 if name in DECAY_RATES else np.inf
        allowed_to[name] = (max(value + low, -np.inf if name == "weight_decay" else 0.0), min(value + high, end))
    return allowed_to


def ties(
    form: Form, numbers: Mapping[str, float], holds: Held, run: Run, *, free: bool
) -> tuple[str, dict[str, float]]:
    """Numbers that the run shows only together: one of them, and ``{name: k}`` for others: ``name / one^k`` is seen.

    ``""`` and nothing where each number is seen by itself, or not at all.
    """
    columns, _, exact = _derivatives(form, numbers, holds, run, free=free)
    scaled = {name: column * float(exact[name]) for name, column in columns.items() if name in _SCALES}
    if free:
        scaled["lr"] = np.sum([columns[name] for name in columns if name not in exact], axis=0)
    scaled = {name: column for name, column in scaled.items() if np.abs(column).max(initial=0) > _SAME}
    clipped = np.abs(run.gradients) if form.clip == "value" else run.norms
    if "clip" in columns and "clip" not in scaled and exact["clip"] < 0.99 * clipped.max(initial=0):
        return "clip", {}  # there is clipping, and its limit is not seen
    names = [name for name in _SCALES if name in scaled]
    if len(names) < 2:
        return "", {}
    matrix = np.stack([scaled[name] for name in names], axis=1)
    direction = np.linalg.svd(matrix, full_matrices=False)[2][-1]
    direction = direction / np.abs(direction).max()
    if np.abs(matrix @ direction).max() > _SAME:
        return "", {}
    pivot = next(j for j in range(len(names)) if abs(direction[j]) > 0.1)
    powers = {
        name: float(np.round(2 * each) / 2) for name, each in zip(names, direction / direction[pivot], strict=True)
    }
    return names[pivot], {name: k for name, k in powers.items() if k and name != names[pivot]}


def _derivatives(
    form: Form, numbers: Mapping[str, float], holds: Held, run: Run, *, free: bool
) -> tuple[dict[str, Array], Array, dict[str, Any]]:
    """Of all moves by each number, and how far the moves are from the rule, in parts of what rounding allows each.

    The third are the numbers' values. Where each step has a learning rate of its own, so does each its derivative.
    """
    names = list(numbers)
    exact = {name: np.longdouble(value) for name, value in numbers.items()}
    if form.eps == "none" and form.method in WITH_EPS:
        form = msgspec.structs.replace(form, eps="outside")
        names, exact = [*names, "eps"], {**exact, "eps": np.longdouble(0)}
    rate = np.where(holds.low <= holds.high, (holds.low + np.minimum(holds.high, 4 * holds.low)) / 2, holds.low)
    rate = rate[: len(run.gradients), None]
    with np.errstate(all="ignore"):
        found = bounded(form, {name: float(value) for name, value in exact.items()}, run)
        u, error = found.u, found.error
        slopes = [_slope(form, exact, name, run, rate) for name in names]
        allowed = rounding(form, run) + found.drift_error
        allowed = allowed + rate * error + rate * np.abs(u) * holds.common[: len(u), None]
        off = run.moved - found.drift - rate * u
        weight = np.asarray(1 / allowed, np.float64).ravel()
        alone = [np.where((np.arange(len(u)) == t)[:, None], u * rate, 0) for t in range(len(u))]
    if free:
        own = {f"lr at {t}": each for t, each in enumerate(alone)}
    else:
        known = rate[np.isfinite(rate)]
        own, exact = {"lr": u}, {**exact, "lr": np.longdouble(np.median(known) if known.size else 0)}
    columns = {
        name: np.asarray(each, np.float64).ravel() for name, each in [*own.items(), *zip(names, slopes, strict=True)]
    }
    good = np.isfinite(weight) & np.all([np.isfinite(each) for each in columns.values()], axis=0)
    weighed = {name: each[good] * weight[good] for name, each in columns.items()}
    return weighed, np.asarray(off, np.float64).ravel()[good] * weight[good], exact


def _slope(form: Form, exact: Mapping[str, Any], name: str, run: Run, rate: Array) -> Array:
    """The moves' derivative by one number: differences of fourth order, so that numbers in a product are told."""
    value = float(exact[name])
    step = 1e-4 * ((1 - value) if name in DECAY_RATES else abs(value))
    if not step:
        sizes = np.abs(run.gradients[run.gradients != 0])
        step = 1e-4 * (float(np.median(sizes)) if sizes.size else 1.0)
    if name == "clip":  # where a norm goes under the limit, moves have no derivative
        apart = np.abs((np.abs(run.gradients) if form.clip == "value" else run.norms) - value)
        step = max(min(step, 0.4 * float(apart.min())), 1e-9 * value)

    def at(move: float) -> Array:
        tried = {**exact, name: exact[name] + np.longdouble(move * step)}
        measured = map(list, (run.gradients, run.params[:-1], run.norms, run.moved))
        return np.array(
            [drift + lr * u for (drift, u), lr in zip(directions(form, tried, *measured), rate, strict=True)]
        )

    return np.asarray((8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step))


def _extreme(columns: Array, rest: Array, j: int, sign: float) -> float:
    """How far number ``j`` may move with ``|rest - columns x| <= 1`` everywhere."""
    from scipy.optimize import linprog

    scale = np.abs(columns).max(axis=0, initial=0)
    if not scale[j] > 0:
        return float(sign * np.inf)
    scale = np.where(scale > 0, scale, 1)
    scaled = columns / scale
    goal = np.zeros(len(scale))
    goal[j] = -sign
    solved = linprog(
        goal,
        A_ub=np.vstack([scaled, -scaled]),
        b_ub=np.concatenate([1 + rest, 1 - rest]),
        bounds=[(-_UNSEEN * 1e9, _UNSEEN * 1e9)] * len(scale),
        method="highs",
    )
    if solved.x is None:
        return float(sign * np.inf)
    x = float(solved.x[j])
    return float(sign * np.inf) if abs(x) > _UNSEEN * 1e8 else x / float(scale[j])
