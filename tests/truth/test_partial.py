"""Where there is no time for the whole truth of a very large model, less of it is certified, and what it is is said."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import flint
import numpy as np
import pytest

from gradparity.judge.verdicts import AGREES_FLOORS, judge
from gradparity.model_spec.problem import UserProblem
from gradparity.results import Finding
from gradparity.truth.derivatives.reverse import KinkError, differentiate, enclosed_whole
from gradparity.truth.model import partial
from gradparity.truth.numbers.context import OutOfTimeError
from gradparity.truth.numbers.enclosure import to_longdouble
from gradparity.truth.reference import PROJECTION, Reference, along_directions, direction
from tests.truth.neutral_models import certified
from tests.truth.test_kinds import classifier, network

DTYPES = ("float64", pytest.param("float32", marks=pytest.mark.slow))
ENTRIES, DIRECTIONS = "gradient", "directions"


@pytest.fixture
def reduced(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Every model is very large, and of its truth there is time for the gradient, or for some directions."""

    def choose(what: str) -> None:
        monkeypatch.setattr(partial, "VERY_LARGE", 0)
        monkeypatch.setattr(partial, "EVERYTHING", np.inf)
        if what == DIRECTIONS:
            monkeypatch.setattr(partial, "ENCLOSED", np.inf)

    return choose


def gradient_of(problem: UserProblem) -> dict[str, Any]:
    """By balls."""
    found = differentiate(network, problem.params, problem.data, problem.tangents)
    assert found is not None
    return {path: each.as_longdouble() for path, each in found.gradient.items()}


def answer(problem: UserProblem, truth: Reference, gradient: dict[str, Any]) -> dict[str, Any]:
    """What a backend gives that computes this gradient, and everything else rightly."""
    rounded = {path: value.astype(problem.spec.dtype) for path, value in gradient.items()}
    loss = truth.truth["loss", ""].astype(problem.spec.dtype)
    return {"loss": {"": loss}, "gradient": rounded, "jvp": {"": loss}, "hvp": rounded}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_that_there_is_time_for_is_what_balls_have_in_every_entry(
    dtype: str, reduced: Callable[[str], None]
) -> None:
    problem = classifier(relu=False, dtype=dtype)
    whole = certified(network, problem, budget_s=30.0)
    reduced(ENTRIES)
    found = certified(network, problem, budget_s=30.0)
    assert set(found.truth) == {("loss", ""), *(("gradient", path) for path in problem.params)}
    assert found.method == (
        "loss and all 1,380 entries of the gradient, certified as enclosures of whole arrays, "
        "confirmed by forward mode in 1 direction"
    )
    assert set(found.untimely) == {"jvp", "hvp"}
    assert not found.unknown
    for path, value in gradient_of(problem).items():
        assert np.all(np.abs(found.truth["gradient", path] - value) <= partial.NARROW * found.floor["gradient", path])
    for key, floor in found.floor.items():  # draws of another order, and as wide
        assert 0.5 <= np.sqrt(np.mean(floor**2) / np.mean(whole.floor[key] ** 2)) <= 2, key


@pytest.mark.parametrize("dtype", DTYPES)
def test_directions_have_what_the_gradient_by_balls_has_along_them(dtype: str, reduced: Callable[[str], None]) -> None:
    problem = classifier(relu=False, dtype=dtype)
    reduced(DIRECTIONS)
    found = certified(network, problem, budget_s=30.0)
    assert set(found.truth) == {("loss", ""), (PROJECTION, "")}
    assert found.method == (
        "loss, and gradient along 3 random directions, certified as enclosures of whole arrays; "
        "0 of 1,380 entries one by one"
    )
    assert set(found.untimely) == {"gradient, entry by entry", "jvp", "hvp"}
    expected, shapes = gradient_of(problem), {path: np.shape(value) for path, value in problem.params.items()}
    for place, value in enumerate(found.truth[PROJECTION, ""]):
        v = direction(shapes, problem.seed, place)
        terms = np.concatenate([(expected[path] * v[path]).ravel() for path in v])
        assert abs(terms.sum() - value) <= partial.NARROW * found.floor[PROJECTION, ""][place]
        # One rounding of every entry moves the product by less than the floor, and the floor is no more than their sum.
        unit, floor = np.finfo(dtype).eps / 2, found.floor[PROJECTION, ""][place]
        assert unit * np.sqrt((terms**2).sum()) / 2 <= floor <= 100 * unit * np.abs(terms).sum()


def judged(quantities: dict[str, Any], truth: Reference, problem: UserProblem) -> list[Finding]:
    data = {name: value for name, value in problem.data.items() if isinstance(value, np.ndarray)}
    return judge("someone", quantities, truth, replace(problem, data=data))


def verdicts(found: list[Finding]) -> dict[str, str]:
    return {each.block: each.verdict for each in found}


@pytest.mark.parametrize("what", [ENTRIES, DIRECTIONS])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_right_gradient_agrees_and_a_wrong_one_of_any_block_does_not(
    what: str, dtype: str, reduced: Callable[[str], None]
) -> None:
    problem = classifier(relu=False, dtype=dtype)
    reduced(what)
    truth, right = certified(network, problem, budget_s=30.0), gradient_of(problem)
    found = judged(answer(problem, truth, right), truth, problem)
    assert set(verdicts(found).values()) == {"agrees"}
    assert {each.quantity for each in found} == ({"loss", "gradient"} if what == ENTRIES else {"loss", PROJECTION})
    for path, value in right.items():
        for wrong in (value * (1 + (1e-9 if dtype == "float64" else 1e-2)), 0 * value, -value, value[::-1]):
            said = verdicts(judged(answer(problem, truth, {**right, path: wrong}), truth, problem))
            assert said["loss"] == "agrees"
            assert said[f"gradient {path}" if what == ENTRIES else PROJECTION] == "wrong", path


def test_what_is_judged_along_directions_says_that_no_entry_was_compared(reduced: Callable[[str], None]) -> None:
    problem = classifier(relu=False)
    reduced(DIRECTIONS)
    truth = certified(network, problem, budget_s=30.0)
    _, along = judged(answer(problem, truth, gradient_of(problem)), truth, problem)
    assert along.rule == (
        f"error of at most {AGREES_FLOORS:g} noise floors; along 3 random directions, no entry was compared by itself"
    )


@pytest.mark.parametrize("what", [ENTRIES, DIRECTIONS])
def test_a_gradient_of_another_shape_is_missing_and_not_multiplied(what: str, reduced: Callable[[str], None]) -> None:
    problem = classifier(relu=False)
    reduced(what)
    truth, right = certified(network, problem, budget_s=30.0), gradient_of(problem)
    said = verdicts(judged(answer(problem, truth, {**right, "b0": right["b0"][:-1]}), truth, problem))
    assert said["gradient b0" if what == ENTRIES else PROJECTION] == "wrong"


def test_without_time_for_draws_nothing_is_said_of_the_gradient(
    reduced: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    reduced(ENTRIES)
    monkeypatch.setattr(partial, "DRAWING", 0.0)
    with pytest.raises(OutOfTimeError, match="the draws of the noise floor alone take longer"):
        certified(network, classifier(relu=False), budget_s=30.0)


def test_a_rule_of_the_tape_that_is_wrong_is_denied_by_forward_mode(
    reduced: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradparity.truth.derivatives import reverse

    right = reverse.RULES["compose"]
    wrong = {"compose": lambda node, g: tuple(None if x is None else x * (1 + 2.0**-40) for x in right(node, g))}
    monkeypatch.setattr(reverse, "RULES", {**reverse.RULES, **wrong})
    reduced(ENTRIES)
    found = certified(network, classifier(relu=False), budget_s=30.0)
    assert all("forward mode" in why for why in found.unknown.values())
    assert not any(np.isfinite(value).any() for value in found.truth.values())


X = np.array([[0.5, -1.0, 2.0], [0.0, 1.0, 0.25]])
#: Losses whose point is on a seam of two pieces, at w = (0, 0, 1), and that are smooth there but for it.
SEAMS: dict[str, Any] = {
    "relu": lambda w, d, xp: xp.sum(xp.maximum(w, 0.0) * d),
    "abs": lambda w, d, xp: xp.sum(xp.abs(w) * d),
    "where": lambda w, d, xp: xp.sum(xp.where(w > 0, w * w, w) * d),
    "max": lambda w, d, xp: xp.sum(xp.max(d * w[None, :] + w[0], axis=0)),
    "sort": lambda w, d, xp: xp.sum(xp.sort(w) * d),
    "median": lambda w, d, xp: xp.median(w) * xp.sum(w * d),
    "floor": lambda w, d, xp: xp.sum(xp.floor(w) * d + w),
    "clip": lambda w, d, xp: xp.sum(xp.clip(w, 0.0, 0.5) * d),
    "sign": lambda w, d, xp: xp.sum(xp.sign(w) * d + w),
    "mod": lambda w, d, xp: xp.sum(xp.mod(w, 0.5) * d),
    "norm": lambda w, d, xp: xp.sqrt(xp.sum(w[:2] * w[:2])) + xp.sum(w * d),
    "inf norm": lambda w, d, xp: xp.linalg.norm(w[:2], ord=np.inf) + xp.sum(w * d),
    "relu of a constant row": lambda w, d, xp: xp.sum(xp.maximum(d @ w - d[:, 2], 0.0)),
}


@pytest.mark.parametrize("seam", SEAMS)
def test_no_gradient_is_certified_on_a_seam(seam: str) -> None:
    w = {"w": np.array([0.0, 0.0, 1.0])}
    try:
        found = enclosed_whole(lambda p, d, xp: SEAMS[seam](p["w"], d["x"], xp), w, {"x": X}, None)
    except KinkError:
        return
    assert found is None or not found.known


def test_ties_of_data_are_none_of_the_gradient() -> None:
    """Labels that are compared, and data that are cut off, do not move with the parameters."""

    def loss(p: Any, d: Any, xp: Any) -> Any:
        z = xp.maximum(d["x"], 0.0) @ p["w"]
        return xp.sum(xp.where(d["y"] == 1.0, xp.logaddexp(0.0, -z), xp.logaddexp(0.0, z)) * xp.abs(d["x"][:, 0]))

    found = enclosed_whole(loss, {"w": np.array([0.25, -0.5, 1.0])}, {"x": X, "y": np.array([1.0, 0.0])}, None)
    assert found is not None
    assert found.known


def test_a_point_on_a_seam_has_the_whole_truth_as_far_as_it_goes(reduced: Callable[[str], None]) -> None:
    tied = classifier(relu=True, rows=12, features=10, width=6)
    tied = replace(tied, params={**tied.params, "W0": 0 * tied.params["W0"], "b0": 0 * tied.params["b0"]})
    reduced(ENTRIES)
    assert "tie" in certified(network, tied, budget_s=30.0).method


def test_parameters_of_two_precisions_have_no_part_of_the_truth(reduced: Callable[[str], None]) -> None:
    reduced(ENTRIES)
    mixed = {"a": np.array([1.5, 0.3]), "b": np.array([0.25], np.float32)}
    found = partial.Partial(lambda p, d, xp: xp.sum(p["a"]) * xp.sum(p["b"]), mixed, {}, 0, np.inf)
    assert found.reference() is None


def test_projections_are_sums_of_products_in_extended_precision() -> None:
    gradient = {"W": np.array([[1.0, 2.0], [3.0, 2.0**-60]]), "b": np.array(5.0)}
    (along,) = along_directions(gradient, 7, 1)
    v = direction({"W": (2, 2), "b": ()}, 7, 0)
    with flint.ctx.workprec(200):
        terms = zip([1.0, 2.0, 3.0, 2.0**-60, 5.0], [*v["W"].ravel(), v["b"]], strict=True)
        expected = to_longdouble(sum((flint.arb(g) * float(x) for g, x in terms), flint.arb(0)).mid())
    assert abs(along - expected) <= 8 * np.finfo(np.longdouble).eps
    assert not np.array_equal(v["W"], direction({"W": (2, 2), "b": ()}, 7, 1)["W"])


def test_where_not_even_one_direction_fits_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "VERY_LARGE", 0)
    for what in ("EVERYTHING", "SERIES"):
        monkeypatch.setattr(partial, what, np.inf)
    with pytest.raises(OutOfTimeError, match="the gradient along one direction alone would take about inf s"):
        certified(network, classifier(relu=False), budget_s=30.0)


def test_where_nothing_came_through_in_time_the_whole_truth_is_not_begun(
    reduced: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    reduced(ENTRIES)
    monkeypatch.setattr(partial, "enclosed_whole", lambda *_, **__: None)
    monkeypatch.setattr(partial.Partial, "_series", lambda *_: None)
    with pytest.raises(OutOfTimeError, match="before as much as the gradient along one direction"):
        certified(network, classifier(relu=False), budget_s=30.0)


@pytest.mark.slow
@pytest.mark.skipif("GRADPARITY_LARGE" not in os.environ, reason="a minute of a processor, 3 GB: GRADPARITY_LARGE=1")
def test_ten_million_entries_are_certified_and_are_what_torch_gives() -> None:
    """In whatever time a busy machine takes for it: some 50 s of a processor."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    shapes = {"W0": (784, 3000), "b0": (3000,), "W1": (3000, 2500), "b1": (2500,), "W2": (2500, 10), "b2": (10,)}
    params = {name: rng.standard_normal(shape) / shape[0] ** 0.5 for name, shape in shapes.items()}
    data = {"X": rng.standard_normal((256, 784)), "y": np.eye(10)[rng.integers(0, 10, 256)]}

    def loss(p: Any, d: Any, xp: Any) -> Any:
        h = xp.tanh(xp.tanh(d["X"] @ p["W0"] + p["b0"]) @ p["W1"] + p["b1"])
        z = h @ p["W2"] + p["b2"]
        return xp.mean(xp.log(xp.sum(xp.exp(z), 1)) - xp.sum(z * d["y"], 1))

    found = certified_in_part(loss, params, data)
    assert found.method.startswith("loss and all 9,882,510 entries of the gradient, certified")
    assert set(found.untimely) == {"jvp", "hvp"}
    placed = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    loss(placed, {name: torch.tensor(value) for name, value in data.items()}, torch).backward()
    for name, value in placed.items():
        error = np.abs(value.grad.numpy() - found.truth["gradient", name])
        known = np.isfinite(error)
        assert known.mean() > 0.999
        assert np.all(error[known] <= AGREES_FLOORS * found.floor["gradient", name][known]), name


def certified_in_part(loss: Any, params: dict[str, Any], data: dict[str, Any]) -> Reference:
    """As if everything took too long, however long the rest does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partial, "EVERYTHING", np.inf)
        found = partial.Partial(loss, params, data, 0, time.monotonic() + 3600).reference()
    assert found is not None
    return found
