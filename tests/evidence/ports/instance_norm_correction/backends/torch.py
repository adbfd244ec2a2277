import torch
import torch.nn.functional as F


def instance_norm(x, scale, shift, eps=1e-5):
    mean = x.mean(dim=(2, 3), keepdim=True)
    var = x.var(dim=(2, 3), keepdim=True)
    x = (x - mean) / torch.sqrt(var + eps)
    return x * scale[:, None, None] + shift[:, None, None]


def loss(params, data):
    x = F.conv2d(data["images"], params["conv"]["kernel"], params["conv"]["bias"], padding=1)
    x = F.silu(instance_norm(x, **params["norm"]))
    pooled = x.mean(dim=(2, 3))
    return F.mse_loss(pooled @ params["head"], data["y"])
