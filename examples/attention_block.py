"""A causal self-attention block before its layer norm, two heads, with its residual connection.

    n = (x - mean) / sqrt(var + EPSILON) * gain + bias,   q, k, v = n Wq, n Wk, n Wv in each head
    a = softmax over earlier and equal positions of q . k / sqrt(head width),   out = x + sum over heads of (a v) Wo
    loss = mean (out - y)^2

Source: A. Vaswani et al., "Attention is all you need", NeurIPS (2017), equation 1, with the layer norm first.

What goes wrong when it is ported: EPSILON of layer norm (PyTorch 1e-5, Flax 1e-6) and its variance (of all
elements, and not `correction=1`, PyTorch's default in `var`); the scale by the model's width and not the head's;
heads split as (width, heads) by one `reshape` and (heads, width) by the other: every shape fits; a softmax over
queries and not keys.
"""

import numpy as np

BATCH, LENGTH, WIDTH, HEADS, HEAD_WIDTH = 2, 6, 8, 2, 4
EPSILON = 1e-5


def parameters(rng):
    """Layer norm's `gain` and `bias (8,)`; `Wq`, `Wk` and `Wv (8, 2, 4)` for two heads of width 4; `Wo (2, 4, 8)`."""
    into, out_of = (WIDTH, HEADS, HEAD_WIDTH), (HEADS, HEAD_WIDTH, WIDTH)
    return {
        "norm": {"gain": 1.0 + 0.1 * rng.standard_normal(WIDTH), "bias": 0.1 * rng.standard_normal(WIDTH)},
        "attention": {
            **{name: rng.standard_normal(into) / WIDTH**0.5 for name in ("Wq", "Wk", "Wv")},
            "Wo": rng.standard_normal(out_of) / WIDTH**0.5,
        },
    }


def data(rng):
    """Inputs `x` and targets `y (2, 6, 8)`, and the mask `sees (6, 6)`: which query sees which key, as booleans."""
    shape = (BATCH, LENGTH, WIDTH)
    return {
        "x": rng.standard_normal(shape),
        "y": rng.standard_normal(shape),
        "sees": np.tril(np.ones((LENGTH, LENGTH), dtype=bool)),
    }


def layer_norm(x, gain, bias, xp):
    """Every position brought to mean 0 and variance 1 over the last axis, then scaled and shifted."""
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    return centred / xp.sqrt(xp.mean(centred**2, axis=-1, keepdims=True) + EPSILON) * gain + bias


def loss(params, data, xp):
    """Mean squared error of the block's output."""
    x, w = data["x"], params["attention"]
    normed = layer_norm(x, params["norm"]["gain"], params["norm"]["bias"], xp)
    q, k, v = (xp.einsum("btd,dhe->bhte", normed, w[name]) for name in ("Wq", "Wk", "Wv"))
    scores = xp.einsum("bhqe,bhke->bhqk", q, k) / HEAD_WIDTH**0.5
    # A product with the mask in place of scores of -inf: exactly zero as well, and never inf - inf.
    raised = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True)) * data["sees"]
    weights = raised / xp.sum(raised, axis=-1, keepdims=True)
    out = x + xp.einsum("bhqk,bhke,hed->bqd", weights, v, w["Wo"])
    return xp.mean((out - data["y"]) ** 2)
