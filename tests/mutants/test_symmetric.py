"""Gradients of a symmetric argument: triangular and symmetrised are one and the same, a transpose is neither.

The function is ``sum(log diag L) + |L^T v|^2`` of ``A = L L^T``: its derivative along a symmetric ``S`` is
``tr(A^-1 S) / 2 + v^T S v``, since ``|L^T v|^2 = v^T A v``; the symmetric gradient is ``A^-1 / 2 + v v^T``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.judge.symmetric import CONVENTION, by_convention, other_form
from gradparity.judge.verdicts import AGREES_FLOORS, judge_values
from gradparity.model_spec.symmetry import is_symmetric, symmetrised
from gradparity.truth.reference import Reference

A = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]])
V = np.array([1.0, -2.0, 0.5])
SYMMETRIC = np.linalg.inv(A) / 2 + np.outer(V, V)
SYMMETRIC = (SYMMETRIC + SYMMETRIC.T) / 2
TRIANGULAR = np.tril(SYMMETRIC) + np.tril(SYMMETRIC, -1)
FREE = np.array([[1.0, 2.0, -0.5], [0.3, 1.5, 0.7], [-1.1, 0.4, 2.0]])  # of a loss that reads every entry by itself


def verdict(truth: Any, got: Any, param: Any = A, quantity: str = "gradient") -> str:
    key = quantity, "A"
    floor = np.full(truth.shape, 1e-15, np.longdouble)
    reference = Reference({key: truth.astype(np.longdouble)}, {key: floor}, "by hand")
    quantities = {quantity: {"A": got}}
    held, found = by_convention(reference, quantities, {"A": param}, AGREES_FLOORS)
    (finding,) = judge_values("b", quantities, held, "float64")
    assert bool(found) == (finding.verdict == "agrees" and not np.allclose(truth, got))
    return finding.verdict


@pytest.mark.parametrize("quantity", ["gradient", "hvp"])
@pytest.mark.parametrize("truth", [TRIANGULAR, TRIANGULAR.T, SYMMETRIC])
def test_a_triangle_and_both_halves_are_one_gradient(truth: Any, quantity: str) -> None:
    other = TRIANGULAR if truth is SYMMETRIC else SYMMETRIC
    assert verdict(truth, other, quantity=quantity) == "agrees"
    assert verdict(truth, truth, quantity=quantity) == "agrees"


@pytest.mark.parametrize(
    ("truth", "got", "param"),
    [
        (TRIANGULAR, TRIANGULAR.T, A),  # the other triangle: of a loss that reads that one
        (TRIANGULAR, np.tril(SYMMETRIC), A),  # half of what is off the diagonal is lost
        (TRIANGULAR, 2 * SYMMETRIC, A),
        (TRIANGULAR, SYMMETRIC + np.diag([0, 1e-9, 0]), A),
        (TRIANGULAR, TRIANGULAR + TRIANGULAR.T, A),  # the diagonal twice
        (SYMMETRIC, np.triu(SYMMETRIC), A),
        (FREE, FREE.T, A),  # at a symmetric point by accident
        (FREE, (FREE + FREE.T) / 2, A),
        (FREE, FREE.T, np.eye(3)),
        (TRIANGULAR, SYMMETRIC, np.eye(3)),  # a diagonal start says nothing of symmetry
        (TRIANGULAR, SYMMETRIC, A + np.triu(np.ones((3, 3)), 1)),  # no symmetric matrix
    ],
)
def test_one_that_is_neither_is_wrong(truth: Any, got: Any, param: Any) -> None:
    assert verdict(truth, got, param) == "wrong"


def test_forms_have_the_same_product_with_every_symmetric_direction() -> None:
    direction = symmetrised(np.random.default_rng(0).standard_normal((3, 3)), A)
    expected = np.trace(np.linalg.solve(A, direction)) / 2 + V @ direction @ V
    for truth in (TRIANGULAR, SYMMETRIC):
        form = other_form(truth.astype(np.longdouble))
        assert form is not None
        assert float(np.vdot(form, direction)) == pytest.approx(expected, rel=1e-14)
        assert float(np.vdot(truth, direction)) == pytest.approx(expected, rel=1e-14)
    assert CONVENTION


def test_symmetric_parameters_move_symmetrically_and_others_freely() -> None:
    direction = np.arange(9.0).reshape(3, 3)
    assert is_symmetric(symmetrised(direction, A))
    for free in (np.eye(3), np.zeros((3, 3)), FREE, np.ones(3), np.ones((2, 3))):
        assert symmetrised(direction, free) is direction
