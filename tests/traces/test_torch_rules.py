"""Fused operators step by step give what PyTorch's own kernels give, and every rule is one that is used."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import configured

configured("torch")
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402, N812

from gradparity.backends.traces import torch_rules  # noqa: E402
from gradparity.backends.traces.torch_parts import Inside  # noqa: E402
from gradparity.backends.traces.torch_tensors import tensors_in  # noqa: E402

torch.manual_seed(5)
X, Y, V, P = (torch.randn(shape, dtype=torch.float64) for shape in ((4, 6, 8), (8, 3), (8,), (4, 6, 8)))
CALLS = {
    "mean": lambda: (X.mean(), X.mean(1), X.mean((0, 2), keepdim=True)),
    "var": lambda: (X.var(), X.var(1), X.var((0, 1), correction=0, keepdim=True), (X + 1j * P).var(1)),
    "std": lambda: (X.std(), X.std(2, correction=3), torch.std_mean(X, 1), torch.var_mean(X, 0)),
    "layer_norm": lambda: (F.layer_norm(X, (8,), V, V), F.layer_norm(X, (6, 8), eps=0.1)),
    "group_norm": lambda: (F.group_norm(X, 3), F.group_norm(X, 2, V[:6], V[1:7], eps=0.1)),
    "gelu": lambda: (F.gelu(X), F.gelu(X, approximate="tanh")),
    "sigmoid": lambda: (torch.sigmoid(X), F.silu(X)),
    "softplus": lambda: (F.softplus(X * 30), F.softplus(X, beta=3, threshold=1)),
    "logsumexp": lambda: (X.logsumexp(1), (X / 0).abs().neg().logsumexp((0, 1), keepdim=True)),
    "softmax": lambda: (X.softmax(1), X.log_softmax(-1)),
    "norm": lambda: (X.norm(), torch.linalg.vector_norm(X, dim=1), (X + 1j * P).norm(dim=2), X.norm(p=3)),
    "addmm": lambda: (torch.addmm(V[:3], X[0], Y), torch.addmm(V[:3], X[0], Y, beta=2, alpha=3)),
    "baddbmm": lambda: torch.baddbmm(X[:, :, :6], X, X.mT),
    "lerp": lambda: (X.lerp(P, 0.3), X.lerp(P, P)),
    "addcmul": lambda: (X.addcmul(P, P, value=2), X.addcmul(P, X), X.addcdiv(P, P, value=2), X.addcdiv(P, X)),
    "convolution": lambda: (F.conv1d(X, P[:2], V[:2], padding=3, stride=2), F.conv1d(X, P[:2])),
    "attention": lambda: (
        F.scaled_dot_product_attention(X[None], P[None], X[None], is_causal=True, scale=0.3),
        F.scaled_dot_product_attention(X[None], P[None], X[None], attn_mask=X[0, :, :6]),
    ),
    "compiled decomposition": lambda: torch.ops.prims.var(X, [1], 0),
}


@pytest.mark.parametrize("which", CALLS)
def test_the_steps_of_an_operator_give_what_its_kernel_gives(which: str):
    with torch.no_grad():
        expected = [*tensors_in(CALLS[which]())]
        with Inside({}):
            found = [*tensors_in(CALLS[which]())]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13, equal_nan=True)


def test_every_rule_is_used_by_one_of_these_calls_and_does_not_fail(monkeypatch: pytest.MonkeyPatch):
    used = set()

    def seen(operator: Any, rule: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = rule(*args, **kwargs)
            used.add(operator)
            return result

        return call

    for operator, rule in [*torch_rules.RULES.items()]:
        monkeypatch.setitem(torch_rules.RULES, operator, seen(operator, rule))
    with torch.no_grad(), Inside({}):
        for call in CALLS.values():
            call()
    assert used == set(torch_rules.RULES)
