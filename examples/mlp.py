"""A multilayer perceptron with two hidden layers of tanh, mean squared error over two outputs.

    h_0 = X,   h_{k+1} = tanh(h_k W_k + b_k),   prediction = h_2 W_2 + b_2,   loss = mean (prediction - Y)^2

Source: I. Goodfellow, Y. Bengio, A. Courville, Deep Learning (2016), sections 6.1 to 6.4.

What goes wrong when it is ported: `nn.Linear` keeps `weight (out, in)`, Flax and Haiku `kernel (in, out)`: where
both are the same number a forgotten transpose raises nothing, as between the hidden layers here; the mean of
`torch.nn.MSELoss` is over rows *and* outputs, and a mean over rows of summed squares is twice as large here;
`jax.nn.gelu` is the tanh approximation unless told otherwise and `torch.nn.GELU` is not, hence tanh in this file.
"""

from itertools import pairwise

WIDTHS = (5, 8, 8, 2)


def parameters(rng):
    """Layers, each of `W (in, out)` and `b (out,)`: their paths are `layers.0.W`, `layers.0.b`, ..."""
    return {
        "layers": [
            {"W": rng.standard_normal((n, m)) / n**0.5, "b": 0.1 * rng.standard_normal(m)} for n, m in pairwise(WIDTHS)
        ]
    }


def data(rng):
    """Inputs `X (40, 5)` and targets `Y (40, 2)`."""
    return {"X": rng.standard_normal((40, WIDTHS[0])), "Y": rng.standard_normal((40, WIDTHS[-1]))}


def loss(params, data, xp):
    """Mean squared error over rows and outputs."""
    *hidden, last = params["layers"]
    h = data["X"]
    for layer in hidden:
        h = xp.tanh(h @ layer["W"] + layer["b"])
    return xp.mean((h @ last["W"] + last["b"] - data["Y"]) ** 2)
