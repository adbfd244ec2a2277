import math

import torch
from torch import nn
from torch.func import functional_call


class PositionalEncoding(nn.Module):
    def __init__(self, width, length):
        super().__init__()
        position = torch.arange(length, dtype=torch.float64)[:, None]
        rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
        table = torch.zeros(length, width, dtype=torch.float64)
        table[:, 0::2] = torch.sin(position * rate)
        table[:, 1::2] = torch.cos(position * rate)
        self.register_buffer("table", table)

    def forward(self, x):
        return x + self.table[: x.shape[1]]


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.positions = PositionalEncoding(6, length=5)
        self.fc, self.out = nn.Linear(6, 6, bias=False), nn.Linear(6, 3, bias=False)

    def forward(self, ids):
        h = self.positions(self.embedding(ids))
        return self.out(torch.tanh(self.fc(h)).mean(dim=1))


classifier = Classifier()


def loss(params, data):
    state = {
        "embedding.weight": params["embedding"],
        "fc.weight": params["fc"].T,
        "out.weight": params["out"].T,
    }
    return nn.functional.cross_entropy(functional_call(classifier, state, data["ids"]), data["labels"])
