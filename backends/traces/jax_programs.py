"""What is in a JAX program: the programs within, and how many operations of which names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax


def inner_programs(program: Any) -> Iterator[Any]:
    """The programs within the equations of a jaxpr: of loops, branches, and functions that are compiled."""
    for equation in program.eqns:
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield inner


def size(program: Any) -> int:
    """Operations in a jaxpr, those in programs within it among them; a loop's body counts once."""
    return len(program.eqns) + sum(map(size, inner_programs(program)))


def inner_sizes(program: Any) -> Iterator[int]:
    """Sizes of the outermost programs within."""
    return map(size, inner_programs(program))


def primitives(program: Any) -> Iterator[str]:
    """Names of the operations in a jaxpr, those in programs within it among them."""
    for equation in program.eqns:
        yield equation.primitive.name
    for inner in inner_programs(program):
        yield from primitives(inner)
