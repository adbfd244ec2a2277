"""The truth and the noise floor of a user's loss: right backends lie within it, wrong rules beyond."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.model_spec.trees import leaves, map_tree
from gradparity.truth.logistic.neutral import neutral_loss
from gradparity.truth.logistic.truth import reference
from gradparity.truth.model.floor import Tape
from gradparity.truth.model.truth import neutral_reference
from gradparity.truth.numbers.context import NotCertifiableError
from gradparity.truth.reference import Reference, TruthError
from tests.truth import neutral_models as models


def built_in(seed: int, dtype: str) -> Problem:
    rng = np.random.default_rng(seed)
    rows, features, width = (int(rng.integers(1, most)) for most in (80, 8, 6))
    spec = ProjectedLogistic(
        features=features, projection=width, formulation="reassociated", reduction=("mean", "sum")[seed % 2],
        l2=0.1 * (seed % 3), logit_scale=float(10 ** rng.uniform(-1, 0.7)), dtype=dtype,  # type: ignore[arg-type]
    )  # fmt: skip
    return make_problem("drawn", spec, rng.standard_normal((rows, features)), rng.integers(0, 2, rows), seed=seed)


def of_built_in(problem: Problem) -> Reference:
    return neutral_reference(
        neutral_loss(problem.spec), dict(problem.params), dict(problem.data), dict(problem.tangents),
        seed=problem.seed, budget_s=5.0,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(8))
def test_a_built_in_model_has_the_same_truth_and_floor_when_written_neutrally(seed: int, dtype: str) -> None:
    problem = built_in(seed, dtype)
    expected, found = reference(problem), of_built_in(problem)
    assert found.method.startswith("certified in ball arithmetic")
    assert found.directions == 2
    for key, truth in expected.truth.blocks.items():
        np.testing.assert_allclose(found.truth.blocks[key], truth, rtol=1e-18, atol=0)
        ours, theirs = (np.sqrt(np.mean(each.floor.blocks[key] ** 2)) for each in (found, expected))
        assert 1 / 2 <= ours / theirs <= 2, key


@cache
def drawn_with_truth(name: str, seed: int) -> tuple[models.Drawn, Reference]:
    """A drawn problem and its truth, which takes longer than any framework does."""
    drawn = models.draw(name, seed)
    return drawn, neutral_reference(drawn.loss, drawn.params, drawn.data, drawn.tangents, seed=seed, budget_s=2.0)


def floors(found: Reference, got: dict[tuple[str, str], Any]) -> dict[tuple[str, str], float]:
    """The most floors that any entry of each block is off by."""
    worst = {}
    for key, value in got.items():
        error = np.abs(np.asarray(value, np.longdouble) - found.truth.blocks[key])
        with np.errstate(divide="ignore", invalid="ignore"):
            worst[key] = float(np.max(np.where(error == 0, 0, error / found.floor.blocks[key])))
    return worst


def by_jax(drawn: Any) -> dict[tuple[str, str], Any]:
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        params, tangents = (map_tree(lambda _, x: jnp.asarray(x), tree) for tree in (drawn.params, drawn.tangents))
        data = {name: jnp.asarray(value) for name, value in drawn.data.items()}

        def loss(p: Any) -> Any:
            return drawn.loss(p, data, jnp)

        @jax.jit
        def everything(p: Any, v: Any) -> Any:
            value, gradient = jax.value_and_grad(loss)(p)
            return value, gradient, jax.jvp(loss, (p,), (v,))[1], jax.jvp(jax.grad(loss), (p,), (v,))[1]

        value, gradient, along, product = everything(params, tangents)
        got = {("loss", ""): value, ("jvp", ""): along}
        got |= {("gradient", path): x for path, x in leaves(gradient)}
        got |= {("hvp", path): x for path, x in leaves(product)}
        return {key: np.asarray(x) for key, x in got.items()}


def by_autograd(drawn: Any, namespace: Any = None) -> dict[tuple[str, str], Any]:
    import autograd
    import autograd.numpy as anp
    from autograd.misc.flatten import flatten, flatten_func

    flat, unflatten, at = flatten_func(lambda p: drawn.loss(p, drawn.data, namespace or anp), drawn.params)
    along, _ = flatten(drawn.tangents)
    value, gradient = autograd.value_and_grad(flat)(at)
    got = {("loss", ""): value, ("jvp", ""): gradient @ along}
    got |= {("gradient", path): x for path, x in leaves(unflatten(gradient))}
    if namespace is None:
        product = autograd.grad(lambda p: anp.sum(autograd.grad(flat)(p) * along))(at)
        got |= {("hvp", path): x for path, x in leaves(unflatten(product))}
    return got


@pytest.mark.parametrize("name", models.MODELS)
@pytest.mark.parametrize(("backend", "draws"), [(by_autograd, 12), (by_jax, 4)])  # JAX compiles each anew
def test_a_right_backend_stays_within_the_floors_of_drawn_problems(name: str, backend: Any, draws: int) -> None:
    pytest.importorskip(backend.__name__.removeprefix("by_"))
    for seed in range(draws):
        drawn, found = drawn_with_truth(name, seed)
        worst = floors(found, backend(drawn))
        assert max(worst.values()) <= AGREES_FLOORS, (seed, worst)


#: A function of each model whose rule is made wrong.
RULES = {"logistic": "logaddexp", "perceptron": "tanh", "mixture": "exp", "poisson": "exp", "gaussian_process": "exp"}


@pytest.mark.parametrize("name", models.MODELS)
def test_a_rule_that_is_off_by_one_part_in_a_trillion_is_seen(name: str) -> None:
    pytest.importorskip("autograd")
    import autograd.numpy as anp
    from autograd.extend import defvjp, primitive

    function = getattr(anp, RULES[name])
    wrong = primitive(lambda *x: function(*x))
    slopes = {
        "tanh": lambda y, x: 1 - y**2, "exp": lambda y, x: y, "logaddexp": lambda y, a, b: np.exp(b - y),
    }  # fmt: skip
    slope = slopes[RULES[name]]
    defvjp(wrong, *(lambda y, *x: lambda g: g * slope(y, *x) * (1 + 1e-12) for _ in range(2)))

    class Wrong:
        def __getattr__(self, attribute: str) -> Any:
            return wrong if attribute == RULES[name] else getattr(anp, attribute)

    seen = 0
    for seed in range(12):
        drawn, found = drawn_with_truth(name, seed)
        seen += max(floors(found, by_autograd(drawn, Wrong())).values()) > AGREES_FLOORS
    assert seen == 12


def test_the_floor_of_every_entry_is_positive_and_much_the_same_for_another_seed() -> None:
    drawn = models.draw("perceptron", 1)
    found, again = (
        neutral_reference(drawn.loss, drawn.params, drawn.data, drawn.tangents, seed=seed, budget_s=5.0)
        for seed in (1, 2)
    )
    for key, floor in found.floor.blocks.items():
        assert np.all(floor > 0)
        # Another seed has other draws, and the same floor to their accuracy.
        assert np.all((again.floor.blocks[key] / floor > 1 / 3) & (again.floor.blocks[key] / floor < 3))


@pytest.mark.parametrize("name", models.MODELS)
def test_extended_precision_gives_the_certified_gradient_to_its_own_accuracy(name: str) -> None:
    drawn = models.draw(name, 3)
    found = neutral_reference(drawn.loss, drawn.params, drawn.data, drawn.tangents, seed=3, budget_s=5.0)
    for key, each in Tape(drawn.loss, drawn.params, drawn.data, None).values().items():
        assert each.dtype == np.longdouble
        assert np.all(np.abs(each - found.truth.blocks[key]) <= found.floor.blocks[key] / 100)


def test_a_kink_is_named_with_both_derivatives() -> None:
    params = {"net": [{"x": np.array([0.0, -1.0, 2.0])}], "spare": np.ones(2)}
    found = neutral_reference(
        lambda p, d, xp: xp.sum(d["c"] * xp.maximum(p["net"][0]["x"], 0.0)), params, {"c": np.array([3.0, 5.0, 7.0])},
        params, seed=0, budget_s=2.0,
    )  # fmt: skip
    assert found.kinks == {("net.0.x", (0,)): (0.0, 3.0)}
    assert found.ignored == ("spare",)
    assert found.truth.blocks["gradient", "net.0.x"].tolist()[1:] == [0.0, 7.0]
    assert "a tie of maximum" in found.method


def test_without_time_the_truth_says_that_it_is_not_enclosed() -> None:
    drawn = models.draw("perceptron", 1)
    arguments = (drawn.loss, drawn.params, drawn.data, drawn.tangents)
    found, certified = (neutral_reference(*arguments, seed=1, budget_s=budget) for budget in (0.0, 5.0))
    assert found.method.startswith("extended precision, for want of time")
    for key, truth in certified.truth.blocks.items():
        assert np.all(np.abs(found.truth.blocks[key] - truth) <= certified.floor.blocks[key] / 100)


def test_labels_as_floats_are_not_moved_away_from_their_class() -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        z = d["X"] @ p["w"]
        return xp.sum(xp.where(d["y"] == 1.0, xp.logaddexp(0.0, -z), xp.logaddexp(0.0, z)))

    rng = np.random.default_rng(0)
    data = {"X": rng.standard_normal((20, 3)), "y": rng.integers(0, 2, 20).astype(float)}
    params = {"w": rng.standard_normal(3)}
    found = neutral_reference(loss, params, data, params, seed=0, budget_s=2.0)
    assert np.all(found.floor.blocks["gradient", "w"] < 1e-14)


def test_what_has_no_certified_form_is_refused_by_name() -> None:
    params = {"x": np.ones(3)}
    with pytest.raises(NotCertifiableError, match="sort"):
        neutral_reference(lambda p, d, xp: xp.sum(xp.sort(p["x"])), params, {}, params, seed=0, budget_s=1.0)


def test_a_rule_of_the_tape_that_is_wrong_contradicts_forward_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradparity.truth.derivatives import reverse

    right = reverse.RULES["compose"]

    def wrong(node: Any, g: Any) -> Any:
        return tuple(None if each is None else each * (1 + 2.0**-40) for each in right(node, g))

    monkeypatch.setitem(reverse.RULES, "compose", wrong)
    drawn = models.draw("perceptron", 1)
    with pytest.raises(TruthError, match="forward mode"):
        neutral_reference(drawn.loss, drawn.params, drawn.data, drawn.tangents, seed=1, budget_s=5.0)
