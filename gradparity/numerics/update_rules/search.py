"""The search for a rule: levels of forms, each fitted on few entries and steps, and held to all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.numerics.update_rules.fitting import fitted, rounded, rounded_rate
from gradparity.numerics.update_rules.forms import USUAL, Levels, contains, numbers_of, parents
from gradparity.numerics.update_rules.holding import Held, Run, equations, held, linear, monotone, moved_bits
from gradparity.numerics.update_rules.ranges import ranges, ties
from gradparity.numerics.update_rules.rules import Form, Rule
from gradparity.numerics.update_rules.schedules import SPARE, course

Array: TypeAlias = npt.NDArray[Any]

#: Forms are screened on few entries and steps: what does not hold there holds nowhere.
_SCREEN = (24, 6)
_REFINE = (64, 40)
#: Adagrad's eps inside the root and the value that its sum starts from are one number: over this, it is the latter.
LARGE_EPS = 1e-3
#: In so few steps many rules take the same: all that have one learning rate are tried, whichever hold.
SHORT = 4
#: A rule is named where the run says so many binary digits more than its numbers can take up: those of each move that
#: are beyond `ALIKE_BITS`, to which rules resemble each other, without the moves that say most, one for each number.
SPARE_BITS, ALIKE_BITS = 32, 6


@dataclass(frozen=True)
class Fit:
    """A form that holds on a run with these numbers; each step has a learning rate of its own where it is ``free``."""

    form: Form
    numbers: dict[str, float]
    holds: Held
    rule: Rule
    free: bool


class Deadline:
    """So many seconds of this thread's processor time from now on."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.end = seconds, time.thread_time() + seconds

    @property
    def over(self) -> bool:
        """Whether they have passed."""
        return time.thread_time() > self.end


class Search:
    """Tries forms on a run; what it learns of one helps with the next."""

    def __init__(self, run: Run, deadline: Deadline) -> None:
        self.run, self.deadline = run, deadline
        steps = len(run.gradients)
        self.parts = [run.taken(telling(run, n), min(most, steps)) for n, most in (_SCREEN, _REFINE)]
        self.along, self.monotone = linear(run), monotone(run)
        #: Where fits ended, for those of forms with a number more.
        self.near: dict[Form, dict[str, float]] = {}
        #: Forms that hold at the first steps, and not at all of them.
        self.begun: list[Form] = []
        #: Whether some have too many numbers for the run to say anything of them.
        self.untried = False

    def found(self, levels: Levels) -> list[Fit]:
        """Rules that hold, the simplest first; those that say the same with more numbers are left out."""
        run, steps = self.run, len(self.run.gradients)
        nameless: list[Fit] = []
        several: list[Fit] = []
        if steps <= SHORT:
            together = tuple(form for forms, free in levels if not free for form in forms)
            levels = ((together, False), *(level for level in levels if level[1]))
        for forms, free in levels:
            spare = equations(run, free) - SPARE
            fits: list[tuple[Form, dict[str, float], Held]] = []
            for form in forms:
                bare = msgspec.structs.replace(form, eps="none")
                if any(bare == other for other, _, _ in fits):
                    continue  # which holds without an eps that is seen
                if self.deadline.over:
                    break
                if not self._may_hold(form):
                    continue
                if len(numbers_of(form)) > spare:
                    self.untried |= not free
                elif fit := self._tried(form, free=free):
                    fits.append((form, *fit))
            if free:  # of rules that differ in what a schedule may hide, those whose schedule has a name
                fits = [fit for fit in fits if course(*_rates(fit[2]), run.unit)[0]] or fits
            fits.sort(key=lambda fit: len(fit[1]))
            kept: list[Fit] = []
            for form, values, holds in fits:
                if not any(_covered(form, values, other.form, run, free=free) for other in kept):
                    kept.append(Fit(form, values, holds, ruled(form, values, holds, run, free=free), free))
            full = [fit for fit in kept if not fit.rule.empty]
            if steps > 2:
                kept = [fit for fit in kept if not fit.rule.empty or not any(_says(fit.form, o.form) for o in full)]
            if kept and kept[0].rule.schedule:
                if not several and len({fit.rule.name for fit in kept}) > 1 and not free:
                    several = kept  # a run that tells so little may be of a rule with a number more
                    continue
                return [*several, *(fit for fit in kept if not free or not several)]
            if several:
                return several
            nameless = nameless or kept  # a rate of each step's own explains much: clipping, too
        return several or nameless

    def tells(self, fit: Fit, until: int = 10**9) -> bool:
        """Whether the run says more than the numbers of a rule take up, and so that it is this one."""
        part = self.parts[-1]
        _, distinct = np.unique(part.gradients, axis=1, return_index=True)
        part = part.taken(distinct, min(len(part.gradients), until))
        low, high = fit.holds.low[: len(part.gradients)], fit.holds.high[: len(part.gradients)]
        rate = np.where(np.isfinite(high), (low + high) / 2, low)[:, None]
        bits = np.sort(moved_bits(fit.form, fit.numbers, part, rate))
        numbers = len(fit.numbers) + (len(part.gradients) if fit.free else 1)
        return bool(np.maximum(bits[: max(len(bits) - numbers, 0)] - ALIKE_BITS, 0).sum() >= SPARE_BITS)

    def partly(self) -> tuple[Rule, float, int] | None:
        """Of the forms that hold at the first steps, the one that does so longest; its deviation, and its last step."""
        best: tuple[int, Form, dict[str, float], Held] | None = None
        for form in self.begun:
            part, numbers = self.parts[0], self.near[form]
            numbers = rounded(
                form, part, numbers, ranges(form, numbers, held(form, numbers, part), part, free=False), free=False
            )
            holds = held(form, numbers, self.run)
            until = holds.constant_until()
            if best is None or until > best[0]:
                best = until, form, numbers, holds
        steps = len(self.parts[0].gradients)
        if best is None or best[0] < steps:
            return None
        until, form, numbers, holds = best
        until_then = self.run.taken(slice(None), until)
        rule = ruled(form, numbers, held(form, numbers, until_then), until_then, free=False)
        fit = Fit(form, numbers, holds, rule, free=False)
        told = not rule.vague and self.tells(fit, until)
        return (rule, float(holds.roundings[:until].max()), until) if told else None

    def _may_hold(self, form: Form) -> bool:
        """Whether the first step leaves the form possible, whatever its numbers."""
        if self.along:
            return form.method in ("sgd", "momentum", "radam")
        return self.monotone or form.decay != "none"

    def _tried(self, form: Form, *, free: bool) -> tuple[dict[str, float], Held] | None:
        """The form's numbers where it holds everywhere."""
        names = numbers_of(form)
        starts = [
            *(self.near[simpler] for simpler in parents(form) if simpler in self.near),
            USUAL.get(form.method, {}),
        ]
        if len(starts) == 1:
            starts = [{}]
        elif form.clip != "none":  # without it, gradients that were clipped are fitted by numbers far from theirs
            plain = self.near.get(msgspec.structs.replace(form, clip="none"), {})
            starts.append({name: value for name, value in plain.items() if name in ("eps", "weight_decay")})
        for part in self.parts:
            numbers = fitted(form, part, names, free=free, starts=starts)
            if part is self.parts[0]:
                self.near[form] = numbers
            if not holding(held(form, numbers, part), free):
                return None
            if part is self.parts[0] and not free and form.clip == "none":
                self.begun.append(form)
            # Where gradients were clipped at all of the few steps, more of them tell it
            starts = (
                [{}]
                if form.method in ("lion", "sign")
                else [numbers, {k: v for k, v in numbers.items() if k != "clip"}]
            )
        allowed = ranges(form, numbers, held(form, numbers, part), part.taken(slice(0, 24), 20), free=free)
        for values in (*self._limited(form, part, numbers, free), (numbers, allowed)):
            for tried in (rounded(form, part, *values, free=free), values[0]):
                holds = held(form, tried, self.run)
                if holding(holds, free):
                    return tried, holds
        return None

    def _limited(
        self, form: Form, part: Run, numbers: dict[str, float], free: bool
    ) -> list[tuple[dict[str, float], dict[str, tuple[float, float]]]]:
        """The same where every gradient is clipped, and ranges: where it holds, the limit is any under all norms."""
        if form.clip == "none":
            return []
        limit = 0.5 * float((np.abs(self.run.gradients) if form.clip == "value" else self.run.norms).min())
        if not 0 < limit < numbers["clip"]:
            return []
        names = [name for name in numbers if name != "clip"]
        values = fitted(form, part, names, free=free, known={"clip": limit}, starts=[numbers])
        values = {name: values[name] for name in numbers}
        few = part.taken(slice(0, 24), 20)
        allowed = ranges(form, values, held(form, values, few), few, free=free, fixed=("clip",))
        return [(values, {**allowed, "clip": (0, 1.9 * limit)})]


def holding(found: Held, free: bool) -> bool:
    """Whether it holds at every step, with one learning rate unless each step is free to have its own."""
    return (found.until if free else found.constant_until()) == len(found.low)


def _says(form: Form, simpler: Form) -> bool:
    return contains(form, simpler) is not None


def _covered(form: Form, numbers: Mapping[str, float], simpler: Form, run: Run, *, free: bool) -> bool:
    """Whether ``form`` only says what ``simpler`` does: it holds, but not where it would be something else."""
    if free and msgspec.structs.replace(form, bias=simpler.bias) == simpler:
        return True  # a learning rate of each step's own is a correction of bias, too
    if free and form.velocity == "mean" and simpler.velocity == "sum" and not simpler.nesterov:
        return True  # and a mean is a sum by such a factor
    if free and form.velocity == "inside" and msgspec.structs.replace(form, velocity="sum") == simpler:
        return True  # lr b^t inside a velocity of mu is lr b^t outside one of mu / b
    if free and form.method == "radam" and simpler.velocity == "sum":
        simpler = msgspec.structs.replace(simpler, velocity="mean")
    if (others := contains(form, simpler)) is None:
        return False
    far = [{name: value for name, value in other.items() if name in numbers} for other in others]
    return not any(holding(held(form, {**numbers, **each}, run), free) for each in far if each)


def _rates(holds: Held) -> tuple[Array, Array]:
    return holds.low * (1 - holds.common), holds.high * (1 + holds.common)


def ruled(form: Form, numbers: Mapping[str, float], holds: Held, run: Run, *, free: bool) -> Rule:
    """A form with its numbers, what the run allows each of them to be, and its learning rates."""
    part = run.taken(telling(run, 24), min(20, len(run.gradients)))
    if form.method == "adagrad" and form.eps == "inside" and not form.started and numbers["eps"] > LARGE_EPS:
        form = msgspec.structs.replace(form, eps="none", started=True)  # the same sum, and said as it was meant
        numbers = {**numbers, "initial_accumulator_value": numbers["eps"]}
        del numbers["eps"]
    one, powers = ties(form, numbers, holds, part, free=free)
    allowed = ranges(form, numbers, holds, part, free=free, fixed=(one,))
    tied = (one, *powers) if one else ()
    if not free:
        low, high = holds.constant(len(holds.low))
        rate = rounded_rate(low, high)
        precision = (high - low) / rate if rate else 0.0
        products = _products(one, powers, {**numbers, "lr": rate}, allowed)
        return Rule(form, dict(numbers), (rate,), "constant", allowed, precision, tied, products)
    least, most = _rates(holds)
    name, rates = course(least, most, run.unit)
    rates = np.clip(rates, least, most)
    precision = float(((most - least) / np.where(rates > 0, rates, 1)).max(initial=0, where=np.isfinite(most)))
    products = _products(one, powers, numbers, allowed)
    own = tuple(float(rate) for rate in rates)
    return Rule(form, dict(numbers), own, name, allowed, precision, tied, products)


def _products(
    one: str, powers: Mapping[str, float], numbers: Mapping[str, float], allowed: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float, float]]:
    """What is seen of numbers that are not told by themselves: by its formula the value, and its range."""
    found = {}
    for name, power in powers.items():
        if name in numbers:
            scale = numbers[one] ** power
            low, high = (end / scale for end in allowed[name])
            value = rounded_rate(low, high) if np.isfinite(high) and low > 0 else numbers[name] / scale
            root = {0.5: f"sqrt({one})", 1: one}.get(abs(power), f"{one}^{abs(power):g}")
            found[f"{name} {'/' if power > 0 else '*'} {root}".replace("_", " ")] = value, low, high
    return found


def telling(run: Run, most: int) -> Array:
    """Entries that tell most: a third moved far, a third had small gradients, the rest are spread."""
    n = run.gradients.shape[1]
    if n <= most:
        return np.arange(n)
    third = most // 3
    sharp = (np.abs(run.moved) / run.rounded).max(axis=0)
    size = np.abs(run.gradients).max(axis=0)
    size = np.where((size > 0) & (sharp > np.median(sharp) / 10), size, np.inf)
    chosen = np.concatenate([np.argsort(-sharp)[:third], np.argsort(size)[:third], np.linspace(0, n - 1, third)])
    return np.unique(chosen.astype(np.int64))
