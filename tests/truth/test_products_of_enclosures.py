"""Matrix products of enclosures contain what Arb has, and a slice, a term or a radius that is left out is found."""

import itertools
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb

from gradparity.truth.numbers import midrad, slices
from gradparity.truth.numbers.midrad import MidRad, enclosures
from tests.truth.enclosure_samples import BITS, EDGES, corners, exact, numbers


def matrices(seed: int, shape: tuple[int, int, int], radius: float, zeros: float) -> tuple[MidRad, MidRad]:
    m, k, n = shape
    out = []
    for i, (rows, columns) in enumerate(((m, k), (k, n))):
        rng = np.random.default_rng((seed, i))
        x = numbers(seed + i, rows * columns, radius=radius).reshape(rows, columns)
        x = x * np.ldexp(1.0, rng.integers(-40, 40, columns if i == 0 else (rows, 1)))
        out.append(np.where(rng.uniform(size=x.shape) < zeros, 0.0, x))
    return out[0], out[1]


def missed_products(a: MidRad, b: MidRad) -> int:
    """Elements of ``a @ b`` that do not contain what they are at the ends that are furthest from the midpoint."""
    found, count = np.matmul(a, b), 0
    assert midrad.is_known(found).all()
    with flint.ctx.workprec(BITS):
        A, B = ([[corners(row, i) for i in range(len(row))] for row in x] for x in (a, np.transpose(b)))
        for (i, row), (j, column) in itertools.product(enumerate(A), enumerate(B)):
            mid = exact(found["high"][i, j]) + exact(found["low"][i, j])
            for end in (0, -1):
                # The largest, or the least, that every term can be.
                terms = [[p * q for p in ps for q in qs] for ps, qs in zip(row, column, strict=True)]
                value = sum(((max if end else min)(each) for each in terms), arb(0))
                count += bool(abs(value - mid) > exact(found["radius"][i, j]))
            if all(p[0].is_zero() or q[0].is_zero() for p, q in zip(row, column, strict=True)):
                assert found["radius"][i, j] == 0
                assert found["high"][i, j] == 0
    return count


SHAPES = [(1, 1, 1), (3, 5, 4), (2, 17, 3), (6, 2, 6), (1, 64, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("radius", "zeros"), [(0.0, 0.0), (0.0, 0.6), (1e-28, 0.3), (1e-9, 0.0)])
def test_a_matrix_product_is_contained(shape: tuple[int, int, int], radius: float, zeros: float) -> None:
    assert missed_products(*matrices(3, shape, radius, zeros)) == 0


def test_products_of_subnormal_numbers_and_of_zeros_beside_them_are_contained() -> None:
    rng = np.random.default_rng(1)
    edges = [x for x in EDGES if abs(x) < 1e150]
    for _ in range(20):
        a, b = enclosures(rng.choice(edges, (3, 4))), enclosures(rng.choice(edges, (4, 3)))
        assert missed_products(a, b) == 0
    small = enclosures(np.array([[5e-324, -1e-310]])), enclosures(np.array([[1.0], [5e-324]]))
    assert missed_products(*small) == 0
    assert not midrad.is_zero(np.matmul(*small)).any()


def test_a_matrix_product_of_whole_numbers_is_exact_however_large() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-(2**20), 2**20, (60, 300)), rng.integers(-(2**20), 2**20, (300, 70))
    found = np.matmul(enclosures(a), enclosures(b))
    assert not found["radius"].any()
    np.testing.assert_array_equal(found["high"].astype(np.int64) + found["low"].astype(np.int64), a @ b)


def test_products_of_slices_are_exact_in_any_order() -> None:
    """The largest that slices can be: all of the same sign, half a unit each."""
    for k in (1, 7, 64, 1000):
        bits = slices.slice_bits(k)
        assert k * 2 ** (2 * bits - 2) <= 2**53 < 8 * k * 2 ** (2 * bits - 2) * 2


def _no_truncation(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = slices._cut
    monkeypatch.setattr(slices, "_cut", lambda *args, **options: _changed(cut(*args, **options), exact=True, count=2))


def _no_radii(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = slices._cut
    monkeypatch.setattr(slices, "_cut", lambda *args, **options: _changed(cut(*args, **options), radii=None))


def _changed(cut: Any, **changes: Any) -> Any:
    return slices._Cut(**{**{name: getattr(cut, name) for name in cut.__dataclass_fields__}, **changes})


def _a_level_less(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = slices._rows
    monkeypatch.setattr(
        slices, "_rows",
        lambda left, right, part, bits, levels: rows(left, _changed(right, count=right.count - 1), part, bits, levels),
    )  # fmt: skip


def _narrower(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = slices._rows

    def wrong(*args: Any) -> Any:
        high, low, radius = rows(*args)
        return high, low, radius * 0.99

    monkeypatch.setattr(slices, "_rows", wrong)


@pytest.mark.parametrize("fault", [_no_truncation, _no_radii, _a_level_less, _narrower])
def test_a_fault_in_matrix_products_is_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    assert sum(missed_products(*matrices(3, shape, radius, 0.0)) for shape in SHAPES for radius in (0.0, 1e-9)) > 0
