"""Large losses are proven by enclosures of whole arrays, small ones by balls: the truth is the same either way."""

import platform
import subprocess
import sys
from typing import Any

import flint
import numpy as np
import pytest

from gradparity.model_spec.problem import UserProblem
from gradparity.truth.derivatives.reverse import KinkError, differentiate, enclosed_whole
from gradparity.truth.derivatives.series import certify
from gradparity.truth.model import kinds
from gradparity.truth.model.truth import NARROW, neutral_reference
from gradparity.truth.numbers import doubled, matrices
from gradparity.truth.numbers.balls import exact_balls
from gradparity.truth.numbers.enclosure import Enclosures
from tests.truth import neutral_models as models
from tests.truth.neutral_models import certified, problem_of

WHOLE = "certified in ball arithmetic at 106 bits"


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "LARGE", 0)


def network(p: Any, d: Any, xp: Any) -> Any:
    hidden = d["x"] @ p["W0"] + p["b0"]
    hidden = xp.maximum(hidden, 0) if d["relu"] else xp.tanh(hidden)
    out = hidden @ p["W1"]
    top = xp.max(out, axis=1, keepdims=True)
    return xp.mean(xp.log(xp.sum(xp.exp(out - top), axis=1)) + top[:, 0] - xp.sum(out * d["labels"], axis=1))


def classifier(relu: bool, rows: int = 60, features: int = 40, width: int = 30, dtype: str = "float64") -> UserProblem:
    rng = np.random.default_rng(3)
    params = {
        "W0": rng.standard_normal((features, width)) / 6, "b0": rng.standard_normal(width),
        "W1": rng.standard_normal((width, 5)) / 5,
    }  # fmt: skip
    x = rng.uniform(0, 1, (rows, features)) * (rng.uniform(size=(rows, features)) < 0.5)
    x[:, :3] = 0  # pixels that are always dark
    params = {name: value.astype(dtype) for name, value in params.items()}
    tangents = {name: rng.standard_normal(value.shape).astype(dtype) for name, value in params.items()}
    data = {"x": x.astype(dtype), "labels": np.eye(5)[rng.integers(0, 5, rows)], "relu": relu}
    return problem_of(params, data, tangents)


@pytest.mark.parametrize("relu", [True, False])
def test_a_network_is_certified_as_whole_arrays_and_in_every_entry_what_balls_have(relu: bool) -> None:
    problem = classifier(relu)
    found = certified(network, problem, budget_s=30.0)
    assert found.method == WHOLE
    assert found.directions == 2
    assert not found.unknown
    balls = differentiate(network, problem.params, problem.data, problem.tangents)
    assert balls is not None
    for key, each in balls.blocks.items():
        np.testing.assert_allclose(found.truth[key], each.as_longdouble(), rtol=1e-18, atol=0)
        np.testing.assert_array_equal(found.truth[key] == 0, each.is_zero)
    assert np.count_nonzero(found.truth["gradient", "W0"] == 0) >= 90


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize("model", models.MODELS)
def test_models_have_the_truth_that_balls_have(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, problem = models.draw(model, 1)
    whole = certified(loss, problem)
    assert whole.method == WHOLE
    monkeypatch.setattr(kinds, "LARGE", np.inf)
    balls = certified(loss, problem)
    assert balls.method.startswith("certified in ball arithmetic at ")
    for key, value in balls.truth.items():
        assert np.all(np.abs(whole.truth[key] - value) <= NARROW * balls.floor[key])
    assert whole.directions == balls.directions


def beyond_float64(p: Any, d: Any, xp: Any) -> Any:
    return xp.sum(p["a"] * p["a"]) + xp.sum(xp.exp(p["b"] - 800))


BEYOND = problem_of(
    {"a": np.array([1.5, 0.3]), "b": np.array([0.25])}, {}, {"a": np.array([1.0, 2.0]), "b": np.array([1.0])}
)


@pytest.mark.usefixtures("everything_is_large")
def test_entries_that_are_too_wide_go_to_balls_where_there_is_time() -> None:
    found = certified(beyond_float64, BEYOND)
    assert found.method == "certified in ball arithmetic at 128 bits"
    np.testing.assert_allclose(found.truth["gradient", "b"], np.exp(np.longdouble(0.25) - 800), rtol=1e-15)


@pytest.mark.usefixtures("everything_is_large")
def test_and_where_there_is_none_are_counted_as_extended_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "BALL_S", np.inf)
    found = certified(beyond_float64, BEYOND)
    assert found.method.startswith(f"{WHOLE}, but for 2 entries, which are in extended precision")
    np.testing.assert_allclose(found.truth["gradient", "b"], np.exp(np.longdouble(0.25) - 800), rtol=1e-15)


def test_a_mask_of_infinities_is_certified_as_whole_arrays() -> None:
    def attention(p: Any, d: Any, xp: Any) -> Any:
        q, k, v = (d["x"] @ p[name] for name in "qkv")
        scores = xp.where(d["mask"], q @ xp.swapaxes(k, 1, 2), -np.inf)
        shifted = scores - xp.max(scores, axis=-1, keepdims=True)
        weights = xp.exp(shifted) / xp.sum(xp.exp(shifted), axis=-1, keepdims=True)
        return xp.mean((weights @ v) ** 2)

    rng = np.random.default_rng(5)
    params = {name: rng.standard_normal((9, 9)) / 3 for name in "qkv"}
    data = {"x": rng.standard_normal((3, 14, 9)), "mask": np.tril(np.ones((14, 14), bool))}
    along = {name: rng.standard_normal((9, 9)) for name in "qkv"}
    whole = enclosed_whole(attention, params, data, along)
    balls = differentiate(attention, params, data, along)
    assert whole is not None
    assert balls is not None
    assert whole.known
    for key, each in balls.blocks.items():
        gap = np.abs(whole.blocks[key].as_longdouble() - each.as_longdouble())
        assert np.all(gap <= whole.blocks[key].radii() + 2.0**-63 * np.abs(each.as_longdouble()))


@pytest.mark.usefixtures("everything_is_large")
def test_a_tie_that_only_balls_can_prove_is_left_to_them() -> None:
    params = {"a": np.array([0.3, 0.3, 0.1])}
    data = {"x": np.array([0.7, 0.7])}

    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.max(xp.exp(d["x"])) * xp.sum(p["a"] ** 2)

    assert enclosed_whole(loss, params, data, params) is None
    found = neutral_reference(loss, params, data, params, seed=0, budget_s=5.0)
    assert found.method == "certified in ball arithmetic at 256 bits"


def test_where_float64_is_not_as_usual_balls_are_taken() -> None:
    """Subnormal numbers flushed to zero, and another direction of rounding, in a process of its own."""
    program = """
import ctypes, sys
from gradparity.truth.numbers.doubled import is_usual
assert is_usual()
libm = ctypes.CDLL("libm.so.6")
assert libm.fesetround(int(sys.argv[1], 16)) == 0
assert not is_usual()
libm.fesetround(0)
assert is_usual()
"""
    if platform.machine() == "x86_64" and platform.system() == "Linux":
        for mode in ("0x400", "0x800", "0xc00"):  # downward, upward, toward zero
            subprocess.run([sys.executable, "-c", program, mode], check=True)


def test_a_tie_of_exact_numbers_is_found() -> None:
    problem = classifier(True)
    problem.params["b0"][:] = 0
    problem.data["x"][:2] = 0
    with pytest.raises(KinkError) as met:
        enclosed_whole(network, problem.params, problem.data, problem.tangents)
    assert {kink.name for kink in met.value.kinks} == {"maximum", "max"}


def test_forward_mode_over_whole_arrays_encloses_what_balls_have_on_both_sides_of_a_tie() -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        return xp.sum(xp.abs(p["a"]) * xp.exp(p["a"])) + xp.sqrt(p["a"][0])

    params, along = {"a": np.array([0.0, 0.25, -1.5])}, {"a": np.array([0.5, 1.0, -2.0])}
    whole, balls = (certify(loss, params, {}, along, whole=kind) for kind in (True, False))
    assert whole.kinks == balls.kinks
    assert whole.status == balls.status
    for side in ("left", "right"):
        for part in ("value", "first", "second"):
            ours, theirs = (getattr(getattr(each, side), part).ball for each in (whole, balls))
            assert ours.overlaps(theirs) or (ours.is_nan() and not theirs.is_finite())


def test_a_radius_that_is_dropped_is_denied_by_what_the_truth_is_held_against(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the enclosures themselves, beyond their radius: extended precision refuses it."""
    monkeypatch.setattr(kinds, "LARGE", 0)
    multiply = doubled.multiply

    def wrong(a: Any, b: Any) -> Any:
        high, low, radius = multiply(a, b)
        return high * (1 + 2.0**-40), low, radius

    from gradparity.truth.numbers import midrad

    monkeypatch.setitem(midrad.MidRad.ufuncs, "multiply", lambda *x: midrad.blocked(wrong, *x))
    loss, problem = models.draw("perceptron", 1)
    assert certified(loss, problem).unknown


def test_large_products_of_longdoubles_are_as_accurate_as_those_that_are_added_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(4)
    a, b = (rng.standard_normal(shape) * rng.uniform(0.5, 1, shape).astype("g") for shape in ((30, 50), (50, 20)))
    a[:, 7] *= 1e-12
    b[:, 3] *= np.longdouble(10) ** 9
    a[5] = a[5] * 2.0 ** rng.integers(-60, 1, 50)
    monkeypatch.setattr(matrices, "SLICED", 0)
    with flint.ctx.workprec(400):
        exact = Enclosures(exact_balls(a) @ exact_balls(b)).as_longdouble()
    size = np.abs(a) @ np.abs(b)
    sliced, added = (np.abs(x - exact) / size for x in (matrices.extended_product(a, b), a @ b))
    assert sliced.max() <= max(added.max(), 2.0**-63)
    tiny = matrices.extended_product(a * np.longdouble(2) ** -8000, b)
    assert np.all(np.abs(tiny * np.longdouble(2) ** 8000 - exact) <= 2.0**-58 * size)
