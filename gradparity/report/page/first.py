"""The first screen of a page: the words of `gradparity.report.facts.overview`, as the page's own notes and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradparity.formatting import duration, large, ratio
from gradparity.judge.speed.choice import Quickest
from gradparity.report.facts.faults import alike
from gradparity.report.facts.overview import Choice, Failure, Off, Overview, Standing, listed
from gradparity.report.facts.overview import Note as Remark
from gradparity.report.page import words
from gradparity.report.page.view import Cell, Head, Kind, Note, Table, missing

#: Faults, problems and remarks up to which all stand on the first screen; the others further down the page.
MOST_OFF, MOST_CHOICES, MOST_NOTES = 4, 8, 6
_KINDS: dict[str, tuple[Kind, str]] = {
    "agrees": ("good", "✓"), "disagrees": ("bad", "✗"), "failed": ("bad", "!"), "incomplete": ("warn", "…"),
}  # fmt: skip


@dataclass(frozen=True)
class First:
    """What stands on it. ``title`` is the page's, too."""

    title: str
    kind: Kind
    mark: str
    off: Sequence[Note]
    tables: Sequence[Table]
    notes: Sequence[Note]
    more: Sequence[Note]
    receipt: str


def first_screen(found: Overview) -> First:
    """Who is off and why, which to choose, and what to know beside."""
    kind, mark = _KINDS.get(found.state, ("warn", "·"))
    faults = [*map(_off, alike(found.off)), *map(_failure, found.failures)]
    notes = [_remark(each) for each in found.notes]
    tables = [_standings(found)] if found.standings else []
    tables += [_choices(found.choices)] if found.choices else []
    return First(
        title=words.plain(found.headline),
        kind=kind,
        mark=mark,
        off=faults[:MOST_OFF],
        tables=tables,
        notes=notes[:MOST_NOTES],
        more=[*faults[MOST_OFF:], *notes[MOST_NOTES:]],
        receipt=words.plain(found.receipt),
    )


def _off(group: Sequence[Off]) -> Note:
    fault, names = group[0], ", ".join(each.backend for each in group)
    left = len(fault.blocks) - 1
    more = f"; and {left} more block{'s' * (left > 1)}" if left else ""
    figures = [*fault.figures, *([f"{fault.backend} the most"] if len(group) > 1 else [])]
    size = f": {', '.join(figures)}" if figures else ""
    text = f"{', '.join(fault.verdicts)} in {fault.block} on {listed(fault.problems)}{size}{more}."
    reasons = (each.rstrip(".") for each in fault.reasons)
    cure = " ".join(f"{each[:1].upper()}{each[1:]}." if " " in each else f"{each}." for each in reasons)
    several = len(group) > 1
    how = ("differ" if several else "differs") if fault.undecided else ("are off" if several else "is off")
    verdict = fault.verdicts[0]
    name = words.plain(f"{names} {how}:")
    return Note(name, words.plain(text), words.plain(cure), words.kind(verdict), words.mark(verdict))


def _failure(failure: Failure) -> Note:
    text = f"in {failure.stage} on {listed(failure.problems)}: {failure.reason}"
    return Note(words.plain(f"{failure.backend} failed"), words.plain(text), kind="bad", mark="!")


def _remark(remark: Remark) -> Note:
    subject = {"left out": "Left out: ", "idle": "Nothing to run: "}.get(remark.kind, "") + remark.subject
    text = remark.text + "." * bool(remark.text and not remark.text.endswith("."))
    return Note(words.plain(subject), words.plain(text), words.plain(remark.cure), "warn", "·")


def _standings(found: Overview) -> Table:
    one = len(found.problems) == 1 and any(standing.clock for standing in found.standings)
    trained = any(standing.training for standing in found.standings)
    heads = [Head("backend"), Head("verdict"), Head("worst error", figures=True, title="in ulps, and in noise floors")]
    heads += [Head("in")] if not one else []
    heads += [Head("training")] if trained else []
    heads += [Head(each, figures=True) for each in ("step", "loop", "speed of step", "start") if one]
    rows = [
        [
            Cell(words.plain(each.backend)),
            words.verdict_cell(each.verdict) if each.verdict else missing(),
            _error(each),
            *([Cell(words.plain(_where(each, found)), kind="muted")] if not one else []),
            *([words.verdict_cell(each.training) if each.training else missing()] if trained else []),
            *(_times(each) if one else []),
        ]
        for each in found.standings
    ]
    return Table("Do they agree?", heads, rows)


def _error(standing: Standing) -> Cell:
    if standing.error_ulps is None:
        return missing()
    floors = "" if standing.floors is None else f"{large(standing.floors)} floors"
    return Cell(f"{large(standing.error_ulps)} ulp", standing.floors, note=floors)


def _where(standing: Standing, found: Overview) -> str:
    many = len(found.problems) > 1 and standing.worst_problem
    return f"{standing.worst_block}{f', {standing.worst_problem}' if many else ''}"


def _times(standing: Standing) -> list[Cell]:
    if not standing.clock:
        return [missing() for _ in range(4)]
    clock = standing.clock[0]
    speed = clock.speed if clock.ratio is None else f"{ratio(clock.ratio)} {clock.speed}"
    return [
        *(missing() if each is None else Cell(duration(each), each) for each in (clock.step_ns, clock.loop_ns)),
        Cell(speed, clock.ratio or 1.0, kind=words.kind(clock.speed), mark=words.mark(clock.speed)),
        Cell(duration(1e9 * clock.start_s), clock.start_s),
    ]


def _choices(choices: Sequence[Choice]) -> Table:
    heads = [
        Head("problem"),
        Head(f"for {choices[0].steps:,} steps in all"),
        Head("quickest step"),
        Head("quickest loop"),
    ]
    rows = [
        [
            Cell(words.plain(each.problem)),
            Cell(words.plain(" or ".join(each.chosen)) or "-"),
            _quickest(each.quickest_step),
            _quickest(each.quickest_loop),
        ]
        for each in choices[:MOST_CHOICES]
    ]
    said = [f"{each.problem}, {sentence}." for each in choices[:2] for sentence in each.sentences[:1]]
    left = len(choices) - MOST_CHOICES
    more = ["Of the others it stands with each problem, below."] if len(choices) > 2 else []
    more += [f"And {left} more problems, below."] if left > 0 else []
    return Table("Which to choose?", heads, rows, [words.plain(each) for each in (*said, *more)])


def _quickest(found: Quickest | None) -> Cell:
    if found is None:
        return missing()
    return Cell(words.plain(" or ".join(found.names)), found.step_ns, note=f"{duration(found.step_ns)} a step")
