"""Ports of losses with kinks, each with a convention or a mistake of its own: the first are right, the second are not.

What is right comes from calculus: of ``max(w, c)`` at ``w = c`` anything from 0 to 1, of ``|w|`` at 0 from -1 to 1, of
``clip`` at a bound from 0 to 1, of ``relu`` at 0 from 0 to 1 (Clarke, Optimization and Nonsmooth Analysis, 1983).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gradparity.judge.consensus import judge_pairwise
from gradparity.judge.own import Answers
from gradparity.numerics.beside import beside, sides_from, without_steps
from gradparity.numerics.perturbation import along_line, floor_from, perturbed
from gradparity.numerics.richardson import SMALLEST_STEP, along, block_directions, derivative
from gradparity.results import GOOD, Finding

Tree = dict[str, Any]
#: Parameters, data, derivative at a tie -> loss and gradient.
Kind = Callable[[Tree, Tree, float], tuple[Any, Tree]]


def step(x: Any, at: float) -> Any:
    return np.where(x == 0, at, (x > 0).astype(x.dtype))


def maximum(p: Tree, d: Tree, at: float) -> tuple[Any, Tree]:
    return np.maximum(p["w"], d["c"]).sum(), {"w": step(p["w"] - d["c"], at)}


def anchored(p: Tree, d: Tree, at: float) -> tuple[Any, Tree]:
    w, c, u = p["w"], d["c"], d["u"]
    return (w**2).sum() / 2 + np.abs(w - c).sum() + (u * w).sum(), {"w": w + 2 * step(w - c, at) - 1 + u}


def clipped(p: Tree, d: Tree, at: float) -> tuple[Any, Tree]:
    w, u = p["w"], d["u"]
    low, high = d["c"][0], d["c"][3]  # two of its own values are bounds
    z = np.clip(w, low, high) * u - 1
    inside = step(w - low, at) * step(high - w, at)
    return (z**2).sum(), {"w": 2 * z * u * inside}


def lasso(p: Tree, d: Tree, at: float) -> tuple[Any, Tree]:
    w = p["w"] - d["c"]  # exactly zero
    r = d["u"] * w - 1
    return (r**2).sum() + 0.1 * np.abs(w).sum(), {"w": 2 * d["u"] * r + 0.1 * (2 * step(w, at) - 1)}


def zero_row(p: Tree, d: Tree, at: float) -> tuple[Any, Tree]:
    z = d["X"] @ p["w"] + p["b"]
    r = np.maximum(z, 0) - d["t"]
    delta = 2 * r * step(z, at)
    return (r**2).sum(), {"w": d["X"].T @ delta, "b": delta.sum(keepdims=True)}


def zero_layer(p: Tree, d: Tree, at: float) -> tuple[Any, Tree]:
    z = np.outer(d["X"][:, 0], p["w"]) + d["X"][:, 1:2] * p["b"]  # of weights that are all zero: every row ties
    v = d["X"][0]
    r = np.maximum(z, 0) @ v - d["t"]
    delta = 2 * np.outer(r, v) * step(z, at)
    return (r**2).sum(), {"w": delta.T @ d["X"][:, 0], "b": (delta.T @ d["X"][:, 1]).sum(keepdims=True)}


def hinge(p: Tree, d: Tree, at: float) -> tuple[Any, Tree]:
    margin = 1 - d["c"] / p["w"] * p["b"]  # zero for b = 1
    slope = step(margin, at)
    gradient = {"w": slope * d["c"] / p["w"] ** 2 * p["b"], "b": -(slope * d["c"] / p["w"]).sum(keepdims=True)}
    return np.maximum(margin, 0).sum(), gradient


def weights(seed: int, dtype: str) -> tuple[Tree, Tree, Tree]:
    rng = np.random.default_rng([seed, 41])
    w = (1 + np.arange(6) / 7).astype(dtype)
    data = {"c": w.copy(), "u": rng.standard_normal(6).astype(dtype)}
    return {"w": w}, data, {"w": rng.standard_normal(6).astype(dtype)}


def rows(seed: int, dtype: str) -> tuple[Tree, Tree, Tree]:
    rng = np.random.default_rng([seed, 42])
    X = rng.standard_normal((8, 3)).astype(dtype)
    X[2] = 0
    params = {"w": rng.standard_normal(3).astype(dtype), "b": np.zeros(1, dtype)}
    tangents = {name: rng.standard_normal(value.shape).astype(dtype) for name, value in params.items()}
    return params, {"X": X, "t": rng.standard_normal(8).astype(dtype)}, tangents


def zeros(seed: int, dtype: str) -> tuple[Tree, Tree, Tree]:
    params, data, tangents = rows(seed, dtype)
    data["X"] = np.random.default_rng([seed, 44]).standard_normal(data["X"].shape).astype(dtype)
    return {name: np.zeros_like(value) for name, value in params.items()}, data, tangents


def margins(seed: int, dtype: str) -> tuple[Tree, Tree, Tree]:
    params, data, tangents = weights(seed, dtype)
    b = np.ones(1, dtype)
    return params | {"b": b}, data, tangents | {"b": b * np.asarray(0.7, dtype)}


KINDS: dict[str, tuple[Kind, Callable[[int, str], tuple[Tree, Tree, Tree]]]] = {
    "maximum": (maximum, weights),
    "anchored": (anchored, weights),
    "clipped": (clipped, weights),
    "lasso": (lasso, weights),
    "zero row": (zero_row, rows),
    "zero layer": (zero_layer, zeros),
    "hinge": (hinge, margins),
}
LEFT_ALONE: Callable[[Tree], Tree] = dict


@dataclass(frozen=True)
class Port:
    """A port: its derivative at a tie, what it makes of the gradient, and what it adds to the loss and its gradient."""

    at: float = 0.0
    change: Callable[[Tree], Tree] = LEFT_ALONE
    own: bool = True  #: whether its own loss is differentiated by differences
    weight: float = 1.0


def answers(kind: str, port: Port, seed: int, dtype: str) -> Answers:
    function, drawn = KINDS[kind]
    params, data, tangents = drawn(seed, dtype)

    def evaluate(p: Tree, d: Tree, t: Tree) -> dict[str, Tree]:
        loss, gradient = function(p, d, port.at)
        changed = {n: np.asarray(v * port.weight, p[n].dtype) for n, v in port.change(gradient).items()}
        jvp = sum(np.vdot(changed[name], t[name]) for name in p)
        scalar = params["w"].dtype
        return {
            "loss": {"": np.asarray(loss * port.weight, scalar)},
            "gradient": changed,
            "jvp": {"": np.asarray(jvp, scalar)},
        }

    values = evaluate(params, data, tangents)
    drawn_, line, near = (
        [evaluate(*moved) for moved in inputs(params, data, tangents, seed=seed)]
        for inputs in (perturbed, along_line, beside)
    )
    sides = sides_from(near, tangents)
    floors = without_steps(floor_from(values, drawn_, dtype, line), sides, floor_from(values, drawn_, dtype))
    if not port.own:
        return Answers(values, floors, sides=sides)
    wide, held = ({n: v.astype(np.float64) for n, v in tree.items()} for tree in (params, data))
    own, slopes = {}, {}
    for name, direction in block_directions(wide, seed):
        own[name] = derivative(along(lambda p: evaluate(p, held, wide)["loss"][""], wide, direction))

        def product(t: float, name: str = name, direction: Mapping[str, Any] = direction) -> float:
            moved = wide | {name: wide[name] + t * direction[name]}
            return float(np.vdot(evaluate(moved, held, moved)["gradient"][name], direction[name]))

        h = 4 * SMALLEST_STEP
        slopes[name] = 2 * product(-h) - product(-2 * h), 2 * product(h) - product(2 * h)
    return Answers(values, floors, own, sides=sides, slopes=slopes)


def judged(kind: str, ports: list[Port], seed: int = 1, dtype: str = "float64") -> list[Finding]:
    given = {f"port{i}": answers(kind, port, seed, dtype) for i, port in enumerate(ports)}
    params, _, tangents = KINDS[kind][1](seed, dtype)
    assert set(tangents) == set(params)
    return judge_pairwise(given, dict(block_directions(params, seed)), dtype=dtype)[1]


def bad(findings: list[Finding]) -> set[str]:
    return {each.backend for each in findings if each.verdict not in GOOD}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("conventions", [(0.0, 0.5), (0.5, 1.0), (1.0, 0.0, 0.5), (0.0, 0.0), (0.5, 0.0, 0.0, 0.5)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_convention_at_a_kink_is_nobodys_mistake(
    kind: str, conventions: tuple[float, ...], own: bool, dtype: str
) -> None:
    found = judged(kind, [Port(at, own=own) for at in conventions], dtype=dtype)
    assert {each.verdict for each in found} <= GOOD
    stepping = [each for each in found if each.verdict == "kink"]
    everybody = {f"port{i}" for i in range(len(conventions))}
    assert {each.backend for each in stepping} == (everybody if len(set(conventions)) > 1 else set())
    for each in stepping:
        assert each.sides is not None
        assert each.got is not None
        assert each.sides[0] - 1e-3 <= each.got <= each.sides[1] + 1e-3
        assert each.floors is None  # of no true value


def more(g: Tree) -> Tree:
    return g | {"w": g["w"] + 2}


def half(g: Tree) -> Tree:
    return g | {"w": g["w"] - 0.3 * np.linspace(-1, 1, g["w"].size).reshape(g["w"].shape)}


def twice(g: Tree) -> Tree:
    return {name: 2 * value for name, value in g.items()}


def turned(g: Tree) -> Tree:
    return {name: -value for name, value in g.items()}


def little(g: Tree) -> Tree:
    return g | {"w": g["w"] * (1 + 1e-6)}


MISTAKES = {"more": more, "half": half, "twice": twice, "turned": turned, "little": little}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("at", [0.0, 0.5])
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_mistake_does_not_pass_as_a_convention_and_the_right_are_not_blamed(
    kind: str, mistake: str, at: float, count: int
) -> None:
    wrong = Port(at, MISTAKES[mistake])
    found = judged(kind, [wrong, *[Port(0.5 * i) for i in range(1, count)]])
    if mistake == "little" and count == 2:  # its own loss is not known as well: then nothing says whose it is
        assert "port0" in bad(found)
    else:
        assert bad(found) == {"port0"}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("kind", KINDS)
def test_without_own_derivatives_a_mistake_is_seen_all_the_same(kind: str, mistake: str) -> None:
    found = judged(kind, [Port(0.5, MISTAKES[mistake], own=False), Port(0.5, own=False)])
    assert "port0" in bad(found)


#: Slopes at the tie outside 0 to 1; where many rows tie in each entry, the nearer ones are between the sides.
OUTSIDE = [(kind, at) for kind in KINDS for at in ([2.5] if kind == "zero layer" else [2.5, -0.5, 1.1])]


@pytest.mark.parametrize(("kind", "at"), OUTSIDE)
def test_a_value_outside_both_sides_is_a_wrong_branch(kind: str, at: float) -> None:
    found = judged(kind, [Port(at), Port(0.0), Port(1.0)])
    assert "port0" in bad(found)
    if kind != "hinge":  # whose loss is exactly zero, and one port's gradient with it: nothing has a size there
        assert bad(found) == {"port0"}


def test_a_floor_as_wide_as_the_value_is_no_agreement() -> None:
    """A loss whose gradient scatters as much as it is large, from a formula that cancels: (1e17 + w) - 1e17."""
    given = {}
    for name, value in (("a", 1.0), ("b", 1.4)):
        values = {"loss": {"": np.asarray(1.0)}, "gradient": {"w": np.full(3, value)}}
        floors = {("loss", ""): np.asarray(1e-16, np.longdouble), ("gradient", "w"): np.full(3, 0.3, np.longdouble)}
        given[name] = Answers(values, floors)
    for names in (("a", "b"), ("a", "b", "c")):
        some = {n: given.get(n, given["a"]) for n in names}
        matrix, found = judge_pairwise(some, {}, dtype="float64")
        of_gradient = [each for each in found if each.quantity == "gradient"]
        assert {each.verdict for each in of_gradient} == {"unresolved"}
        assert all("would pass as rounding" in each.rule for each in of_gradient)
        assert next(b for b in matrix.matrix if b.quantity == "gradient").agreeing == []


def test_a_port_that_scatters_is_unresolved_beside_two_that_do_not() -> None:
    given = {}
    for name, floor in (("a", 1e-16), ("b", 1e-16), ("c", 1e-3)):
        values = {"loss": {"": np.asarray(1.0)}, "gradient": {"w": np.full(3, 1.0)}}
        floors = {("loss", ""): np.asarray(1e-16, np.longdouble), ("gradient", "w"): np.full(3, floor, np.longdouble)}
        given[name] = Answers(values, floors)
    _, found = judge_pairwise(given, {}, dtype="float64")
    assert {each.backend: each.verdict for each in found if each.quantity == "gradient"}["a"] == "agrees"
