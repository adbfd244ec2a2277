"""What forward mode, and extended precision, have against derivatives that were found by reverse mode in balls."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks
from gradparity.truth.numbers.enclosure import Enclosure

#: A radius of this share of the floor does not matter to any verdict.
NARROW = 1e-3
#: Relative roundings of a midpoint and of a sum of some in extended precision, with room.
EXTENDED_ROUNDING = np.longdouble(16) * np.finfo(np.longdouble).eps

REFUTED = (
    "certified and extended precision give different values, by more than rounding explains. Either a branch turns on "
    "less than a rounding at this point, or this is a defect of gradparity: please report it"
)
CONTRADICTED = (
    "two independent derivations of the truth disagree, which is a defect of gradparity: please report it ({})"
)


def slack_of(truth: Blocks, floor: Blocks) -> Blocks:
    """How far certified midpoints in extended precision may be off: by its roundings, and what is no matter."""
    return {
        key: np.asarray(NARROW * floor[key] + EXTENDED_ROUNDING * np.abs(value), np.longdouble)
        for key, value in truth.items()
    }


def direction(params: Any, rng: np.random.Generator) -> Any:
    """A tree of standard normal numbers like `params`."""
    return map_tree(lambda _, leaf: rng.standard_normal(np.shape(leaf)), params)


def denied_along(series: Enclosure, quantity: str, along: Any, truth: Blocks, slack: Blocks) -> str:
    """What forward mode has against ``sum_i x_i v_i`` of a quantity, or ``""``."""
    moves = {path: np.asarray(leaf, np.longdouble) for path, leaf in leaves(along)}
    total = sum((truth[quantity, path] * v).sum() for path, v in moves.items())
    return denied(series, np.longdouble(total), allowed(quantity, along, slack))


def allowed(quantity: str, along: Any, slack: Blocks) -> Any:
    """How far ``sum_i x_i v_i`` of a quantity may be off."""
    return sum((slack[quantity, path] * np.abs(np.asarray(leaf, np.longdouble))).sum() for path, leaf in leaves(along))


def denied(series: Enclosure, got: Any, slack: Any) -> str:
    """What forward mode has against a number, or ``""``."""
    difference = abs(np.longdouble(series.as_longdouble()) - got)
    return f"reverse mode gives {got}, forward mode {series!r}" if difference > slack else ""


def refuted(values: Blocks, found: Blocks, floor: Blocks, truth: Blocks) -> dict[tuple[str, str], str]:
    """Blocks of which extended precision has something else than what was found: they are no truth any more.

    One noise floor of the dtype is 2^11 roundings of extended precision in float64, and 2^40 in float32; and no verdict
    turns on less.
    """
    unknown = {}
    for key, value in values.items():
        if key in found and np.any(np.abs(value - found[key]) > floor[key]):
            unknown[key] = REFUTED
            truth[key] = np.full_like(value, np.nan)
    return unknown
