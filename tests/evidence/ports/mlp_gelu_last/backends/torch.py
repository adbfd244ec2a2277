import torch
import torch.nn.functional as F


def loss(params, data):
    h = data["x"]
    for name in ("fc1", "fc2", "fc3"):
        h = F.gelu(h @ params[name]["w"] + params[name]["b"])
    logits = torch.addmm(params["out"]["b"], h, params["out"]["w"]).squeeze(-1)
    return F.binary_cross_entropy_with_logits(logits, data["y"])
