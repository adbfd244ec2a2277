"""Numbers that are records: arrays of a structured dtype, rearranged by NumPy, with an arithmetic of their own.

One element is one number, in several parts: a midpoint and a radius, or the same number in several draws. Indexing,
reshaping, transposing, concatenating and whatever else computes nothing is NumPy's own, for all parts at once. What
computes is a ufunc or a function that the subclass has a handler for; anything else is refused by NumPy, as it has no
arithmetic for records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np

#: Functions that put numbers beside each other: what is no record among them becomes one.
_JOINING = frozenset((np.concatenate, np.stack, np.hstack, np.vstack, np.column_stack, np.where))


class Records(np.ndarray[Any, np.dtype[Any]]):
    """An array of numbers that are records.

    ``a["name"]`` is one part of all numbers, as a plain array that is writable where `a` is.

    Attributes:
        ufuncs: handlers of ``numpy.add``, by name, and of its methods: ``add.reduce``, ``add.accumulate``, ``add.at``.
            Operands are records when they come, options are those that are given.
        functions: handlers of NumPy's functions that are no ufuncs and compute, by function.
    """

    ufuncs: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    functions: ClassVar[Mapping[Any, Callable[..., Any]]] = {}

    def like(self, values: Any) -> Self:
        """Plain numbers, and longdouble arrays, as records of the dtype of `self`, exactly."""
        raise NotImplementedError

    def record(self, value: Any) -> Any:
        """`value` as records of the dtype of `self`: as it is where it has that dtype, else converted."""
        if isinstance(value, np.ndarray) and value.dtype == self.dtype:
            return value if isinstance(value, Records) else value.view(type(self))
        if isinstance(value, np.void):
            return np.asarray(value).view(type(self))
        return self.like(value)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        handler = self.ufuncs.get(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}")
        if handler is None:
            return NotImplemented
        if method == "at":
            return handler(inputs[0], inputs[1], *(self.record(x) for x in inputs[2:]))
        (out,) = options.pop("out", None) or (None,)
        options = {name: value for name, value in options.items() if value is not None}
        result = handler(*(self.record(x) for x in inputs), **options)
        if out is None:
            return result
        out[...] = result
        return out

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in self.functions:
            return self.functions[function](*args, **kwargs)
        if function is np.where and len(args) == 3:
            args = (args[0], *(self.record(x) for x in args[1:]))
        elif function in _JOINING:
            args = ([self.record(x) for x in args[0]], *args[1:])
        result = super().__array_function__(function, types, args, kwargs)
        return self._viewed(result)

    def __getitem__(self, key: Any) -> Any:
        """Records for any index, one number being an array of shape (); a part of each for its name."""
        return self._viewed(self.view(np.ndarray)[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        plain = self.view(np.ndarray)
        plain[key] = value if isinstance(key, str) else self.record(value)

    # NumPy compares structured arrays part by part without asking a ufunc.
    def __eq__(self, other: Any) -> Any:
        return np.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return np.not_equal(self, other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.view(np.ndarray)})"

    __str__ = __repr__

    def _viewed(self, result: Any) -> Any:
        if isinstance(result, list | tuple):
            return type(result)(self._viewed(part) for part in result)
        if isinstance(result, np.void):
            result = np.asarray(result)
        if isinstance(result, np.ndarray) and result.dtype == self.dtype:
            return result if isinstance(result, Records) else result.view(type(self))
        return result.view(np.ndarray) if isinstance(result, Records) else result
