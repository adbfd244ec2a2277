"""What is said of many models: one sentence, the causes as a table, how each backend stands, and what else to know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from gradparity.formatting import large, shortened
from gradparity.report.facts import words
from gradparity.report.facts.campaign import Campaign, Cause, Model, Seen, State
from gradparity.report.facts.kinks import kinks
from gradparity.report.facts.verdicts import heat, limit_of
from gradparity.report.facts.view import Cell, Column, Figures, Head, Note, Table, missing, tabulated
from gradparity.results import GOOD, ProblemResult, RunResult

#: Causes that are told where there is little room, and models of each.
MOST_CAUSES, MOST_MODELS = 20, 3
#: Characters of a cause, and of the names of models, in a table.
_MOST_TITLE, _MOST_NAMES = 110, 50
#: How a state is told of a number of models: of one, and of several.
_SAID: dict[State, tuple[str, str]] = {
    "disagrees": ("does not agree", "do not agree"), "failed": ("failed", "failed"),
    "unresolved": ("is not resolved", "are not resolved"), "not compared": ("was not compared", "were not compared"),
    "known": ("disagrees as is known", "disagree as is known"), "agrees": ("agrees", "agree"),
}  # fmt: skip


def counted(campaign: Campaign, state: State) -> str:
    """``8 failed``."""
    count = campaign.counts[state]
    return f"{count:,} {_SAID[state][count != 1]}"


def headline(campaign: Campaign) -> str:
    """How many models do not agree and for how many causes, and of the others how many are what."""
    total = sum(campaign.counts.values())
    seeds = f", {campaign.seeds} seeds each" * (campaign.seeds > 1)
    backends = words.counted(len(campaign.backends), "backend")
    if campaign.counts["agrees"] == total:
        return f"All {total:,} models agree ({backends}{seeds})."
    first, *others = [state for state, count in campaign.counts.items() if count]
    said = f"{campaign.counts[first]:,} of {words.counted(total, 'model')} {_SAID[first][campaign.counts[first] != 1]}"
    causes = sum(cause.state == first for cause in campaign.causes)
    said += f", for {words.counted(causes, 'cause')}" * (first == "disagrees")
    rest = ", ".join(counted(campaign, state) for state in others)
    return f"{said}{'; ' * bool(rest)}{rest} ({backends}{seeds})."


def causes_table(campaign: Campaign) -> Table | None:
    """A row a cause: how many models, whose, how far the worst is off, and which the first are."""
    shown = campaign.causes[:MOST_CAUSES]
    columns: list[Column[Cause]] = [
        Figures("models", lambda cause: _models(cause)),
        Column("verdict", lambda cause: replace(words.verdict_cell(cause.verdict), text=cause.word)),
        Column("backends", lambda cause: Cell(whose(cause))),
        Figures(
            "floors", lambda cause: words.sized(cause.worst[1].floors), title="the worst error over its noise floor"
        ),
        Column("cause, and on which", lambda cause: Cell(f"{shortened(cause.title, _MOST_TITLE)}: {_few(cause)}")),
    ]
    left = len(campaign.causes) - len(shown)
    notes = [f"and {words.counted(left, 'more cause')}: report.html"] * (left > 0)
    return tabulated("Why do they not agree?", shown, columns, notes) if shown else None


def _models(cause: Cause) -> Cell:
    kind = words.kind(cause.verdict)
    return Cell(f"{len(cause.models):,}", len(cause.models), kind=kind, mark=words.mark(cause.verdict))


def whose(cause: Cause) -> str:
    """``torch``, or ``torch 38, jax 3``."""
    found, models = cause.backends, len(cause.models)
    counts = (f"{name} {count}" if len(found) > 1 and count < models else name for name, count in found.items())
    return ", ".join(filter(None, counts))


def first_models(cause: Cause, most: int = MOST_MODELS) -> str:
    """``a, b (seed 1 of 3), c and 38 more``."""
    return words.listed(_called(cause), most)


def _few(cause: Cause) -> str:
    """The first of them, of long names fewer."""
    names = _called(cause)
    most = next(most for most in range(MOST_MODELS, 0, -1) if most == 1 or sum(map(len, names[:most])) <= _MOST_NAMES)
    return words.listed(names, most)


def _called(cause: Cause) -> list[str]:
    named = {id(model): (model, seen) for model, seen in reversed(cause.found)}
    return [called(*named[id(model)]) for model in cause.models]


def called(model: Model, seen: Seen) -> str:
    """A model, and at which seeds, where it is not all of them."""
    seeds = model.at_seeds(seen)
    return f"{model.name} ({seeds})" if seeds and not seeds.startswith("all") else model.name


def tally(campaign: Campaign, problems: Sequence[ProblemResult]) -> Table:
    """A row a backend: on how many models it agrees and on how many not, and its worst error among those that agree."""
    states = {name: [model.state_of(name) for model in campaign.models] for name in campaign.backends}
    shown = [state for state in campaign.counts if any(state in own for own in states.values())]

    def count(name: str, state: State) -> Cell:
        number = states[name].count(state)
        kind = words.kind(state) if number and state != "agrees" else ""
        return Cell(f"{number:,}", number, kind=kind)

    def column(state: State) -> Column[str]:
        return Figures(state, lambda name: count(name, state))

    most = {name: _largest(campaign, name) for name in campaign.backends}
    columns: list[Column[str]] = [
        Column("backend", lambda name: Cell(name)),
        *map(column, reversed(shown)),
        Figures("floors, at most", lambda name: words.sized(most[name]), title="of what agrees", extra=True),
    ]
    note = (
        f"Models of each backend. floors: error over how far rounding alone moves the true value; up to "
        f"{limit_of(problems):g} agrees."
    )
    return tabulated("Who agrees?", campaign.backends, columns, [note])


def _largest(campaign: Campaign, backend: str) -> float | None:
    """The largest error that agrees, in floors."""
    floors = [
        found.floors
        for model in campaign.models
        for problem in model.problems
        for found in problem.findings
        if found.backend == backend and found.verdict in GOOD and found.floors is not None
    ]
    return max(floors, default=None)


def models_table(campaign: Campaign, links: Sequence[str]) -> Table:
    """A row a model, a column a backend: its worst error in floors where it agrees; or what does not, at which seeds.

    Args:
        campaign: the models.
        links: what each name leads to on a page, or ``""``.

    Returns:
        The table.
    """
    heads = [Head("model"), Head("verdict"), *(Head(name, figures=True, bare=True) for name in campaign.backends)]
    rows = [
        [
            Cell(model.name, note=_arrays(model), link=link),
            Cell(model.state, kind=words.kind(model.state), mark=words.mark(model.state)),
            *(_on(model, name) for name in campaign.backends),
        ]
        for model, link in zip(campaign.models, links, strict=True)
    ]
    return Table(f"All {len(rows)} models", heads, rows)


def _arrays(model: Model) -> str:
    """What a model is of, at the first seed at which it was drawn."""
    drawn = (problem for problem in model.problems if problem.spec.get("parameters"))
    return next((words.model(problem) for problem in drawn), "")


def _on(model: Model, backend: str) -> Cell:
    seen = [each for each in model.seen if each.backend == backend]
    if seen:
        worst = max(seen, key=lambda each: (each.state == "disagrees", each.size))
        floors = "" if worst.floors is None else f"{large(worst.floors)} floors"
        note = ", ".join(filter(None, [worst.block, floors, model.at_seeds(worst)]))
        return replace(words.verdict_cell(worst.verdict, worst.floors, note), mark=words.mark(worst.verdict))
    errors = [f.floors or 0.0 for problem in model.problems for f in problem.findings if f.backend == backend]
    most = max(errors, default=None)
    return missing() if most is None else Cell(large(most), most, kind=heat(most) if most else "low")


def notes(result: RunResult) -> Iterator[Note]:
    """What is to be known of many models, each kind once, with on how many of them."""
    left: dict[str, list[str]] = {}
    for problem in result.problems:
        for what in problem.left_out:
            left.setdefault(what, []).append(problem.model_label)
    for what, names in left.items():
        yield _remark("Left out:", f"{what}, of {_several(names)}")
    if result.left_out:
        yield _remark("Not reached:", words.listed(result.left_out))
    idle: dict[str, list[str]] = {}
    for problem in result.problems:
        for name in problem.idle:
            idle.setdefault(name, []).append(problem.model_label)
    reasons = {name: why for problem in reversed(result.problems) for name, why in problem.idle.items()}
    for name, names in idle.items():
        yield _remark("Nothing to run:", f"{name} on {_several(names)}: {reasons[name]}")
    lacking: dict[str, list[ProblemResult]] = {}
    for problem in result.problems:
        for each in problem.not_given:
            lacking.setdefault(str(each), []).append(problem)
    for what, problems in lacking.items():
        first = next(each for each in problems[0].not_given if str(each) == what)
        names = [problem.model_label for problem in problems]
        yield _remark(f"Not compared, {what}:", f"on {_several(names)}: {words.sentence(first.reason)}", first.cure)
    at_kinks = [(problem.model_label, said) for problem in result.problems for said in kinks(problem)]
    if at_kinks:
        label, first_kink = at_kinks[0]
        yield _remark("Kinks:", f"on {_several([name for name, _ in at_kinks])}. On {label}: {first_kink}.")
    diagnoses = [(problem.model_label, each) for problem in result.problems for each in problem.diagnoses]
    for name in dict.fromkeys(each.name for _, each in diagnoses):
        same = [(label, each) for label, each in diagnoses if each.name == name]
        first_said = same[0][1]
        where = _several([label for label, _ in same])
        whose = f"on {same[0][0]}: " * (len({each.finding for _, each in same}) > 1)
        yield _remark(f"{name} on {where}:", words.sentence(whose + first_said.finding), first_said.cure)


def _several(names: Iterable[str]) -> str:
    """``a``, or ``3 models (a, b and c)``."""
    each = list(dict.fromkeys(names))
    return each[0] if len(each) == 1 else f"{len(each):,} models ({words.listed(each)})"


def _remark(name: str, text: str, *more: str) -> Note:
    return Note(name, text, [each for each in more if each], "warn", "·")
