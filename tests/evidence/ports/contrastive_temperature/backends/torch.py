import torch
import torch.nn.functional as F


def clip_loss(a, b, temperature=0.07):
    a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
    logits = a @ b.T / temperature
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def loss(params, data):
    return clip_loss(data["image"] @ params["image"], data["text"] @ params["text"])
