"""What rounding does, against what it is seen to do in NumPy's own arithmetic, and against the formula of an error."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.model_spec.trees import structure
from gradparity.model_spec.user.containers import is_array
from gradparity.numerics.optimisers import GradientDescent
from gradparity.truth.model.drawing import FEWEST_DRAWS
from gradparity.truth.model.floor import Tape
from gradparity.truth.model.path import NeutralArithmetic
from gradparity.truth.model.spread import not_by_chance
from gradparity.truth.trajectory import reference_run
from tests.truth.neutral_models import problem_of


def floor_of(loss: Callable[[Any, Any, Any], Any], params: Any, data: Any | None = None, seed: int = 0) -> Any:
    """Values and floors, by block, in the dtype of the first parameter."""
    tape = Tape(loss, params, data or {}, params)
    values = tape.values()
    dtype = str(next(iter(params.values())).dtype)
    return values, tape.floor(values, dtype, seed=seed, seconds=1.0)


def attention(p: Any, d: Any, xp: Any) -> Any:
    s = (d["X"] @ p["Q"]) @ (d["X"] @ p["K"]).T + d["mask"]
    e = xp.exp(s - xp.max(s, axis=1, keepdims=True))
    return xp.mean((e / xp.sum(e, axis=1, keepdims=True) @ d["X"]) ** 2)


def test_minus_infinity_in_a_mask_has_the_floors_of_a_mask_that_is_large_enough() -> None:
    rng = np.random.default_rng(0)
    params = {name: rng.standard_normal((3, 4)) for name in "QK"}
    X, allowed = rng.standard_normal((5, 3)), np.tril(np.ones((5, 5))) > 0
    # e^-1000 is 0 in float64: the same function.
    (_, infinite), (_, large) = (
        floor_of(attention, params, {"X": X, "mask": np.where(allowed, 0.0, -size)}) for size in (np.inf, 1e3)
    )
    for key, floor in infinite.items():
        assert np.all(np.isfinite(floor) & (floor > 0)), key
        assert np.all((floor / large[key] < 3) & (large[key] / floor < 3)), key


def test_an_infinity_written_in_the_loss_rounds_to_itself() -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        started = xp.logaddexp(-xp.inf, p["x"]) + xp.logaddexp(xp.full((3,), -np.inf), p["x"])
        ended = xp.cumsum(xp.minimum(p["x"], xp.inf))
        masked = xp.exp(xp.where(xp.arange(3) < 2, p["x"], -xp.inf))
        return xp.sum(started) + xp.sum(ended) + xp.sum(masked) + xp.sum(xp.exp(-xp.cumsum(d["end"])))

    _, floor = floor_of(loss, {"x": np.array([0.3, 1.7, -2.2])}, {"end": np.array([0.3, np.inf, 1.0])})
    for key, value in floor.items():
        assert np.isfinite(value).all(), key
        assert np.all(value < 1e-14), key


def test_a_sum_of_exponentials_rounds_alike_whichever_side_is_larger() -> None:
    """``exp(a - result)``, as frameworks form the slope of the larger side, is off by ``u |a|``."""

    def loss(p: Any, d: Any, xp: Any) -> Any:
        z = d["x"] * p["w"]
        return xp.sum(xp.logaddexp(z, -z))

    rng = np.random.default_rng(3)
    x = 1000 + rng.standard_normal(40)
    floors = [floor_of(loss, {"w": np.array(1.0)}, {"x": sign * x})[1] for sign in (1, -1)]
    for key, floor in floors[0].items():
        assert 1 / 3 < floor / floors[1][key] < 3, key
    # The curvature of a row, x^2 s (1 - s), is then off by x^2 u |a|, and those of forty rows by its root.
    assert floors[0]["hvp", "w"] > 1e6 * 2.0**-53 * 1000 * np.sqrt(40) / 3


def test_a_domain_that_half_of_all_roundings_leave_has_the_floor_of_those_that_stay() -> None:
    x = 1 - 2.0**-50  # 16 roundings from where arccos ends
    _, floor = floor_of(lambda p, d, xp: xp.sum(xp.arccos(p["x"])), {"x": np.array([x, 1 - 2.0**-53])})
    # u |x f''(x)| for f'(x) = -(1 - x^2)^(-1/2)
    expected = 2.0**-53 * x * x / (1 - x * x) ** 1.5
    assert 1 / 3 < floor["gradient", "x"][0] / expected < 3
    assert np.isfinite(floor["gradient", "x"]).all()


def test_a_domain_that_every_rounding_leaves_is_known_by_smaller_steps() -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        # Positive by one rounding: of 40 such, one becomes negative in nearly every draw.
        return xp.sum(p["x"]) * xp.prod(xp.sqrt(d["c"] - (1 - 2.0**-52)))

    _, floor = floor_of(loss, {"x": np.array([0.7, 0.1])}, {"c": np.full(40, 1 - 2.0**-53)})
    assert np.all(np.isfinite(floor["gradient", "x"]))
    _, never = floor_of(lambda p, d, xp: xp.sum(xp.sqrt(p["x"] - 1)), {"x": np.array([1.0, 3.0])})
    assert np.isnan(never["gradient", "x"]).tolist() == [True, False]


def test_a_constant_that_float32_does_not_hold_is_off_by_its_own_error_at_every_use() -> None:
    t = np.arange(5000, dtype=np.float32)

    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(0.9995 ** d["t"] * p["w"])

    _, floor = floor_of(loss, {"w": np.ones(1, np.float32)}, {"t": t})
    error = np.sum(t * 0.9995 ** (t - 1.0)) * (float(np.float32(0.9995)) - 0.9995)
    assert abs(error) < 3 * floor["gradient", "w"][0] < 10 * abs(error)
    _, exact = floor_of(lambda p, d, xp: xp.sum(0.75 * p["w"]), {"w": np.ones(1, np.float32)})
    assert exact["gradient", "w"][0] < 2.0**-23
    _, wide = floor_of(loss, {"w": np.ones(1)}, {"t": t.astype(float)})
    assert wide["gradient", "w"][0] < 1e-9 * abs(error)


def test_array_constants_of_the_loss_are_rounded_as_well() -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(xp.cos(1e4 * xp.arange(3) * 0.1 * p["w"]) + xp.full((3,), 0.3) * p["w"])

    w = np.array([1.0, 2.0, 3.0], np.float32)
    values, floor = floor_of(loss, {"w": w})
    rounded = np.float32(1e4) * np.arange(3, dtype=np.float32) * np.float32(0.1) * w
    slopes = -np.sin(rounded) * np.float32(1e4) * np.arange(3, dtype=np.float32) * np.float32(0.1) + np.float32(0.3)
    assert np.all(np.abs(slopes - values["gradient", "w"]) < 8 * floor["gradient", "w"])


def _in_turn(terms: Any) -> Any:
    return np.cumsum(terms)[-1]


def _looped(x: Any, steps: int) -> Any:
    total = x * 0
    for _ in range(steps):
        total = total + x
    return total


#: Losses with many equal terms, and what NumPy makes of them in the dtype, one term after the other.
EQUAL: dict[str, tuple[Callable[[Any, Any, Any], Any], Callable[[Any], Any]]] = {
    "sum": (lambda p, d, xp: xp.sum(d["one"] * p["x"]), lambda x: _in_turn(np.full(50_000, x))),
    "product": (lambda p, d, xp: (d["one"] * p["x"]) @ d["one"], lambda x: _in_turn(np.full(50_000, x))),
    "running sum": (lambda p, d, xp: xp.cumsum(d["one"] * p["x"])[-1], lambda x: _in_turn(np.full(50_000, x))),
    "recursion": (lambda p, d, xp: _looped(p["x"][0], 2000), lambda x: _looped(x, 2000)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", EQUAL)
def test_equal_terms_are_no_random_walk(name: str, dtype: str) -> None:
    loss, by_numpy = EQUAL[name]
    beyond = 0
    for x in np.array([0.1, 0.3, 0.7, 1.1], dtype):
        params, data = {"x": np.array([x])}, {"one": np.ones(50_000, dtype)}
        values, floor = floor_of(loss, params, data)
        error = abs(by_numpy(x) - values["loss", ""])
        assert error <= 2 * floor["loss", ""]
        # Partial sums x, 2 x, ... n x whose roundings are independent move the sum by u n x sqrt(n / 3).
        beyond += error > 4 * np.finfo(dtype).eps / 2 * values["loss", ""] * np.sqrt(values["loss", ""] / x / 3)
    assert beyond


def test_equal_terms_that_meet_at_a_place_are_no_random_walk() -> None:
    places = np.random.default_rng(0).integers(0, 3, 60_000)

    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.mean(p["e"][d["i"]] ** 2)

    e = np.array([0.1, 0.3, 0.7], np.float32)
    values, floor = floor_of(loss, {"e": e}, {"i": places})
    by_numpy = np.zeros(3, np.float32)
    np.add.at(by_numpy, places, (2 * e[places] / np.float32(60_000)).astype(np.float32))
    error = np.abs(by_numpy - values["gradient", "e"])
    assert np.all(error <= 2 * floor["gradient", "e"])
    assert np.any(error > 100 * 2.0**-24 * np.abs(values["gradient", "e"]))


def test_a_run_whose_draws_are_no_numbers_is_known_up_to_there() -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        # Falls by 1 a step to exactly 0, off which every rounding leaves the domain or has a slope of 1e8.
        return xp.sum(p["x"]) + xp.sum(xp.where(p["x"] < 0.5, xp.log(p["x"]), 0.0))

    params, data = {"x": np.array([3.0])}, {"t": np.array([1.0])}
    forms = json.dumps({"params": structure(params, is_array), "data": structure(data, is_array)})
    problem = problem_of(params, data, params)
    problem = replace(problem, spec=replace(problem.spec, forms=forms))
    known = reference_run(problem, GradientDescent(1.0), 6, NeutralArithmetic(loss))
    resolved = np.isfinite(known.loss_floor)
    assert resolved.tolist() == sorted(resolved, reverse=True)
    assert 0 < resolved.sum() < 7
    assert not known.complete


def test_a_reference_run_past_its_seconds_ends_there_and_is_not_complete() -> None:
    calls = []

    def loss(p: Any, d: Any, xp: Any) -> Any:
        calls.append(time.sleep(0.05 if len(calls) > 20 else 0))  # slower than it was when it was timed
        return xp.sum(xp.abs(p["x"] - d["t"]) ** 2)  # with a comparison it is called for every evaluation

    params, data = {"x": np.array([3.0])}, {"t": np.array([0.7])}
    forms = json.dumps({"params": structure(params, is_array), "data": structure(data, is_array)})
    problem = problem_of(params, data, params)
    problem = replace(problem, spec=replace(problem.spec, forms=forms))
    began = time.monotonic()
    known = reference_run(problem, GradientDescent(0.1), 2000, NeutralArithmetic(loss, seconds=0.5))
    assert time.monotonic() - began < 3
    assert not known.complete
    assert 0 < len(known.loss_floor) < 100


def test_few_draws_of_very_many_entries_leave_none_beyond_the_limit_by_chance() -> None:
    rng = np.random.default_rng(0)
    # A layer's gradient, its roundings normal and as large as the floor says: of 250,000 none is beyond 5.2 deviations.
    deviation = np.exp(rng.standard_normal((500, 1)) + rng.standard_normal(500))
    errors = deviation * rng.standard_normal((500, 500))
    seen = np.mean((deviation * rng.standard_normal((FEWEST_DRAWS, 500, 500))) ** 2, axis=0)
    floor = np.sqrt(not_by_chance(np.asarray(seen, np.longdouble), FEWEST_DRAWS))
    assert np.abs(errors / np.sqrt(seen)).max() > 1.5 * AGREES_FLOORS
    assert np.abs(errors / floor).max() < AGREES_FLOORS
    assert np.median(floor / deviation) < 1.2  # and errors of 10 floors are as visible as before


def test_an_entry_that_rounds_less_than_its_row_and_column_keeps_its_floor() -> None:
    seen = np.ones((40, 40), np.longdouble)
    seen[3, 4], seen[7], seen[5, 6] = 1e-20, 0, np.nan
    found = not_by_chance(seen, 32)
    assert found[3, 4] < 2 * 1e-20
    assert not found[7].any()
    assert np.isnan(found[5, 6])
    assert np.isfinite(np.delete(found.ravel(), 5 * 40 + 6)).all()


def test_a_number_of_the_data_has_a_floor_through_any_function() -> None:
    # NumPy makes scalars of arrays of shape (); several draws at once have to take them.
    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(p["x"]) * xp.tanh(d["k"]) * xp.i1(d["k"]) * xp.i0(d["k"]) * xp.sigmoid(d["k"])

    _, floor = floor_of(loss, {"x": np.array([0.3, 1.7])}, {"k": np.array(2)})
    assert all(np.all(np.isfinite(each)) and np.all(each < 1e-14) for each in floor.values())
