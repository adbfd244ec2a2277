"""A problem: what is differentiated, at which parameters, on which data, in which direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from model_spec.errors import InputError
from model_spec.row_file import OnDisk
from model_spec.spec import Logistic, Start


@dataclass(frozen=True, eq=False)
class Problem:
    """A specification with parameters, data and tangents: all that a derivative depends on.

    ``params`` and ``tangents`` are named like ``spec.shapes``; ``data`` holds ``X (S, F)`` and ``y (S,)``, as arrays or
    `OnDisk`. All are of the spec's dtype. ``seed`` is where parameters, tangents and perturbations were drawn from.
    """

    name: str
    spec: Logistic
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
        """Number of rows S."""
        return int(self.data["X"].shape[0])


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


def in_other_precision(problem: Problem) -> Problem:
    """The same problem in float32 for float64 and the reverse; every array rounded to that dtype."""
    spec = problem.spec.with_options(dtype="float32" if problem.spec.dtype == "float64" else "float64")
    params, data, tangents = (
        {name: array.astype(spec.dtype) for name, array in tree.items()}
        for tree in (problem.params, problem.data, problem.tangents)
    )
    return replace(problem, spec=spec, params=params, data=data, tangents=tangents)


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
