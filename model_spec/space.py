"""Named parameters and the flat vector of all of them: what every specification has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.errors import InputError

DType = Literal["float64", "float32"]
#: Precisions that NumPy has no numbers of: they are kept in float32.
Half = Literal["bfloat16", "float16"]
AnyDType = Literal[DType, Half]

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Parameters: TypeAlias = dict[str, FloatArray]


class ParameterSpace:
    """Parameters by name, each of one shape and one dtype, in the order of the flat vector.

    A name is a dotted path where the parameters are nested: ``layers.0.W``.
    """

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by name, in the order of the flat vector."""
        raise NotImplementedError

    @property
    def dtype(self) -> DType:
        """The precision of scalar results: float32 if any parameter has it, float64 otherwise."""
        raise NotImplementedError

    @property
    def rounding(self) -> str:
        """The precision that backends compute in, a name of `precisions.PRECISIONS`; mostly ``dtype``."""
        return self.dtype

    @property
    def rounding_apart(self) -> str | None:
        """The same, where it is another than the dtypes of the parameters."""
        return self.rounding if self.rounding != self.dtype else None

    def rounding_to(self, precision: str) -> Self:
        """The same, computed in a precision whose numbers are kept in float32.

        Raises:
            InputError: it has no other.
        """
        expected, cure = "float64 or float32", "Half precision is for models of yours."
        raise InputError("--dtype", got=precision, expected=expected, cure=cure)

    @property
    def dtypes(self) -> dict[str, DType]:
        """Dtype of every parameter by name."""
        return dict.fromkeys(self.shapes, self.dtype)

    @property
    def size(self) -> int:
        """Number of scalar parameters: the length of the flat vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def layout(self) -> str:
        """The flat vector in words, for messages: ``w (5,), W (30, 5)``."""
        return ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())

    def in_dtype(self, dtype: DType) -> Self:
        """The same with every parameter of one dtype."""
        raise NotImplementedError

    def pack(self, parameters: Mapping[str, npt.ArrayLike]) -> FloatArray:
        """The flat vector of named parameters, ``[w, W.ravel()]`` of the built-in model, shape ``(size,)``.

        Raises:
            InputError: a name is missing or unknown, or a shape does not fit.
        """
        checked = self.validate(parameters)
        return np.concatenate([checked[name].ravel() for name in self.shapes])

    def unpack(self, vector: npt.ArrayLike) -> Parameters:
        """Named parameters from the flat vector, in its dtype; views where NumPy can give them.

        Of the built-in model, ``w`` takes the first L entries, not the first F: the two agree only where ``L == F``.

        Raises:
            InputError: the vector does not have ``size`` entries.
        """
        flat = np.asarray(vector)
        if flat.shape != (self.size,):
            raise InputError(
                "flat parameter vector", got=f"shape {flat.shape}", expected=f"shape {(self.size,)}: {self.layout}"
            )
        parameters, begin = {}, 0
        for name, shape in self.shapes.items():
            end = begin + math.prod(shape)
            parameters[name] = flat[begin:end].reshape(shape)
            begin = end
        return parameters

    def rounded(self, parameters: Mapping[str, FloatArray]) -> Parameters:
        """The same parameters, each in its own dtype."""
        dtypes = self.dtypes
        return {name: value.astype(dtypes[name], copy=False) for name, value in parameters.items()}

    def validate(self, parameters: Mapping[str, npt.ArrayLike]) -> Parameters:
        """The same parameters as arrays, with names and shapes checked.

        Raises:
            InputError: a name is missing or unknown, or a shape does not fit.
        """
        shapes = self.shapes
        if set(parameters) != set(shapes):
            raise InputError("parameter names", got=sorted(parameters), expected=str(sorted(shapes)))
        arrays = {name: np.asarray(parameters[name]) for name in shapes}
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise InputError(f"parameter {name}", got=f"shape {arrays[name].shape}", expected=f"shape {shape}")
        return arrays
