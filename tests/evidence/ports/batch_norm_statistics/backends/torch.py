import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, m, n):
        super().__init__()
        self.fc = nn.Linear(m, n)
        self.bn = nn.BatchNorm1d(n, track_running_stats=False)

    def forward(self, x):
        return torch.tanh(self.bn(self.fc(x)))


model = nn.ModuleDict({"one": Block(5, 7), "two": Block(7, 6)})


def run(name, tree, x):
    state = {f"{layer}.{key}": value for layer, sub in tree.items() for key, value in sub.items()}
    return torch.func.functional_call(model[name], state, x)


def loss(params, data):
    h = data["x"]
    for name, tree in params.items():
        h = run(name, tree, h)
    return nn.functional.mse_loss(h, data["y"])
