"""Whether a direction separates data, against exact integer geometry; and which way it is settled."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.judge import separation
from gradparity.judge.separation import by_linear_program, by_newton, separating_direction
from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import Logistic


def plain(X: Any, y: Any) -> Problem:
    X = np.asarray(X, float)
    return make_problem("given", Logistic(features=X.shape[1]), X, y)


def separable_in_the_plane(rows: list[tuple[int, int]]) -> bool:
    """Exact: unless some two or three of the rows (each signed by its label) weigh to zero.

    Reference: Gordan's theorem, and Caratheodory's on how many it takes.
    """

    def cross(a: tuple[int, int], b: tuple[int, int]) -> int:
        return a[0] * b[1] - a[1] * b[0]

    def opposed(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return cross(a, b) == 0 and a[0] * b[0] + a[1] * b[1] <= 0

    def around(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
        turns = [np.sign(cross(*pair)) for pair in ((a, b), (b, c), (c, a))]
        return abs(sum(turns)) == 3

    return (0, 0) not in rows and not (
        any(opposed(*two) for two in combinations(rows, 2)) or any(around(*three) for three in combinations(rows, 3))
    )


points = st.tuples(st.integers(-9, 9), st.integers(-9, 9))


@given(st.lists(st.tuples(points, st.booleans()), min_size=1, max_size=7))
def test_the_answer_is_that_of_exact_geometry_in_the_plane(labelled: list[tuple[tuple[int, int], bool]]) -> None:
    X, y = zip(*labelled, strict=True)
    signed = [point if label else (-point[0], -point[1]) for point, label in labelled]
    direction = separating_direction(plain(X, np.array(y, float)))
    assert (direction is not None) == separable_in_the_plane(signed)
    if direction is not None:
        assert (np.array(signed) @ direction > 0).all()


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 12))
def test_what_newton_settles_is_what_the_linear_program_finds(seed: int, rows: int, features: int) -> None:
    drawn = np.random.default_rng(seed).standard_normal((rows, features))
    drawn[:, 0] += 0.5  # so that either answer is common
    drawn /= np.abs(drawn).max(axis=1)[:, None]
    settled, direction = by_newton(drawn)
    if settled:
        assert (direction is not None) == (by_linear_program(drawn) is not None)
    if direction is not None:
        assert (drawn @ direction > 0).all()


def test_the_direction_has_its_nearest_row_as_far_away_as_a_support_vector_machine() -> None:
    # Two support vectors, (2, 1) and (1, 3): the widest margin is the distance of the segment between them from 0.
    _, direction = by_newton(np.array([[2.0, 1.0], [1.0, 3.0], [4.0, 4.0]]) / 4)
    assert direction is not None
    margin = (np.array([[2.0, 1.0], [1.0, 3.0]]) @ direction).min() / np.linalg.norm(direction)
    assert margin == pytest.approx(np.sqrt(5), rel=0.02)  # the nearest point of the segment is (2, 1) itself


@pytest.mark.parametrize("name", ["toy", "iris", "breast_cancer", "digits", "synthetic:3000x20"])
def test_no_linear_program_is_needed_for_the_data_sets_at_hand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_rows: Any) -> None:
        raise AssertionError("a linear program")

    monkeypatch.setattr(separation, "by_linear_program", refuse)
    data = load(name, standardise=name in ("iris", "breast_cancer", "digits"))
    separating_direction(plain(data.X, data.y))


def test_rows_on_the_boundary_are_left_to_the_linear_program() -> None:
    boundary = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])  # a direction does no harm, and none gains on all rows
    assert by_newton(boundary) == (False, None)
    assert separating_direction(plain(boundary, np.ones(3))) is None
