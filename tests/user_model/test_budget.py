"""The user's own functions are held to a budget: what does not return is ended, and what is missing for it is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gradparity.model_spec.problem import UserProblem
from gradparity.numerics.optimisers import GradientDescent
from gradparity.oracle.client import ModelFault, ModelProcess
from gradparity.oracle.protocol import NoTimeForTruth
from gradparity.processes.launch import Launch
from gradparity.processes.limits import Allowance
from gradparity.worker.messages import problem_of
from gradparity.worker.wire import Failed
from tests.user_model.models import HEAD, LOSS, model_file

#: A loss that takes a minute from its third evaluation in one process on, which is after the two that try it.
SLOW = (
    HEAD
    + """
import time
calls = []

def loss(params, data, xp):
    calls.append(0)
    time.sleep(60 * (len(calls) > 2))
    r = data["X"] @ params["w"] + params["b"] - data["y"]
    return 0.5 * xp.mean(r * r)
"""
)

ASLEEP = "import time\n" + HEAD.replace("    return", "    time.sleep(60)\n    return", 1) + LOSS
HUGE = HEAD + LOSS.replace("    r =", "    np.zeros(10**13)\n    r =", 1)


@pytest.fixture
def process(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ModelProcess]:
    with ModelProcess(model_file(tmp_path, request.param), Launch(tmp_path / "log")) as started:
        yield started


def drawn(process: ModelProcess) -> UserProblem:
    problem = problem_of(process.draw(0, None).problem)
    assert isinstance(problem, UserProblem)
    return problem


@pytest.mark.slow
@pytest.mark.parametrize("process", [SLOW], indirect=True)
def test_a_truth_that_does_not_end_is_given_up_and_another_process_answers_what_follows(process: ModelProcess) -> None:
    problem = drawn(process)
    first = process.pid
    with pytest.raises(NoTimeForTruth, match=r"truth, no answer in its share of the budget"):
        process.reference(problem, 0.05)
    with pytest.raises(NoTimeForTruth, match="reference run"):
        process.trajectory(problem, GradientDescent(), 3, 0.05)
    assert process.pid != first


@pytest.mark.parametrize("process", [HEAD + LOSS], indirect=True)
def test_a_killed_truth_process_is_replaced_by_one_that_gives_the_same_truth(process: ModelProcess) -> None:
    problem = drawn(process)
    known = process.reference(problem, 5.0)
    process.kill()
    process._ended = True
    again = process.reference(problem, 5.0)
    assert known.truth.keys() == again.truth.keys()
    assert all(np.array_equal(value, again.truth[key]) for key, value in known.truth.items())
    assert "certified" in again.method


@pytest.mark.parametrize("process", [ASLEEP], indirect=True)
def test_a_model_that_takes_too_long_to_draw_is_told_which_option_allows_more(process: ModelProcess) -> None:
    with pytest.raises(ModelFault, match=r"loading: got no answer in its share of the budget, 1 s.*--budget SECONDS"):
        process.draw(0, None, 1.0)


@pytest.mark.parametrize("process", [HUGE], indirect=True)
def test_a_truth_that_does_not_fit_into_memory_is_not_known_and_nothing_worse(process: ModelProcess) -> None:
    problem = drawn(process)
    with pytest.raises(NoTimeForTruth, match="MemoryError"):  # the first evaluation has shown it
        process.reference(problem, 5.0)


@pytest.mark.parametrize("process", [HEAD + LOSS], indirect=True)
@pytest.mark.parametrize(("message", "said"), [("", "out of memory"), ("no 8 GiB", "out of memory: no 8 GiB")])
def test_want_of_memory_is_said_with_its_cure(process: ModelProcess, message: str, said: str) -> None:
    drawn(process)
    fault = process._failed(Failed("MemoryError", message, ""))
    assert re.search(f"got {said}, expected data and a truth that fit. Give it less data", str(fault))


def test_limits_of_backends_are_none_of_the_truth(tmp_path: Path):
    slow = SLOW.replace("60 * (len(calls) > 2)", "0.05")
    # That of four evaluations; a truth takes more.
    launch = Launch(tmp_path / "log", allowance=Allowance({"step": 0.2}))
    with ModelProcess(model_file(tmp_path, slow), launch) as process:
        problem = drawn(process)
        assert process.reference(problem, 60).seconds > 0.2
        assert process.trajectory(problem, GradientDescent(0.1), 10, 60).complete
