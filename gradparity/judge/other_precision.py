"""A poor formula told from a wrong rule, by what the same backend answers in the other precision. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.model_spec.precisions import PRECISIONS
from gradparity.model_spec.problem import AnyProblem, Problem
from gradparity.results import Finding

#: Errors beyond the floor in both precisions, within this factor of each other in floors, shrink with the precision:
#: half way, in octaves, from the 1 of a poor formula to the 2^29 of a wrong rule.
PRECISION_RATIO = 2.0**14
#: The same where the other precision agrees: a wrong rule may be too small to be seen there.
AGREEING_RATIO = 16.0

#: Least that an error is smaller by in float64 than in float32 if it is one of rounding: the root of 2^29 is 2^14.5.
SHRINKS = 2.0**10
#: Roundings of the loss over the parameters below which a derivative may be lost as a whole in both precisions: as many
#: as those of a poor formula may be apart.
LOST_ROUNDINGS = PRECISION_RATIO
#: Share of the largest true value that is off where a block is lost as a whole: all of one term of a few.
AS_A_WHOLE = 0.25
#: Floors up to which an error of float64 that float32 cannot see may be a formula's, in models of which frameworks have
#: formulas of their own: 122 were seen of a right one. More, where it is a few roundings of what derivatives mostly
#: are.
FEW_FLOORS = 128.0
#: Relative error in float64 of what float32 has lost as a whole, and a wrong rule would have as wrong in both.
HAS_DIGITS = 2.0**-5


@dataclass(frozen=True)
class Pair:
    """The precision that was asked for, and the other one that tells ``unstable`` from ``wrong``."""

    asked: str = "float64"
    other: str = "float32"

    @property
    def finer(self) -> bool:
        """Whether a wrong rule would be seen in the other one: what is right there is poor here."""
        return self.units[1] < self.units[0]

    @property
    def units(self) -> tuple[float, float]:
        """Both unit roundoffs."""
        return PRECISIONS[self.asked].unit, PRECISIONS[self.other].unit

    def between(self, ratio: float) -> float:
        """What is such a ratio between float64 and float32, for these two: the same share of the octaves between."""
        octaves = abs(math.log2(self.units[0] / self.units[1]))
        return float(ratio ** (octaves / 29))


USUAL = Pair()


def told_apart(
    findings: Sequence[Finding],
    other: Sequence[Finding],
    *,
    pair: Pair = USUAL,
    sizes: Mapping[str, float] | None = None,
) -> list[Finding]:
    """``unstable`` told from ``wrong``, by the findings of the same backend in the other precision.

    Counted in floors, the error of a poor formula is about the same in both precisions: it shrinks as the floor does. A
    wrong rule is wrong by the same relative amount in both, which is 2^29 times as many floors in float64.

    What a formula loses as a whole does not shrink: where a probability rounds to one, its derivative is the rounding
    of terms of the size that derivatives have when nothing saturates, or nothing. That is told where the whole value is
    lost and smaller than one rounding of such terms, or where one precision has lost it and both are off by no more
    than some such roundings.

    Args:
        findings: in the precision that was asked for.
        other: in the other one.
        pair: both precisions.
        sizes: what `usual_sizes` gives.

    Returns:
        The findings, in their order.
    """
    known = {(f.quantity, f.parameter): f for f in other}
    most = _most_of_formulas(findings, known, pair)
    known_sizes = dict(sizes or {})
    if sizes and all(f.verdict == "agrees" for f in findings if f.quantity == "gradient"):
        known_sizes["loss"] = 1.0  # a logarithm of a probability, whose formula saturates where its derivative does not
    told = []
    for finding in findings:
        beside, words = known.get((finding.quantity, finding.parameter)), ""
        if _shrinks(finding, beside, most, pair):
            words = "it shrinks with the precision"
        elif _is_lost(finding, beside, known_sizes.get(finding.quantity, 0.0), pair):
            words = "lost as a whole: the truth is no more than a few roundings of what this is computed from"
        elif sizes and _is_too_small_to_tell(finding, beside, sizes.get(finding.quantity, 0.0)):
            words = "float32 cannot see it: a formula that rounds more, or a rule that is wrong in its last digits"
        if words:
            finding = msgspec.structs.replace(finding, verdict="unstable", cause="", rule=f"{finding.rule}; {words}")
        told.append(finding)
    return told


def _most_of_formulas(findings: Sequence[Finding], known: Mapping[tuple[str, str], Finding], pair: Pair) -> float:
    """The largest error in the other precision, in floors, but for blocks that are wrong in both, and say nothing."""
    most = 0.0
    for finding in findings:
        beside = known.get((finding.quantity, finding.parameter))
        if beside is None or beside.floors is None:
            continue
        wrong_in_both = finding.verdict == "wrong" and beside.floors > AGREES_FLOORS
        if not wrong_in_both or _shrinks(finding, beside, 0.0, pair):
            most = max(most, beside.floors)
    return most


def usual_sizes(loss: Any, problem: AnyProblem) -> dict[str, float]:
    """The size of derivatives by quantity when nothing saturates: the loss over the largest parameter, as in ``L / p``.

    Args:
        loss: its true value, a real number of any kind.
        problem: parameters, and the tangents that JVP and HVP are along.

    Returns:
        ``L / p``, ``L v / p`` and ``L v / p^2``, with p and v the largest: none where the loss is no number, and none
        of a built-in model, whose backends have formulas that keep what saturates.
    """
    size, p, v = np.float64(abs(loss)), _largest(problem.params), _largest(problem.tangents)
    if isinstance(problem, Problem) or not np.isfinite(size) or not p:
        return {}
    with np.errstate(all="ignore"):
        sizes = {"gradient": size / p, "jvp": size / p * v, "hvp": size / p * v / p}
    return {quantity: float(value) for quantity, value in sizes.items() if np.isfinite(value)}


def _largest(tree: Mapping[str, npt.NDArray[Any]]) -> np.float64:
    return np.float64(max((np.abs(value).max(initial=0) for value in tree.values()), default=0))


def _is_lost(finding: Finding, other: Finding | None, size: float, pair: Pair) -> bool:
    units = [unit * size for unit in pair.units]
    error = finding.absolute_error
    if finding.verdict != "wrong" or error is None:
        return False
    if _as_a_whole(finding) and error <= units[0]:
        return True
    if other is None or other.absolute_error is None or other.verdict not in ("wrong", "unstable"):
        return False
    most = pair.between(LOST_ROUNDINGS)
    few = error <= most * units[0] and other.absolute_error <= most * units[1]
    return few and any(map(_as_a_whole, (finding, other)))


def _is_too_small_to_tell(finding: Finding, other: Finding | None, size: float) -> bool:
    if finding.verdict != "wrong" or finding.floors is None or other is None or other.verdict != "agrees":
        return False
    unit = float(np.finfo(np.float64).eps) / 2
    return finding.floors <= FEW_FLOORS or (finding.absolute_error or math.inf) <= LOST_ROUNDINGS * unit * size


def _as_a_whole(finding: Finding) -> bool:
    return (finding.relative_error or 0.0) >= AS_A_WHOLE


def _shrinks(finding: Finding, other: Finding | None, most_in_other: float, pair: Pair) -> bool:
    if finding.verdict != "wrong" or finding.floors is None or other is None or other.floors is None:
        return False
    if pair.finer and other.verdict == "agrees" and finding.absolute_error:
        return True
    if pair.finer and _as_a_whole(finding) and (other.relative_error or 1.0) <= HAS_DIGITS:
        return True
    errors = [each.absolute_error for each in (finding, other) if each.absolute_error]
    both = other.floors > AGREES_FLOORS and len(errors) == 2
    if both and max(errors) < pair.between(SHRINKS) * min(errors):
        return False
    # A single number may come out right by luck: then the backend's other blocks say whether the formula is poor.
    reached = other.floors if other.floors > AGREES_FLOORS else max(other.floors, most_in_other, 1.0)
    allowed = pair.between(PRECISION_RATIO) if reached > AGREES_FLOORS else AGREEING_RATIO
    return 1 / allowed <= finding.floors / reached <= allowed


def needs_other_precision(findings: Sequence[Finding]) -> bool:
    """Whether a second evaluation can tell ``unstable`` from ``wrong``."""
    return any(f.verdict == "wrong" and f.floors is not None for f in findings)
