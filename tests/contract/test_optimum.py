"""scikit-learn's optimum is every backend's optimum: SciPy's L-BFGS over the flat vector must reach it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from gradparity.backends.protocol import Backend
from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic


@pytest.fixture(scope="module")
def solved() -> tuple[np.ndarray[Any, Any], float]:
    """Coefficients and loss of scikit-learn's unpenalised fit on iris, without an intercept."""
    iris = load("iris", standardise=True)
    fit = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    coefficients = fit.fit(iris.X, iris.y).coef_[0]
    return coefficients, float(np.logaddexp(0, (1 - 2 * iris.y) * (iris.X @ coefficients)).sum())


@pytest.mark.parametrize("projection", [None, 3], ids=["plain", "projected"])
def test_l_bfgs_reaches_scikit_learns_optimum(
    backend: Backend, solved: tuple[np.ndarray[Any, Any], float], projection: int | None
) -> None:
    coefficients, loss = solved
    iris = load("iris", standardise=True)
    spec = ProjectedLogistic(features=4, projection=projection) if projection else Logistic(features=4)
    problem = make_problem("iris", spec, iris.X, iris.y)
    program, data = backend.program(backend.loss(spec)), backend.put(problem.data)

    def value_and_gradient(vector: Any) -> tuple[float, Any]:
        value, gradient = program.value_and_gradient(backend.put(spec.unpack(vector)), data)
        return float(value), spec.pack(backend.get(gradient))

    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(value_and_gradient, spec.pack(problem.params), jac=True, method="L-BFGS-B", options=options)
    params = spec.unpack(found.x)
    direction = params["W"] @ params["w"] if projection else params["w"]
    assert found.fun == pytest.approx(loss, rel=1e-10)
    assert direction == pytest.approx(coefficients, rel=1e-4)
