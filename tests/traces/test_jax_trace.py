"""What JAX's recorder tells: values and gradients against JAX itself, cotangents against taps, lines against the text.

The text of this file is what a place is held against: the expression that it spans.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradparity import tap
from gradparity.worker.recording import record as record_taps
from tests.conftest import configured
from tests.traces.jax_book import DATA, PARAMS, assert_right, calls, expression, of, of_expression


def test_an_expression_has_its_place_and_a_call_of_many_operations_has_parts():
    import jax
    import jax.numpy as jnp

    def loss(params, data):
        u = data["x"] @ params["w"] + params["b"]
        h = jax.nn.gelu(u)
        n = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1) + 1e-5)[:, None]
        return jnp.mean(n[:, 0] ** 2)

    found = of(loss)
    assert_right(found, loss)
    assert calls(found) == [
        'data["x"] @ params["w"]',
        'data["x"] @ params["w"] + params["b"]',
        "jax.nn.gelu(u)",
        "h.mean(-1, keepdims=True)",
        "h - h.mean(-1, keepdims=True)",
        "h.var(-1)",
        "h.var(-1) + 1e-5",
        "jnp.sqrt(h.var(-1) + 1e-5)",
        "jnp.sqrt(h.var(-1) + 1e-5)[:, None]",
        "(h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1) + 1e-5)[:, None]",
        "n[:, 0]",
        "n[:, 0] ** 2",
        "jnp.mean(n[:, 0] ** 2)",
    ]
    tanh = next(step for step in found.steps if step.operation == "tanh")
    assert tanh.part
    assert expression(tanh) == "jax.nn.gelu(u)"
    assert found.steps[of_expression(found, "h.var(-1)")[0]].operation == "var"


def test_inputs_are_numbers_of_what_was_read_and_literals_have_none():
    found = of(lambda params, data: ((2.0 * params["b"]) * data["x"][0]).sum())
    product = next(i for i, step in enumerate(found.steps) if step.operation == "mul" and len(step.inputs) == 2)
    doubled, row = found.steps[product].inputs
    assert [found.names[i] for i in found.steps[doubled].inputs] == ["b"]
    np.testing.assert_array_equal(found.values[doubled], 2 * PARAMS["b"])
    np.testing.assert_array_equal(found.values[row], DATA["x"][0])


def test_cotangents_are_those_of_taps_at_the_same_values():
    import jax.numpy as jnp

    def loss(params, data):
        u = tap("u", data["x"] @ params["w"])
        p = tap("p", jnp.tanh(u + params["b"]))
        return (p[1] * p[0]).sum() + (u**3).sum()

    found, taps = of(loss), record_taps(configured("jax"), loss, PARAMS, DATA, draws=0)
    assert_right(found, loss)
    for name, text in (("u", 'data["x"] @ params["w"]'), ("p", 'jnp.tanh(u + params["b"])')):
        (number,) = of_expression(found, text)
        np.testing.assert_allclose(found.values[number], taps.values[f"{name}#0"], rtol=1e-14)
        np.testing.assert_allclose(found.cotangents[number], taps.cotangents[f"{name}#0"], rtol=1e-13)


def test_a_function_that_the_user_compiles_is_told_at_each_of_its_calls():
    import jax
    import jax.numpy as jnp

    @jax.jit
    def layer(x, w):
        return jnp.tanh(x @ w)

    def loss(params, data):
        x = data["x"]
        for _ in range(3):
            x = layer(x, params["w"])
        return x.sum()

    found, x = of(loss), DATA["x"]
    assert_right(found, loss)
    told = of_expression(found, "jnp.tanh(x @ w)")
    assert len(told) == 3
    for number in told:
        x = np.tanh(x @ PARAMS["w"])
        np.testing.assert_allclose(found.values[number], x, rtol=1e-13)


def test_a_derivative_within_the_loss_is_a_call_where_it_is_asked_for_and_its_way_forward_has_its_own_lines():
    import jax
    import jax.numpy as jnp

    def energy(b, scale):
        return (jnp.sin(b) ** 2 * scale).sum()

    def loss(params, data):
        force = jax.grad(energy)(params["b"], 3.0)
        vmapped = jax.vmap(jax.grad(energy), (None, 0))(params["b"], data["x"][:, 0])
        return (force**2).sum() + vmapped.sum()

    found = of(loss)
    assert_right(found, loss)
    (force,) = of_expression(found, 'jax.grad(energy)(params["b"], 3.0)')
    np.testing.assert_allclose(found.values[force], 3 * np.sin(2 * PARAMS["b"]), rtol=1e-14)
    assert of_expression(found, "jnp.sin(b)")
    last = of_expression(found, 'jax.vmap(jax.grad(energy), (None, 0))(params["b"], data["x"][:, 0])')[-1]
    np.testing.assert_allclose(found.values[last], np.outer(DATA["x"][:, 0], np.sin(2 * PARAMS["b"])), rtol=1e-14)


def test_a_stop_of_the_gradient_is_told_and_no_cotangent_passes_it():
    import jax

    def loss(params, data):
        target = jax.lax.stop_gradient(params["b"] * 2)
        return (target * params["b"]).sum()

    found = of(loss)
    assert_right(found, loss)
    (stop,) = of_expression(found, 'jax.lax.stop_gradient(params["b"] * 2)')
    assert found.steps[stop].operation == "stop_gradient"
    (before,) = found.steps[stop].inputs
    assert found.cotangents.keys().isdisjoint({stop, before})


def test_what_is_zero_by_structure_has_no_cotangent():
    import jax.numpy as jnp

    found = of(lambda params, data: (jnp.floor(params["b"] * 2) * params["b"]).sum())
    (rounded,) = (i for i, step in enumerate(found.steps) if step.operation == "floor")
    np.testing.assert_array_equal(found.cotangents[rounded], PARAMS["b"])
    assert found.steps[rounded].inputs[0] not in found.cotangents


def test_rules_of_the_users_own_are_followed_and_what_is_within_them_has_values():
    import jax
    import jax.numpy as jnp

    @jax.custom_vjp
    def backward(x):
        return jnp.sin(x) * 2.0

    backward.defvjp(lambda x: (backward(x), None), lambda _, g: (3 * g,))

    @jax.custom_jvp
    def forward(x):
        return jnp.cos(x)

    forward.defjvp(lambda primals, tangents: (forward(*primals), 5 * tangents[0]))

    def loss(params, data):
        return forward(backward(params["b"])).sum()

    found = of(loss)
    assert_right(found, loss)
    assert_close = np.testing.assert_allclose
    (sine,), (doubled,) = of_expression(found, "jnp.sin(x)"), of_expression(found, "jnp.sin(x) * 2.0")
    assert_close(found.values[sine], np.sin(PARAMS["b"]), rtol=1e-14)
    assert sine not in found.cotangents
    assert doubled not in found.cotangents  # nor has what the rule gives, as long as it is within
    (ruled,) = (n for n, step in enumerate(found.steps) if step.rule.line)
    assert "lambda _, g: (3 * g,)" in Path(__file__).read_text().splitlines()[found.steps[ruled].rule.line - 1]
    assert_close(found.values[ruled], found.values[doubled])
    assert_close(found.cotangents[ruled], np.full(4, 5.0))
    assert_close(found.cotangents[0], np.full(4, 15.0))


@pytest.mark.slow
def test_what_is_recomputed_mapped_indexed_random_complex_or_called_back_is_recorded_too():
    import jax
    import jax.numpy as jnp

    mask = np.tril(np.ones((4, 4)))

    def loss(params, data):
        x = jax.checkpoint(lambda x: jnp.sin(x) * params["b"])(data["x"])
        rows = jax.vmap(lambda row, k: jnp.dot(row, params["w"][k]), in_axes=(0, 0))(x[:3], data["k"])
        dropped = rows * jax.random.bernoulli(jax.random.key(3), 0.5, rows.shape)
        ordered = jnp.sort(params["b"])[data["k"]] * jnp.array([3.0, 1.0, 2.0])
        shape = jax.ShapeDtypeStruct((6, 4), np.float64)
        outside = jax.pure_callback(lambda x: 2 * np.asarray(x), shape, jax.lax.stop_gradient(x))
        jax.debug.print("{}", ordered)
        waves = jnp.abs(jnp.fft.fft(params["b"])) ** 2
        solved = jnp.linalg.solve(params["w"] @ params["w"].T + jnp.eye(4), params["b"])
        with jax.named_scope("layers.3"):
            masked = (params["w"] * mask).sum()
        return sum(each.sum() for each in (dropped, ordered, outside, waves, solved, masked))

    found = of(loss)
    assert_right(found, loss)
    (constant,) = (
        i for i, step in enumerate(found.steps) if step.operation == "constant" and "mask" in expression(step)
    )
    np.testing.assert_array_equal(found.values[constant], mask)
    assert found.steps[constant].module == "layers.3"
    assert sum(step.module == "layers.3" for step in found.steps) == 3


def test_a_program_with_arrays_that_it_writes_into_is_refused_in_words():
    import jax

    if not hasattr(jax, "new_ref"):
        pytest.skip("this JAX has no such arrays")

    def loss(params, data):
        total = jax.new_ref(params["b"])
        total[...] = total[...] * 2
        return total[...].sum()

    with pytest.raises(RuntimeError, match="cannot be recorded"):
        of(loss)


def test_integers_and_float32_keep_their_dtypes():
    import jax.numpy as jnp

    params = {"b": PARAMS["b"].astype(np.float32)}
    found = of(lambda params, data: (params["b"][data["k"]] * jnp.float32(0.1)).sum(), params, {"k": DATA["k"]})
    assert found.values[-1].dtype == np.float32
    assert {value.dtype.name for i, value in enumerate(found.values) if found.names.get(i) == "k"} == {"int64"}
    assert {cotangent.dtype.name for cotangent in found.cotangents.values()} == {"float32"}
