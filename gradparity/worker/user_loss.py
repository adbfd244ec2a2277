"""The user's loss as a backend takes it: flat dictionaries of arrays in, the tree rebuilt where the user's code starts.

Runs in a worker, where the backend is imported. Nothing is traced here but the nesting of dictionaries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradparity.backends.names import of_dtype
from gradparity.backends.protocol import Array, Backend, Data, NothingToRun, Params
from gradparity.backends.shards import Combination
from gradparity.formatting import first_line
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user import scalar
from gradparity.model_spec.user.layouts import Layout, layout_of
from gradparity.model_spec.user.model import (
    UserModel,
    display_path,
    find_model,
    load_model,
    place_of,
    place_of_function,
    words_of,
)
from gradparity.model_spec.user.variables import cure_of_missed, missed
from gradparity.model_spec.user_spec import UserSpec


class UserLoss:
    """``loss(params, data)`` of flat dictionaries; ``place`` says where the user wrote it.

    A class, since the loss and its place, and a gradient where there is one, travel through a backend together. In
    another layout than the parameters', ``ported`` is the same loss of arrays as the port has them: what is timed.
    ``missed`` has the environment variables that the user's code has read in vain; ``rows`` the names of the data that
    have rows, and ``combination`` how losses of some of these make that of all, once that is known.
    """

    rows: tuple[str, ...] = ()
    combination: Combination | None = None

    def __init__(self, loss: Callable[[Any, Any], Any], place: str, ported: Ported | None = None) -> None:
        self._loss, self.place, self.ported, self.missed = loss, place, ported, missed

    def __call__(self, params: Params, data: Data) -> Array:
        """The loss."""
        return self._loss(params, data)


class HandWrittenLoss(UserLoss):
    """The same with the gradient that the user derived, by the names of the parameters.

    Raises:
        InputError: when it is called, and has other names.
    """

    def __init__(self, loss: Callable[..., Any], place: str, gradient: Callable[[Params, Data], Params]) -> None:
        super().__init__(loss, place)
        self.gradient = gradient


class OwnGradientLoss(HandWrittenLoss):
    """The same on a backend that differentiates by itself: its program is made in `gradparity.worker.by_hand`."""

    #: Why it has no derivative but its gradient.
    lacking = "its gradient is derived by hand"


@dataclass(frozen=True)
class Ported:
    """A loss of arrays by name in the port, and how these are found."""

    loss: UserLoss
    layout: Layout


def user_loss(spec: UserSpec, backend: Backend, names: Sequence[str]) -> UserLoss:
    """The loss for a backend: its own, by any of its ``names``, or the neutral one in its namespace.

    There may be a gradient by hand beside it: in the backend's file, or ``gradient_NAME``. One for a sharded backend
    reduces, and is that of its own name.

    Raises:
        InputError: a file of the user's does not import, or lacks its loss.
        NothingToRun: the model has no loss for this backend.
    """
    found = _user_loss(spec, backend, names)
    found.rows = spec.rows
    return found


def _user_loss(spec: UserSpec, backend: Backend, names: Sequence[str]) -> UserLoss:
    model = load_model(spec.path)
    layout = layout_of(model, spec, names)
    sharded, on_host = hasattr(backend, "alone"), "numpy" in names
    own, gradient = model.own_loss(*names), model.own_gradient(*(names[:1] if sharded else names))
    if own is None:
        loss, place = _neutral(model, backend, names, spec)
    else:
        loss, place = layout.nested(own), place_of_function(own)
    if gradient is None:
        if own is None or layout.as_given:
            return UserLoss(loss, place)
        return UserLoss(loss, place, Ported(UserLoss(layout.as_it_is(own), place), layout))
    where, found = place_of_function(gradient), layout.nested(gradient)
    back: Callable[[Any], Any] = layout.back
    if not on_host:  # but of its framework's arrays
        back = dict if layout.as_given else lambda tree: backend.put(layout.back(backend.get(tree)))
    made = HandWrittenLoss if sharded or on_host else OwnGradientLoss
    return made(loss, place, lambda params, data: back(layout.flat(where, found(params, data), "gradient")))


def _neutral(
    model: UserModel, backend: Backend, names: Sequence[str], spec: UserSpec
) -> tuple[Callable[[Any, Any], Any], str]:
    """The neutral loss in a backend's namespace, and its place."""
    neutral = model.loss
    if neutral is None:
        raise NothingToRun(f"{display_path(model.file)} has no loss for {names[0]}")
    namespace = getattr(backend, "namespace", None)
    if namespace is None:
        raise NothingToRun(f"{names[0]} has no array namespace for a loss(params, data, xp)")
    try:
        xp = of_dtype(namespace(), spec.dtype)
    except ImportError as error:
        raise InputError(
            f"{names[0]}'s array namespace",
            got=str(error),
            expected="to import",
            cure=f"pip install {(error.name or '').replace('_', '-')}",
        ) from None
    whole = spec.nested(neutral)
    return lambda params, data: whole(params, data, xp), place_of_function(neutral)


def said_of(error: BaseException, spec: UserSpec) -> str:
    """What an exception says, where the user's code raised it, and what it had asked for in vain."""
    words = f"the code ends the process: {error.code!r}" if isinstance(error, SystemExit) else words_of(error)
    path = find_model(spec.path)[0]
    file, line = place_of(error, path, path.parent)
    if not line:  # code that TensorFlow has translated runs from another file: its message quotes the user's
        quoted = [(Path(name), int(number)) for name, number in re.findall(r'File "([^"]+)", line (\d+)', words)]
        file, line = next((at for at in reversed(quoted) if at[0].is_relative_to(path.parent)), (file, line))
    if not line:
        return words
    cure = cure_of_missed()
    return f"{first_line(words)} ({display_path(file)}, line {line}){f'. {cure}' if cure else ''}"


def require_scalar(loss: Any, value: Any) -> None:
    """Refuse what a loss may not return; said before any framework says it in its own way.

    Raises:
        InputError: it is no scalar array.
    """
    place = getattr(loss, "place", "")
    if place:
        scalar.require_scalar(place, value)


def require_answer(loss: Any, answer: Any) -> None:
    """The same of the value that a program gives with the gradient, which may be a number of Python's.

    Raises:
        InputError: it is no scalar array.
    """
    if hasattr(answer[0], "shape"):
        require_scalar(loss, answer[0])


def say_no_scalar(loss: Any, *arguments: Any) -> None:
    """Refuse what a loss returns of some arguments, where it is that for which a framework has raised.

    Raises:
        InputError: it is no scalar array.
    """
    try:
        value = loss(*arguments)
    except Exception:  # which the framework has said, then
        return
    require_scalar(loss, value)
