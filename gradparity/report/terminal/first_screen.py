"""The first screen in a terminal: do they agree, who disagrees and why, which to choose. At most 40 lines, always."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.segment import Segment
from rich.text import Text

from gradparity.formatting import printable, shortened
from gradparity.report.facts import words
from gradparity.report.facts.overview import Overview
from gradparity.report.facts.view import Note
from gradparity.report.terminal.style import STYLES, Shown, clean

#: Lines of a terminal that is as small as they come, less one for the prompt.
MOST_LINES = 40
#: Characters of the receipt: of some ten packages.
_MOST_RECEIPT = 300


@dataclass(frozen=True)
class _Section:
    """A part of the screen: ``least`` lines are its own, and more where others leave some."""

    content: RenderableType
    least: int
    what: str


def print_first_screen(
    console: Console, found: Overview, saved: Sequence[str] = (), *, most: int | None = MOST_LINES
) -> None:
    """What a person asks first.

    Args:
        console: where to print.
        found: what there is to say.
        saved: the lines about files: last, and never cut.
        most: number of lines, or ``None`` for all there are.
    """
    sections = list(_sections(found, whole=most is None))
    lines = [console.render_lines(each.content, console.options, pad=False) for each in sections]
    files = console.render_lines(Text("\n".join(map(clean, saved)), style="dim"), pad=False) if saved else []
    shares = _shares(sections, lines, None if most is None else most - len(files))
    for section, kept, all_of_it in zip(sections, shares, lines, strict=True):
        console.print()
        shown = all_of_it if kept >= len(all_of_it) else all_of_it[: kept - 1]
        for line in shown:
            console.print(_line(line), soft_wrap=True)
        if len(shown) < len(all_of_it):
            left = len(all_of_it) - len(shown)
            more = f"... and {left} more line{'s' * (left > 1)} of {section.what}: --verbose, or report.html"
            console.print(Text(more, style="dim"), soft_wrap=True)
    for line in files:
        console.print(_line(line), soft_wrap=True)


def print_one_line(console: Console, found: Overview, saved: str) -> None:
    """The headline and where the results are."""
    console.print(_headline(found).append(f" {saved}", style=""), soft_wrap=True)


def _headline(found: Overview) -> Text:
    kind, sign = found.sign
    line = Text(style="")
    return line.append(f"{sign} {clean(found.headline)}", style=f"bold {STYLES[kind]}")


def _line(segments: Iterable[Segment]) -> Text:
    line = Text()
    for segment in segments:
        line.append(segment.text, segment.style)
    line.rstrip()
    return line


def _shares(sections: Sequence[_Section], lines: Sequence[Sequence[object]], most: int | None) -> list[int]:
    """Lines for each section, blank ones between them counted: what one does not need goes to the first in want."""
    if most is None:
        return [len(each) for each in lines]
    free = most - len(sections)
    shares = [min(len(each), section.least) for each, section in zip(lines, sections, strict=True)]
    while sum(shares) > free:
        shares[shares.index(max(shares))] -= 1
    free -= sum(shares)
    for place, each in enumerate(lines):
        more = min(free, len(each) - shares[place])
        shares[place] += more
        free -= more
    return shares


def _sections(found: Overview, *, whole: bool) -> Iterable[_Section]:
    yield _Section(_headline(found), 3, "what was found")
    if found.faults:
        yield _Section(Group(*map(_fault, found.faults)), 10, "what disagrees")
    if found.causes is not None:
        yield _Section(Shown(found.causes, brief=True), 16, "causes")
    tables = ((found.standings, 9, "backends"), (found.choices, 6, "choices"), (found.times, 3, "times"))
    for table, least, what in tables:
        if table is not None:
            yield _Section(Shown(table, brief=True), least, what)
    if found.notes:
        yield _Section(Group(*map(_remark, found.notes)), 3, "notes")
    receipt = printable(found.receipt)
    last = receipt if whole else shortened(receipt, _MOST_RECEIPT)
    last += ". Times hold for this machine and these versions only." * bool(found.choices)
    yield _Section(Text(last, style="dim"), 5, "the receipt")


def _fault(note: Note) -> Text:
    """Who disagrees, where and by how much; below, a line for each reason."""
    line = Text.assemble((clean(note.name), f"bold {STYLES[note.kind] or 'red'}"), f" {clean(note.text)}")
    for said in note.more:
        line.append(f"\n  {clean(said, words.MOST_QUOTING)}")
    return line


def _remark(note: Note) -> Text:
    """In short: what to do is wanted here more than how it was found."""
    said = (clean(note.name), clean(note.short or note.text), *(clean(each, words.MOST_QUOTING) for each in note.more))
    return Text(" ".join(each for each in said if each), style="yellow")
