"""A rule's numbers from a run: a grid, Levenberg and Marquardt's steps from its best, and the roundest that hold.

The learning rate enters linearly, and is projected out: one for all steps, or one for each. A fit only proposes;
whether the rule holds is `holding`'s.

References: Golub & Pereyra, The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
separate, 1973; Marquardt, An algorithm for least-squares estimation of nonlinear parameters, 1963.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.numerics.update_rules.formulas import directions
from gradparity.numerics.update_rules.holding import LARGEST_DECAY, Held, Run, held
from gradparity.numerics.update_rules.rules import DECAY_RATES, Form

Array: TypeAlias = npt.NDArray[Any]

_LOGARITHMIC = ("eps", "initial_accumulator_value", "initial_scale", "clip", "momentum_decay")
#: Where a fit looks first: what libraries have as defaults, and what is between them.
_GRID: dict[str, tuple[float, ...]] = {
    "b1": (0.0, 0.5, 0.9, 0.99),
    "b2": (0.5, 0.9, 0.99, 0.999, 0.9999),
    "decay": (0.5, 0.9, 0.99, 0.999),
    "rho": (0.5, 0.9, 0.95, 0.99),
    "momentum": (0.2, 0.5, 0.9, 0.99),
    "dampening": (0.0, 0.5, 0.9),
    "initial_scale": (1e-2, 1.0),
    "momentum_decay": (0.004, 0.1, 1.0),
}
#: Lion's numbers show in signs only: they are looked for, and not descended to.
_LION = (0.0, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.92, 0.95, 0.96, 0.98, 0.99, 0.995, 0.999)
#: What stands in most programs, tried first where a number is not told sharply.
_USUAL = {"b1": (0.9,), "b2": (0.999, 0.99, 0.95, 0.98), "eps": (1e-8,), "momentum": (0.9,), "decay": (0.9, 0.99)}
#: So many steps of Levenberg and Marquardt at most; from a near start five are enough.
_STEPS = 40
#: A rule that misses usual moves by more, in the mean square, is not this one.
_ALIKE = 1e-3
#: Starts from which a rule is fitted that comes near.
_TRIES = 3
#: And so many in extended precision, near the end.
_POLISHING = 12
#: Dampings that are tried at a time, next to none and these times the last one's.
_DAMPINGS = np.array([1, 0.1, 1, 10, 1e3])
#: Below this mean square, of residuals over their roundings, a fit is one that may hold.
_NEAR = 1e10
#: A hyperparameter is tried with so few significant digits first, of itself or of 1 - b.
_DIGITS = 6


def fitted(
    form: Form,
    run: Run,
    names: Iterable[str],
    *,
    free: bool,
    known: Mapping[str, float] | None = None,
    starts: Sequence[Mapping[str, float]] = (),
) -> dict[str, float]:
    """Numbers that come nearest to the run, from one of ``starts`` or from a grid over what it lacks.

    Those that are ``known`` stay as they are.
    """
    names, known = list(names), dict(known or {})
    if not names:
        return known
    soft, sharp = _weights(run)
    found: list[tuple[float, Array]] = []
    for each in starts or [{}]:
        here = {name: value for name, value in each.items() if name in names}
        points = _grid(form, [name for name in names if name not in here], run)
        cost = _residuals(form, {**known, **here, **points}, run, soft, free)[1]
        cost = np.where(np.isfinite(cost), cost, np.inf)
        for least in np.argsort(cost)[:_TRIES]:
            start = {**here, **{name: float(values[least, 0]) for name, values in points.items()}}
            found.append((float(cost[least]), np.array([_inward(name, start[name], run) for name in names])))
    found.sort(key=lambda each: each[0])
    x, reached = found[0][1], np.inf
    # Weighed by roundings a fit has many lesser minima: it is first brought near with all entries alike
    ends, left = _descended(form, names, known, np.array([each for _, each in found[:_TRIES]]), run, soft, free)
    alike = left < _ALIKE
    if alike.any():
        ends, left = _descended(form, names, known, ends[alike], run, sharp, free)
        x, reached = ends[int(np.argmin(left))], float(left.min())
    if _NEAR <= reached < np.inf and "eps" in names:  # it went where it is too small to be seen, and nothing led back
        j, eps = names.index("eps"), np.log(np.asarray(list(_candidates(form, "eps", run))))
        tried = np.tile(x, (4 * len(eps), 1))
        tried[:, j] = np.interp(np.linspace(0, 1, 4 * len(eps)), np.linspace(0, 1, len(eps)), eps)
        scanned = {name: _outward(name, tried[:, k : k + 1], run) for k, name in enumerate(names)}
        costs = _residuals(form, {**known, **scanned}, run, sharp, free)[1]
        nearest = tried[int(np.argmin(np.where(np.isfinite(costs), costs, np.inf)))]
        ends, left = _descended(form, names, known, nearest[None], run, sharp, free)
        x, reached = ends[0], float(left[0])
    if reached < _NEAR and run.working != np.float64:  # which is not enough to see whether it holds in float64
        x = _descended(form, names, known, x[None], run, sharp, free, run.working, _POLISHING)[0][0]
    return {**known, **{name: float(_outward(name, value, run)) for name, value in zip(names, x, strict=True)}}


def _descended(
    form: Form,
    names: list[str],
    known: Mapping[str, float],
    starts: Array,
    run: Run,
    weights: Array,
    free: bool,
    dtype: Any = np.float64,
    most: int = _STEPS,
) -> tuple[Array, Array]:
    """Where Levenberg and Marquardt's steps end, ``(S, k)`` from S starts, and the mean squares there, ``(S,)``."""
    # A small eps changes little: its differences need a longer step than what float64 rounds
    step = np.array([1e-3 if name in _LOGARITHMIC else 1e-6 for name in names])
    k = len(names)
    x, reached = starts.copy(), np.full(len(starts), np.inf)
    damping, slow, going = np.full(len(x), 1e-3), np.zeros(len(x), int), np.arange(len(x))

    def at(points: Array) -> tuple[Array, Array]:
        numbers = {name: _outward(name, points[:, j : j + 1], run) for j, name in enumerate(names)}
        residuals, cost = _residuals(form, {**known, **numbers}, run, weights, free, dtype)
        return residuals, np.where(np.isfinite(cost), cost, np.inf)

    around = np.vstack([np.zeros(k), np.diag(step)])
    for _ in range(most):
        residuals, cost = at((x[going, None] + around).reshape(-1, k))
        residuals, cost = residuals.reshape(len(going), k + 1, -1), cost.reshape(len(going), k + 1)[:, 0]
        reached[going] = cost
        slopes = np.asarray((residuals[:, 1:] - residuals[:, :1]) / step[:, None], np.float64)
        square = slopes @ slopes.transpose(0, 2, 1)
        down = (slopes @ residuals[:, 0, :, None].astype(np.float64))[:, :, 0]
        good = np.isfinite(cost) & np.isfinite(square).all(axis=(1, 2))
        going, square, down, cost = going[good], square[good], down[good], cost[good]
        if not going.size:
            break
        # Numbers are seen by slopes of very different sizes: each is scaled by its own
        size = np.sqrt(np.diagonal(square, axis1=1, axis2=2))
        size = np.where(size > 0, size, 1)
        scaled, right = square / (size[:, :, None] * size[:, None, :]), down / size
        # Several dampings at once: each is one more point of the same pass
        tried = damping[going, None] * _DAMPINGS
        tried[:, 0] = 1e-12
        moves = -np.linalg.solve(
            scaled[:, None] + tried[:, :, None, None] * np.eye(k),
            np.broadcast_to(right[:, None, :, None], (*tried.shape, k, 1)),
        )
        candidates = x[going, None] + np.clip(moves[..., 0] / size[:, None], -4, 4)
        costs = at(candidates.reshape(-1, k))[1].reshape(tried.shape)
        best = (np.arange(len(going)), costs.argmin(axis=1))
        better = costs[best] < cost
        moved = np.abs(candidates[best] - x[going]).max(axis=1)
        slow[going] = np.where(better, np.where(costs[best] > 0.999 * cost, slow[going] + 1, 0), slow[going])
        x[going] = np.where(better[:, None], candidates[best], x[going])
        damping[going] = np.where(better, np.maximum(tried[best], 1e-9), damping[going] * 1e4)
        ends = np.where(better, (moved < 1e-15) | (slow[going] >= 3), damping[going] > 1e9)
        going = going[~ends]
        if not going.size:
            break
    return x, reached


def rounded(
    form: Form, run: Run, numbers: Mapping[str, float], allowed: Mapping[str, tuple[float, float]], *, free: bool
) -> dict[str, float]:
    """The same with the fewest digits that are ``allowed`` and hold, one number after the other, others moved along."""
    kept = dict(numbers)
    for name in list(kept):
        low, high = allowed.get(name, (-np.inf, np.inf))
        slack = 1e-3 * (high - low) + 1e-12 * abs(kept[name])
        for value in _rounder(name, kept[name]):
            if not low - slack <= value <= high + slack:
                continue
            tried = {**kept, name: value}
            if _holds(held(form, tried, run), free):
                kept = tried
                break
            others = [other for other in kept if other != name]
            if others:
                again = fitted(form, run, others, free=free, known={name: value}, starts=[kept])
                if _holds(held(form, again, run), free):
                    kept = {each: again[each] for each in kept}
                    break
    return kept


def _holds(found: Held, free: bool) -> bool:
    return (found.until if free else found.constant_until()) == len(found.low)


def _rounder(name: str, value: float) -> list[float]:
    """Rounder numbers, the roundest first."""
    found = [_round(name, value, digits) for digits in range(1, _DIGITS + 1)]
    return list(dict.fromkeys([*([0.0] if name in DECAY_RATES else []), *_USUAL.get(name, ()), *found]))


def _round(name: str, value: float, digits: int) -> float:
    if name in DECAY_RATES:
        return 1 - float(f"{1 - value:.{digits - 1}e}") if value > 0.5 else float(f"{value:.{digits - 1}e}")
    return float(f"{value:.{digits - 1}e}")


def rounded_rate(low: float, high: float) -> float:
    """The number of the fewest digits between two, both included."""
    middle = (low + high) / 2 if np.isfinite(high) else low
    for digits in range(17):
        tried = float(f"{middle:.{digits}e}")
        if low <= tried <= high:
            return tried
    return middle


def _weights(run: Run) -> tuple[Array, Array]:
    """One over the usual move of an entry, and one over what rounding may do to each, roughly."""
    y = np.abs(run.moved)
    usual = np.sqrt((y * y).mean(axis=0, keepdims=True)) + np.zeros_like(y)
    tiny = np.finfo(np.float64).tiny
    sharp = 1 / (run.rounded + 8 * run.unit * np.maximum(y, usual) + tiny)
    return np.asarray(1 / (usual + 8 * run.rounded + tiny)), np.asarray(sharp)


def _residuals(
    form: Form, numbers: Mapping[str, Any], run: Run, weights: Array, free: bool, dtype: Any = np.float64
) -> tuple[Array, Array]:
    """``(G, T n)`` weighted residuals with the best learning rate taken out, and ``(G,)`` their mean squares."""
    with np.errstate(all="ignore"):
        exact = {name: np.asarray(value, dtype) for name, value in numbers.items()}
        measured = run.measured(dtype)
        found = list(directions(form, exact, *measured))
        points = max((np.size(value) for value in numbers.values()), default=1)
        weights = np.asarray(weights, dtype)
        y, u = np.empty((2, points, *weights.shape), dtype)
        for t, (drift, direction) in enumerate(found):
            y[:, t], u[:, t] = measured[3][t] - drift, direction
        u[~np.isfinite(u)] = 0
        u *= weights
        y *= weights
        axes = "gtn,gtn->gt" if free else "gtn,gtn->g"
        rate = np.einsum(axes, u, y) / np.einsum(axes, u, u)
        rate = np.where(np.isfinite(rate), rate, 0).reshape(points, -1, 1)
        residual = (y - rate * u).reshape(points, -1)
        cost = np.einsum("gi,gi->g", residual, residual) / residual.shape[1]
    return residual, np.asarray(cost)


def _grid(form: Form, names: list[str], run: Run) -> dict[str, Array]:
    if not names:
        return {}
    axes = [_candidates(form, name, run) for name in names]
    points = np.array(list(itertools.product(*axes))).reshape(-1, len(names))
    return {name: points[:, j : j + 1] for j, name in enumerate(names)}


def _candidates(form: Form, name: str, run: Run) -> Iterable[float]:
    if name == "eps":
        # Where it would be seen: from under the least gradients and their squares to over the largest.
        sizes = np.abs(run.gradients[run.gradients != 0]).astype(np.float64)
        top = float(np.quantile(sizes, 0.9)) if sizes.size else 1.0
        return np.geomspace(1e-13, max(1e-2, 10 * top), 12) ** (
            2 if form.eps.startswith("inside") or form.method == "adadelta" else 1
        )
    if name == "initial_accumulator_value":
        sizes = float((run.gradients**2).mean())
        return np.geomspace(1e-6, 10, 8) * max(sizes, 1e-12)
    if name == "weight_decay":
        return np.concatenate([[0.0], np.geomspace(1e-3, 1, 4) * run.decay_scale])
    if name == "clip":
        limited = np.abs(run.gradients).ravel() if form.clip == "value" else run.norms
        norms = np.unique(np.quantile(limited.astype(np.float64), np.linspace(0, 1, 24)))
        return np.unique(np.concatenate([norms[:1] * 0.5, (norms[1:] + norms[:-1]) / 2, norms[-1:] * 0.99]))
    return _LION if form.method in ("lion", "sign") else _GRID[name]


def _inward(name: str, value: float, run: Run) -> float:
    if name in DECAY_RATES:
        return float(-np.log1p(-min(value, LARGEST_DECAY)))
    if name in _LOGARITHMIC:
        return float(np.log(value))
    return value / run.decay_scale if name == "weight_decay" else value


def _outward(name: str, x: Any, run: Run) -> Any:
    if name in DECAY_RATES:
        return -np.expm1(-x)
    if name in _LOGARITHMIC:
        return np.exp(x)
    return x * run.decay_scale if name == "weight_decay" else x
