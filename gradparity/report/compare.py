"""Two runs side by side, as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradparity.compare import Change, RunComparison
from gradparity.report.terminal import styled
from gradparity.units import ratio, three


def print_comparison(console: Console, found: RunComparison) -> None:
    """What makes the runs incomparable first, then a row for every backend and problem."""
    for line in found.surroundings:
        console.print(Text(line, style="yellow"))
    if found.surroundings:
        console.print(Text("The surroundings differ: read the speeds below with that in mind.\n", style="yellow"))
    table = Table(header_style="dim", pad_edge=False, box=None)
    for name in ("problem", "backend", "speed, old = 1", "", "verdict"):
        table.add_column(name, justify="right" if name.startswith("speed") else "left")
    for change in found.changes:
        speed = styled(change.speed) if change.speed else Text("not timed in both", style="dim")
        table.add_row(change.problem, change.backend, _ratio(change), speed, _verdict(change))
    console.print(table)


def _ratio(change: Change) -> str:
    if change.ratio is None or change.low is None or change.high is None:
        return "-"
    return f"{ratio(change.ratio)} [{three(change.low)}, {three(change.high)}]"


def _verdict(change: Change) -> Text:
    if change.verdict_changed:
        return Text(f"{change.old_verdict} -> {change.new_verdict}", style="bold red")
    if change.old_verdict != change.new_verdict:
        return Text(f"{change.old_verdict} -> {change.new_verdict}", style="dim")
    return styled(change.new_verdict)
