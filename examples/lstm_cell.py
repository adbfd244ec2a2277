"""An LSTM cell over five steps, and a linear readout of its last state.

    i, f, g, o = split(x_t Wx + h Wh + b)
    c = sigmoid(f) c + sigmoid(i) tanh(g),   h = sigmoid(o) tanh(c),   loss = mean (h_T v - y)^2

Source: S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9(8) (1997), with the forget
gate of F. Gers, J. Schmidhuber, F. Cummins (2000); gates in PyTorch's order.

What goes wrong when it is ported: the order of the gates (PyTorch and Keras i, f, g, o; Haiku i, g, f, o;
TensorFlow 1 i, g, f, o with 1 added to f): all shapes fit, and the loss is merely another; PyTorch's two biases
`bias_ih` and `bias_hh`, of which a port has one; a state that is detached between steps, which changes no loss and
truncates every gradient.
"""

import numpy as np

STEPS, BATCH, INPUTS, HIDDEN = 5, 4, 3, 5


def parameters(rng):
    """The cell's `Wx (3, 20)`, `Wh (5, 20)` and `b (20,)`, and the `readout (5,)`."""
    return {
        "cell": {
            "Wx": 0.5 * rng.standard_normal((INPUTS, 4 * HIDDEN)),
            "Wh": 0.5 * rng.standard_normal((HIDDEN, 4 * HIDDEN)),
            "b": 0.1 * rng.standard_normal(4 * HIDDEN),
        },
        "readout": rng.standard_normal(HIDDEN),
    }


def data(rng):
    """Sequences `x (5, 4, 3)`, steps first, the state `zeros (4, 5)` they start from, and targets `y (4,)`."""
    return {
        "x": rng.standard_normal((STEPS, BATCH, INPUTS)),
        "zeros": np.zeros((BATCH, HIDDEN)),  # from here it has the dtype of everything else: torch.zeros is float32
        "y": rng.standard_normal(BATCH),
    }


def sigmoid(x, xp):
    """`1 / (1 + exp(-x))`, by a function that does not overflow and that every namespace has."""
    return 0.5 * (1.0 + xp.tanh(0.5 * x))


def loss(params, data, xp):
    """Mean squared error of the readout after the last step."""
    cell, n = params["cell"], HIDDEN
    h = c = data["zeros"]
    for t in range(STEPS):
        gates = data["x"][t] @ cell["Wx"] + h @ cell["Wh"] + cell["b"]
        i, f, g, o = (gates[:, k * n : (k + 1) * n] for k in range(4))
        c = sigmoid(f, xp) * c + sigmoid(i, xp) * xp.tanh(g)
        h = sigmoid(o, xp) * xp.tanh(c)
    return xp.mean((h @ params["readout"] - data["y"]) ** 2)
