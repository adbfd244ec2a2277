"""Which backend to choose for one problem: correct ones only, the fastest first, ties said as ties. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.break_even import Cost, crossing
from gradparity.results import Finding, ProblemResult, Recommendation, Timing, Training
from gradparity.units import duration, ratio, three

#: The closed form needs its gradient derived by hand: it is timed as the yardstick and not recommended.
BY_HAND = "numpy"


def recommend(problem: ProblemResult) -> Recommendation | None:
    """The fastest of the backends that agree with the truth, and the reasons; ``None`` where nothing was timed."""
    bad = {found.backend: found for found in reversed(problem.not_good)}  # the first of each
    timed = sorted((t for t in problem.timings if t.step_ns is not None), key=_step_ns)
    correct = [timing for timing in timed if timing.backend not in bad and timing.backend != BY_HAND]
    if not correct:
        return None
    best = correct[0]
    choice = [timing.backend for timing in correct if timing is best or _tie(best, timing)]
    reasons = [f"{best.backend} takes {duration(_step_ns(best))} a gradient step"]
    if best.speed == "unstable":
        reasons.append("its timing was unstable, too many rounds were disturbed: time again on a quieter machine")
    reasons += _against(best, [timing for timing in correct if timing.backend not in choice][:1])
    if len(choice) > 1:
        reasons.append(f"a tie: the intervals of {', '.join(choice)} overlap, and no order is claimed")
    reasons += _break_even(best, correct)
    by_hand = next((timing for timing in timed if timing.backend == BY_HAND), None)
    if by_hand is not None:
        reasons.append(f"{BY_HAND}'s closed form, derived by hand, takes {duration(_step_ns(by_hand))}")
    reasons += [_excluded(found) for found in bad.values()]
    return Recommendation(choice=choice, reasons=reasons)


def _step_ns(timing: Timing) -> float:
    assert timing.step_ns is not None  # noqa: S101  # the callers' filter
    return timing.step_ns.median


def _tie(best: Timing, other: Timing) -> bool:
    """Whether the two ratios to the reference cannot be told apart."""
    a, b = best.ratio, other.ratio
    if a is None or b is None or a.low is None or b.high is None:
        return other.ratio is best.ratio
    return b.high >= a.low


def _against(best: Timing, next_best: Sequence[Timing]) -> list[str]:
    """The lead over the next, from both ratios to the reference that they were timed against in turns.

    Without both intervals nothing is claimed. The interval is the widest that the two allow.
    """
    reasons = []
    for other in next_best:
        a, b = best.ratio, other.ratio
        if a is None or b is None or None in (a.ratio, a.low, a.high, b.ratio, b.low, b.high):
            continue
        lead, low, high = a.ratio / b.ratio, a.low / b.high, a.high / b.low  # type: ignore[operator]
        reasons.append(f"{ratio(lead)} [{three(low)}, {three(high)}] as fast as the next, {other.backend}")
    return reasons


def _break_even(best: Timing, correct: Sequence[Timing]) -> list[str]:
    """From which number of steps the best has repaid its import and first call against each cheaper start."""
    reasons = []
    for other in correct:
        steps = None if other is best else crossing(_cost(best), _cost(other))
        if steps is not None:
            reasons.append(
                f"{other.backend} is cheaper in all for fewer than {steps:,} steps: {best.backend} first has to repay "
                f"{duration(1e9 * (_start_s(best) - _start_s(other)))} of import and first call"
            )
    return reasons


def _cost(timing: Timing) -> Cost:
    return Cost(import_s=timing.import_s, build_s=0.0, first_call_s=timing.first_call_s, step_s=_step_ns(timing) / 1e9)


def _start_s(timing: Timing) -> float:
    return timing.import_s + timing.first_call_s


def _excluded(found: Finding | Training) -> str:
    where = f"{found.quantity} {found.parameter}".rstrip() if isinstance(found, Finding) else "training"
    return f"{found.backend} is left out: {found.verdict} in {where}"
