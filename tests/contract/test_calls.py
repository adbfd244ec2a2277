"""Names as NumPy's users call them, with defaults and options, are the same in every namespace that a loss is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.backends.names import of_dtype
from gradparity.truth.xp.namespace import xp as certified
from tests.conftest import configured

X = np.random.default_rng(5).standard_normal((3, 4))
V = X[0]
S = X[:, :3] @ X[:, :3].T + np.eye(3)

#: Of the namespace, a matrix of shape (3, 4), a vector of length 4, and a positive definite matrix of shape (3, 3).
CALLS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    **{name: lambda xp, x, v, s, name=name: getattr(xp, name)(x) for name in (
        "sum", "mean", "std", "var", "prod", "max", "min", "amax", "amin", "cumsum", "cumprod", "argmax", "argmin",
        "abs", "absolute", "exp", "flip", "ravel", "squeeze", "transpose", "diff", "tril", "triu", "sign",
        "floor", "ceil", "square", "reciprocal", "negative", "positive", "diag", "diagonal", "trace", "zeros_like",
        "ones_like", "nonzero", "isfinite", "isnan", "isinf", "atleast_1d", "atleast_2d", "count_nonzero", "copy",
    ) if hasattr(np, name) and hasattr(certified, name)},
    "sum of an axis": lambda xp, x, v, s: xp.sum(x, axis=0),
    "sum of a pair of axes": lambda xp, x, v, s: xp.sum(x, axis=(0, 1)),
    "sum, axes kept": lambda xp, x, v, s: xp.sum(x, axis=1, keepdims=True),
    "sum by position": lambda xp, x, v, s: xp.sum(x, 1),
    "sum of truth": lambda xp, x, v, s: xp.sum(x > 0),
    "mean of an axis": lambda xp, x, v, s: xp.mean(x, axis=-1),
    "mean by position": lambda xp, x, v, s: xp.mean(x, 0),
    "std with ddof": lambda xp, x, v, s: xp.std(x, axis=0, ddof=1),
    "var with ddof": lambda xp, x, v, s: xp.var(x, ddof=1),
    "var, axes kept": lambda xp, x, v, s: xp.var(x, axis=0, keepdims=True),
    "max of an axis": lambda xp, x, v, s: xp.max(x, axis=1),
    "max of two axes": lambda xp, x, v, s: xp.max(x, axis=(0, 1)),
    "min, axes kept": lambda xp, x, v, s: xp.min(x, axis=0, keepdims=True),
    "prod of an axis": lambda xp, x, v, s: xp.prod(x, axis=1),
    "cumsum of a vector": lambda xp, x, v, s: xp.cumsum(v),
    "cumsum of an axis": lambda xp, x, v, s: xp.cumsum(x, axis=1),
    "cumprod of an axis": lambda xp, x, v, s: xp.cumprod(x, axis=0),
    "maximum of a number": lambda xp, x, v, s: xp.maximum(x, 0.0),
    "maximum of an integer": lambda xp, x, v, s: xp.maximum(0, x),
    "minimum of a number": lambda xp, x, v, s: xp.minimum(x, 0.5),
    "where of numbers": lambda xp, x, v, s: xp.where(x > 0, 1.0, -1.0) * x,
    "where of a number": lambda xp, x, v, s: xp.where(x > 0, x, 0.0),
    "where of broadcast arrays": lambda xp, x, v, s: xp.where(v > 0, x, v),
    "clip": lambda xp, x, v, s: xp.clip(x, -0.5, 0.5),
    "clip of one side": lambda xp, x, v, s: xp.clip(x, 0.0, None),
    "power": lambda xp, x, v, s: xp.power(x, 2),
    "power of a number": lambda xp, x, v, s: xp.power(2.0, x),
    "mod": lambda xp, x, v, s: xp.mod(x, 0.7),
    "remainder": lambda xp, x, v, s: xp.remainder(x, 0.7),
    "floor_divide": lambda xp, x, v, s: xp.floor_divide(x, 0.7),
    "hypot": lambda xp, x, v, s: xp.hypot(x, v),
    "logaddexp": lambda xp, x, v, s: xp.logaddexp(x, v),
    "logaddexp of a number": lambda xp, x, v, s: xp.logaddexp(0.0, x),
    "concatenate": lambda xp, x, v, s: xp.concatenate([x, x]),
    "concatenate of an axis": lambda xp, x, v, s: xp.concatenate((x, x), axis=1),
    "stack": lambda xp, x, v, s: xp.stack([v, v]),
    "stack of an axis": lambda xp, x, v, s: xp.stack([v, v], axis=-1),
    "hstack": lambda xp, x, v, s: xp.hstack([v, v]),
    "vstack": lambda xp, x, v, s: xp.vstack([x, v]),
    "split": lambda xp, x, v, s: xp.split(v, 2)[1],
    "reshape": lambda xp, x, v, s: xp.reshape(x, (4, 3)),
    "reshape to one axis": lambda xp, x, v, s: xp.reshape(x, -1),
    "method reshape": lambda xp, x, v, s: x.reshape(2, 6),
    "method sum": lambda xp, x, v, s: x.sum(),
    "method mean of an axis": lambda xp, x, v, s: x.mean(axis=0),
    "method sum, axes kept": lambda xp, x, v, s: x.sum(axis=1, keepdims=True),
    "method T": lambda xp, x, v, s: x.T,
    "transpose of axes": lambda xp, x, v, s: xp.transpose(x[None], (2, 0, 1)),
    "swapaxes": lambda xp, x, v, s: xp.swapaxes(x, 0, 1),
    "moveaxis": lambda xp, x, v, s: xp.moveaxis(x[None], 0, -1),
    "expand_dims": lambda xp, x, v, s: xp.expand_dims(x, 1),
    "squeeze of an axis": lambda xp, x, v, s: xp.squeeze(x[None], axis=0),
    "broadcast_to": lambda xp, x, v, s: xp.broadcast_to(v, (2, 4)),
    "tile": lambda xp, x, v, s: xp.tile(v, 2),
    "tile of both axes": lambda xp, x, v, s: xp.tile(x, (2, 1)),
    "repeat": lambda xp, x, v, s: xp.repeat(v, 2),
    "repeat of an axis": lambda xp, x, v, s: xp.repeat(x, 2, axis=0),
    "roll": lambda xp, x, v, s: xp.roll(v, 1),
    "roll of an axis": lambda xp, x, v, s: xp.roll(x, 1, axis=1),
    "flip of an axis": lambda xp, x, v, s: xp.flip(x, axis=0),
    "flip by position": lambda xp, x, v, s: xp.flip(x, 1),
    "take": lambda xp, x, v, s: xp.take(v, xp.asarray([2, 0]), axis=0),
    "take_along_axis": lambda xp, x, v, s: xp.take_along_axis(x, xp.asarray([[2], [0], [1]]), axis=1),
    "diag of a vector": lambda xp, x, v, s: xp.diag(v),
    "tril of an offset": lambda xp, x, v, s: xp.tril(x, -1),
    "trace of a matrix": lambda xp, x, v, s: xp.trace(s),
    "outer": lambda xp, x, v, s: xp.outer(v, v),
    "inner": lambda xp, x, v, s: xp.inner(v, v),
    "dot": lambda xp, x, v, s: xp.dot(x, v),
    "dot of matrices": lambda xp, x, v, s: xp.dot(s, x),
    "vdot": lambda xp, x, v, s: xp.vdot(v, v),
    "matmul": lambda xp, x, v, s: xp.matmul(s, x),
    "operator @": lambda xp, x, v, s: x @ v,
    "tensordot": lambda xp, x, v, s: xp.tensordot(s, x, axes=1),
    "tensordot of pairs": lambda xp, x, v, s: xp.tensordot(x, x, axes=([0], [0])),
    "einsum": lambda xp, x, v, s: xp.einsum("ij,kj->ik", x, x),
    "einsum of three": lambda xp, x, v, s: xp.einsum("i,ij,j->", s[0], x, v),
    "linspace": lambda xp, x, v, s: xp.linspace(0.0, 1.0, 5) * v[0],
    "arange": lambda xp, x, v, s: xp.arange(4) * v,
    "arange of reals": lambda xp, x, v, s: xp.arange(0.0, 1.0, 0.25) * v,
    "eye": lambda xp, x, v, s: xp.eye(3) @ x,
    "zeros and ones": lambda xp, x, v, s: xp.zeros((3, 4)) + xp.ones(4) * x,
    "full": lambda xp, x, v, s: xp.full((3, 4), 2.0) * x,
    "array of numbers": lambda xp, x, v, s: xp.array([1.0, 2.0, 3.0, 4.0]) * v,
    "asarray of numbers": lambda xp, x, v, s: xp.asarray([1.0, 2.0, 3.0, 4.0]) * v,
    "any and all": lambda xp, x, v, s: xp.where(xp.any(x > 0, axis=1), 1.0, 0.0) + xp.where(xp.all(x > -9), 1.0, 0.0),
    "logical_and": lambda xp, x, v, s: xp.where(xp.logical_and(x > 0, x < 1), x, 0 * x),
    "logical_not": lambda xp, x, v, s: xp.where(xp.logical_not(x > 0), x, 0 * x),
    "argmax of an axis": lambda xp, x, v, s: xp.argmax(x, axis=1),
    "norm": lambda xp, x, v, s: xp.linalg.norm(v),
    "norm of rows": lambda xp, x, v, s: xp.linalg.norm(x, axis=1),
    "norm of a matrix": lambda xp, x, v, s: xp.linalg.norm(x),
    "norm of order 1": lambda xp, x, v, s: xp.linalg.norm(v, 1),
    "solve": lambda xp, x, v, s: xp.linalg.solve(s, x),
    "solve of a vector": lambda xp, x, v, s: xp.linalg.solve(s, x[:, 0]),
    "inv": lambda xp, x, v, s: xp.linalg.inv(s),
    "det": lambda xp, x, v, s: xp.linalg.det(s),
    "slogdet": lambda xp, x, v, s: xp.linalg.slogdet(s)[1],
    "cholesky": lambda xp, x, v, s: xp.linalg.cholesky(s),
    "cross entropy by hand": lambda xp, x, v, s: x[xp.arange(3), xp.asarray([0, 3, 1])],
    "newaxis": lambda xp, x, v, s: v[:, xp.newaxis] * v[None, :],
    "ellipsis": lambda xp, x, v, s: x[..., 0],
    "astype": lambda xp, x, v, s: xp.where(x > 0, xp.ones_like(x), xp.zeros_like(x)) * x,
    "pi": lambda xp, x, v, s: xp.pi * v,
    "log1p and expm1": lambda xp, x, v, s: xp.log1p(xp.expm1(xp.abs(x))),
    "abs of a number": lambda xp, x, v, s: abs(x),
    "power operator": lambda xp, x, v, s: x**2 + xp.abs(x) ** 0.5,
}  # fmt: skip


def values(namespace: Any, put: Callable[[Any], Any], call: Callable[[Any, Any, Any, Any], Any]) -> Any:
    return call(namespace, *map(put, (X, V, S)))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("backend", ["autograd", "jax", "torch"])
def test_a_call_means_the_same_in_every_namespace(backend: str, call: str) -> None:
    framework = configured(backend)
    found = values(of_dtype(framework.namespace(), "float64"), lambda x: framework.put({"": x})[""], CALLS[call])
    expected = values(np, lambda x: x, CALLS[call])
    parts = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    for one, known in parts:
        got = np.asarray(framework.get({"": one})[""])
        assert got.shape == np.shape(known)
        np.testing.assert_allclose(got, known, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["autograd", "jax", "torch"])
def test_new_arrays_of_real_numbers_have_the_dtype_of_the_model(backend: str, dtype: str) -> None:
    framework = configured(backend)
    xp = of_dtype(framework.namespace(), dtype)
    made = {
        "zeros": xp.zeros(3), "ones": xp.ones((2, 2)), "eye": xp.eye(2), "linspace": xp.linspace(0, 1, 3),
        "full": xp.full((2,), 0.1), "arange": xp.arange(0.0, 1.0, 0.5), "array": xp.array([0.1, 2]),
        "asarray": xp.asarray(0.1), "rows": xp.asarray([[1, 0.1], [2, 3]]),
    }  # fmt: skip
    assert {name: np.asarray(framework.get({"": each})[""]).dtype for name, each in made.items()} == dict.fromkeys(
        made, np.dtype(dtype)
    )
    assert framework.get({"": xp.full((2,), 0.1)})[""][0] == np.dtype(dtype).type(0.1)
    kept = {"integers": xp.asarray([1, 2]), "positions": xp.arange(3), "asked for": xp.zeros(2, dtype=xp.float32)}
    kinds = {name: np.asarray(framework.get({"": each})[""]).dtype for name, each in kept.items()}
    assert [kinds["integers"].kind, kinds["positions"].kind, kinds["asked for"]] == ["i", "i", np.dtype("float32")]
    for other in ("float32", "float64"):
        array = framework.put({"": np.ones(2, other)})[""]
        assert np.asarray(framework.get({"": xp.asarray(array)})[""]).dtype == other


@pytest.mark.parametrize("call", CALLS)
def test_a_call_means_the_same_in_the_certified_namespace(call: str) -> None:
    from gradparity.truth.numbers.arrays import asarray
    from gradparity.truth.numbers.enclosure import Enclosures

    found, expected = values(certified, asarray, CALLS[call]), values(np, lambda x: x, CALLS[call])
    parts = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    for one, known in parts:
        got = Enclosures(one.balls()[0]).as_longdouble() if one.is_real else one.series[0]
        assert got.shape == np.shape(known)
        np.testing.assert_allclose(np.asarray(got, float), known, rtol=1e-12, atol=1e-12)
