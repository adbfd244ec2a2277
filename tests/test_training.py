"""Trajectories and the judgement of runs: why two runs diverge is found, and found to be the right reason."""

from __future__ import annotations

import itertools
from dataclasses import replace
from io import StringIO
from pathlib import Path as FilePath
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from gradparity.backends.numpy_backend import backend as numpy_backend
from gradparity.judge.training import (
    ADDS_UP,
    AMPLIFIES,
    GRADIENT_WRONG,
    KINK,
    LOOP_WRONG,
    LOSS_WRONG,
    NOT_FINITE,
    judge_training,
    own_loop,
)
from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.numerics.optimisers import (
    LBFGS,
    OUT_OF_TIME,
    Adam,
    GradientDescent,
    Momentum,
    Optimiser,
    Path,
    follow,
)
from gradparity.report.terminal.tables import training as training_table
from gradparity.results import Training, store
from gradparity.runner import session as engine
from gradparity.runner.observer import NullObserver
from gradparity.runner.settings import Settings
from gradparity.truth.logistic.path import trajectory
from gradparity.truth.reference import Reference
from gradparity.truth.trajectory import Trajectory
from gradparity.worker.evaluation import descend, train
from tests.contract.problems import drawn, with_params
from tests.truth.neutral_models import certified, problem_of


def toy(**options: Any) -> Problem:
    data = load("toy")
    spec = ProjectedLogistic(features=3, projection=2, reduction="mean", **options)
    return make_problem("toy", spec, data.X, data.y)


#: All labels 1: no weight suits these rows, and steps of 12 jump about for ever. Two starts one rounding apart are of
#: order one apart after 80 steps: the logarithm of their distance grows by 0.46 a step.
def chaotic() -> Problem:
    X = np.array([[2.0], [2.0], [2.0], [-1.0], [-0.1]])
    problem = make_problem("chaos", Logistic(features=1, reduction="mean"), X, np.ones(5))
    return with_params(problem, w=np.array([0.1]))


class Program:
    """NumPy's program with faults: what it answers is changed by ``fault(call, value, gradient)``."""

    def __init__(self, problem: Problem, fault: Any = None) -> None:
        self.inner = numpy_backend.program(numpy_backend.loss(problem.spec))
        self.fault, self.calls = fault, 0

    def value_and_gradient(self, params: Any, data: Any) -> Any:
        value, gradient = self.inner.value_and_gradient(params, data)
        self.calls += 1
        return self.fault(self.calls - 1, value, gradient) if self.fault else (value, gradient)


def run(problem: Problem, known: Trajectory, steps: int, fault: Any = None) -> Path:
    return train(numpy_backend, Program(problem, fault), problem, known.optimiser, steps)  # type: ignore[arg-type]


def judged(problem: Problem, optimiser: Optimiser, steps: int = 100, fault: Any = None) -> Training:
    known = trajectory(problem, optimiser, steps)
    return judge_training("numpy", run(problem, known, steps, fault), known, problem, 0.0)


def scaled(factor: float, since: int = 0) -> Any:
    def fault(call: int, value: Any, gradient: Any) -> Any:
        return value, {name: (factor if call >= since else 1.0) * g for name, g in gradient.items()}

    return fault


# --- reasons ---------------------------------------------------------------------------------------------------------


def test_a_gradient_that_goes_off_on_the_way_is_named_at_the_step_where_it_does() -> None:
    found = judged(toy(), GradientDescent(0.5), fault=scaled(1 + 1e-9, since=17))
    assert (found.verdict, found.reason, found.first_divergence) == ("wrong", GRADIENT_WRONG, 18)
    assert "at step 17, gradient" in found.detail


def test_a_right_gradient_beside_a_wrong_loss_is_a_loss_that_is_off() -> None:
    found = judged(toy(), GradientDescent(0.5), fault=lambda call, value, gradient: (value * (1 + 1e-9), gradient))
    assert (found.verdict, found.reason, found.first_divergence) == ("wrong", LOSS_WRONG, 0)
    assert found.diverged == "loss"


def test_chaos_is_rounding_that_the_dynamics_amplify_and_no_wrong_gradient() -> None:
    problem = chaotic()
    known = trajectory(problem, GradientDescent(12.0), 150)
    ran = run(problem, known, 150)
    assert abs(ran.losses[-30:] - known.path.losses[-30:]).max() > 0.1  # nothing is left of the losses' agreement
    found = judge_training("numpy", ran, known, problem, 0.0)
    assert (found.verdict, found.reason) == ("agrees", AMPLIFIES)
    assert found.amplification is not None
    assert found.amplification > 1e12
    # 1,000 roundings apart at 0.46 a step from some 3: after some 13 steps, and well before 40.
    step = int(found.detail.split("from step ")[1].split()[0])
    assert 5 < step < 40


@pytest.mark.parametrize("since", [0, 3])
def test_chaos_does_not_excuse_a_gradient_that_is_off(since: int) -> None:
    found = judged(chaotic(), GradientDescent(12.0), 150, fault=scaled(1 + 1e-9, since))
    assert (found.verdict, found.reason, found.first_divergence) == ("wrong", GRADIENT_WRONG, since + 1)


def test_a_run_beyond_an_amplified_floor_agrees_where_all_its_gradients_are_right() -> None:
    # A floor from too few draws may be too low where runs diverge at once: gradients at the own points decide.
    problem = chaotic()
    known = trajectory(problem, GradientDescent(12.0), 150)
    low = replace(known, loss_floor=known.loss_floor / 1e4, floors={"w": known.floors["w"] / 1e4})
    low = replace(low, loss_floor=np.maximum(low.loss_floor, 1e-14), floors={"w": np.maximum(low.floors["w"], 1e-14)})
    found = judge_training("numpy", run(problem, known, 150), low, problem, 0.0)
    assert found.first_divergence is not None
    assert (found.verdict, found.reason) == ("agrees", AMPLIFIES)


def test_right_gradients_beyond_a_floor_that_did_not_grow_are_rounding_that_adds_up() -> None:
    problem = toy()
    known = trajectory(problem, GradientDescent(0.5), 50)
    low = replace(known, floors={name: floor / 1e3 for name, floor in known.floors.items()})
    found = judge_training("numpy", run(problem, known, 50), low, problem, 0.0)
    assert (found.verdict, found.reason) == ("unstable", ADDS_UP)


def relu_loss(p: Any, d: Any, xp: Any) -> Any:
    return (xp.maximum(p["w"], 0) + d["one"]) ** 2


class OracleOfRelu:
    """Answers of the process that knows a user's loss, where a judgement asks for them."""

    def at(self, problem: Any) -> Reference:
        return certified(relu_loss, problem).only("loss", "gradient")

    def points(self, _: Any) -> int:
        return 10


@pytest.mark.parametrize(("slope", "verdict", "reason"), [(0.0, "kink", KINK), (2.0, "wrong", GRADIENT_WRONG)])
def test_a_run_that_meets_a_kink_may_take_either_side_and_no_other(slope: float, verdict: str, reason: str) -> None:
    # The first step, 4 / 4, ends at w = 0 exactly. There the reference's relu' is 1, which leads on to -1/2.
    problem = problem_of({"w": np.array(1.0)}, {"one": np.array(1.0)}, {"w": np.array(1.0)})

    def path(slope_at_zero: float) -> Path:
        def value_and_gradient(params: Any) -> Any:
            w = params["w"]
            relu, side = np.maximum(w, 0), np.where(w > 0, 1.0, np.where(w == 0, slope_at_zero, 0.0))
            return (relu + 1) ** 2, {"w": 2 * (relu + 1) * side}

        return follow(GradientDescent(0.25), problem.spec, value_and_gradient, problem.params, 3)

    ran, floor = path(slope), np.full(4, 1e-16, np.longdouble)
    known = Trajectory(GradientDescent(0.25), path(1.0), floor, {"w": floor}, floor, floor[:1], (4, 4), complete=True)
    assert ran.params[1] == 0
    found = judge_training("torch", ran, known, problem, 0.0, oracle=OracleOfRelu())  # type: ignore[arg-type]
    assert (found.verdict, found.reason, found.first_divergence) == (verdict, reason, 2)


def test_a_wrong_step_in_the_backends_own_loop_is_told_from_a_wrong_gradient() -> None:
    problem = toy()
    known = trajectory(problem, GradientDescent(0.5), 50)
    shared = judge_training("numpy", run(problem, known, 50), known, problem, 0.0)
    program = numpy_backend.program(numpy_backend.loss(problem.spec))
    for rate, verdict, reason in ((0.5, "agrees", ""), (0.5 * (1 + 1e-9), "wrong", LOOP_WRONG)):
        descended = descend(numpy_backend, program, problem, 50, rate)
        ran = own_loop(descended.losses, problem.spec.pack(descended.params))
        found = judge_training("numpy", ran, known, problem, 0.0, shared=shared)
        assert (found.verdict, found.reason, found.own_loop) == (verdict, reason, True)
    assert found.first_divergence == 1
    off = judge_training("numpy", run(problem, known, 50, scaled(1 + 1e-9)), known, problem, 0.0)
    assert judge_training("numpy", ran, known, problem, 0.0, shared=off).reason == GRADIENT_WRONG


def test_the_last_parameters_of_the_backends_own_loop_are_compared_too() -> None:
    problem = toy()
    known = trajectory(problem, GradientDescent(0.5), 50)
    ran = run(problem, known, 50)
    moved = own_loop(ran.losses, ran.params[-1] * (1 + 1e-9))
    found = judge_training("numpy", moved, known, problem, 0.0)
    assert (found.verdict, found.first_divergence) == ("wrong", 50)
    assert found.diverged in ("w", "W")


def test_a_naive_loss_that_overflows_is_not_finite_from_that_step_on() -> None:
    spec = Logistic(features=1, numerics="naive")
    problem = with_params(make_problem("naive", spec, np.ones((1, 1)), np.zeros(1)), w=np.array([800.0]))
    found = judged(problem, GradientDescent(1.0), 5)
    assert (found.verdict, found.reason, found.first_divergence) == ("nonfinite", NOT_FINITE, 0)


def test_a_gradient_that_has_shrunk_to_rounding_may_be_zero() -> None:
    # In the exact minimum, w = 0 by symmetry, the truth of perturbed data is some roundings and a backend's is 0.
    problem = with_params(make_problem("even", Logistic(features=1), np.ones((2, 1)), np.array([0.0, 1.0])), w=[4e-16])
    found = judged(problem, GradientDescent(0.5), 20, lambda call, value, g: (value, {"w": 0 * g["w"]}))
    assert found.verdict == "agrees"
    away = with_params(problem, w=np.array([1e-3]))
    found = judged(away, GradientDescent(0.5), 20, lambda call, value, g: (value, {"w": 0 * g["w"]}))
    assert (found.verdict, found.reason) == ("wrong", GRADIENT_WRONG)


def test_a_run_is_compared_as_far_as_its_numbers_reach() -> None:
    # With lr 50 both factors of the projection grow without bound; the reference's range is wider than float64's.
    data = load("iris", standardise=True)
    spec = ProjectedLogistic(features=4, projection=5, reduction="mean")
    found = judged(make_problem("iris", spec, data.X, data.y), GradientDescent(50.0))
    assert found.final_loss is None
    assert found.verdict == "agrees"
    assert 10 < found.checked_steps < 60


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_thousands_of_right_steps_still_agree(dtype: str) -> None:
    assert judged(toy(dtype=dtype), GradientDescent(0.2), 1500).verdict == "agrees"


def test_thinned_records_are_judged_at_the_steps_that_were_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradparity.numerics.optimisers.RECORD_BYTES", 2000)
    found = judged(toy(), GradientDescent(0.5))
    assert found.verdict == "agrees"
    assert found.recorded_steps[1] > 1
    assert len(found.parameter_floors["w"]) == len(found.recorded_steps) < 20
    assert len(found.loss_floors) == 101


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("which", [GradientDescent(0.3), Momentum(0.3), Adam(0.1), LBFGS()], ids=lambda o: o.name)
def test_right_runs_agree_on_any_small_shape(seed: int, which: Optimiser) -> None:
    rng = np.random.default_rng(seed)
    features, width, rows = (int(n) for n in rng.integers(1, 4, 3))
    dtype: Any = ("float64", "float32")[seed % 2]
    spec = ProjectedLogistic(features=features, projection=width, dtype=dtype, l2=0.1 * (seed % 3))
    found = judged(drawn(spec, rows, seed), which, 40)
    assert found.verdict == "agrees", (found.reason, found.detail)


# --- the run and its report ------------------------------------------------------------------------------------------


def test_a_run_trains_with_every_optimiser_asked_for_and_writes_every_step(tmp_path: FilePath) -> None:
    settings = Settings(
        command="check",
        out=str(tmp_path),
        backends=["numpy"],
        data=("toy",),
        steps=20,
        optimiser=("gd", "momentum", "adam", "lbfgs"),
    )
    engine.run(settings, NullObserver())
    (problem,) = store.read(tmp_path / "results.json").problems
    rows = [(ran.optimiser, ran.own_loop, ran.verdict) for ran in problem.training]
    assert rows == [("gd", True, "agrees"), ("gd", False, "agrees")] + [
        (name, False, "agrees") for name in ("momentum", "adam", "lbfgs")
    ]
    for ran in problem.training[1:4]:
        assert len(ran.losses) == len(ran.loss_floors) == len(ran.parameter_floors["W"]) == 21
    assert problem.training[-1].evaluations is not None
    assert problem.training[-1].reference_evaluations is not None
    # Only the two loops of gradient descent are the same run.
    finals = {ran.optimiser: ran.final_loss for ran in problem.training}
    assert len(set(finals.values())) == 4
    assert problem.training[0].final_loss == pytest.approx(problem.training[1].final_loss, rel=1e-12)


def test_the_table_names_the_optimiser_and_says_each_reason_once() -> None:
    found = judged(toy(), GradientDescent(0.5), fault=scaled(1 + 1e-9))
    rows = [msgspec.structs.replace(found, backend=name) for name in ("one", "two")]
    console = Console(width=200, file=StringIO())
    console.print(training_table(rows))
    text = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert text.count(GRADIENT_WRONG) == 1
    assert f"gd on one, two: {GRADIENT_WRONG}: at step 0" in text
    assert found.diverged in ("w", "W")  # and not the loss, which follows from them
    assert "step 1" in text


@pytest.mark.parametrize(("optimiser", "seconds"), [(GradientDescent(0.5), 3.5), (LBFGS(), 0.5)])
def test_a_run_that_ends_for_want_of_time_is_judged_as_far_as_it_goes(
    optimiser: Optimiser, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last loss is not held against the last one of the reference, which has more steps."""
    problem = toy()
    known = trajectory(problem, optimiser, 30)
    now_s = itertools.count()
    monkeypatch.setattr("gradparity.numerics.optimisers.time.monotonic", lambda: next(now_s))
    ran = train(numpy_backend, Program(problem), problem, known.optimiser, 30, seconds)  # type: ignore[arg-type]
    assert ran.stopped == OUT_OF_TIME
    assert 1 < len(ran.losses) < len(known.path.losses)
    assert len(ran.params) == len(ran.steps) == len(ran.gradients)
    found = judge_training("numpy", ran, replace(known, complete=False), problem, 0.0)
    assert found.verdict == "agrees"
    assert found.checked_steps == found.steps == len(ran.losses) - 1
    assert found.stopped == OUT_OF_TIME
    if not isinstance(optimiser, LBFGS):  # were it taken for the end of the reference's run, it would not agree
        assert judge_training("numpy", ran, known, problem, 0.0).verdict != "agrees"
