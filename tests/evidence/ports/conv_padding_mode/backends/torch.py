import torch
import torch.nn.functional as F


def loss(params, data):
    x = F.pad(data["x"], (1, 1, 1, 1), mode="replicate")
    h = F.softplus(F.conv2d(x, params["k"]))
    out = torch.einsum("nchw,chw->n", h, params["v"])
    return F.l1_loss(out, data["y"])
