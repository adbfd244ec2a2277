"""The user's own model as a specification: where it is, and the names, shapes and dtypes of its parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from gradparity.model_spec.space import DType, ParameterSpace
from gradparity.model_spec.trees import nest


@dataclass(frozen=True, kw_only=True)
class UserSpec(ParameterSpace):
    """A model at a path. Everything but its code: that is loaded where it is called.

    Attributes:
        path: absolute path of the file or folder.
        parameters: name, shape and dtype of every parameter, in the tree's own order.
        forms: JSON of the nesting of parameters and of data, as `gradparity.model_spec.trees.structure` gives it.
    """

    path: str
    parameters: tuple[tuple[str, tuple[int, ...], DType], ...]
    forms: str = field(repr=False)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by name, in the order of the flat vector."""
        return {name: shape for name, shape, _ in self.parameters}

    @property
    def dtypes(self) -> dict[str, DType]:
        """Dtype of every parameter by name."""
        return {name: dtype for name, _, dtype in self.parameters}

    @property
    def dtype(self) -> DType:
        """The precision of scalar results: float32 if any parameter has it, float64 otherwise."""
        return "float32" if "float32" in self.dtypes.values() else "float64"

    def nest_params(self, flat: Mapping[str, Any]) -> Any:
        """Named parameters as the tree that the user's functions take."""
        return nest(self._forms["params"], flat)

    def nest_data(self, flat: Mapping[str, Any]) -> Any:
        """Named data as the tree that the user's functions take, constants in their places."""
        return nest(self._forms["data"], flat)

    def in_dtype(self, dtype: DType) -> Self:
        """The same with every parameter of one dtype."""
        return replace(self, parameters=tuple((name, shape, dtype) for name, shape, _ in self.parameters))

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for messages and results."""
        return {
            "path": self.path,
            "dtype": self.dtype,
            "parameters": [[name, list(shape), dtype] for name, shape, dtype in self.parameters],
            "forms": self._forms,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The specification that `to_dict` gave."""
        parameters = tuple((name, tuple(shape), dtype) for name, shape, dtype in fields["parameters"])
        return cls(path=fields["path"], parameters=parameters, forms=json.dumps(fields["forms"]))

    @cached_property
    def _forms(self) -> Any:
        return json.loads(self.forms)
