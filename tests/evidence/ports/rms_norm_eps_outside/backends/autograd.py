import autograd.numpy as np

EPS = 1e-3


def rms_norm(x, gain):
    ms = np.mean(x**2, axis=-1, keepdims=True)
    return gain * x / (np.sqrt(ms) + EPS)


def loss(params, data):
    x = data["x"]
    for block in params["blocks"]:
        x = x + np.tanh(rms_norm(x, block["g"]) @ block["w"])
    return np.mean((x @ params["out"] - data["y"]) ** 2)
