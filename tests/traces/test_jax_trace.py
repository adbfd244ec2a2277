"""What JAX's recorder tells: values and gradients against JAX itself, cotangents against taps, lines against the text.

The text of this file is what a place is held against: the expression that it spans.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradparity import tap
from gradparity.backends.traces import Step
from gradparity.worker.recording import record as record_taps
from gradparity.worker.tracing import Ledger
from tests.conftest import configured

HERE = Path(__file__)
RNG = np.random.default_rng(11)
PARAMS = {"w": 0.5 * RNG.standard_normal((4, 4)), "b": RNG.standard_normal(4)}
DATA = {"x": RNG.standard_normal((6, 4)), "k": np.array([2, 0, 1])}


@pytest.fixture(name="of")
def _of() -> Callable[..., Any]:
    backend = configured("jax")

    def of(loss: Any, params: Any = PARAMS, data: Any = DATA) -> Any:
        ledger = Ledger(HERE.parent)
        backend.recorder().record(loss, backend.put(params), backend.put(data), ledger)  # type: ignore[attr-defined]
        return SimpleNamespace(
            ledger=ledger, steps=ledger.steps, values=ledger.values, cotangents=ledger.cotangents, names=ledger.names
        )

    return of


def expression(step: Step) -> str:
    place = step.place
    lines = Path(place.file).read_text("utf-8").splitlines()[place.line - 1 : place.end_line]
    lines[-1] = lines[-1][: place.end_column]
    lines[0] = lines[0][place.column :]
    return " ".join(line.strip() for line in lines)


def calls(found: Any) -> list[str]:
    """What the user called, in order: the expressions of all but parts."""
    return [expression(step) for i, step in enumerate(found.steps) if i not in found.names and not step.part]


def of_expression(found: Any, text: str) -> list[int]:
    return [
        i for i, step in enumerate(found.steps) if i not in found.names and not step.part and expression(step) == text
    ]


def assert_right(found: Any, loss: Any, params: Any = PARAMS, data: Any = DATA) -> None:
    """The last value is the loss, and the cotangents of the parameters are its gradient, as JAX has both."""
    import jax

    value, gradient = jax.jit(jax.value_and_grad(loss))(params, data)
    np.testing.assert_allclose(found.values[-1], value, rtol=1e-13)
    told = {name: found.cotangents.get(number) for number, name in found.names.items()}
    assert set(told) == {*params, *data}
    for name in params:
        got = np.zeros_like(gradient[name]) if told[name] is None else told[name]
        np.testing.assert_allclose(got, gradient[name], rtol=1e-11, atol=1e-13, err_msg=name)
    assert all(told[name] is None for name in data)
    for number, cotangent in found.cotangents.items():
        assert cotangent.shape == found.values[number].shape


def test_an_expression_has_its_place_and_a_call_of_many_operations_has_parts(of: Any):
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


def test_inputs_are_numbers_of_what_was_read_and_literals_have_none(of: Any):
    found = of(lambda params, data: ((2.0 * params["b"]) * data["x"][0]).sum())
    product = next(i for i, step in enumerate(found.steps) if step.operation == "mul" and len(step.inputs) == 2)
    doubled, row = found.steps[product].inputs
    assert [found.names[i] for i in found.steps[doubled].inputs] == ["b"]
    np.testing.assert_array_equal(found.values[doubled], 2 * PARAMS["b"])
    np.testing.assert_array_equal(found.values[row], DATA["x"][0])


def test_cotangents_are_those_of_taps_at_the_same_values(of: Any):
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


def test_a_function_that_the_user_compiles_is_told_at_each_of_its_calls(of: Any):
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


def test_a_call_that_a_loop_repeats_is_no_part_of_the_one_before(of: Any):
    import jax.numpy as jnp

    def loss(params, data):
        b = params["b"]
        for _ in range(3):
            b = jnp.sin(b)
        return b.sum()

    found = of(loss)
    assert len(of_expression(found, "jnp.sin(b)")) == 3


def test_a_derivative_within_the_loss_is_a_call_where_it_is_asked_for_and_its_way_forward_has_its_own_lines(of: Any):
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


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_is_told_iteration_by_iteration(of: Any, reverse: bool):
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


def test_a_branch_that_is_taken_is_told_and_a_loop_that_ends_by_its_values(of: Any):
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


def test_a_stop_of_the_gradient_is_told_and_no_cotangent_passes_it(of: Any):
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


def test_what_is_zero_by_structure_has_no_cotangent(of: Any):
    import jax.numpy as jnp

    found = of(lambda params, data: (jnp.floor(params["b"] * 2) * params["b"]).sum())
    (rounded,) = (i for i, step in enumerate(found.steps) if step.operation == "floor")
    np.testing.assert_array_equal(found.cotangents[rounded], PARAMS["b"])
    assert found.steps[rounded].inputs[0] not in found.cotangents


def test_rules_of_the_users_own_are_followed_and_what_is_within_them_has_values(of: Any):
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
    assert_close(found.cotangents[doubled], np.full(4, 5.0))
    assert_close(found.cotangents[0], np.full(4, 15.0))


@pytest.mark.slow
def test_what_is_recomputed_mapped_indexed_random_complex_or_called_back_is_recorded_too(of: Any):
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


@pytest.mark.parametrize("reverse", [False, True])
def test_of_a_loop_with_more_results_than_are_told_the_first_are_and_the_rest_is_evaluated_as_one(
    of: Any, monkeypatch: pytest.MonkeyPatch, reverse: bool
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


def test_a_program_with_arrays_that_it_writes_into_is_refused_in_words(of: Any):
    import jax

    if not hasattr(jax, "new_ref"):
        pytest.skip("this JAX has no such arrays")

    def loss(params, data):
        total = jax.new_ref(params["b"])
        total[...] = total[...] * 2
        return total[...].sum()

    with pytest.raises(RuntimeError, match="cannot be recorded"):
        of(loss)


def test_integers_and_float32_keep_their_dtypes(of: Any):
    import jax.numpy as jnp

    params = {"b": PARAMS["b"].astype(np.float32)}
    found = of(lambda params, data: (params["b"][data["k"]] * jnp.float32(0.1)).sum(), params, {"k": DATA["k"]})
    assert found.values[-1].dtype == np.float32
    assert {value.dtype.name for i, value in enumerate(found.values) if found.names.get(i) == "k"} == {"int64"}
    assert {cotangent.dtype.name for cotangent in found.cotangents.values()} == {"float32"}
