"""A rule drawn at random, with hyperparameters of any digits, is found, or what is found takes the same steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gradparity.numerics.update_rules import Group, identify, steps
from gradparity.numerics.update_rules.rules import Form
from tests.update_rules.drawn_rules import FORMS, drawn, taken

#: Known by a grid of its numbers only; at its first step there is nothing but rounding under the root.
SPARE_FORMS = [
    form
    for form in FORMS
    if form.method != "lion" and not (form.centred and form.bias == "second") and form.clip == "none"
]
#: Each method as most people have it.
USUAL_FORMS = [form for form in FORMS if form.decay == form.clip == "none" and not form.summed]


@pytest.mark.slow
@pytest.mark.variation
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@settings(max_examples=5, deadline=None)
@given(form=st.sampled_from(SPARE_FORMS), seed=st.integers(0, 2**30))
def test_a_drawn_rule_is_found_and_takes_the_steps_of_the_run(dtype: str, form: Form, seed: int) -> None:
    numbers, rate = drawn(form, seed)
    path, gradients = taken(form, numbers, rate, dtype, seed)
    assume(np.all(np.isfinite(path)))
    (group,) = identify(path, gradients, dtype).groups
    if dtype == "float64":  # which shows every number
        assert group.rule is not None, group.why
        assert group.rule.learning_rate == pytest.approx([rate], rel=1e-4)
    if group.rule is not None and group.holds_until == len(gradients):
        takes_the_steps(group, path, gradients)


@pytest.mark.slow
@pytest.mark.variation
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("steps", [1, 2, 3])
@settings(max_examples=4, deadline=None)
@given(form=st.sampled_from(USUAL_FORMS), n=st.integers(1, 8), seed=st.integers(0, 2**30))
def test_in_a_few_steps_no_rule_is_named_that_is_another(dtype: str, steps: int, form: Form, n: int, seed: int) -> None:
    numbers, rate = drawn(form, seed)
    path, gradients = taken(form, numbers, rate, dtype, seed, n=n, steps=steps)
    assume(np.all(np.isfinite(path)))
    (group,) = identify(path, gradients, dtype).groups
    if group.certain and group.rule is not None and not group.frozen:
        assert steps > 1  # which shows nothing of what a rule remembers
        same = {form.method} | ({"sgd"} if numbers.get("momentum", 1) == 0 else set())
        assert group.rule.form.method in same, str(group)


@pytest.mark.slow
@pytest.mark.variation
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**30))
def test_moves_that_follow_no_rule_are_not_known(seed: int) -> None:
    rng = np.random.default_rng(seed)
    (group,) = identify(rng.normal(size=(16, 30)), rng.normal(size=(15, 30)), "float64").groups
    assert group.rule is None


def takes_the_steps(group: Group, path: Any, gradients: Any) -> None:
    """The rule's own path in extended precision stays with the run's, as far as rounding lets it."""
    assert group.rule is not None
    unit = float(np.finfo(path.dtype).eps)
    own = steps(group.rule, {"p": path[0]}, [{"p": g} for g in gradients])
    off = np.abs(np.array([each["p"] for each in own], float) - path).max()
    moved = np.abs(np.diff(path, axis=0)).sum(axis=0).max()
    assert off <= 1e4 * unit * (np.abs(path).max() + moved)
