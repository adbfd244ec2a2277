from torch import nn
from torch.func import functional_call

cell = nn.RNNCell(3, 5)


def loss(params, data):
    h = data["x"].new_zeros(8, 5)
    total = 0.0
    for x, y in zip(data["x"], data["y"]):
        h = functional_call(cell, params, (x, h))
        total = total + (h - y).square().mean()
    return total / 6
