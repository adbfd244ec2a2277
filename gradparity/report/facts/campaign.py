"""Many models as one: each with its seeds, what does not agree by cause, and how many of each there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.causes.kinds import Kind as CauseKind
from gradparity.judge.causes.kinds import kind_of, together
from gradparity.report.facts import words
from gradparity.report.facts.faults import Fault, faults_on
from gradparity.report.facts.initialisers import initialisers_status
from gradparity.report.facts.own_training import own_training_status
from gradparity.results import NEUTRAL_IS_ODD, UNRESOLVED, ProblemResult, RunResult

#: What became of a model, or of a backend on it, the most consequential first.
State: TypeAlias = Literal["disagrees", "failed", "unresolved", "not compared", "known", "agrees"]
STATES: tuple[State, ...] = ("disagrees", "failed", "unresolved", "not compared", "known", "agrees")


@dataclass(frozen=True)
class Seen:
    """One backend on one model with one cause, at so many of its seeds; or something of all of them, by no name.

    ``verdict`` is a word, ``block`` and ``floors`` are of the worst block, ``problem`` the place of the one that has it
    among the model's. ``known``: a list of known disagreements has all of it.
    """

    backend: str
    verdict: str
    kind: CauseKind
    problem: int = 0
    floors: float | None = None
    block: str = ""
    seeds: tuple[int, ...] = ()
    known: bool = False

    @property
    def state(self) -> State:
        """What it makes of the model."""
        if self.known:
            return "known"
        named: dict[str, State] = {"failed": "failed", UNRESOLVED: "unresolved", "not compared": "not compared"}
        return named.get(self.verdict, "disagrees")

    @property
    def group(self) -> tuple[str, str, bool]:
        """What it has in common with all that have the same cause; what is known is apart from what is not."""
        return self.verdict, self.kind.words, self.known

    @property
    def size(self) -> float:
        """By which the worst is found: what is no finite number comes after what is."""
        return self.floors if self.floors is not None else -1.0


@dataclass(frozen=True)
class Model:
    """One model over its seeds: its problems, and all that is not an agreement."""

    name: str
    problems: tuple[ProblemResult, ...]
    seen: tuple[Seen, ...]

    @property
    def state(self) -> State:
        """The most consequential of what was seen."""
        states = {each.state for each in self.seen}
        return next((state for state in STATES if state in states), "agrees")

    def state_of(self, backend: str) -> State | None:
        """Of one backend; ``None`` where it had nothing to run."""
        states = {each.state for each in self.seen if each.backend == backend}
        compared = any(found.backend == backend for problem in self.problems for found in problem.findings)
        return next((state for state in STATES if state in states), "agrees" if compared else None)

    def at_seeds(self, seen: Seen) -> str:
        """``seed 1 of 3``, ``all 3 seeds``; ``""`` where there are none."""
        count = len(self.problems)
        if count < 2 or not seen.seeds:
            return ""
        if len(seen.seeds) == count:
            return f"all {count} seeds"
        return f"seed{'s' * (len(seen.seeds) > 1)} {words.listed([*map(str, seen.seeds)])} of {count}"


@dataclass(frozen=True)
class Cause:
    """One reason on all models that have it, the one furthest from its floor first."""

    key: str
    title: str
    verdict: str
    found: tuple[tuple[Model, Seen], ...]

    @property
    def models(self) -> list[Model]:
        """Each once."""
        return list({id(model): model for model, _ in self.found}.values())

    @property
    def backends(self) -> dict[str, int]:
        """On how many models each has it, the most first."""
        counts: dict[str, set[int]] = {}
        for model, seen in self.found:
            counts.setdefault(seen.backend, set()).add(id(model))
        return {name: len(ids) for name, ids in sorted(counts.items(), key=lambda each: -len(each[1]))}

    @property
    def worst(self) -> tuple[Model, Seen]:
        """The one furthest from its floor."""
        return self.found[0]

    @property
    def state(self) -> State:
        """What it makes of its models; known if it is."""
        return self.worst[1].state

    @property
    def word(self) -> str:
        """Its verdict, and that it is known."""
        return f"{self.verdict}, known" if self.state == "known" else self.verdict


@dataclass(frozen=True)
class Campaign:
    """All models of a run. ``unreached`` is how many problems it did not come to."""

    models: tuple[Model, ...]
    causes: tuple[Cause, ...]
    backends: tuple[str, ...]
    unreached: int = 0

    @cached_property
    def counts(self) -> dict[State, int]:
        """How many models there are of each state; those that were not reached are not compared."""
        found = {state: sum(model.state == state for model in self.models) for state in STATES}
        return found | {"not compared": found["not compared"] + self.unreached}

    @property
    def seeds(self) -> int:
        """The most that a model has."""
        return max((len(model.problems) for model in self.models), default=1)


def campaign(result: RunResult) -> Campaign | None:
    """The models of a run and what is the matter with them, by cause; ``None`` of few."""
    if not result.many:
        return None
    groups: dict[str, list[ProblemResult]] = {}
    for problem in result.problems:
        groups.setdefault(problem.model_label, []).append(problem)
    asked, seeds = _asked(result), len(result.settings.get("seeds") or [0])
    new = None if result.baseline is None else {(each.model, each.backend) for each in result.baseline.new}
    models = tuple(
        Model(name, tuple(problems), _together((*_seen(problems, asked, new), *_unreached(problems, seeds))))
        for name, problems in groups.items()
    )
    left = max(0, result.planned - sum(max(seeds, len(model.problems)) for model in models))
    return Campaign(models, tuple(_causes(models)), tuple(asked), -(-left // seeds))


def told(result: RunResult) -> list[ProblemResult]:
    """Problems that are told in full where there is no filter: all of few; of many models the worst of each cause."""
    many = campaign(result)
    if many is None:
        return result.problems
    worst = (model.problems[seen.problem] for model, seen in (cause.worst for cause in many.causes))
    return list({id(problem): problem for problem in worst}.values())


def _asked(result: RunResult) -> list[str]:
    """Every backend that was asked on some problem, in the order of the registry."""
    found = {name for problem in result.problems for name in words.backends(problem)}
    found |= {trouble.backend for trouble in result.troubles if not is_twin(trouble.backend)}
    places = {info.name: place for place, info in enumerate(result.backends)}
    return sorted(found, key=lambda name: (places.get(name, len(places)), name))


def _seen(problems: Sequence[ProblemResult], asked: Sequence[str], new: set[tuple[str, str]] | None) -> Iterator[Seen]:
    for place, problem in enumerate(problems):
        at = () if problem.seed is None else (problem.seed,)
        for each in _on(problem, asked):
            known = new is not None and each.state != "not compared" and (problem.label, each.backend) not in new
            yield replace(each, problem=place, seeds=at, known=known)


def _unreached(problems: Sequence[ProblemResult], seeds: int) -> Iterator[Seen]:
    """That a model was not come to at some seeds, though at others."""
    left = seeds - len(problems)
    if left > 0:
        yield Seen("", "not compared", CauseKind(f"was not reached at {left} of {words.counted(seeds, 'seed')}", ()))


def _on(problem: ProblemResult, asked: Sequence[str]) -> Iterator[Seen]:
    """All that is not an agreement on one problem."""
    names = {found.parameter for found in problem.findings}
    for fault in faults_on(problem):
        shown = fault.shown
        verdict = "differs" if fault.undecided and fault.verdicts[0] == "wrong" else fault.verdicts[0]
        block = f"training {fault.trainings[0].optimiser}" if shown is None else shown.block
        yield Seen(fault.backend, verdict, _kind(problem, fault, names), floors=fault.floors, block=block)
    for name, said in (*own_training_status(problem), *initialisers_status(problem)):
        word = next((word for word in ("not compared", "failed", UNRESOLVED) if said.endswith(word)), said)
        yield Seen(name, word, CauseKind(_as_written(problem, name, said), ()))
    failed = [trouble for trouble in problem.troubles if not is_twin(trouble.backend)]
    for trouble in failed:
        yield Seen(trouble.backend, "failed", kind_of(f"failed in {trouble.stage}: {trouble.reason}", names))
    silent = set(asked) - {f.backend for f in problem.findings} - {*problem.idle} - {t.backend for t in failed}
    for name in asked:
        if name in silent:
            yield Seen(name, "not compared", CauseKind("was not compared", ()))


def _kind(problem: ProblemResult, fault: Fault, names: set[str]) -> CauseKind:
    """Its cause; else an edit that makes it agree, or the operation that it diverges in; else what decided."""
    shown = fault.shown
    if any(each.name == NEUTRAL_IS_ODD for each in problem.diagnoses):
        return CauseKind(NEUTRAL_IS_ODD, ())
    if shown is None:
        return kind_of(fault.trainings[0].reason or "training diverges from the reference", names)
    cause = shown.cause or next((found.cause for found in fault.findings if found.cause), "")
    if cause:
        return kind_of(cause, names)
    met = problem.divergences.lines if problem.divergences is not None else []
    for lines in (each for each in met if fault.backend in (each.backend, *each.also, each.against * fault.undecided)):
        if lines.cures:
            return CauseKind(f"would agree with `{lines.cures[0].new}` in place of `{lines.cures[0].old}`", ())
        if lines.here:
            where = "forward" if lines.direction == "forward" else "in its cotangent"
            return CauseKind(f"no cause known, diverges {where} at `{lines.here[0].operation}`", ())
    rule = shown.rule.removeprefix("pairwise: ").partition("; ")[0].partition(": along ")[0]  # without its figures
    ported = {*words.backends(problem)}
    return kind_of(fault.outlier or f"no cause known: {rule}", names | ported)


def _as_written(problem: ProblemResult, name: str, said: str) -> str:
    """What is to blame for own steps that diverge, or what is said."""
    for each in problem.own_training.divergences if problem.own_training is not None else ():
        if name in each.backends and said.startswith("training") and each.detail:
            return f"own steps diverge: {words.clause(each.detail)}"
    return said


def _together(found: Iterable[Seen]) -> tuple[Seen, ...]:
    """The same at several seeds as one."""
    groups: dict[tuple[str, str, str, bool], list[Seen]] = {}
    for each in found:
        groups.setdefault((each.backend, each.verdict, each.kind.words, each.known), []).append(each)
    return tuple(
        replace(max(same, key=lambda seen: seen.size), seeds=tuple(seed for seen in same for seed in seen.seeds))
        for same in groups.values()
    )


def _causes(models: Sequence[Model]) -> Iterator[Cause]:
    """By verdict and kind, that of the most models first; what is known comes after what is not."""
    groups: dict[tuple[str, str, bool], list[tuple[Model, Seen]]] = {}
    for model in models:
        for seen in model.seen:
            groups.setdefault(seen.group, []).append((model, seen))
    made = [
        Cause(
            "",
            together([seen.kind for _, seen in found]),
            verdict,
            tuple(sorted(found, key=lambda pair: -pair[1].size)),
        )
        for (verdict, _, _), found in groups.items()
    ]
    order = sorted(made, key=lambda cause: (STATES.index(cause.state), -len(cause.models), -cause.worst[1].size))
    return (replace(cause, key=f"c{place}") for place, cause in enumerate(order, 1))
