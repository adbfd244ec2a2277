"""The engine: a neutral loss along a line, in Taylor series of balls, at whatever precision it takes.

``f(t) = loss(params + t direction)`` is evaluated as a truncated series, so that ``f(0)``, ``f'(0) = g.v`` and
``f''(0) = v^T H v`` come out as enclosures. The precision starts at 128 bits and doubles until each is tight.
At a kink the series is evaluated again on the other side of t = 0: the result has both one-sided derivatives.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from flint import arb

from gradparity.model_spec.trees import leaves, map_tree
from gradparity.truth.derivatives.certificate import Certificate, GradientCertificate, Side
from gradparity.truth.derivatives.inputs import Loss, constant, evaluated, lines_of
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import ZERO, exact
from gradparity.truth.numbers.context import (
    MAX_BITS,
    MAX_ORDER,
    START_BITS,
    Context,
    OutOfTimeError,
    UndecidedError,
    evaluation,
    precisions,
)
from gradparity.truth.numbers.enclosure import GOAL_BITS, Enclosure, Enclosures
from gradparity.truth.numbers.midrad import BITS, as_ball
from gradparity.truth.numbers.slices import LEVELS

#: A result that is no number may also come of too little precision: only from here on is a singular point to blame.
_SINGULAR_BITS = 2048

_ROOTS = ("sqrt", "power", "norm")

_UNKNOWN = Enclosure(arb.nan())


def certify(
    loss: Loss, params: Any, data: Any, direction: Any, *, order: int = MAX_ORDER, max_bits: int = MAX_BITS,
    seconds: float = 60.0, whole: bool = False, levels: int = LEVELS,
) -> Certificate:  # fmt: skip
    """Enclose a loss and its derivatives at `params` along `direction`.

    Args:
        loss: neutral loss ``loss(params, data, xp)``, returning a scalar.
        params: tree (dict, list, tuple) of arrays; each number is taken exactly.
        data: tree of arrays and plain Python values.
        direction: tree of arrays with the structure and shapes of `params`.
        order: highest derivative wanted, 0 to 2; those above it are not numbers in the result.
        max_bits: last working precision.
        seconds: time budget; what is known by then is returned.
        whole: by one pass over enclosures of whole arrays, to some 100 bits, and not by balls.
        levels: of slices that matrix products then have.

    Raises:
        InputError: the loss is no scalar, or the direction does not fit the parameters.
        NotCertifiableError: the loss uses a name without a certified form.
    """
    problem = _Problem(loss, params, data, direction, levels=levels if whole else 0)
    deadline = time.monotonic() + seconds
    best = Certificate(value=_UNKNOWN, right=_unknown_side(), left=_unknown_side(), status="out_of_time")
    for bits in (BITS,) if whole else precisions(max_bits, deadline):
        try:
            best = problem.enclose(bits, order, deadline)
        except UndecidedError as problem_met:
            problem.share = True
            best = replace(best, status="undecided", reason=f"{problem_met} at {bits} bits", bits=bits)
        except OutOfTimeError:
            best = replace(best, status="out_of_time", reason=f"no result within {seconds} s at {bits} bits")
            break
        if best.status in ("certified", "zero_unproven", "not_finite"):
            break
    else:
        if 2 * bits <= max_bits and not whole:
            best = replace(best, reason=f"{best.reason}; no time for more bits within {seconds} s")
    return _last_word(best)


def certify_gradient(loss: Loss, params: Any, data: Any, *, seconds: float = 60.0) -> GradientCertificate:
    """Enclose the gradient of a loss, one first-order series for each coordinate; arguments are as for `certify`."""
    deadline = time.monotonic() + seconds
    found = {path: np.full(np.shape(leaf), arb.nan(), dtype=object) for path, leaf in leaves(params)}
    kinks: dict[tuple[str, tuple[int, ...]], Certificate] = {}
    complete, bits = True, START_BITS
    for path, index in ((path, index) for path, balls in found.items() for index in np.ndindex(*balls.shape)):
        left = deadline - time.monotonic()
        if left <= 0:
            complete = False
            break
        # Zero but for a one at this coordinate.
        moves = {name: np.zeros(balls.shape) for name, balls in found.items()}
        moves[path][index] = 1.0
        velocity = map_tree(lambda name, _, moves=moves: moves[name], params)  # type: ignore[misc]
        result = certify(loss, params, data, velocity, order=1, seconds=left)
        bits = max(bits, result.bits)
        found[path][index] = result.first.ball
        if result.is_kink:
            kinks[path, index] = result
        complete = complete and result.status != "out_of_time"
    gradient = {path: Enclosures(balls) for path, balls in found.items()}
    return GradientCertificate(gradient=gradient, kinks=kinks, complete=complete, bits=bits)


class _Problem:
    """A loss with its inputs converted once: exact balls hold at every precision."""

    def __init__(self, loss: Loss, params: Any, data: Any, direction: Any, *, levels: int = 0) -> None:
        self.loss, self.params, self.levels = loss, params, levels
        self.share = False
        with evaluation(Context(midrad=self.levels)):
            self.data = map_tree(lambda _, leaf: constant(leaf), data)
            self.lines = lines_of(params, direction, exact, still=False)

    def enclose(self, bits: int, order: int, deadline: float) -> Certificate:
        """One certificate at one precision.

        Raises:
            UndecidedError: a comparison could not be decided at this precision.
            OutOfTimeError: the deadline passed.
        """
        context, right = self._pass(bits, order, 1, deadline)
        if context.needs_order > order:
            context, right = self._pass(bits, context.needs_order, 1, deadline)
        kinks, singular = list(context.kinks), list(context.singular)
        left, value = right, right.value
        active = any(kink.active for kink in kinks)
        if active:
            mirrored, left = self._pass(bits, max(order, context.order), -1, deadline)
            kinks += mirrored.kinks
            point, at = self._pass(bits, 0, 0, deadline)
            value = at.value
            singular += mirrored.singular + point.singular
        # A root leaves derivatives without a value; of any other kink that takes more than too little precision.
        excused = any(kink.name in _ROOTS for kink in kinks) or (active and bits >= _SINGULAR_BITS)
        parts = [part for side in (right, left) for part in (side.first, side.second)[:order]]
        wanted = [value, *(part for part in parts if not (excused and part.ball.is_nan()))]
        return Certificate(
            value=value, right=right, left=left, kinks=tuple(dict.fromkeys(kinks)), bits=bits,
            **_judge(wanted, singular, bits),
        )  # fmt: skip

    def _pass(self, bits: int, order: int, side: int, deadline: float) -> tuple[Context, Side]:
        share = self.share and not self.levels
        with evaluation(
            Context(bits=bits, order=order, side=side, deadline=deadline, share=share, midrad=self.levels)
        ) as context:
            inputs = {path: Array(line) for path, line in self.lines.items()}
            result = evaluated(self.loss, self.params, inputs, self.data)
            series = [as_ball(c.ravel()[0]) for c in result.balls()]
            # A coefficient that is absent is zero up to the order of this pass, and unknown beyond it.
            series += [ZERO] * (order + 1 - len(series))
            series += [arb.nan()] * (MAX_ORDER + 1 - len(series))
            return context, Side(
                value=Enclosure(series[0]), first=Enclosure(series[1]), second=Enclosure(2 * series[2])
            )


def _judge(wanted: list[Enclosure], singular: list[Any], bits: int) -> dict[str, Any]:
    if all(each.is_tight for each in wanted):
        if wanted[0].is_finite:
            return {"status": "certified", "reason": ""}
        return {"status": "not_finite", "reason": "the loss is infinite"}
    if any(not each.is_finite for each in wanted) and singular and bits >= _SINGULAR_BITS:
        name, index = singular[0]
        return {"status": "not_finite", "reason": f"{name} at index {index} has no finite value or derivative there"}
    if all(each.is_settled for each in wanted):
        return {"status": "zero_unproven", "reason": "below every double, though not proven to be zero"}
    return {"status": "loose", "reason": f"wider than 2^-{GOAL_BITS} relative"}


def _last_word(best: Certificate) -> Certificate:
    """A loose result whose every loose part contains zero is a zero that could not be proven."""
    parts = [best.value, best.first, best.second, best.left.first]
    loose = [part for part in parts if not part.is_settled and not part.ball.is_nan()]
    if best.status != "loose" or not loose or any(part.zero_within is None for part in loose):
        return best
    within = min(part.zero_within or 0 for part in loose)
    return replace(best, status="zero_unproven", reason=f"zero within 2^-{within} at {best.bits} bits, not proven")


def _unknown_side() -> Side:
    return Side(value=_UNKNOWN, first=_UNKNOWN, second=_UNKNOWN)
