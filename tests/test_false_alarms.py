"""No correct backend is called wrong: a small part of ``tests/evidence/false_alarms.py``, and what it once found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.backends.protocol import Backend
from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.results import Finding
from gradparity.truth.logistic.truth import reference
from tests.conftest import CORE, configured
from tests.contract.problems import drawn
from tests.evidence.false_alarms import Judge, build, campaign, problems
from tests.mutants.harness import Scaled

#: JAX compiles three programs for each new shape and specification.
EXAMPLES = {"numpy": 100, "autograd": 60, "torch": 50, "jax": 8}


@pytest.mark.slow
@pytest.mark.parametrize("name", CORE)
def test_no_drawn_problem_raises_an_alarm(name: str) -> None:
    found = list(campaign(problems(compiled=name == "jax"), EXAMPLES[name], Judge(name, configured(name)), seed=3))
    assert len({id(problem) for problem, _ in found}) >= EXAMPLES[name]
    assert [(problem, finding) for problem, finding in found if finding.verdict != "agrees"] == []
    # The factor has room: nobody comes near it.
    assert max(finding.floors for _, finding in found if finding.floors is not None) < AGREES_FLOORS


def test_the_same_campaign_does_raise_alarms_where_the_gradient_is_off_by_a_millionth_of_a_millionth() -> None:
    backend = configured("numpy")
    judge = Judge("numpy", backend)

    def off(problem: Problem) -> list[Finding]:
        loss = backend.loss(problem.spec)
        judge.programs[problem.spec] = loss, Scaled(backend.program(loss), 1 + 1e-12)
        return judge(problem)

    found = list(campaign(problems().filter(lambda p: p.spec.dtype == "float64"), 30, off, seed=3))
    alarms = {id(problem) for problem, finding in found if finding.verdict != "agrees"}
    assert len(alarms) > 15  # the others are ill-conditioned, or their gradient is zero


@pytest.mark.parametrize("seed", range(3))
def test_equal_rows_that_round_the_same_way_every_time_are_no_alarm(name: str, backend: Backend, seed: int) -> None:
    # Found by the campaign: 200 equal rows in float32, summed one after the other by XLA, were 8.7 random walks off.
    options = {"logit_scale": 2.0, "l2": 0.1, "dtype": "float32"}
    problem = build((200, 20, 10), "duplicate rows", 5.0, seed, options)
    assert {f.verdict for f in Judge(name, backend)(problem)} == {"agrees"}


def test_a_zero_start_on_a_constant_column_is_no_alarm(name: str, backend: Backend) -> None:
    # Its slopes are all 1/2 over S: reverse mode adds equal terms, 20,000 of them, each rounded the same way.
    rng = np.random.default_rng(0)
    X, y = np.round(rng.standard_normal((20_000, 3)), 1), (rng.random(20_000) < 0.4) * 1.0
    X[:, 0] = 1
    problem = make_problem("zero start", Logistic(features=3, reduction="mean"), X, y, start="zeros")
    judge = Judge(name, backend, reference=lambda problem: reference(problem, budget_s=0.3))
    assert {f.verdict for f in judge(problem)} == {"agrees"}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_errors_in_floors_do_not_grow_with_the_number_of_rows(name: str, backend: Backend, dtype: Any) -> None:
    # jax-ml/jax#3130: a tolerance that grows with the size hides errors. Here 20,000 rows were 99 floors off at first.
    spec = ProjectedLogistic(features=8, projection=2, reduction="mean", dtype=dtype)
    judge = Judge(name, backend, reference=lambda problem: reference(problem, budget_s=0.3))
    worst = {}
    for rows in (200, 20_000):
        found = judge(drawn(spec, rows, seed=1))
        assert {f.verdict for f in found} == {"agrees"}
        worst[rows] = max(f.floors or 0 for f in found)
    assert worst[20_000] < 4 * worst[200]
