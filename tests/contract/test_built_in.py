"""The built-in models in a namespace alone: what a backend has that brings no loss of its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from gradparity.backends.built_in import built_in_loss, neutral_loss
from gradparity.backends.protocol import NothingToRun
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from tests.conftest import configured
from tests.contract.problems import KNOWN_LOSSES, drawn, known
from tests.contract.test_contract import FORMULATIONS, disagreements

FRAMEWORKS = ("autograd", "jax", "torch")


class WithoutLoss:
    """A backend without ``loss``; the rest is another's."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        if name == "loss":
            raise AttributeError(name)
        return getattr(self._backend, name)


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize("index", range(len(KNOWN_LOSSES)), ids=[each[0] for each in KNOWN_LOSSES])
def test_published_losses_come_out_of_a_namespace(name: str, index: int) -> None:
    problem, backend = known(index), configured(name)
    loss = built_in_loss(WithoutLoss(backend), problem.spec)
    value = backend.get({"": loss(backend.put(problem.params), backend.put(problem.data))})[""]
    np.testing.assert_allclose(float(value), float(KNOWN_LOSSES[index][3]), rtol=4e-16)


SPECS: list[Logistic] = [Logistic(features=4, l2=0.3), ProjectedLogistic(features=4, projection=3, logit_scale=2.0)]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_every_formulation_agrees_with_the_truth_in_a_namespace(reduction: Any) -> None:
    backend = configured("autograd")

    class Neutral(WithoutLoss):
        def loss(self, spec: Logistic) -> Any:
            return neutral_loss(spec, backend.namespace())

    for spec, formulation in product(SPECS, FORMULATIONS):
        asked = replace(spec, formulation=formulation, reduction=reduction)
        assert disagreements("autograd", Neutral(backend), drawn(asked, 9, seed=3)) == []


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize("spec", SPECS, ids=["plain", "projected"])
def test_the_formula_that_overflows_is_the_frameworks_own_in_a_namespace(name: str, spec: Logistic) -> None:
    backend, asked = configured(name), replace(spec, numerics="naive")
    for scale in (1.0, 1e6):
        problem = drawn(asked, 9, seed=3, scale=scale)
        placed = backend.put(problem.params), backend.put(problem.data)
        with np.errstate(over="ignore", divide="ignore"):
            losses = [built_in_loss(each, asked)(*placed) for each in (WithoutLoss(backend), backend)]
        one, other = (backend.get({"": loss})[""] for loss in losses)
        np.testing.assert_allclose(one, other, rtol=1e-13)
        assert np.isfinite(one) == (scale == 1.0)


def test_a_backend_with_neither_a_loss_nor_a_namespace_has_nothing_to_run() -> None:
    with pytest.raises(NothingToRun, match="neither a loss"):
        built_in_loss(object(), Logistic(features=1))
