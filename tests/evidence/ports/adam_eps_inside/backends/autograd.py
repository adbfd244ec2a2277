import autograd.numpy as np


def adam(v, gradient, steps=2, lr=0.1, b1=0.9, b2=0.999, eps=1e-3):
    m = s = np.zeros(v.shape)
    for t in range(1, steps + 1):
        g = gradient(v)
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * g**2
        root = np.sqrt(s / (1 - b2**t))
        v = v - lr * m / (1 - b1**t) / (root + eps)
    return v


def loss(params, data):
    h = np.tanh(np.dot(data["x"], params["w"]))

    def gradient(v):
        return 2 * np.dot(h.T, np.dot(h, v) - data["y"]) / data["y"].size

    v = adam(params["v"], gradient)
    return np.mean((np.dot(h, v) - data["y"]) ** 2)
