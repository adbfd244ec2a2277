"""What the clock saw, as tables: one-off costs, steps and loops, distance to the limit, which backend where."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradparity.benchmark.stats import Comparison, Control, MedianInterval
from gradparity.formatting import duration, ratio, size, three
from gradparity.judge.speed.choice import Quickest
from gradparity.report.terminal.style import styled, table
from gradparity.results import Formulated, ProblemResult, Timed, Timing

#: So many times the floor, neither bandwidth nor flops bind.
FAR = 20


def clock_sections(problem: ProblemResult, *, wide: bool) -> list[RenderableType]:
    """One-off costs, steps from Python, steps in a loop; below each what its figures rest on."""
    sections: list[RenderableType] = [starts(problem.timings)]
    step = steps(
        problem,
        "A gradient step: one value-and-gradient call from Python",
        lambda timing: timing.step,
        lambda timing: timing.times_floor,
        wide=wide,
    )
    sections.append(
        Group(
            step, _dim([*_limits(problem), _pairs(problem, problem.control), *_threads(problem), *_collected(problem)])
        )
    )
    if any(timing.loop for timing in problem.timings):
        loop = steps(
            problem,
            "A step of gradient descent in the backend's own loop",
            lambda timing: timing.loop,
            lambda timing: timing.loop_times_floor,
            wide=wide,
        )
        sections.append(Group(loop, _dim([_pairs(problem, problem.loop_control)])))
    if problem.formulations:
        sections.append(formulations(problem))
    return sections


def starts(timings: list[Timing]) -> Table:
    """What there is to pay before the first step."""
    again = ("warm cache",) if any(_warm(timing) is not None for timing in timings) else ()
    heads = ("import", "build", "first call", *again, "memory + peak")
    made = table("Before the first step", "backend", *heads, right=heads)
    for timing in timings:
        cache = f" {timing.compile_cache}" if timing.compile_cache else ""
        warm = _warm(timing)
        made.add_row(
            timing.backend,
            duration(1e9 * timing.import_s),
            duration(1e9 * timing.build_s),
            duration(1e9 * timing.first_call_s) + cache,
            *(("-" if warm is None else duration(1e9 * warm),) if again else ()),
            _memory(timing),
        )
    return made


def _warm(timing: Timing) -> float | None:
    """Seconds of the first call with a warm cache, where the cold one is known too."""
    return timing.warm_first_call_s if timing.compile_cache == "cold" else None


def _memory(timing: Timing) -> str:
    peak, base = timing.peak_resident_bytes, timing.import_resident_bytes
    if peak is None or base is None:
        return "-"
    return f"{size(base)} + {size(max(0, peak - base))}"


def steps(
    problem: ProblemResult,
    title: str,
    timed_of: Callable[[Timing], Timed | None],
    floor_of: Callable[[Timing], float | None],
    *,
    wide: bool,
) -> Table:
    """A row a backend: the median, the ratio to the reference with interval and verdict, the distance to the floor."""
    timings = [(timing, timed) for timing in problem.timings if (timed := timed_of(timing)) is not None]
    loops = any(timed.steps > 1 for _, timed in timings)
    primal = not loops and any(timing.primal for timing, _ in timings)
    speed = f"speed, {problem.reference} = 1"
    extra = ("95% interval", "cpu/wall") if wide else ()
    last = (*(("/ loss",) if primal else ()), *(("loop of",) if loops else ()))
    right = ("step", *extra, speed, "x floor", *last)
    made = table(title, "backend", "step", *extra, speed, "verdict", "x floor", *last, right=right)
    for timing, timed in timings:
        floor = floor_of(timing)
        made.add_row(
            timing.backend,
            duration(timed.step_ns.median) if timed.step_ns else "-",
            *((_interval(timed.step_ns), _cpu(timed)) if wide else ()),
            _ratio(timed),
            styled(timed.speed or "reference"),
            "-" if floor is None else three(floor),
            *((_primal(timing),) if primal else ()),
            *((f"{timed.steps:,}",) if loops else ()),
        )
    return made


def formulations(problem: ProblemResult) -> Table:
    """What the other formulations give, where one backend was timed with all of them."""
    mine, backend = problem.spec["formulation"], problem.formulations[0].backend
    made = table(
        f"What the other formulations give, on {backend}",
        *("formulation", "step", f"speed, {mine} = 1", "verdict", "floor"),
        right=("step", f"speed, {mine} = 1", "floor"),
    )
    for found in problem.formulations:
        made.add_row(*_formulated(found))
    return made


def _formulated(found: Formulated) -> tuple[str | Text, ...]:
    floor = "-" if found.floor_ns is None else duration(found.floor_ns)
    return (
        found.formulation,
        duration(found.step_ns.median),
        _comparison(found.ratio),
        styled(found.speed),
        floor,
    )


def _quickest(found: Quickest | None) -> str:
    return "-" if found is None else f"{' or '.join(found.names)}, {duration(found.step_ns)}"


def _limits(problem: ProblemResult) -> list[str]:
    limits = problem.limits
    if limits is None:
        return []
    distances = [timing.times_floor for timing in problem.timings if timing.times_floor is not None]
    bound = "reading X once" if limits.binds == "memory" else "its multiplications"
    return [
        f"The floor is {duration(limits.floor_ns)}, {bound}: this machine reads "
        f"{_rate(limits.read_bytes_per_s, 'B/s')} at this size and multiplies at {_rate(limits.flops_per_s, 'flop/s')}."
        + (" Nobody is near it: the calls themselves take the time." if min(distances, default=0) > FAR else "")
    ]


def _rate(found: MedianInterval, unit: str) -> str:
    return f"{three(found.median / 1e9)} G{unit}"


def _pairs(problem: ProblemResult, aa: Control | None) -> str:
    if aa is None or aa.sd is None:
        return ""
    pairs = max((t.step.ratio.pairs for t in problem.timings if t.step and t.step.ratio), default=1)
    processes = "One process a backend" if pairs == 1 else f"{pairs} processes a backend"
    return (
        f"{processes}. Two identical {problem.reference} workers differed by {100 * aa.sd:.1f}%: differences under "
        f"{100 * aa.floor:.0f}% are not called."
    )


def _collected(problem: ProblemResult) -> Iterable[str]:
    """What the garbage collector costs where there is a tape."""
    for timing in problem.timings:
        found = timing.collected.ratio if timing.collected else None
        if found is not None and found.ratio and found.low and found.high:
            slower = f"{ratio(1 / found.ratio)} [{three(1 / found.high)}, {three(1 / found.low)}]"
            yield f"With the garbage collector on, as it is in your program, {timing.backend}'s step takes {slower}."


def _threads(problem: ProblemResult) -> Iterable[str]:
    """That one thread ran, or which backend used more."""
    proofs = {timing.backend: timing.one_thread for timing in problem.timings if timing.one_thread is not None}
    if not proofs:
        return
    most = max(proof.cpu_per_wall for proof in proofs.values())
    if all(proof.holds for proof in proofs.values()):
        pinned = [name for name, proof in proofs.items() if proof.pinned]
        tied = f", {' and '.join(pinned)} tied to one core" if pinned else ""
        yield f"One thread a backend: at most {most:.2f} s of CPU a second{tied}."


def _dim(lines: Iterable[str]) -> Text:
    return Text("\n".join(line for line in lines if line), style="dim")


def _interval(step: MedianInterval | None) -> str:
    return "-" if step is None else f"{duration(step.low)} - {duration(step.high)}"


def _cpu(timed: Timed) -> str:
    return "-" if timed.cpu_per_wall is None else f"{timed.cpu_per_wall:.2f}"


def _primal(timing: Timing) -> str:
    found = timing.primal.ratio if timing.primal else None
    return "-" if found is None or found.ratio is None else ratio(found.ratio)


def _ratio(timed: Timed) -> str:
    return _comparison(timed.ratio) if timed.ratio is not None else ("1" if timed.speed is None else "-")


def _comparison(found: Comparison) -> str:
    if found.ratio is None:
        return "-"
    interval = "" if found.low is None or found.high is None else f" [{three(found.low)}, {three(found.high)}]"
    return ratio(found.ratio) + interval
