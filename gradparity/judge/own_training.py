"""Two backends' training as the user wrote it in, the first step at which they part out. Pure.

Two correct runs part too: each rounds differently, and steps amplify the difference. How far, each backend says
itself: it runs again from parameters and batches that are moved by one rounding before every step, and the root mean
square of those moves is its band. Runs agree while they are within `PATH_FLOORS` bands of both together, as they are
in `gradparity.judge.training`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gradparity.judge.figures import finite
from gradparity.judge.known import SHARES
from gradparity.judge.training import PATH_FLOORS
from gradparity.results.own_training import OwnDivergence
from gradparity.worker.step_messages import StepsTaken
from gradparity.worker.wire import Host

#: Roundings of a loss, and of the way from the start, that two formulas may differ by and no moved input shows: of sums
#: whose terms are exact. One of n terms in another order is off by some sqrt(n) of them, and pairs are summed first.
OWN_ROUNDINGS = 4.0
#: Steps after the first divergence at which it is stated how far runs are apart, beside the last.
LATER = (10, 100, 1000, 10_000)

#: Steps in which the rule of a run is looked for; of one that diverges later, so many after that, and at most.
RULE_STEPS, AFTER, MOST_RULE_STEPS = 40, 5, 200

LOSS = "the loss"


@dataclass(frozen=True)
class Part:
    """What is followed of two runs: how far apart they are at some steps, and the band there.

    ``size`` is what that is relative to: of a loss itself, of a parameter the way from the start, of state its values.
    """

    name: str
    steps: Sequence[int]
    apart: Host
    band: Host
    size: Host

    @property
    def most(self) -> Host:
        """The largest size so far."""
        return np.asarray(np.maximum.accumulate(self.size))

    @property
    def floors(self) -> Host:
        """The difference over the band; infinite where one run has numbers and the other has not."""
        with np.errstate(all="ignore"):
            found = self.apart / self.band
        return np.where(self.apart == 0, 0.0, np.where(np.isnan(found), np.inf, found))

    @property
    def relative(self) -> Host:
        """The difference over the size."""
        with np.errstate(all="ignore"):
            return np.asarray(self.apart / self.size)

    def diverges(self) -> int | None:
        """The first step beyond the band."""
        beyond = np.flatnonzero(self.floors > PATH_FLOORS)
        return int(self.steps[beyond[0]]) if len(beyond) else None

    def resolved(self, dtype: str) -> int:
        """Up to which step a difference that is seen would not pass; 0 if it would from the first on.

        What has not moved at all, in neither run, has nothing to be seen.
        """
        seen = PATH_FLOORS * self.band <= np.maximum(SHARES[dtype] * self.most, np.finfo(dtype).tiny)
        wide = np.flatnonzero(~(seen | ((self.most == 0) & (self.apart == 0))))
        return int(self.steps[-1]) if not len(wide) else int(self.steps[wide[0] - 1]) if wide[0] else 0


def parts(one: StepsTaken, other: StepsTaken, start: Mapping[str, Host], dtype: str) -> Iterator[Part]:
    """The loss, every parameter, and every array of the state that both have by one name.

    Args:
        one: a run.
        other: another, of the same steps.
        start: the parameters that both began at.
        dtype: the precision of the problem.
    """
    count, unit = min(len(one.losses), len(other.losses)), float(np.finfo(dtype).eps) / 2
    losses = [run.losses[:count] for run in (one, other)]
    size = np.fmax(*map(np.abs, losses))
    band = together([run.loss_band[:, :count] for run in (one, other)], OWN_ROUNDINGS * unit * size)
    yield Part(LOSS, range(1, count + 1), _apart(*losses), band, size)
    steps = [step for step in one.recorded if step in set(other.recorded)]
    if not steps:
        return
    rows = [[run.recorded.index(step) for step in steps] for run in (one, other)]
    for kind, name in _shared(one, other):
        values = [getattr(run, kind)[name][row] for run, row in zip((one, other), rows, strict=True)]
        bands = [
            getattr(run, f"{kind}_band")[name][:, row] for run, row in zip((one, other), rows, strict=True)
        ]  # fmt: skip
        begin = start[name] if kind == "params" else np.zeros(values[0].shape[1:])
        way, sizes = (
            np.fmax(*(root_mean_squares(value - begin) for value in values)),
            [root_mean_squares(value) for value in values],
        )
        rounded = np.fmax(*sizes) * unit  # of each entry, as it is stored
        band = together(bands, np.hypot(OWN_ROUNDINGS * unit * way, rounded))
        label = f"parameter {name}" if kind == "params" else f"state {name}"
        with np.errstate(all="ignore"):
            apart = root_mean_squares(values[0].astype(np.longdouble) - values[1])
        neither = ~np.isfinite(sizes[0]) & ~np.isfinite(sizes[1])
        yield Part(label, steps, np.where(neither, 0.0, apart), band, way)


def _shared(one: StepsTaken, other: StepsTaken) -> Iterator[tuple[str, str]]:
    for kind in ("params", "state"):
        mine, others = getattr(one, kind), getattr(other, kind)
        known = getattr(one, f"{kind}_band"), getattr(other, f"{kind}_band")
        for name, value in mine.items():
            if name in others and value.shape[1:] == others[name].shape[1:] and all(name in band for band in known):
                yield kind, name


def together(bands: Sequence[Host], own: Host) -> Host:
    """Both bands in quadrature with what is rounded in any case; never less than it was before."""
    with np.errstate(all="ignore"):
        squares = [np.mean(np.square(np.asarray(band, np.longdouble)), axis=0) for band in bands]
        found = np.sqrt(squares[0] + squares[1] + np.square(np.asarray(own, np.longdouble)))
    return np.asarray(np.maximum.accumulate(found), np.float64)


def root_mean_squares(values: Host) -> Host:
    """Of each step's entries."""
    with np.errstate(all="ignore"):
        flat = np.asarray(values, np.longdouble).reshape(len(values), -1)
        return np.asarray(np.sqrt(np.mean(flat**2, axis=1)), np.float64)


def _apart(one: Host, other: Host) -> Host:
    with np.errstate(all="ignore"):
        return np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0.0, np.abs(one - other))


def first_divergence(one: StepsTaken, other: StepsTaken, start: Mapping[str, Host], dtype: str) -> Divergence | None:
    """Where two runs part first; ``None`` where they do not."""
    found = list(parts(one, other, start, dtype))
    beyond = [(step, place, part) for place, part in enumerate(found) if (step := part.diverges()) is not None]
    if not beyond:
        return None
    # The loss of a step is that of the parameters before it: what has moved it is of the step before.
    step = min(step for step, _, _ in beyond)
    here = [part for at, _, part in beyond if at == step]
    worst = max(here, key=lambda part: (part.name != LOSS, part.name.startswith("parameter"), _at(part, step)))
    return Divergence(step, worst, found)


@dataclass(frozen=True)
class Divergence:
    """The first step at which two runs part, what of them is furthest off there, and all that was followed."""

    step: int
    part: Part
    followed: Sequence[Part]

    def record(self, names: tuple[str, str]) -> OwnDivergence:
        """As it is written down."""
        place = list(self.part.steps).index(self.step)
        relative, last = self.part.relative, self.part.steps[-1]
        wanted = {at for at in LATER if self.step < at < last} | ({last} if last > self.step else set())
        later = [(int(at), finite(relative[k])) for k, at in enumerate(self.part.steps) if at in wanted]
        return OwnDivergence(
            backends=names,
            step=self.step,
            what=self.part.name,
            floors=finite(self.part.floors[place]),
            relative=finite(relative[place]),
            later=[(at, value) for at, value in later if value is not None],
        )


def _at(part: Part, step: int) -> float:
    return float(part.floors[list(part.steps).index(step)])


def chosen_pairs(
    runs: Mapping[str, StepsTaken], start: Mapping[str, Host], dtype: str
) -> list[tuple[str, str, Divergence]]:
    """Who parts from whom: everybody who does not agree with the one that most agree with, from that one."""
    names = list(runs)
    apart = {
        (one, other): first_divergence(runs[one], runs[other], start, dtype) for one, other in combinations(names, 2)
    }  # fmt: skip

    def between(one: str, other: str) -> Divergence | None:
        return apart.get((one, other)) or apart.get((other, one))

    most = max(names, key=lambda one: sum(between(one, other) is None for other in names))
    return [(name, most, found) for name in names if (found := between(name, most)) is not None]


def agreed_before(one: StepsTaken, other: StepsTaken, step: int) -> int:
    """The last step before one at which both were recorded; 0 is the start."""
    return max((at for at in one.recorded if at < step and at in other.recorded), default=0)


def compared(runs: Mapping[str, StepsTaken], start: Mapping[str, Host], dtype: str) -> tuple[int, list[str]]:
    """Steps up to which a difference between any two runs would be seen, and what of them is seen for less long.

    It would be in the loss, and in one of the parameters at least: one whose gradient is zero but for rounding, as of a
    bias before a normalisation, moves by rounding alone where an optimiser divides by its size.
    """
    known: dict[str, int] = {}
    for pair in combinations(runs.values(), 2):
        for part in parts(*pair, start, dtype):
            known[part.name] = min(part.resolved(dtype), known.get(part.name, part.steps[-1]))
    if not known:
        return 0, []
    until = min(known[LOSS], max((steps for name, steps in known.items() if name != LOSS), default=0))
    shorter = [f"{name}: rounding alone explains any difference after step {steps:,}"
               for name, steps in known.items() if steps < until]  # fmt: skip
    whole = min(len(run.losses) for run in runs.values())
    if until < whole:
        shorter.insert(0, f"rounding alone explains any difference after step {until:,}")
    return until, shorter


def not_finite(runs: Mapping[str, StepsTaken]) -> dict[str, int]:
    """From which step on the loss of a run is nan or infinite, of those where it becomes so."""
    bad = {name: np.flatnonzero(~np.isfinite(run.losses)) for name, run in runs.items()}
    return {name: int(steps[0]) + 1 for name, steps in bad.items() if len(steps)}


def recorded_from_the_start(run: StepsTaken, last: int, most: int) -> int:
    """How many steps of a run were recorded without a gap: of the first so many, `RULE_STEPS` and some after the last.

    Args:
        run: which was recorded.
        last: a step that they are to reach beyond, as far as `MOST_RULE_STEPS` do.
        most: steps at most.
    """
    wanted = min(max(RULE_STEPS, min(last + AFTER, MOST_RULE_STEPS)), most, len(run.recorded))
    steps = 0
    while steps < wanted and run.recorded[steps] == steps + 1:
        steps += 1
    return steps
