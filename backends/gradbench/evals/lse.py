"""GradBench's ``lse``: the logarithm of a sum of exponentials, largest term first.

    a = max x,   loss = a + log sum_i exp(x_i - a)

GradBench draws as it is drawn here, uniformly between 0 and 1, from 2,500 numbers on.
"""

import numpy as np

from gradparity.backends.gradbench.wire import Wire, size

SIZES = 200, 150


def parameters(rng):
    """`x (200,)`, or 150 of an odd seed."""
    return {"x": rng.random(size(rng, *SIZES))}


def data(rng):
    """None."""
    return {}


def loss(params, data, xp):
    """`log sum_i exp(x_i)`."""
    x = params["x"]
    largest = xp.max(x)
    return largest + xp.log(xp.sum(xp.exp(x - largest)))


def gradient(params, data):
    """`exp(x) / sum_i exp(x_i)`."""
    terms = np.exp(params["x"] - np.max(params["x"]))
    return {"x": terms / np.sum(terms)}


WIRE = Wire()
