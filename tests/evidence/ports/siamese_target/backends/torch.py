import torch.nn.functional as F


def loss(params, data):
    z1, z2 = (F.silu(data[view] @ params["encoder"]) for view in ("view1", "view2"))
    p1, p2 = (F.linear(z, params["predictor"]["w"].T, params["predictor"]["b"]) for z in (z1, z2))
    one = F.cosine_similarity(p1, z2.detach(), dim=-1).mean()
    two = F.cosine_similarity(p2, z1.detach(), dim=-1).mean()
    return -(one + two) / 2
