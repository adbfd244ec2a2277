"""Inputs moved by one rounding, and the floors that follow, against errors derived by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.numerics.perturbation import (
    DRAWS,
    LINE_POINTS,
    SMOOTH,
    along_line,
    few_draws,
    floor_from,
    line_noise,
    perturbed,
)

U = 2.0**-53


def moves(**data: Any) -> Any:
    return [drawn for _, drawn, _ in perturbed({}, data, {}, seed=1)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_real_number_moves_to_its_neighbour_up_or_down(dtype: str) -> None:
    value = np.random.default_rng(0).standard_normal((50, 3)).astype(dtype)
    drawn = moves(X=value)
    assert len(drawn) == DRAWS
    signs = set()
    for moved in (each["X"] for each in drawn):
        assert moved.dtype == value.dtype
        assert np.array_equal(np.maximum(moved, value), np.nextafter(np.minimum(moved, value), np.inf, dtype=dtype))
        signs |= set(np.sign(moved - value).ravel())
    assert signs == {-1.0, 1.0}


@pytest.mark.parametrize(
    "exact",
    [
        np.array([3, 1, 4]),
        np.array([True, False]),
        np.array([0.0, 1.0, 1.0, 0.0], np.float32),
        np.array([2.0, 7.0, np.nan, np.inf]),
    ],
)
def test_labels_counts_and_masks_stay_what_they_are_whatever_their_dtype(exact: Any) -> None:
    for each in moves(y=exact):
        assert np.array_equal(each["y"], exact, equal_nan=exact.dtype.kind == "f")


def test_zeros_and_numbers_at_the_end_of_the_range_stay() -> None:
    largest = np.finfo(np.float64).max
    for each in moves(X=np.array([0.0, largest, -largest, np.nan, np.inf, 0.5])):
        assert each["X"][0] == 0
        assert np.isfinite(each["X"][1:3]).all()
        assert np.isnan(each["X"][3])
        assert np.isinf(each["X"][4])
        assert each["X"][5] != 0.5


def test_parameters_that_are_whole_numbers_do_move_and_a_seed_repeats_itself() -> None:
    params, tangents = {"w": np.ones(4)}, {"w": np.full(4, 0.3)}
    first, again = (list(perturbed(params, {}, tangents, seed=5, draws=3)) for _ in range(2))
    for (p, _, t), (p2, _, t2) in zip(first, again, strict=True):
        assert (p["w"] != 1).all()
        assert (t["w"] != 0.3).all()
        assert np.array_equal(p["w"], p2["w"])
        assert np.array_equal(t["w"], t2["w"])


def floor_of(f: Any, draws: int = DRAWS, **params: Any) -> Any:
    params = {name: np.asarray(value, np.float64) for name, value in params.items()}
    evaluations = [{"loss": {"": f(**p)}} for p, _, _ in perturbed(params, {}, {}, seed=2, draws=draws)]
    return float(floor_from({"loss": {"": f(**params)}}, evaluations, "float64")["loss", ""])


def test_the_floor_of_a_difference_is_that_of_what_cancels() -> None:
    # Each moves by one ulp of 1.5, which is 2u: up or down, the difference has a deviation of 2u sqrt(2).
    floor = floor_of(lambda a, b: a - b, draws=400, a=1.5, b=1.5 - 2**-40)
    assert floor == pytest.approx(2 * np.sqrt(2) * U, rel=0.1)


def test_the_floor_of_a_product_is_a_few_roundings_of_it() -> None:
    floor = floor_of(lambda a, b: a * b, draws=400, a=1.3, b=1.7)
    assert 2 * U < floor / (1.3 * 1.7) < 4 * U


def test_the_floor_grows_with_the_terms_of_a_sum_taken_in_order() -> None:
    short, long = (
        floor_of(lambda w: np.add.accumulate(np.sin(w))[-1], w=np.random.default_rng(3).uniform(1, 2, n))
        for n in (100, 10_000)
    )
    assert long > 30 * short  # partial sums are 100 times as large, and 100 times as many round


def test_an_entry_that_nothing_moves_keeps_the_rounding_of_its_own() -> None:
    floors = floor_from(
        {"gradient": {"w": np.array([3.0, 0.0])}}, [{"gradient": {"w": np.array([3.0, 0.0])}}], "float64"
    )
    assert floors["gradient", "w"][0] == pytest.approx(3 * U, rel=1e-6)
    assert floors["gradient", "w"][1] <= 5e-324


def test_few_draws_raise_the_floor_so_that_chance_does_not() -> None:
    rng = np.random.default_rng(4)
    for draws in (4, 8, 16):
        right, beyond = 200_000, 0
        noise = {"gradient": {"w": rng.standard_normal(right)}}
        drawn = [{"gradient": {"w": rng.standard_normal(right)}} for _ in range(draws)]
        zero = {"gradient": {"w": np.zeros(right)}}
        beyond = np.sum(np.abs(noise["gradient"]["w"]) > 5.73 * floor_from(zero, drawn, "float64")["gradient", "w"])
        assert beyond <= 1  # 5.73 deviations are beyond reach once in 1e8


def test_a_floor_of_no_evaluation_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        floor_from({}, [], "float64")


def one_after_the_other(X: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Sums of columns with a rounding at every row, as a matrix-vector product may have them."""
    return {"gradient": {"w": np.cumsum(X, axis=0)[-1]}}


def test_the_roundings_of_a_long_sum_are_seen_along_the_line_alone():
    X = np.random.default_rng(4).uniform(0.5, 1.5, (20_000, 40))
    found = one_after_the_other(X)
    truth = np.array([math.fsum(column) for column in X.T])
    drawn = [one_after_the_other(d["X"]) for _, d, _ in perturbed({}, {"X": X}, {}, seed=0)]
    line = [one_after_the_other(d["X"]) for _, d, _ in along_line({}, {"X": X}, {}, seed=0)]
    off = np.abs(found["gradient"]["w"] - truth)
    moved, whole = (floor_from(found, drawn, "float64", of)["gradient", "w"] for of in ((), line))
    assert (off > 8 * moved).any()  # right, and beyond what moved inputs say
    assert (off < 8 * whole).all()
    assert (whole < 8 * np.sqrt(np.mean(off**2))).all()  # and no larger than it has to be


@given(deviation=st.floats(1e-12, 1e-3), seed=st.integers(0, 10**6))
def test_noise_along_a_line_is_what_was_put_in_whatever_parabola_it_is_on(deviation: float, seed: int):
    rng = np.random.default_rng(seed)
    at = np.arange(LINE_POINTS)[:, None]
    smooth = rng.normal(size=200) + rng.normal(size=200) * at + rng.normal(size=200) * at**2
    found = line_noise(list(smooth + deviation * rng.normal(size=smooth.shape)))
    raised = few_draws(LINE_POINTS - SMOOTH)
    assert float(np.sqrt(np.mean(found**2))) == pytest.approx(raised * deviation, rel=0.2)


@pytest.mark.parametrize("at", [3, 8, 12])
def test_a_jump_along_the_line_is_no_noise_and_noise_is_no_jump(at: int) -> None:
    rng = np.random.default_rng([at, 43])
    t = np.linspace(-1, 1, 16)[:, None]
    noise = 1e-7 * rng.standard_normal((16, 400))
    smooth = (1 + 0.01 * t + 0.001 * t**2) * np.ones(400)
    plain, jumping = smooth + noise, smooth + noise + 0.2 * (np.arange(16)[:, None] >= at)
    found, passed = line_noise(list(plain)), line_noise(list(jumping))
    fewer = few_draws(4) / few_draws(13)  # of 13 third differences, four have nothing in common
    assert np.median(passed) < 2 * fewer * np.median(found)
    assert passed.max() < 1e-3 * 0.2  # nothing of the jump is left
    assert (found > 1e-7).mean() > 0.99  # of noise alone the estimate stays what it was
