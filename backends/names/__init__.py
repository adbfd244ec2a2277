"""What a framework's array namespace lacks of the names a neutral loss may use, one file for each framework.

Each file has ``NAMES``: functions by the names of the certified namespace, those of its parts as ``linalg.NAME``. They
are the framework's own functions wherever it has them, under another name or with other options. `gradparity.special`
takes its functions from here too. Nothing but a framework's own file imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import ModuleType
from typing import Any

import numpy as np

#: The attribute of a namespace that has the names that are not the framework's own.
OURS = "__gradparity_formulas__"
#: Functions that make real arrays out of nothing.
_REAL = ("eye", "identity", "linspace", "ones", "zeros")
#: Functions that make arrays of the kind of the numbers that they are given.
_LIKE_NUMBERS = ("arange", "array", "asarray", "full")


def widened(space: ModuleType, names: Mapping[str, Any], ours: Collection[str] = ()) -> ModuleType:
    """A namespace with these names added, or in place of its own; what neither has is said with a cure.

    A module, since compilers know what a module's name stands for. ``ours``: names whose formula, or derivative rule,
    is ours and not the framework's.
    """
    wide = ModuleType(space.__name__, space.__doc__)
    wide.__dict__.update(vars(space))
    parts: dict[str, dict[str, Any]] = {"": {}}
    for name, function in names.items():
        part, _, own = name.rpartition(".")
        parts.setdefault(part, {})[own] = function
    wide.__dict__.update(parts.pop(""))
    for part, own_names in parts.items():
        wide.__dict__[part] = widened(getattr(space, part), own_names)

    def missing(name: str) -> Any:
        try:
            return getattr(space, name)
        except AttributeError:
            if name.startswith("__"):
                raise
            raise AttributeError(
                f"{space.__name__} has no {name}: write it with the names that every backend has, "
                "which docs/reference/namespace.md lists."
            ) from None

    wide.__dict__["__getattr__"] = missing
    wide.__dict__[OURS] = frozenset(ours)
    return wide


def of_dtype(space: ModuleType, dtype: str) -> ModuleType:
    """A namespace in which new arrays of real numbers have this dtype, unless another is asked for.

    Frameworks' defaults differ: float32 in torch whatever the model has, float64 in NumPy and in JAX. A loss that is
    written once computes in its parameters' dtype. What is an array already keeps its own. A third party's namespace
    that is no module, or has no such dtype, stays as it is.
    """
    if not isinstance(space, ModuleType) or not hasattr(space, dtype):
        return space
    wide = ModuleType(space.__name__, space.__doc__)
    wide.__dict__.update(vars(space))
    for name in (*_REAL, *_LIKE_NUMBERS):
        if hasattr(space, name):
            wide.__dict__[name] = _making(getattr(space, name), getattr(space, dtype), always=name in _REAL)
    return wide


def _making(function: Callable[..., Any], real: Any, *, always: bool) -> Callable[..., Any]:
    def wrapper(*args: Any, dtype: Any = None, **options: Any) -> Any:
        if dtype is None and (always or any(map(_is_real, args))):
            dtype = real
        return function(*args, **options) if dtype is None else function(*args, dtype=dtype, **options)

    return wrapper


def _is_real(value: Any) -> bool:
    """Whether these are Python's or NumPy's own real numbers, in lists or not, and no array."""
    if isinstance(value, list | tuple):
        return any(map(_is_real, value))
    return isinstance(value, float | np.floating)
