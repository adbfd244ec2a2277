"""Softmax (multinomial logistic) regression on iris: 150 rows, 4 features, 3 classes.

    loss = -mean_i log softmax(X_i W + b)[y_i] + L2/2 |W|^2

Source: C. Bishop, Pattern Recognition and Machine Learning (2006), section 4.3.4, equation 4.108.

What goes wrong when it is ported: softmax before a loss that applies log-softmax itself
(`torch.nn.CrossEntropyLoss` takes logits); a sum over rows for a mean; a penalty on the bias too; a softmax over
rows instead of classes; `log` of a softmax that has underflowed, where the maximum should have been subtracted.
"""

import numpy as np

L2 = 0.01


def parameters(rng):
    """Weights `W (4, 3)` and biases `b (3,)`."""
    return {"W": 0.5 * rng.standard_normal((4, 3)), "b": 0.1 * rng.standard_normal(3)}


def data(rng):
    """Standardised features `X (150, 4)` and classes `y (150,)`, integers from 0 to 2; nothing is drawn."""
    from sklearn.datasets import load_iris  # here, since every backend's process imports this file

    del rng
    X, y = load_iris(return_X_y=True)
    return {"X": (X - X.mean(axis=0)) / X.std(axis=0), "y": y.astype(np.int64)}


def loss(params, data, xp):
    """Mean cross-entropy and the penalty."""
    X, y = data["X"], data["y"]
    logits = X @ params["W"] + params["b"]
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    log_normaliser = xp.log(xp.sum(xp.exp(shifted), axis=1))
    of_the_label = shifted[xp.arange(y.shape[0]), y]
    return xp.mean(log_normaliser - of_the_label) + 0.5 * L2 * xp.sum(params["W"] ** 2)
