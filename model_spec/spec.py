"""The built-in models: what is computed, in no framework's terms.

Rows ``S``, features ``F``, projection width ``L``; data ``X (S, F)`` and labels ``y (S,)`` in {0, 1}.

    Logistic            z = X w                      parameters  w (F,)
    ProjectedLogistic   z = (X W) w                  parameters  w (L,), W (F, L)

    loss = sum_i [softplus(c z_i) - y_i c z_i]  (or its mean over rows)  +  l2 / 2 (|w|^2 + |W|_F^2)

For labels in {0, 1} each term equals softplus((1 - 2 y_i) c z_i), which does not cancel where the
row is classified well: that is the form every backend evaluates under ``numerics="stable"``.
``numerics="naive"`` is -log(p y + (1 - p) (1 - y)) with p = 1 / (1 + exp(-c z)), as people write it
at first: it overflows for large |z|.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from model_spec.errors import InputError

Formulation = Literal["as_written", "reassociated", "blocked"]
Numerics = Literal["stable", "naive"]
Reduction = Literal["sum", "mean"]
DType = Literal["float64", "float32"]
Start = Literal["random", "zeros"]

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Parameters: TypeAlias = dict[str, FloatArray]

#: Standard deviation of the random start: small, and away from the saddle at zero.
START_SCALE = 0.1

#: Bytes of X that a block of the ``blocked`` formulation holds: its second reading then comes from a share of the L3
#: cache. Blocks of an eighth, for the L2 cache, took 1.5 times as long in NumPy and JAX and 1.9 times in PyTorch.
BLOCK_BYTES = 2**22


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """Logistic regression without a projection: ``z = X w``, the model of HIPS autograd's example.

    ``logit_scale`` is c; the example's ``0.5 (tanh(x) + 1)`` is ``c = 2``. With one matrix there is nothing to
    reassociate: ``as_written`` and ``reassociated`` are the same here.

    Raises:
        InputError: a field is out of its range.
    """

    features: int
    logit_scale: float = 1.0
    formulation: Formulation = "as_written"
    numerics: Numerics = "stable"
    reduction: Reduction = "sum"
    l2: float = 0.0
    dtype: DType = "float64"
    block_bytes: int = BLOCK_BYTES

    def __post_init__(self) -> None:
        _require_count("features", self.features)
        _require_count("block_bytes", self.block_bytes)
        require_member("formulation", self.formulation, Formulation)
        require_member("numerics", self.numerics, Numerics)
        require_member("reduction", self.reduction, Reduction)
        require_member("dtype", self.dtype, DType)
        if not (_is_real(self.logit_scale) and math.isfinite(self.logit_scale) and self.logit_scale):
            raise InputError("logit_scale", got=self.logit_scale, expected="a finite number other than 0")
        if not (_is_real(self.l2) and math.isfinite(self.l2) and self.l2 >= 0):
            raise InputError("l2", got=self.l2, expected="a finite number of 0 or more")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by name, in the order of the flat vector."""
        return {"w": (self.features,)}

    @property
    def size(self) -> int:
        """Number of scalar parameters: the length of the flat vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def block_rows(self) -> int:
        """Rows in a block of the ``blocked`` formulation: those of ``block_bytes`` of X, which stay in the cache."""
        return max(1, self.block_bytes // (self.features * np.dtype(self.dtype).itemsize))

    def initial(self, seed: int = 0, start: Start = "random") -> Parameters:
        """Parameters to start from: seeded normal draws of standard deviation 0.1, or zeros.

        Zeros are a saddle of ProjectedLogistic: both gradients vanish there and descent never leaves.
        """
        require_member("start", start, Start)
        if start == "zeros":
            return {name: np.zeros(shape, self.dtype) for name, shape in self.shapes.items()}
        rng = np.random.default_rng(seed)
        return {
            name: (START_SCALE * rng.standard_normal(shape)).astype(self.dtype) for name, shape in self.shapes.items()
        }

    def pack(self, parameters: Mapping[str, npt.ArrayLike]) -> FloatArray:
        """The flat vector ``[w, W.ravel()]`` of named parameters, shape ``(size,)``.

        Raises:
            InputError: a name is missing or unknown, or a shape does not fit.
        """
        checked = self.validate(parameters)
        return np.concatenate([checked[name].ravel() for name in self.shapes])

    def unpack(self, vector: npt.ArrayLike) -> Parameters:
        """Named parameters from the flat vector; views where NumPy can give them.

        ``w`` takes the first L entries, not the first F: the two agree only where ``L == F``.

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

    @property
    def layout(self) -> str:
        """The flat vector in words, for messages: ``w (5,), W (30, 5)``."""
        return ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())

    def validate(self, parameters: Mapping[str, npt.ArrayLike]) -> Parameters:
        """The same parameters as arrays, with names and shapes checked.

        Raises:
            InputError: a name is missing or unknown, or a shape does not fit.
        """
        if set(parameters) != set(self.shapes):
            raise InputError("parameter names", got=sorted(parameters), expected=str(sorted(self.shapes)))
        arrays = {name: np.asarray(parameters[name]) for name in self.shapes}
        for name, shape in self.shapes.items():
            if arrays[name].shape != shape:
                raise InputError(f"parameter {name}", got=f"shape {arrays[name].shape}", expected=f"shape {shape}")
        return arrays

    def with_options(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated like any other."""
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class ProjectedLogistic(Logistic):
    """A learned projection, then logistic regression, trained together: ``z = (X W) w``.

    Closed form, with ``r = c (sigmoid(c z) - y)`` and ``g = X^T r``: ``dw = W^T g``, ``dW = g w^T``.

    ``formulation`` is how ``z`` is computed: ``as_written`` multiplies ``(X W) w``, ``reassociated``
    ``X (W w)``, and ``blocked`` does the latter over blocks of rows that stay in the cache.

    Raises:
        InputError: a field is out of its range.
    """

    projection: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_count("projection", self.projection)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by name, in the order of the flat vector."""
        return {"w": (self.projection,), "W": (self.features, self.projection)}


_KINDS: dict[str, type[Logistic]] = {"logistic": Logistic, "projected_logistic": ProjectedLogistic}


def to_dict(spec: Logistic) -> dict[str, Any]:
    """The specification as plain values, with its kind, for messages and results."""
    kind = next(name for name, cls in _KINDS.items() if type(spec) is cls)
    return {"kind": kind, **asdict(spec)}


def from_dict(fields: Mapping[str, Any]) -> Logistic:
    """The specification that `to_dict` gave.

    Raises:
        InputError: the kind is unknown or a field is out of its range.
    """
    rest = dict(fields)
    kind = rest.pop("kind", None)
    if kind not in _KINDS:
        raise InputError("model kind", got=kind, expected=f"one of {', '.join(_KINDS)}")
    return _KINDS[kind](**rest)


def _require_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(name, got=value, expected="an integer of 1 or more")


def require_member(name: str, value: object, literal: Any) -> None:
    """Raise `InputError` unless ``value`` is one of a ``Literal``'s."""
    members = get_args(literal)
    if value not in members:
        raise InputError(name, got=repr(value), expected=f"one of {', '.join(members)}")


def _is_real(value: object) -> bool:
    return isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)
