"""Whether a backend computes in a lower precision somewhere: its answers scatter as that precision rounds. Pure.

Errors of the size of a float32 rounding may come from a formula that differs by 1e-8, or from a constant of 7 digits:
the numbers alone cannot tell. But a formula is smooth in its inputs, and a rounding is not. So the backend is asked
again along a line of inputs about one rounding of the format apart, and what a parabola through its answers leaves over
is their scatter. It is the format's if it is as large as the error, no larger than the format makes, and gone along a
line so fine that no number of the format is crossed: a formula that cancels may scatter there as well. And some value
on the way has that dtype: numbers that are rounded to seven decimals scatter likewise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from gradparity.judge.causes.patterns import FORMATS
from gradparity.judge.figures import LOWER_PRECISION, root_mean_square
from gradparity.numerics.extended import Blocks, Extended
from gradparity.numerics.perturbation import Values, left_over, line_noise
from gradparity.results import Finding

#: How far the points of a format's line are apart, in units of its rounding. A value crosses about one boundary from
#: point to point, and the parabola leaves ``(16 u)^3`` of a smooth answer: 2^-15 for bfloat16, which rounds by 2^-9.
SPACINGS = {name: 2.0 ** -(bits + 1) for name, bits in FORMATS.items()}
#: The line that is fine for every format below the dtype, in units of the dtype's epsilon, and how much of a format's
#: scatter may be left on it.
CONTROL, CONTROL_SPACING, LEFT = "control", 8.0, 0.25
#: What a format's rounding of the inputs may change at most, over the largest value: beyond it nothing is a parabola.
BENDS = 0.1
#: The error may be so many times the scatter, since it is one draw of it; and the scatter so many roundings.
EXPLAINS, MOST = 8.0, 4.0
#: Von Neumann's ratio of the scatter, at least: 2 is white, a smooth remainder has 0.5.
WHITE = 1.0
#: Formats of 8 and 11 bits are told apart along the line of the latter: its own roundings were seen at 1.7 to 3, and at
#: 1.5 to 1.8 those to a grid 8 times as coarse, which also scatter by more. What lies between may be either.
SURELY_FINE, SURELY_COARSE, SMALL = 1.9, 1.75, 0.3
_FINE, _COARSE = "float16 or TF32", "bfloat16"
EITHER = "bfloat16, float16 or TF32"
#: The dtypes that a value on the way has where a format is named.
_DTYPES = {
    "float32": ("float32",),
    _FINE: ("float16",),
    _COARSE: ("bfloat16",),
    EITHER: ("bfloat16", "float16"),
}
SCATTER, PARTLY = "its answers scatter by", ", which is not all of its error"


def spacings(dtype: str) -> dict[str, float]:
    """How far the points of each line are apart that a backend is asked along, by format; the control's among them."""
    return {**SPACINGS, CONTROL: CONTROL_SPACING * float(np.finfo(dtype).eps)}


def may_be_rounding(finding: Finding, dtype: str = "float64") -> bool:
    """Whether a finding is off by what some format's rounding may be, and nothing is known of why."""
    known = finding.cause and not finding.cause.startswith("diverges at")
    if finding.verdict != "wrong" or known or finding.floors is None:
        return False
    return LOWER_PRECISION < finding.floors <= EXPLAINS * MOST * _ratio(min(FORMATS.values()), dtype)


def with_precision(
    findings: Sequence[Finding],
    values: Mapping[str, Values],
    truth: Blocks,
    floor: Blocks,
    lines: Mapping[str, Mapping[str, Sequence[Values]]],
    dtype: str = "float64",
    seen: Mapping[str, Collection[str]] | None = None,
    partly: bool = False,
) -> list[Finding]:
    """The same findings; those that scatter as a format rounds are named with it.

    Args:
        findings: of any backends.
        values: what each gave, by backend.
        truth: what they were held against.
        floor: of the precision that was asked for.
        lines: by backend and format what it gave along that format's line.
        dtype: the precision that was asked for.
        seen: by backend the dtypes of values on its way, where they were looked at: then a format is named only if
            it is among them, since a rounding to seven decimals scatters as float32 does. ``None``: by size alone.
        partly: a format that is seen is named too where it is not all of the error.
    """
    given = {backend: _given_throughout(of) for backend, of in lines.items()}

    def cause(each: Finding) -> str:
        of = None if seen is None else seen.get(each.backend, ())
        return _cause(each, values, truth, floor, given.get(each.backend, {}), dtype, of, partly)

    return [msgspec.structs.replace(each, cause=found) if (found := cause(each)) else each for each in findings]


def _given_throughout(lines: Mapping[str, Sequence[Values]]) -> dict[str, list[Values]]:
    """The lines, with the quantities that every point of all of them has: a derivative may raise at one alone."""
    points = [each for line in lines.values() for each in line]
    kept = set[str].intersection(*map(set, points)) if points else set[str]()
    return {name: [{q: each[q] for q in each if q in kept} for each in line] for name, line in lines.items()}


def _cause(
    finding: Finding,
    values: Mapping[str, Values],
    truth: Blocks,
    floor: Blocks,
    lines: Mapping[str, Sequence[Values]],
    dtype: str,
    seen: Collection[str] | None,
    partly: bool,
) -> str:
    key = finding.quantity, finding.parameter
    asked = all(finding.quantity in each for line in lines.values() for each in line)
    if not may_be_rounding(finding, dtype) or key not in truth or not asked:
        return ""
    got = values[finding.backend][finding.quantity][finding.parameter]
    error, noise = np.abs(got.astype(np.longdouble) - truth[key]), np.where(np.isfinite(floor[key]), floor[key], 0)
    fine = [each[finding.quantity][finding.parameter] for each in lines.get(CONTROL, ())]
    own = root_mean_square(line_noise(fine)) if fine else 0
    for name, line in lines.items():
        if name == CONTROL:
            continue
        scatter = line_noise([each[finding.quantity][finding.parameter] for each in line])
        ratio = _ratio(FORMATS[name], dtype)
        if own > LEFT * root_mean_square(scatter) or ratio * root_mean_square(noise) > BENDS * np.abs(got).max():
            continue
        if not _is_of_format(scatter, noise, ratio) or (white := whiteness(line)) <= WHITE:
            continue
        rest = bool(root_mean_square(error) > EXPLAINS * root_mean_square(scatter))
        if rest and not partly:
            continue
        if name == _FINE and white <= SURELY_FINE:
            small = root_mean_square(scatter) < SMALL * ratio * root_mean_square(noise)
            named = EITHER if small or white > SURELY_COARSE else _COARSE
        else:
            named = name
        said = f"{SCATTER} {_relative(scatter, got):.1e}"
        there = [each for each in _DTYPES[named] if seen is not None and each in seen]
        if rest and not there:
            continue
        if seen is not None and not there:
            return f"{said}: something on the way is rounded, or steps at a kink"
        named = there[0] if len(there) == 1 else named
        return f"{named} leak: {said}, as {named} rounds{PARTLY * rest}"
    return ""


def by_block(causes: Mapping[str, str], blocks: Sequence[str]) -> str:
    """Each cause once, with its blocks unless all of them have it."""
    held: dict[str, list[str]] = {}
    for block, cause in causes.items():
        if cause:
            held.setdefault(cause, []).append(block)
    return "; ".join(c if len(of) == len(blocks) else f"{c} (in {', '.join(of)})" for c, of in held.items())


def whiteness(line: Sequence[Values]) -> float:
    """Von Neumann's ratio of what scatters along a line, over all entries of all blocks: white noise has 2.

    Reference: von Neumann, Distribution of the ratio of the mean square successive difference to the variance, 1941.
    """
    ratios = []
    for quantity, tree in line[0].items():
        for name in tree:
            left = left_over([each[quantity][name] for each in line])
            squares = (left * left).sum(0)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios.append((np.diff(left, axis=0) ** 2).sum(0) / squares * (len(left) / (len(left) - 1)))
    found = np.concatenate(ratios) if ratios else np.empty(0)
    return float(np.mean(found[np.isfinite(found)])) if np.isfinite(found).any() else 0.0


def _is_of_format(scatter: Extended, floor: Extended, ratio: float) -> bool:
    usual, size = root_mean_square(floor), root_mean_square(scatter)
    return bool(usual and LOWER_PRECISION * usual < size <= MOST * ratio * usual)


def _ratio(bits: int, dtype: str) -> float:
    """How much coarser a rounding to so many bits is than one of ``dtype``."""
    return float(2.0**-bits / (np.finfo(dtype).eps / 2))


def _relative(scatter: Extended, got: Any) -> float:
    size = root_mean_square(got.astype(np.longdouble))
    return float(root_mean_square(scatter) / size) if size else float(root_mean_square(scatter))
