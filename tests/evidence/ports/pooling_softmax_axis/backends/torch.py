import torch
import torch.nn.functional as F


def loss(params, data):
    x = data["x"]
    scores = torch.tanh(x @ params["score"]["w"]) @ params["score"]["v"]
    weights = torch.softmax(scores, dim=1)
    pooled = torch.einsum("bn,bnd->bd", weights, x)
    return F.cross_entropy(pooled @ params["out"], data["labels"])
