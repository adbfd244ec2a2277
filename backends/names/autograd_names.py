"""Names that autograd lacks, or has no derivative or no forward mode for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
from autograd.extend import defjvp, defvjp, primitive
from autograd.tracer import getval, isbox

from gradparity.backends.names.elementary import activations, gelu
from gradparity.backends.names.numpy_names import scipys


def hold(x: Any) -> Any:
    """An array as a constant, of every trace that it is in."""
    while isbox(x):
        x = getval(x)
    return x


def elementwise(function: Callable[[Any], Any], slope: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """A function of each element and, of the result and the argument, its slope, for both modes."""
    made = primitive(function)
    defvjp(made, lambda ans, x: lambda g: g * slope(ans, x))
    defjvp(made, lambda g, ans, x: g * slope(ans, x))
    return made


def _bell(_: Any, x: Any) -> Any:
    """``2 / sqrt(pi) e^(-x^2)``"""
    return 2 / math.sqrt(math.pi) * anp.exp(-x * x)


erf = elementwise(scipys("erf"), _bell)
sigmoid = elementwise(scipys("expit"), lambda ans, _: ans * (1 - ans))

NAMES: dict[str, Any] = {
    **activations(anp, sigmoid, hold),
    "erf": erf,
    "erfc": elementwise(scipys("erfc"), lambda ans, x: -_bell(ans, x)),
    "gelu": gelu(anp, erf),
}
