"""Two runs side by side, as a table a problem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from gradparity.judge.changes import Kind as ChangeKind
from gradparity.judge.speed.compare import Change, RunComparison, Speed
from gradparity.report.facts import words
from gradparity.report.facts.view import Cell, Head, Kind, Table, missing
from gradparity.report.terminal.style import STYLES, Shown, clean
from gradparity.results import FEW

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
    kind, said = verdict_of(found)
    console.print(Text(said, style=f"bold {STYLES[kind]}"), soft_wrap=True)
    by_problem: dict[str, list[Change]] = {}
    for change in found.changes:
        by_problem.setdefault(change.problem, []).append(change)
    if len(by_problem) > FEW:
        console.print(Padding(Shown(_together(found.changes, len(by_problem))), (1, 0, 0, 0)))
        by_problem = {}
    for problem, changes in by_problem.items():
        console.print(Padding(Shown(_table(problem, changes)), (1, 0, 0, 0)))
        for change in changes:
            for shown, line in _lines(change):
                console.print(Text(clean(line), style=STYLES[shown]))
    speeds = [speed for change in found.changes for speed in (change.step, change.loop) if speed is not None]
    steadied = any(speed.against_reference is not None for speed in speeds)
    console.print(Text(f"\nThe runs were not taken in turns{_STEADIED if steadied else _DRIFT}", style="dim"))


def verdict_of(found: RunComparison) -> tuple[Kind, str]:
    """What the exit code says, in words; and what is better, what is wrong as before."""
    kind: Kind
    worse = _named(found.changes, "worse")
    if found.finished and not (found.worse or found.compared):
        kind, said = "warn", "Nothing was compared: there is no block that both runs have"
    elif found.finished:
        better = _named(found.changes, "better")
        kind = "bad" if worse else "good"
        said = f"✗ Worse: {worse}" if worse else "✓ Nothing is worse"
        said += f"; better: {better}" if better else ""
    else:
        kind, said = "bad", "✗ The new run was not finished"
    still = list(dict.fromkeys(f"{each.backend} on {each.problem}" for each in found.changes if each.still))
    return kind, f"{said}; no better than before: {words.listed(still)}." if still else f"{said}."


def _named(changes: Iterable[Change], kind: ChangeKind) -> str:
    """``torch on toy (4 blocks) and jax on toy``."""
    named = [(each, len(each.of(kind))) for each in changes if each.of(kind)]
    return words.listed([f"{c.backend} on {c.problem}{f' ({count} blocks)' * (count > 1)}" for c, count in named])


#: What is told of a block, in this order, and how it looks.
_TOLD: dict[ChangeKind, Kind] = {"worse": "bad", "better": "good", "changed": "warn", "same": "warn", "gone": "muted"}
_SAID: dict[ChangeKind, str] = {"changed": "other, and nothing says better", "same": "still", "gone": "not checked now"}


def _lines(change: Change) -> Iterator[tuple[Kind, str]]:
    """A line for all blocks of which the same became: ``worse: torch in gradient W and hvp W: agrees -> wrong``."""
    for kind, verdict, blocks in _became(change):
        yield _TOLD[kind], f"{_SAID.get(kind, kind)}: {change.backend} in {words.listed(blocks)}: {verdict}"


def _became(change: Change) -> Iterator[tuple[ChangeKind, str, list[str]]]:
    """What became of blocks, in the order in which it is told: ``worse``, ``agrees -> wrong``, and which they are."""
    for kind in _TOLD:
        groups: dict[str, list[str]] = {}
        for block in change.still if kind == "same" else change.of(kind):
            verdict = block.new if kind == "same" else block.old if kind == "gone" else f"{block.old} -> {block.new}"
            groups.setdefault(verdict, []).append(block.block)
        for verdict, blocks in groups.items():
            yield kind, verdict, blocks


def _together(changes: Iterable[Change], problems: int) -> Table:
    """Of many problems: a row for what became of one backend on some of them, the worst first, then speeds."""
    groups: dict[tuple[str, str, str], dict[str, int]] = {}
    models: dict[tuple[str, str, str], dict[str, None]] = {}
    kinds: dict[tuple[str, str, str], ChangeKind] = {}
    for change in changes:
        for kind, verdict, blocks in _became(change):
            key = (_SAID.get(kind, kind), change.backend, verdict)
            kinds[key] = kind
            groups.setdefault(key, {})[change.problem] = len(blocks)
            models.setdefault(key, {})[change.model] = None
        for call, speed in (("step", change.step), ("loop", change.loop)):
            if speed is not None and speed.verdict in ("faster", "slower", "unstable"):
                groups.setdefault((speed.verdict, change.backend, call), {})[change.problem] = 0
                models.setdefault((speed.verdict, change.backend, call), {})[change.model] = None
    order = [*_TOLD]
    rows = [
        [
            Cell(what, kind=_TOLD[kinds[key]] if key in kinds else ""),
            Cell(backend),
            Cell(verdict),
            words.count(len(found)),
            words.count(sum(found.values()) or None),
            Cell(words.listed([*models[key]])),
        ]
        for key, found in sorted(
            groups.items(),
            key=lambda each: (order.index(kinds[each[0]]) if each[0] in kinds else len(order), -len(each[1])),
        )
        for what, backend, verdict in [key]
    ]
    counts = (Head(name, figures=True) for name in ("problems", "blocks"))
    heads = [Head("what"), Head("backend"), Head("verdict, or call"), *counts, Head("which")]
    note = "Of what is not here there is no change to tell. All names and blocks: --json."
    return Table(f"{problems} problems", heads, rows, [note])


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
        return Cell(f"{old} -> {new}", kind=_TOLD.get(change.kind, "muted"))
    return words.verdict_cell(new)
