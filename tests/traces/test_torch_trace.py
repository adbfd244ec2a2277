"""What PyTorch's recorder tells: values, order, places and cotangents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.conftest import configured
from tests.taps.models import DATA, PARAMS, by_hand, network
from tests.traces.book import Book, recorded

configured("torch")
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402, N812
from torch.utils.checkpoint import checkpoint  # noqa: E402

V, W, X = PARAMS["v"], PARAMS["W"], DATA["X"]


def of(loss: Any, params: Any = PARAMS, data: Any = DATA) -> Book:
    return recorded("torch", loss, params, data, __file__)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 2 * ctx.saved_tensors[0] * g


square = Square.apply  # bound before any recorder is there


def test_values_inputs_and_lines_are_told_in_the_order_of_evaluation():
    def loss(params, data):
        z = data["X"] @ params["W"]
        h = torch.tanh(
            z,
        )
        return ((h * 2.0 - z) ** 2).sum()

    book = of(loss)
    assert [book.names[number] for number in sorted(book.names)] == ["W", "v", "X"]
    assert book.calls() == [
        ("matmul", 'data["X"] @ params["W"]'),
        ("tanh", "torch.tanh(\n            z,\n        )"),
        ("mul", "h * 2.0"),
        ("sub", "h * 2.0 - z"),
        ("pow", "(h * 2.0 - z) ** 2"),
        ("sum", "((h * 2.0 - z) ** 2).sum()"),
    ]
    z = X @ W
    np.testing.assert_allclose(book.values[book.of("sub")], 2 * np.tanh(z) - z, rtol=1e-12)
    numbers = {step.operation: number for number, step in enumerate(book.steps)}
    assert book.steps[numbers["matmul"]].inputs == (2, 0)
    assert book.steps[numbers["sub"]].inputs == (numbers["mul"], numbers["matmul"])


def test_cotangents_are_those_of_the_chain_rule():
    configured("torch")
    loss = network("torch")
    book = recorded("torch", loss, PARAMS, DATA, __file__.rpartition("/traces/")[0])
    values, cotangents = by_hand()
    for operation, name in (("matmul", "z#0"), ("tanh", "h#0")):
        np.testing.assert_allclose(book.values[book.of(operation)], values[name], rtol=1e-12)
        np.testing.assert_allclose(book.cotangents[book.of(operation)], cotangents[name], rtol=1e-12)
    np.testing.assert_allclose(book.cotangents[0], X.T @ cotangents["z#0"], rtol=1e-12)  # of W, a leaf
    assert 2 not in book.cotangents  # of X, which is data


def test_a_stopped_value_has_no_cotangent():
    book = of(lambda params, data: (params["v"] * (params["v"] * 2.0).detach()).sum())
    assert book.of("mul") not in book.cotangents
    assert book.of("detach") not in book.cotangents
    np.testing.assert_array_equal(book.cotangents[book.of("mul", 1)], np.ones(4))


def test_a_tensor_changed_in_place_is_another_result_with_its_own_cotangent():
    def loss(params, data):
        h = params["v"] * 2.0
        h *= 3.0
        h[0] = 5.0
        h[1].mul_(7.0)
        return (h**2).sum()

    book = of(loss)
    assert [operation for operation, _ in book.calls()] == [
        "mul", "mul", "setitem", "getitem", "mul", "mul", "pow", "sum",
    ]  # fmt: skip
    first = book.of("mul")
    six = 6 * V
    np.testing.assert_allclose(book.values[first], 2 * V)
    np.testing.assert_allclose(book.values[first + 1], six)
    np.testing.assert_allclose(book.values[book.of("setitem")], [5.0, *six[1:]])
    last = np.array([5.0, 7 * six[1], *six[2:]])
    np.testing.assert_allclose(book.values[book.of("pow")], last**2)
    # dL/dh after every line, backward from 2 h.
    view, whole = (number for number in range(first + 2, len(book.values)) if book.steps[number].operation == "mul")
    np.testing.assert_allclose(book.cotangents[whole], 2 * last)
    np.testing.assert_allclose(book.cotangents[view], 2 * last[1])
    after_setitem = 2 * last * [1, 7, 1, 1]
    np.testing.assert_allclose(book.cotangents[book.of("setitem")], after_setitem)
    np.testing.assert_allclose(book.cotangents[book.of("getitem")], after_setitem[1])
    np.testing.assert_allclose(book.cotangents[first + 1], after_setitem * [0, 1, 1, 1])
    np.testing.assert_allclose(book.cotangents[first], 3 * after_setitem * [0, 1, 1, 1])


def test_several_results_of_one_call_are_told_one_by_one():
    def loss(params, data):
        a, b = params["v"].chunk(2)
        top = torch.topk(a, 1)
        rows = [row * 2.0 for row in params["W"]]
        return top.values.sum() + b.prod() + torch.stack(rows).sum()

    book = of(loss)
    np.testing.assert_array_equal(book.values[book.of("chunk", 1)], V[2:])
    np.testing.assert_array_equal(book.values[book.of("topk", 1)], [V[:2].argmax()])
    assert [book.values[book.of("unbind", i)].tolist() for i in range(4)] == W.tolist()
    np.testing.assert_allclose(book.cotangents[book.of("chunk", 1)], [V[3], V[2]])
    assert book.steps[book.of("stack")].inputs == tuple(book.of("mul", i) for i in range(4))


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(4)
        self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Sequential(torch.nn.GELU())])

    def forward(self, x: Any) -> Any:
        x = self.norm(x) + x
        for layer in self.layers:
            x = layer(x)
        return x


def test_the_path_of_the_module_that_runs_is_told_with_each_result():
    block = Block().double()

    def loss(params, data):
        with pytest.raises(RuntimeError):  # a call that fails on the way does not lead astray
            block(data["X"][:, :3])
        out = torch.func.functional_call(block, {"layers.0.weight": params["W"]}, (data["X"],))
        return out.sum()

    book = of(loss)
    paths = {step.operation: step.module for step in book.steps if step.operation and not step.part}
    assert paths["layer_norm"] == "norm"
    assert paths["linear"] == "layers.0"
    assert paths["gelu"] == "layers.1.0"
    assert paths["add"] == paths["sum"] == paths["getitem"] == ""
    texts = dict(book.calls())
    assert texts["layer_norm"] == "self.norm(x)"  # the innermost call in the user's own file
    assert texts["linear"] == texts["gelu"] == "layer(x)"


def test_a_custom_function_is_one_result_by_its_class_after_what_its_forward_computes():
    book = of(lambda params, data: square(params["v"]).sum())
    assert book.calls() == [("Square", 'square(params["v"])'), ("sum", 'square(params["v"]).sum()')]
    assert book.steps[book.of("mul")].part  # what is within has no cotangent: the rule is the user's
    rule = book.steps[book.of("Square")].rule
    first, last = Square.backward.__code__.co_firstlineno, Square.backward.__code__.co_firstlineno + 2
    assert (rule.file, rule.line, rule.end_line) == (__file__, first, last)
    np.testing.assert_array_equal(book.cotangents[book.of("Square")], np.ones(4))
    np.testing.assert_allclose(book.cotangents[1], 2 * V)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_layers_are_recorded_once_and_differentiated(reentrant: bool):
    def loss(params, data):
        return checkpoint(lambda v: v.tanh().exp(), params["v"], use_reentrant=reentrant).sum()

    book = of(loss)
    assert [operation for operation, _ in book.calls()] == ["tanh", "exp", "sum"]
    np.testing.assert_allclose(book.cotangents[book.of("tanh")], np.exp(np.tanh(V)))


def test_a_layer_norm_has_its_mean_variance_and_what_follows_as_parts():
    book = of(lambda params, data: F.layer_norm(data["X"] @ params["W"], (4,), params["v"], eps=1e-5).sum())
    z = X @ W
    mean, variance = z.mean(1), z.var(1)
    parts = [(number, step) for number, step in enumerate(book.steps) if step.part]
    assert {step.place for _, step in parts} == {book.steps[book.of("layer_norm")].place}
    assert max(number for number, _ in parts) < book.of("layer_norm")

    def has(expected: Any) -> bool:
        return any(
            book.values[number].size == expected.size
            and np.allclose(np.ravel(book.values[number]), expected.ravel(), rtol=1e-12)
            for number, _ in parts
        )

    for expected in (mean, variance, variance + 1e-5, 1 / np.sqrt(variance + 1e-5), z - mean[:, None]):
        assert has(expected)
    assert not has(variance + 1e-6)


INSIDE = {
    "softmax": (lambda x, v: torch.softmax(x, 1), lambda x, v: [np.exp(x - x.max(1, keepdims=True)),
                                                              np.exp(x - x.max(1, keepdims=True)).sum(1)]),
    "gelu": (lambda x, v: F.gelu(x), lambda x, v: [x / np.sqrt(2)]),
    "gelu tanh": (lambda x, v: F.gelu(x, approximate="tanh"),
                  lambda x, v: [np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))]),
    "linear": (lambda x, v: F.linear(x, x, v), lambda x, v: [x @ x.T]),
    "std": (lambda x, v: x.std(1), lambda x, v: [x.var(1, ddof=1), x.mean(1)]),
    "mse_loss": (lambda x, v: F.mse_loss(x[0], v), lambda x, v: [x[0] - v, (x[0] - v) ** 2]),
    "smooth_l1_loss": (lambda x, v: F.smooth_l1_loss(x[0], v), lambda x, v: [np.abs(x[0] - v)]),
    "cross_entropy": (lambda x, v: F.cross_entropy(x, v.softmax(0).expand(4, 4)),
                      lambda x, v: [x - np.log(np.exp(x).sum(1, keepdims=True))]),
    "normalize": (lambda x, v: F.normalize(x, dim=1), lambda x, v: [np.sqrt((x**2).sum(1))]),
    "attention": (lambda x, v: F.scaled_dot_product_attention(x[None, None], x[None, None], x[None, None] * v),
                  lambda x, v: [x @ x.T / 2, np.exp(x @ x.T / 2) / np.exp(x @ x.T / 2).sum(1, keepdims=True)]),
    "conv1d": (lambda x, v: F.conv1d(x[None, :, :], x[:, :, None], v),
               lambda x, v: [np.einsum("it,oi->ot", x, x)]),
    "logsumexp": (lambda x, v: torch.logsumexp(x, 1), lambda x, v: [np.exp(x - x.max(1, keepdims=True)).sum(1)]),
    "batch_norm": (lambda x, v: F.batch_norm(x, v.detach(), v.detach().exp(), training=True),
                   lambda x, v: [x.mean(0), x.var(0)]),
    "lstm_cell": (lambda x, v: torch.lstm_cell(x, (x, x), four_gates(x), four_gates(x))[0],
                  lambda x, v: [np.concatenate([2 * x @ x.T] * 4, 1), np.tanh(2 * x @ x.T)]),
}  # fmt: skip


def four_gates(x: Any) -> Any:
    return torch.cat([x] * 4)


@pytest.mark.parametrize("which", INSIDE)
def test_values_inside_of_fused_calls_are_told_as_parts(which: str):
    call, inside = INSIDE[which]
    book = of(lambda params, data: call(params["W"], params["v"]).sum())
    parts = [np.sort(book.values[number].ravel()) for number, step in enumerate(book.steps) if step.part]
    for expected in inside(W, V):
        assert any(part.size == expected.size and np.allclose(part, np.sort(expected.ravel())) for part in parts)
