"""The specification: what it accepts, what it refuses and in which words."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import in_other_precision, make_problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic, from_dict, to_dict


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("features", 0, "features: got 0, expected an integer of 1 or more"),
        ("features", 2.0, "features: got 2.0, expected an integer of 1 or more"),
        ("features", True, "features: got True, expected an integer of 1 or more"),
        ("projection", 0, "projection: got 0, expected an integer of 1 or more"),
        ("projection", -3, "projection: got -3, expected an integer of 1 or more"),
        ("logit_scale", 0.0, "logit_scale: got 0.0, expected a finite number other than 0"),
        ("logit_scale", float("nan"), "logit_scale: got nan, expected a finite number other than 0"),
        ("l2", -1.0, "l2: got -1.0, expected a finite number of 0 or more"),
        ("dtype", "float16", "dtype: got 'float16', expected one of float64, float32"),
        ("formulation", "fast", "formulation: got 'fast', expected one of as_written, reassociated, blocked"),
        ("numerics", "", "numerics: got '', expected one of stable, naive"),
        ("reduction", "max", "reduction: got 'max', expected one of sum, mean"),
    ],
)
def test_a_field_out_of_range_is_refused_with_rule_got_and_expected(field: str, value: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        ProjectedLogistic(**{"features": 3, "projection": 2, field: value})
    assert str(caught.value) == f"{words}."


def test_a_specification_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Logistic(features=3).features = 4  # type: ignore[misc]


@given(
    features=st.integers(1, 9),
    projection=st.integers(0, 9),
    scale=st.floats(-10, 10).filter(bool),
    l2=st.floats(0, 10),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_a_specification_survives_a_message(
    features: int, projection: int, scale: float, l2: float, dtype: Any
) -> None:
    shared = {"features": features, "logit_scale": scale, "l2": l2, "dtype": dtype}
    spec = ProjectedLogistic(**shared, projection=projection) if projection else Logistic(**shared)
    assert from_dict(msgspec.msgpack.decode(msgspec.msgpack.encode(to_dict(spec)))) == spec


def test_an_unknown_kind_of_model_is_refused() -> None:
    with pytest.raises(InputError, match="one of logistic, projected_logistic"):
        from_dict({"kind": "probit", "features": 3})


def test_the_random_start_is_seeded_small_and_off_zero() -> None:
    spec = ProjectedLogistic(features=30, projection=20)
    first, again, other = spec.initial(7), spec.initial(7), spec.initial(8)
    assert np.array_equal(first["W"], again["W"])
    assert not np.array_equal(first["W"], other["W"])
    assert first["W"].all()
    assert first["W"].std() == pytest.approx(0.1, rel=0.1)


def test_the_zero_start_is_zero() -> None:
    start = ProjectedLogistic(features=3, projection=2).initial(start="zeros")
    assert not start["w"].any()
    assert not start["W"].any()


@pytest.mark.parametrize(
    "params", [{"w": np.zeros(2)}, {"w": np.zeros(3), "W": np.zeros((3, 2))}, {"w": np.zeros(2), "W": np.zeros((2, 3))}]
)
def test_parameters_that_do_not_fit_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"parameter"):
        ProjectedLogistic(features=3, projection=2).pack(params)


def test_a_block_of_rows_fits_in_the_cache_and_is_never_empty() -> None:
    assert Logistic(features=64).block_rows * 64 * 8 == 2**22
    assert Logistic(features=64, dtype="float32").block_rows * 64 * 4 == 2**22
    assert Logistic(features=10**7).block_rows == 1


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        (np.ones((4, 2)), np.ones(4), r"data X: got shape \(4, 2\), expected shape \(rows, 3\)"),
        (np.ones((4, 3)), np.ones(5), r"data y: got shape \(5,\), expected shape \(4,\)"),
        (np.full((1, 3), np.nan), np.ones(1), r"data X as float32: got nan at \(0, 0\)"),
        (np.array([[0, 1e39, 0]]), np.ones(1), r"data X as float32: got inf at \(0, 1\)"),
    ],
)
def test_data_that_does_not_fit_the_model_or_its_dtype_is_refused(X: Any, y: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_problem("data", Logistic(features=3, dtype="float32"), X, y)


def test_the_other_precision_is_the_same_problem_rounded() -> None:
    problem = make_problem("data", Logistic(features=1), [[0.1]], [1.0])
    other = in_other_precision(problem)
    assert other.spec.dtype == "float32"
    assert other.data["X"][0, 0] == np.float32(0.1)
    assert in_other_precision(other).data["X"][0, 0] == float(np.float32(0.1))
