"""NumPy's functions that torch lacks or means otherwise; NumPy's own arrays are taken for tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

import array_api_compat.torch as base
import numpy as np
import torch

from gradparity.backends.names.composed import others, selections, without_nan
from gradparity.backends.names.torch_calls import CALLS


def _tensor(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return torch.as_tensor(np.ascontiguousarray(x))
    return type(x)(map(_tensor, x)) if type(x) in (list, tuple) else x


def _tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        return function(*map(_tensor, args), **{name: _tensor(value) for name, value in options.items()})

    return wrapper


def _pick(x: Any, order: Any) -> Any:
    return torch.take_along_dim(x, order, -1)


def split(x: Any, parts: Any, axis: int = 0) -> Any:
    """Into so many equal parts, or at these positions."""
    if isinstance(parts, int) and x.shape[axis] % parts:
        raise ValueError("array split does not result in an equal division")
    return list(torch.tensor_split(x, parts if isinstance(parts, int) else tuple(parts), dim=axis))


def diag(x: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or the diagonal matrix of a vector."""
    return torch.diag(x, k)


def full(shape: Any, value: Any, dtype: Any = None, **options: Any) -> Any:
    """An array of one value, which may be a tensor."""
    if isinstance(value, torch.Tensor):
        return torch.broadcast_to(
            value if dtype is None else value.to(dtype), (shape,) if isinstance(shape, int) else tuple(shape)
        )
    return base.full(shape, value, dtype=dtype, **options)


def linspace(start: Any, stop: Any, num: int = 50, *, endpoint: bool = True, dtype: Any = None, **options: Any) -> Any:
    """Evenly spaced numbers, between tensors too."""
    ends = [x for x in (start, stop) if isinstance(x, torch.Tensor)]
    if not ends:
        return base.linspace(start, stop, num, endpoint=endpoint, dtype=dtype, **options)
    steps = torch.arange(num, dtype=ends[0].dtype)
    return start + steps * ((stop - start) / max(num - 1 if endpoint else num, 1))


def array(value: Any, dtype: Any = None, **options: Any) -> Any:
    """Lists may hold tensors."""
    if isinstance(value, list | tuple) and any(isinstance(x, torch.Tensor | list | tuple) for x in value):
        rows = [array(x, dtype) if isinstance(x, list | tuple) else x for x in value]
        like = next((x for x in rows if isinstance(x, torch.Tensor)), None)
        if like is not None:
            return torch.stack(
                [x if isinstance(x, torch.Tensor) else torch.as_tensor(x, dtype=like.dtype) for x in rows]
            )
    return base.asarray(value, dtype=dtype, **options)


def mean(x: Any, axis: Any = None, **options: Any) -> Any:
    """Of whole numbers and truth values too."""
    return CALLS["mean"](x if x.dtype.is_floating_point else x.to(torch.float64), axis, **options)


def round(x: Any, decimals: int = 0) -> Any:  # noqa: A001 (NumPy's name)
    """The nearest number with so many decimals, of two the even one."""
    if not x.dtype.is_floating_point:
        return x
    return torch.round(x * 10.0**decimals) / 10.0**decimals if decimals else torch.round(x)


def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8) -> Any:
    """``|a - b| <= atol + rtol |b|``."""
    return (torch.abs(a - b) <= atol + rtol * torch.abs(torch.as_tensor(b))) | (a == b)


def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """No numbers replaced by `nan`, infinities by the ends of the dtype or what is given."""
    del copy
    return torch.nan_to_num(x, nan, posinf, neginf)


def _triangle(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda n, k=0, m=None: tuple(function(n, n if m is None else m, k))


_SPACE = SimpleNamespace(**{**vars(base), **CALLS, "full": full})

_SELECTIONS = selections(_SPACE, lambda x: x.detach() if isinstance(x, torch.Tensor) else x, _pick)


def quantile(x: Any, q: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """At a q that may be a tensor, whose numbers cannot be read within a derivative of a derivative."""
    if not isinstance(q, torch.Tensor):
        return _SELECTIONS["quantile"](x, q, axis, keepdims=keepdims)
    if q.ndim:
        return torch.stack([quantile(x, each, axis, keepdims=keepdims) for each in q])
    axes = [*range(x.ndim)] if axis is None else [i % x.ndim for i in np.atleast_1d(axis).tolist()]
    kept = [i for i in range(x.ndim) if i not in axes]
    rows = _SELECTIONS["sort"](torch.permute(x, (*kept, *axes)).reshape(*(x.shape[i] for i in kept), -1))
    last = rows.shape[-1] - 1
    position = q.detach().to(torch.float64) * last
    low = position.floor().clamp(0, last)
    ends = [rows.index_select(-1, i.clamp(max=last).to(torch.int64).reshape(1))[..., 0] for i in (low, low + 1)]
    out = ends[0] + (position - low).to(x.dtype) * (ends[1] - ends[0])
    return out.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else out


def percentile(x: Any, q: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The same by hundredths."""
    return quantile(x, (q if isinstance(q, torch.Tensor) else np.asarray(q)) / 100, axis, keepdims=keepdims)


_COMPOSED = {**without_nan(_SPACE, torch.detach), **others(_SPACE)}
NAMES: dict[str, Any] = {
    **{name: _tensors(function) for name, function in {
        **{name: f for name, f in _SELECTIONS.items() if name not in ("quantile", "percentile")},
        **_COMPOSED,
        **{name: getattr(base, name) for name in ("concat", "concatenate", "stack", "take", "take_along_axis", "where")
           if hasattr(base, name)},
        "arctan2": torch.arctan2, "nan_to_num": nan_to_num, "isposinf": torch.isposinf, "isneginf": torch.isneginf,
        "array_equal": torch.equal, "isclose": isclose, "round": round, "around": round, "rint": torch.round,
        "allclose": lambda a, b, rtol=1e-5, atol=1e-8: isclose(a, b, rtol, atol).all(),
        "cross": lambda a, b, axis=-1: torch.linalg.cross(a, b, dim=axis), "kron": torch.kron,
    }.items()},
    "quantile": quantile, "percentile": percentile,
    "full_like": lambda x, value, dtype=None: full(tuple(x.shape), value, x.dtype if dtype is None else dtype),
    "xlogy": _tensors(torch.special.xlogy), "xlog1py": _tensors(torch.special.xlog1py),
    "array": array, "asarray": array, "degrees": torch.rad2deg, "diag": diag,
    "diag_indices": lambda n, ndim=2: (torch.arange(n),) * ndim, "fabs": torch.abs, "fix": torch.trunc, "full": full,
    "linspace": linspace, "mean": mean, "ndim": lambda x: x.ndim,
    "outer": lambda a, b: torch.outer(torch.ravel(a), torch.ravel(b)), "radians": torch.deg2rad,
    "shape": lambda x: tuple(x.shape), "size": lambda x: math.prod(x.shape), "split": split,
    "trace": lambda x, offset=0, axis1=0, axis2=1: torch.diagonal(x, offset, axis1, axis2).sum(-1),
    "tril_indices": _triangle(torch.tril_indices), "triu_indices": _triangle(torch.triu_indices),
    "vdot": lambda a, b: torch.dot(torch.ravel(a), torch.ravel(b)),
}  # fmt: skip
#: What is more than another name or other options.
OURS = frozenset({*_SELECTIONS, *_COMPOSED})
