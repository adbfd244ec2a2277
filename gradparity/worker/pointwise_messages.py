"""What the parent asks a backend's process about a function of one number, or of two, and what that answers."""

from __future__ import annotations

import msgspec

from gradparity.model_spec.function import Function
from gradparity.worker.wire import Arrays, Host, Reply, Request


class Differentiated(Reply, frozen=True):
    """For each array of points the ``value``, and the ``reverse``, ``forward`` and ``second`` derivative at each.

    ``without``: why a quantity is not given, ``""`` where the backend differentiates nothing. ``ours``: the function's
    formula, or its derivative rule, is gradparity's, for a framework that has none.
    """

    found: list[Arrays]
    without: dict[str, str] = msgspec.field(default_factory=dict)
    ours: bool = False


class Differentiate(Request[Differentiated], frozen=True):
    """A function and its derivatives by one argument, in the dtype of each array of points.

    ``x``: what moves, shape (n,) each; ``y``: what is held still, alike, where the function has such an argument.
    """

    stage = "derivatives of a function"
    timeout_s = 120

    function: Function
    x: list[Host]
    y: list[Host]
