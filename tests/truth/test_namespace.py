"""Every name of the certified namespace against NumPy's numbers, and what it refuses; its digits: `test_digits`."""

import math
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import pytest
import sympy
from flint import arb

from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.context import Context, NotCertifiableError, UndecidedError, evaluation
from gradparity.truth.xp.namespace import xp

RNG = np.random.default_rng(20240)
A = RNG.standard_normal((3, 4))
B = RNG.standard_normal((3, 4))
M = RNG.standard_normal((4, 3))
C = RNG.standard_normal((2, 3, 4))
P = RNG.uniform(0.1, 0.9, (3, 4))
SPD = M.T @ M + np.eye(3)
V = RNG.standard_normal(3)
SPDS = C @ np.swapaxes(C, 1, 2) + np.eye(3)
I = np.array([2, 0, 1, 2])  # noqa: E741
K = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])

N = np.array([[1.0, np.nan, 3.0], [np.nan, 0.5, -2.0]])


def midpoints(x: Any) -> np.ndarray:
    x = asarray(x)
    return np.array([float(v) for v in x.balls()[0].ravel()]).reshape(x.shape)


def close(certified: Any, expected: Any, rtol: float = 1e-12) -> None:
    if isinstance(expected, tuple | list):
        assert len(certified) == len(expected)
        for ours, theirs in zip(certified, expected, strict=True):
            close(ours, theirs, rtol)
        return
    assert asarray(certified).shape == np.shape(expected)
    np.testing.assert_allclose(midpoints(certified), np.asarray(expected, dtype=float), rtol=rtol, atol=1e-13)


def enclosing(text: str, digits: int = 50) -> arb:
    """A ball around a decimal number that is right to `digits` digits."""
    with flint.ctx.workprec(400):
        value = arb(text)
        return value + arb(0, 1) * (abs(value) + arb(10) ** -40) * arb(10) ** -digits


# The same expression on NumPy and on the certified namespace; inputs are NumPy arrays or their certified twins.
EXPRESSIONS: list[Callable[..., Any]] = [
    lambda n, w: w(A) + B, lambda n, w: A + w(B), lambda n, w: w(A) - 2, lambda n, w: 2 - w(A),
    lambda n, w: w(A) * np.float64(0.1), lambda n, w: np.float64(0.1) * w(A), lambda n, w: w(A) / w(P),
    lambda n, w: 1.5 / w(P), lambda n, w: A * w(B) * np.float32(0.5), lambda n, w: -w(A), lambda n, w: +w(A),
    lambda n, w: abs(w(A)), lambda n, w: w(A) ** 2, lambda n, w: w(A) ** 3, lambda n, w: w(P) ** -2,
    lambda n, w: w(P) ** 0.3, lambda n, w: w(P) ** w(B), lambda n, w: 2.0 ** w(B), lambda n, w: w(A) ** 0,
    lambda n, w: w(P) ** 1.5, lambda n, w: n.power(w(A), w(I).astype(int)), lambda n, w: w(A) // 0.3,
    lambda n, w: w(A) % 0.7, lambda n, w: w(I) // 2, lambda n, w: w(I) % 2, lambda n, w: w(I) ** 2,
    lambda n, w: w(A) < B, lambda n, w: w(A) >= 0, lambda n, w: w(I) == 2, lambda n, w: w(I) != 2,
    lambda n, w: w(B) < A, lambda n, w: (w(A) > 0) & (w(B) > 0), lambda n, w: (w(A) > 0) | K,
    lambda n, w: ~(w(A) > 0), lambda n, w: w(K) ^ (w(A) < 0), lambda n, w: (w(A) > 0) * w(B),
    lambda n, w: w(A) @ w(M), lambda n, w: A @ w(M), lambda n, w: w(A) @ M, lambda n, w: w(V) @ w(A),
    lambda n, w: w(M) @ w(V), lambda n, w: w(V) @ w(V), lambda n, w: w(C) @ w(M), lambda n, w: w(C).mT @ w(C),
    lambda n, w: n.matmul(w(A)[None], w(C).mT), lambda n, w: w(A)[1], lambda n, w: w(A)[1:, ::2],
    lambda n, w: w(A)[..., None], lambda n, w: w(A)[n.newaxis, :, -1], lambda n, w: w(A)[w(I)[:2]],
    lambda n, w: w(A)[w(K)], lambda n, w: w(A)[w(A) > 0], lambda n, w: w(A)[np.arange(3), I[:3]],
    lambda n, w: n.reshape(w(A), (2, 6)), lambda n, w: w(A).reshape(4, 3), lambda n, w: w(A).reshape(-1),
    lambda n, w: w(A).T, lambda n, w: n.transpose(w(C), (2, 0, 1)), lambda n, w: n.permute_dims(w(C), (1, 2, 0)),
    lambda n, w: n.matrix_transpose(w(C)), lambda n, w: n.swapaxes(w(C), 0, 2), lambda n, w: n.moveaxis(w(C), 0, -1),
    lambda n, w: n.broadcast_to(w(V), (2, 3)), lambda n, w: n.broadcast_arrays(w(V), w(M)),
    lambda n, w: n.squeeze(w(A)[None]), lambda n, w: n.expand_dims(w(A), axis=1), lambda n, w: n.ravel(w(A)),
    lambda n, w: n.flip(w(A), axis=0), lambda n, w: n.roll(w(A), 1, axis=1), lambda n, w: n.repeat(w(V), 2),
    lambda n, w: n.tile(w(V), 2), lambda n, w: n.atleast_2d(w(V)), lambda n, w: n.take(w(A), I, axis=1),
    lambda n, w: n.take_along_axis(w(A), np.array([[0], [2], [1]]), axis=1), lambda n, w: n.stack([w(A), w(B)], axis=1),
    lambda n, w: n.concatenate([w(A), w(B)], axis=1), lambda n, w: n.concat([w(A), B]),
    lambda n, w: n.hstack([w(A), w(B)]), lambda n, w: n.vstack([w(A), w(B)]), lambda n, w: n.column_stack([w(V), w(V)]),
    lambda n, w: n.split(w(A), 2, axis=1), lambda n, w: n.tril(w(SPD)), lambda n, w: n.triu(w(SPD), k=1),
    lambda n, w: n.diag(w(SPD)), lambda n, w: n.diag(w(V)), lambda n, w: n.diag(w(V), k=-1),
    lambda n, w: n.trace(w(SPD)), lambda n, w: n.diagonal(w(SPD)), lambda n, w: n.sum(w(C)),
    lambda n, w: n.sum(w(C), axis=(0, 2)), lambda n, w: n.sum(w(C), axis=-1, keepdims=True), lambda n, w: w(C).sum(1),
    lambda n, w: n.sum(w(K)), lambda n, w: n.sum(w(A)[:0], axis=0), lambda n, w: n.mean(w(C), axis=1),
    lambda n, w: n.mean(w(K)), lambda n, w: w(I).mean(), lambda n, w: n.var(w(C), axis=(0, 1)),
    lambda n, w: n.var(w(A), ddof=1), lambda n, w: n.std(w(A), axis=0, keepdims=True), lambda n, w: n.prod(w(A)),
    lambda n, w: n.prod(w(C), axis=0), lambda n, w: n.prod(w(A)[:0], axis=0), lambda n, w: n.max(w(C)),
    lambda n, w: n.max(w(C), axis=(0, 2)), lambda n, w: n.min(w(C), axis=1, keepdims=True), lambda n, w: w(I).max(),
    lambda n, w: n.argmax(w(A)), lambda n, w: n.argmin(w(C), axis=1), lambda n, w: n.cumsum(w(A)),
    lambda n, w: n.cumsum(w(C), axis=1), lambda n, w: n.cumprod(w(A), axis=1), lambda n, w: n.diff(w(A), axis=0),
    lambda n, w: n.all(w(A) < 5), lambda n, w: n.any(w(K), axis=0), lambda n, w: n.all(w(A), axis=1),
    lambda n, w: n.maximum(w(A), w(B)), lambda n, w: n.minimum(w(A), 0.0), lambda n, w: n.clip(w(A), -0.5, 0.5),
    lambda n, w: n.where(w(A) > 0, w(A), 0.0), lambda n, w: n.where(w(K), 1.0, w(B)), lambda n, w: n.nonzero(w(K)),
    lambda n, w: n.sign(w(A)), lambda n, w: n.floor(w(A)), lambda n, w: n.ceil(w(A)), lambda n, w: n.hypot(w(A), w(B)),
    lambda n, w: n.outer(w(V), w(A)), lambda n, w: n.dot(w(A), w(M)), lambda n, w: n.dot(w(C), w(M)),
    lambda n, w: n.dot(w(V), 2.0), lambda n, w: n.vdot(w(A), w(B)), lambda n, w: n.inner(w(A), w(B)),
    lambda n, w: n.vecdot(w(A), w(B)), lambda n, w: n.tensordot(w(A), w(M), axes=1),
    lambda n, w: n.tensordot(w(C), w(A), axes=([2, 1], [1, 0])), lambda n, w: n.tensordot(w(V), w(V), axes=0),
    lambda n, w: n.einsum("ij,jk->ik", w(A), w(M)), lambda n, w: n.einsum("bij,ij->b", w(C), w(A)),
    lambda n, w: n.einsum("ii", w(SPD)), lambda n, w: n.einsum("ii->i", w(SPD)), lambda n, w: n.einsum("ij->ji", w(A)),
    lambda n, w: n.einsum("i,ij,j->", w(V), w(SPD), w(V)), lambda n, w: n.einsum("i,i->i", w(V), w(V)),
    lambda n, w: n.einsum("i,j", w(V), w(V)), lambda n, w: n.einsum("bij,bkj->bik", w(C), w(C)),
    lambda n, w: n.einsum("ij,ij,ij->j", w(A), w(B), w(P)), lambda n, w: n.isfinite(w(A)), lambda n, w: n.isnan(w(A)),
    lambda n, w: n.isinf(w(np.array([1.0, np.inf, -np.inf]))), lambda n, w: n.logical_not(w(K)),
    lambda n, w: n.logical_and(w(A) > 0, w(K)), lambda n, w: n.reciprocal(w(P)), lambda n, w: n.square(w(A)),
    lambda n, w: n.logaddexp(w(A), w(B)), lambda n, w: n.logaddexp(0.0, 100 * w(A)), lambda n, w: n.zeros((2, 3)),
    lambda n, w: n.ones(3, dtype=n.float32), lambda n, w: n.full((2,), 0.1), lambda n, w: n.eye(3, k=1),
    lambda n, w: n.arange(5), lambda n, w: n.arange(1, 2, 0.25), lambda n, w: n.arange(5.0),
    lambda n, w: n.linspace(0.0, 1.0, 7), lambda n, w: n.linspace(0.0, 1.0, 7, endpoint=False),
    lambda n, w: n.zeros_like(w(A)), lambda n, w: n.ones_like(w(A)), lambda n, w: n.full_like(w(A), 2.5),
    lambda n, w: n.asarray(A), lambda n, w: n.array([[1, 2], [3, 4]]), lambda n, w: w(A).astype(n.float32) * 0 + 1,
    lambda n, w: w(np.array([1.7, -1.7])).astype(int), lambda n, w: n.eye(3)[w(I)],
    lambda n, w: w(I)[:, None] == n.arange(3),
    lambda n, w: n.linalg.cholesky(w(SPD)), lambda n, w: n.linalg.solve(w(SPD), w(V)),
    lambda n, w: n.linalg.solve(w(SPD), w(A)), lambda n, w: n.linalg.inv(w(SPD)), lambda n, w: n.linalg.det(w(SPD)),
    lambda n, w: n.linalg.det(w(SPD)[:2, :2]), lambda n, w: tuple(n.linalg.slogdet(-w(SPD))),
    lambda n, w: n.linalg.norm(w(A)), lambda n, w: n.linalg.norm(w(V)), lambda n, w: n.linalg.norm(w(V), 1),
    lambda n, w: n.linalg.norm(w(V), np.inf), lambda n, w: n.linalg.norm(w(V), 3),
    lambda n, w: n.linalg.norm(w(A), axis=1, keepdims=True), lambda n, w: n.linalg.trace(w(SPD)),
    lambda n, w: n.linalg.matrix_power(w(SPD), 3), lambda n, w: n.linalg.matrix_power(w(SPD), -1),
    lambda n, w: n.linalg.cholesky(w(SPDS)), lambda n, w: n.linalg.solve(w(SPDS), w(C)),
    lambda n, w: n.linalg.solve(w(SPD), w(C)), lambda n, w: n.linalg.solve(w(SPDS), w(A)),
    lambda n, w: n.linalg.solve(w(SPDS), w(V)), lambda n, w: n.linalg.inv(w(SPDS)), lambda n, w: n.linalg.det(w(SPDS)),
    lambda n, w: tuple(n.linalg.slogdet(w(SPDS))), lambda n, w: n.linalg.matrix_power(w(SPDS), 3),
    lambda n, w: n.linalg.det(w(SPDS) - w(SPDS)[..., :1]), lambda n, w: n.linalg.inv(w(SPDS) @ w(SPDS)),
    lambda n, w: n.linalg.multi_dot([w(V), w(A), w(M), w(V)]), lambda n, w: n.linalg.diagonal(w(C), offset=1),
    lambda n, w: n.linalg.matmul(w(A), w(M)), lambda n, w: n.linalg.outer(w(V), w(V)),
    lambda n, w: n.linalg.matrix_transpose(w(C)), lambda n, w: n.linalg.tensordot(w(A), w(M), axes=1),
    lambda n, w: n.linalg.vecdot(w(A), w(B)),
    lambda n, w: n.linalg.eigvalsh(w(SPD)), lambda n, w: n.linalg.eigvalsh(w(SPDS)),
    lambda n, w: n.linalg.eigh(w(SPD))[0], lambda n, w: n.linalg.eigh(w(SPDS))[1] ** 2,
    lambda n, w: n.linalg.eigh(w(SPDS))[1] * n.linalg.eigh(w(SPDS))[1][:, :1],
    lambda n, w: n.linalg.svdvals(w(A)), lambda n, w: n.linalg.svdvals(w(M)), lambda n, w: n.linalg.svd(w(SPD))[1],
    lambda n, w: n.linalg.svd(w(C), compute_uv=False), lambda n, w: n.linalg.svd(w(M), full_matrices=False)[0] ** 2,
    lambda n, w: n.linalg.svd(w(C), full_matrices=False)[2] ** 2, lambda n, w: tuple(n.linalg.qr(w(M))),
    lambda n, w: n.linalg.qr(w(C)).R, lambda n, w: n.linalg.qr(w(SPD), mode="r"), lambda n, w: n.linalg.pinv(w(M)),
    lambda n, w: n.linalg.pinv(w(C)), lambda n, w: n.linalg.lstsq(w(M), w(I) * 0.5, rcond=None)[0],
    lambda n, w: n.linalg.lstsq(w(M), w(A).T, rcond=None)[1], lambda n, w: n.linalg.lstsq(w(A), w(V), rcond=None)[0],
    lambda n, w: n.linalg.cond(w(A)), lambda n, w: n.linalg.cond(w(SPD), 1), lambda n, w: n.linalg.cond(w(SPDS), -2),
    lambda n, w: n.linalg.norm(w(A), 2), lambda n, w: n.linalg.norm(w(A), -2), lambda n, w: n.linalg.norm(w(A), "nuc"),
    lambda n, w: n.linalg.norm(w(A), 1), lambda n, w: n.linalg.norm(w(A), -1), lambda n, w: n.linalg.norm(w(A), np.inf),
    lambda n, w: n.linalg.norm(w(C), -np.inf, axis=(0, 2), keepdims=True), lambda n, w: n.linalg.norm(w(A)[:1], 2),
    lambda n, w: n.linalg.matrix_norm(w(C), ord=2), lambda n, w: n.linalg.eigvalsh(w(M) @ w(A), UPLO="U"),
    lambda n, w: n.linalg.inv(w(SPD) @ w(SPD)), lambda n, w: n.linalg.solve(w(SPD) @ w(SPD), w(V) * w(V)),
    lambda n, w: n.linalg.cholesky(w(SPD) @ w(SPD).T), lambda n, w: 1 / (w(P) * w(P)), lambda n, w: n.exp(w(A) * w(B)),
    lambda n, w: n.std(w(A) * w(B), axis=1), lambda n, w: n.sqrt(w(P) * w(P) + 1), lambda n, w: (w(A) ** 2 + 1) ** w(B),
    lambda n, w: n.sort(w(A)), lambda n, w: n.sort(w(C), axis=1), lambda n, w: n.sort(w(A), axis=None),
    lambda n, w: n.argsort(w(A)), lambda n, w: n.argsort(w(A), axis=0), lambda n, w: n.sort(w(I)),
    lambda n, w: n.median(w(A)), lambda n, w: n.median(w(C), axis=1, keepdims=True), lambda n, w: n.median(w(V)),
    lambda n, w: n.quantile(w(A), 0.3), lambda n, w: n.quantile(w(A), np.array([0.0, 0.1, 1.0]), axis=1),
    lambda n, w: n.percentile(w(A), 25, axis=0, keepdims=True), lambda n, w: n.searchsorted(np.sort(V), w(A)),
    lambda n, w: n.searchsorted(np.arange(3.0), np.array([1.0, 0.5, 2.0]), side="right"),
    lambda n, w: n.digitize(w(A), np.array([-0.5, 0.0, 0.5])), lambda n, w: n.interp(w(A), np.sort(V), w(V)),
    lambda n, w: n.interp(np.array([-9.0, 0.1, 0.3, 9.0]), w(np.sort(V)), w(V), left=w(V)[0], right=7.0),
    lambda n, w: n.rint(w(A) * 3), lambda n, w: n.round(w(A), 1), lambda n, w: n.round(np.array([0.5, 1.5, -0.5, 2.5])),
    lambda n, w: n.around(w(A) * 100, -1), lambda n, w: n.trunc(w(A) * 3), lambda n, w: n.fix(w(A) * 3),
    lambda n, w: n.heaviside(w(A), 0.5), lambda n, w: n.heaviside(np.array([0.0, -1.0, 2.0]), w(V)),
    lambda n, w: n.isclose(w(A), w(A) + 1e-9), lambda n, w: n.allclose(w(A), w(B)), lambda n, w: n.array_equal(B, w(A)),
    lambda n, w: n.count_nonzero(w(I)), lambda n, w: n.arctan2(w(A), w(B)), lambda n, w: n.atan2(w(V), -1.0),
    lambda n, w: n.arctan2(np.array([1.0, -1.0, 0.0, 0.0]), np.array([0.0, 0.0, 2.0, -2.0])),
    lambda n, w: n.nansum(N) * w(V), lambda n, w: n.nansum(N, axis=1), lambda n, w: n.nanmean(N, axis=0) * w(V)[0],
    lambda n, w: n.nanvar(N, axis=1, ddof=1), lambda n, w: n.nanstd(w(A)), lambda n, w: n.nanmax(N, axis=1),
    lambda n, w: n.nanmin(w(A), axis=0, keepdims=True), lambda n, w: n.nanprod(N), lambda n, w: n.nanmean(w(A)),
    lambda n, w: n.nan_to_num(np.array([np.nan, np.inf, -np.inf, 1.5]), nan=2.0, posinf=7.0, neginf=-7.0),
    lambda n, w: n.nan_to_num(w(A)), lambda n, w: n.average(w(A), axis=1, weights=w(P)), lambda n, w: n.average(w(A)),
    lambda n, w: n.ptp(w(A), axis=0), lambda n, w: n.trapezoid(w(A)), lambda n, w: n.trapezoid(w(A), w(V), axis=0),
    lambda n, w: n.trapezoid(w(A), dx=0.25, axis=0), lambda n, w: n.trapezoid(w(A), w(B)),
    lambda n, w: n.cross(w(M), w(M)[::-1]), lambda n, w: n.cross(w(A), w(B), axis=0), lambda n, w: n.kron(w(A), w(M)),
    lambda n, w: n.kron(w(V), w(A)), lambda n, w: n.meshgrid(w(V), w(P)[0]),
    lambda n, w: n.meshgrid(w(V), w(P)[0], indexing="ij"), lambda n, w: n.pad(w(A), 1),
    lambda n, w: n.pad(w(A), ((1, 0), (0, 2)), constant_values=1.5), lambda n, w: n.pad(w(V), (2, 1), mode="reflect"),
    lambda n, w: n.pad(w(A), 2, mode="edge"), lambda n, w: n.pad(w(V), 2, mode="wrap"),
    lambda n, w: n.pad(w(V), 2, mode="symmetric"), lambda n, w: n.select([w(A) > 1, w(A) > 0], [w(A), w(B)], 3.0),
    lambda n, w: n.polyval(w(V), w(A)), lambda n, w: n.logaddexp2(w(A), w(B)), lambda n, w: n.deg2rad(w(A)),
    lambda n, w: n.degrees(w(A)), lambda n, w: n.rad2deg(w(A)), lambda n, w: n.radians(w(A)),
    lambda n, w: n.unstack(w(A), axis=1), lambda n, w: w(SPD)[n.triu_indices(3, 1)],
    lambda n, w: w(SPD)[n.tril_indices(3)], lambda n, w: w(SPD)[n.diag_indices(3)], lambda n, w: n.isposinf(N),
    lambda n, w: n.isneginf(N), lambda n, w: n.fabs(w(A)), lambda n, w: n.atleast_3d(w(A)),
    lambda n, w: n.dstack([w(A), w(B)]), lambda n, w: n.sinc(w(A)), lambda n, w: w(A) * n.ndim(w(A)),
    lambda n, w: w(A) * n.size(w(A)), lambda n, w: w(A) * n.shape(w(A))[1], lambda n, w: n.empty_like(w(A)) * 0,
    lambda n, w: n.empty((2, 3)) * 0,
    lambda n, w: n.cov(w(A)), lambda n, w: n.cov(w(A), w(B), rowvar=False, bias=True), lambda n, w: n.cov(w(V)),
    lambda n, w: n.cov(w(V), w(P)[0, :3], ddof=0), lambda n, w: n.corrcoef(w(A)),
    lambda n, w: n.corrcoef(w(V), w(P)[0, :3]),
    lambda n, w: n.bincount(w(I), minlength=4), lambda n, w: n.bincount(w(I)[:3], w(V), 5),
    lambda n, w: n.linalg.lstsq(w(M), w(I) * 0.5, rcond=1e-3)[0], lambda n, w: n.linalg.pinv(w(M), rcond=1e-3),
    lambda n, w: n.pi * w(V) + n.e, lambda n, w: n.where(w(A) > n.inf, 1.0, 0.0),
]  # fmt: skip


@pytest.mark.parametrize("position", range(len(EXPRESSIONS)))
def test_an_expression_gives_numpys_numbers(position: int) -> None:
    expression = EXPRESSIONS[position]
    close(expression(xp, asarray), expression(np, np.asarray))


@pytest.mark.parametrize("position", range(len(EXPRESSIONS)))
def test_an_expression_has_the_derivatives_that_its_values_show(position: int) -> None:
    """Central differences of certified values with a step of 2^-80 know nothing of the derivative rules."""
    step = arb(2) ** -80

    def line(x: Any) -> Array:
        x = asarray(x)
        slope = np.random.default_rng(x.size).standard_normal(x.shape)
        return Array((*x.series, asarray(slope).series[0])) if x.is_real else x

    def shifted(t: arb) -> Callable[[Any], Array]:
        return lambda x: line(x) if not line(x).is_real else Array((line(x).series[0] + t * line(x).series[1],))

    with evaluation(Context(bits=1024)):
        try:
            out = EXPRESSIONS[position](xp, line)
        except NotCertifiableError as error:
            assert "conversion to integers" in str(error)  # noqa: PT017 (whole numbers have no derivative)
            return
        before, at, after = (EXPRESSIONS[position](xp, shifted(t)) for t in (-step, arb(0), step))
        for f, a, b, c in zip(
            *(x if isinstance(x, tuple | list) else [x] for x in (out, before, at, after)), strict=True
        ):
            series = (*f.balls(), *[np.full(f.shape, arb(0), dtype=object)] * 2)
            a, b, c = (x.balls()[0] for x in (a, b, c))
            for k, difference in ((1, (c - a) / (2 * step)), (2, (c - 2 * b + a) / (2 * step * step))):
                for ours, theirs in zip(np.ravel(series[k]), np.ravel(difference), strict=True):
                    assert abs(ours - theirs) < arb(2) ** -100 * (1 + abs(ours))


def test_the_determinant_of_a_singular_matrix_has_its_derivative() -> None:
    line = Array(tuple(asarray(part).balls()[0] for part in (np.diag([0.0, 2.0, 3.0]), np.eye(3))))
    with evaluation(Context()):
        # det diag(t, 2 + t, 3 + t) = 6 t + 5 t^2 + t^3.
        assert [int(c.item().unique_fmpz()) for c in xp.linalg.det(line).balls()] == [0, 6, 5]


def test_python_floats_and_float32_are_taken_exactly() -> None:
    value = (asarray(np.float32(0.1)) + 0.1).balls()[0].item()
    total = sympy.Rational(float(np.float32(0.1))) + sympy.Rational(0.1)
    mantissa, exponent = (int(part) for part in value.man_exp())
    assert value.is_exact()
    assert sympy.Rational(mantissa) * sympy.Rational(2) ** exponent == total


@pytest.mark.parametrize("power", [0, -16400, -16440, 16000, -1000])
def test_extended_numbers_are_taken_exactly(power: int) -> None:
    # Where longdouble is no wider than float64 these become 0 or inf, and 0 is still exact.
    with np.errstate(all="ignore"):
        value = np.ldexp(np.longdouble(1) / np.longdouble(3), power)
    if not np.isfinite(value):
        pytest.skip("longdouble has float64's range here")
    ball = asarray(value).balls()[0].item()
    numerator, denominator = value.as_integer_ratio()
    mantissa, exponent = (int(part) for part in ball.man_exp())
    assert ball.is_exact()
    assert mantissa * 2 ** max(exponent, 0) * denominator == numerator * 2 ** max(-exponent, 0)


@pytest.mark.parametrize(
    "use",
    [
        lambda a: xp.unique(a), lambda a: xp.random.normal(3), lambda a: xp.linalg.eig(a), lambda a: float(a[0, 0]),
        lambda a: a[0, 0].item(), lambda a: np.exp(a), lambda a: np.asarray(a), lambda a: np.concatenate([a, a]),
        lambda a: a.at, lambda a: a.__setitem__(0, 1.0), lambda a: xp.linalg.svd(a), lambda a: asarray(1j) + a,
        lambda a: xp.einsum("...i->...", a), lambda a: xp.sum(a, where=a > 0), lambda a: a.max(initial=3.0),
        lambda a: xp.linalg.solve(SPDS, a[:2, :3]),
    ],
)  # fmt: skip
def test_what_is_lacking_says_its_name_and_how_to_go_on(use: Callable[[Any], Any]) -> None:
    with pytest.raises(NotCertifiableError, match=r"has no certified form\. .* go on without certification"):
        use(asarray(A))


def test_options_about_storage_are_ignored() -> None:
    close(xp.zeros((2,), device="cpu", dtype=xp.float32), np.zeros(2))
    close(xp.asarray(A, copy=True, dtype=float), A)
    close(xp.clip(A, min=-0.5, max=0.5), np.clip(A, -0.5, 0.5))


def test_a_missing_value_in_the_data_can_be_masked_but_not_compared() -> None:
    x = asarray(np.array([1.0, np.nan]))
    close(xp.where(xp.isnan(x), 0.0, x), [1.0, 0.0])
    with pytest.raises(UndecidedError):
        bool(xp.all(x == x))


def test_hasattr_answers_for_a_name_that_is_lacking() -> None:
    assert not hasattr(xp, "unique")
    assert hasattr(xp, "logaddexp")


REFUSALS: dict[str, Callable[[], Any]] = {
    "linalg.lstsq of a matrix with singular values below rcond": lambda: xp.linalg.lstsq(M, V[:1].repeat(4), rcond=0.9),
    "linalg.pinv of a matrix with singular values below rcond": lambda: xp.linalg.pinv(M, rtol=0.9),
    "bincount of numbers from 0 to 2 with minlength=2.*compilers need the shape": lambda: xp.bincount([0, 2], None, 2),
    "xp.unique has no certified form.*data": lambda: xp.unique(V),
    "xp.histogram has no certified form.*digitize": lambda: xp.histogram(V),
    r"xp.cov with the option aweights=": lambda: xp.cov(A, aweights=V),
}


@pytest.mark.parametrize("words", REFUSALS)
def test_what_would_be_ignored_or_has_no_shape_is_refused_with_a_cure(words: str) -> None:
    with pytest.raises(NotCertifiableError, match=words):
        REFUSALS[words]()


def test_balls_that_overlap_are_undecided_and_the_same_object_is_equal() -> None:
    with evaluation(Context()):
        x = xp.exp(asarray(1.0))
        assert bool(x == x)
        with pytest.raises(UndecidedError, match="less at index"):
            bool(x < xp.exp(asarray(1.0)))


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="matmul: shapes"):
        asarray(A) @ asarray(A)
    with pytest.raises(ValueError, match="einsum"):
        xp.einsum("ij,jk->ik", A, A)
    with pytest.raises(ValueError, match="square"):
        xp.linalg.det(A)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(asarray(A))


def test_whole_numbers_work_as_indices_and_counts() -> None:
    n = asarray(np.array(3))
    assert list(range(n)) == [0, 1, 2]
    assert int(asarray(2.9)) == 2
    assert asarray(I)[0].item() == 2
    assert len(asarray(A)) == 3
    assert sum(1 for _ in asarray(A)) == 3
    assert math.isclose(midpoints(asarray([asarray(1.5), asarray(2.5)]))[1], 2.5)
