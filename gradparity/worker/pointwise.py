"""A function of the namespace and its derivatives at many points, as the framework gives them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradparity.backends.names import OURS
from gradparity.backends.protocol import Backend
from gradparity.model_spec.function import Function
from gradparity.worker.pointwise_messages import Differentiate, Differentiated
from gradparity.worker.wire import Arrays, Host

QUANTITIES = ("value", "reverse", "forward", "second")
#: Points that are evaluated at a time: always as many, since a program is compiled for each number of them.
CHUNK = 32

_TOGETHER = "together"
_KEPT: dict[str, dict[str, Callable[..., Any]]] = {}


def differentiated(backend: Backend, request: Differentiate) -> Differentiated:
    """The answer to a request; what cannot be differentiated is left out, with the reason.

    Raises:
        AttributeError: the backend has no namespace, or that has no such function.
    """
    names = _names(backend, own=request.function.own)
    if names is None or (request.function.own and not hasattr(names, request.function.name)):
        return Differentiated([], dict.fromkeys(QUANTITIES, ""))
    functions = _functions(backend, request.function, names)
    without: dict[str, str] = {}
    found = [_at(backend, functions, x, y, without) for x, y in zip(request.x, request.y, strict=True)]
    lacking = {name: "" for name in QUANTITIES if name not in functions}
    return Differentiated(
        [{name: values for name, values in each.items() if name not in without} for each in found],
        lacking | without,
        ours=request.function.name in getattr(names, OURS, ()),
    )


def _names(backend: Backend, *, own: bool) -> Any:
    """The names that a neutral loss has, or the framework's own in place of these; None where it has no such."""
    found = getattr(backend, "own_names" if own else "namespace", None)
    return None if found is None else found()


def _functions(backend: Backend, function: Function, names: Any) -> dict[str, Callable[..., Any]]:
    """Those of the last function that was asked for are kept: what they have compiled is not compiled again."""
    if function.label not in _KEPT:
        _KEPT.clear()
        f = function.within(names)
        derivatives = getattr(backend, "elementwise", None)
        _KEPT[function.label] = {"value": f} if derivatives is None else dict(derivatives(f))
    return _KEPT[function.label]


def _at(
    backend: Backend, functions: dict[str, Callable[..., Any]], x: Host, y: Host, without: dict[str, str]
) -> Arrays:
    parts: dict[str, list[Host]] = {}
    for start in range(0, len(x), CHUNK):
        here = [np.resize(values[start : start + CHUNK], CHUNK) for values in (x, y)]
        size = len(x[start : start + CHUNK])
        placed = backend.put({"x": here[0], "y": here[1]})
        for name, values in _evaluated(backend, functions, placed, without).items():
            parts.setdefault(name, []).append(values[:size])
    return {name: np.concatenate(values) for name, values in parts.items()}


def _evaluated(
    backend: Backend, functions: dict[str, Callable[..., Any]], placed: Mapping[str, Any], without: dict[str, str]
) -> Arrays:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overflow, and of points at which nothing has a derivative
        together = functions.get(_TOGETHER)
        if together is not None:
            try:
                return _shaped(backend.get(together(placed["x"], placed["y"])))
            except Exception:  # one of the four has no rule: which, each by itself says
                functions.pop(_TOGETHER)
        found: Arrays = {}
        for name, function in functions.items():
            if name in without:
                continue
            try:
                found |= _shaped(backend.get({name: function(placed["x"], placed["y"])}))
            except Exception as error:
                without[name] = f"{type(error).__name__}: {error}".split("\n")[0]
        return found


def _shaped(tree: Mapping[str, Any]) -> Arrays:
    """One number for each point, also where the result does not depend on them."""
    return {name: np.array(np.broadcast_to(values, (CHUNK,))) for name, values in tree.items()}
