"""Logistic regression, ported: an `nn.Module` beside plain JAX and autograd, on 200 rows of breast_cancer.

    loss = mean_i [softplus(z_i) - y_i z_i] + L2/2 |w|^2,   z = X w + b

Source: C. Bishop, Pattern Recognition and Machine Learning (2006), section 4.3.2, equation 4.90.

This file says what the parameters and the data are, and each file in `backends/` computes the loss in its
framework's own way. The neutral `loss` is optional: with it, the truth is certified; without it, the ports are
compared with each other.

What goes wrong when it is ported: `nn.Linear` keeps its weight as (1, F); `BCELoss` on logits, or
`BCEWithLogitsLoss` on probabilities; logits of shape (S, 1) less labels of shape (S,), which broadcast to (S, S)
without a word; `weight_decay` of an optimiser, which acts on the bias too and is not in the loss at all.
"""

ROWS, FEATURES = 200, 8
L2 = 0.01


def parameters(rng):
    """Weights `w (8,)` and the bias `b (1,)`."""
    return {"w": 0.5 * rng.standard_normal(FEATURES), "b": 0.1 * rng.standard_normal(1)}


def data(rng):
    """Standardised features `X (200, 8)` and labels `y (200,)` of 0 and 1; nothing is drawn."""
    from sklearn.datasets import load_breast_cancer  # here, since every backend's process imports this file

    del rng
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[:ROWS, :FEATURES], y[:ROWS]
    return {"X": (X - X.mean(axis=0)) / X.std(axis=0), "y": y.astype(float)}


def loss(params, data, xp):
    """The definition, in any array namespace."""
    z = data["X"] @ params["w"] + params["b"]
    return xp.mean(xp.logaddexp(xp.zeros_like(z), z) - data["y"] * z) + 0.5 * L2 * xp.sum(params["w"] ** 2)
