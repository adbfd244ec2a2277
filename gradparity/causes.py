"""Why a block is off: what a wrong derivative looks like, tried one explanation after the other. Pure.

An explanation holds only if it accounts for every entry of the block to within the noise floor: "looks like a factor of
2" is never said of something that is a factor of 2.001.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.truth.extended import Extended, rows_of_gradient
from gradparity.truth.reference import Reference
from model_spec.problem import Problem

Got: TypeAlias = npt.NDArray[Any]

#: Rows times features beyond which single rows are not tried.
_ROW_LIMIT = 10**7
#: How much coarser a rounding to float32 is than one to float64.
_FLOAT32 = 2.0**29


@dataclass(frozen=True)
class Block:
    """One block that is off, with all that may explain it; up to ``floors`` noise floors agree."""

    quantity: str
    parameter: str
    got: Got
    reference: Reference
    problem: Problem
    others: Mapping[str, bool]  #: whether each other parameter's block of this quantity agrees
    floors: float

    @cached_property
    def truth(self) -> Extended:
        """The true values."""
        return self.reference.truth.blocks[self.quantity, self.parameter]

    @cached_property
    def floor(self) -> Extended:
        """The noise floor of each entry."""
        return self.reference.floor.blocks[self.quantity, self.parameter]

    @cached_property
    def value(self) -> Extended:
        """What the backend gave, in extended precision."""
        return self.got.astype(np.longdouble)

    def is_(self, candidate: Extended | Any, *, times: Any = 1.0) -> bool:
        """Whether a candidate explains every entry, to within the floor of values ``times`` as large."""
        scale = max(1.0, abs(float(times)))
        return bool((np.abs(self.value - candidate) <= self.floors * scale * self.floor).all())


def explain(block: Block) -> str:
    """The first explanation that holds, or ``""``."""
    if block.got.shape != block.truth.shape:
        return _transposed_shape(block)
    if not np.isfinite(block.got).all():
        return _not_finite(block)
    for explanation in _EXPLANATIONS:
        found = explanation(block)
        if found:
            return found
    return ""


def _transposed_shape(block: Block) -> str:
    if block.got.ndim == 2 and block.got.shape == block.truth.T.shape:
        turned = np.abs(block.value.T - block.truth) <= block.floors * block.floor
        return "transposed" if turned.all() else ""
    return ""


def _not_finite(block: Block) -> str:
    if block.problem.spec.numerics == "naive":
        return "the naive formula overflows: log of a probability that rounded to 0; use stable numerics"
    bad = int(np.count_nonzero(~np.isfinite(block.got)))
    return "" if bad == block.got.size else f"{bad} of {block.got.size} entries"


def _zero(block: Block) -> str:
    if block.got.any():
        return ""
    if block.quantity == "gradient" and any(block.others.values()):
        return f"zero block: the path to {block.parameter} is detached"
    return "zero block"


def _sign(block: Block) -> str:
    return "sign" if block.is_(-block.truth) else ""


def _factor(block: Block) -> str:
    for value, penalty in _data_parts(block):
        for name, factor in _known_factors(block.problem):
            if block.is_(factor * value + penalty, times=factor):
                part = " of the data term" if np.any(penalty) else ""
                return f"factor {name}{part}"
    return ""


def _data_parts(block: Block) -> Iterator[tuple[Extended, Any]]:
    """The truth as a whole, then without its L2 term, which is given beside it."""
    yield block.truth, 0.0
    penalty = _penalty(block)
    if penalty is not None:
        yield block.truth - penalty, penalty


def _known_factors(problem: Problem) -> Iterator[tuple[str, np.longdouble]]:
    one, rows, c = np.longdouble(1), np.longdouble(problem.rows), np.longdouble(problem.spec.logit_scale)
    candidates = {"2": 2 * one, "1/2": one / 2, "S": rows, "1/S": one / rows, "c": c, "1/c": one / c}
    candidates |= {"c^2": c * c, "1/c^2": one / (c * c), "-2": -2 * one, "-1/2": -one / 2}
    yield from ((name, factor) for name, factor in candidates.items() if factor != 1)


def _other_factor(block: Block) -> str:
    if block.truth.size < 2 or not np.any(block.truth):
        return ""  # a single number is always some factor of another
    factor = np.vdot(block.truth, block.value) / np.vdot(block.truth, block.truth)
    if not block.is_(factor * block.truth, times=factor):
        return ""
    off = float(factor - 1)
    return f"factor 1 {'+' if off > 0 else '-'} {abs(off):.3g}" if abs(off) < 0.01 else f"factor {float(factor):.6g}"


def _transpose(block: Block) -> str:
    if block.truth.ndim != 2:
        return ""
    turned = block.truth.T.reshape(block.truth.shape)  # square: the transpose; else its entries, in its order
    floor = block.floor.T.reshape(block.truth.shape)
    return "transposed" if (np.abs(block.value - turned) <= block.floors * np.maximum(floor, block.floor)).all() else ""


def _penalty(block: Block) -> Extended | None:
    """The L2 term of this block, where there is one."""
    l2 = np.longdouble(block.problem.spec.l2)
    source = {"gradient": block.problem.params, "hvp": block.problem.tangents}.get(block.quantity)
    if not l2 or source is None:
        return None
    return l2 * np.asarray(source[block.parameter], np.longdouble)


def _missing_l2(block: Block) -> str:
    penalty = _penalty(block)
    if penalty is None:
        return ""
    if block.is_(block.truth - penalty):
        return "the L2 term is missing"
    return "the L2 term is counted twice" if block.is_(block.truth + penalty) else ""


def _permuted(block: Block) -> str:
    if block.truth.size < 2:
        return ""
    got, order = np.sort(block.value, axis=None), np.argsort(block.truth, axis=None)
    truth, floor = block.truth.ravel()[order], block.floor.ravel()[order]
    return (
        "permuted block: the right entries in the wrong places"
        if (np.abs(got - truth) <= block.floors * floor).all()
        else ""
    )


def _one_entry(block: Block) -> str:
    off = np.abs(block.value - block.truth) > block.floors * block.floor
    if block.truth.size < 3 or np.count_nonzero(off) != 1:
        return ""
    where = ", ".join(str(int(i)) for i in np.argwhere(off)[0])
    return f"one entry off: [{where}]"


def _row(block: Block) -> str:
    """A row left out or counted twice, found by its own contribution to the gradient."""
    problem = block.problem
    if block.quantity != "gradient" or problem.data["X"].size > _ROW_LIMIT:
        return ""
    rows = rows_of_gradient(problem, block.parameter)
    missing = block.truth - block.value
    for sign, words in ((1, "is left out"), (-1, "is counted twice")):
        nearest = int(np.argmin(rows.distance(sign * missing)))
        if block.is_(block.truth - sign * rows.contribution(nearest)):
            return f"row {nearest} {words}"
    return ""


def _float32(block: Block) -> str:
    if block.problem.spec.dtype != "float64":
        return ""
    if np.array_equal(block.got.astype(np.float32).astype(np.float64), block.got) and block.got.any():
        return "float32 leak: every entry is a float32 number"
    error = np.abs(block.value - block.truth)
    coarse = block.floors * _FLOAT32 * block.floor
    # A leak is as large as float32's floor somewhere: a thousandth of it tells it from other small errors.
    if (error <= coarse).all() and (error >= coarse / (1000 * block.floors)).any():
        return "float32 leak: the error is that of float32"
    return ""


def _another_function(block: Block) -> str:
    if block.quantity != "hvp":
        return ""
    gradient = block.reference.truth.blocks["gradient", block.parameter]
    if block.is_(gradient):
        return "the gradient in place of the Hessian-vector product"
    return ""


_EXPLANATIONS: tuple[Callable[[Block], str], ...] = (
    *(_zero, _sign, _factor, _transpose, _missing_l2, _permuted, _row, _one_entry),
    *(_another_function, _other_factor, _float32),
)
