"""What one of several backends is of another, which says of neither that it is wrong, and the words for it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gradparity.judge.causes.block import WrongBlock
from gradparity.judge.causes.patterns import explain
from gradparity.judge.distances import BlockAnswers
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.results import Finding
from gradparity.truth.reference import Reference


def relation(block: BlockAnswers, name: str, other: str, sizes: Mapping[str, int]) -> str:
    """What a block is of another backend's, which says of neither that it is wrong."""
    got, expected = block.values[name], block.values[other]
    if got.dtype != expected.dtype or not np.isfinite(expected).all():
        return ""
    floor = np.hypot(block.floors[name], block.floors[other]) if got.shape == expected.shape else block.floors[other]
    reference = Reference({block.key: expected.astype(np.longdouble)}, {block.key: floor}, "another backend's")
    whose = f"{other}'s"
    found = explain(WrongBlock(*block.key, got, reference, None, {}, AGREES_FLOORS, block.dtype, sizes, against=whose))
    return found if not found or whose in found else f"{found}, against {whose}"


def one_relation(
    names: Sequence[str], blocks: Mapping[tuple[str, str], BlockAnswers], findings: Sequence[Finding]
) -> str:
    """What one of two backends is of the other in all blocks that differ, if it is one and the same thing."""
    if len(names) != 2:
        return ""
    first, second = names
    off = [f for f in findings if f.backend == second and f.verdict == "wrong"]
    causes = {f.cause for f in off}
    undecided = all(not blocks[f.quantity, f.parameter].agreeing for f in off)
    if not off or not undecided or len(causes) > 1 or not (cause := off[0].cause):
        return ""
    every = len(off) == sum(f.backend == second for f in findings)
    where = "every block" if every else listed([f.block for f in off])
    return (
        f"{second} is {cause} in {where}"
        if f"{first}'s" in cause.split(", against")[0]
        else f"{second}: {cause}, in {where}"
    )


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def counted(floors: float) -> str:
    """A distance in floors, where there is one."""
    return f"{floors:.3g} floors" if math.isfinite(floors) else "more than can be compared"
