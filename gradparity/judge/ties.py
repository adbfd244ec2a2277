"""Backends at a kink, where no truth is known: their derivatives beside it are compared, and at it lie between. Pure.

At a kink every derivative between the one-sided ones is right, and frameworks choose by convention. So that neither a
convention is called wrong nor an error hidden, entries that step are judged by what each backend gives on one side, the
one on which they differ the most, with the noise of that side. What agrees there is held, at the point itself, to lie
between all sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.formatting import apart
from gradparity.judge.distances import BlockAnswers
from gradparity.judge.figures import finite, index_of
from gradparity.judge.own import Answers
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.numerics.beside import ALL_SEEN, Sides
from gradparity.numerics.extended import Extended
from gradparity.results import UNRESOLVED, Finding

Array: TypeAlias = npt.NDArray[Any]
Key: TypeAlias = tuple[str, str]

#: Figures of a comparison with one true value, which a kink has not.
_OF_ONE_TRUTH = ("absolute_error", "relative_error", "error_ulps", "floor_ulps", "floors", "truth", "got")


class Ties:
    """Every block that steps at the point on any backend: which entries do, and both ends of what is right there."""

    def __init__(self, answers: Mapping[str, Answers]) -> None:
        self.answers = answers
        #: Of blocks that step on some backend, the entries that do, and the sides of every backend that has the block.
        self.kinks: dict[Key, npt.NDArray[np.bool_]] = {}
        self.sides: dict[Key, dict[str, Sides]] = {}
        for key in dict.fromkeys(key for each in answers.values() for key in each.sides if each.steps(key)):
            stepping = next(each.sides[key] for each in answers.values() if each.steps(key))
            of_all = {
                name: each.sides[key]
                for name, each in answers.items()
                if key in each.sides and each.sides[key].low.shape == stepping.low.shape
            }
            self.sides[key] = of_all
            self.kinks[key] = np.any([each.kinks for each in of_all.values()], axis=0)

    def beside(self) -> dict[str, Answers]:
        """The answers, with each entry that steps as it is on one side of the kink."""
        found = dict(self.answers)
        for key, of_all in self.sides.items():
            low, high = (np.stack([getattr(s, end) for s in of_all.values()]) for end in ("low", "high"))
            with np.errstate(invalid="ignore"):
                take_high = np.ptp(high, axis=0) > np.ptp(low, axis=0)
            for name, sides in of_all.items():
                found[name] = self._on_side(found[name], key, np.where(take_high, sides.high, sides.low), sides.floor)
        return found

    def _on_side(self, answer: Answers, key: Key, side: Extended, floor: Extended) -> Answers:
        quantity, parameter = key
        value = answer.values.get(quantity, {}).get(parameter)
        if value is None or value.shape != side.shape:
            return answer
        here = self.kinks[key] & np.isfinite(side) & np.isfinite(value)
        tree = {**answer.values[quantity], parameter: np.where(here, side, value).astype(value.dtype)}
        floors = {**answer.floors, key: np.where(here, floor, answer.floors[key])}
        return replace(answer, values={**answer.values, quantity: tree}, floors=floors)

    def settled(self, finding: Finding, block: BlockAnswers) -> Finding:
        """The finding on a block that agrees beside its kinks, with what it has at them; any other with its side."""
        key = finding.quantity, finding.parameter
        if key not in self.kinks:
            return finding
        if finding.verdict != "agrees":
            index = finding.worst_index
            at_kink = index is not None and len(index) == self.kinks[key].ndim and self.kinks[key][index]
            on_side = at_kink and finding.verdict == "wrong" and finding.got is not None
            return msgspec.structs.replace(finding, rule=f"{finding.rule}; just beside a kink") if on_side else finding
        value = self._value(finding.backend, key)
        low, high = self._ends(key, block)
        allowed = AGREES_FLOORS * block.floor_for(finding.backend)
        others = [self._value(name, key) for name in block.agreeing if name != finding.backend]
        here = [self._value(name, key)[self.kinks[key]] for name in block.agreeing]
        if others and (np.ptp(here, axis=0) <= allowed[self.kinks[key]]).all():
            return finding  # one and the same convention, or a kink near by that is none of the point itself
        outside = self.kinks[key] & ((value < low - allowed) | (value > high + allowed))
        if not outside.any():
            index = self._shown(key, low, high)
            rule = f"{finding.rule} beside a kink, and at it is between the one-sided derivatives"
            return self._at(finding, "kink", rule, index, low, high, value)
        if others and all((np.abs(value - other)[outside] <= allowed[outside]).all() for other in others):
            return finding  # a convention that they share
        index = index_of(np.argmax(np.where(outside, np.maximum(low - value, value - high), -1)), value.shape)
        levels = max(int(each.levels[index]) for each in self.sides[key].values())
        shown = apart(float(low[index]), float(high[index]), float(value[index]))
        if key[0] == "hvp":  # a gradient that steps has no derivative, and what each has there is no error of anybody's
            beside_it = finding.rule.removeprefix("pairwise: ")
            rule = f"not judged: at a kink a second derivative has no value; beside it, it {beside_it}"
            none = dict.fromkeys(_OF_ONE_TRUTH)
            return msgspec.structs.replace(finding, verdict="kink", rule=rule, worst_index=None, **none)
        if levels > ALL_SEEN:
            tried = f"where the sides that were tried give {shown[0]} to {shown[1]}, and others may give more"
            rule = f"pairwise: {shown[2]} at a kink, {tried}: nothing here says whether it is right"
            return self._at(finding, UNRESOLVED, rule, index, low, high, value)
        rule = f"pairwise: outside a kink with one-sided derivatives {shown[0]} and {shown[1]}"
        wrong = self._at(finding, "wrong", rule, index, low, high, value)
        return msgspec.structs.replace(wrong, cause="wrong branch at a kink")

    def _value(self, name: str, key: Key) -> Extended:
        return np.asarray(self.answers[name].values[key[0]][key[1]], np.longdouble)

    def _ends(self, key: Key, block: BlockAnswers) -> tuple[Extended, Extended]:
        """The smallest and the largest derivative of all that agree."""
        of_all = [sides for name, sides in self.sides[key].items() if name in block.agreeing or not block.agreeing]
        low = np.min([s.low if s.least is None else np.fmin(s.low, s.least) for s in of_all], axis=0)
        high = np.max([s.high if s.most is None else np.fmax(s.high, s.most) for s in of_all], axis=0)
        return np.asarray(low), np.asarray(high)

    def _shown(self, key: Key, low: Extended, high: Extended) -> tuple[int, ...]:
        """The entry at which backends differ the most; where they do not, the one with the widest step."""
        values = [self._value(name, key) for name in self.sides[key]]
        same = [value for value in values if value.shape == low.shape and np.isfinite(value).all()]
        differ = np.ptp(same, axis=0) if same else np.zeros(low.shape)
        step = high - low
        differ = np.where(differ > 1e-6 * step, differ, 0)
        score = np.where(self.kinks[key], differ if differ.any() else step, -1)
        return index_of(np.argmax(score), low.shape)

    @staticmethod
    def _at(
        finding: Finding, verdict: Any, rule: str, index: tuple[int, ...], low: Extended, high: Extended, value: Any
    ) -> Finding:
        figures = dict.fromkeys(_OF_ONE_TRUTH) | {"got": finite(value[index])}
        ends = float(low[index]) + 0.0, float(high[index]) + 0.0  # and no minus zero
        return msgspec.structs.replace(finding, verdict=verdict, rule=rule, worst_index=index, sides=ends, **figures)
