"""A port's own layout of the parameters: entries are where it says, there and back, and all are compared in one."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.trees import leaves
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.layouts import Layout, layout_of
from gradparity.model_spec.user.model import UserModel
from gradparity.model_spec.user.moves import MoveError, move
from tests.conftest import configured

SHAPES = st.lists(st.integers(1, 4), max_size=4).map(tuple)


def numbered(shape: tuple[int, ...]) -> Any:
    return np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape)


@given(SHAPES, st.data())
def test_an_order_of_axes_is_that_of_einsum(shape: tuple[int, ...], data: st.DataObject):
    letters = string.ascii_lowercase[: len(shape)]
    moved = "".join(data.draw(st.permutations(letters)))
    found = move(f"{letters} -> {moved}", shape, {})
    x = numbered(shape)
    assert np.array_equal(found.into(x), np.einsum(f"{letters}->{moved}", x))
    assert np.array_equal(found.back(found.into(x)), x)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_brackets_part_an_axis_the_last_name_fastest(h: int, d: int, e: int):
    x = numbered((h * d, e))
    found = move("(h d) e -> e h d", x.shape, {"h": h})
    expected = np.array([[[x[i * d + j, k] for j in range(d)] for i in range(h)] for k in range(e)])
    assert np.array_equal(found.into(x), expected)
    assert np.array_equal(found.back(expected), x)
    again = move("ehd -> (hd)e", expected.shape, {})
    assert np.array_equal(again.into(expected), x)


def test_a_shape_an_axis_of_one_and_all_axes_reversed():
    x = numbered((2, 3))
    assert np.array_equal(move("T", (2, 3), {}).into(x), x.T)
    assert move((1, 6), (2, 3), {}).into(x).shape == (1, 6)
    assert move("ab -> 1ab", (2, 3), {}).into(x).shape == (1, 2, 3)
    assert move("1 a -> a", (1, 3), {}).into(x[:1]).shape == (3,)
    with pytest.raises(MoveError, match=r"'1 a -> a' for an array of shape \(2, 3\)"):
        move("1 a -> a", (2, 3), {})


@pytest.mark.parametrize(
    ("how", "shape", "sizes", "said"),
    [
        ("oihw -> hwio", (2, 3), {}, r"4 axes in 'oihw -> hwio' for an array of shape \(2, 3\)"),
        ("ab -> a", (2, 3), {}, "two sides have not the same axes"),
        ("aa -> aa", (2, 2), {}, "two sides have not the same axes, each once"),
        ("(h d) -> h d", (6,), {}, "without the lengths of d"),
        ("(h d) -> h d", (6,), {"h": 4}, r"with \{'h': 4\} for an array of shape \(6,\)"),
        ("t", (2, 3), {}, "'t'"),
        ("(a b -> b a", (2, 3), {}, r"'\(a b -> b a'"),
        ((4, 2), (2, 3), {}, r"shape \(4, 2\) for an array of shape \(2, 3\)"),
        (3, (2, 3), {}, "3"),
    ],
)
def test_what_is_no_order_for_a_shape_is_refused(how: Any, shape: Any, sizes: Any, said: str):
    with pytest.raises(MoveError, match=said):
        move(how, shape, sizes)


def model(parameters: Any, rules: Any, port: str = "jax") -> tuple[UserModel, Any]:
    """A model that has a loss for JAX and for torch, and the problem that is drawn of it."""

    class Module:
        pass

    module: Any = Module()
    functions = dict.fromkeys(("loss_jax", "loss_torch"), lambda params, data: None)
    vars(module).update(parameters=lambda rng: parameters, data=lambda rng: {}, layouts={port: rules}, **functions)
    found = UserModel(Path("/model.py"), None, module)
    return found, draw_problem(found, "model", 0)


def layout(parameters: Any, rules: Any) -> tuple[Layout, Any]:
    found, problem = model(parameters, rules)
    return layout_of(found, problem.spec, ("jax-new", "jax")), problem


names = st.text("ab01", min_size=1, max_size=3)
trees = st.dictionaries(
    names | st.builds("{}.{}".format, names, names),
    SHAPES.map(numbered) | st.dictionaries(names, SHAPES.map(numbered), min_size=1, max_size=2),
    min_size=1,
    max_size=5,
)


@given(trees, st.data())
def test_every_entry_goes_there_and_back_bit_by_bit(parameters: Any, data: st.DataObject):
    flat = dict(leaves(parameters))
    if len(flat) < len(list(leaves(parameters))):
        return
    rules = {}
    for i, (path, value) in enumerate(flat.items()):
        axes = string.ascii_lowercase[: value.ndim]
        order = "".join(data.draw(st.permutations(axes)))
        how = data.draw(st.sampled_from(["T", f"{axes} -> {order}", (value.size,)]))
        rules[path] = (data.draw(st.sampled_from([f"params/{i}", f"layer.{i}.w", f"a/b{i}/c"])), how)
    found, problem = layout(parameters, rules)
    whole = problem.spec.whole(problem.params, problem.data)
    there = found.into(whole)
    assert sorted(x for value in there.values() for x in value.ravel()) == sorted(
        x for value in flat.values() for x in value.ravel()
    )
    tree = found.nest(there)
    again = found.back(found.flat("here", tree, "parameter"))
    assert list(again) == list(problem.params)
    assert all(again[path].tobytes() == value.tobytes() for path, value in problem.params.items())


STATE = {
    "encoder.0.fc.weight": numbered((3, 2)),
    "encoder.0.fc.bias": numbered((3,)),
    "encoder.1.fc.weight": numbered((2, 3)),
    "encoder.1.fc.bias": numbered((2,)),
    "head.in_proj_weight": numbered((6, 2)),
    "norm.num_batches_tracked": np.array(3),
    "norm.running_mean": numbered((2,)),
}


def test_patterns_nest_where_there_is_a_slash_and_rules_are_tried_in_order():
    rules = {
        "encoder.*.fc.weight": ("params/layers_*/kernel", "T"),
        "encoder.1.fc.bias": "params/last",
        "encoder.**.bias": "params/**/b",
        "head.in_proj_weight": (["q", "k", "v"], "(n d) e -> n e d", {"n": 3}),
        "norm.num_batches_tracked": None,
        "**": "/**",
    }
    found, problem = layout(STATE, rules)
    there = found.nest(found.into(problem.spec.whole(problem.params, problem.data)))
    assert there["params"]["layers_0"]["kernel"].tolist() == STATE["encoder.0.fc.weight"].T.tolist()
    assert there["params"]["0"]["fc"]["b"].shape == (3,)
    assert there["params"]["last"].shape == (2,)
    assert there["norm"]["running_mean"].tolist() == [1, 2]
    for i, name in enumerate("qkv"):
        assert there[name].tolist() == STATE["head.in_proj_weight"][2 * i : 2 * i + 2].T.tolist()
    back = found.back(found.flat("here", there, "gradient"))
    assert all(back[path].tobytes() == value.tobytes() for path, value in problem.params.items())


def test_names_without_a_slash_stay_flat():
    found, problem = layout(STATE, {"norm.num_batches_tracked": None, "**": "net.**"})
    there = found.nest(found.into(problem.spec.whole(problem.params, problem.data)))
    assert list(there) == [f"net.{name}" for name in STATE if "tracked" not in name]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (
            {"fc.weigth": "w", "**": "**"},
            r"got 'fc.weigth', .* or a pattern for some. The nearest is fc.weight",
        ),
        (
            {"fc.weight": "w"},
            r"fc.bias: got nothing, .*The nearest is fc.weight. \"\*\*\": \"\*\*\" t",
        ),
        ({"**": "**", "fc.bias": "b"}, r"got 'fc.bias', .* Rules are tried in order"),
        ({"**": "params/w"}, r"\['\*\*'\]: got 'params/w' with 0 stars, expected as many as the pattern has, 1"),
        ({"fc.*": ("w", "T")}, "with 0 stars"),
        ({"fc.weight": "w", "fc.bias": "w"}, "got fc.weight and fc.bias under one name, w, expected a name for each"),
        ({"fc.weight": "w", "fc.bias": "w/b"}, "got w/b below w, which is an array"),
        (
            {"fc.weight": ("w", "oihw -> hwio"), "**": "**"},
            r"fc.weight: got 4 axes in 'oihw -> hwio' for",
        ),
        (
            {"fc.weight": (["a", "b"], "T"), "**": "**"},
            r"got shape \(3, 2\), expected 2 along the first",
        ),
        ({"fc.weight": None, "**": "**"}, "fc.weight: got None, expected a name, since a parameter has a gradient"),
        ({"fc.weight": 3, "**": "**"}, r"got 3, expected a name in the port, \(name, order of axes\), or None"),
        ({"fc.weight": ("w", "T", {}, 4), "**": "**"}, "expected a name in the port"),
    ],
)
def test_a_layout_at_fault_is_said_with_its_rule_and_the_nearest_name(rules: Any, said: str):
    with pytest.raises(InputError, match=said):
        model({"fc.weight": numbered((2, 3)), "fc.bias": numbered((2,))}, rules)


def test_a_layout_of_no_port_is_said_with_the_nearest():
    with pytest.raises(InputError, match=r"layouts: got 'jaxx', .*jax, torch\. The nearest is jax\."):
        model({"w": numbered((2,))}, {"w": "v"}, port="jaxx")
    with pytest.raises(InputError, match="got 'autograd', expected a backend that has a loss of its own: jax, torch"):
        model({"w": numbered((2,))}, {"w": "v"}, port="autograd")


def test_what_a_port_returns_under_other_names_or_in_another_shape_is_refused():
    found, _ = layout({"fc.weight": numbered((2, 3))}, {"fc.weight": ("kernel", "T")})
    with pytest.raises(InputError, match=r"got no kernel and kernle, expected a gradient .* The nearest is kernel"):
        found.flat("here", {"kernle": 1}, "gradient")
    with pytest.raises(InputError, match=r"kernel of a port: got shape \(2, 3\), expected shape \(3, 2\)"):
        found.back({"kernel": numbered((2, 3))})


@pytest.mark.parametrize("name", ["torch", "jax", "autograd"])
def test_arrays_of_a_framework_are_moved_as_numpys(name: str):
    pytest.importorskip(name)
    backend, x = configured(name), numbered((2, 3, 4))
    for how in ("T", "abc -> bca", "a(bc) -> cab", (4, 6)):
        shape, sizes = (2, 3, 4), {}
        if how == "a(bc) -> cab":
            shape, sizes = (2, 12), {"b": 3}
        found = move(how, shape, sizes)
        placed = backend.put({"x": x.reshape(shape)})["x"]
        assert np.array_equal(backend.get({"x": found.into(placed)})["x"], found.into(x.reshape(shape)))
        assert np.array_equal(backend.get({"x": found.back(found.into(placed))})["x"], x.reshape(shape))
