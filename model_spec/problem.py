"""A problem: what is differentiated, at which parameters, on which data, in which direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.data.row_file import OnDisk
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.precisions import HALVES, PRECISIONS
from gradparity.model_spec.space import AnyDType, DType, ParameterSpace
from gradparity.model_spec.spec import Logistic, Start
from gradparity.model_spec.user_spec import UserSpec

_AnyProblem = TypeVar("_AnyProblem", bound="AnyProblem")


@dataclass(frozen=True, eq=False)
class AnyProblem:
    """A specification with parameters, data and tangents: all that a derivative depends on.

    ``params`` and ``tangents`` are named, shaped and typed as ``spec`` says. ``seed`` is where parameters, tangents and
    perturbations were drawn from.
    """

    name: str
    spec: ParameterSpace
    params: Mapping[str, npt.NDArray[Any]]
    data: Mapping[str, Any]
    tangents: Mapping[str, npt.NDArray[Any]] = field(repr=False)
    seed: int = 0

    @property
    def on_disk(self) -> bool:
        """Whether the data are read from a file in pieces, and may not fit into memory."""
        return any(isinstance(value, OnDisk) for value in self.data.values())

    @property
    def rows(self) -> int:
        """Number of rows: the longest leading dimension of the data; 0 without any."""
        return max((int(value.shape[0]) for value in self.data.values() if value.ndim), default=0)

    @property
    def cells(self) -> int:
        """Number of data and parameters, which the cost of an evaluation goes by: entries of X for a built-in model."""
        return sum(value.size for tree in (self.data, self.params) for value in tree.values())

    @property
    def data_bytes(self) -> int:
        """Size of the data."""
        return sum(value.nbytes for value in self.data.values())

    def cast(self, dtype: AnyDType) -> Self:
        """The same problem with every real array rounded to ``dtype``; half precision is kept in float32.

        Raises:
            InputError: a number is beyond the range of half precision.
        """
        if dtype in HALVES:
            return self._halved(dtype)
        params, data, tangents = (
            {name: value.astype(dtype) if value.dtype.kind == "f" else value for name, value in tree.items()}
            for tree in (self.params, self.data, self.tangents)
        )
        dtype = cast("DType", dtype)
        return replace(self, spec=self.spec.in_dtype(dtype), params=params, data=data, tangents=tangents)

    def _halved(self, precision: str) -> Self:
        def rounded(name: str, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
            if value.dtype.kind != "f":
                return value
            found = PRECISIONS[precision].rounded(value)
            if np.isinf(found).any() and not np.isinf(value).any():
                got, largest = f"numbers up to {np.abs(value).max():.3g}", PRECISIONS[precision].largest
                raise InputError(f"{name} in {precision}", got=got, expected=f"numbers up to {largest:.3g}")
            return found.astype(np.float32)

        params, data, tangents = (
            {name: rounded(name, value) for name, value in tree.items()}
            for tree in (self.params, self.data, self.tangents)
        )
        spec = self.spec.in_dtype("float32").rounding_to(precision)
        return replace(self, spec=spec, params=params, data=data, tangents=tangents)


@dataclass(frozen=True, eq=False)
class Problem(AnyProblem):
    """A built-in model's problem; ``data`` holds ``X (S, F)`` and ``y (S,)``, or `OnDisk`, of the spec's dtype."""

    spec: Logistic

    @property
    def cells(self) -> int:
        """Entries of X."""
        return int(self.data["X"].size)


@dataclass(frozen=True, eq=False)
class UserProblem(AnyProblem):
    """A problem of the user's own model: named arrays of any shape, data of any real, integer or boolean dtype."""

    spec: UserSpec

    @property
    def rows(self) -> int:
        """Number of rows: the longest leading dimension of the data, constants among the parameters aside."""
        constants = set(self.spec.constants.values())
        data = (value for name, value in self.data.items() if name not in constants)
        return max((int(value.shape[0]) for value in data if value.ndim), default=0)

    def at(self, params: Mapping[str, npt.NDArray[Any]], data: Mapping[str, Any], seed: int) -> Self:
        """The same model at other parameters and data, of any shapes, of another seed; tangents are ones."""
        shaped = tuple((name, params[name].shape, dtype) for name, _, dtype in self.spec.parameters)
        tangents = {name: np.ones_like(value) for name, value in params.items()}
        spec = replace(self.spec, parameters=shaped)
        return replace(self, spec=spec, params=params, data=data, tangents=tangents, seed=seed)


@dataclass(frozen=True)
class Batch:
    """What one step of training takes: arrays by path, and the JSON of their nesting in the user's code."""

    form: str
    arrays: dict[str, npt.NDArray[Any]]


def make_problem(
    name: str,
    spec: Logistic,
    X: npt.ArrayLike | OnDisk,
    y: npt.ArrayLike | OnDisk,
    *,
    seed: int = 0,
    start: Start = "random",
) -> Problem:
    """A problem of a built-in model: data rounded once to the spec's dtype, parameters and tangents drawn.

    Raises:
        InputError: X and y do not fit each other or the specification, or hold no finite value of that dtype.
    """
    data = {"X": _rounded("X", X, spec), "y": _rounded("y", y, spec)}
    if data["X"].ndim != 2 or data["X"].shape[1] != spec.features:
        raise InputError("data X", got=f"shape {data['X'].shape}", expected=f"shape (rows, {spec.features})")
    if data["y"].shape != data["X"].shape[:1]:
        raise InputError("data y", got=f"shape {data['y'].shape}", expected=f"shape {data['X'].shape[:1]}")
    rng = np.random.default_rng([seed, 1])  # apart from the stream that the parameters come from
    tangents = {name: rng.standard_normal(shape).astype(spec.dtype) for name, shape in spec.shapes.items()}
    return Problem(name, spec, spec.initial(seed, start), data, tangents, seed)


def in_other_precision(problem: _AnyProblem) -> _AnyProblem:
    """The same problem in float32 where all of it is float64, and otherwise in float64; every array rounded to it.

    Of half precision it is float32: its numbers are the same there.
    """
    if problem.spec.rounding in HALVES:
        return problem.cast("float32")
    return problem.cast("float64" if "float32" in problem.spec.dtypes.values() else "float32")


def _rounded(name: str, values: npt.ArrayLike | OnDisk, spec: Logistic) -> Any:
    if isinstance(values, OnDisk):
        with np.errstate(over="ignore"):
            finite = np.isfinite(np.asarray(values.file.largest).astype(spec.dtype))
        if not finite:
            got, expected = f"values of up to {values.file.largest:g}", "finite numbers of that dtype"
            raise InputError(f"data {name} as {spec.dtype}", got=got, expected=expected)
        return values.astype(spec.dtype)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(values, spec.dtype)
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(
            f"data {name} as {spec.dtype}", got=f"{array[where]} at {where}", expected="finite numbers of that dtype"
        )
    return array
