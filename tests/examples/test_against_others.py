"""Every example against an implementation that no one here wrote: scikit-learn, SciPy, PyTorch's own modules."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.mixture import GaussianMixture

from tests.examples.models import Example, Flat, distance, example, norm

FRAMEWORKS = ("autograd", "jax", "torch")


def by_tape(value: Any, arrays: dict[str, Any]) -> tuple[float, Flat]:
    """A PyTorch scalar and its gradient in named tensors."""
    import torch

    gradients = torch.autograd.grad(value, tuple(arrays.values()))
    return value.item(), {name: g.numpy() for name, g in zip(arrays, gradients, strict=True)}


def tensors(tree: dict[str, Any], *, requires_grad: bool = False) -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    return {name: torch.tensor(value, requires_grad=requires_grad) for name, value in tree.items()}


def assert_every_framework_gives(model: Example, value: float, gradient: Flat, rtol: float = 1e-12) -> None:
    for name in FRAMEWORKS:
        ours, slopes = model.value_and_gradient(name)
        assert ours == pytest.approx(value, rel=rtol)
        assert distance(slopes, gradient) < rtol


def assert_stationary_at(model: Example, params: Any, tolerance: float) -> None:
    """The gradient at an optimum that someone else found, relative to the gradient at the drawn parameters."""
    for name in FRAMEWORKS:
        at_optimum, drawn = (model.value_and_gradient(name, point)[1] for point in (params, model.params))
        assert norm(at_optimum) < tolerance * norm(drawn)


def test_softmax_regression_is_stationary_at_scikit_learns_fit() -> None:
    model = example("softmax_regression")
    X, y = model.data["X"], model.data["y"]
    fit = LogisticRegression(C=1 / (model.spec.L2 * len(y)), tol=1e-12, max_iter=10_000, solver="newton-cg").fit(X, y)
    assert_stationary_at(model, {"W": fit.coef_.T, "b": fit.intercept_}, 1e-7)


def test_softmax_regression_is_torchs_cross_entropy() -> None:
    torch = pytest.importorskip("torch")
    model = example("softmax_regression")
    params, data = tensors(model.params, requires_grad=True), tensors(model.data)
    value = torch.nn.functional.cross_entropy(data["X"] @ params["W"] + params["b"], data["y"])
    value = value + 0.5 * model.spec.L2 * params["W"].square().sum()
    assert_every_framework_gives(model, *by_tape(value, params))


def test_logistic_regression_is_stationary_at_scikit_learns_fit() -> None:
    model = example("logistic_regression")
    X, y = model.data["X"], model.data["y"]
    strength = 1 / (model.spec.L2 * len(y))
    fit = LogisticRegression(C=strength, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(X, y)
    assert_stationary_at(model, {"w": fit.coef_[0], "b": fit.intercept_}, 1e-8)


def test_poisson_regression_is_stationary_at_scikit_learns_fit() -> None:
    model = example("poisson_glm")
    X, exposure, y = (model.data[name] for name in ("X", "exposure", "y"))
    # Rates weighted by their exposure are counts with an offset; the average is over weights there, over rows here.
    alpha = model.spec.L2 * len(y) / exposure.sum()
    fit = PoissonRegressor(alpha=alpha, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    fit.fit(X, y / exposure, sample_weight=exposure)
    assert_stationary_at(model, {"w": fit.coef_, "b": np.array(fit.intercept_)}, 1e-8)


def test_the_poisson_gradient_by_hand_is_the_frameworks() -> None:
    model = example("poisson_glm")
    by_hand = {path: np.asarray(g) for path, g in model.spec.gradient(model.params, model.data).items()}
    for name in FRAMEWORKS:
        assert distance(model.value_and_gradient(name)[1], by_hand) < 1e-13


def test_the_mixtures_likelihood_is_scikit_learns_score() -> None:
    model = example("gaussian_mixture")
    params, weights = model.params, np.exp(model.params["logits"])
    mixture = GaussianMixture(n_components=len(weights), covariance_type="diag")
    mixture.weights_, mixture.means_ = weights / weights.sum(), params["means"]
    mixture.covariances_ = np.exp(2 * params["log_scales"])
    mixture.precisions_cholesky_ = np.exp(-params["log_scales"])
    for name in FRAMEWORKS:
        assert model.value_and_gradient(name)[0] == pytest.approx(-mixture.score(model.data["x"]), rel=1e-13)


def test_the_mixtures_gradient_is_that_of_torchs_distributions() -> None:
    torch = pytest.importorskip("torch")
    model = example("gaussian_mixture")
    params, x = tensors(model.params, requires_grad=True), torch.tensor(model.data["x"])
    d = torch.distributions
    components = d.Independent(d.Normal(params["means"], params["log_scales"].exp()), 1)
    value = -d.MixtureSameFamily(d.Categorical(logits=params["logits"]), components).log_prob(x).mean()
    assert_every_framework_gives(model, *by_tape(value, params))


def test_the_factors_gradients_are_products_with_scipys_sparse_residual() -> None:
    model = example("matrix_factorisation")
    p, (users, items, ratings) = model.params, (model.data[name] for name in ("users", "items", "ratings"))
    dense = p["mu"] + p["a"][:, None] + p["c"] + p["U"] @ p["V"].T
    residual = coo_matrix((2 * (dense[users, items] - ratings) / len(ratings), (users, items)), shape=dense.shape)
    gradient = {
        "U": residual @ p["V"] + model.spec.L2 * p["U"],
        "V": residual.T @ p["U"] + model.spec.L2 * p["V"],
        "a": np.asarray(residual.sum(axis=1)).ravel(),
        "c": np.asarray(residual.sum(axis=0)).ravel(),
        "mu": np.asarray(residual.sum()),
    }
    penalty = 0.5 * model.spec.L2 * (np.linalg.norm(p["U"]) ** 2 + np.linalg.norm(p["V"]) ** 2)
    assert len(set(users)) < len(users)  # rows that several ratings share, so that gradients have to be added
    value = np.mean((dense[users, items] - ratings) ** 2) + penalty
    assert_every_framework_gives(model, value, gradient)


def test_the_likelihood_of_the_process_and_its_gradient_are_scikit_learns() -> None:
    model = example("gaussian_process")
    p, data = model.params, model.data
    variance, lengthscales, noise = (np.exp(p[f"log_{name}"]) for name in ("variance", "lengthscales", "noise"))
    kernel = ConstantKernel(variance) * RBF(lengthscales) + WhiteKernel(noise)
    process = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None).fit(data["x"], data["y"])
    value, slopes = process.log_marginal_likelihood(process.kernel_.theta, eval_gradient=True)
    gradient = {"log_variance": -slopes[0], "log_lengthscales": -slopes[1:3], "log_noise": -slopes[3]}
    assert_every_framework_gives(model, -value, gradient, rtol=1e-11)


def test_the_perceptron_is_torchs_sequential() -> None:
    torch = pytest.importorskip("torch")
    model = example("mlp")
    widths = model.spec.WIDTHS
    linear = [torch.nn.Linear(n, m, dtype=torch.float64) for n, m in pairwise(widths)]
    for layer, values in zip(linear, model.params["layers"], strict=True):
        layer.load_state_dict({"weight": torch.tensor(values["W"].T), "bias": torch.tensor(values["b"])})
    network = torch.nn.Sequential(linear[0], torch.nn.Tanh(), linear[1], torch.nn.Tanh(), linear[2])
    data = tensors(model.data)
    value, slopes = by_tape(torch.nn.MSELoss()(network(data["X"]), data["Y"]), dict(network.named_parameters()))
    gradient = {}
    for k in range(3):  # activations stand between the layers
        gradient[f"layers.{k}.W"] = slopes[f"{2 * k}.weight"].T
        gradient[f"layers.{k}.b"] = slopes[f"{2 * k}.bias"]
    assert_every_framework_gives(model, value, gradient)


def test_the_cell_is_torchs_lstm_cell() -> None:
    torch = pytest.importorskip("torch")
    model = example("lstm_cell")
    weights, data = model.params["cell"], tensors(model.data)
    cell = torch.nn.LSTMCell(model.spec.INPUTS, model.spec.HIDDEN, dtype=torch.float64)
    state = {"weight_ih": weights["Wx"].T, "weight_hh": weights["Wh"].T, "bias_ih": weights["b"]}
    cell.load_state_dict({**tensors(state), "bias_hh": torch.zeros_like(cell.bias_hh)})
    readout = torch.tensor(model.params["readout"], requires_grad=True)
    h = c = data["zeros"]
    for x in data["x"]:
        h, c = cell(x, (h, c))
    arrays = {"Wx": cell.weight_ih, "Wh": cell.weight_hh, "b": cell.bias_ih, "readout": readout}
    value, slopes = by_tape((h @ readout - data["y"]).square().mean(), arrays)
    gradient = {f"cell.{name}": slopes[name].T for name in ("Wx", "Wh", "b")} | {"readout": slopes["readout"]}
    assert_every_framework_gives(model, value, gradient)


def joint_covariance(model: Example, observation: Any, state: Any) -> Any:
    """Covariance of all observations at once: `y_t = level_t + noise`, level and slope as sums of what drove them."""
    n, F = model.spec.STEPS, model.data["F"]
    powers = [np.linalg.matrix_power(F, k)[0] for k in range(n)]  # from a state to the level k steps later
    covariance = observation**2 * np.eye(n)
    for s in range(n):
        reach = np.array([powers[t - s] if t >= s else np.zeros(2) for t in range(n)])
        drives = np.diag(model.data["P"]) if s == 0 else state**2
        covariance = covariance + sum(drives[k] * np.outer(reach[:, k], reach[:, k]) for k in range(2))
    return covariance


@pytest.mark.parametrize("path", [None, ("log_observation", 0), ("log_state", 0), ("log_state", 1)])
def test_the_filters_likelihood_is_scipys_of_all_observations_at_once(path: tuple[str, int] | None) -> None:
    """At the drawn parameters, and with each changed; that the gradient is this value's own, `test_checked` sees."""
    model = example("kalman_filter")
    p = model.params
    if path is not None:
        p[path[0]][path[1]] += 0.3
    covariance = joint_covariance(model, np.exp(p["log_observation"]), np.exp(p["log_state"]))
    expected = -multivariate_normal(np.zeros(len(covariance)), covariance).logpdf(model.data["y"])
    for name in FRAMEWORKS:
        assert model.value_and_gradient(name, p)[0] == pytest.approx(expected, rel=1e-12)


def test_the_block_is_torchs_layer_norm_and_scaled_dot_product_attention() -> None:
    torch = pytest.importorskip("torch")
    model = example("attention_block")
    params = tensors({**model.params["norm"], **model.params["attention"]}, requires_grad=True)
    data, width = tensors(model.data), model.spec.WIDTH
    functional = torch.nn.functional
    normed = functional.layer_norm(data["x"], (width,), params["gain"], params["bias"], eps=1e-5)
    q, k, v = (torch.tensordot(normed, params[name], dims=1).transpose(1, 2) for name in ("Wq", "Wk", "Wv"))
    heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    out = data["x"] + heads.transpose(1, 2).flatten(2) @ params["Wo"].flatten(0, 1)
    value, slopes = by_tape(functional.mse_loss(out, data["y"]), params)
    paths = {name: f"{group}.{name}" for group, tree in model.params.items() for name in tree}
    assert_every_framework_gives(model, value, {paths[name]: g for name, g in slopes.items()})


def test_the_focal_loss_is_torchs_cross_entropy_with_its_weight_left_on_the_tape() -> None:
    torch = pytest.importorskip("torch")
    model = example("broken_port")
    params, data = tensors(model.params, requires_grad=True), tensors(model.data)
    logits = data["X"] @ params["w"] + params["b"]
    p, y = torch.sigmoid(logits), data["y"]
    ce = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    value, gradient = by_tape((ce * (1 - (p * y + (1 - p) * (1 - y))) ** 2).mean(), params)
    ours, slopes = model.value_and_gradient("jax")
    assert ours == pytest.approx(value, rel=1e-13)
    assert distance(slopes, gradient) < 1e-12
