"""Runs of optimisers that no one here wrote: torch.optim's and optax's, on a quadratic with a ripple."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Blocks = dict[str, Any]


def problem(n: int, seed: int) -> tuple[Any, Any, Any]:
    """A matrix, a target and a start; the spread of curvatures keeps gradients of many sizes."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n)) / np.sqrt(n), rng.normal(size=n), rng.normal(size=n)


def torch_run(
    make: Callable[[list[Any]], Any],
    dtype: str,
    *,
    steps: int = 20,
    n: int = 30,
    seed: int = 0,
    scheduler: Callable[[Any], Any] | None = None,
    clip: Callable[[list[Any]], Any] | None = None,
    zero_grad: bool = True,
) -> tuple[Blocks, Blocks]:
    """Parameters at steps 0 to T, and the gradients before each; ``clip`` acts on parameters' gradients.

    Without ``zero_grad`` they are summed over the steps, and what is returned is that of each alone.
    """
    import torch

    real = getattr(torch, dtype)
    a, b, start = (torch.tensor(each, dtype=real) for each in problem(n, seed))
    w = start.clone().requires_grad_()
    bias = torch.linspace(-1, 1, 5, dtype=real).requires_grad_()
    params = {"w": w, "b": bias}
    optimiser = make(list(params.values()))
    course = scheduler(optimiser) if scheduler else None
    path = {name: [p.detach().numpy().copy()] for name, p in params.items()}
    gradients: dict[str, list[Any]] = {name: [] for name in params}
    for _ in range(steps):
        if zero_grad:
            optimiser.zero_grad()
        x = a @ w - b
        loss = (x * x).sum() / 2 + torch.cos(w).sum() + ((bias - w[:5]) ** 2).sum() + torch.exp(bias).sum()
        own = torch.autograd.grad(loss, [*params.values()], retain_graph=True)
        loss.backward()
        for name, g in zip(params, own, strict=True):
            gradients[name].append(g.numpy().copy())
        if clip:
            clip(list(params.values()))
        optimiser.step()
        if course:
            course.step()
        for name, p in params.items():
            path[name].append(p.detach().numpy().copy())
    return {k: np.array(v) for k, v in path.items()}, {k: np.array(v) for k, v in gradients.items()}


def optax_run(
    transformation: Any, dtype: str, *, steps: int = 20, n: int = 30, seed: int = 0, jit: bool = True
) -> tuple[Blocks, Blocks]:
    """The same with a transformation of optax's, its steps compiled."""
    import jax
    import jax.numpy as jnp
    import optax

    with jax.enable_x64(dtype == "float64"):
        a, b, start = (jnp.array(each, dtype) for each in problem(n, seed))
        params = {"w": start, "b": jnp.linspace(-1, 1, 5, dtype=dtype)}

        def loss(p: Any) -> Any:
            x = a @ p["w"] - b
            ripple = jnp.cos(p["w"]).sum() + ((p["b"] - p["w"][:5]) ** 2).sum() + jnp.exp(p["b"]).sum()
            return (x * x).sum() / 2 + ripple

        def step(p: Any, state: Any, g: Any) -> Any:
            updates, state = transformation.update(g, state, p)
            return optax.apply_updates(p, updates), state

        gradient, taken = jax.jit(jax.grad(loss)), jax.jit(step) if jit else step
        state, path, gradients = transformation.init(params), [params], []
        for _ in range(steps):
            gradients.append(gradient(params))
            params, state = taken(params, state, gradients[-1])
            path.append(params)
        return (
            {name: np.array([np.asarray(each[name]) for each in path]) for name in params},
            {name: np.array([np.asarray(each[name]) for each in gradients]) for name in params},
        )


def numpy_run(
    update: Callable[[int, Any, Any, dict[str, Any]], Any], dtype: str, *, steps: int = 20, n: int = 30, seed: int = 0
) -> tuple[Any, Any]:
    """The same problem without its second block, and an update written by hand: ``update(t, p, g, state) -> p``."""
    a, b, p = (each.astype(dtype) for each in problem(n, seed))
    path, gradients, state = [p], [], {}
    for t in range(1, steps + 1):
        g = (a.T @ (a @ p - b) - np.sin(p)).astype(dtype)
        gradients.append(g)
        p = update(t, p, g, state).astype(dtype)
        path.append(p)
    return np.array(path), np.array(gradients)
