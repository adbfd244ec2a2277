"""PyTensor: a loss is built once as a symbolic graph, which is differentiated, rewritten and compiled as a whole.

`--env PYTENSOR_FLAGS=...` chooses its mode, its linker and its compiler.
"""

from importlib.metadata import version

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import Rop


class Namespace:
    """PyTensor's functions where an argument is symbolic, and NumPy's of the same name where all are arrays."""

    def __getattr__(self, name):
        own, host = getattr(pt, name), getattr(np, name)
        if not callable(host):
            return host
        return lambda *args, **options: (own if symbolic(args) else host)(*args, **options)


def symbolic(value):
    """Whether a variable of a graph is among these."""
    return any(map(symbolic, value)) if isinstance(value, list | tuple) else isinstance(value, pt.TensorVariable)


def real(tree):
    """The arrays of real numbers; whole numbers are part of the graph."""
    return {name: value for name, value in tree.items() if str(value.dtype).startswith("float")}


def symbols(tree):
    """A variable for each array of real numbers."""
    shapes = {name: getattr(value, "type", value).shape for name, value in real(tree).items()}
    return {name: pt.tensor(name, dtype=str(tree[name].dtype), shape=shape) for name, shape in shapes.items()}


class Program:
    """A loss and its derivatives. Parameters, data and tangents are dictionaries of NumPy's arrays."""

    def __init__(self, loss):
        self.loss, self.functions = loss, {}

    def call(self, what, params, data, tangents=None):
        """The outputs of a function, compiled for these shapes, dtypes and whole numbers."""
        held = [value.tobytes() for value in data.values() if value.dtype.kind != "f"]
        key = (what, *held, *((value.shape, value.dtype) for value in [*params.values(), *data.values()]))
        if key not in self.functions:
            # By default a float32 beside a whole number, as in a sum over `y.shape[0]`, becomes a float64.
            dtype = next(iter(params.values())).dtype.name
            with pytensor.config.change_flags(cast_policy="numpy+floatX", floatX=dtype):
                self.functions[key] = self.compiled(what, symbols(params), data)
        given = [*params.values(), *real(data).values(), *(() if tangents is None else tangents.values())]
        return self.functions[key](*given)

    def compiled(self, what, p, data):
        """A function of the parameters, the real data and, for some, a direction."""
        d, along = symbols(data), symbols(p)
        value, wrt = self.loss(p, {**data, **d}), list(p.values())
        gradient = pytensor.grad(value, wrt, disconnected_inputs="ignore")
        outputs = {
            "value": lambda: [value],
            "value_and_gradient": lambda: [value, *gradient],
            "jvp": lambda: [Rop(value, wrt, list(along.values()))],
            "hvp": lambda: Rop(gradient, wrt, list(along.values())),
        }[what]()
        inputs = [*wrt, *d.values(), *(along.values() if what in ("jvp", "hvp") else ())]
        return pytensor.function(inputs, outputs, on_unused_input="ignore")

    def value(self, params, data):
        """The loss alone."""
        return self.call("value", params, data)[0]

    def value_and_gradient(self, params, data):
        """The loss, and its gradient by reverse mode."""
        value, *gradient = self.call("value_and_gradient", params, data)
        return value, dict(zip(params, gradient, strict=True))

    def jvp(self, params, data, tangents):
        """Along one direction, by forward mode."""
        return self.call("jvp", params, data, tangents)[0]

    def hvp(self, params, data, tangents):
        """Forward mode of the gradient."""
        return dict(zip(params, self.call("hvp", params, data, tangents), strict=True))

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
        """Nothing to switch: variables have the dtype of their arrays, and the launcher has set the threads."""

    def versions(self):
        """What computes, by distribution."""
        return {"pytensor": version("pytensor")}

    def put(self, tree):
        """Copies of the host's arrays; functions take them as they are."""
        return {name: np.array(value) for name, value in tree.items()}

    def get(self, tree):
        """The host's arrays again."""
        return {name: np.asarray(value) for name, value in tree.items()}

    def wait(self, result):
        """Nothing here is asynchronous."""
        return result

    def namespace(self):
        """What a loss that is written once is given as `xp`."""
        return Namespace()

    def program(self, loss):
        """What differentiates a loss, built in or not."""
        return Program(loss)


backend = Backend()
