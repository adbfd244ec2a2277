"""The standard stress suite: what is in it, that correct backends pass it, and that faults it is there for do not."""

from __future__ import annotations

import io
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import gradparity
from gradparity.backends import BACKENDS, Registration
from gradparity.judge.verdicts import judge
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import Problem
from gradparity.processes.backend import WorkerProcess
from gradparity.report.terminal.tables import print_stress
from gradparity.results import RunResult
from gradparity.results.store import read
from gradparity.runner import cases as cases_module
from gradparity.runner import session as engine
from gradparity.runner.judging import Judging
from gradparity.runner.observer import NullObserver
from gradparity.runner.problem import ProblemRun
from gradparity.runner.settings import Settings, settings_from
from gradparity.runner.stress import StressProblem, stress_problems
from gradparity.truth.logistic.extended import evaluate
from gradparity.truth.logistic.truth import reference
from gradparity.worker.messages import Evaluated
from tests.conftest import CORE, configured

SUITE = stress_problems()
Ran = tuple[RunResult, Path, float]


def logits(problem: Problem) -> Any:
    params = problem.params
    u = params["W"] @ params["w"] if "W" in params else params["w"]
    return problem.spec.logit_scale * (problem.data["X"] @ u)


def test_every_problem_has_a_name_of_its_own_and_says_why_it_is_there() -> None:
    names = [(case.name, case.problem.spec.dtype) for case in SUITE]
    assert len(set(names)) == len(names)
    assert all(case.why for case in SUITE)


@pytest.mark.parametrize("logit", [0.0, 1e-300, -1e-300, 40.0, -40.0, 800.0, -800.0])
def test_every_row_is_at_each_extreme_logit_exactly_with_labels_of_both_kinds(logit: float) -> None:
    found = [case.problem for case in SUITE if (logits(case.problem) == logit).all()]
    assert any(problem.spec.dtype == "float64" and set(problem.data["y"]) == {0, 1} for problem in found)


def test_the_suite_has_every_edge_that_it_names() -> None:
    S, F, L = ({case.problem.data["X"].shape[0] for case in SUITE}, {c.problem.spec.features for c in SUITE}, set())
    L = {case.problem.spec.shapes["w"][0] for case in SUITE if "W" in case.problem.params}
    assert 1 in S & F & L
    for dtype in ("float64", "float32"):
        cases = {case.name: case.problem for case in SUITE if case.problem.spec.dtype == dtype}
        X = {name: problem.data["X"] for name, problem in cases.items()}
        tiny = np.finfo(dtype).tiny
        assert not X["zero column"][:, 1].any()
        assert (X["duplicate columns"][:, 0] == X["duplicate columns"][:, 2]).all()
        scales = np.abs(X["features over 1e12 apart"]).max(axis=0)
        assert scales.max() / scales.min() > 1e12
        assert 0 < np.abs(X["subnormal features"][:, 1]).max() < tiny
        assert 0 < np.abs(cases["subnormal parameters"].params["W"][1]).max() < tiny
        separable = cases["separable data"]
        assert ((logits(separable) > 0) == (separable.data["y"] == 1)).all()
        assert {problem.spec.formulation for problem in cases.values()} == {"as_written", "reassociated", "blocked"}
    assert {(case.problem.spec.reduction, case.problem.spec.l2 > 0) for case in SUITE} >= {
        ("sum", False),
        ("mean", True),
    }
    three = next(case.problem for case in SUITE if case.name == "three blocks")
    assert three.rows % three.spec.block_rows == 1


def test_torch_compile_is_the_one_compiler_and_gets_few_specifications() -> None:
    def programs(cases: list[StressProblem]) -> int:
        return len({(case.problem.spec, case.problem.rows) for case in cases})

    assert programs([case for case in SUITE if case.compiled]) == 3
    assert programs(SUITE) <= 20
    assert [name for name, registration in BACKENDS.items() if registration.compiler] == ["torch-compile"]


def test_every_truth_is_certified_and_finite() -> None:
    for case in SUITE:
        found = reference(case.problem)
        assert found.method.startswith("certified in ball arithmetic at")
        assert all(np.isfinite(block).all() for tree in (found.truth, found.floor) for block in tree.values())


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The suite over the core backends, each in its worker; its folder, and the processor's seconds."""
    for name in CORE:
        configured(name)  # or skipped, with what to install
    folder = tmp_path_factory.mktemp("stress")
    settings = Settings(command="check", stress=True, out=str(folder), backends=list(CORE))
    began = processor_s()
    return engine.run(settings, NullObserver()), folder, processor_s() - began


def processor_s() -> float:
    """Seconds of processor that this process and its ended children took: the same on a machine with other work."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@pytest.mark.slow
def test_the_core_backends_agree_on_the_whole_suite_in_under_a_minute(ran: Ran) -> None:
    result, _, seconds = ran
    assert result.ok
    assert len(result.problems) == len(SUITE)
    for problem in result.problems:
        assert {found.backend for found in problem.findings} == set(CORE)
        if not problem.expected:
            assert {found.verdict for found in problem.findings} == {"agrees"}
    assert seconds < 60


def test_naive_numerics_fail_where_stable_holds_and_are_no_failure_of_a_backend(
    ran: Ran,
) -> None:
    result, _, _ = ran
    for logit in ("+40", "+800"):
        naive, stable = (
            next(p for p in result.problems if p.name == f"{name}logits {logit}") for name in ("naive, ", "")
        )
        for name in CORE:
            assert "nonfinite" in {found.verdict for found in naive.findings if found.backend == name}
            assert {found.verdict for found in stable.findings if found.backend == name} == {"agrees"}
        assert naive.not_good == []


def test_results_are_written_and_shown_a_row_a_problem(ran: Ran) -> None:
    result, folder, _ = ran
    assert read(folder / "results.json").problems == result.problems
    assert all("certified in ball arithmetic" in problem.truth for problem in result.problems)
    out = io.StringIO()
    print_stress(Console(file=out, width=160), result)
    table = out.getvalue()
    assert all(problem.name in table for problem in result.problems)
    assert table.count("naive fails here, stable holds") == 2
    assert not any(line.startswith(name) for name in CORE for line in table.splitlines()[2:])


def verdicts_of_changed_truth(name: str, change: Any) -> set[str]:
    """The verdicts on a backend whose answers are the truth, rounded, and then changed."""
    problem = next(case.problem for case in SUITE if case.name == name and case.problem.spec.dtype == "float64")
    quantities: dict[str, dict[str, Any]] = {}
    for (quantity, parameter), value in evaluate(problem).items():
        quantities.setdefault(quantity, {})[parameter] = value.astype(problem.spec.dtype)
    change(quantities, problem)
    return {found.verdict for found in judge("it", quantities, reference(problem), problem)}


def test_a_curvature_that_cancels_to_zero_beyond_37_is_caught() -> None:
    # jax-ml/jax#40342: p (1 - p) with p rounded to 1. The truth is 4e-18, and all there is to that Hessian.
    def cancelled(quantities: Any, problem: Problem) -> None:
        quantities["hvp"] = {"w": np.zeros_like(quantities["hvp"]["w"])}

    assert verdicts_of_changed_truth("no projection, logits +40", lambda *_: None) == {"agrees"}
    assert verdicts_of_changed_truth("no projection, logits +40", cancelled) == {"agrees", "wrong"}


def test_a_softplus_that_turns_linear_at_20_is_caught() -> None:
    # torch.nn.functional.softplus does so at its default threshold: log1p(exp(-20)) = 2e-9 is lost.
    def linear(quantities: Any, problem: Problem) -> None:
        margins = (1 - 2 * problem.data["y"]) * logits(problem)
        quantities["loss"][""] = np.asarray(np.where(margins > -20, np.log1p(np.exp(margins)), 0).sum())

    assert verdicts_of_changed_truth("separable data", linear) == {"agrees", "wrong"}


# The suite through the engine, with real processes.


def short(count: int, monkeypatch: pytest.MonkeyPatch) -> list[StressProblem]:
    """A suite of the first two problems, and of others in float32."""
    cases = [SUITE[0], SUITE[1], *(case for case in SUITE if case.problem.spec.dtype == "float32")][:count]
    monkeypatch.setattr(cases_module, "stress_problems", lambda seed: cases)
    return cases


def stressed(out: Path, *backends: str, resume: bool = False, **asked: Any) -> RunResult:
    settings = Settings(command="check", stress=True, out=str(out), backends=list(backends), **asked)
    return engine.run(settings, NullObserver(), resume=resume)


def verdicts(result: RunResult, backend: str) -> list[set[str]]:
    return [{f.verdict for f in problem.findings if f.backend == backend} for problem in result.problems]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a backend of such a source in numpy's place."""

    def install(source: str) -> None:
        (tmp_path / "plugin.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(gradparity.__file__).parents[1]}")
        monkeypatch.setattr(Settings, "registration", lambda self, name: Registration("plugin:backend"))

    return install


CRASHING = """
import os
from gradparity.backends.numpy_backend import NumpyBackend
class Crashing(NumpyBackend):
    calls = 0
    def loss(self, spec):
        Crashing.calls += 1
        if Crashing.calls == 1:
            raise RuntimeError("not this one")
        if spec.dtype == "float32":
            os._exit(7)
        return super().loss(spec)
backend = Crashing()
"""


def test_a_backend_that_raises_goes_on_and_one_that_dies_has_failed_the_rest(
    tmp_path: Path, plugin: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(CRASHING)
    short(4, monkeypatch)
    result = stressed(tmp_path / "out", "numpy")
    assert verdicts(result, "numpy") == [{"failed"}, {"agrees"}, {"failed"}, {"failed"}]
    assert [trouble.reason for trouble in result.troubles] == ["RuntimeError: not this one", "exited with code 7"]
    assert result.problems[3].findings[0].rule == "the worker was lost: exited with code 7"
    assert not result.ok


DRAWING = """
import numpy as np
from gradparity.backends.numpy_backend import NumpyBackend
class Program:
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def value_and_gradient(self, params, data):
        value, gradient = self.inner.value_and_gradient(params, data)
        return value * (1 + 1e-12 * np.random.uniform()), gradient
class Drawing(NumpyBackend):
    def program(self, loss):
        return Program(super().program(loss))
backend = Drawing()
"""


def test_an_answer_that_is_drawn_anew_is_nondeterministic(
    tmp_path: Path, plugin: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(DRAWING)
    short(2, monkeypatch)
    assert verdicts(stressed(tmp_path / "out", "numpy"), "numpy") == [{"nondeterministic"}] * 2


@pytest.mark.parametrize("budget_s", [1e-6, 1.5])
def test_a_budget_is_kept_and_a_later_session_asks_what_it_left_out(
    budget_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = short(12, monkeypatch)
    reached: list[int] = []
    truth = ProblemRun.find_truth

    def slow(self: ProblemRun) -> None:  # of which some fit into the larger budget
        reached.append(1)
        time.sleep(0.25)
        truth(self)

    with monkeypatch.context() as patch:
        patch.setattr(ProblemRun, "find_truth", slow)
        began_s = time.monotonic()
        first = stressed(tmp_path / "out", "numpy", budget_s=budget_s)
        assert time.monotonic() - began_s < budget_s + 2
    assert len(reached) < len(cases)
    assert first.left_out
    assert not first.troubles
    second = stressed(tmp_path / "out", "numpy", resume=True)
    assert second.ok
    assert second.left_out == []
    assert [problem.name for problem in second.problems] == [case.name for case in cases]
    assert verdicts(second, "numpy") == [{"agrees"}] * len(cases)


def test_an_interrupted_suite_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = short(4, monkeypatch)
    asked: list[str] = []
    judge = Judging.judge

    def interrupted(self: Judging, name: str, worker: WorkerProcess, evaluation: Evaluated) -> Any:
        asked.append(self.cell.problem.name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return judge(self, name, worker, evaluation)

    monkeypatch.setattr(Judging, "judge", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stressed(tmp_path / "out", "numpy")
    assert stressed(tmp_path / "out", "numpy", resume=True).ok
    assert asked[3:] == [case.name for case in cases[2:]]  # the third again, and none of the first two


def test_data_beside_the_suite_are_refused() -> None:
    with pytest.raises(InputError, match="--stress"):
        settings_from("check", {"data": "toy", "stress": True})
