import autograd.numpy as np


def center(k):
    k = k - np.mean(k, axis=1)
    return k - np.mean(k, axis=0)


def loss(params, data):
    a = np.tanh(np.dot(data["x"], params["w"]))
    b = np.tanh(np.dot(data["x"], params["v"]))
    k, m = center(np.dot(a, a.T)), np.dot(b, b.T)
    return -np.sum(k * m) / np.sqrt(np.sum(k**2) * np.sum(m**2))
