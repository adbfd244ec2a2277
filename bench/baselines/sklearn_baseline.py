"""scikit-learn: the whole fit of plain logistic regression by its own solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression


def fit(X: npt.NDArray[Any], y: npt.NDArray[Any], *, l2: float, tolerance: float) -> npt.NDArray[Any]:
    """Coefficients ``w (F,)`` that minimise ``sum_i softplus(z_i) - y_i z_i + l2 / 2 |w|^2`` with ``z = X w``.

    scikit-learn divides by the rows: its tolerance is on the largest entry of the gradient of the mean.
    """
    model = LogisticRegression(C=1 / l2, fit_intercept=False, solver="lbfgs", tol=tolerance, max_iter=10_000)
    return np.asarray(model.fit(X, y).coef_[0])
