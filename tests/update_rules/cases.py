"""Optimisers of torch.optim and optax, and what each is to be named."""

from __future__ import annotations

from typing import Any

import pytest

from gradparity.numerics.update_rules import Identified, Rule

torch = pytest.importorskip("torch")
optax = pytest.importorskip("optax")

O = torch.optim  # noqa: E741
#: Optimiser, the name that is expected, its learning rate, its numbers, and of its form what is not the default.
Case = tuple[Any, str, float, dict[str, float], dict[str, Any]]
OUTSIDE = {"eps": "outside"}
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
FAST = (0.9, 0.95)
LESS = {"b1": 0.9, "b2": 0.95}
NESTEROV = ("SGD with Nesterov momentum", 0.03, {"momentum": 0.9}, dict[str, Any]())
TORCH: dict[str, Case] = {
    "sgd": (lambda p: O.SGD(p, lr=0.03), "SGD", 0.03, {}, {}),
    "momentum": (lambda p: O.SGD(p, lr=0.03, momentum=0.9), "SGD with momentum", 0.03, {"momentum": 0.9}, {}),
    "nesterov": (lambda p: O.SGD(p, lr=0.03, momentum=0.9, nesterov=True), *NESTEROV),
    "dampening": (
        lambda p: O.SGD(p, lr=0.03, momentum=0.9, dampening=0.3),
        "SGD with momentum",
        0.03,
        {"momentum": 0.9, "dampening": 0.3},
        {"velocity": "dampened"},
    ),
    "weight decay": (
        lambda p: O.SGD(p, lr=0.03, momentum=0.9, weight_decay=0.02),
        "SGD with momentum",
        0.03,
        {"momentum": 0.9, "weight_decay": 0.02},
        {"decay": "l2"},
    ),
    "adam": (lambda p: O.Adam(p, lr=1e-2), "Adam", 1e-2, ADAM, OUTSIDE),
    "adam l2": (
        lambda p: O.Adam(p, lr=1e-2, weight_decay=0.02),
        "Adam with L2",
        1e-2,
        {**ADAM, "weight_decay": 0.02},
        {**OUTSIDE, "decay": "l2"},
    ),
    "adamw": (
        lambda p: O.AdamW(p, lr=1e-2),
        "AdamW",
        1e-2,
        {**ADAM, "weight_decay": 0.01},
        {**OUTSIDE, "decay": "decoupled"},
    ),
    "amsgrad": (
        lambda p: O.Adam(p, lr=0.1, betas=(0.9, 0.9), amsgrad=True),
        "AMSGrad",
        0.1,
        {"b1": 0.9, "b2": 0.9, "eps": 1e-8},
        OUTSIDE,
    ),
    "rmsprop": (lambda p: O.RMSprop(p), "RMSprop", 1e-2, {"decay": 0.99, "eps": 1e-8}, OUTSIDE),
    "rmsprop centred": (
        lambda p: O.RMSprop(p, centered=True, momentum=0.5),
        "RMSprop with momentum",
        1e-2,
        {"decay": 0.99, "eps": 1e-8, "momentum": 0.5},
        {**OUTSIDE, "centred": True},
    ),
    "adagrad": (lambda p: O.Adagrad(p), "Adagrad", 1e-2, {"eps": 1e-10}, OUTSIDE),
    "adagrad started": (
        lambda p: O.Adagrad(p, initial_accumulator_value=0.1),
        "Adagrad",
        1e-2,
        {"eps": 1e-10, "initial_accumulator_value": 0.1},
        OUTSIDE,
    ),
    "adadelta": (lambda p: O.Adadelta(p), "Adadelta", 1.0, {"rho": 0.9, "eps": 1e-6}, {}),
    "adamax": (lambda p: O.Adamax(p, lr=1e-2, betas=FAST), "AdaMax", 1e-2, {**LESS, "eps": 1e-8}, OUTSIDE),
    "nadam": (lambda p: O.NAdam(p, lr=1e-2), "NAdam", 1e-2, {**ADAM, "momentum_decay": 0.004}, OUTSIDE),
    "radam": (lambda p: O.RAdam(p, lr=1e-2, betas=FAST), "RAdam", 1e-2, {**LESS, "eps": 1e-8}, {"eps": "hat"}),
}
INSIDE = {"eps": "inside"}
OPTAX: dict[str, Case] = {
    "sgd": (lambda: optax.sgd(0.03), "SGD", 0.03, {}, {}),
    "nesterov": (lambda: optax.sgd(0.03, 0.9, nesterov=True), *NESTEROV),
    "adam": (lambda: optax.adam(1e-2), "Adam", 1e-2, ADAM, OUTSIDE),
    "adam, eps_root": (
        lambda: optax.adam(1e-2, eps=0.0, eps_root=1e-8),
        "Adam",
        1e-2,
        ADAM,
        INSIDE,
    ),
    "adamw": (
        lambda: optax.adamw(1e-2),
        "AdamW",
        1e-2,
        {**ADAM, "weight_decay": 1e-4},
        {**OUTSIDE, "decay": "decoupled"},
    ),
    "amsgrad": (
        lambda: optax.amsgrad(0.1, 0.9, 0.9),
        "AMSGrad",
        0.1,
        {"b1": 0.9, "b2": 0.9, "eps": 1e-8},
        {**OUTSIDE, "maximum_of_corrected": True},
    ),
    "rmsprop": (lambda: optax.rmsprop(1e-2), "RMSprop", 1e-2, {"decay": 0.9, "eps": 1e-8}, INSIDE),
    "rmsprop corrected": (
        lambda: optax.rmsprop(1e-2, bias_correction=True),
        "RMSprop",
        1e-2,
        {"decay": 0.9, "eps": 1e-8},
        {**INSIDE, "bias": "second"},
    ),
    "rmsprop centred": (
        lambda: optax.rmsprop(1e-2, centered=True),
        "RMSprop",
        1e-2,
        {"decay": 0.9, "eps": 1e-8},
        {**INSIDE, "centred": True},
    ),
    "rmsprop started": (
        lambda: optax.rmsprop(1e-2, initial_scale=1.0),
        "RMSprop",
        1e-2,
        {"decay": 0.9, "eps": 1e-8, "initial_scale": 1.0},
        INSIDE,
    ),
    "adagrad": (lambda: optax.adagrad(1e-2), "Adagrad", 1e-2, {"initial_accumulator_value": 0.1 + 1e-7}, {}),
    "adadelta": (lambda: optax.adadelta(1.0), "Adadelta", 1.0, {"rho": 0.9, "eps": 1e-6}, {}),
    "adamax": (lambda: optax.adamax(1e-2, *FAST), "AdaMax", 1e-2, {**LESS, "eps": 1e-8}, OUTSIDE),
    "nadam": (lambda: optax.nadam(1e-2), "NAdam", 1e-2, ADAM, {**OUTSIDE, "nesterov": True}),
    "radam": (lambda: optax.radam(1e-2, *FAST), "RAdam", 1e-2, {**LESS, "eps": 1e-8}, OUTSIDE),
    "adabelief": (
        lambda: optax.adabelief(1e-2),
        "AdaBelief",
        1e-2,
        {"b1": 0.9, "b2": 0.999, "eps": 1e-16},
        {"eps": "inside sum"},
    ),
    "yogi": (
        lambda: optax.yogi(1e-2),
        "Yogi",
        1e-2,
        {"b1": 0.9, "b2": 0.999, "eps": 1e-3, "initial_accumulator_value": 1e-6},
        OUTSIDE,
    ),
    "signum": (lambda: optax.signum(1e-2, 0.9), "sign SGD with momentum", 1e-2, {"momentum": 0.9}, {}),
}
QUICK = frozenset({"momentum", "nesterov"})


def marked(cases: dict[str, Case], quick: frozenset[str] = QUICK) -> list[Any]:
    return [
        pytest.param(case, marks=() if name in quick else pytest.mark.slow, id=name) for name, case in cases.items()
    ]


def is_named(found: Identified, case: Case) -> Rule:
    _, name, rate, numbers, form = case
    (group,) = found.groups
    assert group.rule is not None, group.why
    assert group.rule.name == name
    assert group.rule.learning_rate == pytest.approx([rate], rel=1e-12)
    assert group.rule.numbers == pytest.approx(numbers, rel=1e-9)
    for field, value in form.items():
        assert getattr(group.rule.form, field) == value
    assert group.deviation < 100
    assert group.holds_until == found.steps
    # AMSGrad takes Adam's steps where the second moment only grew
    assert {rival.form.method for rival in group.rivals} <= ({"amsgrad"} if "Adam" in name else set())
    return group.rule
