"""The same numbers in several draws: an element is a record of what it is in each, and one evaluation makes all.

``a["draws"]`` has the draws as a last axis, so that operands of any shapes broadcast as they do without; numbers that
are alike in all draws stay plain arrays until they meet others. Whatever asks a question of the numbers, a comparison
for one, gets one answer, which has to be the same in all draws (`DifferError`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gradparity.truth.numbers.notes import refuse
from gradparity.truth.numbers.records import Records

Values = npt.NDArray[Any]


class DifferError(Exception):
    """A question has another answer in another draw: draws have to be evaluated one at a time."""


class Draws(Records):
    """Numbers of one real dtype in D draws."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        (out,) = options.pop("out", None) or (None,)
        if method == "__call__":
            if ufunc is np.matmul:
                ndim = max(map(np.ndim, inputs))
                result = wrapped(np.moveaxis(np.matmul(*(draws_first(x, ndim) for x in inputs)), 0, -1))
            else:
                result = _answered(ufunc(*[draws_last(x) for x in inputs], **options))
        elif method in ("reduce", "accumulate"):
            result = wrapped(getattr(ufunc, method)(draws_last(inputs[0]), **_of_leading(inputs[0].ndim, options)))
        elif method == "outer":
            a, b = inputs
            result = ufunc(np.reshape(a, a.shape + (1,) * np.ndim(b)), b)
        elif method == "at":
            ufunc.at(draws_last(inputs[0]), inputs[1], draws_last(inputs[2]))
            return None
        else:
            return NotImplemented
        if out is None:
            return result
        out[...] = result
        return out

    def like(self, values: Any) -> Self:
        """Numbers that are alike in all draws."""
        plain = np.asarray(values)
        found = np.empty(plain.shape, self.dtype)
        found["draws"] = plain[..., None]
        return found.view(type(self))


@lru_cache
def _layout(dtype: np.dtype[Any], draws: int) -> np.dtype[Any]:
    return np.dtype([("draws", dtype, (draws,))])


def wrapped(values: Values) -> Draws:
    """Numbers whose last axis is that of the draws."""
    values = values if values.flags.c_contiguous else np.ascontiguousarray(values)
    return Draws(values.shape[:-1], _layout(values.dtype, values.shape[-1]), values)


def draws_last(x: Any) -> Any:
    """Numbers with an axis of draws behind their own, of length one where all draws are alike."""
    if isinstance(x, np.ndarray):
        return x.view(np.ndarray)["draws"] if x.dtype.names else x[..., None]
    if isinstance(x, np.void):
        return x["draws"]
    return x if np.isscalar(x) else np.asarray(x)[..., None]


def draws_first(x: Values, ndim: int) -> Values:
    """Numbers with an axis of draws before their own `ndim`, of length one where all draws are alike."""
    values: Values = np.moveaxis(draws_last(x), -1, 0)
    return values.reshape(len(values), *(1,) * (ndim - x.ndim), *x.shape)


def in_each_draw(f: Callable[..., Values], *operands: Values) -> Values:
    """A function of plain arrays with any leading axes, in every draw.

    Raises:
        DifferError: it gives whole numbers, and other ones in other draws.
    """
    if not any(isinstance(x, Draws) for x in operands):
        return f(*operands)
    ndim = max(x.ndim for x in operands)
    found: Values = _answered(np.moveaxis(f(*(draws_first(x, ndim) for x in operands)), 0, -1))
    return found


def alike(answers: Values) -> Values:
    """Answers whose last axis is that of the draws, which do not depend on it.

    Raises:
        DifferError: some do.
    """
    if not (answers == answers[..., :1]).all():
        raise DifferError
    return np.asarray(answers[..., 0])


def question(
    f: Callable[[Values], Values], x: Values, known: npt.NDArray[np.bool_] | None = None, answer: Any = 0
) -> Values:
    """``f(x)``, no number but a choice, position or branch; where one is `known`, `answer`.

    Args:
        f: of plain arrays with an axis more than `x`, or as many.
        x: numbers, perhaps in several draws.
        known: elements of the result that are not asked for.
        answer: what those are.

    Raises:
        DifferError: other draws have other answers.
    """
    refuse("a branch")
    if not isinstance(x, Draws):
        return f(x) if known is None else np.where(known, answer, f(x))
    answers = f(draws_last(x))
    return alike(answers if known is None else np.where(known[..., None], np.asarray(answer)[..., None], answers))


def blank(shape: tuple[int, ...], *like: Values) -> Values:
    """Zeros to write numbers such as these into."""
    found = next((x for x in like if isinstance(x, Records)), like[0])
    zeros = np.zeros(shape, found.dtype)
    return zeros.view(type(found)) if isinstance(found, Records) else zeros


def _answered(values: Any) -> Any:
    if isinstance(values, tuple):
        return tuple(_answered(each) for each in values)
    return wrapped(values) if values.dtype.kind == "f" else alike(values)


def _of_leading(ndim: int, options: dict[str, Any]) -> dict[str, Any]:
    """Options of a reduction whose axes count from the front, past the axis of the draws."""
    axis = options.get("axis", 0)
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    counted = tuple(i % ndim for i in axes)
    rest = {name: value for name, value in options.items() if name in ("keepdims", "initial") and value is not None}
    return rest | {"axis": counted if axis is None or isinstance(axis, tuple) else counted[0]}
