"""tinygrad: reverse mode on its graph, captured and replayed by `TinyJit`. It has no forward mode, and so no JVP here.

Its CPU device compiles with clang. Where there is none, its emulator in Python runs the same kernels, slowly;
`--env DEV=...` chooses another.
"""

import os
import shutil
from importlib.metadata import version
from types import SimpleNamespace

os.environ.setdefault("DEV", "CPU" if shutil.which("clang") else "PYTHON")

import numpy as np
from tinygrad import Device, Tensor, TinyJit


def reduction(method):
    """A reduction of tinygrad's by NumPy's names of its arguments."""
    return lambda x, axis=None, keepdims=False: method(x, axis=axis, keepdim=keepdims)


#: NumPy's functions, which are methods of tensors here.
NAMES = {
    **{name: getattr(Tensor, name) for name in ("abs", "exp", "log", "logaddexp", "sqrt", "tanh", "where")},
    **{name: getattr(Tensor, name) for name in ("maximum", "reshape", "stack", "zeros_like", "ones_like")},
    **{name: reduction(getattr(Tensor, name)) for name in ("sum", "mean", "max", "min")},
}


class Program:
    """A loss and its derivatives. Parameters, data and tangents are dictionaries of tensors."""

    jvp = None

    def __init__(self, loss):
        self.loss = loss
        self.value = TinyJit(loss)
        self.value_and_gradient = TinyJit(self.differentiated)
        self.hvp = TinyJit(self.differentiated_twice)

    def differentiated(self, params, data):
        """The loss and its gradient."""
        value = self.loss(params, data)
        return value, dict(zip(params, value.gradient(*params.values()), strict=True))

    def differentiated_twice(self, params, data, tangents):
        """The gradient of the gradient times the tangents."""
        gradient = self.loss(params, data).gradient(*params.values())
        slope = sum((g * t).sum() for g, t in zip(gradient, tangents.values(), strict=True))
        return dict(zip(params, slope.gradient(*params.values()), strict=True))

    def descend(self, params, data, steps, learning_rate):
        """Gradient descent, with the loss before each step; new buffers, since the next replay writes into the old."""
        losses = []
        for _ in range(steps):
            value, gradient = self.value_and_gradient(params, data)
            params = {name: p - learning_rate * gradient[name] for name, p in params.items()}
            losses.append(value.clone())
            Tensor.realize(losses[-1], *params.values())
        return Tensor.stack(*losses), params


class Backend:
    """What the entry point names an instance of."""

    def configure(self, threads):
        """Nothing to switch: arrays bring their dtype along."""

    def versions(self):
        """What computes, by distribution, and on which of its devices."""
        return {"tinygrad": f"{version('tinygrad')} on {Device.DEFAULT}"}

    def put(self, tree):
        """Copies of the host's arrays on the device."""
        return {name: Tensor(np.array(value)).clone().realize() for name, value in tree.items()}

    def get(self, tree):
        """The host's arrays again."""
        return {name: value.numpy() for name, value in tree.items()}

    def wait(self, result):
        """A replay is synchronous on the CPU, and returns tensors that are there."""
        return result

    def seed(self, number):
        """Its generator, which a loss may draw from."""
        Tensor.manual_seed(number)

    def namespace(self):
        """What a loss that is written once is given as `xp`."""
        return SimpleNamespace(**NAMES)

    def program(self, loss):
        """What differentiates a loss, built in or not."""
        return Program(loss)


backend = Backend()
