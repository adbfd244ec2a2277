import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call


class WeightNormLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.v = nn.Parameter(torch.randn(outputs, inputs))
        self.g = nn.Parameter(torch.ones(outputs, 1))
        self.b = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        weight = self.g * F.normalize(self.v, dim=1)
        return F.linear(x, weight, self.b)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = WeightNormLinear(6, 6)
        self.second = WeightNormLinear(6, 6)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


net = Net()


def loss(params, data):
    state = {f"{layer}.{name}": value for layer, tree in params.items() for name, value in tree.items()}
    return F.mse_loss(functional_call(net, state, data["x"]), data["y"])
