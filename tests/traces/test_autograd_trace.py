"""What autograd's recorder tells: primitives of parameters and data, lines, cotangents; and it changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.conftest import configured
from tests.taps.models import DATA, PARAMS, by_hand, network
from tests.traces.book import Book, recorded

configured("autograd")
import autograd  # noqa: E402
import autograd.numpy as anp  # noqa: E402
from autograd.scipy.special import logsumexp  # noqa: E402

V, W, X = PARAMS["v"], PARAMS["W"], DATA["X"]


def of(loss: Any, params: Any = PARAMS, data: Any = DATA) -> Book:
    return recorded("autograd", loss, params, data, __file__)


def test_primitives_of_parameters_and_of_data_are_told_with_their_lines_and_only_the_former_have_cotangents():
    def loss(params, data):
        centred = data["X"] - anp.mean(data["X"], axis=0)
        z = anp.dot(centred, params["W"])
        return anp.sum(anp.tanh(z) * 2.0)

    book = of(loss)
    assert [book.names[number] for number in sorted(book.names)] == ["W", "v", "X"]
    assert book.calls() == [
        ("mean", 'anp.mean(data["X"], axis=0)'),
        ("subtract", 'data["X"] - anp.mean(data["X"], axis=0)'),
        ("dot", 'anp.dot(centred, params["W"])'),
        ("tanh", "anp.tanh(z)"),
        ("multiply", "anp.tanh(z) * 2.0"),
        ("sum", "anp.sum(anp.tanh(z) * 2.0)"),
    ]
    z = (X - X.mean(0)) @ W
    np.testing.assert_allclose(book.values[book.of("dot")], z)
    assert book.steps[book.of("dot")].inputs == (book.of("subtract"), 0)
    np.testing.assert_allclose(book.cotangents[book.of("dot")], 2 * (1 - np.tanh(z) ** 2))
    assert set(book.cotangents) == {0, *(book.of(each) for each in ("dot", "tanh", "multiply", "sum"))}


def test_cotangents_are_those_of_the_chain_rule():
    book = recorded("autograd", network("autograd"), PARAMS, DATA, __file__.rpartition("/traces/")[0])
    values, cotangents = by_hand()
    for operation, name in (("matmul", "z#0"), ("tanh", "h#0")):
        np.testing.assert_allclose(book.values[book.of(operation)], values[name], rtol=1e-12)
        np.testing.assert_allclose(book.cotangents[book.of(operation)], cotangents[name], rtol=1e-12)
    np.testing.assert_allclose(book.cotangents[0], X.T @ cotangents["z#0"], rtol=1e-12)


@pytest.mark.parametrize(
    "prepare",
    [
        lambda x: np.log(np.abs(np.array(x, dtype=float))),  # raises on a box
        lambda x: x * 2 if isinstance(x, np.ndarray) else x * 3,  # is another on a box
    ],
)
def test_data_that_a_loss_takes_as_plain_arrays_stay_plain(prepare: Any):
    book = of(lambda params, data: anp.sum(prepare(data["X"]) * params["W"]))
    np.testing.assert_array_equal(book.values[-1], np.sum(prepare(X) * W))
    assert [operation for operation, _ in book.calls()] == ["multiply", "sum"]
    assert book.steps[book.of("multiply")].inputs == (0,)


def test_a_gradient_inside_the_loss_is_recorded_and_differentiated():
    book = of(lambda params, data: anp.sum(autograd.grad(lambda v: anp.sum(v**3))(params["v"]) ** 2))
    cubes = book.of("power")
    np.testing.assert_allclose(book.values[cubes], V**3)
    assert cubes not in book.cotangents
    np.testing.assert_allclose(book.cotangents[1], 36 * V**3)


def test_arrays_of_a_tuple_are_told_one_by_one():
    def loss(params, data):
        w, v = anp.linalg.eigh(anp.dot(params["W"].T, params["W"]))
        return anp.sum(w * w) + 0.0 * anp.sum(v)

    book = of(loss)
    eigenvalues, vectors = np.linalg.eigh(W.T @ W)
    np.testing.assert_allclose(book.values[book.of("eigh")], eigenvalues)
    np.testing.assert_allclose(book.values[book.of("eigh", 1)], vectors)
    np.testing.assert_allclose(book.cotangents[book.of("eigh")], 2 * eigenvalues)
    assert book.steps[book.of("container_take", 1)].inputs == (book.of("eigh", 1),)


def test_a_variance_and_a_logarithm_of_sums_have_what_is_inside_as_parts():
    book = of(lambda params, data: anp.sum(anp.var(params["W"], axis=1)) + logsumexp(params["v"]))
    parts = {step.operation: book.values[number] for number, step in enumerate(book.steps) if step.part}
    np.testing.assert_allclose(parts["mean"].ravel(), W.mean(1))
    np.testing.assert_allclose(parts["exp"], np.exp(V - V.max()))
    texts = [text for operation, text in book.calls() if operation == "logsumexp"]
    assert texts == ['logsumexp(params["v"])']


def test_what_was_told_before_an_exception_stands():
    book = Book(__file__)
    backend = configured("autograd")

    def loss(params, data):
        return anp.dot(anp.tanh(params["v"]), anp.ones(3))

    with pytest.raises(ValueError, match="shapes"):
        backend.recorder().record(loss, backend.put(PARAMS), backend.put(DATA), book)
    assert [operation for operation, _ in book.calls()] == ["tanh"]


@pytest.mark.parametrize("most", range(3, 12))
def test_a_journal_that_is_full_is_told_no_number_that_it_has_not_given(most: int):
    book, backend = Book(__file__, most), configured("autograd")

    def loss(params, data):
        return anp.sum(anp.var(anp.dot(data["X"], params["W"]))) * anp.sum(anp.exp(params["v"]))

    backend.recorder().record(loss, backend.put(PARAMS), backend.put(DATA), book)
    assert len(book.steps) == most
    assert set(book.cotangents) <= set(range(most))
