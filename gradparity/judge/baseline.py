"""A run against a list of known disagreements: what is known, new, worse, mended, or was not compared. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import structs

from gradparity.judge.causes.kinds import kind_of
from gradparity.judge.changes import PROCESS, backends_of, blocks_of, is_good, training_block
from gradparity.results import ProblemResult, RunResult
from gradparity.results.baseline import Baseline, Known, KnownBlock

#: An error of so many times as many floors as are listed is worse: from one processor to another rounding alone makes
#: it some times as large.
WORSE = 10.0


@dataclass(frozen=True)
class _Found:
    """A block that disagrees: its error in floors, ``inf`` where that is not finite or not known, and its cause."""

    block: KnownBlock
    floors: float
    cause: str
    problem: ProblemResult


def hold(result: RunResult, entries: Iterable[Known], file: str) -> Baseline:
    """What the list says of the run, and the run of the list.

    A block without a verdict is gone where its backend was compared on that model with nothing left out; else it is not
    known. Models and backends that the run does not have may be of somebody else's command.
    """
    entries = list(entries)
    listed = {
        (problem.label, entry.backend, block): (entry, place)
        for entry in sorted(entries, key=lambda entry: bool(entry.seeds))  # what is said of one seed outranks the rest
        for problem in _problems(result, entry)
        for place, block in enumerate(entry.blocks)
    }
    known, new = list[KnownBlock](), list[KnownBlock]()
    mended, unchecked = list[KnownBlock](), list[KnownBlock]()
    seen = set[tuple[str, str, str]]()
    for found in _disagreements(result):
        key = (found.block.model, found.block.backend, found.block.block)
        seen.add(key)
        entry, place = listed.get(key, (None, 0))
        if entry is None:
            new.append(found.block)
            continue
        worse = "" if entry.verdict != found.block.verdict else _worse(entry, place, found)
        both = structs.replace(found.block, listed=entry.verdict, reason=entry.reason, worse=worse)
        (new if worse or entry.verdict != found.block.verdict else known).append(both)
    problems = {problem.label: problem for problem in result.problems}
    for (label, backend, block), (entry, _) in listed.items():
        problem = problems[label]
        if (label, backend, block) in seen or backend not in backends_of(problem):
            continue
        verdict = blocks_of(problem, backend).get(block, "")
        compared = verdict or _all_compared(problem, backend) or block == PROCESS
        (mended if compared else unchecked).append(
            KnownBlock(
                model=label, backend=backend, block=block, verdict=verdict, listed=entry.verdict, reason=entry.reason
            )
        )
    there = {name for problem in result.problems for name in (problem.label, problem.model_label)}
    absent = list(dict.fromkeys(entry.model for entry in entries if entry.model not in there))
    return Baseline(file=file, known=known, new=new, mended=mended, unchecked=unchecked, absent=absent)


def _problems(result: RunResult, entry: Known) -> Iterator[ProblemResult]:
    """Those that an entry is about: the model at all its seeds, or at those that it names."""
    for problem in result.problems:
        if entry.model == problem.label or (
            entry.model == problem.model_label and (not entry.seeds or problem.seed in entry.seeds)
        ):
            yield problem


def _worse(entry: Known, place: int, found: _Found) -> str:
    """By what a block is worse than is listed, or that its cause is another; ``""`` where neither is."""
    names = {each.parameter for each in found.problem.findings}
    if entry.cause and kind_of(entry.cause, names).words != kind_of(found.cause, names).words:
        return f"for another cause: {found.cause or 'none that is known'}, listed with {entry.cause}"
    if entry.floors and found.floors > WORSE * entry.floors[place]:
        now = "an error that is no finite number" if math.isinf(found.floors) else f"{found.floors:.2g} floors"
        return f"worse: {now}, listed with {entry.floors[place]:.2g}"
    return ""


def _disagreements(result: RunResult) -> Iterator[_Found]:
    """Every block of the run whose verdict is not good."""
    for problem in result.problems:
        for backend in backends_of(problem):
            figures = _figures(problem, backend)
            for block, verdict in blocks_of(problem, backend).items():
                if not is_good(verdict, problem):
                    found = KnownBlock(model=problem.label, backend=backend, block=block, verdict=verdict)
                    yield _Found(found, *figures.get((block, verdict), (math.inf, "")), problem)


def _figures(problem: ProblemResult, backend: str) -> dict[tuple[str, str], tuple[float, str]]:
    """Of every block and verdict of a backend the largest error in floors, and its cause."""
    judged = [(f.block, f.verdict, f.floors, f.cause) for f in problem.findings if f.backend == backend]
    judged += [(training_block(r), r.verdict, r.floors, r.reason) for r in problem.training if r.backend == backend]
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for block, verdict, floors, cause in judged:
        this = (math.inf if floors is None else floors, cause)
        found[block, verdict] = max(this, found.get((block, verdict), this), key=lambda each: each[0])
    return found


def entries_of(result: RunResult, earlier: Iterable[Known] = (), because: str = "") -> list[Known]:
    """Entries for all that disagrees in a run, with the reasons that they have already, or else ``because``.

    Those of other models and backends than the run's stay.
    """
    earlier = list(earlier)
    there = {(name, backend) for problem in result.problems for name in (problem.label, problem.model_label)
             for backend in backends_of(problem)}  # fmt: skip
    reasons = {(e.model, e.backend, b, e.verdict): e.reason for e in earlier for b in e.blocks}
    seeds: dict[str, list[int]] = {}
    for problem in result.problems:
        seeds.setdefault(problem.model_label, []).extend([] if problem.seed is None else [problem.seed])
    same: dict[tuple[str, str, str, str, str], list[_Found]] = {}
    for found in _disagreements(result):
        this = found.block
        kind = kind_of(found.cause, {each.parameter for each in found.problem.findings}).words
        key = (found.problem.model_label, this.backend, this.verdict, kind, this.block)
        same.setdefault(key, []).append(found)
    groups: dict[tuple[str, str, str, str, str, tuple[int, ...]], dict[str, float]] = {}
    for (model, backend, verdict, kind, block), each in same.items():
        labels = (model, *(found.problem.label for found in each))
        reason = next(filter(None, (reasons.get((label, backend, block, verdict)) for label in labels)), because)
        at = [found.problem.seed for found in each if found.problem.seed is not None]
        named = () if len(at) == len(seeds[model]) else tuple(at)
        floors = max(found.floors for found in each)
        groups.setdefault((model, backend, verdict, kind, reason, named), {})[block] = floors
    return [
        *(entry for entry in earlier if (entry.model, entry.backend) not in there or _of_others(entry, seeds)),
        *(
            Known(
                model=model, backend=backend, verdict=verdict, blocks=[*blocks], reason=reason, cause=kind,
                floors=[] if all(map(math.isinf, blocks.values())) else [*blocks.values()], seeds=[*named],
            )
            for (model, backend, verdict, kind, reason, named), blocks in groups.items()
        ),
    ]  # fmt: skip


def _of_others(entry: Known, seeds: Mapping[str, Sequence[int]]) -> bool:
    """Whether an entry is of seeds of a model that the run does not have."""
    return bool(entry.seeds) and not {*entry.seeds} & {*seeds.get(entry.model, ())}


def _all_compared(problem: ProblemResult, backend: str) -> bool:
    """Whether nothing of a backend was left out."""
    failed = any(trouble.backend == backend for trouble in problem.troubles)
    without = any(each.backend in ("", backend) for each in problem.not_given)
    return not (failed or without or problem.left_out)
