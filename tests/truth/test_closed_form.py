"""The built-in models' closed form in balls: against the series, mpmath, SciPy and what is known by hand."""

from typing import Any

import flint
import mpmath
import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.truth.derivatives.series import certify
from gradparity.truth.logistic import closed_form
from gradparity.truth.logistic.neutral import neutral_loss
from gradparity.truth.numbers import context

TOY_X = np.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]])
TOY = {"X": TOY_X, "y": np.array([1, 1, 0, 1])}


def draw(spec: Logistic, seed: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: scale * rng.standard_normal(shape) for name, shape in spec.shapes.items()}


def problem(S: int, F: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"X": rng.standard_normal((S, F)), "y": (rng.random(S) < 0.5).astype(float)}


def enclosed(spec: Logistic, params: Any, data: Any, v: Any = None, **options: Any) -> Any:
    """The closed form, along a direction of zeros if none is given."""
    still = {name: np.zeros(shape) for name, shape in spec.shapes.items()}
    return closed_form.enclose(spec, params, data, still if v is None else v, **options)


def contract(balls: dict[str, Any], v: dict[str, np.ndarray]) -> arb:
    return sum(
        (b * arb(float(m)) for k in v for b, m in zip(balls[k].balls.ravel(), v[k].ravel(), strict=True)), arb(0)
    )


specs = st.builds(
    lambda F, L, c, reduction, l2, flat: (
        Logistic(features=F, logit_scale=c, reduction=reduction, l2=l2)
        if flat
        else ProjectedLogistic(features=F, projection=L, logit_scale=c, reduction=reduction, l2=l2)
    ),
    st.integers(1, 4), st.integers(1, 4), st.sampled_from([1.0, 2.0, -0.7]), st.sampled_from(["sum", "mean"]),
    st.sampled_from([0.0, 0.1]), st.booleans(),
)  # fmt: skip


@given(spec=specs, S=st.integers(1, 5), seed=st.integers(0, 10**6), scale=st.sampled_from([1e-6, 1.0, 30.0]))
@settings(max_examples=60, deadline=None)
def test_the_closed_form_is_the_series_in_random_directions(spec: Logistic, S: int, seed: int, scale: float) -> None:
    params, v, data = draw(spec, seed, scale), draw(spec, seed + 1), problem(S, spec.features, seed)
    series = certify(neutral_loss(spec), params, data, v)
    found = enclosed(spec, params, data, v)
    assert series.settled
    assert found.settled
    assert series.value.ball.overlaps(found.value.ball)
    for first in (found.along.ball, contract(found.gradient, v)):
        assert series.first.ball.overlaps(first)
    assert series.second.ball.overlaps(contract(found.product, v))


def test_the_hessian_product_is_symmetric() -> None:
    spec = ProjectedLogistic(features=3, projection=2, l2=0.3, reduction="mean")
    params, u, v = draw(spec, 0), draw(spec, 1), draw(spec, 2)
    products = [enclosed(spec, params, TOY, x).product for x in (u, v)]
    assert contract(products[0], v).overlaps(contract(products[1], u))


def test_the_gradient_encloses_mpmaths_sixty_digits() -> None:
    spec = ProjectedLogistic(features=3, projection=2, logit_scale=2.0)
    params = draw(spec, 7)
    result = enclosed(spec, params, TOY)
    with mpmath.workdps(60):
        X, w, W = (mpmath.matrix(a.tolist()) for a in (TOY_X, params["w"], params["W"]))
        z = X * W * w
        r = mpmath.matrix([2 / (1 + mpmath.exp(-2 * z[i])) - 2 * int(TOY["y"][i]) for i in range(4)])
        g = X.T * r
        expected = {"w": W.T * g, "W": g * w.T}
        with flint.ctx.workprec(256):
            for name, gradient in result.gradient.items():
                for index in np.ndindex(*gradient.balls.shape):
                    digits = arb(mpmath.nstr(expected[name][(*index, 0)[:2]], 55)) + arb(0, 1) * arb(10) ** -50
                    assert gradient[index].ball.overlaps(digits)


def test_hips_autograds_example_ends_at_its_published_loss() -> None:
    spec = Logistic(features=3, logit_scale=2.0)
    w = np.zeros(3)
    assert enclosed(spec, {"w": w}, TOY).value.as_float() == 2.772588722239781
    for _ in range(100):
        w = w - 0.01 * enclosed(spec, {"w": w}, TOY).gradient["w"].as_longdouble().astype(float)
    assert enclosed(spec, {"w": w}, TOY).value.as_float() == pytest.approx(0.38900754315581143, rel=1e-14)


def test_scipys_double_precision_lies_within_its_rounding() -> None:
    spec = Logistic(features=4)
    params, data = draw(spec, 1), problem(50, 4)
    by_scipy = data["X"].T @ (expit(data["X"] @ params["w"]) - data["y"])
    true = enclosed(spec, params, data).gradient["w"]
    assert true.is_settled
    assert np.all(np.abs(true.as_longdouble() - by_scipy) < 1e-13)


def test_the_zero_start_is_a_proven_saddle() -> None:
    spec = ProjectedLogistic(features=3, projection=2)
    zeros = spec.initial(start="zeros")
    result = enclosed(spec, zeros, TOY)
    assert all(np.all(part.is_zero) for part in result.gradient.values())
    # v^T H v = 2 (r . X W' w') changes its sign with w'.
    v = draw(spec, 3)
    curvatures = []
    for sign in (1, -1):
        move = v | {"w": sign * v["w"]}
        curvatures.append(float(contract(enclosed(spec, zeros, TOY, move).product, move).mid()))
    assert curvatures[0] == -curvatures[1] != 0


def test_a_column_of_zeros_has_a_proven_zero_gradient() -> None:
    spec = ProjectedLogistic(features=3, projection=2)
    data = {"X": TOY_X * [1, 0, 1], "y": TOY["y"]}
    result = enclosed(spec, draw(spec, 0), data)
    np.testing.assert_array_equal(result.gradient["W"].is_zero, [[False] * 2, [True] * 2, [False] * 2])


def test_a_cancelling_gradient_is_still_tight() -> None:
    # The two residuals are s(z) and -s(-z) with z = 2^-60: they cancel to z/2, 61 bits down.
    spec = Logistic(features=1)
    data = {"X": np.array([[2.0**-60], [2.0**-60]]), "y": np.array([0, 1])}
    entry = enclosed(spec, {"w": np.ones(1)}, data).gradient["w"][0]
    assert entry.ball.rel_accuracy_bits() >= 70
    assert entry.as_float() == pytest.approx(2.0**-60 * 2.0**-61, rel=1e-15)


@pytest.mark.parametrize("z", [0.0, 1e-300, -1e-300, 5e-324, 40.0, -40.0, 800.0, -800.0, 1e5, -1e5])
@pytest.mark.parametrize("label", [0, 1])
def test_extreme_logits_are_enclosed_tightly(z: float, label: int) -> None:
    spec = Logistic(features=1)
    result = enclosed(spec, {"w": np.array([z])}, {"X": np.ones((1, 1)), "y": np.array([label])})
    assert result.settled
    assert result.value.ball.rel_accuracy_bits() >= 70
    with mpmath.workdps(60):
        sign = 1 - 2 * label
        loss, slope = mpmath.log1p(mpmath.exp(sign * z)), sign / (1 + mpmath.exp(-sign * mpmath.mpf(z)))
        assert mpmath.almosteq(mpmath.mpf(result.value.ball.str(30).strip("[").split(" ")[0]), loss, rel_eps=1e-25)
        assert float(slope) == result.gradient["w"][0].as_float()


def test_features_twelve_orders_apart_are_enclosed_tightly() -> None:
    spec = ProjectedLogistic(features=3, projection=2)
    data = {"X": TOY_X * [1e-12, 1.0, 1e12], "y": TOY["y"]}
    params = draw(spec, 5, 1e-3)
    result = enclosed(spec, params, data)
    assert result.settled
    series = certify(neutral_loss(spec), params, data, draw(spec, 6))
    assert series.first.ball.overlaps(contract(result.gradient, draw(spec, 6)))


def test_float32_parameters_and_longdouble_data_are_taken_exactly() -> None:
    spec = Logistic(features=3)
    w = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    data = {"X": TOY_X.astype(np.longdouble), "y": TOY["y"].astype(bool)}
    ours = enclosed(spec, {"w": w}, data)
    theirs = enclosed(spec, {"w": w.astype(np.float64)}, TOY)
    assert ours.value.ball.overlaps(theirs.value.ball)
    assert ours.gradient["w"].as_longdouble().tolist() == theirs.gradient["w"].as_longdouble().tolist()


def test_what_the_last_precision_leaves_wide_is_not_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "START_BITS", 60)
    spec = Logistic(features=3)
    found = enclosed(spec, {"w": np.ones(3)}, TOY, {"w": np.ones(3)}, max_bits=60)
    assert found.bits == 60
    assert not found.settled


def test_input_at_fault_is_named() -> None:
    spec = Logistic(features=3)
    with pytest.raises(InputError, match=r"labels y: got \[-1, 1\]"):
        enclosed(spec, {"w": np.ones(3)}, TOY | {"y": np.array([1, -1, 1, 1])})
    with pytest.raises(InputError, match="data"):
        enclosed(spec, {"w": np.ones(3)}, TOY | {"X": TOY_X[:3]})
    with pytest.raises(InputError, match="parameter"):
        enclosed(spec, {"w": np.ones(3)}, TOY, {"v": np.ones(3)})
