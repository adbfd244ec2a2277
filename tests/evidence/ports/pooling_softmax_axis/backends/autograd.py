import autograd.numpy as np
from autograd.scipy.special import logsumexp


def softmax(z, axis):
    return np.exp(z - logsumexp(z, axis=axis, keepdims=True))


def loss(params, data):
    x = data["x"]
    scores = np.dot(np.tanh(np.dot(x, params["score"]["w"])), params["score"]["v"])
    weights = softmax(scores, axis=0)
    logits = np.dot(np.sum(weights[:, :, None] * x, axis=1), params["out"])
    return np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(x)), data["labels"]])
