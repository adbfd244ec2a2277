"""The course of a learning rate, named where one of the usual schedules runs through every step's interval.

References: torch.optim.lr_scheduler's and optax.schedules' documentation; Loshchilov & Hutter, SGDR, 2017, for cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

#: A schedule is named where it has so many values more than numbers.
SPARE = 3
#: A curve is named where rates change by so many times what rounding leaves open.
CHANGED = 64
_SMOOTH = ("linear", "exponential", "inverse", "cosine")
_SINGLE = 2.0**-24


def course(low: Array, high: Array, unit: float) -> tuple[str, Array]:
    """The name of the schedule whose rates lie in ``[low, high]`` at every step, and those rates; ``""`` for none.

    Steps are counted from 0, as schedules read them. A schedule is itself rounded, in a dtype of unit roundoff
    ``unit``: relative to its largest rate, and once for each step where it multiplies.
    """
    if not np.all(np.isfinite(high)) or np.any(low > high):
        return "", np.where(np.isfinite(high), (low + high) / 2, low)
    middle = np.asarray((low + high) / 2, np.float64)
    pieces = "", middle
    for precision, words in ((unit, ""), (_SINGLE, ", taken in float32")):  # optax takes them so in float64, too
        if precision < unit:
            continue
        slack = precision * (8 + np.arange(len(low))) * np.abs(middle).max()
        least, most = np.asarray(low - slack, np.float64), np.asarray(high + slack, np.float64)
        # Where rates change by little beside what rounding leaves open, most curves run through them
        smooth = np.ptp(middle) > CHANGED * slack.max()
        for name, rates in _named(middle, least, most):
            if not smooth and any(word in name for word in _SMOOTH):
                continue
            if np.all((least <= rates) & (rates <= most)):
                if not name.startswith("piecewise"):
                    return name + words, rates
                pieces = pieces if pieces[0] else (name, rates)  # a curve in float32 says more than a list of values
    return pieces


def _named(rates: Array, low: Array, high: Array, after: int = 0) -> Iterator[tuple[str, Array]]:
    """Candidates, the simplest first; each is held to the intervals by whoever asks. ``after`` steps without a move."""
    steps = len(rates)
    moving = np.flatnonzero(low > 0)
    if moving.size and (moving[0] > 1 or moving[-1] < steps - 2):
        begin, end = int(moving[0]), int(moving[-1]) + 1
        before = f"0 up to step {begin}, then " if begin else ""
        last = f" up to step {end}, then 0" if end < steps else ""
        for words, values in _named(rates[begin:end], low[begin:end], high[begin:end], begin):
            yield f"{before}{words}{last}", np.pad(values, (begin, steps - end))
    pieces = list(_pieces(rates, low, high, after))
    yield from (each for each in pieces if not each[0].startswith("piecewise"))
    t = np.arange(steps, dtype=float)
    for name, shape in (("", t), (", read one step late", np.maximum(t - 1, 0)), (", read one step early", t + 1)):
        for words, values in _smooth(rates, shape):
            # One step early, or late, of a line or of a power is the same line or power: only the first step tells.
            if not name or "cosine" in words or name.endswith("late"):
                yield words + name, values
    yield from _late(rates, low, high, after)
    for warm in reversed(range(2, steps - SPARE - 1)):
        for first in (0, 1):  # the rate at step 0 is 0, or the first part of the way
            ramp = (
                rates[warm - 1] * (np.arange(warm) + first) / (warm - 1 + first) if warm - 1 + first else rates[:warm]
            )
            if not np.all((low[:warm] <= ramp) & (ramp <= high[:warm])) or rates[0] >= rates[warm - 1]:
                continue
            rest = np.arange(steps - warm, dtype=float) + 1
            flat = np.full(steps - warm, np.median(rates[warm:]))
            for words, values in [("constant", flat), *_smooth(rates[warm:], rest)]:
                yield f"linear warm-up over {warm - 1 + first} steps, then {words}", np.concatenate([ramp, values])
    yield from pieces


def _late(rates: Array, low: Array, high: Array, after: int) -> Iterator[tuple[str, Array]]:
    """A constant rate, or none, and a smooth course from some step on."""
    steps = len(rates)
    most, least = np.minimum.accumulate(high), np.maximum.accumulate(low)
    for begin in range(1, steps - SPARE - 1):
        if least[begin - 1] > most[begin - 1]:
            return
        first = _value(least[begin - 1], most[begin - 1])
        words = f"constant up to step {after + begin}" if first else f"0 up to step {after + begin}"
        # the course begins at the last step of what is constant, or one step after it
        for t in (np.arange(1.0, steps - begin + 1), np.arange(steps - begin, dtype=float)):
            for then, values in _smooth(rates[begin:], t):
                yield f"{words}, then {then}", np.concatenate([np.full(begin, first), values])


def _value(low: float, high: float) -> float:
    """A rate that both ends allow: 0 where they do."""
    return 0.0 if low <= 0 else (low + high) / 2


def _pieces(rates: Array, low: Array, high: Array, after: int) -> Iterator[tuple[str, Array]]:
    """Piecewise constant: where an interval has nothing in common with those before it, a new piece begins."""
    starts, least, most = [0], low[0], high[0]
    for t in range(1, len(rates)):
        least, most = max(least, low[t]), min(most, high[t])
        if least > most:
            starts.append(t)
            least, most = low[t], high[t]
    ends = [*starts[1:], len(rates)]
    values = [_value(low[a:b].max(), high[a:b].min()) for a, b in zip(starts, ends, strict=True)]
    if len(rates) < 2 * len(starts) + SPARE - 1:
        return
    filled = np.repeat(values, np.diff([*starts, len(rates)]))
    if len(starts) == 1:
        yield "constant", filled
        return
    where = ", ".join(str(after + t + 1) for t in starts[1:4]) + (" and on" if len(starts) > 4 else "")
    if len(starts) == 2 and 0 in values:
        first, then = ("constant", "0") if values[0] else ("0", "constant")
        yield f"{first} up to step {after + starts[1]}, then {then}", filled
    elif 0 not in values and np.ptp(ratios := np.array(values[1:]) / values[:-1]) < 1e-3 * abs(ratios[0]):
        yield f"step {'decay' if ratios[0] < 1 else 'growth'}, times {ratios.mean():.4g} at step {where}", filled
    else:
        yield f"piecewise constant, another from step {where}", filled


def _smooth(rates: Array, t: Array) -> Iterator[tuple[str, Array]]:
    """Schedules of two or three numbers, fitted to ``rates`` at the steps ``t``."""
    if len(rates) < 2 + SPARE or not rates.any() or np.any(rates < 0):
        return
    slope, start = np.polyfit(t, rates, 1)
    yield f"linear, {slope:+.4g} a step", start + slope * t
    if np.all(rates > 0):
        power, log = np.polyfit(t, np.log(rates), 1)
        yield f"exponential, times {np.exp(power):.6g} a step", np.exp(log + power * t)
        inverse, one = np.polyfit(t, 1 / rates, 1)
        if one > 0 and one + inverse * t[-1] > 0:
            yield f"inverse time decay, {inverse / one:.4g} a step", 1 / (one + inverse * t)
        if t[0] >= 1:
            root = np.mean(rates * np.sqrt(t))
            yield "inverse square root", root / np.sqrt(t)
    if len(rates) >= 3 + SPARE:
        yield from _cosine(rates, t)


def _cosine(rates: Array, t: Array) -> Iterator[tuple[str, Array]]:
    """``end + (start - end) (1 + cos(pi t / N)) / 2``: N from the cosine's recurrence, then whole numbers near."""
    step = t[-1] - t[-2]
    inner = rates[-len(rates) + 1 :] if t[0] == t[1] else rates
    second, middle = inner[2:] - 2 * inner[1:-1] + inner[:-2], inner[1:-1]
    if np.ptp(middle) <= 1e-12 * np.abs(middle).max():
        return
    # f(t-1) - 2 f(t) + f(t+1) = (2 cos(w) - 2) (f(t) - mean)
    line = np.polyfit(middle, second, 1)
    angle = np.arccos(np.clip(1 + line[0] / 2, -1, 1)) / step
    if not angle > 0:
        return
    horizon = np.pi / angle
    periods = np.arange(max(1, round(horizon * 0.8)), round(min(horizon, 1e6) * 1.25) + 1)
    periods = periods[np.argsort(np.abs(periods - horizon))[:200]]
    for spread in (0, 1):  # ends at 0, or elsewhere
        for period in [*sorted(periods, key=_digits), horizon]:
            shape = _half_cosine(period)(t)
            basis = np.stack([shape, 1 - shape][: 1 + spread], axis=1)
            ends = np.linalg.lstsq(basis, rates, rcond=None)[0]
            to = f" to {ends[1]:.4g}" if spread else ""
            yield f"cosine from {ends[0]:.4g}{to} over {period:.6g} steps", basis @ ends


def _digits(period: float) -> int:
    """Significant digits of a whole number."""
    return len(str(int(period)).rstrip("0"))


def _half_cosine(period: float) -> Callable[[Array], Array]:
    return lambda t: np.asarray((1 + np.cos(np.pi * np.minimum(t, period) / period)) / 2)
