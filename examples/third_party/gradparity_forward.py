"""HIPS autograd in forward mode: the gradient by one pass for each parameter, the Hessian by passes over passes.

Forward rules are written apart from reverse rules, so this backend checks one set by the other. It takes as many
passes as there are parameters: a second opinion for small models, and no way to train large ones.
"""

from importlib.metadata import version

import autograd.numpy as anp
import numpy as np
from autograd import make_jvp


def for_each_parameter(params, derivative):
    """`derivative(direction)` along each coordinate in turn, in the shapes of the parameters."""
    out = {name: np.empty_like(value) for name, value in params.items()}
    for name, value in params.items():
        for index in np.ndindex(value.shape):
            direction = {other: np.zeros_like(p) for other, p in params.items()}
            direction[name][index] = 1
            out[name][index] = derivative(direction)
    return out


class Program:
    """A loss and its derivatives. Parameters, data and tangents are dictionaries of NumPy arrays."""

    def __init__(self, loss):
        self.value = loss

    def jvp(self, params, data, tangents):
        """Along one direction: a single pass."""
        return make_jvp(lambda p: self.value(p, data))(params)(tangents)[1]

    def value_and_gradient(self, params, data):
        """The gradient, one parameter after the other."""
        gradient = for_each_parameter(params, lambda direction: self.jvp(params, data, direction))
        return self.value(params, data), gradient

    def hvp(self, params, data, tangents):
        """Forward over forward: how the derivative along the tangents changes along each parameter."""
        slope = make_jvp(lambda p: self.jvp(p, data, tangents))(params)
        return for_each_parameter(params, lambda direction: slope(direction)[1])

    def descend(self, params, data, steps, learning_rate):
        """Gradient descent, with the loss before each step."""
        losses = []
        for _ in range(steps):
            value, gradient = self.value_and_gradient(params, data)
            losses.append(value)
            params = {name: p - learning_rate * gradient[name] for name, p in params.items()}
        return np.array(losses), params


class Backend:
    """What the entry point names an instance of."""

    def configure(self, threads):
        """Nothing to switch: the launcher has set the threads of NumPy's BLAS."""

    def versions(self):
        """What computes, by distribution."""
        return {"autograd": version("autograd"), "gradparity-forward": version("gradparity-forward")}

    def put(self, tree):
        """Copies of the host's arrays; autograd computes on NumPy's own."""
        return {name: np.array(value) for name, value in tree.items()}

    def get(self, tree):
        """The host's arrays again."""
        return {name: np.asarray(value) for name, value in tree.items()}

    def wait(self, result):
        """Nothing here is asynchronous."""
        return result

    def namespace(self):
        """What a loss that is written once is given as `xp`."""
        return anp

    def program(self, loss):
        """What differentiates a loss, built in or not."""
        return Program(loss)


backend = Backend()
