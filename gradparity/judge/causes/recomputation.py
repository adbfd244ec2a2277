"""Explanations that take another evaluation: the wrong derivative is computed in extended precision, then compared.

Each is tried on a block that is wrong, and holds only if what was computed accounts for every entry to within the noise
floor. They cost about one evaluation of the closed form each, so large problems do without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from gradparity.judge.causes.block import WrongBlock, in_extended_precision
from gradparity.model_spec.problem import Problem
from gradparity.model_spec.spec import Logistic
from gradparity.numerics.extended import Extended
from gradparity.truth.logistic.extended import evaluate, rows_of_gradient

Tree: TypeAlias = Mapping[str, Any]

#: Steps that finite differences are commonly taken with.
_STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 2.0**-26, 1e-8)


def split(block: WrongBlock) -> str:
    """The flat vector ``[w, W]`` cut at the number of features F in place of the projection width L."""
    spec, shapes = block.problem.spec, block.problem.spec.shapes
    if block.quantity not in ("gradient", "hvp") or "W" not in shapes or shapes["w"] == (spec.features,):
        return ""
    truth, floor = (_flat(blocks, block.quantity) for blocks in (block.reference.truth, block.reference.floor))
    part = slice(None, spec.features) if block.parameter == "w" else slice(spec.features, None)
    if block.got.size != truth[part].size:
        return ""
    if not block.near(block.value.ravel(), truth[part], floor[part]):
        return ""
    return f"the flat vector [w, W] is split at F = {spec.features}, not at L = {shapes['w'][0]}"


def _flat(source: Any, quantity: str) -> Extended:
    return np.concatenate([source[quantity, name].ravel() for name in ("w", "W")])


def row(block: WrongBlock) -> str:
    """A row left out or counted twice, found by its own contribution to the gradient."""
    if block.quantity != "gradient":
        return ""
    rows = rows_of_gradient(block.problem, block.parameter)
    missing = block.truth - block.value
    for sign, words in ((1, "is left out"), (-1, "is counted twice")):
        nearest = int(np.argmin(rows.distance(sign * missing)))
        if block.is_(block.truth - sign * rows.contribution(nearest)):
            return f"row {nearest} {words}"
    return ""


def saturated(block: WrongBlock) -> str:
    """All rows whose logits are beyond some size left out, as by a sigmoid whose slope is taken to be zero there."""
    if block.quantity != "gradient":
        return ""
    sizes = logits(block.problem)
    largest_first = np.argsort(-sizes)
    rows = rows_of_gradient(block.problem, block.parameter)
    left_out = replace(rows, left=np.cumsum(rows.left[largest_first], axis=0))
    count = int(np.argmin(left_out.distance(block.truth - block.value)))
    if not block.is_(block.truth - left_out.contribution(count)):
        return ""
    bound = np.floor(sizes[largest_first[count]] * 10) / 10
    return f"saturated: the slope of the {count + 1} rows with logits beyond {bound:g} is taken to be zero"


def logits(problem: Problem) -> Extended:
    """Size of the logit ``c z`` of every row."""
    params = in_extended_precision(problem.params)
    u = params["W"] @ params["w"] if "W" in params else params["w"]
    z = np.asarray(problem.data["X"], np.longdouble) @ u
    return np.asarray(np.abs(np.longdouble(problem.spec.logit_scale) * z))


def detached(block: WrongBlock) -> str:
    """A directional derivative or Hessian-vector product without the share of one parameter."""
    if block.quantity not in ("jvp", "hvp") or len(block.problem.params) < 2:
        return ""
    l2, params = np.longdouble(block.problem.spec.l2), in_extended_precision(block.problem.params)
    for name, tangent in in_extended_precision(block.problem.tangents).items():
        still = {**block.problem.tangents, name: np.zeros_like(tangent)}
        shares = _value(block, replace(block.problem, tangents=still))
        penalty: Any = np.longdouble(0)
        if block.quantity == "jvp":
            penalty = l2 * np.vdot(params[name], tangent)
        elif block.parameter == name:
            penalty = l2 * tangent
        if block.is_(shares) or block.is_(shares + penalty):
            return f"the share of {name} is missing: the path to {name} is detached"
    return ""


def gauss_newton(block: WrongBlock) -> str:
    """``X W`` taken for linear in the parameters: ``H v`` without ``V^T g`` and ``g v^T``."""
    problem = block.problem
    if block.quantity != "hvp" or "W" not in problem.params:
        return ""
    params, tangents = in_extended_precision(problem.params), in_extended_precision(problem.tangents)
    spec = problem.spec
    plain = Logistic(features=spec.features, logit_scale=spec.logit_scale, reduction=spec.reduction, dtype=spec.dtype)
    u = {"w": params["W"] @ params["w"]}  # the gradient in u = W w of the model without a projection is g
    g = evaluate(replace(problem, spec=plain, params=u, tangents=u))["gradient", "w"]
    curvature = {"w": tangents["W"].T @ g, "W": np.multiply.outer(g, tangents["w"])}[block.parameter]
    return "the Gauss-Newton part of the Hessian only" if block.is_(block.truth - curvature) else ""


def finite_difference(block: WrongBlock) -> str:
    """A difference quotient with a common step, told by its truncation error where that stands above its rounding."""
    lower = {"hvp": "gradient", "jvp": "loss"}.get(block.quantity)
    if lower is None:
        return ""
    rounding = block.floors * block.reference.floor[lower, block.parameter]
    centre = evaluate(block.problem)[lower, block.parameter]
    for step in _STEPS:
        up, down = (_value(block, _moved(block.problem, way * step), lower) for way in (1, -1))
        for words, quotient in (("forward", (up - centre) / step), ("central", (up - down) / (2 * step))):
            allowed = 2 * rounding / step + block.floors * block.floor
            fits = (np.abs(block.value - quotient) <= allowed).all()
            if fits and (np.abs(quotient - block.truth) > 8 * allowed).any():
                return f"{words} differences with a step of {step:.3g}"
    return ""


def _moved(problem: Problem, step: float) -> Problem:
    params, tangents = in_extended_precision(problem.params), in_extended_precision(problem.tangents)
    return replace(problem, params={name: value + step * tangents[name] for name, value in params.items()})


def rounded_inputs(block: WrongBlock) -> str:
    """Inputs cast to float32 and back before a computation in float64."""
    if block.problem.spec.dtype != "float64":
        return ""
    for names, problem in _with_rounded_inputs(block.problem):
        if block.is_(_value(block, problem)):
            return f"float32 leak: {names} cast to float32"
    return ""


def _with_rounded_inputs(problem: Problem) -> Iterator[tuple[str, Problem]]:
    data = {**problem.data, "X": _rounded(problem.data["X"])}
    params = {name: _rounded(value) for name, value in problem.params.items()}
    tangents = {name: _rounded(value) for name, value in problem.tangents.items()}
    yield "X is", replace(problem, data=data)
    for name, value in params.items():
        yield f"{name} is", replace(problem, params={**problem.params, name: value})
    yield "the parameters are", replace(problem, params=params)
    yield "the tangents are", replace(problem, tangents=tangents)
    yield "X and the parameters are", replace(problem, data=data, params=params)
    yield "all inputs are", replace(problem, data=data, params=params, tangents=tangents)


def _rounded(value: Any) -> Any:
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(value).astype(np.float32).astype(np.float64)


def _value(block: WrongBlock, problem: Problem, quantity: str = "") -> Extended:
    return evaluate(problem)[quantity or block.quantity, block.parameter]


EXPLANATIONS: tuple[Callable[[WrongBlock], str], ...] = (
    row,
    saturated,
    detached,
    gauss_newton,
    rounded_inputs,
    finite_difference,
)
