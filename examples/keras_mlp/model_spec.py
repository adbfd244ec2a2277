"""A perceptron of Keras's layers, one port for all engines that Keras has.

    h = tanh(X K_1 + b_1),   prediction = h K_2 + b_2,   loss = mean (prediction - Y)^2

Source: F. Chollet, Deep Learning with Python (2021), section 3.6; the layers are `keras.layers.Dense`.

What goes wrong when it is ported: `nn.Linear` has its weight transposed; a layer without `dtype=` computes in Keras's
`floatx`, which is float32, and rounds what it is given; a layer that is called and not `stateless_call`ed takes its own
values, so that no gradient reaches the parameters.
"""

WIDTHS = (5, 8, 2)


def parameters(rng):
    """By Keras's names, `hidden` and `output`: a `kernel (in, out)` and a `bias (out,)` each."""
    wide, hidden, out = WIDTHS
    return {
        "hidden": {
            "kernel": rng.standard_normal((wide, hidden)) / wide**0.5,
            "bias": 0.1 * rng.standard_normal(hidden),
        },
        "output": {"kernel": rng.standard_normal((hidden, out)) / hidden**0.5, "bias": 0.1 * rng.standard_normal(out)},
    }


def data(rng):
    """Inputs `X (40, 5)` and targets `Y (40, 2)`."""
    return {"X": rng.standard_normal((40, WIDTHS[0])), "Y": rng.standard_normal((40, WIDTHS[-1]))}


def loss(params, data, xp):
    """The same, written once: what is true."""
    h = xp.tanh(data["X"] @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return xp.mean((h @ params["output"]["kernel"] + params["output"]["bias"] - data["Y"]) ** 2)
