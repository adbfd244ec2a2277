"""What stands on a page, from a result: the first screen, what compares all problems, each problem, the receipt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from gradparity.formatting import shortened
from gradparity.report.facts import words
from gradparity.report.facts.campaign import Campaign, Model, campaign
from gradparity.report.facts.causes import cause_notes, cause_tables, gist
from gradparity.report.facts.clock import formulations
from gradparity.report.facts.overview import Overview, overview
from gradparity.report.facts.receipt import receipt_details, receipt_notes, receipt_tables
from gradparity.report.facts.standings import choices_table, choices_together
from gradparity.report.facts.strips import error_strips, step_strips
from gradparity.report.facts.verdicts import everywhere, limit_of, problem_notes, status, verdicts
from gradparity.report.facts.view import Note, Table
from gradparity.report.page import campaign as many_models
from gradparity.report.page import (
    clock,
    differences,
    errors,
    initialisers,
    own_training,
    sizes,
    sources,
    strips,
    totals,
    training,
)
from gradparity.report.page.figures import Looks
from gradparity.report.page.strips import Drawn
from gradparity.report.page.view import Panel, Section
from gradparity.results import ProblemResult, RunResult

#: Findings up to which every one is on the page: some 600 bytes each, and a page is to stay under 6 MB.
MOST_FINDINGS = 4000
#: Blocks up to which each is a column of the table of verdicts; more are a row each.
MOST_COLUMNS = 8
#: Faults and problems up to which all stand on the first screen; the others further down the page.
_MOST_FAULTS, _MOST_CHOICES = 3, 3
#: Characters of a fault's text there: what an exception said stands in full with its problem.
_MOST_WORDS = 240
#: Problems up to which tables of all of them are unfolded.
_MOST_ROWS = 8
#: What is left out of a page so that it is no larger than it may be, more from step to step; of many models too.
LEAN = ("", "plots are left out where all backends agree.")
LEAN_MANY = (
    "",
    "the tables of single blocks are left out.",
    "sources and tables are left out.",
    "there is a row for each model, and no section.",
)


@dataclass(frozen=True)
class FirstScreen:
    """The first screen: the verdict, who disagrees and why, pictures of errors and times, which to choose, and the rest.

    Of many models ``many`` has their causes. ``faults`` and ``choices`` are as many as a screen has room for. ``more`` is folded away, and so are the ``tables``,
    with what the pictures show in figures.
    """

    overview: Overview
    many: many_models.Many | None
    faults: Sequence[Note]
    pictures: Sequence[Drawn]
    choices: Table | None
    more: Sequence[Note]
    tables: Sequence[Table]


def first_screen(result: RunResult, *, linked: bool = True) -> FirstScreen:
    """What is seen before anything is scrolled; of many models, if ``linked``, each leads to its section."""
    found = overview(result)
    drawn = [strips.drawn(error_strips(result, found.lines)), strips.drawn(step_strips(result.problems))]
    timed = [problem for problem in result.problems if problem.timings]
    together = choices_together(timed)
    choices = found.choices if len(timed) <= _MOST_CHOICES else replace(together, rows=together.rows[:_MOST_CHOICES])
    return FirstScreen(
        found,
        None if found.campaign is None else many_models.many(found.campaign, linked=linked),
        [replace(note, text=shortened(note.text, _MOST_WORDS)) for note in found.faults[:_MOST_FAULTS]],
        [picture for picture in drawn if picture is not None],
        choices,
        [*found.faults[_MOST_FAULTS:], *found.notes],
        [table for table in found.tables if table is not found.causes],
    )


def sections(result: RunResult, *, lean: int = 0) -> list[Section]:
    """Everything below the first screen but the receipt; what is left out is the place ``lean`` of `LEAN`."""
    named = [info.name for info in result.backends]
    looks = Looks([*named, *(name for problem in result.problems for name in words.backends(problem))])
    many = campaign(result)
    if many is not None:
        return list(_models(result, many, looks, lean))
    keys = [f"p{index}" for index in range(1, len(result.problems) + 1)]
    every = sum(len(problem.findings) for problem in result.problems) <= MOST_FINDINGS
    alone = len(result.problems) == 1
    each = [_problem(problem, key, looks, opened=alone, every=every)
            for problem, key in zip(result.problems, keys, strict=True)]  # fmt: skip
    if lean:
        each = [_lean(section) if section.status[1] != "bad" else section for section in each]
    return [*_together(result, keys, looks), *each]


def _models(result: RunResult, found: Campaign, looks: Looks, lean: int) -> Iterator[Section]:
    """All models in a table, and a section for each that does not agree: the worst of its seeds for each cause."""
    apart = [model for model in found.models if model.seen] if lean < len(LEAN_MANY) - 1 else []
    places = {id(model): place for place, model in enumerate(found.models)}
    links = [f"m{place}" if apart and model.seen else "" for place, model in enumerate(found.models)]
    table = many_models.models(found, links)
    about = "The worst error of each backend, in noise floors, or what does not agree. A name that is a link leads to its details."
    timed = [problem for problem in result.problems if problem.timings]
    panels = [
        Panel("models", "", about, folded=[table]),
        Panel("where", "Which backend where", folded=[choices_table(timed, 1)] if timed else []),
    ]
    yield Section("all", "All models", [panel for panel in panels if panel])
    for model in apart:
        key, tag = f"m{places[id(model)]}", table.tags[places[id(model)]]
        inside = [
            many_models.seeds(model),
            *(panel for place in many_models.told(model) for panel in _of_many(model, place, looks, lean)),
        ]
        yield Section(
            key, model.name, _keyed(inside, key), words.problem_lines(model.problems[0]), many_models.standing(model),
            opened=False, gist=many_models.gist(found, model), tag=tag,
        )  # fmt: skip


def _of_many(model: Model, place: int, looks: Looks, lean: int) -> Iterator[Panel]:
    """What there is to say of one problem among many; at which seed, where there are several."""
    problem = model.problems[place]
    parts = _without_clock(problem, looks) if lean < 2 else [_disagreements(problem)]
    for panel in parts:
        if panel:
            title = f"{panel.title}, seed {problem.seed}" if panel.title and len(model.problems) > 1 else panel.title
            kept = replace(panel, key=f"{place}-{panel.key}", title=title, plots=())
            yield replace(kept, folded=()) if lean else kept


def receipt(result: RunResult) -> list[Panel]:
    """Versions, machine, settings, environment, raw counts, and what was left out."""
    tables, folded = receipt_tables(result), receipt_details(result)
    return [Panel("receipt-what", "", notes=receipt_notes(result), tables=tables, folded=folded)]


def _lean(section: Section) -> Section:
    kept = [replace(panel, plots=(), folded=()) for panel in section.panels]
    return replace(section, panels=[panel for panel in kept if panel])


def _together(result: RunResult, keys: Sequence[str], looks: Looks) -> list[Section]:
    """All problems side by side, where there are several."""
    if len(result.problems) < 2:
        return []
    about = f"The worst block of each backend, in noise floors; up to {limit_of(result.problems):g} agrees. A name leads to its details."
    timed = [problem for problem in result.problems if problem.timings]
    note = "Of those that agree, numpy's closed form apart; what overlaps is not called."
    choices = (
        replace(choices_table(timed, 1), notes=[note], caption="Choice by problem")
        if len(timed) > _MOST_CHOICES
        else None
    )
    many = len(result.problems) > _MOST_ROWS
    panels = [
        _folded(Panel("everywhere", "Agreement", about, tables=[everywhere(result, keys)]), many),
        _folded(Panel("where", "Which backend where", tables=[choices] if choices else []), many),
        sizes.over_size(result, looks),
    ]
    return [Section("all", "All problems", [panel for panel in panels if panel])]


def _folded(panel: Panel, away: bool) -> Panel:
    return replace(panel, tables=(), folded=panel.tables) if away else panel


def _problem(problem: ProblemResult, key: str, looks: Looks, *, opened: bool, every: bool) -> Section:
    """One problem: reasons, sources, verdicts, training, time."""
    found, points = status(problem), errors.errors(problem, looks)
    shown = points if every or points is None else replace(points, plots=(), folded=())
    panels = [
        *_without_clock(problem, looks, shown),
        totals.totals(problem, looks),
        clock.steps(problem, looks),
        Panel("formulations", "Other formulations", tables=[table] if (table := formulations(problem)) else []),
        clock.distance(problem, looks),
        clock.starts(problem),
    ]
    lines = words.problem_lines(problem)
    return Section(key, problem.label, _keyed(panels, key), lines, found, opened, "; ".join(gist(problem)))


def _without_clock(problem: ProblemResult, looks: Looks, points: Panel | None = None) -> list[Panel | None]:
    return [
        _disagreements(problem),
        differences.divergences(problem),
        sources.sources(problem),
        Panel("notes", "What to know", notes=problem_notes(problem)),
        _verdicts(problem),
        differences.pairwise(problem),
        points,
        training.training(problem, looks),
        own_training.own_training(problem, looks),
        initialisers.initialisers(problem),
    ]


def _keyed(panels: Iterable[Panel | None], key: str) -> list[Panel]:
    """Those that there are, each with a key that no other on the page has."""
    return [
        replace(panel, key=f"{key}-{panel.key}", plots=[replace(plot, key=f"{key}-{plot.key}") for plot in panel.plots])
        for panel in panels
        if panel
    ]


def _verdicts(problem: ProblemResult) -> Panel:
    short, whole = verdicts(problem, most=MOST_COLUMNS, grouped=True), verdicts(problem, most=MOST_COLUMNS)
    if short is None or whole is None:
        return Panel("verdicts", "Verdicts")
    value = "true value" if problem.pairwise is None else "others' value"
    about = (
        f"The error of the entry furthest beyond its noise floor, in floors and in ulps of the {value}; up to "
        f"{limit_of([problem]):g} floors agrees."
    )
    blocks = len({found.block for found in problem.findings})
    if blocks <= MOST_COLUMNS:
        return Panel("verdicts", "Verdicts", about, tables=[whole])
    worst = replace(
        short, caption=f"The worst block of each kind, of {blocks}; up to {limit_of([problem]):g} floors agrees"
    )
    return Panel("verdicts", "Verdicts", about, tables=[worst], folded=[replace(whole, caption=f"All {blocks} blocks")])


def _disagreements(problem: ProblemResult) -> Panel:
    about = f"This problem is there to show it: {problem.expected}" if problem.expected else ""
    notes = cause_notes(problem)
    return Panel("causes", "What does not agree", about if notes else "", notes, folded=cause_tables(problem))
