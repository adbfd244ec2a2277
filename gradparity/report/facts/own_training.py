"""Training as the user wrote it: where runs diverge and what is to blame, or that they agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradparity.formatting import large
from gradparity.report.facts import words
from gradparity.report.facts.view import Cell, Column, Figures, Note, Table, tabulated
from gradparity.results import ProblemResult, RunResult
from gradparity.results.own_training import OwnDivergence, OwnRun, OwnTraining

_LOSS = "the loss"


def own_training_notes(result: RunResult) -> list[Note]:
    """What of it is no agreement, of every problem."""
    return [note for problem in result.problems for note in problem_own_training_notes(problem)]


def problem_own_training_notes(problem: ProblemResult) -> Iterable[Note]:
    """Each divergence, each run that does not repeat itself, and what is not known."""
    found = problem.own_training
    if found is None or found.ok:
        return
    for each in found.divergences:
        yield Note(
            f"{words.listed(each.backends)} diverge in training",
            f"on {problem.label} at step {each.step:,} of their own, in {each.what}{_size(each)}",
            list(_reasons(found, each)),
            "bad",
            words.mark("wrong"),
        )
    for run in found.runs:
        if run.again:
            said = f"on {problem.label}: {run.again}; it is held against nothing"
            cure = "Seed what is drawn in a step, keep all state in what init(params) returns, and turn dropout off."
            yield Note(f"{run.backend}'s step does not repeat itself", said, [cure], "bad", words.mark("impure"))
    if found.verdict == "unresolved":
        names = words.listed([run.backend for run in found.runs])
        said = f"on {problem.label}: moved by one rounding at every step, they go as far apart as they came"
        yield Note(f"the training of {names} is unresolved", said, (), "warn", words.mark("unresolved"))


def rules_alone(problem: ProblemResult) -> Iterable[tuple[str, str]]:
    """A backend that is held against no other, and the rule that its updates follow."""
    found = problem.own_training
    if found is not None and found.verdict == "alone":
        for run in found.runs:
            if run.rule:
                yield run.backend, _rule(run)


def own_steps_left(problem: ProblemResult, asked: int) -> Iterable[str]:
    """Why runs of own steps are compared over fewer steps than were asked for."""
    found = problem.own_training
    if found is not None and not found.divergences and min(found.compared, found.steps) < asked:
        yield from (note for note in found.notes if not note.startswith("state of "))


def own_training_status(problem: ProblemResult) -> Iterable[tuple[str, str]]:
    """Backends whose own training is no agreement, with a word for it."""
    found = problem.own_training
    failed = {trouble.backend for trouble in problem.troubles}
    for name in found.missing if found is not None else ():
        if name not in failed:
            yield name, "own steps not compared"
    if found is not None and not found.ok:
        word = "training diverges" if found.divergences else f"training {found.verdict}"
        apart = [name for each in found.divergences for name in each.backends]
        again = [run.backend for run in found.runs if run.again]
        for name in dict.fromkeys(apart or again or [run.backend for run in found.runs]):
            yield name, word


def own_training_said(result: RunResult) -> str:
    """For the headline: how far own steps agree, or that they diverge; ``""`` where there are none to compare."""
    found = [(problem.label, problem.own_training) for problem in result.problems if problem.own_training is not None]
    bad = [(label, each) for label, each in found if not each.ok]
    if bad:
        label, first = next(((on, each.divergences[0]) for on, each in bad if each.divergences), ("", None))
        if first is None:
            again = words.listed(list(dict.fromkeys(run.backend for _, each in bad for run in each.runs if run.again)))
            return f"the own steps of {again} do not repeat themselves" if again else "their own steps are unresolved"
        on = f" on {label}" * (len(result.problems) > 1)
        return f"trained by their own steps, {words.listed(first.backends)} diverge at step {first.step:,}{on}"
    agreeing = [each for _, each in found if each.verdict == "agrees"]
    if not agreeing:
        return ""
    who = "they" if not any(each.missing for each in agreeing) else words.listed(_agreeing(agreeing))
    steps, asked = min(each.compared for each in agreeing), int(result.settings.get("steps") or 0)
    over = words.counted(steps, "step") if steps >= asked else f"{steps:,} of {words.counted(asked, 'step')}"
    return f"trained by their own steps, {who} agree over {over}"


def _agreeing(agreeing: Sequence[OwnTraining]) -> list[str]:
    return list(dict.fromkeys(run.backend for each in agreeing for run in each.runs))


def unheld_steps(result: RunResult) -> Iterable[str]:
    """Own steps that were held against none: ``own steps of jax``, with on which problems, if not on all."""
    where: dict[str, list[str]] = {}
    for problem in result.problems:
        found = problem.own_training
        if found is not None and found.unheld:
            where.setdefault(words.listed(found.unheld), []).append(problem.label)
    for names, labels in where.items():
        yield f"own steps of {names}" + f" on {words.listed(labels)}" * (len(labels) < len(result.problems))


def own_training_table(found: OwnTraining) -> Table:
    """A row a backend: losses at both ends, and the rule that its updates follow."""
    notes = [*found.notes, *(f"{name}: not compared: {words.sentence(why)}" for name, why in found.missing.items())]
    columns: list[Column[OwnRun]] = [
        Column("backend", lambda run: Cell(run.backend)),
        Column("update rule", lambda run: Cell(_rule(run) or "-"), shown=any(run.rule for run in found.runs)),
        Figures("first loss", lambda run: words.loss(run.losses[0] if run.losses else None)),
        Figures("last loss", lambda run: words.loss(run.losses[-1] if run.losses else None)),
        Figures("steps", lambda run: Cell(f"{run.steps:,}", run.steps)),
    ]
    each = "a batch each" if found.batches else "on all data"
    if not found.divergences and found.verdict == "agrees":
        notes.append(f"They agree to rounding over {found.compared:,} of {found.steps:,} steps.")
    return tabulated(f"Training as it is written: own steps, {each}", found.runs, columns, notes)


def _size(each: OwnDivergence) -> str:
    of = "of it" if each.what == _LOSS else "of its way from the start"
    figures = (
        "" if each.relative is None else f"by {each.relative:.2g} {of}",
        "" if each.floors is None else f"{large(each.floors)} floors",
    )
    said = ", ".join(filter(None, figures))
    return f" ({said})" if said else ""


def _reasons(found: OwnTraining, each: OwnDivergence) -> Iterable[str]:
    known = {run.backend: run for run in found.runs if run.rule_steps >= each.step}
    runs = [known[name] for name in each.backends if name in known]
    if runs:  # those that do not reach there say nothing of it
        rules = [f"{run.backend}: {_rule(run)}" for run in runs]
        together = "; ".join(rules)
        yield from rules if len(together) > words.MOST_QUOTING else [together]
        yield from each.rules
    if each.detail:
        yield each.detail
    if each.later:
        yield _growth(each.later)


def _rule(run: OwnRun) -> str:
    return f"{run.rule}, at steps 1 to {run.rule_steps:,}" if run.rule and run.rule_steps < run.steps else run.rule


def _growth(later: Sequence[tuple[int, float]]) -> str:
    step, value = later[-1]
    return f"they are {value:.2g} apart after {step:,} steps"
