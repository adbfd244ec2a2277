"""Two runs side by side, as a table a problem."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from gradparity.judge.speed.compare import ABSENT, Change, RunComparison, Speed
from gradparity.report.facts import words
from gradparity.report.facts.view import Cell, Head, Table, missing
from gradparity.report.terminal.style import Shown

#: What the runs' lying apart means for the speeds.
_DRIFT = ": whatever else changed on the machine between them counts too."
_STEADIED = (
    ". Where nothing that the reference depends on has changed, its own change is the machine's, and a speed is called "
    "only where it holds against the reference too."
)


def print_comparison(console: Console, found: RunComparison) -> None:
    """What makes the runs incomparable first, then every problem: a row for each backend's step and loop."""
    for line in found.surroundings:
        console.print(Text(line, style="yellow"))
    if found.surroundings:
        console.print(Text("The surroundings differ: read the speeds below with that in mind.", style="yellow"))
    by_problem: dict[str, list[Change]] = {}
    for change in found.changes:
        by_problem.setdefault(change.problem, []).append(change)
    for problem, changes in by_problem.items():
        console.print(Padding(Shown(_table(problem, changes)), (1, 0, 0, 0)))
        for change in changes:
            for block in change.changed:
                console.print(Text(f"{change.backend}, {block}", style="bold red"))
    speeds = [speed for change in found.changes for speed in (change.step, change.loop) if speed is not None]
    steadied = any(speed.against_reference is not None for speed in speeds)
    console.print(Text(f"\nThe runs were not taken in turns{_STEADIED if steadied else _DRIFT}", style="dim"))


def _table(problem: str, changes: list[Change]) -> Table:
    medians = (Head(name, figures=True, extra=True) for name in ("old", "new", "against reference"))
    ratio = Head("speed, old = 1", figures=True)
    heads = [Head("backend"), Head("call"), *medians, ratio, Head("speed"), Head("verdict")]
    return Table(problem, heads, [row for change in changes for row in _rows(change)])


def _rows(change: Change) -> Iterator[list[Cell]]:
    """The calls that both runs timed, or one row without; the verdict of correctness in the first."""
    timed = [(call, speed) for call, speed in (("step", change.step), ("loop", change.loop)) if speed is not None]
    verdict = _verdict(change)
    for call, speed in timed:
        yield [Cell(change.backend), Cell(call), *_speed(speed), verdict]
        verdict = Cell("")
    if not timed:
        none = Cell("not timed in both", kind="muted")
        yield [Cell(change.backend), *[missing()] * 5, none, verdict]


def _speed(speed: Speed) -> list[Cell]:
    called = words.verdict_cell(speed.verdict)
    return [
        words.nanoseconds(speed.old_ns),
        words.nanoseconds(speed.new_ns),
        words.times(speed.against_reference),
        replace(words.times(speed.ratio), note=words.interval(speed.low, speed.high)),
        replace(called, kind="warn") if speed.verdict in ("slower", "unstable") else called,
    ]


def _verdict(change: Change) -> Cell:
    old, new = change.old_verdict, change.new_verdict
    if old != new:
        return Cell(f"{old} -> {new}", kind="muted" if ABSENT in (old, new) else "bad")
    return words.verdict_cell(new)
