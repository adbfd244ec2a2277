"""How far an answer is from the truth, and where the next points are looked for."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from flint import arb

from gradparity.judge.pointwise import Answer, held
from gradparity.runner.atlas.points import between, from_ordinals, gaps, of_one, of_two, ordinals
from gradparity.runner.atlas.search import next_points

NOTHING = arb(0)


@pytest.mark.parametrize(
    "dtype, truth",
    [*product(("float64", "float32"), (1.0, 1.5, -3.0, 2.0**100)), ("float64", 2.0**-1000), ("float32", 2.0**-120)],
)
def test_the_next_number_but_two_is_three_ulps_off(dtype: str, truth: float) -> None:
    here = there = np.array(truth, dtype)
    for _ in range(3):
        there = np.nextafter(there, there.dtype.type(np.inf) * np.sign(there))
    found = held(there[()], arb(truth), NOTHING)
    assert found.ulps == 3
    assert found.floors == 6
    assert found.status == "right"
    assert found.relative == pytest.approx(3 * float(np.spacing(abs(here))) / abs(truth))
    assert found.felt == pytest.approx(3 * float(np.spacing(abs(here))) / max(1, abs(truth)))


def test_conditioning_widens_the_floor_and_leaves_the_ulps() -> None:
    off = np.float64(1 + 100 * 2.0**-52)
    plain, wide = held(off, arb(1), NOTHING), held(off, arb(1), arb(50) / 2**52)
    assert (plain.ulps, plain.floors, plain.status) == (100, 200, "off")
    assert (wide.ulps, wide.floors, wide.status) == (100, pytest.approx(100 / 50.5), "right")


@pytest.mark.parametrize(
    ("got", "truth", "status"),
    [
        (0.0, arb(1) / 10**30, "zero"),
        (0.0, arb(2) ** -1030, "flushed"),
        (0.0, arb(2) ** -1076, "right"),
        (0.0, arb(0), "right"),
        (1e-300, arb(0), "off"),
        (math.nan, arb(1), "nonfinite"),
        (math.inf, arb(10) ** 300, "nonfinite"),
        (math.inf, arb(10) ** 400, "right"),
        (1.7976931348623157e308, arb(10) ** 400, "right"),
        (-math.inf, arb(10) ** 400, "overflow"),
        (math.nan, arb(10) ** 400, "overflow"),
        (math.inf, arb.pos_inf(), "unjudged"),
        (0.5, None, "unjudged"),
    ],
)
def test_answers_that_are_no_numbers_or_zero_are_told_apart(got: float, truth: arb | None, status: str) -> None:
    assert held(np.float64(got), truth, NOTHING).status == status


def test_what_is_right_in_float32_is_not_flushed_for_its_size_in_float64() -> None:
    truth = arb(10) ** -40  # a subnormal number of float32, and an ordinary one of float64
    assert held(np.float32(0), truth, NOTHING).status == "flushed"
    assert held(np.float64(0), truth, NOTHING).status == "zero"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ordinals_count_the_numbers_of_a_dtype(dtype: str) -> None:
    x = of_one(dtype)
    places = ordinals(x)
    assert np.all(np.diff(places) > 0)
    assert np.array_equal(from_ordinals(places, dtype), x)
    above = np.nextafter(x[:-1], np.array(np.inf, dtype))
    assert np.array_equal(ordinals(above), places[:-1] + 1)


def test_points_of_two_numbers_have_neighbours_only_beside_the_same_held_one() -> None:
    x, y = of_two("float64")
    found = gaps(x, y)
    assert found
    assert all(y[i] == y[j] and x[i] < between(x, i, j) < x[j] for i, j in found)
    assert any(x[i] == y[i] for i in range(len(x)))


def test_the_search_comes_to_a_seam_that_no_list_has() -> None:
    seam = 17.123456789
    x = np.linspace(-30, 30, 25)
    y = np.zeros_like(x)

    def answers() -> list[Answer]:
        off = Answer(1, 1, floors=1e6, status="off")
        return [off if each >= seam else Answer(1, 1, floors=1, status="right") for each in x]

    for _ in range(55):
        new = next_points(x, y, {("torch", "value"): answers()})
        x, y = np.concatenate([x, new[0]]), np.concatenate([y, new[1]])
    assert x[x >= seam].min() == np.nextafter(x[x < seam].max(), np.inf)


def test_the_search_ends_where_no_number_is_between_two() -> None:
    x = np.array([1.0, np.nextafter(1.0, 2.0)])
    right = [Answer(1, 1, floors=1, status="right")] * 2
    assert not len(next_points(x, np.zeros(2), {("jax", "value"): right})[0])
