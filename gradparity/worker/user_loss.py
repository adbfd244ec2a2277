"""The user's loss as a backend takes it: flat dictionaries of arrays in, the tree rebuilt where the user's code starts.

Runs in a worker, where the backend is imported. Nothing is traced here but the nesting of dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradparity.backends.names import of_dtype
from gradparity.backends.protocol import Array, Backend, Data, NothingToRun, Params
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user import scalar
from gradparity.model_spec.user.drawing import flat_tree
from gradparity.model_spec.user.model import UserModel, display_path, load_model, place_of_function
from gradparity.model_spec.user_spec import UserSpec


class UserLoss:
    """``loss(params, data)`` of flat dictionaries; ``place`` says where the user wrote it.

    A class, since the loss and its place, and a gradient where there is one, travel through a backend together.
    """

    def __init__(self, spec: UserSpec, loss: Callable[[Any, Any], Any], place: str) -> None:
        self._loss, self.place = loss, place
        self._nest_params, self._nest_data = spec.nest_params, spec.nest_data

    def __call__(self, params: Params, data: Data) -> Array:
        """The loss."""
        return self._loss(self._nest_params(params), self._nest_data(data))


class HandWrittenLoss(UserLoss):
    """The same with the gradient that the user derived."""

    def __init__(self, spec: UserSpec, loss: Callable[..., Any], place: str, gradient: Callable[..., Any]) -> None:
        super().__init__(spec, loss, place)
        self._gradient, self._shapes = gradient, spec.shapes

    def gradient(self, params: Params, data: Data) -> Params:
        """The user's gradient by the names of the parameters.

        Raises:
            InputError: it has other names.
        """
        found = self._gradient(self._nest_params(params), self._nest_data(data))
        return flat_tree(place_of_function(self._gradient), found, self._shapes, "gradient")


def user_loss(spec: UserSpec, backend: Backend, names: Sequence[str]) -> UserLoss:
    """The loss for a backend: its own, by any of its ``names``, or the neutral one in its namespace.

    Raises:
        InputError: a file of the user's does not import, or lacks its loss.
        NothingToRun: the model has no loss for this backend.
    """
    model = load_model(spec.path)
    loss, place = _nested(model, backend, names, spec.dtype)
    gradient = model.gradient() if "numpy" in names else None
    if gradient is not None:
        return HandWrittenLoss(spec, loss, place, gradient)
    return UserLoss(spec, loss, place)


def _nested(
    model: UserModel, backend: Backend, names: Sequence[str], dtype: str
) -> tuple[Callable[[Any, Any], Any], str]:
    own = model.own_loss(*names)
    if own is not None:
        return own, place_of_function(own)
    neutral = model.function("loss")
    if neutral is None:
        raise NothingToRun(f"{display_path(model.file)} has no loss for {names[0]}")
    namespace = getattr(backend, "namespace", None)
    if namespace is None:
        raise NothingToRun(f"{names[0]} has no array namespace for a loss(params, data, xp)")
    try:
        xp = of_dtype(namespace(), dtype)
    except ImportError as error:
        raise InputError(
            f"{names[0]}'s array namespace",
            got=str(error),
            expected="to import",
            cure=f"pip install {(error.name or '').replace('_', '-')}",
        ) from None
    return lambda params, data: neutral(params, data, xp), place_of_function(neutral)


def require_scalar(loss: Any, value: Any) -> None:
    """Refuse what a loss may not return; said before any framework says it in its own way.

    Raises:
        InputError: it is no scalar array.
    """
    place = getattr(loss, "place", "")
    if place:
        scalar.require_scalar(place, value)


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
