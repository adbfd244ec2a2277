"""The pictures of the first screen as data: every backend's errors beside their noise floor, and its time of a step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from gradparity.formatting import duration, large
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.report.facts import words
from gradparity.report.facts.standings import Standing
from gradparity.report.facts.view import Cell, Kind
from gradparity.results import GOOD, Finding, ProblemResult, RunResult

#: What lies along a strip: an error relative to the block's largest true value, one in noise floors, or a time in ns.
Unit: TypeAlias = Literal["relative error", "error in noise floors", "time of a step"]
#: Problems up to which each has a shape of its own on a strip of times.
_MOST_SHAPES = 3
#: Backends up to which all are there.
_MOST_STRIPS = 8


@dataclass(frozen=True)
class Spot:
    """One block, or one problem's time, on a strip: its value, which is ``None`` where it is no finite number.

    ``low`` and ``high`` are the ends of an interval around it. ``shape`` counts the problems of a strip of times.
    """

    value: float | None
    kind: Kind = ""
    low: float | None = None
    high: float | None = None
    shape: int = 0


@dataclass(frozen=True)
class Strip:
    """One backend: what is said of it, its spots, and from where to where its noise floors lie."""

    name: str
    verdict: Cell
    said: str
    spots: Sequence[Spot]
    floor: tuple[float, float] | None = None


@dataclass(frozen=True)
class Strips:
    """All backends on one logarithmic axis. ``shapes`` are the names of what has a shape of its own."""

    key: str
    caption: str
    unit: Unit
    about: str
    strips: Sequence[Strip]
    shapes: Sequence[str] = ()


def error_strips(result: RunResult, lines: Sequence[Standing]) -> Strips | None:
    """Who is off, in what, and by how much; ``None`` where nothing was compared.

    Errors are relative; where a block has none since no true value is known, they all are in noise floors.
    """
    found = [(problem, each) for problem in result.problems for each in problem.findings]
    if not any(line.shown for line in lines):
        return None
    relative = not any(f.relative_error is None and f.floors is not None and f.verdict not in GOOD for _, f in found)
    strips = []
    for line in lines:
        own = [(problem, each) for problem, each in found if each.backend == line.backend]
        open_ = line.verdict == "undecided"
        spots = [_spot(each, relative, mild=open_ or bool(problem.expected)) for problem, each in own
                 if each.verdict != "failed"]  # fmt: skip
        floors = [floor for _, each in own if (floor := _floor(each, relative))]
        strips.append(
            Strip(
                line.backend,
                words.verdict_cell(line.verdict),
                _said(line, relative, several=len(result.problems) > 1),
                spots,
                (min(floors), max(floors)) if floors else None,
            )
        )
    unit: Unit = "relative error" if relative else "error in noise floors"
    about = f"A dot is a block. Shaded: what rounding alone may do to it; up to {AGREES_FLOORS:g} times that agrees."
    return _few(Strips("errors", "Do they agree?", unit, about, strips))


def _few(found: Strips) -> Strips:
    """As many strips as a screen has room for, those that do not agree before the others."""
    left = len(found.strips) - _MOST_STRIPS
    if left <= 0:
        return found
    first = sorted(found.strips, key=lambda strip: strip.verdict.kind == "good")[:_MOST_STRIPS]
    kept = [strip for strip in found.strips if strip in first]
    return replace(found, strips=kept, about=f"{found.about} {words.counted(left, 'more backend')} in figures.")


def _spot(found: Finding, relative: bool, *, mild: bool) -> Spot:
    """Its place; ``mild`` where it does not agree and this is nobody's fault, or not known to be."""
    kind: Kind = "" if found.verdict in GOOD else "warn" if mild else words.kind(found.verdict)
    return Spot(found.relative_error if relative else found.floors, kind)


def _floor(found: Finding, relative: bool) -> float | None:
    """The relative error with which the block would be at its floor: its own, over the number of floors that it is."""
    if not relative:
        return 1.0 if found.floors is not None else None
    if not found.relative_error or not found.floors:
        return None
    floor = found.relative_error / found.floors
    return floor if 0 < floor < math.inf else None


def _said(line: Standing, relative: bool, *, several: bool) -> str:
    """How far the worst block is off, and which it is: ``4.5e-06 in loss``; and of training, if that does not agree."""
    found, said = line.shown, ""
    if found is not None and found.verdict != "failed":
        value = found.relative_error if relative else found.floors
        size = "" if value is None else f"{value:.2g} in " if relative else f"{large(value)} floors in "
        said = f"{size}{found.block}{f', {line.label}' if several and line.verdict not in GOOD else ''}"
    return "; ".join(filter(None, [said, "" if line.training in ("", *GOOD) else f"training {line.training}"]))


def step_strips(problems: Iterable[ProblemResult]) -> Strips | None:
    """The time of one step from Python with its 95% interval, a backend a strip; ``None`` where nothing was timed."""
    timed = [(problem, timing, timing.step.step_ns) for problem in problems for timing in problem.timings
             if timing.step is not None and timing.step.step_ns is not None]  # fmt: skip
    labels = list(dict.fromkeys(problem.label for problem, _, _ in timed))
    shaped = 1 < len(labels) <= _MOST_SHAPES
    strips = []
    for name in dict.fromkeys(timing.backend for _, timing, _ in timed):
        own = [(problem, found) for problem, timing, found in timed if timing.backend == name]
        spots = [
            Spot(each.median, "", each.low, each.high, labels.index(problem.label) if shaped else 0)
            for problem, each in own
        ]
        medians = [each.median for _, each in own]
        if len(labels) == 1:
            (_, only), *_ = own
            said = f"{duration(only.median)} [{duration(only.low)}, {duration(only.high)}]"
        elif shaped:
            said = ", ".join(map(duration, medians))
        else:
            said = " to ".join(dict.fromkeys((duration(min(medians)), duration(max(medians)))))
        strips.append(Strip(name, Cell(""), said, spots))
    if not strips:
        return None
    about = "A call from Python: median, 95% interval; left is faster."
    caption = "How long does a step take?"
    return _few(Strips("steps", caption, "time of a step", about, strips, labels if shaped else ()))
