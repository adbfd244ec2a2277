"""Reverse mode over the certified namespace: value, gradient and Hessian-vector product in one pass there and back.

The loss is evaluated once over series in t, ``params + t direction``, and remembered (`tape`); the rules (`rules`) then
carry the adjoint of every result back to the parameters. An adjoint is a series as well: its coefficient 0 is the
gradient, its coefficient 1 the derivative of the gradient along the direction, which is ``H v``. In balls every entry
is enclosed; in extended precision the same tape takes a twentieth of the time and proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flint import arb

from gradparity.model_spec.trees import map_tree
from gradparity.truth.derivatives.certificate import Derivatives
from gradparity.truth.derivatives.inputs import Line, Loss, constant, evaluated, lines_of
from gradparity.truth.derivatives.rules import RULES
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import Coefficient, exact, exact_balls
from gradparity.truth.numbers.context import (
    MAX_BITS,
    Context,
    Kink,
    OutOfTimeError,
    UndecidedError,
    evaluation,
    precisions,
)
from gradparity.truth.numbers.enclosure import Enclosure, Enclosures
from gradparity.truth.numbers.midrad import BITS, as_ball
from gradparity.truth.numbers.notes import literal
from gradparity.truth.numbers.slices import LEVELS
from gradparity.truth.numbers.tape import Node, Traced, in_order, parameter

#: Precision from which on more is of no use where a function is proven to have no finite value.
SINGULAR_BITS = 1024


class KinkError(Exception):
    """The loss is piecewise, and the point on the seam of two pieces: reverse mode has no derivative to give.

    Attributes:
        kinks: the ties met.
    """

    def __init__(self, kinks: tuple[Kink, ...]) -> None:
        super().__init__(f"{kinks[0].name} at index {kinks[0].index} has a tie")
        self.kinks = kinks


def differentiate(
    loss: Loss, params: Any, data: Any, direction: Any, *, max_bits: int = MAX_BITS, seconds: float = 60.0,
    undecided: list[str] | None = None,
) -> Derivatives | None:  # fmt: skip
    """Enclose a loss, its gradient, and ``g.v`` and ``H v`` along `direction`.

    Args:
        loss: neutral loss ``loss(params, data, xp)``, returning a scalar.
        params: tree (dict, list, tuple) of arrays; each number is taken exactly.
        data: tree of arrays and plain Python values.
        direction: tree of arrays with the structure and shapes of `params`.
        max_bits: last working precision; it doubles until every entry is settled.
        seconds: time budget; the best known by then is returned.
        undecided: is told every comparison that a precision did not decide.

    Returns:
        The derivatives, or None if not even a first pass came through within time and precision.

    Raises:
        KinkError: a tie of a piecewise function at this point; `certify` has the one-sided derivatives.
        InputError: the loss is no scalar, or the direction does not fit the parameters.
        NotCertifiableError: the loss uses a name without a certified form.
    """
    deadline = time.monotonic() + seconds
    lines = lines_of(params, direction, exact_balls)
    constants = map_tree(lambda _, leaf: constant(leaf), data)
    best: Derivatives | None = None
    share = False
    for bits in precisions(max_bits, deadline):
        context = Context(bits=bits, order=1, deadline=deadline, share=share)
        try:
            best = enclosed_at(loss, params, lines, constants, context)
        except UndecidedError as met:
            # Equal numbers, computed alike, are one object from here on: ties of theirs can be proven.
            share = True
            if undecided is not None:
                undecided.append(f"{met.name} at index {met.index}")
        except OutOfTimeError:
            break
        if context.kinks:
            raise KinkError(tuple(dict.fromkeys(context.kinks)))
        if best and (best.settled or (context.singular and bits >= SINGULAR_BITS)):
            break
    return best


def enclosed_whole(
    loss: Loss, params: Any, data: Any, direction: Any, *, seconds: float = 60.0, levels: int = LEVELS
) -> Derivatives | None:
    """The same by one pass over whole arrays, to some 100 bits: much quicker than balls where arrays are large.

    Args:
        loss: as in `differentiate`.
        params: likewise.
        data: likewise.
        direction: likewise, or None: then nothing is known of ``g.v`` and ``H v``, which a third of the work goes into.
        seconds: that the pass may take.
        levels: of slices that matrix products have (`slices`), some 20 bits each.

    Returns:
        The derivatives, not known where the pass could not enclose them, or None if it did not come through: a
        comparison that takes more bits, or no time.

    Raises:
        As `differentiate`.
    """
    order = 0 if direction is None else 1
    context = Context(bits=BITS, order=order, deadline=time.monotonic() + seconds, midrad=levels)
    try:
        with evaluation(context):
            lines = lines_of(params, direction, exact)
            constants = map_tree(lambda _, leaf: constant(leaf), data)
            found = _enclosed(*pull_back(loss, params, lines, constants), lines, context)
    except (UndecidedError, OutOfTimeError):
        return None
    if context.kinks:
        raise KinkError(tuple(dict.fromkeys(context.kinks)))
    return found


def enclosed_at(loss: Loss, params: Any, lines: Mapping[str, Line], constants: Any, context: Context) -> Derivatives:
    """The derivatives that one pass there and back encloses, in an evaluation of its own.

    Raises:
        UndecidedError: a comparison could not be decided.
        OutOfTimeError: the deadline passed.
        InputError: the loss is no scalar.
    """
    with evaluation(context):
        return _enclosed(*pull_back(loss, params, lines, constants), lines, context)


def pull_back(
    loss: Loss, params: Any, lines: Mapping[str, Line], constants: Any
) -> tuple[Array, dict[str, Array | None]]:
    """One pass there and back, in the evaluation under way.

    Args:
        loss: neutral loss.
        params: tree whose structure the loss gets.
        lines: the series of each parameter, by path.
        constants: tree of data, converted.

    Returns:
        The loss, and the adjoint of each parameter by path, None for one that does not lead to the loss.

    Raises:
        InputError: the loss is no scalar.
    """
    inputs = {path: parameter(Array(line)) for path, line in lines.items()}
    result = evaluated(loss, params, inputs, constants)
    if not isinstance(result, Traced):
        return result, dict.fromkeys(inputs)
    adjoints = back(result)
    return result, {path: adjoints.get(id(x.node)) for path, x in inputs.items()}


def back(result: Traced, arrives: Callable[[Node, Array], None] | None = None) -> dict[int, Array]:
    """The adjoints of the inputs, by the identity of their nodes; ``arrives`` is told each node's, once complete."""
    adjoints: dict[int, Array] = {id(result.node): literal(Array((np.broadcast_to(exact(1), result.shape),)))}
    for node in in_order(result):
        if arrives is not None and id(node) in adjoints:
            arrives(node, adjoints[id(node)])
        if node.rule != "input" and id(node) in adjoints:
            _pull(node, adjoints)
    return adjoints


def _pull(node: Node, adjoints: dict[int, Array]) -> None:
    """Give a result's adjoint on to its operands."""
    parts = RULES[node.rule](node, adjoints.pop(id(node)))
    for operand, part in zip(node.operands, parts, strict=True):
        if part is not None and isinstance(operand, Traced):
            known = adjoints.get(id(operand.node))
            adjoints[id(operand.node)] = part if known is None else known + part


def scalar(value: Array, k: int) -> Any:
    """Coefficient k of a series of one element; zero where it is absent."""
    c = value.balls()
    return c[k].ravel()[0] if k < len(c) else exact(0)[()]


def coefficient(adjoint: Array | None, k: int, shape: tuple[int, ...]) -> Coefficient:
    """Coefficient k of an adjoint, zero where it is absent."""
    series = () if adjoint is None else adjoint.balls()
    return np.broadcast_to(series[k], shape) if k < len(series) else np.broadcast_to(exact(np.zeros(())), shape)


def _enclosed(
    value: Array, adjoints: Mapping[str, Array | None], lines: Mapping[str, Line], context: Context
) -> Derivatives:
    orders = range(context.order + 1)
    loss, *along = (Enclosure(as_ball(scalar(value, k))) for k in orders)
    gradient, *product = (
        {path: Enclosures(coefficient(adjoints[path], k, line[0].shape)) for path, line in lines.items()}
        for k in orders
    )
    return Derivatives(
        value=loss, along=along[0] if along else Enclosure(arb.nan()), gradient=gradient,
        product=product[0] if product else {}, bits=context.bits, whole=bool(context.midrad),
        ignored=tuple(path for path, adjoint in adjoints.items() if adjoint is None),
    )  # fmt: skip
