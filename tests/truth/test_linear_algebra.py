"""Linear algebra beyond the plain expressions of `test_namespace`: batches, triangles, and matrices at the edge."""

from typing import Any

import numpy as np
import pytest
import scipy.linalg
from flint import arb

from gradparity.truth.derivatives.reverse import differentiate
from gradparity.truth.derivatives.series import certify
from gradparity.truth.model.floor import Tape
from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.context import Context, evaluation
from gradparity.truth.xp import elimination, linalg
from gradparity.truth.xp.namespace import xp
from tests.truth.test_namespace import SPD, SPDS, A, C, V, close


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("unit_diagonal", [True, False])
def test_a_triangular_system_is_solved_as_scipy_does_from_one_triangle(lower: bool, unit_diagonal: bool) -> None:
    options = {"lower": lower, "unit_diagonal": unit_diagonal}
    for right in (V, A):
        close(linalg.solve_triangular(SPD, right, **options), scipy.linalg.solve_triangular(SPD, right, **options))
    batch = linalg.solve_triangular(SPDS, C, **options)
    close(batch, np.stack([scipy.linalg.solve_triangular(a, c, **options) for a, c in zip(SPDS, C, strict=True)]))

    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(xp.sin(linalg.solve_triangular(p["a"], p["b"], **options)))

    def masked(p: Any, d: Any, xp: Any) -> Any:
        a = xp.tril(p["a"]) if lower else xp.triu(p["a"])
        diagonal = xp.diagonal(a, 0, -2, -1)[..., None] * xp.eye(3)
        return xp.sum(xp.sin(xp.linalg.solve(a - diagonal + xp.eye(3) if unit_diagonal else a, p["b"])))

    params = {"a": SPDS, "b": C}
    v = {"a": np.sin(SPDS), "b": np.cos(C)}
    found, expected = differentiate(loss, params, {}, v), differentiate(masked, params, {}, v)
    assert found is not None
    assert expected is not None
    assert found.settled
    assert_overlapping(found, expected)
    forward = certify(loss, params, {}, v)
    assert forward.status == "certified"
    assert forward.second.ball.overlaps(certify(masked, params, {}, v).second.ball)


def assert_overlapping(found: Any, expected: Any) -> None:
    for key, each in found.blocks.items():
        pairs = zip(each.balls.ravel(), expected.blocks[key].balls.ravel(), strict=True)
        assert all(ours.overlaps(theirs) for ours, theirs in pairs), key


def test_a_batch_has_the_derivatives_of_its_matrices_one_by_one() -> None:
    names = {
        "solve": lambda xp, a, b: xp.linalg.solve(a, b), "cholesky": lambda xp, a, b: xp.linalg.cholesky(a),
        "slogdet": lambda xp, a, b: xp.linalg.slogdet(a)[1], "det": lambda xp, a, b: xp.linalg.det(a),
        "inv": lambda xp, a, b: xp.linalg.inv(a),
    }  # fmt: skip
    params, v = {"a": SPDS, "b": C}, {"a": np.sin(SPDS), "b": np.cos(C)}
    for f in names.values():

        def at_once(p: Any, d: Any, xp: Any, f: Any = f) -> Any:
            return xp.sum(xp.sin(f(xp, p["a"], p["b"])))

        def one_by_one(p: Any, d: Any, xp: Any, f: Any = f) -> Any:
            return sum(xp.sum(xp.sin(f(xp, a, b))) for a, b in zip(p["a"], p["b"], strict=True))

        found, expected = differentiate(at_once, params, {}, v), differentiate(one_by_one, params, {}, v)
        assert found is not None
        assert expected is not None
        assert found.settled
        assert_overlapping(found, expected)


def test_matrices_without_rows_and_batches_without_matrices_have_numpys_shapes_and_values() -> None:
    for shape in ((0, 0), (0, 3, 3), (2, 0, 0), (1, 1)):
        a = np.ones(shape)
        for name in ("det", "inv", "cholesky"):
            close(getattr(xp.linalg, name)(a), getattr(np.linalg, name)(a))
        close(xp.linalg.solve(a, a), np.linalg.solve(a, a))
    close(xp.linalg.det(np.array([[-3.0]])), np.array(-3.0))


def test_one_singular_matrix_of_a_batch_leaves_the_others_their_inverse_and_all_their_determinant() -> None:
    singular = np.stack([np.ones((2, 2)), np.diag([2.0, 4.0])])
    with evaluation(Context()) as context:
        found = xp.linalg.inv(singular).balls()[0]
        assert context.singular == [("linalg.solve", ())]
    assert all(ball.is_nan() for ball in found[0].ravel())
    close(Array((found[1],)), np.diag([0.5, 0.25]))
    line = Array((asarray(singular).balls()[0], asarray(np.broadcast_to(np.eye(2), (2, 2, 2))).balls()[0]))
    # det [[1 + t, 1], [1, 1 + t]] = 2 t + t^2 and det diag(2 + t, 4 + t) = 8 + 6 t + t^2.
    assert [[int(ball.unique_fmpz()) for ball in c] for c in xp.linalg.det(line).balls()] == [[0, 8], [2, 6], [1, 1]]


def test_an_ill_conditioned_system_is_enclosed_by_more_bits() -> None:
    hilbert = scipy.linalg.hilbert(10)  # condition 1.6e13
    found = differentiate(
        lambda p, d, xp: xp.sum(xp.linalg.solve(p["a"], d["b"])) + xp.linalg.slogdet(p["a"])[1], {"a": hilbert},
        {"b": np.ones(10)}, {"a": np.eye(10)},
    )  # fmt: skip
    assert found is not None
    assert found.settled
    with evaluation(Context(bits=512)):
        x = linalg.solve(hilbert, np.ones(10))
        left = xp.matmul(hilbert, x).balls()[0] - np.array([arb(1)] * 10, dtype=object)
    assert all(ball.contains(0) and ball.rad() < arb(2) ** -300 for ball in left)


def test_extended_elimination_of_a_batch_is_that_of_each_matrix_and_swaps_rows_where_it_must() -> None:
    rng = np.random.default_rng(5)
    a = rng.standard_normal((2, 3, 4, 4))
    a[0, 1, 0, 0] = a[1, 2, :2, :2] = 0  # no elimination without swaps
    b = rng.standard_normal((3, 4, 2))
    with evaluation(Context(order=0, extended=True)):
        x = linalg.solve(a, b).balls()[0]
        np.testing.assert_allclose(np.asarray(a @ x - b, float), 0, atol=1e-17)
        np.testing.assert_allclose(linalg.det(a).balls()[0], np.linalg.det(a), rtol=1e-12)
        one = linalg.solve(a[1, 2], b[2]).balls()[0]
    np.testing.assert_array_equal(x[1, 2], one)
    with evaluation(Context(order=0)):
        certified = xp.linalg.solve(a, b)
    close(certified, np.asarray(x, float))


@pytest.mark.parametrize("exchanged", [False, True])
def test_what_needs_no_elimination_rounds_as_if_it_were_eliminated(
    exchanged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upper triangle, or one whose rows are exchanged: the short way draws the same noise, to the last digits."""
    rng = np.random.default_rng(2)
    a = np.triu(rng.standard_normal((5, 5))) + 3 * np.eye(5)
    a, b = a[::-1] if exchanged else a, rng.standard_normal((5, 2))

    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(xp.linalg.solve(p["a"], p["b"]) ** 2)

    params = {"a": a, "b": b}
    found, expected = [], []
    for floors in (found, expected):
        tape = Tape(loss, params, {}, params)
        np.testing.assert_allclose(
            float(tape.values()["loss", ""]), float((np.linalg.solve(a, b) ** 2).sum()), rtol=1e-13
        )
        floors.append(tape.floor(tape.values(), "float64", seed=1, seconds=1.0))
        monkeypatch.setattr(elimination, "_is_upper", lambda _: False)
    for key, floor in found[0].items():
        np.testing.assert_allclose(floor.astype(float), expected[0][key].astype(float), rtol=1e-9, err_msg=str(key))


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_the_noise_of_an_elimination_scales_with_its_numbers(scale: float) -> None:
    """Its variance is formed in float64, where squares of large and small numbers have no room."""
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((4, 4)) + 3 * np.eye(4), rng.standard_normal((4, 1))

    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(xp.linalg.solve(p["a"], d["b"]))

    shares = []
    for factor in (1.0, 2.0 ** round(np.log2(scale))):
        tape = Tape(loss, {"a": a * factor}, {"b": b}, None)
        values = tape.values()
        floor = tape.floor(values, "float64", seed=1, seconds=1.0)
        shares.append({key: np.asarray(floor[key] / np.abs(value).max(), float) for key, value in values.items()})
    for key, share in shares[0].items():
        np.testing.assert_allclose(shares[1][key], share, rtol=1e-9, err_msg=str(key))
