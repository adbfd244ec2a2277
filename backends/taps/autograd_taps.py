"""autograd: an identity that is a primitive, and another one for its cotangent, so that both can be differentiated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from autograd.core import make_vjp
from autograd.extend import Box, defjvp, defvjp, primitive
from autograd.tracer import getval

from gradparity.backends.protocol import Array, Data, Loss, Params, Sink
from gradparity.backends.taps import Passage


@primitive
def value_through(x: Array, passage: Passage) -> Array:
    """``x``, reported."""
    passage.occurrence = passage.sink.value(passage.name, np.asarray(x))
    return x


@primitive
def cotangent_through(g: Array, passage: Passage) -> Array:
    """``g``, reported as the cotangent."""
    passage.sink.cotangent(passage.name, passage.occurrence, np.asarray(g))
    return g


# The traced functions see plain arrays here, whatever traces are stacked upon each other.
defvjp(value_through, lambda ans, x, passage: lambda g: cotangent_through(g, passage), argnums=(0,))
defvjp(cotangent_through, lambda ans, g, passage: lambda gg: gg, argnums=(0,))
defjvp(value_through, lambda t, ans, x, passage: t, argnums=(0,))
defjvp(cotangent_through, lambda t, ans, g, passage: t, argnums=(0,))


def context(sink: Sink) -> AbstractContextManager[Any]:
    """Nothing to arrange."""
    return nullcontext()


def probe(sink: Sink, name: str, value: Any) -> Any:
    """The value, reported; a box of a container is taken apart."""
    content = getval(value)
    if isinstance(value, Box) and isinstance(content, dict):
        return {key: probe(sink, f"{name}.{key}", value[key]) for key in content}
    if isinstance(value, Box) and isinstance(content, list | tuple):
        return type(content)(probe(sink, f"{name}.{i}", value[i]) for i in range(len(content)))
    if isinstance(value, Box):
        return value_through(value, Passage(sink, name))
    sink.value(name, np.asarray(value))
    return value


def pull_back(loss: Loss, params: Params, data: Data) -> tuple[Array, Callable[[], None]]:
    """The loss, and its backward pass."""
    back, value = make_vjp(lambda params: loss(params, data), params)

    def backward() -> None:
        back(np.ones_like(value))

    return value, backward
