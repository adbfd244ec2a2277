"""A backend's own gradient of ``loss(params, batch)`` at points of a training run, and how far rounding moves it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gradparity.backends.protocol import Backend
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.user_spec import UserSpec
from gradparity.numerics.perturbation import perturbed
from gradparity.progress import advance
from gradparity.worker.step_messages import GiveGradients, GradientsGiven
from gradparity.worker.wire import Arrays, Host


def given(
    backend: Backend, problem: UserProblem, build: Callable[[UserSpec], tuple[Any, Any]], request: GiveGradients
) -> GradientsGiven:
    """The answer to a request for them; where the loss raises on a batch, why there are none."""
    points = len(next(iter(request.params.values())))
    found: list[list[Arrays]] = []
    for k in range(points):
        batch = request.batches[k] if request.batches else None
        spec = problem.spec if batch is None else _with_data(problem.spec, batch.form)
        params = {name: value[k] for name, value in request.params.items()}
        fixed = {name: problem.data[name] for name in problem.spec.constants.values()}
        fixed |= {problem.spec.constants[path]: value[k] for path, value in request.constants.items()}
        data = {**(problem.data if batch is None else batch.arrays), **fixed}
        moved = ((p, d) for p, d, _ in perturbed(params, data, {}, seed=problem.seed + k, draws=request.draws))
        try:
            program = build(spec)[1]
            found.append([_evaluated(backend, program, *inputs) for inputs in ((params, data), *moved)])
        except Exception as error:
            said = (str(error).splitlines() or [""])[0]
            missing = f"loss(params, batch) raises {type(error).__name__}: {said}"
            return GradientsGiven(np.empty(0), {}, np.empty(0), {}, missing)
        advance("gradients", k + 1, points)
    values = {name: np.stack([each[0][name] for each in found]) for name in found[0][0]}
    floors = {name: np.stack([_floor([each[name] for each in draws]) for draws in found]) for name in values}
    return GradientsGiven(values.pop(""), values, floors.pop(""), floors)


def _with_data(spec: UserSpec, form: str) -> UserSpec:
    """The specification whose data are nested as a batch is; itself where they are."""
    forms = json.loads(spec.forms)
    batch = json.loads(form)
    return spec if forms["data"] == batch else replace(spec, forms=json.dumps({**forms, "data": batch}))


def _evaluated(backend: Backend, program: Any, params: Arrays, data: Arrays) -> Arrays:
    """Copies of the gradient by parameter, and of the loss as ``""``."""
    value, gradient = program.value_and_gradient(backend.put(params), backend.put(data))
    return {name: np.array(each) for name, each in backend.get({**gradient, "": value}).items()}


def _floor(values: list[Host]) -> Host:
    """Root mean square of the moves of all but the first, which they are from."""
    first, *moved = (np.asarray(value, np.longdouble) for value in values)
    with np.errstate(all="ignore"):
        squares = np.mean([(value - first) ** 2 for value in moved], axis=0) if moved else np.zeros_like(first)
        return np.asarray(np.sqrt(squares), np.float64)
