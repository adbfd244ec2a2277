"""A backend's derivatives against what its own values make of them, and gradients that are stopped on purpose. Pure.

A gradient is the derivative of the backend's own loss, its JVP the directional one, and its HVP the derivative of its
own gradient: values alone decide that (`gradparity.numerics.richardson`). A gradient that is none, because a
`stop_gradient` or `detach` stands in the loss, is no mistake if that was meant. What shows it: the loss has exactly
that derivative once a tapped value is held, or a whole block is zero, or all ports deny alike and by no common factor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.judge.distances import BlockAnswers
from gradparity.judge.figures import LOWER_PRECISION, finite
from gradparity.judge.known import SHARES, rounded_with, scale_of, unresolved
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.numerics.beside import Sides
from gradparity.numerics.perturbation import Floors
from gradparity.numerics.richardson import Derivative
from gradparity.results import OwnDerivative
from gradparity.truth.reference import Reference, largest

Array: TypeAlias = npt.NDArray[Any]
Key: TypeAlias = tuple[str, str]

#: A gradient is denied by its own loss beyond so many times the error of the extrapolated derivative, which itself
#: covers all but one of 7,807 drawn functions (`gradparity.numerics.richardson.DEVIATIONS`).
OWN_ERRORS = 2.0

#: Roundings that a product with a direction may be off by, over the sum of its terms' sizes. An extrapolated derivative
#: states an error of 6e-16 now and then where it is off by 8e-14, a second derivative that jumps near by for one.
MANY_ROUNDINGS = 2.0**14

#: What is said of a quantity that the backend's own values deny.
DENIED = {
    "gradient": "its gradient is not the derivative of its own loss",
    "jvp": "its JVP is not the directional derivative of its own loss",
    "hvp": "its HVP is not the derivative of its own gradient",
}
#: What the values are of that a quantity is held to.
SOURCE = {"gradient": "the loss", "jvp": "the loss", "hvp": "the gradient"}


@dataclass(frozen=True)
class Answers:
    """What one backend gave: its values, their floors, and the derivatives of its own loss.

    ``values`` are by quantity (``loss``, ``gradient``, ``jvp``, ``hvp``) and parameter, ``floors`` what
    `gradparity.numerics.perturbation.floor_from` made of them. ``own`` has a `Derivative` for each parameter, of the
    float64 loss along that parameter's direction, ``jvp`` that along the tangents as ``""``, ``hvp`` that of the
    gradient's product with each parameter's direction, along the tangents. ``held`` has that of the loss along all
    directions together, with one tapped value held where it is, by tap. ``sides`` are its values beside the point by
    quantity and parameter, ``slopes`` the gradient's product with each parameter's direction on either side of it.
    ``own`` and ``jvp`` have the values held that the loss declares with `gradparity.stop`; ``through`` is ``own`` with
    nothing held, empty where it declares none.
    """

    values: Mapping[str, Mapping[str, Array]]
    floors: Floors
    own: Mapping[str, Derivative] = field(default_factory=dict)
    jvp: Mapping[str, Derivative] = field(default_factory=dict)
    hvp: Mapping[str, Derivative] = field(default_factory=dict)
    held: Mapping[str, Derivative] = field(default_factory=dict)
    through: Mapping[str, Derivative] = field(default_factory=dict)
    sides: Mapping[Key, Sides] = field(default_factory=dict)
    slopes: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def scales(self) -> Reference:
        """Its own values, by which blocks are large or small; at a kink, which may have a zero, those beside it."""
        size = {(q, p): np.asarray(v, np.longdouble) for q, tree in self.values.items() for p, v in tree.items()}
        for key, sides in self.sides.items():
            if key in size and size[key].shape == sides.low.shape:
                size[key] = np.fmax(np.abs(size[key]), np.fmax(np.abs(sides.low), np.abs(sides.high)))
        return Reference(size, self.floors, "")

    def steps(self, key: Key) -> bool:
        """Whether a block steps at the point, from one side to the other."""
        return key in self.sides and bool(self.sides[key].kinks.any())


def own_derivatives(
    answers: Mapping[str, Answers], blocks: Mapping[Key, BlockAnswers], directions: Mapping[str, Mapping[str, Array]]
) -> list[OwnDerivative]:
    """Every quantity of every backend that its own values say something of."""
    found = []
    for name, answer in answers.items():
        for quantity, tree in (("gradient", answer.own), ("jvp", answer.jvp), ("hvp", answer.hvp)):
            for parameter, own in tree.items():
                direction = directions[parameter][parameter] if parameter else np.ones(())
                block = blocks.get((quantity, parameter))
                beside = answer.slopes.get(parameter) if quantity == "gradient" else None
                if block is not None and (own.kind == "kink" or answer.steps(block.key)):
                    found.append(at_a_kink(name, parameter, block, direction, own, quantity, beside))
                else:
                    found.append(own_derivative(name, parameter, block, direction, own, quantity))
    return found


def at_a_kink(
    name: str,
    parameter: str,
    block: BlockAnswers,
    direction: Array,
    own: Derivative,
    quantity: str,
    beside: tuple[float, float] | None,
) -> OwnDerivative:
    """A gradient beside a kink, where it is the one-sided derivative of the loss; at the kink itself it is neither.

    Where the sides cannot be told apart along this direction, their mean is the derivative.
    """
    along, value, error, consistent = None, own.value, own.error, None
    if beside is not None and name in block.values and block.floors[name].shape == direction.shape:
        left, right = beside
        rounding = MANY_ROUNDINGS * float(np.finfo(np.float64).eps) * max(map(abs, beside))
        pairs = [((left + right) / 2, own.value, own.error)]
        if own.kind == "kink":
            pairs = [(left, own.left, own.side_error), (right, own.right, own.side_error)]
        if own.kind in ("smooth", "kink") and np.isfinite(beside).all():
            allowed = rounding + float(AGREES_FLOORS * np.sum(block.floors[name] * np.abs(direction)))
            along, value, error = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
            consistent = abs(along - value) <= allowed + OWN_ERRORS * error
    return _record(name, quantity, parameter, own, along, consistent, value, error)


def own_derivative(
    name: str,
    parameter: str,
    block: BlockAnswers | None,
    direction: Array,
    own: Derivative,
    quantity: str = "gradient",
) -> OwnDerivative:
    """A backend's gradient along a direction in one parameter, against what its own loss makes of it."""
    along, consistent = None, None
    value = None if block is None else block.values.get(name)
    if block is not None and value is not None and value.shape == direction.shape and np.isfinite(value).all():
        product = np.vdot(value.astype(np.longdouble), direction.astype(np.longdouble))
        # Entries move together when an input does: no cancellation is counted on.
        rounding = MANY_ROUNDINGS * np.finfo(np.float64).eps * np.sum(np.abs(value * direction))
        floors = AGREES_FLOORS * np.sum(block.floors[name] * np.abs(direction))
        allowed = OWN_ERRORS * own.error + max(floors, rounding)
        along, consistent = float(product), bool(abs(product - own.value) <= allowed) if own.usable else None
    return _record(name, quantity, parameter, own, along, consistent, own.value, own.error)


def _record(
    name: str,
    quantity: str,
    parameter: str,
    own: Derivative,
    along: float | None,
    consistent: bool | None,
    value: float,
    error: float,
) -> OwnDerivative:
    return OwnDerivative(
        backend=name,
        quantity=quantity,
        parameter=parameter,
        kind=own.kind,
        along=along,
        value=finite(value),
        error=finite(error),
        consistent=consistent,
        evaluations=own.evaluations,
    )


def denies(answer: Answers, directions: Mapping[str, Mapping[str, Array]], dtype: str) -> bool:
    """Whether a backend's own loss denies its gradient, which it may stop somewhere."""
    tree = answer.values.get("gradient", {})
    blocks = {
        ("gradient", name): BlockAnswers(("gradient", name), {"": v}, {"": answer.floors["gradient", name]}, dtype)
        for name, v in tree.items()
    }
    found = own_derivatives({"": replace(answer, jvp={}, hvp={})}, blocks, directions)
    return any(each.consistent is False for each in found)


def stopped_at(name: str, answer: Answers, own: Sequence[OwnDerivative], blocks: Mapping[Key, BlockAnswers]) -> str:
    """Where a backend stops its gradient, as far as its values prove it: a tap, or whole parameters; else ``""``."""
    mine = [each for each in own if each.backend == name and each.quantity == "gradient"]
    denied = [each for each in mine if each.consistent is False]
    if not denied:
        return ""
    if all(each.along is not None for each in mine):
        total = sum(each.along or 0.0 for each in mine)
        rounding = MANY_ROUNDINGS * float(np.finfo(next(iter(blocks.values())).dtype).eps)
        for tap, held in answer.held.items():
            allowed = OWN_ERRORS * held.error + rounding * sum(abs(each.along or 0.0) for each in mine)
            if held.usable and abs(total - held.value) <= allowed:
                return f"the tap `{tap}`"
    zero = [each for each in denied if not blocks["gradient", each.parameter].values[name].any()]
    return " and ".join(each.parameter for each in zero) if len(zero) == len(denied) else ""


def shared_stop(
    names: Sequence[str],
    places: Mapping[str, str],
    own: Sequence[OwnDerivative],
    blocks: Mapping[Key, BlockAnswers],
    sizes: Mapping[str, int],
) -> str:
    """Where all backends stop their gradients alike, ``"some value"`` where nothing shows which; ``""`` if they do not.

    Their losses and gradients agree, and each gradient is denied by its own loss in the same blocks. The same factor or
    sign in every block would be a rule that all have wrong; a stop takes another share of each.
    """
    denied = {
        name: {
            each.parameter
            for each in own
            if each.backend == name and each.consistent is False and each.quantity == "gradient"
        }
        for name in names
    }
    if len(names) < 2 or not denied[names[0]] or any(denied[name] != denied[names[0]] for name in names):
        return ""
    alike = (block for key, block in blocks.items() if key[0] in ("loss", "gradient"))
    if not all(block.apart.get((names[0], name), 0) <= AGREES_FLOORS for block in alike for name in names[1:]):
        return ""
    known = next(filter(None, places.values()), "")
    if known:
        return known
    return "" if one_rule(names[0], own, sizes) else "some value"


def one_rule(name: str, own: Sequence[OwnDerivative], sizes: Mapping[str, int]) -> bool:
    """Whether a backend's gradient is one factor times what its own loss makes of it, in all blocks: no stop is."""
    shares = [
        each.along / each.value
        for each in own
        if each.backend == name and each.quantity == "gradient" and each.along is not None and each.value
    ]
    if not shares:
        return False
    one_factor = max(shares) - min(shares) <= 1e-6 * max(map(abs, shares))
    simple = [1 / 2, 2.0, -1.0, *sizes.values(), *(1 / size for size in sizes.values())]
    typed = any(abs(share - each) <= 1e-6 * abs(each) for share in shares[:1] for each in simple)
    return one_factor and (typed or len(shares) > 1)


def noisier(answers: Mapping[str, Answers]) -> set[str]:
    """Backends whose own loss is so much noisier than another's that it is computed in a lower precision."""
    noise = {
        name: float(np.median([d.noise for d in answer.own.values()])) for name, answer in answers.items() if answer.own
    }
    least = min(filter(math.isfinite, noise.values()), default=math.nan)
    return {name for name, value in noise.items() if value > LOWER_PRECISION * least}


def open_question(answer: Answers, name: str, block: BlockAnswers) -> str:
    """Why a backend's floor is too wide for its answer to be held against another's, or ``""``."""
    scale = scale_of(answer.scales, block.key, block.dtype)
    own = np.asarray(answer.values[block.key[0]][block.key[1]], np.longdouble)
    value, floor = (np.where(np.isfinite(each), each, 0) for each in (own, block.floors[name]))
    return unresolved(value, floor, scale.visible, AGREES_FLOORS, "")


def block_of(key: Key, answers: Mapping[str, Answers], dtype: str) -> BlockAnswers:
    """One block of every backend that has it."""
    quantity, parameter = key
    has = {name: a for name, a in answers.items() if parameter in a.values.get(quantity, {})}
    values = {name: a.values[quantity][parameter] for name, a in has.items()}
    sizes = [
        max((largest(v) for q in rounded_with(quantity) for v in a.values.get(q, {}).values()), default=0.0)
        for a in has.values()
    ]
    least = min(filter(math.isfinite, sizes), default=0.0) * float(np.finfo(dtype).eps) / 2  # as `known.Scale` says
    return BlockAnswers(key, values, {name: np.maximum(a.floors[key], least) for name, a in has.items()}, dtype)


#: That backends agree by nothing but the rounding of larger values, with whom.
BENEATH = "pairwise: differs from {} by more than their rounding, beneath one of the largest value of its quantity"


def beneath(answers: Mapping[str, Answers], name: str, block: BlockAnswers) -> list[str]:
    """Whom a backend agrees with by the rounding of larger values alone: they differ by a visible share of themselves.

    Neither is zero, as what saturates is, and both scatter at moved inputs by far less than they differ.
    """

    def differ(other: str) -> bool:
        a, b = (block.values[each].astype(np.longdouble) for each in (name, other))
        own = np.hypot(answers[name].floors[block.key], answers[other].floors[block.key])
        least = np.maximum(AGREES_FLOORS * own, SHARES[block.dtype] * np.maximum(np.abs(a), np.abs(b)))
        return bool(((a != 0) & (b != 0) & (np.abs(a - b) > least)).any())

    return [other for other in block.agreeing if other != name and differ(other)]


def keys_of(answers: Mapping[str, Answers]) -> list[Key]:
    """Every block that any backend has, in the order of quantities and parameters."""
    found = dict.fromkeys(
        (quantity, parameter) for a in answers.values() for quantity, tree in a.values.items() for parameter in tree
    )
    quantities = list(dict.fromkeys(quantity for quantity, _ in found))
    return sorted(found, key=lambda key: quantities.index(key[0]))


def primal_blocks(answers: Mapping[str, Answers], dtype: str) -> dict[Key, BlockAnswers]:
    """The derivatives of the backends' own losses as one more quantity, with the error of each as its floor."""
    usable = {
        name: {parameter: d for parameter, d in (answer.through or answer.own).items() if d.usable}
        for name, answer in answers.items()
    }
    as_answers = {
        name: Answers(
            {"primal": {parameter: np.asarray(d.value, dtype) for parameter, d in own.items()}},
            {
                ("primal", parameter): np.asarray(
                    np.hypot(OWN_ERRORS * d.error / AGREES_FLOORS, abs(d.value) * np.finfo(dtype).eps),
                    np.longdouble,
                )
                for parameter, d in own.items()
            },
        )
        for name, own in usable.items()
    }
    return {key: block_of(key, as_answers, dtype) for key in keys_of(as_answers)}
