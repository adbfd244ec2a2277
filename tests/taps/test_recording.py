"""Values and cotangents as each framework records them, against the chain rule written out and against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity import tap
from gradparity.model_spec.errors import InputError
from gradparity.worker.messages import Recorded
from gradparity.worker.recording import record
from tests.conftest import configured
from tests.taps.models import DATA, DIFFERENTIATED, PARAMS, assert_close, by_hand, network, of

every = pytest.mark.parametrize("name", DIFFERENTIATED)


@every
def test_values_and_cotangents_are_those_of_the_chain_rule(name: str):
    got = of(name, network(name))
    values, cotangents = by_hand()
    assert_close(got.values, values)
    assert_close(got.cotangents, cotangents)
    assert got.differentiated


def test_numpy_records_values_alone():
    got = of("numpy", network("numpy"))
    assert_close(got.values, by_hand()[0])
    assert got.cotangents == {}
    assert not got.differentiated


@every
def test_a_tap_in_a_loop_is_numbered_call_by_call_and_taps_nest(name: str):
    def loss(params, data):
        x = params["v"]
        for _ in range(3):
            x = tap("inner", tap("outer", x * 2.0) * 1.0)
        return x.sum()

    got = of(name, loss)
    assert list(got.values) == [f"{tap}#{i}" for i in range(3) for tap in ("outer", "inner")]
    for i, times in enumerate((4.0, 2.0, 1.0)):
        np.testing.assert_array_equal(got.values[f"inner#{i}"], PARAMS["v"] * 2.0 ** (i + 1))
        np.testing.assert_array_equal(got.cotangents[f"inner#{i}"], np.full(4, times))
        np.testing.assert_array_equal(got.cotangents[f"outer#{i}"], np.full(4, times))


@every
def test_numbers_integers_booleans_and_trees_are_recorded_leaf_by_leaf_and_returned_as_they_were(name: str):
    def loss(params, data):
        assert tap("number", 2.5) == 2.5
        assert tap("flag", True) is True
        assert tap("nothing", None) is None
        k = tap("k", data["k"])
        tree = tap("tree", {"a": params["v"] * 3.0, "b": [params["v"], (1.0, k)]})
        assert isinstance(tree["b"], list)
        assert isinstance(tree["b"][1], tuple)
        return (tree["a"] * k).sum()

    k = np.array([1, 2, 0, 3])
    got = of(name, loss, data={"k": k})
    assert set(got.values) == {"number#0", "flag#0", "k#0", "tree.a#0", "tree.b.0#0", "tree.b.1.0#0", "tree.b.1.1#0"}
    assert got.values["number#0"] == 2.5
    assert got.values["flag#0"].dtype == bool
    np.testing.assert_array_equal(got.values["k#0"], k)
    assert set(got.cotangents) - {"tree.b.0#0"} == {"tree.a#0"}
    np.testing.assert_array_equal(got.cotangents["tree.a#0"], k)


@every
def test_float32_stays_float32(name: str):
    params, data = ({key: x.astype(np.float32) for key, x in tree.items()} for tree in (PARAMS, DATA))
    got = of(name, network(name), params, data, draws=2)
    assert {x.dtype for x in (*got.values.values(), *got.cotangents.values())} == {np.dtype(np.float32)}
    rounding = np.abs(got.values["h#0"]) * 2.0**-24
    assert (got.value_floors["h#0"] >= rounding * 0.999).all()
    assert (got.value_floors["h#0"] <= 100 * np.abs(got.values["h#0"]).max() * 2.0**-24).all()


@every
def test_the_cotangent_of_a_complex_value_has_one_convention(name: str):
    xp = configured(name).namespace()

    def loss(params, data):
        z = tap("z", params["v"] * (1.0 + 2.0j))
        return xp.sum(xp.real(z) ** 2 + 3.0 * xp.imag(z))

    got = of(name, loss)
    # dL/d(re) - i dL/d(im), by hand.
    np.testing.assert_allclose(got.cotangents["z#0"], 2 * PARAMS["v"] - 3.0j)
    np.testing.assert_array_equal(got.values["z#0"], PARAMS["v"] * (1.0 + 2.0j))


@every
def test_a_gradient_inside_the_loss_adds_no_cotangents_of_its_own(name: str):
    xp = configured(name).namespace()

    def inner(w):
        return (tap("cubes", w**3) ** 2).sum()

    def loss(params, data):
        if name == "torch":
            from torch.func import grad
        elif name == "jax":
            from jax import grad
        else:
            from autograd import grad
        return xp.sum(grad(inner)(params["v"]) ** 2)

    got = of(name, loss)
    # L = sum (6 w^5)^2, and through c = w^3 alone: grad = 2 c * 3 w^2, so dL/dc = 2 (6 w^5) 6 w^2.
    np.testing.assert_allclose(got.values["cubes#0"], PARAMS["v"] ** 3)
    np.testing.assert_allclose(got.cotangents["cubes#0"], 72 * PARAMS["v"] ** 7, rtol=1e-12)


@every
def test_an_exception_in_the_loss_leaves_nothing_behind(name: str):
    def loss(params, data):
        tap("h", params["v"])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        of(name, loss)
    value = configured(name).put(PARAMS)["v"]
    assert tap("h", value) is value
    assert_close(of(name, network(name)).values, by_hand()[0])


@every
@pytest.mark.parametrize("bad", ["", 3, None])
def test_a_name_that_is_none_is_refused_in_a_check(name: str, bad: Any):
    with pytest.raises(InputError, match="the name of a tap"):
        of(name, lambda params, data: tap(bad, params["v"]).sum())


@every
def test_a_value_that_is_no_array_is_refused_in_a_check(name: str):
    with pytest.raises(InputError, match=r"tap 'h': got a value of dtype .*Tap the arrays in it"):
        of(name, lambda params, data: tap("h", object()) and params["v"].sum())


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_bfloat16_is_recorded_as_float32(name: str):
    def loss(params, data):
        half = params["v"].astype("bfloat16") if name == "jax" else params["v"].bfloat16()
        return (tap("half", half) * 2).sum()

    got = of(name, loss)
    assert got.values["half#0"].dtype == got.cotangents["half#0"].dtype == np.float32
    np.testing.assert_allclose(got.values["half#0"], PARAMS["v"], rtol=2**-8)
    np.testing.assert_array_equal(got.cotangents["half#0"], np.full(4, 2.0))


def test_loops_and_branches_of_jax_are_recorded_as_they_run():
    configured("jax")
    from jax import lax

    def loss(params, data):
        h = lax.fori_loop(0, 2, lambda i, h: tap("loop", h * 2.0), params["v"])
        return lax.cond(h[0] > 1e9, lambda h: tap("never", h), lambda h: tap("branch", h * 3.0), h).sum()

    got = of("jax", loss)
    assert list(got.values) == ["loop#0", "loop#1", "branch#0"]
    np.testing.assert_array_equal(got.cotangents["branch#0"], np.ones(4))
    np.testing.assert_array_equal(got.cotangents["loop#0"], np.full(4, 6.0))


def test_a_backend_without_taps_records_nothing():
    class Bare:
        pass

    assert record(Bare(), lambda params, data: 0.0, PARAMS, DATA) == Recorded()  # type: ignore[arg-type]
