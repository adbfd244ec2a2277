import torch
import torch.nn.functional as F


def loss(params, data):
    h = torch.sigmoid(F.linear(data["x"], params["fc1"]["w"].T, params["fc1"]["b"]))
    logits = F.linear(h, params["fc2"]["w"].T, params["fc2"]["b"])
    return F.cross_entropy(logits, data["labels"], label_smoothing=0.01)
