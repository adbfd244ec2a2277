"""The built-in models as neutral losses, for the series engine: written like the model, not like its closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradparity.model_spec.spec import Logistic


def neutral_loss(spec: Logistic) -> Callable[[Any, Any, Any], Any]:
    """``loss(params, data, xp)`` of a built-in model, in any array namespace.

    ``softplus(c z) - y c z`` as ``logaddexp(0, c z) - y c z``: the definition, whatever the formulation or numerics.
    """

    def loss(params: Any, data: Any, xp: Any) -> Any:
        z = data["X"] @ (params["W"] @ params["w"] if "W" in params else params["w"])
        logits = spec.logit_scale * z
        total = xp.sum(xp.logaddexp(xp.zeros_like(logits), logits) - data["y"] * logits)
        if spec.reduction == "mean":
            total = total / data["X"].shape[0]
        if spec.l2:
            total = total + 0.5 * spec.l2 * sum(xp.sum(p * p) for p in params.values())
        return total

    return loss
