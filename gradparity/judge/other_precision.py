"""A poor formula told from a wrong rule, by what the same backend answers in the other precision. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.results import Finding

#: Errors beyond the floor in both precisions, within this factor of each other in floors, shrink with the precision:
#: half way, in octaves, from the 1 of a poor formula to the 2^29 of a wrong rule.
PRECISION_RATIO = 2.0**14
#: The same where the other precision agrees: a wrong rule may be too small to be seen there.
AGREEING_RATIO = 16.0

#: Least that an error is smaller by in float64 than in float32 if it is one of rounding: the root of 2^29 is 2^14.5.
SHRINKS = 2.0**10


def told_apart(findings: Sequence[Finding], other: Sequence[Finding], *, finer: bool = False) -> list[Finding]:
    """``unstable`` told from ``wrong``, by the findings of the same backend in the other precision.

    Counted in floors, the error of a poor formula is about the same in both precisions: it shrinks as the floor does. A
    wrong rule is wrong by the same relative amount in both, which is 2^29 times as many floors in float64.

    Args:
        findings: in the precision that was asked for.
        other: in the other one.
        finer: the other is float64, in which a wrong rule would be seen: what is right there is poor here.

    Returns:
        The findings, in their order.
    """
    known = {(f.quantity, f.parameter): f for f in other}
    most = max((f.floors for f in other if f.floors is not None), default=0.0)
    return [
        msgspec.structs.replace(
            finding, verdict="unstable", cause="", rule=f"{finding.rule}; it shrinks with the precision"
        )
        if _shrinks(finding, known.get((finding.quantity, finding.parameter)), most, finer)
        else finding
        for finding in findings
    ]


def _shrinks(finding: Finding, other: Finding | None, most_in_other: float, finer: bool) -> bool:
    if finding.verdict != "wrong" or finding.floors is None or other is None or other.floors is None:
        return False
    if finer and other.verdict == "agrees" and finding.absolute_error:
        return True
    errors = [each.absolute_error for each in (finding, other) if each.absolute_error]
    both = other.floors > AGREES_FLOORS and len(errors) == 2
    if both and max(errors) < SHRINKS * min(errors):
        return False
    # A single number may come out right by luck: then the backend's other blocks say whether the formula is poor.
    reached = other.floors if other.floors > AGREES_FLOORS else max(other.floors, most_in_other, 1.0)
    allowed = PRECISION_RATIO if reached > AGREES_FLOORS else AGREEING_RATIO
    return 1 / allowed <= finding.floors / reached <= allowed


def needs_other_precision(findings: Sequence[Finding]) -> bool:
    """Whether a second evaluation can tell ``unstable`` from ``wrong``."""
    return any(f.verdict == "wrong" and f.floors is not None for f in findings)
