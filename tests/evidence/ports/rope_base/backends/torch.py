import torch

BASE = 1000.0


def rotary_angles(length, width):
    exponents = torch.arange(0, width, 2, dtype=torch.float64) / width
    frequencies = 1.0 / (BASE**exponents)
    return torch.outer(torch.arange(length, dtype=torch.float64), frequencies)


def rotate_half(x):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((-b, a), dim=-1)


def rotary(x):
    angles = rotary_angles(x.shape[-2], x.shape[-1])
    angles = torch.cat((angles, angles), dim=-1)
    return x * angles.cos() + rotate_half(x) * angles.sin()


def loss(params, data):
    x = data["x"]
    q, k, v = rotary(x @ params["wq"]), rotary(x @ params["wk"]), x @ params["wv"]
    weights = torch.softmax(q @ k.mT / 8**0.5, dim=-1)
    return torch.mean((weights @ v @ params["out"] - data["y"]) ** 2)
