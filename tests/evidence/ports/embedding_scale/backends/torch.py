import torch
import torch.nn.functional as F


def embed(ids, tokens, positions):
    width = tokens.shape[1]
    return F.embedding(ids, tokens) * width**0.5 + positions


def loss(params, data):
    h = torch.tanh(embed(data["ids"], params["tokens"], params["positions"]))
    return F.cross_entropy(h.mean(dim=1) @ params["out"], data["labels"])
