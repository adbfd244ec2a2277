"""What is timed as compiled code is compiled, and is not compiled again while it is timed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.backends import BACKENDS, missing
from gradparity.backends.numpy_backend import backend as numpy_backend
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.worker import messages as m
from gradparity.worker.backend import Worker
from gradparity.worker.wire import Failed, Reply, Request
from tests.conftest import configured

SMALL = ProjectedLogistic(features=3, projection=2)


def problem(rows: int = 4) -> Problem:
    rng = np.random.default_rng(0)
    return make_problem("small", SMALL, rng.standard_normal((rows, 3)), np.arange(rows) % 2.0)


def answer(worker: Worker, request: Request[Any]) -> Reply:
    return m.decode_reply(worker.answer(request))


def identity(graph: Any, _inputs: Any) -> Any:
    """A compiler of Dynamo's that leaves the graph as it is."""
    return graph.forward


# --- torch.compile ---------------------------------------------------------------------------------------------------

# A worker without its process, asked for torch-compile under a variable that makes torch.compile run eager code.
LOAD = """
from gradparity.backends import lookup
from gradparity.worker import messages as m
from gradparity.worker.backend import Worker
from tests.test_compilation import problem

worker = Worker()
worker.answer(m.Configure(lookup("torch-compile").target, 1))
reply = m.decode_reply(worker.answer(m.load_request(problem())))
print(type(reply).__name__, getattr(reply, "message", ""))
"""


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE", "TORCHDYNAMO_SUPPRESS_ERRORS"])
def test_eager_code_is_not_loaded_under_the_name_of_compiled_code(variable: str) -> None:
    if cure := missing(BACKENDS["torch-compile"]):
        pytest.skip(f"torch-compile cannot run here: {cure}")
    ran = subprocess.run(
        [sys.executable, "-c", LOAD], env=os.environ | {variable: "1"}, capture_output=True, text=True, timeout=240
    )
    assert ran.stdout.startswith("Failed torch.compile would run eager code"), ran.stdout + ran.stderr
    assert variable in ran.stdout


@pytest.mark.slow
def test_code_that_would_be_compiled_too_often_ends_in_an_error_and_not_in_eager_code() -> None:
    """Without ``fullgraph``, which the built-in model has, Dynamo goes back to eager code at its limit."""
    configured("torch-compile")
    import torch

    from gradparity.backends.torch_compiled import require_compilation

    require_compilation()
    doubled = torch.compile(lambda x: 2 * x, backend=identity, dynamic=False)
    with torch._dynamo.config.patch(recompile_limit=2):
        assert doubled(torch.ones(1)).tolist() == [2]
        assert doubled(torch.ones(2)).tolist() == [2, 2]
        with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
            doubled(torch.ones(3))


@pytest.mark.slow
def test_two_models_that_differ_in_a_constant_alone_do_not_share_compiled_code() -> None:
    """The graphs of the first, whose inputs look the same, would be found for the second too."""
    given = problem()
    for spec in (SMALL, replace(SMALL, l2=1.0)):
        values = []
        for backend in (configured("torch-compile"), configured("torch")):
            program = backend.program(backend.loss(spec))
            values.append(float(program.value(backend.put(given.params), backend.put(given.data))))
        assert values[0] == pytest.approx(values[1], rel=1e-12)


# Which instruction sets Inductor compiles trial programs for, and which it takes, in a process that compiles nothing.
TRIED = """
import sys
from torch._inductor import cpu_vec_isa

tried = []

def trial(self, code):
    tried.append(str(self))
    return True

cpu_vec_isa.VecISA.check_build = trial
if sys.argv[1] == "ours":
    from gradparity.backends.torch_compiled import require_compilation

    require_compilation()
taken = cpu_vec_isa.pick_vec_isa()
print(cpu_vec_isa.x86_isa_checker(), len(set(tried)), taken, taken.build_arch_flags(), sep=";")
"""


@pytest.mark.slow
def test_a_trial_is_compiled_for_the_instruction_set_that_is_taken_and_for_no_other() -> None:
    configured("torch-compile")
    found = []
    for whose in ("its own", "ours"):
        ran = subprocess.run([sys.executable, "-c", TRIED, whose], capture_output=True, text=True, timeout=240)
        assert ran.returncode == 0, ran.stderr
        found.append(ran.stdout.strip().split(";"))
    if found[0][0] == "[]":
        pytest.skip("this processor has one set")
    (_, all_tried, *taken), (_, tried, *taken_by_us) = found
    assert taken_by_us == taken
    assert int(tried) == 1 <= int(all_tried)


# --- counts ----------------------------------------------------------------------------------------------------------


class Recompiling:
    """NumPy's backend, said to compile at every ``period``-th call."""

    def __init__(self, period: int) -> None:
        self.period, self.calls = period, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy_backend, name)

    def wait(self, result: Any) -> Any:
        self.calls += 1
        return result

    def compilations(self) -> int:
        return self.calls // self.period


@pytest.mark.parametrize(("period", "flat"), [(1, False), (6, False), (10**9, True)])
def test_a_block_during_which_a_backend_compiled_is_no_number(period: int, flat: bool) -> None:
    worker = Worker()
    worker.whole = worker.backend = Recompiling(period)  # type: ignore[assignment]
    assert isinstance(answer(worker, m.load_request(problem())), m.Loaded)
    reply = answer(worker, m.Sample(10, 0))
    assert isinstance(reply, m.Sampled if flat else Failed)
    if not flat:
        assert "compiled" in reply.message


def test_jax_counts_one_compilation_for_each_shape_and_none_for_a_shape_seen_before() -> None:
    backend = configured("jax")
    gradient = backend.program(backend.loss(SMALL)).value_and_gradient
    placed = [[backend.put(tree) for tree in (given.params, given.data)] for given in (problem(4), problem(5))]

    def grown_by(arguments: Any) -> int:
        before = backend.compilations()  # type: ignore[attr-defined]
        backend.wait(gradient(*arguments))
        return int(backend.compilations() - before)  # type: ignore[attr-defined]

    assert [grown_by(placed[which]) for which in (0, 0, 1, 1, 0)] == [1, 0, 1, 0, 0]


@pytest.mark.slow
def test_torch_counts_a_compilation_for_each_shape_and_none_for_a_shape_seen_before() -> None:
    backend = configured("torch-compile")
    import torch

    doubled = torch.compile(lambda x: 2 * x, backend=identity, dynamic=False)

    def grown_by(size: int) -> int:
        before = backend.compilations()  # type: ignore[attr-defined]
        doubled(torch.ones(size))
        return int(backend.compilations() - before)  # type: ignore[attr-defined]

    assert [grown_by(size) for size in (4, 4, 5, 5, 4)] == [1, 0, 1, 0, 0]


@pytest.mark.slow
def test_more_than_one_graph_is_refused_and_another_shape_or_dtype_is_compiled_anew() -> None:
    backend = configured("torch-compile")
    backend.program(backend.loss(SMALL))  # imports Dynamo and sets its switches
    import torch

    from gradparity.backends.torch_compiled import in_one_graph

    def broken(x: Any) -> Any:
        y = x + 1
        torch._dynamo.graph_break()
        return 2 * y

    with pytest.raises(RuntimeError, match="graph break"):
        in_one_graph(broken)(torch.ones(3))
    whole = in_one_graph(lambda x: 2 * (x + 1))
    for size in (3, 4, 3):  # of another shape it is compiled anew: tensors are guarded
        assert whole(torch.ones(size)).tolist() == [4.0] * size
    assert whole(torch.ones(3, dtype=torch.float64)).dtype == torch.float64


def test_a_loop_has_as_many_steps_as_fit_by_the_shortest_of_some_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    worker.whole = worker.backend = numpy_backend
    assert isinstance(answer(worker, m.load_request(problem())), m.Loaded)
    now_s = [0.0]
    taken = iter([9.0, 0.5, 1.0, 1.0, 1.0])  # the first call was disturbed
    monkeypatch.setattr("gradparity.worker.evaluation.time.perf_counter", lambda: now_s[0])
    monkeypatch.setitem(worker.calls, "step", lambda: now_s.__setitem__(0, now_s[0] + next(taken)))
    cut = answer(worker, m.Descend(100, 0.1, 10.0))
    assert isinstance(cut, m.Descended)
    assert len(cut.losses) == 1 + 20
    taken = iter([0.1])
    whole = answer(worker, m.Descend(100, 0.1, 10.0))
    assert isinstance(whole, m.Descended)
    assert len(whole.losses) == 101
