"""A compilation that takes longer than its share is given up: what is evaluated instead, and what is said of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity
from gradparity.backends.numpy_backend import backend as numpy_backend
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.processes.peer import OutOfTime
from gradparity.runner.cases import Case, Cell
from gradparity.runner.crew import Member
from gradparity.runner.observer import NullObserver
from gradparity.runner.plan import plan_of
from gradparity.runner.record import Recorder
from gradparity.runner.settings import Settings
from gradparity.runner.ways import not_given
from gradparity.worker import messages as m
from gradparity.worker.wire import Request
from tests.conftest import configured
from tests.simulated_workers import SimulatedRecord

SPEC = ProjectedLogistic(features=3, projection=2)
X = np.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]])
PROBLEM = make_problem("toy", SPEC, X, np.array([1.0, 1.0, 0.0, 1.0]))


class Slow:
    """A process that does not come to the end of compiling what it is slow in, if it has to."""

    def __init__(self, slow: str, operations: int = 0, uncompiled: bool = True) -> None:
        self.slow, self.operations, self.uncompiled, self.closed = slow, operations, uncompiled, False
        self.eager: tuple[str, ...] = ()
        self.asked: list[Request[Any]] = []

    def configured(self) -> m.Configured:
        return m.Configured({"jax": "0"}, 0.1, 0.1, 1, self.uncompiled)

    def close(self) -> None:
        self.closed = True

    def ask(self, request: Request[Any], *, timeout_s: float | None = None, share_s: float | None = None) -> Any:
        self.asked.append(request)
        if isinstance(request, m.Load):
            self.eager = request.eager
        what = getattr(request, "what", "value_and_gradient" if isinstance(request, m.Load) else "descend")
        if what == self.slow and what not in self.eager:
            raise OutOfTime("jax", request.stage, share_s)
        return m.Loaded(0.1, 0.1, "", self.operations) if isinstance(request, m.Load) else m.Compiled()


def member(tmp_path: Path, *processes: Slow) -> tuple[Member, Cell, Recorder]:
    settings = Settings(command="check", out=str(tmp_path), backends=["jax"], data=("toy",))
    case = Case(settings, ["jax"], PROBLEM)
    recorder = Recorder(SimulatedRecord(settings, [], tmp_path, NullObserver()), case.result())
    rest = iter(processes[1:])
    made = Member("jax", processes[0], lambda: next(rest))  # type: ignore[arg-type,return-value]
    return made, Cell(case, plan_of(settings)), recorder


def test_a_program_that_is_not_compiled_in_its_share_is_evaluated_by_another_process_and_the_report_says_so(
    tmp_path: Path,
):
    first, second = Slow("value_and_gradient"), Slow("value_and_gradient", operations=6530)
    of_jax, cell, recorder = member(tmp_path, first, second)
    of_jax.load(cell, recorder, 18.0)
    assert first.closed
    assert second.eager == ("value_and_gradient", "jvp", "hvp", "descend")  # they contain it
    (said,) = recorder.outcome.not_given
    assert (said.backend, said.quantity) == ("jax", "compiled program")
    assert "18 s" in said.reason
    assert "6,530 operations" in said.reason
    assert "lax.scan" in said.cure
    of_jax.compile(cell, recorder, 9.0)  # nothing is left that would be
    assert not any(isinstance(each, m.Compile) for each in second.asked)


def test_a_gradient_that_is_compiled_stays_so_where_the_hvp_is_given_up(tmp_path: Path):
    first, second = Slow("hvp"), Slow("hvp", operations=90)
    of_jax, cell, recorder = member(tmp_path, first, second)
    of_jax.load(cell, recorder, 18.0)
    of_jax.compile(cell, recorder, 9.0)
    assert second.eager == ("hvp",)
    (said,) = recorder.outcome.not_given
    assert said.quantity == "compiled HVP"
    assert "scan" not in said.cure  # 90 operations are no unrolled loop
    recorder.not_given("jax", [])  # what the evaluation says of other quantities leaves it there
    assert recorder.outcome.not_given == [said]


def test_a_backend_that_cannot_do_without_compiling_is_cut_off(tmp_path: Path):
    of_torch, cell, recorder = member(tmp_path, Slow("value_and_gradient", uncompiled=False))
    with pytest.raises(OutOfTime):
        of_torch.load(cell, recorder, 18.0)


def test_the_end_of_the_whole_budget_starts_no_other_process(tmp_path: Path):
    of_jax, cell, recorder = member(tmp_path, Slow("value_and_gradient"))
    with pytest.raises(OutOfTime):
        of_jax.load(cell, recorder, None)
    assert not recorder.outcome.not_given


# --- JAX's programs, operation by operation ---------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True], ids=["a plain loss", "a loss that is compiled whole by its author"])
def test_jax_gives_the_closed_form_operation_by_operation_and_compiles_no_large_program(whole: bool) -> None:
    backend: Any = configured("jax")
    import jax

    truth = numpy_backend.program(numpy_backend.loss(SPEC))
    built_in = backend.loss(SPEC)

    seen: list[bool] = []

    def long(params: Any, data: Any) -> Any:
        seen.append(jax.config.jax_disable_jit)
        value = built_in(params, data)
        for _ in range(300):  # an unrolled loop
            value = value * 1.0
        return value

    loss = jax.jit(long) if whole else long
    program = backend.uncompiled(loss, ("value_and_gradient", "jvp", "hvp", "descend"))
    params, data, tangents = map(backend.put, (PROBLEM.params, PROBLEM.data, PROBLEM.tangents))
    value, gradient = program.value_and_gradient(params, data)
    expected, known = truth.value_and_gradient(dict(PROBLEM.params), dict(PROBLEM.data))
    assert float(value) == pytest.approx(float(expected), rel=1e-14)
    for name, each in known.items():
        np.testing.assert_allclose(gradient[name], each, rtol=1e-12)
    slope = truth.jvp(dict(PROBLEM.params), dict(PROBLEM.data), dict(PROBLEM.tangents))
    assert float(program.jvp(params, data, tangents)) == pytest.approx(float(slope), rel=1e-12)
    curved = truth.hvp(dict(PROBLEM.params), dict(PROBLEM.data), dict(PROBLEM.tangents))
    for name, each in program.hvp(params, data, tangents).items():
        np.testing.assert_allclose(each, curved[name], rtol=1e-11)
    losses, after = program.descend(params, data, 3, 0.1)
    ran, final = truth.descend(dict(PROBLEM.params), dict(PROBLEM.data), 3, 0.1)
    np.testing.assert_allclose(losses, ran, rtol=1e-12)
    for name, each in final.items():
        np.testing.assert_allclose(after[name], each, rtol=1e-12)
    assert seen[-1] == whole  # compiled by operations alone it needs no more; a program within would be compiled whole


def test_a_loops_body_counts_once_and_an_unrolled_loop_with_every_step() -> None:
    backend: Any = configured("jax")
    import jax

    def unrolled(params: Any, data: Any) -> Any:
        x = params["w"]
        for _ in range(50):
            x = jax.numpy.sin(x)
        return x.sum()

    def scanned(params: Any, data: Any) -> Any:
        return jax.lax.scan(lambda x, _: (jax.numpy.sin(x), None), params["w"], length=50)[0].sum()

    params = {"w": jax.numpy.ones(2)}
    counts = [backend.operations(each, params, {}) for each in (unrolled, scanned)]
    assert counts[0] > 100 > 2 * counts[1]


UNROLLED = """
import numpy as np

def parameters(rng):
    return {"w": rng.standard_normal(2)}

def data(rng):
    return {"x": rng.standard_normal(2)}

def loss(params, data, xp):
    h = data["x"]
    for _ in range(400):
        h = xp.sin(h + params["w"]) + 0.1 * xp.cos(h * params["w"])
    return xp.sum(h)
"""


@pytest.mark.slow
def test_an_unrolled_loop_is_checked_in_its_budget_without_being_compiled(tmp_path: Path) -> None:
    """XLA takes minutes for its gradient; the operations one by one take a second."""
    path = tmp_path / "model.py"
    path.write_text(UNROLLED, encoding="utf-8")
    began_s = time.monotonic()
    found = gradparity.check(path, backends=["jax"], budget=40, steps=1)
    assert time.monotonic() - began_s < 44  # within a tenth
    (problem,) = found.problems
    assert {each.verdict for each in problem.findings if each.backend == "jax"} == {"agrees"}
    assert "compiled program" in {each.quantity for each in problem.not_given}


def test_what_a_process_that_had_ended_does_not_give_is_no_reason_to_write_it_otherwise() -> None:
    (found,) = not_given("torch-compile", {"jvp": "its process had ended"})
    assert found.cure == "See what failed, or was left out."
