"""What is wrong beneath one rounding of larger derivatives: the same in both precisions, and not the truth. Pure.

A floor is no less than one rounding of the largest entry of its quantity (`known.Scale`), since a formula may round
terms of that size. An error below it that is a visible share of its own entry is either such a rounding, which is 2^29
times as large in float32, or the entry of a wrong rule, which is the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.judge.known import SHARES
from gradparity.judge.verdicts import AGREES_FLOORS, Values, as_held, judge_values, lengths
from gradparity.model_spec.problem import AnyProblem, Problem
from gradparity.results import Finding
from gradparity.truth.reference import Reference

#: Share of an error that answers and truths of both precisions may be apart by: float32 rounds either by far less.
APART = 0.125

STEADY = "the same in both precisions, as no rounding is: smaller than one of the largest value of its quantity"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Answered:
    """What a backend gave in one precision, and what it is held to."""

    values: Values
    reference: Reference
    problem: AnyProblem

    @classmethod
    def of(cls, values: Values, reference: Reference, problem: AnyProblem) -> Self:
        """The same, held to the right answer that it is nearest to, where there are several."""
        if not isinstance(problem, Problem):
            values, reference, _ = as_held(values, reference, problem)
        return cls(values, reference, problem)

    def block(self, key: tuple[str, str]) -> npt.NDArray[Any] | None:
        """The answer for a block that has a truth, ``None`` where there is none."""
        got = self.values.get(key[0], {}).get(key[1])
        return got if got is not None and key in self.reference.truth else None


def beneath(findings: Sequence[Finding], here: Answered) -> bool:
    """Whether an entry passes by the rounding of larger ones alone, so that an answer in the other precision tells."""
    return any(off.any() for _, off in _suspects(findings, here))


def with_steady(findings: Sequence[Finding], here: Answered, there: Answered) -> list[Finding]:
    """The findings, with ``wrong`` in place of what passes by the rounding of larger entries and is none.

    Args:
        findings: in the precision that was asked for.
        here: what they are of.
        there: the same backend's answers in the other precision.

    Returns:
        The findings, in their order.
    """
    wrong: dict[tuple[str, str], Finding] = {}
    for finding, off in _suspects(findings, here):
        key = finding.quantity, finding.parameter
        got, other, truth = here.block(key), there.block(key), here.reference.truth[key]
        if got is None or other is None or other.shape != got.shape:
            continue
        with np.errstate(all="ignore"):
            most = APART * np.abs(got - truth)
            moved = np.maximum(np.abs(other - got.astype(np.longdouble)), np.abs(there.reference.truth[key] - truth))
            steady = off & (other != 0) & (moved <= most)
        if steady.any():
            wrong[key] = _wrong(finding, got, steady, here)
    return [wrong.get((each.quantity, each.parameter), each) for each in findings]


def _suspects(findings: Sequence[Finding], here: Answered) -> Iterator[tuple[Finding, Mask]]:
    """Blocks that pass, and which of their entries are off by a visible share of themselves and more than their floor.

    An answer of zero is what underflow and saturation leave: it tells nothing.
    """
    if isinstance(here.problem, Problem) or here.problem.spec.rounding_apart:
        return
    at_kinks = {(quantity, parameter) for quantity, parameter, _ in here.reference.kinks}
    for finding in findings:
        key = finding.quantity, finding.parameter
        got = here.block(key)
        if finding.verdict not in ("agrees", "unstable") or got is None or key in at_kinks:
            continue
        truth, floor = here.reference.truth[key], here.reference.floor[key]
        if got.shape != truth.shape or str(got.dtype) not in SHARES:
            continue
        with np.errstate(all="ignore"):
            error = np.abs(got - truth)
            least = np.maximum(AGREES_FLOORS * floor, SHARES[str(got.dtype)] * np.abs(truth))
            yield finding, np.asarray((got != 0) & np.isfinite(floor) & (error > least))


def _wrong(finding: Finding, got: npt.NDArray[Any], steady: Mask, here: Answered) -> Finding:
    """The finding on these entries alone, with the cause where one fits."""
    key = finding.quantity, finding.parameter
    truth = np.where(steady, here.reference.truth[key], np.longdouble(np.nan))
    floor = here.reference.floor[key]
    alone = replace(here.reference, truth={key: truth}, floor={key: floor}, unknown={})
    (judged,) = judge_values(
        *(finding.backend, {key[0]: {key[1]: got}}, alone, str(got.dtype)),
        sizes=lengths(here.problem.data),
        params=here.problem.params,
    )
    return msgspec.structs.replace(judged, rule=f"{judged.rule}; {STEADY}")
