import torch
from torch import nn
from torch.func import functional_call


class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(2, 3, kernel_size=3)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.out = nn.Conv2d(3, 1, kernel_size=1)

    def forward(self, x):
        h = torch.tanh(self.down(x))
        return self.out(self.up(h))


model = Segmenter()
criterion = nn.BCEWithLogitsLoss()


def loss(params, data):
    state = {f"{layer}.{name}": value for layer, tree in params.items() for name, value in tree.items()}
    return criterion(functional_call(model, state, data["x"]), data["mask"])
