"""Losses with a mistake in them, written in each framework; NumPy's are the closed form with the same mistake.

``Mistake`` is the built-in model with hooks where people go wrong: in the parameters or data on their way in, in the
logits, in softplus and its derivative, in the penalty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradparity.backends.numpy_backend import ClosedFormLoss
from gradparity.backends.protocol import Data, Loss, Params
from gradparity.model_spec.spec import Logistic
from tests.mutants.frameworks import Toolbox, toolbox
from tests.mutants.harness import GW, HW, JVP, LOSS, Gw, Hw, Key
from tests.mutants.problems import SHAPES

NOT_PLAIN = ("12x5x3 l2 c",)


@dataclass(frozen=True)
class Mistake:
    """Hooks, each the identity or the right thing where it is not given."""

    expected: dict[Key, str | None]
    problems: tuple[str, ...] = SHAPES
    params: Callable[[Toolbox, Params], Params] = lambda box, params: params
    data: Callable[[Toolbox, Data], Data] = lambda box, data: data
    logits: Callable[[Toolbox, Any], Any] = lambda box, z: z
    softplus: Callable[[Toolbox, Logistic], Callable[[Any], Any]] = lambda box, spec: box.softplus
    penalised: tuple[str, ...] = ("w", "W")
    closed_form: type[ClosedFormLoss] = field(default=ClosedFormLoss)
    often: bool = False  #: Judged along lines as well: evaluated so often that JAX's compiler pays.


def loss_of(name: str, mistake: Mistake, spec: Logistic) -> Loss:
    """The mistaken loss in one framework."""
    if name == "numpy":
        return mistake.closed_form(spec)
    box = toolbox(name)

    def loss(params: Params, data: Data) -> Any:
        params, data = mistake.params(box, params), mistake.data(box, data)
        X, y = data["X"], data["y"]
        logits = mistake.logits(box, spec.logit_scale * ((X @ params["W"]) @ params["w"]))
        total = mistake.softplus(box, spec)((1 - 2 * y) * logits).sum()
        if spec.reduction == "mean":
            total = total / len(y)
        for p in mistake.penalised:
            total = total + (0.5 * spec.l2 * params[p] ** 2).sum() if spec.l2 else total
        return total

    return loss


class DetachedW(ClosedFormLoss):
    def value_and_gradient(self, params: Params, data: Data) -> tuple[Any, Params]:
        value, gradient = super().value_and_gradient(params, data)
        return value, {**gradient, "W": 0 * gradient["W"]}

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        product = super().hvp(params, data, {**tangents, "W": 0 * tangents["W"]})
        return {**product, "W": 0 * product["W"]}


class LastRowDropped(ClosedFormLoss):
    def _blocks(self, data: Data) -> Any:
        return super()._blocks({name: value[:-1] for name, value in data.items()})


class NarrowX(ClosedFormLoss):
    def _blocks(self, data: Data) -> Any:
        return super()._blocks({**data, "X": data["X"].astype(np.float32).astype(np.float64)})


class NarrowLogits(ClosedFormLoss):
    def _logits(self, params: Params) -> Any:
        logits = super()._logits(params)
        return lambda X: logits(X).astype(np.float32).astype(np.float64)

    def _logits_jvp(self, params: Params, tangents: Params) -> Any:
        logits_jvp = super()._logits_jvp(params, tangents)
        return lambda X: logits_jvp(X).astype(np.float32).astype(np.float64)


class PenaltyOfWOnly(ClosedFormLoss):
    """``w`` alone is penalised."""

    def _plus_l2(self, tree: Params, params: Params) -> Params:
        return {**super()._plus_l2(tree, params), "W": tree["W"]}

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Any, Params]:
        value, gradient = super().value_and_gradient(params, data)
        return value - 0.5 * self.spec.l2 * np.vdot(params["W"], params["W"]), gradient

    def __call__(self, params: Params, data: Data) -> Any:
        return self.value_and_gradient(params, data)[0]


class SlopeScaled(ClosedFormLoss):
    """Every slope ``r`` is off by the factor ``slope``."""

    def slope(self) -> float:
        return 1 + 1e-9

    def _value_and_cotangent(self, *rows: Any) -> tuple[Any, Any]:
        value, g = super()._value_and_cotangent(*rows)
        return value, self.slope() * g

    def _cotangent_and_curvature(self, *rows: Any) -> tuple[Any, Any]:
        g, q = super()._cotangent_and_curvature(*rows)
        return self.slope() * g, self.slope() * q


class SlopeWithoutC(SlopeScaled):
    def slope(self) -> float:
        return 1 / self.spec.logit_scale


class Stale(ClosedFormLoss):
    """Everything at the step before."""

    def __call__(self, params: Params, data: Data) -> Any:
        return super().__call__(before(params), data)

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Any, Params]:
        return super().value_and_gradient(before(params), data)

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        return super().hvp(before(params), data, tangents)


def before(params: Params) -> Params:
    """Parameters one step ago, as a descent with a gradient of about ``params`` would have it."""
    return {**params, "W": 1.01 * params["W"]}


class ZeroedBeyond30(ClosedFormLoss):
    def _value_and_cotangent(self, logits: Any, *rows: Any) -> tuple[Any, Any]:
        kept = self.kept(logits(rows[0]))
        value = super()._value_and_cotangent(logits, *rows)[0]
        return value, super()._value_and_cotangent(logits, *(array[kept] for array in rows))[1]

    def _cotangent_and_curvature(self, z: Any, *rows: Any) -> tuple[Any, Any]:
        kept = self.kept(z)
        return super()._cotangent_and_curvature(z[kept], *(array[kept] for array in rows))

    def kept(self, z: Any) -> Any:
        return np.abs(self.spec.logit_scale * z) <= 30


class Naive(ClosedFormLoss):
    def __init__(self, spec: Logistic) -> None:
        super().__init__(replace(spec, numerics="naive"))


def scaled(factor: Callable[[Logistic], float]) -> Callable[[Toolbox, Logistic], Callable[[Any], Any]]:
    """Softplus whose derivative is ``factor`` times the sigmoid."""
    return lambda box, spec: box.primitive(box.softplus, lambda m: factor(spec) * box.sigmoid(m))


def zeroed(box: Toolbox, spec: Logistic) -> Callable[[Any], Any]:
    """Softplus by a sigmoid that is taken to be flat beyond 30, as its derivative underflows in some formulas."""
    return box.primitive(box.softplus, lambda m: box.xp.where(box.xp.abs(m) > 30, 0 * m, box.sigmoid(m)))


def naive(box: Toolbox, spec: Logistic) -> Callable[[Any], Any]:
    """``-log(1 - p)`` as it is written at first."""
    return lambda m: -box.xp.log(1 - 1 / (1 + box.xp.exp(-m)))


def one_step_late(box: Toolbox, params: Params) -> Params:
    """The value of W from the step before, with the derivative going to the present one."""
    return {**params, "W": params["W"] + box.detach(before(params)["W"] - params["W"])}


NO_W = "the share of W is missing: the path to W is detached"
L2 = "the L2 term is missing"
L2_OF_W = "the L2 term of W is missing"
X32 = "float32 leak: X is cast to float32"
SOME32 = "float32 leak: its answers scatter"
SATURATED = "saturated: the slope of the 5 rows with logits beyond 33.9 is taken to be zero"
SLOPE = "factor 1 + 1e-09"

MISTAKES: dict[str, Mistake] = {
    "W detached": Mistake(
        {GW: "zero block: the path to W is detached", JVP: NO_W, HW: "zero block", Hw: NO_W},
        params=lambda box, params: {**params, "W": box.detach(params["W"])},
        closed_form=DetachedW,
    ),
    "last row dropped": Mistake(
        {LOSS: None, GW: "row 3 is left out", Gw: "row 3 is left out", JVP: None, HW: None, Hw: None},
        problems=("4x3x3",),
        data=lambda box, data: {name: value[:-1] for name, value in data.items()},
        closed_form=LastRowDropped,
        often=True,
    ),
    "X cast to float32": Mistake(
        {LOSS: X32, GW: X32, Gw: X32, JVP: X32, HW: X32, Hw: X32},
        data=lambda box, data: {**data, "X": box.float32(data["X"])},
        closed_form=NarrowX,
    ),
    "logits cast to float32": Mistake(
        dict.fromkeys((LOSS, GW, Gw, JVP, HW, Hw), SOME32),
        logits=lambda box, z: box.float32(z),
        closed_form=NarrowLogits,
        often=True,
    ),
    "W not penalised": Mistake(
        {LOSS: L2_OF_W, GW: L2, JVP: L2_OF_W, HW: L2}, problems=NOT_PLAIN, penalised=("w",), closed_form=PenaltyOfWOnly
    ),
    "slope scaled by 1 + 1e-9": Mistake(
        {GW: SLOPE, Gw: SLOPE, JVP: None, HW: SLOPE, Hw: SLOPE},
        problems=("4x3x3",),
        softplus=scaled(lambda spec: 1 + 1e-9),
        closed_form=SlopeScaled,
        often=True,
    ),
    "c left out of the slope": Mistake(
        dict.fromkeys((GW, Gw, JVP, HW, Hw), "factor 1/c of the data term"),
        problems=NOT_PLAIN,
        softplus=scaled(lambda spec: 1 / spec.logit_scale),
        closed_form=SlopeWithoutC,
    ),
    "stale W": Mistake(
        dict.fromkeys((LOSS, GW, Gw, JVP, HW, Hw), ""),
        problems=SHAPES,
        params=one_step_late,
        closed_form=Stale,
        often=True,
    ),
    "slope zeroed beyond 30": Mistake(
        {GW: SATURATED, Gw: SATURATED, JVP: None, HW: None, Hw: None},
        problems=("extreme",),
        softplus=zeroed,
        closed_form=ZeroedBeyond30,
    ),
}

#: What is not finite depends on how a framework differentiates log, but the loss never is.
NAIVE = Mistake({}, problems=("extreme",), softplus=naive, closed_form=Naive)
RIGHT = Mistake({}, problems=(*SHAPES, "extreme"))
