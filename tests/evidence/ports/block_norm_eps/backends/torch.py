import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, width=6, hidden=8):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x):
        h = self.norm(x)
        return x + self.down(torch.tanh(self.up(h)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Residual() for _ in range(2))
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def named(tree, path=()):
    if isinstance(tree, torch.Tensor):
        return {".".join(path): tree}
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {k: v for key, sub in pairs for k, v in named(sub, (*path, str(key))).items()}


def loss(params, data):
    out = torch.func.functional_call(Net(), named(params), (data["x"],))
    return ((out - data["y"]) ** 2).mean()
