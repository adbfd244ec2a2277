import autograd.numpy as np
from autograd.scipy.special import logsumexp


def encoding(length, width):
    rate = 1.0 / 10000.0 ** (np.arange(0, width, 2) / width)
    angles = np.outer(np.arange(length), rate)
    return np.concatenate((np.sin(angles), np.cos(angles)), axis=1)


def loss(params, data):
    e = params["embedding"][data["ids"]]
    h = np.tanh(np.dot(e + encoding(5, 6), params["fc"]))
    logits = np.dot(np.mean(h, axis=1), params["out"])
    return np.mean(logsumexp(logits, axis=1) - logits[np.arange(10), data["labels"]])
