import torch
import torch.nn.functional as F


def loss(params, data):
    e = F.embedding(data["ids"], params["table"], padding_idx=0)
    h = F.silu(F.linear(e.mean(dim=1), params["fc"]["w"].T, params["fc"]["b"]))
    return F.cross_entropy(torch.mm(h, params["out"]), data["labels"])
