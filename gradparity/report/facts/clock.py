"""What the clock saw, as tables: one-off costs, steps and loops, other formulations, the distance to the limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gradparity.benchmark.stats import Control
from gradparity.formatting import duration, ratio, size, three
from gradparity.report.facts import words
from gradparity.report.facts.view import Cell, Head, Table, heads, missing
from gradparity.results import ProblemResult, Timed, Timing

#: So many times the floor, neither bandwidth nor flops bind.
_FAR = 20


@dataclass(frozen=True)
class ClockedCall:
    """A kind of call that is timed in turns: a step from Python, or one in the backend's own loop."""

    key: str
    caption: str
    timed: Callable[[Timing], Timed | None]
    times_floor: Callable[[Timing], float | None]
    control: Callable[[ProblemResult], Control | None]

    def of(self, problem: ProblemResult) -> list[tuple[Timing, Timed]]:
        """Everybody of whom it was timed, the twin of the reference last."""
        everyone = [*problem.timings, *([problem.twin] if problem.twin else [])]
        return [(timing, timed) for timing in everyone if (timed := self.timed(timing)) is not None]


STEP = ClockedCall(
    "step",
    "A gradient step: one value-and-gradient call from Python",
    lambda timing: timing.step,
    lambda timing: timing.times_floor,
    lambda problem: problem.control,
)
LOOP = ClockedCall(
    "loop",
    "A step of gradient descent in the backend's own loop",
    lambda timing: timing.loop,
    lambda timing: timing.loop_times_floor,
    lambda problem: problem.loop_control,
)


def clock_tables(problem: ProblemResult) -> list[Table]:
    """One-off costs, steps from Python, steps in a loop, other formulations: those that there are."""
    found = (starts(problem), steps(problem, STEP), steps(problem, LOOP), formulations(problem))
    return [table for table in found if table is not None]


def starts(problem: ProblemResult) -> Table | None:
    """What there is to pay before the first step, in time and in memory."""
    timings = [timing for timing in problem.timings if timing.starts]
    if not timings:
        return None
    figures = ("import", "build", "first call", "warm cache", "in all", "memory", "peak adds")
    notes = []
    if any(timing.compile_cache for timing in timings):
        notes = ["A cold first call compiles with an empty cache on disk, a warm one finds the last one's."]
    columns = heads("backend", *figures, figures=figures, extra=("in all",))
    return Table("Before the first step", columns, [_start(timing) for timing in timings], notes)


def imported(timing: Timing) -> bool:
    """Whether a process was timed: without one there is no time of import."""
    return any(start.pair is not None for start in timing.starts)


def memory(timing: Timing) -> tuple[int, int] | None:
    """Resident bytes after the import, and how many more at the peak."""
    peak, base = timing.peak_resident_bytes, timing.import_resident_bytes
    return None if peak is None or base is None else (base, max(0, peak - base))


def _start(timing: Timing) -> list[Cell]:
    known, resident = imported(timing), memory(timing)
    return [
        Cell(timing.backend),
        words.seconds(timing.import_s if known else None),
        words.seconds(timing.build_s if known else None),
        words.seconds(timing.first_call_s, timing.compile_cache),
        words.seconds(timing.warm_first_call_s if timing.compile_cache == "cold" else None),
        words.seconds(timing.start_s if known else None),
        *([Cell(size(value), value) for value in resident] if resident else [missing(), missing()]),
    ]


def steps(problem: ProblemResult, call: ClockedCall) -> Table | None:
    """A row a backend: the median, the ratio to the reference with interval and verdict, the distance to the floor."""
    found = call.of(problem)
    if not found:
        return None
    several = any(timed.steps > 1 for _, timed in found)
    primal = not several and any(timing.primal for timing, _ in found)
    rows = [
        [
            Cell(timing.backend, note="A/A control" if timing is problem.twin else ""),
            words.step(timed.step_ns),
            words.compared(timed.ratio) if timed.ratio is not None or timed.speed is not None else Cell("1", 1.0),
            words.verdict_cell(timed.speed or "reference"),
            words.times(call.times_floor(timing)),
            missing() if timed.cpu_per_wall is None else Cell(f"{timed.cpu_per_wall:.2f}", timed.cpu_per_wall),
            *([words.compared(timing.primal.ratio if timing.primal else None)] if primal else []),
            *([words.count(timed.steps)] if several else []),
        ]
        for timing, timed in found
    ]
    columns = [
        Head("backend", bare=True),
        Head("a step", figures=True, bare=True, title="median, and its 95% interval"),
        Head(f"speed, {problem.reference} = 1", figures=True, title="how many times as fast, and its 95% interval"),
        Head("verdict"),
        Head("times floor", figures=True, title="its time over the least that this machine could do it in"),
        Head("cpu/wall", figures=True, extra=True),
        *([Head("over loss", figures=True, bare=True, title="its time over that of the loss alone")] if primal else []),
        *([Head("steps a call", figures=True, extra=True)] if several else []),
    ]
    notes = [*_control(problem, call)]
    if call is STEP:
        notes = [*limits(problem), *notes, *_threads(problem), *_collected(problem)]
    return Table(call.caption, columns, rows, notes)


def formulations(problem: ProblemResult) -> Table | None:
    """What the other formulations of the same model give, where one backend was timed with all of them."""
    if not problem.formulations:
        return None
    mine = str(problem.spec.get("formulation", "this"))
    rows = [
        [
            Cell(found.formulation),
            Cell(found.backend),
            words.step(found.step_ns),
            words.compared(found.ratio),
            words.verdict_cell(found.speed),
            words.nanoseconds(found.floor_ns),
        ]
        for found in problem.formulations
    ]
    columns = [
        Head("formulation"),
        Head("backend"),
        Head("a step", figures=True, bare=True),
        Head(f"speed, {mine} = 1", figures=True),
        Head("verdict"),
        Head("its floor", figures=True),
    ]
    note = f"The same model, written otherwise: timed in turns with {mine}, in one process of one backend."
    return Table("What the other formulations give", columns, rows, [note])


def limits(problem: ProblemResult) -> list[str]:
    """What this machine could do a step in."""
    found = problem.limits
    if found is None:
        return []
    distances = [timing.times_floor for timing in problem.timings if timing.times_floor is not None]
    bound = "reading X once" if found.binds == "memory" else "its multiplications"
    reads, multiplies = (three(each.median / 1e9) for each in (found.read_bytes_per_s, found.flops_per_s))
    return [
        f"The floor is {duration(found.floor_ns)}, {bound}: this machine reads {reads} GB/s at this size and "
        f"multiplies at {multiplies} Gflop/s."
        + (" Nobody is near it: the calls themselves take the time." if min(distances, default=0) > _FAR else "")
    ]


def _control(problem: ProblemResult, call: ClockedCall) -> Iterable[str]:
    """What two identical workers showed."""
    found = call.control(problem)
    if found is not None and found.sd is not None:
        pairs = max((timed.ratio.pairs for _, timed in call.of(problem) if timed.ratio), default=1)
        yield (
            f"{'One process' if pairs == 1 else f'{pairs} processes'} a backend. A/A control: two identical "
            f"{problem.reference} workers differed by {100 * found.sd:.1f}%, so differences under "
            f"{100 * found.floor:.0f}% are not called."
        )


def _threads(problem: ProblemResult) -> Iterable[str]:
    """That one thread ran."""
    proofs = {timing.backend: timing.one_thread for timing in problem.timings if timing.one_thread is not None}
    if proofs and all(proof.holds for proof in proofs.values()):
        pinned = [name for name, proof in proofs.items() if proof.pinned]
        tied = f", {' and '.join(pinned)} tied to one core" if pinned else ""
        most = max(proof.cpu_per_wall for proof in proofs.values())
        yield f"One thread a backend: a maximum of {most:.2f} s of CPU a second{tied}."


def _collected(problem: ProblemResult) -> Iterable[str]:
    """What the garbage collector costs where there is a tape."""
    for timing in problem.timings:
        found = timing.collected.ratio if timing.collected else None
        if found is not None and found.ratio and found.low and found.high:
            slower = f"{ratio(1 / found.ratio)} {words.interval(1 / found.high, 1 / found.low)}"
            yield f"With the garbage collector on, as it is in your program, {timing.backend}'s step takes {slower}."
