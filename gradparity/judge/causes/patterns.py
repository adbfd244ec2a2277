"""Why a block is wrong: what a wrong derivative looks like, tried one explanation after the other. Pure.

An explanation holds only if it accounts for every entry of the block to within the noise floor: "looks like a factor of
2" is never said of something that is a factor of 2.001.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradparity.judge.causes import recomputation
from gradparity.judge.causes.block import WrongBlock, in_extended_precision
from gradparity.model_spec.problem import Problem
from gradparity.numerics.extended import Extended

#: How much coarser a rounding to float32 is than one to float64.
_FLOAT32 = 2.0**29


def explain(block: WrongBlock) -> str:
    """The first explanation that holds, or ``""``."""
    if block.got.shape != block.truth.shape:
        return _transposed_shape(block) or (recomputation.split(block) if block.built_in is not None else "")
    if not np.isfinite(block.got).all():
        return _not_finite(block)
    tried = (e for e in _EXPLANATIONS if block.recomputable or e not in recomputation.EXPLANATIONS)
    return next(filter(None, (explanation(block) for explanation in tried)), "")


def _transposed_shape(block: WrongBlock) -> str:
    if block.got.ndim != 2 or block.got.shape != block.truth.T.shape:
        return ""
    return "transposed" if block.near(block.value.T, block.truth, block.floor) else ""


def _not_finite(block: WrongBlock) -> str:
    if block.built_in is not None and block.problem.spec.numerics == "naive":
        return "the naive formula overflows: log of a probability that rounded to 0; use stable numerics"
    bad = int(np.count_nonzero(~np.isfinite(block.got)))
    some = f"{bad} of {block.got.size} entries" if bad < block.got.size else ""
    if block.built_in is None or block.built_in.on_disk:
        return some
    largest = float(recomputation.logits(block.problem).max())
    if largest <= -np.log(np.finfo(block.problem.spec.dtype).eps / 2):
        return some
    # No proof, but the one thing here that is known to end in log(0) or inf - inf.
    words = f"logits reach {largest:.3g}, where a naive log(1 - p) is log(0): use a stable softplus"
    return f"{some}; {words}" if some else words


def _zero(block: WrongBlock) -> str:
    penalty = _penalty(block)
    if block.got.any() and (penalty is None or not block.is_(penalty)):
        return ""
    words = "zero block of the data term" if block.got.any() else "zero block"
    if block.parameter and any(block.others.values()):
        return f"{words}: the path to {block.parameter} is detached"
    return words


def _sign(block: WrongBlock) -> str:
    return "sign" if block.is_(-block.truth) else ""


def _factor(block: WrongBlock) -> str:
    for value, penalty in _data_parts(block):
        # Factors may coincide, as c and 2 do at c = 2: then nothing here tells which it is, and all are named.
        names = [n for n, factor in _known_factors(block) if block.is_(factor * value + penalty, times=factor)]
        if names:
            return f"factor {' or '.join(names)}{' of the data term' if np.any(penalty) else ''}"
    return ""


def _data_parts(block: WrongBlock) -> Iterator[tuple[Extended, Any]]:
    """The truth as a whole, then without its L2 term, which is given beside it."""
    yield block.truth, 0.0
    penalty = _penalty(block)
    if penalty is not None:
        yield block.truth - penalty, penalty


def _known_factors(block: WrongBlock) -> Iterator[tuple[str, np.longdouble]]:
    one = np.longdouble(1)
    candidates = {"2": 2 * one, "1/2": one / 2}
    if block.built_in is not None:
        rows, c = np.longdouble(block.problem.rows), np.longdouble(block.problem.spec.logit_scale)
        candidates |= {"S": rows, "1/S": one / rows, "c": c, "1/c": one / c, "c^2": c * c, "1/c^2": one / (c * c)}
    for name, size in block.sizes.items():
        candidates |= {f"{size} ({name})": size * one, f"1/{size} ({name})": one / size}
    candidates |= {"-2": -2 * one, "-1/2": -one / 2}
    yield from ((name, factor) for name, factor in candidates.items() if factor != 1)


def _other_factor(block: WrongBlock) -> str:
    if block.truth.size < 2:
        return ""  # a single number is always some factor of another
    for value, penalty in _data_parts(block):
        square = np.vdot(value, value)
        factor = np.vdot(value, block.value - penalty) / square if square else np.longdouble(1)
        if factor == 1 or not block.is_(factor * value + penalty, times=factor):
            continue
        off = float(factor - 1)
        words = f"1 {'+' if off > 0 else '-'} {abs(off):.3g}" if abs(off) < 0.01 else f"{float(factor):.6g}"
        return f"factor {words}{' of the data term' if np.any(penalty) else ''}"
    return ""


def _transpose(block: WrongBlock) -> str:
    if block.truth.ndim != 2:
        return ""
    turned = block.truth.T.reshape(block.truth.shape)  # square: the transpose; else its entries, in its order
    floor = np.maximum(block.floor, block.floor.T.reshape(block.truth.shape))
    return "transposed" if block.near(block.value, turned, floor) else ""


def _penalty(block: WrongBlock) -> Any:
    """The L2 term of this block, where there is one; of all parameters together for loss and JVP."""
    if block.built_in is None or not block.problem.spec.l2:
        return None
    return sum(_penalties(block, block.problem).values())


def _penalties(block: WrongBlock, problem: Problem) -> dict[str, Any]:
    """What the L2 term of each parameter adds to this block, by parameter."""
    l2 = np.longdouble(problem.spec.l2)
    params, tangents = in_extended_precision(problem.params), in_extended_precision(problem.tangents)
    if block.quantity == "loss":
        return {name: l2 / 2 * np.vdot(value, value) for name, value in params.items()}
    if block.quantity == "jvp":
        return {name: l2 * np.vdot(value, tangents[name]) for name, value in params.items()}
    return {block.parameter: l2 * (params if block.quantity == "gradient" else tangents)[block.parameter]}


def _missing_l2(block: WrongBlock) -> str:
    if block.built_in is None or not block.problem.spec.l2:
        return ""
    terms = [("the L2 term", _penalty(block))]
    if not block.parameter:
        terms += [(f"the L2 term of {name}", term) for name, term in _penalties(block, block.problem).items()]
    for words, term in terms:
        if block.is_(block.truth - term):
            return f"{words} is missing"
        if block.is_(block.truth + term):
            return f"{words} is counted twice"
    return ""


def _permuted(block: WrongBlock) -> str:
    if block.truth.size < 2:
        return ""
    got, order = np.sort(block.value, axis=None), np.argsort(block.truth, axis=None)
    truth, floor = block.truth.ravel()[order], block.floor.ravel()[order]
    return "permuted block: the right entries in the wrong places" if block.near(got, truth, floor) else ""


def _one_entry(block: WrongBlock) -> str:
    if block.truth.size < 3 or np.count_nonzero(block.beyond) != 1:
        return ""
    where = ", ".join(str(int(i)) for i in np.argwhere(block.beyond)[0])
    return f"one entry is wrong: [{where}]"


def _float32(block: WrongBlock) -> str:
    if block.dtype != "float64":
        return ""
    if not block.near(block.value, block.truth, _FLOAT32 * block.floor):
        return ""
    if np.array_equal(block.got.astype(np.float32).astype(np.float64), block.got) and block.got.any():
        return "float32 leak: every entry is a float32 number"
    # Anything may be wrong by 1e-7 in one place; if all of it is, and nothing by more, it went through float32.
    return "float32 leak: every result is wrong by as much as float32 is" if block.float32_everywhere else ""


def _another_function(block: WrongBlock) -> str:
    if block.quantity != "hvp":
        return ""
    gradient = block.reference.truth.get(("gradient", block.parameter))
    if gradient is not None and block.is_(gradient):
        return "the gradient in place of the Hessian-vector product"
    return ""


def _one_row_of_entries(block: WrongBlock) -> str:
    if block.truth.ndim != 2 or len(block.truth) < 3:
        return ""
    off = block.beyond.any(axis=1)
    return f"only row {int(np.argmax(off))} of {block.parameter} is wrong" if np.count_nonzero(off) == 1 else ""


#: In the order in which they are tried. What is computed anew costs more, and the last two account for less.
_EXPLANATIONS: tuple[Callable[[WrongBlock], str], ...] = (
    _zero,
    _sign,
    _factor,
    _transpose,
    _missing_l2,
    _permuted,
    _one_entry,
    _another_function,
    _other_factor,
    *recomputation.EXPLANATIONS,
    _float32,
    _one_row_of_entries,
)
