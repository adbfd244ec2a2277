import torch


class Rotary(torch.nn.Module):
    def __init__(self, width, base=10000.0):
        super().__init__()
        self.frequencies = base ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)

    def forward(self, x):
        angles = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * self.frequencies
        cos, sin = angles.cos(), angles.sin()
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


rotary = Rotary(8)


def loss(params, data):
    x = data["x"]
    q, k, v = rotary(x @ params["wq"]), rotary(x @ params["wk"]), x @ params["wv"]
    weights = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1)
    return torch.nn.functional.mse_loss(weights @ v, data["y"])
