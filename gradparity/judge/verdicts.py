"""Evaluations and truth in, verdicts out. Pure: nothing is measured here, and nothing is tuned by hand.

An entry agrees if its error is at most ``AGREES_FLOORS`` noise floors, where the floor is how far the entry moves
when the inputs and every step of the closed form round once, sums of any length included
(`gradparity.truth.logistic.floor`).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.judge.at_kinks import held_together, nearest_side, said_of_kinks
from gradparity.judge.causes.block import WrongBlock
from gradparity.judge.causes.patterns import explain
from gradparity.judge.figures import finite, in_floors, index_of, root_mean_square
from gradparity.judge.known import Scale, known_entries, scale_of, unresolved
from gradparity.judge.symmetric import CONVENTION, by_convention
from gradparity.model_spec.precisions import HALVES, PRECISIONS
from gradparity.model_spec.problem import AnyProblem, Problem
from gradparity.numerics.extended import Extended
from gradparity.results import UNRESOLVED, Finding, Verdict
from gradparity.truth.reference import PROJECTION, Reference, along_directions
from gradparity.worker.wire import dtype_name

#: Twice the most that a correct backend of the built-in model was seen at: 3.6 and 4.1 floors in two campaigns of 8,000
#: drawn problems, both dtypes, awkward data and logits up to 800 included (``tests/evidence/false_alarms.py``); 99.9%
#: of all blocks were within 2.1. Of users' models (``tests/evidence/user_models.py``) 99.9% are within 3.4, the worst
#: at 5.9 but for ports by formulas that lose more digits. Of n normal errors the largest is sqrt(2 ln n), 5.3 of 10^6.
AGREES_FLOORS = 8.0

#: The same in half precision, whose floors are percents: up to here an error of a quarter is seen. Answers of a GPU
#: were within 1.2 (``tests/evidence/gpu_references.py``), torch's and JAX's to nine examples on a processor within 1.4.
#: Beyond, up to `AGREES_FLOORS`, nothing is said.
HALF_FLOORS = 4.0


def most_floors(precision: str) -> float:
    """Noise floors of a precision up to which an error agrees."""
    return HALF_FLOORS if precision in HALVES else AGREES_FLOORS


#: Relative agreement of a loss with NumPy's own in which whole numbers wrap around: whatever the dtype.
WRAPPED = 1e-4

#: One backend's values: quantity -> parameter -> array.
Values = Mapping[str, Mapping[str, npt.NDArray[Any]]]


def judge(backend: str, quantities: Values, reference: Reference, problem: AnyProblem) -> list[Finding]:
    """A finding for every block of the reference, in its order, with the cause where it disagrees.

    Args:
        backend: name of the backend.
        quantities: its values, quantity -> parameter -> array.
        reference: true values and noise floors; at a kink, loss and gradient alone are judged.
        problem: what was evaluated.

    Returns:
        One finding a block; a block that the backend did not give is ``wrong``.
    """
    dtype = problem.spec.dtype
    if isinstance(problem, Problem):
        return judge_values(backend, quantities, reference, dtype, problem)
    quantities, reference, symmetric = as_held(quantities, reference, problem)
    expected, sizes = _expected(problem, quantities), lengths(problem.data)
    found = judge_values(
        *(backend, quantities, reference, dtype),
        dtypes=expected,
        sizes=sizes,
        params=problem.params,
        precision=problem.spec.rounding_apart,
    )
    found = [
        msgspec.structs.replace(each, rule=f"{each.rule}, {CONVENTION}")
        if (each.quantity, each.parameter) in symmetric
        else each
        for each in found
    ]
    if reference.kinks:
        found = [said_of_kinks(finding, quantities, reference, AGREES_FLOORS) for finding in found]
        found = held_together(found, quantities, reference, AGREES_FLOORS, problem.spec.rounding_apart)
    return [_by_projections(_wrapped_around(finding, quantities, reference), reference) for finding in found]


def as_held(
    quantities: Values, reference: Reference, problem: AnyProblem
) -> tuple[Values, Reference, Set[tuple[str, str]]]:
    """What a backend's values are held to: of several right answers the one that they are nearest to.

    Args:
        quantities: its values, quantity -> parameter -> array.
        reference: true values and noise floors.
        problem: of the user's, what was evaluated.

    Returns:
        The values, with projections where the reference has these; the reference with the nearest side of a kink, and
        the form of a symmetric argument's gradient; the blocks that have another form than the truth's.
    """
    quantities = _with_projections(quantities, reference, problem)
    return quantities, *by_convention(nearest_side(reference, quantities), quantities, problem.params, AGREES_FLOORS)


def _wrapped_around(finding: Finding, quantities: Values, reference: Reference) -> Finding:
    """The finding, with that whole numbers wrap around where the loss is the one that comes of it."""
    got = quantities.get("loss", {}).get("")
    if reference.wrapped is None or finding.verdict != "wrong" or finding.cause or got is None or got.ndim:
        return finding
    words, value = reference.wrapped
    return msgspec.structs.replace(finding, cause=words) if abs(got - value) <= WRAPPED * abs(value) else finding


def _with_projections(quantities: Values, reference: Reference, problem: AnyProblem) -> Values:
    """With the gradient along the directions of the reference, where that has it along these only."""
    gradient, count = quantities.get("gradient", {}), np.size(reference.truth.get((PROJECTION, ""), ()))
    shapes = {name: value.shape for name, value in gradient.items()}
    if not count or shapes != dict(problem.spec.shapes):
        return quantities
    along = along_directions(gradient, problem.seed, count)
    return {**quantities, PROJECTION: {"": along.astype(_expected(problem, quantities)[""])}}


def _by_projections(finding: Finding, reference: Reference) -> Finding:
    """The finding on a gradient along directions, with that it is of no entry by itself."""
    if finding.quantity != PROJECTION:
        return finding
    count = np.size(reference.truth[PROJECTION, ""])
    rule = f"{finding.rule}; along {count} random direction{'s' * (count > 1)}, no entry was compared by itself"
    return msgspec.structs.replace(finding, rule=rule)


def _expected(problem: AnyProblem, quantities: Values) -> dict[str, str]:
    """The dtype of each parameter, and of scalars whichever real one they have: data may be of another than it."""
    scalars = (quantities.get(name, {}).get("") for name in ("loss", "jvp"))
    wide = any(value is not None and value.dtype == np.float64 for value in scalars)
    return {**problem.spec.dtypes, "": "float64" if wide else problem.spec.dtype}


def lengths(data: Mapping[str, npt.NDArray[Any]]) -> dict[str, int]:
    """What a sum and a mean over a user's data may differ by: each length once, with its place in the data."""
    found: dict[int, str] = {}
    for name, value in data.items():
        for axis, length in enumerate(value.shape):
            found.setdefault(length, f"{name}.shape[{axis}]")
        found.setdefault(value.size, f"{name}.size")
    return {words: length for length, words in found.items() if length > 2}


def judge_values(
    backend: str,
    quantities: Values,
    reference: Reference,
    dtype: str,
    problem: Problem | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
    dtypes: Mapping[str, str] | None = None,
    against: str = "the truth",
    params: Mapping[str, npt.NDArray[Any]] | None = None,
    precision: str | None = None,
) -> list[Finding]:
    """The same for any model; without a ``problem``, causes are those that need no formula of it.

    Args:
        backend: name of the backend.
        quantities: its values, quantity -> parameter -> array.
        reference: what they are held against.
        dtype: the precision that was asked for.
        problem: the built-in problem, where it is one.
        sizes: lengths that a sum and a mean may differ by, by what a report calls them.
        dtypes: by parameter, ``""`` for scalars, where they are not all ``dtype``.
        against: what a rule calls the values of the reference.
        params: the parameters at which it is evaluated.
        precision: that it is computed in, where it is another than the dtype that its numbers come in.

    Returns:
        One finding a block, in the order of the reference.
    """
    found = {
        (quantity, parameter): judge_block(
            backend,
            quantity,
            parameter,
            quantities.get(quantity, {}).get(parameter),
            truth,
            reference.floor[quantity, parameter],
            (dtypes or {}).get(parameter, dtype),
            against,
            scale_of(
                reference,
                (quantity, parameter),
                precision or (dtypes or {}).get(parameter, dtype),
                any_formula=problem is None,
            ),
            reference.unknown.get((quantity, parameter), ""),
            precision,
        )
        for (quantity, parameter), truth in reference.truth.items()
    }
    agrees = {key: each.verdict == "agrees" for key, each in found.items()}

    def with_cause(finding: Finding) -> Finding:
        got = quantities.get(finding.quantity, {}).get(finding.parameter)
        if finding.verdict in ("agrees", UNRESOLVED) or got is None:
            return finding
        key = finding.quantity, finding.parameter
        at = (params or {}).get(finding.parameter)
        block = WrongBlock(*key, got, reference, problem, agrees, AGREES_FLOORS, dtype, sizes or {}, against, at)
        with np.errstate(all="ignore"):  # of entries whose truth is no number nothing holds
            return msgspec.structs.replace(finding, cause=explain(block))

    return [with_cause(finding) for finding in found.values()]


def judge_block(
    backend: str,
    quantity: str,
    parameter: str,
    got: npt.NDArray[Any] | None,
    truth: Extended,
    floor: Extended,
    dtype: str,
    against: str = "the truth",
    scale: Scale | None = None,
    why: str = "",
    precision: str | None = None,
) -> Finding:
    """The finding on one block, decided by the entry furthest beyond its floor.

    Args:
        backend: name of the backend.
        quantity: of which the block is one.
        parameter: likewise; ``""`` for a scalar.
        got: the backend's values, ``None`` where there are none.
        truth: the values that are expected.
        floor: how far rounding moves each of them.
        dtype: the precision that was asked for.
        against: what a rule calls ``truth``.
        scale: what is large and what is nothing in this block; without one no floor is too wide.
        why: what is known of entries whose truth or floor is not a finite number.
        precision: that it is computed in, if not ``dtype``.

    Returns:
        The finding, without a cause.
    """

    def finding(verdict: Verdict, rule: str, **figures: Any) -> Finding:
        return Finding(backend=backend, quantity=quantity, parameter=parameter, verdict=verdict, rule=rule, **figures)

    if got is None:
        return finding("wrong", "the block is missing from the answer")
    if got.shape != truth.shape:
        return finding("wrong", f"shape {got.shape}, expected {truth.shape}")
    if (name := dtype_name(got)) != dtype:
        return finding("wrong", f"dtype {name}, expected {dtype}: computed in another precision than asked for")
    scale = scale or Scale()
    rounds = PRECISIONS[precision or dtype]
    beyond = np.isfinite(truth) & (np.abs(truth) > rounds.largest)
    if beyond.any():  # inf is what rounding makes of it, and no other number can be right
        truth, why = np.where(beyond, np.longdouble(np.nan), truth), f"it is beyond the range of {rounds.name}"
    lost = np.isfinite(truth) & ~np.isfinite(got)
    if lost.any():
        where = index_of(np.argmax(lost), got.shape)
        return finding(
            "nonfinite",
            f"{got[where]} where {against} is {float(truth[where]):.6g}",
            worst_index=where,
            truth=finite(truth[where]),
        )
    floor = scale.floor(floor)
    passing = most_floors(rounds.name)
    open_question = unresolved(truth, floor, scale.visible, passing, why)
    known = known_entries(truth, floor)
    if not known.any():
        return finding(UNRESOLVED, open_question) if got.size else finding("agrees", "a block without entries")

    with np.errstate(invalid="ignore"):
        error = np.abs(got.astype(np.longdouble) - truth)
    floors = np.where(known, in_floors(error, floor), -1)
    worst = index_of(np.argmax(floors), got.shape)
    largest = np.abs(truth[known]).max()
    ulp = rounds.spacing(truth[worst])
    has_ulps = np.abs(truth[worst]) > scale.zero  # units in the last place of nothing are no figure
    furthest = error[known].max()
    figures = {
        "absolute_error": finite(error[worst]),
        "relative_error": finite(furthest / largest) if largest > 0 else (0.0 if not furthest else None),
        "error_ulps": finite(error[worst] / ulp) if has_ulps else None,
        "floor_ulps": finite(floor[worst] / ulp) if has_ulps else None,
        "floors": finite(floors[worst]),
        "worst_index": worst,
        "got": finite(got[worst]),
        "truth": finite(truth[worst]),
    }
    if not got[known].any() and root_mean_square(truth[known]) > max(root_mean_square(floor[known]), scale.zero):
        return finding("wrong", f"zero where {against} is not", **figures)
    if floors[worst] > AGREES_FLOORS:
        return finding("wrong", f"error of more than {AGREES_FLOORS:g} noise floors", **figures)
    if open_question:
        return finding(UNRESOLVED, open_question, **figures)
    if floors[worst] > passing:
        rule = f"error of {passing:g} to {AGREES_FLOORS:g} noise floors: in {rounds.name} it may be one of the rule"
        return finding(UNRESOLVED, rule, **figures)
    return finding("agrees", f"error of at most {passing:g} noise floors", **figures)


def without_answer(backend: str, reference: Reference, verdict: Verdict, rule: str) -> list[Finding]:
    """The same verdict for every block: of a backend that gave no values to compare.

    Args:
        backend: name of the backend.
        reference: has the blocks.
        verdict: of each of them.
        rule: why, in words.

    Returns:
        One finding a block, in the order of the reference.
    """
    return [
        Finding(backend=backend, quantity=quantity, parameter=parameter, verdict=verdict, rule=rule)
        for quantity, parameter in reference.truth
    ]
