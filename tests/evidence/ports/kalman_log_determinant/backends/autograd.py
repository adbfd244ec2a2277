import autograd.numpy as np


def update(m, P, h, r, y):
    s = np.dot(h, np.dot(P, h)) + r
    innovation = y - np.dot(h, m)
    gain = np.dot(P, h) / s
    nll = 0.5 * innovation**2 / s
    return m + gain * innovation, P - np.outer(gain, np.dot(h, P)), nll


def loss(params, data):
    A, Q = params["A"], np.diag(np.exp(params["log_q"]))
    m, P, total = np.zeros(2), np.eye(2), 0.0
    for y in data["y"]:
        m, P = np.dot(A, m), np.dot(A, np.dot(P, A.T)) + Q
        m, P, nll = update(m, P, params["h"], np.exp(params["log_r"][0]), y)
        total = total + nll
    return total / len(data["y"])
