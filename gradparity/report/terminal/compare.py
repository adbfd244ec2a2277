"""Two runs side by side, as a table a problem."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradparity.formatting import duration, ratio, three
from gradparity.judge.speed.compare import ABSENT, Change, RunComparison, Speed
from gradparity.report.terminal.style import WIDE, styled, table

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
        console.print(Padding(_table(problem, changes, wide=console.width >= WIDE), (1, 0, 0, 0)))
        for change in changes:
            for block in change.changed:
                console.print(Text(f"{change.backend}, {block}", style="bold red"))
    speeds = [speed for change in found.changes for speed in (change.step, change.loop) if speed is not None]
    steadied = any(speed.against_reference is not None for speed in speeds)
    console.print(Text(f"\nThe runs were not taken in turns{_STEADIED if steadied else _DRIFT}", style="dim"))


def _table(problem: str, changes: list[Change], *, wide: bool) -> Table:
    medians = ("old", "new", "against reference") if wide else ()
    right = (*medians, "speed, old = 1")
    made = table(problem, "backend", "call", *right, "speed", "verdict", right=right)
    for change in changes:
        for call, speed, verdict in _rows(change):
            times = (duration(speed.old_ns), duration(speed.new_ns), _against(speed)) if speed else ("-", "-", "-")
            told = styled(speed.verdict) if speed else Text("not timed in both", style="dim")
            made.add_row(change.backend, call, *(times if wide else ()), _ratio(speed), told, verdict)
    return made


def _rows(change: Change) -> Iterator[tuple[str, Speed | None, Text]]:
    """The calls that both runs timed, or one row without; the verdict of correctness in the first."""
    timed = [(call, speed) for call, speed in (("step", change.step), ("loop", change.loop)) if speed is not None]
    for index, (call, speed) in enumerate(timed or [("-", None)]):
        yield call, speed, Text() if index else _verdict(change)


def _against(speed: Speed) -> str:
    return "-" if speed.against_reference is None else ratio(speed.against_reference)


def _ratio(speed: Speed | None) -> str:
    if speed is None:
        return "-"
    interval = "" if speed.low is None or speed.high is None else f" [{three(speed.low)}, {three(speed.high)}]"
    return ratio(speed.ratio) + interval


def _verdict(change: Change) -> Text:
    old, new = change.old_verdict, change.new_verdict
    if old != new:
        return Text(f"{old} -> {new}", style="dim" if ABSENT in (old, new) else "bold red")
    return styled(new)
