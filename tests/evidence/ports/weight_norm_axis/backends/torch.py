import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import weight_norm


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = weight_norm(nn.Linear(6, 6))
        self.second = weight_norm(nn.Linear(6, 6))

    def forward(self, x):
        h = torch.tanh(self.first(x))
        return self.second(h)


NAMES = {"g": "parametrizations.weight.original0", "v": "parametrizations.weight.original1", "b": "bias"}
net = Net()


def loss(params, data):
    state = {f"{layer}.{NAMES[name]}": x for layer, tree in params.items() for name, x in tree.items()}
    return nn.functional.mse_loss(functional_call(net, state, data["x"]), data["y"])
