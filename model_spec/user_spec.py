"""The user's own model as a specification: where it is, and the names, shapes and dtypes of its parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from typing import Any, Self

from gradparity.model_spec.space import DType, ParameterSpace
from gradparity.model_spec.trees import nest, plain_values

#: What the name of a leaf of the parameters begins with among the data, where it is a constant.
CONSTANT = "constant "


@dataclass(frozen=True, kw_only=True)
class UserSpec(ParameterSpace):
    """A model at a path. Everything but its code: that is loaded where it is called.

    Attributes:
        path: absolute path of the file or folder.
        parameters: name, shape and dtype of every parameter, in the tree's own order.
        forms: JSON of the nesting of parameters and of data, as `gradparity.model_spec.trees.structure` gives it; of
            shapes of ``constants`` among the parameters; of ``halves``, dtypes that were widened; and names of the data
            that have ``rows``.
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

    def whole(self, flat: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
        """Named parameters with the constants among them, which the data have, by path."""
        return {**flat, **{path: data[name] for path, name in self.constants.items()}}

    def nest_params(self, whole: Mapping[str, Any]) -> Any:
        """Parameters and constants by path as the tree that the user's functions take."""
        return nest(self._forms["params"], whole)

    def nest_data(self, flat: Mapping[str, Any]) -> Any:
        """Named data as the tree that the user's functions take, constants in their places."""
        return nest(self._forms["data"], flat)

    def nested(self, loss: Callable[..., Any]) -> Callable[..., Any]:
        """A loss of the user's, ``loss(params, data, *rest)`` of trees, as a function of named parameters and data."""

        @wraps(loss)
        def call(params: Mapping[str, Any], data: Mapping[str, Any], *rest: Any) -> Any:
            return loss(self.nest_params(self.whole(params, data)), self.nest_data(data), *rest)

        return call

    @cached_property
    def constants(self) -> dict[str, str]:
        """Leaves of the parameters that are not differentiated: by path, their names among the data."""
        return {path: f"{CONSTANT}{path}" for path in self._forms.get("constants", ())}

    @property
    def constant_shapes(self) -> dict[str, tuple[int, ...]]:
        """Their shapes by path."""
        return {path: tuple(shape) for path, shape in self._forms.get("constants", {}).items()}

    def in_dtype(self, dtype: DType) -> Self:
        """The same with every parameter of one dtype, which is computed in."""
        forms = json.dumps({name: value for name, value in self._forms.items() if name != "rounding"})
        return replace(self, forms=forms, parameters=tuple((name, shape, dtype) for name, shape, _ in self.parameters))

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for messages and results."""
        return {
            "path": self.path,
            "dtype": self.rounding,
            "parameters": [[name, list(shape), dtype] for name, shape, dtype in self.parameters],
            "forms": self._forms,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The specification that `to_dict` gave."""
        parameters = tuple((name, tuple(shape), dtype) for name, shape, dtype in fields["parameters"])
        return cls(path=fields["path"], parameters=parameters, forms=json.dumps(fields["forms"]))

    @property
    def rounding(self) -> str:
        """The precision that backends compute in: that of scalar results, or one that NumPy lacks."""
        return str(self._forms.get("rounding", self.dtype))

    def rounding_to(self, precision: str) -> Self:
        """The same, computed in a precision; its numbers are kept in the dtypes that they have."""
        return replace(self, forms=json.dumps({**self._forms, "rounding": precision}))

    @property
    def plain_data(self) -> dict[str, Any]:
        """What of the data is no array, by path."""
        return dict(plain_values(self._forms["data"]))

    @property
    def halves(self) -> list[str]:
        """Dtypes that parameters or data had before they were widened to float32."""
        return list(self._forms.get("halves", ()))

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the data with a leading axis of rows, over which the loss is said to be a sum or a mean."""
        return tuple(self._forms.get("rows", ()))

    @cached_property
    def _forms(self) -> Any:
        return json.loads(self.forms)
