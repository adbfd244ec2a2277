"""The first screen in a terminal: do they agree, who is off and why, which to choose. At most 40 lines, always."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from gradparity.formatting import duration, large, printable, ratio, shortened
from gradparity.judge.speed.choice import Quickest
from gradparity.report.facts.faults import alike
from gradparity.report.facts.overview import Choice, Failure, Note, Off, Overview, Standing, listed
from gradparity.report.terminal.style import STYLES, styled, table

#: Lines of a terminal that is as small as they come, less one for the prompt.
MOST_LINES = 40
#: A sign beside the words, so that a colour is never all that says it.
SIGNS = {"agrees": ("✓", "bold green"), "disagrees": ("✗", "bold red"), "failed": ("!", "bold red")}
_ELSE = ("·", "bold yellow")
#: Characters of somebody else's words that are shown.
_MOST_WORDS = 240
#: Characters of the receipt: of some ten packages.
_MOST_RECEIPT = 300
#: And of a name in a table, which is to leave room for what there is to say of it.
_MOST_NAME = 36
#: Problems up to which each backend's times have a column of their own.
_MOST_TIMED = 3


@dataclass(frozen=True)
class _Section:
    """A part of the screen: ``least`` lines are its own, and more where others leave some."""

    content: RenderableType
    least: int
    what: str


def print_first_screen(
    console: Console, found: Overview, saved: Sequence[str] = (), *, most: int | None = MOST_LINES
) -> None:
    """What a person asks first; ``saved`` are the lines about files: last, and never cut. ``most`` lines, or all."""
    sections = list(_sections(found, whole=most is None))
    lines = [console.render_lines(each.content, console.options, pad=False) for each in sections]
    files = console.render_lines(Text("\n".join(map(_clean, saved)), style="dim"), pad=False) if saved else []
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
    sign, style = SIGNS.get(found.state, _ELSE)
    console.print(Text.assemble((f"{sign} {_clean(found.headline)}", style), f" {saved}"), soft_wrap=True)


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
    sign, style = SIGNS.get(found.state, _ELSE)
    yield _Section(Text.assemble((f"{sign} ", style), (_clean(found.headline), style)), 3, "what was found")
    if found.off or found.failures:
        parts = [*map(_off, alike(found.off)), *map(_failure, found.failures)]
        yield _Section(Group(*parts), 10, "what is off")
    if found.standings:
        yield _Section(_standings(found), 8, "backends")
    if found.choices:
        yield _Section(_choices(found.choices), 7, "choices")
    if 1 < len(_timed(found)) <= _MOST_TIMED:
        yield _Section(_clock(found), 3, "times")
    if found.notes:
        yield _Section(Group(*map(_note, found.notes)), 3, "notes")
    receipt = printable(found.receipt)
    last = receipt if whole else shortened(receipt, _MOST_RECEIPT)
    last += ". Times hold for this machine and these versions only." * bool(found.choices)
    yield _Section(Text(last, style="dim"), 5, "the receipt")


def _clean(words: str) -> str:
    """Somebody else's words on one line, without what a terminal would obey."""
    return shortened(printable(" ".join(words.split())), _MOST_WORDS)


def _name(words: str) -> str:
    """A name's beginning and end: of a path it is the end that tells."""
    name, half = _clean(words), (_MOST_NAME - 3) // 2
    return name if len(name) <= _MOST_NAME else f"{name[:half]}...{name[-half:]}"


def _off(group: Sequence[Off]) -> Text:
    """Who is off, all that are so in the same way, where and the worst by how much; why; where it parts."""
    fault = group[0]
    differs = "differ" if len(group) > 1 else "differs"
    figures = [*fault.figures, *([f"{_clean(fault.backend)} the most"] if len(group) > 1 else [])]
    line = Text.assemble(
        (", ".join(_clean(each.backend) for each in group), "bold red"),
        f" on {listed([*map(_clean, fault.problems)])}: ",
        f"{differs if fault.undecided else ', '.join(fault.verdicts)} in {_clean(fault.block)}",
        f" ({', '.join(figures)})" if fault.figures else "",
    )
    more = f", and {len(fault.blocks) - 1} more block{'s' * (len(fault.blocks) > 2)}" if len(fault.blocks) > 1 else ""
    line.append(more)
    for said in fault.reasons:
        line.append(f"\n  {_clean(said)}")
    return line


def _failure(failure: Failure) -> Text:
    where = f" on {listed([*map(_clean, failure.problems)])}"
    return Text.assemble(
        (f"{_clean(failure.backend)} failed", "bold red"), f" in {failure.stage}{where}: {_clean(failure.reason)}"
    )


def _standings(found: Overview) -> Table:
    """A row a backend: verdict and worst error; times where there is one problem, and else in the table of choices."""
    one = len(found.problems) == 1 and any(standing.clock for standing in found.standings)
    trained = any(standing.training for standing in found.standings)
    times = ("step", "loop", "speed of step", "start") if one else ()
    heads = ("floors", "worst error", *(("in",) if not one else ()), *(("training",) if trained else ()), *times)
    right = ("floors", "worst error", "step", "loop", "speed of step", "start")
    made = table("", "backend", "verdict", *heads, right=right)
    made.title = None
    for standing in found.standings:
        cells = [
            "-" if standing.floors is None else large(standing.floors),
            "-" if standing.error_ulps is None else f"{large(standing.error_ulps)} ulp",
            *((_where(standing, found),) if not one else ()),
            *((styled(standing.training or "-"),) if trained else ()),
            *(_times(standing) if one else ()),
        ]
        made.add_row(_name(standing.backend), styled(standing.verdict or "-"), *cells)
    return made


def _timed(found: Overview) -> list[str]:
    """Problems with times, in their order."""
    return list(dict.fromkeys(clocked.problem for standing in found.standings for clocked in standing.clock))


def _clock(found: Overview) -> Table:
    """A row a backend, a column a problem: a step called from Python and one in the backend's own loop."""
    labels = _timed(found)
    heads = list(map(_name, labels))
    made = table("", "step, and in a loop", *heads, right=tuple(heads))
    made.title = None
    for standing in found.standings:
        known = {clocked.problem: clocked for clocked in standing.clock}
        cells = [
            ", ".join("-" if each is None else duration(each) for each in (known[label].step_ns, known[label].loop_ns))
            if label in known
            else "-"
            for label in labels
        ]
        made.add_row(_name(standing.backend), *cells)
    return made


def _where(standing: Standing, found: Overview) -> Text:
    problem = f", {_name(standing.worst_problem)}" if len(found.problems) > 1 and standing.worst_problem else ""
    return Text(f"{_name(standing.worst_block)}{problem}", style="dim")


def _times(standing: Standing) -> list[str | Text]:
    if not standing.clock:
        return ["-"] * 4
    clock = standing.clock[0]
    speed = clock.speed if clock.ratio is None else f"{ratio(clock.ratio)} {clock.speed}"
    return [
        *("-" if each is None else duration(each) for each in (clock.step_ns, clock.loop_ns)),
        Text(speed, style=STYLES.get(clock.speed, "")),
        duration(1e9 * clock.start_s),
    ]


def _choices(choices: Sequence[Choice]) -> RenderableType:
    """A row a problem; of one or two, from how many steps on another is better."""
    steps = choices[0].steps
    made = table("", "choose", f"for {steps:,} steps in all", "quickest step", "quickest loop")
    made.title = None
    for choice in choices:
        chosen = Text(_clean(" or ".join(map(_name, choice.chosen))) or "-", style="bold")
        made.add_row(_name(choice.problem), chosen, _quickest(choice.quickest_step), _quickest(choice.quickest_loop))
    said = [
        Text(f"{_clean(choice.problem)}, {_clean(sentence)}", style="dim")
        for choice in choices
        for sentence in choice.sentences[:1]
    ]
    return Group(made, *said) if len(choices) <= 2 else made


def _quickest(found: Quickest | None) -> str:
    return "-" if found is None else f"{' or '.join(map(_name, found.names))}, {duration(found.step_ns)}"


def _note(note: Note) -> Text:
    done = _clean(note.cure)
    cure = {"missing": f": {done}", "left out": f" ({done})"}.get(note.kind, f" {done}")
    kind = {"left out": "Left out: ", "missing": "", "idle": "Nothing to run: "}.get(note.kind, "")
    # A diagnosis in short: what to do about it is wanted here more than how it was found.
    said = note.short if note.kind == "diagnosis" else note.text
    text = f" {said}" if note.kind == "missing" else f": {said}" if said else ""
    end = "." if said and note.kind == "diagnosis" and not said.endswith(".") else ""
    return Text(_clean(f"{kind}{note.subject}{text}{end}") + cure * bool(done), style="yellow")
