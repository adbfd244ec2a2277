"""Wrong answers of a right program: what comes back was changed, as a bug in a rule or in the plumbing changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.model_spec.problem import Problem
from tests.mutants.harness import GW, HW, JVP, LOSS, Change, Gw, Hw, Key
from tests.mutants.problems import SHAPES

Tree = dict[str, Any]


@dataclass(frozen=True)
class Mutant:
    """What is changed, by quantity, and what must be found: the blocks that are off, each with its cause.

    A cause of ``None`` is not named by DESIGN.md and not looked at.
    """

    changes: Mapping[str, Change]
    expected: Mapping[Key, str | None]
    problems: tuple[str, ...] = SHAPES


def each(change: Any) -> Change:
    """The same change of every parameter's block."""
    return lambda tree, problem: {name: change(value, problem) for name, value in tree.items()}


def only(parameter: str, change: Any) -> Change:
    """A change of one parameter's block."""
    return lambda tree, problem: {**tree, parameter: change(tree[parameter], problem)}


def gradient(change: Any, cause: str | None, *problems: str) -> Mutant:
    """A change of both blocks of the gradient."""
    return Mutant({"gradient": each(change)}, {GW: cause, Gw: cause}, problems or SHAPES)


def gradient_in_one(change: Any, cause: str | None, *problems: str) -> Mutant:
    """A change of the gradient in W, with that in w left right."""
    return Mutant({"gradient": only("W", change)}, {GW: cause}, problems or SHAPES)


def entry(value: Any, at: tuple[int, ...], new: Any) -> Any:
    """One entry replaced, by a number or by a function of it."""
    value = value.copy()
    value[at] = new(value[at]) if callable(new) else new
    return value


def narrowed(value: Any, problem: Problem) -> Any:
    """Cast to float32 and back."""
    return value.astype(np.float32).astype(value.dtype)


def penalty(tree: Tree, problem: Problem, *names: str) -> Tree:
    """Without the L2 term of some parameters."""
    return {k: v - problem.spec.l2 * problem.params[k] if k in names else v for k, v in tree.items()}


def gauss_newton(tree: Tree, problem: Problem) -> Tree:
    """``J^T B J v`` for ``z = X W w``: exact only if z were linear in the parameters."""
    X, y, c = problem.data["X"], problem.data["y"], problem.spec.logit_scale
    (w, W), (v, V) = ((tree["w"], tree["W"]) for tree in (problem.params, problem.tangents))
    p = 1 / (1 + np.exp(-c * (X @ W @ w)))
    q = X.T @ (c**2 * p * (1 - p) * (X @ (W @ v + V @ w)))
    q = q / len(y) if problem.spec.reduction == "mean" else q
    return {"w": W.T @ q + problem.spec.l2 * v, "W": np.outer(q, w) + problem.spec.l2 * V}


def split_at_features(tree: Tree, problem: Problem) -> Tree:
    """The flat vector ``[w, W]`` taken apart as if w had F entries."""
    flat = np.concatenate([tree["w"], tree["W"].ravel()])
    return {"w": flat[: problem.spec.features], "W": flat[problem.spec.features :]}


NOT_SQUARE = ("12x5x3 l2 c", "200x20x10 mean")
WITH_C = NOT_SQUARE
PLAIN = ("4x3x3",)
SPLIT_12 = "the flat vector [w, W] is split at F = 5, not at L = 3"
SPLIT_200 = "the flat vector [w, W] is split at F = 20, not at L = 10"
PERMUTED = "permuted block: the right entries in the wrong places"
DETACHED = "zero block: the path to W is detached"
FLOAT32 = "float32 leak: every entry is a float32 number"

MUTANTS: dict[str, Mutant] = {
    "factor 2": gradient(lambda v, p: 2 * v, "factor 2"),
    "factor 1/2": gradient(lambda v, p: v / 2, "factor 1/2"),
    "factor S": gradient(lambda v, p: v * p.rows, "factor S"),
    "factor 1/S": gradient(lambda v, p: v / p.rows, "factor 1/S"),
    "factor c": gradient(lambda v, p: v * p.spec.logit_scale, "factor c", *WITH_C),
    "factor 1/c": gradient(lambda v, p: v / p.spec.logit_scale, "factor 1/c", *WITH_C),
    "factor c^2": gradient(lambda v, p: v * p.spec.logit_scale**2, "factor c^2", *WITH_C),
    "factor 2 in one block": gradient_in_one(lambda v, p: 2 * v, "factor 2"),
    "factor 2, float32": gradient(lambda v, p: 2 * v, "factor 2", "4x3x3 float32"),
    "factor 3": gradient(lambda v, p: 3 * v, "factor 3"),
    "sign": gradient(lambda v, p: -v, "sign"),
    "sign of the JVP": Mutant({"jvp": each(lambda v, p: -v)}, {JVP: "sign"}),
    "sign, float32": gradient(lambda v, p: -v, "sign", "4x3x3 float32"),
    "square transpose": gradient_in_one(lambda v, p: v.T.copy(), "transposed", "4x3x3", "4x3x3 float32"),
    "transpose": gradient_in_one(lambda v, p: v.T.copy(), "transposed", *NOT_SQUARE),
    "transpose in the right shape": gradient_in_one(lambda v, p: v.T.reshape(v.shape), "transposed", *NOT_SQUARE),
    "zero block": gradient_in_one(lambda v, p: 0 * v, DETACHED),
    "zero gradient": gradient(lambda v, p: 0 * v, "zero block"),
    "zero gradient of 1e-9": gradient(lambda v, p: 0 * v, "zero block", "tiny"),
    "zero HVP": Mutant({"hvp": each(lambda v, p: 0 * v)}, {HW: "zero block", Hw: "zero block"}),
    "zero JVP": Mutant({"jvp": each(lambda v, p: 0 * v)}, {JVP: "zero block"}),
    "permuted block": gradient(lambda v, p: v[::-1].copy(), PERMUTED),
    "permuted columns": gradient_in_one(lambda v, p: np.roll(v, 1, axis=1), PERMUTED),
    "one entry off by 1e-12": gradient_in_one(
        lambda v, p: entry(v, (2, 1), lambda x: x * (1 + 1e-12)), "only one entry differs: [2, 1]"
    ),
    "one entry zero": gradient_in_one(lambda v, p: entry(v, (0, 0), 0.0), "only one entry differs: [0, 0]"),
    "one row of W off": gradient_in_one(lambda v, p: entry(v, (1,), lambda x: x * 1.001), "only row 1 of W is wrong"),
    "gradient cast to float32 and back": gradient(narrowed, FLOAT32),
    "HVP cast to float32 and back": Mutant({"hvp": each(narrowed)}, {HW: FLOAT32, Hw: FLOAT32}),
    "gradient in float32": gradient(lambda v, p: v.astype(np.float32), FLOAT32),
    "gradient in float64": gradient(lambda v, p: v.astype(np.float64), None, "4x3x3 float32"),
    "no L2 in W": Mutant({"gradient": lambda t, p: penalty(t, p, "W")}, {GW: "the L2 term is missing"}, NOT_SQUARE),
    "no L2": Mutant(
        {"gradient": lambda t, p: penalty(t, p, "w", "W")},
        dict.fromkeys((GW, Gw), "the L2 term is missing"),
        NOT_SQUARE,
    ),
    "L2 of both without its half": Mutant(
        {"gradient": lambda t, p: {k: v + p.spec.l2 * p.params[k] for k, v in t.items()}},
        dict.fromkeys((GW, Gw), "the L2 term is counted twice"),
        NOT_SQUARE,
    ),
    "split at F": Mutant({"gradient": split_at_features}, {GW: SPLIT_12, Gw: SPLIT_12}, NOT_SQUARE[:1]),
    "split at F, larger": Mutant({"gradient": split_at_features}, {GW: SPLIT_200, Gw: SPLIT_200}, NOT_SQUARE[1:]),
    "gradient for HVP": Mutant(
        {"hvp": lambda t, p: right_gradient(p)},
        dict.fromkeys((HW, Hw), "the gradient in place of the Hessian-vector product"),
    ),
    "Gauss-Newton for HVP": Mutant(
        {"hvp": gauss_newton}, dict.fromkeys((HW, Hw), "the Gauss-Newton part of the Hessian only")
    ),
    "nan at one entry": gradient_in_one(lambda v, p: entry(v, (0, 1), np.nan), None),
    "inf at one entry": gradient_in_one(lambda v, p: entry(v, (1, 0), np.inf), None),
    "-inf everywhere": gradient(lambda v, p: 0 * v - np.inf, None),
    "nan for the loss": Mutant({"loss": each(lambda v, p: v * np.nan)}, {LOSS: None}),
    "scaled by 1 + 1e-3": gradient(lambda v, p: v * (1 + 1e-3), "factor 1 + 0.001"),
    "scaled by 1 + 1e-6": gradient(lambda v, p: v * (1 + 1e-6), "factor 1 + 1e-06"),
    "scaled by 1 - 1e-12": gradient(lambda v, p: v * (1 - 1e-12), None),
    "loss scaled by 1 + 1e-10": Mutant({"loss": each(lambda v, p: v * (1 + 1e-10))}, {LOSS: None}),
    "loss of another point": Mutant({"loss": each(lambda v, p: v + 1)}, {LOSS: None}),
    "JVP doubled": Mutant({"jvp": each(lambda v, p: 2 * v)}, {JVP: "factor 2"}),
    "JVP of unit length": Mutant(
        {"jvp": each(lambda v, p: v / np.sqrt(sum(np.vdot(t, t) for t in p.tangents.values())))}, {JVP: None}
    ),
    "HVP halved": Mutant({"hvp": each(lambda v, p: v / 2)}, {HW: "factor 1/2", Hw: "factor 1/2"}),
    "w as a column": Mutant({"gradient": only("w", lambda v, p: v[:, None])}, {Gw: None}),
    "W as a vector": gradient_in_one(lambda v, p: v.ravel(), None),
    "W left out": Mutant({"gradient": lambda t, p: {"w": t["w"]}}, {GW: None}),
    "w and W swapped": Mutant({"gradient": lambda t, p: {"w": t["W"], "W": t["w"]}}, {GW: None, Gw: None}),
}


def right_gradient(problem: Problem) -> Tree:
    """``r = c (sigmoid(c z) - y)``, ``g = X^T r``: ``dw = W^T g``, ``dW = g w^T``, as DESIGN.md states it."""
    X, y, c = problem.data["X"], problem.data["y"], problem.spec.logit_scale
    w, W = problem.params["w"], problem.params["W"]
    g = X.T @ (c * (1 / (1 + np.exp(-c * (X @ W @ w))) - y))
    g = g / len(y) if problem.spec.reduction == "mean" else g
    return {"w": W.T @ g + problem.spec.l2 * w, "W": np.outer(g, w) + problem.spec.l2 * W}
