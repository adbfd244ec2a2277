import torch
import torch.nn.functional as F


def loss(params, data):
    h = data["x"]
    for gain, weight in zip(params["gains"], params["weights"]):
        n = F.rms_norm(h, (6,), weight=gain, eps=1e-6)
        h = h + F.silu(n @ weight)
    return torch.mean((h - data["y"]) ** 2)
