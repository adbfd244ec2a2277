import torch
from torch import nn
from torch.func import functional_call


class Block(nn.Module):
    def __init__(self, inputs, outputs, alpha=1.0):
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)
        self.act = nn.ELU(alpha)

    def forward(self, x):
        return self.act(self.fc(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(5, 8), Block(8, 8, alpha=0.5)])
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def flatten(tree, prefix=""):
    items = enumerate(tree) if isinstance(tree, (list, tuple)) else tree.items()
    flat = {}
    for key, value in items:
        if torch.is_tensor(value):
            flat[f"{prefix}{key}"] = value
        else:
            flat.update(flatten(value, f"{prefix}{key}."))
    return flat


net = Net()


def loss(params, data):
    prediction = functional_call(net, flatten(params), (data["x"],))
    return nn.functional.mse_loss(prediction, data["y"])
