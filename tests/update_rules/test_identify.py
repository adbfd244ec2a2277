"""Schedules, blocks, clipping, runs that are too short and rules that are not known: what is said of each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.numerics.update_rules import Form, Group, Rule, identify, schedules
from gradparity.numerics.update_rules.forms import LEVELS, numbers_of
from tests.update_rules.cases import ADAM, OUTSIDE, Case, is_named, marked
from tests.update_rules.runs import numpy_run, optax_run, torch_run

torch = pytest.importorskip("torch")
optax = pytest.importorskip("optax")

O = torch.optim  # noqa: E741
S = torch.optim.lr_scheduler


def course(scheduler: Callable[[Any], Any]) -> Rule:
    path, gradients = torch_run(lambda p: O.SGD(p, lr=0.03, momentum=0.9), "float64", scheduler=scheduler)
    rule = identify(path, gradients, "float64").rule
    assert rule is not None
    assert rule.numbers == {"momentum": 0.9}
    return rule


def after(optimiser: Any, steps: int, then: Any) -> Any:
    return S.SequentialLR(optimiser, [S.ConstantLR(optimiser, 1.0), then], [steps])


SCHEDULES: tuple[tuple[Any, str], ...] = (
    (lambda o: S.CosineAnnealingLR(o, 50), "cosine from 0.03 over 50 steps"),
    (lambda o: S.ExponentialLR(o, 0.95), "exponential, times 0.95 a step"),
    (lambda o: S.StepLR(o, 6, 0.5), "step decay, times 0.5 at step 7, 13, 19"),
    (lambda o: S.LambdaLR(o, lambda t: 1 - t / 40), "linear, -0.00075 a step"),
    (lambda o: S.LambdaLR(o, lambda t: 1 / (1 + 0.1 * t)), "inverse time decay, 0.1 a step"),
    (lambda o: after(o, 5, S.ExponentialLR(o, 0.9)), "constant up to step 5, then exponential, times 0.9 a step"),
    (
        lambda o: after(o, 8, S.CosineAnnealingLR(o, 30)),
        "constant up to step 8, then cosine from 0.03 over 30 steps",
    ),
    (lambda o: S.LambdaLR(o, lambda t: t >= 4), "0 up to step 4, then constant"),
    (lambda o: S.LambdaLR(o, lambda t: t < 15), "constant up to step 15, then 0"),
    (lambda o: S.LambdaLR(o, lambda t: 1 + (t >= 9)), "step growth, times 2 at step 10"),
    (
        lambda o: S.LambdaLR(o, lambda t: 0.9 ** (t - 3) if t > 2 else 0),
        "0 up to step 3, then exponential, times 0.9 a step",
    ),
)


@pytest.mark.parametrize(("scheduler", "words"), SCHEDULES)
def test_a_schedule_is_named_where_it_runs_through_every_step(scheduler: Any, words: str) -> None:
    optimiser = O.SGD([torch.zeros(1, requires_grad=True)], lr=0.03)
    stepped, rates = scheduler(optimiser), []
    for _ in range(20):
        rates.append(stepped.get_last_lr()[0])
        optimiser.step()
        stepped.step()
    low, high = np.array(rates) * (1 - 1e-12), np.array(rates) * (1 + 1e-12) + 1e-18
    name, found = schedules.course(low, high, 2.0**-53)
    assert name == words
    assert found == pytest.approx(rates, rel=1e-9, abs=1e-17)


def test_rates_that_hardly_change_are_of_no_known_course() -> None:
    rates = 7.80668e-06 + 4e-11 * np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, size=7))
    for unit, part in ((2.0**-24, 1e-7), (2.0**-53, 1e-13)):
        assert schedules.course(rates * (1 - part), rates * (1 + part), unit)[0] == ""


@pytest.mark.slow
def test_a_schedule_of_a_run_is_named() -> None:
    scheduler, words = SCHEDULES[0]
    assert course(scheduler).schedule == words


@pytest.mark.slow
def test_a_schedule_of_no_known_course_is_said_to_be_that() -> None:
    rates = np.random.default_rng(0).uniform(0.2, 1, size=21)
    rule = course(lambda o: S.LambdaLR(o, lambda t: rates[t]))
    assert rule.schedule == ""
    assert rule.learning_rate == pytest.approx(0.03 * rates[:20], rel=1e-9)


@pytest.mark.slow
def test_a_learning_rate_inside_the_velocity_is_seen_once_it_changes() -> None:
    # Keras's SGD: v <- mu v - lr g, p <- p + v, and with Nesterov p <- p + mu v - lr g
    def keras(nesterov: bool) -> Any:
        def update(t: int, p: Any, g: Any, state: dict[str, Any]) -> Any:
            rate = 0.02 * (1 - t / 40)
            v = state["v"] = 0.8 * state.get("v", 0) - rate * g
            return p + (0.8 * v - rate * g if nesterov else v)

        return update

    for nesterov in (False, True):
        (group,) = identify(*numpy_run(keras(nesterov), "float64"), "float64").groups
        assert group.rule is not None
        assert (group.rule.form.velocity, group.rule.form.nesterov, group.rivals) == ("inside", nesterov, ())
        assert group.rule.numbers == pytest.approx({"momentum": 0.8}, rel=1e-9)
        assert group.rule.schedule == "linear, -0.0005 a step"


@pytest.mark.slow
def test_decay_that_does_not_follow_the_schedule_is_seen() -> None:
    def update(t: int, p: Any, g: Any, state: dict[str, Any]) -> Any:
        return adam(t, p, g, state, lr=0.01 * (1 - t / 40)) - 0.001 * p

    (group,) = identify(*numpy_run(update, "float64"), "float64").groups
    assert group.rule is not None
    assert group.rule.form.decay == "unscaled"
    assert group.rule.numbers == pytest.approx({**ADAM, "weight_decay": 0.001}, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clip", "kind"),
    [
        (lambda p: torch.nn.utils.clip_grad_norm_(p, 4.0), "norm + 1e-6"),
        (lambda p: torch.nn.utils.clip_grad_value_(p, 1.0), "value"),
    ],
)
def test_clipping_before_the_step_is_seen(clip: Any, kind: str) -> None:
    path, gradients = torch_run(lambda p: O.SGD(p, lr=0.03, momentum=0.5), "float64", clip=clip)
    (group,) = identify(path, gradients, "float64").groups
    assert group.rule is not None
    assert group.rule.form.clip == kind
    assert group.rule.numbers == pytest.approx({"momentum": 0.5, "clip": 4.0 if "norm" in kind else 1.0}, rel=1e-9)


@pytest.mark.slow
def test_blocks_that_follow_rules_of_their_own_are_told_apart() -> None:
    def make(params: list[Any]) -> Any:
        return O.AdamW([{"params": params[:1]}, {"params": params[1:], "weight_decay": 0.0}], lr=1e-2, weight_decay=0.1)

    by_blocks = {group.blocks: group.rule for group in identify(*torch_run(make, "float64"), "float64").groups}
    assert {blocks: rule and rule.name for blocks, rule in by_blocks.items()} == {("w",): "AdamW", ("b",): "Adam"}


def test_a_block_that_never_moves_is_frozen() -> None:
    found = identify(*torch_run(lambda p: O.SGD(p[:1], lr=0.03), "float64"), "float64")
    moving, still = found.groups
    assert (moving.blocks, still.blocks, still.frozen, str(still)) == (("w",), ("b",), True, "not updated")
    assert found.rule is not None
    assert found.rule.name == "SGD"


def test_a_block_that_never_moves_is_told_why_where_its_gradient_has_nothing_to_move_it() -> None:
    path, gradients = torch_run(lambda p: O.SGD(p[:1], lr=0.03), "float64")
    gradients["b"] = gradients["b"] * 1e-18
    errors = {name: np.full_like(value, 1e-15) for name, value in gradients.items()}
    still = identify(path, gradients, "float64", gradient_errors=errors).groups[-1]
    assert (still.blocks, str(still)) == (("b",), "not updated: its gradient is nothing but rounding")
    gradients["b"] = gradients["b"] * 0
    assert str(identify(path, gradients, "float64").groups[-1]) == "not updated: its gradient is 0 at every step"


def test_a_deadline_that_has_passed_is_said() -> None:
    path, gradients = torch_run(lambda p: O.Adam(p, lr=1e-2), "float64")
    assert "none of the rules that were tried in 0 s holds" in str(identify(path, gradients, "float64", seconds=0))


@pytest.mark.slow
def test_entries_that_few_rules_are_looked_for_at_do_not_hide_the_others() -> None:
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(10, 5_000))
    path = np.cumsum(np.vstack([np.full((1, 5_000), 10.0), -0.01 * gradients]), axis=0)
    assert str(identify(path, gradients, "float64")) == "SGD (lr 0.01)"
    path[5:, 4_321] += 1e-9
    assert identify(path, gradients, "float64").rule is None


@pytest.mark.slow
def test_one_step_does_not_tell_sgd_from_momentum() -> None:
    path, gradients = torch_run(lambda p: O.SGD(p, lr=0.03, momentum=0.9), "float64", steps=1)
    (group,) = identify(path, gradients, "float64").groups
    assert group.rule is not None
    assert {group.rule.name, *(rival.name for rival in group.rivals)} >= {"SGD", "SGD with momentum"}
    assert not group.certain


@pytest.mark.parametrize(
    "case",
    marked(
        {
            "sgd": (lambda p: O.SGD(p, lr=1e-3), "SGD", 1e-3, {}, {}),
            "momentum": (lambda p: O.SGD(p, lr=1e-3, momentum=0.9), "SGD with momentum", 1e-3, {"momentum": 0.9}, {}),
            "adam": (lambda p: O.Adam(p, lr=3e-2), "Adam", 3e-2, ADAM, OUTSIDE),
        },
        frozenset({"momentum"}),
    ),
)
def test_a_missing_zero_grad_is_named(case: Case) -> None:
    rule = is_named(identify(*torch_run(case[0], "float64", zero_grad=False), "float64"), case)
    assert rule.form.summed
    assert "is `optimizer.zero_grad()` missing?" in str(rule)


def test_one_step_tells_no_block_s_rule_from_another_whatever_its_rate() -> None:
    path, gradients = optax_run(optax.lars(0.01), "float64", steps=1)
    assert not any(group.certain for group in identify(path, gradients, "float64").groups)


CLIPPED: dict[str, tuple[Any, dict[str, float]]] = {
    "sgd": (lambda: optax.sgd(0.01), {"lr * clip": 0.005}),
    "momentum": (lambda: optax.sgd(0.01, 0.9), {"lr * clip": 0.005}),
    "adam": (lambda: optax.adam(0.01, eps=1e-3), {"eps / clip": 2e-3}),
    "rmsprop": (lambda: optax.rmsprop(0.01), {"eps / clip^2": 4e-8}),
    "adagrad": (lambda: optax.adagrad(0.01, eps=0), {"initial accumulator value / clip^2": 0.4}),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n != "momentum" else ()) for n in CLIPPED])
def test_numbers_that_a_run_shows_only_together_are_told_so(name: str) -> None:
    # a gradient over its norm does not change with the scale of all of them
    make, products = CLIPPED[name]
    found = identify(*optax_run(optax.chain(optax.clip_by_global_norm(0.5), make()), "float32", steps=11), "float32")
    (group,) = found.groups
    assert group.rule is not None  # float32 may leave it open where eps stands
    rule = next(each for each in (group.rule, *group.rivals) if [*each.products] == [*products])
    assert {each: value for each, (value, *_) in rule.products.items()} == pytest.approx(products, rel=0.02)
    said = str(rule)
    assert all(f"{each} " in said for each in products)
    assert not any(f"{each} {value:.3g}" in said for each, value in rule.numbers.items() if each in rule.tied)


@pytest.mark.slow
def test_blocks_at_rates_of_their_own_are_said_to_be_that() -> None:
    # You et al., Large batch training of convolutional networks, 2017: LARS' rate of a block follows its norms
    said = str(identify(*optax_run(optax.lars(0.5, 0.0, momentum=0.8), "float64"), "float64"))
    assert said.count("SGD") == 1
    assert "consistent with SGD" in said
    assert "at a learning rate of its own for each block and step" in said
    assert "each block its own rate (LARS and LAMB do so, and parameter groups)" in said


def test_no_words_of_a_rule_say_the_same_twice() -> None:
    for form in dict.fromkeys(form for forms, _ in LEVELS for form in forms):
        words = str(Rule(form, dict.fromkeys(numbers_of(form), 0.5), (0.1,)))
        parts = words.partition(" (")[2].split(", ")
        assert not any(other is not each and other.startswith(each) for each in parts for other in parts), words


def test_of_many_rivals_two_are_named() -> None:
    rules = [Rule(Form(method), {}, (0.1,)) for method in ("sgd", "momentum", "sign", "adagrad", "sgd")]
    assert str(Group(("w",), rules[0], tuple(rules[1:3]))).count(" or ") == 2
    assert "SGD with momentum or sign SGD, and 2 others: not told apart" in str(
        Group(("w",), rules[0], tuple(rules[1:]))
    )


@pytest.mark.slow
def test_a_rule_that_ends_is_said_to_hold_until_then() -> None:
    def update(t: int, p: Any, g: Any, state: dict[str, Any]) -> Any:
        state["v"] = 0.9 * state.get("v", 0) + g if t != 15 else np.roll(g, 1)
        return p - 0.03 * state["v"]

    (group,) = identify(*numpy_run(update, "float64"), "float64").groups
    assert group.rule is not None
    assert (group.rule.name, group.holds_until) == ("SGD with momentum", 14)


def adam(
    t: int, p: Any, g: Any, state: dict[str, Any], *, lr: float = 1e-2, late: int = 0, where: str = "", decay: float = 0
) -> Any:
    m = state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    v = state["v"] = 0.999 * state.get("v", 0) + (1 - 0.999) * g * g
    m, v = m / (1 - 0.9 ** (t + late)), v / (1 - 0.999 ** (t + late))
    if where == "product":
        root = np.sqrt(v) * (1 + 1e-8)
    elif where == "numerator":
        m, root = m + 1e-8, np.sqrt(v)
    else:
        root = np.sqrt(v + 1e-8) if where == "inside" else np.sqrt(v) + 1e-8
    return p - lr * m / root - lr * decay * p


MUTANTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, {"adam outside both none"}),
    "t one step ahead": ({"late": 1}, {"adam outside ahead none"}),
    "eps inside": ({"where": "inside"}, {"adam inside both none"}),
    "eps as a factor": ({"where": "product"}, {"adam none both none"}),
    "eps over the line": ({"where": "numerator"}, set()),
    "decay": ({"decay": 0.02}, {"adam outside both decoupled"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_an_adam_with_one_thing_wrong_is_never_called_plain(mutant: str) -> None:
    changes, expected = MUTANTS[mutant]
    found = identify(*numpy_run(lambda *a: adam(*a, **changes), "float64"), "float64")
    (group,) = found.groups
    rules = [rule for rule in (group.rule, *group.rivals) if rule is not None and rule.form.method == "adam"]
    assert {f"{r.form.method} {r.form.eps} {r.form.bias} {r.form.decay}" for r in rules} == expected


@pytest.mark.slow
def test_what_no_rule_does_is_not_known() -> None:
    found = identify(*numpy_run(lambda t, p, g, s: p - 0.01 * np.tanh(g) * (1 + 0.1 * p), "float64"), "float64")
    assert found.rule is None
    assert "no known rule" in str(found)


def test_a_schedule_in_float32_is_a_curve_and_not_a_list_of_its_values() -> None:
    """optax takes schedules in float32 wherever its counter leads: a warm-up from 0 is not piecewise constant."""
    ramp = optax.linear_schedule(0.0, 0.01, 10)
    rates = np.array([np.float32(ramp(np.int32(k))) for k in range(40)], np.float64)
    name, _ = schedules.course(rates * (1 - 1e-13), rates * (1 + 1e-13), 2.0**-53)
    assert name == "linear warm-up over 10 steps, then constant, taken in float32"


@pytest.mark.slow
def test_two_forms_that_are_one_rule_are_no_rivals() -> None:
    """Decay of plain SGD is one thing, L2 or decoupled; the run is short, so that roundings allow both."""
    found = identify(*torch_run(lambda p: O.SGD(p, lr=0.03, weight_decay=0.01), "float64"), "float64")
    assert found.rule is not None
    assert str(found) == "SGD (lr 0.03, weight_decay 0.01)"


@pytest.mark.parametrize("ends", [(0.9989996, 0.9990004), (0.99899961, 0.99899969), (0.99, 0.9995)])
def test_the_ends_of_an_interval_are_told_apart_from_each_other_and_from_what_is_between(
    ends: tuple[float, float],
) -> None:
    between = sum(ends) / 2
    said = str(Rule(Form("adam"), {"b2": between}, (0.1,), ranges={"b2": ends}))
    found = re.search(r"b2 (\S+)(?: \((\S+) to (\S+)\))?,", said)
    assert found is not None, said
    assert found[2] is None or float(found[2]) < float(found[1]) < float(found[3])
    assert (found[2] is None) == (ends[1] - ends[0] <= 0.05 * (1 - between))
