"""A divergence between two steps that were recorded: those between are run once more, up to the first that diverges."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradparity.oracle.messages import DrawnBatches
from gradparity.processes.deadline import UNLIMITED
from gradparity.results.own_training import OwnTraining
from gradparity.runner.own_training import OwnSteps
from gradparity.worker import own_steps
from gradparity.worker.messages import GiveGradients, TakeSteps
from gradparity.worker.own_gradients import given
from gradparity.worker.user_loss import user_loss
from tests.conftest import configured
from tests.own_training.pairs import Trained, trained
from tests.own_training.test_check import NUMPY, PORT
from tests.user_model.models import HEAD, LOSS, model_folder


class InThisProcess:
    """A worker that answers here, and counts how often it has trained."""

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name, self.after = path, name, list[int]()
        self.known: Trained = trained(path, name, 1)

    def ask(self, request: Any, **_: Any) -> Any:
        backend, problem = configured(self.name), self.known.problem
        if isinstance(request, TakeSteps):
            self.after.append(request.after)
            return own_steps.taken(backend, problem, (self.name,), request)
        assert isinstance(request, GiveGradients)

        @cache
        def build(spec: Any) -> Any:
            loss = user_loss(spec, backend, (self.name,))
            return loss, backend.program(loss)

        return given(backend, problem, build, request)


class Recorded:
    """What a recorder takes."""

    found: OwnTraining

    def own_training(self, found: OwnTraining) -> None:
        self.found = found

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


def compared(path: str, steps: int) -> tuple[OwnTraining, dict[str, InThisProcess]]:
    """What two ports' own steps come to, in this process."""
    workers = {name: InThisProcess(path, name) for name in ("autograd", "numpy")}
    members = {
        name: SimpleNamespace(name=name, worker=worker, loaded=SimpleNamespace(trains=True))
        for name, worker in workers.items()
    }
    crew = SimpleNamespace(
        workers=workers,
        members=members,
        names=[*workers],
        registration=lambda _: SimpleNamespace(compiler=False, family=""),
    )
    problem = workers["numpy"].known.problem
    settings = SimpleNamespace(steps=steps, threads=1)
    cell = SimpleNamespace(problem=problem, settings=settings)
    recorder = Recorded()
    OwnSteps(cell, DrawnBatches([], ""), crew, recorder, UNLIMITED).compare()  # type: ignore[arg-type]
    return recorder.found, workers


def test_the_first_step_is_found_between_those_that_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    late = NUMPY.replace("def step", "COUNT = {'t': 0}\n\ndef step")
    late = late.replace('return {"velocity": {', 'return {"t": np.array(0), "velocity": {')
    late = late.replace('{"velocity": velocity}, value', '{"t": state["t"] + 1, "velocity": velocity}, value')
    late = late.replace("0.05 * velocity", "(0.05 if state['t'] < 22 else 0.04) * velocity")
    path = model_folder(tmp_path / "m", HEAD + LOSS, autograd=PORT, numpy=late)
    # Parameters and velocity are 8 numbers, the state's counter one more: every fourth step, then every one of some.
    monkeypatch.setattr(own_steps, "RECORD_BYTES", 16 * 72)
    own, workers = compared(path, 60)
    (found,) = own.divergences
    assert (found.step, found.blame) == (23, "update"), found
    assert all(len(worker.after) > 1 for worker in workers.values())
    assert found.later[-1][0] == 60
    # No rule is said to hold where not every step was seen.
    assert all(run.rule_steps < 23 for run in own.runs)
    assert found.rules == []


def test_a_step_that_sums_where_the_loss_is_a_mean_is_said_to_return_another_loss(tmp_path: Path):
    summed = NUMPY.replace(
        "loss(params, batch), gradient(params, batch)", "2 * loss(params, batch), gradient(params, batch)"
    )
    summed = summed.replace("0.9 * v + found[name]", "0.9 * v + 2 * found[name]")
    path = model_folder(tmp_path / "m", HEAD + LOSS, autograd=PORT, numpy=summed)
    (found,) = compared(path, 12)[0].divergences
    assert (found.step, found.blame) == (1, "update"), found
    assert "numpy's step returns 2 times the loss of loss(params, batch)" in found.detail
    assert "autograd's step" not in found.detail
