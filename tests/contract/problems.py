"""Problems that the contract suite is run on, and the values that others published for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic

#: c, start, first loss and loss after 100 steps of 0.01 on toy, loss summed over rows; known to 17 digits. The first is
#: the printed output of HIPS autograd's own logistic regression example.
KNOWN_LOSSES: list[tuple[str, float, dict[str, Any], str, str]] = [
    ("plain, c = 2, zero start", 2.0, {"w": np.zeros(3)}, "2.772588722239781", "0.38900754315581143"),
    (
        "projected, c = 1",
        1.0,
        {"w": np.array([0.1, -0.2, 0.3]), "W": np.eye(3)},
        "2.0474920152864784",
        "0.50961056392899523",
    ),
    (
        "projected, c = 2, L = 2",
        2.0,
        {"w": np.array([0.1, -0.2]), "W": np.array([[0.5, -0.25], [0.125, 0.75], [-1, 0.375]])},
        "2.9981803084978451",
        "0.34966395965038474",
    ),
]


def known(index: int, **options: Any) -> Problem:
    """The problem of a published value."""
    _, scale, params, _, _ = KNOWN_LOSSES[index]
    if "W" in params:
        width = params["W"].shape[1]
        spec: Logistic = ProjectedLogistic(features=3, projection=width, logit_scale=scale, **options)
    else:
        spec = Logistic(features=3, logit_scale=scale, **options)
    toy = load("toy")
    return with_params(make_problem("toy", spec, toy.X, toy.y), **params)


def with_params(problem: Problem, **params: Any) -> Problem:
    """The same problem at other parameters."""
    arrays = {name: np.asarray(value, problem.spec.dtype) for name, value in params.items()}
    return replace(problem, params=problem.spec.validate(arrays))


def drawn(spec: Logistic, rows: int, seed: int, *, scale: float = 1.0) -> Problem:
    """Normal features, fair labels, and parameters that make logits of about ``scale``."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, spec.features))
    y = (rng.random(rows) < 0.5).astype(float)
    problem = make_problem("drawn", spec, X, y, seed=seed)
    grown = {name: rng.standard_normal(shape) * scale**0.5 for name, shape in spec.shapes.items()}
    return with_params(problem, **grown)
