"""State that two ports call by other names: arrays that are the same by their values, ``mu`` and ``exp_avg``. Pure.

That two arrays are equal after the first step says what they are, as a rule, and no more: two conventions may agree
there and not after it, with the same parameters. So they are told of, and no run is wrong for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from gradparity.judge.own_training import OWN_ROUNDINGS, root_mean_squares, together
from gradparity.judge.training import PATH_FLOORS
from gradparity.worker.step_messages import StepsTaken
from gradparity.worker.wire import Host

#: Arrays of a state up to which each is held against each.
MOST_ARRAYS = 400
#: Names that are shown.
_SHOWN = 3


def state_notes(names: tuple[str, str], one: StepsTaken, other: StepsTaken, dtype: str) -> list[str]:
    """What of the state of two runs is the same by its values, and from which step on no longer; what is left."""
    mine, others = (
        {k: v for k, v in run.state.items() if v[0].size > 1 and k in run.state_band and k not in beside.state}
        for run, beside in ((one, other), (other, one))
    )
    if not mine or not others or max(len(mine), len(others)) > MOST_ARRAYS:
        return list(_left(names, [*mine], [*others]))
    pairs = list(_pairs(one, other, mine, others, dtype))
    paired = [{each[0] for each in pairs}, {each[1] for each in pairs}]
    same = [(a, b) for a, b, apart in pairs if apart is None]
    said = [
        f"state {a} of {names[0]} and {b} of {names[1]} are equal up to step {apart - 1:,}, and not after"
        for a, b, apart in pairs
        if apart is not None
    ]
    if same:
        shown = ", ".join(f"{a} and {b}" for a, b in same[:_SHOWN])
        more = f", and {len(same) - _SHOWN} more pairs" if len(same) > _SHOWN else ""
        said.append(f"state of {names[0]} and {names[1]} agrees by its values: {shown}{more}")
    left = ([key for key in tree if key not in known] for tree, known in zip((mine, others), paired, strict=True))
    return [*said, *_left(names, *left)]


def state_told(
    path: str, names: tuple[str, str], runs: tuple[StepsTaken, StepsTaken], batch: Mapping[str, Host]
) -> str:
    """In what factor differs what two runs average into an array of their state; ``""`` where it is none that is known.

    A running average is s' = a s + m v. Where another averages c v in place of v, s'_c - c s' = a (s_c - c s): with the
    right c that shrinks by one factor from step to step, whatever a, m and the start are. Tried are n / (n - 1) and its
    inverse, for lengths n that a batch has: the variance without its bias.

    Args:
        path: of the array.
        names: of the backends.
        runs: of each.
        batch: arrays by path that a step had.
    """
    steps = [step for step in runs[0].recorded if step in set(runs[1].recorded)]
    whole = steps[: next((k for k, step in enumerate(steps) if step != k + 1), len(steps))]
    one, other = (run.state[path][: len(whole)].reshape(len(whole), -1).astype(np.longdouble) for run in runs)
    unit = max(float(np.finfo(run.state[path].dtype).eps) if run.state[path].dtype.kind == "f" else 0 for run in runs)
    if one.size < _LEAST_VALUES or not unit:
        return ""
    for name, larger, smaller in ((names[0], one, other), (names[1], other, one)):
        for n, where in sorted(_lengths(batch).items()):
            if _averages(larger, smaller, n / np.longdouble(n - 1), _ROUNDINGS * unit):
                rival = names[1] if name == names[0] else names[0]
                said = f"{n}/{n - 1} of {rival}'s: n/(n-1), the unbiased variance (n = {n}{where})"
                return f"what {name} averages into {path} is {said}"
    return ""


#: Roundings of a running average, of values that are sums themselves.
_ROUNDINGS = 16
#: Numbers of a state, over steps, in which a factor is looked for at least.
_LEAST_VALUES = 4


def _lengths(batch: Mapping[str, Host]) -> dict[int, str]:
    """How many values a mean over some axes of an array of a batch is of, and that of which array that is."""
    found: dict[int, str] = {}
    for name, value in batch.items():
        for count in range(1, min(value.ndim, 4) + 1):
            for axes in combinations(range(value.ndim), count):
                n = int(np.prod([value.shape[axis] for axis in axes]))
                if n > 1:
                    found.setdefault(n, f", {name}.shape[{axes[0]}]" if count == 1 else f", of {name}")
    return found


def _averages(larger: Host, smaller: Host, factor: np.longdouble, rounding: float) -> bool:
    """Whether a running average, (steps, entries), is of values that are ``factor`` times those of another."""
    left = larger - factor * smaller
    # Each step rounds once more, and what is left of the start is measured by what was rounded.
    room = rounding * np.max(np.abs(larger) + np.abs(smaller))
    if np.all(np.abs(left) <= room):
        return True
    before, after = left[:-1].ravel(), left[1:].ravel()
    shrinks = float(before @ after / (before @ before)) if before.any() else 0.0
    return 0 < shrinks < 1 and bool(np.all(np.abs(after - shrinks * before) <= room))


def _pairs(
    one: StepsTaken, other: StepsTaken, mine: dict[str, Host], others: dict[str, Host], dtype: str
) -> Iterator[tuple[str, str, int | None]]:
    """Names of what is equal after the first step, and of nothing else; and the first step after which it is not."""
    steps = [step for step in one.recorded if step in set(other.recorded)]
    rows = [[run.recorded.index(step) for step in steps] for run in (one, other)]
    unit = float(np.finfo(dtype).eps) / 2
    beyond: dict[tuple[str, str], Host] = {}
    for a, value in mine.items():
        for b, rival in others.items():
            if value.shape[1:] == rival.shape[1:] and steps:
                values = value[rows[0]], rival[rows[1]]
                bands = one.state_band[a][:, rows[0]], other.state_band[b][:, rows[1]]
                band = together(bands, OWN_ROUNDINGS * unit * np.fmax(*map(root_mean_squares, values)))
                apart = root_mean_squares(values[0].astype(np.longdouble) - values[1])
                if apart[0] <= PATH_FLOORS * band[0] and root_mean_squares(values[0])[0] > 0:
                    beyond[a, b] = np.flatnonzero(~(apart <= PATH_FLOORS * band))
    for (a, b), where in beyond.items():
        if sum(a == each for each, _ in beyond) == sum(b == each for _, each in beyond) == 1:
            yield a, b, int(steps[where[0]]) if len(where) else None


def _left(names: tuple[str, str], *keys: list[str]) -> Iterator[str]:
    for name, left in zip(names, keys, strict=True):
        if left:
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            yield f"state of {name} that is compared with nothing: {', '.join(left[:_SHOWN])}{more}"
