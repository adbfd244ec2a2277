"""Whether a loss is a function of its arguments: the same call twice gives one answer, and changes none of them."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Mapping

import numpy as np

from gradparity.backends.protocol import Array, Backend, Data, HostArray, Loss, Params
from gradparity.formatting import first_line
from gradparity.worker.earlier import ROUNDED
from gradparity.worker.user_loss import require_scalar
from gradparity.worker.wire import Arrays, Host

#: Calls more by which such a loss is told from one that goes on to other values.
CALLS = 5


def loss_impurity(backend: Backend, loss: Loss, params: Params, data: Data) -> tuple[str, bool]:
    """How a second call of the plain loss differed from the first, or ``""``; and whether by roundings."""
    values, raised = _twice(backend, loss, params, data)
    first, second = values[0], values[-1]
    if raised is not None:
        if _goes_on(backend, loss, params, data, first):
            raise raised
        return f"the loss returned {first} at first, and raised on the second call: {first_words(raised)}", False
    if first.tobytes() == second.tobytes():
        return "", False
    rounds = bool(abs(first - second) <= ROUNDED.get(first.dtype.name, 0.0) * abs(first))
    if rounds:  # by what it keeps it would go on to others
        again = [_scalar(backend, loss(params, data)).tobytes() for _ in range(CALLS)]
        rounds = len({first.tobytes(), second.tobytes(), *again}) < 2 + CALLS
    return f"the loss returned {first}, then {second}, for the same arguments", rounds


def _goes_on(backend: Backend, loss: Loss, params: Params, data: Data, first: Host) -> bool:
    """Whether a loss that has raised gives its first value again: then it has failed once, and keeps no state."""
    try:
        return all(_scalar(backend, loss(params, data)).tobytes() == first.tobytes() for _ in range(2))
    except Exception:
        return False


def _twice(backend: Backend, loss: Loss, params: Params, data: Data) -> tuple[list[Host], Exception | None]:
    """What two calls of the plain loss give, and what the second raised.

    Where a backend compiles every operation by itself, which takes longer than anything else here, both are evaluated
    on the host if they can be.
    """

    def scalar(params: Params, data: Data) -> Array:
        value = loss(params, data)
        require_scalar(loss, value)
        return value

    with contextlib.suppress(Exception):  # what the loss raises there it raises below, and is said there
        interpreted = getattr(backend, "interpreted", None)
        found = interpreted(scalar).twice(params, data) if interpreted is not None else None
        if found is not None:
            values, raised = found
            return [value[()] for value in values], raised
    values = [_scalar(backend, scalar(params, data))]
    try:
        values.append(_scalar(backend, scalar(params, data)))
    except Exception as error:
        return values, error
    return values, None


def draws(backend: Backend, loss: Loss, params: Params, data: Data) -> bool:
    """Whether two calls agree once the global generators are seeded before each: then it draws, and keeps no state."""
    answers = []
    for _ in range(2):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002  # the legacy generator is the one that such a loss would use
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(0)
        getattr(backend, "seed", int)(0)
        try:
            answers.append(_scalar(backend, loss(params, data)).tobytes())
        except Exception:
            return False
    return answers[0] == answers[1]


def _scalar(backend: Backend, value: Array) -> Host:
    found = np.asarray(backend.get({"": backend.wait(value)})[""])
    if found.dtype == object:  # a node of a backend's own tape, say
        what = type(found[()]).__name__
        raise TypeError(f"get of the backend made {what} of a loss, and no number: it is called outside program too")
    return found[()]


def difference(first: dict[str, Arrays], second: dict[str, Arrays]) -> str:
    """The first quantity whose second evaluation has other bits, or ``""``."""
    for quantity, tree in first.items():
        for name, value in tree.items():
            if value.tobytes() != second[quantity][name].tobytes():
                worst = np.max(np.abs(value - second[quantity][name]))
                return f"{quantity} {name}".rstrip() + f" differed by up to {worst:.3g} between two identical calls"
    return ""


def inputs_touched(backend: Backend, *arguments: tuple[str, Mapping[str, HostArray], Params]) -> str:
    """Which argument no longer holds what was put there, or ``""``: of each its kind, what was put, and where."""
    for kind, original, current in arguments:
        held = getattr(current, "of", None)  # of the data, a rank has some rows
        original = original if held is None else held(original)
        for name, value in backend.get(current).items():
            if value is original.get(name):  # opened for reading only
                continue
            if name not in original or value.tobytes() != original[name].tobytes():
                return f"the loss changed its argument: {kind} {name}"
    return ""


def first_words(error: Exception) -> str:
    """The kind of an exception, and the first line of what it says."""
    return f"{type(error).__name__}: {first_line(str(error))}"
