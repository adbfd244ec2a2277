"""GradBench's ``hello``: the square of a number, and its derivative, ``double``."""

from gradparity.backends.gradbench.wire import Wire, array


def parameters(rng):
    """`x ()`."""
    return {"x": rng.standard_normal(())}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """`x^2`."""
    return params["x"] * params["x"]


def gradient(params, data):
    """`2 x`."""
    return {"x": 2 * params["x"]}


class _Wire(Wire):
    primal, derivative = "square", "double"

    def written(self, params, data):
        return float(params["x"])

    def read(self, given):
        return {"x": array({"x": given}, "x", 0)}, {}


WIRE = _Wire()
