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
from typing import Any, Literal, Self, get_args

import numpy as np

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.space import DType, FloatArray, Parameters, ParameterSpace
from gradparity.model_spec.user_spec import UserSpec

__all__ = ["DType", "FloatArray", "Logistic", "Parameters", "ProjectedLogistic", "UserSpec", "from_dict", "to_dict"]

Formulation = Literal["as_written", "reassociated", "blocked"]
Numerics = Literal["stable", "naive"]
Reduction = Literal["sum", "mean"]
Start = Literal["random", "zeros"]

#: Standard deviation of the random start: small, and away from the saddle at zero.
START_SCALE = 0.1

#: Bytes of X that a block of the ``blocked`` formulation holds: its second reading then comes from a share of the L3
#: cache. Blocks of an eighth, for the L2 cache, took 1.5 times as long in NumPy and JAX and 1.9 times in PyTorch.
BLOCK_BYTES = 2**22


@dataclass(frozen=True, kw_only=True)
class Logistic(ParameterSpace):
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

    def in_dtype(self, dtype: DType) -> Self:
        """The same in another precision."""
        return replace(self, dtype=dtype)


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


#: What `to_dict` calls a model of the user's.
USER_KIND = "user"

_KINDS: dict[str, type[Logistic]] = {"logistic": Logistic, "projected_logistic": ProjectedLogistic}


def to_dict(spec: Logistic | UserSpec) -> dict[str, Any]:
    """The specification as plain values, with its kind, for messages and results."""
    if isinstance(spec, UserSpec):
        return {"kind": USER_KIND, **spec.to_dict()}
    kind = next(name for name, cls in _KINDS.items() if type(spec) is cls)
    return {"kind": kind, **asdict(spec)}


def from_dict(fields: Mapping[str, Any]) -> Logistic | UserSpec:
    """The specification that `to_dict` gave.

    Raises:
        InputError: the kind is unknown or a field is out of its range.
    """
    rest = dict(fields)
    kind = rest.pop("kind", None)
    if kind == USER_KIND:
        return UserSpec.from_dict(rest)
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
