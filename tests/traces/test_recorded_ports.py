"""Every broken port of the evidence under a recorder: its loss and gradient bit for bit, and each cotangent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity.backends.protocol import Backend
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from gradparity.worker.user_loss import UserLoss, user_loss
from tests.conftest import configured
from tests.evidence.broken_ports import PORTS, forgotten
from tests.evidence.drawn_models import SHARED, Ports, drawn
from tests.traces.book import Book


def folders(name: str) -> list[Path]:
    return sorted(path.parents[1] for path in PORTS.glob(f"*/backends/{name}.py"))


@contextmanager
def port(name: str, folder: Path) -> Iterator[tuple[Backend, UserLoss, Any, Any]]:
    backend = configured(name)
    with forgotten(folder.resolve()):
        problem = draw_problem(load_model(folder), folder.name, seed=0)
        yield backend, user_loss(problem.spec, backend, [name]), problem.params, problem.data


def every_third(cases: list[Any]) -> list[Any]:
    """With another third among the slow tests: the campaign of broken ports records them all."""
    slow = pytest.mark.slow
    return [pytest.param(*each, marks=slow) if i % 3 else each for i, each in enumerate(cases) if i % 3 < 2]


def by_id(folder: Path) -> str:
    return folder.name


# What a wrong port is warned of is none of these tests' business.
pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning")


def assert_bits(backend: Backend, loss: Any, params: Any, data: Any, book: Book) -> None:
    """Record a loss, and hold it against the unrecorded one."""
    value, gradient = backend.program(loss).value_and_gradient(backend.put(params), backend.put(data))
    backend.recorder().record(loss, backend.put(params), backend.put(data), book)
    ends = [n for n, cotangent in book.cotangents.items() if cotangent.size == 1 and cotangent.item() == 1]
    if ends:  # else it depends on no parameter
        np.testing.assert_array_equal(book.values[max(ends)], backend.get({"": value})[""])
    numbers = {name: number for number, name in reversed(book.names.items())}  # of parameters, where data have it too
    for block, expected in backend.get(gradient).items():
        np.testing.assert_array_equal(book.cotangents.get(numbers[block], 0 * expected), expected, err_msg=block)


@pytest.mark.parametrize("index", range(0, 4 * SHARED, SHARED))
@pytest.mark.parametrize("name", ["autograd", "torch"])
def test_a_drawn_model_is_the_same_under_a_recorder_to_the_last_bit(name: str, index: int):
    model = drawn(12, index)
    with np.errstate(all="ignore"):
        ports = Ports(model, [name])
        assert_bits(configured(name), ports.losses[name], model.params, model.data, Book(str(PORTS.parent)))


@pytest.mark.parametrize(
    ("name", "folder"),
    every_third([(name, folder) for name in ("autograd", "torch") for folder in folders(name)]),
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_a_recorded_loss_and_its_gradient_are_the_unrecorded_ones_to_the_last_bit(name: str, folder: Path):
    with port(name, folder) as (backend, loss, params, data):
        book = Book(str(folder))
        assert_bits(backend, loss, params, data, book)
    assert all(step.place.file.startswith(str(folder)) for step in book.steps if step.operation)


@pytest.mark.parametrize(("folder",), every_third([(each,) for each in folders("torch")]), ids=by_id)
def test_a_cotangent_is_the_derivative_by_something_added_to_the_result(folder: Path):
    with port("torch", folder) as (backend, loss, params, data):
        book = Book(str(folder))
        backend.recorder().record(loss, backend.put(params), backend.put(data), book)
        added = derivatives_by_what_is_added(loss, backend.put(params), backend.put(data))
    # Both in the order of evaluation: what changes a tensor in place is no result of a function here.
    differentiable = [book.cotangents.get(n) for n, step in enumerate(book.steps) if step.operation and not step.part]
    told = [cotangent for cotangent in differentiable if cotangent is not None]
    assert len(told) == len(added)
    for got, expected in zip(told, added, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14 * np.abs(expected).max(initial=0))


def derivatives_by_what_is_added(loss: Any, params: Any, data: Any) -> list[Any]:
    """By a zero that is added to each result of a function in turn; without those that nothing depends on."""
    import torch
    from torch.overrides import TorchFunctionMode

    zeros: list[Any] = []

    def plus_zero(x: Any, given: Any) -> Any:
        if isinstance(x, tuple | list) and not isinstance(x, torch.Size):
            return type(x)([plus_zero(each, given) for each in x])
        if not isinstance(x, torch.Tensor) or not x.requires_grad or any(x is each for each in given):
            return x
        zeros.append(torch.zeros(x.shape, dtype=x.dtype, requires_grad=True))
        return x + zeros[-1]

    class Add(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return plus_zero(func(*args, **(kwargs or {})), args)

    leaves = {name: p.requires_grad_() for name, p in params.items()}
    with Add():
        value = loss(leaves, data)
    found = torch.autograd.grad(value, zeros, allow_unused=True)
    return [each.numpy() for each in found if each is not None]
