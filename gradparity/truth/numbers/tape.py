"""What reverse mode remembers: a traced array is an `Array` that knows the operation it came from.

Every function of the namespace is made of a dozen primitives, and each primitive hands its result to `traced`. Nothing
else knows of the tape: operators, methods, and functions composed of others are traced through what they are made of.
What is locally constant (comparisons, signs, positions) is not traced, as its derivative is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradparity.truth.numbers.arrays import Array, rearranged
from gradparity.truth.numbers.balls import Coefficient, box


@dataclass(eq=False)
class Node:
    """One operation, or an input, which has no rule.

    Attributes:
        rule: the primitive's name in `rules.RULES`.
        result: what it computed, untraced.
        operands: what it computed that from, traced or not.
        options: what else its rule needs to know.
    """

    rule: str
    result: Array
    operands: tuple[Array, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


class Traced(Array):
    """An array that came of an operation on parameters."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        super().__init__(node.result.series)
        self.node = node

    @property
    def is_constant(self) -> bool:
        """Never: a series may stop at its value, and the parameters move it all the same."""
        return False

    def map(self, f: Callable[[Coefficient], Any]) -> Array:
        """A rearrangement, whose adjoint is found by letting it rearrange the positions of the elements."""
        result = rearranged(f, Array(tuple(box(f(c)) for c in self.series)), self)
        return Traced(Node("rearrange", result, (self,), {"f": f}))


def parameter(value: Array) -> Traced:
    """An input with respect to which derivatives are wanted."""
    return Traced(Node("input", value))


def traced(rule: str, result: Array, *operands: Array, **options: Any) -> Array:
    """`result`, remembered where it depends on a parameter."""
    if any(isinstance(x, Traced) for x in operands):
        return Traced(Node(rule, result, operands, options))
    return result


def untraced(x: Array) -> Array:
    """The same numbers as a constant of the tape."""
    return x.node.result if isinstance(x, Traced) else x


def in_order(last: Traced) -> list[Node]:
    """Every operation that `last` depends on, each after those that use it."""
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(last.node, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack += [(x.node, False) for x in node.operands if isinstance(x, Traced)]
    return order[::-1]


def positions(x: Array) -> Coefficient:
    """The places of the elements, counted from one: zero is what a rearrangement fills in."""
    return np.arange(1, x.size + 1).reshape(x.shape)
