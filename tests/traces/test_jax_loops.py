"""What JAX's recorder tells of scans, branches and loops: iteration by iteration, as far as there is room."""

from __future__ import annotations

import numpy as np
import pytest

from tests.traces.jax_book import DATA, PARAMS, assert_right, of, of_expression


def test_a_call_that_a_loop_repeats_is_no_part_of_the_one_before():
    import jax.numpy as jnp

    def loss(params, data):
        b = params["b"]
        for _ in range(3):
            b = jnp.sin(b)
        return b.sum()

    found = of(loss)
    assert len(of_expression(found, "jnp.sin(b)")) == 3


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_is_told_iteration_by_iteration(reverse: bool):
    import jax
    import jax.numpy as jnp

    def loss(params, data):
        def step(h, x):
            h = jnp.tanh(h @ params["w"] + x)
            return h, h * x

        last, all_of_them = jax.lax.scan(step, params["b"], data["x"], reverse=reverse)
        return last.sum() + (all_of_them**2).sum()

    found, h = of(loss), PARAMS["b"]
    assert_right(found, loss)
    rows = DATA["x"][::-1] if reverse else DATA["x"]
    told = of_expression(found, 'jnp.tanh(h @ params["w"] + x)')
    assert len(told) == len(rows)
    for number, x in zip(told, rows, strict=True):
        h = np.tanh(h @ PARAMS["w"] + x)
        np.testing.assert_allclose(found.values[number], h, rtol=1e-13)
    (stack,) = (i for i, step in enumerate(found.steps) if step.operation == "scan")
    (last,) = (i for i in told if i in found.steps[-3].inputs or i in found.steps[told[-1] + 1].inputs)
    np.testing.assert_allclose(found.cotangents[stack], 2 * found.values[stack], rtol=1e-13)
    np.testing.assert_allclose(found.cotangents[last], 1 + 2 * found.values[last] * rows[-1] ** 2, rtol=1e-12)


def test_a_branch_that_is_taken_is_told_and_a_loop_that_ends_by_its_values():
    import jax
    import jax.numpy as jnp

    def loss(params, data):
        b = params["b"]
        taken = jax.lax.cond(b[0] > 100, lambda b: jnp.cos(b), lambda b: jnp.sin(b), b)
        stop = jax.lax.stop_gradient(b)
        _, power = jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 1.5), (0, stop))
        return (taken * power).sum()

    found = of(loss)
    assert_right(found, loss)
    assert of_expression(found, "jnp.sin(b)")
    assert not of_expression(found, "jnp.cos(b)")
    powers = of_expression(found, "s[1] * 1.5")
    np.testing.assert_allclose([found.values[i] for i in powers], [PARAMS["b"] * 1.5**n for n in (1, 2, 3)], rtol=1e-15)


@pytest.mark.parametrize("reverse", [False, True])
def test_of_a_loop_with_more_results_than_are_told_the_first_are_and_the_rest_is_evaluated_as_one(
    monkeypatch: pytest.MonkeyPatch, reverse: bool
):
    import jax
    import jax.numpy as jnp

    from gradparity.backends.traces import jax_trace

    def loss(params, data):
        def step(h, x):
            h = jnp.tanh(h * params["b"] + x)
            return h, h * x

        last, all_of_them = jax.jit(lambda b, x: jax.lax.scan(step, b, x, reverse=reverse))(params["b"], data["x"])
        return last.sum() + (all_of_them**2).sum()

    whole = of(loss)
    monkeypatch.setattr(jax_trace, "MOST_OF_A_LOOP", 9)
    found = of(loss)
    assert_right(found, loss)
    steps = of_expression(found, 'jnp.tanh(h * params["b"] + x)')
    assert len(steps) == 2
    for got, expected in zip(steps, of_expression(whole, 'jnp.tanh(h * params["b"] + x)'), strict=False):
        np.testing.assert_allclose(found.values[got], whole.values[expected], rtol=1e-14)
        np.testing.assert_allclose(found.cotangents[got], whole.cotangents[expected], rtol=1e-12)
