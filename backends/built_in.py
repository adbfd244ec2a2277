"""The built-in models written once, for backends that have an array namespace and no ``loss(spec)`` of their own."""

from __future__ import annotations

from typing import Any

from gradparity.backends.protocol import Array, Backend, Data, Loss, NothingToRun, Params
from gradparity.model_spec.spec import Logistic


def built_in_loss(backend: Backend, spec: Logistic) -> Loss:
    """The built-in model for a backend: its own ``loss(spec)``, or what its array namespace makes of it.

    Raises:
        NothingToRun: it has neither.
    """
    own = getattr(backend, "loss", None)
    if own is not None:
        return own(spec)
    namespace = getattr(backend, "namespace", None)
    if namespace is None:
        raise NothingToRun("it has neither a loss(spec) nor a namespace() for the built-in model")
    return neutral_loss(spec, namespace())


def neutral_loss(spec: Logistic, xp: Any) -> Loss:
    """``loss(params, data)`` in any namespace with ``sum``, ``exp``, ``log``, ``logaddexp`` and ``zeros_like``.

    All rows at once: a loss alone cannot say how its gradient is to go over blocks, so ``blocked`` is ``reassociated``.
    """

    def loss(params: Params, data: Data) -> Array:
        X, y = data["X"], data["y"]
        if "W" not in params:
            z = X @ params["w"]
        elif spec.formulation == "as_written":
            z = (X @ params["W"]) @ params["w"]
        else:
            z = X @ (params["W"] @ params["w"])
        logits = spec.logit_scale * z
        if spec.numerics == "stable":
            margins = (1 - 2 * y) * logits
            total = xp.sum(xp.logaddexp(xp.zeros_like(margins), margins))
        else:
            p = 1 / (1 + xp.exp(-logits))
            total = -xp.sum(xp.log(p * y + (1 - p) * (1 - y)))
        if spec.reduction == "mean":
            total = total / y.shape[0]
        if spec.l2:
            total = total + 0.5 * spec.l2 * sum(xp.sum(p * p) for p in params.values())
        return total

    return loss
