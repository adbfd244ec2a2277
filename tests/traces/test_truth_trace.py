"""What the truth's recorder tells of a neutral loss: what a framework's tells of the same lines, to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity import stop
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from gradparity.oracle import messages, server
from gradparity.oracle.client import ModelProcess
from gradparity.processes.launch import Launch
from gradparity.truth.model.trace import record
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.xp.namespace import FUNCTIONS
from gradparity.worker.messages import Traced, problem_of
from tests.conftest import configured
from tests.traces.book import Book, text_of
from tests.user_model.models import model_file

RNG = np.random.default_rng(5)
PARAMS = {"w": 0.5 * RNG.standard_normal((4, 4)), "b": RNG.standard_normal(4)}
DATA = {"x": RNG.standard_normal((6, 4)), "k": np.array([2, 0, 1])}
MASK = np.tril(np.ones((4, 4)))


def loss(params: Any, data: Any, xp: Any) -> Any:
    h = xp.tanh(data["x"] @ params["w"] + params["b"])
    centred = h - h.mean(axis=-1, keepdims=True)
    n = centred / xp.sqrt(xp.mean(centred**2, axis=-1) + 1e-5)[:, None]
    s = xp.softmax(n @ params["w"].T, axis=-1)
    target = stop(s * 2.0)
    waves = xp.cos(data["x"][0] * 0.5)
    e = xp.einsum("ij,kj->ik", s * waves, target)
    picked = xp.stack([e[0, 0], e[1, 1]])
    masked = (params["w"] * xp.asarray(MASK)).sum()
    return xp.mean(e**2) + masked + xp.maximum(params["b"], 0.25).sum() + xp.log(picked).sum()


def of(function: Any = loss) -> Book:
    book = Book(__file__)
    record(function, PARAMS, DATA, book)
    return book


@pytest.mark.parametrize("name", ["jax", "autograd", pytest.param("torch", marks=pytest.mark.slow)])
def test_every_call_has_the_value_and_the_cotangent_that_a_framework_has_at_that_line(name: str):
    backend: Any = configured(name)
    own, other = of(), Book(__file__)
    xp = backend.namespace()
    backend.recorder().record(
        lambda params, data: loss(params, data, xp), backend.put(PARAMS), backend.put(DATA), other
    )
    calls = [i for i, step in enumerate(own.steps) if not (step.part or i in own.names or "MASK" in text_of(step))]
    assert len(calls) > 20
    for number in calls:
        step = own.steps[number]
        value = own.values[number]
        partners = [
            each
            for each, theirs in enumerate(other.steps)
            if theirs.place.line == step.place.line
            and other.values[each].size == value.size
            and np.allclose(np.sort(other.values[each].ravel()), np.sort(value.ravel()), rtol=1e-12, atol=1e-13)
        ]
        assert partners, step
        cotangent = own.cotangents.get(number)
        found = [other.cotangents[each] for each in partners if each in other.cotangents]
        assert (cotangent is None) == (not found), step
        if cotangent is not None:
            assert any(
                np.allclose(np.sort(each.ravel()), np.sort(cotangent.ravel()), rtol=1e-11, atol=1e-12) for each in found
            ), step


def test_calls_have_the_text_of_their_lines_and_primitives_within_are_parts():
    book = of()
    assert book.calls()[:4] == [
        ("matmul", 'data["x"] @ params["w"]'),
        ("add", 'data["x"] @ params["w"] + params["b"]'),
        ("tanh", 'xp.tanh(data["x"] @ params["w"] + params["b"])'),
        ("mean", "h.mean(axis=-1, keepdims=True)"),
    ]
    last = book.of("softmax")
    parts = [step.operation for step in book.steps if step.part and step.place == book.steps[last].place]
    assert parts == ["subtract", "compose", "sum"]
    np.testing.assert_array_equal(book.values[book.of("constant")], MASK)


def test_nothing_of_the_recording_stays_behind_even_where_the_loss_raises():
    before = dict(vars(Array))

    def failing(params, data, xp):
        _ = params["w"] @ params["b"]
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        of(failing)
    assert dict(vars(Array)) == before
    assert Array.functions is FUNCTIONS


MODEL = """
import numpy as np

def parameters(rng):
    return {"layer": {"w": rng.standard_normal(3)}}

def data(rng):
    return {"x": rng.standard_normal((5, 3)), "rows": 5}

def loss(params, data, xp):
    z = data["x"] @ params["layer"]["w"]
    return xp.sum(xp.tanh(z) ** 2) / data["rows"]
"""


def test_the_process_of_the_truth_answers_as_a_worker_does_with_lines_of_the_model(tmp_path: Path):
    with ModelProcess(model_file(tmp_path, MODEL), Launch(tmp_path / "log")) as process:
        problem = problem_of(process.draw(0, None).problem)
        assert isinstance(problem, UserProblem)
        found = process.trace(problem, 0, 20.0)
    assert isinstance(found, Traced)
    assert found.notes == []
    (source,) = found.sources.values()
    lines = source.splitlines()
    calls = [
        (each.operation, lines[each.place[1] - 1].strip()) for each in found.results if not (each.name or each.part)
    ]
    assert calls[:2] == [
        ("matmul", 'z = data["x"] @ params["layer"]["w"]'),
        ("tanh", 'return xp.sum(xp.tanh(z) ** 2) / data["rows"]'),
    ]
    assert [each.name for each in found.results if each.name] == ["layer.w", "x"]
    z = problem.data["x"] @ problem.params["layer.w"]
    product = next(each for each in found.results if each.operation == "matmul")
    np.testing.assert_allclose(product.values[0][:5], np.sort(z), rtol=1e-14)
    assert product.cotangents is not None
    np.testing.assert_allclose(
        product.cotangents[0][:5], np.sort(2 * np.tanh(z) / np.cosh(z) ** 2 / 5), rtol=1e-13, atol=1e-16
    )
    assert (product.values[1][:5] < 1e-14).all()


def test_what_takes_too_long_in_extended_precision_is_recorded_in_float64_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "EXTENDED_S", 1e6)
    worker = server.ModelWorker()
    worker.model = load_model(model_file(tmp_path, MODEL))
    worker.loss = worker.model.function("loss", "params, data, xp")
    worker.problem = draw_problem(worker.model, "model", 0, None)
    found = worker._trace(messages.Trace(0, 20.0))
    assert "the neutral loss is recorded in float64: extended precision takes too long" in found.notes
    assert {"matmul", "tanh"} <= {each.operation for each in found.results}


def test_a_model_without_a_neutral_loss_has_no_record_and_says_so(tmp_path: Path):
    model = MODEL.partition("def loss")[0]
    (tmp_path / "m").mkdir()
    folder = tmp_path / "m"
    (folder / "backends").mkdir()
    (folder / "model_spec.py").write_text(model)
    (folder / "backends" / "jax.py").write_text(
        "def loss(params, data):\n    return (params['layer']['w'] ** 2).sum()\n"
    )
    with ModelProcess(str(folder), Launch(tmp_path / "log")) as process:
        problem = problem_of(process.draw(0, None).problem)
        found = process.trace(problem, 0, 20.0)
    assert found.results == []
    assert found.notes == ["the model has no neutral loss"]
