"""Why a block is wrong: what a wrong derivative looks like, tried one explanation after the other. Pure.

An explanation holds only if it accounts for every entry of the block to within the noise floor: "looks like a factor of
2" is never said of something that is a factor of 2.001.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradparity.judge.causes import recomputation
from gradparity.judge.causes.block import Got, WrongBlock, in_extended_precision
from gradparity.model_spec.problem import Problem
from gradparity.numerics.extended import Extended

#: A factor differs from 1 by so many times as much as the block's floors leave open, at least: less is rounding.
CLEAR = 16.0
#: Below this difference from 1 a factor is only believed if it is a number that somebody types, to this share of it.
NEAR_ONE, FITS = 0.01, 1e-4
#: Significant bits of the formats that a float64 may be rounded to, and what they are called.
FORMATS = {"float32": 24, "float16 or TF32": 11, "bfloat16": 8}


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
    if not _is_detached(block):
        return words
    this = block.parameter
    at = block.at if block.built_in is None else block.built_in.params[this]
    if at is None:
        return f"{words}: {this} is detached, or not used"
    if not _may_be_typed(at):
        return f"{words}: the path to {this} is detached"
    here = f", {float(at.flat[0]):g}," if at.size and (at == at.flat[0]).all() else ""
    return f"{words}: {this} is detached, or not used (its value here{here} hides which)"


def _may_be_typed(value: Got) -> bool:
    """Whether a parameter's value is one that a loss may have without it, as 0 or 1: of up to four digits each.

    One that is drawn has them all, and a loss without it another value.
    """
    numbers = np.unique(value.astype(np.float64))
    return all(float(f"{x:.4g}") == x for x in numbers) or bool(
        value.dtype == np.float32 and all(np.float32(f"{x:.4g}") == np.float32(x) for x in numbers)
    )


def _is_detached(block: WrongBlock) -> bool:
    """Whether a zero block is a path that was cut: the loss is right, and other parameters' paths are not cut.

    Where the loss differs as well, or the gradient is right and its derivative zero, something else is the matter.
    """
    agrees, this = block.agrees, block.parameter
    others = (agree for (quantity, name), agree in agrees.items() if quantity == block.quantity and name != this)
    gradient_agrees = block.quantity == "hvp" and agrees.get(("gradient", this), False)
    return bool(this) and agrees.get(("loss", ""), True) and any(others) and not gradient_agrees


def _sign(block: WrongBlock) -> str:
    return "sign" if block.is_(-block.truth) else ""


def _factor(block: WrongBlock) -> str:
    for value, penalty in _data_parts(block):
        # Factors may coincide, as c and 2 do at c = 2: then nothing here tells which it is, and all are named.
        factors = {n: f for n, f in _known_factors(block) if block.is_(f * value + penalty, times=f)}
        names = [name for name, factor in factors.items() if _is_clear(block, factor)]
        if names:
            return f"factor {' or '.join(names)}{' of the data term' if np.any(penalty) else ''}"
    return _size_factor(block)


def _size_factor(block: WrongBlock) -> str:
    """A length of the data, or one over it, as the factor: it may be a mean for a sum, or a coincidence."""
    for name, size in block.sizes.items():
        for words, factor in (
            (f"{size} times {block.against}", np.longdouble(size)),
            (f"1/{size} of {block.against}", 1 / np.longdouble(size)),
        ):
            for sign in (1, -1):
                if block.is_(sign * factor * block.truth, times=factor) and _is_clear(block, factor):
                    return f"{'-' if sign < 0 else ''}{words} ({size} is also {name})"
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
    candidates |= {"-2": -2 * one, "-1/2": -one / 2}
    yield from ((name, factor) for name, factor in candidates.items() if factor != 1)


def _left_open(block: WrongBlock) -> float:
    """How far a factor may be off, relatively, for all that the block's floors say: by its best entry."""
    with np.errstate(divide="ignore", invalid="ignore"):
        open_ = block.floors * block.floor / np.abs(block.truth)
    return float(np.min(open_[np.isfinite(open_)], initial=np.inf))


def _is_clear(block: WrongBlock, factor: Any) -> bool:
    return bool(abs(factor - 1) > CLEAR * _left_open(block))


def _other_factor(block: WrongBlock) -> str:
    """Some other number that every entry is times the truth: told from chance by two entries that say so clearly."""
    if block.truth.size < 2:
        return ""  # a single number is always some factor of another
    for value, penalty in _data_parts(block):
        square = np.vdot(value, value)
        factor = np.vdot(value, block.value - penalty) / square if square else np.longdouble(1)
        if factor == 1 or not block.is_(factor * value + penalty, times=factor):
            continue
        clear = np.abs((factor - 1) * value) > CLEAR * block.floors * block.floor
        words = _typed(factor, _left_open(block))
        if words and np.count_nonzero(clear) > 1:
            return f"factor {words}{' of the data term' if np.any(penalty) else ''}"
    return ""


def _typed(factor: np.longdouble, open_: float) -> str:
    """The number that somebody typed, if this is one to within what is left open; any number far from 1 may be one.

    Near 1 it is 1 and up to three digits of some power of ten, or a power of two: what a formula differs by is not.
    """
    off = factor - 1
    if abs(off) >= NEAR_ONE:
        tolerance = float(abs(factor)) * max(open_, 1e-15)
        if open_ > 1e-6:  # some number of a few digits always fits
            return ""
        exact = next((w for w, simple in _simple_numbers() if abs(abs(factor) - simple) <= tolerance), "")
        return f"{'-' if factor < 0 else ''}{exact}" if exact else _digits(factor, tolerance)
    tolerance, sign = max(4 * open_, 1e-15), float(np.sign(off))
    typed = float(f"{float(off):.3g}"), sign * 2.0 ** float(np.rint(np.log2(abs(off))))
    fits = any(abs(off - each) <= tolerance <= FITS * abs(off) for each in typed)
    fits |= bool(abs(off) >= NEAR_ONE / 10 and open_ <= abs(off) / 256)
    return f"1 {'+' if off > 0 else '-'} {abs(float(off)):.3g}" if fits else ""


def _digits(factor: np.longdouble, tolerance: float) -> str:
    """The shortest number that the factor is, from six digits; where it has over twelve, its first that say so."""
    written = [f"{float(factor):.{digits}g}" for digits in range(6, 17)]
    exact = next((w for w in written[:7] if abs(np.longdouble(w) - factor) <= tolerance), "")
    long = (w for w in written if sum(map(str.isdigit, w.lstrip("-0.").partition("e")[0])) >= 6)
    return exact or next(long, written[-1])


def _simple_numbers() -> Iterator[tuple[str, np.longdouble]]:
    """Quotients of small numbers, roots, and pi with its multiples."""
    for q in range(1, 17):
        for p in range(1, 17):
            if p != q and np.gcd(p, q) == 1:
                yield (f"{p}/{q}" if q > 1 else f"{p}"), np.longdouble(p) / q
    for n in (2, 3, 5):
        root = np.sqrt(np.longdouble(n))
        yield from ((f"sqrt({n})", root), (f"1/sqrt({n})", 1 / root))


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
    return f"only one entry differs: [{where}]"


def _rounded_output(block: WrongBlock) -> str:
    """Every entry is a number of a lower precision, and those that are wrong are so by its rounding.

    An entry of few bits is such a number by itself, as 0.5 and 3 are: those that take more than half have to be there,
    and of the short formats three, which chance gives less than once in 2^90 and 2^50.
    """
    if block.dtype != "float64":
        return ""
    for name, bits in FORMATS.items():
        unit = np.longdouble(2.0**-bits)
        near = np.abs(block.value - block.truth) <= np.longdouble(2.0 ** (53 - bits)) * block.floors * block.floor
        rounded = np.abs(block.value - block.truth) <= 2 * unit * np.abs(block.truth)
        if not (near.all() if bits == 24 else rounded.all()):
            continue
        if not np.array_equal(_to_bits(block.value, bits), block.value):
            continue
        telling = np.count_nonzero(_to_bits(block.value, bits // 2) != block.value)
        if telling >= (1 if bits == 24 else 3):
            return f"{name} leak: every entry is a {name} number"
    return ""


def _to_bits(values: Extended, bits: int) -> Extended:
    """Rounded to so many significant bits, whatever the exponent."""
    fraction, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits), np.longdouble)


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
    _rounded_output,
    _one_row_of_entries,
)
