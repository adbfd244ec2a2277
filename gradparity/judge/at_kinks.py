"""What a backend gives at a certified kink, held against both one-sided derivatives. Pure.

Whatever lies between the sides of an entry is right by itself, as frameworks choose by convention; and entries that
share a tie have to be a subgradient together: their sum along any direction lies between the sides along that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.formatting import apart
from gradparity.judge.figures import finite, index_of
from gradparity.judge.known import known_entries
from gradparity.model_spec.precisions import PRECISIONS
from gradparity.results import UNRESOLVED, Finding
from gradparity.truth.reference import Reference, Together

#: Most of a floor at a kink, over the larger of both one-sided derivatives: far above rounding, far below the step.
KINK_FLOOR = 1e-4
#: What is wrong with a derivative outside of both.
WRONG_BRANCH = "wrong branch at a kink"

Values = Mapping[str, Mapping[str, npt.NDArray[Any]]]


def nearest_side(reference: Reference, quantities: Values) -> Reference:
    """The reference of one backend: at a kink, whatever lies between both one-sided values is true."""
    if not reference.kinks:
        return reference
    truth, floor = ({key: v.copy() for key, v in each.items()} for each in (reference.truth, reference.floor))
    for (quantity, path, index), (low, high) in reference.kinks.items():
        key, got = (quantity, path), quantities.get(quantity, {}).get(path)
        if key not in truth:
            continue  # of a quantity that is not asked for
        if not np.isfinite([low, high]).all():
            truth[key][index] = np.nan  # a derivative that has no value there
            continue
        usable = got is not None and got.shape == truth[key].shape and np.isfinite(got[index])
        truth[key][index] = np.clip(got[index], low, high) if got is not None and usable else low
        # Draws fall on both sides of a kink: their spread is the step from side to side, and no noise.
        floor[key][index] = np.fmin(floor[key][index], KINK_FLOOR * max(abs(low), abs(high)))
    return replace(reference, truth=truth, floor=floor)


def said_of_kinks(finding: Finding, quantities: Values, reference: Reference, floors: float) -> Finding:
    """The finding on a block with entries at kinks, in words: between, outside, or not judged."""
    key = finding.quantity, finding.parameter
    of_block = {index: sides for (*block, index), sides in reference.kinks.items() if tuple(block) == key}
    kinks = {index: sides for index, sides in of_block.items() if np.isfinite(sides).all()}
    if finding.verdict == UNRESOLVED and key not in reference.unknown and not np.isfinite(reference.truth[key]).all():
        left, size = int(np.count_nonzero(~np.isfinite(reference.truth[key]))), reference.truth[key].size
        what = "it has" if size == 1 else f"{left} of {size} entries have"
        return msgspec.structs.replace(finding, verdict="kink", rule=f"not judged: at a certified kink {what} no value")
    got = quantities.get(finding.quantity, {}).get(finding.parameter)
    if finding.verdict == "nonfinite" and finding.worst_index in kinks and got is not None:
        return _no_number(finding, got, kinks, reference)
    if not kinks or finding.verdict not in ("agrees", "wrong"):
        return finding
    if finding.verdict == "agrees" and got is not None:
        widest = max(kinks, key=lambda index: kinks[index][1] - kinks[index][0])
        low, high = kinks[widest]
        some = f"{len(kinks)} entr{'ies' if len(kinks) > 1 else 'y'}" if reference.truth[key].shape else "it is"
        return msgspec.structs.replace(
            finding,
            verdict="kink",
            rule=f"{some} at a certified kink, between the one-sided derivatives",
            floors=None,
            error_ulps=None,
            floor_ulps=None,
            worst_index=widest,
            got=finite(got[widest]),
            truth=None,
            sides=(low, high),
        )
    if finding.got is None or got is None:
        return finding  # of another shape or dtype
    error = np.abs(got - reference.truth[key])
    beyond = ~(error <= floors * reference.floor[key]) & known_entries(reference.truth[key], reference.floor[key])
    outside = [index for index in kinks if beyond[index]]
    if not outside or len(outside) < np.count_nonzero(beyond):
        return finding
    sides = kinks[finding.worst_index if finding.worst_index in outside else outside[0]]
    shown = apart(*sides, finding.got)
    rule = f"outside a certified kink with one-sided derivatives {shown[0]} and {shown[1]}"
    return msgspec.structs.replace(finding, rule=rule, cause=WRONG_BRANCH, truth=None, sides=sides)


def _no_number(
    finding: Finding, got: npt.NDArray[Any], kinks: Mapping[tuple[int, ...], tuple[float, float]], reference: Reference
) -> Finding:
    """The finding on a block with nan or inf, by an entry of one true value if there is any such."""
    truth = reference.truth[finding.quantity, finding.parameter]
    lost = [index_of(place, got.shape) for place in np.flatnonzero(np.isfinite(truth) & ~np.isfinite(got))]
    for index in lost:
        if index not in kinks:
            rule = f"{got[index]} where the truth is {float(truth[index]):.6g}"
            return msgspec.structs.replace(finding, rule=rule, worst_index=index, truth=finite(truth[index]))
    sides = kinks[finding.worst_index]
    low, high = apart(*sides)
    rule = f"{got[finding.worst_index]} at a certified kink, where anything from {low} to {high} is right"
    return msgspec.structs.replace(finding, rule=rule, cause="", truth=None, sides=sides)


def held_together(
    found: Sequence[Finding], quantities: Values, reference: Reference, floors: float, precision: str | None = None
) -> list[Finding]:
    """The findings, those on gradients wrong whose entries are right one by one, and are no derivative together.

    A direction through several parameters is held against those of them that are right by themselves. ``precision``
    is what backends compute in, where it is not the dtype of the numbers.
    """
    gradient = quantities.get("gradient", {})
    good = {each.parameter for each in found if each.quantity == "gradient" and each.verdict == "kink"}
    wrong: dict[str, dict[str, Any]] = {}
    for each in sorted(reference.together, key=lambda each: len(each.move)):
        if not good.issuperset(each.move) or wrong.keys() & each.move.keys():
            continue
        product, room = _product(each, gradient, reference, floors, precision)
        error = max(each.low - product, product - each.high)
        if error > room:
            for path in each.move:
                wrong[path] = _none_together(each, product, error, floors * error / room)
    return [
        msgspec.structs.replace(finding, **wrong[finding.parameter])
        if finding.quantity == "gradient" and finding.parameter in wrong
        else finding
        for finding in found
    ]


def _product(
    each: Together,
    gradient: Mapping[str, npt.NDArray[Any]],
    reference: Reference,
    floors: float,
    precision: str | None,
) -> Any:
    """A gradient along a direction, and how far it may be beyond the sides."""
    product, room = np.longdouble(0), np.longdouble(0)
    for path, move in each.move.items():
        unit = np.longdouble(PRECISIONS[precision or gradient[path].dtype.name].unit)
        floor = np.fmax(reference.floor["gradient", path], unit * np.abs(gradient[path]))
        used = move != 0
        product += (gradient[path].astype(np.longdouble) * move)[used].sum()
        room += floors * (floor * np.abs(move))[used].sum()
    return product, room


def _none_together(each: Together, product: Any, error: Any, floors: Any) -> dict[str, Any]:
    """What to say of entries that are no derivative together."""
    low, high, got = apart(each.low, each.high, float(product))
    entries = sum(int(np.count_nonzero(move)) for move in each.move.values())
    rule = (
        f"each of {entries} entries is between its sides at a certified kink, and together they are no derivative: "
        f"along a direction they add up to {got}, where the one-sided derivatives are {low} and {high}"
    )
    figures = {
        "absolute_error": None,  # of no entry
        "relative_error": finite(error / max(abs(each.low), abs(each.high))) if each.low or each.high else None,
        "floors": finite(floors),
        "got": None,
    }
    return {"verdict": "wrong", "rule": rule, "cause": WRONG_BRANCH, "sides": (each.low, each.high), **figures}
