"""Keras over PyTorch: the tape, the tape again, and `torch.func.jvp`, of what `keras.ops` computes eagerly."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import torch

from gradparity_keras import Backend


class Program:
    """A loss and its derivatives. Parameters, data and tangents are dictionaries of tensors."""

    def __init__(self, loss):
        self.value = self.loss = loss

    def reverse(self, params, data, **options):
        """The loss and its gradient, by the tape; and the leaves that it is in."""
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        value = self.loss(leaves, data)
        gradient = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True, **options)
        return value, dict(zip(leaves, gradient, strict=True)), leaves

    def value_and_gradient(self, params, data):
        """The loss and its gradient."""
        value, gradient, _ = self.reverse(params, data)
        return value.detach(), gradient

    def jvp(self, params, data, tangents):
        """Along one direction, by forward mode."""
        value, along = torch.func.jvp(lambda params: self.loss(params, data), (params,), (tangents,))
        return along.to(value.dtype)

    def hvp(self, params, data, tangents):
        """The gradient of the gradient times the tangents, from where the graph goes on."""
        _, gradient, leaves = self.reverse(params, data, create_graph=True)
        slope = sum((gradient[name] * tangents[name]).sum() for name in params)
        if not slope.requires_grad:
            return {name: torch.zeros_like(p) for name, p in params.items()}
        found = torch.autograd.grad(slope, list(leaves.values()), materialize_grads=True)
        return dict(zip(leaves, found, strict=True))

    def descend(self, params, data, steps, learning_rate):
        """Gradient descent, with the loss before each step."""
        losses = []
        for _ in range(steps):
            value, gradient = self.value_and_gradient(params, data)
            params = {name: p - learning_rate * gradient[name] for name, p in params.items()}
            losses.append(value)
        return torch.stack(losses), params


backend = Backend(keras, torch, Program, torch.set_num_threads)
