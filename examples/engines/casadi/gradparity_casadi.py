"""CasADi: a loss traced once into a graph of scalars, whose derivatives are graphs too; each is run by its machine.

Scalars of `SX` lie in NumPy's own arrays, so that products, slices and broadcasting are NumPy's. That suits models of
up to some hundred thousand operations, which is what `SX` is for.
"""

from importlib.metadata import version
from types import ModuleType

import casadi as ca
import numpy as np


def logaddexp(a, b):
    """`log(exp(a) + exp(b))` by one comparison: by `fmax` and `fabs` its second derivative is 0 at a tie."""
    first = a >= b
    return ca.if_else(first, a, b) + ca.log1p(ca.exp(ca.if_else(first, b - a, a - b)))


def either(numbers, symbols):
    """NumPy's function where all arrays are of numbers, and another for arrays of symbols."""
    return lambda *arrays, **options: (symbols if any(np.asarray(a).dtype == object for a in arrays) else numbers)(
        *arrays, **options
    )


def namespace():
    """NumPy, which calls the methods of symbols; but for what asks them whether one is larger."""
    add, most, least = (np.frompyfunc(function, 2, 1) for function in (logaddexp, ca.fmax, ca.fmin))
    own = {"logaddexp": add, "maximum": most, "minimum": least, "max": most.reduce, "min": least.reduce}
    space = ModuleType("numpy for CasADi", np.__doc__)
    space.__dict__.update(vars(np), **{name: either(getattr(np, name), function) for name, function in own.items()})
    return space


def symbols(tree):
    """Arrays of symbols in place of those of real numbers, and all the symbols in a column."""
    columns = {name: ca.SX.sym(name, value.size) for name, value in tree.items() if value.dtype.kind == "f"}
    arrays = dict(tree)  # whole numbers may be positions: they are part of the graph
    for name, column in columns.items():
        arrays[name] = np.empty(tree[name].size, object)
        arrays[name][:] = column.elements()
        arrays[name] = arrays[name].reshape(tree[name].shape)
    return arrays, ca.vertcat(*columns.values())


def column(tree):
    """The real numbers of a tree in a column."""
    return np.concatenate([np.empty(0), *(value.ravel() for value in tree.values() if value.dtype.kind == "f")])


class Program:
    """A loss and its derivatives. Parameters, data and tangents are dictionaries of NumPy's arrays."""

    def __init__(self, loss):
        self.loss, self.functions = loss, {}

    def function(self, what, params, data):
        """The graph of a quantity, for all data of these shapes and these whole numbers."""
        held = [value.tobytes() for value in data.values() if value.dtype.kind != "f"]
        key = (what, *held, *(value.shape for value in [*params.values(), *data.values()]))
        if key not in self.functions:
            (p, at), (given, rows) = symbols(params), symbols(data)
            value = ca.SX(np.asarray(self.loss(p, given)).item())
            along, gradient = ca.SX.sym("tangents", at.numel()), ca.gradient(value, at)
            outputs = {
                "value": [value],
                "value_and_gradient": [value, gradient],
                "jvp": [ca.jtimes(value, at, along)],
                "hvp": [ca.jtimes(gradient, at, along)],
            }
            self.functions[key] = ca.Function(what, [at, rows, along], outputs[what])
        return self.functions[key]

    def call(self, what, params, data, tangents=None):
        """The outputs of a graph, as columns of numbers."""
        along = 0 if tangents is None else column(tangents)
        found = self.function(what, params, data).call([column(params), column(data), along])
        return [np.array(each).ravel() for each in found]

    def value(self, params, data):
        """The loss alone."""
        return self.call("value", params, data)[0][0]

    def value_and_gradient(self, params, data):
        """The loss, and its gradient by reverse mode."""
        (value,), gradient = self.call("value_and_gradient", params, data)
        return value, shaped(gradient, params)

    def jvp(self, params, data, tangents):
        """Along one direction, by forward mode."""
        return self.call("jvp", params, data, tangents)[0][0]

    def hvp(self, params, data, tangents):
        """Forward mode of the gradient."""
        return shaped(self.call("hvp", params, data, tangents)[0], params)

    def descend(self, params, data, steps, learning_rate):
        """Gradient descent, with the loss before each step."""
        losses = []
        for _ in range(steps):
            value, gradient = self.value_and_gradient(params, data)
            losses.append(value)
            params = {name: p - learning_rate * gradient[name] for name, p in params.items()}
        return np.array(losses), params


def shaped(numbers, params):
    """A column of numbers in the shapes of the parameters."""
    parts = np.split(numbers, np.cumsum([p.size for p in params.values()])[:-1])
    return {name: part.reshape(p.shape) for (name, p), part in zip(params.items(), parts, strict=True)}


class Backend:
    """What the entry point names an instance of."""

    #: CasADi's numbers are float64, whatever they are made from.
    precisions = ("float64",)

    def configure(self, threads):
        """Nothing to switch: its machine has one thread."""

    def versions(self):
        """What computes, by distribution."""
        return {"casadi": version("casadi")}

    def put(self, tree):
        """Copies of the host's arrays; a graph takes them as they are."""
        return {name: np.array(value) for name, value in tree.items()}

    def get(self, tree):
        """The host's arrays again; of a loss called on numbers, what may be CasADi's own."""
        found = {name: np.asarray(value) for name, value in tree.items()}
        return {name: np.float64(value) if value.dtype == object else value for name, value in found.items()}

    def wait(self, result):
        """Nothing here is asynchronous."""
        return result

    def namespace(self):
        """What a loss that is written once is given as `xp`."""
        return namespace()

    def program(self, loss):
        """What differentiates a loss, built in or not."""
        return Program(loss)


backend = Backend()
