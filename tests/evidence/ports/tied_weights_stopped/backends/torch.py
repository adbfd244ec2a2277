import torch
import torch.nn.functional as F


def loss(params, data):
    e = F.embedding(data["tokens"], params["embedding"]).mean(dim=1)
    h = torch.tanh(F.linear(e, params["hidden"]["w"].T, params["hidden"]["b"]))
    logits = F.linear(h, params["embedding"])
    return F.cross_entropy(logits, data["next"])
