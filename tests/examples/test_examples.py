"""Every example: what its file and the README must say; that all backends agree on it, `test_checked` sees."""

from __future__ import annotations

import importlib
import operator
import re
from typing import Any

import mpmath
import numpy as np
import pytest

from gradparity import weights
from gradparity.model_spec.trees import leaves
from gradparity.truth.xp.namespace import xp as certified
from tests.examples.models import EXAMPLES, NAMESPACES, distance, example, load_file, norm

MODELS = (
    "softmax_regression", "mlp", "gaussian_mixture", "matrix_factorisation", "lstm_cell", "gaussian_process",
    "poisson_glm", "kalman_filter", "attention_block", "logistic_regression",
)  # fmt: skip
FRAMEWORKS = ("autograd", "jax", "torch")


#: JAX takes seconds to compile all the derivatives of one of these.
LARGE = ("gaussian_mixture", "lstm_cell", "gaussian_process", "kalman_filter", "attention_block")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        pytest.param(model, name, marks=[pytest.mark.slow] if name == "jax" and model in LARGE else [])
        for model in MODELS
        for name in FRAMEWORKS
    ],
)
def test_an_example_is_written_for_float32_too(model: str, name: str) -> None:
    direction = example(model).direction(3)
    double = example(model).quantities("autograd", direction, np.float64)
    sizes = {key[0]: norm({k[1]: x for k, x in double.items() if k[0] == key[0]}) for key in double}
    single = example(model).quantities(name, direction, np.float32)
    assert {key: x.dtype for key, x in single.items()} == dict.fromkeys(double, np.dtype(np.float32))
    for key, x in double.items():
        assert np.linalg.norm(single[key] - x) < 1e-5 * max(sizes[key[0]], abs(sizes["loss"])), key


@pytest.mark.parametrize("model", [*MODELS, "broken_port"])
def test_an_example_is_small_enough_to_be_certified_in_seconds(model: str) -> None:
    assert sum(np.size(leaf) for _, leaf in leaves(example(model).params)) <= 300
    assert sum(np.size(leaf) for _, leaf in leaves(example(model).data)) <= 3000


@pytest.mark.parametrize("model", [*MODELS, "broken_port"])
def test_parameters_are_float64_and_the_same_draw_gives_the_same_bytes(model: str) -> None:
    for tree in ("params", "data"):
        first, second = (list(leaves(getattr(example(model), tree))) for _ in range(2))
        assert [path for path, _ in first] == [path for path, _ in second]
        assert all(a.tobytes() == b.tobytes() for (_, a), (_, b) in zip(first, second, strict=True))
    assert {leaf.dtype for _, leaf in leaves(example(model).params)} == {np.dtype(np.float64)}


def test_the_broken_port_lacks_the_weights_term_of_the_product_rule() -> None:
    """d[(1 - p)^2 CE] by hand: the port has (1 - p)^2 dCE, and lacks -2 (1 - p) CE dp, where dp = p (1 - p) dm."""
    params, data = example("broken_port").params, example("broken_port").data
    sign = 2 * data["y"] - 1
    m = sign * (data["X"] @ params["w"] + params["b"])
    p = 1 / (1 + np.exp(-m))
    slope = {"kept": -((1 - p) ** 2) * (1 - p), "lost": -2 * (1 - p) * -np.log(p) * p * (1 - p)}
    terms = {name: {"w": data["X"].T @ (s * sign) / 60, "b": np.mean(s * sign)[None]} for name, s in slope.items()}
    whole = {path: terms["kept"][path] + terms["lost"][path] for path in ("w", "b")}
    assert distance(example("broken_port").value_and_gradient("jax")[1], whole) < 1e-12
    assert distance(example("broken_port").value_and_gradient("torch")[1], terms["kept"]) < 1e-12


def test_torch_refuses_the_weight_that_the_broken_port_detaches() -> None:
    torch = pytest.importorskip("torch")
    p = torch.tensor([0.3, 0.6], requires_grad=True)
    with pytest.raises(RuntimeError, match="not differentiable with respect to argument 'weight'"):
        torch.nn.functional.binary_cross_entropy(p, torch.tensor([0.0, 1.0]), weight=(1 - p) ** 2)


@pytest.mark.parametrize(("p", "y"), [(0.05, 0.0), (0.3, 1.0), (0.9, 0.0)])
def test_torchs_second_derivative_of_a_cross_entropy_is_that_of_p_with_an_epsilon(p: float, y: float) -> None:
    """What the obvious cure is off by: (p^2 - 2 p y + y) / (p (1 - p))^2 with 1e-12 on p and 1 - p."""
    torch = pytest.importorskip("torch")
    x = torch.tensor([p], dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.binary_cross_entropy(x, torch.full_like(x, y))
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    found = torch.autograd.grad(slope.sum(), x)[0].item()
    with mpmath.workdps(40):
        numerator, x = mpmath.mpf(p) ** 2 - 2 * mpmath.mpf(p) * y + y, mpmath.mpf(p)
        exact, moved = (numerator / ((x + eps) * (1 - x + eps)) ** 2 for eps in (0, mpmath.mpf("1e-12")))
        assert 9e-12 < float(abs(found - exact) / exact) < 5e-11
        assert float(abs(found - moved) / moved) < 4e-15


def listed() -> set[str]:
    """Every example there is, by name."""
    files = {path.stem for path in EXAMPLES.glob("*.py")}
    return files | {path.parent.name for path in EXAMPLES.glob("*/model_spec.py")}


def test_no_example_is_without_a_test() -> None:
    assert listed() == {*MODELS, "broken_port", "checkpoint", "keras_mlp"}


def test_the_checkpoint_is_of_a_network_that_reads_digits_and_small_enough_to_be_certified() -> None:
    torch = pytest.importorskip("torch")
    from sklearn.datasets import load_digits

    state = {name: torch.tensor(value) for name, value in weights(EXAMPLES / "checkpoint" / "net.safetensors").items()}
    net = load_file(EXAMPLES / "checkpoint" / "backends" / "torch.py").net
    net.load_state_dict(state)
    digits = load_digits()
    read = net(torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)).argmax(1)
    assert np.mean(read.numpy() == digits.target) > 0.9
    assert sum(value.numel() for value in net.parameters()) == 214


def test_the_readme_has_a_row_for_every_example() -> None:
    linked = re.findall(r"^\| \[[^\]]+\]\(([^)]+)\) \|", (EXAMPLES / "README.md").read_text(), flags=re.MULTILINE)
    assert {link.rstrip("/").removesuffix(".py") for link in linked} == {*listed(), "engines", "found", "third_party"}
    assert all((EXAMPLES / link).exists() for link in linked)


def test_the_names_that_the_readme_promises_are_in_every_namespace() -> None:
    text = (EXAMPLES / "README.md").read_text().split("Names that all four have: ")[1].split("Beyond the names")[0]
    names = re.findall(r"`([a-z0-9_.]+)`", text)
    assert len(names) > 25
    for module in NAMESPACES.values():
        pytest.importorskip(module)
    for xp in (*map(importlib.import_module, NAMESPACES.values()), certified):
        for name in names:
            assert callable(operator.attrgetter(name)(xp)), (xp, name)


@pytest.mark.parametrize("model", sorted(listed()))
def test_an_example_says_its_source_and_what_goes_wrong(model: str) -> None:
    text: Any = example(model).spec.__doc__
    assert "\nSource: " in text
    assert model == "broken_port" or "What goes wrong when it is ported: " in text
