"""Eigenvalues, singular values and orthogonal factors: against mpmath's digits, and where they have no derivatives."""

from typing import Any

import flint
import mpmath
import numpy as np
import pytest
import scipy.linalg
from flint import arb

from gradparity.truth.model.truth import neutral_reference
from gradparity.truth.numbers import eigen
from gradparity.truth.numbers.arrays import asarray
from gradparity.truth.numbers.balls import exact_balls
from gradparity.truth.numbers.context import Context, evaluation
from gradparity.truth.xp.namespace import xp

RNG = np.random.default_rng(3)
B = RNG.standard_normal((5, 5))
B = B + B.T
ONES = np.ones((4, 1)) * np.array([1.0, -2.0, 3.0])

#: Symmetric matrices, exact in doubles, with what is added to them over a power of two.
MATRICES: dict[str, tuple[Any, Any, int]] = {
    "any": (B, 0 * B, 0), "identity": (np.eye(5), 0 * B, 0), "near the identity": (np.eye(5), B, -400),
    "of rank 1": (np.outer(B[0], B[0]), 0 * B, 0), "pairs": (np.diag([1.0, 1, 2, 2, 3]), B, -100),
    "large": (0 * B, B, 900),
    "ill-conditioned": (scipy.linalg.hilbert(5), 0 * B, 0), "of one row": (np.array([[-3.0]]), np.zeros((1, 1)), 0),
}  # fmt: skip


@pytest.mark.parametrize("bits", [128, 2048])
@pytest.mark.parametrize("name", MATRICES)
def test_enclosures_of_eigenvalues_and_vectors_hold_mpmaths_digits(name: str, bits: int) -> None:
    base, change, power = MATRICES[name]
    with flint.ctx.workprec(4096):
        a = exact_balls(base) + exact_balls(change) * arb(2) ** power
    with flint.ctx.workprec(bits):
        values, vectors = eigen.enclosed(a)
    with mpmath.workprec(6000):
        true, columns = mpmath.eigsy(mpmath.matrix([[exact(x) for x in row] for row in a]))
        for i, ball in enumerate(values):
            assert abs(exact(ball.mid()) - true[i]) <= exact(ball.rad())
            known = [vector.is_finite() for vector in vectors[:, i]]
            if not all(known):
                gaps = [abs(true[i] - true[j]) for j in range(len(values)) if j != i]
                assert min(gaps) < mpmath.mpf(2) ** (20 - bits) * max(map(abs, [*true, 1]))
                continue
            largest = int(np.argmax([abs(float(vector.mid())) for vector in vectors[:, i]]))
            turn = mpmath.sign(columns[largest, i]) * (1 if vectors[largest, i] > 0 else -1)
            for row, vector in enumerate(vectors[:, i]):
                assert abs(exact(vector.mid()) - turn * columns[row, i]) <= exact(vector.rad())


def exact(x: arb) -> Any:
    mantissa, exponent = (int(part) for part in x.man_exp())
    return mpmath.mpf(mantissa) * mpmath.mpf(2) ** exponent


def reference(loss: Any, matrix: Any) -> Any:
    return neutral_reference(loss, {"a": matrix}, {}, {"a": np.eye(*matrix.shape)}, seed=0, budget_s=20)


def test_repeated_eigenvalues_have_no_derivative_and_what_is_smooth_of_them_has_one() -> None:
    largest = reference(lambda p, d, xp: xp.linalg.eigvalsh(p["a"])[-1], np.eye(2))
    assert np.isnan(largest.truth["gradient", "a"][0, 0])
    assert largest.unknown["gradient", "a"]
    # sum_i l_i^3 = tr A^3, whose gradient at I is 3 I.
    power = reference(lambda p, d, xp: xp.sum(xp.linalg.eigvalsh(p["a"]) ** 3), np.eye(2))
    assert not power.kinks
    np.testing.assert_allclose(np.asarray(power.truth["gradient", "a"], float), 3 * np.eye(2), atol=1e-15)


def test_a_loss_that_depends_on_the_sign_of_an_eigenvector_has_no_truth() -> None:
    signed = reference(lambda p, d, xp: xp.sum(xp.linalg.eigh(p["a"])[1] ** 3), B)
    assert all("depends on the sign" in why for why in signed.unknown.values())
    assert ("gradient", "a") in signed.unknown
    for loss in (
        lambda p, d, xp: xp.sum(xp.linalg.eigh(p["a"])[1] ** 4),
        lambda p, d, xp: xp.sum(xp.sin(xp.linalg.svd(p["a"])[0] @ xp.linalg.svd(p["a"])[2])),
        lambda p, d, xp: xp.sum(xp.linalg.qr(p["a"])[0] ** 3),
    ):
        found = reference(loss, B)
        assert not found.unknown
        assert "certified" in found.method


def test_a_singular_matrix_has_no_factors_of_full_rank_and_says_so() -> None:
    for loss in (
        lambda p, d, xp: xp.sum(xp.linalg.pinv(p["a"])),
        lambda p, d, xp: xp.sum(xp.linalg.qr(p["a"])[0] ** 2 * np.arange(12.0).reshape(4, 3) ** 2),
    ):
        found = reference(loss, ONES)
        assert not np.isfinite(found.truth["gradient", "a"]).any() or ("gradient", "a") in found.unknown
    nuclear = reference(lambda p, d, xp: xp.linalg.norm(p["a"], "nuc"), np.diag([1.0, 0.0]))
    assert any(key[:2] == ("gradient", "a") for key in nuclear.kinks)


def test_householders_signs_are_lapacks() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a = rng.standard_normal((int(rng.integers(1, 6)), int(rng.integers(1, 5))))
        for context in (Context(), Context(order=0, extended=True)):
            with evaluation(context):
                Q, R = xp.linalg.qr(asarray(a))
                floats = [np.array([float(x) for x in c.balls()[0].ravel()]).reshape(c.shape) for c in (Q, R)]
            for ours, theirs in zip(floats, np.linalg.qr(a), strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-12)
