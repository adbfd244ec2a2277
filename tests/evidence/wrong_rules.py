"""The built-in model with a derivative rule that is off by a known factor, in each framework's own way to state a rule.

Its data hold, beside ``X`` and ``y``, the factors: ``scale (S,)`` of each row's softplus', and ``block ()`` of the
derivative through W. They are data so that a compiled program serves for every size of the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradparity.backends.numpy_backend import ClosedFormLoss
from gradparity.backends.protocol import Data, Loss, Params
from gradparity.model_spec import Logistic

Rule = Callable[[Any], Any]


class WrongClosedForm(ClosedFormLoss):
    """NumPy's closed form with the slope of row i scaled by ``scale[i]``, and the derivative in W by ``block``.

    For the sum over rows without a penalty: what the rows that are off add is then their own gradient, times the error.
    """

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Any, Params]:
        """The right loss, the wrong gradient."""
        value, gradient = super().value_and_gradient(params, data)
        gradient = self._off(
            gradient, data, lambda rows: super(WrongClosedForm, self).value_and_gradient(params, rows)[1]
        )
        return value, {**gradient, "W": data["block"] * gradient["W"]}

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        """The wrong product, of the rows' slopes alone."""
        product = super().hvp(params, data, tangents)
        return self._off(product, data, lambda rows: super(WrongClosedForm, self).hvp(params, rows, tangents))

    def _off(self, tree: Params, data: Data, of_rows: Callable[[Data], Params]) -> Params:
        off = data["scale"] != 1
        if not off.any():
            return tree
        more, d = of_rows({name: data[name][off] for name in ("X", "y")}), data["scale"][off][0] - 1
        return {name: tree[name] + d * more[name] for name in tree}


def wrong_loss(name: str, spec: Logistic) -> Loss:
    """The built-in model in one framework, its rules scaled by ``data["scale"]`` and ``data["block"]``."""
    if name == "numpy":
        return WrongClosedForm(spec)
    ruled, softplus, sigmoid, one = {"autograd": _autograd, "jax": _jax, "torch": _torch}[name]()
    scaled_softplus, scaled_identity = ruled(softplus, sigmoid), ruled(lambda x: x * 1, one)

    def loss(params: Params, data: Data) -> Any:
        z = (data["X"] @ scaled_identity(params["W"], data["block"])) @ params["w"]
        return scaled_softplus((1 - 2 * data["y"]) * z, data["scale"]).sum()

    return loss


def _one(_: Any) -> int:
    return 1


def _autograd() -> tuple[Any, Rule, Rule, Rule]:
    from autograd.extend import defjvp, defvjp, primitive

    from gradparity.backends.autograd_backend import sigmoid, softplus

    def ruled(f: Rule, slope: Rule) -> Any:
        g = primitive(lambda x, _: f(x))
        defvjp(g, lambda _, x, scale: lambda cotangent: cotangent * scale * slope(x), argnums=(0,))
        defjvp(g, lambda tangent, _, x, scale: tangent * scale * slope(x), argnums=(0,))
        return g

    return ruled, softplus, sigmoid, _one


def _jax() -> tuple[Any, Rule, Rule, Rule]:
    import jax

    from gradparity.backends.jax_backend import sigmoid, softplus

    def ruled(f: Rule, slope: Rule) -> Any:
        g = jax.custom_jvp(lambda x, _: f(x))
        g.defjvp(lambda primals, tangents: (g(*primals), tangents[0] * primals[1] * slope(primals[0])))
        return g

    return ruled, softplus, sigmoid, _one


def _torch() -> tuple[Any, Rule, Rule, Rule]:
    import torch

    from gradparity.backends.torch_eager import curved_softplus

    def ruled(f: Rule, slope: Rule) -> Any:
        class Ruled(torch.autograd.Function):
            @staticmethod
            def forward(x: Any, _: Any) -> Any:
                return f(x)

            @staticmethod
            def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004 - torch calls it by position
                ctx.save_for_backward(*inputs)
                ctx.save_for_forward(*inputs)

            @staticmethod
            def backward(ctx: Any, cotangent: Any) -> Any:
                x, scale = ctx.saved_tensors
                return cotangent * scale * slope(x), None

            @staticmethod
            def jvp(ctx: Any, tangent: Any, _: Any) -> Any:
                x, scale = ctx.saved_tensors
                return tangent * scale * slope(x)

        return Ruled.apply

    def sigmoid(m: Any) -> Any:
        t = torch.exp(-torch.abs(m))
        return torch.where(m >= 0, 1, t) / (1 + t)

    return ruled, curved_softplus, sigmoid, _one
