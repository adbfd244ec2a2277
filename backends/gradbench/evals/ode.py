"""GradBench's ``ode``: a chain of differential equations by Runge and Kutta's method of order 4.

    y_0' = x_0,   y_i' = x_i y_(i-1),   y(0) = 0,   from t = 0 to 2 in s steps

``primal`` is the vector y(2), and ``gradient`` that of its last number. Both are derivatives of one loss, the product
of `weights` and y, where the last weight is 1 and the others are 0: in the weights and in x. GradBench draws x as here,
1,000 numbers or more, and has 1 to 100 steps.
"""

import numpy as np

from gradparity.backends.gradbench.wire import Wire, count, size
from gradparity.model_spec.errors import InputError

SIZES, STEPS, END = (8, 6), (4, 3), 2.0


def parameters(rng):
    """`x (8,)`, and `weights (8,)` of which the last is 1; of an odd seed 6 of both."""
    length = size(rng, *SIZES)
    return {"x": rng.random(length), "weights": _last(length)}


def data(rng):
    """Numbers of the steps, `steps (4,)`, or 3 of an odd seed."""
    return {"steps": np.arange(size(rng, *STEPS))}


def loss(params, data, xp):
    """`weights . y(2)`."""
    return xp.sum(params["weights"] * _final(params["x"], data["steps"].shape[0], xp))


def _final(x, steps, xp):
    """The vector y at the end."""
    h = END / steps
    one = xp.ones_like(x[:1])

    def slope(y):
        return x * xp.concatenate([one, y[:-1]])

    y = xp.zeros_like(x)
    for _ in range(steps):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return y


def _last(length):
    return np.append(np.zeros(length - 1), 1.0)


class _Wire(Wire):
    vector, loops = "weights", True

    def written(self, params, data):
        return {"x": params["x"].tolist(), "s": len(data["steps"])}

    def read(self, given):
        params, _ = super().read(given)
        if not params["x"].size:
            raise InputError("input x", got="none", expected="one number or more")
        return {**params, "weights": _last(params["x"].size)}, {"steps": np.arange(count(given, "s", 1))}

    def primal_shape(self, params):
        return params["x"].shape

    def understood(self, primal, answer, params, data):
        if not np.array_equal(params["weights"], _last(len(params["x"]))):
            expected = "0, ..., 0, 1: GradBench has the gradient of the last number alone"
            raise InputError("weights", got="others", expected=expected)
        return primal[-1], {"x": answer, "weights": primal}


WIRE = _Wire()
