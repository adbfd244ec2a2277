import torch
import torch.nn.functional as F


def loss(params, data):
    h = F.conv1d(data["x"], params["kernel"], params["bias"])
    score = torch.einsum("ncl,cl->n", torch.tanh(h), params["out"])
    return F.mse_loss(score, data["y"])
