"""MLX on the CPU, where it has float64: forward and reverse mode, and their composition, compiled."""

from importlib.metadata import version

import mlx.core as mx
import numpy as np


class Program:
    """A loss and its derivatives. Parameters, data and tangents are dictionaries of MLX's arrays."""

    def __init__(self, loss):
        self.loss, self.gradient = loss, mx.grad(loss)
        self.value, self.value_and_gradient = mx.compile(loss), mx.compile(mx.value_and_grad(loss))

    def jvp(self, params, data, tangents):
        """Along one direction, by forward mode, which takes lists."""
        names = list(params)
        return mx.jvp(
            lambda *values: self.loss(dict(zip(names, values, strict=True)), data),
            [params[name] for name in names],
            [tangents[name] for name in names],
        )[1][0]

    def hvp(self, params, data, tangents):
        """Forward mode of the gradient."""
        names = list(params)

        def gradient(*values):
            found = self.gradient(dict(zip(names, values, strict=True)), data)
            return [found[name] for name in names]

        along = mx.jvp(gradient, [params[name] for name in names], [tangents[name] for name in names])[1]
        return dict(zip(names, along, strict=True))

    def descend(self, params, data, steps, learning_rate):
        """Gradient descent, with the loss before each step; evaluated at each, or the graph would grow with them."""
        losses = []
        for _ in range(steps):
            value, gradient = self.value_and_gradient(params, data)
            params = {name: p - learning_rate * gradient[name] for name, p in params.items()}
            mx.eval(value, params)
            losses.append(value)
        return mx.stack(losses), params


class Backend:
    """What the entry point names an instance of."""

    def configure(self, threads):  # noqa: ARG002  # its BLAS has them from the launcher
        """The CPU: no GPU of Apple's has float64."""
        mx.set_default_device(mx.cpu)

    def versions(self):
        """What computes, by distribution."""
        return {"mlx": version("mlx")}

    def put(self, tree):
        """Copies of the host's arrays; without a dtype, float64 would become float32."""
        return {name: mx.array(value, dtype=getattr(mx, value.dtype.name)) for name, value in tree.items()}

    def get(self, tree):
        """The host's arrays again."""
        return {name: np.array(value) for name, value in tree.items()}

    def wait(self, result):
        """Evaluate: until then there is a graph and no number."""
        mx.eval(result)
        return result

    def seed(self, number):
        """Its generator, which a loss may draw from."""
        mx.random.seed(number)

    def namespace(self):
        """What a loss that is written once is given as `xp`: MLX has NumPy's names."""
        return mx

    def program(self, loss):
        """What differentiates a loss, built in or not."""
        return Program(loss)


backend = Backend()
