"""One classifier ported to three frameworks, each in its own words: right, and with a mistake that ports really have.

``h = tanh(X W0 + b0)``, ``logits = h W1 + b1``, mean cross-entropy of integer labels, plus ``0.05 |W0|^2``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.backends.protocol import Backend
from gradparity.judge.own import Answers
from gradparity.numerics.perturbation import floor_from, perturbed
from gradparity.worker.evaluation import evaluations_at
from gradparity.worker.extrapolation import own_derivatives
from tests.truth.neutral_models import problem_of

Tree = dict[str, Any]
Loss = Callable[[Tree, Tree], Any]


def problem(dtype: str = "float64", seed: int = 0) -> tuple[Tree, Tree, Tree]:
    """Parameters, data and tangents."""
    rng = np.random.default_rng([seed, 31])
    shapes = {"layers.0.W": (4, 5), "layers.0.b": (5,), "layers.1.W": (5, 3), "layers.1.b": (3,)}
    params, tangents = ({k: rng.standard_normal(s).astype(dtype) for k, s in shapes.items()} for _ in range(2))
    data = {"X": rng.standard_normal((30, 4)).astype(dtype), "labels": rng.integers(0, 3, 30)}
    return params, data, tangents


def autograd_loss(activation: str = "tanh") -> Loss:
    import autograd.numpy as np
    from autograd.scipy.special import logsumexp

    def loss(params: Tree, data: Tree) -> Any:
        z = np.dot(data["X"], params["layers.0.W"]) + params["layers.0.b"]
        h = np.tanh(z) if activation == "tanh" else z / (1 + np.abs(z))
        logits = np.dot(h, params["layers.1.W"]) + params["layers.1.b"]
        picked = logits[np.arange(len(data["labels"])), data["labels"]]
        penalty = 0.05 * np.sum(params["layers.0.W"] ** 2)
        return np.mean(logsumexp(logits, axis=1) - picked) + penalty

    return loss


def jax_loss(slope: float = 1.0) -> Loss:
    import jax
    import jax.numpy as jnp

    @jax.custom_jvp
    def tanh(z: Any) -> Any:
        return jnp.tanh(z)

    tanh.defjvps(lambda tangent, h, z: slope * tangent * (1 - h * h))

    def loss(params: Tree, data: Tree) -> Any:
        h = tanh(data["X"] @ params["layers.0.W"] + params["layers.0.b"])
        scores = jax.nn.log_softmax(h @ params["layers.1.W"] + params["layers.1.b"])
        hot = jax.nn.one_hot(data["labels"], 3, dtype=scores.dtype)
        return -(hot * scores).sum() / len(scores) + jnp.vdot(params["layers.0.W"], params["layers.0.W"]) / 20

    return loss


def torch_loss(mistake: str = "") -> Loss:
    import torch
    from torch.nn import functional

    def loss(params: Tree, data: Tree) -> Any:
        first = params["layers.0.W"].detach() if mistake == "detached" else params["layers.0.W"]
        h = torch.tanh(functional.linear(data["X"], first.T, params["layers.0.b"]))
        if mistake == "float32":
            h = h.float().double()
        logits = torch.addmm(params["layers.1.b"], h, params["layers.1.W"])
        reduction = "sum" if mistake == "sum" else "mean"
        penalty = params["layers.0.W"].pow(2).sum() * 0.05
        return functional.cross_entropy(logits, data["labels"], reduction=reduction) + (
            0 if mistake == "penalty" else penalty
        )

    return loss


def answers_of(backend: Backend, loss: Loss, dtype: str = "float64", seed: int = 0, draws: int = 16) -> Answers:
    """What a worker answers: values at the inputs, floors from inputs beside them, derivatives of the float64 loss."""
    program, inputs = backend.program(loss), problem(dtype, seed)
    values, *moved = evaluations_at(backend, program, [inputs, *perturbed(*inputs, seed=seed, draws=draws)])
    wide = problem_of(*inputs, seed).cast("float64")
    return Answers(values, floor_from(values, moved, dtype), own_derivatives(backend, program, wide))
