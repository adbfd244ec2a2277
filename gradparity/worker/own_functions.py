"""A port's ``init`` and ``step``, found, called and read: what they answer in another form than is expected is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.backends.protocol import Backend
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user.containers import described
from gradparity.model_spec.user.layouts import Layout
from gradparity.model_spec.user.model import (
    display_path,
    find_model,
    load_model,
    place_of,
    place_of_function,
    words_of,
)

_EXPECTED = "(params, state, loss), in that order"
_REAL = "a real number, or an array of one"
#: What a function raises that was given a state or a batch of another form than it takes.
_OF_FORM = (TypeError, KeyError, IndexError, AttributeError, ValueError)


@dataclass(frozen=True)
class OwnSteps:
    """The user's functions for one backend; without ``init`` the state is ``None`` at first."""

    step: Callable[[Any, Any, Any], Any]
    init: Callable[[Any], Any] | None
    path: str

    @property
    def place(self) -> str:
        """Where ``step`` is, for messages."""
        return place_of_function(self.step)

    def first_state(self, params: Any) -> Any:
        """What ``init`` returns."""
        return None if self.init is None else self.init(params)

    def call(self, params: Any, state: Any, batch: Any, k: int) -> Any:
        """What step ``k`` returns.

        Raises:
            InputError: it raises what it would of a state or a batch in another form; with what it was given.
        """
        try:
            return self.step(params, state, batch)
        except _OF_FORM as error:
            file = find_model(self.path)[0]
            place, line = place_of(error, file, file.parent)
            if isinstance(error, InputError) or line is None:
                raise
            begin = "from init" if self.init is not None else "there is no init"
            origin = begin if k == 1 else f"from step {k - 1:,}"
            said = next(iter(words_of(error).strip().splitlines()), "")
            where, got = f"{display_path(place)}, line {line}: step", f"{type(error).__name__}: {said}"
            taken = f"the state ({described(state)}, {origin}) and the batch ({described(batch)})"
            raise InputError(where, got=got, expected=f"one that takes {taken}") from error


def own_steps(path: str, names: Sequence[str]) -> OwnSteps | None:
    """The functions that a backend's port has, by any of its ``names``; ``None`` where it has no ``step``.

    Raises:
        InputError: there is an ``init`` and no ``step``, or one of them is no function or has other arguments.
    """
    model = load_model(path)
    init, step = model.own("init", "params", names), model.own("step", "params, state, batch", names)
    if step is None and init is not None:
        raise InputError(place_of_function(init), got="no step", expected="step(params, state, batch) beside it")
    return None if step is None else OwnSteps(step, init, path)


def read_answer(where: str, given: Any, layout: Layout, backend: Backend) -> tuple[Any, dict[str, Any], Any, float]:
    """What a step returned: the parameters' tree, its arrays by name in the port, the state, and the loss.

    Raises:
        InputError: it is no ``(params, state, loss)``; with what it is.
    """
    if not isinstance(given, tuple | list) or len(given) != 3:
        raise InputError(where, got=_told(given, layout), expected=_EXPECTED)
    tree, state, value = given
    try:
        return tree, layout.flat(f"{where}: params", tree, "parameter"), state, _number(where, value, backend)
    except InputError:
        roles = [_role(each, layout) for each in given]
        if _PARAMS in roles[1:] or _NUMBER in roles[:2]:
            raise InputError(where, got=_told(given, layout), expected=_EXPECTED) from None
        raise


_PARAMS, _NUMBER = "params", "a number"


def _told(given: Any, layout: Layout) -> str:
    if isinstance(given, tuple | list) and len(given) < 6:
        return f"({', '.join(_role(each, layout) for each in given)})"
    return _role(given, layout)


def _role(value: Any, layout: Layout) -> str:
    """Which of a step's answers a value may be, or else what it is."""
    try:
        layout.flat("", value, "parameter")
    except InputError:
        return _NUMBER if _is_number(value) else described(value)
    return _PARAMS


def _is_number(value: Any) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)) or getattr(value, "shape", None) == ()


def _number(where: str, value: Any, backend: Backend) -> float:
    """The loss, an array of one entry or a number of Python's."""
    plain = isinstance(value, int | float)
    if not plain and not hasattr(value, "shape"):
        raise InputError(f"{where}: loss", got=described(value), expected=_REAL)
    host = np.asarray(value if plain else backend.get({"": value})[""])
    if host.size != 1 or host.dtype.kind not in "fiu":
        got = f"an array of shape {host.shape}, {host.dtype}" if not plain else described(value)
        raise InputError(f"{where}: loss", got=got, expected=_REAL)
    return float(host.reshape(()))
