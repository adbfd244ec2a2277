"""What the clock saw, as tables: one-off costs, steps and loops, other formulations, the distance to the limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gradparity.benchmark.stats import Control
from gradparity.formatting import duration, ratio, size, three
from gradparity.judge.speed.choice import share_of
from gradparity.report.facts import words
from gradparity.report.facts.view import Cell, Column, Figures, Table, missing, tabulated
from gradparity.results import Formulated, ProblemResult, Timed, Timing

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
        return [(timing, timed) for timing in problem.clocks if (timed := self.timed(timing)) is not None]


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
    notes = []
    if any(timing.compile_cache for timing in timings):
        notes = ["A cold first call compiles with an empty cache on disk, a warm one finds the last one's."]
    columns: list[Column[Timing]] = [
        Column("backend", lambda t: Cell(t.backend)),
        Figures("import", lambda t: words.seconds(t.import_s if imported(t) else None)),
        Figures("build", lambda t: words.seconds(t.build_s if imported(t) else None)),
        Figures("first call", lambda t: words.seconds(t.first_call_s, t.compile_cache)),
        Figures(
            "warm cache",
            lambda t: words.seconds(t.warm_first_call_s if t.compile_cache == "cold" else None),
        ),
        Figures("in all", lambda t: words.seconds(t.start_s if imported(t) else None), extra=True),
        Figures("memory", lambda t: _bytes(t, 0)),
        Figures("peak adds", lambda t: _bytes(t, 1)),
    ]
    return tabulated("Before the first step", timings, columns, notes)


def imported(timing: Timing) -> bool:
    """Whether a process was timed: without one there is no time of import."""
    return any(start.pair is not None for start in timing.starts)


def memory(timing: Timing) -> tuple[int, int] | None:
    """Resident bytes after the import, and how many more at the peak."""
    peak, base = timing.peak_resident_bytes, timing.import_resident_bytes
    return None if peak is None or base is None else (base, max(0, peak - base))


def _bytes(timing: Timing, which: int) -> Cell:
    resident = memory(timing)
    return Cell(size(resident[which]), resident[which]) if resident else missing()


def steps(problem: ProblemResult, call: ClockedCall) -> Table | None:
    """A row a backend: the median, the ratio to the reference with interval and verdict, the distance to the floor."""
    found = call.of(problem)
    if not found:
        return None
    several = any(timed.steps > 1 for _, timed in found)
    reference = words.reference([timing.backend for timing, _ in found], problem)
    columns: list[Column[tuple[Timing, Timed]]] = [
        Column("backend", lambda c: Cell(c[0].backend, note="A/A control" if c[0] is problem.twin else ""), bare=True),
        Figures("a step", lambda c: words.step(c[1].step_ns), bare=True, title="median, and its 95% interval"),
        Figures(
            words.speed_head(reference),
            lambda c: words.speed(c[1], reference=c[0].backend == reference),
            title="how many times as fast, and its 95% interval",
        ),
        Column("verdict", lambda c: words.verdict_cell(c[1].speed or "reference" * (c[0].backend == reference))),
        Figures(
            "times floor",
            lambda c: words.times(call.times_floor(c[0])),
            title="its time over the least that this machine could do it in",
        ),
        Figures("cpu/wall", lambda c: words.share(c[1].cpu_per_wall), extra=True),
        Figures(
            "over loss",
            lambda c: words.compared(c[0].primal.ratio if c[0].primal else None),
            bare=True,
            title="its time over that of the loss alone",
            shown=not several and any(timing.primal for timing, _ in found),
        ),
        Figures("steps a call", lambda c: words.count(c[1].steps), extra=True, shown=several),
    ]
    notes = [*_control(problem, call)]
    if call is STEP:
        notes = [*limits(problem), *notes, *_threads(problem), *_collected(problem), *_communicated(problem)]
    return tabulated(call.caption, found, columns, notes)


def formulations(problem: ProblemResult) -> Table | None:
    """What the other formulations of the same model give, where one backend was timed with all of them."""
    if not problem.formulations:
        return None
    mine = str(problem.spec.get("formulation", "this"))
    columns: list[Column[Formulated]] = [
        Column("formulation", lambda f: Cell(f.formulation)),
        Column("backend", lambda f: Cell(f.backend)),
        Figures("a step", lambda f: words.step(f.step_ns), bare=True),
        Figures(f"speed, {mine} = 1", lambda f: words.compared(f.ratio)),
        Column("verdict", lambda f: words.verdict_cell(f.speed)),
        Figures("its floor", lambda f: words.nanoseconds(f.floor_ns)),
    ]
    note = f"The same model, written otherwise: timed in turns with {mine}, in one process of one backend."
    return tabulated("What the other formulations give", problem.formulations, columns, [note])


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


def _communicated(problem: ProblemResult) -> Iterable[str]:
    """What of a sharded backend's step is communication."""
    for timing in problem.timings:
        found = timing.communication
        if found is not None and found.step_ns is not None and found.ratio is not None and found.ratio.ratio:
            share, took = share_of(found), duration(found.step_ns.median)
            part = "no less than a step: its share is not known" if share is None else f"{100 * share:.0f}% of it"
            yield f"Of {timing.backend}'s step the communication by itself takes {took}, {part}."
