"""That a loss is undisturbed while PyTorch's recorder looks on: randomness, state, transforms, threads, views."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pytest

from tests.conftest import configured
from tests.taps.models import DATA, PARAMS
from tests.traces.book import Book, recorded

configured("torch")
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402, N812

V, W, X = PARAMS["v"], PARAMS["W"], DATA["X"]


def of(loss: Any, params: Any = PARAMS, data: Any = DATA) -> Book:
    return recorded("torch", loss, params, data, __file__)


def test_what_is_random_is_drawn_once_for_the_user_and_the_same_again_inside():
    def loss(params, data):
        torch.manual_seed(3)
        dropped = F.dropout(params["W"], 0.5)
        return dropped.sum() + torch.rand(()) * params["v"].sum()

    torch.manual_seed(3)
    expected = F.dropout(torch.tensor(W), 0.5).sum() + torch.rand(()) * torch.tensor(V).sum()
    np.testing.assert_array_equal(of(loss).values[-1], expected.numpy())


@pytest.mark.parametrize("module", [torch.nn.BatchNorm1d, torch.nn.InstanceNorm1d], ids=lambda m: m.__name__)
def test_running_statistics_and_generators_are_moved_on_once(module: Any):
    norm, generator = module(4, track_running_stats=True).double(), torch.Generator().manual_seed(3)

    def loss(params, data):
        drawn = torch.bernoulli(params["W"].detach().sigmoid(), generator=generator)
        return (norm((params["W"] * drawn)[None].repeat(2, 1, 1)) ** 2).sum()

    before = {name: x.clone() for name, x in norm.state_dict().items()}, generator.get_state()
    loss({"W": torch.tensor(W)}, {})
    after = {name: x.clone() for name, x in norm.state_dict().items()}, generator.get_state()
    norm.load_state_dict(before[0])
    generator.set_state(before[1])
    book = of(loss)
    assert all(torch.equal(x, after[0][name]) for name, x in norm.state_dict().items())
    assert torch.equal(generator.get_state(), after[1])
    assert not torch.equal(before[0]["running_mean"], after[0]["running_mean"])
    assert "rsqrt" in {step.operation for step in book.steps if step.part}


def test_under_vmap_the_batch_axis_is_in_front_and_the_result_is_known_afterwards():
    def loss(params, data):
        out = torch.func.vmap(lambda x, v: torch.tanh(x) * v, (1, None))(data["X"] * params["v"], params["v"])
        return (out * 2.0).sum()

    book = of(loss)
    tanh = np.tanh((X * V).T)
    np.testing.assert_allclose(book.values[book.of("tanh")], tanh)
    np.testing.assert_allclose(book.cotangents[book.of("tanh")], 2 * np.broadcast_to(V, (4, 4)))
    assert book.steps[-2].inputs == (book.of("mul", 1),)
    assert "constant" not in {step.operation for step in book.steps}


def test_what_no_call_has_told_of_is_told_where_it_is_used():
    table = torch.arange(4.0, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.trace(lambda v: v.exp(), torch.zeros(4, dtype=torch.float64))

    def loss(params, data):
        return (scripted(params["v"]) * table).sum()

    book = of(loss)
    operations = [operation for operation, _ in book.calls()]
    assert operations == ["exp", "constant", "mul", "sum"]
    assert book.steps[book.of("exp")].inputs == (1,)
    np.testing.assert_allclose(book.cotangents[book.of("exp")], np.arange(4.0))
    assert dict(book.calls())["constant"] == 'scripted(params["v"]) * table'


def test_a_view_is_told_again_after_its_memory_was_changed_through_another():
    def loss(params, data):
        h = params["W"] * 1.0
        flat = h.view(-1)
        flat[::2] = 0.0
        h.add_(params["v"])
        return (h * flat.view(4, 4)).sum()

    book = of(loss)
    changed = W.ravel().copy()
    changed[::2] = 0
    changed = changed.reshape(4, 4)
    np.testing.assert_array_equal(book.values[book.of("setitem", 1)], changed)
    np.testing.assert_array_equal(book.values[book.of("add")], changed + V)
    assert book.steps[book.of("add")].inputs == (book.of("setitem", 1), 1)
    np.testing.assert_allclose(book.cotangents[book.of("add")], 2 * (changed + V))
    np.testing.assert_allclose(book.cotangents[0], 2 * (changed + V) * (np.arange(16) % 2).reshape(4, 4))


def test_what_another_thread_computes_is_connected_to_the_loss():
    def loss(params, data):
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append((params["v"] * 2.0).sum()))
        thread.start()
        thread.join()
        return found[0]

    book = of(loss)
    assert [(step.operation, step.inputs) for step in book.steps[3:]] == [("sum", (1,))]
    np.testing.assert_array_equal(book.cotangents[3], 1.0)


def transformed(how: str) -> Any:
    """A loss with a transform inside, or with something else that a mode must not disturb."""
    from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

    cube = lambda v: (v**3).sum()  # noqa: E731
    compiled = torch.compile(lambda v: v.sin().cos(), backend="eager")
    return {
        "vmap of grad": lambda p: vmap(grad(lambda r: (r.sin() ** 2).sum()))(p["W"]).sum(),
        "vmap of vmap": lambda p: vmap(vmap(lambda x: x.sin() * x), 1, 1)(p["W"]).sin().sum(),
        "grad of grad": lambda p: grad(lambda x: grad(lambda y: y**3)(x))(p["W"].sum()).sin(),
        "jvp": lambda p: jvp(torch.sin, (p["W"],), (p["W"] * 2,))[1].sum(),
        "jacobians": lambda p: (jacrev(torch.sin)(p["v"]) * jacfwd(torch.exp)(p["v"])).sum(),
        "hessian": lambda p: hessian(cube)(p["v"]).pow(2).sum(),
        "random vmap": lambda p: vmap(lambda r: F.dropout(r), randomness="different")(p["W"]).sum(),
        "autograd.grad": lambda p: torch.autograd.grad(cube(p["v"] * 2), p["v"], create_graph=True)[0].norm(),
        "autocast": lambda p: autocast_product(p["W"]).sum().double(),
        "compiled": lambda p: compiled(p["v"]).sum(),
        "cond": lambda p: torch.cond(p["v"][0] > 0, torch.sin, torch.cos, (p["W"],)).sum(),
        "complex": lambda p: torch.fft.fft(p["W"]).abs().pow(2).sum(),
        "sparse": lambda p: torch.sparse.mm(torch.eye(4, dtype=torch.float64).to_sparse(), p["W"]).sum(),
    }[how]


def autocast_product(x: Any) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return x.float() @ x.float()


@pytest.mark.parametrize(
    "how",
    ["vmap of grad", "vmap of vmap", "grad of grad", "jvp", "jacobians", "hessian", "random vmap", "autograd.grad",
     "autocast", "compiled", "cond", "complex", "sparse"],
)  # fmt: skip
def test_transforms_and_modes_in_a_loss_are_not_disturbed(how: str):
    inner = transformed(how)

    def loss(params, data):
        torch.manual_seed(1)
        return inner(params)

    leaves = {name: torch.tensor(x, requires_grad=True) for name, x in PARAMS.items()}
    value = loss(leaves, {})
    gradient = torch.autograd.grad(value, [*leaves.values()], allow_unused=True)
    book = of(loss, data={})
    np.testing.assert_array_equal(book.values[-1], value.detach().numpy())
    for number, expected in enumerate(gradient):
        got = book.cotangents.get(number)
        np.testing.assert_array_equal(0 if got is None else got, 0 if expected is None else expected.numpy())
    # However it is computed, the loss is connected to what it depends on.
    reached, queue = set[int](), [len(book.steps) - 1]
    while queue:
        number = queue.pop()
        reached.add(number)
        queue += book.steps[number].inputs
    assert reached >= {number for number, expected in enumerate(gradient) if expected is not None}


@pytest.mark.parametrize("most", range(3, 12))
def test_a_journal_that_is_full_is_told_no_number_that_it_has_not_given(most: int):
    book, backend = Book(__file__, most), configured("torch")

    def loss(params, data):
        return F.layer_norm(data["X"] @ params["W"], (4,)).sum() * params["v"].exp().sum()

    backend.recorder().record(loss, backend.put(PARAMS), backend.put(DATA), book)
    assert len(book.steps) == most
    assert set(book.cotangents) <= set(range(most))
