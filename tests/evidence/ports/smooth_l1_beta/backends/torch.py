import torch
import torch.nn.functional as F


def loss(params, data):
    features = torch.tanh(data["x"] @ params["trunk"])
    boxes, score = features @ params["boxes"], features @ params["score"]
    located = F.smooth_l1_loss(boxes, data["boxes"])
    return located + F.binary_cross_entropy_with_logits(score, data["found"])
