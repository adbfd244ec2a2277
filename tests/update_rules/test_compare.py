"""torch.optim against optax: each pair agrees, or what it differs in is said, as their documents say it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from gradparity.numerics.update_rules import Identified, compare, identify
from tests.update_rules.runs import numpy_run, optax_run, torch_run

torch = pytest.importorskip("torch")
optax = pytest.importorskip("optax")

O = torch.optim  # noqa: E741
#: torch's, optax's, and what is said; optax first.
PAIRS: dict[str, tuple[Any, Any, list[str]]] = {
    "sgd": (lambda p: O.SGD(p, lr=0.03), lambda: optax.sgd(0.03), []),
    "momentum": (lambda p: O.SGD(p, lr=0.03, momentum=0.9), lambda: optax.sgd(0.03, 0.9), []),
    "nesterov": (
        lambda p: O.SGD(p, lr=0.03, momentum=0.9, nesterov=True),
        lambda: optax.sgd(0.03, 0.9, nesterov=True),
        [],
    ),
    "nesterov against plain": (
        lambda p: O.SGD(p, lr=0.03, momentum=0.9),
        lambda: optax.sgd(0.03, 0.9, nesterov=True),
        ["SGD with Nesterov momentum against SGD with momentum"],
    ),
    "adam": (lambda p: O.Adam(p, lr=1e-2), lambda: optax.adam(1e-2), []),
    "adam, another rate": (lambda p: O.Adam(p, lr=3e-2), lambda: optax.adam(1e-2), ["lr 0.01 against 0.03"]),
    "adam, eps_root": (
        lambda p: O.Adam(p, lr=1e-2),
        lambda: optax.adam(1e-2, eps=0.0, eps_root=1e-8),
        ["eps inside the root against eps outside the root"],
    ),
    "adamw": (lambda p: O.AdamW(p, lr=1e-2), lambda: optax.adamw(1e-2), ["weight decay 0.0001 against 0.01"]),
    "adamw against L2": (
        lambda p: O.Adam(p, lr=1e-2, weight_decay=0.01),
        lambda: optax.adamw(1e-2, weight_decay=0.01),
        ["AdamW against Adam with L2"],
    ),
    "amsgrad": (
        lambda p: O.Adam(p, lr=0.1, betas=(0.9, 0.9), amsgrad=True),
        lambda: optax.amsgrad(0.1, 0.9, 0.9),
        ["maximum of the corrected moment against maximum before correction"],
    ),
    "rmsprop": (
        lambda p: O.RMSprop(p),
        lambda: optax.rmsprop(1e-2),
        ["eps inside the root against eps outside the root", "decay 0.9 against 0.99"],
    ),
    "rmsprop made equal": (
        lambda p: O.RMSprop(p, alpha=0.9, centered=True),
        lambda: optax.rmsprop(1e-2, centered=True, eps_in_sqrt=False),
        [],
    ),
    "adagrad": (
        lambda p: O.Adagrad(p),
        lambda: optax.adagrad(1e-2),
        [  # optax's eps of 1e-7 is inside the root and adds to the accumulator; outside it has less than 1e-14
            "eps too small to be seen against eps outside the root",
            "initial accumulator value 0.1000001 against no initial accumulator value",
        ],
    ),
    "adadelta": (lambda p: O.Adadelta(p), lambda: optax.adadelta(1.0), []),
    "clipping": (
        lambda p: O.SGD(p, lr=0.03, momentum=0.5),
        lambda: optax.chain(optax.clip_by_global_norm(4.0), optax.sgd(0.03, 0.5)),
        ["gradients clipped by their global norm against gradients clipped by their global norm plus 1e-6"],
    ),
    "a schedule": (
        lambda p: O.SGD(p, lr=0.03, momentum=0.9),
        lambda: optax.sgd(optax.cosine_decay_schedule(0.03, 50), 0.9),
        ["learning rate cosine from 0.03 over 50 steps against constant: at step 2 lr 0.0299704 against 0.03"],
    ),
}
QUICK = {"nesterov against plain"}


@cache
def found(name: str, dtype: str) -> tuple[Identified, Identified]:
    theirs, other, _ = PAIRS[name]
    clip: Callable[[list[Any]], Any] | None = None
    if name == "clipping":
        clip = lambda p: torch.nn.utils.clip_grad_norm_(p, 4.0)  # noqa: E731
    return identify(*optax_run(other(), dtype), dtype), identify(*torch_run(theirs, dtype, clip=clip), dtype)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in PAIRS])
def test_each_pair_agrees_or_is_said_to_differ(name: str) -> None:
    expected = PAIRS[name][2]
    said = compare(*found(name, "float64"))
    assert len(said) == len(expected), said
    for words, start in zip(sorted(said), sorted(expected), strict=True):
        assert words.startswith(start)


@pytest.mark.slow
@pytest.mark.variation
@pytest.mark.parametrize("name", PAIRS)
def test_in_float32_no_pair_that_agrees_is_said_to_differ(name: str) -> None:
    said = compare(*found(name, "float32"))
    if not PAIRS[name][2]:
        assert said == []
    # What float32 does not show is not claimed
    assert not (name == "adam, eps_root" and said)


@pytest.mark.slow
def test_a_schedule_read_one_step_late_is_called_that() -> None:
    def run(late: int) -> Identified:
        def update(t: int, p: Any, g: Any, state: dict[str, Any]) -> Any:
            state["v"] = 0.9 * state.get("v", 0) + g
            return p - 0.03 * 0.9 ** max(t - 1 - late, 0) * state["v"]

        return identify(*numpy_run(update, "float64"), "float64")

    assert compare(run(0), run(1)) == ["the second reads its schedule one step later"]
    assert compare(run(1), run(0)) == ["the first reads its schedule one step later"]
    assert compare(run(1), run(1)) == []


@pytest.mark.slow
def test_what_is_not_known_is_said_and_not_compared() -> None:
    known = identify(*numpy_run(lambda t, p, g, s: p - 0.01 * g, "float64"), "float64")
    unknown = identify(*numpy_run(lambda t, p, g, s: p - 0.01 * g * (1 + p * p), "float64"), "float64")
    assert compare(known, unknown) == ["the rule of the second is not known"]


@pytest.mark.slow
def test_differences_of_one_block_name_it() -> None:
    def make(decay: float) -> Identified:
        def groups(params: list[Any]) -> Any:
            return O.SGD([{"params": params[:1]}, {"params": params[1:], "weight_decay": decay}], lr=0.03, momentum=0.5)

        return identify(*torch_run(groups, "float64"), "float64")

    assert compare(make(0.0), make(0.1)) == ["b: no weight decay against weight decay 0.1"]
