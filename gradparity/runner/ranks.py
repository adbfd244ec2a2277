"""Sharded backends: whether a problem can be divided, ranks that differ, and what the shares of ranks explain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from gradparity.backends.shards import blocks, no_rows
from gradparity.judge.causes.shards import STALE, Shares, explain
from gradparity.judge.verdicts import most_floors
from gradparity.model_spec.problem import AnyProblem, UserProblem
from gradparity.oracle.protocol import NotCertified, Oracle
from gradparity.processes.group import difference
from gradparity.results import GOOD, Diagnosis, Finding, worst
from gradparity.runner.settings import Settings
from gradparity.truth.reference import Reference
from gradparity.worker import messages as m
from gradparity.worker.ranks import before
from gradparity.worker.wire import Arrays

#: Entries of the data, at most, whose truth is computed once more to explain what is wrong.
LARGE = 10**7


def names_of(problem: AnyProblem) -> tuple[str, ...]:
    """Names of the data that have rows."""
    return problem.spec.rows if isinstance(problem, UserProblem) else ("X", "y")


def require_divisible(settings: Settings, names: Sequence[str], problem: AnyProblem) -> None:
    """See that a problem's rows can be divided among the ranks, if a sharded backend is to run.

    Raises:
        InputError: the model does not say what its rows are, or there are fewer than ranks.
    """
    if not any(settings.registration(name).sharded for name in names):
        return
    if not names_of(problem):
        raise no_rows()
    blocks(len(problem.data[names_of(problem)[0]]), settings.ranks)


def of_all_ranks(
    evaluation: m.Evaluated, judge: Callable[[dict[str, Arrays]], Sequence[Finding]]
) -> tuple[list[Finding], list[Diagnosis]]:
    """The findings; of ranks that gave another value than rank 0 the worst, and what is said of other differences.

    Args:
        evaluation: the answer of rank 0, or of a process that is alone, with what other ranks gave that differs.
        judge: gives the findings on quantities.
    """
    shown, said = list(judge(evaluation.quantities)), list[Diagnosis]()
    for rank, apart in evaluation.ranks.items():
        theirs = judge(
            {**evaluation.quantities, **{q: {**evaluation.quantities[q], **tree} for q, tree in apart.items()}}
        )
        other = {each.block: each for each in theirs}
        for place, each in enumerate(shown):
            value = apart.get(each.quantity, {}).get(each.parameter)
            if value is None or each.block not in other:
                continue
            words = difference(evaluation.quantities[each.quantity][each.parameter], value)
            words = f"rank {rank}'s {each.block} {words}: it is not replicated"
            pair = worst([each, other[each.block]])
            if pair.verdict in GOOD:
                cure = "Broadcast it from one rank: parameters that differ by roundings part in training."
                said.append(Diagnosis(name=f"ranks differ on {each.backend}", finding=words, cure=cure))
                continue
            cause = f"{pair.cause}; {words}" if pair.cause else ""
            shown[place] = msgspec.structs.replace(pair, rule=f"{pair.rule}; {words}", cause=cause)
    return shown, said[:1]


def with_shares(
    found: Sequence[Finding], evaluation: m.Evaluated, problem: AnyProblem, truth: Reference, oracle: Oracle, ranks: int
) -> list[Finding]:
    """The findings, those that are wrong with what the ranks' shares explain; their truth is computed for that."""
    kind = evaluation.over_rows
    wrong = [each for each in found if each.verdict == "wrong" and each.quantity in ("loss", "gradient")]
    if not wrong or problem.cells > LARGE or not kind:
        return list(found)
    names = names_of(problem)
    rows = blocks(len(problem.data[names[0]]), ranks)
    try:
        parts = [oracle.at(replace(problem, data=_rows_of(problem, names, part))) for part in rows]
        earlier = oracle.at(replace(problem, params=before(problem)))
    except NotCertified:
        return list(found)

    def explained(each: Finding) -> Finding:
        key = each.quantity, each.parameter
        if each not in wrong or any(key not in part.truth for part in parts):
            return each
        shares = Shares(
            *(kind, rows, truth.truth[key], truth.floor[key]),
            parts=[part.truth[key] for part in parts],
            floors=[part.floor[key] for part in parts],
            before=earlier.truth.get(key),
            replicated=not any(key[1] in tree.get(key[0], {}) for tree in evaluation.ranks.values()),
        )
        given = [evaluation.quantities, *evaluation.ranks.values()]
        values = [value for tree in given if (value := tree.get(key[0], {}).get(key[1])) is not None]
        for value in values:
            cause = explain(value, shares, most_floors(problem.spec.rounding))
            if cause:
                return msgspec.structs.replace(each, cause=cause)
        return each

    return [explained(each) for each in found]


def with_stale(unrepeatable: Sequence[Finding], judged: Sequence[Finding]) -> list[Finding]:
    """Findings on two calls that gave two answers, those whose first is explained by the call before as such."""
    known = {each.block: each for each in judged if each.cause == STALE}
    return [known.get(each.block, each) for each in unrepeatable]


def _rows_of(problem: AnyProblem, names: Sequence[str], part: slice) -> dict[str, Any]:
    return {name: np.ascontiguousarray(v[part]) if name in names else v for name, v in problem.data.items()}
