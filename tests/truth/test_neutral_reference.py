"""The truth and the noise floor of a user's loss: right backends lie within it, wrong rules beyond."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from gradparity.backends.protocol import Backend
from gradparity.judge.verdicts import judge
from gradparity.model_spec.problem import Problem, UserProblem, make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.results import Finding
from gradparity.truth.logistic.neutral import neutral_loss
from gradparity.truth.logistic.truth import reference
from gradparity.truth.model.floor import NO_DRAWS, Tape
from gradparity.truth.model.truth import neutral_reference
from gradparity.truth.numbers.context import NotCertifiableError
from gradparity.truth.reference import Reference
from gradparity.worker.evaluation import evaluations_at
from tests.conftest import configured
from tests.mutants.frameworks import toolbox
from tests.truth import neutral_models as models
from tests.truth.neutral_models import Loss, certified


def built_in(seed: int, dtype: str) -> Problem:
    rng = np.random.default_rng(seed)
    rows, features, width = (int(rng.integers(1, most)) for most in (80, 8, 6))
    spec = ProjectedLogistic(
        features=features, projection=width, formulation="reassociated", reduction=("mean", "sum")[seed % 2],
        l2=0.1 * (seed % 3), logit_scale=float(10 ** rng.uniform(-1, 0.7)), dtype=dtype,  # type: ignore[arg-type]
    )  # fmt: skip
    return make_problem("drawn", spec, rng.standard_normal((rows, features)), rng.integers(0, 2, rows), seed=seed)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(8))
def test_a_built_in_model_has_the_same_truth_and_floor_when_written_neutrally(seed: int, dtype: str) -> None:
    problem = built_in(seed, dtype)
    expected, found = reference(problem), certified(neutral_loss(problem.spec), problem)
    assert found.method.startswith("certified in ball arithmetic")
    assert found.directions == 2
    for key, truth in expected.truth.items():
        np.testing.assert_allclose(found.truth[key], truth, rtol=1e-18, atol=0)
        ours, theirs = (np.sqrt(np.mean(each.floor[key] ** 2)) for each in (found, expected))
        assert 1 / 2 <= ours / theirs <= 2, key


#: Rows, features and width for JAX, which compiles its programs anew for each.
SHAPES = ((7, 2, 3), (40, 5, 4))


@cache
def drawn_with_truth(model: str, seed: int, compiled: bool) -> tuple[Loss, UserProblem, Reference]:
    """A drawn problem and its truth, which takes longer than any framework does."""
    loss, problem = models.draw(model, seed, SHAPES[seed % 2] if compiled else None)
    return loss, problem, certified(loss, problem, budget_s=2.0)


def findings_on(backend: Backend, xp: Any, model: str, seed: int, compiled: bool = False) -> list[Finding]:
    """The verdicts on a backend that has the loss in a namespace."""
    loss, problem, truth = drawn_with_truth(model, seed, compiled)
    inputs = problem.params, problem.data, problem.tangents
    (quantities,) = evaluations_at(backend, program_of(loss, backend, xp), [inputs])
    return judge(model, quantities, truth, problem)


@cache
def program_of(loss: Loss, backend: Backend, xp: Any) -> Any:
    return backend.program(lambda params, data: loss(params, data, xp))


@pytest.mark.slow
@pytest.mark.parametrize("model", models.MODELS)
@pytest.mark.parametrize(("name", "draws"), [("autograd", 6), ("jax", 2)])
def test_a_right_backend_stays_within_the_floors_of_drawn_problems(
    model: str, name: str, backend: Backend, draws: int
) -> None:
    xp = backend.namespace()  # one, and with it one program, for all draws
    for seed in range(draws):
        found = findings_on(backend, xp, model, seed, compiled=name == "jax")
        assert {finding.verdict for finding in found} == {"agrees"}, (seed, found)


#: A function of each model whose rule is made wrong.
RULES = {"logistic": "logaddexp", "perceptron": "tanh", "mixture": "exp", "poisson": "exp", "gaussian_process": "exp"}


@pytest.mark.parametrize("model", models.MODELS)
def test_a_rule_that_is_off_by_one_part_in_a_trillion_is_seen(model: str) -> None:
    backend, box, rule = configured("autograd"), toolbox("autograd"), RULES[model]
    anp = box.xp
    slopes = {"tanh": lambda x: 1 - anp.tanh(x) ** 2, "exp": anp.exp, "logaddexp": box.sigmoid}
    right = box.softplus if rule == "logaddexp" else getattr(anp, rule)
    wrong = box.primitive(right, lambda x: (1 + 1e-12) * slopes[rule](x))

    class Wrong:
        def __getattr__(self, attribute: str) -> Any:
            # Of two arguments, where the first is zero throughout.
            return getattr(anp, attribute) if attribute != rule else lambda *x: wrong(x[-1])

    xp = Wrong()
    for seed in range(12):
        assert "wrong" in {finding.verdict for finding in findings_on(backend, xp, model, seed)}, seed


def test_the_floor_of_every_entry_is_positive_and_much_the_same_for_another_seed() -> None:
    loss, problem = models.draw("perceptron", 1)
    found, again = (certified(loss, replace(problem, seed=seed)) for seed in (1, 2))
    for key, floor in found.floor.items():
        assert np.all(floor > 0)
        # Another seed has other draws, and the same floor to their accuracy.
        assert np.all((again.floor[key] / floor > 1 / 3) & (again.floor[key] / floor < 3))


@pytest.mark.parametrize("name", models.MODELS)
def test_extended_precision_gives_the_certified_gradient_to_its_own_accuracy(name: str) -> None:
    loss, problem = models.draw(name, 3)
    found = certified(loss, problem)
    for key, each in Tape(loss, problem.params, problem.data, None).values().items():
        assert each.dtype == np.longdouble
        assert np.all(np.abs(each - found.truth[key]) <= found.floor[key] / 100)


def test_a_kink_is_named_with_both_derivatives() -> None:
    params = {"net": [{"x": np.array([0.0, -1.0, 2.0])}], "spare": np.ones(2)}
    found = neutral_reference(
        lambda p, d, xp: xp.sum(d["c"] * xp.maximum(p["net"][0]["x"], 0.0)), params, {"c": np.array([3.0, 5.0, 7.0])},
        params, seed=0, budget_s=2.0,
    )  # fmt: skip
    assert found.kinks == {("gradient", "net.0.x", (0,)): (0.0, 3.0)}
    assert found.ignored == ("spare",)
    assert found.truth["gradient", "net.0.x"].tolist()[1:] == [0.0, 7.0]
    assert "a tie of maximum" in found.method


@pytest.mark.parametrize("name", models.MODELS)
def test_loss_and_gradient_alone_are_those_of_the_whole_truth(name: str) -> None:
    loss, problem = models.draw(name, 2)
    whole, part = (
        neutral_reference(
            loss, problem.params, problem.data, problem.tangents, seed=0, budget_s=20.0, second_order=second_order
        )
        for second_order in (True, False)
    )
    assert {quantity for quantity, _ in part.truth} == {"loss", "gradient"}
    assert part.method.startswith("certified in ball arithmetic")
    assert part.directions == whole.directions == 2
    for key, value in part.truth.items():
        assert np.all(np.abs(value - whole.truth[key]) <= 4 * np.finfo(np.longdouble).eps * np.abs(value))
        ratio = part.floor[key] / whole.floor[key]
        assert np.all((ratio > 1 / 3) & (ratio < 3))  # other draws, of the same noise


def test_at_a_kink_loss_and_gradient_alone_have_both_sides_as_the_whole_truth_has() -> None:
    params = {"x": np.array([0.0, -1.0, 2.0])}
    whole, part = (
        neutral_reference(
            lambda p, d, xp: xp.sum(xp.maximum(p["x"], 0.0)), params, {}, params, seed=0, budget_s=5.0,
            second_order=second_order,
        )
        for second_order in (True, False)
    )  # fmt: skip
    assert part.kinks == {("gradient", "x", (0,)): (0.0, 1.0)}
    assert part.kinks == {key: sides for key, sides in whole.kinks.items() if key[0] == "gradient"}


def test_without_time_the_truth_says_that_it_is_not_enclosed() -> None:
    found, known = (certified(*models.draw("perceptron", 1), budget) for budget in (0.0, 5.0))
    assert found.method.startswith("extended precision, for want of time")
    for key, truth in known.truth.items():
        assert np.all(np.abs(found.truth[key] - truth) <= known.floor[key] / 100)


def test_labels_as_floats_are_not_moved_away_from_their_class() -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        z = d["X"] @ p["w"]
        return xp.sum(xp.where(d["y"] == 1.0, xp.logaddexp(0.0, -z), xp.logaddexp(0.0, z)))

    rng = np.random.default_rng(0)
    data = {"X": rng.standard_normal((20, 3)), "y": rng.integers(0, 2, 20).astype(float)}
    params = {"w": rng.standard_normal(3)}
    found = neutral_reference(loss, params, data, params, seed=0, budget_s=2.0)
    assert np.all(found.floor["gradient", "w"] < 1e-14)


def test_what_has_no_certified_form_is_refused_by_name() -> None:
    params = {"x": np.ones(3)}
    with pytest.raises(NotCertifiableError, match="unique"):
        neutral_reference(lambda p, d, xp: xp.sum(xp.unique(p["x"])), params, {}, params, seed=0, budget_s=1.0)


def test_a_rule_of_the_tape_that_is_wrong_contradicts_forward_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradparity.truth.derivatives import reverse

    right = reverse.RULES["compose"]

    def wrong(node: Any, g: Any) -> Any:
        return tuple(None if each is None else each * (1 + 2.0**-40) for each in right(node, g))

    monkeypatch.setitem(reverse.RULES, "compose", wrong)
    found = certified(*models.draw("perceptron", 1))
    for key in ("gradient", "W0"), ("hvp", "W0"):
        assert "forward mode" in found.unknown[key]
        assert np.isnan(found.truth[key]).all()


def test_a_floor_that_the_time_has_cut_short_is_said_to_be_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradparity.truth.model.truth.LEAST_DRAWING_S", 0.0)
    w = np.linspace(0.5, 1.5, 4)
    found = neutral_reference(lambda p, d, xp: xp.sum(xp.exp(p["w"])), {"w": w}, {}, {"w": w}, seed=0, budget_s=0.0)
    assert set(found.unknown.values()) == {NO_DRAWS}
    assert set(found.unknown) == set(found.truth)
    assert not any(np.isfinite(value).any() for value in found.floor.values())


def test_what_no_precision_decides_is_not_called_a_want_of_time() -> None:
    data = {"x": np.array([np.nan, 1.0])}
    found = neutral_reference(
        lambda p, d, n: n.sum(n.where(n.isnan(p["x"] * d["x"]), 0.0, p["x"])), {"x": np.array([0.5, 2.0])}, data,
        {"x": np.ones(2)}, seed=0, budget_s=60.0,
    )  # fmt: skip
    assert found.method == "extended precision, as no precision of balls decides isnan at index (0,), not confirmed"
    assert found.truth["gradient", "x"].tolist() == [0, 1]


def test_a_determinant_of_zero_has_the_floor_of_its_cofactors() -> None:
    """Of rank two; its gradient are the cofactors, by NumPy's determinants of two rows."""
    a = np.array([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]])
    found = neutral_reference(
        lambda p, d, n: n.linalg.det(p["x"]), {"x": a}, {}, {"x": np.cos(a)}, seed=0, budget_s=20.0
    )
    cofactors = [
        [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(3)] for i in range(3)
    ]
    np.testing.assert_allclose(found.truth["gradient", "x"].astype(float), cofactors, atol=1e-14)
    for key in (("gradient", "x"), ("hvp", "x"), ("jvp", "")):
        assert (found.floor[key] < 1e-13).all(), key
    regular = neutral_reference(
        lambda p, d, n: n.linalg.det(p["x"]), {"x": a + np.eye(3)}, {}, {"x": a}, seed=0, budget_s=20.0
    )
    assert (regular.floor["gradient", "x"] < 1e-13).all()
