"""Which backend to choose for one problem: correct ones only, the least total time first, ties said as ties. Pure.

Total time of K steps is import + build + first call + (K - 1) steps: who starts slowly and steps fast wins from some
number of steps on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from gradparity.benchmark.break_even import Cost, crossing, envelope, total_s
from gradparity.benchmark.stats import DISCARD_LIMIT, Comparison, MedianInterval, between
from gradparity.formatting import duration, ratio, three
from gradparity.results import Finding, ProblemResult, Recommendation, Span, Timed, Timing, Training
from gradparity.results.blocks import CALLS, disturbed_of, timed_of

#: The closed form needs its gradient derived by hand: it is timed as the yardstick and not recommended.
BY_HAND = "numpy"
#: So many times the steps that a choice is for it is told who is cheapest: beyond, nobody has seen a step's time hold.
REACH = 100
#: Two totals this close are a tie where one process was started of each: starts vary by as much.
START_SCATTER = 0.05


def recommend(problem: ProblemResult, steps: int) -> Recommendation | None:
    """The backend with the least total time for so many steps, of those that agree; ``None`` without any.

    A backend whose timings are unstable is none to choose, and is named with the figures; without any other the choice
    is empty.
    """
    bad = {found.backend: found for found in reversed(problem.not_good)}  # the first of each
    out = bad.keys() | _no_choice(problem)
    correct = {
        timing.backend: timing
        for timing in problem.timings
        if timing.backend not in out and _step(timing.step) is not None
    }
    if not correct:
        return None
    shaky = {name: said for name, timing in correct.items() if (said := _unstable(problem, timing))}
    left_out = [f"{name} is left out: {said}" for name, said in shaky.items()]
    doubted = doubts(correct.values())
    correct = {name: timing for name, timing in correct.items() if name not in shaky}
    if not correct:
        return Recommendation(choice=[], reasons=[*left_out, *doubted, *_by_hand(problem)], steps=steps)
    loops = {name: timing.loop if _step(timing.loop) else timing.step for name, timing in correct.items()}
    best = min(correct, key=lambda name: total_s(cost_of(correct[name], loops[name]), steps))
    choice = [best, *(name for name in correct if name != best and _tie(correct, loops, best, name, steps))]
    spans = _spans(correct, loops, steps)
    looped = any(_step(timing.loop) for timing in correct.values())
    by_step = {name: timing.step for name, timing in correct.items()}
    step_spans = _spans(correct, by_step, steps)
    reasons = [
        _total(correct[best], loops[best], steps),
        *([f"a tie: the totals of {', '.join(choice)} overlap, and no order is claimed"] if len(choice) > 1 else []),
        *left_out,
        *([f"in a loop of the backend's own: {_said(spans, correct, steps)}"] if looped else []),
        f"called step by step from Python: {_said(step_spans, correct, steps)}",
        *_lead(by_step, "a step from Python"),
        *_lead({name: timing.loop for name, timing in correct.items()}, "a step in a loop"),
        *doubted,
        *_by_hand(problem),
        *(_excluded(found) for found in bad.values()),
    ]
    return Recommendation(choice=choice, reasons=reasons, steps=steps, spans=spans, step_spans=step_spans)


def quickest(problem: ProblemResult, timed_of: Callable[[Timing], Timed | None]) -> tuple[list[str], float] | None:
    """Who has the shortest median step of those that agree, the closed form apart; ``None`` without any.

    Returns:
        The backends, best first, those that cannot be told from it among them; and nanoseconds.
    """
    bad = {found.backend for found in problem.not_good} | _no_choice(problem)
    bad |= {timing.backend for timing in problem.timings if _unstable(problem, timing)}
    found = {timing.backend: timed_of(timing) for timing in problem.timings if timing.backend not in bad}
    timed = {name: (step.median, each) for name, each in found.items() if each and (step := each.step_ns)}
    if not timed:
        return None
    best = min(timed, key=lambda name: timed[name][0])
    ties = (name for name in timed if name != best and _tied(timed[best][1], timed[name][1]))
    return [best, *ties], timed[best][0]


def _tied(best: Timed, other: Timed) -> bool:
    """Whether neither is known to be quicker: by their ratios, or for want of one that can be trusted."""
    return "unstable" in (best.speed, other.speed) or _overlap(best.ratio, other.ratio)


def _overlap(best: Comparison | None, other: Comparison | None) -> bool:
    if best is None or other is None or best.low is None or other.high is None:
        return False
    return other.high >= best.low


def break_even(spans: Sequence[Span], steps: int) -> str:
    """``autograd up to 899 steps [712, 1,204], then jax``, or ``jax for up to 100,000 steps``, `REACH` times those."""
    if len(spans) == 1:
        return f"{spans[0].backend} for up to {REACH * steps:,} steps"
    words = spans[0].backend
    for span in spans[1:]:
        words += f" up to {span.first - 1:,} steps {_range(span)}, then {span.backend}"
    return words


def _range(span: Span) -> str:
    """The last number of steps before it, at both ends of the intervals."""
    high = f"{span.high - 1:,}" if span.high is not None else "never"
    low = f"{span.low - 1:,}" if span.low is not None else "0"
    return f"[{low}, {high}]"


def _step(timed: Timed | None) -> MedianInterval | None:
    return timed.step_ns if timed is not None else None


def cost_of(timing: Timing, timed: Timed | None, *, end: str = "median") -> Cost:
    """What a backend costs with the median of its timed step, or another end of its interval."""
    step = _step(timed)
    assert step is not None  # noqa: S101  # the callers' filter
    return Cost(
        import_s=timing.import_s,
        build_s=timing.build_s,
        first_call_s=timing.first_call_s,
        step_s=getattr(step, end) / 1e9,
    )


def _tie(correct: Mapping[str, Timing], loops: Mapping[str, Timed | None], best: str, other: str, steps: int) -> bool:
    """Whether the totals cannot be told apart: intervals of the step, and starts that vary by a twentieth."""
    (_, most), (least, _) = (_range_s(correct[name], loops[name], steps) for name in (best, other))
    return least <= most


def _range_s(timing: Timing, timed: Timed | None, steps: int) -> tuple[float, float]:
    low, high = (total_s(cost_of(timing, timed, end=end), steps) for end in ("low", "high"))
    return low - START_SCATTER * timing.start_s, high + START_SCATTER * timing.start_s


def _total(timing: Timing, timed: Timed | None, steps: int) -> str:
    cost = cost_of(timing, timed)
    parts = [
        f"{duration(1e9 * timing.import_s)} of import",
        f"{duration(1e9 * (timing.build_s + timing.first_call_s))} of first call",
        f"{duration(1e9 * cost.step_s)} a step",
    ]
    return f"{steps:,} steps take {duration(1e9 * total_s(cost, steps))} with {timing.backend}: {', '.join(parts)}"


def _spans(correct: Mapping[str, Timing], timed: Mapping[str, Timed | None], steps: int) -> list[Span]:
    """Who is cheapest for how many steps, with the range that the intervals of the steps leave to each change."""
    costs = {name: cost_of(timing, timed[name]) for name, timing in correct.items()}
    found: list[Span] = []
    for first, name in envelope(costs):
        if not found:
            found.append(Span(first=first, backend=name))
            continue
        if first > REACH * steps:
            break
        before = found[-1].backend
        ends = [
            crossing(cost_of(correct[before], timed[before], end=slow), cost_of(correct[name], timed[name], end=fast))
            for slow, fast in (("high", "low"), ("low", "high"))
        ]
        found.append(Span(first=first, backend=name, low=ends[0], high=ends[1]))
    return found


def _said(spans: list[Span], correct: Mapping[str, Timing], steps: int) -> str:
    """``autograd up to 899 steps [712, 1,204]; then jax: its 0.9 s of import and first call are repaid``."""
    words = spans[0].backend
    for before, span in pairwise(spans):
        more_s = correct[span.backend].start_s - correct[before.backend].start_s
        repaid = f"its start, {duration(1e9 * more_s)} longer, is repaid"
        words += f" up to {span.first - 1:,} steps {_range(span)}; then {span.backend}: {repaid}"
    return words if len(spans) > 1 else f"{words}, for up to {REACH * steps:,} steps"


def _unstable(problem: ProblemResult, timing: Timing) -> str:
    """Which of a backend's calls are unstable, by the rounds in which itself was disturbed.

    The reference's are those of all the others: one of them that is disturbed says nothing of it, nor it of them.
    """
    found = []
    for call in CALLS:
        timed = timed_of(timing, call)
        rounds, disturbed = disturbed_of(problem, timing.backend, call)
        if timed is not None and disturbed > DISCARD_LIMIT * rounds:
            told = timed.speed == "unstable"  # `doubts` has the figures
            found.append(
                f"its {call} is unstable" + ("" if told else f", {disturbed} of {rounds} rounds were disturbed")
            )
    return " and ".join(found)


def _lead(timed: Mapping[str, Timed | None], what: str) -> list[str]:
    """How much faster the fastest is than the next; nothing is claimed without both intervals."""
    steps = {name: step.median for name, found in timed.items() if (step := _step(found)) is not None}
    names = sorted(steps, key=lambda name: steps[name])[:2]
    ratios = [found.ratio for name in names if (found := timed[name]) is not None and found.speed != "unstable"]
    lead = between(*ratios) if len(ratios) == 2 else None
    if lead is None:
        return []
    middle, low, high = lead
    return [f"{what}: {names[0]} is {ratio(middle)} [{three(low)}, {three(high)}] as fast as the next, {names[1]}"]


def doubts(timings: Iterable[Timing]) -> list[str]:
    """What makes timings less than they look, each kind once."""
    unstable: list[str] = []
    unrelated: list[str] = []
    restless, threaded = [], []
    for timing in timings:
        for call, timed in (("step", timing.step), ("loop", timing.loop)):
            if timed is None:
                continue
            if timed.speed == "unstable" and timed.ratio is not None:
                own = sum(each.challenger_disturbed for each in timed.rounds) > DISCARD_LIMIT * len(timed.rounds)
                figures = f"{timing.backend}'s {call} {timed.ratio.discarded} of {timed.ratio.rounds}"
                (unstable if own else unrelated).append(figures)
            if not all(warm.converged for warm in timed.warm_ups):
                longest_s = max(warm.seconds for warm in timed.warm_ups)
                restless.append(f"{timing.backend}'s {call} after {duration(1e9 * longest_s)}")
        if timing.one_thread is not None and not timing.one_thread.holds:
            threaded.append(f"{timing.backend} {timing.one_thread.cpu_per_wall:.2f} s of CPU a second")
    return [
        f"{what} ({', '.join(found)}): {cure}"
        for what, found, cure in (
            ("unstable, too many rounds were disturbed", unstable, "time again on a quieter machine"),
            ("no ratio, it or the reference was disturbed in too many rounds", unrelated, "its own times hold"),
            ("not settled when warming up ended", restless, "its first blocks may be slow ones"),
            ("more than one thread worked, even on one core", threaded, "compare with that in mind"),
        )
        if found
    ]


def _no_choice(problem: ProblemResult) -> set[str]:
    """Backends that are timed and not recommended, whatever they give."""
    return {BY_HAND, *(timing.backend for timing in problem.timings if timing.piped)}


def _by_hand(problem: ProblemResult) -> list[str]:
    """Why each of them is not, with how long it takes."""
    found = []
    for timing in problem.timings:
        step, way = _step(timing.step), _step(timing.communication)
        if step is None:
            continue
        if timing.backend == BY_HAND:
            took = duration(step.median)
            found.append(f"{BY_HAND} is none to choose: its gradient is derived by hand ({took} a step)")
        elif timing.piped:
            found.append(
                f"{timing.backend} is none to choose: its numbers go through a pipe, {_way(timing, step, way)}"
            )
    return found


def _way(timing: Timing, step: MedianInterval, way: MedianInterval | None) -> str:
    """What of a step the way of its numbers takes; where that by itself took no less, nobody knows."""
    took = f"{duration(step.median)} a step"
    if way is None or timing.communication is None:
        return f"which takes nobody knows how much of {took}"
    if timing.communication.ratio is None or timing.communication.ratio.ratio is None:
        why = f"every round that timed it beside the step was disturbed ({duration(way.median)} by itself)"
        return f"whose share of {took} is not known: {why}"
    if share_of(timing.communication) is None or way.median >= step.median:
        return f"whose share of {took} is not known: by itself it took no less, {duration(way.median)}"
    return f"which takes {duration(way.median)} of {took}"


def share_of(communication: Timed) -> float | None:
    """The part of a step that communication takes, from turns of both; ``None`` where it took no less, or unknown."""
    ratio = communication.ratio.ratio if communication.ratio else None
    return None if ratio is None or ratio <= 1 else 1 / ratio


def _excluded(found: Finding | Training) -> str:
    where = found.block if isinstance(found, Finding) else "training"
    return f"{found.backend} is left out: {found.verdict} in {where}"
