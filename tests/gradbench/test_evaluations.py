"""What a backend answers as a tool of GradBench, held to what other formulas give."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, wishart

from gradparity.backends.gradbench import module_of
from gradparity.worker.gradbench import LONG_LOOP, Evaluation, Tool
from tests.gradbench.asking import RUNS, asked, backend_tool, both, drawn


def slopes(function: Any, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The gradient by central differences."""
    found = np.zeros(x.size)
    for place in range(x.size):
        moved = [x.ravel().copy() for _ in range(2)]
        moved[0][place] += step
        moved[1][place] -= step
        found[place] = (function(moved[0].reshape(x.shape)) - function(moved[1].reshape(x.shape))) / (2 * step)
    return found


def test_hello(tool: Tool):
    assert both(tool, "hello", -1.5) == (2.25, -3.0)
    assert both(tool, "hello", 3) == (9.0, 6.0)


def test_lse(tool: Tool):
    x = 50 * drawn().standard_normal(20) + 700
    primal, gradient = both(tool, "lse", {"x": x.tolist(), **RUNS})
    np.testing.assert_allclose(primal, logsumexp(x), rtol=1e-14)
    np.testing.assert_allclose(gradient, softmax(x), rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("points", [2, 8, 9])
def test_llsq(tool: Tool, points: int):
    x = drawn().random(5)
    primal, gradient = both(tool, "llsq", {"x": x.tolist(), "n": points, **RUNS})
    t = np.linspace(-1, 1, points)
    residuals = np.sign(np.round(t, 12)) - np.polynomial.Polynomial(x)(t)
    np.testing.assert_allclose(primal, 0.5 * np.sum(residuals**2), rtol=1e-13)
    np.testing.assert_allclose(gradient, -np.vander(t, 5, increasing=True).T @ residuals, rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_det(tool: Tool, rows: int):
    A = drawn().random((rows, rows))
    primal, gradient = both(tool, "det", {"A": A.ravel().tolist(), "ell": rows, **RUNS})
    np.testing.assert_allclose(primal, np.linalg.det(A), rtol=1e-12)
    np.testing.assert_allclose(gradient, (np.linalg.det(A) * np.linalg.inv(A).T).ravel(), rtol=1e-11)


def test_kmeans(tool: Tool):
    points = drawn().random((40, 3))
    centroids = points[-4:]
    primal, step = both(tool, "kmeans", {"points": points.tolist(), "centroids": centroids.tolist(), **RUNS})
    squares = np.sum((points[:, None] - centroids) ** 2, axis=2)
    nearest = np.argmin(squares, axis=1)
    means = np.array([points[nearest == each].mean(axis=0) for each in range(4)])
    np.testing.assert_allclose(primal, np.sum(np.min(squares, axis=1)), rtol=1e-13)
    np.testing.assert_allclose(step, centroids - means, rtol=1e-11, atol=1e-15)


def test_ode(tool: Tool):
    """Of degree 4 and less Runge and Kutta's method is exact: `y_i = x_0 ... x_i t^(i+1) / (i+1)!`."""
    x = drawn().random(4)
    primal, gradient = both(tool, "ode", {"x": x.tolist(), "s": 3, **RUNS})
    np.testing.assert_allclose(primal, np.cumprod(x) * [2, 2, 8 / 6, 16 / 24], rtol=1e-13)
    np.testing.assert_allclose(gradient, np.prod(x) * 16 / 24 / x, rtol=1e-13)


@pytest.mark.parametrize("d", [1, 3])
def test_gmm(tool: Tool, d: int):
    """By the densities that the evaluation is defined by."""
    rng, k, n, m, gamma = drawn(), 2, 5, 2, 1.3
    x, alpha, mu = rng.standard_normal((n, d)), rng.standard_normal(k), rng.random((k, d))
    q, below = 0.5 * rng.standard_normal((k, d)), rng.standard_normal((k, d * (d - 1) // 2))
    independent = {"alpha": alpha, "mu": mu, "q": q, "l": below}

    def posterior(alpha: Any, mu: Any, q: Any, below: Any) -> float:
        densities, prior = np.zeros((n, k)), 0.0
        for each in range(k):
            root = np.diag(np.exp(q[each]))
            entries = iter(below[each])
            for column in range(d):
                for row in range(column + 1, d):
                    root[row, column] = next(entries)
            precision = root.T @ root
            densities[:, each] = multivariate_normal(mu[each], np.linalg.inv(precision)).logpdf(x)
            prior += wishart(d + m + 1, np.eye(d) / gamma**2).logpdf(precision)
        weights = alpha - logsumexp(alpha)
        return float(np.sum(logsumexp(weights + densities, axis=1)) + prior)

    message = {name: value.tolist() for name, value in independent.items()}
    message |= {"x": x.tolist(), "d": d, "k": k, "n": n, "m": m, "gamma": gamma, **RUNS}
    primal, gradient = both(tool, "gmm", message)
    np.testing.assert_allclose(primal, posterior(*independent.values()), rtol=1e-12)
    assert gradient.keys() == independent.keys()
    for place, (name, value) in enumerate(independent.items()):
        rest = list(independent.values())
        expected = slopes(lambda v, rest=rest, place=place: posterior(*rest[:place], v, *rest[place + 1 :]), value)
        np.testing.assert_allclose(np.ravel(gradient[name]), expected, rtol=1e-6, atol=1e-7)


def test_lstm(tool: Tool):
    """Unit by unit, in numbers."""
    rng, layers, bits, letters = drawn(), 2, 3, 4
    main, extra = rng.random((2 * layers, 4 * bits)), rng.random((3, bits))
    state, sequence = rng.random((2 * layers, bits)), rng.integers(0, 2, (letters, bits)).astype(float)

    def objective(flat: Any) -> float:
        main_, extra_ = flat[: main.size].reshape(main.shape), flat[main.size :].reshape(extra.shape)
        held, total = state.copy(), 0.0
        for t in range(letters - 1):
            x = [sequence[t, j] * extra_[0, j] for j in range(bits)]
            for layer in range(layers):
                w, b, h, c = main_[2 * layer], main_[2 * layer + 1], held[2 * layer], held[2 * layer + 1]
                for j in range(bits):
                    forget, ingate, outgate = (
                        1 / (1 + np.exp(-(v * w[part * bits + j] + b[part * bits + j])))
                        for part, v in enumerate((x[j], h[j], x[j]))
                    )
                    c[j] = c[j] * forget + ingate * np.tanh(h[j] * w[3 * bits + j] + b[3 * bits + j])
                    h[j] = outgate * np.tanh(c[j])
                x = list(h)
            y = [x[j] * extra_[1, j] + extra_[2, j] for j in range(bits)]
            normal = np.log(2 + sum(np.exp(y)))
            total += sum(sequence[t + 1, j] * (y[j] - normal) for j in range(bits))
        return float(-total / ((letters - 1) * bits))

    given = {"main_params": main, "extra_params": extra, "state": state, "sequence": sequence}
    primal, gradient = both(tool, "lstm", {name: value.tolist() for name, value in given.items()} | RUNS)
    flat = np.concatenate([main.ravel(), extra.ravel()])
    np.testing.assert_allclose(primal, objective(flat), rtol=1e-13)
    np.testing.assert_allclose(gradient, slopes(objective, flat), rtol=1e-7, atol=1e-10)


def test_a_long_loop_is_not_compiled_and_computes_the_same(tool: Tool, monkeypatch: pytest.MonkeyPatch):
    long = {"x": drawn().random(6).tolist(), "s": 4, **RUNS}
    compiled = both(tool, "ode", long)
    monkeypatch.setattr("gradparity.worker.gradbench.LONG_LOOP", 3)
    for found, expected in zip(both(tool, "ode", long), compiled, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_a_loop_is_as_long_as_its_steps_and_not_as_its_numbers(monkeypatch: pytest.MonkeyPatch):
    rounds, program = [], Evaluation._program
    monkeypatch.setattr(Evaluation, "_program", lambda self, loss, n: rounds.append(n) or program(self, loss, n))
    both(backend_tool("autograd"), "ode", {"x": [0.5] * (LONG_LOOP + 1), "s": 2, **RUNS})
    assert rounds == [0, 2, 2]  # of what is defined, and of both functions


@pytest.mark.slow
@pytest.mark.variation
def test_what_would_unroll_a_long_loop_and_has_no_other_way_says_so():
    tool = backend_tool("torch-compile")
    asked(tool, kind="define", module="ode")
    answer = asked(tool, kind="evaluate", module="ode", function="primal", input={"x": [1.0], "s": LONG_LOOP + 1})
    assert answer["error"] == f"undefined: a loop of {LONG_LOOP + 1} rounds, all of which would be compiled"


def test_a_centroid_without_points_has_no_step(tool: Tool):
    asked(tool, kind="define", module="kmeans")
    given = {"points": [[0.0], [0.1]], "centroids": [[0.0], [9.0]], **RUNS}
    answer = asked(tool, kind="evaluate", module="kmeans", function="dir", input=given)
    assert answer == {"id": 7, "success": False, "error": "the answer is not finite, which JSON has no number for"}


def test_expansion_by_minors_is_the_sum_over_permutations():
    A, total = drawn(3).standard_normal((4, 4)), 0.0
    for order in permutations(range(4)):
        sign = np.linalg.det(np.eye(4)[list(order)])
        total += sign * np.prod([A[row, column] for row, column in enumerate(order)])
    np.testing.assert_allclose(module_of("det").loss({"A": A}, {}, np), total, rtol=1e-12)
