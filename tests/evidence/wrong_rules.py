"""The built-in model with a derivative rule that is off by a known factor, in each framework's own way to state a rule.

Its data hold, beside ``X`` and ``y``, the factors: ``scale (S,)`` of each row's softplus', and ``block ()`` of the
derivative through W. They are data so that a compiled program serves for every size of the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradparity.backends.numpy_backend import ClosedFormLoss
from gradparity.backends.protocol import Data, Loss, Params
from gradparity.model_spec.spec import Logistic
from tests.mutants.frameworks import toolbox


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
    box = toolbox(name)
    scaled_softplus = box.primitive(box.softplus, lambda m, scale: scale * box.sigmoid(m))
    scaled_identity = box.primitive(lambda x: x * 1, lambda _, scale: scale)

    def loss(params: Params, data: Data) -> Any:
        z = (data["X"] @ scaled_identity(params["W"], data["block"])) @ params["w"]
        return scaled_softplus((1 - 2 * data["y"]) * z, data["scale"]).sum()

    return loss
