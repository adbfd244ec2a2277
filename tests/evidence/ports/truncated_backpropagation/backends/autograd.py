import autograd.numpy as np
from autograd.extend import notrace_primitive

CHUNK = 3


@notrace_primitive
def stop_gradient(x):
    return x


def cell(p, x, h):
    return np.tanh(np.dot(x, p["weight_ih"].T) + p["bias_ih"] + np.dot(h, p["weight_hh"].T) + p["bias_hh"])


def loss(params, data):
    h, total = np.zeros((8, 5)), 0.0
    for t in range(6):
        h = stop_gradient(h) if t == CHUNK else h
        h = cell(params, data["x"][t], h)
        total = total + np.mean((h - data["y"][t]) ** 2)
    return total / 6
