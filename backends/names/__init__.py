"""What a framework's array namespace lacks of the names a neutral loss may use, one file for each framework.

Each file has ``NAMES``: functions by the names of the certified namespace, those of its parts as ``linalg.NAME``. They
are the framework's own functions wherever it has them, under another name or with other options. `gradparity.special`
takes its functions from here too. Nothing but a framework's own file imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any


def widened(space: ModuleType, names: Mapping[str, Any]) -> ModuleType:
    """A namespace with these names added, or in place of its own; what neither has is said with a cure.

    A module, since compilers know what a module's name stands for.
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
    return wide
