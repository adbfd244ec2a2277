"""Answers recorded elsewhere among those of the backends: held to the truth by the floors of their own precision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from gradparity.formatting import large
from gradparity.judge.figures import finite
from gradparity.judge.verdicts import AGREES_FLOORS, HALF_FLOORS, judge
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.precisions import HALVES, PRECISIONS
from gradparity.model_spec.problem import UserProblem
from gradparity.numerics.extended import Blocks
from gradparity.oracle.protocol import NotCertified
from gradparity.results import GOOD, UNRESOLVED, Diagnosis, Finding, NotGiven, Pairwise, worst
from gradparity.results.recorded import QUANTITIES, Recorded, combined, read
from gradparity.results.run import RecordedAnswer
from gradparity.runner.pairwise import times_as_noisy
from gradparity.runner.settings import Settings

if TYPE_CHECKING:
    from gradparity.oracle.client import ModelProcess
    from gradparity.runner.judging import Judging
    from gradparity.truth.reference import Reference

ABSENT = "the reference has none"
ADD = "Record it too: docs/howto/references.md."


def read_references(settings: Settings) -> list[Recorded]:
    """The files of a run, each under a name that no backend and no other has.

    Raises:
        InputError: one is no reference, of an unknown precision, or has the name of another.
    """
    found: dict[str, Recorded] = {}
    for given in settings.references:
        each = read(given)
        if each.name in found or each.name in settings.order():
            got, cure = f"the name {each.name!r} twice", f"--reference NAME={each.file}"
            raise InputError(f"--reference {each.file}", got=got, expected="a name of its own", cure=cure)
        if each.dtype not in PRECISIONS:
            expected = f"one of {', '.join(PRECISIONS)}"
            raise InputError(f"--reference {each.file}", got=f"dtype {each.dtype!r}", expected=expected)
        found[each.name] = each
    return list(found.values())


def judge_references(judging: Judging, references: Sequence[Recorded]) -> list[Recorded]:
    """Take the verdicts on each reference, and say which precision it is consistent with.

    Returns:
        Those that are held to what the others come to, where no truth is known; see `hold_to_others`.
    """
    coarser = []
    floors = _floors(judging) if references and judging.pairwise is None else {}
    for each in references:
        absent = [quantity for quantity in QUANTITIES if quantity not in each.quantities]
        said = [NotGiven(backend=each.name, quantity=quantity, reason=ABSENT, cure=ADD) for quantity in absent]
        judging.recorder.not_given(each.name, said)
        if judging.pairwise is not None:
            judging.recorder.recorded(_kept(each))
            if not judging.pairwise.add(each):
                coarser.append(each)
        else:
            _hold(judging, each, judging.truth, floors)
    return coarser


def hold_to_others(judging: Judging, references: Sequence[Recorded]) -> None:
    """Take the verdicts on references of a coarser precision than the backends', which were compared without them.

    They are held, by the floors that their precision would make of a backend's, to a backend that the others agree
    with, and where there is only one, to that: then it is held to them likewise.
    """
    assert judging.pairwise is not None  # noqa: S101
    compared, found = judging.recorder.outcome.pairwise, judging.pairwise
    own = cast("UserProblem", judging.cell.problem).spec.rounding
    for each in references:
        names = [*found.answers] if len(found.answers) == 1 else []
        if compared is not None:
            blocks = [block for block in compared.matrix if block.quantity in ("loss", "gradient", "jvp", "hvp")]
            names = [name for name in compared.backends if all(name in block.agreeing for block in blocks)]
        known = found.reference_of(names[0]) if names else None
        if known is None:
            why = "the backends do not agree on what it could be held to"
            judging.recorder.found(each.name, judging.unanswered(each.name, UNRESOLVED, why))
            continue
        floors = {
            name: {key: times * floor for key, floor in known.floor.items()}
            for name in PRECISIONS
            if (times := times_as_noisy(name, own)) >= 1
        }
        verdicts = _hold(judging, each, known, floors, f"pairwise, against {names[0]}: ")
        if compared is None:
            judging.recorder.found(names[0], [_mirrored(finding, names[0]) for finding in verdicts])
            both = [names[0], *(each.name for each in references)]
            judging.recorder.outcome.pairwise = Pairwise(backends=both, matrix=[], own=[], outliers=[])


def _mirrored(finding: Finding, name: str) -> Finding:
    """The verdict on a backend that nothing but a reference is held to."""
    rule = f"pairwise, against {finding.backend} alone: {finding.rule.partition(': ')[2]}"
    if finding.verdict in GOOD or finding.verdict == UNRESOLVED:
        return msgspec.structs.replace(finding, backend=name, rule=rule)
    rule += "; nothing here says which is wrong"
    return msgspec.structs.replace(finding, backend=name, verdict=UNRESOLVED, rule=rule, cause="")


def _floors(judging: Judging) -> dict[str, Blocks]:
    """By precision; of those for which there is no time there is none."""
    problem = cast("UserProblem", judging.cell.problem)
    judging.recorder.begin("noise floors of other precisions")
    others = [name for name in PRECISIONS if name != problem.spec.rounding]
    seconds = judging.deadline.stage_s("noise floors")
    try:
        found = cast("ModelProcess", judging.cell.oracle).floors(problem, others, seconds)
    except NotCertified as error:
        judging.recorder.leave_out(str(error))
        found = {}
    return {problem.spec.rounding: judging.truth.floor} | found


def _hold(
    judging: Judging, recorded: Recorded, truth: Reference, floors: Mapping[str, Blocks], rule: str = ""
) -> list[Finding]:
    """Take the verdicts on one reference, by floors by precision; before the words of each stands ``rule``."""
    problem = cast("UserProblem", judging.cell.problem)
    verdicts = {name: judged(recorded, name, problem, truth, floors[name]) for name in PRECISIONS if name in floors}
    figures = {name: most_floors(found) for name, found in verdicts.items()}
    said = consistent(figures, recorded.dtype)
    known = verdicts.get(recorded.dtype)
    if known is None:
        why = f"there was no time for the noise floors of {recorded.dtype}"
        known = judging.unanswered(recorded.name, UNRESOLVED, why)
    elif worst(known).verdict not in GOOD and said:
        known = [_with_cause(each, said) for each in known]
    known = [msgspec.structs.replace(each, rule=f"{rule}{each.rule}") for each in known]
    judging.recorder.found(recorded.name, known)
    judging.recorder.recorded(_kept(recorded, figures, said))
    device = f" on {recorded.device}" if recorded.device else ""
    finding = f"recorded in {recorded.dtype}{device}, {said or 'whose precision is not known'}"
    if recorded.dtype in HALVES:
        finding += f"; in half precision up to {HALF_FLOORS:g} floors agrees"
    judging.recorder.diagnose(Diagnosis(name=f"reference {recorded.name}", finding=finding, cure=""))
    return known


def judged(recorded: Recorded, precision: str, problem: UserProblem, truth: Reference, floor: Blocks) -> list[Finding]:
    """The verdicts by the floors of a precision, whatever the file has its numbers in.

    Args:
        recorded: the answers.
        precision: a name of `precisions.PRECISIONS`.
        problem: what they are of.
        truth: the values that are expected.
        floor: of each of them in that precision.
    """
    dtype: Any = PRECISIONS[precision].sums
    spec = problem.spec.in_dtype(dtype).rounding_to(precision)
    given = {
        quantity: {name: value.astype(dtype) for name, value in tree.items()}
        for quantity, tree in recorded.quantities.items()
    }
    truth = truth.only(*given)
    known = replace(truth, floor={key: floor.get(key, np.full_like(truth.truth[key], np.nan)) for key in truth.truth})
    with np.errstate(over="ignore"):
        return judge(recorded.name, given, known, replace(problem, spec=spec))


def most_floors(findings: Sequence[Finding]) -> float | None:
    """The worst error in floors; infinite where a block has none, ``None`` where nothing is known of any."""
    known = [each for each in findings if each.verdict != UNRESOLVED]
    if not known:
        return None
    return max(math.inf if each.floors is None and each.verdict not in GOOD else each.floors or 0.0 for each in known)


def consistent(figures: Mapping[str, float | None], claimed: str) -> str:
    """Which precision errors are consistent with, and which not: the one that is claimed, if they are, or the finest.

    Args:
        figures: by precision, the finest first, the worst error in its noise floors, ``None`` where it is not known.
        claimed: the precision that the file says.
    """
    known = {name: floors for name, floors in figures.items() if floors is not None}

    def said(name: str) -> str:
        return PRECISIONS[name].words + (f" ({large(known[name])} floors)" if math.isfinite(known[name]) else "")

    # Up to AGREES_FLOORS is right; a precision that it was computed in is nearer than one that is a little finer.
    likely = [name for limit in (AGREES_FLOORS / 2, AGREES_FLOORS) for name in known if known[name] <= limit]
    if known.get(claimed, math.inf) <= AGREES_FLOORS:
        likely.insert(0, claimed)
    if not likely:
        return f"consistent with no precision, not even {said([*known][-1])}" if known else ""
    finer = [*known][: [*known].index(likely[0])]
    beyond = [name for name in finer if known[name] > AGREES_FLOORS]
    as_good = [name for name in finer if known[name] <= AGREES_FLOORS / 2]
    also = f", and as good as {said(as_good[0])}" if as_good else ""
    return f"consistent with {said(likely[0])}{also}" + (f", not with {said(beyond[-1])}" if beyond else "")


def _with_cause(finding: Finding, said: str) -> Finding:
    if finding.verdict in GOOD or finding.verdict == UNRESOLVED:
        return finding
    own = finding.cause or (finding.rule if finding.floors is None else "")  # of another shape
    return msgspec.structs.replace(finding, cause="; ".join(filter(None, [own, f"as a whole {said}"])))


def _kept(recorded: Recorded, figures: Mapping[str, float | None] | None = None, said: str = "") -> RecordedAnswer:
    return RecordedAnswer(
        name=recorded.name,
        file=recorded.file,
        dtype=recorded.dtype,
        device=recorded.device,
        versions=recorded.versions,
        digest=combined(recorded.inputs),
        floors={name: finite(floors) for name, floors in (figures or {}).items() if floors is not None},
        said=said,
    )
