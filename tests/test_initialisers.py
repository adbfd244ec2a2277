"""What starts a block is named by scale and distribution: torch.nn.init's and jax.nn.initializers' own draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.numerics.initialisers import Draws, fans, initialised
from gradparity.numerics.two_samples import compared, spread_of

SEEDS = 8


def torch_draws(fill: Callable[[Any], Any], shape: tuple[int, ...] = (96, 40)) -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    found = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        tensor = torch.empty(*shape)
        fill(tensor)
        found.append(tensor.numpy().copy())
    return {"w": Draws.of(np.array(found))}


def jax_draws(initialiser: Callable[..., Any], shape: tuple[int, ...] = (40, 96), start: int = 0) -> dict[str, Any]:
    jax = pytest.importorskip("jax")
    keys = [jax.random.key(seed + start) for seed in range(SEEDS)]
    return {"w": Draws.of(np.array([initialiser(key, shape, "float32") for key in keys]))}


TORCH: dict[str, tuple[Callable[[Any], Callable[[Any], Any]], tuple[str, ...]]] = {
    "kaiming_uniform_": (lambda i: lambda w: i.kaiming_uniform_(w), ("Kaiming/He, fan in, uniform",)),
    "kaiming_normal_": (lambda i: lambda w: i.kaiming_normal_(w), ("Kaiming/He, fan in, normal",)),
    "kaiming_normal_ fan_out": (
        lambda i: lambda w: i.kaiming_normal_(w, mode="fan_out"),
        ("Kaiming/He, fan out, normal",),
    ),
    "xavier_uniform_": (lambda i: lambda w: i.xavier_uniform_(w), ("Xavier/Glorot, uniform",)),
    "xavier_normal_": (lambda i: lambda w: i.xavier_normal_(w), ("Xavier/Glorot, normal",)),
    "linear's default": (
        lambda i: lambda w: i.kaiming_uniform_(w, a=5**0.5),
        ("torch.nn.Linear's default, U(-1/sqrt(fan in), 1/sqrt(fan in)), uniform",),
    ),
    "trunc_normal_": (
        lambda i: lambda w: i.trunc_normal_(w, std=0.02, a=-0.04, b=0.04),
        ("std 0.02 before it is cut at two of them, truncated normal",),
    ),
    "normal_": (lambda i: lambda w: i.normal_(w, std=0.02), ("std 0.02, normal",)),
    "orthogonal_": (lambda i: lambda w: i.orthogonal_(w), ("orthogonal",)),
    "orthogonal_ gain": (lambda i: lambda w: i.orthogonal_(w, gain=2**0.5), ("orthogonal, gain 1.41421",)),
    "zeros_": (lambda i: lambda w: i.zeros_(w), ("zeros",)),
    "ones_": (lambda i: lambda w: i.ones_(w), ("ones",)),
    "constant_": (lambda i: lambda w: i.constant_(w, 0.3), ("constant 0.3",)),
    "neither": (lambda i: lambda w: i.normal_(w, std=0.4), ()),
}
JAX: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "lecun_normal": (lambda i: i.lecun_normal(), ("LeCun, fan in, truncated normal",)),
    "lecun_uniform": (lambda i: i.lecun_uniform(), ("LeCun, fan in, uniform",)),
    "he_normal": (lambda i: i.he_normal(), ("Kaiming/He, fan in, truncated normal",)),
    "he_uniform": (lambda i: i.he_uniform(), ("Kaiming/He, fan in, uniform",)),
    "glorot_normal": (lambda i: i.glorot_normal(), ("Xavier/Glorot, truncated normal",)),
    "glorot_uniform": (lambda i: i.glorot_uniform(), ("Xavier/Glorot, uniform",)),
    "variance_scaling": (
        lambda i: i.variance_scaling(2.0, "fan_out", "normal"),
        ("Kaiming/He, fan out, normal",),
    ),
    "orthogonal": (lambda i: i.orthogonal(), ("orthogonal",)),
    "zeros": (lambda i: i.zeros, ("zeros",)),
}


@pytest.mark.parametrize("case", TORCH)
def test_torch_s_initialiser_is_named(case: str) -> None:
    torch = pytest.importorskip("torch")
    make, schemes = TORCH[case]
    assert initialised(torch_draws(make(torch.nn.init)), outputs_first=True)["w"].schemes == schemes


@pytest.mark.parametrize("case", JAX)
def test_jax_s_initialiser_is_named(case: str) -> None:
    jax = pytest.importorskip("jax")
    make, schemes = JAX[case]
    assert initialised(jax_draws(make(jax.nn.initializers)), outputs_first=False)["w"].schemes == schemes


def test_a_linear_layer_s_bias_is_named_after_its_weight() -> None:
    torch = pytest.importorskip("torch")
    draws: dict[str, list[Any]] = {"fc.weight": [], "fc.bias": []}
    for seed in range(40):
        torch.manual_seed(seed)
        for name, value in torch.nn.Linear(64, 48).state_dict().items():
            draws[f"fc.{name}"].append(value.numpy())
    found = initialised({name: Draws.of(np.array(values)) for name, values in draws.items()})
    assert found["fc.weight"].schemes == ("torch.nn.Linear's default, U(-1/sqrt(fan in), 1/sqrt(fan in)), uniform",)
    assert found["fc.bias"].schemes == (
        "torch.nn.Linear's bias, U(-1/sqrt(fan in), 1/sqrt(fan in)) of fc.weight, uniform",
    )


def test_no_scheme_is_named_alone_where_the_draws_support_two() -> None:
    # A square weight: Glorot's variance is LeCun's
    jax = pytest.importorskip("jax")
    found = initialised(jax_draws(jax.nn.initializers.glorot_uniform(), (64, 64)), outputs_first=False)["w"]
    assert set(found.schemes) == {"Xavier/Glorot, uniform", "LeCun, fan in or out, uniform"}
    # and of 6 numbers nothing is known
    few = initialised({"w": Draws.of(np.random.default_rng(0).normal(size=(1, 2, 3)))}, outputs_first=True)["w"]
    assert len(few.schemes) != 1


def test_the_fans_of_a_convolution_are_the_frameworks() -> None:
    torch = pytest.importorskip("torch")
    # torch.nn.init's own count, of a weight (out, in, height, width)
    expected = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(16, 8, 3, 3))
    assert fans((16, 8, 3, 3), outputs_first=True) == expected == fans((3, 3, 8, 16), outputs_first=False)


def test_the_standard_deviation_lies_in_its_interval_but_once_in_a_thousand_times() -> None:
    rng = np.random.default_rng(5)
    uniform, normal = (lambda: rng.uniform(-1, 1, (4, 20, 10)) * 3**0.5), (lambda: rng.normal(size=(4, 20, 10)))
    for draw in (uniform, normal):
        ranges = [initialised({"w": Draws.of(draw())}, outputs_first=True)["w"].std_range for _ in range(100)]
        assert sum(not low <= 1 <= high for low, high in ranges) <= 1
        assert np.median([high / low for low, high in ranges]) < 1.25


def test_which_axis_has_the_outputs_is_told_by_names_and_by_the_bias_beside_or_both_are_said() -> None:
    torch = pytest.importorskip("torch")
    drawn = torch_draws(lambda w: torch.nn.init.kaiming_normal_(w))["w"]
    first = ("Kaiming/He, fan in, normal",)
    assert initialised({"fc.weight": drawn})["fc.weight"].schemes == first
    bias = Draws.of(np.zeros((SEEDS, 96)))
    assert initialised({"w": drawn, "b": bias})["w"].schemes == first
    assert initialised({"fc.kernel": drawn})["fc.kernel"].schemes == ("Kaiming/He, fan out, normal",)
    assert set(initialised({"w": drawn})["w"].schemes) == {
        "Kaiming/He, fan in if outputs are first, normal",
        "Kaiming/He, fan out if outputs are last, normal",
    }


def test_a_start_that_does_not_depend_on_the_seed_is_said_to_be_fixed() -> None:
    draws = np.repeat(np.random.default_rng(1).normal(size=(1, 30, 20)), 5, axis=0)
    assert initialised({"w": Draws.of(draws)}, outputs_first=True)["w"].distribution == "fixed"


def entries(draws: dict[str, Draws]) -> Any:
    return draws["w"].entries


def test_two_ports_of_one_scheme_are_not_said_to_differ() -> None:
    jax = pytest.importorskip("jax")
    torch = pytest.importorskip("torch")
    one = entries(jax_draws(jax.nn.initializers.he_uniform(), (40, 96)))
    found = compared(one, entries(torch_draws(lambda w: torch.nn.init.kaiming_uniform_(w))))
    assert (found.what, found.unseen) == ("", "")
    assert found.factor is not None
    assert found.factor[1] < 1 < found.factor[2]


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (lambda i: i.he_normal(), lambda i: i.lecun_normal(), "scale"),  # a gain of sqrt(2) is missing
        (lambda i: i.he_normal(), lambda i: i.variance_scaling(2.0, "fan_out", "truncated_normal"), "scale"),
        (lambda i: i.normal(0.02), lambda i: i.normal(0.02**2), "scale"),  # a standard deviation taken for a variance
        (lambda i: i.normal(1.0), lambda i: i.normal(96**-0.5), "scale"),  # of an embedding
        (lambda i: i.he_normal(), lambda i: i.variance_scaling(2.0, "fan_in", "normal"), "distribution"),
        (lambda i: i.he_uniform(), lambda i: i.he_normal(), "distribution"),
        (lambda i: i.normal(1e-4), lambda i: i.zeros, "drawn"),
        (lambda i: i.ones, lambda i: i.zeros, "values"),
        (lambda i: i.orthogonal(2**0.5), lambda i: i.orthogonal(), "scale"),
        (lambda i: i.orthogonal(), lambda i: i.normal(96**-0.5), "orthogonal"),
    ],
)
def test_two_ports_of_different_schemes_are(one: Any, other: Any, what: str) -> None:
    jax = pytest.importorskip("jax")
    first, second = (jax_draws(make(jax.nn.initializers), start=start)["w"] for make, start in ((one, 0), (other, 100)))
    found = compared(first.entries, second.entries, (first.gain, second.gain))
    assert found.what == what, found


def test_a_factor_is_given_with_an_interval_that_has_it() -> None:
    rng = np.random.default_rng(3)
    for factor in (0.5, 2**0.5, 10.0):
        found = compared(factor * rng.normal(size=(16, 500)), rng.uniform(-(3**0.5), 3**0.5, size=(16, 500)))
        assert found.what == "scale"
        assert found.factor is not None
        assert found.factor[1] < factor < found.factor[2] < 1.2 * found.factor[1]


#: Draws of right ports that are none of the named: what entries have in common, or that they are few, is no difference.
UNUSUAL: dict[str, Callable[[Any], Any]] = {
    "two values": lambda rng: rng.choice([-1.0, 1.0], (24, 60)),
    "sparse": lambda rng: rng.normal(size=(24, 60)) * (rng.random((24, 60)) < 0.1),
    "clipped": lambda rng: np.clip(rng.normal(size=(24, 60)), -2, 2),
    "a scale for each draw": lambda rng: rng.exponential(size=(24, 1)) * rng.normal(size=(24, 60)),
    "a filter that is repeated": lambda rng: np.repeat(rng.normal(size=(24, 15)), 4, axis=1),
    "a scale for each entry": lambda rng: rng.normal(size=(24, 60)) * np.linspace(0.1, 3, 60),
    "heavy tails": lambda rng: rng.standard_t(3, (24, 60)),
    "a row of zeros": lambda rng: rng.normal(size=(24, 60)) * (np.arange(60) > 9),
    "a forget gate of ones": lambda _: np.tile(np.arange(60) // 15 == 1, (24, 1)).astype(float),
    "few": lambda rng: rng.normal(size=(3, 2)),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_draws_that_are_alike_are_never_said_to_differ_whatever_they_are(case: str) -> None:
    rng = np.random.default_rng(11)
    found = [compared(UNUSUAL[case](rng), UNUSUAL[case](rng)).said for _ in range(25)]
    assert found == [""] * 25


def test_what_differs_in_some_entries_alone_or_in_what_is_fixed_is_seen() -> None:
    rng = np.random.default_rng(12)
    padded = UNUSUAL["a row of zeros"](rng)
    found = compared(padded, rng.normal(size=(24, 60)))
    assert (found.what, found.said) == ("drawn", "entries that every seed gives the same: 10 of 60 against 0")
    gate = UNUSUAL["a forget gate of ones"](rng)
    assert compared(gate, np.roll(gate, 15, axis=1)).what == "values"
    assert compared(gate, gate * (1 + 1e-6)).what == ""


def test_of_too_few_numbers_it_is_said_what_would_not_have_been_seen() -> None:
    rng = np.random.default_rng(13)
    found = compared(rng.normal(size=(40, 3)), rng.normal(size=(40, 3)))
    assert found.what == ""
    assert found.unseen == "whether scale or distribution are another by little, of 120 numbers"
    found = compared(rng.normal(size=(300, 3)), rng.normal(size=(300, 3)))
    assert found.unseen.startswith("whether std is another by a factor below 1.")
    assert compared(np.zeros((3, 1)), np.ones((3, 1))).unseen == "whether it depends on the seed"


def test_entries_that_depend_on_each_other_widen_the_interval_to_that_of_the_draws() -> None:
    rng = np.random.default_rng(14)
    scales = rng.exponential(size=(40, 1))
    assert spread_of(scales * rng.normal(size=(40, 500))).together
    assert not spread_of(rng.normal(size=(40, 500))).together
